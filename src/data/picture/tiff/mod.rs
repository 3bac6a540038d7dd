//! TIFF and `BigTIFF`: grey, colour, palette, CMYK; strips, tiles, planes; the first page.
//!
//! The tiff crate decodes strips and tiles, which are converted one by one. It refuses palettes and samples of 12 bits and the
//! like (`packed`), and mixes up white being zero with further samples: it is given such a file as plain grey, and the values
//! are looked up or inverted here.

use std::cell::Cell;
use std::io::SeekFrom;
use std::num::NonZeroUsize;

use image::{DynamicImage, ImageBuffer};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

use super::budget::{BESIDE, BYTES_A_PIXEL, most_bytes, permit, possible};
use super::orientation::Orientation;
use super::strips::Picture;
use super::values::Values;
use super::{Decoded, ReadSeek, damaged, shows_colours};
use crate::Channels;

mod directory;
mod packed;
mod patched;
#[cfg(test)]
mod tests;

use directory::{Directory, tag};
use packed::{Packing, refused};
use patched::Patched;

const WHITE_IS_ZERO: u32 = 0;
const BLACK_IS_ZERO: u32 = 1;
const PALETTE: u32 = 3;
/// The ink set of cyan, magenta, yellow and black.
const CMYK: u64 = 1;

/// The remedy of a page that is not read.
const REWRITE: &str =
    "write it as grey or RGB of 8 or 16 bits, e.g. `magick IN -depth 16 OUT.tif` or `magick IN OUT.png`";

/// Whether the bytes begin as TIFF or `BigTIFF` files do.
pub(super) fn is(head: &[u8]) -> bool {
    [&b"II*\0"[..], b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| head.starts_with(magic))
}

/// Reads the first page.
pub(super) fn decode(source: &mut dyn ReadSeek, wanted: Channels) -> Result<Decoded> {
    let mut page = Page::open(source)?;
    page.wanted = wanted;
    let size = page.size;
    let _permit = permit(size, BYTES_A_PIXEL);
    let values = page.values()?;
    Ok(Decoded { orientation: page.orientation, lost_colours: page.lost_colours.get(), ..Decoded::plain(size, values) })
}

/// Whether it has more than 8 bits.
pub(super) fn is_deep(source: &mut dyn ReadSeek) -> Result<bool> {
    let page = Page::open(source)?;
    Ok(page.palette.is_none() && (page.bits > 8 || page.is_signed))
}

/// How the first page's tag asks to turn it.
pub(super) fn orientation(source: &mut dyn ReadSeek) -> Result<Orientation> {
    Ok(Page::open(source)?.orientation)
}

/// The first page of a file.
struct Page<'a> {
    decoder: Decoder<Patched<'a>>,
    size: Size,
    bits: u8,
    samples: usize,
    colour: ColorType,
    white_is_zero: bool,
    is_signed: bool,
    is_planar: bool,
    /// The packing of samples that the decoder takes for bytes.
    packing: Option<Packing>,
    /// Red, green and blue of a palette's entries, one after the other, 16 bits each.
    palette: Option<Vec<u16>>,
    orientation: Orientation,
    /// Whether colours stay colours.
    wanted: Channels,
    /// Whether there were colours that did not stay.
    lost_colours: Cell<bool>,
}

