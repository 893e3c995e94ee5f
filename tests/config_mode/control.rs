//! The control socket and the subcommands that use it, and what PID 1 does meanwhile.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::{PATIENCE, Running, Setup, sexton, wait_until};

/// A program that says what it gets, and that it is up.
const SERVES: &str =
    "trap 'echo usr1' USR1; trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done";

/// What a subcommand came to.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    /// It printed this, and ended with this code.
    fn is(&self, code: i32, stdout: &str) {
        assert_eq!((self.code, self.stdout.as_str(), self.stderr.as_str()), (Some(code), stdout, ""));
    }

    /// It complained so.
    fn complains(&self, code: i32, stderr: &str) {
        assert_eq!((self.code, self.stdout.as_str(), self.stderr.as_str()), (Some(code), "", stderr));
    }
}

/// sexton with its socket in the test's directory.
fn controlled(setup: Setup) -> Setup {
    let socket = setup.dir.path().join("socket");
    setup.options(["--socket".into(), socket.into_os_string()])
}

fn serving(toml: &str) -> Running {
    let running = controlled(Setup::config(toml)).run();
    wait_until("the socket", || UnixStream::connect(socket(&running)).ok());
    running
}

/// A program that runs this script, with more keys.
fn program(name: &str, script: &str, keys: &str) -> String {
    let startsecs = if keys.contains("startsecs") { "" } else { "startsecs = 0\n" };
    format!("[program.{name}]\ncommand = ['bash', '-c', '''{script}''']\n{startsecs}{keys}\n")
}

fn socket(running: &Running) -> PathBuf {
    running.dir.path().join("socket")
}

fn client(running: &Running, words: &[&str]) -> Command {
    let mut command = Command::new(sexton());
    command.arg("--socket").arg(socket(running)).args(words).env("SEXTON_GRACE", "nonsense");
    command
}

