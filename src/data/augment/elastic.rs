//! Elastic deformation: control points on a coarse lattice, each displaced at random, and cubic B-splines between them.
//!
//! As in Payer's framework and `TorchIO`, displacements are uniform in ± a largest one, in millimetres of the patient; the
//! spline averages over 4 × 4 control points, so that a place moves by about 0.28 of that (root mean square, per axis).
//! The field says where a place of the result is *read*; landmarks follow by its inverse. It has one, because control
//! points move by less than 1/2.0464 of the lattice's spacing: no such spline folds (Choi and Lee, Injectivity conditions
//! of 2D and 3D uniform cubic B-spline functions, Graphical Models 62, 2000).

use rand::Rng;

use super::affine::centre;
use sweep_core::seed::{self, Stream};
use sweep_core::units::{Point, Size, Spacing};

/// The largest displacement that cannot fold the picture, as a share of the lattice's spacing, rounded down.
pub(super) const LARGEST: f64 = 0.48;

/// Zeros around the control points, so that all that a place needs is there.
const PADDING: i64 = 3;

/// A displacement for every place of a picture, in pixels.
#[derive(Debug, Clone)]
pub(crate) struct Elastic {
    pub(super) centre: Point,
    /// Lattice cells per pixel, along x and y.
    pub(super) cells: [f64; 2],
    /// Control points on either side of the centre, padding included, along x and y.
    pub(super) reach: [i64; 2],
    /// Displacements (x, y) in pixels, row by row, `[2·reach.y + 1, 2·reach.x + 1, 2]`.
    pub(super) nodes: Vec<[f32; 2]>,
}

impl Elastic {
    /// Control points every `grid_mm` from the picture's centre outwards, as far as they matter, each displaced by up to
    /// ± `largest_mm` along each axis.
    pub(super) fn new(
        (largest_mm, grid_mm): (f64, f64),
        (size, spacing): (Size, Spacing),
        (seed, epoch, index): (u64, u64, u64),
    ) -> Self {
        let mut rng = seed::derive(seed, Stream::Elastic, epoch, index);
        let lengths = [size.width as f64 * spacing.x, size.height as f64 * spacing.y];
        // The same at every input size: millimetres of a resized picture differ in the last digits.
        let reach = lengths.map(|mm| (mm / 2.0 / grid_mm - 1e-9).ceil() as i64 + 2 + PADDING);
        let columns = 2 * reach[0] + 1;
        let mut nodes = vec![[0.0; 2]; (columns * (2 * reach[1] + 1)) as usize];
        for y in PADDING..=2 * reach[1] - PADDING {
            for x in PADDING..=2 * reach[0] - PADDING {
                let mm = [(); 2].map(|()| largest_mm * (2.0 * rng.random_range(0.0..1.0) - 1.0));
                nodes[(y * columns + x) as usize] = [(mm[0] / spacing.x) as f32, (mm[1] / spacing.y) as f32];
            }
        }
        Self { centre: centre(size), cells: [spacing.x / grid_mm, spacing.y / grid_mm], reach, nodes }
    }

    /// Lattice cells per pixel, along x and y.
    pub(crate) fn cells(&self) -> [f64; 2] {
        self.cells
    }

    /// Control points on either side of the centre, along x and y.
    pub(crate) fn reach(&self) -> [i64; 2] {
        self.reach
    }

    /// Displacements (x, y) in pixels, row by row, `[2·reach.y + 1, 2·reach.x + 1, 2]`.
    pub(crate) fn nodes(&self) -> &[[f32; 2]] {
        &self.nodes
    }

    /// Where a coordinate is: the first of the four control points that matter, and how far into its cell; `None` where
    /// none does.
    fn cell(&self, axis: usize, coordinate: f64) -> Option<(usize, f64)> {
        let place = (coordinate - [self.centre.x, self.centre.y][axis]) * self.cells[axis];
        let cell = place.floor();
        let first = cell as i64 - 1 + self.reach[axis];
        (0..=2 * self.reach[axis] - 3).contains(&first).then_some((first as usize, place - cell))
    }

