//! Custom components: networks, losses and data sets that a program registers beside the built-in ones, without a change to
//! this crate.
//!
//! A definition names one as `{ name = "custom", kind = "…", options = { … } }`. The kind is looked up in the program's
//! [`Registry`] when the component is first needed. A registered kind is never replaced, so a process has one answer. A
//! program without the kind can still read records of trials that used it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// A trait whose implementations a program can register; its values are built from a definition's options.
pub trait Component: Send + Sync + 'static {
    /// The trait in words, for example `network`.
    const NAME: &'static str;

    /// Registry of this process.
    fn registry() -> &'static Registry<Self>;

    /// Checks what the types of the options cannot.
    ///
    /// # Errors
    /// When an option has an impossible value; its name is the error's location.
    fn check(&self) -> Result<()>;

    /// Version of the component, part of a trial's identity: a new version means that the same kind with the same
    /// options gives different results. `None` if something else identifies the component.
    ///
    /// # Errors
    /// When the component cannot be built.
    fn version(&self) -> Result<Option<String>>;
}

/// Kind of the custom component among a specification's examples.
pub const EXAMPLE_KIND: &str = "example";

/// Builds a component from a definition's options.
type Constructor<T> = Arc<dyn Fn(&Map<String, Value>) -> Result<Arc<T>> + Send + Sync>;

/// Constructors of a component by kind.
pub struct Registry<T: ?Sized>(RwLock<BTreeMap<String, Constructor<T>>>);

impl<T: Component + ?Sized> Registry<T> {
    /// Creates an empty registry.
    #[must_use]
    pub const fn new() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }

    /// Registers a kind; `build` gets its options, read by serde as `O`.
    ///
    /// # Errors
    /// When the kind is empty, or registered already.
    pub fn register<O: DeserializeOwned>(
        &self,
        kind: &str,
        build: impl Fn(O) -> Arc<T> + Send + Sync + 'static,
    ) -> Result<()> {
        let name = T::NAME;
        if kind.trim().is_empty() {
            return Err(Error::definition(format!("a {name} without a name")).remedy("name it, for example \"my-own\""));
        }
        let constructor = move |options: &Map<String, Value>| {
            let options: O = serde_path_to_error::deserialize(Value::Object(options.clone())).map_err(|e| {
                let path = e.path().to_string();
                let location = if path == "." { "options".to_owned() } else { format!("options.{path}") };
                Error::definition(e.into_inner().to_string()).at(location)
            })?;
            Ok(build(options))
        };
        let mut constructors = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if constructors.contains_key(kind) {
            return Err(
                Error::definition(format!("the {name} `{kind}` is registered twice")).remedy("rename one of them")
            );
        }
        constructors.insert(kind.to_owned(), Arc::new(constructor));
        Ok(())
    }

    /// Builds a component of a kind with these options.
    fn build(&self, kind: &str, options: &Map<String, Value>) -> Result<Arc<T>> {
        let constructors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(constructor) = constructors.get(kind) {
            let constructor = Arc::clone(constructor);
            drop(constructors);
            return constructor(options);
        }
        let name = T::NAME;
        let known: Vec<String> = constructors.keys().map(|kind| format!("`{kind}`")).collect();
        let known = if known.is_empty() {
            format!("it has no {name} of its own")
        } else {
            format!("of its own it has {}", known.join(", "))
        };
        Err(Error::definition(format!("this program has no {name} of kind `{kind}`")).at("kind").remedy(format!(
            "{known}; use the program that adds `{kind}`, by landmark_sweep::program::Program, in the place of this one"
        )))
    }
}

impl<T: Component + ?Sized> Default for Registry<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A custom component as a definition names it.
#[derive(Serialize, Deserialize)]
#[serde(bound = "", deny_unknown_fields)]
pub struct Custom<T: ?Sized> {
    /// Kind that the program registered it under.
    pub kind: String,
    /// The expected [`Component::version`]; planning fills it in, as part of a trial's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Options, which the component interprets.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    #[serde(skip)]
    component: OnceLock<Arc<T>>,
}

/// Keys of [`Custom`], for the JSON schema.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Keys {
    /// Kind that the program registered it under.
    kind: String,
    /// Expected version; planning fills it in.
    version: Option<String>,
    /// Options, which the component interprets.
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
    /// Creates a component of this kind from the options of a definition's table.
    #[must_use]
    pub fn new(kind: impl Into<String>, options: Map<String, Value>) -> Self {
        Self { kind: kind.into(), version: None, options, component: OnceLock::new() }
    }

    /// A component of kind [`EXAMPLE_KIND`] without options.
    #[must_use]
    pub fn example() -> Self {
        Self::new(EXAMPLE_KIND, Map::new())
    }
}

