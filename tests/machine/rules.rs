//! The rules that programs know from Supervisor.

use sexton::plan::AutoRestart;
use sexton::signal::Signal;

use crate::script::{Life, Script, program, spawns};

#[test]
fn a_program_is_running_when_it_has_lived_for_startsecs() {
    let (_, log) = Script::new(&[program("web").startsecs(4)]).signal(9_000, Signal::TERM).played();
    assert_eq!(log[..2], ["0 spawn web", "4000 web: running"]);
}

#[test]
fn with_startsecs_0_it_is_running_at_once_and_any_exit_is_one_from_running() {
    let (code, log) = Script::new(&[program("job").startsecs(0).lives(&[Life::Exits(0, 0)])]).played();
    assert_eq!((code, log), (0, vec!["0 spawn job".into(), "0 job: exited with code 0 after 0.0s".into()]));
}

#[test]
fn without_autostart_it_does_not_start() {
    let parts = [program("web"), program("later").rules(|rules| rules.autostart = false)];
    let (code, log) = Script::new(&parts).signal(3_000, Signal::TERM).played();
    assert_eq!((code, spawns(&log, "later")), (0, vec![]));
}

#[test]
fn an_exit_before_startsecs_is_a_failed_start_whatever_its_code() {
    let script = Script::new(&[program("web").lives(&[Life::Exits(200, 0), Life::Lives])]);
    let (_, log) = script.signal(9_000, Signal::TERM).played();
    assert_eq!(
        log[..4],
        [
            "0 spawn web",
            "200 web: exited with code 0 after 0.2s (unexpected); restarting in 1.0s (1 of 3)",
            "1200 spawn web",
            "2200 web: running",
        ]
    );
}

/// Supervisor measures the wait from the exit, and so it was measured in it: spawns at 0, 1, 3 and 6 seconds.
#[test]
fn n_retries_are_n_plus_1_spawns_with_a_second_more_between_each() {
    let (code, log) = Script::new(&[program("web").lives(&[Life::Exits(0, 5)])]).played();
    assert_eq!((code, spawns(&log, "web")), (5, vec![0, 1_000, 3_000, 6_000]));
    assert_eq!(
        log.last().map(String::as_str),
        Some("6000 web: exited with code 5 after 0.0s (unexpected); 3 of 3 retries used")
    );
    for retries in [0, 1, 7] {
        let part = program("web").startretries(retries).lives(&[Life::Exits(100, 5)]);
        let (_, log) = Script::new(&[part]).played();
        let spawns = spawns(&log, "web");
        assert_eq!(spawns.len(), usize::try_from(retries).expect("few") + 1);
        let waits: Vec<u64> = spawns.windows(2).map(|pair| pair[1] - pair[0] - 100).collect();
        assert!(waits.iter().zip(1..).all(|(wait, k)| *wait == k * 1_000), "{waits:?}");
    }
}

#[test]
fn what_cannot_be_executed_backs_off_and_is_fatal_as_anything_else() {
    let (code, log) = Script::new(&[program("web").startretries(1).lives(&[Life::Refused(127)])]).played();
    assert_eq!((code, spawns(&log, "web")), (127, vec![0, 1_000]));
}

#[test]
fn an_exit_at_startsecs_is_one_from_running() {
    let parts = [program("web").autorestart(AutoRestart::Never).lives(&[Life::Exits(1_000, 5)])];
    let (code, log) = Script::new(&parts).played();
    assert_eq!((code, spawns(&log, "web")), (5, vec![0]));
    assert_eq!(log.last().map(String::as_str), Some("1000 web: exited with code 5 after 1.0s (unexpected)"));
}

#[test]
fn running_makes_the_count_of_failed_starts_begin_anew() {
    let lives = [
        Life::Exits(0, 1),
        Life::Exits(0, 1),
        Life::Exits(5_000, 1),
        Life::Exits(0, 1),
        Life::Exits(0, 1),
        Life::Exits(0, 1),
        Life::Exits(0, 1),
    ];
    let (_, log) = Script::new(&[program("web").lives(&lives)]).played();
    assert_eq!(spawns(&log, "web"), [0, 1_000, 3_000, 8_000, 9_000, 11_000, 14_000]);
}

#[test]
fn autorestart_and_exitcodes_decide_whether_it_starts_again() {
    let restarts = |autorestart, life| {
        let part = program("web").startsecs(0).autorestart(autorestart).lives(&[life, Life::Lives]);
        let part = part.rules(|rules| rules.exitcodes = vec![0, 2]);
        let (_, log) = Script::new(&[part]).signal(60_000, Signal::TERM).played();
        spawns(&log, "web").len() == 2
    };
    let killed = Life::Dies(3_000, Signal::PIPE);
    assert!(!restarts(AutoRestart::Never, Life::Exits(3_000, 1)));
    assert!(!restarts(AutoRestart::Unexpected, Life::Exits(3_000, 0)));
    assert!(!restarts(AutoRestart::Unexpected, Life::Exits(3_000, 2)));
    assert!(restarts(AutoRestart::Unexpected, Life::Exits(3_000, 1)));
    assert!(restarts(AutoRestart::Unexpected, killed));
    assert!(restarts(AutoRestart::Always, Life::Exits(3_000, 0)));
}

#[test]
fn a_stop_sends_the_stopsignal_and_one_sigkill_after_stopwaitsecs() {
    let part = program("web").farewell(None).stopwaitsecs(4).rules(|rules| rules.stopsignal = Signal::QUIT);
    let (code, log) = Script::new(&[part]).signal(5_000, Signal::TERM).played();
    let signals: Vec<&String> = log.iter().filter(|line| line.contains("SIG")).collect();
    assert_eq!(signals[..2], ["5000 SIGQUIT web", "6000 waiting for web (SIGKILL in 3.0s)"]);
    assert_eq!(log.iter().filter(|line| line.ends_with(" SIGKILL web")).count(), 1, "{log:?}");
    assert!(log.contains(&"9000 SIGKILL web".to_owned()));
    assert_eq!(code, 137);
}

#[test]
fn the_group_gets_what_stopasgroup_and_killasgroup_say() {
    let part = program("web").farewell(None).stopwaitsecs(4).rules(|rules| {
        rules.stopasgroup = true;
        rules.killasgroup = true;
    });
    let (_, log) = Script::new(&[part]).signal(5_000, Signal::TERM).played();
    assert!(log.contains(&"5000 SIGTERM group of web".to_owned()), "{log:?}");
    assert!(log.contains(&"9000 SIGKILL group of web".to_owned()), "{log:?}");
}

#[test]
fn a_stop_never_starts_anything_again() {
    let always = |name| program(name).autorestart(AutoRestart::Always).farewell(Some((2_000, 0)));
    let parts = [always("web"), always("other"), program("broken").lives(&[Life::Exits(0, 1)])];
    let (code, log) = Script::new(&parts).signal(500, Signal::TERM).played();
    assert_eq!(code, 0);
    assert!(log.iter().filter(|line| line.contains("spawn")).all(|line| line.starts_with("0 ")), "{log:?}");
}

#[test]
fn starts_come_in_one_go_and_in_order() {
    let (_, log) =
        Script::new(&[program("a"), program("b"), program("c")]).signal(2_000, Signal::TERM).played();
    assert_eq!(log[..3], ["0 spawn a", "0 spawn b", "0 spawn c"]);
}