    /// Adds to every place of a row its displacement. Places lie on a line, in order, and are counted from one pixel before
    /// the picture's first.
    pub(super) fn displace(&self, xs: &mut [f64], ys: &mut [f64]) {
        let columns = (2 * self.reach[0] + 1) as usize;
        let mut start = 0;
        while start < xs.len() {
            let of = |i: usize| (self.cell(0, xs[i] - 1.0).map(|c| c.0), self.cell(1, ys[i] - 1.0).map(|c| c.0));
            let here = of(start);
            // Neighbours that read the same control points, together: a line leaves a cell once.
            let (mut end, mut beyond) = (start + 1, xs.len());
            while end < beyond {
                let middle = usize::midpoint(end, beyond);
                if of(middle) == here { end = middle + 1 } else { beyond = middle }
            }
            if let (Some(left), Some(top)) = here {
                let mut nodes = [[[0.0; 2]; 4]; 4];
                for (row, to) in nodes.iter_mut().enumerate() {
                    to.copy_from_slice(&self.nodes[(top + row) * columns + left..][..4]);
                }
                let origin = [left as i64 + 1 - self.reach[0], top as i64 + 1 - self.reach[1]].map(|cell| cell as f64);
                for (x, y) in xs[start..end].iter_mut().zip(&mut ys[start..end]) {
                    let along_x = spline(((*x - 1.0 - self.centre.x) * self.cells[0] - origin[0]) as f32);
                    let along_y = spline(((*y - 1.0 - self.centre.y) * self.cells[1] - origin[1]) as f32);
                    let mut sum = [0.0f32; 2];
                    for (row, weight) in nodes.iter().zip(along_y) {
                        for (node, w) in row.iter().zip(along_x) {
                            sum[0] += weight * w * node[0];
                            sum[1] += weight * w * node[1];
                        }
                    }
                    *x += f64::from(sum[0]);
                    *y += f64::from(sum[1]);
                }
            }
            start = end;
        }
    }

    /// A place's displacement, and its derivatives: `[[∂x/∂x, ∂x/∂y], [∂y/∂x, ∂y/∂y]]`.
    fn at(&self, p: Point) -> (Point, [[f64; 2]; 2]) {
        let (mut moved, mut slope) = ([0.0; 2], [[0.0; 2]; 2]);
        if let (Some((left, tx)), Some((top, ty))) = (self.cell(0, p.x), self.cell(1, p.y)) {
            let columns = (2 * self.reach[0] + 1) as usize;
            let (along_x, along_y) = (spline_and_slope(tx), spline_and_slope(ty));
            for (row, (wy, sy)) in along_y.into_iter().enumerate() {
                for (column, (wx, sx)) in along_x.into_iter().enumerate() {
                    let node = self.nodes[(top + row) * columns + left + column].map(f64::from);
                    for axis in 0..2 {
                        moved[axis] += wy * wx * node[axis];
                        slope[axis][0] += wy * sx * self.cells[0] * node[axis];
                        slope[axis][1] += sy * self.cells[1] * wx * node[axis];
                    }
                }
            }
        }
        (Point { x: moved[0], y: moved[1] }, slope)
    }

    /// The place that is read at `p`, found by Newton's method: where a landmark at `p` goes.
    pub(super) fn inverse(&self, p: Point) -> Point {
        let residual = |q: Point| {
            let (moved, slope) = self.at(q);
            (Point { x: q.x + moved.x - p.x, y: q.y + moved.y - p.y }, slope)
        };
        let length = |r: Point| r.x.hypot(r.y);
        let mut q = p;
        let (mut off, mut slope) = residual(q);
        for _ in 0..50 {
            if length(off) < 1e-9 {
                break;
            }
            let [[a, b], [c, d]] = [[1.0 + slope[0][0], slope[0][1]], [slope[1][0], 1.0 + slope[1][1]]];
            let determinant = a * d - b * c;
            let step = Point { x: (d * off.x - b * off.y) / determinant, y: (a * off.y - c * off.x) / determinant };
            // A step that leads no nearer is too long.
            let shorter = (0..30).map(|halvings| 0.5f64.powi(halvings)).find_map(|share| {
                let next = Point { x: q.x - share * step.x, y: q.y - share * step.y };
                let found = residual(next);
                (length(found.0) < length(off)).then_some((next, found))
            });
            let Some((next, found)) = shorter else { break };
            q = next;
            (off, slope) = found;
        }
        q
    }
}

/// Weights of the four control points around a place `t` of a cell's width behind the second.
fn spline(t: f32) -> [f32; 4] {
    let (rest, square, cube) = (1.0 - t, t * t, t * t * t);
    [
        rest * rest * rest / 6.0,
        (3.0 * cube - 6.0 * square + 4.0) / 6.0,
        (-3.0 * cube + 3.0 * square + 3.0 * t + 1.0) / 6.0,
        cube / 6.0,
    ]
}

