//! Configuration files from beginning to end: what good ones say, and the exact words for bad ones.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sexton::config::{Config, Errors, MAX_FILE, Outside, Process, parse, read, read_file, warnings};
use sexton::plan::{
    AutoRestart, Backoff, Condition, Endpoint, Format, Growth, Handler, HoldOn, Hook, Hooks, HttpGet, Listen,
    ListenAddress, Logfile, Output, Probe, Readiness, Resource, RestartLimit, Role, Sidecars, Traffic,
};
use sexton::signal::Signal;

fn variable(name: &str) -> Option<String> {
    match name {
        "HOSTNAME" => Some("pod-0".to_owned()),
        "REFERENCE" => Some("$(HOSTNAME)".to_owned()),
        "WORDS" => Some("two words".to_owned()),
        "TREM" => Some("TREM".to_owned()),
        _ => None,
    }
}

fn file(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    match path.to_str() {
        Some("/etc/app.env") => Ok(b"PORT=1\nFROM_FILE='$(PORT)'\n".to_vec()),
        Some("/etc/web.env") => Ok(b"export FROM_FILE=web\r\n".to_vec()),
        Some("/etc/broken.env") => Ok(b"A=1\n\nno variable\n".to_vec()),
        Some("/run/secrets/password") => Ok(b"$(PORT) s3cret\n\r\n".to_vec()),
        Some("/run/secrets/binary") => Ok(b"line\n\xc3\xa9\xff".to_vec()),
        Some("/run/secrets/nul") => Ok(b"a\0b".to_vec()),
        Some("/run/secrets/long") => Ok(vec![b'x'; limit + 1]),
        Some("/run/secrets/closed") => Err(io::ErrorKind::PermissionDenied.into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

const OUTSIDE: Outside<'static> = Outside { variable: &variable, file: &file };

fn parsed(text: &str) -> Result<Config, Errors> {
    parse("sexton.toml", text, &OUTSIDE)
}

fn good(text: &str) -> Config {
    parsed(text).unwrap_or_else(|errors| panic!("{errors}\nin\n{text}"))
}

fn said(text: &str) -> String {
    parsed(text).expect_err("a bad file").to_string()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
    let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    paths.sort();
    paths
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn value<'p>(process: &'p Process, name: &str) -> Option<&'p str> {
    process.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// A socket at an address, or at a path.
fn listen(name: &str, place: Result<&str, &str>) -> Listen {
    let address = match place {
        Ok(address) => ListenAddress::Tcp(address.parse().expect("an address")),
        Err(path) => ListenAddress::Unix(path.into()),
    };
    Listen { name: name.to_owned(), address }
}

#[test]
fn bad_files_get_the_words_that_stand_beside_them() {
    let bless = std::env::var_os("BLESS").is_some();
    for path in files("bad").into_iter().chain(files("crossed")) {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let Err(errors) = parse(name, &text(&path), &OUTSIDE) else { panic!("{name} is accepted") };
        let expected = path.with_extension("err");
        if bless {
            fs::write(&expected, format!("{errors}\n")).expect("written");
        }
        assert_eq!(format!("{errors}\n"), text(&expected), "{name}");
        let said = errors.to_string();
        let once: BTreeSet<&str> = said.lines().collect();
        assert_eq!(once.len(), said.lines().count(), "{name} tells an error twice");
    }
}

#[test]
fn good_files_are_read() {
    for path in files("good") {
        good(&text(&path));
    }
}

#[test]
fn every_key_is_understood() {
    let config =
        good(&text(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/good/everything.toml"))));
    assert_eq!(config.main, Some(0));
    assert_eq!(config.grace_period, Some(Duration::from_secs(30)));
    assert_eq!(
        config.stop_on,
        Some(vec![Signal::TERM, Signal::INT, Signal::QUIT, "RTMIN+3".parse().expect("a signal")])
    );
    assert_eq!(config.reload, Some(true));
    assert_eq!(config.crash_dir.as_deref(), Some(Path::new("/var/crash/pod-0")));
    assert_eq!((config.hold, config.hold_for), (Some(HoldOn::Failure), Some(None)));
    assert_eq!((config.hold_file, config.hold_sidecars), (Some("/etc/podinfo/hold".into()), Sidecars::Stop));
    assert!(config.hold_freeze);
    assert_eq!((config.drain, config.drain_fails_readiness), (Some(Duration::from_secs(5)), true));
    assert_eq!(config.quiet, Some(Duration::from_millis(1500)));
    let ignore = ["10.0.0.7", "fd00::8080"].map(|address| address.parse().expect("an address"));
    assert_eq!(
        config.traffic,
        Traffic { ports: vec![8080, 8080, 8081], loopback: true, ignore: ignore.to_vec() }
    );
    assert_eq!(config.health, Some("[::]:9000".parse().expect("an address")));
    assert_eq!(config.log_level, Some(log::LevelFilter::Info));
    assert_eq!(config.termination_message, Some("/dev/termination-log".into()));
    assert_eq!((config.termination_format, config.tail), (Some(Format::Json), Some(5)));

    let [migrate, warm] = config.steps.as_slice() else { panic!("two steps") };
    assert_eq!(migrate.process.argv, ["/app/migrate", "--name", "migrate"]);
    assert_eq!((migrate.timeout, migrate.retries), (Some(Duration::from_mins(1)), 2));
    assert_eq!(migrate.process.exitcodes, [0, 3]);
    assert_eq!((migrate.process.output, migrate.process.timestamps), (Output::Json, true));
    assert_eq!(value(&migrate.process, "URL"), Some("http://pod-0:8080/"));
    assert_eq!(value(&migrate.process, "PRICE"), Some("$(PORT)"));
    assert_eq!((warm.process.name.as_str(), warm.timeout), ("step-2", None));
    assert_eq!(warm.process.argv, ["/app/warm", "two words"]);

    let names: Vec<&str> = config.programs.iter().map(|program| program.process.name.as_str()).collect();
    assert_eq!(names, ["front", "worker_1", "worker_2", "worker_3", "cache"]);
    let web = &config.programs[0];
    assert_eq!(
        web.process.argv,
        ["/app/server", "--port=9090", "$(UNSET)", "$(PORT) s3cret\n"],
        "of a file one line end is left out, and nothing in it is a reference"
    );
    assert_eq!(
        web.after,
        [(4, Condition::Ready), (1, Condition::Started), (2, Condition::Started), (3, Condition::Started)]
    );
    assert_eq!((web.priority, web.autostart, web.autorestart), (-1, true, AutoRestart::Always));
    assert_eq!((web.startsecs, web.startretries), (Duration::from_millis(250), 0));
    assert_eq!((web.essential, web.readiness), (true, Readiness::Notify));
    assert_eq!(web.backoff, Backoff { growth: Some(Growth::Exponential), max: Duration::from_secs(90) });
    assert_eq!(web.restart_delay, Some(Duration::from_millis(500)));
    assert_eq!(web.restart_limit, Some(RestartLimit { count: 5, within: Duration::from_mins(1) }));
    let process = &web.process;
    assert_eq!((process.stopsignal, process.stopwaitsecs), (Signal::QUIT, Duration::from_secs(25)));
    assert!(process.stopasgroup && process.killasgroup && process.no_new_privs && process.redirect_stderr);
    assert_eq!((process.user.as_deref(), process.umask), (Some("app:app"), Some(0o27)));
    assert_eq!(process.directory, Some("/srv/web".into()));
    let seen = ["PASSWORD", "FIRST", "PORT", "SECOND", "FROM_FILE", "SEXTON_PROGRAM", "SEXTON_PROCESS_NUM"]
        .map(|name| value(process, name).unwrap_or_default());
    assert_eq!(seen, ["$(PORT) s3cret\n", "8080", "9090", "9090", "web", "web", "0"]);
    let nofile = Resource(libc::RLIMIT_NOFILE);
    assert_eq!(
        process.rlimits,
        [
            (nofile, Some(65536), Some(65536)),
            (Resource(libc::RLIMIT_CORE), Some(0), None),
            (Resource(libc::RLIMIT_AS), None, None)
        ]
    );
    assert_eq!((process.oom_score_adj, process.nice), (Some(-500), Some(-5)));
    assert_eq!(process.drop_capabilities, [13, 21]);
    assert_eq!((process.output, process.timestamps), (Output::Prefix, false));
    let log = Logfile { path: "/var/log/web.log".into(), maxbytes: 1 << 20, backups: 3 };
    assert_eq!((process.stdout.as_ref(), process.stderr.as_ref()), (Some(&log), None));

    let (seconds, get) =
        (Duration::from_secs, |path: &str, headers: &[(&str, &str)], host: Option<&str>, port| {
            let host = host.map(|host| host.parse().expect("an address"));
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Handler::Http(HttpGet {
                endpoint: Endpoint { host, port },
                path: path.to_owned(),
                headers: headers.collect(),
            })
        });
    assert_eq!(
        web.sockets,
        [
            listen("http", Ok("[::]:8080")),
            listen("admin", Err("/run/web.sock")),
            listen("six", Ok("[::1]:80"))
        ]
    );
    let startup = Probe {
        initial_delay: seconds(1),
        period: Duration::from_millis(500),
        timeout: Duration::from_millis(2500),
        success_threshold: 1,
        failure_threshold: 30,
        stopwait: Some(seconds(3)),
    };
    assert_eq!(web.probes.startup, Some(startup));
    assert_eq!(
        web.probes.readiness.map(|probe| (probe.success_threshold, probe.period)),
        Some((2, seconds(10)))
    );
    assert!(web.probes.liveness.is_some());
    let (post_start, pre_stop) =
        (Hook { timeout: seconds(60), is_sleep: false }, Hook { timeout: seconds(10), is_sleep: false });
    assert_eq!(web.hooks, Hooks { post_start: Some(post_start), pre_stop: Some(pre_stop) });
    let words = |words: &[&str]| Handler::Exec(words.iter().map(OsString::from).collect());
    assert_eq!(
        web.handlers,
        [
            (Role::Startup, words(&["/app/check", "--port", "9090 now"])),
            (Role::Readiness, get("/ready?9090", &[("X-Probe", "9090"), ("Host", "web")], Some("::1"), 9090)),
            (Role::Liveness, Handler::Grpc(Endpoint { host: None, port: 9001 }, "web".to_owned())),
            (Role::PostStart, words(&["/app/warm-up"])),
            (Role::PreStop, get("/", &[], None, 8080)),
        ]
    );

    let worker = &config.programs[3];
    assert_eq!(worker.process.argv, ["work", "3"]);
    assert_eq!((worker.autorestart, worker.readiness), (AutoRestart::Never, Readiness::Descriptor(4)));
    assert_eq!(worker.sockets, [listen("work", Ok("127.0.0.1:7000"))]);
    assert_eq!(worker.sockets, config.programs[1].sockets, "they share it");
    let tcp = Handler::Tcp(Endpoint { host: None, port: 7000 });
    assert_eq!(worker.handlers, [(Role::Liveness, tcp), (Role::PreStop, Handler::Sleep)]);
    assert_eq!(
        worker.probes.liveness,
        Some(Probe {
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
            stopwait: None,
        })
    );
    let pause = Hook { timeout: Duration::from_millis(500), is_sleep: true };
    assert_eq!(worker.hooks, Hooks { post_start: None, pre_stop: Some(pause) });
    assert_eq!(value(&worker.process, "SEXTON_PROGRAM"), Some("worker"));
    assert_eq!(value(&worker.process, "FROM_FILE"), Some("$(PORT)"));
    let none = Some(Logfile { path: "none".into(), maxbytes: 50 << 20, backups: 10 });
    assert_eq!((&worker.process.stdout, &worker.process.stderr), (&none, &none));
    let cache = &config.programs[4];
    assert_eq!(cache.process.argv, ["redis-server", "--save", ""]);
    assert_eq!(cache.process.drop_capabilities, (0..=40).collect::<Vec<u8>>());
}

#[test]
fn words_are_split_before_variables_are_put_in() {
    let argv =
        |command: &str| good(&format!("program.a.command = {command}")).programs[0].process.argv.clone();
    assert_eq!(
        argv("'echo $(WORDS) $(REFERENCE)$$(HOSTNAME)'"),
        ["echo", "two words", "$(HOSTNAME)$(HOSTNAME)"]
    );
    assert_eq!(argv("['$(WORDS)', '']"), ["two words", ""]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    let mark = |_: &Path, _: usize| Ok(b"\xef\xbb\xbfmian = 'a'\n[program.a]\ncommand = 'x'".to_vec());
    let outside = Outside { variable: &variable, file: &mark };
    let errors = read(Path::new("a.toml"), &outside).expect_err("a bad file");
    assert_eq!(errors.to_string(), "a.toml:1:1: unknown key `mian`; did you mean `main`?");
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let config =
        good(&text(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/good/numbers.toml"))));
    assert_eq!(
        warnings(&config),
        [
            "`last` waits for `number-0`, whose end counts as a failed start before `startsecs` are over; set `startsecs = 0`",
            "`last` waits for `number-0`, which starts again whenever it ends; set `autorestart = false`",
        ]
    );
}

#[test]
fn what_is_no_text_file_is_one_clear_line() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("unreadable");
    // What an earlier run has left may be gone already.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let fifo = folder.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    fs::write(folder.join("long"), vec![b'#'; MAX_FILE + 1]).expect("written");
    fs::write(folder.join("bytes"), b"# one\n# \xc3\xa9\xff").expect("written");
    let outside = Outside { variable: &variable, file: &read_file };
    let cases = [
        (folder.clone(), "it is a directory"),
        (folder.join("missing"), "there is no such file"),
        (fifo, "it is no regular file"),
        (PathBuf::from("/dev/zero"), "it is no regular file"),
        (folder.join("long"), "it is longer than 1048576 bytes"),
        (folder.join("bytes"), "it is not UTF-8 at line 2, column 4"),
        (folder.join("bytes/below"), "Not a directory (os error 20)"),
    ];
    for (path, why) in cases {
        let errors = read(&path, &outside).expect_err("unreadable");
        let shown: String = path.display().to_string();
        assert!(errors.to_string().ends_with(&format!("`: {why}")), "{shown}: {errors}");
        assert!(errors.to_string().starts_with("cannot read `/"), "{shown}: {errors}");
        assert_eq!(errors.to_string().lines().count(), 1);
    }
}

#[test]
fn at_most_twenty_errors_are_printed_in_their_order() {
    let text: String = (0..30).map(|n| format!("key{n} = 1\n")).chain(["main = 1\n".to_owned()]).collect();
    let said = said(&text);
    assert_eq!(said.lines().count(), 21);
    assert!(
        said.starts_with("sexton.toml:1:1: nothing to run")
            || said.starts_with("sexton.toml:1:1: unknown key `key0`")
    );
    assert!(said.ends_with("\n… and 12 more"), "{said}");
}

#[test]
fn long_rubbish_is_refused_quickly() {
    let programs = |count: usize, more: &str| -> String {
        let each: Vec<String> = (0..count).map(|n| format!("[program.p{n}]\ncommand='x'\n{more}")).collect();
        each.concat()
    };
    let fill = |piece: &str| piece.repeat(MAX_FILE / piece.len());
    let keys = |start: &str, make: &dyn Fn(usize) -> String| -> String {
        let mut text = start.to_owned();
        for n in 0.. {
            let next = make(n);
            if text.len() + next.len() > MAX_FILE {
                break;
            }
            text.push_str(&next);
        }
        text
    };
    let bomb = "[program.a]\ncommand='x'\nnumprocs=10000\n[program.a.environment]\nA0='xxxxxxxxxx'\n";
    let rubbish = [
        fill("=\n"),
        fill("é=\n"),
        fill("[\n"),
        fill("a=1\n"),
        fill("\"\n"),
        fill("a=["),
        fill("a."),
        fill("\0"),
        "[".to_owned() + &"= ".repeat(30_000),
        "= ".repeat(30_000),
        keys("", &|n| format!("a{n}=1\n")),
        keys("", &|n| format!("[a{n}]\n")),
        keys("[program.a]\n", &|n| format!("stopsignl{n}=1\n")),
        keys("", &|n| format!("[program.{n}]\n")),
        keys(&programs(500, ""), &|n| format!("[program.x{n}]\ncommand='x'\nafter={{y='ready'}}\n")),
        keys(&format!("{}[program.z]\ncommand='x'\n[program.z.after]\n", programs(5000, "")), &|n| {
            format!("q{n}='x'\n")
        }),
        keys("[program.a]\ncommand='x'\n[program.a.environment]\n", &|n| format!("A{n}='$(Z)$('\n")) + "\0",
        keys(&format!("{bomb}A=1\n"), &|n| format!("A{}='$(A{n})$(A{n})'\n", n + 1)),
        keys("[program.a]\ncommand='x'\nnumprocs=10000\nexitcodes=[", &|_| "0,".to_owned()) + "]",
        keys("[program.a]\ncommand='x'\nnumprocs=10000\n[program.a.sockets]\n", &|n| {
            format!("s{n}=':{}'\n", n % 65535 + 1)
        }),
        keys(
            "[program.a]\ncommand='x'\nnumprocs=10000\n[program.a.probe.liveness]\ntcp.port=1\nhttp.port=1\n[program.a.probe.liveness.http.headers]\n",
            &|n| format!("h{n}='$(A)'\n"),
        ),
        keys("drain={quiet='1s',ports=[1],ignore=[", &|_| "'$(A)',".to_owned()) + "]}",
        keys("[program.a]\ncommand='", &|_| "$(".to_owned()) + "'",
        keys("[program.a]\ncommand='", &|_| "%(".to_owned()) + "'",
        keys(
            "[program.a]\ncommand='x'\nnumprocs=5000\n[program.b]\ncommand='x'\nnumprocs=5000\nafter={a='ready'}\n#",
            &|_| "#".to_owned(),
        ),
    ];
    for text in rubbish {
        let start = Instant::now();
        let said = said(&text);
        let taken = start.elapsed();
        let first = said.lines().next().unwrap_or_default().to_owned();
        eprintln!("{taken:?} {first}");
        // A debug build on a busy machine is allowed ten times what a release build may take.
        assert!(taken < Duration::from_secs(10), "{taken:?}: {first}");
        assert!(said.len() < 20 * 2000, "{first}");
    }
}

#[test]
fn every_example_is_read() {
    let file = |path: &Path, _: usize| match path.extension() {
        Some(end) if end == "env" => Ok(b"COMMON=1\n".to_vec()),
        _ => Ok(b"secret\n".to_vec()),
    };
    let outside = Outside { variable: &variable, file: &file };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let examples: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    assert!(examples.len() >= 10, "{examples:?}");
    for path in examples {
        let text = fs::read_to_string(&path).expect("text");
        let name = path.display().to_string();
        let config = parse(&name, &text, &outside).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(warnings(&config), [""; 0], "{name}");
    }
}
