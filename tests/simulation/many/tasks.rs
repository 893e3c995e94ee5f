//! Probes, hooks, kept sockets and the quiet drain of the simulated days: what is planned of them, what the kernel makes
//! of them, and the second account of it all.

use std::time::Duration;

use sexton::event::{Event, Outcome};
use sexton::notice::DrainEnd;
use sexton::outcome::Status;
use sexton::plan::{Hook, Hooks, Kind, Probe, Probes, Program, ProgramId, Readiness, Role, Task};
use sexton::signal::Signal;
use sexton::snapshot::Snapshot;
use sexton::time::Time;

use super::{Day, Happening, Process, SECOND, number};
use crate::one::Frozen;
use crate::random::Random;

/// How often what cannot be asked is tried at once.
const ATTEMPTS: u32 = 3;
const PROBES: [Role; 3] = [Role::Startup, Role::Readiness, Role::Liveness];

/// What comes of a probe or a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Passes,
    Fails,
    Errs,
}

/// A probe or a hook that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnderWay {
    /// The how manieth it is: an answer to another one is not for it.
    number: u64,
    /// Its time is over then.
    until: Time,
}

/// What a probe of one process has come to.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// The last answer, and how many in a row were the same.
    run: Option<(bool, u32)>,
    result: Option<bool>,
    /// At which beat it was asked last: none asks twice.
    beat: Option<u128>,
    /// When it last began or ended.
    last: Option<Time>,
    /// How often in a row it could not be asked just now.
    errors: u32,
}

/// A process's probes and hooks, and what is known of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    probes: Probes,
    hooks: Hooks,
    is_hook_over: bool,
    is_told_unready: bool,
    hook_over_at: Option<Time>,
    /// When its hook was over and its startup probe had passed.
    up_at: Option<Time>,
    pub(super) is_running: bool,
    /// Its own word that it is ready.
    pub(super) has_said: bool,
    pub(super) pre_stop_at: Option<Time>,
    pre_stop_until: Option<Time>,
    asked: [Asked; 3],
    /// What it is stopped for, once that has failed.
    pub(super) failed: Option<Role>,
    /// In place of its stopwaitsecs.
    stopwait: Option<Duration>,
    /// What has failed by our account, and is to be told at once.
    expected: Option<Role>,
    /// The container stops: it is not asked any more whether it lives.
    is_hushed: bool,
}

/// A drain.
#[derive(Clone, Copy, Debug)]
struct Drain {
    since: Time,
    delay: Duration,
    quiet: Option<Duration>,
    /// When the stop budget ends it.
    latest: Time,
    /// When the last connection came.
    last: Time,
}

/// What is known of all this beside the programs.
#[derive(Debug, Default)]
pub(super) struct Account {
    under_way: std::collections::BTreeMap<Task, UnderWay>,
    begun: u64,
    is_watching: bool,
    drain: Option<Drain>,
    /// Stop signals so far.
    stops: u32,
    /// The event that is being handled is a tick.
    is_tick: bool,
    /// Whose sockets were closed although they may be wanted.
    closed_early: Vec<ProgramId>,
    /// One of so many answers is a bad one.
    health: u64,
}

impl Life {
    pub(super) fn new(rules: &Program) -> Life {
        Life { probes: rules.probes, hooks: rules.hooks, ..Life::default() }
    }

    fn probe(&self, role: Role) -> Option<Probe> {
        probe_of(&self.probes, role)
    }

    /// Whether it is more than a process.
    pub(super) fn has_tasks(&self) -> bool {
        self.hooks.post_start.is_some() || PROBES.iter().any(|role| self.probe(*role).is_some())
    }
}

impl Asked {
    /// Whether that changes the result.
    fn answered(&mut self, is_success: bool, rules: &Probe) -> bool {
        let count = match self.run {
            Some((last, count)) if last == is_success => count + 1,
            Some(_) | None => 1,
        };
        (self.run, self.errors) = (Some((is_success, count)), 0);
        let threshold = if is_success { rules.success_threshold } else { rules.failure_threshold };
        let changes = count >= threshold && self.result != Some(is_success);
        if changes {
            self.result = Some(is_success);
        }
        changes
    }
}

fn place(role: Role) -> usize {
    PROBES.iter().position(|probe| *probe == role).expect("a probe")
}

