//! `sexton inspect`: reads what `inspect.rs` makes tables of. An ordinary process, that may wait and may fail.
//!
//! Whatever cannot be read is said. A process may end at any moment: in the tree it is left out then.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::geteuid;

use super::cgroup::Cgroup;
use super::{fail, open_regular_file, print, print_bytes, strays, sys};
use crate::health::Figures;
use crate::inspect::fds::{Descriptor, Holder, Known, Target};
use crate::inspect::files::{self, Entry};
use crate::inspect::net::{self, Socket};
use crate::inspect::ps::{self, Process};
use crate::inspect::{Request, What, env, fds, limits};
use crate::table::{Table, escape};
use crate::text::join;

/// How wide a terminal is that does not say.
const WIDTH: usize = 80;
/// How much is read at once, in bytes.
const PIECE: usize = 64 * 1024;
/// How often a file is looked at that is followed: inotify says nothing of one in another's place.
const EVERY: Duration = Duration::from_secs(1);
/// How many processes are named that cannot be looked into.
const MOST_NAMED: usize = 10;

/// What was found.
struct Found {
    json: bool,
    /// How wide the terminal is, where there is one.
    width: Option<usize>,
    /// What is printed.
    out: String,
    /// What could not be found, a line for each.
    notes: Vec<String>,
    /// Something that was asked for is missing altogether.
    is_incomplete: bool,
}

impl Found {
    fn show(&mut self, table: &Table) {
        table.write(&mut self.out, self.width);
    }

    /// What only people want to know.
    fn tell(&mut self, text: &[u8]) {
        if !self.json {
            self.out += &String::from_utf8_lossy(text);
        }
    }

    fn note(&mut self, note: &[&str]) {
        self.notes.push(join(note, ""));
    }
}

/// Looks, prints, and returns the exit code.
pub(crate) fn run(request: &Request) -> u8 {
    // Every signal was blocked at the very first moment, and nobody reads them here: a Ctrl-C ends us as it ends others.
    let _ = SigSet::empty().thread_set_mask(); // or it has to be killed
    let width = sys::terminal_width().map(|width| if width == 0 { WIDTH } else { width.into() });
    let (json, out) = (request.json, if request.json { "[" } else { "" }.to_owned());
    let mut found = Found { json, width, out, notes: Vec::new(), is_incomplete: false };
    let first = request.words.first().map(OsString::as_os_str);
    let looked = match (request.what, first) {
        (What::Processes, _) => tree(&mut found),
        (What::Environment, Some(who)) => environment(&mut found, who, request.reveal),
        (What::Descriptors, Some(who)) => descriptors(&mut found, who),
        (What::Network, _) => network(&mut found),
        (What::Limits, who) => limits_of(&mut found, who),
        (What::List, _) => {
            list(&mut found, request);
            Ok(())
        }
        (What::Print, _) => return request.words.iter().fold(0, |code, path| code.max(cat(Path::new(path)))),
        (What::Tail, Some(path)) => return tail(Path::new(path), request),
        (What::Environment | What::Descriptors | What::Tail, None) | (What::Crashes, _) => Ok(()), // the parser sees to it
    };
    if let Err(error) = looked {
        return fail(&error, 1);
    }
    if json {
        found.out += "]\n";
    }
    let code = print(&found.out);
    for note in &found.notes {
        fail(note, 1);
    }
    code.max(u8::from(found.is_incomplete))
}

// --- processes

/// The names in a directory that are numbers.
fn numbers_in(directory: &str) -> Result<Vec<u64>, Errno> {
    let mut numbers = Vec::new();
    strays::numbers_in(directory, &mut numbers).map_err(number)?;
    Ok(numbers)
}

/// The numbers of all processes that can be seen.
fn pids() -> Result<Vec<u64>, String> {
    let pids = numbers_in("/proc").unwrap_or_default();
    if pids.is_empty() {
        return Err(
            "cannot read /proc: it is not mounted; only `ls`, `cat`, `tail` and `limits` work without it"
                .to_owned(),
        );
    }
    Ok(pids)
}

fn path(pid: u64, name: &str) -> String {
    join(&["/proc/", &pid.to_string(), "/", name], "")
}

/// The path of what belongs to one of a process's descriptors.
fn path_of(pid: u64, directory: &str, number: u64) -> String {
    join(&[&path(pid, directory), "/", &number.to_string()], "")
}

/// Reads a whole file.
#[inline(never)]
fn read(path: &str) -> Result<Vec<u8>, Errno> {
    fs::read(Path::new(path)).map_err(number)
}

