//! `sweep data`: makes, imports, exports and inspects data sets.

use std::path::Path;

use crate::cli::Data;
use sweep_core::error::{Error, Outcome, Result};
use sweep_data::phantom::PhantomSpec;
use sweep_data::{Dataset, Split, folder};

use super::{print_json, say};

mod cluster;
mod import;
mod inspect;
mod label;
mod overlay;

pub(super) fn run(command: &Data) -> Result<Outcome> {
    match command {
        Data::Synth { dir, train, val, test, height, width, seed } => {
            let spec =
                PhantomSpec { train: *train, val: *val, test: *test, height: *height, width: *width, seed: *seed };
            synth(&spec, dir)
        }
        Data::Import(flags) => import::run(flags),
        Data::Export { format, dir, out } => import::export(*format, dir, out),
        Data::Inspect(flags) => inspect::run(flags),
        Data::Cluster(flags) => cluster::run(flags),
        Data::Label(flags) => label::run(flags),
        Data::Formats { json } => import::formats(*json),
    }
}

fn synth(spec: &PhantomSpec, dir: &Path) -> Result<Outcome> {
    spec.check().map_err(|e| Error { location: e.location.map(|key| format!("--{key}")), ..e })?;
    let dataset = spec.generate()?;
    folder::write(&dataset, dir)?;
    describe(&dataset)?;
    Ok(Outcome::Done)
}

fn describe(dataset: &Dataset) -> Result<()> {
    let count = |split| dataset.indices(split).len();
    let (train, val) = (count(Split::Train), count(Split::Val));
    let test = match count(Split::Test) {
        0 => String::new(),
        test => format!(", {test} test"),
    };
    say(&format!(
        "{}: {train} training and {val} validation images{test}, {} landmarks",
        dataset.name,
        dataset.landmarks.len()
    ))?;
    if let Some(error) = dataset.observer_mre {
        say(&format!("one observer against the mean of two: {:.2} mm", error.0))?;
    }
    let unit = dataset.unit();
    if let Some(error) = dataset.mean_shape_error() {
        say(&format!("guessing the training set's mean shape: {error:.2} {unit}"))?;
    }
    if !unit.is_millimetres() {
        say(
            "the size of a pixel is not known: errors will be in pixels; `spacing_mm` in dataset.toml makes them millimetres",
        )?;
    }
    Ok(())
}
