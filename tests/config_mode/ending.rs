//! The end of the container: whose it is, with which code, and in how much time.

use crate::in_order;
use crate::support::{Ended, Setup};

/// Ends on TERM with 0, after a word.
const POLITE: &str = "trap 'echo told >$DIR/told; exit 0' TERM; echo up; while :; do sleep 0.02; done";
/// Does not end on any signal that can be ignored.
const STUBBORN: &str = "trap '' TERM INT HUP; echo up; while :; do sleep 0.05; done";

/// A program that runs this script.
fn program(name: &str, script: &str, keys: &str) -> String {
    format!("[program.{name}]\ncommand = ['bash', '-c', '''{script}''']\nstartsecs = 0\n{keys}\n")
}

/// A configuration with a termination message and these programs.
fn with_message(top: &str, programs: &[String]) -> Setup {
    let setup =
        Setup::config(&format!("termination_message.path = '$(DIR)/why'\n{top}\n{}", programs.concat()));
    std::fs::write(setup.dir.path().join("why"), "").expect("written");
    setup
}

#[test]
fn the_end_of_main_is_the_containers_end_and_code() {
    let helper = program("helper", POLITE, "autorestart = true");
    let web = program("web", "until [ -s $DIR/stdout ]; do sleep 0.02; done; exit 6", "autorestart = false");
    let ended = with_message("main = 'web'", &[web, helper]).run().end();
    assert_eq!((ended.code, ended.file("told").as_str()), (Some(6), "told\n"), "{ended:?}");
    in_order(
        &ended.stderr,
        [
            "web: exited with code 6",
            "the container ends with web",
            "helper: stopping with SIGTERM",
            "helper: exited",
        ],
    );
    assert!(ended.file("why").starts_with("web: exited with code 6 after 0."), "{}", ended.file("why"));
}

#[test]
fn a_helper_that_ends_or_fails_does_not_end_the_container() {
    let helpers = [
        program("done", "exit 0", ""),
        program("broken", "exit 3", "autorestart = false"),
        "[program.never]\ncommand = 'no-such'\nstartretries = 0\n".to_owned(),
        program("web", "until [ -e $DIR/go ]; do sleep 0.02; done; exit 0", ""),
    ];
    let mut sexton = with_message("main = 'web'", &helpers).run();
    sexton.says("done: exited", 1);
    sexton.says("broken: exited", 1);
    sexton.says("never: cannot execute", 1);
    assert!(sexton.is_running());
    sexton.write("go", "");
    let ended = sexton.end();
    assert_eq!((ended.code, ended.file("why").as_str()), (Some(0), ""), "{ended:?}");
}

#[test]
fn the_failure_of_what_is_essential_is_the_containers_end_and_code() {
    let web = program("web", POLITE, "");
    let vital = program(
        "vital",
        "until [ -s $DIR/stdout ]; do sleep 0.02; done; exit 4",
        "essential = true\nautorestart = false",
    );
    let ended = with_message("main = 'web'", &[web, vital]).run().end();
    assert_eq!((ended.code, ended.file("told").as_str()), (Some(4), "told\n"), "{ended:?}");
    assert!(ended.file("why").starts_with("vital: exited with code 4"), "{}", ended.file("why"));
    // What is essential and ends as expected has not failed.
    let web = program(
        "web",
        "until [ -e $DIR/done ]; do sleep 0.02; done; sleep 0.1; exit 5",
        "autorestart = false",
    );
    let vital = program("vital", ">$DIR/done; exit 0", "essential = true");
    assert_eq!(with_message("main = 'web'", &[web, vital]).run().end().code, Some(5));
}

#[test]
fn without_a_main_the_last_end_is_the_containers_and_the_first_failure_its_code() {
    let all_well = [program("a", "exit 0", ""), program("b", "exit 3", "exitcodes = [3]")];
    assert_eq!(with_message("", &all_well).run().end().code, Some(0));
    let failures = [
        program("a", "exit 0", ""),
        program("b", "exit 7", "autorestart = false"),
        program("c", "sleep 0.3; exit 8", "autorestart = false"),
    ];
    let ended = with_message("", &failures).run().end();
    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert!(ended.stderr.contains("c: exited with code 8"), "{ended:?}");
    assert!(ended.file("why").starts_with("b: exited with code 7"), "{}", ended.file("why"));
}

