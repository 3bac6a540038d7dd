//! Decides which trials stop, and when.

use std::collections::BTreeMap;

use rand::Rng;

use super::{History, PruneSpec, Rule};
use sweep_core::seed::{self, Stream};

/// Decision about a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It continues, as far as is known.
    Continue,
    /// It stops.
    Prune {
        /// The epoch at which other trials were ahead.
        epoch: u32,
        /// How far they were ahead, in words.
        reason: String,
    },
    /// It would stop at this epoch but is spared at random. No other decision depends on its further results.
    Spare {
        /// The epoch at which other trials were ahead.
        epoch: u32,
        /// How far they were ahead, in words.
        reason: String,
    },
}

impl Decision {
    /// The epoch at which other trials were ahead, for a pruned or spared trial.
    #[must_use]
    pub fn epoch(&self) -> Option<u32> {
        match self {
            Self::Continue => None,
            Self::Prune { epoch, .. } | Self::Spare { epoch, .. } => Some(*epoch),
        }
    }
}

/// Trials of one group, with their costs at the epochs of decisions.
#[derive(Default)]
struct GroupCosts {
    /// For each epoch of a decision, the best costs of the trials that reached it, ascending.
    costs: BTreeMap<u32, Vec<f64>>,
    /// The first epoch that some earlier trial has yet to reach: from here on, later trials cannot be judged.
    open: Option<u32>,
}

/// Decides for every trial of a plan; `histories` follow the plan's order and include trials that have not begun.
#[must_use]
pub fn decide(spec: &PruneSpec, histories: &[History]) -> Vec<Decision> {
    let longest = histories.iter().map(|history| history.costs.len()).max().unwrap_or(0) as u32;
    let epochs = spec.rule.epochs(longest);
    let mut groups: BTreeMap<&str, GroupCosts> = BTreeMap::new();
    let mut decisions = Vec::with_capacity(histories.len());
    for history in histories {
        let group = groups.entry(history.group.as_str()).or_default();
        decisions.push(match group.pass(spec.rule, &epochs, history) {
            None => Decision::Continue,
            Some((epoch, reason)) if is_spared(&history.trial, spec.audit) => Decision::Spare { epoch, reason },
            Some((epoch, reason)) => Decision::Prune { epoch, reason },
        });
    }
    decisions
}

/// Draws whether a trial is spared; the draw depends on the trial's name alone.
fn is_spared(trial: &str, share: f64) -> bool {
    let hash = blake3::hash(trial.as_bytes());
    let index = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    seed::derive(0, Stream::Audit, 0, index).random_range(0.0..1.0) < share
}

impl GroupCosts {
    /// Compares a trial with the earlier ones at each epoch it reached, up to the first at which others are ahead of
    /// it.
    fn pass(&mut self, rule: Rule, epochs: &[u32], history: &History) -> Option<(u32, String)> {
        for &epoch in epochs {
            let came = history.costs.len() >= epoch as usize;
            if !came && !history.over {
                self.open = Some(self.open.map_or(epoch, |open| open.min(epoch)));
                return None;
            }
            // A trial that was never evaluated cannot be ranked.
            let Some(cost) = history.best(epoch) else { continue };
            let decided = self.open.is_none_or(|open| epoch < open);
            let costs = self.costs.entry(epoch).or_default();
            let verdict = if came && decided { rule.verdict(costs, cost, epoch) } else { None };
            costs.insert(costs.partition_point(|other| *other <= cost), cost);
            if verdict.is_some() {
                return verdict.map(|reason| (epoch, reason));
            }
            if !decided {
                return None;
            }
        }
        None
    }
}

impl Rule {
    /// The epochs at which trials are judged, ascending.
    fn epochs(self, longest: u32) -> Vec<u32> {
        match self {
            Self::Asha { reduction, min_epochs } => {
                let next = |epoch: &u32| epoch.checked_mul(reduction);
                std::iter::successors(Some(min_epochs), next)
                    .take_while(|epoch| *epoch <= longest.max(min_epochs))
                    .collect()
            }
            Self::Median { warm_up, .. } => (warm_up..=longest.max(warm_up)).collect(),
        }
    }

    /// The reason why a trial with this cost stops, given the costs of earlier trials.
    fn verdict(self, others: &[f64], cost: f64, epoch: u32) -> Option<String> {
        match self {
            Self::Asha { reduction, .. } => {
                let came = others.len() + 1;
                let kept = came / reduction as usize;
                let ahead = others.partition_point(|other| *other < cost);
                // With fewer than `reduction` trials none stops: any of them may be the best.
                (kept > 0 && ahead >= kept).then(|| {
                    format!(
                        "{ahead} of {} trials before it were ahead at epoch {epoch}, and {kept} of {came} go on",
                        came - 1
                    )
                })
            }
            Self::Median { min_trials, .. } => {
                let median = median(others).filter(|_| others.len() >= min_trials as usize)?;
                // The cost of a metric to be maximised is its negative.
                let [own, middle] = [cost, median].map(f64::abs);
                (cost > median).then(|| {
                    format!(
                        "{own:.3} at epoch {epoch}, behind the median {middle:.3} of {} trials before it",
                        others.len()
                    )
                })
            }
        }
    }
}

/// Median of ascending numbers.
pub(super) fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[middle - 1], upper) })
}
