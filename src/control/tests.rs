use super::*;
use crate::event::{Pid, Sender};
use crate::notice::Notice;
use crate::outcome::{Cause, Refusal, Report, Sequel, Status};
use crate::plan::{Condition, ProgramId, Role};
use crate::snapshot::{Doing, Happening, Life, Probe};
use crate::time::Time;

fn at(seconds: u64) -> Time {
    Time::new(Duration::from_secs(seconds))
}

fn program(name: &str, state: &'static str) -> Program {
    Program {
        name: name.to_owned(),
        is_step: false,
        state,
        process: None,
        has_started: false,
        is_ready: false,
        is_essential: false,
        is_wanted: true,
        starts: 1,
        exits: Vec::new(),
        ended_at: None,
        last_end: None,
        doing: Doing::Nothing,
        is_stopped_by_hand: false,
        is_paused: false,
        probes: Vec::new(),
    }
}

fn running(name: &str, pid: i32, since: u64) -> Program {
    let process = Some((Pid(pid), at(since)));
    Program { process, has_started: true, is_ready: true, ..program(name, "RUNNING") }
}

fn ended(program: Program, status: Status, sequel: Sequel, since: u64, is_expected: bool) -> Program {
    let report = Report {
        id: ProgramId(0),
        program: program.name.clone(),
        cause: Cause::Ended {
            status,
            memory: None,
            by_us: None,
            failed: None,
            ran: Duration::from_millis(300),
        },
        sequel,
        is_expected,
        code: 1,
        stopped_by: None,
        held: None,
        uptime: Duration::ZERO,
    };
    Program { ended_at: Some(at(since)), last_end: Some(Box::new(report)), ..program }
}

fn snapshot(programs: Vec<Program>) -> Snapshot {
    Snapshot {
        now: at(7500),
        life: Life::Up,
        is_closing: false,
        held: None,
        holds: 0,
        held_until: None,
        holds_failures: false,
        culprit: None,
        stop: None,
        ends_at: None,
        programs,
        history: Vec::new(),
    }
}

/// One of each kind.
fn everything() -> Snapshot {
    let exited = Status::Exited;
    let waits = |in_vain: Option<&str>| Doing::Waits {
        on: "db".to_owned(),
        condition: Condition::Ready,
        in_vain: in_vain.map(str::to_owned),
    };
    let again = Doing::StartsAgain(at(7502), Some((2, 3)));
    let mut refused = ended(program("typo", "FATAL"), exited(127), Sequel::RetriesUsed(3, 3), 7000, false);
    if let Some(report) = &mut refused.last_end {
        let reason = "cannot execute `/no/such`: no such file".to_owned();
        report.cause = Cause::Refused(Refusal { code: 127, reason });
    }
    let readiness = Probe { role: Role::Readiness, is_success: Some(false), passed: 1, failed: 9, errors: 0 };
    snapshot(vec![
        Program {
            is_step: true,
            is_wanted: false,
            ..ended(program("migrate", "EXITED"), exited(0), Sequel::Nothing, 2, true)
        },
        running("db", 12, 3),
        Program {
            starts: 4,
            doing: again,
            ..ended(program("web", "BACKOFF"), exited(1), Sequel::Nothing, 7496, false)
        },
        Program { doing: waits(None), starts: 0, ..program("api", "STOPPED") },
        Program { doing: waits(Some("db")), starts: 0, ..program("sad", "STOPPED") },
        Program { starts: 0, is_wanted: false, ..program("idle", "STOPPED") },
        Program { is_stopped_by_hand: true, ended_at: Some(at(7400)), ..program("cron", "STOPPED") },
        Program { doing: Doing::Stops(Some(at(7508))), is_ready: false, ..running("old", 13, 4) },
        Program { is_ready: false, probes: vec![readiness], ..running("slow", 1234, 7499) },
        Program { is_paused: true, ..running("asleep", 15, 7440) },
        refused,
    ])
}

fn request(target: &str) -> Request {
    let method = if target.contains("status") || target.contains("explain") { "GET" } else { "POST" };
    read(format!("{method} {target} HTTP/1.1\r\n\r\n").as_bytes()).expect("whole").expect("understood")
}

/// The status, the exit code and the body.
fn parts(answer: Vec<u8>) -> (String, String, String) {
    let text = String::from_utf8(answer).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let code = head.lines().find_map(|line| line.strip_prefix("Sexton-Exit-Code: ")).expect("a code");
    (head.split(' ').nth(1).expect("a status").to_owned(), code.to_owned(), body.to_owned())
}

