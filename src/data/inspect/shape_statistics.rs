//! Is each landmark where the others put it? Every image is judged by a model of the others' shapes.
//!
//! Shapes are laid over their mean. Their deviations, bounded so that no single landmark of a single image counts for
//! much, give a covariance; a ridge (`RIDGE` of the mean variance) keeps it from being sure of what few images tell, and
//! shift, turn and size get a variance so large that they predict nothing: what is left of a normal distribution says,
//! in its inverse P, where landmark k lies given all others (`P_kk⁻¹ (P d)_k` off) and how surprising it is. How far off is
//! usual is then measured, not assumed: the median over all images, each judged by a model that has not seen it.

use rayon::prelude::*;

use super::matrix::Matrix;
use super::procrustes::{FEWEST, MEDIAN_OF_RAYLEIGH, MeanShape, SMALLEST, Shape, Similarity, mean_shape, median};
use sweep_core::units::Point;

/// Fewest images whose shapes can be held against each other.
pub(super) const FEWEST_IMAGES: usize = 6;
/// A landmark this many usual deviations off is told: of the plane's normal distribution one of 270 000 is.
pub(super) const DOUBTFUL: f64 = 5.0;
/// A landmark this many off is wrong if it is far off, too.
pub(super) const WRONG: f64 = 8.0;

/// Addend of every variance, as a share of their mean.
const RIDGE: f64 = 0.1;
/// Variance along shift, turn and size, in traces of the covariance.
const FREE: f64 = 100.0;
/// Deviations are bounded at this many usual ones before they shape the model.
const BOUND: f64 = 3.0;
/// Models, each made without its part of the images.
const PARTS: usize = 20;
/// The usual deviation of a landmark counts as if this many images more had the landmarks' common one.
const COMMON: f64 = 10.0;

/// An anomaly of a shape.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Anomaly {
    /// These two have each other's place.
    Swapped { landmarks: [usize; 2], off_mm: f64, deviations: f64 },
    /// This one does not lie where the others put it.
    Displaced { landmark: usize, off_mm: f64, deviations: f64, expected: Point },
}

/// All shapes of a data set, and their statistics. Lengths in mm.
#[derive(Debug, Clone)]
pub(super) struct ShapeStatistics {
    pub(super) mean: MeanShape,
    /// Laid over the mean; `None` of shapes with too few landmarks.
    pub(super) aligned: Vec<Option<(Similarity, Shape)>>,
    /// Usual distance, as a standard deviation per axis, from where the others put a landmark.
    pub(super) predicted: Vec<f64>,
    models: Vec<Model>,
}

impl ShapeStatistics {
    /// Fits the statistics; `None` where shapes are too few or too poor.
    pub(super) fn of(shapes: &[Shape]) -> Option<Self> {
        if shapes.iter().filter(|s| s.iter().flatten().count() >= FEWEST).count() < FEWEST_IMAGES {
            return None;
        }
        let mean = mean_shape(shapes)?;
        let lay = |shape: &Shape| {
            let transform = Similarity::robust(shape, &mean.shape, mean.sigma)?;
            Some((transform, shape.iter().map(|p| p.map(|p| transform.apply(p))).collect()))
        };
        let aligned: Vec<Option<(Similarity, Shape)>> = shapes.par_iter().map(lay).collect();
        let parts = PARTS.min(shapes.len());
        let models: Vec<Model> = (0..parts)
            .into_par_iter()
            .map(|part| {
                let others = aligned.iter().enumerate().filter(|(i, _)| i % parts != part);
                Model::of(&mean, others.filter_map(|(_, a)| a.as_ref().map(|(_, shape)| shape)))
            })
            .collect();
        let off: Vec<Vec<Option<f64>>> = (0..shapes.len())
            .into_par_iter()
            .map(|i| {
                let view = models[i % parts].align(&shapes[i], &mean);
                let off = |k| view.as_ref().and_then(|v| v.residual(k)).map(|r: Residual| r.distance());
                (0..mean.shape.len()).map(off).collect()
            })
            .collect();
        let column = |k: usize| off.iter().filter_map(move |row| row[k]);
        let own: Vec<(f64, f64)> =
            (0..mean.shape.len()).map(|k| (column(k).count() as f64, median(column(k)) / MEDIAN_OF_RAYLEIGH)).collect();
        let common = median(own.iter().map(|(_, sigma)| *sigma).filter(|s| s.is_finite()));
        let predicted = own.into_iter().map(|(n, sigma)| {
            let square = if n > 0.0 { n * sigma * sigma } else { 0.0 };
            ((square + COMMON * common * common) / (n + COMMON)).sqrt().max(SMALLEST * mean.radius)
        });
        Some(Self { predicted: predicted.collect(), mean, aligned, models })
    }

