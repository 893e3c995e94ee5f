//! Many programs: what they cost sexton, and what happens where there is no room for them.

use std::fs;

use crate::support::{Running, Setup, wait_until};

fn descriptors(sexton: &mut Running) -> usize {
    fs::read_dir(format!("/proc/{}/fd", sexton.pid())).expect("its descriptors").count()
}

fn sleepers(count: usize) -> String {
    format!("[program.w]\ncommand = 'sleep 1000'\nnumprocs = {count}\nstartsecs = 0.1\n")
}

#[test]
fn a_thousand_programs_take_one_thread_and_two_descriptors_each() {
    let mut sexton = Setup::config(&sleepers(1000)).through(&["prlimit", "--nofile=4096:4096"]).run();
    sexton.says(": running\n", 1000);
    assert_eq!(sexton.children().len(), 1000);
    assert_eq!(sexton.status("Threads"), "1");
    let open = descriptors(&mut sexton);
    assert!((2000..2030).contains(&open), "{open} descriptors");
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stderr.matches(": killed by SIGTERM after ").count(), 1000);
}

#[test]
fn those_for_whom_there_are_no_descriptors_left_wait_with_the_reason() {
    let config = format!("{}startretries = 1000\n", sleepers(200));
    let mut sexton = Setup::config(&config).through(&["prlimit", "--nofile=256:256"]).run();
    sexton.says("cannot make the pipes of `w_199`: Too many open files", 1);
    // The others run, it takes signals, and it ends as it should.
    sexton.says(": running\n", 100);
    assert!(sexton.children().len() > 100);
    assert_eq!(sexton.status("Threads"), "1");
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("(unexpected); restarting in 1.0s (1 of 1000)"));
}

#[test]
fn who_waits_for_descriptors_starts_when_there_are_some() {
    let config = "[program.w]\ncommand = 'sleep 1000'\nnumprocs = 20\npriority = 1\n\
        [program.late]\ncommand = 'sleep 1000'\nstartretries = 1000\n";
    let mut sexton = Setup::config(config).through(&["prlimit", "--nofile=40:40"]).run();
    sexton.says("cannot make the pipes of `late`: Too many open files", 1);
    sexton.write("sexton.toml", &config.replace("numprocs = 20", "numprocs = 5"));
    sexton.signal("HUP");
    sexton.says("late: started", 1);
    sexton.says("late: running", 1);
}

#[test]
fn programs_that_come_and_go_leave_no_descriptor_behind() {
    let mut sexton = Setup::config(
        "[program.w]\ncommand = 'true'\nnumprocs = 20\nstartsecs = 0\nautorestart = true\nrestart_delay = '100ms'
        [program.n]\ncommand = ['bash', '-c', 'echo x >>$DIR/runs']\nstartsecs = 0\nautorestart = true\nnotify_fd = 5
        restart_delay = '100ms'
        [program.bad]\ncommand = 'no-such'\nstartretries = 1000000\nbackoff_max = '100ms'\nnotify = true",
    )
    .run();
    sexton.says("w_19: started", 3);
    let most = (0..50).map(|_| descriptors(&mut sexton)).max().unwrap_or_default();
    sexton.says("w_19: started", 20);
    wait_until("no more descriptors than before", || (descriptors(&mut sexton) <= most).then_some(()));
    // Two for each program and a few of its own.
    assert!(most < 120, "{most}");
}

#[test]
fn restarts_without_end_keep_nobody_from_being_heard() {
    // More of them than can be: at every moment one is overdue.
    let mut sexton = Setup::config(
        "[program.w]\ncommand = 'true'\nnumprocs = 200\nstartsecs = 0\nautorestart = true\nrestart_delay = '1ms'
        [program.a]\ncommand = ['bash', '-c', 'until [ -e $DIR/go ]; do sleep 0.02; done; echo word; exec sleep 1000']",
    )
    .run();
    sexton.says("w_199: started", 3);
    sexton.write("go", "");
    sexton.prints("a | word");
    let rounds = |sexton: &Running| sexton.stderr().matches("w_0: started").count();
    let before = rounds(&sexton);
    sexton.signal("TERM");
    sexton.says("SIGTERM received", 1);
    let until_heard = rounds(&sexton) - before;
    assert_eq!(sexton.end().code, Some(0));
    assert!(until_heard < 20, "{until_heard} rounds until it was heard");
}
