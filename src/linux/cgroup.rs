//! What the cgroup says of memory: how much there is, and whether somebody was killed for want of it.
//!
//! Read-only, both versions. In a container the files stand at the mount itself; outside, /proc/self/cgroup says where.
//! v1's own path in it is the host's and is tried last.

use std::fs;
use std::path::{Path, PathBuf};
#[cfg(feature = "health")]
use std::time::Duration;

use crate::event::Memory;
#[cfg(feature = "health")]
use crate::health::Figures;
use crate::outcome::OutOfMemory;

const MOUNT: &str = "/sys/fs/cgroup";

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cgroup {
    V2(PathBuf),
    V1(PathBuf),
}

/// How often the kernel has run out of memory here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kills {
    /// Processes that were killed, by whichever OOM killer.
    pub(super) killed: u64,
    /// Times that this cgroup's own limit was reached and nothing could be reclaimed; None where v1 does not say.
    pub(super) own_limit: Option<u64>,
}

impl Cgroup {
    /// The cgroup we are in, as far as it can be seen.
    pub(super) fn find() -> Option<Cgroup> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Cgroup::find_at(Path::new(MOUNT), &own)
    }

    fn find_at(mount: &Path, own: &str) -> Option<Cgroup> {
        let v2_path = own.lines().find(|line| line.starts_with("0::")).and_then(path_of);
        let v2 = [Some(mount.to_owned()), v2_path.map(|path| mount.join(path))];
        let v2 = v2.into_iter().flatten().find(|directory| directory.join("memory.events").exists());
        v2.map(Cgroup::V2)
            .or_else(|| v1_directory(mount, own, "memory", "memory.oom_control").map(Cgroup::V1))
    }

    /// The counters, or None where they cannot be read.
    pub(super) fn kills(&self) -> Option<Kills> {
        match self {
            Cgroup::V2(directory) => {
                let text = fs::read_to_string(directory.join("memory.events")).ok()?;
                Some(Kills { killed: field(&text, "oom_kill")?, own_limit: field(&text, "oom") })
            }
            Cgroup::V1(directory) => {
                let text = fs::read_to_string(directory.join("memory.oom_control")).ok()?;
                Some(Kills { killed: field(&text, "oom_kill")?, own_limit: None })
            }
        }
    }

    /// How much memory is used of how much, where there is a limit.
    pub(super) fn memory(&self) -> Option<Memory> {
        let (directory, used, limit) = match self {
            Cgroup::V2(directory) => (directory, "memory.current", "memory.max"),
            Cgroup::V1(directory) => (directory, "memory.usage_in_bytes", "memory.limit_in_bytes"),
        };
        Some(Memory { used: number(directory, used)?, limit: number(directory, limit)? }) // `max` is no number: no limit
    }

    /// What the files say, for metrics.
    #[cfg(feature = "health")]
    pub(super) fn measure(&self, figures: &mut Figures) {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        self.measure_at(figures, Path::new(MOUNT), &own);
    }

    #[cfg(feature = "health")]
    fn measure_at(&self, figures: &mut Figures, mount: &Path, own: &str) {
        figures.oom_kills = self.kills().map(|kills| kills.killed);
        match self {
            Cgroup::V2(directory) => {
                figures.memory = number(directory, "memory.current");
                figures.memory_limit = number(directory, "memory.max"); // `max` is no number
                figures.memory_peak = number(directory, "memory.peak");
                figures.pids = number(directory, "pids.current");
                figures.pids_limit = number(directory, "pids.max");
                let cpu = text(directory, "cpu.stat");
                figures.cpu = field(&cpu, "usage_usec").map(Duration::from_micros);
                figures.cpu_throttled = field(&cpu, "throttled_usec").map(Duration::from_micros);
                (figures.cpu_periods, figures.cpu_throttled_periods) = periods(&cpu);
                let limit = text(directory, "cpu.max");
                let mut words = limit.split_whitespace().map(|word| word.parse().ok());
                figures.cpu_limit = per_second(words.next().flatten(), words.next().flatten());
            }
            Cgroup::V1(memory) => {
                figures.memory = number(memory, "memory.usage_in_bytes");
                // No limit is the largest number of whole pages.
                figures.memory_limit =
                    number(memory, "memory.limit_in_bytes").filter(|limit| *limit < 1 << 62);
                figures.memory_peak = number(memory, "memory.max_usage_in_bytes");
                if let Some(pids) = v1_directory(mount, own, "pids", "pids.current") {
                    figures.pids = number(&pids, "pids.current");
                    figures.pids_limit = number(&pids, "pids.max");
                }
                if let Some(usage) = v1_directory(mount, own, "cpuacct", "cpuacct.usage") {
                    figures.cpu = number(&usage, "cpuacct.usage").map(Duration::from_nanos);
                }
                let Some(directory) = v1_directory(mount, own, "cpu", "cpu.stat") else { return };
                let cpu = text(&directory, "cpu.stat");
                figures.cpu_throttled = field(&cpu, "throttled_time").map(Duration::from_nanos);
                (figures.cpu_periods, figures.cpu_throttled_periods) = periods(&cpu);
                let number = |file| number(&directory, file);
                // No limit is -1.
                figures.cpu_limit = per_second(number("cpu.cfs_quota_us"), number("cpu.cfs_period_us"));
            }
        }
    }

    /// The file whose change says that memory is short; v1 has none that we may wait for.
    pub(super) fn events_file(&self) -> Option<PathBuf> {
        match self {
            Cgroup::V2(directory) => Some(directory.join("memory.events")),
            Cgroup::V1(_) => None,
        }
    }
}

