//! The termination message: what it says, and how it shares its file with the program's own words.
//!
//! Pure functions from what is known to bytes. The limits are a kubelet's: it reads the last 4096 bytes of the file and
//! of these, in a pod of n containers, keeps the first 12288/n. So the most important line comes first, and ours is
//! short. It is valid UTF-8 and holds no control character but the newline.

use std::fmt::Write;
use std::time::Duration;

use crate::effect::Breadcrumb;
use crate::notice::Ending;
use crate::outcome::{Cause, KillReason, OutOfMemory, Report, Status};
use crate::plan::Format;
use crate::signal::Signal;
use crate::time::Span;

/// The most that we write, in bytes.
pub const OURS: usize = 1024;
/// The most that is kept of what the program wrote, in bytes.
pub const THEIRS: usize = 3072;
/// How much of one line of stderr is quoted, in bytes.
const LONGEST_LINE: usize = 400;

/// The message about an end, with the last `lines` lines of the `stderr` that was kept.
#[must_use]
pub fn render(report: &Report, stderr: &[u8], lines: usize, format: Format) -> String {
    written(report, None, stderr, lines, format)
}

/// The note for while the program still runs or is held; `at` is the time of day.
#[must_use]
pub fn render_breadcrumb(note: &Breadcrumb, at: &str, stderr: &[u8], lines: usize, format: Format) -> String {
    let sentence = match note {
        Breadcrumb::Held(report) => return written(report, Some(at), stderr, lines, format),
        Breadcrumb::StopRequested(signal) => format!("stop requested by {signal} at {at}, not ended since"),
        Breadcrumb::NearMemoryLimit(memory) => {
            let mebibytes = |bytes: u64| bytes / (1024 * 1024);
            format!(
                "memory close to its limit at {at}: {} of {} MiB in use",
                mebibytes(memory.used),
                mebibytes(memory.limit)
            )
        }
    };
    match format {
        Format::Text => format!("{sentence}\n"),
        Format::Json => format!("{{\"note\":{}}}\n", Quoted(&sentence)),
    }
}

fn written(report: &Report, held_since: Option<&str>, stderr: &[u8], lines: usize, format: Format) -> String {
    let mut quoted = last_lines(stderr, lines);
    loop {
        let text = match format {
            Format::Text => as_text(report, held_since, &quoted),
            Format::Json => as_json(report, held_since, &quoted),
        };
        if text.len() <= OURS {
            return text;
        }
        if quoted.is_empty() {
            // Only a very long reason gets here; cut, it is still the line that matters.
            return match format {
                Format::Text => format!("{}\n", shortened(&text, OURS - 1)),
                Format::Json => {
                    format!("{{\"message\":{}}}\n", Quoted(shortened(&sentence(report), OURS / 8)))
                }
            };
        }
        quoted.remove(0);
    }
}

