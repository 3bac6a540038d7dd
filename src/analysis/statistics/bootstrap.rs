//! Resampling of seeds and images.

use std::sync::{Arc, Mutex, PoisonError};

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
    let shape = Shape { seeds, images, resamples, key };
    let of_sample = |drawn: &[u32]| statistic(&drawn[..seeds], &drawn[seeds..]);
    if shape.row() == 0 || shape.row() * resamples > LARGEST {
        let of_index = |row: &mut Vec<u32>, index| {
            shape.draw(index, row);
            of_sample(row)
        };
        return (0..resamples).into_par_iter().map_init(|| vec![0; shape.row()], of_index).collect();
    }
    samples(shape).par_chunks_exact(shape.row()).with_min_len(64).map(of_sample).collect()
}

/// What decides the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    seeds: usize,
    images: usize,
    resamples: usize,
    key: u64,
}

impl Shape {
    /// Length of a sample.
    fn row(self) -> usize {
        self.seeds + self.images
    }

    /// How often each seed, then each image, is drawn in the sample of this index.
    fn draw(self, index: usize, row: &mut [u32]) {
        let mut rng = seed::derive(self.key, Stream::Bootstrap, 0, index as u64);
        row.fill(0);
        let (seeds, images) = row.split_at_mut(self.seeds);
        for drawn in [seeds, images] {
            for _ in 0..drawn.len() {
                let at = rng.random_range(0..drawn.len());
                drawn[at] += 1;
            }
        }
    }
}

/// Samples of the last few shapes, a row each: a report has thousands of intervals on the same images, and drawing takes longer
/// than the means.
static LATEST: Mutex<Vec<(Shape, Arc<[u32]>)>> = Mutex::new(Vec::new());
/// Number of shapes whose samples are kept.
const KEPT: usize = 8;
/// Largest samples that are kept, in numbers of four bytes.
const LARGEST: usize = 4 << 20;

/// All samples of a shape, drawn or kept.
fn samples(shape: Shape) -> Arc<[u32]> {
    let latest = || LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, samples)) = latest().iter().find(|(of, _)| *of == shape) {
        return Arc::clone(samples);
    }
    let mut samples = vec![0; shape.resamples * shape.row()];
    samples.par_chunks_exact_mut(shape.row()).enumerate().for_each(|(index, row)| shape.draw(index, row));
    let samples: Arc<[u32]> = samples.into();
    let mut latest = latest();
    latest.truncate(KEPT - 1);
    latest.insert(0, (shape, Arc::clone(&samples)));
    samples
}
