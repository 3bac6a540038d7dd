//! News of changes as server-sent events: pages that hear them load what they show again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{App, Parameters, Shared};

/// Most streams at once. Pages beyond these ask again later by themselves.
const STREAMS: usize = 256;
static FREE: std::sync::LazyLock<Arc<Semaphore>> = std::sync::LazyLock::new(|| Arc::new(Semaphore::new(STREAMS)));
/// From a change to its news.
const PACE: Duration = Duration::from_millis(300);

struct Stream {
    app: Arc<App>,
    sweep: Option<String>,
    changes: watch::Receiver<u64>,
    known: u64,
    _permit: OwnedSemaphorePermit,
}

/// A stream of the versions of a sweep, or of all of them together.
pub(super) async fn stream(State(app): Shared, Query(query): Parameters) -> Response {
    let Ok(permit) = Arc::clone(&FREE).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "30")]).into_response();
    };
    let sweep = query.get("sweep").cloned();
    let changes = app.library.changes();
    let since = query.get("since").and_then(|since| since.parse().ok());
    let known = since.or_else(|| version(&app, sweep.as_deref())).unwrap_or_default();
    let start = Stream { app, sweep, changes, known, _permit: permit };
    let events = unfold(start, |mut stream| async {
        loop {
            let now = version(&stream.app, stream.sweep.as_deref())?;
            if now != stream.known {
                stream.known = now;
                let event = Event::default().event("change").data(now.to_string());
                return Some((Ok::<_, Infallible>(event), stream));
            }
            stream.changes.changed().await.ok()?;
            // What changes within this time is told at once.
            tokio::time::sleep(PACE).await;
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

fn version(app: &App, sweep: Option<&str>) -> Option<u64> {
    match sweep {
        Some(sweep) => Some(app.library.at_once(sweep)?.version),
        None => Some(app.library.total_version()),
    }
}
