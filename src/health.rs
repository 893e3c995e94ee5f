//! What is asked about our health over HTTP, and what is answered: `/livez`, `/readyz`, `/startupz` and `/healthz` as
//! kube-apiserver has them, and `/metrics` for Prometheus.
//!
//! Bytes in, bytes out: who carries them is `linux/health.rs`.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use crate::outcome::Status;
use crate::plan::Role;
use crate::snapshot::{Life, Probe, Program, STATES, Snapshot};
use crate::time::Exact;

/// The longest head of a request that is read, in bytes.
pub const LONGEST: usize = 4096;
/// The most headers.
const HEADERS: usize = 32;

pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";
/// Prometheus refuses what does not say what it is.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A question that needs an answer of the supervisor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    page: Page,
    /// The answer's head is enough.
    is_head: bool,
    /// What follows the page's own path: nothing, or a slash and the name of a check.
    rest: String,
    /// What follows the question mark.
    query: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Live,
    Ready,
    Startup,
    /// The old name of what is alive.
    Healthz,
    Metrics,
}

impl Page {
    const ALL: [Page; 5] = [Page::Live, Page::Ready, Page::Startup, Page::Healthz, Page::Metrics];

    fn name(self) -> &'static str {
        match self {
            Page::Live => "livez",
            Page::Ready => "readyz",
            Page::Startup => "startupz",
            Page::Healthz => "healthz",
            Page::Metrics => "metrics",
        }
    }
}

/// What the kernel knows beyond the snapshot; None is what it does not say here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// When we were started, since 1970.
    pub started_at: Duration,
    /// Processes that we have reaped and not started.
    pub strays_reaped: u64,
    /// Processes of the container that were killed for want of memory.
    pub oom_kills: Option<u64>,
    /// The memory in use, in bytes.
    pub memory: Option<u64>,
    /// Its limit.
    pub memory_limit: Option<u64>,
    /// The most that has been in use.
    pub memory_peak: Option<u64>,
    /// CPU time that was used.
    pub cpu: Option<Duration>,
    /// CPU time that may be used in a second.
    pub cpu_limit: Option<Duration>,
    /// Time for which the limit kept the container from running.
    pub cpu_throttled: Option<Duration>,
    /// Periods for which the limit was counted.
    pub cpu_periods: Option<u64>,
    /// Those of them in which it was reached.
    pub cpu_throttled_periods: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// How many there may be.
    pub pids_limit: Option<u64>,
    /// CPU time that we have used ourselves.
    pub own_cpu: Option<Duration>,
    /// The memory that we use ourselves, in bytes.
    pub own_memory: Option<u64>,
}

// --- reading

/// Reads the head of a request from its first bytes on; None where the end of it is still to come. The error is the
/// whole answer to what is no question for the supervisor.
///
/// # Errors
/// Where it is malformed or too long, or asks for what we do not have.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Result<Request, Vec<u8>>> {
    let head = &bytes[..bytes.len().min(LONGEST)];
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if head.len() < LONGEST => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Err(refusal("431 Request Header Fields Too Large", false)));
        }
        Err(_) => return Some(Err(refusal("400 Bad Request", false))),
    }
    let is_head = match parsed.method {
        Some("GET") => false,
        Some("HEAD") => true,
        Some(_) | None => return Some(Err(refusal("405 Method Not Allowed", false))),
    };
    let (path, query) = split(parsed.path.unwrap_or_default());
    let page = Page::ALL.into_iter().find_map(|page| {
        let rest = path.strip_prefix('/')?.strip_prefix(page.name())?;
        let is_its_own = rest.is_empty() || rest.starts_with('/') && page != Page::Metrics;
        is_its_own.then(|| Request { page, is_head, rest: rest.to_owned(), query: query.to_owned() })
    });
    Some(page.ok_or_else(|| refusal("404 Not Found", is_head)))
}

/// The path and the query of a target, which may name the server too, as one sends it to a proxy.
pub(crate) fn split(target: &str) -> (&str, &str) {
    let path = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find(['/', '?']).map_or("", |at| &rest[at..])
        }
        Some(_) | None => target,
    };
    path.split_once('?').unwrap_or((path, ""))
}

