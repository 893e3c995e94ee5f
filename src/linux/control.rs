//! The control socket: the requests and answers of `control.rs`, carried by `server.rs`.
//!
//! Only root and our own user may ask for anything, whatever the modes of directories say.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, socket,
};
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;

use super::crash::Crashes;
use super::programs::Programs;
use super::server::{Peer, Reading, Rules, Server};
use super::tail::Tail;
use crate::command::{Command, Reply, Verb};
use crate::control::{self, Here, Logs, Request, What, is_meant};
use crate::event::{Client, Depth, Event, Sender};
use crate::plan::{self, Output, ProgramId, Setup, Sink, Style};
use crate::snapshot::Snapshot;

const RULES: Rules = Rules {
    what: "control",
    first: OURS,
    places: 64,
    evicts: false,
    longest: control::LONGEST_HEAD + control::LONGEST_BODY,
    patience: Duration::from_secs(5),
    hurry: Duration::from_secs(2),
    meet,
    read: |bytes| match control::read(bytes) {
        None => Reading::More,
        Some(Ok(_)) => Reading::Whole,
        Some(Err(answer)) => Reading::Refuse(answer),
    },
};
/// The numbers of our clients have this bit; those of who asks about our health do not.
const OURS: u64 = 1 << 63;
/// How many may wait for long, so that there is always a place for who does not.
const MOST_KEPT: usize = 48;

/// The socket and who has come by it.
pub(super) struct Control {
    server: Server,
    path: PathBuf,
    /// Its file, by device and inode, as long as it is there.
    file: Option<(u64, u64)>,
    followers: Vec<Follower>,
    /// How many programs there were when it was last looked at who follows which.
    known: usize,
}

/// Somebody who follows what programs write.
struct Follower {
    number: u64,
    names: Vec<String>,
    programs: Vec<ProgramId>,
    /// It is one program, and needs no name in front.
    is_plain: bool,
}

/// What lines come from.
pub(super) struct Sources<'a> {
    pub(super) setup: &'a Setup,
    pub(super) programs: Option<&'a mut Programs>,
    pub(super) tail: Option<&'a mut Tail>,
    pub(super) crashes: Option<&'a Crashes>,
}

impl Control {
    /// The socket that is wanted from the start on, where there is one.
    ///
    /// # Errors
    /// Where somebody asked for it and it cannot be made.
    pub(super) fn at_start(wanted: &plan::Control) -> Result<Option<Control>, String> {
        if wanted.is_for_holds {
            return Ok(None);
        }
        match Control::new(&wanted.path) {
            Ok(control) => Ok(Some(control)),
            Err(error) if wanted.is_asked_for => Err(format!("{error}; nothing was started")),
            Err(error) => {
                log::warn!("{error}; going on without");
                Ok(None)
            }
        }
    }

    /// The container is held: makes a socket that is for that alone.
    pub(super) fn while_held(control: &mut Option<Control>, wanted: &plan::Control) {
        if !wanted.is_for_holds {
            return;
        }
        let made = match control {
            Some(control) => control.open(),
            None => Control::new(&wanted.path).map(|made| *control = Some(made)),
        };
        if let Err(error) = made {
            log::debug!("{error}; going on without");
        }
    }

    fn new(path: &Path) -> Result<Control, String> {
        let server = Server::new(RULES).map_err(|error| cannot(path, &error))?;
        let path = path.to_owned();
        let mut control = Control { server, path, file: None, followers: Vec::new(), known: 0 };
        control.open()?;
        Ok(control)
    }

    fn open(&mut self) -> Result<(), String> {
        if self.file.is_none() {
            let listener = make(&self.path)?;
            self.file = fs::symlink_metadata(&self.path).ok().map(|file| (file.dev(), file.ino()));
            self.server.open(listener).map_err(|error| cannot(&self.path, &error))?;
        }
        Ok(())
    }

    /// Nobody else is to come; who is here is still answered.
    pub(super) fn close(&mut self) {
        self.server.close();
        let found = fs::symlink_metadata(&self.path).ok().map(|file| (file.dev(), file.ino()));
        if self.file.take().is_some_and(|own| found == Some(own)) {
            let _ = fs::remove_file(&self.path); // a directory that has become read-only: the next one replaces it
        }
    }

    /// It is closed, and everybody has been answered.
    pub(super) fn is_over(&self) -> bool {
        self.file.is_none() && self.server.is_empty()
    }

    /// This client is one of ours.
    pub(super) fn has(client: Client) -> bool {
        client.0 & OURS != 0
    }

