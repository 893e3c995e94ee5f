//! What we understood of what people wrote: everything the supervisor decides by, resolved and checked.
//!
//! [`Plan`] is for the supervisor: no path to read, no number left to default, and no "mode": what a signal means, what
//! ends the container and what holds it open are said once, for one program as for many. [`Setup`] is the part that
//! only the kernel needs.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::signal::Signal;

/// Which program, by its place in [`Plan::programs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProgramId(pub usize);

/// What the supervisor works by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The programs and steps. A number stays with its program when the configuration is read again: what is gone from
    /// it is retired in its place.
    pub programs: Vec<Program>,
    /// In which order programs are started: none before what it comes after. Stopping goes the other way.
    pub order: Vec<ProgramId>,
    /// The program whose end is the container's end; with none the container ends with the last of them.
    pub main: Option<ProgramId>,
    /// What each signal means, by [`Signal::index`].
    pub signals: [Meaning; Signal::SLOTS],
    /// Whose end ends the container.
    pub wait: Wait,
    /// Exit codes of the container, 128 + n included, that become 0.
    pub remap_exit: Vec<u8>,
    /// Whether and how long a failure keeps the container open.
    pub hold: Hold,
    /// How long the programs are left alone after the stop signal.
    pub drain: Drain,
    /// What lies between the platform's stop signal and its SIGKILL.
    pub grace: Grace,
    /// What to do when a signal stops main.
    pub pause: Pause,
    /// Say so when a stray is reaped.
    pub warn_on_reap: bool,
    /// What comes to pass is remembered, and of an end that nobody wanted all that can be known of it.
    pub keeps_records: bool,
    /// What the command was given besides its words, descriptors and a directory, is let go of once it runs: there is no
    /// second start.
    pub lets_go: bool,
}

/// What is run, and what its starts and ends mean. Lengths of time and counts are Supervisor's (its documentation,
/// `[program:x]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name in messages.
    pub name: String,
    /// When it counts as started.
    pub kind: Kind,
    /// It starts with the container.
    pub autostart: bool,
    /// Whether it is started again when it ends after having been RUNNING.
    pub autorestart: AutoRestart,
    /// How many failed starts are followed by another.
    pub startretries: u32,
    /// The exit codes that are expected.
    pub exitcodes: Vec<u8>,
    /// What asks it to end.
    pub stopsignal: Signal,
    /// How long it has from there to SIGKILL; None for as long as it wants.
    pub stopwaitsecs: Option<Duration>,
    /// What asks it to end goes to its whole process group.
    pub stopasgroup: bool,
    /// SIGKILL goes to its whole process group.
    pub killasgroup: bool,
    /// Signals that are forwarded to it go to its whole process group.
    pub signal_group: bool,
    /// Its failure ends the container.
    pub essential: bool,
    /// What has to be there before it starts, and gone only after it has been stopped.
    pub after: Vec<(ProgramId, Condition)>,
    /// How it becomes ready.
    pub readiness: Readiness,
    /// How the wait before a restart grows.
    pub backoff: Backoff,
    /// From an exit to the restart; None leaves it to [`Backoff`] and to one second between two starts.
    pub restart_delay: Option<Duration>,
    /// How many restarts are too many.
    pub restart_limit: Option<RestartLimit>,
    /// What is asked of it while it runs.
    pub probes: Probes,
    /// What is called when it starts and before it stops.
    pub hooks: Hooks,
    /// We keep listening sockets for it.
    pub has_sockets: bool,
    /// It is no longer in the configuration.
    pub is_retired: bool,
}

/// The probes of a program, with a kubelet's meanings (Kubernetes, "Configure Liveness, Readiness and Startup Probes").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// Whether it has started; until then the other two wait, and where it has not in time, it has failed.
    pub startup: Option<Probe>,
    /// Whether it is ready.
    pub readiness: Option<Probe>,
    /// Whether it has to be started again.
    pub liveness: Option<Probe>,
}