#[test]
fn a_fatal_program_is_seen_in_the_code_even_if_it_ended_with_0() {
    let fatal = "[program.a]\ncommand = 'true'\nstartretries = 0\n".to_owned();
    let ended = with_message("", &[fatal.clone(), program("b", "exit 0", "")]).run().end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.file("why").starts_with("a: exited with code 0"), "{}", ended.file("why"));
    let ended = with_message("main = 'a'", &[fatal]).run().end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

#[test]
fn a_command_besides_the_file_is_main() {
    let helper = program("helper", POLITE, "");
    let script = "until [ -s $DIR/stdout ]; do sleep 0.02; done; exit 6";
    let ended = Setup::config(&helper).shell(script).end();
    assert_eq!((ended.code, ended.file("told").as_str()), (Some(6), "told\n"), "{ended:?}");
    in_order(&ended.stderr, ["main: exited with code 6", "the container ends with main"]);
    // It runs after the steps.
    let config = "[[step]]\ncommand = ['bash', '-c', 'sleep 0.2; echo step']\n";
    let ended = Setup::config(config).shell("echo main").end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "step-1 | step\nmain | main\n"), "{ended:?}");
}

fn stopped_by(signal: &str, top: &str) -> Ended {
    let programs = [program("web", &POLITE.replace("told", "web-told"), ""), program("helper", POLITE, "")];
    let mut sexton = with_message(top, &programs).run();
    sexton.prints("web | up");
    sexton.prints("helper | up");
    sexton.signal(signal);
    let ended = sexton.end();
    assert!(ended.dir.path().join("told").exists() && ended.dir.path().join("web-told").exists());
    assert!(ended.stderr.contains(&format!("SIG{signal} received from outside the container")), "{ended:?}");
    ended
}

#[test]
fn a_stop_signal_stops_every_program() {
    for signal in ["TERM", "INT", "QUIT"] {
        for top in ["", "main = 'web'"] {
            let ended = stopped_by(signal, top);
            assert_eq!((ended.code, ended.file("why").as_str()), (Some(0), ""), "{ended:?}");
        }
    }
}

#[test]
fn the_stop_signals_can_be_others() {
    let programs = [program("web", POLITE, "")];
    let mut sexton = with_message("stop_on = ['RTMIN+3']", &programs).options(["-v"]).run();
    sexton.prints("up");
    sexton.signal("TERM");
    sexton.says("SIGTERM ignored: nobody is there to get it", 1);
    assert!(!sexton.has_file("told"));
    sexton.signal("RTMIN+3");
    let ended = sexton.end();
    assert_eq!((ended.code, ended.file("told").as_str()), (Some(0), "told\n"));
}

#[test]
fn a_stopped_main_gives_its_code() {
    let web = program("web", &POLITE.replace("exit 0", "exit 9"), "");
    let mut sexton = with_message("main = 'web'", &[web]).run();
    sexton.prints("up");
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(9));
}

#[test]
fn when_the_grace_period_runs_out_all_is_killed_and_the_message_still_written() {
    let programs = [
        program("web", STUBBORN, "stopwaitsecs = 3600"),
        program("helper", STUBBORN, "stopwaitsecs = 3600"),
        program("last", STUBBORN, "stopwaitsecs = 3600\nafter = { web = 'started' }"),
    ];
    let mut sexton = with_message("main = 'web'\ngrace_period = '2s'", &programs).run();
    for name in ["web", "helper", "last"] {
        sexton.prints(&format!("{name} | up"));
    }
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(137), "{ended:?}");
    let why = ended.file("why");
    assert!(why.starts_with("web: killed by SIGKILL after ") && why.contains(", by sexton: "), "{why}");
    assert!(why.contains("(stop requested by SIGTERM)"), "{why}");
}

