//! What can be done.

use crate::command::Reply;
use crate::event::{Client, Pid, Sender};
use crate::notice::Notice;
use crate::outcome::Report;
use crate::plan::{ProgramId, Task};
use crate::signal::Signal;
use crate::snapshot::Snapshot;

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One process.
    Process(Pid),
    /// The process group that this process leads.
    Group(Pid),
    /// Every process in the container but us, and outside PID 1 every descendant of ours.
    Everyone,
    /// Every process below us that descends from no program.
    Strays,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Process(Pid(pid)) => write!(f, "process {pid}"),
            Target::Group(Pid(pid)) => write!(f, "process group {pid}"),
            Target::Everyone => f.write_str("everyone"),
            Target::Strays => f.write_str("what was left behind"),
        }
    }
}

/// The note left in the termination message's file while the program still runs: all that survives our own SIGKILL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breadcrumb {
    /// A stop signal has come.
    StopRequested(Signal),
    /// Main has ended like this, and the container is held open.
    Held(Box<Report>),
    /// The memory limit is close.
    NearMemoryLimit(crate::event::Memory),
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start the program; answered by [`Event::Spawned`](crate::event::Event::Spawned) or `Refused`.
    Spawn(ProgramId),
    /// Send a signal; the sender is given where what it sent along is to be passed on.
    Signal(Target, Signal, Option<Sender>),
    /// Put this process's group into the terminal's foreground, where our own group is in it.
    GiveTerminal(Pid),
    /// Take the terminal back for our own group.
    TakeTerminal,
    /// Stop ourselves as this signal would by default.
    StopSelf(Signal),
    /// No child will be started any more: let go of the descriptors and the directory kept for it.
    LetGo,
    /// Let go of this process, which is kept at its end; [`Event::Exited`](crate::event::Event::Exited) tells when it is gone.
    Thaw(Pid),
    /// Collect the exits there are; answered by [`Event::Reaped`](crate::event::Event::Reaped).
    Reap,
    /// Begin this probe or hook; answered by [`Event::Done`](crate::event::Event::Done).
    Begin(Task),
    /// No longer wait for this probe or hook, and end what it has started: it is not answered any more.
    Abandon(Task),
    /// Close our side of the sockets that are kept for this program: nobody will accept.
    Unlisten(ProgramId),
    /// Tell of new connections, or no longer.
    WatchConnections(bool),
    /// Answer the question how we are.
    Tell(Client, Box<Snapshot>),
    /// Answer a command.
    Reply(Client, Reply),
    /// Keep all that can be known of this end, which nobody wanted.
    KeepCrash(Box<Report>, Box<Snapshot>),
    /// Show to everybody who looks at our process that the container is held, or no longer.
    ShowHeld(bool),
    /// Read the hold file; answered by [`Event::HoldFile`](crate::event::Event::HoldFile).
    ReadHoldFile,
    /// Tell of every change of the hold file, or no longer.
    WatchHoldFile(bool),
    /// Read the configuration again; answered by [`Event::Reloaded`](crate::event::Event::Reloaded) where it has no errors,
    /// and where it has, they are said in the log and to who asked for it.
    Reload(Option<Client>),
    /// Look at the memory in use; answered by [`Event::Memory`](crate::event::Event::Memory) where it can be known.
    ReadMemory,
    /// Leave this note in the termination message's file, in place of the last; with None take the last away.
    Breadcrumb(Option<Breadcrumb>),
    /// Write the termination message.
    Report(Box<Report>),
    /// Say in the log how the container is held and which commands get one in and out.
    AnnounceHold {
        /// How main ended.
        report: Box<Report>,
        /// How long the hold may last; None is without end.
        limit: Option<std::time::Duration>,
    },
    /// Say in the log for which processes we wait.
    SayWhoIsLeft,
    /// Say this in the log.
    Say(Notice),
}
