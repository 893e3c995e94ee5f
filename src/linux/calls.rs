//! Calls over the network, many at once, none of which is ever waited for.
//!
//! A call costs few system calls. On this machine a connection is there, or refused, as soon as connect(2) returns,
//! though it says EINPROGRESS: the next call on the socket tells. What is asked is sent right away, and only who has to
//! wait for an answer is put into the epoll.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrStorage, connect,
    getsockname, recv, send, socket,
};

use crate::calls::{Call, Next};
use crate::event::Outcome;
use crate::plan::{Endpoint, Handler, Role, Task};

/// How many calls are attended to at once.
const AT_ONCE: usize = 32;
/// How much of an answer is read at once, in bytes.
const READ_AT_ONCE: usize = 4096;

/// Shortages and prohibitions of our own, which say nothing of the program.
const OURS: [Errno; 7] = [
    Errno::EADDRNOTAVAIL,
    Errno::EAFNOSUPPORT,
    Errno::EACCES,
    Errno::EPERM,
    Errno::EAGAIN,
    Errno::ENOBUFS,
    Errno::ENOMEM,
];

/// The calls that are under way.
#[derive(Default)]
pub(super) struct Calls {
    /// Made when there is something to wait for.
    epoll: Option<Epoll>,
    under_way: Vec<(Task, Connected)>,
    /// The ports from which calls were made; None while nobody wants to know.
    ports: Option<Vec<u16>>,
}

/// A call on its connection, or on the way to one.
pub(super) struct Connected {
    pub(super) call: Call,
    socket: OwnedFd,
    peer: SocketAddr,
    /// Where to go where `peer` refuses.
    second: Option<IpAddr>,
    /// The connection is known to be there.
    pub(super) is_open: bool,
    /// What the epoll was told to look for; none where it was told nothing.
    interest: EpollFlags,
}

impl AsFd for Connected {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What to do with a call.
pub(super) enum Step {
    Wait,
    Decided(Outcome),
}

impl Calls {
    /// Without a call it costs no descriptor.
    pub(super) fn new() -> Calls {
        Calls::default()
    }

    /// Begins a call; what comes of it is told here where it is known at once, and otherwise by [`Calls::attend`].
    pub(super) fn begin(&mut self, task: Task, handler: &Handler) -> Option<Outcome> {
        self.abandon(task);
        let (Some(endpoint), Some(call)) = (endpoint(handler), Call::new(task.role, handler)) else {
            return Some(Outcome::Impossible("cannot call: it is no call".to_owned()));
        };
        // Nobody may listen on the one, and somebody on the other.
        let (first, second) = match endpoint.host {
            Some(host) => (host, None),
            None => (Ipv4Addr::LOCALHOST.into(), Some(Ipv6Addr::LOCALHOST.into())),
        };
        let connected = match Connected::new(call, first, second) {
            Ok(connected) => connected,
            Err(outcome) => return Some(outcome),
        };
        self.step(task, connected, Connected::go_on)
    }

    /// Remembers from which ports calls are made, or no longer.
    pub(super) fn note_ports(&mut self, wanted: bool) {
        self.ports = wanted.then(Vec::new);
    }

    /// The ports from which calls were made since this was last asked; some of them twice.
    pub(super) fn take_ports(&mut self) -> Vec<u16> {
        self.ports.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Forgets a call and closes its connection: nothing comes of it any more.
    pub(super) fn abandon(&mut self, task: Task) {
        self.under_way.retain(|(other, _)| *other != task); // epoll(7): nobody else holds the socket, so it leaves the epoll by being closed
    }

    /// What to ask poll(2) about before [`Calls::attend`]; None while nothing is under way.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.epoll.as_ref().filter(|_| !self.under_way.is_empty()).map(|epoll| epoll.0.as_fd())
    }

    /// What has been decided. Reads each call once at most, and some of the calls: poll(2) tells when there is more.
    pub(super) fn attend(&mut self) -> Vec<(Task, Outcome)> {
        let mut events = [EpollEvent::empty(); AT_ONCE];
        let count = match &self.epoll {
            Some(epoll) if !self.under_way.is_empty() => {
                epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0)
            }
            Some(_) | None => 0,
        };
        let mut decided = Vec::new();
        for event in events.iter().take(count) {
            let place = self.under_way.iter().position(|(task, _)| key(*task) == event.data());
            let Some(place) = place else { continue };
            let (task, connected) = self.under_way.swap_remove(place);
            if let Some(outcome) = self.step(task, connected, |connected| connected.attend(event.events())) {
                decided.push((task, outcome));
            }
        }
        decided
    }

