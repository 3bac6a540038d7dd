//! Statements of findings, as data.

use serde::Serialize;

use super::folds::CrossValidationScores;
use crate::calibration::Calibration;
use crate::statistics::{Components, Shape};

/// The statement of a finding as data.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Statement {
    /// Trials that ended badly.
    Failures {
        /// Trials whose loss diverged.
        diverged: Vec<String>,
        /// Trials that failed or ran out of time.
        failed: Vec<String>,
        /// Trials that went on after epochs whose loss is not finite.
        not_finite: Vec<String>,
        /// Configurations whose error is certainly above that of guessing the mean shape.
        worse_than_guessing: Vec<String>,
        /// The error of guessing the mean shape, mm; `nan` where not known.
        guess_mm: f64,
        /// Trials that have begun.
        trials: usize,
    },
    /// Which errors are compared.
    Errors {
        /// The errors, in words.
        what: &'static str,
        /// Their mean over all configurations, mm.
        mean_mm: f64,
        /// The same at the epochs of least error, chosen on the images that are measured, mm.
        best_epoch_mm: f64,
        /// Mean error on the test images with the weights of the best epochs, mm, and the number of those images.
        test: Option<(f64, usize)>,
        /// Whether cross-fitting was not possible, because errors of all epochs were not kept.
        table_missing: bool,
    },
    /// Every configuration by its out-of-fold predictions.
    CrossValidation {
        /// Number of folds that the images were divided into.
        of: usize,
        /// Number of folds that were run.
        folds: usize,
        /// Complete cross-validations, in the plan's order.
        configurations: Vec<CrossValidationScores>,
        /// Label and progress of the incomplete ones.
        incomplete: Vec<(String, String)>,
    },
    /// The error changes when one axis does.
    Effect {
        /// Axis.
        factor: String,
        /// Value that is subtracted.
        from: String,
        /// Value that it is compared with.
        to: String,
        /// Number of settings of the other axes that it is averaged over.
        contexts: usize,
        /// Effect that this design detects with a power of 80 %, mm.
        detectable_mm: f64,
        /// Number of seeds that would detect half of it; `None` if the variance between images alone prevents that.
        seeds_for_half: Option<usize>,
    },
    /// The order of the configurations' errors follows an axis of many values, or one that a search drew with others.
    Trend {
        /// Axis.
        axis: String,
        /// Number of configurations.
        configurations: usize,
        /// The direction of the error along it; `None` if the values are not numbers or the configurations are too few.
        shape: Option<Shape>,
        /// The size of the best quarter of the configurations, and the least and greatest of their values, if these are numbers.
        best: Option<(usize, [String; 2])>,
    },
    /// An effect depends on another axis.
    Interaction {
        /// Axis of the effect.
        factor: String,
        /// Its values.
        values: [String; 2],
        /// The axis it depends on.
        other: String,
        /// That axis's values.
        at: [String; 2],
    },
    /// Configurations by landmark error.
    Ranking {
        /// Configuration of least error.
        best: String,
        /// Second best configuration.
        runner_up: Option<String>,
        /// The best of those that are not shown to be worse; none if all are, or there is no other.
        rival: Option<String>,
        /// The best's error as measured, before it is corrected for having been picked; none where it is not corrected.
        measured_mm: Option<f64>,
        /// Configuration of least validation loss.
        least_loss: String,
        /// Whether the losses are of one kind, so that their values may be compared.
        comparable: bool,
        /// τ-b between landmark error and the reference loss across configurations.
        reference_tau: f64,
        /// Seeds with which a study like this finds a difference as large as that to the rival, four times in five; none without a
        /// rival, where training noise is unknown, and where no number of seeds suffices on so many images.
        seeds_to_decide: Option<usize>,
    },
    /// Loss and error over epochs and across trials.
    Agreement {
        /// Trials whose loss and error fall together, beyond chance.
        agree: usize,
        /// Trials whose error rises as the loss falls, beyond chance.
        reverse: usize,
        /// Trials judged one by one.
        trials: usize,
        /// Mean of Kendall's τ over trials.
        mean_tau: f64,
        /// Trials that it is the mean of.
        tested: usize,
    },
    /// Selection by loss.
    Regret {
        /// Trials whose epoch of least loss is not the best one.
        differ: usize,
        /// The criterion of the best epoch, in words.
        best_at: String,
        /// Trials judged.
        trials: usize,
        /// The greatest regret of a single trial, mm.
        greatest_mm: f64,
        /// Whether the cost is an upper limit, because the least error is that of the images that chose it.
        upper_limit: bool,
    },
    /// Collapsed or blind networks.
    Collapse {
        /// Trials whose last loss is that of an all-zero output, within a tenth.
        collapsed: Vec<String>,
        /// Trials whose last loss is above that.
        above_zero: Vec<String>,
        /// Trials whose predictions do not depend on the image.
        blind: Vec<String>,
        /// Other trials with landmarks whose predictions do not depend on the image.
        blind_landmarks: Vec<(String, Vec<String>)>,
        /// Trials judged.
        trials: usize,
    },
    /// Onset of overfitting on one curve, over configurations.
    Overfitting {
        /// `loss` or `landmark error`.
        curve: &'static str,
        /// Configurations with evidence, and the first epoch of overfitting.
        onsets: Vec<(String, u32)>,
        /// Configurations judged.
        judged: usize,
    },
    /// Generalisation gap.
    Gap {
        /// Configuration of the greatest gap.
        greatest: String,
    },
    /// Epochs or seconds to an error.
    Convergence {
        /// Axis.
        factor: String,
        /// Value whose epochs are the denominator.
        from: String,
        /// Value whose epochs are the numerator.
        to: String,
        /// The error to reach, mm.
        target_mm: f64,
        /// For `from` and `to`: number of trials that reached it, and of all trials.
        reached: [(usize, usize); 2],
    },
    /// Sources of error variance.
    Scatter {
        /// Configuration of least error.
        best: String,
        /// Variance components of every configuration with two or more seeds.
        components: Vec<(String, Components)>,
    },
    /// Hard images and landmarks.
    Hard {
        /// Images with the greatest mean error, mm.
        images: Vec<(String, f64)>,
        /// Landmarks with the greatest mean error, mm.
        landmarks: Vec<(String, f64)>,
        /// Number of configurations that it is averaged over.
        groups: usize,
    },
    /// Relation of confidence and error.
    Calibration {
        /// Configuration whose confidence is most strongly correlated with its errors.
        clearest: String,
        /// Those whose records have confidences.
        configurations: Vec<Calibration>,
    },
    /// A claim of the study that this tool grew from.
    Claim {
        /// Wording of the study.
        claim: &'static str,
        /// Reason for the verdict.
        because: String,
    },
}
