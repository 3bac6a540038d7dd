//! Checks the shape of a trial's configuration, as its schema describes it: which keys there are and of which type. It finds
//! all mistakes at once and says them in plain words; reading the values finds one, in words of the program. Reading is also
//! too lenient: it would take a list for a table, by position.

mod words;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use crate::config::TrialConfig;
use sweep_core::spelling::nearest;
use words::{kind_of, listed, of_type, shown};

/// A mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key, a dotted path in the trial's configuration.
    pub key: String,
    /// The mistake, in words.
    pub what: String,
    /// The remedy, in words.
    pub right: String,
    /// Whether the key is missing, which may be because an axis sets it.
    pub is_missing: bool,
}

/// Prefix of references to definitions.
const REFERENCE: &str = "#/definitions/";

/// The schema of a trial's configuration, and its definitions.
struct Schema {
    trial: Json,
    definitions: Map<String, Json>,
}

/// All mistakes in the shape of a trial's configuration, in the order of its keys, missing keys last.
#[must_use]
pub fn mistakes(trial: &Table) -> Vec<Mistake> {
    let (schema, mut found) = (schema(), Vec::new());
    schema.check("", &Value::Table(trial.clone()), &schema.trial, &mut found);
    found
}

/// Keys of a definition, not of its trials.
const NOT_SET: [&str; 3] = ["seed", "seeds", "objective"];

/// The path of a setting whose whole path or last part this is, if it is one of the first two levels: `epochs`,
/// `optimizer.lr`.
#[must_use]
pub fn path_of(key: &str) -> Option<String> {
    if NOT_SET.contains(&key) {
        return None;
    }
    let schema = schema();
    let top = schema.resolved(&schema.trial)["properties"].as_object()?;
    if top.contains_key(key) {
        return Some(key.to_owned());
    }
    let has = |of: &Json| -> bool {
        let of = schema.resolved(of);
        let choices = schema.choices(of);
        let tables = if choices.is_empty() { vec![of] } else { choices };
        tables.iter().any(|table| table["properties"].get(key).is_some())
    };
    // The optimizer first: it is its rate that people mean.
    let order = ["optimizer", "model", "loss", "schedule", "augment", "dataset", "heatmap", "decode"];
    order.iter().find(|part| top.get(**part).is_some_and(has)).map(|part| format!("{part}.{key}"))
}

/// The settings of trials that `--set` takes: the first two levels, as `epochs` and `optimizer.lr`, in the order of the alphabet.
#[must_use]
pub fn paths() -> Vec<String> {
    let schema = schema();
    let keys = |table: &Json| -> Vec<String> {
        table["properties"].as_object().map_or_else(Vec::new, |keys| keys.keys().cloned().collect())
    };
    let mut paths = BTreeSet::new();
    for top in keys(schema.resolved(&schema.trial)) {
        if NOT_SET.contains(&top.as_str()) {
            continue;
        }
        let of = schema.resolved(&schema.resolved(&schema.trial)["properties"][&top]);
        let choices = schema.choices(of);
        let tables = if choices.is_empty() { vec![of] } else { choices };
        paths.extend(tables.into_iter().flat_map(keys).map(|key| format!("{top}.{key}")));
        paths.insert(top);
    }
    paths.into_iter().collect()
}

/// The schema, made once.
fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut generator = SchemaSettings::draft07().into_generator();
        let trial = generator.subschema_for::<TrialConfig>().to_value();
        Schema { trial, definitions: generator.take_definitions(true) }
    })
}

impl Schema {
    /// A schema without references and wrappers of one schema.
    fn resolved<'a>(&'a self, schema: &'a Json) -> &'a Json {
        let referred = schema["$ref"].as_str().and_then(|to| to.strip_prefix(REFERENCE));
        if let Some(definition) = referred.and_then(|name| self.definitions.get(name)) {
            return self.resolved(definition);
        }
        match schema["allOf"].as_array().map(Vec::as_slice) {
            Some([only]) if schema.get("properties").is_none() => self.resolved(only),
            _ => schema,
        }
    }

    /// The choices of a schema but for `null`; empty if it is no choice.
    fn choices<'a>(&'a self, schema: &'a Json) -> Vec<&'a Json> {
        let all = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten();
        all.map(|choice| self.resolved(choice)).filter(|choice| choice["type"] != "null").collect()
    }

    fn check(&self, key: &str, value: &Value, schema: &Json, found: &mut Vec<Mistake>) {
        let schema = self.resolved(schema);
        match self.choices(schema).as_slice() {
            [] => self.check_plain(key, value, schema, found),
            [only] => self.check(key, value, only, found),
            choices if choices.iter().all(|choice| name_of(choice).is_some()) => self.named(key, value, choices, found),
            choices if choices.iter().all(|choice| choice.get("const").is_some()) => {
                let words: Vec<&str> = choices.iter().filter_map(|choice| choice["const"].as_str()).collect();
                if !value.as_str().is_some_and(|word| words.contains(&word)) {
                    found.push(unknown_word(key, value, &words));
                }
            }
            choices => {
                let tried = choices.iter().map(|choice| {
                    let mut mistakes = Vec::new();
                    self.check(key, value, choice, &mut mistakes);
                    mistakes
                });
                // The choice that comes nearest is the one that was meant.
                found.extend(tried.min_by_key(Vec::len).unwrap_or_default());
            }
        }
    }