    /// Takes a step with a call, and keeps it where it has to wait for the next.
    fn step(
        &mut self,
        task: Task,
        mut connected: Connected,
        step: impl FnOnce(&mut Connected) -> Step,
    ) -> Option<Outcome> {
        let step = step(&mut connected);
        if let Some(ports) = &mut self.ports {
            ports.extend(connected.own_port());
        }
        match step {
            Step::Decided(outcome) => return Some(outcome),
            Step::Wait => {}
        }
        let epoll = match &mut self.epoll {
            Some(epoll) => epoll,
            none @ None => match Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC) {
                Ok(epoll) => none.insert(epoll),
                Err(error) => return Some(impossible("wait for an answer", error)),
            },
        };
        match connected.watch(epoll, key(task)) {
            Ok(()) => {
                self.under_way.push((task, connected));
                None
            }
            Err(error) => Some(impossible("wait for an answer", error)),
        }
    }
}

impl Connected {
    /// Makes a socket and begins to connect it.
    pub(super) fn new(call: Call, host: IpAddr, second: Option<IpAddr>) -> Result<Connected, Outcome> {
        let peer = SocketAddr::new(host, call.port());
        match begin_to_connect(peer, SockType::Stream) {
            Ok(socket) => {
                let interest = EpollFlags::empty();
                Ok(Connected { call, socket, peer, second, is_open: false, interest })
            }
            Err(Broken::Socket(error)) => Err(impossible("make a socket", error)),
            Err(Broken::Connection(Errno::ECONNREFUSED)) if let Some(second) = second => {
                Connected::new(call, second, None).or(Err(broken(Errno::ECONNREFUSED)))
            }
            Err(Broken::Connection(error)) => Err(broken(error)),
        }
    }

    /// Goes as far as it can without an answer.
    pub(super) fn go_on(&mut self) -> Step {
        if self.call.is_only_a_connection() {
            return self.ask_for_connection();
        }
        while !self.call.unsent().is_empty() {
            match send(self.socket.as_raw_fd(), self.call.unsent(), MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => {
                    self.is_open = true;
                    self.call.sent(count);
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                // It may have answered before it hung up.
                Err(_) if self.is_open => self.call.sent(usize::MAX),
                Err(error) => return self.refused(error),
            }
        }
        Step::Wait
    }

    /// Asks connect(2) once more, which tells what came of the first time.
    fn ask_for_connection(&mut self) -> Step {
        match connect(self.socket.as_raw_fd(), &SockaddrStorage::from(self.peer)) {
            Ok(()) | Err(Errno::EISCONN) if self.is_to_itself() => self.refused(Errno::ECONNREFUSED),
            Ok(()) | Err(Errno::EISCONN) => Step::Decided(Outcome::Passed),
            Err(Errno::EALREADY | Errno::EINPROGRESS | Errno::EINTR) => Step::Wait,
            Err(error) => self.refused(error),
        }
    }

    fn own_port(&self) -> Option<u16> {
        let own = getsockname::<SockaddrStorage>(self.socket.as_raw_fd()).ok()?;
        own.as_sockaddr_in().map(SockaddrIn::port).or_else(|| own.as_sockaddr_in6().map(SockaddrIn6::port))
    }

    /// Where nobody listens on a port that the kernel hands out, a socket may be given that very port, and is connected
    /// to itself then.
    fn is_to_itself(&self) -> bool {
        getsockname::<SockaddrStorage>(self.socket.as_raw_fd())
            .is_ok_and(|own| own == SockaddrStorage::from(self.peer))
    }

    /// There is no connection; perhaps the other address has one.
    fn refused(&mut self, error: Errno) -> Step {
        if error == Errno::ECONNREFUSED
            && let Some(second) = self.second.take()
            && self.connect_anew(second).is_ok()
        {
            return self.go_on();
        }
        Step::Decided(broken(error))
    }

    fn connect_anew(&mut self, host: IpAddr) -> Result<(), Broken> {
        self.peer = SocketAddr::new(host, self.call.port());
        self.socket = begin_to_connect(self.peer, SockType::Stream)?;
        self.is_open = false;
        self.interest = EpollFlags::empty();
        Ok(())
    }

    /// Does what the epoll says can be done.
    pub(super) fn attend(&mut self, ready: EpollFlags) -> Step {
        let is_hopeless = ready.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        if (is_hopeless || ready.contains(EpollFlags::EPOLLOUT))
            && self.waits_to_send()
            && let Step::Decided(outcome) = self.go_on()
        {
            return Step::Decided(outcome);
        }
        if !is_hopeless && !ready.contains(EpollFlags::EPOLLIN) {
            return Step::Wait;
        }
        let mut buffer = [0; READ_AT_ONCE];
        let next = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(0) => Next::Decided(self.call.end()),
            Ok(count) => self.call.read(buffer.get(..count).unwrap_or_default()),
            Err(Errno::EAGAIN | Errno::EINTR) => return Step::Wait,
            Err(error) if !self.is_open => return self.refused(error),
            Err(error) => Next::Decided(broken(error)),
        };
        match next {
            Next::More => self.go_on(),
            Next::Decided(outcome) => Step::Decided(outcome),
            Next::Connect => {
                let host = self.peer.ip();
                self.second = None; // somebody answers at this one
                match self.connect_anew(host) {
                    Ok(()) => self.go_on(),
                    Err(Broken::Socket(error)) => Step::Decided(impossible("make a socket", error)),
                    Err(Broken::Connection(error)) => Step::Decided(broken(error)),
                }
            }
        }
    }

