//! What operators ask for over the control socket, in HTTP, and what is answered: JSON, or the text that the subcommands print.
//!
//! Bytes in, bytes out: who carries them is `linux/control.rs`.

mod explain;
mod status;

use std::time::Duration;

use crate::cli::SIGNAL;
use crate::command::{Command, Reply, Said, Verb, Word, matches};
use crate::crash::{Crash, headline, render_json, render_text};
use crate::health::{PLAIN, head, pairs, put, response, split};
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
    ask: Ask,
    parameters: &'static [&'static str],
    help: &'static str,
}

/// What a page is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ask {
    Index,
    Status,
    Explain,
    Logs,
    Crashes,
    /// From here on with POST.
    Start,
    Stop,
    Restart,
    Signal,
    Reload,
    Hold,
    HoldOn,
    HoldOff,
    Release,
}

const fn page(path: &'static str, ask: Ask, parameters: &'static [&'static str], help: &'static str) -> Page {
    Page { path, ask, parameters, help }
}

static PAGES: [Page; 14] = [
    page("/v1", Ask::Index, &[], "this list"),
    page("/v1/status", Ask::Status, &["name"], "how the programs are"),
    page("/v1/explain", Ask::Explain, &["name"], "how they came to it"),
    page("/v1/logs", Ask::Logs, &["program", "lines", "follow"], "what they have written, as text"),
    page("/v1/crashes", Ask::Crashes, &["number", "list"], "reports of ends that nobody wanted"),
    page("/v1/start", Ask::Start, &["name", "dependents"], "start programs"),
    page("/v1/stop", Ask::Stop, &["name", "dependents"], "stop programs; they stay stopped"),
    page("/v1/restart", Ask::Restart, &["name", "dependents"], "stop and start programs"),
    page("/v1/signal", Ask::Signal, &["signal", "name"], "send a signal to programs"),
    page("/v1/reload", Ask::Reload, &[], "read the configuration again"),
    page("/v1/hold", Ask::Hold, &["on"], "hold a failure from now on, or not"),
    page("/v1/hold/on", Ask::HoldOn, &[], "the same"),
    page("/v1/hold/off", Ask::HoldOff, &[], "the same"),
    page("/v1/release", Ask::Release, &["restart"], "end the hold"),
];

impl Page {
    fn is_post(&self) -> bool {
        self.ask >= Ask::Start
    }
}

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
    let is_other = |header: &httparse::Header<'_>| {
        header.name.eq_ignore_ascii_case("content-type")
            && !header.value.starts_with(b"application/x-www-form-urlencoded")
    };
    let what = match std::str::from_utf8(body) {
        Ok(body) if body.is_empty() || !parsed.headers.iter().any(is_other) => understand(page, query, body),
        Ok(_) | Err(_) => Err("the body has to be a form, such as `name=web&dependents=true`".to_owned()),
    };
    Some(match what {
        Ok((Some(what), is_text)) => Ok(Request { what, is_text, is_head }),
        Ok((None, _)) => Err(response("200 OK", PLAIN, "", &index(), is_head)),
        Err(complaint) => Err(refuse("400 Bad Request", &complaint)),
    })
}

/// What HTTP has.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];

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
    let is_post = page.is_post();
    let is_head = method == "HEAD";
    if method == if is_post { "POST" } else { "GET" } || is_head && !is_post {
        return Ok((page, query, is_head));
    }
    if !METHODS.contains(&method) {
        return Err(refuse("501 Not Implemented", "there is no such method"));
    }
    let (allow, method) = if is_post { ("POST", "POST") } else { ("GET, HEAD", "GET") };
    let complaint = format!("{} takes {method} only\n", page.path);
    let headers = format!("Allow: {allow}\r\n{}", code_header(1));
    Err(response("405 Method Not Allowed", PLAIN, &headers, &complaint, false))
}

