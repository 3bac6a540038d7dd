//! Images of an import with their landmarks drawn, to see whether they lie where they belong.

use std::path::Path;

use sweep_core::error::Result;
use sweep_data::import::{self, ParsedDataset};
use sweep_data::{Dataset, Sample};
use sweep_experiment::store;

use super::say;
use crate::overlay::{self, NamedLandmark};

/// Number of images.
const IMAGES: usize = 3;

/// Draws the first, the middle and the last image into a folder.
pub(super) fn draw(parsed: &ParsedDataset, dataset: &Dataset, folder: &Path) -> Result<()> {
    let last = dataset.samples.len().saturating_sub(1);
    let mut indices: Vec<usize> = (0..IMAGES).map(|k| k * last / (IMAGES - 1)).collect();
    indices.dedup();
    for sample in indices.into_iter().filter_map(|index| dataset.samples.get(index)) {
        let Some(image) = import::read_image(parsed, &sample.image)? else { continue };
        let file = folder.join(sample.image.replace('/', "-"));
        store::write(&file, &drawn(&image, &dataset.landmarks)?)?;
        say(&format!("drawn: {}", file.display()))?;
    }
    Ok(())
}

/// The image with its landmarks; PNG.
fn drawn(sample: &Sample, names: &[String]) -> Result<Vec<u8>> {
    let marks = names.iter().zip(&sample.landmarks).filter_map(|(name, point)| {
        point.map(|point| NamedLandmark { name: name.clone(), x: point.x, y: point.y, radii: None })
    });
    overlay::overlay(sample.size, &sample.pixels, &marks.collect::<Vec<_>>())
}
