//! What is to be done about what happened: a function of the plan, the events and their times.
//!
//! No clock, no I/O, no descriptor, no randomness: time comes in with each event, and what is to be done goes out as
//! effects. The container is one machine ([`Phase`]), each program another ([`program::State`]). Every pair of state
//! and event is written down in them; `docs/states.md` is printed from this code. Here stands what concerns the whole
//! container, in `programs` how programs start, stop and wait for each other.

mod commands;
#[cfg_attr(not(feature = "config"), path = "supervisor/no_freeze.rs")]
mod freeze;
mod probe;
pub(crate) mod program;
mod programs;
#[cfg(test)]
mod table;
mod tasks;
mod told;

use std::time::Duration;

use crate::effect::{Breadcrumb, Effect, Target};
use crate::event::{Depth, Event, Memory, Pid, Sender, Switch};
use crate::notice::{DrainEnd, Notice, Release};
use crate::outcome::{Cause, KillReason, Report};
use crate::plan::{Drain, Grace, HoldOn, Meaning, Pause, Plan, ProgramId, Wait, Word};
use crate::signal::Signal;
use crate::snapshot::Happening;
use crate::time::Time;
use commands::Pending;
use freeze::Kept;
use program::{Input, State, is_expected};
use programs::{Program, edges};

/// How long what SIGKILL does not end is waited for.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// How long we wait without a word before the log says for whom.
const QUIET_WAIT: Duration = Duration::from_secs(1);
/// What main leaves behind has at least this long after its SIGTERM, also where main used the assumed grace up.
const SHORTEST_SWEEP: Duration = Duration::from_secs(1);
/// How often the hold file is read while holding, for where no change is told (gVisor, some network mounts).
const HOLD_FILE_POLL: Duration = Duration::from_secs(10);
/// How long an empty hold file may be one that is being written just now.
const HOLD_FILE_DOUBT: Duration = Duration::from_secs(1);
/// How long memory stays unwatched after it came close to its limit, so that pressure costs no wake-ups.
const MEMORY_PAUSE: Duration = Duration::from_secs(10);
/// The stop signal that ends all patience, counted from 1.
const LAST_STOP: u32 = 3;

/// Where the container is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody has asked for an end.
    Up,
    /// A stop signal has come, and the programs are left alone until then; at the latest until what the stop budget leaves.
    Draining { least: Time, quiet_at: Time, latest: Time },
    /// The programs are told to stop, one after the other where one needs the other. When the log says that we wait,
    /// unless it has.
    Stopping { say_at: Option<Time> },
    /// What the container is for has failed, and it is held open.
    Holding { since: Time, until: Option<Time>, look_at: Option<Time>, empty_since: Option<Time> },
    /// The programs have ended, and what they left behind has SIGTERM.
    Sweeping { kill_at: Time, say_at: Option<Time>, then: Then },
    /// Everything left has SIGKILL.
    Killing { until: Time, why: KillReason, then: Then },
    /// All is said and done.
    Ended(u8),
}

/// What comes when everything that was left behind is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The end.
    End,
    /// Another start: what is left of the last one holds its ports and its locks.
    Start,
}

/// What ends the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// This program's end.
    Of(ProgramId),
    /// That main can never start, for it waits for this one.
    InVain(ProgramId),
    /// That there is nothing left to do.
    OfAll,
}

/// The stop signals so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stop {
    /// The first of them.
    signal: Signal,
    /// Who sent it.
    sender: Sender,
    /// What main is told for it.
    word: Word,
    /// When it came.
    since: Time,
    /// How many there were.
    count: u32,
}

/// What the file of the termination message holds for us, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Nothing,
    /// That memory is close to its limit.
    MemoryNote,
    /// Another breadcrumb.
    Note,
    /// The message itself.
    Message,
}

/// The container and its programs.
#[derive(Debug)]
pub struct Supervisor {
    plan: Plan,
    /// By [`ProgramId`], as the next two.
    programs: Vec<Program>,
    /// Whose `after` each program stands in.
    dependents: Vec<Vec<ProgramId>>,
    /// What may not be stopped before it: what stands in its `after`, or has stood there.
    held_back: Vec<Vec<ProgramId>>,
    /// How long each program and, one after the other, what it comes after may take to stop.
    chains: Vec<Duration>,
    /// When something of each program is due; as many look at it as there are events, so it is kept.
    due: Vec<Option<Time>>,
    /// The programs for which it has to be looked up again; empty between calls.
    touched: Vec<ProgramId>,
    /// The processes of the programs.
    pids: Vec<(Pid, ProgramId)>,
    phase: Phase,
    /// None until the first stop signal.
    stop: Option<Stop>,
    /// What ends the container, once something does.
    end: Option<End>,
    /// Which program failed first; its code is the container's where there is no main.
    first_failure: Option<ProgramId>,
    /// Since when what is left is being stopped although nobody asked for it, or main has ended.
    rest_since: Option<Time>,
    /// Whether the last reaping left us without a child.
    alone: bool,
    /// What the hold file said last; None where it has not been asked since main was started.
    switch: Option<Switch>,
    /// How often the container has been held.
    holds: u64,
    /// How long the last end was held, once released.
    held: Option<Duration>,
    written: Written,
    /// Processes that are kept at their ends.
    kept: Kept,
    /// When to look at the memory again; None while it is watched.
    memory_at: Option<Time>,
    /// Whether a failure is to be held, by an operator's word; None where there is none.
    hold_order: Option<bool>,
    /// The commands that are not done yet.
    pending: Vec<Pending>,
    /// What came to pass.
    history: Vec<Happening>,
    /// What [`Supervisor::handle`] has decided so far; empty between calls.
    effects: Vec<Effect>,
}

