//! Where pixels lie in the patient, as 3D Slicer takes it.
//!
//! Slicer reads DICOM by ITK with GDCM (`DICOMScalarVolumePlugin`). GDCM takes `ImagePositionPatient` for the centre of the first
//! pixel and `ImageOrientationPatient` for the directions of rows and columns (PS3.3 C.7.6.2.1.1). Radiographs mostly have
//! neither: their origin is 0, rows run to the patient's left and columns to the back (1\0\0\0\1\0), whatever they show; and so
//! for secondary captures, whatever they say (`gdcmImageHelper.cxx`: `GetOriginValue`, `GetDirectionCosinesValue`). The size of a
//! pixel is not the one in the patient (`spacing`): GDCM takes `ImagerPixelSpacing` for radiographs, DCMTK `PixelSpacing`
//! first. If a file has several spacings that differ, any of them may be right.

use super::attribute::{
    Attribute, IMAGE_ORIENTATION, IMAGE_POSITION, IMAGER_PIXEL_SPACING, MEDIA_STORAGE, NOMINAL_SCANNED_PIXEL_SPACING,
    PIXEL_ASPECT_RATIO, PIXEL_SPACING, SOP_CLASS,
};
use super::elements::Elements;
use super::spacing;
use crate::picture::damaged;
use sweep_core::error::Result;
use sweep_core::units::Spacing;

const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";

/// The place of a picture's pixels, in LPS and mm.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// Centre of the first pixel.
    pub(crate) origin: [f64; 3],
    /// Directions along a row and along a column.
    pub(crate) directions: [[f64; 3]; 2],
    /// Sizes of a pixel that readers may have taken; never empty.
    pub(crate) spacings: Vec<Spacing>,
}

/// The place that a file says.
///
/// # Errors
/// When an attribute is not what it must be; names it.
pub(super) fn of(file: &Elements) -> Result<Place> {
    let class = file.text(SOP_CLASS).or_else(|| file.text(MEDIA_STORAGE));
    let says = |attribute: Attribute, count: usize| -> Result<Option<Vec<f64>>> {
        let numbers = file.numbers(attribute)?;
        if numbers.is_empty() || class.as_deref() == Some(SECONDARY_CAPTURE) {
            return Ok(None);
        }
        if numbers.len() == count {
            Ok(Some(numbers))
        } else {
            Err(damaged(format!("{} numbers instead of {count}", numbers.len())).at(attribute))
        }
    };
    let origin = says(IMAGE_POSITION, 3)?.map_or([0.0; 3], |o| [o[0], o[1], o[2]]);
    let directions = match says(IMAGE_ORIENTATION, 6)? {
        None => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
        Some(d) => {
            let directions = [[d[0], d[1], d[2]], [d[3], d[4], d[5]]];
            let dot = |a: &[f64; 3], b: &[f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let [row, column] = &directions;
            let is_square = (dot(row, row) - 1.0).abs() < 0.01
                && (dot(column, column) - 1.0).abs() < 0.01
                && dot(row, column).abs() < 0.01;
            if !is_square {
                return Err(damaged("two directions that are not square and of length 1").at(IMAGE_ORIENTATION));
            }
            directions
        }
    };
    let mut spacings: Vec<Spacing> = Vec::new();
    for attribute in [IMAGER_PIXEL_SPACING, PIXEL_SPACING, NOMINAL_SCANNED_PIXEL_SPACING] {
        let new = spacing::pair(file, attribute)?;
        spacings.extend(new.filter(|new| !spacings.iter().any(|known| spacing::is_same(*known, *new))));
    }
    if spacings.is_empty() {
        // Without a size, a pixel is 1 mm high, or as high and wide as the ratio says.
        spacings.push(Spacing { x: 1.0, y: 1.0 });
        spacings.extend(aspect(file)?.map(|[height, width]| Spacing { x: width, y: height }));
    }
    Ok(Place { origin, directions, spacings })
}

/// Height and width of a pixel in an unknown unit, where the file says that they differ and does not say its size
/// (`PixelAspectRatio`, PS3.3 C.7.6.3.1.7).
///
/// # Errors
/// When the ratio is none.
pub(super) fn aspect(file: &Elements) -> Result<Option<[f64; 2]>> {
    match file.numbers(PIXEL_ASPECT_RATIO)?[..] {
        [] => Ok(None),
        [height, width] if height > 0.0 && width > 0.0 => {
            let has_size = spacing::of(file)?.is_some();
            Ok(Some([height, width]).filter(|_| !has_size && (height / width - 1.0).abs() > 1e-4))
        }
        _ => Err(damaged("it is not the height and width of a pixel").at(PIXEL_ASPECT_RATIO)),
    }
}
