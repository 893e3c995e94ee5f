//! Answers those who ask about our health: the requests and answers of `health.rs`, carried by `server.rs`.
//!
//! Anybody may connect.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::socket::SockFlag;
use nix::time::{ClockId, clock_gettime};

use super::cgroup::Cgroup;
use super::listen;
use super::server::{Peer, Reading, Rules, Server};
use crate::event::Client;
use crate::health::{self, Figures};
use crate::snapshot::Snapshot;

const RULES: Rules = Rules {
    what: "health",
    first: 0,
    places: 32,
    evicts: true,
    longest: health::LONGEST,
    patience: Duration::from_secs(1),
    hurry: Duration::from_millis(250),
    meet: |_| Ok(Peer::default()),
    read: |bytes| match health::read(bytes) {
        None => Reading::More,
        Some(Ok(_)) => Reading::Whole,
        Some(Err(answer)) => Reading::Refuse(answer),
    },
};

/// The listener and who has come by it.
pub(super) struct Health {
    server: Server,
    /// When we were started, since 1970: told as it was, whatever becomes of the clock.
    started_at: Duration,
}

impl Health {
    /// # Errors
    /// Where we cannot listen.
    pub(super) fn listen(address: SocketAddr) -> Result<Health, String> {
        let made = listen::on(address, SockFlag::SOCK_NONBLOCK).and_then(|listener| {
            let mut server = Server::new(RULES)?;
            server.open(listener)?;
            Ok(server)
        });
        let server = made
            .map_err(|error| format!("cannot listen on {address} for health: {}", io::Error::from(error)))?;
        let started_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Health { server, started_at })
    }

    /// What to ask poll(2) about before [`Health::attend`].
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.server.descriptor()
    }

    /// All that is ours.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        self.server.descriptors()
    }

    /// When to attend to them although poll(2) has nothing to tell.
    pub(super) fn due(&self) -> Option<Instant> {
        self.server.due()
    }

    /// Takes in what has come and passes on what can go, and closes what takes too long; returns those that wait for
    /// [`Health::tell`].
    pub(super) fn attend(&mut self, now: Instant) -> Vec<Client> {
        self.server.attend(now).into_iter().map(Client).collect()
    }

    /// Answers. Who is gone by now, or has waited too long, is answered nothing.
    pub(super) fn tell(&mut self, client: Client, snapshot: &Snapshot, strays_reaped: u64) {
        let Some((bytes, _)) = self.server.request(client.0) else { return };
        let Some(Ok(request)) = health::read(bytes) else { return };
        let answer = health::answer(&request, snapshot, || figures(self.started_at, strays_reaped));
        self.server.answer(client.0, answer);
    }
}

/// What metrics tell beyond what the supervisor knows.
fn figures(started_at: Duration, strays_reaped: u64) -> Figures {
    let mut figures = Figures {
        started_at,
        strays_reaped,
        own_cpu: clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok().map(Duration::from),
        own_memory: own_memory(),
        ..Figures::default()
    };
    if let Some(cgroup) = Cgroup::find() {
        cgroup.measure(&mut figures);
    }
    figures
}

/// The memory that we have in use, in bytes (proc_pid_status(5), VmRSS, which is in KiB).
fn own_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}
