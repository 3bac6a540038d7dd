//! Findings about shapes: landmarks exchanged or displaced, images mirrored or transposed, pixel sizes that cannot be.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rayon::prelude::*;

use super::finding::{Finding, Severity};
use super::orientation;
use super::poses::Poses;
use super::procrustes::{Shape, median};
use super::shape_statistics::{Anomaly, ShapeStatistics, WRONG};
use super::{Image, Set};
use sweep_core::units::Point;

/// Heads differ in size by less than this factor between image and usual image (of a hundred radiographs the largest by
/// 1.29); more is told, and much more is wrong.
const LARGER: f64 = 1.35;
const MUCH_LARGER: f64 = 1.5;
/// The middle sizes of many heads differ by less.
const GROUP_LARGER: f64 = 1.25;
/// And by less than this many usual deviations of their logarithm.
const DEVIATIONS: f64 = 4.0;
/// A landmark this far off, in radii of the shape, is on another part of it.
const FAR: f64 = 0.2;
/// Fewest images of one size and spacing that are held against the others together.
const FEWEST_ALIKE: usize = 3;

/// An image's landmarks in the set's unit; none where its pixels' size is not known.
pub(super) fn in_mm(image: &Image) -> Shape {
    let spacing = image.row.spacing;
    let mm = |p: &Option<Point>| {
        let (p, s) = ((*p)?, spacing?);
        Some(Point { x: p.x * s.x, y: p.y * s.y })
    };
    image.row.landmarks.iter().map(mm).collect()
}

/// All findings about shapes.
pub(super) fn findings(set: &Set, in_mm: &[Shape], shapes: &ShapeStatistics) -> Vec<Finding> {
    let poses = Poses::of(in_mm, shapes);
    let mut found = poses.findings(&set.csv);
    // The mean of shapes that stand in every direction stands in any.
    let turn = orientation::of_set(&set.landmarks, &shapes.mean.shape).filter(|_| poses.are_upright());
    if let Some(turn) = turn {
        // Some archives have patients face left; what matters is that all do.
        let (severity, remedy) = if turn.is_mirror() {
            let remedy = "right if all patients face left; else x counts from the wrong side";
            (Severity::Note, remedy)
        } else {
            let remedy = "coordinates are pixels of the image file itself, x to the right, y down: exchange or reverse the columns";
            (Severity::Error, remedy)
        };
        let what = format!("by their names these are landmarks of a head, and all shapes look {}", turn.words());
        found.push(Finding::new(severity, turn.check(), &set.csv, what).remedy(remedy));
    }
    let of_image: Vec<Vec<Finding>> = (0..set.images.len())
        .into_par_iter()
        .map(|i| match orientation::of_shape(&in_mm[i], &shapes.mean, poses) {
            Some(turn) => {
                let what = format!("the shape looks {} against the others", turn.words());
                let remedy = "compare the image with its landmarks, and bring them into agreement with the others";
                let finding = Finding::new(Severity::Error, turn.check(), &set.csv, what).remedy(remedy);
                vec![finding.at(set.images[i].row.line, &set.images[i].row.image)]
            }
            None => shapes
                .judge(i, &in_mm[i])
                .iter()
                .map(|anomaly| finding_of(set, &set.images[i], anomaly, shapes.mean.radius))
                .collect(),
        })
        .collect();
    found.extend(of_image.into_iter().flatten());
    // Where nothing is said of the size of pixels, nothing said can be wrong.
    if set.unit.is_millimetres() {
        found.extend(pixel_sizes(set, shapes));
    }
    found
}

fn finding_of(set: &Set, image: &Image, anomaly: &Anomaly, radius: f64) -> Finding {
    let (names, unit) = (&set.landmarks, set.unit);
    let finding = match anomaly {
        Anomaly::Swapped { landmarks: [a, b], off_mm, deviations } => {
            let what = format!(
                "look swapped: {off_mm:.1} {unit} off ({deviations:.0} times what is usual), exchanged they fit"
            );
            let remedy = format!("exchange {} and {}", names[*a], names[*b]);
            let finding = Finding::new(Severity::Error, "swapped", &set.csv, what).remedy(remedy);
            Finding { off_mm: Some(*off_mm), ..finding.landmark(&names[*a]).landmark(&names[*b]) }
        }
        Anomaly::Displaced { landmark, off_mm, deviations, expected } => {
            let place = image.row.spacing.map(|s| Point { x: expected.x / s.x, y: expected.y / s.y });
            let at = place.map_or_else(String::new, |p| format!(", ({:.0}, {:.0})", p.x, p.y));
            let mut what = format!(
                "{off_mm:.1} {unit} from where the other landmarks put it{at}; {deviations:.0} times what is usual"
            );
            let cause = place.and_then(|place| cause(set, image, *landmark, place, *off_mm));
            let remedy = match &cause {
                Some(cause) => {
                    let _ = write!(what, ": {cause}");
                    "correct it if that is so"
                }
                None => "look at it on the contact sheet, and mark it again if it is wrong",
            };
            // Some anatomy is rare, and moves a landmark as far as a slip of the hand does.
            let wrong = cause.is_some() || (*deviations >= WRONG && *off_mm >= FAR * radius);
            let severity = if wrong { Severity::Error } else { Severity::Warning };
            let finding = Finding::new(severity, "displaced", &set.csv, what).remedy(remedy);
            Finding { off_mm: Some(*off_mm), ..finding.landmark(&names[*landmark]) }
        }
    };
    finding.at(image.row.line, &image.row.image)
}

