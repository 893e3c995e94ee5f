//! Many programs, as config mode has them: dependencies, steps, restarts, reloads, holds and stops at any moment, and on
//! half of the days probes, hooks and kept sockets.

mod tasks;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sexton::effect::{Effect, Target};
use sexton::event::{Client, Depth, Event, Pid, Reloaded, Sender, Switch};
use sexton::kernel::Kernel;
use sexton::notice::{Notice, Release};
use sexton::outcome::{Cause, Refusal, Status};
use sexton::plan::{
    AutoRestart, Backoff, Condition, Drain, Grace, Growth, Hold, HoldOn, Kind, Meaning, Pause, Plan, Program,
    ProgramId, Readiness, RestartLimit, Sidecars, Task, Wait, Word,
};
use sexton::runtime;
use sexton::signal::Signal;
use sexton::supervisor::Supervisor;
use sexton::time::Time;

use crate::one::Frozen;
use crate::random::Random;
use crate::{assert_bad_enough, check, live_all};
use tasks::{Account, Answer, Life};

/// More steps than any day needs: beyond it the loop spins.
const MOST_STEPS: usize = 200_000;
const SECOND: Duration = Duration::from_secs(1);

/// A process of the simulated container.
#[derive(Clone, Debug)]
struct Process {
    /// None for a stray.
    program: Option<ProgramId>,
    /// What it does with a signal that would end it: ends that much later; None ignores it.
    heeds: Option<Duration>,
    farewell: Option<u8>,
    /// Not even SIGKILL ends it before this.
    stuck_until: Time,
    /// It has ended and waits to be reaped.
    zombie: Option<Status>,
    frozen: Frozen,
    /// It is kept at its end, or was; whose it is.
    kept: Option<ProgramId>,
    /// It is the command of this probe or hook, the how manieth.
    command: Option<(Task, u64)>,
}

/// What the day has in store.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Signal(Signal),
    Ends(i32, Status),
    /// What was kept at its end is gone.
    Gone(i32, Status),
    Ready(i32),
    Orphan,
    HoldFile(Switch),
    Leap(Duration),
    /// A probe or a hook that is no command ends, the how manieth.
    Answers(Task, u64, Answer),
    Connect,
    /// Somebody asks about our health.
    Asks,
}

/// What is known of a program besides what the supervisor says.
#[derive(Clone, Debug, Default)]
struct Known {
    pid: Option<i32>,
    spawned_at: Option<Time>,
    /// It has been up at least once, ended as expected at least once, and is ready now.
    has_started: bool,
    has_completed: bool,
    may_have_completed: bool,
    is_ready: bool,
    /// Starts that failed in a row.
    failures: u32,
    /// When the stop signal of its own came that it has not survived yet.
    told_at: Option<Time>,
    killed: bool,
    timed_out: bool,
    /// Its next end makes way for another configuration of it.
    is_renewed: bool,
    /// The code of its last end.
    code: Option<u8>,
    /// From when on it has to have been started again, unless something is in the way.
    restart_by: Option<Time>,
    /// It is to be started again at once, unless something is in the way.
    is_due: bool,
    /// It has ended for good.
    is_over: bool,
    /// Its sockets are open.
    is_listening: bool,
    /// How long it had from its stop signal on, where that is known.
    patience: Option<Duration>,
    /// The probes and hooks of its process.
    life: Life,
}

struct Day {
    random: Random,
    plan: Plan,
    now: Time,
    ahead: BTreeMap<(Time, u64), Happening>,
    planned: u64,
    processes: BTreeMap<i32, Process>,
    next_pid: i32,
    answers: VecDeque<Event>,
    received: VecDeque<Signal>,
    is_reaping: bool,
    is_tick_due: bool,
    switch: Switch,
    watches_file: bool,
    /// The process whose end was the last event.
    zombie: Option<i32>,
    /// Main and essential programs that fail are kept at their ends.
    freezes: bool,
    /// Such a process has been told, and may be let go at once.
    undecided: Option<i32>,
    /// It was a program that had to be killed.
    zombie_was_killed: bool,
    known: Vec<Known>,
    account: Account,
    /// There are probes, hooks and sockets.
    is_equipped: bool,
    stop_at: Option<Time>,
    /// The rest is being stopped, whoever asked for it.
    is_ending: bool,
    is_held: bool,
    /// What the last start left is being swept, so that another can follow.
    restarts: bool,
    swept_at: Option<Time>,
    killed_at: Option<Time>,
    gave_up: bool,
    leaps: bool,
    reports: Vec<u8>,
    last_tick: Option<Time>,
    tick_repeats: u32,
    steps: usize,
    trace: Vec<String>,
}

