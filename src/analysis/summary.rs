//! `summary.csv`: one row per trial, from its records alone.

use sweep_core::error::{Error, Result};
use sweep_experiment::records::EpochRecord;

use super::curves::{COLLAPSE, Onset};
use super::findings::Onsets;
use super::{SweepRecords, TrialRecords};

/// Key numbers of a trial. Missing numbers are `nan`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialSummary {
    /// Epoch of least validation landmark error.
    pub best_epoch: Option<u32>,
    /// Validation MRE there, mm.
    pub best_val_mre_mm: f64,
    /// Validation MRE at the epoch of least validation loss, mm.
    pub val_mre_at_best_loss_mm: f64,
    /// Cost of selecting the epoch by its loss: the MRE at the epoch of least loss minus the least MRE, mm.
    pub selection_regret_mm: f64,
    /// Validation MRE after the last epoch, mm.
    pub last_val_mre_mm: f64,
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
    /// Success detection rates at the best epoch: per cent within 2, 2.5, 3 and 4 mm.
    pub sdr: [f64; 4],
}

impl TrialSummary {
    /// Summarises a trial's epochs; of epochs that were not evaluated, only the training loss is used.
    #[must_use]
    pub fn of(trial: &TrialRecords) -> Self {
        let (best, best_loss) = (trial.best_error(), trial.best_loss());
        let last = trial.epochs.iter().rfind(|epoch| epoch.val_mre_mm.is_finite());
        let number = |epoch: Option<&EpochRecord>, value: fn(&EpochRecord) -> f64| epoch.map_or(f64::NAN, value);
        let best_val_mre_mm = number(best, |e| e.val_mre_mm);
        let val_mre_at_best_loss_mm = number(best_loss, |e| e.val_mre_mm);
        Self {
            best_epoch: best.map(|e| e.epoch),
            best_val_mre_mm,
            val_mre_at_best_loss_mm,
            selection_regret_mm: val_mre_at_best_loss_mm - best_val_mre_mm,
            last_val_mre_mm: number(last, |e| e.val_mre_mm),
            best_val_loss: number(best_loss, |e| e.val_loss),
            last_train_loss: number(trial.epochs.last(), |e| e.train_loss),
            last_val_loss: number(last, |e| e.val_loss),
            zero_loss: number(trial.epochs.last(), |e| e.zero_loss),
            collapsed: last.map(|e| e.val_loss >= COLLAPSE * e.zero_loss),
            sdr: best.map_or([f64::NAN; 4], |e| [e.val_sdr_2mm, e.val_sdr_2_5mm, e.val_sdr_3mm, e.val_sdr_4mm]),
        }
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
    header.extend(axes);
    header.extend(COLUMNS.map(str::to_owned));
    writer.write_record(&header).map_err(failed)?;
    for trial in &sweep.trials {
        writer.write_record(row(trial, onsets.get(&trial.id))).map_err(failed)?;
    }
    writer.into_inner().map_err(|e| Error::results(format!("cannot write summary.csv: {}", e.error())))
}

const COLUMNS: [&str; 24] = [
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
];

fn row(trial: &TrialRecords, onsets: Option<&[Onset; 2]>) -> Vec<String> {
    let onset = |which: usize| match onsets.map(|both| both[which]) {
        Some(Onset { epoch: Some(epoch), .. }) => epoch.to_string(),
        Some(Onset { p_value, .. }) if p_value.is_finite() => "none".to_owned(),
        _ => "nan".to_owned(),
    };
    let (summary, status) = (TrialSummary::of(trial), &trial.status);
    let number = |value: f64| if value.is_nan() { "nan".to_owned() } else { value.to_string() };
    let mut row = vec![trial.id.clone(), trial.seed.to_string()];
    row.extend(trial.axes.iter().map(|(_, value)| value.clone()));
    row.extend([
        status.state.name().to_owned(),
        status.attempts.to_string(),
        trial.epochs.len().to_string(),
        status.parameters.to_string(),
        summary.best_epoch.map_or_else(|| "nan".to_owned(), |e| e.to_string()),
        number(summary.best_val_mre_mm),
        number(summary.val_mre_at_best_loss_mm),
        number(summary.selection_regret_mm),
        number(summary.last_val_mre_mm),
        number(summary.best_val_loss),
        number(summary.last_train_loss),
        number(summary.last_val_loss),
        number(summary.zero_loss),
        summary.collapsed.map_or_else(|| "nan".to_owned(), |c| c.to_string()),
        onset(0),
        onset(1),
    ]);
    row.extend(summary.sdr.map(number));
    row.extend([
        number(status.seconds),
        number(status.peak_memory_mib.unwrap_or(f64::NAN)),
        status.device.clone(),
        status.message.clone().unwrap_or_default(),
    ]);
    row
}
