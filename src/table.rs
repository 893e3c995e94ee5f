//! What is found out, as a table for people and as JSON for programs, from the same rows.
//!
//! Pure. Names in a table are other people's: nothing in them reaches a terminal that would do anything there, or tear
//! a row in two.

use std::fmt::Write;
use std::time::Duration;

use crate::json;
use crate::time::Span;

/// What stands between two columns.
const GAP: usize = 2;
/// No column is made narrower.
const NARROWEST: usize = 8;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading; empty for what only JSON has.
    pub head: &'static str,
    /// Its name in JSON; empty for what only people want.
    pub key: &'static str,
    /// How it is laid out.
    pub side: Side,
}

/// Where the text stands in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// On the left, and its end is left out where there is no room.
    Left,
    /// On the left, and its middle is left out: both ends of an address or a path say more.
    Middle,
    /// On the right: numbers.
    Right,
}

/// Makes a column, in tables of constants.
#[must_use]
pub const fn column(head: &'static str, key: &'static str, side: Side) -> Column {
    Column { head, key, side }
}

/// A table, filled place by place: each row has a value for each column, and what this reader does not want is left out
/// on the way.
#[derive(Clone, Debug)]
pub struct Table {
    columns: &'static [Column],
    json: bool,
    /// The column that comes next.
    next: usize,
    /// The columns that this reader wants.
    wanted: Vec<&'static Column>,
    /// Their values, one row behind the other, as they will be printed; for people the headings are the first row.
    cells: Vec<String>,
}

impl Table {
    /// An empty one, for programs or for people.
    #[must_use]
    pub fn new(columns: &'static [Column], json: bool) -> Table {
        let mut table = Table { columns, json, next: 0, wanted: Vec::new(), cells: Vec::new() };
        for column in columns {
            if table.is_wanted(column) {
                table.wanted.push(column);
                if !json {
                    table.cells.push(column.head.to_owned());
                }
            }
        }
        table
    }

    fn is_wanted(&self, column: &Column) -> bool {
        !if self.json { column.key } else { column.head }.is_empty()
    }

    /// The next place, where this reader wants it.
    fn place(&mut self) -> Option<&mut String> {
        let column = &self.columns[self.next % self.columns.len()];
        self.next += 1;
        if !self.is_wanted(column) {
            return None;
        }
        self.cells.push(String::new());
        self.cells.last_mut()
    }

    /// What is written as it is.
    #[inline(never)]
    fn word(&mut self, word: &str) {
        if let Some(place) = self.place() {
            *place += word;
        }
    }

    /// No value, shown like this; null in JSON.
    pub fn none(&mut self, shown: &str) {
        self.word(if self.json { "null" } else { shown });
    }

    /// A text of others, which may be anything.
    #[inline(never)]
    pub fn text(&mut self, bytes: &[u8]) {
        let json = self.json;
        if let Some(place) = self.place() {
            put_text(place, json, bytes);
        }
    }

    /// The same; a dash where there is none.
    #[inline(never)]
    pub fn text_or_none(&mut self, bytes: &[u8]) {
        if bytes.is_empty() { self.none("-") } else { self.text(bytes) }
    }

    /// Texts with a zero between them, shown with a space; an array in JSON.
    #[inline(never)]
    pub fn texts(&mut self, texts: &[u8]) {
        let json = self.json;
        let Some(place) = self.place() else { return };
        if json {
            place.push('[');
        }
        for text in texts.split(|byte| *byte == 0) {
            if json {
                if !texts.is_empty() {
                    json::item(place);
                    put_text(place, true, text);
                }
            } else {
                if !place.is_empty() {
                    place.push(' ');
                }
                escape(place, text);
            }
        }
        if json {
            place.push(']');
        }
    }

    /// A number; `?` where it is not known.
    #[inline(never)]
    pub fn number(&mut self, number: Option<u64>) {
        match number {
            Some(number) => self.word(&number.to_string()),
            None => self.none("?"),
        }
    }

    /// Numbers, an array in JSON.
    #[inline(never)]
    pub fn numbers(&mut self, numbers: &[u64]) {
        let Some(place) = self.place() else { return };
        place.push('[');
        for number in numbers {
            json::item(place);
            *place += &number.to_string();
        }
        place.push(']');
    }