fn rules(random: &mut Random, name: &str, steps: usize, index: usize) -> Program {
    let seconds = |random: &mut Random, choices: &[u64]| Duration::from_secs(random.pick(choices));
    let is_step = index < steps;
    let kind = if is_step {
        Kind::Step { timeout: random.pick(&[None, Some(SECOND * 2), Some(SECOND * 30)]) }
    } else {
        Kind::Program { startsecs: seconds(random, &[0, 1, 1, 5]) }
    };
    let mut after = Vec::new();
    if is_step && index > 0 {
        after.push((ProgramId(index - 1), Condition::Completed));
    }
    if !is_step && steps > 0 {
        after.push((ProgramId(steps - 1), Condition::Completed));
    }
    for other in steps..index {
        if random.one_in(4) {
            let condition =
                random.pick(&[Condition::Started, Condition::Ready, Condition::Ready, Condition::Completed]);
            after.push((ProgramId(other), condition));
        }
    }
    let restarts =
        [AutoRestart::Never, AutoRestart::Unexpected, AutoRestart::Unexpected, AutoRestart::Always];
    Program {
        kind,
        autostart: is_step || !random.one_in(8),
        autorestart: if is_step { AutoRestart::Never } else { random.pick(&restarts) },
        startretries: random.pick(&[0, 1, 3]),
        exitcodes: random.pick(&[vec![0], vec![0, 2]]),
        stopsignal: random.pick(&[Signal::TERM, Signal::TERM, Signal::QUIT]),
        stopwaitsecs: Some(seconds(random, &[0, 1, 10, 10, 60])),
        stopasgroup: random.one_in(4),
        killasgroup: random.one_in(3),
        essential: !is_step && random.one_in(6),
        after,
        readiness: if !is_step && random.one_in(4) { Readiness::Notify } else { Readiness::Running },
        backoff: Backoff {
            growth: random.pick(&[None, None, Some(Growth::Linear), Some(Growth::Exponential)]),
            max: seconds(random, &[2, 300]),
        },
        restart_delay: if random.one_in(6) { Some(random.span(SECOND * 3)) } else { None },
        restart_limit: if random.one_in(4) {
            Some(RestartLimit { count: 3, within: SECOND * 20 })
        } else {
            None
        },
        ..Program::once(name)
    }
}

pub(super) fn plan(random: &mut Random, is_equipped: bool) -> Plan {
    let count = usize::try_from(1 + random.below(7)).expect("few");
    let steps = usize::try_from(random.below(3)).expect("few").min(count);
    let mut signals = [Meaning::Ignore; Signal::SLOTS];
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        signals[signal.index()] = Meaning::Stop(Word::StopSignal);
    }
    let mut programs: Vec<Program> =
        (0..count).map(|index| rules(random, &format!("p{index}"), steps, index)).collect();
    for program in &mut programs {
        if is_equipped && !random.one_in(3) {
            tasks::equip(random, program);
        }
    }
    let main = (count > steps && !random.one_in(3)).then(|| ProgramId(count - 1));
    if let Some(main) = main {
        programs[main.0].autostart = true;
        signals[Signal::CONT.index()] = Meaning::Forward(Signal::CONT);
    }
    signals[Signal::HUP.index()] = Meaning::Reload;
    let grace = Duration::from_secs(random.pick(&[1, 2, 10, 30, 100]));
    let grace = if random.one_in(2) { Grace::Set(grace) } else { Grace::Assumed(SECOND * 10) };
    let drain = random.pick(&[Duration::ZERO, Duration::ZERO, Duration::from_millis(400)]);
    let quiet = random.one_in(3).then(|| Duration::from_millis(300 + random.below(2701)));
    Plan {
        order: (0..programs.len()).map(ProgramId).collect(),
        programs,
        main,
        signals,
        wait: Wait::Main,
        remap_exit: random.pick(&[vec![], vec![143]]),
        hold: Hold {
            on: random.pick(&[HoldOn::Never, HoldOn::Never, HoldOn::Failure, HoldOn::Always]),
            limit: random.pick(&[None, Some(SECOND * 60)]),
            file: random.one_in(4),
            sidecars: random.pick(&[Sidecars::Keep, Sidecars::Stop]),
        },
        drain: Drain { delay: drain, quiet, fails_readiness: false },
        grace,
        pause: Pause::Leave,
        warn_on_reap: random.one_in(4),
        keeps_records: false,
        lets_go: false,
    }
}

impl Day {
    fn new(seed: u64) -> Day {
        let mut random = Random(seed.wrapping_add(1 << 40));
        let is_equipped = random.one_in(2);
        let plan = plan(&mut random, is_equipped);
        let account = Account::new(&mut random);
        let known = vec![Known::default(); plan.programs.len()];
        let mut day = Day {
            random,
            plan,
            now: Time::default(),
            ahead: BTreeMap::new(),
            planned: 0,
            processes: BTreeMap::new(),
            next_pid: 2,
            answers: VecDeque::new(),
            received: VecDeque::new(),
            is_reaping: false,
            is_tick_due: false,
            switch: Switch::Silent,
            watches_file: false,
            zombie: None,
            freezes: seed % 2 == 1,
            undecided: None,
            zombie_was_killed: false,
            known,
            account,
            is_equipped,
            stop_at: None,
            is_ending: false,
            is_held: false,
            restarts: false,
            swept_at: None,
            killed_at: None,
            gave_up: false,
            leaps: false,
            reports: Vec::new(),
            last_tick: None,
            tick_repeats: 0,
            steps: 0,
            trace: Vec::new(),
        };
        for _ in 0..day.random.below(10) {
            let happening = match day.random.below(11) {
                0..=2 => Happening::Signal(day.random.pick(&[Signal::TERM, Signal::INT, Signal::CONT])),
                3 | 4 => Happening::Signal(Signal::HUP),
                5 => Happening::Orphan,
                6 | 7 => Happening::HoldFile(day.random.pick(&[Switch::On, Switch::Off, Switch::Silent])),
                8 => Happening::Connect,
                9 => Happening::Asks,
                _ => Happening::Leap(day.random.span(SECOND * 100)),
            };
            let at = day.random.span(SECOND * 60);
            day.put(at, happening);
        }
        // However the day goes, it is asked to end, again and again.
        let length = if is_equipped { SECOND * 100 } else { SECOND * 600 };
        for evening in 1..=40 {
            day.put(length * evening, Happening::Signal(Signal::TERM));
        }
        day
    }

