//! What starts after what, how readiness is said, and what a failure holds up.

use crate::in_order;
use crate::support::Setup;

/// Waits for a file of this name.
fn until(name: &str) -> String {
    format!("until [ -e $DIR/{name} ]; do sleep 0.02; done")
}

#[test]
fn a_program_starts_when_what_it_comes_after_is_so_far() {
    let wait = until("go");
    let sexton = Setup::config(&format!(
        "[program.job]\ncommand = ['bash', '-c', '{wait}; exit 0']\nstartsecs = 0
        [program.db]\ncommand = 'sleep 1000'\nstartsecs = 0.5
        [program.early]\ncommand = 'sleep 1000'\nstartsecs = 0\nafter = {{ db = 'started' }}
        [program.late]\ncommand = 'sleep 1000'\nstartsecs = 0\nafter = {{ db = 'ready' }}
        [program.last]\ncommand = 'sleep 1000'\nstartsecs = 0\nafter = {{ job = 'completed' }}"
    ))
    .run();
    sexton.says("late: started", 1);
    let stderr = sexton.stderr();
    in_order(&stderr, ["db: started", "early: started", "db: running", "late: started"]);
    assert!(stderr.contains("late: waiting for db to be ready\n"), "{stderr}");
    assert!(stderr.contains("last: waiting for job to be completed\n"), "{stderr}");
    assert!(!stderr.contains("last: started"), "{stderr}");
    sexton.write("go", "");
    sexton.says("last: started", 1);
    in_order(&sexton.stderr(), ["job: exited with code 0", "last: started"]);
}

#[test]
fn what_depends_on_nothing_does_not_wait() {
    let sexton = Setup::config(
        "[program.a]\ncommand = 'sleep 1000'\nstartsecs = 1000
        [program.b]\ncommand = 'sleep 1000'\nstartsecs = 1000",
    )
    .run();
    sexton.says("a: started", 1);
    sexton.says("b: started", 1);
}

/// Says on the socket what its words are, one datagram each, when the file `go` is there.
const NOTIFIER: &str = "
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
address = os.environ['NOTIFY_SOCKET']
assert address[0] == '@'
s.connect('\\0' + address[1:])
s.send(b'STATUS=loading')
open(os.environ['DIR'] + '/loading', 'w').write('yes')
while not os.path.exists(os.environ['DIR'] + '/go'): time.sleep(0.02)
s.send(b'STATUS=up\\nREADY=1\\n')
time.sleep(1000)
";

#[test]
fn ready_is_said_on_the_socket() {
    let setup = Setup::config(
        "[program.db]\ncommand = ['/usr/bin/python3', '$(DIR)/notifier']\nstartsecs = 0\nnotify = true
        [program.web]\ncommand = 'sleep 1000'\nafter = { db = 'ready' }",
    );
    std::fs::write(setup.dir.path().join("notifier"), NOTIFIER).expect("written");
    let sexton = setup.run();
    sexton.file("loading");
    sexton.says("web: waiting for db to be ready", 1);
    assert!(!sexton.stderr().contains("web: started"), "running is not ready");
    sexton.write("go", "");
    sexton.says("web: started", 1);
    in_order(&sexton.stderr(), ["db: ready", "web: started"]);
}

#[test]
fn ready_is_a_newline_on_the_descriptor() {
    let wait = until("go");
    let sexton = Setup::config(&format!(
        "[program.db]\ncommand = ['bash', '-c', 'printf 50% >&5; echo >$DIR/loading; {wait}; echo >&5; exec sleep 1000']
        startsecs = 0\nnotify_fd = 5
        [program.web]\ncommand = 'sleep 1000'\nafter = {{ db = 'ready' }}"
    ))
    .run();
    sexton.file("loading");
    sexton.says("web: waiting for db to be ready", 1);
    assert!(!sexton.stderr().contains("web: started"), "running is not ready");
    sexton.write("go", "");
    sexton.says("web: started", 1);
    in_order(&sexton.stderr(), ["db: ready", "web: started"]);
}

