//! How the programs are, in a table of 80 columns and in JSON.

use std::time::Duration;

use super::View;
use crate::health::{put, word};
use crate::json::Json;
use crate::notice::{Ending, Fate, Origin, Reasons};
use crate::outcome::{Cause, Report, Sequel, Status};
use crate::plan::{Condition, Role};
use crate::snapshot::{Doing, Life, Program, Snapshot};
use crate::time::{Span, Time, utc_of};

/// How wide a terminal is that nobody has made wider.
const WIDTH: usize = 80;
/// From here on a name does not make its column wider.
const LONG_NAME: usize = 24;

/// What supervisorctl counts as running, a step or a program that is done as expected, and what only waits for its turn.
pub(super) fn is_well(program: &Program) -> bool {
    match (program.state, &program.doing) {
        ("STARTING" | "RUNNING" | "BACKOFF", _)
        | ("EXITED", Doing::StartsAgain(..))
        | (_, Doing::Waits { in_vain: None, .. }) => true,
        ("EXITED", _) => !program.is_wanted,
        _ => false,
    }
}

// --- text

pub(super) fn text(view: &View<'_>) -> String {
    let mut out = String::new();
    if let Some(line) = headline(view.snapshot).filter(|_| !view.programs.is_empty()) {
        flow(&mut out, 0, 2, &line);
        out.push('\n');
    }
    let programs = &view.programs;
    let mut width = "NAME".len();
    for program in programs {
        let own = program.name.chars().count();
        if own <= LONG_NAME {
            width = width.max(own);
        }
    }
    if !programs.is_empty() {
        cells(&mut out, width, ["NAME", "STATE", "PID", "UPTIME", "RESTARTS", "READY"]);
        out.push('\n');
    }
    for program in programs {
        row(&mut out, width, program, view.snapshot.now);
    }
    say_unknown(&mut out, view);
    out
}

pub(super) fn say_unknown(out: &mut String, view: &View<'_>) {
    for name in &view.unknown {
        put(out, format_args!("{name}: ERROR (no such program)\n"));
    }
}

fn cells(out: &mut String, width: usize, [name, state, pid, uptime, restarts, ready]: [&str; 6]) {
    let line = format_args!("{name:width$}  {state:8}  {pid:>5}  {uptime:>6}  {restarts:>8}  {ready:5}");
    put(out, line);
}

