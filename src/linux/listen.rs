//! A TCP socket that listens.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};

/// Listens, with as many waiting in the kernel as it allows; closed on exec, with more of socket(2)'s `flags`.
pub(super) fn on(address: SocketAddr, flags: SockFlag) -> nix::Result<OwnedFd> {
    match try_on(address, flags) {
        // A machine without IPv6 has all its addresses in IPv4.
        Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL)
            if address.is_ipv6() && address.ip().is_unspecified() =>
        {
            try_on(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())), flags)
        }
        listener => listener,
    }
}

fn try_on(address: SocketAddr, flags: SockFlag) -> nix::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let listener = socket(family, SockType::Stream, flags | SockFlag::SOCK_CLOEXEC, None)?;
    // Connections of a container before us that wait out their end keep nobody from listening (socket(7)).
    setsockopt(&listener, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        // `[::]` is for both, whatever this machine has as its default (ipv6(7), IPV6_V6ONLY).
        setsockopt(&listener, sockopt::Ipv6V6Only, &false)?;
    }
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&listener, Backlog::MAXALLOWABLE)?;
    Ok(listener)
}
