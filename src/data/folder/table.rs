//! The wide CSV of landmarks: `image,split,NAME_x,NAME_y,…`, a row per image; optional columns are `patient`, spacing,
//! further splits under names of their own, and groups (`group_NAME`).

use std::collections::{BTreeMap, BTreeSet};

use csv::StringRecord;

use crate::dataset::{Sample, Split, first_repeated};
use crate::split::{GROUP_PREFIX, SplitSpec};
use sweep_core::error::{Error, Result};
use sweep_core::units::{ErrorUnit, Point, Size, Spacing};

/// Columns of an image's own spacing.
pub(super) const SPACING: [&str; 2] = ["spacing_x_mm", "spacing_y_mm"];

/// Column of the patient.
pub(super) const PATIENT: &str = "patient";
/// Another name of that column, for images that belong together otherwise: the frames of a film.
const GROUP: &str = "group";

/// Content of the CSV.
#[derive(Debug)]
pub(super) struct Table {
    /// Landmark names, in the order of their x columns.
    pub(super) landmarks: Vec<String>,
    /// A row per image.
    pub(super) rows: Vec<ImageRow>,
}

/// A row, about one image.
#[derive(Debug)]
pub(super) struct ImageRow {
    /// The row's last line in the file, from 1.
    pub(super) line: u64,
    pub(super) image: String,
    pub(super) split: Split,
    pub(super) patient: Option<String>,
    /// Its word in the column that `dataset.folds_by` names.
    pub(super) group: Option<String>,
    /// Of all rows or of none.
    pub(super) spacing: Option<Spacing>,
    pub(super) landmarks: Vec<Option<Point>>,
}

impl Table {
    /// The unit of landmark errors.
    pub(super) fn unit(&self) -> ErrorUnit {
        let is_unknown = self.rows.first().is_some_and(|row| row.spacing.is_none());
        if is_unknown { ErrorUnit::Pixels } else { ErrorUnit::Millimetres }
    }
}

impl ImageRow {
    /// The image's sample, given what its file holds.
    pub(super) fn sample(&self, size: Size, pixels: Vec<u8>) -> Sample {
        let (image, landmarks, patient) = (self.image.clone(), self.landmarks.clone(), self.patient.clone());
        Sample { image, split: self.split, size, pixels, landmarks, spacing: self.spacing, patient }
    }
}

/// How errors name a line.
pub(super) fn line_number(line: u64) -> String {
    format!("line {line}")
}

/// A row cell by cell: each cell's value or error.
#[derive(Debug)]
pub(super) struct Reading {
    /// See [`ImageRow::line`].
    pub(super) line: u64,
    pub(super) image: Result<String>,
    /// `None` where there is no such column.
    pub(super) split: Option<Result<Split>>,
    pub(super) patient: Option<String>,
    /// See [`ImageRow::group`].
    pub(super) group: Option<String>,
    /// Whether the columns of further splits say splits.
    pub(super) further: Result<()>,
    /// `None` where neither a column nor `dataset.toml` says it of any image.
    pub(super) spacing: Option<Result<Spacing>>,
    /// One per landmark of the header.
    pub(super) landmarks: Vec<Result<Option<Point>>>,
}

/// The whole content of the CSV, and all its errors.
#[derive(Debug)]
pub(super) struct Readings {
    pub(super) landmarks: Vec<String>,
    /// Defects of the header, with their line, despite which the rows can be read.
    pub(super) header: Vec<(u64, Error)>,
    /// A reading per row.
    pub(super) rows: Vec<Result<Reading, Ragged>>,
}

/// A row that has more or fewer cells than there are columns.
#[derive(Debug)]
pub(super) struct Ragged {
    pub(super) line: u64,
    /// Content of the image's cell.
    pub(super) image: Option<String>,
    pub(super) error: Error,
}

impl Reading {
    /// The row, if nothing is wrong with it.
    fn strict(self) -> Result<ImageRow> {
        self.further?;
        let (line, image, patient, group) = (self.line, self.image?, self.patient, self.group);
        let spacing = self.spacing.transpose()?;
        // Without a column images are dealt, and any word will do.
        let split = self.split.unwrap_or(Ok(Split::Train))?;
        Ok(ImageRow {
            line,
            image,
            split,
            patient,
            group,
            spacing,
            landmarks: self.landmarks.into_iter().collect::<Result<_>>()?,
        })
    }
}

