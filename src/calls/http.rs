//! HTTP/1.1, as much of it as asking for one page takes.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use httparse::{EMPTY_HEADER, Response, Status};

use super::agent;
use crate::text::join;

/// The longest head of an answer, in bytes, heads of interim answers included.
const MOST_OF_A_HEAD: usize = 16 * 1024;
/// How many headers it may have.
const MOST_HEADERS: usize = 64;
/// How often an answer may send us elsewhere.
const MOST_REDIRECTS: u32 = 10;
/// How much of a foreign text is quoted, in characters.
const QUOTED: usize = 200;

/// Where a page is, without the `http://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// A name or an address, an IPv6 address in brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, from its slash on, with the query.
    pub path: String,
}

impl Url {
    /// Reads what stands behind `http://`; None where it leads nowhere.
    #[must_use]
    pub fn parse(rest: &str) -> Option<Url> {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let (host, port) = Url::parse_authority(authority)?;
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        Some(Url { host: host.to_owned(), port: port.unwrap_or(80), path: format!("{slash}{path}") })
    }

    /// Where a path is at an address.
    #[must_use]
    pub fn of(address: SocketAddr, path: &str) -> Url {
        Url { host: host_of(address.ip()), port: address.port(), path: path.to_owned() }
    }

    /// Splits `HOST:PORT`, where HOST is a name or an address, an IPv6 address in brackets.
    #[must_use]
    pub fn parse_authority(authority: &str) -> Option<(&str, Option<u16>)> {
        // What follows the bracket, or the name.
        let end = authority.find(']').map_or_else(|| authority.find(':'), |bracket| Some(bracket + 1));
        let (host, port) = authority.split_at_checked(end.unwrap_or(authority.len()))?;
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            None | Some(_) => return None,
        };
        let is_host = if let Some(address) = host.strip_prefix('[') {
            matches!(parse_host(host), Some(IpAddr::V6(_))) && address.ends_with(']')
        } else {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        (is_host && port != Some(0)).then_some((host, port))
    }
}

/// The host of a URL that leads to this address.
pub(super) fn host_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The address that a host is; None for a name.
fn parse_host(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// A request for a page.
#[derive(Clone, Debug)]
pub struct Get {
    /// Where it is.
    pub url: Url,
    /// More headers, or others in place of ours; one without a value takes ours away.
    pub headers: Vec<(String, String)>,
    /// Any answer will do.
    pub is_hook: bool,
    /// How much of the body is read, in bytes; what is longer is cut.
    pub most: usize,
    /// The body is wanted.
    pub keeps_body: bool,
}

/// How far an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    Done,
    /// The page is elsewhere.
    Follow,
}

/// A request for a page and its answer.
#[derive(Clone, Debug)]
pub(super) struct Http {
    get: Get,
    /// What a redirect calls the server, in place of the user's `Host` or ours.
    authority: Option<String>,
    redirects: u32,
    phase: Phase,
    /// The head of the answer, as far as it has come.
    head: Vec<u8>,
    /// The lengths of interim answers' heads.
    interim: usize,
    code: u16,
    body: Vec<u8>,
    /// How much of the body, with everything that is put around it, is still read.
    left: usize,
}

/// What is read.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Head,
    /// A body that has so many bytes more.
    Known(u64),
    /// A body that ends with the connection.
    ToTheEnd,
    Chunked(Chunk),
}

/// Where in a chunked body (RFC 9112, section 7.1).
#[derive(Clone, Copy, Debug)]
enum Chunk {
    /// In the length of a chunk: what it is so far, None before its first digit.
    Length(Option<u64>),
    /// Behind the length.
    Extension(u64),
    /// In the data, so many bytes before its end.
    Data(u64),
    /// Behind the data: in the end of its line.
    End,
    /// Behind the last chunk, in a line that is empty so far or not.
    Trailer { is_empty: bool },
}

