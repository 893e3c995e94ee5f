//! What is kept of an end that nobody wanted, and how it is told: for people, and as JSON.
//!
//! Pure functions from what is known to text. What is not known is said to be so, with the reason. No report is longer than
//! [`LONGEST`], whatever goes into it, and nothing in it would do anything to a terminal.

use std::fmt::Write;
use std::time::Duration;

use crate::health::Figures;
use crate::json;
use crate::message::{clean, out_of_memory, shortened};
use crate::notice::{Ending, Fate, Next};
use crate::outcome::{Cause, Report, Sequel, Status, Usage};
use crate::snapshot::{Program, Snapshot};
use crate::time::Span;

/// No text is longer, in bytes, and no JSON is more than twice as long.
pub const LONGEST: usize = 16 * 1024;
/// The most that is kept of one stream, in bytes.
const OUTPUT: usize = 4096;
/// The most that is kept of a command line, of the names of variables and of addresses, in bytes each.
const ROOM: usize = 1024;
/// The most of one word of somebody else's, in bytes.
const WORD: usize = 512;
/// What a line has beside itself in a text, in bytes: two blanks before it, and its end.
const MARGIN: usize = 3;
/// The most of what is told of another program, in bytes.
const OTHER: usize = 100;
/// How many other programs and kinds of ends are told of.
const MANY: usize = 10;
/// How wide a screen is, and where a value begins.
const WIDTH: usize = 80;
const INDENT: usize = 13;
/// The shortest value that is taken for a secret: a shorter one stands in too many words by chance.
const SHORTEST_SECRET: usize = 4;

/// What is known, or why it is not.
pub type Known<T> = Result<T, &'static str>;
/// Lines, fit to be shown.
pub type Lines = Vec<String>;

/// All that can be known of an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// How it ended, and what follows.
    pub report: Report,
    /// Its process.
    pub pid: Known<i32>,
    /// The time of day when that was started (RFC 3339, in UTC).
    pub started: Known<String>,
    /// The time of day now.
    pub ended: String,
    /// How many processes of the program have been executed.
    pub starts: u64,
    /// How they ended, and how many of them.
    pub exits: Vec<(Status, u64)>,
    /// What its process and those that it waited for have used.
    pub usage: Known<Usage>,
    /// Where the kernel sends the memory of what it kills (core(5)); None where it has dumped none.
    pub core_pattern: Option<String>,
    /// What the cgroup's files say.
    pub figures: Known<Figures>,
    /// The kills for want of memory that were known before.
    pub kills_before: Option<u64>,
    /// The last lines of its standard output.
    pub stdout: Known<Lines>,
    /// And of its standard error.
    pub stderr: Known<Lines>,
    /// Its command line.
    pub command: Few,
    /// Its working directory.
    pub directory: Known<String>,
    /// Whom it ran as, as it was written; None for whom we are.
    pub user: Option<String>,
    /// Who we are.
    pub own_uid: u32,
    /// What of this it was given; None for what we have.
    pub umask: Option<u32>,
    /// As above.
    pub nice: Option<i32>,
    /// As above.
    pub oom_score_adj: Option<i32>,
    /// Its limits by name, soft and hard; None is unlimited.
    pub limits: Vec<(&'static str, Option<u64>, Option<u64>)>,
    /// The names of its variables.
    pub environment: Few,
    /// Where somebody listens in our network namespace.
    pub listening: Known<Few>,
    /// The other programs.
    pub others: Vec<Other>,
    /// How many more there are.
    pub more_others: usize,
    /// The container's name.
    pub hostname: Known<String>,
    /// The kernel's release.
    pub kernel: Known<String>,
    /// How many ends before this one have no report, for they came too fast.
    pub skipped: u64,
}

/// Another program at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its name.
    pub name: String,
    /// Supervisor's word for its state.
    pub state: &'static str,
    /// Its process.
    pub pid: Option<i32>,
    /// How the last one ended.
    pub last_end: Option<String>,
}

/// The first of many words, as far as there is room for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Few {
    /// They.
    pub words: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

impl Few {
    /// Takes as many as there is room for.
    #[must_use]
    pub fn of(all: &mut dyn Iterator<Item = String>) -> Few {
        let (mut few, mut room) = (Few::default(), ROOM);
        for word in all {
            let word = short(word, WORD);
            // The order is kept: where one has found no room, none that comes after it does.
            if few.more > 0 || word.len() >= room {
                few.more += 1;
            } else {
                room -= word.len() + 1;
                few.words.push(word);
            }
        }
        few
    }
}

/// The other programs, those that do not run first, and how many more there are. Steps are done by now, or are the program.
#[must_use]
pub fn others(snapshot: &Snapshot, program: &str) -> (Vec<Other>, usize) {
    let (mut others, mut more) = (Vec::new(), 0);
    for runs in [false, true] {
        let is_next =
            |one: &&Program| !one.is_step && one.name != program && (one.state == "RUNNING") == runs;
        for one in snapshot.programs.iter().filter(is_next) {
            if others.len() == MANY {
                more += 1;
                continue;
            }
            others.push(Other {
                name: clean(&one.name),
                state: one.state,
                pid: one.process.map(|(pid, _)| pid.0),
                last_end: one.last_end.as_ref().map(|end| short(clean(&Ending(end).to_string()), OTHER)),
            });
        }
    }
    (others, more)
}

