//! Putting texts together.
//!
//! Pure. The standard library's own `join` is a kilobyte for each kind of text.

/// The texts with another between each two.
#[must_use]
pub fn join<T: AsRef<str>>(texts: &[T], between: &str) -> String {
    let mut joined = String::new();
    for (place, text) in texts.iter().enumerate() {
        if place > 0 {
            joined += between;
        }
        joined += text.as_ref();
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_stands_nowhere_else() {
        assert_eq!(join(&["a", "", "b"], ", "), "a, , b");
        assert_eq!(join(&["a".to_owned()], ", "), "a");
        assert_eq!(join::<&str>(&[], ", "), "");
    }
}