impl Http {
    pub(super) fn new(get: Get) -> Http {
        let left = get.most;
        Http {
            get,
            authority: None,
            redirects: 0,
            phase: Phase::Head,
            head: Vec::new(),
            interim: 0,
            code: 0,
            body: Vec::new(),
            left,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.get.url.port
    }

    /// Something of the answer has come.
    pub(super) fn is_begun(&self) -> bool {
        !(self.head.is_empty() && self.interim == 0 && matches!(self.phase, Phase::Head))
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The request, as it is sent.
    pub(super) fn request(&self) -> Vec<u8> {
        let Url { host, port, path } = &self.get.url;
        let mut request = String::with_capacity(256);
        request.push_str("GET ");
        push_path(&mut request, path);
        request.push_str(" HTTP/1.1\r\nHost: ");
        match self.authority.as_deref().or_else(|| self.header("Host")) {
            Some(authority) if !authority.is_empty() => push_value(&mut request, authority),
            Some(_) | None => {
                let _ = write!(request, "{host}:{port}"); // a String takes everything
            }
        }
        request.push_str("\r\n");
        let ours = [("User-Agent", agent(self.get.is_hook)), ("Accept", "*/*"), ("Connection", "close")];
        for (name, value) in ours {
            if self.header(name).is_none() {
                push_header(&mut request, name, value);
            }
        }
        for (name, value) in &self.get.headers {
            let takes_away = value.is_empty() && ours.iter().any(|(ours, _)| ours.eq_ignore_ascii_case(name));
            if !takes_away && !name.eq_ignore_ascii_case("Host") {
                push_header(&mut request, name, value);
            }
        }
        request.push_str("\r\n");
        request.into_bytes()
    }

    /// The user's header of this name.
    fn header(&self, name: &str) -> Option<&str> {
        let same = |(other, _): &&(String, String)| other.eq_ignore_ascii_case(name);
        self.get.headers.iter().find(same).map(|(_, value)| value.as_str())
    }

    /// Takes in some of the answer.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<Progress, String> {
        while matches!(self.phase, Phase::Head) && !bytes.is_empty() {
            let room = MOST_OF_A_HEAD.saturating_sub(self.interim + self.head.len());
            let seen = self.head.len();
            self.head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            if !self.head.starts_with(b"HTTP/1.") && !b"HTTP/1.".starts_with(&self.head) {
                return Err("no HTTP answer".to_owned());
            }
            let Some(end) = end_of_head(&self.head, seen) else {
                if room <= bytes.len() {
                    return Err("a head of more than 16 KiB".to_owned());
                }
                return Ok(Progress::More);
            };
            bytes = bytes.get(end.saturating_sub(seen)..).unwrap_or_default();
            self.head.truncate(end);
            if let Some(progress) = self.understand_head()? {
                return Ok(progress);
            }
        }
        self.read_body(bytes)
    }

    /// What comes of it where the connection ends here; None where it ends too early.
    pub(super) fn end(&mut self) -> Option<Result<(), String>> {
        match self.phase {
            Phase::ToTheEnd => Some(self.verdict().map(|_| ())),
            Phase::Head | Phase::Known(_) | Phase::Chunked(_) => None,
        }
    }

    /// Understands the head, and what it makes of the call; None where there is a body to be read.
    fn understand_head(&mut self) -> Result<Option<Progress>, String> {
        let head = std::mem::take(&mut self.head);
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let mut response = Response::new(&mut headers);
        match response.parse(&head) {
            Ok(Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => return Err("more than 64 headers".to_owned()),
            Ok(Status::Partial) | Err(_) => return Err("no HTTP answer".to_owned()),
        }
        self.code = response.code.unwrap_or_default();
        let values = |name: &'static str| {
            let named = response.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
            named.map(|header| header.value)
        };
        match self.code {
            // RFC 9110, section 15.2: the answer is yet to come. 101 is one: nobody asked for another protocol.
            100..=199 if self.code != 101 => {
                self.interim += head.len();
                return Ok(None);
            }
            301 | 302 | 303 | 307 | 308 => {
                if let Some(location) = values("Location").next().filter(|location| !location.is_empty()) {
                    return self.follow(&String::from_utf8_lossy(location)).map(Some);
                }
            }
            _ => {}
        }
        if self.get.is_hook || !(self.get.keeps_body || self.is_success()) {
            return self.verdict().map(Some); // whatever else it says
        }
        self.phase = if self.code < 200 || self.code == 204 || self.code == 304 {
            Phase::Known(0)
        } else if values("Transfer-Encoding").any(is_chunked) {
            Phase::Chunked(Chunk::Length(None))
        } else {
            let mut lengths = values("Content-Length");
            match lengths.next() {
                None => Phase::ToTheEnd,
                Some(first) if lengths.all(|other| other == first) => {
                    Phase::Known(parse_length(first).ok_or_else(malformed)?)
                }
                Some(_) => return Err(malformed()),
            }
        };
        Ok(None)
    }

    fn read_body(&mut self, mut bytes: &[u8]) -> Result<Progress, String> {
        loop {
            let is_over = match self.phase {
                Phase::Head => return Ok(Progress::More),
                Phase::Known(0) => true,
                Phase::Known(_) | Phase::ToTheEnd | Phase::Chunked(_) => self.left == 0,
            };
            if is_over {
                return self.verdict();
            }
            let Some((first, rest)) = bytes.split_first() else { return Ok(Progress::More) };
            let most = bytes.len().min(self.left);
            let data = match self.phase {
                Phase::Head => 0,
                Phase::ToTheEnd => most,
                Phase::Known(length) | Phase::Chunked(Chunk::Data(length)) => {
                    usize::try_from(length).unwrap_or(usize::MAX).min(most)
                }
                Phase::Chunked(ref mut chunk) => {
                    self.left -= 1; // is_over has seen that it is not 0
                    bytes = rest;
                    if !chunk.pass(*first)? {
                        return self.verdict();
                    }
                    continue;
                }
            };
            let (read, rest) = bytes.split_at_checked(data).unwrap_or((bytes, &[]));
            bytes = rest;
            self.left = self.left.saturating_sub(data);
            if self.get.keeps_body {
                self.body.extend_from_slice(read);
            }
            match &mut self.phase {
                Phase::Head | Phase::ToTheEnd => {}
                Phase::Known(length) => *length = length.saturating_sub(as_u64(data)),
                Phase::Chunked(chunk) => chunk.skip(data),
            }
        }
    }

    fn is_success(&self) -> bool {
        (200..400).contains(&self.code)
    }

    fn verdict(&self) -> Result<Progress, String> {
        if self.get.is_hook || self.is_success() {
            Ok(Progress::Done)
        } else {
            Err(format!("answered with code {}", self.code))
        }
    }

    /// Goes where the answer sends us, which has to be the same host.
    fn follow(&mut self, location: &str) -> Result<Progress, String> {
        let refuse = |what: &str| {
            if self.get.is_hook {
                return Ok(Progress::Done); // it is an answer
            }
            Err(format!("redirects to {what}: {}", location.chars().take(QUOTED).collect::<String>()))
        };
        self.redirects += 1;
        if self.redirects > MOST_REDIRECTS {
            return Err("more than 10 redirects".to_owned());
        }
        let absolute = match scheme_of(location) {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => return refuse("https"),
            Some(scheme) => {
                let rest = location.get(scheme.len()..).and_then(|rest| rest.strip_prefix("://"));
                // An empty one leads nowhere, as every other scheme does.
                Some(rest.filter(|_| scheme.eq_ignore_ascii_case("http")).unwrap_or_default())
            }
            None => location.strip_prefix("//"),
        };
        if let Some(rest) = absolute {
            match Url::parse(rest) {
                Some(url) if self.is_same_host(&url.host) => {
                    self.authority = Some(format!("{}:{}", url.host, url.port));
                    self.get.url.port = url.port;
                    self.get.url.path = url.path;
                }
                Some(_) | None => return refuse("another host"),
            }
        } else {
            self.get.url.path = resolve(&self.get.url.path, location);
        }
        self.phase = Phase::Head;
        self.interim = 0;
        Ok(Progress::Follow)
    }

    /// It is the host that was asked, by one of its names.
    fn is_same_host(&self, host: &str) -> bool {
        let ours = &self.get.url.host;
        let is_this_machine = |host: &str| {
            host.eq_ignore_ascii_case("localhost") || parse_host(host).is_some_and(|ip| ip.is_loopback())
        };
        let given = self.header("Host").and_then(Url::parse_authority);
        host.eq_ignore_ascii_case(ours)
            || is_this_machine(host) && is_this_machine(ours)
            || given.is_some_and(|(given, _)| given.eq_ignore_ascii_case(host))
    }
}

impl Chunk {
    /// Goes one byte further, where it is not in the data; false at the end of the body.
    fn pass(&mut self, byte: u8) -> Result<bool, String> {
        *self = match *self {
            Chunk::Length(length) => match (char::from(byte).to_digit(16), length) {
                (Some(digit), length) => {
                    let length = length.unwrap_or_default().checked_mul(16).ok_or_else(malformed)?;
                    Chunk::Length(Some(length | u64::from(digit)))
                }
                (None, Some(length)) if byte == b'\n' => Chunk::after_length(length),
                (None, Some(length)) if b"\r; \t".contains(&byte) => Chunk::Extension(length),
                (None, Some(_) | None) => return Err(malformed()),
            },
            Chunk::Extension(length) if byte == b'\n' => Chunk::after_length(length),
            Chunk::End if byte == b'\n' => Chunk::Length(None),
            Chunk::End if byte != b'\r' => return Err(malformed()),
            Chunk::Trailer { is_empty: true } if byte == b'\n' => return Ok(false),
            Chunk::Trailer { is_empty } => {
                Chunk::Trailer { is_empty: byte == b'\n' || is_empty && byte == b'\r' }
            }
            same @ (Chunk::Extension(_) | Chunk::End | Chunk::Data(_)) => same,
        };
        Ok(true)
    }

