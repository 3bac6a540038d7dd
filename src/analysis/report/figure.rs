//! Figures in the page: the PNG, its title, and what to look for.

use std::collections::BTreeMap;

use serde::Serialize;

use super::markdown::FIGURES;

const OVERLAYS: &str = "overlays.png";
/// The figure beside the answer.
pub(super) const LOSS_VS_ERROR: &str = "loss_vs_error.png";

/// What to look for in each figure.
const CAPTIONS: [(&str, &str); 11] = [
    (LOSS_VS_ERROR, "Where a smaller loss comes with a larger error, the loss misleads."),
    ("landmark_error.png", "A curve that rises again has passed its best epoch."),
    ("effects.png", "An interval that leaves out zero is a difference beyond chance."),
    ("loss_curves.png", "Where the training loss falls and the validation loss rises, the network overfits."),
    ("collapse.png", "At 1 the loss is that of a network that predicts zeros everywhere."),
    ("convergence.png", "Further left is sooner. Trials that never reached the error count with their last epoch."),
    ("cumulative_error.png", "Higher is better: more landmarks within the radius."),
    ("calibration.png", "On the diagonal, confidence is the share of landmarks that are found."),
    ("per_landmark.png", "The landmarks of largest error decide the mean."),
    ("scatter.png", "What is alike in all seeds is the image's or the landmark's; the rest is the training's."),
    (OVERLAYS, "The first validation images with the true landmarks and the predictions of two configurations."),
];

/// Titles for a list of links.
const SHORT_TITLES: [(&str, &str); 11] = [
    (LOSS_VS_ERROR, "Loss and error"),
    ("landmark_error.png", "Error over epochs"),
    ("effects.png", "Axes"),
    ("loss_curves.png", "Loss over epochs"),
    ("collapse.png", "Collapse"),
    ("convergence.png", "Convergence"),
    ("cumulative_error.png", "Within a radius"),
    ("calibration.png", "Confidence"),
    ("per_landmark.png", "By landmark"),
    ("scatter.png", "Scatter"),
    (OVERLAYS, "Overlays"),
];

/// The title of a figure in a list of links.
pub(super) fn short_title(file: &str) -> &'static str {
    SHORT_TITLES.iter().find(|(of, _)| *of == file).map_or("", |(_, title)| title)
}

/// A figure in the page.
#[derive(Serialize)]
pub(super) struct Figure {
    /// The figure as a `data:` URL.
    picture: String,
    title: &'static str,
    /// What to look for.
    caption: &'static str,
    /// Whether it shows images, whose grey values must not be inverted on a dark page.
    photo: bool,
    file: &'static str,
    width: u32,
    height: u32,
}

impl Figure {
    /// A figure of the report, if it was drawn.
    pub(super) fn of(file: &'static str, figures: &BTreeMap<&'static str, Vec<u8>>) -> Option<Self> {
        let png = figures.get(file)?;
        let (width, height) = size(png).unwrap_or((0, 0));
        let picture = format!("data:image/png;base64,{}", base64::encode(png));
        let of = |table: &[(&'static str, &'static str)]| {
            table.iter().find(|(of, _)| *of == file).map_or("", |(_, words)| words)
        };
        Some(Self {
            picture,
            title: of(&FIGURES),
            caption: of(&CAPTIONS),
            photo: file == OVERLAYS,
            file,
            width,
            height,
        })
    }
}

/// Width and height of a PNG, from its header.
fn size(png: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
    Some((number(16)?, number(20)?))
}
