//! Samples of other than whole bytes, such as the 12 bits of film scanners. The tiff crate reads such a page as rows of bytes,
//! whatever compressed them, and the samples are taken out here.

use sweep_core::error::{Error, Result};
use tiff::decoder::DecodingResult;

use super::directory::{Directory, tag};
use crate::picture::damaged;

const NO_COMPRESSION: u64 = 1;
const FAX: [u64; 3] = [2, 3, 4];
const JPEG: [u64; 2] = [6, 7];
const LOWEST_BIT_FIRST: u64 = 2;
const SIGNED: u64 = 2;

/// How samples lie in a row of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packing {
    bits: u8,
    samples: usize,
    is_lowest_bit_first: bool,
}

impl Packing {
    /// The packing of a page that the tiff crate does not take apart itself; none of the others.
    ///
    /// # Errors
    /// When the page is of a kind that nobody takes apart here.
    pub(super) fn of(directory: &Directory, bits: u8, samples: usize) -> Result<Option<Self>> {
        let value = |tag| directory.value(tag);
        let compression = value(tag::COMPRESSION).unwrap_or(NO_COMPRESSION);
        let is_lowest_bit_first = value(tag::FILL_ORDER) == Some(LOWEST_BIT_FIRST);
        let is_whole = [8, 16, 32, 64].contains(&bits);
        if is_lowest_bit_first && (compression != NO_COMPRESSION || bits > 8 && is_whole) {
            return Err(refused("bits that are stored lowest first").at("FillOrder"));
        }
        let is_plain = [1, 2, 4].contains(&bits) && samples == 1 || is_whole;
        if is_plain && !is_lowest_bit_first {
            return Ok(None);
        }
        let kind = format!("{bits} bits a value");
        if bits > 16 {
            return Err(refused(&format!("{kind}; 1 to 16, 32 and 64 are read")).at("BitsPerSample"));
        }
        if value(tag::SAMPLE_FORMAT).unwrap_or(1) != 1 {
            let which = if value(tag::SAMPLE_FORMAT) == Some(SIGNED) { "with a sign" } else { "that are no numbers" };
            return Err(refused(&format!("{kind}, {which}")).at("SampleFormat"));
        }
        if value(tag::PREDICTOR).unwrap_or(1) != 1 {
            return Err(refused(&format!("{kind}, as differences")).at("Predictor"));
        }
        if samples > 1 && value(tag::PLANAR_CONFIGURATION).unwrap_or(1) != 1 {
            return Err(refused(&format!("{kind}, in planes")).at("PlanarConfiguration"));
        }
        if FAX.contains(&compression) || JPEG.contains(&compression) {
            return Err(refused(&format!("{kind} in this compression")).at("Compression"));
        }
        Ok(Some(Self { bits, samples, is_lowest_bit_first }))
    }

    /// Changes to the directory by which a row is one of grey bytes.
    ///
    /// # Errors
    /// When a row is wider than any picture.
    pub(super) fn changes(&self, directory: &Directory) -> Result<Vec<(u64, Vec<u8>)>> {
        let bytes = |tag: u16| directory.value(tag).map(|width| self.row_bytes(width as usize) as u64);
        let wide = |tag: u16| bytes(tag).map(u32::try_from).transpose().map_err(|_| damaged("a row of that width"));
        let said = [
            (tag::IMAGE_WIDTH, wide(tag::IMAGE_WIDTH)?),
            (tag::TILE_WIDTH, wide(tag::TILE_WIDTH)?),
            (tag::BITS_PER_SAMPLE, Some(8)),
            (tag::PHOTOMETRIC, Some(super::BLACK_IS_ZERO)),
            (tag::SAMPLES_PER_PIXEL, Some(1)),
            (tag::SAMPLE_FORMAT, Some(1)),
            (tag::PLANAR_CONFIGURATION, Some(1)),
        ];
        let changed = said.into_iter().filter_map(|(tag, value)| directory.instead(tag, value?));
        Ok(changed.chain(directory.without(tag::EXTRA_SAMPLES)).collect())
    }

    /// Bytes of a row, which begins with a byte.
    fn row_bytes(&self, width: usize) -> usize {
        width.saturating_mul(self.samples).saturating_mul(self.bits.into()).div_ceil(8)
    }

    /// Pixels in a row of so many bytes, where a tile ends with whole bytes.
    pub(super) fn pixels(&self, bytes: usize) -> usize {
        bytes * 8 / (self.samples * usize::from(self.bits))
    }

    /// The samples of rows of bytes.
    ///
    /// # Errors
    /// When there are too few bytes.
    pub(super) fn samples(&self, bytes: &DecodingResult, width: usize, height: usize) -> Result<DecodingResult> {
        let DecodingResult::U8(bytes) = bytes else { return Err(damaged("packed values that are no bytes")) };
        let row = self.row_bytes(width);
        if bytes.len() < row * height {
            return Err(damaged("a strip is shorter than it says"));
        }
        let rows = bytes.chunks_exact(row.max(1)).take(height);
        let bits = usize::from(self.bits);
        let value = |row: &[u8], index: usize| {
            let at = index * bits;
            // A value of up to 16 bits lies in up to three bytes.
            let all = (0..3).fold(0u32, |sum, next| {
                let byte = row.get(at / 8 + next).copied().unwrap_or(0);
                sum << 8 | u32::from(if self.is_lowest_bit_first { byte.reverse_bits() } else { byte })
            });
            (all >> (24 - bits - at % 8)) & ((1 << bits) - 1)
        };
        let values = rows.flat_map(|row| (0..width * self.samples).map(move |index| value(row, index)));
        Ok(if bits > 8 {
            DecodingResult::U16(values.map(|value| value as u16).collect())
        } else {
            DecodingResult::U8(values.map(|value| value as u8).collect())
        })
    }
}

/// The error of a page that cannot be had, with the way to have it.
pub(super) fn refused(what: &str) -> Error {
    Error::input(format!("a TIFF of a kind that is not read: {what}")).remedy(super::REWRITE)
}
