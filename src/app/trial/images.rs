//! Validation images that are copied to the results, because reports and pages are drawn from records alone: the first ones of a
//! data set, which all trials show, and those on which a trial errs most.

use std::collections::BTreeMap;
use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use sweep_analysis::TrialRecords;
use sweep_core::error::Result;
use sweep_data::channels::rgb;
use sweep_data::{Split, short_hash};
use sweep_experiment::store::Root;
use sweep_planning::config::TrialConfig;
use sweep_training::train::Data;

/// Number of images that are copied before the training, and of those after it.
const EACH: usize = 6;
/// Greatest number of images in the folder to which a trial adds its worst: a radiograph takes a few megabytes.
const MOST: usize = 60;

/// Copies the first validation images. Returns the files by the images' names; `before` are those of an earlier attempt.
pub(super) fn first(
    config: &TrialConfig,
    data: &Data,
    before: &BTreeMap<String, String>,
    folder: &Root,
) -> Result<BTreeMap<String, String>> {
    if !before.is_empty() && before.values().all(|file| folder.has_file(file)) {
        return Ok(before.clone());
    }
    let mut indices = data.dataset.indices(Split::Val);
    indices.truncate(EACH);
    copy(config, &indices, folder, usize::MAX)
}

/// Copies the validation images of the greatest mean error at the trial's best epoch, the worst first, as long as there is room.
/// Returns the files by the images' names.
pub(super) fn worst(
    config: &TrialConfig,
    data: &Data,
    records: &TrialRecords,
    folder: &Root,
) -> Result<BTreeMap<String, String>> {
    let mut errors: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    let selected = records.landmarks.iter().filter(|row| row.selected == records.selection());
    for row in selected.filter(|row| row.error().is_finite()) {
        let (sum, count) = errors.entry(&row.image).or_default();
        (*sum, *count) = (*sum + row.error(), *count + 1.0);
    }
    let mean = |index: &usize| {
        let (sum, count) = errors.get(data.dataset.samples[*index].image.as_str())?;
        Some((sum / count, *index))
    };
    let mut worst: Vec<(f64, usize)> = data.dataset.indices(Split::Val).iter().filter_map(mean).collect();
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    let indices: Vec<usize> = worst.into_iter().take(EACH).map(|(_, index)| index).collect();
    copy(config, &indices, folder, MOST)
}

/// Copies images into the folder while it has fewer files than `most`. Files are named by what they show: other data may have
/// other images of the same names.
fn copy(config: &TrialConfig, indices: &[usize], folder: &Root, most: usize) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for sample in config.dataset.open()?.originals(indices)? {
        let mut hasher = blake3::Hasher::new();
        for side in [sample.size.height, sample.size.width] {
            hasher.update(&(side as u64).to_le_bytes());
        }
        let file = format!("{}.png", short_hash(&hasher.update(&sample.pixels).finalize()));
        if !folder.has_file(&file) {
            if folder.files()?.len() >= most {
                continue;
            }
            let (width, height) = (sample.size.width as u32, sample.size.height as u32);
            let image = if sample.pixels.len() > sample.size.area() {
                RgbImage::from_raw(width, height, rgb(&sample.pixels, sample.size.area())).map(DynamicImage::ImageRgb8)
            } else {
                GrayImage::from_raw(width, height, sample.pixels).map(DynamicImage::ImageLuma8)
            };
            let mut bytes = Cursor::new(Vec::new());
            let encoded = image.map(|image| image.write_to(&mut bytes, ImageFormat::Png));
            let Some(Ok(())) = encoded else { continue };
            folder.write(&file, bytes.get_ref())?;
        }
        files.insert(sample.image, file);
    }
    Ok(files)
}
