//! What a program's process starts with.

use std::os::unix::fs::PermissionsExt;

use crate::support::Setup;
use crate::{once, only};

/// A user of our own, in files of our own: `app`, who belongs to `extra` too.
const USERS: &str = "echo app:x:4321:4322::/srv/app:/bin/sh >$DIR/passwd
    printf 'app:x:4322:\\nextra:x:4323:app\\n' >$DIR/group
    mount --bind $DIR/passwd /etc/passwd && mount --bind $DIR/group /etc/group";
/// Neither of the files has anything.
const NOBODY: &str = "mount --bind /dev/null /etc/passwd && mount --bind /dev/null /etc/group";
/// Says who it is.
const WHO: &str = "id -u; id -g; id -G; echo \"$HOME ${USER-none} ${LOGNAME-none}\"";

fn printed(setup: Setup) -> String {
    let ended = setup.run().end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout
}

#[test]
fn a_user_by_name_brings_groups_and_home() {
    let run = |user: &str| {
        let config = only(&format!("user = '{user}'"), WHO);
        printed(Setup::config(&config).env("USER", "root").env("LOGNAME", "root").before(USERS))
    };
    assert_eq!(run("app"), "4321\n4322\n4322 4323\n/srv/app app app\n");
    assert_eq!(run("4321"), "4321\n4322\n4322 4323\n/srv/app app app\n");
    assert!(run("app:extra").starts_with("4321\n4323\n"));
}

#[test]
fn a_user_by_number_needs_no_passwd_file() {
    let config = only("user = '5001:5002'", WHO);
    let setup = Setup::config(&config).env("HOME", "/root").env("USER", "root").env("LOGNAME", "root");
    assert_eq!(printed(setup.before(NOBODY)), "5001\n5002\n5002\n/ none none\n");
}

#[test]
fn the_umask_is_set() {
    assert_eq!(once("umask = '027'", "umask").stdout, "0027\n");
}

#[test]
fn the_directory_is_entered() {
    assert_eq!(once("directory = '/proc/sys'", "pwd").stdout, "/proc/sys\n");
}

#[test]
fn variables_come_from_the_file_the_programs_own_from_its_own_and_secrets_from_theirs() {
    let setup = Setup::config(
        "main = 'p'
        log.output = 'inherit'
        environment = { A = 'all', B = 'all', C = 'of $(GIVEN)' }
        [program.p]
        command = ['bash', '-c', 'echo $A $B $C $D $E $F $GIVEN']
        startsecs = 0
        autorestart = false
        environment_file = '$(DIR)/variables'
        environment = { B = 'own', D = 'with $(B)', F = { file = '$(DIR)/secret' } }",
    );
    std::fs::write(setup.dir.path().join("variables"), "# more\nE='a file'\n").expect("written");
    std::fs::write(setup.dir.path().join("secret"), "s3cret\n").expect("written");
    assert_eq!(printed(setup.env("GIVEN", "given")), "all own of given with own a file s3cret given\n");
}

#[test]
fn a_command_takes_variables_as_a_pod_does() {
    let ended = Setup::config(
        "main = 'p'
        log.output = 'inherit'
        [program.p]
        command = ['printf', '%s\\n', '$(NAME) and $(OWN)', '$$(NAME)', '$(UNSET)', '$NAME']
        environment = { OWN = 'own' }
        startsecs = 0
        autorestart = false",
    )
    .env("NAME", "value")
    .run()
    .end();
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), ["value and own", "$(NAME)", "$(UNSET)", "$NAME"]);
}

#[test]
fn a_string_is_split_like_a_shell_splits_words() {
    let config = "main = 'p'\nlog.output = 'inherit'\n[program.p]\nstartsecs = 0\nautorestart = false\n\
        command = '''printf '%s|' one \"two words\" three\\ words ';' '*' '''";
    assert_eq!(printed(Setup::config(config)), "one|two words|three words|;|*|");
}

