//! `NIfTI`-1 (`.nii`, `.nii.gz`) of one slice: a header of 348 bytes, then values, x fastest.
//!
//! Source: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>. Rows stay in the order of the file, as `nibabel`'s
//! and ITK's arrays have them: a position is the voxel's index. `NIfTI`'s y axis often points up, so that viewers of volumes
//! show the picture upside down.

use std::io::{Read, SeekFrom};

use crate::Channels;
use sweep_core::error::{Error, Result};
use sweep_core::units::Spacing;

use super::budget::{BYTES_A_PIXEL, permit, possible};
use super::raw::{Element, Layout};
use super::{Decoded, ReadSeek, damaged};

const HEADER: usize = 348;

/// Whether the bytes begin as `NIfTI` files do.
pub(super) fn is(head: &[u8]) -> bool {
    let size = head.get(..4).map(|size| [size[0], size[1], size[2], size[3]]);
    let said =
        |bytes: [u8; 4]| u32::from_le_bytes(bytes) == HEADER as u32 || u32::from_be_bytes(bytes) == HEADER as u32;
    size.is_some_and(said) && head.get(344..347) == Some(b"n+1")
}

/// Whether the bytes are those of gzip.
pub(super) fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b, 8])
}

/// Reads a picture, of a file for which [`is`] or [`is_gzip`].
pub(super) fn decode(source: &mut dyn ReadSeek, wanted: Channels) -> Result<Decoded> {
    let (layout, spacing, mut values) = open(source)?;
    let _permit = permit(layout.size, BYTES_A_PIXEL);
    Ok(Decoded { spacing, ..Decoded::plain(layout.size, layout.read(&mut values, wanted)?) })
}

/// Whether it has more than 8 bits.
pub(super) fn is_deep(source: &mut dyn ReadSeek) -> Result<bool> {
    Ok(open(source)?.0.is_deep())
}

