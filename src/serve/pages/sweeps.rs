//! The first page: the sweeps of the folder.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use minijinja::context;
use serde::Serialize;

use sweep_analysis::format::mm;

use super::{Answer, Shared, apart, seen, sweep_address};
use crate::records::{Shelf, Sweep};

#[derive(Serialize)]
struct Line {
    name: String,
    href: String,
    question: Option<String>,
    states: Vec<(&'static str, usize)>,
    percent: u32,
    runner: Option<String>,
    best: Option<String>,
    answer: Option<String>,
    strength: Option<&'static str>,
    problem: Option<String>,
    unread: usize,
}

fn line(sweep: &Sweep) -> Line {
    let answer = sweep.answered.as_ref().and_then(|answered| answered.answer.as_ref());
    Line {
        name: sweep.name().to_owned(),
        href: sweep_address(&sweep.folder),
        question: sweep.file.as_ref().and_then(|file| file.question.clone()),
        states: sweep.states(),
        percent: (100.0 * sweep.progress()).floor() as u32,
        runner: sweep.runner.clone(),
        best: sweep.best().map(|trial| format!("{} {}", mm(trial.summary.best_val_mre), trial.summary.unit)),
        answer: answer.map(|answer| answer.sentence.clone()),
        strength: answer.map(|answer| answer.strength),
        problem: sweep.problem.clone(),
        unread: sweep.unread_trials(),
    }
}

/// `/`.
pub(super) async fn page(State(app): Shared) -> Answer {
    if let Some(only) = app.library.only() {
        return Ok(Redirect::temporary(&sweep_address(only)).into_response());
    }
    let library = Arc::clone(&app.library);
    let (shelf, left_out) = apart(move || library.shelf()).await??;
    let known = app.library.total_version();
    let (mut sweeps, mut refused) = (Vec::new(), Vec::new());
    for entry in shelf {
        match entry {
            // The first sweep is waited for a moment, and the others are read meanwhile.
            Shelf::Sweep(name) if sweeps.is_empty() => {
                sweeps.extend(app.library.sweep(&name).await.map(|sweep| line(&sweep)));
            }
            Shelf::Sweep(name) => sweeps.extend(app.library.at_once(&name).map(|sweep| line(&sweep))),
            Shelf::Refused(name, why) => refused.push((name, why)),
        }
    }
    let events = format!("/events?since={known}");
    let folder = app.library.folder().display().to_string();
    app.page("sweeps.html", context! { folder, sweeps => seen(sweeps), refused => seen(refused), left_out, events })
}
