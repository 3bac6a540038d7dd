//! DICOM: a picture of one frame, grey or in colour, as its file asks it to be seen.
//!
//! A file is known by its first bytes (`encoding`), its elements are read one by one (`elements`) and say how pixels are
//! laid out (`layout`). Pixels without compression, or compressed by run lengths, JPEG, JPEG-LS or JPEG 2000, become
//! samples (`frame`), and samples become grey values (`greys`, `colours`). Millimetres follow PS3.3 10.7.1 (`spacing`); where
//! pixels lie in the patient matters to marks in the patient (`place`).
//! References are to the DICOM standard of 2024.

use super::Grey;
use super::budget::{BYTES_A_PIXEL, JPEG_2000_BYTES_A_VALUE, permit};
use crate::Channels;
use sweep_core::error::Result;

mod attribute;
mod colours;
mod elements;
mod encoding;
mod frame;
mod greys;
mod jpeg;
mod jpeg_extended;
mod layout;
mod lookup;
mod place;
mod run_lengths;
mod spacing;

pub(super) use encoding::{is, is_directory};
pub(crate) use place::Place;

use attribute::PATIENT_ID;
use elements::Elements;
use frame::Frame;
use layout::{Layout, Photometric};

const REWRITE: &str = "write it anew without compression, e.g. `gdcmconv --raw IN OUT` or `dcmdjpeg IN OUT`";

/// Reads the picture of a file for which [`is`]; where colours are wanted, those of a pixel lie side by side.
pub(super) fn decode(bytes: &[u8], wanted: Channels) -> Result<Grey> {
    let file = Elements::read(bytes)?;
    let layout = Layout::of(&file)?;
    let spacing = spacing::of(&file)?;
    let bytes_a_pixel =
        if frame::is_jpeg_2000(&file.syntax) { JPEG_2000_BYTES_A_VALUE * layout.samples as u64 } else { BYTES_A_PIXEL };
    let _permit = permit(layout.size, bytes_a_pixel);
    let frame = Frame::of(&file, &layout)?;
    let pixels = match frame.photometric {
        Photometric::Monochrome1 | Photometric::Monochrome2 => greys::shown(&file, &layout, &frame.values)?,
        Photometric::Palette => colours::of_palette(&file, &layout, &frame.values, wanted)?,
        _ => colours::shown(&layout, &frame, wanted)?,
    };
    Ok(Grey { size: layout.size, pixels, spacing, patient: fingerprint(&file) })
}

/// The position of a file's pixels in the patient; no pixel is decoded.
pub(super) fn place(bytes: &[u8]) -> Result<Place> {
    place::of(&Elements::read(bytes)?)
}

/// Height and width of a pixel, where they differ and its size is unknown.
pub(super) fn aspect(bytes: &[u8]) -> Result<Option<[f64; 2]>> {
    place::aspect(&Elements::read(bytes)?)
}

/// A fingerprint of whose picture a file is, of which no pixel is decoded.
pub(super) fn patient(bytes: &[u8]) -> Option<String> {
    Elements::read(bytes).ok().as_ref().and_then(fingerprint)
}

/// Who it is is nobody's business; that two images are of one patient is.
fn fingerprint(file: &Elements) -> Option<String> {
    file.text(PATIENT_ID).map(|id| format!("p{}", &blake3::hash(id.as_bytes()).to_hex()[..12]))
}

#[cfg(test)]
mod tests;
