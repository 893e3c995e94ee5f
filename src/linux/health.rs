//! Answers those who ask about our health, between everything else: the requests and answers of `health.rs`, carried.
//!
//! Anybody may connect. Nobody is waited for: connections are few, each has its time, and less of it while others wait.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, Shutdown, SockFlag, recv, send, shutdown};
use nix::time::{ClockId, clock_gettime};

use super::cgroup::Cgroup;
use super::listen;
use crate::event::Client;
use crate::health::{self, Figures, Request};
use crate::snapshot::Snapshot;

/// How many connections there are at most. More wait in the kernel.
const CONNECTIONS: usize = 32;
/// How long a client may take to ask, and again to take the answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same while others wait for a place: who does nothing is not to keep a kubelet out.
const HURRY: Duration = Duration::from_millis(250);
/// How long to leave new connections alone where the kernel has nothing for them.
const PAUSE: Duration = Duration::from_secs(1);
/// The listener's number; connections have others.
const LISTENER: u64 = 0;

/// The listener and who has come by it.
pub(super) struct Health {
    epoll: Epoll,
    listener: TcpListener,
    /// New connections are told of.
    is_open: bool,
    /// When to look for new connections again after an error.
    paused_until: Option<Instant>,
    /// The oldest first.
    connections: Vec<Connection>,
    /// The number of the last connection; none is used again.
    last: u64,
    /// When we were started, since 1970: told as it was, whatever becomes of the clock.
    started_at: Duration,
}

struct Connection {
    number: u64,
    stream: TcpStream,
    /// When its time began.
    since: Instant,
    step: Step,
}

/// How far a connection is.
enum Step {
    /// It has sent this.
    Asking(Vec<u8>),
    /// The supervisor is asked.
    Waiting(Request),
    /// So much of the answer is sent. With `lingers`, more may come from the client than was read.
    Answering { answer: Vec<u8>, sent: usize, lingers: bool },
    /// All is sent. Were we to close while something arrives unread, the kernel might take the answer back.
    Leaving,
}

impl Health {
    /// # Errors
    /// Where we cannot listen.
    pub(super) fn listen(address: SocketAddr) -> Result<Health, String> {
        let listener = listen::on(address, SockFlag::SOCK_NONBLOCK).map(TcpListener::from);
        let made = listener.and_then(|listener| {
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
            Ok((listener, epoll))
        });
        let (listener, epoll) = made
            .map_err(|error| format!("cannot listen on {address} for health: {}", io::Error::from(error)))?;
        Ok(Health {
            epoll,
            listener,
            is_open: true,
            paused_until: None,
            connections: Vec::new(),
            last: LISTENER,
            started_at: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        })
    }

