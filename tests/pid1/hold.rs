//! The hold: what turns it on, what is said, and every way out.

use crate::support::Setup;

/// Fails with 7 at its first start and prints at each.
const FAILS: &str = "echo start >> $DIR/starts; echo started; exit 7";

#[test]
fn without_being_asked_nothing_is_held() {
    assert_eq!(Setup::pid_1().shell(FAILS).end().code, Some(7));
}

#[test]
fn a_failure_is_held_and_a_stop_signal_ends_it_with_the_original_code() {
    for signal in ["TERM", "INT", "QUIT"] {
        let mut sexton = Setup::pid_1().options(["--hold", "failure"]).shell(FAILS);
        sexton.says("main: exited with code 7", 1);
        sexton.says("holding the container for 1h00m", 1);
        assert!(sexton.is_running());
        sexton.signal(signal);
        let ended = sexton.end();
        assert_eq!(ended.code, Some(7), "{signal}: {ended:?}");
        assert!(ended.stderr.contains(&format!("hold ended by SIG{signal}; exiting")), "{ended:?}");
    }
}

#[test]
fn the_scene_stays_while_held_and_is_swept_afterwards() {
    let script = "setsid bash -c 'trap \"echo bye > $DIR/bye; exit\" TERM; touch $DIR/up; while :; do sleep 0.02; done' &
        while [ ! -e $DIR/up ]; do sleep 0.01; done; exit 7";
    let mut sexton = Setup::pid_1().env("SEXTON_HOLD", "failure").shell(script);
    sexton.says("holding", 1);
    assert!(!sexton.children().is_empty() && !sexton.has_file("bye"));
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!((ended.code, ended.file("bye").as_str()), (Some(7), "bye\n"));
}

#[test]
fn success_is_held_only_where_always_says_so() {
    assert_eq!(Setup::pid_1().options(["--hold=failure"]).shell("exit 0").end().code, Some(0));
    assert_eq!(Setup::pid_1().options(["--hold=failure", "-e9"]).shell("exit 9").end().code, Some(0));
    let mut sexton = Setup::pid_1().options(["--hold=always"]).shell("exit 0");
    sexton.says("holding", 1);
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(0));
}

#[test]
fn what_could_not_be_executed_is_held_too() {
    let mut sexton = Setup::pid_1().options(["--hold=failure"]).command(&["/no/such/command"]);
    sexton.says("cannot execute `/no/such/command`: no such file", 1);
    sexton.says("holding", 1);
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(127));
}

#[test]
fn a_hold_has_an_end() {
    let ended = Setup::pid_1().options(["--hold=failure", "--hold-for=300ms"]).shell(FAILS).end();
    assert_eq!(ended.code, Some(7));
    assert!(ended.stderr.contains("hold ended, its time is up"), "{ended:?}");
}

#[test]
fn a_hold_may_be_without_end() {
    let sexton = Setup::pid_1().options(["--hold=failure", "--hold-for=forever"]).shell(FAILS);
    sexton.says("holding the container without end", 1);
}

#[test]
fn sighup_starts_main_again_in_place() {
    // It needs its directory, its descriptor and its stdin a second time.
    let through = ["bash", "-c", "cd $DIR; exec 7<<<x; exec \"$@\"", "bash"];
    let script = "pwd; [ -e /proc/$$/fd/7 ] && echo has 7; echo start >> starts
        [ $(wc -l < starts) = 2 ] && exit 0; exit 7";
    let mut sexton = Setup::pid_1().through(&through).options(["--hold=failure", "-v"]).shell(script);
    sexton.says("holding", 1);
    sexton.signal("HUP");
    let ended = sexton.end();
    assert_eq!((ended.code, ended.file("starts").as_str()), (Some(0), "start\nstart\n"));
    assert_eq!(ended.stdout.matches("has 7").count(), 2, "{ended:?}");
    assert!(ended.stderr.contains("hold ended by SIGHUP; starting main again"), "{ended:?}");
}

#[test]
fn after_a_second_failure_it_is_held_again() {
    let mut sexton = Setup::pid_1().options(["--hold=failure"]).shell(FAILS);
    sexton.says("holding", 1);
    sexton.signal("HUP");
    sexton.says("holding", 2);
    sexton.signal("TERM");
    assert_eq!(sexton.end().file("starts"), "start\nstart\n");
}

