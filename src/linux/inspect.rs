//! `sexton inspect`: reads what `inspect.rs` makes tables of. An ordinary process, that may wait and may fail.
//!
//! Whatever cannot be read is said. A process may end at any moment: in the tree it is left out then.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::geteuid;

use super::cgroup::Cgroup;
use super::{fail, open_regular_file, print, print_bytes, sys};
use crate::health::Figures;
use crate::inspect::fds::{Descriptor, Holder, Known, Target};
use crate::inspect::files::{self, Entry};
use crate::inspect::net::{self, Owners, Socket};
use crate::inspect::ps::{self, Process};
use crate::inspect::{Request, What, env, fds, limits};
use crate::table::{Table, escape};

/// How wide a terminal is that does not say.
const WIDTH: usize = 80;
/// How much is read at once, in bytes.
const PIECE: usize = 64 * 1024;
/// How often a file is looked at that is followed: inotify says nothing of one in another's place.
const EVERY: Duration = Duration::from_secs(1);
/// How many processes are named that cannot be looked into.
const MOST_NAMED: usize = 10;

/// What was found.
#[derive(Default)]
struct Found {
    /// Each with its title, which may be empty.
    tables: Vec<(String, Table)>,
    /// What stands behind them for people.
    text: String,
    /// What could not be found, a line for each.
    notes: Vec<String>,
    /// Something that was asked for is missing altogether.
    is_incomplete: bool,
}

/// Looks, prints, and returns the exit code.
pub(crate) fn run(request: &Request) -> u8 {
    // Every signal was blocked at the very first moment, and nobody reads them here: a Ctrl-C ends us as it ends others.
    let _ = SigSet::empty().thread_set_mask(); // or it has to be killed
    let first = request.words.first().map(OsString::as_os_str);
    let found = match (request.what, first) {
        (What::Processes, _) => tree(request.json),
        (What::Environment, Some(who)) => environment(who, request),
        (What::Descriptors, Some(who)) => descriptors(who, request.json),
        (What::Network, _) => network(request),
        (What::Limits, who) => limits_of(who, request.json),
        (What::List, _) => Ok(list(request)),
        (What::Print, _) => return request.words.iter().fold(0, |code, path| code.max(cat(Path::new(path)))),
        (What::Tail, Some(path)) => return tail(Path::new(path), request),
        (What::Environment | What::Descriptors | What::Tail, None) | (What::Crashes, _) => {
            Ok(Found::default())
        } // the parser sees to it
    };
    match found {
        Ok(found) => show(&found, request.json),
        Err(error) => fail(&error, 1),
    }
}

fn show(found: &Found, json: bool) -> u8 {
    let mut out = String::new();
    if json {
        out.push('[');
        for (_, table) in &found.tables {
            table.write(&mut out, None);
        }
        out += "]\n";
    } else {
        let width = sys::terminal_width().map(|width| if width == 0 { WIDTH } else { width.into() });
        for (title, table) in &found.tables {
            if !out.is_empty() {
                out.push('\n');
            }
            out += title;
            table.write(&mut out, width);
        }
        out += &found.text;
    }
    let code = print(&out);
    for note in &found.notes {
        fail(note, 1);
    }
    code.max(u8::from(found.is_incomplete))
}

// --- processes

/// The numbers of all processes that can be seen.
fn pids() -> Result<Vec<u64>, String> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    // The kernel lists them in the order of their numbers.
    let pids: Vec<u64> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    if pids.is_empty() {
        return Err(
            "cannot read /proc: it is not mounted; only `ls`, `cat`, `tail` and `limits` work without it"
                .to_owned(),
        );
    }
    Ok(pids)
}

fn path(pid: u64, name: &str) -> String {
    format!("/proc/{pid}/{name}")
}

fn process(pid: u64) -> Option<Process> {
    let read = |name| fs::read(path(pid, name));
    Process::read(
        &read("stat").ok()?,
        &read("status").unwrap_or_default(),
        &read("cmdline").unwrap_or_default(),
    )
}

fn name_of(pid: u64) -> Vec<u8> {
    let mut name = fs::read(path(pid, "comm")).unwrap_or_default();
    name.pop(); // the newline
    name
}

fn tree(json: bool) -> Result<Found, String> {
    let processes = pids()?.into_iter().filter_map(process).collect();
    // What start times are counted from too; /proc/uptime is often another's.
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    let (table, text) = ps::table(processes, now, json);
    let mut notes = Vec::new();
    if !Path::new("/proc/1").exists() {
        notes.push("cannot see all processes: /proc hides those of other users; root sees them".to_owned());
    }
    Ok(Found { tables: vec![(String::new(), table)], text, notes, is_incomplete: false })
}

