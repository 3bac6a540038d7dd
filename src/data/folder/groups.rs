//! Writing a column of groups into a data set's CSV.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::edit::Edit;
use super::{read_header, read_text};
use crate::split::GROUP_PREFIX;
use sweep_core::error::{Error, Result};

/// A data set's CSV and its text with one more column, `group_NAME`: for every image a word, for `dataset.folds_by`. A column of
/// this name is replaced; everything else stays as it is.
///
/// # Errors
/// When the name is no word, the CSV cannot be read, or an image has no word.
pub fn with_groups(dir: &Path, name: &str, words: &BTreeMap<String, String>) -> Result<(PathBuf, String)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // The end of a landmark's column would make it one.
    if name.is_empty() || !name.chars().all(is_word) || name.ends_with("_x") || name.ends_with("_y") {
        return Err(Error::input(format!("`{name}` is no name of a column of groups"))
            .remedy("use letters, digits and _, as in cluster"));
    }
    let csv = dir.join(read_header(dir)?.landmarks);
    let text = read_text(&csv)?;
    let with = added(&text, &format!("{GROUP_PREFIX}{name}"), words).map_err(|e| e.at(csv.display()))?;
    Ok((csv, with))
}

fn added(text: &str, column: &str, words: &BTreeMap<String, String>) -> Result<String> {
    let mut edit = Edit::new(text)?;
    let old = edit.columns.iter().position(|name| name == column);
    let (header, records) = edit.take();
    edit.write(with_word(&header, old, column))?;
    for record in &records {
        let name = edit.image(record);
        let word = words.get(name).ok_or_else(|| Error::input(format!("`{name}` is in no group")))?;
        edit.write(with_word(record, old, word))?;
    }
    edit.finish()
}

/// A record's cells with a word in this place, or at the end.
fn with_word<'a>(record: &'a StringRecord, place: Option<usize>, word: &'a str) -> Vec<&'a str> {
    let mut cells: Vec<&str> = record.iter().collect();
    match place {
        Some(place) if place < cells.len() => cells[place] = word,
        _ => cells.push(word),
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_added_or_replaced_and_the_rest_stays() {
        let words = |a: &str, b: &str| BTreeMap::from([("1.png".into(), a.into()), ("a,b.png".into(), b.into())]);
        let text = "split,image,a_x,a_y\ntrain,1.png,1.50,2\nval,\"a,b.png\",,\n";
        let once = added(text, "group_site", &words("s1", "s2")).unwrap();
        assert_eq!(once, "split,image,a_x,a_y,group_site\ntrain,1.png,1.50,2,s1\nval,\"a,b.png\",,,s2\n");
        let twice = added(&once, "group_site", &words("s3", "s2")).unwrap();
        assert_eq!(twice, once.replace("s1", "s3"));
        let windows = added(&text.replace('\n', "\r\n"), "group_site", &words("s1", "s2")).unwrap();
        assert_eq!(windows, once.replace('\n', "\r\n"));
        let lost = added(text, "group_site", &BTreeMap::new()).unwrap_err();
        assert!(lost.message.contains("`1.png` is in no group"), "{lost}");
        for name in ["", "a b", "site_x"] {
            assert!(with_groups(Path::new("."), name, &BTreeMap::new()).unwrap_err().message.contains("no name"));
        }
    }
}
