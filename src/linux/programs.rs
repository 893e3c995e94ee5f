//! What supervised programs have beyond a command: their output, their announcements, their limits, and a configuration
//! that can be read again.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, fchown, pipe2};

use super::announcements::{Announcements, Channel};
use super::connections::Connections;
use super::exec::{self, Wanted};
use super::logs::{Ends, Logs};
use super::outlet;
use super::sockets::Sockets;
use super::sys::{self, Launch, Limit};
use super::tasks::Tasks;
use super::user::User;
use crate::event::{Event, Outcome};
use crate::outcome::Refusal;
use crate::plan::{Handler, Plan, ProgramId, Setup, Supervised, Task, Traffic};

/// Reads the configuration again; the error is all that is wrong with it.
pub type Reread = Box<dyn FnMut() -> Result<(Plan, Setup), String>>;

/// The number of `RLIMIT_NOFILE` (asm-generic/resource.h); the C libraries do not agree on its type.
const NOFILE: u32 = 7;

/// The drivers that serve supervised programs.
pub(super) struct Programs {
    logs: Logs,
    announcements: Announcements,
    sockets: Sockets,
    tasks: Tasks,
    /// None while nobody wants to know.
    connections: Option<Connections>,
    /// What they read.
    nothing: OwnedFd,
    /// The limit of descriptors that we were given and they get; None where ours is the same.
    descriptors: Option<Limit>,
    reread: Reread,
}

/// What was made for a program's process, until it has it.
struct Given {
    ends: Ends,
    channel: Option<Channel>,
    process: Process,
}

/// What was made for any process of a program.
struct Process {
    directory: Option<CString>,
    oom_score_adj: Option<String>,
    limits: Vec<(u32, Limit)>,
}

impl Programs {
    /// # Errors
    /// Where the kernel has no descriptors for us.
    pub(super) fn new(setup: &Setup, reread: Reread) -> Result<Programs, String> {
        let cannot = |error: io::Error| format!("cannot make ready for programs: {error}");
        outlet::dress_log(setup.log);
        Ok(Programs {
            logs: Logs::new(setup.log),
            announcements: Announcements::new().map_err(cannot)?,
            sockets: Sockets::default(),
            tasks: Tasks::new(),
            connections: None,
            nothing: nothing_to_read().map_err(cannot)?,
            descriptors: raise_descriptors(),
            reread,
        })
    }

    /// Starts a process of this program; `launch` says what every child of ours gets.
    pub(super) fn start(
        &mut self,
        id: ProgramId,
        own: &Supervised,
        wanted: &Wanted<'_>,
        user: Option<&User>,
        launch: &Launch<'_>,
    ) -> Result<i32, Refusal> {
        self.sockets.open(id, &own.sockets).map_err(|reason| Refusal { code: exec::CANNOT_RUN, reason })?;
        let given = self.open(id, own).map_err(|error| Refusal {
            code: exec::NO_PROCESS,
            reason: format!("cannot make the pipes of `{}`: {error}", own.name),
        })?;
        if let Some(identity) = launch.identity {
            given.belong_to(identity.uid, identity.gid);
        }
        let notify = match &given.channel {
            Some(Channel::Pipe(end, number)) => Some((end.as_fd(), *number)),
            Some(Channel::Socket(_)) | None => None,
        };
        let extra: Vec<_> = self.sockets.handed(&own.sockets).chain(notify).collect();
        let stdio = [
            Some(self.nothing.as_fd()),
            given.ends.stdout.as_ref().map(AsFd::as_fd),
            given.ends.stderr.as_ref().map(AsFd::as_fd),
        ];
        let launch = given.process.launch(own, &Launch { stdio, extra: &extra, ..*launch });
        let wanted = Wanted { notify_socket: given.notify_socket(), sockets: &own.sockets, ..*wanted };
        Ok(exec::execute(&wanted, user, &launch)?.pid)
    }

    /// Begins a probe or a hook; the outcome where it is known at once.
    pub(super) fn begin(
        &mut self,
        task: Task,
        own: &Supervised,
        user: Option<&User>,
        launch: &Launch<'_>,
    ) -> Option<Outcome> {
        let Some((_, handler)) = own.handlers.iter().find(|(role, _)| *role == task.role) else {
            return Some(Outcome::Impossible("it is no longer in the configuration".to_owned()));
        };
        let Handler::Exec(argv) = handler else { return self.tasks.call(task, handler) };
        match self.run(task, own, argv, user, launch) {
            Ok(()) => None,
            Err(reason) => Some(Outcome::Impossible(reason)),
        }
    }

