//! Shapes laid over one another: similarity transforms that outlying landmarks do not pull, and the mean shape.

use sweep_core::units::Point;

/// A shape in mm, one position per landmark; `None` where it is missing.
pub(super) type Shape = Vec<Option<Point>>;

/// Below this many landmarks a similarity transform leaves too little to judge.
pub(super) const FEWEST: usize = 4;

/// A landmark this many usual deviations off has no say in how its shape is laid.
pub(super) const FAR: f64 = 10.0;

/// Shapes are not known more exactly than to this share of their radius.
pub(super) const SMALLEST: f64 = 0.005;

/// `p ↦ a·p + b` of complex numbers: rotation and scale, then a shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Similarity {
    a: (f64, f64),
    b: (f64, f64),
}

impl Similarity {
    pub(super) fn apply(self, p: Point) -> Point {
        Point { x: self.a.0 * p.x - self.a.1 * p.y + self.b.0, y: self.a.1 * p.x + self.a.0 * p.y + self.b.1 }
    }

    /// The point that comes to lie at `p`.
    pub(super) fn undo(self, p: Point) -> Point {
        let (x, y) = (p.x - self.b.0, p.y - self.b.1);
        let square = self.scale().powi(2);
        Point { x: (self.a.0 * x + self.a.1 * y) / square, y: (self.a.0 * y - self.a.1 * x) / square }
    }

    /// How much larger it makes a shape.
    pub(super) fn scale(self) -> f64 {
        self.a.0.hypot(self.a.1)
    }

    /// By how much it turns, in degrees, clockwise as seen on a picture.
    pub(super) fn degrees(self) -> f64 {
        self.a.1.atan2(self.a.0).to_degrees()
    }

    /// Least squares over `(from, to, weight)`; `None` where all lie in one place.
    fn fit(pairs: &[(Point, Point, f64)]) -> Option<Self> {
        let total: f64 = pairs.iter().map(|p| p.2).sum();
        let mean = |of: fn(&(Point, Point, f64)) -> f64| pairs.iter().map(|p| p.2 * of(p)).sum::<f64>() / total;
        let (fx, fy, tx, ty) = (mean(|p| p.0.x), mean(|p| p.0.y), mean(|p| p.1.x), mean(|p| p.1.y));
        let (mut re, mut im, mut square) = (0.0, 0.0, 0.0);
        for (from, to, w) in pairs {
            let (u, v) = ((from.x - fx, from.y - fy), (to.x - tx, to.y - ty));
            re += w * (u.0 * v.0 + u.1 * v.1);
            im += w * (u.0 * v.1 - u.1 * v.0);
            square += w * (u.0 * u.0 + u.1 * u.1);
        }
        let a = (re / square, im / square);
        let found = Self { a, b: (tx - a.0 * fx + a.1 * fy, ty - a.1 * fx - a.0 * fy) };
        (square > 0.0 && total > 0.0 && found.scale() > 1e-9 && found.scale().is_finite()).then_some(found)
    }

    /// Lays a shape over another by least squares over all landmarks but those that are far off, however far that is.
    /// Which ones are is told by a fit that gives what is off little weight (that of Geman and `McClure`; `sigma` is what
    /// is usual).
    pub(super) fn robust(shape: &[Option<Point>], onto: &[Option<Point>], sigma: f64) -> Option<Self> {
        let mut pairs: Vec<(Point, Point, f64)> =
            shape.iter().zip(onto).filter_map(|(s, o)| Some(((*s)?, (*o)?, 1.0))).collect();
        if pairs.len() < FEWEST {
            return None;
        }
        let mut found = Self::fit(&pairs)?;
        for _ in 0..15 {
            for (from, to, weight) in &mut pairs {
                let off = found.apply(*from).distance(*to).0 / (2.0 * sigma);
                *weight = (1.0 + off * off).powi(-2);
            }
            found = Self::fit(&pairs)?;
        }
        for _ in 0..3 {
            let far = |(from, to, _): &(Point, Point, f64)| found.apply(*from).distance(*to).0 > FAR * sigma;
            let near: Vec<(Point, Point, f64)> = pairs.iter().filter(|p| !far(p)).map(|p| (p.0, p.1, 1.0)).collect();
            if near.len() < FEWEST {
                break;
            }
            found = Self::fit(&near)?;
        }
        Some(found)
    }
}

