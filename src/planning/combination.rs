//! Errors of impossible combinations: values of two axes that are possible, but not together.

use toml::{Table, Value};

use sweep_core::error::Error;
use sweep_experiment::definition::SweepDefinition;

/// Most combinations that are tried for a way out.
const MOST: usize = 200;

/// The error of an impossible point. If another value of one of its axes would make it possible, the error names the
/// combination, and how to leave it out.
pub(crate) fn explain(
    definition: &SweepDefinition,
    point: &Table,
    error: Error,
    is_possible: &dyn Fn(&Table) -> bool,
) -> Error {
    let Some(key) = axis_of(definition, point, &error) else { return error };
    let Some((other, possible)) = cure(definition, point, &key, is_possible) else { return error };
    let pair = |key: &str| format!("\"{key}\" = {}", point.get(key).map_or_else(String::new, Value::to_string));
    let message = format!("{}, in the combination {} with {}", error.message, pair(&other), pair(&key));
    let mut without = point.clone();
    without.remove(&key);
    let remedy = if is_possible(&without) {
        let values = match possible.as_slice() {
            [one] => one.to_string(),
            several => Value::Array(several.to_vec()).to_string(),
        };
        format!(
            "say where the axis exists, below the other axes: when = {{ \"{key}\" = {{ \"{other}\" = {values} }} }}"
        )
    } else {
        format!("leave the combination out: exclude = [ {{ {}, {} }} ]", pair(&other), pair(&key))
    };
    Error { message, remedy: Some(remedy), ..error }
}

/// The axis with a list of values that an error is about.
fn axis_of(definition: &SweepDefinition, point: &Table, error: &Error) -> Option<String> {
    let (_, key) = error.location.as_deref()?.split_once(", key `axes.")?;
    let key = key.split('`').next()?;
    let axes = &definition.axes.grid;
    axes.iter().find(|(axis, _)| axis == key && point.contains_key(axis)).map(|(axis, _)| axis.clone())
}

/// Another axis, and its values with which the point would be possible.
fn cure(
    definition: &SweepDefinition,
    point: &Table,
    key: &str,
    is_possible: &dyn Fn(&Table) -> bool,
) -> Option<(String, Vec<Value>)> {
    let mut tried = 0;
    for (axis, values) in definition.axes.grid.iter().filter(|(axis, _)| axis != key) {
        let Some(present) = point.get(axis) else { continue };
        let others: Vec<Value> = values.iter().filter(|value| *value != present).cloned().collect();
        tried += others.len();
        if tried > MOST {
            return None;
        }
        let cures = |value: &Value| {
            let mut point = point.clone();
            point.insert(axis.clone(), value.clone());
            is_possible(&point)
        };
        let possible: Vec<Value> = others.into_iter().filter(cures).collect();
        if !possible.is_empty() {
            return Some((axis.clone(), possible));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan;

    fn planned(axes: &str) -> sweep_core::error::Result<Vec<crate::plan::Trial>> {
        let text = format!(
            "name = 'd'\n[axes]\n{axes}\n[trial]\nepochs = 1\nmodel = {{ name = 'unet', filters = [4, 8] }}\n\
             dataset = {{ name = 'phantom', train = 4, val = 3, height = 40, width = 32 }}\n\
             input = {{ height = 40, width = 32 }}"
        );
        plan(&SweepDefinition::parse("d.toml", &text)?)
    }

    const AXES: &str = "'loss.name' = ['l1', 'smooth-l1']\n'loss.beta' = [0.1, 1.0]";

    #[test]
    fn an_impossible_combination_is_named_with_its_way_out() {
        let error = planned(AXES).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("in the combination \"loss.name\" = \"l1\" with \"loss.beta\" = 0.1"), "{said}");
        let right = "when = { \"loss.beta\" = { \"loss.name\" = \"smooth-l1\" } }";
        assert!(said.contains(right) && said.contains("d.toml:4, key `axes.loss.beta`"), "{said}");
        // What it says is right.
        let trials = planned(&format!("{AXES}\n{right}")).unwrap();
        let axes: Vec<String> =
            trials.iter().map(|trial| trial.axes.iter().map(|(_, v)| v.clone() + " ").collect()).collect();
        assert_eq!(axes, ["l1 - ", "smooth-l1 0.1 ", "smooth-l1 1.0 "]);
        let header = planned(&format!("{AXES}\n[axes.when]\n'loss.beta' = {{ 'loss.name' = 'smooth-l1' }}")).unwrap();
        assert_eq!(header, trials);
    }

    #[test]
    fn a_mistake_that_no_other_value_cures_stays_as_it_was() {
        let said = planned("'loss.name' = ['l1', 'mse']\n'loss.beta' = [0.1]").unwrap_err().to_string();
        assert!(!said.contains("combination"), "{said}");
        let said = planned("'loss.name' = ['l1']\n'batch_size' = [0]").unwrap_err().to_string();
        assert!(!said.contains("combination"), "{said}");
    }

    #[test]
    fn a_searched_key_exists_where_its_axis_says() {
        let search = "'loss.name' = ['l1', 'smooth-l1']\nwhen = { 'loss.beta' = { 'loss.name' = 'smooth-l1' } }
            [search]\nmethod = 'sobol'\nbudget = 3\n'loss.beta' = { log = [1e-3, 1.0] }";
        let trials = planned(search).unwrap();
        let of = |name: &str| trials.iter().filter(|trial| trial.axes[0].1 == name).count();
        assert_eq!((of("l1"), of("smooth-l1")), (1, 3), "{:?}", trials.iter().map(|t| &t.id).collect::<Vec<_>>());
    }
}