fn told(target: &str, snapshot: &Snapshot) -> (String, String, String) {
    let here = Here { wall: Duration::from_secs(1_700_000_000), pid: 1 };
    parts(answer(&request(target), snapshot, &here))
}

fn assert_narrow(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
        assert_eq!(line.trim_end(), line);
    }
}

#[test]
fn the_table_has_80_columns_and_says_what_matters() {
    let (status, code, text) = told("/v1/status?format=text", &everything());
    assert_eq!((status.as_str(), code.as_str()), ("200", "3"));
    assert_eq!(
        text,
        "\
NAME     STATE       PID  UPTIME  RESTARTS  READY
db       RUNNING      12   2h04m         0  yes
web      BACKOFF       -       -         3  -
         exited with code 1 4s ago; again in 2s (2 of 3)
api      STOPPED       -       -         0  -      waits for db to be ready
sad      STOPPED       -       -         0  -
         waits for db to be ready, in vain: db has ended for good
idle     STOPPED       -       -         0  -
         starts when somebody starts it
cron     STOPPED       -       -         0  -
         stopped by an operator 1m40s ago
old      RUNNING      13   2h04m         0  no     told to stop; SIGKILL in 8s
slow     RUNNING    1234      1s         0  no
         not ready: its readiness probe fails
asleep   RUNNING      15   1m00s         0  yes
         stopped by a signal; SIGCONT continues it
typo     FATAL         -       -         0  -
         cannot execute `/no/such`: no such file (unexpected); 3 of 3 retries
         used
migrate  EXITED        -       -         0  -      step, done 2h04m ago
"
    );
    assert_narrow(&text);
}

#[test]
fn names_narrow_it_and_the_exit_code_is_supervisorctls() {
    let container = everything();
    for (names, status, code) in [
        ("name=db", "200", "0"),
        ("name=web", "200", "0"),
        ("name=api&name=migrate", "200", "0"),
        ("name=sad", "200", "3"),
        ("name=idle", "200", "3"),
        ("name=typo", "200", "3"),
        ("name=d*&name=nope", "200", "4"),
        ("name=nope", "404", "4"),
        ("name=n*", "404", "4"),
        ("name=all", "200", "3"),
    ] {
        let said = told(&format!("/v1/status?format=text&{names}"), &container);
        assert_eq!((said.0.as_str(), said.1.as_str()), (status, code), "{names}: {}", said.2);
        let json = told(&format!("/v1/status?{names}"), &container);
        assert_eq!((json.0, json.1), (said.0, said.1), "{names}");
    }
    let text = told("/v1/status?format=text&name=d*&name=nope", &container).2;
    assert!(text.ends_with("yes\nnope: ERROR (no such program)\n"), "{text}");
    assert_eq!(told("/v1/status?format=text&name=nope", &container).2, "nope: ERROR (no such program)\n");
}

#[test]
fn a_line_above_says_where_the_container_is() {
    let web = ended(program("web", "EXITED"), Status::Exited(7), Sequel::Nothing, 7308, false);
    let held = Snapshot {
        life: Life::Holding,
        held: Some(Duration::from_secs(192)),
        held_until: Some(at(10_000)),
        culprit: Some("web".to_owned()),
        ..snapshot(vec![web])
    };
    let first = |snapshot: &Snapshot| {
        let text = told("/v1/status?format=text", snapshot).2;
        assert_narrow(&text);
        text.lines().next().expect("a line").to_owned()
    };
    assert_eq!(first(&held), "held for 3m12s: web exited with code 7; release: sexton release [--restart]");
    let explained = told("/v1/explain?format=text", &held).2;
    assert!(explained.contains("\n  The hold ends by itself in 41m40s.\n"), "{explained}");
    let stop = Some((Signal::TERM, Sender { pid: 0, uid: 0, value: None }, at(7496)));
    let stopping = Snapshot {
        life: Life::Stopping,
        stop,
        ends_at: Some(at(7525)),
        ..snapshot(vec![running("a", 1, 0)])
    };
    assert_eq!(first(&stopping), "stopping for 4s (SIGTERM from outside the container), SIGKILL in 25s");
    let draining = Snapshot { life: Life::Draining, ..stopping };
    assert_eq!(
        first(&draining),
        "draining for 4s (SIGTERM from outside the container), programs are told to stop"
    );
}

