//! Containers for tests: images, podman, runc, and a terminal. Whatever is made here is removed by its `Drop`.
//!
//! Nothing here waits for time: [`eventually`] looks until it sees the fact, and [`PATIENCE`] is when it gives up.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{Winsize, openpty};
use nix::unistd::{geteuid, ttyname};

/// How long a fact is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(30);

/// Where everything happens: conmon leaves a file `oom` where it was started.
const DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");

/// What the tests need, and the Debian package that has it.
const TOOLS: [(&str, &str); 10] = [
    ("busybox", "busybox-static"),
    ("chroot", "coreutils"),
    ("nsenter", "util-linux"),
    ("podman", "podman"),
    ("runc", "runc"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
    ("stty", "coreutils"),
    ("timeout", "coreutils"),
    ("unshare", "util-linux"),
];
/// What /bin of the second image has.
const APPLETS: [&str; 16] = [
    "cat", "echo", "env", "false", "id", "kill", "ls", "printf", "ps", "sh", "sleep", "stty", "tail", "test",
    "touch", "true",
];

// --- what is there

/// Looks once for all that the tests need, and says how to get what is missing.
fn require_tools() {
    static TOOLS_ARE_THERE: LazyLock<Result<(), String>> = LazyLock::new(|| {
        if !geteuid().is_root() {
            return Err("the tests make containers: run them as root".to_owned());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there =
            |tool: &str| std::env::split_paths(&path).any(|directory| directory.join(tool).exists());
        let missing = TOOLS.iter().filter(|(tool, _)| !is_there(tool));
        let packages: Vec<_> =
            missing.map(|(_, package)| *package).collect::<BTreeSet<_>>().into_iter().collect();
        if packages.is_empty() {
            return Ok(());
        }
        Err(format!("programs that the tests need are missing: apt-get install {}", packages.join(" ")))
    });
    if let Err(what_to_do) = &*TOOLS_ARE_THERE {
        panic!("{what_to_do}");
    }
}

/// A file that the release script has left, `sexton` or `examples/hello`.
pub(crate) fn release(name: &str) -> PathBuf {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    built(
        &Path::new("target").join(target).join("release").join(name),
        "scripts/build-release --bin sexton --example hello",
    )
}

/// sexton as plain cargo builds it.
pub(crate) fn everyday() -> PathBuf {
    built(Path::new("target/release/sexton"), "cargo build --release")
}

/// busybox, which has to be static.
pub(crate) fn busybox() -> PathBuf {
    require_tools();
    PathBuf::from("/bin/busybox")
}

fn built(path: &Path, how: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(path.exists(), "{} is missing: run {how} first", path.display());
    path
}

// --- commands and facts

/// Looks until `look` has found something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited {} s in vain for {what}", PATIENCE.as_secs());
        thread::sleep(PAUSE);
    }
}

/// Runs a command to its end, which coreutils' timeout brings about where it does not come.
pub(crate) fn run<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Output {
    require_tools();
    Command::new("timeout")
        .arg("--kill-after=1")
        .arg(PATIENCE.as_secs().to_string())
        .args(words)
        .current_dir(DIRECTORY)
        .stdin(Stdio::null())
        .output()
        .expect("`timeout` can be executed")
}

