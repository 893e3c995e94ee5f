//! Which addresses a host name has: /etc/hosts, and a DNS client that only asks (RFC 1035).
//!
//! Pure: texts and datagrams go in, names and questions come out. The C library's resolver is five times as large, and
//! takes its own time.
//!
//! Of an answer every address is taken, whatever name it stands with: a server that follows aliases for us lists them
//! one after the other, and nothing else. So no name is ever read, only skipped, and no pointer followed.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// How many servers are asked at most, as resolv.conf(5) says; and the most that it takes of these options.
const MOST_SERVERS: usize = 3;
const MOST_DOTS: u64 = 15;
const MOST_SECONDS: u64 = 30;
const MOST_ATTEMPTS: u64 = 5;
/// The longest name, without the dot at its end, and the longest part of one.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// The lengths of a datagram's head, and of what follows a record's name: its type, class, age and length.
const HEAD: usize = 12;
const RECORD: usize = 10;
/// What a datagram's flags say (RFC 1035, section 4.1.1).
const IS_ANSWER: u8 = 0x80;
const IS_CUT: u8 = 0x02;
const CODE: u8 = 0x0f;
/// The codes of an answer that says something of the name: here it is, or there is no such name.
const NO_ERROR: u8 = 0;
const NO_SUCH_NAME: u8 = 3;
/// Types of records, and the one class.
const A: u8 = 1;
const AAAA: u8 = 28;
const INTERNET: u8 = 1;

/// The addresses that /etc/hosts has for a name, in its order.
#[must_use]
pub fn hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = without_comment(line).split_ascii_whitespace();
        let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
        if words.any(|word| word.eq_ignore_ascii_case(name)) {
            found.extend(address);
        }
    }
    found
}

fn without_comment(line: &str) -> &str {
    line.split(['#', ';']).next().unwrap_or_default()
}

/// What /etc/resolv.conf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `nameserver`: whom to ask, one after the other.
    pub servers: Vec<IpAddr>,
    /// `search`: the domains that a name may be in.
    search: Vec<String>,
    /// `options ndots:N`: a name with fewer dots is looked for in the domains first.
    ndots: usize,
    /// `options timeout:N`: how long to wait for a server.
    pub timeout: Duration,
    /// `options attempts:N`: how often each is asked.
    pub attempts: usize,
}

impl Settings {
    /// Reads the text of /etc/resolv.conf; what it does not say is as resolv.conf(5) has it.
    #[must_use]
    pub fn read(text: &str) -> Settings {
        let (mut servers, mut search) = (Vec::new(), Vec::new());
        let (mut ndots, mut seconds, mut attempts) = (1, 5, 2);
        for line in text.lines() {
            let mut words = without_comment(line).split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if servers.len() < MOST_SERVERS => {
                    servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
                }
                Some("search" | "domain") => {
                    let domains = words.map(|domain| domain.trim_matches('.'));
                    search = domains.filter(|domain| !domain.is_empty()).map(str::to_owned).collect();
                }
                Some("options") => {
                    for (name, value) in words.filter_map(|word| word.split_once(':')) {
                        let Ok(value) = value.parse() else { continue };
                        match name {
                            "ndots" => ndots = MOST_DOTS.min(value),
                            "timeout" => seconds = value.clamp(1, MOST_SECONDS),
                            "attempts" => attempts = value.clamp(1, MOST_ATTEMPTS),
                            _ => {}
                        }
                    }
                }
                Some(_) | None => {}
            }
        }
        if servers.is_empty() {
            servers.push(Ipv4Addr::LOCALHOST.into());
        }
        let small = |number| usize::try_from(number).unwrap_or_default();
        let timeout = Duration::from_secs(seconds);
        Settings { servers, search, ndots: small(ndots), timeout, attempts: small(attempts) }
    }

    /// The names that a host may have in full, in the order in which they are to be looked up.
    #[must_use]
    pub fn names(&self, host: &str) -> Vec<String> {
        if let Some(whole) = host.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let mut names: Vec<_> = self.search.iter().map(|domain| format!("{host}.{domain}")).collect();
        let dots = host.bytes().filter(|byte| *byte == b'.').count();
        let place = if dots < self.ndots { names.len() } else { 0 };
        names.insert(place, host.to_owned());
        names
    }
}

