//! `sexton inspect`: looking around in a container that has no shell and no tools.
//!
//! Pure, but for [`run`]: words become a [`Request`], the text of files in /proc becomes tables. Who reads is
//! `linux/inspect.rs`.

pub(crate) mod env;
pub(crate) mod fds;
pub(crate) mod files;
pub(crate) mod limits;
pub(crate) mod net;
pub(crate) mod ps;

use std::ffi::OsString;
use std::fmt::Write;

use lexopt::{Arg, Parser};

use crate::BAD_USAGE;
use crate::cli::{Options, UsageError, bad};
use crate::client;
use crate::linux;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Processes,
    Environment,
    Descriptors,
    Network,
    Limits,
    List,
    Print,
    Tail,
    Crashes,
}

/// One of the words behind `inspect`.
pub struct Command {
    what: What,
    /// Its name.
    pub name: &'static str,
    /// How it is written; an option that does not stand here is none of it.
    pub usage: &'static str,
    /// What it shows.
    pub help: &'static str,
    /// How many words it takes beside options, at least and at most.
    words: (usize, usize),
}

const fn command(
    what: What,
    name: &'static str,
    usage: &'static str,
    help: &'static str,
    words: (usize, usize),
) -> Command {
    Command { what, name, usage, help, words }
}

const ANY: usize = usize::MAX;

/// All there are: help, completions and the parser come from here.
pub const COMMANDS: [Command; 9] = [
    command(
        What::Processes,
        "ps",
        "sexton inspect ps [--json]",
        "the processes, as a tree: state, memory, age; zombies too",
        (0, 0),
    ),
    command(
        What::Environment,
        "env",
        "sexton inspect env [--json] [--reveal] PID",
        "the environment that it was started with; secrets are masked",
        (1, 1),
    ),
    command(
        What::Descriptors,
        "fds",
        "sexton inspect fds [--json] PID",
        "what it has open: files, pipes and their other ends, sockets",
        (1, 1),
    ),
    command(
        What::Network,
        "net",
        "sexton inspect net [--json]",
        "who listens, who is connected, and which process that is",
        (0, 0),
    ),
    command(
        What::Limits,
        "limits",
        "sexton inspect limits [--json] [PID]",
        "memory, CPU and processes of the container; limits of PID",
        (0, 1),
    ),
    command(
        What::List,
        "ls",
        "sexton inspect ls [--json] [-a] PATH...",
        "files and directories; -a: those with a dot as well",
        (1, ANY),
    ),
    command(What::Print, "cat", "sexton inspect cat PATH...", "the content of files, as it is", (1, ANY)),
    command(
        What::Tail,
        "tail",
        "sexton inspect tail [-n LINES] [-f] PATH",
        "the last lines of a file [default: 10]; -f: and those to come",
        (1, 1),
    ),
    command(
        What::Crashes,
        "crash",
        "sexton inspect crash [--json] [--list] [-n NUMBER] [DIRECTORY]",
        "the newest crash report, or an older one; --list: all in short",
        (0, ANY),
    ),
];

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) what: What,
    pub(crate) json: bool,
    /// Show secrets.
    pub(crate) reveal: bool,
    /// Names that begin with a dot too.
    pub(crate) all: bool,
    pub(crate) follow: bool,
    pub(crate) lines: usize,
    /// A process or paths.
    pub(crate) words: Vec<OsString>,
}

/// Looks, and returns the exit code.
pub(crate) fn run(mut options: Options) -> u8 {
    let words = std::mem::take(&mut options.command);
    if words.get(1).is_some_and(|word| word == "crash")
        && !words.iter().any(|word| word == "--help" || word == "-h")
    {
        return crash(options, &words[2..]);
    }
    match parse(words.into_iter().skip(1)) {
        Ok(Some(request)) => linux::inspect(&request),
        Ok(None) => linux::print(&help()),
        Err(error) => linux::fail(&error, BAD_USAGE),
    }
}

/// Shows the reports in a directory, where one is named, or else those that a running sexton keeps.
fn crash(options: Options, words: &[OsString]) -> u8 {
    let is_number = |place: usize| place > 0 && words[place - 1] == "-n";
    let names_directory = words.iter().enumerate().any(|(place, word)| {
        !is_number(place) && !word.to_str().is_some_and(|word| word.starts_with('-') && word != "--")
    });
    if names_directory || options.crash_dir.is_some() {
        return linux::show_crashes(options.crash_dir.as_deref(), words);
    }
    client::crashes(options.socket, words)
}

