//! Points of a sweep that are drawn instead of listed. This module reads `[search]` of a definition and draws the
//! points.
//!
//! `range` describes the values of a key; `draw` makes points. Points depend on the search's seed and, for the
//! tree-structured Parzen estimator, on the results of earlier rounds: never on time or on the order in which trials
//! end.

mod draw;
mod range;

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::key_error::KeyError;
use sweep_core::error::{Error, Result};

pub use draw::{Point, proposed};
pub use range::Range;

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Independently of each other.
    Random,
    /// By Sobol's sequence, scrambled after Owen: more even than independent draws.
    Sobol,
    /// By the tree-structured Parzen estimator (Bergstra et al. 2011): in rounds, each near the best points before it.
    Tpe {
        /// Points of the first round, drawn by Sobol's sequence.
        startup: usize,
        /// Points of every later round.
        round: usize,
    },
}

/// `[search]` of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchSpec {
    /// How points are drawn.
    pub method: Method,
    /// Number of points at every point of the axes; each runs once per seed.
    pub budget: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Dotted paths in a trial's configuration, and the range of each.
    pub space: Vec<(String, Range)>,
}

/// Outcome of a trial, as far as a search learns from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ended {
    /// Trained to its end, stopped or pruned, with this least cost over its epochs; smaller is better.
    Cost(f64),
    /// Its loss was not a finite number: counts as much as the worst trial that did not diverge.
    Diverged,
    /// It failed for a reason that says nothing about the point.
    Failed,
}

/// Outcomes of trials by identity.
pub type Results = BTreeMap<String, Ended>;

/// Largest budget.
const MOST: usize = 10_000;
/// Largest number of keys: the dimensions to which Sobol's sequence is tabulated.
const WIDEST: usize = sobol_burley::NUM_DIMENSIONS as usize;
/// Keys of `[search]` that are not paths.
const WORDS: [&str; 5] = ["method", "budget", "seed", "startup", "round"];

impl SearchSpec {
    /// Whether later points depend on how earlier ones ended.
    #[must_use]
    pub fn is_adaptive(&self) -> bool {
        matches!(self.method, Method::Tpe { .. })
    }

    /// Number of points that are known after this many rounds.
    #[must_use]
    pub fn known(&self, rounds: usize) -> usize {
        match self.method {
            Method::Random | Method::Sobol => self.budget,
            Method::Tpe { startup, round } => self.budget.min(startup + round * rounds),
        }
    }

    /// Reads `[search]`; `wrong` makes an error from a path in the definition, what is wrong there, and a remedy.
    ///
    /// # Errors
    /// Unknown methods, impossible ranges and numbers, a budget larger than the space; the location is their key.
    pub fn parse(table: &Table, wrong: &KeyError) -> Result<Self> {
        let number = |key: &str, default: Option<usize>, least: usize| match (table.get(key), default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(wrong(&["search"], &format!("there is no `{key}`"), &format!("add {key} = 20"))),
            (Some(value), _) => value
                .as_integer()
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| (least..=MOST).contains(n))
                .ok_or_else(|| {
                    let right = format!("a whole number from {least} to {MOST}");
                    wrong(&["search", key], &format!("{key} = {value} is not possible"), &right)
                }),
        };
        let budget = number("budget", None, 1)?;
        let method = match table.get("method").and_then(Value::as_str) {
            Some("random") => Method::Random,
            Some("sobol") => Method::Sobol,
            Some("tpe") => {
                Method::Tpe { startup: number("startup", Some(10), 2)?, round: number("round", Some(4), 1)? }
            }
            _ => {
                let key: &[&str] = if table.contains_key("method") { &["search", "method"] } else { &["search"] };
                let right = "write method = \"random\", \"sobol\" or \"tpe\"";
                return Err(wrong(key, "the method of the search is unknown or missing", right));
            }
        };
        if !matches!(method, Method::Tpe { .. })
            && let Some(key) = ["startup", "round"].into_iter().find(|key| table.contains_key(*key))
        {
            return Err(wrong(&["search", key], &format!("only tpe goes in rounds, with `{key}`"), "remove it"));
        }
        let seed = number("seed", Some(0), 0)? as u64;
        let mut space = Vec::new();
        for (key, value) in table.iter().filter(|(key, _)| !WORDS.contains(&key.as_str())) {
            ranges(key, value, &mut space, &|what, right| wrong(&["search", key], what, right))?;
        }
        if space.is_empty() || space.len() > WIDEST {
            let right = format!("name 1 to {WIDEST} keys, for example \"optimizer.lr\" = {{ log = [1e-5, 1e-2] }}");
            return Err(wrong(&["search"], &format!("the search varies {} keys", space.len()), &right));
        }
        let spec = Self { method, budget, seed, space };
        if let Some(count) = spec.count().filter(|count| *count < budget as u64) {
            let what = format!("a budget of {budget} points, but there are only {count} different ones");
            return Err(wrong(&["search", "budget"], &what, "ask for fewer, or list them under [axes]"));
        }
        Ok(spec)
    }

    /// The choices of a key; empty if the key is not searched or has a range of numbers.
    pub fn choices(&self, key: &str) -> impl Iterator<Item = &Value> {
        let range = self.space.iter().find(|(searched, _)| searched == key).map(|(_, range)| range);
        let values = if let Some(Range::Choice(values)) = range { values.as_slice() } else { &[] };
        values.iter()
    }

    /// Least number of different points; `None` if it is too large to matter.
    fn count(&self) -> Option<u64> {
        self.space.iter().try_fold(1u64, |count, (_, range)| count.checked_mul(range.count()?))
    }
}

/// Reads one key; an unquoted dotted key is a table in TOML and means the same path.
fn ranges(
    path: &str,
    value: &Value,
    space: &mut Vec<(String, Range)>,
    wrong: &dyn Fn(&str, &str) -> Error,
) -> Result<()> {
    match value {
        Value::Table(table) if !table.keys().any(|key| Range::WORDS.contains(&key.as_str())) && !table.is_empty() => {
            table.iter().try_for_each(|(key, value)| ranges(&format!("{path}.{key}"), value, space, wrong))
        }
        _ => {
            let range = Range::parse(value).map_err(|what| {
                wrong(
                    &format!("`{path}`: {what}"),
                    "write { uniform = [low, high] }, { log = [low, high] }, { integer = [low, high] }, with log = true or \
                     step = N where wanted, or { choice = [value, …] }",
                )
            })?;
            space.push((path.to_owned(), range));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
