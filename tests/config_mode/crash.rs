//! Reports on ends that nobody wanted, in their directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::only;
use crate::support::{Dir, Ended, Running, Setup, wait_until};

const CRASH_DIR: &str = "crash_dir = '$(DIR)/crashes'\n";
/// A faked cgroup v2 in place of /sys/fs/cgroup.
const V2: &str = "mkdir $DIR/cgroup && cd $DIR/cgroup && echo 1000000 > memory.current && echo 2097152 > memory.max &&
    echo 7 > pids.current && echo 100 > pids.max && echo '150000 100000' > cpu.max &&
    printf 'usage_usec 9\\nnr_periods 340\\nnr_throttled 12\\nthrottled_usec 1200000\\n' > cpu.stat &&
    printf 'low 0\\nhigh 0\\nmax 0\\noom 0\\noom_kill 1\\n' > memory.events && cd / && mount --bind $DIR/cgroup /sys/fs/cgroup";

/// The files of the reports that there are, the oldest first; `end` is `.txt` or `.json`.
fn files(dir: &Dir, end: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir.path().join("crashes")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(end));
    files.sort();
    files
}

/// The only report, as text.
fn report(ended: &Ended) -> String {
    let files = files(&ended.dir, ".txt");
    assert_eq!(files.len(), 1, "{files:?} {ended:?}");
    fs::read_to_string(&files[0]).expect("a report")
}

/// The value behind a label.
fn row<'t>(text: &'t str, label: &str) -> &'t str {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{label:13}")));
    line.unwrap_or_else(|| panic!("no {label} in: {text}"))
}

/// Ends by itself, as nobody wants it to.
fn crash(keys: &str, script: &str) -> Setup {
    Setup::config(&format!("{CRASH_DIR}{}", only(keys, script).replace("log.output = 'inherit'\n", "")))
}