    fn put(&mut self, after: Duration, happening: Happening) {
        self.planned += 1;
        self.ahead.insert((self.now.after(after), self.planned), happening);
    }

    fn status(&mut self) -> Status {
        let code = self.random.pick(&[0, 0, 1, 2, 3]);
        let signal = self.random.pick(&[Signal::KILL, Signal::TERM]);
        if self.random.one_in(5) { Status::Killed { signal, core: false } } else { Status::Exited(code) }
    }

    fn start_process(&mut self, program: Option<ProgramId>) -> i32 {
        let pid = self.next_pid;
        self.next_pid += 1;
        let process = Process {
            program,
            heeds: if self.random.one_in(5) { None } else { Some(self.random.span(SECOND * 15)) },
            farewell: self.random.pick(&[None, Some(0), Some(1)]),
            stuck_until: if self.random.one_in(25) {
                self.now.after(self.random.span(SECOND * 200))
            } else {
                Time::default()
            },
            zombie: None,
            frozen: Frozen::No,
            kept: None,
            command: None,
        };
        self.processes.insert(pid, process);
        let status = self.status();
        let longest =
            self.random.pick(&[SECOND / 100, SECOND * 3, SECOND * 40, SECOND * 5000, SECOND * 5000]);
        let lifetime = self.random.span(longest);
        self.put(lifetime, Happening::Ends(pid, status));
        pid
    }

    fn deliver(&mut self, pid: i32, signal: Signal) {
        let gets = |process: &&Process| process.zombie.is_none() && process.frozen == Frozen::No;
        let Some(process) = self.processes.get(&pid).filter(gets).cloned() else { return };
        let by_signal = Status::Killed { signal, core: false };
        let stuck = process.stuck_until.since(self.now);
        if signal == Signal::KILL {
            self.put(stuck, Happening::Ends(pid, by_signal));
        } else if signal != Signal::CONT
            && let Some(delay) = process.heeds
        {
            let status = process.farewell.map_or(by_signal, Status::Exited);
            self.put(delay.max(stuck), Happening::Ends(pid, status));
        }
    }

    fn happen(&mut self, happening: Happening) {
        self.trace.push(format!("{:?} happens {happening:?}", self.now));
        match happening {
            Happening::Signal(signal) => self.received.push_back(signal),
            Happening::Ends(pid, status) if self.is_to_be_kept(pid, status) => {
                if let Some(process) = self.processes.get_mut(&pid)
                    && process.frozen == Frozen::No
                    && process.zombie.is_none()
                {
                    process.frozen = Frozen::Untold(status);
                    self.is_reaping = true;
                }
            }
            Happening::Ends(pid, status) | Happening::Gone(pid, status) => {
                if let Some(process) = self.processes.get_mut(&pid)
                    && process.zombie.is_none()
                {
                    process.zombie = Some(status);
                    self.is_reaping = true;
                    let is_command = process.command.is_some();
                    if !is_command && self.random.one_in(5) && self.killed_at.is_none() {
                        self.start_process(None); // what it leaves behind comes to us
                    }
                }
            }
            Happening::Ready(pid) => {
                if let Some(Process { program: Some(id), zombie: None, .. }) =
                    self.processes.get(&pid).cloned()
                {
                    self.answers.push_back(Event::Ready(id));
                }
            }
            Happening::Orphan => {
                if !self.processes.is_empty() {
                    self.start_process(None);
                }
            }
            Happening::HoldFile(switch) => {
                self.switch = switch;
                if self.watches_file {
                    self.answers.push_back(Event::HoldFile(switch));
                }
            }
            Happening::Leap(by) => {
                self.leaps = true;
                self.now = self.now.after(by);
            }
            Happening::Answers(task, number, answer) => self.answers(task, number, answer),
            Happening::Connect => self.connect(),
            Happening::Asks => self.answers.push_back(Event::Asked(Client(0), Depth::History)),
        }
    }

    fn is_to_be_kept(&self, pid: i32, status: Status) -> bool {
        let process = self.processes.get(&pid);
        let may_be = |id: ProgramId| Some(id) == self.plan.main || self.rules(id).essential;
        let is_kept = process.is_some_and(|process| process.frozen != Frozen::No);
        let is_killed = matches!(status, Status::Killed { signal: Signal::KILL, .. });
        let is_failure = status != Status::Exited(0) && !is_killed;
        is_kept
            || self.freezes && is_failure && process.and_then(|process| process.program).is_some_and(may_be)
    }

    /// The first process that is kept at its end and not told.
    fn tell_frozen(&mut self) -> Option<Event> {
        let (pid, status) = self.processes.iter().find_map(|(pid, process)| match process.frozen {
            Frozen::Untold(status) => Some((*pid, status)),
            Frozen::No | Frozen::Told(_) | Frozen::Thawed => None,
        })?;
        self.processes.get_mut(&pid).expect("just found").frozen = Frozen::Told(status);
        self.undecided = Some(pid);
        Some(Event::Frozen { pid: Pid(pid), status, memory: None })
    }

