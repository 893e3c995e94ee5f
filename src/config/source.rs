//! Files that the configuration is made of, read as a whole.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The most that is read of any file.
pub const MAX_FILE: usize = 1 << 20;

/// The content of a regular file, `limit` bytes of it and one more at most. Nothing else is read: a FIFO or a device may
/// never end, or never begin.
///
/// # Errors
/// Where it cannot be opened or read, or is no regular file.
pub fn read_file(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    // open(2): with O_NONBLOCK a FIFO opens at once.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    (&file).take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The system says so.
    Refused(io::ErrorKind, String),
    /// It has more than [`MAX_FILE`] bytes.
    TooLong,
    /// It is no text; from this line and column on.
    NotText(Place),
    /// It has a NUL, which no variable can have.
    Nul,
}

/// A line and a column of a text, each from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character within it.
    pub column: usize,
}

impl Place {
    /// Where a text begins.
    pub const START: Place = Place { line: 1, column: 1 };

    /// The place right after `text`, where `text` began here.
    #[must_use]
    pub fn after(mut self, text: &str) -> Place {
        for c in text.chars() {
            if c == '\n' {
                self = Place { line: self.line + 1, column: 1 };
            } else {
                self.column += 1;
            }
        }
        self
    }
}

/// A whole text file. A byte order mark at its beginning is not part of the text.
pub(super) fn text(answer: io::Result<Vec<u8>>) -> Result<String, Unreadable> {
    let bytes = answer.map_err(|error| Unreadable::Refused(error.kind(), error.to_string()))?;
    if bytes.len() > MAX_FILE {
        return Err(Unreadable::TooLong);
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        Unreadable::NotText(Place::START.after(&String::from_utf8_lossy(valid)))
    })?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}