/// The lines of what a program wrote last. Of what there is no room for the end is kept.
#[must_use]
pub fn lines(kept: &[u8], secrets: &[(String, String)]) -> Lines {
    let mut lines = Lines::new();
    let mut room = OUTPUT;
    for line in String::from_utf8_lossy(kept).lines().rev() {
        let line = mask(&clean(line), secrets);
        if lines.is_empty() && line.trim().is_empty() {
            continue;
        }
        let Some(left) = room.checked_sub(line.len() + MARGIN) else {
            let from = line.ceil_char_boundary(line.len() - room.min(line.len()));
            lines.push(format!("\u{2026}{}", &line[from..]));
            break;
        };
        room = left;
        lines.push(line);
    }
    lines.reverse();
    lines
}

/// The values of variables that are nobody's business, longest first, each with its variable's name: what is called so, and
/// a URL with a password in it.
#[must_use]
pub fn secrets(variables: &[(String, String)]) -> Vec<(String, String)> {
    const WORDS: [&str; 8] = ["PASS", "SECRET", "TOKEN", "KEY", "CRED", "AUTH", "_PWD", "DSN"];
    let mut secrets = Vec::new();
    for (name, value) in variables {
        let upper = name.to_ascii_uppercase();
        let password = value.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')?.0.split_once(':'));
        if password.is_none() && WORDS.iter().all(|word| upper.split_once(word).is_none()) {
            continue;
        }
        // A key has many lines, and a password may be told without its URL.
        let parts = value.lines().chain(password.map(|(_, password)| password));
        for part in parts.filter(|part| part.len() >= SHORTEST_SECRET) {
            // One may hold another: the longest come first.
            let place = secrets.iter().position(|(_, other): &(_, String)| other.len() < part.len());
            secrets.insert(place.unwrap_or(secrets.len()), (name.clone(), part.to_owned()));
        }
    }
    secrets
}

/// The text with the names of secrets in place of their values.
#[must_use]
pub fn mask(text: &str, secrets: &[(String, String)]) -> String {
    let mut text = text.to_owned();
    for (name, value) in secrets {
        text = text.replace(value, &format!("$({name})"));
    }
    text
}

// --- files

/// What the names of a report's two files begin with: they sort by time.
#[must_use]
pub fn stem(crash: &Crash) -> String {
    let mut stem = String::new();
    stem.extend(crash.ended.chars().filter(|c| !matches!(c, '-' | ':')));
    stem.push('-');
    for c in crash.report.program.chars() {
        stem.push(if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' });
    }
    let _ = write!(stem, "-{}", crash.pid.unwrap_or_default()); // a String takes everything
    stem
}

/// The length of the time in a stem, `20260102T030405.678Z`.
const STAMP: usize = 20;

/// The stem in the name of a file that is a report of ours.
#[must_use]
pub fn stem_in(name: &str) -> Option<&str> {
    let stem = name.strip_suffix(".json").or_else(|| name.strip_suffix(".txt"))?;
    let (stamp, rest) = stem.split_at_checked(STAMP)?;
    let is_stamp = stamp.bytes().zip(*b"00000000T000000.000Z").all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte == form,
    });
    let (_, pid) = rest.strip_prefix('-')?.rsplit_once('-')?;
    (is_stamp && !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit())).then_some(stem)
}

/// The time in a stem as it stands in the report.
#[must_use]
pub fn time_of(stem: &str) -> String {
    let mut time = String::new();
    for (place, c) in stem.chars().take(STAMP).enumerate() {
        match place {
            4 | 6 => time.push('-'),
            11 | 13 => time.push(':'),
            _ => {}
        }
        time.push(c);
    }
    time
}

/// What a text says first, in one line.
#[must_use]
pub fn headline(text: &str) -> String {
    let mut line = String::new();
    for word in text.split("\n\n").next().unwrap_or_default().split_whitespace() {
        line.push_str(if line.is_empty() { "" } else { " " });
        line.push_str(word);
    }
    clean(&line)
}

// --- text

/// The report for people, whose screen has 80 columns.
#[must_use]
pub fn render_text(crash: &Crash) -> String {
    let report = &crash.report;
    let mut text = Text(String::with_capacity(OUTPUT));
    text.wrap(2, &format!("{}{}", sentence(report), Next(report.sequel)));
    text.0.push('\n');
    text.row("ended", &crash.ended);
    text.row("started", &known(&crash.started, Clone::clone));
    text.row("process", &known(&crash.pid, ToString::to_string));
    text.row("starts", &history(crash));
    text.row("used", &known(&crash.usage, used));
    if let Some(pattern) = &crash.core_pattern {
        text.row("core", &format!("dumped to `{pattern}` (kernel.core_pattern)"));
    }
    text.0.push('\n');
    text.row("container", &container(crash));
    text.row("OOM", &killed(crash));
    text.row("memory", &known(&crash.figures, memory));
    text.row("CPU", &known(&crash.figures, cpu));
    text.row(
        "processes",
        &known(&crash.figures, |figures| of_limit(figures.pids, figures.pids_limit, plain)),
    );
    text.row("listening", &known(&crash.listening, listed));
    let mut label = "programs";
    for other in &crash.others {
        let pid = other.pid.map_or_else(String::new, |pid| format!(", process {pid}"));
        let end = other.last_end.as_ref().map_or_else(String::new, |end| format!("; its last {end}"));
        text.row(label, &format!("{}: {}{pid}{end}", other.name, other.state));
        label = "";
    }
    if crash.more_others > 0 {
        text.row("", &format!("and {} more", crash.more_others));
    }
    if crash.skipped > 0 {
        text.row(
            "missing",
            &format!("reports on {} ends before this one: they came too fast", crash.skipped),
        );
    }
    text.0.push('\n');
    let _ = writeln!(text.0, "{:INDENT$}{}", "command", short(shell(&crash.command), 2 * ROOM)); // a String takes everything
    text.row("directory", &known(&crash.directory, Clone::clone));
    text.row("user", &user(crash));
    text.row("limits", &limits(crash));
    text.row("variables", &format!("{}; values are not shown", listed(&crash.environment)));
    text.lines("stdout", &crash.stdout);
    text.lines("stderr", &crash.stderr);
    text.0
}

