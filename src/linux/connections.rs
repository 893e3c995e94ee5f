//! How we learn that somebody new has connected, without any privilege: the kernel's sock_diag(7).
//!
//! It tells of every TCP connection's end to whoever listens, which is the only trace that a short one leaves, and it
//! lists those that there are. Where it may not be asked, /proc/net/tcp is read. Every look is taken in pieces,
//! and nothing here blocks.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

use crate::connections::{Content, Family, Known, Message, messages, request, table};
use crate::plan::Traffic;

/// How often we look.
const EVERY: Duration = Duration::from_millis(250);
/// How often at least, where there are so many connections that a look takes long: no more than a tenth of the time goes
/// into looking, unless that would be too seldom.
const AT_LEAST_EVERY: Duration = Duration::from_secs(1);
const SHARE: u32 = 10;
/// How many answers may fail to come, each for as long as that.
const TRIES: u32 = 3;
/// How much is read at once, in bytes; the kernel makes no larger pieces of a look (netlink_dump).
const PIECE: usize = 32 * 1024;
/// How many pieces are read before we look at the signals and the clock again.
const PIECES_AT_ONCE: u32 = 16;
/// The groups SKNLGRP_INET_TCP_DESTROY (1) and SKNLGRP_INET6_TCP_DESTROY (3) of linux/sock_diag.h, as bits.
const ENDS: u32 = 1 << 0 | 1 << 2;
/// What is read where there is no sock_diag.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// The watch over our connections.
pub(super) struct Connections {
    known: Known,
    source: Source,
    /// What tells of every connection's end; None where it may not.
    ends: Option<OwnedFd>,
    /// What was read; a look at the tables leaves the beginning of a line in it, and has nobody beside it that reads.
    buffer: Box<[u8]>,
    /// When the next look begins, or the one that has begun goes on.
    due_at: Instant,
    /// When the last look began, and how much time went into it so far.
    began_at: Instant,
    spent: Duration,
}

/// What is looked at.
enum Source {
    Dump(Dump),
    Tables(Tables),
    Nothing,
}

/// How far a look has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// There is more to read.
    More,
    /// The rest has yet to come.
    Waiting,
    /// This look is complete, or none has begun.
    Complete,
}

impl Connections {
    /// Begins to watch; None where nothing can be watched.
    pub(super) fn watch(traffic: &Traffic) -> Option<Connections> {
        // First of all: whoever ends from here on is told of, and whoever is still there is in the first look.
        let ends = listen_for_ends();
        let dump = Dump::open(traffic, ends.is_err());
        if let (Err(error), Ok(_)) = (&ends, &dump) {
            log::warn!("cannot learn of connections by their ends: {error}; looking every 250ms instead");
        }
        Connections::watch_by(traffic, ends.ok(), dump)
    }

    fn watch_by(traffic: &Traffic, ends: Option<OwnedFd>, dump: io::Result<Dump>) -> Option<Connections> {
        let now = Instant::now();
        let mut watch = Connections {
            known: Known::new(traffic, ends.is_some()),
            source: Source::Nothing,
            ends,
            buffer: vec![0; PIECE].into(),
            due_at: now,
            began_at: now,
            spent: Duration::ZERO,
        };
        match dump {
            Ok(dump) => watch.source = Source::Dump(dump),
            Err(error) => watch.fall_back(&error),
        }
        watch.attend(now);
        (!matches!(watch.source, Source::Nothing)).then_some(watch)
    }

