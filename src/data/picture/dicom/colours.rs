//! Colours as grey: the luma of ITU-R BT.709, as of other formats.

use super::attribute::{
    BLUE_DATA, BLUE_DESCRIPTOR, BLUE_SEGMENTS, GREEN_DATA, GREEN_DESCRIPTOR, GREEN_SEGMENTS,
    PHOTOMETRIC_INTERPRETATION, RED_DATA, RED_DESCRIPTOR, RED_SEGMENTS,
};
use super::elements::Elements;
use super::frame::Frame;
use super::layout::{Layout, Photometric};
use super::lookup::Lookup;
use crate::picture::damaged;
use sweep_core::error::Result;

/// 8-bit grey values of a frame in colour.
///
/// # Errors
/// When its colours are of a kind that its compression does not have.
pub(super) fn shown(layout: &Layout, frame: &Frame) -> Result<Vec<u8>> {
    let white = f64::from((1u32 << layout.stored) - 1);
    let half = f64::from(1u32 << (layout.stored - 1));
    let grey = |[a, b, c]: [u16; 3]| {
        let [a, b, c] = [a, b, c].map(f64::from);
        let colour = match frame.photometric {
            // PS3.3 C.7.6.3.1.2.
            Photometric::YbrFull => {
                let (blue, red) = (b - half, c - half);
                [a + 1.402 * red, a - 0.344_136 * blue - 0.714_136 * red, a + 1.772 * blue]
                    .map(|value| value.round().clamp(0.0, white))
            }
            _ => [a, b, c],
        };
        luma(colour, white)
    };
    if !matches!(frame.photometric, Photometric::Rgb | Photometric::YbrFull) {
        return Err(damaged("its compression has no such colours").at(PHOTOMETRIC_INTERPRETATION));
    }
    Ok(if frame.is_planar {
        let (red, rest) = frame.values.split_at(layout.size.area());
        let (green, blue) = rest.split_at(layout.size.area());
        red.iter().zip(green).zip(blue).map(|((r, g), b)| grey([*r, *g, *b])).collect()
    } else {
        frame.values.as_chunks().0.iter().map(|pixel| grey(*pixel)).collect()
    })
}

/// 8-bit grey values of entries of the file's palette.
///
/// # Errors
/// When the palette lacks or is damaged.
pub(super) fn of_palette(file: &Elements, layout: &Layout, samples: &[u16]) -> Result<Vec<u8>> {
    let tables = [
        (RED_DESCRIPTOR, RED_DATA, RED_SEGMENTS),
        (GREEN_DESCRIPTOR, GREEN_DATA, GREEN_SEGMENTS),
        (BLUE_DESCRIPTOR, BLUE_DATA, BLUE_SEGMENTS),
    ]
    .map(|(descriptor, data, segments)| {
        let table = match Lookup::of_segments(file, descriptor, segments, layout.is_signed)? {
            None => Lookup::read(file, descriptor, data, layout.is_signed)?,
            segments => segments,
        };
        table.ok_or_else(|| damaged("the file lacks it").at(descriptor))
    });
    let [red, green, blue] = tables;
    let (red, green, blue) = (red?, green?, blue?);
    let grey = |bits: u32| {
        let number = f64::from(layout.number(bits as u16));
        let colour = [&red, &green, &blue].map(|table| f64::from(table.entry(number)) / table.white());
        luma(colour, 1.0)
    };
    let table: Vec<u8> = (0..1u32 << layout.stored).map(grey).collect();
    Ok(samples.iter().map(|sample| table.get(usize::from(*sample)).copied().unwrap_or(0)).collect())
}

fn luma([red, green, blue]: [f64; 3], white: f64) -> u8 {
    ((0.2126 * red + 0.7152 * green + 0.0722 * blue) / white * 255.0).round() as u8
}
