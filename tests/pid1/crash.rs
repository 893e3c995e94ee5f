//! Reports on ends that nobody wanted, of a command alone.

use std::ffi::OsString;
use std::fs;

use crate::support::{Ended, Setup};

fn with_directory() -> Setup {
    let setup = Setup::pid_1();
    let path = setup.dir.path().join("crashes").into_os_string();
    setup.options([OsString::from("--crash-dir"), path])
}

/// The texts of the reports.
fn reports(ended: &Ended) -> Vec<String> {
    let entries = fs::read_dir(ended.dir.path().join("crashes")).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .map(|path| fs::read_to_string(path).expect("a report"))
        .collect()
}

#[test]
fn a_command_alone_has_a_report_too() {
    // Orphans are reaped besides: what they have used is not main's.
    let script = "cd /tmp; (sleep 0.1 &); for ((i = 0; i < 100000; i++)); do :; done; exit 3";
    let ended = with_directory().shell(script).end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let [text] = &reports(&ended)[..] else { panic!("{ended:?}") };
    assert!(text.starts_with("main: exited with code 3 after "), "{text}");
    assert!(text.contains("\nprocess      2\nstarts       1 so far; exited with code 3 1x\n"), "{text}");
    assert!(!text.contains("CPU 0.00s user, 0.00s"), "{text}");
    let here = std::env::current_dir().expect("a directory");
    assert!(text.contains(&format!("\ndirectory    {}\n", here.display())), "{text}");
    assert!(text.contains("\nstderr: unknown: it does not pass through sexton\n"), "{text}");
    let [text] = &reports(&with_directory().options(["--tail=1"]).shell("echo no db >&2; exit 3").end())[..]
    else {
        panic!("{ended:?}")
    };
    assert!(
        text.ends_with(
            "\nstdout: unknown: it does not pass through sexton\n\nstderr, the last lines:\n  no db\n"
        ),
        "{text}"
    );
}

#[test]
fn an_expected_end_and_a_requested_stop_leave_none() {
    assert_eq!(reports(&with_directory().shell("exit 0").end()).len(), 0);
    assert_eq!(reports(&with_directory().options(["-e3"]).shell("exit 3").end()).len(), 0);
    let mut sexton = with_directory().shell("trap 'exit 4' TERM; echo up; while :; do sleep 0.02; done");
    sexton.prints("up");
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(4));
    assert_eq!(reports(&ended).len(), 0);
}

/// The names of the files that sexton itself opens, without what its start brings on every machine.
fn opened(setup: Setup) -> Vec<String> {
    let trace = ["strace", "-e", "trace=open,openat,wait4,waitid,mkdir,getcwd"];
    let ended = setup.through(&trace).shell("exit 3").end();
    ended.stderr.lines().filter(|line| line.contains('(')).map(str::to_owned).collect()
}

#[test]
fn without_records_nothing_is_looked_at() {
    let plain = opened(Setup::pid_1());
    let calls = |name: &str| plain.iter().filter(|line| line.starts_with(name)).count();
    assert!(calls("wait4") > 0 && calls("waitid") + calls("mkdir") + calls("getcwd") == 0, "{plain:?}");
    assert!(!plain.iter().any(|line| line.contains("/proc/net") || line.contains("ru_utime")), "{plain:?}");
}
