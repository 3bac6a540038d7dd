//! Shapes as an SVG for a page: letters stay letters, and lines stay sharp at every size.

use plotters::prelude::{DrawingBackend, SVGBackend, ShapeStyle};
use plotters::style::text_anchor::{Pos, VPos};

use sweep_core::error::{Error, Kind, Result};

use super::geometry::{OVERSAMPLING, PixelPoint, rendered};
use super::shape::Shape;
use super::stroke::Stroke;

/// Longest file, in bytes. With more points a PNG is smaller and shows as much.
const LONGEST: usize = 400_000;

/// The shapes as an `svg` element of a page, which scales; `None` where a PNG serves better.
///
/// # Errors
/// When something could not be drawn.
pub(super) fn svg(shapes: &[Shape], width: u32, height: u32, name: &str) -> Result<Option<String>> {
    let size = (width * OVERSAMPLING, height * OVERSAMPLING);
    let mut text = String::new();
    let mut backend = SVGBackend::with_string(&mut text, size);
    for shape in shapes {
        match shape {
            Shape::Image(..) => return Ok(None),
            shape => drawn(&mut backend, shape)?,
        }
    }
    backend.present().map_err(failed)?;
    drop(backend);
    // The element of plotters has a size in pixels, and says neither its name nor how lines end.
    let Some((_, shapes)) = text.split_once('>') else { return Ok(None) };
    let name = name.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let element = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{name}\" stroke-linecap=\"round\" stroke-linejoin=\"round\">{shapes}",
        size.0, size.1
    );
    Ok((element.len() <= LONGEST).then_some(element))
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(Kind::Computation, format!("cannot draw a chart: {error}"))
}

fn drawn(backend: &mut SVGBackend<'_>, shape: &Shape) -> Result<()> {
    let scaled = |length: f64| (length * f64::from(OVERSAMPLING)).round() as u32;
    let done = match shape {
        Shape::Rect(rect, colour) => {
            backend.draw_rect(rendered((rect.left, rect.top)), rendered((rect.right, rect.bottom)), colour, true)
        }
        Shape::Line(points, stroke) => return line(backend, points, *stroke),
        Shape::Band { upper, lower, colour } => {
            backend.fill_polygon(upper.iter().chain(lower.iter().rev()).copied().map(rendered), colour)
        }
        Shape::Disc(centre, radius, colour) => backend.draw_circle(rendered(*centre), scaled(*radius), colour, true),
        Shape::Polygon(corners, colour) => backend.fill_polygon(corners.iter().copied().map(rendered), colour),
        Shape::Text { text, position: (x, y), anchor, style, upwards } => {
            // Positions are those of the middle of capital letters, and plotters puts the middle of small ones there.
            let down = 0.09 * style.size;
            let at = if *upwards { (x + down, *y) } else { (*x, y + down) };
            let style = style.of_svg(*upwards).pos(Pos::new(anchor.side(), VPos::Center));
            backend.draw_text(text, &style, rendered(at))
        }
        Shape::Image(..) => Ok(()),
    };
    done.map_err(failed)
}

fn line(backend: &mut SVGBackend<'_>, points: &[PixelPoint], stroke: Stroke) -> Result<()> {
    let width = (stroke.width * f64::from(OVERSAMPLING)).round().max(1.0) as u32;
    let style = ShapeStyle { color: stroke.colour, filled: false, stroke_width: width };
    for piece in stroke.pieces(points) {
        let mut places: Vec<(i32, i32)> = piece.into_iter().map(rendered).collect();
        let ends = places.first().copied().zip(places.last().copied());
        // Epochs nearer to each other than pixels are one place.
        places.dedup();
        if let (Some((first, last)), 1) = (ends, places.len()) {
            places = vec![first, last];
        }
        backend.draw_path(places, &style).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::super::canvas::Canvas;
    use super::super::colour::BLACK;
    use super::super::geometry::Rect;
    use super::super::text::{Anchor, TextStyle};
    use super::*;

    #[test]
    fn letters_are_letters_and_names_are_no_markup() {
        let mut canvas = Canvas::new(200, 100);
        canvas.text("<b>αβ</b>", (10.0, 10.0), Anchor::Left, TextStyle::plain(20.0));
        canvas.line(&[(0.0, 0.0), (50.0, 50.0)], Stroke::solid(BLACK, 2.0));
        let svg = canvas.svg("a \"name\" <i>").unwrap().unwrap();
        assert!(svg.starts_with("<svg viewBox=\"0 0 400 200\"") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(
            svg.contains("&lt;b&gt;αβ") && svg.contains("a &quot;name&quot; &lt;i>") && svg.contains("0,0 100,100"),
            "{svg}"
        );
        assert!(!svg.contains("<b>"), "{svg}");
    }

    #[test]
    fn images_and_countless_points_are_left_to_png() {
        let mut canvas = Canvas::new(200, 100);
        canvas.image(&RgbImage::new(8, 8), Rect { left: 0.0, top: 0.0, right: 50.0, bottom: 50.0 });
        assert!(canvas.svg("image").unwrap().is_none());
        let mut canvas = Canvas::new(200, 100);
        let zigzag: Vec<PixelPoint> = (0..100_000).map(|at| (f64::from(at % 199), f64::from(at % 97))).collect();
        canvas.line(&zigzag, Stroke::solid(BLACK, 1.0));
        assert!(canvas.svg("zigzag").unwrap().is_none());
    }
}
