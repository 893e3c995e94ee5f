//! Keeps all that can be known of each end that nobody wanted: the last few in memory, and where a directory is named,
//! there too.
//!
//! By then the process is a zombie, and its directory and variables are gone: told is what it was given.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::geteuid;

use super::cgroup::Cgroup;
use super::crash_dir::CrashDir;
use super::exec::{self, Wanted};
use super::sys::{self, Limit};
use crate::config::resource_name;
use crate::connections::{self, LISTEN, UNCONNECTED};
use crate::crash::{self, Crash, Few, Known, Lines};
use crate::health::Figures;
use crate::message::clean;
use crate::outcome::{Cause, Report, Status, Usage};
use crate::plan::{Command, Output, ProgramId, Readiness, Resource, Setup, Sink};
use crate::snapshot::Snapshot;
use crate::time::utc_milliseconds;

/// How many are kept in memory.
const KEPT: usize = 5;
/// How many are made in this time at most: whoever crashes in a loop is not to keep us from everything else.
const AT_MOST: u32 = 20;
const WITHIN: Duration = Duration::from_secs(10);
/// How much of a table of sockets is read, in bytes.
const TABLE: u64 = 64 * 1024;
/// setrlimit(2)'s resources have the numbers below this one.
const RESOURCES: u32 = 16;
/// The number of `RLIMIT_NOFILE` (asm-generic/resource.h).
const NOFILE: u32 = 7;
/// The tables of sockets, and the state of those that wait for others.
const TABLES: [(&str, &str, u8); 4] = [
    ("tcp", "/proc/net/tcp", LISTEN),
    ("tcp", "/proc/net/tcp6", LISTEN),
    ("udp", "/proc/net/udp", UNCONNECTED),
    ("udp", "/proc/net/udp6", UNCONNECTED),
];

const NEVER_RAN: &str = "it never ran";
const UNNAMED: &str = "uname(2) does not say";
pub(super) const PASSES_BY: &str = "it does not pass through sexton";

/// The reports, and what will be in the next ones.
pub(super) struct Crashes {
    /// The newest last.
    kept: Vec<Crash>,
    directory: Option<CrashDir>,
    /// Where commands are started that name no directory; later ours may be another.
    own_directory: Known<String>,
    /// The processes that programs have or had last, by [`ProgramId`].
    processes: Vec<Process>,
    /// What the child that ended last has used, where it may be a program's process.
    used: Option<Usage>,
    /// Since when ends are counted, and how many there have been.
    counted: (Instant, u32),
    /// How many were too many.
    skipped: u64,
}

#[derive(Clone, Default)]
struct Process {
    pid: Option<i32>,
    started_at: Option<SystemTime>,
    usage: Option<Usage>,
    /// How many kills for want of memory were known before its end.
    kills_before: Option<u64>,
}

impl Crashes {
    /// None where nobody will ask.
    pub(super) fn new(setup: &Setup) -> Option<Crashes> {
        setup.keeps_records.then(|| Crashes {
            kept: Vec::new(),
            directory: setup.crash_dir.as_deref().map(CrashDir::new),
            own_directory: std::env::current_dir()
                .map(|path| text(path.as_os_str(), &[]))
                .map_err(|_| "sexton's own directory is gone"),
            processes: Vec::new(),
            used: None,
            counted: (Instant::now(), 0),
            skipped: 0,
        })
    }

    /// Those that are kept, the newest last.
    pub(super) fn kept(&self) -> &[Crash] {
        &self.kept
    }

    /// A program has this process from now on, or could not be started.
    pub(super) fn started(&mut self, id: ProgramId, pid: Option<i32>) {
        if self.processes.len() <= id.0 {
            self.processes.resize(id.0 + 1, Process::default());
        }
        let started_at = pid.map(|_| SystemTime::now());
        self.processes[id.0] = Process { pid, started_at, ..Process::default() };
    }

    /// A child has ended, which may be a program's process, and has used this.
    pub(super) fn used(&mut self, usage: Option<Usage>) {
        self.used = usage;
    }

