//! ImageJ's Results table: a row per point with columns X and Y, of many images (column `Label`) or of one.
//!
//! Origin: pixels' centres (`Roi.useLineSubpixelConvention` of github.com/imagej/ImageJ is true for points). Half pixel: none.
//! Orientation: the stored picture; "Invert Y coordinates" of Set Measurements counts upwards (`--y-up`). The table is in the
//! image's calibrated unit and does not say which: whole numbers are pixels, otherwise `--unit` must say it. Names: none, so 1,
//! 2, … as points are ordered in an image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sweep_core::error::{Error, Result};

use super::cells::{Cells, line};
use super::parsed::{ParsedDataset, PixelSource, Record, position};
use super::tree::Tree;
use super::{Frame, Importer, Options, Origin};

/// ImageJ opens pictures as they are stored and ignores EXIF.
const FRAME: Frame = Frame::Stored;

pub(super) const IMPORTER: Importer = Importer {
    name: "imagej",
    reads: "ImageJ's Results (.csv, .txt, .tsv, .xls of text) with X, Y and Label, or one table an image of the same name; \
            landmarks are called 1, 2, … in each image; `--unit px` or `mm` where positions have fractions",
    loses: "other measurements (named)",
    origin: Origin::Centre,
    leaves_origin: false,
    has_categories: false,
    is_table: false,
    recognizes: |tree| tables(tree).iter().any(|file| is_results(tree, file)),
    read,
};

fn tables(tree: &Tree) -> Vec<&Path> {
    ["csv", "txt", "tsv", "xls"].iter().flat_map(|ending| tree.annotations(ending)).collect()
}

/// Whether the header is a number's column without a name, and X and Y.
fn is_results(tree: &Tree, file: &Path) -> bool {
    let Ok(head) = tree.head(file) else { return false };
    let Some(first) = head.lines().next() else { return false };
    let Ok(cells) = Cells::read(first) else { return false };
    let is_counted = cells.header.first().is_some_and(String::is_empty);
    let has = |name: &str| cells.header.iter().any(|column| column == name);
    has("X") && has("Y") && (is_counted || has("Label") || has("Counter"))
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let files: Vec<&Path> = tables(tree).into_iter().filter(|file| is_results(tree, file)).collect();
    if files.is_empty() {
        return Err(Error::input("there is no Results table").remedy("its columns are Label, X and Y"));
    }
    let mut records: Vec<Record> = Vec::new();
    let mut images: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let (mut has_fractions, mut notes) = (false, Vec::new());
    for file in files {
        let at = |e: Error| e.at(tree.path(file).display());
        let cells = Cells::read(&tree.text(file)?).map_err(at)?;
        let need = |name: &str| cells.header.iter().position(|column| column == name);
        let (Some(x), Some(y)) = (need("X"), need("Y")) else { continue };
        let label = need("Label");
        let others: Vec<&str> =
            cells.header.iter().map(String::as_str).filter(|c| !["", "X", "Y", "Label"].contains(c)).collect();
        if !others.is_empty() {
            notes.push(format!("{}: columns that are not read: {}", file.display(), others.join(", ")));
        }
        for (number, row) in &cells.rows {
            let at = |e: Error| at(e.at(line(*number)));
            let image = image_of(tree, file, label.and_then(|column| row.get(column))).map_err(at);
            let Some(image) = tree.keep(image)? else { continue };
            let point = match (cells.number(row, x).map_err(at)?, cells.number(row, y).map_err(at)?) {
                (Some(x), Some(y)) => Some(position(x, y).map_err(at)?),
                _ => None,
            };
            has_fractions |= point.is_some_and(|point| point.x.fract().abs() + point.y.fract().abs() > 0.0);
            let record = *images.entry(image.clone()).or_insert_with(|| {
                let location = format!("{}: {}", tree.path(file).display(), line(*number));
                records.push(Record {
                    split: tree.split(file, &image),
                    frame: FRAME,
                    first: options.origin.unwrap_or(IMPORTER.origin).first(),
                    ..Record::new(&image, PixelSource::File(tree.path(&image)), Vec::new(), location)
                });
                records.len() - 1
            });
            records[record].landmarks.push(point);
        }
    }
    if has_fractions && options.unit.is_none() {
        return Err(Error::input(
            "positions have fractions, and the table does not say whether they are pixels or millimetres",
        )
        .remedy("say it: --unit px, or --unit mm with --spacing of the image's scale in ImageJ"));
    }
    let count = records.iter().map(|record| record.landmarks.len()).max().unwrap_or(0);
    if let Some(other) = records.iter().find(|record| record.landmarks.len() != count) {
        return Err(Error::input(format!("{} points, but other images have {count}", other.landmarks.len()))
            .at(&other.location)
            .remedy("points have no names: mark the same ones in the same order on every image"));
    }
    let landmarks = (1..=count).map(|number| number.to_string()).collect();
    Ok(ParsedDataset { name: tree.name(), landmarks, observer_mre: None, records, notes })
}

/// The image of a row: as its label says, which may go on with `:` and a selection, or of the table's name.
fn image_of(tree: &Tree, file: &Path, label: Option<&str>) -> Result<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let Some(label) = label.filter(|label| !label.is_empty()) else {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // ImageJ proposes `Results.csv`, and people write `001_results.csv`.
        let split = stem.len().saturating_sub("results".len());
        let plain = match (stem.get(..split), stem.get(split..)) {
            (Some(rest), Some(end)) if end.eq_ignore_ascii_case("results") => rest.trim_end_matches(['_', '-', ' ']),
            _ => &stem,
        };
        return tree
            .find(folder, plain)
            .map_err(|e| e.remedy("call the table as its image, or save it with the column Label"));
    };
    match label.split_once(':') {
        Some((image, _)) if image.len() > 1 => tree.find(folder, image),
        _ => tree.find(folder, label),
    }
}
