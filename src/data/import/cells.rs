//! Cells of other people's CSV: commas, semicolons or tabs; numbers with a comma where cells are parted otherwise.

use csv::StringRecord;

use crate::Split;
use sweep_core::error::{Error, Result};
use sweep_core::units::Spacing;

use super::parsed::split_word;

/// A CSV file's rows under its header.
pub(super) struct Cells {
    pub(super) header: Vec<String>,
    /// Each with its line, from 1.
    pub(super) rows: Vec<(u64, StringRecord)>,
    decimal_comma: bool,
}

/// How errors name a line.
pub(super) fn line(number: u64) -> String {
    format!("line {number}")
}

impl Cells {
    /// Reads a file with a header.
    pub(super) fn read(text: &str) -> Result<Self> {
        let mut cells = Self::without_header(text)?;
        if cells.rows.is_empty() {
            return Err(Error::input("the file is empty").remedy("its first line names the columns"));
        }
        let (_, header) = cells.rows.remove(0);
        cells.header = header.iter().map(str::to_owned).collect();
        for (number, row) in &cells.rows {
            if row.len() != header.len() {
                return Err(Error::input(format!("{} cells under {} columns", row.len(), header.len()))
                    .at(line(*number))
                    .remedy("give every column a cell; leave the cells of a missing landmark empty"));
            }
        }
        Ok(cells)
    }

    /// Reads a file of values alone.
    pub(super) fn without_header(text: &str) -> Result<Self> {
        // With a line end at the very end, the reader's line after a record is always the one below it.
        let text = text.replace("\r\n", "\n").replace('\r', "\n") + "\n";
        let first = text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
        let count = |c: char| first.matches(c).count();
        let delimiter = if count('\t') > 0 && count(',') == 0 {
            b'\t'
        } else if count(';') > count(',') {
            b';'
        } else {
            b','
        };
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(text.as_bytes());
        let (mut rows, mut record) = (Vec::new(), StringRecord::new());
        while reader.read_record(&mut record).map_err(|e| Error::input(format!("not CSV: {e}")))? {
            if record.iter().any(|cell| !cell.is_empty()) {
                rows.push((reader.position().line() - 1, record.clone()));
            }
        }
        Ok(Self { header: Vec::new(), rows, decimal_comma: delimiter != b',' })
    }

    /// The column of one of these names, in whatever case, blanks and underscores alike.
    pub(super) fn column(&self, names: &[&str]) -> Option<usize> {
        self.header.iter().position(|column| names.contains(&plain(column).as_str()))
    }

    /// A number; `None` where the cell is empty or says that there is none.
    pub(super) fn number(&self, row: &StringRecord, column: usize) -> Result<Option<f64>> {
        let cell = row.get(column).unwrap_or_default();
        if ["", "nan", "na", "n/a", "null", "none", "-"].contains(&cell.to_lowercase().as_str()) {
            return Ok(None);
        }
        let text = if self.decimal_comma { cell.replace(',', ".") } else { cell.to_owned() };
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(Error::input(format!("`{cell}` is not a number"))
                .at(self.column_label(column))
                .remedy("write a number, or leave the cell empty where there is none")),
        }
    }

    /// A column's name in errors.
    pub(super) fn column_label(&self, column: usize) -> String {
        self.header.get(column).map_or_else(|| format!("cell {}", column + 1), |name| format!("column {name}"))
    }
}

/// A column's name for comparisons.
fn plain(column: &str) -> String {
    column.trim().to_lowercase().replace([' ', '-'], "_")
}

/// Columns about the image, which have the same meaning in every kind of table.
pub(super) struct CommonColumns {
    pub(super) image: usize,
    split: Option<usize>,
    patient: Option<usize>,
    spacing: Option<(usize, usize)>,
}

/// Values of the common columns in a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CommonFields {
    pub(super) split: Option<Split>,
    pub(super) patient: Option<String>,
    pub(super) spacing: Option<Spacing>,
}

const IMAGE: [&str; 10] =
    ["image", "file", "filename", "file_name", "image_file", "image_name", "image_path", "path", "image_id", "img"];
const SPACING: [&str; 8] =
    ["spacing", "spacing(mm)", "spacing_(mm)", "spacing_mm", "scale", "pixel_size", "pixel_spacing", "pixelsize"];

impl CommonColumns {
    /// Finds them in the header.
    pub(super) fn find(cells: &Cells) -> Result<Self> {
        let image = cells.column(&IMAGE).ok_or_else(|| {
            Error::input("no column names the image")
                .at(line(1))
                .remedy("call the column `image` (or file, filename, path, …)")
        })?;
        let both = cells.column(&["spacing_x_mm", "spacing_x"]).zip(cells.column(&["spacing_y_mm", "spacing_y"]));
        Ok(Self {
            image,
            split: cells.column(&["split", "set", "subset"]),
            patient: cells.column(&["patient", "patient_id", "subject", "subject_id"]),
            spacing: both.or(cells.column(&SPACING).map(|one| (one, one))),
        })
    }

    /// Whether the column is one of them.
    pub(super) fn has(&self, column: usize) -> bool {
        let spacing = self.spacing.is_some_and(|(x, y)| [x, y].contains(&column));
        self.image == column || self.split == Some(column) || self.patient == Some(column) || spacing
    }

    /// Their values in a row.
    pub(super) fn fields(&self, cells: &Cells, row: &StringRecord) -> Result<CommonFields> {
        let cell = |column: Option<usize>| column.and_then(|c| row.get(c)).filter(|text| !text.is_empty());
        let split = cell(self.split).map(|word| {
            split_word(word).ok_or_else(|| {
                Error::input(format!("unknown split `{word}`"))
                    .at(cells.column_label(self.split.unwrap_or_default()))
                    .remedy("write train, val or test")
            })
        });
        let spacing = match self.spacing {
            Some((x, y)) => match (cells.number(row, x)?, cells.number(row, y)?) {
                (Some(x), Some(y)) => Some(Spacing { x, y }),
                _ => None,
            },
            None => None,
        };
        Ok(CommonFields { split: split.transpose()?, patient: cell(self.patient).map(str::to_owned), spacing })
    }
}