    /// It can only go on once something can be sent, or is connected.
    pub(super) fn waits_to_send(&self) -> bool {
        !self.call.unsent().is_empty() || self.call.is_only_a_connection()
    }

    /// Tells the epoll what to look for, and by which number.
    fn watch(&mut self, epoll: &Epoll, key: u64) -> nix::Result<()> {
        let writable = if self.waits_to_send() { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
        let interest = EpollFlags::EPOLLIN | writable;
        if self.interest == interest {
            return Ok(());
        }
        let mut event = EpollEvent::new(interest, key);
        if self.interest.is_empty() {
            epoll.add(&self.socket, event)?;
        } else {
            epoll.modify(&self.socket, &mut event)?;
        }
        self.interest = interest;
        Ok(())
    }
}

/// What went wrong on the way to a connection.
pub(super) enum Broken {
    /// There is not even a socket.
    Socket(Errno),
    /// There is no connection.
    Connection(Errno),
}

pub(super) fn begin_to_connect(peer: SocketAddr, kind: SockType) -> Result<OwnedFd, Broken> {
    let family = if peer.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, kind, flags, None).map_err(Broken::Socket)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(peer)) {
        Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(socket),
        Err(error) => Err(Broken::Connection(error)),
    }
}

/// What an error on the way says of the program, if anything.
fn broken(error: Errno) -> Outcome {
    if OURS.contains(&error) {
        return impossible("connect", error);
    }
    Outcome::Failed(error.desc().to_ascii_lowercase())
}

fn impossible(what: &str, error: Errno) -> Outcome {
    Outcome::Impossible(format!("cannot {what}: {}", error.desc()))
}

fn endpoint(handler: &Handler) -> Option<Endpoint> {
    match handler {
        Handler::Tcp(endpoint) | Handler::Grpc(endpoint, _) => Some(*endpoint),
        Handler::Http(get) => Some(get.endpoint),
        Handler::Exec(_) | Handler::Sleep => None,
    }
}

