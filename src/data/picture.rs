//! Image files as 8-bit grey values, and back.

#![expect(clippy::disallowed_methods, reason = "reads and writes image files")]

use std::fs;
use std::io::{BufWriter, Cursor, Write as _};
use std::path::Path;

use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageReader, Limits};

use crate::error::{Error, Result};
use crate::units::Size;

/// File names that end in one of these are images.
const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "bmp"];

/// A damaged header can claim any size: 64 million pixels are ten times the largest cephalogram in use.
const MAX_PIXELS: u64 = 1 << 26;
/// Enough to decode [`MAX_PIXELS`] in 16-bit colour with alpha.
const MAX_BYTES: u64 = MAX_PIXELS * 8 + (1 << 20);

/// An image in memory, row by row, 0 is black.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grey {
    pub(super) size: Size,
    pub(super) pixels: Vec<u8>,
}

/// Whether the name looks like an image's; hidden files do not.
pub(super) fn is_image(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|n| n.to_string_lossy().starts_with('.'));
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    !hidden && extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

/// Reads PNG, JPEG or BMP; colours become luma, 16 bits become 8.
pub(super) fn read(path: &Path) -> Result<Grey> {
    let bytes = fs::read(path).map_err(|e| Error::input(format!("cannot be read: {e}")).at(path.display()))?;
    decode(&bytes).map_err(|e| {
        e.at(path.display()).remedy("replace it by an intact copy; PNG, JPEG and BMP images of 8 or 16 bits are read")
    })
}

fn decode(bytes: &[u8]) -> Result<Grey> {
    let damaged = |e: &dyn std::fmt::Display| Error::input(format!("not a readable image: {e}"));
    // The JPEG decoder fills what a cut-off file lacks with grey and says nothing.
    if bytes.starts_with(&[0xff, 0xd8]) && !ends_as_jpeg(bytes) {
        return Err(damaged(&"the JPEG file is cut off"));
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| damaged(&e))?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|e| damaged(&e))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Error::input(format!("claims to be {width}×{height} pixels, more than {MAX_PIXELS} in all")));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(|e| damaged(&e))?;
    Ok(Grey { size: Size { height: height as usize, width: width as usize }, pixels: image.into_luma8().into_raw() })
}

/// Whether the end-of-image marker follows the last scan: inside a scan neither marker's bytes can occur.
fn ends_as_jpeg(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    last([0xff, 0xd9]) > last([0xff, 0xda])
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
    use super::*;
    use image::{ImageFormat, Luma, Rgb};

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
        for format in [ImageFormat::Png, ImageFormat::Bmp] {
            let grey = decode(&encoded(grey_in_colour.clone(), format)).unwrap();
            assert_eq!((grey.size.width, grey.size.height), (4, 2));
            assert_eq!(grey.pixels[..4], [0, 80, 160, 240], "{format:?}");
        }
        let deep = image::ImageBuffer::<Luma<u16>, _>::from_fn(3, 1, |x, _| Luma([x as u16 * 0x7fff]));
        assert_eq!(decode(&encoded(deep, ImageFormat::Png)).unwrap().pixels, [0, 127, 255]);
        let green = image::RgbImage::from_pixel(1, 1, Rgb([0, 255, 0]));
        assert_eq!(decode(&encoded(green, ImageFormat::Png)).unwrap().pixels, [182]);
    }

    #[test]
    fn cut_off_files_are_refused_in_every_format() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp] {
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
        assert!(decode(&bytes).unwrap_err().what.contains("65535×65535"));
    }

    #[test]
    fn images_are_known_by_their_names() {
        assert!(is_image(Path::new("a/001.PNG")) && is_image(Path::new("x.jpeg")));
        assert!(!is_image(Path::new("a/._001.png")) && !is_image(Path::new("landmarks.csv")));
    }
}
