//! Standard output and standard error, written to without ever blocking on them.
//!
//! Whoever holds the other end may have stopped reading. `O_NONBLOCK` is no way out: it would go onto a description that
//! the program and others share. So the pipe or terminal is opened once more for ourselves, a socket is told with each
//! call, and where neither works, no more is written at once than fits when poll(2) says that some does.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use log::{LevelFilter, Metadata, Record};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::write;

use super::sys;
use crate::framing;
use crate::plan::{Output, Style};
use crate::time::utc_milliseconds;

/// The most of our own log that waits for a blocked reader, in bytes; further lines are counted and dropped.
const MOST_OF_OURS: usize = 64 * 1024;
/// The most that waits in all, in bytes. Pipes are not read while anything waits; only what processes leave behind when
/// they end adds up, and when it comes to more than this, it stays where it is.
const MOST_WAITING: usize = 4 * 1024 * 1024;
/// What a pipe takes whole when poll(2) calls it writable (pipe(7), `PIPE_BUF`).
const SAFE_AT_ONCE: usize = 4096;

/// One of the two descriptors that we were given to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standard {
    Output,
    Error,
}

/// How it can be written to without blocking.
enum Way {
    /// Nobody has looked yet.
    Unknown,
    /// A regular file or a device: writing does not wait for anybody.
    Direct,
    /// A description of our own, with `O_NONBLOCK`; it stays open as long as we live.
    Own(&'static OwnedFd),
    /// A socket.
    Socket,
    /// Little at a time, and only when asked before.
    Careful,
    /// It is closed.
    Nowhere,
}

/// Standard output or error, and what waits to be written to it.
pub(super) struct Outlet {
    standard: Standard,
    way: Way,
    waiting: Vec<u8>,
    /// How much of what waits has been written.
    written: usize,
    /// How much of what waits are lines of our own log.
    ours: usize,
    /// Lines of our own log that found no room.
    dropped: usize,
    /// How our own lines look.
    style: Style,
}

static STDOUT: Mutex<Outlet> = Mutex::new(Outlet::new(Standard::Output));
static STDERR: Mutex<Outlet> = Mutex::new(Outlet::new(Standard::Error));

/// Whether both are one pipe, socket or terminal, as behind `2>&1`.
static IS_ONE: OnceLock<bool> = OnceLock::new();

fn is_one() -> bool {
    let file = |standard: Standard| {
        fstat(standard.given()).ok().map(|stat| (stat.st_dev, stat.st_ino, stat.st_mode))
    };
    let (Some(output), Some(error)) = (file(Standard::Output), file(Standard::Error)) else { return false };
    output == error
}

/// The outlet for what goes to standard error, our own log included.
pub(super) fn stderr() -> MutexGuard<'static, Outlet> {
    Standard::Error.outlet()
}

impl Standard {
    pub(super) const BOTH: [Standard; 2] = [Standard::Output, Standard::Error];

    /// The one outlet there is for it. There is one thread, so nobody ever waits for it; nothing may be logged while it
    /// is held.
    pub(super) fn outlet(self) -> MutexGuard<'static, Outlet> {
        let outlet = match self {
            Standard::Output => &STDOUT,
            // Half a line in the one would be torn by the other.
            Standard::Error if *IS_ONE.get_or_init(is_one) => &STDOUT,
            Standard::Error => &STDERR,
        };
        outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its place among [`Standard::BOTH`].
    pub(super) fn index(self) -> usize {
        match self {
            Standard::Output => 0,
            Standard::Error => 1,
        }
    }

    /// What we were given, open or not.
    pub(super) fn given(self) -> BorrowedFd<'static> {
        match self {
            Standard::Output => sys::stdout(),
            Standard::Error => sys::stderr(),
        }
    }

    /// Its name in messages and in records.
    pub(super) fn name(self) -> &'static str {
        match self {
            Standard::Output => "stdout",
            Standard::Error => "stderr",
        }
    }

    fn find_way(self) -> Way {
        let Ok(stat) = fstat(self.given()) else { return Way::Nowhere };
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        if kind == SFlag::S_IFSOCK {
            return Way::Socket;
        }
        if kind != SFlag::S_IFIFO && kind != SFlag::S_IFCHR {
            return Way::Direct;
        }
        let path = match self {
            Standard::Output => "/proc/self/fd/1",
            Standard::Error => "/proc/self/fd/2",
        };
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        match open(path, flags, Mode::empty()) {
            Ok(fd) => Way::Own(Box::leak(Box::new(fd))),
            Err(_) => Way::Careful, // no /proc, or a pipe that belongs to another user
        }
    }
}