    /// A size in bytes, `1.2G` for people; `?` where it is not known.
    #[inline(never)]
    pub fn size(&mut self, bytes: Option<u64>) {
        match bytes {
            Some(bytes) if !self.json => self.word(&size(bytes)),
            Some(_) | None => self.number(bytes),
        }
    }

    /// A length of time, in JSON in seconds; `?` where it is not known.
    #[inline(never)]
    pub fn time(&mut self, time: Option<Duration>) {
        match time {
            Some(time) if self.json => self.word(&format!("{}.{:03}", time.as_secs(), time.subsec_millis())),
            Some(time) => self.word(&Span(time).to_string()),
            None => self.none("?"),
        }
    }

    /// Yes or no.
    pub fn flag(&mut self, is_so: bool) {
        let (word, value) = if is_so { ("yes", "true") } else { ("no", "false") };
        self.word(if self.json { value } else { word });
    }

    /// As people read it, no wider than that where there is a width; or each row as an object in an array that has been
    /// begun.
    pub fn write(&self, out: &mut String, width: Option<usize>) {
        let count = self.wanted.len();
        if count == 0 {
            return; // it is for programs alone
        }
        if self.json {
            for row in self.cells.chunks(count) {
                json::item(out);
                out.push('{');
                for (column, cell) in self.wanted.iter().zip(row) {
                    json::key(out, column.key);
                    *out += cell;
                }
                out.push('}');
            }
            return;
        }
        let mut widths = vec![0; count];
        for (number, cell) in self.cells.iter().enumerate() {
            let widest = &mut widths[number % count];
            *widest = width_of(cell).max(*widest);
        }
        if let Some(width) = width {
            let room = width.saturating_sub(GAP * (count - 1));
            while widths.iter().sum::<usize>() > room
                && let Some(widest) = widths.iter_mut().max_by_key(|width| **width)
                && *widest > NARROWEST
            {
                *widest -= 1;
            }
        }
        for row in self.cells.chunks(count) {
            for (place, cell) in row.iter().enumerate() {
                put_cell(out, cell, widths[place], self.wanted[place].side);
            }
            end_line(out);
        }
    }
}

fn put_text(out: &mut String, json: bool, bytes: &[u8]) {
    if json {
        json::string(out, &String::from_utf8_lossy(bytes));
    } else {
        escape(out, bytes);
    }
}

/// As much of the cell as there is room for, and the space around it.
fn put_cell(out: &mut String, cell: &str, width: usize, side: Side) {
    let whole = width_of(cell);
    // How much of it is shown of its beginning and of its end, with dots between them.
    let (first, last) = match side {
        _ if whole <= width => (whole, 0),
        Side::Left | Side::Right => (width.saturating_sub(1), 0),
        Side::Middle => {
            let room = width.saturating_sub(1);
            (room - room * 2 / 3, room * 2 / 3)
        }
    };
    let before = if side == Side::Right { width.saturating_sub(whole) } else { 0 };
    spaces(out, before);
    let (mut at, mut used, mut is_cut) = (0, before, false);
    for c in cell.chars() {
        let next = at + places(c);
        if next <= first || whole - at <= last {
            out.push(c);
            used += next - at;
        } else if !is_cut {
            out.push('…');
            (is_cut, used) = (true, used + 1);
        }
        at = next;
    }
    spaces(out, GAP + width.saturating_sub(used));
}

fn end_line(out: &mut String) {
    while out.ends_with(' ') {
        out.pop();
    }
    out.push('\n');
}

/// Appends a text of others: control characters, those that change the direction of writing or cannot be seen, and what
/// is no UTF-8 are written out.
pub fn escape(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let is_hidden = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}');
            if c.is_control() || is_hidden {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}"); // a String takes everything
        }
    }
}

/// A size as people read it: `17`, `3.2K`, `340M`.
#[must_use]
pub fn size(bytes: u64) -> String {
    let (mut whole, mut rest, mut unit) = (bytes, 0, 0);
    while whole >= 1000 {
        (whole, rest, unit) = (whole / 1024, whole % 1024, unit + 1);
    }
    let mut tenths = (rest * 10 + 512) / 1024;
    if whole >= 10 {
        (whole, tenths) = (whole + u64::from(rest >= 512), 0);
    } else if tenths == 10 {
        (whole, tenths) = (whole + 1, 0);
    }
    let unit = ["", "K", "M", "G", "T", "P", "E"][unit];
    if unit.is_empty() || whole >= 10 { format!("{whole}{unit}") } else { format!("{whole}.{tenths}{unit}") }
}

