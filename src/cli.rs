//! What people wrote: the command line and the `SEXTON_…` variables, understood word by word.
//!
//! One table names every option; the help, the variables and the suggestions come from it. Options end at the first
//! word that is none: what follows belongs to the program.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser};
use log::LevelFilter;

use crate::plan::{Format, HoldOn, Wait, parse_address};
use crate::signal::Signal;
use crate::suggest::suggest;
use crate::time::{Span, parse_duration};

const USAGE: &str = "usage: sexton [OPTIONS] [--] COMMAND [ARG]...";
/// What a signal is to look like.
pub(crate) const SIGNAL: &str = "a signal such as `TERM`, `15` or `RTMIN+3`";
const MORE_USAGE: &str = "       sexton [OPTIONS] --config FILE [--] [COMMAND [ARG]...]
       sexton [OPTIONS] SUBCOMMAND [WORD]...";

/// One option, as the table has it.
struct Spec {
    option: Opt,
    short: Option<char>,
    long: &'static str,
    /// The name of its value in the help; empty for a flag.
    value: &'static str,
    help: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Opt {
    Config,
    Group,
    Subreaper,
    ParentDeathSignal,
    RemapExit,
    WarnOnReap,
    Verbose,
    LogLevel,
    Rewrite,
    StopOn,
    User,
    Wait,
    Hold,
    HoldFor,
    HoldFile,
    HoldFreeze,
    Grace,
    Drain,
    TerminationMessage,
    TerminationFormat,
    Tail,
    Health,
    Socket,
    CrashDir,
}

const fn spec(
    option: Opt,
    short: Option<char>,
    long: &'static str,
    value: &'static str,
    help: &'static str,
) -> Spec {
    Spec { option, short, long, value, help }
}

const OPTIONS: [Spec; 24] = [
    spec(Opt::Config, Some('c'), "config", "FILE", "run the programs in this file, with COMMAND as main"),
    spec(Opt::Group, Some('g'), "group", "", "signal the program's whole process group"),
    spec(Opt::Rewrite, None, "rewrite", "FROM:TO", "send TO where FROM arrives; TO 0 drops it (repeatable)"),
    spec(
        Opt::StopOn,
        None,
        "stop-on",
        "SIGNAL",
        "these signals ask for the end [default: TERM,INT] (repeatable)",
    ),
    spec(Opt::Drain, None, "drain", "DURATION", "leave the program alone this long after a stop signal"),
    spec(
        Opt::Grace,
        None,
        "grace",
        "DURATION",
        "what the platform gives before its SIGKILL; all is killed 1s before",
    ),
    spec(Opt::Wait, None, "wait", "main|all", "end with main [default], or with the last process"),
    spec(Opt::RemapExit, Some('e'), "remap-exit", "CODE", "treat this exit code as 0 (repeatable)"),
    spec(Opt::User, Some('u'), "user", "USER[:GROUP]", "run the program as this user, by name or number"),
    spec(
        Opt::Hold,
        None,
        "hold",
        "never|failure|always",
        "keep the container open when the program has ended",
    ),
    spec(Opt::HoldFor, None, "hold-for", "DURATION", "at most this long, or `forever` [default: 1h]"),
    spec(Opt::HoldFile, None, "hold-file", "PATH", "`true` in this file turns the hold on, `false` off"),
    spec(Opt::HoldFreeze, None, "hold-freeze", "", "what failed stays as it was, to be looked at in /proc"),
    spec(
        Opt::TerminationMessage,
        None,
        "termination-message",
        "PATH|none",
        "say here why it ended [default: /dev/termination-log where it exists]",
    ),
    spec(Opt::TerminationFormat, None, "termination-format", "text|json", "how it is said [default: text]"),
    spec(Opt::Tail, None, "tail", "LINES", "with the last lines of stderr, which then passes through sexton"),
    spec(
        Opt::Health,
        None,
        "health",
        "ADDRESS",
        "answer /livez, /readyz, /startupz, /healthz and /metrics here",
    ),
    spec(
        Opt::Socket,
        None,
        "socket",
        "PATH|none",
        "the control socket [default: /run/sexton.sock with a file, or once held]",
    ),
    spec(Opt::CrashDir, None, "crash-dir", "DIRECTORY", "keep the last crash reports here"),
    spec(
        Opt::ParentDeathSignal,
        Some('p'),
        "parent-death-signal",
        "SIGNAL",
        "get this when the parent dies; main, when sexton does",
    ),
    spec(Opt::Subreaper, Some('s'), "subreaper", "", "adopt orphans; on by itself when not PID 1"),
    spec(
        Opt::WarnOnReap,
        Some('w'),
        "warn-on-reap",
        "",
        "warn when a process that sexton did not start is reaped",
    ),
    spec(Opt::Verbose, Some('v'), "verbose", "", "say more in the log (repeatable)"),
    spec(
        Opt::LogLevel,
        None,
        "log-level",
        "LEVEL",
        "off, error, warn [default], info [with a file] or debug",
    ),
];

/// A subcommand: a word in place of a command, and the words that may follow it.
#[derive(Debug)]
pub struct Subcommand {
    /// Its name.
    pub name: &'static str,
    /// What follows it; `|` stands between ways to write it.
    pub words: &'static str,
    /// What it does, in a line.
    pub help: &'static str,
    /// What more there is to say, in lines; may be empty.
    pub more: &'static str,
    /// Its own options, which may stand anywhere behind it.
    pub flags: &'static [Flag],
}

/// An option, sexton's own or a subcommand's.
#[derive(Clone, Debug)]
pub struct Flag {
    /// Its letter, where it has one.
    pub short: Option<char>,
    /// Its name.
    pub long: &'static str,
    /// The name of its value in the help; empty for none.
    pub value: &'static str,
    /// What it is for.
    pub help: &'static str,
}

const fn flag(short: Option<char>, long: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag { short, long, value, help }
}

const fn subcommand(
    name: &'static str,
    words: &'static str,
    help: &'static str,
    more: &'static str,
    flags: &'static [Flag],
) -> Subcommand {
    Subcommand { name, words, help, more, flags }
}

const JSON: Flag = flag(None, "json", "", "print what the control socket answers, in JSON");
/// Wherever it stands.
const SOCKET: Flag = flag(None, "socket", "PATH", "where sexton is [default: /run/sexton.sock]");
const DEPENDENTS: &[Flag] = &[flag(None, "dependents", "", "and all that comes after them"), JSON, SOCKET];
const PROGRAMS: &str = "In NAME `*` and `?` stand for letters; `all` is all programs. Exit code: 0 where
it is done (or was), 1 for a name that is nobody's and what is refused, 7 where
a program is not up.";

/// Every subcommand.
pub static SUBCOMMANDS: [Subcommand; 13] = [
    subcommand(
        "check",
        "[--schema|--kubernetes] [FILE]",
        "say what is wrong with a file, or what it means",
        "",
        &[
            flag(None, "schema", "", "print the JSON schema of all files"),
            flag(None, "kubernetes", "", "print what belongs into the specification of its pod"),
        ],
    ),
    subcommand(
        "probe",
        "http URL | tcp HOST:PORT | grpc HOST:PORT [SERVICE] | startup|readiness|liveness",
        "ask a program once, as a kubelet does",
        "Prints the page. Exit code: 0 where it is well, 1 where not. With `startup`,
`readiness` or `liveness` it asks a running sexton, where --health or the file
says that it answers.",
        &[
            flag(None, "timeout", "DURATION", "how long it may take [default: 1s]"),
            flag(None, "header", "HEADER", "send this header, `Name: value` (repeatable)"),
        ],
    ),
    subcommand(
        "status",
        "[--json] [--watch] [NAME]...",
        "show how the programs are",
        "Exit code, as supervisorctl's: 0 where all are up, wait for their turn or are
done as expected, 3 where one is not, 4 for a name that is nobody's and where
sexton cannot be reached.",
        &[flag(Some('w'), "watch", "", "again each second"), JSON, SOCKET],
    ),
    subcommand(
        "explain",
        "[--json] [NAME]...",
        "show how they came to it, and what comes next",
        "",
        &[JSON, SOCKET],
    ),
    subcommand(
        "logs",
        "[-f] [-n LINES] [NAME]...",
        "show what programs wrote last",
        "",
        &[
            flag(Some('f'), "follow", "", "and what they write from here on"),
            flag(Some('n'), "lines", "LINES", "how many lines of each stream [default: 20]"),
            SOCKET,
        ],
    ),
    subcommand(
        "start",
        "[--dependents] NAME...",
        "start programs, and first what they come after",
        PROGRAMS,
        DEPENDENTS,
    ),
    subcommand("stop", "[--dependents] NAME...", "stop programs; they stay stopped", PROGRAMS, DEPENDENTS),
    subcommand("restart", "[--dependents] NAME...", "stop programs, then start them", PROGRAMS, DEPENDENTS),
    subcommand("signal", "SIGNAL NAME...", "send a signal to programs", PROGRAMS, &[JSON, SOCKET]),
    subcommand("reload", "", "read the configuration again", "", &[JSON, SOCKET]),
    subcommand("hold", "on|off", "hold a failure from now on, or not", "", &[JSON, SOCKET]),
    subcommand(
        "release",
        "[--restart]",
        "end the hold, and so the container",
        "Without a socket it signals process 1, where that is a sexton that holds its container.",
        &[flag(None, "restart", "", "start again what failed instead"), JSON, SOCKET],
    ),
    subcommand(
        INSPECT,
        "ps | env | fds | net | limits | ls | cat | tail | crash",
        "look around where there is no shell",
        "",
        &[],
    ),
];

/// The subcommand that reads its own words.
const INSPECT: &str = "inspect";

impl Subcommand {
    /// Talks to a running sexton over its control socket. As PID 1 its name is a program's.
    fn is_client(&self) -> bool {
        self.flags.iter().any(|flag| flag.long == SOCKET.long)
    }

