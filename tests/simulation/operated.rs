//! Days with an operator, who starts, stops, restarts and signals programs, turns the hold on and off and releases it, at any
//! moment. What the programs do otherwise is seen to by `many`; here it counts that every command is answered once, that
//! the answer is true, and that a stop lasts.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sexton::command::{Command, Reply, Verb, Word, is_pattern, matches};
use sexton::effect::{Effect, Target};
use sexton::event::{Client, Depth, Event, Outcome, Pid, Reloaded, Sender, Switch};
use sexton::kernel::Kernel;
use sexton::notice::{Notice, Release};
use sexton::outcome::{Cause, Refusal, Status};
use sexton::plan::{Kind, Plan, ProgramId, Readiness, Task};
use sexton::runtime;
use sexton::signal::Signal;
use sexton::supervisor::Supervisor;
use sexton::time::Time;

use crate::many::plan;
use crate::random::Random;
use crate::{assert_bad_enough, check, live_all};

const MOST_STEPS: usize = 100_000;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
struct Process {
    /// None for a stray.
    program: Option<ProgramId>,
    /// How long after a signal it ends; None ignores it.
    heeds: Option<Duration>,
    zombie: Option<Status>,
    /// It is kept at its end.
    frozen: Option<Status>,
}

#[derive(Clone, Debug)]
enum Happening {
    Signal(Signal),
    Command(Command),
    Asks,
    Ends(i32, Status),
    Ready(i32),
    HoldFile(Switch),
    Done(Task, u64),
}

struct Day {
    random: Random,
    plan: Plan,
    now: Time,
    ahead: BTreeMap<(Time, u64), Happening>,
    planned: u64,
    processes: BTreeMap<i32, Process>,
    /// How each program last ended.
    ends: Vec<Option<Status>>,
    next_pid: i32,
    answers: VecDeque<Event>,
    received: VecDeque<Event>,
    is_reaping: bool,
    is_tick_due: bool,
    switch: Switch,
    /// The probes and hooks that go on, by the number of their beginning.
    tasks: BTreeMap<Task, u64>,
    /// The commands that are not answered, and how many there were.
    open: BTreeMap<u64, Command>,
    asked: u64,
    /// Whom the operator has stopped, and nobody has started since.
    stopped: Vec<bool>,
    has_stop: bool,
    is_ending: bool,
    is_held: bool,
    was_held: bool,
    /// Processes are frozen at their ends.
    freezes: bool,
    /// What is left has SIGTERM.
    is_sweeping: bool,
    steps: usize,
    trace: Vec<String>,
}

impl Day {
    fn new(seed: u64) -> Day {
        let mut random = Random(seed.wrapping_add(1 << 41));
        let is_equipped = random.one_in(3);
        let mut plan = plan(&mut random, is_equipped);
        plan.keeps_records = random.one_in(2);
        let count = plan.programs.len();
        let mut day = Day {
            random,
            plan,
            now: Time::default(),
            ahead: BTreeMap::new(),
            planned: 0,
            processes: BTreeMap::new(),
            ends: vec![None; count],
            next_pid: 2,
            answers: VecDeque::new(),
            received: VecDeque::new(),
            is_reaping: false,
            is_tick_due: false,
            switch: Switch::Silent,
            tasks: BTreeMap::new(),
            open: BTreeMap::new(),
            asked: 0,
            stopped: vec![false; count],
            has_stop: false,
            is_ending: false,
            is_held: false,
            was_held: false,
            freezes: false,
            is_sweeping: false,
            steps: 0,
            trace: Vec::new(),
        };
        day.freezes = day.random.one_in(3);
        for _ in 0..day.random.below(12) {
            let happening = match day.random.below(16) {
                0 => Happening::Signal(day.random.pick(&[Signal::TERM, Signal::HUP])),
                1 => Happening::HoldFile(day.random.pick(&[Switch::On, Switch::Off, Switch::Silent])),
                2 => Happening::Asks,
                _ => Happening::Command(day.command()),
            };
            let at = day.random.span(SECOND * 60);
            day.put(at, happening);
        }
        for evening in 1..=40 {
            day.put(SECOND * 300 * evening, Happening::Signal(Signal::TERM));
        }
        day
    }

