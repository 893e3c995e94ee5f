//! What operators ask for over the control socket, in HTTP, and what is answered: JSON, or the text that the subcommands print.
//!
//! Bytes in, bytes out: who carries them is `linux/control.rs`.

mod explain;
mod status;

use std::time::Duration;

use crate::command::{Command, Reply, Said, Verb, Word, matches};
use crate::crash::{Crash, headline, render_json, render_text};
use crate::health::{PLAIN, pairs, put, response, split};
use crate::json::{self, Json};
use crate::signal::Signal;
use crate::snapshot::{Program, Snapshot};
use crate::suggest::suggest;

/// The longest head of a request that is read, in bytes.
pub const LONGEST_HEAD: usize = 16 * 1024;
/// The longest body.
pub const LONGEST_BODY: usize = 8 * 1024;
/// The most headers.
const HEADERS: usize = 64;
/// How many lines of a program are shown where nobody says how many.
pub const LINES: u32 = 20;

const JSON: &str = "application/json";

/// What is asked, and how it is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub what: What,
    /// As the subcommands print it.
    is_text: bool,
    /// The answer's head is enough.
    is_head: bool,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// How the programs of these names are; without names all.
    Status(Vec<String>),
    /// How they came to it.
    Explain(Vec<String>),
    /// What they have written, and perhaps what they write from here on.
    Logs(Logs),
    /// The reports that are kept: one, the newest being the first, or a line for each.
    Crashes {
        /// Which.
        number: usize,
        /// All in short.
        list: bool,
    },
    /// Something is to be done.
    Command(Command),
}

/// Whose lines are wanted, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// The programs; none are all.
    pub names: Vec<String>,
    /// How many of the last lines of each stream.
    pub lines: usize,
    /// And those to come.
    pub follow: bool,
}

/// A path, and what it understands.
struct Page {
    path: &'static str,
    is_post: bool,
    parameters: &'static [&'static str],
    help: &'static str,
}

const fn page(
    path: &'static str,
    is_post: bool,
    parameters: &'static [&'static str],
    help: &'static str,
) -> Page {
    Page { path, is_post, parameters, help }
}

const PAGES: [Page; 14] = [
    page("/v1", false, &[], "this list"),
    page("/v1/status", false, &["name"], "how the programs are"),
    page("/v1/explain", false, &["name"], "how they came to it"),
    page("/v1/logs", false, &["program", "lines", "follow"], "what they have written, as text"),
    page("/v1/crashes", false, &["number", "list"], "reports of ends that nobody wanted"),
    page("/v1/start", true, &["name", "dependents"], "start programs"),
    page("/v1/stop", true, &["name", "dependents"], "stop programs; they stay stopped"),
    page("/v1/restart", true, &["name", "dependents"], "stop and start programs"),
    page("/v1/signal", true, &["signal", "name"], "send a signal to programs"),
    page("/v1/reload", true, &[], "read the configuration again"),
    page("/v1/hold", true, &["on"], "hold a failure from now on, or not"),
    page("/v1/hold/on", true, &[], "the same"),
    page("/v1/hold/off", true, &[], "the same"),
    page("/v1/release", true, &["restart"], "end the hold"),
];

// --- reading