/// Where the files of one of v1's controllers are: in the host's place, or at its mount.
fn v1_directory(mount: &Path, own: &str, controller: &str, file: &str) -> Option<PathBuf> {
    let line = own.lines().find(|line| {
        line.split(':').nth(1).is_some_and(|names| names.split(',').any(|name| name == controller))
    });
    let at_mount = mount.join(controller);
    let in_hosts_place = line.and_then(path_of).map(|path| at_mount.join(path));
    [in_hosts_place, Some(at_mount)].into_iter().flatten().find(|directory| directory.join(file).exists())
}

/// The path in a line of /proc/self/cgroup, to be joined to a mount.
fn path_of(line: &str) -> Option<&str> {
    line.splitn(3, ':').nth(2).map(|path| path.trim_start_matches('/'))
}

/// The content of a file, nothing where it cannot be read.
fn text(directory: &Path, file: &str) -> String {
    fs::read_to_string(directory.join(file)).unwrap_or_default()
}

fn number(directory: &Path, file: &str) -> Option<u64> {
    text(directory, file).trim().parse().ok()
}

/// Periods of the CPU limit, and those in which it was reached.
#[cfg(feature = "health")]
fn periods(stat: &str) -> (Option<u64>, Option<u64>) {
    (field(stat, "nr_periods"), field(stat, "nr_throttled"))
}

/// The CPU time in a second where there may be so much, in microseconds, in each period.
#[cfg(feature = "health")]
fn per_second(quota: Option<u64>, period: Option<u64>) -> Option<Duration> {
    let micros = quota?.saturating_mul(1_000_000).checked_div(period?)?;
    Some(Duration::from_micros(micros))
}