/// The header, and the values behind it.
fn open(source: &mut dyn ReadSeek) -> Result<(Layout, Option<Spacing>, Box<dyn Read + '_>)> {
    source.seek(SeekFrom::Start(0)).map_err(damaged)?;
    let gzip = source.fill_buf().map(is_gzip).map_err(damaged)?;
    let mut bytes: Box<dyn Read + '_> =
        if gzip { Box::new(flate2::bufread::MultiGzDecoder::new(source)) } else { Box::new(source) };
    let mut header = [0u8; HEADER];
    bytes.read_exact(&mut header).map_err(|e| damaged(format!("its header is cut off: {e}")))?;
    if !is(&header) {
        return Err(damaged("compressed by gzip, but no NIfTI image (n+1) inside"));
    }
    let big_endian = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) == HEADER as u32;
    let raw = |at: usize, len: usize| -> u64 {
        let bytes = &header[at..at + len];
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    };
    let short = |at: usize| raw(at, 2) as i16;
    let float = |at: usize| f64::from(f32::from_bits(raw(at, 4) as u32));

    // dim[0] dimensions, of which those beyond a slice's are 1.
    let count = usize::try_from(short(40)).ok().filter(|count| (2..=7).contains(count));
    let count = count.ok_or_else(|| damaged(format!("{} dimensions", short(40))).at("dim[0]"))?;
    let dims: Vec<i16> = (1..=count).map(|index| short(40 + 2 * index)).collect();
    if dims.iter().any(|dim| *dim < 1) {
        return Err(damaged(format!("dimensions {dims:?}")).at("dim"));
    }
    // A slice of a volume may lie along any two of its axes.
    let mut axes: Vec<usize> = (0..count).filter(|axis| dims[*axis] > 1).collect();
    if axes.len() > 2 {
        let dims: Vec<String> = dims.iter().map(i16::to_string).collect();
        return Err(Error::input(format!("a volume of {} voxels, not one image", dims.join("×")))
            .at("dim")
            .remedy("write the slice to use into a file of its own"));
    }
    for axis in 0..2 {
        if axes.len() < 2 && !axes.contains(&axis) {
            axes.push(axis);
        }
    }
    axes.sort_unstable();
    let size = possible(dims[axes[0]] as u64, dims[axes[1]] as u64)?;
    let (element, channels) = match short(70) {
        2 => (Element::U8, 1),
        4 => (Element::I16, 1),
        8 => (Element::I32, 1),
        16 => (Element::F32, 1),
        64 => (Element::F64, 1),
        128 => (Element::U8, 3),
        256 => (Element::I8, 1),
        512 => (Element::U16, 1),
        768 => (Element::U32, 1),
        1024 => (Element::I64, 1),
        1280 => (Element::U64, 1),
        2304 => (Element::U8, 4),
        other => return Err(damaged(format!("values of type {other} are not read")).at("datatype")),
    };
    let (slope, intercept) = (float(112), float(116));
    // A slope of 0 means that values are meant as they are.
    let is_scaled = slope != 0.0 && slope.is_finite() && intercept.is_finite() && (slope, intercept) != (1.0, 0.0);
    let rescale = is_scaled.then_some((slope, intercept)).filter(|_| channels == 1);
    // Units of lengths: metres, millimetres, micrometres; without one, millimetres.
    let unit = match header[123] & 7 {
        1 => 1000.0,
        3 => 0.001,
        _ => 1.0,
    };
    let spacing =
        Spacing { x: float(76 + 4 * (axes[0] + 1)).abs() * unit, y: float(76 + 4 * (axes[1] + 1)).abs() * unit };
    // Writers put 1 where they do not know.
    let spacing = Some(spacing).filter(|s| s.is_valid() && *s != Spacing { x: 1.0, y: 1.0 });
    let offset = float(108);
    if !(offset >= HEADER as f64 && offset <= f64::from(1u32 << 24)) {
        return Err(damaged(format!("values that begin at byte {offset}")).at("vox_offset"));
    }
    let between = offset as u64 - HEADER as u64;
    let skipped = std::io::copy(&mut bytes.by_ref().take(between), &mut std::io::sink()).map_err(damaged)?;
    if skipped < between {
        return Err(damaged("it ends before its values"));
    }
    Ok((Layout { size, element, channels, big_endian, rescale }, spacing, bytes))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;
    use crate::picture::decode as read;

    /// A header of these dimensions and this number type, and values.
    fn file(dims: &[i16], datatype: i16, spacing: [f32; 2], unit: u8, rescale: [f32; 2], values: &[u8]) -> Vec<u8> {
        let mut header = vec![0u8; 352];
        header[..4].copy_from_slice(&348i32.to_le_bytes());
        header[40..42].copy_from_slice(&(dims.len() as i16).to_le_bytes());
        for (index, dim) in dims.iter().enumerate() {
            header[42 + 2 * index..44 + 2 * index].copy_from_slice(&dim.to_le_bytes());
        }
        header[70..72].copy_from_slice(&datatype.to_le_bytes());
        header[80..84].copy_from_slice(&spacing[0].to_le_bytes());
        header[84..88].copy_from_slice(&spacing[1].to_le_bytes());
        header[108..112].copy_from_slice(&352f32.to_le_bytes());
        header[112..116].copy_from_slice(&rescale[0].to_le_bytes());
        header[116..120].copy_from_slice(&rescale[1].to_le_bytes());
        header[123] = unit;
        header[344..348].copy_from_slice(b"n+1\0");
        [&header, values].concat()
    }

    #[test]
    fn a_slice_is_read_plain_and_compressed() {
        let plain = file(&[3, 2, 1], 2, [0.25, 0.5], 2, [0.0, 0.0], &[1, 2, 3, 4, 5, 6]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        for bytes in [plain, gzip.finish().unwrap()] {
            let grey = read(&bytes).unwrap();
            assert_eq!((grey.size.width, grey.size.height), (3, 2));
            assert_eq!(grey.pixels, [1, 2, 3, 4, 5, 6]);
            assert_eq!(grey.spacing, Some(Spacing { x: 0.25, y: 0.5 }));
        }
    }

    #[test]
    fn units_and_a_rescaling_count() {
        let metres = file(&[2, 1], 4, [0.000_5, 0.000_5], 1, [-1.0, 0.0], &[1, 0, 3, 0]);
        let grey = read(&metres).unwrap();
        assert_eq!(grey.pixels, [255, 0], "a negative slope");
        assert!((grey.spacing.unwrap().x - 0.5).abs() < 1e-6);
        assert!(is_deep(&mut Cursor::new(metres)).unwrap());
    }

    #[test]
    fn what_is_no_slice_is_refused() {
        for (bytes, says) in [
            (file(&[2, 2, 2], 2, [1.0; 2], 2, [0.0; 2], &[0; 8]), "a volume of 2×2×2"),
            (file(&[2, 2], 32, [1.0; 2], 2, [0.0; 2], &[0; 8]), "type 32"),
            (file(&[2, -2], 2, [1.0; 2], 2, [0.0; 2], &[0; 8]), "dim"),
            (file(&[2, 2], 2, [1.0; 2], 2, [0.0; 2], &[0; 3]), "ends 1 bytes early"),
            (file(&[2, 2], 2, [1.0; 2], 2, [0.0; 2], &[])[..349].to_vec(), "before its values"),
            (file(&[32_000, 32_000], 2, [1.0; 2], 2, [0.0; 2], &[]), "32000×32000"),
        ] {
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
