//! What is to be done about what happened: a function of the plan, the events and their times.
//!
//! No clock, no I/O, no descriptor, no randomness: time comes in with each event, and what is to be done goes out as
//! effects. The container is one machine ([`Phase`]), each program another ([`program::State`]). Every pair of state
//! and event is written down in them; `docs/states.md` is printed from this code.

pub(crate) mod program;
#[cfg(test)]
mod table;

use std::time::Duration;

use crate::effect::{Breadcrumb, Effect, Target};
use crate::event::{Event, Memory, Pid, Sender, Switch};
use crate::notice::{Notice, Release};
use crate::outcome::{Cause, KillReason, OutOfMemory, Refusal, Report, Status};
use crate::plan::{Grace, HoldOn, Meaning, Pause, Plan, ProgramId, Wait};
use crate::signal::Signal;
use crate::time::Time;
use program::{Input, State};

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
    /// A stop signal has come, and main is left alone until then.
    Draining { until: Time, signal: Option<Signal>, sender: Sender },
    /// Main has been told to stop. When the log says that we wait, unless it has.
    Stopping { say_at: Option<Time> },
    /// Main has failed, and the container is held open.
    Holding { since: Time, until: Option<Time>, look_at: Option<Time>, empty_since: Option<Time> },
    /// Main has ended, and what it left behind has SIGTERM.
    Sweeping { kill_at: Time, say_at: Option<Time>, then: Then },
    /// Everything left has SIGKILL.
    Killing { until: Time, why: KillReason, then: Then },
    /// All is said and done.
    Ended(u8),
}

/// What comes when everything that main left behind is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The end.
    End,
    /// Main, again: what is left of the last start holds its ports and its locks.
    Start,
}

/// The stop signals so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stop {
    /// The first of them.
    signal: Signal,
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
    /// By [`ProgramId`].
    programs: Vec<State>,
    phase: Phase,
    /// None until the first stop signal.
    stop: Option<Stop>,
    /// Whether the last reaping left us without a child.
    alone: bool,
    /// What the hold file said last; None where it has not been asked since main was started.
    switch: Option<Switch>,
    /// How long main's last end was held, once released.
    held: Option<Duration>,
    written: Written,
    /// When to look at the memory again; None while it is watched.
    memory_at: Option<Time>,
    /// What [`Supervisor::handle`] has decided so far; empty between calls.
    effects: Vec<Effect>,
}

impl Supervisor {
    /// A container in which nothing has happened yet.
    #[must_use]
    pub fn new(plan: Plan) -> Supervisor {
        Supervisor {
            programs: vec![State::Stopped; plan.programs.len()],
            plan,
            phase: Phase::Up,
            stop: None,
            alone: false,
            switch: None,
            held: None,
            written: Written::Nothing,
            memory_at: None,
            effects: Vec::new(),
        }
    }

