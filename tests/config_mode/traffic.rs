//! Whether anybody is refused: at a stop without a drain, with a delay and with quiet, and over restarts of a program
//! whose socket is kept. Real clients, a real server.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::in_order;
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
    assert!(quiet.stderr.contains(IT_IS_QUIET), "{}", quiet.stderr);
    assert!(quiet.took < fixed.took, "{:?} and {:?}", quiet.took, fixed.took);
    assert!(quiet.took >= SECOND * 3 / 2, "it waited for those who came: {:?}", quiet.took);
}

#[test]
fn loopback_is_left_out_unless_asked_for() {
    let stop = stopped("quiet = '500ms'\nports = [PORT]", SECOND);
    assert!(stop.failed > 0, "{}", stop.stderr);
}

/// Asks at an address, from the same, every 50 ms until it finds the file `enough`; writes down how many requests were
/// answered and how many not.
const CLIENT: &str = "
import os, socket, sys, time
answered = failed = 0
while not os.path.exists(sys.argv[1] + '/enough'):
    try:
        s = socket.create_connection(('10.99.0.1', 8080), 30, ('10.99.0.1', 0))
        s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
        answer = b''.join(iter(lambda: s.recv(4096), b''))
        s.close()
        answered, failed = answered + answer.endswith(b'ok'), failed + (not answer.endswith(b'ok'))
    except OSError:
        failed += 1
    with open(sys.argv[1] + '/new', 'w') as f: f.write(f'{answered} {failed}')
    os.rename(sys.argv[1] + '/new', sys.argv[1] + '/asked')
    time.sleep(0.05)
";

/// A network of its own for sexton, which has an address that is none of loopback's; and nobody special in it.
const ELSEWHERE: [&str; 6] = [
    "unshare",
    "--net",
    "bash",
    "-c",
    "busybox ip link set lo up && busybox ip address add 10.99.0.1/32 dev lo && exec setpriv --reuid=1000 \
     --regid=1000 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \"$@\"",
    "bash",
];

/// A client in the same network, which comes from that address.
struct Client(Child, PathBuf);

impl Client {
    /// How many requests were answered, and how many not.
    fn asked(&self) -> (usize, usize) {
        let text = std::fs::read_to_string(&self.1).unwrap_or_default();
        let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

/// A server that drains until its clients are quiet, and one that asks all the time.
fn with_a_client_from_elsewhere(drain: &str) -> (Running, Client) {
    let mut sexton = serving(Setup::config(&format!(
        "grace_period = '60s'\n[drain]\nquiet = '2s'\nports = [8080]\n{drain}\n[program.web]
        autorestart = false\ncommand = '/usr/bin/python3 $(DIR)/server 8080'"
    )))
    .through(&ELSEWHERE)
    .run();
    sexton.says("web: running", 1);
    assert_eq!(
        (sexton.status("CapBnd").as_str(), sexton.status("NoNewPrivs").as_str()),
        ("0000000000000000", "1")
    );
    let client = Command::new("nsenter")
        .args([&format!("--net=/proc/{}/ns/net", sexton.pid()), "python3", "-c", CLIENT])
        .arg(sexton.dir.path())
        .spawn()
        .expect("nsenter of util-linux runs");
    let client = Client(client, sexton.dir.path().join("asked"));
    wait_until("an answer", || (client.asked().0 > 0).then_some(()));
    (sexton, client)
}

const IT_IS_QUIET: &str = "the drain is over, no new connection has come for";

#[test]
fn who_comes_from_elsewhere_keeps_a_drain_going() {
    let (mut sexton, mut client) = with_a_client_from_elsewhere("");
    sexton.signal("TERM");
    sexton.says("SIGTERM received", 1);
    let (since, before) = (Instant::now(), client.asked().0);
    wait_until("answers after twice as long as it takes to be quiet", || {
        (since.elapsed() > SECOND * 4 && client.asked().0 > before).then_some(())
    });
    assert!(!sexton.stderr().contains(IT_IS_QUIET), "{}", sexton.stderr());
    sexton.write("enough", "");
    assert!(client.0.wait().expect("it is our child").success());
    assert_eq!(client.asked().1, 0, "nobody was refused: {}", sexton.stderr());
    let ended = sexton.end();
    in_order(&ended.stderr, [IT_IS_QUIET, "web: stopping with SIGTERM"]);
    assert_eq!(ended.code, Some(0));
}

#[test]
fn who_is_ignored_keeps_no_drain_going() {
    let (mut sexton, client) = with_a_client_from_elsewhere("ignore = ['10.99.0.1']");
    let before = client.asked().0;
    sexton.signal("TERM");
    let ended = sexton.end();
    in_order(&ended.stderr, ["SIGTERM received", IT_IS_QUIET, "web: stopping with SIGTERM"]);
    assert!(client.asked().0 > before, "somebody has come: {}", ended.stderr);
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
