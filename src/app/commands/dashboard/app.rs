//! State of the dashboard and its reaction to keys. Pure: no terminal, no files.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use sweep_experiment::records::{EpochRecord, State};

use crate::status::StatusLine;

/// State of a sweep at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    /// Name of its folder.
    pub(super) sweep: String,
    pub(super) trials: Vec<StatusLine>,
    /// Number of trials by state, time left, and the process that runs the sweep.
    pub(super) overview: String,
    /// Further remarks; empty if there are none.
    pub(super) note: String,
    pub(super) runs: bool,
    pub(super) paused: bool,
    pub(super) stopping: bool,
    pub(super) load: String,
}

/// Epochs and log of one trial.
#[derive(Debug, Clone, Default)]
pub(super) struct Detail {
    pub(super) trial: String,
    pub(super) epochs: Vec<EpochRecord>,
    /// Last lines of its log.
    pub(super) log: Vec<String>,
}

/// A request that the dashboard itself cannot fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UserRequest {
    Leave,
    Pause,
    Continue,
    Stop,
    Retry(String),
}

/// Number of updates after which a notice makes way for the list of keys.
const NOTICE_UPDATES: u32 = 6;

/// The dashboard.
#[derive(Debug, Default)]
pub(super) struct App {
    pub(super) snapshot: Snapshot,
    pub(super) detail: Detail,
    /// Index of the selected trial.
    pub(super) selected: usize,
    /// Whether the user selected it; otherwise the first running trial is selected.
    selected_by_user: bool,
    /// Whether the question "stop the sweep?" awaits its answer.
    pub(super) confirming_stop: bool,
    /// Result of the last key, and the number of updates since.
    pub(super) notice: String,
    notice_age: u32,
    /// Rows of a page, as last drawn.
    pub(super) page: usize,
}

impl App {
    /// Replaces the snapshot; the selected trial stays selected, wherever it now is in the list.
    pub(super) fn update(&mut self, snapshot: Snapshot) {
        self.notice_age += 1;
        if self.notice_age > NOTICE_UPDATES {
            self.notice.clear();
        }
        let before = self.trial().map(str::to_owned);
        self.snapshot = snapshot;
        let trials = &self.snapshot.trials;
        let runs = || trials.iter().position(|line| line.state == State::Running.name());
        let same = || trials.iter().position(|line| Some(&line.trial) == before.as_ref());
        let found = if self.selected_by_user { same() } else { runs().or_else(same) };
        self.selected = found.unwrap_or(self.selected).min(trials.len().saturating_sub(1));
    }

    /// Id of the selected trial.
    pub(super) fn trial(&self) -> Option<&str> {
        self.snapshot.trials.get(self.selected).map(|line| line.trial.as_str())
    }

    /// Reacts to a key; returns the request that it stands for, if any.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<UserRequest> {
        self.notice.clear();
        self.notice_age = 0;
        let interrupts = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
        if std::mem::take(&mut self.confirming_stop) && !interrupts {
            return (key.code == KeyCode::Char('y')).then_some(UserRequest::Stop);
        }
        match key.code {
            _ if interrupts => return Some(UserRequest::Leave),
            KeyCode::Char('q') | KeyCode::Esc => return Some(UserRequest::Leave),
            KeyCode::Up | KeyCode::Char('k') => self.move_selection(-1),
            KeyCode::Down | KeyCode::Char('j') => self.move_selection(1),
            KeyCode::PageUp => self.move_selection(-(self.page.max(1) as isize)),
            KeyCode::PageDown => self.move_selection(self.page.max(1) as isize),
            KeyCode::Home | KeyCode::Char('g') => self.move_selection(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.move_selection(isize::MAX),
            KeyCode::Char('p' | 's' | 'r') if !self.snapshot.runs => {
                self.notice =
                    "nobody runs this sweep: start it with sweep run, with --retry-failed for what failed".into();
            }
            KeyCode::Char('p') => {
                return Some(if self.snapshot.paused { UserRequest::Continue } else { UserRequest::Pause });
            }
            KeyCode::Char('s') => self.confirming_stop = true,
            KeyCode::Char('r') => return self.retry(),
            _ => {}
        }
        None
    }