/// Indices of the columns.
struct Columns {
    image: usize,
    /// None where images are dealt, so that no column need say it.
    split: Option<usize>,
    /// Those that can only be further splits.
    further: Vec<usize>,
    patient: Option<usize>,
    /// The one that `dataset.folds_by` names.
    group: Option<usize>,
    spacing: Option<[usize; 2]>,
    landmarks: Vec<(String, [usize; 2])>,
}

/// Reads the text; `spacing` is what `dataset.toml` says of all images, `split` what the definition says of splits.
///
/// # Errors
/// The first of all that is wrong with it, from top to bottom.
pub(super) fn parse(text: &str, spacing: Option<Spacing>, split: &SplitSpec) -> Result<Table> {
    let readings = read(text, spacing, split)?;
    if let Some((line, error)) = readings.header.into_iter().next() {
        return Err(error.at(line_number(line)));
    }
    let strict = |row: Result<Reading, Ragged>| {
        let reading = row.map_err(|ragged| ragged.error.at(line_number(ragged.line)))?;
        let line = reading.line;
        reading.strict().map_err(|e| e.at(line_number(line)))
    };
    let rows = readings.rows.into_iter().map(strict).collect::<Result<_>>()?;
    Ok(Table { landmarks: readings.landmarks, rows })
}

/// Reads the text however much is wrong with it; otherwise as [`parse`].
///
/// # Errors
/// When it is no table of landmarks at all.
pub(super) fn read(text: &str, spacing: Option<Spacing>, split: &SplitSpec) -> Result<Readings> {
    // With a line end at the very end, the reader's line after a record is always the one below it.
    let text = text.replace("\r\n", "\n") + "\n";
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    let mut next = |record: &mut StringRecord| -> Result<Option<u64>> {
        let more = reader.read_record(record).map_err(|e| Error::input(format!("not CSV: {e}")))?;
        Ok(more.then(|| reader.position().line() - 1))
    };

    let first = next(&mut record)?.ok_or_else(|| {
        Error::input("the file is empty")
            .remedy("its first line is image,split,NAME_x,NAME_y,… for every landmark NAME")
    })?;
    let header = record.clone();
    let (mut columns, defects) =
        Columns::find(&header, spacing.is_some(), split).map_err(|e| e.at(line_number(first)))?;
    let mut defects: Vec<(u64, Error)> = defects.into_iter().map(|e| (first, e)).collect();
    let mut rows = Vec::new();
    while let Some(line) = next(&mut record)? {
        if rows.is_empty() && record.len() == header.len() {
            // A column whose first word is no split is no column that anybody knows.
            let (further, unknown): (Vec<_>, _) = columns.further.iter().partition(|c| word(&record[**c]).is_some());
            columns.further = further;
            defects.extend(unknown.into_iter().map(|column: usize| (first, unknown_column(&header[column]))));
        }
        rows.push(if record.len() == header.len() {
            Ok(columns.row(&header, &record, line, spacing))
        } else {
            let what = format!("{} cells under {} columns", record.len(), header.len());
            let remedy = "give every column a cell; leave both cells of a missing landmark empty";
            let image = record.get(columns.image).map(str::to_owned);
            Err(Ragged { line, image, error: Error::input(what).remedy(remedy) })
        });
    }
    if rows.is_empty() {
        return Err(Error::input("there are no rows").remedy("add a row per image"));
    }
    refuse_mixed_units(&mut rows);
    Ok(Readings { landmarks: columns.landmarks.into_iter().map(|(name, _)| name).collect(), header: defects, rows })
}

/// Makes a missing spacing an error where other images have theirs: errors of a data set have one unit.
fn refuse_mixed_units(rows: &mut [Result<Reading, Ragged>]) {
    let name = |reading: &Reading| reading.image.clone().unwrap_or_default();
    let known = rows.iter().flatten().find(|reading| reading.spacing.is_some());
    let Some(known) = known.map(|reading| format!("`{}` in line {}", name(reading), reading.line)) else { return };
    for reading in rows.iter_mut().flatten().filter(|reading| reading.spacing.is_none()) {
        let what = format!("`{}` has no size of a pixel, and {known} has one", name(reading));
        reading.spacing = Some(Err(Error::input(what)
            .at(format!("column {}", SPACING[0]))
            .remedy("fill both cells of every image, for errors in millimetres, or of none, for errors in pixels")));
    }
}

/// A split's word.
fn word(cell: &str) -> Option<Split> {
    Split::ALL.into_iter().find(|split| split.name() == cell)
}

fn unknown_column(column: &str) -> Error {
    Error::input(format!("unknown column `{column}`")).remedy(
        "beside image, split, patient and spacing_x_mm, spacing_y_mm there are NAME_x and NAME_y of landmarks, and \
         columns that say train, val or test of every image, for dataset.split_column to choose, and columns whose names begin \
         with group_, for dataset.folds_by",
    )
}