/// As [`run`], for what has to succeed; returns its standard output, trimmed.
pub(crate) fn must<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> String {
    let words: Vec<OsString> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
    let output = run(&words);
    assert!(
        output.status.success(),
        "{words:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn must_podman(words: &[&str]) -> String {
    must(["podman"].iter().chain(words))
}

/// A name that nothing else has; the process in it tells whose it is.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("sexton-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A directory of its own, removed at the end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Directory {
        let path = Path::new(DIRECTORY).join(unique_name());
        fs::create_dir_all(&path).expect("a directory can be made below target/tmp");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("its mode can be set");
        Directory(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file that everybody may write to, as a kubelet makes its own.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file can be written");
        fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("its mode can be set");
        path
    }

    /// Puts a program there.
    pub(crate) fn program(&self, name: &str, from: &Path) {
        fs::copy(from, self.path(name)).expect("a program can be copied");
        fs::set_permissions(self.path(name), Permissions::from_mode(0o755)).expect("its mode can be set");
    }

    /// Puts busybox there, in a new directory.
    fn busybox(&self, name: &str) {
        let bin = self.path(name);
        fs::create_dir_all(&bin).expect("a directory for busybox can be made");
        self.program(&format!("{name}/busybox"), &busybox());
        for applet in APPLETS {
            symlink("busybox", bin.join(applet)).expect("a link can be made");
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // the test has its verdict
    }
}

/// A file that is mounted at /dev/termination-log.
pub(crate) struct MessageFile {
    _directory: Directory,
    path: PathBuf,
    inode: u64,
}

impl MessageFile {
    fn new() -> MessageFile {
        require_tools();
        let directory = Directory::new();
        let path = directory.file("termination-log", "");
        let inode = fs::metadata(&path).expect("the file was just written").ino();
        MessageFile { _directory: directory, path, inode }
    }

    /// What a kubelet would read, from the very file that it has made.
    pub(crate) fn text(&self) -> String {
        let inode = fs::metadata(&self.path).expect("the message file is still there").ino();
        assert_eq!(inode, self.inode, "the message file was replaced, not written in place");
        fs::read_to_string(&self.path).expect("the message is UTF-8")
    }

    /// The key line.
    pub(crate) fn first_line(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }
}

/// Whom the container's processes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// root, as images have it that say nothing.
    Root,
    /// uid 1000 on a read-only root, without capabilities and without a way to new privileges, as the restricted Pod
    /// Security Standard asks for.
    Restricted,
}

impl Who {
    pub(crate) const EACH: [Who; 2] = [Who::Root, Who::Restricted];

    fn podman_options(self) -> &'static [&'static str] {
        match self {
            Who::Root => &["--user=0:0"],
            Who::Restricted => &[
                "--user=1000:1000",
                "--read-only",
                "--read-only-tmpfs=false",
                "--cap-drop=all",
                "--security-opt=no-new-privileges",
            ],
        }
    }
}

// --- images

/// Which image.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Image {
    /// The one of `Dockerfile.example`.
    Example,
    /// The same with busybox in /bin.
    WithShell,
}

impl Image {
    /// Its name; it is built first, once for all.
    fn name(self) -> &'static str {
        static NAMES: LazyLock<[String; 2]> = LazyLock::new(build_images);
        match self {
            Image::Example => &NAMES[0],
            Image::WithShell => &NAMES[1],
        }
    }
}

/// Builds the final stage of `Dockerfile.example` as it stands. The stage before it needs a Debian image and the
/// network: what it builds is taken from here instead.
fn build_images() -> [String; 2] {
    require_tools();
    remove_leftovers();
    let pid = std::process::id();
    let label = format!("sexton.test={pid}");
    let context = Directory::new();
    context.program("sexton", &release("sexton"));
    context.program("hello", &release("examples/hello"));
    context.busybox("bin");
    let build = |repository: &str, dockerfile: &str| {
        let name = format!("localhost/{repository}:{pid}");
        context.file("Dockerfile", dockerfile);
        let directory = context.path("");
        // `--layers=false` leaves no image behind but the one.
        must(
            ["podman", "build", "--quiet", "--layers=false", "--force-rm", "--pull=never", "--label"]
                .iter()
                .map(OsStr::new)
                .chain([OsStr::new(&label), OsStr::new("--tag"), OsStr::new(&name), directory.as_os_str()]),
        );
        name
    };
    let whole = include_str!("../../Dockerfile.example");
    let final_stage =
        whole.rfind("\nFROM scratch\n").map(|at| &whole[at..]).expect("its final stage is FROM scratch");
    let example =
        build("sexton-test", &format!("FROM scratch AS build\nCOPY sexton hello /out/\n{final_stage}"));
    let with_shell = build("sexton-test-shell", &format!("FROM {example}\nCOPY bin /bin\n"));
    [example, with_shell]
}

