//! A sweep's definition: TOML → [`SweepDefinition`], with errors that name file, line and key.

use toml::de::DeTable;
use toml::{Table, Value};

use crate::metric::Objective;
use crate::prune::PruneSpec;
use crate::search::SearchSpec;
use crate::slurm::SlurmSpec;
use sweep_core::error::{Error, Result};

/// A definition as its user wrote it; the crate `planning` turns it into trials.
#[derive(Debug, Clone)]
pub struct SweepDefinition {
    /// Its text and where it came from, for error messages and provenance.
    pub source: Source,
    /// Name of the sweep and of its folder under the results.
    pub name: String,
    /// What the sweep is to answer.
    pub question: Option<String>,
    /// Every trial runs once per seed.
    pub seeds: Vec<u64>,
    /// What the best epoch is best at; by default [`Objective::default_in`] the unit of the data set.
    pub objective: Option<Objective>,
    /// What varies.
    pub axes: Axes,
    /// What is drawn at every point of the axes.
    pub search: Option<SearchSpec>,
    /// Which trials are stopped before their last epoch.
    pub prune: Option<PruneSpec>,
    /// What is asked of Slurm, where trials run there.
    pub slurm: SlurmSpec,
    /// What all trials share: a trial's configuration without the axes.
    pub trial: Table,
}

/// What varies between trials. Keys are dotted paths in a trial's configuration.
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
}

/// A definition's text.
#[derive(Debug, Clone)]
pub struct Source {
    /// File name as given.
    pub file: String,
    /// Its content.
    pub text: String,
}

impl Source {
    /// `FILE:LINE, key KEY` for the deepest part of the path that stands in the text.
    #[must_use]
    pub fn place(&self, path: &[&str]) -> String {
        let key = path.join(".");
        let line = DeTable::parse(&self.text).ok().and_then(|document| {
            let mut table = document.get_ref();
            let mut found = None;
            for part in path {
                let Some((key, value)) = table.get_key_value(*part) else { break };
                found = Some(key.span().start);
                let Some(inner) = value.get_ref().as_table() else { break };
                table = inner;
            }
            found.map(|offset| self.line(offset))
        });
        match line {
            Some(line) => format!("{}:{line}, key `{key}`", self.file),
            None => format!("{}, key `{key}`", self.file),
        }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.get(..offset).unwrap_or(&self.text).matches('\n').count()
    }
}

/// In a point of `zip` or `include`: what it is called, in the place of all the values it sets.
pub const LABEL: &str = "label";

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
            |path: &[&str], what: &str, right: &str| Error::definition(what).at(source.place(path)).remedy(right);
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
        let axes = axes(&table("axes")?, &wrong)?;
        let search = match document.get("search") {
            None => None,
            Some(_) => Some(SearchSpec::parse(&table("search")?, &wrong)?),
        };
        if let Some(search) = &search {
            searches_alone(search, &axes, &wrong)?;
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
            let place = || format!("--slurm {assignment}");
            let (key, text) = assignment
                .split_once('=')
                .ok_or_else(|| Error::definition("no `=`").at(place()).remedy("write it as --slurm partition=gpu"))?;
            let value = match value(text) {
                // A time limit is no time of day.
                Value::Datetime(_) => Value::String(text.trim().to_owned()),
                value => value,
            };
            assign(&mut table, key.trim(), value).map_err(|what| Error::definition(what).at(place()))?;
            set.push((key.trim(), place()));
        }
        self.slurm = SlurmSpec::parse(&table, &|path, what, right| {
            let flag = set.iter().rfind(|(key, _)| path.last() == Some(key)).map(|(_, place)| place.clone());
            Error::definition(what).at(flag.unwrap_or_else(|| self.source.place(path))).remedy(right)
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

    /// Sets a key of what all trials share, as `--set key=value` does; the value is TOML, or a text if it is not.
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
}

/// The names of all objectives, quoted: `"a", "b" or "c"`.
fn objective_names() -> String {
    let names: Vec<String> = Objective::all().map(|objective| format!("\"{}\"", objective.name())).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// A value on the command line: TOML, or a text if it is not.
fn value(text: &str) -> Value {
    let text = text.trim();
    let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

impl SweepDefinition {
    /// Every key that differs between trials: those of the axes, then those of the search.
    #[must_use]
    pub fn varying(&self) -> Vec<String> {
        let searched = self.search.iter().flat_map(|search| search.space.iter().map(|(key, _)| key.clone()));
        self.axes.keys().into_iter().chain(searched).collect()
    }
}

/// That no key of a search is set by an axis too, or by another key of the search; and that one which learns does not
/// learn something else in every fold.
fn searches_alone(search: &SearchSpec, axes: &Axes, wrong: &Wrong) -> Result<()> {
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

/// That either all points have a label or none, and each another one.
fn labels(axes: &Axes, wrong: &Wrong) -> Result<()> {
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

/// Whether setting one path touches the other.
fn overlap(a: &str, b: &str) -> bool {
    a == b || a.starts_with(&format!("{b}.")) || b.starts_with(&format!("{a}."))
}

/// Sets a dotted path in a table, making tables on the way.
///
/// # Errors
/// Says which part of the path is not a table.
pub fn assign(table: &mut Table, path: &str, value: Value) -> Result<(), String> {
    let mut table = table;
    let mut parts: Vec<&str> = path.split('.').collect();
    let last = parts.pop().filter(|last| !last.is_empty()).ok_or_else(|| "the key is empty".to_owned())?;
    for part in parts {
        let inner = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
        table = inner.as_table_mut().ok_or_else(|| format!("`{part}` in `{path}` is not a table"))?;
    }
    table.insert(last.to_owned(), value);
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

type Wrong<'a> = dyn Fn(&[&str], &str, &str) -> Error + 'a;

fn axes(table: &Table, wrong: &Wrong) -> Result<Axes> {
    let mut axes = Axes::default();
    for (key, value) in table {
        match key.as_str() {
            "zip" => axes.zip = points(key, value, wrong)?,
            "include" => axes.include = points(key, value, wrong)?,
            "exclude" => axes.exclude = points(key, value, wrong)?,
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

fn points(key: &str, value: &Value, wrong: &Wrong) -> Result<Vec<Table>> {
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
