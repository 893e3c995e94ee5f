//! `sexton probe`: its exit codes, and the page that it prints.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
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

/// A network of its own with name servers at 127.0.0.1 and, for one that never answers, at 127.0.0.4, and with
/// somebody at port 8080 of 127.0.0.2 and ::1. Runs a command in it, and then prints whose addresses were asked for.
const NAMES: &str = "
import os, socket, struct, subprocess, sys, threading
four, six = lambda last: (1, bytes([127, 0, 0, last])), (28, bytes(15) + bytes([1]))
NAMES = {
    'db.example': [four(2)], 'six.example': [six], 'web.b.test': [four(2)], 'half.example': [four(2)],
    'both.example': [four(3), six],
    'alias.example': [(5, b'\\x03far\\xc0\\x12'), four(2)],
}
asked = []
def bound(kind, address):
    s = socket.socket(socket.AF_INET6 if ':' in address[0] else socket.AF_INET, kind)
    s.bind(address)
    return s
def serve(s):
    while True:
        question, peer = s.recvfrom(512)
        at, labels = 12, []
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        name, kind = '.'.join(labels), struct.unpack('>H', question[at + 1:at + 3])[0]
        if not asked or asked[-1] != name:
            asked.append(name)
        if name == 'silent.example' or (name == 'half.example' and kind == 28):
            continue
        code = 2 if name == 'broken.example' else 0 if name in NAMES else 3
        records = [r for r in NAMES.get(name, []) if r[0] in (kind, 5)]
        answer = question[:2] + bytes([0x81, 0x80 | code, 0, 1, 0, len(records), 0, 0, 0, 0]) + question[12:]
        for record, data in records:
            answer += b'\\xc0\\x0c' + struct.pack('>HHIH', record, 1, 60, len(data)) + data
        s.sendto(answer, peer)
names, silent = bound(socket.SOCK_DGRAM, ('127.0.0.1', 53)), bound(socket.SOCK_DGRAM, ('127.0.0.4', 53))
servers = [bound(socket.SOCK_STREAM, (address, 8080)) for address in ('127.0.0.2', '::1')]
for s in servers: s.listen()
threading.Thread(target=serve, args=(names,), daemon=True).start()
code = subprocess.call(sys.argv[1:])
print('asked for', ' '.join(asked))
sys.exit(code)
";

/// What comes of `sexton probe tcp HOST:8080` in that network, with these files: its exit code, the names that were
/// asked for, and the error.
fn probe_by_name(resolv_conf: &str, hosts: &str, words: &[&str]) -> (Option<i32>, String, String) {
    const SETUP: &str = "busybox ip link set lo up && printf %s \"$1\" >\"$0.resolv\" && printf %s \"$2\" >\"$0.hosts\" \
        && mount --bind \"$0.resolv\" /etc/resolv.conf && mount --bind \"$0.hosts\" /etc/hosts && shift 2 && exec \"$@\"";
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let files = std::env::temp_dir().join(format!("sexton-names-{}-{number}", std::process::id()));
    let output = Command::new("unshare")
        .args(["--net", "--mount", "bash", "-c", SETUP])
        .arg(&files)
        .args([resolv_conf, hosts, "python3", "-c", NAMES, env!("CARGO_BIN_EXE_sexton"), "probe", "tcp"])
        .args(words)
        .output()
        .expect("unshare of util-linux runs (as root)");
    for end in ["resolv", "hosts"] {
        std::fs::remove_file(files.with_extension(end)).expect("it was made");
    }
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").trim_end().to_owned();
    let asked = text(output.stdout).strip_prefix("asked for").expect("the server's line").trim().to_owned();
    (output.status.code(), asked, text(output.stderr))
}

const SERVER: &str = "nameserver 127.0.0.1\n";

#[test]
fn a_host_is_found_by_its_name() {
    let found = |asked: &str| (Some(0), asked.to_owned(), String::new());
    let host = |host: &str| probe_by_name(SERVER, "", &[host, "--timeout", "1m"]);
    assert_eq!(host("db.example:8080"), found("db.example"));
    assert_eq!(host("six.example:8080"), found("six.example"));
    assert_eq!(
        host("both.example:8080"),
        found("both.example"),
        "nobody listens at the first of its addresses"
    );
    assert_eq!(host("alias.example:8080"), found("alias.example"));
    let in_hosts = probe_by_name(SERVER, "127.0.0.2 other Web\n", &["web:8080"]);
    assert_eq!(in_hosts, found(""), "nobody has to be asked");
}

#[test]
fn a_name_is_looked_for_in_the_domains_of_resolv_conf() {
    let found = |asked: &str| (Some(0), asked.to_owned(), String::new());
    let search = |host: &str| {
        let resolv_conf = format!("search a.test b.test\noptions ndots:2\n{SERVER}");
        probe_by_name(&resolv_conf, "", &[host, "--timeout", "1m"])
    };
    assert_eq!(search("web:8080"), found("web.a.test web.b.test"));
    assert_eq!(search("db.example:8080"), found("db.example.a.test db.example.b.test db.example"));
    assert_eq!(search("db.example.:8080"), found("db.example"));
    assert_eq!(search("web.b.test:8080"), found("web.b.test"));
}

#[test]
fn another_name_server_is_asked_where_one_has_no_answer() {
    let found = (Some(0), "db.example".to_owned(), String::new());
    let silent = format!("nameserver 127.0.0.4\noptions timeout:1\n{SERVER}");
    assert_eq!(probe_by_name(&silent, "", &["db.example:8080", "--timeout", "1m"]), found);
    let absent = format!("nameserver 127.0.0.9\nnameserver fd00::1\n{SERVER}");
    assert_eq!(probe_by_name(&absent, "", &["db.example:8080", "--timeout", "1m"]), found);
    let half = format!("{SERVER}options timeout:1\n");
    let (code, ..) = probe_by_name(&half, "", &["half.example:8080", "--timeout", "1m"]);
    assert_eq!(code, Some(0), "one kind of address is enough");
}

#[test]
fn a_name_that_leads_nowhere_is_told() {
    let said = |host: &str, why: &str| {
        (Some(1), host.to_owned(), format!("sexton: cannot probe {host}:8080: {why}"))
    };
    let tried = |host: &str| probe_by_name(SERVER, "", &[&format!("{host}:8080"), "--timeout", "300ms"]);
    assert_eq!(tried("no.example"), said("no.example", "its name leads to no address"));
    let none = "no name server has an answer within 0.3s";
    assert_eq!(tried("silent.example"), said("silent.example", none));
    assert_eq!(tried("broken.example"), said("broken.example", none));
}
