//! Records as CSV, and back.

use std::io::{Read, Write};

use serde::Serialize;

use super::domain::Row;
use sweep_core::error::{Error, Result};
use sweep_core::units::ErrorUnit;

/// Writes rows as CSV, with the header if `header`.
///
/// # Errors
/// When the writer fails.
pub fn write_csv<R: Serialize>(rows: &[R], header: bool, writer: impl Write) -> Result<()> {
    let mut csv = csv::WriterBuilder::new().has_headers(header).from_writer(writer);
    for row in rows {
        csv.serialize(row).map_err(|e| Error::results(format!("cannot write CSV: {e}")))?;
    }
    csv.flush().map_err(|e| Error::results(format!("cannot write CSV: {e}")))
}

/// [`write_csv`] of rows whose columns in millimetres are empty where the unit is another.
///
/// # Errors
/// When the writer fails.
pub fn write_csv_in<R: Serialize>(unit: ErrorUnit, rows: &[R], header: bool, mut writer: impl Write) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::results(format!("cannot write CSV: {e}"));
    if unit.is_millimetres() {
        return write_csv(rows, header, writer);
    }
    let mut written = Vec::new();
    write_csv(rows, true, &mut written)?;
    let mut lines = csv::ReaderBuilder::new().has_headers(false).from_reader(written.as_slice()).into_records();
    let Some(names) = lines.next().transpose().map_err(|e| failed(&e))? else { return Ok(()) };
    let mut csv = csv::Writer::from_writer(&mut writer);
    if header {
        csv.write_record(&names).map_err(|e| failed(&e))?;
    }
    for line in lines {
        let line = line.map_err(|e| failed(&e))?;
        let cells = names.iter().zip(&line).map(|(name, cell)| if name.ends_with("mm") { "" } else { cell });
        csv.write_record(cells).map_err(|e| failed(&e))?;
    }
    csv.flush().map_err(|e| failed(&e))
}

/// [`write_csv_in`] of several tables below one another, each with its name in a first column of this title.
///
/// # Errors
/// When the writer fails.
pub fn write_named_csv_in<R: Serialize>(
    unit: ErrorUnit,
    title: &str,
    tables: &[(&str, &[R])],
    writer: impl Write,
) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::results(format!("cannot write CSV: {e}"));
    let mut csv = csv::Writer::from_writer(writer);
    let mut has_header = false;
    for (name, rows) in tables {
        let mut written = Vec::new();
        write_csv_in(unit, rows, true, &mut written)?;
        let lines = csv::ReaderBuilder::new().has_headers(false).from_reader(written.as_slice()).into_records();
        for (number, line) in lines.enumerate() {
            let line = line.map_err(|e| failed(&e))?;
            let first = if number == 0 { title } else { name };
            if number > 0 || !has_header {
                csv.write_record(std::iter::once(first).chain(&line)).map_err(|e| failed(&e))?;
                has_header = true;
            }
        }
    }
    csv.flush().map_err(|e| failed(&e))
}

/// The rows of a CSV up to the first unreadable one, and the error of that row.
#[must_use]
pub fn read_csv_start<R: Row>(reader: impl Read) -> (Vec<R>, Option<Error>) {
    let mut rows = Vec::new();
    for row in each(reader) {
        match row {
            Ok(row) => rows.push(row),
            Err(e) => return (rows, Some(e)),
        }
    }
    (rows, None)
}

/// Reads all rows of a CSV; columns unknown to this version are ignored.
///
/// # Errors
/// Names the line and the column that cannot be read, or whose value cannot be.
pub fn read_csv<R: Row>(reader: impl Read) -> Result<Vec<R>> {
    each(reader).collect()
}

fn each<R: Row>(reader: impl Read) -> impl Iterator<Item = Result<R>> {
    let unreadable = |e: csv::Error| Error::results(format!("not a readable record: {e}"));
    let mut reader = csv::Reader::from_reader(reader);
    let header = reader.headers().cloned().map_err(unreadable);
    let (header, mut failed) = match header {
        Ok(header) => (header, None),
        Err(e) => (csv::StringRecord::new(), Some(e)),
    };
    let mut lines = reader.into_records();
    std::iter::from_fn(move || {
        if let Some(error) = failed.take() {
            return Some(Err(error));
        }
        let line = match lines.next()? {
            Ok(line) => line,
            Err(e) => return Some(Err(unreadable(e))),
        };
        Some(line.deserialize::<R>(Some(&header)).map_err(unreadable).and_then(|row| {
            row.check().map(|()| row).map_err(|(column, why)| {
                let number = line.position().map_or(0, csv::Position::line);
                Error::results(why)
                    .at(format!("line {number}, column {column}"))
                    .remedy("the file is damaged, or was changed by hand: restore it, or train the trial again")
            })
        }))
    })
}
