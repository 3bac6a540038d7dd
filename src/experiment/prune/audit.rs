//! How often pruning would have been wrong, estimated from trials that were spared at random and ran to their end.

use std::collections::BTreeMap;

use super::decide::median;
use super::{Decision, History, PruneSpec, decide};

/// Results of the spared trials, compared with the trials that were kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Audit {
    /// Trials that were stopped.
    pub pruned: usize,
    /// Trials that would have been stopped and ran to their end: they were spared, or were there before they could be stopped.
    pub spared: usize,
    /// Spared trials that ended better than every kept trial: pruning would have lost the best.
    pub best: usize,
    /// Spared trials that ended better than the median of the kept trials.
    pub better_half: usize,
}

/// Counts over the trials' histories, in the order of the plan. Only ended trials count; groups are compared
/// separately.
#[must_use]
pub fn audit(spec: &PruneSpec, histories: &[History]) -> Audit {
    let decisions = decide(spec, histories);
    let ended = || histories.iter().zip(&decisions).filter(|(history, _)| history.over);
    let last = |history: &History| history.best(u32::MAX);
    let mut kept: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (history, decision) in ended() {
        if *decision == Decision::Continue {
            kept.entry(&history.group).or_default().extend(last(history));
        }
    }
    for costs in kept.values_mut() {
        costs.sort_by(f64::total_cmp);
    }
    let mut audit = Audit::default();
    for (history, decision) in ended() {
        match decision {
            Decision::Continue => {}
            Decision::Prune { .. } if !history.finished => audit.pruned += 1,
            Decision::Prune { .. } | Decision::Spare { .. } => {
                let Some(costs) = kept.get(history.group.as_str()) else { continue };
                let (Some(cost), Some(best), Some(median)) = (last(history), costs.first(), median(costs)) else {
                    continue;
                };
                audit.spared += 1;
                audit.best += usize::from(cost < *best);
                audit.better_half += usize::from(cost < median);
            }
        }
    }
    audit
}

impl Audit {
    /// How often pruning would have lost the best trial, as a share of the spared: estimate and 95 % interval (Wilson
    /// 1927). `None` if no trial was spared.
    #[must_use]
    pub fn wrong(&self) -> Option<(f64, [f64; 2])> {
        let n = self.spared as f64;
        (self.spared > 0).then(|| (self.best as f64 / n, wilson(self.best as f64, n)))
    }

    /// A sentence for a report; `None` if no trial was pruned or spared.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let trials = |n: usize| if n == 1 { "1 trial".to_owned() } else { format!("{n} trials") };
        let pruned = format!("Pruning on the landmark error stopped {}", trials(self.pruned));
        let Some((share, [low, high])) = self.wrong() else {
            return (self.pruned > 0)
                .then(|| format!("{pruned}; none was spared for an audit, so how often that was wrong is not known."));
        };
        Some(format!(
            "{pruned}; {} more would have been stopped and ran to the end, as an audit or because they were there first. Of these, {} ended better than every \
             trial that was kept ({:.0} %, 95 % interval {:.0} to {:.0} %) and {} better than the median of the kept.",
            self.spared,
            self.best,
            100.0 * share,
            100.0 * low,
            100.0 * high,
            self.better_half,
        ))
    }
}

/// Wilson's 95 % interval of a proportion.
fn wilson(count: f64, n: f64) -> [f64; 2] {
    const Z: f64 = 1.959_963_984_540_054;
    let (p, z2) = (count / n, Z * Z);
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let reach = Z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    [(centre - reach).max(0.0), (centre + reach).min(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_statsmodels() {
        for (count, n, expected) in WILSON {
            let got = wilson(count, n);
            assert!(got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-9), "{count}/{n}: {got:?} {expected:?}");
        }
    }

    /// `scripts/power.py` with statsmodels 0.15.0.
    const WILSON: [(f64, f64, [f64; 2]); 3] = [
        (0.0, 5.0, [0.0, 0.434_482_464_783_175]),
        (1.0, 3.0, [0.061_491_944_720_396, 0.792_340_399_197_952]),
        (7.0, 20.0, [0.181_191_824_101_082, 0.567_145_723_314_764]),
    ];
}
