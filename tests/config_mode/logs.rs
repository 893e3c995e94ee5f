//! What programs write, and where it goes.

use std::os::fd::AsFd;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::in_order;
use crate::support::{Ended, Running, Setup, wait_until};

/// A program that runs this script once.
fn program(name: &str, script: &str, keys: &str) -> String {
    format!(
        "[program.{name}]\ncommand = ['bash', '-c', '''{script}''']\nstartsecs = 0\nautorestart = false\n{keys}\n"
    )
}

fn run(top: &str, programs: &[String]) -> Ended {
    let ended = Setup::config(&format!("{top}\n{}", programs.concat())).run().end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

#[test]
fn each_line_has_its_programs_name_in_front_and_stays_on_its_stream() {
    let script = "echo one; echo two >&2; echo; printf three";
    let ended = run("", &[program("web", script, "")]);
    assert_eq!(ended.stdout, "web | one\nweb | \nweb | three\n", "the last without its end is kept too");
    in_order(&ended.stderr, ["sexton: web: started", "web | two\n", "sexton: web: exited"]);
}

#[test]
fn stderr_goes_with_stdout_where_the_file_says_so() {
    let ended = run("", &[program("web", "echo one; echo two >&2; echo three", "redirect_stderr = true")]);
    assert_eq!(ended.stdout, "web | one\nweb | two\nweb | three\n");
    assert!(!ended.stderr.contains("web | "));
}

/// 2026-01-02T03:04:05.678Z
fn is_time(text: &str) -> bool {
    let form: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    form == "0000-00-00T00:00:00.000Z"
}

#[test]
fn the_time_stands_in_front_where_it_is_wanted() {
    let programs = [
        program("a", "echo one", "timestamps = true"),
        program("b", "echo two", "timestamps = false"),
        program("c", "echo three", ""),
    ];
    let stamped = |ended: &Ended, line: &str| {
        ended
            .stdout
            .lines()
            .any(|had| had.strip_suffix(line).and_then(|time| time.strip_suffix(' ')).is_some_and(is_time))
    };
    let ended = run("", &programs);
    assert!(stamped(&ended, "a | one") && ended.stdout.contains("b | two\n"), "{ended:?}");
    assert!(ended.stdout.lines().any(|line| line == "c | three"), "{ended:?}");
    let ended = run("log.timestamps = true", &programs);
    assert!(stamped(&ended, "a | one") && stamped(&ended, "c | three"), "{ended:?}");
    assert!(ended.stdout.lines().any(|line| line == "b | two"), "{ended:?}");
    for line in ended.stderr.lines() {
        assert!(is_time(line.split(' ').next().unwrap_or_default()), "{line}");
    }
}

#[test]
fn what_is_inherited_is_written_by_the_program_itself() {
    let ended = run("", &[program("a", "readlink /proc/self/fd/1; echo two >&2", "output = 'inherit'")]);
    assert!(ended.stdout.ends_with("/stdout\n") && !ended.stdout.contains('|'), "{ended:?}");
    assert!(ended.stderr.contains("\ntwo\n"), "{ended:?}");
}

/// The fields of each line, which has to be an object, by python's reader: keys and values, tab-separated.
fn objects(text: &[u8]) -> Vec<BTreeMap<String, String>> {
    const READER: &str = "import sys, json
for line in sys.stdin.buffer:
    o = json.loads(line.decode('utf-8'))
    print('\\t'.join(k + '=' + json.dumps(v) for k, v in o.items()))";
    let mut python = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    python.stdin.take().expect("a pipe").write_all(text).expect("written");
    let output = python.wait_with_output().expect("its end");
    assert!(output.status.success(), "no JSON: {}", String::from_utf8_lossy(text));
    let text = String::from_utf8(output.stdout).expect("ASCII");
    let object = |line: &str| {
        line.split('\t')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    };
    text.lines().map(object).collect()
}

#[test]
fn as_json_each_record_is_an_object_and_a_stack_trace_is_one() {
    let script = r#"printf 'plain "quoted" \\\n'; printf 'Error: x\n    at one\n\tat two\n'; printf 'bell \a\n'
        printf 'bad \377 and \0 nul\n'; printf last"#;
    let ended = run("log = { output = 'json', timestamps = true }", &[program("web", script, "")]);
    let records = objects(ended.stdout.as_bytes());
    let lines: Vec<&str> = records.iter().map(|record| record["line"].as_str()).collect();
    assert_eq!(lines[0], r#""plain \"quoted\" \\""#, "{ended:?}");
    assert_eq!(lines[1], r#""Error: x\n    at one\n\tat two""#, "{ended:?}");
    assert_eq!(lines[2], r#""bell \u0007""#);
    assert_eq!(lines[3], r#""bad \ufffd and \u0000 nul""#);
    assert_eq!(lines[4], r#""last""#);
    assert_eq!(lines.len(), 5);
    for record in &records {
        assert_eq!((record["program"].as_str(), record["stream"].as_str()), (r#""web""#, r#""stdout""#));
        assert!(is_time(record["time"].trim_matches('"')), "{record:?}");
    }
    // sexton's own lines are objects too.
    let own = objects(ended.stderr.as_bytes());
    assert!(own.iter().any(|record| record["line"].starts_with("\"web: exited with code 0")), "{ended:?}");
    assert!(own.iter().all(|record| record["program"] == "\"sexton\""));
}

#[test]
fn a_record_is_not_held_back_for_long() {
    let web = program("web", "printf 'one\\n  more\\n'; exec sleep 1000", "output = 'json'");
    let sexton = Setup::config(&web).run();
    sexton.prints(r#""line":"one\n  more""#);
}

#[test]
fn a_program_may_write_to_files_that_are_rotated() {
    let ended = run(
        "",
        &[program(
            "web",
            "for i in {1..100}; do echo line $i of one hundred; done; echo other >&2",
            "stdout_logfile = '$(DIR)/out.log'\nstdout_logfile_maxbytes = 1000\nstdout_logfile_backups = 2
            stderr_logfile = '$(DIR)/err.log'",
        )],
    );
    assert_eq!((ended.stdout.as_str(), ended.file("err.log").as_str()), ("", "other\n"), "{ended:?}");
    assert!(!ended.stderr.contains("web | "));
    assert!(!ended.dir.path().join("out.log.3").exists());
    let kept = ["out.log.2", "out.log.1", "out.log"].map(|name| ended.file(name)).concat();
    let lines: Vec<&str> = kept.lines().collect();
    let first = 101 - lines.len();
    assert!(lines.len() > 80, "{} lines", lines.len());
    for (number, line) in (first..).zip(lines) {
        assert_eq!(line, format!("line {number} of one hundred"));
    }
    // As in Supervisor the length is looked at after each write, and one may take many lines.
    assert!(ended.file("out.log.1").len() >= 1000, "{} bytes", ended.file("out.log.1").len());
    assert!(ended.file("out.log").len() < 1000, "{} bytes", ended.file("out.log").len());
}

#[test]
fn a_file_keeps_what_it_had_and_is_all_that_a_restart_needs() {
    let setup = Setup::config(&program("web", "echo more; printf end", "stdout_logfile = '$(DIR)/out.log'"));
    fs::write(setup.dir.path().join("out.log"), "before\n").expect("written");
    let ended = setup.run().end();
    assert_eq!(ended.file("out.log").trim_end(), "before\nmore\nend");
}

#[test]
fn a_file_that_cannot_be_written_is_one_warning_and_nothing_is_lost() {
    let ended = run("", &[program("web", "echo one; echo two", "stdout_logfile = '/no/such/out.log'")]);
    assert_eq!(ended.stdout, "web | one\nweb | two\n");
    assert_eq!(ended.stderr.matches("/no/such/out.log").count(), 1, "{ended:?}");
    let ended = run("", &[program("web", "echo one; echo two", "stdout_logfile = '/dev/full'")]);
    assert_eq!(ended.stdout, "web | one\nweb | two\n", "{ended:?}");
}

#[test]
fn none_is_nowhere_and_sextons_own_streams_have_their_names() {
    let programs = [
        program("none", "echo one; echo two >&2", "stdout_logfile = 'NONE'\nstderr_logfile = 'NONE'"),
        program("out", "echo one; echo two >&2", "stderr_logfile = '/dev/stdout'"),
        program("err", "echo one; echo two >&2", "stdout_logfile = '/dev/stderr'"),
    ];
    let ended = run("", &programs);
    assert!(!ended.stdout.contains("none | ") && !ended.stderr.contains("none | "), "{ended:?}");
    let mut lines: Vec<&str> = ended.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["out | one", "out | two"], "{ended:?}");
    assert!(ended.stderr.contains("err | one\n") && ended.stderr.contains("err | two\n"), "{ended:?}");
}

#[test]
fn the_last_lines_of_the_failed_program_are_in_the_message() {
    let programs = [
        program("web", "for i in {1..50}; do echo line $i >&2; done; printf 'no database' >&2; exit 3", ""),
        program("helper", "for i in {1..50}; do echo noise >&2; done; exec sleep 1000", ""),
    ];
    let top = "main = 'web'\ntermination_message = { path = '$(DIR)/why', lines = 3 }";
    for keys in ["", "stderr_logfile = 'NONE'", "stderr_logfile = '$(DIR)/err.log'"] {
        let config = format!(
            "{top}\n{}",
            programs.concat().replacen("startsecs = 0", &format!("startsecs = 0\n{keys}"), 1)
        );
        let ended = Setup::config(&config).before("touch $DIR/why").run().end();
        let why = ended.file("why");
        assert!(why.starts_with("web: exited with code 3"), "{why}");
        assert!(why.ends_with("\nstderr:\n  line 49\n  line 50\n  no database\n"), "{keys}: {why}");
    }
    // Where it wrote nothing to stderr, its stdout says more.
    let config = format!("{top}\n{}", program("web", "echo goodbye; exit 3", ""));
    let why = Setup::config(&config).before("touch $DIR/why").run().end().file("why");
    assert!(why.ends_with("  goodbye\n"), "{why}");
}

#[test]
fn nul_and_what_is_no_text_pass_as_they_are() {
    let script = r"printf 'a\0b\377\376c\n\0\n\r\033[31m\n'";
    let sexton = Setup::config(&program("web", script, "")).run();
    sexton.says("web: exited", 1);
    let bytes = fs::read(sexton.dir.path().join("stdout")).expect("there");
    assert_eq!(bytes, b"web | a\0b\xff\xfec\nweb | \0\nweb | \r\x1b[31m\n");
}

/// The most memory it ever had, in MiB.
fn peak(sexton: &mut Running) -> u64 {
    let text = sexton.status("VmHWM");
    text.split(' ').next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
}

#[test]
fn a_line_of_a_gibibyte_takes_no_more_memory_than_another() {
    for (output, bytes) in [("prefix", 1_u64 << 30), ("json", 1 << 26)] {
        let script =
            format!("head -c {bytes} /dev/zero | tr '\\0' x; echo; echo >$DIR/done; exec sleep 1000");
        let web = program("web", &script, &format!("output = '{output}'"));
        let null = fs::File::create("/dev/null").expect("opened");
        let mut sexton = Setup::config(&web).stdout(null).run();
        sexton.file("done");
        let peak = peak(&mut sexton);
        assert!(peak < 16, "{output}: {peak} MiB");
    }
}

#[test]
fn of_a_very_long_line_nothing_is_lost() {
    const LENGTH: usize = 3_000_000;
    let script = "for i in {0..299999}; do printf '%09d,' $i; done; printf '\\nafter\\n'";
    let ended = run("", &[program("web", script, "")]);
    let (mut line, mut ends) = (String::new(), 0);
    for piece in ended.stdout.lines() {
        let rest = piece.strip_prefix("web | ").or_else(|| piece.strip_prefix("web + ")).expect("a prefix");
        assert!(rest.len() <= 64 * 1024 + 1);
        if piece.starts_with("web | ") {
            ends += 1;
            if rest == "after" {
                continue;
            }
        }
        line.push_str(rest);
    }
    assert_eq!((line.len(), ends), (LENGTH, 2));
    assert!((0..300_000).all(|i| line[i * 10..i * 10 + 10] == format!("{i:09},")), "out of order");
}

#[test]
fn lines_of_many_programs_never_mix() {
    let script = "printf -v x %0200d 0; for i in {1..500}; do
        echo $SEXTON_PROCESS_NUM $i $x; echo $SEXTON_PROCESS_NUM $i $x >&2; done";
    let ended = run("", &[program("w", script, "numprocs = 20")]);
    let tail = "0".repeat(200);
    for text in [&ended.stdout, &ended.stderr] {
        let mut next = [1; 20];
        for line in text.lines().filter(|line| !line.starts_with("sexton: ")) {
            let words: Vec<&str> = line.split(' ').collect();
            let [name, "|", number, at, rest] = words[..] else { panic!("{line}") };
            let number: usize = number.parse().expect("a number");
            assert_eq!((name, rest), (format!("w_{number}").as_str(), tail.as_str()), "{line}");
            assert_eq!(at, next[number].to_string(), "{line}");
            next[number] += 1;
        }
        assert_eq!(next, [501; 20]);
    }
}

/// Takes the numbered lines of each program out of what was read, and says how many there are.
fn count_in_sequence(text: &str) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in text.lines() {
        let (name, number) = line.split_once(" | line ").unwrap_or_else(|| panic!("{line:?}"));
        let count = counts.entry(name.to_owned()).or_default();
        assert_eq!(number, count.to_string(), "{name} after {count} lines");
        *count += 1;
    }
    counts
}

/// A reader of what sexton writes who has not begun to read.
fn read_to_end(mut pipe: std::io::PipeReader) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).expect("UTF-8");
    text
}

const MANY: usize = 50_000;

#[test]
fn a_blocked_stdout_stalls_the_programs_and_nothing_else() {
    let lines = "for ((i = 0; i < 50000; i++)); do echo line $i; done; echo >$DIR/done-$SEXTON_PROGRAM; exec sleep 1000";
    let programs = [
        program("a", lines, ""),
        program("b", lines, ""),
        program("other", "until [ -e $DIR/go ]; do sleep 0.02; done; echo word >&2; exit 3", ""),
        program(
            "file",
            "for i in {1..5000}; do echo line $i; done; echo >$DIR/filed; exec sleep 1000",
            "stdout_logfile = '$(DIR)/file.log'",
        ),
    ];
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut sexton = Setup::config(&programs.concat()).stdout(writer).run();
    // A file goes on, and so do exits, the other stream and reloads.
    sexton.file("filed");
    wait_until("all lines in the file", || {
        let text = fs::read_to_string(sexton.dir.path().join("file.log")).unwrap_or_default();
        (text.lines().count() == 5000).then_some(())
    });
    sexton.write("go", "");
    sexton.says("other | word", 1);
    sexton.says("other: exited with code 3", 1);
    sexton.signal("HUP");
    sexton.says("configuration read again: 0 new, 0 gone, 0 changed", 1);
    assert!(!sexton.has_file("done-a") && !sexton.has_file("done-b"), "there is room for all of it?");
    let text = std::thread::spawn(move || read_to_end(reader));
    sexton.file("done-a");
    sexton.file("done-b");
    sexton.signal("TERM");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let counts = count_in_sequence(&text.join().expect("read"));
    assert_eq!(counts, BTreeMap::from([("a".to_owned(), MANY), ("b".to_owned(), MANY)]));
}

#[test]
fn a_stop_is_obeyed_while_stdout_is_blocked_and_what_was_written_comes_out() {
    let lines = "trap 'echo >$DIR/told-$SEXTON_PROGRAM; exit 0' TERM
        for ((i = 0; i < 50000; i++)); do echo line $i; echo $i >$DIR/at-$SEXTON_PROGRAM; done";
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let programs = [program("a", lines, "stopwaitsecs = 60"), program("b", "exec sleep 1000", "")];
    let mut sexton =
        Setup::config(&format!("grace_period = '50s'\n{}", programs.concat())).stdout(writer).run();
    // It is blocked when the program makes no progress any more; its pipe is full then.
    let mut before = String::new();
    wait_until("a standstill", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = fs::read_to_string(sexton.dir.path().join("at-a")).unwrap_or_default();
        let stands = !now.is_empty() && now == before;
        before = now;
        stands.then_some(())
    });
    sexton.signal("TERM");
    sexton.says("b: killed by SIGTERM", 1);
    // Its trap runs when its write returns, which it does with the reader.
    let text = std::thread::spawn(move || read_to_end(reader));
    sexton.file("told-a");
    let ended = sexton.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = text.join().expect("read");
    let written: usize = ended.file("at-a").trim().parse().expect("a number");
    let count = count_in_sequence(&text)["a"];
    assert!(count > written && count <= written + 2, "{count} lines of {written}");
}

#[test]
fn with_nobody_who_reads_at_all_the_end_comes_all_the_same() {
    let lines = "while :; do echo line; done";
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let web = program("web", lines, "");
    let mut sexton = Setup::config(&format!("grace_period = '4s'\n{web}")).stdout(writer).run();
    wait_until("a full pipe", || (sexton.children().len() == 1).then_some(()));
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(0));
}

#[test]
fn a_reader_who_goes_away_ends_nobody() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let web =
        program("web", "for i in {1..1000}; do echo line $i; done; echo >$DIR/done; exec sleep 1000", "");
    let mut sexton = Setup::config(&web).stdout(writer).run();
    sexton.file("done");
    assert!(sexton.is_running());
    sexton.signal("TERM");
    assert_eq!(sexton.end().code, Some(0));
}

#[test]
fn what_a_daemon_writes_after_its_program_ended_is_not_lost() {
    let script = "if [ -e $DIR/daemon ]; then echo second; exec sleep 1000; fi
        setsid bash -c \"echo >$DIR/daemon; until [ -e $DIR/go ]; do sleep 0.02; done; echo late\" &
        until [ -s $DIR/daemon ]; do sleep 0.02; done; exit 3";
    let web = program("web", script, "").replace("autorestart = false", "autorestart = true");
    let sexton = Setup::config(&web).run();
    sexton.prints("web | second");
    sexton.write("go", "");
    sexton.prints("web | late");
}

/// What exec mode lets go of after its only start was the pump itself here.
#[test]
fn a_program_that_runs_only_once_is_heard_to_its_end() {
    let config = "main = 'p'\n[program.p]\ncommand = ['bash', '-c', 'echo hello; sleep 0.3; echo world']\n\
                  autorestart = false\nstartretries = 0\nstartsecs = 0\n";
    let ended = Setup::config(config).run().end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "p | hello\np | world\n"), "{ended:?}");
}

