//! Config mode: a configuration file and the command line make the plan together.
//!
//! The command line wins over the variables, the variables over the file. A command given besides the file is its main
//! program. The same plan comes out of the same file: when it is read again, programs that stay keep their numbers.

mod kubernetes;
mod overview;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use log::LevelFilter;

use crate::BAD_USAGE;
use crate::cli::{Options, UsageError};
use crate::config::{self, Config, Errors, Outside, Process};
use crate::exec_mode;
use crate::linux;
use crate::plan::{
    AutoRestart, Command, Condition, Drain, Format, Grace, Hold, HoldOn, Kind, Meaning, Pause, Plan, Program,
    ProgramId, Readiness, Setup, Sink, Style, Supervised, Surroundings, Wait, Word,
};
use crate::signal::Signal;

/// What is read where neither a command nor a file is named.
pub const DEFAULT_FILE: &str = "/etc/sexton.toml";
/// How many of a program's last lines the termination message quotes.
const TAIL: usize = 10;

/// What came of the command line: the plan, what the kernel needs, and how to read the configuration again where there
/// is one.
pub type Understood = (Plan, Setup, Option<linux::Reread>);

/// Why there is no plan.
#[derive(Debug)]
pub enum Misunderstood {
    /// The command line is wrong.
    Usage(UsageError),
    /// The file is.
    Config(Errors),
}

/// Makes the plan, in config mode where there is a file to read.
///
/// # Errors
/// Everything that is wrong with the file, or the first that is wrong with the command line.
pub fn understand(options: Options, at: Surroundings) -> Result<Understood, Misunderstood> {
    let Some(path) = file(&options) else {
        let (plan, setup) = exec_mode::plan(options, at).map_err(Misunderstood::Usage)?;
        return Ok((plan, setup, None));
    };
    let mut names = Vec::new();
    let (plan, setup) = read(&path, &options, at, &mut names)?;
    // The working directory may be gone when the file is read again.
    let path = linux::absolute(&path).unwrap_or(path);
    let reread = move || read(&path, &options, at, &mut names).map_err(|error| error.to_string());
    Ok((plan, setup, Some(Box::new(reread))))
}

/// Reads the file as `sexton check` does: returns the plan in words, or what is wrong.
///
/// # Errors
/// As [`understand`].
pub fn check(path: &Path, options: &Options, at: Surroundings) -> Result<String, Misunderstood> {
    let config = config::read(path, &outside()).map_err(Misunderstood::Config)?;
    let (plan, setup) = plan(&config, options, at, &mut Vec::new()).map_err(Misunderstood::Usage)?;
    Ok(overview::overview(path, &config, &plan, &setup))
}

/// Reads the file as `sexton check --kubernetes` does: returns what belongs into the specification of its pod.
///
/// # Errors
/// As [`understand`].
pub fn kubernetes(path: &Path, options: &Options, at: Surroundings) -> Result<String, Misunderstood> {
    let config = config::read(path, &outside()).map_err(Misunderstood::Config)?;
    let (plan, setup) = plan(&config, options, at, &mut Vec::new()).map_err(Misunderstood::Usage)?;
    Ok(kubernetes::fragment(path, &plan, &setup))
}

/// Where a running sexton answers questions about its health: where the command line says, or else the file.
///
/// # Errors
/// As [`understand`], or where nobody says it.
pub fn health_address(options: &Options, at: Surroundings) -> Result<SocketAddr, Misunderstood> {
    if let Some(address) = options.health {
        return Ok(address);
    }
    let path = file(options).ok_or(Misunderstood::Usage(UsageError::NoAddress))?;
    let config = config::read(&path, &outside()).map_err(Misunderstood::Config)?;
    let (_, setup) = plan(&config, options, at, &mut Vec::new()).map_err(Misunderstood::Usage)?;
    setup.health.ok_or(Misunderstood::Usage(UsageError::NoAddress))
}

/// The JSON schema of the file.
#[must_use]
pub fn schema() -> String {
    config::schema()
}

/// The file to read; None in exec mode.
fn file(options: &Options) -> Option<PathBuf> {
    let default =
        || Some(PathBuf::from(DEFAULT_FILE)).filter(|path| options.command.is_empty() && path.exists());
    options.config.clone().or_else(default)
}

