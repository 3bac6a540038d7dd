//! Any two columns of a sweep's table against each other.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use minijinja::{Value, context};

use super::columns::{Column, columns};
use super::picture::{Chart, svg as file};
use super::rows::{colour, selected};
use super::sweep::{PARAMETERS, legend};
use super::{Answer, Parameters, Refusal, Shared, seen, trial_address};
use crate::address::Address;
use crate::chart::{Picture, Point, of_points, scales};
use crate::records::{Sweep, Trial};

/// What the chart shows.
struct Choice {
    /// Columns that have numbers.
    numeric: Vec<Column>,
    across: Column,
    up: Column,
    /// Whether the horizontal and the vertical axis are logarithmic.
    log: [bool; 2],
}

impl Choice {
    /// As an address says; the loss against the error unless it says others. `None` without numbers.
    fn of(sweep: &Sweep, address: &Address) -> Option<Self> {
        let has_numbers = |column: &Column| sweep.trials.iter().any(|trial| column.cell(trial).value.is_some());
        let numeric: Vec<Column> = columns(sweep).into_iter().filter(has_numbers).collect();
        let chosen = |name: &str, fallback: &str| {
            Column::of(&numeric, address.get(name)).or_else(|| Column::of(&numeric, Some(fallback))).cloned()
        };
        let (across, up) = (chosen("across", "loss")?, chosen("up", "mre")?);
        // Losses differ by orders of magnitude, so that their axis is logarithmic unless the address says otherwise.
        let log = [
            address.get("logx").map_or(across.key() == "loss", |log| log == "1"),
            address.get("logy").is_some_and(|log| log == "1"),
        ];
        Some(Self { numeric, across, up, log })
    }

    /// The chart and the number of its points.
    fn picture(&self, sweep: &Sweep, trials: &[&Arc<Trial>]) -> (Picture, usize) {
        let point = |trial: &&Arc<Trial>| {
            Some(Point {
                x: self.across.cell(trial).value?,
                y: self.up.cell(trial).value?,
                colour: colour(sweep, trial)?,
                name: trial.id().to_owned(),
                href: trial_address(&sweep.folder, trial.id()),
            })
        };
        let points: Vec<Point> = trials.iter().filter_map(point).collect();
        let count = points.len();
        let titles = [self.across.title(sweep.unit()), self.up.title(sweep.unit())];
        let scales = scales(&points, self.log);
        (of_points(points, [&titles[0], &titles[1]], scales), count)
    }
}

/// The chart in the page of a sweep.
pub(super) fn context(sweep: &Sweep, trials: &[&Arc<Trial>], address: &Address) -> Value {
    let Some(choice) = Choice::of(sweep, address) else { return Value::from(()) };
    let (picture, count) = choice.picture(sweep, trials);
    let choices: Vec<(String, String)> =
        choice.numeric.iter().map(|column| (column.key(), column.title(sweep.unit()))).collect();
    context! {
        picture => seen(picture),
        count,
        choices => seen(choices),
        across => choice.across.key(),
        up => choice.up.key(),
        logx => choice.log[0],
        logy => choice.log[1],
    }
}

fn chosen(sweep: &Sweep, address: &Address) -> Result<Choice, Refusal> {
    let none = || Refusal::Missing("No trial has numbers yet.".to_owned());
    Choice::of(sweep, address).ok_or_else(none)
}

/// `/sweeps/SWEEP/scatter.svg`.
pub(super) async fn svg(State(app): Shared, Path(name): Path<String>, Query(query): Parameters) -> Answer {
    let sweep = app.sweep(&name).await?;
    let address = Address::of(&query, &PARAMETERS);
    let choice = chosen(&sweep, &address)?;
    let (picture, _) = choice.picture(&sweep, &selected(&sweep, &address));
    let title = format!("{name}-{}-{}", choice.across.key(), choice.up.key());
    file(&app, &title, &Chart::Plot(picture), legend(&sweep, &Address::default()))
}

/// `/sweeps/SWEEP/scatter.csv`: both numbers of each trial that has them.
pub(super) async fn csv(State(app): Shared, Path(name): Path<String>, Query(query): Parameters) -> Answer {
    let sweep = app.sweep(&name).await?;
    let address = Address::of(&query, &PARAMETERS);
    let choice = chosen(&sweep, &address)?;
    let keys = [choice.across.key(), choice.up.key()];
    let row = |trial: &Arc<Trial>| {
        let numbers = [choice.across.cell(trial).value?, choice.up.cell(trial).value?];
        Some([trial.id().to_owned(), trial.configuration()].into_iter().chain(numbers.map(|n| n.to_string())).collect())
    };
    let rows = selected(&sweep, &address).into_iter().filter_map(row);
    super::csv::csv(&format!("{name}-{}-{}", keys[0], keys[1]), &["trial", "configuration", &keys[0], &keys[1]], rows)
}