#[test]
fn the_log_says_for_whom_it_waits() {
    let programs = [program("slow", STUBBORN, "stopwaitsecs = 5"), program("polite", POLITE, "")];
    let mut sexton = with_message("", &programs).run();
    sexton.prints("slow | up");
    sexton.prints("polite | up");
    sexton.signal("TERM");
    sexton.says("waiting for slow (SIGKILL in ", 1);
    assert!(!sexton.stderr().contains("waiting for polite"));
}

#[test]
fn a_second_stop_signal_skips_the_drain() {
    let mut sexton = with_message("drain.delay = '1h'", &[program("web", POLITE, "")]).run();
    sexton.prints("up");
    sexton.signal("TERM");
    sexton.says("draining for 1h00m", 1);
    assert!(!sexton.has_file("told"), "it was stopped at once");
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(0));
}

#[test]
fn restarts_go_on_during_a_drain() {
    let script = "echo up >>$DIR/runs; until [ -e $DIR/crash ]; do sleep 0.02; done; rm $DIR/crash; exit 3";
    let mut sexton = with_message("drain.delay = '1h'", &[program("web", script, "")]).run();
    sexton.file("runs");
    sexton.signal("TERM");
    sexton.says("draining for 1h00m", 1);
    sexton.write("crash", "");
    sexton.says("web: started", 2);
    assert!(sexton.is_running());
}

#[test]
fn a_third_stop_signal_kills_where_the_grace_period_is_set() {
    let web = program("web", STUBBORN, "stopwaitsecs = 3600");
    let mut sexton = with_message("main = 'web'\ngrace_period = '1h'", &[web]).options(["-vv"]).run();
    sexton.prints("up");
    for times in 1..=3 {
        sexton.signal("TERM");
        sexton.says("received SIGTERM", times);
    }
    let ended = sexton.end();
    assert_eq!(ended.code, Some(137));
    assert!(ended.file("why").contains("a third stop signal asked for it"), "{}", ended.file("why"));
}

#[test]
fn other_signals_are_mains() {
    let web = "trap 'echo hup' HUP; trap 'echo usr1' USR1; trap 'echo rt' RTMIN+2; echo up; while :; do sleep 0.02; done";
    let helper = "trap 'echo wrong' HUP USR1 RTMIN+2; echo up; while :; do sleep 0.02; done";
    let programs = [program("web", web, ""), program("helper", helper, "")];
    let mut sexton = with_message("main = 'web'", &programs).run();
    sexton.prints("web | up");
    sexton.prints("helper | up");
    for (signal, word) in [("HUP", "hup"), ("USR1", "usr1"), ("RTMIN+2", "rt")] {
        sexton.signal(signal);
        sexton.prints(&format!("web | {word}"));
    }
    assert!(!sexton.stdout().contains("wrong"), "{}", sexton.stdout());
}

#[test]
fn without_a_main_they_are_nobodys() {
    let helper = "trap 'echo wrong' USR1 USR2; echo up; while :; do sleep 0.02; done";
    let mut sexton = with_message("", &[program("helper", helper, "")]).options(["-v"]).run();
    sexton.prints("up");
    for signal in ["USR1", "USR2"] {
        sexton.signal(signal);
        sexton.says(&format!("SIG{signal} ignored: nobody is there to get it"), 1);
    }
    assert!(!sexton.stdout().contains("wrong"));
    assert!(sexton.is_running());
}

