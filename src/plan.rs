//! What we understood of what people wrote: everything the supervisor decides by, resolved and checked.
//!
//! [`Plan`] is for the supervisor: no path to read, no number left to default, and no "mode": what a signal means, what
//! ends the container and what holds it open are said once, for one program as for many. [`Setup`] is the part that
//! only the kernel needs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::signal::Signal;

/// Which program, by its place in [`Plan::programs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramId(pub usize);

/// What the supervisor works by.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The programs, never none.
    pub programs: Vec<Program>,
    /// The program whose end is the container's end.
    pub main: ProgramId,
    /// What each signal means, by [`Signal::index`].
    pub signals: [Meaning; Signal::SLOTS],
    /// Whose end ends the container.
    pub wait: Wait,
    /// Whether and how long a failure keeps the container open.
    pub hold: Hold,
    /// How long main is left alone after the stop signal; zero for not at all.
    pub drain: Duration,
    /// What lies between the platform's stop signal and its SIGKILL.
    pub grace: Grace,
    /// What to do when a signal stops main.
    pub pause: Pause,
    /// Say so when a stray is reaped.
    pub warn_on_reap: bool,
}

/// What is run, and what its end means.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name in messages.
    pub name: String,
    /// Signals go to its whole process group.
    pub signal_group: bool,
    /// Exit codes, 128 + n included, that count as 0.
    pub success: Vec<u8>,
}

/// What a signal to sexton means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing: it goes no further.
    Ignore,
    /// Main gets this one.
    Forward(Signal),
    /// Main gets this one after the drain, and the container is to end; with none main is told nothing.
    Stop(Option<Signal>),
}

/// What to do when a signal stops main.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Stop as well: a shell above us has job control, sees it, and continues us.
    Follow,
    /// Continue it where it was Ctrl-Z: there is a terminal and no shell that would ever continue anybody. The kernel
    /// does the same for a process group that is orphaned, which main's is not while we live.
    Refuse,
    /// Say so: somebody who can continue it has stopped it.
    Leave,
}

/// Whose end ends the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Main's; what is left then is stopped.
    Main,
    /// The last process's, main's code kept: for programs that fork themselves away.
    All,
}

/// When the container is held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldOn {
    /// Only where the hold file says so.
    Never,
    /// When main has failed.
    Failure,
    /// When main has ended, however.
    Always,
}

/// The hold on crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// When.
    pub on: HoldOn,
    /// How long at most; None is without end.
    pub limit: Option<Duration>,
    /// There is a hold file to ask.
    pub file: bool,
}

impl Hold {
    /// Whether main may be started a second time.
    #[must_use]
    pub fn is_possible(self) -> bool {
        self.on != HoldOn::Never || self.file
    }
}

/// What lies between the platform's stop signal and its SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// We were told: at its end, less [`Grace::reserve`], everything left is killed, main too.
    Set(Duration),
    /// The platform's default. Bounds only what main leaves behind, never main: `docker stop -t 120` cannot be seen.
    Assumed(Duration),
}

impl Grace {
    /// All of it.
    #[must_use]
    pub fn whole(self) -> Duration {
        match self {
            Grace::Set(whole) | Grace::Assumed(whole) => whole,
        }
    }

    /// What is kept back for sexton's own last words: a second, half of it where it is shorter than two.
    #[must_use]
    pub fn reserve(self) -> Duration {
        Duration::from_secs(1).min(self.whole() / 2)
    }

    /// The time that programs have from the stop signal to SIGKILL.
    #[must_use]
    pub fn budget(self) -> Duration {
        self.whole().saturating_sub(self.reserve())
    }
}

impl Plan {
    /// The program with this number.
    ///
    /// # Panics
    /// Never: a `ProgramId` is made only for a program of its plan.
    #[must_use]
    pub fn program(&self, id: ProgramId) -> &Program {
        &self.programs[id.0]
    }

    /// What `signal` means.
    #[must_use]
    pub fn meaning(&self, signal: Signal) -> Meaning {
        self.signals[signal.index()]
    }
}

/// What only the kernel needs of what people wrote.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How each program is started, by [`ProgramId`].
    pub commands: Vec<Command>,
    /// Where the termination message goes; None for nowhere.
    pub message: Option<MessageFile>,
    /// The file that switches the hold on and off.
    pub hold_file: Option<PathBuf>,
    /// Orphans below us become our children although we are not PID 1.
    pub subreaper: bool,
    /// Somebody wants to hear of processes that we did not start.
    pub tell_strays: bool,
    /// What we and main get when our own parent dies.
    pub parent_death: Option<Signal>,
    /// How many lines of stderr are kept for the message; 0 leaves stderr alone.
    pub tail: usize,
}

/// How a program is started.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program and its arguments, never empty.
    pub argv: Vec<OsString>,
    /// Whom it runs as, `USER[:GROUP]`, by name or number; None for ourselves.
    pub user: Option<String>,
}

/// The file that the termination message goes to.
#[derive(Clone, Debug)]
pub struct MessageFile {
    /// Where it is.
    pub path: PathBuf,
    /// Somebody asked for it, so that it is worth a warning where it is not there.
    pub asked: bool,
    /// How the message is written.
    pub format: Format,
}

/// How the termination message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// What the plan has to know of where we run.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// We are the first process of our PID namespace.
    pub is_pid_1: bool,
    /// There is a controlling terminal.
    pub has_terminal: bool,
    /// Our parent is of our session and of another process group: a shell that can stop and continue us.
    pub has_job_control: bool,
    /// A kubelet started us.
    pub in_kubernetes: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_second_and_never_more_than_half() {
        let budget = |milliseconds| Grace::Set(Duration::from_millis(milliseconds)).budget().as_millis();
        assert_eq!([budget(30_000), budget(2_000), budget(1_000), budget(0)], [29_000, 1_000, 500, 0]);
    }
}
