//! Landmarks on validation images: the truth green, predictions red and blue, each with its own marker.

use std::collections::BTreeMap;

use image::RgbImage;
use plotters::style::RGBAColor;

use sweep_core::error::Result;
use sweep_core::units::ErrorUnit;
use sweep_experiment::records::LandmarkRecord;

use super::series::{Group, best_landmarks, epoch_phrase, mean};
use crate::TrialRecords;
use crate::drawing::canvas::Canvas;
use crate::drawing::colour::Colour;
use crate::drawing::figure::Figure;
use crate::drawing::geometry::Rect;
use crate::drawing::legend::LegendEntry;
use crate::drawing::marker::{Marker, MarkerShape};
use crate::drawing::stroke::Stroke;
use crate::drawing::text::{Anchor, SMALL_SIZE, TextStyle};
use crate::format::mm;
use crate::shown_images::ShownImage;

/// Greatest number of images in a figure.
pub(super) const MAX_IMAGES: usize = 6;
const TRUTH: Colour = RGBAColor(0, 205, 90, 1.0);
const PREDICTIONS: [(Colour, Marker); 2] = [
    (RGBAColor(225, 30, 30, 1.0), Marker { shape: MarkerShape::Cross, filled: true }),
    (RGBAColor(40, 110, 255, 1.0), Marker { shape: MarkerShape::Diamond, filled: true }),
];
const CAPTION_LINE: f64 = 30.0;
const GAP: f64 = 24.0;

/// Predictions of one trial at its best epoch.
struct Layer<'a> {
    trial: &'a TrialRecords,
    label: String,
    seed: u64,
    when: String,
    records: Vec<&'a LandmarkRecord>,
}

fn layer<'a>(label: &str, trial: &'a TrialRecords) -> Option<Layer<'a>> {
    let records: Vec<&LandmarkRecord> = best_landmarks(trial).collect();
    (!records.is_empty()).then(|| Layer {
        trial,
        label: label.to_owned(),
        seed: trial.seed,
        when: epoch_phrase([trial]),
        records,
    })
}

/// The first trial with landmarks of the first two groups that have one.
fn layers<'a>(groups: &'a [Group<'_>]) -> Vec<Layer<'a>> {
    let first = |group: &'a Group<'_>| group.trials.iter().find_map(|t| layer(&group.label, t));
    groups.iter().filter_map(first).take(PREDICTIONS.len()).collect()
}

impl Layer<'_> {
    /// Its predictions on an image.
    fn on(&self, image: &ShownImage) -> impl Iterator<Item = &LandmarkRecord> {
        // Other data may have another image of this name.
        let has_it = self.trial.images.get(&image.name) == Some(&image.file);
        self.records.iter().copied().filter(move |record| has_it && record.image == image.name)
    }
}

/// The images that the trial has predictions on, in the records' order.
pub(super) fn images(trial: &TrialRecords) -> Vec<ShownImage> {
    let mut images: Vec<ShownImage> = Vec::new();
    for record in best_landmarks(trial) {
        if images.iter().all(|image| image.name != record.image) {
            images.extend(trial.shown_image(&record.image));
        }
    }
    images
}