    /// What to ask poll(2) about before [`Control::attend`].
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.server.descriptor()
    }

    /// All that is ours.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        self.server.descriptors()
    }

    /// When to attend to them although poll(2) has nothing to tell.
    pub(super) fn due(&self) -> Option<Instant> {
        self.server.due()
    }

    /// Takes in what has come and passes on what can go; returns what is asked of the supervisor.
    pub(super) fn attend(&mut self, is_ready: bool, mut sources: Sources<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        if is_ready || self.server.due().is_some() {
            for number in self.server.attend(Instant::now()) {
                events.extend(self.take_up(number, &mut sources));
            }
            events.extend(self.server.take_gone().into_iter().map(|number| Event::Left(Client(number))));
        }
        self.pass_on(&mut sources);
        events
    }

    fn take_up(&mut self, number: u64, sources: &mut Sources<'_>) -> Option<Event> {
        let (bytes, peer) = self.server.request(number)?;
        let request = control::read(bytes)?.ok()?;
        let client = Client(number);
        match &request.what {
            What::Status(_) => return Some(Event::Asked(client, Depth::Now)),
            What::Explain(_) => return Some(Event::Asked(client, Depth::History)),
            // What is answered at once finds a place also when all others wait.
            What::Command(Command::Programs { verb: Verb::Start | Verb::Stop | Verb::Restart, .. })
            | What::Logs(Logs { follow: true, .. })
                if self.server.kept() >= MOST_KEPT =>
            {
                let complaint = "too many clients wait already; try again later";
                self.server.answer(number, control::refuse("503 Service Unavailable", complaint));
            }
            What::Command(command) => {
                self.server.keep(number);
                let sender = Sender { pid: peer.pid, uid: peer.uid, value: None };
                return Some(Event::Commanded(client, sender, command.clone()));
            }
            What::Crashes { number: which, list } => {
                let kept = sources.crashes.map_or(&[][..], Crashes::kept);
                let answer = control::crashes(&request, *which, *list, kept);
                self.server.answer(number, answer);
            }
            What::Logs(logs) => match self.show(number, &request, logs, sources) {
                Ok(()) => {}
                Err((status, complaint)) => self.server.answer(number, control::refuse(status, &complaint)),
            },
        }
        None
    }

    /// Tells how we are.
    pub(super) fn tell(&mut self, client: Client, snapshot: &Snapshot) {
        if let Some(request) = self.request(client) {
            let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let here = Here { wall, pid: std::process::id() };
            self.server.answer(client.0, control::answer(&request, snapshot, &here));
        }
    }

    /// Tells what has come of a command.
    pub(super) fn reply(&mut self, client: Client, reply: &Reply) {
        if let Some(request) = self.request(client) {
            self.server.answer(client.0, control::reply(&request, reply));
        }
    }

    fn request(&self, client: Client) -> Option<Request> {
        control::read(self.server.request(client.0)?.0)?.ok()
    }

    // --- what programs write

    /// Shows last lines, and those to come where they are wanted.
    fn show(
        &mut self,
        number: u64,
        request: &Request,
        logs: &Logs,
        sources: &mut Sources<'_>,
    ) -> Result<(), (&'static str, String)> {
        let wanted = meant(&logs.names, sources.setup);
        for name in &logs.names {
            if !wanted.iter().any(|(_, own)| is_meant(std::slice::from_ref(name), own)) {
                return Err(("404 Not Found", format!("{name}: ERROR (no such program)")));
            }
        }
        let mut kept = Vec::new();
        for (id, name) in &wanted {
            if let Some(streams) = sources.kept(*id) {
                kept.push((name.clone(), streams));
            } else if logs.names.contains(name) || wanted.len() == 1 {
                return Err(("409 Conflict", sources.why_not(name)));
            }
        }
        if logs.follow {
            // What has been begun of a line comes with the rest of it.
            for (_, streams) in &mut kept {
                for bytes in streams {
                    bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
                }
            }
        }
        let answer = control::logs(request, logs.lines, &kept);
        if logs.follow {
            self.server.begin(number, answer);
            self.followers.push(Follower {
                number,
                names: logs.names.clone(),
                programs: Vec::new(),
                is_plain: wanted.len() == 1,
            });
            self.known = 0;
            self.pass_on(sources);
        } else {
            self.server.answer(number, answer);
        }
        Ok(())
    }

    /// Passes on what has been written to who follows it.
    pub(super) fn pass_on(&mut self, sources: &mut Sources<'_>) {
        if self.followers.is_empty() {
            return;
        }
        for (id, lines) in sources.written() {
            for follower in self.followers.iter().filter(|follower| follower.programs.contains(&id)) {
                // In front there stands `NAME | `, or `NAME + ` where a line goes on.
                let name = &sources.setup.commands[id.0].supervised;
                let front = name.as_ref().map_or(0, |own| own.name.len() + " | ".len());
                if follower.is_plain && front > 0 {
                    let mut plain = Vec::with_capacity(lines.len());
                    for line in lines.split_inclusive(|byte| *byte == b'\n') {
                        plain.extend_from_slice(line.get(front..).unwrap_or_default());
                    }
                    self.server.push(follower.number, &plain);
                } else {
                    self.server.push(follower.number, &lines);
                }
            }
        }
        let before = self.followers.len();
        self.followers.retain(|follower| self.server.follows(follower.number));
        let count = sources.setup.commands.len();
        if before != self.followers.len() || self.known != count {
            self.known = count;
            for follower in &mut self.followers {
                follower.programs.clear();
                for (id, _) in meant(&follower.names, sources.setup) {
                    follower.programs.push(id);
                }
            }
            let mut all = meant(&[], sources.setup);
            all.retain(|(id, _)| self.followers.iter().any(|one| one.programs.contains(id)));
            sources.follow(all);
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.close();
    }
}

