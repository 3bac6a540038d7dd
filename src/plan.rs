//! Definition → trials: axes × seeds, and every impossible one reported before anything runs.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::config::TrialConfig;
use crate::data::DatasetSpec;
use crate::definition::{SweepDefinition, assign};
use crate::error::{Error, Result};

/// One training to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Readable axis values, seed and the first digits of the identity: `l1-seed0-3f9a2c1b`.
    pub id: String,
    /// Hash (hexadecimal) of all that the results depend on: configuration, the data set's content, the version of
    /// training. Trials of the same identity are the same trial, whatever they are called.
    pub identity: String,
    /// Hash of the data set's content.
    pub content: String,
    /// Axis paths and this trial's values on them, as text, in the definition's order.
    pub axes: Vec<(String, String)>,
    /// What to do.
    pub config: TrialConfig,
}

/// All trials of a sweep: seeds vary slowest, so that an early stop leaves whole replicates. Reads the data sets' files,
/// because what they hold is part of what a trial is.
///
/// # Errors
/// The first impossible trial, with file, line and key; that there is none at all; a data set that cannot be read.
pub fn plan(definition: &SweepDefinition) -> Result<Vec<Trial>> {
    plan_with(definition, &mut DatasetSpec::content_hash)
}

/// As [`plan`]; pure but for `content`, which says what a data set holds and is asked once for each.
///
/// # Errors
/// As [`plan`].
pub fn plan_with(definition: &SweepDefinition, content: &mut Content<'_>) -> Result<Vec<Trial>> {
    let points = points(definition)?;
    let mut planner = Planner { definition, labels: labels(definition), content, contents: Vec::new() };
    let (mut trials, mut identities) = (Vec::new(), BTreeSet::new());
    for seed in &definition.seeds {
        for point in &points {
            let trial = planner.trial(point, *seed)?;
            if !identities.insert(trial.identity.clone()) {
                return Err(Error::definition(format!("two points of the sweep are the same trial `{}`", trial.id))
                    .at(definition.source.place(&["axes"]))
                    .remedy("remove one of them"));
            }
            trials.push(trial);
        }
    }
    Ok(trials)
}

/// Says what a data set holds: a hash of its content.
pub type Content<'a> = dyn FnMut(&DatasetSpec) -> Result<String> + 'a;

/// Makes trials of points, with what is common to them worked out once.
struct Planner<'a> {
    definition: &'a SweepDefinition,
    labels: Labels,
    content: &'a mut Content<'a>,
    contents: Vec<(DatasetSpec, String)>,
}

impl Planner<'_> {
    fn trial(&mut self, point: &Table, seed: u64) -> Result<Trial> {
        let config = config(self.definition, point, seed)?;
        let content = self.content(&config.dataset)?;
        let label = |key: &String| point.get(key).map_or_else(|| "-".to_owned(), |value| self.labels.of(key, value));
        let axes: Vec<(String, String)> =
            self.definition.axes.keys().iter().map(|key| (key.clone(), label(key))).collect();
        let identity = config.identity(&content)?;
        Ok(Trial { id: id(&axes, seed, &identity), identity, content, axes, config })
    }

    fn content(&mut self, dataset: &DatasetSpec) -> Result<String> {
        if let Some((_, content)) = self.contents.iter().find(|(known, _)| known == dataset) {
            return Ok(content.clone());
        }
        let content = (self.content)(dataset)?;
        self.contents.push((dataset.clone(), content.clone()));
        Ok(content)
    }
}

/// Every point of the axes as the keys it sets.
fn points(definition: &SweepDefinition) -> Result<Vec<Table>> {
    let axes = &definition.axes;
    let mut points = vec![Table::new()];
    for (key, values) in &axes.grid {
        points = cross(&points, &values.iter().map(|v| Table::from_iter([(key.clone(), v.clone())])));
    }
    if !axes.zip.is_empty() {
        points = cross(&points, &axes.zip.iter().cloned());
    }
    let agrees = |point: &Table, with: &Table| with.iter().all(|(key, value)| point.get(key) == Some(value));
    for excluded in &axes.exclude {
        let before = points.len();
        points.retain(|point| !agrees(point, excluded));
        if points.len() == before {
            return Err(Error::definition(format!("exclude {excluded} leaves nothing out"))
                .at(definition.source.place(&["axes", "exclude"]))
                .remedy("name keys and values as the axes have them"));
        }
    }
    if axes.grid.is_empty() && axes.zip.is_empty() && !axes.include.is_empty() {
        points.clear();
    }
    points.extend(axes.include.iter().cloned());
    if points.is_empty() {
        return Err(Error::definition("the plan is empty: every point is excluded")
            .at(definition.source.place(&["axes"]))
            .remedy("exclude less"));
    }
    Ok(points)
}

fn cross(points: &[Table], values: &(impl Iterator<Item = Table> + Clone)) -> Vec<Table> {
    let join = |point: &Table, value: Table| point.clone().into_iter().chain(value).collect();
    points.iter().flat_map(|point| values.clone().map(move |value| join(point, value))).collect()
}

/// A point's configuration, checked.
fn config(definition: &SweepDefinition, point: &Table, seed: u64) -> Result<TrialConfig> {
    let source = &definition.source;
    let mut table = definition.trial.clone();
    for (key, value) in point {
        assign(&mut table, key, value.clone())
            .map_err(|what| Error::definition(what).at(source.place(&["axes", key])))?;
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

/// How often each axis value's brief text is that of another value too: such values are called by all they hold.
struct Labels(BTreeMap<(String, String), BTreeSet<String>>);

fn labels(definition: &SweepDefinition) -> Labels {
    let axes = &definition.axes;
    let grid = axes.grid.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
    let zipped = axes.zip.iter().chain(&axes.include).flat_map(Table::iter);
    let mut labels: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (key, value) in grid.chain(zipped) {
        labels.entry((key.clone(), brief(value))).or_default().insert(value.to_string());
    }
    Labels(labels)
}

impl Labels {
    /// An axis value as text: a table by its name, and by all it holds where names alone do not tell values apart.
    fn of(&self, axis: &str, value: &Value) -> String {
        let brief = brief(value);
        let key = (axis.to_owned(), brief);
        if self.0.get(&key).is_some_and(|values| values.len() > 1) { full(value) } else { key.1 }
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

/// A folder's name that says what the trial is; the digits of its identity make it unique.
fn id(axes: &[(String, String)], seed: u64, identity: &str) -> String {
    const LONGEST: usize = 80;
    const SHORT: usize = 8;
    let readable = axes.iter().map(|(_, value)| value.as_str()).filter(|v| *v != "-").collect::<Vec<_>>().join("-");
    let mut slug: String =
        readable.chars().map(|c| if c.is_ascii_alphanumeric() || ".+_".contains(c) { c } else { '-' }).collect();
    slug.truncate(LONGEST);
    let slug = slug.trim_matches(['-', '.']);
    let slug = if slug.is_empty() { "trial" } else { slug };
    format!("{slug}-seed{seed}-{}", &identity[..SHORT.min(identity.len())])
}
