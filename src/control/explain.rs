//! How the container came to where it is: what came to pass, and what comes next.

use std::time::Duration;

use super::View;
use super::status::{container, flow, headline, note, short, unknown};
use crate::health::put;
use crate::json::Json;
use crate::notice::Notice;
use crate::snapshot::{Doing, Life, Program};
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
    for (time, notice) in happened(view) {
        let clock = Clock::new(view.at(*time));
        if clock.day != day {
            put(&mut out, format_args!("{} (UTC)\n", clock.day));
            day = clock.day;
        }
        let ago = short(view.snapshot.now.since(*time)) + " ago";
        put(&mut out, format_args!("{}{ago:>12}  ", clock.time));
        flow(&mut out, COLUMN, COLUMN, &notice.to_string());
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
    let many = |count: usize, what: &str| match (is_all, count) {
        (true, 1) => format!("1 {what} is"),
        (true, count) => format!("{count} {what}s are"),
        (false, 1) => format!("1 more {what} is"),
        (false, count) => format!("{count} more {what}s are"),
    };
    let mut rest = Vec::new();
    if quiet > 0 {
        rest.push(many(quiet, "program") + " RUNNING and ready");
    }
    if done > 0 {
        rest.push(many(done, "step") + " done");
    }
    if !rest.is_empty() {
        say(&(rest.join(", ") + "."));
    }
    if view.snapshot.life == Life::Up && !view.is_narrowed() {
        say(&end(view));
    }
    say_unknown(&mut out, view);
    out
}

fn say_unknown(out: &mut String, view: &View<'_>) {
    for name in &view.unknown {
        put(out, format_args!("{name}: ERROR (no such program)\n"));
    }
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
        text.extend([joint, &note]);
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
fn happened<'v>(view: &'v View<'_>) -> impl Iterator<Item = &'v (Time, Notice)> {
    view.snapshot.history.iter().filter(|(_, notice)| {
        let about = if let Notice::Held(report, _) = notice {
            Some(report.program.as_str())
        } else if let Notice::Over { program } = notice {
            Some(program.as_str())
        } else {
            notice.program()
        };
        !view.is_narrowed() || about.is_some_and(|about| view.programs.iter().any(|one| one.name == about))
    })
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
    for (time, notice) in happened(view) {
        json.open('{');
        json.key("at").string(&utc_of(view.at(*time)));
        json.key("seconds_ago").seconds(Some(view.snapshot.now.since(*time)));
        json.key("level").string(&notice.level().as_str().to_ascii_lowercase());
        json.key("program").text(notice.program());
        json.key("text").string(&notice.to_string());
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