    fn after_length(length: u64) -> Chunk {
        if length == 0 { Chunk::Trailer { is_empty: true } } else { Chunk::Data(length) }
    }

    /// Goes so many bytes of data further.
    fn skip(&mut self, count: usize) {
        if let Chunk::Data(length) = self {
            *length = length.saturating_sub(as_u64(count));
            if *length == 0 {
                *self = Chunk::End;
            }
        }
    }
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn malformed() -> String {
    "a malformed answer".to_owned()
}

/// Where the head ends: behind its first empty line. What lies before `seen` has been looked at.
fn end_of_head(head: &[u8], seen: usize) -> Option<usize> {
    let start = seen.saturating_sub(2);
    let rest = head.get(start..)?;
    memchr::memchr_iter(b'\n', rest).map(|at| start + at + 1).find_map(|at| match head.get(at..)? {
        [b'\n', ..] => Some(at + 1),
        [b'\r', b'\n', ..] => Some(at + 2),
        _ => None,
    })
}

/// Chunked is what is around everything else.
fn is_chunked(encodings: &[u8]) -> bool {
    let last = encodings.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    last.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

fn parse_length(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits.trim_ascii()).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// What stands before `:` where that is a scheme (RFC 3986, section 3.1).
fn scheme_of(location: &str) -> Option<&str> {
    let (scheme, _) = location.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some(scheme)
}

/// The path that `reference` means on the page `base` (RFC 3986, section 5.2).
fn resolve(base: &str, reference: &str) -> String {
    let reference = reference.split('#').next().unwrap_or_default();
    let (base, query) = base.split_once('?').map_or((base, None), |(path, query)| (path, Some(query)));
    let (path, new_query) =
        reference.split_once('?').map_or((reference, None), |(path, query)| (path, Some(query)));
    let query = if path.is_empty() { new_query.or(query) } else { new_query };
    let folder = base.rfind('/').and_then(|slash| base.get(..=slash)).unwrap_or("/");
    let joined = match path {
        "" => base.to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("{folder}{path}"),
    };
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_open = false;
    for segment in joined.split('/').skip(1) {
        ends_open = segment == "." || segment == "..";
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    if ends_open {
        segments.push("");
    }
    let mut resolved = format!("/{}", join(&segments, "/"));
    if let Some(query) = query {
        resolved.push('?');
        resolved.push_str(query);
    }
    resolved
}

/// What has no place in the first line is written as `%XX`.
fn push_path(request: &mut String, path: &str) {
    if !path.starts_with('/') {
        request.push('/');
    }
    for byte in path.bytes() {
        if byte.is_ascii_graphic() {
            request.push(char::from(byte));
        } else {
            let _ = write!(request, "%{byte:02X}"); // a String takes everything
        }
    }
}

fn push_header(request: &mut String, name: &str, value: &str) {
    push_value(request, name);
    request.push_str(": ");
    push_value(request, value);
    request.push_str("\r\n");
}

/// A header stays on its line.
fn push_value(request: &mut String, value: &str) {
    request.extend(value.chars().map(|c| if c.is_ascii_control() { ' ' } else { c }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(most: usize, is_hook: bool) -> Get {
        let url = Url { host: "localhost".to_owned(), port: 8080, path: "/a/b?c".to_owned() };
        Get { url, headers: Vec::new(), is_hook, most, keeps_body: true }
    }

    /// What comes of an answer that arrives in these pieces, and then ends.
    fn fed<'a>(get: Get, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Result<Progress, String>, Http) {
        let mut http = Http::new(get);
        for piece in pieces {
            match http.read(piece) {
                Ok(Progress::More) => {}
                decided => return (decided, http),
            }
        }
        let ended = http.end().map_or(Ok(Progress::More), |ended| ended.map(|()| Progress::Done));
        (ended, http)
    }

    /// The same, however it is cut in two, and byte by byte.
    fn answered_with(get: &Get, answer: &[u8]) -> (Result<Progress, String>, String) {
        let (whole, http) = fed(get.clone(), [answer]);
        for at in 0..=answer.len() {
            let (first, second) = answer.split_at(at);
            let (cut, other) =
                fed(get.clone(), [first, second].into_iter().filter(|piece| !piece.is_empty()));
            assert_eq!((&cut, other.body()), (&whole, http.body()), "cut at {at}");
        }
        let (bytewise, other) = fed(get.clone(), answer.chunks(1));
        assert_eq!((&bytewise, other.body()), (&whole, http.body()), "byte by byte");
        (whole, String::from_utf8_lossy(http.body()).into_owned())
    }

    fn answered(answer: &str) -> (Result<Progress, String>, String) {
        answered_with(&get(20, false), answer.as_bytes())
    }

    #[test]
    fn an_answer_is_the_same_however_it_arrives() {
        use Progress::{Done, More};
        let failed = |reason: &str| Err(reason.to_owned());
        let cases: [(&str, Result<Progress, String>, &str); 28] = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay", Ok(Done), "ok"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nokay", failed("a malformed answer"), ""),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nokay", Ok(Done), "ok"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokay",
                failed("a malformed answer"),
                "",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nokay", failed("a malformed answer"), ""),
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", Ok(More), "ok"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok(Done), ""),
            ("HTTP/1.0 200\n\nok\n", Ok(Done), "ok\n"),
            ("HTTP/1.1 204 No Content\r\n\r\nx", Ok(Done), ""),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nok",
                Ok(Done),
                "ok",
            ),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\nx", failed("answered with code 101"), ""),
            ("HTTP/1.1 199 ?\r\n\r\n", Ok(More), ""),
            ("HTTP/1.1 399 ?\r\n\r\nok", Ok(Done), "ok"),
            ("HTTP/1.1 302 Found\r\n\r\nok", Ok(Done), "ok"),
            ("HTTP/1.1 302 Found\r\nLocation:\r\nContent-Length: 0\r\n\r\n", Ok(Done), ""),
            ("HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno", failed("answered with code 400"), "no"),
            ("HTTP/1.1 500 Bad\r\n\r\nno", failed("answered with code 500"), "no"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nx", Ok(Done), "ok"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n1;a=b\r\nx\r\n0\r\nA:b\r\n\r\n",
                Ok(Done),
                "x",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0A\r\n0123456789\r\n2\r\nx",
                Ok(Done),
                "0123456789x",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n",
                failed("a malformed answer"),
                "ok",
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", failed("a malformed answer"), ""),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
                failed("a malformed answer"),
                "",
            ),
            ("HTTP/1.1 200 OK\r\n\r\n0123456789012345678901234567890", Ok(Done), "01234567890123456789"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n012345678901234567890",
                Ok(Done),
                "01234567890123456789",
            ),
            ("SSH-2.0-OpenSSH_9.9\r\n", failed("no HTTP answer"), ""),
            ("HTTP/1.1 2x0 OK\r\n\r\n", failed("no HTTP answer"), ""),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n", Ok(More), ""),
        ];
        for (answer, comes, body) in cases {
            assert_eq!(answered(answer), (comes, body.to_owned()), "{answer:?}");
        }
    }

    #[test]
    fn a_head_has_its_limits() {
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(20_000));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(65));
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        for (answer, reason) in [
            (endless, "a head of more than 16 KiB"),
            (many, "more than 64 headers"),
            (interim, "a head of more than 16 KiB"),
        ] {
            for length in [1, 7, 4096, usize::MAX] {
                let (comes, _) = fed(get(20, false), answer.as_bytes().chunks(length));
                assert_eq!(comes, Err(reason.to_owned()));
            }
        }
        let most = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(64));
        assert_eq!(answered(&most).0, Ok(Progress::Done));
    }

    #[test]
    fn any_answer_will_do_for_a_hook() {
        for answer in ["HTTP/1.1 500 Bad\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: https://a/\r\n\r\n"] {
            assert_eq!(answered_with(&get(20, true), answer.as_bytes()).0, Ok(Progress::Done));
        }
        assert_eq!(answered_with(&get(20, true), b"SSH-2.0\r\n").0, Err("no HTTP answer".to_owned()));
    }

    /// The request that follows on a redirect, without the headers that are always there.
    fn redirected(get: Get, location: &str) -> Result<(u16, String), String> {
        let mut http = Http::new(get);
        let answer = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n");
        http.read(answer.as_bytes())?;
        let request = String::from_utf8(http.request()).expect("UTF-8");
        Ok((http.port(), request.split("\r\nUser-Agent").next().unwrap_or_default().to_owned()))
    }

    #[test]
    fn redirects_lead_to_the_same_host_only() {
        let to =
            |port: u16, path: &str, host: &str| Ok((port, format!("GET {path} HTTP/1.1\r\nHost: {host}")));
        let cases = [
            ("/x", to(8080, "/x", "localhost:8080")),
            ("x?y#z", to(8080, "/a/x?y", "localhost:8080")),
            ("../x/./", to(8080, "/x/", "localhost:8080")),
            ("../../..", to(8080, "/", "localhost:8080")),
            ("?y", to(8080, "/a/b?y", "localhost:8080")),
            ("#z", to(8080, "/a/b?c", "localhost:8080")),
            ("//localhost:81/x", to(81, "/x", "localhost:81")),
            ("HTTP://127.0.0.1", to(80, "/", "127.0.0.1:80")),
            ("http://[::1]:82?x", to(82, "/?x", "[::1]:82")),
            ("/a:b", to(8080, "/a:b", "localhost:8080")),
            ("/\u{fc} x", to(8080, "/%C3%BC%20x", "localhost:8080")),
            ("https://localhost/", Err("redirects to https: https://localhost/".to_owned())),
            ("http://a.b/", Err("redirects to another host: http://a.b/".to_owned())),
            ("http://localhost@a/", Err("redirects to another host: http://localhost@a/".to_owned())),
            ("http://localhost:0/", Err("redirects to another host: http://localhost:0/".to_owned())),
            ("http:x", Err("redirects to another host: http:x".to_owned())),
            ("ftp://localhost/", Err("redirects to another host: ftp://localhost/".to_owned())),
        ];
        for (location, comes) in cases {
            assert_eq!(redirected(get(20, false), location), comes, "{location}");
        }
        let named = Get { headers: vec![("host".to_owned(), "web.example".to_owned())], ..get(20, false) };
        assert_eq!(redirected(named.clone(), "/x"), to(8080, "/x", "web.example"));
        assert_eq!(redirected(named.clone(), "http://web.example/x"), to(80, "/x", "web.example:80"));
        assert!(redirected(named, "http://other.example/x").is_err());
    }

    #[test]
    fn ten_redirects_are_followed() {
        let mut http = Http::new(get(20, false));
        let answer = b"HTTP/1.1 307 Temporary\r\nLocation: /\r\n\r\n";
        for _ in 0..10 {
            assert_eq!(http.read(answer), Ok(Progress::Follow));
        }
        assert_eq!(http.read(answer), Err("more than 10 redirects".to_owned()));
    }

    #[test]
    fn a_request_is_ours_with_what_the_user_adds_and_replaces() {
        let request = |headers: &[(&str, &str)], is_hook| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let get = Get { headers: headers.collect(), ..get(20, is_hook) };
            String::from_utf8(Http::new(get).request()).expect("UTF-8")
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            request(&[], true),
            format!(
                "GET /a/b?c HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: sexton-hook/{version}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
            )
        );
        assert_eq!(
            request(
                &[("accept", ""), ("HOST", "a"), ("user-agent", "b"), ("X", "c\r\nY: d"), ("X", "")],
                false
            ),
            "GET /a/b?c HTTP/1.1\r\nHost: a\r\nConnection: close\r\nuser-agent: b\r\nX: c  Y: d\r\nX: \r\n\r\n"
        );
    }
}
