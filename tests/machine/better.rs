//! What is better than in Supervisor, on purpose.

use std::time::Duration;

use sexton::outcome::{Cause, Status};
use sexton::plan::{AutoRestart, Growth};
use sexton::signal::Signal;

use crate::script::{Life, Script, program, spawns};

/// In Supervisor a fast failure is at times taken for a success, as its timers are looked at before its children.
#[test]
fn an_exit_comes_before_a_timer_of_the_same_moment() {
    let lives = [Life::Exits(1_000, 3), Life::Lives];
    let (_, log) = Script::new(&[program("web").lives(&lives)]).signal(9_000, Signal::TERM).played();
    assert!(!log.iter().any(|line| line == "1000 web: running"), "{log:?}");
    assert!(log[1].starts_with("1000 web: exited with code 3"), "{log:?}");
}

#[test]
fn things_are_done_when_they_are_due_and_not_at_the_next_poll() {
    let part = program("web").startsecs(0).lives(&[Life::Exits(2_345, 1), Life::Lives]);
    let (_, log) = Script::new(&[part]).signal(3_456, Signal::TERM).played();
    assert_eq!(spawns(&log, "web"), [0, 2_345]);
    assert!(log.contains(&"3456 SIGTERM web".to_owned()), "{log:?}");
}

#[test]
fn the_real_exit_status_is_kept_in_fatal() {
    let mut script = Script::new(&[program("web")
        .startretries(1)
        .lives(&[Life::Exits(0, 9), Life::Dies(0, Signal::PIPE)])]);
    assert_eq!(script.run(), 141);
    let cause = &script.reports.last().expect("a report").cause;
    let Cause::Ended { status, .. } = cause else { panic!("{cause:?}") };
    assert_eq!(*status, Status::Killed { signal: Signal::PIPE, core: false });
    assert!(script.log.iter().any(|line| line.contains("exited with code 9")), "{:?}", script.log);
}

/// The code of a program that is FATAL is never 0, or nobody would see it.
#[test]
fn fatal_after_an_exit_with_0_is_1() {
    let mut script = Script::new(&[program("web").startretries(0).lives(&[Life::Exits(0, 0)])]);
    assert_eq!((script.run(), script.reports.len()), (1, 1), "and the message says so");
    let (code, _) = Script::new(&[program("web").startretries(1).lives(&[Life::Exits(0, 0)])]).played();
    assert_eq!(code, 1);
}

/// In Supervisor a program in BACKOFF is FATAL after a stop, and its counter goes on.
#[test]
fn a_stop_in_backoff_is_a_stop() {
    let parts = [program("web"), program("broken").lives(&[Life::Exits(0, 1)])];
    let mut script = Script::new(&parts).signal(500, Signal::TERM);
    assert_eq!(script.run(), 0);
    assert!(script.reports.is_empty(), "{:?}", script.reports);
}

#[test]
fn a_crash_loop_starts_at_most_once_a_second() {
    let part = program("web").startsecs(0).autorestart(AutoRestart::Always).lives(&[Life::Exits(10, 1)]);
    let (_, log) = Script::new(&[part]).signal(4_500, Signal::TERM).played();
    assert_eq!(spawns(&log, "web"), [0, 1_000, 2_000, 3_000, 4_000]);
}

#[test]
fn what_has_lived_for_a_second_starts_again_at_once() {
    let part = program("web").lives(&[Life::Exits(5_000, 1), Life::Lives]);
    let (_, log) = Script::new(&[part]).signal(9_000, Signal::TERM).played();
    assert_eq!(spawns(&log, "web"), [0, 5_000]);
}

#[test]
fn a_restart_delay_is_kept() {
    let part = program("web").startsecs(0).lives(&[Life::Exits(100, 1)]);
    let part = part.rules(|rules| rules.restart_delay = Some(Duration::from_millis(300)));
    let (_, log) = Script::new(&[part]).signal(1_000, Signal::TERM).played();
    assert_eq!(spawns(&log, "web"), [0, 400, 800]);
}

#[test]
fn a_backoff_bounds_a_crash_loop_after_running_too() {
    let part = program("web").startsecs(0).lives(&[Life::Exits(0, 1)]).backoff(Growth::Exponential, 5);
    let (_, log) = Script::new(&[part]).signal(20_000, Signal::TERM).played();
    assert_eq!(spawns(&log, "web"), [0, 1_000, 3_000, 7_000, 12_000, 17_000]);
    let part = program("web").startsecs(0).lives(&[Life::Exits(0, 1)]).backoff(Growth::Linear, 3);
    let (_, log) = Script::new(&[part]).signal(10_000, Signal::TERM).played();
    assert_eq!(spawns(&log, "web"), [0, 1_000, 3_000, 6_000, 9_000]);
}

#[test]
fn failed_starts_can_back_off_exponentially_and_up_to_a_longest_wait() {
    let part = program("web").startretries(5).lives(&[Life::Exits(0, 1)]).backoff(Growth::Exponential, 6);
    let (_, log) = Script::new(&[part]).played();
    assert_eq!(spawns(&log, "web"), [0, 1_000, 3_000, 7_000, 13_000, 19_000]);
}

#[test]
fn a_long_life_makes_the_backoff_begin_anew() {
    let lives = [Life::Exits(0, 1), Life::Exits(0, 1), Life::Exits(9_000, 1), Life::Exits(0, 1), Life::Lives];
    let part = program("web").startsecs(0).lives(&lives).backoff(Growth::Exponential, 8);
    let (_, log) = Script::new(&[part]).signal(30_000, Signal::TERM).played();
    assert_eq!(spawns(&log, "web"), [0, 1_000, 3_000, 13_000, 15_000]);
}

#[test]
fn too_many_restarts_are_fatal() {
    let part = program("web").startsecs(0).lives(&[Life::Exits(0, 4)]).restart_limit(3, 60);
    let (code, log) = Script::new(&[part]).played();
    assert_eq!((code, spawns(&log, "web").len()), (4, 4));
    assert!(log.last().is_some_and(|line| line.ends_with("; more than 3 restarts within 1m00s")), "{log:?}");
    let slow = program("web").startsecs(0).lives(&[Life::Exits(30_000, 4)]).restart_limit(3, 60);
    let (_, log) = Script::new(&[slow]).signal(300_000, Signal::TERM).played();
    assert_eq!(spawns(&log, "web").len(), 10, "a restart every 30s is none too many");
}

/// What it left in its process group would hold its ports.
#[test]
fn the_rest_of_the_group_is_killed_before_a_restart() {
    let mut script =
        Script::new(&[program("web").lives(&[Life::Exits(0, 1), Life::Lives])]).signal(5_000, Signal::TERM);
    script.run();
    let groups = script.group_kills;
    assert_eq!(groups, ["web"], "once, before the restart, and not at the end of the container");
}
