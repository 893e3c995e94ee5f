//! One program's states, in Supervisor's words, and what moves it from one to the next.
//!
//! [`State::after`] is the machine: a function of the state, what happened, the program's rules and what is remembered
//! of earlier processes. It names every pair. What is done on the way, its caller sees from the two states.

use std::collections::VecDeque;
use std::time::Duration;

use crate::event::Pid;
use crate::outcome::{Cause, Failed, KillReason, OutOfMemory, Refusal, Sequel, Status};
use crate::plan::{AutoRestart, Growth, Kind, Program as Rules, Readiness};
use crate::signal::Signal;
use crate::time::Time;

/// Two starts of one program are at least so far apart, unless a delay is set.
const SHORTEST_CYCLE: Duration = Duration::from_secs(1);
/// The unit of every backoff.
const BACKOFF_UNIT: Duration = Duration::from_secs(1);

/// A program's process, while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Which.
    pub(crate) pid: Pid,
    /// Since when.
    pub(crate) since: Time,
    /// A signal has stopped it, and we have not continued it.
    pub(crate) paused: bool,
    /// It is ready.
    pub(crate) ready: bool,
}

/// What a program is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not started yet, or stopped as asked; with the end of its last process, where there was one.
    Stopped(Option<Cause>),
    /// It starts as soon as all that it comes after is there; with the end of its last process, where there was one.
    Waiting { failures: u32, cause: Option<Cause> },
    /// A process for it has been asked for; the answer is the next event. The first half of Supervisor's STARTING.
    Spawning { failures: u32 },
    /// Its process has not lived for `startsecs`; a step has not ended.
    Starting { process: Process, failures: u32, until: Option<Time> },
    /// It runs.
    Running(Process),
    /// A start has failed, and the next one is at `until`.
    Backoff { cause: Cause, failures: u32, until: Time },
    /// Its process has been told to end.
    Stopping { process: Process, patience: Patience, then: Then },
    /// It ended after having been RUNNING, and starts again at `restart_at`.
    Exited { cause: Cause, restart_at: Option<Time> },
    /// It is not started again: it could not be started, or not be ended, or did not stay up.
    Fatal { cause: Cause, sequel: Sequel },
}

/// How long a process that has been told to end is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until then, and then comes SIGKILL; None for as long as it wants.
    Until(Option<Time>),
    /// Its pre_stop hook runs, at most until then; what asks it to end comes after it.
    PreStop {
        /// When that comes at the latest.
        until: Time,
        /// It is more than a sleep.
        is_call: bool,
        /// When it has to have ended, in place of its `stopwaitsecs`.
        end: Option<Time>,
    },
    /// It has got SIGKILL, and is waited for until then; None for as long as it takes.
    Killed { why: KillReason, until: Option<Time> },
}

impl Patience {
    /// The same, with no more time for a hook than `other` gives it.
    fn at_most(self, other: Patience) -> Patience {
        match (self, other) {
            (Patience::PreStop { until, is_call, end }, Patience::PreStop { until: other, .. }) => {
                Patience::PreStop { until: until.min(other), is_call, end }
            }
            (Patience::PreStop { .. }, Patience::Until(_) | Patience::Killed { .. })
            | (Patience::Until(_) | Patience::Killed { .. }, _) => self,
        }
    }
}

/// What comes when a process that has been told to end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It stays stopped.
    Stop,
    /// It starts again.
    Restart,
    /// It counts as failed; while it was STARTING as a failed start, after so many others.
    Fail { failures: Option<u32>, why: Failed },
}

/// What can happen to a program.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// It is to start, and nothing is in the way.
    Start,
    /// It is to start, and has to wait for another.
    Await,
    /// It has been executed.
    Spawned(Pid),
    /// It could not be executed.
    Refused(Refusal),
    /// Its post_start hook is done.
    PostStarted,
    /// Its process has lived for `startsecs`.
    Survived,
    /// It says that it is ready.
    Ready,
    /// Its process is gone.
    Exited {
        /// How it went.
        status: Status,
        /// What the cgroup says to a SIGKILL.
        memory: Option<OutOfMemory>,
        /// Everyone had got our SIGKILL.
        killed_with_all: Option<KillReason>,
    },
    /// A signal stopped its process.
    Paused,
    /// We sent SIGCONT.
    Continued,
    /// It is told to end, or is not to start any more.
    Stop { patience: Patience, then: Then },
    /// Its pre_stop hook is over, and it has been told to end; it has until then.
    Told { until: Option<Time> },
    /// It gets SIGKILL.
    Kill { why: KillReason, until: Option<Time> },
    /// Its process outlived SIGKILL, and we wait no longer.
    Abandoned,
}

