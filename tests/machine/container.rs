//! Who waits for whom, steps, and the end of the container.

use std::time::Duration;

use sexton::plan::{AutoRestart, Condition, HoldOn, Sidecars, Wait};
use sexton::signal::Signal;

use crate::script::{Life, Script, program, spawns, step};

fn at(log: &[String], what: &str) -> Option<u64> {
    log.iter().find_map(|line| line.strip_suffix(&format!(" {what}"))).map(|at| at.parse().expect("a time"))
}

// --- dependencies

#[test]
fn a_program_starts_when_what_it_comes_after_has_come_so_far() {
    let parts = [
        program("db").startsecs(2),
        program("job").startsecs(0).lives(&[Life::Exits(700, 0)]),
        program("started").after(0, Condition::Started),
        program("ready").after(0, Condition::Ready),
        program("completed").after(1, Condition::Completed),
    ];
    let (_, log) = Script::new(&parts).signal(9_000, Signal::TERM).played();
    let starts =
        ["db", "job", "started", "ready", "completed"].map(|name| at(&log, &format!("spawn {name}")));
    assert_eq!(starts, [Some(0), Some(0), Some(0), Some(2_000), Some(700)]);
}

#[test]
fn a_program_that_announces_it_is_ready_when_it_says_so() {
    let parts = [program("db").announces(3_500), program("web").after(0, Condition::Ready)];
    let (_, log) = Script::new(&parts).signal(9_000, Signal::TERM).played();
    assert_eq!(at(&log, "spawn web"), Some(3_500));
    let parts = [program("db").startsecs(5).announces(100), program("web").after(0, Condition::Ready)];
    let (_, log) = Script::new(&parts).signal(9_000, Signal::TERM).played();
    assert_eq!(at(&log, "spawn web"), Some(100), "it knows better than startsecs");
}

/// It would only fail again.
#[test]
fn a_restart_waits_for_what_is_not_ready_any_more() {
    let parts = [
        program("db").lives(&[Life::Exits(5_000, 1), Life::Exits(0, 1), Life::Lives]),
        program("web").after(0, Condition::Ready).lives(&[Life::Exits(4_000, 1), Life::Lives]),
    ];
    let (_, log) = Script::new(&parts).signal(20_000, Signal::TERM).played();
    let starts: Vec<&String> = log.iter().filter(|line| line.contains("spawn")).collect();
    assert_eq!(starts, ["0 spawn db", "1000 spawn web", "5000 spawn db", "6000 spawn db", "7000 spawn web"]);
}

#[test]
fn a_dependency_that_fails_for_good_says_what_it_holds_up() {
    let parts = [
        program("db").startretries(0).lives(&[Life::Exits(0, 6)]),
        program("web").after(0, Condition::Ready),
        program("front").after(1, Condition::Started),
        program("other"),
    ];
    let (code, log) = Script::new(&parts).signal(5_000, Signal::TERM).played();
    assert!(log.contains(&"0 db: has ended for good, and holds up web, front".to_owned()), "{log:?}");
    assert_eq!((code, at(&log, "spawn web"), at(&log, "spawn other")), (6, None, Some(0)));
}

#[test]
fn main_that_can_never_start_ends_the_container_with_the_code_of_whom_it_waits_for() {
    let parts = [
        program("db").startretries(0).lives(&[Life::Exits(0, 6)]),
        program("api").after(0, Condition::Ready),
        program("web").after(1, Condition::Ready),
        program("other"),
    ];
    let (code, log) = Script::new(&parts).main(2).played();
    assert_eq!((code, at(&log, "SIGTERM other")), (6, Some(0)));
    let parts = [
        program("job").startsecs(0).lives(&[Life::Exits(50, 8)]).autorestart(AutoRestart::Never),
        program("web").after(0, Condition::Completed),
    ];
    let (code, _) = Script::new(&parts).main(1).played();
    assert_eq!(code, 8);
    let job = program("job").startsecs(0).announces(100).lives(&[Life::Exits(50, 0)]);
    let parts = [job, program("web").after(0, Condition::Ready)];
    let mut script = Script::new(&parts).main(1);
    assert_eq!((script.run(), script.reports.len()), (1, 1), "main never ran, so it is no success");
}