fn read(
    path: &Path,
    options: &Options,
    at: Surroundings,
    names: &mut Vec<String>,
) -> Result<(Plan, Setup), Misunderstood> {
    let config = config::read(path, &outside()).map_err(Misunderstood::Config)?;
    let (plan, setup) = plan(&config, options, at, names).map_err(Misunderstood::Usage)?;
    let level = options.level(config.log_level.unwrap_or(LevelFilter::Info));
    log::set_max_level(level);
    for warning in config::warnings(&config) {
        log::warn!("{warning}");
    }
    Ok((plan, setup))
}

fn outside() -> Outside<'static> {
    Outside { variable: &|name| std::env::var(name).ok(), file: &config::read_file }
}

/// The plan of the whole file; `names` are those of the programs that have a number already, and get what is new.
fn plan(
    config: &Config,
    options: &Options,
    at: Surroundings,
    names: &mut Vec<String>,
) -> Result<(Plan, Setup), UsageError> {
    let grace = exec_mode::grace(options.grace.or(config.grace_period), at);
    // To know that it has been quiet for so long takes as long.
    let delay = options.drain.or(config.drain).or(config.quiet).unwrap_or_default();
    let drain = Drain {
        delay: exec_mode::drain(delay, grace)?,
        quiet: config.quiet,
        fails_readiness: config.drain_fails_readiness,
    };
    let names_main = config.programs.iter().any(|one| one.process.name == "main");
    if !options.command.is_empty() && (config.main.is_some() || names_main) {
        return Err(UsageError::TwoMains);
    }
    let mut parts = Parts::new(names);
    let mut step = None;
    for one in &config.steps {
        let rules = Program {
            kind: Kind::Step { timeout: one.timeout },
            startretries: one.retries,
            after: step.map(|before| (before, Condition::Completed)).into_iter().collect(),
            ..rules(&one.process)
        };
        step = Some(parts.add(rules, command(&one.process, options, None), 0));
    }
    let ids: Vec<ProgramId> = config.programs.iter().map(|one| parts.number(&one.process.name)).collect();
    for one in &config.programs {
        let after = one.after.iter().map(|(place, condition)| (ids[*place], *condition));
        let rules = Program {
            kind: Kind::Program { startsecs: one.startsecs },
            autostart: one.autostart,
            autorestart: one.autorestart,
            startretries: one.startretries,
            essential: one.essential,
            after: after.chain(step.map(|last| (last, Condition::Completed))).collect(),
            readiness: one.readiness,
            backoff: one.backoff,
            restart_delay: one.restart_delay,
            restart_limit: one.restart_limit,
            probes: one.probes,
            hooks: one.hooks,
            has_sockets: !one.sockets.is_empty(),
            ..rules(&one.process)
        };
        parts.add(rules, command(&one.process, options, Some(one)), one.priority);
    }
    let mut main = config.main.map(|place| ids[place]);
    if !options.command.is_empty() {
        let rules = Program {
            stopasgroup: options.group,
            killasgroup: options.group,
            signal_group: options.group,
            after: step.map(|last| (last, Condition::Completed)).into_iter().collect(),
            ..Program::once("main")
        };
        main = Some(parts.add(rules, given_command(config, options), DEFAULT_PRIORITY));
    }
    let (programs, mut commands, order) = parts.in_order();
    let freeze = exec_mode::freeze(options.hold_freeze || config.hold_freeze, options.wait)?;
    let plan = Plan {
        programs,
        order,
        main,
        signals: meanings(config, options, main.is_some()),
        wait: options.wait.unwrap_or(Wait::Main),
        remap_exit: options.remap_exit.clone(),
        hold: Hold {
            on: options.hold.or(config.hold).unwrap_or(HoldOn::Never),
            limit: options.hold_for.or(config.hold_for).unwrap_or(Some(exec_mode::HOLD_LIMIT)),
            file: options.hold_file.is_some() || config.hold_file.is_some(),
            sidecars: config.hold_sidecars,
        },
        drain,
        grace,
        pause: Pause::Leave,
        warn_on_reap: options.warn_on_reap,
        keeps_records: true,
        lets_go: false, // programs were given nothing
    };
    // Those whose failure may be held.
    for (index, command) in commands.iter_mut().enumerate() {
        command.freeze = freeze
            && plan.hold.is_possible()
            && (main == Some(ProgramId(index)) || plan.programs[index].essential);
    }
    let setup = Setup {
        commands,
        message: exec_mode::message_file(
            options.termination_message.clone().or_else(|| config.termination_message.clone()),
            options.termination_format.or(config.termination_format).unwrap_or(Format::Text),
        ),
        hold_file: options.hold_file.clone().or_else(|| config.hold_file.clone()),
        subreaper: options.subreaper || !at.is_pid_1,
        tell_strays: options.warn_on_reap,
        parent_death: options.parent_death_signal,
        tail: options.tail.or(config.tail).unwrap_or(TAIL),
        log: config.log,
        traffic: config.traffic.clone(),
        health: options.health.or(config.health),
        control: exec_mode::control_socket(options.socket.clone().or_else(|| config.control.clone()), false),
        crash_dir: options.crash_dir.clone().or_else(|| config.crash_dir.clone()),
        keeps_records: true,
    };
    Ok((plan, setup))
}

