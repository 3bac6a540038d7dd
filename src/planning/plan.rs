//! Turns a definition into trials (axes × seeds), and reports every impossible one before anything runs.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::combination;
use crate::config::TrialConfig;
use crate::paths;
use crate::sampling::{self, Rounds};
use crate::shape::{Mistake, mistakes};
use sweep_core::error::{Error, Result};
use sweep_core::measures::Measures;
use sweep_core::units::ErrorUnit;
use sweep_data::{DatasetContent, DatasetSpec, Source};
use sweep_experiment::definition::{LABEL, SweepDefinition, assign};
use sweep_experiment::metric::Objective;
use sweep_experiment::search::Results;
use sweep_experiment::store::TrialFile;
use sweep_model::networks::{ModelSpec, weights};

/// A planned trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Readable axis values, seed and the first digits of the identity: `l1-seed0-3f9a2c1b`.
    pub id: String,
    /// Hash (hexadecimal) of everything that the results depend on: configuration, content of the data set, version of
    /// training. Trials of equal identity are the same trial, whatever their names.
    pub identity: String,
    /// Hash of the data set's content.
    pub content: String,
    /// The unit of its landmark errors.
    pub unit: ErrorUnit,
    /// Measures of its data set, which no result depends on.
    pub measures: Measures,
    /// Axis paths and this trial's values on them, as text, in the definition's order.
    pub axes: Vec<(String, String)>,
    /// Its configuration.
    pub config: TrialConfig,
}

impl Trial {
    /// Content of `trial.toml` before the trial has started.
    ///
    /// # Errors
    /// Never in practice.
    pub fn file(&self) -> Result<TrialFile> {
        let unwritable = |e: toml::ser::Error| Error::definition(e.to_string());
        Ok(TrialFile {
            trial: self.id.clone(),
            identity: self.identity.clone(),
            dataset_hash: self.content.clone(),
            unit: self.unit,
            mean_shape_mre_mm: None,
            mean_shape_mre_px: None,
            observer_mre_mm: None,
            measures: self.measures.clone(),
            untrained: Vec::new(),
            unmeasured: Vec::new(),
            images: BTreeMap::new(),
            axes: self.axes.clone(),
            weights: None,
            config: Table::try_from(&self.config).map_err(unwritable)?,
        })
    }
}

/// All trials that are known before any has run; for a search that learns from results, those of its first round. Reads
/// the data sets' files, because their content is part of a trial's identity.
///
/// # Errors
/// The first impossible trial, with file, line and key; an empty plan; a data set that cannot be read.
pub fn plan(definition: &SweepDefinition) -> Result<Vec<Trial>> {
    Ok(grow(definition, &Results::new(), &mut DatasetSpec::content)?.trials)
}

/// The trials of a sweep that are known so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Grown {
    /// In the order in which they run; trials known earlier come first, unchanged.
    pub trials: Vec<Trial>,
    /// Points still to be drawn once these trials have ended; each becomes a trial per seed.
    pub open: usize,
}

/// Returns the content of a data set: its hash, and the unit of its errors.
pub type Content<'a> = dyn FnMut(&DatasetSpec) -> Result<DatasetContent> + 'a;

/// All known trials, given the results of earlier ones by identity. Seeds vary slowest, so that a sweep stopped early
/// leaves whole replicates. Pure except for `content`, which is called once for each data set.
///
/// # Errors
/// Same errors as [`plan`].
pub fn grow(definition: &SweepDefinition, results: &Results, content: &mut Content<'_>) -> Result<Grown> {
    for point in sampling::extremes(definition)? {
        config(definition, &point, definition.seeds[0])?;
    }
    let labelled = definition.axes.labelled();
    let label = (!labelled.is_empty()).then(|| LABEL.to_owned());
    let keys = label.into_iter().chain(definition.varying()).collect();
    let (labels, contents, weights) = (labels(definition), Vec::new(), Vec::new());
    let mut planner = Planner { definition, keys, labelled, labels, content, contents, weights };
    let mut ended = |point: &Table, seed: u64| Ok(results.get(&planner.trial(point, seed)?.identity).copied());
    let Rounds { rounds, open } = sampling::rounds(definition, &mut ended)?;
    let (mut trials, mut identities) = (Vec::new(), BTreeSet::new());
    for points in &rounds {
        for seed in &definition.seeds {
            for point in points {
                let trial = planner.trial(point, *seed)?;
                if !identities.insert(trial.identity.clone()) {
                    return Err(Error::definition(format!(
                        "two points of the sweep are the same trial `{}`",
                        trial.id
                    ))
                    .at(definition.source.locate(&["axes"]))
                    .remedy("remove one of them"));
                }
                trials.push(trial);
            }
        }
    }
    one_unit(definition, &trials)?;
    Ok(Grown { trials, open })
}

