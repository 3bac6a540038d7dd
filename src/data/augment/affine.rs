//! Mirroring, rotation, magnification and translation of a picture.

use sweep_core::units::{Point, Size, Spacing};

/// `p ↦ centre + M·(p − centre) + shift`, in pixels.
#[derive(Debug, Clone)]
pub(crate) struct Affine {
    pub(crate) centre: Point,
    matrix: [[f64; 2]; 2],
    pub(crate) shift: Point,
}

impl Affine {
    /// By `radians` and by `scale` about the picture's centre, then by `translation` (shares of width and height). M
    /// turns and magnifies in millimetres: pixels → mm → rotate, scale → pixels.
    pub(super) fn new(radians: f64, scale: f64, translation: [f64; 2], size: Size, spacing: Spacing) -> Self {
        let (sin, cos) = radians.sin_cos();
        let aspect = spacing.y / spacing.x;
        Self {
            centre: centre(size),
            matrix: [[cos, -sin * aspect], [sin / aspect, cos]].map(|row| row.map(|v| v * scale)),
            shift: Point { x: translation[0] * size.width as f64, y: translation[1] * size.height as f64 },
        }
    }

    /// The same of the mirrored picture: left and right change first.
    pub(super) fn mirrored(self) -> Self {
        Self { matrix: self.matrix.map(|[along_x, along_y]| [-along_x, along_y]), ..self }
    }

    /// Where a place of the old picture is in the new one.
    pub(super) fn forward(&self, p: Point) -> Point {
        let [along_x, along_y] = self.matrix;
        let (dx, dy) = (p.x - self.centre.x, p.y - self.centre.y);
        Point {
            x: self.centre.x + along_x[0] * dx + along_x[1] * dy + self.shift.x,
            y: self.centre.y + along_y[0] * dx + along_y[1] * dy + self.shift.y,
        }
    }

    /// A place of the new picture was at `centre + inverse·(place − centre − shift)` in the old one.
    pub(crate) fn inverse(&self) -> [[f64; 2]; 2] {
        let [[a, b], [c, d]] = self.matrix;
        let determinant = a * d - b * c;
        [[d / determinant, -b / determinant], [-c / determinant, a / determinant]]
    }
}

/// The middle of a picture.
pub(super) fn centre(size: Size) -> Point {
    Point { x: (size.width as f64 - 1.0) / 2.0, y: (size.height as f64 - 1.0) / 2.0 }
}