#[test]
fn a_descriptor_that_is_closed_without_a_word_says_nothing_and_spins_nowhere() {
    let mut sexton = Setup::config(
        "[program.db]\ncommand = ['bash', '-c', 'exec 5>&-; echo >$DIR/closed; exec sleep 1000']
        startsecs = 0\nnotify_fd = 5
        [program.web]\ncommand = 'sleep 1000'\nafter = { db = 'ready' }",
    )
    .run();
    sexton.file("closed");
    sexton.says("web: waiting for db to be ready", 1);
    // Asleep, and so not spinning: a look now and then.
    for _ in 0..20 {
        crate::support::wait_until("sleep", || sexton.status("State").starts_with('S').then_some(()));
    }
    assert!(!sexton.stderr().contains("web: started"));
}

#[test]
fn what_an_earlier_process_left_behind_speaks_for_nobody() {
    // Out of its group, so that it lives on; the first process ends when it is there.
    let setup = Setup::config(
        "[program.db]
        command = ['bash', '$(DIR)/db']
        startsecs = 0
        notify_fd = 5
        [program.web]\ncommand = 'sleep 1000'\nafter = { db = 'ready' }",
    );
    let db = format!(
        "if [ -e $DIR/daemon ]; then
            >$DIR/second; {}; sleep 0.2
            echo genuine >&2; sleep 0.1; echo >&5; exec sleep 1000
        fi
        setsid bash $DIR/left-behind &
        {}; exit 3",
        until("said"),
        until("daemon")
    );
    let left_behind =
        format!("trap '' PIPE; >$DIR/daemon; {}; echo >&5; >$DIR/said; sleep 1000", until("second"));
    std::fs::write(setup.dir.path().join("db"), db).expect("written");
    std::fs::write(setup.dir.path().join("left-behind"), left_behind).expect("written");
    let sexton = setup.run();
    sexton.says("web: started", 1);
    let stderr = sexton.stderr();
    in_order(&stderr, ["db: exited with code 3", "db | genuine", "db: ready", "web: started"]);
    assert_eq!(stderr.matches("db: ready").count(), 1, "{stderr}");
}

#[test]
fn the_order_of_stopping_is_the_reverse() {
    let mut sexton = Setup::config(
        "[program.db]\ncommand = ['bash', '-c', 'trap \"exit 0\" TERM; echo up; while :; do sleep 0.02; done']\nstartsecs = 0
        [program.web]\ncommand = ['bash', '-c', 'trap \"sleep 0.2; exit 0\" TERM; echo up; while :; do sleep 0.02; done']\nstartsecs = 0
        after = { db = 'started' }",
    )
    .run();
    sexton.prints("web | up");
    sexton.prints("db | up");
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    in_order(
        &ended.stderr,
        ["web: stopping", "web: exited with code 0", "db: stopping", "db: exited with code 0"],
    );
}

#[test]
fn a_failure_says_what_it_holds_up() {
    let mut sexton = Setup::config(
        "[program.db]\ncommand = ['bash', '-c', 'exit 5']\nstartretries = 0
        [program.web]\ncommand = 'sleep 1000'\nafter = { db = 'ready' }
        [program.job]\ncommand = 'sleep 1000'\nafter = { web = 'started' }
        [program.other]\ncommand = 'sleep 1000'\nstartsecs = 0",
    )
    .run();
    sexton.says("db: has ended for good, and holds up web, job\n", 1);
    sexton.says("other: started", 1);
    assert!(sexton.is_running());
    assert!(!sexton.stderr().contains("web: started"));
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(5));
}

#[test]
fn where_main_can_never_start_the_container_ends_with_the_culprits_code() {
    for (script, keys, code) in [
        ("exit 5", "startretries = 0", 5),
        ("exit 0", "startsecs = 0\nnotify = true", 1),
        ("exit 0", "startretries = 0", 1),
    ] {
        let ended = Setup::config(&format!(
            "main = 'web'
            termination_message.path = '$(DIR)/why'
            [program.db]\ncommand = ['bash', '-c', '{script}']\n{keys}
            [program.web]\ncommand = 'sleep 1000'\nafter = {{ db = 'ready' }}
            [program.other]\ncommand = 'sleep 1000'",
        ))
        .before("touch $DIR/why")
        .run()
        .end();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains("db: has ended for good, and holds up web\n"), "{ended:?}");
        assert!(ended.file("why").starts_with("db: exited with code"), "{}", ended.file("why"));
    }
}
