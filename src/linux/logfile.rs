//! Files that programs' output goes to, rotated as Supervisor does it (its loggers.py, RotatingFileHandler).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::plan::Logfile;

/// Names of what already has a descriptor; opened like files, they would be written to from two places.
const STANDARD: [[&str; 3]; 2] =
    [["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"], ["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"]];

/// Which file, by its place among [`Files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(usize);

/// What a path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A file.
    File,
    /// Our own standard output.
    Stdout,
    /// Our own standard error.
    Stderr,
    /// Nothing: output is thrown away.
    Nothing,
}

/// Says what a path means.
pub(super) fn named(path: &Path) -> Named {
    let is_one_of = |names: &[&str]| names.iter().any(|name| path == Path::new(name));
    if path == Path::new("none") {
        Named::Nothing
    } else if is_one_of(&STANDARD[0]) {
        Named::Stdout
    } else if is_one_of(&STANDARD[1]) {
        Named::Stderr
    } else {
        Named::File
    }
}

/// The files that are open. Streams that name the same one share it.
#[derive(Default)]
pub(super) struct Files(Vec<Option<Shared>>);

/// A file and how many streams use it.
struct Shared {
    plan: Logfile,
    file: File,
    /// How long it is; None for what cannot be rotated: a FIFO or a device.
    size: Option<u64>,
    /// Something could not be written: none of its streams writes to it any more.
    is_broken: bool,
    users: usize,
}

impl Files {
    /// Opens a file for one more stream.
    pub(super) fn open(&mut self, plan: &Logfile) -> io::Result<FileId> {
        let same = |shared: &Shared| shared.plan.path == plan.path && !shared.is_broken;
        if let Some(at) = self.0.iter().position(|file| file.as_ref().is_some_and(same)) {
            if let Some(shared) = &mut self.0[at] {
                shared.users += 1;
            }
            return Ok(FileId(at));
        }
        let file = open_for_appending(&plan.path)?;
        let metadata = file.metadata()?;
        let size = metadata.is_file().then_some(metadata.len());
        let shared = Shared { plan: plan.clone(), file, size, is_broken: false, users: 1 };
        let at = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        if at == self.0.len() {
            self.0.push(None);
        }
        self.0[at] = Some(shared);
        Ok(FileId(at))
    }

    /// One stream less; the last one closes the file.
    pub(super) fn close(&mut self, id: FileId) {
        let Some(slot) = self.0.get_mut(id.0) else { return };
        if let Some(shared) = slot {
            shared.users = shared.users.saturating_sub(1);
        }
        if slot.as_ref().is_some_and(|shared| shared.users == 0) {
            *slot = None;
        }
    }

    /// Writes to a file and rotates it where it has become long enough. Returns what could not be written, and then its
    /// stream is to close it.
    pub(super) fn write<'a>(&mut self, id: FileId, bytes: &'a [u8]) -> &'a [u8] {
        let Some(Some(shared)) = self.0.get_mut(id.0) else { return bytes };
        if shared.is_broken {
            return bytes;
        }
        let rest = shared.write(bytes);
        if rest.is_empty() && shared.plan.maxbytes > 0 && shared.size >= Some(shared.plan.maxbytes) {
            shared.rotate();
        }
        rest
    }
}

impl Shared {
    fn write<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        while !rest.is_empty() {
            let problem = match self.file.write(rest) {
                Ok(written) if written > 0 => {
                    rest = &rest[written..];
                    continue;
                }
                Ok(_) => io::Error::from(ErrorKind::WriteZero),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => error, // EAGAIN too: the reader of a FIFO does not keep up
            };
            self.is_broken = true;
            let path = self.plan.path.display();
            log::warn!("cannot write to `{path}`: {problem}; its lines go to the container's output");
            break;
        }
        // Lengths of buffers fit into 64 bits.
        let written = u64::try_from(bytes.len() - rest.len()).unwrap_or(u64::MAX);
        self.size = self.size.map(|size| size.saturating_add(written));
        rest
    }

    /// `PATH` becomes `PATH.1`, that one `PATH.2`, and so on, and the last is forgotten; with no old files to keep, the
    /// file begins anew. Where that is refused, nothing is cut off: it is asked for again after as many bytes more.
    fn rotate(&mut self) {
        self.size = self.size.map(|_| 0);
        if let Err(error) = self.try_to_rotate() {
            log::warn!("cannot rotate `{}`: {error}; going on in it", self.plan.path.display());
        }
    }

    fn try_to_rotate(&mut self) -> io::Result<()> {
        let path = &self.plan.path;
        if self.plan.backups == 0 {
            return self.file.set_len(0);
        }
        // Up to the first gap: what lies beyond it need not move.
        let is_free = |number: &u32| !numbered(path, *number).exists();
        let free = (1..self.plan.backups).find(is_free).unwrap_or(self.plan.backups);
        for number in (1..free).rev() {
            rename(&numbered(path, number), &numbered(path, number + 1))?;
        }
        rename(path, &numbered(path, 1))?;
        self.file = open_for_appending(path)?;
        Ok(())
    }
}

