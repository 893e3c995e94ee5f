//! `$(NAME)` in strings, by the rules of a pod spec (Kubernetes' third_party/forked/golang/expansion).

/// How long a string may be: execve(2) takes no longer one, its NUL included (MAX_ARG_STRLEN).
pub(super) const MAX_STRING: usize = 128 * 1024 - 1;

/// The text with each `$(NAME)` replaced by what `variable` says, once; what it does not know stays as it stands, and so
/// does a `$(` that nothing closes. `$$` is a dollar. None where it gets longer than [`MAX_STRING`].
pub(super) fn expand<'a>(
    text: &str,
    variable: &dyn Fn(&str) -> Option<std::borrow::Cow<'a, str>>,
) -> Option<String> {
    let (mut out, mut rest) = (String::new(), text);
    // Where no `)` is left there is none to look for again.
    let mut may_close = true;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(next) = after.strip_prefix('$') {
            rest = next;
        } else if let Some(name) = after.strip_prefix('(').filter(|_| may_close) {
            match name.split_once(')') {
                Some((name, next)) => {
                    rest = next;
                    match variable(name) {
                        Some(value) => out.push_str(&value),
                        None => out.extend(["$(", name, ")"]),
                    }
                    if out.len() > MAX_STRING {
                        return None;
                    }
                    continue;
                }
                None => may_close = false,
            }
        }
        out.push('$');
    }
    out.push_str(rest);
    (out.len() <= MAX_STRING).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_expand_as_in_a_pod_spec() {
        // The cases of Kubernetes' own expand_test.go, and what they give.
        let cases = [
            ("$(VAR_A)", "A"),
            ("___$(VAR_B)___", "___B___"),
            ("$(VAR_A)-1", "A-1"),
            ("$(VAR_A)_$(VAR_B)", "A_B"),
            ("$$(VAR_B)_$(VAR_A)", "$(VAR_B)_A"),
            ("$$$(VAR_A)", "$A"),
            ("$$$$(VAR_A)", "$$(VAR_A)"),
            ("$VAR_A", "$VAR_A"),
            ("$(VAR_A", "$(VAR_A"),
            ("$$(VAR_A", "$(VAR_A"),
            ("$(MISSING)", "$(MISSING)"),
            ("$()", "$()"),
            ("$(REF)", "$(VAR_A)"),
            ("$?_boo_$!", "$?_boo_$!"),
            ("foo$", "foo$"),
            ("$$", "$"),
            ("$($(VAR_A)", "$($(VAR_A)"),
            ("é$(VAR_A)é$(", "éAé$("),
        ];
        let variable = |name: &str| match name {
            "VAR_A" => Some("A".into()),
            "VAR_B" => Some("B".into()),
            "REF" => Some("$(VAR_A)".into()),
            _ => None,
        };
        for (text, expanded) in cases {
            assert_eq!(expand(text, &variable).as_deref(), Some(expanded), "{text}");
        }
        assert_eq!(expand(&"$(".repeat(60_000), &variable), Some("$(".repeat(60_000)));
        assert_eq!(expand(&"$(VAR_A)".repeat(MAX_STRING + 1), &variable), None);
    }
}
