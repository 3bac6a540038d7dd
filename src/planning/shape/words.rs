//! Words for types and values.

use serde_json::Value as Json;
use toml::Value;

/// Longest text of a value in a message.
const LONGEST: usize = 40;

/// A value as a definition spells it, cut if it is long.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.1}"),
        value => value.to_string(),
    };
    if text.chars().count() <= LONGEST { text } else { text.chars().take(LONGEST - 1).chain(['…']).collect() }
}

/// The kind of a value, in words.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date or time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// The types of a schema in words.
pub(super) fn of_type(types: &[&str], schema: &Json) -> String {
    let word = |kind: &&str| match *kind {
        "integer" => match schema["minimum"].as_u64() {
            Some(least) if least > 0 => format!("a whole number from {least}"),
            _ => "a whole number".to_owned(),
        },
        "number" => "a number".to_owned(),
        "string" => "a text in quotes".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => "a list".to_owned(),
        _ => "a table".to_owned(),
    };
    types.iter().map(word).collect::<Vec<_>>().join(" or ")
}

/// Words as a choice: `"a", "b" or "c"`.
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
