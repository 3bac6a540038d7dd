//! Random numbers of one image in one epoch: always the same numbers, whichever of them are used, so that no setting
//! changes what the others draw.

use rand::{Rng, RngCore};

use super::AugmentSpec;
use super::grey::POINTS;
use sweep_core::seed::{self, Stream};

/// The change of one image in one epoch, before its size is known.
pub(super) struct Draw {
    pub(super) applies: bool,
    pub(super) radians: f64,
    pub(super) translation: [f64; 2],
    pub(super) scale: f64,
    pub(super) brightness: f32,
    pub(super) contrast: f32,
    pub(super) gamma: f32,
    /// Standard deviation, pixels.
    pub(super) blur: f64,
    /// Standard deviation.
    pub(super) noise: f32,
    pub(super) noise_key: u64,
    /// Uniform in [0, 1): for [`super::cutout::Cutout::new`].
    pub(super) cutout: [f64; 4],
    /// Uniform in [0, 1): for [`super::grey::curve`].
    pub(super) curve: [f64; POINTS - 2],
    /// Whether left and right change.
    pub(super) flipped: bool,
}

impl Draw {
    /// Two streams: the first drew all there was when results began to depend on it.
    pub(super) fn new(spec: &AugmentSpec, seed: u64, epoch: u64, index: u64) -> Self {
        let mut rng = seed::derive(seed, Stream::Augment, epoch, index);
        let mut unit = || rng.random_range(0.0..1.0);
        let applies = unit() < spec.probability;
        let mut around = |middle: f64, reach: f64| middle + reach * (2.0 * unit() - 1.0);
        let [low, high] = spec.scale;
        let radians = around(0.0, spec.rotation_degrees).to_radians();
        let translation = [around(0.0, spec.translate), around(0.0, spec.translate)];
        let scale = around(f64::midpoint(low, high), (high - low) / 2.0);
        let (brightness, contrast) = (around(1.0, spec.brightness) as f32, around(1.0, spec.contrast) as f32);

        let mut rng = seed::derive(seed, Stream::AugmentMore, epoch, index);
        let noise_key = rng.next_u64();
        let mut unit = || rng.random_range(0.0..1.0);
        let [low, high] = spec.gamma;
        Self {
            applies,
            radians,
            translation,
            scale,
            brightness,
            contrast,
            gamma: (low * (high / low).powf(unit())) as f32,
            blur: spec.blur * unit(),
            noise: (spec.noise * unit()) as f32,
            noise_key,
            cutout: [(); 4].map(|()| unit()),
            curve: [(); POINTS - 2].map(|()| unit()),
            flipped: unit() < spec.flip,
        }
    }
}
