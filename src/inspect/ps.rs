//! `sexton inspect ps`: the processes as a tree.

use std::time::Duration;

use crate::inspect::{self, count, figure, line_of};
use crate::table::{Column, Side, Table, column};

/// What the kernel counts time in for us, in milliseconds: a hundredth of a second (time(7), USER_HZ).
const TICK: u64 = 10;
/// The flag of a kernel thread (PF_KTHREAD of linux/sched.h).
const KERNEL_THREAD: u64 = 0x0020_0000;
/// How deep the tree is shown.
const DEEPEST: usize = 10;

const COLUMNS: &[Column] = &[
    column("PID", "pid", Side::Right),
    column("", "parent", Side::Right),
    column("USER", "uid", Side::Right),
    column("STATE", "state", Side::Left),
    column("RSS", "rss_bytes", Side::Right),
    column("CPU", "cpu_seconds", Side::Right),
    column("AGE", "age_seconds", Side::Right),
    column("", "name", Side::Left),
    column("", "arguments", Side::Left),
    column("COMMAND", "", Side::Left),
];

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u64,
    parent: u64,
    group: u64,
    state: u8,
    is_kernel_thread: bool,
    cpu: Duration,
    /// Since the machine was started.
    started_at: Duration,
    /// The effective one; None where nothing says.
    pub(crate) uid: Option<u64>,
    /// None for who has no memory: zombies and kernel threads.
    rss: Option<u64>,
    pub(crate) name: Vec<u8>,
    /// The arguments, with zeros between them.
    cmdline: Vec<u8>,
}

impl Process {
    /// Reads what /proc/PID has in `stat`, `status` and `cmdline`; the last two may be missing.
    pub(crate) fn read(stat: &[u8], status: &[u8], cmdline: &[u8]) -> Option<Process> {
        // `pid (name) state parent …`, and the name may hold anything.
        let name_at = stat.iter().position(|byte| *byte == b'(')?;
        let name_end = stat.iter().rposition(|byte| *byte == b')')?;
        let name = stat.get(name_at + 1..name_end)?.to_vec();
        let rest = stat.get(name_end + 1..)?;
        let field = |number: usize| figure(rest, number - 3, 10); // by its number in proc_pid_stat(5)
        let mut cmdline = cmdline.to_vec();
        // The last one ends like the others; and who writes over it leaves zeros.
        while cmdline.last() == Some(&0) {
            cmdline.pop();
        }
        Some(Process {
            pid: figure(&stat[..name_at], 0, 10)?,
            parent: field(4)?,
            group: field(5)?,
            state: *inspect::field(rest, 0).first()?,
            is_kernel_thread: field(9)? & KERNEL_THREAD != 0,
            cpu: ticks(field(14)?.saturating_add(field(15)?)),
            started_at: ticks(field(22)?),
            uid: figure(line_of(status, "Uid:"), 1, 10),
            rss: figure(line_of(status, "VmRSS:"), 0, 10).map(|kib| kib.saturating_mul(1024)),
            name,
            cmdline,
        })
    }

    fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    fn write(&self, table: &mut Table, depth: usize, now: Duration) {
        let mut shown = Vec::new();
        if depth > 0 {
            shown.resize(depth.min(DEEPEST) * 2 - 2, b' ');
            shown.extend_from_slice(b"\\_ ");
        }
        if self.cmdline.is_empty() {
            shown.push(b'[');
            shown.extend_from_slice(&self.name);
            shown.push(b']');
        } else {
            let start = shown.len();
            shown.extend_from_slice(&self.cmdline);
            for byte in &mut shown[start..] {
                if *byte == 0 {
                    *byte = b' ';
                }
            }
        }
        if self.is_zombie() {
            count(&mut shown, " not reaped by ", self.parent);
        }
        table.number(Some(self.pid));
        table.number(Some(self.parent));
        table.number(self.uid);
        table.text(state(self.state).as_bytes());
        match self.rss {
            Some(_) => table.size(self.rss),
            None => table.none("-"),
        }
        table.time(Some(self.cpu));
        table.time(Some(now.saturating_sub(self.started_at)));
        table.text(&self.name);
        table.texts(&self.cmdline);
        table.text(&shown);
    }
}

/// What the kernel counts as time.
fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(TICK))
}

fn state(letter: u8) -> &'static str {
    match letter {
        b'R' => "running",
        b'S' => "sleeping",
        b'D' => "blocked",
        b'T' => "stopped",
        b't' => "traced",
        b'Z' => "zombie",
        b'X' | b'x' => "dead",
        b'I' => "idle",
        _ => "?",
    }
}

/// The tree of processes that come in the order of their numbers, and its last line. Kernel threads are left out where
/// there is anybody else. `now` is since the machine was started.
pub(crate) fn table(mut processes: Vec<Process>, now: Duration, json: bool) -> (Table, Vec<u8>) {
    if !processes.iter().all(|process| process.is_kernel_thread) {
        processes.retain(|process| !process.is_kernel_thread);
    }
    let mut table = Table::new(COLUMNS, json);
    // Those whose parent is not to be seen are roots: ours is outside of the container, if nothing else.
    let mut to_do: Vec<(&Process, usize)> = Vec::new();
    for process in processes.iter().rev() {
        if !processes.iter().any(|other| other.pid == process.parent) {
            to_do.push((process, 0));
        }
    }
    let (mut all, mut zombies) = (0, 0);
    while let Some((process, depth)) = to_do.pop() {
        process.write(&mut table, depth, now);
        (all, zombies) = (all + 1, zombies + u64::from(process.is_zombie()));
        // Two that were read at different times may each look like the other's parent: there is no way to them.
        for child in processes.iter().rev() {
            if child.parent == process.pid {
                to_do.push((child, depth + 1));
            }
        }
    }
    let mut last = Vec::new();
    count(&mut last, "", all);
    count(&mut last, if all == 1 { " process, " } else { " processes, " }, zombies);
    last.extend_from_slice(if zombies == 1 { b" zombie\n" } else { b" zombies\n" });
    (table, last)
}

