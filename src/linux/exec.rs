//! How a command is found and executed, as execvp(3) does it, and what to say where it cannot be.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::sys::{self, Launch, LaunchError, Launched, Step};
use super::user::User;
use crate::outcome::Refusal;
use crate::plan::{Listen, Supervised};
use crate::text::join;

/// Where a command is looked for when there is no PATH: what Docker puts into an image without one.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What runs a text file without `#!` (execvp(3)).
const SHELL: &str = "/bin/sh";
/// How much of a file is looked at to see what it is (execve(2) reads as much).
const BEGINNING: u64 = 256;

const NOT_FOUND: u8 = 127;
pub(super) const CANNOT_RUN: u8 = 126;
pub(super) const NO_PROCESS: u8 = 111;

/// What is to be executed.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The words.
    pub(super) argv: &'a [OsString],
    /// Whom it runs as, as it was written.
    pub(super) user: Option<&'a str>,
    /// What its process gets in place of what we were given.
    pub(super) own: Option<&'a Supervised>,
    /// The value of NOTIFY_SOCKET.
    pub(super) notify_socket: Option<&'a str>,
    /// The sockets that it is handed.
    pub(super) sockets: &'a [Listen],
}

/// Executes a command with what else is in `launch`; its paths, words and environment are filled in here.
pub(super) fn execute(
    command: &Wanted<'_>,
    user: Option<&User>,
    launch: &Launch<'_>,
) -> Result<Launched, Refusal> {
    let program = command.argv.first().map_or(OsStr::new(""), OsString::as_os_str);
    let mut argv = Vec::with_capacity(command.argv.len());
    for word in command.argv {
        // The kernel passed us these words, each up to its NUL.
        argv.push(
            CString::new(word.as_bytes())
                .map_err(|_| refusal(CANNOT_RUN, program, "an argument holds a NUL"))?,
        );
    }
    let own = command.own;
    let listen_pid = if own.is_none() { is_our_listen_pid() } else { !command.sockets.is_empty() };
    let environment =
        (own.is_some() || user.is_some() || listen_pid).then(|| environment(user, listen_pid, command));
    let path = environment.as_deref().and_then(path_in);
    let paths = candidates(program, path);
    let is_search = !program.as_bytes().contains(&b'/');
    let launch = Launch {
        paths: &paths,
        is_search,
        argv: &argv,
        environment: environment.as_deref(),
        listen_pid,
        ..*launch
    };
    match sys::launch(&launch) {
        Ok(launched) => Ok(launched),
        Err(error) if error.step == Step::Execute && error.errno == libc::ENOEXEC => {
            let path = &paths[error.path];
            if is_binary(path) {
                return Err(refusal(
                    CANNOT_RUN,
                    program,
                    "it is built for another machine, or damaged (ENOEXEC)",
                ));
            }
            let shell = [c_string(SHELL)];
            let argv: Vec<_> =
                [&c_string(SHELL), path].into_iter().chain(argv.iter().skip(1)).cloned().collect();
            let with_shell = Launch { paths: &shell, is_search: false, argv: &argv, ..launch };
            sys::launch(&with_shell).map_err(|error| match error.step {
                Step::Execute => {
                    refusal(CANNOT_RUN, program, "it has no `#!` line, and there is no /bin/sh to run it")
                }
                Step::Fork
                | Step::Stdio
                | Step::Limit
                | Step::Nice
                | Step::OomScore
                | Step::SetGroups
                | Step::SetGid
                | Step::SetUid
                | Step::Capabilities
                | Step::NoNewPrivs
                | Step::Directory
                | Step::ParentDeath => explain(program, command, &shell, &error),
            })
        }
        Err(error) => Err(explain(program, command, &paths, &error)),
    }
}

fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default() // our own texts hold no NUL
}

fn refusal(code: u8, program: &OsStr, cause: &str) -> Refusal {
    Refusal { code, reason: format!("cannot execute `{}`: {cause}", program.display()) }
}

/// Where to look: the path itself if it has a slash, else each place in PATH.
fn candidates(program: &OsStr, path: Option<&[u8]>) -> Vec<CString> {
    let bytes = program.as_bytes();
    if bytes.is_empty() || bytes.contains(&b'/') {
        return CString::new(bytes).into_iter().collect();
    }
    let path = path.map_or_else(search_path, |path| OsStr::from_bytes(path).to_owned());
    path.as_bytes()
        .split(|byte| *byte == b':')
        .filter_map(|place| {
            let place = if place.is_empty() { b"." } else { place };
            CString::new([place, b"/", bytes].concat()).ok()
        })
        .collect()
}

fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| OsString::from(DEFAULT_PATH))
}

/// The PATH that the program itself will have.
fn path_in(environment: &[CString]) -> Option<&[u8]> {
    environment.iter().find_map(|variable| variable.as_bytes().strip_prefix(b"PATH="))
}

/// LISTEN_PID names us: the descriptors of a socket activation were meant for the program (sd_listen_fds(3)).
fn is_our_listen_pid() -> bool {
    std::env::var("LISTEN_PID").is_ok_and(|pid| pid.parse() == Ok(std::process::id()))
}

