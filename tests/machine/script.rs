//! A kernel that follows a script: each process lives as long as the script says, and everything that happens is written
//! down with its time in milliseconds.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sexton::command::Command;
use sexton::effect::{Effect, Target};
use sexton::event::{Client, Event, Outcome, Pid, Reloaded, Sender};
use sexton::kernel::Kernel;
use sexton::notice::Notice;
use sexton::outcome::{Refusal, Report, Status};
use sexton::plan::{
    AutoRestart, Backoff, Condition, Drain, Grace, Growth, Hold, HoldOn, Hook, Kind, Meaning, Pause, Plan,
    Probe, Program, ProgramId, Readiness, RestartLimit, Role, Sidecars, Task, Wait, Word,
};
use sexton::runtime;
use sexton::signal::Signal;
use sexton::supervisor::Supervisor;
use sexton::time::Time;

/// How one process goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Life {
    /// It ends by itself after so many milliseconds, with this code.
    Exits(u64, u8),
    /// A signal of somebody else's kills it after so many milliseconds.
    Dies(u64, Signal),
    /// It cannot be executed.
    Refused(u8),
    /// It lives until it is told to end.
    Lives,
}

/// A program of the script.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) rules: Program,
    /// Its processes, one after the other; the last goes on for ever.
    lives: Vec<Life>,
    /// What its processes do when they are told to end: after so many milliseconds, with this code; None ignores it.
    farewell: Option<(u64, u8)>,
    ready_after: Option<u64>,
    /// What comes of its probes and hooks, one after the other; the last goes on for ever.
    answers: BTreeMap<Role, Vec<Answer>>,
}

/// What comes of a probe or a hook, after so many milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Passes(u64),
    Fails(u64),
    /// It cannot be made.
    Errs(u64),
    /// It never ends.
    Hangs,
}

/// A program as the configuration makes it where it says nothing.
pub(crate) fn program(name: &str) -> Part {
    Part {
        rules: Program {
            kind: Kind::Program { startsecs: Duration::from_secs(1) },
            autorestart: AutoRestart::Unexpected,
            startretries: 3,
            stopwaitsecs: Some(Duration::from_secs(10)),
            ..Program::once(name)
        },
        lives: vec![Life::Lives],
        farewell: Some((0, 0)),
        ready_after: None,
        answers: BTreeMap::new(),
    }
}

/// A probe as the configuration makes it where it says nothing.
pub(crate) fn probe() -> Probe {
    Probe {
        initial_delay: Duration::ZERO,
        period: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        success_threshold: 1,
        failure_threshold: 3,
        stopwait: None,
    }
}

pub(crate) fn step(name: &str) -> Part {
    let part = program(name);
    let kind = Kind::Step { timeout: None };
    Part { rules: Program { kind, autorestart: AutoRestart::Never, startretries: 0, ..part.rules }, ..part }
}

impl Part {
    pub(crate) fn rules(mut self, change: impl FnOnce(&mut Program)) -> Part {
        change(&mut self.rules);
        self
    }

    pub(crate) fn lives(self, lives: &[Life]) -> Part {
        Part { lives: lives.to_vec(), ..self }
    }

    pub(crate) fn farewell(self, farewell: Option<(u64, u8)>) -> Part {
        Part { farewell, ..self }
    }

    pub(crate) fn startsecs(self, seconds: u64) -> Part {
        self.rules(|rules| rules.kind = Kind::Program { startsecs: Duration::from_secs(seconds) })
    }

    pub(crate) fn autorestart(self, autorestart: AutoRestart) -> Part {
        self.rules(|rules| rules.autorestart = autorestart)
    }

    pub(crate) fn startretries(self, startretries: u32) -> Part {
        self.rules(|rules| rules.startretries = startretries)
    }

    pub(crate) fn stopwaitsecs(self, seconds: u64) -> Part {
        self.rules(|rules| rules.stopwaitsecs = Some(Duration::from_secs(seconds)))
    }

