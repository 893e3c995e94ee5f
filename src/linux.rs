//! Linux: the only module that makes system calls.
//!
//! One thread, one blocking call ([`Linux::wait`]), one place that reaps ([`Linux::reap`]). Nothing here is fatal once
//! the first child has been started: what cannot be done is said in the log, and we go on.

#[cfg(feature = "config")]
mod announcements;
#[cfg(feature = "health")]
mod calls;
mod cgroup;
#[cfg(feature = "config")]
mod client;
#[cfg(feature = "config")]
mod connections;
#[cfg_attr(not(feature = "config"), path = "linux/no_control.rs")]
mod control;
#[cfg_attr(not(feature = "config"), path = "linux/no_crash.rs")]
mod crash;
#[cfg(feature = "config")]
mod crash_dir;
mod exec;
#[cfg_attr(not(feature = "config"), path = "linux/no_freeze.rs")]
mod freeze;
#[cfg_attr(not(feature = "health"), path = "linux/no_health.rs")]
mod health;
mod hold_file;
#[cfg(feature = "config")]
mod inspect;
#[cfg(feature = "health")]
mod listen;
#[cfg(feature = "config")]
mod logfile;
#[cfg(feature = "config")]
mod logs;
mod message_file;
mod outlet;
#[cfg(feature = "health")]
mod probe;
#[cfg_attr(not(feature = "config"), path = "linux/no_programs.rs")]
mod programs;
#[cfg(feature = "health")]
mod server;
#[cfg(feature = "config")]
mod sockets;
mod strays;
pub mod sys;
mod tail;
#[cfg(feature = "config")]
mod taps;
#[cfg(feature = "config")]
mod tasks;
mod terminal;
mod user;

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use log::LevelFilter;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::prctl::set_name;
use nix::sys::time::TimeSpec;
use nix::unistd::{getegid, geteuid, getgid, getpgid, getpid, getppid, getsid, getuid, read};

use crate::command::{Reply, Said, Word};
use crate::effect::{Breadcrumb, Effect, Target};
use crate::event::{Client, Depth, Event, Outcome, Pid, Reloaded, Sender};
use crate::hold::{self, Place, Platform};
use crate::kernel::Kernel;
use crate::message;
use crate::outcome::{OutOfMemory, Refusal, Report, Status};
use crate::plan::{ProgramId, Setup, Surroundings, Task};
use crate::signal::Signal;
use crate::snapshot::Snapshot;
use crate::text::join;
use crate::time::{Time, utc};
use cgroup::{Cgroup, Kills};
#[cfg(feature = "config")]
pub(crate) use client::{ask, is_terminal, pause, release_without_socket, show};
use control::{Control, Sources};
use crash::Crashes;
#[cfg(feature = "config")]
pub use crash_dir::show as show_crashes;
use exec::Wanted;
use freeze::{Freeze, Stopped};
use health::Health;
use hold_file::HoldFile;
#[cfg(feature = "config")]
pub(crate) use inspect::run as inspect;
use message_file::Message;
#[cfg(feature = "health")]
pub(crate) use probe::call;
use programs::Programs;
pub use programs::Reread;
use sys::{Blocked, Launch, Waited};
use tail::Tail;
use terminal::Terminal;
use user::User;

/// The size of the kernel's `struct signalfd_siginfo` (signalfd(2)).
const SIGNAL_BYTES: usize = 128;
/// How many signals are read at once.
const SIGNALS_AT_ONCE: usize = 8;
/// The signals that a parent may well have ignored, and nothing else: by habit (`nohup`, PIPE, a shell's own), or in
/// glibc's posix_spawn (its own 32 and 33). See [`Linux::reset_dispositions`].
const OFTEN_IGNORED: [i32; 21] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGPIPE,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGURG,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGWINCH,
    libc::SIGIO,
    32,
    33,
];

/// How many exits are told before we look at the signals and the clock again: programs that are started again at once may
/// end faster than they are told.
const EXITS_AT_ONCE: u32 = 100;
/// What we are called while the container is held; the kernel keeps 15 bytes of it (PR_SET_NAME).
const HELD: &CStr = c"sexton (held)";
/// How many strays are reaped before we look at the signals and the clock again.
const REAPED_AT_ONCE: u32 = 1000;

/// Sends the log to standard error from here on, whatever blocks there.
pub(crate) fn log_to_stderr(level: LevelFilter) {
    outlet::start_log(level);
}

/// Prints what was asked for on standard output.
pub(crate) fn print(text: &str) -> u8 {
    print_bytes(text.as_bytes())
}

/// The same for what may be no text.
pub(crate) fn print_bytes(bytes: &[u8]) -> u8 {
    match write_all(sys::stdout(), bytes) {
        Ok(()) => 0,
        Err(errno) => fail(&format!("cannot write to standard output: {}", io::Error::from(errno)), 1),
    }
}

/// Writes all of it, however long that takes; to what is closed it is as good as written.
fn write_all(to: BorrowedFd<'_>, bytes: &[u8]) -> nix::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match nix::unistd::write(to, rest) {
            Ok(0) => return Err(Errno::EIO), // which no file does
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EBADF) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Says why nothing was started, and passes on the exit code that says so too.
pub(crate) fn fail(error: &dyn Display, code: u8) -> u8 {
    let line = format!("sexton: {}\n", outlet::one_line(&error.to_string()));
    let _ = write_all(sys::stderr(), line.as_bytes()); // or nobody reads it
    code
}

/// The same for many errors, a line for each, that say themselves where they are.
pub(crate) fn fail_with_all(errors: &impl Display, code: u8) -> u8 {
    let lines: String = errors.to_string().lines().map(|line| outlet::one_line(line) + "\n").collect();
    let _ = write_all(sys::stderr(), lines.as_bytes()); // or nobody reads it
    code
}

/// Where we run: what the plan has to know, and what was opened on the way.
pub(crate) struct Ground {
    pub(crate) surroundings: Surroundings,
    pid: i32,
    signals: OwnedFd,
    terminal: Option<Terminal>,
}

/// Looks where we are.
///
/// # Errors
/// Where there is no descriptor to read signals from: the first that we open, for none may lie below it.
pub(crate) fn look_around() -> Result<Ground, String> {
    let signals = signal_descriptor().map_err(|error| no_signals(&error))?;
    let own = getpid();
    let terminal = Terminal::find();
    let surroundings = Surroundings {
        is_pid_1: own.as_raw() == 1,
        has_terminal: terminal.is_some(),
        has_job_control: terminal.is_some() && parent_has_job_control(),
        in_kubernetes: in_kubernetes(),
    };
    Ok(Ground { surroundings, pid: own.as_raw(), signals, terminal })
}

