//! Writing JSON: strings, and the commas between what stands in arrays and objects.
//!
//! A document is written from front to back into one String, its brackets by hand:
//!
//! ```text
//! let mut out = String::from("{");
//! json::key(&mut out, "name");
//! json::string(&mut out, "web \"1\"");
//! json::key(&mut out, "pids");
//! out.push('[');
//! for pid in [12, 40] {
//!     json::item(&mut out);
//!     out += &pid.to_string();
//! }
//! out += "]}";
//! assert_eq!(out, r#"{"name":"web \"1\"","pids":[12,40]}"#);
//! ```

use std::fmt::{Display, Write};
use std::time::Duration;

/// Appends the text as a string. Every control character is escaped, DEL and those above it too: a document may be looked
/// at in a terminal. TOML and YAML take the same for a string.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c)); // a String takes everything
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Begins the next item of an array: with a comma, unless it is the first, or belongs to its key.
pub fn item(out: &mut String) {
    // No value ends like this.
    if !matches!(out.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
        out.push(',');
    }
}

/// Begins the next field of an object, whose value follows.
pub fn key(out: &mut String, name: &str) {
    item(out);
    string(out, name);
    out.push(':');
}

/// Appends a number of parts, of which so many (a power of ten) are one, with its decimals.
#[inline(never)]
pub fn decimal(out: &mut String, parts: u64, mut one: u64) {
    let _ = write!(out, "{}.", parts / one); // a String takes everything
    while one > 1 {
        let rest = parts % one;
        one /= 10;
        out.push(char::from(b"0123456789"[usize::try_from(rest / one).unwrap_or(0) % 10]));
    }
}

/// A length of time in milliseconds.
#[must_use]
#[inline(never)]
pub fn milliseconds(time: Option<Duration>) -> Option<u64> {
    u64::try_from(time?.as_millis()).ok()
}

/// A text that becomes JSON.
#[derive(Debug, Default)]
pub struct Json(String);

impl Json {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Json {
        Json::default()
    }

    /// Begins an object (`{`) or an array (`[`).
    pub fn open(&mut self, bracket: char) {
        item(&mut self.0);
        self.0.push(bracket);
    }

    /// Ends it, with the other bracket.
    pub fn close(&mut self, bracket: char) {
        self.0.push(bracket);
    }

    /// The name of a member; its value comes next.
    pub fn key(&mut self, key: &str) -> &mut Json {
        self.string(key);
        self.0.push(':');
        self
    }

    /// A string.
    pub fn string(&mut self, value: &str) {
        item(&mut self.0);
        string(&mut self.0, value);
    }

    /// A string that may not be there: `null`.
    pub fn text(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.string(value),
            None => self.raw(&"null"),
        }
    }

    /// Members with these names, which have blanks between them: strings that may not be there.
    pub fn texts(&mut self, names: &str, values: &[Option<&str>]) {
        for (name, value) in names.split(' ').zip(values) {
            self.key(name).text(*value);
        }
    }

    /// The same with whole numbers. What is called `_seconds`, or after a limit of them, is in milliseconds; what is
    /// called `_dumped` is 1 where it is so.
    pub fn numbers(&mut self, names: &str, values: &[Option<u64>]) {
        for (name, value) in names.split(' ').zip(values) {
            self.key(name);
            if name.ends_with("_seconds") || name == "cpu_limit" {
                self.milliseconds(*value);
            } else {
                match value {
                    Some(value) if name.ends_with("_dumped") => self.boolean(*value == 1),
                    Some(_) | None => self.number(*value),
                }
            }
        }
    }

    /// A whole number that may not be there.
    pub fn number(&mut self, value: Option<u64>) {
        match value {
            Some(value) => self.raw(&value),
            None => self.text(None),
        }
    }

    /// The same for what may be negative.
    pub fn signed(&mut self, value: Option<i32>) {
        match value {
            Some(value) => self.raw(&value),
            None => self.text(None),
        }
    }

    /// A length of time in seconds that may not be there.
    pub fn seconds(&mut self, value: Option<Duration>) {
        self.milliseconds(milliseconds(value));
    }

    fn milliseconds(&mut self, value: Option<u64>) {
        match value {
            Some(value) => {
                item(&mut self.0);
                decimal(&mut self.0, value, 1000);
            }
            None => self.text(None),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) {
        self.raw(&value);
    }

    /// What is JSON as it stands.
    fn raw(&mut self, value: &dyn Display) {
        item(&mut self.0);
        let _ = write!(self.0, "{value}"); // a String takes everything
    }

    /// All of it.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_string_or_reach_a_terminal_is_escaped() {
        let mut out = String::new();
        string(&mut out, "a\"b\\c\n\u{1b}[31m\u{7f}\u{9b}ä…{[");
        assert_eq!(out, r#""a\"b\\c\n\u001b[31m\u007f\u009bä…{[""#);
    }

    #[test]
    fn commas_stand_between_and_nowhere_else() {
        let mut out = String::from("[");
        for name in ["[", "{"] {
            item(&mut out);
            out.push('{');
            key(&mut out, name);
            out += "1";
            key(&mut out, "b");
            string(&mut out, "[");
            key(&mut out, "c");
            out += "[]}";
        }
        out.push(']');
        assert_eq!(out, r#"[{"[":1,"b":"[","c":[]},{"{":1,"b":"[","c":[]}]"#);
    }

    #[test]
    fn commas_and_escapes_come_by_themselves() {
        let mut json = Json::new();
        json.open('{');
        json.key("a\"b").string("x\\\n\t\u{1b}\u{7f}é{");
        json.key("list").open('[');
        json.number(Some(1));
        json.number(None);
        json.seconds(Some(Duration::from_millis(1_002)));
        json.open('{');
        json.close('}');
        json.open('{');
        json.key("on").boolean(true);
        json.close('}');
        json.close(']');
        json.key("none").text(None);
        json.close('}');
        assert_eq!(
            json.finish(),
            r#"{"a\"b":"x\\\n\u0009\u001b\u007fé{","list":[1,null,1.002,{},{"on":true}],"none":null}"#
        );
    }
}