    /// How it is written.
    #[must_use]
    pub fn usage(&self) -> String {
        format!("sexton {} {}", self.name, self.words).trim_end().to_owned()
    }

    /// What `sexton SUBCOMMAND --help` prints.
    #[must_use]
    pub fn help(&self) -> String {
        let usage = self.usage().replace(" | ", &format!("\n       sexton {} ", self.name));
        let (first, rest) = self.help.split_at(1);
        let mut text = format!("usage: {usage}\n\n{}{rest}.\n", first.to_ascii_uppercase());
        if !self.more.is_empty() {
            text.extend([self.more, "\n"]);
        }
        text.push('\n');
        for flag in self.flags {
            text.push_str(&row(&synopsis(flag.short, flag.long, flag.value), flag.help, 24));
        }
        text
    }
}

/// The words behind a subcommand.
pub(crate) struct Words {
    /// The options that were given, and their values.
    pub(crate) flags: Vec<(&'static Flag, OsString)>,
    /// All other words.
    pub(crate) rest: Vec<OsString>,
    /// Somebody wants to know how it is written.
    pub(crate) wants_help: bool,
}

impl Words {
    /// The value of this option, the last one where it was given more than once; empty for a flag.
    pub(crate) fn value(&self, name: &str) -> Option<&OsString> {
        self.flags.iter().rev().find(|(flag, _)| flag.long == name).map(|(_, value)| value)
    }

