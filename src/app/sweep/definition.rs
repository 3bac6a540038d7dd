//! Reads definitions.

use sweep_core::error::{Error, Result};
use sweep_experiment::definition::{Source, SweepDefinition};
use sweep_planning::shape::{Mistake, mistakes};

/// A definition, as its author wrote it or as `sweep.toml` recorded it; `file` is its name in errors.
///
/// # Errors
/// Every mistake in it, each with its place and what would be right.
pub fn parse(file: &str, text: &str) -> Result<SweepDefinition> {
    SweepDefinition::parse_recorded(file, text).map_err(|error| with_mistakes(error, file, text))
}

/// Adds the mistakes of `[trial]` to those of a definition that cannot be read; an axis may set what is missing there.
fn with_mistakes(error: Error, file: &str, text: &str) -> Error {
    let source = Source { file: file.to_owned(), text: text.to_owned() };
    let document: toml::Table = text.parse().unwrap_or_default();
    let Some(toml::Value::Table(trial)) = document.get("trial") else { return source.explain(error) };
    let placed = |mistake: Mistake| {
        let path: Vec<&str> = std::iter::once("trial").chain(mistake.key.split('.')).collect();
        Error::definition(mistake.what).at(source.locate(&path)).remedy(mistake.right)
    };
    let top = |mistake: &Mistake| ["seed", "seeds", "objective"].contains(&mistake.key.as_str());
    let further = mistakes(trial).into_iter().filter(|mistake| !mistake.is_missing && !top(mistake)).map(placed);
    let first = error.clone();
    source.explain(Error::joined(std::iter::once(error).chain(further).collect()).unwrap_or(first))
}
