//! What a configuration means, as `sexton check` prints it: TOML again, with every default filled in.
//!
//! The comments say what no key says: the order of starting and stopping, and what may go wrong with it.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use super::{is_assumed, longest_stop};
use crate::config::{self, Config};
use crate::plan::{
    AutoRestart, Command, Condition, Growth, HoldOn, Kind, Output, Plan, Program, ProgramId, Readiness,
    Setup, Sidecars, Sink, Style, Supervised, Wait,
};
use crate::time::Span;

pub(super) fn overview(path: &Path, config: &Config, plan: &Plan, setup: &Setup) -> String {
    let mut text = String::new();
    let (starts, stops) = (levels(plan, false), levels(plan, true));
    line(&mut text, &format!("# {}: no errors", path.display()));
    line(&mut text, &format!("# starts: {starts}"));
    line(&mut text, &format!("# stops:  {stops}"));
    let grace = if is_assumed(plan.grace) { "assumed, as none is set" } else { "set" };
    let (longest, whole) = (longest_stop(plan), plan.grace.whole());
    line(
        &mut text,
        &format!("# grace period: {} ({grace}); the longest stop: {}", Span(whole), Span(longest)),
    );
    for warning in config::warnings(config) {
        line(&mut text, &format!("# warning: {warning}"));
    }
    if longest > plan.grace.budget() {
        let warning = format!(
            "# warning: stopping may take {}, and sexton has {} for it: whoever comes last may be killed",
            Span(longest),
            Span(plan.grace.budget())
        );
        line(&mut text, &warning);
    }
    whole_file(&mut text, plan, setup);
    for id in &plan.order {
        part(&mut text, config, plan, *id, &setup.commands[id.0]);
    }
    text
}

fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "{line}"); // a String takes everything
}

/// The programs level by level: what stands in one level starts, or stops, at the same time.
fn levels(plan: &Plan, is_stop: bool) -> String {
    let mut level = vec![0_usize; plan.programs.len()];
    for id in &plan.order {
        let before = plan.program(*id).after.iter().map(|(on, _)| level[on.0] + 1);
        level[id.0] = before.max().unwrap_or(0);
    }
    let deepest = level.iter().copied().max().unwrap_or(0);
    let mut levels: Vec<String> = (0..=deepest)
        .map(|wanted| {
            let names: Vec<&str> = plan
                .order
                .iter()
                .filter(|id| level[id.0] == wanted)
                .map(|id| plan.program(*id))
                .filter(|program| if is_stop { !is_step(program) } else { program.autostart })
                .map(|program| program.name.as_str())
                .collect();
            names.join(" and ")
        })
        .filter(|names| !names.is_empty())
        .collect();
    if is_stop {
        levels.reverse();
    }
    if levels.is_empty() { "nothing".to_owned() } else { levels.join(", then ") }
}

fn is_step(program: &Program) -> bool {
    match program.kind {
        Kind::Step { .. } => true,
        Kind::Program { .. } => false,
    }
}

fn whole_file(text: &mut String, plan: &Plan, setup: &Setup) {
    if let Some(main) = plan.main {
        line(text, &format!("main = {}", quoted(&plan.program(main).name)));
    }
    if !is_assumed(plan.grace) {
        line(text, &format!("grace_period = {}", duration(plan.grace.whole())));
    }
    if plan.wait == Wait::All {
        line(text, "# --wait all");
    }
    let on = match plan.hold.on {
        HoldOn::Never => "never",
        HoldOn::Failure => "failure",
        HoldOn::Always => "always",
    };
    let sidecars = match plan.hold.sidecars {
        Sidecars::Keep => "keep",
        Sidecars::Stop => "stop",
    };
    let limit = plan.hold.limit.map_or_else(|| quoted("forever"), duration);
    line(text, &format!("\n[hold]\non = \"{on}\"\nfor = {limit}\nsidecars = \"{sidecars}\""));
    if let Some(file) = &setup.hold_file {
        line(text, &format!("file = {}", quoted(&file.to_string_lossy())));
    }
    line(text, &format!("\n[drain]\ndelay = {}", duration(plan.drain.delay)));
    line(text, &format!("\n[log]\n{}", style(setup.log)));
    if let Some(message) = &setup.message {
        let path = quoted(&message.path.to_string_lossy());
        line(text, &format!("\n[termination_message]\npath = {path}\nlines = {}", setup.tail));
    }
}

