//! Combines the predictions of a landmark by several networks in several views.
//!
//! Positions are combined instead of maps, by their unweighted geometric median. Measured on 20 radiographs that two
//! networks (inputs of 200×160 and 400×320, nll) had held out, MRE in mm:
//!
//! | | one view | mean | weighted by confidence | geometric median | mean of probability maps |
//! |---|---|---|---|---|---|
//! | the first, 9 views | 1.282 | 1.379 | 1.338 | 1.259 | 1.266 |
//! | the second, 9 views | 1.388 | 1.342 | 1.344 | 1.332 | 1.330 |
//! | both, a view each | | 1.226 | 1.218 | 1.226 | 1.283 |
//! | both, 5 views each | | 1.198 | 1.205 | 1.202 | 1.270 |
//!
//! A mean follows a single view that is far off (23 mm there). Adding maps outvotes it as well, but then the most confident
//! network decides, and maps of different sizes and losses have no common scale.

use super::Prediction;
use sweep_core::units::Point;

/// Most iterations. Each reduces the distance from the median by a factor, which is near 1 only where the median is all but
/// one of the positions.
const STEPS: usize = 10_000;
/// Distance in pixels below which two positions are equal.
const NEAR: f64 = 1e-9;

/// The geometric median of the positions, which minimises the sum of distances (Weiszfeld 1937; Vardi and Zhang 2000), and the mean confidence. The
/// median of two positions is their midpoint.
pub(super) fn combined(predictions: &[Prediction]) -> Prediction {
    if let [only] = predictions {
        return *only;
    }
    let mean = |weight: &dyn Fn(&Prediction) -> f64| {
        let (mut x, mut y, mut sum) = (0.0, 0.0, 0.0);
        for p in predictions {
            let weight = weight(p);
            (x, y, sum) = (x + weight * p.at.x, y + weight * p.at.y, sum + weight);
        }
        Point { x: x / sum, y: y / sum }
    };
    let confidence = predictions.iter().map(|p| p.confidence).sum::<f64>() / predictions.len() as f64;
    if let Some(at) = predictions.iter().map(|p| p.at).find(|at| is_median(*at, predictions)) {
        return Prediction { at, confidence };
    }
    let mut at = mean(&|_| 1.0);
    for _ in 0..STEPS {
        let next = mean(&|p| 1.0 / p.at.distance(at).0.max(NEAR));
        let moved = next.distance(at).0;
        at = next;
        if moved < NEAR {
            break;
        }
    }
    Prediction { at, confidence }
}

/// Whether a position is the only median: it holds out against the pull of all others, each of unit strength.
fn is_median(at: Point, predictions: &[Prediction]) -> bool {
    let (mut x, mut y, mut here) = (0.0, 0.0, 0.0);
    for p in predictions {
        let distance = p.at.distance(at).0;
        if distance <= NEAR {
            here += 1.0;
        } else {
            (x, y) = (x + (p.at.x - at.x) / distance, y + (p.at.y - at.y) / distance);
        }
    }
    x.hypot(y) < here - 1e-12
}

#[cfg(test)]
mod tests {
    use super::*;

    const FERMAT: Point = Point { x: 0.695_789, y: 0.751_176 };

    fn prediction(x: f64, y: f64, confidence: f64) -> Prediction {
        Prediction { at: Point { x, y }, confidence }
    }

    #[test]
    fn one_is_itself_and_two_meet_halfway() {
        let one = prediction(0.1 + 0.2, 1.0 / 3.0, 0.7);
        assert_eq!(combined(&[one]), one, "bit for bit");
        let both = combined(&[prediction(0.0, 4.0, 0.75), prediction(8.0, 0.0, 0.25)]);
        assert!(both.at.distance(Point { x: 4.0, y: 2.0 }).0 < 1e-9 && (both.confidence - 0.5).abs() < 1e-12);
        assert!(combined(&[one; 3]).at.distance(one.at).0 < 1e-9);
    }

    #[test]
    fn many_are_not_moved_far_by_one_that_is_far_off() {
        let ring = |i: u32| (f64::from(i) / 8.0 * std::f64::consts::TAU).sin_cos();
        let mut all: Vec<Prediction> = (0..8).map(|i| prediction(50.0 + ring(i).0, 60.0 + ring(i).1, 0.5)).collect();
        assert!(combined(&all).at.distance(Point { x: 50.0, y: 60.0 }).0 < 1e-6, "the median of a ring is its centre");
        all.push(prediction(550.0, 60.0, 0.5));
        assert!(combined(&all).at.distance(Point { x: 50.0, y: 60.0 }).0 < 0.3);
        // SciPy: minimize of the sum of distances to (0, 0), (4, 0), (0, 3): Fermat's point.
        let fermat = combined(&[prediction(0.0, 0.0, 1.0), prediction(4.0, 0.0, 1.0), prediction(0.0, 3.0, 1.0)]).at;
        assert!(fermat.distance(FERMAT).0 < 1e-4, "{fermat:?}");
    }

    #[test]
    fn a_median_on_or_beside_a_position_is_found() {
        // Three corners and a point inside their triangle, which is the median; beside it, iterations hardly move.
        let corners = [(0.0, 0.0), (100.0, 0.0), (0.0, 100.0), (20.0, 20.0)];
        let all: Vec<Prediction> = corners.iter().map(|(x, y)| prediction(*x, *y, 0.5)).collect();
        assert_eq!(combined(&all).at, Point { x: 20.0, y: 20.0 });
        let sum =
            |at: Point| all[..3].iter().chain([&prediction(30.0, 45.0, 0.5)]).map(|p| p.at.distance(at).0).sum::<f64>();
        let found = combined(&[all[0], all[1], all[2], prediction(30.0, 45.0, 0.5)]).at;
        for (dx, dy) in [(1e-4, 0.0), (-1e-4, 0.0), (0.0, 1e-4), (0.0, -1e-4)] {
            assert!(sum(found) <= sum(Point { x: found.x + dx, y: found.y + dy }) + 1e-12, "{found:?}");
        }
        let line: Vec<Prediction> = [0.0, 1.0, 2.0, 1000.0, 1001.0].iter().map(|x| prediction(*x, 0.0, 0.5)).collect();
        assert_eq!(combined(&line).at, Point { x: 2.0, y: 0.0 });
    }
}
