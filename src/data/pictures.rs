//! Images outside a data set: the files to predict.

#![expect(clippy::disallowed_methods, reason = "reads image files and lists folders")]

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use super::Channels;
use super::picture::{self, DeepGrey, GreyRange, Orientation};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Size, Spacing};

/// A picture as viewers show it, in the pixels of its file, in grey or in colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photograph {
    /// Size of `pixels`.
    pub size: Size,
    /// Grey values, row by row, 0 is black; in colour a plane of red, one of green and one of blue follow one another.
    pub pixels: Vec<u8>,
}

/// How a picture came to be as it is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown {
    /// How the stored picture was turned.
    pub orientation: Orientation,
    /// The range of its grey values, where they have more than 8 bits and the file does not say itself what is shown.
    pub range: Option<GreyRange>,
    /// Whether the file is grey and was asked for in colour: its grey values are all three.
    pub is_repeated: bool,
    /// Millimetres per pixel, where the file states them.
    pub spacing: Option<Spacing>,
}

impl Photograph {
    /// Reads an image file of any format that data sets may have; colours become luma, deep values 8 bits by their own range.
    ///
    /// # Errors
    /// When it cannot be read, or is no picture.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self::open(path, DeepGrey::Own, Channels::Grey)?.0)
    }

    /// Reads an image file in grey or in colour, deep values by this range, and says how it came to be as it is shown.
    ///
    /// # Errors
    /// Same errors as [`Photograph::read`].
    pub fn open(path: &Path, deep: DeepGrey, channels: Channels) -> Result<(Self, Shown)> {
        let picture::Picture { grey, orientation, range } = picture::open_in(path, deep, channels)?;
        if grey.size.area() == 0 {
            return Err(Error::input("an image without pixels").at(path.display()));
        }
        let spacing = grey.spacing;
        let picture = Self { size: grey.size, pixels: grey.pixels };
        let is_repeated = picture.pixels.len() < channels.count() * grey.size.area();
        Ok((picture.into_channels(channels), Shown { orientation, range, is_repeated, spacing }))
    }

    /// The picture in grey or in colour: a grey value becomes all three of a colour, colours become luma (ITU-R BT.709).
    #[must_use]
    pub fn into_channels(self, channels: Channels) -> Self {
        let area = self.size.area();
        let pixels = match channels {
            Channels::Colour if self.pixels.len() == area => self.pixels.repeat(3),
            Channels::Grey if self.pixels.len() == 3 * area => {
                let channel =
                    |index: usize| self.pixels[index * area..(index + 1) * area].iter().map(|v| f32::from(*v));
                let colours = channel(0).zip(channel(1)).zip(channel(2));
                colours.map(|((r, g), b)| (0.2126 * r + 0.7152 * g + 0.0722 * b).round() as u8).collect()
            }
            _ => self.pixels,
        };
        Self { pixels, ..self }
    }

    /// [`Photograph::into_channels`], which copies only what is otherwise.
    #[must_use]
    pub fn in_channels(&self, channels: Channels) -> Cow<'_, Self> {
        if self.pixels.len() == channels.count() * self.size.area() {
            return Cow::Borrowed(self);
        }
        Cow::Owned(self.clone().into_channels(channels))
    }
}

/// Whether a path names images: a folder, or a file that its name or its first bytes say is one.
#[must_use]
pub fn are_images(path: &Path) -> bool {
    path.is_dir() || picture::is_image_file(path) || picture::begins_as_image(path)
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
    fn grey_and_colour_become_each_other() {
        let size = Size { height: 1, width: 2 };
        let grey = Photograph { size, pixels: vec![10, 200] };
        let colour = grey.clone().into_channels(Channels::Colour);
        assert_eq!(colour.pixels, [10, 200, 10, 200, 10, 200]);
        assert_eq!(colour.into_channels(Channels::Grey), grey);
        let green = Photograph { size, pixels: vec![0, 0, 255, 0, 0, 0] };
        assert_eq!(green.into_channels(Channels::Grey).pixels, [182, 0]);
    }

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