fn row(out: &mut String, width: usize, program: &Program, now: Time) {
    let (pid, uptime) = match program.process {
        Some((pid, since)) => (pid.0.to_string(), long(now.since(since))),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let restarts = program.starts.saturating_sub(1).to_string();
    let ready = match (program.is_step, program.process, program.is_ready) {
        (true, ..) | (_, None, _) => "-",
        (_, _, true) => "yes",
        (_, _, false) => "no",
    };
    cells(out, width, [&program.name, program.state, &pid, &uptime, &restarts, ready]);
    let mut note = note(program, now);
    if program.is_step {
        note.insert_str(0, if note.is_empty() { "step" } else { "step, " });
    }
    let start = out.rfind('\n').map_or(0, |end| end + 1);
    let column = out[start..].chars().count() + 2;
    if note.is_empty() {
        out.truncate(out.trim_end().len());
    } else if column + note.chars().count() <= WIDTH {
        out.push_str("  ");
        flow(out, column, column, &note);
    } else {
        out.truncate(out.trim_end().len());
        put(out, format_args!("\n{:1$}", "", width + 2));
        flow(out, width + 2, width + 2, &note);
    }
    out.push('\n');
}

/// Appends words where a line stands at `column`; further lines begin at `indent`, and are longer than a terminal is wide
/// only where a word is.
pub(super) fn flow(out: &mut String, mut column: usize, indent: usize, text: &str) {
    let mut is_first = true;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if is_first {
            is_first = false;
        } else if column + 1 + length > WIDTH {
            put(out, format_args!("\n{:indent$}", ""));
            column = indent;
        } else {
            out.push(' ');
            column += 1;
        }
        column += length;
        // What somebody else wrote is not to steer a terminal.
        for c in word.chars() {
            if c.is_control() {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
    }
}

/// Where the container is in its life, where it is not simply up.
pub(super) fn headline(snapshot: &Snapshot) -> Option<String> {
    let now = snapshot.now;
    let mut line = match snapshot.life {
        Life::Up => return None,
        Life::Draining => "draining".to_owned(),
        Life::Stopping => "stopping".to_owned(),
        Life::Holding => format!("held for {}", short(snapshot.held.unwrap_or_default())),
    };
    let is_held = snapshot.life == Life::Holding;
    let is_draining = snapshot.life == Life::Draining;
    if let Some((signal, sender, since)) = snapshot.stop.filter(|_| !is_held) {
        put(&mut line, format_args!(" for {} ({signal} from {})", short(now.since(since)), Origin(sender)));
    } else if let Some(culprit) = snapshot.culprit.as_ref().filter(|_| !is_draining)
        && let Some(program) = snapshot.programs.iter().find(|program| program.name == *culprit)
        && let Some(report) = &program.last_end
    {
        put(&mut line, format_args!(": {culprit} {}", fate(report)));
    }
    if is_held {
        line.push_str("; release: sexton release [--restart]");
    } else if let Some(at) = snapshot.ends_at {
        let what = if is_draining { "programs are told to stop" } else { "SIGKILL" };
        put(&mut line, format_args!(", {what} in {}", short(at.since(now))));
    }
    Some(line)
}

/// The most useful thing to say of a program: what comes next, what it waits for, how it ended.
pub(super) fn note(program: &Program, now: Time) -> String {
    let last = || last_end(program, now);
    match &program.doing {
        Doing::Waits { on, condition, in_vain } => {
            let mut text = format!("waits for {on} to be {}", condition.word());
            if let Some(blocker) = in_vain {
                put(&mut text, format_args!(", in vain: {blocker} has ended for good"));
            }
            text
        }
        Doing::Starts(Some(at)) => {
            format!("counts as started in {}{}", short(at.since(now)), before(program, now))
        }
        Doing::Starts(None) => {
            let is_open = |probe: &crate::snapshot::Probe| {
                probe.role == Role::Startup && probe.is_success != Some(true)
            };
            let what = if program.probes.iter().any(is_open) {
                "its startup probe has not passed yet"
            } else {
                "its post_start hook runs"
            };
            format!("{what}{}", before(program, now))
        }
        Doing::StartsAgain(at, retry) => {
            let mut text = String::new();
            if let Some(last) = last() {
                put(&mut text, format_args!("{}; ", without_surprise(&last)));
            }
            put(&mut text, format_args!("again in {}", short(at.since(now))));
            if let Some((which, of)) = retry {
                put(&mut text, format_args!(" ({which} of {of})"));
            }
            text
        }
        Doing::RunsPreStop(until) => {
            format!("its pre_stop hook runs, for {} at most", short(until.since(now)))
        }
        Doing::Stops(Some(at)) => format!("told to stop; SIGKILL in {}", short(at.since(now))),
        Doing::Stops(None) => "told to stop; has all the time it wants".to_owned(),
        Doing::IsKilled => "has got SIGKILL".to_owned(),
        Doing::Nothing => match (program.state, program.process) {
            (_, Some(_)) if program.is_paused => "stopped by a signal; SIGCONT continues it".to_owned(),
            ("RUNNING", _) if !program.is_ready => not_ready(program).to_owned() + &before(program, now),
            (_, Some(_)) => {
                let mut text = before(program, now);
                text.drain(..text.len().min("; ".len()));
                text
            }
            ("STOPPED", None) if program.is_stopped_by_hand => match program.ended_at {
                Some(at) => format!("stopped by an operator {} ago", short(now.since(at))),
                None => "stopped by an operator".to_owned(),
            },
            ("STOPPED", None) if program.starts == 0 && program.last_end.is_none() => {
                if program.is_wanted {
                    String::new()
                } else {
                    "starts when somebody starts it".to_owned()
                }
            }
            ("EXITED", None) if program.is_step && !program.is_wanted => match program.ended_at {
                Some(at) => format!("done {} ago", short(now.since(at))),
                None => "done".to_owned(),
            },
            (_, None) => last().unwrap_or_default(),
        },
    }
}

fn not_ready(program: &Program) -> &'static str {
    let probe = program.probes.iter().find(|probe| probe.role == Role::Readiness);
    match probe.map(|probe| probe.is_success) {
        Some(Some(_)) => "not ready: its readiness probe fails",
        Some(None) => "not ready: its readiness probe has not passed yet",
        None => "not ready: it has not said that it is",
    }
}

/// How its process before this one ended, as the rest of a sentence.
fn before(program: &Program, now: Time) -> String {
    match last_end(program, now) {
        Some(last) if program.starts > 1 => format!("; before: {}", without_surprise(&last)),
        Some(_) | None => String::new(),
    }
}

/// The same where its state says that nobody expected it.
fn without_surprise(end: &str) -> &str {
    end.strip_suffix(" (unexpected)").unwrap_or(end)
}

/// How and when its last process ended, and why.
fn last_end(program: &Program, now: Time) -> Option<String> {
    let report = program.last_end.as_deref()?;
    let ago = program.ended_at.map(|at| format!(" {} ago", short(now.since(at)))).unwrap_or_default();
    Some(match &report.cause {
        Cause::Ended { .. } | Cause::Unkillable => format!("{}{ago}{}", fate(report), Reasons(report)),
        Cause::Refused(_) => format!("{}{}", fate(report), Reasons(report)),
    })
}

fn fate(report: &Report) -> String {
    match &report.cause {
        Cause::Ended { status, .. } => Fate(*status).to_string(),
        Cause::Refused(refusal) => refusal.reason.clone(),
        Cause::Unkillable => "could not be ended with SIGKILL".to_owned(),
    }
}

/// A length of time in a sentence: whole seconds, or tenths of the first.
pub(super) fn short(span: Duration) -> String {
    let seconds = span.as_secs();
    if (1..10).contains(&seconds) { format!("{seconds}s") } else { Span(span).to_string() }
}

/// A length of time in a column.
fn long(span: Duration) -> String {
    let seconds = span.as_secs();
    if seconds < 10 { format!("{seconds}s") } else { Span(span).to_string() }
}

// --- JSON

pub(super) fn json(view: &View<'_>) -> String {
    let mut json = Json::new();
    json.open('{');
    json.key("version").string(env!("CARGO_PKG_VERSION"));
    json.key("pid").number(Some(view.here.pid.into()));
    json.key("now").string(&utc_of(view.here.wall));
    json.key("container");
    container(&mut json, view);
    json.key("programs").open('[');
    for program in &view.programs {
        one(&mut json, view, program);
    }
    json.close(']');
    unknown(&mut json, view);
    json.close('}');
    json.finish()
}

/// The names that are nobody's, where there are any.
pub(super) fn unknown(json: &mut Json, view: &View<'_>) {
    if !view.unknown.is_empty() {
        json.key("unknown").open('[');
        view.unknown.iter().for_each(|name| json.string(name));
        json.close(']');
    }
}

impl View<'_> {
    /// The time of day in UTC.
    pub(super) fn at(&self, time: Time) -> Duration {
        let (now, wall) = (self.snapshot.now, self.here.wall);
        wall.saturating_sub(now.since(time)).saturating_add(time.since(now))
    }

    fn stamp(&self, json: &mut Json, key: &str, time: Option<Time>) {
        let text = time.map(|time| utc_of(self.at(time)));
        json.key(key).text(text.as_deref());
    }
}