#[test]
fn the_story_is_told_with_the_logs_own_words() {
    let mut container = everything();
    container.holds_failures = true;
    container.programs[1].is_essential = true;
    let started = |name: &str| Notice::Started { program: name.to_owned(), pid: Pid(7) };
    let report = container.programs[2].last_end.clone().expect("an end");
    let report =
        Report { sequel: Sequel::Restart { after: Duration::from_secs(2), retry: Some((2, 3)) }, ..*report };
    container.history = [(0, started("db")), (7300, started("web")), (7496, Notice::Ended(Box::new(report)))]
        .map(|(seconds, notice)| Happening {
            at: at(seconds),
            level: notice.level(),
            program: notice.program().map(str::to_owned),
            culprit: None,
            text: notice.to_string(),
        })
        .to_vec();
    let text = told("/v1/explain?format=text", &container).2;
    let expected = "\
2023-11-14 (UTC)
20:08:20   2h05m ago  db: started as process 7
22:10:00   3m20s ago  web: started as process 7
22:13:16      4s ago  web: exited with code 1 after 0.3s (unexpected);
                      restarting in 2.0s (2 of 3)

NOW (22:13:20 UTC)
  The container has been up for 2h05m.
  web is BACKOFF: exited with code 1 4s ago; again in 2s (2 of 3).
  api is STOPPED: waits for db to be ready.
";
    assert!(text.starts_with(expected), "{text}");
    assert!(
        text.contains("  slow is RUNNING as process 1234 for 1s, not ready: its readiness probe fails.\n")
    );
    let end = "  1 more program is RUNNING and ready, 1 more step is done.
  The container ends with db; a failure is held.\n";
    assert!(text.ends_with(end), "{text}");
    assert_narrow(&text);
    let text = told("/v1/explain?format=text&name=web", &container).2;
    assert!(!text.contains("db: started") && text.contains("web: started"), "{text}");
    assert!(text.ends_with("again in 2s (2 of 3).\n"), "{text}");
}

