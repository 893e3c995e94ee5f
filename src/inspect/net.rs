//! `sexton inspect net`: the sockets of a network namespace, read from /proc/PID/net.

use std::net::SocketAddr;

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

/// Who has a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owners {
    pub(crate) pids: Vec<u64>,
    /// The name of the first.
    pub(crate) name: Vec<u8>,
}

/// Reads one of the [`FILES`]; what makes no sense in it is skipped.
pub(crate) fn read(protocol: &'static str, bytes: &[u8]) -> Vec<Socket> {
    let read = if protocol == "unix" { unix } else { inet };
    bytes.split(|byte| *byte == b'\n').filter_map(|line| read(protocol, line)).collect()
}

/// `sl: local remote state send:receive timer:when retransmits uid timeout inode …`
fn inet(protocol: &'static str, line: &[u8]) -> Option<Socket> {
    let mut fields = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    fields.next()?.strip_suffix(':')?; // the first line is a heading
    let (local, remote) = (end(fields.next()?)?, end(fields.next()?)?);
    let number = u8::from_str_radix(fields.next()?, 16).ok()?;
    let (send, receive) = fields.next()?.split_once(':')?;
    let (uid, inode) = (fields.nth(2)?.parse().ok(), fields.nth(1)?.parse().ok()?);
    let state = match number {
        7 if protocol.starts_with("udp") => UNCONNECTED,
        number => STATES.get(usize::from(number)).copied().unwrap_or("?"),
    };
    let text = |(address, port)| SocketAddr::new(address, port).to_string().into_bytes();
    let has_other_end = remote.1 != 0 || !remote.0.is_unspecified();
    Some(Socket {
        protocol,
        state,
        local: text(local),
        remote: if has_other_end { text(remote) } else { Vec::new() },
        inode,
        uid,
        receive_queue: u64::from_str_radix(receive, 16).ok()?,
        send_queue: u64::from_str_radix(send, 16).ok()?,
    })
}

/// `num: references protocol flags type state inode [path]`, where the path may hold anything.
fn unix(protocol: &'static str, line: &[u8]) -> Option<Socket> {
    let mut rest = line;
    let mut next = || {
        let start = rest.iter().position(|byte| *byte != b' ')?;
        let end = rest[start..].iter().position(|byte| *byte == b' ').map_or(rest.len(), |end| start + end);
        let field = std::str::from_utf8(&rest[start..end]).ok()?;
        rest = &rest[end..];
        Some(field)
    };
    next()?.strip_suffix(':')?; // the first line is a heading
    let (_references, _protocol) = (next()?, next()?);
    let flags = u64::from_str_radix(next()?, 16).ok()?;
    let _type = next()?;
    let state = match next()? {
        _ if flags & ACCEPTS != 0 => LISTEN,
        "03" => "CONNECTED",
        _ => UNCONNECTED,
    };
    let inode = next()?.parse().ok()?;
    let local = rest.strip_prefix(b" ").unwrap_or_default().to_vec();
    Some(Socket {
        protocol,
        state,
        local,
        remote: Vec::new(),
        inode,
        uid: None,
        receive_queue: 0,
        send_queue: 0,
    })
}

impl Socket {
    /// In one line, for a table of descriptors.
    pub(crate) fn describe(&self) -> Vec<u8> {
        let (local, remote) = (&self.local[..], &self.remote[..]);
        let local = if local.is_empty() { b"without a name" } else { local };
        let arrow = if remote.is_empty() { "" } else { " -> " };
        [self.protocol.as_bytes(), b" ", local, arrow.as_bytes(), remote, b" ", self.state.as_bytes()]
            .concat()
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

/// All of them. `owners` are asked by inode; `is_complete` says that every process could be asked.
pub(crate) fn table(
    sockets: &[Socket],
    owners: impl Fn(u64) -> Owners,
    is_complete: bool,
    json: bool,
) -> Table {
    let mut table = Table::new(COLUMNS, json);
    for rank in 0..RANKS {
        for socket in sockets.iter().filter(|socket| socket.rank() == rank) {
            let found = owners(socket.inode);
            let mut owner = Vec::new();
            match (found.pids.first(), socket.uid) {
                (Some(first), _) => {
                    owner = format!("{first} ").into_bytes();
                    owner.extend_from_slice(&found.name);
                    if found.pids.len() > 1 {
                        owner.extend_from_slice(format!(" +{}", found.pids.len() - 1).as_bytes());
                    }
                }
                (None, _) if socket.inode == 0 => owner.push(b'-'),
                (None, uid) => {
                    owner.push(if is_complete { b'-' } else { b'?' });
                    if let Some(uid) = uid {
                        owner.extend_from_slice(format!(" uid {uid}").as_bytes());
                    }
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
            table.numbers(&found.pids);
            table.text(&owner);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let owners = |inode| match inode {
            4711 => Owners { pids: vec![12, 13, 14], name: b"ng\x1bx".to_vec() },
            77 => Owners { pids: vec![7], name: b"app".to_vec() },
            _ => Owners::default(),
        };
        let mut text = String::new();
        table(&sockets, owners, false, false).write(&mut text, Some(80));
        assert_eq!(
            text,
            "PROTO  STATE      LOCAL           REMOTE           OWNER\n\
             tcp    LISTEN     127.0.0.1:8080  -                12 ng\\u{1b}x +2\n\
             unix   LISTEN     /run/a b.sock   -                7 app\n\
             unix   UNCONN     @abs\\xff        -                ?\n\
             tcp    TIME_WAIT  127.0.0.1:8080  127.0.0.2:50000  -\n\
             unix   CONNECTED  -               -                ?\n"
        );
        assert_eq!((take_waiting(&mut sockets), sockets.len()), (1, 4));
        let mut json = String::from("[");
        table(&read("tcp", TCP), owners, true, true).write(&mut json, None);
        assert!(json.starts_with(r#"[{"protocol":"tcp","state":"LISTEN","local":"127.0.0.1:8080","remote":null,"uid":1000,"inode":4711,"receive_queue":2,"send_queue":0,"pids":[12,13,14]},"#), "{json}");
    }
}
