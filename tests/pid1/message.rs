//! The termination message, in its file.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::support::{Dir, Setup};

/// A setup with a file to write to, as a kubelet makes it.
fn with_file(content: &str) -> Setup {
    let setup = Setup::pid_1();
    fs::write(setup.dir.path().join("why"), content).expect("written");
    let path = setup.dir.path().join("why").into_os_string();
    setup.options([OsString::from("--termination-message"), path])
}

#[test]
fn an_unexpected_end_is_told_and_an_expected_one_is_not() {
    let ended = with_file("").shell("exit 3").end();
    let message = ended.file("why");
    assert!(message.starts_with("main: exited with code 3 after 0."), "{message}");
    assert!(message.lines().nth(1).is_some_and(|line| line.starts_with("oom: no   uptime: 0.")), "{message}");
    assert_eq!(with_file("").shell("exit 0").end().file("why"), "");
    assert_eq!(with_file("").options(["-e3"]).shell("exit 3").end().file("why"), "");
    let message = with_file("").shell("kill -SEGV $$").end().file("why");
    assert!(message.starts_with("main: killed by SIGSEGV"), "{message}");
    let message = with_file("").command(&["/no/such"]).end().file("why");
    assert!(message.starts_with("main: cannot execute `/no/such`: no such file"), "{message}");
}

#[test]
fn nothing_is_ever_created_and_what_was_asked_for_is_one_warning() {
    let setup = Setup::pid_1();
    let path = setup.dir.path().join("missing");
    let ended =
        setup.options(["--termination-message".into(), path.clone().into_os_string()]).shell("exit 3").end();
    assert_eq!(ended.code, Some(3));
    assert_eq!(ended.stderr.matches("cannot write the termination message").count(), 1, "{ended:?}");
    assert!(!path.exists());
    let ended = Setup::pid_1().shell("[ -e /dev/termination-log ] && echo there; exit 3").end();
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("", ""),
        "the default is silent where it is not there"
    );
    assert!(!fs::exists("/dev/termination-log").expect("looked"));
}

#[test]
fn the_kubelets_own_file_is_found() {
    let before =
        "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && touch $DIR/why /dev/termination-log &&
        mount --bind $DIR/why /dev/termination-log";
    let ended = Setup::pid_1().before(before).shell("exit 3").end();
    assert!(ended.file("why").starts_with("main: exited with code 3"), "{ended:?}");
    let ended = Setup::pid_1().before(before).options(["--termination-message=none"]).shell("exit 3").end();
    assert_eq!(ended.file("why"), "");
}

#[test]
fn only_a_regular_file_is_written_to_and_no_other_blocks() {
    let dir = Dir::new();
    let path = |name: &str| dir.path().join(name).into_os_string();
    fs::create_dir(path("directory")).expect("a directory");
    nix::unistd::mkfifo(dir.path().join("fifo").as_path(), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    for name in ["directory", "fifo"] {
        let ended =
            Setup::pid_1().options(["--termination-message".into(), path(name)]).shell("exit 3").end();
        assert_eq!(ended.code, Some(3));
        assert_eq!(
            ended.stderr.matches("cannot write the termination message").count(),
            1,
            "{name}: {ended:?}"
        );
    }
}

#[test]
fn a_read_only_file_is_one_warning() {
    let setup = Setup::pid_1();
    fs::write(setup.dir.path().join("why"), "").expect("written");
    let path = setup.dir.path().join("why").into_os_string();
    let ended = setup
        .before("mount --bind $DIR/why $DIR/why && mount -o remount,bind,ro $DIR/why")
        .options([OsString::from("--termination-message"), path])
        .shell("trap 'exit 3' TERM; kill -TERM 1; while :; do sleep 0.02; done")
        .end();
    assert_eq!(ended.code, Some(3));
    assert_eq!(ended.stderr.matches("cannot write the termination message").count(), 1, "{ended:?}");
}

#[test]
fn it_is_written_in_place() {
    let setup = with_file("");
    let path = setup.dir.path().join("why");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("its mode");
    let inode = fs::metadata(&path).expect("there").ino();
    let ended = setup.shell("exit 3").end();
    assert_eq!(fs::metadata(ended.dir.path().join("why")).expect("there").ino(), inode);
}

#[test]
fn a_file_that_may_only_be_written_is_written() {
    let setup = Setup::pid_1();
    let path = setup.dir.path().join("why");
    fs::write(&path, "").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o222)).expect("its mode");
    let ended = setup
        .through(&["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"])
        .options(["--termination-message".into(), path.into_os_string()])
        .shell("exit 3")
        .end();
    assert!(ended.file("why").starts_with("main: exited with code 3"), "{ended:?}");
}