fn probe_of(probes: &Probes, role: Role) -> Option<Probe> {
    match role {
        Role::Startup => probes.startup,
        Role::Readiness => probes.readiness,
        Role::Liveness => probes.liveness,
        Role::PostStart | Role::PreStop => None,
    }
}

fn timeout(probes: &Probes, hooks: &Hooks, role: Role) -> Option<Duration> {
    match role {
        Role::PostStart => hooks.post_start.map(|hook| hook.timeout),
        Role::PreStop => hooks.pre_stop.map(|hook| hook.timeout),
        Role::Startup | Role::Readiness | Role::Liveness => probe_of(probes, role).map(|probe| probe.timeout),
    }
}

// --- what is planned

fn probe(random: &mut Random) -> Option<Probe> {
    let milliseconds = |random: &mut Random, least: u64, most: u64| {
        Duration::from_millis(least + random.below(most - least + 1))
    };
    random.one_in(2).then(|| Probe {
        initial_delay: random.pick(&[Duration::ZERO, Duration::ZERO, SECOND / 2, SECOND * 4]),
        period: random.pick(&[SECOND, SECOND, SECOND * 2, SECOND * 3, SECOND * 5]),
        timeout: milliseconds(random, 500, 3000),
        success_threshold: random.pick(&[1, 1, 2, 3]),
        failure_threshold: random.pick(&[1, 2, 3]),
        stopwait: random.pick(&[None, None, Some(SECOND), Some(SECOND * 4)]),
    })
}

fn hook(random: &mut Random) -> Option<Hook> {
    random.one_in(3).then(|| Hook {
        timeout: Duration::from_millis(500 + random.below(4501)),
        is_sleep: random.one_in(3),
    })
}

/// Gives a program probes, hooks and sockets, or others than it has.
pub(super) fn equip(random: &mut Random, program: &mut Program) {
    if matches!(program.kind, Kind::Step { .. }) {
        return;
    }
    program.probes = Probes { startup: probe(random), readiness: probe(random), liveness: probe(random) };
    program.hooks = Hooks { post_start: hook(random), pre_stop: hook(random) };
    program.has_sockets = random.one_in(3);
}

impl Account {
    pub(super) fn new(random: &mut Random) -> Account {
        Account { health: random.pick(&[3, 8, 30, 200]), ..Account::default() }
    }
}

// --- the kernel

impl Day {
    pub(super) fn begin(&mut self, task: Task) {
        self.check_begin(task);
        self.account.begun += 1;
        let number = self.account.begun;
        let (rules, life) = (self.rules(task.program), &self.known[task.program.0].life);
        // While it waits to be stopped for other rules, either may count.
        let longest = timeout(&life.probes, &life.hooks, task.role)
            .max(timeout(&rules.probes, &rules.hooks, task.role))
            .unwrap_or_default();
        let until = self.now.after(longest);
        self.account.under_way.insert(task, UnderWay { number, until });
        let health = self.account.health;
        let answer = match self.random.below(health * 2) {
            0 | 1 => Some(Answer::Fails),
            2 => Some(Answer::Errs),
            3 => None,
            _ => Some(Answer::Passes),
        };
        let most = self.random.pick(&[SECOND / 100, SECOND, SECOND * 5]);
        let after = self.random.span(most);
        match answer {
            Some(answer) if answer == Answer::Errs || self.random.one_in(4) => {
                self.answers.push_back(Event::Done(task, outcome(answer)));
            }
            answer if self.random.one_in(2) => self.start_command(task, number, answer, after),
            Some(answer) => self.put(after, Happening::Answers(task, number, answer)),
            None => {}
        }
    }

    /// A command is a child of ours.
    fn start_command(&mut self, task: Task, number: u64, answer: Option<Answer>, after: Duration) {
        let pid = self.next_pid;
        self.next_pid += 1;
        let process = Process {
            program: None,
            heeds: Some(Duration::ZERO),
            farewell: None,
            stuck_until: if self.random.one_in(50) { self.now.after(SECOND) } else { Time::default() },
            zombie: None,
            frozen: Frozen::No,
            kept: None,
            command: Some((task, number)),
        };
        self.processes.insert(pid, process);
        if let Some(answer) = answer {
            self.put(after, Happening::Ends(pid, Status::Exited(u8::from(answer != Answer::Passes))));
        }
    }

