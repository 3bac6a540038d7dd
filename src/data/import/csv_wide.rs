//! Plain CSV with a row per image: `image,NAME_x,NAME_y,…`, and perhaps `split`, `patient` and spacing.

use std::path::Path;

use sweep_core::error::{Error, Result};
use sweep_core::units::Point;

use super::cells::{Cells, CommonColumns, line};
use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name, position, split_in};
use super::tree::Tree;
use super::{Frame, Importer, Options, Unit};

pub(super) const IMPORTER: Importer = Importer {
    name: "csv",
    reads: "CSV files, `image,NAME_x,NAME_y,…` a row per image; also `split`, `patient`, spacing (`spacing_x_mm`, \
            `spacing_y_mm` or one of both); commas, semicolons or tabs; empty and NaN are missing",
    loses: "other columns (named); name and observers' error of an exported data set",
    recognizes: |tree| {
        tree.annotations("csv").iter().any(|file| header_of(tree, file).is_some_and(|c| !pairs(&c).is_empty()))
    },
    read,
};

/// The header of a CSV file that names images.
pub(super) fn header_of(tree: &Tree, file: &Path) -> Option<Cells> {
    let start = tree.start(file, 1 << 16).ok()?;
    let text = String::from_utf8_lossy(&start);
    let first = text.strip_prefix('\u{feff}').unwrap_or(&text).lines().find(|line| !line.trim().is_empty())?.to_owned();
    let cells = Cells::read(&first).ok()?;
    CommonColumns::find(&cells).is_ok().then_some(cells)
}

/// A table's positions come from whatever people looked at, and viewers show the turned picture.
pub(super) const FRAME: Frame = Frame::Turned;

fn read(tree: &Tree, _: &Options) -> Result<ParsedDataset> {
    let is_wide = |file: &&Path| header_of(tree, file).is_some_and(|cells| !pairs(&cells).is_empty());
    let files: Vec<&Path> = tree.annotations("csv").into_iter().filter(is_wide).collect();
    read_files(tree, &files, tree.name())
}

/// Reads such files as one data set.
pub(super) fn read_files(tree: &Tree, files: &[&Path], name: String) -> Result<ParsedDataset> {
    let mut parsed =
        ParsedDataset { name, landmarks: Vec::new(), observer_mre: None, records: Vec::new(), notes: Vec::new() };
    if files.is_empty() {
        return Err(Error::input("there is no such CSV file").remedy("its header is image,NAME_x,NAME_y,…"));
    }
    for file in files {
        let location = tree.path(file).display().to_string();
        read_file(tree, file, &mut parsed).map_err(|e| e.at(location))?;
    }
    Ok(parsed)
}

fn read_file(tree: &Tree, file: &Path, parsed: &mut ParsedDataset) -> Result<()> {
    let cells = Cells::read(&tree.text(file)?)?;
    let common = CommonColumns::find(&cells)?;
    let pairs = pairs(&cells);
    let names = pairs.iter().map(|(name, ..)| landmark_name(name)).collect::<Result<Vec<_>>>()?;
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
    let used = |column: usize| common.has(column) || pairs.iter().any(|(_, x, y)| [*x, *y].contains(&column));
    let unused: Vec<&str> = (0..cells.header.len())
        .filter(|c| !used(*c))
        .map(|c| cells.header[c].as_str())
        .filter(|c| !c.is_empty())
        .collect();
    if !unused.is_empty() {
        parsed.notes.push(format!("{}: columns that are not read: {}", file.display(), unused.join(", ")));
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    for (number, row) in &cells.rows {
        let at = |e: Error| e.at(line(*number));
        let image = tree.find(folder, row.get(common.image).unwrap_or_default());
        let image = image.map_err(|e| at(e.at(cells.column_label(common.image))))?;
        let landmarks = pairs.iter().map(|(name, x, y)| match (cells.number(row, *x)?, cells.number(row, *y)?) {
            (Some(x), Some(y)) => position(x, y).map(Some),
            (None, None) => Ok(None::<Point>),
            _ => Err(Error::input(format!("landmark {name} has one coordinate"))
                .remedy("fill both cells, or leave both empty where the landmark is missing")),
        });
        let landmarks = landmarks.collect::<Result<_>>().map_err(at)?;
        let fields = common.fields(&cells, row).map_err(at)?;
        let location = format!("{}: {}", tree.path(file).display(), line(*number));
        parsed.records.push(Record {
            split: fields.split.or_else(|| split_in(file)).or_else(|| split_in(&image)),
            patient: fields.patient,
            spacing: fields.spacing,
            unit: Unit::Pixels,
            frame: FRAME,
            ..Record::new(&image, PixelSource::File(tree.path(&image)), landmarks, location)
        });
    }
    Ok(())
}

/// Landmarks and their columns: `NAME_x` and `NAME_y`, also with a dot, a blank or a hyphen, `p1x` and `p1y`, or `x_NAME`
/// and `y_NAME`.
pub(super) fn pairs(cells: &Cells) -> Vec<(String, usize, usize)> {
    let known = CommonColumns::find(cells).ok();
    let find = |name: String| cells.header.iter().position(|column| column.to_lowercase() == name.to_lowercase());
    let mut pairs = Vec::new();
    for (x, column) in cells.header.iter().enumerate() {
        if known.as_ref().is_some_and(|known| known.has(x)) {
            continue;
        }
        let (front, back) = (column.strip_suffix(['x', 'X']), column.strip_prefix(['x', 'X']));
        let parted = |c: char| matches!(c, '_' | '.' | ' ' | '-');
        let found = match (front, back) {
            (Some(front), _) if front.ends_with(|c: char| parted(c) || c.is_ascii_digit()) => {
                find(format!("{front}y")).map(|y| (front.trim_end_matches(parted), y))
            }
            (_, Some(back)) if back.starts_with(|c: char| parted(c) || c.is_ascii_digit()) => {
                find(format!("y{back}")).map(|y| (back.trim_start_matches(parted), y))
            }
            _ => None,
        };
        pairs.extend(found.map(|(name, y)| (name.to_owned(), x, y)));
    }
    pairs
}
