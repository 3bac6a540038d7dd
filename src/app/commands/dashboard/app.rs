//! What the dashboard shows and what keys do to that. Pure: knows nothing of terminals and files.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use sweep_experiment::records::{EpochRecord, State};

use super::super::status::Line;

/// What is known of a sweep at a moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    /// Name of its folder.
    pub(super) sweep: String,
    pub(super) trials: Vec<Line>,
    /// Counts of states, time left, who runs it.
    pub(super) outlook: String,
    /// What else there is to say; empty where nothing is.
    pub(super) note: String,
    pub(super) runs: bool,
    pub(super) paused: bool,
    pub(super) stopping: bool,
    pub(super) load: String,
}

/// What is known of one trial.
#[derive(Debug, Clone, Default)]
pub(super) struct Detail {
    pub(super) trial: String,
    pub(super) epochs: Vec<EpochRecord>,
    /// Last lines of its log.
    pub(super) log: Vec<String>,
}

/// What a key asks of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Leave,
    Pause,
    GoOn,
    Stop,
    Retry(String),
}

/// Updates after which what was said makes room for the keys.
const LASTS: u32 = 6;

/// The dashboard.
#[derive(Debug, Default)]
pub(super) struct App {
    pub(super) snapshot: Snapshot,
    pub(super) detail: Detail,
    /// Place of the chosen trial.
    pub(super) chosen: usize,
    /// Whether the user chose it, or it is the first that runs.
    by_hand: bool,
    /// Whether an answer is awaited: stop the sweep?
    pub(super) asks: bool,
    /// What a key came to, and how many updates it has stood there.
    pub(super) said: String,
    age: u32,
    /// Rows of a page, as drawn last.
    pub(super) page: usize,
}

impl App {
    /// Takes in what is known now; the chosen trial stays chosen, wherever it stands.
    pub(super) fn update(&mut self, snapshot: Snapshot) {
        self.age += 1;
        if self.age > LASTS {
            self.said.clear();
        }
        let before = self.trial().map(str::to_owned);
        self.snapshot = snapshot;
        let trials = &self.snapshot.trials;
        let runs = || trials.iter().position(|line| line.state == State::Running.name());
        let same = || trials.iter().position(|line| Some(&line.trial) == before.as_ref());
        let found = if self.by_hand { same() } else { runs().or_else(same) };
        self.chosen = found.unwrap_or(self.chosen).min(trials.len().saturating_sub(1));
    }

    /// The chosen trial.
    pub(super) fn trial(&self) -> Option<&str> {
        self.snapshot.trials.get(self.chosen).map(|line| line.trial.as_str())
    }

    /// What a key does here, and what it asks of others.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Wanted> {
        self.said.clear();
        self.age = 0;
        let ends = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
        if std::mem::take(&mut self.asks) && !ends {
            return (key.code == KeyCode::Char('y')).then_some(Wanted::Stop);
        }
        match key.code {
            _ if ends => return Some(Wanted::Leave),
            KeyCode::Char('q') | KeyCode::Esc => return Some(Wanted::Leave),
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::PageUp => self.go(-(self.page.max(1) as isize)),
            KeyCode::PageDown => self.go(self.page.max(1) as isize),
            KeyCode::Home | KeyCode::Char('g') => self.go(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.go(isize::MAX),
            KeyCode::Char('p' | 's' | 'r') if !self.snapshot.runs => {
                self.said =
                    "nobody runs this sweep: start it with sweep run, with --retry-failed for what failed".into();
            }
            KeyCode::Char('p') => {
                return Some(if self.snapshot.paused { Wanted::GoOn } else { Wanted::Pause });
            }
            KeyCode::Char('s') => self.asks = true,
            KeyCode::Char('r') => return self.retry(),
            _ => {}
        }
        None
    }

    fn retry(&mut self) -> Option<Wanted> {
        let line = self.snapshot.trials.get(self.chosen)?;
        let failed = State::ALL.iter().any(|state| state.name() == line.state && state.is_failure());
        if failed {
            return Some(Wanted::Retry(line.trial.clone()));
        }
        self.said = format!("{} is {}: only what failed is tried again", line.trial, line.state);
        None
    }

    fn go(&mut self, by: isize) {
        self.by_hand = true;
        let last = self.snapshot.trials.len().saturating_sub(1);
        self.chosen = self.chosen.saturating_add_signed(by).min(last);
        if by == isize::MIN {
            self.chosen = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(states: &[State], runs: bool) -> App {
        let line =
            |(i, state): (usize, &State)| Line { trial: format!("t{i}"), state: state.name(), ..Line::default() };
        let trials = states.iter().enumerate().map(line).collect();
        let mut app = App { page: 3, ..App::default() };
        app.update(Snapshot { trials, runs, ..Snapshot::default() });
        app
    }

    fn press(app: &mut App, code: KeyCode) -> Option<Wanted> {
        app.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn the_first_that_runs_is_chosen_until_somebody_chooses() {
        let mut shown = app(&[State::Done, State::Running, State::Pending], true);
        assert_eq!(shown.trial(), Some("t1"));
        press(&mut shown, KeyCode::Down);
        assert_eq!(shown.trial(), Some("t2"));
        // A trial more in front of it.
        let mut more = shown.snapshot.clone();
        more.trials.insert(0, Line { trial: "new".into(), state: State::Running.name(), ..Line::default() });
        shown.update(more);
        assert_eq!(shown.trial(), Some("t2"));
        for (code, place) in [
            (KeyCode::Home, 0),
            (KeyCode::Up, 0),
            (KeyCode::PageDown, 3),
            (KeyCode::End, 3),
            (KeyCode::Down, 3),
            (KeyCode::PageUp, 0),
        ] {
            press(&mut shown, code);
            assert_eq!(shown.chosen, place, "{code:?}");
        }
        shown.update(Snapshot::default());
        assert_eq!(shown.trial(), None);
        press(&mut shown, KeyCode::Down);
    }

    #[test]
    fn keys_ask_the_runner_where_there_is_one() {
        let mut run = app(&[State::Running, State::Failed], true);
        assert_eq!(press(&mut run, KeyCode::Char('p')), Some(Wanted::Pause));
        run.snapshot.paused = true;
        assert_eq!(press(&mut run, KeyCode::Char('p')), Some(Wanted::GoOn));
        assert_eq!(press(&mut run, KeyCode::Char('r')), None);
        assert!(run.said.contains("t0 is running"));
        press(&mut run, KeyCode::Down);
        assert_eq!(press(&mut run, KeyCode::Char('r')), Some(Wanted::Retry("t1".into())));
        // A stop is asked twice.
        assert_eq!(press(&mut run, KeyCode::Char('s')), None);
        assert_eq!(press(&mut run, KeyCode::Char('n')), None);
        press(&mut run, KeyCode::Char('s'));
        assert_eq!(press(&mut run, KeyCode::Char('y')), Some(Wanted::Stop));
        assert_eq!(press(&mut run, KeyCode::Char('q')), Some(Wanted::Leave));
        run.asks = true;
        assert_eq!(run.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Wanted::Leave));

        let mut idle = app(&[State::Failed], false);
        for key in ['p', 's', 'r'] {
            assert_eq!(press(&mut idle, KeyCode::Char(key)), None);
            assert!(idle.said.contains("--retry-failed"));
        }
    }
}
