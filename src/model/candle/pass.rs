//! One run of a module: in training or not, and its random numbers.

use std::cell::RefCell;

use candle_core::{Device, Result, Tensor, bail};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use sweep_core::seed::{self, Stream};

/// What the random numbers of a training pass depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draws {
    /// The trial's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
    /// The images' indices in the data set; the batch holds as many pictures, or a multiple of them.
    pub images: Vec<usize>,
}

/// One run of a module.
#[derive(Debug)]
pub struct Pass {
    is_training: bool,
    /// A generator per image.
    generators: RefCell<Vec<ChaCha8Rng>>,
}

impl Pass {
    /// A pass of an evaluation: nothing is random.
    #[must_use]
    pub fn evaluation() -> Self {
        Self { is_training: false, generators: RefCell::new(Vec::new()) }
    }

    /// A pass of training.
    #[must_use]
    pub fn training(draws: &Draws) -> Self {
        let of_image = |image: &usize| seed::derive(draws.seed, Stream::Dropout, draws.epoch, *image as u64);
        Self { is_training: true, generators: RefCell::new(draws.images.iter().map(of_image).collect()) }
    }

    /// Whether this pass is one of training, as `ModuleT::forward_t` of candle asks.
    #[must_use]
    pub fn is_training(&self) -> bool {
        self.is_training
    }

    /// Dropout (Srivastava et al. 2014): in training, every value of `[B, …]` becomes zero with this probability, and the
    /// others are divided by 1 − `probability`. Which do depends on the trial's seed, the epoch and each image alone, while
    /// `candle_nn::Dropout` draws numbers that no seed determines.
    ///
    /// # Errors
    /// When the probability is not from 0 to below 1, or the tensor's first dimension is not that of the images.
    pub fn dropout(&self, values: &Tensor, probability: f64) -> Result<Tensor> {
        if !(0.0..1.0).contains(&probability) {
            bail!("dropout with a probability of {probability}, which is not from 0 to below 1");
        }
        let mut generators = self.generators.borrow_mut();
        if !self.is_training || probability <= 0.0 {
            return Ok(values.clone());
        }
        let (rows, images) = (values.dim(0)?, generators.len());
        if images == 0 || rows == 0 || !rows.is_multiple_of(images) {
            bail!("dropout of {rows} rows of values in a batch of {images} images");
        }
        let kept = (1.0 / (1.0 - probability)) as f32;
        let per_image = values.elem_count() / images;
        let mut mask = Vec::with_capacity(values.elem_count());
        for generator in generators.iter_mut() {
            mask.extend((0..per_image).map(|_| if generator.random::<f64>() < probability { 0.0 } else { kept }));
        }
        let mask = Tensor::from_vec(mask, values.shape(), &Device::Cpu)?;
        values * mask.to_dtype(values.dtype())?.to_device(values.device())?
    }
}