#[test]
fn stopping_is_the_reverse_and_parallel_where_it_can_be() {
    let slow = |name| program(name).farewell(Some((3_000, 0)));
    let parts = [
        slow("db"),
        slow("cache"),
        slow("api").after(0, Condition::Ready).after(1, Condition::Ready),
        slow("web").after(2, Condition::Ready),
        slow("alone"),
    ];
    let (code, log) = Script::new(&parts).signal(10_000, Signal::TERM).played();
    let stops = ["web", "alone", "api", "db", "cache"].map(|name| at(&log, &format!("SIGTERM {name}")));
    assert_eq!((code, stops), (0, [Some(10_000), Some(10_000), Some(13_000), Some(16_000), Some(16_000)]));
}

// --- steps

#[test]
fn steps_run_one_after_the_other_and_before_all_programs() {
    let parts = [
        step("one").lives(&[Life::Exits(1_000, 0)]),
        step("two").after(0, Condition::Completed).lives(&[Life::Exits(2_000, 0)]),
        program("web").after(1, Condition::Completed),
    ];
    let (_, log) = Script::new(&parts).signal(9_000, Signal::TERM).played();
    assert_eq!(
        ["one", "two", "web"].map(|name| at(&log, &format!("spawn {name}"))),
        [Some(0), Some(1_000), Some(3_000)]
    );
}

#[test]
fn a_failing_step_is_retried_and_then_ends_the_container_with_its_code() {
    let failing = step("migrate").startretries(2).lives(&[
        Life::Exits(500, 3),
        Life::Exits(500, 3),
        Life::Exits(500, 4),
    ]);
    let (code, log) = Script::new(&[failing, program("web").after(0, Condition::Completed)]).main(1).played();
    let starts: Vec<&String> = log.iter().filter(|line| line.contains("spawn")).collect();
    assert_eq!(
        (code, starts),
        (
            4,
            vec![
                &"0 spawn migrate".to_owned(),
                &"1500 spawn migrate".to_owned(),
                &"4000 spawn migrate".to_owned()
            ]
        )
    );
}

#[test]
fn a_step_without_a_main_ends_the_container_too() {
    let failing = step("migrate").lives(&[Life::Exits(500, 3)]);
    let (code, log) = Script::new(&[failing, program("web").after(0, Condition::Completed)]).played();
    assert_eq!((code, at(&log, "spawn web")), (3, None));
}

#[test]
fn a_step_that_takes_too_long_has_failed_whatever_it_says_then() {
    let slow = step("migrate").timeout(5).farewell(Some((1_000, 0)));
    let (code, log) = Script::new(&[slow, program("web").after(0, Condition::Completed)]).main(1).played();
    assert_eq!((code, at(&log, "SIGTERM migrate"), at(&log, "spawn web")), (1, Some(5_000), None));
    let stubborn = step("migrate").timeout(5).stopwaitsecs(2).farewell(None);
    let (code, log) =
        Script::new(&[stubborn, program("web").after(0, Condition::Completed)]).main(1).played();
    assert_eq!((code, at(&log, "SIGKILL migrate")), (137, Some(7_000)));
}

#[test]
fn a_failed_step_is_held_as_a_failed_main_is() {
    let failing = step("migrate").lives(&[Life::Exits(500, 3), Life::Exits(500, 0)]);
    let script = Script::new(&[failing, program("web").after(0, Condition::Completed)]).main(1);
    let (code, log) =
        script.hold(HoldOn::Failure).signal(9_000, Signal::HUP).signal(20_000, Signal::TERM).played();
    assert_eq!((at(&log, "hold migrate"), at(&log, "spawn web"), code), (Some(500), Some(9_500), 0));
}

#[test]
fn a_stop_before_main_could_start_is_no_success() {
    let parts = [step("migrate"), program("web").after(0, Condition::Completed)];
    let (code, _) = Script::new(&parts).main(1).signal(2_000, Signal::TERM).played();
    assert_eq!(code, 143);
}

// --- the end

