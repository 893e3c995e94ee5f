//! What can happen.

use crate::command::Command;
use crate::outcome::{OutOfMemory, Refusal, Status};
use crate::plan::{Plan, ProgramId, Task};
use crate::signal::Signal;

/// A process, by its number in our PID namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(pub i32);

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The sender's process; 0 where it is outside our PID namespace or the kernel itself.
    pub pid: i32,
    /// The sender's real user.
    pub uid: u32,
    /// What sigqueue(3) sent along, to be passed on.
    pub value: Option<u64>,
}

/// What the hold file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// `true`: hold.
    On,
    /// `false`: do not hold.
    Off,
    /// No file, or an empty one: no opinion.
    Silent,
}

/// How close the container is to its memory limit, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What is in use.
    pub used: u64,
    /// The container's own limit.
    pub limit: u64,
}

impl Memory {
    /// Nine tenths of the limit are in use.
    #[must_use]
    pub fn is_close(self) -> bool {
        self.used >= self.limit - self.limit / 10
    }
}

/// What came of a probe or a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Passed,
    /// It failed, for this reason.
    Failed(String),
    /// It could not be carried out, for this reason, which says nothing of the program.
    Impossible(String),
}

/// Who waits for an answer, by a number that only the kernel understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(pub u64);

/// How much somebody wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// How it is.
    Now,
    /// And how it came to it.
    History,
}

/// The configuration, read again.
#[derive(Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// What it means now. Programs that stay keep their numbers.
    pub plan: Plan,
    /// The programs whose processes are to be started in another way.
    pub changed: Vec<ProgramId>,
    /// Who asked for it and waits for an answer; None where a signal did.
    pub client: Option<Client>,
}

impl std::fmt::Debug for Reloaded {
    /// A whole plan is no line of log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} programs, {:?} started in another way", self.plan.programs.len(), self.changed)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// sexton has started; the first event there is.
    Start,
    /// Answer to [`Effect::Spawn`](crate::effect::Effect::Spawn): the program has been executed in this process.
    Spawned(ProgramId, Pid),
    /// The other answer to it: it could not be executed, and no process is left of the attempt.
    Refused(ProgramId, Refusal),
    /// A child is gone; a stray's end is told only where somebody wants to hear of it. A program that may be started again
    /// or stopped by itself stays a zombie until the next event is asked for: until then its group can be signalled.
    Exited {
        /// Which.
        pid: Pid,
        /// How.
        status: Status,
        /// Given where one of our programs ended other than with code 0.
        memory: Option<OutOfMemory>,
    },
    /// A program's process is at its end, and is kept there with all that it has until
    /// [`Effect::Thaw`](crate::effect::Effect::Thaw). `Exited` still comes when it is gone.
    Frozen {
        /// Which.
        pid: Pid,
        /// How it will be gone.
        status: Status,
        /// As in `Exited`.
        memory: Option<OutOfMemory>,
    },
    /// The program says that it is ready.
    Ready(ProgramId),
    /// Answer to [`Effect::Begin`](crate::effect::Effect::Begin), unless it was abandoned before.
    Done(Task, Outcome),
    /// Somebody has made a new connection to us, while that is watched.
    Connected,
    /// Somebody asks how we are; answered with [`Effect::Tell`](crate::effect::Effect::Tell).
    Asked(Client, Depth),
    /// An operator, who is given, wants something done; answered with [`Effect::Reply`](crate::effect::Effect::Reply) when
    /// it is, unless the container has ended by then.
    Commanded(Client, Sender, Command),
    /// Who asked for something has gone and waits for no answer.
    Left(Client),
    /// A child was stopped by a signal, by a terminal's Ctrl-Z for one.
    Paused(Pid, Signal),
    /// Every exit so far has been told; answer to [`Effect::Reap`](crate::effect::Effect::Reap) too.
    Reaped {
        /// We have no child left.
        alone: bool,
    },
    /// sexton got a signal.
    Signal(Signal, Sender),
    /// The hold file was read, on request or because it changed.
    HoldFile(Switch),
    /// Memory came close to its limit, or was looked at on request.
    Memory(Memory),
    /// The configuration was read again, on request, and has no errors.
    Reloaded(Box<Reloaded>),
    /// The deadline that was asked for is reached.
    Tick,
}
