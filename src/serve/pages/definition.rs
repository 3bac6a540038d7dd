//! The definition that a sweep ran with, its provenance, and the trials that it plans.

use axum::extract::{Path, State};
use minijinja::context;

use super::rows::colour;
use super::{Answer, Shared, events_address, seen, sweep_address, trial_address};

/// Most trials of the list.
const MOST: usize = 2000;

/// `/sweeps/SWEEP/definition`.
pub(super) async fn page(State(app): Shared, Path(name): Path<String>) -> Answer {
    let sweep = app.sweep(&name).await?;
    let provenance: Vec<(String, String)> = sweep.file.as_ref().map_or_else(Vec::new, |file| {
        let shown = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        file.provenance.iter().map(|(key, value)| (key.clone(), shown(value))).collect()
    });
    let trials: Vec<_> = sweep
        .trials
        .iter()
        .take(MOST)
        .map(|trial| (trial.id(), trial_address(&name, trial.id()), colour(&sweep, trial), trial.state))
        .collect();
    app.page(
        "definition.html",
        context! {
            name => sweep.name(),
            sweep_href => sweep_address(&name),
            definition => sweep.file.as_ref().map(|file| file.definition.clone()),
            problem => sweep.problem.clone(),
            provenance => seen(provenance),
            planned => sweep.trials.len(),
            left_out => sweep.trials.len() - trials.len(),
            trials => seen(&trials),
            events => events_address(&sweep),
        },
    )
}
