//! The page of a trial: its curves, its configuration beside another's, its log and its machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use minijinja::{Value, context};
use serde::Serialize;

use sweep_analysis::format::{mm, number};
use sweep_experiment::records::State as TrialState;
use sweep_experiment::settings::settings;
use sweep_experiment::store::{Store, TrialFile};

use super::curves::of_one;
use super::rows::colour;
use super::sweep::named;
use super::{Answer, Parameters, Refusal, Shared, apart, events_address, seen, sweep_address, trial_address};
use crate::address::{Address, encoded};
use crate::chart::{Detail, Over, Range, metric, of_curves};
use crate::records::{Sweep, Trial};

/// Number of last bytes of a log that are shown.
const LOG_BYTES: u64 = 16 << 10;
/// Most trials that are offered to compare with.
const OFFERED: usize = 500;

const PARAMETERS: [&str; 4] = ["with", "x", "log", "y"];

/// The trial of this id.
pub(super) fn find<'a>(sweep: &'a Sweep, id: &str) -> Result<&'a Arc<Trial>, Refusal> {
    sweep.trial(id).ok_or_else(|| Refusal::Missing(format!("The sweep {} plans no trial {id:?}.", sweep.name())))
}

/// A key of the configuration.
#[derive(Debug, Serialize)]
struct Setting {
    key: String,
    value: String,
    other: String,
    differs: bool,
}

/// What is read from the trial's folder for its page alone.
struct Files {
    settings: Vec<Setting>,
    log: Vec<String>,
    has_landmarks: bool,
    problem: Option<String>,
}

/// `/sweeps/SWEEP/trials/TRIAL`.
pub(super) async fn page(
    State(app): Shared,
    Path((name, id)): Path<(String, String)>,
    Query(query): Parameters,
) -> Answer {
    let sweep = app.sweep(&name).await?;
    let trial = Arc::clone(find(&sweep, &id)?);
    let address = Address::of(&query, &PARAMETERS);
    let with = match address.get("with") {
        Some(other) => Some(find(&sweep, other)?.id().to_owned()),
        None => None,
    };
    let store = app.store(&name)?;
    let (own, other) = (id.clone(), with.clone());
    let files = apart(move || read(&store, &own, other.as_deref())).await?;
    let others = sweep.begun().map(|trial| trial.id()).filter(|other| *other != id).take(OFFERED);
    let others = seen(others.collect::<Vec<_>>());
    let (status, summary) = (&trial.records.status, &trial.summary);
    let facts = facts(&trial);
    let side = |id: &str| encoded(&format!("{name}/{id}"));
    let compare = with.as_ref().map(|other| format!("/compare?a={}&b={}", side(&id), side(other)));
    let over = Over::of(address.get("x"));
    app.page(
        "trial.html",
        context! {
            name => sweep.name(),
            sweep_href => sweep_address(&name),
            href => trial_address(&name, &id),
            id => id.clone(),
            configuration => trial.configuration(),
            colour => colour(&sweep, &trial),
            state => trial.state,
            is_failure => status.state.is_failure(),
            problem => trial.problem.clone().or(files.problem),
            epochs => trial.epochs,
            planned => status.epochs,
            best => (summary.best_val_mre.is_finite()).then(|| mm(summary.best_val_mre)),
            best_epoch => summary.best_epoch,
            unit => summary.unit.symbol(),
            facts => seen(facts),
            charts => charts(&trial, over, &name),
            over => over.name(),
            settings => seen(files.settings),
            with,
            others,
            log => files.log,
            has_landmarks => files.has_landmarks,
            compare,
            control => app.control && sweep.runner.is_some(),
            events => events_address(&sweep),
        },
    )
}

