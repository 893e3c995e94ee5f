//! Whose connections there are, and which of them are new: the drain goes on until nobody new has come for a while.
//!
//! Pure: the kernel's bytes go in, of netlink (sock_diag(7)) or of /proc/net/tcp, and whether somebody new has come
//! comes out. What is cut off or makes no sense is skipped.
//!
//! A connection that nobody has looked at is told at its end all the same, which is how the short ones are learnt of.
//! Three things follow. An end may be told long after the last look that showed the connection, for its owner may keep
//! a descriptor of it: what has been seen is known until its end is told. A connection may be shown after its end
//! was told, when we were the first to close: what is over stays known for as long as it is shown. And a look that goes
//! on piece by piece may miss what does not change: nobody is forgotten for one look.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::plan::Traffic;
use crate::sorted::Sorted;

/// The state of a TCP socket that listens (net/tcp_states.h).
pub const LISTEN: u8 = 10;
/// The state of a UDP socket that is bound and not connected (as above).
pub const UNCONNECTED: u8 = CLOSE;

/// The TCP states that matter here, by their numbers in the kernel (net/tcp_states.h).
const SYN_RECV: u8 = 3;
const TIME_WAIT: u8 = 6;
const CLOSE: u8 = 7;
/// Those of a connection that somebody may have made to us: all but SYN_SENT, which is ours, CLOSE, which is never
/// shown, and LISTEN, which is none.
const STATES: u32 = 1 << 1 | 1 << SYN_RECV | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;

/// The lengths of a `struct nlmsghdr`, a `struct inet_diag_req_v2` and a `struct inet_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = 56;
const DESCRIPTION: usize = 72;
/// The types of messages (netlink(7), sock_diag(7)).
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Their flags.
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
/// Numbers of address families and of TCP.
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;

/// How many complete looks in a row have to miss a connection that is then forgotten.
const MISSED: u32 = 2;
/// How many of our own ports are kept.
const OWN: usize = 256;

/// Which of the two tables is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6, and IPv4 on sockets that serve both.
    V6,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, which no other socket has; None in /proc, where only the addresses tell it from others.
    pub cookie: Option<u64>,
    /// Its TCP state, by its number in the kernel.
    pub state: u8,
    /// The address of this end; IPv4 is always written as such.
    pub local: IpAddr,
    /// The port of this end.
    pub local_port: u16,
    /// The address of the other end, unspecified where there is none; IPv4 is always written as such.
    pub remote: IpAddr,
    /// The port of the other end; 0 after a reset by this end.
    pub remote_port: u16,
}

/// What the kernel says in one netlink message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The number of the request that it answers; 0 where nobody asked.
    pub sequence: u32,
    /// Something changed during the look, which may have missed something.
    pub is_interrupted: bool,
    /// The rest.
    pub content: Content,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A socket.
    Socket(Record),
    /// That was all.
    Done,
    /// The request was refused, for a reason by its number in errno(3).
    Refused(i32),
}

/// What asks the kernel for all connections of a family, to this port where there is but one.
#[must_use]
pub fn request(
    family: Family,
    sequence: u32,
    port: Option<u16>,
    with_time_wait: bool,
) -> [u8; HEADER + REQUEST] {
    let family = match family {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    };
    let states = STATES | u32::from(with_time_wait) << TIME_WAIT;
    let length = u32::try_from(HEADER + REQUEST).unwrap_or_default();
    let mut bytes = [0; HEADER + REQUEST];
    let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
    put(0, &length.to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    put(8, &sequence.to_ne_bytes());
    put(HEADER, &[family, IPPROTO_TCP, 0, 0]);
    put(HEADER + 4, &states.to_ne_bytes());
    put(HEADER + 8, &port.unwrap_or(0).to_be_bytes());
    bytes
}

/// Reads what came in one datagram, or as much of it as is whole.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = Message> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        loop {
            let length = usize::try_from(word(rest, 0)?).ok()?;
            let message = rest.get(..length).filter(|message| message.len() >= HEADER)?;
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            if let Some(message) = read(message) {
                return Some(message);
            }
        }
    })
}

/// Reads one message; None where it says nothing to us.
fn read(message: &[u8]) -> Option<Message> {
    let body = message.get(HEADER..)?;
    let error = || word(body, 0).map_or(0, |errno| errno.cast_signed().saturating_neg());
    let content = match half(message, 4)? {
        NLMSG_ERROR => Content::Refused(error()),
        // What went wrong on the way is said at the end.
        NLMSG_DONE if error() > 0 => Content::Refused(error()),
        NLMSG_DONE => Content::Done,
        SOCK_DIAG_BY_FAMILY => Content::Socket(describe(body)?),
        _ => return None,
    };
    let is_interrupted = half(message, 6)? & NLM_F_DUMP_INTR != 0;
    Some(Message { sequence: word(message, 8)?, is_interrupted, content })
}

