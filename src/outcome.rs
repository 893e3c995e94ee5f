//! How a program ended, why, and the exit code that follows from it.

use std::time::Duration;

use crate::plan::{ProgramId, RestartLimit};
use crate::signal::Signal;

/// What wait(2) says of a process that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It called exit with this code.
    Exited(u8),
    /// A signal killed it.
    Killed {
        /// Which one.
        signal: Signal,
        /// Whether the kernel dumped its memory.
        core: bool,
    },
}

/// What a process and those that it waited for have used (getrusage(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of its own.
    pub user: Duration,
    /// CPU time that the kernel spent for it.
    pub system: Duration,
    /// The most memory that one of them had at a time, in bytes.
    pub most_memory: u64,
    /// Page faults that took input or output.
    pub major_faults: u64,
    /// Those that did not.
    pub minor_faults: u64,
    /// How often it gave the CPU away.
    pub voluntary_switches: u64,
    /// How often that was taken from it.
    pub involuntary_switches: u64,
}

/// What the cgroup's counters say since they were last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfMemory {
    /// The counters did not move: a SIGKILL was somebody's.
    No,
    /// They moved, and the container's own limit was reached.
    OwnLimit,
    /// They moved, but the limit that was reached is an ancestor's (the pod's) or the node's.
    Elsewhere,
    /// They moved, and this kernel does not say whose limit it was (cgroup v1).
    SomeLimit,
    /// The container has had such kills, but whether this was one is not known: nobody looked before.
    Perhaps,
    /// There are no counters to read.
    Unknown,
}

/// Why sexton sent SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    /// The program's own time to stop in (`stopwaitsecs`) was used up.
    StopWait,
    /// The time to stop in was used up for the whole container.
    TimeOver,
    /// A third stop signal asked for it.
    ThirdSignal,
}

/// Why a program could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The exit code that says so: 127 not found, 126 cannot be run, 111 no process could be made.
    pub code: u8,
    /// The whole sentence, `cannot <verb> <object>: <cause>`.
    pub reason: String,
}

/// The end of a program, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its process ended.
    Ended {
        /// How.
        status: Status,
        /// What the cgroup says of its memory; None where it ended with code 0.
        memory: Option<OutOfMemory>,
        /// It was sexton's own SIGKILL.
        by_us: Option<KillReason>,
        /// Why it had been told to end: it had failed.
        failed: Option<Failed>,
        /// How long the process had lived.
        ran: Duration,
    },
    /// It never ran.
    Refused(Refusal),
    /// SIGKILL did not end it in time: an uninterruptible sleep, or somebody else's process.
    Unkillable,
}

/// How a process had failed before it was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The step had not ended in its time.
    Timeout,
    /// The post_start hook had.
    PostStart,
    /// The startup probe had.
    Startup,
    /// The liveness probe had.
    Liveness,
}

impl Failed {
    /// What had failed, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Failed::Timeout => "timeout",
            Failed::PostStart => "post_start hook",
            Failed::Startup => "startup probe",
            Failed::Liveness => "liveness probe",
        }
    }
}

impl Cause {
    /// The same, after the process had been told to end for this.
    #[must_use]
    pub fn because(self, why: Failed) -> Cause {
        match self {
            Cause::Ended { status, memory, by_us, failed: _, ran } => {
                Cause::Ended { status, memory, by_us, failed: Some(why), ran }
            }
            Cause::Refused(_) | Cause::Unkillable => self,
        }
    }

    /// It had been told to end because it had failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        match self {
            Cause::Ended { failed, .. } => failed.is_some(),
            Cause::Refused(_) | Cause::Unkillable => false,
        }
    }

    /// The exit code as it comes: the program's own, 128 + n for signal n, 126, 127 or 111 where it never ran.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Cause::Ended { status: Status::Exited(code), .. } => *code,
            Cause::Ended { status: Status::Killed { signal, .. }, .. } => signal.exit_code(),
            Cause::Refused(refusal) => refusal.code,
            Cause::Unkillable => Signal::KILL.exit_code(),
        }
    }

    /// Whether a program ran at all, so that its code is its own.
    #[must_use]
    pub fn is_own_code(&self) -> bool {
        match self {
            Cause::Ended { .. } => true,
            Cause::Refused(_) | Cause::Unkillable => false,
        }
    }
}

/// What follows from the end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequel {
    /// Nothing: it was expected, or asked for, or nobody wants a restart.
    Nothing,
    /// The program is started again.
    Restart {
        /// After so long.
        after: Duration,
        /// Which retry it is, and of how many; None where the process had been RUNNING.
        retry: Option<(u32, u32)>,
    },
    /// The program is FATAL: so many failed starts were retried, of so many.
    RetriesUsed(u32, u32),
    /// The program is FATAL: it was restarted too often.
    TooManyRestarts(RestartLimit),
}

/// Everything that is to be told about the end of a program: what the termination message is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which program.
    pub id: ProgramId,
    /// Its name.
    pub program: String,
    /// How it ended.
    pub cause: Cause,
    /// What follows.
    pub sequel: Sequel,
    /// It ended with an expected code, or because it was told to.
    pub is_expected: bool,
    /// The code that sexton ends with, where it is this program that ends it.
    pub code: u8,
    /// The stop signal that had been received before, if one had.
    pub stopped_by: Option<Signal>,
    /// How long the container was held after it, if it was.
    pub held: Option<Duration>,
    /// How long sexton had been running.
    pub uptime: Duration,
}
