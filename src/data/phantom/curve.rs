//! Smooth curves through given points, and the points of them that anatomy has names for.
//!
//! Only additions, products, quotients and square roots are used, here and in all of the phantom: IEEE 754 rounds
//! these alike everywhere, so a seed gives the same bytes on every machine.

use std::ops::{Add, Mul, Sub};

/// A place or a displacement in millimetres, x to the right (towards the face), y down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Vector {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Vector {
    pub(super) const ZERO: Self = Self { x: 0.0, y: 0.0 };

    pub(super) const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    pub(super) fn dot(self, other: Self) -> f64 {
        self.x * other.x + self.y * other.y
    }

    /// A quarter turn, clockwise as seen (y points down).
    pub(super) fn turned(self) -> Self {
        Self::new(-self.y, self.x)
    }

    pub(super) fn length(self) -> f64 {
        self.dot(self).sqrt()
    }

    /// Turned clockwise by the angle whose half has this tangent: a rotation without sine and cosine.
    pub(super) fn rotated(self, half_tangent: f64) -> Self {
        let square = half_tangent * half_tangent;
        let (cos, sin) = ((1.0 - square) / (1.0 + square), 2.0 * half_tangent / (1.0 + square));
        self * cos + self.turned() * sin
    }
}

impl Add for Vector {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Vector {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f64> for Vector {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self::new(self.x * factor, self.y * factor)
    }
}

/// Pieces between two control points; landmarks are vertices, so this bounds how finely they are placed.
const STEPS: usize = 12;

/// A curve as what is drawn: straight pieces between its points.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    pub(super) points: Vec<Vector>,
    pub(super) closed: bool,
}

impl Curve {
    /// The centripetal Catmull–Rom spline through `control`: it passes every point and makes no loops between them.
    pub(super) fn through(control: &[Vector], closed: bool) -> Self {
        let count = control.len();
        let pieces = if closed { count } else { count.saturating_sub(1) };
        let at = |index: usize| if closed { control[index % count] } else { control[index.min(count - 1)] };
        let mut points = Vec::with_capacity(pieces * STEPS + 1);
        for piece in 0..pieces {
            let before = match piece {
                0 if closed => control[count - 1],
                _ => control[piece.saturating_sub(1)],
            };
            let neighbours = [before, at(piece), at(piece + 1), at(piece + 2)];
            points.extend((0..STEPS).map(|step| spline(neighbours, step as f64 / STEPS as f64)));
        }
        if !closed {
            points.extend(control.last());
        }
        Self { points, closed }
    }

    /// Straight lines between the given points.
    pub(super) fn straight(points: &[(f64, f64)], closed: bool) -> Self {
        Self { points: points.iter().map(|&(x, y)| Vector::new(x, y)).collect(), closed }
    }

    /// An ellipse with upright axes.
    pub(super) fn ellipse(centre: Vector, radius: Vector) -> Self {
        const DIAGONAL: f64 = std::f64::consts::FRAC_1_SQRT_2;
        let unit = [
            (1.0, 0.0),
            (DIAGONAL, DIAGONAL),
            (0.0, 1.0),
            (-DIAGONAL, DIAGONAL),
            (-1.0, 0.0),
            (-DIAGONAL, -DIAGONAL),
            (0.0, -1.0),
            (DIAGONAL, -DIAGONAL),
        ];
        let control = unit.map(|(x, y)| centre + Vector::new(x * radius.x, y * radius.y));
        Self::through(&control, true)
    }

    pub(super) fn map(&self, f: impl Fn(Vector) -> Vector) -> Self {
        Self { points: self.points.iter().map(|&point| f(point)).collect(), closed: self.closed }
    }

    /// The drawn points from one control point to another.
    pub(super) fn between(&self, first: usize, last: usize) -> &[Vector] {
        &self.points[first * STEPS..=(last * STEPS).min(self.points.len() - 1)]
    }
}

