//! `sexton inspect fds`: what a process has open.

use super::net::Socket;
use crate::table::{Column, Side, Table, column};

/// Flags in fdinfo, in octal there (proc_pid_fdinfo(5)); the same on every machine that we build for but for the last.
const ACCESS: u64 = 0o3;
const APPEND: u64 = 0o2000;
const NONBLOCK: u64 = 0o4000;
const CLOEXEC: u64 = 0o2_000_000;

/// How many processes at the other end of a pipe are named to people.
const MOST_ENDS: usize = 3;

/// Names in fdinfo of what is worth telling, the word for it, and how the numbers are written.
const WATCHED: [(&str, &str, u32); 3] =
    [("tfd:", "watches", 10), ("eventfd-count:", "count", 16), ("Pid:", "process", 10)];

const COLUMNS: &[Column] = &[
    column("FD", "fd", Side::Right),
    column("TYPE", "type", Side::Left),
    column("FLAGS", "flags", Side::Left),
    column("POSITION", "position", Side::Right),
    column("", "inode", Side::Right),
    column("", "pids", Side::Left),
    column("", "protocol", Side::Left),
    column("", "state", Side::Left),
    column("", "local", Side::Left),
    column("", "remote", Side::Left),
    column("WHAT", "what", Side::Middle),
];

/// What a link in /proc/PID/fd leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    File(&'a [u8]),
    Pipe(u64),
    Socket(u64),
    /// eventfd, epoll, a pidfd, …
    Other(&'a [u8]),
}

/// A process at one end of a pipe, or with a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u64,
    pub(crate) inode: u64,
    pub(crate) is_pipe: bool,
    pub(crate) reads: bool,
    pub(crate) writes: bool,
}

/// What a process has open under one number.
#[derive(Clone, Debug)]
pub(crate) struct Descriptor {
    pub(crate) number: u64,
    /// Where its link leads.
    pub(crate) link: Vec<u8>,
    /// What fdinfo says; empty where it cannot be read.
    pub(crate) info: Vec<u8>,
}

/// Understands a link's text.
pub(crate) fn target(link: &[u8]) -> Target<'_> {
    let inode = |kind: &[u8]| {
        let number = link.strip_prefix(kind)?.strip_suffix(b"]")?;
        std::str::from_utf8(number).ok()?.parse().ok()
    };
    if let Some(inode) = inode(b"pipe:[") {
        return Target::Pipe(inode);
    }
    if let Some(inode) = inode(b"socket:[") {
        return Target::Socket(inode);
    }
    match link.strip_prefix(b"anon_inode:") {
        // `[eventpoll]`, `inotify`
        Some(name) => {
            Target::Other(name.strip_prefix(b"[").and_then(|name| name.strip_suffix(b"]")).unwrap_or(name))
        }
        None => Target::File(link),
    }
}

/// The numbers behind a name in fdinfo, in each of its lines.
fn numbers(info: &[u8], name: &str, radix: u32) -> Vec<u64> {
    let lines = info.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(name.as_bytes()));
    let word = |line| std::str::from_utf8(line).ok()?.split_ascii_whitespace().next();
    lines.filter_map(|line| u64::from_str_radix(word(line)?, radix).ok()).collect()
}

/// What is known beside the descriptors themselves.
pub(crate) struct Known {
    pub(crate) sockets: Vec<Socket>,
    /// The ends of all pipes that can be seen.
    pub(crate) holders: Vec<Holder>,
    /// Every process could be asked.
    pub(crate) is_complete: bool,
}