/// A possible cause of a landmark's distance from its expected position.
fn cause(set: &Set, image: &Image, landmark: usize, expected: Point, off_mm: f64) -> Option<String> {
    let spacing = image.row.spacing?;
    let p = image.row.landmarks[landmark]?;
    let mut causes: Vec<(Point, String)> = vec![(Point { x: p.y, y: p.x }, "x and y look transposed".to_owned())];
    if let Ok(summary) = &image.summary {
        let (w, h) = (summary.size.width as f64 - 1.0, summary.size.height as f64 - 1.0);
        causes.push((Point { x: w - p.x, y: p.y }, "x looks mirrored, counted from the right".to_owned()));
        causes.push((Point { x: p.x, y: h - p.y }, "y looks mirrored, counted from below".to_owned()));
    }
    for factor in [10.0, 0.1] {
        let word = if factor > 1.0 { "a tenth of what it should be" } else { "ten times what it should be" };
        causes.push((Point { x: p.x * factor, ..p }, format!("x looks like {word}")));
        causes.push((Point { y: p.y * factor, ..p }, format!("y looks like {word}")));
    }
    let explained = causes
        .into_iter()
        .map(|(point, words)| (spacing.distance(point, expected).0, words))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(left, _)| *left < 0.2 * off_mm);
    let same = image.row.landmarks.iter().enumerate().find_map(|(k, other)| {
        (k != landmark && spacing.distance((*other)?, p).0 < 0.02)
            .then(|| format!("it has the place of {}", set.landmarks[k]))
    });
    explained.map(|(_, words)| words).or(same)
}

/// Shapes that are far larger or smaller in mm than the others: their pixels' size is not what is said.
fn pixel_sizes(set: &Set, shapes: &ShapeStatistics) -> Vec<Finding> {
    // The transform makes a shape as large as the mean, so its inverse is how large the shape is.
    let size: Vec<Option<f64>> = shapes.aligned.iter().map(|a| a.as_ref().map(|(t, _)| -t.scale().ln())).collect();
    let usual = median(size.iter().flatten().copied());
    let mut alike: BTreeMap<[u64; 4], Vec<usize>> = BTreeMap::new();
    for (i, image) in set.images.iter().enumerate() {
        if let (Some(_), Ok(summary), Some(s)) = (size[i], &image.summary, image.row.spacing) {
            let key = [summary.size.width as u64, summary.size.height as u64, s.x.to_bits(), s.y.to_bits()];
            alike.entry(key).or_default().push(i);
        }
    }
    let middle = |images: &[usize]| median(images.iter().filter_map(|i| size[*i]));
    let largest = alike.values().max_by_key(|images| images.len()).map_or(usual, |images| middle(images));
    let mut found = Vec::new();
    let mut group_is_told = vec![false; set.images.len()];
    for images in alike.values().filter(|images| images.len() >= FEWEST_ALIKE) {
        let off = middle(images) - largest;
        if off.abs() > GROUP_LARGER.ln() {
            for i in images {
                group_is_told[*i] = true;
            }
            found.push(group_off(set, images, off));
        }
    }
    // Differences within groups only: two kinds of images must not make every size seem usual.
    let within = alike.values().flat_map(|images| {
        let centre = middle(images);
        images.iter().filter_map(|i| Some((size[*i]? - centre).abs())).collect::<Vec<f64>>()
    });
    let sigma = (1.4826 * median(within)).max(0.01);
    for (i, image) in set.images.iter().enumerate() {
        let Some(off) = size[i].map(|s| s - largest).filter(|_| !group_is_told[i]) else { continue };
        if off.abs() > LARGER.ln().max(DEVIATIONS * sigma) {
            let severity = if off.abs() > MUCH_LARGER.ln() { Severity::Error } else { Severity::Warning };
            let what = format!("the shape is {:.2} times as large in mm as usual{}", off.exp(), instead(image, off));
            let remedy = "check this image's spacing_x_mm and spacing_y_mm, or whether it was resized";
            let finding = Finding::new(severity, "pixel-size", &set.csv, what).remedy(remedy);
            found.push(finding.at(image.row.line, &image.row.image));
        }
    }
    found
}

fn group_off(set: &Set, images: &[usize], off: f64) -> Finding {
    let image = &set.images[images[0]];
    let size = image
        .summary
        .as_ref()
        .map_or_else(|_| String::new(), |l| format!(" of {}×{} pixels", l.size.width, l.size.height));
    let spacing = image.row.spacing.map_or_else(String::new, |s| format!(" at {}×{} mm per pixel", s.x, s.y));
    let count = images.len();
    let what = format!(
        "the shapes of {count} images{size}{spacing} are {:.2} times as large in mm as the others{}",
        off.exp(),
        instead(image, off)
    );
    let mut finding = Finding::new(Severity::Error, "pixel-size", &set.csv, what)
        .at(image.row.line, &image.row.image)
        .remedy("check the spacing of these images, or whether they were resized");
    finding.others = images[1..].iter().map(|i| set.images[*i].row.image.clone()).collect();
    finding
}

/// The pixel size that would make the shape as large as the others.
fn instead(image: &Image, off: f64) -> String {
    let usual = |s: f64| s / off.exp();
    image.row.spacing.map_or_else(String::new, |s| {
        format!(": {:.3}×{:.3} mm per pixel would fit, not {:.3}×{:.3}", usual(s.x), usual(s.y), s.x, s.y)
    })
}