/// Of processes that have a program's name in their environment, which all below it inherit, the program's own: its
/// parent has another, and it leads its group.
pub(crate) fn programs_own(named: &[Process]) -> Vec<u64> {
    let (mut tops, mut leaders) = (Vec::new(), Vec::new());
    for process in named {
        if named.iter().any(|other| other.pid == process.parent) {
            continue;
        }
        tops.push(process.pid);
        if process.group == process.pid {
            leaders.push(process.pid);
        }
    }
    // What it has left behind may be another's child by now.
    if leaders.is_empty() { tops } else { leaders }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pid: u64, name: &str, state: char, parent: u64, group: u64, flags: u64) -> String {
        format!(
            "{pid} ({name}) {state} {parent} {group} 1 0 -1 {flags} 1 2 3 4 150 50 0 0 20 0 1 0 1000 9 9 9"
        )
    }

    fn process(pid: u64, state: char, parent: u64) -> Process {
        let cmdline = if state == 'Z' { &b""[..] } else { b"app\0-x\0" };
        let status = b"Name:\tx\nUid:\t0\t65534\t0\t0\nVmRSS:\t    2048 kB\n";
        Process::read(stat(pid, "app", state, parent, pid, 0).as_bytes(), status, cmdline).expect("a process")
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = stat(42, ") R 1 (\u{1b}[31m", 'S', 7, 40, 0);
        let process = Process::read(stat.as_bytes(), b"", b"a\0\0b c\0\0\0").expect("a process");
        assert_eq!((process.pid, process.parent, process.group), (42, 7, 40));
        assert_eq!(process.name, b") R 1 (\x1b[31m");
        assert_eq!(process.cmdline, b"a\0\0b c");
        assert_eq!((process.cpu, process.started_at), (Duration::from_secs(2), Duration::from_secs(10)));
        assert_eq!((process.uid, process.rss), (None, None));
    }

    #[test]
    fn what_is_cut_off_is_no_process() {
        let whole = stat(42, "sh", 'S', 7, 42, 0);
        let end = whole.find(" 1000 ").expect("the 22nd");
        for length in 0..=end {
            assert_eq!(Process::read(&whole.as_bytes()[..length], b"", b""), None, "{}", &whole[..length]);
        }
        assert_eq!(Process::read(b")(", b"", b""), None);
        assert_eq!(Process::read(b"x (a) R 1 1 1", b"", b""), None);
    }

    #[test]
    fn the_tree_shows_zombies_and_whose_they_are() {
        let processes =
            vec![process(1, 'S', 0), process(12, 'S', 1), process(20, 'R', 0), process(30, 'Z', 12)];
        let (table, count) = table(processes, Duration::from_secs(202), false);
        let mut text = String::new();
        table.write(&mut text, Some(80));
        assert_eq!(
            text,
            "PID   USER  STATE      RSS   CPU    AGE  COMMAND\n\
             \u{20} 1  65534  sleeping  2.0M  2.0s  3m12s  app -x\n\
             \u{20}12  65534  sleeping  2.0M  2.0s  3m12s  \\_ app -x\n\
             \u{20}30  65534  zombie    2.0M  2.0s  3m12s    \\_ [app] not reaped by 12\n\
             \u{20}20  65534  running   2.0M  2.0s  3m12s  app -x\n"
        );
        assert_eq!(count, b"4 processes, 1 zombie\n");
    }

    #[test]
    fn kernel_threads_are_left_out_where_there_is_anybody_else() {
        let thread = Process::read(stat(2, "kthreadd", 'S', 0, 0, KERNEL_THREAD).as_bytes(), b"", b"");
        let thread = thread.expect("a process");
        let count = |processes| table(processes, Duration::ZERO, false).1;
        assert_eq!(count(vec![process(1, 'S', 0), thread.clone()]), b"1 process, 0 zombies\n");
        assert_eq!(count(vec![thread]), b"1 process, 0 zombies\n");
    }

    #[test]
    fn who_is_its_own_ancestor_ends_no_tree() {
        let count = |processes| table(processes, Duration::ZERO, true).1;
        let processes = vec![process(1, 'S', 0), process(5, 'S', 6), process(6, 'S', 5)];
        assert_eq!(count(processes), b"1 process, 0 zombies\n");
        let chain: Vec<_> = (1..300).map(|pid| process(pid, 'S', pid - 1)).collect();
        assert_eq!(count(chain), b"299 processes, 0 zombies\n");
    }

    #[test]
    fn a_programs_own_process_is_the_one_that_sexton_started() {
        let orphan = Process { group: 9, ..process(11, 'S', 1) };
        assert_eq!(programs_own(&[process(9, 'S', 1), process(10, 'S', 9), orphan.clone()]), [9]);
        assert_eq!(programs_own(std::slice::from_ref(&orphan)), [11]);
        assert_eq!(programs_own(&[process(9, 'S', 1), process(10, 'S', 1), orphan]), [9, 10]);
        assert_eq!(programs_own(&[]), [0; 0]);
    }
}