/// What there is; a process is called as `name` says.
pub(crate) fn table(
    descriptors: &[Descriptor],
    known: &Known,
    name: impl Fn(u64) -> Vec<u8>,
    json: bool,
) -> Table {
    let mut table = Table::new(COLUMNS, json);
    for Descriptor { number, link, info } in descriptors {
        let flags = numbers(info, "flags:", 8).first().copied();
        let (mut inode, mut pids, mut socket) = (None, Vec::new(), None);
        let (mut what, mut kind, mut position) = (Vec::new(), &b"file"[..], None);
        match target(link) {
            Target::File(path) => {
                if path.starts_with(b"/dev/") {
                    kind = b"device";
                }
                what = path.to_vec();
                position = Some(numbers(info, "pos:", 10).first().copied());
            }
            Target::Pipe(own) => {
                (kind, inode) = (b"pipe", Some(own));
                let access = flags.map(|flags| flags & ACCESS);
                pids = other_ends(&known.holders, own, access);
                what = ends_of_pipe(&pids, access, known.is_complete, &name);
            }
            Target::Socket(own) => {
                (kind, inode) = (b"socket", Some(own));
                socket = known.sockets.iter().find(|socket| socket.inode == own);
                what = match socket {
                    Some(socket) => socket.describe(),
                    None => b"netlink, raw, packet, or of another network".to_vec(),
                };
            }
            Target::Other(other) => {
                kind = other;
                for (name, word, radix) in WATCHED {
                    for (place, number) in numbers(info, name, radix).into_iter().enumerate() {
                        what.extend_from_slice(if place == 0 { word.as_bytes() } else { b"," });
                        what.extend_from_slice(format!(" {number}").as_bytes());
                    }
                }
            }
        }
        table.number(Some(*number));
        table.text(kind);
        match flags {
            Some(flags) => table.texts(&words_of(flags)),
            None => table.none("?"),
        }
        match position {
            Some(position) => table.number(position),
            None => table.none("-"),
        }
        table.number(inode);
        table.numbers(&pids);
        let (protocol, state) = socket.map_or(("", ""), |socket| (socket.protocol, socket.state));
        let (local, remote) = socket.map_or((&b""[..], &b""[..]), |socket| (&socket.local, &socket.remote));
        for text in [protocol.as_bytes(), state.as_bytes(), local, remote, &what] {
            table.text_or_none(text);
        }
    }
    table
}

fn words_of(flags: u64) -> Vec<&'static [u8]> {
    let mut words: Vec<&[u8]> = vec![match flags & ACCESS {
        0 => b"r",
        1 => b"w",
        _ => b"rw",
    }];
    for (flag, word) in [(APPEND, &b"append"[..]), (NONBLOCK, b"nonblock"), (CLOEXEC, b"cloexec")] {
        if flags & flag != 0 {
            words.push(word);
        }
    }
    words
}

/// Who has the other end of a pipe that is open like this, each once.
fn other_ends(holders: &[Holder], inode: u64, access: Option<u64>) -> Vec<u64> {
    let is_other = |holder: &&Holder| match access {
        Some(0) => holder.writes,
        Some(1) => holder.reads,
        Some(_) | None => true,
    };
    let ends = holders.iter().filter(|holder| holder.is_pipe && holder.inode == inode).filter(is_other);
    let mut pids: Vec<u64> = ends.map(|holder| holder.pid).collect();
    pids.dedup(); // those of one process stand together
    pids
}

