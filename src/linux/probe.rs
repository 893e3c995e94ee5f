//! One call that is waited for: `sexton probe` has nothing else to do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::EpollFlags;
use nix::sys::signal::SigSet;
use nix::sys::socket::{MsgFlags, SockType, recv, send};
use nix::sys::time::TimeSpec;

use super::calls::{Connected, Step, begin_to_connect};
use super::user::read;
use crate::calls::Call;
use crate::event::Outcome;
use crate::resolve::{Lookup, Settings, hosts};
use crate::time::Span;

/// As good as for ever, and no clock overflows.
const LONGEST: Duration = Duration::from_hours(10_000);
/// Where a name server listens, and the longest answer that it sends in one datagram (RFC 1035, section 4.2.1).
const DNS_PORT: u16 = 53;
const LONGEST_ANSWER: usize = 512;

/// Makes a call to a host, by name or address, and waits so long at most for what comes of it.
///
/// # Errors
/// The reason where it failed.
pub(crate) fn call(host: &str, call: &mut Call, timeout: Duration) -> Result<(), String> {
    // Every signal was blocked at the very first moment, and nobody reads them here: a Ctrl-C ends us as it ends others.
    let _ = SigSet::empty().thread_set_mask(); // or it has to be waited for
    let until = Instant::now() + timeout.min(LONGEST);
    let too_late = || format!("no answer within {}", Span(timeout));
    let addresses = resolve(host, until)
        .ok_or_else(|| format!("no name server has an answer within {}", Span(timeout)))?;
    let mut outcome = Outcome::Failed("its name leads to no address".to_owned());
    for address in addresses {
        let mut connected = match Connected::new(call.clone(), address, None) {
            Ok(connected) => connected,
            Err(failed) => {
                outcome = failed;
                continue;
            }
        };
        outcome = wait(&mut connected, until).ok_or_else(too_late)?;
        if connected.is_open || outcome == Outcome::Passed {
            *call = connected.call;
            break;
        }
    }
    match outcome {
        Outcome::Passed => Ok(()),
        Outcome::Failed(reason) | Outcome::Impossible(reason) => Err(reason),
    }
}

/// What comes of the call; None where nothing does in time.
fn wait(connected: &mut Connected, until: Instant) -> Option<Outcome> {
    let mut step = connected.go_on();
    loop {
        if let Step::Decided(outcome) = step {
            return Some(outcome);
        }
        let writable = if connected.waits_to_send() { PollFlags::POLLOUT } else { PollFlags::empty() };
        let ready = {
            let mut asked = [PollFd::new(connected.as_fd(), PollFlags::POLLIN | writable)];
            match poll_until(&mut asked, until) {
                Ok(0) => return None,
                Ok(_) => asked[0].revents().unwrap_or(PollFlags::empty()),
                Err(error) => return Some(Outcome::Impossible(format!("cannot wait: {}", error.desc()))),
            }
        };
        // The two have the same bits (epoll_ctl(2)).
        step = connected.attend(EpollFlags::from_bits_truncate(i32::from(ready.bits())));
    }
}

/// How many of them are ready; 0 where none is in time.
fn poll_until(asked: &mut [PollFd], until: Instant) -> nix::Result<i32> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match ppoll(asked, Some(TimeSpec::from(left)), None) {
            Err(Errno::EINTR) => {}
            answer => return answer,
        }
    }
}

/// The addresses of a host, in the order in which they are to be tried: those of IPv4 first, which fail at once where
/// there is no way to them. None where nobody says in time whether there are any.
fn resolve(host: &str, until: Instant) -> Option<Vec<IpAddr>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse() {
        return Some(vec![address]);
    }
    // An image from scratch has no /etc/hosts that says so (RFC 6761, section 6.3).
    if host.eq_ignore_ascii_case("localhost") {
        return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    // Where a file cannot be read, what it says is missed, and the defaults are right as often as not.
    let mut addresses = hosts(&read("/etc/hosts").unwrap_or_default(), host);
    let mut settings = Settings::read(&read("/etc/resolv.conf").unwrap_or_default());
    for name in settings.names(host) {
        if addresses.is_empty() {
            addresses = look_up(&name, &mut settings, until)?;
        }
    }
    Some(addresses)
}

/// Asks the name servers for the addresses of a name, one after the other, each for its share of the time that is left.
/// Who does not answer is asked last from then on. None where none of them knows.
fn look_up(name: &str, settings: &mut Settings, until: Instant) -> Option<Vec<IpAddr>> {
    // As the C library does it: nobody who cannot see the question guesses its number and our port.
    let clock = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos();
    let [low, high, ..] = clock.to_le_bytes();
    let Some(mut lookup) = Lookup::new(name, [low, high]) else { return Some(Vec::new()) };
    // An answer that comes late is an answer too.
    let mut sockets = Vec::new();
    for turns in (1..=settings.attempts * settings.servers.len()).rev() {
        let turns = u32::try_from(turns).unwrap_or(u32::MAX);
        let now = Instant::now();
        let turn = now + settings.timeout.min(until.saturating_duration_since(now) / turns);
        if let Some(server) = settings.servers.first()
            && let Ok(socket) = begin_to_connect(SocketAddr::new(*server, DNS_PORT), SockType::Datagram)
        {
            for question in lookup.open() {
                let _ = send(socket.as_raw_fd(), question, MsgFlags::MSG_NOSIGNAL); // recv says why it was lost
            }
            sockets.push(socket);
            listen(&sockets, &mut lookup, turn);
        }
        if lookup.open().is_empty() || !lookup.addresses().is_empty() {
            return Some(lookup.addresses().to_vec());
        }
        settings.servers.rotate_left(1);
    }
    None
}

/// Takes in what the servers say, until there is nothing more to ask, or one of them has no answer.
fn listen(sockets: &[OwnedFd], lookup: &mut Lookup, until: Instant) {
    let mut buffer = [0; LONGEST_ANSWER];
    while !lookup.open().is_empty() {
        let mut asked: Vec<_> =
            sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        if !poll_until(&mut asked, until).is_ok_and(|ready| ready > 0) {
            return;
        }
        for socket in sockets {
            match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(count) if lookup.read(buffer.get(..count).unwrap_or_default()) => {}
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}
