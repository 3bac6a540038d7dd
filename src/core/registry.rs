//! Parts that a program adds of its own: networks, losses and data sets that stand beside the ones there are, under a kind of
//! their own, without a change to this crate.
//!
//! A definition names one as `{ name = "custom", kind = "…", options = { … } }`. What that means is looked up, when it is
//! first needed, among what the program has added ([`Kinds`]): once added, a kind stays and never changes, so that a
//! process has one answer. A program that has not got it can still read records of trials that used it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// What can be added: a trait whose values are made of a definition's options.
pub trait Part: Send + Sync + 'static {
    /// In words, as `network`.
    const WHAT: &'static str;

    /// All kinds that this process knows.
    fn kinds() -> &'static Kinds<Self>;

    /// What its options' types do not say.
    ///
    /// # Errors
    /// The option with an impossible value is the error's place.
    fn check(&self) -> Result<()>;

    /// What tells it from what was added under the same name with the same options before, and is part of a trial's
    /// identity; none where something else does.
    ///
    /// # Errors
    /// When there is no such part.
    fn version(&self) -> Result<Option<String>>;
}

/// Kind of the custom component among a specification's examples.
pub const EXAMPLE_KIND: &str = "example";

/// A definition's options made into a part.
type Make<T> = Arc<dyn Fn(&Map<String, Value>) -> Result<Arc<T>> + Send + Sync>;

/// Kinds of one sort of part by name.
pub struct Kinds<T: ?Sized>(RwLock<BTreeMap<String, Make<T>>>);

impl<T: Part + ?Sized> Kinds<T> {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }

    /// Adds a kind; `part` takes its options, read as `O` is by serde.
    ///
    /// # Errors
    /// When there is one of this name already, or it is none.
    pub fn add<O: DeserializeOwned>(
        &self,
        kind: &str,
        part: impl Fn(O) -> Arc<T> + Send + Sync + 'static,
    ) -> Result<()> {
        let what = T::WHAT;
        if kind.trim().is_empty() {
            return Err(Error::definition(format!("a {what} without a name")).remedy("name it, as \"my-own\""));
        }
        let make = move |options: &Map<String, Value>| {
            let options: O = serde_path_to_error::deserialize(Value::Object(options.clone())).map_err(|e| {
                let path = e.path().to_string();
                let place = if path == "." { "options".to_owned() } else { format!("options.{path}") };
                Error::definition(e.into_inner().to_string()).at(place)
            })?;
            Ok(part(options))
        };
        let mut kinds = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kinds.contains_key(kind) {
            return Err(Error::definition(format!("the {what} `{kind}` is added twice")).remedy("name one otherwise"));
        }
        kinds.insert(kind.to_owned(), Arc::new(make));
        Ok(())
    }

    /// The part of a kind with these options.
    fn make(&self, kind: &str, options: &Map<String, Value>) -> Result<Arc<T>> {
        let kinds = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(make) = kinds.get(kind) {
            let make = Arc::clone(make);
            drop(kinds);
            return make(options);
        }
        let what = T::WHAT;
        let known: Vec<String> = kinds.keys().map(|kind| format!("`{kind}`")).collect();
        let known = if known.is_empty() {
            format!("it has no {what} of its own")
        } else {
            format!("of its own it has {}", known.join(", "))
        };
        Err(Error::definition(format!("this program has no {what} of kind `{kind}`")).at("kind").remedy(format!(
            "{known}; use the program that adds `{kind}`, by landmark_sweep::program::Program, in the place of this one"
        )))
    }
}

impl<T: Part + ?Sized> Default for Kinds<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A part of a program's own, as a definition says it.
#[derive(Serialize, Deserialize)]
#[serde(bound = "", deny_unknown_fields)]
pub struct Custom<T: ?Sized> {
    /// Which.
    pub kind: String,
    /// The [`Part::version`] that is meant; filled in by planning, which makes it part of a trial's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the part makes of them is its own affair.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    #[serde(skip)]
    made: OnceLock<Arc<T>>,
}

/// The keys of a part as editors know them.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read as a schema alone")]
struct Keys {
    /// Which, by the name that the program added it under.
    kind: String,
    /// What version of it is meant; planning fills it in.
    version: Option<String>,
    /// What the part makes of them is its own affair.
    #[serde(default)]
    options: Map<String, Value>,
}

impl<T: ?Sized> JsonSchema for Custom<T> {
    fn schema_name() -> Cow<'static, str> {
        "Custom".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Keys::json_schema(generator)
    }
}

impl<T: ?Sized> Custom<T> {
    /// A kind with options; those of a definition's table, as a rule.
    #[must_use]
    pub fn new(kind: impl Into<String>, options: Map<String, Value>) -> Self {
        Self { kind: kind.into(), version: None, options, made: OnceLock::new() }
    }

    /// A component of kind [`EXAMPLE_KIND`] without options.
    #[must_use]
    pub fn example() -> Self {
        Self::new(EXAMPLE_KIND, Map::new())
    }
}