#[test]
fn the_container_ends_with_main_and_its_code_and_stops_the_others() {
    let parts = [
        program("web").autorestart(AutoRestart::Never).lives(&[Life::Exits(4_000, 7)]),
        program("sidecar").farewell(Some((500, 0))),
    ];
    let (code, log) = Script::new(&parts).main(0).played();
    assert_eq!((code, at(&log, "SIGTERM sidecar")), (7, Some(4_000)));
}

#[test]
fn main_that_succeeds_ends_it_with_0() {
    let parts = [program("job").lives(&[Life::Exits(4_000, 0)]), program("proxy")];
    let (code, log) = Script::new(&parts).main(0).played();
    assert_eq!((code, at(&log, "SIGTERM proxy")), (0, Some(4_000)));
}

#[test]
fn an_expected_code_stays_mains_own_and_is_no_failure() {
    let part = program("job").rules(|rules| rules.exitcodes = vec![0, 3]).lives(&[Life::Exits(4_000, 3)]);
    let mut script = Script::new(&[part]).main(0).hold(HoldOn::Failure);
    assert_eq!(script.run(), 3);
    assert!(script.reports.is_empty());
}

#[test]
fn a_sidecar_that_fails_ends_nothing_unless_it_is_essential() {
    let sidecar = |essential| {
        let part = program("sidecar").startretries(0).lives(&[Life::Exits(0, 5)]);
        part.rules(|rules| rules.essential = essential)
    };
    let (code, log) =
        Script::new(&[program("web"), sidecar(false)]).main(0).signal(5_000, Signal::TERM).played();
    assert_eq!((code, at(&log, "SIGTERM web")), (0, Some(5_000)));
    let (code, log) = Script::new(&[program("web"), sidecar(true)]).main(0).played();
    assert_eq!((code, at(&log, "SIGTERM web")), (5, Some(0)));
}

#[test]
fn an_essential_program_may_end_as_expected() {
    let part = program("job").startsecs(0).lives(&[Life::Exits(50, 0)]).rules(|rules| rules.essential = true);
    let (code, log) = Script::new(&[program("web"), part]).main(0).signal(5_000, Signal::TERM).played();
    assert_eq!((code, at(&log, "SIGTERM web")), (0, Some(5_000)));
}

#[test]
fn without_a_main_it_ends_with_the_last_and_with_the_code_of_the_first_failure() {
    let job = |name, after, code| {
        program(name)
            .startsecs(0)
            .startretries(0)
            .autorestart(AutoRestart::Never)
            .lives(&[Life::Exits(after, code)])
    };
    assert_eq!(Script::new(&[job("a", 100, 0), job("b", 200, 0)]).played().0, 0);
    let odd = job("b", 200, 3).rules(|rules| rules.exitcodes = vec![3]);
    assert_eq!(Script::new(&[job("a", 100, 0), odd]).played().0, 0, "its code was expected");
    assert_eq!(Script::new(&[job("a", 300, 4), job("b", 200, 3), job("c", 400, 0)]).played().0, 3);
    let (code, log) =
        Script::new(&[program("a").startretries(0).lives(&[Life::Exits(0, 9)]), job("b", 700, 0)]).played();
    assert_eq!((code, log.last().map(String::as_str)), (9, Some("700 b: exited with code 0 after 0.7s")));
}

#[test]
fn without_a_main_a_requested_stop_is_0_unless_somebody_had_to_be_killed() {
    assert_eq!(Script::new(&[program("a"), program("b")]).signal(100, Signal::TERM).played().0, 0);
    let stubborn = program("b").farewell(None).stopwaitsecs(1);
    assert_eq!(Script::new(&[program("a"), stubborn]).signal(100, Signal::TERM).played().0, 137);
}