    /// It was not let go at once, so it counts as gone.
    fn keep_undecided(&mut self) {
        let Some(pid) = self.undecided.take() else { return };
        let process = self.processes.get_mut(&pid).expect("it is kept");
        let Frozen::Told(status) = process.frozen else { return };
        process.kept = process.program.take();
        if let Some(id) = process.kept {
            self.note_end(id, status);
        }
    }

    fn thaw(&mut self, pid: i32) {
        let frozen = self.processes.get(&pid).map(|process| process.frozen);
        let Some(Frozen::Told(status)) = frozen else {
            return self.check(false, "what is not kept at its end was let go");
        };
        self.processes.get_mut(&pid).expect("just found").frozen = Frozen::Thawed;
        let delay = self.random.pick(&[Duration::ZERO, Duration::from_millis(1), Duration::from_millis(700)]);
        self.put(delay, Happening::Gone(pid, status));
    }

    /// A process is kept at its end for a hold alone, and while one may come.
    fn check_frozen(&mut self) {
        self.keep_undecided();
        let is_kept = self.processes.values().any(|process| matches!(process.frozen, Frozen::Told(_)));
        let may_be =
            self.plan.hold.is_possible() && self.stop_at.is_none() && !self.is_ending && !self.restarts;
        self.check(!is_kept || may_be, "a process is kept at its end for nothing");
    }

    fn reap(&mut self) -> Event {
        if let Some(event) = self.tell_frozen() {
            return event;
        }
        let Some((pid, status)) = self.processes.iter().find_map(|(pid, p)| Some((*pid, p.zombie?))) else {
            self.is_reaping = false;
            return Event::Reaped { alone: self.processes.is_empty() };
        };
        let process = self.processes.remove(&pid).expect("just found");
        if let Some((task, number)) = process.command {
            return self.command_ended(task, number, status).unwrap_or_else(|| self.reap());
        }
        self.zombie = Some(pid);
        self.zombie_was_killed = process.program.is_some_and(|id| self.known[id.0].killed);
        if let Some(id) = process.program {
            self.note_end(id, status);
        }
        Event::Exited { pid: Pid(pid), status, memory: None }
    }

    /// The configuration as somebody has changed it meanwhile.
    fn edited(&mut self) -> Reloaded {
        let mut plan = self.plan.clone();
        let mut changed = Vec::new();
        // From the last on, so that a whole chain may go at once.
        for index in (0..plan.programs.len()).rev() {
            let is_needed = Some(ProgramId(index)) == plan.main
                || plan
                    .programs
                    .iter()
                    .any(|other| !other.is_retired && other.after.iter().any(|(on, _)| on.0 == index));
            let program = &mut plan.programs[index];
            match self.random.below(8) {
                0 if !is_needed && !program.is_retired => {
                    *program = Program { is_retired: true, ..Program::once(&program.name) };
                }
                1 if !program.is_retired => {
                    program.stopwaitsecs = Some(self.random.pick(&[SECOND, SECOND * 7]));
                }
                2 if !program.is_retired => changed.push(ProgramId(index)),
                3 if !program.is_retired && self.is_equipped => tasks::equip(&mut self.random, program),
                _ => {}
            }
        }
        if self.random.one_in(2) {
            let index = plan.programs.len();
            let mut new = rules(&mut self.random, &format!("p{index}"), 0, index);
            new.after.retain(|(on, _)| !plan.programs[on.0].is_retired);
            if self.is_equipped {
                tasks::equip(&mut self.random, &mut new);
            }
            plan.programs.push(new);
            plan.order.push(ProgramId(index));
        }
        Reloaded { plan, changed, client: None }
    }

    // --- the invariants

    fn check(&self, holds: bool, what: &str) {
        check(holds, what, &self.plan, &self.trace);
    }

    fn rules(&self, id: ProgramId) -> &Program {
        self.plan.program(id)
    }

    /// Whether it is there; `doubt` where that is not known.
    fn is_met(&self, on: ProgramId, condition: Condition, doubt: bool) -> bool {
        match condition {
            Condition::Started => self.has_started(on, doubt),
            Condition::Ready => self.is_ready(on, doubt),
            Condition::Completed => {
                self.known[on.0].has_completed || (doubt && self.known[on.0].may_have_completed)
            }
        }
    }

    fn note_spawn(&mut self, id: ProgramId) {
        let (known, rules) = (self.known[id.0].clone(), self.rules(id).clone());
        self.check(known.pid.is_none(), "a program was started that runs");
        let is_kept = self.processes.values().any(|process| process.kept == Some(id));
        self.check(
            !is_kept,
            "a program was started beside its last process, which is kept or on its way out",
        );
        self.check_nothing_is_under_way(id);
        self.check(!rules.is_retired, "a program was started that is gone");
        self.check(!self.is_ending, "a program was started during the end");
        let met = rules.after.iter().all(|(on, condition)| self.is_met(*on, *condition, true));
        self.check(met, "a program was started before what it comes after");
        let has_delay = rules.restart_delay.is_some() || rules.backoff.growth.is_some();
        if let Some(last) = known.spawned_at
            && !has_delay
            && known.restart_by.is_some()
        {
            self.check(self.now.since(last) >= SECOND, "two starts were less than a second apart");
        }
        if let Some(due) = known.restart_by {
            self.check(self.now >= due, "a program was started again before its time");
        }
        if std::mem::take(&mut self.restarts) {
            (self.killed_at, self.swept_at, self.gave_up) = (None, None, false);
        }
        let known = &mut self.known[id.0];
        known.restart_by = None;
        known.spawned_at = Some(self.now);
        (known.told_at, known.killed, known.is_ready) = (None, false, false);
        (known.is_due, known.is_over, known.patience) = (false, false, None);
        known.timed_out = false;
        known.life = Life::new(&rules);
        self.open_sockets(id);
    }