    /// What to ask poll(2) about before [`Health::attend`].
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// All that is ours.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let connections = self.connections.iter().map(|connection| connection.stream.as_fd());
        [self.descriptor(), self.listener.as_fd()].into_iter().chain(connections)
    }

    /// When to attend to them although poll(2) has nothing to tell.
    pub(super) fn due(&self) -> Option<Instant> {
        let patience = self.patience();
        let ends = self.connections.iter().map(|connection| connection.since + patience);
        ends.chain(self.paused_until).min()
    }

    fn patience(&self) -> Duration {
        if self.connections.len() < CONNECTIONS { PATIENCE } else { HURRY }
    }

    /// Takes in what has come and passes on what can go, and closes what takes too long; returns those that wait for
    /// [`Health::tell`].
    pub(super) fn attend(&mut self, now: Instant) -> Vec<Client> {
        let mut events = [EpollEvent::empty(); CONNECTIONS + 1];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        let mut asked = Vec::new();
        for number in events.iter().take(count).map(EpollEvent::data).filter(|number| *number != LISTENER) {
            let place = self.connections.iter().position(|connection| connection.number == number);
            if let Some(place) = place
                && !self.connections[place].move_on(&self.epoll, now, &mut asked)
            {
                self.connections.remove(place);
            }
        }
        let patience = self.patience();
        self.connections.retain(|connection| connection.since + patience > now);
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
        if self.paused_until.is_none() {
            self.accept(now, &mut asked);
        }
        self.open_or_close();
        asked
    }

    /// Answers. Who is gone by now, or has waited too long, is answered nothing.
    pub(super) fn tell(&mut self, client: Client, snapshot: &Snapshot, strays_reaped: u64) {
        let Some(place) = self.connections.iter().position(|connection| connection.number == client.0) else {
            return;
        };
        let Step::Waiting(request) = &self.connections[place].step else { return };
        let started_at = self.started_at;
        let answer = health::answer(request, snapshot, || figures(started_at, strays_reaped));
        let connection = &mut self.connections[place];
        connection.step = Step::Answering { answer, sent: 0, lingers: false };
        connection.since = Instant::now();
        if !connection.send(&self.epoll) {
            self.connections.remove(place);
            self.open_or_close();
        }
    }

    /// Takes in those who wait in the kernel. Where all places are taken, who has been silent for longest makes room: who
    /// asks at once, as a kubelet does, is not kept out by those who do not.
    fn accept(&mut self, now: Instant, asked: &mut Vec<Client>) {
        for _ in 0..CONNECTIONS {
            if self.connections.len() >= CONNECTIONS {
                let silent =
                    self.connections.iter().position(|connection| matches!(connection.step, Step::Asking(_)));
                let Some(place) = silent else { return };
                self.connections.remove(place);
            }
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return,
                    Some(libc::EINTR | libc::ECONNABORTED) => continue, // it is gone
                    _ => {
                        log::warn!(
                            "cannot accept a connection for health: {error}; trying again in a second"
                        );
                        self.paused_until = Some(now + PAUSE);
                        return;
                    }
                },
            };
            self.last += 1;
            let step = Step::Asking(Vec::new());
            let mut connection = Connection { number: self.last, stream, since: now, step };
            let event = EpollEvent::new(EpollFlags::EPOLLIN, connection.number);
            // Its request is there already as a rule.
            if self.epoll.add(&connection.stream, event).is_ok()
                && connection.move_on(&self.epoll, now, asked)
            {
                self.connections.push(connection);
            }
        }
    }

    /// Has new connections told, or no longer: while they cannot be taken in they would keep us awake.
    fn open_or_close(&mut self) {
        let has_room = self.connections.len() < CONNECTIONS
            || self.connections.iter().any(|connection| matches!(connection.step, Step::Asking(_)));
        let is_open = has_room && self.paused_until.is_none();
        if self.is_open != is_open {
            let flags = if is_open { EpollFlags::EPOLLIN } else { EpollFlags::empty() };
            let mut event = EpollEvent::new(flags, LISTENER);
            if self.epoll.modify(&self.listener, &mut event).is_ok() {
                self.is_open = is_open;
            }
        }
    }
}

impl Connection {
    /// Does what can be done now; false where it is over.
    fn move_on(&mut self, epoll: &Epoll, now: Instant, asked: &mut Vec<Client>) -> bool {
        match &mut self.step {
            Step::Asking(head) => {
                let mut buffer = [0; health::LONGEST];
                let room = &mut buffer[..health::LONGEST.saturating_sub(head.len())];
                match recv(self.stream.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT) {
                    Ok(0) => return false,
                    Ok(count) => head.extend_from_slice(&room[..count]),
                    Err(Errno::EAGAIN | Errno::EINTR) => return true,
                    Err(_) => return false,
                }
                match health::read(head) {
                    None => true,
                    Some(Ok(request)) => {
                        self.step = Step::Waiting(request);
                        self.since = now;
                        asked.push(Client(self.number));
                        true
                    }
                    Some(Err(answer)) => {
                        self.step = Step::Answering { answer, sent: 0, lingers: true };
                        self.since = now;
                        self.send(epoll)
                    }
                }
            }
            Step::Waiting(_) => true,
            Step::Answering { .. } => self.send(epoll),
            Step::Leaving => matches!(self.drain(), Ok(1..) | Err(Errno::EAGAIN | Errno::EINTR)),
        }
    }

    /// Sends what the client takes; false where it is over.
    fn send(&mut self, epoll: &Epoll) -> bool {
        let Step::Answering { answer, sent, lingers } = &mut self.step else { return true };
        let rest = answer.get(*sent..).unwrap_or_default();
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.stream.as_raw_fd(), rest, flags) {
            Ok(count) => *sent += count,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => return false,
        }
        if *sent < answer.len() {
            return self.wait_for(epoll, EpollFlags::EPOLLOUT);
        }
        if !*lingers && !matches!(self.drain(), Ok(1..)) {
            return false;
        }
        self.step = Step::Leaving;
        shutdown(self.stream.as_raw_fd(), Shutdown::Write).is_ok()
            && self.wait_for(epoll, EpollFlags::EPOLLIN)
    }

    fn drain(&self) -> Result<usize, Errno> {
        recv(self.stream.as_raw_fd(), &mut [0; health::LONGEST], MsgFlags::MSG_DONTWAIT)
    }

    fn wait_for(&self, epoll: &Epoll, flags: EpollFlags) -> bool {
        epoll.modify(&self.stream, &mut EpollEvent::new(flags, self.number)).is_ok()
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