/// The number by which the epoll knows a call: a task is under way once at most.
fn key(task: Task) -> u64 {
    let role = match task.role {
        Role::Startup => 0,
        Role::Readiness => 1,
        Role::Liveness => 2,
        Role::PostStart => 3,
        Role::PreStop => 4,
    };
    u64::try_from(task.program.0).unwrap_or(u64::MAX) << 3 | role
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;
    use crate::plan::{HttpGet, ProgramId};

    fn task(role: Role) -> Task {
        Task { program: ProgramId(3), role }
    }

    fn at(host: Option<&str>, port: u16) -> Endpoint {
        Endpoint { host: host.map(|host| host.parse().expect("an address")), port }
    }

    fn page(endpoint: Endpoint) -> Handler {
        Handler::Http(HttpGet { endpoint, path: "/health".to_owned(), headers: Vec::new() })
    }

    /// Waits until something is decided.
    fn wait(calls: &mut Calls) -> Vec<(Task, Outcome)> {
        loop {
            let mut fds =
                [PollFd::new(calls.descriptor().expect("something is under way"), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::NONE).expect("it polls");
            let decided = calls.attend();
            if !decided.is_empty() {
                return decided;
            }
        }
    }

    fn made(handler: &Handler, role: Role) -> Outcome {
        let mut calls = Calls::new();
        if let Some(outcome) = calls.begin(task(role), handler) {
            return outcome;
        }
        let (of, outcome) = wait(&mut calls).pop().expect("one");
        assert_eq!(of, task(role));
        assert!(calls.descriptor().is_none(), "nothing is under way any more");
        outcome
    }

    fn failed(reason: &str) -> Outcome {
        Outcome::Failed(reason.to_owned())
    }

    /// Reads a request up to its empty line.
    fn read_request(stream: &mut TcpStream) -> String {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            request.extend(byte);
        }
        String::from_utf8(request).expect("UTF-8")
    }

    /// What comes of asking a server for a page that answers so.
    fn answered(role: Role, mut server: impl FnMut(usize, &mut TcpStream, u16) + Send + 'static) -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.expect("a connection");
                read_request(&mut stream);
                server(number, &mut stream, port);
            }
        });
        made(&page(at(None, port)), role)
    }

    /// Writes for as long as somebody reads.
    fn write_without_end(stream: &mut TcpStream, piece: &[u8]) {
        let error = loop {
            match stream.write_all(piece) {
                Ok(()) => {}
                Err(error) => break error.kind(),
            }
        };
        assert!(matches!(error, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    }

    /// A port at which nobody listens.
    fn closed_port() -> u16 {
        TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("an address")
            .port()
    }

    #[test]
    fn a_connection_is_enough_for_tcp_and_known_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        assert_eq!(made(&Handler::Tcp(at(None, port)), Role::Liveness), Outcome::Passed);
        let mut calls = Calls::new();
        let begun = calls.begin(task(Role::Liveness), &Handler::Tcp(at(Some("127.0.0.1"), port)));
        assert_eq!(begun, Some(Outcome::Passed));
        assert!(calls.epoll.is_none(), "there was nothing to wait for");
    }

    #[test]
    fn where_nobody_listens_it_is_refused() {
        let port = closed_port();
        for host in [None, Some("127.0.0.1"), Some("127.8.9.10")] {
            for handler in [
                Handler::Tcp(at(host, port)),
                page(at(host, port)),
                Handler::Grpc(at(host, port), String::new()),
            ] {
                assert_eq!(made(&handler, Role::Liveness), failed("connection refused"), "{handler:?}");
            }
        }
    }

    #[test]
    fn this_machine_is_asked_at_both_its_addresses() {
        let Ok(listener) = TcpListener::bind("[::1]:0") else { return }; // there is no IPv6 here
        let port = listener.local_addr().expect("an address").port();
        assert_eq!(made(&Handler::Tcp(at(None, port)), Role::Liveness), Outcome::Passed);
        assert_eq!(made(&Handler::Tcp(at(Some("::1"), port)), Role::Liveness), Outcome::Passed);
        thread::spawn(move || {
            for stream in listener.incoming().skip(2) {
                let mut stream = stream.expect("a connection");
                let request = read_request(&mut stream);
                let code =
                    if request.contains(&format!("\r\nHost: localhost:{port}\r\n")) { 200 } else { 400 };
                write!(stream, "HTTP/1.1 {code} x\r\n\r\n").expect("written");
            }
        });
        assert_eq!(made(&page(at(None, port)), Role::Liveness), Outcome::Passed);
    }

    #[test]
    fn the_code_decides_for_a_probe_and_nothing_for_a_hook() {
        let with = |code: u16, role| {
            answered(role, move |_, stream, _| {
                write!(stream, "HTTP/1.1 {code} x\r\nContent-Length: 2\r\n\r\nok").expect("written");
            })
        };
        assert_eq!(with(200, Role::Liveness), Outcome::Passed);
        assert_eq!(with(399, Role::Startup), Outcome::Passed);
        assert_eq!(with(503, Role::Readiness), failed("answered with code 503"));
        assert_eq!(with(503, Role::PreStop), Outcome::Passed);
    }

    #[test]
    fn an_answer_may_take_its_time() {
        let outcome = answered(Role::Liveness, |_, stream, _| {
            for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" {
                stream.set_nodelay(true).and_then(|()| stream.write_all(&[*byte])).expect("written");
            }
        });
        assert_eq!(outcome, Outcome::Passed);
    }

    #[test]
    fn nothing_endless_keeps_us() {
        let outcome = answered(Role::Liveness, |_, stream, _| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").expect("written");
            write_without_end(stream, b"A: b\r\n");
        });
        assert_eq!(outcome, failed("a head of more than 16 KiB"));
        for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"] {
            let outcome = answered(Role::Liveness, move |_, stream, _| {
                stream.write_all(head.as_bytes()).expect("written");
                write_without_end(stream, &[b'x'; 1000]);
            });
            assert_eq!(outcome, Outcome::Passed);
        }
    }

    #[test]
    fn what_is_no_answer_is_a_failure() {
        let with = |bytes: &'static [u8]| {
            answered(Role::Liveness, move |_, stream, _| stream.write_all(bytes).expect("written"))
        };
        assert_eq!(with(b""), failed("closed the connection without an answer"));
        assert_eq!(with(b"HTTP/1.1 200 O"), failed("closed the connection within its answer"));
        assert_eq!(
            with(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"),
            failed("closed the connection within its answer")
        );
        assert_eq!(with(b"\x15\x03\x01\x00\x02\x02\x16"), failed("no HTTP answer"));
    }

    #[test]
    fn redirects_are_followed_and_not_for_ever() {
        let outcome = answered(Role::Liveness, |number, stream, port| {
            let answer = match number {
                0 => "HTTP/1.1 302 Found\r\nLocation: /next\r\n\r\n".to_owned(),
                1 => format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/last\r\n\r\n"),
                _ => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).expect("written");
        });
        assert_eq!(outcome, Outcome::Passed);
        let outcome = answered(Role::Liveness, |_, stream, _| {
            stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n").expect("written");
        });
        assert_eq!(outcome, failed("more than 10 redirects"));
    }

    #[test]
    fn a_health_service_is_asked_for_its_health() {
        let with = |answer: &'static [u8]| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let port = listener.local_addr().expect("an address").port();
            thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut preface = [0; 24];
                stream.read_exact(&mut preface).expect("the preface");
                stream.write_all(b"\0\0\0\x04\0\0\0\0\0").expect("written");
                stream.write_all(answer).expect("written");
                let _ = stream.read_to_end(&mut Vec::new()); // until it is over
            });
            made(&Handler::Grpc(at(None, port), "a.B".to_owned()), Role::Readiness)
        };
        assert_eq!(with(b"\0\0\x07\0\0\0\0\0\x01\0\0\0\0\x02\x08\x01"), Outcome::Passed);
        assert_eq!(with(b"\0\0\x07\0\0\0\0\0\x01\0\0\0\0\x02\x08\x02"), failed("grpc: NOT_SERVING"));
    }

    #[test]
    fn what_is_abandoned_is_closed_and_never_told() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let endpoint = at(None, listener.local_addr().expect("an address").port());
        let mut calls = Calls::new();
        assert_eq!(calls.begin(task(Role::Liveness), &page(endpoint)), None);
        assert_eq!(calls.begin(task(Role::Readiness), &page(endpoint)), None);
        let (mut first, _) = listener.accept().expect("a connection");
        let (mut second, _) = listener.accept().expect("a connection");
        calls.abandon(task(Role::Liveness));
        let mut request = Vec::new();
        first.read_to_end(&mut request).expect("it is closed");
        assert!(request.ends_with(b"\r\n\r\n"));
        second.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("written");
        assert_eq!(wait(&mut calls), [(task(Role::Readiness), Outcome::Passed)]);
        assert!(calls.descriptor().is_none());
        assert!(calls.attend().is_empty());
    }

    #[test]
    fn what_is_no_call_is_impossible() {
        for handler in [Handler::Exec(vec!["true".into()]), Handler::Sleep] {
            assert!(matches!(made(&handler, Role::PreStop), Outcome::Impossible(_)));
        }
    }
}
