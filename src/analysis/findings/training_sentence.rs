//! Sentences of findings on training.

use sweep_core::units::ErrorUnit;

use super::sentence::{tested, within};
use super::{Finding, Verdict};
use crate::format::{counted, mm, signed};

/// Up to four ids.
fn listed(ids: &[String]) -> String {
    let more = if ids.len() > 4 { format!(" and {} more", ids.len() - 4) } else { String::new() };
    ids.iter().take(4).cloned().collect::<Vec<_>>().join(", ") + &more
}

pub(super) fn collapse(
    [collapsed, above_zero, blind]: [&[String]; 3],
    blind_landmarks: &[(String, Vec<String>)],
    trials: usize,
) -> String {
    let of = counted(trials, "trial");
    let mut sentences = Vec::new();
    if collapsed.is_empty() && above_zero.is_empty() {
        sentences.push(match trials {
            1 => "The trial did not collapse to an output of zeros.".to_owned(),
            _ => format!("None of {of} collapsed to an output of zeros."),
        });
    }
    if !collapsed.is_empty() {
        sentences.push(format!(
            "{} of {of} ended at the loss of an all-zero output: {}.",
            collapsed.len(),
            listed(collapsed)
        ));
    }
    if !above_zero.is_empty() {
        let n = above_zero.len();
        sentences.push(format!("{n} of {of} ended above the loss of an all-zero output: {}.", listed(above_zero)));
    }
    if blind.is_empty() && blind_landmarks.is_empty() {
        sentences.push(match trials {
            1 => "Its predictions follow the image.".to_owned(),
            _ => "Predictions follow the image in all of them.".to_owned(),
        });
    }
    if !blind.is_empty() {
        sentences.push(format!("Predictions of {} do not depend on the image: {}.", blind.len(), listed(blind)));
    }
    for (trial, landmarks) in blind_landmarks.iter().take(4) {
        let few = counted(landmarks.len(), "landmark");
        sentences.push(format!("{trial} predicts {few} without regard to the image: {}.", listed(landmarks)));
    }
    if blind_landmarks.len() > 4 {
        let more = counted(blind_landmarks.len() - 4, "more trial");
        let does = if blind_landmarks.len() == 5 { "does" } else { "do" };
        sentences.push(format!("{more} {does} the same for some landmarks."));
    }
    sentences.join(" ")
}

/// Trials that ended badly, and configurations worse than guessing.
pub(super) fn failures(
    [diverged, failed, not_finite]: [&[String]; 3],
    worse: &[String],
    guess: f64,
    trials: usize,
    unit: ErrorUnit,
) -> String {
    let of = counted(trials, "trial");
    let mut sentences = Vec::new();
    if !diverged.is_empty() {
        sentences.push(format!("{} of {of} diverged: {}.", diverged.len(), listed(diverged)));
    }
    if !failed.is_empty() {
        sentences.push(format!("{} of {of} failed: {}.", failed.len(), listed(failed)));
    }
    if !diverged.is_empty() || !failed.is_empty() {
        sentences.push("They are in no comparison, which favours configurations that fail.".to_owned());
    }
    if !not_finite.is_empty() {
        sentences.push(format!(
            "{} of {of} went on after an epoch whose loss is not a finite number: {}. No curve shows such an epoch.",
            not_finite.len(),
            listed(not_finite)
        ));
    }
    if !worse.is_empty() {
        let guess = mm(guess);
        let is = if worse.len() == 1 { "is" } else { "are" };
        sentences.push(format!("{} {is} worse than guessing the mean shape ({guess} {unit}).", listed(worse)));
    }
    sentences.join(" ")
}

/// Agreement of loss and error over later epochs.
pub(super) fn agreement(
    finding: &Finding,
    [agree, reverse, trials, tested_trials]: [usize; 4],
    mean_tau: f64,
) -> String {
    let mut sentences = Vec::new();
    if tested_trials > 0 {
        let of = counted(tested_trials, "trial");
        let ends = finding.estimate.as_ref().map_or_else(String::new, |e| within(e, |v| signed(v, 2), ""));
        let numbers = format!("mean τ = {} over {of}{ends}{}", signed(mean_tau, 2), tested(finding));
        sentences.push(match finding.verdict {
            Verdict::Evidence if mean_tau > 0.0 => {
                format!("Over the later epochs, a smaller validation loss goes with a smaller landmark error: {numbers}.")
            }
            Verdict::Evidence => format!(
                "Over the later epochs, a smaller validation loss goes with a greater landmark error, so that choosing by loss \
                 chooses badly: {numbers}."
            ),
            Verdict::NoEvidence => {
                format!("No evidence that the loss tells which of the later epochs has the smaller landmark error: {numbers}.")
            }
            _ => format!("Loss and landmark error over the later epochs: {numbers}."),
        });
    }
    if trials > 0 {
        sentences.push(format!(
            "Taken alone, beyond chance, they fall together in {agree} of {} and run opposite in {reverse}.",
            counted(trials, "trial")
        ));
    }
    sentences.join(" ")
}

pub(super) fn overfitting(curve: &str, onsets: &[(String, u32)], judged: usize) -> String {
    if judged == 0 {
        return format!(
            "Too few epochs to judge overfitting on the {curve}: it takes ten with the {curve} of validation and of training \
             images."
        );
    }
    let of = counted(judged, "configuration");
    if onsets.is_empty() {
        return format!("Overfitting on the {curve}: none found in {of}.");
    }
    let listed: Vec<String> = onsets.iter().map(|(label, epoch)| format!("{label} from epoch {epoch}")).collect();
    format!(
        "Overfitting on the {curve} in {} of {of}: {}. From there on validation stays worse than its best while training \
         improves.",
        onsets.len(),
        listed.join("; ")
    )
}
