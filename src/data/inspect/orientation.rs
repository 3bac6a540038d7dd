//! Shapes that are mirrored, turned or transposed: single ones against the rest, and a whole set against how heads stand.

use super::poses::Poses;
use super::procrustes::{FEWEST, MeanShape, Shape, Similarity, median};
use sweep_core::units::Point;

/// A change of axes: perhaps exchanged, then either perhaps reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    exchanged: bool,
    reversed: [bool; 2],
}

impl Turn {
    /// All but the one that changes nothing.
    const ALL: [Self; 7] = [
        Self { exchanged: true, reversed: [false, false] },
        Self { exchanged: false, reversed: [true, false] },
        Self { exchanged: false, reversed: [false, true] },
        Self { exchanged: false, reversed: [true, true] },
        Self { exchanged: true, reversed: [true, false] },
        Self { exchanged: true, reversed: [false, true] },
        Self { exchanged: true, reversed: [true, true] },
    ];

    /// How it looks, as "… look …".
    pub(super) fn words(self) -> &'static str {
        match (self.exchanged, self.reversed) {
            (false, [false, false]) => "as they should be",
            (false, [true, false]) => "mirrored left to right",
            (false, [false, true]) => "mirrored upside down",
            (false, [true, true]) => "turned upside down",
            (true, [false, false]) => "transposed: x and y exchanged",
            (true, [true, true]) => "transposed and turned upside down",
            (true, [true, false] | [false, true]) => "turned by a quarter",
        }
    }

    pub(super) fn is_mirror(self) -> bool {
        self == Self { exchanged: false, reversed: [true, false] }
    }

    /// Whether it makes a mirror image, however turned.
    pub(super) fn is_reflection(self) -> bool {
        let reversed = self.reversed.into_iter().filter(|reversed| *reversed).count();
        (usize::from(self.exchanged) + reversed) % 2 == 1
    }

    /// Check that reports it.
    pub(super) fn check(self) -> &'static str {
        match (self.exchanged, self.reversed) {
            (true, [false, false] | [true, true]) => "transposed",
            (false, [true, false] | [false, true]) => "mirrored",
            _ => "turned",
        }
    }

    fn apply(self, p: Point) -> Point {
        let (x, y) = if self.exchanged { (p.y, p.x) } else { (p.x, p.y) };
        Point { x: if self.reversed[0] { -x } else { x }, y: if self.reversed[1] { -y } else { y } }
    }
}

/// Most landmarks are nearer than this many usual deviations in a shape that is laid well.
pub(super) const WELL: f64 = 3.0;

/// How far the middle landmark of an aligned shape is from the mean shape, in usual deviations.
pub(super) fn cost(aligned: &[Option<Point>], mean: &MeanShape) -> f64 {
    let off = |(k, p): (usize, &Option<Point>)| Some((*p)?.distance(mean.shape[k]?).0 / mean.spread[k]);
    median(aligned.iter().enumerate().filter_map(off))
}

/// [`cost`] of a shape laid over the mean after a turn; infinite where that turns it by more than `limit` degrees.
fn cost_turned(shape: &Shape, turn: impl Fn(Point) -> Point, mean: &MeanShape, limit: f64) -> f64 {
    let turned: Shape = shape.iter().map(|p| p.map(&turn)).collect();
    let laid = Similarity::robust(&turned, &mean.shape, mean.sigma).filter(|t| t.degrees().abs() <= limit);
    laid.map_or(f64::INFINITY, |t| cost(&turned.iter().map(|p| p.map(|p| t.apply(p))).collect::<Shape>(), mean))
}

/// [`cost`] of a shape's mirror image, however turned.
pub(super) fn cost_mirrored(shape: &Shape, mean: &MeanShape) -> f64 {
    cost_turned(shape, |p| Point { x: -p.x, ..p }, mean, 180.0)
}

/// The change of axes that makes a shape like the others; `None` where it is already, or no change does.
pub(super) fn of_shape(shape: &Shape, mean: &MeanShape, poses: Poses) -> Option<Turn> {
    let as_it_is = cost_turned(shape, |p| p, mean, poses.limit);
    if as_it_is < WELL || shape.iter().flatten().count() < FEWEST {
        return None;
    }
    let possible = Turn::ALL.into_iter().filter(|turn| poses.mirrors || !turn.is_reflection());
    let tried = possible.map(|turn| (cost_turned(shape, |p| turn.apply(p), mean, poses.limit), turn));
    let best = tried.min_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 < WELL && best.0 < 0.5 * as_it_is).then_some(best.1)
}

/// Landmarks of an average head that faces right, upright, in mm from their centre: those of the phantom cephalograms, with
/// the symbols in use for them.
const HEAD: [(&[&str], f64, f64); 10] = [
    (&["sella", "s"], -35.0, -53.0),
    (&["nasion", "n", "na"], 23.0, -59.0),
    (&["orbitale", "or", "o"], 13.0, -34.0),
    (&["porion", "po"], -56.0, -35.0),
    (&["subspinale", "a", "apoint", "pointa"], 23.0, -5.0),
    (&["supramentale", "b", "bpoint", "pointb"], 18.0, 29.0),
    (&["pogonion", "pog", "pg"], 21.0, 41.0),
    (&["menton", "me"], 13.0, 48.0),
    (&["gnathion", "gn"], 19.0, 46.0),
    (&["gonion", "go"], -41.0, 20.0),
];

/// Fewest landmarks known by name from which a head is recognised.
const FEWEST_NAMES: usize = 5;

/// The change of axes that turns the set's mean shape into a head's as radiographs show it; `None` where it is one already,
/// or no head.
pub(super) fn of_set(landmarks: &[String], mean: &Shape) -> Option<Turn> {
    let plain = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let known = landmarks.iter().zip(mean).filter_map(|(name, p)| {
        let (_, x, y) = HEAD.iter().find(|(names, ..)| names.contains(&plain(name).as_str()))?;
        Some(((*p)?, Point { x: *x, y: *y }))
    });
    let known: Vec<(Point, Point)> = known.collect();
    if known.len() < FEWEST_NAMES {
        return None;
    }
    let n = known.len() as f64;
    // Correlation of places about their centre: 1 for the same shape, however large and wherever it is.
    let likeness = |change: &dyn Fn(Point) -> Point| {
        let pairs: Vec<(Point, Point)> = known.iter().map(|(p, h)| (change(*p), *h)).collect();
        let mean = |of: &dyn Fn(&(Point, Point)) -> f64| pairs.iter().map(of).sum::<f64>() / n;
        let (px, py, hx, hy) = (mean(&|p| p.0.x), mean(&|p| p.0.y), mean(&|p| p.1.x), mean(&|p| p.1.y));
        let (both, p, h) = pairs.iter().fold((0.0, 0.0, 0.0), |(both, p, h), (a, b)| {
            let (a, b) = ((a.x - px, a.y - py), (b.x - hx, b.y - hy));
            (both + a.0 * b.0 + a.1 * b.1, p + a.0 * a.0 + a.1 * a.1, h + b.0 * b.0 + b.1 * b.1)
        });
        both / (p * h).sqrt()
    };
    let as_it_is = likeness(&|p| p);
    let tried = Turn::ALL.map(|turn| (likeness(&|p| turn.apply(p)), turn));
    let best = tried.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.85 && as_it_is < 0.7).then_some(best.1)
}