    pub(crate) fn timeout(self, seconds: u64) -> Part {
        self.rules(|rules| rules.kind = Kind::Step { timeout: Some(Duration::from_secs(seconds)) })
    }

    pub(crate) fn backoff(self, growth: Growth, max: u64) -> Part {
        self.rules(|rules| rules.backoff = Backoff { growth: Some(growth), max: Duration::from_secs(max) })
    }

    pub(crate) fn restart_limit(self, count: u32, within: u64) -> Part {
        let within = Duration::from_secs(within);
        self.rules(|rules| rules.restart_limit = Some(RestartLimit { count, within }))
    }

    pub(crate) fn after(self, on: usize, condition: Condition) -> Part {
        self.rules(|rules| rules.after.push((ProgramId(on), condition)))
    }

    /// Has this probe, which is answered so.
    pub(crate) fn probe(self, role: Role, probe: Probe, answers: &[Answer]) -> Part {
        let mut part = self.rules(|rules| match role {
            Role::Startup => rules.probes.startup = Some(probe),
            Role::Readiness => rules.probes.readiness = Some(probe),
            Role::Liveness => rules.probes.liveness = Some(probe),
            Role::PostStart | Role::PreStop => panic!("a hook is no probe"),
        });
        part.answers.insert(role, answers.to_vec());
        part
    }

    /// Has this hook, which may take so many milliseconds and goes so.
    pub(crate) fn hook(self, role: Role, timeout: u64, answers: &[Answer]) -> Part {
        let hook = Hook { timeout: Duration::from_millis(timeout), is_sleep: answers.is_empty() };
        let mut part = self.rules(|rules| match role {
            Role::PostStart => rules.hooks.post_start = Some(hook),
            Role::PreStop => rules.hooks.pre_stop = Some(hook),
            Role::Startup | Role::Readiness | Role::Liveness => panic!("a probe is no hook"),
        });
        part.answers.insert(role, answers.to_vec());
        part
    }

    pub(crate) fn announces(self, after: u64) -> Part {
        let part = self.rules(|rules| rules.readiness = Readiness::Notify);
        Part { ready_after: Some(after), ..part }
    }
}

/// What the script has in store besides the processes' own ends.
#[derive(Clone, Debug)]
enum Scene {
    Signal(Signal),
    Command(Command),
    Ends(i32, Status),
    /// What was kept at its end is gone.
    Gone(i32, Status),
    Ready(ProgramId, i32),
    /// This probe or hook ends, unless it was abandoned: by the number of its beginning.
    Done(Task, u64, Answer),
    Connected,
}

/// The stage, and all that has happened on it.
pub(crate) struct Script {
    parts: Vec<Part>,
    plan: Plan,
    now: Time,
    ahead: BTreeMap<(Time, u64), Scene>,
    planned: u64,
    answers: VecDeque<Event>,
    /// The last process that was told as gone; it stays a zombie until the next event.
    zombie: Option<(i32, ProgramId)>,
    /// The processes that live, the zombies among them with their status.
    processes: BTreeMap<i32, (ProgramId, Option<Status>)>,
    /// Who fails is kept at its end, and goes so many milliseconds after it was let go.
    freezes: Option<u64>,
    /// Those that are kept, with their status, and whether that has been told.
    frozen: BTreeMap<i32, (Status, bool)>,
    /// How many processes each program has had.
    starts: Vec<usize>,
    /// How often each probe and hook has begun, and the numbers of those that go on.
    begun: BTreeMap<Task, usize>,
    under_way: BTreeMap<Task, u64>,
    is_watching: bool,
    is_reaping: bool,
    has_looked: bool,
    /// What the configuration holds when it is read again.
    next_plan: Option<Reloaded>,
    pub(crate) log: Vec<String>,
    /// Whose groups got SIGKILL when their leaders were zombies.
    pub(crate) group_kills: Vec<String>,
    pub(crate) reports: Vec<Report>,
}

