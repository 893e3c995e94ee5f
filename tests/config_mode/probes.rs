//! Probes and hooks as real commands and calls. Their exact times are tested on the scripted kernel.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use crate::in_order;
use crate::support::{Running, Setup, wait_until};

/// A server that answers every request with the code of the moment; 0 is no answer at all.
struct Server {
    port: u16,
    code: Arc<AtomicU16>,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn new(code: u16) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (code, requests) = (Arc::new(AtomicU16::new(code)), Arc::new(AtomicUsize::new(0)));
        let (now, count) = (code.clone(), requests.clone());
        std::thread::spawn(move || {
            let mut unanswered = Vec::new();
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                match now.load(Ordering::SeqCst) {
                    0 => unanswered.push(stream),
                    code => answer(stream, code),
                }
            }
        });
        Server { port, code, requests }
    }

    fn answers(&self, code: u16) {
        self.code.store(code, Ordering::SeqCst);
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, code: u16) {
    let lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
    let _request: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let _ = write!(stream, "HTTP/1.1 {code} So\r\nContent-Length: 2\r\n\r\nok"); // it may have gone
}

/// The command lines of all processes below sexton.
fn commands(sexton: &mut Running) -> Vec<String> {
    let read = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    sexton.children().into_iter().map(|pid| read(pid).replace('\0', " ")).collect()
}

#[test]
fn a_command_says_whether_a_program_is_ready() {
    let sexton = Setup::config(
        "[program.db]\ncommand = 'sleep 1000'\nenvironment = { WORD = 'go' }
        [program.db.probe.readiness]\nexec = ['bash', '-c', 'echo no $$WORD yet; test -e $(DIR)/$$WORD']
        period_seconds = 0.1
        [program.web]\ncommand = 'sleep 1000'\nafter = { db = 'ready' }\nlog.level = 'debug'"
            .replace("\nlog.level = 'debug'", "")
            .as_str(),
    )
    .options(["-vv"])
    .run();
    sexton.says("db: readiness probe: exited with code 1: no go yet", 3);
    assert!(!sexton.stderr().contains("web: started"), "{}", sexton.stderr());
    sexton.write("go", "");
    sexton.says("web: started", 1);
    in_order(&sexton.stderr(), ["db: started", "db: ready", "web: started"]);
    fs::remove_file(sexton.dir.path().join("go")).expect("removed");
    sexton.says("db: not ready: exited with code 1: no go yet", 1);
}

#[test]
fn an_http_probe_takes_200_to_399_for_success() {
    let server = Server::new(503);
    let sexton = Setup::config(&format!(
        "[program.web]\ncommand = 'sleep 1000'
        [program.web.probe.readiness]\nhttp = {{ port = {}, path = '/ready?x=1' }}\nperiod_seconds = 0.1",
        server.port
    ))
    .options(["-vv"])
    .run();
    sexton.says("web: readiness probe: answered with code 503", 2);
    server.answers(399);
    sexton.says("web: ready", 1);
    server.answers(400);
    sexton.says("web: not ready: answered with code 400", 1);
}

#[test]
fn a_target_that_hangs_costs_its_own_timeout_and_nothing_else() {
    let (hanging, quick) = (Server::new(0), Server::new(200));
    let mut sexton = Setup::config(&format!(
        "[program.slow]\ncommand = 'sleep 1000'
        [program.slow.probe.readiness]\nhttp = {{ port = {} }}\ntimeout_seconds = 1000
        [program.quick]\ncommand = ['bash', '-c', 'trap \"exit 7\" TERM; sleep 1000 & wait']
        [program.quick.probe.readiness]\nhttp = {{ port = {} }}\nperiod_seconds = 0.05",
        hanging.port, quick.port
    ))
    .run();
    sexton.says("quick: ready", 1);
    wait_until("many answers", || (quick.requests() >= 20).then_some(()));
    assert_eq!(hanging.requests(), 1);
    sexton.signal("TERM");
    let ended = sexton.end();
    assert!(ended.stderr.contains("quick: exited with code 7"), "{}", ended.stderr);
}

#[test]
fn a_failed_liveness_probe_restarts_the_program() {
    let server = Server::new(200);
    let sexton = Setup::config(&format!(
        "[program.web]\ncommand = 'sleep 1000'\nstartsecs = 0
        [program.web.probe.liveness]\ntcp = {{ port = {} }}\nperiod_seconds = 0.1
        [program.bad]\ncommand = ['bash', '-c', 'trap \"exit 0\" TERM; sleep 1000 & wait']\nstartsecs = 0
        [program.bad.probe.liveness]\ntcp = {{ port = 1 }}\nperiod_seconds = 0.1",
        server.port
    ))
    .run();
    sexton.says("bad: its liveness probe has failed 3 times: connection refused; stopping it", 2);
    let stderr = sexton.stderr();
    let end = stderr.lines().find(|line| line.contains("bad: exited with code 0 after ")).unwrap_or_default();
    assert!(end.contains("s, its liveness probe had failed (unexpected)"), "{stderr}");
    assert_eq!(stderr.matches("web: started").count(), 1, "{stderr}");
}

#[test]
fn what_a_probe_has_started_goes_when_its_time_is_over_and_when_it_ends() {
    let mut sexton = Setup::config(
        "[program.web]\ncommand = 'sleep 1000'
        [program.web.probe.readiness]\nperiod_seconds = 0.2\ntimeout_seconds = 0.3
        exec = ['bash', '-c', 'sleep 2001 & setsid sleep 2002 & sleep 2003']
        [program.web.probe.liveness]\nperiod_seconds = 0.2
        exec = ['bash', '-c', 'sleep 2004 & exit 0']",
    )
    .options(["-vv"])
    .run();
    sexton.says("web: readiness probe: no answer within 0.3s", 5);
    wait_until("nothing left of five rounds but those of the sixth", || {
        let left = commands(&mut sexton).iter().filter(|line| line.contains("sleep 200")).count();
        (left <= 5).then_some(())
    });
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(0));
}