    pub(super) fn abandon(&mut self, task: Task) {
        let under_way = self.account.under_way.remove(&task);
        self.check(under_way.is_some(), "what was not under way was abandoned");
        let Some(UnderWay { number, until }) = under_way else { return };
        self.answers.retain(|answer| !matches!(answer, Event::Done(of, _) if *of == task));
        let its = Some((task, number));
        let command = self.processes.iter().find(|(_, process)| process.command == its).map(|(pid, _)| *pid);
        if let Some(pid) = command {
            self.deliver(pid, Signal::KILL);
        }
        if self.account.is_tick && until <= self.now {
            self.note_answer(task, false);
        }
    }

    pub(super) fn answers(&mut self, task: Task, number: u64, answer: Answer) {
        if self.account.under_way.get(&task).is_some_and(|other| other.number == number) {
            self.answers.push_back(Event::Done(task, outcome(answer)));
        }
    }

    /// A command has ended: what that tells of its task, where somebody still waits for it.
    pub(super) fn command_ended(&self, task: Task, number: u64, status: Status) -> Option<Event> {
        let answer = if status == Status::Exited(0) { Answer::Passes } else { Answer::Fails };
        let is_waited_for = self.account.under_way.get(&task).is_some_and(|other| other.number == number);
        is_waited_for.then(|| Event::Done(task, outcome(answer)))
    }

    pub(super) fn connect(&mut self) {
        if self.account.is_watching {
            self.answers.push_back(Event::Connected);
        }
    }

    pub(super) fn watch_connections(&mut self, watch: bool) {
        self.check(watch != self.account.is_watching, "connections are watched twice, or not any more twice");
        self.account.is_watching = watch;
        if watch {
            let (count, most) = self.random.pick(&[(0, SECOND), (3, SECOND * 4), (60, SECOND * 20)]);
            for _ in 0..count {
                let after = self.random.span(most);
                self.put(after, Happening::Connect);
            }
        }
    }
}

fn outcome(answer: Answer) -> Outcome {
    match answer {
        Answer::Passes => Outcome::Passed,
        Answer::Fails => Outcome::Failed("it is simulated".to_owned()),
        Answer::Errs => Outcome::Impossible("it is simulated".to_owned()),
    }
}

// --- the second account

impl Day {
    /// Its process runs by the rules that it was started with.
    fn is_sure(&self, id: ProgramId) -> bool {
        !self.known[id.0].is_renewed
    }

    /// Its stop has begun.
    pub(super) fn is_stopping(&self, id: ProgramId) -> bool {
        let known = &self.known[id.0];
        known.told_at.is_some() || known.life.pre_stop_at.is_some()
    }

    /// Whether it has started and is ready; `doubt` where that is not known.
    pub(super) fn has_started(&self, id: ProgramId, doubt: bool) -> bool {
        let known = &self.known[id.0];
        known.has_started || (doubt && !self.is_sure(id) && known.pid.is_some())
    }

    pub(super) fn is_ready(&self, id: ProgramId, doubt: bool) -> bool {
        let (known, life) = (&self.known[id.0], &self.known[id.0].life);
        if !life.has_tasks() || known.pid.is_none() {
            return known.is_ready;
        }
        if !self.is_sure(id) {
            return doubt;
        }
        let word = match self.rules(id).readiness {
            Readiness::Running => life.is_running || life.probes.readiness.is_some(),
            Readiness::Notify | Readiness::Descriptor(_) => life.has_said,
        };
        let is_passed =
            life.probes.readiness.is_none() || life.asked[place(Role::Readiness)].result == Some(true);
        word && is_passed && life.up_at.is_some() && !self.is_stopping(id)
    }

    pub(super) fn note_spawned(&mut self, id: ProgramId) {
        let startsecs = match self.rules(id).kind {
            Kind::Program { startsecs } => Some(startsecs),
            Kind::Step { .. } => None,
        };
        let life = &mut self.known[id.0].life;
        life.is_hook_over = life.hooks.post_start.is_none();
        life.is_running = life.is_hook_over && startsecs == Some(Duration::ZERO);
        self.note_up(id, false);
    }

    /// It is up where its hook is over and its startup probe has passed, or is not asked any more.
    fn note_up(&mut self, id: ProgramId, counts_as_up: bool) {
        let is_hushed = counts_as_up || self.stop_at.is_some() || self.is_ending;
        let is_stopping = self.is_stopping(id);
        let (now, known) = (self.now, &mut self.known[id.0]);
        let life = &mut known.life;
        let has_passed = life.probes.startup.is_none() || life.asked[0].result == Some(true);
        if known.pid.is_some()
            && life.is_hook_over
            && life.up_at.is_none()
            && !is_stopping
            && (has_passed || is_hushed)
        {
            life.up_at = Some(now);
            known.has_started |= has_passed || !counts_as_up;
        }
    }

