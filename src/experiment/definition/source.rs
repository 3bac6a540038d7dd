//! Text of a definition, and where its keys stand.

use toml::de::DeTable;

/// Text of a definition.
#[derive(Debug, Clone)]
pub struct Source {
    /// File name as given.
    pub file: String,
    /// Its content.
    pub text: String,
}

impl Source {
    /// `FILE:LINE, key KEY`: the line of the deepest part of the path that the text has.
    #[must_use]
    pub fn locate(&self, path: &[&str]) -> String {
        let key = path.join(".");
        let line = DeTable::parse(&self.text).ok().and_then(|document| {
            let mut table = document.get_ref();
            let mut found = None;
            for part in path {
                let Some((key, value)) = table.get_key_value(*part) else { break };
                found = Some(key.span().start);
                let Some(inner) = value.get_ref().as_table() else { break };
                table = inner;
            }
            found.map(|offset| self.line(offset))
        });
        match line {
            Some(line) => format!("{}:{line}, key `{key}`", self.file),
            None => format!("{}, key `{key}`", self.file),
        }
    }

    /// The line, counted from 1, of a byte of the text.
    pub(super) fn line(&self, offset: usize) -> usize {
        1 + self.text.get(..offset).unwrap_or(&self.text).matches('\n').count()
    }
}