/// A path that leads to the same place when the working directory is another.
///
/// # Errors
/// Where the working directory is gone.
pub(crate) fn absolute(path: &Path) -> io::Result<PathBuf> {
    if path.is_absolute() { Ok(path.to_owned()) } else { std::env::current_dir().map(|here| here.join(path)) }
}

/// Where we run, for who does not stay.
pub(crate) fn surroundings() -> Surroundings {
    Surroundings {
        is_pid_1: getpid().as_raw() == 1,
        has_terminal: false,
        has_job_control: false,
        in_kubernetes: in_kubernetes(),
    }
}

/// The rule by which the kernel tells that a process group is not orphaned (setpgid(2)), as far as our parent goes.
fn parent_has_job_control() -> bool {
    let parent = getppid();
    parent.as_raw() != 0 && getsid(Some(parent)) == getsid(None) && getpgid(Some(parent)) != getpgid(None)
}

fn in_kubernetes() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// The real kernel.
pub struct Linux {
    setup: Setup,
    blocked: Blocked,
    started_at: Instant,
    /// Our own process.
    pid: i32,
    is_pid_1: bool,
    /// SIGCHLD was ignored when we were started, and is to be in our child.
    ignore_sigchld: bool,
    signals: OwnedFd,
    /// The same, for reading only what is there.
    signals_at_hand: OwnedFd,
    /// What signals are read into.
    buffer: [u8; SIGNAL_BYTES * SIGNALS_AT_ONCE],
    /// Signals that were read and not yet told.
    received: VecDeque<(Signal, Sender)>,
    /// What comes before everything else: answers to effects, and what a look around brought.
    answers: VecDeque<Event>,
    /// What operators want: it comes after all that has happened, and finds no effect without its answer.
    requests: VecDeque<Event>,
    /// Exits may be waiting to be collected.
    is_reaping: bool,
    /// How many exits have been told since the signals were last looked at.
    exits_told: u32,
    /// Exits have been collected for the deadline that is reached, so that it can be told.
    is_tick_due: bool,
    /// The process of each program, by [`ProgramId`].
    processes: Vec<Option<i32>>,
    /// A program's process that has been told as gone, and stays a zombie until the next event is asked for.
    zombie: Option<i32>,
    freeze: Freeze,
    /// None in exec mode, where the command gets what we were given.
    programs: Option<Programs>,
    terminal: Option<Terminal>,
    message: Option<Message>,
    memory: Option<MemoryWatch>,
    hold_file: Option<HoldFile>,
    /// Made when there is something to watch.
    inotify: Option<Inotify>,
    hold_watch: Option<WatchDescriptor>,
    tail: Option<Tail>,
    health: Option<Health>,
    /// None where nobody will ask for them.
    crashes: Option<Crashes>,
    control: Option<Control>,
    /// Our name before the container was held.
    name: Option<CString>,
    /// How many processes have been reaped that we did not start.
    strays_reaped: u64,
}

/// Whom poll(2) is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    /// Our standard error, which was blocked.
    Stderr,
    Tail,
    Inotify,
    Programs,
    Health,
    Control,
}

/// The cgroup's counters, and whether we are told when memory is short.
struct MemoryWatch {
    cgroup: Cgroup,
    /// The counters at the last look; None where nobody looked before the first death.
    kills: Option<Kills>,
    watch: Option<WatchDescriptor>,
}

impl Linux {
    /// Makes everything ready that has to be before the first child; nothing of it may fail later.
    ///
    /// # Errors
    /// Where the kernel refuses what sexton cannot live without.
    pub(crate) fn new(
        setup: Setup,
        reread: Option<Reread>,
        blocked: Blocked,
        ground: Ground,
    ) -> Result<Linux, String> {
        // Never a terminal for programs.
        let terminal = ground.terminal.filter(|_| reread.is_none());
        if reread.is_some() {
            programs::close_what_we_were_given(ground.signals.as_fd());
        }
        let signals_at_hand =
            sys::signal_descriptor(libc::SFD_NONBLOCK).map_err(|error| no_signals(&error))?;
        let tail = if reread.is_none() { tail_for(setup.tail)? } else { None };
        let programs = reread.map(|reread| Programs::new(&setup, reread)).transpose()?;
        let message = setup.message.as_ref().and_then(Message::find);
        let health = setup.health.map(Health::listen).transpose()?;
        let crashes = Crashes::new(&setup);
        let control = setup.control.as_ref().map(Control::at_start).transpose()?.flatten();
        let mut linux = Linux {
            blocked,
            started_at: Instant::now(),
            pid: ground.pid,
            is_pid_1: ground.surroundings.is_pid_1,
            ignore_sigchld: false,
            signals: ground.signals,
            signals_at_hand,
            buffer: [0; SIGNAL_BYTES * SIGNALS_AT_ONCE],
            received: VecDeque::new(),
            answers: VecDeque::new(),
            requests: VecDeque::new(),
            is_reaping: false,
            exits_told: 0,
            is_tick_due: false,
            processes: vec![None; setup.commands.len()],
            zombie: None,
            freeze: Freeze::default(),
            programs,
            terminal,
            hold_file: setup.hold_file.as_deref().map(HoldFile::new),
            message,
            memory: None,
            inotify: None,
            hold_watch: None,
            tail,
            health,
            crashes,
            control,
            name: None,
            strays_reaped: 0,
            setup,
        };
        linux.reset_dispositions();
        linux.adopt();
        if linux.message.is_some() || linux.crashes.is_some() {
            linux.watch_memory();
        }
        Ok(linux)
    }

    /// Signals get the actions that children are to start with.
    ///
    /// PID 1's children start with the default ones; outside, with those that we were given (`nohup` is meant for the
    /// program). For ourselves only SIGCHLD matters: ignored, the kernel would reap in our place and keep the status
    /// to itself. Runtimes ignore nothing, and each look is a system call at every container's start: whoever ignores
    /// something ignores one of those that often are, and only then the rest is looked at.
    fn reset_dispositions(&mut self) {
        let sigchld_was_ignored = sys::set_default_action(libc::SIGCHLD);
        if !self.is_pid_1 {
            self.ignore_sigchld = sigchld_was_ignored;
            return;
        }
        let ignored = OFTEN_IGNORED.iter().filter(|signal| sys::set_default_action(**signal)).count();
        if ignored > 0 || sigchld_was_ignored {
            for signal in Signal::all().filter(|signal| !signal.is_uncatchable()) {
                sys::set_default_action(signal.number());
            }
        }
    }

