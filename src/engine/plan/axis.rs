//! Enlarging along one axis: the inputs of each output, and the outputs that each input contributes to.

use sweep_graph::Interpolation;

/// An output's two inputs along an axis: `(1 − fraction)·low + fraction·high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tap {
    /// Index of the input at, or before, its position.
    pub(crate) low: usize,
    /// Index of the next input.
    pub(crate) high: usize,
    /// Weight of the second input.
    pub(crate) fraction: f32,
}

/// Enlargement of one axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    /// For every output, its inputs.
    pub(crate) taps: Vec<Tap>,
    /// For every input, the outputs that it contributes to, with weights.
    pub(crate) readers: Vec<Vec<(usize, f32)>>,
}

impl Axis {
    /// Enlarges from `input` to `output` pixels.
    pub(crate) fn new(interpolation: Interpolation, input: usize, output: usize) -> Self {
        let scale = if output > 1 { (input - 1) as f32 / (output - 1) as f32 } else { 0.0 };
        let taps: Vec<Tap> = (0..output)
            .map(|i| match interpolation {
                Interpolation::Nearest => {
                    let low = i * input / output;
                    Tap { low, high: low, fraction: 0.0 }
                }
                Interpolation::Bilinear => {
                    let position = i as f32 * scale;
                    let low = (position as usize).min(input - 1);
                    Tap { low, high: (low + 1).min(input - 1), fraction: position - low as f32 }
                }
            })
            .collect();
        let mut readers = vec![Vec::new(); input];
        for (output, tap) in taps.iter().enumerate() {
            readers[tap.low].push((output, 1.0 - tap.fraction));
            if tap.fraction > 0.0 {
                readers[tap.high].push((output, tap.fraction));
            }
        }
        Self { taps, readers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bilinear_maps_corners_to_corners_and_nearest_floors() {
        let bilinear = Axis::new(Interpolation::Bilinear, 3, 5);
        let positions: Vec<f32> = bilinear.taps.iter().map(|t| t.low as f32 + t.fraction).collect();
        assert_eq!(positions, [0.0, 0.5, 1.0, 1.5, 2.0]);
        let nearest = Axis::new(Interpolation::Nearest, 12, 25);
        assert!(nearest.taps.iter().enumerate().all(|(i, t)| t.low == i * 12 / 25));
        assert_eq!(Axis::new(Interpolation::Bilinear, 4, 1).taps[0], Tap { low: 0, high: 1, fraction: 0.0 });
    }
}