fn spaces(out: &mut String, count: usize) {
    for _ in 0..count {
        out.push(' ');
    }
}

/// How many places a terminal gives to the character: two to the wide ones, as far as a short list goes.
fn places(c: char) -> usize {
    let is_wide = matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{1f000}'..);
    1 + usize::from(is_wide)
}

fn width_of(text: &str) -> usize {
    text.chars().map(places).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        column("N", "number", Side::Right),
        column("", "hidden", Side::Left),
        column("WHAT", "what", Side::Left),
        column("PATH", "", Side::Middle),
    ];

    fn filled(json: bool, width: Option<usize>, fill: &dyn Fn(&mut Table)) -> String {
        let (mut table, mut out) = (Table::new(COLUMNS, json), String::from(if json { "[" } else { "" }));
        fill(&mut table);
        table.write(&mut out, width);
        out
    }

    #[test]
    fn rows_are_aligned_and_each_reader_gets_its_columns() {
        let fill = |table: &mut Table| {
            table.number(Some(7));
            table.texts(b"a\0b\xff");
            table.text(b"x");
            table.none("-");
            table.size(Some(2048));
            table.numbers(&[1, 2]);
            table.none("?");
            table.text(b"/a");
        };
        assert_eq!(filled(false, None, &fill), "   N  WHAT  PATH\n   7  x     -\n2.0K  ?     /a\n");
        assert_eq!(
            filled(true, None, &fill),
            r#"[{"number":7,"hidden":["a","b�"],"what":"x"},{"number":2048,"hidden":[1,2],"what":null}"#
        );
    }

    #[test]
    fn what_is_too_wide_is_cut_where_it_says_least() {
        let long: Vec<u8> = (b'a'..=b'z').collect();
        let fill = |table: &mut Table| {
            table.number(Some(1));
            table.flag(true);
            table.text(&long);
            table.text(&long);
        };
        let shown = "N  WHAT        PATH\n1  abcdefghi…  abc…uvwxyz\n";
        assert_eq!(filled(false, Some(25), &fill), shown);
        // There is an end to it.
        assert_eq!(filled(false, Some(3), &fill), "N  WHAT      PATH\n1  abcdefg…  abc…wxyz\n");
        // Wide characters count twice.
        let wide = |table: &mut Table| {
            table.number(None);
            table.flag(false);
            table.text("漢".repeat(30).as_bytes());
            table.text(&long);
        };
        for width in 22..90 {
            for line in filled(false, Some(width), &wide).lines() {
                assert!(width_of(line) <= width, "{line}");
            }
        }
    }

    #[test]
    fn a_name_does_nothing_to_a_terminal() {
        let shown = |bytes: &[u8]| {
            let mut out = String::new();
            escape(&mut out, bytes);
            out
        };
        assert_eq!(shown(b"a\x1b[31m\n\tb"), "a\\u{1b}[31m\\n\\tb");
        assert_eq!(
            shown("\u{9b}m\u{202e}\u{200b}ä\u{2028}".as_bytes()),
            "\\u{9b}m\\u{202e}\\u{200b}ä\\u{2028}"
        );
        assert_eq!(shown(b"a\xff\xc3"), "a\\xff\\xc3");
    }

    #[test]
    fn sizes_take_at_most_four_places() {
        let written = [
            (0, "0"),
            (999, "999"),
            (1000, "1.0K"),
            (1024, "1.0K"),
            (10_189, "10K"),
            (1_048_575, "1.0M"),
            (356_515_840, "340M"),
            (1_288_490_189, "1.2G"),
            (u64::MAX, "16E"),
        ];
        for (bytes, text) in written {
            assert_eq!(size(bytes), text, "{bytes}");
            assert!(text.len() <= 4);
        }
    }

    #[test]
    fn times_are_seconds_for_programs() {
        let fill = |table: &mut Table| table.time(Some(Duration::from_millis(192_034)));
        assert_eq!(filled(true, None, &fill), r#"[{"number":192.034}"#);
        assert_eq!(filled(false, None, &fill), "    N  WHAT  PATH\n3m12s\n");
    }
}
