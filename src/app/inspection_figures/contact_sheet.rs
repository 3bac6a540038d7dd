//! `contact_sheet.png`: a data set's images with their landmarks, those with findings first and marked.

use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, RgbImage};
use plotters::style::RGBAColor;

use sweep_analysis::drawing::canvas::Canvas;
use sweep_analysis::drawing::colour::{BLACK, Colour, WHITE};
use sweep_analysis::drawing::figure::Figure;
use sweep_analysis::drawing::geometry::{PixelPoint, Rect};
use sweep_analysis::drawing::legend::LegendEntry;
use sweep_analysis::drawing::stroke::Stroke;
use sweep_analysis::drawing::text::{Anchor, TextStyle};
use sweep_core::error::Result;
use sweep_core::units::{ErrorUnit, Point, Size};
use sweep_data::inspect::{Finding, Inspection, Severity};

/// Greatest number of images on a sheet.
const MAX_IMAGES: usize = 48;

const LANDMARK: Colour = RGBAColor(60, 220, 120, 1.0);
const ERROR: Colour = RGBAColor(225, 30, 30, 1.0);
const WARNING: Colour = RGBAColor(240, 140, 0, 1.0);
const GAP: f64 = 14.0;
const LINE_HEIGHT: f64 = 20.0;
const TEXT_SIZE: f64 = 15.0;
/// Lines below an image for its findings.
const FINDING_LINES: usize = 2;

/// An image to draw.
#[derive(Debug, Clone)]
pub(crate) struct Thumbnail {
    /// Its name in the findings.
    pub(crate) image: String,
    /// Name of its split for readers.
    pub(crate) split: &'static str,
    /// The pixels at any size; `None` if the image is unreadable.
    pub(crate) picture: Option<RgbImage>,
    /// Size of the image that the landmarks refer to.
    pub(crate) size: Size,
    /// One per landmark name.
    pub(crate) landmarks: Vec<Option<Point>>,
}

/// Greatest side of an image on the sheet, in pixels.
const MAX_SIDE: u32 = 1200;

/// An image of grey values, not larger than the sheet needs; `None` if their number does not match the size.
#[must_use]
pub(crate) fn thumbnail(size: Size, grey: Vec<u8>) -> Option<RgbImage> {
    let picture = GrayImage::from_raw(size.width as u32, size.height as u32, grey)?;
    let picture = DynamicImage::from(picture);
    let small = picture.width() <= MAX_SIDE && picture.height() <= MAX_SIDE;
    Some(if small { picture } else { picture.resize(MAX_SIDE, MAX_SIDE, FilterType::Triangle) }.into_rgb8())
}

/// Findings about an image, most severe first.
fn findings_about<'a>(inspection: &'a Inspection, image: &str) -> Vec<&'a Finding> {
    let is = |f: &&Finding| f.image.as_deref() == Some(image) || f.others.iter().any(|other| other == image);
    inspection.findings.iter().filter(|f| f.severity != Severity::Note).filter(is).collect()
}

/// Indices of the images to draw: those with findings, most severe first, then others, evenly spaced over the data set.
#[must_use]
pub(crate) fn images_shown(inspection: &Inspection, images: &[&str]) -> Vec<usize> {
    let worst = |i: &usize| findings_about(inspection, images[*i]).first().map(|finding| finding.severity);
    let mut suspicious: Vec<usize> = (0..images.len()).filter(|i| worst(i).is_some()).collect();
    suspicious.sort_by_key(|i| (worst(i), *i));
    suspicious.truncate(MAX_IMAGES);
    let others: Vec<usize> = (0..images.len()).filter(|i| !suspicious.contains(i)).collect();
    let capacity = (MAX_IMAGES - suspicious.len()).min(others.len());
    suspicious.extend((0..capacity).map(|i| others[i * others.len() / capacity]));
    suspicious
}

/// Draws the sheet of a data set with `images` images; `None` without a thumbnail.
///
/// # Errors
/// When the figure cannot be drawn or encoded.
pub(crate) fn contact_sheet(
    inspection: &Inspection,
    thumbnails: &[Thumbnail],
    images: usize,
) -> Result<Option<Vec<u8>>> {
    if thumbnails.is_empty() {
        return Ok(None);
    }
    let columns = match thumbnails.len() {
        n @ 1..=3 => n,
        4..=8 => 4,
        9..=24 => 6,
        _ => 8,
    };
    let rows = thumbnails.len().div_ceil(columns);
    let reasons: Vec<Vec<&Finding>> = thumbnails.iter().map(|t| findings_about(inspection, &t.image)).collect();
    let suspicious = reasons.iter().filter(|r| !r.is_empty()).count();
    let width = (1552.0 - GAP * (columns - 1) as f64) / columns as f64;
    let tallest = thumbnails.iter().map(|t| t.size.height as f64 / t.size.width.max(1) as f64).fold(0.2, f64::max);
    let picture = (width * tallest.min(1.5)).min(760.0);
    // Images with findings come first, so only the upper rows need lines for them.
    let caption =
        |row: usize| LINE_HEIGHT * (1 + if row * columns < suspicious { FINDING_LINES } else { 0 }) as f64 + 8.0;
    let name = &inspection.facts.name;
    let title = format!("{name}: {} of {images} images with their landmarks", thumbnails.len());
    let subtitle = match suspicious {
        0 => "No image has a finding.".to_owned(),
        n => {
            format!("{n} of them have findings, shown first and framed; the landmarks concerned are ringed and named.")
        }
    };
    let mut legend = vec![LegendEntry::dot("landmark", LANDMARK)];
    if suspicious > 0 {
        legend.push(LegendEntry::ring("landmark of a finding", ERROR));
        legend.push(LegendEntry::line("image with an error", Stroke::solid(ERROR, 5.0)));
        legend.push(LegendEntry::line("with a warning", Stroke::solid(WARNING, 5.0)));
    }
    let content = (0..rows).map(|row| picture + caption(row) + GAP).sum::<f64>() - GAP;
    let mut figure = Figure::new(&title, &subtitle, &legend, content);
    for (i, (thumbnail, findings)) in thumbnails.iter().zip(&reasons).enumerate() {
        let (row, column) = (i / columns, i % columns);
        let top = figure.content.top + (0..row).map(|row| picture + caption(row) + GAP).sum::<f64>();
        let left = figure.content.left + column as f64 * (width + GAP);
        let cell = Rect { left, top, right: left + width, bottom: top + picture + caption(row) };
        let names: Vec<&str> = inspection.facts.landmarks.iter().map(|l| l.name.as_str()).collect();
        draw(&mut figure.canvas, cell, caption(row), thumbnail, findings, (&names, inspection.facts.unit));
    }
    figure.png().map(Some)
}