    fn run(
        &mut self,
        task: Task,
        own: &Supervised,
        argv: &[OsString],
        user: Option<&User>,
        launch: &Launch<'_>,
    ) -> Result<(), String> {
        let cannot = |error: io::Error| format!("cannot make its pipe: {error}");
        let (ours, theirs) = Tasks::pipe().map_err(cannot)?;
        let process = self.process(own).map_err(cannot)?;
        let stdio = [Some(self.nothing.as_fd()), Some(theirs.as_fd()), Some(theirs.as_fd())];
        let launch = process.launch(own, &Launch { stdio, ..*launch });
        let wanted = Wanted { argv, user: None, own: Some(own), notify_socket: None, sockets: &[] };
        let launched = exec::execute(&wanted, user, &launch).map_err(|refusal| refusal.reason)?;
        self.tasks.started(task, &own.name, launched.pid, ours);
        Ok(())
    }

    /// No longer waits for a probe or a hook.
    pub(super) fn abandon(&mut self, task: Task) {
        self.tasks.abandon(task);
    }

    /// The commands of probes and hooks.
    pub(super) fn tasks(&mut self) -> &mut Tasks {
        &mut self.tasks
    }

    /// Begins to watch who connects, or ends it.
    pub(super) fn watch_connections(&mut self, traffic: Option<&Traffic>) {
        self.connections = traffic.and_then(Connections::watch);
        self.tasks.calls().note_ports(self.connections.is_some());
    }

    /// Closes our side of a program's sockets.
    pub(super) fn unlisten(&mut self, id: ProgramId) {
        self.sockets.close(id);
    }

    /// Makes what a process of this program is to have.
    fn open(&mut self, id: ProgramId, own: &Supervised) -> io::Result<Given> {
        Ok(Given {
            ends: self.logs.open(id, own)?,
            channel: self.announcements.open(id, own.readiness)?,
            process: self.process(own)?,
        })
    }

    /// Makes what every process of this program is to have, its probes and hooks too.
    fn process(&self, own: &Supervised) -> io::Result<Process> {
        let own_limits = own.rlimits.iter().map(|(resource, soft, hard)| {
            (resource.0, Limit { soft: soft.unwrap_or(u64::MAX), hard: hard.unwrap_or(u64::MAX) })
        });
        Ok(Process {
            directory: own
                .directory
                .as_ref()
                .map(|path| CString::new(path.as_os_str().as_bytes()))
                .transpose()?,
            oom_score_adj: own.oom_score_adj.map(|adjustment| adjustment.to_string()),
            limits: self.descriptors.map(|limit| (NOFILE, limit)).into_iter().chain(own_limits).collect(),
        })
    }

    /// Takes in what it has written, before anything is said of it.
    pub(super) fn take_in(&mut self, id: ProgramId) {
        self.logs.take_in(id);
    }

    /// Its process is gone.
    pub(super) fn ended(&mut self, id: ProgramId) {
        self.take_in(id);
        self.announcements.close(id);
    }

    /// The last of what the program wrote.
    pub(super) fn last_lines(&mut self, id: ProgramId) -> Vec<u8> {
        self.logs.take_in(id);
        self.logs.last_lines(id).to_vec()
    }

    /// The last of what the program wrote to its standard output and its standard error.
    pub(super) fn kept(&mut self, id: ProgramId) -> [Vec<u8>; 2] {
        self.logs.take_in(id);
        self.logs.kept(id).map(<[u8]>::to_vec)
    }

    /// The limit of descriptors that programs get in place of ours.
    pub(super) fn descriptors(&self) -> Option<Limit> {
        self.descriptors
    }

    /// These programs are followed from here on, and no others.
    pub(super) fn follow(&mut self, which: Vec<(ProgramId, String)>) {
        self.logs.follow(which);
    }

    /// What those who are followed have written since the last look.
    pub(super) fn written(&mut self) -> Vec<(ProgramId, Vec<u8>)> {
        self.logs.written()
    }

