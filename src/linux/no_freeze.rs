//! In place of what keeps processes at their ends where the binary is built without config mode: none is.
#![allow(clippy::unused_self)] // they stand in for others

use crate::outcome::OutOfMemory;
use crate::plan::ProgramId;

/// What the stop of a process means.
pub(super) enum Stopped {
    /// Nothing: it goes on.
    GoesOn,
    /// This signal has stopped it.
    Paused(i32),
    /// It is at its end.
    Ends(i32),
}

/// No process is traced.
#[derive(Default)]
pub(super) struct Freeze {}

impl Freeze {
    pub(super) fn trace(&mut self, _: ProgramId, _: i32, _: &str, _: bool) {}

    pub(super) fn stopped(&mut self, _: i32, status: i32) -> Stopped {
        Stopped::Paused(libc::WSTOPSIG(status))
    }

    pub(super) fn has(&self, _: i32) -> bool {
        false
    }

    pub(super) fn note(&mut self, _: i32, _: OutOfMemory) {}

    pub(super) fn thaw(&mut self, _: i32) {}

    pub(super) fn ended(&mut self, _: i32) -> Option<OutOfMemory> {
        None
    }
}
