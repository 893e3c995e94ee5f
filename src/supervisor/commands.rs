//! What an operator asks for while the container runs. A command is answered when what it asks for has come, or cannot.

use super::program::{Input, Patience, State, Then};
use super::{Phase, Supervisor};
use crate::command::{Command, Reply, Said, Verb, Word, is_pattern, matches};
use crate::effect::{Effect, Target};
use crate::event::{Client, Pid, Sender};
use crate::notice::{Ending, Next, Notice, Release};
use crate::plan::{Kind, ProgramId};
use crate::signal::Signal;
use crate::time::Time;

/// A command that is not done yet.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    client: Client,
    /// What there is to answer already.
    said: Vec<Said>,
    /// What is still to come.
    rest: Vec<(ProgramId, Wanted)>,
}

/// What is to become of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// It is to run, in another process than this.
    Up(Option<Pid>),
    /// It is to have no process.
    Down,
}

impl Supervisor {
    pub(super) fn commanded(&mut self, client: Client, sender: Sender, command: Command, now: Time) {
        self.effects.push(Effect::Say(Notice::Commanded { command: command.clone(), sender }));
        match command {
            Command::Programs { verb, names, dependents } => {
                self.command_programs(client, verb, &names, dependents, now);
            }
            Command::Reload => match self.phase {
                Phase::Up => self.effects.push(Effect::Reload(Some(client))),
                Phase::Draining { .. }
                | Phase::Stopping { .. }
                | Phase::Sweeping { .. }
                | Phase::Killing { .. }
                | Phase::Ended(_) => self.answer(client, Word::Refused, STOPS),
                Phase::Holding { .. } => {
                    self.answer(
                        client,
                        Word::Refused,
                        "the container is held; `release --restart` comes first",
                    );
                }
            },
            Command::Hold(on) => self.command_hold(client, on),
            Command::Release { restart } => self.command_release(client, restart, now),
        }
    }

    fn answer(&mut self, client: Client, word: Word, text: &str) {
        self.effects.push(Effect::Reply(client, Reply::whole(word, text)));
    }

    // --- the hold

    fn command_hold(&mut self, client: Client, on: bool) {
        let text = match (&self.phase, on) {
            (Phase::Holding { .. }, false) => {
                let why = "the container is held, and stays so; `release` ends the hold";
                return self.answer(client, Word::Refused, why);
            }
            (Phase::Holding { .. }, true) => "the container is held, and stays so until its time is up",
            (Phase::Up | Phase::Sweeping { then: super::Then::Start, .. }, true) => {
                "a failure that ends the container will be held"
            }
            (
                Phase::Draining { .. }
                | Phase::Stopping { .. }
                | Phase::Sweeping { .. }
                | Phase::Killing { .. }
                | Phase::Ended(_),
                true,
            ) => return self.answer(client, Word::Refused, STOPS),
            (
                Phase::Up
                | Phase::Draining { .. }
                | Phase::Stopping { .. }
                | Phase::Sweeping { .. }
                | Phase::Killing { .. }
                | Phase::Ended(_),
                false,
            ) => "no failure will be held",
        };
        self.hold_order = Some(on);
        self.answer(client, Word::Done, text);
    }

    fn command_release(&mut self, client: Client, restart: bool, now: Time) {
        let Phase::Holding { since, .. } = self.phase else {
            return self.answer(client, Word::Refused, "the container is not held");
        };
        if !restart {
            self.answer(client, Word::Done, "the hold is over; the container ends");
            return self.release(Release::Operator, since, now);
        }
        let rest = self.culprit().map(|id| (id, Wanted::Up(None))).into_iter().collect();
        self.restart_held(None, since, now);
        self.pending.push(Pending { client, said: Vec::new(), rest });
    }

    // --- programs