/// Removes what a run has left that was killed or that is over: images stay until the next run.
fn remove_leftovers() {
    let is_over = |pid: &str| !Path::new("/proc").join(pid).exists();
    let filter = "--filter=label=sexton.test";
    for name in must_podman(&["ps", "--all", filter, "--format={{.Names}}"]).lines() {
        if name.split('-').nth(2).is_some_and(is_over) {
            must_podman(&["rm", "--force", "--time=0", name]);
        }
    }
    // The image that builds upon the other comes first: podman lists the newest first.
    for image in must_podman(&["images", filter, "--format={{.Repository}}:{{.Tag}}"]).lines() {
        if image.rsplit(':').next().is_some_and(is_over) {
            run(["podman", "rmi", "--force", image]); // another run may do the same just now
        }
    }
}

// --- podman

/// A container to be made.
pub(crate) struct Recipe {
    image: Image,
    options: Vec<String>,
    message: Option<MessageFile>,
}

impl Recipe {
    /// A container as a kubelet makes it: with a file at /dev/termination-log.
    pub(crate) fn new(image: Image, who: Who) -> Recipe {
        let message = MessageFile::new();
        let mount = format!("--volume={}:/dev/termination-log", message.path.display());
        Recipe { message: Some(message), ..Recipe::without_message_file(image, who) }.option(&mount)
    }

    /// A container as Docker makes it.
    pub(crate) fn without_message_file(image: Image, who: Who) -> Recipe {
        let options = who.podman_options().iter().map(|option| (*option).to_owned()).collect();
        Recipe { image, options, message: None }
    }

    /// With an option of `podman run`.
    pub(crate) fn option(mut self, option: &str) -> Recipe {
        self.options.push(option.to_owned());
        self
    }

    /// With a variable.
    pub(crate) fn variable(self, name: &str, value: &str) -> Recipe {
        self.option(&format!("--env={name}={value}"))
    }

    /// Starts it with this command; with none, with the image's own.
    pub(crate) fn start(self, command: &[&str]) -> Container {
        let words = self.words(&["--detach"], command);
        let container = Container { name: words.name, message: self.message };
        must(words.words);
        container
    }

    /// Starts it with a terminal.
    pub(crate) fn start_on_screen(self, command: &[&str]) -> (Container, Screen) {
        let words = self.words(&["--interactive", "--tty"], command);
        let container = Container { name: words.name, message: self.message };
        (container, Screen::new(&words.words))
    }

    fn words(&self, how: &[&str], command: &[&str]) -> NamedWords {
        let name = unique_name();
        let mut words: Vec<String> =
            ["podman", "--runtime=runc", "run", "--name", &name].map(str::to_owned).into();
        words.push(format!("--label=sexton.test={}", std::process::id()));
        // The limits: podman's own may lie above those that it was started with, and cannot be set then.
        let fixed = [
            "--network=none",
            "--ulimit=nofile=1024:1024",
            "--ulimit=nproc=4096:4096",
            "--log-driver=k8s-file",
            "--passwd=false",
        ];
        words.extend(fixed.iter().chain(how).map(|word| (*word).to_owned()));
        words.extend(self.options.iter().cloned());
        words.push(self.image.name().to_owned());
        words.extend(command.iter().map(|word| (*word).to_owned()));
        NamedWords { name, words }
    }
}

struct NamedWords {
    name: String,
    words: Vec<String>,
}

/// A container of podman's.
pub(crate) struct Container {
    name: String,
    message: Option<MessageFile>,
}

impl Container {
    /// The file at /dev/termination-log.
    pub(crate) fn message(&self) -> &MessageFile {
        self.message.as_ref().expect("this container has a message file")
    }

    /// Waits for its end and returns its exit code.
    pub(crate) fn exit_code(&self) -> i32 {
        must_podman(&["wait", "--interval=30ms", &self.name])
            .parse()
            .expect("`podman wait` prints the exit code")
    }

    pub(crate) fn is_running(&self) -> bool {
        must_podman(&["inspect", "--format={{.State.Running}}", &self.name]) == "true"
    }

