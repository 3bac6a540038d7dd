//! JPEG-LS (ITU-T T.87, ISO/IEC 14495-1), lossless and near-lossless, of 2 to 16 bits, as medical pictures use it.
//!
//! The crates that read it need a C++ compiler, or panic on damaged files; hence this decoder.
//!
//! Not read, and refused: mapping tables, restart intervals, a height that only the end says, and the colour transforms
//! that are not part of the standard.

use crate::picture::{damaged, possible};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

mod bits;
mod context;
mod scan;

use scan::Parameters;

/// A decoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) size: Size,
    /// Values of a pixel.
    pub(super) components: usize,
    /// Values of a pixel side by side.
    pub(super) values: Vec<u16>,
}

/// The frame's header.
#[derive(Debug, Clone)]
struct Frame {
    size: Size,
    bits: u32,
    components: Vec<u8>,
}

/// How components of a scan are interleaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interleave {
    None,
    Line,
    Sample,
}

/// Decodes a JPEG-LS file.
///
/// # Errors
/// When it is damaged, cut off or of a kind that is not read; the size is judged before memory is taken.
pub(super) fn decode(bytes: &[u8]) -> Result<Picture> {
    let mut reader = Segments { bytes, at: 0 };
    if reader.marker()? != 0xd8 {
        return Err(failed("it does not begin as JPEG-LS"));
    }
    let mut frame: Option<Frame> = None;
    let mut presets = [0u16; 5];
    let mut picture: Option<Picture> = None;
    let mut done = 0;
    loop {
        match reader.marker()? {
            0xd9 => break,
            0xf7 if frame.is_none() => frame = Some(Frame::parse(reader.segment()?)?),
            0xf8 => read_presets(reader.segment()?, &mut presets)?,
            0xda => {
                let frame = frame.as_ref().ok_or_else(|| failed("a scan before the frame"))?;
                let scan = Scan::parse(reader.segment()?, frame)?;
                let picture = picture.get_or_insert_with(|| Picture {
                    size: frame.size,
                    components: frame.components.len(),
                    values: vec![0; frame.size.area() * frame.components.len()],
                });
                let parameters = Parameters::new(frame.bits, scan.near, presets)?;
                let rest = bytes.get(reader.at..).unwrap_or_default();
                reader.at += scan::decode(rest, &parameters, &scan.components, scan.interleave, picture)?;
                done += scan.components.len();
                if done >= frame.components.len() {
                    break;
                }
            }
            0xdd => {
                if reader.segment()?.iter().any(|byte| *byte != 0) {
                    return Err(failed("restart intervals are not read"));
                }
            }
            0xe8 => {
                // Hewlett-Packard's reference codec wrote its colour transforms so.
                if let [b'm', b'r', b'f', b'x', transform, ..] = reader.segment()?
                    && *transform != 0
                {
                    return Err(failed("a colour transform that the standard lacks"));
                }
            }
            0xe0..=0xef | 0xfe => {
                reader.segment()?;
            }
            other => return Err(failed(format!("marker {other:#04x} is not read"))),
        }
    }
    picture.filter(|picture| picture.components == done).ok_or_else(|| failed("a component lacks"))
}

fn failed(what: impl std::fmt::Display) -> Error {
    damaged(format!("JPEG-LS: {what}"))
}

/// Markers and the segments behind them.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    fn marker(&mut self) -> Result<u8> {
        let cut = || failed("it is cut off");
        if self.bytes.get(self.at) != Some(&0xff) {
            return Err(self.bytes.get(self.at).map_or_else(cut, |_| failed("no marker where one must be")));
        }
        // Any number of 0xff may fill the space before a marker.
        let skip = self.bytes[self.at..].iter().position(|byte| *byte != 0xff).ok_or_else(cut)?;
        self.at += skip + 1;
        Ok(self.bytes[self.at - 1])
    }

    fn segment(&mut self) -> Result<&'a [u8]> {
        let cut = || failed("it is cut off");
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk().ok_or_else(cut)?));
        let segment = rest.get(2..length).ok_or_else(cut)?;
        self.at += length;
        Ok(segment)
    }
}

impl Frame {
    fn parse(segment: &[u8]) -> Result<Self> {
        let [bits, h0, h1, w0, w1, count, components @ ..] = segment else {
            return Err(failed("a short frame header"));
        };
        if !(2..=16).contains(bits) {
            return Err(failed(format!("{bits} bits a sample")));
        }
        let size = possible(u16::from_be_bytes([*w0, *w1]).into(), u16::from_be_bytes([*h0, *h1]).into())?;
        let components = components.as_chunks::<3>().0;
        if components.len() != usize::from(*count) || ![1, 3].contains(count) {
            return Err(failed(format!("{count} components")));
        }
        if components.iter().any(|[_, sampling, _]| *sampling != 0x11) {
            return Err(failed("components of different sizes are not read"));
        }
        Ok(Self { size, bits: (*bits).into(), components: components.iter().map(|[id, ..]| *id).collect() })
    }
}

/// A scan's header.
struct Scan {
    /// Places of its components among the frame's.
    components: Vec<usize>,
    near: i32,
    interleave: Interleave,
}

impl Scan {
    fn parse(segment: &[u8], frame: &Frame) -> Result<Self> {
        let (count, rest) = segment.split_first().ok_or_else(|| failed("a short scan header"))?;
        let (components, rest) =
            rest.split_at_checked(2 * usize::from(*count)).ok_or_else(|| failed("a short scan header"))?;
        let mut places = Vec::new();
        for [id, table] in components.as_chunks::<2>().0 {
            if *table != 0 {
                return Err(failed("mapping tables are not read"));
            }
            let place = frame.components.iter().position(|component| component == id);
            places.push(place.ok_or_else(|| failed("a scan of a component that the frame lacks"))?);
        }
        let [near, interleave, transform, ..] = rest else { return Err(failed("a short scan header")) };
        if transform & 0x0f != 0 {
            return Err(failed("point transforms are not read"));
        }
        let interleave = match (places.len(), interleave) {
            (1, _) => Interleave::None,
            (2.., 1) => Interleave::Line,
            (2.., 2) => Interleave::Sample,
            (count, kind) => return Err(failed(format!("{count} components interleaved in the way {kind}"))),
        };
        Ok(Self { components: places, near: (*near).into(), interleave })
    }
}

/// The presets MAXVAL, T1, T2, T3 and RESET; 0 keeps a default.
fn read_presets(segment: &[u8], presets: &mut [u16; 5]) -> Result<()> {
    let [1, values @ ..] = segment else { return Err(failed("mapping tables and oversize images are not read")) };
    let values = values.as_chunks::<2>().0;
    if values.len() != presets.len() {
        return Err(failed("a short list of presets"));
    }
    for (preset, raw) in presets.iter_mut().zip(values) {
        *preset = u16::from_be_bytes(*raw);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
