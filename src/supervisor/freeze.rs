//! Processes that are kept at their ends, for somebody to look at them while the container is held.
//!
//! One is kept from its end on only where the hold is certain to be asked about next. From there on it counts as gone, and
//! no program is started again beside it: it has the ports, the locks and the memory.

use super::program::Input;
use super::{Phase, Supervisor};
use crate::effect::Effect;
use crate::event::Pid;
use crate::notice::Release;
use crate::outcome::{OutOfMemory, Status};
use crate::plan::{ProgramId, Wait};
use crate::signal::Signal;
use crate::time::Time;

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The processes that are not gone, whose they were, and whether they have been let go.
    processes: Vec<(Pid, ProgramId, bool)>,
    /// What starts again what failed, as soon as they are gone.
    restart: Option<Release>,
}

impl Supervisor {
    /// A process is at its end and goes no further. Where a hold may come of it, it stays as it is; else it is let go at
    /// once, and nothing has happened before it is really gone.
    pub(super) fn frozen(&mut self, pid: Pid, status: Status, memory: Option<OutOfMemory>, now: Time) {
        if let Some(id) = self.program_of(pid).filter(|id| self.may_come_to_hold(*id, status, now)) {
            self.kept.processes.push((pid, id, false));
            self.exited(pid, status, memory, now);
        } else {
            self.effects.push(Effect::Thaw(pid));
        }
    }

    /// An end with this status would be a failure, and whether the container is held for it would be asked next.
    fn may_come_to_hold(&self, id: ProgramId, status: Status, now: Time) -> bool {
        let program = &self.programs[id.0];
        let input = Input::Exited { status, memory: None, killed_with_all: None };
        let next = program.state.after(input, self.plan.program(id), &program.record, now);
        // With `--wait all` it is asked when nothing is left.
        self.may_be_held(id)
            && self.plan.wait == Wait::Main
            && !program.is_leaving()
            && next.is_ok_and(|next| self.is_failed(id, &next))
    }

    /// Lets go of all.
    pub(super) fn thaw(&mut self) {
        for (pid, _, is_thawed) in &mut self.kept.processes {
            if !std::mem::replace(is_thawed, true) {
                self.effects.push(Effect::Thaw(*pid));
            }
        }
    }

    /// Ends the hold to start again what failed, as soon as nothing of it is kept any more.
    pub(super) fn restart_held(&mut self, signal: Option<Signal>, since: Time, now: Time) {
        self.thaw();
        if self.kept.processes.is_empty() {
            self.release(Release::Restart(signal), since, now);
        } else {
            self.kept.restart = Some(Release::Restart(signal));
        }
    }

    /// A process of this program is kept.
    pub(super) fn is_kept(&self, id: ProgramId) -> bool {
        self.kept.processes.iter().any(|(_, kept, _)| *kept == id)
    }

    /// The hold is about to end so, and what failed has not started again yet.
    pub(super) fn will_restart_held(&self) -> bool {
        self.kept.restart.is_some() && matches!(self.phase, Phase::Holding { .. })
    }

    /// A process is gone that is no program's; true where it was kept at its end.
    pub(super) fn was_kept(&mut self, pid: Pid, now: Time) -> bool {
        let Some(index) = self.kept.processes.iter().position(|(kept, ..)| *kept == pid) else {
            return false;
        };
        self.kept.processes.swap_remove(index);
        if self.kept.processes.is_empty()
            && let Some(why) = self.kept.restart.take()
            && let Phase::Holding { since, .. } = self.phase
        {
            self.release(why, since, now);
        }
        true
    }
}
