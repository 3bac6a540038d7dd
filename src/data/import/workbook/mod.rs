//! Sheets of Excel and OpenDocument workbooks, as rows of text.
//!
//! A workbook stores numbers in binary, whatever language shows them, and a formula with its last result: both are read.

mod claims;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use calamine::{Data, Reader as _, Sheets, XlsxError};
use csv::StringRecord;

use sweep_core::error::{Error, Result};

use super::cells::Cells;
use super::tree::Tree;
use claims::{MAX_BYTES, MAX_CELLS, Workbook};

/// Endings of workbooks' names.
pub(super) const ENDINGS: [&str; 5] = ["xlsx", "xlsm", "xlsb", "xls", "ods"];

/// Whether a file is called like a workbook.
pub(super) fn is(file: &Path) -> bool {
    file.extension().is_some_and(|e| ENDINGS.iter().any(|ending| e.eq_ignore_ascii_case(ending)))
}

/// The rows of the sheet that the user names, or of the first.
pub(super) fn read(tree: &Tree, file: &Path) -> Result<Cells> {
    let mut workbook = claims::open(tree.bytes(file)?)?;
    let names = workbook.sheet_names();
    let name = match &tree.options().sheet {
        Some(wanted) => names.iter().find(|name| *name == wanted).ok_or_else(|| {
            Error::input(format!("there is no sheet `{wanted}`"))
                .at("--sheet")
                .remedy(format!("the sheets are {}", names.join(", ")))
        })?,
        None => names.first().ok_or_else(|| Error::input("a workbook without a sheet"))?,
    };
    if names.len() > 1 && tree.options().sheet.is_none() {
        let others = names[1..].join(", ");
        tree.note(format!("{}: the sheet {name} was read, and not {others} (--sheet)", file.display()));
    }
    let mut rows = Rows::default();
    sheet(&mut workbook, name, &mut rows)?;
    Ok(Cells::from_rows(rows.padded()?))
}

/// Gives a sheet's cells to the rows, one after the other where the format allows it.
fn sheet(workbook: &mut Workbook, name: &str, rows: &mut Rows) -> Result<()> {
    let unreadable = |e: &dyn std::fmt::Display| Error::input(format!("not a readable workbook: {e}"));
    match workbook {
        Sheets::Xlsx(workbook) => {
            let mut cells = match workbook.worksheet_cells_reader(name) {
                Err(XlsxError::NotAWorksheet(_)) => return Ok(()),
                cells => cells.map_err(|e| unreadable(&e))?,
            };
            while let Some(cell) = cells.next_cell().map_err(|e| unreadable(&e))? {
                rows.put(cell.get_position(), &Data::from(cell.get_value().clone()))?;
            }
        }
        Sheets::Xlsb(workbook) => {
            let mut cells = workbook.worksheet_cells_reader(name).map_err(|e| unreadable(&e))?;
            while let Some(cell) = cells.next_cell().map_err(|e| unreadable(&e))? {
                rows.put(cell.get_position(), &Data::from(cell.get_value().clone()))?;
            }
        }
        workbook @ (Sheets::Xls(_) | Sheets::Ods(_)) => {
            let range = workbook.worksheet_range(name).map_err(|e| unreadable(&e))?;
            let (row, column) = range.start().unwrap_or_default();
            for (r, c, cell) in range.used_cells() {
                rows.put((row + r as u32, column + c as u32), cell)?;
            }
        }
    }
    Ok(())
}

/// Cells that hold something, by row and column.
#[derive(Default)]
struct Rows {
    by_number: BTreeMap<u32, BTreeMap<u32, String>>,
    cells: usize,
    bytes: usize,
}

impl Rows {
    fn put(&mut self, (row, column): (u32, u32), cell: &Data) -> Result<()> {
        if matches!(cell, Data::Empty) {
            return Ok(());
        }
        let text = text(cell);
        self.cells += 1;
        self.bytes += text.len();
        if self.cells > MAX_CELLS || self.bytes > MAX_BYTES {
            return Err(too_large());
        }
        self.by_number.entry(row).or_default().insert(column, text);
        Ok(())
    }

    /// Rows with the numbers that the program shows, all as wide as the table.
    fn padded(self) -> Result<Vec<(u64, StringRecord)>> {
        let columns = || self.by_number.values().flat_map(|row| row.keys());
        let (Some(first), Some(last)) = (columns().min().copied(), columns().max().copied()) else {
            return Ok(Vec::new());
        };
        if self.by_number.len().saturating_mul((last - first) as usize + 1) > MAX_CELLS {
            return Err(too_large());
        }
        let rows = self.by_number.into_iter().map(|(number, mut row)| {
            let cells = (first..=last).map(|column| row.remove(&column).unwrap_or_default());
            (u64::from(number) + 1, cells.collect())
        });
        Ok(rows.collect())
    }
}

fn too_large() -> Error {
    Error::input("the sheet has more cells, or more text, than a table of landmarks").remedy("save the table as CSV")
}

/// A cell as it would stand in a CSV.
fn text(cell: &Data) -> String {
    match cell {
        Data::Empty => String::new(),
        Data::String(text) => text.trim().to_owned(),
        // The shortest decimal that reads back as the same number; whole numbers without a point.
        Data::Float(number) => number.to_string(),
        Data::Int(number) => number.to_string(),
        Data::Bool(is) => is.to_string(),
        // Excel takes 1.5 for the first of May in some languages.
        Data::DateTime(date) => format!("a date ({})", date.as_f64()),
        other => other.to_string(),
    }
}