    /// Decides what is to be done about `event`, which is known since `now`.
    #[must_use = "what was decided has to be done"]
    pub fn handle(&mut self, event: Event, now: Time) -> impl Iterator<Item = Effect> + '_ {
        match event {
            Event::Start => self.start(),
            Event::Spawned(id, pid) => self.spawned(id, pid, now),
            Event::Refused(id, refusal) => self.refused(id, refusal, now),
            Event::Exited { pid, status, memory } => self.exited(pid, status, memory, now),
            Event::Paused(pid, signal) => self.paused(pid, signal, now),
            Event::Reaped { alone } => self.reaped(alone, now),
            Event::Signal(signal, sender) => match self.plan.meaning(signal) {
                Meaning::Stop(out) => self.stop_requested(signal, out, sender, now),
                Meaning::Forward(out) => self.pass_on(signal, Some(out), sender, now),
                Meaning::Ignore => self.pass_on(signal, None, sender, now),
            },
            Event::HoldFile(switch) => self.hold_file(switch, now),
            Event::Memory(memory) => self.memory(memory, now),
            Event::Tick => self.tick(now),
        }
        self.effects.drain(..)
    }

    /// When [`Event::Tick`] is wanted; None where only an event can change anything.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let phase = match self.phase {
            Phase::Up | Phase::Ended(_) => None,
            Phase::Draining { until, .. } => earliest([Some(until), self.end_of_grace()]),
            Phase::Stopping { say_at } => earliest([say_at, self.end_of_grace()]),
            Phase::Holding { until, look_at, .. } => earliest([until, look_at]),
            Phase::Sweeping { kill_at, say_at, .. } => earliest([Some(kill_at), say_at]),
            Phase::Killing { until, .. } => Some(until),
        };
        earliest([phase, self.memory_at])
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

    // --- programs

    fn start(&mut self) {
        for index in 0..self.programs.len() {
            self.start_program(ProgramId(index), Time::default());
        }
    }

    fn start_program(&mut self, id: ProgramId, now: Time) {
        self.advance(id, Input::Start, now);
        self.effects.push(Effect::Spawn(id));
    }

    fn spawned(&mut self, id: ProgramId, pid: Pid, now: Time) {
        self.advance(id, Input::Spawned(pid), now);
        let program = self.plan.program(id).name.clone();
        self.effects.push(Effect::Say(Notice::Started { program, pid }));
        if !self.plan.hold.is_possible() {
            self.effects.push(Effect::LetGo);
        }
    }

    fn refused(&mut self, id: ProgramId, refusal: Refusal, now: Time) {
        self.advance(id, Input::Refused(refusal), now);
        self.effects.push(Effect::TakeTerminal);
        self.say_ended_unless_held(id, now);
        self.effects.push(Effect::Reap);
    }

    fn exited(&mut self, pid: Pid, status: Status, memory: Option<OutOfMemory>, now: Time) {
        let Some(id) = self.program_of(pid) else {
            if self.plan.warn_on_reap {
                self.effects.push(Effect::Say(Notice::Reaped(pid, status)));
            }
            return;
        };
        let killed_by_us = match self.phase {
            Phase::Killing { why, .. } => Some(why),
            Phase::Up
            | Phase::Draining { .. }
            | Phase::Stopping { .. }
            | Phase::Holding { .. }
            | Phase::Sweeping { .. }
            | Phase::Ended(_) => None,
        };
        self.advance(id, Input::Exited { status, memory, killed_by_us }, now);
        self.effects.push(Effect::TakeTerminal);
        self.say_ended_unless_held(id, now);
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
                let program = self.plan.program(id).name.clone();
                self.effects.push(Effect::Say(Notice::Paused { program, signal }));
            }
        }
    }

    fn advance(&mut self, id: ProgramId, input: Input, now: Time) {
        match self.programs[id.0].after(input, now) {
            Ok(state) => self.programs[id.0] = state,
            Err(program::Impossible(what)) => self.impossible(what),
        }
    }

    fn program_of(&self, pid: Pid) -> Option<ProgramId> {
        self.programs.iter().position(|state| state.pid() == Some(pid)).map(ProgramId)
    }

    /// A hold says it in its own words: where one may come, this waits until it is known.
    fn say_ended_unless_held(&mut self, id: ProgramId, now: Time) {
        if self.phase != Phase::Up || !self.plan.hold.is_possible() {
            self.say_ended(id, now);
        }
    }

    fn say_ended(&mut self, id: ProgramId, now: Time) {
        if let Some(report) = self.report_on(id, now) {
            self.effects.push(Effect::Say(Notice::Ended(report)));
        }
    }

    // --- the end of main

    fn reaped(&mut self, alone: bool, now: Time) {
        self.alone = alone;
        match self.phase {
            Phase::Up if self.is_over() => self.over(now),
            Phase::Draining { .. } | Phase::Stopping { .. } if self.is_over() => self.finish(now),
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

    /// Main has ended, and with `--wait all` everything else has too.
    fn is_over(&self) -> bool {
        self.main().cause().is_some()
            && match self.plan.wait {
                Wait::Main => true,
                Wait::All => self.alone,
            }
    }

    /// Nobody has asked for it: hold, or finish.
    fn over(&mut self, now: Time) {
        if self.plan.hold.file && self.switch.is_none() {
            self.effects.push(Effect::ReadHoldFile);
            self.effects.push(Effect::Reap);
        } else if self.is_to_be_held() {
            self.hold(now);
        } else {
            if self.plan.hold.is_possible() {
                self.say_ended(self.plan.main, now);
            }
            self.finish(now);
        }
    }

    fn is_to_be_held(&self) -> bool {
        let failed = self.code() != 0;
        let planned = match self.plan.hold.on {
            HoldOn::Never => false,
            HoldOn::Failure => failed,
            HoldOn::Always => true,
        };
        match self.switch {
            Some(Switch::On) => failed || planned,
            Some(Switch::Off) => false,
            Some(Switch::Silent) | None => planned,
        }
    }

    fn hold(&mut self, now: Time) {
        let look_at = self.plan.hold.file.then(|| now.after(HOLD_FILE_POLL));
        let until = self.plan.hold.limit.map(|limit| now.after(limit));
        self.phase = Phase::Holding { since: now, until, look_at, empty_since: None };
        if let Some(report) = self.report_on(self.plan.main, now) {
            self.effects.push(Effect::AnnounceHold { report: report.clone(), limit: self.plan.hold.limit });
            self.note(Breadcrumb::Held(report));
        }
        if self.plan.hold.file {
            self.effects.push(Effect::WatchHoldFile(true));
        }
        self.memory_at = None;
    }

    fn release(&mut self, why: Release, since: Time, now: Time) {
        self.effects.push(Effect::Say(Notice::Released(why)));
        if self.plan.hold.file {
            self.effects.push(Effect::WatchHoldFile(false));
        }
        match why {
            Release::Restart(_) => {
                self.clear_note();
                self.switch = None;
                if self.alone {
                    self.start_again(now);
                } else {
                    self.sweep(Then::Start, now);
                }
            }
            Release::Signal(_) | Release::File | Release::TimeUp => {
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

    /// Stops what main left behind, or ends where it left nothing.
    fn finish(&mut self, now: Time) {
        if self.alone {
            self.end(now);
            return;
        }
        self.report(now);
        self.sweep(Then::End, now);
    }

    /// Asks everything that is left to end.
    fn sweep(&mut self, then: Then, now: Time) {
        self.memory_at = None;
        self.effects.push(Effect::Signal(Target::Everyone, Signal::TERM, None));
        // signal(7): a stopped process gets its SIGTERM only once it is continued.
        self.effects.push(Effect::Signal(Target::Everyone, Signal::CONT, None));
        self.phase =
            Phase::Sweeping { kill_at: self.end_of_sweep(now), say_at: Some(now.after(QUIET_WAIT)), then };
    }

    /// Everything that main left behind is gone.
    fn go_on(&mut self, then: Then, now: Time) {
        match then {
            Then::End => self.end(now),
            Then::Start => self.start_again(now),
        }
    }

    fn start_again(&mut self, now: Time) {
        self.phase = Phase::Up;
        self.start_program(self.plan.main, now);
        self.effects.push(Effect::ReadMemory);
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
        self.effects.push(Effect::Say(Notice::Killing(why)));
        self.effects.push(Effect::Signal(Target::Everyone, Signal::KILL, None));
        self.memory_at = None;
        self.phase = Phase::Killing { until: now.after(LAST_WAIT), why, then };
    }

    fn end(&mut self, now: Time) {
        self.write_message(now); // again, where there was a sweep: what main left behind may have written over it
        self.memory_at = None;
        self.phase = Phase::Ended(self.code());
    }

    // --- signals

    fn stop_requested(&mut self, signal: Signal, out: Option<Signal>, sender: Sender, now: Time) {
        let stop = self.stop.get_or_insert(Stop { signal, since: now, count: 0 });
        stop.count = stop.count.saturating_add(1);
        let count = stop.count;
        match self.phase {
            Phase::Up => {
                let drain = (!self.plan.drain.is_zero()).then_some(self.plan.drain);
                self.effects.push(Effect::Say(Notice::StopRequested { signal, sender, drain }));
                self.note(Breadcrumb::StopRequested(signal));
                self.memory_at = None;
                match drain {
                    Some(drain) => {
                        self.phase = Phase::Draining { until: now.after(drain), signal: out, sender }
                    }
                    None => self.stop_main(out, sender, now),
                }
            }
            Phase::Draining { signal: first, sender: first_sender, .. } => {
                self.effects.push(Effect::Say(Notice::DrainOver));
                self.stop_main(first, first_sender, now);
                if first != out {
                    self.send(out, Some(sender), now);
                }
            }
            Phase::Stopping { .. } if count >= LAST_STOP && self.end_of_grace().is_some() => {
                self.kill(KillReason::ThirdSignal, now);
            }
            Phase::Stopping { .. } => self.send(out, Some(sender), now),
            Phase::Holding { since, .. } => self.release(Release::Signal(signal), since, now),
            Phase::Sweeping { .. } if count >= LAST_STOP => self.kill(KillReason::ThirdSignal, now),
            Phase::Sweeping { kill_at, say_at, .. } => {
                self.phase = Phase::Sweeping { kill_at, say_at, then: Then::End };
            }
            Phase::Killing { until, why, .. } => self.phase = Phase::Killing { until, why, then: Then::End },
            Phase::Ended(_) => self.impossible("a signal after the end"),
        }
    }

    fn stop_main(&mut self, signal: Option<Signal>, sender: Sender, now: Time) {
        self.send(signal, Some(sender), now);
        if matches!(self.main(), State::Running { paused: true, .. }) {
            self.send(Some(Signal::CONT), None, now);
        }
        self.phase = Phase::Stopping { say_at: Some(now.after(QUIET_WAIT)) };
    }

    /// A signal that asks for no stop; `out` is what main gets for it.
    fn pass_on(&mut self, signal: Signal, out: Option<Signal>, sender: Sender, now: Time) {
        match self.phase {
            Phase::Up | Phase::Draining { .. } | Phase::Stopping { .. } => self.send(out, Some(sender), now),
            Phase::Holding { since, .. } if signal == Signal::QUIT => {
                self.release(Release::Signal(signal), since, now);
            }
            Phase::Holding { since, .. } if signal == Signal::HUP => {
                self.release(Release::Restart(signal), since, now);
            }
            Phase::Holding { .. } | Phase::Sweeping { .. } | Phase::Killing { .. } => {
                self.effects.push(Effect::Say(Notice::Unheard(signal)));
            }
            Phase::Ended(_) => self.impossible("a signal after the end"),
        }
    }

    /// Sends `signal` to main; once it has ended (`--wait all`), to everyone it left.
    fn send(&mut self, signal: Option<Signal>, sender: Option<Sender>, now: Time) {
        let Some(signal) = signal else { return };
        let target = match *self.main() {
            State::Running { pid, .. } if self.plan.pause == Pause::Follow && signal == Signal::CONT => {
                self.effects.push(Effect::GiveTerminal(pid));
                Target::Group(pid)
            }
            State::Running { pid, .. } if self.plan.program(self.plan.main).signal_group => {
                Target::Group(pid)
            }
            State::Running { pid, .. } => Target::Process(pid),
            State::Exited(_) | State::Fatal(_) => Target::Everyone,
            State::Stopped | State::Starting => return self.impossible("a signal before the first start"),
        };
        self.effects.push(Effect::Signal(target, signal, sender));
        if signal == Signal::CONT && self.main().pid().is_some() {
            self.advance(self.plan.main, Input::Continued, now);
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
            Phase::Draining { until, signal, sender } if until <= now => {
                self.effects.push(Effect::Say(Notice::DrainOver));
                self.stop_main(signal, sender, now);
            }
            Phase::Stopping { say_at: Some(at) } if at <= now => {
                self.effects.push(match self.main().cause() {
                    Some(_) => Effect::SayWhoIsLeft,
                    None => Effect::Say(Notice::WaitingFor {
                        program: self.plan.program(self.plan.main).name.clone(),
                        kill_in: self.end_of_grace().map(|end| end.since(now)),
                    }),
                });
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
    }

    fn give_up(&mut self, then: Then, now: Time) {
        self.effects.push(Effect::Say(Notice::GivingUp));
        if self.main().pid().is_some() {
            self.advance(self.plan.main, Input::Abandoned, now);
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

    /// When everything is killed, main too: only where the grace period was given.
    fn end_of_grace(&self) -> Option<Time> {
        match (self.plan.grace, self.stop) {
            (Grace::Set(_), Some(stop)) => Some(stop.since.after(self.plan.grace.budget())),
            (Grace::Set(_) | Grace::Assumed(_), _) => None,
        }
    }

    /// When what main left behind is killed, seen from `now`.
    fn end_of_sweep(&self, now: Time) -> Time {
        let budget = self.plan.grace.budget();
        match (self.plan.grace, self.stop) {
            (Grace::Set(_), Some(stop)) => stop.since.after(budget),
            (Grace::Assumed(_), Some(stop)) => stop.since.after(budget).max(now.after(SHORTEST_SWEEP)),
            (Grace::Set(_) | Grace::Assumed(_), None) => now.after(budget),
        }
    }

    // --- what is told

    fn main(&self) -> &State {
        &self.programs[self.plan.main.0]
    }

    /// The code that sexton ends with.
    fn code(&self) -> u8 {
        self.main().cause().map_or(Signal::KILL.exit_code(), |cause| self.code_of(self.plan.main, cause))
    }

    fn code_of(&self, id: ProgramId, cause: &Cause) -> u8 {
        let code = cause.code();
        if cause.is_own_code() && self.plan.program(id).success.contains(&code) { 0 } else { code }
    }

    fn report_on(&self, id: ProgramId, now: Time) -> Option<Box<Report>> {
        let cause = self.programs[id.0].cause()?;
        Some(Box::new(Report {
            program: self.plan.program(id).name.clone(),
            cause: cause.clone(),
            code: self.code_of(id, cause),
            stopped_by: self.stop.map(|stop| stop.signal).filter(|_| self.held.is_none()),
            held: self.held,
            uptime: now.since_start(),
        }))
    }

    /// Writes the termination message as soon as main's end is known.
    fn report(&mut self, now: Time) {
        if self.written != Written::Message {
            self.write_message(now);
        }
    }

    /// Where main ended as expected there is no message, and no note stays.
    fn write_message(&mut self, now: Time) {
        let Some(report) = self.report_on(self.plan.main, now) else { return };
        if report.code == 0 {
            self.clear_note();
        } else {
            self.effects.push(Effect::Report(report));
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

fn earliest<const N: usize>(times: [Option<Time>; N]) -> Option<Time> {
    times.into_iter().flatten().min()
}
