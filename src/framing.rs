//! Cutting what a program writes into whole lines, and dressing them.
//!
//! Pure: bytes and the time of day as text go in, what is to be written comes out, and how the bytes were cut up on
//! their way makes no difference. Nothing is lost, and what is kept for the next time stays below [`LONGEST`].
//!
//! Dressed lines are appended to one buffer, which goes out in one piece. writev(2) with a slice for each prefix and
//! each line copies less and takes half as much time again: the kernel pays for every slice.

use memchr::memchr;

use crate::plan::{Output, Style};

/// The longest line and the longest record, in bytes; what is longer goes on in pieces. Short for the fuzzer, which
/// would hardly ever get there.
pub const LONGEST: usize = if cfg!(fuzzing) { 64 } else { 64 * 1024 };
/// How large a buffer may be that stays with a stream that says nothing, in bytes.
const SMALL: usize = 1024;

/// The bytes of one stream on their way to becoming lines.
#[derive(Debug)]
pub struct Framing {
    /// What stands in front of a line, after the time.
    dress: Box<[u8]>,
    timestamps: bool,
    /// What has not been passed on: in prefix style the beginning of a line, at most [`LONGEST`] bytes of it; in JSON a
    /// record that may go on, at most a byte more.
    rest: Vec<u8>,
    cut: Cut,
}

/// Where one thing ends and the next begins.
#[derive(Debug)]
enum Cut {
    /// After each line.
    Lines {
        /// The line has begun in an earlier piece.
        is_continued: bool,
    },
    /// Before each line that is not indented.
    Records {
        /// How far the search for the record's end has come.
        search: Search,
        /// When the record began; as long as there is none, nothing.
        since: Box<str>,
    },
}

/// Why records are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// Something came: those that are known to be over.
    Known,
    /// Nothing came for a while: the lines that are whole.
    Quiet,
    /// Nothing will ever come: all.
    End,
}

impl Framing {
    /// A stream, `stdout` or `stderr`, of the program with this name. What the program would inherit is dressed as
    /// [`Output::Prefix`], should it come here all the same.
    #[must_use]
    pub fn new(name: &str, stream: &str, style: Style) -> Framing {
        let (dress, cut) = match style.output {
            Output::Prefix | Output::Inherit => {
                let space = if style.timestamps { " " } else { "" };
                (format!("{space}{name} | ").into_bytes(), Cut::Lines { is_continued: false })
            }
            Output::Json => {
                let mut dress = b"\"program\":\"".to_vec();
                escape(name.as_bytes(), &mut dress);
                dress.extend_from_slice(format!("\",\"stream\":\"{stream}\",").as_bytes());
                (dress, Cut::Records { search: Search::default(), since: Box::default() })
            }
        };
        Framing { dress: dress.into(), timestamps: style.timestamps, rest: Vec::new(), cut }
    }

    /// Whether it wants to be told the time of day.
    #[must_use]
    pub fn has_timestamps(&self) -> bool {
        self.timestamps
    }

    /// Passes on the lines that are whole by now. `at` is the time of day, used where the style wants it.
    pub fn pass(&mut self, bytes: &[u8], at: &str, out: &mut Vec<u8>) {
        match self.cut {
            Cut::Lines { .. } => self.pass_lines(bytes, at, out),
            Cut::Records { .. } => {
                self.hold(bytes, at);
                self.pass_records(Until::Known, at, out);
            }
        }
    }

    /// How many bytes are kept for the next time, at most one more than [`LONGEST`].
    #[must_use]
    pub fn carried(&self) -> usize {
        self.rest.len()
    }

