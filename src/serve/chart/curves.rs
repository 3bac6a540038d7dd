//! Curves of a metric over epochs or seconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use sweep_experiment::metric::METRICS;

use super::downsample::aligned;
use crate::records::Trial;

/// Most curves of a chart: those of least error.
const MOST: usize = 100;

/// What lies on the horizontal axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Epochs, from 1.
    Epochs,
    /// Seconds of training and evaluation.
    Seconds,
}

/// The part of the horizontal axis that is shown; an end that is not set is that of the curves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Range {
    /// Its begin.
    pub(crate) from: Option<f64>,
    /// Its end.
    pub(crate) to: Option<f64>,
}

/// A curve's trial, name and colour.
pub(crate) struct Request<'a> {
    /// The trial.
    pub(crate) trial: &'a Arc<Trial>,
    /// Index of the metric in [`METRICS`].
    pub(crate) metric: usize,
    /// Its name; curves of one name become their mean where they are folded.
    pub(crate) name: String,
    /// Index of its colour.
    pub(crate) colour: usize,
}

/// Curves at common places.
#[derive(Debug, Serialize)]
pub(crate) struct Curves {
    /// Title of the horizontal axis.
    pub(crate) over: &'static str,
    /// Title of the vertical axis.
    pub(crate) title: String,
    /// Places on the horizontal axis.
    pub(crate) x: Vec<f64>,
    /// The curves.
    pub(crate) series: Vec<Series>,
    /// Number of curves that are left out because there are too many.
    pub(crate) left_out: usize,
}

/// A curve.
#[derive(Debug, Serialize)]
pub(crate) struct Series {
    /// Its name.
    pub(crate) name: String,
    /// Index of its colour.
    pub(crate) colour: usize,
    /// Number of curves that it is the mean of.
    pub(crate) of: usize,
    /// A value for each place where it has one.
    pub(crate) y: Vec<Option<f32>>,
}

impl Over {
    /// By the name in an address.
    pub(crate) fn of(name: Option<&str>) -> Self {
        if name == Some("seconds") { Self::Seconds } else { Self::Epochs }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Epochs => "epoch",
            Self::Seconds => "seconds",
        }
    }
}

/// The points of a trial's curve in a range, and one beyond each end, so that lines go on.
pub(crate) fn points(trial: &Trial, metric: usize, over: Over, range: Range) -> Vec<(f64, f64)> {
    let Some(values) = trial.columns.of(metric) else { return Vec::new() };
    let places: Vec<f64> = match over {
        Over::Epochs => trial.columns.epochs.iter().map(|epoch| f64::from(*epoch)).collect(),
        Over::Seconds => trial.columns.elapsed(),
    };
    let known: Vec<(f64, f64)> = places
        .into_iter()
        .zip(values)
        .filter(|(_, value)| value.is_finite())
        .map(|(x, y)| (x, f64::from(*y)))
        .collect();
    let first = range.from.map_or(0, |from| known.partition_point(|point| point.0 < from).saturating_sub(1));
    let last = range.to.map_or(known.len(), |to| (known.partition_point(|point| point.0 <= to) + 1).min(known.len()));
    known.get(first..last).unwrap_or_default().to_vec()
}

/// The curves of these requests; folded, the mean of those with one name.
pub(crate) fn curves(mut requests: Vec<Request<'_>>, title: String, over: Over, range: Range, folds: bool) -> Curves {
    requests.retain(|request| request.trial.columns.of(request.metric).is_some());
    let names = requests.iter().map(|request| &request.name).collect::<std::collections::BTreeSet<_>>().len();
    let left_out = if folds { 0 } else { requests.len().saturating_sub(MOST) };
    if left_out > 0 {
        let error = |request: &Request<'_>| request.trial.summary.best_val_mre;
        // Trials without an error come last.
        requests.sort_by(|a, b| error(a).is_nan().cmp(&error(b).is_nan()).then(error(a).total_cmp(&error(b))));
        requests.truncate(MOST);
    }
    let each: Vec<Vec<(f64, f64)>> =
        requests.iter().map(|request| points(request.trial, request.metric, over, range)).collect();
    let (x, values) = aligned(&each);
    let one = |(request, y): (Request<'_>, Vec<Option<f64>>)| Series {
        name: request.name,
        colour: request.colour,
        of: 1,
        y: y.into_iter().map(|value| value.map(|value| value as f32)).collect(),
    };
    let mut series: Vec<Series> = requests.into_iter().zip(values).map(one).collect();
    let mut left_out = left_out;
    if folds {
        series = means(series);
        left_out = names.saturating_sub(MOST);
        series.truncate(MOST);
    }
    Curves { over: over.name(), title, x, series, left_out }
}

/// The mean of the curves of each name, at the places that all of them have.
fn means(series: Vec<Series>) -> Vec<Series> {
    let mut order: Vec<String> = Vec::new();
    let mut of: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    for one in series {
        if !of.contains_key(&one.name) {
            order.push(one.name.clone());
        }
        of.entry(one.name.clone()).or_default().push(one);
    }
    let mean = |name: String| {
        let all = of.remove(&name)?;
        let first = all.first()?;
        let at = |place: usize| -> Option<f32> {
            let values: Vec<f32> = all.iter().map(|one| one.y.get(place).copied().flatten()).collect::<Option<_>>()?;
            Some((values.iter().copied().map(f64::from).sum::<f64>() / values.len() as f64) as f32)
        };
        let y = (0..first.y.len()).map(at).collect();
        Some(Series { name, colour: first.colour, of: all.len(), y })
    };
    order.into_iter().filter_map(mean).collect()
}

/// The index of a metric by its column.
pub(crate) fn metric(column: &str) -> Option<usize> {
    METRICS.iter().position(|metric| metric.column == column)
}
