//! Files that nobody can want: each ends with 100, and nothing is started.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::support::{Ended, Setup};

/// Makes the file with `make`, and runs sexton with it and with a command besides.
fn refused(make: impl FnOnce(&Path)) -> Ended {
    let setup = Setup::pid_1();
    let file = setup.dir.path().join("bad.toml");
    make(&file);
    // Whatever is read of it has to be bounded.
    let through = ["prlimit", "--as=268435456"];
    let ended = setup
        .through(&through)
        .options(["--config".into(), file.into_os_string()])
        .shell(">$DIR/started")
        .end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(100), ""), "{ended:?}");
    assert!(!ended.dir.path().join("started").exists(), "something was started: {ended:?}");
    ended
}

fn said(ended: &Ended, words: &str) {
    assert!(ended.stderr.contains("bad.toml") && ended.stderr.contains(words), "{words:?} not in {ended:?}");
}

#[test]
fn a_file_that_is_missing() {
    said(&refused(|_| ()), "there is no such file");
}

#[test]
fn a_file_that_is_a_directory() {
    said(&refused(|file| fs::create_dir(file).expect("a directory")), "is a directory");
}

#[test]
fn a_file_that_is_a_fifo_does_not_block() {
    let ended = refused(|file| nix::unistd::mkfifo(file, nix::sys::stat::Mode::S_IRWXU).expect("a fifo"));
    said(&ended, "it is no regular file");
}

#[test]
fn a_hundred_megabytes_of_garbage_are_not_even_read() {
    let ended = refused(|file| {
        let mut file = File::create(file).expect("a file");
        for _ in 0..100 {
            file.write_all(&vec![0xA5; 1 << 20]).expect("written");
        }
    });
    said(&ended, "it is longer than 1048576 bytes");
}

#[test]
fn a_megabyte_of_garbage_is_told_in_a_few_lines() {
    let ended = refused(|file| fs::write(file, "[[[\n".repeat(250_000)).expect("written"));
    assert!(ended.stderr.lines().count() < 200, "{} lines", ended.stderr.lines().count());
    let ended = refused(|file| fs::write(file, "k = [".repeat(200_000)).expect("written"));
    assert!(ended.stderr.lines().count() < 200, "{} lines", ended.stderr.lines().count());
    let ended = refused(|file| fs::write(file, format!("k = {}", "[".repeat(1_000_000))).expect("written"));
    assert!(ended.stderr.lines().count() < 200, "{} lines", ended.stderr.lines().count());
}

#[test]
fn a_file_that_is_no_text_is_told_with_the_place() {
    let ended = refused(|file| fs::write(file, b"[program.a]\ncommand = 'a\xff'\n").expect("written"));
    said(&ended, "it is not UTF-8 at line 2, column 13");
}

#[test]
fn all_errors_are_told_with_their_places() {
    let ended = refused(|file| {
        let text = "[program.web]\ncommand = 'a'\nautorestrat = true\nstartsecs = 'soon'\nafter = { dbb = 'ready' }\n\
            [program.db]\ncommand = 'b'\n";
        fs::write(file, text).expect("written");
    });
    for words in [":3:1: ", "autorestart", ":4:13: ", "a number of seconds", ":5:11: ", "`dbb`"] {
        said(&ended, words);
    }
    assert_eq!(ended.stderr.lines().count(), 3, "{ended:?}");
}

#[test]
fn a_cycle_is_told() {
    let ended = refused(|file| {
        let text = "[program.a]\ncommand = 'a'\nafter = { b = 'ready' }\n\
            [program.b]\ncommand = 'b'\nafter = { a = 'started' }\n";
        fs::write(file, text).expect("written");
    });
    said(&ended, "bad.toml:");
}

#[test]
fn a_command_besides_a_file_that_names_its_main_is_one_main_too_many() {
    let ended = Setup::config("main = 'a'\n[program.a]\ncommand = 'sleep 1000'").shell(">$DIR/started").end();
    assert_eq!(ended.code, Some(100), "{ended:?}");
    assert!(!ended.dir.path().join("started").exists());
}
