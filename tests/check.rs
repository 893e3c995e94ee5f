//! `sexton check`: what it prints is a configuration again, and means the same.

use std::path::{Path, PathBuf};
use std::process::Command;

fn check(file: &Path) -> (Option<i32>, String, String) {
    sexton(&["check"], file)
}

fn sexton(words: &[&str], file: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sexton")).args(words).arg(file).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A file of this text, with another name for each.
fn written(name: &str, text: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("sexton-{name}-{}.toml", std::process::id()));
    std::fs::write(&file, text).expect("written");
    file
}

fn without_its_name(overview: &str) -> String {
    overview.lines().skip(1).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_it_prints_means_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    // The one that reads secrets wants files that are not there.
    let examples: Vec<PathBuf> = entries
        .filter(|path| {
            path.extension().is_some_and(|end| end == "toml") && !path.ends_with("environment.toml")
        })
        .collect();
    assert!(examples.len() >= 10, "{examples:?}");
    let copy = std::env::temp_dir().join(format!("sexton-check-{}.toml", std::process::id()));
    for example in examples {
        let (code, overview, errors) = check(&example);
        assert_eq!(code, Some(0), "{example:?}: {errors}");
        std::fs::write(&copy, &overview).expect("written");
        let (code, again, errors) = check(&copy);
        assert_eq!(code, Some(0), "{example:?}: {errors}\n{overview}");
        assert_eq!(without_its_name(&again), without_its_name(&overview), "{example:?}");
    }
    std::fs::remove_file(copy).expect("removed");
}

#[test]
fn it_warns_where_stopping_takes_longer_than_the_grace_period() {
    let file = std::env::temp_dir().join(format!("sexton-grace-{}.toml", std::process::id()));
    let write = |grace: &str| {
        let text = format!(
            "grace_period = \"{grace}\"\n[program.db]\ncommand = \"a\"\n[program.web]\ncommand = \"b\"\nafter = {{ db = \"ready\" }}\n"
        );
        std::fs::write(&file, text).expect("written");
        check(&file).1
    };
    assert!(write("20s").contains("# warning: stopping may take 20s, and sexton has 19s for it"));
    assert!(!write("22s").contains("warning"));
    std::fs::remove_file(&file).expect("removed");
}

#[test]
fn a_bad_file_is_exit_code_100_and_a_line_for_each_error() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/bad/signals.toml");
    let (code, overview, errors) = check(&file);
    assert_eq!((code, overview.as_str()), (Some(100), ""));
    let name = file.display().to_string();
    assert!(errors.lines().count() > 1 && errors.lines().all(|line| line.starts_with(&name)), "{errors}");
}

/// Probes, hooks, sockets and a drain, with every way to say them.
const WEB: &str = r#"
[drain]
quiet = "2s"
ports = [8080, 9090]
loopback = true
ignore = ["10.0.0.7", "fd00::7"]

[health]
listen = ":9000"

[[step]]
name = "migrate"
command = "x"
timeout = "30s"
retries = 2

[[step]]
name = "warm"
command = "x"

[program.web]
command = "x"
sockets = { http = "[::]:8080", "Admin API (internal)" = "10.0.0.1:8081", "§" = ":8082", admin = "/run/$$(x) \"admin\".sock", local = "127.0.0.1:8083" }

[program.web.probe.startup]
exec = "check '$$(A) $$$$B \"c\"' --"
initial_delay_seconds = 2.5
failure_threshold = 30
termination_grace_period_seconds = 0.5

[program.web.probe.readiness]
http = { port = 8080, host = "::1", path = "/ready?$$(A)", headers = { X-A = "$$(B) \"c\"", "$x" = "" } }
success_threshold = 2

[program.web.probe.liveness]
grpc = { port = 9001, service = "web.$$(A)" }
timeout_seconds = 0.25

[program.web.hook.post_start]
sleep = "1500ms"

[program.web.hook.pre_stop]
http = { port = 8080 }
timeout = "7s"

[program.api]
command = "x"
probe.liveness.tcp = { port = 7000, host = "10.0.0.1" }
hook.pre_stop = { exec = ["sync", "a b"] }
hook.post_start.http = { port = 1 }
"#;