    /// By the rules: what follows from an end.
    fn note_end(&mut self, id: ProgramId, status: Status) {
        let rules = self.rules(id).clone();
        let (now, is_ending) = (self.now, self.is_ending);
        let code = match status {
            Status::Exited(code) => code,
            Status::Killed { signal, .. } => signal.exit_code(),
        };
        let known = &mut self.known[id.0];
        let lived = known.spawned_at.map_or(Duration::ZERO, |at| now.since(at));
        let is_expected = matches!(status, Status::Exited(code) if rules.exitcodes.contains(&code));
        let was_told = known.told_at.is_some() || known.life.pre_stop_at.is_some();
        known.pid = None;
        known.is_ready = false;
        known.code = Some(code);
        known.restart_by = None;
        if std::mem::take(&mut known.is_renewed) {
            known.failures = 0;
            known.is_due = !rules.is_retired;
            return;
        }
        if known.life.failed.is_some() && !is_ending {
            if !known.life.is_running {
                return self.note_failed_start(id);
            }
            known.failures = 0;
            return self.note_restart(id, rules.autorestart != AutoRestart::Never);
        }
        if std::mem::take(&mut known.timed_out) && !is_ending {
            return self.note_failed_start(id);
        }
        if was_told {
            known.failures = 0;
            return;
        }
        let had_started = match rules.kind {
            Kind::Program { startsecs } => lived >= startsecs,
            Kind::Step { .. } => is_expected,
        };
        if had_started {
            known.failures = 0;
            known.may_have_completed |= is_expected;
            let wants = match rules.autorestart {
                AutoRestart::Never => false,
                AutoRestart::Unexpected => !is_expected,
                AutoRestart::Always => true,
            };
            // What has been restarted too often may be FATAL now.
            known.has_completed |= is_expected && !(wants && rules.restart_limit.is_some());
            self.note_restart(id, wants);
        } else {
            self.note_failed_start(id);
        }
    }

    /// What was RUNNING has ended.
    fn note_restart(&mut self, id: ProgramId, is_wanted: bool) {
        let rules = self.rules(id).clone();
        let (now, known) = (self.now, &mut self.known[id.0]);
        known.is_over = !is_wanted;
        if is_wanted && rules.restart_limit.is_none() && rules.backoff.growth.is_none() {
            let delay = match rules.restart_delay {
                Some(delay) => now.after(delay),
                None => known.spawned_at.map_or(now, |at| at.after(SECOND)).max(now),
            };
            known.restart_by = Some(delay);
        }
    }

    fn note_failed_start(&mut self, id: ProgramId) {
        let rules = self.rules(id).clone();
        let now = self.now;
        let known = &mut self.known[id.0];
        known.failures += 1;
        let failures = known.failures;
        if failures <= rules.startretries {
            if rules.restart_limit.is_none() && rules.backoff.growth.is_none() {
                known.restart_by = Some(now.after((SECOND * failures).min(rules.backoff.max)));
            }
        } else {
            known.failures = 0;
            known.is_over = true;
        }
    }

    fn check_signal(&mut self, target: Target, signal: Signal) {
        match target {
            Target::Group(Pid(pid)) if self.zombie == Some(pid) => {
                self.check(signal == Signal::KILL, "a zombie's group got something else than SIGKILL");
                let may = !self.is_ending || self.zombie_was_killed;
                self.check(may, "a group was killed although the end sees to it");
            }
            Target::Process(Pid(pid)) | Target::Group(Pid(pid)) => {
                let id = self.processes.get(&pid).and_then(|process| process.program);
                self.check(id.is_some(), "a signal went to a process that is gone or no program's");
                let Some(id) = id else { return };
                self.check_signal_to(id, target, signal);
                self.deliver(pid, signal);
            }
            Target::Strays if self.restarts => self.check_sweep(signal),
            Target::Everyone => self.check_sweep(signal),
            Target::Strays => {
                let is_stray = |process: &Process| process.program.is_none() && process.command.is_none();
                let strays = self.processes.iter().filter(|(_, process)| is_stray(process));
                for pid in strays.map(|(pid, _)| *pid).collect::<Vec<_>>() {
                    self.deliver(pid, signal);
                }
            }
        }
    }

    /// What is left is asked to end, or killed.
    fn check_sweep(&mut self, signal: Signal) {
        if signal == Signal::KILL {
            self.check(self.killed_at.is_none(), "SIGKILL went to everyone twice");
            self.killed_at = Some(self.now);
        } else {
            self.is_ending |= !self.restarts;
            self.note_drain_over(None);
            let lives = self.known.iter().any(|known| known.pid.is_some());
            self.check(!lives, "what is left was swept while programs were running");
            self.swept_at.get_or_insert(self.now);
        }
        for pid in self.processes.keys().copied().collect::<Vec<_>>() {
            self.deliver(pid, signal);
        }
    }