/// Loss and error over the epochs.
fn charts(trial: &Arc<Trial>, over: Over, sweep: &str) -> Vec<Value> {
    let unit = trial.summary.unit.symbol();
    let error = [format!("train_mre_{unit}"), format!("val_mre_{unit}")];
    let chart = |title: &str, columns: &[&str], log: bool| {
        let metrics: Vec<usize> =
            columns.iter().filter_map(|column| metric(column)).filter(|at| trial.columns.of(*at).is_some()).collect();
        let curves = of_one(trial, &metrics, title.to_owned(), over, Range::default());
        let log_scale = if log { "1" } else { "" };
        let query = format!("?y={}&x={}&log={log_scale}", encoded(&columns.join(",")), over.name());
        (!curves.series.is_empty()).then(|| {
            context! {
                title,
                picture => seen(of_curves(&curves, log, Detail::PAGE)),
                legend => seen(curves.series.iter().map(|one| (&one.name, one.colour)).collect::<Vec<_>>()),
                log,
                data => format!("{}/curves.json{query}", trial_address(sweep, trial.id())),
                svg => format!("{}/curves.svg{query}", trial_address(sweep, trial.id())),
                csv => format!("{}/curves.csv", trial_address(sweep, trial.id())),
            }
        })
    };
    let rate = metric("lr").map_or_else(String::new, |at| named(&sweep_experiment::metric::METRICS[at]));
    [
        chart("loss", &["train_loss", "val_loss"], true),
        chart(&format!("MRE ({unit})"), &[&error[0], &error[1]], false),
        chart(&rate, &["lr"], false),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the records say about the training, in words.
fn facts(trial: &Trial) -> Vec<(&'static str, String)> {
    let (status, summary) = (&trial.records.status, &trial.summary);
    let unit = summary.unit;
    let known = |value: f64, show: fn(f64) -> String| value.is_finite().then(|| show(value));
    let of_unit = |value: f64| known(value, mm).map(|text| format!("{text} {unit}"));
    let facts = [
        ("error at the best epoch", of_unit(summary.best_val_mre)),
        ("error at the epoch of least loss", of_unit(summary.val_mre_at_best_loss)),
        ("error after the last epoch", of_unit(summary.last_val_mre)),
        ("error on the test images", of_unit(summary.test_mre[0])),
        ("least validation loss", known(summary.best_val_loss, number)),
        ("seed", Some(trial.records.seed.to_string())),
        ("machine", (!status.host.is_empty()).then(|| status.host.clone())),
        ("device", (!status.device.is_empty()).then(|| status.device.clone())),
        ("attempts", (status.attempts > 0).then(|| status.attempts.to_string())),
        ("parameters", (status.parameters > 0).then(|| status.parameters.to_string())),
        ("seconds", (status.seconds > 0.0).then(|| format!("{:.0}", status.seconds))),
        ("peak memory", status.peak_memory_mib.map(|memory| format!("{memory:.0} MiB"))),
        (
            "time left",
            status
                .live
                .seconds_left
                .filter(|_| status.state == TrialState::Running)
                .map(|seconds| format!("{seconds:.0} s")),
        ),
    ];
    facts.into_iter().filter_map(|(what, value)| Some((what, value?))).collect()
}

fn read(store: &Store, id: &str, with: Option<&str>) -> Files {
    let folder = store.trial(id);
    let values = |file: Option<TrialFile>| -> BTreeMap<String, String> {
        file.map_or_else(BTreeMap::new, |file| {
            settings(&file.config).into_iter().map(|(key, value)| (key, value.to_string())).collect()
        })
    };
    let (own, problem) = match folder.has_begun().then(|| folder.trial_file()) {
        Some(Ok(file)) => (Some(file), None),
        Some(Err(error)) => (None, Some(error.to_string())),
        None => (None, None),
    };
    let own = values(own);
    let other = values(with.and_then(|with| store.trial(with).trial_file().ok()));
    let mut keys: Vec<&String> = own.keys().chain(other.keys()).collect();
    keys.sort();
    keys.dedup();
    let setting = |key: &String| {
        let of = |side: &BTreeMap<String, String>| side.get(key).cloned().unwrap_or_default();
        let (value, other) = (of(&own), of(&other));
        Setting { key: key.clone(), differs: with.is_some() && value != other, value, other }
    };
    Files {
        settings: keys.into_iter().map(setting).collect(),
        log: folder.log_tail(LOG_BYTES),
        has_landmarks: folder.folder().has_file("landmarks.csv"),
        problem,
    }
}
