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

use std::fmt::Write;

/// Appends the text as a string. Every control character is escaped, DEL and those above it too: a document may be looked
/// at in a terminal. TOML and YAML take the same for a string.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c)); // a String takes everything
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Begins the next item of an array: with a comma, unless it is the first.
pub fn item(out: &mut String) {
    // No value ends like this.
    if !out.ends_with(['[', '{']) {
        out.push(',');
    }
}

/// Begins the next field of an object, whose value follows.
pub fn key(out: &mut String, name: &str) {
    item(out);
    string(out, name);
    out.push(':');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_string_or_reach_a_terminal_is_escaped() {
        let mut out = String::new();
        string(&mut out, "a\"b\\c\n\u{1b}[31m\u{7f}\u{9b}ä…{[");
        assert_eq!(out, r#""a\"b\\c\u000a\u001b[31m\u007f\u009bä…{[""#);
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
}