impl Script {
    pub(crate) fn new(parts: &[Part]) -> Script {
        let plan = plan(parts);
        Script {
            parts: parts.to_vec(),
            starts: vec![0; plan.programs.len()],
            plan,
            now: Time::default(),
            ahead: BTreeMap::new(),
            planned: 0,
            answers: VecDeque::new(),
            zombie: None,
            processes: BTreeMap::new(),
            freezes: None,
            frozen: BTreeMap::new(),
            begun: BTreeMap::new(),
            under_way: BTreeMap::new(),
            is_watching: false,
            is_reaping: false,
            has_looked: false,
            next_plan: None,
            log: Vec::new(),
            group_kills: Vec::new(),
            reports: Vec::new(),
        }
    }

    pub(crate) fn plan(mut self, change: impl FnOnce(&mut Plan)) -> Script {
        change(&mut self.plan);
        self
    }

    pub(crate) fn main(self, index: usize) -> Script {
        self.plan(|plan| plan.main = Some(ProgramId(index)))
    }

    pub(crate) fn grace(self, seconds: u64) -> Script {
        self.plan(|plan| plan.grace = Grace::Set(Duration::from_secs(seconds)))
    }

    pub(crate) fn hold(self, on: HoldOn) -> Script {
        self.plan(|plan| plan.hold.on = on)
    }

    /// Who fails is kept at its end, and goes so many milliseconds after it was let go.
    pub(crate) fn freezes(self, after: u64) -> Script {
        Script { freezes: Some(after), ..self }
    }

    /// Somebody sends sexton a signal at this millisecond.
    pub(crate) fn signal(mut self, at: u64, signal: Signal) -> Script {
        self.put(Time::new(Duration::from_millis(at)), Scene::Signal(signal));
        self
    }

    pub(crate) fn keeps_records(self) -> Script {
        self.plan(|plan| plan.keeps_records = true)
    }

    /// An operator asks for this at this millisecond.
    pub(crate) fn command(mut self, at: u64, command: Command) -> Script {
        self.put(Time::new(Duration::from_millis(at)), Scene::Command(command));
        self
    }

    /// Somebody new connects at this millisecond.
    pub(crate) fn connect(mut self, at: u64) -> Script {
        self.put(Time::new(Duration::from_millis(at)), Scene::Connected);
        self
    }

    /// What SIGHUP finds: the same numbers, other rules; fewer parts than before means that the last are gone.
    pub(crate) fn reload(mut self, parts: &[Part], changed: &[usize]) -> Script {
        let mut plan = Plan { programs: Vec::new(), order: Vec::new(), ..plan(parts) };
        let gone = self.plan.programs.iter().skip(parts.len());
        let gone = gone.map(|old| Program { is_retired: true, ..Program::once(&old.name) });
        plan.programs = parts.iter().map(|part| part.rules.clone()).chain(gone).collect();
        plan.order = (0..plan.programs.len()).map(ProgramId).collect();
        plan.main = self.plan.main;
        for new in parts.iter().skip(self.parts.len()) {
            self.parts.push(new.clone());
            self.starts.push(0);
        }
        for (old, new) in self.parts.iter_mut().zip(parts) {
            // What is taken away is still answered until it is.
            let answers = old.answers.clone().into_iter().chain(new.answers.clone()).collect();
            *old = Part { answers, ..new.clone() };
        }
        self.plan.signals[Signal::HUP.index()] = Meaning::Reload;
        plan.signals = self.plan.signals;
        let changed = changed.iter().copied().map(ProgramId).collect();
        self.next_plan = Some(Reloaded { plan, changed, client: None });
        self
    }

    fn put(&mut self, at: Time, scene: Scene) {
        self.planned += 1;
        self.ahead.insert((at, self.planned), scene);
    }

    /// Plays it to the end; returns the exit code.
    pub(crate) fn run(&mut self) -> u8 {
        let mut supervisor = Supervisor::new(self.plan.clone());
        runtime::run(&mut supervisor, self)
    }

    /// Plays it; what happened to whom, line by line.
    pub(crate) fn played(mut self) -> (u8, Vec<String>) {
        let code = self.run();
        (code, self.log)
    }