    /// The programs are to stop: nobody is asked any more whether it has started and lives.
    pub(super) fn hush_but_not_up(&mut self) {
        for known in &mut self.known {
            known.life.is_hushed = true;
        }
    }

    /// The same where the programs go on serving: what was about to come up counts as up.
    pub(super) fn hush_all(&mut self) {
        for index in 0..self.known.len() {
            self.known[index].life.is_hushed = true;
            self.note_up(ProgramId(index), true);
        }
    }

    /// An answer, or none in time.
    fn note_answer(&mut self, task: Task, is_success: bool) {
        let Task { program: id, role } = task;
        let (is_sure, is_ending) = (self.is_sure(id), self.is_ending);
        let (now, known) = (self.now, &mut self.known[id.0]);
        let life = &mut known.life;
        match role {
            Role::Startup | Role::Readiness | Role::Liveness => {
                let Some(rules) = life.probe(role) else { return };
                let asked = &mut life.asked[place(role)];
                asked.last = Some(now);
                let decides = asked.answered(is_success, &rules) && !is_success;
                if decides && role != Role::Readiness && is_sure && !is_ending {
                    life.expected = Some(role);
                }
            }
            Role::PostStart if is_success => (life.is_hook_over, life.hook_over_at) = (true, Some(now)),
            Role::PostStart if is_sure && !is_ending => life.expected = Some(role),
            Role::PostStart | Role::PreStop => {}
        }
        self.note_up(id, false);
    }

    pub(super) fn note_done(&mut self, task: Task, outcome: &Outcome) {
        let under_way = self.account.under_way.remove(&task);
        self.check(under_way.is_some(), "an answer was told that nobody waits for");
        let is_probe = PROBES.contains(&task.role);
        match outcome {
            Outcome::Passed => self.note_answer(task, true),
            Outcome::Impossible(_) if is_probe => {
                let asked = &mut self.known[task.program.0].life.asked[place(task.role)];
                asked.last = Some(self.now);
                asked.errors = (asked.errors + 1) % ATTEMPTS;
            }
            Outcome::Failed(_) | Outcome::Impossible(_) => self.note_answer(task, false),
        }
    }

    pub(super) fn note_task_event(&mut self, event: &Event) {
        self.account.is_tick = *event == Event::Tick;
        match event {
            Event::Spawned(id, _) => self.note_spawned(*id),
            Event::Done(task, outcome) => self.note_done(*task, outcome),
            Event::Connected => {
                if let Some(drain) = &mut self.account.drain {
                    drain.last = self.now;
                }
            }
            Event::Ready(id) => self.known[id.0].life.has_said = true,
            // A sleep is over by itself.
            Event::Tick if self.killed_at.is_none() => {
                for index in 0..self.known.len() {
                    let id = ProgramId(index);
                    let known = &self.known[index];
                    let is_over = matches!(known.life.hooks.post_start, Some(Hook { is_sleep: true, timeout })
                        if known.spawned_at.is_some_and(|at| at.after(timeout) <= self.now));
                    if known.pid.is_some() && is_over && !self.is_stopping(id) {
                        let (now, life) = (self.now, &mut self.known[index].life);
                        life.is_hook_over = true;
                        life.hook_over_at.get_or_insert(now);
                        self.note_up(id, false);
                    }
                }
            }
            Event::Start
            | Event::Refused(..)
            | Event::Exited { .. }
            | Event::Asked(..)
            | Event::Commanded(..)
            | Event::Left(_)
            | Event::Frozen { .. }
            | Event::Paused(..)
            | Event::Reaped { .. }
            | Event::Signal(..)
            | Event::HoldFile(_)
            | Event::Memory(_)
            | Event::Reloaded(_)
            | Event::Tick => {}
        }
    }

    pub(super) fn note_stop_signal(&mut self) {
        self.account.stops += 1;
    }

    pub(super) fn note_drain(&mut self, delay: Duration, quiet: Option<Duration>) {
        self.hush_all();
        let stop = self.plan.stop_chains().into_iter().max().unwrap_or_default();
        let left = self.plan.grace.budget().saturating_sub(stop);
        let latest = self.now.after(left.max(delay));
        self.account.drain = Some(Drain { since: self.now, delay, quiet, latest, last: self.now });
    }

