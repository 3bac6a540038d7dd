//! A trial as pages show it, and how its folder is read.

use std::sync::Arc;

use sweep_analysis::TrialRecords;
use sweep_analysis::load::described;
use sweep_analysis::summary::TrialSummary;
use sweep_core::error::Error;
use sweep_experiment::records::{EpochRecord, State, TrialStatus};
use sweep_experiment::store::{EpochsMark, ModificationSnapshot, TrialStore};

use super::Columns;

/// State of a trial whose `status.json` cannot be read.
const ILLEGIBLE: &str = "illegible";

/// A trial at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// What describes it. Of its epochs only those that its summary needs.
    pub(crate) records: TrialRecords,
    /// Its key numbers.
    pub(crate) summary: TrialSummary,
    /// Its state in a word.
    pub(crate) state: &'static str,
    /// Whether its folder has been read.
    pub(crate) is_read: bool,
    /// Epochs read.
    pub(crate) epochs: usize,
    /// Its curves; without rows if they are not kept.
    pub(crate) columns: Arc<Columns>,
    /// What cannot be read, or what its process said last.
    pub(crate) problem: Option<String>,
    mark: EpochsMark,
    damage: Option<String>,
    snapshot: Option<ModificationSnapshot>,
}

/// Files that change with the progress of a trial.
const FILES: [&str; 4] = ["trial.toml", "status.json", "epochs.csv", ".lock"];

impl Trial {
    /// A trial that has not been read.
    pub(super) fn unread(id: &str) -> Self {
        let records = TrialRecords::new(id.to_owned(), 0, TrialStatus::pending(id));
        Self {
            summary: TrialSummary::of(&records),
            records,
            state: State::Pending.name(),
            is_read: false,
            epochs: 0,
            columns: Arc::default(),
            problem: None,
            mark: EpochsMark::default(),
            damage: None,
            snapshot: None,
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.records.id
    }

    /// Its values on the axes: the name of its configuration.
    pub(crate) fn configuration(&self) -> String {
        self.records.group()
    }

    /// The value on an axis; empty if it has none.
    pub(crate) fn on(&self, axis: &str) -> &str {
        self.records.axes.iter().find(|(key, _)| key == axis).map_or("", |(_, value)| value)
    }

    /// The trial as it is now; `None` if its files have not changed. `keeps_curves` says whether memory is left for its curves.
    pub(super) fn reread(&self, folder: &TrialStore, labelled: &[String], keeps_curves: bool) -> Option<Self> {
        let snapshot = folder.modification_snapshot(&FILES);
        let is_running = self.records.status.state == State::Running && self.state == State::Running.name();
        // The end of a process changes no file, so a running trial is looked at each time.
        let ended = || is_running && folder.trainer().is_ok_and(|trainer| trainer.is_none());
        if self.snapshot.as_ref() == Some(&snapshot) && !ended() {
            return None;
        }
        let mut next = Self { snapshot: Some(snapshot), is_read: true, problem: None, ..self.clone() };
        next.describe(folder, labelled);
        next.read_epochs(folder, keeps_curves);
        next.summary = TrialSummary::of(&next.records);
        Some(next)
    }

    fn describe(&mut self, folder: &TrialStore, labelled: &[String]) {
        let id = self.records.id.clone();
        let (status, unreadable) = match folder.status() {
            Ok(status) => (status, None),
            Err(error) => (TrialStatus::pending(&id), Some(in_a_line(&error))),
        };
        self.state = if unreadable.is_some() { ILLEGIBLE } else { status.state.name() };
        self.problem = unreadable.or_else(|| status.message.clone());
        if status.state == State::Running && folder.trainer().is_ok_and(|trainer| trainer.is_none()) {
            self.state = State::Interrupted.name();
            self.problem = Some("its process is gone; the next run goes on with it".to_owned());
        }
        let epochs = std::mem::take(&mut self.records.epochs);
        self.records = match folder.has_begun().then(|| folder.trial_file()) {
            Some(Ok(file)) => described(id, &file, status, labelled),
            Some(Err(error)) => {
                self.problem = Some(in_a_line(&error));
                TrialRecords::new(id, 0, status)
            }
            None => TrialRecords::new(id, 0, status),
        };
        self.records.images.clear();
        self.records.epochs = epochs;
    }

    fn read_epochs(&mut self, folder: &TrialStore, keeps_curves: bool) {
        match folder.epochs_since(&mut self.mark) {
            Ok(new) => {
                if new.anew {
                    (self.epochs, self.columns, self.damage) = (0, Arc::default(), None);
                    self.records.epochs.clear();
                }
                self.damage = new.damage.map(|error| in_a_line(&error)).or(self.damage.take());
                self.epochs += new.rows.len();
                if keeps_curves {
                    Arc::make_mut(&mut self.columns).extend(&new.rows);
                }
                self.records.epochs.extend(new.rows);
                let key = key_epochs(&self.records);
                self.records.epochs.retain(|epoch| key.contains(&Some(epoch.epoch)));
            }
            Err(error) => self.damage = Some(in_a_line(&error)),
        }
        if let Some(damage) = &self.damage {
            self.problem = Some(damage.clone());
        }
    }
}

/// The epochs that a summary reads: best by the objective, of least loss, last evaluated, last.
fn key_epochs(trial: &TrialRecords) -> [Option<u32>; 4] {
    let evaluated = trial.epochs.iter().rfind(|epoch| epoch.mre().is_finite());
    [trial.best_error(), trial.best_loss(), evaluated, trial.epochs.last()]
        .map(|at| at.map(|at: &EpochRecord| at.epoch))
}

/// An error in one line.
pub(super) fn in_a_line(error: &Error) -> String {
    let place = error.location.as_ref().map_or_else(String::new, |place| format!("{place}: "));
    format!("{place}{}", error.message)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use sweep_experiment::records::read_csv;

    /// An epoch of two seconds with this error.
    pub(crate) fn epoch(number: u32, mre: f64) -> EpochRecord {
        let header = "trial,seed,epoch,train_loss,val_loss,zero_loss,train_mre_mm,val_mre_mm,val_mre_px,val_sd_mm,\
                      val_median_mm,val_p95_mm,val_sdr_2mm,val_sdr_2_5mm,val_sdr_3mm,val_sdr_4mm,lr,images_per_second,seconds";
        let row = format!("t,0,{number},0.5,0.5,1,{mre},{mre},{mre},1,1,1,50,60,70,80,0.001,10,2");
        read_csv::<EpochRecord>(format!("{header}\n{row}\n").as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn the_kept_epochs_give_the_summary_of_all() {
        let mut trial = TrialRecords::new("t".into(), 0, TrialStatus::pending("t"));
        let noise = |n: u32| f64::from((n * 7919) % 101) / 10.0 + 1.0;
        for number in 1..200 {
            let unmeasured = number % 3 == 0;
            let of = |value: f64| if unmeasured { f64::NAN } else { value };
            let row = EpochRecord {
                val_loss: of(noise(number + 50)),
                val_mre_px: of(noise(number)),
                val_mre_mm: of(noise(number)),
                ..epoch(number, noise(number))
            };
            trial.epochs.push(row);
        }
        let all = format!("{:?}", TrialSummary::of(&trial));
        let key = key_epochs(&trial);
        trial.epochs.retain(|epoch| key.contains(&Some(epoch.epoch)));
        assert!(trial.epochs.len() <= 4);
        assert_eq!(format!("{:?}", TrialSummary::of(&trial)), all);
    }
}
