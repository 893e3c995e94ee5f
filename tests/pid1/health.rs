//! The health endpoint: PID 1 answers, whoever else wants something of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Running, Setup, wait_until};

/// A program that runs until it is told not to, and says that it was.
const SERVES: &str = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done";

/// A port that nobody uses just now.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    listener.local_addr().expect("its number").port()
}

fn connect(port: u16) -> TcpStream {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = wait_until("somebody who listens", || TcpStream::connect(address).ok());
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream
}

/// Everything until the connection is closed.
fn rest_of(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer and its end");
    String::from_utf8(bytes).expect("text")
}

/// What the bytes are answered.
fn ask(port: u16, bytes: &[u8]) -> String {
    let mut stream = connect(port);
    stream.write_all(bytes).expect("sent");
    rest_of(stream)
}

/// The code and the body.
fn get(port: u16, target: &str) -> (String, String) {
    let text = ask(port, format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (head.split(' ').nth(1).expect("a code").to_owned(), body.to_owned())
}

/// sexton with this script, answering at a port of 127.0.0.1.
fn serving(setup: Setup, script: &str) -> (Running, u16) {
    let port = free_port();
    let sexton = setup.options([format!("--health=127.0.0.1:{port}")]).shell(script);
    (sexton, port)
}

/// The value of a sample.
fn sample<'a>(metrics: &'a str, name: &str) -> Option<&'a str> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

#[test]
fn a_program_that_runs_is_ready_and_counted() {
    let (mut sexton, port) = serving(Setup::pid_1(), SERVES);
    sexton.prints("up");
    let ok = ("200".to_owned(), "ok".to_owned());
    for page in ["/livez", "/readyz", "/startupz", "/healthz", "/readyz/main"] {
        assert_eq!(get(port, page), ok, "{page}");
    }
    let (code, metrics) = get(port, "/metrics");
    assert_eq!(code, "200");
    assert_eq!(sample(&metrics, "sexton_program_starts_total{program=\"main\"}"), Some("1"));
    assert_eq!(sample(&metrics, "sexton_program_state{program=\"main\",state=\"running\"}"), Some("1"));
    assert!(sample(&metrics, "sexton_resident_memory_bytes").is_some(), "{metrics}");
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "up\nbye\n"));
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}

#[test]
fn held_it_is_alive_and_not_ready_and_a_restart_makes_it_ready_again() {
    let script = "echo start >> $DIR/starts; [ $(wc -l < $DIR/starts) = 1 ] && exit 7
        trap 'exit 0' TERM; echo again; while :; do sleep 0.02; done";
    let (mut sexton, port) = serving(Setup::pid_1().options(["--hold=failure"]), script);
    sexton.says("holding", 1);
    let (code, body) = get(port, "/readyz");
    assert_eq!(code, "500");
    assert!(body.contains("[-]hold failed: reason withheld\n[+]shutdown ok\n"), "{body}");
    assert_eq!(get(port, "/livez").0, "200");
    let metrics = get(port, "/metrics").1;
    assert_eq!(sample(&metrics, "sexton_holding"), Some("1"));
    assert_eq!(
        sample(&metrics, "sexton_program_exits_total{program=\"main\",kind=\"code\",value=\"7\"}"),
        Some("1")
    );
    sexton.signal("HUP");
    sexton.prints("again");
    wait_until("readiness", || (get(port, "/readyz").0 == "200").then_some(()));
    assert_eq!(sample(&get(port, "/metrics").1, "sexton_holds_total"), Some("1"));
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(0));
}

#[test]
fn it_answers_while_draining_and_stopping() {
    let script = "trap 'echo told; while [ ! -e $DIR/go ]; do sleep 0.01; done; exit 0' TERM
        echo up; while :; do sleep 0.02; done";
    let (mut sexton, port) = serving(Setup::pid_1().options(["--drain=2s"]), script);
    sexton.prints("up");
    sexton.signal("TERM");
    wait_until("the drain", || {
        let metrics = get(port, "/metrics").1;
        let is_draining = sample(&metrics, "sexton_phase{phase=\"draining\"}") == Some("1");
        (is_draining || sexton.stdout().contains("told")).then_some(())
    });
    sexton.prints("told");
    let (code, body) = get(port, "/readyz");
    assert_eq!(code, "500");
    assert!(body.contains("[-]shutdown failed"), "{body}");
    assert_eq!(get(port, "/livez").0, "200");
    sexton.write("go", "");
    assert_eq!(sexton.end().code, Some(0));
}

#[test]
fn idlers_keep_nobody_out_and_pid_1_goes_on_with_its_work() {
    let script = "trap 'echo usr1' USR1; trap 'exit 3' TERM; echo up; while :; do sleep 0.02; done";
    let (mut sexton, port) = serving(Setup::pid_1(), script);
    sexton.prints("up");
    let idlers: Vec<TcpStream> = (0..400).map(|_| connect(port)).collect();
    let since = Instant::now();
    assert_eq!(get(port, "/readyz").0, "200");
    // A kubelet waits for a second.
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    let mut more: Vec<TcpStream> = (0..100).map(|_| connect(port)).collect();
    for idler in &mut more {
        let _ = idler.write_all(b"GET /live"); // it may have been closed by now
    }
    sexton.signal("USR1");
    sexton.prints("usr1");
    assert_eq!(get(port, "/livez").0, "200");
    for mut idler in idlers.into_iter().chain(more) {
        // Closed, if not sooner; a reset is an end too.
        let end = idler.read(&mut [0; 1]);
        assert!(matches!(end, Ok(0)) || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(3));
}

#[test]
fn those_who_wait_do_not_keep_pid_1_awake() {
    let (mut sexton, port) = serving(Setup::pid_1(), SERVES);
    sexton.prints("up");
    // More than fit: neither they nor those who wait in the kernel may keep the loop turning.
    let idlers: Vec<TcpStream> = (0..80).map(|_| connect(port)).collect();
    for idler in idlers {
        assert_eq!(rest_of(idler), "");
    }
    let used = sample(&get(port, "/metrics").1, "sexton_cpu_seconds_total").map(str::to_owned);
    assert!(used.as_ref().is_some_and(|used| used.starts_with("0.0")), "{used:?}");
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(0));
}

