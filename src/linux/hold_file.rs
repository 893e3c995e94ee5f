//! The hold file, and being told when it changes.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::open_regular_file;
use crate::event::Switch;

/// More than any word that means something.
const MOST_READ: u64 = 64;

/// The file and what it said last.
pub(super) struct HoldFile {
    path: PathBuf,
    /// What it said last; stays where it cannot be read or makes no sense, as in the middle of being written.
    last: Switch,
    complained: bool,
}

impl HoldFile {
    pub(super) fn new(path: &Path) -> HoldFile {
        HoldFile {
            path: super::absolute(path).unwrap_or_else(|_| path.to_owned()),
            last: Switch::Silent,
            complained: false,
        }
    }

    /// The directory to watch: a kubelet swaps a link in it (`..data`), the file itself never changes.
    pub(super) fn directory(&self) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("/")).to_owned()
    }

    /// What it says now.
    pub(super) fn read(&mut self) -> Switch {
        self.last = match self.try_read() {
            Ok(text) => match text.trim().trim_matches('"').to_ascii_lowercase().as_str() {
                "true" => Switch::On,
                "false" => Switch::Off,
                "" => Switch::Silent,
                other => {
                    self.complain(&format!("expected `true` or `false`, got `{}`", other.escape_default()))
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Switch::Silent,
            Err(error) => self.complain(&error.to_string()),
        };
        self.last
    }

    fn try_read(&self) -> io::Result<String> {
        let file = open_regular_file(OpenOptions::new().read(true), &self.path)?;
        let mut bytes = Vec::new();
        (&file).take(MOST_READ).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Once: what is not understood changes nothing.
    fn complain(&mut self, why: &str) -> Switch {
        if !std::mem::replace(&mut self.complained, true) {
            log::warn!(
                "cannot read the hold file `{}`: {why}; going on with what it said last",
                self.path.display()
            );
        }
        self.last
    }
}