#[test]
fn once_a_stop_has_begun_there_is_no_hold() {
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done";
    let mut sexton = Setup::pid_1().options(["--hold=always"]).shell(script);
    sexton.prints("ready");
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(7));
    assert!(!ended.stderr.contains("holding"), "{ended:?}");
}

#[test]
fn the_hold_file_turns_it_on_and_off() {
    for (content, options, is_held) in [
        ("true\n", &[][..], true),
        ("\"true\"", &[], true),
        ("false", &["--hold=failure"], false),
        ("", &["--hold=failure"], true),
        ("", &[], false),
    ] {
        let setup = Setup::pid_1();
        let file = setup.dir.path().join("hold");
        std::fs::write(&file, content).expect("written");
        let mut sexton = setup
            .options(options.iter().copied())
            .options(["--hold-file".into(), file.into_os_string()])
            .shell(FAILS);
        if is_held {
            sexton.says("holding", 1);
            sexton.signal("TERM");
        }
        let ended = sexton.end();
        assert_eq!(ended.code, Some(7));
        assert_eq!(ended.stderr.contains("holding"), is_held, "{content:?}: {ended:?}");
    }
}

#[test]
fn the_hold_file_is_read_when_main_fails_not_before() {
    let setup = Setup::pid_1();
    let file = setup.dir.path().join("hold").into_os_string();
    let mut sexton = setup.options(["--hold-file".into(), file]).shell("echo true > $DIR/hold; exit 7");
    sexton.says("holding", 1);
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(7));
}

#[test]
fn while_held_the_file_is_watched_as_a_kubelet_swaps_it() {
    // A downward-API volume: the name is a link through `..data`, which is replaced by a rename.
    let setup = Setup::pid_1();
    let dir = setup.dir.path().join("podinfo");
    let swap = |version: &str, content: &str| {
        let data = dir.join(version);
        std::fs::create_dir_all(&data).expect("a directory");
        std::fs::write(data.join("hold"), content).expect("written");
        std::os::unix::fs::symlink(version, dir.join("..data_tmp")).expect("linked");
        std::fs::rename(dir.join("..data_tmp"), dir.join("..data")).expect("renamed");
    };
    swap("..1", "true");
    std::os::unix::fs::symlink("..data/hold", dir.join("hold")).expect("linked");
    let sexton = setup
        .options(["-vv"])
        .options(["--hold-file".into(), dir.join("hold").into_os_string()])
        .shell(FAILS);
    sexton.says("holding", 1);
    swap("..2", ""); // the annotation was taken away
    let ended = sexton.end();
    assert_eq!(ended.code, Some(7));
    assert!(ended.stderr.contains("hold ended by the hold file"), "{ended:?}");
    // Read when main failed and to make sure of the empty file, but not for the slow poll: the change was told.
    assert_eq!(ended.stderr.matches("effect ReadHoldFile").count(), 2, "{ended:?}");
}

#[test]
fn where_no_change_is_told_the_file_is_polled() {
    // A watch on the directory tells nothing of what lies behind a link into another one.
    let setup = Setup::pid_1();
    let (away, link) = (setup.dir.path().join("away"), setup.dir.path().join("watched/hold"));
    std::fs::create_dir(&away).expect("a directory");
    std::fs::create_dir(setup.dir.path().join("watched")).expect("a directory");
    std::fs::write(away.join("hold"), "true").expect("written");
    std::os::unix::fs::symlink("../away/hold", &link).expect("linked");
    let sexton = setup.options(["--hold-file".into(), link.into_os_string()]).shell(FAILS);
    sexton.says("holding", 1);
    std::fs::write(away.join("hold"), "false").expect("written");
    assert_eq!(sexton.end().code, Some(7));
}

#[test]
fn a_hold_file_that_makes_no_sense_is_one_warning() {
    for content in [None, Some("perhaps")] {
        let setup = Setup::pid_1();
        let file = setup.dir.path().join("hold");
        match content {
            Some(text) => std::fs::write(&file, text).expect("written"),
            None => std::fs::create_dir(&file).expect("a directory"),
        }
        let ended = setup.options(["--hold-file".into(), file.into_os_string()]).shell(FAILS).end();
        assert_eq!(ended.code, Some(7));
        assert_eq!(ended.stderr.matches("cannot read the hold file").count(), 1, "{ended:?}");
    }
}

