//! One program, as exec mode has it: signals, the drain, the hold and the end.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sexton::effect::{Breadcrumb, Effect, Target};
use sexton::event::{Event, Memory, Pid, Sender, Switch};
use sexton::kernel::Kernel;
use sexton::notice::{Notice, Release};
use sexton::outcome::{Refusal, Status};
use sexton::plan::{
    Drain, Grace, Hold, HoldOn, Meaning, Pause, Plan, Program, ProgramId, Sidecars, Wait, Word,
};
use sexton::runtime;
use sexton::signal::Signal;
use sexton::supervisor::Supervisor;
use sexton::time::Time;

use crate::random::Random;
use crate::{assert_bad_enough, check, live_all};

/// More steps than any day needs: beyond it the loop spins.
const MOST_STEPS: usize = 200_000;

/// A process of the simulated container.
#[derive(Clone, Debug)]
struct Process {
    is_main: bool,
    /// What it does with a signal that would end it: ends that much later; None ignores it.
    heeds: Option<Duration>,
    /// The status it ends with when it heeds a signal; None is by the signal itself.
    farewell: Option<u8>,
    /// Not even SIGKILL ends it before this.
    stuck_until: Time,
    /// It has ended and waits to be reaped.
    zombie: Option<Status>,
    frozen: Frozen,
}

/// Whether a process is kept at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frozen {
    /// It runs, or is gone.
    No,
    /// It is, and nobody has been told.
    Untold(Status),
    /// It is.
    Told(Status),
    /// It is on its way out.
    Thawed,
}

/// What the day has in store.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Signal(Signal),
    Ends(i32, Status),
    /// What was kept at its end is gone.
    Gone(i32, Status),
    Orphan,
    HoldFile(Switch),
    Memory(bool),
    Pause,
    /// Three stop signals at once.
    Impatience,
    Leap(Duration),
}

/// The simulated kernel, and the second account.
struct Day {
    random: Random,
    plan: Plan,
    now: Time,
    /// By time, then by the order in which they were planned.
    ahead: BTreeMap<(Time, u64), Happening>,
    planned: u64,
    processes: BTreeMap<i32, Process>,
    next_pid: i32,
    answers: VecDeque<Event>,
    received: VecDeque<(Signal, Sender)>,
    is_reaping: bool,
    is_tick_due: bool,
    /// Who fails is kept at its end.
    freezes: bool,
    switch: Switch,
    watches_file: bool,
    steps: usize,
    trace: Vec<String>,
    account: Account,
}

/// What the invariants are checked against.
#[derive(Default)]
struct Account {
    main: Option<i32>,
    main_since: Time,
    /// When main's last end was told, and the code it stands for.
    main_end: Option<(Time, u8)>,
    stop_at: Option<Time>,
    stops: u32,
    /// Stop signals that main has to get, after the drain.
    undelivered: Vec<Signal>,
    /// Stop signals that came while main was running.
    heard_stops: u32,
    /// What main left behind was asked to end.
    swept: bool,
    /// What is left is swept so that main can start again.
    restarts: bool,
    /// Main was stopped by Ctrl-Z, and nobody above us will continue it.
    paused: bool,
    /// The terminal is main's.
    given: bool,
    /// The last child is gone, and nothing is left to wait for.
    must_end: bool,
    /// Other signals that main has to get, at once.
    owed: Vec<Signal>,
    killed_at: Option<Time>,
    holding_since: Option<Time>,
    reports: Vec<u8>,
    breadcrumb: bool,
    gave_up: bool,
    /// At this end or an earlier one.
    had_given_up: bool,
    last_tick: Option<Time>,
    /// When main was out of the way and the end could begin.
    over_at: Option<Time>,
    spawns: usize,
    /// The file could last be read since main ended.
    asked_file: bool,
    tick_repeats: u32,
}

