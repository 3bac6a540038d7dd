//! RLE Lossless (PS3.5 annex G): a segment per byte of a pixel, highest first.
//!
//! The transfer-syntax registry has a decoder too, which panics on segments that are cut off; this one does not.

use super::attribute::PIXEL_DATA;
use crate::picture::damaged;
use sweep_core::error::Result;

/// Decodes so many pixels of so many samples of so many bytes: little-endian samples, those of a pixel side by side.
pub(super) fn decode(data: &[u8], pixels: usize, samples: usize, width: usize) -> Result<Vec<u8>> {
    let failed = |what: &str| damaged(format!("run lengths: {what}")).at(PIXEL_DATA);
    let bytes = samples * width;
    let word = |at: usize| data.get(at..at + 4).and_then(|w| w.try_into().ok()).map(u32::from_le_bytes);
    if word(0) != Some(bytes as u32) || bytes > 15 {
        return Err(failed("another number of segments"));
    }
    // A byte pair makes 128 bytes at most: nothing is allocated for less.
    if (pixels * bytes) as u64 > data.len() as u64 * 64 {
        return Err(failed("too few of them"));
    }
    let mut decoded = vec![0u8; pixels * bytes];
    for segment in 0..bytes {
        let from = word(4 + 4 * segment).ok_or_else(|| failed("no table of segments"))? as usize;
        let mut rest = data.get(from..).ok_or_else(|| failed("a segment begins behind the end"))?;
        // The byte's place in a pixel: samples in order, each turned round.
        let place = segment / width * width + (width - 1 - segment % width);
        let mut places = decoded.iter_mut().skip(place).step_by(bytes);
        let mut left = pixels;
        while left > 0 {
            let (count, after) = rest.split_first().ok_or_else(|| failed("a segment is cut off"))?;
            rest = after;
            let run = match *count as i8 {
                -128 => continue,
                literal @ 0.. => {
                    let length = literal as usize + 1;
                    let (values, after) = rest.split_at_checked(length).ok_or_else(|| failed("a run is cut off"))?;
                    // The values first: what comes first is taken before it is known whether the other is at its end.
                    values.iter().zip(places.by_ref()).for_each(|(from, to)| *to = *from);
                    rest = after;
                    length
                }
                repeat => {
                    let length = 1 + repeat.unsigned_abs() as usize;
                    let (value, after) = rest.split_first().ok_or_else(|| failed("a run is cut off"))?;
                    places.by_ref().take(length).for_each(|to| *to = *value);
                    rest = after;
                    length
                }
            };
            left = left.saturating_sub(run);
        }
    }
    Ok(decoded)
}