    /// A whole line waits for what may belong to it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        match &self.cut {
            Cut::Lines { .. } => false,
            Cut::Records { search, .. } => search.lines.is_some() || self.rest.last() == Some(&b'\n'),
        }
    }

    /// Passes on the whole lines that were held back: nothing has followed for a while.
    pub fn release(&mut self, at: &str, out: &mut Vec<u8>) {
        if self.is_held() {
            self.pass_records(Until::Quiet, at, out);
        }
    }

    /// Passes on everything, what has no end included: the stream is over.
    pub fn finish(&mut self, at: &str, out: &mut Vec<u8>) {
        match &mut self.cut {
            Cut::Lines { .. } if self.rest.is_empty() => {}
            Cut::Lines { .. } => self.pass_lines(b"\n", at, out),
            Cut::Records { .. } => self.pass_records(Until::End, at, out),
        }
    }

    // --- lines

    fn pass_lines(&mut self, mut bytes: &[u8], at: &str, out: &mut Vec<u8>) {
        let Cut::Lines { is_continued } = &mut self.cut else { return };
        let stamped;
        let first = if self.timestamps {
            stamped = [at.as_bytes(), &self.dress].concat();
            &stamped
        } else {
            &*self.dress
        };
        let more = &first[..first.len().saturating_sub(2)]; // "+ " takes the place of "| "
        loop {
            let room = LONGEST - self.rest.len();
            let (length, is_whole) = match memchr(b'\n', &bytes[..bytes.len().min(room + 1)]) {
                Some(end) => (end + 1, true),
                None if bytes.len() > room => (room, false),
                None => break,
            };
            let (line, after) = bytes.split_at(length);
            if *is_continued {
                out.extend_from_slice(more);
                out.extend_from_slice(b"+ ");
            } else {
                out.extend_from_slice(first);
            }
            if !self.rest.is_empty() {
                out.append(&mut self.rest);
            }
            out.extend_from_slice(line);
            if !is_whole {
                out.push(b'\n');
            }
            *is_continued = !is_whole;
            bytes = after;
        }
        self.keep(bytes);
    }

    /// Keeps what has no end yet, and no more memory than it takes.
    fn keep(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        if self.rest.capacity() > SMALL.max(2 * self.rest.len()) {
            self.rest.shrink_to_fit();
        }
    }

    // --- records

    fn hold(&mut self, bytes: &[u8], at: &str) {
        if let Cut::Records { since, .. } = &mut self.cut
            && self.timestamps
            && self.rest.is_empty()
        {
            *since = at.into();
        }
        self.rest.extend_from_slice(bytes);
    }

    fn pass_records(&mut self, until: Until, at: &str, out: &mut Vec<u8>) {
        let Cut::Records { search, since } = &mut self.cut else { return };
        let mut done = 0;
        while let Some(record) = search.next(&self.rest[done..], until) {
            let bytes = &self.rest[done..done + record.length];
            let stamp = match (self.timestamps, done) {
                (false, _) => "",
                (true, 0) => &**since,
                (true, _) => at,
            };
            open_object(stamp, out);
            out.extend_from_slice(&self.dress);
            out.extend_from_slice(b"\"line\":\"");
            escape_lines(bytes, record.taken > record.length, out);
            out.extend_from_slice(if record.is_partial { b"\",\"partial\":true}\n" } else { b"\"}\n" });
            done += record.taken;
            *search = Search::default();
        }
        if done == 0 {
            return;
        }
        if self.timestamps {
            *since = at.into(); // what is left came just now
        }
        self.rest.drain(..done);
        self.keep(b"");
    }
}

/// The search for the end of the record that stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Search {
    /// Where the last line ends that is known to belong to it.
    lines: Option<usize>,
    /// Up to where it has looked.
    seen: usize,
}

/// A record, or a piece of one, at the beginning of some bytes.
struct Record {
    /// Its length.
    length: usize,
    /// The same with the newline that ends it.
    taken: usize,
    /// It goes on in the next.
    is_partial: bool,
}

impl Record {
    /// A record that ends before the newline at `end`.
    fn whole(end: usize) -> Record {
        Record { length: end, taken: end + 1, is_partial: false }
    }
}