/// A text that is being written.
struct Text(String);

impl Text {
    fn row(&mut self, label: &str, value: &str) {
        let _ = write!(self.0, "{label:INDENT$}"); // a String takes everything
        self.wrap(INDENT, value);
    }

    /// Writes words up to the right edge and goes on in the next line, behind so many blanks.
    fn wrap(&mut self, indent: usize, words: &str) {
        let start = self.0.rfind('\n').map_or(0, |end| end + 1);
        let mut column = self.0[start..].chars().count();
        let mut gap = "";
        for word in words.split_ascii_whitespace() {
            let width = word.chars().count();
            if !gap.is_empty() && column + 1 + width > WIDTH {
                let _ = write!(self.0, "\n{:indent$}", ""); // a String takes everything
                column = indent;
                gap = "";
            }
            self.0.extend([gap, word]);
            column += gap.len() + width;
            gap = " ";
        }
        self.0.push('\n');
    }

    fn lines(&mut self, name: &str, lines: &Known<Lines>) {
        let lead = match lines {
            Ok(lines) if lines.is_empty() => ": it wrote nothing",
            Ok(_) => ", the last lines:",
            Err(_) => ": unknown: ",
        };
        self.0.extend(["\n", name, lead]);
        match lines {
            Ok(lines) => {
                self.0.push('\n');
                for line in lines {
                    self.0.extend(["  ", line, "\n"]);
                }
            }
            Err(why) => self.0.extend([why, "\n"]),
        }
    }
}

fn sentence(report: &Report) -> String {
    short(clean(&format!("{}: {}", report.program, Ending(report))), WORD)
}

fn known<T>(value: &Known<T>, tell: fn(&T) -> String) -> String {
    match value {
        Ok(value) => tell(value),
        Err(why) => format!("unknown: {why}"),
    }
}

fn history(crash: &Crash) -> String {
    let mut text = format!("{} so far", crash.starts);
    let mut lead = "; ";
    for (status, count) in crash.exits.iter().take(MANY) {
        let _ = write!(text, "{lead}{} {count}x", Fate(*status)); // a String takes everything
        lead = ", ";
    }
    text
}

fn used(usage: &Usage) -> String {
    format!(
        "CPU {}s user, {}s system; memory {} at most; page faults {} major, {} minor; context switches {} own, {} forced",
        hundredths(usage.user),
        hundredths(usage.system),
        mebibytes(usage.most_memory),
        usage.major_faults,
        usage.minor_faults,
        usage.voluntary_switches,
        usage.involuntary_switches
    )
}

/// Seconds with two decimals.
fn hundredths(time: Duration) -> String {
    format!("{}.{:02}", time.as_secs(), time.subsec_millis() / 10)
}

fn killed(crash: &Crash) -> String {
    let mut text = format!("{}; ", out_of_memory(&crash.report));
    let kills = crash.figures.as_ref().ok().and_then(|figures| figures.oom_kills);
    let _ = match (kills, crash.kills_before) {
        (Some(kills), Some(before)) => {
            write!(text, "{kills} kills in the container, {} of them new", kills.saturating_sub(before))
        }
        (Some(kills), None) => write!(text, "{kills} kills in the container, nobody knows when"),
        (None, _) => write!(text, "kills in the container unknown: {NOT_SAID}"),
    }; // a String takes everything
    text
}

fn memory(figures: &Figures) -> String {
    let now = of_limit(figures.memory, figures.memory_limit, mebibytes);
    match figures.memory_peak {
        Some(peak) => format!("{now}; {} at most", mebibytes(peak)),
        None => format!("{now}; the most is unknown: this kernel does not say"),
    }
}

fn cpu(figures: &Figures) -> String {
    let Some(limit) = figures.cpu_limit else { return "no limit".to_owned() };
    let mut text = format!("limit {}; held back ", hundredths(limit));
    let _ = match (figures.cpu_throttled, figures.cpu_throttled_periods, figures.cpu_periods) {
        (Some(time), Some(held_back), Some(periods)) => {
            write!(text, "for {} in {held_back} of {periods} periods", Span(time))
        }
        (_, _, _) => write!(text, "unknown: {NOT_SAID}"),
    }; // a String takes everything
    text
}

const NOT_SAID: &str = "the cgroup does not say";

fn of_limit(used: Option<u64>, limit: Option<u64>, tell: fn(u64) -> String) -> String {
    match (used, limit) {
        (Some(used), Some(limit)) => format!("{} of {}", tell(used), tell(limit)),
        (Some(used), None) => format!("{}, no limit", tell(used)),
        (None, _) => format!("unknown: {NOT_SAID}"),
    }
}

fn plain(number: u64) -> String {
    number.to_string()
}

fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

fn user(crash: &Crash) -> String {
    let mut text = match &crash.user {
        Some(user) => short(user.clone(), WORD),
        None => format!("{} (sexton's own)", crash.own_uid),
    };
    // A String takes everything.
    if let Some(umask) = crash.umask {
        let _ = write!(text, ", umask {umask:03o}");
    }
    for (name, value) in [("nice", crash.nice), ("oom_score_adj", crash.oom_score_adj)] {
        if let Some(value) = value {
            let _ = write!(text, ", {name} {value}");
        }
    }
    text
}

