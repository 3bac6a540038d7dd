//! `sweep export csv`, `parquet` and `json`: records of several sweeps as one table.

use std::io::IsTerminal;

use crate::cli::{TableKind, Tables};
use sweep_analysis::tidy_table::{self, Format, RowKind};
use sweep_core::error::{Error, Outcome, Result};
use sweep_core::note;
use sweep_experiment::store;

use super::super::print;

pub(super) fn write(flags: &Tables, format: Format) -> Result<Outcome> {
    if format == Format::Parquet && flags.output.is_none() && std::io::stdout().is_terminal() {
        return Err(Error::definition("Parquet is not for terminals").remedy("name a file with --output, or use csv"));
    }
    let kind = match flags.table {
        TableKind::Trials => RowKind::Trials,
        TableKind::Summary => RowKind::Summary,
        TableKind::Epochs => RowKind::Epochs,
        TableKind::Landmarks => RowKind::Landmarks,
        TableKind::Errors => RowKind::Errors,
        TableKind::Measures => RowKind::Measures,
    };
    let table = tidy_table::table(&tidy_table::sweeps(&flags.results)?, kind)?;
    for (trial, why) in &table.left_out {
        note!("left out: {trial}: {why}");
    }
    let bytes = table.bytes(format)?;
    match &flags.output {
        Some(file) => {
            store::write(file, &bytes)?;
            note!("{}: {} rows, {} columns", file.display(), table.rows(), table.columns.len());
        }
        None => print(&bytes)?,
    }
    Ok(Outcome::Done)
}