fn as_text(report: &Report, held_since: Option<&str>, lines: &[String]) -> String {
    let mut text = format!("{}\noom: {}", sentence(report), out_of_memory(report));
    if let Some(held) = report.held {
        let _ = write!(text, "   held: {}", Span(held)); // a String takes everything
    }
    if let Some(since) = held_since {
        let _ = write!(text, "   held since: {since}");
    }
    let _ = writeln!(text, "   uptime: {}", Span(report.uptime));
    if !lines.is_empty() {
        text += "stderr:\n";
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn as_json(report: &Report, held_since: Option<&str>, lines: &[String]) -> String {
    let mut json =
        format!("{{\"message\":{},\"program\":{}", Quoted(&sentence(report)), Quoted(&report.program));
    let mut field = |name: &str, value: &dyn std::fmt::Display| {
        let _ = write!(json, ",\"{name}\":{value}"); // a String takes everything
    };
    field("code", &report.code);
    match &report.cause {
        Cause::Ended { status, by_us, failed, ran, .. } => {
            match status {
                Status::Exited(_) => field("cause", &Quoted("exited")),
                Status::Killed { signal, core } => {
                    field("cause", &Quoted("killed"));
                    field("signal", &Quoted(&signal.to_string()));
                    field("core_dumped", core);
                }
            }
            if let Some(failed) = failed {
                field("failed", &Quoted(failed.words()));
            }
            match by_us {
                Some(KillReason::StopWait) => field("killed_by_sexton", &Quoted("stopwaitsecs over")),
                Some(KillReason::TimeOver) => field("killed_by_sexton", &Quoted("grace period over")),
                Some(KillReason::ThirdSignal) => field("killed_by_sexton", &Quoted("third stop signal")),
                None => {}
            }
            field("ran_seconds", &Seconds(*ran));
        }
        Cause::Refused(_) => field("cause", &Quoted("not started")),
        Cause::Unkillable => field("cause", &Quoted("unkillable")),
    }
    field("oom", &Quoted(out_of_memory(report)));
    if let Some(signal) = report.stopped_by {
        field("stop_requested_by", &Quoted(&signal.to_string()));
    }
    if let Some(held) = report.held {
        field("held_seconds", &Seconds(held));
    }
    if let Some(since) = held_since {
        field("held_since", &Quoted(since));
    }
    field("uptime_seconds", &Seconds(report.uptime));
    if !lines.is_empty() {
        json += ",\"stderr\":[";
        for (i, line) in lines.iter().enumerate() {
            let _ = write!(json, "{}{}", if i == 0 { "" } else { "," }, Quoted(line));
        }
        json += "]";
    }
    json += "}\n";
    json
}

/// The key line.
fn sentence(report: &Report) -> String {
    clean(&format!("{}: {}", report.program, Ending(report)))
}

/// Whether it was killed for want of memory, in words.
pub(crate) fn out_of_memory(report: &Report) -> &'static str {
    let (status, memory) = match &report.cause {
        Cause::Ended { status, memory, .. } => (status, memory.unwrap_or(OutOfMemory::No)),
        Cause::Refused(_) => return "no",
        Cause::Unkillable => return "unknown",
    };
    let was_killed = matches!(status, Status::Killed { signal, .. } if *signal == Signal::KILL);
    match memory {
        OutOfMemory::Unknown if was_killed => "unknown",
        OutOfMemory::No | OutOfMemory::Unknown => "no",
        // The counter is the container's: it was a worker of main's, perhaps, but not main.
        OutOfMemory::OwnLimit | OutOfMemory::Elsewhere | OutOfMemory::SomeLimit | OutOfMemory::Perhaps
            if !was_killed =>
        {
            "not main, but another process"
        }
        OutOfMemory::OwnLimit => "yes, own limit",
        OutOfMemory::Elsewhere => "yes, limit of pod or node",
        OutOfMemory::SomeLimit => "yes",
        OutOfMemory::Perhaps => "perhaps",
    }
}

/// The last `count` lines that are not blank, fit to be shown.
fn last_lines(kept: &[u8], count: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(kept);
    let mut lines: Vec<String> = text
        .lines()
        .rev()
        .map(|line| shortened(&clean(line), LONGEST_LINE).to_owned())
        .filter(|line| !line.trim().is_empty())
        .take(count)
        .collect();
    lines.reverse();
    lines
}

/// The text without control characters and terminal colours; a tab becomes a space.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\t' => clean.push(' '),
            // ECMA-48 5.4: ESC [ parameters, up to a final byte of 0x40 to 0x7E.
            '\u{1b}' if rest.as_str().starts_with('[') => {
                rest.next();
                let _final = rest.find(|c| ('\u{40}'..='\u{7e}').contains(c));
            }
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean
}

/// The longest beginning of `text` that has at most `limit` bytes and cuts no character.
pub(crate) fn shortened(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// What the file is to hold: the words of the program, and from `ours_at` on ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// All of it.
    pub whole: Vec<u8>,
    /// Where ours begins, a newline included that ends the program's last line.
    pub ours_at: usize,
}

impl Content {
    /// Ours, as it is to be looked for the next time.
    #[must_use]
    pub fn ours(&self) -> &[u8] {
        &self.whole[self.ours_at..]
    }

    fn of(mut words: Vec<u8>, ours: &[u8]) -> Content {
        let ours_at = words.len();
        if !ours.is_empty() {
            if words.last().is_some_and(|byte| *byte != b'\n') {
                words.push(b'\n');
            }
            words.extend_from_slice(ours);
        }
        Content { whole: words, ours_at }
    }
}

/// What the file is to hold while the program runs: what it wrote, without our own `last` part, and then `note`.
#[must_use]
pub fn with_note(file: &[u8], last: &[u8], note: &[u8]) -> Content {
    Content::of(without(file, last), note)
}

