//! Records as CSV, and back.

use std::io::{Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

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

/// The rows of a CSV up to the first unreadable one, and the error of that row.
#[must_use]
pub fn read_csv_start<R: DeserializeOwned>(reader: impl Read) -> (Vec<R>, Option<Error>) {
    let mut rows = Vec::new();
    for row in csv::Reader::from_reader(reader).into_deserialize() {
        match row {
            Ok(row) => rows.push(row),
            Err(e) => return (rows, Some(Error::results(format!("not a readable record: {e}")))),
        }
    }
    (rows, None)
}

/// Reads all rows of a CSV; columns unknown to this version are ignored.
///
/// # Errors
/// Names the line and the column that cannot be read.
pub fn read_csv<R: DeserializeOwned>(reader: impl Read) -> Result<Vec<R>> {
    csv::Reader::from_reader(reader)
        .into_deserialize()
        .collect::<Result<_, csv::Error>>()
        .map_err(|e| Error::results(format!("not a readable record: {e}")))
}
