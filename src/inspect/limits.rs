//! `sexton inspect limits`: what the container may use, and a process.

use std::fmt::Write;
use std::time::Duration;

use crate::health::Figures;
use crate::table::{Column, Side, Table, column, write_size};
use crate::time::Span;

const CONTAINER: &[Column] = &[
    column("CONTAINER", "name", Side::Left),
    column("USED", "current", Side::Right),
    column("LIMIT", "limit", Side::Right),
    column("", "unit", Side::Left),
    column("", "peak", Side::Right),
    column("", "oom_kills", Side::Right),
    column("", "periods", Side::Right),
    column("", "throttled_periods", Side::Right),
    column("", "throttled_seconds", Side::Right),
    column("NOTE", "", Side::Left),
];

const PROCESS: &[Column] = &[
    column("PROCESS", "name", Side::Left),
    column("USED", "current", Side::Right),
    column("SOFT", "soft", Side::Right),
    column("HARD", "hard", Side::Right),
    column("UNIT", "unit", Side::Left),
];

/// At the root of the host's tree for example.
const SILENT: &str = "this cgroup does not say";
const UNLIMITED: &str = "unlimited";

/// What the cgroup says.
pub(crate) fn container(figures: &Figures, json: bool) -> Table {
    let mut table = Table::new(CONTAINER, json);
    // Where there is a figure but no limit, there is none.
    let no_limit = |is_known| if is_known { UNLIMITED } else { "?" };
    let why = |is_known: bool, note: &str| if is_known { note.to_owned() } else { SILENT.to_owned() };

    let mut note = share(figures.memory, figures.memory_limit);
    if let Some(peak) = figures.memory_peak {
        then(&mut note, "at most ");
        write_size(&mut note, peak);
    }
    match figures.oom_kills {
        Some(0) => then(&mut note, "nobody killed for want of it"),
        Some(kills) => then(&mut note, &format!("{kills} killed for want of it")),
        None => then(&mut note, "kills not known"),
    }
    table.text(b"memory");
    table.size(figures.memory);
    match figures.memory_limit {
        Some(_) => table.size(figures.memory_limit),
        None => table.none(no_limit(figures.memory.is_some())),
    }
    table.text(b"bytes");
    table.size(figures.memory_peak);
    table.number(figures.oom_kills);
    nothing(&mut table, 3);
    table.text(why(figures.memory.is_some(), &note).as_bytes());

    let mut note = String::new();
    match figures.cpu_throttled {
        Some(Duration::ZERO) => note += "never held back",
        Some(throttled) => {
            let _ = write!(note, "held back for {}", Span(throttled)); // a String takes everything
        }
        None => {}
    }
    if let (Some(periods), Some(throttled @ 1..)) = (figures.cpu_periods, figures.cpu_throttled_periods) {
        then(&mut note, &format!("in {throttled} of {periods} periods"));
    }
    table.text(b"cpu");
    table.time(figures.cpu);
    match figures.cpu_limit {
        Some(limit) if !json => {
            let cores = format!("{}.{:02} cores", limit.as_secs(), limit.subsec_millis() / 10);
            table.text(cores.as_bytes());
        }
        Some(limit) => table.time(Some(limit)),
        None => table.none(no_limit(figures.cpu.is_some())),
    }
    table.text(b"seconds");
    nothing(&mut table, 2);
    table.number(figures.cpu_periods);
    table.number(figures.cpu_throttled_periods);
    table.time(figures.cpu_throttled);
    table.text(why(figures.cpu.is_some(), &note).as_bytes());

    table.text(b"pids");
    table.number(figures.pids);
    match figures.pids_limit {
        Some(_) => table.number(figures.pids_limit),
        None => table.none(no_limit(figures.pids.is_some())),
    }
    table.text(b"tasks");
    nothing(&mut table, 5);
    table.text(why(figures.pids.is_some(), &share(figures.pids, figures.pids_limit)).as_bytes());
    table
}