/// `PATH.NUMBER`
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Renames a file where there is one.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Opens a file to write at its end. It may turn out to be a FIFO or a terminal, and is not to block us then.
fn open_for_appending(path: &Path) -> io::Result<File> {
    // Closed on exec, as std does it.
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
        .open(path)
}

#[cfg(test)]
impl Files {
    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.0.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(path: &Path, maxbytes: u64, backups: u32) -> Logfile {
        Logfile { path: path.to_owned(), maxbytes, backups }
    }

    fn read(path: &Path) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    /// A directory of its own for a test.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let path = std::env::temp_dir().join(format!("sexton-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a directory");
            Directory(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0); // or it stays behind
        }
    }

    #[test]
    fn a_full_file_moves_on_and_the_oldest_goes() {
        let directory = Directory::new("rotate");
        let path = directory.0.join("log");
        let mut files = Files::default();
        let id = files.open(&plan(&path, 4, 2)).expect("opened");
        for line in ["aaa\n", "bbb\n", "cc\n", "c\n", "ddd\n", "e\n"] {
            assert_eq!(files.write(id, line.as_bytes()), b"");
        }
        let old = |number| read(&numbered(&path, number));
        assert_eq!(read(&path).as_deref(), Some("e\n"));
        assert_eq!([old(1), old(2), old(3)], [Some("ddd\n".into()), Some("cc\nc\n".into()), None]);
    }

    #[test]
    fn without_old_files_it_begins_anew_and_without_a_limit_it_grows() {
        let directory = Directory::new("truncate");
        let (short, long) = (directory.0.join("short"), directory.0.join("long"));
        let mut files = Files::default();
        let (first, second) = (files.open(&plan(&short, 4, 0)), files.open(&plan(&long, 0, 3)));
        let (first, second) = (first.expect("opened"), second.expect("opened"));
        for _ in 0..3 {
            files.write(first, b"abc\n");
            files.write(second, b"abc\n");
        }
        files.write(first, b"z\n");
        assert_eq!(read(&short).as_deref(), Some("z\n"));
        assert_eq!(read(&long).as_deref(), Some("abc\nabc\nabc\n"));
        assert!(!numbered(&short, 1).exists() && !numbered(&long, 1).exists());
    }

    #[test]
    fn what_is_there_counts_and_is_kept() {
        let directory = Directory::new("append");
        let path = directory.0.join("log");
        fs::write(&path, "old\n").expect("a file");
        let mut files = Files::default();
        let id = files.open(&plan(&path, 6, 1)).expect("opened");
        files.write(id, b"new\n");
        files.write(id, b"x\n");
        assert_eq!(read(&numbered(&path, 1)).as_deref(), Some("old\nnew\n"));
        assert_eq!(read(&path).as_deref(), Some("x\n"));
    }

    #[test]
    fn streams_that_name_the_same_file_share_it() {
        let directory = Directory::new("share");
        let path = directory.0.join("log");
        let mut files = Files::default();
        let (first, second) = (files.open(&plan(&path, 4, 1)), files.open(&plan(&path, 4, 1)));
        let (first, second) = (first.expect("opened"), second.expect("opened"));
        assert_eq!(first, second);
        files.write(first, b"a\n");
        files.write(second, b"b\n");
        files.close(first);
        files.write(second, b"c\n");
        assert_eq!(read(&numbered(&path, 1)).as_deref(), Some("a\nb\n"));
        assert_eq!(read(&path).as_deref(), Some("c\n"));
        files.close(second);
        assert_eq!(files.count(), 0);
    }

    #[test]
    fn what_cannot_be_written_comes_back() {
        let mut files = Files::default();
        let id = files.open(&plan(Path::new("/dev/full"), 4, 1)).expect("opened");
        assert_eq!(files.write(id, b"abc\n"), b"abc\n");
        assert_eq!(files.write(id, b"def\n"), b"def\n");
        assert!(files.open(&plan(Path::new("/no/such/directory/log"), 4, 1)).is_err());
    }

    #[test]
    fn what_cannot_be_rotated_goes_on() {
        let directory = Directory::new("stuck");
        let path = directory.0.join("log");
        fs::create_dir_all(numbered(&path, 1).join("in the way")).expect("a directory");
        let mut files = Files::default();
        let id = files.open(&plan(&path, 4, 1)).expect("opened");
        for _ in 0..3 {
            assert_eq!(files.write(id, b"abc\n"), b"");
        }
        assert_eq!(read(&path).as_deref(), Some("abc\nabc\nabc\n"));
    }
}
