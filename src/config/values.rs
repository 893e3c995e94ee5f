//! Single values: each key's text or number as the type it stands for, or what it should have been.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use super::errors::Fault;
use super::expand::expand;
use super::keys::{CAPABILITIES, Kind, MAX_SECONDS, format_elsewhere};
use super::reader::{Reader, Table, is_name, shortened};
use crate::signal::Signal;
use crate::time::parse_duration;

type Value<'t> = Spanned<DeValue<'t>>;

impl Reader<'_> {
    /// Says what the value should have been; the answer is what there is instead of it.
    pub(super) fn wrong<T>(&mut self, key: &str, kind: Kind, value: &Value) -> Option<T> {
        self.tell_wrong(key, kind, value);
        None
    }

    fn tell_wrong(&mut self, key: &str, kind: Kind, value: &Value) {
        let at = value.span().start;
        let got = if matches!(kind, Kind::Variable) {
            // It may be a secret.
            value.get_ref().type_str()
        } else {
            shortened(self.text.get(value.span()).unwrap_or_default())
        };
        let (got, meant) = (got.to_owned(), in_seconds(kind, got));
        if let (Kind::Octal, DeValue::Integer(_)) = (kind, value.get_ref()) {
            let advice = "a number is decimal, so write a string such as `\"022\"`".to_owned();
            self.fault(at, Fault::Advice { key: key.to_owned(), got, advice });
        } else {
            self.fault(at, Fault::Wrong { key: key.to_owned(), expected: kind.expected(), got, meant });
        }
    }

    /// Says what a text should have been that is a string and no more; `got` is expanded.
    pub(super) fn refuse(&mut self, at: usize, key: &str, kind: Kind, got: &str) {
        if got.as_bytes().windows(2).any(|pair| pair == b"$(") {
            self.fault(at, Fault::Unset { key: key.to_owned(), got: shortened(got).to_owned() });
            return;
        }
        let meant = if let Kind::Word(words) | Kind::BooleanOr(words) = kind {
            self.meant(got, words).map(|meant| format!("\"{meant}\""))
        } else {
            in_seconds(kind, got)
        };
        let got = format!("\"{}\"", shortened(got));
        self.fault(at, Fault::Wrong { key: key.to_owned(), expected: kind.expected(), got, meant });
    }

    /// A string with its variables in place; None where there is something wrong with it.
    pub(super) fn expanded(&mut self, key: &str, at: usize, text: &str) -> Option<String> {
        if !self.spend(at, text.len() + 16) {
            return None;
        }
        let key = || key.to_owned();
        if text.contains('\0') {
            self.fault(at, Fault::Nul { key: key() });
            return None;
        }
        let advice = text.match_indices("%(").find_map(|(place, opening)| {
            format_elsewhere(text.get(place + opening.len()..).unwrap_or_default())
        });
        if let Some(advice) = advice {
            let got = shortened(text).to_owned();
            self.fault(at, Fault::Advice { key: key(), got, advice });
            return None;
        }
        let outside = self.outside.variable;
        let variable = |name: &str| match self.scope.get(name).or_else(|| self.globals.get(name)) {
            Some(value) => Some(Cow::Borrowed(value.as_str())),
            None => outside(name).map(Cow::Owned),
        };
        let Some(expanded) = expand(text, &variable) else {
            self.fault(at, Fault::TooLong { key: key() });
            return None;
        };
        self.spend(at, expanded.len()).then_some(expanded)
    }

    /// The string in a value that must be one.
    pub(super) fn string(&mut self, key: &str, kind: Kind, value: &Value) -> Option<String> {
        match value.get_ref().as_str() {
            Some(text) => self.expanded(key, value.span().start, text),
            None => self.wrong(key, kind, value),
        }
    }

    /// What a string stands for, where `parse` knows it.
    fn parsed<T>(
        &mut self,
        key: &str,
        kind: Kind,
        value: &Value,
        parse: &dyn Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.string(key, kind, value)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.refuse(value.span().start, key, kind, &text);
        }
        parsed
    }

    fn parsed_at<T>(&mut self, table: &Table, name: &str, parse: &dyn Fn(&str) -> Option<T>) -> Option<T> {
        let (key, value) = table.get(name)?;
        self.parsed(key.name, key.kind, value, parse)
    }

    /// A string that is one of those that fit.
    pub(super) fn fitting(
        &mut self,
        key: &str,
        kind: Kind,
        value: &Value,
        fits: &dyn Fn(&str) -> bool,
    ) -> Option<String> {
        self.parsed(key, kind, value, &|text| fits(text).then(|| text.to_owned()))
    }

    pub(super) fn fitting_at(
        &mut self,
        table: &Table,
        name: &str,
        fits: &dyn Fn(&str) -> bool,
    ) -> Option<String> {
        let (key, value) = table.get(name)?;
        self.fitting(key.name, key.kind, value, fits)
    }

    pub(super) fn boolean(&mut self, table: &Table, name: &str) -> Option<bool> {
        let (key, value) = table.get(name)?;
        match value.get_ref().as_bool() {
            Some(yes) => Some(yes),
            None => self.wrong(key.name, key.kind, value),
        }
    }

    /// A whole number within the bounds that the table of keys sets.
    pub(super) fn integer<T: TryFrom<i64>>(&mut self, table: &Table, name: &str) -> Option<T> {
        // The bounds are narrower than the type.
        self.whole_number(table, name).and_then(|number| T::try_from(number).ok())
    }

    fn whole_number(&mut self, table: &Table, name: &str) -> Option<i64> {
        let (key, value) = table.get(name)?;
        let Kind::Integer(min, max) = key.kind else { return None };
        match number(value.get_ref()).filter(|number| (min..=max).contains(number)) {
            Some(number) => Some(number),
            None => self.wrong(key.name, key.kind, value),
        }
    }

    /// A number of seconds, to the millisecond.
    pub(super) fn seconds(&mut self, table: &Table, name: &str) -> Option<Duration> {
        let (key, value) = table.get(name)?;
        let may_be_zero = matches!(key.kind, Kind::Seconds);
        let seconds = match value.get_ref().as_float() {
            Some(float) => decimal(float.as_str()),
            None => number(value.get_ref()).and_then(|n| u64::try_from(n).ok()).map(Duration::from_secs),
        };
        let fits = |seconds: &Duration| {
            *seconds <= Duration::from_secs(MAX_SECONDS) && (may_be_zero || !seconds.is_zero())
        };
        match seconds.filter(fits) {
            Some(seconds) => Some(seconds),
            None => self.wrong(key.name, key.kind, value),
        }
    }

    pub(super) fn duration(&mut self, table: &Table, name: &str) -> Option<Duration> {
        let (key, _) = table.get(name)?;
        let may_be_zero = matches!(key.kind, Kind::Duration);
        self.parsed_at(table, name, &|text| {
            parse_duration(text).filter(|span| may_be_zero || !span.is_zero())
        })
    }

    /// A duration; Some(None) for the word that stands for none.
    #[allow(clippy::option_option)] // as in the configuration
    pub(super) fn duration_or_word(&mut self, table: &Table, name: &str) -> Option<Option<Duration>> {
        let (key, _) = table.get(name)?;
        let Kind::DurationOr(word) = key.kind else { return None };
        self.parsed_at(table, name, &|text| {
            if text == word { Some(None) } else { parse_duration(text).map(Some) }
        })
    }

    /// One of the key's words, as the value at the same place.
    pub(super) fn word<T: Copy>(&mut self, table: &Table, name: &str, values: &[T]) -> Option<T> {
        let (key, value) = table.get(name)?;
        let Kind::Word(words) = key.kind else { return None };
        let place = self.one_of(key.name, key.kind, words, value)?;
        values.get(place).copied()
    }

    /// The place of a string among words.
    pub(super) fn one_of(&mut self, key: &str, kind: Kind, words: &[&str], value: &Value) -> Option<usize> {
        self.parsed(key, kind, value, &|text| words.iter().position(|word| *word == text))
    }

    /// A word, or a boolean that stands for its name.
    pub(super) fn boolean_or_word<T: Copy>(&mut self, table: &Table, name: &str, values: &[T]) -> Option<T> {
        let (key, value) = table.get(name)?;
        let Kind::BooleanOr(words) = key.kind else { return None };
        let place = match value.get_ref().as_bool() {
            Some(yes) => words.iter().position(|word| *word == if yes { "true" } else { "false" })?,
            None => self.one_of(key.name, key.kind, words, value)?,
        };
        values.get(place).copied()
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, table: &Table, name: &str) -> Option<String> {
        self.fitting_at(table, name, &|text| !text.is_empty())
    }

    pub(super) fn path(&mut self, table: &Table, name: &str) -> Option<PathBuf> {
        self.text(table, name).map(PathBuf::from)
    }

    pub(super) fn name(&mut self, table: &Table, name: &str) -> Option<String> {
        self.fitting_at(table, name, &is_name)
    }

    pub(super) fn user(&mut self, table: &Table, name: &str) -> Option<String> {
        self.fitting_at(table, name, &|text| {
            let (user, group) = text.split_once(':').unwrap_or((text, "0"));
            !user.is_empty() && !group.is_empty() && !group.contains(':')
        })
    }

    pub(super) fn octal(&mut self, table: &Table, name: &str) -> Option<u32> {
        self.parsed_at(table, name, &|text| {
            let digits = text.bytes().all(|c| c.is_ascii_digit()).then_some(text)?;
            u32::from_str_radix(digits, 8).ok().filter(|mask| *mask <= 0o777)
        })
    }

    /// A number, or one with Supervisor's KB, MB or GB.
    pub(super) fn bytes(&mut self, table: &Table, name: &str) -> Option<u64> {
        let (key, value) = table.get(name)?;
        if let DeValue::Integer(_) = value.get_ref() {
            let bytes = number(value.get_ref()).and_then(|number| u64::try_from(number).ok());
            return if bytes.is_some() { bytes } else { self.wrong(key.name, key.kind, value) };
        }
        self.parsed_at(table, name, &|text| {
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let (digits, unit) = text.split_at_checked(end)?;
            let power = ["", "KB", "MB", "GB"].iter().position(|known| known.eq_ignore_ascii_case(unit))?;
            digits.parse::<u64>().ok()?.checked_mul(1024_u64.checked_pow(u32::try_from(power).ok()?)?)
        })
    }

    fn one_signal(&mut self, key: &str, kind: Kind, value: &Value) -> Option<Signal> {
        let fits = |signal: &Signal| {
            !matches!(kind, Kind::StopSignals) || !(signal.is_uncatchable() || *signal == Signal::CHLD)
        };
        if let DeValue::Integer(_) = value.get_ref() {
            let number = number(value.get_ref()).and_then(|number| i32::try_from(number).ok());
            let signal = number.and_then(Signal::new).filter(fits);
            return if signal.is_some() { signal } else { self.wrong(key, kind, value) };
        }
        self.parsed(key, kind, value, &|text| text.parse().ok().filter(fits))
    }

    pub(super) fn signal(&mut self, table: &Table, name: &str) -> Option<Signal> {
        let (key, value) = table.get(name)?;
        self.one_signal(key.name, key.kind, value)
    }

    pub(super) fn stop_signals(&mut self, table: &Table, name: &str) -> Option<Vec<Signal>> {
        let (key, values) = self.array(table, name, 1)?;
        Some(values.iter().filter_map(|value| self.one_signal(key, Kind::StopSignals, value)).collect())
    }

    pub(super) fn exit_codes(&mut self, table: &Table, name: &str) -> Option<Vec<u8>> {
        let (key, values) = self.array(table, name, 0)?;
        let code = |value: &Value| number(value.get_ref()).and_then(|number| u8::try_from(number).ok());
        let mut codes = Vec::new();
        for value in values {
            match code(value) {
                Some(code) => codes.push(code),
                None => self.wrong(key, Kind::ExitCodes, value).unwrap_or_default(),
            }
        }
        Some(codes)
    }

    /// The numbers of capabilities, in order.
    pub(super) fn capabilities(&mut self, table: &Table, name: &str) -> Option<Vec<u8>> {
        let (key, values) = self.array(table, name, 0)?;
        let numbered = || (0_u8..).zip(CAPABILITIES);
        // A bit for each.
        let mut dropped = 0_u64;
        for value in values {
            let Some(text) = self.string(key, Kind::Capabilities, value) else { continue };
            let upper = text.to_ascii_uppercase();
            let wanted = upper.strip_prefix("CAP_").unwrap_or(&upper);
            let named = numbered().filter(|(_, known)| wanted == "ALL" || wanted == *known);
            let bits = named.fold(0, |bits, (number, _)| bits | 1 << number);
            dropped |= bits;
            if bits == 0 {
                let meant = self.meant(wanted, &CAPABILITIES).map(|meant| format!("\"{meant}\""));
                let (expected, got) = (Kind::Capabilities.expected(), format!("\"{}\"", shortened(&text)));
                self.fault(value.span().start, Fault::Wrong { key: key.to_owned(), expected, got, meant });
            }
        }
        Some(numbered().map(|(number, _)| number).filter(|number| dropped & 1 << number != 0).collect())
    }

    /// One path, or several.
    pub(super) fn paths(&mut self, table: &Table, name: &str) -> Vec<(usize, String)> {
        let Some((key, value)) = table.get(name) else { return Vec::new() };
        let values = match value.get_ref().as_array() {
            Some(array) => array.iter().collect(),
            None => vec![value],
        };
        let mut paths = Vec::new();
        for value in values {
            if let Some(text) = self.fitting(key.name, key.kind, value, &|text| !text.is_empty()) {
                paths.push((value.span().start, text));
            }
        }
        paths
    }

    /// The words of a command; none where it cannot be read.
    pub(super) fn command(&mut self, table: &Table, name: &'static str) -> Vec<String> {
        let Some((key, value)) = table.get(name) else {
            self.require(table, name);
            return Vec::new();
        };
        let at = value.span().start;
        let mut argv = Vec::new();
        if let Some(text) = value.get_ref().as_str() {
            let Some(words) = shlex::split(text) else {
                self.fault(at, Fault::Unbalanced { key: key.name });
                return argv;
            };
            for word in words {
                argv.extend(self.expanded(key.name, at, &word));
            }
        } else if let Some(array) = value.get_ref().as_array() {
            for value in array {
                argv.extend(self.string(key.name, key.kind, value));
            }
        }
        if argv.first().is_none_or(String::is_empty) {
            let told = self.faults.last().is_some_and(|(last, _)| value.span().contains(last));
            if !told && !self.is_spent() {
                self.wrong::<()>(key.name, key.kind, value);
            }
            argv.clear();
        }
        argv
    }

    /// The values of an array, `least` at least.
    pub(super) fn array<'t>(
        &mut self,
        table: &Table<'t>,
        name: &str,
        least: usize,
    ) -> Option<(&'static str, &'t [Value<'t>])> {
        let (key, value) = table.get(name)?;
        match value.get_ref().as_array().filter(|array| array.len() >= least) {
            Some(array) => self.spend(value.span().start, array.len() * 8).then_some((key.name, array)),
            None => self.wrong(key.name, key.kind, value),
        }
    }
}

/// What a number without a unit may have been meant for where a duration is wanted.
fn in_seconds(kind: Kind, got: &str) -> Option<String> {
    let may_be_zero = matches!(kind, Kind::Duration | Kind::DurationOr(_));
    if !may_be_zero && !matches!(kind, Kind::Span) {
        return None;
    }
    got.parse().ok().filter(|number: &u64| may_be_zero || *number > 0).map(|number| format!("\"{number}s\""))
}

/// The seconds of `1.25`, to the millisecond; nothing with an exponent. The standard library's tables for all of
/// floating point are a tenth of what this reader takes in the binary.
fn decimal(text: &str) -> Option<Duration> {
    let (seconds, fraction) = text.split_once('.')?;
    let digits = fraction.bytes().all(|c| c.is_ascii_digit()).then_some(fraction)?;
    let thousandths: String = digits.chars().chain("000".chars()).take(3).collect();
    Duration::from_secs(seconds.parse().ok()?).checked_add(Duration::from_millis(thousandths.parse().ok()?))
}

/// The whole number in a value.
pub(super) fn number(value: &DeValue) -> Option<i64> {
    let integer: &DeInteger = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}