fn ends_of_pipe(
    pids: &[u64],
    access: Option<u64>,
    is_complete: bool,
    name: impl Fn(u64) -> Vec<u8>,
) -> Vec<u8> {
    let (by, who) = match access {
        Some(0) => ("from", "writer"),
        Some(1) => ("to", "reader"),
        Some(_) | None => ("with", "other"),
    };
    if pids.is_empty() {
        // Whoever writes to nobody gets SIGPIPE, and whoever reads from nobody the end: that is worth knowing for sure.
        return if is_complete { format!("no {who}") } else { format!("{by} ?") }.into_bytes();
    }
    let mut text = by.as_bytes().to_vec();
    for (place, pid) in pids.iter().take(MOST_ENDS).enumerate() {
        text.extend_from_slice(format!("{} {pid} ", if place == 0 { "" } else { "," }).as_bytes());
        text.extend_from_slice(&name(*pid));
    }
    if pids.len() > MOST_ENDS {
        text.extend_from_slice(format!(", +{}", pids.len() - MOST_ENDS).as_bytes());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::net;

    fn descriptor(number: u64, link: &str, info: &str) -> Descriptor {
        Descriptor { number, link: link.into(), info: info.into() }
    }

    fn holder(pid: u64, inode: u64, reads: bool) -> Holder {
        Holder { pid, inode, is_pipe: true, reads, writes: !reads }
    }

    #[test]
    fn links_are_understood_and_the_broken_are_files() {
        assert_eq!(target(b"pipe:[12]"), Target::Pipe(12));
        assert_eq!(target(b"socket:[12]"), Target::Socket(12));
        assert_eq!(target(b"anon_inode:[eventpoll]"), Target::Other(b"eventpoll"));
        assert_eq!(target(b"anon_inode:inotify"), Target::Other(b"inotify"));
        for file in ["/a", "pipe:[", "pipe:[x]", "socket:[12", "", "net:[4026531840]"] {
            assert_eq!(target(file.as_bytes()), Target::File(file.as_bytes()));
        }
    }

    #[test]
    fn each_kind_says_what_it_is() {
        let line = b" 0: 0100007F:1F90 00000000:0000 0A 0:0 00:0 0 1000 0 4711";
        let descriptors = vec![
            descriptor(0, "/dev/null", "pos:\t0\nflags:\t0100000\nmnt_id:\t1\n"),
            descriptor(1, "pipe:[7]", "pos:\t0\nflags:\t01\n"),
            descriptor(2, "/var/log/\u{1b}a (deleted)", "pos:\t99\nflags:\t02102001\n"),
            descriptor(3, "socket:[4711]", "pos:\t0\nflags:\t02004002\n"),
            descriptor(4, "socket:[1]", ""),
            descriptor(5, "anon_inode:[eventpoll]", "flags:\t02000002\ntfd:  3 events: 19\ntfd:   7 e\n"),
            descriptor(6, "anon_inode:[eventfd]", "flags:\t02\neventfd-count:               1f\n"),
            descriptor(7, "pipe:[8]", "flags:\t00\n"),
        ];
        let holders = [holder(12, 7, false), holder(13, 7, true), holder(13, 7, true), holder(14, 7, true)];
        let known = Known { sockets: net::read("tcp", line), holders: holders.to_vec(), is_complete: true };
        let name = |pid| if pid == 13 { b"cat".to_vec() } else { b"tee".to_vec() };
        let mut text = String::new();
        table(&descriptors, &known, name, false).write(&mut text, None);
        assert_eq!(
            text,
            "FD  TYPE       FLAGS                POSITION  WHAT\n\
             \u{20}0  device     r                           0  /dev/null\n\
             \u{20}1  pipe       w                           -  to 13 cat, 14 tee\n\
             \u{20}2  file       w append cloexec           99  /var/log/\\u{1b}a (deleted)\n\
             \u{20}3  socket     rw nonblock cloexec         -  tcp 127.0.0.1:8080 LISTEN\n\
             \u{20}4  socket     ?                           -  netlink, raw, packet, or of another network\n\
             \u{20}5  eventpoll  rw cloexec                  -  watches 3, 7\n\
             \u{20}6  eventfd    rw                          -  count 31\n\
             \u{20}7  pipe       r                           -  no writer\n"
        );
    }

    #[test]
    fn an_other_end_that_may_only_be_hidden_is_not_missing() {
        let one = vec![descriptor(7, "pipe:[8]", "flags:\t00\n")];
        let mut text = String::new();
        let known = Known { sockets: Vec::new(), holders: Vec::new(), is_complete: false };
        table(&one, &known, |_| Vec::new(), false).write(&mut text, None);
        assert!(text.ends_with("from ?\n"), "{text}");
    }
}