/// How often something is asked, and how many answers count. What is asked stands in [`Supervised::handlers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// From the start of the process to the first time.
    pub initial_delay: Duration,
    /// From one time to the next.
    pub period: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many in a row make it a success.
    pub success_threshold: u32,
    /// How many in a row make it a failure.
    pub failure_threshold: u32,
    /// In place of `stopwaitsecs` where its failure stops the program.
    pub stopwait: Option<Duration>,
}

/// The hooks of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// After its process has been started; where it fails, so has the start.
    pub post_start: Option<Hook>,
    /// Before it is told to end.
    pub pre_stop: Option<Hook>,
}

/// How long a hook may take. What it does stands in [`Supervised::handlers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// From its start on.
    pub timeout: Duration,
    /// It does nothing but let that time pass.
    pub is_sleep: bool,
}

/// What a handler is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// [`Probes::startup`]
    Startup,
    /// [`Probes::readiness`]
    Readiness,
    /// [`Probes::liveness`]
    Liveness,
    /// [`Hooks::post_start`]
    PostStart,
    /// [`Hooks::pre_stop`]
    PreStop,
}

/// One probe or hook of one program. It is under way once at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Task {
    /// Whose it is.
    pub program: ProgramId,
    /// Which of them.
    pub role: Role,
}

impl Role {
    /// It is a hook, not a probe.
    #[must_use]
    pub fn is_hook(self) -> bool {
        match self {
            Role::PostStart | Role::PreStop => true,
            Role::Startup | Role::Readiness | Role::Liveness => false,
        }
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Startup => "startup probe",
            Role::Readiness => "readiness probe",
            Role::Liveness => "liveness probe",
            Role::PostStart => "post_start hook",
            Role::PreStop => "pre_stop hook",
        }
    }
}

/// How long the programs go on serving after the stop signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// So long at least; zero for not at all.
    pub delay: Duration,
    /// Until no new connection has come for so long; None for `delay` alone.
    pub quiet: Option<Duration>,
    /// Readiness fails from its beginning on.
    pub fails_readiness: bool,
}

/// When a program counts as started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// When it has lived for `startsecs`; zero for at once.
    Program {
        /// Supervisor's `startsecs`.
        startsecs: Duration,
    },
    /// When it has ended as expected.
    Step {
        /// How long it may take; None for as long as it wants.
        timeout: Option<Duration>,
    },
}

/// Whether a program is started again when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoRestart {
    /// It is not.
    Never,
    /// Unless it ended with an expected code.
    Unexpected,
    /// However it ended.
    Always,
}

/// What a program waits for in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Its process has been started.
    Started,
    /// It is ready, and is waited for again where it no longer is.
    Ready,
    /// It has ended as expected.
    Completed,
}

impl Condition {
    /// What the other has to be.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Condition::Started => "started",
            Condition::Ready => "ready",
            Condition::Completed => "completed",
        }
    }
}

/// How a program becomes ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// By being RUNNING.
    Running,
    /// It says so: `READY=1` on `$NOTIFY_SOCKET` (sd_notify(3)).
    Notify,
    /// It writes a newline to this descriptor.
    Descriptor(i32),
}

/// How the wait before a restart grows with each start that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// How; None is linear before RUNNING, as in Supervisor, and no wait after it.
    pub growth: Option<Growth>,
    /// The longest wait. A process that lives longer makes the count start anew.
    pub max: Duration,
}

/// How a wait grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// 1 s, 2 s, 3 s …
    Linear,
    /// 1 s, 2 s, 4 s …
    Exponential,
}

/// More restarts than that within so long, and the program is FATAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartLimit {
    /// How many.
    pub count: u32,
    /// Within how long.
    pub within: Duration,
}

/// What a signal to sexton means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing: it goes no further.
    Ignore,
    /// Main gets this one.
    Forward(Signal),
    /// The container is to end; main gets this after the drain.
    Stop(Word),
    /// The configuration is read again.
    Reload,
}

/// What main is told when the container is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// This signal, and again for each further one.
    Pass(Signal),
    /// Nothing.
    Nothing,
    /// Its stopsignal, as every other program.
    StopSignal,
}

