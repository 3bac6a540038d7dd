//! Finds the format nearest to a source that no importer recognises, and names what the source lacks.

use std::collections::BTreeMap;
use std::path::Path;

use super::cells::{Cells, CommonColumns};
use super::coordinates::pairs;
use super::tree::Tree;
use super::workbook;

/// Keys of the JSON formats.
const JSON: [(&str, &[&str]); 4] = [
    ("coco", &["images", "annotations", "categories"]),
    ("labelme", &["shapes", "imagePath"]),
    ("cl-detection", &["points", "type"]),
    ("slicer", &["markups"]),
];

/// A sentence about the most telling file.
pub(super) fn describe(tree: &Tree) -> String {
    let tables = ["csv"].iter().chain(&workbook::ENDINGS).flat_map(|ending| tree.some(ending));
    let mut tables = tables;
    let table = tables.find_map(|file| table(tree, file));
    table.or_else(|| workbook(tree)).or_else(|| json(tree)).or_else(|| xml(tree)).unwrap_or_else(|| endings(tree))
}

fn table(tree: &Tree, file: &Path) -> Option<String> {
    let cells = Cells::header(tree, file)?;
    let name = file.display();
    let list: Vec<&str> = cells.header.iter().take(12).map(String::as_str).collect();
    let more = if cells.header.len() > 12 { ", …" } else { "" };
    let columns = format!("{name} has the columns {}{more}", list.join(", "));
    let has_x = cells.column(&["x"]).is_some() && cells.column(&["y"]).is_some();
    Some(match (CommonColumns::find(&cells).is_ok(), pairs(&cells).is_empty(), has_x) {
        (false, false, _) => format!(
            "it is nearest to `csv`, but no column names the image ({columns}); --columns image=NAME says which does"
        ),
        (false, true, true) => format!(
            "it is nearest to `csv-long`, but no column names the image ({columns}); --columns image=NAME says which does"
        ),
        (true, true, true) => format!(
            "it is nearest to `csv-long`, but no column names the landmark ({columns}); --columns landmark=NAME says which does"
        ),
        (true, true, false) => format!(
            "it is nearest to `csv`, but there are no columns NAME_x and NAME_y of landmarks ({columns}); --columns \
             S_x=HEADER,S_y=HEADER says which they are"
        ),
        _ => format!(
            "it is nearest to `csv`, but columns of the image and of landmarks, NAME_x and NAME_y, are missing ({columns}); \
             --columns says which they are"
        ),
    })
}

/// Why a workbook cannot be read.
fn workbook(tree: &Tree) -> Option<String> {
    let mut files = workbook::ENDINGS.iter().flat_map(|ending| tree.some(ending));
    files.find_map(|file| {
        let error = Cells::open(tree, file).err()?;
        Some(format!("{} is a workbook that cannot be read: {}", file.display(), error.message))
    })
}

fn json(tree: &Tree) -> Option<String> {
    let file = *tree.some("json").first()?;
    let keys = tree.keys(file);
    if keys.is_empty() {
        return Some(match tree.json::<serde::de::IgnoredAny>(file) {
            Ok(_) => format!("{} is JSON without the keys of a known format", file.display()),
            Err(error) => format!("{} is not readable JSON: {}", file.display(), error.message),
        });
    }
    let has = |key: &&&str| keys.iter().any(|own| own == *key);
    let (format, wanted) = *JSON.iter().max_by_key(|(_, wanted)| wanted.iter().filter(has).count())?;
    let shown = keys.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    let lacks: Vec<&str> = wanted.iter().filter(|key| !has(key)).copied().collect();
    if lacks.len() == wanted.len() {
        return Some(format!("{} is JSON with the keys {shown}, which are no known format's", file.display()));
    }
    Some(format!(
        "it is nearest to `{format}`, but {} lacks the key {} (it has {shown})",
        file.display(),
        lacks.join(", ")
    ))
}

fn xml(tree: &Tree) -> Option<String> {
    let file = *tree.some("xml").first()?;
    let head = tree.head(file).ok()?;
    let mut elements = head.split('<').skip(1);
    let root = elements.find(|element| element.starts_with(|c: char| c.is_alphabetic()))?;
    let root = root.split(|c: char| c.is_whitespace() || c == '>' || c == '/').next()?;
    Some(format!("{} begins with <{root}>, but CVAT begins with <annotations> and dlib with <dataset>", file.display()))
}

/// The files by the endings of their names.
fn endings(tree: &Tree) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in tree.files() {
        let ending =
            file.extension().map_or_else(|| "no ending".into(), |e| format!(".{}", e.to_string_lossy().to_lowercase()));
        *counts.entry(ending).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let list: Vec<String> = counts.iter().take(6).map(|(ending, count)| format!("{count} {ending}")).collect();
    if list.is_empty() {
        return "there is no file in it".into();
    }
    format!("no file of annotations is among its files ({})", list.join(", "))
}
