//! The metrics of a trial's epochs by column, for charts. Single precision, because a chart has a thousand pixels.

use sweep_experiment::metric::METRICS;
use sweep_experiment::records::EpochRecord;

/// Metrics by epoch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns {
    /// The epochs, from 1.
    pub(crate) epochs: Vec<u32>,
    /// A column per metric; empty while no epoch has the metric.
    values: Vec<Vec<f32>>,
}

impl Columns {
    /// Adds epochs.
    pub(super) fn extend(&mut self, rows: &[EpochRecord]) {
        self.values.resize(METRICS.len(), Vec::new());
        for row in rows {
            let before = self.epochs.len();
            self.epochs.push(row.epoch);
            for (column, metric) in self.values.iter_mut().zip(&METRICS) {
                let value = if metric.is_known(row) { (metric.value)(row) } else { f64::NAN };
                if value.is_nan() && column.is_empty() {
                    continue;
                }
                column.resize(before, f32::NAN);
                column.push(value as f32);
            }
        }
    }

    /// The values of a metric, by its index in [`METRICS`], one per epoch; `None` if no epoch has it.
    pub(crate) fn of(&self, metric: usize) -> Option<&[f32]> {
        self.values.get(metric).map(Vec::as_slice).filter(|values| !values.is_empty())
    }

    /// Seconds from the start to the end of each epoch.
    pub(crate) fn elapsed(&self) -> Vec<f64> {
        let seconds = METRICS.iter().position(|metric| metric.column == "seconds").and_then(|at| self.of(at));
        let mut sum = 0.0;
        let each = |at: usize| seconds.and_then(|all| all.get(at)).copied().filter(|s| s.is_finite()).unwrap_or(0.0);
        (0..self.epochs.len())
            .map(|at| {
                sum += f64::from(each(at));
                sum
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::tests::epoch;
    use super::*;

    #[test]
    fn columns_are_as_long_as_the_epochs_that_were_added_when_they_began() {
        let mut columns = Columns::default();
        let unmeasured =
            EpochRecord { val_mre_mm: f64::NAN, val_mre_px: f64::NAN, val_loss: f64::NAN, ..epoch(1, 0.0) };
        columns.extend(&[unmeasured]);
        columns.extend(&[epoch(2, 1.5)]);
        let mre = METRICS.iter().position(|metric| metric.column == "val_mre_mm").unwrap();
        let values = columns.of(mre).unwrap();
        assert!(values.len() == 2 && values[0].is_nan() && (values[1] - 1.5).abs() < 1e-6);
        assert_eq!(columns.elapsed(), [2.0, 4.0]);
        assert!(columns.of(METRICS.iter().position(|metric| metric.column == "val_nme").unwrap()).is_none());
    }
}
