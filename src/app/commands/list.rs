//! `sweep list`: the sweeps in a folder of results; `sweep diff`: what two definitions do differently.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use toml::Table;

use crate::cli;
use crate::status::{StatusLine, planned_trials};
use sweep_core::error::{Error, Outcome, Result};
use sweep_core::plain;
use sweep_core::units::ErrorUnit;
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::settings::settings;
use sweep_experiment::store::{self, Note, Store};

use super::{print_json, say};

/// A sweep, as `sweep list --json` prints it.
#[derive(Debug, Serialize)]
struct SweepLine {
    sweep: String,
    folder: String,
    question: Option<String>,
    trials: usize,
    states: BTreeMap<&'static str, usize>,
    /// The trial with the least error at its best epoch.
    best: Option<String>,
    best_val_mre: Option<f64>,
    unit: Option<ErrorUnit>,
    note: Option<String>,
    tags: BTreeSet<String>,
}

impl SweepLine {
    fn read(store: &Store) -> Result<Self> {
        let file = store.read_sweep_file()?;
        let (ids, _) = planned_trials(store)?;
        let lines = StatusLine::read_all(store, ids);
        let mut states = BTreeMap::new();
        for line in &lines {
            *states.entry(line.state).or_default() += 1;
        }
        let known = lines.iter().filter(|line| line.errors()[1].is_finite());
        let best = known.reduce(|best, line| if line.errors()[1] < best.errors()[1] { line } else { best });
        // Damaged notes say nothing about the sweep; `sweep status` names the damage.
        let Note { text, tags } = store.notes().unwrap_or_default().sweep;
        Ok(Self {
            note: text,
            tags,
            sweep: file.name,
            folder: store.root().display().to_string(),
            question: file.question,
            trials: lines.len(),
            states,
            best: best.map(|line| line.trial.clone()),
            best_val_mre: best.map(|line| line.errors()[1]),
            unit: best.and_then(|line| line.unit),
        })
    }
}

pub(super) fn list(flags: &cli::List) -> Result<Outcome> {
    let lines: Vec<SweepLine> =
        Store::all_in(&flags.results)?.iter().map(|(store, _)| SweepLine::read(store)).collect::<Result<_>>()?;
    if flags.json {
        print_json(&lines)?;
        return Ok(Outcome::Done);
    }
    if lines.is_empty() {
        return Err(Error::results("no sweep lies in this folder")
            .at(flags.results.display())
            .remedy("name the folder that `sweep run --results` names, as results"));
    }
    let width = lines.iter().map(|line| line.sweep.chars().count()).max().unwrap_or(0).max("sweep".len());
    say(&format!("{:width$}  {:>6}  {:>10}  states", "sweep", "trials", "least MRE"))?;
    for line in &lines {
        let states: Vec<String> = line.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let error = line
            .best_val_mre
            .map_or_else(|| "–".to_owned(), |mre| format!("{mre:.2} {}", line.unit.unwrap_or_default()));
        let question = line.question.as_ref().map_or_else(String::new, |question| format!("  {question}"));
        let noted = Note { text: line.note.clone(), tags: line.tags.clone() }.line();
        let noted = if noted.is_empty() { noted } else { format!("  {}", plain::line(&noted)) };
        say(&format!(
            "{:width$}  {:>6}  {error:>10}  {}{question}{noted}",
            line.sweep,
            line.trials,
            states.join(", ")
        ))?;
    }
    Ok(Outcome::Done)
}

/// A key that two definitions have differently, as `sweep diff --json` prints it.
#[derive(Debug, PartialEq, Serialize)]
struct Difference {
    key: String,
    a: Option<String>,
    b: Option<String>,
}

pub(super) fn diff(flags: &cli::Diff) -> Result<Outcome> {
    let read = |file: &std::path::Path| -> Result<Table> {
        let name = file.display().to_string();
        let definition = SweepDefinition::parse_recorded(&name, &store::read_text(file)?)?;
        let unreadable = |e: toml::de::Error| Error::definition(e.message().to_owned()).at(&name);
        definition.as_run().parse().map_err(unreadable)
    };
    let found = differences(&read(&flags.a)?, &read(&flags.b)?);
    if flags.json {
        print_json(&found)?;
        return Ok(Outcome::Done);
    }
    if found.is_empty() {
        say("the definitions say the same")?;
    }
    for Difference { key, a, b } in found {
        let side = |value: Option<String>| value.unwrap_or_else(|| "not set".to_owned());
        say(&format!("{key}: {} → {}", side(a), side(b)))?;
    }
    Ok(Outcome::Done)
}

/// The keys with other values, in the order of the names.
fn differences(a: &Table, b: &Table) -> Vec<Difference> {
    let [a, b] = [a, b].map(|table| {
        settings(table).into_iter().map(|(key, value)| (key, value.to_string())).collect::<BTreeMap<_, _>>()
    });
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort();
    keys.dedup();
    let pairs =
        keys.into_iter().map(|key| Difference { key: key.clone(), a: a.get(key).cloned(), b: b.get(key).cloned() });
    pairs.filter(|pair| pair.a != pair.b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_by_its_path() {
        let [a, b] =
            ["seeds = [0]\n[trial]\nepochs = 2\nloss = { name = 'l1' }", "[trial]\nepochs = 4\nloss = { name = 'l1' }"]
                .map(|text| text.parse::<Table>().unwrap());
        let of = |key: &str, a: Option<&str>, b: Option<&str>| Difference {
            key: key.to_owned(),
            a: a.map(str::to_owned),
            b: b.map(str::to_owned),
        };
        assert_eq!(differences(&a, &b), [of("seeds", Some("[0]"), None), of("trial.epochs", Some("2"), Some("4"))]);
        assert_eq!(differences(&a, &a), []);
    }
}
