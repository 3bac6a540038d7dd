//! Tables on standard output.

use sweep_analysis::report::TextTable;
use sweep_core::error::Result;

use super::say;

/// Prints a table in columns as wide as their cells.
pub(super) fn say_table(table: &TextTable) -> Result<()> {
    aligned(table).iter().try_for_each(|line| say(line.trim_end()))
}

/// The lines of a table: names to the left, everything else to the right.
fn aligned(table: &TextTable) -> Vec<String> {
    let lines: Vec<&Vec<String>> = std::iter::once(&table.columns).chain(&table.rows).collect();
    let length = |text: &str| text.chars().count();
    let widths: Vec<usize> =
        (0..table.columns.len()).map(|at| lines.iter().map(|cells| length(&cells[at])).max().unwrap_or(0)).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(at, (cell, width))| match at {
            0 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        padded.collect::<Vec<_>>().join("  ")
    };
    lines.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let text = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let table = TextTable {
            columns: text(&["configuration", "MRE (mm)", "95 % interval"]),
            rows: vec![text(&["nll", "0.53", "0.49 – 0.58"]), text(&["Größe über null", "12.10", "–"])],
        };
        let lines = aligned(&table);
        assert_eq!(lines[1], "nll                  0.53    0.49 – 0.58");
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{lines:?}");
    }
}