/// What the file is to hold in the end: the first [`THEIRS`] bytes of what the program wrote, and then the `message`.
#[must_use]
pub fn with_message(file: &[u8], last: &[u8], message: &[u8]) -> Content {
    let mut words = without(file, last);
    if words.len() >= THEIRS {
        let mut cut = THEIRS - 1;
        while cut > 0 && words[cut] & 0xC0 == 0x80 {
            cut -= 1; // a continuation byte of UTF-8: its character begins before
        }
        words.truncate(cut);
    }
    Content::of(words, message)
}

/// The least that must be left of our note, at the end of the file, to be known as such.
const SHORTEST_REST: usize = 16;

fn without(file: &[u8], last: &[u8]) -> Vec<u8> {
    if last.is_empty() {
        return file.to_vec();
    }
    if let Some(at) = file.windows(last.len()).position(|window| window == last) {
        return [&file[..at], &file[at + last.len()..]].concat();
    }
    // A program that had the file open before we wrote writes over the beginning of our note; its rest is left.
    let rest = file.iter().rev().zip(last.iter().rev()).take_while(|(a, b)| a == b).count();
    let keep = if rest >= SHORTEST_REST { file.len() - rest } else { file.len() };
    file[..keep].to_vec()
}

/// Seconds with one decimal.
struct Seconds(Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0.as_secs(), self.0.subsec_millis() / 100)
    }
}