#[test]
fn the_path_of_the_programs_own_environment_finds_it() {
    let config = "main = 'p'\nlog.output = 'inherit'\n[program.p]\ncommand = 'mytool'\nstartsecs = 0\n\
        autorestart = false\nenvironment = { PATH = '/nowhere:$(DIR)/bin:$(PATH)' }";
    let setup = Setup::config(config);
    let bin = setup.dir.path().join("bin");
    std::fs::create_dir(&bin).expect("a directory");
    std::fs::write(bin.join("mytool"), "#!/bin/sh\necho found\n").expect("written");
    std::fs::set_permissions(bin.join("mytool"), PermissionsExt::from_mode(0o755)).expect("executable");
    assert_eq!(printed(setup), "found\n");
}

#[test]
fn each_of_numprocs_knows_its_name_and_number() {
    let ended = Setup::config(
        "[program.w]
        command = ['bash', '-c', 'echo $SEXTON_PROGRAM $SEXTON_PROCESS_NUM $(SEXTON_PROCESS_NUM)']
        numprocs = 3
        numprocs_start = 4
        startsecs = 0
        autorestart = false",
    )
    .run()
    .end();
    let mut lines: Vec<_> = ended.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["w_4 | w 4 4", "w_5 | w 5 5", "w_6 | w 6 6"], "{ended:?}");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn limits_are_set() {
    let keys = "rlimits = { core = 0, stack = { soft = 1048576, hard = 2097152 }, cpu = 1000 }";
    let ended = once(keys, "ulimit -Hc; ulimit -Ss; ulimit -Hs; ulimit -St");
    assert_eq!(ended.stdout, "0\n1024\n2048\n1000\n", "{ended:?}");
}

#[test]
fn the_limit_of_descriptors_is_the_one_that_sexton_was_given() {
    let config = only("", "ulimit -Sn; ulimit -Hn; echo >$DIR/up; sleep 1000");
    let mut sexton = Setup::config(&config).through(&["prlimit", "--nofile=300:600"]).run();
    sexton.file("up");
    assert_eq!(sexton.stdout(), "300\n600\n");
    // For itself it takes what there is: programs bring pipes.
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", sexton.pid())).expect("its limits");
    let own = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    assert_eq!(own.split_whitespace().nth(3), Some("600"), "{limits}");
}

#[test]
fn a_limit_of_descriptors_in_the_file_wins() {
    assert_eq!(once("rlimits = { nofile = 100 }", "ulimit -Sn; ulimit -Hn").stdout, "100\n100\n");
}

#[test]
fn the_kernel_is_told_whom_to_kill_for_memory() {
    assert_eq!(once("oom_score_adj = 500", "cat /proc/self/oom_score_adj").stdout, "500\n");
    let ended = once("oom_score_adj = 500\nuser = '5001'", "cat /proc/self/oom_score_adj");
    assert_eq!(ended.stdout, "500\n", "{ended:?}");
}

#[test]
fn the_nice_value_is_set() {
    let before: i32 = once("", "nice").stdout.trim().parse().expect("a number");
    assert_eq!(before, 0);
    assert_eq!(once("nice = 7", "nice").stdout, "7\n");
    assert_eq!(once("nice = -3\nuser = '5001'", "nice").stdout, "-3\n");
}

#[test]
fn no_new_privileges_means_none() {
    const LOOK: &str = "grep NoNewPrivs /proc/self/status";
    assert_eq!(once("", LOOK).stdout, "NoNewPrivs:\t0\n");
    assert_eq!(once("no_new_privs = true", LOOK).stdout, "NoNewPrivs:\t1\n");
}

/// The sets of capabilities that the script's process has, by the kernel's names for them.
fn capabilities(keys: &str) -> Vec<(String, u64)> {
    let ended = once(keys, "grep ^Cap /proc/self/status");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let set = |line: &str| {
        let (name, value) = line.split_once(":\t").expect("a field");
        (name.to_owned(), u64::from_str_radix(value, 16).expect("a set"))
    };
    ended.stdout.lines().map(set).collect()
}

