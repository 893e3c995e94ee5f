//! In place of the subcommands that ask a running sexton where the binary is built without them.

use crate::BAD_USAGE;
use crate::cli::{Options, UsageError};
use crate::linux;

/// There is nobody to ask.
pub(crate) fn run(_: Options) -> u8 {
    linux::fail(&UsageError::NoControl, BAD_USAGE)
}
