//! A program's states: what is started again, how often, and what is said of it.

use std::process::Command;

use crate::in_order;
use crate::support::{Running, Setup, wait_until};

/// Waits until the file has so many lines.
fn lines(sexton: &Running, name: &str, count: usize) {
    wait_until(&format!("{count} lines in {name}; stderr: {}", sexton.stderr()), || {
        let text = std::fs::read_to_string(sexton.dir.path().join(name)).unwrap_or_default();
        (text.lines().count() >= count).then_some(())
    });
}

#[test]
fn what_ends_unexpectedly_is_started_again_and_what_ends_as_expected_is_not() {
    let ended = Setup::config(
        "[program.p]
        command = ['bash', '-c', 'echo run >>$DIR/runs; [ -e $DIR/once ] || { >$DIR/once; exit 3; }']
        startsecs = 0",
    )
    .run()
    .end();
    assert_eq!((ended.code, ended.file("runs").as_str()), (Some(0), "run\nrun\n"), "{ended:?}");
    assert!(ended.stderr.contains("p: exited with code 3 after 0.0s (unexpected); restarting in "));
    assert!(ended.stderr.contains("p: exited with code 0 after 0.0s\n"), "{ended:?}");
}

#[test]
fn exitcodes_say_what_is_expected() {
    let ended = Setup::config(
        "main = 'p'\n[program.p]\ncommand = ['bash', '-c', 'echo run >>$DIR/runs; exit 3']
        startsecs = 0\nexitcodes = [0, 3]",
    )
    .run()
    .end();
    assert_eq!((ended.code, ended.file("runs").as_str()), (Some(3), "run\n"), "{ended:?}");
    assert!(!ended.stderr.contains("(unexpected)"), "{ended:?}");
}

#[test]
fn autorestart_is_always_or_never_where_the_file_says_so() {
    let sexton = Setup::config(
        "[program.always]
        command = ['bash', '-c', 'echo run >>$DIR/always']
        startsecs = 0
        autorestart = true
        [program.never]
        command = ['bash', '-c', 'echo run >>$DIR/never; exit 3']
        startsecs = 0
        autorestart = false",
    )
    .run();
    lines(&sexton, "always", 3);
    assert_eq!(sexton.file("never"), "run\n");
}

#[test]
fn n_retries_are_n_plus_1_starts_and_the_last_code_is_kept() {
    for (retries, runs, said) in [(0, "run\n", ""), (1, "run\nrun\n", "; 1 of 1 retries used")] {
        let ended = Setup::config(&format!(
            "[program.p]\ncommand = ['bash', '-c', 'echo run >>$DIR/runs; exit 7']\nstartretries = {retries}",
        ))
        .run()
        .end();
        assert_eq!((ended.code, ended.file("runs").as_str()), (Some(7), runs), "{ended:?}");
        assert!(ended.stderr.contains(&format!("(unexpected){said}\n")), "{ended:?}");
        assert_eq!(ended.stderr.matches("restarting in 1").count(), retries, "{ended:?}");
    }
}