#[test]
fn dropped_capabilities_are_in_no_set() {
    const NET_RAW: u64 = 1 << 13;
    const CHOWN: u64 = 1;
    for (name, set) in capabilities("drop_capabilities = ['NET_RAW']") {
        assert_eq!(set & NET_RAW, 0, "{name}");
        if matches!(name.as_str(), "CapPrm" | "CapEff" | "CapBnd") {
            assert_ne!(set & CHOWN, 0, "{name} has lost more than that");
        }
    }
    for keys in ["drop_capabilities = ['ALL']", "drop_capabilities = ['ALL']\nuser = '5001:5001'"] {
        for (name, set) in capabilities(keys) {
            assert_eq!(set, 0, "{name} with {keys}");
        }
    }
    // The change of user needs one of them, and a user who is not root has no others to begin with.
    for (name, set) in capabilities("drop_capabilities = ['SETUID', 'SETGID']\nuser = '5001:5001'") {
        assert_eq!(set & (1 << 6 | 1 << 7), 0, "{name}");
        assert_eq!(name == "CapBnd", set != 0, "{name}");
    }
}

#[test]
fn standard_input_is_empty_whatever_sexton_was_given() {
    let (reader, _stays_open) = std::io::pipe().expect("a pipe");
    let config = only("", "cat; readlink /proc/self/fd/0");
    assert_eq!(printed(Setup::config(&config).stdin(reader)), "/dev/null\n");
}

#[test]
fn programs_get_no_descriptor_but_the_standard_three() {
    let script = "me=$BASHPID; ls /proc/$me/fd >$DIR/list-$SEXTON_PROGRAM; mv $DIR/list-$SEXTON_PROGRAM $DIR/fds-$SEXTON_PROGRAM; sleep 1000";
    let program = |name: &str, keys: &str| {
        format!("[program.{name}]\ncommand = ['bash', '-c', '''{script}''']\n{keys}\n")
    };
    let config = [
        program("a", "stdout_logfile = '$(DIR)/a.log'"),
        program("b", "output = 'inherit'\nafter = { a = 'started' }"),
        program("c", "notify = true\nafter = { b = 'started' }"),
        program("d", "notify_fd = 7\nafter = { c = 'started' }"),
        program("e", "output = 'json'\nafter = { d = 'started' }"),
    ]
    .concat();
    // Those that sexton itself was given go to nobody.
    let through = ["bash", "-c", "exec 4</dev/null 9</dev/null 200</dev/null; exec \"$@\"", "bash"];
    let sexton = Setup::config(&config).through(&through).run();
    for name in ["a", "b", "c", "e"] {
        let fds = sexton.file(&format!("fds-{name}"));
        assert_eq!(fds, "0\n1\n2\n", "{name}");
    }
    assert_eq!(sexton.file("fds-d"), "0\n1\n2\n7\n");
}

#[test]
fn signals_have_their_default_actions_and_none_is_blocked() {
    let config = "main = 'p'\nlog.output = 'inherit'\n[program.p]\ncommand = 'grep ^Sig[BI] /proc/self/status'\n\
        startsecs = 0\nautorestart = false";
    let through = ["env", "--ignore-signal=PIPE,USR1,HUP,CHLD,XFSZ", "--block-signal=USR2,TERM"];
    let nothing = "0".repeat(16);
    assert_eq!(
        printed(Setup::config(config).through(&through)),
        format!("SigBlk:\t{nothing}\nSigIgn:\t{nothing}\n")
    );
}

#[test]
fn what_speaks_of_sextons_own_sockets_is_not_passed_on() {
    let setup = Setup::config(&only("", "env")).env("NOTIFY_SOCKET", "@theirs").env("LISTEN_FDS", "1");
    let stdout = printed(setup.env("LISTEN_PID", "1").env("LISTEN_FDNAMES", "http").env("OTHER", "kept"));
    assert!(!stdout.contains("NOTIFY_SOCKET") && !stdout.contains("LISTEN_"), "{stdout}");
    assert!(stdout.contains("\nOTHER=kept\n"), "{stdout}");
}

#[test]
fn each_process_has_a_group_of_its_own() {
    let config = "log.output = 'inherit'\n[program.p]\ncommand = 'cat /proc/self/stat'\nstartsecs = 0\n\
        autorestart = false\nnumprocs = 2";
    let stdout = printed(Setup::config(config));
    let stats: Vec<Vec<&str>> = stdout.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(stats.len(), 2);
    for stat in &stats {
        assert_eq!(stat[0], stat[4], "the leader of its group: {stdout}");
    }
    assert_eq!(stats[0][5], stats[1][5], "one session");
}
