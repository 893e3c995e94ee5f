//! Carries requests and their answers between everything else: for who asks about our health, and for operators.
//!
//! Bytes in, bytes out: what they mean is known elsewhere. Nobody is waited for: connections are few, each has its time, and less
//! of it while others wait.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};

use super::sys;

/// How long to leave new connections alone where the kernel has nothing for them.
const PAUSE: Duration = Duration::from_secs(1);
/// How much of somebody who follows may wait to be taken, in bytes.
const MOST_WAITING: usize = 64 * 1024;
/// How much is read at once, in bytes.
const AT_ONCE: usize = 4096;
/// How many connections are told of at once.
const EVENTS: usize = 33;

/// What is made of the first bytes of a connection.
pub(super) enum Reading {
    /// The end of the request is still to come.
    More,
    /// It is whole.
    Whole,
    /// It is none; this is the answer.
    Refuse(Vec<u8>),
}

/// How a server treats those who come.
pub(super) struct Rules {
    /// What for, in messages.
    pub(super) what: &'static str,
    /// Its numbers begin after this one, which is the listener's.
    pub(super) first: u64,
    /// How many connections there are at most. More wait in the kernel.
    pub(super) places: usize,
    /// Who comes when all are taken gets the place of who has been silent for longest.
    pub(super) evicts: bool,
    /// The longest request, in bytes.
    pub(super) longest: usize,
    /// How long a client may take to ask, and again to take the answer.
    pub(super) patience: Duration,
    /// The same while others wait for a place: who does nothing is not to keep anybody out.
    pub(super) hurry: Duration,
    /// Looks at who has come; an answer sends it away.
    pub(super) meet: fn(BorrowedFd<'_>) -> Result<Peer, Vec<u8>>,
    /// Looks for a whole request.
    pub(super) read: fn(&[u8]) -> Reading,
}

/// Who has come, as far as the kernel says it.
#[derive(Clone, Copy, Default)]
pub(super) struct Peer {
    pub(super) pid: i32,
    pub(super) uid: u32,
}

/// The listener and who has come by it.
pub(super) struct Server {
    rules: Rules,
    epoll: Epoll,
    /// None where nobody else is to come.
    listener: Option<OwnedFd>,
    /// New connections are told of.
    is_open: bool,
    /// When to look for new connections again after an error.
    paused_until: Option<Instant>,
    /// The oldest first.
    connections: Vec<Connection>,
    /// The number of the last connection; none is used again.
    last: u64,
    /// Those who had all the time they wanted, and have hung up.
    gone: Vec<u64>,
}

struct Connection {
    number: u64,
    stream: OwnedFd,
    peer: Peer,
    /// When its time began.
    since: Instant,
    step: Step,
}

/// How far a connection is.
enum Step {
    /// It has sent this.
    Asking(Vec<u8>),
    /// Its request is to be answered. Who is kept has all the time that takes.
    Waiting { request: Vec<u8>, is_kept: bool },
    /// So much of the answer is sent. With `lingers`, more may come from the client than was read.
    Answering { answer: Vec<u8>, sent: usize, lingers: bool },
    /// The answer has no end. So much of what waits is sent, and so much found no room.
    Following { waiting: Vec<u8>, sent: usize, skipped: usize },
    /// All is sent. Were we to close while something arrives unread, the kernel might take the answer back.
    Leaving,
}

impl Server {
    /// # Errors
    /// Where the kernel has no descriptor for it.
    pub(super) fn new(rules: Rules) -> nix::Result<Server> {
        Ok(Server {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            listener: None,
            is_open: false,
            paused_until: None,
            connections: Vec::new(),
            last: rules.first,
            gone: Vec::new(),
            rules,
        })
    }

