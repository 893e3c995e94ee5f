//! Every line that the supervisor has for the log, and all of its wording.

use std::fmt;
use std::time::Duration;

use log::Level;

use crate::command::{Command, Verb};
use crate::event::{Pid, Sender};
use crate::outcome::{Cause, Failed, KillReason, OutOfMemory, Report, Sequel, Status};
use crate::plan::{Condition, Role};
use crate::signal::Signal;
use crate::time::Span;

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A program has been executed.
    Started {
        /// The program's name.
        program: String,
        /// Its process.
        pid: Pid,
    },
    /// A program has lived long enough to count as started.
    Running {
        /// The program's name.
        program: String,
    },
    /// A program says that it is ready.
    Ready {
        /// The program's name.
        program: String,
    },
    /// A program is no longer ready.
    NotReady {
        /// The program's name.
        program: String,
        /// What its readiness probe says.
        reason: String,
    },
    /// A probe has failed so often that the program is stopped for it.
    ProbeFailed {
        /// The program's name.
        program: String,
        /// Which probe.
        role: Role,
        /// How often in a row.
        count: u32,
        /// What it says.
        reason: String,
    },
    /// A probe or a hook was tried and did not succeed, which may not mean much yet.
    AttemptFailed {
        /// The program's name.
        program: String,
        /// Which of them.
        role: Role,
        /// What it says.
        reason: String,
    },
    /// A probe cannot be carried out, which says nothing of the program.
    ProbeImpossible {
        /// The program's name.
        program: String,
        /// Which probe.
        role: Role,
        /// Why.
        reason: String,
    },
    /// A hook begins.
    HookBegun {
        /// The program's name.
        program: String,
        /// Which hook.
        role: Role,
    },
    /// A hook has failed.
    HookFailed {
        /// The program's name.
        program: String,
        /// Which hook.
        role: Role,
        /// Why.
        reason: String,
    },
    /// A program starts only when another is so far.
    WaitsFor {
        /// The program's name.
        program: String,
        /// What it waits for.
        on: String,
        /// How far that has to be.
        condition: Condition,
    },
    /// A program has failed for good, and others wait for it.
    HoldsUp {
        /// The program's name.
        program: String,
        /// Who waits for it, or for one that does.
        waiting: Vec<String>,
    },
    /// A program has ended, or could not be started.
    Ended(Box<Report>),
    /// A step has not ended in its time.
    TimedOut {
        /// The step's name.
        program: String,
    },
    /// A program is told to end.
    Stopping {
        /// The program's name.
        program: String,
        /// What it gets.
        signal: Signal,
    },
    /// A program gets SIGKILL, its time to stop in is over.
    KillingProgram {
        /// The program's name.
        program: String,
        /// Its process.
        pid: Pid,
    },
    /// The configuration has been read again; how many programs are new, gone and changed.
    Reloaded {
        /// To be started.
        new: usize,
        /// To be stopped.
        gone: usize,
        /// To be restarted.
        changed: usize,
    },
    /// An operator has asked for this.
    Commanded {
        /// For what.
        command: Command,
        /// Who it was.
        sender: Sender,
    },
    /// The container is held open after this end, so long at most.
    Held(Box<Report>, Option<Duration>),
    /// A stop signal has come.
    StopRequested {
        /// The signal.
        signal: Signal,
        /// Who sent it.
        sender: Sender,
        /// How long the programs are left alone first; None where they are told at once.
        drain: Option<Duration>,
        /// And until no new connection has come for so long.
        quiet: Option<Duration>,
    },
    /// The drain is over; the programs are told.
    DrainOver(DrainEnd),
    /// This program's end is the container's end; the others are stopped.
    Over {
        /// The program's name.
        program: String,
    },
    /// We wait for these programs to end, each with the time until its SIGKILL; None where there will be none.
    WaitingFor(Vec<(String, Option<Duration>)>),
    /// Everything left gets SIGKILL now.
    Killing(KillReason),
    /// SIGKILL did not end everything in time.
    GivingUp,
    /// The hold is over.
    Released(Release),
    /// A signal that nobody is there to get.
    Unheard(Signal),
    /// A terminal or a signal stopped a program, which waits for SIGCONT.
    Paused {
        /// The program's name.
        program: String,
        /// What stopped it.
        signal: Signal,
    },
    /// A process that we did not start was reaped.
    Reaped(Pid, Status),
    /// Something that cannot happen did: a mistake in sexton.
    Bug(&'static str),
}