/// Both questions for one name, and what has been answered.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The questions that are still open, as they are sent.
    open: Vec<Vec<u8>>,
    /// The addresses, IPv4 first.
    addresses: Vec<IpAddr>,
}

impl Lookup {
    /// Asks for the addresses of a name; None where no host can have it. By the number an answer is told from others.
    #[must_use]
    pub fn new(name: &str, [high, low]: [u8; 2]) -> Option<Lookup> {
        let mut open = Vec::new();
        for kind in [A, AAAA] {
            // One question, and the server is to follow wherever it leads.
            let mut question = vec![high, low.wrapping_add(kind), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for label in name.split('.') {
                if label.is_empty() || label.len() > LONGEST_LABEL || name.len() > LONGEST_NAME {
                    return None;
                }
                question.extend(u8::try_from(label.len()));
                question.extend(label.as_bytes());
            }
            question.extend([0, 0, kind, 0, INTERNET]);
            open.push(question);
        }
        Some(Lookup { open, addresses: Vec::new() })
    }

    /// What is to be sent, each in a datagram; nothing where all is known.
    #[must_use]
    pub fn open(&self) -> &[Vec<u8>] {
        &self.open
    }

    /// What has been found so far.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Takes in a datagram. False says that the server has no answer, and that another may have one.
    pub fn read(&mut self, datagram: &[u8]) -> bool {
        let Some(place) = self.open.iter().position(|question| is_answer(datagram, question)) else {
            return true; // to something else
        };
        let [_, _, flags, code, _, _, high, low] = *datagram.first_chunk().unwrap_or(&[0; 8]);
        let (length, before) = (self.open.get(place).map_or(0, Vec::len), self.addresses.len());
        self.read_records(datagram.get(length..).unwrap_or_default(), u16::from_be_bytes([high, low]));
        let is_known = match code & CODE {
            NO_ERROR => flags & IS_CUT == 0 || self.addresses.len() > before,
            NO_SUCH_NAME => true,
            _ => false,
        };
        if is_known {
            self.open.swap_remove(place);
        }
        is_known
    }

    /// Takes in the addresses of so many records, as far as they are whole. What follows may be the servers' own addresses.
    fn read_records(&mut self, mut rest: &[u8], count: u16) {
        for _ in 0..count {
            let Some((head, data)) = after_name(rest).and_then(|record| record.split_at_checked(RECORD))
            else {
                return;
            };
            let [.., high, low] = *head else { return };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let Some((data, next)) = data.split_at_checked(length) else { return };
            let place = self.addresses.partition_point(IpAddr::is_ipv4);
            match (head, <[u8; 4]>::try_from(data), <[u8; 16]>::try_from(data)) {
                ([0, A, 0, INTERNET, ..], Ok(address), _) => self.addresses.insert(place, address.into()),
                ([0, AAAA, 0, INTERNET, ..], _, Ok(address)) => self.addresses.push(address.into()),
                _ => {}
            }
            rest = next;
        }
    }
}

/// An answer has the number of its question and repeats it, in letters of either case.
fn is_answer(datagram: &[u8], question: &[u8]) -> bool {
    datagram.get(..2) == question.get(..2)
        && datagram.get(2).is_some_and(|flags| flags & IS_ANSWER != 0)
        && datagram
            .get(HEAD..question.len())
            .zip(question.get(HEAD..))
            .is_some_and(|(repeated, asked)| repeated.eq_ignore_ascii_case(asked))
}

/// What follows a name: it ends with an empty label, or with a pointer to where the rest of it is.
fn after_name(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, after) = rest.split_first()?;
        match usize::from(*length) {
            0 => return Some(after),
            length @ 1..=LONGEST_LABEL => rest = after.get(length..)?,
            _ => return after.get(1..),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &[&str]) -> Vec<IpAddr> {
        text.iter().map(|address| address.parse().expect("an address")).collect()
    }

    /// Both questions for `web.example`.
    fn lookup() -> Lookup {
        Lookup::new("web.example", [1, 2]).expect("a name")
    }

