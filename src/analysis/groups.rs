//! Groups of trials that differ only in the seed.

use sweep_experiment::records::State;
use sweep_experiment::store::TrialFile;
use toml::{Table, Value};

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

/// Keys of a configuration that change the meaning of a loss value, beside those of the network.
const LOSS_KEYS: [&str; 4] = ["loss", "heatmap", "input", "dataset"];

/// Values on the axes that change the meaning of a loss value, as text. The fold does not count: its loss has the same
/// meaning on other images.
#[must_use]
pub fn loss_kind(axes: &[(String, String)], with_model: bool) -> String {
    let is_of_loss = |key: &str| LOSS_KEYS.contains(&key) || (with_model && key == "model");
    let of_loss = |path: &str| path != AXIS && is_of_loss(path.split('.').next().unwrap_or(path));
    let values: Vec<&str> = axes.iter().filter(|(p, _)| of_loss(p)).map(|(_, v)| v.as_str()).collect();
    values.join(" · ")
}

/// [`TrialRecords::loss_kind`] of trials, from their configurations: losses compare where their function, its target, the
/// images and the stages of the network are the same, whichever of these are axes.
#[must_use]
pub fn loss_kinds(trials: &[&TrialFile]) -> Vec<String> {
    let meanings: Vec<[String; 2]> = trials.iter().map(|trial| meaning(trial)).collect();
    let with_model = meanings.iter().any(|[_, stages]| *stages != meanings[0][1]);
    let mut kinds: Vec<(&[String; 2], String)> = Vec::new();
    for (trial, meaning) in trials.iter().zip(&meanings) {
        if kinds.iter().all(|(known, _)| *known != meaning) {
            let text = loss_kind(&trial.axes, with_model);
            let same = kinds
                .iter()
                .filter(|(_, other)| *other == text || other.ends_with(')') && other.starts_with(&text))
                .count();
            kinds.push((
                meaning,
                if same == 0 {
                    text
                } else {
                    format!("{} ({})", if text.is_empty() { "another loss" } else { &text }, same + 1)
                },
            ));
        }
    }
    let kind =
        |meaning| kinds.iter().find(|(known, _)| *known == meaning).map_or_else(String::new, |(_, kind)| kind.clone());
    meanings.iter().map(kind).collect()
}

/// Everything that a trial's loss depends on beside its weights: the target and the images, and the stages of the network.
fn meaning(trial: &TrialFile) -> [String; 2] {
    let mut of_target = Table::new();
    for key in LOSS_KEYS {
        let Some(mut value) = trial.config.get(key).cloned() else { continue };
        if let Some(dataset) = value.as_table_mut().filter(|_| key == "dataset") {
            dataset.remove("fold");
        }
        of_target.insert(key.to_owned(), value);
    }
    let stages = trial.config.get("model").and_then(Value::as_table).map_or_else(Table::new, stages);
    [of_target.to_string(), stages.to_string()]
}

/// The settings of a network that change the maps that its loss compares: several heads, several stages and their targets.
/// The meaning of a custom network's options is not known here.
fn stages(model: &Table) -> Table {
    let is = |name: &str| model.get("name").and_then(Value::as_str) == Some(name);
    let keys: &[&str] = match () {
        () if is("two-stage") => &["name", "size", "crop", "heatmap"],
        () if is("custom") => &["name", "kind", "options"],
        () => &[],
    };
    let mut stages: Table = model.iter().filter(|(key, _)| keys.contains(&key.as_str())).map(owned).collect();
    if model.get("deep_supervision").and_then(Value::as_bool) == Some(true) {
        stages.insert("deep_supervision".to_owned(), true.into());
    }
    for part in ["coarse", "fine"] {
        let of_part = model.get(part).and_then(Value::as_table).map_or_else(Table::new, self::stages);
        if !of_part.is_empty() {
            stages.insert(part.to_owned(), of_part.into());
        }
    }
    stages
}

fn owned((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(axis: [&str; 2], config: &str) -> TrialFile {
        let text = format!(
            "trial = 't'\ndataset_hash = 'a'\naxes = [['{}', '{}']]\n[config]\nseed = 0\ninput = {{ height = 8, width = 8 }}\n{config}",
            axis[0], axis[1]
        );
        toml::from_str(&text).unwrap()
    }

    fn kinds_of(files: &[TrialFile]) -> Vec<String> {
        loss_kinds(&files.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_sum_of_two_stages_is_of_another_kind_than_one_stage() {
        let unet =
            |filters: &str| format!("loss = {{ name = 'l1' }}\nmodel = {{ name = 'unet', filters = {filters} }}");
        let one = [file(["model", "unet"], &unet("[4]")), file(["model", "unet++"], &unet("[8]"))];
        assert_eq!(kinds_of(&one), ["", ""], "networks of one stage compare");
        let two =
            "loss = { name = 'l1' }\nmodel = { name = 'two-stage', crop = 12, size = { height = 80, width = 64 } }";
        let mixed = [one[0].clone(), file(["model", "two-stage"], two)];
        assert_eq!(kinds_of(&mixed), ["unet", "two-stage"]);
        let deep = "loss = { name = 'l1' }\nmodel = { name = 'unet++', deep_supervision = true }";
        assert_eq!(kinds_of(&[one[0].clone(), file(["model", "deep"], deep)]), ["unet", "deep"]);
    }

    #[test]
    fn equal_losses_are_of_one_kind_however_they_are_spelt() {
        let l1 = "loss = { name = 'l1' }";
        assert_eq!(kinds_of(&[file(["loss.name", "l1"], l1), file(["batch_size", "1"], l1)]), ["l1", "l1"]);
        let fold = |n: u32| format!("{l1}\ndataset = {{ name = 'phantom', fold = {n} }}");
        assert_eq!(kinds_of(&[file(["dataset.fold", "0"], &fold(0)), file(["dataset.fold", "1"], &fold(1))]), ["", ""]);
        let hidden = [file(["label", "a"], l1), file(["label", "b"], "loss = { name = 'mse' }")];
        assert_eq!(kinds_of(&hidden), ["", "another loss (2)"], "a label hides what differs");
    }
}
