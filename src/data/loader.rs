//! Batches of a split, in a fixed order or shuffled and augmented ahead of the training that takes them.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use rand::Rng;
use rayon::prelude::*;

use super::augment::AugmentSpec;
use super::cache::Resized;
use super::resize::{Picture, resize};
use super::{Dataset, Split};
use crate::seed::{self, Stream};
use crate::units::{Point, Size};

/// Threads that make batches ahead, each up to two: the next, and the one after it.
const WORKERS: usize = 2;

/// Some images, ready for a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Grey values in [0, 1], `[B, 1, H, W]`.
    pub images: Vec<f32>,
    /// H and W.
    pub size: Size,
    /// Places in [`Dataset::samples`], one per image.
    pub indices: Vec<usize>,
    /// Per image, one per landmark name, in pixels of the input; `None` where missing or moved off the picture.
    pub landmarks: Vec<Vec<Option<Point>>>,
}

/// A split's images at the network's input size.
#[derive(Debug, Clone)]
pub struct Loader {
    split: Arc<Pictures>,
}

#[derive(Debug)]
struct Pictures {
    size: Size,
    /// Place in the data set, and the picture.
    pictures: Vec<(usize, Picture)>,
}

impl Loader {
    /// Resizes all images of a split, once, in parallel.
    #[must_use]
    pub fn new(dataset: &Dataset, split: Split, input: Size) -> Self {
        let indices = dataset.indices(split);
        let pictures = indices.into_par_iter().map(|i| (i, resize(&dataset.samples[i], input))).collect();
        Self { split: Arc::new(Pictures { size: input, pictures }) }
    }

    /// The same of pictures that are resized already, one for every sample.
    #[must_use]
    pub fn of(resized: &Resized, split: Split, input: Size) -> Self {
        let indices = resized.dataset.indices(split);
        let pictures = indices.into_iter().map(|i| (i, resized.pictures[i].clone())).collect();
        Self { split: Arc::new(Pictures { size: input, pictures }) }
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.split.pictures.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.split.pictures.is_empty()
    }

    /// Un-augmented batches in the data set's order; the last may be smaller.
    pub fn in_order(&self, batch_size: NonZeroUsize) -> impl Iterator<Item = Batch> + '_ {
        let order: Vec<usize> = (0..self.len()).collect();
        let batches: Vec<_> = order.chunks(batch_size.get()).map(<[usize]>::to_vec).collect();
        batches.into_iter().map(|places| {
            self.split.batch(&places, |_, picture, pixels| {
                pixels.copy_from_slice(&picture.pixels);
                picture.landmarks.clone()
            })
        })
    }

    /// One epoch of training: every image once, in an order and with an augmentation that depend on `seed` and
    /// `epoch` alone. Batches are made ahead in threads of their own; the last may be smaller.
    #[must_use]
    pub fn epoch(&self, batch_size: NonZeroUsize, augment: &AugmentSpec, seed: u64, epoch: u64) -> Epoch {
        let order = Arc::new(shuffled(self.len(), seed, epoch));
        let worker = |first: usize| {
            let (split, order, augment) = (Arc::clone(&self.split), Arc::clone(&order), augment.clone());
            let (sender, receiver) = sync_channel(1);
            // Not in rayon's pool: a consumer that waits inside the pool would wait for ever for work queued there.
            let thread = std::thread::spawn(move || {
                for places in order.chunks(batch_size.get()).skip(first).step_by(WORKERS) {
                    let batch = split.batch(places, |index, picture, pixels| {
                        augment.apply(picture, seed, epoch, index as u64, pixels)
                    });
                    if sender.send(batch).is_err() {
                        return;
                    }
                }
            });
            Worker { receiver, thread }
        };
        Epoch { workers: (0..WORKERS).map(worker).collect() }
    }
}

impl Pictures {
    /// `make` writes an image's pixels and returns its landmarks.
    fn batch(&self, places: &[usize], make: impl Fn(usize, &Picture, &mut [f32]) -> Vec<Option<Point>>) -> Batch {
        let mut images = vec![0.0; places.len() * self.size.area()];
        let (mut indices, mut landmarks) = (Vec::new(), Vec::new());
        for (&place, pixels) in places.iter().zip(images.chunks_exact_mut(self.size.area())) {
            let (index, picture) = &self.pictures[place];
            indices.push(*index);
            landmarks.push(make(*index, picture, pixels));
        }
        Batch { images, size: self.size, indices, landmarks }
    }
}

