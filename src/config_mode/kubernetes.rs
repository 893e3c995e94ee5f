//! The part of a pod's specification that goes with a configuration, as `sexton check --kubernetes` prints it.
//!
//! It stands under `spec:` of a pod, or of the template in a deployment. The comments say where a number comes from.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::overview::{line, string};
use super::{is_assumed, longest_stop};
use crate::plan::{Kind, ListenAddress, MessageFile, Plan, Program, Setup};
use crate::time::Span;

/// The annotation that the hold file shows.
const HOLD_ANNOTATION: &str = "sexton.dev/hold";
/// What a step may take that has no `timeout`.
const SOME_TIME: Duration = Duration::from_mins(10);
/// What is added to the longest start: for what nobody has set a limit for, and for the machine.
const START_RESERVE: Duration = Duration::from_mins(1);
/// How long the name of a port can be (RFC 6335).
const MAX_PORT_NAME: usize = 15;

pub(super) fn fragment(path: &Path, plan: &Plan, setup: &Setup) -> String {
    let mut text = String::new();
    let file = string(&path.to_string_lossy());
    line(&mut text, format_args!("# What goes with {file} under the `spec:` of its pod."));
    grace(&mut text, plan);
    line(&mut text, format_args!("containers:\n  - name: app # as you call it"));
    ports(&mut text, setup);
    match setup.health {
        Some(address) => probes(&mut text, plan, address),
        None => line(
            &mut text,
            format_args!(
                "    # No probes: with `[health]` and `listen = \":9000\"` in the file they are printed here."
            ),
        ),
    }
    match &setup.message {
        Some(MessageFile { path, .. }) => {
            let path = string(&path.to_string_lossy());
            line(
                &mut text,
                format_args!("    terminationMessagePath: {path}\n    terminationMessagePolicy: File"),
            );
        }
        None => line(&mut text, format_args!("    # No termination message is written: its path is `none`.")),
    }
    if let Some(file) = &setup.hold_file {
        hold(&mut text, file);
    }
    text
}

fn grace(text: &mut String, plan: &Plan) {
    let longest = longest_stop(plan);
    let whole = if is_assumed(plan.grace) {
        let whole = whole_seconds(longest).saturating_add(2);
        let said = format_args!(
            "# The longest stop takes {}, and 2s are for sexton itself; `grace_period = \"{whole}s\"` is to say the same.",
            Span(longest)
        );
        line(text, said);
        if plan.drain.quiet.is_some() {
            line(
                text,
                format_args!("# The drain goes on after its delay where there is more time than that."),
            );
        }
        whole
    } else {
        line(text, format_args!("# As `grace_period`."));
        whole_seconds(plan.grace.whole())
    };
    line(text, format_args!("terminationGracePeriodSeconds: {whole}"));
}

fn ports(text: &mut String, setup: &Setup) {
    let sockets = setup.commands.iter().filter_map(|command| command.supervised.as_ref());
    let sockets = sockets.flat_map(|own| &own.sockets).filter_map(|socket| match &socket.address {
        ListenAddress::Tcp(address) => Some((socket.name.as_str(), *address)),
        ListenAddress::Unix(_) => None,
    });
    // Nobody outside of the container comes to a loopback address.
    let outside = sockets.chain(setup.health.map(|address| ("health", address)));
    let outside = outside.filter(|(_, address)| !address.ip().is_loopback());
    let outside = outside.map(|(name, address)| (name, address.port()));
    let drained = setup.traffic.ports.iter().map(|port| ("", *port));
    let mut listed: Vec<(Option<String>, u16)> = Vec::new();
    for (name, port) in outside.chain(drained) {
        if listed.iter().any(|(_, known)| *known == port) {
            continue;
        }
        let is_free = |name: &String| !listed.iter().any(|(known, _)| known.as_ref() == Some(name));
        let names = [port_name(name), Some(format!("port-{port}"))];
        let name = names.into_iter().flatten().find(is_free);
        listed.push((name, port));
    }
    if !listed.is_empty() {
        line(text, format_args!("    ports:"));
    }
    for (name, port) in listed {
        line(text, format_args!("      - containerPort: {port}"));
        if let Some(name) = name {
            line(text, format_args!("        name: {name}"));
        }
    }
}

/// A port's name from a socket's: small letters, digits and single hyphens between them, a letter at least.
fn port_name(name: &str) -> Option<String> {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    out.truncate(MAX_PORT_NAME); // it is ASCII
    let out = out.trim_end_matches('-');
    out.contains(|c: char| c.is_ascii_lowercase()).then(|| out.to_owned())
}