    /// What to ask poll(2) about before [`Connections::attend`].
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let asked = match &self.source {
            Source::Dump(dump) => Some(dump.fd.as_fd()),
            Source::Tables(_) | Source::Nothing => None,
        };
        self.ends.as_ref().map(AsFd::as_fd).into_iter().chain(asked)
    }

    /// When to look again, although nothing was told.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.source {
            Source::Dump(_) | Source::Tables(_) => Some(self.due_at),
            Source::Nothing => None,
        }
    }

    /// Leaves out a connection that we make to ourselves from this port.
    pub(super) fn own(&mut self, local_port: u16) {
        self.known.own(local_port);
    }

    /// Whether somebody new has come. Never blocks.
    pub(super) fn attend(&mut self, now: Instant) -> bool {
        let mut new = self.hear_ends();
        let (started_at, looks) = (Instant::now(), self.known.looks());
        if now >= self.due_at {
            self.begin(now);
        }
        let is_more = self.go_on(&mut new);
        self.spent += started_at.elapsed();
        if self.known.looks() != looks {
            self.due_at = self.began_at + (self.spent * SHARE).clamp(EVERY, AT_LEAST_EVERY);
        } else if is_more && matches!(self.source, Source::Tables(_)) {
            self.due_at = now; // nothing else says that there is more
        }
        new
    }

    /// Begins a look, unless one is under way.
    fn begin(&mut self, now: Instant) {
        self.due_at = now + EVERY;
        let has_begun = match &mut self.source {
            Source::Dump(dump) => dump.begin(),
            Source::Tables(tables) => Ok(tables.begin()),
            Source::Nothing => Ok(false),
        };
        match has_begun {
            Ok(true) => (self.began_at, self.spent) = (now, Duration::ZERO),
            Ok(false) => {}
            Err(error) => self.fall_back(&error),
        }
    }

    /// Reads on, and says whether there is more to read.
    fn go_on(&mut self, new: &mut bool) -> bool {
        for _ in 0..PIECES_AT_ONCE {
            let read = match &mut self.source {
                Source::Dump(dump) => dump.read(&mut self.buffer, &mut self.known, new),
                Source::Tables(tables) => Ok(tables.read(&mut self.buffer, &mut self.known, new)),
                Source::Nothing => Ok(Progress::Complete),
            };
            match read {
                Ok(Progress::More) => {}
                Ok(Progress::Waiting | Progress::Complete) => return false,
                Err(error) => self.fall_back(&error),
            }
        }
        true
    }

    /// Takes in the ends that were told.
    fn hear_ends(&mut self) -> bool {
        let mut new = false;
        for _ in 0..PIECES_AT_ONCE {
            let Some(ends) = &self.ends else { break };
            match receive(ends, &mut self.buffer) {
                Ok((bytes, _)) => {
                    for message in messages(bytes) {
                        if let Content::Socket(record) = message.content {
                            new |= self.known.gone(&record);
                        }
                    }
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                // More than we could keep up with: among so many somebody was new.
                Err(Errno::ENOBUFS) => new |= self.known.missed_ends(true),
                Err(error) => {
                    log::warn!(
                        "cannot learn of connections by their ends: {error}; looking every 250ms instead"
                    );
                    self.known.missed_ends(false);
                    self.ends = None;
                }
            }
        }
        new
    }

    /// Goes on with the next source, which begins with a first look.
    fn fall_back(&mut self, error: &io::Error) {
        self.known.begin_again();
        self.ends = None; // it names connections by what the tables do not have
        self.source = match File::open(TABLES[0]) {
            Ok(file) => {
                log::warn!("cannot learn of connections by netlink: {error}; reading /proc/net/tcp instead");
                Source::Tables(Tables { file: Some(file), ..Tables::default() })
            }
            Err(second) => {
                log::warn!("cannot learn of connections by netlink: {error}; nor by /proc/net/tcp: {second}");
                Source::Nothing
            }
        };
    }
}

// --- sock_diag

/// Looks by way of sock_diag, at IPv4 first and then at IPv6: one socket answers one question at a time.
struct Dump {
    fd: OwnedFd,
    /// What the next request asks for: a port, where there is but one, and those that are over, where nobody tells.
    port: Option<u16>,
    with_time_wait: bool,
    /// The number of the last request, by which we know its answer.
    sequence: u32,
    /// What has been asked and is not answered yet; None between two looks.
    asked: Option<Family>,
    /// Something came since the last time that a look was due.
    is_heard: bool,
    /// How many times nothing did.
    silences: u32,
    /// Nothing of this look was missed.
    is_whole: bool,
}

