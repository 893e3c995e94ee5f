//! The listening sockets that we keep for programs, so that a restart refuses nobody: who connects meanwhile waits in
//! the backlog. They are handed over as sd_listen_fds(3) wants them.

use std::fs::Permissions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket};

use super::listen;
use crate::plan::{Listen, ListenAddress, ProgramId};

/// The first of the descriptors that are handed over (sd_listen_fds(3), `SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// One that is open.
struct Open {
    address: ListenAddress,
    fd: OwnedFd,
    /// Whose it is: the processes of one program share it.
    users: Vec<ProgramId>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Sockets {
    open: Vec<Open>,
}

impl Sockets {
    /// Opens those of this program that are not open yet, and closes what it no longer has.
    pub(super) fn open(&mut self, id: ProgramId, wanted: &[Listen]) -> Result<(), String> {
        self.close_but(id, wanted);
        for one in wanted {
            let known = self.open.iter_mut().find(|open| open.address == one.address);
            if let Some(open) = known {
                if !open.users.contains(&id) {
                    open.users.push(id);
                }
                continue;
            }
            let fd = make(&one.address)
                .map_err(|error| format!("cannot listen on {}: {error}", shown(&one.address)))?;
            self.open.push(Open { address: one.address.clone(), fd, users: vec![id] });
        }
        Ok(())
    }

    /// What the program is handed: our descriptors, and the numbers at which it gets them.
    pub(super) fn handed<'a>(
        &'a self,
        wanted: &'a [Listen],
    ) -> impl Iterator<Item = (BorrowedFd<'a>, RawFd)> + 'a {
        let opened =
            wanted.iter().filter_map(|one| self.open.iter().find(|open| open.address == one.address));
        opened.zip(FIRST..).map(|(open, number)| (open.fd.as_fd(), number))
    }

    /// Closes our side of all that are this program's alone.
    pub(super) fn close(&mut self, id: ProgramId) {
        self.close_but(id, &[]);
    }

    fn close_but(&mut self, id: ProgramId, wanted: &[Listen]) {
        self.open.retain_mut(|open| {
            if wanted.iter().any(|one| one.address == open.address) {
                return true;
            }
            open.users.retain(|user| *user != id);
            if open.users.is_empty() {
                remove(&open.address);
            }
            !open.users.is_empty()
        });
    }
}

fn shown(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => path.display().to_string(),
    }
}

fn make(address: &ListenAddress) -> io::Result<OwnedFd> {
    match address {
        ListenAddress::Tcp(address) => Ok(listen::on(*address, SockFlag::empty())?),
        ListenAddress::Unix(path) => {
            remove_stale(path)?;
            let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
            bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
            // Everybody who reaches it may connect, as with systemd (systemd.socket(5), SocketMode).
            std::fs::set_permissions(path, Permissions::from_mode(0o666))?;
            listen(&fd, Backlog::MAXALLOWABLE)?;
            Ok(fd)
        }
    }
}

/// A socket file that nobody listens on is left from before; one that somebody does is not ours to take.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    // Where the listener's backlog is full, connecting would wait for it.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let client = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let address = UnixAddr::new(path)?;
    let is_stale = || connect(client.as_raw_fd(), &address) == Err(Errno::ECONNREFUSED);
    if metadata.file_type().is_socket() && is_stale() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

fn remove(address: &ListenAddress) {
    match address {
        ListenAddress::Unix(path) => {
            let _ = std::fs::remove_file(path); // a file that is left is removed when it is needed again
        }
        ListenAddress::Tcp(_) => {}
    }
}