#[test]
fn the_programs_own_words_stay_first() {
    let message = with_file("").shell("echo 'no database' > $DIR/why; exit 3").end().file("why");
    assert!(message.starts_with("no database\nmain: exited with code 3"), "{message}");
    let message = with_file("").shell("echo 'all is well' > $DIR/why; exit 0").end().file("why");
    assert_eq!(message, "all is well\n");
    let message =
        with_file("").shell("head -c 9000 /dev/zero | tr '\\0' x > $DIR/why; exit 3").end().file("why");
    assert!(
        message.len() <= 4096 && message.contains("\nmain: exited with code 3"),
        "{} bytes",
        message.len()
    );
}

#[test]
fn a_stop_request_leaves_a_breadcrumb_that_goes_again() {
    let script = "trap 'cp $DIR/why $DIR/seen; echo bye >> $DIR/why; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    let mut sexton = with_file("").shell(script);
    sexton.prints("ready");
    sexton.signal("TERM");
    let ended = sexton.end();
    assert!(ended.file("seen").starts_with("stop requested by SIGTERM at 20"), "{ended:?}");
    assert_eq!(ended.file("why"), "bye\n");
}

#[test]
fn a_breadcrumb_survives_our_own_sigkill() {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let mut sexton = with_file("").shell(script);
    sexton.prints("ready");
    sexton.signal("TERM");
    assert!(sexton.file("why").starts_with("stop requested by SIGTERM"));
    sexton.signal("KILL");
    assert!(sexton.end().file("why").starts_with("stop requested by SIGTERM"));
}

#[test]
fn a_hold_is_written_down_while_it_lasts_and_told_afterwards() {
    let mut sexton = with_file("").options(["--hold=failure"]).shell("exit 3");
    sexton.says("start again:", 1);
    let note = sexton.file("why");
    assert!(note.starts_with("main: exited with code 3") && note.contains("held since: 20"), "{note}");
    sexton.signal("TERM");
    let message = sexton.end().file("why");
    assert!(message.starts_with("main: exited with code 3") && message.contains("   held: "), "{message}");
    assert!(!message.contains("held since"), "{message}");
}

#[test]
fn stopped_on_request_and_killed_by_us_are_told_apart() {
    let mut sexton = with_file("").shell("echo ready; exec sleep 1000");
    sexton.prints("ready");
    sexton.signal("TERM");
    let message = sexton.end().file("why");
    assert!(
        message.starts_with("main: killed by SIGTERM") && message.contains("(stop requested by SIGTERM)"),
        "{message}"
    );
    let mut sexton =
        with_file("").options(["--grace=2s"]).shell("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    sexton.prints("ready");
    sexton.signal("TERM");
    let message = sexton.end().file("why");
    assert!(message.contains("by sexton: the grace period had run out"), "{message}");
}

#[test]
fn tail_passes_stderr_through_and_quotes_its_end() {
    let script = "for i in $(seq 1 500); do echo line $i >&2; done; printf 'the rest of a line' >&2; exit 3";
    let ended = with_file("").options(["--tail", "3"]).shell(script).end();
    for i in 1..=500 {
        assert!(ended.stderr.contains(&format!("line {i}\n")), "line {i} is lost");
    }
    assert!(ended.stderr.contains("the rest of a line"));
    let message = ended.file("why");
    assert!(message.ends_with("stderr:\n  line 499\n  line 500\n  the rest of a line\n"), "{message}");
}

#[test]
fn a_reader_that_stopped_reading_loses_nothing_and_stops_no_signal() {
    use std::io::Read;
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let script = "trap 'exit 3' TERM; echo ready; seq 100000 >&2 & wait $!; wait; exit 4";
    let mut sexton = with_file("").options(["--tail=2"]).stderr(writer).shell(script);
    sexton.prints("ready");
    let pid = sexton.pid();
    crate::support::wait_until("the writer to be blocked", || {
        crate::support::descendants(pid).into_iter().find(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.trim() == "seq" && crate::support::status_of(*pid, "State").starts_with('S')
        })
    });
    sexton.signal("TERM"); // obeyed although stderr is blocked: bash's `wait` is cut short by it
    crate::support::wait_until("main to end", || (crate::support::descendants(pid).len() <= 1).then_some(()));
    let mut all = String::new();
    let reading = std::thread::spawn(move || reader.read_to_string(&mut all).map(|_| all));
    let ended = sexton.end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let all = reading.join().expect("joined").expect("read");
    // What the worker had written before it was swept has come through whole and in order.
    for (i, line) in all.lines().enumerate().take(9000) {
        assert_eq!(line, (i + 1).to_string());
    }
    assert!(all.lines().count() > 9000, "more than a pipe holds was written: {}", all.lines().count());
}