    /// From here on who comes by this listener, which does not block, is served.
    ///
    /// # Errors
    /// Where the kernel has no memory for it.
    pub(super) fn open(&mut self, listener: OwnedFd) -> nix::Result<()> {
        self.epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, self.rules.first))?;
        (self.listener, self.is_open) = (Some(listener), true);
        Ok(())
    }

    /// Nobody else is to come. Who is here is still answered.
    #[cfg_attr(not(feature = "config"), expect(dead_code))]
    pub(super) fn close(&mut self) {
        self.listener = None; // which takes it out of the set (epoll(7))
        self.is_open = false;
    }

    /// What to ask poll(2) about before [`Server::attend`].
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// All that is ours.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        let mut all = vec![self.epoll.0.as_raw_fd()];
        if let Some(listener) = &self.listener {
            all.push(listener.as_raw_fd());
        }
        for connection in &self.connections {
            all.push(connection.stream.as_raw_fd());
        }
        all
    }

    /// When to attend to them although poll(2) has nothing to tell.
    pub(super) fn due(&self) -> Option<Instant> {
        let patience = self.patience();
        let mut due = self.paused_until;
        for connection in &self.connections {
            let end = connection.since + patience;
            if connection.is_timed() && due.is_none_or(|due| end < due) {
                due = Some(end);
            }
        }
        due
    }

    fn patience(&self) -> Duration {
        if self.connections.len() < self.rules.places { self.rules.patience } else { self.rules.hurry }
    }

    /// Takes in what has come and passes on what can go, and closes what takes too long; returns those that wait for
    /// [`Server::answer`].
    pub(super) fn attend(&mut self, now: Instant) -> Vec<u64> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        let mut asked = Vec::new();
        for event in events.iter().take(count).filter(|event| event.data() != self.rules.first) {
            if let Some(place) = self.place(event.data()) {
                let is_gone = event.events().intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
                let connection = &mut self.connections[place];
                if is_gone && matches!(connection.step, Step::Waiting { is_kept: true, .. }) {
                    self.gone.push(connection.number);
                }
                if is_gone && !connection.is_timed()
                    || !connection.move_on(&self.epoll, &self.rules, now, &mut asked)
                {
                    self.connections.remove(place);
                }
            }
        }
        let patience = self.patience();
        self.connections.retain(|connection| !connection.is_timed() || connection.since + patience > now);
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
        if self.paused_until.is_none() {
            self.accept(now, &mut asked);
        }
        self.open_or_close();
        asked
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.connections.iter().position(|connection| connection.number == number)
    }

    /// The request that waits for an answer, and who asks; None where it is gone by now, or has waited too long.
    pub(super) fn request(&self, number: u64) -> Option<(&[u8], Peer)> {
        let connection = &self.connections[self.place(number)?];
        match &connection.step {
            Step::Waiting { request, .. } => Some((request, connection.peer)),
            Step::Asking(_) | Step::Answering { .. } | Step::Following { .. } | Step::Leaving => None,
        }
    }

    /// Answers who waits.
    pub(super) fn answer(&mut self, number: u64, answer: Vec<u8>) {
        self.go_on(number, Step::Answering { answer, sent: 0, lingers: false });
    }

    fn go_on(&mut self, number: u64, step: Step) {
        let Some(place) = self.place(number) else { return };
        let connection = &mut self.connections[place];
        (connection.step, connection.since) = (step, Instant::now());
        if !connection.send(&self.epoll) {
            self.connections.remove(place);
            self.open_or_close();
        }
    }

    /// Takes in those who wait in the kernel. Where all places are taken, who has been silent for longest may have to make
    /// room: who asks at once, as a kubelet does, is not kept out by those who do not.
    fn accept(&mut self, now: Instant, asked: &mut Vec<u64>) {
        let Some(listener) = &self.listener else { return };
        for _ in 0..self.rules.places {
            if self.connections.len() >= self.rules.places {
                let silent =
                    self.connections.iter().position(|connection| matches!(connection.step, Step::Asking(_)));
                let Some(place) = silent.filter(|_| self.rules.evicts) else { return };
                self.connections.remove(place);
            }
            let stream = match sys::accept(listener.as_fd()) {
                Ok(stream) => stream,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return,
                    Some(libc::EINTR | libc::ECONNABORTED) => continue, // it is gone
                    _ => {
                        let what = self.rules.what;
                        log::warn!(
                            "cannot accept a connection for {what}: {error}; trying again in a second"
                        );
                        self.paused_until = Some(now + PAUSE);
                        return;
                    }
                },
            };
            self.last += 1;
            let (peer, step) = match (self.rules.meet)(stream.as_fd()) {
                Ok(peer) => (peer, Step::Asking(Vec::new())),
                Err(answer) => (Peer::default(), Step::Answering { answer, sent: 0, lingers: true }),
            };
            let mut connection = Connection { number: self.last, stream, peer, since: now, step };
            let event = EpollEvent::new(EpollFlags::EPOLLIN, connection.number);
            // Its request is there already as a rule.
            if self.epoll.add(&connection.stream, event).is_ok()
                && connection.move_on(&self.epoll, &self.rules, now, asked)
            {
                self.connections.push(connection);
            }
        }
    }

    /// Has new connections told, or no longer: while they cannot be taken in they would keep us awake.
    fn open_or_close(&mut self) {
        let Some(listener) = &self.listener else { return };
        let is_silent = |connection: &Connection| matches!(connection.step, Step::Asking(_));
        let has_room = self.connections.len() < self.rules.places
            || self.rules.evicts && self.connections.iter().any(is_silent);
        let is_open = has_room && self.paused_until.is_none();
        if self.is_open != is_open {
            let flags = if is_open { EpollFlags::EPOLLIN } else { EpollFlags::empty() };
            let mut event = EpollEvent::new(flags, self.rules.first);
            if self.epoll.modify(listener, &mut event).is_ok() {
                self.is_open = is_open;
            }
        }
    }
}

