//! The configuration file: what people wrote, read and checked.
//!
//! A file is read into [`Config`], or into all the errors that are in it, each with its place. Every default is filled
//! in, every `$(NAME)` expanded, every name in `after` and `main` known, `numprocs` made into so many programs. What it
//! all means together with the command line is said elsewhere.

mod addresses;
mod dependencies;
mod errors;
mod expand;
mod handlers;
mod keys;
mod process;
mod reader;
mod schema;
mod source;
mod values;
mod variables;

pub use errors::Errors;
pub use keys::{capability_names, resource_name};
pub use reader::{Outside, parse, read};
pub use schema::schema;
pub use source::{MAX_FILE, Place, Unreadable, read_file};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use crate::plan::{
    AutoRestart, Backoff, Condition, Format, Handler, HoldOn, Hooks, Listen, Logfile, Output, Probes,
    Readiness, Resource, RestartLimit, Role, Sidecars, Style, Traffic,
};
use crate::signal::Signal;

/// A whole file. What is an `Option` at this level may also come from the command line, and has no default here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `main`: the program whose end is the container's end, by its place in `programs`.
    pub main: Option<usize>,
    /// `grace_period`
    pub grace_period: Option<Duration>,
    /// `stop_on`: the signals that ask for the end.
    pub stop_on: Option<Vec<Signal>>,
    /// `reload`: SIGHUP reads the file again.
    pub reload: Option<bool>,
    /// `crash_dir`: where crash reports are kept.
    pub crash_dir: Option<PathBuf>,
    /// `hold.on`
    pub hold: Option<HoldOn>,
    /// `hold.for`; Some(None) is `"forever"`.
    pub hold_for: Option<Option<Duration>>,
    /// `hold.file`
    pub hold_file: Option<PathBuf>,
    /// `hold.freeze`: false.
    pub hold_freeze: bool,
    /// `hold.sidecars`: `"keep"` by default.
    pub hold_sidecars: Sidecars,
    /// `drain.delay`
    pub drain: Option<Duration>,
    /// `drain.readiness` is `"fail"`; `"keep"` by default.
    pub drain_fails_readiness: bool,
    /// `drain.quiet`
    pub quiet: Option<Duration>,
    /// `drain.ports`, `drain.loopback` and `drain.ignore`: which connections keep it from being quiet.
    pub traffic: Traffic,
    /// `health.listen`
    pub health: Option<SocketAddr>,
    /// `control.socket`; `none` for none.
    pub control: Option<PathBuf>,
    /// `log.output` and `log.timestamps`: how sexton's own lines look, and a program's that says nothing else.
    pub log: Style,
    /// `log.level`
    pub log_level: Option<LevelFilter>,
    /// `termination_message.path`; `none` for nowhere.
    pub termination_message: Option<PathBuf>,
    /// `termination_message.format`
    pub termination_format: Option<Format>,
    /// `termination_message.lines`: how many of a program's last lines it quotes.
    pub tail: Option<usize>,
    /// `[[step]]`, in the order of the file.
    pub steps: Vec<Step>,
    /// `[program.NAME]`, in the order of the file; of `numprocs` each its own.
    pub programs: Vec<Program>,
}

/// `[[step]]`: runs once before all programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What is run, and how.
    pub process: Process,
    /// `timeout`; None is without end.
    pub timeout: Option<Duration>,
    /// `retries`: how often it is tried again; 0.
    pub retries: u32,
}

