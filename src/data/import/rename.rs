//! Files of landmarks' new names.

#![expect(clippy::disallowed_methods, reason = "reads a file that the user names")]

use std::fs;
use std::path::Path;

use sweep_core::error::{Error, Result};

use super::cells::{Cells, line};
use super::text;

/// Old and new names, a pair a row; a first row `old,new` is a header.
///
/// # Errors
/// Names the line that is no such pair.
pub fn read_names(file: &Path) -> Result<Vec<(String, String)>> {
    let at = |e: Error| e.at(file.display());
    let bytes = fs::read(file).map_err(|e| at(Error::input(format!("cannot be read: {e}"))))?;
    let (text, _) = text::decode(&bytes).map_err(at)?;
    let mut names = Vec::new();
    for (number, row) in Cells::without_header(&text).map_err(at)?.rows {
        match row.iter().collect::<Vec<_>>()[..] {
            [old, new] if names.is_empty() && old.eq_ignore_ascii_case("old") && new.eq_ignore_ascii_case("new") => {}
            [old, new] if !old.is_empty() && !new.is_empty() => names.push((old.to_owned(), new.to_owned())),
            _ => {
                return Err(at(Error::input("not an old and a new name")
                    .at(line(number))
                    .remedy("write OLD,NEW a row, for example Mentn,Menton")));
            }
        }
    }
    Ok(names)
}