fn plan(random: &mut Random) -> Plan {
    let stop_on = random.pick(&[vec![Signal::TERM, Signal::INT], vec![Signal::QUIT], vec![Signal::TERM]]);
    let mut signals = [Meaning::Ignore; Signal::SLOTS];
    for signal in Signal::all().filter(|signal| !signal.is_uncatchable() && *signal != Signal::CHLD) {
        signals[signal.index()] = if stop_on.contains(&signal) {
            let word = Word::Pass(random.pick(&[signal, Signal::QUIT]));
            Meaning::Stop(if random.one_in(20) { Word::Nothing } else { word })
        } else {
            Meaning::Forward(signal)
        };
    }
    let grace = Duration::from_secs(random.pick(&[0, 1, 2, 10, 30]));
    let grace = if random.one_in(2) { Grace::Set(grace) } else { Grace::Assumed(Duration::from_secs(10)) };
    let drain = random.pick(&[Duration::ZERO, Duration::from_millis(500), Duration::from_secs(5)]);
    let fits = matches!(grace, Grace::Assumed(_)) || drain < grace.budget();
    let hold = Hold {
        on: random.pick(&[HoldOn::Never, HoldOn::Never, HoldOn::Failure, HoldOn::Always]),
        limit: random.pick(&[None, Some(Duration::from_mins(1)), Some(Duration::ZERO)]),
        file: random.one_in(3),
        sidecars: Sidecars::Keep,
    };
    Plan {
        programs: vec![{
            let group = random.one_in(2);
            Program { signal_group: group, stopasgroup: group, ..Program::once("main") }
        }],
        remap_exit: random.pick(&[vec![], vec![143], vec![1, 2]]),
        order: vec![ProgramId(0)],
        main: Some(ProgramId(0)),
        signals,
        wait: random.pick(&[Wait::Main, Wait::Main, Wait::All]),
        keeps_records: false,
        lets_go: !hold.is_possible(),
        hold,
        drain: Drain { delay: if fits { drain } else { Duration::ZERO }, ..Drain::default() },
        grace,
        pause: random.pick(&[Pause::Follow, Pause::Refuse, Pause::Leave]),
        warn_on_reap: random.one_in(4),
    }
}

