//! The page of a sweep: answer, table, curves, and any two columns against each other.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use minijinja::{Value, context};

use sweep_experiment::metric::METRICS;

use super::columns::{Column, columns};
use super::curves::{Choice, of_trials};
use super::picture::{Chart, svg};
use super::rows::{Group, colours, group, selected, table};
use super::{Answer, App, Parameters, Refusal, Shared, apart, events_address, seen, sweep_address, trial_address};
use super::{history, scatter};
use crate::address::{Address, encoded};
use crate::chart::{Detail, of_curves, parallel};
use crate::records::Sweep;

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
        compare => format!("/compare?a={}", encoded(&sweep.folder)),
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
        // Trials are done and read, and their answer is on its way.
        computing => unread == 0 && sweep.trials.iter().any(|trial| trial.records.is_done()),
        answered => seen(sweep.answered.as_deref()),
        unit => sweep.unit().symbol(),
        table => seen(table(sweep, &trials, address)),
        shown => trials.len(),
        axes => sweep.axes.clone(),
        metrics => seen(metrics),
        choice => context! { metric => METRICS[choice.metric].column, over => choice.over.name(), log => choice.log },
        legend => seen(legend(sweep, address)),
        curves => context! { picture => seen(of_curves(&curves, choice.log, Detail::PAGE)), series => curves.series.len() },
        curves_data => format!("{href}/curves.json{query}"),
        curves_csv => format!("{href}/curves.csv{query}"),
        curves_svg => format!("{href}/curves.svg{query}"),
        scatter_csv => format!("{href}/scatter.csv{query}"),
        scatter_svg => format!("{href}/scatter.svg{query}"),
        history => history::context(sweep, &trials),
        history_csv => format!("{href}/history.csv{query}"),
        history_svg => format!("{href}/history.svg{query}"),
        parallel_svg => format!("{href}/parallel.svg{query}"),
        trials_csv => format!("{href}/trials.csv{query}"),
        scatter => scatter::context(sweep, &trials, address),
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
pub(super) fn legend(sweep: &Sweep, address: &Address) -> Vec<(String, usize)> {
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

/// `/sweeps/SWEEP/parallel.svg`.
pub(super) async fn parallel_svg(State(app): Shared, Path(name): Path<String>, Query(query): Parameters) -> Answer {
    let sweep = app.sweep(&name).await?;
    let address = Address::of(&query, &PARAMETERS);
    let none = || Refusal::Missing("Nothing differs between trials that are measured.".to_owned());
    let chart = parallel(&sweep, &selected(&sweep, &address), |_| String::new()).ok_or_else(none)?;
    svg(&app, &format!("{name}-axes"), &Chart::Parallel(chart), Vec::new())
}
