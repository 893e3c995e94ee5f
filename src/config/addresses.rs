//! Ports and addresses: where we listen, and whose connections count.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use super::Config;
use super::errors::Fault;
use super::keys::{Kind, MAX_SOCKET_PATH};
use super::reader::{Reader, Table, in_order, sorted};
use super::values::number;
use crate::plan::{Listen, ListenAddress, Traffic, parse_address};

/// How long the name of a socket can be (sd_listen_fds(3)).
const MAX_SOCKET_NAME: usize = 255;

impl Reader<'_> {
    pub(super) fn drain(&mut self, file: &Table, config: &mut Config) {
        let Some(table) = &self.table(file, "drain") else { return };
        config.drain = self.duration(table, "delay");
        config.drain_fails_readiness = self.word(table, "readiness", &[false, true]).unwrap_or(false);
        config.quiet = self.duration(table, "quiet");
        let mut traffic =
            Traffic { loopback: self.boolean(table, "loopback").unwrap_or(false), ..Traffic::default() };
        if let Some((key, values)) = self.array(table, "ports", 1) {
            for value in values {
                traffic.ports.extend(self.port(key, Kind::Ports, value));
            }
        }
        if let Some((key, values)) = self.array(table, "ignore", 0) {
            for value in values {
                let text = self.fitting(key, Kind::Addresses, value, &|text| text.parse::<IpAddr>().is_ok());
                traffic.ignore.extend(text.and_then(|text| text.parse::<IpAddr>().ok()));
            }
        }
        config.traffic = traffic;
        for (one, other) in
            [("quiet", "ports"), ("ports", "quiet"), ("loopback", "quiet"), ("ignore", "quiet")]
        {
            if table.map.contains_key(one) && !table.map.contains_key(other) {
                self.fault(table.at(one), Fault::Without { one, other });
            }
        }
    }

    pub(super) fn health(&mut self, file: &Table) -> Option<SocketAddr> {
        let table = &self.table(file, "health")?;
        self.require(table, "listen");
        let text = self.fitting_at(table, "listen", &|text| parse_address(text).is_some())?;
        let address = parse_address(&text)?;
        let who = format!("`listen` of {}", table.owner);
        self.addresses.push((place(address), table.at("listen"), who));
        Some(address)
    }

    pub(super) fn sockets(&mut self, program: &Table) -> Vec<Listen> {
        let Some((key, value)) = program.get("sockets") else { return Vec::new() };
        let DeValue::Table(map) = value.get_ref() else {
            self.wrong::<()>(key.name, key.kind, value);
            return Vec::new();
        };
        let mut sockets = Vec::new();
        for (name, value) in in_order(map) {
            let written = name.get_ref().to_string();
            let fits = |c: char| c != ':' && !c.is_control();
            if written.is_empty() || written.len() > MAX_SOCKET_NAME || !written.chars().all(fits) {
                self.fault(name.span().start, Fault::SocketName { written });
                continue;
            }
            let fits = |text: &str| listen_address(text).is_some();
            let text = self.fitting(&written, Kind::Socket, value, &fits);
            let Some(address) = text.as_deref().and_then(listen_address) else { continue };
            let (at, who) = (value.span().start, format!("`{written}` of {}", program.owner));
            if !self.spend(at, 128 + who.len()) {
                break;
            }
            let at_place = match &address {
                ListenAddress::Tcp(address) => place(*address),
                ListenAddress::Unix(path) => path.to_string_lossy().into_owned(),
            };
            self.addresses.push((at_place, at, who));
            sockets.push(Listen { name: written, address });
        }
        sockets
    }

    /// Tells of every address that is somebody else's too. Of `numprocs` all have the same.
    pub(super) fn unique_addresses(&mut self) {
        let all = std::mem::take(&mut self.addresses);
        let key = |place: usize| all.get(place).map(|(address, at, _)| (address, at));
        let order = sorted(all.len(), &|a, b| key(a).cmp(&key(b)));
        let in_order = || order.iter().filter_map(|place| all.get(*place));
        for ((before, there, one), (address, at, other)) in in_order().zip(in_order().skip(1)) {
            if before == address && there != at {
                let (address, one, other) = (address.clone(), one.clone(), other.clone());
                self.fault(*at, Fault::SameAddress { address, one, other });
            }
        }
    }

    /// A number, or a string that has one.
    pub(super) fn port(&mut self, key: &str, kind: Kind, value: &Spanned<DeValue>) -> Option<u16> {
        if let DeValue::Integer(_) = value.get_ref() {
            let port = number(value.get_ref()).and_then(|number| u16::try_from(number).ok());
            let port = port.filter(|port| *port > 0);
            return if port.is_some() { port } else { self.wrong(key, kind, value) };
        }
        let text = self.fitting(key, kind, value, &|text| port_number(text).is_some())?;
        port_number(&text)
    }
}

fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|c| c.is_ascii_digit()).then_some(text)?;
    digits.parse().ok().filter(|port| *port > 0)
}

/// The address for comparing: all of IPv4 and all of IPv6 take each other's place.
fn place(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { format!(":{}", address.port()) } else { address.to_string() }
}

fn listen_address(text: &str) -> Option<ListenAddress> {
    if text.starts_with('/') {
        let path = || ListenAddress::Unix(PathBuf::from(text));
        return (text.len() <= MAX_SOCKET_PATH).then(path);
    }
    parse_address(text).map(ListenAddress::Tcp)
}