    fn command_programs(
        &mut self,
        client: Client,
        verb: Verb,
        names: &[String],
        dependents: bool,
        now: Time,
    ) {
        let is_for_now = match (&self.phase, verb) {
            (Phase::Up | Phase::Draining { .. } | Phase::Holding { .. }, _)
            | (Phase::Stopping { .. }, Verb::Signal(_)) => true,
            (
                Phase::Stopping { .. } | Phase::Sweeping { .. } | Phase::Killing { .. } | Phase::Ended(_),
                _,
            ) => false,
        };
        if !is_for_now {
            return self.answer(client, Word::Refused, STOPS);
        }
        let mut said = Vec::new();
        let mut ids = Vec::new();
        for name in names {
            let mut is_known = false;
            for id in self.ids().filter(|id| self.is_called(*id, name)) {
                is_known = true;
                add(&mut ids, id);
            }
            if !is_known {
                said.push(Said::of(name.clone(), Word::NoSuchProgram, ""));
            }
        }
        if dependents {
            let mut next = 0;
            while let Some(id) = ids.get(next).copied() {
                next += 1;
                for id in &self.dependents[id.0] {
                    add(&mut ids, *id);
                }
            }
        }
        if let Some(place) = self.culprit().and_then(|culprit| ids.iter().position(|id| *id == culprit)) {
            ids.swap(0, place); // in a hold the others start, or not, as its restart leaves them
        }
        if dependents && verb == Verb::Restart {
            for id in &ids {
                self.programs[id.0].is_anew = self.is_alive(*id);
            }
        }
        let mut rest = Vec::new();
        for id in ids {
            let wanted = match verb {
                Verb::Start => self.command_start(id, now),
                Verb::Stop => self.command_stop(id, now),
                Verb::Restart => self.command_restart(id, now),
                Verb::Signal(signal) => Err(self.command_signal(id, signal, now)),
            };
            match wanted {
                Ok(wanted) => rest.push((id, wanted)),
                Err(Word::Refused) => said.push(Said::of(self.name_of(id), Word::Refused, CLEARED_FIRST)),
                Err(word) => said.push(Said::of(self.name_of(id), word, "")),
            }
        }
        for index in (0..self.plan.order.len()).rev() {
            self.stop_if_free(self.plan.order[index], now);
        }
        self.pending.push(Pending { client, said, rest });
        self.effects.push(Effect::Reap); // what is left may be the end
    }

    /// Steps are meant only where they are named.
    fn is_called(&self, id: ProgramId, name: &str) -> bool {
        let rules = self.plan.program(id);
        if rules.is_retired && !self.is_alive(id) {
            return false;
        }
        let is_program = matches!(rules.kind, Kind::Program { .. });
        rules.name == name
            || (is_pattern(name) && is_program && (name == "all" || matches(name, &rules.name)))
    }

    /// Starts a program, and first what it comes after and is not there.
    fn command_start(&mut self, id: ProgramId, now: Time) -> Result<Wanted, Word> {
        if let Phase::Holding { since, .. } = self.phase
            && self.culprit() == Some(id)
        {
            self.restart_held(None, since, now);
            if self.may_start() && !self.will_restart_held() {
                self.start_what_is_missing(id, now);
            }
            return Ok(Wanted::Up(None));
        }
        // What is in the way of the restart goes first; and what is kept of it has its ports.
        if !self.may_start() || self.will_restart_held() || self.is_kept(id) {
            return Err(Word::Refused);
        }
        if self.plan.program(id).is_retired {
            return Err(Word::NoSuchProgram);
        }
        self.programs[id.0].is_stopped_by_hand = false;
        match self.state(id).clone() {
            State::Stopped(_) | State::Fatal { .. } | State::Exited { restart_at: None, .. } => {
                self.start_by_hand(id, now);
                Ok(Wanted::Up(None))
            }
            State::Backoff { .. } | State::Exited { restart_at: Some(_), .. } => {
                // Not as one more try, but from the beginning.
                self.advance(id, Input::Stop { patience: Patience::Until(None), then: Then::Stop }, now);
                self.start_by_hand(id, now);
                Ok(Wanted::Up(None))
            }
            State::Waiting { .. } => {
                self.start_what_is_missing(id, now);
                Ok(Wanted::Up(None))
            }
            State::Spawning { .. } => Ok(Wanted::Up(None)),
            State::Stopping { process, .. } => {
                self.leave(id, Then::Restart, now);
                Ok(Wanted::Up(Some(process.pid)))
            }
            State::Starting { process, .. } | State::Running(process) => {
                match &mut self.programs[id.0].leave {
                    None => Err(Word::AlreadyStarted),
                    Some(then) => {
                        *then = Then::Restart;
                        Ok(Wanted::Up(Some(process.pid)))
                    }
                }
            }
        }
    }

