//! What an operator asks for while the container runs, and what is answered and when.

use sexton::command::{Command, Verb};
use sexton::plan::{AutoRestart, Condition, HoldOn, Sidecars};
use sexton::signal::Signal;

use crate::script::{Life, Script, program, step};

fn of(verb: Verb, names: &[&str]) -> Command {
    Command::Programs {
        verb,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        dependents: false,
    }
}

fn with_dependents(verb: Verb, name: &str) -> Command {
    Command::Programs { verb, names: vec![name.to_owned()], dependents: true }
}

/// What is answered, and when; and what was started.
fn of_interest(log: &[String]) -> Vec<&str> {
    let words = ["reply", "spawn", "SIG", "hold", "crash"];
    log.iter().map(String::as_str).filter(|line| words.iter().any(|word| line.contains(word))).collect()
}

#[test]
fn a_stop_is_answered_when_the_process_is_gone_and_lasts() {
    let parts = [program("web").farewell(Some((700, 0))), program("other")];
    let (_, log) = Script::new(&parts)
        .command(2_000, of(Verb::Stop, &["web"]))
        .command(5_000, of(Verb::Stop, &["web"]))
        .command(9_000, of(Verb::Start, &["web"]))
        .signal(20_000, Signal::TERM)
        .played();
    assert_eq!(
        of_interest(&log)[..7],
        [
            "0 spawn web",
            "0 spawn other",
            "2000 SIGTERM web",
            "2700 reply: web stopped",
            "5000 reply: web not running",
            "9000 spawn web",
            "10000 reply: web started",
        ]
    );
}

/// The container is not over because somebody has stopped all that there is.
#[test]
fn a_container_without_main_stays_when_an_operator_stops_the_last_program() {
    let parts = [program("web"), program("done").startsecs(0).lives(&[Life::Exits(100, 0)])];
    let script = Script::new(&parts)
        .command(2_000, of(Verb::Stop, &["all"]))
        .command(9_000, of(Verb::Start, &["w*"]))
        .signal(12_000, Signal::TERM);
    let (code, log) = script.played();
    assert!(log.contains(&"10000 reply: web started".to_owned()), "{log:#?}");
    assert_eq!(code, 0);
}

#[test]
fn main_stopped_by_an_operator_is_no_end() {
    let parts = [program("web")];
    let (code, log) = Script::new(&parts)
        .main(0)
        .command(2_000, of(Verb::Stop, &["web"]))
        .command(60_000, of(Verb::Restart, &["web"]))
        .signal(70_000, Signal::TERM)
        .played();
    assert!(log.contains(&"61000 reply: web started".to_owned()), "{log:#?}");
    assert_eq!(code, 0);
}

#[test]
fn a_start_that_fails_says_how_and_what_comes_next() {
    let parts = [
        program("web").lives(&[Life::Exits(300, 3), Life::Lives]).rules(|rules| rules.autostart = false),
        program("other"),
    ];
    let (_, log) =
        Script::new(&parts).command(1_000, of(Verb::Start, &["web"])).signal(9_000, Signal::TERM).played();
    assert!(
        log.contains(
            &"1300 reply: web failed exited with code 3 after 0.3s (unexpected); restarting in 1.0s (1 of 3)"
                .to_owned()
        ),
        "{log:#?}"
    );
}

#[test]
fn what_has_failed_for_good_or_waits_for_a_retry_starts_from_the_beginning() {
    let parts = [
        program("web").startretries(1).lives(&[
            Life::Exits(0, 1),
            Life::Exits(0, 1),
            Life::Exits(0, 1),
            Life::Lives,
        ]),
        program("other"),
    ];
    let (code, log) = Script::new(&parts)
        .command(5_000, of(Verb::Start, &["web"]))
        .command(5_200, of(Verb::Start, &["web"]))
        .signal(9_000, Signal::TERM)
        .played();
    let lines = of_interest(&log);
    assert_eq!(
        lines[2..6],
        [
            "1000 spawn web",
            "5000 spawn web",
            "5000 reply: web failed exited with code 1 after 0.0s (unexpected); restarting in 1.0s (1 of 1)",
            "5200 spawn web",
        ],
        "{lines:#?}"
    );
    assert!(log.contains(&"6200 reply: web started".to_owned()));
    assert_eq!(code, 0, "its failure is forgotten once somebody has started it");
}

