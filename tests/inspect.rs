//! `sexton inspect`: what it shows of real processes, and what it says where it may not look.

#[path = "support/mod.rs"]
mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::{Dir, Setup, sexton, wait_until};

/// The exit code, what was printed, and what was said on standard error.
type Seen = (Option<i32>, String, String);

fn seen(command: &mut Command) -> Seen {
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn inspect(words: &[&str]) -> Seen {
    seen(Command::new(sexton()).arg("inspect").args(words))
}

/// What is shown where nothing may be missing.
fn shown(words: &[&str]) -> String {
    let (code, text, error) = inspect(words);
    assert_eq!(code, Some(0), "{words:?}: {error}");
    text
}

/// A child that is gone with its test.
struct Started(Child);

impl Started {
    fn new(command: &mut Command) -> Started {
        Started(command.spawn().expect("it starts"))
    }

    fn sleeping() -> Command {
        let mut command = Command::new("sleep");
        command.arg("600").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Copies a binary that is to be run: by another process, for a test that forks meanwhile would keep it open for writing.
fn copy(from: &str, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().expect("cp").success());
}

/// The line of a table that begins with this word.
fn line<'a>(table: &'a str, first: &str) -> &'a str {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(first));
    line.unwrap_or_else(|| panic!("no {first} in {table}"))
}