    /// The option was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
}

/// The subcommand of this name.
pub(crate) fn find_subcommand(name: &str) -> Option<&'static Subcommand> {
    SUBCOMMANDS.iter().find(|subcommand| subcommand.name == name)
}

/// Reads the words behind a subcommand, with options anywhere among them.
///
/// # Errors
/// At the first option that it does not have.
pub(crate) fn words_behind(flags: &'static [Flag], words: Vec<OsString>) -> Result<Words, UsageError> {
    let mut parser = Parser::from_args(words);
    let mut read = Words { flags: Vec::new(), rest: Vec::new(), wants_help: false };
    loop {
        let (found, place, meant) = match parser.next() {
            Ok(None) => return Ok(read),
            Ok(Some(Arg::Value(word))) => {
                read.rest.push(word);
                continue;
            }
            Ok(Some(Arg::Short('h') | Arg::Long("help"))) => {
                read.wants_help = true;
                continue;
            }
            Ok(Some(Arg::Long(name))) => {
                let meant = suggest(name, flags.iter().map(|flag| flag.long));
                (flags.iter().find(|flag| flag.long == name), format!("--{name}"), meant)
            }
            Ok(Some(Arg::Short(c))) => {
                (flags.iter().find(|flag| flag.short == Some(c)), format!("-{c}"), None)
            }
            Err(other) => return Err(not_understood(other)),
        };
        let flag = found.ok_or_else(|| UsageError::UnknownOption { written: place.clone(), meant })?;
        let value = if flag.value.is_empty() {
            OsString::new()
        } else {
            parser.value().map_err(|_| UsageError::NoValue { option: place, value: flag.value })?
        };
        read.flags.push((flag, value));
    }
}

fn not_understood(error: lexopt::Error) -> UsageError {
    if let lexopt::Error::UnexpectedValue { option, .. } = error {
        return UsageError::SurplusValue { option };
    }
    UsageError::UnknownOption { written: error.to_string(), meant: None }
}

impl Spec {
    /// Whether this variable sets the option where the command line does not: `SEXTON_HOLD_FOR` for `--hold-for`.
    fn is_set_by(&self, variable: &str) -> bool {
        let same = |(a, b): (u8, u8)| a == if b == b'-' { b'_' } else { b.to_ascii_uppercase() };
        variable.strip_prefix(PREFIX).is_some_and(|name| {
            name.len() == self.long.len() && name.bytes().zip(self.long.bytes()).all(same)
        })
    }

