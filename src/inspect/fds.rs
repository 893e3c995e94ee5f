//! `sexton inspect fds`: what a process has open.

use super::net::Socket;
use super::{count, figure, line_of, lines};
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
    [("tfd:", "watches ", 10), ("eventfd-count:", "count ", 16), ("Pid:", "process ", 10)];

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
    for (kind, make) in [("pipe:[", Target::Pipe as fn(u64) -> Target<'static>), ("socket:[", Target::Socket)]
    {
        if let Some(rest) = link.strip_prefix(kind.as_bytes())
            && let Some(number) = rest.strip_suffix(b"]")
            && let Some(inode) = figure(number, 0, 10)
        {
            return make(inode);
        }
    }
    match link.strip_prefix(b"anon_inode:") {
        // `[eventpoll]`, `inotify`
        Some(name) => {
            Target::Other(name.strip_prefix(b"[").and_then(|name| name.strip_suffix(b"]")).unwrap_or(name))
        }
        None => Target::File(link),
    }
}

/// What is known beside the descriptors themselves.
pub(crate) struct Known {
    pub(crate) sockets: Vec<Socket>,
    /// Who has the pipes and sockets that can be seen.
    pub(crate) holders: Vec<Holder>,
    /// Every process could be asked.
    pub(crate) is_complete: bool,
    /// What a process is called.
    pub(crate) name: fn(u64) -> Vec<u8>,
}

/// What there is.
pub(crate) fn table(descriptors: &[Descriptor], known: &Known, json: bool) -> Table {
    let mut table = Table::new(COLUMNS, json);
    for Descriptor { number, link, info } in descriptors {
        let flags = figure(line_of(info, "flags:"), 0, 8);
        let access = flags.map(|flags| flags & ACCESS);
        let (mut inode, mut pids, mut what) = (None, Vec::new(), Vec::new());
        let mut texts = [&b""[..]; 4];
        let kind = match target(link) {
            Target::File(path) => {
                what.extend_from_slice(path);
                if path.starts_with(b"/dev/") { b"device" } else { &b"file"[..] }
            }
            Target::Pipe(own) => {
                inode = Some(own);
                pids = known.who_has(own, true, access);
                known.describe_ends(&mut what, &pids, access);
                b"pipe"
            }
            Target::Socket(own) => {
                inode = Some(own);
                match known.sockets.iter().find(|socket| socket.inode == own) {
                    Some(socket) => {
                        let (protocol, state) = (socket.protocol.as_bytes(), socket.state.as_bytes());
                        texts = [protocol, state, &socket.local, &socket.remote];
                        socket.describe(&mut what);
                    }
                    None => what.extend_from_slice(b"netlink, raw, packet, or of another network"),
                }
                b"socket"
            }
            Target::Other(kind) => {
                describe_other(&mut what, info);
                kind
            }
        };
        table.number(Some(*number));
        table.text(kind);
        match flags {
            Some(flags) => table.texts(&words_of(flags)),
            None => table.none("?"),
        }
        match target(link) {
            Target::File(_) => table.number(figure(line_of(info, "pos:"), 0, 10)),
            Target::Pipe(_) | Target::Socket(_) | Target::Other(_) => table.none("-"),
        }
        table.number(inode);
        table.numbers(&pids);
        for text in texts {
            table.text_or_none(text);
        }
        table.text_or_none(&what);
    }
    table
}

/// The flags as words, with zeros between them.
fn words_of(flags: u64) -> Vec<u8> {
    let access: &[u8] = match flags & ACCESS {
        0 => b"r",
        1 => b"w",
        _ => b"rw",
    };
    let mut words = access.to_vec();
    for (flag, word) in [(APPEND, "\0append"), (NONBLOCK, "\0nonblock"), (CLOEXEC, "\0cloexec")] {
        if flags & flag != 0 {
            words.extend_from_slice(word.as_bytes());
        }
    }
    words
}

/// What is worth telling of an eventfd and its like.
fn describe_other(what: &mut Vec<u8>, info: &[u8]) {
    for line in lines(info) {
        for (name, word, radix) in WATCHED {
            if let Some(number) = line.strip_prefix(name.as_bytes()).and_then(|rest| figure(rest, 0, radix)) {
                count(what, if what.is_empty() { word } else { ", " }, number);
            }
        }
    }
}

impl Known {
    /// Who has a socket, or the other end of a pipe that is open like this, each once.
    pub(crate) fn who_has(&self, inode: u64, is_pipe: bool, access: Option<u64>) -> Vec<u64> {
        let mut pids = Vec::new();
        for holder in &self.holders {
            let is_other = match access {
                Some(0) => holder.writes,
                Some(1) => holder.reads,
                Some(_) | None => true,
            };
            // Those of one process stand together.
            if is_other
                && (holder.inode, holder.is_pipe) == (inode, is_pipe)
                && pids.last() != Some(&holder.pid)
            {
                pids.push(holder.pid);
            }
        }
        pids
    }

    fn describe_ends(&self, what: &mut Vec<u8>, pids: &[u64], access: Option<u64>) {
        let (by, nobody) = match access {
            Some(0) => ("from ", "no writer"),
            Some(1) => ("to ", "no reader"),
            Some(_) | None => ("with ", "no other"),
        };
        if pids.is_empty() {
            // Whoever writes to nobody gets SIGPIPE, and whoever reads from nobody the end: that is worth knowing for
            // sure.
            what.extend_from_slice(if self.is_complete { nobody } else { by }.as_bytes());
            if !self.is_complete {
                what.push(b'?');
            }
        }
        for (place, pid) in pids.iter().enumerate() {
            if place == MOST_ENDS {
                count(what, ", +", (pids.len() - MOST_ENDS) as u64);
                break;
            }
            count(what, if place == 0 { by } else { ", " }, *pid);
            what.push(b' ');
            what.extend_from_slice(&(self.name)(*pid));
        }
    }
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
        let name = |pid| if pid == 13 { b"cat".to_vec() } else { b"tee".to_vec() };
        let known =
            Known { sockets: net::read("tcp", line), holders: holders.to_vec(), is_complete: true, name };
        let mut text = String::new();
        table(&descriptors, &known, false).write(&mut text, None);
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
        let known =
            Known { sockets: Vec::new(), holders: Vec::new(), is_complete: false, name: |_| Vec::new() };
        table(&one, &known, false).write(&mut text, None);
        assert!(text.ends_with("from ?\n"), "{text}");
    }
}
