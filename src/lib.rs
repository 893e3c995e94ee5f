//! sexton: a container's first process.
//!
//! Data flows one way. [`cli`] is what people wrote, [`plan`] what we understood ([`exec_mode`] makes the one from the other), [`supervisor`] decides, [`kernel`] is
//! all that we can do, `linux` does it, [`runtime`] is the loop. [`run`] reads as the whole story.
//!
//! There are two error regimes: before the first child an error is fatal and clear; after it nothing is.

// What only config mode uses is left out by the linker.
#![cfg_attr(not(feature = "config"), allow(dead_code))]

#[cfg(feature = "health")]
pub mod calls;
pub mod cli;
#[cfg_attr(not(feature = "config"), path = "no_client.rs")]
mod client;
pub mod command;
#[cfg(feature = "config")]
pub mod config;
#[cfg_attr(not(feature = "config"), path = "no_config_mode.rs")]
pub mod config_mode;
pub mod connections;
#[cfg(feature = "config")]
pub mod control;
#[cfg(feature = "config")]
pub mod crash;
pub mod effect;
pub mod event;
pub mod exec_mode;
pub mod framing;
#[cfg(feature = "health")]
pub mod health;
pub mod hold;
#[cfg_attr(not(feature = "config"), path = "no_inspect.rs")]
pub mod inspect;
pub mod json;
pub mod kernel;
pub mod linux;
pub mod message;
pub mod notice;
pub mod outcome;
pub mod plan;
#[cfg_attr(not(feature = "health"), path = "no_probe.rs")]
mod probe;
#[cfg(feature = "health")]
pub mod resolve;
pub mod runtime;
pub mod signal;
pub mod snapshot;
pub mod sorted;
pub mod suggest;
pub mod supervisor;
pub mod table;
pub mod text;
pub mod time;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use log::LevelFilter;

use cli::{Options, Request};
use config_mode::Misunderstood;
use kernel::Kernel;
use linux::Linux;
use plan::Surroundings;
use supervisor::Supervisor;

/// Bad usage or configuration; daemontools' "you called me wrong".
const BAD_USAGE: u8 = 100;
/// The system refused something that sexton cannot live without; daemontools' "temporary failure".
const SYSTEM_FAILED: u8 = 111;

/// Runs sexton with the arguments that follow its own name and returns its exit code.
///
/// `blocked` is the proof that every signal has been blocked since the very first moment.
#[must_use]
pub fn run(args: Vec<OsString>, blocked: linux::sys::Blocked) -> u8 {
    let options = match cli::parse(args, linux::sys::variables(cli::PREFIX)) {
        // A container's first process starts what it is told to start, whatever it is called.
        Ok(Request::Probe(options)) if !linux::surroundings().is_pid_1 => return probe::run(*options),
        Ok(Request::Inspect(options)) if !linux::surroundings().is_pid_1 => return inspect::run(&options),
        Ok(Request::Ask(options, _)) if !linux::surroundings().is_pid_1 => return client::run(*options),
        Ok(
            Request::Run(options)
            | Request::Probe(options)
            | Request::Inspect(options)
            | Request::Ask(options, None),
        ) => *options,
        Ok(Request::Check(options, file)) => return told(config_mode::check, &options, file),
        Ok(Request::Kubernetes(options, file)) => return told(config_mode::kubernetes, &options, file),
        Ok(Request::Schema) => return linux::print(&config_mode::schema()),
        Ok(Request::Print(text)) => return linux::print(&text),
        Ok(Request::Ask(_, Some(error))) | Err(error) => return linux::fail(&error, BAD_USAGE),
    };
    linux::log_to_stderr(options.level(LevelFilter::Warn));
    let ground = match linux::look_around() {
        Ok(ground) => ground,
        Err(error) => return linux::fail(&error, SYSTEM_FAILED),
    };
    let (plan, setup, reread) = match config_mode::understand(options, ground.surroundings) {
        Ok(understood) => understood,
        Err(misunderstood) => return misunderstood.tell(),
    };
    let mut kernel = match Linux::new(setup, reread, blocked, ground) {
        Ok(kernel) => kernel,
        Err(error) => return linux::fail(&error, SYSTEM_FAILED),
    };
    let mut supervisor = Supervisor::new(plan);
    let code = runtime::run(&mut supervisor, &mut kernel);
    kernel.last_words(supervisor.end_of_last_words(kernel.now()));
    code
}

/// What `sexton check` can make of a file.
type Check = fn(&Path, &Options, Surroundings) -> Result<String, Misunderstood>;

/// `sexton check`: prints what it makes of the file, or all that is wrong with it.
fn told(check: Check, options: &Options, file: Option<PathBuf>) -> u8 {
    let file = file.unwrap_or_else(|| PathBuf::from(config_mode::DEFAULT_FILE));
    match check(&file, options, linux::surroundings()) {
        Ok(text) => linux::print(&text),
        Err(misunderstood) => misunderstood.tell(),
    }
}