impl Columns {
    /// The columns, and what is wrong with them, from left to right.
    fn find(header: &StringRecord, spacing_known: bool, by: &SplitSpec) -> Result<(Self, Vec<Error>)> {
        let mut defects = Vec::new();
        let mut indices = BTreeMap::new();
        for (index, column) in header.iter().enumerate() {
            indices.entry(column).or_insert(index);
        }
        let find = |name: &str| indices.get(name).copied();
        if let Some(column) = first_repeated(header.iter()) {
            defects.push(Error::input(format!("two columns are called `{column}`")).remedy("rename or remove one"));
        }
        let missing = |name: &str| {
            Error::input(format!("there is no column `{name}`"))
                .remedy("the columns are image,split,NAME_x,NAME_y,… separated by commas")
        };
        let image = find("image").ok_or_else(|| missing("image"))?;
        let split = find(by.split_column.as_deref().unwrap_or("split"));
        match &by.split_column {
            Some(name) if split.is_none() => {
                let remedy = "dataset.split_column names a column of this file that says train, val or test";
                defects.push(Error::input(format!("there is no column `{name}`")).remedy(remedy));
            }
            None if split.is_none() && !by.pools() => defects.push(missing("split")),
            _ => {}
        }
        let group = by.folds_by.as_deref().and_then(find);
        if let Some(name) = by.folds_by.as_ref().filter(|_| group.is_none()) {
            let remedy = "dataset.folds_by names a column of this file whose words say which images belong together";
            defects.push(Error::input(format!("there is no column `{name}`")).remedy(remedy));
        }

        let spacing = match SPACING.map(find) {
            [Some(x), Some(y)] => Some([x, y]),
            [None, None] => None,
            _ => {
                let remedy = "have both columns, spacing_x_mm and spacing_y_mm, or neither";
                defects.push(Error::input("spacing of one axis only").remedy(remedy));
                None
            }
        };
        if spacing.is_some() && spacing_known {
            defects.push(Error::input("spacing is said twice").remedy(
                "either spacing_mm = { x = …, y = … } (mm per pixel) in dataset.toml, or columns spacing_x_mm and spacing_y_mm",
            ));
        }

        if find(PATIENT).and(find(GROUP)).is_some() {
            defects.push(
                Error::input("columns `patient` and `group` both say which images belong together")
                    .remedy("keep one of them: images of one patient or group are never divided"),
            );
        }
        let (mut landmarks, mut further): (Vec<(String, [usize; 2])>, _) = (Vec::new(), Vec::new());
        let mut names = BTreeSet::new();
        for (place, column) in header.iter().enumerate() {
            let known = ["image", "split", PATIENT, GROUP].contains(&column) || SPACING.contains(&column);
            if known || split == Some(place) || (column.starts_with(GROUP_PREFIX) && column.len() > GROUP_PREFIX.len())
            {
                continue;
            }
            let partner = |(name, axis): (&str, &str)| match axis {
                "x" => Some(format!("{name}_y")),
                "y" => Some(format!("{name}_x")),
                _ => None,
            };
            let parts = column.rsplit_once('_').filter(|(name, _)| !name.is_empty());
            let (Some((name, axis)), Some(other)) = (parts, parts.and_then(partner)) else {
                further.push(place);
                continue;
            };
            match find(&other) {
                None => defects.push(
                    Error::input(format!("column `{column}` without `{other}`")).remedy(format!("add `{other}`")),
                ),
                Some(partner) if axis == "x" && names.insert(name) => {
                    landmarks.push((name.to_owned(), [place, partner]));
                }
                Some(_) => {}
            }
        }
        if landmarks.is_empty() {
            // An error further left may be the cause.
            let none = Error::input("there are no landmarks").remedy("add columns NAME_x and NAME_y for each");
            return Err(defects.into_iter().next().unwrap_or(none));
        }
        Ok((Self { image, split, further, patient: find(PATIENT).or(find(GROUP)), group, spacing, landmarks }, defects))
    }

