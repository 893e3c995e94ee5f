//! The little program of `Dockerfile.example`: answers every HTTP request on port 8080, or on `$PORT`.
//!
//! It handles no signal: SIGTERM ends it by the default action, which the kernel would withhold from it as PID 1.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";

fn main() -> io::Result<()> {
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    println!("hello listens on {}", listener.local_addr()?);
    for connection in listener.incoming() {
        if let Err(error) = connection.and_then(answer) {
            eprintln!("hello: cannot answer: {error}");
        }
    }
    Ok(())
}

/// Reads the head of the request, up to its empty line, and says hello.
fn answer(mut connection: TcpStream) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(5)))?; // one at a time: nobody may keep the others waiting
    for line in BufReader::new(&connection).lines() {
        if line?.is_empty() {
            break;
        }
    }
    connection.write_all(ANSWER.as_bytes())
}
