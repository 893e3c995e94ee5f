//! Lines of an environment file: `KEY=value`.

/// The variables of an environment file, in its order, or the number of the first line that is none.
///
/// Blank lines and lines that begin with `#` do not count, `export ` in front is allowed, and so are quotes around the
/// value: between single ones everything stands for itself, between double ones `\n`, `\"`, `\\` and `\$` stand for what
/// they do in a shell. Nothing is expanded.
pub(super) fn lines(text: &str) -> Result<Vec<(&str, String)>, usize> {
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        variables.push(variable(line).ok_or(number + 1)?);
    }
    Ok(variables)
}

fn variable(line: &str) -> Option<(&str, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || name.contains(char::is_whitespace) {
        return None;
    }
    let value = if let Some(rest) = value.strip_prefix('\'') {
        rest.strip_suffix('\'').filter(|inner| !inner.contains('\''))?.to_owned()
    } else if let Some(rest) = value.strip_prefix('"') {
        unquoted(rest)?
    } else {
        value.to_owned()
    };
    Some((name, value))
}

/// What stands between double quotes, given what follows the first; None where the second is not the last character.
fn unquoted(rest: &str) -> Option<String> {
    let (mut value, mut chars) = (String::new(), rest.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => return chars.next().is_none().then_some(value),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                c @ ('"' | '\\' | '$') => value.push(c),
                c => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_line_is_understood() {
        let text = "# a comment\n\nA=1\nexport B = two words \r\nC='$(A) \\n'\nD=\"a\\n\\\"\\\\\\$\\x\"\nE=\nF=a=b\nG=it's";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "$(A) \\n"),
            ("D", "a\n\"\\$\\x"),
            ("E", ""),
            ("F", "a=b"),
            ("G", "it's"),
        ];
        assert_eq!(lines(text), Ok(expected.map(|(name, value)| (name, value.to_owned())).to_vec()));
    }

    #[test]
    fn what_is_no_variable_is_told_by_its_line() {
        for line in ["A", "=1", "A B=1", "A='x", "A='x'y'", "A=\"x", "A=\"x\" y", "A=\"x\\"] {
            assert_eq!(lines(&format!("OK=1\n{line}")), Err(2), "{line}");
        }
    }
}