/// The pair of state and input cannot come together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Impossible(pub(crate) &'static str);

/// What is remembered of a program across its processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// When it was last started.
    pub(crate) spawned_at: Option<Time>,
    /// A process of it has been up: executed, its post_start hook done, its startup probe passed.
    pub(crate) has_started: bool,
    /// It has been RUNNING.
    pub(crate) has_run: bool,
    /// It has ended as expected.
    pub(crate) has_completed: bool,
    /// How many processes of it have been executed.
    pub(crate) starts: u64,
    /// How they ended, and how many of them.
    pub(crate) exits: Vec<(Status, u64)>,
    /// When the last of them ended.
    pub(crate) ended_at: Option<Time>,
    /// How often in a row it has ended soon after it was RUNNING.
    crashes: u32,
    /// When it was started again, as far back as the limit looks.
    restarts: VecDeque<Time>,
}

impl Record {
    /// Takes down what the new state says; `rules` say how far back the limit looks.
    pub(crate) fn note(&mut self, state: &State, rules: &Rules, now: Time) {
        match state {
            State::Spawning { .. } => self.spawned_at = Some(now),
            State::Running(_) => self.has_run = true,
            State::Backoff { .. } => self.note_restart(rules, now),
            State::Exited { cause, restart_at } => {
                self.has_completed |= is_expected(cause, rules);
                if restart_at.is_some() {
                    self.crashes = self.crashes_with(cause, rules);
                    self.note_restart(rules, now);
                }
            }
            State::Stopped(_) | State::Fatal { .. } => {
                self.crashes = 0;
                self.restarts.clear();
            }
            State::Waiting { .. } | State::Starting { .. } | State::Stopping { .. } => {}
        }
    }

    /// Counts a process that has been executed.
    pub(crate) fn count_start(&mut self) {
        self.starts += 1;
    }

    /// Counts the end of one.
    pub(crate) fn count_exit(&mut self, status: Status, now: Time) {
        self.ended_at = Some(now);
        match self.exits.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => self.exits.push((status, 1)),
        }
    }

    fn note_restart(&mut self, rules: &Rules, now: Time) {
        let Some(limit) = rules.restart_limit else { return };
        self.restarts.retain(|at| now.since(*at) < limit.within);
        self.restarts.push_back(now);
    }

    fn has_restarted_too_often(&self, rules: &Rules, now: Time) -> Option<Sequel> {
        let limit = rules.restart_limit?;
        let recent = self.restarts.iter().filter(|at| now.since(**at) < limit.within).count();
        (recent >= usize::try_from(limit.count).unwrap_or(usize::MAX))
            .then_some(Sequel::TooManyRestarts(limit))
    }

    /// The crashes in a row, this one included: a process that lived longer than the longest wait starts the count anew.
    fn crashes_with(&self, cause: &Cause, rules: &Rules) -> u32 {
        let lived = match cause {
            Cause::Ended { ran, .. } => *ran,
            Cause::Refused(_) | Cause::Unkillable => Duration::ZERO,
        };
        if lived > rules.backoff.max { 1 } else { self.crashes.saturating_add(1) }
    }
}

/// Whether a process that ended like this ended as expected.
pub(crate) fn is_expected(cause: &Cause, rules: &Rules) -> bool {
    match cause {
        Cause::Ended { status: Status::Exited(code), failed: None, .. } => rules.exitcodes.contains(code),
        Cause::Ended { failed: Some(_), .. }
        | Cause::Ended { status: Status::Killed { .. }, .. }
        | Cause::Refused(_)
        | Cause::Unkillable => false,
    }
}

/// How long the wait before the `count`th restart in a row is.
fn wait(growth: Growth, count: u32, most: Duration) -> Duration {
    let units = match growth {
        Growth::Linear => count,
        Growth::Exponential => 1_u32.checked_shl(count.saturating_sub(1)).unwrap_or(u32::MAX),
    };
    BACKOFF_UNIT.saturating_mul(units).min(most)
}

