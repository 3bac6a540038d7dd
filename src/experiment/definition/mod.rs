//! A sweep's definition: TOML → [`SweepDefinition`], with errors that name file, line and key.

use toml::{Table, Value};

use assign::{overlap, value};

pub use assign::assign;
pub use axes::{Axes, LABEL};
pub use source::Source;
pub use study::Study;
pub use when::Condition;

use crate::key_error::KeyError;
use crate::metric::Objective;
use crate::prune::PruneSpec;
use crate::search::SearchSpec;
use crate::slurm::SlurmSpec;
use sweep_core::error::{Error, Result};
use sweep_core::spelling::nearest;

mod assign;
mod axes;
mod source;
mod study;
mod syntax;
mod when;

/// A definition as its user wrote it; the crate `planning` turns it into trials.
#[derive(Debug, Clone)]
pub struct SweepDefinition {
    /// Its text and where it came from, for error messages and provenance.
    pub source: Source,
    /// Name of the sweep and of its folder under the results.
    pub name: String,
    /// The question that the sweep answers.
    pub question: Option<String>,
    /// The study whose claims the report tests.
    pub claims: Option<Study>,
    /// Every trial runs once per seed.
    pub seeds: Vec<u64>,
    /// The metric that chooses the best epoch; by default [`Objective::default_in`] the unit of the data set.
    pub objective: Option<Objective>,
    /// Keys that vary between trials.
    pub axes: Axes,
    /// Values drawn at every point of the axes.
    pub search: Option<SearchSpec>,
    /// Which trials are stopped before their last epoch.
    pub prune: Option<PruneSpec>,
    /// Settings of Slurm, for trials that run there.
    pub slurm: SlurmSpec,
    /// Settings that all trials share: a trial's configuration without the axes.
    pub trial: Table,
    /// Keys of `trial` that the command line set, and the flags that did.
    pub set: Vec<(String, String)>,
}

const KEYS: [&str; 10] =
    ["name", "question", "claims", "seeds", "objective", "axes", "search", "prune", "slurm", "trial"];

/// An error at a key: its path, what is wrong, and what would be right.
type At<'a> = &'a dyn Fn(&[&str], &str, &str) -> Error;

/// The study that `claims` names.
fn study(value: &Value, wrong: At<'_>) -> Result<Study> {
    value.as_str().and_then(Study::from_name).ok_or_else(|| {
        let names = Study::ALL.map(|study| format!("\"{}\"", study.name())).join(", ");
        let what = format!("{value} is not a study whose claims are known");
        wrong(&["claims"], &what, &format!("use {names}, or leave it out"))
    })
}

/// The metric that `objective` names.
fn objective(value: &Value, wrong: At<'_>) -> Result<Objective> {
    value.as_str().and_then(Objective::from_name).ok_or_else(|| {
        let names: Vec<&str> = Objective::all().map(Objective::name).collect();
        let near = value.as_str().and_then(|word| nearest(word, &names));
        let right =
            near.map_or_else(|| format!("use {}", objective_names()), |near| format!("did you mean \"{near}\"?"));
        wrong(&["objective"], &format!("{value} is not a metric a best epoch can be chosen by"), &right)
    })
}

