//! TIFF and `BigTIFF`: grey, colour, palette, CMYK; strips, tiles, planes; the first page.
//!
//! The tiff crate decodes strips and tiles, which are converted one by one. It refuses palettes, and mixes up white being
//! zero with further samples: it is given such a file as plain grey, and the values are looked up or inverted here.

use std::io::{self, Read, Seek, SeekFrom};
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
use super::{Decoded, ReadSeek, damaged};
use crate::Channels;

const WHITE_IS_ZERO: u16 = 0;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;
const PHOTOMETRIC: u16 = 262;

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
    Ok(Decoded { orientation: page.orientation, ..Decoded::plain(size, values) })
}

/// Whether it has more than 8 bits.
pub(super) fn is_deep(source: &mut dyn ReadSeek) -> Result<bool> {
    let mut page = Page::open(source)?;
    Ok(page.palette.is_none() && (page.bits > 8 || page.is_signed()))
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
    /// Red, green and blue of a palette's entries, one after the other, 16 bits each.
    palette: Option<Vec<u16>>,
    orientation: Orientation,
    /// Whether colours stay colours.
    wanted: Channels,
}

impl<'a> Page<'a> {
    fn open(source: &'a mut dyn ReadSeek) -> Result<Self> {
        let photometric = photometric(source)?;
        let mut patched = Patched { source, at: photometric.map_or(0, |(at, _)| at), bytes: [0; 2], is_on: false };
        let photometric = photometric.map_or(BLACK_IS_ZERO, |(_, value)| value);
        if [WHITE_IS_ZERO, PALETTE].contains(&photometric) {
            let big = patched.starts_big().map_err(damaged)?;
            patched.bytes = if big { BLACK_IS_ZERO.to_be_bytes() } else { BLACK_IS_ZERO.to_le_bytes() };
            patched.is_on = true;
        }
        patched.seek(SeekFrom::Start(0)).map_err(damaged)?;
        let mut decoder = Decoder::new(patched).map_err(|e| unread(&e))?;
        let (width, height) = decoder.dimensions().map_err(|e| unread(&e))?;
        let size = possible(width.into(), height.into())?;
        let most = usize::try_from(most_bytes(size)).unwrap_or(usize::MAX);
        let mut limits = Limits::default();
        limits.decoding_buffer_size = most;
        limits.intermediate_buffer_size = most;
        limits.ifd_value_size = BESIDE as usize;
        decoder = decoder.with_limits(limits);
        let colour = decoder.colortype().map_err(|e| unread(&e))?;
        let palette = if photometric == PALETTE {
            Some(decoder.get_tag_u16_vec(Tag::ColorMap).map_err(|e| unread(&e))?)
        } else {
            None
        };
        let orientation = decoder.find_tag_unsigned::<u32>(Tag::Orientation).ok().flatten().unwrap_or(1);
        Ok(Self {
            size,
            bits: colour.bit_depth(),
            samples: usize::from(colour.num_samples()),
            colour,
            white_is_zero: photometric == WHITE_IS_ZERO,
            palette,
            orientation: Orientation::from_exif(orientation),
            wanted: Channels::Grey,
            decoder,
        })
    }