    /// Orphans below us come to us, and our parent's death is told to us.
    fn adopt(&mut self) {
        if self.setup.subreaper
            && !self.is_pid_1
            && let Err(error) = nix::sys::prctl::set_child_subreaper(true)
        {
            log::warn!("cannot become a subreaper: {error}; orphans will go to process 1");
        }
        let Some(signal) = self.setup.parent_death else { return };
        let parent = getppid();
        if let Err(error) = sys::set_parent_death_signal(signal.number()) {
            log::warn!("cannot ask for {signal} at the parent's death: {error}; going on without");
        } else if getppid() != parent {
            // It died while we asked, and nothing will ever come.
            self.received.push_back((signal, Sender { pid: 0, uid: 0, value: None }));
        }
    }

    // --- starting

    fn spawn(&mut self, id: ProgramId) -> Event {
        let spawned = self.try_spawn(id);
        if let Some(crashes) = &mut self.crashes {
            crashes.started(id, spawned.as_ref().ok().copied());
        }
        match spawned {
            Ok(pid) => {
                self.processes[id.0] = Some(pid);
                let command = &self.setup.commands[id.0];
                if command.freeze {
                    let name = command.supervised.as_ref().map_or("main", |own| &own.name);
                    self.freeze.trace(id, pid, name, self.terminal.is_some());
                }
                Event::Spawned(id, Pid(pid))
            }
            Err(refusal) => Event::Refused(id, refusal),
        }
    }

    fn try_spawn(&mut self, id: ProgramId) -> Result<i32, Refusal> {
        if let Some(tail) = &mut self.tail {
            tail.forget(); // the last lines are to be this process's
        }
        let command = &self.setup.commands[id.0];
        let user = command.user.as_deref().map(find_user).transpose()?;
        let wanted = Wanted {
            argv: &command.argv,
            user: command.user.as_deref(),
            own: command.supervised.as_deref(),
            notify_socket: None,
            sockets: &[],
        };
        let launch = self.launch(user.as_ref());
        if let (Some(own), Some(programs)) = (command.supervised.as_deref(), &mut self.programs) {
            return programs.start(id, own, &wanted, user.as_ref(), &launch);
        }
        let launch = Launch {
            terminal: self.terminal.as_mut().and_then(Terminal::giving),
            stdio: [None, None, self.tail.as_ref().map(Tail::program_end)],
            ..launch
        };
        let launched = exec::execute(&wanted, user.as_ref(), &launch)?;
        if let Some(error) = launched.terminal_error {
            log::warn!(
                "cannot put main into the terminal's foreground: {error}; it may be stopped when it reads"
            );
        }
        Ok(launched.pid)
    }

