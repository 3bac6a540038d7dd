//! Pose estimators' JSON, of which each file belongs to the image of the same name.

use std::path::{Path, PathBuf};

use sweep_core::error::{Error, Result};

use super::tree::Tree;

/// Of images that estimators read.
const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff"];

/// The image of a file `NAME.json`, or `NAMESUFFIX.json`: beside it, or the only one of that name.
pub(super) fn image_of(tree: &Tree, file: &Path, suffix: &str) -> Result<PathBuf> {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = stem.strip_suffix(suffix).unwrap_or(&stem);
    let folder = file.parent().unwrap_or(Path::new(""));
    let beside = ENDINGS.iter().flat_map(|ending| [(*ending).to_owned(), ending.to_uppercase()]);
    let beside = beside.map(|ending| folder.join(format!("{name}.{ending}")));
    if let Some(one) = beside.into_iter().find(|path| tree.has(path)) {
        return Ok(one);
    }
    tree.find(folder, name).map_err(|e| {
        let error = Error::input(format!("the image of this file: {}", e.message));
        error.remedy(e.remedy.unwrap_or_else(|| format!("put the image {name}.png (or .jpg, …) beside it")))
    })
}

/// A position of a point that an estimator found, or none where it found none.
pub(super) fn found(x: Option<f64>, y: Option<f64>, score: Option<f64>) -> Result<Option<(f64, f64)>> {
    match (x, y, score) {
        // OpenPose writes 0, 0, 0 for what it does not find.
        (_, _, Some(0.0)) | (None, None, _) => Ok(None),
        (Some(x), Some(y), _) => Ok(Some((x, y))),
        _ => Err(Error::input("only one of x and y is a number")),
    }
}
