//! The subcommands that ask a running sexton over its control socket, and print what it says.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::BAD_USAGE;
use crate::cli::{self, Options, Subcommand, UsageError};
use crate::exec_mode::CONTROL_SOCKET;
use crate::health::put;
use crate::linux;

/// What `status` ends with where sexton cannot be reached; supervisorctl's number. The others end with 1.
const UNREACHED: u8 = 4;
/// How reports of crashes are asked for.
const CRASH_USAGE: &str = "sexton inspect crash [--json] [--list] [-n NUMBER] [DIRECTORY]";

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    /// The request, whole.
    bytes: Vec<u8>,
    /// Where `--socket` behind the subcommand says that sexton is.
    socket: Option<OsString>,
    /// Again and again.
    is_watched: bool,
    /// The answer has no end.
    is_followed: bool,
    /// What to do where there is no socket: end the hold by a signal, and start again what failed.
    release: Option<bool>,
    /// The exit code where sexton cannot be reached.
    unreached: u8,
}

/// Asks, prints, and returns the exit code.
pub(crate) fn run(mut options: Options) -> u8 {
    let words = std::mem::take(&mut options.command);
    let Some(own) = words.first().and_then(|name| name.to_str()).and_then(cli::find_subcommand) else {
        return linux::fail(&UsageError::NoCommand, BAD_USAGE);
    };
    let question = match understand(own, words.into_iter().skip(1).collect()) {
        Ok(Some(question)) => question,
        Ok(None) => return linux::print(&own.help()),
        Err(error) => return linux::fail(&error, BAD_USAGE),
    };
    let path = question.socket.as_ref().map(PathBuf::from).or(options.socket);
    let path = path.unwrap_or_else(|| PathBuf::from(CONTROL_SOCKET));
    let (watches_terminal, mut is_first) = (question.is_watched && linux::is_terminal(), true);
    loop {
        let answer = match linux::ask(&path, &question.bytes, question.is_followed) {
            Ok(answer) => answer,
            Err(cause) => {
                if let Some(restart) = question.release {
                    return released(restart, &cause);
                }
                let error = format!(
                    "cannot reach sexton at {}: {cause}; is it running with a control socket? `--socket PATH` or SEXTON_SOCKET says where",
                    path.display()
                );
                return linux::fail(&error, question.unreached);
            }
        };
        if !question.is_watched || answer.is_error {
            return linux::show(&answer.body, answer.is_error).unwrap_or(answer.code);
        }
        let mut screen = Vec::new();
        if watches_terminal {
            // Home, each line with what is left of the one before it cleared, and what is left of the screen: no flicker.
            screen.extend_from_slice(if is_first { b"\x1b[2J\x1b[H" } else { b"\x1b[H" });
            for line in answer.body.split_inclusive(|byte| *byte == b'\n') {
                screen.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
                screen.extend_from_slice(b"\x1b[K\n");
            }
            screen.extend_from_slice(b"\x1b[J");
        } else {
            screen.extend_from_slice(if is_first { b"" } else { b"\n" });
            screen.extend_from_slice(&answer.body);
        }
        if let Some(code) = linux::show(&screen, false) {
            return code;
        }
        is_first = false;
        linux::pause();
    }
}

/// Prints what a running sexton keeps of crashes; the words are `[--json] [--list] [-n NUMBER]`.
pub(crate) fn crashes(socket: Option<PathBuf>, words: &[OsString]) -> u8 {
    let (mut parameters, mut format) = (Vec::new(), "text");
    let mut words = words.iter().map(OsString::as_os_str);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--json") => format = "json",
            Some("--list") => parameters.push(("list", OsStr::new("true"))),
            Some("-n") => parameters.push(("number", words.next().unwrap_or_default())),
            Some(_) | None => {
                let written = word.to_string_lossy().into_owned();
                let error = UsageError::Surplus { written, usage: CRASH_USAGE.to_owned() };
                return linux::fail(&error, BAD_USAGE);
            }
        }
    }
    let path = socket.unwrap_or_else(|| PathBuf::from(CONTROL_SOCKET));
    let request = match request("GET", "crashes", format, &parameters) {
        Ok(request) => request,
        Err(error) => return linux::fail(&error, BAD_USAGE),
    };
    match linux::ask(&path, &request, false) {
        Ok(answer) => linux::show(&answer.body, answer.is_error).unwrap_or(answer.code),
        Err(cause) => {
            let why = format!(
                "cannot show a crash report: no directory is named, and sexton cannot be reached at {}: {cause}",
                path.display()
            );
            linux::fail(&why, 1)
        }
    }
}

/// There is no socket: whoever holds is told by a signal.
fn released(restart: bool, cause: &str) -> u8 {
    match linux::release_without_socket(restart) {
        Ok(()) => 0,
        Err(why) => linux::fail(&format!("cannot release: no control socket ({cause}), and {why}"), 1),
    }
}

