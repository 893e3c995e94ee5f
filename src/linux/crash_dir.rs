//! The directory of crash reports: a pair of files for each, of which the last few are kept.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::BAD_USAGE;
use crate::crash::{self, Crash, headline, render_json, render_text, stem_in, time_of};

/// How many reports are kept.
const KEPT: usize = 10;
/// How many names are looked at: the directory may be full of what is not ours.
const NAMES: usize = 10_000;
/// More than any report has, in bytes.
const MOST_READ: u64 = 256 * 1024;
/// The exit code where there is nothing to show.
const FAILED: u8 = 1;

/// The directory.
pub(super) struct CrashDir {
    path: PathBuf,
    /// What has been told, by its number in errno(3): each cause is told once.
    told: Vec<Option<i32>>,
}

impl CrashDir {
    /// Looks whether reports can be kept there, so that it is known before the first.
    pub(super) fn new(path: &Path) -> CrashDir {
        // Later the directory that we are in is another.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut directory = CrashDir { path, told: Vec::new() };
        if let Err(error) = directory.look() {
            directory.complain(&error);
        }
        directory
    }

    fn look(&self) -> io::Result<()> {
        self.make()?;
        Ok(access(&self.path.join("."), AccessFlags::W_OK | AccessFlags::X_OK)?)
    }

    /// Makes the directory where it is missing, but none above it.
    fn make(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Writes a report, after those that are too many with it are removed.
    pub(super) fn write(&mut self, crash: &Crash) {
        if let Err(error) = self.try_write(crash) {
            self.complain(&error);
        }
    }

    fn try_write(&self, crash: &Crash) -> io::Result<()> {
        self.make()?;
        let stem = crash::stem(crash);
        self.make_room()?;
        self.write_one(&(stem.clone() + ".txt"), &render_text(crash))?;
        self.write_one(&(stem + ".json"), &render_json(crash))
    }

    /// Whole or not at all: under another name first. What is made anew is neither a link nor a FIFO.
    fn write_one(&self, name: &str, text: &str) -> io::Result<()> {
        let unfinished = self.path.join(".".to_owned() + name);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&unfinished, self.path.join(name))
        };
        write().inspect_err(|_| {
            let _ = fs::remove_file(&unfinished); // it may not be there
        })
    }

    /// Removes the oldest, so that there is room for one more.
    fn make_room(&self) -> io::Result<()> {
        let (mut count, mut before) = (1, None);
        let names = own_names(&self.path)?;
        for name in &names {
            let stem = stem_in(name);
            count += usize::from(stem != before);
            before = stem;
            if count > KEPT {
                let _ = fs::remove_file(self.path.join(name)); // who shares the directory may have done it
            }
        }
        Ok(())
    }

    fn complain(&mut self, error: &io::Error) {
        let cause = error.raw_os_error();
        if !self.told.contains(&cause) {
            self.told.push(cause);
            let path = self.path.display();
            log::warn!("cannot keep crash reports in `{path}`: {error}; keeping them in memory only");
        }
    }
}

/// The names of the files there that are ours, the newest first.
fn own_names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)?.take(NAMES) {
        names.extend(entry?.file_name().into_string().ok().filter(|name| stem_in(name).is_some()));
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

// --- showing

/// What is to be shown.
struct Wanted<'a> {
    directory: Option<&'a Path>,
    is_json: bool,
    is_list: bool,
    /// 1 is the newest.
    number: usize,
}

/// `sexton inspect crash [--json] [--list] [-n NUMBER] [DIRECTORY]`: shows what is kept in a directory, in `default` where
/// the words name no other. Returns the exit code.
#[must_use]
pub fn show(default: Option<&Path>, words: &[OsString]) -> u8 {
    match shown(default, words) {
        Ok(text) => super::print_bytes(&text),
        Err((code, why)) => super::fail(&why, code),
    }
}

fn shown(default: Option<&Path>, words: &[OsString]) -> Result<Vec<u8>, (u8, String)> {
    let wanted = understand(words).map_err(|why| (BAD_USAGE, why))?;
    let Some(directory) = wanted.directory.or(default) else {
        let why = "cannot show a crash report: no directory is named; name it or set SEXTON_CRASH_DIR";
        return Err((BAD_USAGE, why.to_owned()));
    };
    find(directory, &wanted).map_err(|error| {
        (FAILED, format!("cannot show a crash report of `{}`: {error}", directory.display()))
    })
}

fn find(directory: &Path, wanted: &Wanted<'_>) -> io::Result<Vec<u8>> {
    let end = if wanted.is_json { ".json" } else { ".txt" };
    let mut names = own_names(directory)?;
    names.retain(|name| name.ends_with(end));
    if wanted.is_list {
        let mut text = String::new();
        for name in &names {
            let report = read(&directory.join(name))?;
            text.extend([&time_of(name), "  ", &headline(&String::from_utf8_lossy(&report)), "\n"]);
        }
        return Ok(text.into_bytes());
    }
    match names.get(wanted.number - 1) {
        Some(name) => read(&directory.join(name)),
        None => Err(io::Error::other(format!("there are {} reports", names.len()))),
    }
}