/// Undoes percent-encoding; None where it is none.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let [first, after @ ..] = rest {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => (digit(*high)? << 4 | digit(*low)?, after),
            (b'%', _) => return None,
            (byte, after) => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// The names and values of a query; what cannot be decoded counts as not there, as in Go.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(name), Some(value)) = (decode(name), decode(&value.replace('+', " "))) {
            pairs.push((name, value));
        }
    }
    pairs
}

// --- answering

/// The answer, from its first byte to its last. The figures are asked for only where they are wanted.
#[must_use]
pub fn answer(request: &Request, snapshot: &Snapshot, figures: impl FnOnce() -> Figures) -> Vec<u8> {
    let is_head = request.is_head;
    if request.page == Page::Metrics {
        return response("200 OK", METRICS, "", &metrics(snapshot, &figures()), is_head);
    }
    let checks = checks(request.page, snapshot);
    let (is_passed, body) = match request.rest.strip_prefix('/') {
        None => all(request, &checks),
        Some(name) => {
            let name = decode(name);
            let found = checks.iter().find(|(known, _)| Some(*known) == name.as_deref());
            let Some((_, is_passed)) = found else { return refusal("404 Not Found", is_head) };
            let body = if *is_passed { "ok" } else { "internal server error: reason withheld\n" };
            (*is_passed, body.to_owned())
        }
    };
    response(if is_passed { "200 OK" } else { "500 Internal Server Error" }, PLAIN, "", &body, is_head)
}

/// The checks of a page, by name, and whether they pass.
fn checks(page: Page, snapshot: &Snapshot) -> Vec<(&str, bool)> {
    let mut checks = vec![("ping", true)];
    let programs = snapshot.programs.iter();
    match page {
        Page::Live | Page::Healthz | Page::Metrics => {} // who answers is alive, held or not
        Page::Ready => {
            let is_held = snapshot.held.is_some();
            checks.extend([("hold", !is_held), ("shutdown", is_held || !snapshot.is_closing)]);
            let wanted = programs.filter(|program| program.is_wanted && !program.is_step);
            checks.extend(wanted.map(|program| (program.name.as_str(), program.is_ready)));
        }
        Page::Startup if snapshot.held.is_some() => {} // or a kubelet would end the hold
        Page::Startup => {
            let wanted = programs.filter(|program| program.is_wanted || program.is_step);
            checks.extend(wanted.map(|program| (program.name.as_str(), program.has_started)));
        }
    }
    checks
}

/// The answer to a page of checks: whether all pass, and the body.
fn all(request: &Request, checks: &[(&str, bool)]) -> (bool, String) {
    let (mut excluded, mut is_verbose) = (Vec::new(), false);
    for (name, value) in pairs(&request.query) {
        match name.as_str() {
            "exclude" => excluded.push((value, false)),
            "verbose" => is_verbose = true,
            _ => {}
        }
    }
    excluded.sort_unstable();
    excluded.dedup();
    let (mut is_passed, mut lines) = (true, String::new());
    for (name, passes) in checks {
        let (sign, verdict) = match excluded.binary_search_by(|(other, _)| other.as_str().cmp(name)) {
            Ok(place) => {
                excluded[place].1 = true;
                ('+', "excluded: ok")
            }
            Err(_) if *passes => ('+', "ok"),
            Err(_) => ('-', "failed: reason withheld"),
        };
        is_passed &= sign == '+';
        put(&mut lines, format_args!("[{sign}]{name} {verdict}\n"));
    }
    let mut before = "warn: some health checks cannot be excluded: no matches for ";
    for (name, _) in excluded.iter().filter(|(_, is_known)| !is_known) {
        put(&mut lines, format_args!("{before}{name:?}"));
        before = ",";
    }
    if before == "," {
        lines.push('\n');
    }
    if is_passed && !is_verbose {
        return (true, "ok".to_owned());
    }
    let verdict = if is_passed { "passed" } else { "failed" };
    put(&mut lines, format_args!("{} check {verdict}\n", request.page.name()));
    (is_passed, lines)
}

