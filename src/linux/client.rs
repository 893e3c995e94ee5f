//! One conversation over the control socket: who asks has nothing else to do.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket};

use super::{HELD, in_words, print_bytes, sys, write_all};

/// How much is read at once, in bytes. Not on the stack, where PID 1 would have it too.
const AT_ONCE: usize = 16 * 1024;
/// The longest head of an answer; ours are much shorter.
const LONGEST_HEAD: usize = 64 * 1024;

/// What was answered.
pub(crate) struct Answer {
    /// It is a complaint.
    pub(crate) is_error: bool,
    /// What to end with.
    pub(crate) code: u8,
    /// What to print; empty where it has been printed as it came.
    pub(crate) body: Vec<u8>,
}

/// Asks, and waits for the whole answer. One that has no end is printed as it comes.
///
/// # Errors
/// The reason where nobody answers.
pub(crate) fn ask(path: &Path, request: &[u8], is_followed: bool) -> Result<Answer, String> {
    // Every signal was blocked at the very first moment, and nobody reads them here: a Ctrl-C ends us as it ends others.
    let _ = SigSet::empty().thread_set_mask(); // or it has to be killed
    let stream = reach(path)?;
    let mut sent = 0;
    while sent < request.len() {
        match send(stream.as_raw_fd(), &request[sent..], MsgFlags::MSG_NOSIGNAL) {
            Ok(count) => sent += count,
            Err(Errno::EINTR) => {}
            Err(_) => break, // it may have answered all the same
        }
    }
    let mut bytes = Vec::new();
    let mut head = None;
    let mut buffer = vec![0; AT_ONCE];
    loop {
        match recv(stream.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(Errno::EINTR) => continue,
            Err(_) => break, // as if it had ended: what is there is looked at
        }
        if head.is_none() && bytes.len() < LONGEST_HEAD {
            head = read_head(&bytes);
            if let Some((_, _, length)) = head {
                bytes.drain(..length);
            }
        }
        if let Some((false, code, _)) = head
            && is_followed
        {
            if let Some(code) = show(&bytes, false) {
                return Ok(Answer { is_error: false, code, body: Vec::new() });
            }
            bytes.clear();
            let _ = code;
        }
    }
    match head {
        Some((is_error, code, _)) => Ok(Answer { is_error, code, body: bytes }),
        None => Err("it has closed the connection without an answer".to_owned()),
    }
}

fn reach(path: &Path) -> Result<OwnedFd, String> {
    if path.as_os_str() == "none" {
        return Err("`none` is no socket".to_owned());
    }
    let made = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    let reached = made.and_then(|stream| {
        connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(stream)
    });
    reached.map_err(in_words)
}

/// Whether it is a complaint, the exit code, and how long the head is; None where its end is still to come.
fn read_head(bytes: &[u8]) -> Option<(bool, u8, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
    let is_error = !head.split(' ').nth(1).is_some_and(|status| status.starts_with('2'));
    let code = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("sexton-exit-code") { value.trim().parse().ok() } else { None }
    });
    Some((is_error, code.unwrap_or(u8::from(is_error)), end))
}

/// Prints an answer, a complaint to standard error; returns what to end with where it cannot.
pub(crate) fn show(bytes: &[u8], is_error: bool) -> Option<u8> {
    if is_error {
        let _ = write_all(sys::stderr(), bytes); // or nobody reads it
        return None;
    }
    // Who looks at the first lines only has seen enough: nothing to complain of.
    match write_all(sys::stdout(), bytes) {
        Ok(()) => None,
        Err(Errno::EPIPE) => Some(0),
        Err(_) => Some(print_bytes(bytes)),
    }
}

/// Somebody looks at what we print.
pub(crate) fn is_terminal() -> bool {
    nix::unistd::isatty(sys::stdout()) == Ok(true)
}

/// Waits until it is time to look again.
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_secs(1));
}

/// Ends the hold by a signal to process 1, where that is a sexton that holds its container: SIGTERM would stop any other.
/// What there is to say is printed before: its end may be ours.
///
/// # Errors
/// Why not, as the rest of a sentence.
pub(crate) fn release_without_socket(restart: bool) -> Result<(), String> {
    let name = std::fs::read("/proc/1/comm").map_err(|_| "/proc/1/comm cannot be read".to_owned())?;
    let name = name.strip_suffix(b"\n").unwrap_or(&name);
    if name != HELD.to_bytes() {
        let name = super::outlet::one_line(&String::from_utf8_lossy(name));
        return Err(format!("process 1 is `{name}`, not a sexton that holds its container"));
    }
    let (signal, next) = if restart {
        (libc::SIGHUP, "what failed starts again")
    } else {
        (libc::SIGTERM, "the container ends")
    };
    let cannot = |error| format!("process 1 cannot be signalled: {error}");
    sys::kill(1, 0).map_err(cannot)?; // kill(2): only whether it may be
    print_bytes(format!("the hold is over; {next}\n").as_bytes());
    sys::kill(1, signal).map_err(cannot)
}