#[test]
fn json_is_one_object() {
    let ended = with_file("")
        .options(["--termination-format=json", "--tail=1"])
        .shell("echo '\"quoted\"' >&2; exit 3")
        .end();
    let message = ended.file("why");
    assert!(message.starts_with("{\"message\":\"main: exited with code 3 after 0."), "{message}");
    assert!(
        message.contains("\"code\":3,\"cause\":\"exited\"")
            && message.ends_with("\"stderr\":[\"\\\"quoted\\\"\"]}\n"),
        "{message}"
    );
}

/// A faked cgroup v2 in place of /sys/fs/cgroup: no such memory controller is on every test machine.
const V2: &str = "mkdir $DIR/cgroup && cd $DIR/cgroup && echo 1000000 > memory.current && echo 2000000 > memory.max &&
    printf 'low 0\\nhigh 0\\nmax 0\\noom 0\\noom_kill 0\\n' > memory.events && cd / && mount --bind $DIR/cgroup /sys/fs/cgroup";

fn kills(oom: u32, oom_kill: u32) -> String {
    format!(
        "printf 'low 0\\nhigh 0\\nmax 9\\noom {oom}\\noom_kill {oom_kill}\\n' > $DIR/cgroup/memory.events; kill -KILL $$"
    )
}

#[test]
fn an_out_of_memory_kill_is_told_with_whose_limit_it_was() {
    for (oom, oom_kill, words) in [
        (1, 1, "out of memory: the container's own limit was reached"),
        (0, 1, "out of memory: not this container's limit but the pod's or the node's"),
    ] {
        let message = with_file("").before(V2).shell(&kills(oom, oom_kill)).end().file("why");
        assert!(message.starts_with("main: killed by SIGKILL") && message.contains(words), "{message}");
        assert!(message.contains("oom: yes"), "{message}");
    }
    let message = with_file("").before(V2).shell("kill -KILL $$").end().file("why");
    assert!(!message.contains("out of memory") && message.contains("oom: no"), "{message}");
}

#[test]
fn v1_counters_are_read_too() {
    let v1 = "mkdir -p $DIR/cgroup/memory && echo 'oom_kill 4' > $DIR/cgroup/memory/memory.oom_control &&
        mount --bind $DIR/cgroup /sys/fs/cgroup";
    let script = "echo 'oom_kill 5' > $DIR/cgroup/memory/memory.oom_control; kill -KILL $$";
    let message = with_file("").before(v1).shell(script).end().file("why");
    assert!(message.contains(", out of memory (unexpected)"), "{message}");
    let message = with_file("").before(v1).shell("kill -KILL $$").end().file("why");
    assert!(message.contains("oom: no"), "{message}");
}

#[test]
fn memory_close_to_its_limit_leaves_a_breadcrumb() {
    let script = "echo 1990000 > $DIR/cgroup/memory.current; echo ready
        while [ ! -s $DIR/why ]; do echo x >> $DIR/cgroup/memory.events; sleep 0.05; done; cp $DIR/why $DIR/seen; exit 0";
    let ended = with_file("").before(V2).shell(script).end();
    assert!(ended.file("seen").starts_with("memory close to its limit at 20"), "{ended:?}");
    assert_eq!(ended.file("why"), "");
}

