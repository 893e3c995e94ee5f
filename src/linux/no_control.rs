//! In place of the control socket where the binary is built without it: there is none.

use std::convert::Infallible;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Instant;

use super::crash::Crashes;
use super::programs::Programs;
use super::tail::Tail;
use crate::command::Reply;
use crate::event::{Client, Event};
use crate::plan::{self, Setup};
use crate::snapshot::Snapshot;

/// Nothing to ask.
pub(super) struct Control(Infallible);

/// What lines would come from.
pub(super) struct Sources<'a> {
    pub(super) setup: &'a Setup,
    pub(super) programs: Option<&'a mut Programs>,
    pub(super) tail: Option<&'a mut Tail>,
    pub(super) crashes: Option<&'a Crashes>,
}

impl Control {
    pub(super) fn at_start(wanted: &plan::Control) -> Result<Option<Control>, String> {
        if wanted.is_asked_for {
            return Err("cannot make a control socket: this sexton was built without it".to_owned());
        }
        Ok(None)
    }

    pub(super) fn while_held(_: &mut Option<Control>, _: &plan::Control) {}

    pub(super) fn close(&mut self) {
        match self.0 {}
    }

    pub(super) fn is_over(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn has(_: Client) -> bool {
        false
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }

    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        match self.0 {}
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match self.0 {}
    }

    pub(super) fn attend(&mut self, _: bool, _: Sources<'_>) -> Vec<Event> {
        match self.0 {}
    }

    pub(super) fn pass_on(&mut self, _: &mut Sources<'_>) {
        match self.0 {}
    }

    pub(super) fn tell(&mut self, _: Client, _: &Snapshot) {
        match self.0 {}
    }

    pub(super) fn reply(&mut self, _: Client, _: &Reply) {
        match self.0 {}
    }
}