#[test]
fn an_end_too_soon_is_a_failure_whatever_the_code() {
    let ended = Setup::config("[program.p]\ncommand = 'true'\nstartretries = 0").run().end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    // Where nothing is too soon, the same end is as expected.
    let ended = Setup::config("[program.p]\ncommand = 'true'\nstartretries = 0\nstartsecs = 0").run().end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn a_death_by_signal_keeps_its_number_in_the_end() {
    let ended = Setup::config(
        "[program.p]\ncommand = ['bash', '-c', 'kill -SEGV $BASHPID; sleep 1000']\nstartretries = 0",
    )
    .run()
    .end();
    assert_eq!(ended.code, Some(139), "{ended:?}");
    assert!(ended.stderr.contains("p: killed by SIGSEGV"), "{ended:?}");
}

#[test]
fn who_lives_for_startsecs_is_running_and_whose_failures_do_not_count() {
    // Five ends, each after startsecs: with a retry to spare for none of them it would be over after the first.
    let sexton = Setup::config(
        "[program.p]
        command = ['bash', '-c', 'sleep 0.2; echo run >>$DIR/runs; exit 3']
        startsecs = 0.1
        startretries = 0",
    )
    .run();
    lines(&sexton, "runs", 3);
    sexton.says("p: running", 3);
    assert!(!sexton.stderr().contains("retries used"));
}

/// What cannot be started is tried again, is FATAL with this code and reason, and nobody else minds.
fn cannot_start(keys: &str, code: i32, reason: &str) {
    let config = format!(
        "termination_message.path = '$(DIR)/why'
        [program.bad]\n{keys}\nstartretries = 1
        [program.good]\ncommand = ['bash', '-c', 'echo >$DIR/up; sleep 1000']"
    );
    let setup = Setup::config(&config).env("PATH", "/usr/bin:/bin");
    std::fs::write(setup.dir.path().join("why"), "").expect("written");
    let mut sexton = setup.run();
    sexton.says("; restarting in 1.0s (1 of 1)", 1);
    sexton.says("(unexpected); 1 of 1 retries used", 1);
    sexton.file("up");
    assert!(sexton.is_running());
    assert!(!sexton.children().is_empty(), "the good one has gone too");
    sexton.signal("TERM");
    let ended = sexton.end();
    let line = format!("bad: {reason} (unexpected); 1 of 1 retries used\n");
    assert!(ended.stderr.contains(&line), "{line} is not in {ended:?}");
    assert!(ended.file("why").starts_with(&format!("bad: {reason} (")), "{}", ended.file("why"));
    assert_eq!(ended.code, Some(code), "{ended:?}");
}

#[test]
fn a_missing_command_is_fatal_with_its_reason() {
    cannot_start(
        "command = 'no-such-command'",
        127,
        "cannot execute `no-such-command`: not found in PATH (/usr/bin:/bin)",
    );
}

#[test]
fn a_directory_as_command_is_fatal_with_its_reason() {
    cannot_start("command = '/usr'", 126, "cannot execute `/usr`: it is a directory");
}

#[test]
fn a_missing_user_is_fatal_with_its_reason() {
    cannot_start(
        "command = 'true'\nuser = 'nosuchuser'",
        126,
        "cannot run as `nosuchuser`: /etc/passwd has no user `nosuchuser`; a number needs no such file",
    );
}

#[test]
fn a_missing_directory_is_fatal_with_its_reason() {
    cannot_start(
        "command = 'true'\ndirectory = '/no/such'",
        126,
        "cannot change to the directory `/no/such`: No such file or directory (os error 2)",
    );
}

#[test]
fn a_limit_that_may_not_be_set_is_fatal_with_its_reason() {
    let reason = "cannot set the rlimits of `true`: Operation not permitted (os error 1)";
    cannot_start("command = 'true'\nrlimits = { nofile = 2000000000 }", 126, reason);
}

#[test]
fn a_missing_command_that_comes_later_is_found() {
    let sexton = Setup::config(
        "[program.late]\ncommand = '$(DIR)/late'\nstartretries = 5\n\
        [program.good]\ncommand = 'sleep 1000'",
    )
    .run();
    sexton.says("late: cannot execute", 1);
    let path = sexton.dir.path().join("late");
    std::fs::write(path.with_extension("new"), "#!/bin/sh\necho here; exec sleep 1000\n").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path.with_extension("new"), mode).expect("executable");
    std::fs::rename(path.with_extension("new"), path).expect("renamed");
    sexton.prints("late | here");
    sexton.says("late: running", 1);
}

#[test]
fn where_no_process_can_be_made_it_is_tried_again_until_one_can() {
    // A user of our own: the limit counts all of a user's processes. sexton is one, the first program the other.
    let user = "5417";
    let through = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "prlimit", "--nproc=2:100"];
    let mut sexton = Setup::config(
        "[program.first]\ncommand = 'sleep 1000'\npriority = 1\n\
        [program.second]\ncommand = 'sleep 1000'\nstartretries = 20",
    )
    .through(&through)
    .run();
    sexton.says(
        "second: cannot make a process for `sleep`: Resource temporarily unavailable (os error 11) \
        (unexpected); restarting in 1.0s (1 of 20)",
        1,
    );
    let pid = sexton.pid().to_string();
    let status = Command::new("setpriv")
        .args([
            "--reuid",
            user,
            "--regid",
            user,
            "--clear-groups",
            "prlimit",
            "--pid",
            &pid,
            "--nproc=50:100",
        ])
        .status();
    assert!(status.expect("setpriv of util-linux").success());
    sexton.says("second: started", 1);
    sexton.says("second: running", 1);
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(0));
}

#[test]
fn what_is_left_of_its_group_is_killed_before_it_starts_again() {
    let ended = Setup::config(
        "[program.p]
        command = ['bash', '-c', '''
            if [ -e $DIR/child ]; then
                read child <$DIR/child
                kill -0 $child && echo alive || echo gone
                exit 0
            fi
            (trap '' TERM HUP INT; echo $BASHPID >$DIR/child; while :; do sleep 0.05; done) &
            until [ -s $DIR/child ]; do sleep 0.01; done
            exit 3''']
        startsecs = 0",
    )
    .run()
    .end();
    assert_eq!(ended.stdout, "p | gone\n", "{ended:?}");
}

