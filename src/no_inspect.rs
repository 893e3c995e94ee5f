//! In place of `sexton inspect` where the binary is built without it.

use crate::BAD_USAGE;
use crate::cli::{Options, UsageError};
use crate::linux;

/// There is nothing to look with.
pub(crate) fn run(_: &Options) -> u8 {
    linux::fail(&UsageError::NoInspect, BAD_USAGE)
}