/// Whether the errors of all trials have one unit: in a sweep they are compared.
fn one_unit(definition: &SweepDefinition, trials: &[Trial]) -> Result<()> {
    let first = |unit: ErrorUnit| trials.iter().find(|trial| trial.unit == unit);
    let (Some(mm), Some(px)) = (first(ErrorUnit::Millimetres), first(ErrorUnit::Pixels)) else { return Ok(()) };
    let name = |trial: &Trial| match &trial.config.dataset.source {
        Source::Folder { path } => format!("`{}`", path.display()),
        Source::Phantom(_) => "`phantom`".to_owned(),
        Source::Custom(custom) => format!("`{}`", custom.kind),
    };
    let (dataset_mm, dataset_px) = (name(mm), name(px));
    let what = format!(
        "errors on the data set {dataset_mm} are in millimetres, those on {dataset_px} in pixels: they do not compare"
    );
    Err(Error::definition(what)
        .at(definition.source.locate(&["axes"]))
        .remedy(format!("make two sweeps, or state the size of a pixel of {dataset_px}")))
}

/// Makes trials from points; computes what they share once.
struct Planner<'a, 'b> {
    definition: &'a SweepDefinition,
    keys: Vec<String>,
    /// Keys that labels stand for.
    labelled: Vec<String>,
    labels: Labels,
    content: &'a mut Content<'b>,
    contents: Vec<(DatasetSpec, DatasetContent)>,
    weights: Vec<(ModelSpec, usize, String)>,
}

impl Planner<'_, '_> {
    fn trial(&mut self, point: &Table, seed: u64) -> Result<Trial> {
        let mut config = config(self.definition, point, seed)?;
        let content = self.content(&config.dataset)?;
        self.measure(point, &mut config, &content)?;
        let axes = self.axes(point, &config)?;
        let weights = self.weights(point, &config)?;
        let identity = config.identity(&content.hash, weights.as_deref())?;
        let set = self.keys.iter().filter(|key| !self.labelled.contains(key));
        let shown: Vec<String> =
            set.filter_map(|key| point.get(key).map(|value| self.labels.label(key, value))).collect();
        Ok(Trial {
            id: trial_id(shown.iter().map(String::as_str), seed, &identity),
            identity,
            content: content.hash,
            unit: content.unit,
            measures: content.measures.clone(),
            axes,
            config,
        })
    }

    /// The trial's values on all axes, as text that depends on the values alone. A point may leave a key to `[trial]`.
    fn axes(&self, point: &Table, config: &TrialConfig) -> Result<Vec<(String, String)>> {
        let unwritable = |e: toml::ser::Error| Error::definition(e.to_string());
        let whole = Table::try_from(config).map_err(unwritable)?;
        let text = |key: &String| {
            let left_to = || value_at(&self.definition.trial, key).or_else(|| value_at(&whole, key));
            point.get(key).or_else(left_to).map_or_else(|| "-".to_owned(), full)
        };
        Ok(self.keys.iter().map(|key| (key.clone(), text(key))).collect())
    }

    /// Sets the objective and the landmarks that change sides in a mirror, and checks everything that depends on the data set.
    fn measure(&self, point: &Table, config: &mut TrialConfig, content: &DatasetContent) -> Result<()> {
        let objective = self.definition.objective.unwrap_or_else(|| Objective::default_in(content.unit));
        let rules = [
            ("early_stop", config.early_stop.is_some()),
            ("[prune]", self.definition.prune.is_some()),
            ("[search]", self.definition.search.is_some()),
        ];
        let rules: Vec<&str> = rules.into_iter().filter(|(_, is_there)| *is_there).map(|(rule, _)| rule).collect();
        objective
            .check(content.unit, content.is_normalised)
            .and_then(|()| objective.check_rules(&rules))
            .map_err(|e| e.at(self.definition.source.locate(&["objective"])))?;
        check_refit(config, &rules).map_err(|e| e.at(location(self.definition, point, "dataset.refit")))?;
        config.objective = objective;
        let located = |e: Error| Error { location: e.location.map(|key| location(self.definition, point, &key)), ..e };
        let in_augment = |e: Error| Error { location: e.location.map(|key| format!("augment.{key}")), ..e };
        config.augment.resolve_pairs(&content.sides).map_err(|e| located(in_augment(e)))?;
        config.check_unit(content.unit).map_err(located)
    }