impl<T: Component + ?Sized> Custom<T> {
    /// The component itself, built once.
    ///
    /// # Errors
    /// When the program has not registered the kind, or the options cannot be read.
    pub fn get(&self) -> Result<&Arc<T>> {
        if let Some(component) = self.component.get() {
            return Ok(component);
        }
        let component = T::registry().build(&self.kind, &self.options)?;
        Ok(self.component.get_or_init(|| component))
    }

    /// Checks that the program has registered the kind, that the options are possible, and that the version is the
    /// expected one.
    ///
    /// # Errors
    /// When one of these fails; the key is the error's location.
    pub fn check(&self) -> Result<()> {
        if let Some(key) = non_finite_option(&self.options) {
            return Err(Error::definition(format!("option {key} is not a finite number"))
                .at("options")
                .remedy("use a finite number"));
        }
        let component = self.get()?;
        component.check().map_err(|e| {
            let location =
                e.location.as_deref().map_or_else(|| "kind".to_owned(), |option| format!("options.{option}"));
            Error { location: Some(location), ..e }
        })?;
        let (Some(expected), Some(found)) = (&self.version, component.version()?) else { return Ok(()) };
        if *expected == found {
            return Ok(());
        }
        let (name, kind) = (T::NAME, &self.kind);
        Err(Error::definition(format!(
            "the {name} `{kind}` has version {found} in this program, but the definition expects {expected}"
        ))
        .at("version")
        .remedy(format!("use the program that had `{kind}` at {expected}; or run the sweep anew, without `version`")))
    }

    /// Fills in the version if it is not set.
    ///
    /// # Errors
    /// Same errors as [`Custom::get`].
    pub fn resolve_version(&mut self) -> Result<()> {
        if self.version.is_none() {
            self.version = self.get()?.version()?;
        }
        Ok(())
    }
}

/// The first option that JSON cannot represent: infinite, or not a number.
fn non_finite_option(options: &Map<String, Value>) -> Option<&String> {
    fn is_non_finite(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(values) => values.iter().any(is_non_finite),
            Value::Object(values) => values.values().any(is_non_finite),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    options.iter().find(|(_, value)| is_non_finite(value)).map(|(key, _)| key)
}

// Not derived: a derive would require the traits of `T`.
impl<T: ?Sized> Clone for Custom<T> {
    fn clone(&self) -> Self {
        Self {
            kind: self.kind.clone(),
            version: self.version.clone(),
            options: self.options.clone(),
            component: self.component.clone(),
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
        let Self { kind, version, options, component: _ } = self;
        f.debug_struct("Custom").field("kind", kind).field("version", version).field("options", options).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    trait Number: Send + Sync {
        fn value(&self) -> u32;
    }
    impl Component for dyn Number {
        const NAME: &'static str = "number";
        fn registry() -> &'static Registry<Self> {
            static REGISTRY: Registry<dyn Number> = Registry::new();
            &REGISTRY
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
        let location = |error: Error| error.location.unwrap_or_default();
        let unknown = custom("kind = 'none'").check().unwrap_err();
        assert!(unknown.message.contains("no number of kind `none`") && unknown.location.as_deref() == Some("kind"));
        let add = || <dyn Number>::registry().register("digit", |digit: Digit| Arc::new(digit) as _);
        add().unwrap();
        assert!(add().unwrap_err().message.contains("twice"));
        assert!(custom("kind = 'none'").check().unwrap_err().remedy.unwrap().contains("`digit`"));
        let mut digit = custom("kind = 'digit'\noptions = { value = 7 }");
        digit.check().unwrap();
        assert_eq!((digit.get().unwrap().value(), &digit.version), (7, &None));
        digit.resolve_version().unwrap();
        digit.check().unwrap();
        assert_eq!(toml::to_string(&digit).unwrap(), "kind = \"digit\"\nversion = \"1\"\n\n[options]\nvalue = 7\n");
        let wrong = |text: &str| location(custom(text).check().unwrap_err());
        assert_eq!(wrong("kind = 'digit'\noptions = { value = 10 }"), "options.value");
        assert_eq!(wrong("kind = 'digit'\noptions = { value = 'a' }"), "options.value");
        assert_eq!(wrong("kind = 'digit'\noptions = { value = nan }"), "options");
        assert_eq!(wrong("kind = 'digit'\nversion = '2'\noptions = { value = 1 }"), "version");
        assert!(wrong("kind = 'digit'\noptions = { value = 1, other = 2 }").starts_with("options"));
    }
}