/// The answer that is no more than its status.
fn refusal(status: &str, is_head: bool) -> Vec<u8> {
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    response(status, PLAIN, allow, &format!("{status}\n"), is_head)
}

/// A whole answer, with more headers of its own.
pub(crate) fn response(status: &str, kind: &str, headers: &str, body: &str, is_head: bool) -> Vec<u8> {
    let mut text = head(status, kind, headers, Some(body.len()));
    if !is_head {
        text.push_str(body);
    }
    text.into_bytes()
}

/// What stands in front of an answer's body; without a length it ends with the connection.
pub(crate) fn head(status: &str, kind: &str, headers: &str, length: Option<usize>) -> String {
    let mut text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nX-Content-Type-Options: nosniff\r\n\
         Cache-Control: no-cache, private\r\n{headers}"
    );
    if let Some(length) = length {
        put(&mut text, format_args!("Content-Length: {length}\r\n"));
    }
    text.push_str("Connection: close\r\n\r\n");
    text
}

pub(crate) fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what); // a String takes everything
}

// --- metrics

/// The value of a sample. No fractions but those of seconds, so that nothing has to write a floating-point number.
#[derive(Clone, Copy)]
enum Value {
    Count(u64),
    Seconds(Duration),
}

impl From<bool> for Value {
    fn from(is: bool) -> Value {
        Value::Count(u64::from(is))
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Count(count) => write!(f, "{count}"),
            Value::Seconds(span) => Exact(*span).fmt(f),
        }
    }
}

/// What goes up only.
const COUNTER: &str = "counter";
/// What goes up and down.
const GAUGE: &str = "gauge";

/// Prometheus' text format, 0.0.4, one family of samples after the other.
#[derive(Default)]
struct Families {
    text: String,
    name: &'static str,
    /// The kind and the meaning, until the first sample is written: a family without one is not there.
    header: Option<(&'static str, &'static str)>,
}

impl Families {
    /// Begins a family; every name gets our prefix.
    fn family(&mut self, name: &'static str, kind: &'static str, help: &'static str) {
        self.name = name;
        self.header = Some((kind, help));
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: Value) {
        let Families { text, name, header } = self;
        if let Some((kind, help)) = header.take() {
            put(text, format_args!("# HELP sexton_{name} {help}\n# TYPE sexton_{name} {kind}\n"));
        }
        text.push_str("sexton_");
        text.push_str(name);
        let mut before = "{";
        for (label, value) in labels {
            text.push_str(before);
            text.push_str(label);
            text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    c => text.push(c),
                }
            }
            text.push('"');
            before = ",";
        }
        text.push_str(if labels.is_empty() { " " } else { "} " });
        put(text, format_args!("{value}\n"));
    }

    /// A family with one sample for each of these words, 1 for the word that is true and 0 for the others.
    fn states(&mut self, label: &str, program: Option<&str>, words: &[&str], is: &str) {
        for word in words {
            let value = Value::from(*word == is);
            match program {
                Some(program) => {
                    self.sample(&[("program", program), (label, &word.to_ascii_lowercase())], value);
                }
                None => self.sample(&[(label, word)], value),
            }
        }
    }
}