fn limits(crash: &Crash) -> String {
    let number = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), plain);
    let mut text = String::new();
    for (name, soft, hard) in crash.limits.iter().filter(|(_, soft, _)| soft.is_some()) {
        let _ = write!(text, "{name} {}", number(*soft)); // a String takes everything
        if soft != hard {
            let _ = write!(text, " (hard {})", number(*hard));
        }
        text.push_str(", ");
    }
    text + "the others unlimited"
}

fn listed(few: &Few) -> String {
    let mut text = few.words.join(", ");
    if few.more > 0 {
        let _ = write!(text, " and {} more", few.more); // a String takes everything
    } else if few.words.is_empty() {
        text.push_str("none");
    }
    text
}

/// A command line as a shell takes it.
fn shell(few: &Few) -> String {
    let mut text = String::new();
    for word in &few.words {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(&byte);
        let quote = if !word.is_empty() && word.bytes().all(is_plain) { "" } else { "'" };
        text.push_str(quote);
        for c in word.chars() {
            if c == '\'' {
                text.push_str("'\\'");
            }
            text.push(c);
        }
        text.extend([quote, " "]);
    }
    if few.more > 0 {
        let _ = write!(text, "and {} words more", few.more); // a String takes everything
    }
    text.truncate(text.trim_ascii_end().len());
    text
}

fn container(crash: &Crash) -> String {
    format!(
        "{}, up {}; sexton {}, Linux {}",
        known(&crash.hostname, Clone::clone),
        Span(crash.report.uptime),
        env!("CARGO_PKG_VERSION"),
        known(&crash.kernel, Clone::clone)
    )
}

// --- JSON

/// The report as one JSON object; what is not known is `null`.
#[must_use]
pub fn render_json(crash: &Crash) -> String {
    let report = &crash.report;
    let mut json = Json(String::from("{"));
    json.text("message", Some(&sentence(report)));
    json.text("program", Some(&report.program));
    json.number("pid", crash.pid.ok().map(i64::from));
    json.text("started", crash.started.as_deref().ok());
    json.text("ended", Some(&crash.ended));
    let (mut ran, mut signal, mut core, mut code) = (None, None, None, None);
    let cause = match &report.cause {
        Cause::Ended { status, ran: time, .. } => {
            ran = Some(*time);
            match status {
                Status::Exited(number) => {
                    code = Some(i64::from(*number));
                    "exited"
                }
                Status::Killed { signal: by, core: is_dumped } => {
                    (signal, core) = (Some(by.to_string()), Some(*is_dumped));
                    "killed"
                }
            }
        }
        Cause::Refused(_) => "not started",
        Cause::Unkillable => "unkillable",
    };
    json.text("cause", Some(cause));
    json.number("code", code);
    json.text("signal", signal.as_deref());
    json.raw("core_dumped", core.map(|core| if core { "true" } else { "false" }));
    json.text("core_pattern", crash.core_pattern.as_deref());
    json.seconds("ran_seconds", ran);
    let restart = match report.sequel {
        Sequel::Restart { after, .. } => Some(after),
        Sequel::Nothing | Sequel::RetriesUsed(..) | Sequel::TooManyRestarts(_) => None,
    };
    json.seconds("restart_seconds", restart);
    json.count("starts", Some(crash.starts));
    json.open("exits", "[");
    for (status, count) in crash.exits.iter().take(MANY) {
        json.item("{");
        json.text("how", Some(&Fate(*status).to_string()));
        json.count("times", Some(*count));
        json.0.push('}');
    }
    json.0.push(']');
    let usage = crash.usage.as_ref().ok();
    json.seconds("user_seconds", usage.map(|usage| usage.user));
    json.seconds("system_seconds", usage.map(|usage| usage.system));
    json.count("most_memory_bytes", usage.map(|usage| usage.most_memory));
    json.count("major_faults", usage.map(|usage| usage.major_faults));
    json.count("minor_faults", usage.map(|usage| usage.minor_faults));
    json.count("voluntary_switches", usage.map(|usage| usage.voluntary_switches));
    json.count("involuntary_switches", usage.map(|usage| usage.involuntary_switches));
    json.text("oom", Some(out_of_memory(report)));
    let nothing = Figures::default();
    let figures = crash.figures.as_ref().unwrap_or(&nothing);
    json.open("cgroup", "{");
    json.count("oom_kills", figures.oom_kills);
    json.count("oom_kills_before", crash.kills_before);
    json.count("memory_bytes", figures.memory);
    json.count("memory_most_bytes", figures.memory_peak);
    json.count("memory_limit_bytes", figures.memory_limit);
    json.count("pids", figures.pids);
    json.count("pids_limit", figures.pids_limit);
    json.seconds("cpu_limit", figures.cpu_limit);
    json.seconds("cpu_throttled_seconds", figures.cpu_throttled);
    json.count("cpu_throttled_periods", figures.cpu_throttled_periods);
    json.count("cpu_periods", figures.cpu_periods);
    json.0.push('}');
    json.few("command", Some(&crash.command));
    json.text("directory", crash.directory.as_deref().ok());
    json.text("user", crash.user.as_deref());
    json.text("umask", crash.umask.map(|umask| format!("{umask:03o}")).as_deref());
    json.number("nice", crash.nice.map(i64::from));
    json.number("oom_score_adj", crash.oom_score_adj.map(i64::from));
    json.open("limits", "{");
    for (name, soft, hard) in &crash.limits {
        json.open(name, "{");
        json.limit("soft", *soft);
        json.limit("hard", *hard);
        json.0.push('}');
    }
    json.0.push('}');
    json.few("variables", Some(&crash.environment));
    json.few("listening", crash.listening.as_ref().ok());
    json.open("programs", "[");
    for other in &crash.others {
        json.item("{");
        json.text("name", Some(&other.name));
        json.text("state", Some(other.state));
        json.number("pid", other.pid.map(i64::from));
        json.text("last_end", other.last_end.as_deref());
        json.0.push('}');
    }
    json.0.push(']');
    json.more("programs", crash.more_others);
    json.seconds("uptime_seconds", Some(report.uptime));
    json.text("hostname", crash.hostname.as_deref().ok());
    json.text("sexton", Some(env!("CARGO_PKG_VERSION")));
    json.text("kernel", crash.kernel.as_deref().ok());
    json.count("missing_reports", Some(crash.skipped));
    json.words("stdout", crash.stdout.as_deref().ok());
    json.words("stderr", crash.stderr.as_deref().ok());
    json.0 + "}\n"
}

