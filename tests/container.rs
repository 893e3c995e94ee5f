//! sexton in containers, as root and as the restricted Pod Security Standard has it: the image of
//! `Dockerfile.example`, run by podman and runc, and a root directory with nothing in it.

#[path = "support/container.rs"]
mod container;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use container::{
    Directory, Image, Pod, Recipe, Screen, Who, busybox, children, code, eventually, everyday, must, release,
    run, wait,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Ends with the code that follows.
const EXIT_3: [&str; 3] = ["sh", "-c", "exit 3"];

// --- the image

#[test]
fn the_image_of_the_example_answers_on_its_port() {
    for who in Who::EACH {
        let container = Recipe::new(Image::Example, who).start(&[]);
        container.wait_for_stdout("hello listens on 0.0.0.0:8080");
        let pid = container.pid().to_string();
        let client = [
            "nsenter",
            "--net",
            "--target",
            &pid,
            "busybox",
            "wget",
            "-q",
            "-O",
            "-",
            "http://127.0.0.1:8080",
        ];
        assert_eq!(must(client), "hello", "{who:?}");
    }
}

#[test]
fn sigterm_reaches_the_app_by_stop_and_by_kill() {
    for who in Who::EACH {
        for command in [&["stop", "--time=15"][..], &["kill", "--signal=TERM"]] {
            let container = Recipe::new(Image::Example, who).start(&[]);
            container.wait_for_stdout("hello listens on");
            container.podman(command);
            assert_eq!(container.exit_code(), 143, "{who:?} {command:?}");
            let line = container.message().first_line();
            assert!(line.starts_with("main: killed by SIGTERM") && line.contains("stop requested"), "{line}");
        }
    }
}

#[test]
fn the_exit_code_is_passed_on() {
    for who in Who::EACH {
        for expected in [0, 1, 255] {
            let script = format!("exit {expected}");
            let container = Recipe::new(Image::WithShell, who).start(&["sh", "-c", &script]);
            assert_eq!(container.exit_code(), expected, "{who:?}");
        }
        let container = Recipe::new(Image::WithShell, who).start(&["sh", "-c", "kill -SEGV $$"]);
        assert_eq!(container.exit_code(), 128 + 11, "{who:?}");
    }
}

#[test]
fn a_missing_command_is_127_and_told() {
    for who in Who::EACH {
        let container = Recipe::new(Image::Example, who).start(&["/no/such/app"]);
        assert_eq!(container.exit_code(), 127, "{who:?}");
        let line = container.message().first_line();
        assert!(line.starts_with("main: cannot") && line.contains("/no/such/app"), "{line}");
        assert!(container.stderr().contains("/no/such/app"), "{}", container.stderr());
    }
}

#[test]
fn another_user_needs_no_passwd_file() {
    let script = "test ! -e /etc/passwd && grep -E '^(Uid|Gid|Groups|CapEff)' /proc/self/status";
    let script = script.replace("grep", "busybox grep");
    let container = Recipe::new(Image::WithShell, Who::Root)
        .variable("SEXTON_USER", "1000:1001")
        .start(&["sh", "-c", &script]);
    assert_eq!(container.exit_code(), 0);
    let fields: Vec<String> = container
        .stdout()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        fields,
        ["Uid: 1000 1000 1000 1000", "Gid: 1001 1001 1001 1001", "Groups: 1001", "CapEff: 0000000000000000"]
    );
}

#[test]
fn orphans_are_reaped() {
    for who in Who::EACH {
        let container = Recipe::new(Image::WithShell, who).start(&[
            "sh",
            "-c",
            "sh -c 'sleep 1000 & echo orphan:$!:'; exec sleep 1000",
        ]);
        container.wait_for_stdout("orphan:");
        let stdout = container.stdout();
        let orphan = stdout.split(':').nth(1).expect("the orphan's number");
        let sexton = container.pid();
        eventually("the orphan to be PID 1's", || (children(sexton).len() == 2).then_some(()));
        assert!(
            container.exec(&["kill", "-KILL", orphan]).status.success(),
            "{who:?}: the orphan can be killed"
        );
        eventually("the orphan to be reaped", || (children(sexton).len() == 1).then_some(()));
        assert!(container.is_running(), "{who:?}: main is not concerned");
    }
}

