//! `sweep status --watch` on a terminal: `scan` reads the folder again and again in its own thread, `app` holds the state
//! and reacts to keys, and `draw` draws it. Leaving the dashboard stops nothing: it reaches the process that runs the
//! sweep by files in `control/` alone.

mod app;
mod draw;
mod scan;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use super::signals::{Signal, stop_flag};
use app::{App, Detail, Snapshot, UserRequest};
use scan::Scanner;
use sweep_core::error::{Error, Outcome, Result};
use sweep_experiment::store::{ControlRequest, Store};

/// Time between two reads of the folder.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two draws while no key is pressed.
const TICK: Duration = Duration::from_millis(100);

/// Channels to the thread that reads the folder.
struct Reader {
    selected: Sender<Option<String>>,
    snapshots: Receiver<Result<(Snapshot, Detail)>>,
}

/// Shows a sweep until the user leaves.
///
/// # Errors
/// When the folder cannot be read at first, or the terminal cannot be used. Later read errors are shown instead.
pub(super) fn watch(folder: &Path) -> Result<Outcome> {
    let store = Store::at(folder);
    let mut scanner = Scanner::new(&store);
    let mut app = App::default();
    app.update(scanner.snapshot()?);
    let reader = read(scanner);
    // A signal ends the loop, so that the terminal is restored.
    let signal = stop_flag()?;
    // `try_init` restores the terminal after a panic too.
    let mut terminal = ratatui::try_init().map_err(broken)?;
    let ended = show(&mut terminal, &mut app, &reader, &store, &signal);
    ratatui::try_restore().map_err(broken)?;
    ended.map(|()| Outcome::Done)
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn broken(e: std::io::Error) -> Error {
    Error::results(format!("cannot use the terminal: {e}"))
        .remedy("use sweep status --watch --quiet, which prints lines")
}

/// Starts the thread that reads; it ends when the receiver is dropped.
fn read(mut scanner: Scanner) -> Reader {
    let (selected, selections) = channel::<Option<String>>();
    let (sender, snapshots) = channel();
    std::thread::spawn(move || {
        let mut trial = None;
        loop {
            let read = scanner.snapshot().map(|snapshot| {
                let detail = trial.as_deref().map(|trial| scanner.detail(trial)).unwrap_or_default();
                (snapshot, detail)
            });
            if sender.send(read).is_err() {
                return;
            }
            // A new selection is read at once.
            match selections.recv_timeout(SCAN_INTERVAL) {
                Ok(next) => trial = selections.try_iter().last().unwrap_or(next),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    Reader { selected, snapshots }
}

fn show(terminal: &mut DefaultTerminal, app: &mut App, reader: &Reader, store: &Store, signal: &Signal) -> Result<()> {
    let mut sent = None;
    while signal.load(Ordering::Relaxed) == 0 {
        let trial = app.trial().map(str::to_owned);
        if trial != sent {
            // A failed send means that the thread has ended, which the snapshots show.
            let _ = reader.selected.send(trial.clone());
            sent = trial;
        }
        for read in reader.snapshots.try_iter() {
            match read {
                Ok((snapshot, detail)) => {
                    app.update(snapshot);
                    app.detail = detail;
                }
                // The folder may be readable again in a moment.
                Err(error) => app.snapshot.note = error.to_string(),
            }
        }
        terminal.draw(|frame| draw::draw(frame, app)).map_err(broken)?;
        if !event::poll(TICK).map_err(broken)? {
            continue;
        }
        let Event::Key(key) = event::read().map_err(broken)? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match app.key(key) {
            None => {}
            Some(UserRequest::Leave) => return Ok(()),
            Some(request) => app.notice = submit(store, app, &request).unwrap_or_else(|error| error.to_string()),
        }
    }
    Ok(())
}

/// Submits a request to the process that runs the sweep; returns the notice for the user.
fn submit(store: &Store, app: &mut App, request: &UserRequest) -> Result<String> {
    let control = store.control();
    Ok(match request {
        UserRequest::Leave => String::new(),
        UserRequest::Pause => {
            control.submit(&ControlRequest::Pause)?;
            app.snapshot.paused = true;
            "paused: trials finish their step and save; p goes on exactly there".to_owned()
        }
        UserRequest::Continue => {
            control.cancel(&ControlRequest::Pause)?;
            app.snapshot.paused = false;
            "going on".to_owned()
        }
        UserRequest::Stop => {
            control.submit(&ControlRequest::Stop)?;
            app.snapshot.stopping = true;
            "stopping: trials finish their step and save; sweep run goes on there".to_owned()
        }
        UserRequest::Retry(trial) => {
            control.submit(&ControlRequest::Retry(trial.clone()))?;
            format!("{trial} will be trained again")
        }
    })
}