impl<T: Part + ?Sized> Custom<T> {
    /// The part itself, made once.
    ///
    /// # Errors
    /// When this program has no such kind, or it cannot read its options.
    pub fn get(&self) -> Result<&Arc<T>> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = T::kinds().make(&self.kind, &self.options)?;
        Ok(self.made.get_or_init(|| made))
    }

    /// Whether this program has it, its options are possible, and it is the version that is meant.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<()> {
        if let Some(key) = no_number(&self.options) {
            return Err(Error::definition(format!("option {key} is no number"))
                .at("options")
                .remedy("use a finite one"));
        }
        let part = self.get()?;
        part.check().map_err(|e| {
            let place = e.place.as_deref().map_or_else(|| "kind".to_owned(), |option| format!("options.{option}"));
            Error { place: Some(place), ..e }
        })?;
        let (Some(meant), Some(is)) = (&self.version, part.version()?) else { return Ok(()) };
        if *meant == is {
            return Ok(());
        }
        let (what, kind) = (T::WHAT, &self.kind);
        Err(Error::definition(format!("the {what} `{kind}` is version {is} in this program, and {meant} is meant"))
            .at("version")
            .remedy(format!("use the program that had `{kind}` at {meant}; or run the sweep anew, without `version`")))
    }

    /// Fills in the version, if none is said.
    ///
    /// # Errors
    /// As [`Custom::get`].
    pub fn resolve_version(&mut self) -> Result<()> {
        if self.version.is_none() {
            self.version = self.get()?.version()?;
        }
        Ok(())
    }
}

/// The first option that JSON has no word for: infinite, or not a number.
fn no_number(options: &Map<String, Value>) -> Option<&String> {
    fn is_none(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(values) => values.iter().any(is_none),
            Value::Object(values) => values.values().any(is_none),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    options.iter().find(|(_, value)| is_none(value)).map(|(key, _)| key)
}

// Not derived, since `T` need be none of these.
impl<T: ?Sized> Clone for Custom<T> {
    fn clone(&self) -> Self {
        Self {
            kind: self.kind.clone(),
            version: self.version.clone(),
            options: self.options.clone(),
            made: self.made.clone(),
        }
    }
}

impl<T: ?Sized> PartialEq for Custom<T> {
    fn eq(&self, other: &Self) -> bool {
        (&self.kind, &self.version, &self.options) == (&other.kind, &other.version, &other.options)
    }
}

impl<T: ?Sized> fmt::Debug for Custom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, version, options, made: _ } = self;
        f.debug_struct("Custom").field("kind", kind).field("version", version).field("options", options).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    trait Number: Send + Sync {
        fn value(&self) -> u32;
    }
    impl Part for dyn Number {
        const WHAT: &'static str = "number";
        fn kinds() -> &'static Kinds<Self> {
            static KINDS: Kinds<dyn Number> = Kinds::new();
            &KINDS
        }
        fn check(&self) -> Result<()> {
            if self.value() > 9 { Err(Error::definition("too large").at("value")) } else { Ok(()) }
        }
        fn version(&self) -> Result<Option<String>> {
            Ok(Some("1".into()))
        }
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Digit {
        value: u32,
    }
    impl Number for Digit {
        fn value(&self) -> u32 {
            self.value
        }
    }

    fn custom(text: &str) -> Custom<dyn Number> {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn kinds_are_added_once_and_errors_name_key_and_remedy() {
        let place = |error: Error| error.place.unwrap_or_default();
        let unknown = custom("kind = 'none'").check().unwrap_err();
        assert!(unknown.what.contains("no number of kind `none`") && unknown.place.as_deref() == Some("kind"));
        let add = || <dyn Number>::kinds().add("digit", |digit: Digit| Arc::new(digit) as _);
        add().unwrap();
        assert!(add().unwrap_err().what.contains("twice"));
        assert!(custom("kind = 'none'").check().unwrap_err().remedy.unwrap().contains("`digit`"));
        let mut digit = custom("kind = 'digit'\noptions = { value = 7 }");
        digit.check().unwrap();
        assert_eq!((digit.get().unwrap().value(), &digit.version), (7, &None));
        digit.resolve_version().unwrap();
        digit.check().unwrap();
        assert_eq!(toml::to_string(&digit).unwrap(), "kind = \"digit\"\nversion = \"1\"\n\n[options]\nvalue = 7\n");
        let wrong = |text: &str| place(custom(text).check().unwrap_err());
        assert_eq!(wrong("kind = 'digit'\noptions = { value = 10 }"), "options.value");
        assert_eq!(wrong("kind = 'digit'\noptions = { value = 'a' }"), "options.value");
        assert_eq!(wrong("kind = 'digit'\noptions = { value = nan }"), "options");
        assert_eq!(wrong("kind = 'digit'\nversion = '2'\noptions = { value = 1 }"), "version");
        assert!(wrong("kind = 'digit'\noptions = { value = 1, other = 2 }").starts_with("options"));
    }
}