#[test]
fn a_start_brings_what_the_program_comes_after() {
    let parts = [
        program("db").rules(|rules| rules.autostart = false),
        program("web").after(0, Condition::Ready).rules(|rules| rules.autostart = false),
        program("other"),
    ];
    let (_, log) =
        Script::new(&parts).command(1_000, of(Verb::Start, &["web"])).signal(9_000, Signal::TERM).played();
    assert_eq!(
        of_interest(&log)[1..4],
        ["1000 spawn db", "2000 spawn web", "3000 reply: web started"],
        "{log:#?}"
    );
}

#[test]
fn a_restart_with_dependents_stops_them_first_and_starts_them_last() {
    let parts = [
        program("db").farewell(Some((100, 0))),
        program("web").after(0, Condition::Ready).farewell(Some((100, 0))),
        program("front").after(1, Condition::Ready).farewell(Some((100, 0))),
        program("other"),
    ];
    let (_, log) = Script::new(&parts)
        .command(5_000, with_dependents(Verb::Restart, "db"))
        .signal(20_000, Signal::TERM)
        .played();
    let lines = of_interest(&log);
    assert_eq!(
        lines[4..11],
        [
            "5000 SIGTERM front",
            "5100 SIGTERM web",
            "5200 SIGTERM db",
            "5300 spawn db",
            "6300 spawn web",
            "7300 spawn front",
            "8300 reply: db started, web started, front started",
        ],
        "{lines:#?}"
    );
}

#[test]
fn that_what_comes_first_was_once_started_is_not_enough_then() {
    let parts = [
        program("db").startsecs(0).farewell(Some((100, 0))),
        program("web").after(0, Condition::Started).farewell(Some((100, 0))),
        program("other"),
    ];
    let (_, log) = Script::new(&parts)
        .command(5_000, with_dependents(Verb::Restart, "db"))
        .signal(20_000, Signal::TERM)
        .played();
    assert_eq!(
        of_interest(&log)[3..7],
        ["5000 SIGTERM web", "5100 SIGTERM db", "5200 spawn db", "5200 spawn web"],
        "{log:#?}"
    );
}

#[test]
fn who_failed_besides_is_not_forgotten_when_one_is_started() {
    let fails = |name| program(name).startretries(0).lives(&[Life::Exits(0, 3), Life::Exits(2_000, 0)]);
    let once = |part: crate::script::Part| part.autorestart(AutoRestart::Never);
    let parts = [once(fails("a")), once(fails("b")), once(program("c").lives(&[Life::Exits(20_000, 0)]))];
    let (code, _) = Script::new(&parts).command(5_000, of(Verb::Start, &["a"])).played();
    assert_eq!(code, 3, "b is FATAL");
}

#[test]
fn a_restart_without_them_leaves_them_alone() {
    let parts = [program("db"), program("web").after(0, Condition::Ready)];
    let (_, log) =
        Script::new(&parts).command(5_000, of(Verb::Restart, &["db"])).signal(9_000, Signal::TERM).played();
    assert_eq!(
        of_interest(&log)[2..5],
        ["5000 SIGTERM db", "5000 spawn db", "6000 reply: db started"],
        "{log:#?}"
    );
}

#[test]
fn a_name_that_matches_nothing_keeps_nobody_else_from_it() {
    let parts = [step("migrate").lives(&[Life::Exits(10, 0)]), program("web"), program("web2")];
    let (_, log) = Script::new(&parts)
        .command(5_000, of(Verb::Signal(Signal::HUP), &["nobody", "web?", "web"]))
        .command(6_000, of(Verb::Restart, &["*"]))
        .command(9_000, of(Verb::Start, &["migrate"]))
        .signal(19_000, Signal::TERM)
        .played();
    let lines = of_interest(&log);
    assert_eq!(
        lines[3..6],
        [
            "5000 SIGHUP web2",
            "5000 SIGHUP web",
            "5000 reply: nobody no such program, web2 signalled, web signalled",
        ],
        "{lines:#?}"
    );
    assert!(
        log.contains(&"7000 reply: web started, web2 started".to_owned()),
        "no step is done again: {log:#?}"
    );
    assert!(log.contains(&"9010 reply: migrate started and has ended as expected".to_owned()), "{log:#?}");
}