    fn is_signed(&mut self) -> bool {
        self.decoder
            .find_tag_unsigned_vec::<u16>(Tag::SampleFormat)
            .ok()
            .flatten()
            .is_some_and(|said| said.first() == Some(&2))
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
        let planes = self.decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).ok().flatten();
        let width = self.size.width * per_pixel;
        let mut picture = Picture { values: None, size: Size { width, ..self.size } };
        if planes == Some(2) && self.samples > 1 {
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
        let (wide, high) = ((wide as usize).max(1), (high as usize).max(1));
        let across = self.size.width.div_ceil(wide);
        let chunks = (across as u64) * self.size.height.div_ceil(high) as u64;
        for index in 0..u32::try_from(chunks).map_err(damaged)? {
            let (x, y) = (index as usize % across * wide, index as usize / across * high);
            let (used_wide, used_high) = self.decoder.chunk_data_dimensions(index);
            let chunk = self.decoder.read_chunk(index).map_err(|e| unread(&e))?;
            let shown = self.shown(chunk, used_wide as usize, used_high as usize)?;
            picture.put(shown, (x * per_pixel, y), (used_wide as usize * per_pixel, used_high as usize))?;
        }
        picture.done()
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
        if ![1, 2, 4].contains(&self.bits) && self.bits < 8 {
            return Err(damaged(format!("{} bits a value are not read", self.bits)).at("BitsPerSample"));
        }
        if let Some(palette) = &self.palette {
            let DecodingResult::U8(bytes) = chunk else { return Err(damaged("a palette of more than 256 colours")) };
            return self.looked_up(&unpacked(&bytes, self.bits, width, height), palette);
        }
        let samples = self.samples;
        let area = width * height * samples;
        Ok(match chunk {
            DecodingResult::U8(bytes) if self.bits < 8 => {
                // A chunk of few bits is packed; its brightest value is white.
                let scale = 255 / ((1u16 << self.bits) - 1).max(1) as u8;
                let values = unpacked(&bytes, self.bits, width * samples, height);
                let shown = |v: &[u8]| [v[0] * scale, v[v.len().min(2) - 1] * scale, v[v.len().min(3) - 1] * scale];
                let pixels = values.chunks_exact(samples);
                Values::Shown(
                    pixels.flat_map(|v| shown(v).into_iter().take(self.per_pixel()).map(|v| self.upright(v))).collect(),
                )
            }
            DecodingResult::U8(values) => self.grey_of_8_bits(cut(values, area)?, width, height)?,
            DecodingResult::U16(values) => self.grey_of_16_bits(cut(values, area)?, width, height)?,
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

    fn upright(&self, value: u8) -> u8 {
        if self.white_is_zero { !value } else { value }
    }

    fn grey_of_8_bits(&self, values: Vec<u8>, width: usize, height: usize) -> Result<Values> {
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
                return Ok(Values::Shown(
                    values.chunks_exact(self.samples).map(|pixel| self.upright(pixel[0])).collect(),
                ));
            }
        };
        let colours = colours.ok_or_else(|| damaged("a strip of another size than it says"))?;
        Ok(Values::Shown(if self.wanted.is_grey() {
            colours.into_luma8().into_raw()
        } else {
            colours.into_rgb8().into_raw()
        }))
    }

    fn grey_of_16_bits(&self, values: Vec<u16>, width: usize, height: usize) -> Result<Values> {
        let (width, height) = (width as u32, height as u32);
        let colours = match self.colour {
            ColorType::RGB(_) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgb16),
            ColorType::RGBA(_) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgba16),
            ColorType::CMYK(_) | ColorType::CMYKA(_) => {
                let rgb = values.chunks_exact(self.samples).flat_map(|cmyk| {
                    let ink = |index: usize| (u32::from(!cmyk[index]) * u32::from(!cmyk[3]) + 32_767) / 65_535;
                    [ink(0) as u16, ink(1) as u16, ink(2) as u16]
                });
                ImageBuffer::from_raw(width, height, rgb.collect()).map(DynamicImage::ImageRgb16)
            }
            ColorType::YCbCr(_) => return Err(damaged("YCbCr of 16 bits is not read")),
            _ => {
                let upright = |value: u16| if self.white_is_zero { !value } else { value };
                return Ok(Values::Whole(values.chunks_exact(self.samples).map(|pixel| upright(pixel[0])).collect()));
            }
        };
        let colours = colours.ok_or_else(|| damaged("a strip of another size than it says"))?;
        Ok(Values::Whole(if self.wanted.is_grey() {
            colours.into_luma16().into_raw()
        } else {
            colours.into_rgb16().into_raw()
        }))
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
        let per_pixel = self.wanted.count();
        let table = if self.wanted.is_grey() { table.into_luma8().into_raw() } else { table.into_rgb8().into_raw() };
        let entry = |index: &u8| &table[usize::from(*index).min(entries - 1) * per_pixel..][..per_pixel];
        Ok(Values::Shown(indices.iter().flat_map(entry).copied().collect()))
    }
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
        tiff::TiffError::UnsupportedError(what) => Error::input(format!("a TIFF of a kind that is not read: {what}"))
            .remedy("write it as grey or RGB of 8 or 16 bits, e.g. `tiffcp -c none IN OUT` or `magick IN OUT.png`"),
        other => damaged(other),
    }
}

/// Where the first page's photometric interpretation stands in the file, and what it is.
fn photometric(source: &mut dyn ReadSeek) -> Result<Option<(u64, u16)>> {
    let mut header = [0u8; 16];
    source.seek(SeekFrom::Start(0)).map_err(damaged)?;
    source.take(16).read(&mut header).map_err(damaged)?;
    let big_endian = header[0] == b'M';
    let number = |bytes: &[u8]| {
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    };
    let is_big_tiff = number(&header[2..4]) == 43;
    let (start, count_bytes, entry_bytes) =
        if is_big_tiff { (number(&header[8..16]), 8, 20) } else { (number(&header[4..8]), 2, 12) };
    source.seek(SeekFrom::Start(start)).map_err(damaged)?;
    let mut bytes = [0u8; 20];
    if source.read_exact(&mut bytes[..count_bytes]).is_err() {
        return Ok(None);
    }
    let count = number(&bytes[..count_bytes]).min(1 << 16);
    for index in 0..count {
        if source.read_exact(&mut bytes[..entry_bytes]).is_err() {
            return Ok(None);
        }
        if number(&bytes[..2]) == u64::from(PHOTOMETRIC) {
            let value = entry_bytes - if is_big_tiff { 8 } else { 4 };
            let at = start.saturating_add(count_bytes as u64 + index * entry_bytes as u64 + value as u64);
            return Ok(Some((at, number(&bytes[value..value + 2]) as u16)));
        }
    }
    Ok(None)
}

/// A file of which two bytes are read as others.
struct Patched<'a> {
    source: &'a mut dyn ReadSeek,
    at: u64,
    bytes: [u8; 2],
    is_on: bool,
}

impl Patched<'_> {
    fn starts_big(&mut self) -> io::Result<bool> {
        let mut first = [0u8; 1];
        self.source.seek(SeekFrom::Start(0))?;
        self.source.read_exact(&mut first)?;
        Ok(first[0] == b'M')
    }
}

impl Read for Patched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let before = if self.is_on { self.source.stream_position()? } else { 0 };
        let read = self.source.read(buffer)?;
        if self.is_on {
            for (index, byte) in (self.at..).zip(self.bytes) {
                let place = index.checked_sub(before).and_then(|at| usize::try_from(at).ok()).filter(|at| *at < read);
                if let Some(there) = place.and_then(|at| buffer.get_mut(at)) {
                    *there = byte;
                }
            }
        }
        Ok(read)
    }
}

impl Seek for Patched<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
    }
}
