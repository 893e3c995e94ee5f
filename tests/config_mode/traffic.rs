//! Whether anybody is refused: at a stop without a drain, with a delay and with quiet, and over restarts of a program
//! whose socket is kept. Real clients, a real server.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Running, Setup, wait_until};

/// An HTTP server that ends at once when it is told to. With an argument it makes its own socket; without, it takes the
/// one that it is handed, and ends by itself after 500 requests.
const SERVER: &str = "
import os, socket, sys
if len(sys.argv) > 1:
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('', int(sys.argv[1]))); s.listen(1000)
    rest = -1
else:
    assert os.environ['LISTEN_PID'] == str(os.getpid()), os.environ
    assert os.environ['LISTEN_FDS'] == '1' and os.environ['LISTEN_FDNAMES'] == 'http', os.environ
    s = socket.socket(fileno=3)
    rest = 500
while rest != 0:
    c, _ = s.accept()
    c.recv(4096)
    c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok')
    c.shutdown(socket.SHUT_WR); c.recv(1); c.close()
    rest -= 1
";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn serving(setup: Setup) -> Setup {
    std::fs::write(setup.dir.path().join("server"), SERVER).expect("written");
    setup
}

/// One request; the error where there is no answer.
fn request(port: u16) -> Result<(), ErrorKind> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.kind())?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").map_err(|error| error.kind())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(|error| error.kind())?;
    if answer.ends_with(b"ok") { Ok(()) } else { Err(ErrorKind::UnexpectedEof) }
}

/// How a stop went for a client that goes on asking for so long after the stop signal.
struct Stop {
    failed: usize,
    /// From the stop signal to the end.
    took: Duration,
    stderr: String,
}

fn stopped(drain: &str, asking: Duration) -> Stop {
    let port = free_port();
    let mut sexton: Running = serving(Setup::config(
        &format!(
            "grace_period = '60s'\n[drain]\n{drain}\n[program.web]\nautorestart = false
            command = '/usr/bin/python3 $(DIR)/server {port}'"
        )
        .replace("PORT", &port.to_string()),
    ))
    .run();
    wait_until("the server answers", || request(port).ok());
    sexton.says("web: running", 1); // before, there is nothing to drain
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    let client = std::thread::spawn(move || {
        let mut failed = 0;
        while !over.load(Ordering::SeqCst) {
            failed += usize::from(request(port).is_err());
            std::thread::sleep(Duration::from_millis(20));
        }
        failed
    });
    sexton.signal("TERM");
    let since = Instant::now();
    std::thread::sleep(asking); // the network learns of it as late as that
    is_over.store(true, Ordering::SeqCst);
    let failed = client.join().expect("a count");
    let ended = sexton.end();
    Stop { failed, took: since.elapsed(), stderr: ended.stderr }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn without_a_drain_clients_are_refused() {
    let stop = stopped("delay = '0s'", SECOND);
    assert!(stop.failed > 0, "{}", stop.stderr);
}

#[test]
fn with_a_drain_nobody_is_refused_and_with_quiet_it_ends_earlier() {
    // As safe as one second of quiet, for a network that may take four seconds to learn of it.
    let fixed = stopped("delay = '4s'", SECOND);
    assert_eq!(fixed.failed, 0, "{}", fixed.stderr);
    let quiet = stopped("quiet = '1s'\nports = [PORT]\nloopback = true", SECOND);
    assert_eq!(quiet.failed, 0, "{}", quiet.stderr);
    assert!(quiet.stderr.contains("no new connection has come for 1.0s"), "{}", quiet.stderr);
    assert!(quiet.took < fixed.took, "{:?} and {:?}", quiet.took, fixed.took);
    assert!(quiet.took >= SECOND * 3 / 2, "it waited for those who came: {:?}", quiet.took);
}

#[test]
fn loopback_is_left_out_unless_asked_for() {
    let stop = stopped("quiet = '500ms'\nports = [PORT]", SECOND);
    assert!(stop.failed > 0, "{}", stop.stderr);
}

#[test]
fn over_restarts_of_a_program_with_a_kept_socket_nobody_of_10000_is_refused() {
    let port = free_port();
    let mut sexton = serving(Setup::config(&format!(
        "[program.web]\ncommand = '/usr/bin/python3 $(DIR)/server'\nautorestart = true\nstartsecs = 0
        restart_delay = '1ms'\nsockets = {{ http = '127.0.0.1:{port}' }}"
    )))
    .run();
    sexton.says("web: started", 1);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || (0..2_500).filter_map(|_| request(port).err()).collect::<Vec<_>>())
        })
        .collect();
    let failed: Vec<ErrorKind> =
        clients.into_iter().flat_map(|client| client.join().expect("its failures")).collect();
    assert_eq!(failed, [] as [ErrorKind; 0]);
    sexton.says("web: started", 20);
    sexton.signal("TERM");
    sexton.end();
    assert_eq!(request(port), Err(ErrorKind::ConnectionRefused));
}

#[test]
fn an_address_that_is_taken_is_a_start_that_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let ended = Setup::config(&format!(
        "[program.web]\ncommand = 'sleep 1000'\nstartretries = 0\nsockets = {{ http = '{address}' }}"
    ))
    .run()
    .end();
    assert!(ended.stderr.contains(&format!("web: cannot listen on {address}: Address")), "{}", ended.stderr);
    assert_eq!(ended.code, Some(126));
}

#[test]
fn a_socket_file_that_was_left_is_replaced_and_one_in_use_is_not() {
    let setup = Setup::config(
        "[program.web]\ncommand = ['bash', '-c', 'echo $$LISTEN_FDS $$LISTEN_FDNAMES; exec sleep 1000']
        sockets = { admin = '$(DIR)/admin', other = '$(DIR)/other' }",
    );
    drop(std::os::unix::net::UnixListener::bind(setup.dir.path().join("admin")).expect("bound"));
    let mut sexton = setup.run();
    sexton.prints("web | 2 admin:other");
    let path = sexton.dir.path().join("admin");
    std::os::unix::net::UnixStream::connect(&path).expect("somebody listens");
    sexton.signal("TERM");
    let ended = sexton.end();
    assert!(!ended.dir.path().join("admin").exists(), "it goes with its program");
    let setup = Setup::config(
        "[program.web]\ncommand = 'sleep 1000'\nstartretries = 0\nsockets = { admin = '$(DIR)/admin' }",
    );
    let _taken = std::os::unix::net::UnixListener::bind(setup.dir.path().join("admin")).expect("bound");
    assert_eq!(setup.run().end().code, Some(126));
}
