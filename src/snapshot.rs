//! What the supervisor knows, for whoever wants to know: the health endpoint, and what comes after it.
//!
//! Times are those of the supervisor's clock; wall-clock time is added outside.

use std::time::Duration;

use crate::event::Pid;
use crate::outcome::Status;
use crate::plan::Role;
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
    /// Steps and programs, in the order of the file; none that the file no longer has.
    pub programs: Vec<Program>,
}

impl std::fmt::Debug for Snapshot {
    /// All of it is no line of log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {} programs", self.life, self.programs.len())
    }
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
    /// Somebody counts on it: it is neither a program that only starts when somebody says so, and has not been, nor one that
    /// has ended as expected and is not to start again.
    pub is_wanted: bool,
    /// How many processes of it have been executed.
    pub starts: u64,
    /// How its processes ended, and how many of them.
    pub exits: Vec<(Status, u64)>,
    /// When the last of them ended.
    pub ended_at: Option<Time>,
    /// Its probes.
    pub probes: Vec<Probe>,
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