#[test]
fn without_descriptors_it_pauses_and_tries_again() {
    let (sexton, port) = serving(Setup::pid_1().before("ulimit -n 16"), SERVES);
    sexton.prints("up");
    let idlers: Vec<TcpStream> = (0..30).map(|_| connect(port)).collect();
    sexton.says("cannot accept a connection for health: Too many open files", 1);
    let (code, metrics) = get(port, "/metrics");
    assert_eq!(code, "200");
    let used = sample(&metrics, "sexton_cpu_seconds_total").unwrap_or_default();
    assert!(used.starts_with("0.0"), "{used}");
    drop(idlers);
}

#[test]
fn however_the_bytes_come_the_answer_is_the_same() {
    let (sexton, port) = serving(Setup::pid_1(), SERVES);
    sexton.prints("up");
    let request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let whole = ask(port, request);
    assert!(whole.starts_with("HTTP/1.1 200 OK\r\n") && whole.ends_with("\r\n\r\nok"), "{whole}");
    let mut stream = connect(port);
    stream.set_nodelay(true).expect("no delay");
    for byte in request {
        stream.write_all(&[*byte]).expect("sent");
    }
    assert_eq!(rest_of(stream), whole, "byte by byte");
    let mut stream = connect(port);
    stream.write_all(request).expect("sent");
    stream.shutdown(Shutdown::Write).expect("half closed");
    assert_eq!(rest_of(stream), whole, "half closed");
    assert_eq!(ask(port, &request.repeat(3)), whole, "pipelined");
}

#[test]
fn what_is_no_question_is_refused_at_once_and_in_words() {
    let (sexton, port) = serving(Setup::pid_1(), SERVES);
    sexton.prints("up");
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let body = format!("POST /livez HTTP/1.1\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let cases = [
        (long.as_str(), "431"),
        (&body, "405"),
        ("GET /none HTTP/1.1\r\n\r\n", "404"),
        ("\x16\x03\x01\x02\x00\x01\x00", "400"),
        ("hello\n", "400"),
    ];
    for (bytes, code) in cases {
        let mut stream = connect(port);
        stream.write_all(bytes.as_bytes()).expect("sent");
        stream.shutdown(Shutdown::Write).expect("half closed");
        let answer = rest_of(stream);
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer:?} is not {code}");
    }
    // Nothing at all is answered nothing.
    let stream = connect(port);
    stream.shutdown(Shutdown::Write).expect("half closed");
    assert_eq!(rest_of(stream), "");
}

#[test]
fn who_goes_away_costs_nothing() {
    let (mut sexton, port) = serving(Setup::pid_1(), SERVES);
    sexton.prints("up");
    let descriptors = |sexton: &mut Running| {
        std::fs::read_dir(format!("/proc/{}/fd", sexton.pid())).expect("sexton runs").count()
    };
    assert_eq!(get(port, "/livez").0, "200"); // what was given for the program alone is closed by then
    let before = descriptors(&mut sexton);
    for bytes in [&b""[..], b"GET /li", b"GET /metrics HTTP/1.1\r\n\r\n"] {
        for _ in 0..50 {
            connect(port).write_all(bytes).expect("sent");
        }
    }
    assert_eq!(get(port, "/livez").0, "200");
    wait_until("the descriptors of those who are gone", || {
        (descriptors(&mut sexton) == before).then_some(())
    });
}

#[test]
fn orphans_are_reaped_and_counted_meanwhile() {
    let script = "for i in 1 2 3 4 5; do (while [ ! -e $DIR/go ]; do sleep 0.02; done &); done; echo up; while :; do sleep 0.02; done";
    let (sexton, port) = serving(Setup::pid_1(), script);
    sexton.prints("up");
    sexton.write("go", "");
    wait_until("five orphans", || {
        (sample(&get(port, "/metrics").1, "sexton_strays_reaped_total") == Some("5")).then_some(())
    });
}

#[test]
fn without_an_address_it_is_all_of_them() {
    let port = free_port();
    for setup in [
        Setup::pid_1().options([format!("--health=:{port}")]),
        Setup::pid_1().env("SEXTON_HEALTH", &port.to_string()),
    ] {
        let mut sexton = setup.shell(SERVES);
        sexton.prints("up");
        for address in ["127.0.0.1", "::1"] {
            let address: std::net::IpAddr = address.parse().expect("an address");
            // Not every machine has both.
            if TcpListener::bind((address, 0)).is_ok() {
                TcpStream::connect((address, port)).expect("somebody listens");
            }
        }
        sexton.signal("TERM");
        assert_eq!(sexton.end().code, Some(0));
    }
}

#[test]
fn where_it_cannot_listen_nothing_is_started() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = taken.local_addr().expect("its number");
    let ended = Setup::pid_1().options([format!("--health={address}")]).shell("echo started").end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(111), ""));
    let line = format!("sexton: cannot listen on {address} for health: Address already in use");
    assert!(ended.stderr.contains(&line), "{ended:?}");
    let ended = Setup::pid_1().options(["--health=host:1"]).shell("echo started").end();
    assert_eq!(ended.code, Some(100));
    assert!(
        ended.stderr.contains("cannot read `--health`: expected an address such as `:8080`"),
        "{ended:?}"
    );
}
