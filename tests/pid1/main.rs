//! sexton as a real process: one test for each promise, at the layer where it can be broken.
//!
//! Needs root, for PID namespaces. Each test waits for facts; no test measures time.

#[cfg(feature = "config")]
mod crash;
mod ending;
mod freeze;
mod health;
mod hold;
mod message;
mod reaping;
mod signals;
mod start;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod usage;
