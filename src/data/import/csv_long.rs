//! Plain CSV with a row per landmark: `image,landmark,x,y`, and perhaps `split`, `patient` and spacing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sweep_core::error::{Error, Result};

use super::cells::{Cells, CommonColumns, line};
use super::csv_wide::{FRAME, header_of};
use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name, position, split_in};
use super::tree::Tree;
use super::{Importer, Options};

pub(super) const IMPORTER: Importer = Importer {
    name: "csv-long",
    reads: "CSV files, `image,landmark,x,y` a row per landmark; also `split`, `patient` and spacing as in `csv`",
    loses: "other columns",
    recognizes: |tree| tree.annotations("csv").iter().any(|file| is_long(tree, file)),
    read,
};

const NAME: [&str; 7] = ["landmark", "label", "name", "point", "keypoint", "landmark_name", "symbol"];

fn is_long(tree: &Tree, file: &Path) -> bool {
    header_of(tree, file).is_some_and(|cells| Columns::find(&cells).is_ok())
}

struct Columns {
    name: usize,
    x: usize,
    y: usize,
}

impl Columns {
    fn find(cells: &Cells) -> Result<Self> {
        let need = |names: &[&str], what: &str| {
            cells.column(names).ok_or_else(|| {
                Error::input(format!("there is no column `{what}`"))
                    .at(line(1))
                    .remedy("the columns are image,landmark,x,y")
            })
        };
        Ok(Self { name: need(&NAME, "landmark")?, x: need(&["x"], "x")?, y: need(&["y"], "y")? })
    }
}

fn read(tree: &Tree, _: &Options) -> Result<ParsedDataset> {
    let files: Vec<&Path> = tree.annotations("csv").into_iter().filter(|file| is_long(tree, file)).collect();
    if files.is_empty() {
        return Err(Error::input("there is no such CSV file").remedy("its header is image,landmark,x,y"));
    }
    let mut reading = Reading::default();
    for file in &files {
        reading.file(tree, file).map_err(|e| e.at(tree.path(file).display()))?;
    }
    let count = reading.landmarks.len();
    reading.records.iter_mut().for_each(|record| record.landmarks.resize(count, None));
    let (landmarks, records) = (reading.landmarks, reading.records);
    Ok(ParsedDataset { name: tree.name(), landmarks, observer_mre: None, records, notes: Vec::new() })
}

/// Content of the rows read so far.
#[derive(Default)]
struct Reading {
    /// In the order they first appear.
    landmarks: Vec<String>,
    indices: BTreeMap<String, usize>,
    records: Vec<Record>,
    images: BTreeMap<PathBuf, usize>,
    /// Where a landmark of an image was said.
    lines: BTreeMap<(usize, usize), u64>,
}

impl Reading {
    fn file(&mut self, tree: &Tree, file: &Path) -> Result<()> {
        let cells = Cells::read(&tree.text(file)?)?;
        let (common, columns) = (CommonColumns::find(&cells)?, Columns::find(&cells)?);
        let folder = file.parent().unwrap_or(Path::new(""));
        for (number, row) in &cells.rows {
            let at = |e: Error| e.at(line(*number));
            let image = tree.find(folder, row.get(common.image).unwrap_or_default());
            let image = image.map_err(|e| at(e.at(cells.column_label(common.image))))?;
            let fields = common.fields(&cells, row).map_err(at)?;
            let split = fields.split.or_else(|| split_in(file)).or_else(|| split_in(&image));
            let record = *self.images.entry(image.clone()).or_insert_with(|| {
                let location = format!("{}: {}", tree.path(file).display(), line(*number));
                self.records.push(Record {
                    split,
                    patient: fields.patient.clone(),
                    spacing: fields.spacing,
                    frame: FRAME,
                    ..Record::new(&image, PixelSource::File(tree.path(&image)), Vec::new(), location)
                });
                self.records.len() - 1
            });
            let before = &self.records[record];
            if (before.split, &before.patient, before.spacing) != (split, &fields.patient, fields.spacing) {
                return Err(at(Error::input(format!("split, patient or spacing differ from {}", before.location))
                    .remedy("say the same in every row of an image")));
            }
            let name = landmark_name(row.get(columns.name).unwrap_or_default()).map_err(at)?;
            let landmark = *self.indices.entry(name.clone()).or_insert_with(|| {
                self.landmarks.push(name.clone());
                self.landmarks.len() - 1
            });
            if let Some(before) = self.lines.insert((record, landmark), *number) {
                return Err(at(Error::input(format!("landmark {name} of this image stands in line {before} already"))
                    .remedy("keep one row per landmark and image")));
            }
            let point = match (cells.number(row, columns.x).map_err(at)?, cells.number(row, columns.y).map_err(at)?) {
                (Some(x), Some(y)) => Some(position(x, y).map_err(at)?),
                (None, None) => None,
                _ => return Err(at(Error::input(format!("landmark {name} has one coordinate")).remedy("write both"))),
            };
            let landmarks = &mut self.records[record].landmarks;
            landmarks.resize(self.landmarks.len().max(landmarks.len()), None);
            landmarks[landmark] = point;
        }
        Ok(())
    }
}