impl Outlet {
    const fn new(standard: Standard) -> Outlet {
        Outlet {
            standard,
            way: Way::Unknown,
            waiting: Vec::new(),
            written: 0,
            ours: 0,
            dropped: 0,
            style: Style { output: Output::Prefix, timestamps: false },
        }
    }

    /// Writes a line of our own, now or when there is room for it.
    fn write_line(&mut self, level: &str, text: &str) {
        let at = if self.style.timestamps { utc_milliseconds(SystemTime::now()) } else { String::new() };
        let line = framing::own_line(self.style, &at, level, text);
        if self.ours + line.len() > MOST_OF_OURS {
            self.dropped += 1;
            return;
        }
        self.write(&line);
        if !self.is_clear() {
            self.ours += line.len();
        }
    }

    /// Writes what programs wrote, in config mode whole lines. All of it is taken: what cannot be written now waits, and
    /// the caller asks [`Outlet::is_clear`] before it reads more.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let written = if self.is_clear() { self.write_some(bytes) } else { 0 };
        self.waiting.extend_from_slice(&bytes[written..]);
    }

    /// Writes on with what waits.
    pub(super) fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.written += self.write_some(&waiting[self.written..]);
        if self.written < waiting.len() {
            self.waiting = waiting;
            return;
        }
        (self.written, self.ours) = (0, 0);
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let name = self.standard.name();
            self.write_line("warn", &format!("{dropped} lines of this log were dropped: {name} was blocked"));
        }
    }

    /// More may wait although something does.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    /// Nothing waits.
    pub(super) fn is_clear(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What to ask poll(2) about before [`Outlet::flush`].
    pub(super) fn descriptor(&self) -> BorrowedFd<'static> {
        match &self.way {
            Way::Own(fd) => OwnedFd::as_fd(fd),
            Way::Unknown | Way::Direct | Way::Socket | Way::Careful | Way::Nowhere => self.standard.given(),
        }
    }

    /// Writes what can be written now. What can never be written counts as written.
    fn write_some(&mut self, bytes: &[u8]) -> usize {
        if matches!(self.way, Way::Unknown) {
            self.way = self.standard.find_way();
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
        let given = self.standard.given();
        match &self.way {
            Way::Direct => write(given, bytes),
            Way::Own(fd) => write(fd, bytes),
            Way::Socket => send(given.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL),
            Way::Careful => {
                let mut asked = [PollFd::new(given, PollFlags::POLLOUT)];
                if poll(&mut asked, PollTimeout::ZERO)? == 0 {
                    return Err(Errno::EAGAIN);
                }
                write(given, &bytes[..bytes.len().min(SAFE_AT_ONCE)])
            }
            Way::Unknown | Way::Nowhere => Err(Errno::EBADF),
        }
    }
}

/// The log: lines on standard error, between those of the programs and dressed like them.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true // the level is checked before, by the macros
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            log::Level::Error => "error",
            log::Level::Warn => "warn",
            log::Level::Info => "info",
            log::Level::Debug | log::Level::Trace => "debug",
        };
        let text = one_line(&record.args().to_string()); // before the outlet is taken: it may log in its turn
        stderr().write_line(level, &text);
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

/// Our own lines look like this from here on.
pub(super) fn dress_log(style: Style) {
    for standard in Standard::BOTH {
        standard.outlet().style = style;
    }
}

/// What to ask poll(2) about to go on writing; empty where nothing waits.
pub(super) fn blocked() -> Vec<BorrowedFd<'static>> {
    Standard::BOTH
        .into_iter()
        .map(Standard::outlet)
        .filter(|outlet| !outlet.is_clear())
        .map(|outlet| outlet.descriptor())
        .collect()
}

/// Writes on with what waits.
pub(super) fn flush() {
    for standard in Standard::BOTH {
        let mut outlet = standard.outlet();
        if !outlet.is_clear() {
            outlet.flush();
        }
    }
}
