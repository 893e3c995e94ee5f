//! Exec mode: the command line alone makes the plan, and its command is the only program.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{Options, UsageError};
use crate::plan::{
    Command, Control, Drain, Format, Grace, Hold, HoldOn, Meaning, MessageFile, Output, Pause, Plan, Program,
    ProgramId, Setup, Sidecars, Style, Surroundings, Traffic, Wait, Word,
};
use crate::signal::Signal;

/// Docker's and Podman's default between SIGTERM and SIGKILL.
const CONTAINER_GRACE: Duration = Duration::from_secs(10);
/// Kubernetes' (`terminationGracePeriodSeconds`).
const KUBERNETES_GRACE: Duration = Duration::from_secs(30);
/// How long a container is held where nobody says how long.
pub(crate) const HOLD_LIMIT: Duration = Duration::from_hours(1);
/// Where a kubelet mounts the file of the termination message (`terminationMessagePath`).
const TERMINATION_LOG: &str = "/dev/termination-log";
/// Where operators find us where nobody says anything else.
pub(crate) const CONTROL_SOCKET: &str = "/run/sexton.sock";

/// The plan of one program, called `main`.
///
/// # Errors
/// Where two options contradict each other.
pub fn plan(options: Options, at: Surroundings) -> Result<(Plan, Setup), UsageError> {
    if options.command.is_empty() {
        return Err(UsageError::NoCommand);
    }
    if cfg!(not(feature = "health")) && options.health.is_some() {
        return Err(UsageError::NoHealth);
    }
    let grace = grace(options.grace, at);
    let drain = drain(options.drain.unwrap_or_default(), grace)?;
    let asks_to_freeze = freeze(options.hold_freeze, options.wait)?;
    let control = control_socket(options.socket, true);
    let hold = Hold {
        on: options.hold.unwrap_or(HoldOn::Never),
        limit: options.hold_for.unwrap_or(Some(HOLD_LIMIT)),
        file: options.hold_file.is_some(),
        sidecars: Sidecars::Keep,
    };
    // Main may be started again, and somebody may ask how it came to that.
    let is_operated = hold.is_possible() || control.as_ref().is_some_and(|control| control.is_asked_for);
    let keeps_records = cfg!(feature = "config") && (is_operated || options.crash_dir.is_some());
    let plan = Plan {
        programs: vec![Program {
            signal_group: options.group,
            stopasgroup: options.group,
            killasgroup: options.group,
            ..Program::once("main")
        }],
        order: vec![ProgramId(0)],
        main: Some(ProgramId(0)),
        signals: meanings(
            options.stop_on.as_deref().unwrap_or(&[Signal::TERM, Signal::INT]),
            &options.rewrite,
        ),
        wait: options.wait.unwrap_or(Wait::Main),
        remap_exit: options.remap_exit,
        hold,
        drain: Drain { delay: drain, ..Drain::default() },
        grace,
        pause: match (at.has_terminal, at.has_job_control) {
            (true, true) => Pause::Follow,
            (true, false) => Pause::Refuse,
            (false, _) => Pause::Leave,
        },
        warn_on_reap: options.warn_on_reap,
        keeps_records,
        lets_go: !is_operated,
    };
    let setup = Setup {
        commands: vec![Command {
            freeze: asks_to_freeze && hold.is_possible(),
            argv: options.command,
            user: options.user,
            supervised: None,
        }],
        message: message_file(
            options.termination_message,
            options.termination_format.unwrap_or(Format::Text),
        ),
        hold_file: options.hold_file,
        subreaper: options.subreaper || !at.is_pid_1,
        tell_strays: options.warn_on_reap,
        parent_death: options.parent_death_signal,
        tail: options.tail.unwrap_or(0),
        log: Style { output: Output::Prefix, timestamps: false },
        traffic: Traffic::default(),
        health: options.health,
        control,
        crash_dir: options.crash_dir,
        keeps_records,
    };
    Ok((plan, setup))
}

