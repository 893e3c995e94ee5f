//! Whatever a program writes, and however it is cut up on its way: nothing panics, nothing is lost, every line is whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sexton::framing::{Framing, LONGEST};
use sexton::plan::{Output, Style};

const AT: &str = "2026-11-22T01:02:03.456Z";

/// The plainest way to say what prefix style means, on everything at once.
fn prefixed(bytes: &[u8], timestamps: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    for line in lines {
        let pieces: Vec<&[u8]> = if line.is_empty() { vec![line] } else { line.chunks(LONGEST).collect() };
        for (number, piece) in pieces.into_iter().enumerate() {
            if timestamps {
                out.extend_from_slice(AT.as_bytes());
                out.push(b' ');
            }
            out.extend_from_slice(if number == 0 { b"web | " } else { b"web + " });
            out.extend_from_slice(piece);
            out.push(b'\n');
        }
    }
    out
}

/// The text that the records have to add up to: without the `\r` of line ends, and what is no UTF-8 replaced.
fn lossy(bytes: &[u8]) -> String {
    let ended = bytes.ends_with(b"\n");
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if ended {
        lines.pop();
    }
    let count = lines.len();
    let text = |(at, line): (usize, &&[u8])| {
        let has_end = ended || at + 1 < count;
        let line = if has_end { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        String::from_utf8_lossy(line).into_owned()
    };
    lines.iter().enumerate().map(text).collect::<Vec<_>>().join("\n")
}

/// What all records together say.
fn said(out: &[u8], timestamps: bool) -> String {
    let mut text = String::new();
    let mut goes_on = true;
    for line in out.split_inclusive(|byte| *byte == b'\n') {
        assert!(line.ends_with(b"}\n"), "a record without an end");
        let Ok(Value::Object(record)) = serde_json::from_slice(line) else { panic!("no JSON object") };
        let is_partial = record.get("partial").is_some();
        assert_eq!(record.len(), 3 + usize::from(timestamps) + usize::from(is_partial));
        assert_eq!(record.get("time").and_then(Value::as_str), timestamps.then_some(AT));
        let Some(Value::String(line)) = record.get("line") else { panic!("no line") };
        assert!(line.len() <= 3 * LONGEST, "a record that is too long");
        if !std::mem::replace(&mut goes_on, is_partial) {
            text.push('\n');
        }
        text.push_str(line);
    }
    text
}

fuzz_target!(|data: &[u8]| {
    let [style, count, data @ ..] = data else { return };
    let timestamps = style & 1 != 0;
    let output = if style & 2 == 0 { Output::Prefix } else { Output::Json };
    let releases = style & 4 != 0;
    let lengths = data.len().min(usize::from(count % 32));
    let (lengths, bytes) = data.split_at(lengths);

    let mut framing = Framing::new("web", "stdout", Style { output, timestamps });
    let mut out = Vec::new();
    let mut rest = bytes;
    for length in lengths.iter().copied().map(usize::from).chain([usize::MAX]) {
        let (chunk, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        framing.pass(chunk, AT, &mut out);
        assert!(framing.carried() <= LONGEST + 1, "too much is carried over");
        assert!(out.is_empty() || out.ends_with(b"\n"), "a line without an end");
        if releases {
            framing.release(AT, &mut out);
            assert!(!framing.is_held());
        }
    }
    framing.finish(AT, &mut out);
    assert_eq!(framing.carried(), 0);
    if output == Output::Prefix {
        assert!(out == prefixed(bytes, timestamps), "not what was written");
        return;
    }
    assert!(said(&out, timestamps) == lossy(bytes), "not what was written");
    if !releases {
        let mut at_once = Vec::new();
        let mut framing = Framing::new("web", "stdout", Style { output, timestamps });
        framing.pass(bytes, AT, &mut at_once);
        framing.finish(AT, &mut at_once);
        assert!(out == at_once, "the cuts made a difference");
    }
});