/// Where the spline through the middle two of four points is after `t` of the way.
fn spline(p: [Vector; 4], t: f64) -> Vector {
    let chord = |a: usize| (p[a + 1] - p[a]).length().sqrt();
    let (before, here, after) = (chord(0), chord(1), chord(2));
    // The tangent at b of the parabola through a, b, c; at an open end, where two points coincide, the chord's.
    let tangent = |a: Vector, b: Vector, c: Vector, ab: f64, bc: f64| {
        if ab <= 0.0 || bc <= 0.0 {
            return (c - a) * (1.0 / (ab + bc));
        }
        (b - a) * (1.0 / ab) - (c - a) * (1.0 / (ab + bc)) + (c - b) * (1.0 / bc)
    };
    let start = tangent(p[0], p[1], p[2], before, here) * here;
    let end = tangent(p[1], p[2], p[3], here, after) * here;
    let (t2, t3) = (t * t, t * t * t);
    p[1] * (2.0 * t3 - 3.0 * t2 + 1.0) + start * (t3 - 2.0 * t2 + t) + p[2] * (3.0 * t2 - 2.0 * t3) + end * (t3 - t2)
}

/// The point farthest in a direction; of equals the first.
pub(super) fn extreme(points: &[Vector], direction: Vector) -> Vector {
    let mut best = (f64::NEG_INFINITY, Vector::ZERO);
    for &point in points {
        let reach = point.dot(direction);
        if reach > best.0 {
            best = (reach, point);
        }
    }
    best.1
}

/// The point farthest to the left of the way from `from` to `to` (as seen, y down): the deepest of a concavity, or
/// the apex of a bend.
pub(super) fn farthest_left(points: &[Vector], from: Vector, to: Vector) -> Vector {
    extreme(points, (to - from).turned() * -1.0)
}

/// The centroid of the area that the points enclose.
pub(super) fn centroid(points: &[Vector]) -> Vector {
    let (mut area, mut moment) = (0.0, Vector::ZERO);
    for (index, &a) in points.iter().enumerate() {
        let b = points[(index + 1) % points.len()];
        let cross = a.dot(b.turned() * -1.0);
        area += cross;
        moment = moment + (a + b) * cross;
    }
    moment * (1.0 / (3.0 * area))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: Vector, b: Vector) -> bool {
        (a - b).length() < 1e-9
    }

    #[test]
    fn curves_pass_their_control_points() {
        let control = [(0.0, 0.0), (4.0, 1.0), (5.0, 6.0), (2.0, 9.0)].map(|(x, y)| Vector::new(x, y));
        for closed in [false, true] {
            let curve = Curve::through(&control, closed);
            for (index, &point) in control.iter().enumerate() {
                assert!(close(curve.points[index * STEPS], point), "{closed} {index}");
            }
        }
    }

    #[test]
    fn an_ellipse_is_round_and_its_top_is_its_top() {
        let centre = Vector::new(3.0, -2.0);
        let circle = Curve::ellipse(centre, Vector::new(5.0, 5.0));
        assert!(circle.points.iter().all(|&point| ((point - centre).length() - 5.0).abs() < 0.1));
        assert!(close(extreme(&circle.points, Vector::new(0.0, -1.0)), Vector::new(3.0, -7.0)));
        assert!(close(centroid(&circle.points), centre));
    }

    #[test]
    fn rotation_is_clockwise_as_seen_and_keeps_lengths() {
        let turned = Vector::new(3.0, 4.0).rotated(1.0);
        assert!(close(turned, Vector::new(-4.0, 3.0)));
        assert!((Vector::new(3.0, 4.0).rotated(0.2).length() - 5.0).abs() < 1e-12);
    }

    #[test]
    fn the_deepest_point_of_a_concavity_lies_left_of_the_chord() {
        let profile = [(6.0, 0.0), (4.0, 1.0), (3.0, 4.0), (5.0, 8.0)].map(|(x, y)| Vector::new(x, y));
        // Downwards along a face that looks right, the head is on the right-hand side of the walker's picture.
        assert_eq!(farthest_left(&profile, profile[3], profile[0]), profile[2]);
    }
}