#[test]
fn ps_shows_a_child_and_whose_a_zombie_is() {
    let zombie = Started::new(&mut Command::new("true"));
    let child = Started::new(&mut Started::sleeping());
    let own = std::process::id();
    let table = wait_until("the zombie", || {
        let table = shown(&["ps"]);
        line(&table, &zombie.pid()).contains(" zombie ").then_some(table)
    });
    let of_zombie = line(&table, &zombie.pid());
    assert!(of_zombie.ends_with(&format!("\\_ [true] not reaped by {own}")), "{of_zombie}");
    let of_child = line(&table, &child.pid());
    assert!(of_child.ends_with("\\_ sleep 600") && of_child.contains(" sleeping "), "{of_child}");
    let last = table.lines().last().expect("a line");
    assert!(last.contains(" processes, ") && !last.contains(" 0 zombies"), "{last}");
    let json = shown(&["ps", "--json"]);
    let of_child = format!(r#"{{"pid":{},"parent":{own},"uid":0,"state":"sleeping","#, child.pid());
    assert!(json.contains(&of_child) && json.contains(r#""arguments":["sleep","600"]}"#), "{json}");
    assert!(json.starts_with("[{") && json.ends_with("}]\n"));
}

#[test]
fn env_masks_secrets_until_they_are_asked_for() {
    let mut command = Started::sleeping();
    command.env_clear().env("PATH", "/bin:/usr/bin").env("DB_PASSWORD", "hunter2");
    let child = Started::new(command.env("URL", "redis://:s3cret@db/0").env("B", "1"));
    let (code, text, error) = inspect(&["env", &child.pid()]);
    let expected = "B=1\nDB_PASSWORD=********\nPATH=/bin:/usr/bin\nURL=redis://:********@db/0\n";
    assert_eq!((code, text.as_str()), (Some(0), expected));
    assert_eq!(error, "sexton: 2 values are masked; `--reveal` shows them\n");
    let (code, text, error) = inspect(&["env", "--reveal", &child.pid()]);
    assert!(text.contains("hunter2") && text.contains("s3cret"), "{text}");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let json = shown(&["env", "--json", &child.pid()]);
    assert!(json.contains(r#"{"name":"DB_PASSWORD","value":"********","masked":true}"#), "{json}");
}

#[test]
fn a_program_is_found_by_its_name_and_not_by_what_it_started() {
    let name = format!("web-{}", std::process::id());
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 600 & wait"]).env("SEXTON_PROGRAM", &name).process_group(0);
    let program = Started::new(command.stdout(Stdio::null()));
    let found = wait_until("the program's sleep", || {
        let table = shown(&["ps"]);
        let own = table.lines().position(|line| line.trim_start().starts_with(&program.pid()))?;
        table.lines().nth(own + 1).filter(|line| line.ends_with("\\_ sleep 600")).map(str::to_owned)
    });
    let (_, text, _) = inspect(&["env", &name]);
    assert!(text.contains(&format!("SEXTON_PROGRAM={name}\n")), "{text}");
    let limits = shown(&["limits", &name, "--json"]);
    assert!(limits.contains(r#""name":"open files""#), "{limits}");
    // Two of them: nobody knows which is meant.
    let other = Started::new(Started::sleeping().env("SEXTON_PROGRAM", &name).process_group(0));
    let (code, _, error) = inspect(&["fds", &name]);
    let both = format!("give one of {}, {}\n", program.pid(), other.pid());
    assert!(code == Some(1) && error.ends_with(&both), "{error}");
    let (code, _, error) = inspect(&["fds", "nobody-is-called-so"]);
    assert!(
        code == Some(1) && error.contains("no process has SEXTON_PROGRAM=nobody-is-called-so"),
        "{error}"
    );
    let sleep = found.split_whitespace().next().expect("its number");
    assert!(Command::new("kill").arg(sleep).status().expect("kill of procps or util-linux").success());
}

#[test]
fn fds_shows_files_pipes_and_sockets() {
    let dir = Dir::new();
    let path = dir.path().join("log");
    let log = OpenOptions::new().create(true).append(true).open(&path).expect("a file");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut command = Started::sleeping();
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(listener))).stderr(log).stdout(Stdio::piped());
    let child = Started::new(&mut command);
    let (code, table, _) = inspect(&["fds", &child.pid()]);
    assert_eq!(code, Some(0));
    let socket = line(&table, "0");
    assert!(socket.contains("socket") && socket.ends_with(&format!("tcp {address} LISTEN")), "{table}");
    // Our own end, under the name that this process has.
    let pipe = line(&table, "1");
    assert!(
        pipe.contains("pipe") && pipe.contains(&format!(" to {} inspect", std::process::id())),
        "{table}"
    );
    let file = line(&table, "2");
    assert!(file.contains(" w append ") && file.ends_with(&path.display().to_string()), "{table}");
    let json = shown(&["fds", "--json", &child.pid()]);
    let expected = format!(r#""protocol":"tcp","state":"LISTEN","local":"{address}","remote":null"#);
    assert!(json.contains(&expected) && json.contains(r#""flags":["w","append"]"#), "{json}");
}

#[test]
fn net_shows_listeners_first_and_whose_they_are() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let client = TcpStream::connect(address).expect("connected");
    let (code, table, _) = inspect(&["net"]);
    assert_eq!(code, Some(0));
    let own = format!(" {} inspect", std::process::id());
    let find = |has: &[&str]| {
        let all = |line: &str| has.iter().all(|word| line.contains(word));
        table.lines().position(all).unwrap_or_else(|| panic!("no {has:?} in {table}"))
    };
    let listening = find(&["LISTEN", &address.to_string(), &own]);
    let local = client.local_addr().expect("an address").to_string();
    let connected = find(&["ESTABLISHED", &local, &own]);
    assert!(listening < connected, "{table}");
    let json = shown(&["net", "--json"]);
    let expected = format!(r#""local":"{address}","remote":null,"uid":0,"#);
    let pids = format!(r#""pids":[{}]}}"#, std::process::id());
    assert!(json.contains(&expected) && json.contains(&pids), "{json}");
}

#[test]
fn limits_of_a_process_are_counted() {
    let child = Started::new(&mut Started::sleeping());
    // Until it runs it opens what it needs for that.
    wait_until("the number of its descriptors", || {
        let open = fs::read_dir(format!("/proc/{}/fd", child.pid())).expect("its descriptors").count();
        let (_, table, _) = inspect(&["limits", &child.pid()]);
        let files = table.lines().find(|line| line.starts_with("open files ")).expect("a line");
        (files.split_whitespace().nth(2) == Some(open.to_string().as_str())).then_some(())
    });
}

#[test]
fn who_does_not_exist_is_one_clear_line() {
    let mut child = Started::new(&mut Command::new("true"));
    let pid = child.pid();
    child.0.wait().expect("it ends");
    for words in [&["env", &pid][..], &["fds", &pid], &["limits", &pid]] {
        let (code, text, error) = inspect(words);
        assert_eq!((code, text.as_str()), (Some(1), ""), "{words:?}");
        assert_eq!(error, format!("sexton: cannot inspect process {pid}: it does not exist\n"));
    }
}

#[test]
fn another_users_process_is_not_passed_over() {
    let child = Started::new(&mut Started::sleeping());
    // The binary may lie where nobody else can come.
    let dir = Dir::new();
    let binary = dir.path().join("sexton");
    copy(sexton(), &binary);
    let as_nobody =
        |words: &[&str]| seen(Command::new(&binary).arg("inspect").args(words).uid(65534).gid(65534));
    for (word, file) in [("env", "environ"), ("fds", "fd")] {
        let (code, text, error) = as_nobody(&[word, &child.pid()]);
        assert_eq!((code, text.as_str()), (Some(1), ""));
        let expected = format!(
            "sexton: cannot read /proc/{}/{file}: permission denied; run it as uid 0 or root\n",
            child.pid()
        );
        assert_eq!(error, expected);
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address").to_string();
    let (code, table, error) = as_nobody(&["net"]);
    let own = table.lines().find(|line| line.contains(&address)).expect("the listener");
    assert!(code == Some(0) && own.ends_with(" ? uid 0"), "{own}");
    assert!(error.starts_with("sexton: cannot read the descriptors of processes "), "{error}");
    let (code, table, _) = as_nobody(&["ps"]);
    assert!(code == Some(0) && line(&table, &child.pid()).ends_with("sleep 600"), "{table}");
}

#[test]
fn root_without_its_capability_is_told_who_may_look() {
    let child = Started::new(Started::sleeping().uid(65534).gid(65534));
    // Root of an ordinary container: it may list the descriptors, but not where they lead.
    let without = ["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];
    let mut command = Command::new("setpriv");
    let (code, text, error) = seen(command.args(without).args([sexton(), "inspect", "fds", &child.pid()]));
    assert_eq!((code, text.as_str()), (Some(1), ""));
    let expected = "permission denied; run it as uid 65534, or with the capability SYS_PTRACE\n";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn without_proc_only_files_are_shown() {
    let inside = |words: &str| {
        let script = format!("umount -l /proc && exec \"$0\" inspect {words}");
        seen(Command::new("unshare").args(["-m", "sh", "-c", &script, sexton()]))
    };
    for words in ["ps", "env 1", "fds 1", "net", "limits 1"] {
        let (code, text, error) = inside(words);
        assert_eq!((code, text.as_str()), (Some(1), ""), "{words}");
        let expected = "sexton: cannot read /proc: it is not mounted; ";
        assert!(error.starts_with(expected) && error.lines().count() == 1, "{words}: {error}");
    }
    let (code, text, _) = inside("ls /bin/sh");
    assert!(code == Some(0) && text.contains("/bin/sh"), "{text}");
}

#[test]
fn a_name_sends_nothing_to_the_terminal() {
    let dir = Dir::new();
    let evil = dir.path().join("a\u{1b}[31m\nb");
    copy("/bin/sleep", &evil);
    let child = Started::new(Command::new(&evil).arg("600").stdout(Stdio::null()));
    for words in [&["ps"][..], &["ls", &dir.path().display().to_string()]] {
        let text = shown(words);
        assert!(!text.contains('\u{1b}') && text.contains("a\\u{1b}[31m\\nb"), "{text}");
    }
    let (_, text, _) = inspect(&["ps", "--json"]);
    assert!(!text.contains('\u{1b}') && text.contains("a\\u001b[31m\\nb"), "{text}");
    drop(child);
}

#[test]
fn on_a_terminal_no_line_is_wider() {
    let long = "x".repeat(300);
    let mut command = Command::new("sh");
    let child = Started::new(command.args(["-c", "sleep 600; true", &long]).process_group(0));
    let on_terminal = |words: &str| {
        let command = format!("stty cols 80; {} inspect {words}", sexton());
        let (_, text, _) = seen(Command::new("script").args(["-qec", &command, "/dev/null"]));
        text
    };
    for words in ["ps".to_owned(), "net".to_owned(), format!("fds {}", child.pid()), "limits 1".to_owned()] {
        let text = on_terminal(&words);
        let mut tables = text.lines().filter(|line| !line.starts_with("sexton: "));
        let wide = tables.find(|line| line.trim_end().chars().count() > 80);
        assert_eq!(wide, None, "{words}");
    }
    let cut = on_terminal("ps");
    assert!(line(&cut, &child.pid()).trim_end().ends_with('…'), "{cut}");
    assert!(line(&shown(&["ps"]), &child.pid()).ends_with(&long));
    let sleep = support::descendants(child.0.id().cast_signed());
    drop(child);
    for pid in sleep {
        let _ = Command::new("kill").arg(pid.to_string()).status();
    }
}

#[test]
fn ls_and_cat_show_files_and_refuse_what_would_block() {
    let dir = Dir::new();
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::write(at("b"), b"bytes \xff\n").expect("written");
    fs::write(at(".hidden"), "").expect("written");
    std::os::unix::fs::symlink("b", at("a")).expect("a link");
    assert!(Command::new("mkfifo").arg(at("fifo")).status().expect("mkfifo").success());
    let whole = dir.path().display().to_string();
    let table = shown(&["ls", &whole]);
    let names: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split("  ").last()).collect();
    assert_eq!(names, ["a -> b", "b", "fifo"]);
    assert!(line(&table, "prw-r--r--").ends_with("fifo"));
    let all = shown(&["ls", "-a", &whole]);
    assert!(all.contains(".hidden") && all.lines().nth(1).is_some_and(|line| line.ends_with(" .")), "{all}");
    let json = shown(&["ls", "--json", &at("a")]);
    assert!(json.contains(&format!(r#""path":"{}","target":"b""#, at("a"))), "{json}");

    let output =
        Command::new(sexton()).args(["inspect", "cat", &at("b"), &at("a")]).output().expect("it runs");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"bytes \xff\nbytes \xff\n"[..]));
    let (code, text, error) =
        inspect(&["cat", &at("fifo"), &whole, "/dev/null", &at("none"), "/proc/self/comm"]);
    assert_eq!((code, text.as_str()), (Some(1), "sexton\n"));
    let expected = [
        format!("sexton: cannot read {}: it is not a regular file", at("fifo")),
        format!("sexton: cannot read {whole}: it is a directory; `sexton inspect ls` lists it"),
        "sexton: cannot read /dev/null: it is not a regular file".to_owned(),
        format!("sexton: cannot read {}: it does not exist", at("none")),
    ];
    assert_eq!(error.lines().collect::<Vec<_>>(), expected);
    let (code, _, error) = inspect(&["tail", "-f", &at("fifo")]);
    assert_eq!((code, error.as_str()), (Some(1), &*format!("{}\n", expected[0])));
}

#[test]
fn tail_shows_the_end_of_large_files_too() {
    let dir = Dir::new();
    let path = dir.path().join("log").display().to_string();
    let lines: Vec<String> = (0..50_000).map(|number| format!("line {number}\n")).collect();
    let text = lines.concat();
    fs::write(&path, &text).expect("written");
    let end = |count: usize| lines[50_000 - count..].concat();
    assert_eq!(shown(&["tail", &path]), end(10));
    assert_eq!(shown(&["tail", "-n", "20000", &path]), end(20_000));
    assert_eq!(shown(&["tail", "-n60000", &path]), text);
    assert_eq!(shown(&["tail", "-n0", &path]), "");
    assert_eq!(shown(&["tail", "-n1", "/proc/self/comm"]), "sexton\n");
}

#[test]
fn tail_follows_what_is_written_truncated_and_replaced() {
    let dir = Dir::new();
    let path = dir.path().join("log");
    fs::write(&path, "one\ntwo\n").expect("written");
    let errors = File::create(dir.path().join("stderr")).expect("a file");
    let mut command = Command::new(sexton());
    command.args(["inspect", "tail", "-n1", "-f"]).arg(&path).stdout(Stdio::piped()).stderr(errors);
    let mut tail = Started::new(&mut command);
    let mut output = BufReader::new(tail.0.stdout.take().expect("a pipe"));
    let mut next = || {
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        line
    };
    assert_eq!(next(), "two\n");
    let append = |text: &str| {
        let mut file = OpenOptions::new().append(true).open(&path).expect("a file");
        file.write_all(text.as_bytes()).expect("written");
    };
    append("three\n");
    assert_eq!(next(), "three\n");
    File::create(&path).expect("truncated");
    wait_until("the truncation", || {
        fs::read_to_string(dir.path().join("stderr")).ok().filter(|text| text.contains(" was truncated"))
    });
    append("4\n");
    assert_eq!(next(), "4\n");
    // The last words of the old one come before the first of the new one.
    let mut old = OpenOptions::new().append(true).open(&path).expect("a file");
    fs::rename(&path, dir.path().join("log.1")).expect("renamed");
    old.write_all(b"last\n").expect("written");
    fs::write(&path, "new\n").expect("written");
    assert_eq!((next(), next()), ("last\n".to_owned(), "new\n".to_owned()));
    append("more\n");
    assert_eq!(next(), "more\n");
    // Ctrl-C ends it, although every signal is blocked at the very first moment.
    let interrupted = Command::new("kill").args(["-s", "INT", &tail.pid()]).status().expect("kill");
    assert!(interrupted.success());
    let status = wait_until("its end", || tail.0.try_wait().expect("waited"));
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2));
}

#[test]
fn tail_ends_when_nobody_reads_it_any_more() {
    let dir = Dir::new();
    let path = dir.path().join("log");
    fs::write(&path, "one\n").expect("written");
    let mut command = Command::new(sexton());
    let mut tail = Started::new(command.args(["inspect", "tail", "-f"]).arg(&path).stdout(Stdio::piped()));
    let mut output = tail.0.stdout.take().expect("a pipe");
    output.read_exact(&mut [0; 4]).expect("a line");
    drop(output);
    let status = wait_until("its end", || tail.0.try_wait().expect("waited"));
    assert_eq!(status.code(), Some(0));
}

#[test]
fn bad_usage_is_exit_code_100_and_help_is_none() {
    for words in [&["top"][..], &["env"], &["ps", "1"], &["cat", "--json", "/a"], &["tail", "-n", "x", "/a"]]
    {
        let (code, text, error) = inspect(words);
        assert_eq!((code, text.as_str()), (Some(100), ""), "{words:?}");
        assert_eq!(error.lines().count(), 1, "{words:?}");
    }
    for words in [&[][..], &["-h"], &["--help"], &["ps", "-h"]] {
        assert!(shown(words).starts_with("sexton inspect: looks around"), "{words:?}");
    }
}

#[test]
fn as_pid_1_it_is_a_programs_name() {
    let setup = Setup::pid_1();
    let program = setup.dir.path().join("inspect");
    fs::write(&program, "#!/bin/sh\necho \"I am a program: $*\"; exit 7\n").expect("written");
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
    let ended = setup.before("PATH=$DIR:$PATH").options(["inspect", "ps"]).run().end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(7), "I am a program: ps\n"), "{ended:?}");
}

#[test]
fn a_running_sextons_programs_are_found_by_name() {
    let toml = "[program.web]\ncommand = \"sh -c 'sleep 1000 & echo up; wait'\"\n\
                [program.look]\ncommand = \"sh -c '$(SEXTON) inspect env web >$(DIR)/env; $(SEXTON) inspect ps >$(DIR)/ps; touch $(DIR)/done; sleep 1000'\"\nafter = { web = 'started' }\n";
    let running = Setup::config(toml).env("SEXTON", sexton()).run();
    wait_until("what was seen", || running.has_file("done").then_some(()));
    assert!(running.file("env").contains("SEXTON_PROGRAM=web\n"), "{}", running.stderr());
    let tree = running.file("ps");
    let first = tree.lines().nth(1).expect("a process");
    assert!(first.trim_start().starts_with("1 ") && tree.contains("\\_ sleep 1000"), "{tree}");
}
