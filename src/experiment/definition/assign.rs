//! Dotted paths in a trial's configuration, as axes and `--set` use them.

use toml::{Table, Value};

/// A value on the command line: TOML, or a text if it is not TOML.
pub(super) fn value(text: &str) -> Value {
    let text = text.trim();
    let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Whether setting one path changes the other.
pub(super) fn overlap(a: &str, b: &str) -> bool {
    a == b || a.starts_with(&format!("{b}.")) || b.starts_with(&format!("{a}."))
}

/// Sets a dotted path in a table, making tables on the way.
///
/// # Errors
/// Says which part of the path is not a table.
pub fn assign(table: &mut Table, path: &str, value: Value) -> Result<(), String> {
    let mut table = table;
    let mut parts: Vec<&str> = path.split('.').collect();
    let last = parts.pop().filter(|last| !last.is_empty()).ok_or_else(|| "the key is empty".to_owned())?;
    for part in parts {
        let inner = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
        table = inner.as_table_mut().ok_or_else(|| format!("`{part}` in `{path}` is not a table"))?;
    }
    table.insert(last.to_owned(), value);
    Ok(())
}
