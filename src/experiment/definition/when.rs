//! `[axes.when]`: axes that exist at some points only. For example, `"loss.beta"` exists where `"loss.name"` is `"smooth-l1"`.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::assign::{assign, overlap};
use super::{Axes, SweepDefinition};
use crate::key_error::KeyError;
use sweep_core::error::Result;
use sweep_core::spelling::nearest;

/// An axis, or a key of the search, that only exists where all its conditions hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The axis.
    pub key: String,
    /// Keys that decide, each with the values at which the axis exists.
    pub when: Vec<(String, Vec<Value>)>,
}

/// The form of a condition, for remedies.
const FORM: &str = "write it as [axes.when] \"loss.beta\" = { \"loss.name\" = \"smooth-l1\" }";

/// Reads `[axes.when]`.
pub(super) fn parse(table: &Value, wrong: &KeyError) -> Result<Vec<Condition>> {
    let entries = table.as_table().filter(|table| !table.is_empty());
    let entries = entries.ok_or_else(|| wrong(&["axes", "when"], "when is not a table of conditions", FORM))?;
    let mut conditions = Vec::new();
    for (key, value) in entries {
        let error = |what: &str| wrong(&["axes", "when", key], what, FORM);
        let decides = value.as_table().filter(|table| !table.is_empty());
        let decides = decides.ok_or_else(|| error(&format!("`{key}` has no condition: {value} is not a table")))?;
        let mut when = Vec::new();
        for (path, value) in paths("", decides) {
            let values = match value {
                Value::Array(values) if values.is_empty() => return Err(error(&format!("`{path}` has no value"))),
                Value::Array(values) => values,
                value => vec![value],
            };
            when.push((path, values));
        }
        conditions.push(Condition { key: key.clone(), when });
    }
    Ok(conditions)
}

/// The values of a table by their dotted paths: an unquoted dotted key is a table in TOML.
fn paths(path: &str, table: &Table) -> Vec<(String, Value)> {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if !inner.is_empty() => found.extend(paths(&below(key), inner)),
            value => found.push((below(key), value.clone())),
        }
    }
    found
}

/// Checks that conditions are of axes and of keys of the search, that keys which decide are set somewhere, and that no
/// axis decides about itself.
pub(super) fn check(axes: &Axes, searched: &[&str], trial: &Table, wrong: &KeyError) -> Result<()> {
    let mut listed: Vec<&str> = axes.grid.iter().map(|(key, _)| key.as_str()).collect();
    listed.extend(searched);
    let all = axes.keys();
    let varied: Vec<&str> = all.iter().map(String::as_str).chain(searched.iter().copied()).collect();
    for Condition { key, when } in &axes.when {
        let error = |what: &str, right: &str| Err(wrong(&["axes", "when", key], what, right));
        if !listed.contains(&key.as_str()) {
            let right = match nearest(key, &listed) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => {
                    "a condition is for a key with a list of its own under [axes], or a range under [search]".to_owned()
                }
            };
            return error(&format!("`{key}` is no axis"), &right);
        }
        for (decides, _) in when {
            if overlap(decides, key) {
                return error(&format!("`{key}` decides about itself"), FORM);
            }
            let is_set = varied.iter().any(|axis| axis == decides) || value_at(trial, decides).is_some();
            let is_within = varied.iter().any(|axis| decides.starts_with(&format!("{axis}.")));
            if !is_set && !is_within {
                let near = nearest(decides, &varied).map(|near| format!("did you mean \"{near}\"? Else "));
                let right = format!("{}set it under [trial] or [axes], also to its default", near.unwrap_or_default());
                return error(&format!("`{decides}`, by which it is decided, is not set"), &right);
            }
        }
    }
    // Taking out what depends on nothing undecided must leave nothing.
    let mut open: Vec<&Condition> = axes.when.iter().collect();
    while !open.is_empty() {
        let keys: BTreeSet<&str> = open.iter().map(|condition| condition.key.as_str()).collect();
        let waits = |condition: &&Condition| condition.when.iter().any(|(key, _)| keys.contains(key.as_str()));
        let left: Vec<&Condition> = open.iter().copied().filter(waits).collect();
        if left.len() == open.len() {
            return Err(wrong(&["axes", "when", &left[0].key], "these conditions depend on each other", FORM));
        }
        open = left;
    }
    Ok(())
}