#[test]
fn what_others_wrote_steers_no_terminal_and_breaks_no_json() {
    let mut typo = everything().programs.remove(10);
    if let Some(report) = &mut typo.last_end {
        let reason = "cannot \u{1b}[2J\r\n\"x\\".to_owned();
        report.cause = Cause::Refused(Refusal { code: 127, reason });
    }
    let container = snapshot(vec![typo]);
    let text = told("/v1/status?format=text", &container).2;
    assert!(text.contains("cannot \\u{1b}[2J \"x\\ (unexpected)"), "{text}");
    let json = told("/v1/status", &container).2;
    assert!(
        json.contains(r#""text":"cannot \u001b[2J\u000d\n\"x\\ (unexpected); 3 of 3 retries used""#),
        "{json}"
    );
}

#[test]
fn json_has_every_field() {
    let mut container = everything();
    container.programs.truncate(4);
    container.programs.drain(..2);
    let json = told("/v1/status", &container).2;
    let expected = r#"{"version":"VERSION","pid":1,"now":"2023-11-14T22:13:20Z","container":{"state":"up","started_at":"2023-11-14T20:08:20Z","uptime_seconds":7500.000,"hold":false,"held_for_seconds":null,"held_until":null,"holds":0,"culprit":null,"stop":null,"ends_at":null},"programs":[{"name":"web","kind":"program","state":"BACKOFF","pid":null,"uptime_seconds":null,"started_at":null,"starts":4,"restarts":3,"started":false,"ready":false,"essential":false,"paused":false,"stopped_by_operator":false,"last_exit":{"code":1,"signal":null,"core":false,"at":"2023-11-14T22:13:16Z","ran_seconds":0.300,"expected":false,"given_up":false,"text":"exited with code 1 after 0.3s (unexpected)"},"next":{"what":"start","at":"2023-11-14T22:13:22Z","in_seconds":2.000,"retry":2,"of":3},"waits_for":null,"probes":[],"text":"exited with code 1 4s ago; again in 2s (2 of 3)"},{"name":"api","kind":"program","state":"STOPPED","pid":null,"uptime_seconds":null,"started_at":null,"starts":0,"restarts":0,"started":false,"ready":false,"essential":false,"paused":false,"stopped_by_operator":false,"last_exit":null,"next":null,"waits_for":{"program":"db","condition":"ready","in_vain_for":null},"probes":[],"text":"waits for db to be ready"}]}"#;
    assert_eq!(json, expected.replace("VERSION", env!("CARGO_PKG_VERSION")) + "\n");
}

#[test]
fn a_reply_is_supervisorctls_line() {
    let said = |word, text: &str| Said::of("web".to_owned(), word, text);
    let reply = |results: Vec<Said>| Reply { results };
    let failed = "exited with code 3 after 0.3s (unexpected); restarting in 1.0s (1 of 3)";
    for (results, status, code, line) in [
        (vec![said(Word::Started, "")], "200", "0", "web: started\n".to_owned()),
        (
            vec![said(Word::Waits, "for db to be ready")],
            "200",
            "7",
            "web: waits for db to be ready\n".to_owned(),
        ),
        (vec![said(Word::NobodyThere, "")], "200", "7", "web: ERROR (not running)\n".to_owned()),
        (vec![said(Word::Failed, failed)], "200", "7", format!("web: ERROR (failed): {failed}\n")),
        (vec![said(Word::NoSuchProgram, "")], "404", "1", "web: ERROR (no such program)\n".to_owned()),
        (
            vec![said(Word::NoSuchProgram, ""), said(Word::Stopped, "")],
            "200",
            "1",
            "web: ERROR (no such program)\nweb: stopped\n".to_owned(),
        ),
    ] {
        let asked = request("/v1/start?name=web&format=text");
        let got = parts(super::reply(&asked, &reply(results)));
        assert_eq!(got, (status.to_owned(), code.to_owned(), line));
    }
    let refused = Reply::whole(Word::Refused, "the container is not held");
    let asked = request("/v1/release?format=text");
    assert_eq!(
        parts(super::reply(&asked, &refused)),
        ("409".to_owned(), "1".to_owned(), "ERROR: the container is not held\n".to_owned())
    );
    let asked = request("/v1/release");
    let json = r#"{"exit_code":1,"results":[{"program":null,"ok":false,"result":"refused","text":"the container is not held"}]}"#;
    assert_eq!(parts(super::reply(&asked, &refused)).2, json.to_owned() + "\n");
}

#[test]
fn a_command_comes_in_the_query_or_as_a_form() {
    let programs = |verb, names: &[&str], dependents| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        What::Command(Command::Programs { verb, names, dependents })
    };
    let asked = |text: &str| read(text.as_bytes()).expect("whole").map(|request| request.what).map_err(parts);
    let post = |target: &str, body: &str| {
        let length = body.len();
        asked(&format!("POST {target} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{body}and more"))
    };
    assert_eq!(post("/v1/start", "name=a%20b&name=c"), Ok(programs(Verb::Start, &["a b", "c"], false)));
    assert_eq!(post("/v1/stop?name=a", "dependents=true"), Ok(programs(Verb::Stop, &["a"], true)));
    assert_eq!(
        post("/v1/signal?signal=USR1", "name=a"),
        Ok(programs(Verb::Signal("USR1".parse().expect("one")), &["a"], false))
    );
    assert_eq!(post("http://x/v1/reload", ""), Ok(What::Command(Command::Reload)));
    assert_eq!(post("/v1/hold/on", ""), Ok(What::Command(Command::Hold(true))));
    assert_eq!(post("/v1/hold", "on=false"), Ok(What::Command(Command::Hold(false))));
    assert_eq!(post("/v1/release?restart", ""), Ok(What::Command(Command::Release { restart: true })));
    let logs = Logs { names: vec!["web".to_owned()], lines: 5, follow: true };
    assert_eq!(asked("GET /v1/logs?program=web&lines=5&follow=1 HTTP/1.1\r\n\r\n"), Ok(What::Logs(logs)));
    // Half of a body is not the end.
    assert_eq!(read(b"POST /v1/start HTTP/1.1\r\nContent-Length: 6\r\n\r\nname="), None);
}

