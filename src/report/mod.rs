//! From records to pictures: charts and overlays as PNG, and a short report that embeds them.
//!
//! Every picture is a pure function from records to bytes; only this file reads images and writes files.

mod canvas;
mod chart;
mod curves;
mod scale;
mod series;
#[cfg(test)]
mod synthetic;

use std::path::{Path, PathBuf};

pub use curves::curves;

use crate::analysis::TrialRecords;
use crate::error::{Error, Result};

/// What the analysis found in a trial's curves and the charts shall show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// Epoch from which the validation loss rises while the training loss falls.
    pub overfit_onset: Option<u32>,
}

/// Writes `curves.png` of a trial into `directory`; the files written.
///
/// # Errors
/// When a picture cannot be drawn or written.
pub fn write_trial(trial: &TrialRecords, _images: &Path, directory: &Path) -> Result<Vec<PathBuf>> {
    Ok(vec![save(directory, "curves.png", &curves(trial, Marks::default())?)?])
}

/// Writes a file whole or not at all: under a name of its own first, then renamed.
fn save(directory: &Path, name: &str, content: &[u8]) -> Result<PathBuf> {
    let path = directory.join(name);
    let partial = directory.join(format!(".{name}.partial"));
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&partial, content))
        .and_then(|()| std::fs::rename(&partial, &path))
        .map_err(|e| {
            Error::results(format!("cannot write the report: {e}"))
                .at(path.display())
                .remedy("make the folder writable and repeat `sweep report`")
        })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{Shape, colours, sweep, trial};

    #[test]
    fn curves_survive_every_shape_of_records() {
        for shape in Shape::ALL {
            let png = curves(&trial(shape, 0, 0), Marks { overfit_onset: Some(5) }).unwrap();
            let picture = image::load_from_memory(&png).unwrap().to_rgb8();
            assert_eq!(picture.width(), 1600, "{shape:?}");
            assert!(colours(&picture) > 50, "{shape:?} is blank");
        }
    }

    #[test]
    fn trials_pictures_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let target = std::env::var_os("LANDMARK_SWEEP_PICTURES").map_or(directory.path().to_owned(), PathBuf::from);
        let sweep = sweep(2, 3, Shape::Realistic);
        for trial in &sweep.trials {
            let files = write_trial(trial, Path::new("nowhere"), &target.join(&trial.id)).unwrap();
            assert!(files.iter().all(|f| f.exists()));
        }
    }
}
