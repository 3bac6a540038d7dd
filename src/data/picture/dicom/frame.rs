//! The samples of a picture, from whatever its transfer syntax makes of them.

use super::attribute::{PHOTOMETRIC_INTERPRETATION, PIXEL_DATA};
use super::elements::{Elements, unread};
use super::encoding::{BIG_ENDIAN, EXPLICIT, IMPLICIT};
use super::layout::{Layout, Photometric};
use super::{jpeg, run_lengths};
use crate::picture::{damaged, jpeg_ls, jpeg2000};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

const RUN_LENGTH: &str = "1.2.840.10008.1.2.5";
/// Baseline, extended, and the two lossless processes.
const JPEG: [&str; 4] =
    ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"];
/// Lossless and near-lossless.
const JPEG_LS: [&str; 2] = ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"];
/// Lossless and lossy; the same of high throughput, with one in between.
const JPEG_2000: [&str; 5] = [
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
];

/// Those of them that do not keep values as they are.
const LOSSY: [&str; 5] = [
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.203",
];

/// Samples, of which only the bits that count are left.
pub(super) struct Frame {
    pub(super) values: Vec<u16>,
    /// Their meaning, which a decoder may have changed.
    pub(super) photometric: Photometric,
    /// Whether all of a colour lie together; else those of a pixel.
    pub(super) is_planar: bool,
}

/// Output of a decoder of compressed pixels.
pub(super) struct Decoded {
    pub(super) size: Size,
    /// Samples of a pixel, side by side.
    pub(super) samples: usize,
    pub(super) values: Vec<u16>,
    /// Whether the decoder turned colours into red, green and blue.
    pub(super) is_rgb: bool,
}

impl Frame {
    /// The samples of the file's picture.
    ///
    /// # Errors
    /// When they are damaged, too few, or compressed in a way that is not read.
    pub(super) fn of(file: &Elements, layout: &Layout) -> Result<Self> {
        match &file.fragments {
            None if is_compressed(&file.syntax) => {
                let what = format!("not compressed, though the transfer syntax `{}` says so", file.syntax);
                Err(damaged(what).at(PIXEL_DATA))
            }
            None => native(file, layout),
            Some(_) if !is_compressed(&file.syntax) => {
                let is_native = [IMPLICIT, EXPLICIT, BIG_ENDIAN].contains(&file.syntax.as_str());
                let what = format!("compressed, though the transfer syntax `{}` says otherwise", file.syntax);
                Err(if is_native { damaged(what).at(PIXEL_DATA) } else { unread(&file.syntax) })
            }
            Some(data) if file.syntax == RUN_LENGTH => {
                if layout.photometric == Photometric::YbrFull422 {
                    return Err(damaged("run lengths have no shared chroma").at(PHOTOMETRIC_INTERPRETATION));
                }
                let raw = run_lengths::decode(data, layout.size.area(), layout.samples, layout.bytes)?;
                let values = words(&raw, layout, u16::from_le_bytes);
                Ok(Self { values, photometric: layout.photometric, is_planar: false })
            }
            Some(data) => {
                let syntax = file.syntax.as_str();
                let decoded = if JPEG.contains(&syntax) {
                    jpeg::decode(data, layout)
                } else if JPEG_LS.contains(&syntax) {
                    jpeg_ls::decode(data).map(|p| Decoded {
                        size: p.size,
                        samples: p.components,
                        values: p.values,
                        is_rgb: false,
                    })
                } else {
                    jpeg2000::decode(data).map(|picture| {
                        // The transform of colours belongs to JPEG 2000 itself.
                        let is_rgb = picture.planes.len() == 3 && layout.photometric == Photometric::YbrOfJpeg2000;
                        Decoded {
                            size: picture.size,
                            samples: picture.planes.len(),
                            values: interleaved(picture.planes),
                            is_rgb,
                        }
                    })
                };
                Self::of_decoded(decoded.map_err(|e| e.at(PIXEL_DATA))?, layout, LOSSY.contains(&syntax))
            }
        }
    }

