//! Processes that are kept as they are at their ends, for somebody to look at them: ptrace(2).
//!
//! Only a process's first thread is traced, from just after exec on: it holds the memory, the descriptors and the rest as
//! long as it is not gone. For as long as it lives, each signal that it gets stops it until we pass it on.

use super::sys::{self, Trace, Waited};
use crate::outcome::OutOfMemory;
use crate::plan::ProgramId;

/// What the stop of a process means.
pub(super) enum Stopped {
    /// Nothing: it goes on.
    GoesOn,
    /// This signal has stopped it, and it stays so until it is continued.
    Paused(i32),
    /// It is at its end, and will be gone with this status of wait(2).
    Ends(i32),
}

/// The processes that we trace.
#[derive(Default)]
pub(super) struct Freeze {
    traced: Vec<Traced>,
    /// The programs of which it has been said that they cannot be.
    refused: Vec<ProgramId>,
}

struct Traced {
    pid: i32,
    /// What the cgroup said at its end.
    memory: Option<OutOfMemory>,
}

impl Freeze {
    /// Has the process of this program stopped at its end.
    ///
    /// It runs already, and may be gone by now. Traced before its exec it would not be, but then the kernel would give it
    /// none of the privileges that its file brings (ptrace(2)), and many a server could not bind its port.
    pub(super) fn trace(&mut self, id: ProgramId, pid: i32, name: &str, has_terminal: bool) {
        let refusal = if has_terminal {
            "there is a terminal".to_owned() // whose Ctrl-Z stops us too, and then it would wait for us at each signal
        } else {
            match sys::trace(pid, Trace::Seize) {
                Ok(()) => return self.traced.push(Traced { pid, memory: None }),
                Err(error) => match sys::peek_at(Some(pid.cast_unsigned())) {
                    Waited::Child(_, 0) => return,
                    Waited::Child(..) => "it was gone too soon".to_owned(),
                    Waited::Nothing | Waited::NoChild => error.to_string(),
                },
            }
        };
        if !self.refused.contains(&id) {
            self.refused.push(id);
            log::warn!("cannot freeze `{name}` when it dies: {refusal}; holding without");
        }
    }

    /// A process has been stopped, with this status of wait(2). One that we trace goes on with its signal, stays stopped
    /// where that is what the signal wants, or is at its end.
    ///
    /// An end with code 0 is none to look at. It may be none at all: so ends the first thread alone, and so it does where
    /// another thread executes a program in its place, which is no longer traced. Nor is SIGKILL: memory that the kernel
    /// takes back is not to be kept from it, and ptrace(2) does not promise that it stops there.
    pub(super) fn stopped(&mut self, pid: i32, status: i32) -> Stopped {
        let signal = libc::WSTOPSIG(status);
        let Some(index) = self.traced.iter().position(|traced| traced.pid == pid) else {
            return Stopped::Paused(signal);
        };
        let (what, stopped) = match status >> 16 {
            libc::PTRACE_EVENT_EXIT => match sys::status_at_end(pid) {
                Ok(end) if end != 0 && libc::WTERMSIG(end) != libc::SIGKILL => return Stopped::Ends(end),
                Ok(_) | Err(_) => {
                    self.traced.swap_remove(index);
                    (Trace::Continue(0), Stopped::GoesOn)
                }
            },
            libc::PTRACE_EVENT_STOP if signal != libc::SIGTRAP => (Trace::Listen, Stopped::Paused(signal)),
            libc::PTRACE_EVENT_STOP => (Trace::Continue(0), Stopped::GoesOn),
            _ => (Trace::Continue(signal), Stopped::GoesOn),
        };
        let _ = sys::trace(pid, what); // ESRCH: SIGKILL has come between, and its exit will be told
        stopped
    }

    /// We trace it.
    pub(super) fn has(&self, pid: i32) -> bool {
        self.traced.iter().any(|traced| traced.pid == pid)
    }

    /// Remembers what the cgroup says to an end that will be told a second time.
    pub(super) fn note(&mut self, pid: i32, memory: OutOfMemory) {
        if let Some(traced) = self.traced.iter_mut().find(|traced| traced.pid == pid) {
            traced.memory = Some(memory);
        }
    }

    /// Lets go of a process at its end.
    pub(super) fn thaw(&mut self, pid: i32) {
        if self.has(pid) {
            let _ = sys::trace(pid, Trace::Continue(0)); // ESRCH: it goes already
        }
    }

    /// A process is gone; what the cgroup said when it was at its end.
    pub(super) fn ended(&mut self, pid: i32) -> Option<OutOfMemory> {
        let index = self.traced.iter().position(|traced| traced.pid == pid)?;
        self.traced.swap_remove(index).memory
    }
}