/// A JSON object that is being written.
struct Json(String);

impl Json {
    fn raw(&mut self, name: &str, value: Option<&str>) {
        json::key(&mut self.0, name);
        self.0.push_str(value.unwrap_or("null"));
    }

    fn open(&mut self, name: &str, bracket: &str) {
        self.raw(name, Some(bracket));
    }

    fn item(&mut self, bracket: &str) {
        json::item(&mut self.0);
        self.0.push_str(bracket);
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => {
                json::key(&mut self.0, name);
                json::string(&mut self.0, value);
            }
            None => self.raw(name, None),
        }
    }

    fn number(&mut self, name: &str, value: Option<i64>) {
        self.raw(name, value.map(|value| value.to_string()).as_deref());
    }

    fn count(&mut self, name: &str, value: Option<u64>) {
        self.raw(name, value.map(plain).as_deref());
    }

    fn limit(&mut self, name: &str, value: Option<u64>) {
        self.raw(name, Some(&value.map_or_else(|| "\"unlimited\"".to_owned(), plain)));
    }

    fn seconds(&mut self, name: &str, value: Option<Duration>) {
        let value = value.map(|value| format!("{}.{:03}", value.as_secs(), value.subsec_millis()));
        self.raw(name, value.as_deref());
    }

    fn words(&mut self, name: &str, words: Option<&[String]>) {
        let Some(words) = words else { return self.raw(name, None) };
        self.open(name, "[");
        for word in words {
            json::item(&mut self.0);
            json::string(&mut self.0, word);
        }
        self.0.push(']');
    }

    fn few(&mut self, name: &str, few: Option<&Few>) {
        self.words(name, few.map(|few| few.words.as_slice()));
        self.more(name, few.map_or(0, |few| few.more));
    }

    fn more(&mut self, name: &str, more: usize) {
        if more > 0 {
            self.raw(&format!("{name}_more"), Some(&more.to_string()));
        }
    }
}

