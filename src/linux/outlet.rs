//! Standard error, written to without ever blocking on it.
//!
//! Whoever holds the other end may have stopped reading. `O_NONBLOCK` is no way out: it would go onto a description that
//! the program and others share. So the pipe or terminal is opened once more for ourselves, a socket is told with each
//! call, and where neither works, no more is written at once than fits when poll(2) says that some does.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{LevelFilter, Metadata, Record};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::write;

use super::sys;

/// The most of our own log that waits for a blocked reader, in bytes; further lines are counted and dropped.
const MOST_WAITING: usize = 64 * 1024;
/// What a pipe takes whole when poll(2) calls it writable (pipe(7), `PIPE_BUF`).
const SAFE_AT_ONCE: usize = 4096;

/// How standard error can be written to without blocking.
enum Way {
    /// Nobody has looked yet.
    Unknown,
    /// A regular file or a device: writing does not wait for anybody.
    Direct,
    /// A description of our own, with `O_NONBLOCK`.
    Own(OwnedFd),
    /// A socket.
    Socket,
    /// Little at a time, and only when asked before.
    Careful,
    /// It is closed.
    Nowhere,
}

/// Standard error and what waits to be written to it.
pub(super) struct Outlet {
    way: Way,
    waiting: Vec<u8>,
    /// Lines of our own log that found no room.
    dropped: usize,
}

static STDERR: Mutex<Outlet> = Mutex::new(Outlet { way: Way::Unknown, waiting: Vec::new(), dropped: 0 });

/// The one outlet there is. There is one thread, so nobody ever waits for it.
pub(super) fn stderr() -> MutexGuard<'static, Outlet> {
    STDERR.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outlet {
    /// Writes a line of our own, now or when there is room for it.
    fn write_line(&mut self, line: &[u8]) {
        if self.waiting.len() + line.len() > MOST_WAITING {
            self.dropped += 1;
            return;
        }
        self.write(line);
    }

    /// Writes what the program wrote. All of it is taken: the caller asks [`Outlet::is_clear`] first.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if self.is_clear() {
            let written = self.write_some(bytes);
            self.waiting.extend_from_slice(&bytes[written..]);
        } else {
            self.waiting.extend_from_slice(bytes);
        }
    }

    /// Writes on with what waits.
    pub(super) fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let written = self.write_some(&waiting);
        if written < waiting.len() {
            self.waiting = waiting;
            self.waiting.drain(..written);
        } else if self.dropped > 0 {
            let line =
                format!("sexton: {} lines of this log were dropped: stderr was blocked\n", self.dropped);
            self.dropped = 0;
            self.write(line.as_bytes());
        }
    }

    /// Nothing waits.
    pub(super) fn is_clear(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What to ask poll(2) about before [`Outlet::flush`].
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::Own(fd) => fd.as_fd(),
            Way::Unknown | Way::Direct | Way::Socket | Way::Careful | Way::Nowhere => sys::stderr(),
        }
    }

    /// Writes what can be written now. What can never be written counts as written.
    fn write_some(&mut self, bytes: &[u8]) -> usize {
        if matches!(self.way, Way::Unknown) {
            self.way = find_way();
        }
        let mut written = 0;
        while written < bytes.len() {
            match self.try_write(&bytes[written..]) {
                Ok(more) => written += more,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return written,
                Err(_) => return bytes.len(), // EPIPE, EBADF, ENOSPC: nobody will ever read it
            }
        }
        written
    }

    fn try_write(&self, bytes: &[u8]) -> nix::Result<usize> {
        match &self.way {
            Way::Direct => write(sys::stderr(), bytes),
            Way::Own(fd) => write(fd, bytes),
            Way::Socket => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                send(std::os::fd::AsRawFd::as_raw_fd(&sys::stderr()), bytes, flags)
            }
            Way::Careful => {
                let mut asked = [PollFd::new(sys::stderr(), PollFlags::POLLOUT)];
                if poll(&mut asked, PollTimeout::ZERO)? == 0 {
                    return Err(Errno::EAGAIN);
                }
                write(sys::stderr(), &bytes[..bytes.len().min(SAFE_AT_ONCE)])
            }
            Way::Unknown | Way::Nowhere => Err(Errno::EBADF),
        }
    }
}

fn find_way() -> Way {
    let Ok(stat) = fstat(sys::stderr()) else { return Way::Nowhere };
    let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    if kind == SFlag::S_IFSOCK {
        return Way::Socket;
    }
    if kind != SFlag::S_IFIFO && kind != SFlag::S_IFCHR {
        return Way::Direct;
    }
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    match open("/proc/self/fd/2", flags, Mode::empty()) {
        Ok(fd) => Way::Own(fd),
        Err(_) => Way::Careful, // no /proc, or a pipe that belongs to another user
    }
}

/// The log: lines on standard error, `sexton: ` in front.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true // the level is checked before, by the macros
    }

    fn log(&self, record: &Record<'_>) {
        let mark = match record.level() {
            log::Level::Error | log::Level::Warn | log::Level::Info => "",
            log::Level::Debug | log::Level::Trace => "debug: ",
        };
        stderr().write_line(format!("sexton: {mark}{}\n", one_line(&record.args().to_string())).as_bytes());
    }

    fn flush(&self) {}
}

/// The text with its control characters written out: what somebody typed is not to look like lines of ours.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Sends the log to standard error from here on.
pub(super) fn start_log(level: LevelFilter) {
    // An error would mean that there is a log already.
    if log::set_logger(&Lines).is_ok() {
        log::set_max_level(level);
    }
}
