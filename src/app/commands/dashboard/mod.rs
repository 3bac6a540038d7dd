//! `sweep status --watch` on a terminal: `scan` reads the folder again and again in a thread of its own, `app` is what is
//! shown and what keys do, `draw` how it looks. Leaving it stops nothing: whoever runs the sweep does not know of it but
//! by files in `control/`.

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
use app::{App, Detail, Snapshot, Wanted};
use scan::Scanner;
use sweep_core::error::{Error, Outcome, Result};
use sweep_experiment::store::{ControlRequest, Store};

/// Between two looks at the folder.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at what came in.
const TICK: Duration = Duration::from_millis(100);

/// What the thread that reads is told, and what it tells.
struct Reader {
    chosen: Sender<Option<String>>,
    seen: Receiver<Result<(Snapshot, Detail)>>,
}

/// Shows a sweep until its user leaves; what cannot be read at first is an error.
pub(super) fn watch(folder: &Path) -> Result<Outcome> {
    let store = Store::at(folder);
    let mut scanner = Scanner::new(&store);
    let mut app = App::default();
    app.update(scanner.look()?);
    let reader = read(scanner);
    // Asked to end, it leaves the terminal as it was.
    let signal = stop_flag()?;
    // Its own restores the terminal after a panic too.
    let mut terminal = ratatui::try_init().map_err(broken)?;
    let ended = show(&mut terminal, &mut app, &reader, &store, &signal);
    ratatui::try_restore().map_err(broken)?;
    ended.map(|()| Outcome::Done)
}

#[expect(clippy::needless_pass_by_value, reason = "of map_err")]
fn broken(e: std::io::Error) -> Error {
    Error::results(format!("cannot use the terminal: {e}"))
        .remedy("use sweep status --watch --quiet, which prints lines")
}

/// Starts reading; ends when nobody listens any more.
fn read(mut scanner: Scanner) -> Reader {
    let (chosen, choice) = channel::<Option<String>>();
    let (tell, seen) = channel();
    std::thread::spawn(move || {
        let mut trial = None;
        loop {
            let looked = scanner.look().map(|snapshot| {
                let detail = trial.as_deref().map(|trial| scanner.detail(trial)).unwrap_or_default();
                (snapshot, detail)
            });
            if tell.send(looked).is_err() {
                return;
            }
            // Another trial is chosen: at once.
            match choice.recv_timeout(LOOK) {
                Ok(next) => trial = choice.try_iter().last().unwrap_or(next),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    Reader { chosen, seen }
}

fn show(terminal: &mut DefaultTerminal, app: &mut App, reader: &Reader, store: &Store, signal: &Signal) -> Result<()> {
    let mut told = None;
    while signal.load(Ordering::Relaxed) == 0 {
        let trial = app.trial().map(str::to_owned);
        if trial != told {
            // Whether it still reads is seen from what comes in.
            let _ = reader.chosen.send(trial.clone());
            told = trial;
        }
        for seen in reader.seen.try_iter() {
            match seen {
                Ok((snapshot, detail)) => {
                    app.update(snapshot);
                    app.detail = detail;
                }
                // The folder may be back in a moment.
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
            Some(Wanted::Leave) => return Ok(()),
            Some(wanted) => app.said = ask(store, app, &wanted).unwrap_or_else(|error| error.to_string()),
        }
    }
    Ok(())
}

/// Leaves word for the runner; what to tell the user.
fn ask(store: &Store, app: &mut App, wanted: &Wanted) -> Result<String> {
    let control = store.control();
    Ok(match wanted {
        Wanted::Leave => String::new(),
        Wanted::Pause => {
            control.submit(&ControlRequest::Pause)?;
            app.snapshot.paused = true;
            "paused: trials finish their step and save; p goes on exactly there".to_owned()
        }
        Wanted::GoOn => {
            control.cancel(&ControlRequest::Pause)?;
            app.snapshot.paused = false;
            "going on".to_owned()
        }
        Wanted::Stop => {
            control.submit(&ControlRequest::Stop)?;
            app.snapshot.stopping = true;
            "stopping: trials finish their step and save; sweep run goes on there".to_owned()
        }
        Wanted::Retry(trial) => {
            control.submit(&ControlRequest::Retry(trial.clone()))?;
            format!("{trial} will be trained again")
        }
    })
}