/// What to do when a signal stops main.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Stop as well: a shell above us has job control, sees it, and continues us.
    Follow,
    /// Continue it where it was Ctrl-Z: there is a terminal and no shell that would ever continue anybody. The kernel
    /// does the same for a process group that is orphaned, which main's is not while we live.
    Refuse,
    /// Say so: somebody who can continue it has stopped it.
    Leave,
}

/// Whose end ends the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Main's; what is left then is stopped.
    Main,
    /// The last process's, main's code kept: for programs that fork themselves away.
    All,
}

/// When the container is held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldOn {
    /// Only where the hold file says so.
    Never,
    /// When main has failed.
    Failure,
    /// When main has ended, however.
    Always,
}

/// The hold on crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// When.
    pub on: HoldOn,
    /// How long at most; None is without end.
    pub limit: Option<Duration>,
    /// There is a hold file to ask.
    pub file: bool,
    /// What becomes of the other programs.
    pub sidecars: Sidecars,
}

/// What becomes of the other programs while the container is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sidecars {
    /// They go on.
    #[default]
    Keep,
    /// They are stopped.
    Stop,
}

impl Hold {
    /// Whether main may be started a second time.
    #[must_use]
    pub fn is_possible(self) -> bool {
        self.on != HoldOn::Never || self.file
    }
}

/// What lies between the platform's stop signal and its SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// We were told: at its end, less [`Grace::reserve`], everything left is killed, main too.
    Set(Duration),
    /// The platform's default. Bounds only what main leaves behind, never main: `docker stop -t 120` cannot be seen.
    Assumed(Duration),
}

impl Grace {
    /// All of it.
    #[must_use]
    pub fn whole(self) -> Duration {
        match self {
            Grace::Set(whole) | Grace::Assumed(whole) => whole,
        }
    }

    /// What is kept back for sexton's own last words: a second, half of it where it is shorter than two.
    #[must_use]
    pub fn reserve(self) -> Duration {
        Duration::from_secs(1).min(self.whole() / 2)
    }

    /// The time that programs have from the stop signal to SIGKILL.
    #[must_use]
    pub fn budget(self) -> Duration {
        self.whole().saturating_sub(self.reserve())
    }
}

impl Program {
    /// A command as it stands on the command line: runs once, however it ends, and has all the time it wants to stop.
    #[must_use]
    pub fn once(name: &str) -> Program {
        Program {
            name: name.to_owned(),
            kind: Kind::Program { startsecs: Duration::ZERO },
            autostart: true,
            autorestart: AutoRestart::Never,
            startretries: 0,
            exitcodes: vec![0],
            stopsignal: Signal::TERM,
            stopwaitsecs: None,
            stopasgroup: false,
            killasgroup: false,
            signal_group: false,
            essential: false,
            after: Vec::new(),
            readiness: Readiness::Running,
            backoff: Backoff { growth: None, max: Duration::from_mins(5) },
            restart_delay: None,
            restart_limit: None,
            probes: Probes::default(),
            hooks: Hooks::default(),
            has_sockets: false,
            is_retired: false,
        }
    }
}

impl Plan {
    /// The program with this number.
    ///
    /// # Panics
    /// Never: a `ProgramId` is made only for a program of its plan.
    #[must_use]
    pub fn program(&self, id: ProgramId) -> &Program {
        &self.programs[id.0]
    }

    /// What `signal` means.
    #[must_use]
    pub fn meaning(&self, signal: Signal) -> Meaning {
        self.signals[signal.index()]
    }

    /// How long each program and, one after the other, what it comes after may take to stop, `pre_stop` included. What
    /// has no limit of its own counts as nothing.
    #[must_use]
    pub fn stop_chains(&self) -> Vec<Duration> {
        let mut chains = vec![Duration::ZERO; self.programs.len()];
        for id in &self.order {
            let program = self.program(*id);
            // What has to be completed before is gone by then.
            let rest = program.after.iter().filter(|(_, condition)| *condition != Condition::Completed);
            let rest = rest.map(|(on, _)| chains[on.0]).max().unwrap_or_default();
            let hook = program.hooks.pre_stop.map_or(Duration::ZERO, |hook| hook.timeout);
            let own = program.stopwaitsecs.unwrap_or_default().saturating_add(hook);
            chains[id.0] = own.saturating_add(rest);
        }
        chains
    }
}

