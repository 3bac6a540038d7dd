//! Colours as grey, the luma of ITU-R BT.709 as of other formats, or as red, green and blue where they are wanted.

use super::attribute::{
    BLUE_DATA, BLUE_DESCRIPTOR, BLUE_SEGMENTS, GREEN_DATA, GREEN_DESCRIPTOR, GREEN_SEGMENTS,
    PHOTOMETRIC_INTERPRETATION, RED_DATA, RED_DESCRIPTOR, RED_SEGMENTS,
};
use super::elements::Elements;
use super::frame::Frame;
use super::layout::{Layout, Photometric};
use super::lookup::Lookup;
use crate::Channels;
use crate::picture::damaged;
use sweep_core::error::Result;

/// 8-bit values of a frame in colour.
///
/// # Errors
/// When its colours are of a kind that its compression does not have.
pub(super) fn shown(layout: &Layout, frame: &Frame, wanted: Channels) -> Result<Vec<u8>> {
    let white = f64::from((1u32 << layout.stored) - 1);
    let half = f64::from(1u32 << (layout.stored - 1));
    let pixel = |[a, b, c]: [u16; 3]| {
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
        values(colour, white, wanted)
    };
    if !matches!(frame.photometric, Photometric::Rgb | Photometric::YbrFull) {
        return Err(damaged("its compression has no such colours").at(PHOTOMETRIC_INTERPRETATION));
    }
    Ok(if frame.is_planar {
        let (red, rest) = frame.values.split_at(layout.size.area());
        let (green, blue) = rest.split_at(layout.size.area());
        red.iter().zip(green).zip(blue).flat_map(|((r, g), b)| pixel([*r, *g, *b])).collect()
    } else {
        frame.values.as_chunks().0.iter().flat_map(|colour| pixel(*colour)).collect()
    })
}

/// 8-bit values of entries of the file's palette.
///
/// # Errors
/// When the palette lacks or is damaged.
pub(super) fn of_palette(file: &Elements, layout: &Layout, samples: &[u16], wanted: Channels) -> Result<Vec<u8>> {
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
    let entry = |bits: u32| {
        let number = f64::from(layout.number(bits as u16));
        let colour = [&red, &green, &blue].map(|table| f64::from(table.entry(number)) / table.white());
        values(colour, 1.0, wanted)
    };
    let per_pixel = wanted.count();
    let table: Vec<u8> = (0..1u32 << layout.stored).flat_map(entry).collect();
    let shown = |sample: &u16| table.get(usize::from(*sample) * per_pixel..).and_then(|rest| rest.get(..per_pixel));
    Ok(samples.iter().flat_map(|sample| shown(sample).unwrap_or(&[0; 3][..per_pixel])).copied().collect())
}

/// One grey value, or three, of a colour whose channels reach from 0 to `white`.
fn values([red, green, blue]: [f64; 3], white: f64, wanted: Channels) -> impl Iterator<Item = u8> {
    let luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    let values = if wanted.is_grey() { [luma, 0.0, 0.0] } else { [red, green, blue] };
    values.map(|value| (value / white * 255.0).round() as u8).into_iter().take(wanted.count())
}