    /// Checks a value whose type is known.
    fn check_plain(&self, key: &str, value: &Value, schema: &Json, found: &mut Vec<Mistake>) {
        let types: Vec<&str> = match &schema["type"] {
            Json::String(one) => vec![one.as_str()],
            Json::Array(all) => all.iter().filter_map(Json::as_str).filter(|one| *one != "null").collect(),
            _ => return,
        };
        if let Some(word) = schema.get("const").filter(|word| value.as_str() != word.as_str()) {
            found.push(unknown_word(key, value, &[word.as_str().unwrap_or_default()]));
            return;
        }
        if let Some(numbers) = schema["enum"].as_array().filter(|all| all.iter().all(Json::is_number)) {
            if !numbers.iter().any(|number| value.as_integer().is_some_and(|n| number.as_i64() == Some(n))) {
                let wanted: Vec<String> = numbers.iter().map(Json::to_string).collect();
                let what = format!("{} is not {}", shown(value), wanted.join(" or "));
                let right = format!("use {}", wanted.join(" or "));
                found.push(Mistake { key: key.to_owned(), what, right, is_missing: false });
            }
            return;
        }
        if let Some(words) = schema["enum"].as_array() {
            let words: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
            if !value.as_str().is_some_and(|word| words.contains(&word)) {
                found.push(unknown_word(key, value, &words));
            }
            return;
        }
        if !types.iter().any(|one| is_of(value, one)) {
            found.push(wrong_type(key, value, &types, schema));
            return;
        }
        match value {
            Value::Table(table) if types.contains(&"object") => self.check_table(key, table, schema, found),
            Value::Array(values) if types.contains(&"array") => self.check_list(key, values, schema, found),
            _ => {
                let number = value.as_integer().map(|n| n as f64).or_else(|| value.as_float());
                let least = schema["minimum"].as_f64();
                if let Some((_, least)) = number.zip(least).filter(|(number, least)| number < least) {
                    let what = format!("{} is less than {least}", shown(value));
                    found.push(Mistake {
                        key: key.to_owned(),
                        what,
                        right: format!("use {}", of_type(&types, schema)),
                        is_missing: false,
                    });
                }
            }
        }
    }

    fn check_list(&self, key: &str, values: &[Value], schema: &Json, found: &mut Vec<Mistake>) {
        let count = values.len() as u64;
        let [least, most] = ["minItems", "maxItems"].map(|bound| schema[bound].as_u64());
        if least.is_some_and(|least| count < least) || most.is_some_and(|most| count > most) {
            let wanted = match (least, most) {
                (Some(least), Some(most)) if least == most => format!("{least} values"),
                (Some(least), _) => format!("at least {least} values"),
                (None, most) => format!("at most {} values", most.unwrap_or_default()),
            };
            let what = format!("{} is a list of {count}", shown(&Value::Array(values.to_vec())));
            found.push(Mistake {
                key: key.to_owned(),
                what,
                right: format!("write a list of {wanted}"),
                is_missing: false,
            });
            return;
        }
        for value in values {
            let before = found.len();
            self.check(key, value, &schema["items"], found);
            if found.len() > before {
                return;
            }
        }
    }

