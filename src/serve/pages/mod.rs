//! The pages: their addresses, and how templates become answers.

mod columns;
mod compare;
mod control;
mod csv;
mod curves;
mod definition;
mod events;
mod history;
mod landmarks;
mod picture;
mod rows;
mod scatter;
mod sweep;
mod sweeps;
mod templates;
mod trial;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::Serialize;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::catch_panic::CatchPanicLayer;

use sweep_core::error::Error;
use sweep_experiment::store::Store;

use crate::address::encoded;
use crate::assets::asset;
use crate::guard::{Guard, guard};
use crate::records::{Library, Sweep};

/// Most requests that are answered at once, beside streams of events.
const REQUESTS: usize = 32;

/// What every page needs.
pub(crate) struct App {
    library: Arc<Library>,
    templates: Environment<'static>,
    /// Whether pages may pause, stop and retry.
    control: bool,
    /// Held while two sides are compared.
    comparing: tokio::sync::Mutex<()>,
}

type Shared = axum::extract::State<Arc<App>>;
type Parameters = Query<BTreeMap<String, String>>;

/// Everything that is answered, behind the guard.
pub(crate) fn router(library: &Arc<Library>, guarded: Guard, control: bool) -> Router {
    let app = Arc::new(App {
        library: Arc::clone(library),
        templates: templates::templates(),
        control,
        comparing: tokio::sync::Mutex::default(),
    });
    let pages = Router::new()
        .route("/", get(sweeps::page))
        .route("/sweeps/{sweep}", get(sweep::page))
        .route("/sweeps/{sweep}/trials.csv", get(sweep::csv))
        .route("/sweeps/{sweep}/curves.json", get(curves::of_sweep))
        .route("/sweeps/{sweep}/curves.csv", get(curves::csv_of_sweep))
        .route("/sweeps/{sweep}/curves.svg", get(curves::svg_of_sweep))
        .route("/sweeps/{sweep}/scatter.svg", get(scatter::svg))
        .route("/sweeps/{sweep}/scatter.csv", get(scatter::csv))
        .route("/sweeps/{sweep}/history.svg", get(history::svg))
        .route("/sweeps/{sweep}/history.csv", get(history::csv))
        .route("/sweeps/{sweep}/parallel.svg", get(sweep::parallel_svg))
        .route("/sweeps/{sweep}/definition", get(definition::page))
        .route("/sweeps/{sweep}/control", post(control::page))
        .route("/sweeps/{sweep}/trials/{trial}", get(trial::page))
        .route("/sweeps/{sweep}/trials/{trial}/curves.json", get(curves::of_trial))
        .route("/sweeps/{sweep}/trials/{trial}/curves.csv", get(curves::csv_of_trial))
        .route("/sweeps/{sweep}/trials/{trial}/curves.svg", get(curves::svg_of_trial))
        .route("/sweeps/{sweep}/trials/{trial}/landmarks", get(landmarks::page))
        .route("/sweeps/{sweep}/trials/{trial}/landmarks.csv", get(landmarks::csv))
        .route("/sweeps/{sweep}/trials/{trial}/picture", get(landmarks::picture))
        .route("/compare", get(compare::page))
        .layer(GlobalConcurrencyLimitLayer::new(REQUESTS));
    Router::new()
        .merge(pages)
        .route("/events", get(events::stream))
        .route("/assets/{name}", get(asset))
        .fallback(|| async { Refusal::Missing("There is no such page.".to_owned()) })
        .layer(CatchPanicLayer::new())
        .layer(from_fn_with_state(Arc::new(guarded), guard))
        .with_state(app)
}

/// Why a page is not shown.
pub(crate) enum Refusal {
    /// There is nothing of this name.
    Missing(String),
    /// It cannot be read or drawn.
    Failed(Error),
    /// The request is wrong.
    Wrong(String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::Missing(text) => (StatusCode::NOT_FOUND, "Not found", text),
            Self::Wrong(text) => (StatusCode::BAD_REQUEST, "Not possible", text),
            Self::Failed(error) => (StatusCode::INTERNAL_SERVER_ERROR, "Cannot be shown", error.to_string()),
        };
        let page = templates::refusal(title, &text);
        (status, [("content-type", "text/html; charset=utf-8")], Body::from(page)).into_response()
    }
}

type Answer = Result<Response, Refusal>;

impl App {
    /// A page from its template.
    fn page(&self, template: &str, context: Value) -> Answer {
        let failed = |e: minijinja::Error| Refusal::Failed(Error::results(format!("cannot write the page: {e:#}")));
        let text = self.templates.get_template(template).and_then(|page| page.render(context)).map_err(failed)?;
        Ok(([("content-type", "text/html; charset=utf-8")], text).into_response())
    }

    /// The sweep of this name.
    async fn sweep(&self, name: &str) -> Result<Arc<Sweep>, Refusal> {
        let none = || Refusal::Missing(format!("There is no sweep {name:?} in {}.", self.library.folder().display()));
        self.library.sweep(name).await.ok_or_else(none)
    }

    /// The records of a sweep that was there when its page was asked for.
    fn store(&self, name: &str) -> Result<Store, Refusal> {
        self.library.store(name).ok_or_else(|| Refusal::Missing("The sweep is gone.".to_owned()))
    }
}

/// Data as templates see it.
fn seen(data: impl Serialize) -> Value {
    Value::from(Serde(data))
}

/// Runs what reads files or computes where it holds up no other request.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let failed = |e: tokio::task::JoinError| Refusal::Failed(Error::results(format!("the page broke off: {e}")));
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

/// A name as that of a file.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' }).collect()
}

/// The address of a sweep's page.
fn sweep_address(sweep: &str) -> String {
    format!("/sweeps/{}", encoded(sweep))
}

/// The address of the news of a sweep since what the page shows.
fn events_address(sweep: &Sweep) -> String {
    format!("/events?sweep={}&since={}", encoded(&sweep.folder), sweep.version)
}

/// The address of a trial's page.
fn trial_address(sweep: &str, trial: &str) -> String {
    format!("/sweeps/{}/trials/{}", encoded(sweep), encoded(trial))
}
