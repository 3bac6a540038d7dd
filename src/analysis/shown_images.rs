//! Which file in a sweep's folder `images` shows a validation image.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::{Component, Path};

use image::RgbImage;

use sweep_experiment::records::LandmarkRecord;
use sweep_experiment::store::{Root, TrialFile, most};
use toml::Value;

use super::TrialRecords;

/// A validation image that a report may show. Images of one name in different data are different images.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShownImage {
    /// Its name in the records.
    pub name: String,
    /// Its file in the folder `images`.
    pub file: String,
}

impl TrialRecords {
    /// The file that shows an image of the trial's data, if there is one.
    #[must_use]
    pub fn shown_image(&self, name: &str) -> Option<ShownImage> {
        self.images.get(name).map(|file| ShownImage { name: name.to_owned(), file: file.clone() })
    }
}

/// The files of a trial of an earlier version, which named them by the image. Such a version did not notice that other data had
/// other images of the same names, so these are shown only where [`is_one_data_set`].
#[must_use]
pub fn by_name(landmarks: &[LandmarkRecord]) -> BTreeMap<String, String> {
    let is_plain = |name: &str| Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let names: BTreeSet<&String> = landmarks.iter().map(|row| &row.image).filter(|name| is_plain(name)).collect();
    names.into_iter().map(|name| (name.clone(), name.clone())).collect()
}

/// Whether these trials, all of a folder, were trained on one data set that did not change between them; folds of it may differ.
#[must_use]
pub fn is_one_data_set<'a>(all: impl IntoIterator<Item = &'a TrialFile>) -> bool {
    let (mut sources, mut hashes) = (BTreeSet::new(), BTreeMap::new());
    for file in all {
        let Some(Value::Table(dataset)) = file.config.get("dataset") else { return false };
        let mut source = dataset.clone();
        source.remove("fold");
        sources.insert(source.to_string());
        if *hashes.entry(dataset.to_string()).or_insert(&file.dataset_hash) != &file.dataset_hash {
            return false;
        }
    }
    sources.len() <= 1
}

/// The picture in this file of the folder `images`; `None` if it cannot be read, or is larger than any radiograph.
#[must_use]
pub fn picture(folder: &Root, file: &str) -> Option<RgbImage> {
    decoded(&folder.read(file, most::PICTURE).ok()?)
}

/// Width and height of the picture in this file, from its header alone; `None` where [`picture`] refuses it by them.
#[must_use]
pub fn picture_size(folder: &Root, file: &str) -> Option<(u32, u32)> {
    let bytes = folder.read(file, most::PICTURE).ok()?;
    let size = reader(&bytes)?.into_dimensions().ok()?;
    fits(size).then_some(size)
}

/// Most bytes that decoding one image may take: ten times what a large radiograph needs.
const DECODED: u64 = 256 << 20;

fn reader(bytes: &[u8]) -> Option<image::ImageReader<Cursor<&[u8]>>> {
    // The format is detected from the content: the extension may be that of the imported original.
    let mut reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(DECODED);
    reader.limits(limits);
    Some(reader)
}

/// Whether an image of this size in pixels can be shown. Grey images become three times as large.
fn fits((width, height): (u32, u32)) -> bool {
    u64::from(width) * u64::from(height) * 3 <= DECODED
}

fn decoded(bytes: &[u8]) -> Option<RgbImage> {
    let image = reader(bytes)?.decode().ok()?;
    fits((image.width(), image.height())).then(|| image.to_rgb8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_tells_the_size_of_the_picture() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Root::at(scratch.path());
        let mut bytes = Cursor::new(Vec::new());
        image::GrayImage::new(30, 20).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        let bytes = bytes.into_inner();
        folder.write("whole.png", &bytes).unwrap();
        // Of a picture that is cut off, the size is known all the same.
        folder.write("cut.png", &bytes[..bytes.len() - 20]).unwrap();
        folder.write("none.png", b"no picture").unwrap();
        assert_eq!(picture_size(&folder, "whole.png"), Some((30, 20)));
        assert_eq!(picture(&folder, "whole.png").map(|picture| picture.dimensions()), Some((30, 20)));
        assert_eq!(picture_size(&folder, "cut.png"), Some((30, 20)));
        assert_eq!((picture_size(&folder, "none.png"), picture_size(&folder, "absent.png")), (None, None));
    }

    fn file(hash: &str, dataset: &str) -> TrialFile {
        let text =
            format!("trial = 't'\ndataset_hash = '{hash}'\naxes = []\nconfig = {{ seed = 0, dataset = {dataset} }}");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn names_mean_an_image_only_where_all_data_are_one() {
        let rows = |name: &str| {
            let header = "trial,seed,epoch,selected,image,landmark,x_true,y_true,x_pred,y_pred,error_px,error_mm";
            let text = format!("{header}\nt,0,1,last,{name},sella,1,1,1,1,0,0\n");
            sweep_experiment::records::read_csv::<LandmarkRecord>(text.as_bytes()).unwrap()
        };
        let folder = |path: &str, more: &str| format!("{{ name = 'folder', path = '{path}'{more} }}");
        let shown = |all: &[TrialFile], name: &str| if is_one_data_set(all) { by_name(&rows(name)).len() } else { 0 };
        let same = [file("a", &folder("x", "")), file("a", &folder("x", ""))];
        assert_eq!(shown(&same, "1.png"), 1);
        let folds = [file("a", &folder("x", ", fold = 0")), file("b", &folder("x", ", fold = 1"))];
        assert_eq!(shown(&folds, "sub/1.png"), 1);
        let changed = [file("a", &folder("x", "")), file("b", &folder("x", ""))];
        assert_eq!(shown(&changed, "1.png"), 0);
        let two = [file("a", &folder("x", "")), file("b", &folder("y", ""))];
        assert_eq!(shown(&two, "1.png"), 0);
        assert_eq!((shown(&same, "../1.png"), shown(&same, "/1.png")), (0, 0));
    }
}
