//! PNG, JPEG and BMP, by the image crate.

use std::io::{Read, SeekFrom};

use image::codecs::{bmp::BmpDecoder, jpeg::JpegDecoder, png::PngDecoder};
use image::{ColorType, DynamicImage, ImageBuffer, ImageDecoder, Limits};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

use super::budget::{BESIDE, BYTES_A_PIXEL, most_bytes, permit, possible};
use super::orientation::Orientation;
use super::values::Values;
use super::{Decoded, ReadSeek, damaged, shows_colours};
use crate::Channels;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = &[0xff, 0xd8, 0xff];
/// First bytes of a JPEG's EXIF segment.
const EXIF: &[u8] = b"Exif\0\0";

/// Whether it is a PNG of 16 bits; the others have no more than 8.
pub(super) fn is_deep(head: &[u8]) -> bool {
    head.starts_with(PNG) && head.get(24) == Some(&16)
}

/// How its EXIF, if there is one, asks to turn it.
pub(super) fn orientation(head: &[u8], source: &mut dyn ReadSeek) -> Result<Orientation> {
    let exif = if head.starts_with(PNG) {
        png_exif(source)?
    } else if head.starts_with(JPEG) {
        jpeg_head(source)?.1
    } else {
        None
    };
    Ok(said(exif.as_deref()))
}

/// Colours become luma, unless they are wanted.
pub(super) fn decode(head: &[u8], source: &mut dyn ReadSeek, wanted: Channels) -> Result<Decoded> {
    if head.starts_with(PNG) {
        let exif = png_exif(source)?;
        rewind(source)?;
        let decoder = PngDecoder::with_limits(source, limits()).map_err(damaged)?;
        return decoded(decoder, said(exif.as_deref()), wanted);
    }
    if head.starts_with(JPEG) {
        let length = source.seek(SeekFrom::End(0)).map_err(damaged)?;
        let (size, exif) = jpeg_head(source)?;
        if length > most_bytes(size) {
            return Err(damaged(format!("{} MiB for {}×{} pixels", length >> 20, size.width, size.height)));
        }
        // The decoder fills what a cut-off file lacks with grey and says nothing.
        if !ends_as_jpeg(source)? {
            return Err(damaged("the JPEG file is cut off"));
        }
        rewind(source)?;
        return decoded(JpegDecoder::new(source).map_err(damaged)?, said(exif.as_deref()), wanted);
    }
    if head.starts_with(b"BM") {
        rewind(source)?;
        return decoded(BmpDecoder::new(source).map_err(damaged)?, Orientation::default(), wanted);
    }
    Err(Error::input("its first bytes are those of no image format that is read"))
}

fn rewind(source: &mut dyn ReadSeek) -> Result<()> {
    source.seek(SeekFrom::Start(0)).map(|_| ()).map_err(damaged)
}

/// Greatest size of texts and profiles in a file.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(BESIDE);
    limits
}

/// The orientation that an EXIF says.
fn said(exif: Option<&[u8]>) -> Orientation {
    let said = exif.and_then(image::metadata::Orientation::from_exif_chunk);
    Orientation::from_exif(said.map_or(1, image::metadata::Orientation::to_exif).into())
}

fn decoded(mut decoder: impl ImageDecoder, orientation: Orientation, wanted: Channels) -> Result<Decoded> {
    let (width, height) = decoder.dimensions();
    let size = possible(width.into(), height.into())?;
    let mut limits = limits();
    limits.max_alloc = Some(most_bytes(size));
    decoder.set_limits(limits).map_err(damaged)?;
    let _permit = permit(size, if decoder.color_type() == ColorType::L8 { 3 } else { BYTES_A_PIXEL });
    let mut lost_colours = false;
    let values = match DynamicImage::from_decoder(decoder).map_err(damaged)? {
        DynamicImage::ImageRgb8(image) if !wanted.is_grey() => Values::Shown(image.into_raw()),
        DynamicImage::ImageRgba8(image) if !wanted.is_grey() => Values::Shown(without_alpha(image.into_raw())),
        DynamicImage::ImageRgb16(image) if !wanted.is_grey() => Values::Whole(image.into_raw()),
        DynamicImage::ImageRgba16(image) if !wanted.is_grey() => Values::Whole(without_alpha(image.into_raw())),
        DynamicImage::ImageLuma16(image) => Values::Whole(image.into_raw()),
        DynamicImage::ImageLumaA16(image) => Values::Whole(image.pixels().map(|pixel| pixel.0[0]).collect()),
        DynamicImage::ImageRgb16(image) => {
            lost_colours = shows_colours(image.as_raw(), 3, u16::MAX.into());
            Values::Whole(luma(&image.into_raw(), size, 3, DynamicImage::ImageRgb16, DynamicImage::into_luma16))
        }
        DynamicImage::ImageRgba16(image) => {
            lost_colours = shows_colours(image.as_raw(), 4, u16::MAX.into());
            Values::Whole(luma(&image.into_raw(), size, 4, DynamicImage::ImageRgba16, DynamicImage::into_luma16))
        }
        DynamicImage::ImageRgb8(image) => {
            lost_colours = shows_colours(image.as_raw(), 3, u8::MAX.into());
            Values::Shown(luma(&image.into_raw(), size, 3, DynamicImage::ImageRgb8, DynamicImage::into_luma8))
        }
        DynamicImage::ImageRgba8(image) => {
            lost_colours = shows_colours(image.as_raw(), 4, u8::MAX.into());
            Values::Shown(luma(&image.into_raw(), size, 4, DynamicImage::ImageRgba8, DynamicImage::into_luma8))
        }
        other => Values::Shown(other.into_luma8().into_raw()),
    };
    Ok(Decoded { orientation, lost_colours: lost_colours && wanted.is_grey(), ..Decoded::plain(size, values) })
}