pub(super) fn container(json: &mut Json, view: &View<'_>) {
    let snapshot = view.snapshot;
    json.open('{');
    json.key("state").string(match snapshot.life {
        Life::Up => "up",
        Life::Draining => "draining",
        Life::Stopping => "stopping",
        Life::Holding => "held",
    });
    view.stamp(json, "started_at", Some(Time::default()));
    json.key("uptime_seconds").seconds(Some(snapshot.now.since_start()));
    json.key("hold").boolean(snapshot.holds_failures);
    json.key("held_for_seconds").seconds(snapshot.held);
    view.stamp(json, "held_until", snapshot.held_until);
    json.key("holds").number(Some(snapshot.holds));
    json.key("culprit").text(snapshot.culprit.as_deref());
    if let Some((signal, sender, since)) = snapshot.stop {
        json.key("stop").open('{');
        json.key("signal").string(&signal.to_string());
        json.key("from").string(&Origin(sender).to_string());
        view.stamp(json, "at", Some(since));
        json.close('}');
    } else {
        json.key("stop").text(None);
    }
    view.stamp(json, "ends_at", snapshot.ends_at);
    json.close('}');
}

fn one(json: &mut Json, view: &View<'_>, program: &Program) {
    let now = view.snapshot.now;
    json.open('{');
    json.key("name").string(&program.name);
    json.key("kind").string(if program.is_step { "step" } else { "program" });
    json.key("state").string(program.state);
    let process = program.process;
    json.key("pid").number(process.and_then(|(pid, _)| u64::try_from(pid.0).ok()));
    json.key("uptime_seconds").seconds(process.map(|(_, since)| now.since(since)));
    view.stamp(json, "started_at", process.map(|(_, since)| since));
    json.key("starts").number(Some(program.starts));
    json.key("restarts").number(Some(program.starts.saturating_sub(1)));
    for (key, is) in [
        ("started", program.has_started),
        ("ready", program.is_ready),
        ("essential", program.is_essential),
        ("paused", program.is_paused),
        ("stopped_by_operator", program.is_stopped_by_hand),
    ] {
        json.key(key).boolean(is);
    }
    json.key("last_exit");
    match &program.last_end {
        Some(report) => end(json, view, report, program.ended_at),
        None => json.text(None),
    }
    next(json, view, &program.doing);
    json.key("probes").open('[');
    for probe in &program.probes {
        json.open('{');
        json.key("probe").string(word(probe.role));
        let success = probe.is_success.map(|is| if is { "success" } else { "failure" });
        json.key("result").text(success);
        json.key("succeeded").number(Some(probe.passed));
        json.key("failed").number(Some(probe.failed));
        json.key("errors").number(Some(probe.errors));
        json.close('}');
    }
    json.close(']');
    json.key("text").string(&note(program, now));
    json.close('}');
}

