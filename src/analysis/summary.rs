//! `summary.csv`: one row per trial, from its records alone.

use sweep_core::error::{Error, Result};
use sweep_core::plain;
use sweep_core::units::ErrorUnit;
use sweep_experiment::records::EpochRecord;

use super::curves::{COLLAPSE, Onset};
use super::findings::Onsets;
use super::{SweepRecords, TrialRecords};

/// Key numbers of a trial, errors in its unit. Missing numbers are `nan`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialSummary {
    /// The best epoch by the objective.
    pub best_epoch: Option<u32>,
    /// The unit of its errors.
    pub unit: ErrorUnit,
    /// Validation MRE there.
    pub best_val_mre: f64,
    /// Validation MRE at the epoch of least validation loss.
    pub val_mre_at_best_loss: f64,
    /// Cost of selecting the epoch by its loss: the MRE at the epoch of least loss minus that at the best epoch.
    pub selection_regret: f64,
    /// Validation MRE after the last epoch.
    pub last_val_mre: f64,
    /// Least validation loss.
    pub best_val_loss: f64,
    /// Training loss of the last epoch.
    pub last_train_loss: f64,
    /// Validation loss after the last epoch.
    pub last_val_loss: f64,
    /// Loss of an all-zero output.
    pub zero_loss: f64,
    /// Whether the last validation loss is that of a network that predicts (nearly) zero.
    pub collapsed: Option<bool>,
    /// Success detection rates at the best epoch: per cent within [`ErrorUnit::radii`].
    pub sdr: [f64; 4],
    /// Validation MRE in pixels: at the best epoch, at that of least validation loss, and after the last.
    pub mre_px: [f64; 3],
    /// Success detection rates at the best epoch: per cent within 2, 4, 8 and 16 px.
    pub sdr_px: [f64; 4],
    /// Normalised mean error at the best epoch, per cent.
    pub nme: f64,
    /// Per cent of correct keypoints at the best epoch, within 0.05, 0.1 and 0.2 reference lengths.
    pub pck: [f64; 3],
    /// MRE on the test images with the weights of the best epoch, and in pixels.
    pub test_mre: [f64; 2],
    /// The metric that chooses the best epoch, and its value there.
    pub objective: (&'static str, f64),
}

impl TrialSummary {
    /// Summarises a trial's epochs; of epochs that were not evaluated, only the training loss is used.
    #[must_use]
    pub fn of(trial: &TrialRecords) -> Self {
        let (best, best_loss) = (trial.best_error(), trial.best_loss());
        let last = trial.epochs.iter().rfind(|epoch| epoch.mre().is_finite());
        let number = |epoch: Option<&EpochRecord>, value: fn(&EpochRecord) -> f64| epoch.map_or(f64::NAN, value);
        let best_val_mre = number(best, EpochRecord::mre);
        let val_mre_at_best_loss = number(best_loss, EpochRecord::mre);
        let in_pixels = |epoch| number(epoch, |e| e.val_mre_px);
        Self {
            unit: trial.unit,
            best_epoch: best.map(|e| e.epoch),
            best_val_mre,
            val_mre_at_best_loss,
            selection_regret: val_mre_at_best_loss - best_val_mre,
            last_val_mre: number(last, EpochRecord::mre),
            best_val_loss: number(best_loss, |e| e.val_loss),
            last_train_loss: number(trial.epochs.last(), |e| e.train_loss),
            last_val_loss: number(last, |e| e.val_loss),
            zero_loss: number(trial.epochs.last(), |e| e.zero_loss),
            collapsed: last.map(|e| e.val_loss >= COLLAPSE * e.zero_loss),
            sdr: best.map_or([f64::NAN; 4], EpochRecord::sdr),
            mre_px: [in_pixels(best), in_pixels(best_loss), in_pixels(last)],
            sdr_px: best.map_or([f64::NAN; 4], EpochRecord::sdr_px),
            nme: number(best, |e| e.val_nme),
            pck: best.map_or([f64::NAN; 3], |e| [e.val_pck_05, e.val_pck_10, e.val_pck_20]),
            test_mre: [trial.test_mre().unwrap_or(f64::NAN), trial.test_mre_px().unwrap_or(f64::NAN)],
            objective: (trial.objective.name(), best.map_or(f64::NAN, trial.objective.metric().value)),
        }
    }

    /// A number in millimetres; `nan` where the errors are in pixels.
    #[must_use]
    pub fn in_mm(&self, value: f64) -> f64 {
        if self.unit.is_millimetres() { value } else { f64::NAN }
    }
}

