//! JPEG 2000 (ITU-T T.800) and its high-throughput kind (T.814), as a codestream or in a JP2 file, of up to 16 bits, by
//! dicom-toolkit-jpeg2000.
//!
//! That crate takes a header at its word. Hence claims are judged first: the size, and what divides the picture into so
//! many parts that those take more memory than pixels do.

use dicom_toolkit_jpeg2000::{DecodeSettings, Image};

use super::{damaged, possible};
use crate::Channels;
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

/// A decoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) size: Size,
    /// Bits of a value.
    pub(super) bits: u32,
    /// Whether values are numbers of two's complement.
    pub(super) is_signed: bool,
    /// A plane of values per component: grey, or red, green and blue; alpha comes behind.
    pub(super) planes: Vec<Vec<u16>>,
}

/// Parts of a picture that are so small cost more than its pixels.
const LEAST_PART: u64 = 256;
/// Pictures of no more pixels may be divided in any way.
const SMALL: u64 = 1 << 20;

/// Whether the bytes begin as JPEG 2000 does, in a JP2 file or without.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0\0\0\x0cjP  \r\n\x87\n") || bytes.starts_with(&[0xff, 0x4f, 0xff, 0x51])
}

/// Decodes a picture.
///
/// # Errors
/// When it is damaged, cut off or of a kind that is not read; the size is judged before memory is taken.
pub(super) fn decode(bytes: &[u8]) -> Result<Picture> {
    let codestream = codestream(bytes)?;
    let header = Header::read(codestream)?;
    let settings = DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };
    let image = Image::new(codestream, &settings).map_err(failed)?;
    let decoded = image.decode_native().map_err(failed)?;
    let count = usize::from(decoded.num_components);
    let size = Size { width: decoded.width as usize, height: decoded.height as usize };
    if (size, count) != (header.size, header.components) || decoded.data.len() != size.area() * count * header.bytes() {
        return Err(failed("another number of values than its header says"));
    }
    // The decoder gives signed values from 0 on.
    let middle = if header.is_signed { 1u16 << (header.bits - 1) } else { 0 };
    let plane = |component: usize| -> Vec<u16> {
        let own = |value: u16| value.wrapping_sub(middle);
        if header.bytes() == 1 {
            decoded.data.iter().skip(component).step_by(count).map(|byte| own((*byte).into())).collect()
        } else {
            let words = decoded.data.as_chunks().0.iter().skip(component).step_by(count);
            words.map(|pair| own(u16::from_le_bytes(*pair))).collect()
        }
    };
    let planes = (0..count).map(plane).collect();
    Ok(Picture { size, bits: header.bits, is_signed: header.is_signed, planes })
}

/// The size of a picture and its number of channels, judged before memory is taken.
///
/// # Errors
/// Same errors as [`decode`].
pub(super) fn size(bytes: &[u8]) -> Result<(Size, usize)> {
    let header = Header::read(codestream(bytes)?)?;
    Ok((header.size, header.components))
}

/// Whether a picture's values have more than 8 bits.
///
/// # Errors
/// Same errors as [`decode`].
pub(super) fn is_deep(bytes: &[u8]) -> Result<bool> {
    Ok(Header::read(codestream(bytes)?)?.bits > 8)
}

impl Picture {
    /// Whether its channels differ by more than a sixteenth of white anywhere.
    pub(super) fn shows_colours(&self) -> bool {
        let [red, green, blue, ..] = &self.planes[..] else { return false };
        let middle = if self.is_signed { 1u16 << (self.bits - 1) } else { 0 };
        let white = (1u32 << self.bits) - 1;
        red.iter()
            .zip(green)
            .zip(blue)
            .any(|((r, g), b)| super::shows_colours(&[*r, *g, *b].map(|value| value.wrapping_add(middle)), 3, white))
    }

    /// A grey value per pixel, from 0 on: of colours the luma of ITU-R BT.709, as of other formats, unless they are wanted:
    /// then red, green and blue of every pixel.
    pub(super) fn shown(mut self, wanted: Channels) -> Vec<u16> {
        let middle = if self.is_signed { 1u16 << (self.bits - 1) } else { 0 };
        if let [red, green, blue, ..] = &self.planes[..] {
            let values = red.iter().zip(green).zip(blue);
            if !wanted.is_grey() {
                let pixel = |((r, g), b): ((&u16, &u16), &u16)| [*r, *g, *b].map(|value| value.wrapping_add(middle));
                return values.flat_map(pixel).collect();
            }
            let own = |value: &u16| f64::from(value.wrapping_add(middle));
            let luma = |((r, g), b)| 0.2126 * own(r) + 0.7152 * own(g) + 0.0722 * own(b);
            return values.map(|colour| luma(colour).round() as u16).collect();
        }
        // The second plane, if there is one, is alpha.
        self.planes.truncate(1);
        self.planes.pop().unwrap_or_default().into_iter().map(|value| value.wrapping_add(middle)).collect()
    }
}