/// Reads the words behind `inspect`, with options anywhere among those behind the first; None asks for help.
fn parse(words: impl Iterator<Item = OsString>) -> Result<Option<Request>, UsageError> {
    let mut parser = Parser::from_args(words);
    let mut found: Option<(&Command, Request)> = None;
    loop {
        let arg = match parser.next() {
            Ok(Some(arg)) => arg,
            Ok(None) => break,
            Err(error) => {
                let usage = found.map_or("sexton inspect --help", |(command, _)| command.usage);
                return Err(UsageError::Surplus { written: error.to_string(), usage: usage.to_owned() });
            }
        };
        let (option, written) = match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Value(word) => {
                match &mut found {
                    None => found = Some(begin(&word)?),
                    Some((command, request)) if request.words.len() < command.words.1 => {
                        request.words.push(word);
                    }
                    Some((command, _)) => return Err(surplus(&word.to_string_lossy(), command)),
                }
                continue;
            }
            Arg::Short(c) => (c, format!("-{c}")),
            Arg::Long("json") => ('j', "--json".to_owned()),
            Arg::Long("reveal") => ('r', "--reveal".to_owned()),
            Arg::Long(name) => (' ', format!("--{name}")),
        };
        let Some((command, request)) = &mut found else {
            return Err(UsageError::Surplus { written, usage: "sexton inspect --help".to_owned() });
        };
        // `[-n` where the option is written `-n`.
        if !command.usage.split([' ', ']']).any(|word| word.strip_prefix('[') == Some(&written)) {
            return Err(surplus(&written, command));
        }
        match option {
            'j' => request.json = true,
            'r' => request.reveal = true,
            'a' => request.all = true,
            'f' => request.follow = true,
            'n' => {
                let no_value = |_| UsageError::NoValue { option: written.clone(), value: "LINES" };
                let value = parser.value().map_err(no_value)?;
                let lines = value.to_str().and_then(|text| text.parse().ok());
                request.lines = lines.ok_or_else(|| bad(&written, &value, "a number of lines"))?;
            }
            _ => return Err(surplus(&written, command)),
        }
    }
    let Some((command, request)) = found else { return Ok(None) };
    if request.words.len() < command.words.0 {
        let value = if command.words == (1, 1) && command.what != What::Tail { "PID" } else { "PATH" };
        return Err(UsageError::NoValue { option: format!("sexton inspect {}", command.name), value });
    }
    Ok(Some(request))
}

fn begin(word: &OsString) -> Result<(&'static Command, Request), UsageError> {
    let text = word.to_str().unwrap_or_default();
    let Some(command) = COMMANDS.iter().find(|command| command.name == text) else {
        let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
        let expected = format!("one of {}", names.join(", "));
        return Err(bad("sexton inspect", word, expected));
    };
    let (json, reveal, all, follow) = (false, false, false, false);
    let request = Request { what: command.what, json, reveal, all, follow, lines: 10, words: Vec::new() };
    Ok((command, request))
}

fn surplus(written: &str, command: &Command) -> UsageError {
    UsageError::Surplus { written: written.to_owned(), usage: command.usage.to_owned() }
}

/// What `sexton inspect --help` prints.
fn help() -> String {
    let mut text =
        "sexton inspect: looks around where there is no shell, and changes nothing.\n\n".to_owned();
    for command in &COMMANDS {
        let _ = writeln!(text, "  {}\n      {}", command.usage, command.help); // a String takes everything
    }
    text += "\nPID is a number, or the name of a program in sexton's configuration.\n\
        An environment is that of the start, whatever a process has changed since.\n\
        --json prints an array of objects; --reveal shows secrets.\n\
        What cannot be read is said on standard error, with who may read it.\n\
        On a terminal long commands, paths and addresses are cut to its width.\n\
        Exit codes: 0 all is shown; 1 something asked for is not; 100 bad usage.\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Result<Option<Request>, String> {
        parse(words.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    fn request(given: &[&str]) -> Request {
        words(given).expect("understood").expect("no help")
    }

    #[test]
    fn options_stand_anywhere_behind_the_first_word() {
        let asked = request(&["env", "--reveal", "12", "--json"]);
        assert_eq!((asked.what, asked.json, asked.reveal), (What::Environment, true, true));
        assert_eq!(asked.words, ["12"]);
        let asked = request(&["tail", "-fn", "3", "/a"]);
        assert_eq!((asked.what, asked.follow, asked.lines), (What::Tail, true, 3));
        assert_eq!(request(&["tail", "/a", "-n0"]).lines, 0);
        assert_eq!(request(&["tail", "/a"]).lines, 10);
        assert_eq!(request(&["ls", "-a", "/a", "--", "-b"]).words, ["/a", "-b"]);
        assert_eq!(request(&["limits"]).words.len(), 0);
        for help in [&[][..], &["-h"], &["--help"], &["ps", "--help"], &["cat", "-h"]] {
            assert_eq!(words(help), Ok(None), "{help:?}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_one_clear_line() {
        let cases: [(&[&str], &str); 8] = [
            (
                &["top"],
                "cannot read `sexton inspect`: expected one of ps, env, fds, net, limits, ls, cat, tail, crash, got `top`",
            ),
            (&["env"], "cannot read `sexton inspect env`: its value PID is missing"),
            (&["tail"], "cannot read `sexton inspect tail`: its value PATH is missing"),
            (&["ps", "12"], "cannot understand `12`: expected `sexton inspect ps [--json]`"),
            (&["ps", "--reveal"], "cannot understand `--reveal`: expected `sexton inspect ps [--json]`"),
            (&["--json", "ps"], "cannot understand `--json`: expected `sexton inspect --help`"),
            (&["tail", "-n", "x", "/a"], "cannot read `-n`: expected a number of lines, got `x`"),
            (&["tail", "/a", "-n"], "cannot read `-n`: its value LINES is missing"),
        ];
        for (given, line) in cases {
            assert_eq!(words(given), Err(line.to_owned()), "{given:?}");
        }
        for odd in ["-j", "-r", "- ", "--json=x", "-", "--a"] {
            assert!(words(&["ps", odd]).is_err(), "{odd}");
        }
    }

    #[test]
    fn the_help_fits_a_terminal() {
        for line in help().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