    /// What every child of ours gets.
    fn launch<'a>(&self, user: Option<&'a User>) -> Launch<'a> {
        Launch {
            paths: &[],
            is_search: false,
            argv: &[],
            environment: None,
            listen_pid: false,
            terminal: None,
            stdio: [None; 3],
            extra: &[],
            limits: &[],
            nice: None,
            oom_score_adj: None,
            ignore_sigchld: self.ignore_sigchld,
            identity: user.filter(|user| !is_ourselves(user)).map(|user| &user.identity),
            drop_capabilities: 0,
            no_new_privs: false,
            umask: None,
            directory: None,
            parent_death: self.setup.parent_death.map(Signal::number),
            parent: self.pid,
            mask: if self.is_pid_1 { 0 } else { self.blocked.mask_before() },
        }
    }

    /// Begins a probe or a hook.
    fn begin(&mut self, task: Task) {
        let command = &self.setup.commands[task.program.0];
        let user = match command.user.as_deref().map(find_user).transpose() {
            Ok(user) => user,
            Err(refusal) => {
                return self.answers.push_back(Event::Done(task, Outcome::Impossible(refusal.reason)));
            }
        };
        let launch = self.launch(user.as_ref());
        if let (Some(own), Some(programs)) = (command.supervised.as_deref(), &mut self.programs)
            && let Some(outcome) = programs.begin(task, own, user.as_ref(), &launch)
        {
            self.answers.push_back(Event::Done(task, outcome));
        }
    }

    /// No longer waits for a probe or a hook: nothing more is told of it.
    fn abandon(&mut self, task: Task) {
        if let Some(programs) = &mut self.programs {
            programs.abandon(task);
        }
        self.answers.retain(|answer| !matches!(answer, Event::Done(of, _) if *of == task));
    }

    /// Closes what we were given for our child and leaves its directory, so that neither is kept from anybody.
    fn let_go(&mut self) {
        let mut keep: Vec<RawFd> = vec![self.signals.as_raw_fd(), self.signals_at_hand.as_raw_fd()];
        keep.extend(self.terminal.iter().filter_map(Terminal::own_descriptor).map(|fd| fd.as_raw_fd()));
        keep.extend(self.inotify.iter().map(|inotify| inotify.as_fd().as_raw_fd()));
        keep.extend(self.tail.iter().flat_map(Tail::descriptors).map(|fd| fd.as_raw_fd()));
        keep.extend(self.health.as_ref().map(Health::descriptors).unwrap_or_default());
        keep.extend(self.control.as_ref().map(Control::descriptors).unwrap_or_default());
        keep.push(outlet::stderr().descriptor().as_raw_fd());
        if let Err(error) = sys::close_all_but(&mut keep) {
            log::debug!("cannot close the descriptors we were given: {error}; keeping them");
        }
        if let Err(error) = std::env::set_current_dir("/") {
            log::debug!("cannot change to /: {error}; staying");
        }
        sys::give_back_stack();
    }

    // --- waiting

    /// Blocks until something happens, at most until `deadline`. The only place that blocks while anything is left to do.
    fn wait(&mut self, deadline: Option<Time>) {
        self.serve_followers();
        if deadline.is_none() && self.has_signals_only() {
            self.receive(true);
            return;
        }
        let ready = {
            let (sources, mut asked) = self.asked();
            match ppoll(&mut asked, self.timeout(deadline), None) {
                Ok(_) => {}
                Err(Errno::EINTR) => return, // we were stopped and continued
                Err(error) => return pause_after(&format!("cannot wait for events: {error}")),
            }
            let ready = sources.into_iter().zip(&asked).filter(|(_, fd)| fd.any().unwrap_or(false));
            ready.map(|(source, _)| source).collect::<Vec<_>>()
        };
        let is_ready = |source| ready.contains(&source);
        if is_ready(Source::Signals) {
            self.receive(false);
        }
        if is_ready(Source::Stderr) {
            outlet::stderr().flush();
        }
        if let Some(tail) = self.tail.as_mut().filter(|_| is_ready(Source::Tail)) {
            tail.pump();
        }
        if is_ready(Source::Inotify) {
            self.look_at_changes();
        }
        if let Some(programs) = &mut self.programs {
            self.answers.extend(programs.attend());
        }
        self.attend_to_health(is_ready(Source::Health));
        self.attend_to_control(is_ready(Source::Control));
    }

    /// There is nothing else to wait for.
    fn has_signals_only(&self) -> bool {
        let has_drivers = self.programs.is_some() || self.health.is_some() || self.control.is_some();
        !has_drivers && self.inotify.is_none() && self.tail.is_none() && outlet::stderr().is_clear()
    }

    /// What to ask poll(2) about, and what each is.
    fn asked(&self) -> (Vec<Source>, Vec<PollFd<'_>>) {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut asked = vec![readable(self.signals.as_fd())];
        let mut sources = vec![Source::Signals];
        if let Some(programs) = &self.programs {
            programs.ask(&mut asked);
            sources.resize(asked.len(), Source::Programs);
        } else {
            // Blocked output is waited for, and until it moves, nothing more is read that would become output.
            let stderr = outlet::stderr();
            let output = if stderr.is_clear() {
                self.tail.as_ref().map(|tail| (Source::Tail, readable(tail.descriptor())))
            } else {
                Some((Source::Stderr, PollFd::new(stderr.descriptor(), PollFlags::POLLOUT)))
            };
            if let Some((source, fd)) = output {
                asked.push(fd);
                sources.push(source);
            }
        }
        let inotify = self.inotify.as_ref().map(|inotify| (Source::Inotify, inotify.as_fd()));
        let health = self.health.as_ref().map(|health| (Source::Health, health.descriptor()));
        let control = self.control.as_ref().map(|control| (Source::Control, control.descriptor()));
        for (source, fd) in [inotify, health, control].into_iter().flatten() {
            asked.push(readable(fd));
            sources.push(source);
        }
        (sources, asked)
    }

    /// How long to wait for a deadline, and for what our drivers wait for.
    fn timeout(&self, deadline: Option<Time>) -> Option<TimeSpec> {
        let programs = self.programs.as_ref().and_then(Programs::due);
        let health = self.health.as_ref().and_then(Health::due);
        let control = self.control.as_ref().and_then(Control::due);
        let due = [programs, health, control].into_iter().flatten().min();
        let due = due.map(|due| due.saturating_duration_since(Instant::now()));
        let rest = deadline.map(|deadline| deadline.since(self.now()));
        rest.into_iter().chain(due).min().map(TimeSpec::from)
    }

    /// Passes questions about our health on to the supervisor, where there are any or somebody takes too long.
    fn attend_to_health(&mut self, is_ready: bool) {
        let Some(health) = &mut self.health else { return };
        if is_ready || health.due().is_some() {
            self.answers.extend(
                health.attend(Instant::now()).into_iter().map(|client| Event::Asked(client, Depth::Now)),
            );
        }
    }

    /// Passes on what operators ask for, and to them what programs write.
    fn attend_to_control(&mut self, is_ready: bool) {
        let Some(control) = &mut self.control else { return };
        let (programs, tail) = (self.programs.as_mut(), self.tail.as_mut());
        let crashes = self.crashes.as_ref();
        self.requests
            .extend(control.attend(is_ready, Sources { setup: &self.setup, programs, tail, crashes }));
        if control.is_over() {
            self.control = None;
        }
    }

    /// Passes on what programs wrote last, where nothing else may come for long.
    fn serve_followers(&mut self) {
        if let Some(control) = &mut self.control {
            let (programs, tail) = (self.programs.as_mut(), self.tail.as_mut());
            let crashes = self.crashes.as_ref();
            control.pass_on(&mut Sources { setup: &self.setup, programs, tail, crashes });
        }
    }

    /// Reads the signals there are; where there are none, waits for one if it may.
    ///
    /// That poll(2) has seen one is no promise: SIGSTOP and SIGCONT take each other away again, and both can be sent to
    /// PID 1 by anybody.
    fn receive(&mut self, may_block: bool) {
        let signals = if may_block { &self.signals } else { &self.signals_at_hand };
        let count = match read(signals, &mut self.buffer) {
            Ok(count) => count,
            Err(Errno::EINTR | Errno::EAGAIN) => return,
            Err(error) => return pause_after(&format!("cannot read signals: {error}")),
        };
        for info in self.buffer[..count].chunks_exact(SIGNAL_BYTES) {
            let (signal, code, sender) = parse_signal(info);
            let Some(signal) = signal else { continue };
            if signal == Signal::CHLD {
                self.is_reaping = true;
            } else if code != libc::SI_QUEUE && sender.pid == self.pid {
                // The kernel's word for a write of ours: SIGPIPE for a log without a reader, SIGXFSZ for a message larger
                // than files may be. Nobody sent it, and it is not for main.
            } else {
                log::debug!("received {signal} from {}", crate::notice::Origin(sender));
                self.received.push_back((signal, sender));
            }
        }
    }

    /// Collects exits until one is to be told, or none is left. The only place that reaps. None after a great many that
    /// nobody wants to hear of, so that a storm of orphans keeps us from nothing.
    fn reap(&mut self) -> Option<Event> {
        for _ in 0..REAPED_AT_ONCE {
            let (pid, status) = match self.next_exit() {
                Waited::Child(pid, status) => (pid, status),
                Waited::Nothing => return Some(self.all_reaped(false)),
                Waited::NoChild => return Some(self.all_reaped(true)),
            };
            if libc::WIFSTOPPED(status) {
                match self.freeze.stopped(pid, status) {
                    Stopped::GoesOn => continue,
                    Stopped::Paused(number) => {
                        let Some(signal) = Signal::new(number) else { continue };
                        return Some(Event::Paused(Pid(pid), signal));
                    }
                    Stopped::Ends(status) => match self.frozen(pid, status) {
                        Some(event) => return Some(event),
                        None => continue,
                    },
                }
            }
            let noted = self.freeze.ended(pid);
            let Some(status) = parse_status(status) else { continue };
            let program = self.processes.iter().position(|process| *process == Some(pid));
            let is_failure = status != Status::Exited(0);
            let memory = if let Some(index) = program {
                self.processes[index] = None;
                if let Some(programs) = &mut self.programs {
                    programs.ended(ProgramId(index));
                }
                self.note_crash(ProgramId(index));
                noted.or_else(|| is_failure.then(|| self.out_of_memory()))
            } else {
                if matches!(status, Status::Killed { signal, .. } if signal == Signal::KILL) {
                    self.out_of_memory_was_not_mains();
                }
                if let Some(tasks) =
                    self.programs.as_mut().map(Programs::tasks).filter(|tasks| tasks.has(pid))
                {
                    match tasks.ended(pid, status) {
                        Some((task, outcome)) => return Some(Event::Done(task, outcome)),
                        None => continue,
                    }
                }
                self.strays_reaped += 1;
                if !self.setup.tell_strays {
                    continue;
                }
                None
            };
            return Some(Event::Exited { pid: Pid(pid), status, memory });
        }
        None
    }

    /// A process is stopped at its end. What it has written is taken in before anything is said of it.
    fn frozen(&mut self, pid: i32, status: i32) -> Option<Event> {
        let index = self.processes.iter().position(|process| *process == Some(pid));
        let (Some(index), Some(status)) = (index, parse_status(status)) else {
            self.freeze.thaw(pid);
            return None;
        };
        if let Some(programs) = &mut self.programs {
            programs.take_in(ProgramId(index));
        }
        self.note_crash(ProgramId(index));
        let memory = self.out_of_memory();
        self.freeze.note(pid, memory);
        Some(Event::Frozen { pid: Pid(pid), status, memory: Some(memory) })
    }

    /// Takes down what a report on this end will tell, before the counters are read again.
    fn note_crash(&mut self, id: ProgramId) {
        let kills = self.memory.as_ref().and_then(|memory| memory.kills);
        if let Some(crashes) = &mut self.crashes {
            crashes.ended(id, kills.map(|kills| kills.killed));
        }
    }

    /// The next child that has ended or been stopped. A supervised program's process that has ended stays a zombie: what
    /// is left of its group may have to be killed first.
    fn next_exit(&mut self) -> Waited {
        if self.programs.is_none() {
            let Some(crashes) = &mut self.crashes else { return sys::wait_for_any() };
            let (waited, usage) = sys::wait_for_any_with_usage();
            crashes.used(usage);
            return waited;
        }
        match sys::peek_at(None) {
            Waited::Child(pid, status)
                if !libc::WIFSTOPPED(status) && self.processes.contains(&Some(pid)) =>
            {
                self.zombie = Some(pid);
                if let Some(crashes) = &mut self.crashes {
                    crashes.used(sys::usage_of(pid));
                }
                Waited::Child(pid, status)
            }
            Waited::Child(pid, status) => {
                if let Some(programs) = self.programs.as_mut().filter(|_| !libc::WIFSTOPPED(status)) {
                    programs.tasks().clear_up(pid);
                }
                sys::wait_for(pid)
            }
            Waited::Nothing => Waited::Nothing,
            Waited::NoChild => Waited::NoChild,
        }
    }

    /// What somebody wants of us, a signal or an operator. Only where no effect waits for its answer.
    fn next_request(&mut self) -> Option<Event> {
        if !self.answers.is_empty() {
            return None;
        }
        let signal = self.received.pop_front().map(|(signal, sender)| Event::Signal(signal, sender));
        signal.or_else(|| self.requests.pop_front())
    }

    fn is_reached(&self, deadline: Option<Time>) -> bool {
        deadline.is_some_and(|deadline| deadline <= self.now())
    }

    fn all_reaped(&mut self, alone: bool) -> Event {
        self.is_reaping = false;
        Event::Reaped { alone }
    }

    // --- memory and files

    /// Remembers the counters, and has us told when memory is short where that can be.
    fn watch_memory(&mut self) {
        let Some(cgroup) = Cgroup::find() else { return };
        let kills = cgroup.kills();
        self.memory = Some(MemoryWatch { cgroup, kills, watch: None });
        self.arm_memory_watch();
    }

    fn arm_memory_watch(&mut self) {
        let Some(memory) = &self.memory else { return };
        if self.message.is_none() || memory.watch.is_some() || memory.cgroup.memory().is_none() {
            return; // nobody is told of it, or there is no limit to come close to
        }
        let Some(file) = memory.cgroup.events_file() else { return };
        let watch = self.add_watch(&file, AddWatchFlags::IN_MODIFY);
        if let Some(memory) = &mut self.memory {
            memory.watch = watch;
        }
    }

    /// A stray was killed: if it was for memory, then main's own end is another matter.
    fn out_of_memory_was_not_mains(&mut self) {
        if let Some(memory) = &mut self.memory {
            memory.kills = memory.cgroup.kills();
        }
    }

    fn out_of_memory(&mut self) -> OutOfMemory {
        if let Some(memory) = &mut self.memory {
            let now = memory.cgroup.kills();
            let verdict = cgroup::verdict(memory.kills, now);
            memory.kills = now;
            verdict
        } else {
            let Some(cgroup) = Cgroup::find() else { return OutOfMemory::Unknown };
            let kills = cgroup.kills();
            self.memory = Some(MemoryWatch { cgroup, kills, watch: None });
            cgroup::verdict(None, kills)
        }
    }

    /// Looks at the memory in use; told is what is close to the limit, and on request what is not.
    fn read_memory(&mut self, on_request: bool) {
        let Some(now) = self.memory.as_ref().and_then(|memory| memory.cgroup.memory()) else { return };
        if now.is_close() {
            // Under pressure every allocation would wake us: the supervisor asks again when it wants to know.
            if let Some(watch) = self.memory.as_mut().and_then(|memory| memory.watch.take()) {
                self.remove_watch(watch);
            }
        } else if on_request {
            self.arm_memory_watch();
        } else {
            return;
        }
        self.answers.push_back(Event::Memory(now));
    }

    fn add_watch(&mut self, path: &Path, flags: AddWatchFlags) -> Option<WatchDescriptor> {
        if self.inotify.is_none() {
            self.inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok();
        }
        self.inotify.as_ref()?.add_watch(path, flags).ok()
    }

    fn remove_watch(&mut self, watch: WatchDescriptor) {
        if let Some(inotify) = &self.inotify {
            let _ = inotify.rm_watch(watch); // it is gone already where what it watched is
        }
        let memory_watch = self.memory.as_ref().and_then(|memory| memory.watch);
        if self.hold_watch.is_none() && memory_watch.is_none() {
            self.inotify = None;
        }
    }

    fn look_at_changes(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        let Ok(changes) = inotify.read_events() else { return };
        let of_memory = self.memory.as_ref().and_then(|memory| memory.watch);
        let (hold, memory) = changes.iter().fold((false, false), |(hold, memory), change| {
            (hold || Some(change.wd) == self.hold_watch, memory || Some(change.wd) == of_memory)
        });
        if hold {
            self.read_hold_file();
        }
        if memory {
            self.read_memory(false);
        }
    }

    fn read_hold_file(&mut self) {
        if let Some(file) = &mut self.hold_file {
            self.answers.push_back(Event::HoldFile(file.read()));
        }
    }

    fn watch_hold_file(&mut self, watch: bool) {
        if let Some(old) = self.hold_watch.take() {
            self.remove_watch(old);
        }
        let Some(directory) = self.hold_file.as_ref().filter(|_| watch).map(HoldFile::directory) else {
            return;
        };
        let flags = AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_CLOSE_WRITE;
        self.hold_watch = self.add_watch(&directory, flags);
    }

    // --- signals

    fn send(&mut self, target: Target, signal: Signal, sender: Option<Sender>) {
        let number = signal.number();
        let sent = match target {
            Target::Process(Pid(pid)) => match sender.and_then(|sender| Some((sender, sender.value?))) {
                // Where no more signals may be queued, it goes without what came with it.
                Some((sender, value)) => sys::queue(pid, number, (sender.pid, sender.uid), value)
                    .or_else(|_| sys::kill(pid, number)),
                None => sys::kill(pid, number),
            },
            Target::Group(Pid(pid)) => sys::kill(-pid, number).or_else(|error| match error.raw_os_error() {
                Some(libc::ESRCH) => sys::kill(pid, number), // it has left its group for another
                _ => Err(error),
            }),
            Target::Everyone => self.send_everyone(number),
            Target::Strays => {
                let mut programs: Vec<i32> = self.processes.iter().flatten().copied().collect();
                programs.extend(
                    self.programs.as_mut().map(Programs::tasks).iter().flat_map(|tasks| tasks.pids()),
                );
                if strays::kill_descendants(number, &programs) {
                    Ok(())
                } else if self.is_pid_1 && programs.is_empty() {
                    sys::kill_everyone(number)
                } else {
                    log::warn!("cannot find what was left behind: /proc is not mounted; leaving it alone");
                    Ok(())
                }
            }
        };
        match sent {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {} // nobody is left to get it
            Err(error) => log::warn!("cannot send {signal} to {target}: {error}; going on"),
        }
    }

    fn send_everyone(&mut self, signal: i32) -> io::Result<()> {
        if self.is_pid_1 {
            return sys::kill_everyone(signal);
        }
        if !strays::kill_descendants(signal, &[]) {
            log::warn!(
                "cannot find what is left below us: /proc is not mounted; telling only what we started"
            );
            for pid in self.processes.iter().flatten() {
                sys::kill(*pid, signal)?;
            }
        }
        Ok(())
    }

    fn say_who_is_left(&self) {
        let found = if self.is_pid_1 { strays::everyone_else() } else { strays::descendants(self.pid, &[]) };
        let Some(found) = found.filter(|found| !found.is_empty()) else {
            log::warn!("waiting for what is left to end");
            return;
        };
        let names: Vec<String> =
            found.iter().take(10).map(|process| format!("{} ({})", process.name, process.pid)).collect();
        let more = if found.len() > names.len() {
            format!(" and {} more", found.len() - names.len())
        } else {
            String::new()
        };
        log::warn!("waiting for what is left: {}{more}", join(&names, ", "));
    }

    // --- words

    /// Reads the configuration again; what is wrong with it is said, and nothing changes.
    fn reload(&mut self, client: Option<Client>) {
        let Some(programs) = &mut self.programs else {
            return self
                .refuse(client, "there is no configuration to read: sexton was started with a command");
        };
        let (plan, mut setup) = match programs.reread() {
            Ok(read) => read,
            Err(errors) => {
                for line in errors.lines() {
                    log::error!("{line}");
                }
                log::error!("cannot read the configuration again; going on with the old one");
                return self.refuse(client, &errors);
            }
        };
        let pairs = setup.commands.iter().zip(&self.setup.commands).enumerate();
        let changed = pairs.filter(|(_, (new, old))| new != old).map(|(index, _)| ProgramId(index)).collect();
        self.processes.resize(setup.commands.len(), None);
        // What is gone still has its hook while it stops.
        for (new, old) in setup.commands.iter_mut().zip(&mut self.setup.commands) {
            if new.argv.is_empty() {
                std::mem::swap(new, old);
            }
        }
        if setup.hold_file != self.setup.hold_file {
            self.hold_file = setup.hold_file.as_deref().map(HoldFile::new);
        }
        // Where the message goes and what we are to others was settled at the start.
        let (own, Setup { commands, hold_file, tail, log, traffic, .. }) = (&mut self.setup, setup);
        (own.commands, own.hold_file, own.tail, own.log, own.traffic) =
            (commands, hold_file, tail, log, traffic);
        self.answers.push_back(Event::Reloaded(Box::new(Reloaded { plan, changed, client })));
    }

    /// Answers a command with what was wrong with it, line by line.
    fn refuse(&mut self, client: Option<Client>, errors: &str) {
        if let (Some(client), Some(control)) = (client, &mut self.control) {
            let mut results = Vec::new();
            for line in errors.lines() {
                results.push(Said { program: None, word: Word::Refused, text: line.to_owned() });
            }
            control.reply(client, &Reply { results });
        }
    }

    /// Who lists processes sees that the container is held, and so does `release` where it has no socket. A socket that is
    /// for holds comes and goes with it.
    fn show_held(&mut self, is_held: bool) {
        let (wanted, control) = (&self.setup.control, &mut self.control);
        if is_held {
            let own = std::fs::read("/proc/self/comm").unwrap_or_default();
            let own = own
                .strip_suffix(b"\n")
                .map_or_else(|| c"sexton".into(), |own| CString::new(own).unwrap_or_default());
            self.name.get_or_insert(own);
            if let Some(wanted) = wanted {
                Control::while_held(control, wanted);
            }
        } else if let (Some(control), true) = (control, wanted.as_ref().is_some_and(|own| own.is_for_holds)) {
            control.close();
        }
        let before = if is_held { None } else { self.name.take() };
        let _ = set_name(before.as_deref().unwrap_or(HELD)); // it is only for show
    }

    /// The last lines of a program and how many of them are wanted, everything until now included.
    fn last_lines(&mut self, id: Option<ProgramId>) -> (Vec<u8>, usize) {
        let lines = self.setup.tail;
        if let (Some(programs), Some(id)) = (&mut self.programs, id) {
            return (programs.last_lines(id), lines);
        }
        let Some(tail) = &mut self.tail else { return (Vec::new(), 0) };
        tail.take_in();
        (tail.kept().to_vec(), lines)
    }

    /// Keeps all that can be known of an end.
    fn keep_crash(&mut self, report: &Report, snapshot: &Snapshot) {
        let Some(command) = self.setup.commands.get(report.id.0) else { return };
        let output = match (&mut self.programs, &mut self.tail) {
            (Some(programs), _) => crash::output(command, programs.kept(report.id)),
            (None, Some(tail)) => {
                tail.take_in();
                crash::output(command, [Vec::new(), tail.kept().to_vec()])
            }
            (None, None) => [Err(crash::PASSES_BY), Err(crash::PASSES_BY)],
        };
        let cgroup = self.memory.as_ref().map(|memory| &memory.cgroup);
        let descriptors = self.programs.as_ref().and_then(Programs::descriptors);
        if let Some(crashes) = &mut self.crashes {
            crashes.keep(report, snapshot, command, &output, (cgroup, descriptors));
        }
    }

    fn report(&mut self, report: &Report) {
        let (stderr, lines) = self.last_lines(Some(report.id));
        if let Some(file) = &mut self.message {
            let text = message::render(report, &stderr, lines, file.format);
            file.finish(&text);
        }
    }

    fn leave_breadcrumb(&mut self, note: Option<&Breadcrumb>) {
        let held = match note {
            Some(Breadcrumb::Held(report)) => Some(report.id),
            Some(Breadcrumb::StopRequested(_) | Breadcrumb::NearMemoryLimit(_)) | None => None,
        };
        let (stderr, lines) = self.last_lines(held);
        let Some(file) = &mut self.message else { return };
        let at = utc(SystemTime::now());
        let text = note.map_or_else(String::new, |note| {
            message::render_breadcrumb(note, &at, &stderr, lines, file.format)
        });
        file.leave_note(&text);
    }

    /// Writes out what standard error has not taken yet, as long as a reader that is slow may take; a signal cuts it
    /// short. The last thing before the end.
    pub(crate) fn last_words(&mut self, until: Time) {
        loop {
            if let Some(tail) = &mut self.tail {
                tail.pump();
            }
            if let Some(programs) = &mut self.programs {
                programs.finish();
            }
            self.serve_followers();
            let blocked = outlet::blocked();
            let now = self.now();
            if blocked.is_empty() || now >= until {
                return;
            }
            let mut asked = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            asked.extend(blocked.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLOUT)));
            let _ = ppoll(&mut asked, Some(TimeSpec::from(until.since(now))), None); // EINTR: we look again
            let is_signalled = asked[0].any() == Some(true);
            outlet::flush();
            if is_signalled {
                self.receive(false); // an exit that was reaped before its SIGCHLD was read is no signal to us
                if !self.received.is_empty() {
                    return;
                }
            }
        }
    }
}