/// Why a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainEnd {
    /// It has lasted as long as it was to.
    Delay,
    /// No new connection has come for so long.
    Quiet(Duration),
    /// Connections still came, but the stop budget leaves no more time.
    Budget,
    /// A second stop signal asked for it.
    Signal,
}

/// Why a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// By this signal.
    Signal(Signal),
    /// The hold file said so.
    File,
    /// It had lasted as long as it may.
    TimeUp,
    /// An operator said so.
    Operator,
    /// By this signal or, with None, by an operator's command, and what failed starts again.
    Restart(Option<Signal>),
}

impl Notice {
    /// How loud it is: warn for what is unexpected, info for what changes, debug for the rest.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Notice::Ended(report) => ending_level(report),
            Notice::AttemptFailed { .. } => Level::Debug,
            Notice::HoldsUp { .. } | Notice::Bug(_) => Level::Error,
            Notice::TimedOut { .. }
            | Notice::NotReady { .. }
            | Notice::ProbeFailed { .. }
            | Notice::ProbeImpossible { .. }
            | Notice::HookFailed { .. }
            | Notice::DrainOver(DrainEnd::Budget)
            | Notice::KillingProgram { .. }
            | Notice::Killing(_)
            | Notice::GivingUp
            | Notice::Released(_)
            | Notice::Held(..)
            | Notice::Reaped(..)
            | Notice::Paused { .. } => Level::Warn,
            Notice::Started { .. }
            | Notice::Running { .. }
            | Notice::Ready { .. }
            | Notice::WaitsFor { .. }
            | Notice::Stopping { .. }
            | Notice::Reloaded { .. }
            | Notice::Commanded { .. }
            | Notice::StopRequested { .. }
            | Notice::HookBegun { .. }
            | Notice::DrainOver(DrainEnd::Delay | DrainEnd::Quiet(_) | DrainEnd::Signal)
            | Notice::Over { .. }
            | Notice::Unheard(_)
            | Notice::WaitingFor(_) => Level::Info,
        }
    }

    /// The program that it is about; None where it is about the container.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        match self {
            Notice::Started { program, .. }
            | Notice::Running { program }
            | Notice::Ready { program }
            | Notice::NotReady { program, .. }
            | Notice::ProbeFailed { program, .. }
            | Notice::AttemptFailed { program, .. }
            | Notice::ProbeImpossible { program, .. }
            | Notice::HookBegun { program, .. }
            | Notice::HookFailed { program, .. }
            | Notice::WaitsFor { program, .. }
            | Notice::HoldsUp { program, .. }
            | Notice::TimedOut { program }
            | Notice::Stopping { program, .. }
            | Notice::KillingProgram { program, .. }
            | Notice::Paused { program, .. } => Some(program),
            Notice::Ended(report) => Some(&report.program),
            Notice::Held(..)
            | Notice::Reloaded { .. }
            | Notice::Commanded { .. }
            | Notice::StopRequested { .. }
            | Notice::DrainOver(_)
            | Notice::Over { .. }
            | Notice::WaitingFor(_)
            | Notice::Killing(_)
            | Notice::GivingUp
            | Notice::Released(_)
            | Notice::Unheard(_)
            | Notice::Reaped(..)
            | Notice::Bug(_) => None,
        }
    }
}

