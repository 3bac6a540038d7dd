//! Numbers of tables and charts as CSV.

use axum::response::{IntoResponse, Response};

use sweep_core::error::Error;
use sweep_core::plain;

use super::{Answer, Refusal, file_name};

/// A file of these rows. Cells that a spreadsheet would calculate are marked as text.
pub(super) fn csv(name: &str, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Answer {
    let failed = |e: csv::Error| Refusal::Failed(Error::results(format!("cannot write CSV: {e}")));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header.iter().map(|cell| plain::cell(cell).into_owned())).map_err(failed)?;
    for row in rows {
        writer.write_record(row.iter().map(|cell| plain::cell(cell).into_owned())).map_err(failed)?;
    }
    let bytes =
        writer.into_inner().map_err(|e| Refusal::Failed(Error::results(format!("cannot write CSV: {}", e.error()))))?;
    Ok(file(name, bytes))
}

fn file(name: &str, bytes: Vec<u8>) -> Response {
    let place = format!("attachment; filename=\"{}.csv\"", file_name(name));
    ([("content-type", "text/csv; charset=utf-8".to_owned()), ("content-disposition", place)], bytes).into_response()
}