/// The same, of a process; nothing where it cannot be read.
#[inline(never)]
fn read_if(pid: u64, name: &str) -> Vec<u8> {
    read(&path(pid, name)).unwrap_or_default()
}

/// None where it has ended, for one.
#[inline(never)]
fn process(pid: u64) -> Option<Process> {
    Process::read(&read_if(pid, "stat"), &read_if(pid, "status"), &read_if(pid, "cmdline"))
}

fn name_of(pid: u64) -> Vec<u8> {
    let mut name = read_if(pid, "comm");
    name.pop(); // the newline
    name
}

fn tree(found: &mut Found) -> Result<(), String> {
    let mut processes = Vec::new();
    for pid in pids()? {
        if let Some(process) = process(pid) {
            processes.push(process);
        }
    }
    // What start times are counted from too; /proc/uptime is often another's.
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    let (table, last) = ps::table(processes, now, found.json);
    found.show(&table);
    found.tell(&last);
    if !Path::new("/proc/1").exists() {
        found.note(&["cannot see all processes: /proc hides those of other users; root sees them"]);
    }
    Ok(())
}

/// Finds a process by its number, or by its program's name.
#[inline(never)]
fn find(who: &OsStr) -> Result<u64, String> {
    let all = pids()?;
    let said = who.to_string_lossy();
    if let Ok(pid) = said.parse::<u64>() {
        // A thread's number leads somewhere as well, but it is no process.
        return if all.contains(&pid) { Ok(pid) } else { Err(gone(pid, "it does not exist")) };
    }
    let (mut named, mut unread) = (Vec::new(), Vec::new());
    for pid in all {
        match read(&path(pid, "environ")) {
            Ok(environ) if env::value_of(&environ, b"SEXTON_PROGRAM") == Some(who.as_bytes()) => {
                if let Some(process) = process(pid) {
                    named.push(process);
                }
            }
            Err(error) if is_denied(error) => unread.push(pid),
            Ok(_) | Err(_) => {}
        }
    }
    let own = ps::programs_own(&named);
    if let [one] = own[..] {
        return Ok(one);
    }
    let mut error = join(&["cannot inspect program `", &said, "`: "], "");
    if own.is_empty() {
        error += &join(&["no process has SEXTON_PROGRAM=", &said, "; `sexton inspect ps` shows all"], "");
        if !unread.is_empty() {
            error += "; ";
            error += &denied("the environment", &unread);
        }
    } else {
        error += "it has several processes; give one of ";
        error += &listed(&own);
    }
    Err(error)
}

/// Numbers with commas between them.
fn listed(pids: &[u64]) -> String {
    let mut text = String::new();
    for pid in pids {
        text += if text.is_empty() { "" } else { ", " };
        text += &pid.to_string();
    }
    text
}

fn gone(pid: u64, how: &str) -> String {
    join(&["cannot inspect process ", &pid.to_string(), ": ", how], "")
}

fn is_denied(error: Errno) -> bool {
    matches!(error, Errno::EACCES | Errno::EPERM)
}

/// Reads a file of a process.
fn read_of(pid: u64, name: &str) -> Result<Vec<u8>, String> {
    read(&path(pid, name)).map_err(|error| unreadable(pid, name, error))
}

#[inline(never)]
fn unreadable(pid: u64, name: &str, error: Errno) -> String {
    // ESRCH: it has ended since the file was opened.
    if error == Errno::ESRCH || !Path::new(&path(pid, "")).exists() {
        return gone(pid, "it has ended");
    }
    let mut text = join(&["cannot read ", &path(pid, name), ": ", &cause(error)], "");
    if is_denied(error) {
        text += &who_may(process(pid).and_then(|process| process.uid));
    }
    text
}

/// Who may look into processes of this user: the same, or root with a capability that containers seldom have
/// (ptrace(2), PTRACE_MODE_READ).
fn who_may(owner: Option<u64>) -> String {
    let own = geteuid().as_raw();
    let before = "; run it as ";
    let Some(owner) = owner else { return join(&[before, "root"], "") };
    // It was started with more than we have, or has said that nobody is to look.
    if owner == u64::from(own) {
        return join(&[before, "root, with the capability SYS_PTRACE"], "");
    }
    let more = if own == 0 { ", or with the capability SYS_PTRACE" } else { " or root" };
    join(&[before, "uid ", &owner.to_string(), more], "")
}