    fn command(&mut self) -> Command {
        let verb = match self.random.below(8) {
            0 | 1 => Verb::Start,
            2 | 3 => Verb::Stop,
            4..=6 => Verb::Restart,
            _ => Verb::Signal(self.random.pick(&[Signal::HUP, Signal::KILL, Signal::TERM, Signal::CONT])),
        };
        match self.random.below(10) {
            0 => Command::Reload,
            1 => Command::Hold(self.random.one_in(2)),
            2 => Command::Release { restart: !self.random.one_in(3) },
            _ => {
                let names = ["p0", "p1", "p2", "p3", "p4", "p5", "p?", "all", "nobody"];
                let count = 1 + self.random.below(2);
                let names = (0..count).map(|_| self.random.pick(&names).to_owned()).collect();
                Command::Programs { verb, names, dependents: self.random.one_in(3) }
            }
        }
    }

    fn put(&mut self, after: Duration, happening: Happening) {
        self.planned += 1;
        self.ahead.insert((self.now.after(after), self.planned), happening);
    }

    fn start_process(&mut self, program: Option<ProgramId>) -> i32 {
        let pid = self.next_pid;
        self.next_pid += 1;
        let heeds = if self.random.one_in(8) { None } else { Some(self.random.span(SECOND * 5)) };
        self.processes.insert(pid, Process { program, heeds, zombie: None, frozen: None });
        let status = Status::Exited(self.random.pick(&[0, 0, 1, 2, 3]));
        let longest = self.random.pick(&[SECOND / 100, SECOND * 3, SECOND * 40, SECOND * 50_000]);
        let lifetime = self.random.span(longest);
        self.put(lifetime, Happening::Ends(pid, status));
        pid
    }

    fn deliver(&mut self, pid: i32, signal: Signal) {
        let Some(Process { heeds, zombie: None, .. }) = self.processes.get(&pid).cloned() else { return };
        let ended = Status::Killed { signal, core: false };
        if signal == Signal::KILL {
            self.put(Duration::ZERO, Happening::Ends(pid, ended));
        } else if signal != Signal::CONT
            && let Some(delay) = heeds
        {
            self.put(delay, Happening::Ends(pid, ended));
        }
    }

    fn happen(&mut self, happening: Happening) {
        self.trace.push(format!("{:?} happens {happening:?}", self.now));
        match happening {
            Happening::Signal(signal) => {
                self.received.push_back(Event::Signal(signal, Sender { pid: 0, uid: 0, value: None }));
            }
            Happening::Command(command) => {
                self.asked += 1;
                let sender = Sender { pid: 9, uid: 0, value: None };
                self.received.push_back(Event::Commanded(Client(self.asked), sender, command));
            }
            Happening::Asks => self.received.push_back(Event::Asked(Client(0), Depth::History)),
            Happening::Ends(pid, status) => {
                let is_alive = |process: &&mut Process| process.zombie.is_none() && process.frozen.is_none();
                if let Some(process) = self.processes.get_mut(&pid).filter(is_alive) {
                    let is_kept =
                        |id: ProgramId| Some(id) == self.plan.main || self.plan.program(id).essential;
                    if self.freezes
                        && process.program.is_some_and(is_kept)
                        && !matches!(status, Status::Exited(0) | Status::Killed { signal: Signal::KILL, .. })
                    {
                        process.frozen = Some(status);
                        self.is_reaping = true;
                        return self.answers.push_back(Event::Frozen { pid: Pid(pid), status, memory: None });
                    }
                    process.zombie = Some(status);
                    self.is_reaping = true;
                    if self.random.one_in(8) && !self.is_ending {
                        self.start_process(None); // what it leaves behind comes to us
                    }
                }
            }
            Happening::Ready(pid) => {
                if let Some(Process { program: Some(id), zombie: None, .. }) = self.processes.get(&pid) {
                    self.answers.push_back(Event::Ready(*id));
                }
            }
            Happening::HoldFile(switch) => self.switch = switch,
            Happening::Done(task, number) => {
                if self.tasks.get(&task) == Some(&number) {
                    self.tasks.remove(&task);
                    let failed = Outcome::Failed("it is simulated".to_owned());
                    let outcome = if self.random.one_in(6) { failed } else { Outcome::Passed };
                    self.answers.push_back(Event::Done(task, outcome));
                }
            }
        }
    }

    // --- the second account

    fn check(&self, holds: bool, what: &str) {
        check(holds, what, &self.plan, &self.trace);
    }

    /// Its process; one that is kept at its end is no longer its.
    fn process(&self, id: ProgramId) -> Option<i32> {
        let is_its = |process: &Process| process.program == Some(id) && process.frozen.is_none();
        self.processes.iter().find(|(_, process)| is_its(process)).map(|(pid, _)| *pid)
    }

