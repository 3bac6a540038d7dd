//! Sub-pixel positions from the values around a map's peak.

use super::MapKind;
use sweep_core::units::{Point, Size};

/// The values around a map's peak, `side` × `side` row by row; not numbers beyond the border.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'a> {
    values: &'a [f32],
    side: usize,
    maps: MapKind,
}

impl<'a> Window<'a> {
    /// A window of values from [`copy`], of a map of this kind.
    pub(super) fn new(values: &'a [f32], reach: usize, maps: MapKind) -> Self {
        Self { values, side: 2 * reach + 1, maps }
    }

    fn reach(self) -> usize {
        self.side / 2
    }

    /// The value so far right of and below the peak.
    fn at(self, right: isize, below: isize) -> f32 {
        let place = |offset: isize| self.reach().wrapping_add_signed(offset);
        self.values[place(below) * self.side + place(right)]
    }

    fn peak(self) -> f32 {
        self.at(0, 0)
    }

    /// Height of a value as a share of the peak's; 0 of what is no number.
    fn share(self, value: f32) -> f64 {
        let share = match self.maps {
            MapKind::Logits => f64::from(value - self.peak()).exp(),
            MapKind::Heatmap | MapKind::Scaled { .. } | MapKind::Sigmoid => {
                self.maps.height(value) / self.maps.height(self.peak())
            }
        };
        if share.is_nan() { 0.0 } else { share }
    }

    /// Whether heights are shares of the peak's at all: of logits they always are.
    fn has_height(self) -> bool {
        self.maps == MapKind::Logits || self.maps.height(self.peak()) > 0.0
    }

    /// From the peak to the top, per axis and within ±½, of the parabola through the logarithms of three values.
    pub(super) fn vertex(self) -> Point {
        let shift = |before: f32, after: f32| {
            let [before, here, after] = [before, self.peak(), after].map(|v| self.maps.logarithm(v));
            let curvature = before - 2.0 * here + after;
            let shift = (before - after) / (2.0 * curvature);
            if curvature < 0.0 && shift.is_finite() { shift.clamp(-0.5, 0.5) } else { 0.0 }
        };
        Point { x: shift(self.at(-1, 0), self.at(1, 0)), y: shift(self.at(0, -1), self.at(0, 1)) }
    }

    /// From the peak to the mean position of the window's pixels, weighted by a softmax of `beta` times the logits, or
    /// times the heights as shares of the peak's. At a border the window is narrower, as far on both sides.
    pub(super) fn expectation(self, beta: f64) -> Point {
        if !self.has_height() {
            return Point { x: 0.0, y: 0.0 };
        }
        let inside = |step: &dyn Fn(isize) -> [f32; 2]| {
            let is_inside = |d: &usize| !step(d.cast_signed()).iter().any(|v| v.is_nan());
            (1..=self.reach()).take_while(is_inside).count().cast_signed()
        };
        let across = inside(&|d| [self.at(-d, 0), self.at(d, 0)]);
        let down = inside(&|d| [self.at(0, -d), self.at(0, d)]);
        let weight = |value: f32| {
            let exponent = match self.maps {
                MapKind::Logits => f64::from(value - self.peak()),
                MapKind::Heatmap | MapKind::Scaled { .. } | MapKind::Sigmoid => self.share(value) - 1.0,
            };
            let weight = (beta * exponent).exp();
            if value.is_nan() || weight.is_nan() { 0.0 } else { weight }
        };
        let (mut sum, mut x, mut y) = (0.0, 0.0, 0.0);
        for below in -down..=down {
            for right in -across..=across {
                let weight = weight(self.at(right, below));
                sum += weight;
                x += weight * right as f64;
                y += weight * below as f64;
            }
        }
        Point { x: x / sum, y: y / sum }
    }