/// The question that the words ask; None where they ask how they are written.
fn understand(own: &'static Subcommand, words: Vec<OsString>) -> Result<Option<Question>, UsageError> {
    let words = cli::words_behind(own.flags, words)?;
    if words.wants_help {
        return Ok(None);
    }
    let mut rest = words.rest.iter().map(OsString::as_os_str);
    let missing = |value| UsageError::NoValue { option: format!("sexton {}", own.name), value };
    let is_question = ["status", "explain", "logs"].contains(&own.name);
    let takes_names = !["hold", "reload", "release"].contains(&own.name);
    let mut parameters = Vec::new();
    if own.name == "signal" {
        parameters.push(("signal", rest.next().ok_or_else(|| missing("SIGNAL"))?));
    } else if own.name == "hold" {
        let word = rest.next().ok_or_else(|| missing("on|off"))?;
        let on = match word.to_str() {
            Some("on") => "true",
            Some("off") => "false",
            Some(_) | None => return Err(cli::bad("sexton hold", word, "`on` or `off`")),
        };
        parameters.push(("on", OsStr::new(on)));
    }
    for name in ["lines", "dependents", "restart", "follow"] {
        if let Some(value) = words.value(name) {
            parameters.push((name, if name == "lines" { value } else { OsStr::new("true") }));
        }
    }
    let count = parameters.len();
    for name in rest {
        if !takes_names {
            let written = name.to_string_lossy().into_owned();
            return Err(UsageError::Surplus { written, usage: own.usage() });
        }
        parameters.push(("name", name));
    }
    if takes_names && !is_question && parameters.len() == count {
        return Err(missing("NAME"));
    }
    let (method, format) =
        (if is_question { "GET" } else { "POST" }, if words.has("json") { "json" } else { "text" });
    Ok(Some(Question {
        bytes: request(method, own.name, format, &parameters)?,
        socket: words.value("socket").cloned(),
        is_watched: words.has("watch"),
        is_followed: words.has("follow"),
        release: (own.name == "release").then(|| words.has("restart")),
        unreached: if own.name == "status" { UNREACHED } else { 1 },
    }))
}

/// A request, whole.
fn request(
    method: &str,
    page: &str,
    format: &str,
    parameters: &[(&str, &OsStr)],
) -> Result<Vec<u8>, UsageError> {
    let mut text = format!("{method} /v1/{page}?format={format}");
    for (name, value) in parameters {
        let value = value.to_str().ok_or_else(|| cli::bad(name, value, "UTF-8"))?;
        put(&mut text, format_args!("&{name}="));
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                put(&mut text, format_args!("%{byte:02X}"));
            }
        }
    }
    text.push_str(" HTTP/1.1\r\nHost: sexton\r\n\r\n");
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<String, String> {
        let own = cli::find_subcommand(words[0]).expect("a subcommand");
        let question = understand(own, words[1..].iter().map(OsString::from).collect())
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8(question.expect("no help").bytes).expect("text");
        let (line, rest) = text.split_once("\r\n").expect("a line");
        assert_eq!(rest, "Host: sexton\r\n\r\n");
        Ok(line.strip_suffix(" HTTP/1.1").expect("a version").to_owned())
    }

    #[test]
    fn words_become_requests() {
        for (words, request) in [
            (&["status"][..], "GET /v1/status?format=text"),
            (&["status", "--json", "w*", "a b"], "GET /v1/status?format=json&name=w%2A&name=a%20b"),
            (&["explain", "--", "-x"], "GET /v1/explain?format=text&name=-x"),
            (&["logs", "-fn5", "web"], "GET /v1/logs?format=text&lines=5&follow=true&name=web"),
            (&["start", "--dependents", "web"], "POST /v1/start?format=text&dependents=true&name=web"),
            (&["signal", "RTMIN+3", "all"], "POST /v1/signal?format=text&signal=RTMIN%2B3&name=all"),
            (&["hold", "off"], "POST /v1/hold?format=text&on=false"),
            (&["release", "--restart"], "POST /v1/release?format=text&restart=true"),
            (&["reload", "--socket", "/x", "--json"], "POST /v1/reload?format=json"),
        ] {
            assert_eq!(asked(words), Ok(request.to_owned()), "{words:?}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_one_clear_line() {
        for (words, line) in [
            (&["start"][..], "cannot read `sexton start`: its value NAME is missing"),
            (&["signal"], "cannot read `sexton signal`: its value SIGNAL is missing"),
            (&["signal", "TERM"], "cannot read `sexton signal`: its value NAME is missing"),
            (&["hold"], "cannot read `sexton hold`: its value on|off is missing"),
            (&["hold", "no"], "cannot read `sexton hold`: expected `on` or `off`, got `no`"),
            (&["hold", "on", "x"], "cannot understand `x`: expected `sexton hold on|off`"),
            (&["reload", "web"], "cannot understand `web`: expected `sexton reload`"),
            (&["status", "--jsno"], "cannot understand `--jsno`: unknown option; did you mean `--json`?"),
            (&["logs", "-n"], "cannot read `-n`: its value LINES is missing"),
        ] {
            assert_eq!(asked(words), Err(line.to_owned()), "{words:?}");
        }
    }
}
