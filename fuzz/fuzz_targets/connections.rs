//! Whatever the kernel says, and however it is cut up on its way: nothing panics, and nobody is new twice.
#![no_main]

use std::collections::BTreeMap;
use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use sexton::connections::{Content, Known, Message, Record, messages, table};
use sexton::plan::Traffic;

const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// The record as the kernel would say it.
fn said(message: &Message, record: &Record) -> Vec<u8> {
    let mut bytes = vec![0; 88];
    let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
    put(0, &88_u32.to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &(u16::from(message.is_interrupted) << 4).to_ne_bytes());
    put(8, &message.sequence.to_ne_bytes());
    let is_ipv4 = record.local.is_ipv4() && record.remote.is_ipv4();
    put(16, &[if is_ipv4 { 2 } else { 10 }, record.state]);
    put(20, &record.local_port.to_be_bytes());
    put(22, &record.remote_port.to_be_bytes());
    for (at, address) in [(24, record.local), (40, record.remote)] {
        match address {
            IpAddr::V4(address) if is_ipv4 => put(at, &address.octets()),
            IpAddr::V4(address) => put(at, &address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => put(at, &address.octets()),
        }
    }
    put(60, &record.cookie.expect("a cookie").to_le_bytes());
    bytes
}

/// The record as a line of /proc/net/tcp6.
fn printed(record: &Record) -> String {
    let end = |address: IpAddr, port: u16| {
        let octets = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        let words = octets.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word));
        format!("{}:{port:04X}", words.map(|word| format!("{word:08X}")).collect::<String>())
    };
    let (local, remote) = (end(record.local, record.local_port), end(record.remote, record.remote_port));
    format!(" 0: {local} {remote} {:02X} rest\n", record.state)
}

fuzz_target!(|data: &[u8]| {
    let [how, cut, data @ ..] = data else { return };
    let mut records = Vec::new();
    if how & 1 == 0 {
        let read: Vec<_> = messages(data).collect();
        assert!(read.len() <= data.len() / 16);
        let part = &data[..data.len().min(usize::from(*cut))];
        let some: Vec<_> = messages(part).collect();
        assert!(read.starts_with(&some), "the cut made a difference");
        for message in read {
            if let Content::Socket(record) = message.content {
                assert!(messages(&said(&message, &record)).eq([message]), "read as something else");
                records.push(record);
            }
        }
    } else {
        let (all, whole) = table(data);
        records.extend(all);
        assert!(data[whole..].iter().all(|byte| *byte != b'\n'));
        let cut = usize::from(*cut).min(data.len());
        let (first, rest) = table(&data[..cut]);
        assert!(first.chain(table(&data[rest..]).0).eq(records.iter().copied()), "the cut made a difference");
        for record in &records {
            assert!(table(printed(record).as_bytes()).0.eq([*record]), "read as something else");
        }
    }

    // A look shows each of them once.
    let name = |record: &Record| match record.cookie {
        Some(cookie) => (cookie, None),
        None => (0, Some((record.local, record.local_port, record.remote, record.remote_port))),
    };
    let each: BTreeMap<_, _> = records.iter().map(|record| (name(record), *record)).collect();
    let records: Vec<_> = each.into_values().collect();

    let ports = records.iter().step_by(2).map(|record| record.local_port).collect();
    let ignore = records.iter().step_by(3).map(|record| record.remote).collect();
    let traffic = Traffic { ports, loopback: how & 2 != 0, ignore };
    let ends_are_told = how & 4 != 0;
    let mut known = Known::new(&traffic, ends_are_told);
    let there = if how & 8 == 0 { &[][..] } else { &records[..records.len() / 2] };
    assert!(!known.look(there.iter().copied()));
    known.complete();

    let new = known.look(records.iter().copied());
    let may_count = |record: &Record| {
        traffic.ports.contains(&record.local_port)
            && !traffic.ignore.contains(&record.remote)
            && !record.remote.is_unspecified()
            && (traffic.loopback || !record.remote.is_loopback())
    };
    assert!(!new || records.iter().any(may_count));
    known.complete();
    assert!(!known.look(records.iter().copied()), "new twice");
    known.complete();
    if ends_are_told {
        for record in &records {
            assert!(!known.gone(record), "new at its end");
        }
    }
    for _ in 0..4 {
        known.complete();
    }
    assert_eq!(known.kept(), 0, "nobody is forgotten");
});
