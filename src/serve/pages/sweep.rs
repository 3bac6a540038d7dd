//! The page of a sweep: answer, table, curves, and any two columns against each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use minijinja::{Value, context};

use sweep_experiment::metric::METRICS;

use super::columns::{Column, columns};
use super::curves::{Choice, of_trials};
use super::rows::{Group, colour, colours, group, selected, table};
use super::{Answer, App, Parameters, Shared, apart, events_address, seen, sweep_address, trial_address};
use crate::address::Address;
use crate::chart::{Picture, Point, of_curves, of_points, parallel};
use crate::records::{Sweep, Trial};

/// Parameters of the page.
pub(super) const PARAMETERS: [&str; 15] =
    ["q", "sort", "desc", "group", "page", "y", "x", "log", "from", "to", "across", "up", "logx", "logy", "view"];

/// `/sweeps/SWEEP`.
pub(super) async fn page(State(app): Shared, Path(name): Path<String>, Query(query): Parameters) -> Answer {
    let sweep = app.sweep(&name).await?;
    let address = Address::of(&query, &PARAMETERS);
    apart(move || app.page("sweep.html", context(&app, &sweep, &address))).await?
}

fn context(app: &App, sweep: &Sweep, address: &Address) -> Value {
    let trials = selected(sweep, address);
    let choice = Choice::of(sweep, address);
    let curves = of_trials(sweep, &trials, &choice, address);
    let unread = sweep.unread_trials();
    let metrics: Vec<(&str, String)> =
        METRICS.iter().filter(|metric| choice.is_recorded(sweep, metric)).map(|m| (m.column, named(m))).collect();
    let href = sweep_address(&sweep.folder);
    let query = address.with(&[("page", "")]);
    context! {
        name => sweep.name(),
        href => href.clone(),
        question => sweep.file.as_ref().and_then(|file| file.question.clone()),
        problem => sweep.problem.clone(),
        states => seen(sweep.states()),
        planned => sweep.trials.len(),
        percent => (100.0 * sweep.progress()).floor() as u32,
        runner => sweep.runner.clone(),
        paused => sweep.paused,
        stopping => sweep.stopping,
        control => app.control,
        unread,
        answered => seen(sweep.answered.as_deref()),
        unit => sweep.unit().symbol(),
        table => seen(table(sweep, &trials, address)),
        shown => trials.len(),
        axes => sweep.axes.clone(),
        metrics => seen(metrics),
        choice => context! { metric => METRICS[choice.metric].column, over => choice.over.name(), log => choice.log },
        legend => seen(legend(sweep, address)),
        curves => context! { picture => seen(of_curves(&curves, choice.log)), series => curves.series.len() },
        curves_data => format!("{href}/curves.json{query}"),
        curves_csv => format!("{href}/curves.csv{query}"),
        trials_csv => format!("{href}/trials.csv{query}"),
        scatter => scatter(sweep, &trials, address),
        parallel => seen(parallel(sweep, &trials, |trial| trial_address(&sweep.folder, trial.id()))),
        address => parameters(address),
        reset => "?",
        events => events_address(sweep),
        first_page => app.library.only().is_none(),
    }
}

/// Most entries of a legend.
const MOST_ENTRIES: usize = 24;

/// Which colour is which: configurations or groups. Empty where there are so many that colours repeat too often.
fn legend(sweep: &Sweep, address: &Address) -> Vec<(String, usize)> {
    let all = colours(sweep, &group(sweep, address).unwrap_or(Group::Configuration));
    let mut entries: Vec<(String, usize)> = all.into_iter().collect();
    entries.sort_by_key(|entry| entry.1);
    if entries.len() > MOST_ENTRIES { Vec::new() } else { entries }
}

/// A metric in words: its column and unit.
pub(super) fn named(metric: &sweep_experiment::metric::Metric) -> String {
    let says_unit = metric.unit.is_empty() || metric.column.ends_with(metric.unit);
    if says_unit { metric.column.to_owned() } else { format!("{} ({})", metric.column, metric.unit) }
}

/// Every parameter, empty where it is not set.
fn parameters(address: &Address) -> Value {
    let all: BTreeMap<&str, &str> =
        PARAMETERS.iter().map(|name| (*name, address.get(name).unwrap_or_default())).collect();
    seen(all)
}

/// Two columns against each other; the loss against the error unless the address says others.
fn scatter(sweep: &Sweep, trials: &[&Arc<Trial>], address: &Address) -> Value {
    let all = columns(sweep);
    let has_numbers = |column: &&Column| sweep.trials.iter().any(|trial| column.cell(trial).value.is_some());
    let numeric: Vec<Column> = all.iter().filter(has_numbers).cloned().collect();
    let chosen = |name: &str, fallback: &str| {
        Column::of(&numeric, address.get(name)).or_else(|| Column::of(&numeric, Some(fallback))).cloned()
    };
    let (Some(across), Some(up)) = (chosen("across", "loss"), chosen("up", "mre")) else { return Value::from(()) };
    // Losses differ by orders of magnitude, so that their axis is logarithmic unless the address says otherwise.
    let log = [
        address.get("logx").map_or(across.key() == "loss", |log| log == "1"),
        address.get("logy").is_some_and(|log| log == "1"),
    ];
    let point = |trial: &&Arc<Trial>| {
        Some(Point {
            x: across.cell(trial).value?,
            y: up.cell(trial).value?,
            colour: colour(sweep, trial)?,
            name: trial.id().to_owned(),
            href: trial_address(&sweep.folder, trial.id()),
        })
    };
    let points: Vec<Point> = trials.iter().filter_map(point).collect();
    let count = points.len();
    let titles = [across.title(sweep.unit()), up.title(sweep.unit())];
    let picture: Picture = of_points(points, [&titles[0], &titles[1]], log);
    let choices: Vec<(String, String)> =
        numeric.iter().map(|column| (column.key(), column.title(sweep.unit()))).collect();
    context! { picture => seen(picture), count, choices => seen(choices), across => across.key(), up => up.key(), logx => log[0], logy => log[1] }
}

/// `/sweeps/SWEEP/trials.csv`: the rows of the table, all pages, one per trial.
pub(super) async fn csv(State(app): Shared, Path(name): Path<String>, Query(query): Parameters) -> Answer {
    let sweep = app.sweep(&name).await?;
    let address = Address::of(&query, &PARAMETERS);
    let all = columns(&sweep);
    let keys: Vec<String> = all.iter().map(Column::key).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let rows = selected(&sweep, &address).into_iter().map(|trial| {
        let text = |column: &Column| {
            let cell = column.cell(trial);
            cell.value.map_or_else(|| cell.text.replace('–', ""), |value| value.to_string())
        };
        all.iter().map(text).collect()
    });
    super::csv::csv(&format!("{name}-trials"), &keys, rows)
}
