//! `sexton inspect net`: the sockets of a network namespace, read from /proc/PID/net.

use std::net::{IpAddr, SocketAddr};

use super::fds::Known;
use super::{behind, count, field, figure, lines};
use crate::connections::end;
use crate::table::{Column, Side, Table, column};

/// The files, and what is in them.
pub(crate) const FILES: [&str; 5] = ["tcp", "tcp6", "udp", "udp6", "unix"];

/// The TCP states by their numbers in the kernel (net/tcp_states.h), as netstat(8) calls them.
const STATES: [&str; 13] = [
    "?",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    TIME_WAIT,
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    LISTEN,
    "CLOSING",
    "SYN_RECV",
];
const LISTEN: &str = "LISTEN";
const TIME_WAIT: &str = "TIME_WAIT";
/// Bound or not, and with no other end.
const UNCONNECTED: &str = "UNCONN";
/// A Unix socket accepts connections (`__SO_ACCEPTCON` of linux/net.h).
const ACCEPTS: u64 = 0x1_0000;

const COLUMNS: &[Column] = &[
    column("PROTO", "protocol", Side::Left),
    column("STATE", "state", Side::Left),
    column("LOCAL", "local", Side::Middle),
    column("REMOTE", "remote", Side::Middle),
    column("", "uid", Side::Right),
    column("", "inode", Side::Right),
    column("", "receive_queue", Side::Right),
    column("", "send_queue", Side::Right),
    column("", "pids", Side::Left),
    column("OWNER", "", Side::Left),
];

/// How many ranks there are; a listener of the first protocol has the first.
const RANKS: usize = 3 * FILES.len();

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) protocol: &'static str,
    pub(crate) state: &'static str,
    /// Empty where it has no name.
    pub(crate) local: Vec<u8>,
    /// Empty where there is no other end, or it has no name.
    pub(crate) remote: Vec<u8>,
    /// 0 where no process has it any more.
    pub(crate) inode: u64,
    uid: Option<u64>,
    receive_queue: u64,
    send_queue: u64,
}

/// Reads one of the [`FILES`]; what makes no sense in it is skipped.
pub(crate) fn read(protocol: &'static str, bytes: &[u8]) -> Vec<Socket> {
    let read = if protocol == "unix" { unix } else { inet };
    let mut sockets = Vec::new();
    for line in lines(bytes) {
        // The first line is a heading.
        if field(line, 0).ends_with(b":")
            && let Some(socket) = read(protocol, line)
        {
            sockets.push(socket);
        }
    }
    sockets
}

/// `sl: local remote state send:receive timer:when retransmits uid timeout inode …`
fn inet(protocol: &'static str, line: &[u8]) -> Option<Socket> {
    let text = |place| std::str::from_utf8(field(line, place)).ok();
    let (local, remote) = (end(text(1)?)?, end(text(2)?)?);
    let (send, receive) = text(4)?.split_once(':')?;
    let state = match figure(line, 3, 16)? {
        7 if protocol.starts_with("udp") => UNCONNECTED,
        number => usize::try_from(number).ok().and_then(|number| STATES.get(number)).copied().unwrap_or("?"),
    };
    let has_other_end = remote.1 != 0 || !remote.0.is_unspecified();
    Some(Socket {
        protocol,
        state,
        local: written(local),
        remote: if has_other_end { written(remote) } else { Vec::new() },
        inode: figure(line, 9, 10)?,
        uid: figure(line, 7, 10),
        receive_queue: figure(receive.as_bytes(), 0, 16)?,
        send_queue: figure(send.as_bytes(), 0, 16)?,
    })
}

fn written((address, port): (IpAddr, u16)) -> Vec<u8> {
    SocketAddr::new(address, port).to_string().into_bytes()
}

/// `num: references protocol flags type state inode [path]`, where the path may hold anything.
fn unix(protocol: &'static str, line: &[u8]) -> Option<Socket> {
    let state = match field(line, 5) {
        _ if figure(line, 3, 16)? & ACCEPTS != 0 => LISTEN,
        b"03" => "CONNECTED",
        _ => UNCONNECTED,
    };
    Some(Socket {
        protocol,
        state,
        local: behind(line, 7).strip_prefix(b" ").unwrap_or_default().to_vec(),
        remote: Vec::new(),
        inode: figure(line, 6, 10)?,
        uid: None,
        receive_queue: 0,
        send_queue: 0,
    })
}

impl Socket {
    /// In one line, for a table of descriptors.
    pub(crate) fn describe(&self, what: &mut Vec<u8>) {
        let local = if self.local.is_empty() { b"without a name" } else { &self.local[..] };
        let arrow = if self.remote.is_empty() { "" } else { " -> " };
        for (before, text) in [
            ("", self.protocol.as_bytes()),
            (" ", local),
            (arrow, &self.remote),
            (" ", self.state.as_bytes()),
        ] {
            what.extend_from_slice(before.as_bytes());
            what.extend_from_slice(text);
        }
    }

    /// Listeners first.
    fn rank(&self) -> usize {
        let by_state = match self.state {
            LISTEN => 0,
            UNCONNECTED if !self.local.is_empty() => 1,
            _ => 2,
        };
        // What goes out of the container comes before what does not.
        let by_protocol = FILES.iter().position(|file| *file == self.protocol).unwrap_or(0);
        by_state * FILES.len() + by_protocol
    }
}

