//! What a configuration means, as `sexton check` prints it: TOML again, with every default filled in.
//!
//! The comments say what no key says: the order of starting and stopping, and what may go wrong with it.

use std::ffi::OsString;
use std::fmt::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::{is_assumed, longest_stop};
use crate::config::{self, Config};
use crate::json;
use crate::plan::{
    AutoRestart, Command, Condition, Endpoint, Growth, Handler, HoldOn, Hook, HttpGet, Kind, Listen,
    ListenAddress, Output, Plan, Probe, Program, ProgramId, Readiness, Role, Setup, Sidecars, Sink, Style,
    Supervised, Wait,
};
use crate::text::join;
use crate::time::Span;

pub(super) fn overview(path: &Path, config: &Config, plan: &Plan, setup: &Setup) -> String {
    let mut text = String::new();
    let (starts, stops) = (levels(plan, false), levels(plan, true));
    line(&mut text, format_args!("# {}: no errors", path.display()));
    line(&mut text, format_args!("# starts: {starts}"));
    line(&mut text, format_args!("# stops:  {stops}"));
    let grace = if is_assumed(plan.grace) { "assumed, as none is set" } else { "set" };
    let (longest, whole) = (longest_stop(plan), plan.grace.whole());
    line(
        &mut text,
        format_args!("# grace period: {} ({grace}); the longest stop: {}", Span(whole), Span(longest)),
    );
    for warning in config::warnings(config) {
        line(&mut text, format_args!("# warning: {warning}"));
    }
    if longest > plan.grace.budget() {
        let warning = format_args!(
            "# warning: stopping may take {}, and sexton has {} for it: whoever comes last may be killed",
            Span(longest),
            Span(plan.grace.budget())
        );
        line(&mut text, warning);
    }
    if plan.drain.quiet.is_some() && is_assumed(plan.grace) {
        line(
            &mut text,
            format_args!(
                "# warning: a drain with `quiet` may take all the time that there is, which is only assumed: set `grace_period`"
            ),
        );
    }
    whole_file(&mut text, plan, setup);
    let mut listening = Vec::new();
    for id in &plan.order {
        part(&mut text, config, plan, *id, &setup.commands[id.0], &mut listening);
    }
    text
}

pub(super) fn line(text: &mut String, line: fmt::Arguments) {
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
            join(&names, " and ")
        })
        .filter(|names| !names.is_empty())
        .collect();
    if is_stop {
        levels.reverse();
    }
    if levels.is_empty() { "nothing".to_owned() } else { join(&levels, ", then ") }
}

fn is_step(program: &Program) -> bool {
    match program.kind {
        Kind::Step { .. } => true,
        Kind::Program { .. } => false,
    }
}

fn whole_file(text: &mut String, plan: &Plan, setup: &Setup) {
    if let Some(main) = plan.main {
        line(text, format_args!("main = {}", quoted(&plan.program(main).name)));
    }
    if !is_assumed(plan.grace) {
        line(text, format_args!("grace_period = {}", duration(plan.grace.whole())));
    }
    if let Some(directory) = &setup.crash_dir {
        line(text, format_args!("crash_dir = {}", quoted(&directory.to_string_lossy())));
    }
    if plan.wait == Wait::All {
        line(text, format_args!("# --wait all"));
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
    line(text, format_args!("\n[hold]\non = \"{on}\"\nfor = {limit}\nsidecars = \"{sidecars}\""));
    if setup.commands.iter().any(|command| command.freeze) {
        text.push_str("freeze = true\n");
    }
    if let Some(file) = &setup.hold_file {
        line(text, format_args!("file = {}", quoted(&file.to_string_lossy())));
    }
    drain(text, plan, setup);
    if let Some(address) = setup.health {
        line(text, format_args!("\n[health]\nlisten = \"{address}\""));
    }
    let socket = match &setup.control {
        Some(control) if !control.is_asked_for => None,
        Some(control) => Some(quoted(&control.path.to_string_lossy())),
        None => Some(quoted("none")),
    };
    if let Some(socket) = socket {
        line(text, format_args!("\n[control]\nsocket = {socket}"));
    }
    line(text, format_args!("\n[log]\n{}", style(setup.log)));
    if let Some(message) = &setup.message {
        let path = quoted(&message.path.to_string_lossy());
        line(text, format_args!("\n[termination_message]\npath = {path}\nlines = {}", setup.tail));
    }
}

fn drain(text: &mut String, plan: &Plan, setup: &Setup) {
    let readiness = if plan.drain.fails_readiness { "fail" } else { "keep" };
    line(
        text,
        format_args!("\n[drain]\ndelay = {}\nreadiness = \"{readiness}\"", duration(plan.drain.delay)),
    );
    if let Some(quiet) = plan.drain.quiet {
        let ignore: Vec<String> =
            setup.traffic.ignore.iter().map(|address| format!("\"{address}\"")).collect();
        line(
            text,
            format_args!(
                "quiet = {}\nports = {:?}\nloopback = {}\nignore = [{}]",
                duration(quiet),
                setup.traffic.ports,
                setup.traffic.loopback,
                join(&ignore, ", ")
            ),
        );
    }
}

/// One step or program; `listening` are the addresses that have been printed, which processes of one program share.
fn part<'a>(
    text: &mut String,
    config: &Config,
    plan: &Plan,
    id: ProgramId,
    command: &'a Command,
    listening: &mut Vec<&'a ListenAddress>,
) {
    let rules = plan.program(id);
    let Some(own) = &command.supervised else { return };
    let mut key = |name: &str, value: String| line(text, format_args!("{name} = {value}"));
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
                key("after", format!("{{ {} }}", join(&after, ", ")));
            }
            match rules.readiness {
                Readiness::Running => {}
                Readiness::Notify => key("notify", "true".to_owned()),
                Readiness::Descriptor(number) => key("notify_fd", number.to_string()),
            }
        }
    }
    key("command", words(&command.argv));
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
    sockets(&mut key, own, listening);
    for (role, handler) in &own.handlers {
        match role {
            Role::Startup => probe(text, rules, "startup", rules.probes.startup, handler),
            Role::Readiness => probe(text, rules, "readiness", rules.probes.readiness, handler),
            Role::Liveness => probe(text, rules, "liveness", rules.probes.liveness, handler),
            Role::PostStart => hook(text, rules, "post_start", rules.hooks.post_start, handler),
            Role::PreStop => hook(text, rules, "pre_stop", rules.hooks.pre_stop, handler),
        }
    }
}