impl State {
    /// The state after `input`.
    pub(crate) fn after(
        &self,
        input: Input,
        rules: &Rules,
        record: &Record,
        now: Time,
    ) -> Result<State, Impossible> {
        match input {
            Input::Start => match self {
                State::Stopped(_) | State::Exited { .. } | State::Fatal { .. } => {
                    Ok(State::Spawning { failures: 0 })
                }
                State::Waiting { failures, .. } | State::Backoff { failures, .. } => {
                    Ok(State::Spawning { failures: *failures })
                }
                State::Spawning { .. }
                | State::Starting { .. }
                | State::Running(_)
                | State::Stopping { .. } => Err(Impossible("the start of what is started")),
            },
            Input::Await => match self {
                State::Stopped(cause) => Ok(State::Waiting { failures: 0, cause: cause.clone() }),
                State::Exited { cause, .. } | State::Fatal { cause, .. } => {
                    Ok(State::Waiting { failures: 0, cause: Some(cause.clone()) })
                }
                State::Backoff { failures, cause, .. } => {
                    Ok(State::Waiting { failures: *failures, cause: Some(cause.clone()) })
                }
                State::Waiting { failures, cause } => {
                    Ok(State::Waiting { failures: *failures, cause: cause.clone() })
                }
                State::Spawning { .. }
                | State::Starting { .. }
                | State::Running(_)
                | State::Stopping { .. } => Err(Impossible("a wait for the start of what is started")),
            },
            Input::Spawned(pid) => match self {
                State::Spawning { failures } => Ok(spawned(pid, *failures, rules, now)),
                State::Stopped(_)
                | State::Waiting { .. }
                | State::Starting { .. }
                | State::Running(_)
                | State::Backoff { .. }
                | State::Stopping { .. }
                | State::Exited { .. }
                | State::Fatal { .. } => Err(Impossible("a process that was not asked for")),
            },
            Input::Refused(refusal) => match self {
                State::Spawning { failures } => {
                    Ok(failed(Cause::Refused(refusal), *failures, rules, record, now))
                }
                State::Stopped(_)
                | State::Waiting { .. }
                | State::Starting { .. }
                | State::Running(_)
                | State::Backoff { .. }
                | State::Stopping { .. }
                | State::Exited { .. }
                | State::Fatal { .. } => Err(Impossible("the refusal of what was not asked for")),
            },
            Input::PostStarted => match self {
                State::Starting { process, failures, .. } => Ok(State::Starting {
                    process: *process,
                    failures: *failures,
                    until: Some(process.since.after(startsecs(rules)).max(now)),
                }),
                State::Stopped(_)
                | State::Waiting { .. }
                | State::Spawning { .. }
                | State::Running(_)
                | State::Backoff { .. }
                | State::Stopping { .. }
                | State::Exited { .. }
                | State::Fatal { .. } => Err(Impossible("the end of a hook without a start")),
            },
            Input::Survived => match self {
                State::Starting { process, .. } => Ok(State::Running(running(*process, rules))),
                State::Stopped(_)
                | State::Waiting { .. }
                | State::Spawning { .. }
                | State::Running(_)
                | State::Backoff { .. }
                | State::Stopping { .. }
                | State::Exited { .. }
                | State::Fatal { .. } => Err(Impossible("a start that succeeds without having begun")),
            },
            Input::Ready => match self {
                State::Starting { process, failures, until } => Ok(State::Starting {
                    process: Process { ready: true, ..*process },
                    failures: *failures,
                    until: *until,
                }),
                State::Running(process) => Ok(State::Running(Process { ready: true, ..*process })),
                // Its last word may be read when it is gone.
                State::Stopped(_)
                | State::Waiting { .. }
                | State::Spawning { .. }
                | State::Backoff { .. }
                | State::Stopping { .. }
                | State::Exited { .. }
                | State::Fatal { .. } => Ok(self.clone()),
            },
            Input::Exited { status, memory, killed_with_all } => {
                self.exited(status, memory, killed_with_all, rules, record, now)
            }
            Input::Paused => self.with_process(|process| Process { paused: true, ..process }),
            Input::Continued => self.with_process(|process| Process { paused: false, ..process }),
            Input::Stop { patience, then } => match self {
                State::Stopped(cause) | State::Waiting { cause, .. } => Ok(State::Stopped(cause.clone())),
                State::Backoff { cause, .. } | State::Exited { cause, restart_at: Some(_) } => {
                    Ok(State::Stopped(Some(cause.clone())))
                }
                State::Exited { cause, restart_at: None } => {
                    Ok(State::Exited { cause: cause.clone(), restart_at: None })
                }
                State::Fatal { cause, sequel } => Ok(State::Fatal { cause: cause.clone(), sequel: *sequel }),
                State::Starting { process, .. } | State::Running(process) => {
                    Ok(State::Stopping { process: *process, patience, then })
                }
                // Its time runs already; that of its hook may have become shorter.
                State::Stopping { process, patience: first, .. } => {
                    Ok(State::Stopping { process: *process, patience: first.at_most(patience), then })
                }
                State::Spawning { .. } => Err(Impossible("a stop before the answer to a start")),
            },
            Input::Told { until } => match self {
                State::Stopping { process, patience: Patience::PreStop { .. }, then } => {
                    Ok(State::Stopping { process: *process, patience: Patience::Until(until), then: *then })
                }
                State::Stopping { patience: Patience::Until(_) | Patience::Killed { .. }, .. }
                | State::Stopped(_)
                | State::Waiting { .. }
                | State::Spawning { .. }
                | State::Starting { .. }
                | State::Running(_)
                | State::Backoff { .. }
                | State::Exited { .. }
                | State::Fatal { .. } => Err(Impossible("the end of a hook without a stop")),
            },
            Input::Kill { why, until } => match self {
                State::Stopping { process, then, .. } => Ok(State::Stopping {
                    process: *process,
                    patience: Patience::Killed { why, until },
                    then: *then,
                }),
                State::Stopped(_)
                | State::Waiting { .. }
                | State::Spawning { .. }
                | State::Starting { .. }
                | State::Running(_)
                | State::Backoff { .. }
                | State::Exited { .. }
                | State::Fatal { .. } => Err(Impossible("SIGKILL to what was not told to end")),
            },
            Input::Abandoned => match self {
                State::Starting { .. } | State::Running(_) | State::Stopping { .. } => {
                    Ok(State::Fatal { cause: Cause::Unkillable, sequel: Sequel::Nothing })
                }
                State::Stopped(_)
                | State::Waiting { .. }
                | State::Spawning { .. }
                | State::Backoff { .. }
                | State::Exited { .. }
                | State::Fatal { .. } => Err(Impossible("the end of waiting for what does not run")),
            },
        }
    }

