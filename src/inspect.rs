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
use std::slice::Split;

use crate::BAD_USAGE;
use crate::cli::{Options, UsageError, bad};
use crate::client;
use crate::linux;
use crate::text::join;

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
pub(crate) fn run(options: &Options) -> u8 {
    let words = &options.command;
    if words.get(1).is_some_and(|word| word == "crash")
        && !words.iter().any(|word| word == "--help" || word == "-h")
    {
        return crash(options, &words[2..]);
    }
    match parse(words.get(1..).unwrap_or_default()) {
        Ok(Some(request)) => linux::inspect(&request),
        Ok(None) => linux::print(&help()),
        Err(error) => linux::fail(&error, BAD_USAGE),
    }
}

/// Shows the reports in a directory, where one is named, or else those that a running sexton keeps.
fn crash(options: &Options, words: &[OsString]) -> u8 {
    let is_number = |place: usize| place > 0 && words[place - 1] == "-n";
    let names_directory = words.iter().enumerate().any(|(place, word)| {
        !is_number(place) && !word.to_str().is_some_and(|word| word.starts_with('-') && word != "--")
    });
    if names_directory || options.crash_dir.is_some() {
        return linux::show_crashes(options.crash_dir.as_deref(), words);
    }
    client::crashes(options.socket.clone(), words)
}

/// Reads the words behind `inspect`, with options anywhere among those behind the first; None asks for help.
fn parse(words: &[OsString]) -> Result<Option<Request>, UsageError> {
    let mut words = words.iter();
    let Some(first) = words.next() else { return Ok(None) };
    let name = first.to_string_lossy();
    if matches!(&*name, "-h" | "--help") {
        return Ok(None);
    }
    if name.starts_with('-') {
        return Err(UsageError::Surplus {
            written: name.into_owned(),
            usage: "sexton inspect --help".to_owned(),
        });
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(bad("sexton inspect", first, expected()));
    };
    let (json, reveal, all, follow) = (false, false, false, false);
    let mut request = Request { what: command.what, json, reveal, all, follow, lines: 10, words: Vec::new() };
    let mut has_options = true;
    while let Some(word) = words.next() {
        let written = word.to_string_lossy();
        if !has_options || written == "-" || !written.starts_with('-') {
            if request.words.len() == command.words.1 {
                return Err(surplus(&written, command));
            }
            request.words.push(word.clone());
            continue;
        }
        if written == "--" {
            has_options = false;
            continue;
        }
        // `-fn3` is `-f -n 3`.
        let mut rest = &written[1..];
        while let Some(first) = rest.chars().next() {
            let (name, behind) = rest.split_at(if first == '-' { rest.len() } else { first.len_utf8() });
            let option = join(&["-", name], "");
            rest = behind;
            if matches!(&*option, "-h" | "--help") {
                return Ok(None);
            }
            // `[-n` where the option is written `-n`.
            if !command.usage.split([' ', ']']).any(|word| word.strip_prefix('[') == Some(&option)) {
                return Err(surplus(&option, command));
            }
            match &*option {
                "--json" => request.json = true,
                "--reveal" => request.reveal = true,
                "-a" => request.all = true,
                "-f" => request.follow = true,
                _ => {
                    let mut value = OsString::from(rest.strip_prefix('=').unwrap_or(rest));
                    if value.is_empty() {
                        let Some(next) = words.next() else {
                            return Err(UsageError::NoValue { option, value: "LINES" });
                        };
                        value.clone_from(next);
                    }
                    let lines = value.to_str().and_then(|text| text.parse().ok());
                    request.lines = lines.ok_or_else(|| bad(&option, &value, "a number of lines"))?;
                    rest = "";
                }
            }
        }
    }
    if request.words.len() < command.words.0 {
        let value = if command.words == (1, 1) && command.what != What::Tail { "PID" } else { "PATH" };
        return Err(UsageError::NoValue { option: join(&["sexton inspect ", command.name], ""), value });
    }
    Ok(Some(request))
}

/// The names of all commands.
fn expected() -> String {
    let names = COMMANDS.each_ref().map(|command| command.name);
    "one of ".to_owned() + &join(&names, ", ")
}

fn surplus(written: &str, command: &Command) -> UsageError {
    UsageError::Surplus { written: written.to_owned(), usage: command.usage.to_owned() }
}

/// What `sexton inspect --help` prints.
fn help() -> String {
    let mut text =
        "sexton inspect: looks around where there is no shell, and changes nothing.\n\n".to_owned();
    for command in &COMMANDS {
        for part in ["  ", command.usage, "\n      ", command.help, "\n"] {
            text += part;
        }
    }
    text += "\nPID is a number, or the name of a program in sexton's configuration.\n\
        An environment is that of the start, whatever a process has changed since.\n\
        --json prints an array of objects; --reveal shows secrets.\n\
        What cannot be read is said on standard error, with who may read it.\n\
        On a terminal long commands, paths and addresses are cut to its width.\n\
        Exit codes: 0 all is shown; 1 something asked for is not; 100 bad usage.\n";
    text
}

// --- what the files of /proc have in common

/// The lines of a file.
pub(crate) fn lines(bytes: &[u8]) -> Split<'_, u8, fn(&u8) -> bool> {
    bytes.split(|byte| *byte == b'\n')
}

/// What stands in a file with a zero behind each, or between them.
pub(crate) fn pieces(bytes: &[u8]) -> Split<'_, u8, fn(&u8) -> bool> {
    bytes.split(|byte| *byte == 0)
}

/// What stands behind a name that a line begins with; nothing where there is no such line.
#[inline(never)]
pub(crate) fn line_of<'a>(bytes: &'a [u8], name: &str) -> &'a [u8] {
    lines(bytes).find_map(|line| line.strip_prefix(name.as_bytes())).unwrap_or_default()
}

/// The first field of a line, and what stands behind it.
fn cut(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii_start();
    let end = line.iter().position(u8::is_ascii_whitespace);
    line.split_at(end.unwrap_or(line.len()))
}

/// What stands behind so many fields of a line.
#[inline(never)]
pub(crate) fn behind(mut line: &[u8], fields: usize) -> &[u8] {
    for _ in 0..fields {
        line = cut(line).1;
    }
    line
}

/// A field of a line by its place; empty where there is none.
#[inline(never)]
pub(crate) fn field(line: &[u8], place: usize) -> &[u8] {
    cut(behind(line, place)).0
}

/// The same, where it is a number.
#[inline(never)]
pub(crate) fn figure(line: &[u8], place: usize, radix: u32) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(field(line, place)).ok()?, radix).ok()
}

/// Appends a text and a number.
#[inline(never)]
pub(crate) fn count(out: &mut Vec<u8>, before: &str, number: u64) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(number.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_place() {
        let line = b" a:  12\t0x ff ";
        assert_eq!((field(line, 0), field(line, 3), field(line, 4)), (&b"a:"[..], &b"ff"[..], &b""[..]));
        assert_eq!(
            (figure(line, 1, 10), figure(line, 3, 16), figure(line, 2, 16)),
            (Some(12), Some(255), None)
        );
        assert_eq!(behind(line, 3), b" ff ");
        assert_eq!(behind(line, 9), b"");
        assert_eq!((line_of(b"ab 1\na: 2\na: 3", "a:"), line_of(b"", "a:")), (&b" 2"[..], &b""[..]));
    }

    fn words(words: &[&str]) -> Result<Option<Request>, String> {
        parse(&words.iter().map(OsString::from).collect::<Vec<_>>()).map_err(|error| error.to_string())
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