fn sockets<'a>(
    key: &mut impl FnMut(&str, String),
    own: &'a Supervised,
    listening: &mut Vec<&'a ListenAddress>,
) {
    let socket = |socket: &Listen| {
        let address = match &socket.address {
            ListenAddress::Tcp(address) => address.to_string(),
            ListenAddress::Unix(path) => path.to_string_lossy().into_owned(),
        };
        format!("{} = {}", string(&socket.name), quoted(&address))
    };
    if own.sockets.is_empty() {
        return;
    }
    let all = format!("{{ {} }}", join(&own.sockets.iter().map(socket).collect::<Vec<_>>(), ", "));
    let is_shared = own.sockets.iter().any(|socket| listening.contains(&&socket.address));
    // Only of one program can it be said that its processes share them.
    key(if is_shared { "# shared with the one before: sockets" } else { "sockets" }, all);
    if !is_shared {
        listening.extend(own.sockets.iter().map(|socket| &socket.address));
    }
}

fn probe(text: &mut String, rules: &Program, name: &str, probe: Option<Probe>, handler: &Handler) {
    let Some(probe) = probe else { return };
    line(text, format_args!("\n[program.{}.probe.{name}]\n{}", quoted(&rules.name), what(handler)));
    line(
        text,
        format_args!(
            "initial_delay_seconds = {}\nperiod_seconds = {}\ntimeout_seconds = {}",
            seconds(probe.initial_delay),
            seconds(probe.period),
            seconds(probe.timeout)
        ),
    );
    line(
        text,
        format_args!(
            "success_threshold = {}\nfailure_threshold = {}",
            probe.success_threshold, probe.failure_threshold
        ),
    );
    if let Some(wait) = probe.stopwait {
        line(text, format_args!("termination_grace_period_seconds = {}", seconds(wait)));
    }
}

fn hook(text: &mut String, rules: &Program, name: &str, hook: Option<Hook>, handler: &Handler) {
    let Some(hook) = hook else { return };
    line(text, format_args!("\n[program.{}.hook.{name}]", quoted(&rules.name)));
    if hook.is_sleep {
        line(text, format_args!("sleep = {}", duration(hook.timeout)));
    } else {
        line(text, format_args!("{}\ntimeout = {}", what(handler), duration(hook.timeout)));
    }
}

/// What a probe or a hook does, as its key.
fn what(handler: &Handler) -> String {
    let endpoint = |endpoint: &Endpoint| {
        let host = endpoint.host.map_or_else(|| "localhost".to_owned(), |host| host.to_string());
        format!("port = {}, host = \"{host}\"", endpoint.port)
    };
    match handler {
        Handler::Exec(argv) => format!("exec = {}", words(argv)),
        Handler::Tcp(to) => format!("tcp = {{ {} }}", endpoint(to)),
        Handler::Http(HttpGet { endpoint: to, path, headers }) => {
            let headers: Vec<String> =
                headers.iter().map(|(name, value)| format!("{} = {}", string(name), quoted(value))).collect();
            let headers = if headers.is_empty() {
                String::new()
            } else {
                format!(", headers = {{ {} }}", join(&headers, ", "))
            };
            format!("http = {{ {}, path = {}{headers} }}", endpoint(to), quoted(path))
        }
        Handler::Grpc(to, service) => {
            format!("grpc = {{ port = {}, service = {} }}", to.port, quoted(service))
        }
        Handler::Sleep => String::new(),
    }
}

/// A command's words.
fn words(argv: &[OsString]) -> String {
    let words: Vec<String> = argv.iter().map(|word| quoted(&word.to_string_lossy())).collect();
    format!("[{}]", join(&words, ", "))
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
        key("# environment", join(&names, ", "));
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
        key("rlimits", format!("{{ {} }}", join(&limits, ", ")));
    }
    let dropped: Vec<String> =
        config::capability_names(&own.drop_capabilities).into_iter().map(quoted).collect();
    key("drop_capabilities", format!("[{}]", join(&dropped, ", ")));
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
    let (seconds, milliseconds) = (span.as_secs(), span.subsec_millis());
    match (seconds, milliseconds) {
        (_, 0) => format!("\"{seconds}s\""),
        (0, _) => format!("\"{milliseconds}ms\""),
        _ => format!("\"{seconds}{milliseconds:03}ms\""),
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
    string(&text.replace('$', "$$"))
}

/// A text in double quotes, as TOML, JSON and YAML all read it.
pub(super) fn string(text: &str) -> String {
    let mut quoted = String::new();
    json::string(&mut quoted, text);
    quoted
}