/// The number behind `name` in lines of `name number`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// What two readings say of a death between them; `before` is None where nobody had looked.
pub(super) fn verdict(before: Option<Kills>, after: Option<Kills>) -> OutOfMemory {
    match (before, after) {
        (_, None) => OutOfMemory::Unknown,
        (None, Some(after)) if after.killed == 0 => OutOfMemory::No,
        (None, Some(_)) => OutOfMemory::Perhaps,
        (Some(before), Some(after)) if after.killed <= before.killed => OutOfMemory::No,
        (Some(before), Some(after)) => match (before.own_limit, after.own_limit) {
            (Some(before), Some(after)) if after > before => OutOfMemory::OwnLimit,
            (Some(_), Some(_)) => OutOfMemory::Elsewhere,
            (None, _) | (_, None) => OutOfMemory::SomeLimit,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with these files, for one test.
    fn tree(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("sexton-cgroup-{name}-{}", std::process::id()));
        for (path, content) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, content).expect("a file");
        }
        root
    }

    const EVENTS: &str = "low 0\nhigh 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 0\n";

    #[test]
    fn v2_is_read_at_the_mount_of_a_container() {
        let files = [("memory.events", EVENTS), ("memory.current", "900\n"), ("memory.max", "1000\n")];
        let root = tree("v2", &files);
        let cgroup = Cgroup::find_at(&root, "0::/\n").expect("found");
        assert_eq!(cgroup, Cgroup::V2(root.clone()));
        assert_eq!(cgroup.kills(), Some(Kills { killed: 3, own_limit: Some(2) }));
        assert_eq!(cgroup.memory(), Some(Memory { used: 900, limit: 1000 }));
        assert_eq!(cgroup.events_file(), Some(root.join("memory.events")));
        fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn v2_is_found_below_the_mount_where_the_host_is_seen() {
        let root = tree("v2-host", &[("pod/web/memory.events", EVENTS), ("pod/web/memory.max", "max\n")]);
        let cgroup = Cgroup::find_at(&root, "0::/pod/web\n").expect("found");
        assert_eq!(cgroup, Cgroup::V2(root.join("pod/web")));
        assert_eq!(cgroup.memory(), None);
        fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn v1_is_read_in_the_hosts_place_or_at_the_mount() {
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n";
        let own = "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n";
        let root = tree("v1", &[("memory/memory.oom_control", control)]);
        let cgroup = Cgroup::find_at(&root, own).expect("found");
        assert_eq!(cgroup, Cgroup::V1(root.join("memory")));
        assert_eq!(cgroup.kills(), Some(Kills { killed: 4, own_limit: None }));
        fs::remove_dir_all(root).expect("removed");
        let root = tree(
            "v1-host",
            &[("memory/memory.oom_control", control), ("memory/docker/abc/memory.oom_control", control)],
        );
        assert_eq!(Cgroup::find_at(&root, own), Some(Cgroup::V1(root.join("memory/docker/abc"))));
        fs::remove_dir_all(root).expect("removed");
    }

    #[cfg(feature = "health")]
    #[test]
    fn what_v2_says_is_measured_and_what_is_missing_is_not() {
        let files = [
            ("memory.events", EVENTS),
            ("memory.current", "900\n"),
            ("memory.max", "max\n"),
            ("memory.peak", "950\n"),
            (
                "cpu.stat",
                "usage_usec 2500000\nuser_usec 1\nnr_periods 7\nnr_throttled 3\nthrottled_usec 1500000\n",
            ),
            ("cpu.max", "150000 100000\n"),
            ("pids.current", "12\n"),
            ("pids.max", "100\n"),
        ];
        let root = tree("v2-figures", &files);
        let mut figures = Figures::default();
        Cgroup::V2(root.clone()).measure_at(&mut figures, &root, "0::/\n");
        let expected = Figures {
            oom_kills: Some(3),
            memory: Some(900),
            memory_peak: Some(950),
            cpu: Some(Duration::from_millis(2500)),
            cpu_limit: Some(Duration::from_millis(1500)),
            cpu_throttled: Some(Duration::from_millis(1500)),
            cpu_periods: Some(7),
            cpu_throttled_periods: Some(3),
            pids: Some(12),
            pids_limit: Some(100),
            ..Figures::default()
        };
        assert_eq!(figures, expected);
        fs::remove_dir_all(&root).expect("removed");
        for (max, limit) in [("max 100000\n", None), ("0 0\n", None), ("50000 100000\n", Some(500))] {
            let root = tree("v2-limit", &[("cpu.max", max)]);
            let mut figures = Figures::default();
            Cgroup::V2(root.clone()).measure_at(&mut figures, &root, "");
            let cpu_limit = limit.map(Duration::from_millis);
            assert_eq!(figures, Figures { cpu_limit, ..Figures::default() });
            fs::remove_dir_all(root).expect("removed");
        }
    }

    #[cfg(feature = "health")]
    #[test]
    fn what_v1_says_is_measured_where_each_controller_is() {
        let files = [
            ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"),
            ("memory/memory.usage_in_bytes", "900\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.max_usage_in_bytes", "950\n"),
            ("cpu/cpu.stat", "nr_periods 7\nnr_throttled 3\nthrottled_time 1500000000\n"),
            ("cpu/cpu.cfs_quota_us", "-1\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
            ("cpuacct/cpuacct.usage", "2500000000\n"),
            ("pids/docker/abc/pids.current", "12\n"),
            ("pids/docker/abc/pids.max", "max\n"),
        ];
        let root = tree("v1-figures", &files);
        let own = "5:cpu,cpuacct:/x\n4:memory:/x\n3:pids:/docker/abc\n0::/\n";
        let mut figures = Figures::default();
        Cgroup::find_at(&root, own).expect("found").measure_at(&mut figures, &root, own);
        let expected = Figures {
            oom_kills: Some(4),
            memory: Some(900),
            memory_peak: Some(950),
            cpu: Some(Duration::from_millis(2500)),
            cpu_throttled: Some(Duration::from_millis(1500)),
            cpu_periods: Some(7),
            cpu_throttled_periods: Some(3),
            pids: Some(12),
            ..Figures::default()
        };
        assert_eq!(figures, expected);
        fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn a_verdict_needs_a_counter_that_rose() {
        let kills = |killed, own_limit| Some(Kills { killed, own_limit });
        let verdicts = [
            (kills(3, Some(2)), kills(3, Some(9)), OutOfMemory::No),
            (kills(3, Some(2)), kills(4, Some(3)), OutOfMemory::OwnLimit),
            (kills(3, Some(2)), kills(4, Some(2)), OutOfMemory::Elsewhere),
            (kills(3, None), kills(4, None), OutOfMemory::SomeLimit),
            (None, kills(0, None), OutOfMemory::No),
            (None, kills(1, None), OutOfMemory::Perhaps),
            (kills(3, None), None, OutOfMemory::Unknown),
        ];
        for (before, after, expected) in verdicts {
            assert_eq!(verdict(before, after), expected, "{before:?} {after:?}");
        }
    }
}