    /// Its name, for messages.
    fn variable(&self) -> String {
        format!("{PREFIX}{}", self.long.replace('-', "_").to_ascii_uppercase())
    }
}

/// An option as one writes it, for the help.
fn synopsis(short: Option<char>, long: &str, value: &str) -> String {
    let short = short.map_or_else(|| "    ".to_owned(), |c| format!("-{c}, "));
    let value = if value.is_empty() { String::new() } else { format!(" {value}") };
    format!("{short}--{long}{value}")
}

/// A line of the help; a long synopsis has one of its own.
fn row(synopsis: &str, what: &str, width: usize) -> String {
    let gap = if synopsis.len() < width { String::new() } else { format!("\n  {:width$}", "") };
    format!("  {synopsis:width$}{gap}{what}\n")
}

/// What was asked for; None where nothing was.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Signal the whole process group.
    pub group: bool,
    /// Be a subreaper.
    pub subreaper: bool,
    /// The parent-death signal.
    pub parent_death_signal: Option<Signal>,
    /// Exit codes that count as 0.
    pub remap_exit: Vec<u8>,
    /// Warn of reaped strays.
    pub warn_on_reap: bool,
    /// How much goes to the log.
    pub log_level: Option<LevelFilter>,
    /// How often `-v` was given.
    pub verbose: u32,
    /// Signal rewriting; to None drops the signal.
    pub rewrite: Vec<(Signal, Option<Signal>)>,
    /// The stop signals.
    pub stop_on: Option<Vec<Signal>>,
    /// Whom to run as.
    pub user: Option<String>,
    /// Whose end to wait for.
    pub wait: Option<Wait>,
    /// When to hold.
    pub hold: Option<HoldOn>,
    /// How long; Some(None) is for ever.
    pub hold_for: Option<Option<Duration>>,
    /// What failed is kept at its end.
    pub hold_freeze: bool,
    /// The hold file.
    pub hold_file: Option<PathBuf>,
    /// The grace period.
    pub grace: Option<Duration>,
    /// The drain.
    pub drain: Option<Duration>,
    /// Where the termination message goes; `none` for nowhere.
    pub termination_message: Option<PathBuf>,
    /// How it is written.
    pub termination_format: Option<Format>,
    /// Lines of stderr to keep.
    pub tail: Option<usize>,
    /// Where questions about our health are answered.
    pub health: Option<SocketAddr>,
    /// The control socket; `none` for none.
    pub socket: Option<PathBuf>,
    /// Where crash reports are kept.
    pub crash_dir: Option<PathBuf>,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Request {
    /// To run a command, or the programs of a file.
    Run(Box<Options>),
    /// To check a configuration; None is the default file.
    Check(Box<Options>, Option<PathBuf>),
    /// To print what belongs into the specification of a configuration's pod; None is the default file.
    Kubernetes(Box<Options>, Option<PathBuf>),
    /// To probe, as the words behind `probe` say, which is the first of the command. As PID 1 it is a program's name.
    Probe(Box<Options>),
    /// To look around, as the words behind `inspect` say, which is the first of the command. As PID 1 it is a program's
    /// name.
    Inspect(Box<Options>),
    /// To ask a running sexton, as the words say that are the command. As PID 1 it is a program's name: then it matters too
    /// what is wrong with a variable.
    Ask(Box<Options>, Option<UsageError>),
    /// To print the schema of a configuration.
    Schema,
    /// To print this and be done.
    Print(String),
}

/// A command line or a variable that cannot be understood: exit code 100.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// There is nothing to run.
    NoCommand,
    /// The command and the file both say what main is.
    TwoMains,
    /// A configuration is asked for, and this build reads none.
    NoConfigMode,
    /// Questions about our health are to be answered, and this build answers none.
    NoHealth,
    /// A probe is asked for, and this build has none.
    NoProbes,
    /// Somebody wants to look around, and this build cannot.
    NoInspect,
    /// What fails is to be kept at its end, and cannot be for this reason.
    NoFreeze(&'static str),
    /// A running sexton is to be asked, and this build cannot.
    NoControl,
    /// A running sexton is to be asked, and nobody says where.
    NoAddress,
    /// The word has no place there.
    Surplus {
        /// As it was written.
        written: String,
        /// How it should have been.
        usage: String,
    },
    /// No option is called so.
    UnknownOption {
        /// As it was written.
        written: String,
        /// What may have been meant.
        meant: Option<&'static str>,
    },
    /// The option wants a value and got none.
    NoValue {
        /// The option.
        option: String,
        /// What its value is called.
        value: &'static str,
    },
    /// The option takes no value and got one.
    SurplusValue {
        /// The option.
        option: String,
    },
    /// The value is none of what the option takes.
    BadValue {
        /// The option or the variable.
        place: String,
        /// What was written.
        written: String,
        /// What is wanted instead.
        expected: String,
    },
    /// The drain would use up the grace period, and the program would be killed unasked.
    DrainTooLong {
        /// The drain.
        drain: Duration,
        /// The grace period.
        grace: Duration,
    },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::NoCommand => write!(f, "cannot run anything: no command is given, and there is no /etc/sexton.toml; {USAGE}"),
            UsageError::TwoMains => f.write_str(
                "cannot tell which program is main: a command is given, and the configuration names one too; give no command, or take `main` or `[program.main]` out of the file",
            ),
            UsageError::NoConfigMode => {
                f.write_str("cannot read a configuration: this sexton was built without config mode")
            }
            UsageError::NoHealth => f.write_str(
                "cannot answer questions about health: this sexton was built without the health endpoint",
            ),
            UsageError::NoControl => {
                f.write_str("cannot ask a running sexton: this one was built without the control socket")
            }
            UsageError::NoProbes => f.write_str("cannot probe: this sexton was built without probes"),
            UsageError::NoInspect => {
                f.write_str("cannot inspect anything: this sexton was built without config mode")
            }
            UsageError::NoFreeze(why) => write!(f, "cannot freeze what fails: {why}"),
            UsageError::NoAddress => f.write_str(
                "cannot ask sexton for its health: neither `--health ADDRESS` nor `listen` in `[health]` says where it answers",
            ),
            UsageError::Surplus { written, usage } => {
                write!(f, "cannot understand `{written}`: expected `{usage}`")
            }
            UsageError::UnknownOption { written, meant: Some(meant) } => {
                write!(f, "cannot understand `{written}`: unknown option; did you mean `--{meant}`?")
            }
            UsageError::UnknownOption { written, meant: None } => {
                write!(f, "cannot understand `{written}`: unknown option; `sexton --help` lists them")
            }
            UsageError::NoValue { option, value } => {
                write!(f, "cannot read `{option}`: its value {value} is missing")
            }
            UsageError::SurplusValue { option } => write!(f, "cannot read `{option}`: it takes no value"),
            UsageError::BadValue { place, written, expected } => {
                write!(f, "cannot read `{place}`: expected {expected}, got `{written}`")
            }
            UsageError::DrainTooLong { drain, grace } => write!(
                f,
                "cannot drain for {}: within a grace period of {} the program would be killed before it is told to stop",
                Span(*drain),
                Span(*grace)
            ),
        }
    }
}

impl std::error::Error for UsageError {}

/// What the names of our variables begin with.
pub const PREFIX: &str = "SEXTON_";