    /// What it has written to standard output.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&run(["podman", "logs", &self.name]).stdout).into_owned()
    }

    /// What it has written to standard error.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&run(["podman", "logs", &self.name]).stderr).into_owned()
    }

    /// Waits until it has written this.
    pub(crate) fn wait_for_stdout(&self, text: &str) {
        eventually(&format!("`{text}` on standard output"), || self.stdout().contains(text).then_some(()));
    }

    /// Waits until it is held, and returns the lines that say so.
    pub(crate) fn wait_for_hold(&self) -> Announcement {
        Announcement(eventually("the announcement of the hold", || announced(&self.stderr())))
    }

    /// `podman stop`, `podman kill` and their like.
    pub(crate) fn podman(&self, words: &[&str]) -> String {
        let mut words = words.to_vec();
        words.push(&self.name);
        must_podman(&words)
    }

    /// Runs a command inside.
    pub(crate) fn exec(&self, command: &[&str]) -> Output {
        run(["podman", "exec", &self.name].iter().chain(command))
    }

    /// PID 1's number outside.
    pub(crate) fn pid(&self) -> u32 {
        self.podman(&["inspect", "--format={{.State.Pid}}"]).parse().expect("podman prints a number")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if thread::panicking() {
            let message = self.message.as_ref().and_then(|message| fs::read_to_string(&message.path).ok());
            eprintln!("{}: stdout {:?}", self.name, self.stdout());
            eprintln!("{}: stderr {:?}\nmessage {message:?}", self.name, self.stderr());
        }
        run(["podman", "rm", "--force", "--time=0", "--ignore", &self.name]);
    }
}

/// The children of a process that are not reaped yet.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(&path).expect("the kernel lists a process's children");
    text.split_whitespace().map(|pid| pid.parse().expect("the list has numbers only")).collect()
}

/// What is said while a container is held.
#[derive(Debug)]
pub(crate) struct Announcement(Vec<String>);

impl Announcement {
    /// The command behind `what`, without the remark that may follow it.
    pub(crate) fn command(&self, what: &str) -> &str {
        let line = self
            .0
            .iter()
            .find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))
            .expect("a line about it");
        line.split("   (").next().unwrap_or(line).trim()
    }

    /// The line of this number.
    pub(crate) fn line(&self, number: usize) -> &str {
        &self.0[number]
    }
}

/// The lines of the last announcement, once its last line is there.
fn announced(stderr: &str) -> Option<Vec<String>> {
    let lines: Vec<_> = stderr
        .lines()
        .map(|line| line.trim_end_matches('\r').trim_start_matches("sexton: ").to_owned())
        .collect();
    let last = lines.iter().rposition(|line| line.starts_with("start again:"))?;
    let first = lines[..last].iter().rposition(|line| line.contains("holding the container"))?;
    Some(lines[first..=last].to_vec())
}

// --- runc

/// A container of runc's, from a bundle such as containerd makes for a kubelet.
pub(crate) struct Pod {
    name: String,
    directory: Directory,
    message: MessageFile,
    child: Option<Child>,
    who: Who,
    variables: Vec<String>,
    memory_limit: Option<u64>,
    /// What is seen at /sys/fs/cgroup.
    cgroup: String,
    tty: bool,
}

impl Pod {
    pub(crate) fn new(who: Who) -> Pod {
        require_tools();
        let directory = Directory::new();
        directory.busybox("rootfs/bin");
        directory.program("rootfs/sexton", &release("sexton"));
        Pod {
            name: unique_name(),
            message: MessageFile::new(),
            child: None,
            who,
            variables: vec![
                "PATH=/bin".to_owned(),
                "HOSTNAME=web-0".to_owned(),
                "KUBERNETES_SERVICE_HOST=10.96.0.1".to_owned(),
            ],
            memory_limit: None,
            cgroup: CGROUP.to_owned(),
            tty: false,
            directory,
        }
    }