    fn start_by_hand(&mut self, id: ProgramId, now: Time) {
        self.forget_failure(id);
        self.programs[id.0].leave = None;
        self.request_start(id, now);
        self.start_what_is_missing(id, now);
    }

    /// What it comes after starts too, where it does not by itself.
    fn start_what_is_missing(&mut self, id: ProgramId, now: Time) {
        for index in 0..self.plan.program(id).after.len() {
            let (on, condition) = self.plan.program(id).after[index];
            if self.is_met(on, condition) {
                continue;
            }
            match self.state(on) {
                State::Stopped(_)
                | State::Fatal { .. }
                | State::Exited { restart_at: None, .. }
                | State::Waiting { .. } => {
                    let _ = self.command_start(on, now); // the answer is about the one that was named
                }
                State::Exited { restart_at: Some(_), .. }
                | State::Spawning { .. }
                | State::Starting { .. }
                | State::Running(_)
                | State::Backoff { .. }
                | State::Stopping { .. } => {}
            }
        }
    }

    fn command_stop(&mut self, id: ProgramId, now: Time) -> Result<Wanted, Word> {
        match self.state(id) {
            State::Stopped(_) | State::Exited { restart_at: None, .. } | State::Fatal { .. } => {
                return Err(Word::NotRunning);
            }
            State::Waiting { .. }
            | State::Backoff { .. }
            | State::Exited { restart_at: Some(_), .. }
            | State::Spawning { .. }
            | State::Starting { .. }
            | State::Running(_)
            | State::Stopping { .. } => {}
        }
        self.programs[id.0].is_stopped_by_hand = true;
        self.leave(id, Then::Stop, now);
        Ok(Wanted::Down)
    }

    fn command_restart(&mut self, id: ProgramId, now: Time) -> Result<Wanted, Word> {
        let Some(process) = self.state(id).process().copied() else { return self.command_start(id, now) };
        if self.plan.program(id).is_retired {
            return Err(Word::NoSuchProgram);
        }
        self.programs[id.0].is_stopped_by_hand = false;
        self.leave(id, Then::Restart, now);
        Ok(Wanted::Up(Some(process.pid)))
    }

    fn command_signal(&mut self, id: ProgramId, signal: Signal, now: Time) -> Word {
        let Some(process) = self.state(id).process().copied() else { return Word::NobodyThere };
        let target = if self.plan.program(id).signal_group {
            Target::Group(process.pid)
        } else {
            Target::Process(process.pid)
        };
        self.effects.push(Effect::Signal(target, signal, None));
        if signal == Signal::CONT {
            self.advance(id, Input::Continued, now);
        }
        Word::Signalled
    }

    // --- answers

    /// Answers the commands that are done.
    pub(super) fn settle(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let blockers = self.blockers();
        for mut pending in std::mem::take(&mut self.pending) {
            for (id, wanted) in std::mem::take(&mut pending.rest) {
                match self.what_came(id, wanted, blockers[id.0]) {
                    Some((word, text)) => pending.said.push(Said::of(self.name_of(id), word, text)),
                    None => pending.rest.push((id, wanted)),
                }
            }
            if pending.rest.is_empty() {
                self.effects.push(Effect::Reply(pending.client, Reply { results: pending.said }));
            } else {
                self.pending.push(pending);
            }
        }
    }

