//! The log pump: what programs write to their pipes goes on in whole lines, to our own output or to files.
//!
//! One thread, and nothing blocks. The pipes stand in one epoll set for each place that their lines go to, so that the loop asks
//! about three descriptors at most, however many programs there are, and a blocked output stops those that feed it and
//! nobody else: they feel it in their full pipes.
//!
//! A program that writes line by line could wake us for each. So where something came soon after the last time, the
//! set is left alone for a moment, and one read takes many lines. The first line after a silence never waits, and when
//! nobody writes, nothing wakes us. A busy stream leaves its set and is read whenever a pause ends: a pipe that somebody
//! waits for makes each write to it dearer by a third.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::{pipe2, read};

use super::logfile::{FileId, Files, Named, named};
use super::outlet::{self, Standard};
use super::tail::{KEPT, keep};
use super::taps::Taps;
use crate::framing::Framing;
use crate::plan::{Logfile, Output, ProgramId, Sink, Style, Supervised};
use crate::time::utc_milliseconds;

/// How much is read at once, in bytes.
const AT_ONCE: usize = 64 * 1024;
/// What a pipe holds, in bytes (pipe(7)).
const PIPE: usize = 64 * 1024;
/// What that of a busy stream is made to hold: one that is full before the pause is over keeps its program waiting. Twice
/// as much makes nothing faster, and a user's share is limited (pipe(7), `pipe-user-pages-soft`).
const LARGE_PIPE: usize = 512 * 1024;
/// From how much at once on a stream is busy, and up to how much it no longer is. A pipe is full with less than it can
/// hold: a write that fits into no page begins a new one.
const MUCH: usize = PIPE / 2;
const LITTLE: usize = PIPE / 16;
/// How large a buffer for dressed lines is kept through a burst, in bytes.
const LARGE: usize = 4 * AT_ONCE;
/// How much is passed on before signals and deadlines are looked at again, in bytes.
const AT_MOST: usize = 1024 * 1024;
/// How many streams are asked about at once.
const EVENTS: usize = 32;
/// What comes so long after the last is more of the same.
const SOON: Duration = Duration::from_millis(5);
/// How long a busy set is left alone then.
const PAUSE: Duration = Duration::from_micros(500);
/// The same where pipes could not be made large; they are full sooner.
const SHORT_PAUSE: Duration = Duration::from_micros(100);
/// How long a record is held back for the lines that may belong to it.
const HOLD: Duration = Duration::from_millis(50);

/// What a process gets as its standard output and error; None is what sexton has itself. Where both are one pipe,
/// they are two descriptors of it.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

/// Where lines go, as far as waiting is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Toward {
    /// One of our own two, which may be blocked.
    Outlet(Standard),
    /// A file or nowhere, which never is.
    Elsewhere,
}

/// The pipes whose lines go the same way.
#[derive(Default)]
struct Feed {
    /// Made with the first of them.
    epoll: Option<Epoll>,
    /// How many there are.
    streams: usize,
    /// Those that are busy, and stand outside of the set; as long as there are any, there is a pause to end.
    busy: Vec<usize>,
    /// When something was last read.
    pumped_at: Option<Instant>,
    /// Until when it is left alone.
    paused_until: Option<Instant>,
}

/// Where the lines of one stream go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Destination {
    Outlet(Standard),
    File(FileId),
    Nowhere,
}

/// One pipe that a process, or what it has started, writes to.
struct Stream {
    /// Our end, non-blocking.
    pipe: OwnedFd,
    program: ProgramId,
    /// What it is in its program.
    standard: Standard,
    destination: Destination,
    framing: Framing,
    /// What the pipe holds, in bytes.
    size: usize,
    /// It is among [`Feed::busy`].
    is_busy: bool,
    /// When something last came; None while it does not matter: no record is held back.
    held_at: Option<Instant>,
    /// It stands in [`Logs::held`].
    is_queued: bool,
}

/// What belongs to the process that a program has now, or had last: by [`Standard::index`].
#[derive(Default)]
struct Current {
    /// Its streams, as long as they live.
    slots: [Option<usize>; 2],
    /// The last of what came through them.
    kept: [Vec<u8>; 2],
}