#[test]
fn a_hold_keeps_the_sidecars_or_stops_them_and_starts_main_again() {
    let parts = [program("web").startretries(0).lives(&[Life::Exits(0, 5), Life::Lives]), program("sidecar")];
    let script = || {
        Script::new(&parts)
            .main(0)
            .hold(HoldOn::Failure)
            .signal(5_000, Signal::HUP)
            .signal(9_000, Signal::TERM)
    };
    let (code, log) = script().played();
    assert_eq!((code, at(&log, "SIGTERM sidecar")), (0, Some(9_000)));
    assert!(
        log.contains(&"5000 spawn web".to_owned()) && log.contains(&"5000 SIGKILL strays".to_owned()),
        "{log:?}"
    );
    let (_, log) = script().plan(|plan| plan.hold.sidecars = Sidecars::Stop).played();
    let of_sidecar: Vec<&String> = log
        .iter()
        .filter(|line| line.ends_with("spawn sidecar") || line.ends_with("SIGTERM sidecar"))
        .collect();
    assert_eq!(
        of_sidecar,
        ["0 spawn sidecar", "0 SIGTERM sidecar", "5000 spawn sidecar", "9000 SIGTERM sidecar"]
    );
}

#[test]
fn a_drain_leaves_the_programs_alone_and_restarts_go_on() {
    let parts = [program("web"), program("sidecar").lives(&[Life::Exits(6_000, 1), Life::Lives])];
    let script = Script::new(&parts).main(0).plan(|plan| plan.drain.delay = Duration::from_secs(5));
    let (_, log) = script.signal(4_000, Signal::TERM).played();
    assert_eq!((at(&log, "SIGTERM web"), at(&log, "SIGTERM sidecar")), (Some(9_000), Some(9_000)));
    assert!(log.contains(&"6000 spawn sidecar".to_owned()), "{log:?}");
}

#[test]
fn there_is_no_drain_where_nothing_runs() {
    let script = Script::new(&[program("web").startsecs(60)])
        .main(0)
        .plan(|plan| plan.drain.delay = Duration::from_secs(5));
    let (_, log) = script.signal(4_000, Signal::TERM).played();
    assert_eq!(at(&log, "SIGTERM web"), Some(4_000));
}

// --- the stop budget

#[test]
fn stopwaitsecs_are_cut_to_what_the_grace_period_leaves() {
    // Three of 10s one after the other, in a grace period of 16s: 5s each, and one for sexton itself.
    let stubborn = |name| program(name).farewell(None);
    let parts = [
        stubborn("db"),
        stubborn("api").after(0, Condition::Ready),
        stubborn("web").after(1, Condition::Ready),
    ];
    let (code, log) = Script::new(&parts).main(2).grace(16).signal(10_000, Signal::TERM).played();
    assert_eq!(
        ["web", "api", "db"].map(|name| at(&log, &format!("SIGKILL {name}"))),
        [Some(15_000), Some(20_000), None]
    );
    assert_eq!(at(&log, "SIGKILL everyone"), Some(25_000));
    assert_eq!(code, 137);
}

#[test]
fn where_there_is_time_each_has_its_stopwaitsecs() {
    let stubborn = |name| program(name).farewell(None).stopwaitsecs(3);
    let parts = [stubborn("db"), stubborn("web").after(0, Condition::Ready)];
    let (_, log) = Script::new(&parts).grace(30).signal(10_000, Signal::TERM).played();
    assert_eq!(["web", "db"].map(|name| at(&log, &format!("SIGKILL {name}"))), [Some(13_000), Some(16_000)]);
    assert!(log.contains(&"11000 waiting for web (SIGKILL in 2.0s)".to_owned()), "{log:?}");
}

#[test]
fn an_assumed_grace_period_cuts_nothing_of_mains_time() {
    let main = program("web").farewell(Some((100_000, 0))).rules(|rules| rules.stopwaitsecs = None);
    let (code, log) = Script::new(&[main]).main(0).signal(10_000, Signal::TERM).played();
    assert_eq!(
        (code, log.last().map(String::as_str)),
        (0, Some("110000 web: exited with code 0 after 1m50s (stop requested by SIGTERM)"))
    );
}

#[test]
fn a_third_stop_signal_kills_at_once_where_the_grace_period_is_set() {
    let script = Script::new(&[program("web").farewell(None)]).main(0).grace(30);
    let (code, log) =
        script.signal(2_000, Signal::TERM).signal(2_100, Signal::INT).signal(2_200, Signal::TERM).played();
    assert_eq!((code, at(&log, "SIGKILL everyone")), (137, Some(2_200)));
}