// --- the termination message

#[test]
fn the_message_is_written_in_place_and_the_key_line_comes_first() {
    for who in Who::EACH {
        let container = Recipe::new(Image::WithShell, who).variable("SEXTON_TAIL", "2").start(&[
            "sh",
            "-c",
            "echo one >&2; echo two >&2; echo three >&2; exit 3",
        ]);
        assert_eq!(container.exit_code(), 3, "{who:?}");
        let message = container.message().text();
        assert!(message.starts_with("main: exited with code 3 after "), "{message}");
        assert!(message.ends_with("stderr:\n  two\n  three\n"), "{message}");
        assert!(
            container.stderr().contains("one\ntwo\nthree\n"),
            "stderr passes through: {}",
            container.stderr()
        );
    }
}

#[test]
fn what_the_app_wrote_into_the_message_stays_first() {
    for who in Who::EACH {
        let container = Recipe::new(Image::WithShell, who).start(&[
            "sh",
            "-c",
            "echo 'its own words' >/dev/termination-log; exit 3",
        ]);
        assert_eq!(container.exit_code(), 3, "{who:?}");
        let message = container.message().text();
        assert!(message.starts_with("its own words\nmain: exited with code 3 "), "{message}");
    }
}

#[test]
fn an_expected_end_leaves_the_message_empty() {
    for who in Who::EACH {
        // The note about the stop that is asked for has to go again.
        let container = Recipe::new(Image::WithShell, who).start(&[
            "sh",
            "-c",
            "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done",
        ]);
        container.wait_for_stdout("ready");
        container.podman(&["stop", "--time=15"]);
        assert_eq!(container.exit_code(), 0, "{who:?}");
        assert_eq!(container.message().text(), "", "{who:?}");
    }
}

#[test]
fn nothing_is_created_where_no_message_file_is_mounted() {
    for who in Who::EACH {
        let container = Recipe::without_message_file(Image::WithShell, who)
            .variable("SEXTON_HOLD", "failure")
            .start(&EXIT_3);
        container.wait_for_hold();
        assert!(container.exec(&["test", "-d", "/dev"]).status.success(), "{who:?}: there is a shell");
        let exists = container.exec(&["test", "-e", "/dev/termination-log"]);
        assert!(!exists.status.success(), "{who:?}: /dev/termination-log was created");
        assert!(!container.stderr().contains("termination message"), "{who:?}: {}", container.stderr());
        container.podman(&["stop", "--time=15"]);
        assert_eq!(container.exit_code(), 3, "{who:?}");
        // Beyond what podman itself puts into /etc and /run.
        let changes = container.podman(&["diff"]);
        let of_podman = ["/etc", "/run", "/dev", "/proc", "/sys"];
        let is_ours = |line: &&str| {
            let path = line.split_once(' ').map_or(*line, |(_, path)| path);
            !of_podman.iter().any(|place| path.starts_with(place))
        };
        assert_eq!(changes.lines().find(is_ours), None, "{who:?}: {changes}");
    }
}

#[test]
fn a_message_file_that_was_asked_for_and_is_not_there_is_one_warning() {
    for who in Who::EACH {
        let container = Recipe::without_message_file(Image::WithShell, who)
            .variable("SEXTON_TERMINATION_MESSAGE", "/run/why")
            .start(&EXIT_3);
        assert_eq!(container.exit_code(), 3, "{who:?}");
        assert_eq!(container.stderr().matches("/run/why").count(), 1, "{who:?}: {}", container.stderr());
    }
}

// --- the hold