/// Reads the command line (without the program's own name) and, where it is silent, the variables that begin with
/// [`PREFIX`].
///
/// # Errors
/// At the first word that cannot be understood.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Request, UsageError> {
    let mut given = Vec::new();
    let mut parser = Parser::from_args(args);
    let mut is_separated = false;
    let first = loop {
        is_separated |= parser.try_raw_args().is_some_and(|rest| rest.peek() == Some(OsStr::new("--")));
        match next(&mut parser)? {
            Some(Word::Option(spec, place)) => {
                let value = value_of(&mut parser, spec, &place)?;
                given.push((spec, place, value));
            }
            Some(Word::Help) => return Ok(Request::Print(help())),
            Some(Word::Version) => {
                return Ok(Request::Print(format!("sexton {}\n", env!("CARGO_PKG_VERSION"))));
            }
            Some(Word::Command(first)) => break Some(first),
            None => break None,
        }
    };
    let rest: Vec<OsString> = parser.raw_args().map_err(|_| UsageError::NoCommand)?.collect();
    // After `--` it is a program, whatever it is called.
    let subcommand =
        first.as_deref().filter(|_| !is_separated).and_then(OsStr::to_str).and_then(find_subcommand);
    let is_client = subcommand.is_some_and(|subcommand| subcommand.is_client() || subcommand.name == INSPECT);
    let mut options = Options::default();
    let mut complaint = None;
    for (name, value) in variables {
        // A name that is none of ours may be anybody's: a service called `sexton` in the same namespace, for one.
        let spec = OPTIONS.iter().find(|spec| name.to_str().is_some_and(|name| spec.is_set_by(name)));
        if let Some(spec) = spec.filter(|spec| !given.iter().any(|(other, ..)| other.option == spec.option)) {
            match options.set_from_variable(spec, &value) {
                // Who asks a server needs nothing of what is meant for one, but the socket.
                Err(error) if is_client && spec.option != Opt::Socket => {
                    complaint = complaint.or(Some(error));
                }
                set => set?,
            }
        }
    }
    for (spec, place, value) in &given {
        options.set(spec.option, place, value)?;
    }
    if let Some(check) = subcommand.filter(|subcommand| subcommand.name == "check") {
        return self::check(check, options, rest);
    }
    options.command = first.into_iter().chain(rest).collect();
    let options = Box::new(options);
    Ok(match subcommand {
        Some(subcommand) if subcommand.name == INSPECT => Request::Inspect(options),
        Some(_) if is_client => Request::Ask(options, complaint),
        Some(_) => Request::Probe(options),
        None => Request::Run(options),
    })
}

/// The words after `check`.
fn check(own: &'static Subcommand, options: Options, words: Vec<OsString>) -> Result<Request, UsageError> {
    let words = words_behind(own.flags, words)?;
    if words.wants_help {
        return Ok(Request::Print(own.help()));
    }
    if words.has("schema") {
        return Ok(Request::Schema);
    }
    let kubernetes = words.has("kubernetes");
    let mut rest = words.rest.into_iter();
    let (path, options) = (rest.next().map(PathBuf::from), Box::new(options));
    if let Some(word) = rest.next() {
        let written = word.to_string_lossy().into_owned();
        return Err(UsageError::Surplus { written, usage: own.usage() });
    }
    Ok(if kubernetes { Request::Kubernetes(options, path) } else { Request::Check(options, path) })
}

enum Word {
    Option(&'static Spec, String),
    Help,
    Version,
    Command(OsString),
}

fn next(parser: &mut Parser) -> Result<Option<Word>, UsageError> {
    let arg = match parser.next() {
        Ok(arg) => arg,
        Err(other) => return Err(not_understood(other)),
    };
    let found = match arg {
        None => return Ok(None),
        Some(Arg::Value(first)) => return Ok(Some(Word::Command(first))),
        Some(Arg::Short('h') | Arg::Long("help")) => return Ok(Some(Word::Help)),
        Some(Arg::Short('V') | Arg::Long("version")) => return Ok(Some(Word::Version)),
        Some(Arg::Short(c)) => (OPTIONS.iter().find(|spec| spec.short == Some(c)), format!("-{c}"), None),
        Some(Arg::Long(name)) => {
            let meant = suggest(name, OPTIONS.iter().map(|spec| spec.long));
            (OPTIONS.iter().find(|spec| spec.long == name), format!("--{name}"), meant)
        }
    };
    match found {
        (Some(spec), place, _) => Ok(Some(Word::Option(spec, place))),
        (None, written, meant) => Err(UsageError::UnknownOption { written, meant }),
    }
}

fn value_of(parser: &mut Parser, spec: &'static Spec, place: &str) -> Result<OsString, UsageError> {
    if spec.value.is_empty() {
        return Ok(OsString::from("true")); // a value all the same is an error at the next word
    }
    parser.value().map_err(|_| UsageError::NoValue { option: place.to_owned(), value: spec.value })
}

/// Makes the error for a value that `place` does not take.
pub(crate) fn bad(place: &str, written: &OsStr, expected: impl Into<String>) -> UsageError {
    UsageError::BadValue {
        place: place.to_owned(),
        written: written.to_string_lossy().into_owned(),
        expected: expected.into(),
    }
}

impl Options {
    /// What sexton itself writes to the log, where nobody says anything else.
    #[must_use]
    pub fn level(&self, default: LevelFilter) -> LevelFilter {
        let base = self.log_level.unwrap_or(default);
        (0..self.verbose).fold(base, |level, _| level.increment_severity().min(LevelFilter::Debug))
    }

