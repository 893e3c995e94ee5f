//! The end of the container: drain, stop, sweep, and whose code it is.

use crate::support::{Setup, wait_until};

/// Ends on TERM with 5, after a word.
const POLITE: &str =
    "trap 'echo told > $DIR/told; exit 5' TERM INT; echo ready; while :; do sleep 0.02; done";
/// Does not end on any signal that can be ignored.
const STUBBORN: &str = "trap '' TERM INT; echo ready; while :; do sleep 0.05; done";

#[test]
fn what_main_leaves_behind_is_asked_to_end_and_waited_for() {
    // With setsid it is in nobody's group: a signal to main's group would not reach it.
    let script = "setsid bash -c 'trap \"sleep 0.3; echo cleaned up > $DIR/cleanup; exit\" TERM
        touch $DIR/up; while :; do sleep 0.02; done' & while [ ! -e $DIR/up ]; do sleep 0.01; done; exit 3";
    for setup in [Setup::pid_1(), Setup::not_pid_1()] {
        let ended = setup.shell(script).end();
        assert_eq!(ended.code, Some(3));
        assert_eq!(ended.file("cleanup"), "cleaned up\n", "{ended:?}");
    }
}

#[test]
fn what_ignores_that_is_killed_when_the_budget_is_used_up() {
    let script = "setsid bash -c 'trap \"\" TERM; touch $DIR/up; while :; do sleep 0.05; done' &
        while [ ! -e $DIR/up ]; do sleep 0.01; done; exit 3";
    for setup in [Setup::pid_1(), Setup::not_pid_1()] {
        let ended = setup.options(["--grace", "3s"]).shell(script).end();
        assert_eq!(ended.code, Some(3));
        assert!(ended.stderr.contains("waiting for what is left: "), "{ended:?}");
        assert!(ended.stderr.contains("everything left gets SIGKILL"), "{ended:?}");
    }
}

#[test]
fn a_stopped_process_is_swept_too() {
    let script =
        "bash -c 'trap \"echo bye > $DIR/bye; exit\" TERM; touch $DIR/up; kill -STOP $$; sleep 0.1' &
        until grep -q '^State:.T' /proc/$!/status; do sleep 0.01; done; exit 0";
    let ended = Setup::pid_1().shell(script).end();
    assert_eq!((ended.code, ended.file("bye").as_str()), (Some(0), "bye\n"));
}

#[test]
fn nothing_is_waited_for_longer_than_it_lives() {
    let before = std::time::Instant::now();
    let ended = Setup::pid_1().options(["--grace=10m"]).shell("sleep 1000 & exit 0").end();
    assert_eq!(ended.code, Some(0));
    // The fact is that it ended at all: the budget is ten minutes, and the test's patience is not.
    assert!(before.elapsed() < crate::support::PATIENCE);
}

#[test]
fn wait_all_ends_with_the_last_process_and_with_mains_code() {
    let script = "setsid bash -c 'trap \"echo told; exit 1\" TERM; trap \"echo hup\" HUP; echo up; while :; do sleep 0.02; done' & 
        while [ ! -s $DIR/stdout ]; do sleep 0.01; done; exit 3";
    for setup in [Setup::pid_1(), Setup::not_pid_1()] {
        let mut sexton = setup.options(["--wait", "all", "-v"]).shell(script);
        sexton.says("main: exited with code 3", 1);
        sexton.signal("HUP");
        sexton.prints("hup");
        assert!(sexton.is_running());
        sexton.signal("TERM");
        let ended = sexton.end();
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.stdout.contains("told"), "{ended:?}");
    }
}

#[test]
fn the_drain_comes_before_the_signal() {
    let mut sexton = Setup::pid_1().options(["-v", "--drain=400ms"]).shell(POLITE);
    sexton.prints("ready");
    sexton.signal("TERM");
    sexton.says("SIGTERM received from outside the container; draining for 0.4s", 1);
    assert!(!sexton.has_file("told"), "main was told at once");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(5));
    assert!(ended.stderr.contains("the drain is over; stopping"), "{ended:?}");
}

#[test]
fn a_second_signal_cuts_the_drain_short() {
    let mut sexton = Setup::pid_1().options(["-v", "--drain=1h"]).shell(POLITE);
    sexton.prints("ready");
    sexton.signal("TERM");
    sexton.says("draining for 1h00m", 1);
    assert!(!sexton.has_file("told"));
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(5));
}

#[test]
fn other_signals_pass_during_the_drain() {
    let script = "trap 'echo hup' HUP; echo ready; while :; do sleep 0.02; done";
    let mut sexton = Setup::pid_1().options(["-v", "--drain=1h"]).shell(script);
    sexton.prints("ready");
    sexton.signal("TERM");
    sexton.says("draining", 1);
    sexton.signal("HUP");
    sexton.prints("hup");
    assert!(sexton.is_running());
}

#[test]
fn when_the_grace_period_runs_out_everything_is_killed() {
    for setup in [Setup::pid_1(), Setup::not_pid_1()] {
        let mut sexton = setup.options(["--grace", "2s"]).shell(STUBBORN);
        sexton.prints("ready");
        sexton.signal("TERM");
        let ended = sexton.end();
        assert_eq!(ended.code, Some(137));
        assert!(
            ended.stderr.contains("killed by SIGKILL")
                && ended.stderr.contains("the grace period had run out"),
            "{ended:?}"
        );
    }
}

#[test]
fn a_third_stop_signal_kills_at_once_where_the_grace_period_is_set() {
    let mut sexton = Setup::pid_1().options(["--grace", "1h", "-vv"]).shell(STUBBORN);
    sexton.prints("ready");
    for times in 1..=3 {
        sexton.signal("TERM");
        sexton.says("received SIGTERM", times);
    }
    assert_eq!(sexton.end().code, Some(137));
}