    pub(super) fn note_drain_over(&mut self, why: Option<DrainEnd>) {
        let Some(drain) = self.account.drain.take() else { return };
        let now = self.now;
        let is_quiet = drain.quiet.is_none_or(|quiet| now >= drain.last.after(quiet));
        let was_delayed = now >= drain.since.after(drain.delay);
        let holds = match why {
            None => true,
            Some(DrainEnd::Delay) => drain.quiet.is_none() && was_delayed,
            Some(DrainEnd::Quiet(quiet)) => drain.quiet == Some(quiet) && was_delayed && is_quiet,
            Some(DrainEnd::Budget) => was_delayed && !is_quiet && now >= drain.latest,
            Some(DrainEnd::Signal) => self.account.stops > 1,
        };
        self.check(holds, "the drain ended before its time, or for another reason");
    }

    pub(super) fn note_running(&mut self, id: ProgramId) {
        let (life, known) = (&self.known[id.0].life, &self.known[id.0]);
        self.check(!life.is_running, "it was told twice that a program is running");
        self.check(life.is_hook_over || !self.is_sure(id), "a program was running before its hook was over");
        let lived = known.spawned_at.map_or(Duration::ZERO, |at| self.now.since(at));
        let is_old_enough = matches!(self.rules(id).kind, Kind::Program { startsecs } if lived >= startsecs);
        self.check(is_old_enough, "a program was running before its startsecs were over");
        self.known[id.0].life.is_running = true;
    }

    pub(super) fn note_ready(&mut self, id: ProgramId) {
        self.check(!self.known[id.0].is_ready, "it was told twice that a program is ready");
        self.check(self.is_ready(id, true), "a program was told to be ready that is not");
        (self.known[id.0].is_ready, self.known[id.0].life.is_told_unready) = (true, false);
    }

    pub(super) fn note_not_ready(&mut self, id: ProgramId) {
        self.check(!self.known[id.0].life.is_told_unready, "it was told twice that a program is not ready");
        self.check(!self.is_ready(id, false), "a program was told not to be ready that is");
        (self.known[id.0].is_ready, self.known[id.0].life.is_told_unready) = (false, true);
    }

    pub(super) fn note_failed(&mut self, id: ProgramId, role: Role) {
        let is_sure = self.is_sure(id);
        let life = &mut self.known[id.0].life;
        let expected = life.expected.take();
        if role != Role::PreStop {
            life.failed = Some(role);
            life.stopwait = life.probe(role).and_then(|probe| probe.stopwait);
            let is_known = expected == Some(role) || !is_sure || self.is_ending;
            self.check(is_known, "a probe or a hook has failed that has not");
        }
    }

    pub(super) fn note_hook_begun(&mut self, id: ProgramId, role: Role) {
        if role == Role::PreStop {
            self.check(!self.is_stopping(id), "a pre_stop hook began twice, or after the stop");
            self.check_stop_begins(id);
            let (now, is_cut) = (self.now, self.is_ending);
            let known = &mut self.known[id.0];
            let sleep = self.plan.programs[id.0].hooks.pre_stop.filter(|hook| hook.is_sleep && !is_cut);
            known.life.pre_stop_at = Some(now);
            let most = known.life.stopwait.unwrap_or(Duration::MAX);
            known.life.pre_stop_until = sleep.map(|hook| now.after(hook.timeout.min(most)));
            known.is_ready = false;
        }
    }

    /// Before its stop signal.
    pub(super) fn check_hook_is_over(&self, id: ProgramId) {
        let task = Task { program: id, role: Role::PreStop };
        let is_under_way = self.account.under_way.contains_key(&task);
        self.check(!is_under_way, "a program was told to stop while its pre_stop hook was under way");
        let life = &self.known[id.0].life;
        let has_hook = self.rules(id).hooks.pre_stop.is_some();
        self.check(!has_hook || life.pre_stop_at.is_some(), "a pre_stop hook was left out");
        let is_last = self.is_ending && life.failed.is_none();
        self.check(!is_last || !self.known[id.0].is_listening, "sockets were open at the last stop signal");
        self.check(
            self.is_ending || life.pre_stop_until.is_none_or(|until| until <= self.now),
            "a pre_stop hook slept too short",
        );
    }