    /// With a variable.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Pod {
        self.variables.push(format!("{name}={value}"));
        self
    }

    /// With this as /etc/sexton.toml, and with /hello; it is started with no command then.
    pub(crate) fn configured(self, toml: &str) -> Pod {
        self.directory.program("rootfs/hello", &release("examples/hello"));
        fs::create_dir_all(self.directory.path("rootfs/etc")).expect("a directory can be made");
        self.directory.file("rootfs/etc/sexton.toml", toml);
        self
    }

    /// With a limit of memory.
    pub(crate) fn memory_limit(mut self, bytes: u64) -> Pod {
        self.memory_limit = Some(bytes);
        self
    }

    /// With this directory at /sys/fs/cgroup, writable.
    pub(crate) fn cgroup_at(mut self, directory: &Directory) -> Pod {
        self.cgroup = bind(&directory.path(""), "rw");
        self
    }

    /// Starts it with this command below sexton; with none, with what is configured.
    pub(crate) fn start(&mut self, command: &[&str]) {
        let words = self.words(command);
        let out = File::create(self.directory.path("stdout")).expect("a file for the output can be made");
        let err = File::create(self.directory.path("stderr")).expect("a file for the output can be made");
        let child =
            Command::new("runc").args(&words[1..]).stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        self.child = Some(child.expect("`runc` can be executed"));
    }

    /// Starts it with a terminal.
    pub(crate) fn start_on_screen(&mut self, command: &[&str]) -> Screen {
        self.tty = true;
        Screen::new(&self.words(command))
    }

    fn words(&self, command: &[&str]) -> Vec<String> {
        fs::write(self.directory.path("config.json"), self.config(command))
            .expect("config.json can be written");
        [
            "runc",
            "--root",
            &self.state(),
            "run",
            "--bundle",
            &self.directory.path("").to_string_lossy(),
            &self.name,
        ]
        .map(str::to_owned)
        .into()
    }

    /// Where runc keeps what it knows.
    fn state(&self) -> String {
        self.directory.path("state").to_string_lossy().into_owned()
    }

    pub(crate) fn message(&self) -> &MessageFile {
        &self.message
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.directory.path("stderr")).unwrap_or_default()
    }

    /// Waits for its end and returns its exit code.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let child = self.child.as_mut().expect("it was started");
        code(wait(child))
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.directory.path("stdout")).unwrap_or_default()
    }

    /// Waits until this is in its log.
    pub(crate) fn wait_for_log(&self, text: &str) {
        eventually(&format!("`{text}` in the log"), || self.stderr().contains(text).then_some(()));
    }

    /// Waits until it is held, and returns the lines that say so.
    pub(crate) fn wait_for_hold(&self) -> Announcement {
        Announcement(eventually("the announcement of the hold", || announced(&self.stderr())))
    }

    /// Sends a signal to PID 1, from outside.
    pub(crate) fn kill(&self, signal: &str) {
        must(["runc", "--root", &self.state(), "kill", &self.name, signal]);
    }

    /// What `kubectl exec POD -- COMMAND` does, in a shell's words.
    pub(crate) fn exec(&self, command: &str) -> Output {
        run(["sh", "-c", &format!("runc --root '{}' exec {} {command}", self.state(), self.name)])
    }

    fn config(&self, command: &[&str]) -> String {
        let (uid, capabilities) = match self.who {
            Who::Root => (0, &RUNTIME_DEFAULT_CAPABILITIES[..]),
            Who::Restricted => (1000, &[][..]),
        };
        let sexton: &[&str] = if command.is_empty() { &["/sexton"] } else { &["/sexton", "--"] };
        let words: Vec<&str> = sexton.iter().chain(command).copied().collect();
        let memory = self.memory_limit.map_or(String::new(), |limit| format!(r#""limit": {limit}"#));
        let namespace = self.directory.file("namespace", "shop");
        let fields: [(&str, String); 12] = [
            ("@TERMINAL@", self.tty.to_string()),
            ("@UID@", uid.to_string()),
            ("@ARGS@", list(&words)),
            ("@ENV@", list(&self.variables)),
            ("@CAPABILITIES@", list(capabilities)),
            ("@NO_NEW_PRIVILEGES@", (self.who == Who::Restricted).to_string()),
            ("@READ_ONLY@", (self.who == Who::Restricted).to_string()),
            ("@CGROUP@", self.cgroup.clone()),
            ("@MESSAGE@", bind(&self.message.path, "rw")),
            ("@NAMESPACE@", bind(&namespace, "ro")),
            ("@NAME@", self.name.clone()),
            ("@MEMORY@", memory),
        ];
        fields
            .iter()
            .fold(include_str!("config.json").to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "{}: stdout {:?}\nstderr {:?}\nmessage {:?}",
                self.name,
                self.stdout(),
                self.stderr(),
                fs::read(&self.message.path)
            );
        }
        run(["runc", "--root", &self.state(), "delete", "--force", &self.name]);
        if let Some(child) = &mut self.child {
            let _ = child.wait(); // what it ran is gone
        }
    }
}