    fn of_decoded(mut decoded: Decoded, layout: &Layout, is_lossy: bool) -> Result<Self> {
        let Size { width, height } = decoded.size;
        if decoded.size != layout.size || decoded.samples != layout.samples {
            return Err(damaged(format!("holds {width}×{height} pixels of {} samples", decoded.samples)).at(PIXEL_DATA));
        }
        // Decoders give numbers: their bits lie lowest, whatever HighBit says. Lossy ones may go beyond white.
        let white = ((1u32 << layout.stored) - 1) as u16;
        let is_clamped = is_lossy && !layout.is_signed;
        decoded
            .values
            .iter_mut()
            .for_each(|value| *value = if is_clamped { (*value).min(white) } else { *value & white });
        let photometric = match layout.photometric {
            colour if colour.is_colour() && decoded.is_rgb => Photometric::Rgb,
            // Decoders have copied a sample shared by two pixels to both.
            Photometric::YbrFull422 | Photometric::YbrPartial422 => Photometric::YbrFull,
            other => other,
        };
        Ok(Self { values: decoded.values, photometric, is_planar: false })
    }
}

/// Whether pixels of this transfer syntax are JPEG 2000.
pub(super) fn is_jpeg_2000(syntax: &str) -> bool {
    JPEG_2000.contains(&syntax)
}

/// Whether pixels of this transfer syntax are compressed, in a way that is read.
fn is_compressed(syntax: &str) -> bool {
    syntax == RUN_LENGTH || [&JPEG[..], &JPEG_LS, &JPEG_2000].iter().any(|syntaxes| syntaxes.contains(&syntax))
}

/// Samples without compression.
fn native(file: &Elements, layout: &Layout) -> Result<Frame> {
    let raw = file.value(PIXEL_DATA).ok_or_else(|| damaged("the file lacks it").at(PIXEL_DATA))?;
    let mut frame = Frame { values: Vec::new(), photometric: layout.photometric, is_planar: layout.is_planar };
    frame.values = if layout.bytes == 1 && file.is_big_endian() && file.has_words {
        // Bytes in words: the first of a pair is the lower half (PS3.5 annex A.3 and 8.1.2).
        (0..raw.len()).map(|at| layout.bits(raw.get(at ^ 1).copied().unwrap_or(0).into())).collect()
    } else {
        words(raw, layout, |pair| file.word(pair))
    };
    match layout.photometric {
        Photometric::YbrFull422 => {
            // Luma, luma, chroma, chroma (PS3.3 C.7.6.3.1.2).
            frame.values = shared_chroma(&frame.values, layout.size);
            frame.photometric = Photometric::YbrFull;
            frame.is_planar = false;
        }
        Photometric::YbrPartial422 | Photometric::YbrOfJpeg2000 => {
            return Err(Error::input("is not read where pixels are not compressed").at(PHOTOMETRIC_INTERPRETATION));
        }
        _ => {}
    }
    let needed = layout.size.area() * layout.samples;
    if frame.values.len() < needed {
        return Err(damaged(format!("it ends {} values early", needed - frame.values.len())).at(PIXEL_DATA));
    }
    frame.values.truncate(needed);
    Ok(frame)
}

fn words(raw: &[u8], layout: &Layout, word: impl Fn([u8; 2]) -> u16) -> Vec<u16> {
    if layout.bytes == 1 {
        raw.iter().map(|byte| layout.bits((*byte).into())).collect()
    } else {
        raw.as_chunks().0.iter().map(|pair| layout.bits(word(*pair))).collect()
    }
}

/// Pixels of three values from pairs of pixels of four.
fn shared_chroma(values: &[u16], size: Size) -> Vec<u16> {
    let row = size.width.next_multiple_of(2) * 2;
    let mut pixels = Vec::with_capacity(size.area() * 3);
    for row in values.chunks_exact(row) {
        for x in 0..size.width {
            let [first, second, blue, red] = row.as_chunks::<4>().0[x / 2];
            pixels.extend([if x % 2 == 0 { first } else { second }, blue, red]);
        }
    }
    pixels
}

/// Values of a pixel side by side.
fn interleaved(mut planes: Vec<Vec<u16>>) -> Vec<u16> {
    if planes.len() == 1 {
        return planes.swap_remove(0);
    }
    let count = planes.first().map_or(0, Vec::len);
    (0..count).flat_map(|at| planes.iter().map(move |plane| plane.get(at).copied().unwrap_or(0))).collect()
}