    fn check_signal_to(&mut self, id: ProgramId, target: Target, signal: Signal) {
        let (rules, known) = (self.rules(id).clone(), self.known[id.0].clone());
        let is_group = matches!(target, Target::Group(_));
        if signal == Signal::KILL {
            self.check(!known.killed, "SIGKILL went out twice");
            self.check(is_group == rules.killasgroup, "SIGKILL went to the wrong target");
            self.check(known.told_at.is_some(), "a program was killed that had not been told to end");
            let waited = known.told_at.map_or(Duration::ZERO, |at| self.now.since(at));
            // A reload may have changed it since; a short grace period cuts it.
            let wait = rules.stopwaitsecs.unwrap_or(Duration::MAX).min(SECOND);
            let may_be_cut = self.is_ending;
            self.check(
                waited >= wait || may_be_cut,
                "a program was killed before its stopwaitsecs were over",
            );
            self.check(
                known.patience.is_none_or(|patience| waited >= patience),
                "a program was killed before its own time was over",
            );
            self.known[id.0].killed = true;
        } else if signal == Signal::CONT {
            // From outside, or for a process that was stopped.
        } else {
            self.check(known.told_at.is_none(), "a program was told to stop twice");
            self.check(is_group == rules.stopasgroup, "a stop signal went to the wrong target");
            self.check_hook_is_over(id);
            if known.life.pre_stop_at.is_none() {
                self.check_stop_begins(id);
            }
            let patience = self.patience(id);
            let known = &mut self.known[id.0];
            (known.told_at, known.is_ready, known.patience) = (Some(self.now), false, patience);
        }
    }

    fn check_stop_begins(&self, id: ProgramId) {
        let known = &self.known[id.0];
        if self.is_ending && !known.timed_out && known.life.failed.is_none() {
            let late = self.plan.programs.iter().enumerate().find(|(index, other)| {
                self.known[*index].pid.is_some() && other.after.iter().any(|(on, _)| *on == id)
            });
            self.check(late.is_none(), "a program was told to stop before one that comes after it was gone");
        }
    }

    fn note_event(&mut self, event: &Event) {
        self.trace.push(format!("{:?} event {event:?}", self.now));
        if let Event::Signal(signal, _) = event
            && matches!(self.plan.meaning(*signal), Meaning::Stop(_))
        {
            self.stop_at.get_or_insert(self.now);
            self.note_stop_signal();
        }
        if let Event::Refused(id, refusal) = event {
            self.known[id.0].code = Some(refusal.code);
            self.note_failed_start(*id);
        }
        self.note_task_event(event);
        if let Event::Ready(id) = event
            && !self.known[id.0].life.has_tasks()
        {
            // What has been told to end is no longer ready, whatever it says.
            self.known[id.0].is_ready = !self.is_stopping(*id);
        }
        if *event == Event::Tick {
            if self.last_tick == Some(self.now) {
                self.tick_repeats += 1;
                self.check(self.tick_repeats < 5, "the loop spins on a deadline that does not move");
            } else {
                self.tick_repeats = 0;
            }
            self.last_tick = Some(self.now);
        }
    }

    /// Nobody is forgotten: before the clock moves on, what was due has happened.
    fn check_nobody_is_forgotten(&self) {
        if self.is_ending || self.stop_at.is_some() || self.is_held || self.restarts {
            return;
        }
        for (index, known) in self.known.iter().enumerate() {
            let rules = &self.plan.programs[index];
            let met = rules.after.iter().all(|(on, condition)| self.is_met(*on, *condition, false));
            let is_late = known.restart_by.is_some_and(|due| due < self.now);
            self.check(
                !is_late || !met || known.pid.is_some() || rules.is_retired,
                &format!("p{index} was not started again"),
            );
            let waits_in_vain = known.spawned_at.is_none() && rules.autostart && !rules.is_retired && met;
            self.check(!waits_in_vain, &format!("p{index} was never started"));
        }
    }

    fn check_end(&self, code: u8) {
        self.check_tasks_at_the_end();
        let is_kept = self.processes.values().any(|process| matches!(process.frozen, Frozen::Told(_)));
        self.check(!is_kept, "it ended with a process kept at its end");
        let left = !self.processes.is_empty();
        self.check(!left || self.gave_up, "it ended with processes left and did not say so");
        if self.gave_up {
            let since = self.killed_at.map(|at| self.now.since(at));
            self.check(since.is_some_and(|since| since >= SECOND), "it gave up less than 1s after SIGKILL");
        }
        if let (Grace::Set(_), Some(stop), false) = (self.plan.grace, self.stop_at, self.leaps) {
            let bound = self.plan.grace.budget() + SECOND;
            self.check(
                self.now.since(stop) <= bound || self.is_held,
                "the stop took longer than the grace period",
            );
        }
        self.check(
            self.reports.iter().all(|told| *told == code && code != 0),
            "the message is not the one of this end",
        );
        let main = self.plan.main.map(|main| &self.known[main.0]);
        match main {
            // Asked to stop, with main running: its own code, whatever else happened.
            Some(Known { spawned_at: Some(_), told_at: Some(told), code: Some(own), life, .. })
                if self.stop_at.is_some_and(|stop| stop <= *told) && life.failed.is_none() =>
            {
                let own = if self.plan.remap_exit.contains(own) { 0 } else { *own };
                let others_failed = self.plan.programs.iter().any(|program| program.essential);
                self.check(code == own || others_failed || self.gave_up, "the exit code is not main's");
            }
            Some(Known { spawned_at: None, .. }) => self.check(
                code != 0
                    || !self.plan.remap_exit.is_empty()
                    || self.plan.programs.iter().any(|p| p.essential),
                "main never ran, and it is a success",
            ),
            Some(_) | None => {}
        }
    }
}

