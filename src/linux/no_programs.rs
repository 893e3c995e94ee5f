//! In place of what serves supervised programs where the binary is built without config mode: there are none, and the
//! compiler knows it.

use std::convert::Infallible;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::poll::PollFd;

use super::sys::Launch;
use crate::plan::{Plan, ProgramId, Setup, Supervised};

/// Nobody can read a configuration again.
pub type Reread = Infallible;

/// Nothing to serve.
pub(super) struct Programs(Infallible);

/// Nothing to give.
pub(super) struct Given(Infallible);

impl Programs {
    pub(super) fn new(_: &Setup, reread: Reread) -> Result<Programs, String> {
        match reread {}
    }

    pub(super) fn open(&mut self, _: ProgramId, _: &Supervised) -> io::Result<Given> {
        match self.0 {}
    }

    pub(super) fn launch<'a>(&'a self, _: &Supervised, _: &'a Given, _: &Launch<'a>) -> Launch<'a> {
        match self.0 {}
    }

    pub(super) fn ended(&mut self, _: ProgramId) {
        match self.0 {}
    }

    pub(super) fn last_lines(&mut self, _: ProgramId) -> Vec<u8> {
        match self.0 {}
    }

    pub(super) fn ask<'a>(&'a self, _: &mut Vec<PollFd<'a>>) {
        match self.0 {}
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match self.0 {}
    }

    pub(super) fn attend(&mut self) -> Vec<ProgramId> {
        match self.0 {}
    }

    pub(super) fn finish(&mut self) {
        match self.0 {}
    }

    pub(super) fn reread(&mut self) -> Result<(Plan, Setup), String> {
        match self.0 {}
    }
}

impl Given {
    pub(super) fn belong_to(&self, _: u32, _: u32) {
        match self.0 {}
    }

    pub(super) fn notify_socket(&self) -> Option<&str> {
        match self.0 {}
    }
}

/// What we were given is the command's.
pub(super) fn close_what_we_were_given(_: BorrowedFd<'_>) {}