    /// Hash of the file of initial weights, once the file is known to fit the network.
    fn weights(&mut self, point: &Table, config: &TrialConfig) -> Result<Option<String>> {
        let Some(spec) = config.model.weights() else { return Ok(None) };
        let key = (&config.model, config.channels());
        if let Some((.., content)) = self.weights.iter().find(|(model, channels, _)| (model, *channels) == key) {
            return Ok(Some(content.clone()));
        }
        let file = spec.read().and_then(|file| weights::check(&file, &config.model, config.channels()).map(|()| file));
        let file = file.map_err(|e| e.at(location(self.definition, point, "model.weights.path")))?;
        let content = file.content;
        self.weights.push((config.model.clone(), config.channels(), content.clone()));
        Ok(Some(content))
    }

    fn content(&mut self, dataset: &DatasetSpec) -> Result<DatasetContent> {
        if let Some((_, content)) = self.contents.iter().find(|(known, _)| known == dataset) {
            return Ok(content.clone());
        }
        let content = (self.content)(dataset).map_err(|e| paths::looked_for(e, dataset, self.definition))?;
        self.contents.push((dataset.clone(), content.clone()));
        Ok(content)
    }
}

/// Checks that nothing judges trials by validation images where a refit leaves none.
fn check_refit(config: &TrialConfig, rules: &[&str]) -> Result<()> {
    match rules.first().filter(|_| config.dataset.split.refit) {
        None => Ok(()),
        Some(rule) => {
            Err(Error::definition(format!("`{rule}` judges by validation images, and dataset.refit leaves none"))
                .remedy(format!("remove `{rule}`: a refit is the last step, after a sweep with validation images")))
        }
    }
}

/// A point's configuration, checked; the error of an impossible combination of axes names the way out.
fn config(definition: &SweepDefinition, point: &Table, seed: u64) -> Result<TrialConfig> {
    let of = |point: &Table| config_of(definition, point, seed);
    of(point).map_err(|error| combination::explain(definition, point, error, &|other| of(other).is_ok()))
}

/// A point's configuration, checked.
fn config_of(definition: &SweepDefinition, point: &Table, seed: u64) -> Result<TrialConfig> {
    let mut table = definition.trial.clone();
    for (key, value) in point.iter().filter(|(key, _)| *key != LABEL) {
        assign(&mut table, key, value.clone())
            .map_err(|what| Error::definition(what).at(location(definition, point, key)))?;
    }
    table.insert("seed".into(), Value::Integer(i64::try_from(seed).unwrap_or(i64::MAX)));
    let placed = |mistake: Mistake| {
        Error::definition(mistake.what).at(location(definition, point, &mistake.key)).remedy(mistake.right)
    };
    if let Some(error) = Error::joined(mistakes(&table).into_iter().map(placed).collect()) {
        return Err(error);
    }
    let mut config: TrialConfig = serde_path_to_error::deserialize(Value::Table(table)).map_err(|e| {
        let path = e.path().to_string();
        let message = e.inner().message().to_owned();
        let key = if path == "." { unknown_key(&message).unwrap_or_default() } else { path };
        Error::definition(message).at(location(definition, point, &key))
    })?;
    config.objective = definition.objective.unwrap_or_default();
    let located = |e: Error| Error { location: e.location.map(|key| location(definition, point, &key)), ..e };
    config
        .check()
        .and_then(|()| config.resolve_version())
        .and_then(|()| paths::resolve(&mut config, definition))
        .map_err(located)?;
    Ok(config)
}

/// Location of a key of a trial's configuration: the flag or the axis that sets it, or the table `trial`.
fn location(definition: &SweepDefinition, point: &Table, key: &str) -> String {
    let set_by = point
        .keys()
        .find(|axis| key == *axis || axis.starts_with(&format!("{key}.")) || key.starts_with(&format!("{axis}.")));
    match set_by {
        Some(key)
            if definition.search.as_ref().is_some_and(|s| s.space.iter().any(|(searched, _)| searched == key)) =>
        {
            definition.source.locate(&["search", key])
        }
        Some(axis) if definition.axes.grid.iter().any(|(grid, _)| grid == axis) => {
            definition.source.locate(&["axes", axis])
        }
        Some(_) => in_point(definition, point, key),
        None if let Some(flag) = definition.set_by(key).filter(|_| !key.is_empty()) => {
            let set = flag.trim_start_matches("--set").trim_start().split('=').next();
            if set == Some(key) { flag.to_owned() } else { format!("{flag}, key `trial.{key}`") }
        }
        None => {
            let path: Vec<&str> = std::iter::once("trial").chain(key.split('.').filter(|p| !p.is_empty())).collect();
            definition.source.locate(&path)
        }
    }
}