#[test]
fn what_cannot_be_understood_is_refused_in_words() {
    let long = format!("GET /v1/status?name={} HTTP/1.1\r\n\r\n", "x".repeat(LONGEST_HEAD));
    for (text, status, complaint) in [
        ("hello\n", "400", "this is no HTTP request"),
        ("\x16\x03\x01\x02", "400", "this is no HTTP request"),
        (&long, "431", "the head is too long"),
        ("GET /v2 HTTP/1.1\r\n\r\n", "404", "there is no such path; did you mean `/v1`?"),
        ("GET /v1/statsu HTTP/1.1\r\n\r\n", "404", "there is no such path; did you mean `/v1/status`?"),
        ("GET /metrics HTTP/1.1\r\n\r\n", "404", "there is no such path; `/v1` lists them"),
        ("POST /v1/status HTTP/1.1\r\n\r\n", "405", "/v1/status takes GET only"),
        ("DELETE /v1/stop HTTP/1.1\r\n\r\n", "405", "/v1/stop takes POST only"),
        ("BREW /v1/stop HTTP/1.1\r\n\r\n", "501", "there is no such method"),
        (
            "POST /v1/stop HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "411",
            "the body has to come whole, with its Content-Length",
        ),
        ("POST /v1/stop HTTP/1.1\r\nContent-Length: 8193\r\n\r\n", "413", "the body may have 8 KiB at most"),
        (
            "POST /v1/stop HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            "413",
            "the body may have 8 KiB at most",
        ),
        (
            "POST /v1/stop HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "400",
            "its Content-Length cannot be understood",
        ),
        (
            "POST /v1/stop HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            "400",
            "its Content-Length cannot be understood",
        ),
        (
            "POST /v1/stop HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            "400",
            "the body has to be a form, such as `name=web&dependents=true`",
        ),
        (
            "POST /v1/stop HTTP/1.1\r\n\r\n",
            "400",
            "`name` is missing: expected the name of a program, or `all`",
        ),
        ("POST /v1/hold HTTP/1.1\r\n\r\n", "400", "`on` is missing: expected `true` or `false`"),
        (
            "POST /v1/hold?on=maybe HTTP/1.1\r\n\r\n",
            "400",
            "cannot read `on`: expected `true` or `false`, got `maybe`",
        ),
        (
            "POST /v1/signal?name=a&signal=TREM HTTP/1.1\r\n\r\n",
            "400",
            "cannot read `signal`: expected a signal such as `TERM`, `15` or `RTMIN+3`, got `TREM`",
        ),
        (
            "GET /v1/logs?lines=-1 HTTP/1.1\r\n\r\n",
            "400",
            "cannot read `lines`: expected a number of lines, got `-1`",
        ),
        (
            "POST /v1/stop?nmae=a HTTP/1.1\r\n\r\n",
            "400",
            "unknown parameter `nmae`; /v1/stop understands name, dependents, format",
        ),
        (
            "GET /v1/status?format=xml HTTP/1.1\r\n\r\n",
            "400",
            "cannot read `format`: expected `json` or `text`, got `xml`",
        ),
    ] {
        let answer = read(text.as_bytes()).expect("an answer").expect_err("refused");
        assert_eq!(parts(answer), (status.to_owned(), "1".to_owned(), format!("{complaint}\n")), "{text:?}");
    }
    // However it is cut, it means the same.
    for text in
        [&long, "POST /v1/stop?name=a HTTP/1.1\r\nContent-Length: 3\r\n\r\nx=1", "BREW / HTTP/1.1\r\n\r\n"]
    {
        let whole = read(text.as_bytes());
        for end in 0..text.len() {
            let cut = read(&text.as_bytes()[..end]);
            assert!(cut.is_none() || cut == whole, "{text:?} cut at {end}");
        }
    }
}

#[test]
fn the_list_of_paths_is_the_first_page() {
    for path in ["/", "/v1", "/v1/"] {
        let answer =
            read(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).expect("whole").expect_err("a list");
        let text = String::from_utf8(answer).expect("text");
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("\nPOST /v1/stop?name=&dependents= ")
        );
        assert_narrow(text.split_once("\r\n\r\n").expect("a body").1);
    }
}

#[test]
fn last_lines_stand_by_program_and_stream() {
    let asked = |names: &str| {
        read(format!("GET /v1/logs?{names} HTTP/1.1\r\n\r\n").as_bytes()).expect("whole").expect("understood")
    };
    let shown = |lines, kept: &[(&str, &str, &str)]| {
        let kept: Vec<(String, [Vec<u8>; 2])> = kept
            .iter()
            .map(|(name, out, err)| ((*name).to_owned(), [out.as_bytes().to_vec(), err.as_bytes().to_vec()]))
            .collect();
        parts(logs(&asked(""), lines, &kept)).2
    };
    assert_eq!(shown(2, &[("web", "1\n2\n3\n", "")]), "2\n3\n");
    assert_eq!(shown(1, &[("web", "1\n2\n3", "")]), "3\n");
    assert_eq!(shown(0, &[("web", "1\n", "2\n")]), "");
    assert_eq!(shown(9, &[("web", "1\n", "2\n")]), "==> web stdout <==\n1\n==> web stderr <==\n2\n");
    assert_eq!(shown(9, &[("web", "", "2\n"), ("db", "\n3\n", "")]), "web | 2\ndb | \ndb | 3\n");
}
