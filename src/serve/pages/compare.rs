//! Two trials, or two sweeps, against each other, with the statistics of `sweep compare`.

use axum::extract::{Query, State};
use minijinja::context;

use sweep_analysis::compare::{ConfigurationChange, SweepComparison, compare_sweeps, compare_trials};
use sweep_analysis::format::{mm, p_value, signed};
use sweep_analysis::load::load;
use sweep_core::error::{Error, Result};
use sweep_experiment::store::{Store, TrialStore};

use super::{Answer, App, Parameters, Refusal, Shared, apart, seen, sweep_address, trial_address};
use crate::address::Address;
use crate::records::Shelf;

/// Most sweeps and trials that are offered.
const OFFERED: usize = 1000;

/// One side: a sweep by its name, or a trial by `SWEEP/TRIAL`.
enum Side {
    Sweep(Store),
    Trial(TrialStore),
}

/// What an address names, and the address of its page.
fn named(app: &App, name: &str) -> std::result::Result<(Side, String), Refusal> {
    let missing = || Refusal::Missing(format!("There is no {name:?}: name a sweep, or a trial as SWEEP/TRIAL."));
    let Some((sweep, trial)) = name.split_once('/') else {
        let store = app.library.store(name).ok_or_else(missing)?;
        return Ok((Side::Sweep(store), sweep_address(name)));
    };
    let store = app.library.store(sweep).ok_or_else(missing)?;
    let is_planned = store.read_sweep_file()?.trials.iter().any(|id| id == trial);
    is_planned.then(|| (Side::Trial(store.trial(trial)), trial_address(sweep, trial))).ok_or_else(missing)
}

/// Names of sweeps and trials to choose from.
fn offered(app: &App) -> std::result::Result<Vec<String>, Refusal> {
    let (mut sweeps, mut trials) = (Vec::new(), Vec::new());
    for entry in app.library.shelf()?.0 {
        if let Shelf::Sweep(name) = entry
            && let Some(sweep) = app.library.at_once(&name)
        {
            trials.extend(sweep.begun().map(|trial| format!("{name}/{}", trial.id())));
            sweeps.push(name);
        }
    }
    Ok(sweeps.into_iter().chain(trials).take(OFFERED).collect())
}

/// `/compare?a=SWEEP/TRIAL&b=SWEEP/TRIAL`, or `/compare?a=SWEEP&b=SWEEP`.
pub(super) async fn page(State(app): Shared, Query(query): Parameters) -> Answer {
    let address = Address::of(&query, &["a", "b", "pooled"]);
    let [a, b] = ["a", "b"].map(|side| address.get(side).unwrap_or_default().to_owned());
    let pooled = address.is_set("pooled");
    let offered = offered(&app)?;
    let (mut links, mut outcome) = (None, None);
    if !a.is_empty() && !b.is_empty() {
        let ((side_a, link_a), (side_b, link_b)) = (named(&app, &a)?, named(&app, &b)?);
        links = Some([link_a, link_b]);
        // Whole sweeps take as much memory as a report, so one comparison is made after the other.
        let _turn = app.comparing.lock().await;
        outcome = Some(
            apart(move || match (side_a, side_b) {
                (Side::Trial(a), Side::Trial(b)) => Ok((Some(compared(&a, &b, pooled)?), None)),
                (Side::Sweep(a), Side::Sweep(b)) => Ok((None, Some(sweeps_compared(&a, &b)?))),
                _ => {
                    Err(Error::input("a trial does not compare with a sweep").remedy("name two trials, or two sweeps"))
                }
            })
            .await?,
        );
    }
    let ((comparison, sweeps), problem) = match outcome {
        Some(Ok(found)) => (found, None),
        Some(Err(error)) => ((None, None), Some(error.to_string())),
        None => ((None, None), None),
    };
    app.page(
        "compare.html",
        context! {
            swapped => address.with(&[("a", &b), ("b", &a)]),
            a, b, pooled, offered, comparison, sweeps, problem,
            links => seen(links),
        },
    )
}

fn ends(interval: [f64; 2], decimals: usize) -> String {
    interval.map(|end| signed(end, decimals)).join(" to ")
}

fn sweeps_compared(a: &Store, b: &Store) -> Result<minijinja::Value> {
    let (a, b) = (load(a)?, load(b)?);
    let found = compare_sweeps(&a, &b)?;
    let SweepComparison { unit, best, configurations, unmatched, incomparable } = found;
    let row = |change: &ConfigurationChange| {
        context! {
            a => change.a.clone(),
            b => change.b.clone(),
            errors => change.errors.map(mm).to_vec(),
            mre => signed(change.mre.point, 3),
            mre_ends => ends(change.mre.interval, 3),
            is_evident => change.mre.excludes(0.0),
            is_better => change.mre.point < 0.0,
            sdr => signed(change.sdr.point, 1),
            sdr_ends => ends(change.sdr.interval, 1),
            p => p_value(change.p_adjusted),
            seeds => change.mre.n.seeds,
            images => change.mre.n.images,
        }
    };
    Ok(context! {
        a => a.name,
        b => b.name,
        unit => unit.symbol(),
        radius => unit.radii()[0].to_string(),
        best => best.as_ref().map(row),
        rows => configurations.iter().map(row).collect::<Vec<_>>(),
        unmatched => seen(unmatched),
        incomparable => seen(incomparable),
    })
}

fn compared(a: &TrialStore, b: &TrialStore, pooled: bool) -> Result<minijinja::Value> {
    let (comparison, fold) = compare_trials(a, b, pooled)?;
    let (n, unit) = (comparison.mre.n, comparison.unit);
    let landmarks: Vec<[String; 4]> = comparison
        .landmarks
        .iter()
        .map(|landmark| {
            [
                landmark.name.clone(),
                signed(landmark.change.point, 3),
                ends(landmark.change.interval, 3),
                p_value(landmark.p_adjusted),
            ]
        })
        .collect();
    Ok(context! {
        a => comparison.a,
        b => comparison.b,
        images => n.images,
        count => n.landmarks,
        unit => unit.symbol(),
        radius => unit.radii()[0].to_string(),
        mre => signed(comparison.mre.point, 3),
        mre_ends => ends(comparison.mre.interval, 3),
        is_evident => comparison.mre.excludes(0.0),
        is_better => comparison.mre.point < 0.0,
        sdr => signed(comparison.sdr.point, 1),
        sdr_ends => ends(comparison.sdr.interval, 1),
        wilcoxon => p_value(comparison.wilcoxon),
        sign_flip => p_value(comparison.sign_flip),
        fold => fold.map(|fold| format!("fold {} of {}", fold.fold, fold.of)),
        landmarks => seen(landmarks),
    })
}