fn nothing(table: &mut Table, columns: usize) {
    for _ in 0..columns {
        table.none("");
    }
}

/// `67% used`
fn share(used: Option<u64>, limit: Option<u64>) -> String {
    let (Some(used), Some(limit @ 1..)) = (used, limit) else { return String::new() };
    format!("{}% used", used.saturating_mul(100) / limit)
}

fn then(note: &mut String, more: &str) {
    if !note.is_empty() {
        *note += ", ";
    }
    *note += more;
}

/// Reads /proc/PID/limits (proc_pid_limits(5)), whose columns have fixed places. `open` is how many files are open.
pub(crate) fn process(text: &str, open: Option<u64>, json: bool) -> Table {
    let mut table = Table::new(PROCESS, json);
    for line in text.lines().skip(1) {
        let Some((name, rest)) = line.split_at_checked(25) else { continue };
        let Some(name) = name.strip_prefix("Max ") else { continue };
        let mut words = rest.split_ascii_whitespace();
        let (Some(soft), Some(hard)) = (words.next(), words.next()) else { continue };
        let unit = words.next().unwrap_or_default();
        table.text(name.trim_ascii_end().as_bytes());
        match unit {
            "files" => table.number(open),
            _ => table.none(""),
        }
        for limit in [soft, hard] {
            match limit.parse().ok() {
                None => table.none(UNLIMITED),
                bytes if unit == "bytes" => table.size(bytes),
                number => table.number(number),
            }
        }
        table.text(unit.as_bytes());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(table: &Table) -> String {
        let mut out = String::new();
        table.write(&mut out, Some(80));
        out
    }

    #[test]
    fn a_container_is_three_lines() {
        let figures = Figures {
            oom_kills: Some(2),
            memory: Some(356_515_840),
            memory_limit: Some(536_870_912),
            memory_peak: Some(419_430_400),
            cpu: Some(Duration::from_secs(192)),
            cpu_limit: Some(Duration::from_millis(1500)),
            cpu_throttled: Some(Duration::from_millis(1500)),
            cpu_periods: Some(700),
            cpu_throttled_periods: Some(30),
            pids: Some(12),
            pids_limit: Some(100),
            ..Figures::default()
        };
        assert_eq!(
            text(&container(&figures, false)),
            "CONTAINER   USED       LIMIT  NOTE\n\
             memory      340M        512M  66% used, at most 400M, 2 killed for want of it\n\
             cpu        3m12s  1.50 cores  held back for 1.5s, in 30 of 700 periods\n\
             pids          12         100  12% used\n"
        );
        let mut json = String::new();
        container(&figures, true).write(&mut json, None);
        assert!(
            json.contains(r#"{"name":"cpu","current":192.000,"limit":1.500,"unit":"seconds","#),
            "{json}"
        );
    }

    #[test]
    fn no_limit_is_told_from_one_that_is_not_known() {
        let figures = Figures { memory: Some(1024), ..Figures::default() };
        assert_eq!(
            text(&container(&figures, false)),
            "CONTAINER  USED      LIMIT  NOTE\n\
             memory     1.0K  unlimited  kills not known\n\
             cpu           ?          ?  this cgroup does not say\n\
             pids          ?          ?  this cgroup does not say\n"
        );
    }

    #[test]
    fn a_process_has_a_line_for_each_limit() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max cpu time              unlimited            unlimited            seconds   \n\
                      Max stack size            8388608              unlimited            bytes     \n\
                      Max open files            1024                 4096                 files     \n\
                      Max nice priority         0                    0                    \n\
                      Max\nMax ä\n";
        assert_eq!(
            text(&process(limits, Some(7), false)),
            "PROCESS        USED       SOFT       HARD  UNIT\n\
             cpu time             unlimited  unlimited  seconds\n\
             stack size                8.0M  unlimited  bytes\n\
             open files        7       1024       4096  files\n\
             nice priority                0          0\n"
        );
        assert_eq!(text(&process("", None, false)).lines().count(), 1);
    }
}
