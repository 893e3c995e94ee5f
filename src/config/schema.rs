//! The JSON schema of the file, written from the table of keys.

use super::keys::{CAPABILITIES, FILE, Kind, MAX_NAME, MAX_SECONDS, MAX_SOCKET_PATH, RESOURCES, Section};
use crate::json;
use crate::signal::Signal;
use crate::text::join;

/// What a string with a reference may become is not known before it is read.
const REFERENCE: &str = r#"{"type":"string","pattern":"\\$\\("}"#;
/// Any string that the file may have: without a NUL and without Supervisor's substitutions.
const STRING: &str = r#"{"type":"string","not":{"pattern":"\\u0000|%\\(((program_name|process_num|host_node_name|group_name|numprocs|here)\\)|ENV_)"}}"#;
const TEXT: &str = r##"{"$ref":"#/$defs/string","minLength":1}"##;
/// A number of bytes that fits into 64 bits, as far as a pattern can say it.
const UNSIGNED: &str = r#"{"type":"integer","minimum":0}"#;
const DURATION: &str = "0|([0-9]+(ms|[smhd]))+";
/// The same with a digit that is not zero.
const SPAN: &str = "(?=.*[1-9])([0-9]+(ms|[smhd]))+";
const PORT: &str = "0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
const IPV4: &str =
    "((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
/// An IPv6 address, as far as a pattern can say it.
const IPV6: &str = "[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*";
/// All but white space and control characters.
const VISIBLE: &str = "[^\\s\\u0000-\\u001f\\u007f-\\u009f]";

