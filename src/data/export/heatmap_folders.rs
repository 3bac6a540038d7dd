//! Heatmap folders: `SPLIT/0img` with grey PNG images, and a folder of heatmaps, `255·exp(−d·(|x−x₀|+|y−y₀|))`, per
//! landmark.

use std::path::{Component, Path};

use super::Exporter;
use crate::dataset::{Dataset, Sample, first_repeated};
use crate::folder;
use crate::import::heatmap_folders::{IMAGES, ISBI_NAMES};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size};

pub(super) const EXPORTER: Exporter = Exporter {
    name: "heatmap-folders",
    writes: "`SPLIT/0img/*.png` and `SPLIT/LANDMARK/*.png`, heatmaps 255·exp(−d·(∣dx∣+∣dy∣)), d = 0.00483 at a height of \
             800; black where a landmark is missing; ISBI 2015's first ten landmarks as 101 to 110",
    loses: "spacing, patients, landmarks' order, name, observers' error, `normalise`, `grey`, `inspect`; positions to some hundredths of a pixel, at a border to half a pixel",
    check,
    image,
    annotations: |_, _| Ok(()),
};

/// The published heatmaps' decay, per pixel of an image 800 pixels high.
const DECAY: f64 = 0.00483;

/// Whether landmarks can be folders.
fn check(dataset: &Dataset) -> Result<()> {
    let folders = folders(&dataset.landmarks);
    for name in &folders {
        let mut parts = Path::new(name).components();
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        if !plain || name == IMAGES {
            return Err(Error::input(format!("landmark `{name}` cannot be the name of a folder"))
                .remedy("rename it in the header of landmarks.csv"));
        }
    }
    // Some disks take these for one.
    let lower: Vec<String> = folders.iter().map(|name| name.to_lowercase()).collect();
    match first_repeated(lower.iter().map(String::as_str)) {
        Some(name) => Err(Error::input(format!("two landmarks' folders would be called `{name}`"))),
        None => Ok(()),
    }
}

fn folders(landmarks: &[String]) -> Vec<String> {
    if landmarks == ISBI_NAMES { (101..=110).map(|n| n.to_string()).collect() } else { landmarks.to_vec() }
}

fn image(dir: &Path, names: &[String], sample: &Sample, _: &Path) -> Result<()> {
    let flat = sample.image.replace(['/', '\\'], "-");
    let name = Path::new(&flat).with_extension("png");
    let split = dir.join(sample.split.name());
    let path = split.join(IMAGES).join(&name);
    if path.exists() {
        return Err(Error::input(format!("two images would be called `{}`", name.display()))
            .at(&sample.image)
            .remedy("rename one of them"));
    }
    folder::write_image(&path, sample)?;
    for (folder, point) in folders(names).iter().zip(&sample.landmarks) {
        let pixels = point.map_or_else(|| vec![0; sample.size.area()], |p| heatmap(p, sample.size));
        folder::write_grey(&split.join(folder).join(&name), sample.size, &pixels)?;
    }
    Ok(())
}

fn heatmap(p: Point, size: Size) -> Vec<u8> {
    let decay = DECAY * 800.0 / size.height as f64;
    let grey = |x: usize, y: usize| 255.0 * (-decay * ((x as f64 - p.x).abs() + (y as f64 - p.y).abs())).exp();
    (0..size.height).flat_map(|y| (0..size.width).map(move |x| grey(x, y) as u8)).collect()
}
