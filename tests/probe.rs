//! `sexton probe`: its exit codes, and the page that it prints.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

/// The exit code, what was printed, and the error.
fn probe(before: &[&str], words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sexton"));
    command.args(before).arg("probe").args(words).env_remove("SEXTON_HEALTH");
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Answers each request with what `answer` makes of it; returns the port.
fn serve(mut answer: impl FnMut(&str, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).expect("a request") == 0 {
                    break;
                }
                request.extend(byte);
            }
            answer(&String::from_utf8(request).expect("UTF-8"), &mut stream);
        }
    });
    port.to_string()
}

fn write(stream: &mut TcpStream, answer: &str) {
    stream.write_all(answer.as_bytes()).expect("written");
}

fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.local_addr().expect("an address").port().to_string()
}

#[test]
fn a_page_is_printed_and_its_code_decides() {
    let port = serve(|request, stream| {
        let path = request.split(' ').nth(1).expect("a path");
        match path {
            "/ok?a=b" => write(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfine\nand more"),
            "/moved" => write(stream, "HTTP/1.1 301 Moved\r\nLocation: ok?a=b\r\n\r\n"),
            "/away" => write(stream, "HTTP/1.1 301 Moved\r\nLocation: http://other/\r\n\r\n"),
            _ => write(stream, "HTTP/1.1 503 Not Yet\r\n\r\nnot yet\n"),
        }
    });
    let host = format!("http://localhost:{port}");
    let ok = (Some(0), "fine\n".to_owned(), String::new());
    assert_eq!(probe(&[], &["http", &format!("{host}/ok?a=b#c")]), ok);
    assert_eq!(probe(&[], &["http", &format!("{host}/moved")]), ok);
    let said = |path: &str, why: &str| format!("sexton: cannot probe {host}{path}: {why}\n");
    assert_eq!(
        probe(&[], &["http", &format!("{host}/other")]),
        (Some(1), "not yet\n".to_owned(), said("/other", "answered with code 503"))
    );
    assert_eq!(
        probe(&[], &["http", &format!("{host}/away")]),
        (Some(1), String::new(), said("/away", "redirects to another host: http://other/"))
    );
}

#[test]
fn headers_are_sent_along() {
    let port = serve(|request, stream| write(stream, &format!("HTTP/1.1 200 OK\r\n\r\n{request}")));
    let url = format!("http://127.0.0.1:{port}");
    let (code, request, _) = probe(&[], &["--header", "Host: a.example", "http", &url, "--header=X-A: b: c"]);
    assert_eq!(code, Some(0));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        request,
        format!(
            "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: sexton-probe/{version}\r\nAccept: */*\r\nConnection: close\r\nX-A: b: c\r\n\r\n"
        )
    );
}

#[test]
fn a_large_page_is_printed_whole() {
    let body = "0123456789abcdef".repeat(40_000);
    let sent = body.clone();
    let port = serve(move |_, stream| write(stream, &format!("HTTP/1.0 200 OK\r\n\r\n{sent}")));
    let (code, printed, _) = probe(&[], &["--timeout", "1m", "http", &format!("http://127.0.0.1:{port}/")]);
    assert!(code == Some(0) && printed == body);
}

#[test]
fn the_timeout_is_for_everything() {
    // It never answers: the connection waits in the backlog.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let (code, _, error) = probe(&[], &["http", &url, "--timeout", "50ms"]);
    assert_eq!((code, error), (Some(1), format!("sexton: cannot probe {url}: no answer within 0.0s\n")));
    // It answers a byte at a time, without end.
    let port = serve(|_, stream| {
        write(stream, "HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            thread::yield_now();
        }
    });
    let (code, ..) = probe(&[], &["http", &format!("http://127.0.0.1:{port}/"), "--timeout", "200ms"]);
    assert_eq!(code, Some(1));
}

#[test]
fn a_connection_is_enough_for_tcp() {
    let port = serve(|_, _| {});
    assert_eq!(probe(&[], &["tcp", &format!("localhost:{port}")]), (Some(0), String::new(), String::new()));
    let closed = format!("127.0.0.1:{}", closed_port());
    let refused = format!("sexton: cannot probe {closed}: connection refused\n");
    assert_eq!(probe(&[], &["tcp", &closed]), (Some(1), String::new(), refused.clone()));
    assert_eq!(probe(&[], &["grpc", &closed]), (Some(1), String::new(), refused));
}

#[test]
fn a_health_service_is_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.expect("a connection");
            let status = if number == 0 { 1 } else { 2 };
            stream.write_all(b"\0\0\0\x04\0\0\0\0\0\0\0\x07\0\0\0\0\0\x01\0\0\0\0\x02\x08").expect("written");
            stream.write_all(&[status]).expect("written");
            let _ = stream.read_to_end(&mut Vec::new()); // until it is over
        }
    });
    assert_eq!(probe(&[], &["grpc", &address, "a.B"]).0, Some(0));
    let (code, _, error) = probe(&[], &["grpc", &address]);
    assert_eq!((code, error), (Some(1), format!("sexton: cannot probe {address}: grpc: NOT_SERVING\n")));
}

#[test]
fn a_running_sexton_is_asked_where_it_answers() {
    let port = serve(|request, stream| {
        if request.starts_with("GET /readyz ") {
            write(stream, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 15\r\n\r\nweb: starting\r\n");
        } else if request.starts_with("GET /livez ") || request.starts_with("GET /startupz ") {
            write(stream, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
        } else {
            write(stream, "HTTP/1.1 404 Not Found\r\n\r\n");
        }
    });
    let quiet = (Some(0), String::new(), String::new());
    assert_eq!(probe(&["--health", &port], &["liveness"]), quiet);
    assert_eq!(probe(&[&format!("--health=127.0.0.1:{port}")], &["startup"]), quiet);
    let (code, said, error) = probe(&["--health", &format!(":{port}")], &["readiness"]);
    assert_eq!((code, said.as_str()), (Some(1), "web: starting\r\n"));
    assert_eq!(
        error,
        format!("sexton: cannot probe http://localhost:{port}/readyz: answered with code 503\n")
    );
}

#[test]
fn bad_usage_is_exit_code_100() {
    for words in [&["http", "https://localhost/"][..], &["http"], &["udp"], &[], &["tcp", "a:1", "b"]] {
        let (code, printed, error) = probe(&[], words);
        assert_eq!((code, printed.as_str()), (Some(100), ""), "{words:?}");
        assert_eq!(error.lines().count(), 1, "{words:?}");
    }
    assert_eq!(probe(&["-c", "/nowhere.toml"], &["liveness"]).0, Some(100));
    assert_eq!(probe(&[], &["--help"]).0, Some(0));
}
