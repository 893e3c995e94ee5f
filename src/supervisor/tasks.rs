//! Probes and hooks: when they begin, and what their outcomes mean for their program.
//!
//! A process is up once its post_start hook is done and its startup probe has passed; without either it is at once. Only then is
//! it asked whether it is ready and alive, and can others start that wait for it to have started.

use std::time::Duration;

use super::probe::{Change, Due, Probe, Retry};
use super::program::{Input, Patience, State, Then};
use super::{Phase, Supervisor};
use crate::effect::Effect;
use crate::event::Outcome;
use crate::notice::Notice;
use crate::outcome::Failed;
use crate::plan::{Hook, Probe as Rules, ProgramId, Role, Task};
use crate::snapshot;
use crate::time::Time;

/// The probes, as they are kept.
const PROBES: [Role; 3] = [Role::Startup, Role::Readiness, Role::Liveness];

/// What is under way for one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    /// The post_start hook.
    post_start: Option<Running>,
    /// By the places of [`PROBES`].
    probes: [Option<Probe>; 3],
    /// The process is up.
    is_up: bool,
}

/// A hook that runs, whatever the plan says by now.
#[derive(Clone, Copy, Debug)]
struct Running {
    /// At most until then.
    until: Time,
    /// It is more than a sleep.
    is_call: bool,
}

/// How often a probe has been tried, by what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    passed: u64,
    failed: u64,
    errors: u64,
}

impl Tasks {
    /// When something of them is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        let hook = self.post_start.map(|hook| hook.until);
        self.probes.iter().flatten().map(Probe::deadline).chain(hook).min()
    }
}

fn place(role: Role) -> Option<usize> {
    PROBES.iter().position(|probe| *probe == role)
}

impl Supervisor {
    /// The tasks of a program, to be changed.
    fn tasks(&mut self, id: ProgramId) -> &mut Option<Box<Tasks>> {
        self.touched.push(id);
        &mut self.programs[id.0].tasks
    }

    fn probe_rules(&self, id: ProgramId, role: Role) -> Option<Rules> {
        let probes = &self.plan.program(id).probes;
        match role {
            Role::Startup => probes.startup,
            Role::Readiness => probes.readiness,
            Role::Liveness => probes.liveness,
            Role::PostStart | Role::PreStop => None,
        }
    }

    fn hook(&self, id: ProgramId, role: Role) -> Option<Hook> {
        let hooks = &self.plan.program(id).hooks;
        match role {
            Role::PostStart => hooks.post_start,
            Role::PreStop => hooks.pre_stop,
            Role::Startup | Role::Readiness | Role::Liveness => None,
        }
    }

    /// Nobody is to be found dead any more: a kubelet stops to ask for startup and liveness when a pod is deleted.
    fn asks_for_life(&self) -> bool {
        match self.phase {
            Phase::Up | Phase::Holding { .. } => true,
            Phase::Draining { .. }
            | Phase::Stopping { .. }
            | Phase::Sweeping { .. }
            | Phase::Killing { .. }
            | Phase::Ended(_) => false,
        }
    }

    // --- beginning

    /// A process has been started: its hook comes first, then its probes.
    pub(super) fn begin_tasks(&mut self, id: ProgramId, now: Time) {
        let hook = self.hook(id, Role::PostStart);
        let has_any = hook.is_some() || PROBES.iter().any(|role| self.probe_rules(id, *role).is_some());
        *self.tasks(id) = has_any.then(Box::default);
        match hook {
            Some(hook) => {
                if let Some(tasks) = self.tasks(id) {
                    let (until, is_call) = (now.after(hook.timeout), !hook.is_sleep);
                    tasks.post_start = Some(Running { until, is_call });
                }
                self.begin_hook(id, Role::PostStart, hook);
            }
            None => self.begin_startup(id, now),
        }
    }

    pub(super) fn begin_hook(&mut self, id: ProgramId, role: Role, hook: Hook) {
        self.effects.push(Effect::Say(Notice::HookBegun { program: self.name_of(id), role }));
        if !hook.is_sleep {
            self.effects.push(Effect::Begin(Task { program: id, role }));
        }
    }

    fn begin_startup(&mut self, id: ProgramId, now: Time) {
        match self.probe_rules(id, Role::Startup).filter(|_| self.asks_for_life()) {
            Some(_) => self.begin_probe(id, Role::Startup, now),
            None => self.up(id, now),
        }
    }