fn number(name: &str) -> ProgramId {
    ProgramId(name[1..].parse().expect("p and a number"))
}

impl Kernel for Day {
    fn now(&self) -> Time {
        self.now
    }

    fn perform(&mut self, effect: Effect) {
        self.trace.push(format!("{:?} effect {effect:?}", self.now));
        if !matches!(effect, Effect::Thaw(Pid(pid)) if self.undecided == Some(pid)) {
            self.keep_undecided();
        }
        match effect {
            Effect::Spawn(id) => {
                self.note_spawn(id);
                if self.random.one_in(10) {
                    let code = self.random.pick(&[126, 127, 111]);
                    let refusal = Refusal { code, reason: "cannot execute `x`: it is simulated".to_owned() };
                    self.answers.push_back(Event::Refused(id, refusal));
                    return;
                }
                let pid = self.start_process(Some(id));
                self.known[id.0].pid = Some(pid);
                let rules = self.rules(id).clone();
                match (rules.readiness, rules.kind) {
                    (Readiness::Running, Kind::Program { startsecs }) if startsecs.is_zero() => {
                        self.known[id.0].is_ready = !self.known[id.0].life.has_tasks();
                    }
                    (Readiness::Notify, _) => {
                        let after = self.random.span(SECOND * 5);
                        self.put(after, Happening::Ready(pid));
                    }
                    (Readiness::Running | Readiness::Descriptor(_), _) => {}
                }
                self.answers.push_back(Event::Spawned(id, Pid(pid)));
            }
            Effect::Signal(target, signal, _) => self.check_signal(target, signal),
            Effect::Thaw(Pid(pid)) => {
                self.undecided = None;
                self.thaw(pid);
            }
            Effect::Reap => self.is_reaping = true,
            Effect::Reload(_) => {
                self.check(!self.is_ending && self.stop_at.is_none(), "it was read again during the end");
                let reloaded = self.edited();
                for (index, rules) in reloaded.plan.programs.iter().enumerate() {
                    let old = self.plan.programs.get(index);
                    if old.is_none() {
                        self.known.push(Known::default());
                    } else if old != Some(rules) || reloaded.changed.contains(&ProgramId(index)) {
                        // Whatever it was about to do, it begins anew.
                        let known = &mut self.known[index];
                        (known.restart_by, known.failures, known.timed_out) = (None, 0, false);
                        known.is_renewed = known.pid.is_some();
                        known.life.failed = None;
                        if known.pid.is_none() {
                            known.has_started = false;
                            (known.has_completed, known.may_have_completed) = (false, false);
                        }
                    }
                }
                let mut plan = reloaded.plan.clone();
                for (rules, old) in plan.programs.iter_mut().zip(&self.plan.programs) {
                    if rules.is_retired {
                        *rules = Program { is_retired: true, ..old.clone() };
                    }
                }
                self.plan = plan;
                self.answers.push_back(Event::Reloaded(Box::new(reloaded)));
            }
            Effect::ReadHoldFile => self.answers.push_back(Event::HoldFile(self.switch)),
            Effect::WatchHoldFile(watch) => self.watches_file = watch,
            Effect::AnnounceHold { report, .. } => {
                self.known[report.id.0].failures = 0; // should it be started again, it begins anew
                self.check(self.stop_at.is_none(), "it was held after a stop signal");
                self.is_held = true;
                if self.plan.hold.sidecars == Sidecars::Stop {
                    self.hush_but_not_up();
                    for known in &mut self.known {
                        known.life.failed = None;
                    }
                    for known in self.known.iter_mut().filter(|known| known.pid.is_none()) {
                        (known.restart_by, known.failures) = (None, 0); // it is stopped, and begins anew
                    }
                }
            }
            Effect::Report(report) => self.reports.push(report.code),
            Effect::Begin(task) => self.begin(task),
            Effect::Abandon(task) => self.abandon(task),
            Effect::Unlisten(id) => self.unlisten(id),
            Effect::WatchConnections(watch) => self.watch_connections(watch),
            Effect::Tell(_, snapshot) => self.check_told(&snapshot),
            Effect::LetGo => self.check(self.plan.lets_go, "what a second start needs was let go"),
            Effect::Say(Notice::Bug(what)) => self.check(false, what),
            Effect::Say(Notice::Running { program }) => {
                let id = number(&program);
                self.note_running(id);
                let is_ready = self.rules(id).readiness == Readiness::Running;
                let known = &mut self.known[id.0];
                known.failures = 0;
                known.is_ready |= is_ready && !known.life.has_tasks();
            }
            Effect::Say(Notice::Ready { program }) => {
                let id = number(&program);
                if self.known[id.0].life.has_tasks() {
                    self.note_ready(id);
                }
            }
            Effect::Say(Notice::NotReady { program, .. }) => self.note_not_ready(number(&program)),
            Effect::Say(
                Notice::ProbeFailed { program, role, .. } | Notice::HookFailed { program, role, .. },
            ) => {
                self.note_failed(number(&program), role);
            }
            Effect::Say(Notice::HookBegun { program, role }) => self.note_hook_begun(number(&program), role),
            Effect::Say(Notice::StopRequested { drain: Some(delay), quiet, .. }) => {
                self.note_drain(delay, quiet);
            }
            Effect::Say(Notice::TimedOut { program }) => {
                self.known[number(&program).0].timed_out = true;
            }
            Effect::Say(Notice::Released(why)) => {
                self.is_held = false;
                // What goes on is not swept.
                let is_alone = self.known.iter().all(|known| known.pid.is_none());
                self.restarts = matches!(why, Release::Restart(_)) && is_alone;
                for known in &mut self.known {
                    known.restart_by = None; // somebody has asked for it, and it comes when it comes
                    if self.plan.hold.sidecars == Sidecars::Stop && known.pid.is_none() {
                        known.failures = 0;
                    }
                }
                self.is_ending |= !matches!(why, Release::Restart(_));
            }
            Effect::Say(Notice::Ended(report)) if report.cause == Cause::Unkillable => {
                let known = &mut self.known[report.id.0];
                known.code = Some(Signal::KILL.exit_code());
                let abandoned = known.pid.take().and_then(|pid| self.processes.get_mut(&pid));
                if let Some(process) = abandoned {
                    process.program = None; // from here on it is a stray like any other
                }
            }
            Effect::Say(Notice::GivingUp) => self.gave_up = true,
            Effect::Say(
                ref notice @ (Notice::StopRequested { drain: None, .. }
                | Notice::DrainOver(_)
                | Notice::Killing(_)
                | Notice::Over { .. }),
            ) => {
                self.note_drain_over(if let Notice::DrainOver(why) = notice { Some(*why) } else { None });
                self.is_ending |= !self.restarts || self.stop_at.is_some();
                if self.is_ending {
                    self.hush_but_not_up();
                }
            }
            Effect::Say(_)
            | Effect::Reply(..)
            | Effect::KeepCrash(..)
            | Effect::ShowHeld(_)
            | Effect::GiveTerminal(_)
            | Effect::TakeTerminal
            | Effect::StopSelf(_)
            | Effect::ReadMemory
            | Effect::Breadcrumb(_)
            | Effect::SayWhoIsLeft => {}
        }
    }