    fn ids(&self) -> impl Iterator<Item = ProgramId> + use<> {
        (0..self.plan.programs.len()).map(ProgramId)
    }

    /// Whom a command means.
    fn meant(&self, names: &[String]) -> Vec<ProgramId> {
        let is_meant = |id: &ProgramId| {
            let rules = self.plan.program(*id);
            let is_program = matches!(rules.kind, Kind::Program { .. });
            names.iter().any(|name| {
                *name == rules.name
                    || is_program && is_pattern(name) && (name == "all" || matches(name, &rules.name))
            })
        };
        self.ids().filter(is_meant).collect()
    }

    fn with_dependents(&self, ids: &[ProgramId]) -> Vec<ProgramId> {
        let mut all = ids.to_vec();
        for id in self.ids() {
            // What a program comes after stands before it.
            let is_after = self.plan.program(id).after.iter().any(|(on, _)| all.contains(on));
            if is_after && !all.contains(&id) {
                all.push(id);
            }
        }
        all
    }

    fn note_command(&mut self, client: Client, command: &Command) {
        self.open.insert(client.0, command.clone());
        let Command::Programs { verb: Verb::Start | Verb::Restart, names, dependents } = command else {
            return;
        };
        let mut started = self.meant(names);
        if *dependents {
            started = self.with_dependents(&started);
        }
        for id in self.ids().collect::<Vec<_>>().into_iter().rev() {
            if started.contains(&id) {
                self.stopped[id.0] = false;
                started.extend(self.plan.program(id).after.iter().map(|(on, _)| *on));
            }
        }
    }

    fn note_reply(&mut self, client: Client, reply: &Reply) {
        let command = self.open.remove(&client.0);
        self.check(command.is_some(), "somebody was answered who had not asked, or twice");
        let Some(command) = command else { return };
        let mut told = Vec::new();
        // What came of many is told when it is known of all, and may be over for some by then.
        let is_fresh = reply.results.len() == 1;
        for said in &reply.results {
            let Some(name) = &said.program else { continue };
            let is_new = !told.contains(&name) || said.word == Word::NoSuchProgram;
            self.check(is_new, "a program was told of twice");
            told.push(name);
            let Some(id) = self.ids().find(|id| self.plan.program(*id).name == *name) else {
                self.check(said.word == Word::NoSuchProgram, "something was said of nobody");
                continue;
            };
            let is_alive = self.process(id).is_some();
            let has_ended_well = matches!(self.ends[id.0], Some(Status::Exited(code))
                if self.plan.program(id).exitcodes.contains(&code) || self.plan.remap_exit.contains(&code));
            match said.word {
                Word::Started => {
                    self.check(
                        is_alive || has_ended_well || !is_fresh,
                        "a program was told as started and does not run",
                    );
                }
                Word::Stopped => {
                    self.check(!is_alive || !is_fresh, "a program was told as stopped and runs");
                    self.stopped[id.0] |= is_fresh;
                }
                Word::AlreadyStarted | Word::Signalled => {
                    self.check(is_alive || !is_fresh, "a program was told as running and does not");
                }
                Word::NotRunning | Word::NobodyThere => {
                    self.check(!is_alive || !is_fresh, "a program was told as not running and does");
                }
                Word::Failed | Word::Refused | Word::Waits => {}
                Word::NoSuchProgram => self.check(false, "a program was told as none"),
                Word::Done => self.check(false, "a program is not the container"),
            }
        }
        if let Command::Programs { verb, names, dependents } = &command {
            let meant =
                if *dependents { self.with_dependents(&self.meant(names)) } else { self.meant(names) };
            let is_refused = reply.results.iter().any(|said| said.word == Word::Refused);
            self.check(is_refused || told.len() >= meant.len(), &format!("{verb:?} said too little"));
        }
    }

    /// Before the clock moves on, every stop is answered that is done.
    fn check_nobody_waits_in_vain(&self) {
        for command in self.open.values() {
            if let Command::Programs { verb: Verb::Stop, names, dependents: false } = command {
                let lives = self.meant(names).iter().any(|id| self.process(*id).is_some());
                self.check(lives, "a stop is done, and who asked for it was not told");
            }
        }
    }
}

impl Kernel for Day {
    fn now(&self) -> Time {
        self.now
    }