#[test]
fn while_the_container_stops_only_signals_are_taken() {
    let parts = [program("web").farewell(Some((3_000, 0)))];
    let (_, log) = Script::new(&parts)
        .signal(5_000, Signal::TERM)
        .command(6_000, of(Verb::Restart, &["web"]))
        .command(6_100, of(Verb::Signal(Signal::HUP), &["web"]))
        .command(6_200, Command::Reload)
        .command(6_300, Command::Hold(true))
        .command(6_400, Command::Release { restart: true })
        .played();
    let replies: Vec<&String> = log.iter().filter(|line| line.contains("reply")).collect();
    assert_eq!(
        replies,
        [
            "6000 reply: the container refused the container is stopping",
            "6100 reply: web signalled",
            "6200 reply: the container refused the container is stopping",
            "6300 reply: the container refused the container is stopping",
            "6400 reply: the container refused the container is not held",
        ]
    );
}

#[test]
fn who_waits_for_a_start_hears_that_the_container_stops() {
    let parts = [program("web").startsecs(10)];
    let (_, log) =
        Script::new(&parts).command(2_000, of(Verb::Restart, &["web"])).signal(5_000, Signal::TERM).played();
    assert!(log.contains(&"5000 reply: web refused the container is stopping".to_owned()), "{log:#?}");
}

/// What is being stopped stays what the operator wants, whatever else would restart it.
#[test]
fn a_reload_or_the_end_of_a_hold_starts_nothing_that_is_being_stopped() {
    let parts = [program("web").farewell(Some((3_000, 0))), program("other")];
    let (_, log) = Script::new(&parts)
        .command(5_000, of(Verb::Stop, &["web"]))
        .reload(&parts, &[0])
        .command(6_000, Command::Reload)
        .signal(20_000, Signal::TERM)
        .played();
    assert!(log.contains(&"8000 reply: web stopped".to_owned()), "{log:#?}");
    assert_eq!(log.iter().filter(|line| line.ends_with("spawn web")).count(), 1, "{log:#?}");

    let parts = [
        program("web").autorestart(AutoRestart::Never).lives(&[Life::Exits(5_000, 7), Life::Lives]),
        program("other").farewell(Some((3_000, 0))),
    ];
    let script = Script::new(&parts).main(0).hold(HoldOn::Failure);
    let (_, log) = script
        .plan(|plan| plan.hold.sidecars = Sidecars::Stop)
        .command(4_000, of(Verb::Stop, &["other"]))
        .command(6_000, Command::Release { restart: true })
        .signal(20_000, Signal::TERM)
        .played();
    assert_eq!(log.iter().filter(|line| line.ends_with("spawn other")).count(), 1, "{log:#?}");
}

/// What main waits for is mended, and so is what the container was held for.
#[test]
fn to_mend_what_the_held_program_waits_for_ends_the_hold() {
    let parts = [
        program("db").startretries(0).lives(&[Life::Exits(4_000, 3), Life::Exits(0, 3), Life::Lives]),
        program("web").after(0, Condition::Ready).lives(&[Life::Exits(6_000, 5), Life::Lives]),
        program("other"),
    ];
    let script = Script::new(&parts).main(1).hold(HoldOn::Failure);
    let (code, log) = script.command(60_000, of(Verb::Start, &["db"])).signal(80_000, Signal::TERM).played();
    assert!(log.iter().any(|line| line.contains("hold web")), "{log:#?}");
    assert!(log.contains(&"61000 spawn web".to_owned()), "{log:#?}");
    assert_eq!(code, 0, "{log:#?}");
}

// --- crashes

