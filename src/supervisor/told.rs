//! What is told about the container to those who ask.

use super::program::{Patience, State};
use super::{Phase, Supervisor};
use crate::effect::Effect;
use crate::event::Depth;
use crate::notice::Notice;
use crate::plan::{Kind, ProgramId};
use crate::snapshot::{Doing, Happening, Life, Program, Snapshot};
use crate::time::Time;

/// How much of what came to pass is remembered, and of one program, so that one that crashes again and again does not take
/// the rest away.
const REMEMBERED: usize = 256;
const REMEMBERED_OF_ONE: usize = 24;

impl Supervisor {
    /// What is known at this moment.
    #[must_use]
    pub fn snapshot(&self, depth: Depth, now: Time) -> Snapshot {
        let (life, held, held_until) = match self.phase {
            Phase::Up => (Life::Up, None, None),
            Phase::Draining { .. } => (Life::Draining, None, None),
            Phase::Holding { since, until, .. } => (Life::Holding, Some(now.since(since)), until),
            Phase::Stopping { .. } | Phase::Sweeping { .. } | Phase::Killing { .. } | Phase::Ended(_) => {
                (Life::Stopping, None, None)
            }
        };
        let (is_closing, is_ending) = match life {
            Life::Up => (false, false),
            Life::Draining => (self.plan.drain.fails_readiness, true),
            Life::Stopping | Life::Holding => (true, true),
        };
        let blockers = self.blockers();
        Snapshot {
            now,
            life,
            is_closing,
            held,
            holds: self.holds,
            held_until,
            holds_failures: self.would_hold(true),
            culprit: self.culprit().filter(|_| is_ending).map(|id| self.name_of(id)),
            stop: self.stop.map(|stop| (stop.signal, stop.sender, stop.since)),
            ends_at: match self.phase {
                Phase::Draining { least, quiet_at, latest } => Some(quiet_at.clamp(least, latest)),
                Phase::Stopping { .. } => self.end_of_grace(),
                Phase::Sweeping { kill_at, .. } => Some(kill_at),
                Phase::Up | Phase::Holding { .. } | Phase::Killing { .. } | Phase::Ended(_) => None,
            },
            programs: self
                .ids()
                .filter(|id| !self.plan.program(*id).is_retired || self.is_alive(*id))
                .map(|id| self.tell_of(id, blockers[id.0]))
                .collect(),
            history: match depth {
                Depth::Now => Vec::new(),
                Depth::History => self.history.clone(),
            },
        }
    }

    fn tell_of(&self, id: ProgramId, blocker: Option<ProgramId>) -> Program {
        let (rules, program) = (self.plan.program(id), &self.programs[id.0]);
        let is_step = matches!(rules.kind, Kind::Step { .. });
        let record = &program.record;
        let has_started = if is_step {
            record.has_completed
        } else {
            record.has_started && (record.has_run || self.is_ready(id))
        };
        let process = program.state.process();
        Program {
            name: rules.name.clone(),
            is_step,
            state: program.state.word(),
            process: process.map(|process| (process.pid, process.since)),
            has_started,
            is_ready: self.is_ready(id),
            is_essential: self.plan.main == Some(id) || rules.essential,
            is_wanted: match program.state {
                State::Stopped(_) => rules.autostart,
                State::Exited { restart_at: None, .. } => self.has_failed(id),
                State::Waiting { .. }
                | State::Spawning { .. }
                | State::Starting { .. }
                | State::Running(_)
                | State::Backoff { .. }
                | State::Stopping { .. }
                | State::Exited { restart_at: Some(_), .. }
                | State::Fatal { .. } => true,
            },
            starts: record.starts,
            exits: record.exits.clone(),
            ended_at: record.ended_at,
            last_end: program.last_end.clone(),
            doing: self.tell_doing(id, blocker),
            is_stopped_by_hand: program.is_stopped_by_hand,
            is_paused: process.is_some_and(|process| process.paused),
            probes: self.tell_of_probes(id),
        }
    }

    fn tell_doing(&self, id: ProgramId, blocker: Option<ProgramId>) -> Doing {
        match self.state(id) {
            State::Waiting { .. } => {
                self.missing(id).map_or(Doing::Nothing, |(on, condition)| Doing::Waits {
                    on: self.name_of(on),
                    condition,
                    in_vain: blocker.map(|blocker| self.name_of(blocker)),
                })
            }
            State::Starting { until, .. } => Doing::Starts(*until),
            State::Backoff { until, failures, .. } => {
                Doing::StartsAgain(*until, Some((*failures, self.plan.program(id).startretries)))
            }
            State::Exited { restart_at: Some(at), .. } => Doing::StartsAgain(*at, None),
            State::Stopping { patience, .. } => match patience {
                Patience::PreStop { until, .. } => Doing::RunsPreStop(*until),
                Patience::Until(until) => {
                    Doing::Stops(super::earliest([*until, self.end_of_grace().filter(|_| !self.may_start())]))
                }
                Patience::Killed { .. } => Doing::IsKilled,
            },
            State::Stopped(_)
            | State::Spawning { .. }
            | State::Running(_)
            | State::Exited { restart_at: None, .. }
            | State::Fatal { .. } => Doing::Nothing,
        }
    }

    /// Takes down what has just been decided to be said.
    pub(super) fn remember(&mut self, now: Time) {
        if !self.plan.keeps_records {
            return;
        }
        for effect in &self.effects {
            if let Effect::AnnounceHold { report, limit } = effect {
                note(&mut self.history, &Notice::Held(report.clone(), *limit), now);
            } else if let Effect::Say(notice) = effect
                && !matches!(notice, Notice::AttemptFailed { .. } | Notice::Reaped(..))
            {
                note(&mut self.history, notice, now);
            }
        }
    }
}

fn note(history: &mut Vec<Happening>, notice: &Notice, at: Time) {
    let program = notice.program().map(str::to_owned);
    let (mut of_the_same, mut oldest) = (0, 0);
    for (place, other) in history.iter().enumerate().rev() {
        if other.program == program {
            (of_the_same, oldest) = (of_the_same + 1, place);
        }
    }
    if of_the_same >= REMEMBERED_OF_ONE {
        history.remove(oldest);
    } else if history.len() >= REMEMBERED {
        history.remove(0);
    }
    let culprit = if let Notice::Held(report, _) = notice {
        Some(report.program.clone())
    } else if let Notice::Over { program } = notice {
        Some(program.clone())
    } else {
        None
    };
    history.push(Happening { at, level: notice.level(), program, culprit, text: notice.to_string() });
}