/// Supervisor's default.
const DEFAULT_PRIORITY: i32 = 999;

/// Programs with their commands and priorities, by their numbers.
struct Parts<'a> {
    names: &'a mut Vec<String>,
    parts: Vec<Option<(Program, Command, i32)>>,
}

impl Parts<'_> {
    fn new(names: &mut Vec<String>) -> Parts<'_> {
        Parts { names, parts: Vec::new() }
    }

    /// The number of this name: the one that it has, or a new one.
    fn number(&mut self, name: &str) -> ProgramId {
        let known = self.names.iter().position(|known| known == name);
        ProgramId(known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        }))
    }

    fn add(&mut self, rules: Program, command: Command, priority: i32) -> ProgramId {
        let id = self.number(&rules.name);
        self.parts.resize_with(self.names.len().max(self.parts.len()), || None);
        self.parts[id.0] = Some((rules, command, priority));
        id
    }

    /// What was added, and the order to start it in: none before what it comes after, then by priority and number.
    fn in_order(mut self) -> (Vec<Program>, Vec<Command>, Vec<ProgramId>) {
        self.parts.resize_with(self.names.len(), || None);
        let (mut programs, mut commands, mut priorities) = (Vec::new(), Vec::new(), Vec::new());
        for (part, name) in self.parts.into_iter().zip(self.names.iter()) {
            let (rules, command, priority) = part.unwrap_or_else(|| {
                // It is no longer in the file.
                let rules = Program { is_retired: true, ..Program::once(name) };
                (rules, Command { argv: Vec::new(), user: None, freeze: false, supervised: None }, 0)
            });
            programs.push(rules);
            commands.push(command);
            priorities.push(priority);
        }
        let order = start_order(&programs, &priorities);
        (programs, commands, order)
    }
}

fn start_order(programs: &[Program], priorities: &[i32]) -> Vec<ProgramId> {
    let mut missing: Vec<usize> = programs.iter().map(|program| program.after.len()).collect();
    let mut before = vec![Vec::new(); programs.len()];
    for (index, program) in programs.iter().enumerate() {
        for (on, _) in &program.after {
            before[on.0].push(index);
        }
    }
    // The one that comes first is on top.
    let mut free: BinaryHeap<Reverse<(i32, usize)>> = (0..programs.len())
        .filter(|index| missing[*index] == 0)
        .map(|index| Reverse((priorities[index], index)))
        .collect();
    let mut order = Vec::with_capacity(programs.len());
    while let Some(Reverse((_, index))) = free.pop() {
        order.push(ProgramId(index));
        for dependent in &before[index] {
            missing[*dependent] -= 1;
            if missing[*dependent] == 0 {
                free.push(Reverse((priorities[*dependent], *dependent)));
            }
        }
    }
    order
}

