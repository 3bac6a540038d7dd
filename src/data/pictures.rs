//! Images outside a data set: the files to predict.

#![expect(clippy::disallowed_methods, reason = "reads image files and lists folders")]

use std::fs;
use std::path::{Path, PathBuf};

use super::picture::{self, DeepGrey, GreyRange, Orientation};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Size, Spacing};

/// A picture as viewers show it, in the pixels of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photograph {
    /// Size of `pixels`.
    pub size: Size,
    /// Grey values, row by row, 0 is black.
    pub pixels: Vec<u8>,
}

/// How a picture came to be as it is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown {
    /// How the stored picture was turned.
    pub orientation: Orientation,
    /// The range of its grey values, where they have more than 8 bits and the file does not say itself what is shown.
    pub range: Option<GreyRange>,
    /// Millimetres per pixel, where the file states them.
    pub spacing: Option<Spacing>,
}

impl Photograph {
    /// Reads an image file of any format that data sets may have; colours become luma, deep values 8 bits by their own range.
    ///
    /// # Errors
    /// When it cannot be read, or is no picture.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self::open(path, DeepGrey::Own)?.0)
    }

    /// Reads an image file, deep grey values by this range, and says how it came to be as it is shown.
    ///
    /// # Errors
    /// Same errors as [`Photograph::read`].
    pub fn open(path: &Path, deep: DeepGrey) -> Result<(Self, Shown)> {
        let picture::Picture { grey, orientation, range } = picture::open(path, deep)?;
        if grey.size.area() == 0 {
            return Err(Error::input("an image without pixels").at(path.display()));
        }
        let shown = Shown { orientation, range, spacing: grey.spacing };
        Ok((Self { size: grey.size, pixels: grey.pixels }, shown))
    }
}

/// The image files that paths name: a file is itself, whatever it is called; of a folder those whose names are images',
/// and DICOM files without an ending, in the order of their names, without those in folders inside it.
///
/// # Errors
/// When a path names nothing, or a folder that has no image.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            if !path.exists() {
                return Err(Error::input("there is no such file or folder").at(path.display()));
            }
            files.push(path.clone());
            continue;
        }
        let unreadable = |e: std::io::Error| Error::input(format!("cannot be read: {e}")).at(path.display());
        let mut found = Vec::new();
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if picture::is_image_file(&file) && file.is_file() {
                found.push(file);
            }
        }
        if found.is_empty() {
            return Err(Error::input("there is no image in this folder")
                .at(path.display())
                .remedy("name a folder that holds images itself; folders inside it are not looked into"));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_its_images_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.png", "a.JPG", ".hidden.png", "notes.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("c.png")).unwrap();
        let path = |name: &str| folder.path().join(name);
        assert_eq!(files(&[path("")]).unwrap(), [path("a.JPG"), path("b.png")]);
        assert_eq!(files(&[path("notes.txt"), path("b.png")]).unwrap(), [path("notes.txt"), path("b.png")]);
        assert!(files(&[path("c.png")]).unwrap_err().message.contains("no image"));
        assert!(files(&[path("d.png")]).unwrap_err().location.unwrap().contains("d.png"));
        assert!(Photograph::read(&path("b.png")).is_err());
    }
}
