//! `sweep data`: makes and imports data sets.

use crate::cli::{Data, Format};
use crate::data::phantom::PhantomSpec;
use crate::data::{Dataset, Split, folder, heatmap_folders};
use crate::error::{Error, Outcome, Result};

use super::say;

pub(super) fn run(command: &Data) -> Result<Outcome> {
    match command {
        Data::Synth { dir, train, val, height, width, seed } => {
            let spec = PhantomSpec { train: *train, val: *val, height: *height, width: *width, seed: *seed };
            spec.check().map_err(|e| Error { place: e.place.map(|key| format!("--{key}")), ..e })?;
            let dataset = spec.generate()?;
            folder::write(&dataset, dir)?;
            describe(&dataset)?;
        }
        Data::Import { format, source, out } => {
            let dataset = match format {
                Format::HeatmapFolders => heatmap_folders::import(source)?,
            };
            folder::write(&dataset, out)?;
            describe(&dataset)?;
        }
        Data::Formats => {
            say("folder           dataset.toml and a wide CSV: what sweeps read; nothing to import")?;
            say("heatmap-folders  train/ and val/ with 0img and a folder of heatmap PNGs per landmark")?;
        }
    }
    Ok(Outcome::Done)
}

fn describe(dataset: &Dataset) -> Result<()> {
    let (train, val) = (dataset.indices(Split::Train).len(), dataset.indices(Split::Val).len());
    say(&format!(
        "{}: {train} training and {val} validation images, {} landmarks",
        dataset.name,
        dataset.landmarks.len()
    ))?;
    if let Some(error) = dataset.mean_shape_error() {
        say(&format!("guessing the training set's mean shape: {:.2} mm", error.0))?;
    }
    Ok(())
}