/// One line for all processes that cannot be looked into.
#[inline(never)]
fn denied(what: &str, pids: &[u64]) -> String {
    let owner_of = |pid: &u64| process(*pid).and_then(|process| process.uid);
    let owner = pids.first().and_then(owner_of);
    let is_same = pids.iter().all(|pid| owner_of(pid) == owner);
    let process = if pids.len() == 1 { " of process " } else { " of processes " };
    let more = if pids.len() > MOST_NAMED { ", …" } else { "" };
    let named = listed(&pids[..pids.len().min(MOST_NAMED)]);
    let who = who_may(if is_same { owner } else { None });
    join(&["cannot read ", what, process, &named, more, ": permission denied", &who], "")
}

/// The kernel's number of an error.
fn number(error: io::Error) -> Errno {
    Errno::try_from(error).unwrap_or(Errno::UnknownErrno)
}

/// The cause, in the words of the others.
fn cause(error: Errno) -> String {
    if error == Errno::ENOENT {
        return "it does not exist".to_owned();
    }
    if is_denied(error) { "permission denied".to_owned() } else { error.desc().to_ascii_lowercase() }
}

// --- what a process has

fn environment(found: &mut Found, who: &OsStr, reveal: bool) -> Result<(), String> {
    let pid = find(who)?;
    let environ = read_of(pid, "environ")?;
    let variables = env::read(&environ, reveal, found.json);
    found.show(&variables.table);
    found.tell(variables.text.as_bytes());
    if environ.is_empty() {
        let why = " has no environment: it got none, is a zombie or a kernel thread";
        found.note(&["process ", &pid.to_string(), why]);
    }
    match variables.masked {
        0 => {}
        1 => found.note(&["1 value is masked; `--reveal` shows it"]),
        many => found.note(&[&many.to_string(), " values are masked; `--reveal` shows them"]),
    }
    Ok(())
}

/// The descriptors of a process: the number and where its link leads.
#[inline(never)]
fn links(pid: u64) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
    let mut links = Vec::new();
    for number in numbers_in(&path(pid, "fd"))? {
        match fs::read_link(Path::new(&path_of(pid, "fd", number))).map_err(self::number) {
            Ok(link) => links.push((number, link.into_os_string().into_vec())),
            // Root may always list them, but where they lead it may be refused.
            Err(error) if is_denied(error) => return Err(error),
            Err(_) => {} // closed meanwhile
        }
    }
    Ok(links)
}

/// Finds who holds which pipes and sockets, and notes whom nobody can ask.
#[inline(never)]
fn find_holders(known: &mut Known, found: &mut Found) -> Result<(), String> {
    let mut unread = Vec::new();
    let own = u64::from(std::process::id()); // who only looks is no end of anything
    for pid in pids()? {
        if pid == own {
            continue;
        }
        let links = match links(pid) {
            Ok(links) => links,
            Err(error) => {
                if is_denied(error) {
                    unread.push(pid);
                }
                continue;
            }
        };
        for (number, link) in links {
            let (inode, is_pipe) = match fds::target(&link) {
                Target::Pipe(inode) => (inode, true),
                Target::Socket(inode) => (inode, false),
                Target::File(_) | Target::Other(_) => continue,
            };
            let mut mode = 0;
            if is_pipe && let Ok(link) = fs::symlink_metadata(Path::new(&path_of(pid, "fd", number))) {
                mode = link.mode(); // the link's own permissions say how it is open (proc_pid_fd(5))
            }
            let (reads, writes) = (mode & 0o400 != 0, mode & 0o200 != 0);
            known.holders.push(Holder { pid, inode, is_pipe, reads, writes });
        }
    }
    known.is_complete = unread.is_empty();
    if !known.is_complete {
        found.notes.push(denied("the descriptors", &unread));
    }
    Ok(())
}

/// The sockets of a process's network; what of them cannot be read is noted.
#[inline(never)]
fn sockets(of: &str, found: &mut Found) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for file in net::FILES {
        let path = join(&["/proc/", of, "/net/", file], "");
        match read(&path) {
            Ok(bytes) => sockets.append(&mut net::read(file, &bytes)),
            Err(Errno::ENOENT) => {} // a kernel without IPv6, for one
            Err(error) => found.note(&["cannot read ", &path, ": ", &cause(error)]),
        }
    }
    sockets
}

