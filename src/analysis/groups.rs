//! Groups of trials that differ only in the seed.

use sweep_experiment::records::State;

use super::folds::AXIS;
use super::{SweepRecords, TrialRecords};

/// Trials that differ only in the seed.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// The trials' values on the axes.
    pub label: String,
    /// Values on the axes that define the loss: losses of different kinds are not comparable.
    pub kind: String,
    /// In the order of the plan.
    pub trials: Vec<&'a TrialRecords>,
}

impl<'a> Group<'a> {
    /// The group's values on the axes.
    #[must_use]
    pub fn axes(&self) -> &'a [(String, String)] {
        self.trials.first().map_or(&[], |trial| &trial.axes)
    }

    /// The group's value on an axis.
    #[must_use]
    pub fn value(&self, axis: &str) -> Option<&'a str> {
        self.axes().iter().find(|(key, _)| key == axis).map(|(_, value)| value.as_str())
    }

    /// Trials that ran to their last epoch.
    pub fn done(&self) -> impl Iterator<Item = &'a TrialRecords> {
        self.trials.iter().copied().filter(|trial| trial.status.state == State::Done)
    }
}

/// Axes that change the meaning of a loss value.
const LOSS_AXES: [&str; 4] = ["loss", "heatmap", "input", "dataset"];

/// Groups in the order of the plan.
#[must_use]
pub fn groups(sweep: &SweepRecords) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for trial in &sweep.trials {
        let label = trial.group();
        if let Some(group) = groups.iter_mut().find(|g| g.label == label) {
            group.trials.push(trial);
        } else {
            groups.push(Group { label, kind: trial.loss_kind.clone(), trials: vec![trial] });
        }
    }
    groups
}

/// [`TrialRecords::loss_kind`] from values on axes. The fold does not count: its loss has the same meaning on other images.
#[must_use]
pub fn loss_kind(axes: &[(String, String)]) -> String {
    let of_loss = |path: &str| path != AXIS && LOSS_AXES.contains(&path.split('.').next().unwrap_or(path));
    let values: Vec<&str> = axes.iter().filter(|(p, _)| of_loss(p)).map(|(_, v)| v.as_str()).collect();
    values.join(" · ")
}

/// Kinds of losses in order of appearance.
#[must_use]
pub fn kinds<'a>(groups: &'a [Group<'_>]) -> Vec<&'a str> {
    let mut kinds: Vec<&str> = Vec::new();
    for group in groups {
        if !kinds.contains(&group.kind.as_str()) {
            kinds.push(&group.kind);
        }
    }
    kinds
}
