//! Errors of TOML's syntax, with the line and what is left open.

use super::Source;
use sweep_core::error::Error;

impl Source {
    /// The error of a text that is not TOML.
    pub(super) fn not_toml(&self, error: &toml::de::Error) -> Error {
        let start = error.span().map_or(0, |span| span.start.min(self.text.len()));
        let line = self.line(start);
        let mut message = format!("not valid TOML: {}", error.message());
        if let Some(text) = self.text.lines().nth(line - 1) {
            let before = self.text.get(..start).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
            let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let margin = " ".repeat(line.to_string().len());
            message = format!("{message}\n {margin} |\n {line} | {text}\n {margin} | {indent}^");
        }
        let error = Error::definition(message).at(format!("{}:{line}", self.file));
        match self.left_open(start) {
            Some(('[', line)) => error.remedy(format!("close the list that begins in line {line} with `]`")),
            Some((_, line)) => error.remedy(format!("close the table that begins in line {line} with `}}`")),
            None => error,
        }
    }

    /// The innermost bracket that is open before a byte of the text, and its line; brackets in texts and comments do not
    /// count.
    fn left_open(&self, end: usize) -> Option<(char, usize)> {
        let (mut open, mut quote) = (Vec::new(), None);
        let mut characters = self.text.get(..end)?.char_indices();
        while let Some((at, c)) = characters.next() {
            match (quote, c) {
                (Some('"'), '\\') => drop(characters.next()),
                // A text ends with its line at the latest.
                (Some(_), '\n') => quote = None,
                (Some(of), c) if c == of => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (None, '#') => drop(characters.find(|(_, c)| *c == '\n')),
                (None, '[' | '{') => open.push((c, self.line(at))),
                (None, ']' | '}') => drop(open.pop()),
                _ => {}
            }
        }
        // A header that is written to the end of the text is not a list.
        open.into_iter().rfind(|(_, line)| *line < self.line(end))
    }
}

#[cfg(test)]
mod tests {
    use crate::definition::SweepDefinition;

    #[test]
    fn what_is_left_open_is_said() {
        let said = |text: &str| SweepDefinition::parse("d.toml", text).unwrap_err().to_string();
        let list = said("name = 'd' # [\n[axes]\n\"a]\" = [1,\n\n[trial]\nepochs = 1\n");
        assert!(list.contains("close the list that begins in line 3 with `]`"), "{list}");
        let table = said("name = 'd'\n[trial]\nloss = { name = 'l1',\n  beta = 1\nepochs = 1\n");
        assert!(table.contains("close the table that begins in line 3 with `}`"), "{table}");
        let plain = said("name = 'd'\nepochs = = 1\n");
        assert!(plain.contains("d.toml:2") && plain.contains(" 2 | epochs = = 1\n   |          ^"), "{plain}");
        assert!(!plain.contains("close"), "{plain}");
    }
}