    /// What has come of what was wanted of a program; None where it is not known yet.
    fn what_came(&self, id: ProgramId, wanted: Wanted, blocker: Option<ProgramId>) -> Option<(Word, String)> {
        let Wanted::Up(before) = wanted else {
            let stays = self.programs[id.0].leave.is_none() && !self.programs[id.0].is_stopped_by_hand;
            return match self.state(id) {
                State::Stopped(_) | State::Exited { restart_at: None, .. } | State::Fatal { .. } => {
                    Some((Word::Stopped, String::new()))
                }
                State::Waiting { .. }
                | State::Spawning { .. }
                | State::Starting { .. }
                | State::Running(_)
                | State::Backoff { .. }
                | State::Exited { restart_at: Some(_), .. }
                    if stays =>
                {
                    Some((Word::Failed, "somebody has started it again".to_owned()))
                }
                State::Waiting { .. }
                | State::Spawning { .. }
                | State::Starting { .. }
                | State::Running(_)
                | State::Backoff { .. }
                | State::Exited { restart_at: Some(_), .. }
                | State::Stopping { .. } => None,
            };
        };
        let is_cleared = matches!(
            self.phase,
            Phase::Sweeping { then: super::Then::Start, .. }
                | Phase::Killing { then: super::Then::Start, .. }
        );
        if is_cleared || self.will_restart_held() {
            return None; // it starts when what is in its way is gone
        }
        if !self.may_start() {
            return Some((Word::Refused, STOPS.to_owned()));
        }
        match self.state(id) {
            State::Running(process) if Some(process.pid) != before => Some((Word::Started, String::new())),
            State::Exited { restart_at: None, .. } if !self.has_failed(id) => {
                Some((Word::Started, "and has ended as expected".to_owned()))
            }
            State::Exited { .. } | State::Backoff { .. } | State::Fatal { .. } => {
                Some((Word::Failed, self.last_words_on(id)))
            }
            State::Stopped(_) => Some((Word::Failed, "it has been stopped".to_owned())),
            State::Running(_) if self.programs[id.0].leave.is_none() => {
                Some((Word::Failed, "it was to be restarted, and goes on".to_owned()))
            }
            State::Waiting { .. } => self.what_it_waits_for(id, blocker),
            State::Spawning { .. } | State::Starting { .. } | State::Running(_) | State::Stopping { .. } => {
                None
            }
        }
    }

    fn what_it_waits_for(&self, id: ProgramId, blocker: Option<ProgramId>) -> Option<(Word, String)> {
        if let Some(blocker) = blocker {
            return Some((
                Word::Failed,
                format!("it waits for {}, which has ended for good", self.name_of(blocker)),
            ));
        }
        let (on, condition) = self.missing(id)?;
        let text = || format!("for {} to be {}", self.name_of(on), condition.word());
        matches!(self.state(on), State::Stopped(_)).then(|| (Word::Waits, text()))
    }

    /// How it ended, and what comes next.
    fn last_words_on(&self, id: ProgramId) -> String {
        let Some(report) = &self.programs[id.0].last_end else { return String::new() };
        format!("{}{}", Ending(report), Next(report.sequel))
    }

    /// Who asked has gone.
    pub(super) fn left(&mut self, client: Client) {
        self.pending.retain(|pending| pending.client != client);
    }

    /// The container has ended: whoever still waits has nothing to wait for.
    pub(super) fn answer_all(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            self.answer(pending.client, Word::Refused, "the container has ended");
        }
    }
}

const STOPS: &str = "the container is stopping";
const CLEARED_FIRST: &str =
    "what the last start has left is cleared first; `release --restart` starts what is held";

fn add(ids: &mut Vec<ProgramId>, id: ProgramId) {
    if !ids.contains(&id) {
        ids.push(id);
    }
}
