//! Probes and hooks at work: the commands that they run, and the calls that they make over the network.
//!
//! What a command writes is read here, so that it never waits for us. A hook's lines go to the log; of a probe's output
//! the beginning is kept, for the reason that it failed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::{pipe2, read};

use super::calls::Calls;
use super::{strays, sys};
use crate::event::{Event, Outcome};
use crate::outcome::Status;
use crate::plan::{Handler, Task};

/// How much of a probe's output is kept, in bytes; a kubelet keeps as much.
const KEPT: usize = 10 * 1024;
/// How long a line of a hook may be before it is cut into pieces, in bytes.
const LONGEST: usize = 4096;
/// How much of what was written is quoted in a reason, in bytes.
const QUOTED: usize = 300;
/// How many pipes are looked at at once.
const AT_ONCE: usize = 32;
/// How often one is read before the others get their turn.
const READS: usize = 16;

/// A command at work.
struct Command {
    /// None once it is over, and what it has left behind still writes.
    pid: Option<i32>,
    /// The number by which the epoll knows it.
    number: u64,
    /// None once nobody waits for it any more: its end is no stray's.
    task: Option<Task>,
    /// The program's name.
    program: String,
    /// Our end of its output.
    output: Option<OwnedFd>,
    /// What it has written: of a probe the beginning, of a hook the line that is not whole yet.
    kept: Vec<u8>,
}

/// All that are at work.
pub(super) struct Tasks {
    epoll: Option<Epoll>,
    commands: Vec<Command>,
    /// The number of the last of them.
    last: u64,
    calls: Calls,
}

impl Tasks {
    pub(super) fn new() -> Tasks {
        Tasks { epoll: None, commands: Vec::new(), last: 0, calls: Calls::new() }
    }