impl SweepDefinition {
    /// Reads a definition.
    ///
    /// # Errors
    /// Syntax, unknown keys, wrong types, empty lists: each with file, line, key and what would be right.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let source = Source { file: file.to_owned(), text: text.to_owned() };
        let document: Table = text.parse().map_err(|e: toml::de::Error| source.not_toml(&e))?;
        let wrong =
            |path: &[&str], what: &str, right: &str| Error::definition(what).at(source.locate(path)).remedy(right);
        // All mistakes are collected: a definition is not mended one at a time.
        let mut errors: Vec<Error> = Vec::new();
        for unknown in document.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let right = match nearest(unknown, &KEYS) {
                Some(near) => format!("did you mean `{near}`? Settings of trials go under [trial]"),
                None => {
                    format!("the keys of a definition are {}; settings of trials go under [trial]", KEYS.join(", "))
                }
            };
            errors.push(wrong(&[unknown.as_str()], &format!("unknown key `{unknown}`"), &right));
        }
        let name = match document.get("name") {
            Some(Value::String(name)) if is_folder_name(name) => name.clone(),
            Some(_) => {
                let right = "use a text of letters, digits, `-`, `_` and `.`: it names a folder";
                errors.push(wrong(&["name"], "name is not a folder's name", right));
                String::new()
            }
            None => {
                let what = Error::definition("the definition has no `name`").at(file);
                errors.push(what.remedy("add name = \"…\": it names the folder under results/"));
                String::new()
            }
        };
        let question = document.get("question").map(|value| {
            let text = value.as_str().map(str::to_owned);
            text.ok_or_else(|| wrong(&["question"], "question is not a text", "put it in quotes"))
        });
        let question = question.and_then(|question| kept(question, &mut errors));
        let claims = document.get("claims").map(|value| study(value, &wrong));
        let claims = claims.and_then(|study| kept(study, &mut errors));
        let seeds = document.get("seeds").map_or_else(|| Ok(vec![0]), seeds);
        let seeds =
            seeds.map_err(|what| wrong(&["seeds"], &what, "use a list of different whole numbers, as [0, 1, 2]"));
        let seeds = kept(seeds, &mut errors).unwrap_or_default();
        let objective = document.get("objective").map(|value| objective(value, &wrong));
        let objective = objective.and_then(|objective| kept(objective, &mut errors));
        let table = |key: &str| match document.get(key) {
            None => Ok(Table::new()),
            Some(Value::Table(table)) => Ok(table.clone()),
            Some(_) => Err(wrong(&[key], &format!("{key} is not a table"), &format!("write it as [{key}]"))),
        };
        let axes = kept(table("axes").and_then(|axes| axes::parse(&axes, &wrong)), &mut errors).unwrap_or_default();
        let search =
            document.get("search").map(|_| table("search").and_then(|search| SearchSpec::parse(&search, &wrong)));
        let search = search.and_then(|search| kept(search, &mut errors));
        if let Some(search) = &search {
            errors.extend(check_search(search, &axes, &wrong).err());
        }
        let searched: Vec<&str> =
            search.iter().flat_map(|search| search.space.iter().map(|(key, _)| key.as_str())).collect();
        let shared = document.get("trial").and_then(Value::as_table).cloned().unwrap_or_default();
        errors.extend(when::check(&axes, &searched, &shared, &wrong).err());
        let prune = document.get("prune").map(|_| table("prune").and_then(|prune| PruneSpec::parse(&prune, &wrong)));
        let prune = prune.and_then(|prune| kept(prune, &mut errors));
        let slurm = kept(table("slurm").and_then(|slurm| SlurmSpec::parse(&slurm, &wrong)), &mut errors);
        let trial = kept(table("trial"), &mut errors).unwrap_or_default();
        for key in trial.keys() {
            if let Some((top, right)) = top_key(key) {
                errors.push(wrong(&["trial", key], &format!("{top} is not a setting of [trial]"), right));
            }
        }
        let searched = search.iter().flat_map(|search| search.space.iter().map(|(key, _)| ("search", key.clone())));
        for (table, key) in axes.keys().into_iter().map(|key| ("axes", key)).chain(searched) {
            if let Some((top, right)) = top_key(&key) {
                errors.push(wrong(
                    &[table, &key],
                    &format!("{top} does not vary between trials as settings do"),
                    right,
                ));
            }
            if let Some(path) = key.strip_prefix("trial.") {
                let what = format!("`{key}` is no setting: paths begin below [trial]");
                errors.push(wrong(&[table, &key], &what, &format!("write \"{path}\"")));
            }
        }
        let (Some(slurm), true) = (slurm, errors.is_empty()) else {
            return Err(Error::joined(errors).unwrap_or_else(|| Error::definition("not readable").at(file)));
        };
        Ok(Self {
            source,
            name,
            question,
            claims,
            seeds,
            objective,
            axes,
            search,
            prune,
            slurm,
            trial,
            set: Vec::new(),
        })
    }

    /// Sets a key of `[slurm]`, as `--slurm key=value` does; the value is TOML, or a text if it is not.
    ///
    /// # Errors
    /// When there is no `=`, and where [`SlurmSpec::parse`] finds something wrong.
    pub fn set_slurm(&mut self, assignments: &[String]) -> Result<()> {
        let document: Table = self.source.text.parse().unwrap_or_default();
        let mut table = document.get("slurm").and_then(Value::as_table).cloned().unwrap_or_default();
        let mut set = Vec::new();
        for assignment in assignments {
            let flag = || format!("--slurm {assignment}");
            let (key, text) = assignment
                .split_once('=')
                .ok_or_else(|| Error::definition("no `=`").at(flag()).remedy("write it as --slurm partition=gpu"))?;
            let value = match value(text) {
                // A time limit is no time of day.
                Value::Datetime(_) => Value::String(text.trim().to_owned()),
                value => value,
            };
            assign(&mut table, key.trim(), value).map_err(|what| Error::definition(what).at(flag()))?;
            set.push((key.trim(), flag()));
        }
        self.slurm = SlurmSpec::parse(&table, &|path, what, right| {
            let flag = set.iter().rfind(|(key, _)| path.last() == Some(key)).map(|(_, flag)| flag.clone());
            Error::definition(what).at(flag.unwrap_or_else(|| self.source.locate(path))).remedy(right)
        })?;
        Ok(())
    }

    /// The definition with the changes of the command line, as TOML.
    #[must_use]
    pub fn as_run(&self) -> String {
        let mut document: Table = self.source.text.parse().unwrap_or_default();
        document.insert("trial".into(), Value::Table(self.trial.clone()));
        document.to_string()
    }

    /// Reads a definition, or the one that a sweep ran with, from the `sweep.toml` in its results.
    ///
    /// # Errors
    /// Same errors as [`SweepDefinition::parse`].
    pub fn parse_recorded(file: &str, text: &str) -> Result<Self> {
        let recorded: Option<Table> = text.parse().ok();
        match recorded.as_ref().and_then(|table| table.get("definition").filter(|_| table.contains_key("trials"))) {
            Some(Value::String(definition)) => Self::parse(&format!("{file} (definition)"), definition),
            _ => Self::parse(file, text),
        }
    }

    /// Sets a key that all trials share, as `--set key=value` does; the value is TOML, or a text if it is not TOML.
    ///
    /// # Errors
    /// When there is no `=`, the key is an axis, or a part of the path is not a table.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let flag = format!("--set {assignment}");
        let wrong = |what: String| Error::definition(what).at(&flag);
        let (key, text) = assignment
            .split_once('=')
            .ok_or_else(|| wrong("no `=`".into()).remedy("write it as --set optimizer.lr=1e-3"))?;
        self.set_value(&flag, key.trim(), value(text))
    }

    /// Sets a key that all trials share, as `flag` says.
    ///
    /// # Errors
    /// Same errors as [`SweepDefinition::set`].
    pub fn set_value(&mut self, flag: &str, key: &str, value: Value) -> Result<()> {
        let wrong = |what: String| Error::definition(what).at(flag);
        if let Some((top, right)) = top_key(key) {
            return Err(wrong(format!("`{top}` is not a setting of trials")).remedy(right));
        }
        if let Some(axis) = self.varying().into_iter().find(|axis| overlap(axis, key)) {
            return Err(wrong(format!("`{axis}` is an axis of this sweep, so `{key}` differs between trials"))
                .remedy("change the definition's [axes] or [search], or set another key"));
        }
        assign(&mut self.trial, key, value).map_err(wrong)?;
        self.set.push((key.to_owned(), flag.to_owned()));
        Ok(())
    }

    /// The flag of the command line that set a key, or a part or the whole of it, if one did; the last one counts.
    #[must_use]
    pub fn set_by(&self, key: &str) -> Option<&str> {
        self.set.iter().rfind(|(set, _)| overlap(set, key)).map(|(_, flag)| flag.as_str())
    }

    /// Every key that differs between trials: those of the axes, then those of the search.
    #[must_use]
    pub fn varying(&self) -> Vec<String> {
        let searched = self.search.iter().flat_map(|search| search.space.iter().map(|(key, _)| key.clone()));
        self.axes.keys().into_iter().chain(searched).collect()
    }
}

