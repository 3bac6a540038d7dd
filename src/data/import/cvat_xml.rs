//! Walks through CVAT's XML once, from front to back, counting lines on the way.

use quick_xml::Reader;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesStart, Event};

use sweep_core::error::{Error, Result};

/// Elements in elements.
const MAX_DEPTH: usize = 64;

/// The callbacks for a file's elements, in order.
pub(super) trait Visitor {
    /// An element begins in the elements of `path`, outermost first.
    fn start(&mut self, name: &str, path: &[String], element: &BytesStart<'_>, line: usize) -> Result<()>;

    /// An element ends.
    fn end(&mut self, name: &str);

    /// Text of the innermost element of `path`.
    fn text(&mut self, path: &[String], text: &str);
}

/// Reads a file; errors name the line.
pub(super) fn visit(text: &str, visitor: &mut impl Visitor) -> Result<()> {
    let mut reader = Reader::from_str(text);
    // CVAT writes shapes without content as `<points …></points>` or `<points …/>`.
    reader.config_mut().expand_empty_elements = true;
    let mut path: Vec<String> = Vec::new();
    let mut lines = Lines { text: text.as_bytes(), byte: 0, line: 1 };
    loop {
        let line = lines.of(reader.buffer_position() as usize);
        let at = |e: Error| e.at(format!("line {line}"));
        match reader.read_event().map_err(|e| at(Error::input(format!("not XML: {e}"))))? {
            Event::Start(element) => {
                if path.len() > MAX_DEPTH {
                    return Err(at(Error::input("elements are nested too deep")));
                }
                let name = String::from_utf8_lossy(element.name().as_ref()).into_owned();
                visitor.start(&name, &path, &element, line).map_err(at)?;
                path.push(name);
            }
            Event::End(_) => {
                if let Some(name) = path.pop() {
                    visitor.end(&name);
                }
            }
            Event::Text(words) => {
                let words = words.decode().map_err(|e| at(Error::input(format!("not XML: {e}"))))?;
                // Only labels' names and sizes matter, and those only for order.
                visitor.text(&path, &quick_xml::escape::unescape(&words).unwrap_or(words.as_ref().into()));
            }
            Event::Eof if path.is_empty() => return Ok(()),
            Event::Eof => return Err(at(Error::input(format!("it ends within <{}>", path.join("><"))))),
            _ => {}
        }
    }
}

/// Lines of bytes that are asked for in order, each counted once.
struct Lines<'a> {
    text: &'a [u8],
    byte: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line of a byte that is not before the last one, from 1.
    fn of(&mut self, byte: usize) -> usize {
        let between = self.text.get(self.byte..byte).unwrap_or_default();
        self.line += between.split(|b| *b == b'\n').count() - 1;
        self.byte = self.byte.max(byte);
        self.line
    }
}

/// An attribute's value, if it is there.
pub(super) fn attribute(element: &BytesStart<'_>, key: &str) -> Result<Option<String>> {
    let wrong = |e: &dyn std::fmt::Display| Error::input(format!("not XML: {e}")).at(format!("attribute {key}"));
    let found = element.try_get_attribute(key).map_err(|e| wrong(&e))?;
    let value = |a: &Attribute<'_>| -> Result<String> {
        let text = std::str::from_utf8(&a.value).map_err(|e| wrong(&e))?;
        Ok(quick_xml::escape::unescape(text).map_err(|e| wrong(&e))?.into_owned())
    };
    found.as_ref().map(value).transpose()
}

/// An attribute's value; an error where it is not there.
pub(super) fn need(element: &BytesStart<'_>, key: &str) -> Result<String> {
    attribute(element, key)?.ok_or_else(|| Error::input("it is not there").at(format!("attribute {key}")))
}

/// A number in the attribute `key`.
pub(super) fn number(text: &str, key: &str) -> Result<f64> {
    text.trim().parse().map_err(|_| Error::input(format!("`{text}` is not a number")).at(format!("attribute {key}")))
}
