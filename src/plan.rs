//! Definition → trials: axes × seeds, pure, and every impossible one reported before anything runs.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::config::TrialConfig;
use crate::definition::{SweepDefinition, assign};
use crate::error::{Error, Result};
use crate::points::{self, Rounds};
use crate::search::Results;

/// One training to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Readable axis values, seed and a short hash of the configuration: `l1-seed0-3f9a2c1b`.
    pub id: String,
    /// Axis paths and this trial's values on them, as text, in the definition's order.
    pub axes: Vec<(String, String)>,
    /// What to do.
    pub config: TrialConfig,
}

/// All trials that are known before any has run: of a search that learns from what ended, those of its first round.
///
/// # Errors
/// The first impossible trial, with file, line and key; or that there is none at all.
pub fn plan(definition: &SweepDefinition) -> Result<Vec<Trial>> {
    for point in points::extremes(definition)? {
        config(definition, &point, definition.seeds[0])?;
    }
    Ok(grow(definition, &Results::new())?.trials)
}

/// The trials of a sweep that are known by now.
#[derive(Debug, Clone, PartialEq)]
pub struct Grown {
    /// In the order they are run; those known before come first, unchanged.
    pub trials: Vec<Trial>,
    /// Points that are still to be drawn when these have ended; each becomes a trial per seed.
    pub open: usize,
}

/// All trials that are known, given how earlier ones ended. Seeds vary slowest, so that an early stop leaves whole
/// replicates.
///
/// # Errors
/// As [`plan`].
pub fn grow(definition: &SweepDefinition, results: &Results) -> Result<Grown> {
    let keys = definition.varying();
    let trial = |point: &Table, seed: u64| -> Result<Trial> {
        let config = config(definition, point, seed)?;
        let axes: Vec<(String, String)> = keys
            .iter()
            .map(|key| {
                (key.clone(), point.get(key).map_or_else(|| "-".to_owned(), |value| label(definition, key, value)))
            })
            .collect();
        Ok(Trial { id: id(&axes, seed, &config)?, axes, config })
    };
    let mut ended = |point: &Table, seed: u64| Ok(results.get(&trial(point, seed)?.id).copied());
    let Rounds { rounds, open } = points::rounds(definition, &mut ended)?;
    let (mut trials, mut ids) = (Vec::new(), BTreeSet::new());
    for points in &rounds {
        for seed in &definition.seeds {
            for point in points {
                let trial = trial(point, *seed)?;
                if !ids.insert(trial.id.clone()) {
                    return Err(Error::definition(format!(
                        "two points of the sweep are the same trial `{}`",
                        trial.id
                    ))
                    .at(definition.source.place(&["axes"]))
                    .remedy("remove one of them"));
                }
                trials.push(trial);
            }
        }
    }
    Ok(Grown { trials, open })
}

/// A point's configuration, checked.
fn config(definition: &SweepDefinition, point: &Table, seed: u64) -> Result<TrialConfig> {
    let mut table = definition.trial.clone();
    for (key, value) in point {
        assign(&mut table, key, value.clone())
            .map_err(|what| Error::definition(what).at(place(definition, point, key)))?;
    }
    table.insert("seed".into(), Value::Integer(i64::try_from(seed).unwrap_or(i64::MAX)));
    let mut config: TrialConfig = serde_path_to_error::deserialize(Value::Table(table)).map_err(|e| {
        let path = e.path().to_string();
        let message = e.inner().message().to_owned();
        let key = if path == "." { unknown_key(&message).unwrap_or_default() } else { path };
        Error::definition(message).at(place(definition, point, &key))
    })?;
    config.objective = definition.objective;
    config.check().map_err(|e| Error { place: e.place.map(|key| place(definition, point, &key)), ..e })?;
    Ok(config)
}

/// Where a key of a trial's configuration was set: the axis that sets it, or the table `trial`.
fn place(definition: &SweepDefinition, point: &Table, key: &str) -> String {
    let set_by = point
        .keys()
        .find(|axis| key == *axis || axis.starts_with(&format!("{key}.")) || key.starts_with(&format!("{axis}.")));
    match set_by {
        Some(key)
            if definition.search.as_ref().is_some_and(|s| s.space.iter().any(|(searched, _)| searched == key)) =>
        {
            definition.source.place(&["search", key])
        }
        Some(axis) if definition.axes.grid.iter().any(|(grid, _)| grid == axis) => {
            definition.source.place(&["axes", axis])
        }
        Some(_) => definition.source.place(&["axes", if definition.axes.zip.is_empty() { "include" } else { "zip" }]),
        None => {
            let path: Vec<&str> = std::iter::once("trial").chain(key.split('.').filter(|p| !p.is_empty())).collect();
            definition.source.place(&path)
        }
    }
}

/// Serde reports an unknown key of a table at the table: takes the key out of its words.
fn unknown_key(message: &str) -> Option<String> {
    message.strip_prefix("unknown field `")?.split('`').next().map(str::to_owned)
}

/// An axis value as text: a table by its name, and by all it holds where names alone do not tell values apart.
fn label(definition: &SweepDefinition, axis: &str, value: &Value) -> String {
    let brief = brief(value);
    let all = definition.axes.grid.iter().filter(|(key, _)| key == axis).flat_map(|(_, values)| values);
    let zipped = definition.axes.zip.iter().chain(&definition.axes.include).filter_map(|point| point.get(axis));
    let searched = definition.search.iter().flat_map(|search| search.choices(axis));
    if all.chain(zipped).chain(searched).any(|other| other != value && self::brief(other) == brief) {
        full(value)
    } else {
        brief
    }
}

fn brief(value: &Value) -> String {
    match value {
        Value::Table(table) => match table.get("name") {
            Some(Value::String(name)) => name.clone(),
            _ => full(value),
        },
        _ => full(value),
    }
}

fn full(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(full).collect::<Vec<_>>().join("-"),
        Value::Table(table) => table
            .iter()
            .map(|(key, value)| if key == "name" { full(value) } else { format!("{key}={}", full(value)) })
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    }
}

/// A folder's name that says what the trial is; the hash makes it unique.
fn id(axes: &[(String, String)], seed: u64, config: &TrialConfig) -> Result<String> {
    const LONGEST: usize = 80;
    let readable = axes.iter().map(|(_, value)| value.as_str()).filter(|v| *v != "-").collect::<Vec<_>>().join("-");
    let mut slug: String =
        readable.chars().map(|c| if c.is_ascii_alphanumeric() || ".+_".contains(c) { c } else { '-' }).collect();
    slug.truncate(LONGEST);
    let slug = slug.trim_matches(['-', '.']);
    let slug = if slug.is_empty() { "trial" } else { slug };
    Ok(format!("{slug}-seed{seed}-{}", config.short_hash()?))
}