/// Reads a request from its first byte on; None where the end of it is still to come. The error is the whole answer to
/// what needs nobody else to answer it.
///
/// # Errors
/// Where it is malformed or too long, or asks for what we do not have.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Result<Request, Vec<u8>>> {
    let head = &bytes[..bytes.len().min(LONGEST_HEAD)];
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let body_at = match parsed.parse(head) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if head.len() < LONGEST_HEAD => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Err(refuse("431 Request Header Fields Too Large", "the head is too long")));
        }
        Err(_) => return Some(Err(refuse("400 Bad Request", "this is no HTTP request"))),
    };
    let found = find(parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    let (page, query, is_head) = match found {
        Ok(found) => found,
        Err(answer) => return Some(Err(answer)),
    };
    let length = match length(parsed.headers) {
        Ok(length) => length,
        Err(answer) => return Some(Err(answer)),
    };
    let body = bytes.get(body_at..body_at + length)?;
    let is_other = |header: &&mut httparse::Header<'_>| {
        header.name.eq_ignore_ascii_case("content-type")
            && !header.value.starts_with(b"application/x-www-form-urlencoded")
    };
    let what = match std::str::from_utf8(body) {
        Ok(body) if body.is_empty() || !parsed.headers.iter_mut().any(|header| is_other(&header)) => {
            understand(page, query, body)
        }
        Ok(_) | Err(_) => Err("the body has to be a form, such as `name=web&dependents=true`".to_owned()),
    };
    Some(match what {
        Ok((Some(what), is_text)) => Ok(Request { what, is_text, is_head }),
        Ok((None, _)) => Err(response("200 OK", PLAIN, "", &index(), is_head)),
        Err(complaint) => Err(refuse("400 Bad Request", &complaint)),
    })
}

/// The page that is asked for, the query, and whether the answer's head is enough.
fn find<'t>(method: &str, target: &'t str) -> Result<(&'static Page, &'t str, bool), Vec<u8>> {
    let (path, query) = split(target);
    let plain = match path.trim_end_matches('/') {
        "" => "/v1",
        plain => plain,
    };
    let Some(page) = PAGES.iter().find(|page| page.path == plain) else {
        let complaint = match suggest(plain, PAGES.iter().map(|page| page.path)) {
            Some(meant) => format!("there is no such path; did you mean `{meant}`?"),
            None => "there is no such path; `/v1` lists them".to_owned(),
        };
        return Err(refuse("404 Not Found", &complaint));
    };
    match (method, page.is_post) {
        ("POST", true) | ("GET", false) => Ok((page, query, false)),
        ("HEAD", false) => Ok((page, query, true)),
        ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" | "TRACE" | "CONNECT", is_post) => {
            let (allow, method) = if is_post { ("POST", "POST") } else { ("GET, HEAD", "GET") };
            let complaint = format!("{} takes {method} only\n", page.path);
            let headers = format!("Allow: {allow}\r\n{}", code_header(1));
            Err(response("405 Method Not Allowed", PLAIN, &headers, &complaint, false))
        }
        _ => Err(refuse("501 Not Implemented", "there is no such method")),
    }
}

/// How long the body is.
fn length(headers: &[httparse::Header<'_>]) -> Result<usize, Vec<u8>> {
    let mut length: Option<usize> = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(refuse("411 Length Required", "the body has to come whole, with its Content-Length"));
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let text = std::str::from_utf8(header.value).ok().map(str::trim).filter(digits);
            // A number that is too large for one is a length that is too large.
            let given = text.map(|text| text.parse().unwrap_or(usize::MAX));
            match given {
                Some(given) if length.is_none_or(|length| length == given) => length = Some(given),
                Some(_) | None => {
                    return Err(refuse("400 Bad Request", "its Content-Length cannot be understood"));
                }
            }
        }
    }
    match length {
        Some(LONGEST_BODY..) if length > Some(LONGEST_BODY) => {
            Err(refuse("413 Content Too Large", "the body may have 8 KiB at most"))
        }
        length => Ok(length.unwrap_or(0)),
    }
}

