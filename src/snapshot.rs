//! What the supervisor knows, for whoever wants to know: the health endpoint, and what comes after it.
//!
//! Times are those of the supervisor's clock; wall-clock time is added outside.

use std::time::Duration;

use log::Level;

use crate::event::{Pid, Sender};
use crate::outcome::{Report, Status};
use crate::plan::{Condition, Role};
use crate::signal::Signal;
use crate::time::Time;

/// The container at one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The moment.
    pub now: Time,
    /// Where the container is in its life.
    pub life: Life,
    /// Readiness fails, whatever the programs say: we are draining so, stopping or held.
    pub is_closing: bool,
    /// How long it is held by now; None where it is not.
    pub held: Option<Duration>,
    /// How often it has been held.
    pub holds: u64,
    /// When the hold ends by itself.
    pub held_until: Option<Time>,
    /// A failure would be held, or is.
    pub holds_failures: bool,
    /// The program that the hold, or the end, is about.
    pub culprit: Option<String>,
    /// The first stop signal, who sent it, and when.
    pub stop: Option<(Signal, Sender, Time)>,
    /// When the drain ends as far as it is known, or everything left gets SIGKILL.
    pub ends_at: Option<Time>,
    /// Steps and programs, in the order of the file; none that the file no longer has.
    pub programs: Vec<Program>,
    /// What came to pass, the oldest first, where that was asked for. Of each program and of the container the last only.
    pub history: Vec<Happening>,
}

impl std::fmt::Debug for Snapshot {
    /// All of it is no line of log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {} programs", self.life, self.programs.len())
    }
}

/// Something that came to pass, as it was said: what it was made of would be more to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: Time,
    /// How loud it was said.
    pub level: Level,
    /// The program that it is about; None where it is about the container.
    pub program: Option<String>,
    /// The program that made it come to pass, where it is about the container.
    pub culprit: Option<String>,
    /// The line.
    pub text: String,
}

/// Where the container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Nobody has asked for an end.
    Up,
    /// A stop signal has come, and the programs go on serving.
    Draining,
    /// The programs are told to stop, or have stopped.
    Stopping,
    /// It is held open after a failure.
    Holding,
}

/// A program at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// It is a step.
    pub is_step: bool,
    /// Supervisor's word for its state, one of [`STATES`].
    pub state: &'static str,
    /// Its process, and since when.
    pub process: Option<(Pid, Time)>,
    /// It has been up once: RUNNING or ready, its post_start hook done, its startup probe passed; a step has ended as expected.
    pub has_started: bool,
    /// It is ready.
    pub is_ready: bool,
    /// When it has ended for good, the container ends.
    pub is_essential: bool,
    /// Somebody counts on it: it is neither a program that only starts when somebody says so, and has not been, nor one that
    /// has ended as expected and is not to start again.
    pub is_wanted: bool,
    /// How many processes of it have been executed.
    pub starts: u64,
    /// How its processes ended, and how many of them.
    pub exits: Vec<(Status, u64)>,
    /// When the last of them ended.
    pub ended_at: Option<Time>,
    /// How that was; also told of what could not be executed.
    pub last_end: Option<Box<Report>>,
    /// What it is about to do, and what it waits for.
    pub doing: Doing,
    /// An operator has stopped it.
    pub is_stopped_by_hand: bool,
    /// A signal has stopped its process, which waits for SIGCONT.
    pub is_paused: bool,
    /// Its probes.
    pub probes: Vec<Probe>,
}

/// What a program is about to do although nothing else happens, or what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Nothing.
    Nothing,
    /// It starts when another is so far.
    Waits {
        /// Which.
        on: String,
        /// How far.
        condition: Condition,
        /// That will never be, for this one has ended for good.
        in_vain: Option<String>,
    },
    /// It counts as started then, where nothing else is waited for.
    Starts(Option<Time>),
    /// It starts again then, as so many have before, of so many; None where it was RUNNING.
    StartsAgain(Time, Option<(u32, u32)>),
    /// Its pre_stop hook runs, until then at most.
    RunsPreStop(Time),
    /// It has its stop signal, and gets SIGKILL then.
    Stops(Option<Time>),
    /// It has SIGKILL.
    IsKilled,
}

/// A probe at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Which.
    pub role: Role,
    /// What it last decided by its thresholds; None where it has not.
    pub is_success: Option<bool>,
    /// How many attempts succeeded.
    pub passed: u64,
    /// How many failed.
    pub failed: u64,
    /// How many could not be made.
    pub errors: u64,
}

/// Supervisor's states.
pub const STATES: [&str; 7] = ["STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL"];