    /// It was this program's; so many kills for want of memory had been known before.
    pub(super) fn ended(&mut self, id: ProgramId, kills_before: Option<u64>) {
        let usage = self.used.take();
        if let Some(process) = self.processes.get_mut(id.0) {
            (process.usage, process.kills_before) = (usage, kills_before);
        }
    }

    /// Keeps a report. `outside` is where the container's figures are, and the limit of descriptors in place of ours.
    pub(super) fn keep(
        &mut self,
        report: &Report,
        snapshot: &Snapshot,
        command: &Command,
        output: &[Known<Vec<u8>>; 2],
        outside: (Option<&Cgroup>, Option<Limit>),
    ) {
        let (since, count) = &mut self.counted;
        if since.elapsed() > WITHIN {
            (*since, *count) = (Instant::now(), 0);
        }
        *count = count.saturating_add(1);
        if *count > AT_MOST {
            self.skipped = self.skipped.saturating_add(1);
            return;
        }
        let crash = self.gather(report, snapshot, command, output, outside);
        self.skipped = 0;
        if let Some(directory) = &mut self.directory {
            directory.write(&crash);
        }
        if self.kept.len() >= KEPT {
            self.kept.remove(0);
        }
        self.kept.push(crash);
    }

    fn gather(
        &self,
        report: &Report,
        snapshot: &Snapshot,
        command: &Command,
        output: &[Known<Vec<u8>>; 2],
        (cgroup, descriptors): (Option<&Cgroup>, Option<Limit>),
    ) -> Crash {
        let nobody = Process::default();
        let process = self.processes.get(report.id.0).unwrap_or(&nobody);
        let variables = variables(command);
        let secrets = crash::secrets(&variables);
        let own = command.supervised.as_deref();
        let directory = own.and_then(|own| own.directory.as_ref());
        let program = snapshot.programs.iter().find(|program| program.name == report.program);
        let (others, more_others) = crash::others(snapshot, &report.program);
        let (hostname, kernel) = match nix::sys::utsname::uname() {
            Ok(names) => (Ok(text(names.nodename(), &[])), Ok(text(names.release(), &[]))),
            Err(_) => (Err(UNNAMED), Err(UNNAMED)),
        };
        let is_dumped =
            matches!(report.cause, Cause::Ended { status: Status::Killed { core: true, .. }, .. });
        Crash {
            report: report.clone(),
            pid: process.pid.ok_or(NEVER_RAN),
            started: process.started_at.map(utc_milliseconds).ok_or(NEVER_RAN),
            ended: utc_milliseconds(SystemTime::now()),
            starts: program.map_or(0, |program| program.starts),
            exits: program.map_or_else(Vec::new, |program| program.exits.clone()),
            usage: process.usage.ok_or(match report.cause {
                Cause::Ended { .. } => "the kernel did not say",
                Cause::Refused(_) => NEVER_RAN,
                Cause::Unkillable => "its process is still there",
            }),
            core_pattern: is_dumped.then(core_pattern),
            figures: figures(cgroup),
            kills_before: process.kills_before,
            stdout: lines(&output[0], &secrets),
            stderr: lines(&output[1], &secrets),
            command: Few::of(&mut command.argv.iter().map(|word| text(word, &secrets))),
            directory: match directory {
                Some(directory) => Ok(text(directory.as_os_str(), &secrets)),
                None => self.own_directory.clone(),
            },
            user: command.user.as_deref().map(clean),
            own_uid: geteuid().as_raw(),
            umask: own.and_then(|own| own.umask),
            nice: own.and_then(|own| own.nice),
            oom_score_adj: own.and_then(|own| own.oom_score_adj),
            limits: limits(command, descriptors),
            // Its own come first.
            environment: Few::of(&mut variables.iter().rev().map(|(name, _)| clean(name))),
            listening: listening(),
            others,
            more_others,
            hostname,
            kernel,
            skipped: self.skipped,
        }
    }
}

/// Fit to be shown, and without the secrets.
#[inline(never)]
fn text(bytes: &OsStr, secrets: &[(String, String)]) -> String {
    clean(&crash::mask(&bytes.to_string_lossy(), secrets))
}

