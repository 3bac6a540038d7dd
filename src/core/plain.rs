//! Foreign text without power: names from files of other people, as they may be printed, tabled and written on.
//!
//! A terminal obeys control characters, GitHub obeys lines that begin with `::`, and spreadsheets calculate cells that begin
//! with `=`. Each function spells such characters so that a reader sees them and no program obeys them.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Characters that terminals and editors obey instead of showing: controls, line separators, and marks that turn the
/// direction of text, with which a name can look like another (CVE-2021-42574).
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// The text in one line.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_obeyed) { Cow::Owned(spelt(text, |_| false)) } else { Cow::Borrowed(text) }
}

/// The text with its line breaks and tabs, for a terminal or a log. Lines that GitHub would take for a command of a
/// workflow are spelt so that it does not.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    let is_kept = |c| matches!(c, '\n' | '\t');
    let is_command = |line: &str| line.trim_start().starts_with("::") || line.contains("##[");
    if !text.chars().any(|c| is_obeyed(c) && !is_kept(c)) && !text.lines().any(is_command) {
        return Cow::Borrowed(text);
    }
    let shown = spelt(text, is_kept);
    let lines = shown.split('\n').map(|line| {
        let line = line.replace("##[", "#\\u{23}[");
        let command = line.trim_start();
        match command.strip_prefix("::") {
            Some(rest) => format!("{}\\u{{3a}}:{rest}", &line[..line.len() - command.len()]),
            None => line,
        }
    });
    Cow::Owned(lines.collect::<Vec<_>>().join("\n"))
}

/// JSON whose strings have every such character as an escape: the same JSON, and nothing to obey.
#[must_use]
pub fn json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if is_obeyed(c) && c != '\n' {
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    // Outside strings JSON has no `#`.
    shown.replace("##[", "##\\u005b")
}

/// A text cell of a CSV that a spreadsheet shows and does not calculate: a leading `'` marks what is no number and begins
/// like a formula (<https://owasp.org/www-community/attacks/CSV_Injection>).
#[must_use]
pub fn cell(text: &str) -> Cow<'_, str> {
    let begins = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let is_number = text.parse::<f64>().is_ok();
    if begins && !is_number && text != "-" { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

fn spelt(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) && !is_kept(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_terminals_obey_is_spelt() {
        assert_eq!(line("sella äöü 目"), "sella äöü 目");
        assert_eq!(line("a\nb\u{1b}[2J\u{9b}1m\u{202e}x"), "a\\nb\\u{1b}[2J\\u{9b}1m\\u{202e}x");
        assert_eq!(text("a\n\tb\r\u{7}"), "a\n\tb\\r\\u{7}");
    }

    #[test]
    fn lines_that_github_obeys_are_spelt() {
        assert_eq!(text("l1 :: ok\n  ::error::x"), "l1 :: ok\n  \\u{3a}:error::x");
        assert_eq!(text("see ##[group]x"), "see #\\u{23}[group]x");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "name": "a\u{9b}b\u{202e}##[x]\n\u{1b}", "list": ["ü"] });
        let shown = json(&serde_json::to_string_pretty(&value).unwrap());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        assert!(!shown.chars().any(|c| is_obeyed(c) && c != '\n') && !shown.contains("##["), "{shown}");
    }

    #[test]
    fn formulas_become_text_and_numbers_stay() {
        for (of, shown) in [
            ("=1+1", "'=1+1"),
            ("@x", "'@x"),
            ("-a", "'-a"),
            ("-0.5", "-0.5"),
            ("+1e3", "+1e3"),
            ("-", "-"),
            ("l1", "l1"),
        ] {
            assert_eq!(cell(of), shown);
        }
    }
}
