//! Image files as 8-bit grey values, and back: PNG, JPEG, BMP, TIFF, DICOM and MetaImage. What a file is, its first bytes
//! say, not its name.

#![expect(clippy::disallowed_methods, reason = "reads and writes image files")]

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use image::{ExtendedColorType, ImageEncoder};

use sweep_core::error::{Error, Result};
use sweep_core::units::{Size, Spacing};

mod depth;
mod dicom;
pub(super) mod mha;
mod raster;

/// File names that end in one of these are images.
const EXTENSIONS: [&str; 9] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "dcm", "dicom", "mha"];

/// A damaged header can claim any size: 64 million pixels are ten times the largest cephalogram in use.
const MAX_PIXELS: u64 = 1 << 26;
/// Enough to decode [`MAX_PIXELS`] in 16-bit colour with alpha.
const MAX_BYTES: u64 = MAX_PIXELS * 8 + (1 << 20);

/// An image in memory, row by row, 0 is black, with what its file says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Grey {
    /// Rows and columns.
    pub size: Size,
    /// One grey value per pixel.
    pub pixels: Vec<u8>,
    /// Size of a pixel, where the file states it: DICOM and MetaImage do; resolutions of other files are seldom meant.
    pub spacing: Option<Spacing>,
    /// A fingerprint of whose image it is, where a DICOM file names a patient.
    pub patient: Option<String>,
}

impl Grey {
    /// An image of which the file says nothing else.
    fn plain(size: Size, pixels: Vec<u8>) -> Self {
        Self { size, pixels, spacing: None, patient: None }
    }
}

/// Whether the name looks like an image's; hidden files do not.
pub(super) fn is_image(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|n| n.to_string_lossy().starts_with('.'));
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    !hidden && extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

/// Reads an image: colours become luma, deeper values 8 bits (see `depth`), and what a DICOM file says of its
/// presentation is done.
///
/// # Errors
/// When the file cannot be read, is none of these, is damaged or larger than any radiograph; names the file.
pub fn read(path: &Path) -> Result<Grey> {
    let unreadable = |e: &dyn std::fmt::Display| Error::input(format!("cannot be read: {e}")).at(path.display());
    let facts = fs::metadata(path).map_err(|e| unreadable(&e))?;
    if !facts.is_file() {
        return Err(unreadable(&"not a file"));
    }
    if facts.len() > MAX_BYTES {
        return Err(Error::input(format!("{} MiB are more than an image takes", facts.len() >> 20)).at(path.display()));
    }
    decode(&fs::read(path).map_err(|e| unreadable(&e))?).map_err(|e| e.at(path.display()))
}

/// [`read`] for a file's bytes.
///
/// # Errors
/// Same errors as [`read`], without the file's name.
pub fn decode(bytes: &[u8]) -> Result<Grey> {
    let grey = match bytes {
        _ if dicom::is(bytes) => dicom::decode(bytes),
        _ if mha::is(bytes) => mha::decode(bytes),
        _ => raster::decode(bytes),
    };
    grey.map_err(|e| {
        e.remedy(
            "replace it by an intact copy; PNG, JPEG, BMP and TIFF images of 8 or 16 bits, DICOM and MetaImage (.mha) \
             are read",
        )
    })
}

/// The error of a damaged file.
fn damaged(what: impl std::fmt::Display) -> Error {
    Error::input(format!("not a readable image: {what}"))
}

/// The size, if it is one that an image has.
fn possible(width: u64, height: u64) -> Result<Size> {
    if width == 0 || height == 0 {
        return Err(damaged(format!("it is {width}×{height} pixels")));
    }
    if width.saturating_mul(height) > MAX_PIXELS {
        return Err(Error::input(format!("claims to be {width}×{height} pixels, more than {MAX_PIXELS} in all")));
    }
    Ok(Size { height: height as usize, width: width as usize })
}

/// Writes an 8-bit grey PNG.
pub(super) fn write_png(path: &Path, size: Size, pixels: &[u8]) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::input(format!("cannot be written: {e}")).at(path.display());
    let mut file = BufWriter::new(fs::File::create(path).map_err(|e| failed(&e))?);
    image::codecs::png::PngEncoder::new(&mut file)
        .write_image(pixels, size.width as u32, size.height as u32, ExtendedColorType::L8)
        .map_err(|e| failed(&e))?;
    file.flush().map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageFormat, Luma, Rgb};

    use super::*;

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn ramp() -> image::GrayImage {
        image::GrayImage::from_fn(24, 16, |x, y| Luma([(x * 7 + y * 3) as u8]))
    }

    #[test]
    fn colours_become_luma_and_sixteen_bits_become_eight() {
        let grey_in_colour = image::RgbImage::from_fn(4, 2, |x, _| Rgb([x as u8 * 80; 3]));
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff] {
            let grey = decode(&encoded(grey_in_colour.clone(), format)).unwrap();
            assert_eq!((grey.size.width, grey.size.height), (4, 2));
            assert_eq!(grey.pixels[..4], [0, 80, 160, 240], "{format:?}");
        }
        let deep = image::ImageBuffer::<Luma<u16>, _>::from_fn(3, 1, |x, _| Luma([x as u16 * 0x7fff]));
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            assert_eq!(decode(&encoded(deep.clone(), format)).unwrap().pixels, [0, 127, 255]);
        }
        let green = image::RgbImage::from_pixel(1, 1, Rgb([0, 255, 0]));
        assert_eq!(decode(&encoded(green, ImageFormat::Png)).unwrap().pixels, [182]);
    }

    #[test]
    fn cut_off_files_are_refused_in_every_format() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff] {
            let bytes = encoded(ramp(), format);
            assert!(decode(&bytes).is_ok(), "{format:?}");
            for kept in [bytes.len() - 13, bytes.len() / 2, 10, 0] {
                assert!(decode(&bytes[..kept]).is_err(), "{format:?} cut to {kept} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn a_gigantic_claim_is_refused_before_memory_is_taken() {
        let mut bytes = encoded(ramp(), ImageFormat::Bmp);
        bytes[18..26].copy_from_slice(&[0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]);
        assert!(decode(&bytes).unwrap_err().message.contains("65535×65535"));
    }

    #[test]
    fn images_are_known_by_their_names() {
        assert!(is_image(Path::new("a/001.PNG")) && is_image(Path::new("x.jpeg")));
        assert!(!is_image(Path::new("a/._001.png")) && !is_image(Path::new("landmarks.csv")));
    }
}
