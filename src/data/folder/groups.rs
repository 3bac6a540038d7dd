//! Writing a column of groups into a data set's CSV.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use csv::{StringRecord, Terminator};

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
    let not_csv = |e: csv::Error| Error::input(format!("not CSV: {e}"));
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut records = reader.records();
    let header = records.next().unwrap_or_else(|| Ok(StringRecord::new())).map_err(not_csv)?;
    let place = |name: &str| header.iter().position(|cell| cell.trim() == name);
    let image = place("image").ok_or_else(|| Error::input("there is no column `image`"))?;
    let old = place(column);
    let ends = if text.contains("\r\n") { Terminator::CRLF } else { Terminator::Any(b'\n') };
    let mut writer = csv::WriterBuilder::new().flexible(true).terminator(ends).from_writer(Vec::new());
    let mut write = |record: &StringRecord, word: &str| {
        let mut cells: Vec<&str> = record.iter().collect();
        match old {
            Some(old) if old < cells.len() => cells[old] = word,
            _ => cells.push(word),
        }
        writer.write_record(cells).map_err(not_csv)
    };
    write(&header, column)?;
    for record in records {
        let record = record.map_err(not_csv)?;
        let name = record.get(image).unwrap_or_default().trim();
        let word = words.get(name).ok_or_else(|| Error::input(format!("`{name}` is in no group")))?;
        write(&record, word)?;
    }
    let bytes = writer.into_inner().map_err(|e| Error::input(format!("not CSV: {e}")))?;
    String::from_utf8(bytes).map_err(|e| Error::input(format!("not UTF-8: {e}")))
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
