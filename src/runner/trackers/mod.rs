//! Trackers: TensorBoard and MLflow receive a copy of the records. The records are the source of truth, so one procedure
//! serves all cases: read the trials' folders, determine what a tracker has, and send what is missing. It works while trials
//! run, whoever runs them, after a kill, after an outage of the tracker, and for old sweeps.

mod background;
mod mlflow;
mod snapshot;
mod tensorboard;
mod tracker_sync;

use std::path::Path;
use std::str::FromStr;

use self::mlflow::Mlflow;
use self::tensorboard::TensorBoard;
use self::tracker_sync::TrackerSync;
use sweep_core::error::{Error, Result};
use sweep_experiment::provenance;
use sweep_experiment::store::{LockResult, Root, Store};

pub use background::Tracking;

/// A tracker, as specified on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackerSpec {
    /// Event files in the sweep's folder.
    TensorBoard,
    /// A tracking server at an address, by default that of the environment.
    Mlflow(Option<String>),
}

/// Declares the names of trackers. Variants are matched exhaustively, one an arm: a new one does not compile without a name,
/// and tests look for each name wherever users do.
macro_rules! names {
    ($($variant:pat_param => $name:literal),+ $(,)?) => {
        impl TrackerSpec {
            /// Names of all trackers on the command line.
            pub const NAMES: [&str; [$($name),+].len()] = [$($name),+];

            /// Name on the command line.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $($variant => $name,)+
                }
            }
        }
    };
}

names! {
    Self::TensorBoard => "tensorboard",
    Self::Mlflow(_) => "mlflow",
}

impl FromStr for TrackerSpec {
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
    /// Prepares trackers, which receive pictures of patients if `images`; no request is sent yet.
    ///
    /// # Errors
    /// When an address is invalid.
    pub fn new(specs: &[TrackerSpec], store: &Store, images: bool) -> Result<Self> {
        let sync = |spec: &TrackerSpec| {
            Ok(match spec {
                TrackerSpec::TensorBoard => TrackerSync::new(Box::new(TensorBoard::new(&store.tensorboard())), images),
                TrackerSpec::Mlflow(address) => TrackerSync::new(Box::new(Mlflow::new(address.as_deref())?), images),
            })
        };
        specs.iter().map(sync).collect::<Result<_>>().map(Self)
    }
}

/// Writes the event files of a sweep into a folder, with pictures of patients if `images`; the sweep may be running.
///
/// # Errors
/// When records cannot be read or files cannot be written.
pub fn export_tensorboard(store: &Store, folder: &Path, images: bool) -> Result<Exported> {
    export(store, TrackerSync::new(Box::new(TensorBoard::new(&Root::at(folder))), images))
}

/// Sends what an MLflow server lacks of a sweep, with pictures of patients if `images`. The server's address is by default that of the environment.
///
/// # Errors
/// When records cannot be read or the server does not accept them.
pub fn export_mlflow(store: &Store, address: Option<&str>, images: bool) -> Result<Exported> {
    export(store, TrackerSync::new(Box::new(Mlflow::new(address)?), images))
}

/// Result of an export.
pub struct Exported {
    /// Trials that the tracker has.
    pub trials: usize,
    /// Notices for the user.
    pub notes: Vec<String>,
}

/// Brings a tracker up to date.
fn export(store: &Store, mut sync: TrackerSync) -> Result<Exported> {
    let _lock = match store.lock_tracking(&provenance::host()) {
        Ok(LockResult::Held(lock)) => Some(lock),
        Ok(LockResult::Busy(holder)) => {
            let who = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            return Err(Error::results(format!("{who} tells trackers of this sweep"))
                .at(store.root().display())
                .remedy("wait for it to end; then this command sends the rest"));
        }
        // If the folder is read-only, no other process can be exporting from it.
        Err(_) => None,
    };
    sync.pass(store, true)?;
    Ok(Exported { trials: sync.known(), notes: sync.notes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tracker_is_read_from_its_name() {
        for name in TrackerSpec::NAMES {
            assert_eq!(name.parse::<TrackerSpec>().unwrap().name(), name);
            assert!("other".parse::<TrackerSpec>().unwrap_err().contains(name), "{name}");
        }
    }
}