/// All streams of all programs.
pub(super) struct Logs {
    /// How the container's own output looks: for streams that come to it from elsewhere.
    style: Style,
    feeds: [Feed; 3],
    /// By the number that their epoll set knows them by.
    streams: Vec<Option<Stream>>,
    files: Files,
    /// The places among them that are free.
    free: Vec<usize>,
    /// By [`ProgramId`].
    current: Vec<Current>,
    /// The streams that hold a record back, and when to look at them again; the first is the earliest.
    held: VecDeque<(Instant, usize)>,
    /// Who follows what; None while nobody follows anything.
    taps: Option<Box<Taps>>,
    /// What is read into, made when something is, and what is to be written.
    buffer: Vec<u8>,
    out: Vec<u8>,
}

/// What reading once has brought.
enum Passed {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The end.
    End,
}

impl Toward {
    const ALL: [Toward; 3] =
        [Toward::Outlet(Standard::Output), Toward::Outlet(Standard::Error), Toward::Elsewhere];

    fn index(self) -> usize {
        match self {
            Toward::Outlet(Standard::Output) => 0,
            Toward::Outlet(Standard::Error) => 1,
            Toward::Elsewhere => 2,
        }
    }

    /// What is read now may wait to be written.
    fn has_room(self) -> bool {
        match self {
            Toward::Outlet(standard) => standard.outlet().has_room(),
            Toward::Elsewhere => true,
        }
    }

    /// What is read now can be written now.
    fn is_clear(self) -> bool {
        match self {
            Toward::Outlet(standard) => standard.outlet().is_clear(),
            Toward::Elsewhere => true,
        }
    }
}

impl Destination {
    fn toward(self) -> Toward {
        match self {
            Destination::Outlet(standard) => Toward::Outlet(standard),
            Destination::File(_) | Destination::Nowhere => Toward::Elsewhere,
        }
    }
}

impl Logs {
    /// The pump without any stream. `style` is that of the container's own output.
    pub(super) fn new(style: Style) -> Logs {
        let output = match style.output {
            Output::Inherit | Output::Prefix => Output::Prefix,
            Output::Json => Output::Json,
        };
        Logs {
            style: Style { output, ..style },
            feeds: Default::default(),
            streams: Vec::new(),
            files: Files::default(),
            free: Vec::new(),
            current: Vec::new(),
            held: VecDeque::new(),
            taps: None,
            buffer: Vec::new(),
            out: Vec::new(),
        }
    }

    // --- streams come and go

    /// Makes the pipes for a process that is about to start, and forgets the last lines of the one before. The caller
    /// closes what it gets once there is a process, or none: a pipe that nobody writes to goes away by itself.
    ///
    /// # Errors
    /// Where there are no more descriptors or no memory for them.
    pub(super) fn open(&mut self, program: ProgramId, plan: &Supervised) -> io::Result<Ends> {
        self.retire(program);
        if self.current.len() <= program.0 {
            self.current.resize_with(program.0 + 1, Current::default);
        }
        let stdout = self.open_one(program, &plan.name, Standard::Output, &plan.stdout)?;
        let stderr = if plan.redirect_stderr {
            match &stdout {
                Some(stdout) => Some(stdout.try_clone()?),
                None => Standard::Output.given().try_clone_to_owned().ok(), // or it is closed
            }
        } else {
            self.open_one(program, &plan.name, Standard::Error, &plan.stderr)?
        };
        Ok(Ends { stdout, stderr })
    }

