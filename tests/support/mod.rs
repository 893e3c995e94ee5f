//! Runs sexton as a real process, mostly as PID 1 of a namespace of its own, and waits for facts.
//!
//! Everything runs in a fresh PID namespace that dies with the test, so nothing leaks and nothing else is hit.
#![allow(dead_code)] // each test binary uses its own part

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine; only a failure ever waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The everyday build of the binary under test.
pub(crate) fn sexton() -> &'static str {
    env!("CARGO_BIN_EXE_sexton")
}

/// Polls until `fact` gives something; fails with `what` where it never does.
pub(crate) fn wait_until<T>(what: &str, mut fact: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(Instant::now() < until, "never came: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A directory for one test, removed with it.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sexton-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a fresh directory");
        // Tests run programs as other users in it.
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("its mode");
        Dir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What is to be run, and how.
#[must_use]
pub(crate) struct Setup {
    pub(crate) dir: Dir,
    is_pid_1: bool,
    through: Vec<OsString>,
    options: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Stdio,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
    before: String,
}

impl Setup {
    /// sexton as the first process of a PID namespace with its own /proc, as in a container.
    pub(crate) fn pid_1() -> Setup {
        Setup {
            dir: Dir::new(),
            is_pid_1: true,
            through: Vec::new(),
            options: Vec::new(),
            env: Vec::new(),
            stdin: Stdio::null(),
            stdout: None,
            stderr: None,
            before: String::new(),
        }
    }

    /// sexton as a child of somebody else, as under `docker run --init` or in a shared PID namespace.
    pub(crate) fn not_pid_1() -> Setup {
        Setup { is_pid_1: false, ..Setup::pid_1() }
    }

    /// sexton as PID 1 with this configuration, `sexton.toml` in the test's directory; that is `$(DIR)` in it.
    pub(crate) fn config(toml: &str) -> Setup {
        let setup = Setup::pid_1();
        let file = setup.dir.path().join("sexton.toml");
        fs::write(&file, toml).expect("written");
        setup.options([OsString::from("--config"), file.into_os_string()])
    }

    /// Options of sexton.
    pub(crate) fn options<W: Into<OsString>>(mut self, words: impl IntoIterator<Item = W>) -> Setup {
        self.options.extend(words.into_iter().map(Into::into));
        self
    }

    /// A command that runs sexton in its place, such as `env --ignore-signal=PIPE`.
    pub(crate) fn through(mut self, words: &[&str]) -> Setup {
        self.through.extend(words.iter().map(OsString::from));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Setup {
        self.env.push((name.into(), value.into()));
        self
    }

    pub(crate) fn stdin(mut self, stdin: impl Into<Stdio>) -> Setup {
        self.stdin = stdin.into();
        self
    }

    pub(crate) fn stdout(mut self, stdout: impl Into<Stdio>) -> Setup {
        self.stdout = Some(stdout.into());
        self
    }

    pub(crate) fn stderr(mut self, stderr: impl Into<Stdio>) -> Setup {
        self.stderr = Some(stderr.into());
        self
    }

    /// Shell words run first, in the same mount namespace: mounts for example. `$DIR` is the test's directory.
    pub(crate) fn before(mut self, script: &str) -> Setup {
        self.before = script.into();
        self
    }

    /// Starts sexton on a shell script; `$DIR` is the test's directory.
    pub(crate) fn shell(self, script: &str) -> Running {
        self.command(&["bash", "-c", script])
    }

    /// Starts sexton on this command.
    pub(crate) fn command(mut self, words: &[&str]) -> Running {
        self.options.push("--".into());
        self.options.extend(words.iter().map(OsString::from));
        self.run()
    }

    /// Starts sexton on its options alone.
    pub(crate) fn run(self) -> Running {
        // Whoever runs the tests may have signals ignored, `nohup` for one: they start from the defaults.
        let mut command = Command::new("env");
        command.args([
            "--default-signal",
            "unshare",
            "--fork",
            "--pid",
            "--mount-proc",
            "--kill-child=KILL",
            "--",
            "bash",
            "-c",
        ]);
        // bash is PID 1 first: it becomes sexton, or has it as its child.
        let last = if self.is_pid_1 { "exec \"$@\"" } else { "\"$@\"; exit $?" };
        command.arg(format!("{}\n{last}", self.before)).arg("bash");
        command.args(self.through).arg(sexton()).args(self.options);
        let stdout = self.stdout.unwrap_or_else(|| {
            File::create(self.dir.path().join("stdout")).expect("a file for stdout").into()
        });
        let stderr = self.stderr.unwrap_or_else(|| {
            File::create(self.dir.path().join("stderr")).expect("a file for stderr").into()
        });
        command.stdin(self.stdin).stdout(stdout).stderr(stderr);
        for name in ["KUBERNETES_SERVICE_HOST", "LISTEN_PID", "container"] {
            command.env_remove(name);
        }
        // All tests have one /run: who wants a control socket names it.
        command.env("SEXTON_SOCKET", "none");
        command.env("DIR", self.dir.path()).envs(self.env);
        let child = command.spawn().expect("unshare of util-linux runs (as root)");
        Running { dir: self.dir, child, pid: None }
    }
}

/// A running sexton.
pub(crate) struct Running {
    pub(crate) dir: Dir,
    child: Child,
    pid: Option<i32>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) dir: Dir,
}

impl std::fmt::Debug for Dir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.display())
    }
}

