//! The best so far: the error of every trial in the order in which they ended, and the least up to each.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use minijinja::{Value, context};
use sweep_analysis::drawing::scale::Scale;
use sweep_analysis::format::mm;

use super::picture::{Chart, svg as file};
use super::rows::{colour, selected};
use super::sweep::{PARAMETERS, legend};
use super::{Answer, Parameters, Refusal, Shared, seen, trial_address};
use crate::address::Address;
use crate::chart::{Picture, Point, of_points};
use crate::records::{Sweep, Trial};

/// Trials that ended with an error, in the order in which they ended, as their last status says.
fn ended<'a>(trials: &[&'a Arc<Trial>]) -> Vec<&'a Arc<Trial>> {
    let is_measured =
        |trial: &&Arc<Trial>| trial.records.status.state.is_settled() && trial.summary.best_val_mre.is_finite();
    let mut ended: Vec<&Arc<Trial>> = trials.iter().copied().filter(is_measured).collect();
    ended.sort_by_key(|trial| (trial.records.status.live.written, trial.id().to_owned()));
    ended
}

/// The chart of trials that ended, in order; `None` with fewer than two.
fn picture(sweep: &Sweep, ended: &[&Arc<Trial>]) -> Option<Picture> {
    let point = |(place, trial): (usize, &&Arc<Trial>)| {
        Some(Point {
            x: (place + 1) as f64,
            y: trial.summary.best_val_mre,
            colour: colour(sweep, trial)?,
            name: trial.id().to_owned(),
            href: trial_address(&sweep.folder, trial.id()),
        })
    };
    let points: Vec<Point> = ended.iter().enumerate().filter_map(point).collect();
    let scales = [Scale::epochs(points.len() as u32), Scale::auto(points.iter().map(|point| point.y))];
    let log = if scales[1].is_log() { ", log scale" } else { "" };
    let error = format!("best MRE ({}){log}", sweep.unit());
    (points.len() > 1).then(|| of_points(points, ["trials, in the order of their ends", &error], scales).with_least())
}

/// The chart in the page of a sweep.
pub(super) fn context(sweep: &Sweep, trials: &[&Arc<Trial>]) -> Value {
    let ended = ended(trials);
    let Some(picture) = picture(sweep, &ended) else { return Value::from(()) };
    let least = ended.iter().map(|trial| trial.summary.best_val_mre).fold(f64::INFINITY, f64::min);
    context! { picture => seen(picture), least => format!("{} {}", mm(least), sweep.unit()) }
}

/// `/sweeps/SWEEP/history.svg`.
pub(super) async fn svg(State(app): Shared, Path(name): Path<String>, Query(query): Parameters) -> Answer {
    let sweep = app.sweep(&name).await?;
    let none = || Refusal::Missing("Fewer than two trials have ended.".to_owned());
    let chart = picture(&sweep, &ended(&selected(&sweep, &Address::of(&query, &PARAMETERS)))).ok_or_else(none)?;
    file(&app, &format!("{name}-history"), &Chart::Plot(chart), legend(&sweep, &Address::default()))
}

/// `/sweeps/SWEEP/history.csv`: the error of each ended trial and the least so far.
pub(super) async fn csv(State(app): Shared, Path(name): Path<String>, Query(query): Parameters) -> Answer {
    let sweep = app.sweep(&name).await?;
    let trials = ended(&selected(&sweep, &Address::of(&query, &PARAMETERS)));
    let mut least = f64::INFINITY;
    let rows = trials.into_iter().enumerate().map(|(place, trial)| {
        let error = trial.summary.best_val_mre;
        least = least.min(error);
        vec![(place + 1).to_string(), trial.id().to_owned(), error.to_string(), least.to_string()]
    });
    super::csv::csv(&format!("{name}-history"), &["ended", "trial", "mre", "least"], rows)
}