/// The socket for operators, unless it is to be `none`.
pub(crate) fn control_socket(asked: Option<PathBuf>, is_for_holds: bool) -> Option<Control> {
    match asked {
        Some(path) if path.as_os_str() == "none" => None,
        Some(path) => Some(Control { path, is_asked_for: true, is_for_holds: false }),
        None => Some(Control { path: PathBuf::from(CONTROL_SOCKET), is_asked_for: false, is_for_holds }),
    }
}

/// What was set, or what the platform gives by default.
pub(crate) fn grace(set: Option<Duration>, at: Surroundings) -> Grace {
    match set {
        Some(grace) => Grace::Set(grace),
        None if at.in_kubernetes => Grace::Assumed(KUBERNETES_GRACE),
        None => Grace::Assumed(CONTAINER_GRACE),
    }
}

/// The drain, where it leaves time to stop in.
pub(crate) fn drain(drain: Duration, grace: Grace) -> Result<Duration, UsageError> {
    match grace {
        Grace::Set(whole) if !drain.is_zero() && drain >= grace.budget() => {
            Err(UsageError::DrainTooLong { drain, grace: whole })
        }
        Grace::Set(_) | Grace::Assumed(_) => Ok(drain),
    }
}

/// Whether what fails is kept at its end, where that can be.
pub(crate) fn freeze(asked: bool, wait: Option<Wait>) -> Result<bool, UsageError> {
    match wait {
        _ if cfg!(not(feature = "config")) && asked => {
            Err(UsageError::NoFreeze("this sexton was built without it"))
        }
        Some(Wait::All) if asked => {
            Err(UsageError::NoFreeze("with `--wait all` the hold begins when nothing is left to look at"))
        }
        Some(Wait::All | Wait::Main) | None => Ok(asked),
    }
}

pub(crate) fn message_file(asked: Option<PathBuf>, format: Format) -> Option<MessageFile> {
    match asked {
        Some(path) if path.as_os_str() == "none" => None,
        Some(path) => Some(MessageFile { path, asked: true, format }),
        None => Some(MessageFile { path: PathBuf::from(TERMINATION_LOG), asked: false, format }),
    }
}

/// In exec mode everything is main's: a stop signal too, only that it begins the end.
pub(crate) fn meanings(stop_on: &[Signal], rewrite: &[(Signal, Option<Signal>)]) -> [Meaning; Signal::SLOTS] {
    let mut meanings = [Meaning::Ignore; Signal::SLOTS];
    for signal in Signal::all() {
        let out = rewrite.iter().rev().find(|(from, _)| *from == signal).map_or(Some(signal), |(_, to)| *to);
        meanings[signal.index()] = match out {
            _ if signal.is_uncatchable() || signal == Signal::CHLD => Meaning::Ignore,
            out if stop_on.contains(&signal) => Meaning::Stop(out.map_or(Word::Nothing, Word::Pass)),
            Some(out) => Meaning::Forward(out),
            None => Meaning::Ignore,
        };
    }
    meanings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rewrite_of_a_signal_counts_and_a_stop_signal_stays_one() {
        let rewrite =
            [(Signal::TERM, Some(Signal::INT)), (Signal::TERM, Some(Signal::QUIT)), (Signal::HUP, None)];
        let meanings = meanings(&[Signal::TERM], &rewrite);
        assert_eq!(meanings[Signal::TERM.index()], Meaning::Stop(Word::Pass(Signal::QUIT)));
        assert_eq!(meanings[Signal::HUP.index()], Meaning::Ignore);
        assert_eq!(meanings[Signal::INT.index()], Meaning::Forward(Signal::INT));
        assert_eq!(meanings[Signal::CHLD.index()], Meaning::Ignore);
    }

    #[test]
    fn every_other_signal_is_forwarded_as_it_is_real_time_ones_too() {
        let meanings = meanings(&[Signal::TERM, Signal::INT], &[]);
        let kept = [Signal::TERM, Signal::INT, Signal::KILL, Signal::STOP, Signal::CHLD];
        for signal in Signal::all().filter(|signal| !kept.contains(signal)) {
            assert_eq!(meanings[signal.index()], Meaning::Forward(signal));
        }
    }
}