    fn open_one(
        &mut self,
        program: ProgramId,
        name: &str,
        standard: Standard,
        sink: &Sink,
    ) -> io::Result<Option<OwnedFd>> {
        let (style, destination) = match sink {
            Sink::Container(Style { output: Output::Inherit, .. }) => return Ok(None),
            Sink::Container(style) => (*style, Destination::Outlet(standard)),
            Sink::File(file) => (self.style, self.open_file(standard, file)),
            Sink::Nowhere => (self.style, Destination::Nowhere),
        };
        let framing = Framing::new(name, standard.name(), style);
        let added = make_pipe().and_then(|(pipe, end)| {
            self.add(Stream {
                pipe,
                program,
                standard,
                destination,
                framing,
                size: PIPE,
                is_busy: false,
                held_at: None,
                is_queued: false,
            })?;
            Ok(end)
        });
        if let (Err(_), Destination::File(file)) = (&added, destination) {
            self.files.close(file);
        }
        Ok(Some(added?))
    }

    fn open_file(&mut self, standard: Standard, file: &Logfile) -> Destination {
        match named(&file.path) {
            Named::Nothing => Destination::Nowhere,
            Named::Stdout => Destination::Outlet(Standard::Output),
            Named::Stderr => Destination::Outlet(Standard::Error),
            Named::File => match self.files.open(file) {
                Ok(id) => Destination::File(id),
                Err(error) => {
                    let path = file.path.display();
                    log::warn!("cannot open `{path}`: {error}; its lines go to the container's output");
                    Destination::Outlet(standard)
                }
            },
        }
    }

    fn add(&mut self, stream: Stream) -> nix::Result<()> {
        let slot = self.free.last().copied().unwrap_or(self.streams.len());
        let feed = &mut self.feeds[stream.destination.toward().index()];
        feed.watch(&stream.pipe, slot)?;
        feed.streams += 1;
        if let Some(current) = self.current.get_mut(stream.program.0) {
            current.slots[stream.standard.index()] = Some(slot);
        }
        if self.free.pop().is_some() {
            self.streams[slot] = Some(stream);
        } else {
            self.streams.push(Some(stream));
        }
        Ok(())
    }

    /// A stream is over; closing the only descriptor of its pipe takes it out of its set (epoll(7)).
    fn remove(&mut self, slot: usize) {
        let Some(stream) = self.streams.get_mut(slot).and_then(Option::take) else { return };
        self.free.push(slot);
        self.feeds[stream.destination.toward().index()].forget(slot);
        if let Some(taps) = &mut self.taps {
            taps.end(slot);
        }
        if let Some(current) = self.current.get_mut(stream.program.0) {
            let own = &mut current.slots[stream.standard.index()];
            *own = own.filter(|own| *own != slot);
        }
        if let Destination::File(file) = stream.destination {
            self.files.close(file);
        }
    }

    /// Forgets the last lines of a program: it is gone, or starts anew. Its streams live until nobody writes to them.
    pub(super) fn retire(&mut self, program: ProgramId) {
        if let Some(current) = self.current.get_mut(program.0) {
            *current = Current::default();
        }
    }

    // --- when to pump

