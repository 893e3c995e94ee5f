//! The file of the termination message. A kubelet makes it and mounts it: it is written in place, never made, never
//! renamed, and only where it is a regular file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use crate::message::{THEIRS, merge};
use crate::plan::{Format, MessageFile};

/// More than ever counts: what a program wrote beyond it is not read.
const MOST_READ: u64 = 64 * 1024;

/// The file, and what of its content is ours.
pub(super) struct Message {
    path: PathBuf,
    asked: bool,
    pub(super) format: Format,
    /// The note as we wrote it last; empty for none.
    note: Vec<u8>,
    complained: bool,
}

impl Message {
    /// The file that was asked for, or the one that a kubelet made; None where there is neither.
    pub(super) fn find(file: MessageFile) -> Option<Message> {
        let mut message = Message {
            path: std::path::absolute(&file.path).unwrap_or(file.path),
            asked: file.asked,
            format: file.format,
            note: Vec::new(),
            complained: false,
        };
        if message.asked {
            if let Err(error) = message.open() {
                message.complain(&error);
            }
            return Some(message);
        }
        message.path.exists().then_some(message)
    }

    /// Writes the message: the last thing that happens to the file.
    pub(super) fn finish(&mut self, text: &str) {
        self.write(text.as_bytes());
        self.note.clear();
    }

    /// Writes a note in place of the last one; an empty one takes it away.
    pub(super) fn leave_note(&mut self, text: &str) {
        self.write(text.as_bytes());
        self.note = text.as_bytes().to_vec();
    }

    fn write(&mut self, ours: &[u8]) {
        if let Err(error) = self.try_write(ours) {
            self.complain(&error);
        }
    }

    fn try_write(&self, ours: &[u8]) -> io::Result<()> {
        let (file, is_readable) = self.open()?;
        let mut theirs = Vec::new();
        if is_readable {
            (&file).take(MOST_READ).read_to_end(&mut theirs)?;
        }
        let whole = merge(&theirs, &self.note, ours);
        if whole == theirs {
            return Ok(());
        }
        debug_assert!(ours.is_empty() || whole.len() <= THEIRS + ours.len());
        file.write_all_at(&whole, 0)?;
        file.set_len(u64::try_from(whole.len()).unwrap_or(u64::MAX))
    }

    /// Opens it for reading too, where we may.
    fn open(&self) -> io::Result<(File, bool)> {
        let open = |read| {
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY; // a FIFO or a terminal is not to block us
            OpenOptions::new().read(read).write(true).custom_flags(flags).open(&self.path)
        };
        let (file, is_readable) = match open(true) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => (open(false)?, false),
            other => (other?, true),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok((file, is_readable))
    }

    /// Once: a message that cannot be written is a pity, and no more.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            log::warn!(
                "cannot write the termination message to `{}`: {error}; going on without",
                self.path.display()
            );
        }
    }
}
