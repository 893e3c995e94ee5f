//! What a child starts with, and what is said where it cannot start.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Dir, Ended, Setup};

fn said(ended: &Ended, code: i32, line: &str) {
    assert_eq!((ended.code, ended.stderr.trim_end()), (Some(code), line), "{ended:?}");
}

#[test]
fn exit_codes_are_passed_on() {
    for code in [0, 1, 42, 100, 126, 127, 255] {
        assert_eq!(Setup::pid_1().shell(&format!("exit {code}")).end().code, Some(code));
    }
    for (signal, code) in [("KILL", 137), ("SEGV", 139), ("TERM", 143), ("RTMIN+3", 165)] {
        let script = format!("kill -s {signal} $$; sleep 1000");
        assert_eq!(Setup::pid_1().shell(&script).end().code, Some(code), "{signal}");
    }
}

#[test]
fn a_remapped_code_is_0_but_never_hides_that_nothing_ran() {
    let options = ["-e", "143", "--remap-exit=7", "-e127"];
    assert_eq!(Setup::pid_1().options(options).shell("exit 7").end().code, Some(0));
    assert_eq!(Setup::pid_1().options(options).shell("exit 127").end().code, Some(0));
    assert_eq!(Setup::pid_1().options(options).shell("kill -TERM $$; sleep 9").end().code, Some(0));
    assert_eq!(Setup::pid_1().options(options).command(&["no-such-command"]).end().code, Some(127));
}

#[test]
fn a_command_that_is_not_there_is_127() {
    let ended = Setup::pid_1().env("PATH", "/usr/bin:/bin").command(&["no-such-command"]).end();
    said(
        &ended,
        127,
        "sexton: main: cannot execute `no-such-command`: not found in PATH (/usr/bin:/bin) (unexpected)",
    );
    let ended = Setup::pid_1().command(&["/no/such/command"]).end();
    said(&ended, 127, "sexton: main: cannot execute `/no/such/command`: no such file (unexpected)");
    assert_eq!(Setup::pid_1().command(&[""]).end().code, Some(127));
}

#[test]
fn a_missing_interpreter_is_named() {
    let dir = Dir::new();
    let script = dir.path().join("script");
    fs::write(&script, "#!/no/such/shell -e\n").expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("executable");
    let path = script.display().to_string();
    let ended = Setup::pid_1().command(&[&path]).end();
    let line = format!(
        "sexton: main: cannot execute `{path}`: its interpreter `/no/such/shell` does not exist (unexpected)"
    );
    said(&ended, 127, &line);
}

#[test]
fn what_is_found_and_cannot_run_is_126() {
    let dir = Dir::new();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("plain"), "text").expect("written");
    fs::write(path("foreign"), b"\x7fELF\x02\x01\x01\0foreign").expect("written");
    fs::set_permissions(path("foreign"), fs::Permissions::from_mode(0o755)).expect("executable");
    let cases = [
        ("plain", "it is not executable; `chmod +x` makes it so"),
        ("foreign", "it is built for another machine, or damaged (ENOEXEC)"),
        ("", "it is a directory"),
    ];
    for (name, why) in cases {
        let path = path(name);
        let ended = Setup::pid_1().command(&[&path]).end();
        said(&ended, 126, &format!("sexton: main: cannot execute `{path}`: {why} (unexpected)"));
    }
}

#[test]
fn a_text_file_without_an_interpreter_line_is_run_by_the_shell() {
    let dir = Dir::new();
    let script = dir.path().join("script");
    fs::write(&script, "echo \"$1 and $2\"\nexit 6\n").expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("executable");
    let ended = Setup::pid_1().command(&[&script.display().to_string(), "a b", "c"]).end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(6), "a b and c\n"));
}

#[test]
fn path_is_searched_past_what_may_not_be_run() {
    let dir = Dir::new();
    fs::write(dir.path().join("true"), "not executable").expect("written");
    let path = format!("{}:/nowhere:/usr/bin:/bin", dir.path().display());
    assert_eq!(Setup::pid_1().env("PATH", &path).command(&["true"]).end().code, Some(0));
}