    fn check_table(&self, key: &str, table: &Table, schema: &Json, found: &mut Vec<Mistake>) {
        let Some(known) = schema["properties"].as_object() else { return };
        let join = |inner: &str| if key.is_empty() { inner.to_owned() } else { format!("{key}.{inner}") };
        for (inner, value) in table {
            match known.get(inner) {
                Some(schema) => self.check(&join(inner), value, schema, found),
                None if schema["additionalProperties"] == false => {
                    let names: Vec<&str> = known.keys().map(String::as_str).filter(|name| *name != "name").collect();
                    found.push(Mistake { key: join(inner), ..unknown_key(inner, table, &names) });
                }
                None => {}
            }
        }
        for inner in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            // A key that is written under another name is not missing.
            let is_meant = |mistake: &Mistake| {
                mistake.right == format!("did you mean `{inner}`?")
                    && mistake.key.rsplit_once('.').map_or("", |(table, _)| table) == key
            };
            if !table.contains_key(inner) && !found.iter().any(is_meant) {
                found.push(Mistake {
                    key: join(inner),
                    what: format!("`{}` is missing", join(inner)),
                    right: format!("add {}", self.example(inner, &known[inner])),
                    is_missing: true,
                });
            }
        }
    }

    /// Checks a table whose `name` says which of several kinds it is.
    fn named(&self, key: &str, value: &Value, choices: &[&Json], found: &mut Vec<Mistake>) {
        let names: Vec<&str> = choices.iter().filter_map(|choice| name_of(choice)).collect();
        let last = key.rsplit('.').next().unwrap_or(key);
        let mistake = |key: String, what: String, right: String| Mistake { key, what, right, is_missing: false };
        let Value::Table(table) = value else {
            let named = value.as_str().and_then(|word| nearest(word, &names));
            let example = format!("{last} = {{ name = \"{}\" }}", named.unwrap_or(names[0]));
            let choice = if named.is_some() { String::new() } else { format!("; the names are {}", listed(&names)) };
            let what = format!("{} is {}, not a table", shown(value), kind_of(value));
            let axis = format!("or, on an axis, vary \"{key}.name\"");
            found.push(mistake(key.to_owned(), what, format!("write {example}{choice}, {axis}")));
            return;
        };
        let inner = format!("{key}.name");
        match table.get("name") {
            None => {
                let what = format!("`{inner}` is missing: it says which {last} is meant");
                found.push(Mistake {
                    is_missing: true,
                    ..mistake(key.to_owned(), what, format!("add name = {}", listed(&names)))
                });
            }
            Some(Value::String(name)) => match choices.iter().find(|choice| name_of(choice) == Some(name)) {
                Some(choice) => self.check_table(key, table, choice, found),
                None => found.push(unknown_word(&inner, &Value::String(name.clone()), &names)),
            },
            Some(other) => found.push(unknown_word(&inner, other, &names)),
        }
    }

    /// A value of a missing key, as one would write it.
    fn example(&self, key: &str, schema: &Json) -> String {
        let schema = self.resolved(schema);
        if let Some(first) = self.choices(schema).iter().find_map(|choice| name_of(choice)) {
            return format!("{key} = {{ name = \"{first}\" }}");
        }
        match schema["type"].as_str() {
            Some("integer") => {
                format!("{key} = {}, {}", schema["minimum"].as_u64().unwrap_or(1).max(1), of_type(&["integer"], schema))
            }
            Some("number") => format!("{key} = 1.0, a number"),
            Some("string") => format!("{key} = \"…\", a text"),
            Some("array") => format!("{key} = […], a list"),
            Some("object") => format!("{key} = {{ … }}, a table"),
            _ => key.to_owned(),
        }
    }
}

/// The value of `name` that a choice is for.
fn name_of(choice: &Json) -> Option<&str> {
    choice["properties"]["name"]["const"].as_str()
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "integer" => value.is_integer(),
        "number" => value.is_integer() || value.is_float(),
        "string" => value.is_str(),
        "boolean" => value.is_bool(),
        "array" => value.is_array(),
        "object" => value.is_table(),
        _ => true,
    }
}

fn wrong_type(key: &str, value: &Value, types: &[&str], schema: &Json) -> Mistake {
    let last = key.rsplit('.').next().unwrap_or(key);
    let wanted = of_type(types, schema);
    // A table's example has the keys that it must have.
    let keys = || {
        let needed: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        let all = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        if needed.is_empty() { all.take(1).collect() } else { needed }
    };
    let right = match value {
        Value::Float(number) if types == ["integer"] && number.fract() == 0.0 && number.abs() < 1e15 => {
            format!("write {last} = {number:.0}")
        }
        Value::Array(_) if types == ["object"] => {
            let named: Vec<String> = keys().iter().map(|name| format!("{name} = …")).collect();
            format!("write the keys: {last} = {{ {} }}", named.join(", "))
        }
        _ if types == ["object"] => {
            let named: Vec<String> = keys().iter().map(|name| format!("{name} = …")).collect();
            format!("write {last} = {{ {} }}", named.join(", "))
        }
        value if types == ["array"] => format!("write {last} = [{}]", shown(value)),
        Value::String(text) if types == ["number"] && text.contains(',') => {
            format!("use {wanted}; several values are an axis: \"{key}\" = [{text}] under [axes]")
        }
        _ => format!("use {wanted}"),
    };
    Mistake { key: key.to_owned(), what: format!("{} is not {wanted}", shown(value)), right, is_missing: false }
}

/// A word that is none of these.
fn unknown_word(key: &str, value: &Value, words: &[&str]) -> Mistake {
    let last = key.rsplit('.').find(|part| *part != "name").unwrap_or(key);
    let right = match value.as_str().and_then(|word| nearest(word, words)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("use {}", listed(words)),
    };
    Mistake { key: key.to_owned(), what: format!("{} is not a known {last}", shown(value)), right, is_missing: false }
}

/// A key that a table does not have.
fn unknown_key(key: &str, table: &Table, known: &[&str]) -> Mistake {
    let of = table.get("name").and_then(Value::as_str);
    let whose = of.map_or_else(String::new, |name| format!(" of \"{name}\""));
    let right = match (nearest(key, known), known) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => {
            format!("remove it: {} has no settings", of.map_or_else(|| "this".to_owned(), |name| format!("\"{name}\"")))
        }
        (None, known) => format!("the keys are {}", known.join(", ")),
    };
    Mistake { key: key.to_owned(), what: format!("unknown key `{key}`{whose}"), right, is_missing: false }
}

#[cfg(test)]
mod tests;
