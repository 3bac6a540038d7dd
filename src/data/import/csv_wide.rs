//! Plain CSV with a row per image: `image,NAME_x,NAME_y,…`, and perhaps `split`, `patient`, spacing and visibility.
//!
//! Origin: pixels' centres (`--origin` says otherwise). Visibility: a column `NAME_v` or `NAME_visible` of 0 makes a landmark
//! missing, as v = 0 in COCO.

use std::path::Path;

use csv::StringRecord;

use sweep_core::error::{Error, Result};
use sweep_core::units::Point;

use super::cells::{Cells, CommonColumns, line};
use super::coordinates::{Coordinates, pairs};
use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name, position};
use super::tree::Tree;
use super::{Frame, Importer, Options, Origin};

pub(super) const IMPORTER: Importer = Importer {
    name: "csv",
    reads: "CSV files, `image,NAME_x,NAME_y,…` a row per image; also `split`, `patient`, spacing (`spacing_x_mm`, \
            `spacing_y_mm` or one of both), `NAME_v` or `NAME_visible` (0 is missing); commas, semicolons or tabs, UTF-8 or \
            UTF-16; empty and NaN are missing",
    loses: "other columns (named); name and observers' error of an exported data set",
    origin: Origin::Centre,
    leaves_origin: true,
    has_categories: false,
    is_table: true,
    recognizes: |tree| {
        tree.annotations("csv").iter().any(|file| header_of(tree, file).is_some_and(|c| !pairs(&c).is_empty()))
    },
    read,
};

/// The header of a table that names images.
pub(super) fn header_of(tree: &Tree, file: &Path) -> Option<Cells> {
    let cells = Cells::header(tree, file)?;
    CommonColumns::find(&cells).is_ok().then_some(cells)
}

/// A table's positions come from whatever people looked at, and viewers show the turned picture.
pub(super) const FRAME: Frame = Frame::Turned;
/// Whether a table has a row per image.
pub(super) fn is_wide(tree: &Tree, file: &Path) -> bool {
    header_of(tree, file).is_some_and(|cells| !pairs(&cells).is_empty())
}

fn read(tree: &Tree, _: &Options) -> Result<ParsedDataset> {
    let files: Vec<&Path> = tree.annotations("csv").into_iter().filter(|file| is_wide(tree, file)).collect();
    read_files(tree, &files, tree.name())
}

/// Reads such files as one data set.
pub(super) fn read_files(tree: &Tree, files: &[&Path], name: String) -> Result<ParsedDataset> {
    let mut parsed =
        ParsedDataset { name, landmarks: Vec::new(), observer_mre: None, records: Vec::new(), notes: Vec::new() };
    if files.is_empty() {
        return Err(Error::input("there is no such CSV file")
            .remedy("its header is image,NAME_x,NAME_y,…; --columns says what columns of other names are"));
    }
    for file in files {
        let location = tree.path(file).display().to_string();
        read_file(tree, file, &mut parsed).map_err(|e| e.at(location))?;
    }
    Ok(parsed)
}

fn read_file(tree: &Tree, file: &Path, parsed: &mut ParsedDataset) -> Result<()> {
    let cells = Cells::open(tree, file)?;
    let common = CommonColumns::find(&cells)?;
    let pairs = pairs(&cells);
    let names = pairs.iter().map(|pair| landmark_name(&pair.name)).collect::<Result<Vec<_>>>()?;
    if names.is_empty() {
        return Err(Error::input("there are no landmarks")
            .at(line(1))
            .remedy("add columns NAME_x and NAME_y for each"));
    }
    if parsed.landmarks.is_empty() {
        parsed.landmarks.clone_from(&names);
    } else if parsed.landmarks != names {
        return Err(Error::input("other landmarks than in the file before it")
            .at(line(1))
            .remedy("give all files the same columns in the same order"));
    }
    let mut is_used: Vec<bool> = (0..cells.header.len()).map(|column| common.has(column)).collect();
    for pair in &pairs {
        pair.columns().for_each(|column| is_used[column] = true);
    }
    let is_read =
        |header: &str| pairs.iter().flat_map(Coordinates::columns).any(|column| cells.header[column] == header);
    if let Some((header, _)) = cells.header.iter().zip(&is_used).find(|(header, used)| !**used && is_read(header)) {
        return Err(Error::input(format!("two columns are called {header}"))
            .at(line(1))
            .remedy("give every landmark a name of its own, or remove one of the columns"));
    }
    parsed.notes.extend(unread(file, &cells, &is_used));
    let mut reading = RowReader { tree, file, cells: &cells, common: &common, pairs: &pairs, invisible: 0 };
    for (number, row) in &cells.rows {
        let record = reading.record(*number, row).map_err(|e| e.at(line(*number)));
        parsed.records.extend(tree.keep(record)?);
    }
    if reading.invisible > 0 {
        let n = reading.invisible;
        parsed.notes.push(format!("{}: {n} landmarks are missing, as columns of visibility say", file.display()));
    }
    Ok(())
}

/// A note of the columns that are not read.
pub(super) fn unread(file: &Path, cells: &Cells, is_used: &[bool]) -> Option<String> {
    let unused = cells.header.iter().zip(is_used).filter(|(column, used)| !**used && !column.is_empty());
    let unused: Vec<&str> = unused.map(|(column, _)| column.as_str()).collect();
    let more = unused.len().saturating_sub(20);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let list = unused.iter().take(20).copied().collect::<Vec<_>>().join(", ");
    (!unused.is_empty()).then(|| format!("{}: columns that are not read: {list}{more}", file.display()))
}

struct RowReader<'a> {
    tree: &'a Tree,
    file: &'a Path,
    cells: &'a Cells,
    common: &'a CommonColumns,
    pairs: &'a [Coordinates],
    invisible: usize,
}

impl RowReader<'_> {
    fn record(&mut self, number: u64, row: &StringRecord) -> Result<Record> {
        let folder = self.file.parent().unwrap_or(Path::new(""));
        let image = self.tree.find(folder, row.get(self.common.image).unwrap_or_default());
        let image = image.map_err(|e| e.at(self.cells.column_label(self.common.image)))?;
        let mut landmarks = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs {
            landmarks.push(self.landmark(pair, row)?);
        }
        let fields = self.common.fields(self.cells, row)?;
        let location = format!("{}: {}", self.tree.path(self.file).display(), line(number));
        Ok(Record {
            split: fields.split.or_else(|| self.tree.split(self.file, &image)),
            patient: fields.patient,
            spacing: fields.spacing,
            frame: FRAME,
            ..Record::new(&image, PixelSource::File(self.tree.path(&image)), landmarks, location)
        })
    }

    fn landmark(&mut self, pair: &Coordinates, row: &StringRecord) -> Result<Option<Point>> {
        if pair.is_invisible(self.cells, row)? {
            self.invisible += 1;
            return Ok(None);
        }
        match (self.cells.number(row, pair.x)?, self.cells.number(row, pair.y)?) {
            (Some(x), Some(y)) => position(x, y).map(Some),
            (None, None) => Ok(None),
            _ => Err(Error::input(format!("landmark {} has one coordinate", pair.name))
                .remedy("fill both cells, or leave both empty where the landmark is missing")),
        }
    }
}
