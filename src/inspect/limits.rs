//! `sexton inspect limits`: what the container may use, and a process.

use std::time::Duration;

use super::{count, field, figure, lines};
use crate::health::Figures;
use crate::table::{Column, Side, Table, column, size};
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

    let mut note = share(figures.memory, figures.memory_limit);
    if let Some(peak) = figures.memory_peak {
        then(&mut note, "at most ");
        note.extend_from_slice(size(peak).as_bytes());
    }
    match figures.oom_kills {
        Some(0) => then(&mut note, "nobody killed for want of it"),
        Some(kills) => {
            then(&mut note, "");
            count(&mut note, "", kills);
            note.extend_from_slice(b" killed for want of it");
        }
        None => then(&mut note, "kills not known"),
    }
    table.text(b"memory");
    table.size(figures.memory);
    limit(&mut table, figures.memory.is_some(), figures.memory_limit, Table::size);
    table.text(b"bytes");
    table.size(figures.memory_peak);
    table.number(figures.oom_kills);
    nothing(&mut table, 3);
    say(&mut table, figures.memory.is_some(), &note);

    note.clear();
    match figures.cpu_throttled {
        Some(Duration::ZERO) => then(&mut note, "never held back"),
        Some(throttled) => {
            then(&mut note, "held back for ");
            note.extend_from_slice(Span(throttled).to_string().as_bytes());
        }
        None => {}
    }
    if let (Some(periods), Some(throttled @ 1..)) = (figures.cpu_periods, figures.cpu_throttled_periods) {
        then(&mut note, "in ");
        count(&mut note, "", throttled);
        count(&mut note, " of ", periods);
        note.extend_from_slice(b" periods");
    }
    table.text(b"cpu");
    table.time(figures.cpu);
    match figures.cpu_limit {
        Some(share) if !json => {
            let cores = format!("{}.{:02} cores", share.as_secs(), share.subsec_millis() / 10);
            table.text(cores.as_bytes());
        }
        Some(share) => table.time(Some(share)),
        None => limit(&mut table, figures.cpu.is_some(), None, Table::number),
    }
    table.text(b"seconds");
    nothing(&mut table, 2);
    table.number(figures.cpu_periods);
    table.number(figures.cpu_throttled_periods);
    table.time(figures.cpu_throttled);
    say(&mut table, figures.cpu.is_some(), &note);

    table.text(b"pids");
    table.number(figures.pids);
    limit(&mut table, figures.pids.is_some(), figures.pids_limit, Table::number);
    table.text(b"tasks");
    nothing(&mut table, 5);
    say(&mut table, figures.pids.is_some(), &share(figures.pids, figures.pids_limit));
    table
}

/// Where there is a figure but no limit, there is none.
fn limit(table: &mut Table, is_known: bool, limit: Option<u64>, put: fn(&mut Table, Option<u64>)) {
    match limit {
        Some(_) => put(table, limit),
        None => table.none(if is_known { UNLIMITED } else { "?" }),
    }
}

fn say(table: &mut Table, is_known: bool, note: &[u8]) {
    table.text(if is_known { note } else { SILENT.as_bytes() });
}

fn nothing(table: &mut Table, columns: usize) {
    for _ in 0..columns {
        table.none("");
    }
}

/// `67% used`
#[inline(never)]
fn share(used: Option<u64>, limit: Option<u64>) -> Vec<u8> {
    let mut note = Vec::new();
    if let (Some(used), Some(limit @ 1..)) = (used, limit) {
        count(&mut note, "", used.saturating_mul(100) / limit);
        note.extend_from_slice(b"% used");
    }
    note
}

fn then(note: &mut Vec<u8>, more: &str) {
    if !note.is_empty() {
        note.extend_from_slice(b", ");
    }
    note.extend_from_slice(more.as_bytes());
}

/// Reads /proc/PID/limits (proc_pid_limits(5)), whose columns have fixed places. `open` is how many files are open.
pub(crate) fn process(text: &[u8], open: Option<u64>, json: bool) -> Table {
    let mut table = Table::new(PROCESS, json);
    for line in lines(text).skip(1) {
        let Some((name, rest)) = line.split_at_checked(25) else { continue };
        let Some(name) = name.strip_prefix(b"Max ") else { continue };
        let (hard, unit) = (field(rest, 1), field(rest, 2));
        if hard.is_empty() {
            continue;
        }
        table.text(name.trim_ascii_end());
        match unit {
            b"files" => table.number(open),
            _ => table.none(""),
        }
        for place in 0..2 {
            let put = if unit == b"bytes" { Table::size } else { Table::number };
            limit(&mut table, true, figure(rest, place, 10), put);
        }
        table.text(unit);
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
            text(&process(limits.as_bytes(), Some(7), false)),
            "PROCESS        USED       SOFT       HARD  UNIT\n\
             cpu time             unlimited  unlimited  seconds\n\
             stack size                8.0M  unlimited  bytes\n\
             open files        7       1024       4096  files\n\
             nice priority                0          0\n"
        );
        assert_eq!(text(&process(b"", None, false)).lines().count(), 1);
    }
}