/// `summary.csv` of a sweep. An overfitting onset is an epoch, `none` where there is none, `nan` where too few epochs were
/// evaluated to judge; each trial is tested by itself.
///
/// # Errors
/// Never in practice; rows are written to memory.
pub fn csv(sweep: &SweepRecords, onsets: &Onsets) -> Result<Vec<u8>> {
    let failed = |e: csv::Error| Error::results(format!("cannot write summary.csv: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let axes: Vec<String> =
        sweep.trials.first().map(|t| t.axes.iter().map(|(key, _)| key.clone()).collect()).unwrap_or_default();
    let mut header = vec!["trial".to_owned(), "seed".to_owned()];
    // An axis is a path under [trial]; the prefix distinguishes it from another column of the same name.
    let is_taken = |axis: &str| ["trial", "seed"].contains(&axis) || COLUMNS.contains(&axis);
    header.extend(axes.into_iter().map(|axis| if is_taken(&axis) { format!("trial.{axis}") } else { axis }));
    header.extend(COLUMNS.map(str::to_owned));
    writer.write_record(&header).map_err(failed)?;
    for trial in &sweep.trials {
        writer.write_record(row(trial, onsets.get(&trial.id))).map_err(failed)?;
    }
    writer.into_inner().map_err(|e| Error::results(format!("cannot write summary.csv: {}", e.error())))
}

const COLUMNS: [&str; 42] = [
    "state",
    "attempts",
    "epochs",
    "parameters",
    "best_epoch",
    "best_val_mre_mm",
    "val_mre_at_best_loss_mm",
    "selection_regret_mm",
    "last_val_mre_mm",
    "best_val_loss",
    "last_train_loss",
    "last_val_loss",
    "zero_loss",
    "collapsed",
    "overfit_onset_loss",
    "overfit_onset_mre",
    "sdr_2mm",
    "sdr_2_5mm",
    "sdr_3mm",
    "sdr_4mm",
    "seconds",
    "peak_memory_mib",
    "device",
    "message",
    "unit",
    "best_val_mre_px",
    "val_mre_at_best_loss_px",
    "selection_regret_px",
    "last_val_mre_px",
    "sdr_2px",
    "sdr_4px",
    "sdr_8px",
    "sdr_16px",
    "best_val_nme",
    "best_val_pck_05",
    "best_val_pck_10",
    "best_val_pck_20",
    "objective",
    "best_objective",
    "host",
    "test_mre_mm",
    "test_mre_px",
];

fn row(trial: &TrialRecords, onsets: Option<&[Onset; 2]>) -> Vec<String> {
    let onset = |which: usize| match onsets.map(|both| both[which]) {
        Some(Onset { epoch: Some(epoch), .. }) => epoch.to_string(),
        Some(Onset { p_value, .. }) if p_value.is_finite() => "none".to_owned(),
        _ => "nan".to_owned(),
    };
    let (summary, status) = (TrialSummary::of(trial), &trial.status);
    let number = |value: f64| if value.is_nan() { "nan".to_owned() } else { value.to_string() };
    // Empty where millimetres are not known, as in the trials' own records.
    let mm = |value: f64| if summary.unit.is_millimetres() { number(value) } else { String::new() };
    let mut row = vec![trial.id.clone(), trial.seed.to_string()];
    row.extend(trial.axes.iter().map(|(_, value)| plain::cell(value).into_owned()));
    row.extend([
        status.state.name().to_owned(),
        status.attempts.to_string(),
        trial.epochs.len().to_string(),
        status.parameters.to_string(),
        summary.best_epoch.map_or_else(|| "nan".to_owned(), |e| e.to_string()),
        mm(summary.best_val_mre),
        mm(summary.val_mre_at_best_loss),
        mm(summary.selection_regret),
        mm(summary.last_val_mre),
        number(summary.best_val_loss),
        number(summary.last_train_loss),
        number(summary.last_val_loss),
        number(summary.zero_loss),
        summary.collapsed.map_or_else(|| "nan".to_owned(), |c| c.to_string()),
        onset(0),
        onset(1),
    ]);
    row.extend(summary.sdr.map(mm));
    row.extend([
        number(status.seconds),
        number(status.peak_memory_mib.unwrap_or(f64::NAN)),
        plain::cell(&status.device).into_owned(),
        plain::cell(status.message.as_deref().unwrap_or_default()).into_owned(),
        summary.unit.symbol().to_owned(),
    ]);
    let [best, at_best_loss, last] = summary.mre_px;
    row.extend([best, at_best_loss, at_best_loss - best, last].map(number));
    row.extend(summary.sdr_px.map(number));
    row.push(number(summary.nme));
    row.extend(summary.pck.map(number));
    row.extend([summary.objective.0.to_owned(), number(summary.objective.1), status.host.clone()]);
    row.extend([mm(summary.test_mre[0]), number(summary.test_mre[1])]);
    row
}
