//! `sexton probe`: asks once, as a kubelet does, and says what came of it. For images that have no curl.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::time::Duration;

use crate::BAD_USAGE;
use crate::calls::{Call, Get, Url, is_header_name};
use crate::cli::{self, Options, UsageError, bad};
use crate::config_mode;
use crate::linux;
use crate::time::parse_duration;

/// The longest page that is printed, in bytes.
const MOST_OF_A_PAGE: usize = 10 * 1024 * 1024;
/// How long it may take where nobody says anything else; a kubelet's default too.
const TIMEOUT: Duration = Duration::from_secs(1);
const KINDS: &str = "http, tcp, grpc, startup, readiness or liveness";

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Question {
    Http(Url, Vec<(String, String)>),
    Tcp(Target),
    Grpc(Target, String),
    /// A running sexton, on this page.
    Health(&'static str),
}

/// `HOST:PORT`
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
}

/// The words behind `probe`, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Words {
    Ask(Question, Duration),
    Help,
}

/// A call that is about to be made.
struct Probe {
    /// What is asked, for messages.
    what: String,
    host: String,
    call: Call,
    /// Who asks a running sexton wants the exit code, and an answer only where it is bad.
    tells_success: bool,
}

/// Probes, and returns the exit code.
pub(crate) fn run(mut options: Options) -> u8 {
    let words = std::mem::take(&mut options.command);
    let (question, timeout) = match parse(words.into_iter().skip(1).collect()) {
        Ok(Words::Ask(question, timeout)) => (question, timeout),
        Ok(Words::Help) => {
            return linux::print(
                &cli::find_subcommand("probe").map(cli::Subcommand::help).unwrap_or_default(),
            );
        }
        Err(error) => return linux::fail(&error, BAD_USAGE),
    };
    let mut probe = match question {
        Question::Http(url, headers) => Probe::page(url, headers, true),
        Question::Tcp(Target { host, port }) => {
            Probe { what: format!("{host}:{port}"), host, call: Call::tcp(port), tells_success: true }
        }
        Question::Grpc(Target { host, port }, service) => {
            let call = Call::grpc(&host, port, &service, false);
            Probe { what: format!("{host}:{port}"), host, call, tells_success: true }
        }
        Question::Health(path) => match config_mode::health_address(&options, linux::surroundings()) {
            Ok(address) => Probe::page(page_of(address, path), Vec::new(), false),
            Err(misunderstood) => return misunderstood.tell(),
        },
    };
    let outcome = linux::call(&probe.host, &mut probe.call, timeout);
    let printed =
        if outcome.is_err() || probe.tells_success { linux::print_bytes(probe.call.body()) } else { 0 };
    match outcome {
        Ok(()) => printed,
        Err(reason) => linux::fail(&format!("cannot probe {}: {reason}", probe.what), 1),
    }
}

impl Probe {
    fn page(url: Url, headers: Vec<(String, String)>, tells_success: bool) -> Probe {
        let what = format!("http://{}:{}{}", url.host, url.port, url.path);
        let host = url.host.clone();
        let call = Call::http(Get { url, headers, is_hook: false, most: MOST_OF_A_PAGE, keeps_body: true });
        Probe { what, host, call, tells_success }
    }
}

/// Where a running sexton is asked that answers there: on this machine, where it listens on every address.
fn page_of(address: SocketAddr, path: &str) -> Url {
    let url = Url::of(address, path);
    if address.ip().is_unspecified() { Url { host: "localhost".to_owned(), ..url } } else { url }
}

/// Reads the words behind `probe`, with options anywhere among them.
fn parse(words: Vec<OsString>) -> Result<Words, UsageError> {
    let flags = cli::find_subcommand("probe").map_or(&[][..], |own| own.flags);
    let words = cli::words_behind(flags, words)?;
    if words.wants_help {
        return Ok(Words::Help);
    }
    let (mut timeout, mut headers) = (TIMEOUT, Vec::new());
    for (flag, value) in words.flags {
        let place = format!("--{}", flag.long);
        if flag.long == "timeout" {
            let expected = "a duration such as `500ms`, `5s` or `1h30m`";
            let given = value.to_str().and_then(parse_duration);
            timeout = given.ok_or_else(|| bad(&place, &value, expected))?;
        } else {
            let given = value.to_str().and_then(header);
            headers.push(given.ok_or_else(|| bad(&place, &value, "a header such as `Name: value`"))?);
        }
    }
    let mut rest = words.rest.into_iter();
    let question = question(&mut rest, headers)?;
    match rest.next() {
        None => Ok(Words::Ask(question, timeout)),
        Some(word) => {
            let usage = question.usage().to_owned();
            Err(UsageError::Surplus { written: word.to_string_lossy().into_owned(), usage })
        }
    }
}

