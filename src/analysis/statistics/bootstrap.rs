//! Resampling of seeds and images.

use rand::Rng;
use rayon::prelude::*;

use sweep_core::seed::{self, Stream};

/// Replicates of a statistic of seeds × images, in a fixed order whatever the number of threads.
///
/// Every seed is evaluated on the same images, so the two are crossed: seeds are drawn with replacement, then images, one
/// draw of images for all seeds (Owen 2007, "The pigeonhole bootstrap"). `statistic` receives how often each was drawn. A
/// level of size 1 is not resampled.
pub fn resample(
    seeds: usize,
    images: usize,
    resamples: usize,
    key: u64,
    statistic: impl Fn(&[u32], &[u32]) -> f64 + Sync,
) -> Vec<f64> {
    let buffers = || (vec![0; seeds], vec![0; images]);
    let replicate = |(of_seeds, of_images): &mut (Vec<u32>, Vec<u32>), index: usize| {
        let mut rng = seed::derive(key, Stream::Bootstrap, 0, index as u64);
        for drawn in [&mut *of_seeds, &mut *of_images] {
            drawn.fill(0);
            for _ in 0..drawn.len() {
                let at = rng.random_range(0..drawn.len());
                drawn[at] += 1;
            }
        }
        statistic(of_seeds, of_images)
    };
    (0..resamples).into_par_iter().map_init(buffers, replicate).collect()
}