/// A JSON string (RFC 8259 section 7). The text holds no control characters.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Memory;
    use crate::outcome::{Refusal, Sequel};

    fn report(status: Status) -> Report {
        Report {
            id: crate::plan::ProgramId(0),
            program: "web".to_owned(),
            cause: Cause::Ended {
                status,
                memory: None,
                by_us: None,
                failed: None,
                ran: Duration::from_secs(192),
            },
            sequel: Sequel::Nothing,
            is_expected: 1 == 0,
            code: 1,
            stopped_by: None,
            held: None,
            uptime: Duration::from_mins(41),
        }
    }

    #[test]
    fn the_key_line_comes_first() {
        let text = render(&report(Status::Exited(1)), b"a\npanic: no db\n", 5, Format::Text);
        assert_eq!(
            text,
            "web: exited with code 1 after 3m12s (unexpected)\noom: no   uptime: 41m00s\nstderr:\n  a\n  panic: no db\n"
        );
    }

    #[test]
    fn each_cause_is_told_apart() {
        let said = |report: &Report| render(report, b"", 0, Format::Text).lines().next().map(str::to_owned);
        let killed = |signal, core| report(Status::Killed { signal, core });
        let with = |memory, by_us, stopped_by| Report {
            cause: Cause::Ended {
                status: Status::Killed { signal: Signal::KILL, core: false },
                memory,
                by_us,
                failed: None,
                ran: Duration::from_secs(192),
            },
            stopped_by,
            ..killed(Signal::KILL, false)
        };
        let refused = Refusal { code: 127, reason: "cannot execute `x`: not found".to_owned() };
        let cases = [
            (killed(Signal::QUIT, true), "web: killed by SIGQUIT (core dumped) after 3m12s (unexpected)"),
            (with(Some(OutOfMemory::No), None, None), "web: killed by SIGKILL after 3m12s (unexpected)"),
            (
                with(Some(OutOfMemory::OwnLimit), None, None),
                "web: killed by SIGKILL after 3m12s, out of memory: the container's own limit was reached (unexpected)",
            ),
            (
                with(Some(OutOfMemory::Elsewhere), None, None),
                "web: killed by SIGKILL after 3m12s, out of memory: not this container's limit but the pod's or the node's (unexpected)",
            ),
            (
                with(Some(OutOfMemory::No), Some(KillReason::TimeOver), Some(Signal::TERM)),
                "web: killed by SIGKILL after 3m12s, by sexton: the grace period had run out (stop requested by SIGTERM)",
            ),
            (
                Report { cause: Cause::Refused(refused), ..report(Status::Exited(0)) },
                "web: cannot execute `x`: not found (unexpected)",
            ),
        ];
        for (report, line) in cases {
            assert_eq!(said(&report).as_deref(), Some(line));
        }
    }

    #[test]
    fn json_is_one_object_with_its_strings_escaped() {
        let report = Report { held: Some(Duration::from_millis(1500)), ..report(Status::Exited(1)) };
        assert_eq!(
            render(&report, b"say \"no\\\"\n\x1b[31mred\x1b[0m\x07\n", 2, Format::Json),
            "{\"message\":\"web: exited with code 1 after 3m12s (unexpected)\",\"program\":\"web\",\"code\":1,\
             \"cause\":\"exited\",\"ran_seconds\":192.0,\"oom\":\"no\",\"held_seconds\":1.5,\
             \"uptime_seconds\":2460.0,\"stderr\":[\"say \\\"no\\\\\\\"\",\"red\"]}\n"
        );
    }

    #[test]
    fn no_input_makes_it_longer_than_its_limit_or_cuts_a_character() {
        let long = "ü".repeat(5000);
        let refusal = Refusal { code: 126, reason: long.clone() };
        let refused = Report { cause: Cause::Refused(refusal), ..report(Status::Exited(0)) };
        let lines = format!("{long}\n{long}\nlast");
        for format in [Format::Text, Format::Json] {
            for report in [&refused, &report(Status::Exited(1))] {
                let text = render(report, lines.as_bytes(), 50, format);
                assert!(text.len() <= OURS && text.ends_with('\n'), "{} bytes", text.len());
            }
            assert!(render(&report(Status::Exited(1)), lines.as_bytes(), 50, format).contains("last"));
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_and_nul_become_harmless() {
        let text = render(&report(Status::Exited(1)), b"\xff\0bad\r\n", 1, Format::Text);
        assert!(text.ends_with("  \u{fffd}bad\n"), "{text}");
    }

    #[test]
    fn breadcrumbs_say_what_a_kill_would_leave_unsaid() {
        let note = |note| render_breadcrumb(&note, "2026-01-02T03:04:05Z", b"", 0, Format::Text);
        assert_eq!(
            note(Breadcrumb::StopRequested(Signal::TERM)),
            "stop requested by SIGTERM at 2026-01-02T03:04:05Z, not ended since\n"
        );
        assert_eq!(
            note(Breadcrumb::NearMemoryLimit(Memory { used: 250 << 20, limit: 256 << 20 })),
            "memory close to its limit at 2026-01-02T03:04:05Z: 250 of 256 MiB in use\n"
        );
        assert_eq!(
            note(Breadcrumb::Held(Box::new(report(Status::Exited(3))))),
            "web: exited with code 3 after 3m12s (unexpected)\noom: no   held since: 2026-01-02T03:04:05Z   uptime: 41m00s\n"
        );
    }

    #[test]
    fn the_programs_words_stay_first_and_our_note_goes() {
        assert_eq!(with_message(b"their words", b"", b"ours\n").whole, b"their words\nours\n");
        assert_eq!(with_message(b"our note\n", b"our note\n", b"ours\n").whole, b"ours\n");
        assert_eq!(with_note(b"before\nour note\nafter\n", b"our note\n", b"").whole, b"before\nafter\n");
        assert_eq!(with_note(b"theirs", b"", b"").whole, b"theirs");
    }

    #[test]
    fn a_note_half_written_over_is_taken_out_too() {
        let note = b"stop requested by SIGTERM at noon\n";
        let over = [b"theirs".as_slice(), &note[6..]].concat();
        assert_eq!(with_note(&over, note, b"").whole, b"theirs");
    }

    #[test]
    fn of_long_words_the_first_3_kib_stay_and_no_character_is_cut() {
        let merged = with_message("ü".repeat(4000).as_bytes(), b"", b"ours\n").whole;
        let text = String::from_utf8(merged).expect("valid UTF-8");
        assert!(text.ends_with("ü\nours\n"));
        for length in [THEIRS - 1, THEIRS, THEIRS + 1, 9000] {
            let merged = with_message(&vec![b'x'; length], b"", b"ours\n").whole;
            assert!(merged.len() <= THEIRS + 5, "{length} gives {}", merged.len());
        }
    }

    #[test]
    fn a_note_cuts_nothing_of_what_the_program_wrote() {
        let words = vec![b'x'; 9000];
        let noted = with_note(&words, b"", b"note\n");
        assert!(noted.whole.starts_with(&words) && noted.whole.ends_with(b"x\nnote\n"));
        assert_eq!(with_note(&noted.whole, noted.ours(), b"").whole, words);
    }

    #[test]
    fn a_kill_for_memory_that_hit_another_is_not_mains() {
        let cause = Cause::Ended {
            status: Status::Exited(1),
            memory: Some(OutOfMemory::OwnLimit),
            by_us: None,
            failed: None,
            ran: Duration::from_secs(1),
        };
        let text = render(&Report { cause, ..report(Status::Exited(1)) }, b"", 0, Format::Text);
        assert!(
            text.starts_with("web: exited with code 1 after 1.0s (unexpected)\noom: not main, but another"),
            "{text}"
        );
    }
}