    /// Adds what to ask poll(2) about before [`Logs::pump`].
    pub(super) fn ask<'a>(&'a self, asked: &mut Vec<PollFd<'a>>) {
        for toward in Toward::ALL {
            let feed = &self.feeds[toward.index()];
            if let Toward::Outlet(standard) = toward
                && !toward.is_clear()
            {
                asked.push(PollFd::new(standard.outlet().descriptor(), PollFlags::POLLOUT));
            } else if feed.streams > 0 && feed.paused_until.is_none() {
                asked
                    .extend(feed.epoll.as_ref().map(|epoll| PollFd::new(epoll.0.as_fd(), PollFlags::POLLIN)));
            }
        }
    }

    /// When to pump although poll(2) has nothing to tell; None while nothing is under way.
    pub(super) fn due(&self) -> Option<Instant> {
        let paused = Toward::ALL
            .into_iter()
            .filter(|toward| toward.is_clear())
            .filter_map(|toward| self.feeds[toward.index()].paused_until);
        paused.chain(self.held.front().map(|(due, _)| *due)).min()
    }

    // --- pumping

    /// Writes on with what waits and passes on what there is: from each stream in turn about as much as a pipe holds, and
    /// not so much in all that anything else would have to wait.
    pub(super) fn pump(&mut self) {
        outlet::flush();
        self.release_held();
        for toward in Toward::ALL {
            self.pump_feed(toward);
        }
    }

    fn pump_feed(&mut self, toward: Toward) {
        let feed = &mut self.feeds[toward.index()];
        let now = Instant::now();
        let is_over = feed.streams == 0 && feed.paused_until.is_none();
        if is_over || feed.paused_until.is_some_and(|until| now < until) || !toward.is_clear() {
            return;
        }
        let was_paused = feed.paused_until.take().is_some();
        let (mut turn, mut is_cut_short) = feed.ready();
        let (mut left, mut is_first) = (AT_MOST, true);
        while !turn.is_empty() {
            let mut next = Vec::new();
            for slot in turn {
                if left == 0 || !toward.is_clear() {
                    is_cut_short = true;
                    break;
                }
                let taken = match self.pass_on(slot) {
                    Passed::Bytes(taken) => taken,
                    Passed::Nothing => 0,
                    Passed::End => continue,
                };
                left = left.saturating_sub(taken);
                if taken > MUCH {
                    self.set_busy(toward, slot, true);
                } else if taken < LITTLE && is_first {
                    self.set_busy(toward, slot, false);
                }
                if taken == AT_ONCE {
                    next.push(slot); // there is more
                }
            }
            (turn, is_first) = (next, false);
        }
        let has_passed = left < AT_MOST;
        let pause = self.pause(toward);
        let feed = &mut self.feeds[toward.index()];
        let before = if has_passed { feed.pumped_at.replace(now) } else { None };
        if is_cut_short {
            feed.paused_until = (!feed.busy.is_empty()).then_some(now);
        } else if !feed.busy.is_empty() || before.is_some_and(|before| now.duration_since(before) < SOON) {
            feed.paused_until = Some(Instant::now() + pause);
        } else if was_paused && !has_passed {
            // A burst is over: what it needed is given back.
            (self.buffer, self.out) = (Vec::new(), Vec::new());
        }
    }

    /// How long to wait for more: not longer than the pipes that are filled meanwhile have room.
    fn pause(&self, toward: Toward) -> Duration {
        let is_large = |slot: &usize| matches!(&self.streams[*slot], Some(stream) if stream.size > PIPE);
        if self.feeds[toward.index()].busy.iter().all(is_large) { PAUSE } else { SHORT_PAUSE }
    }

    /// Takes a stream out of its set and makes room in its pipe, or the other way round. The room may be refused, as
    /// beyond a user's share (pipe(7)).
    fn set_busy(&mut self, toward: Toward, slot: usize, is_busy: bool) {
        let Some(Some(stream)) = self.streams.get_mut(slot) else { return };
        if stream.is_busy == is_busy || stream.destination.toward() != toward {
            return;
        }
        let feed = &mut self.feeds[toward.index()];
        if is_busy {
            feed.unwatch(&stream.pipe);
            feed.busy.push(slot);
        } else if feed.watch(&stream.pipe, slot).is_ok() {
            feed.busy.retain(|busy| *busy != slot);
        } else {
            return; // no memory: it is read all the same
        }
        stream.is_busy = is_busy;
        stream.resize(if is_busy { LARGE_PIPE } else { PIPE });
    }

    /// Reads once and passes it on; with the end of a stream, its rest too.
    fn pass_on(&mut self, slot: usize) -> Passed {
        if self.buffer.is_empty() {
            self.buffer = vec![0; AT_ONCE];
        }
        let Some(Some(stream)) = self.streams.get_mut(slot) else { return Passed::Nothing };
        let result = loop {
            match read(&stream.pipe, &mut self.buffer) {
                Err(Errno::EINTR) => {}
                result => break result,
            }
        };
        match result {
            Err(Errno::EAGAIN) => Passed::Nothing,
            Ok(0) | Err(_) => {
                stream.finish(&mut self.out);
                self.remove(slot);
                Passed::End
            }
            Ok(count) => {
                self.take(slot, count);
                Passed::Bytes(count)
            }
        }
    }

    /// Takes what was read from a stream to where it goes.
    fn take(&mut self, slot: usize, count: usize) {
        let Some(Some(stream)) = self.streams.get_mut(slot) else { return };
        let mut bytes = &self.buffer[..count];
        if let Some(taps) = &mut self.taps {
            taps.take(slot, stream.program, stream.standard, bytes);
        }
        if let Some(current) = self.current.get_mut(stream.program.0)
            && current.slots[stream.standard.index()] == Some(slot)
        {
            keep(&mut current.kept[stream.standard.index()], bytes);
        }
        if let Destination::File(file) = stream.destination {
            bytes = self.files.write(file, bytes);
            if bytes.is_empty() {
                return;
            }
            self.files.close(file); // to the container's output with the rest, from here on
            self.feeds[Toward::Elsewhere.index()].forget(slot);
            if std::mem::take(&mut stream.is_busy) {
                stream.resize(PIPE);
            } else {
                self.feeds[Toward::Elsewhere.index()].unwatch(&stream.pipe);
            }
            stream.destination = Destination::Outlet(stream.standard);
            let feed = &mut self.feeds[stream.destination.toward().index()];
            feed.streams += 1;
            if let Err(error) = feed.watch(&stream.pipe, slot) {
                log::warn!("cannot watch a pipe: {error}; what comes through it is lost");
            }
        }
        stream.write(&mut self.out, |framing, at, out| framing.pass(bytes, at, out));
        stream.held_at = stream.framing.is_held().then(Instant::now);
        if let Some(at) = stream.held_at
            && !stream.is_queued
        {
            stream.is_queued = true;
            self.held.push_back((at + HOLD, slot));
        }
    }

    // --- records that may go on

    fn release_held(&mut self) {
        let now = Instant::now();
        while let Some((due, slot)) = self.held.front().copied()
            && due <= now
        {
            self.held.pop_front();
            let Some(Some(stream)) = self.streams.get_mut(slot) else { continue };
            if !std::mem::take(&mut stream.is_queued) {
                continue; // it stood there for a stream before
            }
            if stream.held_at.is_some_and(|at| now.duration_since(at) < HOLD) {
                // Something has followed since. Counted from now, so that the first stays the earliest.
                stream.is_queued = true;
                self.held.push_back((now + HOLD, slot));
            } else {
                stream.write(&mut self.out, Framing::release);
            }
        }
    }

    // --- at a program's end

    /// Takes in what the pipes of a process that has ended hold now, also where it cannot be written yet: its last lines
    /// are to stand before the notice of its end.
    pub(super) fn take_in(&mut self, program: ProgramId) {
        let slots = self.current.get(program.0).map_or([None; 2], |current| current.slots);
        slots.into_iter().flatten().for_each(|slot| self.take_in_one(slot));
    }

    /// Takes in everything, whole lines or not: the last thing that is done with the streams.
    pub(super) fn finish(&mut self) {
        (0..self.streams.len()).for_each(|slot| self.take_in_one(slot));
        for stream in self.streams.iter_mut().flatten() {
            stream.finish(&mut self.out);
        }
    }

    fn take_in_one(&mut self, slot: usize) {
        let Some(Some(stream)) = self.streams.get(slot) else { return };
        let mut left = stream.size;
        let toward = stream.destination.toward();
        while left > 0
            && toward.has_room()
            && let Passed::Bytes(taken) = self.pass_on(slot)
        {
            left = left.saturating_sub(taken);
        }
        if let Some(Some(stream)) = self.streams.get_mut(slot) {
            stream.write(&mut self.out, Framing::release);
        }
    }

    /// The last of what came through each of a program's streams.
    pub(super) fn kept(&self, program: ProgramId) -> [&[u8]; 2] {
        self.current.get(program.0).map_or([&[]; 2], |current| {
            current.kept.each_ref().map(|kept| &kept[kept.len().saturating_sub(KEPT)..])
        })
    }

    /// These programs are followed from here on, and no others.
    pub(super) fn follow(&mut self, which: Vec<(ProgramId, String)>) {
        if which.is_empty() {
            self.taps = None;
            return;
        }
        let mut taps = self.taps.take().unwrap_or_else(|| Box::new(Taps::new()));
        taps.set(which.clone());
        for (program, _) in which {
            let kept = self.kept(program);
            let Some(current) = self.current.get(program.0) else { continue };
            for (slot, bytes) in current.slots.iter().zip(kept) {
                let Some(slot) = slot else { continue };
                let Some(Some(stream)) = self.streams.get(*slot) else { continue };
                let begun = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                taps.begin(*slot, program, stream.standard, &bytes[begun..]);
            }
        }
        self.taps = Some(taps);
    }

    /// What those who are followed have written since the last look.
    pub(super) fn written(&mut self) -> Vec<(ProgramId, Vec<u8>)> {
        self.taps.as_mut().map(|taps| taps.take_out()).unwrap_or_default()
    }

    /// The last of what a program wrote to its standard error, or to its standard output where that is all it wrote.
    pub(super) fn last_lines(&self, program: ProgramId) -> &[u8] {
        let [stdout, stderr] = self.kept(program);
        if stderr.is_empty() { stdout } else { stderr }
    }
}

