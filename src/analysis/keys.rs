//! Names of JSON keys that say a unit.

use serde_json::Value;
use sweep_core::units::ErrorUnit;

/// The value with the unit of errors in the names of all its keys: where errors are in pixels, `mre_mm` becomes `mre_px` and
/// `within_2mm` becomes `within_2px`. In millimetres nothing changes.
#[must_use]
pub fn keys_in(value: Value, unit: ErrorUnit) -> Value {
    if unit.is_millimetres() {
        return value;
    }
    match value {
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key_in(&key, unit), keys_in(value, unit))).collect()
        }
        Value::Array(values) => values.into_iter().map(|value| keys_in(value, unit)).collect(),
        plain => plain,
    }
}

/// A key with the unit at its end.
fn key_in(key: &str, unit: ErrorUnit) -> String {
    match key.strip_suffix("mm") {
        Some(start) if start.ends_with(|c: char| c == '_' || c.is_ascii_digit()) => format!("{start}{unit}"),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_say_the_unit() {
        let value = json!({ "mre_mm": 1.5, "bins": [{ "within_2mm": 0.5, "gamm": 2, "unit": "px" }] });
        assert_eq!(keys_in(value.clone(), ErrorUnit::Millimetres), value);
        let px = json!({ "mre_px": 1.5, "bins": [{ "within_2px": 0.5, "gamm": 2, "unit": "px" }] });
        assert_eq!(keys_in(value, ErrorUnit::Pixels), px);
    }
}