impl Kernel for Linux {
    fn now(&self) -> Time {
        Time::new(self.started_at.elapsed())
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn(id) => {
                let answer = self.spawn(id);
                self.answers.push_back(answer);
            }
            Effect::Signal(target, signal, sender) => self.send(target, signal, sender),
            Effect::GiveTerminal(Pid(group)) => {
                if let Some(terminal) = &mut self.terminal {
                    terminal.give(group);
                }
            }
            Effect::TakeTerminal => {
                if let Some(terminal) = &mut self.terminal {
                    terminal.take();
                }
            }
            Effect::StopSelf(signal) => {
                if let Some(terminal) = &mut self.terminal {
                    terminal.leave_to_shell();
                }
                if let Err(error) = signal_hook::low_level::emulate_default_handler(signal.number()) {
                    log::warn!("cannot stop as {signal} would: {error}; going on");
                }
            }
            Effect::LetGo => self.let_go(),
            Effect::Thaw(Pid(pid)) => self.freeze.thaw(pid),
            Effect::Reap => self.is_reaping = true,
            Effect::Begin(task) => self.begin(task),
            Effect::Abandon(task) => self.abandon(task),
            Effect::Unlisten(id) => {
                if let Some(programs) = &mut self.programs {
                    programs.unlisten(id);
                }
            }
            Effect::WatchConnections(watch) => {
                if let Some(programs) = &mut self.programs {
                    programs.watch_connections(watch.then_some(&self.setup.traffic));
                }
            }
            Effect::Tell(client, snapshot) => {
                if Control::has(client) {
                    if let Some(control) = &mut self.control {
                        control.tell(client, &snapshot);
                    }
                } else if let Some(health) = &mut self.health {
                    health.tell(client, &snapshot, self.strays_reaped);
                }
            }
            Effect::Reply(client, reply) => {
                if let Some(control) = &mut self.control {
                    control.reply(client, &reply);
                }
            }
            Effect::KeepCrash(report, snapshot) => self.keep_crash(&report, &snapshot),
            Effect::ShowHeld(is_held) => self.show_held(is_held),
            Effect::ReadHoldFile => self.read_hold_file(),
            Effect::WatchHoldFile(watch) => self.watch_hold_file(watch),
            Effect::Reload(client) => self.reload(client),
            Effect::ReadMemory => self.read_memory(true),
            Effect::Breadcrumb(note) => self.leave_breadcrumb(note.as_ref()),
            Effect::Report(report) => self.report(&report),
            Effect::AnnounceHold { report, limit } => {
                // What has ended and still has a process is kept at its end.
                let process = self.processes.get(report.id.0).copied().flatten();
                let frozen = process.filter(|pid| self.freeze.has(*pid));
                for line in hold::announcement(&report, limit, frozen, &place()) {
                    log::warn!("{line}");
                }
            }
            Effect::SayWhoIsLeft => self.say_who_is_left(),
            Effect::Say(notice) => log::log!(notice.level(), "{notice}"),
        }
    }

    fn next(&mut self, deadline: Option<Time>) -> Event {
        if let Some(zombie) = self.zombie.take() {
            sys::wait_for(zombie);
        }
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return answer;
            }
            if self.is_reaping {
                if self.exits_told < EXITS_AT_ONCE
                    && let Some(event) = self.reap()
                {
                    self.exits_told += 1;
                    return event;
                }
                // A storm that goes on: what else there is does not wait for its end.
                self.exits_told = 0;
                self.wait(Some(self.now()));
                if let Some(event) = self.next_request() {
                    return event;
                }
                if self.is_reached(deadline) {
                    return Event::Tick;
                }
            }
            if let Some(event) = self.next_request() {
                return event;
            }
            if self.is_reaping {
                continue;
            }
            if self.is_reached(deadline) {
                // An exit that has happened comes before a deadline that is reached: look once more, then tell.
                if std::mem::take(&mut self.is_tick_due) {
                    return Event::Tick;
                }
                self.is_tick_due = true;
                self.is_reaping = true;
                // Where one deadline follows the other, this is the only look at everything else. It does not block.
                self.wait(deadline);
                continue;
            }
            self.is_tick_due = false;
            self.wait(deadline);
        }
    }
}

