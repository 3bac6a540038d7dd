//! Plain CSV with a row per landmark: `image,landmark,x,y`, and perhaps `split`, `patient`, spacing and visibility.
//!
//! Origin: pixels' centres (`--origin` says otherwise). Visibility: `visible`, `visibility` or `v` of 0, or `missing` of 1, makes
//! a landmark missing; `occluded` is hidden but marked, and so is not read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use sweep_core::error::{Error, Result};

use super::cells::{Cells, CommonColumns, CommonFields, line};
use super::coordinates::{ABSENT, VISIBLE, is_invisible};
use super::csv_wide::{FRAME, header_of, unread};
use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name, position};
use super::tree::Tree;
use super::{Importer, Options, Origin};

pub(super) const IMPORTER: Importer = Importer {
    name: "csv-long",
    reads: "CSV files, `image,landmark,x,y` a row per landmark; also `split`, `patient` and spacing as in `csv`, `visible` or \
            `v` (0 is missing) or `missing` (1)",
    loses: "other columns (named)",
    origin: Origin::Centre,
    leaves_origin: true,
    has_categories: false,
    is_table: true,
    recognizes: |tree| tree.annotations("csv").iter().any(|file| is_long(tree, file)),
    read,
};

const NAME: [&str; 7] = ["landmark", "label", "name", "point", "keypoint", "landmark_name", "symbol"];
const X: [&str; 5] = ["x", "x_px", "x_pixel", "pos_x", "x_coordinate"];
const Y: [&str; 5] = ["y", "y_px", "y_pixel", "pos_y", "y_coordinate"];

/// Whether a table has a row per landmark.
pub(super) fn is_long(tree: &Tree, file: &Path) -> bool {
    header_of(tree, file).is_some_and(|cells| Columns::find(&cells).is_ok())
}

struct Columns {
    name: usize,
    x: usize,
    y: usize,
    visible: Option<usize>,
    absent: Option<usize>,
}

impl Columns {
    fn find(cells: &Cells) -> Result<Self> {
        let need = |names: &[&str], what: &str| {
            cells.column(names).ok_or_else(|| {
                Error::input(format!("there is no column `{what}`")).at(line(1)).remedy(
                    "the columns are image,landmark,x,y; --columns says which they are, for example landmark=POINT",
                )
            })
        };
        Ok(Self {
            name: need(&NAME, "landmark")?,
            x: need(&X, "x")?,
            y: need(&Y, "y")?,
            visible: cells.column(&VISIBLE),
            absent: cells.column(&ABSENT),
        })
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        [Some(self.name), Some(self.x), Some(self.y), self.visible, self.absent].into_iter().flatten()
    }
}

fn read(tree: &Tree, _: &Options) -> Result<ParsedDataset> {
    let files: Vec<&Path> = tree.annotations("csv").into_iter().filter(|file| is_long(tree, file)).collect();
    read_files(tree, &files)
}

/// Reads such files as one data set.
pub(super) fn read_files(tree: &Tree, files: &[&Path]) -> Result<ParsedDataset> {
    if files.is_empty() {
        return Err(Error::input("there is no such CSV file")
            .remedy("its header is image,landmark,x,y; --columns says what columns of other names are"));
    }
    let mut reading = Reading::default();
    for file in files {
        reading.file(tree, file).map_err(|e| e.at(tree.path(file).display()))?;
    }
    let count = reading.landmarks.len();
    reading.records.iter_mut().for_each(|record| record.landmarks.resize(count, None));
    let (landmarks, records, notes) = (reading.landmarks, reading.records, reading.notes);
    Ok(ParsedDataset { name: tree.name(), landmarks, observer_mre: None, records, notes })
}

/// Content of the rows read so far.
#[derive(Default)]
struct Reading {
    /// In the order they first appear.
    landmarks: Vec<String>,
    indices: BTreeMap<String, usize>,
    records: Vec<Record>,
    /// The image as the first row of each record describes it.
    fields: Vec<CommonFields>,
    images: BTreeMap<PathBuf, usize>,
    /// Where a landmark of an image was said.
    lines: BTreeMap<(usize, usize), u64>,
    notes: Vec<String>,
    invisible: usize,
}

impl Reading {
    fn file(&mut self, tree: &Tree, file: &Path) -> Result<()> {
        let cells = Cells::open(tree, file)?;
        let (common, columns) = (CommonColumns::find(&cells)?, Columns::find(&cells)?);
        let mut is_used: Vec<bool> = (0..cells.header.len()).map(|column| common.has(column)).collect();
        columns.all().for_each(|column| is_used[column] = true);
        self.notes.extend(unread(file, &cells, &is_used));
        self.invisible = 0;
        for (number, row) in &cells.rows {
            let read = self.row(tree, file, (&cells, &common, &columns), *number, row);
            tree.keep(read.map_err(|e| e.at(line(*number))))?;
        }
        if self.invisible > 0 {
            let n = self.invisible;
            self.notes.push(format!("{}: {n} landmarks are missing, as the column of visibility says", file.display()));
        }
        Ok(())
    }

    fn row(
        &mut self,
        tree: &Tree,
        file: &Path,
        (cells, common, columns): (&Cells, &CommonColumns, &Columns),
        number: u64,
        row: &StringRecord,
    ) -> Result<()> {
        let folder = file.parent().unwrap_or(Path::new(""));
        let image = tree.find(folder, row.get(common.image).unwrap_or_default());
        let image = image.map_err(|e| e.at(cells.column_label(common.image)))?;
        let fields = common.fields(cells, row)?;
        let name = landmark_name(row.get(columns.name).unwrap_or_default())?;
        let point = if is_invisible(cells, row, columns.visible, columns.absent)? {
            self.invisible += 1;
            None
        } else {
            match (cells.number(row, columns.x)?, cells.number(row, columns.y)?) {
                (Some(x), Some(y)) => Some(position(x, y)?),
                (None, None) => None,
                _ => return Err(Error::input(format!("landmark {name} has one coordinate")).remedy("write both")),
            }
        };
        let record = self.record(tree, file, &image, &fields, number)?;
        let landmark = *self.indices.entry(name.clone()).or_insert_with(|| {
            self.landmarks.push(name.clone());
            self.landmarks.len() - 1
        });
        if let Some(before) = self.lines.insert((record, landmark), number) {
            return Err(Error::input(format!("landmark {name} of this image stands in line {before} already"))
                .remedy("keep one row per landmark and image"));
        }
        let landmarks = &mut self.records[record].landmarks;
        landmarks.resize(self.landmarks.len().max(landmarks.len()), None);
        landmarks[landmark] = point;
        Ok(())
    }

    /// The image's record, made by its first row.
    fn record(&mut self, tree: &Tree, file: &Path, image: &Path, fields: &CommonFields, number: u64) -> Result<usize> {
        if let Some(record) = self.images.get(image) {
            if self.fields[*record] != *fields {
                let before = &self.records[*record].location;
                return Err(Error::input(format!("split, patient or spacing differ from {before}"))
                    .remedy("say the same in every row of an image"));
            }
            return Ok(*record);
        }
        self.images.insert(image.to_owned(), self.records.len());
        self.records.push(Record {
            split: fields.split.or_else(|| tree.split(file, image)),
            patient: fields.patient.clone(),
            spacing: fields.spacing,
            frame: FRAME,
            ..Record::new(
                image,
                PixelSource::File(tree.path(image)),
                Vec::new(),
                format!("{}: {}", tree.path(file).display(), line(number)),
            )
        });
        self.fields.push(fields.clone());
        Ok(self.records.len() - 1)
    }
}
