//! What becomes of a signal that sexton gets.

use std::process::Command;

use crate::support::{Setup, wait_until};

/// Prints the number of each signal that it gets, and ends with `exit 42` on USR2.
const ECHO: &str = "for s in $(seq 1 64); do [ $s = 17 ] || trap \"echo got $s\" $s; done
    trap 'exit 42' USR2; echo ready; while :; do sleep 1000 & wait; kill -9 $!; done";

#[test]
fn every_signal_that_can_be_caught_reaches_main() {
    let mut sexton = Setup::pid_1().options(["--stop-on", "USR2"]).shell(ECHO);
    sexton.prints("ready");
    // bash keeps 32 and 33 for its libc and cannot trap them; 9 and 19 reach no handler, 17 and USR2 (12) are taken.
    let numbers = (1..=64).filter(|n| ![9, 12, 17, 19, 32, 33].contains(n));
    for number in numbers {
        sexton.signal(&number.to_string());
        sexton.prints(&format!("got {number}\n"));
    }
    sexton.signal("USR2");
    assert_eq!(sexton.end().code, Some(42));
}

#[test]
fn the_same_holds_where_sexton_is_not_pid_1() {
    let mut sexton = Setup::not_pid_1().shell(ECHO);
    sexton.prints("ready");
    for number in [1, 2, 3, 6, 11, 13, 15, 18, 20, 21, 22, 34, 64] {
        sexton.signal(&number.to_string());
        sexton.prints(&format!("got {number}\n"));
    }
    sexton.signal("USR2");
    assert_eq!(sexton.end().code, Some(42));
}

#[test]
fn without_g_only_main_gets_it_and_with_g_its_group_does() {
    let script = "(trap 'echo worker got it; exit' HUP; echo worker ready; while :; do sleep 0.05; done) &
        trap 'echo main got it' HUP; trap 'exit 0' TERM; echo main ready; while :; do sleep 0.05; done";
    for (options, worker_gets_it) in [(vec![], false), (vec!["-g"], true)] {
        let mut sexton = Setup::pid_1().options(options).shell(script);
        sexton.prints("main ready");
        sexton.prints("worker ready");
        sexton.signal("HUP");
        sexton.prints("main got it");
        if worker_gets_it {
            sexton.prints("worker got it");
        }
        sexton.signal("TERM");
        let ended = sexton.end();
        assert_eq!(ended.stdout.contains("worker got it"), worker_gets_it, "{ended:?}");
    }
}

#[test]
fn signals_are_rewritten_by_name_and_by_number_and_dropped() {
    let options = ["--rewrite", "HUP:USR1", "--rewrite=10:SIGRTMIN+1", "--rewrite", "WINCH:0"];
    let mut sexton = Setup::pid_1().options(options).shell(ECHO);
    sexton.prints("ready");
    sexton.signal("WINCH");
    sexton.signal("HUP");
    sexton.prints("got 10\n");
    sexton.signal("USR1");
    sexton.prints("got 35\n");
    sexton.signal("USR2");
    assert!(!sexton.end().stdout.contains("got 28"));
}

#[test]
fn a_signal_in_the_very_first_moment_is_not_lost() {
    for round in 0..100 {
        let options: &[&str] = if round % 2 == 0 { &[] } else { &["-g"] };
        let mut sexton = Setup::pid_1().options(options).command(&["sleep", "1000"]);
        let pid = sexton.pid();
        // From here on nothing may be lost; before, the kernel drops what PID 1 has not blocked.
        wait_until("the mask", || {
            let mask = u64::from_str_radix(&crate::support::status_of(pid, "SigBlk"), 16).ok()?;
            (mask & 1 << 14 != 0).then_some(())
        });
        sexton.signal("TERM");
        assert_eq!(sexton.end().code, Some(143), "round {round}");
    }
}

#[test]
fn what_sigqueue_sends_along_is_passed_on() {
    // sigwaitinfo(2) fills in a siginfo_t: the code at 8, the sender's user at 20, the value at 24.
    let script = "import ctypes, signal, struct
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print('listening', flush=True)
wanted, info = (ctypes.c_ulong * 16)(1 << (signal.SIGUSR1 - 1)), ctypes.create_string_buffer(128)
ctypes.CDLL(None).sigwaitinfo(wanted, info)
print('code %d user %d value %d' % tuple(struct.unpack_from('i', info, at)[0] for at in (8, 20, 24)))";
    let mut sexton = Setup::pid_1().command(&["python3", "-c", script]);
    sexton.prints("listening");
    let pid = sexton.pid().to_string();
    let status = Command::new("/bin/kill").args(["-s", "USR1", "-q", "4711", &pid]).status().expect("kill");
    assert!(status.success());
    let ended = sexton.end();
    assert!(ended.stdout.contains("code -1 user 0 value 4711"), "{ended:?}");
}

#[test]
fn signals_that_take_each_other_away_do_not_make_it_deaf() {
    // SIGSTOP discards a pending SIGCONT, after poll(2) has seen it: a read that blocks then would miss the deadline.
    let script = "trap '' TERM; (while :; do kill -CONT 1; kill -STOP 1; done) & echo ready; while :; do sleep 0.05; done";
    let mut sexton = Setup::pid_1().options(["--grace=3s", "--tail=3"]).shell(script);
    sexton.prints("ready");
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(137));
}

#[test]
fn closed_or_full_stderr_neither_kills_nor_blocks() {
    // A pipe whose reader is gone: our own SIGPIPE must not be taken for one that somebody sent.
    let script = "sleep 0.01 & sleep 0.01 & sleep 0.01 & (sleep 0.02 &) ; sleep 0.2; exit 5";
    for through in [
        &["bash", "-c", "exec 2> >(:); sleep 0.1; exec \"$@\"", "bash"][..],
        &["bash", "-c", "exec 2>&-; exec \"$@\"", "bash"],
        &["bash", "-c", "exec 2>/dev/full; exec \"$@\"", "bash"],
    ] {
        let sexton = Setup::pid_1().through(through).options(["-w", "-vv"]).shell(script);
        assert_eq!(sexton.end().code, Some(5), "{through:?}");
    }
}

#[test]
fn the_sender_is_in_the_debug_log() {
    let mut sexton =
        Setup::pid_1().options(["-vv"]).shell("trap : HUP; kill -HUP 1; while :; do sleep 0.05; done");
    sexton.says("received SIGHUP from process 2 (uid 0)", 1);
    sexton.signal("HUP");
    sexton.says("received SIGHUP from outside the container", 1);
}

#[test]
fn a_stopped_main_is_continued_so_that_it_can_stop() {
    let mut sexton =
        Setup::pid_1().shell("trap 'echo bye; exit 3' TERM; echo ready; kill -STOP $$; sleep 1000");
    sexton.prints("ready");
    let pid = sexton.pid();
    wait_until("main to be stopped", || {
        let child = *crate::support::descendants(pid).first()?;
        crate::support::status_of(child, "State").starts_with('T').then_some(())
    });
    sexton.signal("TERM");
    // bash runs its trap once its sleep has ended: it is swept with the rest.
    wait_until("the worker of main", || (crate::support::descendants(pid).len() <= 2).then_some(()));
    let continued = wait_until("main to run again", || {
        let child = crate::support::descendants(pid).first().copied();
        child.map_or(Some(true), |child| {
            (!crate::support::status_of(child, "State").starts_with('T')).then_some(true)
        })
    });
    assert!(continued);
}