fn metrics(snapshot: &Snapshot, figures: &Figures) -> String {
    let (count, seconds) =
        (|value: Option<u64>| value.map(Value::Count), |value: Option<Duration>| value.map(Value::Seconds));
    let mut out = Families::default();
    out.family("info", GAUGE, "Which sexton this is.");
    out.sample(&[("version", env!("CARGO_PKG_VERSION"))], Value::Count(1));
    out.family("phase", GAUGE, "Where the container is in its life.");
    let phase = match snapshot.life {
        Life::Up => "up",
        Life::Draining => "draining",
        Life::Stopping => "stopping",
        Life::Holding => "holding",
    };
    out.states("phase", None, &["up", "draining", "stopping", "holding"], phase);
    let ones = [
        (
            "start_time_seconds",
            GAUGE,
            "When sexton was started, since 1970.",
            seconds(Some(figures.started_at)),
        ),
        (
            "holding",
            GAUGE,
            "The container is held open after a failure.",
            Some(snapshot.held.is_some().into()),
        ),
        ("holds_total", COUNTER, "How often it was held.", Some(Value::Count(snapshot.holds))),
        (
            "strays_reaped_total",
            COUNTER,
            "Processes reaped that sexton did not start.",
            Some(Value::Count(figures.strays_reaped)),
        ),
        (
            "oom_kills_total",
            COUNTER,
            "Processes of the container killed for want of memory.",
            count(figures.oom_kills),
        ),
        ("cpu_seconds_total", COUNTER, "CPU time that sexton itself has used.", seconds(figures.own_cpu)),
        ("resident_memory_bytes", GAUGE, "Memory that sexton itself has in use.", count(figures.own_memory)),
        ("cgroup_memory_usage_bytes", GAUGE, "Memory that the container has in use.", count(figures.memory)),
        ("cgroup_memory_limit_bytes", GAUGE, "The container's memory limit.", count(figures.memory_limit)),
        ("cgroup_memory_peak_bytes", GAUGE, "The most memory it has had in use.", count(figures.memory_peak)),
        (
            "cgroup_cpu_usage_seconds_total",
            COUNTER,
            "CPU time that the container has used.",
            seconds(figures.cpu),
        ),
        (
            "cgroup_cpu_limit_cores",
            GAUGE,
            "CPU time that it may use in a second.",
            seconds(figures.cpu_limit),
        ),
        (
            "cgroup_cpu_throttled_seconds_total",
            COUNTER,
            "Time for which the limit kept it from running.",
            seconds(figures.cpu_throttled),
        ),
        (
            "cgroup_cpu_periods_total",
            COUNTER,
            "Periods for which the limit was counted.",
            count(figures.cpu_periods),
        ),
        (
            "cgroup_cpu_throttled_periods_total",
            COUNTER,
            "Periods in which the limit was reached.",
            count(figures.cpu_throttled_periods),
        ),
        ("cgroup_pids", GAUGE, "Processes and threads in the container.", count(figures.pids)),
        ("cgroup_pids_limit", GAUGE, "How many there may be.", count(figures.pids_limit)),
    ];
    for (name, kind, help, value) in ones {
        out.family(name, kind, help);
        if let Some(value) = value {
            out.sample(&[], value);
        }
    }
    programs(&mut out, &snapshot.programs, figures.started_at);
    out.text
}

/// What one program says of itself in a family; times are to be added to when we were started.
type Figure = fn(&Program, Duration) -> Option<Value>;

fn programs(out: &mut Families, programs: &[Program], started_at: Duration) {
    out.family("program_state", GAUGE, "The program's state, in Supervisor's words.");
    for program in programs {
        out.states("state", Some(&program.name), &STATES, program.state);
    }
    let each: [(&str, &str, &str, Figure); 5] = [
        ("program_ready", GAUGE, "The program is ready.", |program, _| Some(program.is_ready.into())),
        ("program_started", GAUGE, "The program has been up once; a step has succeeded.", |program, _| {
            Some(program.has_started.into())
        }),
        (
            "program_start_time_seconds",
            GAUGE,
            "When its process was started, since 1970.",
            |program, started_at| {
                program
                    .process
                    .map(|(_, since)| Value::Seconds(started_at.saturating_add(since.since_start())))
            },
        ),
        ("program_starts_total", COUNTER, "How many processes of it were started.", |program, _| {
            Some(Value::Count(program.starts))
        }),
        (
            "program_last_exit_timestamp_seconds",
            GAUGE,
            "When the last of them ended, since 1970.",
            |program, started_at| {
                program.ended_at.map(|at| Value::Seconds(started_at.saturating_add(at.since_start())))
            },
        ),
    ];
    for (name, kind, help, value) in each {
        out.family(name, kind, help);
        for program in programs {
            if let Some(value) = value(program, started_at) {
                out.sample(&[("program", &program.name)], value);
            }
        }
    }
    out.family("program_exits_total", COUNTER, "How its processes ended, by exit code or signal.");
    for program in programs {
        exits(out, program);
    }
    out.family("probe_success", GAUGE, "What the probe last decided.");
    for (program, probe) in probes(programs) {
        if let Some(is_success) = probe.is_success {
            out.sample(&[("program", program), ("probe", word(probe.role))], is_success.into());
        }
    }
    out.family("probe_total", COUNTER, "Attempts of the probe, by what came of them.");
    for (program, probe) in probes(programs) {
        for (result, count) in [("success", probe.passed), ("failure", probe.failed), ("error", probe.errors)]
        {
            let labels = [("program", program), ("probe", word(probe.role)), ("result", result)];
            out.sample(&labels, Value::Count(count));
        }
    }
}