fn output(mut command: Command) -> Said {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn ask(running: &Running, words: &[&str]) -> Said {
    output(client(running, words))
}

/// Starts a subcommand whose output goes into a file of the test's directory.
fn begin(running: &Running, words: &[&str], file: &str) -> Child {
    let file = std::fs::File::create(running.dir.path().join(file)).expect("a file");
    client(running, words).stdout(file).spawn().expect("it runs")
}

fn connect(running: &Running) -> UnixStream {
    let stream = wait_until("a connection", || UnixStream::connect(socket(running)).ok());
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream
}

/// Everything until the connection is closed.
fn rest_of(mut stream: UnixStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        Ok(_) | Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn http(running: &Running, request: &str) -> String {
    let mut stream = connect(running);
    stream.write_all(request.as_bytes()).expect("sent");
    rest_of(stream)
}

fn state(running: &Running, name: &str) -> String {
    let said = ask(running, &["status", name]);
    let row = said.stdout.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_default();
    row.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

fn descriptors(running: &mut Running) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", running.pid())).expect("sexton runs").count()
}

/// It passes signals on, reaps and logs.
fn assert_works(running: &mut Running, name: &str) {
    let before = running.stdout().matches("usr1").count();
    ask(running, &["signal", "USR1", name]).is(0, &format!("{name}: signalled\n"));
    wait_until("its line", || (running.stdout().matches("usr1").count() > before).then_some(()));
}

#[test]
fn programs_are_started_stopped_restarted_and_signalled() {
    let toml = [program("web", SERVES, ""), program("db", SERVES, "after = { web = 'started' }")].concat();
    let mut sexton = serving(&toml);
    sexton.prints("db | up");
    let mode = std::fs::metadata(socket(&sexton)).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let said = ask(&sexton, &["status"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.stdout.starts_with("NAME  STATE       PID  UPTIME  RESTARTS  READY\nweb   RUNNING "),
        "{said:?}"
    );
    ask(&sexton, &["stop", "web"]).is(0, "web: stopped\n");
    assert_eq!(sexton.stdout().matches("web | bye").count(), 1);
    assert_eq!(ask(&sexton, &["status", "web"]).code, Some(3));
    ask(&sexton, &["stop", "web"]).is(0, "web: ERROR (not running)\n");
    ask(&sexton, &["signal", "HUP", "web"]).is(7, "web: ERROR (not running)\n");
    ask(&sexton, &["start", "web", "db"]).is(0, "db: ERROR (already started)\nweb: started\n");
    ask(&sexton, &["restart", "w*"]).is(0, "web: started\n");
    ask(&sexton, &["stop", "--dependents", "web"]).is(0, "db: stopped\nweb: stopped\n");
    ask(&sexton, &["start", "all"]).is(0, "web: started\ndb: started\n");
    ask(&sexton, &["stop", "nope"]).complains(1, "nope: ERROR (no such program)\n");
    ask(&sexton, &["status", "nope"]).complains(4, "nope: ERROR (no such program)\n");
    ask(&sexton, &["signal", "TREM", "web"]).complains(
        1,
        "cannot read `signal`: expected a signal such as `TERM`, `15` or `RTMIN+3`, got `TREM`\n",
    );
    assert!(sexton.stderr().contains("restart w* asked for by outside the container"), "{}", sexton.stderr());
    let story = ask(&sexton, &["explain", "web"]);
    assert!(
        story.stdout.contains("web: stopping with SIGTERM") && !story.stdout.contains("db:"),
        "{story:?}"
    );
    let json = ask(&sexton, &["status", "--json", "web"]).stdout;
    assert!(json.contains("\"state\":\"RUNNING\"") && json.contains("\"starts\":4"), "{json}");
    assert!(ask(&sexton, &["explain", "--json"]).stdout.contains("\"events\":[{\"at\":\""));
    assert_works(&mut sexton, "web");
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.dir.path().join("socket").exists());
}

#[test]
fn who_starts_a_program_hears_what_came_of_it() {
    let toml = [
        program("web", SERVES, ""),
        program("bad", "exit 3", "autostart = false\nstartsecs = 5\nstartretries = 1"),
        program("slow", "sleep 1000", "autostart = false\nstartsecs = 1000"),
    ]
    .concat();
    let mut sexton = serving(&toml);
    sexton.prints("up");
    let said = ask(&sexton, &["start", "bad"]);
    assert_eq!(said.code, Some(7), "{said:?}");
    assert!(said.stdout.starts_with("bad: ERROR (failed): exited with code 3 after 0."), "{said:?}");
    // One who waits for long is answered when somebody else decides, and who goes away costs nothing.
    let mut gone = begin(&sexton, &["start", "slow"], "gone");
    wait_until("a start", || (state(&sexton, "slow") == "STARTING").then_some(()));
    let meanwhile = descriptors(&mut sexton);
    gone.kill().expect("killed");
    gone.wait().expect("its end");
    wait_until("its descriptor", || (descriptors(&mut sexton) < meanwhile).then_some(()));
    ask(&sexton, &["stop", "slow"]).is(0, "slow: stopped\n");
    let mut waiting = begin(&sexton, &["start", "slow"], "waiting");
    wait_until("a start", || (state(&sexton, "slow") == "STARTING").then_some(()));
    ask(&sexton, &["stop", "slow"]).is(0, "slow: stopped\n");
    assert_eq!(waiting.wait().expect("its end").code(), Some(7));
    assert_eq!(sexton.file("waiting"), "slow: ERROR (failed): it has been stopped\n");
}

#[test]
fn the_last_lines_are_shown_and_the_next_ones_follow() {
    let script = "echo one; echo two; echo -n half; while [ ! -e $DIR/go ]; do sleep 0.02; done; echo ' a line'; \
                  echo three; echo oops >&2; sleep 1000";
    let toml = [
        program("web", script, ""),
        program("db", SERVES, ""),
        program("own", "sleep 1000", "output = 'inherit'"),
    ]
    .concat();
    let sexton = serving(&toml);
    sexton.prints("web | two");
    sexton.prints("db | up");
    ask(&sexton, &["logs", "-n", "2", "web"]).is(0, "two\nhalf\n");
    ask(&sexton, &["logs"]).is(0, "web | one\nweb | two\nweb | half\ndb | up\n");
    ask(&sexton, &["logs", "own"])
        .complains(1, "own's output does not pass through sexton: its `output` is `inherit`\n");
    ask(&sexton, &["logs", "nope"]).complains(1, "nope: ERROR (no such program)\n");
    let mut followers = [
        begin(&sexton, &["logs", "-f", "web"], "plain"),
        begin(&sexton, &["logs", "-f", "-n1"], "all"),
        begin(&sexton, &["logs", "-f", "db"], "other"),
    ];
    assert_eq!(sexton.file("plain"), "one\ntwo\n");
    assert_eq!(sexton.file("all"), "web | two\ndb | up\n");
    assert_eq!(sexton.file("other"), "up\n");
    sexton.write("go", "");
    wait_until("the rest", || (sexton.file("plain") == "one\ntwo\nhalf a line\nthree\noops\n").then_some(()));
    wait_until("the rest", || sexton.file("all").ends_with("web | three\nweb | oops\n").then_some(()));
    assert!(sexton.file("all").starts_with("web | two\ndb | up\nweb | half a line\n"));
    ask(&sexton, &["logs", "web"])
        .is(0, "==> web stdout <==\none\ntwo\nhalf a line\nthree\n==> web stderr <==\noops\n");
    // A program that starts again is followed on.
    ask(&sexton, &["restart", "db"]).is(0, "db: started\n");
    wait_until("its next lines", || (sexton.file("other") == "up\nbye\nup\n").then_some(()));
    for follower in &mut followers {
        follower.kill().expect("killed");
        follower.wait().expect("its end");
    }
    assert_eq!(state(&sexton, "web"), "RUNNING");
}

#[test]
fn who_reads_too_slowly_misses_something_and_is_told() {
    let script = "while [ ! -e $DIR/go ]; do sleep 0.02; done; \
                  for i in {1..100}; do head -c 65536 /dev/zero | tr '\\0' x | fold -w 100; echo; done; echo done; sleep 1000";
    let toml = [program("web", script, ""), program("db", SERVES, "")].concat();
    let mut sexton = serving(&toml);
    sexton.prints("db | up");
    let mut stream = connect(&sexton);
    stream.write_all(b"GET /v1/logs?follow=true&name=web HTTP/1.0\r\n\r\n").expect("sent");
    // It has been taken on once its head is there.
    let mut head = [0; 16];
    stream.read_exact(&mut head).expect("a head");
    sexton.write("go", "");
    sexton.prints("web | done");
    assert_works(&mut sexton, "db");
    let mut text = String::new();
    let mut buffer = vec![0; 65536];
    while !text.contains(" bytes were skipped: you read too slowly]\n") {
        let count = stream.read(&mut buffer).expect("more");
        assert_ne!(count, 0, "it ended");
        text.push_str(std::str::from_utf8(&buffer[..count]).expect("text"));
    }
    let line = text.lines().find(|line| line.starts_with("[sexton: ")).expect("a line of its own");
    let skipped: usize = line["[sexton: ".len()..].split(' ').next().expect("a number").parse().expect("one");
    assert!(skipped > 1_000_000 && skipped < 7_000_000, "{line}");
}

#[test]
fn who_misbehaves_is_dropped_and_keeps_nobody_waiting() {
    let mut sexton = serving(&program("web", SERVES, ""));
    sexton.prints("up");
    assert_works(&mut sexton, "web");
    let before = descriptors(&mut sexton);
    let silent: Vec<UnixStream> = (0..30).map(|_| connect(&sexton)).collect();
    let mut half: Vec<UnixStream> = (0..20).map(|_| connect(&sexton)).collect();
    for stream in &mut half {
        stream.write_all(b"POST /v1/stop HTTP/1.1\r\nContent-Length: 10\r\n\r\nname").expect("sent");
    }
    // And one that asks and never takes the answer.
    let deaf: Vec<UnixStream> = (0..10)
        .map(|_| {
            let mut stream = connect(&sexton);
            stream.write_all(b"GET /v1/status HTTP/1.1\r\n\r\n").expect("sent");
            stream
        })
        .collect();
    assert_works(&mut sexton, "web");
    for stream in silent.into_iter().chain(half) {
        assert_eq!(rest_of(stream), "");
    }
    drop(deaf);
    let huge = format!("GET /v1/status?name={} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let mut stream = connect(&sexton);
    let _ = stream.write_all(huge.as_bytes()); // it may have been closed by now
    assert!(rest_of(stream).starts_with("HTTP/1.1 431 "));
    assert!(http(&sexton, "hello\n\n").starts_with("HTTP/1.1 400 "));
    let pipelined =
        http(&sexton, "GET /v1/status HTTP/1.1\r\n\r\nGET /v1/status HTTP/1.1\r\n\r\n\0\0garbage");
    assert!(pipelined.starts_with("HTTP/1.1 200 OK\r\n") && pipelined.matches("HTTP/1.1").count() == 1);
    // Half closed is not gone.
    let mut stream = connect(&sexton);
    stream.write_all(b"POST /v1/signal?signal=USR1&name=web HTTP/1.0\r\n\r\n").expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("half closed");
    assert!(rest_of(stream).contains("\"signalled\""));
    wait_until("the descriptors of those who are gone", || {
        (descriptors(&mut sexton) == before).then_some(())
    });
    assert_works(&mut sexton, "web");
}

#[test]
fn two_hundred_at_once_are_all_served() {
    let sexton = serving(&program("web", SERVES, ""));
    sexton.prints("up");
    let clients: Vec<Child> = (0..200)
        .map(|number| {
            let mut command = client(&sexton, if number % 2 == 0 { &["status"] } else { &["explain"] });
            command.stdout(Stdio::piped()).spawn().expect("it runs")
        })
        .collect();
    for client in clients {
        let output = client.wait_with_output().expect("its end");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success() && text.contains("web"), "{text}");
    }
}

#[test]
fn those_who_wait_leave_places_for_those_who_only_look() {
    let toml = [program("web", SERVES, ""), program("slow", "sleep 1000", "startsecs = 1000")].concat();
    let sexton = serving(&toml);
    sexton.prints("up");
    let mut waiting: Vec<UnixStream> = Vec::new();
    for number in 0..48 {
        let mut stream = connect(&sexton);
        let request: &[u8] = if number % 2 == 0 {
            b"GET /v1/logs?follow=true HTTP/1.1\r\n\r\n"
        } else {
            b"POST /v1/restart?name=slow HTTP/1.1\r\n\r\n"
        };
        stream.write_all(request).expect("sent");
        waiting.push(stream);
    }
    let said =
        wait_until("refusal", || Some(ask(&sexton, &["logs", "-f"])).filter(|said| said.code == Some(1)));
    said.complains(1, "too many clients wait already; try again later\n");
    for _ in 0..30 {
        assert_eq!(ask(&sexton, &["status", "web"]).code, Some(0));
    }
    drop(waiting);
    wait_until("a place", || (ask(&sexton, &["signal", "USR1", "web"]).code == Some(0)).then_some(()));
}

#[test]
fn only_root_and_its_own_user_may_control_it() {
    let setup = controlled(Setup::config(&program("web", SERVES, "")));
    let through = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
    let mut sexton = setup.through(&through).run();
    sexton.prints("up");
    let path = socket(&sexton);
    wait_until("the socket", || UnixStream::connect(&path).ok());
    let as_user = |uid: u32| {
        let mut command = Command::new("curl");
        command.args(["-si", "--max-time", "60", "--unix-socket"]).arg(&path).arg("http://x/v1/status");
        output({
            command.uid(uid).gid(uid);
            command
        })
    };
    assert_ne!(as_user(65534).code, Some(0)); // the mode keeps it out
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("its mode");
    let said = as_user(65534);
    assert!(said.stdout.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{said:?}");
    assert!(
        said.stdout.ends_with("\r\n\r\nuid 65534 may not control this container: root and uid 1000 may\n"),
        "{said:?}"
    );
    assert!(as_user(1000).stdout.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(as_user(0).stdout.starts_with("HTTP/1.1 200 OK\r\n"));
    sexton.signal("TERM"); // a change of user has taken away the signal that it would get at its parent's death
    assert_eq!(sexton.end().code, Some(0));
}

#[test]
fn curl_is_a_client() {
    let sexton = serving(&program("web", SERVES, ""));
    sexton.prints("up");
    let curl = |words: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-s", "--max-time", "60", "--unix-socket"]).arg(socket(&sexton)).args(words);
        output(command).stdout
    };
    assert!(curl(&["http://x/"]).starts_with("GET  /v1 "));
    let stopped = "{\"exit_code\":0,\"results\":[{\"program\":\"web\",\"ok\":true,\"result\":\"stopped\",\"text\":\"\"}]}\n";
    assert_eq!(curl(&["-d", "name=web", "http://x/v1/stop"]), stopped);
    assert_eq!(curl(&["-X", "POST", "http://x/v1/start?name=web&format=text"]), "web: started\n");
    assert_eq!(curl(&["http://x/v1/stop"]), "/v1/stop takes POST only\n");
    assert!(curl(&["-I", "http://x/v1/status"]).starts_with("HTTP/1.1 200 OK\r\n"));
    let chunked = ["-H", "Transfer-Encoding: chunked", "-d", "name=web", "-o", "-", "-w", "%{http_code}"];
    assert!(curl(&[&chunked[..], &["http://x/v1/stop"]].concat()).ends_with("411"));
    assert_eq!(state(&sexton, "web"), "RUNNING");
}

#[test]
fn a_socket_that_cannot_be_made_is_fatal_only_where_it_was_asked_for() {
    let toml = program("web", "echo started", "autorestart = false");
    let asked = |path: &str| {
        let ended = Setup::config(&toml).options(["--socket", path]).run().end();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(111), ""), "{ended:?}");
        ended.stderr
    };
    assert_eq!(
        asked("/no/such/directory/socket"),
        "sexton: cannot make the control socket `/no/such/directory/socket`: no such file or directory; nothing was started\n"
    );
    assert!(asked("/proc/socket").contains("cannot make the control socket `/proc/socket`: "));
    assert!(asked(&"x".repeat(200)).ends_with(": its path is longer than 107 bytes; nothing was started\n"));
    let default = |before: &str| {
        let mut ended = Setup::config(&toml)
            .before(&format!("mount -t tmpfs none /run; {before}"))
            .through(&["env", "-u", "SEXTON_SOCKET"])
            .run()
            .end();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "web | started\n"), "{ended:?}");
        ended.stderr.retain(|c| c != '\0');
        ended.stderr
    };
    let warning =
        "cannot make the control socket `/run/sexton.sock`: read-only file system; going on without\n";
    assert_eq!(default("mount -o remount,ro /run").matches(warning).count(), 1);
    assert!(!default("").contains("control socket"));
    let taken = default("touch /run/sexton.sock");
    assert!(taken.contains("there is a file of this name that is no socket; going on without\n"), "{taken}");
}

