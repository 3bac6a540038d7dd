//! The only source of random generators: every draw is a function of a seed and a named stream.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Purpose of a generator. Streams are independent: a further draw from one changes no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Initial weights; `index` is the parameter's position in the network.
    Weights,
    /// The order of the training images in an epoch.
    Order,
    /// Split of a data set into folds; the seed is the data set's.
    Folds,
    /// Augmentation; `index` is the image's index in the data set.
    Augment,
    /// Augmentations added later, so that older ones draw the same numbers; `index` is the image's index in the data set.
    AugmentMore,
    /// Control points of elastic deformation; `index` is the image's index in the data set.
    Elastic,
    /// Values that dropout sets to zero; `index` is the image's index in the data set.
    Dropout,
    /// Where and how the gradients of a candle module are checked; `index` is the parameter's position in the network.
    GradientCheck,
    /// Positions of a second stage's crops; `index` is the image's index in the data set.
    Crops,
    /// Phantom radiographs; `index` is the subject.
    Phantom,
    /// Resampling in statistics.
    Bootstrap,
    /// Times at which `sweep verify-resume` kills a training.
    Kills,
    /// Points of a search; `epoch` is the round, `index` the point.
    Search,
    /// Choice of trials that are exempt from pruning, to audit it; `index` is derived from the trial's name.
    Audit,
    /// Simulated experiments of the power analysis; `index` is the experiment.
    Power,
    /// Noise of shifted images in an evaluation; `index` is the image's index in the data set.
    Shift,
    /// First centres of clusters of images; `epoch` is the start.
    Clusters,
}

impl Stream {
    /// The name that is hashed. Never change one: results depend on it.
    fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Order => "order",
            Self::Folds => "folds",
            Self::Augment => "augment",
            Self::AugmentMore => "augment more",
            Self::Elastic => "elastic",
            Self::Dropout => "dropout",
            Self::GradientCheck => "gradient check",
            Self::Crops => "crops",
            Self::Phantom => "phantom",
            Self::Bootstrap => "bootstrap",
            Self::Kills => "kills",
            Self::Search => "search",
            Self::Audit => "audit",
            Self::Power => "power",
            Self::Shift => "shift",
            Self::Clusters => "clusters",
        }
    }
}

/// Creates a generator that depends on its arguments alone, not on threads, platforms or earlier draws.
#[must_use]
pub fn derive(seed: u64, stream: Stream, epoch: u64, index: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_derive_key("landmark-sweep 2026 random stream");
    hasher.update(stream.name().as_bytes());
    for number in [seed, epoch, index] {
        hasher.update(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// Indices 0 … len − 1 in a random order (Fisher–Yates).
#[must_use]
pub fn shuffled(len: usize, seed: u64, stream: Stream, epoch: u64) -> Vec<usize> {
    let mut rng = derive(seed, stream, epoch, 0);
    let mut order: Vec<usize> = (0..len).collect();
    for last in (1..len).rev() {
        // Drawn as u64, which gives the same numbers on every platform.
        order.swap(last, rng.random_range(0..=last as u64) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn every_argument_matters_and_repeats_exactly() {
        let first = |seed, stream, epoch, index| derive(seed, stream, epoch, index).next_u64();
        let base = first(1, Stream::Order, 2, 3);
        assert_eq!(base, first(1, Stream::Order, 2, 3));
        for other in [
            first(0, Stream::Order, 2, 3),
            first(1, Stream::Augment, 2, 3),
            first(1, Stream::Order, 0, 3),
            first(1, Stream::Order, 2, 0),
            first(1, Stream::Order, 3, 2),
        ] {
            assert_ne!(base, other);
        }
    }
}