/// A key of the top that is no setting of trials, and where it belongs.
fn top_key(key: &str) -> Option<(&'static str, &'static str)> {
    let top = [
        ("seed", "list seeds at the top of the definition: seeds = [0, 1, 2]"),
        ("seeds", "list seeds at the top of the definition: seeds = [0, 1, 2]"),
        ("objective", "name it at the top of the definition: objective = \"mre_mm\"; it is one for all trials"),
    ];
    top.into_iter().find(|(name, _)| overlap(name, key))
}

/// The value, or its error among the others.
fn kept<T>(result: Result<T>, errors: &mut Vec<Error>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

/// The names of all objectives, quoted: `"a", "b" or "c"`.
fn objective_names() -> String {
    let names: Vec<String> = Objective::all().map(|objective| format!("\"{}\"", objective.name())).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// Checks that no axis and no other key of the search sets a searched key, and that an adaptive search does not run over
/// folds.
fn check_search(search: &SearchSpec, axes: &Axes, wrong: &KeyError) -> Result<()> {
    let axes = axes.keys();
    if search.is_adaptive() && axes.iter().any(|axis| axis == "dataset.fold") {
        let what =
            "a search that learns from results would try other points in every fold, and none would be validated whole";
        return Err(wrong(&["search", "method"], what, "use \"sobol\" or \"random\", or search in one fold alone"));
    }
    for (place, (key, _)) in search.space.iter().enumerate() {
        let others = axes.iter().chain(search.space[..place].iter().map(|(other, _)| other));
        if let Some(other) = others.into_iter().find(|other| overlap(other, key)) {
            let what = format!("`{key}` of the search and `{other}` set the same key");
            return Err(wrong(&["search", key], &what, "search over a key, or list its values under [axes]"));
        }
    }
    Ok(())
}

/// Whether a text can name the folder of a sweep: letters, digits, `-`, `_` and `.`, the first of which is no `.`.
#[must_use]
pub fn is_folder_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn seeds(value: &Value) -> Result<Vec<u64>, String> {
    let list = value.as_array().filter(|list| !list.is_empty()).ok_or("seeds is not a list of numbers")?;
    let mut seeds = Vec::new();
    for value in list {
        let seed =
            value.as_integer().and_then(|s| u64::try_from(s).ok()).ok_or(format!("seed {value} is no such number"))?;
        if seeds.contains(&seed) {
            return Err(format!("seed {seed} stands twice"));
        }
        seeds.push(seed);
    }
    Ok(seeds)
}