/// How long the body is.
fn length(headers: &[httparse::Header<'_>]) -> Result<usize, Vec<u8>> {
    let mut length: Option<usize> = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(refuse("411 Length Required", "the body has to come whole, with its Content-Length"));
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            // A number that is too large for one is a length that is too large.
            let mut given = 0_usize;
            let text = header.value.trim_ascii();
            for byte in text {
                given = given.saturating_mul(10).saturating_add(usize::from(byte.wrapping_sub(b'0')));
            }
            let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
            if !is_number || length.is_some_and(|length| length != given) {
                return Err(refuse("400 Bad Request", "its Content-Length cannot be understood"));
            }
            length = Some(given);
        }
    }
    match length.unwrap_or(0) {
        length if length > LONGEST_BODY => {
            Err(refuse("413 Content Too Large", "the body may have 8 KiB at most"))
        }
        length => Ok(length),
    }
}

/// What the parameters ask of a page; the list where it is nothing. And whether it is to be said in text.
fn understand(page: &Page, query: &str, body: &str) -> Result<(Option<What>, bool), String> {
    let mut given = Given::default();
    let mut all = pairs(query);
    all.append(&mut pairs(body));
    for (key, value) in all {
        let (key, written) = (key.as_str(), value.as_str());
        if key.is_empty() && written.is_empty() {
            continue;
        }
        // Both name a program, wherever one can be named.
        let is_name = is_name(key) && page.parameters.iter().any(|own| is_name(own));
        if !is_name && key != "format" && !page.parameters.contains(&key) {
            let mut complaint = format!("unknown parameter `{key}`; {} understands ", page.path);
            for name in page.parameters {
                complaint.push_str(name);
                complaint.push_str(", ");
            }
            complaint.push_str("format");
            return Err(complaint);
        }
        let number = || written.parse::<u32>().ok();
        let wanted = match key {
            _ if is_name => {
                given.names.push(value);
                continue;
            }
            "format" => {
                given.is_text = written == "text";
                (given.is_text || written == "json", "`json` or `text`")
            }
            "lines" => {
                given.lines = number();
                (given.lines.is_some(), "a number of lines")
            }
            "number" => {
                given.number = number().filter(|number| *number > 0);
                (given.number.is_some(), "1 for the newest, or more")
            }
            "signal" => {
                given.signal = written.parse().ok();
                (given.signal.is_some(), SIGNAL)
            }
            _ => {
                let is = ["true", "1", ""].contains(&written);
                given.flag = Some(is);
                (is || ["false", "0"].contains(&written), BOOLEAN)
            }
        };
        if let (false, what) = wanted {
            return Err(format!("cannot read `{key}`: expected {what}, got `{written}`"));
        }
    }
    let flag = given.flag.unwrap_or(false);
    let mut is_text = given.is_text;
    let at_most = |number: u32| number.try_into().unwrap_or(usize::MAX);
    let verb = match page.ask {
        Ask::Start => Some(Verb::Start),
        Ask::Stop => Some(Verb::Stop),
        Ask::Restart => Some(Verb::Restart),
        Ask::Signal => Some(Verb::Signal(given.signal.ok_or_else(|| missing("signal", SIGNAL))?)),
        Ask::Index
        | Ask::Status
        | Ask::Explain
        | Ask::Logs
        | Ask::Crashes
        | Ask::Reload
        | Ask::Hold
        | Ask::HoldOn
        | Ask::HoldOff
        | Ask::Release => None,
    };
    let names = given.names;
    if verb.is_some() && names.is_empty() {
        return Err(missing("name", "the name of a program, or `all`"));
    }
    let what = match page.ask {
        Ask::Index => return Ok((None, true)),
        Ask::Status => What::Status(names),
        Ask::Explain => What::Explain(names),
        Ask::Logs => {
            is_text = true;
            What::Logs(Logs { names, lines: at_most(given.lines.unwrap_or(LINES)), follow: flag })
        }
        Ask::Crashes => What::Crashes { number: at_most(given.number.unwrap_or(1)), list: flag },
        Ask::Start | Ask::Stop | Ask::Restart | Ask::Signal => {
            let verb = verb.unwrap_or(Verb::Start);
            What::Command(Command::Programs { verb, names, dependents: flag })
        }
        Ask::Reload => What::Command(Command::Reload),
        Ask::Hold => What::Command(Command::Hold(given.flag.ok_or_else(|| missing("on", BOOLEAN))?)),
        Ask::HoldOn | Ask::HoldOff => What::Command(Command::Hold(page.ask == Ask::HoldOn)),
        Ask::Release => What::Command(Command::Release { restart: flag }),
    };
    Ok((Some(what), is_text))
}

