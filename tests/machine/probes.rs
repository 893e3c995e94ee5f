//! A kubelet's rules for probes and hooks, each with its exact times, and how long a drain lasts.

use std::time::Duration;

use sexton::plan::{AutoRestart, Condition, HoldOn, Probe, Role};
use sexton::signal::Signal;

use crate::script::Answer::{Errs, Fails, Hangs, Passes};
use crate::script::{Life, Part, Script, probe, program, spawns};

/// The milliseconds at which exactly this happened.
fn times(log: &[String], what: &str) -> Vec<u64> {
    let of =
        |line: &String| line.split_once(' ').filter(|(_, said)| *said == what).map(|(at, _)| at.to_owned());
    log.iter().filter_map(of).map(|at| at.parse().expect("a time")).collect()
}

/// Plays one program until SIGTERM at this millisecond.
fn played(part: Part, until: u64) -> Vec<String> {
    Script::new(&[part]).signal(until, Signal::TERM).played().1
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn web() -> Part {
    program("web").startsecs(0)
}

#[test]
fn it_asks_at_once_and_then_once_a_period() {
    let log = played(web().probe(Role::Readiness, probe(), &[Passes(3)]), 35_000);
    assert_eq!(times(&log, "readiness probe web"), [0, 10_000, 20_000, 30_000]);
}

#[test]
fn the_initial_delay_counts_from_the_start_of_the_process() {
    let late = Probe { initial_delay: seconds(7), ..probe() };
    let part = web().probe(Role::Liveness, late, &[Passes(0)]);
    let log = played(part.lives(&[Life::Exits(2_000, 1), Life::Lives]), 20_000);
    assert_eq!(spawns(&log, "web"), [0, 2_000]);
    assert_eq!(times(&log, "liveness probe web"), [9_000, 19_000]);
}

#[test]
fn beats_that_pass_while_an_answer_is_waited_for_count_as_one() {
    let eager = Probe { period: seconds(1), timeout: seconds(5), ..probe() };
    let log = played(web().probe(Role::Readiness, eager, &[Passes(2_500), Passes(0)]), 4_500);
    assert_eq!(times(&log, "readiness probe web"), [0, 2_500, 3_000, 4_000]);
}

#[test]
fn readiness_is_a_failure_and_liveness_a_success_until_they_are_decided() {
    let part = web().probe(Role::Readiness, probe(), &[Passes(500)]).probe(
        Role::Liveness,
        probe(),
        &[Fails(0), Passes(0)],
    );
    let log = played(part, 9_000);
    assert_eq!(times(&log, "web: ready"), [500]);
    assert_eq!(spawns(&log, "web"), [0]);
}

#[test]
fn so_many_successes_in_a_row_make_it_ready_and_a_failure_begins_the_count_anew() {
    let strict = Probe { period: seconds(1), success_threshold: 3, ..probe() };
    let answers = [Passes(0), Passes(0), Fails(0), Passes(0)];
    let log = played(web().probe(Role::Readiness, strict, &answers), 9_000);
    assert_eq!(times(&log, "web: ready"), [5_000]);
}

#[test]
fn so_many_failures_in_a_row_make_it_not_ready_and_a_success_begins_the_count_anew() {
    let often = Probe { period: seconds(1), ..probe() };
    let answers = [Passes(0), Fails(0), Fails(0), Passes(0), Fails(0), Fails(0), Fails(0), Passes(0)];
    let log = played(web().probe(Role::Readiness, often, &answers), 9_000);
    assert_eq!(times(&log, "web: ready"), [0, 7_000]);
    assert_eq!(times(&log, "web: not ready: refused"), [6_000]);
}

#[test]
fn why_it_never_becomes_ready_is_said_once() {
    let log =
        played(web().probe(Role::Readiness, Probe { period: seconds(1), ..probe() }, &[Fails(0)]), 9_000);
    assert_eq!(times(&log, "web: not ready: refused"), [2_000]);
}

#[test]
fn until_the_startup_probe_has_passed_nothing_else_is_asked_and_then_it_is_not_asked_again() {
    let often = Probe { period: seconds(2), failure_threshold: 30, ..probe() };
    let part = web()
        .probe(Role::Startup, often, &[Fails(0), Fails(0), Passes(100)])
        .probe(Role::Readiness, probe(), &[Passes(0)])
        .probe(Role::Liveness, Probe { initial_delay: seconds(9), ..probe() }, &[Passes(0)]);
    let log = played(part, 15_000);
    assert_eq!(times(&log, "startup probe web"), [0, 2_000, 4_000]);
    assert_eq!(times(&log, "readiness probe web"), [4_100, 14_100]);
    assert_eq!(times(&log, "liveness probe web"), [9_000], "its delay counts from the start of the process");
}

#[test]
fn a_failed_startup_probe_restarts_the_program() {
    let twice = Probe { period: seconds(1), failure_threshold: 2, ..probe() };
    let part = web().probe(Role::Startup, twice, &[Fails(0), Fails(0), Passes(0)]);
    let log = played(part.autorestart(AutoRestart::Unexpected), 9_000);
    assert_eq!(times(&log, "SIGTERM web"), [1_000, 9_000]);
    assert_eq!(spawns(&log, "web"), [0, 1_000]);
    assert_eq!(times(&log, "startup probe web"), [0, 1_000, 1_000], "none after it was decided");
}

#[test]
fn a_failed_liveness_probe_restarts_the_program_whatever_its_code_and_is_not_asked_meanwhile() {
    let part = web()
        .probe(
            Role::Liveness,
            Probe { period: seconds(1), ..probe() },
            &[Fails(0), Fails(0), Fails(0), Passes(0)],
        )
        .probe(Role::Readiness, Probe { period: seconds(1), ..probe() }, &[Passes(0)])
        .farewell(Some((2_500, 0)));
    let log = played(part, 7_900);
    let said = "web: its liveness probe has failed 3 times: refused; stopping it";
    assert_eq!(times(&log, said), [2_000]);
    assert_eq!(times(&log, "liveness probe web"), [0, 1_000, 2_000, 4_500, 5_500, 6_500, 7_500]);
    assert_eq!(spawns(&log, "web"), [0, 4_500]);
    let readiness = times(&log, "readiness probe web");
    assert_eq!(readiness[..5], [0, 1_000, 2_000, 3_000, 4_000], "readiness goes on to its end");
    assert!(log.iter().any(|line| line.contains("its liveness probe had failed (unexpected)")), "{log:?}");
}

#[test]
fn a_main_that_its_liveness_probe_ended_is_a_failure_although_its_code_is_0() {
    let part = web().autorestart(AutoRestart::Never);
    let part = part.probe(Role::Liveness, Probe { failure_threshold: 1, ..probe() }, &[Fails(5)]);
    let mut script = Script::new(std::slice::from_ref(&part)).main(0);
    assert_eq!(script.run(), 1);
    assert_eq!(script.reports.len(), 1);
    let (_, log) = Script::new(&[part]).main(0).hold(HoldOn::Failure).signal(60_000, Signal::TERM).played();
    assert_eq!(times(&log, "hold web"), [5]);
}

#[test]
fn a_probes_own_grace_period_takes_the_place_of_stopwaitsecs() {
    let short = Probe { failure_threshold: 1, stopwait: Some(seconds(3)), ..probe() };
    let part = web().probe(Role::Liveness, short, &[Fails(0), Passes(0)]).stopwaitsecs(60).farewell(None);
    let (_, log) = Script::new(&[part]).signal(10_000, Signal::TERM).played();
    assert_eq!(times(&log, "SIGKILL web")[0], 3_000);
}

#[test]
fn no_answer_in_time_is_a_failure_and_what_was_begun_is_ended() {
    let once = Probe { failure_threshold: 1, timeout: Duration::from_millis(1_500), ..probe() };
    let log = played(web().probe(Role::Readiness, once, &[Passes(0), Hangs, Passes(0)]), 25_000);
    assert_eq!(times(&log, "no readiness probe web"), [11_500]);
    assert_eq!(times(&log, "web: not ready: no answer within 1.5s"), [11_500]);
    assert_eq!(times(&log, "web: ready"), [0, 20_000]);
}

#[test]
fn an_answer_at_the_very_end_of_its_time_counts() {
    let log = played(web().probe(Role::Readiness, probe(), &[Passes(1_000)]), 5_000);
    assert_eq!(times(&log, "web: ready"), [1_000]);
}

#[test]
fn what_cannot_be_asked_is_tried_three_times_and_decides_nothing() {
    let once = Probe { failure_threshold: 1, ..probe() };
    let answers = [Passes(0), Errs(0), Errs(0), Errs(0), Errs(0), Errs(0), Errs(0), Fails(0)];
    let log = played(web().probe(Role::Liveness, once, &answers), 35_000);
    let asked = times(&log, "liveness probe web");
    assert_eq!(asked[..8], [0, 10_000, 10_000, 10_000, 20_000, 20_000, 20_000, 30_000]);
    let said = "web: cannot run its liveness probe: no process; it says nothing";
    assert_eq!(times(&log, said), [10_000], "said once");
    assert_eq!(times(&log, "SIGTERM web")[0], 30_000);
}

#[test]
fn an_error_leaves_the_count_as_it_is() {
    let part = web().probe(
        Role::Liveness,
        Probe { failure_threshold: 2, ..probe() },
        &[Fails(0), Errs(0), Errs(0), Errs(0), Fails(0), Passes(0)],
    );
    let log = played(part, 35_000);
    assert_eq!(times(&log, "SIGTERM web")[0], 20_000);
}

#[test]
fn from_the_stop_signal_on_only_readiness_is_asked() {
    let often = Probe { period: seconds(1), ..probe() };
    let part = web()
        .probe(Role::Liveness, often, &[Passes(0), Fails(0)])
        .probe(Role::Readiness, often, &[Passes(0)])
        .farewell(Some((2_000, 0)));
    let script = Script::new(&[part]).plan(|plan| plan.drain.delay = seconds(5)).signal(1_500, Signal::TERM);
    let log = script.played().1;
    assert_eq!(times(&log, "liveness probe web"), [0, 1_000]);
    assert_eq!(times(&log, "SIGTERM web"), [6_500]);
    assert_eq!(times(&log, "readiness probe web"), (0..=8).map(|n| n * 1_000).collect::<Vec<_>>());
}

#[test]
fn a_startup_that_is_under_way_when_the_stop_begins_counts_as_passed() {
    let part = web()
        .probe(Role::Startup, Probe { failure_threshold: 1, timeout: seconds(30), ..probe() }, &[Hangs])
        .probe(Role::Readiness, probe(), &[Passes(0)]);
    let script = Script::new(&[part]).plan(|plan| plan.drain.delay = seconds(5)).signal(2_000, Signal::TERM);
    let log = script.played().1;
    assert_eq!(times(&log, "no startup probe web"), [2_000]);
    assert_eq!(times(&log, "web: ready"), [2_000]);
    assert_eq!(times(&log, "SIGTERM web"), [7_000]);
}

#[test]
fn the_end_of_a_process_ends_its_probes() {
    let slow = Probe { timeout: seconds(9), ..probe() };
    let part = web().probe(Role::Readiness, slow, &[Passes(4_000)]).probe(Role::Liveness, slow, &[Hangs]);
    let part = part.lives(&[Life::Exits(3_000, 0)]);
    let log = Script::new(&[part]).played().1;
    assert_eq!(times(&log, "no readiness probe web"), [3_000]);
    assert_eq!(times(&log, "no liveness probe web"), [3_000]);
    assert_eq!(times(&log, "web: ready"), [] as [u64; 0]);
}

#[test]
fn who_waits_for_ready_waits_for_the_probe_and_who_waits_for_started_for_startup() {
    let cache = program("cache")
        .startsecs(0)
        .probe(Role::Startup, Probe { period: seconds(1), ..probe() }, &[Fails(0), Passes(0)])
        .probe(Role::Readiness, Probe { period: seconds(1), ..probe() }, &[Fails(0), Fails(0), Passes(0)]);
    let parts =
        [cache, program("early").after(0, Condition::Started), program("late").after(0, Condition::Ready)];
    let log = Script::new(&parts).signal(9_000, Signal::TERM).played().1;
    assert_eq!(spawns(&log, "early"), [1_000]);
    assert_eq!(spawns(&log, "late"), [3_000]);
}

#[test]
fn a_program_with_its_own_word_and_a_probe_is_ready_when_both_say_so() {
    let part = web().announces(2_000).probe(Role::Readiness, probe(), &[Passes(0)]);
    assert_eq!(times(&played(part, 5_000), "web: ready"), [2_000]);
}

#[test]
fn a_probe_decides_readiness_before_startsecs_are_over() {
    let part = program("web").startsecs(5).probe(Role::Readiness, probe(), &[Passes(100)]);
    let log = played(part, 9_000);
    assert_eq!(times(&log, "web: ready"), [100]);
    assert_eq!(times(&log, "web: running"), [5_000]);
}

#[test]
fn a_probe_that_fails_while_it_starts_is_a_failed_start() {
    let part = program("web").startsecs(10).startretries(1);
    let fails = Probe { failure_threshold: 1, ..probe() };
    let part = part.probe(Role::Liveness, fails, &[Fails(2_000)]).autorestart(AutoRestart::Always);
    let fails = Probe { timeout: seconds(5), ..fails };
    let part = part.rules(|rules| rules.probes.liveness = Some(fails));
    let (code, log) = Script::new(&[part]).played();
    assert_eq!(spawns(&log, "web"), [0, 3_000], "a second of backoff, and then FATAL");
    assert_eq!(code, 1);
}

// --- hooks

#[test]
fn the_post_start_hook_comes_before_running_and_before_the_probes() {
    let part = program("web").startsecs(1).hook(Role::PostStart, 9_000, &[Passes(3_000)]);
    let log = played(part.probe(Role::Readiness, probe(), &[Passes(0)]), 9_000);
    assert_eq!(times(&log, "web: running"), [3_000]);
    assert_eq!(times(&log, "readiness probe web"), [3_000]);
}

#[test]
fn a_failed_post_start_hook_is_a_failed_start() {
    let part = web().startretries(1).hook(Role::PostStart, 9_000, &[Fails(500)]);
    let (code, log) = Script::new(&[part]).played();
    assert_eq!(times(&log, "web: its post_start hook has failed: refused"), [500, 2_000]);
    assert_eq!(spawns(&log, "web"), [0, 1_500]);
    assert_eq!(code, 1);
}

#[test]
fn a_post_start_hook_has_its_time_and_no_more() {
    let part = web().startretries(0).hook(Role::PostStart, 2_000, &[Hangs]);
    let (_, log) = Script::new(&[part]).played();
    assert_eq!(times(&log, "no post_start hook web"), [2_000]);
    assert_eq!(times(&log, "SIGTERM web"), [2_000]);
}

#[test]
fn the_pre_stop_hook_comes_before_the_stop_signal() {
    let part = web().hook(Role::PreStop, 9_000, &[Passes(3_000)]);
    let log = played(part, 2_000);
    assert_eq!(times(&log, "pre_stop hook web"), [2_000]);
    assert_eq!(times(&log, "SIGTERM web"), [5_000]);
}

#[test]
fn a_failed_pre_stop_hook_is_logged_and_the_stop_goes_on() {
    let log = played(web().hook(Role::PreStop, 9_000, &[Fails(3_000)]), 2_000);
    assert_eq!(times(&log, "web: its pre_stop hook has failed: refused"), [5_000]);
    assert_eq!(times(&log, "SIGTERM web"), [5_000]);
}

#[test]
fn a_pre_stop_hook_has_its_time_and_no_more() {
    let log = played(web().hook(Role::PreStop, 4_000, &[Hangs]), 2_000);
    assert_eq!(times(&log, "no pre_stop hook web"), [6_000]);
    assert_eq!(times(&log, "SIGTERM web"), [6_000]);
}

#[test]
fn a_sleep_is_no_call() {
    let log = played(web().hook(Role::PreStop, 4_000, &[]), 2_000);
    assert_eq!(times(&log, "SIGTERM web"), [6_000]);
    assert!(!log.iter().any(|line| line.contains("hook")), "{log:?}");
}

#[test]
fn who_ends_by_itself_has_no_pre_stop_hook_and_who_ends_during_it_ends_it() {
    let part = web().hook(Role::PreStop, 9_000, &[Passes(5_000)]).autorestart(AutoRestart::Never);
    let log = Script::new(&[part.clone().lives(&[Life::Exits(1_000, 0)])]).played().1;
    assert_eq!(times(&log, "pre_stop hook web"), [] as [u64; 0]);
    let log = played(part.lives(&[Life::Exits(4_000, 0)]), 2_000);
    assert_eq!(times(&log, "no pre_stop hook web"), [4_000]);
    assert_eq!(times(&log, "SIGTERM web"), [] as [u64; 0]);
}

#[test]
fn a_liveness_failure_runs_the_pre_stop_hook_too() {
    let part = web()
        .probe(Role::Liveness, Probe { failure_threshold: 1, ..probe() }, &[Fails(0), Passes(0)])
        .hook(Role::PreStop, 9_000, &[Passes(1_000)]);
    let log = played(part, 8_000);
    assert_eq!(times(&log, "pre_stop hook web"), [0, 8_000]);
    assert_eq!(times(&log, "SIGTERM web"), [1_000, 9_000]);
}

/// 29 seconds for a hook of 20 and a stop of 38: each gets its half.
#[test]
fn a_hooks_time_comes_out_of_the_stop_budget() {
    let part = web().hook(Role::PreStop, 20_000, &[Hangs]).stopwaitsecs(38).farewell(None);
    let log = Script::new(&[part]).grace(30).signal(0, Signal::TERM).played().1;
    assert_eq!(times(&log, "SIGTERM web"), [10_000]);
    assert_eq!(times(&log, "SIGKILL everyone"), [29_000]);
}

// --- the drain

fn draining(delay: u64, quiet: u64) -> Script {
    Script::new(&[web().stopwaitsecs(5)]).grace(30).signal(1_000, Signal::TERM).plan(|plan| {
        plan.drain.delay = seconds(delay);
        plan.drain.quiet = Some(seconds(quiet));
    })
}

#[test]
fn a_drain_lasts_until_nobody_new_has_come_for_long_enough() {
    let log = draining(0, 2).connect(1_500).connect(3_000).connect(4_500).connect(9_000).played().1;
    assert_eq!(times(&log, "SIGTERM web"), [6_500]);
    assert_eq!(times(&log, "the drain is over, no new connection has come for 2.0s; stopping"), [6_500]);
}

#[test]
fn a_drain_where_nobody_comes_lasts_as_long_as_the_longer_of_delay_and_quiet() {
    assert_eq!(times(&draining(0, 2).played().1, "SIGTERM web"), [3_000]);
    assert_eq!(times(&draining(7, 2).played().1, "SIGTERM web"), [8_000]);
    assert_eq!(times(&draining(7, 2).connect(7_000).played().1, "SIGTERM web"), [9_000]);
}

/// 29 seconds, less 5 to stop in.
#[test]
fn a_drain_leaves_the_time_to_stop_in() {
    let script = (1..60).fold(draining(0, 2), |script, n| script.connect(n * 1_000));
    let log = script.played().1;
    assert_eq!(times(&log, "SIGTERM web"), [25_000]);
    assert!(log.iter().any(|line| line.contains("although connections still come")), "{log:?}");
}

#[test]
fn what_is_ready_is_drained_although_it_still_starts() {
    let part = program("web").startsecs(60).probe(Role::Readiness, probe(), &[Passes(0)]);
    let script = Script::new(&[part]).plan(|plan| plan.drain.delay = seconds(5)).signal(2_000, Signal::TERM);
    assert_eq!(times(&script.played().1, "SIGTERM web"), [7_000]);
}

#[test]
fn a_second_stop_signal_ends_a_drain_at_once() {
    let log = draining(9, 2).signal(3_000, Signal::TERM).played().1;
    assert_eq!(times(&log, "SIGTERM web"), [3_000]);
}

// --- sockets

#[test]
fn sockets_are_closed_before_the_last_stop_signal_and_kept_over_a_restart() {
    let part = web().rules(|rules| rules.has_sockets = true).farewell(Some((500, 0)));
    let crashes = part.clone().lives(&[Life::Exits(3_000, 1), Life::Lives]);
    let log = played(crashes, 8_000);
    assert_eq!(times(&log, "unlisten web"), [8_000]);
    let before = log.iter().position(|line| line == "8000 unlisten web");
    assert!(before < log.iter().position(|line| line == "8000 SIGTERM web"), "{log:?}");
    let probed = Probe { failure_threshold: 1, ..probe() };
    let log = played(part.probe(Role::Liveness, probed, &[Fails(2_000), Passes(0)]), 6_000);
    assert_eq!(times(&log, "unlisten web")[0], 6_000, "not when its probe has it restarted");
}

#[test]
fn sockets_are_closed_where_nobody_will_accept() {
    let part = web().rules(|rules| rules.has_sockets = true).lives(&[Life::Exits(3_000, 1)]);
    let once = part.clone().autorestart(AutoRestart::Never);
    let log = Script::new(&[once]).main(0).hold(HoldOn::Failure).signal(9_000, Signal::TERM).played().1;
    assert_eq!(times(&log, "unlisten web"), [3_000], "held");
    let fatal = part.startsecs(9).startretries(1);
    let log = Script::new(&[fatal, program("other")]).signal(60_000, Signal::TERM).played().1;
    assert_eq!(times(&log, "unlisten web")[0], 7_000, "FATAL, and not in BACKOFF before");
}

// --- what comes together

/// A deadline that nobody meets any more would have us look at it for ever.
#[test]
fn a_probe_that_a_reload_takes_away_is_asked_no_more() {
    let old = web().farewell(Some((8_000, 0)));
    let new = old.clone();
    let script =
        Script::new(&[old.probe(Role::Readiness, Probe { period: seconds(1), ..probe() }, &[Passes(0)])]);
    let log = script.reload(&[new], &[0]).signal(2_500, Signal::HUP).signal(20_000, Signal::TERM).played().1;
    assert_eq!(times(&log, "readiness probe web"), [0, 1_000, 2_000]);
    assert_eq!(spawns(&log, "web"), [0, 10_500]);
}

#[test]
fn a_hook_that_a_reload_takes_away_is_ended() {
    let with = web().hook(Role::PostStart, 60_000, &[Hangs]);
    let script = Script::new(&[with]).reload(&[web()], &[0]);
    let log = script.signal(2_000, Signal::HUP).signal(9_000, Signal::TERM).played().1;
    assert_eq!(times(&log, "no post_start hook web"), [2_000]);
    assert_eq!(spawns(&log, "web"), [0, 2_000]);
    let with = web().hook(Role::PreStop, 4_000, &[Hangs]).probe(
        Role::Liveness,
        Probe { failure_threshold: 1, ..probe() },
        &[Fails(1_000), Passes(0)],
    );
    let script = Script::new(&[with]).reload(&[web()], &[0]);
    let log = script.signal(2_000, Signal::HUP).signal(9_000, Signal::TERM).played().1;
    assert_eq!(times(&log, "no pre_stop hook web"), [5_000], "at the end of its own time");
}

#[test]
fn a_code_that_counts_as_0_is_none_where_a_probe_ended_main() {
    let part = web().autorestart(AutoRestart::Never).farewell(Some((0, 143)));
    let part = part.probe(Role::Liveness, Probe { failure_threshold: 1, ..probe() }, &[Fails(5)]);
    let mut script = Script::new(&[part]).main(0).plan(|plan| plan.remap_exit = vec![143]);
    assert_eq!(script.run(), 143);
    assert_eq!(script.reports.len(), 1);
}

/// The hook has 40 seconds by itself, and 4 where the container has 5.
#[test]
fn a_hook_has_no_more_time_than_the_container() {
    let part = web()
        .probe(Role::Liveness, Probe { failure_threshold: 1, ..probe() }, &[Fails(0)])
        .hook(Role::PreStop, 40_000, &[Hangs])
        .stopwaitsecs(40);
    let log = Script::new(&[part]).grace(5).signal(1_000, Signal::TERM).played().1;
    assert_eq!(times(&log, "SIGTERM web"), [3_000]);
}

#[test]
fn a_probes_own_grace_period_is_for_the_hook_and_the_stop() {
    let short = Probe { failure_threshold: 1, stopwait: Some(seconds(7)), ..probe() };
    let part = web().probe(Role::Liveness, short, &[Fails(0), Passes(0)]).stopwaitsecs(60).farewell(None);
    let log =
        Script::new(&[part.hook(Role::PreStop, 3_000, &[Hangs])]).signal(30_000, Signal::TERM).played().1;
    assert_eq!((times(&log, "SIGTERM web")[0], times(&log, "SIGKILL web")[0]), (3_000, 7_000));
}

#[test]
fn who_waits_for_a_start_waits_on_when_the_stop_begins() {
    let slow = Probe { failure_threshold: 60, ..probe() };
    let parts = [
        web().probe(Role::Startup, slow, &[Fails(0)]),
        program("late").after(0, Condition::Started),
        program("main").startsecs(0).autorestart(AutoRestart::Never).lives(&[Life::Exits(5_000, 3)]),
    ];
    let log = Script::new(&parts)
        .main(2)
        .hold(HoldOn::Failure)
        .plan(|plan| plan.hold.sidecars = sexton::plan::Sidecars::Stop)
        .signal(9_000, Signal::TERM)
        .played()
        .1;
    assert_eq!(spawns(&log, "late"), [] as [u64; 0], "held");
    let script = Script::new(&parts).main(2).plan(|plan| plan.drain.delay = seconds(2));
    let log = script.signal(1_000, Signal::TERM).played().1;
    assert_eq!(spawns(&log, "late"), [] as [u64; 0], "drained");
}

#[test]
fn sockets_are_closed_when_the_container_stops_what_is_stopped_already() {
    let part = web()
        .rules(|rules| rules.has_sockets = true)
        .probe(Role::Liveness, Probe { failure_threshold: 1, ..probe() }, &[Fails(0)])
        .farewell(Some((9_000, 0)));
    let log = played(part, 2_000);
    assert_eq!(times(&log, "unlisten web"), [2_000]);
}
