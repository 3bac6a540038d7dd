//! How pixels are laid out (PS3.3 C.7.6.3, PS3.5 8.1).

use super::attribute::{
    BITS_ALLOCATED, BITS_STORED, COLUMNS, DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA, HIGH_BIT, NUMBER_OF_FRAMES,
    PHOTOMETRIC_INTERPRETATION, PIXEL_PADDING_VALUE, PIXEL_REPRESENTATION, PLANAR_CONFIGURATION, ROWS,
    SAMPLES_PER_PIXEL,
};
use super::elements::Elements;
use crate::picture::{damaged, possible};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

/// Meaning of a pixel's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Photometric {
    /// The least value is white.
    Monochrome1,
    /// The least value is black.
    Monochrome2,
    /// An entry of a table of colours.
    Palette,
    Rgb,
    /// Luma and chroma of full range.
    YbrFull,
    /// The same, where two pixels share their chroma.
    YbrFull422,
    /// The same of partial range, retired; only JPEG's decoder knows it.
    YbrPartial422,
    /// Colours that JPEG 2000 itself turns to red, green and blue.
    YbrOfJpeg2000,
}

/// Stands for a sample that pads the picture and lies beyond the stored bits.
const BEYOND: u16 = u16::MAX;

/// Size and samples of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) size: Size,
    pub(super) photometric: Photometric,
    /// Samples of a pixel, 1 or 3.
    pub(super) samples: usize,
    /// Bytes of a sample, 1 or 2.
    pub(super) bytes: usize,
    /// Bits of a sample that count.
    pub(super) stored: u32,
    /// Bits below those that count.
    pub(super) shift: u32,
    pub(super) is_signed: bool,
    /// Whether all reds come first, then all greens, then all blues.
    pub(super) is_planar: bool,
    /// A sample that pads the picture and lies beyond the bits that count.
    pub(super) padding_beyond: Option<u16>,
}

impl Layout {
    /// The pixels as the file describes them.
    ///
    /// # Errors
    /// When that is not one picture that is read; names the attribute.
    pub(super) fn of(file: &Elements) -> Result<Self> {
        for floats in [FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA] {
            if file.value(floats).is_some() {
                return Err(Error::input("pixels that are floating-point numbers are not read").at(floats));
            }
        }
        let frames = file.number(NUMBER_OF_FRAMES)?.unwrap_or(1.0);
        if frames > 1.0 {
            return Err(Error::input(format!("{frames} frames, not one image"))
                .at(NUMBER_OF_FRAMES)
                .remedy("write the frame to use into a file of its own"));
        }
        let lacks = |attribute| move || damaged("the file lacks it").at(attribute);
        let whole = |attribute| file.short(attribute).map(u64::from).ok_or_else(lacks(attribute));
        let size = possible(whole(COLUMNS)?, whole(ROWS)?)?;
        let photometric = photometric(&file.term(PHOTOMETRIC_INTERPRETATION).unwrap_or_else(|| "MONOCHROME2".into()))?;
        let samples = if photometric.is_colour() { 3 } else { 1 };
        let said = usize::from(file.short(SAMPLES_PER_PIXEL).unwrap_or(samples as u16));
        if said != samples {
            let what = format!("{said} samples a pixel, where {photometric:?} has {samples}");
            return Err(damaged(what).at(SAMPLES_PER_PIXEL));
        }
        let allocated = u32::from(file.short(BITS_ALLOCATED).ok_or_else(lacks(BITS_ALLOCATED))?);
        if ![8, 16].contains(&allocated) {
            return Err(Error::input(format!("{allocated} bits a sample; 8 and 16 are read")).at(BITS_ALLOCATED));
        }
        let stored = file.short(BITS_STORED).map_or(allocated, u32::from);
        if !(1..=allocated).contains(&stored) {
            return Err(damaged(format!("{stored} of {allocated} bits")).at(BITS_STORED));
        }
        let high = file.short(HIGH_BIT).map_or(stored - 1, u32::from);
        if high + 1 < stored || high >= allocated {
            return Err(damaged(format!("bit {high} is the highest of {stored} in {allocated}")).at(HIGH_BIT));
        }
        let mut layout = Self {
            size,
            photometric,
            samples,
            bytes: allocated as usize / 8,
            stored,
            shift: high + 1 - stored,
            is_signed: file.short(PIXEL_REPRESENTATION) == Some(1),
            is_planar: samples == 3 && file.short(PLANAR_CONFIGURATION) == Some(1),
            padding_beyond: None,
        };
        let beyond = |padding: &u16| {
            let means = if layout.is_signed { i32::from(padding.cast_signed()) } else { i32::from(*padding) };
            samples == 1 && layout.bytes == 2 && layout.number(layout.bits(*padding)) != means
        };
        layout.padding_beyond = file.short(PIXEL_PADDING_VALUE).filter(beyond);
        Ok(layout)
    }

    /// Bytes of the pixels without compression.
    pub(super) fn native_bytes(&self) -> usize {
        let samples = match self.photometric {
            // Two pixels have two lumas and share two chromas; a row has an even number of them.
            Photometric::YbrFull422 => self.size.width.next_multiple_of(2) * self.size.height * 2,
            _ => self.size.area() * self.samples,
        };
        samples * self.bytes
    }

    /// The number that a sample's bits mean.
    pub(super) fn number(&self, bits: u16) -> i32 {
        let value = i32::from(bits);
        if self.is_signed && value >> (self.stored - 1) == 1 { value - (1 << self.stored) } else { value }
    }

    /// The bits of a sample that count, from all.
    pub(super) fn bits(&self, sample: u16) -> u16 {
        if self.padding_beyond == Some(sample) {
            return BEYOND;
        }
        // Others may hold an overlay (PS3.5 8.1.1).
        (u32::from(sample >> self.shift) & ((1u32 << self.stored) - 1)) as u16
    }
}

impl Photometric {
    pub(super) fn is_colour(self) -> bool {
        !matches!(self, Self::Monochrome1 | Self::Monochrome2 | Self::Palette)
    }
}

fn photometric(term: &str) -> Result<Photometric> {
    Ok(match term {
        "MONOCHROME1" => Photometric::Monochrome1,
        "MONOCHROME2" => Photometric::Monochrome2,
        "PALETTE COLOR" => Photometric::Palette,
        "RGB" => Photometric::Rgb,
        "YBR_FULL" => Photometric::YbrFull,
        "YBR_FULL_422" => Photometric::YbrFull422,
        "YBR_PARTIAL_422" => Photometric::YbrPartial422,
        "YBR_ICT" | "YBR_RCT" => Photometric::YbrOfJpeg2000,
        other => {
            return Err(Error::input(format!("`{other}` is not read")).at(PHOTOMETRIC_INTERPRETATION).remedy(
                "MONOCHROME1, MONOCHROME2, PALETTE COLOR, RGB, YBR_FULL, YBR_FULL_422, YBR_ICT and YBR_RCT are",
            ));
        }
    })
}

/// How many bytes of uncompressed pixel data are needed.
pub(super) fn native_bytes(file: &Elements) -> Result<u64> {
    Layout::of(file).map(|layout| layout.native_bytes() as u64)
}