#[test]
fn a_hold_keeps_the_sidecars_or_stops_them() {
    let programs = || {
        [
            program("web", "until [ -s $DIR/stdout ]; do sleep 0.02; done; exit 6", "autorestart = false"),
            program("helper", POLITE, ""),
        ]
    };
    let mut sexton = with_message("main = 'web'\nhold.on = 'failure'", &programs()).run();
    sexton.says("web: exited with code 6 after 0.", 1);
    sexton.says("holding the container for 1h00m", 1);
    assert!(sexton.file("why").starts_with("web: exited with code 6"));
    assert!(!sexton.has_file("told") && !sexton.children().is_empty());
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!((ended.code, ended.file("told").as_str()), (Some(6), "told\n"), "{ended:?}");

    let mut sexton =
        with_message("main = 'web'\nhold = { on = 'failure', sidecars = 'stop' }", &programs()).run();
    sexton.says("holding the container", 1);
    assert_eq!(sexton.file("told"), "told\n");
    sexton.says("helper: exited with code 0", 1);
    assert!(sexton.is_running());
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(6));
}

#[test]
fn a_held_main_starts_again_by_a_hangup_and_its_sidecars_with_it() {
    let web = "[ -e $DIR/mended ] && { echo better; exec sleep 1000; }; exit 6";
    for sidecars in ["keep", "stop"] {
        let programs = [program("web", web, "autorestart = false"), program("helper", POLITE, "")];
        let top = format!("main = 'web'\nhold = {{ on = 'failure', sidecars = '{sidecars}' }}");
        let mut sexton = with_message(&top, &programs).run();
        sexton.says("holding the container", 1);
        if sidecars == "stop" {
            sexton.says("helper: ", 3); // started, stopping, gone
        }
        sexton.write("mended", "");
        sexton.signal("HUP");
        sexton.prints("web | better");
        let times = if sidecars == "stop" { 2 } else { 1 };
        sexton.says("helper: started", times);
        assert_eq!(sexton.stderr().matches("helper: started").count(), times, "{}", sexton.stderr());
        assert_eq!(std::fs::read_to_string(sexton.dir.path().join("why")).expect("there"), "");
    }
}

#[test]
fn the_file_at_its_usual_place_is_read_without_a_word() {
    let before = "mkdir $DIR/etc && cp /etc/passwd /etc/group $DIR/etc && cat >$DIR/etc/sexton.toml <<'END'
[program.p]
command = ['bash', '-c', 'echo from the usual place']
startsecs = 0
END
mount --bind $DIR/etc /etc";
    let ended = Setup::pid_1().before(before).run().end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "p | from the usual place\n"), "{ended:?}");
    // A command is a command.
    let ended = Setup::pid_1().before(before).shell("echo mine").end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "mine\n"), "{ended:?}");
}

#[test]
fn check_is_a_word_of_sextons_even_as_pid_1_and_a_programs_name_after_two_dashes() {
    let setup = Setup::config("").before("true");
    let file = setup.dir.path().join("good.toml");
    std::fs::write(&file, "[program.p]\ncommand = 'touch $(DIR)/started'\n").expect("written");
    let ended = Setup::pid_1()
        .env("DIR", "/nowhere")
        .options(["check".into(), file.clone().into_os_string()])
        .run()
        .end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.stdout.contains("touch"), "{ended:?}");
    std::fs::write(&file, "[program.p]\ncomand = 'true'\n").expect("written");
    let ended = Setup::pid_1().options(["check".into(), file.into_os_string()]).run().end();
    assert_eq!(ended.code, Some(100), "{ended:?}");

    let setup = Setup::config(&program("helper", POLITE, ""));
    let path = format!("{}:/usr/bin:/bin", setup.dir.path().display());
    let tool = setup.dir.path().join("check");
    std::fs::write(&tool, "#!/bin/sh\necho checked; exit 3\n").expect("written");
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    let ended = setup.env("PATH", &path).command(&["check"]).end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stdout.contains("main | checked\n"), "{ended:?}");
}

#[test]
fn not_as_pid_1_the_same_file_means_the_same() {
    let setup = Setup::not_pid_1();
    let file = setup.dir.path().join("sexton.toml");
    let web = program("web", "setsid sleep 1000 & exit 6", "autorestart = false");
    std::fs::write(&file, format!("main = 'web'\n{web}{}", program("helper", POLITE, ""))).expect("written");
    let ended = setup.options(["--config".into(), file.into_os_string()]).run().end();
    assert_eq!(ended.code, Some(6), "{ended:?}");
}