impl Running {
    /// sexton's own process, by the number outside its namespace.
    pub(crate) fn pid(&mut self) -> i32 {
        if let Some(pid) = self.pid {
            return pid;
        }
        let root = i32::try_from(self.child.id()).expect("a pid");
        let pid = wait_until("sexton's process", || {
            descendants(root).into_iter().find(|pid| {
                fs::read_link(format!("/proc/{pid}/exe"))
                    .is_ok_and(|exe| exe.as_path() == Path::new(sexton()))
            })
        });
        self.pid = Some(pid);
        pid
    }

    /// Sends a signal from outside, by name or number.
    pub(crate) fn signal(&mut self, signal: &str) {
        let pid = self.pid().to_string();
        let status =
            Command::new("kill").args(["-s", signal, &pid]).status().expect("kill of procps or util-linux");
        assert!(status.success(), "kill -s {signal} {pid}");
    }

    /// The content of a file in the test's directory, once it has some.
    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.dir.path().join(name);
        wait_until(&format!("the file {name}; stderr: {}", self.stderr()), || {
            fs::read_to_string(&path).ok().filter(|text| !text.is_empty())
        })
    }

    pub(crate) fn has_file(&self, name: &str) -> bool {
        self.dir.path().join(name).exists()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).expect("written");
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.dir.path().join("stdout")).unwrap_or_default()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }

    /// Waits until the log or the program says this on stderr, `times` times.
    pub(crate) fn says(&self, text: &str, times: usize) {
        wait_until(&format!("{text:?} on stderr, which has: {}", self.stderr()), || {
            (self.stderr().matches(text).count() >= times).then_some(())
        });
    }

    /// Waits until the program prints this on stdout.
    pub(crate) fn prints(&self, text: &str) {
        wait_until(&format!("{text:?} on stdout, which has: {}", self.stdout()), || {
            self.stdout().contains(text).then_some(())
        });
    }

    /// A field of sexton's /proc/PID/status.
    pub(crate) fn status(&mut self, field: &str) -> String {
        status_of(self.pid(), field)
    }

    /// The processes below sexton, zombies included, by their numbers outside.
    pub(crate) fn children(&mut self) -> Vec<i32> {
        descendants(self.pid())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("wait for unshare").is_none()
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        let status: ExitStatus =
            wait_until("the end of sexton", || self.child.try_wait().expect("wait for unshare"));
        let (stdout, stderr) = (self.stdout(), self.stderr());
        let dir = std::mem::replace(&mut self.dir, Dir::new());
        Ended { code: status.code(), stdout, stderr, dir }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // --kill-child: the namespace goes with it
        let _ = self.child.wait();
    }
}

impl Ended {
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }
}

/// A field of /proc/PID/status, empty where the process is gone.
pub(crate) fn status_of(pid: i32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// Every process below `root`, seen from outside.
pub(crate) fn descendants(root: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{root}/task/{root}/children")).unwrap_or_default();
    let mut found = Vec::new();
    for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        found.push(child);
        found.extend(descendants(child));
    }
    found
}