/// What only operators need: answers that are long in coming, and answers without end.
#[cfg(feature = "config")]
impl Server {
    /// Nobody is here.
    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Who was waiting for a long answer and has hung up since the last look.
    pub(super) fn take_gone(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.gone)
    }

    /// How many have all the time they want.
    pub(super) fn kept(&self) -> usize {
        self.connections.iter().filter(|connection| !connection.is_timed()).count()
    }

    /// The answer may be long in coming: it is waited for until the client hangs up.
    pub(super) fn keep(&mut self, number: u64) {
        let Some(place) = self.place(number) else { return };
        let connection = &mut self.connections[place];
        if let Step::Waiting { is_kept, .. } = &mut connection.step {
            *is_kept = true;
            // That it hangs up is told all the same (epoll_ctl(2)); that it only has no more to say does not matter.
            connection.wait_for(&self.epoll, EpollFlags::empty());
        }
    }

    /// Begins an answer without end.
    pub(super) fn begin(&mut self, number: u64, head: Vec<u8>) {
        self.go_on(number, Step::Following { waiting: head, sent: 0, skipped: 0 });
    }

    /// Goes on with it. The bytes of lines that find no room are counted until all that waits is taken, and then told of.
    pub(super) fn push(&mut self, number: u64, bytes: &[u8]) {
        let Some(place) = self.place(number) else { return };
        let connection = &mut self.connections[place];
        let Step::Following { waiting, skipped, .. } = &mut connection.step else { return };
        if *skipped > 0 {
            *skipped += bytes.len();
            return;
        }
        let was_idle = waiting.is_empty();
        waiting.extend_from_slice(bytes);
        if was_idle && !connection.send(&self.epoll) {
            self.connections.remove(place);
            return self.open_or_close();
        }
        if let Step::Following { waiting, sent, skipped } = &mut connection.step
            && waiting.len() - *sent > MOST_WAITING
        {
            let room = &waiting[*sent..][..MOST_WAITING];
            let end = *sent + room.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            *skipped = waiting.len() - end;
            waiting.truncate(end);
        }
    }

    /// It still gets an answer without end.
    pub(super) fn follows(&self, number: u64) -> bool {
        let step = self.place(number).map(|place| &self.connections[place].step);
        matches!(step, Some(Step::Following { .. }))
    }
}