// --- reading the configuration again

#[test]
fn what_is_unchanged_keeps_its_process() {
    let before = [program("same"), program("other"), program("gone").farewell(Some((300, 0)))];
    let after = [program("same"), program("other").stopwaitsecs(3).farewell(Some((500, 0)))];
    let script =
        Script::new(&before).reload(&after, &[]).signal(4_000, Signal::HUP).signal(9_000, Signal::TERM);
    let (code, log) = script.played();
    assert_eq!((code, at(&log, "SIGTERM same")), (0, Some(9_000)));
    assert_eq!((at(&log, "SIGTERM gone"), at(&log, "SIGTERM other")), (Some(4_000), Some(4_000)));
    let starts: Vec<&String> = log.iter().filter(|line| line.contains("spawn")).collect();
    assert_eq!(starts, ["0 spawn same", "0 spawn other", "0 spawn gone", "4500 spawn other"]);
}

#[test]
fn what_is_new_starts_and_what_is_started_in_another_way_restarts() {
    let before = [program("web")];
    let after = [program("web"), program("new").after(0, Condition::Ready)];
    let script =
        Script::new(&before).reload(&after, &[0]).signal(4_000, Signal::HUP).signal(9_000, Signal::TERM);
    let (_, log) = script.played();
    assert_eq!((at(&log, "SIGTERM web"), at(&log, "spawn new")), (Some(4_000), Some(5_000)));
}

#[test]
fn a_restart_of_main_for_a_new_configuration_is_no_end() {
    let script = Script::new(&[program("web").farewell(Some((200, 1)))])
        .main(0)
        .reload(&[program("web").farewell(Some((200, 1)))], &[0]);
    let (code, log) = script.signal(4_000, Signal::HUP).signal(9_000, Signal::TERM).played();
    assert!(log.contains(&"4200 spawn web".to_owned()), "{log:?}");
    assert_eq!(code, 1);
}

#[test]
fn a_fatal_program_that_was_changed_gets_another_chance() {
    let broken = program("web").startretries(0).lives(&[Life::Exits(0, 1), Life::Lives]);
    let script = Script::new(&[broken.clone(), program("other")])
        .reload(&[broken.stopwaitsecs(3), program("other")], &[]);
    let (_, log) = script.signal(4_000, Signal::HUP).signal(9_000, Signal::TERM).played();
    assert!(log.contains(&"4000 spawn web".to_owned()), "{log:?}");
}

// --- what would be forgotten

/// It would wait for ever, and its crash would be nobody's.
#[test]
fn a_crash_counts_although_its_restart_waits_in_vain() {
    let gone = program("w").autorestart(AutoRestart::Never).lives(&[Life::Exits(1_500, 0)]);
    let crashing = program("y").after(0, Condition::Ready).lives(&[Life::Exits(1_200, 9)]);
    let other = program("z").autorestart(AutoRestart::Never).lives(&[Life::Exits(6_000, 0)]);
    let parts = [gone, crashing, other];
    let (code, log) = Script::new(&parts).played();
    assert_eq!(code, 9, "{log:?}");
    let mut script = Script::new(&parts).main(1);
    assert_eq!((script.run(), script.reports.is_empty()), (9, false));
}

#[test]
fn main_that_waits_for_its_restart_keeps_its_code() {
    let db = program("db").lives(&[Life::Exits(3_000, 1), Life::Exits(0, 1)]);
    let parts = [db, program("web").after(0, Condition::Ready).lives(&[Life::Exits(3_000, 7)])];
    let (code, log) = Script::new(&parts).main(1).signal(4_500, Signal::TERM).played();
    assert_eq!(code, 7, "{log:?}");
}