fn question(
    words: &mut impl Iterator<Item = OsString>,
    headers: Vec<(String, String)>,
) -> Result<Question, UsageError> {
    let kind = words.next().ok_or(UsageError::NoValue { option: "sexton probe".to_owned(), value: KINDS })?;
    let mut next = |value| {
        let option = || format!("sexton probe {}", kind.to_string_lossy());
        words.next().ok_or_else(|| UsageError::NoValue { option: option(), value })
    };
    let health = match kind.to_str() {
        Some("http") => return url(&next("URL")?).map(|url| Question::Http(url, headers)),
        Some("tcp") => return target(&next("HOST:PORT")?, "sexton probe tcp").map(Question::Tcp),
        Some("grpc") => {
            let target = target(&next("HOST:PORT")?, "sexton probe grpc")?;
            let service = words.next().unwrap_or_default();
            let service = service.into_string().map_err(|word| bad("SERVICE", &word, "UTF-8"))?;
            return Ok(Question::Grpc(target, service));
        }
        Some("startup") => "/startupz",
        Some("readiness") => "/readyz",
        Some("liveness") => "/livez",
        Some(_) | None => return Err(bad("sexton probe", &kind, format!("one of {KINDS}"))),
    };
    Ok(Question::Health(health))
}

impl Question {
    /// How it is written.
    fn usage(&self) -> &'static str {
        match self {
            Question::Http(..) => "sexton probe http URL",
            Question::Tcp(_) => "sexton probe tcp HOST:PORT",
            Question::Grpc(..) => "sexton probe grpc HOST:PORT [SERVICE]",
            Question::Health(_) => "sexton probe startup|readiness|liveness",
        }
    }
}

fn url(word: &OsStr) -> Result<Url, UsageError> {
    let place = "sexton probe http";
    let text = word.to_str().unwrap_or_default();
    let begins_with =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if begins_with("https:") {
        return Err(bad(place, word, "a URL that begins with `http://`, for sexton speaks no TLS"));
    }
    let rest = text.get("http://".len()..).filter(|_| begins_with("http://"));
    rest.and_then(Url::parse).ok_or_else(|| bad(place, word, "a URL such as `http://127.0.0.1:8080/health`"))
}

fn target(word: &OsStr, place: &str) -> Result<Target, UsageError> {
    // A path would go unnoticed, and a port has to be named.
    let understood = word.to_str().and_then(Url::parse_authority);
    match understood {
        Some((host, Some(port))) => Ok(Target { host: host.to_owned(), port }),
        Some(_) | None => Err(bad(place, word, "HOST:PORT")),
    }
}

/// `Name: value`
fn header(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once(':')?;
    let is_right = is_header_name(name) && !value.contains(|c: char| c.is_ascii_control());
    is_right.then(|| (name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Result<Words, String> {
        parse(words.iter().map(OsString::from).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn options_stand_anywhere() {
        let url = Url { host: "[::1]".to_owned(), port: 80, path: "/a?b".to_owned() };
        let header = ("X".to_owned(), "a: b".to_owned());
        let question = Question::Http(url, vec![header]);
        let ask = Ok(Words::Ask(question, Duration::from_secs(2)));
        assert_eq!(words(&["http", "http://[::1]/a?b#c", "--header", "X: a: b", "--timeout=2s"]), ask);
        assert_eq!(words(&["--timeout", "2s", "--header=X:a: b", "http", "HTTP://[::1]/a?b"]), ask);
        let target = Target { host: "db".to_owned(), port: 1 };
        assert_eq!(words(&["tcp", "db:1"]), Ok(Words::Ask(Question::Tcp(target.clone()), TIMEOUT)));
        let grpc = Question::Grpc(target, "a.B".to_owned());
        assert_eq!(words(&["grpc", "db:1", "a.B"]), Ok(Words::Ask(grpc, TIMEOUT)));
        assert_eq!(words(&["liveness"]), Ok(Words::Ask(Question::Health("/livez"), TIMEOUT)));
        assert_eq!(words(&["tcp", "--help"]), Ok(Words::Help));
    }

    #[test]
    fn what_cannot_be_understood_is_one_clear_line() {
        let cases: [(&[&str], &str); 11] = [
            (
                &[],
                "cannot read `sexton probe`: its value http, tcp, grpc, startup, readiness or liveness is missing",
            ),
            (
                &["udp"],
                "cannot read `sexton probe`: expected one of http, tcp, grpc, startup, readiness or liveness, got `udp`",
            ),
            (&["http"], "cannot read `sexton probe http`: its value URL is missing"),
            (
                &["http", "https://a/"],
                "cannot read `sexton probe http`: expected a URL that begins with `http://`, for sexton speaks no TLS, got `https://a/`",
            ),
            (
                &["http", "localhost:80"],
                "cannot read `sexton probe http`: expected a URL such as `http://127.0.0.1:8080/health`, got `localhost:80`",
            ),
            (
                &["http", "http://u:p@a/"],
                "cannot read `sexton probe http`: expected a URL such as `http://127.0.0.1:8080/health`, got `http://u:p@a/`",
            ),
            (&["tcp", "db"], "cannot read `sexton probe tcp`: expected HOST:PORT, got `db`"),
            (&["tcp", "db:1/x"], "cannot read `sexton probe tcp`: expected HOST:PORT, got `db:1/x`"),
            (&["tcp", "db:1", "x"], "cannot understand `x`: expected `sexton probe tcp HOST:PORT`"),
            (
                &["--tiemout", "1s"],
                "cannot understand `--tiemout`: unknown option; did you mean `--timeout`?",
            ),
            (
                &["--header", "a b: c"],
                "cannot read `--header`: expected a header such as `Name: value`, got `a b: c`",
            ),
        ];
        for (given, line) in cases {
            assert_eq!(words(given), Err(line.to_owned()));
        }
    }
}