/// The middle of some numbers; not a number without any.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// Median of the Rayleigh distribution with scale 1: distances in the plane whose axes have standard deviation 1.
pub(super) const MEDIAN_OF_RAYLEIGH: f64 = 1.177_410_022_515_474_7;

/// The robust mean of aligned shapes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MeanShape {
    /// Coordinate-wise medians of aligned shapes; `None` of a landmark that is nowhere marked.
    pub(super) shape: Shape,
    /// Usual distance of each landmark from it, as a standard deviation per axis.
    pub(super) spread: Vec<f64>,
    /// That of the middle one.
    pub(super) sigma: f64,
    /// Root mean square distance of its landmarks from their centre.
    pub(super) radius: f64,
}

/// The mean of shapes, most of which stand as the mean does; `None` where too few have enough landmarks.
pub(super) fn mean_shape(shapes: &[Shape]) -> Option<MeanShape> {
    let landmarks = shapes.first()?.len();
    let coordinates = |aligned: &[Shape]| -> Shape {
        let of = |k: usize, axis: fn(&Point) -> f64| median(aligned.iter().filter_map(|s| s[k].as_ref().map(axis)));
        let point = |k| Some(Point { x: of(k, |p| p.x), y: of(k, |p| p.y) }).filter(|p| p.x.is_finite());
        (0..landmarks).map(point).collect()
    };
    let centred = shapes.iter().map(|shape| {
        let marked = || shape.iter().flatten();
        let (x, y) = (median(marked().map(|p| p.x)), median(marked().map(|p| p.y)));
        shape.iter().map(|p| p.map(|p| Point { x: p.x - x, y: p.y - y })).collect()
    });
    let centred: Vec<Shape> = centred.collect();
    let mut shape = coordinates(&centred);
    let usual = median(centred.iter().map(|shape| radius_of(shape)).filter(|radius| *radius > 0.0));
    // Shapes that stand in every direction have a middle that is no shape.
    if radius_of(&shape) < COLLAPSED * usual {
        shape = medoid(&centred, usual).unwrap_or(shape);
    }
    let (marked, radius) = (shape.iter().flatten().count(), radius_of(&shape));
    if marked < FEWEST || radius.is_nan() || radius <= 0.0 {
        return None;
    }
    let (mut sigma, mut spread) = (0.05 * radius, Vec::new());
    for _ in 0..8 {
        let aligned: Vec<Shape> = shapes.iter().filter_map(|s| aligned(s, &shape, sigma)).collect();
        if aligned.len() < 2 {
            return None;
        }
        let next = coordinates(&aligned);
        // A landmark may be marked on images alone that cannot be aligned.
        shape = next.iter().zip(&shape).map(|(new, old)| new.or(*old)).collect();
        let off = |k: usize| {
            let far = aligned.iter().filter_map(|s| Some(s[k]?.distance(shape[k]?).0));
            median(far) / MEDIAN_OF_RAYLEIGH
        };
        spread = (0..landmarks).map(off).collect();
        sigma = median(spread.iter().copied().filter(|v| v.is_finite())).max(SMALLEST * radius);
    }
    let spread = spread.into_iter().map(|s| if s.is_finite() { s.max(SMALLEST * radius) } else { sigma }).collect();
    Some(MeanShape { shape, spread, sigma, radius })
}

/// The middle of shapes has collapsed where its radius is less than this share of theirs.
const COLLAPSED: f64 = 0.7;
/// Shapes that are tried as the one that the others resemble most.
const TRIED: usize = 24;

/// Root mean square distance of a shape's landmarks from their centre; not a number without any.
fn radius_of(shape: &[Option<Point>]) -> f64 {
    let marked: Vec<Point> = shape.iter().flatten().copied().collect();
    let n = marked.len() as f64;
    let (x, y) = (marked.iter().map(|p| p.x).sum::<f64>() / n, marked.iter().map(|p| p.y).sum::<f64>() / n);
    (marked.iter().map(|p| (p.x - x).powi(2) + (p.y - y).powi(2)).sum::<f64>() / n).sqrt()
}

