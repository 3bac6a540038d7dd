//! Settings of a configuration by their dotted paths.

use toml::{Table, Value};

/// Every value of a table that is no table itself, by its dotted path (`loss.beta`), in the table's order.
#[must_use]
pub fn settings(table: &Table) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                found.extend(settings(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            value => found.push((key.clone(), value)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_paths_and_lists_are_values() {
        let table: Table =
            "epochs = 2\nmodel = { name = 'unet', norm = { groups = 2 }, filters = [4, 8] }".parse().unwrap();
        let found: Vec<(String, String)> = settings(&table).into_iter().map(|(key, v)| (key, v.to_string())).collect();
        let expected =
            [("epochs", "2"), ("model.name", "\"unet\""), ("model.norm.groups", "2"), ("model.filters", "[4, 8]")];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
