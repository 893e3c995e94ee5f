//! What is kept of an end that nobody wanted, and how it is told: for people, and as JSON.
//!
//! Pure functions from what is known to text. What is not known is said to be so, with the reason. No report is longer than
//! [`LONGEST`], whatever goes into it, and nothing in it would do anything to a terminal.

use std::fmt::{Display, Write};
use std::time::Duration;

use crate::health::Figures;
use crate::inspect::env;
use crate::json::{Json, decimal, milliseconds};
use crate::message::{clean, out_of_memory, shortened};
use crate::notice::{Ending, Fate, Next};
use crate::outcome::{Cause, Report, Sequel, Status, Usage};
use crate::snapshot::Snapshot;
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
/// How many lines of secrets are looked for: each is a search through all that is quoted.
const MOST_SECRETS: usize = 512;

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
        for one in &snapshot.programs {
            if one.is_step || one.name == program || (one.state == "RUNNING") != runs {
                continue;
            }
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
    for line in kept.rsplit(|byte| *byte == b'\n') {
        let line = mask(&clean(&String::from_utf8_lossy(line)), secrets);
        if lines.is_empty() && line.trim().is_empty() {
            continue;
        }
        let Some(left) = room.checked_sub(line.len() + MARGIN) else {
            let from = line.ceil_char_boundary(line.len() - room.min(line.len()));
            lines.push("\u{2026}".to_owned() + &line[from..]);
            break;
        };
        room = left;
        lines.push(line);
    }
    lines.reverse();
    lines
}

/// The values of variables that are nobody's business, longest first, each with its variable's name: what `inspect env`
/// masks.
#[must_use]
pub fn secrets(variables: &[(String, String)]) -> Vec<(String, String)> {
    let mut secrets = Vec::new();
    for (name, value) in variables {
        if !env::is_secret(name.as_bytes(), value.as_bytes()) {
            continue;
        }
        // A key has many lines, and a password may be told without its URL.
        for part in password(value).into_iter().chain(value.lines()) {
            if part.len() >= SHORTEST_SECRET && secrets.len() < MOST_SECRETS {
                // One may hold another: the longest come first.
                let place = secrets.iter().position(|(_, other): &(_, String)| other.len() < part.len());
                secrets.insert(place.unwrap_or(secrets.len()), (name.clone(), part.to_owned()));
            }
        }
    }
    secrets
}

/// What comes after the first `:` between `://` and the last `@`.
fn password(url: &str) -> Option<&str> {
    let rest = &url[find(url, "://")? + 3..];
    let user = &rest[..rest.bytes().rposition(|byte| byte == b'@')?];
    Some(&user[find(user, ":")? + 1..])
}

/// Where the word stands in the text: the search itself is in the binary once.
#[inline(never)]
fn find(text: &str, word: &str) -> Option<usize> {
    text.find(word)
}

/// The text with the names of secrets in place of their values.
#[must_use]
pub fn mask(text: &str, secrets: &[(String, String)]) -> String {
    let mut text = text.to_owned();
    for (name, value) in secrets {
        let mut from = 0;
        while let Some(at) = find(&text[from..], value) {
            let rest = text.split_off(from + at);
            text.extend(["$(", name, ")"]);
            from = text.len();
            text.push_str(&rest[value.len()..]);
        }
    }
    text
}

// --- files