    /// Anomalies of a shape by the model that was made without it; the worst first.
    pub(super) fn judge(&self, image: usize, shape: &Shape) -> Vec<Anomaly> {
        let mut shape = shape.clone();
        let mut found = Vec::new();
        let model = &self.models[image % self.models.len()];
        // An error of more than half of the landmarks is not reported landmark by landmark.
        for _ in 0..shape.len().div_ceil(2) {
            let Some(view) = model.align(&shape, &self.mean) else { break };
            let residuals: Vec<Residual> = (0..shape.len()).filter_map(|k| view.residual(k)).collect();
            let far = |r: &&Residual| r.distance() / self.predicted[r.landmark];
            let Some(worst) = residuals.iter().max_by(|a, b| far(a).total_cmp(&far(b))) else { break };
            if far(&worst) < DOUBTFUL {
                break;
            }
            // A landmark that is off makes others look off; the one without which the shape is least surprising is to blame.
            let Some(blamed) = residuals.iter().max_by(|a, b| a.surprise.total_cmp(&b.surprise)) else { break };
            if let Some((pair, swapped)) = self.swap(model, &shape, &view, blamed.surprise) {
                let of = |k: usize| residuals.iter().find(|r| r.landmark == k);
                let worst_of = |value: &dyn Fn(&Residual) -> f64| {
                    pair.iter().filter_map(|k| of(*k)).map(value).fold(0.0, f64::max)
                };
                let scale = view.transform.scale();
                found.push(Anomaly::Swapped {
                    landmarks: pair,
                    off_mm: worst_of(&|r| r.distance() / scale),
                    deviations: worst_of(&|r| r.distance() / self.predicted[r.landmark]),
                });
                shape = swapped;
                continue;
            }
            let (k, position) = (blamed.landmark, view.position(blamed.landmark));
            let expected =
                position.map(|p| view.transform.undo(Point { x: p.x - blamed.off.0, y: p.y - blamed.off.1 }));
            if let Some(expected) = expected {
                let (off_mm, deviations) = (blamed.distance() / view.transform.scale(), far(&blamed));
                // The blamed landmark may itself be only a little off.
                if deviations >= DOUBTFUL {
                    found.push(Anomaly::Displaced { landmark: k, off_mm, deviations, expected });
                }
            }
            shape[k] = None;
        }
        found
    }

    /// The two landmarks whose exchange explains the shape at least as well as leaving out the one that is blamed, and
    /// the shape so exchanged.
    fn swap(&self, model: &Model, shape: &Shape, view: &AlignedShape, surprise: f64) -> Option<([usize; 2], Shape)> {
        let pairs = (0..shape.len()).flat_map(|i| (0..i).map(move |j| [j, i]));
        let gain = |pair: &[usize; 2]| view.change_by_swap(*pair).map(|change| -change);
        let (pair, gained) = pairs.filter_map(|p| Some((p, gain(&p)?))).max_by(|a, b| a.1.total_cmp(&b.1))?;
        if gained < surprise {
            return None;
        }
        let mut swapped = shape.clone();
        swapped.swap(pair[0], pair[1]);
        let view = model.align(&swapped, &self.mean)?;
        let well = |k: usize| view.residual(k).is_some_and(|r| r.distance() < DOUBTFUL * self.predicted[k]);
        (well(pair[0]) && well(pair[1])).then_some((pair, swapped))
    }
}

/// Mean and covariance of aligned shapes, x and y of one landmark after the other.
#[derive(Debug, Clone)]
struct Model {
    mean: Shape,
    covariance: Matrix,
}

impl Model {
    fn of<'a>(mean: &MeanShape, shapes: impl Iterator<Item = &'a Shape> + Clone) -> Self {
        let bounded = |k: usize, p: Point| {
            let centre = mean.shape[k]?;
            let share = (BOUND * mean.spread[k] / centre.distance(p).0.max(1e-9)).min(1.0);
            Some((share * (p.x - centre.x), share * (p.y - centre.y)))
        };
        let landmarks = mean.shape.len();
        let deviations: Vec<Vec<Option<(f64, f64)>>> = shapes
            .map(|shape| shape.iter().enumerate().map(|(k, p)| p.and_then(|p| bounded(k, p))).collect())
            .collect();
        let average = |k: usize, of: fn(&(f64, f64)) -> f64| {
            let values: Vec<f64> = deviations.iter().filter_map(|d| d[k].as_ref().map(of)).collect();
            values.iter().sum::<f64>() / (values.len() as f64).max(1.0)
        };
        let offset: Vec<(f64, f64)> = (0..landmarks).map(|k| (average(k, |d| d.0), average(k, |d| d.1))).collect();
        let centre = mean.shape.iter().zip(&offset).map(|(p, o)| p.map(|p| Point { x: p.x + o.0, y: p.y + o.1 }));
        let centre: Shape = centre.collect();
        let mut covariance = Matrix::zero(2 * landmarks);
        for row in &deviations {
            // A missing landmark counts as one in its usual place, which claims no connection that was not seen.
            let d: Vec<f64> =
                row.iter().zip(&offset).flat_map(|(d, o)| d.map_or([0.0; 2], |d| [d.0 - o.0, d.1 - o.1])).collect();
            covariance.add_outer(&d, 1.0 / (deviations.len() as f64 - 1.0).max(1.0));
        }
        let trace = covariance.trace().max(1e-6 * mean.radius * mean.radius);
        for i in 0..covariance.size() {
            covariance.add(i, i, RIDGE * trace / covariance.size() as f64);
        }
        for direction in free(&centre) {
            covariance.add_outer(&direction, FREE * trace);
        }
        Self { mean: centre, covariance }
    }

    /// The shape laid over this model's mean; `None` with too few landmarks.
    fn align(&self, shape: &Shape, mean: &MeanShape) -> Option<AlignedShape> {
        let transform = Similarity::robust(shape, &self.mean, mean.sigma)?;
        let marked: Vec<usize> = (0..shape.len()).filter(|k| shape[*k].is_some() && self.mean[*k].is_some()).collect();
        let positions: Vec<Point> = marked.iter().filter_map(|k| shape[*k]).map(|p| transform.apply(p)).collect();
        let centres = marked.iter().filter_map(|k| self.mean[*k]);
        let deviation: Vec<f64> = positions.iter().zip(centres).flat_map(|(p, c)| [p.x - c.x, p.y - c.y]).collect();
        let rows: Vec<usize> = marked.iter().flat_map(|k| [2 * k, 2 * k + 1]).collect();
        let precision = self.covariance.part(&rows).inverse()?;
        let pulled = precision.times(&deviation);
        Some(AlignedShape { transform, marked, positions, precision, pulled })
    }
}

