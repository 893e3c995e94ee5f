//! How programs start, wait for each other, are stopped and started again.

use std::time::Duration;

use super::program::{Impossible, Input, Patience, Record, State, Then, is_expected};
use super::tasks::{Tally, Tasks};
use super::{LAST_WAIT, Phase, Supervisor};
use crate::command::{Reply, Word as Came};
use crate::effect::{Effect, Target};
use crate::event::{Pid, Reloaded};
use crate::notice::Notice;
use crate::outcome::{Cause, Failed, KillReason, OutOfMemory, Refusal, Report, Status};
use crate::plan::{
    Condition, Grace, Kind, Meaning, Plan, Program as Rules, ProgramId, Role, Sidecars, Wait, Word,
};
use crate::signal::Signal;
use crate::time::Time;

/// What is left to stop in where a hook has used up the time for both, as with a kubelet.
const LEAST_WAIT: Duration = Duration::from_secs(2);

/// A program: what it is doing, what is remembered of it, and what is wanted of it.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) state: State,
    pub(super) record: Record,
    /// It is to be stopped as soon as nothing that comes after it lives, and then this.
    pub(super) leave: Option<Then>,
    /// An operator has stopped it, and nobody has started it since.
    pub(super) is_stopped_by_hand: bool,
    /// It is restarted together with what comes after it, which waits until it is up again.
    pub(super) is_anew: bool,
    /// How its last process ended.
    pub(super) last_end: Option<Box<Report>>,
    /// The probes and hooks of its process; None where there are none, or it has none.
    pub(super) tasks: Option<Box<Tasks>>,
    /// How often its probes have been tried; None where none has been.
    pub(super) tallies: Option<Box<[Tally; 3]>>,
    /// Our side of its sockets is open.
    is_listening: bool,
}

impl Program {
    pub(super) fn new() -> Program {
        Program {
            state: State::Stopped(None),
            record: Record::default(),
            leave: None,
            is_stopped_by_hand: false,
            is_anew: false,
            last_end: None,
            tasks: None,
            tallies: None,
            is_listening: false,
        }
    }
}

impl Program {
    /// It is to be stopped, or started in another way.
    pub(super) fn is_leaving(&self) -> bool {
        self.leave.is_some()
    }

    /// When something is due although nothing happens.
    fn deadline(&self) -> Option<Time> {
        let tasks = self.tasks.as_ref().and_then(|tasks| tasks.deadline());
        self.state.deadline().into_iter().chain(tasks).min()
    }
}

/// What each program comes after and so keeps from stopping first, and the other way round, by [`ProgramId`].
pub(super) fn edges(plan: &Plan) -> (Vec<Vec<ProgramId>>, Vec<Vec<ProgramId>>) {
    let mut dependents = vec![Vec::new(); plan.programs.len()];
    let mut held_back = vec![Vec::new(); plan.programs.len()];
    for (index, program) in plan.programs.iter().enumerate() {
        for (on, _) in &program.after {
            dependents[on.0].push(ProgramId(index));
            held_back[index].push(*on);
        }
    }
    (dependents, held_back)
}

/// Whether the two are the same to a running process: that a step has to be done before is over for it.
fn is_same(old: &Rules, new: &mut Rules, is_step: impl Fn(ProgramId) -> bool) -> bool {
    let of_programs = |rules: &Rules| -> Vec<(ProgramId, Condition)> {
        rules.after.iter().copied().filter(|(on, _)| !is_step(*on)).collect()
    };
    let is_program = matches!(old.kind, Kind::Program { .. });
    if !is_program || of_programs(old) != of_programs(new) {
        return old == new;
    }
    let after = std::mem::replace(&mut new.after, old.after.clone());
    let is_same = old == new;
    new.after = after;
    is_same
}

impl Supervisor {
    fn rules(&self, id: ProgramId) -> &Rules {
        self.plan.program(id)
    }

