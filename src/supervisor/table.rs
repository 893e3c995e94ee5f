//! The whole (state, event) table, printed from the machine and held against `docs/states.md`.
//!
//! `SEXTON_WRITE_TABLE=1 cargo test table` writes the document anew; look at what changed.

use std::fmt::{Debug, Write};
use std::time::Duration;

use super::program::{Patience, Process, Record, Then};
use super::*;
use crate::command::{Command, Verb};
use crate::event::Client;
use crate::outcome::{Refusal, Sequel, Status};
use crate::plan::{self, AutoRestart, Drain, Hold, Kind, Sidecars};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/states.md");
const MAIN: Pid = Pid(2);
const ENDED: Status = Status::Exited(7);

fn at(seconds: u64) -> Time {
    Time::new(Duration::from_secs(seconds))
}

/// The name of a variant, without what is in it.
fn name(value: &impl Debug) -> String {
    format!("{value:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

fn programs() -> String {
    let cause =
        Cause::Ended { status: ENDED, memory: None, by_us: None, failed: None, ran: Duration::from_secs(1) };
    let process = Process { pid: MAIN, since: at(0), paused: false, ready: false };
    let patience = Patience::Until(Some(at(10)));
    let hook = Patience::PreStop { until: at(3), is_call: true, end: None };
    let states = [
        State::Stopped(None),
        State::Waiting { failures: 0, cause: None },
        State::Spawning { failures: 0 },
        State::Starting { process, failures: 0, until: Some(at(5)) },
        State::Running(process),
        State::Backoff { cause: cause.clone(), failures: 1, until: at(2) },
        State::Stopping { process, patience: hook, then: Then::Stop },
        State::Stopping { process, patience, then: Then::Stop },
        State::Exited { cause: cause.clone(), restart_at: Some(at(1)) },
        State::Exited { cause: cause.clone(), restart_at: None },
        State::Fatal { cause, sequel: Sequel::Nothing },
    ];
    let inputs = [
        Input::Start,
        Input::Await,
        Input::Spawned(MAIN),
        Input::Refused(Refusal { code: 127, reason: String::new() }),
        Input::PostStarted,
        Input::Survived,
        Input::Ready,
        Input::Exited { status: Status::Exited(0), memory: None, killed_with_all: None },
        Input::Exited { status: ENDED, memory: None, killed_with_all: None },
        Input::Paused,
        Input::Continued,
        Input::Stop { patience, then: Then::Stop },
        Input::Told { until: Some(at(10)) },
        Input::Kill { why: KillReason::StopWait, until: None },
        Input::Abandoned,
    ];
    let rules = plan::Program {
        kind: Kind::Program { startsecs: Duration::from_secs(5) },
        autorestart: AutoRestart::Unexpected,
        startretries: 3,
        stopwaitsecs: Some(Duration::from_secs(10)),
        ..plan::Program::once("main")
    };
    let mut table = String::from("| state |");
    for input in &inputs {
        let code = if let Input::Exited { status: Status::Exited(code), .. } = input {
            format!(" {code}")
        } else {
            String::new()
        };
        let _ = write!(table, " {}{code} |", name(input));
    }
    table += "\n|---";
    table += &"|---".repeat(inputs.len());
    table += "|\n";
    for state in &states {
        let _ = write!(table, "| {} |", state.name());
        for input in &inputs {
            let next = state.after(input.clone(), &rules, &Record::default(), at(1));
            let next = next.as_ref().map_or("impossible", State::name);
            let _ = write!(table, " {} |", if next == state.name() { "same" } else { next });
        }
        table += "\n";
    }
    table
}

fn plan() -> Plan {
    let mut signals = [Meaning::Ignore; Signal::SLOTS];
    for signal in [Signal::HUP, Signal::QUIT, Signal::CONT] {
        signals[signal.index()] = Meaning::Forward(signal);
    }
    signals[Signal::TERM.index()] = Meaning::Stop(Word::Pass(Signal::TERM));
    Plan {
        programs: vec![plan::Program::once("main")],
        order: vec![ProgramId(0)],
        main: Some(ProgramId(0)),
        signals,
        wait: Wait::Main,
        remap_exit: vec![],
        hold: Hold {
            on: HoldOn::Failure,
            limit: Some(Duration::from_hours(1)),
            file: true,
            sidecars: Sidecars::Keep,
        },
        drain: Drain { delay: Duration::from_secs(5), ..Drain::default() },
        grace: Grace::Set(Duration::from_secs(30)),
        pause: Pause::Leave,
        warn_on_reap: false,
        keeps_records: false,
        lets_go: false,
    }
}

/// A supervisor that real events have brought into each phase, and the second in which they ended.
fn phases() -> Vec<(&'static str, Supervisor, u64)> {
    let term = Event::Signal(Signal::TERM, Sender { pid: 0, uid: 0, value: None });
    let exit = Event::Exited { pid: MAIN, status: ENDED, memory: None };
    let reaped = Event::Reaped { alone: false };
    let silent = Event::HoldFile(Switch::Silent);
    let up = vec![(Event::Start, 0), (Event::Spawned(ProgramId(0), MAIN), 0)];
    let draining = [up.clone(), vec![(term, 1)]].concat();
    let stopping = [draining.clone(), vec![(Event::Tick, 6)]].concat();
    let sweeping = [stopping.clone(), vec![(exit.clone(), 7), (reaped.clone(), 7)]].concat();
    let killing = [stopping.clone(), vec![(Event::Tick, 30)]].concat();
    let holding = [up.clone(), vec![(exit, 1), (reaped.clone(), 1), (silent, 1), (reaped, 1)]].concat();
    [
        ("Up", up),
        ("Draining", draining),
        ("Stopping", stopping),
        ("Holding", holding),
        ("Sweeping", sweeping),
        ("Killing", killing),
    ]
    .into_iter()
    .map(|(phase, events)| {
        let mut supervisor = Supervisor::new(plan());
        let mut last = 0;
        for (event, second) in events {
            last = second;
            supervisor.handle(event, at(second)).for_each(drop);
        }
        assert_eq!(name(&supervisor.phase), phase);
        (phase, supervisor, last)
    })
    .collect()
}

fn container() -> String {
    let sender = Sender { pid: 0, uid: 0, value: None };
    let asked = |command: Command| Event::Commanded(Client(0), sender, command);
    let of_main = |verb| asked(Command::Programs { verb, names: vec!["main".to_owned()], dependents: false });
    let events: [(&str, Event); 23] = [
        ("main exits", Event::Exited { pid: MAIN, status: ENDED, memory: None }),
        ("main is frozen at its end", Event::Frozen { pid: MAIN, status: ENDED, memory: None }),
        ("a stray exits", Event::Exited { pid: Pid(99), status: ENDED, memory: None }),
        ("all reaped, some left", Event::Reaped { alone: false }),
        ("all reaped, none left", Event::Reaped { alone: true }),
        ("main is paused", Event::Paused(MAIN, Signal::STOP)),
        ("SIGTERM", Event::Signal(Signal::TERM, sender)),
        ("SIGHUP", Event::Signal(Signal::HUP, sender)),
        ("SIGQUIT", Event::Signal(Signal::QUIT, sender)),
        ("hold file: true", Event::HoldFile(Switch::On)),
        ("hold file: false", Event::HoldFile(Switch::Off)),
        ("hold file: silent", Event::HoldFile(Switch::Silent)),
        ("memory is short", Event::Memory(Memory { used: 99, limit: 100 })),
        ("command: start main", of_main(Verb::Start)),
        ("command: stop main", of_main(Verb::Stop)),
        ("command: restart main", of_main(Verb::Restart)),
        ("command: signal HUP main", of_main(Verb::Signal(Signal::HUP))),
        ("command: reload", asked(Command::Reload)),
        ("command: hold on", asked(Command::Hold(true))),
        ("command: hold off", asked(Command::Hold(false))),
        ("command: release", asked(Command::Release { restart: false })),
        ("command: release --restart", asked(Command::Release { restart: true })),
        ("deadline", Event::Tick),
    ];
    let mut text = String::new();
    for (phase, ..) in phases() {
        let _ = write!(text, "\n### {phase}\n\n| event | next | effects |\n|---|---|---|\n");
        for (title, event) in &events {
            let (_, mut supervisor, second) =
                phases().into_iter().find(|(name, ..)| *name == phase).expect("the phase");
            // A program that does not run cannot exit or be paused: such a process is a stray.
            let now = if *event == Event::Tick {
                supervisor.next_deadline().unwrap_or(at(second))
            } else {
                at(second)
            };
            let effects: Vec<String> =
                supervisor.handle(event.clone(), now).map(|effect| say(&effect)).collect();
            let next = name(&supervisor.phase);
            let next = if next == phase { "same" } else { &next };
            let _ = writeln!(text, "| {title} | {next} | {} |", effects.join(", "));
        }
    }
    text
}

fn say(effect: &Effect) -> String {
    match effect {
        Effect::Signal(target, signal, _) => format!("{signal} to {}", name(target).to_lowercase()),
        Effect::Breadcrumb(None) => "Breadcrumb(none)".to_owned(),
        Effect::Breadcrumb(Some(note)) => format!("Breadcrumb({})", name(note)),
        Effect::Say(notice) => format!("Say({})", name(notice)),
        Effect::Reply(_, reply) => {
            let words: Vec<&str> = reply.results.iter().map(|said| said.word.text()).collect();
            format!("Reply({})", words.join(", "))
        }
        Effect::Spawn(_)
        | Effect::Thaw(_)
        | Effect::GiveTerminal(_)
        | Effect::TakeTerminal
        | Effect::StopSelf(_)
        | Effect::LetGo
        | Effect::Reap
        | Effect::ReadHoldFile
        | Effect::WatchHoldFile(_)
        | Effect::Reload(_)
        | Effect::KeepCrash(..)
        | Effect::ShowHeld(_)
        | Effect::ReadMemory
        | Effect::Report(_)
        | Effect::AnnounceHold { .. }
        | Effect::SayWhoIsLeft
        | Effect::Begin(_)
        | Effect::Abandon(_)
        | Effect::Unlisten(_)
        | Effect::WatchConnections(_)
        | Effect::Tell(..) => name(effect),
    }
}

#[test]
fn the_table_is_the_documents() {
    let table = format!(
        "# The states\n\n\
         Printed by the machine itself; a test fails where it differs. `SEXTON_WRITE_TABLE=1 cargo test table` writes it.\n\n\
         ## A program\n\n\
         With a startsecs of 5, of which one has passed, autorestart `unexpected`, exitcodes 0 and 3 startretries.\n\n{}\n\
         ## The container\n\n\
         Seen with a grace period of 30s, a drain of 5s, a hold on failure and a hold file; main is process 2. `deadline`\n\
         is the one that the phase waits for. What a phase does at an event depends on what came before it: each is entered\n\
         here on its shortest way. In Holding and Sweeping main has ended, so that its process is a stray like any other.\n{}",
        programs(),
        container()
    );
    if std::env::var_os("SEXTON_WRITE_TABLE").is_some() {
        std::fs::write(DOCUMENT, &table).expect("docs/states.md written");
    }
    let document = std::fs::read_to_string(DOCUMENT).expect("docs/states.md");
    assert!(
        document == table,
        "docs/states.md is not what the machine does; SEXTON_WRITE_TABLE=1 writes it anew"
    );
}
