//! In place of what serves supervised programs where the binary is built without config mode: there are none, and the
//! compiler knows it.

use std::convert::Infallible;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::poll::PollFd;

use super::exec::Wanted;
use super::sys::{Launch, Limit};
use super::user::User;
use crate::event::{Event, Outcome};
use crate::outcome::{Refusal, Status};
use crate::plan::{Plan, ProgramId, Setup, Supervised, Task, Traffic};

/// Nobody can read a configuration again.
pub type Reread = Infallible;

/// Nothing to serve.
pub(super) struct Programs(Infallible);

/// No command of a probe or a hook.
pub(super) struct Tasks(Infallible);

impl Tasks {
    pub(super) fn pids(&self) -> std::iter::Empty<i32> {
        match self.0 {}
    }

    pub(super) fn has(&self, _: i32) -> bool {
        match self.0 {}
    }

    pub(super) fn clear_up(&self, _: i32) {
        match self.0 {}
    }

    pub(super) fn ended(&mut self, _: i32, _: Status) -> Option<(Task, Outcome)> {
        match self.0 {}
    }
}

impl Programs {
    pub(super) fn new(_: &Setup, reread: Reread) -> Result<Programs, String> {
        match reread {}
    }

    pub(super) fn start(
        &mut self,
        _: ProgramId,
        _: &Supervised,
        _: &Wanted<'_>,
        _: Option<&User>,
        _: &Launch<'_>,
    ) -> Result<i32, Refusal> {
        match self.0 {}
    }

    pub(super) fn begin(
        &mut self,
        _: Task,
        _: &Supervised,
        _: Option<&User>,
        _: &Launch<'_>,
    ) -> Option<Outcome> {
        match self.0 {}
    }

    pub(super) fn abandon(&mut self, _: Task) {
        match self.0 {}
    }

    pub(super) fn tasks(&mut self) -> &mut Tasks {
        match self.0 {}
    }

    pub(super) fn watch_connections(&mut self, _: Option<&Traffic>) {
        match self.0 {}
    }

    pub(super) fn unlisten(&mut self, _: ProgramId) {
        match self.0 {}
    }

    pub(super) fn ended(&mut self, _: ProgramId) {
        match self.0 {}
    }

    pub(super) fn take_in(&mut self, _: ProgramId) {
        match self.0 {}
    }

    pub(super) fn last_lines(&mut self, _: ProgramId) -> Vec<u8> {
        match self.0 {}
    }

    pub(super) fn kept(&mut self, _: ProgramId) -> [Vec<u8>; 2] {
        match self.0 {}
    }

    pub(super) fn descriptors(&self) -> Option<Limit> {
        match self.0 {}
    }

    pub(super) fn ask<'a>(&'a self, _: &mut Vec<PollFd<'a>>) {
        match self.0 {}
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match self.0 {}
    }

    pub(super) fn attend(&mut self) -> Vec<Event> {
        match self.0 {}
    }

    pub(super) fn finish(&mut self) {
        match self.0 {}
    }

    pub(super) fn reread(&mut self) -> Result<(Plan, Setup), String> {
        match self.0 {}
    }
}

/// What we were given is the command's.
pub(super) fn close_what_we_were_given(_: BorrowedFd<'_>) {}