    /// The answer to a question: the flags and the code, how many records, and these.
    fn answer(question: &[u8], flags: [u8; 2], count: u8, records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = question.to_vec();
        bytes[2..4].copy_from_slice(&flags);
        bytes[7] = count;
        bytes.extend(records.concat());
        bytes
    }

    const FOUND: [u8; 2] = [0x81, 0x80];
    /// Its name is the one that was asked for: a pointer.
    const RECORD_A: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x07";
    const RECORD_AAAA: &[u8] = b"\xc0\x0c\0\x1c\0\x01\0\0\0\x3c\0\x10\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07";
    /// An alias, whose data ends with a pointer; and the address of what it stands for, with that name in full.
    const ALIAS: &[u8] = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01b\xc0\x10";
    const BEHIND_IT: &[u8] = b"\x01b\x07example\0\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x08";

    #[test]
    fn hosts_are_read_as_they_are_written() {
        let text =
            "127.0.0.1\tlocalhost # web\n10.0.0.1 other  Web.example web\nfd00::1 web\nnonsense web\n\nx";
        assert_eq!(hosts(text, "web"), addresses(&["10.0.0.1", "fd00::1"]));
        assert_eq!(hosts(text, "WEB.EXAMPLE"), addresses(&["10.0.0.1"]));
        assert!(hosts(text, "we").is_empty());
        assert!(hosts(text, "10.0.0.1").is_empty());
    }

