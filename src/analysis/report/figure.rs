//! Figures of the report: what it says of each, and how it stands in the page.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Drawn;

/// The figure of predictions on images.
pub(super) const OVERLAYS: &str = "overlays.png";
/// The figure beside the answer.
pub(super) const LOSS_VS_ERROR: &str = "loss_vs_error.png";

/// What the report says of a figure.
pub(super) struct FigureText {
    /// File name.
    pub(super) file: &'static str,
    /// Title.
    pub(super) title: &'static str,
    /// Title in a list of links.
    pub(super) short: &'static str,
    /// What to look for.
    caption: &'static str,
}

/// Figures of the report, in order.
pub(super) const FIGURES: [FigureText; 13] = [
    FigureText {
        file: LOSS_VS_ERROR,
        title: "Loss against landmark error",
        short: "Loss and error",
        caption: "Where a smaller loss comes with a larger error, the loss misleads.",
    },
    FigureText {
        file: "landmark_error.png",
        title: "Landmark error over epochs",
        short: "Error over epochs",
        caption: "A curve that rises again has passed its best epoch.",
    },
    FigureText {
        file: "effects.png",
        title: "What each axis does to the landmark error",
        short: "Axes",
        caption: "An interval that leaves out zero is a difference beyond chance.",
    },
    FigureText {
        file: "trends.png",
        title: "Landmark error along each axis",
        short: "Along axes",
        caption: "Where markers fall or rise together, the axis decides the error; where they lie anyhow, it does not.",
    },
    FigureText {
        file: "loss_curves.png",
        title: "Training and validation loss over epochs",
        short: "Loss over epochs",
        caption: "Where the training loss falls and the validation loss rises, the network overfits.",
    },
    FigureText {
        file: "collapse.png",
        title: "Validation loss as a share of an all-zero output's",
        short: "Collapse",
        caption: "At 1 the loss is that of a network that predicts zeros everywhere.",
    },
    FigureText {
        file: "convergence.png",
        title: "Epochs and seconds until an error is reached",
        short: "Convergence",
        caption: "Further left is sooner. Trials that never reached the error count as later than their last epoch.",
    },
    FigureText {
        file: "cumulative_error.png",
        title: "Share of landmarks found within a radius",
        short: "Within a radius",
        caption: "Higher is better: more landmarks within the radius.",
    },
    FigureText {
        file: "calibration.png",
        title: "Does a network know where it errs?",
        short: "Confidence",
        caption: "On the diagonal, confidence is the share of landmarks that are found.",
    },
    FigureText {
        file: "per_landmark.png",
        title: "Landmark error by landmark",
        short: "By landmark",
        caption: "The landmarks of largest error decide the mean.",
    },
    FigureText {
        file: "bland_altman.png",
        title: "Measures of predicted and true landmarks",
        short: "Bland–Altman",
        caption: "Each marker is an image: how far its measure is off, over its size. Markers that rise or fall along the axis \
                  are a bias that grows with the measure.",
    },
    FigureText {
        file: "scatter.png",
        title: "Where errors scatter: seed, image, landmark",
        short: "Scatter",
        caption: "What is alike in all seeds is the image's or the landmark's; the rest is the training's.",
    },
    FigureText {
        file: OVERLAYS,
        title: "Landmarks on validation images: truth green, predictions in the colours of the charts",
        short: "Overlays",
        caption: "The first validation images with the true landmarks and the predictions of configurations. Far from the ring is \
                  wrong; wrong in the same direction everywhere is a bias.",
    },
];

/// A figure in the page.
#[derive(Serialize)]
pub(super) struct Figure {
    /// The figure as an element.
    svg: Option<String>,
    /// The figure as a `data:` URL, where there is no element.
    picture: Option<String>,
    title: &'static str,
    /// What to look for.
    caption: &'static str,
    /// Whether it shows images, whose grey values must not be inverted on a dark page.
    photo: bool,
    file: &'static str,
    width: u32,
    height: u32,
    id: String,
    /// Where the page goes from the enlarged figure.
    back: String,
}

impl Figure {
    /// A figure of the report, if it was drawn.
    pub(super) fn of(file: &str, figures: &BTreeMap<&'static str, Drawn>) -> Option<Self> {
        let Drawn { png, svg } = figures.get(file)?;
        let (width, height) = size(png).unwrap_or((0, 0));
        let svg = svg.clone();
        let picture = svg.is_none().then(|| format!("data:image/png;base64,{}", base64::encode(png)));
        let FigureText { file, title, caption, .. } = FIGURES.into_iter().find(|of| of.file == file)?;
        let back = anchor(file);
        let id = format!("figure-{back}");
        Some(Self { svg, picture, title, caption, photo: file == OVERLAYS, file, width, height, id, back })
    }

    /// The figure beside another part of the page than its own section.
    pub(super) fn beside(self, part: &str) -> Self {
        Self { back: part.to_owned(), ..self }
    }
}

/// Width and height of a PNG, from its header.
fn size(png: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
    Some((number(16)?, number(20)?))
}

/// The name of a figure's section in addresses.
pub(super) fn anchor(file: &str) -> String {
    file.trim_end_matches(".png").replace('_', "-")
}
