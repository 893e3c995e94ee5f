//! sexton with a configuration file, as a real process: one test for each promise, at the layer where it can be broken.
//!
//! Needs root, for PID namespaces. Each test waits for facts; no test measures time. `$$` is a dollar and `$(NAME)` a
//! variable in the file, so the scripts in it say `$BASHPID` and read their files.

mod bad;
mod control;
mod crash;
mod dependencies;
mod ending;
mod health;
mod logs;
mod probes;
mod process;
mod programs;
mod reload;
mod scale;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod traffic;

use support::{Ended, Setup};

/// Runs a script as the only program, main, with more keys of its own; what it prints is all that is on stdout.
fn once(keys: &str, script: &str) -> Ended {
    Setup::config(&only(keys, script)).run().end()
}

/// The configuration with this script as the only program, `p`, which runs once.
fn only(keys: &str, script: &str) -> String {
    format!(
        "main = 'p'\nlog.output = 'inherit'\n[program.p]\ncommand = ['bash', '-c', '''{script}''']\n\
         startsecs = 0\nautorestart = false\n{keys}\n"
    )
}

/// The places of these words in the text, which has to have them all.
fn places<const N: usize>(text: &str, words: [&str; N]) -> [usize; N] {
    words.map(|word| text.find(word).unwrap_or_else(|| panic!("no {word:?} in: {text}")))
}

/// These words come in this order.
fn in_order<const N: usize>(text: &str, words: [&str; N]) {
    let found = places(text, words);
    assert!(found.is_sorted(), "{words:?} at {found:?} in: {text}");
}