/// Our environment, made right for the child.
pub(super) fn environment(
    user: Option<&User>,
    without_listen_pid: bool,
    command: &Wanted<'_>,
) -> Vec<CString> {
    let own = command.own;
    let mut variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let mut remove = |names: &[&str]| variables.retain(|(name, _)| !names.iter().any(|n| name == n));
    if without_listen_pid {
        remove(&["LISTEN_PID"]);
    }
    if own.is_some() {
        // They speak of descriptors and of a socket that are sexton's.
        remove(&["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"]);
    }
    if let Some(user) = user {
        remove(&["HOME", "USER", "LOGNAME"]);
        variables.push(("HOME".into(), user.home.clone().into()));
        for name in ["USER", "LOGNAME"].into_iter().filter(|_| user.name.is_some()) {
            variables.push((name.into(), user.name.clone().unwrap_or_default().into()));
        }
    }
    for (name, value) in own.iter().flat_map(|own| &own.environment) {
        variables.retain(|(other, _)| other != name);
        variables.push((name.clone(), value.clone()));
    }
    variables.extend(command.notify_socket.map(|name| ("NOTIFY_SOCKET".into(), name.into())));
    if !command.sockets.is_empty() {
        // sd_listen_fds(3)
        let names: Vec<&str> = command.sockets.iter().map(|socket| socket.name.as_str()).collect();
        variables.push(("LISTEN_FDS".into(), names.len().to_string().into()));
        variables.push(("LISTEN_FDNAMES".into(), join(&names, ":").into()));
    }
    variables
        .into_iter()
        .filter_map(|(name, value)| {
            CString::new([name.into_vec(), b"=".to_vec(), value.into_vec()].concat()).ok()
        })
        .collect()
}

/// Has a NUL in its first bytes: no text, so nothing for a shell.
fn is_binary(path: &CString) -> bool {
    beginning(path).is_ok_and(|bytes| bytes.contains(&0) || bytes.starts_with(b"\x7fELF"))
}

fn beginning(path: &CString) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = super::open_regular_file(OpenOptions::new().read(true), as_path(path))?;
    (&file).take(BEGINNING).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn as_path(path: &CString) -> &Path {
    Path::new(OsStr::from_bytes(path.as_bytes()))
}

/// Says why, and what it is that the reader probably has to mend.
fn explain(program: &OsStr, command: &Wanted<'_>, paths: &[CString], error: &LaunchError) -> Refusal {
    let system = io::Error::from_raw_os_error(error.errno);
    let user = command.user.unwrap_or_default();
    let cannot_set = |what: &str, system: &io::Error| Refusal {
        code: CANNOT_RUN,
        reason: format!("cannot set the {what} of `{}`: {system}", program.display()),
    };
    match error.step {
        Step::Fork => Refusal {
            code: NO_PROCESS,
            reason: format!("cannot make a process for `{}`: {system}", program.display()),
        },
        Step::SetGroups | Step::SetGid | Step::SetUid => Refusal {
            code: CANNOT_RUN,
            reason: format!("cannot run as `{user}`: {system}; this takes CAP_SETUID and CAP_SETGID"),
        },
        Step::Directory => {
            let directory = command.own.and_then(|own| own.directory.as_ref());
            let directory = directory.map_or(Path::new(""), PathBuf::as_path).display();
            Refusal {
                code: CANNOT_RUN,
                reason: format!("cannot change to the directory `{directory}`: {system}"),
            }
        }
        Step::Stdio => cannot_set("descriptors", &system),
        Step::Limit => cannot_set("rlimits", &system),
        Step::Nice => cannot_set("nice value", &system),
        Step::OomScore => cannot_set("oom_score_adj", &system),
        Step::Capabilities => cannot_set("capabilities", &system),
        Step::NoNewPrivs => cannot_set("no_new_privs", &system),
        Step::ParentDeath => cannot_set("parent-death signal", &system),
        Step::Execute => match error.errno {
            libc::ENOENT => refusal(NOT_FOUND, program, &missing(program, paths, command)),
            libc::EACCES => refusal(
                CANNOT_RUN,
                program,
                &paths.get(error.path).map_or_else(|| system.to_string(), forbidden),
            ),
            _ => refusal(CANNOT_RUN, program, &system.to_string()),
        },
    }
}

/// What ENOENT means: no file, or no interpreter for it.
fn missing(program: &OsStr, paths: &[CString], command: &Wanted<'_>) -> String {
    let Some(path) = paths.iter().find(|path| as_path(path).is_file()) else {
        let own = command.own.and_then(|own| {
            own.environment.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone())
        });
        let path = own.unwrap_or_else(search_path);
        return if program.as_bytes().contains(&b'/') || program.is_empty() {
            "no such file".to_owned()
        } else {
            format!("not found in PATH ({})", path.display())
        };
    };
    let beginning = beginning(path).unwrap_or_default();
    match beginning.strip_prefix(b"#!") {
        Some(line) => {
            let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let interpreter = String::from_utf8_lossy(line);
            let first =
                interpreter.trim_start_matches([' ', '\t']).split([' ', '\t']).next().unwrap_or_default();
            let hint = if first.ends_with('\r') { "; the file has Windows line ends" } else { "" };
            format!("its interpreter `{}` does not exist{hint}", first.trim_end_matches('\r'))
        }
        None => {
            "the file is there, but not the dynamic loader it names: it is built for another libc".to_owned()
        }
    }
}

/// What EACCES means.
fn forbidden(path: &CString) -> String {
    match fs::metadata(as_path(path)) {
        Ok(metadata) if metadata.is_dir() => "it is a directory".to_owned(),
        Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 == 0 => {
            "it is not executable; `chmod +x` makes it so".to_owned()
        }
        Ok(_) | Err(_) => {
            "permission denied: to the file, a directory above it, its interpreter, or by a noexec mount"
                .to_owned()
        }
    }
}