    fn exited(
        &self,
        status: Status,
        memory: Option<OutOfMemory>,
        killed_with_all: Option<KillReason>,
        rules: &Rules,
        record: &Record,
        now: Time,
    ) -> Result<State, Impossible> {
        let ended = |process: &Process, by_us: Option<KillReason>| {
            let is_sigkill = matches!(status, Status::Killed { signal, .. } if signal == Signal::KILL);
            let by_us = by_us.or(killed_with_all).filter(|_| is_sigkill);
            Cause::Ended { status, memory, by_us, failed: None, ran: now.since(process.since) }
        };
        match self {
            State::Starting { process, failures, .. } => {
                let cause = ended(process, None);
                let has_started = match rules.kind {
                    Kind::Program { startsecs } => now.since(process.since) >= startsecs,
                    Kind::Step { .. } => is_expected(&cause, rules),
                };
                if has_started {
                    Ok(over(cause, rules, record, now))
                } else {
                    Ok(failed(cause, *failures, rules, record, now))
                }
            }
            State::Running(process) => Ok(over(ended(process, None), rules, record, now)),
            State::Stopping { process, patience, then } => {
                let by_us = match patience {
                    Patience::Killed { why, .. } => Some(*why),
                    Patience::Until(_) | Patience::PreStop { .. } => None,
                };
                let cause = ended(process, by_us);
                Ok(match then {
                    Then::Stop | Then::Restart => State::Stopped(Some(cause)),
                    Then::Fail { failures: Some(failures), why } => {
                        failed(cause.because(*why), *failures, rules, record, now)
                    }
                    Then::Fail { failures: None, why } => crashed(cause.because(*why), rules, record, now),
                })
            }
            State::Stopped(_)
            | State::Waiting { .. }
            | State::Spawning { .. }
            | State::Backoff { .. }
            | State::Exited { .. }
            | State::Fatal { .. } => Err(Impossible("the exit of what does not run")),
        }
    }