/// Opens a file that somebody named: it may turn out to be a FIFO or a terminal, and is not to block us then.
fn open_regular_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

/// What the kernel says, as the rest of a sentence.
#[cfg(feature = "config")]
fn in_words(errno: Errno) -> String {
    let words = errno.desc();
    words.get(..1).unwrap_or_default().to_ascii_lowercase() + words.get(1..).unwrap_or_default()
}

fn no_signals(error: &io::Error) -> String {
    format!("cannot make a descriptor for signals: {error}")
}

/// Makes the descriptor that signals are read from, at 3 or above.
///
/// Where some of 0 to 2 are closed, descriptors of this kind fill their places: nothing of ours may land there, or what
/// is written to standard error would go into it. They are closed on exec, so that a child finds what we found.
fn signal_descriptor() -> io::Result<OwnedFd> {
    loop {
        let fd = sys::signal_descriptor(0)?;
        if fd.as_raw_fd() > libc::STDERR_FILENO {
            return Ok(fd);
        }
        let _stays_open = fd.into_raw_fd();
    }
}

/// For what cannot happen while the kernel has any memory left. Should it all the same, we must not spin.
fn pause_after(problem: &str) {
    log::error!("{problem}; trying again in a second");
    std::thread::sleep(Duration::from_secs(1));
}