#[test]
fn a_limit_on_file_sizes_kills_nobody() {
    // Our own write is too large then; the SIGXFSZ that the kernel sends for it is not for main.
    let script = "trap 'exit 9' XFSZ; trap 'exit 3' TERM; trap 'echo x > $DIR/hup' HUP; echo x > $DIR/ready
        while :; do sleep 0.02; done";
    let through = ["prlimit", "--fsize=8"];
    let mut sexton = with_file("")
        .through(&through)
        .stderr(std::process::Stdio::null())
        .options(["--drain=1h"])
        .shell(script);
    sexton.file("ready");
    sexton.signal("TERM"); // the breadcrumb is too large
    sexton.signal("HUP"); // passes during the drain, and comes after what the breadcrumb brought
    sexton.file("hup");
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(3));
}

#[test]
fn the_last_lines_are_told_although_nobody_reads_them() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let script = "seq 16000 >&2; echo panic: the real reason >&2; exit 3";
    let mut sexton = with_file("").options(["--tail=2", "--grace=2s"]).stderr(writer).shell(script);
    let pid = sexton.pid();
    crate::support::wait_until("the message", || {
        sexton.file("why").ends_with("  16000\n  panic: the real reason\n").then_some(())
    });
    crate::support::wait_until("main to end", || crate::support::descendants(pid).is_empty().then_some(()));
    drop(reader);
    assert_eq!(sexton.end().code, Some(3));
}

#[test]
fn a_third_stop_signal_is_no_expired_grace_period() {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let mut sexton = with_file("").options(["--grace=1h", "-vv"]).shell(script);
    sexton.prints("ready");
    for times in 1..=3 {
        sexton.signal("TERM");
        sexton.says("received SIGTERM", times);
    }
    let message = sexton.end().file("why");
    assert!(message.contains("by sexton: a third stop signal asked for it"), "{message}");
}

#[test]
fn a_kill_for_memory_that_did_not_hit_main_is_not_its_end() {
    let script =
        "printf 'low 0\\nhigh 0\\nmax 9\\noom 1\\noom_kill 1\\n' > $DIR/cgroup/memory.events; exit 3";
    let message = with_file("").before(V2).shell(script).end().file("why");
    assert!(message.starts_with("main: exited with code 3 after 0."), "{message}");
    assert!(
        !message.contains("out of memory") && message.contains("oom: not main, but another process"),
        "{message}"
    );
}

#[test]
fn the_note_of_short_memory_goes_when_the_danger_passes() {
    let script = "cd $DIR/cgroup; echo 1990000 > memory.current; trap 'exit 0' TERM; echo ready
        while [ ! -s $DIR/why ]; do echo x >> memory.events; sleep 0.05; done; echo 1000 > memory.current; echo fine
        while :; do sleep 0.05; done";
    let mut sexton = with_file("").before(V2).shell(script);
    sexton.prints("fine");
    let why = sexton.dir.path().join("why");
    crate::support::wait_until("the note to go", || fs::read_to_string(&why).ok()?.is_empty().then_some(()));
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(0));
}

#[test]
fn a_note_spoils_no_words_of_the_program() {
    let script = "trap 'exit 0' TERM; head -c 4000 /dev/zero | tr '\\0' x > $DIR/why; echo ready; while :; do sleep 0.02; done";
    let mut sexton = with_file("").shell(script);
    sexton.prints("ready");
    sexton.signal("TERM");
    assert_eq!(sexton.end().file("why"), "x".repeat(4000));
    // The same for a file that may only be written.
    let setup = Setup::pid_1();
    let path = setup.dir.path().join("why");
    fs::write(&path, "no database").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o222)).expect("its mode");
    let mut sexton = setup
        .through(&["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"])
        .options(["--termination-message".into(), path.into_os_string()])
        .shell("trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done");
    sexton.prints("ready");
    sexton.signal("TERM");
    assert_eq!(sexton.end().file("why"), "no database");
}

#[test]
fn the_message_survives_what_writes_the_file_after_main() {
    let script = "bash -c 'trap \"echo worker says bye > $DIR/why; exit\" TERM; touch $DIR/up; while :; do sleep 0.02; done' &
        while [ ! -e $DIR/up ]; do sleep 0.01; done; exit 7";
    let message = with_file("").shell(script).end().file("why");
    assert!(message.starts_with("worker says bye\nmain: exited with code 7"), "{message}");
    assert_eq!(message.matches("main: ").count(), 1, "{message}");
}