    fn with_process(&self, change: impl Fn(Process) -> Process) -> Result<State, Impossible> {
        match self {
            State::Starting { process, failures, until } => {
                Ok(State::Starting { process: change(*process), failures: *failures, until: *until })
            }
            State::Running(process) => Ok(State::Running(change(*process))),
            State::Stopping { process, patience, then } => {
                Ok(State::Stopping { process: change(*process), patience: *patience, then: *then })
            }
            State::Stopped(_)
            | State::Waiting { .. }
            | State::Spawning { .. }
            | State::Backoff { .. }
            | State::Exited { .. }
            | State::Fatal { .. } => Err(Impossible("the pause of what does not run")),
        }
    }

    /// Its process, while there is one.
    pub(crate) fn process(&self) -> Option<&Process> {
        match self {
            State::Starting { process, .. } | State::Running(process) | State::Stopping { process, .. } => {
                Some(process)
            }
            State::Stopped(_)
            | State::Waiting { .. }
            | State::Spawning { .. }
            | State::Backoff { .. }
            | State::Exited { .. }
            | State::Fatal { .. } => None,
        }
    }

    /// How its last process ended, while there is no other.
    pub(crate) fn cause(&self) -> Option<&Cause> {
        match self {
            State::Backoff { cause, .. }
            | State::Exited { cause, .. }
            | State::Fatal { cause, .. }
            | State::Waiting { cause: Some(cause), .. }
            | State::Stopped(Some(cause)) => Some(cause),
            State::Stopped(None)
            | State::Waiting { cause: None, .. }
            | State::Spawning { .. }
            | State::Starting { .. }
            | State::Running(_)
            | State::Stopping { .. } => None,
        }
    }

    /// It has ended and nothing will start it again; [`State::Stopped`] is no such end, but what somebody wants.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            State::Exited { restart_at: None, .. } | State::Fatal { .. } => true,
            State::Exited { restart_at: Some(_), .. }
            | State::Stopped(_)
            | State::Waiting { .. }
            | State::Spawning { .. }
            | State::Starting { .. }
            | State::Running(_)
            | State::Backoff { .. }
            | State::Stopping { .. } => false,
        }
    }

    /// When something is due although nothing happens.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            State::Starting { until, .. } | State::Stopping { patience: Patience::Until(until), .. } => {
                *until
            }
            State::Stopping { patience: Patience::Killed { until, .. }, .. } => *until,
            State::Stopping { patience: Patience::PreStop { until, .. }, .. }
            | State::Backoff { until, .. } => Some(*until),
            State::Exited { restart_at, .. } => *restart_at,
            State::Stopped(_)
            | State::Waiting { .. }
            | State::Spawning { .. }
            | State::Running(_)
            | State::Fatal { .. } => None,
        }
    }

    /// What follows from the end that led here, seen from `now`.
    pub(crate) fn sequel(&self, rules: &Rules, now: Time) -> Sequel {
        match self {
            State::Backoff { failures, until, .. } => {
                Sequel::Restart { after: until.since(now), retry: Some((*failures, rules.startretries)) }
            }
            State::Exited { restart_at: Some(at), .. } => {
                Sequel::Restart { after: at.since(now), retry: None }
            }
            State::Fatal { sequel, .. } => *sequel,
            State::Exited { restart_at: None, .. }
            | State::Stopped(_)
            | State::Waiting { .. }
            | State::Spawning { .. }
            | State::Starting { .. }
            | State::Running(_)
            | State::Stopping { .. } => Sequel::Nothing,
        }
    }

    /// Supervisor's word for it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            State::Stopped(_) | State::Waiting { .. } => "STOPPED",
            State::Spawning { .. } | State::Starting { .. } => "STARTING",
            State::Running(_) => "RUNNING",
            State::Backoff { .. } => "BACKOFF",
            State::Stopping { .. } => "STOPPING",
            State::Exited { .. } => "EXITED",
            State::Fatal { .. } => "FATAL",
        }
    }

    /// Its name in the document.
    #[cfg(test)]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            State::Stopped(_) => "STOPPED",
            State::Waiting { .. } => "STOPPED (waiting)",
            State::Spawning { .. } => "STARTING (asked)",
            State::Starting { .. } => "STARTING",
            State::Running(_) => "RUNNING",
            State::Backoff { .. } => "BACKOFF",
            State::Stopping { patience: Patience::PreStop { .. }, .. } => "STOPPING (hook)",
            State::Stopping { patience: Patience::Until(_) | Patience::Killed { .. }, .. } => "STOPPING",
            State::Exited { restart_at: Some(_), .. } => "EXITED (restarting)",
            State::Exited { restart_at: None, .. } => "EXITED",
            State::Fatal { .. } => "FATAL",
        }
    }
}

