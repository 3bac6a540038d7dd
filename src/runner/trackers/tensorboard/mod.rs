//! TensorBoard: event files in a folder per trial, with runs of their own for training and validation, so that numbers of
//! one name, as `loss`, are drawn over one another.

mod event;
mod file;
mod record;

use std::path::{Path, PathBuf};

use self::event::Event;
use super::snapshot::{Snapshot, is_evaluated};
use super::tracker_sync::{Sweep, Tracker};
use sweep_core::error::{Error, Result};
use sweep_experiment::records::EpochRecord;

/// Where event files go.
#[derive(Debug)]
pub(super) struct TensorBoard {
    root: PathBuf,
}

impl TensorBoard {
    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

impl Tracker for TensorBoard {
    /// Has a trial's event files hold what its records say.
    fn trial(&mut self, _sweep: &Sweep<'_>, trial: &Snapshot) -> Result<()> {
        let folder = self.root.join(&trial.id);
        let run = trial.wall_times();
        let begun = run.first().map_or(trial.status.live.written as f64, |(begun, _)| *begun);
        let version = || std::iter::once((begun, Event::version()));
        let epochs = |scalars: fn(&EpochRecord) -> Vec<(&'static str, f64)>| {
            let numbers = trial.epochs.iter().zip(&run).map(move |(epoch, (_, ended))| (epoch, *ended, scalars(epoch)));
            numbers.filter(|(.., scalars)| !scalars.is_empty())
        };
        let event =
            |(epoch, ended, scalars): (&EpochRecord, f64, Vec<_>)| (ended, Event::scalars(epoch.epoch, &scalars));

        let mut of_trial: Vec<(f64, Event)> = version().collect();
        let config = toml::to_string(&trial.file.config).map_err(|e| Error::results(e.to_string()))?;
        let values = trial.axes().map(|(axis, value)| (axis.as_str(), value.as_str()));
        let seed = trial.file.seed().to_string();
        of_trial.push((begun, Event::begins(&trial.id, values.chain([("seed", seed.as_str())]))));
        of_trial.push((begun, Event::text("configuration", &format!("```toml\n{config}```"))));
        let mut best = trial.best_so_far().into_iter();
        of_trial.extend(epochs(of_running).map(|(epoch, ended, mut scalars)| {
            scalars.extend(best.next().flatten().into_iter().flatten());
            event((epoch, ended, scalars))
        }));
        if trial.status.state.is_settled() {
            let ended = trial.status.live.written as f64;
            if let Some(png) = trial.overlay()? {
                let last = trial.epochs.last().map_or(0, |epoch| epoch.epoch);
                of_trial.extend(size_of(&png).map(|size| (ended, Event::picture(last, "overlay", size, &png))));
            }
            of_trial.push((ended, Event::ends(trial.status.state)));
        }
        file::bring(&folder, &of_trial)?;
        file::bring(&folder.join("train"), &version().chain(epochs(of_training).map(event)).collect::<Vec<_>>())?;
        file::bring(&folder.join("val"), &version().chain(epochs(of_validation).map(event)).collect::<Vec<_>>())
    }
}

fn of_running(epoch: &EpochRecord) -> Vec<(&'static str, f64)> {
    vec![
        ("optimizer/lr", epoch.lr),
        ("speed/images_per_second", epoch.images_per_second),
        ("speed/seconds_per_epoch", epoch.seconds),
    ]
}

fn of_training(epoch: &EpochRecord) -> Vec<(&'static str, f64)> {
    let error = is_evaluated(epoch).then_some(("landmark_error/mre_mm", epoch.train_mre_mm));
    std::iter::once(("loss", epoch.train_loss)).chain(error).collect()
}

fn of_validation(epoch: &EpochRecord) -> Vec<(&'static str, f64)> {
    if !is_evaluated(epoch) {
        return Vec::new();
    }
    vec![
        ("loss", epoch.val_loss),
        ("loss/of_zeros", epoch.zero_loss),
        ("landmark_error/mre_mm", epoch.val_mre_mm),
        ("landmark_error/mre_px", epoch.val_mre_px),
        ("landmark_error/sd_mm", epoch.val_sd_mm),
        ("landmark_error/median_mm", epoch.val_median_mm),
        ("landmark_error/p95_mm", epoch.val_p95_mm),
        ("sdr/2mm", epoch.val_sdr_2mm),
        ("sdr/2_5mm", epoch.val_sdr_2_5mm),
        ("sdr/3mm", epoch.val_sdr_3mm),
        ("sdr/4mm", epoch.val_sdr_4mm),
    ]
}

/// Width and height of a picture in PNG; none of what is no such picture.
fn size_of(png: &[u8]) -> Option<(u32, u32)> {
    image::ImageReader::with_format(std::io::Cursor::new(png), image::ImageFormat::Png).into_dimensions().ok()
}
