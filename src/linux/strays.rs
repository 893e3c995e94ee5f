//! The processes below us, found in /proc: for when we are not PID 1 and `kill(-1)` would reach strangers.

use std::fs;
use std::io;
use std::path::Path;

use super::sys;

/// A process as /proc/PID/stat has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    parent: i32,
    /// When it was started, in clock ticks: with the number it says who it is, whatever it calls itself.
    started_at: u64,
    pub(super) name: String,
}

/// Every process that descends from `ancestor`, those in `but` and their descendants left out; None where /proc is not
/// mounted.
///
/// A zombie is no such process: nothing can be sent to it.
pub(super) fn descendants(ancestor: i32, but: &[i32]) -> Option<Vec<Process>> {
    let all = processes()?;
    let (mut found, mut parents) = (Vec::<Process>::new(), vec![ancestor]);
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|process| process.parent == parent && !but.contains(&process.pid)) {
            parents.push(child.pid);
            found.push(child.clone());
        }
    }
    Some(found)
}

/// Every process but ourselves, in a container whose PID 1 we are.
pub(super) fn everyone_else() -> Option<Vec<Process>> {
    let own = std::process::id().cast_signed();
    Some(processes()?.into_iter().filter(|process| process.pid != own).collect())
}

fn processes() -> Option<Vec<Process>> {
    // In a PID namespace without a /proc of its own the numbers in it are others': our own would not be us.
    let own = fs::read_link("/proc/self").ok()?;
    if own.to_str()?.parse::<u32>().ok()? != std::process::id() {
        return None;
    }
    let (mut pids, mut processes) = (Vec::new(), Vec::new());
    let listed = numbers_in("/proc", &mut pids);
    if pids.is_empty() {
        listed.ok()?;
    }
    for pid in pids {
        processes.extend(read(pid));
    }
    Some(processes)
}

/// Finds the names in a directory that are numbers: in /proc in their order. Where there is an error, those before it
/// are there.
pub(super) fn numbers_in(directory: &str, numbers: &mut Vec<u64>) -> io::Result<()> {
    for entry in fs::read_dir(Path::new(directory))? {
        if let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            numbers.push(number);
        }
    }
    Ok(())
}

/// What can be sent something and has this number.
fn read(pid: u64) -> Option<Process> {
    parse(&fs::read(Path::new(&format!("/proc/{pid}/stat"))).ok()?)
}

/// Reads a line of proc_pid_stat(5): `pid (name) state ppid …`, where the name may hold anything.
fn parse(stat: &[u8]) -> Option<Process> {
    let text = String::from_utf8_lossy(stat);
    let (pid, rest) = text.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let (state, parent) = (fields.next()?, fields.next()?.parse().ok()?);
    let started_at = fields.nth(17)?.parse().ok()?; // the 22nd of all
    (state != "Z" && state != "X").then_some(Process {
        pid: pid.parse().ok()?,
        parent,
        started_at,
        name: name.to_owned(),
    })
}

/// Sends SIGKILL to the process group that our child `leader` leads, and to what has left it and still descends from the
/// leader, as far as the kernel shows it (proc_pid_task_children(5)).
pub(super) fn kill_tree(leader: i32) {
    let own = std::process::id().cast_signed();
    let mut below = children(leader);
    let mut place = 0;
    while let Some(process) = below.get(place) {
        below.extend(children(process.pid));
        place += 1;
    }
    let _ = sys::kill(-leader, libc::SIGKILL); // ESRCH: it has left its group
    let _ = sys::kill(leader, libc::SIGKILL); // not reaped yet, so the number is its own
    for process in below {
        tell(own, &process, libc::SIGKILL);
    }
}

/// The children of a process, where the kernel shows them.
fn children(pid: i32) -> Vec<Process> {
    let task = format!("/proc/{pid}/task");
    let (mut threads, mut children) = (Vec::new(), Vec::new());
    let _ = numbers_in(&task, &mut threads); // it may end meanwhile
    for thread in threads {
        let list = fs::read_to_string(Path::new(&format!("{task}/{thread}/children"))).unwrap_or_default();
        for child in list.split(' ') {
            children.extend(child.parse().ok().and_then(read));
        }
    }
    children
}

/// How often we look for processes that were started meanwhile: whoever forks faster and ignores the signal is seen
/// again at the deadline, and SIGKILL leaves nobody to fork.
const MOST_ROUNDS: u32 = 100;

/// Sends `signal` to every process below us but those in `but` and theirs, and to those that they start meanwhile, until
/// there is no new one.
///
/// Returns false where it cannot be known who they are.
pub(super) fn kill_descendants(signal: i32, but: &[i32]) -> bool {
    let own = std::process::id().cast_signed();
    let mut told = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let Some(found) = descendants(own, but) else { return false };
        let new: Vec<_> = found.into_iter().filter(|process| !told.contains(&process.identity())).collect();
        if new.is_empty() {
            break;
        }
        for process in new {
            tell(own, &process, signal);
            told.push(process.identity());
        }
    }
    true
}

impl Process {
    /// Who it is: a number is given again, but not in the same clock tick.
    fn identity(&self) -> (i32, u64) {
        (self.pid, self.started_at)
    }
}

fn tell(own: i32, process: &Process, signal: i32) {
    let result = if process.parent == own {
        sys::kill(process.pid, signal) // our child, and only we reap it: the number is still its own
    } else {
        // Its parent may reap it at any moment. Once we hold a descriptor, it can be compared in peace.
        match sys::process_descriptor(process.pid) {
            Ok(held) => {
                match read(process.pid.unsigned_abs().into()) {
                    Some(now) if now.identity() == process.identity() => sys::kill_process(&held, signal),
                    Some(_) | None => return, // gone
                }
            }
            Err(_) => sys::kill(process.pid, signal), // seccomp forbids pidfd_open, or the process is gone
        }
    };
    if let Err(error) = result
        && error.raw_os_error() != Some(libc::ESRCH)
    {
        log::warn!(
            "cannot send signal {signal} to process {} ({}): {error}; going on",
            process.pid,
            process.name
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = b"42 (a) R 1 (b)) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 2 3";
        let process = Process { pid: 42, parent: 7, started_at: 4711, name: "a) R 1 (b)".to_owned() };
        assert_eq!(parse(stat), Some(process));
    }

    #[test]
    fn the_dead_and_the_broken_are_none() {
        assert_eq!(parse(b"42 (sh) Z 7 42"), None);
        assert_eq!(parse(b"42 (sh"), None);
        assert_eq!(parse(b""), None);
    }
}
