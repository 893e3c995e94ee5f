//! What is told about the container to those who ask.

use super::program::State;
use super::{Phase, Supervisor};
use crate::plan::{Kind, ProgramId};
use crate::snapshot::{Life, Program, Snapshot};
use crate::time::Time;

impl Supervisor {
    /// What is known at this moment.
    #[must_use]
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let (life, held) = match self.phase {
            Phase::Up => (Life::Up, None),
            Phase::Draining { .. } => (Life::Draining, None),
            Phase::Holding { since, .. } => (Life::Holding, Some(now.since(since))),
            Phase::Stopping { .. } | Phase::Sweeping { .. } | Phase::Killing { .. } | Phase::Ended(_) => {
                (Life::Stopping, None)
            }
        };
        let is_closing = match life {
            Life::Up => false,
            Life::Draining => self.plan.drain.fails_readiness,
            Life::Stopping | Life::Holding => true,
        };
        Snapshot {
            now,
            life,
            is_closing,
            held,
            holds: self.holds,
            programs: self
                .ids()
                .filter(|id| !self.plan.program(*id).is_retired || self.is_alive(*id))
                .map(|id| self.tell_of(id))
                .collect(),
        }
    }

    fn tell_of(&self, id: ProgramId) -> Program {
        let (rules, program) = (self.plan.program(id), &self.programs[id.0]);
        let is_step = matches!(rules.kind, Kind::Step { .. });
        let record = &program.record;
        let has_started = if is_step {
            record.has_completed
        } else {
            record.has_started && (record.has_run || self.is_ready(id))
        };
        Program {
            name: rules.name.clone(),
            is_step,
            state: program.state.word(),
            process: program.state.process().map(|process| (process.pid, process.since)),
            has_started,
            is_ready: self.is_ready(id),
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
            probes: self.tell_of_probes(id),
        }
    }
}