/// containerd's default.
const RUNTIME_DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// What a kubelet's containers have at /sys/fs/cgroup.
const CGROUP: &str =
    r#""type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]"#;

fn bind(source: &Path, access: &str) -> String {
    format!(
        r#""type": "bind", "source": "{}", "options": ["rbind", "rprivate", "{access}"]"#,
        source.display()
    )
}

/// A JSON list of strings, none of which has anything that Rust escapes otherwise.
fn list<S: AsRef<str>>(words: &[S]) -> String {
    let mut list = String::new();
    for word in words {
        let comma = if list.is_empty() { "" } else { ", " };
        let _ = write!(list, "{comma}{:?}", word.as_ref()); // a String takes everything
    }
    format!("[{list}]")
}

/// Waits for the end of a process.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    eventually("the end of a process", || child.try_wait().expect("it is our child"))
}

pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| panic!("it ended with {status} instead of an exit code"))
}

// --- a terminal

/// A terminal with a command in its foreground, and a person before it.
pub(crate) struct Screen {
    child: Child,
    keyboard: File,
    shown: Arc<Mutex<Vec<u8>>>,
    /// Kept open, so that what was shown last can still be read when the command has ended.
    terminal: OwnedFd,
}

impl Screen {
    fn new(words: &[String]) -> Screen {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).expect("there is a terminal to be had");
        for descriptor in [&pair.master, &pair.slave] {
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
                .expect("a flag of a descriptor can be set");
        }
        let end = || Stdio::from(pair.slave.try_clone().expect("a descriptor can be copied"));
        let child = Command::new("setsid")
            .arg("--ctty")
            .args(words)
            .current_dir(DIRECTORY)
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("`setsid` can be executed");
        let keyboard = File::from(pair.master);
        let mut screen = keyboard.try_clone().expect("a descriptor can be copied");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            }
        });
        Screen { child, keyboard, shown, terminal: pair.slave }
    }

    /// All that has been shown.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Waits until this is shown.
    pub(crate) fn wait_for(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.text().contains(text) {
            assert!(
                Instant::now() < until,
                "waited in vain for `{text}` on the screen, which shows {:?}",
                self.text()
            );
            thread::sleep(PAUSE);
        }
    }

    /// Checks that this has not been shown.
    pub(crate) fn assert_never_showed(&self, text: &str) {
        assert!(!self.text().contains(text), "the screen shows {:?}", self.text());
    }

    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes what is typed");
    }

    /// Makes the window another size, as a person with a mouse does.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let name = ttyname(self.terminal.as_fd()).expect("a terminal has a name");
        let (rows, columns) = (rows.to_string(), columns.to_string());
        must([
            OsStr::new("stty"),
            OsStr::new("-F"),
            name.as_os_str(),
            OsStr::new("rows"),
            OsStr::new(&rows),
            OsStr::new("cols"),
            OsStr::new(&columns),
        ]);
    }

    /// Waits for the end of the command and returns its exit code.
    pub(crate) fn exit_code(&mut self) -> i32 {
        code(wait(&mut self.child))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}