    /// How long it has from its stop signal on.
    pub(super) fn patience(&self, id: ProgramId) -> Option<Duration> {
        let life = &self.known[id.0].life;
        let own = life.stopwait.map(|wait| {
            // The hook before it comes out of it.
            let end = life.pre_stop_at.unwrap_or(self.now).after(wait);
            end.since(self.now).max(2 * SECOND)
        });
        own.or(self.rules(id).stopwaitsecs).filter(|_| !self.is_ending && self.is_sure(id))
    }

    fn check_begin(&mut self, task: Task) {
        let Task { program: id, role } = task;
        let (known, life) = (&self.known[id.0], self.known[id.0].life.clone());
        let is_under_way = self.account.under_way.contains_key(&task);
        self.check(!is_under_way, "a probe or a hook began while it was under way");
        self.check(known.pid.is_some(), "a probe or a hook began without a process");
        self.check(self.killed_at.is_none(), "a probe or a hook began after everything was killed");
        let is_sure = self.is_sure(id);
        match role {
            Role::PreStop => {
                self.check(known.told_at.is_none(), "a pre_stop hook began after the stop signal");
            }
            Role::PostStart => {
                let is_first = !life.is_hook_over && !self.is_stopping(id);
                self.check(is_first, "a post_start hook began twice, or too late");
            }
            Role::Startup | Role::Liveness | Role::Readiness => {
                let is_readiness = role == Role::Readiness;
                let may =
                    is_readiness || (self.stop_at.is_none() && !self.is_ending && !self.is_stopping(id));
                self.check(may, "it was asked whether a program lives that is to stop");
                let started_at = life.hook_over_at.or(known.spawned_at);
                let since = if role == Role::Startup { started_at } else { life.up_at };
                let is_first = role != Role::Startup || life.up_at.is_none();
                self.check(
                    (life.is_hook_over && since.is_some() && is_first) || !is_sure,
                    "a probe began before its turn, or after it",
                );
                let (asked, now, spawned_at) = (life.asked[place(role)], self.now, known.spawned_at);
                let mut beat = asked.beat;
                if let (Some(rules), Some(spawned_at), true) = (life.probe(role), spawned_at, is_sure)
                    && asked.errors == 0
                {
                    let first = spawned_at.after(rules.initial_delay).max(since.unwrap_or_default());
                    beat = Some(now.since(first).as_nanos() / rules.period.as_nanos());
                    self.check(now >= first && beat > asked.beat, "a probe began before its time");
                }
                let asked = &mut self.known[id.0].life.asked[place(role)];
                (asked.last, asked.beat) = (Some(now), beat);
            }
        }
    }

    /// Before a start.
    pub(super) fn check_nothing_is_under_way(&self, id: ProgramId) {
        let left = self.account.under_way.keys().find(|task| task.program == id);
        self.check(left.is_none(), "a probe or a hook of an earlier process is under way");
    }

    pub(super) fn open_sockets(&mut self, id: ProgramId) {
        self.known[id.0].is_listening = self.rules(id).has_sockets;
    }

    /// It is stopped for another start, or has ended and is due.
    fn is_to_start_again(&self, id: ProgramId) -> bool {
        let known = &self.known[id.0];
        if known.pid.is_none() {
            return known.restart_by.is_some() || known.is_due;
        }
        known.life.failed.is_some() || (known.is_renewed && !known.life.is_hushed)
    }

    pub(super) fn unlisten(&mut self, id: ProgramId) {
        let known = &self.known[id.0];
        let runs = known.pid.is_some() && known.told_at.is_none();
        if runs || self.is_to_start_again(id) {
            self.account.closed_early.push(id); // what makes it right may still be done
        }
        self.known[id.0].is_listening = false;
    }