/// What the names of a report's two files begin with: they sort by time.
#[must_use]
pub fn stem(crash: &Crash) -> String {
    let mut stem = String::new();
    for c in crash.ended.chars() {
        if c != '-' && c != ':' {
            stem.push(c);
        }
    }
    stem.push('-');
    for c in crash.report.program.chars() {
        stem.push(if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' });
    }
    stem.push('-');
    show(&mut stem, &crash.pid.unwrap_or_default());
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
    let mut text = Text { out: sentence(report), row: 0 };
    show(&mut text.out, &Next(report.sequel));
    text.wrap(2);
    text.row("\nended").push_str(&crash.ended);
    known(text.row("started"), &crash.started);
    let row = text.row("process");
    match crash.pid {
        Ok(pid) => show(row, &pid),
        Err(why) => unknown(row, why),
    }
    history(text.row("starts"), crash);
    let row = text.row("used");
    match &crash.usage {
        Ok(_) => fill(
            row,
            "CPU $s user, $s system; memory % at most; page faults # major, # minor; context switches # own, # forced",
            &used(crash),
        ),
        Err(why) => unknown(row, why),
    }
    if let Some(pattern) = &crash.core_pattern {
        text.row("core").extend(["dumped to `", pattern, "` (kernel.core_pattern)"]);
    }
    let row = text.row("\ncontainer");
    known(row, &crash.hostname);
    row.push_str(", up ");
    show(row, &Span(report.uptime));
    row.push_str(concat!("; sexton ", env!("CARGO_PKG_VERSION"), ", Linux "));
    known(row, &crash.kernel);
    limited(&mut text, crash);
    let row = text.row("listening");
    match &crash.listening {
        Ok(few) => listed(row, few),
        Err(why) => unknown(row, why),
    }
    let mut label = "programs";
    for other in &crash.others {
        let row = text.row(label);
        row.extend([&other.name, ": ", other.state]);
        if let Some(pid) = other.pid {
            row.push_str(", process ");
            show(row, &pid);
        }
        if let Some(end) = &other.last_end {
            row.extend(["; its last ", end]);
        }
        label = "";
    }
    if crash.more_others > 0 {
        fill(text.row(""), "and # more", &[Some(crash.more_others as u64)]);
    }
    if crash.skipped > 0 {
        let template = "reports on # ends before this one: they came too fast";
        fill(text.row("missing"), template, &[Some(crash.skipped)]);
    }
    let command = shell(&crash.command);
    text.row("\ncommand").push_str(&short(command, 2 * ROOM));
    text.end_as_it_is();
    known(text.row("directory"), &crash.directory);
    user(text.row("user"), crash);
    limits(text.row("limits"), crash);
    let row = text.row("variables");
    listed(row, &crash.environment);
    row.push_str("; values are not shown");
    text.lines("\nstdout", &crash.stdout);
    text.lines("\nstderr", &crash.stderr);
    text.out
}

/// A text that is being written: the last row of it is still to be broken into lines.
struct Text {
    out: String,
    /// Where its value begins; behind all of it where there is none.
    row: usize,
}

impl Text {
    /// Ends the row before, and begins one, whose value is appended. A newline before the label makes an empty line.
    #[inline(never)]
    fn row(&mut self, label: &str) -> &mut String {
        self.wrap(INDENT);
        self.out.push_str(label);
        self.blanks(INDENT + usize::from(label.starts_with('\n')) - label.len());
        self.row = self.out.len();
        &mut self.out
    }

    fn blanks(&mut self, count: usize) {
        for _ in 0..count {
            self.out.push(' ');
        }
    }

    fn end_as_it_is(&mut self) {
        self.out.push('\n');
        self.row = self.out.len();
    }

    /// Writes the row's words up to the right edge and goes on in the next line, behind so many blanks.
    fn wrap(&mut self, indent: usize) {
        if self.row == self.out.len() && self.row > 0 && self.out.ends_with('\n') {
            return; // it has ended
        }
        let words = self.out[self.row..].to_owned();
        self.out.truncate(self.row);
        let mut column = if self.row == 0 { 0 } else { indent };
        let mut gap = "";
        for word in words.split_ascii_whitespace() {
            let width = word.chars().count();
            if !gap.is_empty() && column + 1 + width > WIDTH {
                self.out.push('\n');
                self.blanks(indent);
                column = indent;
                gap = "";
            }
            self.out.extend([gap, word]);
            column += gap.len() + width;
            gap = " ";
        }
        self.end_as_it_is();
    }

    fn lines(&mut self, name: &str, lines: &Known<Lines>) {
        self.wrap(INDENT);
        self.out.push_str(name);
        match lines {
            Ok(lines) if lines.is_empty() => self.out.push_str(": it wrote nothing"),
            Ok(lines) => {
                self.out.push_str(", the last lines:");
                for line in lines {
                    self.out.extend(["\n  ", line]);
                }
            }
            Err(why) => {
                self.out.push_str(": ");
                unknown(&mut self.out, why);
            }
        }
        self.end_as_it_is();
    }
}

fn sentence(report: &Report) -> String {
    let mut text = report.program.clone() + ": ";
    show(&mut text, &Ending(report));
    short(clean(&text), WORD)
}

/// Appends it, for it is one call where `format!` is many instructions.
#[inline(never)]
fn show(out: &mut String, what: &dyn Display) {
    let _ = write!(out, "{what}"); // a String takes everything
}

fn unknown(out: &mut String, why: &str) {
    out.extend(["unknown: ", why]);
}

fn known(out: &mut String, value: &Known<String>) {
    match value {
        Ok(value) => out.push_str(value),
        Err(why) => unknown(out, why),
    }
}

/// Appends the template with values in the place of its signs: `#` a number, `%` bytes, `$` milliseconds as seconds with
/// two decimals, `~` milliseconds as people say it.
#[inline(never)]
fn fill(out: &mut String, template: &str, values: &[Option<u64>]) {
    let mut values = values.iter().flatten();
    for sign in template.chars() {
        let mut next = || values.next().copied().unwrap_or_default();
        match sign {
            '#' => show(out, &next()),
            '%' => {
                decimal(out, next().saturating_mul(10) >> 20, 10);
                out.push_str(" MiB");
            }
            '$' => decimal(out, next() / 10, 100),
            '~' => show(out, &Span(Duration::from_millis(next()))),
            sign => out.push(sign),
        }
    }
}

/// What the process has used, as the text and JSON tell it.
#[inline(never)]
fn used(crash: &Crash) -> [Option<u64>; 7] {
    let Ok(usage) = &crash.usage else { return [None; 7] };
    [
        milliseconds(Some(usage.user)),
        milliseconds(Some(usage.system)),
        Some(usage.most_memory),
        Some(usage.major_faults),
        Some(usage.minor_faults),
        Some(usage.voluntary_switches),
        Some(usage.involuntary_switches),
    ]
}

/// What the cgroup says, as the text and JSON tell it.
#[inline(never)]
fn measured(crash: &Crash) -> [Option<u64>; 11] {
    let mut values = [None; 11];
    values[1] = crash.kills_before;
    if let Ok(figures) = &crash.figures {
        values[0] = figures.oom_kills;
        values[2] = figures.memory;
        values[3] = figures.memory_peak;
        values[4] = figures.memory_limit;
        values[5] = figures.pids;
        values[6] = figures.pids_limit;
        values[7] = milliseconds(figures.cpu_limit);
        values[8] = milliseconds(figures.cpu_throttled);
        values[9] = figures.cpu_throttled_periods;
        values[10] = figures.cpu_periods;
    }
    values
}

fn history(out: &mut String, crash: &Crash) {
    show(out, &crash.starts);
    out.push_str(" so far");
    let mut lead = "; ";
    for (status, count) in crash.exits.iter().take(MANY) {
        out.push_str(lead);
        show(out, &Fate(*status));
        fill(out, " #x", &[Some(*count)]);
        lead = ", ";
    }
}

const NOT_SAID: &str = "unknown: the cgroup does not say";

/// The rows on what the container may use.
fn limited(text: &mut Text, crash: &Crash) {
    let [kills, before, memory, peak, memory_limit, pids, pids_limit, cpu, held @ ..] = measured(crash);
    let row = text.row("OOM");
    row.push_str(out_of_memory(&crash.report));
    let new = kills.unwrap_or(0).saturating_sub(before.unwrap_or(0));
    let template = match (kills, before) {
        (Some(_), Some(_)) => "; # kills in the container, # of them new",
        (Some(_), None) => "; # kills in the container, nobody knows when",
        (None, _) => "; kills in the container unknown: the cgroup does not say",
    };
    fill(row, template, &[kills, Some(new)]);
    if let Err(why) = &crash.figures {
        for label in ["memory", "CPU", "processes"] {
            unknown(text.row(label), why);
        }
        return;
    }
    let row = text.row("memory");
    of_limit(row, "% of %", "%, no limit", &[memory, memory_limit]);
    let template =
        if peak.is_some() { "; % at most" } else { "; the most is unknown: this kernel does not say" };
    fill(row, template, &[peak]);
    let row = text.row("CPU");
    if cpu.is_none() {
        row.push_str("no limit");
    } else {
        fill(row, "limit $; held back ", &[cpu]);
        fill(row, if held.contains(&None) { NOT_SAID } else { "for ~ in # of # periods" }, &held);
    }
    of_limit(text.row("processes"), "# of #", "#, no limit", &[pids, pids_limit]);
}

/// Fills the first template where there is a limit, else the second.
fn of_limit(out: &mut String, limited: &str, free: &str, values: &[Option<u64>; 2]) {
    let template = match values {
        [Some(_), Some(_)] => limited,
        [Some(_), None] => free,
        [None, _] => NOT_SAID,
    };
    fill(out, template, values);
}

fn user(out: &mut String, crash: &Crash) {
    match &crash.user {
        Some(user) => out.push_str(&short(user.clone(), WORD)),
        None => fill(out, "# (sexton's own)", &[Some(crash.own_uid.into())]),
    }
    if let Some(umask) = crash.umask {
        out.extend([", umask ", &octal(umask)]);
    }
    for (name, value) in [(", nice ", crash.nice), (", oom_score_adj ", crash.oom_score_adj)] {
        if let Some(value) = value {
            out.push_str(name);
            show(out, &value);
        }
    }
}

fn octal(umask: u32) -> String {
    format!("{umask:03o}")
}

fn limits(out: &mut String, crash: &Crash) {
    for (name, soft, hard) in &crash.limits {
        if soft.is_some() {
            out.push_str(name);
            fill(out, " #", &[*soft]);
            if soft != hard {
                fill(out, if hard.is_some() { " (hard #)" } else { " (hard unlimited)" }, &[*hard]);
            }
            out.push_str(", ");
        }
    }
    out.push_str("the others unlimited");
}

fn listed(out: &mut String, few: &Few) {
    let mut lead = "";
    for word in &few.words {
        out.extend([lead, word]);
        lead = ", ";
    }
    if few.more > 0 {
        fill(out, " and # more", &[Some(few.more as u64)]);
    } else if few.words.is_empty() {
        out.push_str("none");
    }
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
        fill(&mut text, "and # words more", &[Some(few.more as u64)]);
    }
    text.truncate(text.trim_ascii_end().len());
    text
}