/// `overlays.png`: two groups on the same images; `None` if no image has predictions.
pub(super) fn of_sweep(groups: &[Group<'_>], images: &BTreeMap<ShownImage, RgbImage>) -> Result<Option<Vec<u8>>> {
    draw("Landmarks on validation images", &layers(groups), images)
}

/// `overlay.png` of a trial; `None` if no image has predictions.
pub(super) fn of_trial(trial: &TrialRecords, images: &BTreeMap<ShownImage, RgbImage>) -> Result<Option<Vec<u8>>> {
    let layers: Vec<Layer<'_>> = layer(&trial.group(), trial).into_iter().collect();
    draw(&format!("Landmarks on validation images: {}, seed {}", trial.group(), trial.seed), &layers, images)
}

fn draw(title: &str, layers: &[Layer<'_>], images: &BTreeMap<ShownImage, RgbImage>) -> Result<Option<Vec<u8>>> {
    let drawn: Vec<(&ShownImage, &RgbImage)> = images
        .iter()
        .filter(|(shown, image)| image.width() > 0 && layers.iter().any(|layer| layer.on(shown).next().is_some()))
        .take(MAX_IMAGES)
        .collect();
    if drawn.is_empty() {
        return Ok(None);
    }
    let mut legend = vec![LegendEntry::ring("truth", TRUTH)];
    for (layer, (colour, marker)) in layers.iter().zip(PREDICTIONS) {
        legend.push(LegendEntry::marker(format!("{}, seed {}", layer.label, layer.seed), marker, colour));
    }
    let columns = if drawn.len() == 4 { 2 } else { drawn.len().min(3) };
    let rows = drawn.len().div_ceil(columns);
    let caption = CAPTION_LINE * (1 + layers.len()) as f64 + 10.0;
    let width = (1552.0 - GAP * (columns - 1) as f64) / columns as f64;
    let tallest = drawn.iter().map(|(_, i)| f64::from(i.height()) / f64::from(i.width())).fold(0.1, f64::max);
    let height = (width * tallest).min(800.0);
    let content = rows as f64 * (height + caption) + GAP * (rows - 1) as f64;
    let when = layers.first().map_or("", |layer| layer.when.as_str());
    let subtitle = format!("Predictions: {}. Below each image: its mean radial error (MRE).", when.to_lowercase());
    let mut figure = Figure::new(title, &subtitle, &legend, content);
    for (i, (shown, image)) in drawn.into_iter().enumerate() {
        let cell = figure.content.cell(i, columns, rows, GAP);
        draw_image(&mut figure.canvas, cell, caption, (shown, image), layers);
    }
    figure.png().map(Some)
}

fn draw_image(
    canvas: &mut Canvas,
    cell: Rect,
    caption: f64,
    (shown, image): (&ShownImage, &RgbImage),
    layers: &[Layer<'_>],
) {
    let frame = canvas.image(image, Rect { bottom: cell.bottom - caption, ..cell });
    // Pixel centres are whole numbers, so the image's left edge is at −½.
    let position = |x: f64, y: f64| {
        let x = frame.left + (x + 0.5) / f64::from(image.width()) * frame.width();
        let y = frame.top + (y + 0.5) / f64::from(image.height()) * frame.height();
        (x.clamp(frame.left, frame.right), y.clamp(frame.top, frame.bottom))
    };
    let records: Vec<Vec<LandmarkRecord>> = layers.iter().map(|layer| layer.on(shown).cloned().collect()).collect();
    for (records, (colour, _)) in records.iter().zip(PREDICTIONS) {
        for r in records {
            canvas.line(&[position(r.x_true, r.y_true), position(r.x_pred, r.y_pred)], Stroke::solid(colour, 2.0));
        }
    }
    // Layers may have different landmarks; a ring drawn twice at one position looks like one.
    for r in records.iter().flatten() {
        canvas.ring(position(r.x_true, r.y_true), 8.0, Stroke::solid(TRUTH, 2.5));
    }
    // The thin cross last: it leaves the diamond visible where both are right.
    for (records, (colour, marker)) in records.iter().zip(PREDICTIONS).rev() {
        for r in records {
            canvas.marker(position(r.x_pred, r.y_pred), 5.0, marker, colour);
        }
    }
    let mut y = frame.bottom + 22.0;
    let (name, text_style) = TextStyle::bold(SMALL_SIZE).fit(&shown.name, cell.right - frame.left);
    canvas.text(&name, (frame.left, y), Anchor::Left, text_style);
    for ((layer, records), (colour, marker)) in layers.iter().zip(&records).zip(PREDICTIONS) {
        y += CAPTION_LINE;
        let unit = records.first().map_or(ErrorUnit::default(), LandmarkRecord::unit);
        let errors: Vec<f64> = records.iter().map(LandmarkRecord::error).collect();
        let error = if errors.is_empty() { "–".to_owned() } else { format!("{} {unit}", mm(mean(&errors))) };
        let (text, text_style) =
            TextStyle::plain(SMALL_SIZE).fit(&format!("{}: {error}", layer.label), (cell.right - frame.left) - 30.0);
        canvas.marker((frame.left + 9.0, y), 7.0, marker, colour);
        canvas.text(&text, (frame.left + 28.0, y), Anchor::Left, text_style);
    }
}
