//! Landmarks on validation images: the truth green, predictions in the colours and with the markers of their configurations.

use std::collections::BTreeMap;

use image::RgbImage;
use plotters::style::RGBAColor;

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::LandmarkRecord;

use super::series::{Group, best_landmarks, epoch_phrase, mean};
use crate::TrialRecords;
use crate::drawing::canvas::Canvas;
use crate::drawing::colour::{Colour, group_style};
use crate::drawing::figure::Figure;
use crate::drawing::geometry::Rect;
use crate::drawing::legend::LegendEntry;
use crate::drawing::marker::{Marker, MarkerShape};
use crate::drawing::shape::About;
use crate::drawing::stroke::Stroke;
use crate::drawing::text::{Anchor, SMALL_SIZE, TextStyle};
use crate::format::mm;
use crate::shown_images::ShownImage;

/// Greatest number of images in a figure.
pub(super) const MAX_IMAGES: usize = 6;
const TRUTH: Colour = RGBAColor(0, 205, 90, 1.0);
/// Greatest number of configurations on an image of the file, which shows all at once.
const LAYERS: usize = 2;
/// The same in the page, where readers choose among them.
pub(super) const PAGE_LAYERS: usize = 4;
/// A trial by itself. Nobody knows its configuration in a sweep.
const ALONE: (Colour, Marker) = (RGBAColor(225, 30, 30, 1.0), Marker { shape: MarkerShape::Cross, filled: true });
const CAPTION_LINE: f64 = 30.0;
const GAP: f64 = 24.0;

/// Predictions of one trial at its best epoch.
struct Layer<'a> {
    trial: &'a TrialRecords,
    label: String,
    /// Index of the configuration, in a sweep.
    group: Option<usize>,
    style: (Colour, Marker),
    when: String,
    records: Vec<&'a LandmarkRecord>,
}

fn layer<'a>(label: &str, group: Option<usize>, trial: &'a TrialRecords) -> Option<Layer<'a>> {
    let records: Vec<&LandmarkRecord> = best_landmarks(trial).collect();
    let style = group.map_or(ALONE, group_style);
    let (label, when) = (label.to_owned(), epoch_phrase([trial]));
    (!records.is_empty()).then_some(Layer { trial, label, group, style, when, records })
}

/// The first trial with landmarks of the first groups that have one.
fn layers<'a>(groups: &'a [Group<'_>], most: usize) -> Vec<Layer<'a>> {
    let first = |(index, group): (usize, &'a Group<'_>)| {
        group.trials.iter().find_map(|trial| layer(&group.label, Some(index), trial))
    };
    groups.iter().enumerate().filter_map(first).take(most).collect()
}

/// The groups whose predictions the page shows, by their index.
pub(super) fn groups_in_page(groups: &[Group<'_>]) -> Vec<usize> {
    layers(groups, PAGE_LAYERS).into_iter().filter_map(|layer| layer.group).collect()
}

impl Layer<'_> {
    /// Draws what shows its predictions.
    fn about(&self, canvas: &mut Canvas, draw: impl FnOnce(&mut Canvas)) {
        match self.group {
            Some(group) => canvas.about(About::layer(&self.label, group), draw),
            None => draw(canvas),
        }
    }

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

const TITLE: &str = "Landmarks on validation images";

/// `overlays.png`: two groups on the same images; `None` if no image has predictions.
pub(super) fn of_sweep(groups: &[Group<'_>], images: &BTreeMap<ShownImage, RgbImage>) -> Option<Figure> {
    draw(TITLE, &layers(groups, LAYERS), images)
}

/// The same for the page, with more groups.
pub(super) fn in_page(groups: &[Group<'_>], images: &BTreeMap<ShownImage, RgbImage>) -> Option<Figure> {
    draw(TITLE, &layers(groups, PAGE_LAYERS), images)
}

/// `overlay.png` of a trial; `None` if no image has predictions.
pub(super) fn of_trial(trial: &TrialRecords, images: &BTreeMap<ShownImage, RgbImage>) -> Option<Figure> {
    let layers: Vec<Layer<'_>> = layer(&trial.group(), None, trial).into_iter().collect();
    draw(&format!("Landmarks on validation images: {}, seed {}", trial.group(), trial.seed), &layers, images)
}

fn draw(title: &str, layers: &[Layer<'_>], images: &BTreeMap<ShownImage, RgbImage>) -> Option<Figure> {
    let drawn: Vec<(&ShownImage, &RgbImage)> = images
        .iter()
        .filter(|(shown, image)| image.width() > 0 && layers.iter().any(|layer| layer.on(shown).next().is_some()))
        .take(MAX_IMAGES)
        .collect();
    if drawn.is_empty() {
        return None;
    }
    let mut legend = vec![LegendEntry::ring("truth", TRUTH)];
    for Layer { label, trial, group, style: (colour, marker), .. } in layers {
        let entry = LegendEntry::marker(format!("{label}, seed {}", trial.seed), *marker, *colour);
        legend.push(entry.about(*group));
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
    Some(figure)
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
    for (records, layer) in records.iter().zip(layers) {
        layer.about(canvas, |canvas| {
            for r in records {
                let stroke = Stroke::solid(layer.style.0, 2.0);
                canvas.line(&[position(r.x_true, r.y_true), position(r.x_pred, r.y_pred)], stroke);
            }
        });
    }
    // Layers may have different landmarks; a ring drawn twice at one position looks like one.
    for r in records.iter().flatten() {
        canvas.ring(position(r.x_true, r.y_true), 8.0, Stroke::solid(TRUTH, 2.5));
    }
    // The first last: its marker is smaller, and leaves the edge of the other visible where both are right.
    for ((place, records), layer) in records.iter().enumerate().zip(layers).rev() {
        let (radius, (colour, marker)) = (if place == 0 { 5.0 } else { 7.0 }, layer.style);
        layer.about(canvas, |canvas| {
            for r in records {
                let words = format!("{}, {}: {} {} off", r.landmark, layer.label, mm(r.error()), r.unit());
                canvas.about(About::value(words), |canvas| {
                    canvas.marker(position(r.x_pred, r.y_pred), radius, marker, colour);
                });
            }
        });
    }
    let mut y = frame.bottom + 22.0;
    let (name, text_style) = TextStyle::bold(SMALL_SIZE).fit(&shown.name, cell.right - frame.left);
    canvas.text(&name, (frame.left, y), Anchor::Left, text_style);
    for (layer, records) in layers.iter().zip(&records) {
        let (colour, marker) = layer.style;
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