fn spawned(pid: Pid, failures: u32, rules: &Rules, now: Time) -> State {
    // Where a probe says it, nothing else has to.
    let ready = rules.readiness == Readiness::Running && rules.probes.readiness.is_some();
    let process = Process { pid, since: now, paused: false, ready };
    match rules.kind {
        Kind::Program { .. } if rules.hooks.post_start.is_some() => {
            State::Starting { process, failures, until: None }
        }
        Kind::Program { startsecs } if startsecs.is_zero() => State::Running(running(process, rules)),
        Kind::Program { startsecs } => {
            State::Starting { process, failures, until: Some(now.after(startsecs)) }
        }
        Kind::Step { timeout } => {
            State::Starting { process, failures, until: timeout.map(|timeout| now.after(timeout)) }
        }
    }
}

fn startsecs(rules: &Rules) -> Duration {
    match rules.kind {
        Kind::Program { startsecs } => startsecs,
        Kind::Step { .. } => Duration::ZERO,
    }
}

fn running(process: Process, rules: &Rules) -> Process {
    Process { ready: process.ready || rules.readiness == Readiness::Running, ..process }
}

/// A start has failed, after `failures` others.
fn failed(cause: Cause, failures: u32, rules: &Rules, record: &Record, now: Time) -> State {
    if failures >= rules.startretries {
        return State::Fatal { cause, sequel: Sequel::RetriesUsed(failures, rules.startretries) };
    }
    if let Some(sequel) = record.has_restarted_too_often(rules, now) {
        return State::Fatal { cause, sequel };
    }
    let failures = failures + 1;
    let wait = wait(rules.backoff.growth.unwrap_or(Growth::Linear), failures, rules.backoff.max);
    State::Backoff { cause, failures, until: now.after(wait) }
}

/// What was RUNNING has ended.
fn over(cause: Cause, rules: &Rules, record: &Record, now: Time) -> State {
    let wants_restart = match rules.autorestart {
        AutoRestart::Never => false,
        AutoRestart::Unexpected => !is_expected(&cause, rules),
        AutoRestart::Always => true,
    };
    if wants_restart {
        restarting(cause, rules, record, now)
    } else {
        State::Exited { cause, restart_at: None }
    }
}

/// We have ended it because it had failed: unexpected, whatever its code.
fn crashed(cause: Cause, rules: &Rules, record: &Record, now: Time) -> State {
    match rules.autorestart {
        AutoRestart::Never => State::Exited { cause, restart_at: None },
        AutoRestart::Unexpected | AutoRestart::Always => restarting(cause, rules, record, now),
    }
}

fn restarting(cause: Cause, rules: &Rules, record: &Record, now: Time) -> State {
    if let Some(sequel) = record.has_restarted_too_often(rules, now) {
        return State::Fatal { cause, sequel };
    }
    let delay = rules.restart_delay.or_else(|| {
        let growth = rules.backoff.growth?;
        Some(wait(growth, record.crashes_with(&cause, rules), rules.backoff.max))
    });
    let restart_at = match delay {
        Some(delay) => now.after(delay),
        None => record.spawned_at.map_or(now, |at| at.after(SHORTEST_CYCLE)).max(now),
    };
    State::Exited { cause, restart_at: Some(restart_at) }
}