    /// Once an event has been handled.
    pub(super) fn check_tasks(&mut self) {
        for id in std::mem::take(&mut self.account.closed_early) {
            let known = &self.known[id.0];
            let is_over = self.is_ending || self.is_held || self.rules(id).is_retired;
            let runs = known.pid.is_some() && known.told_at.is_none();
            let may = !runs && (is_over || !self.is_to_start_again(id));
            self.check(may, "sockets were closed of a program that runs, or is to");
        }
        let lost = self.account.under_way.keys().find(|task| self.known[task.program.0].pid.is_none());
        self.check(lost.is_none(), "a probe or a hook was forgotten at the end of its process");
        let drain = self.account.drain.filter(|drain| drain.quiet.is_some());
        self.check(
            self.account.is_watching == drain.is_some(),
            "connections are watched without a drain, or not during it",
        );
        for (index, known) in self.known.iter().enumerate() {
            let id = ProgramId(index);
            self.check(
                known.life.expected.is_none() || known.pid.is_none() || self.killed_at.is_some(),
                "a probe or a hook has failed, and nothing follows",
            );
            self.check(
                !(known.is_over && known.pid.is_none() && known.is_listening),
                "sockets were kept for what is over",
            );
            self.check(
                !known.life.has_tasks()
                    || !self.is_sure(id)
                    || self.killed_at.is_some()
                    || known.is_ready == self.is_ready(id, true),
                &format!("p{index} is ready and was not told to be, or is not"),
            );
        }
    }

    /// Before the clock moves on, what was due has happened.
    pub(super) fn check_no_task_is_forgotten(&self) {
        if self.killed_at.is_some() {
            return;
        }
        let now = self.now;
        let late = self.account.under_way.iter().find(|(_, task)| task.until <= now);
        self.check(late.is_none(), "a probe or a hook took longer than it may");
        if let Some(drain) = self.account.drain {
            let least = drain.since.after(drain.delay);
            let end = drain.quiet.map_or(least, |quiet| drain.last.after(quiet).clamp(least, drain.latest));
            self.check(now < end && self.account.stops < 2, "the drain did not end in time");
        }
        for (index, known) in self.known.iter().enumerate() {
            let id = ProgramId(index);
            if known.pid.is_none() {
                self.check(!self.is_ending || !known.is_listening, "sockets were kept during the end");
                continue;
            }
            let life = &known.life;
            let hook = Task { program: id, role: Role::PreStop };
            let waits = self.account.under_way.contains_key(&hook)
                || self.is_ending
                || life.pre_stop_until.is_some_and(|until| now < until);
            self.check(
                life.pre_stop_at.is_none() || known.told_at.is_some() || waits,
                &format!("p{index} was not told to stop after its hook"),
            );
            if self.is_sure(id) && life.is_hook_over {
                for role in PROBES {
                    self.check_is_asked(id, role);
                }
            }
        }
    }

    fn check_is_asked(&self, id: ProgramId, role: Role) {
        let (known, life) = (&self.known[id.0], &self.known[id.0].life);
        let Some(rules) = life.probe(role) else { return };
        let is_its_turn = match role {
            Role::Startup => life.up_at.is_none(),
            Role::Readiness | Role::Liveness | Role::PostStart | Role::PreStop => life.up_at.is_some(),
        };
        let is_quiet = life.is_hushed || self.stop_at.is_some() || self.is_ending || self.is_stopping(id);
        let task = Task { program: id, role };
        // A sleep was over when it was to stop.
        let is_too_late = life.up_at == life.pre_stop_at.or(known.told_at);
        if !is_its_turn
            || is_too_late
            || (is_quiet && role != Role::Readiness)
            || self.account.under_way.contains_key(&task)
        {
            return;
        }
        let asked = life.asked[place(role)];
        let first = known.spawned_at.map(|at| at.after(rules.initial_delay));
        let next = asked.last.map_or(first, |last| first.max(Some(last.after(rules.period))));
        self.check(
            asked.errors == 0 && next.is_some_and(|next| self.now < next),
            &format!("p{} was not asked any more: {}", id.0, role.name()),
        );
    }

    /// What is told of the programs is what is known of them.
    pub(super) fn check_told(&self, snapshot: &Snapshot) {
        for told in &snapshot.programs {
            let id = number(&told.name);
            let known = &self.known[id.0];
            self.check(told.process.map(|(pid, _)| pid.0) == known.pid, "another process was told");
            let is_plain = !known.life.has_tasks() || !self.is_sure(id) || self.killed_at.is_some();
            self.check(is_plain || told.is_ready == self.is_ready(id, true), "readiness was told wrong");
        }
    }

    pub(super) fn check_tasks_at_the_end(&self) {
        self.check(!self.account.is_watching, "connections were watched to the end");
        let open = self.known.iter().position(|known| known.is_listening);
        self.check(open.is_none() || self.gave_up, &format!("sockets were open at the end: {open:?}"));
        self.check(
            self.account.under_way.is_empty() || self.gave_up,
            "a probe or a hook was under way at the end",
        );
    }
}
