//! `report.md`: the question, a table of the groups and the pictures.

use super::scale::{mm, number};
use super::series::{Group, groups, kinds, mean, sd};
use crate::analysis::{SweepRecords, TrialRecords};
use crate::records::State;

/// Pictures of the report, in order: file name and what it shows.
pub(super) const PICTURES: [(&str, &str); 6] = [
    ("loss_vs_error.png", "Loss against landmark error"),
    ("landmark_error.png", "Landmark error over epochs"),
    ("loss_curves.png", "Training and validation loss over epochs"),
    ("cumulative_error.png", "Share of landmarks found within a radius"),
    ("per_landmark.png", "Landmark error by landmark"),
    ("overlays.png", "Landmarks on validation images: truth green, predictions red and blue"),
];

/// The report's text; `pictures` are the names of those that exist.
#[must_use]
pub fn markdown(sweep: &SweepRecords, pictures: &[String]) -> String {
    let groups = groups(sweep);
    let mut text = format!("# Sweep {}\n\n", sweep.name);
    if let Some(question) = &sweep.question {
        text.push_str(question);
        text.push_str("\n\n");
    }
    if groups.is_empty() {
        text += "No trial has left records yet.\n";
        return text;
    }
    text += "| group | seeds | state | least validation MRE (mm) | within 2 mm (%) | least validation loss \
             | MRE at least loss (mm) | selection regret (mm) |\n|---|---|---|---|---|---|---|---|\n";
    for group in &groups {
        text += &row(group);
    }
    text += "\nMean ± standard deviation over seeds, each trial at its own best epoch on the validation images; \
             within 2 mm: at the epoch of least MRE. MRE: mean radial error. Selection regret: how much larger the \
             error is at the epoch of least validation loss than at the best epoch.\n";
    let ended_early = |t: &TrialRecords| t.status.state.is_failure() || t.status.state == State::Pruned;
    if sweep.trials.iter().any(ended_early) {
        text += "Trials that diverged, failed or were pruned count with the epochs they reached.\n";
    }
    if kinds(&groups).len() > 1 {
        text += "The groups differ in what their loss measures: loss values do not rank them, millimetres do.\n";
    }
    let references = [
        (sweep.mean_shape_mre_mm, "Guessing the training images' mean shape for every image"),
        (sweep.observer_mre_mm, "Observers among themselves"),
    ];
    for (error, what) in references {
        if let Some(error) = error {
            text += &[what, ": ", &mm(error), " mm. "].concat();
        }
    }
    text = text.trim_end().to_owned() + "\n";
    for (name, caption) in PICTURES {
        if pictures.iter().any(|p| p == name) {
            text += &["\n![", caption, "](", name, ")\n"].concat();
        }
    }
    text
}

fn row(group: &Group<'_>) -> String {
    let of = |value: &dyn Fn(&TrialRecords) -> Option<f64>| -> Vec<f64> {
        group.trials.iter().filter_map(|t| value(t)).filter(|v| v.is_finite()).collect()
    };
    let error = of(&|t| Some(t.best_error()?.val_mre_mm));
    let within = of(&|t| Some(t.best_error()?.val_sdr_2mm));
    let loss = of(&|t| Some(t.best_loss()?.val_loss));
    let at_loss = of(&|t| Some(t.best_loss()?.val_mre_mm));
    let regret = of(&|t| Some(t.best_loss()?.val_mre_mm - t.best_error()?.val_mre_mm));
    let loss = if loss.is_empty() { "–".to_owned() } else { number(mean(&loss)) };
    format!(
        "| {} | {} | {} | {} | {} | {loss} | {} | {} |\n",
        group.label.replace('|', "\\|"),
        group.trials.len(),
        states(group),
        spread(&error, 2),
        spread(&within, 1),
        spread(&at_loss, 2),
        spread(&regret, 2),
    )
}

fn states(group: &Group<'_>) -> String {
    let count = |state: State| group.trials.iter().filter(|t| t.status.state == state).count();
    let present: Vec<State> = State::ALL.into_iter().filter(|s| count(*s) > 0).collect();
    match present.as_slice() {
        [one] => one.name().to_owned(),
        several => several.iter().map(|s| format!("{} {}", count(*s), s.name())).collect::<Vec<_>>().join(", "),
    }
}

fn spread(values: &[f64], decimals: usize) -> String {
    match (values, sd(values)) {
        ([], _) => "–".to_owned(),
        (_, None) => format!("{:.decimals$}", mean(values)),
        (_, Some(sd)) => format!("{:.decimals$} ± {sd:.decimals$}", mean(values)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{Shape, sweep, trial};

    #[test]
    fn the_table_tells_groups_and_embeds_what_exists() {
        let mut records = sweep(2, 2, Shape::Constant);
        records.trials.push(trial(Shape::Diverged, 1, 2));
        let text = markdown(&records, &["per_landmark.png".to_owned()]);
        assert!(text.starts_with("# Sweep loss\n\nDoes the smaller loss"));
        assert!(
            text.contains("| l1 | 2 | done | 0.25 ± 0.00 | 0.2 ± 0.0 | 0.25 | 0.25 ± 0.00 | 0.00 ± 0.00 |"),
            "{text}"
        );
        assert!(text.contains("| smooth-l1 | 3 | 2 done, 1 diverged |"), "{text}");
        assert!(text.contains("do not rank"));
        assert!(text.contains("(per_landmark.png)") && !text.contains("overlays.png"));
    }

    #[test]
    fn nothing_evaluated_is_a_dash() {
        let text = markdown(&sweep(1, 1, Shape::NeverEvaluated), &[]);
        assert!(text.contains("| l1 | 1 | done | – | – | – | – | – |"), "{text}");
        assert!(markdown(&sweep(0, 0, Shape::Realistic), &[]).contains("No trial"));
    }
}
