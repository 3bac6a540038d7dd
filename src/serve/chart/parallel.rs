//! Parallel coordinates: a line per trial through its values on the axes to its error.

use std::sync::Arc;

use serde::Serialize;

use sweep_analysis::drawing::scale::Scale;
use sweep_analysis::format::number;

use crate::records::{Sweep, Trial};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const SIDE: f64 = 70.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 16.0;
/// Most trials that are drawn: those of least error.
const MOST: usize = 300;
/// Most labels on an axis.
const LABELS: usize = 12;

/// The chart.
#[derive(Debug, Serialize)]
pub(crate) struct Parallel {
    width: f64,
    height: f64,
    top: f64,
    bottom: f64,
    axes: Vec<Axis>,
    lines: Vec<Line>,
    /// Number of trials that are left out.
    left_out: usize,
}

impl Parallel {
    /// Width and height, in units of the drawing.
    pub(crate) fn size(&self) -> [f64; 2] {
        [self.width, self.height]
    }
}

#[derive(Debug, Serialize)]
struct Axis {
    x: f64,
    name: String,
    ticks: Vec<(f64, String)>,
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    href: String,
    /// Whether it is among the tenth of least error.
    is_best: bool,
    points: String,
}

/// The chart of these trials; `None` where nothing differs, or nothing is measured.
pub(crate) fn parallel(sweep: &Sweep, trials: &[&Arc<Trial>], href: impl Fn(&Trial) -> String) -> Option<Parallel> {
    let mut measured: Vec<&Arc<Trial>> =
        trials.iter().copied().filter(|trial| trial.summary.best_val_mre.is_finite()).collect();
    measured.sort_by(|a, b| a.summary.best_val_mre.total_cmp(&b.summary.best_val_mre));
    let left_out = measured.len().saturating_sub(MOST);
    measured.truncate(MOST);
    let values: Vec<Vec<String>> = sweep.axes.iter().map(|axis| values(axis, &measured)).collect();
    let differing: Vec<usize> = (0..values.len()).filter(|at| values[*at].len() > 1).collect();
    if differing.is_empty() || measured.len() < 2 {
        return None;
    }
    let step = (WIDTH - 2.0 * SIDE) / differing.len() as f64;
    let place = |share: f64| ((HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)) * 10.0).round() / 10.0;
    let share = |at: usize, of: usize| if of > 1 { at as f64 / (of - 1) as f64 } else { 0.5 };
    let mut axes: Vec<Axis> = Vec::new();
    for (order, at) in differing.iter().enumerate() {
        let all = &values[*at];
        let every = all.len().div_ceil(LABELS);
        let ticks = (0..all.len()).step_by(every).map(|i| (place(share(i, all.len())), all[i].clone())).collect();
        axes.push(Axis { x: SIDE + step * order as f64, name: sweep.axes[*at].clone(), ticks });
    }
    let error = Scale::linear(measured.iter().map(|trial| trial.summary.best_val_mre));
    let ticks = error.ticks(6).into_iter().filter_map(|(value, label)| Some((place(error.position(value)?), label)));
    axes.push(Axis { x: WIDTH - SIDE, name: format!("MRE ({})", sweep.unit()), ticks: ticks.collect() });
    let best = measured.len().div_ceil(10);
    let line = |(order, trial): (usize, &&Arc<Trial>)| {
        let mut points: Vec<String> = Vec::new();
        for (axis, at) in axes.iter().zip(&differing) {
            let value = trial.on(&sweep.axes[*at]);
            if let Some(index) = values[*at].iter().position(|known| known == value) {
                points.push(format!("{:.1},{}", axis.x, place(share(index, values[*at].len()))));
            }
        }
        let height = place(error.position(trial.summary.best_val_mre)?);
        points.push(format!("{:.1},{height}", WIDTH - SIDE));
        let name = format!("{}: {} {}", trial.id(), number(trial.summary.best_val_mre), sweep.unit());
        Some(Line { name, href: href(trial), is_best: order < best, points: points.join(" ") })
    };
    // The best last: they lie above the others.
    let lines = measured.iter().enumerate().rev().filter_map(line).collect();
    Some(Parallel { width: WIDTH, height: HEIGHT, top: TOP, bottom: HEIGHT - BOTTOM, axes, lines, left_out })
}

/// The values that trials have on an axis: numbers by size, others in the order of the plan.
fn values(axis: &str, trials: &[&Arc<Trial>]) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for trial in trials {
        let value = trial.on(axis);
        if !value.is_empty() && values.iter().all(|known| known != value) {
            values.push(value.to_owned());
        }
    }
    let numbers: Option<Vec<f64>> = values.iter().map(|value| value.parse().ok()).collect();
    if numbers.is_some() {
        values.sort_by(|a, b| {
            let of = |text: &String| text.parse::<f64>().unwrap_or_default();
            of(a).total_cmp(&of(b))
        });
    } else {
        values.sort();
    }
    values
}