/// The complete shape that the others resemble most, made as large as they usually are.
fn medoid(shapes: &[Shape], usual: f64) -> Option<Shape> {
    let complete: Vec<&Shape> = shapes.iter().filter(|shape| shape.iter().all(Option::is_some)).collect();
    let step = complete.len().div_ceil(TRIED).max(1);
    let cost = |candidate: &Shape| {
        let off = shapes.iter().filter_map(|shape| {
            let laid = aligned(shape, candidate, 0.05 * radius_of(candidate))?;
            let distances = laid.iter().zip(candidate).filter_map(|(p, q)| Some((*p)?.distance((*q)?).0));
            Some(median(distances) / radius_of(candidate))
        });
        median(off)
    };
    let tried = complete.into_iter().step_by(step).map(|candidate| (cost(candidate), candidate));
    let (_, best) = tried.filter(|(cost, _)| cost.is_finite()).min_by(|a, b| a.0.total_cmp(&b.0))?;
    let scale = usual / radius_of(best);
    Some(best.iter().map(|p| p.map(|p| Point { x: scale * p.x, y: scale * p.y })).collect())
}

/// The shape laid over another.
fn aligned(shape: &Shape, onto: &Shape, sigma: f64) -> Option<Shape> {
    let transform = Similarity::robust(shape, onto, sigma)?;
    Some(shape.iter().map(|p| p.map(|p| transform.apply(p))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: [(f64, f64); 6] = [(0.0, 0.0), (60.0, -10.0), (50.0, 25.0), (-20.0, 30.0), (45.0, 90.0), (-5.0, 80.0)];

    fn head() -> Shape {
        HEAD.iter().map(|(x, y)| Some(Point { x: *x, y: *y })).collect()
    }

    #[test]
    fn a_displaced_landmark_pulls_nothing() {
        let (sin, cos) = 0.2f64.sin_cos();
        let turned =
            |p: Point| Point { x: 1.5 * (cos * p.x - sin * p.y) + 7.0, y: 1.5 * (sin * p.x + cos * p.y) - 3.0 };
        let mut moved: Shape = head().into_iter().map(|p| p.map(turned)).collect();
        moved[4] = Some(Point { x: 0.0, y: 0.0 });
        moved[1] = None;
        let found = Similarity::robust(&moved, &head(), 1.0).unwrap();
        assert!((found.scale() - 1.0 / 1.5).abs() < 1e-3 && (found.degrees() + 0.2f64.to_degrees()).abs() < 0.1);
        for (p, q) in moved.iter().zip(head()).filter_map(|(p, q)| Some((found.apply((*p)?), q?))).take(2) {
            assert!(p.distance(q).0 < 0.2, "{p:?} {q:?}");
        }
        let there_and_back = found.undo(found.apply(Point { x: 3.0, y: 4.0 }));
        assert!(there_and_back.distance(Point { x: 3.0, y: 4.0 }).0 < 1e-9);
        assert_eq!(Similarity::robust(&[Some(Point { x: 1.0, y: 1.0 }); 6], &head(), 1.0), None);
        moved.truncate(4);
        assert_eq!(Similarity::robust(&moved, &head(), 1.0), None, "three landmarks");
    }

    #[test]
    fn the_mean_is_that_of_the_many() {
        let shifted = |i: usize| -> Shape {
            head().into_iter().map(|p| p.map(|p| Point { x: p.x + 3.0 * i as f64, y: p.y - i as f64 })).collect()
        };
        let mut shapes: Vec<Shape> = (0..9).map(shifted).collect();
        shapes[3].swap(0, 4);
        shapes[5] = vec![None; 6];
        let mean = mean_shape(&shapes).unwrap();
        let onto = Similarity::robust(&mean.shape, &head(), 1.0).unwrap();
        assert!((onto.scale() - 1.0).abs() < 1e-6);
        for (p, q) in mean.shape.iter().zip(head()) {
            assert!(onto.apply(p.unwrap()).distance(q.unwrap()).0 < 1e-6);
        }
        assert_eq!(mean_shape(&[]), None);
        assert_eq!(mean_shape(&[vec![None; 6], vec![None; 6]]), None);
    }
}
