//! Text of a definition, and where its keys stand.

use std::ops::Range;

use sweep_core::error::Error;
use toml::de::{DeArray, DeTable, DeValue};

/// What a path leads to.
enum Place<'a> {
    Table(&'a DeTable<'a>),
    List(&'a DeArray<'a>),
}

/// Text of a definition.
#[derive(Debug, Clone)]
pub struct Source {
    /// File name as given.
    pub file: String,
    /// Its content.
    pub text: String,
}

impl Source {
    /// `FILE:LINE, key KEY`: the line of the deepest part of the path that the text has. A part that is a number counts the
    /// entries of a list, from 0; the key has it in brackets.
    #[must_use]
    pub fn locate(&self, path: &[&str]) -> String {
        let mut key = String::new();
        for part in path {
            match part.parse::<usize>() {
                Ok(index) => key.extend(["[", &index.to_string(), "]"]),
                Err(_) if key.is_empty() => key.push_str(part),
                Err(_) => key.extend([".", part]),
            }
        }
        match self.span(path, true) {
            Some(span) => format!("{}:{}, key `{key}`", self.file, self.line(span.start)),
            None => format!("{}, key `{key}`", self.file),
        }
    }

    /// The error with the lines of the text that it is about, and a mark under the value, below its message; so with all that
    /// were found beside it. An error about something else stays as it is.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        let others = error.others.into_iter().map(|other| self.explain(other)).collect();
        let error = Error { others, ..error };
        let key = error.location.as_deref().and_then(|place| {
            let (at, key) = place.split_once(", key `")?;
            at.starts_with(&format!("{}:", self.file)).then(|| key.split('`').next().unwrap_or_default())
        });
        let is_of_key = error.message.starts_with("unknown key");
        match key.and_then(|key| self.excerpt(key, is_of_key)) {
            Some(excerpt) => Error { message: format!("{}\n{excerpt}", error.message), ..error },
            None => error,
        }
    }

    /// The line of a key's value, with a mark below the value, or below the key.
    fn excerpt(&self, key: &str, is_of_key: bool) -> Option<String> {
        let key = key.replace('[', ".").replace(']', "");
        let span = self.span(&key.split('.').collect::<Vec<_>>(), is_of_key)?;
        let line = self.line(span.start);
        let text = self.text.lines().nth(line - 1)?;
        let before = self.text.get(..span.start)?.rsplit('\n').next().unwrap_or_default();
        // A value of several lines is marked to the end of its first.
        let marked = text.get(before.len()..)?.chars().count().min(self.text.get(span)?.chars().count()).max(1);
        let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        Some(format!(" {margin} |\n {number} | {text}\n {margin} | {indent}{}", "^".repeat(marked)))
    }

    /// Finds the deepest part of a path that the text contains, and returns the position of its value or its key. Names with
    /// dots are quoted keys in the text.
    fn span(&self, path: &[&str], is_of_key: bool) -> Option<Range<usize>> {
        let document = DeTable::parse(&self.text).ok()?;
        let (mut place, mut found) = (Place::Table(document.get_ref()), None);
        let mut parts = path;
        while !parts.is_empty() {
            let (count, value) = match place {
                Place::Table(table) => {
                    let longest = (1..=parts.len()).rev().find_map(|count| {
                        let (key, value) = table.get_key_value(parts[..count].join(".").as_str())?;
                        Some((count, key, value))
                    });
                    let Some((count, key, value)) = longest else { break };
                    // A table with a header of its own has the header's line as its place.
                    let is_header = value.get_ref().is_table() && value.span().start <= key.span().start;
                    found = Some(if is_header || is_of_key { key.span() } else { value.span() });
                    (count, value)
                }
                Place::List(list) => {
                    let Some(value) = parts[0].parse().ok().and_then(|index: usize| list.get(index)) else { break };
                    found = Some(value.span());
                    (1, value)
                }
            };
            parts = &parts[count..];
            place = match value.get_ref() {
                DeValue::Table(inner) => Place::Table(inner),
                DeValue::Array(inner) => Place::List(inner),
                _ => break,
            };
        }
        found
    }

    /// The line, counted from 1, of a byte of the text.
    pub(super) fn line(&self, offset: usize) -> usize {
        1 + self.text.get(..offset).unwrap_or(&self.text).matches('\n').count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_marked_in_its_line() {
        let text = "name = \"a\"\n[axes]\n\"loss.name\" = [\"l1\"]\n[trial]\nepochs = 40.0\nloss = { name = \"l2\" }\nbetas = [\n1]\n";
        let source = Source { file: "a.toml".into(), text: text.into() };
        let of = |path: &[&str]| source.explain(Error::definition("wrong").at(source.locate(path))).message;
        assert_eq!(of(&["trial", "epochs"]), "wrong\n   |\n 5 | epochs = 40.0\n   |          ^^^^");
        assert_eq!(
            of(&["trial", "loss", "name"]),
            "wrong\n   |\n 6 | loss = { name = \"l2\" }\n   |                 ^^^^"
        );
        assert_eq!(of(&["axes", "loss.name"]), "wrong\n   |\n 3 | \"loss.name\" = [\"l1\"]\n   |               ^^^^^^");
        assert_eq!(of(&["trial", "betas"]), "wrong\n   |\n 7 | betas = [\n   |         ^");
        let zip = Source {
            file: "a.toml".into(),
            text: "[axes]\nzip = [\n  { lr = 1 },\n  { lr = 2, loss = { name = \"l2\" } },\n]\n".into(),
        };
        let place = zip.locate(&["axes", "zip", "1", "loss", "name"]);
        assert_eq!(place, "a.toml:4, key `axes.zip[1].loss.name`");
        let marked = zip.explain(Error::definition("wrong").at(place)).message;
        assert_eq!(
            marked,
            "wrong\n   |\n 4 |   { lr = 2, loss = { name = \"l2\" } },\n   |                             ^^^^"
        );
        let unknown = Error::definition("unknown key `betas`").at(source.locate(&["trial", "betas"]));
        assert_eq!(source.explain(unknown).message, "unknown key `betas`\n   |\n 7 | betas = [\n   | ^^^^^");
        let elsewhere = Error::definition("wrong").at("--set epochs=1");
        assert_eq!(source.explain(elsewhere.clone()), elsewhere);
    }
}
