//! Shapes as an SVG for a page: letters stay letters, and lines stay sharp at every size.

use std::fmt::Write as _;

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use plotters::prelude::{DrawingBackend, SVGBackend, ShapeStyle};
use plotters::style::text_anchor::{Pos, VPos};

use sweep_core::error::{Error, Kind, Result};

use super::geometry::{OVERSAMPLING, PixelPoint, rendered};
use super::shape::{About, Shape};
use super::stroke::Stroke;

/// Longest file without its images, in bytes. With more points a PNG is smaller and shows as much.
const LONGEST: usize = 900_000;

/// Radius around a value that readers can point at, in pixels of the figure.
const REACH: f64 = 9.0;
/// Most pixels of an image that is kept without loss.
const LOSSLESS: u32 = 150_000;
/// Quality of other images, out of 100.
const QUALITY: u8 = 88;

/// The shapes as an `svg` element of a page, which scales; `None` where a PNG serves better.
///
/// # Errors
/// When something could not be drawn.
pub(super) fn svg(shapes: &[Shape], width: u32, height: u32, name: &str) -> Result<Option<String>> {
    let mut svg = Svg { size: (width * OVERSAMPLING, height * OVERSAMPLING), text: String::new(), of_images: 0 };
    svg.draw(shapes)?;
    let element = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"group\" aria-label=\"{}\" stroke-linecap=\"round\" stroke-linejoin=\"round\">\n{}</svg>\n",
        svg.size.0,
        svg.size.1,
        escaped(name),
        svg.text
    );
    Ok((element.len() - svg.of_images <= LONGEST).then_some(element))
}

/// The content of an `svg` element.
struct Svg {
    size: (u32, u32),
    text: String,
    /// Bytes of images.
    of_images: usize,
}

impl Svg {
    fn draw(&mut self, shapes: &[Shape]) -> Result<()> {
        let is_plain = |shape: &Shape| !matches!(shape, Shape::Image { .. } | Shape::About(..) | Shape::Spot(..));
        for run in shapes.chunk_by(|a, b| is_plain(a) && is_plain(b)) {
            match &run[0] {
                Shape::Image { pixels, corner, source } => {
                    let picture = encoded(source.as_ref().unwrap_or(pixels))?;
                    let ((x, y), (width, height)) = (rendered(*corner), pixels.dimensions());
                    self.of_images += picture.len();
                    let _ = writeln!(
                        self.text,
                        "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\" href=\"{picture}\"/>"
                    );
                }
                Shape::About(shapes, About { words, group, layer }) => {
                    let title = escaped(words);
                    let layer = if *layer { " layer" } else { "" };
                    let (start, end) = match group {
                        Some(group) => (
                            format!("<a class=\"c{group}{layer}\" href=\"#configuration-{group}\" tabindex=\"-1\">"),
                            "</a>\n",
                        ),
                        None => ("<g>".to_owned(), "</g>\n"),
                    };
                    let _ = writeln!(self.text, "{start}<title>{title}</title>");
                    self.draw(shapes)?;
                    self.text += end;
                }
                Shape::Spot(position, words) => {
                    let ((x, y), radius) = (rendered(*position), REACH * f64::from(OVERSAMPLING));
                    let title = escaped(words);
                    let _ = writeln!(
                        self.text,
                        "<circle class=\"spot\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"><title>{title}</title></circle>"
                    );
                }
                _ => self.plain(run)?,
            }
        }
        Ok(())
    }

    /// Shapes that plotters draws.
    fn plain(&mut self, shapes: &[Shape]) -> Result<()> {
        let mut text = String::new();
        let mut backend = SVGBackend::with_string(&mut text, self.size);
        shapes.iter().try_for_each(|shape| drawn(&mut backend, shape))?;
        backend.present().map_err(failed)?;
        drop(backend);
        // The element of plotters has a size in pixels, and says neither its name nor how lines end.
        let inside = text.split_once('>').and_then(|(_, rest)| rest.rsplit_once("</svg>"));
        self.text += inside.map_or("", |(inside, _)| inside.trim_start());
        Ok(())
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// An image as a `data:` address.
fn encoded(image: &RgbImage) -> Result<String> {
    let (mut bytes, pixels) = (Vec::new(), image.width() * image.height());
    let kind = if pixels <= LOSSLESS { "png" } else { "jpeg" };
    let done = if pixels <= LOSSLESS {
        image.write_with_encoder(PngEncoder::new(&mut bytes))
    } else {
        image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))
    };
    done.map_err(failed)?;
    Ok(format!("data:image/{kind};base64,{}", base64::encode(&bytes)))
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
        Shape::Image { .. } | Shape::About(..) | Shape::Spot(..) => Ok(()),
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
            svg.contains("&lt;b&gt;αβ") && svg.contains("a &quot;name&quot; &lt;i&gt;") && svg.contains("0,0 100,100"),
            "{svg}"
        );
        assert!(!svg.contains("<b>"), "{svg}");
    }

    #[test]
    fn countless_points_are_left_to_png() {
        let mut canvas = Canvas::new(200, 100);
        let zigzag: Vec<PixelPoint> = (0..300_000).map(|at| (f64::from(at % 199), f64::from(at % 97))).collect();
        canvas.line(&zigzag, Stroke::solid(BLACK, 1.0));
        assert!(canvas.svg("zigzag").unwrap().is_none());
    }

    #[test]
    fn images_stand_in_the_file_small_ones_as_they_are() {
        let area = Rect { left: 0.0, top: 0.0, right: 400.0, bottom: 400.0 };
        for (size, kind) in [(8, "png"), (1000, "jpeg")] {
            let mut canvas = Canvas::new(400, 400);
            canvas.image(&RgbImage::from_pixel(size, size, image::Rgb([90; 3])), area);
            let svg = canvas.svg("image").unwrap().unwrap();
            let (head, data) = svg.split_once(&format!("href=\"data:image/{kind};base64,")).unwrap();
            assert!(head.ends_with("width=\"800\" height=\"800\" preserveAspectRatio=\"none\" "), "{head}");
            let bytes = base64::decode(data.split('"').next().unwrap()).unwrap();
            let shown = image::load_from_memory(&bytes).unwrap().to_rgb8();
            assert_eq!(shown.width(), size.min(800));
            assert!(shown.pixels().all(|pixel| pixel.0.iter().all(|value| value.abs_diff(90) < 3)));
        }
    }

    #[test]
    fn readers_can_point_at_configurations_and_values() {
        let mut canvas = Canvas::new(200, 100);
        canvas.about(About::group("<l1>", 3), |canvas| {
            canvas.disc((10.0, 10.0), 4.0, BLACK);
            canvas.spot((10.0, 10.0), "0.5 mm".to_owned());
        });
        canvas.disc((30.0, 10.0), 4.0, BLACK);
        let svg = canvas.svg("chart").unwrap().unwrap();
        let link = svg.split_once("<a class=\"c3\" href=\"#configuration-3\"").unwrap().1;
        let (inside, after) = link.split_once("</a>").unwrap();
        assert!(inside.contains("<title>&lt;l1&gt;</title>") && inside.contains("<title>0.5 mm</title>"), "{svg}");
        assert!(inside.matches("<circle").count() == 2 && after.matches("<circle").count() == 1, "{svg}");
        // The picture of pixels is the same without them.
        let mut plain = Canvas::new(200, 100);
        plain.disc((10.0, 10.0), 4.0, BLACK);
        plain.disc((30.0, 10.0), 4.0, BLACK);
        assert_eq!(canvas.png().unwrap(), plain.png().unwrap());
    }
}
