//! `sexton inspect env`: the environment that a process was started with, without its secrets.

use super::pieces;
use crate::table::{Column, Side, Table, column, escape};

/// What stands in a secret's place.
const MASK: &[u8] = b"********";
/// A name with one of these in it is a secret's: rather one too many.
const SECRET: &str = "PASS,PWD,SECRET,TOKEN,KEY,CRED,AUTH,PRIVATE,DSN,CONNECTION,CONN_STR,CONNSTR,COOKIE,SESSION,\
    SALT,CERT,JWT,BEARER,SIGN,WEBHOOK";
/// The same for whole words of a name.
const SECRET_WORDS: &str = "PAT,PIN,OTP,SAS,PW";
/// These are none.
const KNOWN: &str = "PWD,OLDPWD";
/// Names that end like this have the place of a secret, where their value is one.
const PLACES: &str = "_FILE,_PATH,_DIR,_SOCK";
/// A value with one of these in it has a secret, whatever its name.
const GIVEN: &str = "password=,passwd=,pwd=,secret=,token=,key=,signature=,private key-----";
/// The same for its beginning.
const GIVEN_FIRST: &str = "eyj,bearer ,basic ";

const COLUMNS: &[Column] =
    &[column("", "name", Side::Left), column("", "value", Side::Left), column("", "masked", Side::Left)];

/// What was found: a table for programs or lines for people, and how many values are masked.
pub(crate) struct Environment {
    pub(crate) text: String,
    pub(crate) table: Table,
    pub(crate) masked: usize,
}

/// Reads /proc/PID/environ.
pub(crate) fn read(environ: &[u8], reveal: bool, json: bool) -> Environment {
    let mut variables = Vec::new();
    for variable in pieces(environ) {
        if !variable.is_empty() {
            variables.push(variable.to_vec());
        }
    }
    variables.sort_unstable();
    let mut found = Environment { text: String::new(), table: Table::new(COLUMNS, json), masked: 0 };
    for variable in &variables {
        let (name, value) = parts(variable);
        let mask = value.filter(|_| !reveal).and_then(|value| masked(name, value));
        found.masked += usize::from(mask.is_some());
        let shown = mask.as_deref().or(value);
        escape(&mut found.text, name);
        found.table.text(name);
        match shown {
            Some(shown) => {
                found.text.push('=');
                escape(&mut found.text, shown);
                found.table.text(shown);
            }
            None => found.table.none("-"),
        }
        found.text.push('\n');
        found.table.flag(mask.is_some());
    }
    found
}

/// The value of a variable in an environment.
pub(crate) fn value_of<'a>(environ: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    pieces(environ).map(parts).find(|(other, _)| *other == name)?.1
}

/// Name and value; None where a process has written something else over its environment.
fn parts(variable: &[u8]) -> (&[u8], Option<&[u8]>) {
    match variable.iter().position(|byte| *byte == b'=') {
        Some(end) => (&variable[..end], Some(&variable[end + 1..])),
        None => (variable, None),
    }
}

/// The value is a secret, or has one in it.
pub(crate) fn is_secret(name: &[u8], value: &[u8]) -> bool {
    masked(name, value).is_some()
}

/// The value without the secret in it; None where there is none.
fn masked(name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    if value.is_empty() {
        return None; // that it is empty is what one wants to know
    }
    let is_word = |word| is_any(word, SECRET_WORDS, <[u8]>::eq_ignore_ascii_case);
    let is_secrets =
        is_any(name, SECRET, has) || name.split(|byte| !byte.is_ascii_alphanumeric()).any(is_word);
    let is_place = value.starts_with(b"/") && is_any(name, PLACES, ends);
    let is_known = is_any(name, KNOWN, <[u8]>::eq_ignore_ascii_case);
    if (is_secrets && !is_place && !is_known)
        || is_any(value, GIVEN, has)
        || is_any(value, GIVEN_FIRST, starts)
    {
        return Some(MASK.to_vec());
    }
    without_passwords(value)
}

/// Whether one of the words fits, in capital or small letters.
fn is_any(text: &[u8], words: &str, fits: fn(&[u8], &[u8]) -> bool) -> bool {
    words.as_bytes().split(|byte| *byte == b',').any(|word| fits(text, word))
}

/// std's own search is fast and large, and nothing here is long.
fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

fn starts(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start))
}

fn ends(text: &[u8], end: &[u8]) -> bool {
    text.len().checked_sub(end.len()).is_some_and(|at| text[at..].eq_ignore_ascii_case(end))
}

