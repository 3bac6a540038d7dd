//! The curves of a sweep's trials and of one trial, as JSON for the browser and as CSV.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;

use sweep_experiment::metric::{Direction, METRICS, Metric};

use super::picture::{Chart, svg};
use super::rows::{colours, group, selected};
use super::sweep::{PARAMETERS, legend, named};
use super::{Answer, App, Parameters, Refusal, Shared, apart};
use crate::address::Address;
use crate::assets::COLOURS;
use crate::chart::{Curves, Detail, Over, Range, Request, curves, metric, of_curves, points};
use crate::records::{Sweep, Trial};

/// What a chart of curves shows.
pub(super) struct Choice {
    /// Index in [`METRICS`].
    pub(super) metric: usize,
    pub(super) over: Over,
    pub(super) log: bool,
    range: Range,
}

impl Choice {
    /// As an address says; the validation error over epochs unless it says otherwise.
    pub(super) fn of(sweep: &Sweep, address: &Address) -> Self {
        let error = if sweep.unit().is_millimetres() { "val_mre_mm" } else { "val_mre_px" };
        let metric = address.get("y").and_then(metric).or_else(|| metric(error)).unwrap_or_default();
        Self {
            metric,
            over: Over::of(address.get("x")),
            log: address.get("log").map_or_else(|| spans_decades(sweep, metric), |log| log == "1"),
            range: Range { from: address.number("from"), to: address.number("to") },
        }
    }

    /// Whether some trial has a metric.
    pub(super) fn is_recorded(&self, sweep: &Sweep, wanted: &Metric) -> bool {
        let index = metric(wanted.column).unwrap_or_default();
        index == self.metric || sweep.trials.iter().any(|trial| trial.columns.of(index).is_some())
    }
}

/// Whether a metric that should be small differs by more than a factor of ten, so that equal ratios show more.
fn spans_decades(sweep: &Sweep, metric: usize) -> bool {
    let values = sweep.trials.iter().filter_map(|trial| trial.columns.of(metric)).flatten();
    let positive = values.copied().filter(|value| *value > 0.0 && value.is_finite());
    let (low, high) = positive.fold((f32::INFINITY, 0.0_f32), |(low, high), value| (low.min(value), high.max(value)));
    METRICS[metric].direction == Direction::Minimize && high > 10.0 * low
}

/// The curves of some trials, folded to means where the address groups them.
pub(super) fn of_trials(sweep: &Sweep, trials: &[&Arc<Trial>], choice: &Choice, address: &Address) -> Curves {
    let title = named(&METRICS[choice.metric]);
    let begun = trials.iter().copied().filter(|trial| !trial.records.configuration.is_empty());
    let group = group(sweep, address);
    let requests: Vec<Request<'_>> = match &group {
        None => begun
            .map(|trial| {
                let colour = sweep.colour(&trial.configuration()) % COLOURS;
                Request { trial, metric: choice.metric, name: trial.id().to_owned(), colour }
            })
            .collect(),
        Some(group) => {
            let colours = colours(sweep, group);
            begun
                .map(|trial| {
                    let name = group.of(trial);
                    let colour = colours.get(&name).copied().unwrap_or_default();
                    Request { trial, metric: choice.metric, name, colour }
                })
                .collect()
        }
    };
    curves(requests, title, choice.over, choice.range, group.is_some())
}

/// `/sweeps/SWEEP/curves.json`.
pub(super) async fn of_sweep(State(app): Shared, Path(name): Path<String>, Query(query): Parameters) -> Answer {
    let sweep = app.sweep(&name).await?;
    let address = Address::of(&query, &PARAMETERS);
    let curves = apart(move || {
        let choice = Choice::of(&sweep, &address);
        of_trials(&sweep, &selected(&sweep, &address), &choice, &address)
    });
    Ok(Json(curves.await?).into_response())
}

/// `/sweeps/SWEEP/curves.svg`.
pub(super) async fn svg_of_sweep(State(app): Shared, Path(name): Path<String>, Query(query): Parameters) -> Answer {
    let sweep = app.sweep(&name).await?;
    let address = Address::of(&query, &PARAMETERS);
    apart(move || {
        let choice = Choice::of(&sweep, &address);
        let curves = of_trials(&sweep, &selected(&sweep, &address), &choice, &address);
        let picture = of_curves(&curves, choice.log, Detail::FILE);
        let title = format!("{name}-{}", METRICS[choice.metric].column);
        svg(&app, &title, &Chart::Plot(picture), legend(&sweep, &address))
    })
    .await?
}