impl Supervisor {
    /// A container in which nothing has happened yet.
    #[must_use]
    pub fn new(plan: Plan) -> Supervisor {
        let (dependents, held_back) = edges(&plan);
        Supervisor {
            programs: plan.programs.iter().map(|_| Program::new()).collect(),
            dependents,
            held_back,
            chains: plan.stop_chains(),
            due: vec![None; plan.programs.len()],
            touched: Vec::new(),
            pids: Vec::new(),
            plan,
            phase: Phase::Up,
            stop: None,
            end: None,
            first_failure: None,
            rest_since: None,
            alone: false,
            switch: None,
            holds: 0,
            held: None,
            written: Written::Nothing,
            kept: Kept::default(),
            memory_at: None,
            hold_order: None,
            pending: Vec::new(),
            history: Vec::new(),
            effects: Vec::new(),
        }
    }

    fn take_up(&mut self, plan: Plan) {
        (self.dependents, self.held_back) = edges(&plan);
        self.chains = plan.stop_chains();
        self.plan = plan;
    }

    /// Decides what is to be done about `event`, which is known since `now`.
    #[must_use = "what was decided has to be done"]
    pub fn handle(&mut self, event: Event, now: Time) -> impl Iterator<Item = Effect> + '_ {
        match event {
            Event::Start => self.start(now),
            Event::Spawned(id, pid) => self.spawned(id, pid, now),
            Event::Refused(id, refusal) => self.refused(id, refusal, now),
            Event::Exited { pid, status, memory } => self.exited(pid, status, memory, now),
            Event::Frozen { pid, status, memory } => self.frozen(pid, status, memory, now),
            Event::Paused(pid, signal) => self.paused(pid, signal, now),
            Event::Reaped { alone } => self.reaped(alone, now),
            Event::Ready(id) => self.ready(id, now),
            Event::Signal(signal, sender) => match self.plan.meaning(signal) {
                Meaning::Stop(word) => self.stop_requested(signal, word, sender, now),
                Meaning::Forward(out) => self.pass_on(signal, Some(out), sender, now),
                meaning @ Meaning::Reload if self.is_reload(meaning) => {
                    self.effects.push(Effect::Reload(None));
                }
                Meaning::Ignore | Meaning::Reload => self.pass_on(signal, None, sender, now),
            },
            Event::Done(task, outcome) => self.done(task, outcome, now),
            Event::Connected => self.connected(now),
            Event::Asked(client, depth) => {
                let snapshot = Box::new(self.snapshot(depth, now));
                self.effects.push(Effect::Tell(client, snapshot));
            }
            Event::Left(client) => self.left(client),
            Event::Commanded(client, sender, command) => self.commanded(client, sender, command, now),
            Event::Reloaded(reloaded) => self.reloaded(*reloaded, now),
            Event::HoldFile(switch) => self.hold_file(switch, now),
            Event::Memory(memory) => self.memory(memory, now),
            Event::Tick => self.tick(now),
        }
        self.settle();
        self.look_up_due();
        self.remember(now);
        self.effects.drain(..)
    }

    /// When [`Event::Tick`] is wanted; None where only an event can change anything.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let phase = match self.phase {
            Phase::Up | Phase::Ended(_) => None,
            Phase::Draining { least, quiet_at, latest } => {
                earliest([Some(quiet_at.clamp(least, latest)), self.end_of_grace()])
            }
            Phase::Stopping { say_at } => earliest([say_at, self.end_of_grace()]),
            Phase::Holding { until, look_at, .. } => earliest([until, look_at]),
            Phase::Sweeping { kill_at, say_at, .. } => earliest([Some(kill_at), say_at]),
            Phase::Killing { until, .. } => Some(until),
        };
        let programs = match self.phase {
            Phase::Up | Phase::Draining { .. } | Phase::Stopping { .. } | Phase::Holding { .. } => {
                self.program_deadline()
            }
            Phase::Sweeping { .. } | Phase::Killing { .. } | Phase::Ended(_) => None,
        };
        earliest([phase, programs, self.memory_at])
    }

    /// The code to exit with, once everything is done.
    #[must_use]
    pub fn exit_code(&self) -> Option<u8> {
        match self.phase {
            Phase::Ended(code) => Some(code),
            Phase::Up
            | Phase::Draining { .. }
            | Phase::Stopping { .. }
            | Phase::Holding { .. }
            | Phase::Sweeping { .. }
            | Phase::Killing { .. } => None,
        }
    }

    /// Until when the last lines of log may still be written, once everything is done: what is left of the time that
    /// the platform gives.
    #[must_use]
    pub fn end_of_last_words(&self, now: Time) -> Time {
        let of_the_reserve = match (self.plan.grace, self.stop) {
            (Grace::Set(_), Some(_)) => self.plan.grace.reserve() / 2,
            (Grace::Set(_) | Grace::Assumed(_), _) => Duration::ZERO,
        };
        self.end_of_sweep(now).after(of_the_reserve)
    }

    fn start(&mut self, now: Time) {
        self.start_all(now);
        if self.effects.is_empty() {
            self.effects.push(Effect::Reap); // nothing starts by itself: that may be the end
        }
    }

    fn paused(&mut self, pid: Pid, signal: Signal, now: Time) {
        let Some(id) = self.program_of(pid) else { return };
        self.advance(id, Input::Paused, now);
        match self.plan.pause {
            Pause::Follow => self.effects.push(Effect::StopSelf(signal)),
            Pause::Refuse if signal == Signal::TSTP => {
                self.advance(id, Input::Continued, now);
                self.effects.push(Effect::Signal(Target::Group(pid), Signal::CONT, None));
            }
            Pause::Refuse | Pause::Leave => {
                self.effects.push(Effect::Say(Notice::Paused { program: self.name_of(id), signal }));
            }
        }
    }

    /// A hold says it in its own words: where one may come, this waits until it is known.
    fn say_ended_unless_held(&mut self, id: ProgramId, now: Time) {
        if !(self.state(id).is_over() && self.may_be_held(id)) {
            self.say_ended(id, now);
        }
    }

    /// Remembers how it ended; where nobody wanted that, with all that can be known.
    fn keep_end(&mut self, id: ProgramId, is_by_itself: bool, now: Time) {
        let report = self.report_on(id, now);
        self.programs[id.0].last_end.clone_from(&report);
        let is_kept = self.plan.keeps_records && is_by_itself;
        if let Some(report) = report.filter(|report| is_kept && !report.is_expected) {
            let snapshot = Box::new(self.snapshot(Depth::Now, now));
            self.effects.push(Effect::KeepCrash(report, snapshot));
        }
    }

    /// Where it has ended for good, the container may be held for it.
    fn may_be_held(&self, id: ProgramId) -> bool {
        self.phase == Phase::Up
            && self.may_hold()
            && (Some(id) == self.plan.main || self.plan.program(id).essential)
    }

    fn say_ended(&mut self, id: ProgramId, now: Time) {
        if let Some(report) = self.report_on(id, now) {
            self.effects.push(Effect::Say(Notice::Ended(report)));
        }
    }

    // --- the end

    fn reaped(&mut self, alone: bool, now: Time) {
        self.alone = alone;
        match self.phase {
            Phase::Up if self.is_over() => self.over(now),
            Phase::Draining { .. } if self.is_over() => {
                self.end = self.end.or_else(|| self.find_end());
                self.finish(now);
            }
            Phase::Stopping { .. } if self.is_stopped() => self.finish(now),
            Phase::Sweeping { then, .. } | Phase::Killing { then, .. } if alone => self.go_on(then, now),
            Phase::Killing { then: Then::End, .. } => self.report(now),
            Phase::Up
            | Phase::Draining { .. }
            | Phase::Stopping { .. }
            | Phase::Holding { .. }
            | Phase::Sweeping { .. }
            | Phase::Killing { .. } => {}
            Phase::Ended(_) => self.impossible("an exit after the end"),
        }
    }

    /// Something has ended the container, and with `--wait all` everything else has ended too.
    fn is_over(&self) -> bool {
        (self.plan.wait == Wait::Main || self.alone) && (self.end.is_some() || self.find_end().is_some())
    }

    /// No program is left to stop, and with `--wait all` nothing else either.
    fn is_stopped(&self) -> bool {
        !self.has_any_process()
            && match self.plan.wait {
                Wait::Main => true,
                Wait::All => self.alone,
            }
    }

    fn find_end(&self) -> Option<End> {
        if let Some(main) = self.plan.main {
            if self.state(main).is_over() {
                return Some(End::Of(main));
            }
            if matches!(self.state(main), State::Waiting { .. })
                && let Some(blocker) = self.blockers()[main.0]
            {
                let has_run = self.state(main).cause().is_some();
                return Some(if has_run { End::Of(main) } else { End::InVain(blocker) });
            }
        }
        if let Some(failed) = self.ids().find(|id| self.plan.program(*id).essential && self.has_failed(*id)) {
            return Some(End::Of(failed));
        }
        // Who stops a program by hand wants the container to stay.
        let waits_for_operator = |id: ProgramId| {
            self.programs[id.0].is_stopped_by_hand && matches!(self.state(id), State::Stopped(_))
        };
        if self.plan.main.is_some() || self.has_any_process() || self.ids().any(waits_for_operator) {
            return None;
        }
        let blockers = self.blockers();
        let has_all_ended = self.ids().all(|id| match self.state(id) {
            State::Stopped(_) | State::Exited { restart_at: None, .. } | State::Fatal { .. } => true,
            State::Waiting { .. } => blockers[id.0].is_some(),
            State::Exited { restart_at: Some(_), .. }
            | State::Spawning { .. }
            | State::Starting { .. }
            | State::Running(_)
            | State::Backoff { .. }
            | State::Stopping { .. } => false,
        });
        has_all_ended.then_some(End::OfAll)
    }

    /// Nobody has asked for it: hold, or finish.
    fn over(&mut self, now: Time) {
        self.end = self.end.or_else(|| self.find_end());
        if self.plan.hold.file && self.switch.is_none() {
            self.effects.push(Effect::ReadHoldFile);
            self.effects.push(Effect::Reap);
        } else if self.is_to_be_held() {
            self.hold(now);
        } else {
            let unsaid = self.culprit().filter(|id| {
                self.may_hold() && (Some(*id) == self.plan.main || self.plan.program(*id).essential)
            });
            if let Some(id) = unsaid {
                self.say_ended(id, now);
            }
            self.finish(now);
        }
    }

    /// The program that the exit code and the message are about.
    fn culprit(&self) -> Option<ProgramId> {
        match self.end {
            Some(End::Of(id) | End::InVain(id)) => Some(id),
            Some(End::OfAll) => self.first_failure.or_else(|| self.last_ended()),
            None => self.plan.main.or(self.first_failure),
        }
    }

    fn last_ended(&self) -> Option<ProgramId> {
        self.ids().filter(|id| self.state(*id).is_over()).last()
    }

    /// What ended the container is a failure.
    fn is_failure(&self) -> bool {
        match self.end {
            Some(End::Of(id)) => self.has_failed(id) || matches!(self.state(id), State::Waiting { .. }),
            Some(End::InVain(_)) => true,
            Some(End::OfAll) | None => self.first_failure.is_some(),
        }
    }

    fn is_to_be_held(&self) -> bool {
        self.would_hold(self.is_failure())
    }

    /// An operator's word counts most, then the hold file's.
    fn would_hold(&self, failed: bool) -> bool {
        let planned = match self.plan.hold.on {
            HoldOn::Never => false,
            HoldOn::Failure => failed,
            HoldOn::Always => true,
        };
        match (self.hold_order, self.switch) {
            (Some(true), _) | (None, Some(Switch::On)) => failed || planned,
            (Some(false), _) | (None, Some(Switch::Off)) => false,
            (None, Some(Switch::Silent) | None) => planned,
        }
    }

    /// A hold may come: what it says is not said before.
    fn may_hold(&self) -> bool {
        self.plan.hold.is_possible() || self.hold_order == Some(true)
    }

    fn hold(&mut self, now: Time) {
        let look_at = self.plan.hold.file.then(|| now.after(HOLD_FILE_POLL));
        let until = self.plan.hold.limit.map(|limit| now.after(limit));
        self.phase = Phase::Holding { since: now, until, look_at, empty_since: None };
        self.holds += 1;
        self.effects.push(Effect::ShowHeld(true));
        if let Some(report) = self.culprit().and_then(|id| self.report_on(id, now)) {
            self.effects.push(Effect::AnnounceHold { report: report.clone(), limit: self.plan.hold.limit });
            self.note(Breadcrumb::Held(report));
        }
        self.stop_sidecars(now);
        if self.plan.hold.file {
            self.effects.push(Effect::WatchHoldFile(true));
        }
        self.memory_at = None;
    }

    fn release(&mut self, why: Release, since: Time, now: Time) {
        self.effects.push(Effect::Say(Notice::Released(why)));
        self.effects.push(Effect::ShowHeld(false));
        if self.plan.hold.file {
            self.effects.push(Effect::WatchHoldFile(false));
        }
        match why {
            Release::Restart(_) => {
                self.clear_note();
                self.switch = None;
                if self.alone {
                    self.start_again(now);
                } else if self.has_any_process() {
                    // The others go on: only what belongs to none of them is in the way.
                    self.effects.push(Effect::Signal(Target::Strays, Signal::KILL, None));
                    self.start_again(now);
                } else {
                    self.sweep(Then::Start, now);
                }
            }
            Release::Signal(_) | Release::File | Release::TimeUp | Release::Operator => {
                self.held = Some(now.since(since));
                self.finish(now);
            }
        }
    }

    fn hold_file(&mut self, switch: Switch, now: Time) {
        self.switch = Some(switch);
        match self.phase {
            Phase::Holding { since, until, look_at, empty_since } => {
                let is_sure = switch == Switch::Off
                    || empty_since.is_some_and(|empty| now.since(empty) >= HOLD_FILE_DOUBT);
                let (look_at, empty_since) = match empty_since {
                    _ if self.is_to_be_held() => (look_at, None),
                    _ if is_sure => return self.release(Release::File, since, now),
                    // Whoever writes into the file empties it first: it is believed when it is still empty later.
                    None => (Some(now.after(HOLD_FILE_DOUBT)), Some(now)),
                    Some(empty) => (look_at, Some(empty)),
                };
                self.phase = Phase::Holding { since, until, look_at, empty_since };
            }
            Phase::Up
            | Phase::Draining { .. }
            | Phase::Stopping { .. }
            | Phase::Sweeping { .. }
            | Phase::Killing { .. }
            | Phase::Ended(_) => {}
        }
    }

    /// Stops what is left, or ends where nothing is.
    fn finish(&mut self, now: Time) {
        self.thaw();
        if self.has_any_process() {
            if let Some(id) = self.culprit() {
                self.effects.push(Effect::Say(Notice::Over { program: self.name_of(id) }));
            }
            self.report(now);
            return self.begin_stop(now);
        }
        self.end_drain();
        self.unlisten_all();
        if self.alone {
            self.end(now);
        } else {
            self.report(now);
            self.sweep(Then::End, now);
        }
    }

    /// Begins to stop the programs.
    fn begin_stop(&mut self, now: Time) {
        self.end_drain();
        self.phase = Phase::Stopping { say_at: Some(now.after(QUIET_WAIT)) };
        if self.stop.is_none() || self.end.is_some() {
            self.rest_since.get_or_insert(now);
        }
        self.stop_all(now);
        if self.has_any_process() {
            return;
        }
        if let (Wait::All, Some(stop)) = (self.plan.wait, self.stop) {
            // The programs have ended; it is for what they left behind.
            match stop.word {
                Word::Pass(signal) => self.send(signal, Some(stop.sender), now),
                Word::StopSignal => self.send(Signal::TERM, None, now),
                Word::Nothing => {}
            }
        }
        self.effects.push(Effect::Reap);
    }

    /// Asks everything that is left to end.
    fn sweep(&mut self, then: Then, now: Time) {
        self.memory_at = None;
        let target = left_behind(then);
        self.effects.push(Effect::Signal(target, Signal::TERM, None));
        // signal(7): a stopped process gets its SIGTERM only once it is continued.
        self.effects.push(Effect::Signal(target, Signal::CONT, None));
        self.phase =
            Phase::Sweeping { kill_at: self.end_of_sweep(now), say_at: Some(now.after(QUIET_WAIT)), then };
    }

    /// Everything that was left behind is gone.
    fn go_on(&mut self, then: Then, now: Time) {
        match then {
            Then::End => self.end(now),
            Then::Start => self.start_again(now),
        }
    }

    /// Starts what failed once more, and what was stopped for it.
    fn start_again(&mut self, now: Time) {
        self.phase = Phase::Up;
        let culprit = self.culprit();
        (self.end, self.first_failure, self.rest_since) = (None, None, None);
        self.keep_all(now);
        if let Some(id) = culprit.filter(|id| !self.plan.program(*id).is_retired) {
            self.programs[id.0].is_stopped_by_hand = false;
            self.request_start(id, now);
        }
        self.start_all(now);
        self.effects.push(Effect::ReadMemory);
        if !self.has_any_process() {
            self.effects.push(Effect::Reap); // should nothing start, that is the end
        }
    }

    fn kill(&mut self, why: KillReason, now: Time) {
        let then = match self.phase {
            Phase::Sweeping { then, .. } | Phase::Killing { then, .. } => then,
            Phase::Up
            | Phase::Draining { .. }
            | Phase::Stopping { .. }
            | Phase::Holding { .. }
            | Phase::Ended(_) => Then::End,
        };
        self.end_drain();
        self.drop_all_calls(now);
        self.effects.push(Effect::Say(Notice::Killing(why)));
        self.effects.push(Effect::Signal(left_behind(then), Signal::KILL, None));
        self.memory_at = None;
        self.phase = Phase::Killing { until: now.after(LAST_WAIT), why, then };
    }

    fn end(&mut self, now: Time) {
        self.unlisten_all();
        self.answer_all();
        self.write_message(now); // again, where there was a sweep: what main left behind may have written over it
        self.memory_at = None;
        self.phase = Phase::Ended(self.code());
    }

    // --- signals

    fn stop_requested(&mut self, signal: Signal, word: Word, sender: Sender, now: Time) {
        let stop = self.stop.get_or_insert(Stop { signal, sender, word, since: now, count: 0 });
        stop.count = stop.count.saturating_add(1);
        let Stop { count, word: first, .. } = *stop;
        match self.phase {
            Phase::Up => {
                self.thaw();
                let is_serving =
                    self.ids().any(|id| matches!(self.state(id), State::Running(_)) || self.is_ready(id));
                let Drain { delay, quiet, .. } = self.plan.drain;
                let drain = Some(delay).filter(|drain| is_serving && !(drain.is_zero() && quiet.is_none()));
                self.effects.push(Effect::Say(Notice::StopRequested { signal, sender, drain, quiet }));
                self.note(Breadcrumb::StopRequested(signal));
                self.memory_at = None;
                match drain {
                    Some(delay) => self.drain(delay, now),
                    None => self.begin_stop(now),
                }
            }
            Phase::Draining { .. } => {
                self.effects.push(Effect::Say(Notice::DrainOver(DrainEnd::Signal)));
                self.begin_stop(now);
                if first != word {
                    self.tell_main(word, sender, now);
                }
            }
            Phase::Stopping { .. } if count >= LAST_STOP && matches!(self.plan.grace, Grace::Set(_)) => {
                self.kill(KillReason::ThirdSignal, now);
            }
            Phase::Stopping { .. } => self.tell_main(word, sender, now),
            Phase::Holding { since, .. } => self.release(Release::Signal(signal), since, now),
            Phase::Sweeping { .. } if count >= LAST_STOP => self.kill(KillReason::ThirdSignal, now),
            Phase::Sweeping { kill_at, say_at, .. } => {
                self.phase = Phase::Sweeping { kill_at, say_at, then: Then::End };
            }
            Phase::Killing { until, why, .. } => self.phase = Phase::Killing { until, why, then: Then::End },
            Phase::Ended(_) => self.impossible("a signal after the end"),
        }
    }

    /// The programs go on serving: for the delay, and until no new connection has come for long enough.
    fn drain(&mut self, delay: Duration, now: Time) {
        let end = now.after(delay);
        let stop = self.chains.iter().max().copied().unwrap_or_default();
        let latest = now.after(self.plan.grace.budget().saturating_sub(stop)).max(end);
        let quiet_at = self.plan.drain.quiet.map_or(end, |quiet| now.after(quiet));
        self.phase = Phase::Draining { least: end, quiet_at, latest };
        if self.plan.drain.quiet.is_some() {
            self.effects.push(Effect::WatchConnections(true));
        }
        self.hush_all(now);
    }

    /// Somebody new has come: the drain goes on for as long as nobody must.
    fn connected(&mut self, now: Time) {
        if let (Phase::Draining { quiet_at, .. }, Some(quiet)) = (&mut self.phase, self.plan.drain.quiet) {
            *quiet_at = now.after(quiet);
        }
    }

    fn end_drain(&mut self) {
        if matches!(self.phase, Phase::Draining { .. }) && self.plan.drain.quiet.is_some() {
            self.effects.push(Effect::WatchConnections(false));
        }
    }

    /// A further stop signal, for whom each one counts.
    fn tell_main(&mut self, word: Word, sender: Sender, now: Time) {
        match word {
            Word::Pass(signal) => self.send(signal, Some(sender), now),
            Word::Nothing | Word::StopSignal => {}
        }
    }

    /// A signal that asks for no stop; `out` is what main gets for it.
    fn pass_on(&mut self, signal: Signal, out: Option<Signal>, sender: Sender, now: Time) {
        match self.phase {
            Phase::Up | Phase::Draining { .. } | Phase::Stopping { .. } => match out {
                Some(out) => self.send(out, Some(sender), now),
                None => self.effects.push(Effect::Say(Notice::Unheard(signal))),
            },
            Phase::Holding { since, .. } if signal == Signal::QUIT => {
                self.release(Release::Signal(signal), since, now);
            }
            Phase::Holding { since, .. } if signal == Signal::HUP => {
                self.restart_held(Some(signal), since, now);
            }
            Phase::Holding { .. } | Phase::Sweeping { .. } | Phase::Killing { .. } => {
                self.effects.push(Effect::Say(Notice::Unheard(signal)));
            }
            Phase::Ended(_) => self.impossible("a signal after the end"),
        }
    }

    /// Sends `signal` to main; once it has ended (`--wait all`), to everyone it left.
    fn send(&mut self, signal: Signal, sender: Option<Sender>, now: Time) {
        let process = self.plan.main.and_then(|main| Some((main, *self.state(main).process()?)));
        let Some((main, process)) = process else {
            let effect = match self.plan.wait {
                Wait::All => Effect::Signal(Target::Everyone, signal, sender),
                Wait::Main => Effect::Say(Notice::Unheard(signal)),
            };
            return self.effects.push(effect);
        };
        let is_continued = signal == Signal::CONT;
        let target = if is_continued && self.plan.pause == Pause::Follow {
            self.effects.push(Effect::GiveTerminal(process.pid));
            Target::Group(process.pid)
        } else if self.plan.program(main).signal_group {
            Target::Group(process.pid)
        } else {
            Target::Process(process.pid)
        };
        self.effects.push(Effect::Signal(target, signal, sender));
        if is_continued {
            self.advance(main, Input::Continued, now);
        }
    }

    // --- time and memory

    fn tick(&mut self, now: Time) {
        if self.memory_at.is_some_and(|at| at <= now) {
            self.memory_at = None;
            self.effects.push(Effect::ReadMemory);
        }
        let grace_is_over = self.end_of_grace().is_some_and(|end| end <= now);
        match self.phase {
            Phase::Draining { .. } | Phase::Stopping { .. } if grace_is_over => {
                self.kill(KillReason::TimeOver, now);
            }
            Phase::Draining { least, quiet_at, latest } if quiet_at.clamp(least, latest) <= now => {
                let why = match self.plan.drain.quiet {
                    Some(_) if quiet_at > now => DrainEnd::Budget,
                    Some(quiet) => DrainEnd::Quiet(quiet),
                    None => DrainEnd::Delay,
                };
                self.effects.push(Effect::Say(Notice::DrainOver(why)));
                self.begin_stop(now);
            }
            Phase::Stopping { say_at: Some(at) } if at <= now => {
                let who = self.whom_we_wait_for(now);
                self.effects.push(who);
                self.phase = Phase::Stopping { say_at: None };
            }
            Phase::Holding { since, until: Some(until), .. } if until <= now => {
                self.release(Release::TimeUp, since, now);
            }
            Phase::Holding { since, until, look_at: Some(at), empty_since } if at <= now => {
                self.effects.push(Effect::ReadHoldFile);
                let look_at = Some(now.after(HOLD_FILE_POLL));
                self.phase = Phase::Holding { since, until, look_at, empty_since };
            }
            Phase::Sweeping { kill_at, .. } if kill_at <= now => self.kill(KillReason::TimeOver, now),
            Phase::Sweeping { kill_at, say_at: Some(at), then } if at <= now => {
                self.effects.push(Effect::SayWhoIsLeft);
                self.phase = Phase::Sweeping { kill_at, say_at: None, then };
            }
            Phase::Killing { until, then, .. } if until <= now => self.give_up(then, now),
            Phase::Up
            | Phase::Draining { .. }
            | Phase::Stopping { .. }
            | Phase::Holding { .. }
            | Phase::Sweeping { .. }
            | Phase::Killing { .. }
            | Phase::Ended(_) => {}
        }
        // After the container: where it has just begun to stop, nothing is started any more.
        match self.phase {
            Phase::Up | Phase::Draining { .. } | Phase::Stopping { .. } | Phase::Holding { .. } => {
                self.tick_programs(now);
            }
            Phase::Sweeping { .. } | Phase::Killing { .. } | Phase::Ended(_) => {}
        }
    }

    fn whom_we_wait_for(&self, now: Time) -> Effect {
        let end = self.end_of_grace();
        // The others wait for these as we do.
        let waiting: Vec<_> = self
            .ids()
            .filter(|id| matches!(self.state(*id), State::Stopping { .. }))
            .map(|id| {
                let kill_at = earliest([self.state(id).deadline(), end]);
                (self.name_of(id), kill_at.map(|at| at.since(now)))
            })
            .collect();
        if waiting.is_empty() { Effect::SayWhoIsLeft } else { Effect::Say(Notice::WaitingFor(waiting)) }
    }

    fn give_up(&mut self, then: Then, now: Time) {
        self.effects.push(Effect::Say(Notice::GivingUp));
        for id in self.ids() {
            if self.is_alive(id) {
                self.advance(id, Input::Abandoned, now);
                self.first_failure.get_or_insert(id);
            }
        }
        self.go_on(then, now);
    }

    fn memory(&mut self, memory: Memory, now: Time) {
        match self.phase {
            Phase::Up if memory.is_close() => {
                self.memory_at = Some(now.after(MEMORY_PAUSE));
                self.note(Breadcrumb::NearMemoryLimit(memory));
                self.written = Written::MemoryNote;
            }
            Phase::Up if self.written == Written::MemoryNote => self.clear_note(),
            Phase::Up
            | Phase::Draining { .. }
            | Phase::Stopping { .. }
            | Phase::Holding { .. }
            | Phase::Sweeping { .. }
            | Phase::Killing { .. }
            | Phase::Ended(_) => {}
        }
    }

    /// When everything left is killed: at the end of the time that the platform gives, and as long after an end that
    /// nobody asked for. An assumed end never comes before main's own, and means nothing where main outlived it.
    fn end_of_grace(&self) -> Option<Time> {
        let budget = self.plan.grace.budget();
        match (self.plan.grace, self.stop, self.rest_since) {
            (Grace::Set(_), Some(stop), _) => Some(stop.since.after(budget)),
            (Grace::Assumed(_), Some(stop), Some(rest_since)) => {
                Some(stop.since.after(budget)).filter(|end| rest_since < *end)
            }
            (Grace::Set(_) | Grace::Assumed(_), None, Some(rest_since)) => Some(rest_since.after(budget)),
            (Grace::Set(_) | Grace::Assumed(_), None, None) | (Grace::Assumed(_), Some(_), None) => None,
        }
    }

    /// When what the programs left behind is killed, seen from `now`.
    fn end_of_sweep(&self, now: Time) -> Time {
        let budget = self.plan.grace.budget();
        match (self.plan.grace, self.stop) {
            (Grace::Set(_), Some(stop)) => stop.since.after(budget),
            (Grace::Assumed(_), Some(stop)) => stop.since.after(budget).max(now.after(SHORTEST_SWEEP)),
            (Grace::Set(_) | Grace::Assumed(_), None) => {
                self.rest_since.unwrap_or(now).after(budget).max(now.after(SHORTEST_SWEEP.min(budget)))
            }
        }
    }

    // --- what is told

    pub(crate) fn name_of(&self, id: ProgramId) -> String {
        self.plan.program(id).name.clone()
    }

    /// The code that sexton ends with.
    fn code(&self) -> u8 {
        if self.end == Some(End::OfAll) && self.first_failure.is_none() {
            return 0;
        }
        let Some(id) = self.culprit() else { return 0 };
        match (self.state(id).cause(), self.stop) {
            (Some(cause), _) => self.code_of(id, cause),
            // It was stopped before its first start.
            (None, Some(stop)) if !self.is_alive(id) => self.remapped(stop.signal.exit_code()),
            (None, _) => Signal::KILL.exit_code(),
        }
    }

    fn code_of(&self, id: ProgramId, cause: &Cause) -> u8 {
        match (cause.code(), self.state(id)) {
            // Main never ran: whatever became of this one, that is no success.
            (code, _) if self.end == Some(End::InVain(id)) => code.max(1),
            // It was told to end because it had failed: its code is that of our own signal.
            (code, _) if cause.has_failed() => code.max(1),
            // It exited with 0 too soon, again and again.
            (0, State::Fatal { .. }) => 1,
            (code, _) if cause.is_own_code() => self.remapped(code),
            (code, _) => code,
        }
    }

    fn remapped(&self, code: u8) -> u8 {
        if self.plan.remap_exit.contains(&code) { 0 } else { code }
    }

    fn report_on(&self, id: ProgramId, now: Time) -> Option<Box<Report>> {
        let cause = self.state(id).cause()?;
        let code = self.code_of(id, cause);
        let is_own_end = !matches!(self.state(id), State::Fatal { .. } | State::Backoff { .. })
            && self.end != Some(End::InVain(id));
        Some(Box::new(Report {
            id,
            program: self.name_of(id),
            cause: cause.clone(),
            sequel: self.state(id).sequel(self.plan.program(id), now),
            is_expected: is_own_end
                && (code == 0
                    || is_expected(cause, self.plan.program(id))
                    || matches!(self.state(id), State::Stopped(_))),
            code,
            stopped_by: self.stop.map(|stop| stop.signal).filter(|_| self.held.is_none()),
            held: self.held,
            uptime: now.since_start(),
        }))
    }

    /// Writes the termination message as soon as the end is known that it is about.
    fn report(&mut self, now: Time) {
        if self.written != Written::Message {
            self.write_message(now);
        }
    }

    /// Where all ended as expected there is no message, and no note stays.
    fn write_message(&mut self, now: Time) {
        match self.culprit() {
            Some(id) => {
                let Some(report) = self.report_on(id, now) else {
                    if !self.is_alive(id) {
                        self.clear_note(); // it never ran
                    }
                    return;
                };
                let has_failed = matches!(self.state(id), State::Fatal { .. })
                    || self.end == Some(End::InVain(id))
                    || !is_expected(&report.cause, self.plan.program(id));
                if self.code() != 0 && has_failed {
                    self.effects.push(Effect::Report(report));
                } else {
                    self.clear_note();
                }
            }
            None if self.has_any_process() => return,
            None => self.clear_note(),
        }
        self.written = Written::Message;
    }

    fn note(&mut self, breadcrumb: Breadcrumb) {
        self.effects.push(Effect::Breadcrumb(Some(breadcrumb)));
        self.written = Written::Note;
    }

    fn clear_note(&mut self) {
        match self.written {
            Written::MemoryNote | Written::Note => {
                self.effects.push(Effect::Breadcrumb(None));
                self.written = Written::Nothing;
            }
            Written::Nothing | Written::Message => {}
        }
    }

    /// A pair of state and event that cannot come together: loud where we test, one line in the log where it runs.
    fn impossible(&mut self, what: &'static str) {
        debug_assert!(false, "BUG: {what}");
        self.effects.push(Effect::Say(Notice::Bug(what)));
    }
}

/// Whom a sweep is for. Before another start who looks around from outside goes on: its processes are not below us.
fn left_behind(then: Then) -> Target {
    match then {
        Then::End => Target::Everyone,
        Then::Start => Target::Strays,
    }
}

fn earliest<const N: usize>(times: [Option<Time>; N]) -> Option<Time> {
    times.into_iter().flatten().min()
}