    /// The process is up.
    fn up(&mut self, id: ProgramId, now: Time) {
        let was_ready = self.is_ready(id);
        self.programs[id.0].record.has_started = true;
        self.programs[id.0].is_anew = false;
        if let Some(tasks) = self.tasks(id) {
            tasks.is_up = true;
            self.begin_probe(id, Role::Readiness, now);
            if self.asks_for_life() {
                self.begin_probe(id, Role::Liveness, now);
            }
        }
        self.say_ready(id, was_ready);
        self.wake_dependents(id, now);
    }

    fn begin_probe(&mut self, id: ProgramId, role: Role, now: Time) {
        let (Some(rules), Some(place)) = (self.probe_rules(id, role), place(role)) else { return };
        let Some(process) = self.state(id).process() else { return };
        let first = process.since.after(rules.initial_delay).max(now);
        if let Some(tasks) = self.tasks(id) {
            tasks.probes[place] = Some(Probe::new(rules, first));
        }
        self.tick_probe(id, role, now);
    }

    // --- readiness

    /// What its probe says, where it has one; and it is up.
    pub(super) fn is_passed_ready(&self, id: ProgramId) -> bool {
        let Some(tasks) = &self.programs[id.0].tasks else { return true };
        let says_ready =
            |place: usize| tasks.probes[place].as_ref().is_some_and(|probe| probe.result() == Some(true));
        tasks.is_up
            && (self.probe_rules(id, Role::Readiness).is_none()
                || place(Role::Readiness).is_some_and(says_ready))
    }

    /// Says that it is ready, where it was not.
    pub(super) fn say_ready(&mut self, id: ProgramId, was_ready: bool) {
        let says_so = self.plan.program(id).readiness != crate::plan::Readiness::Running
            || self.programs[id.0].tasks.is_some();
        if says_so && !was_ready && self.is_ready(id) {
            self.effects.push(Effect::Say(Notice::Ready { program: self.name_of(id) }));
        }
    }

    // --- time

    pub(super) fn tick_tasks(&mut self, id: ProgramId, now: Time) {
        let Some(tasks) = &self.programs[id.0].tasks else { return };
        if let Some(hook) = tasks.post_start.filter(|hook| hook.until <= now) {
            self.drop_post_start(id);
            self.post_started(id, over(hook.is_call), now);
        }
        for role in PROBES {
            self.tick_probe(id, role, now);
        }
    }

    fn tick_probe(&mut self, id: ProgramId, role: Role, now: Time) {
        let Some(place) = place(role) else { return };
        let Some(probe) = self.tasks(id).as_mut().and_then(|tasks| tasks.probes[place].as_mut()) else {
            return;
        };
        let (task, timeout) = (Task { program: id, role }, probe.rules().timeout);
        match probe.due(now) {
            Due::Nothing => {}
            Due::Ask => self.effects.push(Effect::Begin(task)),
            Due::TimeOut => {
                self.effects.push(Effect::Abandon(task));
                let reason = format!("no answer within {}", crate::time::Span(timeout));
                self.probed(id, role, Outcome::Failed(reason), now);
                // A beat may have passed meanwhile.
                self.tick_probe(id, role, now);
            }
        }
    }

    // --- outcomes

    /// A probe or a hook is over.
    pub(super) fn done(&mut self, task: Task, outcome: Outcome, now: Time) {
        let Task { program: id, role } = task;
        match role {
            Role::Startup | Role::Readiness | Role::Liveness => {
                let is_asking = place(role).is_some_and(|place| {
                    let tasks = self.programs[id.0].tasks.as_ref();
                    tasks.and_then(|tasks| tasks.probes[place].as_ref()).is_some_and(Probe::is_asking)
                });
                if is_asking {
                    self.probed(id, role, outcome, now);
                    self.tick_probe(id, role, now);
                }
            }
            Role::PostStart => {
                if self.programs[id.0].tasks.as_ref().is_some_and(|tasks| tasks.post_start.is_some()) {
                    self.post_started(id, outcome, now);
                }
            }
            Role::PreStop => {
                if let State::Stopping { patience: Patience::PreStop { .. }, .. } = self.state(id) {
                    self.pre_stopped(id, outcome, now);
                }
            }
        }
    }

