//! JSON Schema of the files that users write: definitions and `dataset.toml`. Types and descriptions come from the code
//! and its comments; the tables that the code reads by hand (axes, search, prune) are written here.
//!
//! A schema is for editors: it describes every key, its type and its choices. Checks that involve several keys are left
//! to [`crate::plan`], which explains errors better; so are missing keys, because a key may be on an axis.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::config::TrialConfig;
use sweep_core::error::{Error, Kind, Result};
use sweep_data::folder;
use sweep_experiment::definition::Study;
use sweep_experiment::metric::Objective;

/// Prefix of references to definitions.
const REFERENCE: &str = "#/definitions/";

/// The schema of a sweep's definition.
///
/// # Errors
/// Never in practice.
pub fn definition() -> Result<String> {
    let mut generator = SchemaSettings::draft07().into_generator();
    let objective = generator.subschema_for::<Objective>().to_value();
    let trial = generator.subschema_for::<TrialConfig>().to_value();
    let mut definitions = generator.take_definitions(true);
    for schema in definitions.values_mut() {
        plain(schema);
        relax(schema);
    }
    let mut paths = Paths { definitions: &definitions, found: BTreeMap::new() };
    paths.walk("", &trial, &mut Vec::new());
    let found = paths.found;
    if let Some(keys) = definitions.get_mut("TrialConfig").and_then(properties) {
        // In a definition these two keys are at the top, not in `trial`.
        keys.remove("seed");
        keys.remove("objective");
    }
    definitions.extend(axes(&found));
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Definition of a sweep",
        "description": "Trainings of landmark detectors that `sweep run` makes of this file.",
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": {
                "description": "Name of the sweep and of its folder under the results.",
                "type": "string",
                "pattern": r"^[^./\\\s][^/\\\s]*$",
            },
            "question": { "description": "The question that the sweep answers.", "type": "string" },
            "claims": {
                "description": "A study whose claims the report tests.",
                "type": "string",
                "enum": Study::ALL.map(Study::name),
            },
            "seeds": {
                "description": "Every trial runs once per seed. [0] by default.",
                "type": "array",
                "items": { "type": "integer", "minimum": 0 },
                "minItems": 1,
                "uniqueItems": true,
            },
            "objective": objective,
            "axes": { "$ref": format!("{REFERENCE}axes") },
            "search": { "$ref": format!("{REFERENCE}search") },
            "prune": prune(),
            "slurm": slurm(),
            "trial": trial,
        },
        "definitions": definitions,
    });
    written(&schema)
}

/// The schema of `dataset.toml`.
///
/// # Errors
/// Never in practice.
pub fn dataset() -> Result<String> {
    let mut schema = folder::schema(&mut SchemaSettings::draft07().into_generator()).to_value();
    // `dataset.toml` has no axes.
    plain(&mut schema);
    schema["title"] = json!("Data set of images with landmarks");
    written(&schema)
}

fn written(schema: &Value) -> Result<String> {
    serde_json::to_string_pretty(schema)
        .map(|text| text + "\n")
        .map_err(|e| Error::new(Kind::Computation, format!("cannot write the schema: {e}")))
}

fn properties(schema: &mut Value) -> Option<&mut Map<String, Value>> {
    schema.get_mut("properties")?.as_object_mut()
}

/// Removes the brackets of rustdoc links: `` [`sweep_data`] `` becomes `` `data` ``.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`").replace("`crate::", "`").replace("Self::", "");
                *text =
                    text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
            }
            fields.values_mut().for_each(plain);
        }
        Value::Array(values) => values.iter_mut().for_each(plain),
        _ => {}
    }
}

/// Makes every key optional: an axis may set it, even the name.
fn relax(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            // A property may be called "required": it is a schema, not a list.
            if fields.get("required").is_some_and(Value::is_array) {
                fields.remove("required");
            }
            if let Some(choices) = fields.remove("oneOf") {
                fields.insert("anyOf".to_owned(), choices);
            }
            fields.values_mut().for_each(relax);
        }
        Value::Array(values) => values.iter_mut().for_each(relax),
        _ => {}
    }
}

/// Every dotted path in a trial's configuration, with the schemas of its values.
struct Paths<'a> {
    definitions: &'a Map<String, Value>,
    found: BTreeMap<String, Vec<Value>>,
}