/// What the parameters ask of a page; the list where it is nothing. And whether it is to be said in text.
fn understand(page: &Page, query: &str, body: &str) -> Result<(Option<What>, bool), String> {
    let mut given = Given { lines: LINES, number: 1, ..Given::default() };
    let mut all = pairs(query);
    all.append(&mut pairs(body));
    for (key, value) in all {
        let own = page.parameters;
        match key.as_str() {
            "" if value.is_empty() => {}
            "format" => {
                given.is_text = match value.as_str() {
                    "text" => true,
                    "json" => false,
                    _ => return Err(expected("format", "`json` or `text`", &value)),
                };
            }
            "name" | "program" if own.contains(&"name") || own.contains(&"program") => {
                given.names.push(value);
            }
            "dependents" | "restart" | "follow" | "list" | "on" if own.contains(&key.as_str()) => {
                let is = match value.as_str() {
                    "true" | "1" | "" => true,
                    "false" | "0" => false,
                    _ => return Err(expected(&key, "`true` or `false`", &value)),
                };
                given.flag = Some(is);
            }
            "lines" if own.contains(&"lines") => {
                given.lines = value.parse().map_err(|_| expected("lines", "a number of lines", &value))?;
            }
            "number" if own.contains(&"number") => {
                let number = value.parse().ok().filter(|number| *number > 0);
                given.number =
                    number.ok_or_else(|| expected("number", "1 for the newest, or more", &value))?;
            }
            "signal" if own.contains(&"signal") => {
                let signal = value.parse().map_err(|_| expected("signal", SIGNAL, &value))?;
                given.signal = Some(signal);
            }
            _ => {
                let mut complaint = format!("unknown parameter `{key}`; {} understands ", page.path);
                for name in own.iter().chain(&["format"]) {
                    put(&mut complaint, format_args!("{name}, "));
                }
                complaint.truncate(complaint.len() - 2);
                return Err(complaint);
            }
        }
    }
    let flag = given.flag.unwrap_or(false);
    let is_text = given.is_text;
    let verb = match page.path {
        "/v1/status" => return Ok((Some(What::Status(given.names)), is_text)),
        "/v1/explain" => return Ok((Some(What::Explain(given.names)), is_text)),
        "/v1/logs" => {
            let lines = given.lines.try_into().unwrap_or(usize::MAX);
            return Ok((Some(What::Logs(Logs { names: given.names, lines, follow: flag })), true));
        }
        "/v1/crashes" => {
            let number = given.number.try_into().unwrap_or(usize::MAX);
            return Ok((Some(What::Crashes { number, list: flag }), is_text));
        }
        "/v1/start" => Verb::Start,
        "/v1/stop" => Verb::Stop,
        "/v1/restart" => Verb::Restart,
        "/v1/signal" => Verb::Signal(given.signal.ok_or_else(|| missing("signal", SIGNAL))?),
        other => {
            let command = match other {
                "/v1/reload" => Command::Reload,
                "/v1/hold" => Command::Hold(given.flag.ok_or_else(|| missing("on", "`true` or `false`"))?),
                "/v1/hold/on" => Command::Hold(true),
                "/v1/hold/off" => Command::Hold(false),
                "/v1/release" => Command::Release { restart: flag },
                _ => return Ok((None, true)),
            };
            return Ok((Some(What::Command(command)), is_text));
        }
    };
    if given.names.is_empty() {
        return Err(missing("name", "the name of a program, or `all`"));
    }
    Ok((Some(What::Command(Command::Programs { verb, names: given.names, dependents: flag })), is_text))
}

/// What the parameters say.
#[derive(Default)]
struct Given {
    names: Vec<String>,
    /// The one parameter that is true or false; no page has two.
    flag: Option<bool>,
    lines: u32,
    number: u32,
    signal: Option<Signal>,
    is_text: bool,
}

/// What a signal is to look like.
pub(crate) const SIGNAL: &str = "a signal such as `TERM`, `15` or `RTMIN+3`";

fn expected(name: &str, what: &str, written: &str) -> String {
    format!("cannot read `{name}`: expected {what}, got `{written}`")
}

fn missing(name: &str, what: &str) -> String {
    format!("`{name}` is missing: expected {what}")
}

fn index() -> String {
    let mut text = String::new();
    for page in &PAGES {
        let method = if page.is_post { "POST" } else { "GET" };
        let mut target = page.path.to_owned();
        for (place, name) in page.parameters.iter().enumerate() {
            put(&mut target, format_args!("{}{name}=", if place == 0 { '?' } else { '&' }));
        }
        put(&mut text, format_args!("{method:4} {target:35} {}\n", page.help));
    }
    text
}

