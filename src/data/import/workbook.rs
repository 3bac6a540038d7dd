//! Sheets of Excel and OpenDocument workbooks, as rows of text.
//!
//! A workbook stores numbers in binary, whatever language shows them, and a formula with its last result: both are read.

use std::path::Path;

use calamine::{Data, Reader as _, open_workbook_auto_from_rs};
use csv::StringRecord;

use sweep_core::error::{Error, Result};

use super::cells::Cells;
use super::tree::Tree;

/// Endings of workbooks' names.
pub(super) const ENDINGS: [&str; 5] = ["xlsx", "xlsm", "xlsb", "xls", "ods"];

/// Larger sheets are damaged: no table of landmarks has so many cells.
const MAX_CELLS: usize = 1 << 26;

/// Whether a file is called like a workbook.
pub(super) fn is(file: &Path) -> bool {
    file.extension().is_some_and(|e| ENDINGS.iter().any(|ending| e.eq_ignore_ascii_case(ending)))
}

/// The rows of the sheet that the user names, or of the first.
pub(super) fn read(tree: &Tree, file: &Path) -> Result<Cells> {
    let bytes = std::io::Cursor::new(tree.bytes(file)?);
    let unreadable = |e: &dyn std::fmt::Display| Error::input(format!("not a readable workbook: {e}"));
    let mut workbook = open_workbook_auto_from_rs(bytes).map_err(|e| unreadable(&e))?;
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
    let range = workbook.worksheet_range(name).map_err(|e| unreadable(&e))?;
    if range.get_size().0.saturating_mul(range.get_size().1) > MAX_CELLS {
        return Err(Error::input(format!("sheet {name} has too many cells")));
    }
    let first = range.start().map_or(0, |(row, _)| u64::from(row));
    let rows = range.rows().enumerate().filter(|(_, row)| row.iter().any(|cell| !matches!(cell, Data::Empty)));
    let rows = rows.map(|(index, row)| (first + index as u64 + 1, row.iter().map(text).collect::<StringRecord>()));
    Ok(Cells::from_rows(rows.collect()))
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