#[test]
fn a_stale_socket_is_replaced_and_nothing_else_is() {
    let toml = program("web", SERVES, "");
    let start = |make: &dyn Fn(&std::path::Path)| {
        let setup = Setup::config(&toml);
        make(&setup.dir.path().join("socket"));
        controlled(setup).run()
    };
    let stale = start(&|path| drop(UnixListener::bind(path).expect("bound")));
    stale.prints("up");
    assert_eq!(ask(&stale, &["status"]).code, Some(0));
    let refused = |make: &dyn Fn(&std::path::Path), why: &str| {
        let ended = start(make).end();
        assert_eq!(ended.code, Some(111), "{ended:?}");
        assert!(ended.stderr.contains(why), "{ended:?}");
        ended.dir
    };
    let live = std::cell::OnceCell::new();
    let dir = refused(
        &|path| drop(live.set(UnixListener::bind(path).expect("bound"))),
        ": somebody else listens there; nothing was started",
    );
    assert!(std::fs::metadata(dir.path().join("socket")).expect("it stays").file_type().is_socket());
    let why = ": there is a file of this name that is no socket; nothing was started";
    let dir = refused(&|path| std::fs::write(path, "precious").expect("written"), why);
    assert_eq!(std::fs::read_to_string(dir.path().join("socket")).expect("it stays"), "precious");
    let dir = refused(&|path| std::os::unix::fs::symlink("target", path).expect("a link"), why);
    assert!(!dir.path().join("target").exists());
    // What has taken its place meanwhile is not removed.
    let mut replaced = start(&|_| {});
    replaced.prints("up");
    wait_until("the socket", || UnixStream::connect(socket(&replaced)).ok());
    std::fs::remove_file(socket(&replaced)).expect("removed");
    replaced.write("socket", "another's");
    replaced.signal("TERM");
    assert_eq!(replaced.end().file("socket"), "another's");
}