/// `/sweeps/SWEEP/curves.csv`: every recorded value of the chart's trials.
pub(super) async fn csv_of_sweep(State(app): Shared, Path(name): Path<String>, Query(query): Parameters) -> Answer {
    let sweep = app.sweep(&name).await?;
    let address = Address::of(&query, &PARAMETERS);
    apart(move || {
        let choice = Choice::of(&sweep, &address);
        let metric = METRICS[choice.metric].column;
        let rows = selected(&sweep, &address).into_iter().flat_map(|trial| rows(trial, choice.metric));
        super::csv::csv(&format!("{name}-{metric}"), &["trial", "configuration", "epoch", "seconds", metric], rows)
    })
    .await?
}

/// Trial, configuration, epoch, seconds and value.
fn rows(trial: &Trial, metric: usize) -> Vec<Vec<String>> {
    let by_epoch = points(trial, metric, Over::Epochs, Range::default());
    let by_seconds = points(trial, metric, Over::Seconds, Range::default());
    let row = |((epoch, value), (seconds, _)): ((f64, f64), (f64, f64))| {
        let texts = [epoch.to_string(), format!("{seconds:.3}"), (value as f32).to_string()];
        [trial.id().to_owned(), trial.configuration()].into_iter().chain(texts).collect()
    };
    by_epoch.into_iter().zip(by_seconds).map(row).collect()
}

/// The metrics of a chart of one trial: the parameter `y`, separated by commas.
fn metrics(address: &Address) -> Result<Vec<usize>, Refusal> {
    let names = address.get("y").unwrap_or("train_loss,val_loss");
    let of = |name: &str| metric(name).ok_or_else(|| Refusal::Wrong(format!("There is no metric {name:?}.")));
    names.split(',').map(of).collect()
}

/// The curves of one trial, a colour for each metric.
pub(super) fn of_one(trial: &Arc<Trial>, metrics: &[usize], title: String, over: Over, range: Range) -> Curves {
    let request = |(colour, metric): (usize, &usize)| Request {
        trial,
        metric: *metric,
        name: METRICS[*metric].column.to_owned(),
        colour: colour % COLOURS,
    };
    curves(metrics.iter().enumerate().map(request).collect(), title, over, range, false)
}

/// The trial of an address, its metrics that are asked for, and their curves.
async fn asked(
    app: &App,
    [sweep, trial]: [&str; 2],
    address: &Address,
) -> Result<(Arc<Trial>, Vec<usize>, Curves), Refusal> {
    let sweep = app.sweep(sweep).await?;
    let trial = super::trial::find(&sweep, trial)?;
    let range = Range { from: address.number("from"), to: address.number("to") };
    let metrics = metrics(address)?;
    let curves = of_one(trial, &metrics, String::new(), Over::of(address.get("x")), range);
    Ok((Arc::clone(trial), metrics, curves))
}

/// `/sweeps/SWEEP/trials/TRIAL/curves.json`.
pub(super) async fn of_trial(
    State(app): Shared,
    Path((sweep, trial)): Path<(String, String)>,
    Query(query): Parameters,
) -> Answer {
    let (_, _, curves) = asked(&app, [&sweep, &trial], &Address::of(&query, &PARAMETERS)).await?;
    Ok(Json(curves).into_response())
}

/// `/sweeps/SWEEP/trials/TRIAL/curves.svg`.
pub(super) async fn svg_of_trial(
    State(app): Shared,
    Path((sweep, trial)): Path<(String, String)>,
    Query(query): Parameters,
) -> Answer {
    let address = Address::of(&query, &PARAMETERS);
    let (trial, metrics, curves) = asked(&app, [&sweep, &trial], &address).await?;
    let legend = curves.series.iter().map(|one| (one.name.clone(), one.colour)).collect();
    let picture = of_curves(&curves, address.is_set("log"), Detail::FILE);
    let names: Vec<&str> = metrics.iter().map(|metric| METRICS[*metric].column).collect();
    svg(&app, &format!("{}-{}", trial.id(), names.join("-")), &Chart::Plot(picture), legend)
}

/// `/sweeps/SWEEP/trials/TRIAL/curves.csv`: every recorded metric of every epoch.
pub(super) async fn csv_of_trial(State(app): Shared, Path((sweep, trial)): Path<(String, String)>) -> Answer {
    let sweep = app.sweep(&sweep).await?;
    let trial = super::trial::find(&sweep, &trial)?;
    let recorded: Vec<usize> = (0..METRICS.len()).filter(|metric| trial.columns.of(*metric).is_some()).collect();
    let header: Vec<&str> = std::iter::once("epoch").chain(recorded.iter().map(|at| METRICS[*at].column)).collect();
    let columns: Vec<&[f32]> = recorded.iter().filter_map(|metric| trial.columns.of(*metric)).collect();
    let rows = trial.columns.epochs.iter().enumerate().map(|(at, epoch)| {
        let cell =
            |column: &&[f32]| column.get(at).filter(|value| !value.is_nan()).map_or_else(String::new, f32::to_string);
        std::iter::once(epoch.to_string()).chain(columns.iter().map(cell)).collect()
    });
    super::csv::csv(&format!("{}-epochs", trial.id()), &header, rows)
}