    /// An empty variable counts as unset: what is filled in from a template often is.
    fn set_from_variable(&mut self, spec: &Spec, value: &OsStr) -> Result<(), UsageError> {
        if value.is_empty() {
            return Ok(());
        }
        let name = spec.variable();
        match (spec.option, value.to_str()) {
            (Opt::RemapExit | Opt::Rewrite, Some(list)) => {
                words(list).try_for_each(|word| self.set(spec.option, &name, OsStr::new(word)))
            }
            (Opt::Verbose, Some(count)) if count.parse::<u32>().is_ok() => {
                self.verbose = count.parse().unwrap_or_default();
                Ok(())
            }
            _ if spec.value.is_empty() => match value.to_str() {
                Some("false" | "0" | "no" | "off") => Ok(()),
                Some("true" | "1" | "yes" | "on") => self.set(spec.option, &name, value),
                _ => Err(bad(&name, value, "`true` or `false`")),
            },
            _ => self.set(spec.option, &name, value),
        }
    }

    fn set(&mut self, option: Opt, place: &str, value: &OsStr) -> Result<(), UsageError> {
        self.take(option, value).map_err(|expected| bad(place, value, expected))
    }

    /// The error is what the option takes instead.
    fn take(&mut self, option: Opt, value: &OsStr) -> Result<(), &'static str> {
        let text = value.to_str();
        let duration = || text.and_then(parse_duration).ok_or("a duration such as `500ms`, `5s` or `1h30m`");
        match option {
            Opt::Config => self.config = Some(path(value)?),
            Opt::Group => self.group = true,
            Opt::Subreaper => self.subreaper = true,
            Opt::WarnOnReap => self.warn_on_reap = true,
            Opt::Verbose => self.verbose = self.verbose.saturating_add(1),
            Opt::ParentDeathSignal => {
                let any = text.and_then(|text| text.parse().ok());
                self.parent_death_signal = Some(any.ok_or(SIGNAL)?);
            }
            Opt::RemapExit => {
                let code = text.and_then(|text| text.trim().parse().ok());
                self.remap_exit.push(code.ok_or("an exit code, 0 to 255")?);
            }
            Opt::LogLevel => {
                let level = text.and_then(|text| text.parse::<LevelFilter>().ok());
                let level = level.filter(|level| *level != LevelFilter::Trace);
                self.log_level = Some(level.ok_or("`off`, `error`, `warn`, `info` or `debug`")?);
            }
            Opt::Rewrite => self.rewrite.push(
                rewrite(value).ok_or("FROM:TO with signals such as `TERM:QUIT` or `15:3`, TO 0 to drop")?,
            ),
            Opt::StopOn => {
                let stop_on = self.stop_on.get_or_insert_default();
                let before = stop_on.len();
                for word in words(text.unwrap_or_default()) {
                    stop_on.push(catchable(word).ok_or(SIGNAL)?);
                }
                if stop_on.len() == before {
                    return Err("at least one signal");
                }
            }
            Opt::User => {
                let user =
                    text.filter(|user| !user.is_empty() && !user.starts_with(':') && !user.ends_with(':'));
                self.user = Some(user.ok_or("USER or USER:GROUP")?.to_owned());
            }
            Opt::Wait => {
                self.wait = Some(match text {
                    Some("main") => Wait::Main,
                    Some("all") => Wait::All,
                    _ => return Err("`main` or `all`"),
                });
            }
            Opt::Hold => {
                self.hold = Some(match text {
                    Some("never" | "false") => HoldOn::Never,
                    Some("failure" | "true") => HoldOn::Failure,
                    Some("always") => HoldOn::Always,
                    _ => return Err("`never`, `failure` or `always`"),
                });
            }
            Opt::HoldFor => {
                self.hold_for = Some(if text == Some("forever") { None } else { Some(duration()?) });
            }
            Opt::Socket => self.socket = Some(path(value)?),
            Opt::CrashDir => self.crash_dir = Some(path(value)?),
            Opt::HoldFreeze => self.hold_freeze = true,
            Opt::HoldFile => self.hold_file = Some(path(value)?),
            Opt::Grace => self.grace = Some(duration()?),
            Opt::Drain => self.drain = Some(duration()?),
            Opt::TerminationMessage => self.termination_message = Some(path(value)?),
            Opt::TerminationFormat => {
                self.termination_format = Some(match text {
                    Some("text") => Format::Text,
                    Some("json") => Format::Json,
                    _ => return Err("`text` or `json`"),
                });
            }
            Opt::Tail => {
                let lines = text.and_then(|text| text.parse().ok());
                self.tail = Some(lines.ok_or("a number of lines")?);
            }
            Opt::Health => {
                let address = text.and_then(parse_address);
                let expected = "an address such as `:8080`, `10.0.0.1:8080` or `[::1]:8080`";
                self.health = Some(address.ok_or(expected)?);
            }
        }
        Ok(())
    }
}

/// The words of a list; a comma too many is forgiven.
fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn path(value: &OsStr) -> Result<PathBuf, &'static str> {
    if value.is_empty() { Err("a path") } else { Ok(PathBuf::from(value)) }
}

/// A signal that can be waited for.
fn catchable(text: &str) -> Option<Signal> {
    text.parse().ok().filter(|signal: &Signal| !signal.is_uncatchable() && *signal != Signal::CHLD)
}

