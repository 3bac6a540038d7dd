//! Excel and OpenDocument workbooks: a sheet laid out as a CSV of either kind.
//!
//! Origin, orientation, visibility: as in `csv` and `csv-long`.

use std::path::Path;

use sweep_core::error::{Error, Result};

use super::parsed::ParsedDataset;
use super::tree::Tree;
use super::{Importer, Options, Origin, csv_long, csv_wide, workbook};

pub(super) const IMPORTER: Importer = Importer {
    name: "excel",
    reads: "workbooks (.xlsx, .xls, .ods) whose first sheet, or the one that `--sheet` names, is laid out as `csv` or \
            `csv-long`; formulas by their last result",
    loses: "other columns (named), other sheets (named), formats",
    origin: Origin::Centre,
    leaves_origin: true,
    has_categories: false,
    is_table: true,
    recognizes: |tree| {
        workbooks(tree).iter().any(|file| csv_wide::is_wide(tree, file) || csv_long::is_long(tree, file))
    },
    read,
};

/// Workbooks; Excel's own locks (`~$…`) are none.
fn workbooks(tree: &Tree) -> Vec<&Path> {
    let all = workbook::ENDINGS.iter().flat_map(|ending| tree.annotations(ending));
    all.filter(|file| file.file_name().is_some_and(|name| !name.to_string_lossy().starts_with("~$"))).collect()
}

fn read(tree: &Tree, _: &Options) -> Result<ParsedDataset> {
    let all = workbooks(tree);
    let wide: Vec<&Path> = all.iter().copied().filter(|file| csv_wide::is_wide(tree, file)).collect();
    let long: Vec<&Path> = all.iter().copied().filter(|file| csv_long::is_long(tree, file)).collect();
    match (wide.is_empty(), long.is_empty()) {
        (false, true) => csv_wide::read_files(tree, &wide, tree.name()),
        (true, false) => csv_long::read_files(tree, &long),
        (true, true) => {
            // The reason why a sheet is not such a table.
            if let Some(file) = all.first() {
                super::cells::Cells::open(tree, file).map_err(|e| e.at(tree.path(file).display()))?;
            }
            Err(Error::input("there is no workbook with a table of landmarks")
                .remedy("the first row is image,NAME_x,NAME_y,… or image,landmark,x,y; see --columns and --sheet"))
        }
        (false, false) => Err(Error::input("workbooks with a row per image and with a row per landmark")
            .remedy("name one of them as the source")),
    }
}
