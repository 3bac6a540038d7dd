//! YAML files of a few keys, as their lines say.

use saphyr_parser::{Event, Parser, ScalarStyle};

use sweep_core::error::{Error, Result};

/// Lists in lists.
const MAX_DEPTH: usize = 32;
/// A file of settings is never as large.
const MAX_BYTES: usize = 1 << 20;

/// A value and its line, from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) line: usize,
}

/// Content of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// Text or a number, as it is written.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The value of a key; of null as of a key that is not there, `None`.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(own, node)| own == key && node.value != Value::Null).map(|(_, node)| node)
    }

    /// An error at this value, of the key.
    pub(super) fn wrong(&self, key: &str, message: impl Into<String>) -> Error {
        Error::input(message).at(format!("line {}: key {key}", self.line))
    }

    /// Its text.
    pub(super) fn text(&self, key: &str) -> Result<&str> {
        match &self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.wrong(key, "it is not one value")),
        }
    }

    /// Its whole number.
    pub(super) fn whole(&self, key: &str) -> Result<usize> {
        let text = self.text(key)?;
        text.trim().parse().map_err(|_| self.wrong(key, format!("`{text}` is not a whole number")))
    }

    /// Its values: of a list, or of a map in the order of its keys, which are numbers then.
    pub(super) fn values(&self, key: &str) -> Result<Vec<(usize, &Self)>> {
        match &self.value {
            Value::List(nodes) => Ok(nodes.iter().enumerate().collect()),
            Value::Map(entries) => {
                let number = |text: &str| {
                    text.trim()
                        .parse::<usize>()
                        .map_err(|_| self.wrong(key, format!("`{text}` is not a number of a list")))
                };
                let mut values =
                    entries.iter().map(|(own, node)| Ok((number(own)?, node))).collect::<Result<Vec<_>>>()?;
                values.sort_by_key(|(index, _)| *index);
                Ok(values)
            }
            _ => Err(self.wrong(key, "it is not a list")),
        }
    }
}

/// Reads the first document of a text.
pub(super) fn parse(text: &str) -> Result<Node> {
    if text.len() > MAX_BYTES {
        return Err(Error::input(format!("{} KiB are too much for settings", text.len() >> 10)));
    }
    let mut builder = Builder { open: Vec::new(), root: None };
    for event in Parser::new_from_str(text) {
        let (event, span) = event
            .map_err(|e| Error::input(format!("not YAML: {}", e.info())).at(format!("line {}", e.marker().line())))?;
        let line = span.start.line();
        builder.take(event, line).map_err(|e| e.at(format!("line {line}")))?;
        if builder.root.is_some() {
            break;
        }
    }
    builder.root.ok_or_else(|| Error::input("the file is empty"))
}

/// Lists and maps that are not closed yet; of a map, also the key whose value comes next.
struct Builder {
    open: Vec<(Node, Option<String>)>,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<()> {
        match event {
            Event::Scalar(text, style, ..) => {
                let is_null = style == ScalarStyle::Plain && ["", "~", "null", "Null", "NULL"].contains(&text.as_ref());
                // Of a key, the text counts.
                let awaits_key = matches!(self.open.last(), Some((Node { value: Value::Map(_), .. }, None)));
                let value = if is_null && !awaits_key { Value::Null } else { Value::Text(text.into_owned()) };
                self.put(Node { value, line })
            }
            Event::SequenceStart(..) => self.begin(Value::List(Vec::new()), line),
            Event::MappingStart(..) => self.begin(Value::Map(Vec::new()), line),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some((node, _)) => self.put(node),
                None => Ok(()),
            },
            // Aliases of aliases make a small file a large value.
            Event::Alias(_) => Err(Error::input("aliases (`*name`) are not read").remedy("write the value out")),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, value: Value, line: usize) -> Result<()> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Error::input("lists are nested too deep"));
        }
        self.open.push((Node { value, line }, None));
        Ok(())
    }

    fn put(&mut self, node: Node) -> Result<()> {
        let Some((outer, key)) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut outer.value, key.take(), node) {
            (Value::List(nodes), _, node) => nodes.push(node),
            (Value::Map(entries), Some(key), node) => {
                if entries.iter().any(|(other, _)| *other == key) {
                    return Err(Error::input(format!("key {key} is there twice")));
                }
                entries.push((key, node));
            }
            (Value::Map(_), None, Node { value: Value::Text(text), .. }) => *key = Some(text),
            _ => return Err(Error::input("a key is a list")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_maps_and_lines_are_read_in_all_their_spellings() {
        let text = "# comment\npath: ../d # rest\ntest:\nkpt_shape: [4, 3]\nnames:\n  0: 'ceph'\n  1: \"x: y\"\nlist:\n- a\n- 2\n";
        let root = parse(text).unwrap();
        assert_eq!(root.get("path").unwrap().text("path").unwrap(), "../d");
        assert!(root.get("test").is_none() && root.get("nothing").is_none());
        let values = |key: &str| {
            let node = root.get(key).unwrap();
            node.values(key).unwrap().iter().map(|(i, n)| (*i, n.text(key).unwrap().to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(values("kpt_shape"), [(0, "4".to_owned()), (1, "3".to_owned())]);
        assert_eq!(values("names"), [(0, "ceph".to_owned()), (1, "x: y".to_owned())]);
        assert_eq!(values("list"), [(0, "a".to_owned()), (1, "2".to_owned())]);
        assert_eq!(root.get("list").unwrap().line, 9);
        let error = root.get("path").unwrap().whole("path").unwrap_err().to_string();
        assert!(error.contains("line 2: key path") && error.contains("`../d`"), "{error}");
    }

    #[test]
    fn what_is_no_small_yaml_is_refused_with_its_line() {
        for (text, part) in [
            ("", "empty"),
            ("a: &x 1\nb: *x\n", "line 2: aliases"),
            ("a: 1\na: 2\n", "line 2: key a is there twice"),
            ("a: [1\nb: 2", "line "),
            (&"[".repeat(100), "too deep"),
            (&"a".repeat(2 << 20), "too much"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