fn is_name(key: &str) -> bool {
    key == "name" || key == "program"
}

/// What the parameters say.
#[derive(Default)]
struct Given {
    names: Vec<String>,
    /// The one parameter that is true or false; no page has two.
    flag: Option<bool>,
    lines: Option<u32>,
    number: Option<u32>,
    signal: Option<Signal>,
    is_text: bool,
}

const BOOLEAN: &str = "`true` or `false`";

fn missing(name: &str, what: &str) -> String {
    format!("`{name}` is missing: expected {what}")
}

fn index() -> String {
    let mut text = String::new();
    for page in &PAGES {
        let method = if page.is_post() { "POST" } else { "GET" };
        let mut target = page.path.to_owned();
        let mut before = "?";
        for name in page.parameters {
            for piece in [before, name, "="] {
                target.push_str(piece);
            }
            before = "&";
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
            in_words(said, &mut text);
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
fn in_words(said: &Said, out: &mut String) {
    let text = said.text.as_str();
    let is_error = said.word.is_error();
    let Some(program) = &said.program else {
        let front = if is_error { "ERROR: " } else { "" };
        return put(out, format_args!("{front}{text}\n"));
    };
    let (open, close) = if is_error { ("ERROR (", ")") } else { ("", "") };
    let joint = match (text.is_empty(), is_error) {
        (true, _) => "",
        (false, true) => ": ",
        (false, false) => " ",
    };
    put(out, format_args!("{program}: {open}{}{close}{joint}{text}\n", said.word.text()));
}

/// The answer with the last lines of programs: by name what each wrote to its standard output and its standard error. It
/// ends with the connection, for more may follow.
#[must_use]
pub fn logs(request: &Request, lines: usize, kept: &[(String, [Vec<u8>; 2])]) -> Vec<u8> {
    let mut answer = head("200 OK", PLAIN, &code_header(0), None).into_bytes();
    if !request.is_head {
        last_lines(kept, lines, &mut answer);
    }
    answer
}

/// The last lines of each stream, with the program's name in front unless there is one program only. Which came first of two
/// streams is not known: where there are both, it is said where the second begins.
fn last_lines(kept: &[(String, [Vec<u8>; 2])], lines: usize, out: &mut Vec<u8>) {
    for (name, streams) in kept {
        let [stdout, stderr] = streams;
        let (stdout, stderr) = (last(stdout, lines), last(stderr, lines));
        let both = !stdout.is_empty() && !stderr.is_empty();
        let front = if kept.len() > 1 { format!("{name} | ") } else { String::new() };
        for (bytes, stream) in [(stdout, "stdout"), (stderr, "stderr")] {
            if both {
                out.extend_from_slice(format!("==> {name} {stream} <==\n").as_bytes());
            }
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                out.extend_from_slice(front.as_bytes());
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
        let mut unknown = Vec::new();
        for name in names {
            if !snapshot.programs.iter().any(|program| stands_for(name, &program.name)) {
                unknown.push(name.as_str());
            }
        }
        View { snapshot, names, programs, unknown, here }
    }

    /// Somebody named what is to be told of.
    fn is_narrowed(&self) -> bool {
        !self.names.is_empty()
    }
}

#[cfg(test)]
mod tests;
