//! Orders to a running sweep. The guard has seen the token and that the request comes from our own pages.

use std::collections::BTreeMap;

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect};
use minijinja::context;

use sweep_experiment::store::ControlRequest;

use super::{Answer, Refusal, Shared, apart, sweep_address};

/// `POST /sweeps/SWEEP/control`: `order` is `pause`, `continue`, `stop` or `retry`, the last with `trial`.
pub(super) async fn page(
    State(app): Shared,
    Path(name): Path<String>,
    Form(form): Form<BTreeMap<String, String>>,
) -> Answer {
    if !app.control {
        return Err(Refusal::Wrong(
            "Start `sweep serve` with --control to pause, stop and retry from here.".to_owned(),
        ));
    }
    let sweep = app.sweep(&name).await?;
    let store = app.store(&name)?;
    if sweep.runner.is_none() {
        return Err(Refusal::Wrong(
            "Nobody runs this sweep: start it with `sweep run`, with --retry-failed for what failed.".to_owned(),
        ));
    }
    let order = form.get("order").map(String::as_str).unwrap_or_default();
    let request = match order {
        "pause" | "continue" => ControlRequest::Pause,
        "stop" if form.contains_key("confirmed") => ControlRequest::Stop,
        "stop" => {
            let href = sweep_address(&name);
            return app.page("control.html", context! { name => sweep.name(), href });
        }
        "retry" => {
            let trial = super::trial::find(&sweep, form.get("trial").map(String::as_str).unwrap_or_default())?;
            if !trial.records.status.state.is_failure() {
                let what = format!("{} is {}: only what failed is tried again.", trial.id(), trial.state);
                return Err(Refusal::Wrong(what));
            }
            ControlRequest::Retry(trial.id().to_owned())
        }
        _ => return Err(Refusal::Wrong(format!("There is no order {order:?}."))),
    };
    let withdraws = order == "continue";
    apart(move || {
        let control = store.control();
        if withdraws { control.cancel(&request) } else { control.submit(&request) }
    })
    .await??;
    app.library.look();
    Ok(Redirect::to(&sweep_address(&name)).into_response())
}