    fn perform(&mut self, effect: Effect) {
        self.trace.push(format!("{:?} effect {effect:?}", self.now));
        match effect {
            Effect::Spawn(id) => {
                self.check(self.process(id).is_none(), "a program was started that runs");
                let is_frozen = self.processes.values().any(|process| process.program == Some(id));
                self.check(!is_frozen, "a program was started beside what is kept of it");
                self.check(!self.is_ending, "a program was started during the end");
                self.check(!self.is_sweeping, "a program was started while the last start was swept");
                self.check(!self.stopped[id.0], "a program was started that an operator has stopped");
                if self.random.one_in(10) {
                    let refusal = Refusal { code: 127, reason: "cannot execute `x`: simulated".to_owned() };
                    self.ends[id.0] = None;
                    return self.answers.push_back(Event::Refused(id, refusal));
                }
                let pid = self.start_process(Some(id));
                if self.plan.program(id).readiness == Readiness::Notify {
                    let after = self.random.span(SECOND * 5);
                    self.put(after, Happening::Ready(pid));
                }
                self.answers.push_back(Event::Spawned(id, Pid(pid)));
            }
            Effect::Signal(Target::Process(Pid(pid)) | Target::Group(Pid(pid)), signal, _) => {
                self.deliver(pid, signal);
            }
            Effect::Signal(Target::Everyone, signal, _) => {
                self.is_sweeping = true;
                for pid in self.processes.keys().copied().collect::<Vec<_>>() {
                    self.deliver(pid, signal);
                }
            }
            Effect::Signal(Target::Strays, signal, _) => {
                self.is_sweeping |= signal == Signal::TERM;
                let strays = self.processes.iter().filter(|(_, process)| process.program.is_none());
                for pid in strays.map(|(pid, _)| *pid).collect::<Vec<_>>() {
                    self.deliver(pid, signal);
                }
            }
            Effect::Thaw(Pid(pid)) => {
                let process = self.processes.get_mut(&pid);
                let status = process.as_ref().and_then(|process| process.frozen);
                self.check(status.is_some(), "what is not kept was let go");
                if let Some(process) = self.processes.get_mut(&pid) {
                    (process.zombie, process.frozen) = (status, None);
                    self.ends[process.program.map_or(0, |id| id.0)] = status;
                }
                self.is_reaping = true;
            }
            Effect::Reap => self.is_reaping = true,
            Effect::Reload(client) => {
                self.check(!self.is_ending, "it was read again during the end");
                if client.is_some() && self.random.one_in(3) {
                    // It has errors, and the kernel answers.
                    if let Some(Client(number)) = client {
                        self.open.remove(&number);
                    }
                    return;
                }
                let changed: Vec<ProgramId> = self.ids().filter(|_| self.random.one_in(4)).collect();
                let reloaded = Reloaded { plan: self.plan.clone(), changed, client };
                self.answers.push_back(Event::Reloaded(Box::new(reloaded)));
            }
            Effect::Reply(client, reply) => self.note_reply(client, &reply),
            Effect::Tell(_, snapshot) => {
                self.check(!self.plan.keeps_records || !snapshot.history.is_empty(), "nothing is remembered");
                self.check(snapshot.history.len() <= 256, "too much is remembered");
            }
            Effect::Begin(task) => {
                self.planned += 1;
                let number = self.planned;
                self.tasks.insert(task, number);
                if !self.random.one_in(4) {
                    let after = self.random.span(SECOND * 2);
                    self.put(after, Happening::Done(task, number));
                }
            }
            Effect::Abandon(task) => {
                self.tasks.remove(&task);
                self.answers.retain(|answer| !matches!(answer, Event::Done(of, _) if *of == task));
            }
            Effect::ReadHoldFile => self.answers.push_back(Event::HoldFile(self.switch)),
            Effect::AnnounceHold { .. } => self.check(!self.has_stop, "it was held after a stop signal"),
            Effect::ShowHeld(is_held) => {
                self.check(is_held != self.is_held, "the hold is shown as it is, and is not told twice");
                self.is_held = is_held;
                self.was_held = true;
            }
            Effect::Say(Notice::Bug(what)) => self.check(false, what),
            Effect::Say(Notice::GivingUp) => self.is_sweeping = false,
            Effect::Say(Notice::Released(why)) => {
                self.is_ending |= !matches!(why, Release::Restart(_));
            }
            Effect::Say(Notice::Ended(report)) if report.cause == Cause::Unkillable => {
                if let Some(pid) = self.process(report.id)
                    && let Some(process) = self.processes.get_mut(&pid)
                {
                    process.program = None;
                }
            }
            Effect::Say(
                Notice::StopRequested { drain: None, .. } | Notice::DrainOver(_) | Notice::Over { .. },
            ) => {
                self.is_ending = true;
            }
            Effect::Say(_)
            | Effect::KeepCrash(..)
            | Effect::Unlisten(_)
            | Effect::WatchConnections(_)
            | Effect::WatchHoldFile(_)
            | Effect::Report(_)
            | Effect::LetGo
            | Effect::GiveTerminal(_)
            | Effect::TakeTerminal
            | Effect::StopSelf(_)
            | Effect::ReadMemory
            | Effect::Breadcrumb(_)
            | Effect::SayWhoIsLeft => {}
        }
    }