fn ending_level(report: &Report) -> Level {
    let is_restarted = matches!(report.sequel, Sequel::Restart { .. });
    let has_given_up = matches!(report.sequel, Sequel::RetriesUsed(1.., _) | Sequel::TooManyRestarts(_));
    match &report.cause {
        _ if has_given_up => Level::Error,
        _ if is_restarted && !report.is_expected => Level::Warn,
        Cause::Refused(_) | Cause::Unkillable => Level::Error,
        Cause::Ended { by_us: Some(_), .. } => Level::Warn,
        Cause::Ended { status: Status::Killed { .. }, .. }
            if report.stopped_by.is_none() && !report.is_expected =>
        {
            Level::Warn
        }
        Cause::Ended { .. } => Level::Info,
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Started { program, pid } => write!(f, "{program}: started as process {}", pid.0),
            Notice::Running { program } => write!(f, "{program}: running"),
            Notice::Ready { program } => write!(f, "{program}: ready"),
            Notice::NotReady { program, reason } => write!(f, "{program}: not ready: {reason}"),
            Notice::ProbeFailed { program, role, count: 1, reason } => {
                write!(f, "{program}: its {} has failed: {reason}; stopping it", role.name())
            }
            Notice::ProbeFailed { program, role, count, reason } => {
                write!(f, "{program}: its {} has failed {count} times: {reason}; stopping it", role.name())
            }
            Notice::AttemptFailed { program, role, reason } => {
                write!(f, "{program}: {}: {reason}", role.name())
            }
            Notice::ProbeImpossible { program, role, reason } => {
                write!(f, "{program}: cannot run its {}: {reason}; it says nothing", role.name())
            }
            Notice::HookBegun { program, role } => write!(f, "{program}: running its {}", role.name()),
            Notice::HookFailed { program, role, reason } => {
                write!(f, "{program}: its {} has failed: {reason}", role.name())
            }
            Notice::WaitsFor { program, on, condition } => {
                write!(f, "{program}: waiting for {on} to be {}", condition.word())
            }
            Notice::HoldsUp { program, waiting } => {
                write!(f, "{program}: has ended for good, and holds up ")?;
                list(f, waiting.iter().map(|name| (name, None)))
            }
            Notice::Ended(report) => write!(f, "{}: {}{}", report.program, Ending(report), Next(report.sequel)),
            Notice::TimedOut { program } => write!(f, "{program}: not done in its time; stopping it"),
            Notice::Stopping { program, signal } => write!(f, "{program}: stopping with {signal}"),
            Notice::KillingProgram { program, pid } => {
                write!(f, "{program}: did not end in its stopwaitsecs; SIGKILL to process {}", pid.0)
            }
            Notice::Reloaded { new, gone, changed } => write!(
                f,
                "configuration read again: {new} new, {gone} gone, {changed} changed; the others keep their processes"
            ),
            Notice::Commanded { command, sender } => {
                write!(f, "{} asked for by {}", Asked(command), Origin(*sender))
            }
            Notice::Held(report, limit) => {
                write!(f, "{}: {}; holding the container", report.program, Ending(report))?;
                limit.map_or(Ok(()), |limit| write!(f, " for {}", Span(limit)))
            }
            Notice::StopRequested { signal, sender, drain, quiet } => {
                write!(f, "{signal} received from {}; ", Origin(*sender))?;
                match (drain, quiet) {
                    (Some(drain), None) => {
                        write!(f, "draining for {} before anything is stopped", Span(*drain))
                    }
                    (Some(drain), Some(quiet)) => write!(
                        f,
                        "draining for {} at least, and until no new connection has come for {}",
                        Span(*drain),
                        Span(*quiet)
                    ),
                    (None, _) => f.write_str("stopping"),
                }
            }
            Notice::Over { program } => write!(f, "the container ends with {program}; stopping the others"),
            Notice::DrainOver(DrainEnd::Delay | DrainEnd::Signal) => f.write_str("the drain is over; stopping"),
            Notice::DrainOver(DrainEnd::Quiet(quiet)) => {
                write!(f, "the drain is over, no new connection has come for {}; stopping", Span(*quiet))
            }
            Notice::DrainOver(DrainEnd::Budget) => f.write_str(
                "the drain is over although connections still come: the stop budget leaves no more time; stopping",
            ),
            Notice::WaitingFor(programs) => {
                f.write_str("waiting for ")?;
                list(f, programs.iter().map(|(name, kill_in)| (name, Some(*kill_in))))
            }
            Notice::Killing(KillReason::StopWait) => f.write_str("a program's stopwaitsecs are over"),
            Notice::Killing(KillReason::TimeOver) => {
                f.write_str("the stop budget is used up; everything left gets SIGKILL")
            }
            Notice::Killing(KillReason::ThirdSignal) => {
                f.write_str("a third stop signal has come; everything left gets SIGKILL")
            }
            Notice::GivingUp => {
                f.write_str("cannot end everything with SIGKILL: something is in an uninterruptible sleep or another user's; going on without")
            }
            Notice::Released(Release::Signal(signal)) => write!(f, "hold ended by {signal}; exiting"),
            Notice::Released(Release::File) => f.write_str("hold ended by the hold file; exiting"),
            Notice::Released(Release::TimeUp) => f.write_str("hold ended, its time is up; exiting"),
            Notice::Released(Release::Operator) => f.write_str("hold ended by an operator; exiting"),
            Notice::Released(Release::Restart(Some(signal))) => {
                write!(f, "hold ended by {signal}; starting main again")
            }
            Notice::Released(Release::Restart(None)) => {
                f.write_str("hold ended by an operator; starting again what failed")
            }
            Notice::Unheard(signal) => write!(f, "{signal} ignored: nobody is there to get it"),
            Notice::Paused { program, signal } => write!(f, "{program}: stopped by {signal}; SIGCONT continues it"),
            Notice::Reaped(pid, status) => write!(f, "reaped stray process {}: {}", pid.0, Fate(*status)),
            Notice::Bug(what) => write!(f, "this is a mistake in sexton, please report it: {what}"),
        }
    }
}