impl Search {
    /// The first record, where there is a whole one; looks at no byte twice.
    fn next(&mut self, bytes: &[u8], until: Until) -> Option<Record> {
        loop {
            let end = memchr(b'\n', &bytes[self.seen..]).map(|at| self.seen + at);
            if end.unwrap_or(bytes.len()) > LONGEST {
                return Some(self.lines.map_or_else(|| piece(bytes), Record::whole));
            }
            let Some(end) = end else {
                self.seen = bytes.len();
                return match until {
                    Until::Known => None,
                    Until::Quiet => self.lines.map(Record::whole),
                    Until::End if bytes.is_empty() => None,
                    Until::End => Some(Record { length: bytes.len(), taken: bytes.len(), is_partial: false }),
                };
            };
            match bytes.get(end + 1) {
                Some(b' ' | b'\t') => *self = Search { lines: Some(end), seen: end + 1 },
                Some(_) => return Some(Record::whole(end)),
                None => {
                    self.seen = end; // what comes next decides
                    return (until != Until::Known).then(|| Record::whole(end));
                }
            }
        }
    }
}

/// The longest piece that cuts no character in two. A character of UTF-8 has at most four bytes, and each but the first
/// is 0b10xx_xxxx.
fn piece(bytes: &[u8]) -> Record {
    let is_first = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0xc0 != 0x80);
    let length = (LONGEST - 3..=LONGEST).rev().find(is_first).unwrap_or(LONGEST);
    Record { length, taken: length, is_partial: true }
}

/// A line of sexton's own, dressed like the programs' lines; `at` is the time of day. The text is a single line.
#[must_use]
pub fn own_line(style: Style, at: &str, level: &str, text: &str) -> Vec<u8> {
    let mut line = Vec::with_capacity(text.len() + 96);
    match style.output {
        Output::Prefix | Output::Inherit => {
            if style.timestamps {
                line.extend_from_slice(at.as_bytes());
                line.push(b' ');
            }
            line.extend_from_slice(b"sexton: ");
            if level == "debug" {
                line.extend_from_slice(b"debug: ");
            }
            line.extend_from_slice(text.as_bytes());
            line.push(b'\n');
        }
        Output::Json => {
            open_object(if style.timestamps { at } else { "" }, &mut line);
            line.extend_from_slice(b"\"program\":\"sexton\",\"level\":\"");
            line.extend_from_slice(level.as_bytes());
            line.extend_from_slice(b"\",\"line\":\"");
            escape(text.as_bytes(), &mut line);
            line.extend_from_slice(b"\"}\n");
        }
    }
    line
}

/// Begins an object, with the time where there is one.
fn open_object(at: &str, into: &mut Vec<u8>) {
    into.push(b'{');
    if !at.is_empty() {
        into.extend_from_slice(b"\"time\":\"");
        into.extend_from_slice(at.as_bytes());
        into.extend_from_slice(b"\",");
    }
}