fn tail_for(lines: usize) -> Result<Option<Tail>, String> {
    if lines == 0 {
        return Ok(None);
    }
    if nix::unistd::isatty(sys::stderr()) == Ok(true) {
        log::warn!("cannot keep the last lines of stderr: it is a terminal; going on without");
        return Ok(None);
    }
    Tail::new().map(Some).map_err(|error| format!("cannot make a pipe for stderr: {error}"))
}

fn find_user(spec: &str) -> Result<User, Refusal> {
    user::find(spec, getgid().as_raw()).map_err(|cause| Refusal {
        code: exec::CANNOT_RUN,
        reason: format!("cannot run as `{spec}`: {cause}"),
    })
}

/// Nothing has to be changed to be this user, so no privilege is needed for it.
fn is_ourselves(user: &User) -> bool {
    let (uid, gid) = (user.identity.uid, user.identity.gid);
    uid != 0
        && [getuid(), geteuid()].iter().all(|own| own.as_raw() == uid)
        && [getgid(), getegid()].iter().all(|own| own.as_raw() == gid)
}

/// Reads a `struct signalfd_siginfo` (signalfd(2)): the number, why it was sent, and by whom.
fn parse_signal(info: &[u8]) -> (Option<Signal>, i32, Sender) {
    let word = |at: usize| info.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes);
    let long = |at: usize| info.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes);
    let code = word(8).cast_signed();
    let value = (code == libc::SI_QUEUE).then(|| long(48));
    (Signal::new(word(0).cast_signed()), code, Sender { pid: word(12).cast_signed(), uid: word(16), value })
}