// --- JSON

/// The report as one JSON object; what is not known is `null`.
#[must_use]
pub fn render_json(crash: &Crash) -> String {
    let report = &crash.report;
    let mut json = Json::new();
    json.open('{');
    json.texts("message program", &[Some(&sentence(report)), Some(&report.program)]);
    json.key("pid").signed(crash.pid.ok());
    let (mut ran, mut signal, mut core, mut code) = (None, None, None, None);
    let cause = match &report.cause {
        Cause::Ended { status, ran: time, .. } => {
            ran = Some(*time);
            match status {
                Status::Exited(number) => {
                    code = Some(u64::from(*number));
                    "exited"
                }
                Status::Killed { signal: by, core: is_dumped } => {
                    (signal, core) = (Some(by.to_string()), Some(u64::from(*is_dumped)));
                    "killed"
                }
            }
        }
        Cause::Refused(_) => "not started",
        Cause::Unkillable => "unkillable",
    };
    json.texts("started ended cause", &[crash.started.as_deref().ok(), Some(&crash.ended), Some(cause)]);
    json.numbers("code", &[code]);
    json.texts("signal", &[signal.as_deref()]);
    json.numbers("core_dumped", &[core]);
    json.texts("core_pattern", &[crash.core_pattern.as_deref()]);
    let restart = match report.sequel {
        Sequel::Restart { after, .. } => Some(after),
        Sequel::Nothing | Sequel::RetriesUsed(..) | Sequel::TooManyRestarts(_) => None,
    };
    json.numbers(
        "ran_seconds restart_seconds starts",
        &[milliseconds(ran), milliseconds(restart), Some(crash.starts)],
    );
    json.key("exits").open('[');
    for (status, count) in crash.exits.iter().take(MANY) {
        json.open('{');
        json.texts("how", &[Some(&Fate(*status).to_string())]);
        json.numbers("times", &[Some(*count)]);
        json.close('}');
    }
    json.close(']');
    json.numbers(
        "user_seconds system_seconds most_memory_bytes major_faults minor_faults voluntary_switches involuntary_switches",
        &used(crash),
    );
    json.texts("oom", &[Some(out_of_memory(report))]);
    json.key("cgroup").open('{');
    json.numbers(
        "oom_kills oom_kills_before memory_bytes memory_most_bytes memory_limit_bytes pids pids_limit cpu_limit \
         cpu_throttled_seconds cpu_throttled_periods cpu_periods",
        &measured(crash),
    );
    json.close('}');
    few(&mut json, "command", Some(&crash.command));
    let umask = crash.umask.map(octal);
    let texts = [crash.directory.as_deref().ok(), crash.user.as_deref(), umask.as_deref()];
    json.texts("directory user umask", &texts);
    json.key("nice").signed(crash.nice);
    json.key("oom_score_adj").signed(crash.oom_score_adj);
    json.key("limits").open('{');
    for (name, soft, hard) in &crash.limits {
        json.key(name).open('{');
        for (name, limit) in [("soft", soft), ("hard", hard)] {
            match limit {
                Some(_) => json.numbers(name, &[*limit]),
                None => json.key(name).string("unlimited"),
            }
        }
        json.close('}');
    }
    json.close('}');
    few(&mut json, "variables", Some(&crash.environment));
    few(&mut json, "listening", crash.listening.as_ref().ok());
    json.key("programs").open('[');
    for other in &crash.others {
        json.open('{');
        json.texts("name state", &[Some(&other.name), Some(other.state)]);
        json.key("pid").signed(other.pid);
        json.texts("last_end", &[other.last_end.as_deref()]);
        json.close('}');
    }
    json.close(']');
    more(&mut json, "programs_more", crash.more_others);
    json.numbers("uptime_seconds", &[milliseconds(Some(report.uptime))]);
    json.texts(
        "hostname sexton kernel",
        &[crash.hostname.as_deref().ok(), Some(env!("CARGO_PKG_VERSION")), crash.kernel.as_deref().ok()],
    );
    json.numbers("missing_reports", &[Some(crash.skipped)]);
    words(&mut json, "stdout", crash.stdout.as_deref().ok());
    words(&mut json, "stderr", crash.stderr.as_deref().ok());
    json.close('}');
    json.close('\n');
    json.finish()
}

fn words(json: &mut Json, name: &str, words: Option<&[String]>) {
    let Some(words) = words else { return json.texts(name, &[None]) };
    json.key(name).open('[');
    for word in words {
        json.string(word);
    }
    json.close(']');
}

fn few(json: &mut Json, name: &str, few: Option<&Few>) {
    words(json, name, few.map(|few| few.words.as_slice()));
    more(json, &(name.to_owned() + "_more"), few.map_or(0, |few| few.more));
}

fn more(json: &mut Json, name: &str, more: usize) {
    if more > 0 {
        json.numbers(name, &[Some(more as u64)]);
    }
}

/// The beginning of a text that is too long.
fn short(text: String, limit: usize) -> String {
    if text.len() <= limit { text } else { shortened(&text, limit).to_owned() + "\u{2026}" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Pid, Sender};
    use crate::outcome::{OutOfMemory, Refusal};
    use crate::plan::ProgramId;
    use crate::signal::Signal;
    use crate::snapshot::{Doing, Life, Program};
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