fn draw(
    canvas: &mut Canvas,
    cell: Rect,
    caption: f64,
    image: &Thumbnail,
    findings: &[&Finding],
    (names, unit): (&[&str], ErrorUnit),
) {
    let available = Rect { bottom: cell.bottom - caption, ..cell };
    let frame = image.picture.as_ref().map_or(available, |picture| canvas.image(picture, available));
    if image.picture.is_none() {
        canvas.fill_rect(frame, BLACK);
        let middle = (f64::midpoint(frame.left, frame.right), f64::midpoint(frame.top, frame.bottom));
        canvas.text("unreadable", middle, Anchor::Centre, TextStyle { colour: WHITE, ..TextStyle::plain(TEXT_SIZE) });
    }
    let position = |p: Point| -> PixelPoint {
        // Pixel centres are whole numbers, so the image's left edge is at −½.
        let x = frame.left + (p.x + 0.5) / image.size.width.max(1) as f64 * frame.width();
        let y = frame.top + (p.y + 0.5) / image.size.height.max(1) as f64 * frame.height();
        (x.clamp(frame.left, frame.right), y.clamp(frame.top, frame.bottom))
    };
    let concerned = |name: &str| findings.iter().any(|f| f.landmarks.iter().any(|l| l == name));
    let radius = (frame.width() / 90.0).clamp(1.8, 4.0);
    for p in image.landmarks.iter().flatten() {
        canvas.disc(position(*p), radius + 1.0, BLACK);
        canvas.disc(position(*p), radius, LANDMARK);
    }
    let text_style = TextStyle::plain(13.0);
    for (name, p) in names.iter().zip(&image.landmarks).filter_map(|(n, p)| Some((n, (*p)?))) {
        if concerned(name) {
            let (x, y) = position(p);
            canvas.ring((x, y), radius + 5.0, Stroke::solid(ERROR, 2.5));
            // Beside the ring, towards the nearer edge if there is space: other landmarks are mostly on the other side.
            let (extent, gap) = (text_style.width(name) + radius + 16.0, radius + 12.0);
            let outwards = if x < f64::midpoint(frame.left, frame.right) {
                x - extent < frame.left
            } else {
                x + extent < frame.right
            };
            let (anchor, at) = if outwards { (Anchor::Left, x + gap) } else { (Anchor::Right, x - gap) };
            canvas.label(name, (at, y), anchor, text_style);
        }
    }
    if let Some(worst) = findings.first() {
        let colour = if worst.severity == Severity::Error { ERROR } else { WARNING };
        let corners = [
            (frame.left, frame.top),
            (frame.right, frame.top),
            (frame.right, frame.bottom),
            (frame.left, frame.bottom),
            (frame.left, frame.top),
        ];
        canvas.line(&corners, Stroke::solid(colour, 4.0));
    }
    let mut y = frame.bottom + 14.0;
    let (text, text_style) =
        TextStyle::bold(TEXT_SIZE).fit(&format!("{} · {}", image.image, image.split), cell.width());
    canvas.text(&text, (cell.left, y), Anchor::Left, text_style);
    let shown = if findings.len() > FINDING_LINES { FINDING_LINES - 1 } else { findings.len() };
    let mut lines: Vec<String> = findings[..shown].iter().map(|f| summary(f, &image.image, unit)).collect();
    if findings.len() > shown {
        lines.push(format!("and {} more", findings.len() - shown));
    }
    for line in lines {
        y += LINE_HEIGHT;
        let (text, text_style) = TextStyle::plain(TEXT_SIZE).fit(&line, cell.width());
        canvas.text(&text, (cell.left, y), Anchor::Left, text_style);
    }
}

/// A finding in a few words.
fn summary(finding: &Finding, image: &str, unit: ErrorUnit) -> String {
    let mut words = finding.check.replace('-', " ");
    if !finding.landmarks.is_empty() {
        words = format!("{words}: {}", finding.landmarks.join(", "));
    } else if let Some(other) = finding.image.iter().chain(&finding.others).find(|other| *other != image) {
        words = format!("{words}: {other}");
    }
    match finding.off_mm {
        Some(off) => format!("{words}, {off:.1} {unit}"),
        None => words,
    }
}
