//! Cells of other people's tables: CSV with commas, semicolons or tabs, and workbooks; numbers with a comma where cells are
//! parted otherwise.

use std::path::Path;

use csv::StringRecord;

use crate::Split;
use sweep_core::error::{Error, Result};
use sweep_core::units::Spacing;

use super::parsed::split_word;
use super::tree::Tree;
use super::workbook;

/// A table's rows under its header.
pub(super) struct Cells {
    pub(super) header: Vec<String>,
    /// Each with its line, from 1.
    pub(super) rows: Vec<(u64, StringRecord)>,
    decimal_comma: bool,
    /// Further words for a missing number, in lower case.
    missing: Vec<String>,
}

/// How errors name a line.
pub(super) fn line(number: u64) -> String {
    format!("line {number}")
}

impl Cells {
    /// Reads a file with a header, CSV or a workbook's sheet, with the columns that the user renames.
    pub(super) fn open(tree: &Tree, file: &Path) -> Result<Self> {
        let rows =
            if workbook::is(file) { workbook::read(tree, file)? } else { Self::without_header(&tree.text(file)?)? };
        rows.under_header(tree)
    }

    /// Reads a file's header alone.
    pub(super) fn header(tree: &Tree, file: &Path) -> Option<Self> {
        if workbook::is(file) {
            let cells = Self::open(tree, file).ok()?;
            return Some(Self { rows: Vec::new(), ..cells });
        }
        let start = tree.head(file).ok()?;
        let mut lines = start.lines().filter(|line| !line.trim().is_empty());
        let first = lines.next()?;
        let text = if separator(first).is_some() { format!("{first}\n{}", lines.next()?) } else { first.to_owned() };
        Self::without_header(&text).ok()?.under_header(tree).ok()
    }

    /// Rows of which the first may be the header.
    pub(super) fn from_rows(rows: Vec<(u64, StringRecord)>) -> Self {
        Self { header: Vec::new(), rows, decimal_comma: false, missing: Vec::new() }
    }

    /// Takes the first row for the header.
    fn under_header(mut self, tree: &Tree) -> Result<Self> {
        let options = tree.options();
        self.missing = options.missing.words().to_vec();
        self.take_header()?;
        for (name, header) in &options.columns {
            let same = |column: &&mut String| column.as_str() == header.as_str();
            if let Some(column) = self.header.iter_mut().find(same) {
                column.clone_from(name);
                tree.has_column(header);
            }
        }
        let columns = self.header.len();
        let mut rows = Vec::with_capacity(self.rows.len());
        for (number, mut row) in std::mem::take(&mut self.rows) {
            // Spreadsheets leave out cells at the end of a row or add empty ones.
            while row.len() > columns && row.get(row.len() - 1).is_some_and(str::is_empty) {
                row.truncate(row.len() - 1);
            }
            let row =
                if row.len() == columns { Ok((number, row)) } else { Err(ragged(&row, columns).at(line(number))) };
            rows.extend(tree.keep(row)?);
        }
        if let Some((column, wanted)) = self.column(&OBSERVER).zip(options.observer.as_ref()) {
            rows.retain(|(_, row)| row.get(column) == Some(wanted.as_str()));
        }
        self.rows = rows;
        Ok(self)
    }

