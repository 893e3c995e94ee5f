//! A signal by its number, its name, and both ways to write it.
//!
//! Covers 1 to 64, real-time signals included; the names of the ordinary ones come from `signal-hook`.

use std::fmt;
use std::str::FromStr;

use signal_hook::consts::signal as number;
use signal_hook::low_level::signal_name;

/// The first real-time signal as glibc, Docker and systemd count them; the kernel's own 32 and 33 belong to libc.
const RTMIN: u8 = 34;
/// The last signal there is.
const MAX: u8 = 64;
/// Named by signal(7), unknown to `signal-hook`.
const MORE_NAMES: [(u8, &str); 2] = [(16, "SIGSTKFLT"), (30, "SIGPWR")];

/// A Linux signal, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(u8);

impl Signal {
    /// `SIGHUP`
    pub const HUP: Signal = Signal::constant(number::SIGHUP);
    /// `SIGINT`
    pub const INT: Signal = Signal::constant(number::SIGINT);
    /// `SIGQUIT`
    pub const QUIT: Signal = Signal::constant(number::SIGQUIT);
    /// `SIGKILL`
    pub const KILL: Signal = Signal::constant(number::SIGKILL);
    /// `SIGPIPE`
    pub const PIPE: Signal = Signal::constant(number::SIGPIPE);
    /// `SIGTERM`
    pub const TERM: Signal = Signal::constant(number::SIGTERM);
    /// `SIGCHLD`
    pub const CHLD: Signal = Signal::constant(number::SIGCHLD);
    /// `SIGCONT`
    pub const CONT: Signal = Signal::constant(number::SIGCONT);
    /// `SIGTSTP`
    pub const TSTP: Signal = Signal::constant(number::SIGTSTP);
    /// `SIGSTOP`
    pub const STOP: Signal = Signal::constant(number::SIGSTOP);
    /// How many slots a table indexed by [`Signal::index`] needs.
    pub const SLOTS: usize = MAX as usize + 1;

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // evaluated at compile time on 1 to 31
    const fn constant(number: i32) -> Signal {
        assert!(number > 0 && number <= MAX as i32);
        Signal(number as u8)
    }

    /// The signal with this number, if there is one.
    #[must_use]
    pub fn new(number: i32) -> Option<Signal> {
        u8::try_from(number).ok().filter(|n| (1..=MAX).contains(n)).map(Signal)
    }

    /// All of them, in order.
    pub fn all() -> impl Iterator<Item = Signal> {
        (1..=MAX).map(Signal)
    }

    /// The number, as kill(2) takes it.
    #[must_use]
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    /// The number, as an index below [`Signal::SLOTS`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// What a shell reports for a process that this signal killed: 128 + n.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        128 + self.0
    }

    /// SIGKILL and SIGSTOP reach no handler and no mask (signal(7)).
    #[must_use]
    pub fn is_uncatchable(self) -> bool {
        self == Signal::KILL || self == Signal::STOP
    }

    fn name(self) -> Option<&'static str> {
        signal_name(self.number())
            .or_else(|| MORE_NAMES.iter().find(|(number, _)| *number == self.0).map(|(_, name)| *name))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None if self.0 == RTMIN => f.write_str("SIGRTMIN"),
            None if self.0 > RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text names no signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSignal;

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// A number, a name with or without `SIG` in either case, `RTMIN+n` or `RTMAX-n`.
    fn from_str(text: &str) -> Result<Signal, UnknownSignal> {
        if let Ok(number) = text.parse::<i32>() {
            return Signal::new(number).ok_or(UnknownSignal);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(rest) = name.strip_prefix("RTMIN") {
            return real_time(RTMIN.checked_add(offset(rest, '+')?));
        }
        if let Some(rest) = name.strip_prefix("RTMAX") {
            return real_time(MAX.checked_sub(offset(rest, '-')?));
        }
        Signal::all()
            .find(|signal| signal.name().and_then(|known| known.strip_prefix("SIG")) == Some(name))
            .ok_or(UnknownSignal)
    }
}

/// The n of `RTMIN+n` or `RTMAX-n`, given what follows the name; nothing is 0.
fn offset(rest: &str, sign: char) -> Result<u8, UnknownSignal> {
    if rest.is_empty() {
        return Ok(0);
    }
    rest.strip_prefix(sign).and_then(|digits| digits.parse().ok()).ok_or(UnknownSignal)
}

fn real_time(number: Option<u8>) -> Result<Signal, UnknownSignal> {
    number.filter(|n| (RTMIN..=MAX).contains(n)).map(Signal).ok_or(UnknownSignal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_the_signal_it_names() {
        for signal in Signal::all().filter(|s| !s.to_string().starts_with("signal ")) {
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
    }

    #[test]
    fn every_signal_but_the_two_of_libc_has_a_name() {
        let nameless: Vec<_> = Signal::all().filter(|s| s.to_string().starts_with("signal ")).collect();
        assert_eq!(nameless, [Signal(32), Signal(33)]);
    }

    #[test]
    fn numbers_short_names_and_both_ends_of_the_real_time_range_are_understood() {
        let same =
            [("15", 15), ("TERM", 15), ("sigterm", 15), ("RTMIN", 34), ("SIGRTMIN+3", 37), ("rtmax-1", 63)];
        for (text, number) in same {
            assert_eq!(text.parse(), Signal::new(number).ok_or(UnknownSignal), "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in ["", "0", "65", "-1", "TERMINATE", "RTMIN+31", "RTMIN-1", "RTMAX-31", "SIG", "SIGSIGTERM"]
        {
            assert_eq!(text.parse::<Signal>(), Err(UnknownSignal), "{text}");
        }
    }
}