/// The same with their derivatives.
fn spline_and_slope(t: f64) -> [(f64, f64); 4] {
    let (rest, square, cube) = (1.0 - t, t * t, t * t * t);
    [
        (rest * rest * rest / 6.0, -rest * rest / 2.0),
        ((3.0 * cube - 6.0 * square + 4.0) / 6.0, (3.0 * square - 4.0 * t) / 2.0),
        ((-3.0 * cube + 3.0 * square + 3.0 * t + 1.0) / 6.0, (-3.0 * square + 2.0 * t + 1.0) / 2.0),
        (cube / 6.0, square / 2.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { height: 200, width: 160 };
    const SPACING: Spacing = Spacing { x: 1.2, y: 1.1 };

    /// The strongest deformation allowed.
    fn strongest(index: u64) -> Elastic {
        Elastic::new((LARGEST * 20.0, 20.0), (SIZE, SPACING), (3, 1, index))
    }

    #[test]
    fn the_strongest_field_has_an_inverse_everywhere() {
        let mut worst = 0.0f64;
        for index in 0..20 {
            let field = strongest(index);
            for i in 0..400 {
                let p = Point { x: f64::from(i % 20) * 9.0 - 8.0, y: f64::from(i / 20) * 11.0 - 9.0 };
                let (moved, [[a, b], [c, d]]) = field.at(p);
                assert!((1.0 + a) * (1.0 + d) - b * c > 0.0, "folded at {p:?}");
                let back = field.inverse(Point { x: p.x + moved.x, y: p.y + moved.y });
                worst = worst.max(back.distance(p).0);
            }
        }
        assert!(worst < 1e-6, "{worst} px");
    }

    #[test]
    fn a_row_is_displaced_as_each_of_its_places() {
        let field = strongest(0);
        for y in [-40.0, 0.0, 33.3, 199.0, 300.0] {
            let places: Vec<Point> =
                (-60..220).map(|x| Point { x: f64::from(x), y: y + 0.01 * f64::from(x) }).collect();
            let mut xs: Vec<f64> = places.iter().map(|p| p.x + 1.0).collect();
            let mut ys: Vec<f64> = places.iter().map(|p| p.y + 1.0).collect();
            field.displace(&mut xs, &mut ys);
            for ((p, x), y) in places.iter().zip(xs).zip(ys) {
                let moved = field.at(*p).0;
                let off = Point { x: x - 1.0 - p.x, y: y - 1.0 - p.y }.distance(moved).0;
                assert!(off < 1e-5, "{p:?}: {off} px");
            }
        }
    }

    #[test]
    fn slopes_are_those_of_the_displacement() {
        let field = strongest(1);
        for (x, y) in [(12.3, 40.1), (80.0, 99.9), (155.5, 3.2)] {
            let at = |x, y| field.at(Point { x, y }).0;
            let (_, slope) = field.at(Point { x, y });
            let (e, w) = (at(x + 1e-5, y), at(x - 1e-5, y));
            let (s, n) = (at(x, y + 1e-5), at(x, y - 1e-5));
            let expected = [[e.x - w.x, s.x - n.x], [e.y - w.y, s.y - n.y]].map(|row| row.map(|v| v / 2e-5));
            assert!(slope.iter().flatten().zip(expected.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }

    #[test]
    fn the_same_patient_is_deformed_at_every_input_size() {
        let half = Size { height: 100, width: 80 };
        let (fine, coarse) = (
            Elastic::new((8.0, 24.0), (SIZE, SPACING), (3, 1, 0)),
            Elastic::new((8.0, 24.0), (half, Spacing { x: 2.4, y: 2.2 }), (3, 1, 0)),
        );
        for (x, y) in [(10.0, 20.0), (79.5, 99.5), (140.0, 180.0)] {
            let p = Point { x, y };
            let (a, b) = (fine.at(p).0, coarse.at(p.rescale(SIZE, half)).0);
            assert!((a.x - 2.0 * b.x).abs() < 1e-4 && (a.y - 2.0 * b.y).abs() < 1e-4, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_place_moves_by_about_a_quarter_of_the_largest_displacement() {
        let (mut squares, mut count) = (0.0, 0.0);
        for index in 0..50 {
            let field = Elastic::new((10.0, 48.0), (SIZE, Spacing { x: 1.0, y: 1.0 }), (0, 0, index));
            for i in 0..100 {
                let moved = field.at(Point { x: f64::from(i % 10) * 16.0 + 8.0, y: f64::from(i / 10) * 20.0 + 10.0 }).0;
                squares += moved.x.powi(2) + moved.y.powi(2);
                count += 2.0;
            }
        }
        // 10 mm / √3, times Σ w² = 0.479 of the spline along each axis.
        let rms: f64 = (squares / count).sqrt();
        assert!((rms - 2.77).abs() < 0.2, "{rms} mm");
    }
}