impl<'a> Page<'a> {
    fn open(source: &'a mut dyn ReadSeek) -> Result<Self> {
        let directory = Directory::read(source)?;
        let photometric = directory.value(tag::PHOTOMETRIC).map_or(BLACK_IS_ZERO, |value| value as u32);
        let is_other = [WHITE_IS_ZERO, PALETTE].contains(&photometric);
        let change = directory.instead(tag::PHOTOMETRIC, BLACK_IS_ZERO).filter(|_| is_other);
        let mut decoder = decoder(&mut *source, change.iter().cloned().collect())?;
        let (width, height) = decoder.dimensions().map_err(|e| unread(&e))?;
        let size = possible(width.into(), height.into())?;
        let colour = decoder.colortype().map_err(|e| unread(&e))?;
        let (bits, samples) = (colour.bit_depth(), usize::from(colour.num_samples()));
        let inks = directory.value(tag::INK_SET).unwrap_or(CMYK);
        match colour {
            ColorType::Lab(_) => return Err(refused("colours of CIE L*a*b*").at("PhotometricInterpretation")),
            ColorType::CMYK(_) | ColorType::CMYKA(_) if inks != CMYK => {
                return Err(refused("inks other than cyan, magenta, yellow and black").at("InkSet"));
            }
            _ => {}
        }
        decoder = decoder.with_limits(limits(size));
        let palette = if photometric == PALETTE {
            Some(decoder.get_tag_u16_vec(Tag::ColorMap).map_err(|e| unread(&e))?)
        } else {
            None
        };
        let orientation = decoder.find_tag_unsigned::<u32>(Tag::Orientation).ok().flatten().unwrap_or(1);
        let packing = Packing::of(&directory, bits, samples)?;
        drop(decoder);
        let changes = packing.map_or_else(|| Ok(change.into_iter().collect()), |p| p.changes(&directory))?;
        Ok(Self {
            size,
            bits,
            samples,
            colour,
            white_is_zero: photometric == WHITE_IS_ZERO,
            is_signed: directory.value(tag::SAMPLE_FORMAT) == Some(2),
            is_planar: directory.value(tag::PLANAR_CONFIGURATION) == Some(2) && samples > 1,
            packing,
            palette,
            orientation: Orientation::from_exif(orientation),
            wanted: Channels::Grey,
            lost_colours: Cell::new(false),
            decoder: self::decoder(source, changes)?.with_limits(limits(size)),
        })
    }

    /// Values of a pixel that [`Page::shown`] gives.
    fn per_pixel(&self) -> usize {
        let is_colour = matches!(
            self.colour,
            ColorType::RGB(_) | ColorType::RGBA(_) | ColorType::YCbCr(_) | ColorType::CMYK(_) | ColorType::CMYKA(_)
        );
        if is_colour || self.palette.is_some() { self.wanted.count() } else { 1 }
    }

    fn values(&mut self) -> Result<Values> {
        let per_pixel = self.per_pixel();
        let width = self.size.width * per_pixel;
        let mut picture = Picture { values: None, size: Size { width, ..self.size } };
        if self.is_planar {
            let mut all = DecodingResult::U8(Vec::new());
            let layout = self.decoder.read_image_to_buffer(&mut all).map_err(|e| unread(&e))?;
            let plane = layout.plane_stride.map_or(0, NonZeroUsize::get);
            let is_complete = all.as_buffer(0).byte_len() >= layout.complete_len;
            if !is_complete || plane == 0 || layout.planes < self.samples {
                return Err(damaged("it takes more memory than a picture of its size may"));
            }
            // Rows of all planes, one behind the other as in an unplanar file.
            let Size { height, width } = self.size;
            for y in 0..height {
                let row = self.row_of_planes(&all, y, height)?;
                picture.put(row, (0, y), (width * per_pixel, 1))?;
            }
            return picture.done();
        }
        let (wide, high) = self.decoder.chunk_dimensions();
        // Of packed samples, the decoder counts bytes; a tile's width is a multiple of 16, whose rows are whole bytes.
        let (wide, high) = (self.pixels(wide as usize).max(1), (high as usize).max(1));
        let across = self.size.width.div_ceil(wide);
        let chunks = (across as u64) * self.size.height.div_ceil(high) as u64;
        for index in 0..u32::try_from(chunks).map_err(damaged)? {
            let (x, y) = (index as usize % across * wide, index as usize / across * high);
            let (used_wide, used_high) = self.decoder.chunk_data_dimensions(index);
            let used_wide = self.pixels(used_wide as usize).min(self.size.width.saturating_sub(x));
            let used_high = used_high as usize;
            let mut chunk = self.decoder.read_chunk(index).map_err(|e| unread(&e))?;
            if let Some(packing) = self.packing {
                chunk = packing.samples(&chunk, used_wide, used_high)?;
            }
            let shown = self.shown(chunk, used_wide, used_high)?;
            picture.put(shown, (x * per_pixel, y), (used_wide * per_pixel, used_high))?;
        }
        picture.done()
    }

