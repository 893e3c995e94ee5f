//! Steps: what runs before all programs.

use crate::in_order;
use crate::support::Setup;

const WEB: &str = "\n[program.web]\ncommand = ['bash', '-c', 'echo web']\nstartsecs = 0\n";

#[test]
fn steps_run_one_after_the_other_and_before_all_programs() {
    let ended = Setup::config(&format!(
        "log.output = 'inherit'
        [[step]]\nname = 'one'\ncommand = ['bash', '-c', 'sleep 0.2; echo one']
        [[step]]\ncommand = ['bash', '-c', 'sleep 0.1; echo two']
        [[step]]\ncommand = ['bash', '-c', 'echo three; exit 4']\nexitcodes = [4]
        {WEB}"
    ))
    .run()
    .end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "one\ntwo\nthree\nweb\n"), "{ended:?}");
    in_order(
        &ended.stderr,
        [
            "one: started",
            "one: exited",
            "step-2: started",
            "step-2: exited",
            "step-3: started",
            "web: started",
        ],
    );
}

#[test]
fn a_step_is_tried_again() {
    let ended = Setup::config(&format!(
        "[[step]]\nname = 'migrate'\nretries = 1
        command = ['bash', '-c', 'echo run >>$DIR/runs; [ -e $DIR/once ] || {{ >$DIR/once; exit 3; }}']
        {WEB}"
    ))
    .run()
    .end();
    assert_eq!((ended.code, ended.file("runs").as_str()), (Some(0), "run\nrun\n"), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("migrate: exited with code 3 after 0.0s (unexpected); restarting in 1.0s (1 of 1)")
    );
    assert!(ended.stdout.contains("web | web"));
}

#[test]
fn a_step_that_fails_ends_the_container_with_its_code() {
    let ended = Setup::config(&format!(
        "main = 'web'\ntermination_message.path = '$(DIR)/why'
        [[step]]\nname = 'migrate'\ncommand = ['bash', '-c', 'echo no database >&2; exit 9']
        [[step]]\nname = 'warm'\ncommand = ['bash', '-c', '>$DIR/warmed']
        {WEB}"
    ))
    .before("touch $DIR/why")
    .run()
    .end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(9), ""), "{ended:?}");
    assert!(ended.file("why").starts_with("migrate: exited with code 9"), "{}", ended.file("why"));
    assert!(ended.file("why").contains("  no database\n"), "{}", ended.file("why"));
    assert!(!ended.dir.path().join("warmed").exists(), "the next step has run");
}

#[test]
fn the_same_where_there_is_no_main() {
    let config = format!("[[step]]\nname = 'migrate'\ncommand = ['bash', '-c', 'exit 9']\n{WEB}");
    let ended = Setup::config(&config).run().end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(9), ""), "{ended:?}");
}

#[test]
fn a_step_that_takes_too_long_is_stopped_and_has_failed() {
    let ended = Setup::config(&format!(
        "[[step]]\nname = 'migrate'\ntimeout = '200ms'\ncommand = 'sleep 1000'\n{WEB}"
    ))
    .run()
    .end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(143), ""), "{ended:?}");
    in_order(
        &ended.stderr,
        [
            "migrate: not done in its time; stopping it",
            "migrate: stopping with SIGTERM",
            "migrate: killed by SIGTERM",
        ],
    );
}

#[test]
fn steps_alone_are_enough() {
    let ended = Setup::config("[[step]]\ncommand = ['bash', '-c', 'echo done']").run().end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "step-1 | done\n"), "{ended:?}");
}

#[test]
fn a_step_that_fails_is_held_and_a_hangup_starts_it_again() {
    let mut sexton = Setup::config(&format!(
        "main = 'web'\nhold.on = 'failure'
        [[step]]\nname = 'migrate'\ncommand = ['bash', '-c', '[ -e $DIR/mended ] || exit 9; echo migrated']
        {WEB}"
    ))
    .run();
    sexton.says("migrate: exited with code 9 after 0.0s (unexpected); holding the container", 1);
    assert!(sexton.is_running());
    sexton.write("mended", "");
    sexton.signal("HUP");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout, "migrate | migrated\nweb | web\n");
}

#[test]
fn a_step_that_is_held_ends_with_its_code() {
    let config = format!("hold.on = 'failure'\n[[step]]\ncommand = ['bash', '-c', 'exit 9']\n{WEB}");
    let mut sexton = Setup::config(&config).run();
    sexton.says("holding the container", 1);
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(9));
}

#[test]
fn a_stop_during_a_step_starts_nothing_more() {
    let mut sexton = Setup::config(&format!(
        "[[step]]\nname = 'migrate'\nretries = 5\ncommand = ['bash', '-c', 'trap \"exit 0\" TERM; echo up; while :; do sleep 0.02; done']\n{WEB}"
    ))
    .run();
    sexton.prints("up");
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!(ended.stdout, "migrate | up\n", "{ended:?}");
}