#[test]
fn a_held_container_announces_commands_that_work() {
    for who in Who::EACH {
        let container = Recipe::new(Image::WithShell, who).variable("SEXTON_HOLD", "failure").start(&[
            "sh",
            "-c",
            "echo start; exit 3",
        ]);
        let said = container.wait_for_hold();
        let first = said.line(0);
        assert!(first.starts_with("main: exited with code 3") && first.ends_with("for 1h00m"), "{said:?}");
        assert!(container.message().text().contains("held since: "), "{}", container.message().text());

        let look = said.command("look around").replace("exec -it", "exec");
        assert_eq!(must(["sh", "-c", &format!("{look} -c 'echo inside'")]), "inside", "{said:?}");

        must(["sh", "-c", said.command("start again")]);
        eventually("a second start", || (container.stdout().matches("start").count() == 2).then_some(()));
        eventually("a second hold", || {
            (container.stderr().matches("start again:").count() == 2).then_some(())
        });

        let _ = run(["sh", "-c", said.command("end the hold")]); // the kernel may kill it together with the container
        assert_eq!(container.exit_code(), 3, "{who:?}");
        let message = container.message().text();
        assert!(message.starts_with("main: exited with code 3 after "), "{message}");
        assert!(message.contains("held: ") && !message.contains("held since: "), "{message}");
        assert_eq!(message.matches("main: ").count(), 1, "the note is gone: {message}");
    }
}

#[test]
fn a_command_that_cannot_be_executed_is_held_without_a_shell_too() {
    for who in Who::EACH {
        let container =
            Recipe::new(Image::Example, who).variable("SEXTON_HOLD", "failure").start(&["/no/such/app"]);
        let said = container.wait_for_hold();
        let look = said.command("look around");
        assert!(must(["sh", "-c", look]).contains("COMMAND"), "{look}");
        let _ = run(["sh", "-c", said.command("end the hold")]);
        assert_eq!(container.exit_code(), 127, "{who:?}");
    }
}

#[test]
fn a_success_is_not_held() {
    let container =
        Recipe::new(Image::WithShell, Who::Restricted).variable("SEXTON_HOLD", "failure").start(&["true"]);
    assert_eq!(container.exit_code(), 0);
}

/// A file of a downward API volume, as a kubelet lays it out and changes it: by exchanging a link.
struct Annotation {
    directory: Directory,
    version: u32,
}

impl Annotation {
    fn new(value: &str) -> Annotation {
        let mut annotation = Annotation { directory: Directory::new(), version: 0 };
        annotation.set(value);
        symlink("..data/hold", annotation.directory.path("hold")).expect("a link can be made");
        annotation
    }

    fn set(&mut self, value: &str) {
        self.version += 1;
        let version = format!("..version_{}", self.version);
        fs::create_dir(self.directory.path(&version)).expect("a directory can be made");
        self.directory.file(&format!("{version}/hold"), value);
        let (new, current) = (self.directory.path("..data_tmp"), self.directory.path("..data"));
        symlink(&version, &new).expect("a link can be made");
        fs::rename(new, current).expect("a link can be exchanged");
    }

    fn volume(&self) -> String {
        format!("--volume={}:/etc/podinfo:ro", self.directory.path("").display())
    }
}

#[test]
fn an_annotation_holds_and_releases() {
    for who in Who::EACH {
        let mut annotation = Annotation::new("");
        let container = Recipe::new(Image::WithShell, who)
            .option(&annotation.volume())
            .variable("SEXTON_HOLD_FILE", "/etc/podinfo/hold")
            .start(&["sh", "-c", "trap 'exit 3' USR1; echo ready; while :; do sleep 0.1; done"]);
        container.wait_for_stdout("ready");
        annotation.set("true");
        container.podman(&["kill", "--signal=USR1"]);
        container.wait_for_hold();
        annotation.set("false");
        assert_eq!(container.exit_code(), 3, "{who:?}");
    }
}

// --- out of memory

