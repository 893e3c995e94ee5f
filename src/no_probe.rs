//! In place of `sexton probe` where the binary is built without it.

use crate::BAD_USAGE;
use crate::cli::{Options, UsageError};
use crate::linux;

/// There is nothing to probe with.
pub(crate) fn run(_: Options) -> u8 {
    linux::fail(&UsageError::NoProbes, BAD_USAGE)
}