impl Feed {
    /// Asks to be told when there is something in a pipe.
    fn watch(&mut self, pipe: &OwnedFd, slot: usize) -> nix::Result<()> {
        let epoll = match self.epoll.take() {
            Some(epoll) => epoll,
            None => Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
        };
        let number = u64::try_from(slot).unwrap_or(u64::MAX); // an index is never wider
        let added = epoll.add(pipe, EpollEvent::new(EpollFlags::EPOLLIN, number));
        self.epoll = Some(epoll);
        added
    }

    fn unwatch(&self, pipe: &OwnedFd) {
        if let Some(epoll) = &self.epoll {
            let _ = epoll.delete(pipe); // it does not stand there: so much the better
        }
    }

    /// A stream is over or goes elsewhere.
    fn forget(&mut self, slot: usize) {
        self.streams = self.streams.saturating_sub(1);
        self.busy.retain(|busy| *busy != slot);
    }

    /// Which streams to read, and whether there may be more of them. The quiet ones come first, and of the busy ones each
    /// time another: whoever floods an output that is slow keeps nobody else from it.
    fn ready(&mut self) -> (Vec<usize>, bool) {
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = match &self.epoll {
            Some(epoll) => epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0), // EINTR: we are asked again
            None => 0,
        };
        let quiet = events.iter().take(count).filter_map(|event| usize::try_from(event.data()).ok());
        let slots = quiet.chain(self.busy.iter().copied()).collect();
        if !self.busy.is_empty() {
            self.busy.rotate_left(1);
        }
        (slots, count == EVENTS)
    }
}

