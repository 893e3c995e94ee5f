//! The file of the termination message. A kubelet makes it and mounts it: it is written in place, never made, never
//! renamed, and only where it is a regular file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::open_regular_file;
use crate::message::{Content, with_message, with_note};
use crate::plan::{Format, MessageFile};

/// More than ever counts. A program that wrote more gets no note of ours among its words, and its first are kept.
const MOST_READ: u64 = 64 * 1024;

/// The file, and what of its content is ours.
pub(super) struct Message {
    path: PathBuf,
    asked: bool,
    pub(super) format: Format,
    /// What we wrote last, a note or the message, as it stands in the file; empty for none.
    note: Vec<u8>,
    /// Where it begins and ends, for a file that may not be read.
    note_at: u64,
    note_end: u64,
    complained: bool,
}

impl Message {
    /// The file that was asked for, or the one that a kubelet made; None where there is neither.
    pub(super) fn find(file: &MessageFile) -> Option<Message> {
        // Later the directory is another.
        let path = super::absolute(&file.path);
        let mut message = Message {
            path: path.as_ref().unwrap_or(&file.path).clone(),
            asked: file.asked,
            format: file.format,
            note: Vec::new(),
            note_at: 0,
            note_end: 0,
            complained: false,
        };
        if message.asked {
            return match path.and_then(|_| message.open()) {
                Ok(_) => Some(message),
                Err(error) => {
                    message.complain(&error);
                    message.path.is_absolute().then_some(message)
                }
            };
        }
        message.path.exists().then_some(message)
    }

    /// Writes the message, in place of an earlier one.
    pub(super) fn finish(&mut self, text: &str) {
        self.write(text.as_bytes(), |file, last| Some(with_message(file, last, text.as_bytes())));
    }

    /// Writes a note in place of the last one; an empty one takes it away.
    pub(super) fn leave_note(&mut self, text: &str) {
        let fits = |file: &[u8]| file.len() < usize::try_from(MOST_READ).unwrap_or(usize::MAX);
        self.write(text.as_bytes(), |file, last| fits(file).then(|| with_note(file, last, text.as_bytes())));
    }

    /// Makes of the file what `merge` makes of its content; nothing where that is None.
    fn write(&mut self, ours: &[u8], merge: impl FnOnce(&[u8], &[u8]) -> Option<Content>) {
        if let Err(error) = self.try_write(ours, merge) {
            self.complain(&error);
        }
    }

    fn try_write(
        &mut self,
        ours: &[u8],
        merge: impl FnOnce(&[u8], &[u8]) -> Option<Content>,
    ) -> io::Result<()> {
        let (file, is_readable) = self.open()?;
        if !is_readable {
            return self.write_blindly(&file, ours);
        }
        let mut theirs = Vec::new();
        (&file).take(MOST_READ).read_to_end(&mut theirs)?;
        let Some(content) = merge(&theirs, &self.note) else { return Ok(()) };
        content.ours().clone_into(&mut self.note);
        if content.whole == theirs {
            return Ok(());
        }
        file.write_all_at(&content.whole, 0)?;
        file.set_len(bytes(content.whole.len()))
    }

    /// A file that may only be written: ours goes over our last note, and behind what anybody else has written.
    fn write_blindly(&mut self, file: &File, ours: &[u8]) -> io::Result<()> {
        let length = file.metadata()?.len();
        if length != self.note_end {
            self.note_at = length; // somebody has written since
        }
        file.write_all_at(ours, self.note_at)?;
        self.note_end = self.note_at.saturating_add(bytes(ours.len()));
        file.set_len(self.note_end)
    }

    /// Opens it for reading too, where we may.
    fn open(&self) -> io::Result<(File, bool)> {
        let open = |read| open_regular_file(OpenOptions::new().read(read).write(true), &self.path);
        match open(true) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok((open(false)?, false)),
            other => Ok((other?, true)),
        }
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

fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
