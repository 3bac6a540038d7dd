//! Pruning: trials that are stopped before their last epoch because other trials are ahead. This module reads `[prune]`
//! of a definition and makes the decisions. Trials are judged by the landmark error, never by the loss.
//!
//! Everything here is a function of the trials' histories, taken in the plan's order: a trial is compared with those
//! before it, as if they had run one after another. If an earlier trial has not reached an epoch yet, the decision
//! waits, and the trial runs on meanwhile. So the definition alone decides which trials are pruned and at which epoch,
//! not how many run at once or how fast. Only the number of epochs that a trial runs beyond its decision depends on
//! timing.
//!
//! `decide` makes the decisions; `audit` estimates how often they were wrong, from trials that were spared at random.

mod audit;
mod decide;

use toml::{Table, Value};

use crate::key_error::KeyError;
use sweep_core::error::Result;

pub use audit::{Audit, audit};
pub use decide::{Decision, decide};

/// `[prune]` of a definition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PruneSpec {
    /// When a trial is stopped.
    pub rule: Rule,
    /// Share of trials that are spared at random: they run to their end and show how often pruning would have been
    /// wrong.
    pub audit: f64,
}

/// When a trial is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Successive halving without waiting (ASHA; Li et al. 2020): at epochs `min_epochs`, `min_epochs · reduction`, …
    /// only the best of every `reduction` trials that have reached it continue.
    Asha {
        /// Inverse of the share of trials that continue: 3 keeps one of three.
        reduction: u32,
        /// Epochs that every trial gets.
        min_epochs: u32,
    },
    /// From epoch `warm_up` on, a trial stops if its best cost so far is worse than the median of at least `min_trials`
    /// others at the same epoch (the median rule of Google Vizier).
    Median {
        /// Epochs that every trial gets.
        warm_up: u32,
        /// Others needed for a median.
        min_trials: u32,
    },
}

/// Results of a trial so far.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The trial's id.
    pub trial: String,
    /// Trials are compared within a group only: errors on different data are not comparable.
    pub group: String,
    /// The cost of every epoch so far; smaller is better. `nan` for epochs without evaluation.
    pub costs: Vec<f64>,
    /// Whether the trial has ended, in any way: it will have no more epochs.
    pub over: bool,
    /// Whether it was trained to its last epoch.
    pub finished: bool,
}

impl History {
    /// The least cost of the first `epochs` epochs.
    fn best(&self, epochs: u32) -> Option<f64> {
        let costs = self.costs.iter().take(epochs as usize).copied();
        costs.filter(|cost| !cost.is_nan()).min_by(f64::total_cmp)
    }
}

impl PruneSpec {
    /// Reads `[prune]`; `wrong` makes an error from a path in the definition, what is wrong there, and a remedy.
    ///
    /// # Errors
    /// Unknown rules and keys, impossible numbers; the location is their key.
    pub fn parse(table: &Table, wrong: &KeyError) -> Result<Self> {
        let number = |key: &str, default: u32, least: u32| match table.get(key) {
            None => Ok(default),
            Some(value) => {
                value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| *n >= least).ok_or_else(|| {
                    let right = format!("a whole number from {least}");
                    wrong(&["prune", key], &format!("{key} = {value} is not possible"), &right)
                })
            }
        };
        let (rule, keys) = match table.get("method").and_then(Value::as_str) {
            Some("asha") => {
                let (reduction, min_epochs) = (number("reduction", 3, 2)?, number("min_epochs", 1, 1)?);
                (Rule::Asha { reduction, min_epochs }, ["reduction", "min_epochs"])
            }
            Some("median") => {
                let (warm_up, min_trials) = (number("warm_up", 1, 1)?, number("min_trials", 3, 1)?);
                (Rule::Median { warm_up, min_trials }, ["warm_up", "min_trials"])
            }
            _ => {
                let key: &[&str] = if table.contains_key("method") { &["prune", "method"] } else { &["prune"] };
                let right =
                    "write method = \"asha\" (with reduction, min_epochs) or \"median\" (with warm_up, min_trials)";
                return Err(wrong(key, "the method of pruning is unknown or missing", right));
            }
        };
        let known = |key: &str| ["method", "audit"].contains(&key) || keys.contains(&key);
        if let Some(key) = table.keys().find(|key| !known(key)) {
            let right = format!("the keys are method, audit, {}", keys.join(", "));
            return Err(wrong(&["prune", key], &format!("unknown key `{key}`"), &right));
        }
        let audit = match table.get("audit") {
            None => 0.1,
            Some(value) => {
                let number = value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
                number.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
                    let right = "a share from 0 (no audit) to 1";
                    wrong(&["prune", "audit"], &format!("audit = {value} is not possible"), right)
                })?
            }
        };
        Ok(Self { rule, audit })
    }
}

#[cfg(test)]
mod tests;
