//! Examples of augmented training images with their landmarks, a row per image.

use image::RgbImage;
use plotters::style::RGBAColor;

use sweep_core::error::Result;
use sweep_core::units::Point;

use crate::drawing::colour::Colour;
use crate::drawing::figure::Figure;
use crate::drawing::geometry::Rect;
use crate::drawing::legend::LegendEntry;
use crate::drawing::resize::resized;
use crate::drawing::stroke::Stroke;
use crate::drawing::text::{Anchor, SMALL_SIZE, TextStyle};

const LANDMARK: Colour = RGBAColor(0, 205, 90, 1.0);
const CAPTION: f64 = 34.0;
const GAP: f64 = 14.0;

/// An image of the figure.
#[derive(Debug, Clone)]
pub struct Example {
    /// Text below it.
    pub caption: String,
    /// The augmented image.
    pub image: RgbImage,
    /// Landmarks in pixels of `image`, without those outside it.
    pub landmarks: Vec<Point>,
    /// Physical height of a pixel over its width.
    pub aspect: f64,
}

/// The figure as a PNG. Rows have equally many examples; the first of each is the original image.
///
/// # Errors
/// When the figure cannot be drawn or encoded.
pub fn augmented(subtitle: &str, rows: &[Vec<Example>]) -> Result<Vec<u8>> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let width = (1552.0 - GAP * (columns - 1) as f64) / columns as f64;
    let tallest = |row: &Vec<Example>| {
        let heights = row.iter().map(|e| f64::from(e.image.height()) * e.aspect / f64::from(e.image.width()));
        heights.fold(0.1, f64::max).min(3.0) * width
    };
    let heights: Vec<f64> = rows.iter().map(tallest).collect();
    let content = heights.iter().map(|height| height + CAPTION + GAP).sum();
    let legend = [LegendEntry::ring("landmark", LANDMARK)];
    let mut figure = Figure::new("Augmented training images", subtitle, &legend, content);
    let mut top = figure.content.top;
    for (row, height) in rows.iter().zip(heights) {
        let mut left = figure.content.left;
        for example in row {
            draw(&mut figure, example, left, top, [width, height]);
            left += width + GAP;
        }
        top += height + CAPTION + GAP;
    }
    figure.png()
}

fn draw(figure: &mut Figure, example: &Example, left: f64, top: f64, [width, height]: [f64; 2]) {
    let canvas = &mut figure.canvas;
    let image = &example.image;
    // Pixels become square, so that proportions are those of the patient.
    let tall = ((f64::from(image.height()) * example.aspect).round() as u32).max(1);
    let square = resized(image, image.width(), tall);
    let rect = Rect { left, top, right: left + width, bottom: top + height };
    let frame = canvas.image(&square, rect);
    for point in &example.landmarks {
        // Pixel centres are whole numbers, so the image's left edge is at −½.
        let x = frame.left + (point.x + 0.5) / f64::from(image.width()) * frame.width();
        let y = frame.top + (point.y + 0.5) / f64::from(image.height()) * frame.height();
        canvas.ring((x, y), 5.0, Stroke::solid(LANDMARK, 2.0));
    }
    let (caption, text_style) = TextStyle::plain(SMALL_SIZE).fit(&example.caption, width);
    canvas.text(&caption, (frame.left, frame.bottom + 20.0), Anchor::Left, text_style);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_there_with_its_landmarks() {
        let example = |grey: u8| Example {
            caption: format!("grey {grey}"),
            image: RgbImage::from_pixel(40, 50, image::Rgb([grey; 3])),
            landmarks: vec![Point { x: 20.0, y: 25.0 }],
            aspect: 1.0,
        };
        let rows: Vec<Vec<Example>> = (0..2).map(|row| (0..3).map(|i| example(40 + 60 * i + row)).collect()).collect();
        let png = augmented("strong", &rows).unwrap();
        let figure = image::load_from_memory(&png).unwrap().to_rgb8();
        for row in &rows {
            for example in row {
                let grey = example.image.get_pixel(0, 0);
                assert!(figure.pixels().filter(|pixel| *pixel == grey).count() > 1000, "{}", example.caption);
            }
        }
        let green = figure.pixels().filter(|p| p.0[1] > 150 && p.0[0] < 60).count();
        assert!(green > 6 * 30, "{green} green pixels");
        assert!(augmented("nothing", &[]).is_ok());
    }
}
