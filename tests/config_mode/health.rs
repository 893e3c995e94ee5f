//! The health endpoint where there are many programs; `tests/pid1/health.rs` has what it is in itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{PATIENCE, Running, Setup, wait_until};

/// A port that nobody uses just now.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    listener.local_addr().expect("its number").port()
}

/// sexton with this configuration, answering at a port.
fn serving(toml: &str) -> (Running, u16) {
    let port = free_port();
    (Setup::config(toml).options([format!("--health={port}")]).run(), port)
}

/// The answer to a GET request; the client begins to read after so long.
fn get_after(port: u16, target: &str, pause: Duration) -> (String, String) {
    let mut stream =
        wait_until("somebody who listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream.write_all(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes()).expect("sent");
    std::thread::sleep(pause);
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer and its end");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    (head.split(' ').nth(1).expect("a code").to_owned(), body.to_owned())
}

fn get(port: u16, target: &str) -> (String, String) {
    get_after(port, target, Duration::ZERO)
}

#[test]
fn each_program_is_a_check_and_a_step_one_of_the_start() {
    let (mut sexton, port) = serving(
        "[[step]]
        name = 'migrate'
        command = ['bash', '-c', 'while [ ! -e $DIR/migrated ]; do sleep 0.02; done']
        [program.web]
        command = ['bash', '-c', 'while [ ! -e $DIR/ready ]; do sleep 0.02; done; echo READY=1 >&3; exec sleep 1000']
        notify_fd = 3
        startsecs = 0
        [program.idle]
        command = ['sleep', '1000']
        autostart = false",
    );
    let told = "[+]ping ok\n[-]migrate failed: reason withheld\n[-]web failed: reason withheld\nstartupz check failed\n";
    assert_eq!(get(port, "/startupz"), ("500".to_owned(), told.to_owned()));
    sexton.write("migrated", "");
    let told =
        "[+]ping ok\n[+]hold ok\n[+]shutdown ok\n[-]web failed: reason withheld\nreadyz check failed\n";
    wait_until("migration", || (get(port, "/startupz/migrate").0 == "200").then_some(()));
    assert_eq!(get(port, "/readyz"), ("500".to_owned(), told.to_owned()));
    assert_eq!(get(port, "/readyz?exclude=web").0, "200");
    sexton.write("ready", "");
    wait_until("readiness", || (get(port, "/readyz").0 == "200").then_some(()));
    assert_eq!(get(port, "/startupz").0, "200");
    sexton.signal("TERM");
    sexton.end();
}

#[test]
fn what_no_buffer_holds_is_sent_as_it_is_taken() {
    let mut toml = "main = 'main'\n[program.main]\ncommand = ['sleep', '1000']\nstartsecs = 0\n".to_owned();
    for n in 0..1000 {
        toml += "[program.a-name-of-some-length-";
        toml += &n.to_string();
        toml += "]\ncommand = ['true']\nautostart = false\n";
    }
    let (sexton, port) = serving(&toml);
    for pause in [0, 300] {
        let (code, body) = get_after(port, "/metrics", Duration::from_millis(pause));
        assert_eq!(code, "200");
        assert_eq!(body.matches("\nsexton_program_ready{").count(), 1001);
        assert!(body.ends_with('\n') && body.len() > 500_000, "{}", body.len());
    }
    assert_eq!(get(port, "/readyz").0, "200");
    drop(sexton);
}