    #[test]
    fn settings_are_those_of_resolv_conf() {
        let text = "domain old\nnameserver 10.96.0.10 # here\n; search no\nnameserver fd00::a\nnameserver x\nsearch a.b. . b\n\
            options ndots:5 timeout:2 attempts:3 rotate edns0 ndots:x\nnameserver 1.1.1.1\nnameserver 1.1.1.2\n";
        let expected = Settings {
            servers: addresses(&["10.96.0.10", "fd00::a", "1.1.1.1"]),
            search: vec!["a.b".to_owned(), "b".to_owned()],
            ndots: 5,
            timeout: Duration::from_secs(2),
            attempts: 3,
        };
        assert_eq!(Settings::read(text), expected);
        let default = Settings {
            servers: addresses(&["127.0.0.1"]),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        assert_eq!(Settings::read(""), default);
        let most = Settings::read("options ndots:99 timeout:99 attempts:99");
        assert_eq!((most.ndots, most.timeout.as_secs(), most.attempts), (15, 30, 5));
        let least = Settings::read("options ndots:0 timeout:0 attempts:0");
        assert_eq!((least.ndots, least.timeout.as_secs(), least.attempts), (0, 1, 1));
    }

    #[test]
    fn names_are_tried_in_the_order_of_resolv_conf() {
        let settings = Settings::read("search a b\noptions ndots:2");
        assert_eq!(settings.names("web"), ["web.a", "web.b", "web"]);
        assert_eq!(settings.names("web.x"), ["web.x.a", "web.x.b", "web.x"]);
        assert_eq!(settings.names("web.x.y"), ["web.x.y", "web.x.y.a", "web.x.y.b"]);
        assert_eq!(settings.names("web."), ["web"]);
        assert_eq!(Settings::read("").names("web"), ["web"]);
    }

    #[test]
    fn both_kinds_of_addresses_are_asked_for() {
        let lookup = lookup();
        assert_eq!(lookup.open()[0], b"\x01\x03\x01\0\0\x01\0\0\0\0\0\0\x03web\x07example\0\0\x01\0\x01");
        assert_eq!(lookup.open()[1], b"\x01\x1e\x01\0\0\x01\0\0\0\0\0\0\x03web\x07example\0\0\x1c\0\x01");
        for name in ["", "a..b", ".a", "a."] {
            assert!(Lookup::new(name, [0, 0]).is_none(), "{name}");
        }
        assert!(Lookup::new(&"a".repeat(63), [0, 0]).is_some());
        assert!(Lookup::new(&"a".repeat(64), [0, 0]).is_none());
        assert!(Lookup::new(&"a.".repeat(126).replace("a.a", "aa"), [0, 0]).is_none());
        assert!(Lookup::new(&format!("{}a", "a.".repeat(126)), [0, 0]).is_some());
        assert!(Lookup::new(&format!("{}aa", "a.".repeat(126)), [0, 0]).is_none());
    }

    #[test]
    fn addresses_are_taken_from_both_answers() {
        let mut lookup = lookup();
        let [a, aaaa] = [lookup.open()[0].clone(), lookup.open()[1].clone()];
        assert!(lookup.read(&answer(&aaaa, FOUND, 1, &[RECORD_AAAA])));
        let in_capitals = a.to_ascii_uppercase();
        assert!(lookup.read(&answer(&in_capitals, FOUND, 3, &[ALIAS, BEHIND_IT, RECORD_A])));
        assert_eq!(lookup.addresses(), addresses(&["10.0.0.8", "10.0.0.7", "fd00::7"]));
        assert!(lookup.open().is_empty());
        assert!(lookup.read(&answer(&a, FOUND, 1, &[RECORD_A])), "once");
        assert_eq!(lookup.addresses().len(), 3);
    }

    #[test]
    fn what_answers_something_else_is_left_alone() {
        let a = lookup().open()[0].clone();
        let right = answer(&a, FOUND, 1, &[RECORD_A]);
        let with = |place: usize, byte: u8| {
            let mut bytes = right.clone();
            bytes[place] = byte;
            bytes
        };
        let others = [
            with(0, 9),
            with(1, 9),
            with(2, 1), // a question
            with(13, b'v'),
            with(a.len() - 3, 15),
            with(a.len() - 1, 3),
            a[..a.len() - 1].to_vec(),
            Vec::new(),
        ];
        for bytes in &others {
            let mut lookup = lookup();
            assert!(lookup.read(bytes), "{bytes:?}");
            assert_eq!((lookup.open().len(), lookup.addresses()), (2, &[][..]), "{bytes:?}");
        }
    }

    #[test]
    fn only_a_server_that_knows_ends_a_question() {
        let a = lookup().open()[0].clone();
        let heard = |flags: [u8; 2], count: u8, records: &[&[u8]]| {
            let mut lookup = lookup();
            let knows = lookup.read(&answer(&a, flags, count, records));
            (knows, lookup.open().len(), lookup.addresses().len())
        };
        assert_eq!(heard(FOUND, 0, &[]), (true, 1, 0));
        assert_eq!(heard([0x81, 0x83], 0, &[]), (true, 1, 0), "there is no such name");
        assert_eq!(heard([0x81, 0x82], 0, &[]), (false, 2, 0), "the server has failed");
        assert_eq!(heard([0x81, 0x85], 0, &[]), (false, 2, 0), "it refuses");
        assert_eq!(heard([0x83, 0x80], 2, &[RECORD_A]), (true, 1, 1), "cut, and yet an address");
        assert_eq!(heard([0x83, 0x80], 1, &[]), (false, 2, 0), "cut before the first");
        assert_eq!(heard(FOUND, 1, &[RECORD_A, BEHIND_IT]), (true, 1, 1), "what follows is not the answer");
    }

    #[test]
    fn an_answer_is_read_as_far_as_it_is_whole() {
        let question = lookup().open()[0].clone();
        let whole = answer(&question, FOUND, 3, &[RECORD_A, ALIAS, BEHIND_IT]);
        for length in 0..whole.len() {
            let mut lookup = lookup();
            assert!(lookup.read(&whole[..length]));
            let first = question.len() + RECORD_A.len();
            assert_eq!(lookup.addresses().len(), usize::from(length >= first), "cut at {length}");
        }
        let short: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x03\x0a\0\0";
        let other_class: &[u8] = b"\0\0\x01\0\x03\0\0\0\x3c\0\x04\x0a\0\0\x09";
        let endless: &[u8] = b"\x3fx";
        for (records, found) in
            [([short, RECORD_A], 1), ([other_class, RECORD_A], 1), ([endless, RECORD_A], 0)]
        {
            let mut lookup = lookup();
            assert!(lookup.read(&answer(&question, FOUND, 9, &records)));
            assert_eq!(lookup.addresses().len(), found, "{records:?}");
        }
    }
}