fn failed(what: impl std::fmt::Display) -> Error {
    damaged(format!("JPEG 2000: {what}"))
}

/// The codestream of a JP2 file, whose other boxes must not change what its values mean (T.800 annex I).
fn codestream(bytes: &[u8]) -> Result<&[u8]> {
    if bytes.starts_with(&[0xff, 0x4f]) {
        return Ok(bytes);
    }
    let mut rest = bytes;
    while let Some((kind, content, after)) = next_box(rest) {
        match kind {
            b"jp2h" => check_header(content)?,
            b"jp2c" => return Ok(content),
            _ => {}
        }
        rest = after;
    }
    Err(failed("no codestream in it"))
}

/// Refuses a header whose values are places in a palette, or colours other than grey, red, green and blue.
fn check_header(header: &[u8]) -> Result<()> {
    let mut rest = header;
    while let Some((kind, content, after)) = next_box(rest) {
        match (kind, content) {
            (b"pclr", _) => return Err(failed("palettes are not read")),
            // Enumerated: sRGB, grey.
            (b"colr", [1, _, _, space @ ..]) if ![&[0, 0, 0, 16][..], &[0, 0, 0, 17]].contains(&space) => {
                return Err(failed("its colours are neither sRGB nor grey"));
            }
            _ => {}
        }
        rest = after;
    }
    Ok(())
}

/// A box's kind and content, and what follows it.
fn next_box(bytes: &[u8]) -> Option<(&[u8; 4], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (kind, rest) = rest.split_first_chunk()?;
    match u32::from_be_bytes(*length) {
        // To the end of the file.
        0 => Some((kind, rest, &[])),
        1 => {
            let (length, rest) = rest.split_first_chunk()?;
            let length = usize::try_from(u64::from_be_bytes(*length)).ok()?.checked_sub(16)?;
            rest.split_at_checked(length).map(|(content, after)| (kind, content, after))
        }
        length => {
            let length = (length as usize).checked_sub(8)?;
            rest.split_at_checked(length).map(|(content, after)| (kind, content, after))
        }
    }
}

/// Fields of the main header (T.800 annex A).
struct Header {
    size: Size,
    bits: u32,
    is_signed: bool,
    components: usize,
}

impl Header {
    fn read(codestream: &[u8]) -> Result<Self> {
        let cut = || failed("it is cut off");
        let mut header: Option<Self> = None;
        let mut at = 2;
        loop {
            let rest = codestream.get(at..).unwrap_or_default();
            let [mark, kind, l0, l1] = *rest.first_chunk().ok_or_else(cut)?;
            if mark != 0xff {
                return Err(failed("no marker where one must be"));
            }
            if kind == 0x90 {
                break;
            }
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            let segment = rest.get(4..length + 2).ok_or_else(cut)?;
            match (kind, &header) {
                (0x51, _) => header = Some(Self::of_sizes(segment)?),
                // Coding style: of all components, or of one, whose number comes first.
                (0x52, Some(header)) => header.check_style(segment.first().copied(), segment.get(5..))?,
                (0x53, Some(header)) => header.check_style(segment.get(1).copied(), segment.get(2..))?,
                _ => {}
            }
            at += length + 2;
        }
        header.ok_or_else(|| failed("it says no size"))
    }