impl Connection {
    /// It is closed when its time is over.
    fn is_timed(&self) -> bool {
        match self.step {
            Step::Asking(_) | Step::Answering { .. } | Step::Leaving => true,
            Step::Waiting { is_kept, .. } => !is_kept,
            Step::Following { .. } => false,
        }
    }

    /// Does what can be done now; false where it is over.
    fn move_on(&mut self, epoll: &Epoll, rules: &Rules, now: Instant, asked: &mut Vec<u64>) -> bool {
        match &mut self.step {
            Step::Asking(bytes) => {
                let mut buffer = [0; AT_ONCE];
                let left = rules.longest.saturating_sub(bytes.len()).min(AT_ONCE);
                let room = &mut buffer[..left];
                match recv(self.stream.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT) {
                    Ok(0) => return false,
                    Ok(count) => bytes.extend_from_slice(&room[..count]),
                    Err(Errno::EAGAIN | Errno::EINTR) => return true,
                    Err(_) => return false,
                }
                match (rules.read)(bytes) {
                    Reading::More => true,
                    Reading::Whole => {
                        self.step = Step::Waiting { request: std::mem::take(bytes), is_kept: false };
                        self.since = now;
                        asked.push(self.number);
                        true
                    }
                    Reading::Refuse(answer) => {
                        self.step = Step::Answering { answer, sent: 0, lingers: true };
                        self.since = now;
                        self.send(epoll)
                    }
                }
            }
            Step::Waiting { .. } => true,
            Step::Answering { .. } | Step::Following { .. } => self.send(epoll),
            Step::Leaving => matches!(self.drain(), Ok(1..) | Err(Errno::EAGAIN | Errno::EINTR)),
        }
    }

    /// Sends what the client takes; false where it is over.
    fn send(&mut self, epoll: &Epoll) -> bool {
        let (Step::Answering { answer: bytes, sent, .. } | Step::Following { waiting: bytes, sent, .. }) =
            &mut self.step
        else {
            return true;
        };
        let rest = bytes.get(*sent..).unwrap_or_default();
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.stream.as_raw_fd(), rest, flags) {
            Ok(count) => *sent += count,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => return false,
        }
        if *sent < bytes.len() {
            return self.wait_for(epoll, EpollFlags::EPOLLOUT);
        }
        match &mut self.step {
            Step::Answering { lingers: true, .. } => {}
            Step::Following { waiting, sent, skipped } => {
                (*waiting, *sent) = (Vec::new(), 0);
                tell_skipped(waiting, skipped);
                let next = if waiting.is_empty() { EpollFlags::empty() } else { EpollFlags::EPOLLOUT };
                return self.wait_for(epoll, next);
            }
            Step::Answering { .. } | Step::Asking(_) | Step::Waiting { .. } | Step::Leaving => {
                if !matches!(self.drain(), Ok(1..)) {
                    return false;
                }
            }
        }
        self.step = Step::Leaving;
        shutdown(self.stream.as_raw_fd(), Shutdown::Write).is_ok()
            && self.wait_for(epoll, EpollFlags::EPOLLIN)
    }

    fn drain(&self) -> Result<usize, Errno> {
        recv(self.stream.as_raw_fd(), &mut [0; AT_ONCE], MsgFlags::MSG_DONTWAIT)
    }

    fn wait_for(&self, epoll: &Epoll, flags: EpollFlags) -> bool {
        epoll.modify(&self.stream, &mut EpollEvent::new(flags, self.number)).is_ok()
    }
}

/// Says in the stream that it has a gap.
fn tell_skipped(waiting: &mut Vec<u8>, skipped: &mut usize) {
    if *skipped > 0 {
        let line = format!("[sexton: {skipped} bytes were skipped: you read too slowly]\n");
        waiting.extend_from_slice(line.as_bytes());
        *skipped = 0;
    }
}