    /// Pixels in so many columns of the decoder.
    fn pixels(&self, columns: usize) -> usize {
        self.packing.map_or(columns, |packing| packing.pixels(columns))
    }

    /// A row of a planar picture.
    fn row_of_planes(&self, all: &DecodingResult, y: usize, height: usize) -> Result<Values> {
        fn interleaved<T: Copy>(all: &[T], y: usize, height: usize, width: usize, samples: usize) -> Vec<T> {
            let plane = |sample: usize| (sample * height + y) * width;
            (0..width * samples).filter_map(|i| all.get(plane(i % samples) + i / samples)).copied().collect()
        }
        let (width, samples) = (self.size.width, self.samples);
        let row = match all {
            DecodingResult::U8(v) if self.bits == 8 => DecodingResult::U8(interleaved(v, y, height, width, samples)),
            DecodingResult::U16(v) => DecodingResult::U16(interleaved(v, y, height, width, samples)),
            DecodingResult::I16(v) => DecodingResult::I16(interleaved(v, y, height, width, samples)),
            DecodingResult::F32(v) => DecodingResult::F32(interleaved(v, y, height, width, samples)),
            _ => return Err(damaged("planes of such values are not read")),
        };
        self.shown(row, width, 1)
    }

    /// Values of a strip or tile: grey, or red, green and blue of every pixel.
    fn shown(&self, chunk: DecodingResult, width: usize, height: usize) -> Result<Values> {
        let samples = self.samples;
        let area = width * height * samples;
        let chunk = match chunk {
            DecodingResult::U8(bytes) if self.bits < 8 && self.packing.is_none() => {
                DecodingResult::U8(unpacked(&bytes, self.bits, width * samples, height))
            }
            other => other,
        };
        if let Some(palette) = &self.palette {
            let DecodingResult::U8(indices) = chunk else {
                return Err(refused("a palette of more than 256 colours").at("BitsPerSample"));
            };
            return self.looked_up(&cut(indices, area)?, palette);
        }
        Ok(match chunk {
            DecodingResult::U8(mut values) => {
                if self.bits < 8 {
                    // The brightest value of few bits is white.
                    let white = (1u16 << self.bits) - 1;
                    for v in &mut values {
                        *v = ((u16::from(*v) * 255 + white / 2) / white).min(255) as u8;
                    }
                }
                Values::Shown(some_rows(&cut(values, area)?, width, samples, |v, rows| {
                    self.grey_of_8_bits(v, width, rows)
                })?)
            }
            DecodingResult::U16(values) => Values::Whole(some_rows(&cut(values, area)?, width, samples, |v, rows| {
                self.grey_of_16_bits(v, width, rows)
            })?),
            DecodingResult::I8(values) => self.numbers(&cut(values, area)?, f64::from),
            DecodingResult::I16(values) => self.numbers(&cut(values, area)?, f64::from),
            DecodingResult::U32(values) => self.numbers(&cut(values, area)?, f64::from),
            DecodingResult::I32(values) => self.numbers(&cut(values, area)?, f64::from),
            DecodingResult::F16(values) => self.numbers(&cut(values, area)?, f64::from),
            DecodingResult::F32(values) => self.numbers(&cut(values, area)?, f64::from),
            DecodingResult::F64(values) => self.numbers(&cut(values, area)?, |v| v),
            DecodingResult::U64(values) => self.numbers(&cut(values, area)?, |v| v as f64),
            DecodingResult::I64(values) => self.numbers(&cut(values, area)?, |v| v as f64),
        })
    }

    /// Keeps in mind that these values of so many channels show colours.
    fn note_colours<T: Copy + Ord + Into<u32>>(&self, values: &[T], channels: u8, white: u32) {
        if self.wanted.is_grey() && shows_colours(values, channels.into(), white) {
            self.lost_colours.set(true);
        }
    }

    fn upright(&self, value: u8) -> u8 {
        if self.white_is_zero { !value } else { value }
    }

