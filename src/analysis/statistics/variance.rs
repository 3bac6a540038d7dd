//! Variance components of single landmark errors: seeds, images and landmarks.

use serde::Serialize;

/// Variance components of seeds × images × landmarks; their sum is the variance of a single error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Components {
    /// Between trainings.
    pub seed: f64,
    /// Between images.
    pub image: f64,
    /// Between landmarks.
    pub landmark: f64,
    /// Interaction: different images are hard for different trainings.
    pub seed_image: f64,
    /// Interaction: different landmarks are hard for different trainings.
    pub seed_landmark: f64,
    /// Interaction: certain landmarks are hard on certain images, for every training.
    pub image_landmark: f64,
    /// Residual of single landmarks on single images in single trainings.
    pub rest: f64,
}

impl Components {
    /// Name of each component and its share of the total variance.
    #[must_use]
    pub fn shares(&self) -> [(&'static str, f64); 7] {
        let parts = [
            ("seed", self.seed),
            ("image", self.image),
            ("landmark", self.landmark),
            ("seed × image", self.seed_image),
            ("seed × landmark", self.seed_landmark),
            ("image × landmark", self.image_landmark),
            ("rest", self.rest),
        ];
        let total: f64 = parts.iter().map(|(_, v)| v).sum();
        parts.map(|(name, v)| (name, v / total))
    }
}

/// Components of a complete table `[seeds, images, landmarks]` by the analysis of variance with random effects: mean
/// squares are set equal to their expectations, negative components to zero. `None` with fewer than two of any.
#[must_use]
pub fn components(errors: &[f64], seeds: usize, images: usize, landmarks: usize) -> Option<Components> {
    if seeds < 2 || images < 2 || landmarks < 2 || errors.len() != seeds * images * landmarks {
        return None;
    }
    let sizes = [seeds, images, landmarks];
    let position = |cell: usize| [cell / (images * landmarks), cell / landmarks % images, cell % landmarks];
    // Means over all cells that agree on the kept factors; sums of squares follow by inclusion and exclusion.
    let squares = |retained: [bool; 3]| -> f64 {
        let index = |cell: usize| {
            let p = position(cell);
            (0..3).filter(|f| retained[*f]).fold(0, |index, f| index * sizes[f] + p[f])
        };
        let cells: usize = (0..3).filter(|f| retained[*f]).map(|f| sizes[f]).product();
        let mut sums = vec![0.0; cells];
        errors.iter().enumerate().for_each(|(cell, e)| sums[index(cell)] += e);
        let each = (errors.len() / cells) as f64;
        sums.iter().map(|s| s * s / each).sum()
    };
    let none = squares([false; 3]);
    let (s, i, l) = (squares([true, false, false]), squares([false, true, false]), squares([false, false, true]));
    let (si, sl, il) = (squares([true, true, false]), squares([true, false, true]), squares([false, true, true]));
    let all: f64 = errors.iter().map(|e| e * e).sum();
    let [a, b, c] = sizes.map(|n| n as f64);
    let (ms, mi, ml) = ((s - none) / (a - 1.0), (i - none) / (b - 1.0), (l - none) / (c - 1.0));
    let msi = (si - s - i + none) / ((a - 1.0) * (b - 1.0));
    let msl = (sl - s - l + none) / ((a - 1.0) * (c - 1.0));
    let mil = (il - i - l + none) / ((b - 1.0) * (c - 1.0));
    let rest = (all - si - sl - il + s + i + l - none) / ((a - 1.0) * (b - 1.0) * (c - 1.0));
    let part = |v: f64| v.max(0.0);
    Some(Components {
        seed: part((ms - msi - msl + rest) / (b * c)),
        image: part((mi - msi - mil + rest) / (a * c)),
        landmark: part((ml - msl - mil + rest) / (a * b)),
        seed_image: part((msi - rest) / c),
        seed_landmark: part((msl - rest) / b),
        image_landmark: part((mil - rest) / a),
        rest: part(rest),
    })
}