    fn name(&self, id: ProgramId) -> &str {
        &self.parts[id.0].rules.name
    }

    fn write(&mut self, what: &str) {
        self.log.push(format!("{} {what}", self.now.since_start().as_millis()));
    }

    fn spawn(&mut self, id: ProgramId) {
        let part = &self.parts[id.0];
        let which = self.starts[id.0].min(part.lives.len() - 1);
        let (life, ready_after) = (part.lives[which], part.ready_after);
        self.starts[id.0] += 1;
        assert!(self.processes.values().all(|(other, _)| *other != id), "its last process is still there");
        let pid = 100 + i32::try_from(self.planned).expect("few processes");
        self.write(&format!("spawn {}", self.name(id).to_owned()));
        let milliseconds = Duration::from_millis;
        match life {
            Life::Refused(code) => {
                let refusal =
                    Refusal { code, reason: format!("cannot execute `{}`: it is a script", self.name(id)) };
                self.answers.push_back(Event::Refused(id, refusal));
                return;
            }
            Life::Exits(after, code) => {
                self.put(self.now.after(milliseconds(after)), Scene::Ends(pid, Status::Exited(code)));
            }
            Life::Dies(after, signal) => {
                let status = Status::Killed { signal, core: false };
                self.put(self.now.after(milliseconds(after)), Scene::Ends(pid, status));
            }
            Life::Lives => self.planned += 1,
        }
        if let Some(after) = ready_after {
            self.put(self.now.after(milliseconds(after)), Scene::Ready(id, pid));
        }
        self.processes.insert(pid, (id, None));
        self.answers.push_back(Event::Spawned(id, Pid(pid)));
    }

    fn begin(&mut self, task: Task) {
        let name = self.name(task.program).to_owned();
        self.write(&format!("{} {name}", task.role.name()));
        let answers = &self.parts[task.program.0].answers[&task.role];
        let which = self.begun.entry(task).or_default();
        let answer = answers[(*which).min(answers.len() - 1)];
        *which += 1;
        self.planned += 1;
        let number = self.planned;
        let twice = self.under_way.insert(task, number);
        assert!(twice.is_none(), "{} of {name} is under way twice", task.role.name());
        match answer {
            Answer::Passes(after) | Answer::Fails(after) | Answer::Errs(after) => {
                self.put(self.now.after(Duration::from_millis(after)), Scene::Done(task, number, answer));
            }
            Answer::Hangs => {}
        }
    }

    fn abandon(&mut self, task: Task) {
        let name = self.name(task.program).to_owned();
        self.write(&format!("no {} {name}", task.role.name()));
        assert!(self.under_way.remove(&task).is_some(), "{} of {name} is not under way", task.role.name());
    }

    /// Lets go of who is kept at its end.
    fn thaw(&mut self, pid: i32) {
        let (id, _) = self.processes[&pid];
        self.write(&format!("thaw {}", self.name(id).to_owned()));
        let (status, told) = self.frozen.remove(&pid).expect("a process that is kept");
        assert!(told, "nobody knows of it");
        let after = Duration::from_millis(self.freezes.expect("a script that freezes"));
        self.put(self.now.after(after), Scene::Gone(pid, status));
    }

    fn deliver(&mut self, pid: i32, signal: Signal) {
        let Some((id, None)) = self.processes.get(&pid).copied() else { return };
        let killed = Status::Killed { signal, core: false };
        if signal == Signal::KILL {
            self.put(self.now, Scene::Ends(pid, killed));
        } else if [Signal::TERM, Signal::INT, Signal::QUIT, self.parts[id.0].rules.stopsignal]
            .contains(&signal)
            && let Some((after, code)) = self.parts[id.0].farewell
        {
            self.put(self.now.after(Duration::from_millis(after)), Scene::Ends(pid, Status::Exited(code)));
        }
    }