// --- answering

/// What a subcommand that got this answer ends with.
fn code_header(code: u8) -> String {
    format!("Sexton-Exit-Code: {code}\r\n")
}

/// The answer that is no more than a complaint.
#[must_use]
pub fn refuse(status: &str, complaint: &str) -> Vec<u8> {
    response(status, PLAIN, &code_header(1), &format!("{complaint}\n"), false)
}

/// What the snapshot does not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Here {
    /// The time of day that it was made at, since 1970.
    pub wall: Duration,
    /// Our own process.
    pub pid: u32,
}

/// The answer to a question about the container.
#[must_use]
pub fn answer(request: &Request, snapshot: &Snapshot, here: &Here) -> Vec<u8> {
    let (names, is_status) = match &request.what {
        What::Status(names) => (names, true),
        What::Explain(names) => (names, false),
        What::Logs(_) | What::Crashes { .. } | What::Command(_) => {
            return refuse("400 Bad Request", "this is no question");
        }
    };
    let view = View::new(snapshot, names, *here);
    let body = match (is_status, request.is_text) {
        (true, true) => status::text(&view),
        (true, false) => status::json(&view),
        (false, true) => explain::text(&view),
        (false, false) => explain::json(&view),
    };
    let code = if !view.unknown.is_empty() {
        4
    } else if is_status && !view.programs.iter().all(|program| status::is_well(program)) {
        3
    } else {
        0
    };
    let matches_nothing = view.programs.is_empty() && !view.unknown.is_empty();
    request.respond(if matches_nothing { "404 Not Found" } else { "200 OK" }, code, &body)
}

/// The answer to a command.
#[must_use]
pub fn reply(request: &Request, reply: &Reply) -> Vec<u8> {
    let body = if request.is_text {
        let mut text = String::new();
        for said in &reply.results {
            put(&mut text, format_args!("{}\n", in_words(said)));
        }
        text
    } else {
        let mut json = Json::new();
        json.open('{');
        json.key("exit_code").number(Some(reply.code().into()));
        json.key("results").open('[');
        for said in &reply.results {
            json.open('{');
            json.key("program").text(said.program.as_deref());
            json.key("ok").boolean(!said.word.is_error());
            json.key("result").string(said.word.text());
            json.key("text").string(&said.text);
            json.close('}');
        }
        json.close(']');
        json.close('}');
        json.finish()
    };
    let is = |word: Word| !reply.results.is_empty() && reply.results.iter().all(|said| said.word == word);
    let status = if is(Word::Refused) {
        "409 Conflict"
    } else if is(Word::NoSuchProgram) {
        "404 Not Found"
    } else {
        "200 OK"
    };
    request.respond(status, reply.code(), &body)
}

/// The answer with what is kept of crashes, the newest last: all of them in JSON.
#[must_use]
pub fn crashes(request: &Request, number: usize, list: bool, kept: &[Crash]) -> Vec<u8> {
    let mut body = String::new();
    if !request.is_text {
        body.push('[');
        for crash in kept.iter().rev() {
            json::item(&mut body);
            body.push_str(render_json(crash).trim_end());
        }
        body.push(']');
    } else if list {
        for crash in kept.iter().rev() {
            put(&mut body, format_args!("{}  {}\n", crash.ended, headline(&render_text(crash))));
        }
    } else if let Some(crash) = number.checked_sub(1).and_then(|back| kept.iter().rev().nth(back)) {
        body = render_text(crash);
    } else {
        let complaint = match kept.len() {
            0 => "there is no crash report: nothing has ended that was not to".to_owned(),
            1 => "there is one crash report".to_owned(),
            count => format!("there are {count} crash reports"),
        };
        return refuse("404 Not Found", &complaint);
    }
    request.respond("200 OK", 0, &body)
}