#[test]
fn the_file_says_where_and_the_command_line_wins() {
    let toml = format!("control.socket = '$(DIR)/from-file'\n{}", program("web", SERVES, ""));
    let sexton = Setup::config(&toml).through(&["env", "-u", "SEXTON_SOCKET"]).run();
    sexton.prints("up");
    assert!(sexton.has_file("from-file"));
    let sexton = controlled(Setup::config(&toml)).run();
    sexton.prints("up");
    assert!(sexton.has_file("socket") && !sexton.has_file("from-file"));
    let none = toml.replace("$(DIR)/from-file", "none");
    let mut sexton = Setup::config(&none).through(&["env", "-u", "SEXTON_SOCKET"]).run();
    sexton.prints("up");
    assert!(!sexton.stderr().contains("socket"));
    sexton.signal("TERM");
    sexton.end();
}

#[test]
fn a_file_with_errors_is_told_to_who_wanted_it_read() {
    let toml = program("web", SERVES, "");
    let sexton = serving(&toml);
    sexton.prints("up");
    let done = "configuration read again: 0 new, 0 gone, 0 changed; the others keep their processes\n";
    ask(&sexton, &["reload"]).is(0, done);
    sexton.write("sexton.toml", &format!("{toml}startsekunden = 3\nstopsginal = 'TERM'\n"));
    let said = ask(&sexton, &["reload"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
    assert_eq!(said.stderr.matches("ERROR: ").count(), 2, "{said:?}");
    assert!(said.stderr.contains("sexton.toml:6:1: unknown key `stopsginal`"), "{said:?}");
    sexton.says("cannot read the configuration again; going on with the old one", 1);
}

#[test]
fn while_it_drains_and_stops_it_says_so_and_starts_nothing() {
    let script = "trap 'echo told; while [ ! -e $DIR/go ]; do sleep 0.01; done; exit 0' TERM
        echo up; while :; do sleep 0.02; done";
    let toml =
        format!("grace_period = '60s'\ndrain.delay = '1s'\n{}", program("web", script, "stopwaitsecs = 50"));
    let mut sexton = serving(&toml);
    sexton.prints("up");
    let mut follower = begin(&sexton, &["logs", "-f", "web"], "follower");
    sexton.file("follower");
    sexton.signal("TERM");
    sexton.says("draining for 1", 1);
    let draining = ask(&sexton, &["status"]).stdout;
    sexton.prints("told");
    // A busy machine may have looked too late.
    assert!(draining.starts_with("draining for ") || draining.starts_with("stopping for "), "{draining}");
    let said = wait_until("the stop", || {
        Some(ask(&sexton, &["status"])).filter(|said| said.stdout.starts_with("stopping for "))
    });
    assert_eq!(said.code, Some(3));
    assert!(said.stdout.contains("SIGKILL in"), "{said:?}");
    let stops = "ERROR: the container is stopping\n";
    for words in [&["start", "web"][..], &["stop", "web"], &["reload"], &["hold", "on"]] {
        ask(&sexton, words).complains(1, stops);
    }
    ask(&sexton, &["release"]).complains(1, "ERROR: the container is not held\n");
    ask(&sexton, &["signal", "WINCH", "web"]).is(0, "web: signalled\n");
    assert!(ask(&sexton, &["explain"]).stdout.contains("The container is stopping for"));
    sexton.write("go", "");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(0));
    assert_eq!(follower.wait().expect("its end").code(), Some(0));
    assert_eq!(ended.file("follower"), "up\ntold\n");
}

#[test]
fn a_hold_is_turned_on_seen_and_ended() {
    let script = "echo start >> $DIR/starts; [ -e $DIR/mended ] && { echo mended; sleep 1000; }; \
                  while [ ! -e $DIR/go ]; do sleep 0.01; done; exit 7";
    let toml = format!("main = 'web'\n{}", program("web", script, "autorestart = false"));
    let sexton = serving(&toml);
    sexton.file("starts");
    ask(&sexton, &["release"]).complains(1, "ERROR: the container is not held\n");
    ask(&sexton, &["hold", "on"]).is(0, "a failure that ends the container will be held\n");
    sexton.write("go", "");
    sexton.says("holding", 1);
    let said = ask(&sexton, &["status"]);
    assert_eq!(said.code, Some(3));
    let first = said.stdout.lines().next().expect("a line");
    assert!(
        first.starts_with("held for 0.")
            && first.ends_with("s: web exited with code 7; release: sexton release [--restart]"),
        "{said:?}"
    );
    sexton.write("mended", "");
    ask(&sexton, &["release", "--restart"]).is(0, "web: started\n");
    sexton.prints("mended");
    ask(&sexton, &["hold", "off"]).is(0, "no failure will be held\n");
    ask(&sexton, &["signal", "KILL", "web"]).is(0, "web: signalled\n");
    assert_eq!(sexton.end().code, Some(137));
}

#[test]
fn release_ends_a_hold_with_the_original_code() {
    let toml =
        format!("main = 'web'\nhold.on = 'failure'\n{}", program("web", "exit 7", "autorestart = false"));
    let sexton = serving(&toml);
    sexton.says("holding", 1);
    ask(&sexton, &["release"]).is(0, "the hold is over; the container ends\n");
    assert_eq!(sexton.end().code, Some(7));
}

/// Runs a subcommand inside of sexton's namespaces.
fn inside(running: &mut Running, words: &[&str]) -> Said {
    let mut command = Command::new("nsenter");
    let pid = running.pid().to_string();
    command.args(["-t", &pid, "-p", "-m", "--", "env", "-u", "SEXTON_SOCKET", sexton()]).args(words);
    output(command)
}

fn name_of(running: &mut Running) -> String {
    running.status("Name")
}

#[test]
fn in_exec_mode_there_is_a_socket_while_it_is_held() {
    let script =
        "echo start >> $DIR/starts; [ $(wc -l < $DIR/starts) = 3 ] && { echo third; sleep 1000; }; exit 7";
    let mut sexton = Setup::pid_1()
        .before("mount -t tmpfs none /run")
        .through(&["env", "-u", "SEXTON_SOCKET"])
        .options(["--hold=failure"])
        .shell(script);
    sexton.says("holding", 1);
    assert_eq!(name_of(&mut sexton), "sexton (held)");
    let said = inside(&mut sexton, &["status"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stdout.starts_with("held for ") && said.stdout.contains("\nmain  EXITED "), "{said:?}");
    assert!(inside(&mut sexton, &["explain"]).stdout.contains("main: exited with code 7"));
    inside(&mut sexton, &["logs"]).complains(
        1,
        "main's output does not pass through sexton: it has what sexton was given; with `--tail LINES` its stderr would\n",
    );
    inside(&mut sexton, &["reload"])
        .complains(1, "ERROR: the container is held; `release --restart` comes first\n");
    // The socket goes with the hold, and whoever asked for its end is answered all the same.
    inside(&mut sexton, &["release", "--restart"]).is(0, "main: started\n");
    sexton.says("holding", 2);
    wait_until("the next hold's socket", || (inside(&mut sexton, &["status"]).code == Some(3)).then_some(()));
    inside(&mut sexton, &["release", "--restart"]).is(0, "main: started\n");
    sexton.prints("third");
    assert_ne!(name_of(&mut sexton), "sexton (held)");
    let said = inside(&mut sexton, &["status"]);
    assert_eq!(said.code, Some(4));
    assert!(
        said.stderr.starts_with(
            "sexton: cannot reach sexton at /run/sexton.sock: no such file or directory; is it "
        ),
        "{said:?}"
    );
    let said = inside(&mut sexton, &["release"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("not a sexton that holds its container"), "{said:?}");
    assert!(sexton.is_running());
}

#[test]
fn release_needs_no_socket() {
    // There is nowhere to make one.
    let script = "echo start >> $DIR/starts; echo started; exit 7";
    let mut sexton = Setup::pid_1()
        .before("mount -t tmpfs none /run; mount -o remount,ro /run")
        .through(&["env", "-u", "SEXTON_SOCKET"])
        .options(["--hold=failure"])
        .shell(script);
    sexton.says("holding", 1);
    assert!(!sexton.stderr().contains("control socket"), "{}", sexton.stderr());
    inside(&mut sexton, &["release", "--restart"]).is(0, "the hold is over; what failed starts again\n");
    sexton.says("holding", 2);
    // It may die with its process 1 at any time from here on.
    assert_eq!(inside(&mut sexton, &["release"]).stdout, "the hold is over; the container ends\n");
    let ended = sexton.end();
    assert_eq!((ended.code, ended.file("starts").as_str()), (Some(7), "start\nstart\n"));
}

#[test]
fn in_exec_mode_it_can_be_there_from_the_start() {
    let script = "trap 'echo usr1' USR1; echo up; echo 'to stderr' >&2; while [ ! -e $DIR/go ]; do sleep 0.02; done; \
                  echo more >&2; while :; do sleep 0.02; done";
    let mut sexton = controlled(Setup::pid_1().options(["--tail=5"])).shell(script);
    sexton.prints("up");
    sexton.says("to stderr", 1);
    ask(&sexton, &["logs"]).is(0, "to stderr\n");
    let mut follower = begin(&sexton, &["logs", "-f"], "follower");
    assert_eq!(sexton.file("follower"), "to stderr\n");
    sexton.write("go", "");
    wait_until("more", || (sexton.file("follower") == "to stderr\nmore\n").then_some(()));
    assert_works(&mut sexton, "main");
    ask(&sexton, &["reload"])
        .complains(1, "ERROR: there is no configuration to read: sexton was started with a command\n");
    let said = ask(&sexton, &["stop", "main"]);
    assert!(said.code.is_some(), "{said:?}");
    follower.kill().expect("killed");
    follower.wait().expect("its end");
}

#[test]
fn watching_goes_on_until_sexton_is_gone() {
    let mut sexton = serving(&program("web", SERVES, ""));
    sexton.prints("up");
    let mut watch = begin(&sexton, &["status", "--watch"], "watch");
    wait_until("two tables", || (sexton.file("watch").matches("\n\nNAME ").count() >= 1).then_some(()));
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(0));
    assert_eq!(watch.wait().expect("its end").code(), Some(4));
}

#[test]
fn who_has_seen_enough_ends_quietly() {
    let sexton = serving(&program("web", SERVES, ""));
    sexton.prints("up");
    let mut command = Command::new("bash");
    let script = "set -o pipefail; for i in {1..50}; do \"$@\" | true; done";
    command
        .args(["-c", script, "bash", super::support::sexton(), "--socket"])
        .arg(socket(&sexton))
        .arg("explain");
    assert_eq!(output(command).stderr, "");
    let mut command = Command::new("bash");
    command.args(["-c", "trap '' PIPE; \"$@\" | true", "bash", super::support::sexton(), "--socket"]);
    command.arg(socket(&sexton)).arg("explain");
    assert_eq!(output(command).stderr, "");
}

#[test]
fn as_pid_1_a_subcommand_is_a_programs_name() {
    let setup = Setup::pid_1();
    let program = setup.dir.path().join("status");
    std::fs::write(&program, "#!/bin/bash\necho \"ran $*\"\n").expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let path = format!("{}:{}", setup.dir.path().display(), std::env::var("PATH").expect("a path"));
    // Without `--`.
    let ended = setup.env("PATH", &path).options(["status", "--json"]).run().end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "ran --json\n"), "{ended:?}");
    let ended = Setup::pid_1().env("SEXTON_GRACE", "nonsense").options(["status"]).run().end();
    assert_eq!(ended.code, Some(100), "{ended:?}");
}