fn end(json: &mut Json, view: &View<'_>, report: &Report, at: Option<Time>) {
    let (code, signal, core, ran) = match &report.cause {
        Cause::Ended { status: Status::Exited(code), ran, .. } => (Some(*code), None, false, Some(*ran)),
        Cause::Ended { status: Status::Killed { signal, core }, ran, .. } => {
            (None, Some(signal.to_string()), *core, Some(*ran))
        }
        Cause::Refused(_) | Cause::Unkillable => (None, None, false, None),
    };
    json.open('{');
    json.key("code").number(code.map(u64::from));
    json.key("signal").text(signal.as_deref());
    json.key("core").boolean(core);
    view.stamp(json, "at", at);
    json.key("ran_seconds").seconds(ran);
    json.key("expected").boolean(report.is_expected);
    json.key("given_up")
        .boolean(matches!(report.sequel, Sequel::RetriesUsed(..) | Sequel::TooManyRestarts(_)));
    json.key("text").string(&Ending(report).to_string());
    json.close('}');
}

fn next(json: &mut Json, view: &View<'_>, doing: &Doing) {
    let (what, at, retry) = match doing {
        Doing::Nothing | Doing::Waits { .. } => (None, None, None),
        Doing::Starts(at) => (Some("started"), *at, None),
        Doing::StartsAgain(at, retry) => (Some("start"), Some(*at), *retry),
        Doing::RunsPreStop(at) => (Some("stop"), Some(*at), None),
        Doing::Stops(at) => (Some("kill"), *at, None),
        Doing::IsKilled => (Some("end"), None, None),
    };
    json.key("next");
    if what.is_some() {
        json.open('{');
        json.key("what").text(what);
        view.stamp(json, "at", at);
        json.key("in_seconds").seconds(at.map(|at| at.since(view.snapshot.now)));
        json.key("retry").number(retry.map(|(which, _)| which.into()));
        json.key("of").number(retry.map(|(_, of)| of.into()));
        json.close('}');
    } else {
        json.text(None);
    }
    json.key("waits_for");
    if let Doing::Waits { on, condition, in_vain } = doing {
        json.open('{');
        json.key("program").string(on);
        json.key("condition").string(Condition::word(*condition));
        json.key("in_vain_for").text(in_vain.as_deref());
        json.close('}');
    } else {
        json.text(None);
    }
}
