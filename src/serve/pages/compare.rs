//! Two trials against each other, with the statistics of `sweep compare`.

use axum::extract::{Query, State};
use minijinja::context;

use sweep_analysis::compare::compare_trials;
use sweep_analysis::format::{p_value, signed};
use sweep_core::error::Result;
use sweep_experiment::store::TrialStore;

use super::{Answer, App, Parameters, Refusal, Shared, apart, seen, trial_address};
use crate::address::Address;
use crate::records::Shelf;

/// Most trials that are offered.
const OFFERED: usize = 1000;

/// The folder of a trial that an address names `SWEEP/TRIAL`, and the address of its page.
fn named(app: &App, name: &str) -> std::result::Result<(TrialStore, String), Refusal> {
    let missing = || Refusal::Missing(format!("There is no trial {name:?}: name one as SWEEP/TRIAL."));
    let (sweep, trial) = name.split_once('/').ok_or_else(missing)?;
    let store = app.library.store(sweep).ok_or_else(missing)?;
    let is_planned = store.read_sweep_file()?.trials.iter().any(|id| id == trial);
    is_planned.then(|| (store.trial(trial), trial_address(sweep, trial))).ok_or_else(missing)
}

/// `/compare?a=SWEEP/TRIAL&b=SWEEP/TRIAL`.
pub(super) async fn page(State(app): Shared, Query(query): Parameters) -> Answer {
    let address = Address::of(&query, &["a", "b", "pooled"]);
    let [a, b] = ["a", "b"].map(|side| address.get(side).unwrap_or_default().to_owned());
    let pooled = address.is_set("pooled");
    let mut offered = Vec::new();
    for entry in app.library.shelf()?.0 {
        if let Shelf::Sweep(name) = entry
            && let Some(sweep) = app.library.at_once(&name)
        {
            offered.extend(sweep.begun().map(|trial| format!("{name}/{}", trial.id())));
        }
    }
    offered.truncate(OFFERED);
    let (result, links) = if a.is_empty() || b.is_empty() {
        (None, None)
    } else {
        let (side_a, side_b) = (named(&app, &a)?, named(&app, &b)?);
        let links = [side_a.1, side_b.1];
        (Some(apart(move || compared(&side_a.0, &side_b.0, pooled)).await?), Some(links))
    };
    let (comparison, problem) = match result {
        Some(Ok(comparison)) => (Some(comparison), None),
        Some(Err(error)) => (None, Some(error.to_string())),
        None => (None, None),
    };
    app.page(
        "compare.html",
        context! {
            swapped => address.with(&[("a", &b), ("b", &a)]),
            a, b, pooled, offered, comparison, problem,
            links => seen(links),
        },
    )
}

fn compared(a: &TrialStore, b: &TrialStore, pooled: bool) -> Result<minijinja::Value> {
    let (comparison, fold) = compare_trials(a, b, pooled)?;
    let (n, unit) = (comparison.mre.n, comparison.unit);
    let ends = |interval: [f64; 2], decimals: usize| interval.map(|end| signed(end, decimals)).join(" to ");
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
