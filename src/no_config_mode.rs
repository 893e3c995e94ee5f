//! In place of config mode where the binary is built without it: every command line is exec mode's.

use std::net::SocketAddr;
use std::path::Path;

use crate::BAD_USAGE;
use crate::cli::{Options, UsageError};
use crate::exec_mode;
use crate::linux;
use crate::plan::{Plan, Setup, Surroundings};

/// What is read where neither a command nor a file is named, by a build that reads any.
pub const DEFAULT_FILE: &str = "/etc/sexton.toml";

/// What came of the command line.
pub type Understood = (Plan, Setup, Option<linux::Reread>);

/// Why there is no plan: the command line is wrong.
#[derive(Debug)]
pub struct Misunderstood(UsageError);

/// Makes the plan.
///
/// # Errors
/// Where the command line is wrong, or asks for config mode.
pub fn understand(options: Options, at: Surroundings) -> Result<Understood, Misunderstood> {
    if options.config.is_some() {
        return Err(Misunderstood(UsageError::NoConfigMode));
    }
    let (plan, setup) = exec_mode::plan(options, at).map_err(Misunderstood)?;
    Ok((plan, setup, None))
}

/// There is nothing to check.
///
/// # Errors
/// Always.
pub fn check(_: &Path, _: &Options, _: Surroundings) -> Result<String, Misunderstood> {
    Err(Misunderstood(UsageError::NoConfigMode))
}

/// There is nothing to print.
///
/// # Errors
/// Always.
pub fn kubernetes(_: &Path, _: &Options, _: Surroundings) -> Result<String, Misunderstood> {
    Err(Misunderstood(UsageError::NoConfigMode))
}

/// There is no schema.
#[must_use]
pub fn schema() -> String {
    String::new()
}

/// Where a running sexton answers questions about its health.
///
/// # Errors
/// Where the command line does not say it.
pub fn health_address(options: &Options, _: Surroundings) -> Result<SocketAddr, Misunderstood> {
    if options.config.is_some() {
        return Err(Misunderstood(UsageError::NoConfigMode));
    }
    options.health.ok_or(Misunderstood(UsageError::NoAddress))
}

impl Misunderstood {
    /// Says it, and returns the exit code that says so too.
    #[must_use]
    pub fn tell(&self) -> u8 {
        linux::fail(&self.0, BAD_USAGE)
    }
}