/// How many wait for the last packets of a connection that is over; and takes them out.
pub(crate) fn take_waiting(sockets: &mut Vec<Socket>) -> usize {
    let all = sockets.len();
    sockets.retain(|socket| socket.state != TIME_WAIT);
    all - sockets.len()
}

/// All of them.
pub(crate) fn table(known: &Known, json: bool) -> Table {
    let mut table = Table::new(COLUMNS, json);
    for rank in 0..RANKS {
        for socket in &known.sockets {
            if socket.rank() != rank {
                continue;
            }
            let pids = known.who_has(socket.inode, false, None);
            let mut owner = Vec::new();
            if let Some(first) = pids.first() {
                count(&mut owner, "", *first);
                owner.push(b' ');
                owner.extend_from_slice(&(known.name)(*first));
                if pids.len() > 1 {
                    count(&mut owner, " +", (pids.len() - 1) as u64);
                }
            } else {
                let has_nobody = known.is_complete || socket.inode == 0;
                owner.push(if has_nobody { b'-' } else { b'?' });
                if socket.inode != 0
                    && let Some(uid) = socket.uid
                {
                    count(&mut owner, " uid ", uid);
                }
            }
            table.text(socket.protocol.as_bytes());
            table.text(socket.state.as_bytes());
            table.text_or_none(&socket.local);
            table.text_or_none(&socket.remote);
            table.number(socket.uid);
            table.number(Some(socket.inode));
            table.number(Some(socket.receive_queue));
            table.number(Some(socket.send_queue));
            table.numbers(&pids);
            table.text(&owner);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::fds::Holder;

    const TCP: &[u8] = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0\n   1: 0100007F:1F90 0200007F:C350 06 00000001:00000000 03:000001F4 00000000     0        0 0 3 0\n";
    const UNIX: &[u8] = b"Num       RefCount Protocol Flags    Type St Inode Path\n0000000000000000: 00000002 00000000 00010000 0001 01 77 /run/a b.sock\n0000000000000000: 00000003 00000000 00000000 0001 03 78\n0000000000000000: 00000003 00000000 00000000 0002 01   79 @abs\xff\n";

    #[test]
    fn tables_of_the_kernel_are_read() {
        let sockets = read("tcp", TCP);
        assert_eq!(sockets.len(), 2);
        let listener = Socket {
            protocol: "tcp",
            state: "LISTEN",
            local: b"127.0.0.1:8080".to_vec(),
            remote: Vec::new(),
            inode: 4711,
            uid: Some(1000),
            receive_queue: 2,
            send_queue: 0,
        };
        assert_eq!(sockets[0], listener);
        assert_eq!((sockets[1].state, &sockets[1].remote[..]), ("TIME_WAIT", &b"127.0.0.2:50000"[..]));
        let v6 = b" 0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 9";
        assert_eq!(read("tcp6", v6)[0].local, b"[::1]:80");
        assert_eq!(read("udp6", v6)[0].state, "UNCONN");
        let unix = read("unix", UNIX);
        let found: Vec<_> =
            unix.iter().map(|socket| (socket.state, &socket.local[..], socket.inode)).collect();
        assert_eq!(
            found,
            [("LISTEN", &b"/run/a b.sock"[..], 77), ("CONNECTED", b"", 78), ("UNCONN", b"@abs\xff", 79)]
        );
    }

    #[test]
    fn what_is_cut_off_is_skipped() {
        let line = TCP.split(|byte| *byte == b'\n').nth(1).expect("a line");
        let end = line.windows(5).position(|five| five == b" 4711").expect("its inode");
        for length in 0..=end {
            assert_eq!(read("tcp", &line[..length]), [], "{length}");
        }
        let line = UNIX.split(|byte| *byte == b'\n').nth(1).expect("a line");
        let end = line.windows(3).position(|three| three == b" 77").expect("its inode");
        for length in 0..=end {
            assert_eq!(read("unix", &line[..length]), [], "{length}");
        }
    }

    #[test]
    fn listeners_come_first_and_owners_are_named() {
        let mut sockets = read("unix", UNIX);
        sockets.extend(read("tcp", TCP));
        let holder = |(pid, inode)| Holder { pid, inode, is_pipe: false, reads: false, writes: false };
        let holders = [(7, 77), (12, 4711), (12, 4711), (13, 4711), (14, 4711)].map(holder).to_vec();
        let name = |pid| if pid == 7 { b"app".to_vec() } else { b"ng\x1bx".to_vec() };
        let mut known = Known { sockets, holders, is_complete: false, name };
        let mut text = String::new();
        table(&known, false).write(&mut text, Some(80));
        assert_eq!(
            text,
            "PROTO  STATE      LOCAL           REMOTE           OWNER\n\
             tcp    LISTEN     127.0.0.1:8080  -                12 ng\\u{1b}x +2\n\
             unix   LISTEN     /run/a b.sock   -                7 app\n\
             unix   UNCONN     @abs\\xff        -                ?\n\
             tcp    TIME_WAIT  127.0.0.1:8080  127.0.0.2:50000  -\n\
             unix   CONNECTED  -               -                ?\n"
        );
        assert_eq!((take_waiting(&mut known.sockets), known.sockets.len()), (1, 4));
        let mut json = String::from("[");
        known.sockets = read("tcp", TCP);
        table(&known, true).write(&mut json, None);
        assert!(json.starts_with(r#"[{"protocol":"tcp","state":"LISTEN","local":"127.0.0.1:8080","remote":null,"uid":1000,"inode":4711,"receive_queue":2,"send_queue":0,"pids":[12,13,14]},"#), "{json}");
    }
}