/// Finds a process by its number, or by its program's name.
fn find(who: &OsStr) -> Result<u64, String> {
    let all = pids()?;
    let said = who.to_string_lossy();
    if let Ok(pid) = said.parse::<u64>() {
        // A thread's number leads somewhere as well, but it is no process.
        return if all.contains(&pid) { Ok(pid) } else { Err(gone(pid)) };
    }
    let (mut named, mut unread) = (Vec::new(), Vec::new());
    for pid in all {
        match fs::read(path(pid, "environ")) {
            Ok(environ) if env::value_of(&environ, b"SEXTON_PROGRAM") == Some(who.as_bytes()) => {
                named.extend(process(pid));
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => unread.push(pid),
            Ok(_) | Err(_) => {}
        }
    }
    let own = ps::programs_own(&named);
    if let [one] = own[..] {
        return Ok(one.pid);
    }
    let error = format!("cannot inspect program `{said}`: ");
    if own.is_empty() {
        let unread = if unread.is_empty() {
            String::new()
        } else {
            "; ".to_owned() + &denied("the environment", &unread)
        };
        return Err(format!(
            "{error}no process has SEXTON_PROGRAM={said}; `sexton inspect ps` shows all{unread}"
        ));
    }
    let pids: Vec<u64> = own.iter().map(|process| process.pid).collect();
    Err(format!("{error}it has several processes; give one of {}", listed(&pids)))
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

fn gone(pid: u64) -> String {
    format!("cannot inspect process {pid}: it does not exist")
}

/// Reads a file of a process.
fn read_of(pid: u64, name: &str) -> Result<Vec<u8>, String> {
    fs::read(path(pid, name)).map_err(|error| unreadable(pid, name, &error))
}

fn unreadable(pid: u64, name: &str, error: &io::Error) -> String {
    // ESRCH: it has ended since the file was opened.
    if error.raw_os_error() == Some(libc::ESRCH) || !Path::new(&format!("/proc/{pid}")).exists() {
        return format!("cannot inspect process {pid}: it has ended");
    }
    let path = path(pid, name);
    if error.kind() != io::ErrorKind::PermissionDenied {
        return format!("cannot read {path}: {}", cause(error));
    }
    let owner = process(pid).and_then(|process| process.uid);
    format!("cannot read {path}: permission denied; run it as {}", who_may(owner))
}

/// Who may look into processes of this user: the same, or root with a capability that containers seldom have
/// (ptrace(2), PTRACE_MODE_READ).
fn who_may(owner: Option<u64>) -> String {
    let own = geteuid().as_raw();
    match owner {
        // It was started with more than we have, or has said that nobody is to look.
        Some(owner) if owner == u64::from(own) => "root, with the capability SYS_PTRACE".to_owned(),
        Some(owner) if own == 0 => format!("uid {owner}, or with the capability SYS_PTRACE"),
        Some(owner) => format!("uid {owner} or root"),
        None => "root".to_owned(),
    }
}

/// One line for all processes that cannot be looked into.
fn denied(what: &str, pids: &[u64]) -> String {
    let mut owners: Vec<Option<u64>> =
        pids.iter().map(|pid| process(*pid).and_then(|process| process.uid)).collect();
    owners.dedup();
    let owner = if owners.len() == 1 { owners[0] } else { None };
    let named = listed(&pids[..pids.len().min(MOST_NAMED)]);
    let more = if pids.len() > MOST_NAMED { ", …" } else { "" };
    let s = if pids.len() == 1 { "" } else { "es" };
    format!("cannot read {what} of process{s} {named}{more}: permission denied; run it as {}", who_may(owner))
}

/// The cause, in the words of the others.
fn cause(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT) => "it does not exist".to_owned(),
        Some(libc::EACCES | libc::EPERM) => "permission denied".to_owned(),
        Some(number) => Errno::from_raw(number).desc().to_ascii_lowercase(),
        None => error.to_string(),
    }
}

// --- what a process has

fn environment(who: &OsStr, request: &Request) -> Result<Found, String> {
    let pid = find(who)?;
    let environ = read_of(pid, "environ")?;
    let found = env::read(&environ, request.reveal, request.json);
    let mut notes = Vec::new();
    if environ.is_empty() {
        notes.push(format!("process {pid} has no environment: it got none, is a zombie or a kernel thread"));
    }
    match found.masked {
        0 => {}
        1 => notes.push("1 value is masked; `--reveal` shows it".to_owned()),
        many => notes.push(format!("{many} values are masked; `--reveal` shows them")),
    }
    Ok(Found { tables: vec![(String::new(), found.table)], text: found.text, notes, is_incomplete: false })
}