#[test]
fn a_sidecar_that_waits_for_its_restart_comes_back_after_a_hold() {
    let web = program("web").startretries(0).lives(&[Life::Exits(500, 5), Life::Lives]);
    let sidecar = program("sidecar").startsecs(0).lives(&[Life::Exits(100, 1), Life::Lives]);
    let sidecar = sidecar.rules(|rules| {
        rules.restart_delay = Some(Duration::from_secs(20));
        rules.essential = true;
    });
    let script = Script::new(&[web, sidecar]).main(0).hold(HoldOn::Failure);
    let script = script.plan(|plan| plan.hold.sidecars = Sidecars::Stop);
    let (code, log) = script.signal(5_000, Signal::HUP).signal(9_000, Signal::TERM).played();
    assert!(log.contains(&"5000 spawn sidecar".to_owned()), "{log:?}");
    assert_eq!((code, log.iter().filter(|line| line.contains("hold")).count()), (0, 1), "{log:?}");
}

#[test]
fn what_is_gone_or_stopped_by_a_reload_is_stopped_after_what_came_after_it() {
    let slow = |name| program(name).farewell(Some((1_500, 0)));
    let before = [slow("api").after(1, Condition::Ready), slow("db")];
    let script = Script::new(&before).plan(|plan| plan.order.reverse()).reload(&[slow("api")], &[]);
    let (_, log) = script.signal(4_000, Signal::HUP).signal(9_000, Signal::TERM).played();
    assert_eq!((at(&log, "SIGTERM api"), at(&log, "SIGTERM db")), (Some(4_000), Some(5_500)), "{log:?}");
}

/// Its command is not in the file any more.
#[test]
fn what_is_gone_is_not_started_again_although_it_ends_by_itself() {
    let before = [
        program("web").after(1, Condition::Ready).farewell(Some((4_000, 0))),
        program("db").lives(&[Life::Exits(5_000, 3)]),
    ];
    let script = Script::new(&before).plan(|plan| plan.order.reverse());
    let script = script.reload(&[program("web").farewell(Some((4_000, 0)))], &[]);
    let (code, log) = script.signal(4_000, Signal::HUP).signal(20_000, Signal::TERM).played();
    assert_eq!(log.iter().filter(|line| line.ends_with("spawn db")).count(), 1, "{log:?}");
    assert_eq!(code, 0, "{log:?}");
}

#[test]
fn a_step_that_is_new_or_gone_restarts_no_program() {
    let before = [program("web"), step("old").lives(&[Life::Exits(0, 0)])];
    let after = [program("web").after(1, Condition::Completed), before[1].clone()];
    let script =
        Script::new(&before).reload(&after, &[]).signal(4_000, Signal::HUP).signal(9_000, Signal::TERM);
    let (_, log) = script.played();
    assert_eq!(at(&log, "SIGTERM web"), Some(9_000), "{log:?}");
}

#[test]
fn what_was_mended_by_a_reload_is_no_failure_any_more() {
    let broken = program("web").startretries(0).lives(&[Life::Exits(0, 1), Life::Lives]);
    let script = Script::new(&[broken.clone(), program("other")]);
    let script = script.reload(&[broken.stopwaitsecs(3), program("other")], &[]);
    let (code, _) = script.signal(4_000, Signal::HUP).signal(9_000, Signal::TERM).played();
    assert_eq!(code, 0);
}

#[test]
fn what_a_killed_program_leaves_in_its_group_is_killed_with_it() {
    let mut script =
        Script::new(&[program("web").farewell(None).stopwaitsecs(1)]).signal(5_000, Signal::TERM);
    script.run();
    assert_eq!(script.group_kills, ["web"]);
}

// --- what is kept at its end

/// Main fails after half a second and is kept at its end; it is gone 40 ms after it was let go.
fn frozen_main() -> Script {
    let web = program("web").startretries(0).lives(&[Life::Exits(500, 5), Life::Lives]);
    Script::new(&[web, program("sidecar")]).main(0).hold(HoldOn::Failure).freezes(40)
}

#[test]
fn what_is_held_is_kept_until_the_hold_ends() {
    let (code, log) = frozen_main().signal(5_000, Signal::TERM).played();
    assert_eq!((at(&log, "hold web"), at(&log, "thaw web"), code), (Some(500), Some(5_000), 5), "{log:?}");
    let limited = frozen_main().plan(|plan| plan.hold.limit = Some(Duration::from_secs(3)));
    let (code, log) = limited.played();
    assert_eq!((at(&log, "thaw web"), code), (Some(3_500), 5), "{log:?}");
}