fn part(text: &mut String, config: &Config, plan: &Plan, id: ProgramId, command: &Command) {
    let rules = plan.program(id);
    let Some(own) = &command.supervised else { return };
    let mut key = |name: &str, value: String| line(text, &format!("{name} = {value}"));
    match rules.kind {
        Kind::Step { timeout } => {
            key("\n[[step]]\nname", quoted(&rules.name));
            if let Some(timeout) = timeout {
                key("timeout", duration(timeout));
            }
            key("retries", rules.startretries.to_string());
        }
        Kind::Program { startsecs } => {
            key(&format!("\n[program.{}]\nprocess_name", quoted(&rules.name)), quoted(&rules.name));
            if let Some(program) = config.programs.iter().find(|program| program.process.name == rules.name) {
                key("priority", program.priority.to_string());
            }
            key("autostart", rules.autostart.to_string());
            key("autorestart", restart_word(rules.autorestart).to_owned());
            key("startsecs", seconds(startsecs));
            key("startretries", rules.startretries.to_string());
            key("essential", rules.essential.to_string());
            key("backoff_max", duration(rules.backoff.max));
            match rules.backoff.growth {
                Some(Growth::Linear) => key("backoff", quoted("linear")),
                Some(Growth::Exponential) => key("backoff", quoted("exponential")),
                None => {}
            }
            if let Some(delay) = rules.restart_delay {
                key("restart_delay", duration(delay));
            }
            if let Some(limit) = rules.restart_limit {
                let within = duration(limit.within);
                key("restart_limit", format!("{{ count = {}, within = {within} }}", limit.count));
            }
            let after: Vec<String> = rules
                .after
                .iter()
                .filter(|(on, _)| !is_step(plan.program(*on)))
                .map(|(on, so_far)| {
                    format!("{} = \"{}\"", quoted(&plan.program(*on).name), condition(*so_far))
                })
                .collect();
            if !after.is_empty() {
                key("after", format!("{{ {} }}", after.join(", ")));
            }
            match rules.readiness {
                Readiness::Running => {}
                Readiness::Notify => key("notify", "true".to_owned()),
                Readiness::Descriptor(number) => key("notify_fd", number.to_string()),
            }
        }
    }
    let words: Vec<String> = command.argv.iter().map(|word| quoted(&word.to_string_lossy())).collect();
    key("command", format!("[{}]", words.join(", ")));
    key("exitcodes", format!("{:?}", rules.exitcodes));
    key("stopsignal", quoted(&rules.stopsignal.to_string()));
    if let Some(wait) = rules.stopwaitsecs {
        key("stopwaitsecs", seconds(wait));
    }
    key("stopasgroup", rules.stopasgroup.to_string());
    key("killasgroup", rules.killasgroup.to_string());
    if let Some(user) = &command.user {
        key("user", quoted(user));
    }
    process(&mut key, own);
}

fn process(key: &mut impl FnMut(&str, String), own: &Supervised) {
    if let Some(umask) = own.umask {
        key("umask", format!("\"{umask:03o}\""));
    }
    if let Some(directory) = &own.directory {
        key("directory", quoted(&directory.to_string_lossy()));
    }
    if let Some(adjustment) = own.oom_score_adj {
        key("oom_score_adj", adjustment.to_string());
    }
    if let Some(nice) = own.nice {
        key("nice", nice.to_string());
    }
    key("no_new_privs", own.no_new_privs.to_string());
    key("redirect_stderr", own.redirect_stderr.to_string());
    for (name, sink) in [("stdout", &own.stdout), ("stderr", &own.stderr)] {
        match sink {
            Sink::Container(style) if name == "stdout" => {
                key("output", output(*style).to_owned());
                key("timestamps", style.timestamps.to_string());
            }
            Sink::Container(_) => {}
            Sink::Nowhere => key(&format!("{name}_logfile"), quoted("NONE")),
            Sink::File(file) => {
                key(&format!("{name}_logfile"), quoted(&file.path.to_string_lossy()));
                key(&format!("{name}_logfile_maxbytes"), file.maxbytes.to_string());
                key(&format!("{name}_logfile_backups"), file.backups.to_string());
            }
        }
    }
    // Values may be secrets. These two every process has.
    let names = own.environment.iter().map(|(name, _)| name.to_string_lossy());
    let names: Vec<_> =
        names.filter(|name| !["SEXTON_PROGRAM", "SEXTON_PROCESS_NUM"].contains(&name.as_ref())).collect();
    if !names.is_empty() {
        key("# environment", names.join(", "));
    }
    let limit = |limit: Option<u64>| limit.map_or_else(|| quoted("unlimited"), |limit| limit.to_string());
    let limits: Vec<String> = own
        .rlimits
        .iter()
        .map(|(resource, soft, hard)| {
            let name = config::resource_name(*resource);
            format!("{name} = {{ soft = {}, hard = {} }}", limit(*soft), limit(*hard))
        })
        .collect();
    if !limits.is_empty() {
        key("rlimits", format!("{{ {} }}", limits.join(", ")));
    }
    let dropped: Vec<String> =
        config::capability_names(&own.drop_capabilities).into_iter().map(quoted).collect();
    key("drop_capabilities", format!("[{}]", dropped.join(", ")));
}

fn restart_word(autorestart: AutoRestart) -> &'static str {
    match autorestart {
        AutoRestart::Never => "false",
        AutoRestart::Unexpected => "\"unexpected\"",
        AutoRestart::Always => "true",
    }
}

fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::Started => "started",
        Condition::Ready => "ready",
        Condition::Completed => "completed",
    }
}

fn output(style: Style) -> &'static str {
    match style.output {
        Output::Prefix => "\"prefix\"",
        Output::Inherit => "\"inherit\"",
        Output::Json => "\"json\"",
    }
}

fn style(style: Style) -> String {
    format!("output = {}\ntimestamps = {}", output(style), style.timestamps)
}

/// A length of time as the file writes it.
fn duration(span: Duration) -> String {
    let milliseconds = span.as_millis();
    if milliseconds.is_multiple_of(1000) {
        format!("\"{}s\"", milliseconds / 1000)
    } else {
        format!("\"{milliseconds}ms\"")
    }
}

/// A number of seconds, as keys that end in `secs` take it.
fn seconds(span: Duration) -> String {
    let milliseconds = span.subsec_millis();
    if milliseconds == 0 {
        span.as_secs().to_string()
    } else {
        format!("{}.{milliseconds:03}", span.as_secs())
    }
}

/// A basic string of TOML. What could be taken for a variable stays what it is.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '$' => quoted.push_str("$$"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c)); // a String takes everything
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
