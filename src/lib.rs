//! sexton: a container's first process.

pub mod signal;
pub mod suggest;
pub mod time;
