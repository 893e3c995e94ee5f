//! The file is read again: what becomes of the programs.

use crate::support::{Running, Setup, wait_until};

/// A program that writes its process and a word into a file of its own name, and stays.
fn program(name: &str, word: &str) -> String {
    format!(
        "[program.{name}]\ncommand = ['bash', '-c', 'echo $BASHPID {word} >$DIR/next-{name}; \
         mv $DIR/next-{name} $DIR/{name}; exec sleep 1000']\nstartsecs = 0\n"
    )
}

fn reload(sexton: &mut Running, config: &str) {
    sexton.write("sexton.toml", config);
    sexton.signal("HUP");
}

#[test]
fn unchanged_stays_new_starts_gone_stops_and_changed_restarts() {
    let before = ["same", "changed", "gone"].map(|name| program(name, "first")).concat();
    let mut sexton = Setup::config(&before).run();
    let [same, changed, gone] = ["same", "changed", "gone"].map(|name| sexton.file(name));
    let after = [program("new", "first"), program("same", "first"), program("changed", "second")].concat();
    reload(&mut sexton, &after);
    sexton.says("configuration read again: 1 new, 1 gone, 1 changed", 1);
    sexton.file("new");
    let now = wait_until("the changed one", || {
        let text = sexton.file("changed");
        text.contains("second").then_some(text)
    });
    assert_ne!(now.split(' ').next(), changed.split(' ').next());
    assert_eq!(sexton.file("same"), same);
    sexton.says("gone: stopping with SIGTERM", 1);
    sexton.says("gone: killed by SIGTERM", 1);
    assert!(!sexton.stderr().contains("same: stopping"));
    assert_eq!(sexton.file("gone"), gone, "it has been started again");
    // The same file once more changes nothing.
    sexton.signal("HUP");
    sexton.says("configuration read again: 0 new, 0 gone, 0 changed", 1);
    // And back to what it was.
    reload(&mut sexton, &before);
    sexton.says("configuration read again: 1 new, 1 gone, 1 changed", 2);
    sexton.says("gone: started", 2);
    sexton.says("new: killed by SIGTERM", 1);
    assert_eq!(sexton.file("same"), same);
    wait_until("three", || (sexton.children().len() == 3).then_some(()));
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(0));
}

#[test]
fn an_error_in_the_new_file_is_said_and_changes_nothing() {
    let before = program("a", "first");
    let mut sexton = Setup::config(&before).run();
    let a = sexton.file("a");
    reload(&mut sexton, &format!("{}startsekunden = 3\n{}", program("a", "second"), program("b", "first")));
    sexton.says("cannot read the configuration again; going on with the old one", 1);
    assert!(sexton.stderr().contains("sexton.toml:4:1: "), "{}", sexton.stderr());
    std::fs::remove_file(sexton.dir.path().join("sexton.toml")).expect("removed");
    sexton.signal("HUP");
    sexton.says("cannot read the configuration again; going on with the old one", 2);
    assert_eq!(sexton.file("a"), a);
    assert!(!sexton.has_file("b"));
    assert_eq!(sexton.children().len(), 1);
    // Mended, it is taken.
    reload(&mut sexton, &[before, program("b", "first")].concat());
    sexton.file("b");
    assert_eq!(sexton.file("a"), a);
}

#[test]
fn what_was_fatal_is_tried_again_when_it_has_changed() {
    let broken = "[program.a]\ncommand = 'no-such'\nstartretries = 0\n";
    let stays = program("b", "first");
    let mut sexton = Setup::config(&[broken, &stays].concat()).run();
    sexton.says("a: cannot execute", 1);
    sexton.file("b");
    reload(&mut sexton, &[program("a", "mended"), stays].concat());
    sexton.file("a");
}

#[test]
fn with_a_main_a_hangup_is_mains_unless_the_file_says_otherwise() {
    let main = "[program.web]\ncommand = ['bash', '-c', 'trap \"echo hup\" HUP; echo up; while :; do sleep 0.02; done']\n";
    let mut sexton = Setup::config(&format!("main = 'web'\n{main}")).run();
    sexton.prints("up");
    sexton.signal("HUP");
    sexton.prints("web | hup");
    assert!(!sexton.stderr().contains("configuration read again"));

    let mut sexton = Setup::config(&format!("main = 'web'\nreload = true\n{main}")).run();
    sexton.prints("up");
    sexton.signal("HUP");
    sexton.says("configuration read again: 0 new, 0 gone, 0 changed", 1);
    assert!(!sexton.stdout().contains("hup"));
}

#[test]
fn the_number_of_processes_can_change() {
    let config =
        |count: u32| format!("[program.w]\ncommand = 'sleep 1000'\nnumprocs = {count}\nstartsecs = 0\n");
    let mut sexton = Setup::config(&config(2)).run();
    sexton.says("w_1: started", 1);
    reload(&mut sexton, &config(4));
    sexton.says("w_3: started", 1);
    assert_eq!(sexton.children().len(), 4);
    reload(&mut sexton, &config(3));
    sexton.says("w_3: killed by SIGTERM", 1);
    wait_until("three", || (sexton.children().len() == 3).then_some(()));
    assert_eq!(sexton.stderr().matches(": started").count(), 4, "{}", sexton.stderr());
}

#[test]
fn a_file_that_has_nothing_left_to_run_is_refused() {
    let mut sexton = Setup::config(&program("a", "first")).run();
    sexton.file("a");
    reload(&mut sexton, "");
    sexton.says("cannot read the configuration again", 1);
    assert!(sexton.is_running());
}