    /// Adds what to ask poll(2) about before [`Programs::attend`].
    pub(super) fn ask<'a>(&'a self, asked: &mut Vec<PollFd<'a>>) {
        self.logs.ask(asked);
        asked.extend(self.announcements.descriptor().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        self.tasks.ask(asked);
        let connections = self.connections.iter().flat_map(Connections::descriptors);
        asked.extend(connections.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    }

    /// When to attend to them although poll(2) has nothing to tell.
    pub(super) fn due(&self) -> Option<Instant> {
        let connections = self.connections.as_ref().and_then(Connections::due);
        self.logs.due().into_iter().chain(connections).min()
    }

    /// Passes on what they write, and tells who is ready, and what has come of probes and hooks.
    pub(super) fn attend(&mut self) -> Vec<Event> {
        self.logs.pump();
        let mut events = self.tasks.attend();
        if self.announcements.descriptor().is_some() {
            events.extend(self.announcements.read().into_iter().map(Event::Ready));
        }
        for port in self.tasks.calls().take_ports() {
            if let Some(connections) = &mut self.connections {
                connections.own(port);
            }
        }
        if let Some(connections) = &mut self.connections
            && connections.attend(Instant::now())
        {
            events.push(Event::Connected);
        }
        events
    }

    /// Passes on the rest of everything, whole lines or not: the end.
    pub(super) fn finish(&mut self) {
        self.logs.finish();
    }

    /// Reads the configuration again.
    pub(super) fn reread(&mut self) -> Result<(Plan, Setup), String> {
        let (plan, setup) = (self.reread)()?;
        outlet::dress_log(setup.log);
        Ok((plan, setup))
    }
}

impl Process {
    /// What of `own` and of this the child has to see to.
    fn launch<'a>(&'a self, own: &Supervised, rest: &Launch<'a>) -> Launch<'a> {
        Launch {
            limits: &self.limits,
            nice: own.nice,
            oom_score_adj: self.oom_score_adj.as_deref().map(str::as_bytes),
            drop_capabilities: own.drop_capabilities.iter().fold(0, |set, number| set | 1 << (number % 64)),
            no_new_privs: own.no_new_privs,
            umask: own.umask,
            directory: self.directory.as_deref(),
            ..*rest
        }
    }
}

impl Given {
    /// Gives the pipes to who the process will be, so that it may open /dev/stdout too, as images link their log files.
    fn belong_to(&self, uid: u32, gid: u32) {
        for end in [&self.ends.stdout, &self.ends.stderr].into_iter().flatten() {
            let _ = fchown(end, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))); // it writes to them all the same
        }
    }

    /// The value of NOTIFY_SOCKET.
    fn notify_socket(&self) -> Option<&str> {
        match &self.channel {
            Some(Channel::Socket(name)) => Some(name),
            Some(Channel::Pipe(..)) | None => None,
        }
    }
}

/// Programs bring two pipes each, and the soft limit is meant for those that use select(2): we take all that we may.
/// Returns what it was, where it could be raised.
fn raise_descriptors() -> Option<Limit> {
    let given = sys::limit(NOFILE, None).ok().filter(|given| given.soft < given.hard)?;
    match sys::limit(NOFILE, Some(Limit { soft: given.hard, ..given })) {
        Ok(before) => Some(before),
        Err(error) => {
            log::debug!("cannot raise the limit of descriptors: {error}; going on with {}", given.soft);
            None
        }
    }
}

/// What reads as the end of a file: /dev/null, or where there is none a pipe that nobody writes to.
fn nothing_to_read() -> io::Result<OwnedFd> {
    match open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(null) => Ok(null),
        Err(_) => Ok(pipe2(OFlag::O_CLOEXEC)?.0),
    }
}

/// Every descriptor that was given to us beyond the standard three is closed: programs get none of ours.
pub(super) fn close_what_we_were_given(keep: BorrowedFd<'_>) {
    use std::os::fd::AsRawFd;
    let mut keep = vec![keep.as_raw_fd(), outlet::stderr().descriptor().as_raw_fd()];
    if let Err(error) = sys::close_all_but(&mut keep) {
        log::debug!("cannot close the descriptors we were given: {error}; keeping them");
    }
}
