//! What the cgroup says of memory: how much there is, and whether somebody was killed for want of it.
//!
//! Read-only, both versions. In a container the files stand at the mount itself; outside, /proc/self/cgroup says where.
//! v1's own path in it is the host's and is tried last.

use std::fs;
use std::path::{Path, PathBuf};

use crate::event::Memory;
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
        let path_of =
            |line: &str| line.splitn(3, ':').nth(2).map(|path| path.trim_start_matches('/').to_owned());
        let v2_path = own.lines().find(|line| line.starts_with("0::")).and_then(path_of);
        let v1_path = own
            .lines()
            .find(|line| {
                line.split(':').nth(1).is_some_and(|names| names.split(',').any(|name| name == "memory"))
            })
            .and_then(path_of);
        let v2 = [Some(mount.to_owned()), v2_path.map(|path| mount.join(path))];
        let v1 = [v1_path.map(|path| mount.join("memory").join(path)), Some(mount.join("memory"))];
        let there = |directory: &PathBuf, file: &str| directory.join(file).exists();
        v2.into_iter().flatten().find(|directory| there(directory, "memory.events")).map(Cgroup::V2).or_else(
            || {
                v1.into_iter()
                    .flatten()
                    .find(|directory| there(directory, "memory.oom_control"))
                    .map(Cgroup::V1)
            },
        )
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
        let number = |file| fs::read_to_string(directory.join(file)).ok()?.trim().parse().ok();
        Some(Memory { used: number(used)?, limit: number(limit)? }) // `max` is no number: no limit
    }

    /// The file whose change says that memory is short; v1 has none that we may wait for.
    pub(super) fn events_file(&self) -> Option<PathBuf> {
        match self {
            Cgroup::V2(directory) => Some(directory.join("memory.events")),
            Cgroup::V1(_) => None,
        }
    }
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
