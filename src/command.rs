//! What an operator asks for while the container runs, and what is answered.

use crate::signal::Signal;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Something is to be done with programs.
    Programs {
        /// What.
        verb: Verb,
        /// Which, by name; `*` and `?` stand for other letters, `all` for all.
        names: Vec<String>,
        /// And those that come after them.
        dependents: bool,
    },
    /// The configuration is to be read again.
    Reload,
    /// A failure is to be held from now on, or not, whatever the configuration and the hold file say.
    Hold(bool),
    /// The hold is to end.
    Release {
        /// And what failed is to start again.
        restart: bool,
    },
}

/// What is to be done with programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Start, and first what they come after.
    Start,
    /// Stop; they stay stopped.
    Stop,
    /// Stop where they run, then start.
    Restart,
    /// Send this.
    Signal(Signal),
}

/// What has come of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// For each program, or for the whole.
    pub results: Vec<Said>,
}

/// What has come of a command for one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The program, or the name that is no program's; None where it is about the container.
    pub program: Option<String>,
    /// In one word.
    pub word: Word,
    /// What there is to say besides; may be empty.
    pub text: String,
}

/// What has come of a command, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It runs; a step has been done.
    Started,
    /// It has no process any more.
    Stopped,
    /// It got the signal.
    Signalled,
    /// What was asked for the container is done, or goes on by itself.
    Done,
    /// There was nothing to start.
    AlreadyStarted,
    /// There was nothing to stop.
    NotRunning,
    /// There was nothing to send a signal to.
    NobodyThere,
    /// It waits for another program that does not run.
    Waits,
    /// It did not come up.
    Failed,
    /// No program is called so.
    NoSuchProgram,
    /// Not now, or not here.
    Refused,
}

impl Said {
    /// About one program.
    #[must_use]
    pub fn of(program: String, word: Word, text: impl Into<String>) -> Said {
        Said { program: Some(program), word, text: text.into() }
    }
}

impl Reply {
    /// About the container.
    #[must_use]
    pub fn whole(word: Word, text: impl Into<String>) -> Reply {
        Reply { results: vec![Said { program: None, word, text: text.into() }] }
    }

    /// What a command that asked for this ends with: the worst of all, by supervisorctl's numbers.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.results.iter().map(|said| said.word.code()).max().unwrap_or_default()
    }
}

impl Word {
    /// It, for people and programs.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Word::Started => "started",
            Word::Stopped => "stopped",
            Word::Signalled => "signalled",
            Word::Done => "done",
            Word::AlreadyStarted => "already started",
            Word::NotRunning | Word::NobodyThere => "not running",
            Word::Waits => "waits",
            Word::Failed => "failed",
            Word::NoSuchProgram => "no such program",
            Word::Refused => "refused",
        }
    }

    /// What was asked for did not come.
    #[must_use]
    pub fn is_error(self) -> bool {
        match self {
            Word::Started | Word::Stopped | Word::Signalled | Word::Done | Word::Waits => false,
            Word::AlreadyStarted
            | Word::NotRunning
            | Word::NobodyThere
            | Word::Failed
            | Word::NoSuchProgram
            | Word::Refused => true,
        }
    }

    /// supervisorctl's exit code: 0 also where there was nothing to do, 7 where a program does not run that should, 1 else.
    fn code(self) -> u8 {
        match self {
            Word::Started
            | Word::Stopped
            | Word::Signalled
            | Word::Done
            | Word::AlreadyStarted
            | Word::NotRunning => 0,
            Word::NoSuchProgram | Word::Refused => 1,
            Word::NobodyThere | Word::Failed | Word::Waits => 7,
        }
    }
}

/// Whether a name is what the pattern says: `*` stands for any letters, `?` for one.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut here) = (0, 0);
    // Where the last `*` stands, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while here < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, here));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == name[here] => {
                at += 1;
                here += 1;
            }
            Some(_) | None => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                (at, here) = (place + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

/// Whether it is a name or stands for many.
#[must_use]
pub fn is_pattern(name: &str) -> bool {
    name == "all" || name.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters_and_a_question_mark_for_one() {
        for (pattern, name, is_match) in [
            ("web", "web", true),
            ("web", "web2", false),
            ("web*", "web", true),
            ("web*", "web:00", true),
            ("*", "", true),
            ("*:0?", "web:00", true),
            ("*:0?", "web:10", false),
            ("w*b*b", "weebab", true),
            ("w*b*b", "weeba", false),
            ("?", "", false),
            ("**a", "ba", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), is_match, "{pattern} {name}");
        }
    }

    #[test]
    fn the_worst_of_all_is_the_code() {
        let said = |word| Said::of("a".to_owned(), word, "");
        let reply = |words: &[Word]| Reply { results: words.iter().copied().map(said).collect() };
        assert_eq!(reply(&[]).code(), 0);
        assert_eq!(reply(&[Word::Started, Word::AlreadyStarted]).code(), 0);
        assert_eq!(reply(&[Word::Started, Word::NoSuchProgram]).code(), 1);
        assert_eq!(reply(&[Word::NoSuchProgram, Word::Failed]).code(), 7);
    }
}