impl Stream {
    /// Has lines dressed and written, with the time of day where it is wanted.
    fn write(&mut self, out: &mut Vec<u8>, dress: impl FnOnce(&mut Framing, &str, &mut Vec<u8>)) {
        let Destination::Outlet(standard) = self.destination else { return };
        let at =
            if self.framing.has_timestamps() { utc_milliseconds(SystemTime::now()) } else { String::new() };
        dress(&mut self.framing, &at, out);
        if !out.is_empty() {
            standard.outlet().write(out);
        }
        out.clear();
        out.shrink_to(LARGE); // empty lines grow the most
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.write(out, Framing::finish);
    }

    fn resize(&mut self, size: usize) {
        if self.size != size
            && let Ok(wanted) = i32::try_from(size)
            && fcntl(&self.pipe, FcntlArg::F_SETPIPE_SZ(wanted)).is_ok()
        {
            self.size = size;
        }
    }
}

/// A pipe: our end, which does not block, and the program's, which does.
fn make_pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?; // nobody shares this end
    Ok((ours, theirs))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{BufRead, BufReader, Read, Write};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use nix::poll::{PollTimeout, poll};

    use super::*;

    const WEB: ProgramId = ProgramId(0);
    const OTHER: ProgramId = ProgramId(1);
    const PREFIX: Style = Style { output: Output::Prefix, timestamps: false };

    fn plan(name: &str, stdout: Sink, stderr: Sink) -> Supervised {
        Supervised { stdout, stderr, ..Supervised::plain(name, PREFIX) }
    }

    fn file(path: &Path) -> Sink {
        Sink::File(Logfile { path: path.to_owned(), maxbytes: 0, backups: 0 })
    }

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("sexton-logs-{name}-{}", std::process::id()))
    }

    /// The process's standard output; its standard error is closed.
    fn stdout_of(ends: Ends) -> File {
        File::from(ends.stdout.expect("a pipe"))
    }

    /// Runs the pump until the condition is true, blocking as the loop does.
    fn pump_until(logs: &mut Logs, condition: impl Fn(&Logs) -> bool) {
        while !condition(logs) {
            let due = logs.due().map(|due| due.saturating_duration_since(Instant::now()));
            let limit = due.map_or(10_000, |due| u16::try_from(due.as_millis()).unwrap_or(10_000) + 1);
            let mut asked = Vec::new();
            logs.ask(&mut asked);
            let ready = poll(&mut asked, PollTimeout::from(limit)).expect("polled");
            assert!(ready > 0 || due.is_some(), "nothing happens any more");
            drop(asked);
            logs.pump();
        }
    }

    fn is_over(logs: &Logs) -> bool {
        logs.streams.iter().all(Option::is_none)
    }

    #[test]
    fn a_stream_lives_until_nobody_writes_to_it_and_its_rest_is_kept() {
        let path = temporary("grandchild");
        let mut logs = Logs::new(PREFIX);
        let ends = logs.open(WEB, &plan("web", file(&path), Sink::Nowhere)).expect("opened");
        let mut process = stdout_of(ends);
        let mut grandchild = process.try_clone().expect("a second descriptor");
        process.write_all(b"first\n").expect("written");
        drop(process);
        logs.take_in(WEB);
        assert_eq!(logs.last_lines(WEB), b"first\n");
        assert!(!is_over(&logs));
        // The program starts again: what is left of the one before is no part of its last lines.
        let ends = logs.open(WEB, &plan("web", file(&path), Sink::Nowhere)).expect("opened");
        drop(ends);
        grandchild.write_all(b"no end").expect("written");
        drop(grandchild);
        pump_until(&mut logs, is_over);
        assert_eq!(logs.last_lines(WEB), b"");
        assert_eq!(fs::read(&path).expect("a file"), b"first\nno end");
        assert!(logs.feeds.iter().all(|feed| feed.streams == 0) && logs.files.count() == 0);
        fs::remove_file(path).expect("removed");
    }

    #[test]
    fn the_last_lines_are_those_of_standard_error_where_there_are_any() {
        let mut logs = Logs::new(PREFIX);
        let ends = logs.open(WEB, &plan("web", Sink::Nowhere, Sink::Nowhere)).expect("opened");
        let (mut stdout, mut stderr) =
            (File::from(ends.stdout.expect("a pipe")), File::from(ends.stderr.expect("a pipe")));
        stdout.write_all(b"said\n").expect("written");
        logs.take_in(WEB);
        assert_eq!(logs.last_lines(WEB), b"said\n");
        stderr.write_all(&b"x".repeat(9000)).expect("written");
        stderr.write_all(b"the end\n").expect("written");
        logs.take_in(WEB);
        let last = logs.last_lines(WEB);
        assert!(last.len() == KEPT && last.ends_with(b"xthe end\n"));
        assert_eq!(logs.last_lines(OTHER), b"");
    }

    #[test]
    fn two_outputs_can_be_one_pipe_and_inherited_ones_are_none() {
        let mut logs = Logs::new(PREFIX);
        let redirected = Supervised { redirect_stderr: true, ..plan("web", Sink::Nowhere, Sink::Nowhere) };
        let ends = logs.open(WEB, &redirected).expect("opened");
        File::from(ends.stderr.expect("a pipe")).write_all(b"both\n").expect("written");
        drop(ends.stdout);
        pump_until(&mut logs, is_over);
        assert_eq!(logs.last_lines(WEB), b"both\n");
        let inherit = || Sink::Container(Style { output: Output::Inherit, timestamps: false });
        let ends = logs.open(WEB, &plan("web", inherit(), inherit())).expect("opened");
        assert!(ends.stdout.is_none() && ends.stderr.is_none());
    }

    #[test]
    fn a_burst_passes_whole_and_leaves_nothing_behind() {
        let path = temporary("burst");
        let mut logs = Logs::new(PREFIX);
        let ends = logs.open(WEB, &plan("web", file(&path), Sink::Nowhere)).expect("opened");
        let mut end = stdout_of(ends);
        let writer = std::thread::spawn(move || {
            for _ in 0..100_000 {
                end.write_all(&[b'x'; 99]).expect("written");
                end.write_all(b"\n").expect("written");
            }
            end
        });
        pump_until(&mut logs, |_| fs::metadata(&path).is_ok_and(|file| file.len() == 10_000_000));
        let end = writer.join().expect("its end");
        pump_until(&mut logs, |logs| logs.due().is_none());
        assert!(logs.feeds.iter().all(|feed| feed.busy.is_empty()) && logs.buffer.is_empty());
        assert!(logs.streams.iter().flatten().all(|stream| stream.size == PIPE));
        drop(end);
        pump_until(&mut logs, is_over);
        fs::remove_file(path).expect("removed");
    }

    /// Set in the process that [`a_blocked_output_stops_those_that_feed_it_and_nobody_else`] starts.
    const INNER: &str = "SEXTON_TEST_BLOCKED";

    /// With a standard output that nobody reads, until `blocked` has been said on standard error.
    fn write_to_blocked_output(path: &Path) {
        let mut logs = Logs::new(PREFIX);
        let web = logs.open(WEB, &plan("web", Sink::Container(PREFIX), Sink::Nowhere)).expect("opened");
        let other = logs.open(OTHER, &plan("other", file(path), Sink::Nowhere)).expect("opened");
        let (mut web, mut other) = (stdout_of(web), stdout_of(other));
        let writer = std::thread::spawn(move || {
            for number in 0..40_000 {
                writeln!(web, "line {number} of many").expect("written");
            }
            web.write_all(b"no end").expect("written");
        });
        let is_blocked = |_: &Logs| !Standard::Output.outlet().is_clear();
        pump_until(&mut logs, is_blocked);
        other.write_all(b"goes on\n").expect("written");
        pump_until(&mut logs, |_| fs::read(path).is_ok_and(|text| text == b"goes on\n"));
        assert!(is_blocked(&logs) && !writer.is_finished());
        eprintln!("blocked");
        drop(other);
        pump_until(&mut logs, is_over);
        pump_until(&mut logs, |_| outlet::blocked().is_empty());
        writer.join().expect("its end");
    }

    #[test]
    fn a_blocked_output_stops_those_that_feed_it_and_nobody_else() {
        let path = temporary("blocked");
        if let Some(path) = std::env::var_os(INNER) {
            return write_to_blocked_output(&PathBuf::from(path));
        }
        let name = "linux::logs::tests::a_blocked_output_stops_those_that_feed_it_and_nobody_else";
        let mut inner = Command::new(std::env::current_exe().expect("our own path"))
            .args(["--exact", name, "--nocapture"])
            .env(INNER, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut stderr = BufReader::new(inner.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while line != "blocked\n" {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).expect("a line"), 0, "it ended before it was blocked");
        }
        let mut out = String::new();
        inner.stdout.take().expect("a pipe").read_to_string(&mut out).expect("a pipe");
        assert!(inner.wait().expect("its end").success());
        let lines = || out.lines().filter(|line| line.contains("web | "));
        let expected = (0..40_000).map(|number| format!("web | line {number} of many"));
        let expected = expected.chain(["web | no end".to_owned()]);
        // The test harness itself may have begun a line.
        assert!(lines().zip(expected).all(|(line, expected)| line.ends_with(&expected)));
        assert_eq!(lines().count(), 40_001);
        fs::remove_file(path).expect("removed");
    }
}
