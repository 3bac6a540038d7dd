//! TensorBoard: event files in a folder per trial. Training and validation are runs of their own, so that TensorBoard overlays
//! their curves with the same tag, for example `loss`.

mod event;
mod file;
mod record;

use self::event::Event;
use super::snapshot::Snapshot;
use super::tracker_sync::{Sweep, Tracker};
use sweep_core::error::{Error, Result};
use sweep_experiment::metric::{METRICS, Run};
use sweep_experiment::records::EpochRecord;
use sweep_experiment::store::Root;

/// Writes event files into a folder.
#[derive(Debug)]
pub(super) struct TensorBoard {
    root: Root,
}

impl TensorBoard {
    pub(super) fn new(root: &Root) -> Self {
        Self { root: root.clone() }
    }
}

impl Tracker for TensorBoard {
    /// Updates a trial's event files to its records.
    fn trial(&mut self, sweep: &Sweep<'_>, trial: &Snapshot) -> Result<()> {
        let folder = self.root.folder(&trial.id);
        let times = trial.wall_times();
        let begun = times.first().map_or(trial.status.live.written as f64, |(begun, _)| *begun);
        let version = || std::iter::once((begun, Event::version()));
        let epochs = |run: Run| {
            let times = trial.epochs.iter().zip(&times);
            let values = times.map(move |(epoch, (_, ended))| (epoch, *ended, scalars(run, epoch)));
            values.filter(|(.., scalars)| !scalars.is_empty())
        };
        let event =
            |(epoch, ended, scalars): (&EpochRecord, f64, Vec<_>)| (ended, Event::scalars(epoch.epoch, &scalars));

        let mut trial_events: Vec<(f64, Event)> = version().collect();
        let config = toml::to_string(&trial.file.config).map_err(|e| Error::results(e.to_string()))?;
        let values = trial.axes().map(|(axis, value)| (axis.as_str(), value.as_str()));
        let seed = trial.file.seed().to_string();
        trial_events.push((begun, Event::begins(&trial.id, values.chain([("seed", seed.as_str())]))));
        trial_events.push((begun, Event::text("configuration", &format!("```toml\n{config}```"))));
        let mut best = trial.best_so_far().into_iter();
        trial_events.extend(epochs(Run::Trial).map(|(epoch, ended, mut scalars)| {
            scalars.extend(best.next().flatten().into_iter().flatten());
            event((epoch, ended, scalars))
        }));
        if trial.status.state.is_settled() {
            let ended = trial.status.live.written as f64;
            let overlay = if sweep.images { trial.overlay()? } else { None };
            if let Some(png) = overlay {
                let last = trial.epochs.last().map_or(0, |epoch| epoch.epoch);
                trial_events.extend(size_of(&png).map(|size| (ended, Event::image(last, "overlay", size, &png))));
            }
            trial_events.push((ended, Event::ends(trial.status.state)));
        }
        file::write_events(&folder, &trial_events)?;
        file::write_events(
            &folder.folder("train"),
            &version().chain(epochs(Run::Train).map(event)).collect::<Vec<_>>(),
        )?;
        file::write_events(&folder.folder("val"), &version().chain(epochs(Run::Val).map(event)).collect::<Vec<_>>())
    }
}

/// The tags and values of an epoch in a run of TensorBoard. Metrics that the epoch does not have are left
/// out.
fn scalars(run: Run, epoch: &EpochRecord) -> Vec<(&'static str, f64)> {
    let of_run = METRICS.iter().filter(|metric| metric.run == run && metric.is_known(epoch));
    of_run.map(|metric| (metric.tag, (metric.value)(epoch))).collect()
}

/// Width and height of a PNG image; `None` if it is not valid.
fn size_of(png: &[u8]) -> Option<(u32, u32)> {
    image::ImageReader::with_format(std::io::Cursor::new(png), image::ImageFormat::Png).into_dimensions().ok()
}