#[test]
fn an_unwanted_end_leaves_a_text_and_json() {
    let script = "echo out; echo err >&2; for ((i = 0; i < 100000; i++)); do :; done; exit 3";
    let keys = "umask = '027'\nnice = 3\ndirectory = '/tmp'\nrlimits = { nofile = 512, core = 0 }";
    let ended = crash(keys, script).run().end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let text = report(&ended);
    assert!(text.starts_with("p: exited with code 3 after ") && text.contains("(unexpected)"), "{text}");
    assert_eq!(row(&text, "process"), "2");
    assert_eq!(row(&text, "starts"), "1 so far; exited with code 3 1x");
    let cpu = row(&text, "used").strip_prefix("CPU ").and_then(|rest| rest.split('s').next());
    assert!(
        cpu.and_then(|seconds| seconds.parse().ok()).is_some_and(|seconds: f64| seconds > 0.01),
        "{text}"
    );
    assert_eq!(row(&text, "directory"), "/tmp");
    assert_eq!(row(&text, "user"), "0 (sexton's own), umask 027, nice 3");
    let limits = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(limits.contains(" nofile 512, ") && limits.contains(" core 0, "), "{text}");
    assert!(text.contains("\nstdout, the last lines:\n  out\n\nstderr, the last lines:\n  err\n"), "{text}");
    assert!(row(&text, "variables").starts_with("SEXTON_PROGRAM, SEXTON_PROCESS_NUM, "), "{text}");
    let json = files(&ended.dir, ".json");
    for path in [&json[0], &json[0].with_extension("txt")] {
        assert_eq!(fs::metadata(path).expect("a file").permissions().mode() & 0o7777, 0o600);
    }
    let directory = fs::metadata(ended.dir.path().join("crashes")).expect("a directory");
    assert_eq!(directory.permissions().mode() & 0o7777, 0o700);
    let json = fs::read_to_string(&json[0]).expect("a report");
    assert!(json.contains(r#""pid":2,"#) && json.contains(r#""stderr":["err"]}"#), "{json}");
}

#[test]
fn a_signal_is_told_and_whether_memory_was_dumped() {
    let text = report(&crash("rlimits = { core = 0 }", "kill -SEGV $BASHPID").run().end());
    assert!(text.starts_with("p: killed by SIGSEGV after "), "{text}");
    assert!(!text.contains("\ncore  "), "{text}");
    // Where the kernel dumps nothing whatever the limit, there is nothing to be told.
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("a pattern");
    let script = "cd $DIR; ulimit -c unlimited; kill -SEGV $BASHPID";
    let text = report(&crash("rlimits = { core = 'unlimited' }", script).run().end());
    if text.starts_with("p: killed by SIGSEGV (core dumped) after ") {
        assert!(row(&text, "core").starts_with(&format!("dumped to `{}`", pattern.trim_end())), "{text}");
    } else {
        assert!(text.starts_with("p: killed by SIGSEGV after ") && !text.contains("\ncore  "), "{text}");
    }
}

#[test]
fn what_cannot_be_executed_has_a_report_without_a_process() {
    let config = format!("{CRASH_DIR}main = 'p'\n[program.p]\ncommand = '/no/such'\nstartretries = 0");
    let ended = Setup::config(&config).run().end();
    assert_eq!(ended.code, Some(127), "{ended:?}");
    let text = report(&ended);
    assert!(text.starts_with("p: cannot execute `/no/such`: no such file (unexpected)\n"), "{text}");
    assert_eq!(
        (row(&text, "started"), row(&text, "used")),
        ("unknown: it never ran", "unknown: it never ran")
    );
    assert!(files(&ended.dir, "-p-0.json").len() == 1, "{ended:?}");
}

#[test]
fn a_kill_for_want_of_memory_is_told_with_the_cgroups_figures() {
    let kill = "printf 'max 9\\noom 1\\noom_kill 2\\n' > $DIR/cgroup/memory.events; kill -KILL $BASHPID";
    // Nobody asked for a termination message: the counters are looked at all the same.
    let text = report(&crash("", kill).before(V2).options(["--termination-message=none"]).run().end());
    assert!(text.starts_with("p: killed by SIGKILL after "), "{text}");
    assert!(text.contains("out of memory: the container's own limit was"), "{text}");
    assert_eq!(row(&text, "OOM"), "yes, own limit; 2 kills in the container, 1 of them new");
    assert_eq!(row(&text, "memory"), "0.9 MiB of 2.0 MiB; the most is unknown: this kernel does not say");
    assert_eq!(row(&text, "CPU"), "limit 1.50; held back for 1.2s in 12 of 340 periods");
    assert_eq!(row(&text, "processes"), "7 of 100");
}

#[test]
fn secrets_of_the_environment_are_in_no_report() {
    let keys = "environment = { DB_PASSWORD = 's3cret-pass' }";
    let script = "echo \"cannot log in with $DB_PASSWORD and $API_TOKEN\" >&2; exit 3; : $(API_TOKEN)";
    let ended = crash(keys, script).env("API_TOKEN", "t0ken-of-ours").env("PLAIN", "plain-value").run().end();
    let text = report(&ended);
    assert!(text.contains("  cannot log in with $(DB_PASSWORD) and $(API_TOKEN)\n"), "{text}");
    assert!(row(&text, "command").ends_with("exit 3; : $(API_TOKEN)'"), "{text}");
    assert!(
        row(&text, "variables").starts_with("SEXTON_PROGRAM, SEXTON_PROCESS_NUM, DB_PASSWORD, "),
        "{text}"
    );
    assert!(text.contains("PLAIN") && text.contains("API_TOKEN"), "{text}");
    let json = fs::read_to_string(&files(&ended.dir, ".json")[0]).expect("a report");
    for value in ["s3cret-pass", "t0ken-of-ours", "plain-value"] {
        assert!(!text.contains(value) && !json.contains(value), "{value} in {text}\n{json}");
    }
}

#[test]
fn what_listens_is_told_and_how_the_other_programs_are() {
    let server = "import socket, time, os
tcp = socket.create_server(('127.0.0.1', 0)); udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('127.0.0.1', 0))
here = os.environ['DIR']; open(here + '/ports.new', 'w').write('%d %d' % (tcp.getsockname()[1], udp.getsockname()[1]))
os.rename(here + '/ports.new', here + '/ports'); time.sleep(1000)";
    let config = format!(
        "{CRASH_DIR}main = 'p'\n[program.server]\ncommand = ['python3', '-c', \"\"\"{server}\"\"\"]\n\
         [program.once]\ncommand = 'false'\nstartsecs = 0\nexitcodes = [1]\n\
         [program.p]\ncommand = ['bash', '-c', 'until [ -e $DIR/ports ]; do sleep 0.02; done; exit 3']\nautorestart = false\nstartsecs = 0\n"
    );
    let ended = Setup::config(&config).run().end();
    let text = report(&ended);
    let ports = ended.file("ports");
    let (tcp, udp) = ports.split_once(' ').expect("two ports");
    for place in [format!("tcp 127.0.0.1:{tcp}"), format!("udp 127.0.0.1:{udp}")] {
        assert!(text.contains(&place), "{place} in {text}");
    }
    assert!(text.contains("once: EXITED; its last exited with code 1"), "{text}");
    assert!(text.contains("server: ") && text.contains(", process 2\n"), "{text}");
}

#[test]
fn what_is_expected_or_asked_for_leaves_no_report() {
    let config = format!(
        "{CRASH_DIR}[program.done]\ncommand = 'true'\nstartsecs = 0\n\
         [program.p]\ncommand = ['bash', '-c', 'trap \"exit 9\" TERM; echo up; while :; do sleep 0.02; done']\nstartsecs = 0"
    );
    let mut sexton = Setup::config(&config).run();
    sexton.prints("p | up");
    sexton.says("done: exited with code 0", 1);
    sexton.signal("TERM");
    let ended = sexton.end();
    assert!(ended.dir.path().join("crashes").is_dir());
    assert_eq!(files(&ended.dir, ""), Vec::<PathBuf>::new(), "{ended:?}");
}

/// A program that ends at once and is started again at once.
fn crash_loop(top: &str) -> String {
    format!(
        "{top}\nlog.level = 'warn'\n[program.p]\ncommand = ['bash', '-c', 'echo run >>$DIR/runs; exit 3']\n\
         startsecs = 0\nrestart_delay = '1ms'"
    )
}

fn runs(sexton: &Running, count: usize) {
    wait_until(&format!("{count} runs; stderr: {}", sexton.stderr()), || {
        let text = fs::read_to_string(sexton.dir.path().join("runs")).unwrap_or_default();
        (text.lines().count() >= count).then_some(())
    });
}

#[test]
fn of_a_loop_ten_reports_are_left_and_what_comes_too_fast_has_none() {
    let began_at = Instant::now();
    let sexton = Setup::config(&crash_loop(CRASH_DIR)).run();
    runs(&sexton, 40);
    let (texts, all) = (files(&sexton.dir, ".txt"), files(&sexton.dir, ""));
    assert_eq!((texts.len(), all.len()), (10, 20), "{all:?}");
    // 20 in ten seconds, and no more; on a machine so slow that these are over, there may be others.
    let newest = fs::read_to_string(&texts[9]).expect("a report");
    let is_slow = began_at.elapsed() > Duration::from_secs(10);
    assert!(is_slow || row(&newest, "starts") == "20 so far; exited with code 3 20x", "{newest}");
    assert!(!sexton.stderr().contains("crash reports"), "{}", sexton.stderr());
}

#[test]
fn what_cannot_be_written_is_one_warning_for_each_cause() {
    let read_only = "mkdir $DIR/crashes && mount -t tmpfs -o ro none $DIR/crashes";
    // One page: it holds the directory's first file, and no second.
    let full = "mkdir $DIR/crashes && mount -t tmpfs -o size=4k none $DIR/crashes && head -c 4096 /dev/zero > $DIR/crashes/zeroes";
    let cases = [
        ("", "crash_dir = '$(DIR)/no/such'", "No such file or directory"),
        ("echo x > $DIR/crashes", CRASH_DIR, "Not a directory"),
        (read_only, CRASH_DIR, "Read-only file system"),
        (full, CRASH_DIR, "No space left on device"),
    ];
    for (before, top, cause) in cases {
        let mut sexton = Setup::config(&crash_loop(top)).before(before).run();
        runs(&sexton, 5);
        assert!(sexton.is_running());
        sexton.signal("TERM");
        let ended = sexton.end();
        let lines: Vec<&str> =
            ended.stderr.lines().filter(|line| line.contains("cannot keep crash")).collect();
        assert_eq!(lines.len(), 1, "{ended:?}");
        assert!(
            lines[0].contains(cause) && lines[0].ends_with("; keeping them in memory only"),
            "{cause} in {ended:?}"
        );
    }
}

#[test]
fn the_option_wins_over_the_file() {
    let setup = crash("", "exit 3");
    let other = setup.dir.path().join("other");
    let ended = setup.options(["--crash-dir".into(), other.clone().into_os_string()]).run().end();
    assert_eq!(
        (fs::read_dir(other).expect("made").count(), files(&ended.dir, "").len()),
        (2, 0),
        "{ended:?}"
    );
}