fn probes(text: &mut String, plan: &Plan, address: SocketAddr) {
    let is_loopback = address.ip().is_loopback();
    // A look from outside costs next to nothing over HTTP, and a process in the container otherwise.
    let period = if is_loopback { 10 } else { 2 };
    let (longest, guessed) = longest_start(plan);
    let failures = whole_seconds(longest.saturating_add(START_RESERVE)).div_ceil(period);
    // A 32-bit number with a sign.
    let failures = failures.min(2_000_000_000);
    if is_loopback {
        line(
            text,
            format_args!(
                "    # No kubelet comes to a loopback address, so sexton itself asks; `listen = \":9000\"` costs less."
            ),
        );
    }
    line(
        text,
        format_args!(
            "    # Steps and startup probes may take {}, and {} are to spare.",
            Span(longest),
            Span(START_RESERVE)
        ),
    );
    for name in guessed {
        let name = string(name);
        line(text, format_args!("    # Step {name} has no timeout: {} is a guess.", Span(SOME_TIME)));
    }
    // What a program answers has been counted once: by sexton, with the program's own thresholds.
    for (probe, path, period, failures) in [
        ("startup", "startupz", period, failures),
        ("liveness", "livez", 10, 3),
        ("readiness", "readyz", 5, 2),
    ] {
        line(text, format_args!("    {probe}Probe:"));
        if is_loopback {
            line(
                text,
                format_args!(
                    "      exec:\n        command: [\"/sexton\", \"--health\", \"{address}\", \"probe\", \"{probe}\"] # as in the image"
                ),
            );
        } else {
            line(
                text,
                format_args!("      httpGet:\n        path: /{path}\n        port: {}", address.port()),
            );
        }
        line(
            text,
            format_args!(
                "      periodSeconds: {period}\n      timeoutSeconds: 5\n      failureThreshold: {failures}"
            ),
        );
    }
}

/// How long it may take until everything has started, as far as that is limited, and the steps for which it is not.
fn longest_start(plan: &Plan) -> (Duration, Vec<&str>) {
    let mut chains = vec![Duration::ZERO; plan.programs.len()];
    let mut guessed = Vec::new();
    for id in &plan.order {
        let program = plan.program(*id);
        let own = match program.kind {
            Kind::Step { timeout } => {
                if timeout.is_none() {
                    guessed.push(program.name.as_str());
                }
                step(program, timeout.unwrap_or(SOME_TIME))
            }
            Kind::Program { startsecs } => {
                let hook = program.hooks.post_start.map_or(Duration::ZERO, |hook| hook.timeout);
                let probe = program.probes.startup.map_or(Duration::ZERO, |probe| {
                    let asked = probe.period.max(probe.timeout).saturating_mul(probe.failure_threshold);
                    probe.initial_delay.saturating_add(asked)
                });
                hook.saturating_add(startsecs.max(probe))
            }
        };
        let before = program.after.iter().map(|(on, _)| chains[on.0]).max().unwrap_or_default();
        chains[id.0] = before.saturating_add(own);
    }
    (chains.into_iter().max().unwrap_or_default(), guessed)
}

/// A step with all its tries, each followed by a wait that grows by a second.
fn step(program: &Program, timeout: Duration) -> Duration {
    let tries = program.startretries.saturating_add(1);
    let wait = Duration::from_secs(u64::from(program.startretries)).min(program.backoff.max);
    let killed = program.stopwaitsecs.unwrap_or_default();
    let each = timeout.saturating_add(killed).saturating_mul(tries);
    each.saturating_add(wait.saturating_mul(program.startretries))
}

fn hold(text: &mut String, file: &Path) {
    let (folder, name) = (file.parent(), file.file_name());
    let has_own = |folder: &&Path| folder.is_absolute() && folder.parent().is_some();
    let (Some(folder), Some(name)) = (folder.filter(has_own), name) else {
        line(
            text,
            format_args!(
                "    # No volume for `file` of `[hold]`: it needs a folder of its own, as /etc/podinfo/hold."
            ),
        );
        return;
    };
    let (folder, name) = (string(&folder.to_string_lossy()), string(&name.to_string_lossy()));
    let volume = format_args!(
        "    volumeMounts:
      # The whole folder: a kubelet never updates a file that is mounted by `subPath`.
      - name: podinfo
        mountPath: {folder}
        readOnly: true
volumes:
  # kubectl annotate pod POD {HOLD_ANNOTATION}=true
  - name: podinfo
    downwardAPI:
      items:
        - path: {name}
          fieldRef:
            fieldPath: metadata.annotations['{HOLD_ANNOTATION}']"
    );
    line(text, volume);
}

/// Full seconds, rounded up.
fn whole_seconds(span: Duration) -> u64 {
    span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0))
}