/// supervisorctl's line for what has come of a command.
fn in_words(said: &Said) -> String {
    let (word, text) = (said.word.text(), &said.text);
    match (&said.program, said.word.is_error(), text.is_empty()) {
        (None, true, _) => format!("ERROR: {text}"),
        (None, false, _) => text.clone(),
        (Some(program), true, true) => format!("{program}: ERROR ({word})"),
        (Some(program), true, false) => format!("{program}: ERROR ({word}): {text}"),
        (Some(program), false, true) => format!("{program}: {word}"),
        (Some(program), false, false) => format!("{program}: {word} {text}"),
    }
}

/// The answer with the last lines of programs: by name what each wrote to its standard output and its standard error. It
/// ends with the connection, for more may follow.
#[must_use]
pub fn logs(request: &Request, lines: usize, kept: &[(String, [Vec<u8>; 2])]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {PLAIN}\r\nX-Content-Type-Options: nosniff\r\n\
         Cache-Control: no-cache, private\r\n{}Connection: close\r\n\r\n",
        code_header(0)
    )
    .into_bytes();
    if !request.is_head {
        last_lines(kept, lines, &mut answer);
    }
    answer
}

/// The last lines of each stream, with the program's name in front unless there is one program only. Which came first of two
/// streams is not known: where there are both, it is said where the second begins.
fn last_lines(kept: &[(String, [Vec<u8>; 2])], lines: usize, out: &mut Vec<u8>) {
    for (name, streams) in kept {
        let streams = streams.each_ref().map(|bytes| last(bytes, lines));
        let both = streams.iter().all(|bytes| !bytes.is_empty());
        for (bytes, stream) in streams.into_iter().zip(["stdout", "stderr"]) {
            if both {
                out.extend_from_slice(format!("==> {name} {stream} <==\n").as_bytes());
            }
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                if kept.len() > 1 {
                    out.extend_from_slice(format!("{name} | ").as_bytes());
                }
                out.extend_from_slice(line);
            }
            if !bytes.is_empty() && !bytes.ends_with(b"\n") {
                out.push(b'\n');
            }
        }
    }
}

/// The last lines of the bytes.
fn last(bytes: &[u8], lines: usize) -> &[u8] {
    let end = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut ends = end.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    match lines.checked_sub(1) {
        None => &[],
        Some(before) => &bytes[ends.nth(before).unwrap_or(0)..],
    }
}

impl Request {
    fn respond(&self, status: &str, code: u8, body: &str) -> Vec<u8> {
        let kind = if self.is_text { PLAIN } else { JSON };
        let end = if self.is_text { "" } else { "\n" };
        response(status, kind, &code_header(code), &format!("{body}{end}"), self.is_head)
    }
}

/// Whether one of the names, which may stand for many, is this one. Without names everything is meant.
#[must_use]
pub fn is_meant(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|pattern| stands_for(pattern, name))
}

fn stands_for(pattern: &str, name: &str) -> bool {
    pattern == "all" || matches(pattern, name)
}

/// What is to be told of the container.
struct View<'a> {
    snapshot: &'a Snapshot,
    /// The names that were given.
    names: &'a [String],
    /// The programs of these names: steps come last.
    programs: Vec<&'a Program>,
    /// The names that are nobody's.
    unknown: Vec<&'a str>,
    here: Here,
}

impl View<'_> {
    fn new<'a>(snapshot: &'a Snapshot, names: &'a [String], here: Here) -> View<'a> {
        let mut programs: Vec<&Program> = Vec::new();
        for is_step in [false, true] {
            for program in &snapshot.programs {
                if program.is_step == is_step && is_meant(names, &program.name) {
                    programs.push(program);
                }
            }
        }
        let is_unknown =
            |name: &&str| !snapshot.programs.iter().any(|program| stands_for(name, &program.name));
        let unknown = names.iter().map(String::as_str).filter(is_unknown).collect();
        View { snapshot, names, programs, unknown, here }
    }

    /// Somebody named what is to be told of.
    fn is_narrowed(&self) -> bool {
        !self.names.is_empty()
    }
}

#[cfg(test)]
mod tests;
