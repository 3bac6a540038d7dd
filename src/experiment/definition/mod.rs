//! A sweep's definition: TOML → [`SweepDefinition`], with errors that name file, line and key.

use toml::{Table, Value};

use assign::{overlap, value};

pub use assign::assign;
pub use axes::{Axes, LABEL};
pub use source::Source;

use crate::key_error::KeyError;
use crate::metric::Objective;
use crate::prune::PruneSpec;
use crate::search::SearchSpec;
use crate::slurm::SlurmSpec;
use sweep_core::error::{Error, Result};

mod assign;
mod axes;
mod source;

/// A definition as its user wrote it; the crate `planning` turns it into trials.
#[derive(Debug, Clone)]
pub struct SweepDefinition {
    /// Its text and where it came from, for error messages and provenance.
    pub source: Source,
    /// Name of the sweep and of its folder under the results.
    pub name: String,
    /// The question that the sweep answers.
    pub question: Option<String>,
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
}

const KEYS: [&str; 9] = ["name", "question", "seeds", "objective", "axes", "search", "prune", "slurm", "trial"];

impl SweepDefinition {
    /// Reads a definition.
    ///
    /// # Errors
    /// Syntax, unknown keys, wrong types, empty lists: each with file, line, key and what would be right.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let source = Source { file: file.to_owned(), text: text.to_owned() };
        let document: Table = text.parse().map_err(|e: toml::de::Error| {
            let line = e.span().map_or(1, |span| source.line(span.start));
            Error::definition(format!("not valid TOML: {}", e.message())).at(format!("{file}:{line}"))
        })?;
        let wrong =
            |path: &[&str], what: &str, right: &str| Error::definition(what).at(source.locate(path)).remedy(right);
        if let Some(unknown) = document.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(wrong(
                &[unknown.as_str()],
                &format!("unknown key `{unknown}`"),
                &format!("the keys of a definition are {}; settings of trials go under [trial]", KEYS.join(", ")),
            ));
        }
        let name = match document.get("name") {
            Some(Value::String(name)) if is_folder_name(name) => name.clone(),
            Some(_) => {
                let right = "use a text of letters, digits, `-`, `_` and `.`: it names a folder";
                return Err(wrong(&["name"], "name is not a folder's name", right));
            }
            None => {
                let what = Error::definition("the definition has no `name`").at(file);
                return Err(what.remedy("add name = \"…\": it names the folder under results/"));
            }
        };
        let question = match document.get("question") {
            None => None,
            Some(Value::String(question)) => Some(question.clone()),
            Some(_) => return Err(wrong(&["question"], "question is not a text", "put it in quotes")),
        };
        let seeds = match document.get("seeds") {
            None => vec![0],
            Some(value) => seeds(value)
                .map_err(|what| wrong(&["seeds"], &what, "use a list of different whole numbers, as [0, 1, 2]"))?,
        };
        let objective = match document.get("objective") {
            None => None,
            Some(value) => Some(value.as_str().and_then(Objective::from_name).ok_or_else(|| {
                wrong(
                    &["objective"],
                    &format!("{value} is not a metric a best epoch can be chosen by"),
                    &format!("use {}", objective_names()),
                )
            })?),
        };
        let table = |key: &str| match document.get(key) {
            None => Ok(Table::new()),
            Some(Value::Table(table)) => Ok(table.clone()),
            Some(_) => Err(wrong(&[key], &format!("{key} is not a table"), &format!("write it as [{key}]"))),
        };
        let axes = axes::parse(&table("axes")?, &wrong)?;
        let search = match document.get("search") {
            None => None,
            Some(_) => Some(SearchSpec::parse(&table("search")?, &wrong)?),
        };
        if let Some(search) = &search {
            check_search(search, &axes, &wrong)?;
        }
        let prune = match document.get("prune") {
            None => None,
            Some(_) => Some(PruneSpec::parse(&table("prune")?, &wrong)?),
        };
        let slurm = SlurmSpec::parse(&table("slurm")?, &wrong)?;
        let trial = table("trial")?;
        for key in ["seed", "objective"] {
            if trial.contains_key(key) {
                let right =
                    if key == "seed" { "list seeds at the top: seeds = [0, 1, 2]" } else { "set it at the top" };
                return Err(wrong(&["trial", key], &format!("{key} is not a setting of [trial]"), right));
            }
        }
        Ok(Self { source, name, question, seeds, objective, axes, search, prune, slurm, trial })
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

    /// Sets a key that all trials share, as `--set key=value` does; the value is TOML, or a text if it is not TOML.
    ///
    /// # Errors
    /// When there is no `=`, the key is an axis, or a part of the path is not a table.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let wrong = |what: String| Error::definition(what).at(format!("--set {assignment}"));
        let (key, text) = assignment
            .split_once('=')
            .ok_or_else(|| wrong("no `=`".into()).remedy("write it as --set optimizer.lr=1e-3"))?;
        let key = key.trim();
        if let Some(axis) = self.varying().into_iter().find(|axis| overlap(axis, key)) {
            return Err(wrong(format!("`{axis}` is an axis of this sweep, so `{key}` differs between trials"))
                .remedy("change the definition's [axes] or [search], or set another key"));
        }
        assign(&mut self.trial, key, value(text)).map_err(wrong)
    }

    /// Every key that differs between trials: those of the axes, then those of the search.
    #[must_use]
    pub fn varying(&self) -> Vec<String> {
        let searched = self.search.iter().flat_map(|search| search.space.iter().map(|(key, _)| key.clone()));
        self.axes.keys().into_iter().chain(searched).collect()
    }
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

fn is_folder_name(name: &str) -> bool {
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
