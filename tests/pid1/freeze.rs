//! What fails is kept as it was while the container is held, and its true end comes out when it is let go.

use std::fs;
use std::path::PathBuf;

use crate::support::{Running, Setup, status_of, wait_until};

/// Options of all of them.
const FREEZE: [&str; 2] = ["--hold=failure", "--hold-freeze"];

/// Waits until it is traced, which it is just after its start.
const TRACED: &str = "until grep -q \"TracerPid:.*[1-9]\" /proc/$BASHPID/status; do :; done;";

/// A shell script that is traced.
fn traced(script: &str) -> String {
    format!("{TRACED} {script}")
}

/// Listens on port 7000, says so, and does this then. A second one that gets the port does it again.
fn server(then: &str) -> String {
    format!(
        "import os, signal, socket, sys, threading, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
while 'TracerPid:\\t0\\n' in open('/proc/self/status').read(): pass
s.bind(('127.0.0.1', 7000)); s.listen(); print('listening', flush=True)
{then}"
    )
}

fn in_network(setup: Setup) -> Setup {
    setup.through(&["unshare", "--net", "bash", "-c", "busybox ip link set lo up; exec \"$@\"", "bash"])
}

fn start(setup: Setup, then: &str) -> Running {
    in_network(setup).options(FREEZE).command(&["python3", "-c", &server(then)])
}

/// The only child, which is frozen: by its number outside.
fn frozen(sexton: &mut Running) -> i32 {
    sexton.says("holding the container", 1);
    sexton.says("look at it:   /proc/", 1);
    let children = sexton.children();
    let [pid] = children[..] else { panic!("one child: {children:?}") };
    assert!(status_of(pid, "State").starts_with("t (tracing stop)"), "{}", status_of(pid, "State"));
    pid
}

fn links(pid: i32) -> Vec<PathBuf> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    fds.map(|fd| fs::read_link(fd.expect("an entry").path()).expect("a link")).collect()
}

/// The port is still listened on, in its network.
fn listens(pid: i32) -> bool {
    // 7000 is 1B58, and 0A is LISTEN.
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).expect("its sockets");
    table.lines().any(|line| line.contains(":1B58 00000000:0000 0A"))
}

fn assert_is_all_there(pid: i32) {
    assert!(!status_of(pid, "VmRSS").is_empty(), "its memory is gone");
    assert!(!fs::read(format!("/proc/{pid}/environ")).expect("its environment").is_empty());
    assert!(links(pid).iter().any(|link| link.to_string_lossy().starts_with("socket:")));
    assert!(listens(pid), "its port is closed");
}

#[test]
fn what_failed_stays_as_it_was_and_ends_as_it_would_have() {
    for (then, code, said) in [
        ("os._exit(3)", 3, "exited with code 3"),
        ("signal.raise_signal(signal.SIGSEGV)", 139, "SIGSEGV"),
        ("os.abort()", 134, "SIGABRT"),
        // Another thread ends all.
        ("threading.Thread(target=lambda: os._exit(4)).start(); time.sleep(1000)", 4, "exited with code 4"),
        (
            "threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGSEGV)).start()
time.sleep(1000)",
            139,
            "SIGSEGV",
        ),
    ] {
        let setup = Setup::pid_1();
        let why = setup.dir.path().join("why");
        fs::write(&why, "").expect("written");
        let setup = setup.options(["--termination-message".into(), why.into_os_string()]);
        let mut sexton = start(setup, then);
        let pid = frozen(&mut sexton);
        sexton.says(said, 1);
        assert_is_all_there(pid);
        sexton.signal("TERM");
        let ended = sexton.end();
        assert_eq!(ended.code, Some(code), "{then}: {ended:?}");
        assert!(ended.file("why").contains(said), "{then}: {ended:?}");
    }
}

#[test]
fn a_hangup_starts_main_again_and_it_gets_the_port() {
    let then = "open(os.environ['DIR'] + '/starts', 'a').write('start\\n')
if len(open(os.environ['DIR'] + '/starts').readlines()) == 3: sys.exit(0)
big = bytearray(100_000_000); os.abort()";
    let mut sexton = start(Setup::pid_1(), then);
    frozen(&mut sexton);
    sexton.signal("HUP");
    sexton.says("holding the container", 2);
    frozen(&mut sexton);
    sexton.signal("HUP");
    let ended = sexton.end();
    assert_eq!((ended.code, ended.stdout.matches("listening").count()), (Some(0), 3), "{ended:?}");
}