    fn probed(&mut self, id: ProgramId, role: Role, outcome: Outcome, now: Time) {
        let Some(place) = place(role) else { return };
        let was_ready = self.is_ready(id);
        self.touched.push(id);
        let program = &mut self.programs[id.0];
        let Some(probe) = program.tasks.as_mut().and_then(|tasks| tasks.probes[place].as_mut()) else {
            return;
        };
        let stopwait = probe.rules().stopwait;
        let tally = &mut program.tallies.get_or_insert_default()[place];
        let (change, reason) = match outcome {
            Outcome::Passed => {
                tally.passed += 1;
                (probe.answered(true), String::new())
            }
            Outcome::Failed(reason) => {
                tally.failed += 1;
                (probe.answered(false), reason)
            }
            Outcome::Impossible(reason) => {
                tally.errors += 1;
                match probe.failed_to_ask(now) {
                    Retry::Again => self.effects.push(Effect::Begin(Task { program: id, role })),
                    Retry::Later { is_news: true } => {
                        let program = self.name_of(id);
                        self.effects.push(Effect::Say(Notice::ProbeImpossible { program, role, reason }));
                    }
                    Retry::Later { is_news: false } => {}
                }
                return;
            }
        };
        match change {
            Change::Result(true, _) => match role {
                Role::Startup => {
                    self.drop_probe(id, Role::Startup);
                    self.up(id, now);
                }
                Role::Readiness => {
                    self.say_ready(id, was_ready);
                    self.wake_dependents(id, now);
                }
                Role::Liveness | Role::PostStart | Role::PreStop => {}
            },
            Change::Result(false, count) => match role {
                Role::Startup => {
                    self.say_failed(id, role, count, reason);
                    self.stop_failed(id, Failed::Startup, stopwait, now);
                }
                Role::Liveness => {
                    self.say_failed(id, role, count, reason);
                    self.stop_failed(id, Failed::Liveness, stopwait, now);
                }
                // On its way out it is not ready anyway.
                Role::Readiness if !matches!(self.state(id), State::Stopping { .. }) => {
                    let program = self.name_of(id);
                    self.effects.push(Effect::Say(Notice::NotReady { program, reason }));
                }
                Role::Readiness | Role::PostStart | Role::PreStop => self.say_attempt(id, role, reason),
            },
            Change::None => self.say_attempt(id, role, reason),
        }
    }

    fn say_attempt(&mut self, id: ProgramId, role: Role, reason: String) {
        if !reason.is_empty() {
            let program = self.name_of(id);
            self.effects.push(Effect::Say(Notice::AttemptFailed { program, role, reason }));
        }
    }

    fn say_failed(&mut self, id: ProgramId, role: Role, count: u32, reason: String) {
        let program = self.name_of(id);
        self.effects.push(Effect::Say(Notice::ProbeFailed { program, role, count, reason }));
    }

    fn stop_failed(&mut self, id: ProgramId, why: Failed, wait: Option<Duration>, now: Time) {
        let failures = match self.state(id) {
            State::Starting { failures, .. } => Some(*failures),
            State::Running(_)
            | State::Stopped(_)
            | State::Waiting { .. }
            | State::Spawning { .. }
            | State::Backoff { .. }
            | State::Stopping { .. }
            | State::Exited { .. }
            | State::Fatal { .. } => None,
        };
        self.stop_program(id, Then::Fail { failures, why }, wait, now);
    }

    fn post_started(&mut self, id: ProgramId, outcome: Outcome, now: Time) {
        if let Some(tasks) = self.tasks(id) {
            tasks.post_start = None;
        }
        match outcome {
            Outcome::Passed => {
                self.advance(id, Input::PostStarted, now);
                self.begin_startup(id, now);
                if self.state(id).deadline().is_some_and(|until| until <= now) {
                    self.survived(id, now);
                }
            }
            Outcome::Failed(reason) | Outcome::Impossible(reason) => {
                self.say_hook_failed(id, Role::PostStart, reason);
                self.stop_failed(id, Failed::PostStart, None, now);
            }
        }
    }

    /// The hook before the stop is over, one way or the other: now the program is told.
    pub(super) fn pre_stopped(&mut self, id: ProgramId, outcome: Outcome, now: Time) {
        match outcome {
            Outcome::Passed => {}
            Outcome::Failed(reason) | Outcome::Impossible(reason) => {
                self.say_hook_failed(id, Role::PreStop, reason);
            }
        }
        self.tell_to_stop(id, now);
    }

    /// It has taken all the time that it may.
    pub(super) fn pre_stop_timed_out(&mut self, id: ProgramId, is_call: bool, now: Time) {
        self.drop_pre_stop(id);
        self.pre_stopped(id, over(is_call), now);
    }

