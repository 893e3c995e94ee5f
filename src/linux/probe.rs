//! One call that is waited for: `sexton probe` has nothing else to do.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::EpollFlags;
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;
use nix::unistd::alarm;

use super::calls::{Connected, Step};
use crate::calls::Call;
use crate::event::Outcome;
use crate::time::Span;

/// As good as for ever, and no clock overflows.
const LONGEST: Duration = Duration::from_hours(10_000);

/// Makes a call to a host, by name or address, and waits so long at most for what comes of it.
///
/// # Errors
/// The reason where it failed.
pub(crate) fn call(host: &str, call: &mut Call, timeout: Duration) -> Result<(), String> {
    // Every signal was blocked at the very first moment, and nobody reads them here: a Ctrl-C ends us as it ends others.
    let _ = SigSet::empty().thread_set_mask(); // or it has to be waited for
    let until = Instant::now() + timeout.min(LONGEST);
    let too_late = || format!("no answer within {}", Span(timeout));
    let addresses = resolve(host, timeout).map_err(|error| error.to_string())?;
    let mut outcome = Outcome::Failed("the host has no address".to_owned());
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
        let left = until.saturating_duration_since(Instant::now());
        let writable = if connected.waits_to_send() { PollFlags::POLLOUT } else { PollFlags::empty() };
        let ready = {
            let mut asked = [PollFd::new(connected.as_fd(), PollFlags::POLLIN | writable)];
            match ppoll(&mut asked, Some(TimeSpec::from(left)), None) {
                Ok(0) => return None,
                Ok(_) => asked[0].revents().unwrap_or(PollFlags::empty()),
                Err(Errno::EINTR) => continue,
                Err(error) => return Some(Outcome::Impossible(format!("cannot wait: {}", error.desc()))),
            }
        };
        // The two have the same bits (epoll_ctl(2)).
        step = connected.attend(EpollFlags::from_bits_truncate(i32::from(ready.bits())));
    }
}

/// The addresses of a host, in the order in which they are to be tried.
fn resolve(host: &str, timeout: Duration) -> io::Result<Vec<IpAddr>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    // An image from scratch has no /etc/hosts that says so (RFC 6761, section 6.3).
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    // getaddrinfo(3) takes its own time, and a thread to leave it alone in costs 25 kB: SIGALRM ends us.
    let seconds = timeout.as_secs().saturating_add(1);
    alarm::set(u32::try_from(seconds).unwrap_or(u32::MAX));
    let found = (host, 0).to_socket_addrs().map_err(|_| io::Error::other("its name leads to no address"))?;
    alarm::cancel();
    Ok(found.map(|address| address.ip()).collect())
}