    fn reap(&mut self) -> Event {
        let dead: Vec<i32> =
            self.processes.iter().filter(|(_, (_, s))| s.is_some()).map(|(pid, _)| *pid).collect();
        if let Some(pid) = dead.first()
            && let Some((id, Some(status))) = self.processes.remove(pid)
        {
            self.zombie = Some((*pid, id));
            return Event::Exited { pid: Pid(*pid), status, memory: None };
        }
        if let Some((pid, (status, told))) = self.frozen.iter_mut().find(|(_, (_, told))| !told) {
            *told = true;
            return Event::Frozen { pid: Pid(*pid), status: *status, memory: None };
        }
        self.is_reaping = false;
        Event::Reaped { alone: self.processes.is_empty() }
    }
}

/// The plan of these parts, without a main.
fn plan(parts: &[Part]) -> Plan {
    let mut signals = [Meaning::Ignore; Signal::SLOTS];
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        signals[signal.index()] = Meaning::Stop(Word::StopSignal);
    }
    signals[Signal::HUP.index()] = Meaning::Forward(Signal::HUP);
    Plan {
        programs: parts.iter().map(|part| part.rules.clone()).collect(),
        order: (0..parts.len()).map(ProgramId).collect(),
        main: None,
        signals,
        wait: Wait::Main,
        remap_exit: Vec::new(),
        hold: Hold { on: HoldOn::Never, limit: None, file: false, sidecars: Sidecars::Keep },
        drain: Drain::default(),
        grace: Grace::Assumed(Duration::from_secs(10)),
        pause: Pause::Leave,
        warn_on_reap: false,
        keeps_records: false,
        lets_go: false,
    }
}