    fn grey_of_8_bits(&self, values: Vec<u8>, width: usize, height: usize) -> Result<Vec<u8>> {
        let (width, height) = (width as u32, height as u32);
        let colours = match self.colour {
            ColorType::RGB(_) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgb8),
            ColorType::RGBA(_) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgba8),
            ColorType::YCbCr(_) => {
                let rgb = values.chunks_exact(3).flat_map(rgb_of_ycbcr).collect();
                ImageBuffer::from_raw(width, height, rgb).map(DynamicImage::ImageRgb8)
            }
            ColorType::CMYK(_) | ColorType::CMYKA(_) => {
                let rgb = values.chunks_exact(self.samples).flat_map(|cmyk| {
                    let ink = |index: usize| (u16::from(!cmyk[index]) * u16::from(!cmyk[3]) + 127) / 255;
                    [ink(0) as u8, ink(1) as u8, ink(2) as u8]
                });
                ImageBuffer::from_raw(width, height, rgb.collect()).map(DynamicImage::ImageRgb8)
            }
            _ => {
                return Ok(values.chunks_exact(self.samples).map(|pixel| self.upright(pixel[0])).collect());
            }
        };
        let colours = colours.ok_or_else(|| damaged("a strip of another size than it says"))?;
        self.note_colours(colours.as_bytes(), colours.color().channel_count(), u8::MAX.into());
        Ok(if self.wanted.is_grey() { colours.into_luma8().into_raw() } else { colours.into_rgb8().into_raw() })
    }

    fn grey_of_16_bits(&self, values: Vec<u16>, width: usize, height: usize) -> Result<Vec<u16>> {
        let (width, height) = (width as u32, height as u32);
        // The brightest of so many bits.
        let white = u16::MAX >> (16 - self.bits.min(16));
        let colours = match self.colour {
            ColorType::RGB(_) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgb16),
            ColorType::RGBA(_) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgba16),
            ColorType::CMYK(_) | ColorType::CMYKA(_) => {
                let light = |ink: u16| u32::from(white.saturating_sub(ink));
                let rgb = values.chunks_exact(self.samples).flat_map(|cmyk| {
                    let left =
                        |index: usize| (light(cmyk[index]) * light(cmyk[3]) + u32::from(white / 2)) / u32::from(white);
                    [left(0) as u16, left(1) as u16, left(2) as u16]
                });
                ImageBuffer::from_raw(width, height, rgb.collect()).map(DynamicImage::ImageRgb16)
            }
            ColorType::YCbCr(_) => return Err(damaged("YCbCr of 16 bits is not read")),
            _ => {
                let upright = |value: u16| if self.white_is_zero { white.saturating_sub(value) } else { value };
                return Ok(values.chunks_exact(self.samples).map(|pixel| upright(pixel[0])).collect());
            }
        };
        let colours = colours.ok_or_else(|| damaged("a strip of another size than it says"))?;
        if let DynamicImage::ImageRgb16(image) = &colours {
            self.note_colours(image.as_raw(), 3, white.into());
        }
        Ok(if self.wanted.is_grey() { colours.into_luma16().into_raw() } else { colours.into_rgb16().into_raw() })
    }

    /// Numbers that are no unsigned ones of up to 16 bits; of colours the luma of ITU-R BT.709, unless they are wanted.
    fn numbers<T: Copy>(&self, values: &[T], number: impl Fn(T) -> f64) -> Values {
        let is_colour = matches!(self.colour, ColorType::RGB(_) | ColorType::RGBA(_));
        let shown = |v: &[T]| {
            let channel = |index: usize| number(v[index]);
            if is_colour && !self.wanted.is_grey() {
                return [channel(0), channel(1), channel(2)];
            }
            let grey =
                if is_colour { 0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2) } else { channel(0) };
            [if self.white_is_zero { -grey } else { grey }, 0.0, 0.0]
        };
        let per_pixel = if is_colour { self.wanted.count() } else { 1 };
        let pixels = || values.chunks_exact(self.samples).flat_map(|v| shown(v).into_iter().take(per_pixel));
        let offset = pixels().find(|v| v.is_finite()).unwrap_or(0.0);
        Values::Numbers { offset, values: pixels().map(|v| (v - offset) as f32).collect() }
    }

    fn looked_up(&self, indices: &[u8], palette: &[u16]) -> Result<Values> {
        let entries = 1usize << self.bits;
        if self.bits > 8 || palette.len() < 3 * entries {
            return Err(damaged(format!("{} values of {entries} colours", palette.len())).at("ColorMap"));
        }
        let entry = |index: usize| [palette[index], palette[entries + index], palette[2 * entries + index]];
        // Palettes of 8 bits in the lower byte exist; libtiff takes them so, too.
        let is_low = palette.iter().all(|value| *value < 256);
        let colours: Vec<u8> = (0..entries)
            .flat_map(entry)
            .map(|value| if is_low { value as u8 } else { (u32::from(value) * 255 / 65_535) as u8 })
            .collect();
        let table = ImageBuffer::from_raw(entries as u32, 1, colours).map(DynamicImage::ImageRgb8);
        let table = table.ok_or_else(|| damaged("a palette of another size than it says"))?;
        self.note_colours(table.as_bytes(), 3, u8::MAX.into());
        let per_pixel = self.wanted.count();
        let table = if self.wanted.is_grey() { table.into_luma8().into_raw() } else { table.into_rgb8().into_raw() };
        let entry = |index: &u8| &table[usize::from(*index).min(entries - 1) * per_pixel..][..per_pixel];
        Ok(Values::Shown(indices.iter().flat_map(entry).copied().collect()))
    }
}

