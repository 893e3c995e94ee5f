//! sexton: a container's first process.

pub mod cli;
pub mod effect;
pub mod event;
pub mod hold;
pub mod kernel;
pub mod message;
pub mod notice;
pub mod outcome;
pub mod plan;
pub mod runtime;
pub mod signal;
pub mod suggest;
pub mod supervisor;
pub mod time;