impl<'a> Paths<'a> {
    /// Visits the paths below a path; `within` are the definitions on the way, because networks may contain networks.
    fn walk(&mut self, path: &str, schema: &'a Value, within: &mut Vec<&'a str>) {
        let name = schema["$ref"].as_str().and_then(|to| to.strip_prefix(REFERENCE));
        if let Some((name, definition)) = name.and_then(|name| self.definitions.get(name).map(|found| (name, found)))
            && within.iter().filter(|outer| **outer == name).count() < 2
        {
            within.push(name);
            self.walk(path, definition, within);
            within.pop();
        }
        for choices in ["anyOf", "allOf", "oneOf"] {
            for choice in schema[choices].as_array().into_iter().flatten() {
                self.walk(path, choice, within);
            }
        }
        for (key, value) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let choices = self.found.entry(path.clone()).or_default();
            let bare = without_default(value);
            if !choices.contains(&bare) {
                choices.push(bare);
            }
            self.walk(&path, value, within);
        }
    }
}

/// The schema without its default: a value on an axis has none.
fn without_default(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("default");
    }
    schema
}

/// Schemas of keys that may vary: every path as a list of values, a value of a point, or a range.
fn axes(found: &BTreeMap<String, Vec<Value>>) -> Map<String, Value> {
    let is_varied = |path: &&String| !matches!(path.as_str(), "seed" | "objective");
    let mut values = Map::new();
    for (path, choices) in found.iter().filter(|(path, _)| is_varied(path)) {
        let value = if let [one] = choices.as_slice() { one.clone() } else { json!({ "anyOf": choices }) };
        values.insert(path.clone(), value);
    }
    let refer = |to: String| json!({ "$ref": format!("{REFERENCE}{to}") });
    let (mut lists, mut points, mut ranges) = (Map::new(), Map::new(), Map::new());
    for path in values.keys() {
        let value = refer(format!("values/properties/{}", path.replace('~', "~0").replace('/', "~1")));
        lists.insert(path.clone(), json!({ "type": "array", "items": value, "minItems": 1, "uniqueItems": true }));
        points.insert(path.clone(), value);
        ranges.insert(path.clone(), refer("range".to_owned()));
    }
    // An unquoted dotted key is a table in a table.
    let nested = |keys: &mut Map<String, Value>| {
        for (key, value) in keys.iter_mut().filter(|(key, _)| !key.contains('.')) {
            if found.keys().any(|path| path.starts_with(&format!("{key}."))) {
                *value = json!({ "anyOf": [value.clone(), { "type": "object" }] });
            }
        }
    };
    nested(&mut lists);
    nested(&mut points);
    nested(&mut ranges);
    points.insert(
        "label".to_owned(),
        json!({ "description": "Name of the point, used instead of its values.", "type": "string", "minLength": 1 }),
    );
    let list_of_points =
        |what: &str| json!({ "description": what, "type": "array", "minItems": 1, "items": refer("point".into()) });
    lists.insert("zip".to_owned(), list_of_points("One more axis. Each of its values sets several keys at once."));
    lists.insert("include".to_owned(), list_of_points("Further points."));
    lists.insert(
        "exclude".to_owned(),
        list_of_points("Points to leave out: every point that has all keys and values of one of these."),
    );
    lists.insert("when".to_owned(), conditions());
    let whole =
        |what: &str, least: u64| json!({ "description": what, "type": "integer", "minimum": least, "maximum": 10_000 });
    let words = json!({
        "method": {
            "description": "random: independently; sobol: evenly; tpe: in rounds, near the best points so far.",
            "enum": ["random", "sobol", "tpe"],
        },
        "budget": whole("Number of points at every point of the axes; each runs once per seed.", 1),
        "seed": whole("Seed of the draws. 0 by default.", 0),
        "startup": whole("For tpe: points of the first round. 10 by default.", 2),
        "round": whole("For tpe: points of every later round. 4 by default.", 1),
    });
    ranges.extend(words.as_object().cloned().unwrap_or_default());
    let table = |what: &str, keys: Map<String, Value>| json!({ "description": what, "type": "object", "additionalProperties": false, "properties": keys });
    // Only the program that registered a custom component knows its options.
    let with_options = |mut table: Value, option: Value| {
        table["patternProperties"] = json!({ r"\.options\.": option });
        table
    };
    let mut search = with_options(table("Points that are drawn instead of listed.", ranges), refer("range".to_owned()));
    search["required"] = json!(["method", "budget"]);
    let pair = |what: &str, of: &str| {
        let list =
            json!({ "description": what, "type": "array", "items": { "type": of }, "minItems": 2, "maxItems": 2 });
        list
    };
    let range = json!({
        "description": "Possible values of a key.",
        "type": "object",
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 2,
        "properties": {
            "uniform": pair("Any number from low to high.", "number"),
            "log": {
                "description": "Any number from low to high, all orders of magnitude equally likely; with integer, true.",
                "anyOf": [pair("The least and the greatest number.", "number"), { "type": "boolean" }],
            },
            "integer": pair("A whole number from low to high, both included.", "integer"),
            "step": { "description": "With integer: the distance of neighbours. 1 by default.", "type": "integer", "minimum": 1 },
            "choice": { "description": "One of the listed values.", "type": "array", "minItems": 2, "uniqueItems": true },
        },
    });
    let all = [
        (
            "axes",
            with_options(
                table("Values to vary: a trial for every combination. Keys are paths in [trial].", lists),
                json!({ "type": "array", "minItems": 1, "uniqueItems": true }),
            ),
        ),
        ("point", with_options(table("Keys and their values; keys are paths in [trial].", points), json!({}))),
        ("search", search),
        ("range", range),
        ("values", table("Possible values at every path of a trial's configuration.", values)),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// `[axes.when]`.
fn conditions() -> Value {
    json!({
        "description": "Axes that only exist at some points: each with the keys that decide, and the value or the list of values at which it exists.",
        "type": "object",
        "minProperties": 1,
        "additionalProperties": { "type": "object", "minProperties": 1 },
    })
}

/// `[slurm]`: the keys that [`sweep_experiment::slurm::SlurmSpec::parse`] reads.
fn slurm() -> Value {
    let word = |what: &str| json!({ "description": what, "type": ["string", "integer"] });
    let whole = |what: &str, least: u32| json!({ "description": what, "type": "integer", "minimum": least });
    let lines = |what: &str| json!({ "description": what, "type": "array", "items": { "type": "string" } });
    json!({
        "description": "How `sweep run --executor slurm` submits trials; the cluster's defaults apply to missing keys. Not part of a trial's identity.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "partition": word("Partition of the cluster."),
            "account": word("Account that is charged."),
            "qos": word("Quality of service."),
            "gres": word("Generic resources per trial, for example gpu:1 or gpu:a100:2."),
            "time": word("Time limit of a job: 30 (minutes), 4:00:00 or 1-12:00:00."),
            "memory": word("Memory per trial, for example 16G."),
            "constraint": word("Features that nodes must have."),
            "cpus": whole("Processors per trial; also its threads.", 1),
            "setup": lines("Lines of shell to run before the trial, for example module load cuda."),
            "extra": lines("Further options of sbatch, for example --exclusive."),
            "max_concurrent": whole("Largest number of trials that run at once.", 1),
            "array": whole("Largest number of trials per array; the cluster may allow fewer.", 1),
            "warning_seconds": whole("Seconds before the time limit at which trials save and are queued again. 120 by default.", 1),
            "requeues": whole("How often a trial's job is queued again. 50 by default.", 0),
            "poll_seconds": whole("Seconds between two requests to the controller. 15 by default.", 1),
            "patience_seconds": whole("Seconds that a file system may take to show here what a node wrote. 60 by default.", 0),
            "program": { "description": "The program that trials run, instead of a copy of this one.", "type": "string" },
        },
    })
}

fn prune() -> Value {
    let whole = |what: &str, least: u32| json!({ "description": what, "type": "integer", "minimum": least });
    json!({
        "description": "Trials that are stopped before their last epoch because others are ahead, judged by the objective.",
        "type": "object",
        "additionalProperties": false,
        "required": ["method"],
        "properties": {
            "method": {
                "description": "asha: successive halving; median: a trial behind the median of the others stops.",
                "enum": ["asha", "median"],
            },
            "audit": {
                "description": "Share of trials that are spared, to estimate how often pruning would have been wrong. 0.1 by default.",
                "type": "number",
                "minimum": 0,
                "maximum": 1,
            },
            "reduction": whole("For asha: inverse of the share of trials that continue. 3 by default.", 2),
            "min_epochs": whole("For asha: epochs that every trial gets. 1 by default.", 1),
            "warm_up": whole("For median: epochs that every trial gets. 1 by default.", 1),
            "min_trials": whole("For median: others needed for a median. 3 by default.", 1),
        },
    })
}