fn understand(words: &[OsString]) -> Result<Wanted<'_>, String> {
    let mut wanted = Wanted { directory: None, is_json: false, is_list: false, number: 1 };
    let (mut words, mut are_options) = (words.iter(), true);
    while let Some(word) = words.next() {
        match word.to_str().filter(|_| are_options) {
            Some("--") => are_options = false,
            Some("--json") => wanted.is_json = true,
            Some("--list") => wanted.is_list = true,
            Some("-n") => {
                let number = words.next().and_then(|word| word.to_str()?.parse().ok());
                wanted.number =
                    number.filter(|number| *number > 0).ok_or("`-n` takes a number; 1 is the newest")?;
            }
            Some(option) if option.starts_with('-') => {
                return Err(format!(
                    "`inspect crash` takes --json, --list and -n NUMBER; what is `{option}`?"
                ));
            }
            Some(_) | None if wanted.directory.is_some() => {
                return Err(format!("`inspect crash` takes one directory; what is `{}`?", word.display()));
            }
            Some(_) | None => wanted.directory = Some(Path::new(word)),
        }
    }
    if wanted.is_json && wanted.is_list {
        return Err("`--json` and `--list` exclude each other".to_owned());
    }
    Ok(wanted)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = super::open_regular_file(OpenOptions::new().read(true), path)?;
    file.take(MOST_READ).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these reports.
    fn directory(name: &str, stems: &[&str]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sexton-crash-dir-{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("made");
        for stem in stems {
            let text = format!("{stem}: exited with\n  code 3\n\nmore\n");
            fs::write(path.join(format!("{stem}.txt")), text).expect("written");
            fs::write(path.join(format!("{stem}.json")), format!("{{\"{stem}\":1}}\n")).expect("written");
        }
        path
    }

    const OLD: &str = "20260102T030405.678Z-web-41";
    const NEW: &str = "20260102T030405.679Z-db-7";

    #[test]
    fn the_newest_is_shown_or_another_or_all_in_a_list() {
        let path = directory("show", &[NEW, OLD]);
        fs::write(path.join("notes.txt"), "not ours").expect("written");
        fs::write(path.join(".20270102T030405.678Z-web-41.txt"), "unfinished").expect("written");
        let said = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            shown(Some(&path), &words).map(|text| String::from_utf8(text).expect("a text"))
        };
        let text = |stem: &str| Ok(format!("{stem}: exited with\n  code 3\n\nmore\n"));
        assert_eq!(said(&[]), text(NEW));
        assert_eq!(said(&["-n", "1"]), text(NEW));
        assert_eq!(said(&["-n", "2"]), text(OLD));
        assert_eq!(said(&["--json", "-n", "2"]), Ok(format!("{{\"{OLD}\":1}}\n")));
        assert_eq!(
            said(&["--list"]),
            Ok(format!(
                "2026-01-02T03:04:05.679Z  {NEW}: exited with code 3\n2026-01-02T03:04:05.678Z  {OLD}: exited with code 3\n"
            ))
        );
        let at = path.display();
        assert_eq!(said(&["-n3"]).map_err(|(code, _)| code), Err(BAD_USAGE));
        assert_eq!(
            said(&["-n", "3"]),
            Err((1, format!("cannot show a crash report of `{at}`: there are 2 reports")))
        );
        let other = directory("show-other", &[]);
        assert_eq!(
            said(&["--", other.to_str().expect("a text")]),
            Err((1, format!("cannot show a crash report of `{}`: there are 0 reports", other.display())))
        );
        for words in
            [&["-n"][..], &["-n", "0"], &["-n", "x"], &["--json", "--list"], &["a", "b"], &["--lsit"]]
        {
            assert_eq!(said(words).map_err(|(code, _)| code), Err(BAD_USAGE), "{words:?}");
        }
        assert_eq!(shown(None, &[]).map_err(|(code, _)| code), Err(BAD_USAGE));
        assert_eq!(said(&["/no/such"]).map_err(|(code, _)| code), Err(1));
        fs::remove_dir_all(path).expect("removed");
        fs::remove_dir_all(other).expect("removed");
    }

    #[test]
    fn room_is_made_by_removing_the_oldest_of_ours_alone() {
        let stems: Vec<String> = (10..25).map(|day| format!("202601{day}T030405.678Z-web-41")).collect();
        let path = directory("room", &stems.iter().map(String::as_str).collect::<Vec<_>>());
        for name in ["aaa.txt", "20250102T030405.678Z-web.json", "20250102T030405.678Z-web-1.log"] {
            fs::write(path.join(name), "not ours").expect("written");
        }
        let directory = CrashDir { path: path.clone(), told: Vec::new() };
        directory.make_room().expect("room");
        let left = own_names(&path).expect("names");
        assert_eq!(left.len(), 2 * (KEPT - 1), "{left:?}");
        assert_eq!(left.last(), Some(&format!("{}.json", stems[6])));
        assert_eq!(fs::read_dir(&path).expect("a directory").count(), left.len() + 3);
        fs::remove_dir_all(path).expect("removed");
    }

    #[test]
    fn what_stands_in_the_way_is_not_written_through() {
        let path = directory("way", &[]);
        let directory = CrashDir { path: path.clone(), told: Vec::new() };
        let victim = path.join("victim");
        fs::write(&victim, "stays").expect("written");
        std::os::unix::fs::symlink(&victim, path.join("a")).expect("a link");
        directory.write_one("a", "new").expect("written");
        assert_eq!(fs::read_to_string(path.join("a")).expect("a file"), "new");
        assert!(path.join("a").symlink_metadata().expect("a file").is_file());
        // Under the first name nothing may be there at all; what was is gone then, and the next time it works.
        std::os::unix::fs::symlink(&victim, path.join(".b")).expect("a link");
        directory.write_one("b", "new").expect_err("it exists");
        directory.write_one("b", "new").expect("written");
        assert_eq!(fs::read_to_string(&victim).expect("a file"), "stays");
        fs::remove_dir_all(path).expect("removed");
    }
}
