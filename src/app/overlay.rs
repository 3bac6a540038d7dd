//! Landmarks drawn on the image that they were found or marked on.

use image::RgbImage;

use sweep_analysis::report;
pub use sweep_analysis::report::NamedLandmark;
use sweep_core::error::{Error, Kind, Result};
use sweep_core::units::Size;
use sweep_data::channels::rgb;

/// The image with its landmarks as a PNG. `pixels` are grey values row by row, or a plane of red, one of green and one of blue.
///
/// # Errors
/// When the pixels are not those of an image of this size, or it cannot be drawn.
pub fn overlay(size: Size, pixels: &[u8], landmarks: &[NamedLandmark]) -> Result<Vec<u8>> {
    let picture = RgbImage::from_raw(size.width as u32, size.height as u32, rgb(pixels, size.area()))
        .ok_or_else(|| Error::new(Kind::Computation, "an image of another size than it says"))?;
    report::predicted(&picture, landmarks)
}