/// What only the kernel needs of what people wrote.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How each program is started, by [`ProgramId`].
    pub commands: Vec<Command>,
    /// Where the termination message goes; None for nowhere.
    pub message: Option<MessageFile>,
    /// The file that switches the hold on and off.
    pub hold_file: Option<PathBuf>,
    /// Orphans below us become our children although we are not PID 1.
    pub subreaper: bool,
    /// Somebody wants to hear of processes that we did not start.
    pub tell_strays: bool,
    /// What we and main get when our own parent dies.
    pub parent_death: Option<Signal>,
    /// How many of a program's last lines the message quotes. In exec mode 0 leaves stderr alone.
    pub tail: usize,
    /// sexton's own lines look like the programs'.
    pub log: Style,
    /// Which connections the drain waits for.
    pub traffic: Traffic,
    /// Where questions about our health are answered.
    pub health: Option<SocketAddr>,
    /// The socket for operators.
    pub control: Option<Control>,
    /// Where the reports on ends that nobody wanted are kept.
    pub crash_dir: Option<PathBuf>,
    /// Somebody may ask how it came to an end: as [`Plan::keeps_records`].
    pub keeps_records: bool,
}

/// The socket for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Where it is.
    pub path: PathBuf,
    /// Somebody asked for it: where it cannot be made, nothing is started.
    pub is_asked_for: bool,
    /// It is made only when the container is held.
    pub is_for_holds: bool,
}

/// The connections that count as somebody's use of us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Those to these ports of ours.
    pub ports: Vec<u16>,
    /// Also those that come from a loopback address.
    pub loopback: bool,
    /// Not those that come from here, a kubelet's probes for one.
    pub ignore: Vec<IpAddr>,
}

/// What a probe or a hook does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Runs a command, as the program is run; code 0 is success.
    Exec(Vec<OsString>),
    /// Connects.
    Tcp(Endpoint),
    /// Sends a GET request. A probe takes a code from 200 to 399 for success; a hook, as a kubelet does, any answer.
    Http(HttpGet),
    /// Asks a `grpc.health.v1.Health` service for this service's health; SERVING is success.
    Grpc(Endpoint, String),
    /// Does nothing: the time of a hook that passes by itself.
    Sleep,
}

/// Reads where to listen: `IP:PORT`, or `:PORT` or `PORT` for all addresses of this machine.
#[must_use]
pub fn parse_address(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix(':').unwrap_or(text).parse().ok();
    let address = port.map(|port: u16| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    address.or_else(|| text.parse().ok()).filter(|address| address.port() != 0)
}

/// Where to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address; None is this machine: 127.0.0.1, and ::1 where nobody listens there.
    pub host: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

/// A GET request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGet {
    /// Where it is sent.
    pub endpoint: Endpoint,
    /// The path, from its slash on, with the query.
    pub path: String,
    /// More headers, or others in place of ours.
    pub headers: Vec<(String, String)>,
}

/// A listening socket that we keep for a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Its name in `LISTEN_FDNAMES`.
    pub name: String,
    /// Where it listens.
    pub address: ListenAddress,
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A stream socket in the file system.
    Unix(PathBuf),
}

/// How a program is started.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The program and its arguments, never empty.
    pub argv: Vec<OsString>,
    /// Whom it runs as, `USER[:GROUP]`, by name or number; None for ourselves.
    pub user: Option<String>,
    /// Its process is kept as it is at its end until nobody wants to look at it any more.
    pub freeze: bool,
    /// Everything else; None for a command that gets what sexton was given: descriptors, directory, limits.
    pub supervised: Option<Box<Supervised>>,
}