#[test]
fn a_kill_at_the_memory_limit_is_told_as_out_of_memory() {
    for who in Who::EACH {
        let container = Recipe::new(Image::WithShell, who)
            .option("--memory=32m")
            .option("--memory-swap=32m")
            .start(&["tail", "/dev/zero"]);
        assert_eq!(container.exit_code(), 137, "{who:?}");
        let message = container.message().text();
        assert!(message.contains("out of memory") && message.contains("\noom: yes"), "{message}");
    }
}

#[test]
fn a_kill_in_a_kubelets_container_is_told_as_out_of_memory() {
    for who in Who::EACH {
        let mut pod = Pod::new(who).memory_limit(32 << 20);
        pod.start(&["tail", "/dev/zero"]);
        assert_eq!(pod.exit_code(), 137, "{who:?}");
        let message = pod.message().text();
        assert!(message.contains("out of memory") && message.contains("\noom: yes"), "{message}");
    }
}

const EVENTS: &str = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n";

/// cgroup v2's files as a container sees them, which whoever wants may change.
fn cgroup() -> Directory {
    let directory = Directory::new();
    directory.file("memory.events", EVENTS);
    directory.file("memory.current", "1048576\n");
    directory.file("memory.max", "104857600\n");
    directory
}

#[test]
fn the_counters_of_cgroup_v2_tell_whose_limit_was_reached() {
    let cases = [
        ("oom 1\noom_kill 1", "out of memory: the container's own limit was reached", "oom: yes, own limit"),
        ("oom 0\noom_kill 1", "out of memory: not this container's limit", "oom: yes, limit of pod or node"),
        ("oom 0\noom_kill 0", "killed by SIGKILL", "oom: no"),
    ];
    for (counters, sentence, verdict) in cases {
        let who = Who::Restricted;
        let directory = cgroup();
        let mut pod = Pod::new(who).cgroup_at(&directory);
        let script = format!(
            "printf '{}' >/sys/fs/cgroup/memory.events; kill -KILL $$",
            EVENTS.replace("oom 0\noom_kill 0", counters)
        );
        pod.start(&["sh", "-c", &script]);
        assert_eq!(pod.exit_code(), 137, "{counters:?}");
        let message = pod.message().text();
        assert!(message.lines().next().is_some_and(|line| line.contains(sentence)), "{message}");
        assert!(message.contains(verdict), "{message}");
    }
}

#[test]
fn a_note_about_memory_survives_a_kill_of_the_whole_container() {
    for who in Who::EACH {
        let directory = cgroup();
        let mut pod = Pod::new(who).cgroup_at(&directory);
        let events = EVENTS.replace("max 0", "max 1");
        let script = format!(
            "cd /sys/fs/cgroup; echo 104000000 >memory.current; printf '{events}' >memory.events; exec sleep 1000"
        );
        pod.start(&["sh", "-c", &script]);
        let note = "memory close to its limit";
        eventually("a note about memory", || pod.message().text().starts_with(note).then_some(()));
        pod.kill("KILL");
        assert_eq!(pod.exit_code(), 137, "{who:?}");
        assert!(pod.message().text().starts_with(note), "{}", pod.message().text());
    }
}

// --- as a kubelet runs it

#[test]
fn a_held_pod_announces_commands_that_work() {
    for who in Who::EACH {
        let mut pod = Pod::new(who).variable("SEXTON_HOLD", "failure");
        pod.start(&EXIT_3);
        let said = pod.wait_for_hold();
        let inside = |what: &str| {
            let command = said.command(what);
            let known = "kubectl exec -n shop web-0 -c CONTAINER ";
            let inside = command.strip_prefix(known).expect("the namespace and the pod's name are known");
            inside.split_once("-- ").expect("a command").1.to_owned()
        };
        assert_eq!(inside("look around"), "sh", "{said:?}");
        assert!(pod.exec(&inside("start again")).status.success(), "{said:?}");
        eventually("a second hold", || (pod.stderr().matches("start again:").count() == 2).then_some(()));
        pod.exec(&inside("end the hold")); // the kernel may kill it together with the container
        assert_eq!(pod.exit_code(), 3, "{who:?}");
        assert!(pod.message().text().starts_with("main: exited with code 3 "), "{}", pod.message().text());
    }
}