/// Reads a `struct inet_diag_msg`.
fn describe(body: &[u8]) -> Option<Record> {
    let body = body.get(..DESCRIPTION)?;
    let address = |at: usize| match *body.first()? {
        AF_INET => Some(IpAddr::from(*body.get(at..)?.first_chunk::<4>()?)),
        AF_INET6 => Some(IpAddr::from(*body.get(at..)?.first_chunk::<16>()?).to_canonical()),
        _ => None,
    };
    let port = |at: usize| Some(u16::from_be_bytes(*body.get(at..)?.first_chunk()?));
    Some(Record {
        cookie: Some(u64::from(word(body, 44)?) | u64::from(word(body, 48)?) << 32),
        state: *body.get(1)?,
        local: address(8)?,
        local_port: port(4)?,
        remote: address(24)?,
        remote_port: port(6)?,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Reads the whole lines of a piece of /proc/net/tcp or tcp6, and says how many bytes they are; what follows has no end
/// yet.
pub fn table(bytes: &[u8]) -> (impl Iterator<Item = Record>, usize) {
    let length = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = bytes.get(..length).unwrap_or_default().split(|byte| *byte == b'\n');
    (lines.filter_map(line), length)
}

/// Reads a line of proc_pid_net(5): `sl: local:port remote:port state …`, all in hexadecimal.
fn line(line: &[u8]) -> Option<Record> {
    let mut fields = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    fields.next()?.strip_suffix(':')?; // the first line is a heading
    let (local, local_port) = end(fields.next()?)?;
    let (remote, remote_port) = end(fields.next()?)?;
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    Some(Record { cookie: None, state, local, local_port, remote, remote_port })
}

/// Reads an address and a port. An address is printed in words, each as a number of this machine.
pub(crate) fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            IpAddr::V6(Ipv6Addr::from(*words.as_flattened().first_chunk::<16>()?)).to_canonical()
        }
        _ => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

/// The connections that have been seen.
#[derive(Debug)]
pub struct Known {
    traffic: Traffic,
    /// The end of every connection is told.
    ends_are_told: bool,
    seen: Sorted<Key, Seen>,
    /// How many looks are complete. Whom the first shows was there before.
    looks: u32,
    /// The ports that we made our own connections from, and where the next one goes.
    own: Vec<u16>,
    next: usize,
}

/// What tells a connection from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Cookie(u64),
    Ends(IpAddr, u16, IpAddr, u16),
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
struct Seen {
    state: u8,
    /// How many looks had been complete when it was shown last.
    look: u32,
    /// Its end will be told: it is not forgotten before.
    stays: bool,
}

impl Known {
    /// Nothing has been seen yet. `ends_are_told` says that [`Known::gone`] will hear of every end.
    #[must_use]
    pub fn new(traffic: &Traffic, ends_are_told: bool) -> Known {
        let mut traffic = traffic.clone();
        for address in &mut traffic.ignore {
            *address = address.to_canonical();
        }
        Known { traffic, ends_are_told, seen: Sorted::default(), looks: 0, own: Vec::new(), next: 0 }
    }

    /// How many looks are complete.
    #[must_use]
    pub fn looks(&self) -> u32 {
        self.looks
    }

    /// How many connections are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.seen.len()
    }

    /// Takes in a piece of a look and says whether somebody new is in it. The first look has nobody new.
    pub fn look(&mut self, records: impl IntoIterator<Item = Record>) -> bool {
        records.into_iter().fold(false, |new, record| self.show(&record) | new)
    }

    fn show(&mut self, record: &Record) -> bool {
        if !self.is_to_us(record) {
            return false;
        }
        let is_established = record.state != SYN_RECV; // before that there is no socket whose end could be told
        let now = Seen {
            state: record.state,
            look: self.looks,
            stays: self.ends_are_told && is_established && record.state != TIME_WAIT,
        };
        let is_new = match self.seen.insert(record.key(), now) {
            None => true,
            Some(before) => {
                if before.state == CLOSE {
                    self.seen.insert(record.key(), Seen { state: CLOSE, stays: false, ..now }); // its end was told
                }
                // The same addresses again, before their time was over.
                before.state == TIME_WAIT && record.state != TIME_WAIT
            }
        };
        is_new && self.counts(record)
    }

    /// A look is complete: forgets whom nobody shows any more.
    pub fn complete(&mut self) {
        self.looks = self.looks.saturating_add(1);
        let looks = self.looks;
        self.seen.retain_mut(|seen| seen.stays || looks.saturating_sub(seen.look) <= MISSED);
    }

    /// Takes in an end that was told, and says whether it is that of somebody whom no look has shown: a short connection.
    pub fn gone(&mut self, record: &Record) -> bool {
        if !self.is_to_us(record) {
            return false;
        }
        let over = Seen { state: CLOSE, look: self.looks, stays: false };
        self.seen.insert(record.key(), over).is_none() && self.counts(record)
    }

    /// Some ends were not told, or none will be from here on. Says whether that may have hidden somebody.
    pub fn missed_ends(&mut self, are_told: bool) -> bool {
        self.ends_are_told = are_told;
        self.seen.retain_mut(|seen| {
            seen.stays = false;
            true
        });
        self.looks > 0
    }

    /// Begins again with a first look: another source has other names for what was seen.
    pub fn begin_again(&mut self) {
        self.seen.clear();
        self.looks = 0;
        self.ends_are_told = false;
    }

    /// Leaves out a connection that we make to ourselves from this port.
    pub fn own(&mut self, local_port: u16) {
        match self.own.get_mut(self.next) {
            Some(oldest) => *oldest = local_port,
            None => self.own.push(local_port),
        }
        self.next = (self.next + 1) % OWN;
    }

    /// It is the end of a connection, not a socket that listens, at one of the ports.
    fn is_to_us(&self, record: &Record) -> bool {
        self.traffic.ports.contains(&record.local_port) && !record.remote.is_unspecified()
    }

    /// Somebody counts who comes after the first look, unless they are left out.
    fn counts(&self, record: &Record) -> bool {
        let is_here = record.remote.is_loopback() || record.remote == record.local;
        let is_own = is_here && self.own.contains(&record.remote_port);
        let is_ignored = self.traffic.ignore.contains(&record.remote);
        let is_left_out = is_own || is_ignored || (record.remote.is_loopback() && !self.traffic.loopback);
        self.looks > 0 && !is_left_out
    }
}

impl Record {
    fn key(&self) -> Key {
        match self.cookie {
            Some(cookie) => Key::Cookie(cookie),
            None => Key::Ends(self.local, self.local_port, self.remote, self.remote_port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESTABLISHED: u8 = 1;
    const FIN_WAIT2: u8 = 5;
    /// Who connects, where nothing else is said.
    const CLIENT: &str = "10.0.0.7";

    fn record(cookie: u64, state: u8, local_port: u16, remote: &str) -> Record {
        let remote = remote.parse::<IpAddr>().expect("an address").to_canonical();
        let local = "10.0.0.1".parse().expect("an address");
        Record { cookie: Some(cookie), state, local, local_port, remote, remote_port: 40_000 }
    }

    /// A connection to the port that is watched.
    fn client(cookie: u64) -> Record {
        record(cookie, ESTABLISHED, 80, CLIENT)
    }

    /// As the kernel says it, with an attribute behind.
    fn bytes(sequence: u32, record: &Record) -> Vec<u8> {
        let mut body = vec![0; DESCRIPTION];
        let mut put = |at: usize, what: &[u8]| body[at..at + what.len()].copy_from_slice(what);
        for (at, address) in [(8, record.local), (24, record.remote)] {
            match address {
                IpAddr::V4(address) => put(at, &address.octets()),
                IpAddr::V6(address) => put(at, &address.octets()),
            }
        }
        put(0, &[if record.local.is_ipv4() { AF_INET } else { AF_INET6 }, record.state]);
        put(4, &record.local_port.to_be_bytes());
        put(6, &record.remote_port.to_be_bytes());
        put(44, &record.cookie.expect("a cookie").to_le_bytes());
        body.extend_from_slice(&[5, 0, 8, 0, 0, 0, 0, 0]);
        message(SOCK_DIAG_BY_FAMILY, 2, sequence, &body)
    }

    fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).expect("short");
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn traffic() -> Traffic {
        Traffic { ports: vec![80, 8080], loopback: false, ignore: Vec::new() }
    }

    /// After a first look that shows these.
    fn known(traffic: &Traffic, ends_are_told: bool, there: &[Record]) -> Known {
        let mut known = Known::new(traffic, ends_are_told);
        assert!(!known.look(there.iter().copied()), "whom the first look shows is not new");
        known.complete();
        known
    }

    #[test]
    fn a_datagram_is_read_as_far_as_it_is_whole() {
        let six = Record {
            local: "2001:db8::1".parse().expect("an address"),
            remote: "2001:db8::2".parse().expect("an address"),
            ..record(u64::MAX - 1, SYN_RECV, 8080, CLIENT)
        };
        let expected = [
            Content::Socket(client(7)),
            Content::Socket(six),
            Content::Refused(2),
            Content::Refused(12),
            Content::Done,
        ];
        let pieces = [
            bytes(9, &client(7)),
            message(1, 0, 9, b"noop"),
            bytes(9, &six),
            message(NLMSG_ERROR, 0, 9, &(-2_i32).to_ne_bytes()),
            message(NLMSG_DONE, 0, 9, &(-12_i32).to_ne_bytes()),
            message(NLMSG_DONE, NLM_F_DUMP_INTR, 9, &0_i32.to_ne_bytes()),
        ];
        let whole = pieces.concat();
        let read = |bytes| messages(bytes).collect::<Vec<_>>();
        let all = read(&whole);
        assert_eq!(all.iter().map(|message| message.content).collect::<Vec<_>>(), expected);
        assert!(all.iter().all(|message| message.sequence == 9));
        assert_eq!(all.iter().filter(|message| message.is_interrupted).count(), 1);
        for length in 0..whole.len() {
            let some = read(&whole[..length]);
            assert_eq!(some[..], all[..some.len()], "cut at {length}");
            assert!(some.len() < all.len());
        }
    }

    #[test]
    fn what_makes_no_sense_is_skipped() {
        for garbage in [&[0; 64][..], &[0xff; 64], &[16, 0, 0, 0], &[3; 17], b""] {
            assert_eq!(messages(garbage).count(), 0);
        }
        let mut family = bytes(1, &client(1));
        family[HEADER] = 1;
        let short = message(SOCK_DIAG_BY_FAMILY, 0, 1, &[2; DESCRIPTION - 1]);
        assert_eq!(messages(&[family, short, bytes(1, &client(2))].concat()).count(), 1);
        for none in [
            "",
            "x\n",
            "1: 0100007F:0050\n",
            "1: 0100007F:0050 0G00007F:0050 01\n",
            "1: 0100007F:0050 é: 01\n",
        ] {
            assert_eq!(table(none.as_bytes()).0.count(), 0, "{none:?}");
        }
    }

    #[test]
    fn a_request_asks_for_what_may_be_a_connection_to_us() {
        let bytes = request(Family::V6, 7, Some(8080), false);
        assert_eq!((bytes.len(), bytes[16], bytes[17]), (72, 10, 6));
        assert_eq!(bytes[24..26], [0x1f, 0x90]);
        assert_eq!(word(&bytes, 20), Some(0b1011_0011_1010));
        assert_eq!(word(&request(Family::V4, 7, None, true), 20), Some(0b1011_0111_1010));
    }

    const TCP: &str = concat!(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n",
        "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 577 1 0\n",
        "   1: 0100000A:0050 0700000A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 578 1 0\n",
    );
    const TCP6: &str = concat!(
        "  sl  local_address                         remote_address                        st tx_queue\n",
        "   0: 0000000000000000FFFF00000100000A:0050 0000000000000000FFFF00000700000A:9C40 06 00000000\n",
        "  12: B80D0120000000000000000001000000:1F90 B80D0120000000000000000002000000:9C40 03 00000000\n",
    );

    #[test]
    #[cfg(target_endian = "little")]
    fn the_tables_of_proc_are_read_line_by_line() {
        let read = |text: &str| table(text.as_bytes()).0.collect::<Vec<_>>();
        let there = Record { cookie: None, ..client(0) };
        assert_eq!(read(TCP)[1..], [there]);
        assert!(read(TCP)[0].remote.is_unspecified());
        let six = Record {
            state: SYN_RECV,
            local: "2001:db8::1".parse().expect("an address"),
            local_port: 8080,
            remote: "2001:db8::2".parse().expect("an address"),
            ..there
        };
        assert_eq!(read(TCP6), [Record { state: TIME_WAIT, ..there }, six], "IPv4 is written as such");
        for text in [TCP, TCP6] {
            for cut in 0..=text.len() {
                let (records, whole) = table(&text.as_bytes()[..cut]);
                let mut records = records.collect::<Vec<_>>();
                records.extend(read(&text[whole..]));
                assert_eq!(records, read(text), "cut at {cut}");
            }
        }
    }

    #[test]
    fn only_who_was_not_there_before_is_new() {
        for ends_are_told in [false, true] {
            let mut known = known(&traffic(), ends_are_told, &[client(1)]);
            assert!(!known.look([client(1)]));
            assert!(known.look([client(1), client(2)]));
            assert!(!known.look([client(1), client(2)]), "once");
        }
    }

    #[test]
    fn who_is_left_out_is_not_new() {
        let mut watched = traffic();
        watched.ignore =
            vec!["::ffff:10.0.0.9".parse().expect("an address"), "fd00::9".parse().expect("one")];
        let out = [
            record(2, ESTABLISHED, 81, CLIENT),
            record(3, ESTABLISHED, 80, "127.0.0.6"),
            record(4, ESTABLISHED, 80, "::1"),
            record(5, ESTABLISHED, 80, "::ffff:127.1.2.3"),
            record(6, ESTABLISHED, 80, "10.0.0.9"),
            record(7, ESTABLISHED, 80, "::ffff:10.0.0.9"),
            record(8, ESTABLISHED, 80, "fd00::9"),
            record(9, 10, 80, "0.0.0.0"),
            record(10, 10, 80, "::"),
        ];
        let mut watching = known(&watched, true, &[]);
        assert!(!watching.look(out));
        let mut watching = known(&watched, true, &[]);
        for record in &out {
            assert!(!watching.gone(record), "{record:?}");
        }
        watched.loopback = true;
        for record in &out[1..4] {
            assert!(known(&watched, true, &[]).look([*record]), "{record:?}");
        }
    }

    #[test]
    fn our_own_are_not_new() {
        let here = |cookie, remote: &str, port| Record { remote_port: port, ..record(cookie, 1, 80, remote) };
        let mut known = known(&Traffic { loopback: true, ..traffic() }, true, &[]);
        known.own(50_000);
        known.own(50_001);
        assert!(!known.look([here(1, "127.0.0.1", 50_000), here(2, "10.0.0.1", 50_001)]));
        assert!(known.look([here(3, "127.0.0.1", 50_002)]));
        assert!(known.look([here(4, CLIENT, 50_000)]), "somebody else's port of that number");
        for port in 0..256 {
            known.own(port);
        }
        assert!(known.look([here(5, "127.0.0.1", 50_000)]), "that was long ago");
        assert_eq!(known.own.len(), OWN);
    }

    #[test]
    fn the_end_of_who_was_never_seen_was_a_short_connection() {
        let mut known = known(&traffic(), true, &[client(1)]);
        assert!(!known.gone(&client(1)));
        let reset = Record { remote_port: 0, state: CLOSE, ..client(2) };
        assert!(known.gone(&reset));
        assert!(!known.gone(&record(3, CLOSE, 80, "0.0.0.0")), "who listened");
        assert!(!known.look([Record { state: FIN_WAIT2, ..client(2) }]), "it was new already");
    }

    #[test]
    fn ends_during_the_first_look_say_nothing() {
        let mut known = Known::new(&traffic(), true);
        assert!(!known.gone(&client(1)));
        assert!(!known.missed_ends(true));
        known.complete();
        assert!(known.gone(&client(2)));
        assert!(known.missed_ends(true));
    }

    #[test]
    fn who_is_over_for_everybody_but_its_owner_stays_known() {
        let mut known = known(&traffic(), true, &[client(1)]);
        for _ in 0..100 {
            known.complete();
        }
        assert!(!known.gone(&client(1)));
        for _ in 0..10 {
            assert!(!known.look([Record { state: FIN_WAIT2, ..client(1) }]), "we closed first");
            known.complete();
        }
        for _ in 0..MISSED {
            assert_eq!(known.kept(), 1);
            known.complete();
        }
        assert_eq!(known.kept(), 0);
    }

    #[test]
    fn what_nobody_shows_is_forgotten() {
        let half_open = record(3, SYN_RECV, 80, CLIENT);
        for ends_are_told in [false, true] {
            let mut known = known(&traffic(), ends_are_told, &[client(1), half_open]);
            assert!(!known.look([client(1)]));
            for _ in 0..3 {
                known.complete();
            }
            assert_eq!(known.kept(), usize::from(ends_are_told));
            known.missed_ends(true);
            assert_eq!(known.kept(), usize::from(ends_are_told));
            known.complete();
            assert_eq!(known.kept(), 0);
        }
    }

    #[test]
    fn one_look_may_miss_somebody() {
        let mut known = known(&traffic(), false, &[client(1)]);
        known.complete();
        assert!(!known.look([client(1)]));
    }

    #[test]
    fn a_pair_of_ends_may_come_again() {
        let over = Record { cookie: None, state: TIME_WAIT, ..client(0) };
        let mut known = known(&traffic(), false, &[over]);
        assert!(!known.look([over]));
        assert!(known.look([Record { state: ESTABLISHED, ..over }]));
        assert!(!known.look([over]), "the same one");
    }
}