    /// From the peak to the top of the quadric through the logarithms of the heights blurred by a Gaussian: a step of
    /// Newton's from the peak, `−H⁻¹·∇`, by central differences (Zhang et al. 2020, DARK, with its differences). None
    /// nearer than two pixels to the border, where the blurred map is not concave, or further than those differences
    /// reach.
    pub(super) fn dark(self, sigma: f64) -> Point {
        const REACH: isize = 2;
        let nowhere = Point { x: 0.0, y: 0.0 };
        let ends = [self.at(-REACH, 0), self.at(REACH, 0), self.at(0, -REACH), self.at(0, REACH)];
        if !self.has_height() || ends.iter().any(|v| v.is_nan()) {
            return nowhere;
        }
        let kernel = kernel(sigma);
        let (blur, reach) = (kernel.len().cast_signed() / 2, self.reach().cast_signed());
        let weighted = |value: &dyn Fn(isize) -> f64| (-blur..=blur).zip(&kernel).map(|(d, w)| w * value(d)).sum();
        // Rows first, of the columns that are looked at.
        let rows: Vec<[f64; 5]> = (-reach..=reach)
            .map(|y| std::array::from_fn(|x| weighted(&|d| self.share(self.at(x.cast_signed() - REACH + d, y)))))
            .collect();
        let logarithm = |x: isize, y: isize| -> f64 {
            let place = |d: isize| (reach + y + d).cast_unsigned();
            let blurred: f64 = weighted(&|d| rows[place(d)][(x + REACH).cast_unsigned()]);
            blurred.max(1e-10).ln()
        };
        let here = logarithm(0, 0);
        let [dx, dy] =
            [logarithm(1, 0) - logarithm(-1, 0), logarithm(0, 1) - logarithm(0, -1)].map(|difference| 0.5 * difference);
        let [dxx, dyy] = [logarithm(2, 0) + logarithm(-2, 0), logarithm(0, 2) + logarithm(0, -2)]
            .map(|sum| 0.25 * (sum - 2.0 * here));
        let dxy = 0.25 * (logarithm(1, 1) - logarithm(1, -1) - logarithm(-1, 1) + logarithm(-1, -1));
        let determinant = dxx * dyy - dxy * dxy;
        let (x, y) = ((dxy * dy - dyy * dx) / determinant, (dxy * dx - dxx * dy) / determinant);
        let concave = dxx < 0.0 && determinant > 0.0;
        let near = x.abs().max(y.abs()) <= REACH as f64;
        if concave && near { Point { x, y } } else { nowhere }
    }

    /// Probability in the window, of logits whose `Σ exp(v − peak)` is this.
    pub(super) fn mass(self, sum: f64) -> f64 {
        let mass = |v: &f32| f64::from((v - self.peak()).exp());
        self.values.iter().map(mass).filter(|m| !m.is_nan()).sum::<f64>() / sum
    }

    /// The middle of the window, of a smaller reach, copied.
    pub(super) fn middle(self, reach: usize) -> Vec<f32> {
        let reach = reach.min(self.reach()).cast_signed();
        (-reach..=reach).flat_map(|y| (-reach..=reach).map(move |x| self.at(x, y))).collect()
    }
}

/// How far the values go that DARK needs: its blur, around the differences.
pub(super) fn reach_of_dark(sigma: f64) -> usize {
    kernel(sigma).len() / 2 + 2
}

/// A Gaussian to 2.5 σ, which sums to 1: at 2 pixels the published 11.
fn kernel(sigma: f64) -> Vec<f64> {
    let reach = (2.5 * sigma).ceil() as i32;
    let weights: Vec<f64> = (-reach..=reach).map(|d| (-f64::from(d * d) / (2.0 * sigma * sigma)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

/// The values around a place of a map.
pub(super) fn copy(map: &[f32], size: Size, place: usize, reach: usize) -> Vec<f32> {
    let (x, y) = (place % size.width, place / size.width);
    let side = 2 * reach + 1;
    let mut values = vec![f32::NAN; side * side];
    let columns = x.saturating_sub(reach)..(x + reach + 1).min(size.width);
    for row in y.saturating_sub(reach)..(y + reach + 1).min(size.height) {
        let start = (row + reach - y) * side + columns.start + reach - x;
        values[start..start + columns.len()].copy_from_slice(&map[row * size.width..][columns.clone()]);
    }
    values
}
