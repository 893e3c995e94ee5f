//! `sexton inspect ls` and `tail`: rows and lines.

use std::time::{Duration, SystemTime};

use super::count;
use crate::table::{Column, Side, Table, column};
use crate::time::utc;

const COLUMNS: &[Column] = &[
    column("MODE", "mode", Side::Left),
    column("OWNER", "", Side::Left),
    column("", "uid", Side::Right),
    column("", "gid", Side::Right),
    column("SIZE", "size", Side::Right),
    column("TIME (UTC)", "", Side::Left),
    column("", "modified", Side::Left),
    column("NAME", "", Side::Left),
    column("", "path", Side::Left),
    column("", "target", Side::Left),
];

/// The bits of a mode that say what kind of file it is, and their letters (inode(7)).
const KIND: u32 = 0o170_000;
const KINDS: [(u32, u8); 7] = [
    (0o140_000, b's'),
    (0o120_000, b'l'),
    (0o100_000, b'-'),
    (0o060_000, b'b'),
    (0o040_000, b'd'),
    (0o020_000, b'c'),
    (0o010_000, b'p'),
];

/// A file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    /// Seconds since 1970.
    pub(crate) modified: i64,
    pub(crate) name: Vec<u8>,
    pub(crate) path: Vec<u8>,
    /// Where a symbolic link leads; else empty.
    pub(crate) target: Vec<u8>,
}

/// `-rwxr-xr-x`, with the letters for setuid, setgid and sticky.
fn mode(bits: u32) -> [u8; 10] {
    let mut text = *b"?---------";
    for (kind, letter) in KINDS {
        if bits & KIND == kind {
            text[0] = letter;
        }
    }
    for (place, letter) in b"rwxrwxrwx".iter().enumerate() {
        if bits & (0o400 >> place) != 0 {
            text[place + 1] = *letter;
        }
    }
    for (place, special, letter) in [(3, 0o4000, b's'), (6, 0o2000, b's'), (9, 0o1000, b't')] {
        if bits & special != 0 {
            text[place] = if text[place] == b'-' { letter.to_ascii_uppercase() } else { letter };
        }
    }
    text
}

/// The entries as a table.
pub(crate) fn table(entries: &[Entry], json: bool) -> Table {
    let mut table = Table::new(COLUMNS, json);
    for entry in entries {
        let (uid, gid) = (entry.uid.into(), entry.gid.into());
        let since = Duration::from_secs(u64::try_from(entry.modified).unwrap_or(0));
        let modified = utc(SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH));
        table.text(&mode(entry.mode));
        let mut owner = Vec::new();
        count(&mut owner, "", uid);
        count(&mut owner, ":", gid);
        table.text(&owner);
        table.number(Some(uid));
        table.number(Some(gid));
        table.size(Some(entry.size));
        // To the minute, and without the letters, for people.
        let mut minute = modified.get(..16).unwrap_or_default().as_bytes().to_vec();
        if let Some(letter) = minute.get_mut(10) {
            *letter = b' ';
        }
        table.text(&minute);
        table.text(modified.as_bytes());
        let mut name = entry.name.clone();
        if !entry.target.is_empty() {
            name.extend_from_slice(b" -> ");
            name.extend_from_slice(&entry.target);
        }
        table.text(&name);
        table.text(&entry.path);
        table.text_or_none(&entry.target);
    }
    table
}

/// Where the last lines begin in the last bytes of a file; None where they begin before. A line that has no end yet is
/// one too.
pub(crate) fn last_lines(bytes: &[u8], lines: usize) -> Option<usize> {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if lines == 0 {
        return Some(bytes.len());
    }
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).nth(lines - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_ls_does() {
        let written = [
            (0o100_644, "-rw-r--r--"),
            (0o040_755, "drwxr-xr-x"),
            (0o041_777, "drwxrwxrwt"),
            (0o041_776, "drwxrwxrwT"),
            (0o104_711, "-rws--x--x"),
            (0o102_600, "-rw---S---"),
            (0o120_777, "lrwxrwxrwx"),
            (0o010_600, "prw-------"),
            (0o140_755, "srwxr-xr-x"),
            (0o020_620, "crw--w----"),
            (0o060_660, "brw-rw----"),
            (0, "?---------"),
        ];
        for (bits, text) in written {
            assert_eq!(mode(bits), text.as_bytes());
        }
    }

    #[test]
    fn links_lead_somewhere() {
        let file =
            Entry { mode: 0o100_644, uid: 1000, size: 1536, modified: 1_795_333_467, ..Entry::default() };
        let link =
            Entry { mode: 0o120_777, name: b"a".to_vec(), target: b"\x1b".to_vec(), ..Entry::default() };
        let mut text = String::new();
        table(&[link, Entry { name: b"b".to_vec(), ..file.clone() }], false).write(&mut text, Some(80));
        assert_eq!(
            text,
            "MODE        OWNER   SIZE  TIME (UTC)        NAME\n\
             lrwxrwxrwx  0:0        0  1970-01-01 00:00  a -> \\u{1b}\n\
             -rw-r--r--  1000:0  1.5K  2026-11-22 07:44  b\n"
        );
        // A clock that has gone wild.
        for modified in [i64::MIN, -1] {
            let mut text = String::new();
            table(&[Entry { modified, ..file.clone() }], false).write(&mut text, None);
            assert_eq!(text.lines().count(), 2);
        }
    }

    #[test]
    fn the_last_lines_are_found_from_behind() {
        let cases: [(&[u8], usize, Option<usize>); 10] = [
            (b"a\nb\nc\n", 1, Some(4)),
            (b"a\nb\nc\n", 2, Some(2)),
            (b"a\nb\nc\n", 3, None),
            (b"a\nb\nc", 1, Some(4)),
            (b"a\nb\nc", 2, Some(2)),
            (b"a\n\n\n", 2, Some(2)),
            (b"a\n", 0, Some(2)),
            (b"\n", 1, None),
            (b"", 1, None),
            (b"", 0, Some(0)),
        ];
        for (bytes, lines, at) in cases {
            assert_eq!(last_lines(bytes, lines), at, "{bytes:?} {lines}");
        }
    }
}