#[test]
fn one_pipe_for_both_streams_gets_whole_lines() {
    let script = "seq -f 'out%070g' 1 20000 & seq -f 'err%070g' 1 20000 >&2; wait";
    let config =
        format!("[program.p]\ncommand = ['bash', '-c', \"{script}\"]\nstartsecs = 0\nautorestart = false\n");
    let mut reader = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("cat of coreutils runs");
    let pipe = reader.stdin.take().expect("its stdin");
    let both = pipe.as_fd().try_clone_to_owned().expect("a copy");
    let sexton = Setup::config(&config).options(["--log-level", "off"]).stdout(pipe).stderr(both).run();
    let read = std::thread::spawn(move || reader.wait_with_output().expect("its output").stdout);
    assert_eq!(sexton.end().code, Some(0));
    let text = String::from_utf8(read.join().expect("read")).expect("UTF-8");
    let whole =
        |line: &&str| line.len() == 77 && (line.starts_with("p | out") || line.starts_with("p | err"));
    assert_eq!((text.lines().count(), text.lines().filter(whole).count()), (40_000, 40_000));
}

#[test]
fn who_floods_a_slow_output_keeps_nobody_else_from_it() {
    let config = "[program.flood]\ncommand = ['yes', 'flood']\nstartsecs = 0\n[program.other]\ncommand = ['yes', 'other']\nstartsecs = 0\n
        [program.quiet]\ncommand = ['bash', '-c', 'while :; do echo word; sleep 0.1; done']\nstartsecs = 0\n";
    let reader = "import sys, time
seen = set()
while len(seen) < 3:
    for line in sys.stdin.buffer.read1(4096).splitlines():
        seen |= {word for word in (b'| flood', b'| other', b'| word') if word in line}
    time.sleep(0.001)
print('all')";
    let mut reader = std::process::Command::new("python3")
        .args(["-c", reader])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let pipe = reader.stdin.take().expect("its stdin");
    let _sexton = Setup::config(config).stdout(pipe).run();
    let output = reader.wait_with_output().expect("it ends when it has heard all three");
    assert_eq!(output.stdout, b"all\n");
}

#[test]
fn a_program_of_another_user_may_open_dev_stdout() {
    let keys = "user = '12345:12345'\noutput = 'prefix'\n";
    let ended = super::once(keys, "echo word >/dev/stdout");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "p | word\n"), "{ended:?}");
}

#[test]
fn a_terminal_around_it_changes_nothing() {
    let dir = Setup::config(
        "[program.p]\ncommand = ['bash', '-c', 'echo word']\nstartsecs = 0\nautorestart = false\n",
    );
    let file = dir.dir.path().join("sexton.toml");
    let sexton = format!("{} --config {}", super::support::sexton(), file.display());
    let output = std::process::Command::new("script")
        .args(["-qec", &sexton, "/dev/null"])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("script of bsdutils runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("p | word"), "{output:?}");
}