/// Shift along x, along y, turn and growth of a shape, each of length 1.
fn free(shape: &Shape) -> Vec<Vec<f64>> {
    let marked: Vec<Point> = shape.iter().flatten().copied().collect();
    let n = marked.len().max(1) as f64;
    let (cx, cy) = (marked.iter().map(|p| p.x).sum::<f64>() / n, marked.iter().map(|p| p.y).sum::<f64>() / n);
    let directions: [fn(f64, f64) -> [f64; 2]; 4] =
        [|_, _| [1.0, 0.0], |_, _| [0.0, 1.0], |x, y| [-y, x], |x, y| [x, y]];
    let direction = |of: fn(f64, f64) -> [f64; 2]| {
        let all: Vec<f64> = shape.iter().flat_map(|p| p.map_or([0.0; 2], |p| of(p.x - cx, p.y - cy))).collect();
        let length = all.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-9);
        all.into_iter().map(|v| v / length).collect()
    };
    directions.into_iter().map(direction).collect()
}

/// A shape laid over a model's mean, with its deviations from it.
struct AlignedShape {
    transform: Similarity,
    /// Landmarks that are marked.
    marked: Vec<usize>,
    /// Their positions.
    positions: Vec<Point>,
    /// Inverse of their covariance, P.
    precision: Matrix,
    /// P d, for their deviations d from the mean.
    pulled: Vec<f64>,
}

/// How far a landmark is from where the others put it.
#[derive(Debug, Clone, Copy)]
struct Residual {
    landmark: usize,
    /// In mm of the mean.
    off: (f64, f64),
    /// Squared Mahalanobis distance that the shape would lose without it.
    surprise: f64,
}

impl Residual {
    fn distance(&self) -> f64 {
        self.off.0.hypot(self.off.1)
    }
}

impl AlignedShape {
    fn row(&self, landmark: usize) -> Option<usize> {
        self.marked.iter().position(|k| *k == landmark)
    }

    /// A landmark's position.
    fn position(&self, landmark: usize) -> Option<Point> {
        self.row(landmark).map(|i| self.positions[i])
    }

    fn residual(&self, landmark: usize) -> Option<Residual> {
        let i = 2 * self.row(landmark)?;
        let p = |a: usize, b: usize| self.precision.at(i + a, i + b);
        let v = (self.pulled[i], self.pulled[i + 1]);
        let determinant = p(0, 0) * p(1, 1) - p(0, 1) * p(1, 0);
        let off = ((p(1, 1) * v.0 - p(0, 1) * v.1) / determinant, (p(0, 0) * v.1 - p(1, 0) * v.0) / determinant);
        let surprise = off.0 * v.0 + off.1 * v.1;
        (determinant > 0.0).then_some(Residual { landmark, off, surprise })
    }

    /// By how much the squared Mahalanobis distance changes when two landmarks take each other's place.
    fn change_by_swap(&self, pair: [usize; 2]) -> Option<f64> {
        let rows = [self.row(pair[0])?, self.row(pair[1])?];
        let (a, b) = (self.positions[rows[0]], self.positions[rows[1]]);
        let step = [
            (2 * rows[0], b.x - a.x),
            (2 * rows[0] + 1, b.y - a.y),
            (2 * rows[1], a.x - b.x),
            (2 * rows[1] + 1, a.y - b.y),
        ];
        let linear: f64 = step.iter().map(|(i, s)| 2.0 * s * self.pulled[*i]).sum();
        let square: f64 =
            step.iter().flat_map(|(i, s)| step.iter().map(move |(j, t)| s * t * self.precision.at(*i, *j))).sum();
        Some(linear + square)
    }
}
