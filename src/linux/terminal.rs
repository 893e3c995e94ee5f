//! The controlling terminal: main's group is put into its foreground, and taken out again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use super::sys;

/// The controlling terminal, if there is one.
pub(super) struct Terminal {
    /// /dev/tty; None where only standard input leads to the terminal.
    tty: Option<OwnedFd>,
    own_group: Pid,
    given: bool,
}

impl Terminal {
    /// Finds it. tty(4): /dev/tty cannot be opened without a controlling terminal, and tcgetpgrp(3) fails on a terminal
    /// that is not ours.
    pub(super) fn find() -> Option<Terminal> {
        let tty = open("/dev/tty", OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC, Mode::empty()).ok();
        tcgetpgrp(tty.as_ref().map_or_else(sys::stdin, AsFd::as_fd)).ok()?;
        Some(Terminal { tty, own_group: getpgrp(), given: false })
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.own_descriptor().unwrap_or_else(sys::stdin)
    }

    /// The descriptor of our own, if we have one.
    pub(super) fn own_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.tty.as_ref().map(AsFd::as_fd)
    }

    /// The descriptor by which to give the terminal away; None where we are not in its foreground, and a shell above us
    /// wants to keep it.
    pub(super) fn giving(&mut self) -> Option<BorrowedFd<'_>> {
        let in_foreground = tcgetpgrp(self.descriptor()) == Ok(self.own_group);
        self.given |= in_foreground;
        in_foreground.then(|| self.descriptor())
    }

    /// Gives the terminal to this process's group, where it is ours to give.
    pub(super) fn give(&mut self, group: i32) {
        let Some(terminal) = self.giving() else { return };
        if let Err(error) = tcsetpgrp(terminal, Pid::from_raw(group)) {
            log::warn!(
                "cannot put main into the terminal's foreground: {error}; it may be stopped when it reads"
            );
        }
    }

    /// Whoever has it now, a shell has seen to it: it is not ours to take back.
    pub(super) fn leave_to_shell(&mut self) {
        self.given = false;
    }

    /// Takes it back where we gave it away: the group in the foreground is gone, and Ctrl-C would reach nobody.
    pub(super) fn take(&mut self) {
        // A group outside our PID namespace reads as 0 and cannot be named.
        if std::mem::take(&mut self.given) && self.own_group.as_raw() != 0 {
            let _ = tcsetpgrp(self.descriptor(), self.own_group); // the terminal may have been hung up
        }
    }
}