/// Location of a key in the entry of `zip` or `include` that a point comes from.
fn in_point(definition: &SweepDefinition, point: &Table, key: &str) -> String {
    let axes = &definition.axes;
    let of = |entry: &Table| entry.iter().all(|(key, value)| point.get(key) == Some(value));
    let lists = [("zip", &axes.zip), ("include", &axes.include)];
    let entry = lists.iter().find_map(|(list, entries)| Some((*list, entries.iter().position(of)?.to_string())));
    match entry {
        Some((list, index)) => {
            let path: Vec<&str> = ["axes", list, &index].into_iter().chain(key.split('.')).collect();
            definition.source.locate(&path)
        }
        None => definition.source.locate(&["axes", if axes.zip.is_empty() { "include" } else { "zip" }]),
    }
}

/// The name of an unknown key, from serde's message; serde reports its location as the table.
fn unknown_key(message: &str) -> Option<String> {
    message.strip_prefix("unknown field `")?.split('`').next().map(str::to_owned)
}

/// The value at a dotted path.
fn value_at<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let mut keys = path.split('.');
    let first = table.get(keys.next()?)?;
    keys.try_fold(first, |value, key| value.get(key))
}

/// The values of each axis by their brief text, for names of folders: if several share one, their labels use the full text.
struct Labels(BTreeMap<(String, String), BTreeSet<String>>);

fn labels(definition: &SweepDefinition) -> Labels {
    let axes = &definition.axes;
    let grid = axes.grid.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
    let zipped = axes.zip.iter().chain(&axes.include).flat_map(Table::iter);
    let searched = definition
        .search
        .iter()
        .flat_map(|search| search.space.iter().flat_map(|(key, _)| search.choices(key).map(move |value| (key, value))));
    let mut labels: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (key, value) in grid.chain(zipped).chain(searched) {
        labels.entry((key.clone(), brief(value))).or_default().insert(value.to_string());
    }
    Labels(labels)
}

impl Labels {
    /// An axis value as text: a table by its name, or by its whole content if names do not tell values apart.
    fn label(&self, axis: &str, value: &Value) -> String {
        let key = (axis.to_owned(), brief(value));
        if self.0.get(&key).is_some_and(|values| values.len() > 1) { full(value) } else { key.1 }
    }
}

fn brief(value: &Value) -> String {
    match value {
        Value::Table(table) => match table.get("name") {
            // A custom component is labelled by its kind.
            Some(Value::String(name)) => match table.get("kind") {
                Some(Value::String(kind)) if name == "custom" || name == "candle" => kind.clone(),
                _ => name.clone(),
            },
            _ => full(value),
        },
        _ => full(value),
    }
}

fn full(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let texts: Vec<String> = values.iter().map(full).collect();
            // Dashes between values read well, unless there are dashes in them.
            let is_clear = !values.iter().any(Value::is_array) && texts.iter().all(|text| !text.contains(['-', ' ']));
            if is_clear { texts.join("-") } else { format!("[{}]", texts.join(", ")) }
        }
        Value::Table(table) => table
            .iter()
            .map(|(key, value)| if key == "name" { full(value) } else { format!("{key}={}", full(value)) })
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    }
}

/// Name of a trial's folder: readable values, and digits of the identity (hexadecimal), which make it unique.
#[must_use]
pub fn trial_id<'a>(axes: impl Iterator<Item = &'a str>, seed: u64, identity: &str) -> String {
    const LONGEST: usize = 80;
    const SHORT: usize = 8;
    let readable = axes.filter(|value| *value != "-").collect::<Vec<_>>().join("-");
    let mut slug: String =
        readable.chars().map(|c| if c.is_ascii_alphanumeric() || ".+_".contains(c) { c } else { '-' }).collect();
    slug.truncate(LONGEST);
    let slug = slug.trim_matches(['-', '.']);
    let slug = if slug.is_empty() { "trial" } else { slug };
    format!("{slug}-seed{seed}-{}", &identity[..SHORT.min(identity.len())])
}
