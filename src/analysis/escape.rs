//! Foreign names in Markdown: shown as they are, without the power to format, link, mention or embed.

use sweep_core::plain;

/// Text in one line, as Markdown shows it letter by letter.
pub(crate) fn text(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown = String::with_capacity(one_line.len());
    for c in plain::line(&one_line).chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '|' | '*' | '[' | ']' | '\\' | '`' | '~' => shown.extend(['\\', c]),
            // A joiner of no width: neither a person nor an address.
            '@' => shown.push_str("@\u{2060}"),
            c => shown.push(c),
        }
    }
    shown.replace("://", ":\u{2060}//").replace("www.", "www\u{2060}.")
}

/// A sentence of ours with names in backticks: the names are code, everything else is [`text`].
pub(crate) fn sentence(sentence: &str) -> String {
    let pieces: Vec<&str> = sentence.split('`').collect();
    // Backticks come in pairs; one that is left over belongs to a name.
    let paired = pieces.len() - usize::from(pieces.len().is_multiple_of(2));
    let mut shown = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        if index % 2 == 1 && index < paired && !piece.trim().is_empty() {
            let code = piece.split_whitespace().collect::<Vec<_>>().join(" ");
            shown += &["`", &*plain::line(&code), "`"].concat();
        } else {
            let space = |is_there: bool| if is_there { " " } else { "" };
            let words = text(piece);
            let after = !words.is_empty() && piece.ends_with(char::is_whitespace);
            shown += &[space(piece.starts_with(char::is_whitespace)), words.as_str(), space(after)].concat();
        }
    }
    shown
}

/// Text of several lines as a block of code, whatever is in it.
pub(crate) fn block(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{}\n{fence}\n", plain::text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_power() {
        assert_eq!(text("l1, 0.3 (a_b)"), "l1, 0.3 (a_b)");
        assert_eq!(text("a\n# b ![x](http://e) <img>"), "a # b !\\[x\\](http:\u{2060}//e) &lt;img>");
        assert_eq!(text("a|b `c` @me &lt;"), "a\\|b \\`c\\` @\u{2060}me &amp;lt;");
        assert_eq!(text("\u{1b}[2J"), "\\\\u{1b}\\[2J");
    }

    #[test]
    fn code_of_our_sentences_stays_code() {
        assert_eq!(
            sentence("With `loss.name = \"l1\"` the error is 1.2 mm."),
            "With `loss.name = \"l1\"` the error is 1.2 mm."
        );
        assert_eq!(sentence("`a` beats `b*`"), "`a` beats `b*`");
        assert_eq!(sentence("odd ` [x](y)"), "odd  \\[x\\](y)");
        assert!(!sentence("a `x\n\n<script>` b").contains('\n'));
    }

    #[test]
    fn a_block_ends_where_it_ends() {
        assert_eq!(block("a\n```\n# b"), "````\na\n```\n# b\n````\n");
    }
}