/// Converts a strip some rows at a time: conversions of colours take many times the memory of what they convert.
fn some_rows<T: Copy>(
    values: &[T],
    width: usize,
    samples: usize,
    convert: impl Fn(Vec<T>, usize) -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    let row = (width * samples).max(1);
    let rows = ((1 << 20) / row).max(1);
    let mut converted = Vec::with_capacity(values.len() / samples.max(1));
    for some in values.chunks(rows * row) {
        converted.extend(convert(some.to_vec(), some.len() / row)?);
    }
    Ok(converted)
}

/// The first values of a strip; fewer are an error.
fn cut<T>(mut values: Vec<T>, count: usize) -> Result<Vec<T>> {
    if values.len() < count {
        return Err(damaged("a strip is shorter than it says"));
    }
    values.truncate(count);
    Ok(values)
}

/// Values of few bits, each in a byte; rows begin with a byte.
fn unpacked(bytes: &[u8], bits: u8, width: usize, height: usize) -> Vec<u8> {
    if bits >= 8 {
        return bytes.to_vec();
    }
    let row = (width * usize::from(bits)).div_ceil(8);
    let value = |x: usize, row: &[u8]| {
        let at = x * usize::from(bits);
        let byte = row.get(at / 8).copied().unwrap_or(0);
        byte >> (8 - usize::from(bits) - at % 8).min(7) & ((1 << bits) - 1)
    };
    bytes.chunks_exact(row.max(1)).take(height).flat_map(|row| (0..width).map(move |x| value(x, row))).collect()
}

/// ITU-R BT.601 of full range, as JPEG has it.
fn rgb_of_ycbcr(pixel: &[u8]) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(pixel[0]), f32::from(pixel[1]) - 128.0, f32::from(pixel[2]) - 128.0);
    let channel = |value: f32| value.round().clamp(0.0, 255.0) as u8;
    [channel(y + 1.402 * cr), channel(y - 0.344_136 * cb - 0.714_136 * cr), channel(y + 1.772 * cb)]
}

fn unread(error: &tiff::TiffError) -> Error {
    match error {
        tiff::TiffError::UnsupportedError(what) => refused(&what.to_string()),
        other => damaged(other),
    }
}

/// The decoder of a file of which some bytes are read as others.
fn decoder(source: &mut dyn ReadSeek, changes: Vec<(u64, Vec<u8>)>) -> Result<Decoder<Patched<'_>>> {
    source.seek(SeekFrom::Start(0)).map_err(damaged)?;
    Decoder::new(Patched::new(source, changes)).map_err(|e| unread(&e))
}

/// Bounds of what a page of this size may take.
fn limits(size: Size) -> Limits {
    let most = usize::try_from(most_bytes(size)).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = most;
    limits.intermediate_buffer_size = most;
    limits.ifd_value_size = BESIDE as usize;
    limits
}