#[inline(never)]
fn lines(kept: &Known<Vec<u8>>, secrets: &[(String, String)]) -> Known<Lines> {
    match kept {
        Ok(kept) => Ok(crash::lines(kept, secrets)),
        Err(why) => Err(why),
    }
}

/// What is known of a program's output, of which so much was kept.
pub(super) fn output(command: &Command, kept: [Vec<u8>; 2]) -> [Known<Vec<u8>>; 2] {
    let passes_by =
        |sink: &Sink| matches!(sink, Sink::Container(style) if matches!(style.output, Output::Inherit));
    let [stdout, stderr] = kept;
    let Some(own) = command.supervised.as_deref() else { return [Err(PASSES_BY), Ok(stderr)] };
    [
        if passes_by(&own.stdout) { Err(PASSES_BY) } else { Ok(stdout) },
        if own.redirect_stderr {
            Err("it goes where stdout goes")
        } else if passes_by(&own.stderr) {
            Err(PASSES_BY)
        } else {
            Ok(stderr)
        },
    ]
}

/// The variables that a process of this command gets.
fn variables(command: &Command) -> Vec<(String, String)> {
    let own = command.supervised.as_deref();
    let user = command.user.as_deref().and_then(|user| super::find_user(user).ok());
    let notifies = own.is_some_and(|own| own.readiness == Readiness::Notify);
    let wanted = Wanted {
        argv: &[],
        user: None,
        own,
        notify_socket: notifies.then_some(""),
        sockets: own.map_or(&[], |own| &own.sockets),
    };
    let variables = exec::environment(user.as_ref(), false, &wanted);
    let mut pairs = Vec::new();
    for variable in &variables {
        let bytes = variable.to_bytes();
        let end = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
        let value = bytes.get(end + 1..).unwrap_or_default();
        pairs.push((
            String::from_utf8_lossy(&bytes[..end]).into_owned(),
            String::from_utf8_lossy(value).into_owned(),
        ));
    }
    pairs
}

/// Our own limits, but for what the process was given in their place.
fn limits(command: &Command, descriptors: Option<Limit>) -> Vec<(&'static str, Option<u64>, Option<u64>)> {
    let own = command.supervised.as_deref();
    let bounded = |limit: u64| Some(limit).filter(|limit| *limit != u64::MAX);
    let mut limits = Vec::new();
    for number in 0..RESOURCES {
        let name = resource_name(Resource(number));
        let own = own.and_then(|own| own.rlimits.iter().rev().find(|(resource, ..)| resource.0 == number));
        let given = descriptors.filter(|_| number == NOFILE);
        if let Some((_, soft, hard)) = own {
            limits.push((name, *soft, *hard));
        } else if let Some(limit) = given.or_else(|| sys::limit(number, None).ok()) {
            limits.push((name, bounded(limit.soft), bounded(limit.hard)));
        }
    }
    limits
}

fn figures(cgroup: Option<&Cgroup>) -> Known<Figures> {
    let found = if cgroup.is_none() { Cgroup::find() } else { None };
    let cgroup = cgroup.or(found.as_ref()).ok_or("no cgroup's files can be read")?;
    let mut figures = Figures::default();
    cgroup.measure(&mut figures);
    Ok(figures)
}

fn core_pattern() -> String {
    clean(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default().trim())
}

/// Where somebody listens in our network namespace.
fn listening() -> Known<Few> {
    let mut found = Vec::new();
    let mut is_known = false;
    for (protocol, path, state) in TABLES {
        let mut bytes = Vec::new();
        let Ok(file) = File::open(path) else { continue };
        if file.take(TABLE).read_to_end(&mut bytes).is_err() {
            continue;
        }
        is_known = true;
        // The kernel lists the TCP sockets that listen before all others.
        for record in connections::table(&bytes).0 {
            if record.state == state {
                found.push(format!("{protocol} {}", SocketAddr::new(record.local, record.local_port)));
            }
        }
    }
    found.dedup(); // those that share a port (SO_REUSEPORT)
    if is_known { Ok(Few::of(&mut found.into_iter())) } else { Err("/proc is not mounted") }
}