#[test]
fn an_end_that_nobody_wanted_is_kept_and_no_other() {
    let parts = [
        program("crash").lives(&[Life::Exits(2_000, 3), Life::Refused(127), Life::Lives]),
        program("done").lives(&[Life::Exits(3_000, 0)]),
        program("killed").lives(&[Life::Dies(4_000, Signal::KILL), Life::Lives]),
        program("stopped").farewell(Some((100, 9))),
    ];
    let (_, log) = Script::new(&parts)
        .keeps_records()
        .command(6_000, of(Verb::Stop, &["stopped"]))
        .signal(9_000, Signal::TERM)
        .played();
    let crashes: Vec<&String> = log.iter().filter(|line| line.contains("crash of")).collect();
    assert_eq!(crashes, ["2000 crash of crash", "2000 crash of crash", "4000 crash of killed"], "{log:#?}");
}

// --- the hold

#[test]
fn an_operator_turns_the_hold_on_and_starts_again_in_place() {
    let parts = [
        program("web").autorestart(AutoRestart::Never).lives(&[Life::Exits(5_000, 7), Life::Lives]),
        program("other"),
    ];
    let (code, log) = Script::new(&parts)
        .main(0)
        .command(1_000, Command::Hold(true))
        .command(60_000, Command::Release { restart: true })
        .signal(80_000, Signal::TERM)
        .played();
    assert_eq!(
        of_interest(&log)[2..6],
        [
            "1000 reply: the container done a failure that ends the container will be held",
            "5000 hold web",
            "60000 SIGKILL strays",
            "60000 spawn web",
        ],
        "{log:#?}"
    );
    assert!(log.contains(&"61000 reply: web started".to_owned()));
    assert_eq!(code, 0);
}

#[test]
fn a_release_ends_the_container_with_the_code_of_what_failed() {
    let parts = [program("web").autorestart(AutoRestart::Never).lives(&[Life::Exits(5_000, 7)])];
    let script = Script::new(&parts).main(0).hold(HoldOn::Failure);
    let (code, log) = script
        .command(50_000, Command::Hold(false))
        .command(60_000, Command::Release { restart: false })
        .played();
    assert!(log.contains(&"5000 hold web".to_owned()), "{log:#?}");
    let refused =
        "50000 reply: the container refused the container is held, and stays so; `release` ends the hold";
    assert!(log.contains(&refused.to_owned()), "what is held stays to be looked at: {log:#?}");
    assert!(log.contains(&"60000 reply: the container done the hold is over; the container ends".to_owned()));
    assert_eq!(code, 7);
}

#[test]
fn an_operator_who_turns_the_hold_off_wins_over_the_configuration() {
    let parts = [program("web").autorestart(AutoRestart::Never).lives(&[Life::Exits(5_000, 7)])];
    let script = Script::new(&parts).main(0).hold(HoldOn::Failure);
    let (code, log) = script.command(1_000, Command::Hold(false)).played();
    assert!(!log.iter().any(|line| line.contains("hold web")), "{log:#?}");
    assert_eq!(code, 7);
}

/// Who names what failed wants the same as `release --restart`.
#[test]
fn to_start_what_is_held_is_a_release() {
    for verb in [Verb::Start, Verb::Restart] {
        let parts =
            [program("web").autorestart(AutoRestart::Never).lives(&[Life::Exits(5_000, 7), Life::Lives])];
        let script = Script::new(&parts).main(0).hold(HoldOn::Failure);
        let (code, log) = script.command(60_000, of(verb, &["web"])).signal(70_000, Signal::TERM).played();
        assert!(log.contains(&"61000 reply: web started".to_owned()), "{log:#?}");
        assert_eq!(code, 0);
    }
}

#[test]
fn who_stopped_a_program_finds_it_stopped_after_the_hold() {
    let parts = [
        program("web").autorestart(AutoRestart::Never).lives(&[Life::Exits(5_000, 7), Life::Lives]),
        program("other"),
    ];
    let script = Script::new(&parts).main(0).hold(HoldOn::Failure);
    let (_, log) = script
        .command(2_000, of(Verb::Stop, &["other"]))
        .command(60_000, Command::Release { restart: true })
        .signal(70_000, Signal::TERM)
        .played();
    assert_eq!(log.iter().filter(|line| line.ends_with("spawn other")).count(), 1, "{log:#?}");
}