impl Day {
    fn new(seed: u64) -> Day {
        let mut random = Random(seed);
        let plan = plan(&mut random);
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
            freezes: seed % 2 == 1,
            switch: Switch::Silent,
            watches_file: false,
            steps: 0,
            trace: Vec::new(),
            account: Account::default(),
        };
        let morning = Duration::from_secs(100);
        for _ in 0..day.random.below(12) {
            let happening = day.happening();
            let at = day.random.span(morning);
            day.plan_for(at, happening);
        }
        // However the day goes, it is asked to end, again and again.
        for evening in 1..=40 {
            let stop = Signal::all().find(|signal| matches!(day.plan.meaning(*signal), Meaning::Stop(_)));
            day.plan_for(
                Duration::from_secs(evening * 3000),
                Happening::Signal(stop.expect("a stop signal")),
            );
        }
        day
    }

    fn happening(&mut self) -> Happening {
        let signals =
            [Signal::TERM, Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::CONT, Signal::PIPE];
        match self.random.below(13) {
            12 => Happening::Impatience,
            0..=4 => Happening::Signal(self.random.pick(&signals)),
            5 | 6 => Happening::Orphan,
            7 | 8 => Happening::HoldFile(self.random.pick(&[Switch::On, Switch::Off, Switch::Silent])),
            9 => Happening::Memory(self.random.one_in(2)),
            10 => Happening::Pause,
            _ => Happening::Leap(self.random.span(Duration::from_secs(200))),
        }
    }

    fn plan_for(&mut self, after: Duration, happening: Happening) {
        self.planned += 1;
        self.ahead.insert((self.now.after(after), self.planned), happening);
    }

    fn status(&mut self) -> Status {
        let code = self.random.pick(&[0, 0, 1, 2, 3, 127, 137, 255]);
        let signal = self.random.pick(&[Signal::KILL, Signal::TERM, Signal::QUIT]);
        if self.random.one_in(4) { Status::Killed { signal, core: false } } else { Status::Exited(code) }
    }

    fn start_process(&mut self, is_main: bool) -> i32 {
        let pid = self.next_pid;
        self.next_pid += 1;
        let second = Duration::from_secs(1);
        let process = Process {
            is_main,
            heeds: if self.random.one_in(4) { None } else { Some(self.random.span(second * 20)) },
            farewell: self.random.pick(&[None, None, Some(0), Some(143), Some(1)]),
            stuck_until: if self.random.one_in(20) {
                self.now.after(self.random.span(second * 400))
            } else {
                Time::default()
            },
            zombie: None,
            frozen: Frozen::No,
        };
        self.processes.insert(pid, process);
        let status = self.status();
        let lifetime = self.random.pick(&[second / 100, second * 10, second * 100, second * 5000]);
        let lifetime = self.random.span(lifetime);
        self.plan_for(lifetime, Happening::Ends(pid, status));
        pid
    }

    /// The kernel's side of kill(2). What is at its end gets nothing more.
    fn deliver(&mut self, pid: i32, signal: Signal) {
        let gets = |process: &&Process| process.zombie.is_none() && process.frozen == Frozen::No;
        let Some(process) = self.processes.get(&pid).filter(gets).cloned() else { return };
        let by_signal = Status::Killed { signal, core: false };
        if signal == Signal::KILL {
            self.plan_for(process.stuck_until.since(self.now), Happening::Ends(pid, by_signal));
        } else if [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP].contains(&signal)
            && let Some(delay) = process.heeds
        {
            let status = process.farewell.map_or(by_signal, Status::Exited);
            self.plan_for(delay.max(process.stuck_until.since(self.now)), Happening::Ends(pid, status));
        }
    }

    fn happen(&mut self, happening: Happening) {
        self.trace.push(format!("{:?} happens {happening:?}", self.now));
        match happening {
            Happening::Signal(signal) => {
                let value = self.random.one_in(8).then_some(42);
                self.received.push_back((signal, Sender { pid: 0, uid: 0, value }));
            }
            Happening::Ends(pid, status)
                if self.freezes
                    && self.account.main == Some(pid)
                    && status != Status::Exited(0)
                    && !matches!(status, Status::Killed { signal: Signal::KILL, .. }) =>
            {
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
                    // What it leaves behind comes to us.
                    if self.random.one_in(3) && self.account.killed_at.is_none() {
                        self.start_process(false);
                    }
                }
            }
            Happening::Orphan => {
                if self.account.main.is_some() {
                    self.start_process(false);
                }
            }
            Happening::HoldFile(switch) => {
                self.switch = switch;
                if self.watches_file && !self.random.one_in(4) {
                    self.answers.push_back(Event::HoldFile(switch));
                }
            }
            Happening::Memory(is_close) => {
                self.answers
                    .push_back(Event::Memory(Memory { used: if is_close { 99 } else { 10 }, limit: 100 }));
            }
            Happening::Pause => {
                if let Some(pid) = self.account.main {
                    let signal = self.random.pick(&[Signal::STOP, Signal::TSTP]);
                    self.account.paused = signal == Signal::TSTP && self.plan.pause == Pause::Refuse;
                    self.answers.push_back(Event::Paused(Pid(pid), signal));
                }
            }
            Happening::Impatience => {
                let stop =
                    Signal::all().find(|signal| matches!(self.plan.meaning(*signal), Meaning::Stop(_)));
                for signal in stop.into_iter().cycle().take(3) {
                    self.received.push_back((signal, Sender { pid: 0, uid: 0, value: None }));
                }
            }
            Happening::Leap(by) => self.now = self.now.after(by),
        }
    }

    /// The first process that is kept at its end and not told.
    fn tell_frozen(&mut self) -> Option<Event> {
        let (pid, status) = self.processes.iter().find_map(|(pid, process)| match process.frozen {
            Frozen::Untold(status) => Some((*pid, status)),
            Frozen::No | Frozen::Told(_) | Frozen::Thawed => None,
        })?;
        self.processes.get_mut(&pid).expect("just found").frozen = Frozen::Told(status);
        Some(Event::Frozen { pid: Pid(pid), status, memory: None })
    }

    fn thaw(&mut self, pid: i32) {
        let frozen = self.processes.get(&pid).map(|process| process.frozen);
        let Some(Frozen::Told(status)) = frozen else {
            return self.check(false, "what is not kept at its end was let go");
        };
        self.processes.get_mut(&pid).expect("just found").frozen = Frozen::Thawed;
        let delay = self.random.pick(&[Duration::ZERO, Duration::from_millis(1), Duration::from_millis(700)]);
        self.plan_for(delay, Happening::Gone(pid, status));
    }

    /// A process is kept at its end for a hold alone, and while one may come.
    fn check_frozen(&mut self) {
        let kept = self.processes.iter().find(|(_, process)| matches!(process.frozen, Frozen::Told(_)));
        let Some((pid, _)) = kept.map(|(pid, process)| (*pid, process.clone())) else { return };
        let may_be = self.plan.hold.is_possible() && self.account.stop_at.is_none() && !self.account.swept;
        self.check(may_be, "a process is kept at its end for nothing");
        if self.account.main == Some(pid) {
            // It was not let go, so it counts as gone.
            self.account.main = None;
            let Frozen::Told(status) = self.processes[&pid].frozen else { return };
            self.account.main_end = Some((self.now, self.code(status)));
        }
    }

    fn reap(&mut self) -> Event {
        if let Some(event) = self.tell_frozen() {
            return event;
        }
        let Some((pid, status)) = self.processes.iter().find_map(|(pid, p)| Some((*pid, p.zombie?))) else {
            self.is_reaping = false;
            let alone = self.processes.is_empty();
            if self.account.main_end.is_some()
                && self.account.over_at.is_none()
                && (alone || self.plan.wait == Wait::Main)
            {
                self.account.over_at = Some(self.now);
            }
            let is_ending = self.account.stop_at.is_some() || (self.account.swept && !self.account.restarts);
            self.account.must_end = alone && is_ending && self.account.main_end.is_some();
            return Event::Reaped { alone };
        };
        let process = self.processes.remove(&pid).expect("just found");
        if process.is_main && self.account.main == Some(pid) {
            self.account.main = None;
            self.account.main_end = Some((self.now, self.code(status)));
        }
        Event::Exited { pid: Pid(pid), status, memory: None }
    }

    /// The exit code that a status stands for, told in our own words.
    fn code(&self, status: Status) -> u8 {
        let code = match status {
            Status::Exited(code) => code,
            Status::Killed { signal, .. } => 128 + u8::try_from(signal.number()).expect("a small number"),
        };
        if self.plan.remap_exit.contains(&code) { 0 } else { code }
    }

    // --- the invariants

    fn check(&self, holds: bool, what: &str) {
        check(holds, what, &self.plan, &self.trace);
    }

    fn check_signal(&mut self, target: Target, signal: Signal) {
        match target {
            Target::Process(Pid(pid)) | Target::Group(Pid(pid)) => {
                self.check(
                    self.processes.contains_key(&pid),
                    "a signal went to a process that has been reaped",
                );
                self.check(self.account.main == Some(pid), "a signal went to a process that is not main");
                let is_group = matches!(target, Target::Group(_));
                let wants_group = self.plan.programs[0].signal_group
                    || ((self.plan.pause == Pause::Follow || self.account.paused) && signal == Signal::CONT);
                self.check(is_group == wants_group, "a signal went to the wrong target");
                self.check(signal != Signal::KILL, "SIGKILL went to main alone");
                self.check_forwarded(signal);
                self.deliver(pid, signal);
            }
            // Here all are below us: nobody has come from outside.
            Target::Strays | Target::Everyone => {
                if signal == Signal::KILL {
                    self.check_kill();
                    self.account.killed_at = Some(self.now);
                } else {
                    self.check(self.account.main.is_none(), "everyone was signalled while main was running");
                    self.account.swept |= signal == Signal::TERM && self.account.over_at.is_some();
                }
                let everyone: Vec<i32> = self.processes.keys().copied().collect();
                for pid in everyone {
                    self.deliver(pid, signal);
                }
            }
        }
    }

    /// Main gets what was sent to it, once, and a stop signal only after the drain.
    fn check_forwarded(&mut self, signal: Signal) {
        let account = &mut self.account;
        if let Some(at) = account.owed.iter().position(|owed| *owed == signal) {
            account.owed.remove(at);
        } else if let Some(at) = account.undelivered.iter().position(|waiting| *waiting == signal) {
            account.undelivered.remove(at);
            let drained = account.stop_at.is_some_and(|stop| self.now.since(stop) >= self.plan.drain.delay);
            let may = drained || account.stops >= 2;
            self.check(may, "main was told to stop before the drain was over");
        } else {
            let was_paused = std::mem::take(&mut account.paused);
            let is_wakeup = signal == Signal::CONT && (account.stop_at.is_some() || was_paused);
            self.check(is_wakeup, "main got a signal that nobody sent");
        }
    }

    /// No SIGKILL before its deadline.
    fn check_kill(&self) {
        self.check(self.account.killed_at.is_none(), "SIGKILL went out twice");
        let budget = self.plan.grace.budget();
        let since_stop = self.account.stop_at.map(|stop| self.now.since(stop));
        let is_impatient = self.account.stops >= 3;
        if self.account.main.is_some() || self.account.over_at.is_none() {
            let may =
                matches!(self.plan.grace, Grace::Set(_)) && since_stop.is_some_and(|since| since >= budget);
            let may = may || (is_impatient && matches!(self.plan.grace, Grace::Set(_)));
            self.check(may, "main was killed although its time was not over");
        } else {
            self.check(self.account.swept, "what main left behind was killed without being asked");
            let since_over = self.account.over_at.map_or(Duration::ZERO, |over| self.now.since(over));
            let may = is_impatient || since_over >= budget || since_stop.is_some_and(|since| since >= budget);
            self.check(may, "what main left behind was killed although its time was not over");
            let never_rushed = matches!(self.plan.grace, Grace::Assumed(_)) && !is_impatient;
            self.check(!never_rushed || since_over >= Duration::from_secs(1), "what main left had no second");
        }
    }

    /// Told to the supervisor: an event.
    fn note_event(&mut self, event: &Event) {
        self.trace.push(format!("{:?} event {event:?}", self.now));
        self.check(self.account.owed.is_empty(), "a signal was not passed on to main");
        self.check(
            !self.account.paused || matches!(event, Event::Paused(..)),
            "main was left stopped by Ctrl-Z",
        );
        let is_given =
            self.account.given && self.account.main.is_none() && matches!(event, Event::Reaped { .. });
        self.check(!is_given, "the terminal was left to a process that is gone");
        if let Event::Signal(signal, _) = event {
            let is_heard = self.account.main.is_some() && self.account.killed_at.is_none();
            match self.plan.meaning(*signal) {
                Meaning::Forward(out) if is_heard => self.account.owed.push(out),
                Meaning::Ignore | Meaning::Forward(_) => {}
                Meaning::Reload => self.check(false, "the command line was to be read again"),
                Meaning::Stop(word) => {
                    let out = match word {
                        Word::Pass(out) => Some(out),
                        Word::Nothing | Word::StopSignal => None,
                    };
                    self.account.stops += 1;
                    self.account.stop_at.get_or_insert(self.now);
                    if is_heard {
                        self.account.heard_stops += 1;
                        // As with the kernel's own: one that waits already is not sent twice.
                        let new = out.filter(|out| !self.account.undelivered.contains(out));
                        self.account.undelivered.extend(new);
                    }
                }
            }
        }
        if *event == Event::Tick {
            if self.account.last_tick == Some(self.now) {
                self.account.tick_repeats += 1;
                self.check(self.account.tick_repeats < 5, "the loop spins on a deadline that does not move");
            } else {
                self.account.tick_repeats = 0;
            }
            self.account.last_tick = Some(self.now);
        }
        if let Event::Refused(_, refusal) = event {
            self.account.main_end = Some((self.now, refusal.code));
        }
    }

    fn check_end(&self, code: u8) {
        let expected = match self.account.main_end {
            Some((_, code)) if self.account.main.is_none() => code,
            _ => 137,
        };
        self.check(code == expected, &format!("the exit code is {code}, not {expected}"));
        self.check(self.account.main.is_none() || self.account.gave_up, "it ended while main was running");
        let is_kept = self.processes.values().any(|process| matches!(process.frozen, Frozen::Told(_)));
        self.check(!is_kept, "it ended with a process kept at its end");
        let left = !self.processes.is_empty();
        self.check(!left || self.account.gave_up, "it ended with processes left and did not say so");
        if self.account.gave_up {
            let since = self.account.killed_at.map(|at| self.now.since(at));
            self.check(
                since.is_some_and(|s| s >= Duration::from_secs(1)),
                "it gave up less than 1s after SIGKILL",
            );
        }
        let leaps = self.trace.iter().any(|line| line.contains("Leap"));
        let end_of_drain = self.account.stop_at.map(|stop| stop.after(self.plan.drain.delay));
        let in_drain = self.account.heard_stops < 2
            && (leaps || self.account.main_end.map(|(at, _)| at) <= end_of_drain);
        let is_told = self.account.undelivered.is_empty() || in_drain || self.account.killed_at.is_some();
        self.check(is_told, "main was never told to stop");
        let has_asked = self.account.asked_file || !self.plan.hold.file || self.account.stop_at.is_some();
        self.check(has_asked, "the hold file was not read when main had failed");
        // Once when main's end is known, and once more where others could have written over it.
        let told = &self.account.reports;
        let is_told_right = told.iter().all(|told| *told == code && code != 0) && told.len() <= 2;
        self.check(is_told_right && (code == 0) == told.is_empty(), "the message is not the one of this end");
        self.check(code != 0 || !self.account.breadcrumb, "a breadcrumb was left behind");
        // No stop lasts longer than it may. A leap of the clock is nobody's fault.
        if let (Grace::Set(_), Some(stop), false) = (self.plan.grace, self.account.stop_at, leaps) {
            let bound = self.plan.grace.budget() + Duration::from_secs(1);
            self.check(self.now.since(stop) <= bound, "the stop took longer than the grace period");
        }
        if let (Some(over), None, false) = (self.account.over_at, self.account.holding_since, leaps) {
            let bound = self.plan.grace.budget().max(Duration::from_secs(1)) + Duration::from_secs(1);
            self.check(self.now.since(over) <= bound, "what main left behind was waited for too long");
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
                self.check(id == ProgramId(0), "an unknown program was started");
                self.check(self.account.main.is_none(), "main was started twice");
                self.check(self.account.stop_at.is_none(), "main was started after a stop signal");
                self.account.spawns += 1;
                self.account.main_end = None;
                self.account.over_at = None;
                self.account.asked_file = false;
                self.account.breadcrumb = false;
                self.account.restarts = false;
                self.account.swept = false;
                self.account.gave_up = false;
                self.account.killed_at = None;
                self.check(
                    self.account.spawns == 1 || self.processes.is_empty() || self.account.had_given_up,
                    "main was started beside what its last start left",
                );
                self.account.given = true;
                let code = self.random.pick(&[126, 127, 111]);
                if self.random.one_in(10) {
                    let refusal = Refusal { code, reason: "cannot execute `x`: it is simulated".to_owned() };
                    self.answers.push_back(Event::Refused(id, refusal));
                } else {
                    let pid = self.start_process(true);
                    self.account.main = Some(pid);
                    self.account.main_since = self.now;
                    self.answers.push_back(Event::Spawned(id, Pid(pid)));
                }
            }
            Effect::Signal(target, signal, _) => self.check_signal(target, signal),
            Effect::Thaw(Pid(pid)) => self.thaw(pid),
            Effect::Reap => self.is_reaping = true,
            Effect::ReadHoldFile => {
                self.check(self.plan.hold.file, "a hold file was read that does not exist");
                self.account.asked_file = true;
                self.answers.push_back(Event::HoldFile(self.switch));
            }
            Effect::WatchHoldFile(watch) => self.watches_file = watch,
            Effect::ReadMemory => {
                let used = if self.random.one_in(2) { 99 } else { 10 };
                self.answers.push_back(Event::Memory(Memory { used, limit: 100 }));
            }
            Effect::AnnounceHold { report, limit } => {
                self.check(self.account.stop_at.is_none(), "it was held after a stop signal");
                let has_asked = self.account.asked_file || !self.plan.hold.file;
                self.check(has_asked, "the hold file was not read when main had failed");
                self.check(self.account.main.is_none(), "it was held while main was running");
                let (code, failed) = (report.code, report.code != 0);
                let hold = self.plan.hold;
                let planned = hold.on == HoldOn::Always || (hold.on == HoldOn::Failure && failed);
                let wanted = match (hold.file, self.switch) {
                    (true, Switch::On) => planned || failed,
                    (true, Switch::Off) => false,
                    (true, Switch::Silent) | (false, _) => planned,
                };
                // The file may have changed since it was read.
                self.check(wanted || hold.file, "it was held without anybody wanting it");
                self.check(limit == hold.limit, "the hold's limit is not the planned one");
                self.check(
                    self.account.main_end.map(|(_, code)| code) == Some(code),
                    "the wrong end was held",
                );
                self.account.holding_since = Some(self.now);
            }
            Effect::Say(Notice::Released(why)) => {
                let is_restart = matches!(why, Release::Restart(_));
                let held = self.account.holding_since.take().map(|since| self.now.since(since));
                self.check(held.is_some(), "a hold ended that had not begun");
                if why == Release::TimeUp {
                    self.check(held >= self.plan.hold.limit, "the hold ended before its time");
                }
                self.account.over_at = Some(self.now);
                self.account.restarts = is_restart;
            }
            Effect::Say(Notice::GivingUp) => {
                self.account.gave_up = true;
                self.account.had_given_up = true;
            }
            Effect::Say(Notice::Bug(what)) => self.check(false, what),
            Effect::Breadcrumb(note) => {
                if let Some(Breadcrumb::Held(_)) = note {
                    self.check(self.account.holding_since.is_some(), "a hold was noted that is none");
                }
                self.check(self.account.reports.is_empty(), "a breadcrumb came after the message");
                self.account.breadcrumb = note.is_some();
            }
            Effect::Report(report) => {
                self.account.reports.push(report.code);
                self.account.breadcrumb = false;
            }
            Effect::StopSelf(_) => {
                self.check(self.plan.pause == Pause::Follow, "it stopped itself without job control");
            }
            Effect::LetGo => self.check(
                self.plan.hold.on == HoldOn::Never && !self.plan.hold.file,
                "what a second start needs was let go",
            ),
            Effect::GiveTerminal(Pid(pid)) => {
                self.check(self.account.main == Some(pid), "the terminal went to a process that is not main");
            }
            Effect::TakeTerminal => self.account.given = false,
            Effect::Reload(_) => self.check(false, "the command line was read again"),
            Effect::Begin(_)
            | Effect::Abandon(_)
            | Effect::Unlisten(_)
            | Effect::WatchConnections(_)
            | Effect::Tell(..)
            | Effect::Reply(..)
            | Effect::KeepCrash(..)
            | Effect::ShowHeld(_)
            | Effect::SayWhoIsLeft
            | Effect::Say(_) => {} // nothing to hold against it
        }
    }

    fn next(&mut self, deadline: Option<Time>) -> Event {
        self.check_frozen();
        self.check(!self.account.must_end, "it waits although the last child is gone");
        loop {
            self.steps += 1;
            self.check(self.steps < MOST_STEPS, "the loop does not come to an end");
            let event = if let Some(answer) = self.answers.pop_front() {
                answer
            } else if self.is_reaping {
                self.reap()
            } else if let Some((signal, sender)) = self.received.pop_front() {
                Event::Signal(signal, sender)
            } else if deadline.is_some_and(|deadline| deadline <= self.now) {
                if !std::mem::replace(&mut self.is_tick_due, false) {
                    self.is_tick_due = true;
                    self.is_reaping = true;
                    continue;
                }
                Event::Tick
            } else {
                self.is_tick_due = false;
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
        ("released by signal", "Released(Signal"),
        ("released by file", "Released(File"),
        ("released by time", "Released(TimeUp"),
        ("started again", "Released(Restart"),
        ("drained", "DrainOver"),
        ("killed", "Say(Killing("),
        ("gave up", "GivingUp"),
        ("refused", "event Refused"),
        ("waited", "WaitingFor"),
        ("who is left", "SayWhoIsLeft"),
        ("swept", "Signal(Everyone, SIGTERM"),
        ("memory note", "NearMemoryLimit"),
        ("stopped itself", "StopSelf"),
        ("expected end", "Breadcrumb(None)"),
        ("out of grace", "by_us: Some(TimeOver)"),
        ("impatient", "by_us: Some(ThirdSignal)"),
        ("refused a pause", "Paused(Pid(2), SIGTSTP)"),
        ("leapt", "Leap"),
        ("unheard", "Unheard"),
        ("frozen", "event Frozen"),
        ("thawed", "effect Thaw"),
    ];
    assert_bad_enough(&marks, (0..2000).map(|seed| live(seed).trace.join("\n")));
}