impl Sources<'_> {
    /// The last of what a program has written; None where it does not come by us.
    fn kept(&mut self, id: ProgramId) -> Option<[Vec<u8>; 2]> {
        let inherit = |sink: &Sink| matches!(sink, Sink::Container(Style { output: Output::Inherit, .. }));
        match (&mut self.programs, &mut self.tail) {
            (Some(programs), _) => {
                let own = self.setup.commands[id.0].supervised.as_ref()?;
                let is_ours = !inherit(&own.stdout) || !own.redirect_stderr && !inherit(&own.stderr);
                is_ours.then(|| programs.kept(id))
            }
            (None, Some(tail)) => Some([Vec::new(), tail.kept().to_vec()]),
            (None, None) => None,
        }
    }

    fn why_not(&self, name: &str) -> String {
        let how = if self.programs.is_some() {
            "its `output` is `inherit`"
        } else {
            "it has what sexton was given; with `--tail LINES` its stderr would"
        };
        format!("{name}'s output does not pass through sexton: {how}")
    }

    /// What has been written since the last look.
    fn written(&mut self) -> Vec<(ProgramId, Vec<u8>)> {
        match (&mut self.programs, &mut self.tail) {
            (Some(programs), _) => programs.written(),
            (None, Some(tail)) => vec![(ProgramId(0), tail.fresh())],
            (None, None) => Vec::new(),
        }
    }

    fn follow(&mut self, which: Vec<(ProgramId, String)>) {
        match (&mut self.programs, &mut self.tail) {
            (Some(programs), _) => programs.follow(which),
            (None, Some(tail)) => tail.follow(!which.is_empty()),
            (None, None) => {}
        }
    }
}

/// The programs of these names.
fn meant(names: &[String], setup: &Setup) -> Vec<(ProgramId, String)> {
    let mut meant = Vec::new();
    for (index, command) in setup.commands.iter().enumerate() {
        let name = command.supervised.as_ref().map_or("main", |own| own.name.as_str());
        if is_meant(names, name) {
            meant.push((ProgramId(index), name.to_owned()));
        }
    }
    meant
}

/// Only root and our own user get any further.
fn meet(stream: BorrowedFd<'_>) -> Result<Peer, Vec<u8>> {
    let own = geteuid().as_raw();
    match getsockopt(&stream, PeerCredentials) {
        Ok(peer) if peer.uid() == 0 || peer.uid() == own => Ok(Peer { pid: peer.pid(), uid: peer.uid() }),
        Ok(peer) => {
            let root = if own == 0 { String::new() } else { format!(" and uid {own}") };
            let complaint = format!("uid {} may not control this container: root{root} may", peer.uid());
            Err(control::refuse("403 Forbidden", &complaint))
        }
        Err(_) => Err(control::refuse("403 Forbidden", "nobody knows who you are")),
    }
}

fn cannot(path: &Path, cause: &dyn std::fmt::Display) -> String {
    format!("cannot make the control socket `{}`: {cause}", path.display())
}

/// Makes the socket, for us alone from its first moment on. One that nobody listens at is replaced.
fn make(path: &Path) -> Result<OwnedFd, String> {
    let because = |errno: Errno| cannot(path, &super::in_words(errno));
    let address = UnixAddr::new(path).map_err(|_| cannot(path, &"its path is longer than 107 bytes"))?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let new = || socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(because);
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(cannot(path, &"there is a file of this name that is no socket"));
        }
        Ok(_) => match connect(new()?.as_raw_fd(), &address) {
            Err(Errno::ECONNREFUSED) => {
                fs::remove_file(path).map_err(|error| {
                    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
                    cannot(path, &format_args!("cannot remove the old one: {}", super::in_words(errno)))
                })?;
            }
            Ok(()) | Err(Errno::EAGAIN) => return Err(cannot(path, &"somebody else listens there")),
            Err(error) => return Err(because(error)),
        },
        Err(_) => {} // as a rule there is nothing; else bind(2) says what is wrong
    }
    let listener = new()?;
    // There is one thread: nobody else makes a file meanwhile.
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = bind(listener.as_raw_fd(), &address);
    umask(before);
    bound.map_err(because)?;
    listen(&listener, Backlog::MAXALLOWABLE).map_err(because)?;
    Ok(listener)
}