/// A command, as one writes it.
struct Asked<'a>(&'a Command);

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Command::Programs { verb, names, dependents } => {
                match verb {
                    Verb::Start => f.write_str("start")?,
                    Verb::Stop => f.write_str("stop")?,
                    Verb::Restart => f.write_str("restart")?,
                    Verb::Signal(signal) => write!(f, "signal {signal}")?,
                }
                if *dependents {
                    f.write_str(" --dependents")?;
                }
                names.iter().take(MOST_NAMES).try_for_each(|name| write!(f, " {name}"))
            }
            Command::Reload => f.write_str("reload"),
            Command::Hold(true) => f.write_str("hold on"),
            Command::Hold(false) => f.write_str("hold off"),
            Command::Release { restart: false } => f.write_str("release"),
            Command::Release { restart: true } => f.write_str("release --restart"),
        }
    }
}

/// What follows from an end, as the rest of the sentence that tells it.
pub struct Next(pub Sequel);

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Sequel::Restart { after, retry } => {
                if after.is_zero() {
                    f.write_str("; restarting now")?;
                } else {
                    write!(f, "; restarting in {}", Span(after))?;
                }
                retry.map_or(Ok(()), |(which, of)| write!(f, " ({which} of {of})"))
            }
            Sequel::Nothing | Sequel::RetriesUsed(..) | Sequel::TooManyRestarts(_) => Ok(()),
        }
    }
}

/// How a process ended, in words.
pub struct Fate(pub Status);

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Status::Exited(code) => write!(f, "exited with code {code}"),
            Status::Killed { signal, core: false } => write!(f, "killed by {signal}"),
            Status::Killed { signal, core: true } => write!(f, "killed by {signal} (core dumped)"),
        }
    }
}

/// Who sent a signal, in words.
pub struct Origin(pub Sender);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.pid == 0 {
            f.write_str("outside the container")
        } else {
            write!(f, "process {} (uid {})", self.0.pid, self.0.uid)
        }
    }
}