#[test]
fn without_a_grace_period_main_has_all_the_time_it_wants() {
    let mut sexton = Setup::pid_1().options(["-vv"]).shell(STUBBORN);
    sexton.prints("ready");
    for times in 1..=4 {
        sexton.signal("TERM");
        sexton.says("received SIGTERM", times);
    }
    sexton.says("waiting for main (no grace period is set", 1);
    assert!(sexton.is_running());
    assert!(!sexton.stderr().contains("SIGKILL"));
}

#[test]
fn the_stop_signals_can_be_chosen() {
    let script =
        "trap 'echo quit; exit 5' QUIT; trap 'echo term' TERM; echo ready; while :; do sleep 0.02; done";
    let mut sexton =
        Setup::pid_1().options(["--stop-on=QUIT,RTMIN+3", "--rewrite=RTMIN+3:QUIT", "-v"]).shell(script);
    sexton.prints("ready");
    sexton.signal("TERM");
    sexton.prints("term");
    assert!(!sexton.stderr().contains("stopping"));
    sexton.signal("RTMIN+3");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(5));
    assert!(ended.stderr.contains("SIGRTMIN+3 received from outside the container; stopping"), "{ended:?}");
}

#[test]
fn strangers_outside_our_tree_are_left_alone() {
    // Not PID 1: somebody else's processes share the namespace, as in a pod with shareProcessNamespace.
    let before = "sleep 1000 & echo $! > $DIR/stranger";
    let sexton = Setup::not_pid_1().before(before).options(["--grace=3s"]);
    let mut sexton = sexton
        .through(&["bash", "-c", "\"$@\"; kill -0 $(cat $DIR/stranger) && echo spared", "bash"])
        .shell(STUBBORN);
    sexton.prints("ready");
    sexton.signal("TERM");
    sexton.prints("spared");
}

#[test]
fn a_reader_that_stopped_reading_stops_neither_the_exits_nor_the_signals() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let script = "trap 'exit 5' TERM; echo ready; for i in $(seq 1500); do (:); (:&); done; wait; echo forked; while :; do sleep 0.02; done";
    let mut sexton = Setup::pid_1().stderr(writer).options(["-vv", "-w"]).shell(script);
    sexton.prints("forked");
    // The log of so many exits is more than a pipe holds; nobody reads it.
    let pid = sexton.pid();
    wait_until("the children to be reaped", || (crate::support::descendants(pid).len() <= 2).then_some(()));
    sexton.signal("TERM");
    // The last words wait for the reader, but no longer than a signal lets them.
    wait_until("main to end", || crate::support::descendants(pid).is_empty().then_some(()));
    assert!(sexton.is_running());
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(5));
    drop(reader);
}

#[test]
fn without_proc_the_end_is_bounded_and_the_code_is_right() {
    let script = "setsid sleep 1000 & exit 3";
    let ended = Setup::pid_1().before("umount -l /proc").shell(script).end();
    assert_eq!(ended.code, Some(3), "PID 1 needs no /proc: {ended:?}");
    let ended = Setup::not_pid_1().before("umount -l /proc").options(["--grace=2s"]).shell(script).end();
    assert_eq!(ended.code, Some(3));
    assert!(ended.stderr.contains("cannot find what is left below us: /proc is not mounted"), "{ended:?}");
}

#[test]
fn a_name_that_changes_saves_nobody_from_the_end() {
    let script = "setsid python3 -c \"
import ctypes, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
prctl, n = ctypes.CDLL(None).prctl, 0
open('$DIR/up', 'w').close()
while True:
    n += 1
    prctl(15, b'name%d' % (n % 1000))
\" & while [ ! -e $DIR/up ]; do sleep 0.01; done; exit 3";
    let ended = Setup::not_pid_1().options(["--grace=2s"]).shell(script).end();
    assert_eq!(ended.code, Some(3));
    assert!(!ended.stderr.contains("uninterruptible"), "{ended:?}");
}

#[test]
fn last_words_do_not_outlast_the_grace_period() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let script = "trap 'sleep 1.5; exit 3' TERM; echo ready; (seq 50000 >&2 &); while :; do sleep 0.05; done";
    let mut sexton = Setup::pid_1().options(["--grace=3s", "--tail=1"]).stderr(writer).shell(script);
    sexton.prints("ready");
    let told = std::time::Instant::now();
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(3));
    // The platform's SIGKILL comes after 3s: that sexton was gone before is the promise itself.
    assert!(told.elapsed() < std::time::Duration::from_secs(3), "{:?}", told.elapsed());
    drop(reader);
}

#[test]
fn a_program_that_never_stops_writing_does_not_keep_us_from_its_end() {
    let setup = Setup::pid_1();
    let log = std::fs::File::create(setup.dir.path().join("log")).expect("a file");
    let script = "trap '' TERM; yes >&2 & yes >&2 & echo ready; while :; do sleep 0.05; done";
    let mut sexton = setup.options(["--grace=2s", "--tail=3"]).stderr(log).shell(script);
    sexton.prints("ready");
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(137));
}

#[test]
fn the_children_of_what_is_left_are_told_too() {
    let worker = "trap 'echo told > $DIR/told; exit' TERM; touch $DIR/up; while :; do sleep 0.02; done";
    let script = "bash -c 'trap : TERM; bash -c \"$WORKER\" & while :; do sleep 0.05; done' &
        while [ ! -e $DIR/up ]; do sleep 0.01; done; exit 3";
    let ended = Setup::not_pid_1().env("WORKER", worker).options(["--grace=3s"]).shell(script).end();
    assert_eq!((ended.code, ended.file("told").as_str()), (Some(3), "told\n"), "{ended:?}");
}