/// The descriptors of a process: the number and where its link leads.
fn links(pid: u64) -> io::Result<Vec<(u64, Vec<u8>)>> {
    let mut links = Vec::new();
    for entry in fs::read_dir(path(pid, "fd"))? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        match fs::read_link(path(pid, &format!("fd/{number}"))) {
            Ok(link) => links.push((number, link.into_os_string().into_vec())),
            // Root may always list them, but where they lead it may be refused.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(_) => {} // closed meanwhile
        }
    }
    Ok(links) // the kernel lists them in the order of their numbers
}

/// Who holds which pipes and sockets, and whom nobody can ask.
fn holders() -> Result<(Vec<Holder>, Vec<u64>), String> {
    let (mut holders, mut unread) = (Vec::new(), Vec::new());
    let own = u64::from(std::process::id()); // who only looks is no end of anything
    for pid in pids()?.into_iter().filter(|pid| *pid != own) {
        let links = match links(pid) {
            Ok(links) => links,
            Err(error) => {
                if error.kind() == io::ErrorKind::PermissionDenied {
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
            // The link's own permissions say how it is open (proc_pid_fd(5)).
            let mode = if is_pipe {
                fs::symlink_metadata(path(pid, &format!("fd/{number}"))).map_or(0, |link| link.mode())
            } else {
                0
            };
            holders.push(Holder { pid, inode, is_pipe, reads: mode & 0o400 != 0, writes: mode & 0o200 != 0 });
        }
    }
    Ok((holders, unread))
}

/// The sockets of a process's network, and what of them cannot be read.
fn sockets(of: &str, notes: &mut Vec<String>) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for file in net::FILES {
        let path = format!("/proc/{of}/net/{file}");
        match fs::read(&path) {
            Ok(bytes) => sockets.extend(net::read(file, &bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // a kernel without IPv6, for one
            Err(error) => notes.push(format!("cannot read {path}: {}", cause(&error))),
        }
    }
    sockets
}

fn descriptors(who: &OsStr, json: bool) -> Result<Found, String> {
    let pid = find(who)?;
    let links = links(pid).map_err(|error| unreadable(pid, "fd", &error))?;
    let mut descriptors = Vec::new();
    for (number, link) in links {
        let info = fs::read(path(pid, &format!("fdinfo/{number}"))).unwrap_or_default();
        descriptors.push(Descriptor { number, link, info });
    }
    let mut notes = Vec::new();
    let has = |kind: fn(Target<'_>) -> bool| descriptors.iter().any(|one| kind(fds::target(&one.link)));
    let has_pipes = has(|target| matches!(target, Target::Pipe(_)));
    let has_sockets = has(|target| matches!(target, Target::Socket(_)));
    let sockets = if has_sockets { sockets(&pid.to_string(), &mut notes) } else { Vec::new() };
    let (holders, unread) = if has_pipes { holders()? } else { (Vec::new(), Vec::new()) };
    if !unread.is_empty() {
        notes.push(denied("the descriptors", &unread));
    }
    let known = Known { sockets, holders, is_complete: unread.is_empty() };
    let table = fds::table(&descriptors, &known, name_of, json);
    Ok(Found { tables: vec![(String::new(), table)], notes, ..Found::default() })
}

fn network(request: &Request) -> Result<Found, String> {
    let (holders, unread) = holders()?;
    let mut notes = Vec::new();
    let mut sockets = sockets("self", &mut notes);
    let is_incomplete = sockets.is_empty() && !notes.is_empty();
    // Nobody has them any more, and there may be thousands.
    let waiting = if request.json { 0 } else { net::take_waiting(&mut sockets) };
    let text =
        if waiting > 0 { format!("and {waiting} in TIME_WAIT, which --json lists\n") } else { String::new() };
    let owners = |inode| {
        let own = holders.iter().filter(|holder| !holder.is_pipe && holder.inode == inode);
        let mut pids: Vec<u64> = own.map(|holder| holder.pid).collect();
        pids.dedup();
        let name = pids.first().map(|pid| name_of(*pid)).unwrap_or_default();
        Owners { pids, name }
    };
    let table = net::table(&sockets, owners, unread.is_empty(), request.json);
    if !unread.is_empty() {
        notes.push(denied("the descriptors", &unread));
    }
    Ok(Found { tables: vec![(String::new(), table)], text, notes, is_incomplete })
}

fn limits_of(who: Option<&OsStr>, json: bool) -> Result<Found, String> {
    let mut found = Found::default();
    let pid = who.map(find).transpose()?;
    if let Some(cgroup) = Cgroup::find() {
        let mut figures = Figures::default();
        cgroup.measure(&mut figures);
        found.tables.push((String::new(), limits::container(&figures, json)));
    } else {
        let error = "cannot read the container's limits: no cgroup is to be seen in /sys/fs/cgroup";
        found.notes.push(error.to_owned());
        found.is_incomplete = true;
    }
    let Some(pid) = pid else { return Ok(found) };
    let text = read_of(pid, "limits")?;
    let open = match fs::read_dir(path(pid, "fd")) {
        Ok(entries) => u64::try_from(entries.count()).ok(),
        Err(error) => {
            found.notes.push(unreadable(pid, "fd", &error));
            None
        }
    };
    let table = limits::process(&String::from_utf8_lossy(&text), open, json);
    found.tables.push((String::new(), table));
    Ok(found)
}

// --- files

fn list(request: &Request) -> Found {
    let (mut found, mut single) = (Found::default(), Vec::new());
    for word in &request.words {
        let path = Path::new(word);
        // A link to a directory is what it leads to.
        let listed = if path.is_dir() {
            directory(path, request.all, &mut found.notes).map(|entries| {
                let mut title = String::new();
                if request.words.len() > 1 {
                    escape(&mut title, word.as_bytes());
                    title += ":\n";
                }
                found.tables.push((title, files::table(&entries, request.json)));
            })
        } else {
            entry(path).map(|entry| single.push(entry))
        };
        if let Err(error) = listed {
            found.notes.push(format!("cannot list {}: {}", path.display(), cause(&error)));
            found.is_incomplete = true;
        }
    }
    if !single.is_empty() {
        found.tables.insert(0, (String::new(), files::table(&single, request.json)));
    }
    found
}

fn directory(path: &Path, all: bool, notes: &mut Vec<String>) -> io::Result<Vec<Entry>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for inside in fs::read_dir(path)? {
        names.push(inside?.file_name().into_vec());
    }
    if all {
        names.push(b".".to_vec());
    }
    names.sort_unstable();
    let mut entries = Vec::new();
    for name in names {
        if name.starts_with(b".") && !all {
            continue;
        }
        let whole = path.join(OsStr::from_bytes(&name));
        match entry(&whole) {
            Ok(entry) => entries.push(Entry { name, ..entry }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // removed meanwhile
            Err(error) => notes.push(format!("cannot look at {}: {}", whole.display(), cause(&error))),
        }
    }
    Ok(entries)
}

fn entry(path: &Path) -> io::Result<Entry> {
    let stat = fs::symlink_metadata(path)?;
    let target = if stat.is_symlink() { fs::read_link(path).ok() } else { None };
    let bytes = |path: PathBuf| path.into_os_string().into_vec();
    Ok(Entry {
        mode: stat.mode(),
        uid: stat.uid(),
        gid: stat.gid(),
        size: stat.size(),
        modified: stat.mtime(),
        name: bytes(path.to_owned()),
        path: bytes(path.to_owned()),
        target: target.map(bytes),
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
    fail(&format!("cannot read {}: {}", path.display(), cause(error)), 1)
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
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok();
    let watch = || {
        let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_ATTRIB;
        // Where it cannot be watched, looking at it from time to time has to do.
        inotify.as_ref().and_then(|inotify| inotify.add_watch(path, flags).ok())
    };
    let mut watched = watch();
    let mut has_size = false; // files of /proc have none
    loop {
        // What was written to one that has been moved away comes first.
        let successor = fs::metadata(path).ok().zip(file.metadata().ok());
        let is_another = successor.is_some_and(|(new, old)| (new.dev(), new.ino()) != (old.dev(), old.ino()));
        let size = file.metadata().map_or(0, |stat| stat.len());
        has_size |= size > 0;
        if has_size && file.stream_position().is_ok_and(|position| position > size) {
            fail(&format!("{} was truncated; going on from its beginning", path.display()), 0);
            let _ = file.rewind(); // it was there before
        }
        if copy(file, path) != 0 {
            return 1;
        }
        if is_another {
            match open(path) {
                Ok(new) => {
                    fail(&format!("{} is another file now; going on with it", path.display()), 0);
                    *file = new;
                    if let (Some(inotify), Some(old)) = (&inotify, watched) {
                        let _ = inotify.rm_watch(old); // gone with its file, perhaps
                    }
                    watched = watch();
                    continue;
                }
                Err(error) => drop(error), // it may not be ready: the next look shows
            }
        }
        let output = sys::stdout();
        // Nothing is asked about standard output but whether somebody is left to read it.
        let mut asked = vec![PollFd::new(output, PollFlags::empty())];
        asked.extend(inotify.as_ref().map(|inotify| PollFd::new(inotify.as_fd(), PollFlags::POLLIN)));
        let ready = ppoll(&mut asked, Some(TimeSpec::from(EVERY)), None);
        if ready.is_ok() && asked[0].revents().is_some_and(|events| !events.is_empty()) {
            return 0;
        }
        if let Some(inotify) = &inotify {
            let _ = inotify.read_events(); // that there were some is enough
        }
    }
}