    /// Makes the pipe for a command's output.
    pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?; // nobody shares this end
        Ok((ours, theirs))
    }

    /// A command has been started for this task.
    pub(super) fn started(&mut self, task: Task, program: &str, pid: i32, output: OwnedFd) {
        self.last += 1;
        let watched = self.watch(self.last, &output);
        if let Err(error) = &watched {
            log::warn!("cannot read what the {} of {program} writes: {error}; going on", task.role.name());
        }
        self.commands.push(Command {
            pid: Some(pid),
            number: self.last,
            task: Some(task),
            program: program.to_owned(),
            output: watched.is_ok().then_some(output),
            kept: Vec::new(),
        });
    }

    fn watch(&mut self, number: u64, output: &OwnedFd) -> io::Result<()> {
        let epoll = match &self.epoll {
            Some(epoll) => epoll,
            None => self.epoll.insert(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?),
        };
        Ok(epoll.add(output, EpollEvent::new(EpollFlags::EPOLLIN, number))?)
    }

    /// Makes a call; the outcome where it is known at once.
    pub(super) fn call(&mut self, task: Task, handler: &Handler) -> Option<Outcome> {
        self.calls.begin(task, handler)
    }

    /// The calls that are under way.
    pub(super) fn calls(&mut self) -> &mut Calls {
        &mut self.calls
    }

    /// Nobody waits for this task any more: what it has started is killed.
    pub(super) fn abandon(&mut self, task: Task) {
        self.calls.abandon(task);
        for command in self.commands.iter_mut().filter(|command| command.task == Some(task)) {
            let Some(pid) = command.pid else { continue };
            command.task = None;
            command.output = None; // closed, it leaves the set; who still writes gets SIGPIPE
            strays::kill_tree(pid);
        }
    }

    /// The processes of commands.
    pub(super) fn pids(&self) -> impl Iterator<Item = i32> {
        self.commands.iter().filter_map(|command| command.pid)
    }

    /// This child is a command of ours.
    pub(super) fn has(&self, pid: i32) -> bool {
        self.pids().any(|other| other == pid)
    }

    /// This child has ended and not been reaped: what a probe leaves behind in its group goes with it.
    pub(super) fn clear_up(&self, pid: i32) {
        let is_probe = |command: &Command| !command.task.is_some_and(|task| task.role.is_hook());
        if self.commands.iter().any(|command| command.pid == Some(pid) && is_probe(command)) {
            let _ = sys::kill(-pid, libc::SIGKILL); // ESRCH: nothing is left
        }
    }

    /// This command has ended: its outcome, where somebody waits for it.
    pub(super) fn ended(&mut self, pid: i32, status: Status) -> Option<(Task, Outcome)> {
        let place = self.commands.iter().position(|command| command.pid == Some(pid))?;
        let command = self.commands.get_mut(place)?;
        command.pid = None;
        command.take_in();
        let task = command.task;
        let is_hook = task.is_some_and(|task| task.role.is_hook());
        let quoted = if is_hook { String::new() } else { quoted(&command.kept) };
        // What a hook has left running goes on writing; a probe's is gone.
        if !is_hook || command.output.is_none() {
            command.say_rest();
            self.commands.swap_remove(place);
        }
        let task = task?;
        let outcome = match status {
            Status::Exited(0) => Outcome::Passed,
            Status::Exited(code) => Outcome::Failed(format!("exited with code {code}{quoted}")),
            Status::Killed { signal, .. } => Outcome::Failed(format!("killed by {signal}{quoted}")),
        };
        Some((task, outcome))
    }

    /// Adds what to ask poll(2) about before [`Tasks::attend`].
    pub(super) fn ask<'a>(&'a self, asked: &mut Vec<PollFd<'a>>) {
        let own = self.epoll.as_ref().filter(|_| !self.commands.is_empty()).map(|epoll| epoll.0.as_fd());
        let all: [Option<BorrowedFd<'a>>; 2] = [own, self.calls.descriptor()];
        asked.extend(all.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    }

    /// Reads what commands write, and tells what has come of the calls.
    pub(super) fn attend(&mut self) -> Vec<Event> {
        self.read();
        let calls = if self.calls.descriptor().is_some() { self.calls.attend() } else { Vec::new() };
        calls.into_iter().map(|(task, outcome)| Event::Done(task, outcome)).collect()
    }

    fn read(&mut self) {
        let Some(epoll) = self.epoll.as_ref().filter(|_| !self.commands.is_empty()) else { return };
        let mut events = [EpollEvent::empty(); AT_ONCE];
        let count = epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in events.iter().take(count) {
            if let Some(command) = self.commands.iter_mut().find(|command| command.number == event.data()) {
                command.take_in();
                if command.output.is_none() {
                    command.say_rest();
                }
            }
        }
        self.commands.retain(|command| command.pid.is_some() || command.output.is_some());
    }
}

impl Command {
    /// Reads what there is, within reason.
    fn take_in(&mut self) {
        let mut buffer = [0; LONGEST];
        for _ in 0..READS {
            let Some(output) = &self.output else { return };
            match read(output, &mut buffer) {
                Ok(0) => self.output = None, // the last writer is gone
                Ok(count) => self.take(&buffer[..count]),
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        if !self.task.is_some_and(|task| task.role.is_hook()) {
            let room = KEPT.saturating_sub(self.kept.len()).min(bytes.len());
            self.kept.extend_from_slice(&bytes[..room]);
            return;
        }
        for byte in bytes {
            if *byte == b'\n' || self.kept.len() >= LONGEST {
                self.say_rest();
            }
            if *byte != b'\n' {
                self.kept.push(*byte);
            }
        }
    }

    /// Says the line that has come so far.
    fn say_rest(&mut self) {
        if let Some(task) = self.task.filter(|task| task.role.is_hook() && !self.kept.is_empty()) {
            let line = String::from_utf8_lossy(&self.kept);
            log::info!("{}: {}: {}", self.program, task.role.name(), line.trim_end());
            self.kept.clear();
        }
    }
}

/// What a probe has written, as far as a reason has room for it.
fn quoted(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let text = text.trim();
    let cut = text.get(..text.floor_char_boundary(QUOTED)).unwrap_or_default();
    match (cut.is_empty(), cut.len() < text.len()) {
        (true, _) => String::new(),
        (false, false) => format!(": {cut}"),
        (false, true) => format!(": {cut} ..."),
    }
}