    pub(super) fn state(&self, id: ProgramId) -> &State {
        &self.programs[id.0].state
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ProgramId> + use<> {
        (0..self.programs.len()).map(ProgramId)
    }

    pub(super) fn program_of(&self, pid: Pid) -> Option<ProgramId> {
        self.pids.iter().find(|(other, _)| *other == pid).map(|(_, id)| *id)
    }

    pub(super) fn is_alive(&self, id: ProgramId) -> bool {
        self.state(id).process().is_some()
    }

    pub(super) fn has_any_process(&self) -> bool {
        !self.pids.is_empty()
    }

    /// It has ended for good, and not as it should.
    pub(super) fn has_failed(&self, id: ProgramId) -> bool {
        self.is_failed(id, self.state(id))
    }

    /// The same for the state that it is in, or may come to.
    pub(super) fn is_failed(&self, id: ProgramId, state: &State) -> bool {
        match state {
            State::Exited { cause, restart_at: None } => {
                !is_expected(cause, self.rules(id)) && self.code_of(id, cause) != 0
            }
            State::Fatal { .. } => true,
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

    /// It starts anew, and its failure is over. Of the others one may have failed too: that is no success then.
    pub(super) fn forget_failure(&mut self, id: ProgramId) {
        if self.first_failure == Some(id) {
            self.first_failure = self.ids().find(|other| *other != id && self.has_failed(*other));
        }
    }

    pub(super) fn may_start(&self) -> bool {
        match self.phase {
            Phase::Up | Phase::Draining { .. } | Phase::Holding { .. } => true,
            Phase::Stopping { .. } | Phase::Sweeping { .. } | Phase::Killing { .. } | Phase::Ended(_) => {
                false
            }
        }
    }

    /// Looks up when something of the programs that this event has touched is due.
    pub(super) fn look_up_due(&mut self) {
        self.due.resize(self.programs.len(), None);
        for id in std::mem::take(&mut self.touched) {
            self.due[id.0] = self.programs[id.0].deadline();
        }
    }

    pub(super) fn advance(&mut self, id: ProgramId, input: Input, now: Time) {
        self.touched.push(id);
        let (program, rules) = (&mut self.programs[id.0], self.plan.program(id));
        match program.state.after(input, rules, &program.record, now) {
            Ok(state) => {
                if let Some(process) = program.state.process()
                    && state.process().is_none()
                {
                    self.pids.retain(|(pid, _)| *pid != process.pid);
                }
                if state != program.state {
                    program.record.note(&state, rules, now);
                }
                program.state = state;
            }
            Err(Impossible(what)) => self.impossible(what),
        }
    }

    // --- starting

    /// Starts all that starts by itself and has not been started, or has been stopped.
    pub(super) fn start_all(&mut self, now: Time) {
        for index in 0..self.plan.order.len() {
            let id = self.plan.order[index];
            if self.rules(id).autostart
                && !self.rules(id).is_retired
                && !self.programs[id.0].is_stopped_by_hand
                && matches!(self.state(id), State::Stopped(_))
            {
                self.request_start(id, now);
            }
        }
    }

    /// Starts the program, or lets it wait for what it comes after.
    pub(super) fn request_start(&mut self, id: ProgramId, now: Time) {
        let Some((on, condition)) = self.missing(id) else {
            self.advance(id, Input::Start, now);
            self.programs[id.0].is_listening = self.rules(id).has_sockets;
            self.effects.push(Effect::Spawn(id));
            return;
        };
        let was_waiting = matches!(self.state(id), State::Waiting { .. });
        self.advance(id, Input::Await, now);
        if !was_waiting {
            let program = self.name_of(id);
            self.effects.push(Effect::Say(Notice::WaitsFor { program, on: self.name_of(on), condition }));
            self.may_wait_in_vain(id);
        }
    }

    /// It waits for what has ended for good: then its own last end is the last there is.
    fn may_wait_in_vain(&mut self, id: ProgramId) {
        let Some(blocker) = self.blockers()[id.0] else { return };
        let (program, waiting) = (self.name_of(blocker), vec![self.name_of(id)]);
        self.effects.push(Effect::Say(Notice::HoldsUp { program, waiting }));
        if self.state(id).cause().is_some_and(|cause| !is_expected(cause, self.rules(id))) {
            self.first_failure.get_or_insert(id);
        }
    }

    /// The first of what the program comes after that is not there.
    pub(super) fn missing(&self, id: ProgramId) -> Option<(ProgramId, Condition)> {
        self.rules(id).after.iter().copied().find(|(on, condition)| !self.is_met(*on, *condition))
    }

    pub(super) fn is_met(&self, on: ProgramId, condition: Condition) -> bool {
        let record = &self.programs[on.0].record;
        match condition {
            Condition::Started => record.has_started && !self.programs[on.0].is_anew,
            Condition::Ready => self.is_ready(on),
            Condition::Completed => record.has_completed,
        }
    }

    pub(super) fn is_ready(&self, id: ProgramId) -> bool {
        match self.state(id) {
            State::Starting { process, .. } | State::Running(process) => {
                process.ready && self.is_passed_ready(id)
            }
            State::Stopped(_)
            | State::Waiting { .. }
            | State::Spawning { .. }
            | State::Backoff { .. }
            | State::Stopping { .. }
            | State::Exited { .. }
            | State::Fatal { .. } => false,
        }
    }

    /// For each program that waits in vain, whose failure it is that it waits for.
    pub(super) fn blockers(&self) -> Vec<Option<ProgramId>> {
        let mut blockers: Vec<Option<ProgramId>> = vec![None; self.programs.len()];
        for id in &self.plan.order {
            if matches!(self.state(*id), State::Waiting { .. }) {
                blockers[id.0] = self.rules(*id).after.iter().find_map(|(on, condition)| {
                    if self.is_met(*on, *condition) {
                        None
                    } else if self.state(*on).is_over() {
                        Some(*on)
                    } else {
                        blockers[on.0]
                    }
                });
            }
        }
        blockers
    }

    /// Something about this program has changed for those that wait for it.
    pub(super) fn wake_dependents(&mut self, id: ProgramId, now: Time) {
        if !self.may_start() {
            return;
        }
        for index in 0..self.dependents[id.0].len() {
            let dependent = self.dependents[id.0][index];
            if !matches!(self.state(dependent), State::Waiting { .. }) || self.missing(dependent).is_some() {
                continue;
            }
            match self.phase {
                // What it is held for can start: that is the end of the hold.
                Phase::Holding { since, .. } if self.culprit() == Some(dependent) => {
                    self.restart_held(None, since, now);
                }
                Phase::Up
                | Phase::Draining { .. }
                | Phase::Holding { .. }
                | Phase::Stopping { .. }
                | Phase::Sweeping { .. }
                | Phase::Killing { .. }
                | Phase::Ended(_) => self.request_start(dependent, now),
            }
        }
    }

    pub(super) fn spawned(&mut self, id: ProgramId, pid: Pid, now: Time) {
        self.pids.push((pid, id));
        self.programs[id.0].record.count_start();
        self.advance(id, Input::Spawned(pid), now);
        self.effects.push(Effect::Say(Notice::Started { program: self.name_of(id), pid }));
        if self.plan.lets_go {
            self.effects.push(Effect::LetGo);
        }
        self.begin_tasks(id, now);
    }

    pub(super) fn refused(&mut self, id: ProgramId, refusal: Refusal, now: Time) {
        self.advance(id, Input::Refused(refusal), now);
        self.keep_end(id, true, now);
        self.effects.push(Effect::TakeTerminal);
        self.say_ended_unless_held(id, now);
        self.ended(id, now);
        self.unlisten_if_over(id);
        self.effects.push(Effect::Reap);
    }

    pub(super) fn ready(&mut self, id: ProgramId, now: Time) {
        let was_ready = self.is_ready(id);
        self.advance(id, Input::Ready, now);
        self.say_ready(id, was_ready);
        self.wake_dependents(id, now);
    }

    pub(super) fn survived(&mut self, id: ProgramId, now: Time) {
        let was_ready = self.is_ready(id);
        self.advance(id, Input::Survived, now);
        self.effects.push(Effect::Say(Notice::Running { program: self.name_of(id) }));
        self.say_ready(id, was_ready);
        self.wake_dependents(id, now);
    }

    // --- the end of a process

    pub(super) fn exited(&mut self, pid: Pid, status: Status, memory: Option<OutOfMemory>, now: Time) {
        let Some(id) = self.program_of(pid) else {
            if !self.was_kept(pid, now) && self.plan.warn_on_reap {
                self.effects.push(Effect::Say(Notice::Reaped(pid, status)));
            }
            return;
        };
        let killed_with_all = match self.phase {
            Phase::Killing { why, .. } => Some(why),
            Phase::Up
            | Phase::Draining { .. }
            | Phase::Stopping { .. }
            | Phase::Holding { .. }
            | Phase::Sweeping { .. }
            | Phase::Ended(_) => None,
        };
        let asked = match self.state(id) {
            State::Stopping { then, .. } => Some(*then),
            State::Stopped(_)
            | State::Waiting { .. }
            | State::Spawning { .. }
            | State::Starting { .. }
            | State::Running(_)
            | State::Backoff { .. }
            | State::Exited { .. }
            | State::Fatal { .. } => None,
        };
        self.drop_tasks(id);
        let was_killed = matches!(self.state(id), State::Stopping { patience: Patience::Killed { .. }, .. });
        self.programs[id.0].record.count_exit(status, now);
        self.advance(id, Input::Exited { status, memory, killed_with_all }, now);
        self.keep_end(id, !matches!(asked, Some(Then::Stop | Then::Restart)), now);
        self.effects.push(Effect::TakeTerminal);
        let is_to_be_cleared = asked.is_some() || self.state(id).deadline().is_some();
        if was_killed || (self.may_start() && is_to_be_cleared) {
            // Its number is its own until the next event, and so is its group's: what it left there goes first. Who had to
            // be killed leaves what would have to be killed too.
            self.effects.push(Effect::Signal(Target::Group(pid), Signal::KILL, None));
        }
        self.say_ended_unless_held(id, now);
        self.ended(id, now);
        if asked == Some(Then::Restart) && self.may_start() {
            self.request_start(id, now);
        }
        self.unlisten_if_over(id);
    }

    /// Nobody will accept on its sockets: who connects is to be refused, not left waiting.
    fn unlisten_if_over(&mut self, id: ProgramId) {
        let is_over = match self.state(id) {
            State::Stopped(_) | State::Exited { restart_at: None, .. } | State::Fatal { .. } => true,
            State::Exited { restart_at: Some(_), .. }
            | State::Waiting { .. }
            | State::Spawning { .. }
            | State::Starting { .. }
            | State::Running(_)
            | State::Backoff { .. }
            | State::Stopping { .. } => false,
        };
        if is_over {
            self.unlisten(id);
        }
    }

    fn unlisten(&mut self, id: ProgramId) {
        if std::mem::take(&mut self.programs[id.0].is_listening) {
            self.effects.push(Effect::Unlisten(id));
        }
    }

    /// It has its stop signal already, which has become its last.
    fn unlisten_if_told(&mut self, id: ProgramId) {
        match self.state(id) {
            State::Stopping { patience: Patience::Until(_) | Patience::Killed { .. }, .. } => {
                self.unlisten(id);
            }
            State::Stopping { patience: Patience::PreStop { .. }, .. }
            | State::Stopped(_)
            | State::Waiting { .. }
            | State::Spawning { .. }
            | State::Starting { .. }
            | State::Running(_)
            | State::Backoff { .. }
            | State::Exited { .. }
            | State::Fatal { .. } => {}
        }
    }

    /// Nothing will be started any more.
    pub(super) fn unlisten_all(&mut self) {
        for id in self.ids() {
            self.unlisten(id);
        }
    }

    /// A process of the program is gone, or there never was one: what that means for it and for others.
    fn ended(&mut self, id: ProgramId, now: Time) {
        let leave = self.programs[id.0].leave.take();
        if !self.may_start() || leave == Some(Then::Stop) {
            self.advance(id, Input::Stop { patience: Patience::Until(None), then: Then::Stop }, now);
        } else if leave == Some(Then::Restart) && !matches!(self.state(id), State::Stopped(_)) {
            // It has ended by itself before it could be told to, and so by its old configuration.
            self.programs[id.0].record.has_completed = false;
            self.advance(id, Input::Stop { patience: Patience::Until(None), then: Then::Restart }, now);
            self.request_start(id, now);
        } else if self.is_restart_due(id, now) {
            self.request_start(id, now);
        }
        if self.has_failed(id) || self.has_outlived_its_stop(id) {
            self.first_failure.get_or_insert(id);
        }
        if self.state(id).is_over() {
            self.say_what_it_holds_up(id);
        }
        self.wake_dependents(id, now);
        if let Phase::Stopping { say_at } = &mut self.phase {
            say_at.get_or_insert(now.after(super::QUIET_WAIT));
            // With `--wait all` what main leaves behind counts as main.
            if Some(id) == self.plan.main && self.plan.wait == Wait::Main {
                self.rest_since.get_or_insert(now);
            }
        }
        for index in 0..self.held_back[id.0].len() {
            self.stop_if_free(self.held_back[id.0][index], now);
        }
    }

    fn is_restart_due(&self, id: ProgramId, now: Time) -> bool {
        matches!(self.state(id), State::Exited { restart_at: Some(at), .. } if *at <= now)
    }

    /// It was told to end and did not, so that it had to be killed.
    fn has_outlived_its_stop(&self, id: ProgramId) -> bool {
        matches!(self.state(id), State::Stopped(Some(Cause::Ended { by_us: Some(_), .. })))
            && !self.may_start()
    }

    fn say_what_it_holds_up(&mut self, id: ProgramId) {
        let blockers = self.blockers();
        let waiting: Vec<String> = self
            .ids()
            .filter(|other| blockers[other.0] == Some(id))
            .map(|other| self.name_of(other))
            .collect();
        if !waiting.is_empty() {
            self.effects.push(Effect::Say(Notice::HoldsUp { program: self.name_of(id), waiting }));
        }
    }

    // --- stopping

    /// Asks every program to end: what nothing else comes after at once, the others as soon as they are free to.
    pub(super) fn stop_all(&mut self, now: Time) {
        for id in self.ids() {
            self.hush(id);
            self.drop_post_start(id);
            match self.state(id) {
                State::Waiting { .. } | State::Backoff { .. } | State::Exited { .. } => {
                    self.advance(id, Input::Stop { patience: Patience::Until(None), then: Then::Stop }, now);
                }
                State::Starting { .. } | State::Running(_) => self.programs[id.0].leave = Some(Then::Stop),
                State::Stopping { patience, .. } => {
                    let is_killed = matches!(patience, Patience::Killed { .. });
                    let patience = self.time_for_hook(id, None, now);
                    self.advance(id, Input::Stop { patience, then: Then::Stop }, now);
                    self.unlisten_if_told(id);
                    if is_killed {
                        let until = Some(now.after(LAST_WAIT));
                        self.advance(id, Input::Kill { why: KillReason::StopWait, until }, now);
                    }
                    self.programs[id.0].leave = Some(Then::Stop);
                }
                State::Stopped(_) | State::Spawning { .. } | State::Fatal { .. } => {}
            }
            self.unlisten_if_over(id);
        }
        for index in (0..self.plan.order.len()).rev() {
            self.stop_if_free(self.plan.order[index], now);
        }
    }

    /// Stops all but the program whose failure is held, where the plan says so.
    pub(super) fn stop_sidecars(&mut self, now: Time) {
        if self.plan.hold.sidecars == Sidecars::Stop {
            self.stop_all(now);
        }
    }

    /// The hold is over: what was to be stopped for it goes on, and what has been told to end starts again. So does what
    /// has lost its probes.
    pub(super) fn keep_all(&mut self, now: Time) {
        for id in self.ids() {
            let is_kept = !self.rules(id).is_retired && !self.programs[id.0].is_stopped_by_hand;
            if self.programs[id.0].leave != Some(Then::Stop) || !is_kept {
                continue;
            }
            let then = self.programs[id.0].tasks.as_ref().map(|_| Then::Restart);
            self.programs[id.0].leave = then;
            if let State::Stopping { patience, .. } = *self.state(id) {
                self.programs[id.0].leave = Some(Then::Restart);
                self.advance(id, Input::Stop { patience, then: Then::Restart }, now);
            }
        }
        for index in (0..self.plan.order.len()).rev() {
            self.stop_if_free(self.plan.order[index], now);
        }
    }

    /// Stops a program that is to leave, unless one that comes after it is to leave too and still lives.
    pub(super) fn stop_if_free(&mut self, id: ProgramId, now: Time) {
        let Some(then) = self.programs[id.0].leave else { return };
        if let Phase::Killing { .. } = self.phase {
            return; // all of them have SIGKILL
        }
        let is_held_back = self.dependents[id.0]
            .iter()
            .any(|dependent| self.is_alive(*dependent) && self.programs[dependent.0].leave.is_some());
        match self.state(id) {
            State::Starting { .. } | State::Running(_) if !is_held_back => {
                self.stop_program(id, then, None, now);
            }
            State::Starting { .. }
            | State::Running(_)
            | State::Stopped(_)
            | State::Waiting { .. }
            | State::Spawning { .. }
            | State::Backoff { .. }
            | State::Stopping { .. }
            | State::Exited { .. }
            | State::Fatal { .. } => {}
        }
    }

    /// Has a program end, with its pre_stop hook first; `wait` is in place of its `stopwaitsecs`.
    pub(super) fn stop_program(&mut self, id: ProgramId, then: Then, wait: Option<Duration>, now: Time) {
        self.hush(id);
        self.drop_post_start(id);
        let hook = self.rules(id).hooks.pre_stop;
        let patience = self.time_for_hook(id, wait, now);
        self.advance(id, Input::Stop { patience, then }, now);
        self.programs[id.0].leave.get_or_insert(then);
        match hook {
            Some(hook) => self.begin_hook(id, Role::PreStop, hook),
            None => self.tell_to_stop(id, now),
        }
    }

    /// How long its pre_stop hook may take from now on; `wait` is for the hook and the stop together.
    fn time_for_hook(&self, id: ProgramId, wait: Option<Duration>, now: Time) -> Patience {
        let hook = self.rules(id).hooks.pre_stop;
        let timeout = hook.map_or(Duration::ZERO, |hook| self.share(id, hook.timeout, Duration::ZERO, now));
        Patience::PreStop {
            until: now.after(timeout.min(wait.unwrap_or(Duration::MAX))),
            is_call: hook.is_some_and(|hook| !hook.is_sleep),
            end: wait.map(|wait| now.after(wait)),
        }
    }

    /// Tells a program to end, after its hook.
    pub(super) fn tell_to_stop(&mut self, id: ProgramId, now: Time) {
        let State::Stopping { process, patience: Patience::PreStop { end, .. }, then } = *self.state(id)
        else {
            return self.impossible("a stop of what does not run");
        };
        self.advance(id, Input::Told { until: self.end_of_patience(id, end, now) }, now);
        if then == Then::Stop {
            self.unlisten(id);
        }
        let (signal, sender) = match self.stop.filter(|_| !self.may_start() && Some(id) == self.plan.main) {
            Some(stop) => match stop.word {
                Word::Pass(signal) => (signal, Some(stop.sender)),
                Word::StopSignal => (self.rules(id).stopsignal, None),
                Word::Nothing => return,
            },
            None => (self.rules(id).stopsignal, None),
        };
        self.effects.push(Effect::Say(Notice::Stopping { program: self.name_of(id), signal }));
        let target = self.target(id, process.pid);
        self.effects.push(Effect::Signal(target, signal, sender));
        // signal(7): a stopped process gets it only once it is continued.
        if process.paused && Some(id) == self.plan.main {
            self.send(Signal::CONT, None, now);
        } else if process.paused {
            self.effects.push(Effect::Signal(target, Signal::CONT, None));
            self.advance(id, Input::Continued, now);
        }
    }

    fn target(&self, id: ProgramId, pid: Pid) -> Target {
        if self.rules(id).stopasgroup { Target::Group(pid) } else { Target::Process(pid) }
    }

    /// When a program that is told to end now gets SIGKILL: after `stopwaitsecs`, and where the grace period is too short
    /// for all that has to stop one after the other, after its share of it.
    fn end_of_patience(&self, id: ProgramId, end: Option<Time>, now: Time) -> Option<Time> {
        if let Some(end) = end {
            return Some(end.max(now.after(LEAST_WAIT)));
        }
        let wait = self.rules(id).stopwaitsecs?;
        let hook = self.rules(id).hooks.pre_stop.map_or(Duration::ZERO, |hook| hook.timeout);
        Some(now.after(self.share(id, wait, hook, now)))
    }

    /// How much of `wait` there is now, for what has `passed` of its stop already.
    fn share(&self, id: ProgramId, wait: Duration, passed: Duration, now: Time) -> Duration {
        let chain = self.chains[id.0].saturating_sub(passed);
        let left = match (self.plan.grace, self.end_of_grace()) {
            (Grace::Set(_) | Grace::Assumed(_), Some(end)) if !self.may_start() => end.since(now),
            (Grace::Set(_) | Grace::Assumed(_), _) => chain,
        };
        if chain <= left || chain.is_zero() {
            return wait;
        }
        let share = left.as_nanos().saturating_mul(wait.as_nanos()) / chain.as_nanos();
        Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
    }

    fn kill_program(&mut self, id: ProgramId, now: Time) {
        let Some(process) = self.state(id).process().copied() else { return };
        // While the container goes on, so does the wait: nothing else depends on it.
        let until = (!self.may_start()).then(|| now.after(LAST_WAIT));
        self.advance(id, Input::Kill { why: KillReason::StopWait, until }, now);
        self.effects
            .push(Effect::Say(Notice::KillingProgram { program: self.name_of(id), pid: process.pid }));
        let target = if self.rules(id).killasgroup {
            Target::Group(process.pid)
        } else {
            Target::Process(process.pid)
        };
        self.effects.push(Effect::Signal(target, Signal::KILL, None));
    }

    /// SIGKILL has not ended its process in time.
    pub(super) fn abandon(&mut self, id: ProgramId, now: Time) {
        self.drop_tasks(id);
        self.advance(id, Input::Abandoned, now);
        self.keep_end(id, true, now);
        self.say_ended_unless_held(id, now);
        self.ended(id, now);
        self.unlisten_if_over(id);
        self.effects.push(Effect::Reap);
    }

    // --- time

    /// The next moment at which a program changes its state although nothing happens.
    pub(super) fn program_deadline(&self) -> Option<Time> {
        debug_assert!(self.programs.iter().map(Program::deadline).eq(self.due.iter().copied()), "BUG: stale");
        self.due.iter().flatten().min().copied()
    }

    pub(super) fn tick_programs(&mut self, now: Time) {
        for id in self.ids() {
            if self.due[id.0].is_none_or(|at| at > now) {
                continue;
            }
            self.tick_tasks(id, now);
            if self.state(id).deadline().is_none_or(|at| at > now) {
                continue;
            }
            match (self.state(id).clone(), self.rules(id).kind) {
                (State::Starting { .. }, Kind::Program { .. }) => self.survived(id, now),
                (State::Starting { failures, .. }, Kind::Step { .. }) => {
                    self.effects.push(Effect::Say(Notice::TimedOut { program: self.name_of(id) }));
                    let then = Then::Fail { failures: Some(failures), why: Failed::Timeout };
                    self.stop_program(id, then, None, now);
                }
                (State::Backoff { .. } | State::Exited { .. }, _) => self.request_start(id, now),
                (State::Stopping { patience: Patience::Until(_), .. }, _) => self.kill_program(id, now),
                (State::Stopping { patience: Patience::PreStop { is_call, .. }, .. }, _) => {
                    self.pre_stop_timed_out(id, is_call, now);
                }
                (State::Stopping { patience: Patience::Killed { .. }, .. }, _) => self.abandon(id, now),
                (
                    State::Stopped(_)
                    | State::Waiting { .. }
                    | State::Spawning { .. }
                    | State::Running(_)
                    | State::Fatal { .. },
                    _,
                ) => {}
            }
        }
    }

    // --- reading the configuration again

    /// The configuration has been read again: what is unchanged keeps its process.
    pub(super) fn reloaded(&mut self, reloaded: Reloaded, now: Time) {
        match self.phase {
            Phase::Up => {}
            Phase::Draining { .. }
            | Phase::Stopping { .. }
            | Phase::Holding { .. }
            | Phase::Sweeping { .. }
            | Phase::Killing { .. }
            | Phase::Ended(_) => {
                if let Some(client) = reloaded.client {
                    let reply = Reply::whole(Came::Refused, "the container no longer goes on as usual");
                    self.effects.push(Effect::Reply(client, reply));
                }
                return;
            }
        }
        let Reloaded { mut plan, changed, client } = reloaded;
        let (mut new, mut gone, mut other) = (Vec::new(), Vec::new(), Vec::new());
        let steps: Vec<bool> =
            plan.programs.iter().map(|rules| matches!(rules.kind, Kind::Step { .. })).collect();
        let was_step = |id: ProgramId| {
            self.plan.programs.get(id.0).is_some_and(|rules| matches!(rules.kind, Kind::Step { .. }))
        };
        for (index, rules) in plan.programs.iter_mut().enumerate() {
            let id = ProgramId(index);
            match self.plan.programs.get(index) {
                None if rules.is_retired => {}
                None => new.push(id),
                Some(old) if rules.is_retired => {
                    if !old.is_retired {
                        gone.push(id);
                    }
                }
                Some(old) if old.is_retired && !self.is_alive(id) => new.push(id),
                Some(old)
                    if changed.contains(&id) || !is_same(old, rules, |on| steps[on.0] || was_step(on)) =>
                {
                    other.push(id);
                }
                Some(_) => {}
            }
        }
        let notice = Notice::Reloaded { new: new.len(), gone: gone.len(), changed: other.len() };
        if let Some(client) = client {
            self.effects.push(Effect::Reply(client, Reply::whole(Came::Done, notice.to_string())));
        }
        self.effects.push(Effect::Say(notice));
        for id in gone.iter().chain(&other) {
            self.drop_calls(*id); // what is asked of them is no longer in the plan
        }
        self.programs.resize_with(plan.programs.len(), Program::new);
        for (rules, old) in plan.programs.iter_mut().zip(&mut self.plan.programs) {
            if rules.is_retired {
                std::mem::swap(rules, old);
                rules.is_retired = true;
            }
        }
        let before = std::mem::take(&mut self.held_back);
        self.take_up(plan);
        // What is stopped now came after what it came after then.
        for (index, held_back) in before.into_iter().enumerate() {
            for on in
                held_back.into_iter().filter(|on| !self.held_back[index].contains(on)).collect::<Vec<_>>()
            {
                self.held_back[index].push(on);
                self.dependents[on.0].push(ProgramId(index));
            }
        }
        for id in new.iter().chain(&gone).chain(&other) {
            // What it has been belongs to another configuration.
            self.forget_failure(*id);
            if !self.is_alive(*id) {
                self.programs[id.0].record = Record::default();
            }
        }
        for id in &new {
            self.programs[id.0].is_stopped_by_hand = false;
        }
        for id in &gone {
            self.leave(*id, Then::Stop, now);
        }
        for id in &other {
            let is_stopped = self.programs[id.0].is_stopped_by_hand;
            self.leave(*id, if is_stopped { Then::Stop } else { Then::Restart }, now);
        }
        for index in (0..self.plan.order.len()).rev() {
            self.stop_if_free(self.plan.order[index], now);
        }
        for index in 0..self.plan.order.len() {
            let id = self.plan.order[index];
            let is_new = new.contains(&id) && self.rules(id).autostart;
            let is_again = other.contains(&id) && !self.is_alive(id);
            let waits = matches!(self.state(id), State::Waiting { .. });
            // What an operator has stopped stays stopped, whatever the file says.
            let is_at_rest = matches!(self.state(id), State::Stopped(_));
            if !self.is_alive(id) && (is_new || waits || (is_again && !is_at_rest)) {
                self.programs[id.0].leave = None;
                if is_again {
                    // Its failures were those of another configuration.
                    self.advance(id, Input::Stop { patience: Patience::Until(None), then: Then::Stop }, now);
                }
                self.request_start(id, now);
            }
        }
        self.effects.push(Effect::Reap); // what is left may be the end
    }

    /// Has the program leave when it is free to; what has no process is left alone, or stops where it is gone.
    pub(super) fn leave(&mut self, id: ProgramId, then: Then, now: Time) {
        if self.is_alive(id) {
            self.programs[id.0].leave = Some(then);
            if let State::Stopping { patience, .. } = self.state(id) {
                let patience = *patience;
                self.advance(id, Input::Stop { patience, then }, now);
                if then == Then::Stop {
                    self.unlisten_if_told(id);
                }
            }
        } else if then == Then::Stop {
            self.advance(id, Input::Stop { patience: Patience::Until(None), then }, now);
            self.unlisten_if_over(id);
        }
    }

    /// Whether a signal makes us read the configuration again now.
    pub(super) fn is_reload(&self, meaning: Meaning) -> bool {
        meaning == Meaning::Reload && self.phase == Phase::Up
    }
}
