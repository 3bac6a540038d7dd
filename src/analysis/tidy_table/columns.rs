//! The measured columns of a table of trials, epochs or landmarks: names, as in `summary.csv`, `epochs.csv` and
//! `landmarks.csv`, and the source of each value.

use sweep_experiment::records::{EpochRecord, LandmarkRecord, Selection, TrialStatus};

use super::Column;
use super::column::TextColumn;
use crate::TrialRecords;
use crate::curves::Onset;
use crate::findings::trial_onsets;
use crate::summary::TrialSummary;
use sweep_experiment::metric::METRICS;

/// Named columns under construction, row by row.
pub(super) struct Columns<R>(Vec<(&'static str, ColumnBuilder<R>)>);

/// A column under construction, and the function that reads its value from a row.
enum ColumnBuilder<R> {
    Text(fn(&R) -> &str, TextColumn),
    Integer(fn(&R) -> Option<i64>, Vec<Option<i64>>),
    Number(fn(&R) -> f64, Vec<f64>),
    Boolean(fn(&R) -> Option<bool>, Vec<Option<bool>>),
}

impl<R> Columns<R> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn text(self, name: &'static str, of: fn(&R) -> &str) -> Self {
        self.with(name, ColumnBuilder::Text(of, TextColumn::default()))
    }

    pub(super) fn integer(self, name: &'static str, of: fn(&R) -> Option<i64>) -> Self {
        self.with(name, ColumnBuilder::Integer(of, Vec::new()))
    }

    pub(super) fn number(self, name: &'static str, of: fn(&R) -> f64) -> Self {
        self.with(name, ColumnBuilder::Number(of, Vec::new()))
    }

    fn boolean(self, name: &'static str, of: fn(&R) -> Option<bool>) -> Self {
        self.with(name, ColumnBuilder::Boolean(of, Vec::new()))
    }

    fn with(mut self, name: &'static str, column: ColumnBuilder<R>) -> Self {
        self.0.push((name, column));
        self
    }

    /// Appends a row; an empty text is a missing value.
    pub(super) fn push(&mut self, row: &R) {
        for (_, column) in &mut self.0 {
            match column {
                ColumnBuilder::Text(of, values) => values.push(Some(of(row)).filter(|text| !text.is_empty())),
                ColumnBuilder::Integer(of, values) => values.push(of(row)),
                ColumnBuilder::Number(of, values) => values.push(of(row)),
                ColumnBuilder::Boolean(of, values) => values.push(of(row)),
            }
        }
    }

    pub(super) fn finish(self) -> Vec<(String, Column)> {
        let column = |column| match column {
            ColumnBuilder::Text(_, values) => Column::Text(values),
            ColumnBuilder::Integer(_, values) => Column::Integer(values),
            ColumnBuilder::Number(_, values) => Column::Number(values),
            ColumnBuilder::Boolean(_, values) => Column::Boolean(values),
        };
        self.0.into_iter().map(|(name, growing)| (name.to_owned(), column(growing))).collect()
    }
}

/// How a trial went.
pub(super) fn trials() -> Columns<TrialStatus> {
    Columns::new()
        .text("state", |row: &TrialStatus| row.state.name())
        .integer("attempts", |row| Some(row.attempts.into()))
        .integer("parameters", |row| Some(row.parameters as i64))
        .number("seconds", |row| row.seconds)
        .number("peak_memory_mib", |row| row.peak_memory_mib.unwrap_or(f64::NAN))
        .text("device", |row| &row.device)
        .text("host", |row| &row.host)
        .text("message", |row| row.message.as_deref().unwrap_or_default())
}

/// A trial as in `summary.csv`.
pub(super) struct SummaryRow {
    status: TrialStatus,
    epochs: usize,
    summary: TrialSummary,
    onsets: [Onset; 2],
}

impl SummaryRow {
    pub(super) fn of(trial: &TrialRecords) -> Self {
        let (summary, onsets) = (TrialSummary::of(trial), trial_onsets(trial));
        Self { status: trial.status.clone(), epochs: trial.epochs.len(), summary, onsets }
    }

    /// The first epoch of overfitting, if any.
    fn onset(&self, which: usize) -> Option<i64> {
        self.onsets[which].epoch.map(i64::from)
    }

    /// Whether it overfits; `None` if too few epochs were evaluated.
    fn overfits(&self, which: usize) -> Option<bool> {
        let onset = &self.onsets[which];
        if onset.epoch.is_some() { Some(true) } else { onset.p_value.is_finite().then_some(false) }
    }
}

pub(super) fn summary() -> Columns<SummaryRow> {
    Columns::new()
        .text("state", |row: &SummaryRow| row.status.state.name())
        .integer("attempts", |row| Some(row.status.attempts.into()))
        .integer("epochs", |row| Some(row.epochs as i64))
        .integer("parameters", |row| Some(row.status.parameters as i64))
        .integer("best_epoch", |row| row.summary.best_epoch.map(i64::from))
        .number("best_val_mre_mm", |row| row.summary.in_mm(row.summary.best_val_mre))
        .number("val_mre_at_best_loss_mm", |row| row.summary.in_mm(row.summary.val_mre_at_best_loss))
        .number("selection_regret_mm", |row| row.summary.in_mm(row.summary.selection_regret))
        .number("last_val_mre_mm", |row| row.summary.in_mm(row.summary.last_val_mre))
        .number("best_val_loss", |row| row.summary.best_val_loss)
        .number("last_train_loss", |row| row.summary.last_train_loss)
        .number("last_val_loss", |row| row.summary.last_val_loss)
        .number("zero_loss", |row| row.summary.zero_loss)
        .boolean("collapsed", |row| row.summary.collapsed)
        .boolean("overfits_loss", |row| row.overfits(0))
        .integer("overfit_onset_loss", |row| row.onset(0))
        .boolean("overfits_mre", |row| row.overfits(1))
        .integer("overfit_onset_mre", |row| row.onset(1))
        .number("sdr_2mm", |row| row.summary.in_mm(row.summary.sdr[0]))
        .number("sdr_2_5mm", |row| row.summary.in_mm(row.summary.sdr[1]))
        .number("sdr_3mm", |row| row.summary.in_mm(row.summary.sdr[2]))
        .number("sdr_4mm", |row| row.summary.in_mm(row.summary.sdr[3]))
        .number("seconds", |row| row.status.seconds)
        .number("peak_memory_mib", |row| row.status.peak_memory_mib.unwrap_or(f64::NAN))
        .text("device", |row| &row.status.device)
        .text("message", |row| row.status.message.as_deref().unwrap_or_default())
        .text("unit", |row| row.summary.unit.symbol())
        .number("best_val_mre_px", |row| row.summary.mre_px[0])
        .number("val_mre_at_best_loss_px", |row| row.summary.mre_px[1])
        .number("selection_regret_px", |row| row.summary.mre_px[1] - row.summary.mre_px[0])
        .number("last_val_mre_px", |row| row.summary.mre_px[2])
        .number("sdr_2px", |row| row.summary.sdr_px[0])
        .number("sdr_4px", |row| row.summary.sdr_px[1])
        .number("sdr_8px", |row| row.summary.sdr_px[2])
        .number("sdr_16px", |row| row.summary.sdr_px[3])
        .number("best_val_nme", |row| row.summary.nme)
        .number("best_val_pck_05", |row| row.summary.pck[0])
        .number("best_val_pck_10", |row| row.summary.pck[1])
        .number("best_val_pck_20", |row| row.summary.pck[2])
        .text("objective", |row| row.summary.objective.0)
        .number("best_objective", |row| row.summary.objective.1)
        .text("host", |row| &row.status.host)
        .number("test_mre_mm", |row| row.summary.in_mm(row.summary.test_mre[0]))
        .number("test_mre_px", |row| row.summary.test_mre[1])
}

pub(super) fn epochs() -> Columns<EpochRecord> {
    let epoch = Columns::new().integer("epoch", |row: &EpochRecord| Some(row.epoch.into()));
    METRICS.iter().fold(epoch, |columns, metric| columns.number(metric.column, metric.value))
}

/// An epoch's reason to be kept, as in `landmarks.csv`.
pub(super) fn selected(selection: Selection) -> &'static str {
    match selection {
        Selection::BestError => "best-error",
        Selection::BestLoss => "best-loss",
        Selection::Last => "last",
    }
}

pub(super) fn landmarks() -> Columns<LandmarkRecord> {
    Columns::new()
        .integer("epoch", |row: &LandmarkRecord| Some(row.epoch.into()))
        .text("selected", |row| selected(row.selected))
        .text("image", |row| &row.image)
        .text("landmark", |row| &row.landmark)
        .number("x_true", |row| row.x_true)
        .number("y_true", |row| row.y_true)
        .number("x_pred", |row| row.x_pred)
        .number("y_pred", |row| row.y_pred)
        .number("error_px", |row| row.error_px)
        .number("error_mm", |row| row.error_mm)
        .number("confidence", |row| row.confidence)
        .number("reference_px", |row| row.reference_px)
        .number("spacing_x_mm", |row| row.spacing_x_mm)
        .number("spacing_y_mm", |row| row.spacing_y_mm)
}