fn descriptors(found: &mut Found, who: &OsStr) -> Result<(), String> {
    let pid = find(who)?;
    let links = links(pid).map_err(|error| unreadable(pid, "fd", error))?;
    let (mut descriptors, mut has_pipes, mut has_sockets) = (Vec::new(), false, false);
    for (number, link) in links {
        match fds::target(&link) {
            Target::Pipe(_) => has_pipes = true,
            Target::Socket(_) => has_sockets = true,
            Target::File(_) | Target::Other(_) => {}
        }
        let info = read(&path_of(pid, "fdinfo", number)).unwrap_or_default();
        descriptors.push(Descriptor { number, link, info });
    }
    let mut known = Known { sockets: Vec::new(), holders: Vec::new(), is_complete: true, name: name_of };
    if has_sockets {
        known.sockets = sockets(&pid.to_string(), found);
    }
    if has_pipes {
        find_holders(&mut known, found)?;
    }
    found.show(&fds::table(&descriptors, &known, found.json));
    Ok(())
}

fn network(found: &mut Found) -> Result<(), String> {
    let sockets = sockets("self", found);
    found.is_incomplete = sockets.is_empty() && !found.notes.is_empty();
    let mut known = Known { sockets, holders: Vec::new(), is_complete: true, name: name_of };
    find_holders(&mut known, found)?;
    // Nobody has them any more, and there may be thousands.
    let waiting = if found.json { 0 } else { net::take_waiting(&mut known.sockets) };
    found.show(&net::table(&known, found.json));
    if waiting > 0 {
        found.out += &join(&["and ", &waiting.to_string(), " in TIME_WAIT, which --json lists\n"], "");
    }
    Ok(())
}

fn limits_of(found: &mut Found, who: Option<&OsStr>) -> Result<(), String> {
    let pid = who.map(find).transpose()?;
    if let Some(cgroup) = Cgroup::find() {
        let mut figures = Figures::default();
        cgroup.measure(&mut figures);
        found.show(&limits::container(&figures, found.json));
        if pid.is_some() {
            found.tell(b"\n");
        }
    } else {
        found.note(&["cannot read the container's limits: no cgroup is to be seen in /sys/fs/cgroup"]);
        found.is_incomplete = true;
    }
    let Some(pid) = pid else { return Ok(()) };
    let text = read_of(pid, "limits")?;
    let open = match numbers_in(&path(pid, "fd")) {
        Ok(numbers) => Some(numbers.len() as u64),
        Err(error) => {
            found.notes.push(unreadable(pid, "fd", error));
            None
        }
    };
    found.show(&limits::process(&text, open, found.json));
    Ok(())
}

// --- files

fn list(found: &mut Found, request: &Request) {
    let mut single = Vec::new();
    let mut directories = Vec::new();
    for word in &request.words {
        let path = Path::new(word);
        // A link to a directory is what it leads to.
        if path.is_dir() {
            directories.push(path);
        } else {
            match entry(path) {
                Ok(entry) => single.push(entry),
                Err(error) => cannot_list(found, path, error),
            }
        }
    }
    if !single.is_empty() {
        found.show(&files::table(&single, found.json));
    }
    for path in directories {
        match directory(found, path, request.all) {
            Ok(entries) => {
                if request.words.len() > 1 && !found.json {
                    found.out += if found.out.is_empty() { "" } else { "\n" };
                    escape(&mut found.out, path.as_os_str().as_bytes());
                    found.out += ":\n";
                }
                found.show(&files::table(&entries, found.json));
            }
            Err(error) => cannot_list(found, path, error),
        }
    }
}

fn cannot_list(found: &mut Found, path: &Path, error: Errno) {
    found.note(&["cannot list ", &path.to_string_lossy(), ": ", &cause(error)]);
    found.is_incomplete = true;
}

fn directory(found: &mut Found, path: &Path, all: bool) -> Result<Vec<Entry>, Errno> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for inside in fs::read_dir(path).map_err(number)? {
        names.push(inside.map_err(number)?.file_name().into_vec());
    }
    if all {
        names.push(b".".to_vec());
    }
    names.sort_unstable();
    let mut entries = Vec::new();
    for name in &names {
        if name.starts_with(b".") && !all {
            continue;
        }
        let whole = path.join(OsStr::from_bytes(name));
        match entry(&whole) {
            Ok(mut entry) => {
                entry.name.clone_from(name);
                entries.push(entry);
            }
            Err(Errno::ENOENT) => {} // removed meanwhile
            Err(error) => {
                found.note(&["cannot look at ", &whole.to_string_lossy(), ": ", &cause(error)]);
            }
        }
    }
    Ok(entries)
}

#[inline(never)]
fn entry(path: &Path) -> Result<Entry, Errno> {
    let stat = fs::symlink_metadata(path).map_err(number)?;
    let mut target = Vec::new();
    if stat.is_symlink() {
        target = fs::read_link(path).unwrap_or_default().into_os_string().into_vec();
    }
    let name = path.as_os_str().as_bytes().to_vec();
    Ok(Entry {
        mode: stat.mode(),
        uid: stat.uid(),
        gid: stat.gid(),
        size: stat.size(),
        modified: stat.mtime(),
        path: name.clone(),
        name,
        target,
    })
}

