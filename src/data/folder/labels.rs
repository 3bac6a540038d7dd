//! Copies of data sets with other labels, and with more images.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::edit::Edit;
use super::header::HEADER;
use super::table::SPACING;
use super::{copy, read_header, read_text, write_all_or_nothing, write_text};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Spacing};

/// Landmarks of an image, by name.
pub type Labels = BTreeMap<String, Point>;

/// An image that a copy of a data set has in addition, as a training image.
#[derive(Debug, Clone, PartialEq)]
pub struct AddedImage {
    /// Its file.
    pub file: PathBuf,
    /// Its name in the copy.
    pub name: String,
    /// Its landmarks.
    pub labels: Labels,
    /// Millimetres per pixel, where each image has its own.
    pub spacing: Option<Spacing>,
}

/// Millimetres per pixel that `dataset.toml` states for all images.
///
/// # Errors
/// When it cannot be read.
pub fn shared_spacing(dir: &Path) -> Result<Option<Spacing>> {
    Ok(read_header(dir)?.spacing_mm)
}

/// Copies a data set folder. Images in `labels` have these landmarks in the copy, where they are named; everything else stays
/// as it is, image files included.
///
/// # Errors
/// When a file cannot be read or written, or an added image has the name of another one; then nothing is written.
pub fn relabelled_copy(dir: &Path, out: &Path, labels: &BTreeMap<String, Labels>, added: &[AddedImage]) -> Result<()> {
    let header = read_header(dir)?;
    let (csv, images) = (Path::new(&header.landmarks), Path::new(&header.images));
    let text = read_text(&dir.join(csv))?;
    let (table, names) = relabelled(&text, labels, added).map_err(|e| e.at(dir.join(csv).display()))?;
    write_all_or_nothing(out, |out| {
        write_text(&out.join(HEADER), &read_text(&dir.join(HEADER))?)?;
        write_text(&out.join(csv), &table)?;
        for name in &names {
            copy(&dir.join(images).join(name), &out.join(images).join(name))?;
        }
        added.iter().try_for_each(|image| copy(&image.file, &out.join(images).join(&image.name)))
    })
}

/// The table with other landmarks and more rows, and the images of the rows that were there.
fn relabelled(text: &str, labels: &BTreeMap<String, Labels>, added: &[AddedImage]) -> Result<(String, Vec<String>)> {
    let mut edit = Edit::new(text)?;
    let columns = edit.columns.clone();
    let (header, records) = edit.take();
    edit.write(&header)?;
    let mut names = Vec::new();
    for record in &records {
        let name = edit.image(record).to_owned();
        match labels.get(&name) {
            None => edit.write(record)?,
            Some(labels) => {
                let cell =
                    |(column, old): (&String, &str)| coordinate(column, labels).unwrap_or_else(|| old.to_owned());
                edit.write(columns.iter().zip(record).map(cell))?;
            }
        }
        names.push(name);
    }
    for image in added {
        if names.contains(&image.name) {
            return Err(Error::input(format!("`{}` is the name of an image that is there", image.name)));
        }
        edit.write(columns.iter().map(|column| of_added(column, image)))?;
    }
    Ok((edit.finish()?, names))
}

/// A cell of an added image: every column of splits says that it trains.
fn of_added(column: &str, image: &AddedImage) -> String {
    let [x, y] = SPACING;
    if let Some(cell) = coordinate(column, &image.labels) {
        cell
    } else if column == "image" {
        image.name.clone()
    } else if column == x || column == y {
        image
            .spacing
            .map(|spacing| if column == x { spacing.x } else { spacing.y })
            .map_or_else(String::new, |mm| mm.to_string())
    } else if column.starts_with("group") || column == "patient" || column.ends_with("_x") || column.ends_with("_y") {
        String::new()
    } else {
        "train".to_owned()
    }
}

/// The number in a landmark's column, with three decimals at most.
fn coordinate(column: &str, labels: &Labels) -> Option<String> {
    let (name, axis) = column.rsplit_once('_')?;
    let at = labels.get(name)?;
    let value = match axis {
        "x" => at.x,
        "y" => at.y,
        _ => return None,
    };
    Some(((value * 1000.0).round() / 1000.0).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_change_where_they_are_named_and_added_images_train() {
        let text = "image,set1,split,a_x,a_y,b_x,b_y,patient,group_site\n1.png,val,train,1,2,,,p,s\n2.png,train,val,1,2,3,4,q,s\n";
        let labels =
            BTreeMap::from([("1.png".to_owned(), Labels::from([("b".to_owned(), Point { x: 5.123_46, y: 6.0 })]))]);
        let added = AddedImage {
            file: "x/3.png".into(),
            name: "3.png".to_owned(),
            labels: Labels::from([("a".to_owned(), Point { x: 7.5, y: 8.0 })]),
            spacing: None,
        };
        let (table, names) = relabelled(text, &labels, std::slice::from_ref(&added)).unwrap();
        let expected = text.replace("1,2,,,p", "1,2,5.123,6,p") + "3.png,train,train,7.5,8,,,,\n";
        assert_eq!(table, expected);
        assert_eq!(names, ["1.png", "2.png"]);
        let twice = AddedImage { name: "2.png".to_owned(), ..added };
        assert!(relabelled(text, &labels, &[twice]).unwrap_err().message.contains("`2.png`"));
    }
}