/// The rules that steps and programs have in common.
fn rules(process: &Process) -> Program {
    Program {
        exitcodes: process.exitcodes.clone(),
        autorestart: AutoRestart::Never,
        stopsignal: process.stopsignal,
        stopwaitsecs: Some(process.stopwaitsecs),
        stopasgroup: process.stopasgroup,
        killasgroup: process.killasgroup,
        ..Program::once(&process.name)
    }
}

/// How a step is started, or this program, which has more to it.
fn command(process: &Process, options: &Options, program: Option<&config::Program>) -> Command {
    let style = Style { output: process.output, timestamps: process.timestamps };
    let sink = |file: &Option<crate::plan::Logfile>| match file {
        None => Sink::Container(style),
        Some(file) if file.path.as_os_str() == "none" => Sink::Nowhere,
        Some(file) => Sink::File(file.clone()),
    };
    let environment = process.environment.iter();
    Command {
        argv: process.argv.iter().map(OsString::from).collect(),
        user: process.user.clone().or_else(|| options.user.clone()),
        freeze: false,
        supervised: Some(Box::new(Supervised {
            name: process.name.clone(),
            environment: environment.map(|(name, value)| (name.into(), value.into())).collect(),
            directory: process.directory.clone(),
            umask: process.umask,
            rlimits: process.rlimits.clone(),
            oom_score_adj: process.oom_score_adj,
            nice: process.nice,
            no_new_privs: process.no_new_privs,
            drop_capabilities: process.drop_capabilities.clone(),
            readiness: program.map_or(Readiness::Running, |program| program.readiness),
            handlers: program.map(|program| program.handlers.clone()).unwrap_or_default(),
            sockets: program.map(|program| program.sockets.clone()).unwrap_or_default(),
            redirect_stderr: process.redirect_stderr,
            stdout: sink(&process.stdout),
            stderr: sink(&process.stderr),
        })),
    }
}

/// The command of the command line, as a program among others.
fn given_command(config: &Config, options: &Options) -> Command {
    Command {
        argv: options.command.clone(),
        user: options.user.clone(),
        freeze: false,
        supervised: Some(Box::new(Supervised::plain("main", config.log))),
    }
}

/// A stop signal stops everything; of the others what main wants is main's.
fn meanings(config: &Config, options: &Options, has_main: bool) -> [Meaning; Signal::SLOTS] {
    let default = [Signal::TERM, Signal::INT, Signal::QUIT];
    let stop_on = options.stop_on.as_deref().or(config.stop_on.as_deref()).unwrap_or(&default);
    let mut meanings = exec_mode::meanings(stop_on, &options.rewrite);
    for signal in Signal::all() {
        let meaning = &mut meanings[signal.index()];
        *meaning = match *meaning {
            // It means what it does for every other program, unless main is to get another.
            Meaning::Stop(Word::Pass(out)) if out == signal => Meaning::Stop(Word::StopSignal),
            Meaning::Forward(_) if signal == Signal::HUP && config.reload.unwrap_or(!has_main) => {
                Meaning::Reload
            }
            Meaning::Forward(_) if !has_main => Meaning::Ignore,
            other @ (Meaning::Stop(_) | Meaning::Forward(_) | Meaning::Ignore | Meaning::Reload) => other,
        };
    }
    meanings
}

/// Whether the plan's programs may need longer to stop than the platform gives; how long in all.
fn longest_stop(plan: &Plan) -> std::time::Duration {
    plan.drain.delay.saturating_add(plan.stop_chains().into_iter().max().unwrap_or_default())
}

/// The grace period in words, for the warnings of `check`.
fn is_assumed(grace: Grace) -> bool {
    match grace {
        Grace::Set(_) => false,
        Grace::Assumed(_) => true,
    }
}

impl Misunderstood {
    /// Says it, and returns the exit code that says so too.
    #[must_use]
    pub fn tell(&self) -> u8 {
        match self {
            Misunderstood::Usage(error) => linux::fail(error, BAD_USAGE),
            Misunderstood::Config(errors) => linux::fail_with_all(errors, BAD_USAGE),
        }
    }
}

impl std::fmt::Display for Misunderstood {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Misunderstood::Usage(error) => write!(f, "{error}"),
            Misunderstood::Config(errors) => write!(f, "{errors}"),
        }
    }
}
