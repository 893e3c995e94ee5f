//! One call that is waited for: `sexton probe` has nothing else to do.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::alarm;

use crate::calls::{Call, Next};
use crate::event::Outcome;
use crate::time::Span;

/// How much of an answer is read at once, in bytes.
const READ_AT_ONCE: usize = 16 * 1024;
/// As good as for ever, and no clock overflows.
const LONGEST: Duration = Duration::from_hours(10_000);

/// Makes a call to a host, by name or address, and waits so long at most for what comes of it.
///
/// # Errors
/// The reason where it failed.
pub(crate) fn call(host: &str, call: &mut Call, timeout: Duration) -> Result<(), String> {
    // Every signal was blocked at the very first moment, and nobody reads them here: a Ctrl-C ends us as it ends others.
    let _ = SigSet::empty().thread_set_mask(); // or it has to be waited for
    let until = Until(Instant::now() + timeout.min(LONGEST));
    let said = |error: io::Error| {
        if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) {
            return format!("no answer within {}", Span(timeout));
        }
        let number = error.raw_os_error().map(Errno::from_raw);
        number.map_or_else(|| error.to_string(), |errno| errno.desc().to_ascii_lowercase())
    };
    let addresses = until.resolve(host).map_err(said)?;
    let mut stream = until.connect(&addresses, call.port()).map_err(said)?;
    let mut buffer = vec![0; READ_AT_ONCE];
    let outcome = loop {
        if call.is_only_a_connection() {
            break Outcome::Passed;
        }
        until.send(&stream, call);
        stream.set_read_timeout(Some(until.left().map_err(said)?)).map_err(said)?;
        let next = match stream.read(&mut buffer) {
            Ok(0) => Next::Decided(call.end()),
            Ok(count) => call.read(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(said(error)),
        };
        match next {
            Next::More => {}
            Next::Decided(outcome) => break outcome,
            Next::Connect => stream = until.connect(&addresses, call.port()).map_err(said)?,
        }
    };
    match outcome {
        Outcome::Passed => Ok(()),
        Outcome::Failed(reason) | Outcome::Impossible(reason) => Err(reason),
    }
}

/// When everything has to be done.
struct Until(Instant);

impl Until {
    fn left(&self) -> io::Result<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    /// The addresses of a host, in the order in which they are to be tried.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        // An image from scratch has no /etc/hosts that says so (RFC 6761, section 6.3).
        if host.eq_ignore_ascii_case("localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        // getaddrinfo(3) takes its own time, and a thread to leave it alone in costs 25 kB: SIGALRM ends us.
        let seconds = self.left()?.as_secs().saturating_add(1);
        alarm::set(u32::try_from(seconds).unwrap_or(u32::MAX));
        let found =
            (host, 0).to_socket_addrs().map_err(|_| io::Error::other("its name leads to no address"))?;
        alarm::cancel();
        Ok(found.map(|address| address.ip()).collect())
    }

    /// Connects to the first address that answers.
    fn connect(&self, addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
        let mut last = io::Error::other("the host has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&SocketAddr::new(*address, port), self.left()?) {
                Ok(stream) if stream.local_addr().ok() == stream.peer_addr().ok() => {
                    // See `Connected::is_to_itself`.
                    last = Errno::ECONNREFUSED.into();
                }
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Sends what is unsent. Where that fails there may be an answer all the same.
    fn send(&self, mut stream: &TcpStream, call: &mut Call) {
        let left = self.left().and_then(|left| stream.set_write_timeout(Some(left)));
        if left.and_then(|()| stream.write_all(call.unsent())).is_ok() {
            call.sent(call.unsent().len());
        } else {
            call.sent(usize::MAX);
        }
    }
}
