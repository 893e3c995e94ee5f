//! Calls over the network: none can be made yet.
#![allow(clippy::unused_self, clippy::unnecessary_wraps)]

use std::os::fd::BorrowedFd;

use crate::event::Outcome;
use crate::plan::{Handler, Task};

pub(super) struct Calls;

impl Calls {
    pub(super) fn new() -> Calls {
        Calls
    }
    pub(super) fn begin(&mut self, _: Task, _: &Handler) -> Option<Outcome> {
        Some(Outcome::Impossible(String::new()))
    }
    pub(super) fn abandon(&mut self, _: Task) {}
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    pub(super) fn attend(&mut self) -> Vec<(Task, Outcome)> {
        Vec::new()
    }
}
