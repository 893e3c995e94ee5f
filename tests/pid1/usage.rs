//! Bad usage: one clear line, 100, and nothing is started.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::Setup;

#[test]
fn bad_options_are_100_and_start_nothing() {
    let cases: [(&[&str], &str); 7] = [
        (&["--hodl=x"], "cannot understand `--hodl`: unknown option; did you mean `--hold`?"),
        (
            &["-p", "SIGFOO"],
            "cannot read `-p`: expected a signal such as `TERM`, `15` or `RTMIN+3`, got `SIGFOO`",
        ),
        (
            &["--drain=5x"],
            "cannot read `--drain`: expected a duration such as `500ms`, `5s` or `1h30m`, got `5x`",
        ),
        (
            &["--hold=sometimes"],
            "cannot read `--hold`: expected `never`, `failure` or `always`, got `sometimes`",
        ),
        (&["-e", "x"], "cannot read `-e`: expected an exit code, 0 to 255, got `x`"),
        (&["--group=yes"], "cannot read `--group`: it takes no value"),
        (
            &["--drain=30s", "--grace=10s"],
            "cannot drain for 30s: within a grace period of 10s the program would be killed before it is told to stop",
        ),
    ];
    for (options, line) in cases {
        let ended = Setup::pid_1().options(options.iter().copied()).shell("touch $DIR/started").end();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(100), format!("sexton: {line}\n").as_str()));
        assert!(!ended.dir.path().join("started").exists());
    }
}

#[test]
fn as_pid_1_probe_is_a_program_and_check_is_not() {
    let with_programs = |setup: Setup| {
        for name in ["probe", "check"] {
            let path = setup.dir.path().join(name);
            fs::write(&path, "#!/bin/sh\necho \"I am a program: $*\"; exit 7\n").expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        }
        setup.before("PATH=$DIR:$PATH")
    };
    for words in [&["probe", "liveness"][..], &["--grace=5s", "probe", "tcp", "127.0.0.1:1"]] {
        let ended = with_programs(Setup::pid_1()).options(words.iter().copied()).run().end();
        let printed = format!(
            "I am a program: {}\n",
            words.split(|word| *word == "probe").nth(1).unwrap_or(&[]).join(" ")
        );
        assert_eq!((ended.code, ended.stdout, ended.stderr.lines().count()), (Some(7), printed, 0));
    }
    let setup = with_programs(Setup::pid_1());
    let file = setup.dir.path().join("a.toml");
    fs::write(&file, "[program.web]\ncommand = 'sleep 1000'\n").expect("written");
    let ended = setup.options(["check".into(), file.into_os_string()]).run().end();
    assert!(ended.code == Some(0) && ended.stdout.contains("a.toml: no errors"), "{ended:?}");
    let ended = with_programs(Setup::pid_1()).command(&["check", "x"]).end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(7), "I am a program: x\n"), "{ended:?}");
}

#[test]
fn no_command_is_100() {
    let ended = Setup::pid_1().command(&[]).end();
    assert_eq!(ended.code, Some(100));
    assert!(ended.stderr.contains("no command is given"), "{ended:?}");
}

#[test]
fn an_empty_argument_list_is_100_too() {
    // Since Linux 5.18 execve(2) makes one empty word of no argv at all.
    let through = ["bash", "-c", "exec -a '' \"$1\"", "bash"];
    let ended = Setup::pid_1().through(&through).command(&[]).end();
    assert_eq!(ended.code, Some(100), "{ended:?}");
}

#[test]
fn variables_set_what_the_command_line_does_not() {
    let ended = Setup::pid_1().env("SEXTON_REMAP_EXIT", "3,4").shell("exit 4").end();
    assert_eq!(ended.code, Some(0));
    let ended = Setup::pid_1().env("SEXTON_REMAP_EXIT", "4").options(["-e", "5"]).shell("exit 4").end();
    assert_eq!(ended.code, Some(4));
    let ended = Setup::pid_1().env("SEXTON_HOLD", "maybe").shell("exit 0").end();
    assert_eq!(ended.code, Some(100));
}

#[test]
fn help_and_version_go_to_stdout() {
    let ended = Setup::pid_1().options(["--help"]).command(&[]).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.contains("usage: sexton [OPTIONS] [--] COMMAND [ARG]..."));
    let ended = Setup::pid_1().options(["-V"]).command(&[]).end();
    assert_eq!(ended.stdout, format!("sexton {}\n", env!("CARGO_PKG_VERSION")));
    let ended = Setup::pid_1()
        .through(&["bash", "-c", "exec >/dev/full; exec \"$@\"", "bash"])
        .options(["--help"])
        .command(&[])
        .end();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("cannot write to standard output"), "{ended:?}");
}

#[test]
fn what_was_typed_cannot_look_like_a_line_of_ours() {
    let ended = Setup::pid_1().options(["--wait=a\nsexton: all is well\x1b[2J"]).command(&["true"]).end();
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(100), 1), "{ended:?}");
    let ended = Setup::pid_1().command(&["no\nsuch"]).end();
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(127), 1), "{ended:?}");
}