#[test]
fn what_is_held_starts_again_when_its_last_process_is_gone() {
    let (code, log) = frozen_main().signal(5_000, Signal::HUP).signal(9_000, Signal::TERM).played();
    assert_eq!(
        (at(&log, "thaw web"), spawns(&log, "web"), code),
        (Some(5_000), vec![0, 5_040], 0),
        "{log:?}"
    );
    // Alone, and asked twice.
    let web = program("web").startretries(0).lives(&[Life::Exits(500, 5), Life::Lives]);
    let script = Script::new(&[web]).main(0).hold(HoldOn::Failure).freezes(40);
    let script = script.signal(5_000, Signal::HUP).signal(5_010, Signal::HUP).signal(9_000, Signal::TERM);
    let (code, log) = script.played();
    assert_eq!((spawns(&log, "web"), code), (vec![0, 5_040], 0), "{log:?}");
}

#[test]
fn a_stop_while_what_was_held_is_on_its_way_out_is_the_end() {
    let (code, log) = frozen_main().signal(5_000, Signal::HUP).signal(5_010, Signal::TERM).played();
    assert_eq!((spawns(&log, "web"), code), (vec![0], 5), "{log:?}");
}

#[test]
fn what_is_not_held_is_let_go_at_once_and_its_end_counts_when_it_is_gone() {
    let lives = [Life::Exits(500, 5), Life::Lives];
    let restarted = || program("web").startsecs(0).lives(&lives).rules(|rules| rules.essential = true);
    let without_restart = || restarted().autorestart(AutoRestart::Never);
    let held = |script: Script| {
        let (_, log) = script.freezes(40).signal(9_000, Signal::TERM).played();
        let end = log.iter().position(|line| line.contains("web: exited"));
        assert_eq!(at(&log, "thaw web"), Some(500), "{log:?}");
        assert!(end.is_some_and(|end| log[end].starts_with("540 ")), "{log:?}");
        spawns(&log, "web")
    };
    // Restarted, also where its failure might have been held; with nothing to hold it; with the rest to wait for.
    assert_eq!(held(Script::new(&[restarted()]).hold(HoldOn::Failure)), [0, 1_000]);
    assert_eq!(held(Script::new(&[without_restart()])), [0]);
    let all = Script::new(&[without_restart()]).main(0).hold(HoldOn::Failure);
    let all = all.plan(|plan| plan.wait = Wait::All).freezes(40).signal(5_000, Signal::TERM);
    let (_, log) = all.played();
    assert_eq!((at(&log, "thaw web"), at(&log, "hold web")), (Some(500), Some(540)), "{log:?}");
    // It is what it was meant to do.
    let expected = without_restart().rules(|rules| rules.exitcodes = vec![5]);
    let expected = Script::new(&[expected, program("other")]).hold(HoldOn::Failure).freezes(40);
    let (_, log) = expected.signal(9_000, Signal::TERM).played();
    assert_eq!(at(&log, "thaw web"), Some(500), "{log:?}");
}

#[test]
fn once_a_stop_has_begun_nothing_is_kept() {
    let web = program("web").farewell(Some((100, 7)));
    let (code, log) =
        Script::new(&[web]).main(0).hold(HoldOn::Always).freezes(40).signal(2_000, Signal::TERM).played();
    assert_eq!((at(&log, "thaw web"), code), (Some(2_100), 7), "{log:?}");
}

#[test]
fn an_essential_program_is_kept_as_main_is_and_nobody_else() {
    let fails = |name| program(name).autorestart(AutoRestart::Never).lives(&[Life::Exits(2_000, 5)]);
    let essential = fails("db").rules(|rules| rules.essential = true);
    let other = fails("other").lives(&[Life::Exits(3_000, 6)]);
    let script = Script::new(&[program("web"), essential, other]).main(0).hold(HoldOn::Failure).freezes(40);
    let (code, log) = script.signal(5_000, Signal::TERM).played();
    assert_eq!((at(&log, "thaw db"), at(&log, "thaw other"), code), (Some(5_000), Some(3_000), 5), "{log:?}");
}