/// What a supervised program's process gets in place of what sexton was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Supervised {
    /// Its name, in front of its lines.
    pub name: String,
    /// The variables to add to our own.
    pub environment: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub directory: Option<PathBuf>,
    /// Its file mode creation mask.
    pub umask: Option<u32>,
    /// What, the soft and the hard limit; None is unlimited.
    pub rlimits: Vec<(Resource, Option<u64>, Option<u64>)>,
    /// How readily the kernel kills it when memory is short, -1000 to 1000 (proc_pid_oom_score_adj(5)).
    pub oom_score_adj: Option<i32>,
    /// -20 to 19 (setpriority(2)).
    pub nice: Option<i32>,
    /// It and its children gain nothing from set-user-ID files (PR_SET_NO_NEW_PRIVS).
    pub no_new_privs: bool,
    /// The capabilities that it and its children never have, by their numbers in capabilities(7).
    pub drop_capabilities: Vec<u8>,
    /// How it tells that it is ready.
    pub readiness: Readiness,
    /// What its probes and hooks do.
    pub handlers: Vec<(Role, Handler)>,
    /// The sockets that it is handed, in the order of their descriptors.
    pub sockets: Vec<Listen>,
    /// Its standard error goes where its standard output goes.
    pub redirect_stderr: bool,
    /// Where its standard output goes.
    pub stdout: Sink,
    /// Where its standard error goes.
    pub stderr: Sink,
}

impl Supervised {
    /// What a program gets whose name is all that is known of it.
    #[must_use]
    pub fn plain(name: &str, style: Style) -> Supervised {
        Supervised {
            name: name.to_owned(),
            environment: Vec::new(),
            directory: None,
            umask: None,
            rlimits: Vec::new(),
            oom_score_adj: None,
            nice: None,
            no_new_privs: false,
            drop_capabilities: Vec::new(),
            readiness: Readiness::Running,
            handlers: Vec::new(),
            sockets: Vec::new(),
            redirect_stderr: false,
            stdout: Sink::Container(style),
            stderr: Sink::Container(style),
        }
    }
}

/// Where the lines of a program go.
#[derive(Clone, Debug, PartialEq)]
pub enum Sink {
    /// To sexton's own standard output or error, in this style.
    Container(Style),
    /// To a file.
    File(Logfile),
    /// Nowhere; the last lines are kept all the same.
    Nowhere,
}

/// How lines look on their way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// What is put around them.
    pub output: Output,
    /// With the time.
    pub timestamps: bool,
}

/// What becomes of a program's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// `name | line`
    #[default]
    Prefix,
    /// The program gets sexton's own descriptors, and sexton sees nothing of it.
    Inherit,
    /// One JSON object a line.
    Json,
}

/// A file that a program's output goes to, and when it is rotated, as in Supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logfile {
    /// Where; `none` throws the output away, the names of sexton's own stdout and stderr mean these.
    pub path: PathBuf,
    /// From how many bytes on it is rotated; 0 is never.
    pub maxbytes: u64,
    /// How many old files are kept, as `PATH.1` and so on.
    pub backups: u32,
}

/// What setrlimit(2) can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource(pub u32);

/// The file that the termination message goes to.
#[derive(Clone, Debug)]
pub struct MessageFile {
    /// Where it is.
    pub path: PathBuf,
    /// Somebody asked for it, so that it is worth a warning where it is not there.
    pub asked: bool,
    /// How the message is written.
    pub format: Format,
}

/// How the termination message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// What the plan has to know of where we run.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// We are the first process of our PID namespace.
    pub is_pid_1: bool,
    /// There is a controlling terminal.
    pub has_terminal: bool,
    /// Our parent is of our session and of another process group: a shell that can stop and continue us.
    pub has_job_control: bool,
    /// A kubelet started us.
    pub in_kubernetes: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_port_alone() {
        let read = |text| parse_address(text).map(|address| address.to_string());
        let all = Some("[::]:8080".to_owned());
        assert_eq!([read("8080"), read(":8080"), read("[::]:8080")], [all.clone(), all.clone(), all]);
        assert_eq!(read("127.0.0.1:80"), Some("127.0.0.1:80".to_owned()));
        for text in ["", ":", "0", ":0", "65536", "host:80", "127.0.0.1", "::1:80x", "::80"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn the_reserve_is_a_second_and_never_more_than_half() {
        let budget = |milliseconds| Grace::Set(Duration::from_millis(milliseconds)).budget().as_millis();
        assert_eq!([budget(30_000), budget(2_000), budget(1_000), budget(0)], [29_000, 1_000, 500, 0]);
    }
}
