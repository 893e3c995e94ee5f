//! In place of what answers questions about our health where the binary is built without it: nobody can ask.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Instant;

use crate::event::Client;
use crate::snapshot::Snapshot;

/// Nothing to ask.
pub(super) struct Health(Infallible);

impl Health {
    pub(super) fn listen(_: SocketAddr) -> Result<Health, String> {
        Err("cannot listen for health: this sexton was built without it".to_owned())
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

    pub(super) fn attend(&mut self, _: Instant) -> Vec<Client> {
        match self.0 {}
    }

    pub(super) fn tell(&mut self, _: Client, _: &Snapshot, _: u64) {
        match self.0 {}
    }
}
