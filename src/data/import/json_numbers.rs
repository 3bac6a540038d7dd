//! NaN and Infinity, which JSON does not know and Python's `json` writes all the same.

use std::borrow::Cow;

const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// A JSON text with `null` in the place of NaN, Infinity and -Infinity.
pub(super) struct Plain<'a> {
    pub(super) text: Cow<'a, str>,
    /// The first word that was replaced, and its line from 1.
    pub(super) first: Option<(&'static str, usize)>,
}

/// Replaces such words outside strings; lines stay as they are.
pub(super) fn plain(text: &str) -> Plain<'_> {
    if !WORDS.iter().any(|word| text.contains(word)) {
        return Plain { text: Cow::Borrowed(text), first: None };
    }
    let bytes = text.as_bytes();
    let (mut out, mut kept, mut first) = (String::with_capacity(text.len()), 0, None);
    let (mut at, mut in_string) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => in_string = !in_string,
            b'\\' if in_string => at += 1,
            b'-' | b'I' | b'N' if !in_string => {
                if let Some(word) = WORDS.into_iter().find(|word| bytes[at..].starts_with(word.as_bytes())) {
                    out.push_str(text.get(kept..at).unwrap_or_default());
                    out.push_str("null");
                    let lines = || bytes[..at].split(|b| *b == b'\n').count();
                    first = first.or_else(|| Some((word, lines())));
                    at += word.len();
                    kept = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    Plain { text: Cow::Owned(out), first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_outside_strings_become_null() {
        let text = "{\"a\": [NaN,\n -Infinity, -1], \"NaN \\\" NaN\": Infinity}";
        let plain = plain(text);
        assert_eq!(plain.text, "{\"a\": [null,\n null, -1], \"NaN \\\" NaN\": null}");
        assert_eq!(plain.first, Some(("NaN", 1)));
        assert_eq!(super::plain("[1,\n\n-Infinity]").first, Some(("-Infinity", 3)));
        assert_eq!(super::plain("[\"NaN\"]").first, None);
        // Nothing that ends early.
        assert_eq!(super::plain("[\"NaN\\").text, "[\"NaN\\");
        assert_eq!(super::plain("NaN-").text, "null-");
    }
}