/// A URL with its `user:password@` masked, and each of many; None where there is none.
fn without_passwords(value: &[u8]) -> Option<Vec<u8>> {
    let find = |bytes: &[u8]| bytes.windows(3).position(|three| three == b"://");
    let (mut out, mut rest, mut is_changed) = (Vec::new(), value, false);
    while let Some(at) = find(rest) {
        let (before, after) = rest.split_at(at + 3);
        out.extend_from_slice(before);
        let end = find(after).unwrap_or(after.len());
        let blank = after.iter().position(u8::is_ascii_whitespace).unwrap_or(end);
        let (url, _) = after.split_at(end.min(blank));
        let authority = url.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(url.len());
        let last_at = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'@');
        // A password may hold a slash that nobody has encoded.
        let host = last_at(&url[..authority]).or_else(|| last_at(url));
        rest = after;
        if let Some(host) = host {
            // A user without a password may be a token.
            let user = url[..host].iter().position(|byte| *byte == b':').map_or(0, |colon| colon + 1);
            out.extend_from_slice(&url[..user]);
            out.extend_from_slice(MASK);
            rest = &after[host..];
            is_changed = true;
        }
    }
    out.extend_from_slice(rest);
    is_changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(environ: &str, reveal: bool) -> (String, usize) {
        let found = read(environ.as_bytes(), reveal, false);
        (found.text, found.masked)
    }

    #[test]
    fn variables_are_sorted_and_secrets_masked_by_name() {
        let environ = "Z=1\0DB_PASSWORD=hunter2\0A=b=c\0db_pass=x\0EMPTY_TOKEN=\0";
        let expected = "A=b=c\nDB_PASSWORD=********\nEMPTY_TOKEN=\nZ=1\ndb_pass=********\n";
        assert_eq!(shown(environ, false), (expected.to_owned(), 2));
        let all = "A=b=c\nDB_PASSWORD=hunter2\nEMPTY_TOKEN=\nZ=1\ndb_pass=x\n";
        assert_eq!(shown(environ, true), (all.to_owned(), 0));
    }

    #[test]
    fn rather_one_too_many() {
        let secrets = [
            "PASSWORD",
            "PGPASSWORD",
            "MYSQL_PWD",
            "MY_PASSPHRASE",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "API_KEY",
            "apikey",
            "STRIPE_KEY",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "BASIC_AUTH",
            "PRIVATE",
            "SENTRY_DSN",
            "CONNECTION_STRING",
            "AZURE_STORAGE_CONNECTION_STRING",
            "COOKIE",
            "SESSION_ID",
            "PASSWORD_SALT",
            "TLS_CERT",
            "JWT",
            "GITHUB_PAT",
            "SIGNING",
            "SLACK_WEBHOOK",
            "CARD_PIN",
            "DB_PW",
        ];
        for name in secrets {
            assert_eq!(masked(name.as_bytes(), b"x"), Some(MASK.to_vec()), "{name}");
        }
        for name in ["PATH", "PWD", "OLDPWD", "HOME", "HOSTNAME", "PORT", "LOG_LEVEL", "SPIN", "LANG"] {
            assert_eq!(masked(name.as_bytes(), b"x"), None, "{name}");
        }
        assert_eq!(masked(b"PGPASSWORD_FILE", b"/run/secrets/pg"), None);
        assert_eq!(masked(b"PGPASSWORD_FILE", b"hunter2"), Some(MASK.to_vec()));
    }

    #[test]
    fn a_value_may_give_itself_away() {
        for value in [
            "Server=db;User=a;Password=b",
            "jdbc:postgresql://db/a?user=b&password=c",
            "-----BEGIN RSA PRIVATE KEY-----\nMII",
            "eyJhbGciOi",
            "Bearer abc",
            "DefaultEndpointsProtocol=https;AccountKey=abc==",
        ] {
            assert_eq!(masked(b"A", value.as_bytes()), Some(MASK.to_vec()), "{value}");
        }
    }

    #[test]
    fn a_url_keeps_all_but_its_password() {
        let cases = [
            ("postgres://u:p@db:5432/a?b=c", "postgres://u:********@db:5432/a?b=c"),
            ("postgres://u:p@ss@db/a", "postgres://u:********@db/a"),
            ("postgres://u:p/q@db", "postgres://u:********@db"),
            ("redis://:p@db", "redis://:********@db"),
            ("https://token@github.com/a", "https://********@github.com/a"),
            ("amqp://a:b@h1,amqp://c:d@h2", "amqp://a:********@h1,amqp://c:********@h2"),
            ("x http://a:b@h y", "x http://a:********@h y"),
            ("mongodb://a:b@h1,h2/c", "mongodb://a:********@h1,h2/c"),
        ];
        for (value, expected) in cases {
            let found = masked(b"A", value.as_bytes()).map(|value| String::from_utf8(value).expect("text"));
            assert_eq!(found.as_deref(), Some(expected));
        }
        for value in ["http://h:80/a", "tcp://10.0.0.1:443", "a@b", "://", "x://", ""] {
            assert_eq!(masked(b"A", value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn what_is_written_over_an_environment_is_shown_as_it_is() {
        assert_eq!(shown("nginx: master\0\0\0\x1b[31m=\n", false).0, "\\u{1b}[31m=\\n\nnginx: master\n");
        assert_eq!(value_of(b"A=1\0SEXTON_PROGRAM=web\0", b"SEXTON_PROGRAM"), Some(&b"web"[..]));
        assert_eq!(value_of(b"SEXTON_PROGRAMS=web\0SEXTON_PROGRAM", b"SEXTON_PROGRAM"), None);
        assert_eq!(value_of(b"", b"A"), None);
    }
}