/// Red, green and blue, in the memory of what has alpha as well.
fn without_alpha<T: Copy>(mut values: Vec<T>) -> Vec<T> {
    let pixels = values.len() / 4;
    for pixel in 1..pixels {
        values.copy_within(4 * pixel..4 * pixel + 3, 3 * pixel);
    }
    values.truncate(3 * pixels);
    values
}

/// Luma of a picture in colour, some rows at a time: the conversion takes many times the memory of what it converts.
fn luma<P, T>(
    values: &[T],
    size: Size,
    channels: usize,
    of: impl Fn(ImageBuffer<P, Vec<T>>) -> DynamicImage,
    luma: impl Fn(DynamicImage) -> ImageBuffer<image::Luma<T>, Vec<T>>,
) -> Vec<T>
where
    P: image::Pixel<Subpixel = T>,
    T: image::Primitive,
    image::Luma<T>: image::Pixel<Subpixel = T>,
{
    let rows = ((1 << 20) / size.width).max(1);
    let mut grey = Vec::with_capacity(size.area());
    for some in values.chunks(rows * size.width * channels) {
        let height = some.len() / (size.width * channels);
        if let Some(buffer) = ImageBuffer::from_raw(size.width as u32, height as u32, some.to_vec()) {
            grey.extend(luma(of(buffer)).into_raw());
        }
    }
    grey
}

/// The content of a PNG's eXIf chunk, which may also follow the pixels.
fn png_exif(source: &mut dyn ReadSeek) -> Result<Option<Vec<u8>>> {
    source.seek(SeekFrom::Start(PNG.len() as u64)).map_err(damaged)?;
    let mut head = [0u8; 8];
    while source.read_exact(&mut head).is_ok() {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        match &head[4..] {
            b"IEND" => break,
            b"eXIf" => {
                let mut exif = Vec::new();
                source.take(length.min(1 << 16).into()).read_to_end(&mut exif).map_err(damaged)?;
                return Ok(Some(exif));
            }
            _ => source.seek_relative(i64::from(length) + 4).map_err(damaged)?,
        }
    }
    Ok(None)
}

/// The size that a JPEG file's frame says, and the first EXIF before it.
fn jpeg_head(source: &mut dyn ReadSeek) -> Result<(Size, Option<Vec<u8>>)> {
    source.seek(SeekFrom::Start(2)).map_err(damaged)?;
    let cut = |_| damaged("the JPEG file is cut off");
    let mut byte = [0u8; 1];
    let mut exif = None;
    loop {
        source.read_exact(&mut byte).map_err(cut)?;
        if byte[0] != 0xff {
            continue;
        }
        while byte[0] == 0xff {
            source.read_exact(&mut byte).map_err(cut)?;
        }
        match byte[0] {
            // Start of a frame of any process.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let mut frame = [0u8; 7];
                source.read_exact(&mut frame).map_err(cut)?;
                let [_, _, _, y1, y0, x1, x0] = frame;
                let size = possible(u16::from_be_bytes([x1, x0]).into(), u16::from_be_bytes([y1, y0]).into())?;
                return Ok((size, exif));
            }
            // Markers without a segment.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            0xd9 => return Err(damaged("the JPEG file holds no picture")),
            marker => {
                let mut length = [0u8; 2];
                source.read_exact(&mut length).map_err(cut)?;
                let length = u16::from_be_bytes(length).max(2) - 2;
                if marker == 0xe1 && exif.is_none() {
                    let mut segment = Vec::new();
                    source.take(length.into()).read_to_end(&mut segment).map_err(damaged)?;
                    exif = segment.strip_prefix(EXIF).map(<[u8]>::to_vec);
                } else {
                    source.seek_relative(length.into()).map_err(damaged)?;
                }
            }
        }
    }
}

/// Whether the end-of-image marker follows the last scan: inside a scan neither marker's bytes can occur.
fn ends_as_jpeg(source: &mut dyn ReadSeek) -> Result<bool> {
    rewind(source)?;
    let (mut before, mut ends) = (0u8, false);
    loop {
        let some = source.fill_buf().map_err(damaged)?;
        let length = some.len();
        if length == 0 {
            return Ok(ends);
        }
        for byte in some {
            match (before, *byte) {
                (0xff, 0xd9) => ends = true,
                (0xff, 0xda) => ends = false,
                _ => {}
            }
            before = *byte;
        }
        source.consume(length);
    }
}