/// SigBlk and SigIgn of a command that catches nothing.
fn signal_state(setup: Setup) -> [u64; 2] {
    let ended = setup.command(&["cat", "/proc/self/status"]).end();
    ["SigBlk:", "SigIgn:"].map(|field| {
        let line = ended.stdout.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        u64::from_str_radix(line.trim(), 16).expect("a mask")
    })
}

#[test]
fn a_child_of_pid_1_starts_with_default_actions_and_an_empty_mask() {
    // With no option of env's, 32 and 33 are ignored alone: glibc's posix_spawn, by which we start it, does that.
    for ignore in
        ["-v", "--ignore-signal=PIPE", "--ignore-signal=HUP,CHLD,RTMIN+3", "--ignore-signal=SEGV,TERM"]
    {
        let through = ["env", ignore, "--block-signal=TERM,USR1"];
        assert_eq!(signal_state(Setup::pid_1().through(&through)), [0, 0], "{ignore}");
    }
}

#[test]
fn elsewhere_it_starts_with_what_sexton_was_given() {
    let through = ["env", "--default-signal", "--ignore-signal=PIPE,HUP,CHLD", "--block-signal=TERM,USR1"];
    let bit = |number: u32| 1_u64 << (number - 1);
    let of_libc = bit(32) | bit(33);
    let [blocked, ignored] = signal_state(Setup::not_pid_1().through(&through));
    assert_eq!([blocked, ignored & !of_libc], [bit(15) | bit(10), bit(13) | bit(1) | bit(17)]);
}

#[test]
fn main_has_the_descriptors_we_were_given_and_none_of_ours() {
    let list = "ls /proc/$$/fd";
    let before = format!("exec 7</dev/null; {list} > $DIR/given; exec \"$@\"");
    for options in [&["--tail=3"][..], &["--hold=never"], &["--hold=failure"]] {
        let ended = Setup::pid_1()
            .through(&["bash", "-c", &before, "bash"])
            .options(options)
            .shell(&format!("{list}; true"))
            .end();
        let given = ended.file("given");
        assert!(given.contains('7'), "{given}");
        assert_eq!(ended.stdout, given, "{options:?}");
    }
}

#[test]
fn sexton_keeps_nobodys_descriptor_and_nobodys_directory() {
    let through = ["bash", "-c", "cd $DIR; exec 7<$DIR/stdout; exec \"$@\"", "bash"];
    let mut sexton = Setup::pid_1().through(&through).shell("pwd > $DIR/cwd; echo ready; sleep 1000");
    sexton.prints("ready");
    let pid = sexton.pid();
    let own = format!("/proc/{pid}/fd");
    crate::support::wait_until("descriptor 7 to be closed", || {
        (!fs::exists(format!("{own}/7")).ok()?).then_some(())
    });
    crate::support::wait_until("the directory to be left", || {
        (fs::read_link(format!("/proc/{pid}/cwd")).ok()? == std::path::Path::new("/")).then_some(())
    });
    assert_eq!(sexton.file("cwd").trim(), sexton.dir.path().to_str().expect("a plain path"), "main keeps it");
}

#[test]
fn closed_descriptors_stay_closed_and_the_code_is_right() {
    let through = ["bash", "-c", "exec <&- >&- 2>&-; exec \"$@\"", "bash"];
    for options in [&[][..], &["-vv", "-w", "--tail=5"]] {
        let sexton = Setup::pid_1().through(&through).options(options);
        let ended = sexton.shell("ls /proc/$$/fd > $DIR/fds; exit 8").end();
        assert_eq!(ended.code, Some(8));
        let expected = if options.is_empty() { "" } else { "2" }; // --tail gives main a stderr
        let fds: Vec<String> = ended.file("fds").split_whitespace().map(str::to_owned).collect();
        let low: Vec<&String> = fds.iter().filter(|fd| ["0", "1", "2"].contains(&fd.as_str())).collect();
        assert_eq!(low.iter().map(|fd| fd.as_str()).collect::<String>(), expected, "{fds:?}");
    }
}