/// `FROM:TO`, each a number or a name; TO may be 0 to drop the signal.
fn rewrite(value: &OsStr) -> Option<(Signal, Option<Signal>)> {
    let (from, to) = value.to_str()?.split_once(':')?;
    let from = catchable(from)?;
    let to = if to == "0" { None } else { Some(to.parse().ok()?) };
    Some((from, to))
}

/// sexton's own options, for who writes about them.
#[must_use]
pub fn options() -> Vec<Flag> {
    let help = flag(Some('h'), "help", "", "print this");
    let version = flag(Some('V'), "version", "", "print the version");
    let own = OPTIONS.iter().map(|spec| flag(spec.short, spec.long, spec.value, spec.help));
    own.chain([help, version]).collect()
}

/// What `sexton --help` prints.
#[must_use]
pub fn help() -> String {
    let width = 34;
    let mut options = String::new();
    for spec in &OPTIONS {
        options += &row(&synopsis(spec.short, spec.long, spec.value), spec.help, width);
    }
    options += &row("-h, --help", "print this", width);
    options += &row("-V, --version", "print the version", width);
    let subcommands: String =
        SUBCOMMANDS.iter().map(|subcommand| row(subcommand.name, subcommand.help, 9)).collect();
    format!(
        "sexton {}: a container's first process.\n\n{USAGE}\n{MORE_USAGE}\n\n\
         Runs COMMAND as its only child: passes signals on, reaps zombies, ends with COMMAND's exit code.\n\
         With a file it supervises the programs in it. With neither it reads /etc/sexton.toml.\n\
         Options end at the first word that is none.\n\n\
         Subcommands (`sexton SUBCOMMAND --help` says more; as PID 1 all but `check` are programs' names):\n{subcommands}\n\
         Options:\n{options}\n\
         Each option --some-name can be set by the variable SEXTON_SOME_NAME; the command line wins.\n\
         Exit codes: COMMAND's own; 128+n when signal n killed it; 127 not found; 126 cannot be run;\n\
         100 bad usage; 111 the system refused to make a process.\n",
        env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Result<Options, UsageError> {
        with_variables(words, &[])
    }

    fn with_variables(words: &[&str], variables: &[(&str, &str)]) -> Result<Options, UsageError> {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        match parse(words.iter().map(OsString::from), variables)? {
            Request::Run(options) => Ok(*options),
            other @ (Request::Print(_)
            | Request::Check(..)
            | Request::Kubernetes(..)
            | Request::Probe(_)
            | Request::Inspect(_)
            | Request::Ask(..)
            | Request::Schema) => {
                panic!("{other:?}")
            }
        }
    }

    #[test]
    fn options_end_at_the_first_word_that_is_none() {
        let options = run(&["-g", "nginx", "-g", "daemon off;", "--", "--hold"]).expect("valid");
        assert_eq!(options.command, ["nginx", "-g", "daemon off;", "--", "--hold"]);
        assert!(options.group);
        let options = run(&["--", "-g", "--"]).expect("valid");
        assert_eq!(options.command, ["-g", "--"]);
        assert!(!options.group);
    }

    #[test]
    fn tinis_letters_bundle_and_take_values_in_every_spelling() {
        let options =
            run(&["-gsvvw", "-pTERM", "-e143", "-e", "0", "--remap-exit=3", "true"]).expect("valid");
        assert!(options.group && options.subreaper && options.warn_on_reap);
        assert_eq!(options.parent_death_signal, Some(Signal::TERM));
        assert_eq!(options.remap_exit, [143, 0, 3]);
        assert_eq!(options.level(LevelFilter::Warn), LevelFilter::Debug);
    }

    #[test]
    fn every_option_has_a_variable_and_the_command_line_wins() {
        let variables = [
            ("SEXTON_GROUP", "1"),
            ("SEXTON_HOLD", "always"),
            ("SEXTON_REWRITE", "15:3,HUP:0"),
            ("SEXTON_REMAP_EXIT", "1,2"),
            ("SEXTON_DRAIN", ""),
            ("SEXTON_VERBOSE", "2"),
            ("SEXTON_SUBREAPER", "false"),
        ];
        let options = with_variables(&["--hold", "never", "-e", "9", "true"], &variables).expect("valid");
        assert_eq!(options.hold, Some(HoldOn::Never));
        assert_eq!(options.remap_exit, [9]);
        assert_eq!(options.rewrite, [(Signal::TERM, Some(Signal::QUIT)), (Signal::HUP, None)]);
        assert_eq!((options.group, options.subreaper, options.drain), (true, false, None));
        assert_eq!(options.level(LevelFilter::Warn), LevelFilter::Debug);
    }

    #[test]
    fn what_cannot_be_understood_is_one_clear_line() {
        let said = |words: &[&str]| run(words).expect_err("invalid").to_string();
        let cases: [(&[&str], &str); 17] = [
            (
                &["check", "a.toml", "b.toml"],
                "cannot understand `b.toml`: expected `sexton check [--schema|--kubernetes] [FILE]`",
            ),
            (
                &["check", "--shcema"],
                "cannot understand `--shcema`: unknown option; did you mean `--schema`?",
            ),
            (&["-c"], "cannot read `-c`: its value FILE is missing"),
            (&["--hodl", "x"], "cannot understand `--hodl`: unknown option; did you mean `--hold`?"),
            (&["-z"], "cannot understand `-z`: unknown option; `sexton --help` lists them"),
            (&["--grace"], "cannot read `--grace`: its value DURATION is missing"),
            (&["--group=yes", "x"], "cannot read `--group`: it takes no value"),
            (
                &["--grace", "5", "x"],
                "cannot read `--grace`: expected a duration such as `500ms`, `5s` or `1h30m`, got `5`",
            ),
            (
                &["-p", "TREM", "x"],
                "cannot read `-p`: expected a signal such as `TERM`, `15` or `RTMIN+3`, got `TREM`",
            ),
            (&["-e", "256", "x"], "cannot read `-e`: expected an exit code, 0 to 255, got `256`"),
            (
                &["--rewrite", "15", "x"],
                "cannot read `--rewrite`: expected FROM:TO with signals such as `TERM:QUIT` or `15:3`, TO 0 to drop, got `15`",
            ),
            (
                &["--stop-on", "KILL", "x"],
                "cannot read `--stop-on`: expected a signal such as `TERM`, `15` or `RTMIN+3`, got `KILL`",
            ),
            (&["--wait", "x", "x"], "cannot read `--wait`: expected `main` or `all`, got `x`"),
            (&["--hold", "x", "x"], "cannot read `--hold`: expected `never`, `failure` or `always`, got `x`"),
            (&["-u", ":0", "x"], "cannot read `-u`: expected USER or USER:GROUP, got `:0`"),
            (&["--tail", "-1", "x"], "cannot read `--tail`: expected a number of lines, got `-1`"),
            (
                &["--termination-message", "", "x"],
                "cannot read `--termination-message`: expected a path, got ``",
            ),
        ];
        for (words, line) in cases {
            assert_eq!(said(words), line);
        }
        let variable = with_variables(&["x"], &[("SEXTON_GROUP", "maybe")]).expect_err("invalid");
        assert_eq!(
            variable.to_string(),
            "cannot read `SEXTON_GROUP`: expected `true` or `false`, got `maybe`"
        );
    }

    #[test]
    fn check_is_a_subcommand_unless_it_stands_behind_two_dashes() {
        let asked = |words: &[&str]| parse(words.iter().map(OsString::from), []).expect("valid");
        assert!(matches!(asked(&["check"]), Request::Check(_, None)));
        assert!(
            matches!(asked(&["--grace=5s", "check", "a"]), Request::Check(options, Some(_)) if options.grace.is_some())
        );
        assert!(matches!(asked(&["check", "--schema"]), Request::Schema));
        assert!(matches!(asked(&["check", "--kubernetes"]), Request::Kubernetes(_, None)));
        assert!(matches!(asked(&["check", "a", "--kubernetes"]), Request::Kubernetes(_, Some(_))));
        assert!(matches!(asked(&["--", "check"]), Request::Run(options) if options.command == ["check"]));
        assert!(matches!(asked(&["-v", "--", "check"]), Request::Run(_)));
        assert!(matches!(asked(&["nginx", "check"]), Request::Run(_)));
    }

    #[test]
    fn probe_is_a_subcommand_that_keeps_its_words() {
        let asked = |words: &[&str]| parse(words.iter().map(OsString::from), []).expect("valid");
        assert!(matches!(asked(&["--health=:9", "probe", "tcp", "--x"]), Request::Probe(options)
                if options.command == ["probe", "tcp", "--x"] && options.health.is_some()));
        assert!(matches!(asked(&["--", "probe"]), Request::Run(options) if options.command == ["probe"]));
        assert!(matches!(asked(&["nginx", "probe"]), Request::Run(_)));
    }

    #[test]
    fn inspect_is_a_subcommand_that_keeps_its_words() {
        let asked = |words: &[&str]| parse(words.iter().map(OsString::from), []).expect("valid");
        assert!(matches!(asked(&["inspect", "ls", "-a", "--", "x"]), Request::Inspect(options)
                if options.command == ["inspect", "ls", "-a", "--", "x"]));
        assert!(matches!(asked(&["--", "inspect"]), Request::Run(options) if options.command == ["inspect"]));
        assert!(matches!(asked(&["nginx", "inspect"]), Request::Run(_)));
    }

    #[test]
    fn an_address_may_be_a_port_alone() {
        let health = |text: &str| run(&["--health", text, "x"]).map(|options| options.health);
        for (written, means) in [
            ("9000", "[::]:9000"),
            (":9000", "[::]:9000"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::]:80", "[::]:80"),
        ] {
            assert_eq!(health(written), Ok(means.parse().ok()), "{written}");
        }
        for written in ["", ":", "0", "127.0.0.1", "localhost:80", "65536", "::1:80:"] {
            assert!(health(written).is_err(), "{written}");
        }
    }

    #[test]
    fn with_neither_a_command_nor_a_file_there_may_be_a_default_file() {
        assert_eq!(run(&["-g", "--"]).map(|options| options.command), Ok(vec![]));
        let options = run(&["-c", "a.toml", "--", "app"]).expect("valid");
        assert_eq!((options.config, options.command), (Some("a.toml".into()), vec!["app".into()]));
    }

    #[test]
    fn the_table_names_each_option_once() {
        for (i, a) in OPTIONS.iter().enumerate() {
            for b in &OPTIONS[i + 1..] {
                assert!(
                    a.option != b.option && a.long != b.long && (a.short.is_none() || a.short != b.short)
                );
            }
        }
    }
}