#[test]
fn sigterm_ends_a_pod() {
    for who in Who::EACH {
        let mut pod = Pod::new(who);
        pod.start(&["sh", "-c", "echo ready >&2; exec sleep 1000"]);
        eventually("main to be ready", || pod.stderr().contains("ready").then_some(()));
        pod.kill("TERM");
        assert_eq!(pod.exit_code(), 143, "{who:?}");
    }
}

// --- with a configuration, as a kubelet runs it

/// A step and a server, all that Kubernetes is told of them, and files that let them on, which the test makes.
const WHOLE_STORY: &str = r#"
main = "web"
grace_period = "60s"
health.listen = ":9000"
hold.on = "failure"

[drain]
quiet = "2s"
ports = [8080]
loopback = true

[[step]]
name = "migrate"
command = ["sh", "-c", "until test -e /dev/shm/migrate; do sleep 0.05; done; echo migrated"]

[program.web]
command = ["sh", "-c", "until test -e /dev/shm/serve; do sleep 0.05; done; test -e /dev/shm/fail && exit 3; exec /hello"]
autorestart = false
probe.readiness = { http = { port = 8080 }, period_seconds = 0.1 }
hook.pre_stop.exec = ["sh", "-c", "/sexton probe tcp 127.0.0.1:8080 && echo deregistered"]
"#;