/// 0 … len − 1 in the epoch's order (Fisher–Yates).
fn shuffled(len: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut rng = seed::derive(seed, Stream::Order, epoch, 0);
    let mut order: Vec<usize> = (0..len).collect();
    for last in (1..len).rev() {
        // Drawn as u64, whose draws are the same on every platform.
        order.swap(last, rng.random_range(0..=last as u64) as usize);
    }
    order
}

/// The batches of one epoch of training.
#[derive(Debug)]
pub struct Epoch {
    /// The one that has the next batch in front; each makes every `WORKERS`-th.
    workers: VecDeque<Worker>,
}

#[derive(Debug)]
struct Worker {
    receiver: Receiver<Batch>,
    thread: JoinHandle<()>,
}

impl Iterator for Epoch {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let worker = self.workers.pop_front()?;
        if let Ok(batch) = worker.receiver.recv() {
            self.workers.push_back(worker);
            return Some(batch);
        }
        // The worker is done, and with it all others; one that died must not look like an epoch that ended.
        if let Err(panic) = worker.thread.join() {
            std::panic::resume_unwind(panic);
        }
        self.workers.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::tiny;

    const INPUT: Size = Size { height: 6, width: 8 };

    fn many(count: usize) -> Dataset {
        let mut dataset = tiny();
        let sample = dataset.samples[0].clone();
        dataset.samples.extend((0..count - 2).map(|i| {
            let mut sample = sample.clone();
            sample.image = format!("more-{i}.png");
            sample.pixels[0] = i as u8;
            sample
        }));
        dataset
    }

    fn strong() -> AugmentSpec {
        AugmentSpec { rotation_degrees: 10.0, translate: 0.1, brightness: 0.5, ..AugmentSpec::default() }
    }

    fn size(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).unwrap()
    }

    #[test]
    fn an_epoch_is_a_permutation_that_depends_on_seed_and_epoch() {
        let dataset = many(23);
        let loader = Loader::new(&dataset, Split::Train, INPUT);
        let order = |seed, epoch| -> Vec<usize> {
            loader.epoch(size(5), &strong(), seed, epoch).flat_map(|b| b.indices).collect()
        };
        let mut sorted = order(1, 1);
        sorted.sort_unstable();
        assert_eq!(sorted, dataset.indices(Split::Train));
        assert_eq!(order(1, 1), order(1, 1));
        assert!(order(1, 1) != order(1, 2) && order(1, 1) != order(2, 1) && order(1, 1) != sorted);
        let sizes: Vec<_> = loader.epoch(size(5), &strong(), 1, 1).map(|b| b.landmarks.len()).collect();
        assert_eq!(sizes, [5, 5, 5, 5, 3]);
    }

    #[test]
    fn images_are_the_same_whatever_the_batch_size() {
        let loader = Loader::new(&many(11), Split::Train, INPUT);
        let images = |n| -> Vec<_> {
            loader
                .epoch(size(n), &strong(), 4, 2)
                .flat_map(|b| {
                    let images: Vec<_> = b.images.chunks(INPUT.area()).map(<[f32]>::to_vec).collect();
                    images.into_iter().zip(b.landmarks)
                })
                .collect()
        };
        assert_eq!(images(1), images(4));
    }

    #[test]
    fn every_order_is_equally_likely() {
        let mut counts = [0; 6];
        for epoch in 0..6000 {
            let order = shuffled(3, 0, epoch);
            counts[order[0] * 2 + usize::from(order[1] > order[2])] += 1;
        }
        // 1000 ± 5 standard deviations.
        assert!(counts.iter().all(|n| (856..1144).contains(n)), "{counts:?}");
    }

    #[test]
    fn evaluation_is_in_order_and_unchanged() {
        let dataset = many(7);
        let loader = Loader::new(&dataset, Split::Train, INPUT);
        let batches: Vec<_> = loader.in_order(size(3)).collect();
        let indices: Vec<_> = batches.iter().flat_map(|b| b.indices.clone()).collect();
        assert_eq!(indices, dataset.indices(Split::Train));
        for (i, image) in batches.iter().flat_map(|b| b.images.chunks(INPUT.area())).enumerate() {
            let original = &dataset.samples[indices[i]].pixels;
            assert!(image.iter().zip(original).all(|(v, &o)| (v * 255.0 - f32::from(o)).abs() < 1e-3));
        }
    }

    #[test]
    fn stopping_early_does_not_hang() {
        let loader = Loader::new(&many(50), Split::Train, INPUT);
        drop(loader.epoch(size(1), &strong(), 0, 1));
        assert_eq!(loader.epoch(size(1), &strong(), 0, 1).take(2).count(), 2);
        let mut epoch = loader.epoch(size(60), &strong(), 0, 1);
        assert!(epoch.next().is_some() && epoch.next().is_none() && epoch.next().is_none());
    }
}