/// Why and how a program ended: the sentence of the log and of the termination message.
pub struct Ending<'a>(pub &'a Report);

impl fmt::Display for Ending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.cause {
            Cause::Ended { status, ran, .. } => write!(f, "{} after {}", Fate(*status), Span(*ran))?,
            Cause::Refused(refusal) => f.write_str(&refusal.reason)?,
            Cause::Unkillable => f.write_str("could not be ended with SIGKILL, not waited for any longer")?,
        }
        write!(f, "{}", Reasons(self.0))
    }
}

/// Why it ended so, as the rest of that sentence.
pub struct Reasons<'a>(pub &'a Report);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.cause {
            Cause::Ended { status, memory, by_us, failed, .. } => {
                let is_sigkill = matches!(status, Status::Killed { signal, .. } if *signal == Signal::KILL);
                match failed {
                    Some(Failed::Timeout) => f.write_str(", it was not done in its timeout")?,
                    Some(why @ (Failed::PostStart | Failed::Startup | Failed::Liveness)) => {
                        write!(f, ", its {} had failed", why.words())?;
                    }
                    None => {}
                }
                match by_us {
                    Some(KillReason::StopWait) => {
                        f.write_str(", by sexton: it did not end in its stopwaitsecs")?;
                    }
                    Some(KillReason::TimeOver) => f.write_str(", by sexton: the grace period had run out")?,
                    Some(KillReason::ThirdSignal) => {
                        f.write_str(", by sexton: a third stop signal asked for it")?;
                    }
                    None => {
                        if let Some(why) = memory.filter(|_| is_sigkill).and_then(memory_words) {
                            write!(f, ", {why}")?;
                        }
                    }
                }
            }
            Cause::Refused(_) | Cause::Unkillable => {}
        }
        match self.0.stopped_by {
            Some(signal) => write!(f, " (stop requested by {signal})")?,
            None if !self.0.is_expected => f.write_str(" (unexpected)")?,
            None => {}
        }
        match self.0.sequel {
            Sequel::RetriesUsed(used @ 1.., of) => write!(f, "; {used} of {of} retries used"),
            Sequel::TooManyRestarts(limit) => {
                write!(f, "; more than {} restarts within {}", limit.count, Span(limit.within))
            }
            Sequel::Nothing | Sequel::Restart { .. } | Sequel::RetriesUsed(0, _) => Ok(()),
        }
    }
}

/// How many names a line of log has room for.
const MOST_NAMES: usize = 10;

/// Names, and where it is to be said the time until each one's SIGKILL.
fn list<'a>(
    f: &mut fmt::Formatter<'_>,
    mut names: impl ExactSizeIterator<Item = (&'a String, Option<Option<Duration>>)>,
) -> fmt::Result {
    let more = names.len().saturating_sub(MOST_NAMES);
    for (index, (name, kill_in)) in names.by_ref().take(MOST_NAMES).enumerate() {
        write!(f, "{}{name}", if index == 0 { "" } else { ", " })?;
        match kill_in {
            Some(Some(span)) => write!(f, " (SIGKILL in {})", Span(span))?,
            Some(None) => f.write_str(" (no grace period is set, so it has all the time it wants)")?,
            None => {}
        }
    }
    if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
}

/// The part of the sentence that tells an out-of-memory kill; None where it was none.
fn memory_words(memory: OutOfMemory) -> Option<&'static str> {
    match memory {
        OutOfMemory::OwnLimit => Some("out of memory: the container's own limit was reached"),
        OutOfMemory::Elsewhere => {
            Some("out of memory: not this container's limit but the pod's or the node's")
        }
        OutOfMemory::SomeLimit => Some("out of memory"),
        OutOfMemory::Perhaps => Some("perhaps out of memory: this container has had such kills"),
        OutOfMemory::No | OutOfMemory::Unknown => None,
    }
}
