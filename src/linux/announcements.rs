//! How programs say that they are ready: `READY=1` in a datagram (sd_notify(3)), or a newline on a descriptor.
//!
//! Each process gets a channel of its own, so that nobody speaks for a process that is gone.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
use nix::unistd::{pipe2, read};

use super::sys;
use crate::plan::{ProgramId, Readiness};

/// The longest message that is understood, in bytes; systemd's own bound.
const LONGEST: usize = 4096;
/// How many announcements are looked at at once.
const AT_ONCE: usize = 16;

/// What a process is given to speak on.
pub(super) enum Channel {
    /// The name for `NOTIFY_SOCKET`.
    Socket(String),
    /// Its end of a pipe, and the number at which it gets it.
    Pipe(OwnedFd, RawFd),
}

/// The channels of all programs that have one.
pub(super) struct Announcements {
    epoll: Epoll,
    /// Our ends.
    ends: Vec<End>,
}

/// Our end of a channel.
struct End {
    program: ProgramId,
    fd: OwnedFd,
    /// A socket, not a pipe.
    is_datagram: bool,
}

impl Announcements {
    pub(super) fn new() -> io::Result<Announcements> {
        Ok(Announcements { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, ends: Vec::new() })
    }

    /// Makes the channel for a process that is about to start, in place of its predecessor's; none where the program
    /// says nothing.
    pub(super) fn open(&mut self, id: ProgramId, how: Readiness) -> io::Result<Option<Channel>> {
        self.close(id);
        let (end, channel) = match how {
            Readiness::Running => return Ok(None),
            Readiness::Notify => {
                let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
                let end = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
                // unix(7): an abstract name needs no file system. In a pod it is everybody's: it is random, so that nobody meets
                // it by chance. Who reads /proc/net/unix sees it all the same.
                let name = format!("sexton-{:016x}", sys::random());
                bind(end.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
                (end, Channel::Socket(format!("@{name}")))
            }
            Readiness::Descriptor(number) => {
                let (end, theirs) = pipe2(OFlag::O_CLOEXEC)?;
                fcntl(&end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?; // nobody shares this end
                (end, Channel::Pipe(theirs, number))
            }
        };
        let key = u64::try_from(id.0).unwrap_or(u64::MAX);
        self.epoll.add(&end, EpollEvent::new(EpollFlags::EPOLLIN, key))?;
        let is_datagram = matches!(channel, Channel::Socket(_));
        self.ends.push(End { program: id, fd: end, is_datagram });
        Ok(Some(channel))
    }

    /// Its process is gone, or has nothing more to say.
    pub(super) fn close(&mut self, id: ProgramId) {
        if let Some(place) = self.ends.iter().position(|end| end.program == id) {
            let end = self.ends.swap_remove(place);
            let _ = self.epoll.delete(&end.fd); // closing it would do as well, were nobody else to hold it
        }
    }

    /// What to ask poll(2) about before [`Announcements::read`].
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        (!self.ends.is_empty()).then(|| self.epoll.0.as_fd())
    }

    /// Who has said that they are ready.
    pub(super) fn read(&mut self) -> Vec<ProgramId> {
        let mut events = [EpollEvent::empty(); AT_ONCE];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        let ids =
            events.iter().take(count).filter_map(|event| usize::try_from(event.data()).ok()).map(ProgramId);
        let (mut ready, mut buffer) = (Vec::new(), [0_u8; LONGEST]);
        for id in ids.collect::<Vec<_>>() {
            let Some(end) = self.ends.iter().find(|end| end.program == id) else { continue };
            match read(&end.fd, &mut buffer) {
                Ok(0) if end.is_datagram => {} // an empty one says nothing
                Ok(0) => self.close(id),       // the pipe's last writer is gone
                Ok(count) if says_ready(&buffer[..count]) => {
                    ready.push(id);
                    self.close(id);
                }
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => self.close(id),
            }
        }
        ready
    }
}

/// A datagram has `READY=1` among its lines; a pipe a newline. What is written on a pipe before that means nothing.
fn says_ready(message: &[u8]) -> bool {
    let is_notification = message.contains(&b'=');
    if is_notification {
        message.split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
    } else {
        message.contains(&b'\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_said_in_so_many_words() {
        for said in [&b"READY=1"[..], b"STATUS=up\nREADY=1\n", b"\n", b"ok\n"] {
            assert!(says_ready(said), "{said:?}");
        }
        for said in [&b"READY=0"[..], b"STATUS=READY=1", b"STATUS=a\nWATCHDOG=1\n", b"", b"READY"] {
            assert!(!says_ready(said), "{said:?}");
        }
    }
}
