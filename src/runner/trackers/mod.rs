//! Trackers: TensorBoard and MLflow are told what the records say. The records are the truth and trackers a view of them,
//! so one way serves all: look at the trials' folders, find out what a tracker has, and bring it what is missing. That is
//! right while trials run, whoever runs them, after a kill, after a time without the tracker, and for sweeps of long ago.

mod mlflow;
mod snapshot;
mod tensorboard;
mod tracker_sync;
mod watch;

use std::path::Path;
use std::str::FromStr;

use self::mlflow::Mlflow;
use self::tensorboard::TensorBoard;
use self::tracker_sync::TrackerSync;
use sweep_core::error::{Error, Result};
use sweep_experiment::provenance;
use sweep_experiment::store::{LockResult, Store};

pub use watch::Tracking;

/// A tracker, as asked for on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Event files in the sweep's folder.
    TensorBoard,
    /// A tracking server at an address, or else where the environment says.
    Mlflow(Option<String>),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=').map_or((text, None), |(name, address)| (name, Some(address))) {
            ("tensorboard", None) => Ok(Self::TensorBoard),
            ("mlflow", address) => Ok(Self::Mlflow(address.map(str::to_owned))),
            _ => Err("use tensorboard, mlflow=URL, or mlflow where MLFLOW_TRACKING_URI is set".to_owned()),
        }
    }
}

/// Trackers of a sweep.
pub struct Trackers(Vec<TrackerSync>);

impl Trackers {
    /// Makes them ready; none is asked for anything yet.
    ///
    /// # Errors
    /// When an address is none.
    pub fn new(targets: &[Target], store: &Store) -> Result<Self> {
        let desk = |target: &Target| {
            Ok(match target {
                Target::TensorBoard => TrackerSync::new(Box::new(TensorBoard::at(&store.tensorboard()))),
                Target::Mlflow(address) => TrackerSync::new(Box::new(Mlflow::new(address.as_deref())?)),
            })
        };
        targets.iter().map(desk).collect::<Result<_>>().map(Self)
    }
}

/// Writes event files of a sweep that has run, or runs, into a folder.
///
/// # Errors
/// When records cannot be read or files not be written.
pub fn export_tensorboard(store: &Store, folder: &Path) -> Result<Exported> {
    export(store, TrackerSync::new(Box::new(TensorBoard::at(folder))))
}

/// Tells an MLflow server all of a sweep that it does not know: the server at an address, or else where the environment
/// says.
///
/// # Errors
/// When records cannot be read or the server does not take them.
pub fn export_mlflow(store: &Store, address: Option<&str>) -> Result<Exported> {
    export(store, TrackerSync::new(Box::new(Mlflow::new(address)?)))
}

/// What a tracker was told.
pub struct Exported {
    /// Trials that it knows now.
    pub trials: usize,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Brings a tracker up to date.
fn export(store: &Store, mut desk: TrackerSync) -> Result<Exported> {
    let _lock = match store.lock_tracking(&provenance::host()) {
        Ok(LockResult::Held(lock)) => Some(lock),
        Ok(LockResult::Busy(holder)) => {
            let who = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            return Err(Error::results(format!("{who} tells trackers of this sweep"))
                .at(store.root().display())
                .remedy("wait for it to end: what it has not told then, this command does"));
        }
        // A folder that cannot be written to is one that nobody else works on.
        Err(_) => None,
    };
    desk.pass(store, true)?;
    Ok(Exported { trials: desk.known(), notes: desk.notes() })
}