fn probes(programs: &[Program]) -> impl Iterator<Item = (&str, &Probe)> {
    programs.iter().flat_map(|program| program.probes.iter().map(|probe| (program.name.as_str(), probe)))
}

/// `startup` of `startup probe`.
pub(crate) fn word(role: Role) -> &'static str {
    role.name().split(' ').next().unwrap_or_default()
}

fn exits(out: &mut Families, program: &Program) {
    // Whether memory was dumped is no matter here: both are one sample.
    let plain = |status: Status| match status {
        Status::Exited(_) => status,
        Status::Killed { signal, .. } => Status::Killed { signal, core: false },
    };
    for (place, (status, _)) in program.exits.iter().enumerate() {
        let status = plain(*status);
        if program.exits[..place].iter().any(|(other, _)| plain(*other) == status) {
            continue;
        }
        let same = program.exits.iter().filter(|(other, _)| plain(*other) == status);
        let count = same.fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
        let (kind, value) = match status {
            Status::Exited(code) => ("code", code.to_string()),
            Status::Killed { signal, .. } => ("signal", signal.to_string()),
        };
        let labels = [("program", program.name.as_str()), ("kind", kind), ("value", &value)];
        out.sample(&labels, Value::Count(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Pid;
    use crate::signal::Signal;
    use crate::snapshot::Doing;
    use crate::time::Time;

    fn at(milliseconds: u64) -> Time {
        Time::new(Duration::from_millis(milliseconds))
    }

    fn program(name: &str) -> Program {
        Program {
            name: name.to_owned(),
            is_step: false,
            state: "RUNNING",
            process: Some((Pid(7), at(250))),
            has_started: true,
            is_ready: true,
            is_wanted: true,
            is_essential: false,
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

    fn snapshot(programs: Vec<Program>) -> Snapshot {
        Snapshot {
            now: at(5000),
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

    fn read_text(text: &str) -> Result<Request, String> {
        read(text.as_bytes())
            .expect("a whole head")
            .map_err(|answer| String::from_utf8(answer).expect("text"))
    }

    /// The status and the body that a GET request gets.
    fn get(target: &str, snapshot: &Snapshot) -> (String, String) {
        let text = match read_text(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")) {
            Ok(request) => String::from_utf8(answer(&request, snapshot, Figures::default)).expect("text"),
            Err(text) => text,
        };
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{text}");
        (head.split(' ').nth(1).expect("a code").to_owned(), body.to_owned())
    }

    fn code(target: &str, snapshot: &Snapshot) -> String {
        get(target, snapshot).0
    }

    #[test]
    fn the_answer_is_kube_apiservers_byte_for_byte() {
        let request = read_text("GET /livez HTTP/1.1\r\n\r\n").expect("a question");
        let text = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
            Cache-Control: no-cache, private\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        let all_is_well = snapshot(vec![program("web")]);
        assert_eq!(answer(&request, &all_is_well, Figures::default), text.as_bytes());
        let head = read_text("HEAD /livez HTTP/1.0\r\n\r\n").expect("a question");
        assert_eq!(
            answer(&head, &all_is_well, Figures::default),
            text.strip_suffix("ok").expect("ok").as_bytes()
        );
        let all = "[+]ping ok\n[+]hold ok\n[+]shutdown ok\n[+]web ok\nreadyz check passed\n";
        assert_eq!(get("/readyz?verbose", &all_is_well), ("200".to_owned(), all.to_owned()));
        assert_eq!(get("/healthz?verbose=1", &all_is_well).1, "[+]ping ok\nhealthz check passed\n");
    }

    #[test]
    fn a_failure_is_told_in_full_without_its_reason() {
        let broken = Program { is_ready: false, ..program("web") };
        let some = snapshot(vec![program("db"), broken]);
        let told = "[+]ping ok\n[+]hold ok\n[+]shutdown ok\n[+]db ok\n[-]web failed: reason withheld\nreadyz check failed\n";
        assert_eq!(get("/readyz", &some), ("500".to_owned(), told.to_owned()));
        let told = "[+]ping ok\n[+]hold ok\n[+]shutdown ok\n[+]db ok\n[+]web excluded: ok\n\
            warn: some health checks cannot be excluded: no matches for \"a b\",\"x\\\"\"\nreadyz check passed\n";
        let target = "/readyz?verbose&exclude=x%22&exclude=web&exclude=a+b&exclude=web&exclude=x%22";
        assert_eq!(get(target, &some), ("200".to_owned(), told.to_owned()));
        assert_eq!(get("/readyz?exclude=web", &some), ("200".to_owned(), "ok".to_owned()));
        let single = "internal server error: reason withheld\n";
        assert_eq!(get("/readyz/web", &some), ("500".to_owned(), single.to_owned()));
        assert_eq!(get("/readyz/db", &some), ("200".to_owned(), "ok".to_owned()));
        assert_eq!(get("/readyz/d%62", &some), ("200".to_owned(), "ok".to_owned()));
        assert_eq!(code("/readyz/none", &some), "404");
        assert_eq!(code("/livez/web", &some), "404");
    }

    #[test]
    fn held_is_alive_and_not_ready_and_draining_may_be_both() {
        let held = Some(Duration::from_secs(9));
        let held = Snapshot { held, life: Life::Holding, is_closing: true, ..snapshot(Vec::new()) };
        let told = "[+]ping ok\n[-]hold failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n";
        assert_eq!(get("/readyz", &held), ("500".to_owned(), told.to_owned()));
        assert_eq!(code("/livez", &held), "200");
        let draining = Snapshot { life: Life::Draining, ..snapshot(vec![program("web")]) };
        assert_eq!(code("/readyz", &draining), "200");
        let stopping = Snapshot { life: Life::Stopping, is_closing: true, ..draining };
        assert_eq!(
            (code("/readyz", &stopping), code("/readyz/shutdown", &stopping)),
            ("500".into(), "500".into())
        );
        assert_eq!(code("/livez", &stopping), "200");
    }

    #[test]
    fn steps_count_for_the_start_and_who_is_not_wanted_for_nothing() {
        let step = Program {
            is_step: true,
            is_wanted: false,
            has_started: false,
            is_ready: false,
            ..program("migrate")
        };
        let idle = Program { is_wanted: false, has_started: false, is_ready: false, ..program("idle") };
        let starting = snapshot(vec![step, idle, program("web")]);
        let told = "[+]ping ok\n[-]migrate failed: reason withheld\n[+]web ok\nstartupz check failed\n";
        assert_eq!(get("/startupz", &starting), ("500".to_owned(), told.to_owned()));
        assert_eq!(code("/readyz", &starting), "200");
    }

    #[test]
    fn what_is_no_question_is_refused() {
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("GET * HTTP/1.1\r\n\r\n", "404"),
            ("GET /livezz HTTP/1.1\r\n\r\n", "404"),
            ("GET /metrics/x HTTP/1.1\r\n\r\n", "404"),
            ("GET http://host HTTP/1.1\r\n\r\n", "404"),
            ("POST /livez HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "405"),
            ("GET /livez\r\n\r\n", "400"),
            ("GET /livez HTTP/2.0\r\n\r\n", "400"),
            ("\x16\x03\x01\x02", "400"),
        ];
        for (text, code) in cases {
            let answer = read_text(text).expect_err("refused");
            assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{text:?}: {answer}");
            assert_eq!(answer.contains("Allow: GET, HEAD\r\n"), code == "405");
        }
        let many = format!("GET /livez HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(33));
        let long = format!("GET /livez?{} HTTP/1.1\r\n\r\n", "x".repeat(LONGEST));
        for text in [many, long] {
            assert!(read_text(&text).expect_err("refused").starts_with("HTTP/1.1 431 "));
        }
        let fits = format!("GET /livez HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(32));
        assert!(read_text(&fits).is_ok());
        for target in ["http://host:1/livez", "http://host:1/livez?verbose=http://", "/livez?a=%zz&%=1"] {
            assert_eq!(code(target, &snapshot(Vec::new())), "200", "{target}");
        }
    }

    #[test]
    fn wherever_a_request_is_cut_it_means_the_same() {
        let long = format!("GET /livez?{} HTTP/1.1\r\n\r\n", "x".repeat(LONGEST));
        let many = format!("GET /livez HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(33));
        for text in [
            "GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\n\r\n",
            "PUT /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /readyz HTTP/1.1\r\nno header\r\n\r\n",
            "GET\0/readyz HTTP/1.1\r\n\r\n",
            &long,
            &many,
        ] {
            let whole = read(text.as_bytes());
            assert!(whole.is_some());
            let first = (0..text.len()).find_map(|end| read(&text.as_bytes()[..end]));
            assert!(first.is_none() || first == whole, "{text:?}");
            for end in 0..text.len() {
                let cut = read(&text.as_bytes()[..end]);
                assert!(cut.is_none() || cut == whole, "{text:?} cut at {end}");
            }
        }
    }

    /// A container of which everything is known.
    fn full() -> (Snapshot, Figures) {
        let killed = |core| Status::Killed { signal: Signal::KILL, core };
        let web = Program {
            exits: vec![(Status::Exited(1), 2), (killed(false), 1), (killed(true), 3)],
            ended_at: Some(at(200)),
            probes: vec![
                Probe { role: Role::Startup, is_success: Some(true), passed: 1, failed: 0, errors: 0 },
                Probe { role: Role::Readiness, is_success: None, passed: 0, failed: 2, errors: 1 },
            ],
            ..program("we\"b\\\n")
        };
        let figures = Figures {
            started_at: Duration::from_millis(1_700_000_000_500),
            strays_reaped: 4,
            oom_kills: Some(0),
            memory: Some(1000),
            memory_limit: Some(2000),
            memory_peak: Some(1500),
            cpu: Some(Duration::from_millis(2500)),
            cpu_limit: Some(Duration::from_millis(1500)),
            cpu_throttled: Some(Duration::from_millis(1)),
            cpu_periods: Some(7),
            cpu_throttled_periods: Some(3),
            pids: Some(12),
            pids_limit: Some(100),
            own_cpu: Some(Duration::from_millis(3)),
            own_memory: Some(4096),
        };
        (snapshot(vec![web, Program { process: None, state: "BACKOFF", ..program("db") }]), figures)
    }

    #[test]
    fn metrics_are_prometheus_text() {
        let (snapshot, figures) = full();
        let text = metrics(&snapshot, &figures);
        // What `promtool check metrics` has found nothing wrong with.
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(text, include_str!("../tests/metrics.txt").replace("VERSION", version));
        let request = read_text("GET /metrics?verbose HTTP/1.1\r\n\r\n").expect("a question");
        let answer = String::from_utf8(answer(&request, &snapshot, || figures)).expect("text");
        assert!(answer.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
        assert!(answer.ends_with(&text));
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let text = metrics(&snapshot(Vec::new()), &Figures::default());
        for name in ["oom", "cgroup", "program", "probe", "resident"] {
            assert!(!text.contains(name), "{name}");
        }
        assert!(text.contains("\nsexton_strays_reaped_total 0\n"));
    }

    #[test]
    fn the_figures_are_asked_for_only_where_they_are_wanted() {
        let request = read_text("GET /readyz HTTP/1.1\r\n\r\n").expect("a question");
        let _ = answer(&request, &snapshot(Vec::new()), || panic!("nobody wants them"));
    }
}
