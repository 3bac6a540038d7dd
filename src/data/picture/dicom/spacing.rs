//! Millimetres of a pixel, as PS3.3 10.7.1 says.
//!
//! A projection shows the patient magnified. `PixelSpacing` is meant in the patient, if somebody calibrated it
//! (`PixelSpacingCalibrationType` GEOMETRY or FIDUCIAL, or another value than the detector's); else it repeats
//! `ImagerPixelSpacing`, on the detector, or `NominalScannedPixelSpacing`, on the film. Those two divided by
//! `EstimatedRadiographicMagnificationFactor`, the distance from source to detector over that from source to patient
//! (C.8.7.6), are in the patient again. Without that factor they are taken as they are, as viewers do.

use super::attribute::{
    Attribute, IMAGER_PIXEL_SPACING, MAGNIFICATION, NOMINAL_SCANNED_PIXEL_SPACING, PIXEL_SPACING,
    PIXEL_SPACING_CALIBRATION_TYPE,
};
use super::elements::Elements;
use crate::picture::damaged;
use sweep_core::error::Result;
use sweep_core::units::Spacing;

/// The size of a pixel, if the file says it; never an invented one.
///
/// # Errors
/// When an attribute is not what it must be; names it.
pub(super) fn of(file: &Elements) -> Result<Option<Spacing>> {
    let pixel = pair(file, PIXEL_SPACING)?;
    let receptor = pair(file, IMAGER_PIXEL_SPACING)?.or(pair(file, NOMINAL_SCANNED_PIXEL_SPACING)?);
    let is_calibrated = file.term(PIXEL_SPACING_CALIBRATION_TYPE).is_some();
    let magnification = file.number(MAGNIFICATION)?.filter(|factor| *factor != 0.0);
    if let Some(factor) = magnification.filter(|factor| *factor < 0.5 || *factor > 10.0) {
        return Err(damaged(format!("{factor} is no magnification of a projection")).at(MAGNIFICATION));
    }
    let unmagnified = |s: Spacing| magnification.map_or(s, |factor| Spacing { x: s.x / factor, y: s.y / factor });
    Ok(match (pixel, receptor) {
        (Some(pixel), Some(receptor)) if !is_calibrated && is_same(pixel, receptor) => Some(unmagnified(receptor)),
        (Some(pixel), _) => Some(pixel),
        (None, receptor) => receptor.map(unmagnified),
    })
}

/// The same but for digits that a decimal string of 16 characters cannot hold.
pub(super) fn is_same(a: Spacing, b: Spacing) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-4 * b;
    near(a.x, b.x) && near(a.y, b.y)
}

/// A pair of distances, of rows first (PS3.3 10.7.1.3). Zeros stand where a writer knew none.
pub(super) fn pair(file: &Elements, attribute: Attribute) -> Result<Option<Spacing>> {
    let spacing = match file.numbers(attribute)?[..] {
        [] | [0.0, 0.0] => return Ok(None),
        [rows, columns] => Spacing { x: columns, y: rows },
        ref other => return Err(damaged(format!("{} distances instead of two", other.len())).at(attribute)),
    };
    if spacing.is_valid() {
        Ok(Some(spacing))
    } else {
        Err(damaged(format!("pixels of {}×{} mm", spacing.x, spacing.y)).at(attribute))
    }
}