    fn take_header(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Err(Error::input("the file is empty").remedy("its first line names the columns"));
        }
        let (_, header) = self.rows.remove(0);
        self.header = header.iter().map(str::to_owned).collect();
        Ok(())
    }

    /// Reads a file's text with a header.
    pub(super) fn read(text: &str) -> Result<Self> {
        let mut cells = Self::without_header(text)?;
        cells.take_header()?;
        let columns = cells.header.len();
        match cells.rows.iter().find(|(_, row)| row.len() != columns) {
            Some((number, row)) => Err(ragged(row, columns).at(line(*number))),
            None => Ok(cells),
        }
    }

    /// Reads a file of values alone.
    pub(super) fn without_header(text: &str) -> Result<Self> {
        // With a line end at the very end, the reader's line after a record is always the one below it.
        let text = text.replace("\r\n", "\n").replace('\r', "\n") + "\n";
        let first = text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
        let said = separator(first);
        let count = |c: char| first.matches(c).count();
        let delimiter = match said {
            Some(said) => said,
            None if count('\t') > 0 && count(',') == 0 => b'\t',
            None if count(';') > count(',') => b';',
            None => b',',
        };
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(text.as_bytes());
        let (mut rows, mut record) = (Vec::new(), StringRecord::new());
        let mut is_separator = said.is_some();
        while reader.read_record(&mut record).map_err(|e| Error::input(format!("not CSV: {e}")))? {
            if record.iter().any(|cell| !cell.is_empty()) && !std::mem::take(&mut is_separator) {
                rows.push((reader.position().line() - 1, record.clone()));
            }
        }
        Ok(Self { decimal_comma: delimiter != b',', ..Self::from_rows(rows) })
    }

    /// The column of one of these names, in whatever case, blanks and underscores alike.
    pub(super) fn column(&self, names: &[&str]) -> Option<usize> {
        self.header.iter().position(|column| names.contains(&plain(column).as_str()))
    }

    /// A number; `None` where the cell is empty or says that there is none.
    pub(super) fn number(&self, row: &StringRecord, column: usize) -> Result<Option<f64>> {
        let cell = row.get(column).unwrap_or_default();
        let word = cell.to_lowercase();
        if ["", "nan", "na", "n/a", "null", "none", "-"].contains(&word.as_str()) || self.missing.contains(&word) {
            return Ok(None);
        }
        // Some programs write the sign of minus for its hyphen.
        let text = cell.replace('\u{2212}', "-");
        let text = if self.decimal_comma || is_comma_decimal(&text) { text.replace(',', ".") } else { text };
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(Error::input(format!("`{cell}` is not a number")).at(self.column_label(column)).remedy(
                "write a number, or leave the cell empty where there is none (or say by --missing what stands there)",
            )),
        }
    }

    /// Whether a cell of a column of visibility says that the landmark is there; `None` if it is empty.
    pub(super) fn flag(&self, row: &StringRecord, column: usize) -> Result<Option<bool>> {
        let cell = row.get(column).unwrap_or_default();
        match cell.to_lowercase().as_str() {
            "" => Ok(None),
            "true" | "yes" | "y" | "t" | "visible" => Ok(Some(true)),
            "false" | "no" | "n" | "f" | "invisible" => Ok(Some(false)),
            _ => match self.number(row, column) {
                Ok(number) => Ok(number.map(|number| number > 0.0)),
                Err(error) => Err(error.remedy("write 1 or 0")),
            },
        }
    }

    /// A column's name in errors.
    pub(super) fn column_label(&self, column: usize) -> String {
        self.header.get(column).map_or_else(|| format!("cell {}", column + 1), |name| format!("column {name}"))
    }
}

fn ragged(row: &StringRecord, columns: usize) -> Error {
    Error::input(format!("{} cells under {columns} columns", row.len()))
        .remedy("give every column a cell; leave the cells of a missing landmark empty")
}

/// The separator in the line `sep=;` that Excel puts before the header.
fn separator(line: &str) -> Option<u8> {
    let line = line.trim_matches(|c: char| c == '"' || c == '\r' || c == '\n');
    let said = line.get(..4).filter(|start| start.eq_ignore_ascii_case("sep=")).and(line.get(4..))?;
    match said {
        "\t" | "\\t" => Some(b'\t'),
        _ => Some(said.as_bytes()).filter(|said| said.len() == 1 && said[0].is_ascii_punctuation()).map(|said| said[0]),
    }
}

/// Whether a cell between commas has a decimal comma, as spreadsheets write `"12,5"`: with three digits it may be
/// thousands as well.
fn is_comma_decimal(cell: &str) -> bool {
    let Some((whole, rest)) = cell.split_once(',') else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits(whole.trim_start_matches('-')) && digits(rest) && rest.len() != 3
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
    observer: Option<usize>,
}

/// Values of the common columns in a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CommonFields {
    pub(super) split: Option<Split>,
    pub(super) patient: Option<String>,
    pub(super) spacing: Option<Spacing>,
}

/// Headers of the column of images.
pub(super) const IMAGE: [&str; 14] = [
    "image",
    "file",
    "filename",
    "file_name",
    "image_file",
    "image_name",
    "image_path",
    "path",
    "image_id",
    "img",
    "filepath",
    "file_path",
    "imagename",
    "imagepath",
];
/// Headers of the column of who marked the row.
pub(super) const OBSERVER: [&str; 6] = ["observer", "annotator", "rater", "reader", "examiner", "marked_by"];
const SPACING: [&str; 8] =
    ["spacing", "spacing(mm)", "spacing_(mm)", "spacing_mm", "scale", "pixel_size", "pixel_spacing", "pixelsize"];

impl CommonColumns {
    /// Finds them in the header.
    pub(super) fn find(cells: &Cells) -> Result<Self> {
        let image = cells.column(&IMAGE).ok_or_else(|| {
            Error::input("no column names the image").at(line(1)).remedy(
                "call the column `image` (or file, filename, path, …), or say which it is: --columns image=NAME",
            )
        })?;
        let both = cells.column(&["spacing_x_mm", "spacing_x"]).zip(cells.column(&["spacing_y_mm", "spacing_y"]));
        Ok(Self {
            image,
            split: cells.column(&["split", "set", "subset"]),
            patient: cells.column(&["patient", "patient_id", "subject", "subject_id", "group"]),
            spacing: both.or(cells.column(&SPACING).map(|one| (one, one))),
            observer: cells.column(&OBSERVER),
        })
    }

    /// Whether the column is one of them.
    pub(super) fn has(&self, column: usize) -> bool {
        let spacing = self.spacing.is_some_and(|(x, y)| [x, y].contains(&column));
        self.image == column || [self.split, self.patient, self.observer].contains(&Some(column)) || spacing
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