/// Appends lines as one JSON string, without the `\r` of a line's `\r\n`; `is_ended` where a newline follows the last.
fn escape_lines(bytes: &[u8], is_ended: bool, into: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(end) = memchr(b'\n', rest) {
        escape(without_return(&rest[..end]), into);
        into.extend_from_slice(b"\\n");
        rest = &rest[end + 1..];
    }
    escape(if is_ended { without_return(rest) } else { rest }, into);
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Appends bytes as the inside of a JSON string (RFC 8259 section 7); what is no UTF-8 becomes U+FFFD.
fn escape(bytes: &[u8], into: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid().as_bytes();
        let mut copied = 0;
        for (at, byte) in text.iter().enumerate() {
            if !matches!(byte, b'"' | b'\\' | 0..=0x1f) {
                continue;
            }
            into.extend_from_slice(&text[copied..at]);
            copied = at + 1;
            let short = match byte {
                b'"' => b'"',
                b'\\' => b'\\',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                _ => {
                    let digit = |value: u8| b"0123456789abcdef"[usize::from(value & 0xf)];
                    into.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(*byte)]);
                    continue;
                }
            };
            into.extend_from_slice(&[b'\\', short]);
        }
        into.extend_from_slice(&text[copied..]);
        if !chunk.invalid().is_empty() {
            into.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-11-22T01:02:03.456Z";
    const PREFIX: Style = Style { output: Output::Prefix, timestamps: false };
    const JSON: Style = Style { output: Output::Json, timestamps: false };

    /// What comes out for bytes that arrive in chunks of these lengths, over and over.
    fn framed(style: Style, bytes: &[u8], lengths: &[usize]) -> Vec<u8> {
        let mut framing = Framing::new("web", "stdout", style);
        let (mut out, mut rest) = (Vec::new(), bytes);
        for length in lengths.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*length).min(rest.len()));
            framing.pass(chunk, AT, &mut out);
            assert!(framing.carried() <= LONGEST + 1 && (out.is_empty() || out.ends_with(b"\n")));
            rest = after;
        }
        framing.finish(AT, &mut out);
        assert_eq!(framing.carried(), 0);
        out
    }

    fn text(style: Style, bytes: &[u8]) -> String {
        String::from_utf8(framed(style, bytes, &[usize::MAX])).expect("UTF-8")
    }

    /// Lines of all lengths around the limits, and bytes of all kinds.
    fn everything() -> Vec<u8> {
        let mut bytes = b"one\ntwo\r\n\n\n \tindented\n\0\xff\xfe\x1b[31mred\n".to_vec();
        for length in [LONGEST - 1, LONGEST, LONGEST + 1, 2 * LONGEST, 2 * LONGEST + 7] {
            bytes.extend((0..length).map(|at| b"0123456789\xc3\xa9\xf0\x9f\x94\x94"[at % 16]));
            bytes.extend_from_slice(b"\n\tat f\r\n\tat g\n");
        }
        bytes.extend_from_slice(b"no end");
        bytes
    }

    #[test]
    fn how_bytes_arrive_makes_no_difference() {
        let bytes = everything();
        for output in [Output::Prefix, Output::Json] {
            for timestamps in [false, true] {
                let style = Style { output, timestamps };
                let at_once = framed(style, &bytes, &[usize::MAX]);
                for lengths in [
                    &[1][..],
                    &[2, 3, 5],
                    &[100],
                    &[LONGEST - 1],
                    &[LONGEST],
                    &[LONGEST + 1, 1],
                    &[0, 70_000],
                ] {
                    assert!(framed(style, &bytes, lengths) == at_once, "{style:?} in {lengths:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_lost() {
        let bytes = everything();
        let mut put_together = Vec::new();
        for line in framed(PREFIX, &bytes, &[777]).split_inclusive(|byte| *byte == b'\n') {
            if let Some(more) = line.strip_prefix(b"web + ") {
                assert_eq!(put_together.pop(), Some(b'\n'));
                put_together.extend_from_slice(more);
            } else {
                put_together.extend_from_slice(line.strip_prefix(b"web | ").expect("a prefix"));
            }
        }
        assert!(put_together == [bytes.as_slice(), b"\n"].concat());
    }

    #[test]
    fn lines_get_a_prefix_and_nothing_else() {
        assert_eq!(text(PREFIX, b"a\n\nb\r\n c"), "web | a\nweb | \nweb | b\r\nweb |  c\n");
        assert_eq!(framed(PREFIX, b"\0\xff\n", &[1]), b"web | \0\xff\n");
        assert_eq!(text(Style { timestamps: true, ..PREFIX }, b"a\n"), format!("{AT} web | a\n"));
        assert_eq!(text(PREFIX, b""), "");
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        let line = [vec![b'x'; LONGEST + 2], b"\nshort\n".to_vec()].concat();
        let x = "x".repeat(LONGEST);
        assert!(text(PREFIX, &line) == format!("web | {x}\nweb + xx\nweb | short\n"));
        let exact = [vec![b'x'; LONGEST], b"\n".to_vec()].concat();
        assert!(text(PREFIX, &exact) == format!("web | {x}\n"));
        let head = "{\"program\":\"web\",\"stream\":\"stdout\",\"line\":\"";
        assert!(
            text(JSON, &line) == format!("{head}{x}\",\"partial\":true}}\n{head}xx\"}}\n{head}short\"}}\n")
        );
    }

    #[test]
    fn a_character_is_not_cut_in_two() {
        for shift in 0..4 {
            let line = ["a".repeat(shift), "\u{1f514}".repeat(LONGEST / 4 + 1)].concat();
            assert!(!text(JSON, line.as_bytes()).contains('\u{fffd}'), "shifted by {shift}");
        }
    }

    #[test]
    fn json_is_escaped_and_indented_lines_are_joined() {
        let head = "{\"program\":\"web\",\"stream\":\"stdout\",\"line\":\"";
        assert_eq!(
            text(JSON, b"a\"\\\t\r\x01\x7f\xff\r\n"),
            format!("{head}a\\\"\\\\\\t\\r\\u0001\x7f\u{fffd}\"}}\n")
        );
        assert_eq!(
            text(JSON, b"panic\r\n\tat f\r\n  at g\nnext\n"),
            format!("{head}panic\\n\\tat f\\n  at g\"}}\n{head}next\"}}\n")
        );
        let style = Style { timestamps: true, ..JSON };
        assert_eq!(text(style, b"a\n"), format!("{{\"time\":\"{AT}\",{}a\"}}\n", &head[1..]));
    }

    #[test]
    fn joined_lines_stay_below_the_limit() {
        let bytes = [b"first\n".to_vec(), b"\tmore\n".repeat(LONGEST / 3)].concat();
        let out = framed(JSON, &bytes, &[1000]);
        let records: Vec<&[u8]> = out.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(records.len(), 3);
        assert!(out.windows(10).all(|part| part != b"\"partial\":"));
    }

    #[test]
    fn a_record_waits_for_its_next_line_until_it_is_released() {
        let mut framing = Framing::new("web", "stderr", JSON);
        let mut out = Vec::new();
        framing.pass(b"a\n\tb\n\tc", AT, &mut out);
        assert!(framing.is_held() && out.is_empty());
        framing.release(AT, &mut out);
        assert_eq!(out, b"{\"program\":\"web\",\"stream\":\"stderr\",\"line\":\"a\\n\\tb\"}\n");
        assert!(!framing.is_held() && framing.carried() == 2);
        out.clear();
        framing.pass(b"\nnext\n", AT, &mut out);
        assert_eq!(out, b"{\"program\":\"web\",\"stream\":\"stderr\",\"line\":\"\\tc\"}\n");
    }

    #[test]
    fn a_record_has_the_time_of_its_first_line() {
        let mut framing = Framing::new("web", "stdout", Style { timestamps: true, ..JSON });
        let mut out = Vec::new();
        framing.pass(b"a\n", "early", &mut out);
        framing.pass(b" b\nc\n", "late", &mut out);
        framing.finish("later", &mut out);
        let times: Vec<&str> = std::str::from_utf8(&out)
            .expect("UTF-8")
            .lines()
            .filter_map(|line| line.split('"').nth(3))
            .collect();
        assert_eq!(times, ["early", "late"]);
    }

    #[test]
    fn a_long_line_gives_its_memory_back() {
        let mut framing = Framing::new("web", "stdout", PREFIX);
        let mut out = Vec::new();
        framing.pass(&vec![b'x'; LONGEST], AT, &mut out);
        framing.pass(b"\nx", AT, &mut out);
        assert!(framing.rest.capacity() <= SMALL);
    }

    #[test]
    fn our_own_lines_look_like_the_others() {
        let line = |style, level| String::from_utf8(own_line(style, AT, level, "a \"b\"")).expect("UTF-8");
        assert_eq!(line(PREFIX, "info"), "sexton: a \"b\"\n");
        assert_eq!(
            line(Style { timestamps: true, ..PREFIX }, "debug"),
            format!("{AT} sexton: debug: a \"b\"\n")
        );
        assert_eq!(
            line(JSON, "warn"),
            "{\"program\":\"sexton\",\"level\":\"warn\",\"line\":\"a \\\"b\\\"\"}\n"
        );
    }
}
