//! `--tail`: the program's stderr passes through us, and its last lines are kept.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read};

use super::outlet;

/// How much of stderr is kept, in bytes: more than any message quotes.
pub(super) const KEPT: usize = 4096;
/// What a pipe holds, in bytes (pipe(7)).
const PIPE: usize = 64 * 1024;
/// How much is read at once, in bytes.
const AT_ONCE: usize = 16 * 1024;

/// The pipe that is the program's stderr.
pub(super) struct Tail {
    /// Ours, non-blocking.
    out: OwnedFd,
    /// The program's; kept, so that main can be started again, and closed in it on exec.
    into: OwnedFd,
    buffer: Vec<u8>,
    kept: Vec<u8>,
    /// What has come since the last look of who follows it; None where nobody does.
    fresh: Option<Vec<u8>>,
}

impl Tail {
    pub(super) fn new() -> nix::Result<Tail> {
        let (out, into) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&out, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?; // nobody shares this end
        Ok(Tail { out, into, buffer: vec![0; AT_ONCE], kept: Vec::with_capacity(2 * KEPT), fresh: None })
    }

    /// What the program gets as its stderr.
    pub(super) fn program_end(&self) -> BorrowedFd<'_> {
        self.into.as_fd()
    }

    /// What to ask poll(2) about before [`Tail::pump`].
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.out.as_fd()
    }

    /// Both ends, for who closes all others.
    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.out.as_fd(), self.into.as_fd()]
    }

    /// Passes on what there is, as long as it can be written: the program feels a blocked reader, we do not. And no more
    /// than a pipe holds: a program that never stops writing is not to keep us from everything else.
    pub(super) fn pump(&mut self) {
        for _ in 0..PIPE / AT_ONCE {
            if !outlet::stderr().is_clear() || !self.pass_on() {
                return;
            }
        }
    }

    /// Takes in what the pipe holds although it cannot be written yet: for a message, which wants the very last lines.
    pub(super) fn take_in(&mut self) {
        for _ in 0..PIPE / AT_ONCE {
            if !self.pass_on() {
                return;
            }
        }
    }

    /// Reads once, keeps what it got, and hands it on. False where there was nothing.
    fn pass_on(&mut self) -> bool {
        match read(&self.out, &mut self.buffer) {
            Ok(0) => false,
            Ok(count) => {
                let bytes = &self.buffer[..count];
                keep(&mut self.kept, bytes);
                if let Some(fresh) = &mut self.fresh {
                    fresh.extend_from_slice(bytes);
                }
                outlet::stderr().write(bytes);
                true
            }
            Err(Errno::EINTR) => true,
            Err(_) => false, // EAGAIN: nothing more for now
        }
    }

    /// Forgets what was kept: what comes next is another process's.
    pub(super) fn forget(&mut self) {
        self.pump();
        self.kept.clear();
    }

    /// Somebody follows it from here on, or nobody does.
    pub(super) fn follow(&mut self, follow: bool) {
        self.fresh = if follow { self.fresh.take().or(Some(Vec::new())) } else { None };
    }

    /// What has come since the last look of who follows it.
    pub(super) fn fresh(&mut self) -> Vec<u8> {
        self.fresh.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The last of what passed.
    pub(super) fn kept(&self) -> &[u8] {
        let start = self.kept.len().saturating_sub(KEPT);
        &self.kept[start..]
    }
}

/// Appends to a buffer that forgets its beginning, and moves its content only once every [`KEPT`] bytes.
pub(super) fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[bytes.len().saturating_sub(KEPT)..];
    if kept.len() + bytes.len() > 2 * KEPT {
        kept.drain(..kept.len() - (KEPT - bytes.len()));
    }
    kept.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_however_it_came() {
        let all: Vec<u8> = (0..50_000_u32).map(|i| u8::try_from(i % 251).unwrap_or(0)).collect();
        for step in [1, 7, 4095, 4096, 4097, 9000] {
            let mut kept = Vec::with_capacity(2 * KEPT);
            for chunk in all.chunks(step) {
                keep(&mut kept, chunk);
            }
            assert!(kept.len() >= KEPT && kept.capacity() == 2 * KEPT, "steps of {step}");
            assert!(all.ends_with(&kept[kept.len() - KEPT..]), "steps of {step}");
        }
    }
}