/// Reads the status that wait(2) fills in; None for a process that is not gone.
fn parse_status(status: i32) -> Option<Status> {
    if libc::WIFEXITED(status) {
        return u8::try_from(libc::WEXITSTATUS(status)).ok().map(Status::Exited);
    }
    let signal = libc::WIFSIGNALED(status).then(|| Signal::new(libc::WTERMSIG(status)))??;
    Some(Status::Killed { signal, core: libc::WCOREDUMP(status) })
}

/// Where our own binary is. The link of our process leads to it also where the file has been moved away.
fn binary() -> String {
    let path = std::env::current_exe().ok().filter(|path| path.exists());
    path.map_or_else(|| "/proc/1/exe".to_owned(), |path| path.display().to_string())
}

/// Where we are held, as the environment shows it.
fn place() -> Place {
    let exists = |path: &str| Path::new(path).exists();
    let namespace = || {
        let text = std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace").ok()?;
        Some(text.trim().to_owned()).filter(|namespace| !namespace.is_empty())
    };
    let platform = if in_kubernetes() {
        Platform::Kubernetes(namespace())
    } else if std::env::var_os("container").is_some_and(|name| name == "podman")
        || exists("/run/.containerenv")
    {
        Platform::Podman
    } else if exists("/.dockerenv") {
        Platform::Docker
    } else {
        Platform::Unknown
    };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hostname =
        nix::sys::utsname::uname().ok().and_then(|names| names.nodename().to_str().map(str::to_owned));
    Place {
        platform,
        hostname: hostname.filter(|name| !name.is_empty()).unwrap_or_else(|| "CONTAINER".to_owned()),
        container: hold::container_name(&mounts).map(str::to_owned),
        pid: std::process::id(),
        has_shell: exists("/bin/sh"),
        binary: binary(),
    }
}
