//! In place of what keeps processes at their ends where the binary is built without config mode: none is.
#![allow(clippy::unused_self)] // they stand in for others

use super::Supervisor;
use crate::event::Pid;
use crate::notice::Release;
use crate::outcome::{OutOfMemory, Status};
use crate::plan::ProgramId;
use crate::signal::Signal;
use crate::time::Time;

/// Nothing is kept.
#[derive(Debug, Default)]
pub(super) struct Kept {}

impl Supervisor {
    pub(super) fn frozen(&mut self, _: Pid, _: Status, _: Option<OutOfMemory>, _: Time) {}

    pub(super) fn thaw(&mut self) {}

    pub(super) fn restart_held(&mut self, signal: Option<Signal>, since: Time, now: Time) {
        self.release(Release::Restart(signal), since, now);
    }

    pub(super) fn is_kept(&self, _: ProgramId) -> bool {
        false
    }

    pub(super) fn will_restart_held(&self) -> bool {
        false
    }

    pub(super) fn was_kept(&mut self, _: Pid, _: Time) -> bool {
        false
    }
}
