//! Findings about images, splits and coordinates, each on its own.

use super::facts::DatasetFacts;
use super::finding::{Finding, Severity};
use super::{Image, Set};
use crate::Split;
use sweep_core::units::{Point, Size};

/// Fewer validation images than this give intervals too wide to order trainings by.
const FEW: usize = 10;
/// If no landmark of any image lies beyond this share of it, coordinates are hardly its pixels.
const CORNER: f64 = 0.35;

const PIXELS: &str = "coordinates are pixels of the image file itself, x to the right, y down, from 0";

/// Images that cannot be read, or show nothing.
pub(super) fn images(set: &Set) -> Vec<Finding> {
    let of = |image: &Image| {
        let finding = match &image.summary {
            Err(error) => Finding::new(Severity::Error, "unreadable", &set.csv, error.message.clone())
                .remedy(error.remedy.clone().unwrap_or_else(|| "replace it by an intact copy".to_owned())),
            Ok(summary) if summary.is_flat() => {
                let [low, high] = summary.range;
                let what = match (low, high) {
                    (0, 0) => "is black all over".to_owned(),
                    _ if low == high => format!("has one grey value all over, {low}"),
                    _ => format!(
                        "shows next to nothing: 98 of 100 pixels are {} to {}",
                        summary.central[0], summary.central[1]
                    ),
                };
                Finding::new(Severity::Error, "flat", &set.csv, what)
                    .remedy("replace it, or remove its row: nothing can be learnt or measured on it")
            }
            Ok(_) => return None,
        };
        Some(finding.at(image.row.line, &image.row.image))
    };
    set.images.iter().filter_map(of).collect()
}

/// A marked landmark: its index, its position, and the size of its image.
type MarkedPoint = (usize, Point, Size);

/// Landmarks beside their images, and coordinates that are of something else altogether.
pub(super) fn coordinates(set: &Set) -> Vec<Finding> {
    let marked = |image: &Image| -> Vec<MarkedPoint> {
        let Ok(summary) = &image.summary else { return Vec::new() };
        image.row.landmarks.iter().enumerate().filter_map(|(k, p)| Some((k, (*p)?, summary.size))).collect()
    };
    let all: Vec<(&Image, Vec<MarkedPoint>)> = set.images.iter().map(|i| (i, marked(i))).collect();
    let with_outside = all.iter().filter(|(_, points)| points.iter().any(|(_, p, size)| !p.is_inside(*size))).count();
    let exchanged = |p: Point| Point { x: p.y, y: p.x };
    let fits = all.iter().flat_map(|(_, points)| points).all(|(_, p, size)| exchanged(*p).is_inside(*size));
    let images = all.iter().filter(|(_, points)| !points.is_empty()).count();
    let mut found = Vec::new();
    if with_outside * 2 > images && fits {
        let what = format!(
            "x and y look exchanged: {with_outside} of {images} images have landmarks outside, none if x and y are swapped"
        );
        found.push(
            Finding::new(Severity::Error, "transposed", &set.csv, what)
                .remedy(format!("exchange the columns NAME_x and NAME_y: {PIXELS}")),
        );
        return found;
    }
    for (image, points) in &all {
        for (k, p, size) in points.iter().filter(|(_, p, size)| !p.is_inside(*size)) {
            let what = format!("({}, {}) lies outside the image of {}×{} pixels", p.x, p.y, size.width, size.height);
            let hint = if exchanged(*p).is_inside(*size) { "exchange x and y if they are swapped; " } else { "" };
            found.push(
                Finding::new(Severity::Error, "outside", &set.csv, what)
                    .at(image.row.line, &image.row.image)
                    .landmark(&set.landmarks[*k])
                    .remedy(format!("{hint}{PIXELS}")),
            );
        }
    }
    let share =
        |(_, p, size): &(usize, Point, Size)| ((p.x + 0.5) / size.width as f64).max((p.y + 0.5) / size.height as f64);
    let farthest = all.iter().flat_map(|(_, points)| points).map(share).fold(0.0, f64::max);
    if images > 1 && farthest > 0.0 && farthest < CORNER {
        let what = format!("all landmarks lie in the upper left {:.0} % of the images", 100.0 * farthest);
        let remedy = format!("are the coordinates in mm, or of smaller copies of the images? {PIXELS}");
        found.push(Finding::new(Severity::Error, "coordinates", &set.csv, what).remedy(remedy));
    }
    found
}

/// Splits without images, images without landmarks, landmarks that a split lacks.
pub(super) fn splits(set: &Set, facts: &DatasetFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut tell = |severity, what: String, remedy: &str| {
        found.push(Finding::new(severity, "splits", &set.csv, what).remedy(remedy));
    };
    let counts = facts.images;
    for (split, count, purpose) in
        [(Split::Train, counts.train, "train on"), (Split::Val, counts.val, "measure the landmark error on")]
    {
        if count == 0 {
            let name = split.name();
            let what = format!("no image of split `{name}`, so there is nothing to {purpose}");
            tell(Severity::Error, what, &format!("put `{name}` in the split column of some images"));
        }
    }
    if (1..FEW).contains(&counts.val) {
        let what = format!("only {} in split `val`: errors will have wide intervals", counts.val);
        tell(Severity::Note, what, "`sweep plan` says what so many images can show");
    }
    for image in &set.images {
        let judged = matches!(image.row.split, Some(Split::Train | Split::Val));
        if judged && image.row.landmarks.iter().all(Option::is_none) {
            found.push(
                Finding::new(Severity::Error, "unmarked", &set.csv, "not one landmark is marked")
                    .at(image.row.line, &image.row.image)
                    .remedy("mark at least one, or leave the image out: nothing can be learnt or measured on it"),
            );
        }
    }
    for landmark in &facts.landmarks {
        let marked = landmark.marked;
        let of = |count: usize, images: usize| format!("{count} of {images}");
        let (severity, what, remedy) = if marked.train == 0 && counts.train > 0 {
            (
                Severity::Error,
                "marked on no training image".to_owned(),
                "mark it, or remove its columns: it cannot be learnt",
            )
        } else if marked.val == 0 && counts.val > 0 {
            let remedy = "mark it on some validation images: else its error is not measured";
            (Severity::Warning, "marked on no validation image".to_owned(), remedy)
        } else if marked.total() * 2 < counts.total() {
            let what = format!("marked on {} images", of(marked.total(), counts.total()));
            (Severity::Note, what, "a missing landmark takes part in neither loss nor error")
        } else {
            continue;
        };
        found.push(Finding::new(severity, "missing", &set.csv, what).landmark(&landmark.name).remedy(remedy));
    }
    found
}