/// Opens a file to print. Not even looking at a FIFO or a device is without consequences.
fn open(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() {
        return open_regular_file(OpenOptions::new().read(true), path);
    }
    let what = if kind.is_dir() {
        "it is a directory; `sexton inspect ls` lists it"
    } else {
        "it is not a regular file"
    };
    Err(io::Error::other(what))
}

fn cannot_read(path: &Path, error: &io::Error) -> u8 {
    // Not all of them are the kernel's.
    let cause =
        error.raw_os_error().map_or_else(|| error.to_string(), |number| cause(Errno::from_raw(number)));
    fail(&join(&["cannot read ", &path.to_string_lossy(), ": ", &cause], ""), 1)
}

fn cat(path: &Path) -> u8 {
    match open(path) {
        Ok(mut file) => copy(&mut file, path),
        Err(error) => cannot_read(path, &error),
    }
}

/// Prints the rest of a file.
fn copy(file: &mut File, path: &Path) -> u8 {
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return 0,
            Ok(length) => {
                if print_bytes(&piece[..length]) != 0 {
                    return 1;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return cannot_read(path, &error),
        }
    }
}

fn tail(path: &Path, request: &Request) -> u8 {
    let begun = open(path).and_then(|mut file| {
        let last = read_last_lines(&mut file, request.lines)?;
        Ok((file, last))
    });
    match begun {
        Ok((mut file, last)) => match print_bytes(&last) {
            0 if request.follow => follow(&mut file, path),
            code => code,
        },
        Err(error) => cannot_read(path, &error),
    }
}

/// Reads the last lines from behind, and leaves the file at its end. Files of /proc say that they are empty, and are
/// read from the beginning.
fn read_last_lines(file: &mut File, lines: usize) -> io::Result<Vec<u8>> {
    let mut length = PIECE as u64;
    loop {
        let size = file.metadata()?.len();
        let start = size.saturating_sub(length);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        match files::last_lines(&bytes, lines) {
            Some(at) => return Ok(bytes.split_off(at)),
            None if start == 0 => return Ok(bytes),
            None => length = length.saturating_mul(4),
        }
    }
}

/// Prints what comes, until nobody reads it any more.
fn follow(file: &mut File, path: &Path) -> u8 {
    // Where it cannot be watched, looking at it from time to time has to do.
    let mut watch = watch(path);
    let mut has_size = false; // files of /proc have none
    loop {
        // What was written to one that has been moved away comes first.
        let (successor, stat) = (fs::metadata(path).ok(), file.metadata().ok());
        let (mut is_another, mut size) = (false, 0);
        if let Some(old) = stat {
            is_another = successor.is_some_and(|new| (new.dev(), new.ino()) != (old.dev(), old.ino()));
            size = old.len();
        }
        has_size |= size > 0;
        if has_size && file.stream_position().is_ok_and(|position| position > size) {
            say(path, " was truncated; going on from its beginning");
            let _ = file.rewind(); // it was there before
        }
        if copy(file, path) != 0 {
            return 1;
        }
        // It may not be ready: then the next look shows.
        if is_another && let Ok(new) = open(path) {
            say(path, " is another file now; going on with it");
            *file = new;
            watch = self::watch(path);
            continue;
        }
        // Nothing is asked about standard output but whether somebody is left to read it.
        let output = PollFd::new(sys::stdout(), PollFlags::empty());
        let ready = match &watch {
            Some(watch) => {
                let mut asked = [output, PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
                wait(&mut asked)
            }
            None => wait(&mut [output]),
        };
        if ready {
            return 0;
        }
        if let Some(watch) = &watch {
            let _ = nix::unistd::read(watch, &mut [0; 1024]); // that there was something is enough
        }
    }
}

/// Waits until something happens or it is time to look; whether it has to do with the first.
fn wait(asked: &mut [PollFd<'_>]) -> bool {
    let ready = ppoll(asked, Some(TimeSpec::from(EVERY)), None);
    ready.is_ok() && asked[0].revents().is_some_and(|events| !events.is_empty())
}

fn say(path: &Path, what: &str) {
    fail(&join(&[&path.to_string_lossy(), what], ""), 0);
}

/// Tells of changes to the file that has this path now.
fn watch(path: &Path) -> Option<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
    let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_ATTRIB;
    inotify.add_watch(path, flags).ok()?;
    Some(inotify)
}