/// Runs a command in the pod; its exit code, and what it printed.
fn ask(pod: &Pod, command: &str) -> (i32, String) {
    let output = pod.exec(command);
    (code(output.status), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// These words come in this order.
fn assert_in_order(text: &str, words: &[&str]) {
    let mut rest = text;
    for word in words {
        rest = rest.split_once(word).unwrap_or_else(|| panic!("no {word:?} in its place in: {text}")).1;
    }
}

#[test]
fn a_pod_is_told_when_it_is_ready_and_serves_until_nobody_comes_any_more() {
    const READY: &str = "/sexton probe readiness";
    let mut pod = Pod::new(Who::Restricted).configured(WHOLE_STORY);
    pod.start(&[]);
    pod.wait_for_log("migrate: started");
    let (code, page) = ask(&pod, READY);
    assert!(code == 1 && page.contains("[-]web failed"), "{code} {page}");
    assert_eq!(ask(&pod, "/sexton probe startup").0, 1);
    assert_eq!(ask(&pod, "/sexton probe liveness"), (0, String::new()));
    assert!(!pod.stderr().contains("web: started"), "{}", pod.stderr());

    assert_eq!(ask(&pod, "touch /dev/shm/migrate").0, 0);
    pod.wait_for_log("web: started");
    eventually("what the step says", || pod.stdout().contains("migrate | migrated").then_some(()));
    assert_eq!(ask(&pod, READY).0, 1, "it does not serve yet");
    assert_eq!(ask(&pod, "touch /dev/shm/serve").0, 0);
    pod.wait_for_log("web: ready");
    assert_eq!(ask(&pod, READY), (0, String::new()));
    pod.wait_for_log("web: running");
    assert_eq!(ask(&pod, "/sexton probe startup"), (0, String::new()));
    assert_eq!(ask(&pod, "/sexton probe http http://127.0.0.1:8080/"), (0, "hello\n".to_owned()));

    // A client in the container, who is not to be refused, and counts its visits.
    let client = "sh -c 'n=0; until test -e /dev/shm/enough; do /sexton probe tcp 127.0.0.1:8080 || exit 1; \
                  n=$((n+1)); echo $n >/dev/shm/new; mv /dev/shm/new /dev/shm/visits; sleep 0.02; done'";
    std::thread::scope(|scope| {
        let client = scope.spawn(|| ask(&pod, client));
        let visits = || -> u32 { ask(&pod, "cat /dev/shm/visits").1.trim().parse().unwrap_or(0) };
        eventually("a visit", || (visits() > 0).then_some(()));
        pod.kill("TERM");
        pod.wait_for_log("SIGTERM received");
        let (told, before) = (Instant::now(), visits());
        // Twice as long as `quiet`, and it drains still.
        eventually("visits in the drain", || {
            (told.elapsed() > Duration::from_secs(4) && visits() > before).then_some(())
        });
        assert!(!pod.stderr().contains("pre_stop"), "{}", pod.stderr());
        assert_eq!(ask(&pod, READY).0, 0, "a drain keeps readiness");
        assert_eq!(ask(&pod, "touch /dev/shm/enough").0, 0);
        assert_eq!(client.join().expect("the client ends").0, 0, "nobody was refused");
    });
    assert_eq!(pod.exit_code(), 143);
    assert_in_order(
        &pod.stderr(),
        &[
            "migrate: started",
            "web: started",
            "web: ready",
            "SIGTERM received",
            "the drain is over, no new connection has come for 2.0s",
            "web: running its pre_stop hook",
            "web: pre_stop hook: deregistered",
            "web: stopping with SIGTERM",
            "web: killed by SIGTERM",
        ],
    );
    let line = pod.message().first_line();
    assert!(line.starts_with("web: killed by SIGTERM") && line.contains("stop requested"), "{line}");
}

#[test]
fn a_pod_whose_main_program_fails_is_held_alive_and_not_ready() {
    let mut pod = Pod::new(Who::Restricted).configured(WHOLE_STORY);
    pod.start(&[]);
    pod.wait_for_log("migrate: started");
    assert_eq!(ask(&pod, "touch /dev/shm/fail /dev/shm/serve /dev/shm/migrate").0, 0);
    let said = pod.wait_for_hold();
    assert!(said.line(0).starts_with("web: exited with code 3"), "{said:?}");
    let page = |path: &str| ask(&pod, &format!("/sexton probe http http://127.0.0.1:9000{path}"));
    assert_eq!(page("/livez"), (0, "ok".to_owned()));
    let ready = pod.exec("/sexton probe http http://127.0.0.1:9000/readyz");
    assert_eq!(code(ready.status), 1);
    let (checks, why) = (String::from_utf8_lossy(&ready.stdout), String::from_utf8_lossy(&ready.stderr));
    assert!(checks.contains("[+]ping ok") && checks.contains("[-]hold failed"), "{checks}");
    assert!(why.contains("answered with code 500"), "{why}");
    for (kind, code) in [("liveness", 0), ("startup", 0), ("readiness", 1)] {
        assert_eq!(ask(&pod, &format!("/sexton probe {kind}")).0, code, "{kind}");
    }
    assert!(page("/metrics").1.contains("\nsexton_holding 1\n"));
    assert!(pod.message().text().contains("held since: "), "{}", pod.message().text());
    pod.kill("TERM");
    assert_eq!(pod.exit_code(), 3);
    let message = pod.message().text();
    assert!(message.starts_with("web: exited with code 3 after "), "{message}");
    assert!(message.contains("held: ") && !message.contains("held since: "), "{message}");
    assert!(!pod.stderr().contains("pre_stop"), "{}", pod.stderr());
}

// --- a terminal

/// What a person does at an interactive shell, and expects of it. It is left with code 7.
fn use_shell(screen: &mut Screen) {
    screen.wait_for("ready> ");
    screen.assert_never_showed("can't access tty");
    // The quotes keep apart what is typed, and shown, from what the command says.
    screen.type_in("sh -c 'echo runn''ing; exec sleep 1000'\r");
    screen.wait_for("running");
    screen.type_in("\x03");
    screen.type_in("echo code:$?\r");
    screen.wait_for("code:130");
    screen.type_in("sh -c 'echo ag''ain; exec sleep 1000'\r");
    screen.wait_for("again");
    screen.type_in("\x1a");
    screen.wait_for("Stopped");
    screen.type_in("kill -KILL %1; wait\r");
    screen.resize(40, 100);
    screen.type_in("while test \"$(stty size)\" != '40 100'; do :; done; echo resi''zed\r");
    screen.wait_for("resized");
    // Not `exit`, which ash refuses once while it thinks that a job is stopped.
    screen.type_in("exec sh -c 'exit 7'\r");
}

#[test]
fn an_interactive_shell_has_job_control_and_gets_keys_and_size() {
    for who in Who::EACH {
        let (_container, mut screen) =
            Recipe::new(Image::WithShell, who).variable("PS1", "ready> ").start_on_screen(&["sh"]);
        use_shell(&mut screen);
        assert_eq!(screen.exit_code(), 7, "{who:?}");
    }
}

#[test]
fn an_interactive_shell_in_a_pod_has_job_control_and_gets_keys_and_size() {
    for who in Who::EACH {
        let mut pod = Pod::new(who).variable("PS1", "ready> ").variable("TERM", "xterm");
        let mut screen = pod.start_on_screen(&["sh"]);
        use_shell(&mut screen);
        assert_eq!(screen.exit_code(), 7, "{who:?}");
    }
}

// --- an empty root

/// sexton as PID 1 in a root that has nothing but it, busybox and a file for the message: no /etc, /proc, /dev or /tmp,
/// and no descriptor open.
fn in_an_empty_root(sexton: &std::path::Path, who: Who, script: &str) -> (Directory, Command) {
    let root = Directory::new();
    root.program("sexton", sexton);
    root.program("busybox", &busybox());
    root.file("message", "");
    fs::set_permissions(root.path(""), fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    let mut command = Command::new("setpriv");
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("SEXTON_TERMINATION_MESSAGE", "/message");
    command.arg(if who == Who::Root { "--inh-caps=-all" } else { "--no-new-privs" });
    command.args(["unshare", "--pid", "--mount", "--net", "--fork", "--kill-child", "chroot"]);
    if who == Who::Restricted {
        command.arg("--userspec=1000:1000");
    }
    command.arg(root.path(""));
    command.args([
        "/busybox",
        "sh",
        "-c",
        r#"exec /sexton -- /busybox sh -c "$1" <&- >&- 2>&-"#,
        "sh",
        script,
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    (root, command)
}

#[test]
fn an_empty_root_without_descriptors_is_enough_for_both_builds() {
    // What is left behind is to be stopped too, and that the descriptors are closed is the app's to know.
    let script = "/busybox sleep 1000 & (: 3<&0) && exit 1; (: 3>&1) && exit 2; (: 3>&2) && exit 3; exit 42";
    for sexton in [release("sexton"), everyday()] {
        for who in Who::EACH {
            let (root, mut command) = in_an_empty_root(&sexton, who, script);
            let mut child = command.spawn().expect("`setpriv` can be executed");
            assert_eq!(code(wait(&mut child)), 42, "{who:?} {}", sexton.display());
            let message = fs::read_to_string(root.path("message")).expect("the message is UTF-8");
            assert!(message.starts_with("main: exited with code 42 after "), "{message}");
            assert_eq!(message.lines().count(), 2, "no log has gone into the file: {message}");
        }
    }
}

#[test]
fn sigterm_reaches_the_app_in_an_empty_root_with_both_builds() {
    for sexton in [release("sexton"), everyday()] {
        for who in Who::EACH {
            let (root, mut command) =
                in_an_empty_root(&sexton, who, "echo ready >/message; exec /busybox sleep 1000");
            let mut child = command.spawn().expect("`setpriv` can be executed");
            let message = || fs::read_to_string(root.path("message")).expect("the message is UTF-8");
            eventually("the app to be ready", || (message() == "ready\n").then_some(()));
            let sexton_itself = *children(child.id()).first().expect("unshare has forked");
            let pid = Pid::from_raw(sexton_itself.try_into().expect("a process's number"));
            kill(pid, Signal::SIGTERM).expect("it can be told to stop");
            assert_eq!(code(wait(&mut child)), 143, "{who:?} {}", sexton.display());
            assert!(message().starts_with("ready\nmain: killed by SIGTERM"), "{}", message());
        }
    }
}
