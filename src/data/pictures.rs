//! Images outside a data set: the files to predict.

#![expect(clippy::disallowed_methods, reason = "reads image files and lists folders")]

use std::fs;
use std::path::{Path, PathBuf};

use super::picture;
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

/// A picture in its file's own pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photograph {
    /// Size of `pixels`.
    pub size: Size,
    /// Grey values, row by row, 0 is black.
    pub pixels: Vec<u8>,
}

impl Photograph {
    /// Reads an image file of any format that data sets may have; colours become luma, 16 bits become 8.
    ///
    /// # Errors
    /// When it cannot be read, or is no picture.
    pub fn read(path: &Path) -> Result<Self> {
        let grey = picture::read(path)?;
        if grey.size.area() == 0 {
            return Err(Error::input("an image without pixels").at(path.display()));
        }
        Ok(Self { size: grey.size, pixels: grey.pixels })
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
