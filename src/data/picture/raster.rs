//! PNG, JPEG, BMP and TIFF, by the image crate.

use std::io::Cursor;

use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Limits};

use super::{Grey, MAX_BYTES, damaged, depth, possible};
use sweep_core::error::Result;

/// Colours become luma, 16 bits become 8.
pub(super) fn decode(bytes: &[u8]) -> Result<Grey> {
    // The JPEG decoder fills what a cut-off file lacks with grey and says nothing.
    if bytes.starts_with(&[0xff, 0xd8]) && !ends_as_jpeg(bytes) {
        return Err(damaged("the JPEG file is cut off"));
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(damaged)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let size = possible(width.into(), height.into())?;
    let is_deep = !matches!(decoder.color_type(), ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8);
    let image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    let pixels = if is_deep { depth::of_16_bits(&image.into_luma16()) } else { image.into_luma8().into_raw() };
    Ok(Grey::plain(size, pixels))
}

/// Whether the end-of-image marker follows the last scan: inside a scan neither marker's bytes can occur.
fn ends_as_jpeg(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    last([0xff, 0xd9]) > last([0xff, 0xda])
}
