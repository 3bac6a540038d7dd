//! Axes of a definition: grid, zip, include, exclude and when.

use toml::{Table, Value};

use super::assign::overlap;
use super::when::{self, Condition};
use crate::key_error::KeyError;
use sweep_core::error::{Error, Result};

/// The key of a point of `zip` or `include` that names the point in place of the values that it sets.
pub const LABEL: &str = "label";

/// Keys that vary between trials, with their values. Keys are dotted paths in a trial's configuration.
#[derive(Debug, Clone, Default)]
pub struct Axes {
    /// Every combination of these.
    pub grid: Vec<(String, Vec<Value>)>,
    /// One more axis whose values set several keys at once.
    pub zip: Vec<Table>,
    /// Further points.
    pub include: Vec<Table>,
    /// Points to leave out: those that agree with all keys of one of these.
    pub exclude: Vec<Table>,
    /// Axes that only exist at some points.
    pub when: Vec<Condition>,
}

impl Axes {
    /// Every key that varies, in the order of the definition.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.grid.iter().map(|(key, _)| key.clone()).collect();
        for table in self.zip.iter().chain(&self.include) {
            for key in table.keys() {
                if !keys.contains(key) && key != LABEL {
                    keys.push(key.clone());
                }
            }
        }
        keys
    }

    /// Keys that labels stand for.
    #[must_use]
    pub fn labelled(&self) -> Vec<String> {
        let points = self.zip.iter().chain(&self.include).filter(|point| point.contains_key(LABEL));
        points.flat_map(|point| point.keys().filter(|key| *key != LABEL).cloned()).collect()
    }
}

/// Reads the table `[axes]`.
///
/// # Errors
/// Empty lists, values listed twice, and axes that set the same key.
pub(super) fn parse(table: &Table, wrong: &KeyError) -> Result<Axes> {
    let mut axes = Axes::default();
    for (key, value) in table {
        match key.as_str() {
            "zip" => axes.zip = points(key, value, wrong)?,
            "include" => axes.include = points(key, value, wrong)?,
            "exclude" => axes.exclude = points(key, value, wrong)?,
            "when" => axes.when = when::parse(value, wrong)?,
            _ => grid(key, value, &mut axes.grid, &|what, right| wrong(&["axes", key], what, right))?,
        }
    }
    for (i, (a, _)) in axes.grid.iter().enumerate() {
        let others = axes.grid[i + 1..].iter().map(|(b, _)| b).chain(axes.zip.iter().flat_map(Table::keys));
        if let Some(b) = others.into_iter().find(|b| overlap(a, b)) {
            let what = format!("the axes `{a}` and `{b}` set the same key");
            return Err(wrong(&["axes", a], &what, "make it one axis whose values are whole tables, or use zip"));
        }
    }
    labels(&axes, wrong)?;
    Ok(axes)
}

/// Checks that either all points have a label or none, and that no label occurs twice.
fn labels(axes: &Axes, wrong: &KeyError) -> Result<()> {
    let points = || axes.zip.iter().chain(&axes.include);
    let Some(first) = points().find_map(|point| point.get(LABEL)) else { return Ok(()) };
    let key = if axes.zip.iter().any(|point| point.contains_key(LABEL)) { "zip" } else { "include" };
    let mut seen = Vec::new();
    for point in points() {
        let what = match point.get(LABEL) {
            None => format!("one point has the label {first} and another has none"),
            Some(Value::String(label)) if label.trim().is_empty() => "a label is empty".to_owned(),
            Some(label @ Value::String(_)) if seen.contains(&label) => format!("the label {label} is there twice"),
            Some(label @ Value::String(_)) => {
                seen.push(label);
                continue;
            }
            Some(label) => format!("the label {label} is not a text"),
        };
        return Err(wrong(
            &["axes", key],
            &what,
            "give every point of zip and include a text of its own, or none a label",
        ));
    }
    Ok(())
}

fn grid(
    path: &str,
    value: &Value,
    grid_axes: &mut Vec<(String, Vec<Value>)>,
    wrong: &dyn Fn(&str, &str) -> Error,
) -> Result<()> {
    match value {
        Value::Array(values) if values.is_empty() => {
            Err(wrong(&format!("the axis `{path}` has no values"), "give it at least one, or remove it"))
        }
        Value::Array(values) => {
            if let Some((i, _)) = values.iter().enumerate().find(|(i, v)| values[..*i].contains(v)) {
                return Err(wrong(&format!("the axis `{path}` has {} twice", values[i]), "remove one"));
            }
            grid_axes.push((path.to_owned(), values.clone()));
            Ok(())
        }
        // An unquoted dotted key is a table in TOML; it means the same path.
        Value::Table(inner) => {
            inner.iter().try_for_each(|(key, value)| grid(&format!("{path}.{key}"), value, grid_axes, wrong))
        }
        _ => Err(wrong(&format!("the axis `{path}` is not a list"), "write its values as a list, as [1, 4]")),
    }
}

fn points(key: &str, value: &Value, wrong: &KeyError) -> Result<Vec<Table>> {
    let tables: Option<Vec<Table>> = value
        .as_array()
        .filter(|list| !list.is_empty())
        .map(|list| list.iter().filter_map(|v| v.as_table().map(flatten)).collect());
    match tables {
        Some(tables) if Some(tables.len()) == value.as_array().map(Vec::len) => Ok(tables),
        _ => Err(wrong(
            &["axes", key],
            &format!("{key} is not a list of tables"),
            "write it as [ { \"batch_size\" = 1, \"optimizer.lr\" = 3e-5 }, … ]",
        )),
    }
}

/// Unquoted dotted keys of a point are tables in TOML: makes them paths again. A table that is a value as a whole
/// (it has a `name`) stays one.
fn flatten(table: &Table) -> Table {
    let mut flat = Table::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if !inner.contains_key("name") => {
                for (rest, value) in flatten(inner) {
                    flat.insert(format!("{key}.{rest}"), value);
                }
            }
            _ => {
                flat.insert(key.clone(), value.clone());
            }
        }
    }
    flat
}