    fn say_hook_failed(&mut self, id: ProgramId, role: Role, reason: String) {
        let program = self.name_of(id);
        self.effects.push(Effect::Say(Notice::HookFailed { program, role, reason }));
    }

    // --- the end

    fn drop_probe(&mut self, id: ProgramId, role: Role) {
        let Some(place) = place(role) else { return };
        let tasks = self.tasks(id).as_mut();
        if tasks.and_then(|tasks| tasks.probes[place].take()).is_some_and(|probe| probe.is_asking()) {
            self.effects.push(Effect::Abandon(Task { program: id, role }));
        }
    }

    /// It is not asked any more whether it has started and lives, nor is it waited for to start: it is to go, or all is.
    pub(super) fn hush(&mut self, id: ProgramId) {
        self.drop_probe(id, Role::Startup);
        self.drop_probe(id, Role::Liveness);
    }

    /// A stop signal has come and the programs go on serving: none of them is stopped for a probe any more. What was about
    /// to come up counts as up, and is asked whether it is ready; who waits for it to have started waits on.
    pub(super) fn hush_all(&mut self, now: Time) {
        for id in self.ids() {
            let Some(tasks) = self.programs[id.0].tasks.as_ref() else { continue };
            let is_starting = tasks.probes[0].is_some() && !tasks.is_up;
            let was_ready = self.is_ready(id);
            self.hush(id);
            if is_starting && let Some(tasks) = self.tasks(id) {
                tasks.is_up = true;
                self.begin_probe(id, Role::Readiness, now);
                self.say_ready(id, was_ready);
            }
        }
    }

    /// The post_start hook of what is to stop is not waited for.
    pub(super) fn drop_post_start(&mut self, id: ProgramId) {
        let hook = self.tasks(id).as_mut().and_then(|tasks| tasks.post_start.take());
        if hook.is_some_and(|hook| hook.is_call) {
            self.effects.push(Effect::Abandon(Task { program: id, role: Role::PostStart }));
        }
    }

    /// Its process is gone: nothing more is asked of it.
    pub(super) fn drop_tasks(&mut self, id: ProgramId) {
        self.drop_calls(id);
        *self.tasks(id) = None;
        self.drop_pre_stop(id);
    }

    /// It is not asked any more, nor is it waited for to start.
    pub(super) fn drop_calls(&mut self, id: ProgramId) {
        for role in PROBES {
            self.drop_probe(id, role);
        }
        self.drop_post_start(id);
    }

    fn drop_pre_stop(&mut self, id: ProgramId) {
        if let State::Stopping { patience: Patience::PreStop { is_call: true, .. }, .. } = self.state(id) {
            self.effects.push(Effect::Abandon(Task { program: id, role: Role::PreStop }));
        }
    }

    /// Everything is killed: nothing more is begun, nor waited for.
    pub(super) fn drop_all_calls(&mut self, now: Time) {
        for id in self.ids() {
            self.drop_calls(id);
            self.drop_pre_stop(id);
            if let State::Stopping { patience: Patience::PreStop { .. }, .. } = self.state(id) {
                self.advance(id, Input::Told { until: None }, now);
            }
        }
    }

    /// What is told of its probes.
    pub(super) fn tell_of_probes(&self, id: ProgramId) -> Vec<snapshot::Probe> {
        let program = &self.programs[id.0];
        let mut told = Vec::new();
        for (place, role) in PROBES.into_iter().enumerate() {
            if self.probe_rules(id, role).is_none() {
                continue;
            }
            let probe = program.tasks.as_ref().and_then(|tasks| tasks.probes[place].as_ref());
            let is_up = program.tasks.as_ref().is_some_and(|tasks| tasks.is_up);
            let Tally { passed, failed, errors } =
                program.tallies.as_ref().map(|all| all[place]).unwrap_or_default();
            let is_success = match role {
                // It is not asked any more once it has passed.
                Role::Startup if is_up => Some(true),
                Role::Startup | Role::Readiness | Role::Liveness | Role::PostStart | Role::PreStop => {
                    probe.and_then(Probe::result)
                }
            };
            told.push(snapshot::Probe { role, is_success, passed, failed, errors });
        }
        told
    }
}

/// What it means that a hook's time is over.
fn over(is_call: bool) -> Outcome {
    if is_call { Outcome::Failed("it took too long".to_owned()) } else { Outcome::Passed }
}
