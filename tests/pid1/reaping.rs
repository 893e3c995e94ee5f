//! Children, and whoever becomes one.

use crate::support::{Setup, status_of, wait_until};

#[test]
fn twenty_thousand_orphans_leave_nothing_and_main_notices_nothing() {
    let script =
        "for i in $(seq 200); do (for j in $(seq 100); do (:) & done) & [ $((i % 20)) = 0 ] && wait; done
        wait; echo done; trap 'exit 9' TERM; while :; do sleep 0.05; done";
    let mut sexton = Setup::pid_1().shell(script);
    sexton.prints("done");
    let pid = sexton.pid();
    wait_until("every zombie to be reaped", || {
        let zombies = crate::support::descendants(pid)
            .into_iter()
            .filter(|pid| status_of(*pid, "State").starts_with('Z'));
        (zombies.count() == 0).then_some(())
    });
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(9));
}

#[test]
fn a_double_forked_process_becomes_ours_and_is_reaped() {
    for setup in [Setup::pid_1(), Setup::not_pid_1()] {
        let script = "(setsid sh -c 'echo $PPID > $DIR/first; sleep 0.1; ps -o ppid= -p $$ > $DIR/parent' &)
            ps -o ppid= -p $$ > $DIR/own; while [ ! -s $DIR/parent ]; do sleep 0.01; done; exit 4";
        let ended = setup.shell(script).end();
        assert_eq!(ended.code, Some(4));
        assert_eq!(ended.file("parent").trim(), ended.file("own").trim(), "the orphan's parent is sexton");
    }
}

#[test]
fn an_inherited_sigchld_that_is_ignored_hides_no_exit() {
    for setup in [Setup::pid_1(), Setup::not_pid_1()] {
        let sexton = setup.through(&["env", "--ignore-signal=CHLD"]).shell("exit 3");
        assert_eq!(sexton.end().code, Some(3));
    }
}

#[test]
fn a_stray_is_told_on_request_and_only_then() {
    let script = "(sleep 0.01 & ); sleep 0.3; exit 0";
    assert_eq!(Setup::pid_1().shell(script).end().stderr, "");
    let ended = Setup::pid_1().options(["-w"]).shell(script).end();
    assert!(ended.stderr.contains("sexton: reaped stray process"), "{ended:?}");
}

#[test]
fn idle_is_one_blocked_call_in_one_thread() {
    let mut sexton = Setup::pid_1().command(&["sleep", "1000"]);
    let pid = sexton.pid();
    let call = || std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let number = if cfg!(target_arch = "x86_64") { "0 0x3 " } else { "63 0x3 " };
    wait_until("a blocked read of the signals", || call().starts_with(number).then_some(()));
    assert_eq!(sexton.status("Threads"), "1");
    let switches = status_of(pid, "voluntary_ctxt_switches");
    // Something else has to happen while it does nothing: an init that polls wakes up within a second.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(status_of(pid, "voluntary_ctxt_switches"), switches);
}
