//! One program's states, in Supervisor's words, and what moves it from one to the next.

use crate::event::Pid;
use crate::outcome::{Cause, KillReason, OutOfMemory, Refusal, Status};
use crate::signal::Signal;
use crate::time::Time;

/// What a program is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has not been started.
    Stopped,
    /// A process for it has been asked for; the answer is the next event.
    Starting,
    /// It runs.
    Running {
        /// In this process.
        pid: Pid,
        /// Since then.
        since: Time,
        /// A signal has stopped it, and we have not continued it.
        paused: bool,
    },
    /// It ran and ended.
    Exited(Cause),
    /// It could not be started, or not be ended.
    Fatal(Cause),
}

/// What can happen to a program.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// It is to start.
    Start,
    /// It has been executed.
    Spawned(Pid),
    /// It could not be executed.
    Refused(Refusal),
    /// Its process is gone.
    Exited {
        /// How it went.
        status: Status,
        /// What the cgroup says to a SIGKILL.
        memory: Option<OutOfMemory>,
        /// We had sent SIGKILL.
        killed_by_us: Option<KillReason>,
    },
    /// A signal stopped its process.
    Paused,
    /// We sent SIGCONT.
    Continued,
    /// Its process outlived SIGKILL, and we wait no longer.
    Abandoned,
}

/// The pair of state and input cannot come together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Impossible(pub(crate) &'static str);

impl State {
    /// The state after `input`.
    pub(crate) fn after(&self, input: Input, now: Time) -> Result<State, Impossible> {
        match (self, input) {
            (State::Stopped | State::Exited(_) | State::Fatal(_), Input::Start) => Ok(State::Starting),
            (State::Starting | State::Running { .. }, Input::Start) => {
                Err(Impossible("start of what is started"))
            }

            (State::Starting, Input::Spawned(pid)) => Ok(State::Running { pid, since: now, paused: false }),
            (
                State::Stopped | State::Running { .. } | State::Exited(_) | State::Fatal(_),
                Input::Spawned(_),
            ) => Err(Impossible("a process that was not asked for")),

            (State::Starting, Input::Refused(refusal)) => Ok(State::Fatal(Cause::Refused(refusal))),
            (
                State::Stopped | State::Running { .. } | State::Exited(_) | State::Fatal(_),
                Input::Refused(_),
            ) => Err(Impossible("the refusal of what was not asked for")),

            (State::Running { since, .. }, Input::Exited { status, memory, killed_by_us }) => {
                let ran = now.since(*since);
                let is_sigkill = matches!(status, Status::Killed { signal, .. } if signal == Signal::KILL);
                let by_us = killed_by_us.filter(|_| is_sigkill);
                Ok(State::Exited(Cause::Ended { status, memory, by_us, ran }))
            }
            (State::Stopped | State::Starting | State::Exited(_) | State::Fatal(_), Input::Exited { .. }) => {
                Err(Impossible("the exit of what does not run"))
            }

            (State::Running { pid, since, .. }, Input::Paused) => {
                Ok(State::Running { pid: *pid, since: *since, paused: true })
            }
            (State::Stopped | State::Starting | State::Exited(_) | State::Fatal(_), Input::Paused) => {
                Err(Impossible("the pause of what does not run"))
            }

            (State::Running { pid, since, .. }, Input::Continued) => {
                Ok(State::Running { pid: *pid, since: *since, paused: false })
            }
            (State::Stopped | State::Starting | State::Exited(_) | State::Fatal(_), Input::Continued) => {
                Err(Impossible("SIGCONT to what does not run"))
            }

            (State::Running { .. }, Input::Abandoned) => Ok(State::Fatal(Cause::Unkillable)),
            (State::Stopped | State::Starting | State::Exited(_) | State::Fatal(_), Input::Abandoned) => {
                Err(Impossible("the end of waiting for what does not run"))
            }
        }
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<Pid> {
        match self {
            State::Running { pid, .. } => Some(*pid),
            State::Stopped | State::Starting | State::Exited(_) | State::Fatal(_) => None,
        }
    }

    /// Why it ended, once it has.
    pub(crate) fn cause(&self) -> Option<&Cause> {
        match self {
            State::Exited(cause) | State::Fatal(cause) => Some(cause),
            State::Stopped | State::Starting | State::Running { .. } => None,
        }
    }

    /// Its name in the document.
    #[cfg(test)]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            State::Stopped => "STOPPED",
            State::Starting => "STARTING",
            State::Running { .. } => "RUNNING",
            State::Exited(_) => "EXITED",
            State::Fatal(_) => "FATAL",
        }
    }
}
