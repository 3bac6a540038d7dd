//! Images at another size.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

/// The image at this size, by bilinear interpolation, over as many pixels as one of the result covers.
pub(crate) fn resized(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let mut target = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    if let Ok(source) = ImageRef::new(image.width(), image.height(), image.as_raw(), PixelType::U8x3) {
        // Fails for pixels of different types alone; without pixels it leaves the target black.
        let _ = Resizer::new().resize(&source, &mut target, &options);
    }
    RgbImage::from_raw(width, height, target.into_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_stays_a_ramp_at_every_size() {
        let ramp = RgbImage::from_fn(30, 20, |x, y| image::Rgb([(8 * x) as u8, (10 * y) as u8, 77]));
        for (width, height) in [(90, 60), (45, 70), (15, 10), (30, 20)] {
            let made = resized(&ramp, width, height);
            assert_eq!(made.dimensions(), (width, height));
            for (x, y, pixel) in made.enumerate_pixels() {
                // Centre of the pixel in the ramp; the outermost pixels end where the ramp does.
                let at = |i: u32, of: u32, from: u32| (f64::from(i) + 0.5) * f64::from(from) / f64::from(of) - 0.5;
                let expected =
                    [8.0 * at(x, width, 30).clamp(0.0, 29.0), 10.0 * at(y, height, 20).clamp(0.0, 19.0), 77.0];
                let is_inside = (2..width - 2).contains(&x) && (2..height - 2).contains(&y);
                for (found, expected) in pixel.0.iter().zip(expected) {
                    assert!((f64::from(*found) - expected).abs() <= if is_inside { 0.6 } else { 3.0 });
                }
            }
        }
        assert_eq!(resized(&RgbImage::new(0, 0), 4, 4).dimensions(), (4, 4));
    }
}