impl SweepDefinition {
    /// Removes the keys from a point whose conditions do not hold there.
    #[must_use]
    pub fn where_they_exist(&self, point: &Table) -> Table {
        let conditions: Vec<&Condition> =
            self.axes.when.iter().filter(|condition| point.contains_key(&condition.key)).collect();
        if conditions.is_empty() {
            return point.clone();
        }
        let is_open = |open: &[&Condition], key: &str| open.iter().any(|condition| condition.key == key);
        let mut kept: Table =
            point.iter().filter(|(key, _)| !is_open(&conditions, key)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let mut open = conditions;
        while !open.is_empty() {
            let mut trial = self.trial.clone();
            for (key, value) in &kept {
                // A path that cannot be set is an error of the trial's configuration.
                let _ = assign(&mut trial, key, value.clone());
            }
            let (decided, left): (Vec<&Condition>, Vec<&Condition>) =
                open.iter().copied().partition(|condition| !condition.when.iter().any(|(key, _)| is_open(&open, key)));
            for Condition { key, when } in &decided {
                let holds = |(key, values): &(String, Vec<Value>)| {
                    value_at(&trial, key).is_some_and(|value| values.contains(value))
                };
                if let Some(value) = point.get(key).filter(|_| when.iter().all(holds)) {
                    kept.insert(key.clone(), value.clone());
                }
            }
            if decided.is_empty() {
                break;
            }
            open = left;
        }
        // In the point's order.
        point.iter().filter(|(key, _)| kept.contains_key(*key)).map(|(k, v)| (k.clone(), v.clone())).collect()
    }
}

/// The value at a dotted path.
fn value_at<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let mut keys = path.split('.');
    let first = table.get(keys.next()?)?;
    keys.try_fold(first, |value, key| value.get(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(axes: &str, rest: &str) -> Result<SweepDefinition> {
        SweepDefinition::parse(
            "d.toml",
            &format!("name = 'd'\n[axes]\n{axes}\n{rest}\n[trial]\nepochs = 1\nloss.name = 'l1'"),
        )
    }

    fn at(definition: &SweepDefinition, point: &str) -> String {
        let kept = definition.where_they_exist(&point.parse().unwrap());
        let mut keys: Vec<&str> = kept.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys.join(" ")
    }

    #[test]
    fn a_key_exists_where_its_conditions_hold() {
        let axes = "'loss.name' = ['l1', 'smooth-l1', 'wing']
            'loss.beta' = [0.1, 1.0]
            'batch_size' = [1, 2]
            [axes.when]
            'loss.beta' = { 'loss.name' = ['smooth-l1', 'wing'], batch_size = 1 }";
        let definition = definition(axes, "").unwrap();
        assert_eq!(at(&definition, "'loss.name' = 'l1'\n'loss.beta' = 0.1\nbatch_size = 1"), "batch_size loss.name");
        let whole = "batch_size loss.beta loss.name";
        assert_eq!(at(&definition, "'loss.name' = 'wing'\n'loss.beta' = 0.1\nbatch_size = 1"), whole);
        assert_eq!(at(&definition, "'loss.name' = 'wing'\n'loss.beta' = 0.1\nbatch_size = 2"), "batch_size loss.name");
    }

    #[test]
    fn conditions_may_follow_each_other_and_look_into_tables_and_the_trial() {
        let axes = "a = [1, 2]
            'b.x' = [1, 2]
            c = [1]
            [axes.when]
            c = { b.x = 2 }
            'b.x' = { a = 1, loss.name = 'l1' }";
        let definition = definition(axes, "").unwrap();
        assert_eq!(at(&definition, "a = 1\n'b.x' = 2\nc = 1"), "a b.x c");
        assert_eq!(at(&definition, "a = 1\n'b.x' = 1\nc = 1"), "a b.x");
        assert_eq!(at(&definition, "a = 2\n'b.x' = 2\nc = 1"), "a", "what does not exist decides nothing");
        let tables =
            "model = [{ name = 'unet' }, { name = 'other' }]\nk = [1]\n[axes.when]\nk = { model.name = 'unet' }";
        let definition = self::definition(tables, "").unwrap();
        assert_eq!(at(&definition, "model = { name = 'unet' }\nk = 1"), "k model");
        assert_eq!(at(&definition, "model = { name = 'other' }\nk = 1"), "model");
    }

    #[test]
    fn what_is_wrong_with_a_condition_is_said() {
        let axes = "'loss.name' = ['l1']\n'loss.beta' = [0.1]\n";
        for (when, says) in [
            ("when = 3", "not a table of conditions"),
            ("when = { 'loss.beta' = 'smooth-l1' }", "has no condition"),
            ("when = { 'loss.betta' = { 'loss.name' = 'l1' } }", "did you mean \"loss.beta\"?"),
            ("when = { 'loss.beta' = { 'loss.nam' = 'l1' } }", "did you mean \"loss.name\"?"),
            ("when = { 'loss.beta' = { 'batch_size' = 1 } }", "`batch_size`, by which it is decided, is not set"),
            ("when = { 'loss.beta' = { 'loss.beta' = 1 } }", "decides about itself"),
            ("when = { 'loss.beta' = { 'loss.name' = [] } }", "`loss.name` has no value"),
            ("when = { 'loss.beta' = { 'loss.name' = 1 }, 'loss.name' = { 'loss.beta' = 1 } }", "depend on each other"),
        ] {
            let said = definition(&format!("{axes}{when}"), "").unwrap_err().to_string();
            assert!(said.contains(says) && said.contains("d.toml:"), "{when}: {said}");
        }
    }
}
