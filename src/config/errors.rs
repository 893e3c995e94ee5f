//! What can be wrong with a configuration file, and how it is said.

use std::fmt;
use std::io::ErrorKind;

use super::expand::MAX_STRING;
use super::keys::MAX_PROGRAMS;
use super::source::{MAX_FILE, Place, Unreadable};

/// How many errors are printed.
const SHOWN: usize = 20;
/// How much of what was written is printed.
const QUOTED: usize = 60;

/// Everything that is wrong with a file, in the order of the places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// The file's name, as it was given.
    pub(super) file: String,
    /// At least one.
    pub(super) list: Vec<(Option<Place>, Fault)>,
}

impl Errors {
    /// Where they are; None for one that concerns the file as a whole.
    pub fn places(&self) -> impl Iterator<Item = Option<Place>> {
        self.list.iter().map(|(place, _)| *place)
    }
}

impl std::error::Error for Errors {}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (place, fault)) in self.list.iter().take(SHOWN).enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            if let Some(Place { line, column }) = place {
                write!(f, "{}:{line}:{column}: ", self.file)?;
            }
            write!(f, "{fault}")?;
        }
        match self.list.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A file cannot be used.
    Unreadable { file: String, why: Unreadable },
    /// It is no TOML, says the parser.
    Syntax(String),
    /// `[program:web]`, or another section of Supervisor's.
    Section { written: String, advice: &'static str },
    /// No key is called so here.
    UnknownKey { written: String, owner: String, meant: Option<&'static str> },
    /// A key of Supervisor's that is not one of ours.
    KeyElsewhere { written: String, advice: &'static str },
    /// A key that has to be there is not.
    MissingKey { key: &'static str, owner: String },
    /// The value is none of what the key takes.
    Wrong { key: String, expected: String, got: String, meant: Option<String> },
    /// The value is close, but this is what it should be.
    Advice { key: String, got: String, advice: String },
    /// A string that holds a NUL.
    Nul { key: String },
    /// A string that gets longer than execve(2) takes.
    TooLong { key: String },
    /// A command whose quotes do not match.
    Unbalanced { key: &'static str },
    /// A string that needs a variable which is not set.
    Unset { key: String, got: String },
    /// No variable can be called so.
    VariableName { written: String },
    /// A line of an environment file that is none.
    Line { file: String, line: usize },
    /// A soft limit above its hard limit.
    SoftAboveHard { limit: String },
    /// Two keys that contradict each other.
    Conflict { one: &'static str, other: &'static str },
    /// A key that says nothing without the other.
    Without { one: &'static str, other: &'static str },
    /// A probe or a hook that does nothing.
    NoHandler { keys: &'static str, owner: String },
    /// The name of an HTTP header, or its value, that would be none.
    Header { written: String, what: &'static str },
    /// No socket can be called so.
    SocketName { written: String },
    /// A descriptor that is a socket's; the first that is not.
    TakenDescriptor { descriptor: i32, free: usize },
    /// Two of our sockets with the same address.
    SameAddress { address: String, one: String, other: String },
    /// No program is called so.
    UnknownProgram { key: &'static str, written: String, meant: Option<String> },
    /// A program that waits for itself.
    AfterItself { name: String },
    /// Programs that wait for each other.
    Cycle(Vec<String>),
    /// A main that is not exactly one process from the beginning.
    MainRule { name: String, rule: &'static str },
    /// Two processes of one name.
    TwiceNamed { name: String, numprocs: bool },
    /// More than [`MAX_PROGRAMS`].
    TooManyPrograms,
    /// All strings together need too much memory.
    TooMuch,
    /// Neither a step nor a program.
    Empty,
}

impl Fault {
    /// Whether it may only follow from a table or a name that could not be read.
    pub(super) fn is_consequence(&self) -> bool {
        matches!(self, Fault::UnknownKey { owner, .. } if owner.is_empty())
            || matches!(
                self,
                Fault::MissingKey { .. }
                    | Fault::NoHandler { .. }
                    | Fault::Without { .. }
                    | Fault::UnknownProgram { .. }
                    | Fault::Cycle(_)
                    | Fault::TwiceNamed { .. }
                    | Fault::Empty
            )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreadable { file, why } => write!(f, "cannot read {}: {why}", Quoted(file)),
            Fault::Syntax(message) if message.starts_with("unexpected leading zero") => {
                f.write_str("a number has no leading zero; write an octal one as a string, such as `\"022\"`")
            }
            // The parser says the same where there is no value at all.
            Fault::Syntax(message) if message.starts_with("string values must be quoted") => {
                f.write_str("expected a value; a string stands in quotes")
            }
            Fault::Syntax(message) => f.write_str(message),
            Fault::Section { written, advice } => {
                write!(f, "unknown section {}: {advice}", Quoted(written))
            }
            Fault::UnknownKey { written, owner, meant } => {
                write!(f, "unknown key {}{}", Quoted(written), Within(owner))?;
                did_you_mean(f, *meant)
            }
            Fault::KeyElsewhere { written, advice } => {
                write!(f, "unknown key {}: {advice}", Quoted(written))
            }
            Fault::MissingKey { key, owner } => write!(f, "missing key `{key}`{}", Within(owner)),
            Fault::Wrong { key, expected, got, meant } => {
                write!(f, "cannot read {}: expected {expected}, got {}", Quoted(key), Quoted(got))?;
                did_you_mean(f, meant.as_deref())
            }
            Fault::Advice { key, got, advice } => {
                write!(f, "cannot read {}: got {}; {advice}", Quoted(key), Quoted(got))
            }
            Fault::Nul { key } => {
                write!(f, "cannot read {}: a string cannot hold a NUL character", Quoted(key))
            }
            Fault::TooLong { key } => {
                write!(f, "cannot read {}: the string is longer than {MAX_STRING} bytes", Quoted(key))
            }
            Fault::Unbalanced { key } => {
                write!(
                    f,
                    "cannot split `{key}` into words: a quote is not closed, or nothing follows a backslash"
                )
            }
            Fault::Unset { key, got } => {
                write!(f, "cannot read {}: a variable in {} is not set", Quoted(key), Quoted(got))
            }
            Fault::VariableName { written } => {
                write!(f, "no variable can be called {}: a name is not empty and has no `=`", Quoted(written))
            }
            Fault::Line { file, line } => {
                write!(f, "cannot read {}: line {line} is no `KEY=value`", Quoted(file))
            }
            Fault::SoftAboveHard { limit } => {
                write!(f, "the soft limit of {} is above the hard limit", Quoted(limit))
            }
            Fault::Conflict { one, other } => write!(f, "`{one}` and `{other}` contradict each other"),
            Fault::Without { one, other } => write!(f, "`{one}` says nothing without `{other}`"),
            Fault::NoHandler { keys, owner } => write!(f, "missing key{}: one of {keys}", Within(owner)),
            Fault::Header { written, what } => {
                write!(f, "cannot send the header {}: {what}", Quoted(written))
            }
            Fault::SocketName { written } => write!(
                f,
                "no socket can be called {}: a name has 1 to 255 bytes, no `:` and no control characters",
                Quoted(written)
            ),
            Fault::TakenDescriptor { descriptor, free } => {
                write!(f, "descriptor {descriptor} is one of `sockets`; the first free one is {free}")
            }
            Fault::SameAddress { address, one, other } => {
                write!(f, "{one} and {other} cannot both listen on {}", Quoted(address))
            }
            Fault::UnknownProgram { key, written, meant } => {
                write!(f, "unknown program {} in `{key}`", Quoted(written))?;
                did_you_mean(f, meant.as_deref())
            }
            Fault::AfterItself { name } => write!(f, "program {} cannot start after itself", Quoted(name)),
            Fault::Cycle(names) => {
                f.write_str("programs wait for each other: ")?;
                cycle(f, names)
            }
            Fault::MainRule { name, rule } => write!(f, "program {} cannot be `main`: {rule}", Quoted(name)),
            Fault::TwiceNamed { name, numprocs } => {
                write!(f, "two processes cannot both be called {}", Quoted(name))?;
                f.write_str(if *numprocs { "; put `$(SEXTON_PROCESS_NUM)` into `process_name`" } else { "" })
            }
            Fault::TooManyPrograms => write!(f, "there can be no more than {MAX_PROGRAMS} programs"),
            Fault::TooMuch => f.write_str("all values together, `numprocs` times each, take too much memory"),
            Fault::Empty => {
                f.write_str("nothing to run: there is neither a `[program.NAME]` nor a `[[step]]`")
            }
        }
    }
}

fn did_you_mean(f: &mut fmt::Formatter<'_>, meant: Option<&str>) -> fmt::Result {
    match meant {
        Some(meant) => write!(f, "; did you mean {}?", Quoted(meant)),
        None => Ok(()),
    }
}

/// `a -> b -> a`, with the middle of a long one left out.
fn cycle(f: &mut fmt::Formatter<'_>, names: &[String]) -> fmt::Result {
    const ENDS: usize = 8;
    f.write_str("`")?;
    for (place, name) in names.iter().enumerate() {
        if place >= ENDS && place + ENDS < names.len() {
            if place == ENDS {
                f.write_str(" -> …")?;
            }
            continue;
        }
        write!(f, "{}{}", if place == 0 { "" } else { " -> " }, name.escape_debug())?;
    }
    f.write_str("`")
}

/// What a key is in; nothing for the file itself.
struct Within<'a>(&'a str);

impl fmt::Display for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " in {}", self.0) }
    }
}

/// Somebody's words on one line and in backticks, cut where they are long.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        f.write_str("`")?;
        for c in chars.by_ref().take(QUOTED) {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        f.write_str(if chars.next().is_some() { "…`" } else { "`" })
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Refused(ErrorKind::NotFound, _) => f.write_str("there is no such file"),
            Unreadable::Refused(ErrorKind::PermissionDenied, _) => f.write_str("permission denied"),
            Unreadable::Refused(ErrorKind::IsADirectory, _) => f.write_str("it is a directory"),
            Unreadable::Refused(ErrorKind::InvalidInput, _) => f.write_str("it is no regular file"),
            Unreadable::Refused(_, text) => f.write_str(text),
            Unreadable::TooLong => write!(f, "it is longer than {MAX_FILE} bytes"),
            Unreadable::NotText(Place { line, column }) => {
                write!(f, "it is not UTF-8 at line {line}, column {column}")
            }
            Unreadable::Nul => f.write_str("it has a NUL character"),
        }
    }
}