#[test]
fn probes_hooks_sockets_and_the_drain_are_printed_and_mean_the_same() {
    let (file, copy) = (written("web", WEB), written("web-again", ""));
    let (code, overview, errors) = check(&file);
    assert_eq!(code, Some(0), "{errors}");
    for line in [
        r#"delay = "2s""#,
        r#"readiness = "keep""#,
        "ports = [8080, 9090]",
        r#"ignore = ["10.0.0.7", "fd00::7"]"#,
        r#"listen = "[::]:9000""#,
        r#"exec = ["check", "$$(A) $$$$B \"c\"", "--"]"#,
        "initial_delay_seconds = 2.500",
        "termination_grace_period_seconds = 0.500",
        r#"http = { port = 8080, host = "::1", path = "/ready?$$(A)", headers = { "X-A" = "$$(B) \"c\"", "$x" = "" } }"#,
        r#"grpc = { port = 9001, service = "web.$$(A)" }"#,
        r#"sleep = "1500ms""#,
        r#"http = { port = 8080, host = "localhost", path = "/" }"#,
        r#"tcp = { port = 7000, host = "10.0.0.1" }"#,
        r#"exec = ["sync", "a b"]"#,
    ] {
        assert!(overview.lines().any(|printed| printed == line), "{line}\nis not in\n{overview}");
    }
    std::fs::write(&copy, &overview).expect("written");
    let (code, again, errors) = check(&copy);
    assert_eq!(code, Some(0), "{errors}\n{overview}");
    assert_eq!(without_its_name(&again), without_its_name(&overview));
    // The option is the delay; what else the file says of the drain stays.
    let (_, longer, _) = sexton(&["--drain", "4s", "check"], &file);
    assert_eq!(
        without_its_name(&longer).lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>(),
        without_its_name(&overview)
            .replace("delay = \"2s\"", "delay = \"4s\"")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect::<Vec<_>>()
    );
    for file in [file, copy] {
        std::fs::remove_file(file).expect("removed");
    }
}

#[test]
fn processes_of_one_program_share_its_sockets_and_say_so_once() {
    let file = written("shared", "[program.web]\ncommand = 'x'\nnumprocs = 3\nsockets = { http = ':80' }\n");
    let (_, overview, _) = check(&file);
    let all: Vec<&str> = overview.lines().filter(|line| line.contains("sockets = ")).collect();
    assert_eq!(all.len(), 3);
    assert_eq!(all.iter().filter(|line| !line.starts_with('#')).count(), 1, "{all:?}");
    std::fs::remove_file(file).expect("removed");
}

#[test]
fn a_stop_takes_the_drain_and_pre_stop_and_stopwaitsecs() {
    let text =
        "drain.delay = '3s'\n[program.web]\ncommand = 'x'\nstopwaitsecs = 20\nhook.pre_stop.sleep = '5s'\n";
    let file = written("pre-stop", text);
    let (_, overview, _) = check(&file);
    assert!(overview.contains("the longest stop: 28s"), "{overview}");
    let quiet =
        format!("grace_period = '1m'\n{}", text.replace("drain.delay", "drain.ports = [1]\ndrain.quiet"));
    std::fs::write(&file, &quiet).expect("written");
    assert!(!check(&file).1.contains("warning"));
    std::fs::write(&file, quiet.replace("grace_period", "#")).expect("written");
    assert!(check(&file).1.contains("# warning: a drain with `quiet`"));
    std::fs::remove_file(file).expect("removed");
}

#[test]
fn the_fragment_of_a_pod_has_what_the_file_says_and_names_that_ports_can_have() {
    let file = written("pod", WEB);
    let fragment = sexton(&["check", "--kubernetes"], &file).1;
    // A drain of 2s, of api pre_stop and stopwaitsecs, and the reserve.
    assert!(fragment.contains("\nterminationGracePeriodSeconds: 24\n"), "{fragment}");
    let ports: Vec<&str> =
        fragment.lines().skip_while(|line| *line != "    ports:").skip(1).take(10).collect();
    let expected = [
        (8080, "http"),
        (8081, "admin-api-inter"),
        (8082, "port-8082"),
        (9000, "health"),
        (9090, "port-9090"),
    ];
    let expected: Vec<String> = expected
        .iter()
        .flat_map(|(port, name)| [format!("      - containerPort: {port}"), format!("        name: {name}")])
        .collect();
    assert_eq!(ports, expected);
    // Three times 40s with waits of 2s each, 10 minutes for the other, then 1.5s, 2.5s and 30 times 10s for web.
    assert!(fragment.contains("may take 17m18s, and 1m00s are to spare"), "{fragment}");
    assert!(fragment.contains("# Step \"warm\" has no timeout: 10m00s is a guess."), "{fragment}");
    std::fs::write(&file, WEB.replace(":9000", "[::1]:9000")).expect("written");
    let fragment = sexton(&["--grace", "90s", "check", "--kubernetes"], &file).1;
    assert!(fragment.contains("\nterminationGracePeriodSeconds: 90\n"), "{fragment}");
    assert!(
        fragment.contains(r#"command: ["/sexton", "--health", "[::1]:9000", "probe", "readiness"]"#),
        "{fragment}"
    );
    assert!(!fragment.contains("containerPort: 9000"), "{fragment}");
    std::fs::remove_file(file).expect("removed");
}