#[test]
fn it_is_kept_no_longer_than_the_hold() {
    let sexton = start(Setup::pid_1().options(["--hold-for=300ms"]), "os._exit(3)");
    sexton.says("look at it:   /proc/", 1);
    let ended = sexton.end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    // Where nothing can be held, nothing is traced, and where nothing is held, nothing is kept.
    let ended = Setup::pid_1().options(["--hold-freeze"]).shell("exit 3").end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(3), ""));
    let setup = Setup::pid_1();
    let file = setup.dir.path().join("hold");
    fs::write(&file, "false").expect("written");
    let ended = setup
        .options(FREEZE)
        .options(["--hold-file".into(), file.into_os_string()])
        .shell(&traced("exit 3"))
        .end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(!ended.stderr.contains("holding the container"), "{ended:?}");
}

#[test]
fn success_and_sigkill_are_let_go() {
    assert_eq!(Setup::pid_1().options(FREEZE).shell("exit 0").end().code, Some(0));
    let mut sexton = Setup::pid_1().options(FREEZE).shell(&traced("kill -9 $$"));
    sexton.says("holding the container", 1);
    assert_eq!((sexton.children().len(), sexton.stderr().contains("look at it")), (0, false));
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(137));
}

#[test]
fn not_even_sigkill_to_its_group_reaches_it() {
    // Sent from within the namespace, by what main has left outside its group.
    let script = "setsid bash -c 'until [ -e $DIR/go ]; do sleep 0.02; done; kill -KILL -- -$0; kill -KILL $0; echo sent > $DIR/sent' $$ &
        exit 3";
    let mut sexton = Setup::pid_1().options(FREEZE).shell(&traced(script));
    sexton.says("look at it:   /proc/", 1);
    sexton.write("go", "");
    assert_eq!(sexton.file("sent"), "sent\n");
    let is_frozen = |pid: &i32| status_of(*pid, "State").starts_with("t (tracing stop)");
    assert_eq!(sexton.children().iter().filter(|pid| is_frozen(pid)).count(), 1);
    assert!(sexton.is_running());
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(3));
}

#[test]
fn signals_and_pauses_are_as_before() {
    let script = "for s in 1 2 10 18 34 64; do trap \"echo got $s\" $s; done; trap 'exit 42' USR2
        echo ready; while :; do sleep 0.02; done";
    let mut sexton = Setup::pid_1().options(FREEZE).options(["--stop-on=TERM"]).shell(&traced(script));
    sexton.prints("ready");
    for number in [1, 2, 10, 18, 34, 64] {
        sexton.signal(&number.to_string());
        sexton.prints(&format!("got {number}\n"));
    }
    let pid = sexton.pid();
    let main = wait_until("main", || sexton.children().first().copied());
    let kill = |signal: &str| {
        let status = std::process::Command::new("kill").args(["-s", signal, &main.to_string()]).status();
        assert!(status.expect("kill").success());
    };
    for times in 1..=3 {
        kill(if times == 2 { "TSTP" } else { "STOP" });
        sexton.says("stopped by", times);
        wait_until("a pause", || status_of(main, "State").contains("stop").then_some(()));
        let before = sexton.stdout().matches("got 1\n").count();
        kill("HUP");
        kill("CONT");
        wait_until("its signals", || (sexton.stdout().matches("got 1\n").count() > before).then_some(()));
    }
    assert_eq!(sexton.pid(), pid);
    kill("USR2");
    sexton.says("look at it:   /proc/", 1);
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(42));
}

#[test]
fn what_main_starts_is_not_traced_and_what_it_becomes_is() {
    let script =
        "setsid bash -c 'grep TracerPid /proc/self/status > $DIR/child; exit 9' ; exec bash -c 'exit 5'";
    let mut sexton = Setup::pid_1().options(FREEZE).shell(&traced(script));
    frozen(&mut sexton);
    assert_eq!(sexton.file("child"), "TracerPid:\t0\n");
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(5));
}