#[test]
fn a_probe_that_cannot_be_run_says_nothing_of_the_program() {
    let sexton = Setup::config(
        "[program.web]\ncommand = 'sleep 1000'\nstartsecs = 0
        [program.web.probe.liveness]\nexec = '/no/such/check'\nperiod_seconds = 0.05\nfailure_threshold = 1",
    )
    .run();
    sexton.says("web: cannot run its liveness probe: cannot execute `/no/such/check`: no such file", 1);
    assert!(!sexton.stderr().contains("stopping"), "{}", sexton.stderr());
}

#[test]
fn a_great_deal_of_output_neither_blocks_a_probe_nor_fills_the_log() {
    let sexton = Setup::config(
        "[program.web]\ncommand = 'sleep 1000'
        [program.web.probe.readiness]\nexec = ['bash', '-c', 'head -c 3000000 /dev/zero | tr \"\\\\0\" x; exit 0']\ntimeout_seconds = 50",
    )
    .run();
    sexton.says("web: ready", 1);
    assert!(sexton.stderr().len() < 2_000, "{}", sexton.stderr().len());
}

#[test]
fn a_hook_gets_what_the_program_gets_and_its_lines_are_logged() {
    let mut sexton = Setup::config(
        "[program.web]\ncommand = ['bash', '-c', 'sleep 1000 & wait']\nstartsecs = 0
        directory = '/usr'\nenvironment = { WORD = 'here' }\nuser = '1234:1234'
        [program.web.hook.post_start]\nexec = ['bash', '-c', 'echo $$WORD $(pwd) $(id -u); printf rest']
        [program.web.hook.pre_stop]\nexec = ['bash', '-c', 'echo bye']",
    )
    .run();
    sexton.says("web: post_start hook: here /usr 1234", 1);
    sexton.says("web: post_start hook: rest", 1);
    sexton.says("web: running", 1);
    sexton.signal("TERM");
    let ended = sexton.end();
    in_order(
        &ended.stderr,
        ["SIGTERM received", "web: running its pre_stop hook", "bye", "web: stopping with SIGTERM"],
    );
}

#[test]
fn a_failed_post_start_hook_is_a_failed_start() {
    let sexton = Setup::config(
        "[program.web]\ncommand = 'sleep 1000'\nstartsecs = 0\nstartretries = 1
        [program.web.hook.post_start]\nexec = ['bash', '-c', 'exit 3']",
    )
    .run();
    let ended = sexton.end();
    assert_eq!(ended.stderr.matches("web: its post_start hook has failed: exited with code 3").count(), 2);
    assert!(ended.stderr.contains("1 of 1 retries used"), "{}", ended.stderr);
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
}

#[test]
fn any_answer_is_good_enough_for_a_hook() {
    let server = Server::new(500);
    let mut sexton = Setup::config(&format!(
        "[program.web]\ncommand = 'sleep 1000'
        [program.web.hook.pre_stop]\nhttp = {{ port = {}, path = '/shutdown' }}",
        server.port
    ))
    .run();
    sexton.says("web: started", 1);
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!(server.requests(), 1);
    assert!(!ended.stderr.contains("has failed"), "{}", ended.stderr);
}

#[test]
fn a_pre_stop_hook_that_hangs_is_ended_with_all_that_it_started() {
    let mut sexton = Setup::config(
        "grace_period = '60s'\n[program.web]\ncommand = 'sleep 1000'
        [program.web.hook.pre_stop]\nexec = ['bash', '-c', 'sleep 3001 & setsid sleep 3002 & sleep 3003']\ntimeout = '300ms'
        [program.last]\ncommand = ['bash', '-c', 'trap : TERM; sleep 1000 & wait; until test -e $(DIR)/go; do sleep 0.05; done']\nstopwaitsecs = 50",
    )
    .run();
    sexton.says("last: running", 1);
    sexton.signal("TERM");
    sexton.says("web: its pre_stop hook has failed: it took too long", 1);
    wait_until("the hook's processes are gone", || {
        let left = commands(&mut sexton).iter().any(|line| line.contains("sleep 300"));
        (!left).then_some(())
    });
    sexton.write("go", "");
    sexton.end();
}

#[test]
fn a_probe_of_a_program_that_restarts_all_the_time_leaves_nothing_behind() {
    let mut sexton = Setup::config(
        "[program.web]\ncommand = 'sleep 0.1'\nstartsecs = 0\nautorestart = true\nrestart_delay = '1ms'
        [program.web.probe.readiness]\nexec = 'sleep 4001'\ntimeout_seconds = 50",
    )
    .run();
    sexton.says("web: started", 10);
    wait_until("one probe at most", || {
        (commands(&mut sexton).iter().filter(|line| line.contains("sleep 4001")).count() <= 1).then_some(())
    });
    std::thread::sleep(Duration::ZERO);
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(0));
}

#[test]
fn what_a_hook_leaves_running_goes_on_writing() {
    let sexton = Setup::config(
        "[program.web]\ncommand = 'sleep 1000'\nstartsecs = 0
        [program.web.hook.post_start]\nexec = ['bash', '-c', '(until [ -e $(DIR)/go ]; do sleep 0.02; done; echo later; echo yes >$(DIR)/alive) & exit 0']",
    )
    .run();
    sexton.says("web: running", 1);
    sexton.write("go", "");
    sexton.says("web: post_start hook: later", 1);
    sexton.file("alive");
}