impl Dump {
    fn open(traffic: &Traffic, with_time_wait: bool) -> io::Result<Dump> {
        let port = match traffic.ports[..] {
            [port] => Some(port),
            _ => None,
        };
        Ok(Dump {
            fd: netlink()?,
            port,
            with_time_wait,
            sequence: 0,
            asked: None,
            is_heard: false,
            silences: 0,
            is_whole: true,
        })
    }

    /// Begins a look, unless one is under way.
    fn begin(&mut self) -> io::Result<bool> {
        if self.asked.is_some() {
            if std::mem::take(&mut self.is_heard) {
                return Ok(false);
            }
            self.silences += 1;
            if self.silences >= TRIES {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.fd = netlink()?; // the old one may still be busy with the old question
        }
        self.is_whole = true;
        self.ask(Family::V4)?;
        Ok(true)
    }

    fn ask(&mut self, family: Family) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        self.asked = Some(family);
        self.is_heard = false;
        let request = request(family, self.sequence, self.port, self.with_time_wait);
        match send(self.fd.as_raw_fd(), &request, MsgFlags::MSG_DONTWAIT) {
            // What cannot be sent now is asked again when no answer has come.
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS | Errno::ENOMEM | Errno::EBUSY) => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a piece of the answer.
    fn read(&mut self, buffer: &mut [u8], known: &mut Known, new: &mut bool) -> io::Result<Progress> {
        let Some(family) = self.asked else { return Ok(Progress::Complete) };
        let bytes = match receive(&self.fd, buffer) {
            Ok((bytes, is_cut)) => {
                self.is_whole &= !is_cut;
                bytes
            }
            Err(Errno::EAGAIN) => return Ok(Progress::Waiting),
            Err(Errno::EINTR) => return Ok(Progress::More),
            Err(Errno::ENOBUFS) => {
                self.is_whole = false;
                return Ok(Progress::More);
            }
            Err(error) => return Err(error.into()),
        };
        for Message { content, is_interrupted, .. } in
            messages(bytes).filter(|message| message.sequence == self.sequence)
        {
            (self.is_heard, self.silences) = (true, 0);
            self.is_whole &= !is_interrupted;
            match (content, family) {
                (Content::Socket(record), _) => *new |= known.look([record]),
                (Content::Refused(errno), Family::V4) => return Err(io::Error::from_raw_os_error(errno)),
                (Content::Done, Family::V4) => {
                    self.ask(Family::V6)?;
                    return Ok(Progress::More);
                }
                // Without IPv6 there is nobody who came by it.
                (Content::Done | Content::Refused(_), Family::V6) => {
                    self.asked = None;
                    if self.is_whole {
                        known.complete();
                    }
                    return Ok(Progress::Complete);
                }
            }
        }
        Ok(Progress::More)
    }
}

/// A socket that asks sock_diag.
fn netlink() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Netlink, SockType::Datagram, flags, SockProtocol::NetlinkSockDiag)
}

/// A socket that is told of the end of every TCP connection in our network namespace.
fn listen_for_ends() -> nix::Result<OwnedFd> {
    let fd = netlink()?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, ENDS))?;
    Ok(fd)
}

/// What has come, and whether it was more than there is room for.
fn receive<'a>(fd: &OwnedFd, buffer: &'a mut [u8]) -> nix::Result<(&'a [u8], bool)> {
    let length = recv(fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC)?;
    let is_cut = length > buffer.len();
    Ok((&buffer[..length.min(buffer.len())], is_cut))
}

// --- /proc

/// Looks by way of /proc/net/tcp, and tcp6 where there is one.
#[derive(Default)]
struct Tables {
    /// The one that is being read; None between two looks.
    file: Option<File>,
    /// Its place in [`TABLES`].
    place: usize,
    /// How many bytes of a line are left in the buffer.
    rest: usize,
}