#[test]
fn what_went_away_as_a_daemon_survives_a_restart_and_is_asked_to_end_with_the_container() {
    let mut sexton = Setup::config(
        "[program.p]
        command = ['bash', '-c', '''
            if [ -e $DIR/child ]; then
                read child <$DIR/child
                kill -0 $child && echo alive || echo gone
                exec sleep 1000
            fi
            setsid bash -c \"trap \\\"echo swept >$DIR/swept; exit\\\" TERM
                echo \\$BASHPID >$DIR/child; while :; do sleep 0.02; done\" &
            until [ -s $DIR/child ]; do sleep 0.01; done
            exit 3''']
        startsecs = 0",
    )
    .run();
    sexton.prints("alive");
    assert!(!sexton.has_file("swept"));
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!((ended.code, ended.file("swept").as_str()), (Some(0), "swept\n"), "{ended:?}");
}

#[test]
fn who_does_not_stop_in_stopwaitsecs_is_killed() {
    let mut sexton = Setup::config(
        "[program.p]
        command = ['bash', '-c', 'trap \"echo told >$DIR/told\" TERM; >$DIR/up; echo >$DIR/up; while :; do sleep 0.02; done']
        startsecs = 0
        stopwaitsecs = 0.3",
    )
    .run();
    sexton.file("up");
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!(ended.file("told"), "told\n");
    in_order(
        &ended.stderr,
        [
            "p: stopping with SIGTERM",
            "p: did not end in its stopwaitsecs; SIGKILL to process 2",
            "p: killed by SIGKILL",
        ],
    );
    assert_eq!(ended.code, Some(137), "{ended:?}");
}

#[test]
fn the_stop_signal_is_the_programs_own() {
    let mut sexton = Setup::config(
        "[program.p]
        command = ['bash', '-c', 'trap \"echo usr1; exit 0\" USR1; trap \"\" TERM; echo up; while :; do sleep 0.02; done']
        startsecs = 0
        stopsignal = 'USR1'",
    )
    .run();
    sexton.prints("up");
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "p | up\np | usr1\n"), "{ended:?}");
}

/// Stops a program whose child, in its group, says in files what it was told.
fn stop_with_child(keys: &str, leader: &str) -> (bool, bool) {
    let mut sexton = Setup::config(&format!(
        "[program.p]
        command = ['bash', '-c', '''
            (trap '>$DIR/told' TERM; trap '>$DIR/usr1' USR1; echo >$DIR/up; while :; do sleep 0.02; done) &
            {leader}
            until [ -s $DIR/up ]; do sleep 0.01; done; echo up
            while :; do sleep 0.02; done''']
        startsecs = 0
        stopsignal = 'USR1'
        stopwaitsecs = 2\n{keys}"
    ))
    .options(["--grace", "6s"])
    .run();
    sexton.prints("up");
    sexton.signal("TERM");
    let ended = sexton.end();
    (ended.dir.path().join("usr1").exists(), ended.dir.path().join("told").exists())
}

#[test]
fn the_stop_and_the_kill_go_to_the_group_where_the_file_says_so() {
    // What is left when the programs are gone is told by SIGTERM: who was killed before hears nothing of it. And who has to
    // be killed takes its group along.
    assert_eq!(stop_with_child("", "trap '' USR1"), (false, false));
    assert_eq!(stop_with_child("", "trap 'exit 0' USR1"), (false, true));
    assert_eq!(stop_with_child("killasgroup = true", "trap '' USR1"), (false, false));
    assert_eq!(stop_with_child("stopasgroup = true", "trap '' USR1"), (true, false));
    assert_eq!(stop_with_child("stopasgroup = true", "trap 'exit 0' USR1"), (true, true));
}

#[test]
fn too_many_restarts_are_fatal() {
    let ended = Setup::config(
        "[program.p]
        command = ['bash', '-c', 'echo run >>$DIR/runs; exit 3']
        startsecs = 0
        restart_delay = '10ms'
        restart_limit = { count = 4, within = '1h' }",
    )
    .run()
    .end();
    assert_eq!((ended.code, ended.file("runs").lines().count()), (Some(3), 5), "{ended:?}");
    assert!(ended.stderr.contains("; more than 4 restarts within 1h00m"), "{ended:?}");
}

#[test]
fn what_does_not_start_by_itself_is_left_alone() {
    let ended = Setup::config(
        "[program.off]\ncommand = ['bash', '-c', 'echo off']\nautostart = false\n\
        [program.on]\ncommand = ['bash', '-c', 'echo on']\nstartsecs = 0",
    )
    .run()
    .end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "on | on\n"), "{ended:?}");
}

#[test]
fn a_lower_priority_starts_first() {
    let program = |name: &str, priority: i32| {
        format!("[program.{name}]\ncommand = 'true'\nstartsecs = 0\npriority = {priority}\n")
    };
    let config = [program("a", 30), program("b", 10), program("c", 20)].concat();
    let ended = Setup::config(&config).run().end();
    in_order(&ended.stderr, ["b: started", "c: started", "a: started"]);
}