/// The end of the first thread is not the program's, and neither is its replacement by another thread.
#[test]
fn a_first_thread_that_ends_alone_keeps_nobody() {
    for (then, code) in [
        (
            "import ctypes\nthreading.Thread(target=lambda: (time.sleep(0.2), os._exit(6))).start()
ctypes.CDLL(None).pthread_exit(None)",
            6,
        ),
        (
            "threading.Thread(target=lambda: os.execlp('bash', 'bash', '-c', 'exit 7')).start(); time.sleep(1000)",
            7,
        ),
    ] {
        let mut sexton = start(Setup::pid_1(), then);
        sexton.says("holding the container", 1);
        sexton.says(&format!("exited with code {code}"), 1);
        sexton.signal("TERM");
        assert_eq!(sexton.end().code, Some(code), "{then}");
    }
}

#[test]
fn nobody_special_can_freeze_its_own() {
    let through = [
        "setpriv",
        "--reuid=1000",
        "--regid=1000",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
        "--no-new-privs",
    ];
    let mut sexton = Setup::pid_1().through(&through).options(FREEZE).shell(&traced("exit 3"));
    let pid = frozen(&mut sexton);
    assert_eq!(
        (status_of(pid, "CapEff").as_str(), status_of(pid, "Uid").as_str()),
        ("0000000000000000", "1000\t1000\t1000\t1000")
    );
    assert!(!links(pid).is_empty());
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(3));
}

#[test]
fn where_it_is_refused_one_warning_says_so_and_the_hold_is_a_plain_one() {
    // Another user's process, without CAP_SYS_PTRACE.
    let through = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];
    let mut sexton = Setup::pid_1()
        .through(&through)
        .options(FREEZE)
        .options(["--user=1000"])
        .shell("until [ -e $DIR/go ]; do sleep 0.01; done; exit 3");
    sexton.says("cannot freeze `main`", 1);
    sexton.write("go", "");
    sexton.says("holding the container", 1);
    sexton.signal("HUP");
    sexton.says("holding the container", 2);
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(3));
    let warning = "cannot freeze `main` when it dies: Operation not permitted (os error 1); holding without";
    assert_eq!(ended.stderr.matches(warning).count(), 1, "{ended:?}");
    assert!(!ended.stderr.contains("look at it"), "{ended:?}");
}

#[test]
fn with_wait_all_there_would_be_nothing_to_look_at() {
    let ended = Setup::pid_1().options(FREEZE).options(["--wait=all"]).shell("exit 3").end();
    assert_eq!(ended.code, Some(100));
    assert!(ended.stderr.contains("cannot freeze what fails: with `--wait all`"), "{ended:?}");
}

#[test]
fn in_a_file_it_is_for_main_and_what_is_essential() {
    let toml = "main = 'web'
        [hold]
        on = 'failure'
        freeze = true
        [program.web]
        command = ['bash', '-c', 'while :; do sleep 0.02; done']
        [program.other]
        command = ['bash', '-c', 'grep TracerPid /proc/$BASHPID/status; while :; do sleep 0.02; done']
        [program.db]
        essential = true
        autorestart = false
        startsecs = 0
        command = ['bash', '-c', 'echo start >> $DIR/starts; echo hello; [ $(wc -l < $DIR/starts) = 2 ] && exec sleep 1000; TRACED exit 9']"
        .replace("TRACED", TRACED);
    let mut sexton = Setup::config(&toml).run();
    sexton.says("look at it:   /proc/", 1);
    sexton.prints("other | TracerPid:\t0\n");
    sexton.prints("db | hello\n");
    let frozen = |sexton: &mut Running| {
        sexton.children().into_iter().filter(|pid| status_of(*pid, "State").starts_with('t')).count()
    };
    assert_eq!(frozen(&mut sexton), 1);
    sexton.signal("HUP");
    wait_until("another start", || (sexton.stdout().matches("db | hello").count() == 2).then_some(()));
    assert_eq!(frozen(&mut sexton), 0);
    sexton.signal("TERM");
    assert!(!sexton.end().stderr.contains("BUG"));
}