impl Tables {
    /// Begins a look, unless one is under way. It could be opened once; where it now cannot, the next look will do.
    fn begin(&mut self) -> bool {
        let is_new = self.file.is_none();
        if is_new {
            (self.place, self.rest) = (0, 0);
            self.file = File::open(TABLES[0]).ok();
        }
        is_new
    }

    /// Reads a piece.
    fn read(&mut self, buffer: &mut [u8], known: &mut Known, new: &mut bool) -> Progress {
        let Some(file) = &mut self.file else { return Progress::Complete };
        match file.read(&mut buffer[self.rest..]) {
            Ok(0) => {
                self.rest = 0;
                self.place += 1;
                self.file = TABLES.get(self.place).and_then(|path| File::open(path).ok());
                if self.file.is_some() {
                    return Progress::More;
                }
                known.complete();
                Progress::Complete
            }
            Ok(count) => {
                let length = self.rest + count;
                let (records, whole) = table(&buffer[..length]);
                *new |= known.look(records);
                buffer.copy_within(whole..length, 0);
                self.rest = (length - whole) % buffer.len(); // a line that fills it all is none
                Progress::More
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Progress::More,
            Err(_) => {
                self.file = None; // this look is lost
                Progress::Complete
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    /// How connections are learnt of.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum By {
        Ends,
        Dumps,
        Tables,
    }

    const ALL: [By; 3] = [By::Ends, By::Dumps, By::Tables];

    impl By {
        fn watch(self, traffic: &Traffic) -> Connections {
            let watch = match self {
                By::Ends => Connections::watch(traffic),
                By::Dumps => Connections::watch_by(traffic, None, Dump::open(traffic, true)),
                By::Tables => Connections::watch_by(traffic, None, Err(Errno::EPROTONOSUPPORT.into())),
            };
            let mut watch = watch.expect("something to watch");
            assert_eq!(watch.ends.is_some(), self == By::Ends);
            assert_eq!(matches!(watch.source, Source::Tables(_)), self == By::Tables);
            while watch.known.looks() == 0 {
                assert!(!watch.attend(watch.due_at));
            }
            watch
        }
    }

    fn listen(address: &str) -> (TcpListener, SocketAddr, Traffic) {
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let traffic = Traffic { ports: vec![address.port()], loopback: true, ignore: Vec::new() };
        (listener, address, traffic)
    }

    /// A connection: its client's and its server's end.
    fn connect(listener: &TcpListener, address: SocketAddr) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(address).expect("connected");
        (client, listener.accept().expect("accepted").0)
    }

    impl Connections {
        /// Whether somebody new is in what has come and in the looks to come, without any waiting for them.
        fn sees(&mut self, looks: u32) -> bool {
            let until = self.known.looks() + looks;
            let mut new = false;
            while self.known.looks() < until {
                new |= self.attend(self.due_at);
            }
            new
        }

        /// Waits until somebody new is told of, without any look.
        fn waits_for_word(&mut self) {
            let early = self.began_at; // too early for the next look
            while !self.attend(early) {
                let mut fds: Vec<_> =
                    self.descriptors().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
                assert_ne!(poll(&mut fds, PollTimeout::from(10_000_u16)), Ok(0), "nothing is told");
            }
        }
    }

    /// Waits until the end of the connection between these ports is told.
    fn wait_for_end(ends: &OwnedFd, local: u16, remote: u16) {
        let mut buffer = vec![0; PIECE];
        loop {
            let mut fds = [PollFd::new(ends.as_fd(), PollFlags::POLLIN)];
            assert_ne!(poll(&mut fds, PollTimeout::from(10_000_u16)), Ok(0), "no end is told");
            let (bytes, _) = receive(ends, &mut buffer).expect("told of every end");
            if messages(bytes).any(|message| {
                matches!(message.content, Content::Socket(r) if (r.local_port, r.remote_port) == (local, remote))
            }) {
                return;
            }
        }
    }

    #[test]
    fn a_short_connection_is_told() {
        for host in ["127.0.0.1", "::1"] {
            let (listener, address, traffic) = listen(host);
            let mut watch = By::Ends.watch(&traffic);
            drop(connect(&listener, address));
            watch.waits_for_word();
            assert!(!watch.sees(4), "once is enough");
        }
    }

    #[test]
    fn a_short_connection_that_was_reset_or_never_accepted_is_told() {
        let (listener, address, traffic) = listen("127.0.0.1");
        let mut watch = By::Ends.watch(&traffic);
        let (client, server) = connect(&listener, address);
        nix::sys::socket::setsockopt(
            &server,
            nix::sys::socket::sockopt::Linger,
            &libc::linger { l_onoff: 1, l_linger: 0 },
        )
        .expect("set");
        drop((server, client));
        watch.waits_for_word();
        assert!(!watch.sees(1));
        drop(TcpStream::connect(address).expect("connected"));
        drop(listener);
        watch.waits_for_word();
    }

    #[test]
    fn a_long_connection_is_seen() {
        for by in ALL {
            for host in ["127.0.0.1", "::1"] {
                let (listener, address, traffic) = listen(host);
                let mut watch = by.watch(&traffic);
                assert!(!watch.sees(2), "{by:?}: nobody");
                let both = connect(&listener, address);
                assert!(watch.sees(1), "{by:?}");
                assert!(!watch.sees(4), "{by:?}: once");
                drop(both);
            }
        }
    }

    #[test]
    fn one_that_nobody_has_accepted_is_seen() {
        for by in ALL {
            let (_listener, address, traffic) = listen("127.0.0.1");
            let mut watch = by.watch(&traffic);
            let _client = TcpStream::connect(address).expect("connected");
            assert!(watch.sees(1), "{by:?}");
        }
    }

    #[test]
    fn ipv4_to_a_socket_of_both_is_seen() {
        for by in ALL {
            let (listener, address, mut traffic) = listen("::");
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
            let mut watch = by.watch(&traffic);
            let first = connect(&listener, address);
            assert!(watch.sees(1), "{by:?}");
            traffic.ignore = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
            let mut watch = by.watch(&traffic);
            let second = connect(&listener, address);
            assert!(!watch.sees(1), "{by:?}");
            drop((first, second));
        }
    }

    #[test]
    fn one_that_was_there_before_may_end() {
        for by in ALL {
            for closes_first in ["client", "server"] {
                let (listener, address, traffic) = listen("127.0.0.1");
                let (client, server) = connect(&listener, address);
                let port = client.local_addr().expect("an address").port();
                let mut watch = by.watch(&traffic);
                let ends = listen_for_ends().expect("told of ends");
                let (first, second) =
                    if closes_first == "client" { (client, server) } else { (server, client) };
                drop(first);
                assert!(!watch.sees(4), "{by:?}: {closes_first}");
                drop(second);
                wait_for_end(&ends, address.port(), port);
                assert!(!watch.sees(4), "{by:?}: {closes_first}");
            }
        }
    }

    #[test]
    fn one_that_was_there_before_may_be_over_long_before_its_owner_closes_it() {
        let (listener, address, traffic) = listen("127.0.0.1");
        let (client, server) = connect(&listener, address);
        let port = client.local_addr().expect("an address").port();
        let mut watch = By::Ends.watch(&traffic);
        let ends = listen_for_ends().expect("told of ends");
        client.shutdown(std::net::Shutdown::Write).expect("shut down");
        server.shutdown(std::net::Shutdown::Write).expect("shut down");
        drop(client);
        assert!(!watch.sees(6));
        drop(server);
        wait_for_end(&ends, address.port(), port);
        assert!(!watch.sees(4));
    }

    #[test]
    fn who_is_left_out_is_not_new() {
        for by in ALL {
            let (listener, address, traffic) = listen("127.0.0.1");
            let (other_listener, other, _) = listen("127.0.0.1");
            let ignore = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
            let mut watches = [
                by.watch(&Traffic { ports: vec![other.port()], ..traffic.clone() }),
                by.watch(&Traffic { ports: vec![other.port(), 1], ..traffic.clone() }),
                by.watch(&Traffic { loopback: false, ..traffic.clone() }),
                by.watch(&Traffic { ignore, ..traffic.clone() }),
                by.watch(&traffic),
            ];
            let ends = listen_for_ends().expect("told of ends");
            let long = connect(&listener, address);
            watches[4].own(long.0.local_addr().expect("an address").port());
            assert_eq!(watches.each_mut().map(|watch| watch.sees(2)), [false; 5], "{by:?}");
            let short = connect(&listener, address);
            let port = short.0.local_addr().expect("an address").port();
            watches[4].own(port);
            drop(short);
            wait_for_end(&ends, address.port(), port);
            assert_eq!(watches.each_mut().map(|watch| watch.sees(2)), [false; 5], "{by:?}");
            let others = connect(&other_listener, other);
            let seen = watches.each_mut().map(|watch| watch.sees(1));
            assert_eq!(seen, [true, true, false, false, false], "{by:?}");
            drop((long, others));
        }
    }

    #[test]
    fn more_than_could_be_told_is_somebody() {
        let (listener, address, traffic) = listen("127.0.0.1");
        let mut watch = By::Ends.watch(&Traffic { ports: vec![1], ..traffic });
        let ends = watch.ends.as_ref().expect("told of ends");
        nix::sys::socket::setsockopt(ends, nix::sys::socket::sockopt::RcvBuf, &0).expect("set");
        // Few, for every test that runs meanwhile is told of them too.
        for _ in 0..10 {
            drop(connect(&listener, address));
        }
        watch.waits_for_word();
    }

    #[test]
    fn a_silent_kernel_is_asked_again_and_then_left() {
        let (listener, address, traffic) = listen("127.0.0.1");
        let mut watch = By::Dumps.watch(&traffic);
        for _ in 0..=TRIES {
            let Source::Dump(dump) = &mut watch.source else { break };
            // A question that nobody was asked.
            dump.fd = netlink().expect("a socket");
            (dump.asked, dump.is_heard) = (Some(Family::V4), false);
            dump.silences = dump.silences.max(TRIES - 1);
            watch.attend(watch.due_at);
        }
        assert!(matches!(watch.source, Source::Tables(_)));
        while watch.known.looks() == 0 {
            watch.attend(watch.due_at);
        }
        let both = connect(&listener, address);
        assert!(watch.sees(1));
        drop(both);
    }

    #[test]
    fn what_is_refused_is_looked_up_in_the_tables() {
        let (listener, address, traffic) = listen("127.0.0.1");
        let mut dump = Dump::open(&traffic, true).expect("a socket");
        // A socket that no kernel answers on.
        dump.fd = std::os::unix::net::UnixDatagram::unbound().expect("a socket").into();
        let mut watch = Connections::watch_by(&traffic, None, Ok(dump)).expect("the tables");
        assert!(matches!(watch.source, Source::Tables(_)));
        assert!(!watch.sees(1));
        let both = connect(&listener, address);
        assert!(watch.sees(1));
        drop(both);
    }

    #[test]
    fn it_takes_no_privilege() {
        const TESTS: [&str; 3] =
            ["a_short_connection_is_told", "a_long_connection_is_seen", "one_that_was_there_before_may_end"];
        if !nix::unistd::geteuid().is_root() {
            return; // then the other tests have shown it
        }
        let file = File::open("/proc/self/exe").expect("ourselves");
        // Not by its path, which may lead through directories that are root's alone. Without root's number the
        // capabilities are gone too.
        let status = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()))
            .args(TESTS.map(|test| format!("linux::connections::tests::{test}")))
            .args(["--exact", "--quiet"])
            .current_dir("/")
            .uid(1000)
            .gid(1000)
            .output()
            .expect("started");
        let said = String::from_utf8_lossy(&status.stdout);
        assert!(status.status.success() && said.contains("3 passed"), "{said}");
    }
}