    fn next(&mut self, deadline: Option<Time>) -> Event {
        loop {
            self.steps += 1;
            self.check(self.steps < MOST_STEPS, "the loop does not come to an end");
            let event = if let Some(answer) = self.answers.pop_front() {
                answer
            } else if self.is_reaping {
                let gone = self.processes.iter().find_map(|(pid, process)| Some((*pid, process.zombie?)));
                if let Some((pid, status)) = gone {
                    if let Some(Process { program: Some(id), .. }) = self.processes.remove(&pid) {
                        self.ends[id.0] = Some(status);
                    }
                    Event::Exited { pid: Pid(pid), status, memory: None }
                } else {
                    self.is_reaping = false;
                    self.is_sweeping &= !self.processes.is_empty();
                    Event::Reaped { alone: self.processes.is_empty() }
                }
            } else if let Some(event) = self.received.pop_front() {
                event
            } else if deadline.is_some_and(|deadline| deadline <= self.now) {
                if !std::mem::replace(&mut self.is_tick_due, false) {
                    self.is_tick_due = true;
                    self.is_reaping = true;
                    continue;
                }
                Event::Tick
            } else {
                self.is_tick_due = false;
                self.check_nobody_waits_in_vain();
                let first = self.ahead.first_key_value().map(|(key, _)| *key);
                match (first, deadline) {
                    (Some(key), deadline) if deadline.is_none_or(|deadline| key.0 <= deadline) => {
                        let happening = self.ahead.remove(&key).expect("just found");
                        self.now = self.now.max(key.0);
                        self.happen(happening);
                    }
                    (_, Some(deadline)) => self.now = deadline,
                    (_, None) => self.check(false, "it waits for what will never come"),
                }
                continue;
            };
            self.trace.push(format!("{:?} event {event:?}", self.now));
            if let Event::Commanded(client, _, command) = &event {
                self.note_command(*client, command);
            }
            if let Event::Signal(Signal::TERM, _) = event {
                self.has_stop = true;
            }
            return event;
        }
    }
}

fn live(seed: u64) -> Day {
    let mut day = Day::new(seed);
    let mut supervisor = Supervisor::new(day.plan.clone());
    runtime::run(&mut supervisor, &mut day);
    day.check(day.open.is_empty(), "somebody was not answered");
    day.check(day.processes.values().all(|process| process.frozen.is_none()), "something is still kept");
    let is_for_all = day.plan.main.is_none() && day.plan.programs.iter().all(|program| !program.essential);
    if is_for_all && !day.has_stop && !day.was_held {
        day.check(!day.stopped.contains(&true), "it ended although an operator has stopped something");
    }
    day
}

#[test]
fn no_day_with_an_operator_breaks_an_invariant() {
    live_all(live, |day| format!("{:#?}\n{}", day.plan, day.trace.join("\n")));
}

#[test]
fn operators_see_all_that_there_is() {
    let marks = [
        ("started", "word: Started"),
        ("stopped", "word: Stopped"),
        ("signalled", "word: Signalled"),
        ("already", "word: AlreadyStarted"),
        ("not running", "word: NotRunning"),
        ("nobody there", "word: NobodyThere"),
        ("failed", "word: Failed"),
        ("no such program", "word: NoSuchProgram"),
        ("refused", "word: Refused"),
        ("done", "word: Done"),
        ("waits", "word: Waits"),
        ("held by an operator's word", "will be held"),
        ("released", "Released(Operator)"),
        ("started again in place", "Released(Restart(None))"),
        ("read again", "Reload(Some("),
        ("crashed", "effect KeepCrash"),
        ("frozen", "event Frozen"),
        ("let go", "effect Thaw"),
    ];
    assert_bad_enough(&marks, (0..2000).map(|seed| live(seed).trace.join("\n")));
}