impl Kernel for Script {
    fn now(&self) -> Time {
        self.now
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn(id) => self.spawn(id),
            Effect::Signal(Target::Process(Pid(pid)), signal, _) => {
                if let Some((id, _)) = self.processes.get(&pid).copied() {
                    self.write(&format!("{signal} {}", self.name(id).to_owned()));
                }
                self.deliver(pid, signal);
            }
            Effect::Signal(Target::Group(Pid(pid)), signal, _) => {
                if let Some((_, id)) = self.zombie.filter(|(zombie, _)| *zombie == pid) {
                    self.group_kills.push(self.name(id).to_owned());
                } else if let Some((id, _)) = self.processes.get(&pid).copied() {
                    self.write(&format!("{signal} group of {}", self.name(id).to_owned()));
                }
                self.deliver(pid, signal);
            }
            Effect::Signal(Target::Everyone, signal, _) => {
                self.write(&format!("{signal} everyone"));
                for pid in self.processes.keys().copied().collect::<Vec<_>>() {
                    self.deliver(pid, signal);
                }
            }
            Effect::Thaw(Pid(pid)) => self.thaw(pid),
            Effect::Signal(Target::Strays, signal, _) => self.write(&format!("{signal} strays")),
            Effect::Reap => self.is_reaping = true,
            Effect::Reload(client) => {
                let mut reloaded = self.next_plan.clone().expect("a script that says what is read again");
                reloaded.client = client;
                self.answers.push_back(Event::Reloaded(Box::new(reloaded)));
            }
            Effect::Report(report) => self.reports.push(*report),
            Effect::AnnounceHold { report, .. } => self.write(&format!("hold {}", report.program)),
            Effect::Say(Notice::Bug(what)) => panic!("{what}"),
            Effect::Say(notice) => {
                let is_of_interest = matches!(
                    notice,
                    Notice::Running { .. }
                        | Notice::HoldsUp { .. }
                        | Notice::Ready { .. }
                        | Notice::TimedOut { .. }
                        | Notice::WaitingFor(_)
                        | Notice::NotReady { .. }
                        | Notice::ProbeFailed { .. }
                        | Notice::ProbeImpossible { .. }
                        | Notice::HookFailed { .. }
                        | Notice::DrainOver(_)
                        | Notice::Ended(_)
                );
                if is_of_interest {
                    self.write(&notice.to_string());
                }
            }
            Effect::Reply(_, reply) => {
                let said = reply.results.iter().map(|said| {
                    let program = said.program.as_deref().unwrap_or("the container");
                    format!("{program} {} {}", said.word.text(), said.text).trim().to_owned()
                });
                let said: Vec<String> = said.collect();
                self.write(&format!("reply: {}", said.join(", ")));
            }
            Effect::KeepCrash(report, _) => self.write(&format!("crash of {}", report.program)),
            Effect::Begin(task) => self.begin(task),
            Effect::Abandon(task) => self.abandon(task),
            Effect::Unlisten(id) => self.write(&format!("unlisten {}", self.name(id).to_owned())),
            Effect::WatchConnections(on) => {
                assert_ne!(self.is_watching, on, "it is watched already, or not at all");
                self.is_watching = on;
            }
            Effect::GiveTerminal(_)
            | Effect::TakeTerminal
            | Effect::StopSelf(_)
            | Effect::LetGo
            | Effect::ReadHoldFile
            | Effect::WatchHoldFile(_)
            | Effect::ReadMemory
            | Effect::Breadcrumb(_)
            | Effect::Tell(..)
            | Effect::ShowHeld(_)
            | Effect::SayWhoIsLeft => {} // nothing that a program sees
        }
    }

    fn next(&mut self, deadline: Option<Time>) -> Event {
        self.zombie = None;
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return answer;
            }
            if self.is_reaping {
                return self.reap();
            }
            let next = self.ahead.first_key_value().map(|(key, _)| *key);
            // What happens at the very moment of a deadline comes first: the kernel looks once more.
            if let Some(key) = next.filter(|key| deadline.is_none_or(|deadline| key.0 <= deadline)) {
                self.now = self.now.max(key.0);
                self.has_looked = false;
                match self.ahead.remove(&key).expect("just found") {
                    Scene::Signal(signal) => {
                        return Event::Signal(signal, Sender { pid: 0, uid: 0, value: None });
                    }
                    Scene::Command(command) => {
                        let sender = Sender { pid: 9, uid: 0, value: None };
                        return Event::Commanded(Client(0), sender, command);
                    }
                    Scene::Ready(id, pid) => {
                        if self.processes.contains_key(&pid) {
                            return Event::Ready(id);
                        }
                    }
                    Scene::Connected if self.is_watching => return Event::Connected,
                    Scene::Connected => {}
                    Scene::Done(task, number, answer) => {
                        if self.under_way.get(&task) == Some(&number) {
                            self.under_way.remove(&task);
                            let outcome = match answer {
                                Answer::Passes(_) => Outcome::Passed,
                                Answer::Fails(_) => Outcome::Failed("refused".to_owned()),
                                Answer::Errs(_) => Outcome::Impossible("no process".to_owned()),
                                Answer::Hangs => panic!("what hangs does not end"),
                            };
                            return Event::Done(task, outcome);
                        }
                    }
                    Scene::Ends(pid, _) if self.frozen.contains_key(&pid) => {} // no signal reaches it
                    Scene::Ends(pid, status) if self.freezes.is_some() && status != Status::Exited(0) => {
                        if let Some((_, None)) = self.processes.get(&pid) {
                            self.frozen.insert(pid, (status, false));
                            self.is_reaping = true;
                        }
                    }
                    Scene::Ends(pid, status) | Scene::Gone(pid, status) => {
                        if let Some((_, end @ None)) = self.processes.get_mut(&pid) {
                            *end = Some(status);
                            self.is_reaping = true;
                        }
                    }
                }
                continue;
            }
            let deadline = deadline.expect("it waits for what will never come");
            self.now = self.now.max(deadline);
            if std::mem::replace(&mut self.has_looked, true) {
                self.has_looked = false;
                return Event::Tick;
            }
            self.is_reaping = true;
        }
    }
}

/// The lines of a played script that begin a process of this program: their milliseconds.
pub(crate) fn spawns(log: &[String], name: &str) -> Vec<u64> {
    let suffix = format!(" spawn {name}");
    log.iter().filter_map(|line| line.strip_suffix(&suffix)).map(|at| at.parse().expect("a time")).collect()
}