#[test]
fn what_is_said_while_holding_names_the_commands() {
    let mut sexton = Setup::pid_1()
        .env("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        .through(&["unshare", "--uts", "bash", "-c", "hostname web-0; exec \"$@\"", "bash"])
        .options(["--hold=failure"])
        .shell(FAILS);
    sexton.says("look around:  kubectl exec web-0 -c CONTAINER -it -- sh", 1);
    let own = concat!("kubectl exec web-0 -c CONTAINER -- ", env!("CARGO_BIN_EXE_sexton"));
    sexton.says(&format!("end the hold: {own} release   (exits with code 7)"), 1);
    sexton.says(&format!("start again:  {own} release --restart"), 1);
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(7));
}

#[test]
fn a_hold_that_was_asked_for_outlives_its_annotation_and_a_half_written_file() {
    let setup = Setup::pid_1();
    let file = setup.dir.path().join("hold");
    std::fs::write(&file, "true").expect("written");
    let mut sexton = setup
        .options(["--hold=failure", "-vv"])
        .options(["--hold-file".into(), file.into_os_string()])
        .shell(FAILS);
    sexton.says("holding", 1);
    for (content, event) in [("tru", "HoldFile(On)"), ("", "HoldFile(Silent)")] {
        let before = sexton.stderr().matches(event).count();
        sexton.write("hold", content);
        sexton.says(event, before + 1);
    }
    assert!(sexton.is_running());
    sexton.write("hold", "false");
    assert_eq!(sexton.end().code, Some(7));
}

#[test]
fn the_last_lines_are_those_of_the_last_start() {
    let setup = Setup::pid_1();
    std::fs::write(setup.dir.path().join("why"), "").expect("written");
    let why = setup.dir.path().join("why").into_os_string();
    let script = "echo start >> $DIR/starts; echo panic in start $(wc -l < $DIR/starts) >&2; exit 7";
    let mut sexton = setup
        .options(["--hold=failure", "--tail=5"])
        .options(["--termination-message".into(), why])
        .shell(script);
    sexton.says("holding", 1);
    sexton.signal("HUP");
    sexton.says("holding", 2);
    sexton.signal("TERM");
    let message = sexton.end().file("why");
    assert!(message.contains("panic in start 2") && !message.contains("panic in start 1"), "{message}");
}

#[test]
fn what_is_left_of_the_last_start_is_gone_before_the_next() {
    let script = "[ -s $DIR/left ] && kill -0 $(cat $DIR/left) && echo still there
        setsid sleep 1000 & echo $! > $DIR/left; exit 7";
    for setup in [Setup::pid_1(), Setup::not_pid_1()] {
        let mut sexton = setup.options(["--hold=failure"]).shell(script);
        sexton.says("holding", 1);
        sexton.signal("HUP");
        sexton.says("holding", 2);
        sexton.signal("TERM");
        let ended = sexton.end();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(7), ""), "{ended:?}");
    }
}

#[test]
fn a_stop_while_the_next_start_waits_is_the_end() {
    let script = "echo start >> $DIR/starts; setsid bash -c 'trap \"\" TERM; touch $DIR/up; while :; do sleep 0.05; done' &
        while [ ! -e $DIR/up ]; do sleep 0.01; done; exit 7";
    let mut sexton = Setup::pid_1().options(["--hold=failure", "--grace=3s", "-vv"]).shell(script);
    sexton.says("holding", 1);
    sexton.signal("HUP");
    sexton.says("Released(Restart", 1);
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!((ended.code, ended.file("starts").as_str()), (Some(7), "start\n"), "{ended:?}");
}

/// A shell that somebody has opened from outside, as `kubectl exec` does, is not what main left behind.
#[test]
fn who_looks_around_survives_a_restart_in_place() {
    let mut sexton =
        Setup::pid_1().options(["--hold=failure"]).shell("sleep 1000 & echo started >&2; exit 7");
    sexton.says("start again:", 1);
    let pid = sexton.pid().to_string();
    let mut visitor = std::process::Command::new("nsenter")
        .args(["--target", &pid, "--pid", "--", "sleep", "1000"])
        .spawn()
        .expect("nsenter of util-linux runs");
    let visits = |pid: u32| {
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let child = children.split_whitespace().next()?.to_owned();
        let name = std::fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
        (name == "sleep\n").then_some(())
    };
    crate::support::wait_until("the visitor", || visits(visitor.id()));
    sexton.signal("HUP");
    sexton.says("started", 2);
    sexton.says("start again:", 2);
    assert!(visitor.try_wait().expect("a child of ours").is_none(), "it was swept with what main left");
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(7));
    visitor.wait().expect("it ends with the container");
}
