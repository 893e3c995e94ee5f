//! Thousands of bad days: the real loop and the real supervisor on a simulated kernel.
//!
//! A seed makes a plan and a day: programs that end, hang, fork, ignore signals or cannot be killed, signals at any
//! moment, refused starts, a hold file that changes its mind, a clock that leaps. After every step the invariants of a
//! container's first process are checked against a second, simpler account of what happened. A failure names its seed:
//! `SEXTON_SEED=n cargo test --test simulation` runs that day alone and prints it.

mod many;
mod one;
mod operated;
mod random;

use std::fmt::Debug;

const SEEDS: u64 = 20_000;

/// Lives through the days, or through the one that is asked for.
fn live_all<D>(live: impl Fn(u64) -> D + std::panic::RefUnwindSafe, show: impl Fn(&D) -> String) {
    if let Ok(seed) = std::env::var("SEXTON_SEED") {
        let day = live(seed.parse().expect("SEXTON_SEED is a number"));
        println!("{}", show(&day));
        return;
    }
    let failed: Vec<u64> =
        (0..SEEDS).filter(|seed| std::panic::catch_unwind(|| live(*seed)).is_err()).take(5).collect();
    assert!(failed.is_empty(), "look with SEXTON_SEED={}; these seeds fail: {failed:?}", failed[0]);
}

/// A simulation that never gets anywhere finds nothing: the days must see all that there is to see.
fn assert_bad_enough(marks: &[(&str, &str)], traces: impl Iterator<Item = String>) {
    let mut days = vec![0_u32; marks.len()];
    for trace in traces {
        for (days, (_, mark)) in days.iter_mut().zip(marks) {
            *days += u32::from(trace.contains(mark));
        }
    }
    let rare: Vec<_> = days.iter().zip(marks).filter(|(days, _)| **days < 5).collect();
    assert!(rare.is_empty(), "too few days saw these: {rare:?}");
}

/// Fails with the whole day.
fn check(holds: bool, what: &str, plan: &impl Debug, trace: &[String]) {
    assert!(holds, "{what}\nplan: {plan:#?}\n{}", trace.join("\n"));
}