    fn row(&self, header: &StringRecord, cells: &StringRecord, line: u64, shared: Option<Spacing>) -> Reading {
        let image = Some(cells[self.image].to_owned())
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Error::input("no image is named").at("column image").remedy("write the image's file name"));
        let says = |column: usize| {
            word(&cells[column]).ok_or_else(|| {
                Error::input(format!("unknown split `{}`", &cells[column]))
                    .at(format!("column {}", &header[column]))
                    .remedy("write train, val or test")
            })
        };
        let further = self.further.iter().try_for_each(|column| says(*column).map(|_| ()));
        let split = self.split.map(says);
        let filled = |column: usize| Some(cells[column].to_owned()).filter(|word| !word.is_empty());
        let (patient, group) = (self.patient.and_then(filled), self.group.and_then(filled));
        let number = |column: usize, remedy: &str| match cells[column].parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(Error::input(format!("`{}` is not a number", &cells[column]))
                .at(format!("column {}", &header[column]))
                .remedy(remedy)),
        };
        let said = self.spacing.filter(|both| both.iter().any(|column| !cells[*column].is_empty()));
        let own = said.map(|[x, y]| {
            let positive = |column: usize| {
                let remedy = "write the millimetres per pixel of this image, above 0";
                match number(column, remedy)? {
                    value if value > 0.0 => Ok(value),
                    value => Err(Error::input(format!("spacing must be positive, not {value}"))
                        .at(format!("column {}", &header[column]))
                        .remedy(remedy)),
                }
            };
            Ok::<_, Error>(Spacing { x: positive(x)?, y: positive(y)? })
        });
        let landmarks = self.landmarks.iter().map(|(name, [x, y])| {
            let pixel = |column| {
                number(
                    column,
                    "write a pixel coordinate such as 274.5, or leave the cell empty where the landmark is missing",
                )
            };
            match (cells[*x].is_empty(), cells[*y].is_empty()) {
                (true, true) => Ok(None),
                (false, false) => Ok(Some(Point { x: pixel(*x)?, y: pixel(*y)? })),
                (empty, _) => {
                    let (has, lacks) = if empty { ("y", "x") } else { ("x", "y") };
                    Err(Error::input(format!("landmark {name} has an {has} but no {lacks}"))
                        .at(format!("column {name}_{lacks}"))
                        .remedy("fill both cells, or leave both empty where the landmark is missing"))
                }
            }
        });
        let (spacing, landmarks) = (own.or(shared.map(Ok)), landmarks.collect());
        Reading { line, image, split, patient, group, further, spacing, landmarks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_an_editor_does() {
        for (text, line) in [
            ("image,split,a_x,a_y\n1.png,train,1,2\n2.png,val,x,2", 3),
            ("image,split,a_x,a_y\r\n1.png,train,1,2\r\n2.png,val,x,2\r\n", 3),
            ("image,split,a_x,a_y\n\n1.png,train,1,2\n\n\n2.png,val,x,2\n3.png,val,1,2\n", 6),
        ] {
            let error = parse(text, Some(Spacing { x: 1.0, y: 1.0 }), &SplitSpec::default()).unwrap_err();
            assert_eq!(error.location, Some(format!("line {line}: column a_x")), "{text:?}");
        }
    }

    #[test]
    fn columns_may_stand_in_any_order() {
        let text = "b_y, a_x,split,spacing_y_mm,image,b_x,a_y,spacing_x_mm\n4, 1,val,0.25,1.png,3,2,0.5\n";
        let table = parse(text, None, &SplitSpec::default()).unwrap();
        assert_eq!(table.landmarks, ["a", "b"]);
        let row = &table.rows[0];
        assert_eq!(row.landmarks, [Some(Point { x: 1.0, y: 2.0 }), Some(Point { x: 3.0, y: 4.0 })]);
        assert_eq!((row.line, row.spacing), (2, Some(Spacing { x: 0.5, y: 0.25 })));
    }

    #[test]
    fn spacing_is_known_of_all_images_or_of_none() {
        let table = |rows: &str| {
            parse(&format!("image,split,spacing_x_mm,spacing_y_mm,a_x,a_y\n{rows}"), None, &SplitSpec::default())
        };
        let none = table("1.png,train,,,1,2\n2.png,val,,,1,2\n").unwrap();
        assert_eq!((none.unit(), none.rows[0].spacing), (ErrorUnit::Pixels, None));
        let without = parse("image,split,a_x,a_y\n1.png,train,1,2\n", None, &SplitSpec::default()).unwrap();
        assert_eq!(without.unit(), ErrorUnit::Pixels);
        let error = table("1.png,train,,,1,2\n2.png,val,0.1,0.1,1,2\n").unwrap_err();
        assert_eq!(error.location.as_deref(), Some("line 2: column spacing_x_mm"));
        assert!(error.message.contains("`1.png`") && error.message.contains("`2.png` in line 3"), "{error}");
        assert!(table("1.png,train,0.1,,1,2\n").is_err(), "half a spacing");
    }
}