/// The schema of the configuration file (JSON Schema, draft 2020-12), for editors and for checks before a deployment.
///
/// It knows all but what one part of the file says of another: names in `main` and `after`, and the sums that `numprocs`
/// makes. A string with `$(` in it is taken on trust.
#[must_use]
pub fn schema() -> String {
    let mut out = String::from(
        r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","title":"the configuration file of sexton","$defs":{"string":"#,
    );
    let definitions = [
        ("reference", REFERENCE.to_owned()),
        (
            "variables",
            format!(
                r#"{{"type":"object","propertyNames":{{"pattern":"^[^=\\u0000]+$"}},"additionalProperties":{{{}}}}}"#,
                members(Kind::Variable)
            ),
        ),
        ("limit", one_of(&[UNSIGNED.to_owned(), r#"{"const":"unlimited"}"#.to_owned(), reference()])),
        ("signal", signals(&Signal::all().collect::<Vec<_>>())),
    ];
    out.push_str(STRING);
    for (name, definition) in definitions {
        out.extend([",\"", name, "\":", definition.as_str()]);
    }
    out.push_str("},");
    object(&mut out, &FILE);
    out.push_str("}\n");
    out
}

/// The members of a schema for a table.
fn object(out: &mut String, section: &'static Section) {
    out.push_str(r#""type":"object","additionalProperties":false,"properties":{"#);
    for (place, key) in section.all().enumerate() {
        out.push_str(if place == 0 { "" } else { "," });
        out.extend([&quoted(key.name), ":{\"description\":", &quoted(key.doc)]);
        if !key.default.is_empty() {
            out.extend([",\"default\":", key.default]);
        }
        out.push(',');
        out.push_str(&members(key.kind));
        out.push('}');
    }
    out.push('}');
    out.push_str(section.rules);
}

/// The members of a schema for one value.
fn members(kind: Kind) -> String {
    let text = |pattern: &str| any(&[string(pattern), reference()]);
    match kind {
        Kind::Boolean => r#""type":"boolean""#.to_owned(),
        Kind::Integer(min, max) => format!(r#""type":"integer","minimum":{min},"maximum":{max}"#),
        Kind::Seconds => format!(r#""type":"number","minimum":0,"maximum":{MAX_SECONDS}"#),
        Kind::SpanSeconds => format!(r#""type":"number","minimum":0.001,"maximum":{MAX_SECONDS}"#),
        Kind::Duration => text(DURATION),
        Kind::Span => text(SPAN),
        Kind::DurationOr(word) => text(&format!("{word}|{DURATION}")),
        Kind::String => r##""$ref":"#/$defs/string""##.to_owned(),
        Kind::Text => inner(TEXT),
        Kind::Name => any(&[string(&name()), reference()]),
        Kind::Word(words) => text(&join(words, "|")),
        Kind::BooleanOr(words) => {
            any(&[r#"{"type":"boolean"}"#.to_owned(), string(&join(words, "|")), reference()])
        }
        Kind::Signal => r##""$ref":"#/$defs/signal""##.to_owned(),
        Kind::StopSignals => {
            let fits = |signal: &Signal| !signal.is_uncatchable() && *signal != Signal::CHLD;
            array(1, &signals(&Signal::all().filter(fits).collect::<Vec<_>>()))
        }
        Kind::Octal => text("0*[0-7]{1,3}"),
        Kind::Bytes => any(&[UNSIGNED.to_owned(), string("[0-9]+([KkMmGg][Bb])?"), reference()]),
        Kind::Logfile => format!(
            r##""$ref":"#/$defs/string","minLength":1,"not":{{"pattern":"^({}|{})$"}}"##,
            any_case("auto"),
            any_case("syslog")
        ),
        Kind::Paths => any(&[TEXT.to_owned(), format!("{{{}}}", array(0, TEXT))]),
        Kind::User => text("[^:]+(:[^:]+)?"),
        Kind::Command => any(&[
            r##"{"$ref":"#/$defs/string","pattern":"[^ \\t\\n]"}"##.to_owned(),
            format!("{{{},\"prefixItems\":[{TEXT}]}}", array(1, r##"{"$ref":"#/$defs/string"}"##)),
        ]),
        Kind::ExitCodes => array(0, r#"{"type":"integer","minimum":0,"maximum":255}"#),
        Kind::Capabilities => {
            let names: Vec<String> = CAPABILITIES.iter().chain(&["ALL"]).map(|name| any_case(name)).collect();
            let pattern = format!("({})?({})", any_case("CAP_"), join(&names, "|"));
            array(0, &one_of(&[string(&pattern), reference()]))
        }
        Kind::Variables => r##""$ref":"#/$defs/variables""##.to_owned(),
        Kind::Variable => variable(),
        Kind::Limits => format!(
            r#""type":"object","propertyNames":{},"additionalProperties":{{{}}}"#,
            string(&join(&RESOURCES, "|")),
            members(Kind::Limit)
        ),
        Kind::Limit => limit(),
        Kind::Port => port(),
        Kind::Ports => array(1, &format!("{{{}}}", port())),
        Kind::Host => text(&format!("localhost|{IPV4}|{IPV6}")),
        Kind::Addresses => array(0, &format!("{{{}}}", text(&format!("{IPV4}|{IPV6}")))),
        Kind::Listen => text(&listen()),
        Kind::Sockets => format!(
            r#""type":"object","propertyNames":{},"additionalProperties":{{{}}}"#,
            string("[^:\\u0000-\\u001f\\u007f-\\u009f]{1,255}"),
            members(Kind::Socket)
        ),
        Kind::Socket => text(&format!("{}|/.{{0,{}}}", listen(), MAX_SOCKET_PATH - 1)),
        Kind::UrlPath => text(&format!("/{VISIBLE}*")),
        Kind::Headers => format!(
            r#""type":"object","propertyNames":{},"additionalProperties":{{{}}}"#,
            string("[!#$%&'*+.^_`|~0-9A-Za-z-]+"),
            members(Kind::Header)
        ),
        Kind::Header => text("[^\\u0000-\\u001f\\u007f-\\u009f]*"),
        Kind::After(words) => {
            format!(
                r#""type":"object","additionalProperties":{}"#,
                one_of(&[string(&join(words, "|")), reference()])
            )
        }
        Kind::Table(section) => {
            let mut out = String::new();
            object(&mut out, section);
            out
        }
        Kind::Tables(section) => {
            let mut out = String::from("{");
            object(&mut out, section);
            out.push('}');
            array(1, &out)
        }
        Kind::Named(section) => {
            let mut out = format!(
                r#""type":"object","minProperties":1,"propertyNames":{},"additionalProperties":{{"#,
                string(&name())
            );
            object(&mut out, section);
            out.push('}');
            out
        }
    }
}

/// The pattern of a process's name; how many bytes its characters have is beyond it.
fn name() -> String {
    format!("{VISIBLE}{{1,{MAX_NAME}}}")
}

/// The members of a schema for a port.
fn port() -> String {
    any(&[r#"{"type":"integer","minimum":1,"maximum":65535}"#.to_owned(), string(PORT), reference()])
}

/// The pattern of an address to listen on.
fn listen() -> String {
    format!("({IPV4}|\\[{IPV6}(%[0-9]+)?\\])?:{PORT}")
}

/// What a variable takes.
fn variable() -> String {
    let file = format!(
        r#"{{"type":"object","required":["file"],"additionalProperties":false,"properties":{{"file":{TEXT}}}}}"#
    );
    any(&[r##"{"$ref":"#/$defs/string"}"##.to_owned(), r#"{"type":["number","boolean"]}"#.to_owned(), file])
}

/// What a limit takes.
fn limit() -> String {
    let limit = r##"{"$ref":"#/$defs/limit"}"##;
    let pair = format!(
        r#"{{"type":"object","required":["soft","hard"],"additionalProperties":false,"properties":{{"soft":{limit},"hard":{limit}}}}}"#
    );
    any(&[limit.to_owned(), pair])
}

/// Any of these signals, by number or by name.
fn signals(signals: &[Signal]) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut numbers = Vec::new();
    for signal in signals {
        let number = signal.number().to_string();
        let full = signal.to_string();
        match full.strip_prefix("SIG") {
            Some(name) if name.starts_with("RT") => {}
            Some(name) => names.push(any_case(name)),
            None => {}
        }
        numbers.push(number);
    }
    let real_time = "(\\+([12]?[0-9]|30))?";
    names.push(format!("{}{real_time}", any_case("RTMIN")));
    names.push(format!("{}{}", any_case("RTMAX"), real_time.replace('+', "-")));
    let (names, digits) = (join(&names, "|"), join(&numbers, "|"));
    let pattern = format!("({})?({names})|\\+?0*({digits})", any_case("SIG"));
    one_of(&[format!(r#"{{"enum":[{}]}}"#, join(&numbers, ",")), string(&pattern), reference()])
}

fn reference() -> String {
    r##"{"allOf":[{"$ref":"#/$defs/string"},{"$ref":"#/$defs/reference"}]}"##.to_owned()
}

/// A string all of which fits the pattern.
fn string(pattern: &str) -> String {
    format!(r#"{{"type":"string","pattern":{}}}"#, quoted(&format!("^({pattern})$")))
}

fn array(least: usize, items: &str) -> String {
    format!(r#""type":"array","minItems":{least},"items":{items}"#)
}

fn any(schemas: &[String]) -> String {
    format!(r#""anyOf":[{}]"#, join(schemas, ","))
}

fn one_of(schemas: &[String]) -> String {
    format!("{{{}}}", any(schemas))
}

/// The members of a schema without its braces.
fn inner(schema: &str) -> String {
    schema.trim_start_matches('{').trim_end_matches('}').to_owned()
}

/// A pattern for a word in either case: JSON schema's patterns know no flags.
fn any_case(word: &str) -> String {
    let mut pattern = String::new();
    for c in word.chars() {
        if c.is_ascii_alphabetic() {
            pattern.extend(['[', c.to_ascii_uppercase(), c.to_ascii_lowercase(), ']']);
        } else {
            pattern.push(c);
        }
    }
    pattern
}

/// The text as a JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    json::string(&mut out, text);
    out
}