    /// The segment SIZ.
    fn of_sizes(segment: &[u8]) -> Result<Self> {
        let [_, _, sizes @ ..] = segment else { return Err(failed("a short header")) };
        let (sizes, rest) = sizes.split_at_checked(32).ok_or_else(|| failed("a short header"))?;
        let [x1, y1, x0, y0, tile_width, tile_height, ..] =
            std::array::from_fn::<u64, 8, _>(|i| u32::from_be_bytes(sizes.as_chunks().0[i]).into());
        let size = possible(x1.saturating_sub(x0), y1.saturating_sub(y0))?;
        let [_, _, components @ ..] = rest else { return Err(failed("a short header")) };
        let components = components.as_chunks::<3>().0;
        let [depth, ..] = components.first().ok_or_else(|| failed("no component"))?;
        if components.len() > 4 || components.iter().any(|component| component != &[*depth, 1, 1]) {
            return Err(failed("more than four components, or components that differ, are not read"));
        }
        let header = Self {
            size,
            bits: u32::from(depth & 0x7f) + 1,
            is_signed: depth & 0x80 != 0,
            components: components.len(),
        };
        if header.bits > 16 {
            return Err(failed(format!("values of {} bits; up to 16 are read", header.bits)));
        }
        header.check_part("tiles", tile_width, tile_height)?;
        Ok(header)
    }

    /// The sizes of code blocks and of precincts.
    fn check_style(&self, style: Option<u8>, parameters: Option<&[u8]>) -> Result<()> {
        let (Some(style), Some([_, width, height, _, _, precincts @ ..])) = (style, parameters) else {
            return Err(failed("a short header"));
        };
        self.check_part("code blocks", 4 << (width & 15), 4 << (height & 15))?;
        if style & 1 == 1 {
            // From the smallest resolution to the largest, whose parts are the most.
            let sizes = precincts.last().copied().unwrap_or(0xff);
            self.check_part("precincts", 1 << (sizes & 15), 1 << (sizes >> 4))?;
        }
        Ok(())
    }

    fn check_part(&self, parts: &str, width: u64, height: u64) -> Result<()> {
        if width.saturating_mul(height) < LEAST_PART && self.size.area() as u64 > SMALL {
            return Err(failed(format!("{parts} of {width}×{height} pixels")));
        }
        Ok(())
    }

    /// Bytes of a value.
    fn bytes(&self) -> usize {
        if self.bits > 8 { 2 } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A codestream in a JP2 file with these boxes in its header.
    fn in_file(codestream: &[u8], boxes: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let one =
            |kind: &[u8; 4], content: &[u8]| [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat();
        let header: Vec<u8> = boxes.iter().flat_map(|(kind, content)| one(kind, content)).collect();
        [one(b"jP  ", b"\r\n\x87\n"), one(b"jp2h", &header), one(b"jp2c", codestream)].concat()
    }

    /// The codestream in a DICOM file of the fixtures.
    fn codestream() -> &'static [u8] {
        let file = include_bytes!("../../../tests/fixtures/dicom/jpeg2000-12.dcm");
        let at = file.windows(4).position(|four| four == [0xff, 0x4f, 0xff, 0x51]).unwrap();
        &file[at..]
    }

    #[test]
    fn a_file_is_its_codestream() {
        let plain = decode(codestream()).unwrap();
        assert_eq!((plain.size.width, plain.size.height, plain.bits, plain.planes.len()), (12, 10, 12, 1));
        assert_eq!((plain.planes[0][0], plain.planes[0][119]), (0, 4095));
        let grey: &[u8] = &[1, 0, 0, 0, 0, 0, 17];
        let file = in_file(codestream(), &[(b"colr", grey)]);
        assert!(is(&file) && is(codestream()));
        assert_eq!(decode(&file).unwrap(), plain);
        assert_eq!(plain.clone().shown(Channels::Grey), plain.planes[0]);
    }

    #[test]
    fn what_values_would_not_mean_is_refused() {
        let colour = |space| in_file(codestream(), &[(b"colr", &[1, 0, 0, 0, 0, 0, space])]);
        assert!(decode(&colour(18)).unwrap_err().to_string().contains("sRGB"));
        let palette = in_file(codestream(), &[(b"pclr", &[0, 2, 3])]);
        assert!(decode(&palette).unwrap_err().to_string().contains("palettes"));
    }

    #[test]
    fn claims_are_judged_before_memory_is_taken() {
        let with = |at: usize, value: &[u8]| {
            let mut bytes = codestream().to_vec();
            bytes[at..at + value.len()].copy_from_slice(value);
            decode(&bytes).unwrap_err().to_string()
        };
        assert!(with(8, &[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]).contains("65535×65535"));
        // A megapixel and more, in tiles of one pixel.
        let tiny = [0, 0, 8, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        assert!(with(8, &tiny).contains("tiles of 1×1"));
        assert!(with(42, &[0x25]).contains("38 bits"));
        for kept in [2, 40, codestream().len() / 2] {
            assert!(decode(&codestream()[..kept]).is_err(), "{kept} bytes");
        }
    }
}