    fn retry(&mut self) -> Option<UserRequest> {
        let line = self.snapshot.trials.get(self.selected)?;
        let failed = State::ALL.iter().any(|state| state.name() == line.state && state.is_failure());
        if failed {
            return Some(UserRequest::Retry(line.trial.clone()));
        }
        self.notice = format!("{} is {}: only what failed is tried again", line.trial, line.state);
        None
    }

    fn move_selection(&mut self, by: isize) {
        self.selected_by_user = true;
        let last = self.snapshot.trials.len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
        if by == isize::MIN {
            self.selected = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(states: &[State], runs: bool) -> App {
        let line = |(i, state): (usize, &State)| StatusLine {
            trial: format!("t{i}"),
            state: state.name(),
            ..StatusLine::default()
        };
        let trials = states.iter().enumerate().map(line).collect();
        let mut app = App { page: 3, ..App::default() };
        app.update(Snapshot { trials, runs, ..Snapshot::default() });
        app
    }

    fn press(app: &mut App, code: KeyCode) -> Option<UserRequest> {
        app.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn the_first_running_trial_is_selected_until_the_user_selects_one() {
        let mut shown = app(&[State::Done, State::Running, State::Pending], true);
        assert_eq!(shown.trial(), Some("t1"));
        press(&mut shown, KeyCode::Down);
        assert_eq!(shown.trial(), Some("t2"));
        // One more trial in front of it.
        let mut more = shown.snapshot.clone();
        more.trials
            .insert(0, StatusLine { trial: "new".into(), state: State::Running.name(), ..StatusLine::default() });
        shown.update(more);
        assert_eq!(shown.trial(), Some("t2"));
        for (code, index) in [
            (KeyCode::Home, 0),
            (KeyCode::Up, 0),
            (KeyCode::PageDown, 3),
            (KeyCode::End, 3),
            (KeyCode::Down, 3),
            (KeyCode::PageUp, 0),
        ] {
            press(&mut shown, code);
            assert_eq!(shown.selected, index, "{code:?}");
        }
        shown.update(Snapshot::default());
        assert_eq!(shown.trial(), None);
        press(&mut shown, KeyCode::Down);
    }

    #[test]
    fn keys_become_requests_if_the_sweep_runs() {
        let mut run = app(&[State::Running, State::Failed], true);
        assert_eq!(press(&mut run, KeyCode::Char('p')), Some(UserRequest::Pause));
        run.snapshot.paused = true;
        assert_eq!(press(&mut run, KeyCode::Char('p')), Some(UserRequest::Continue));
        assert_eq!(press(&mut run, KeyCode::Char('r')), None);
        assert!(run.notice.contains("t0 is running"));
        press(&mut run, KeyCode::Down);
        assert_eq!(press(&mut run, KeyCode::Char('r')), Some(UserRequest::Retry("t1".into())));
        // A stop needs a confirmation.
        assert_eq!(press(&mut run, KeyCode::Char('s')), None);
        assert_eq!(press(&mut run, KeyCode::Char('n')), None);
        press(&mut run, KeyCode::Char('s'));
        assert_eq!(press(&mut run, KeyCode::Char('y')), Some(UserRequest::Stop));
        assert_eq!(press(&mut run, KeyCode::Char('q')), Some(UserRequest::Leave));
        run.confirming_stop = true;
        assert_eq!(run.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(UserRequest::Leave));

        let mut idle = app(&[State::Failed], false);
        for key in ['p', 's', 'r'] {
            assert_eq!(press(&mut idle, KeyCode::Char(key)), None);
            assert!(idle.notice.contains("--retry-failed"));
        }
    }
}
