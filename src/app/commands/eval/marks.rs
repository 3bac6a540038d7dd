//! The same images as another observer marked them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::measure::Measured;
use super::task::Task;
use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size, Spacing};
use sweep_data::DatasetIndex;
use sweep_experiment::records::LandmarkRecord;

/// Landmarks of images, by the images' names.
pub(super) struct Marks {
    /// Name of the folder.
    pub(super) name: String,
    landmarks: Vec<String>,
    images: BTreeMap<String, (Size, Vec<Option<Point>>)>,
}

/// Images that are read at once.
const TOGETHER: usize = 16;

impl Marks {
    /// The landmarks of a task's images in another data-set folder, which has images of the same names.
    ///
    /// # Errors
    /// When it cannot be read, or has none of the images or of the landmarks.
    pub(super) fn read(folder: &Path, task: &Task) -> Result<Self> {
        let at = |e: Error| e.at(format!("--marks {}", folder.display()));
        let opened = DatasetIndex::untrained(folder)?;
        let names = task.opened.images();
        let evaluated: BTreeSet<&str> =
            task.images.iter().filter_map(|i| Some(names.get(i.index)?.0.as_str())).collect();
        let own = opened.images();
        let indices: Vec<usize> =
            own.iter().enumerate().filter(|(_, (name, _))| evaluated.contains(name.as_str())).map(|(i, _)| i).collect();
        if indices.is_empty() {
            let what = "it has none of the evaluated images";
            return Err(at(Error::input(what).remedy("name a folder whose images have the same names")));
        }
        let known = task.opened.landmarks();
        let landmarks = opened.landmarks();
        if !landmarks.iter().any(|name| known.contains(name)) {
            let what = "it has none of the evaluated landmarks";
            return Err(at(Error::input(what).remedy(format!("landmarks are matched by name: {}", known.join(", ")))));
        }
        let mut images = BTreeMap::new();
        for some in indices.chunks(TOGETHER) {
            for sample in opened.originals(some)? {
                images.insert(sample.image, (sample.size, sample.landmarks));
            }
        }
        let name = folder.file_name().map_or_else(|| opened.name(), |name| name.to_string_lossy().into_owned());
        Ok(Self { name, landmarks, images })
    }

    /// The predictions on the images as they are, held against these landmarks.
    ///
    /// # Errors
    /// When an image has another size here, so that its landmarks cannot be of the same picture.
    pub(super) fn of(&self, measured: &Measured) -> Result<Vec<LandmarkRecord>> {
        let index: BTreeMap<&str, usize> =
            self.landmarks.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        let mut records = Vec::new();
        for row in &measured.as_is.records {
            let Some((size, points)) = self.images.get(&row.image) else { continue };
            if measured.sizes.get(&row.image).is_some_and(|own| own != size) {
                let what =
                    format!("{} has {} × {} pixels here, and another size there", row.image, size.width, size.height);
                let remedy = "the folder must have the very images that are evaluated, with other landmarks";
                return Err(Error::input(what).at(format!("--marks {}", self.name)).remedy(remedy));
            }
            let truth = index.get(row.landmark.as_str()).and_then(|i| points.get(*i).copied().flatten());
            records.extend(truth.map(|truth| marked(row, truth)));
        }
        Ok(records)
    }
}

/// A prediction with another true position.
fn marked(row: &LandmarkRecord, truth: Point) -> LandmarkRecord {
    let predicted = Point { x: row.x_pred, y: row.y_pred };
    let spacing = Spacing { x: row.spacing_x_mm, y: row.spacing_y_mm };
    LandmarkRecord {
        x_true: truth.x,
        y_true: truth.y,
        error_px: truth.distance(predicted).0,
        error_mm: spacing.distance(truth, predicted).0,
        ..row.clone()
    }
}