    fn next(&mut self, deadline: Option<Time>) -> Event {
        self.zombie = None;
        self.check_frozen();
        self.check_tasks();
        loop {
            self.steps += 1;
            self.check(self.steps < MOST_STEPS, "the loop does not come to an end");
            let event = if let Some(answer) = self.answers.pop_front() {
                answer
            } else if self.is_reaping {
                self.reap()
            } else if let Some(signal) = self.received.pop_front() {
                Event::Signal(signal, Sender { pid: 0, uid: 0, value: None })
            } else if deadline.is_some_and(|deadline| deadline <= self.now) {
                if !std::mem::replace(&mut self.is_tick_due, false) {
                    self.is_tick_due = true;
                    self.is_reaping = true;
                    continue;
                }
                Event::Tick
            } else {
                self.is_tick_due = false;
                self.check_nobody_is_forgotten();
                self.check_no_task_is_forgotten();
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
            self.note_event(&event);
            return event;
        }
    }
}

fn live(seed: u64) -> Day {
    let mut day = Day::new(seed);
    let mut supervisor = Supervisor::new(day.plan.clone());
    let code = runtime::run(&mut supervisor, &mut day);
    day.check_end(code);
    day
}

#[test]
fn no_day_breaks_an_invariant() {
    live_all(live, |day| format!("{:#?}\n{}", day.plan, day.trace.join("\n")));
}

#[test]
fn the_days_are_bad_enough() {
    let marks = [
        ("held", "AnnounceHold"),
        ("started again", "Released(Restart"),
        ("drained", "DrainOver"),
        ("killed", "Say(Killing("),
        ("killed one", "Say(KillingProgram"),
        ("gave up", "GivingUp"),
        ("refused", "event Refused"),
        ("waited for each other", "WaitsFor"),
        ("held up", "HoldsUp"),
        ("ready", "Say(Ready"),
        ("timed out", "TimedOut"),
        ("backed off", "retry: Some("),
        ("restarted", "retry: None"),
        ("fatal", "RetriesUsed(3"),
        ("restarted too often", "TooManyRestarts"),
        ("reloaded", "event Reloaded"),
        ("strays killed", "Signal(Strays"),
        ("group killed", "Signal(Group"),
        ("swept", "Signal(Everyone, SIGTERM"),
        ("out of grace", "by_us: Some(TimeOver)"),
        ("out of patience", "by_us: Some(StopWait)"),
        ("leapt", "Leap"),
        ("probe failed", "Say(ProbeFailed"),
        ("hook failed", "Say(HookFailed"),
        ("not ready", "Say(NotReady"),
        ("probe timed out", "no answer within"),
        ("hook timed out", "it took too long"),
        ("impossible", "Say(ProbeImpossible"),
        ("unlistened", "effect Unlisten"),
        ("quiet", "DrainOver(Quiet("),
        ("never quiet", "DrainOver(Budget)"),
        ("connected", "event Connected"),
        ("told", "effect Tell("),
        ("frozen", "event Frozen"),
        ("thawed", "effect Thaw"),
    ];
    assert_bad_enough(&marks, (0..3000).map(|seed| live(seed).trace.join("\n")));
}
