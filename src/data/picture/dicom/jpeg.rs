//! JPEG (ITU-T T.81): the lossy processes of 8 bits and the lossless ones of up to 16, by jpeg-decoder; of 12 bits, which
//! that lacks, by `jpeg_extended`.

use std::io::Cursor;

use jpeg_decoder::{ColorTransform, Decoder};

use super::frame::Decoded;
use super::jpeg_extended;
use super::layout::{Layout, Photometric};
use crate::picture::damaged;
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

/// Decodes a picture of this layout; its size is judged before memory is taken.
pub(super) fn decode(data: &[u8], layout: &Layout) -> Result<Decoded> {
    let facts = Facts::read(data)?;
    let (width, height) = facts.size;
    if (width, height) != (layout.size.width, layout.size.height) || facts.components != layout.samples {
        return Err(damaged(format!("a JPEG image of {width}×{height} pixels of {} samples", facts.components)));
    }
    let failed = |e: &dyn std::fmt::Display| damaged(format!("JPEG: {e}"));
    if !facts.is_lossless && facts.bits == 12 && facts.components == 1 {
        let values = jpeg_extended::decode(data, layout.size)?;
        return Ok(Decoded { size: layout.size, samples: 1, values, is_rgb: false });
    }
    if !facts.is_lossless && facts.bits != 8 {
        let what =
            format!("JPEG of {} bits and {} samples that is not lossless is not read", facts.bits, facts.components);
        return Err(Error::input(what).remedy(super::REWRITE));
    }
    let mut decoder = Decoder::new(Cursor::new(data));
    // Coefficients take twice as much as values, and blocks may reach beyond the picture.
    decoder.set_max_decoding_buffer_size(layout.size.area() * layout.samples * 4 + (1 << 20));
    if let Some(transform) = facts.transform(layout.photometric) {
        decoder.set_color_transform(transform);
    }
    let bytes = decoder.decode().map_err(|e| failed(&e))?;
    let count = layout.size.area() * layout.samples;
    let values = if bytes.len() == count {
        bytes.into_iter().map(u16::from).collect()
    } else if bytes.len() == 2 * count {
        // Values of 16 bits come in the machine's order.
        bytes.as_chunks().0.iter().map(|pair| u16::from_ne_bytes(*pair)).collect()
    } else {
        return Err(failed(&"another number of values"));
    };
    Ok(Decoded {
        size: Size { width, height },
        samples: layout.samples,
        values,
        is_rgb: layout.samples == 3 && !facts.is_lossless,
    })
}

/// Parameters from the segments before a scan.
struct Facts {
    size: (usize, usize),
    components: usize,
    bits: u8,
    is_lossless: bool,
    is_jfif: bool,
    adobe: Option<u8>,
}

impl Facts {
    fn read(data: &[u8]) -> Result<Self> {
        let cut = || damaged("JPEG: it is cut off");
        let (mut is_jfif, mut adobe) = (false, None);
        let mut at = 2;
        loop {
            let start = data.get(at..).unwrap_or_default();
            let [mark, kind, l0, l1] = *start.first_chunk().ok_or_else(cut)?;
            if mark != 0xff {
                return Err(damaged("JPEG: no marker where one must be"));
            }
            if kind == 0xff {
                at += 1;
                continue;
            }
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            let segment = start.get(4..length + 2).ok_or_else(cut)?;
            match (kind, segment) {
                (0xe0, [b'J', b'F', b'I', b'F', ..]) => is_jfif = true,
                (0xee, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => adobe = Some(*transform),
                (0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, [bits, h0, h1, w0, w1, components, ..]) => {
                    let number = |raw| usize::from(u16::from_be_bytes(raw));
                    return Ok(Self {
                        size: (number([*w0, *w1]), number([*h0, *h1])),
                        components: usize::from(*components),
                        bits: *bits,
                        is_lossless: kind == 0xc3,
                        is_jfif,
                        adobe,
                    });
                }
                (0xda, _) => return Err(damaged("JPEG: a scan before the frame")),
                _ => {}
            }
            at += length + 2;
        }
    }

    /// How colours are turned to red, green and blue. A marker that says how they are coded goes before the attribute,
    /// which writers copy from the picture that they compress.
    fn transform(&self, photometric: Photometric) -> Option<ColorTransform> {
        if self.components != 3 || self.is_lossless {
            return None;
        }
        Some(match self.adobe {
            Some(0) => ColorTransform::RGB,
            None if photometric == Photometric::Rgb && !self.is_jfif => ColorTransform::RGB,
            _ => ColorTransform::YCbCr,
        })
    }
}
