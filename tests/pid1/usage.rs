//! Bad usage: one clear line, 100, and nothing is started.

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
