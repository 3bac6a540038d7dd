//! One tidy table over many sweeps, for other tools: a row per trial, epoch, landmark or error, and a column per variable. Built
//! from the records alone.

mod column;
mod columns;
mod errors;
mod measures;
mod parquet;
mod rows;
mod text;

use std::path::{Path, PathBuf};

use sweep_core::error::{Error, Result};
use sweep_core::note;
use sweep_experiment::store::{Entry, Store};

pub use column::Column;
pub use rows::{RowKind, table};

/// Columns of the same length, each with its name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Names and columns, in the order in which they are written.
    pub columns: Vec<(String, Column)>,
    /// Trials without rows, because their records are damaged, and why.
    pub left_out: Vec<(String, String)>,
}

/// File format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values: `nan` for a missing number, an empty cell for a missing text.
    Csv,
    /// Apache Parquet: typed columns, `NaN` or null for missing values.
    Parquet,
    /// A list of objects, `null` for missing values.
    Json,
}

impl Table {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }

    /// The table in a format.
    ///
    /// # Errors
    /// Never in practice; everything is written to memory.
    pub fn bytes(&self, format: Format) -> Result<Vec<u8>> {
        match format {
            Format::Csv => text::csv(self),
            Format::Json => text::json(self),
            Format::Parquet => parquet::parquet(self),
        }
    }
}

/// The sweeps in these folders: each is the folder of a sweep or contains such folders.
///
/// # Errors
/// When a folder neither is nor contains the folder of a sweep.
pub fn sweeps(folders: &[PathBuf]) -> Result<Vec<Store>> {
    let mut found: Vec<Store> = Vec::new();
    for folder in folders {
        let store = Store::at(folder);
        let sweeps = if store.is_sweep() { vec![store] } else { sweeps_in(folder)? };
        if sweeps.is_empty() {
            return Err(Error::results("no sweep.toml: neither the folder of a sweep nor one that holds sweeps")
                .at(folder.display())
                .remedy("name the folder a run made, as results/loss, or the one it made it in, as results"));
        }
        found.extend(
            sweeps
                .into_iter()
                .filter(|sweep| !found.iter().any(|known| known.root() == sweep.root()))
                .collect::<Vec<_>>(),
        );
    }
    Ok(found)
}

/// The sweeps in a folder, by name. A link is left out, because the folder may be somebody else's, and said.
fn sweeps_in(folder: &Path) -> Result<Vec<Store>> {
    let mut found = Vec::new();
    for (store, entry) in Store::all_in(folder)? {
        if entry == Entry::Link {
            note!("{}: a link, left out; name it on the command line to have it too", store.root().display());
        } else {
            found.push(store);
        }
    }
    Ok(found)
}