/// The beginning of a text that is too long.
fn short(text: String, limit: usize) -> String {
    if text.len() <= limit { text } else { format!("{}\u{2026}", shortened(&text, limit)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Pid, Sender};
    use crate::outcome::{OutOfMemory, Refusal};
    use crate::plan::ProgramId;
    use crate::signal::Signal;
    use crate::snapshot::{Doing, Life};
    use crate::time::Time;

    fn words<const N: usize>(words: [&str; N]) -> Few {
        Few::of(&mut words.into_iter().map(str::to_owned))
    }

    fn report(cause: Cause, sequel: Sequel) -> Report {
        Report {
            id: ProgramId(0),
            program: "web".to_owned(),
            cause,
            sequel,
            is_expected: false,
            code: 1,
            stopped_by: None,
            held: None,
            uptime: Duration::from_mins(41),
        }
    }

    fn killed(signal: Signal, core: bool, memory: OutOfMemory) -> Cause {
        Cause::Ended {
            status: Status::Killed { signal, core },
            memory: Some(memory),
            by_us: None,
            failed: None,
            ran: Duration::from_secs(192),
        }
    }

    /// Everything is known.
    fn full() -> Crash {
        let retry = Sequel::Restart { after: Duration::from_secs(2), retry: Some((2, 3)) };
        Crash {
            report: report(killed(Signal::QUIT, true, OutOfMemory::No), retry),
            pid: Ok(41),
            started: Ok("2026-01-02T03:00:53.500Z".to_owned()),
            ended: "2026-01-02T03:04:05.678Z".to_owned(),
            starts: 4,
            exits: vec![(Status::Exited(1), 1), (Status::Killed { signal: Signal::QUIT, core: true }, 2)],
            usage: Ok(Usage {
                user: Duration::from_millis(12_345),
                system: Duration::from_millis(678),
                most_memory: 220 << 20,
                major_faults: 12,
                minor_faults: 34_567,
                voluntary_switches: 123,
                involuntary_switches: 45,
            }),
            core_pattern: Some("|/usr/bin/cores %P".to_owned()),
            figures: Ok(Figures {
                oom_kills: Some(3),
                memory: Some(200 << 20),
                memory_limit: Some(256 << 20),
                memory_peak: Some(255 << 20),
                cpu_limit: Some(Duration::from_millis(1500)),
                cpu_throttled: Some(Duration::from_millis(1200)),
                cpu_periods: Some(340),
                cpu_throttled_periods: Some(12),
                pids: Some(12),
                pids_limit: Some(100),
                ..Figures::default()
            }),
            kills_before: Some(2),
            stdout: Ok(vec!["listening on :8080".to_owned()]),
            stderr: Ok(vec!["panic: no \"db\"".to_owned(), "  at main".to_owned()]),
            command: words(["/app/server", "--motto", "it's two words", ""]),
            directory: Ok("/srv".to_owned()),
            user: Some("app:app".to_owned()),
            own_uid: 0,
            umask: Some(0o27),
            nice: Some(-5),
            oom_score_adj: Some(100),
            limits: vec![
                ("nofile", Some(1024), Some(4096)),
                ("core", Some(0), Some(0)),
                ("stack", Some(8_388_608), None),
                ("as", None, None),
            ],
            environment: words(["PORT", "DB_PASSWORD", "PATH"]),
            listening: Ok(words(["tcp [::]:8080", "udp 127.0.0.1:53"])),
            others: vec![
                Other {
                    name: "db".to_owned(),
                    state: "BACKOFF",
                    pid: None,
                    last_end: Some("exited with code 1 after 0.3s (unexpected)".to_owned()),
                },
                Other { name: "cache".to_owned(), state: "RUNNING", pid: Some(7), last_end: None },
            ],
            more_others: 2,
            hostname: Ok("web-7d9f".to_owned()),
            kernel: Ok("6.1.0".to_owned()),
            skipped: 3,
        }
    }

    /// As little as possible is known.
    fn empty() -> Crash {
        let refusal = Refusal { code: 127, reason: "cannot execute `x`: no such file".to_owned() };
        Crash {
            report: report(Cause::Refused(refusal), Sequel::Nothing),
            pid: Err("it never ran"),
            started: Err("it never ran"),
            ended: "2026-01-02T03:04:05.678Z".to_owned(),
            starts: 0,
            exits: Vec::new(),
            usage: Err("it never ran"),
            core_pattern: None,
            figures: Err("no cgroup's files can be read"),
            kills_before: None,
            stdout: Err("it does not pass through sexton"),
            stderr: Ok(Vec::new()),
            command: words(["x"]),
            directory: Err("sexton's own directory is gone"),
            user: None,
            own_uid: 1000,
            umask: None,
            nice: None,
            oom_score_adj: None,
            limits: Vec::new(),
            environment: Few::default(),
            listening: Err("/proc is not mounted"),
            others: Vec::new(),
            more_others: 0,
            hostname: Err("uname(2) does not say"),
            kernel: Err("uname(2) does not say"),
            skipped: 0,
        }
    }

    #[test]
    fn everything_is_told_in_80_columns() {
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "\
web: killed by SIGQUIT (core dumped) after 3m12s (unexpected); restarting in
  2.0s (2 of 3)

ended        2026-01-02T03:04:05.678Z
started      2026-01-02T03:00:53.500Z
process      41
starts       4 so far; exited with code 1 1x, killed by SIGQUIT (core dumped) 2x
used         CPU 12.34s user, 0.67s system; memory 220.0 MiB at most; page
             faults 12 major, 34567 minor; context switches 123 own, 45 forced
core         dumped to `|/usr/bin/cores %P` (kernel.core_pattern)

container    web-7d9f, up 41m00s; sexton {version}, Linux 6.1.0
OOM          no; 3 kills in the container, 1 of them new
memory       200.0 MiB of 256.0 MiB; 255.0 MiB at most
CPU          limit 1.50; held back for 1.2s in 12 of 340 periods
processes    12 of 100
listening    tcp [::]:8080, udp 127.0.0.1:53
programs     db: BACKOFF; its last exited with code 1 after 0.3s (unexpected)
             cache: RUNNING, process 7
             and 2 more
missing      reports on 3 ends before this one: they came too fast

command      /app/server --motto 'it'\\''s two words' ''
directory    /srv
user         app:app, umask 027, nice -5, oom_score_adj 100
limits       nofile 1024 (hard 4096), core 0, stack 8388608 (hard unlimited),
             the others unlimited
variables    PORT, DB_PASSWORD, PATH; values are not shown

stdout, the last lines:
  listening on :8080

stderr, the last lines:
  panic: no \"db\"
    at main
"
        );
        assert_eq!(render_text(&full()), expected);
    }

    #[test]
    fn what_is_not_known_is_said_so_with_the_reason() {
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "\
web: cannot execute `x`: no such file (unexpected)

ended        2026-01-02T03:04:05.678Z
started      unknown: it never ran
process      unknown: it never ran
starts       0 so far
used         unknown: it never ran

container    unknown: uname(2) does not say, up 41m00s; sexton {version}, Linux
             unknown: uname(2) does not say
OOM          no; kills in the container unknown: the cgroup does not say
memory       unknown: no cgroup's files can be read
CPU          unknown: no cgroup's files can be read
processes    unknown: no cgroup's files can be read
listening    unknown: /proc is not mounted

command      x
directory    unknown: sexton's own directory is gone
user         1000 (sexton's own)
limits       the others unlimited
variables    none; values are not shown

stdout: unknown: it does not pass through sexton

stderr: it wrote nothing
"
        );
        assert_eq!(render_text(&empty()), expected);
        let json = render_json(&empty());
        for name in
            ["pid", "started", "code", "signal", "ran_seconds", "user_seconds", "directory", "listening"]
        {
            assert!(json.contains(&format!("\"{name}\":null")), "{name} in {json}");
        }
        assert!(json.contains("\"stdout\":null,\"stderr\":[]"), "{json}");
        // Of what a cgroup says, each alone may be missing.
        let crash = Crash { figures: Ok(Figures::default()), ..empty() };
        let text = render_text(&crash);
        assert!(
            text.contains(
                "memory       unknown: the cgroup does not say; the most is unknown: this kernel\n             does not say\n"
            ) && text.contains("CPU          no limit\nprocesses    unknown: the cgroup does not say\n"),
            "{text}"
        );
    }

    #[test]
    fn json_says_the_same() {
        let version = env!("CARGO_PKG_VERSION");
        let expected = [
            r#"{"message":"web: killed by SIGQUIT (core dumped) after 3m12s (unexpected)","program":"web","pid":41,"#,
            r#""started":"2026-01-02T03:00:53.500Z","ended":"2026-01-02T03:04:05.678Z","cause":"killed","code":null,"#,
            r#""signal":"SIGQUIT","core_dumped":true,"core_pattern":"|/usr/bin/cores %P","ran_seconds":192.000,"#,
            r#""restart_seconds":2.000,"starts":4,"exits":[{"how":"exited with code 1","times":1},"#,
            r#"{"how":"killed by SIGQUIT (core dumped)","times":2}],"user_seconds":12.345,"system_seconds":0.678,"#,
            r#""most_memory_bytes":230686720,"major_faults":12,"minor_faults":34567,"voluntary_switches":123,"#,
            r#""involuntary_switches":45,"oom":"no","cgroup":{"oom_kills":3,"oom_kills_before":2,"#,
            r#""memory_bytes":209715200,"memory_most_bytes":267386880,"memory_limit_bytes":268435456,"pids":12,"#,
            r#""pids_limit":100,"cpu_limit":1.500,"cpu_throttled_seconds":1.200,"cpu_throttled_periods":12,"#,
            r#""cpu_periods":340},"command":["/app/server","--motto","it's two words",""],"directory":"/srv","#,
            r#""user":"app:app","umask":"027","nice":-5,"oom_score_adj":100,"#,
            r#""limits":{"nofile":{"soft":1024,"hard":4096},"core":{"soft":0,"hard":0},"#,
            r#""stack":{"soft":8388608,"hard":"unlimited"},"as":{"soft":"unlimited","hard":"unlimited"}},"#,
            r#""variables":["PORT","DB_PASSWORD","PATH"],"listening":["tcp [::]:8080","udp 127.0.0.1:53"],"#,
            r#""programs":[{"name":"db","state":"BACKOFF","pid":null,"#,
            r#""last_end":"exited with code 1 after 0.3s (unexpected)"},"#,
            r#"{"name":"cache","state":"RUNNING","pid":7,"last_end":null}],"programs_more":2,"#,
            r#""uptime_seconds":2460.000,"hostname":"web-7d9f","sexton":"VERSION","kernel":"6.1.0","#,
            r#""missing_reports":3,"stdout":["listening on :8080"],"stderr":["panic: no \"db\"","  at main"]}"#,
            "\n",
        ];
        assert_eq!(render_json(&full()), expected.concat().replace("VERSION", version));
    }

    #[test]
    fn an_end_for_want_of_memory_is_told() {
        let cause = killed(Signal::KILL, false, OutOfMemory::OwnLimit);
        let crash = Crash { report: report(cause, Sequel::Nothing), core_pattern: None, ..full() };
        let text = render_text(&crash);
        assert!(
            text.contains("\nOOM          yes, own limit; 3 kills in the container, 1 of them new\n"),
            "{text}"
        );
        assert!(render_json(&crash).contains("\"oom\":\"yes, own limit\""));
        let text = render_text(&Crash { kills_before: None, ..crash });
        assert!(text.contains("; 3 kills in the container, nobody knows when\n"), "{text}");
    }

    #[test]
    fn output_does_nothing_to_a_terminal_and_is_cut_from_the_front() {
        let shown = |bytes: &[u8]| lines(bytes, &[]);
        assert_eq!(
            shown(b"\n\x1b[31mred\x1b[0m\x07\tend\r\n\xff\xfe\0\n\n \n"),
            ["", "red end", "\u{fffd}\u{fffd}"]
        );
        assert_eq!(shown(b""), Lines::new());
        let long = "\u{fc}".repeat(3000);
        let lines = shown(format!("lost\n{long}\nlast\n").as_bytes());
        assert_eq!((lines.len(), lines[1].as_str()), (2, "last"));
        assert!(lines[0].starts_with("\u{2026}\u{fc}") && lines[0].len() > OUTPUT - 20, "{}", lines[0].len());
        for bytes in
            [vec![0xff; 4096], vec![b'\n'; 4096], vec![b'x'; 4096], b"x\n".repeat(2048), vec![7; 4096]]
        {
            let length: usize = shown(&bytes).iter().map(|line| line.len() + 1).sum();
            assert!(length <= OUTPUT + 4, "{length}");
        }
    }

    #[test]
    fn no_input_makes_a_report_longer_than_its_limit() {
        let long = "\u{1b}[1m\u{fc} word\"\\".repeat(8000);
        let many = || Few::of(&mut (0..2000).map(|number| format!("{number} {}", clean(&long))));
        let short = || Few::of(&mut (0..2000).map(|number| format!("N{number}")));
        let reason = Cause::Refused(Refusal { code: 126, reason: long.clone() });
        let output = lines(&b"\xff\"\\x\n".repeat(5000), &[]);
        let other = Other {
            name: "n".repeat(64),
            state: "STARTING",
            pid: Some(i32::MAX),
            last_end: Some("x ".repeat(OTHER / 2)),
        };
        let crash = Crash {
            report: report(reason, Sequel::Nothing),
            command: many(),
            environment: short(),
            listening: Ok(short()),
            stdout: Ok(output.clone()),
            stderr: Ok(output),
            others: vec![other; MANY],
            more_others: 10_000,
            ..full()
        };
        assert_eq!(
            (crash.command.words.len() + crash.command.more, crash.environment.words.len()),
            (2000, 226)
        );
        let (text, json) = (render_text(&crash), render_json(&crash));
        assert!(text.len() <= LONGEST, "{} bytes", text.len());
        assert!(json.len() <= 2 * LONGEST, "{} bytes", json.len());
        assert!(json.contains("\"command_more\":1999"), "{json}");
        // What is not quoted and has blanks keeps to the screen.
        let rows = text.split("\nstdout,").next().unwrap_or_default();
        let wide = rows.lines().filter(|line| line.chars().count() > WIDTH && !line.starts_with("command"));
        assert_eq!(wide.count(), 0, "{rows}");
    }

    #[test]
    fn a_command_line_of_64_kib_is_cut() {
        let few = Few::of(&mut std::iter::once("x".repeat(64 * 1024)));
        assert_eq!(few.more, 0);
        assert_eq!(few.words[0], format!("{}\u{2026}", "x".repeat(WORD)));
        let few = Few::of(&mut (0..64 * 512).map(|_| "xx".to_owned()));
        assert!(shell(&few).ends_with(" xx xx and 32427 words more"), "{}", shell(&few));
        assert_eq!((few.words.len(), few.more), (341, 64 * 512 - 341));
    }

    #[test]
    fn secrets_are_told_by_the_names_of_their_variables() {
        let variables = [
            ("DB_PASSWORD", "s3cret"),
            ("api_key", "key-of-s3cret"),
            ("DATABASE_URL", "postgres://app:hunter22@db/app"),
            ("PEM_KEY", "-----BEGIN\nAAAA\nxy\n"),
            ("PIN_TOKEN", "123"),
            ("PWD", "/srv"),
            ("PORT", "8080"),
            ("PROXY", "http://proxy:3128"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let secrets = secrets(&variables);
        let masked = |text: &str| mask(text, &secrets);
        assert_eq!(masked("with s3cret and key-of-s3cret"), "with $(DB_PASSWORD) and $(api_key)");
        assert_eq!(masked("postgres://app:hunter22@db/app"), "$(DATABASE_URL)");
        assert_eq!(masked("user app, hunter22"), "user app, $(DATABASE_URL)");
        assert_eq!(lines(b"-----BEGIN\nAAAA\nxy\n", &secrets), ["$(PEM_KEY)", "$(PEM_KEY)", "xy"]);
        assert_eq!(masked("123 /srv 8080 http://proxy:3128"), "123 /srv 8080 http://proxy:3128");
    }

    #[test]
    fn names_of_files_sort_by_time_and_are_known_again() {
        let mut crash = full();
        assert_eq!(stem(&crash), "20260102T030405.678Z-web-41");
        crash.report.program = "../../\u{e4} b:00.json".to_owned();
        crash.pid = Err("it never ran");
        let stem = stem(&crash);
        assert_eq!(stem, "20260102T030405.678Z-________b_00_json-0");
        for name in [format!("{stem}.txt"), format!("{stem}.json")] {
            assert_eq!(stem_in(&name), Some(stem.as_str()), "{name}");
        }
        assert_eq!(time_of(&stem), crash.ended);
        for name in [
            "",
            ".txt",
            "a.txt",
            ".20260102T030405.678Z-web-41.json",
            "20260102T030405.678Z.txt",
            "20260102T030405.678Z-web.txt",
            "20260102T030405.678Z-web-.txt",
            "20260102T030405.678Z-web-4x.txt",
            "20260102T030405.678-web-4.json",
            "x0260102T030405.678Z-web-4.json",
            "20260102T030405.678Z-web-4.json.gz",
            "\u{e4}0260102T030405.678Z-web-4.json",
        ] {
            assert_eq!(stem_in(name), None, "{name}");
        }
    }

    #[test]
    fn the_headline_is_the_first_sentence_in_one_line() {
        assert_eq!(
            headline(&render_text(&full())),
            "web: killed by SIGQUIT (core dumped) after 3m12s (unexpected); restarting in 2.0s (2 of 3)"
        );
        assert_eq!(headline(""), "");
    }

    #[test]
    fn of_the_other_programs_those_that_do_not_run_come_first() {
        let program = |name: &str, state, is_step| Program {
            name: name.to_owned(),
            is_step,
            state,
            process: (state == "RUNNING").then_some((Pid(9), Time::default())),
            has_started: true,
            is_ready: true,
            is_wanted: true,
            starts: 1,
            exits: Vec::new(),
            ended_at: None,
            last_end: None,
            doing: Doing::Nothing,
            is_essential: false,
            is_stopped_by_hand: false,
            is_paused: false,
            probes: Vec::new(),
        };
        let mut programs = vec![program("step", "EXITED", true), program("web", "BACKOFF", false)];
        programs.extend((0..15).map(|number| program(&format!("a{number}"), "RUNNING", false)));
        programs.push(program("late", "FATAL", false));
        let snapshot = Snapshot {
            now: Time::default(),
            life: Life::Up,
            is_closing: false,
            held: None,
            holds: 0,
            held_until: None,
            holds_failures: false,
            culprit: None,
            stop: None::<(Signal, Sender, Time)>,
            ends_at: None,
            programs,
            history: Vec::new(),
        };
        let (others, more) = others(&snapshot, "web");
        let names: Vec<&str> = others.iter().map(|other| other.name.as_str()).collect();
        assert_eq!((names.len(), more), (MANY, 6));
        assert_eq!(names[..3], ["late", "a0", "a1"]);
        assert_eq!((others[0].pid, others[1].pid), (None, Some(9)));
    }
}