#[test]
fn socket_activation_finds_its_process() {
    let script = "echo $LISTEN_PID $LISTEN_FDS $$";
    let through = ["bash", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", "bash"];
    let ended = Setup::pid_1().through(&through).shell(script).end();
    assert_eq!(ended.stdout, "2 1 2\n");
    let ended = Setup::pid_1().env("LISTEN_PID", "77").env("LISTEN_FDS", "1").shell(script).end();
    assert_eq!(ended.stdout, "77 1 2\n", "somebody else's is left alone");
}

#[test]
fn the_program_runs_as_the_user_with_groups_and_home() {
    let script = "id -u; id -g; id -G; echo $HOME $USER $LOGNAME";
    let ended =
        Setup::pid_1().env("HOME", "/root").env("USER", "root").options(["-u", "daemon"]).shell(script).end();
    assert_eq!(ended.stdout, "1\n1\n1\n/usr/sbin daemon daemon\n", "{ended:?}");
    let ended = Setup::pid_1().env("USER", "root").options(["--user=4711:4712"]).shell(script).end();
    assert_eq!(ended.stdout, "4711\n4712\n4712\n/\n", "{ended:?}");
    let ended = Setup::pid_1().options(["--user=daemon:tape"]).shell("id -gn").end();
    assert_eq!(ended.stdout, "tape\n");
}

#[test]
fn numbers_need_no_passwd() {
    let ended = Setup::pid_1()
        .before("mount -t tmpfs none /etc")
        .options(["-u", "33:34"])
        .command(&["sh", "-c", "id -u; id -g"])
        .end();
    assert_eq!(ended.stdout, "33\n34\n", "{ended:?}");
}

#[test]
fn a_user_that_cannot_be_had_is_126() {
    let ended = Setup::pid_1().options(["-u", "no-such-user"]).command(&["true"]).end();
    let line = "sexton: main: cannot run as `no-such-user`: /etc/passwd has no user `no-such-user`; a number needs no such file (unexpected)";
    said(&ended, 126, line);
    let through = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let ended = Setup::pid_1().through(&through).options(["-u", "1:1"]).command(&["true"]).end();
    assert_eq!(ended.code, Some(126));
    assert!(ended.stderr.contains("cannot run as `1:1`: Operation not permitted"), "{ended:?}");
    let ended = Setup::pid_1().options(["-u", "4294967295"]).command(&["id", "-u"]).end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(126), ""), "-1 would leave it root: {ended:?}");
    // Whoever we are already takes no privilege.
    let ended = Setup::pid_1().through(&through).options(["-u", "65534:65534"]).command(&["true"]).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn a_process_that_cannot_be_made_is_111() {
    let through = [
        "setpriv",
        "--reuid=4713",
        "--regid=4713",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ];
    let ended = Setup::pid_1().through(&["prlimit", "--nproc=1"]).through(&through).command(&["true"]).end();
    assert_eq!(ended.code, Some(111), "{ended:?}");
    assert!(
        ended.stderr.contains("cannot make a process for `true`: Resource temporarily unavailable"),
        "{ended:?}"
    );
}

#[test]
fn when_our_parent_dies_main_hears_it_and_when_we_die_too() {
    let script = "trap 'echo got it; exit' USR1; echo ready; while :; do sleep 0.05; done";
    // The parent is a shell that is killed; sexton goes on below PID 1.
    let through =
        ["bash", "-c", "bash -c '\"$@\" & echo $$ > $DIR/parent; wait' bash \"$@\"; sleep 1000", "bash"];
    let mut sexton = Setup::not_pid_1().through(&through).options(["-p", "USR1"]).shell(script);
    sexton.prints("ready");
    let pid = sexton.pid();
    let parent = crate::support::status_of(pid, "PPid");
    std::process::Command::new("kill").args(["-KILL", &parent]).status().expect("kill");
    sexton.prints("got it");

    let mut sexton = Setup::not_pid_1()
        .through(&["bash", "-c", "\"$@\"; sleep 1000", "bash"])
        .options(["-p", "USR1"])
        .shell(script);
    sexton.prints("ready");
    sexton.signal("KILL");
    sexton.prints("got it");
}
