//! How the container came to where it is: what came to pass, and what comes next.

use std::time::Duration;

use super::View;
use super::status::{container, flow, headline, note, say_unknown, short, unknown};
use crate::health::put;
use crate::json::Json;
use crate::snapshot::{Doing, Happening, Life, Program};
use crate::time::{Time, utc_of};

/// Where the words of the time line begin.
const COLUMN: usize = 22;

pub(super) fn text(view: &View<'_>) -> String {
    let mut out = String::new();
    if view.programs.is_empty() && !view.unknown.is_empty() {
        say_unknown(&mut out, view);
        return out;
    }
    let mut day = String::new();
    for happening in happened(view) {
        let clock = Clock::new(view.at(happening.at));
        if clock.day != day {
            put(&mut out, format_args!("{} (UTC)\n", clock.day));
            day = clock.day;
        }
        let ago = short(view.snapshot.now.since(happening.at)) + " ago";
        put(&mut out, format_args!("{}{ago:>12}  ", clock.time));
        flow(&mut out, COLUMN, COLUMN, &happening.text);
        out.push('\n');
    }
    if day.is_empty() {
        out.push_str("nothing has happened yet\n");
    }
    let clock = Clock::new(view.here.wall);
    let day = if clock.day == day { String::new() } else { format!("{} ", clock.day) };
    put(&mut out, format_args!("\nNOW ({day}{} UTC)\n", clock.time));
    let mut say = |text: &str| {
        out.push_str("  ");
        flow(&mut out, 2, 4, text);
        out.push('\n');
    };
    match headline(view.snapshot) {
        Some(line) => say(&format!("The container is {line}.")),
        None => say(&format!("The container has been up for {}.", short(view.snapshot.now.since_start()))),
    }
    if let Some(at) = view.snapshot.held_until {
        say(&format!("The hold ends by itself in {}.", short(at.since(view.snapshot.now))));
    }
    let (mut quiet, mut done) = (0, 0);
    for program in &view.programs {
        let is_done = program.state == "EXITED" && !program.is_wanted;
        let is_quiet = program.state == "RUNNING" && program.is_ready && program.doing == Doing::Nothing;
        if !view.is_narrowed() && is_quiet && !program.is_paused {
            quiet += 1;
        } else if !view.is_narrowed() && is_done && program.is_step {
            done += 1;
        } else {
            say(&one(program, view.snapshot.now));
        }
    }
    let is_all = quiet + done == view.programs.len();
    let more = if is_all { "" } else { "more " };
    let mut rest = String::new();
    for (count, what, how) in [(quiet, "program", "RUNNING and ready"), (done, "step", "done")] {
        if count > 0 {
            let joint = if rest.is_empty() { "" } else { ", " };
            let are = if count == 1 { " is" } else { "s are" };
            put(&mut rest, format_args!("{joint}{count} {more}{what}{are} {how}"));
        }
    }
    if !rest.is_empty() {
        rest.push('.');
        say(&rest);
    }
    if view.snapshot.life == Life::Up && !view.is_narrowed() {
        say(&end(view));
    }
    say_unknown(&mut out, view);
    out
}

/// What one program does, in a sentence.
fn one(program: &Program, now: Time) -> String {
    let kind = if program.is_step { "step " } else { "" };
    let mut text = format!("{kind}{} is {}", program.name, program.state);
    if let Some((pid, since)) = program.process {
        put(&mut text, format_args!(" as process {} for {}", pid.0, short(now.since(since))));
    }
    let note = note(program, now);
    if !note.is_empty() {
        let joint = if note.starts_with("not ready") { ", " } else { ": " };
        put(&mut text, format_args!("{joint}{note}"));
    } else if program.is_ready {
        text.push_str(", and ready");
    }
    text.push('.');
    text
}

/// What would end the container, and what would become of it then.
fn end(view: &View<'_>) -> String {
    let mut text = "The container ends ".to_owned();
    let mut before = "with ";
    for program in view.snapshot.programs.iter().filter(|program| program.is_essential) {
        put(&mut text, format_args!("{before}{}", program.name));
        before = " or ";
    }
    if before == "with " {
        text.push_str("when all programs have ended");
    }
    let hold = if view.snapshot.holds_failures { "; a failure is held" } else { "; a failure is not held" };
    text.push_str(hold);
    text.push('.');
    text
}

/// What came to pass, as far as it is about who is asked for.
fn happened<'v>(view: &View<'v>) -> Vec<&'v Happening> {
    let mut happened = Vec::new();
    for happening in &view.snapshot.history {
        let about = happening.culprit.as_ref().or(happening.program.as_ref());
        if !view.is_narrowed()
            || about.is_some_and(|about| view.programs.iter().any(|one| one.name == *about))
        {
            happened.push(happening);
        }
    }
    happened
}

/// A time of day, in two words.
struct Clock {
    day: String,
    time: String,
}

impl Clock {
    fn new(since_1970: Duration) -> Clock {
        let text = utc_of(since_1970);
        let (day, time) = text.split_once('T').unwrap_or_default();
        let (day, time) = (day.to_owned(), time.trim_end_matches('Z').to_owned());
        Clock { day, time }
    }
}

pub(super) fn json(view: &View<'_>) -> String {
    let mut json = Json::new();
    json.open('{');
    json.key("now").string(&utc_of(view.here.wall));
    json.key("container");
    container(&mut json, view);
    json.key("events").open('[');
    for happening in happened(view) {
        json.open('{');
        json.key("at").string(&utc_of(view.at(happening.at)));
        json.key("seconds_ago").seconds(Some(view.snapshot.now.since(happening.at)));
        json.key("level").string(&happening.level.as_str().to_ascii_lowercase());
        json.key("program").text(happening.program.as_deref());
        json.key("text").string(&happening.text);
        json.close('}');
    }
    json.close(']');
    json.key("programs").open('[');
    for program in &view.programs {
        json.open('{');
        json.key("name").string(&program.name);
        json.key("text").string(&one(program, view.snapshot.now));
        json.close('}');
    }
    json.close(']');
    unknown(&mut json, view);
    json.close('}');
    json.finish()
}