/// `[program.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// What is run, and how.
    pub process: Process,
    /// `autostart`: true.
    pub autostart: bool,
    /// `autorestart`: `"unexpected"`; `true` and `false` are the other two.
    pub autorestart: AutoRestart,
    /// `startsecs`: 1.
    pub startsecs: Duration,
    /// `startretries`: 3.
    pub startretries: u32,
    /// `priority`: 999.
    pub priority: i32,
    /// `essential`: false.
    pub essential: bool,
    /// `after`: the places of other programs in [`Config::programs`], of `numprocs` all of them.
    pub after: Vec<(usize, Condition)>,
    /// `notify` and `notify_fd`: how it tells that it is ready.
    pub readiness: Readiness,
    /// `backoff` and `backoff_max`
    pub backoff: Backoff,
    /// `restart_delay`: from an exit to the restart; None leaves it to the rule of one second between two starts.
    pub restart_delay: Option<Duration>,
    /// `restart_limit = { count = N, within = "1m" }`
    pub restart_limit: Option<RestartLimit>,
    /// `probe`: when its probes ask, and how many answers count.
    pub probes: Probes,
    /// `hook`: how long its hooks may take.
    pub hooks: Hooks,
    /// What its probes and hooks do, in the order of [`Role`].
    pub handlers: Vec<(Role, Handler)>,
    /// `sockets`, in the order of the file. Processes of one program share them.
    pub sockets: Vec<Listen>,
}

/// What steps and programs have in common: a process, and how it is started and stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// `name` of a step, `process_name` of a program (by default its NAME, with `_0`, `_1` … where `numprocs` is above 1).
    pub name: String,
    /// `command`, split into words; never empty.
    pub argv: Vec<String>,
    /// `exitcodes`: `[0]`.
    pub exitcodes: Vec<u8>,
    /// `stopsignal`: TERM.
    pub stopsignal: Signal,
    /// `stopwaitsecs`: 10.
    pub stopwaitsecs: Duration,
    /// `stopasgroup`: false.
    pub stopasgroup: bool,
    /// `killasgroup`: as `stopasgroup`.
    pub killasgroup: bool,
    /// `user`: `USER[:GROUP]`, by name or number.
    pub user: Option<String>,
    /// `umask`: an octal string.
    pub umask: Option<u32>,
    /// `directory`
    pub directory: Option<PathBuf>,
    /// The variables to add to sexton's own environment: those of the whole file and the program's own, each from
    /// `environment_file` and then `environment`, and SEXTON_PROGRAM and SEXTON_PROCESS_NUM. A later one wins.
    pub environment: Vec<(String, String)>,
    /// `rlimits`: what, the soft and the hard limit; None is unlimited.
    pub rlimits: Vec<(Resource, Option<u64>, Option<u64>)>,
    /// `oom_score_adj`: -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// `nice`: -20 to 19.
    pub nice: Option<i32>,
    /// `no_new_privs`: false.
    pub no_new_privs: bool,
    /// `drop_capabilities`: numbers of capabilities(7), in order; `"ALL"` is each of them.
    pub drop_capabilities: Vec<u8>,
    /// `log.output`, or the program's own `output`: prefix.
    pub output: Output,
    /// `log.timestamps`, or the program's own `timestamps`: false.
    pub timestamps: bool,
    /// `redirect_stderr`: false.
    pub redirect_stderr: bool,
    /// `stdout_logfile` and what belongs to it; None goes to sexton's own output.
    pub stdout: Option<Logfile>,
    /// `stderr_logfile`
    pub stderr: Option<Logfile>,
}

/// What is allowed and yet hardly meant, one line each.
#[must_use]
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for program in &config.programs {
        let completed = || {
            let completed = program.after.iter().filter(|(_, condition)| *condition == Condition::Completed);
            completed.filter_map(|(place, _)| config.programs.get(*place))
        };
        // Of `numprocs` one is enough to be told of.
        let mut warn = |other: Option<&Program>, why: &str| {
            if let Some(other) = other {
                warnings
                    .push(format!("`{}` waits for `{}`, {why}", program.process.name, other.process.name));
            }
        };
        let asleep = program.after.iter().filter_map(|(place, _)| config.programs.get(*place));
        warn(
            asleep.clone().find(|other| !other.autostart),
            "which has `autostart = false`: it waits until somebody starts that",
        );
        warn(
            completed().find(|other| !other.startsecs.is_zero()),
            "whose end counts as a failed start before `startsecs` are over; set `startsecs = 0`",
        );
        warn(
            completed().find(|other| other.autorestart == AutoRestart::Always),
            "which starts again whenever it ends; set `autorestart = false`",
        );
    }
    warnings
}
