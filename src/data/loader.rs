//! Batches of a split, in a fixed order or shuffled and augmented ahead of the training that takes them.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use sweep_graph::tensors::TensorOperation as _;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::augment::AugmentSpec;
use super::augment::Change;
use super::cache::Resized;
use super::gpu::Resident;
use super::resize::{Picture, resize};
use super::{Dataset, Split, View};
use sweep_core::error::Result;
use sweep_core::seed::{self, Stream};
use sweep_core::units::{Point, Size};

/// Threads that make batches ahead, each up to two: the next, and the one after it.
const WORKERS: usize = 2;

/// Grey values in [0, 1], `[B, 1, H, W]`.
#[derive(Debug, Clone)]
pub enum Images {
    /// On the processor.
    Numbers(Vec<f32>),
    /// On the GPU that the loader's pictures are on.
    Tensor(Tensor),
}

impl Images {
    /// The numbers, where they are on the processor; else none.
    #[must_use]
    pub fn numbers(&self) -> &[f32] {
        match self {
            Self::Numbers(numbers) => numbers,
            Self::Tensor(_) => &[],
        }
    }
}

/// Some images, ready for a network.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The images.
    pub images: Images,
    /// H and W.
    pub size: Size,
    /// Places in [`Dataset::samples`], one per image.
    pub indices: Vec<usize>,
    /// Per image, one per landmark name, in pixels of the input; `None` where missing or moved off the picture.
    pub landmarks: Vec<Vec<Option<Point>>>,
    /// The same images from finer pictures, under the same changes; none where the model reads none.
    pub views: Vec<View>,
}

impl Batch {
    /// The images as a tensor `[B, 1, H, W]`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        let shape = (self.indices.len(), 1, self.size.height, self.size.width);
        Ok(match &self.images {
            Images::Numbers(numbers) => Tensor::from_slice(numbers, shape, device).computed()?,
            Images::Tensor(images) => images.clone(),
        })
    }
}

/// A split's images at the network's input size.
#[derive(Debug, Clone)]
pub struct Loader {
    split: Arc<Pictures>,
    /// The same pictures on a GPU, where batches are made on one.
    resident: Option<Arc<Resident>>,
}

#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "they are what it has")]
struct Pictures {
    size: Size,
    /// Place in the data set, and the picture.
    pictures: Vec<(usize, Picture)>,
    /// Finer pictures of the same images, or none.
    finer: Vec<Picture>,
}

impl Loader {
    /// Resizes all images of a split, once, in parallel.
    #[must_use]
    pub fn new(dataset: &Dataset, split: Split, input: Size) -> Self {
        let indices = dataset.indices(split);
        let pictures = indices.into_par_iter().map(|i| (i, resize(&dataset.samples[i], input))).collect();
        Self::with(Pictures { size: input, pictures, finer: Vec::new() })
    }

    /// The same of pictures that are resized already, one for every sample.
    #[must_use]
    pub fn of(resized: &Resized, split: Split, input: Size) -> Self {
        let indices = resized.dataset.indices(split);
        let pictures = indices.into_iter().map(|i| (i, resized.pictures[i].clone())).collect();
        Self::with(Pictures { size: input, pictures, finer: Vec::new() })
    }

    /// The same with views of finer pictures, of which there is one for every sample.
    #[must_use]
    pub fn with_views(&self, finer: &[Picture]) -> Self {
        let Pictures { size, pictures, .. } = &*self.split;
        let finer = pictures.iter().map(|(index, _)| finer[*index].clone()).collect();
        Self::with(Pictures { size: *size, pictures: pictures.clone(), finer })
    }

    fn with(pictures: Pictures) -> Self {
        Self { split: Arc::new(pictures), resident: None }
    }

    /// The same with batches made on a device. A GPU that has no room for all pictures gets batch after batch from the
    /// processor.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn on(&self, device: &Device) -> Result<Self> {
        if device.is_cuda() {
            return self.on_gpu(sweep_graph::gpu::of(device)?);
        }
        let _ = device;
        Ok(self.clone())
    }

    pub fn on_gpu(&self, gpu: Arc<dyn sweep_graph::gpu::Gpu>) -> Result<Self> {
        let pictures = self.split.pictures.iter().map(|(_, picture)| &picture.pixels[..]);
        let resident = Resident::new(gpu, self.split.size, pictures)?.map(Arc::new);
        Ok(Self { split: Arc::clone(&self.split), resident })
    }

    /// Height and width of all images.
    #[must_use]
    pub fn size(&self) -> Size {
        self.split.size
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
    ///
    /// # Errors
    /// When a GPU that makes batches fails.
    pub fn in_order(&self, batch_size: NonZeroUsize) -> impl Iterator<Item = Result<Batch>> + '_ {
        let order: Vec<usize> = (0..self.len()).collect();
        let batches: Vec<_> = order.chunks(batch_size.get()).map(<[usize]>::to_vec).collect();
        batches.into_iter().map(|places| {
            if let Some(resident) = &self.resident {
                let mut batch = self.split.batch_on(resident, &places, |_, _| None)?;
                batch.views = self.split.views(&places, None);
                return Ok(batch);
            }
            let mut batch = self.split.batch(&places, |_, picture, pixels| {
                pixels.copy_from_slice(&picture.pixels);
                picture.landmarks.clone()
            });
            batch.views = self.split.views(&places, None);
            Ok(batch)
        })
    }

    /// The landmarks of every image, in the data set's order.
    pub fn landmarks(&self) -> impl Iterator<Item = &[Option<Point>]> {
        self.split.pictures.iter().map(|(_, picture)| &picture.landmarks[..])
    }

    /// One epoch of training: every image once, in an order and with an augmentation that depend on `seed` and
    /// `epoch` alone. Batches are made ahead, in threads of their own or on the GPU; the last may be smaller.
    #[must_use]
    pub fn epoch(&self, batch_size: NonZeroUsize, augment: &AugmentSpec, seed: u64, epoch: u64) -> Epoch {
        let order = Arc::new(seed::shuffled(self.len(), seed, Stream::Order, epoch));
        if let Some(resident) = &self.resident {
            let (split, resident, augment) = (Arc::clone(&self.split), Arc::clone(resident), augment.clone());
            let batches: Vec<Vec<usize>> = order.chunks(batch_size.get()).map(<[usize]>::to_vec).collect();
            let make = move |places: Vec<usize>| {
                let change = |index, picture: &Picture| augment.change(picture, seed, epoch, index as u64);
                let mut batch = split.batch_on(&resident, &places, change)?;
                batch.views = split.views(&places, Some((&augment, seed, epoch)));
                Ok(batch)
            };
            return Epoch::OnGpu(Box::new(batches.into_iter().map(make)));
        }
        let worker = |first: usize| {
            let (split, order, augment) = (Arc::clone(&self.split), Arc::clone(&order), augment.clone());
            let (sender, receiver) = sync_channel(1);
            // Not in rayon's pool: a consumer that waits inside the pool would wait for ever for work queued there.
            let thread = std::thread::spawn(move || {
                for places in order.chunks(batch_size.get()).skip(first).step_by(WORKERS) {
                    let mut batch = split.batch(places, |index, picture, pixels| {
                        augment.apply(picture, seed, epoch, index as u64, pixels)
                    });
                    batch.views = split.views(places, Some((&augment, seed, epoch)));
                    if sender.send(batch).is_err() {
                        return;
                    }
                }
            });
            Worker { receiver, thread }
        };
        Epoch::Ahead((0..WORKERS).map(worker).collect())
    }
}

impl Pictures {
    /// Of the finer pictures, if there are any, changed as in this epoch of training.
    fn views(&self, places: &[usize], epoch: Option<(&AugmentSpec, u64, u64)>) -> Vec<View> {
        if self.finer.is_empty() {
            return Vec::new();
        }
        let view = |&place: &usize| {
            let ((index, picture), finer) = (&self.pictures[place], self.finer[place].clone());
            match epoch {
                Some((augment, seed, epoch)) => View::augmented(augment, picture, finer, seed, epoch, *index as u64),
                None => View::plain(finer),
            }
        };
        places.iter().map(view).collect()
    }

    /// `make` writes an image's pixels and returns its landmarks.
    fn batch(&self, places: &[usize], make: impl Fn(usize, &Picture, &mut [f32]) -> Vec<Option<Point>>) -> Batch {
        let mut images = vec![0.0; places.len() * self.size.area()];
        let (mut indices, mut landmarks) = (Vec::new(), Vec::new());
        for (&place, pixels) in places.iter().zip(images.chunks_exact_mut(self.size.area())) {
            let (index, picture) = &self.pictures[place];
            indices.push(*index);
            landmarks.push(make(*index, picture, pixels));
        }
        Batch { images: Images::Numbers(images), size: self.size, indices, landmarks, views: Vec::new() }
    }

    /// The same on a GPU; `change` says what becomes of an image.
    fn batch_on(
        &self,
        resident: &Resident,
        places: &[usize],
        change: impl Fn(usize, &Picture) -> Option<Change>,
    ) -> Result<Batch> {
        let (mut changes, mut indices, mut landmarks) = (Vec::new(), Vec::new(), Vec::new());
        for &place in places {
            let (index, picture) = &self.pictures[place];
            let change = change(*index, picture);
            indices.push(*index);
            landmarks.push(change.as_ref().map_or_else(|| picture.landmarks.clone(), |c| c.landmarks(picture)));
            changes.push((place, change));
        }
        let images = Images::Tensor(resident.batch(&changes)?);
        Ok(Batch { images, size: self.size, indices, landmarks, views: Vec::new() })
    }
}

/// The batches of one epoch of training.
pub enum Epoch {
    /// Made ahead; in front stands the worker that has the next batch, each makes every `WORKERS`-th.
    Ahead(VecDeque<Worker>),
    /// Made on a GPU, which does so while the processor goes on.
    OnGpu(Box<dyn Iterator<Item = Result<Batch>> + Send>),
}

impl std::fmt::Debug for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Ahead(_)) { "Ahead" } else { "OnGpu" })
    }
}

/// Makes batches ahead.
#[derive(Debug)]
pub struct Worker {
    receiver: Receiver<Batch>,
    thread: JoinHandle<()>,
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let workers = match self {
            Self::Ahead(workers) => workers,
            Self::OnGpu(batches) => return batches.next(),
        };
        let worker = workers.pop_front()?;
        if let Ok(batch) = worker.receiver.recv() {
            workers.push_back(worker);
            return Some(Ok(batch));
        }
        // The worker is done, and with it all others; one that died must not look like an epoch that ended.
        if let Err(panic) = worker.thread.join() {
            std::panic::resume_unwind(panic);
        }
        workers.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::tests::tiny;

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
            loader.epoch(size(5), &strong(), seed, epoch).flat_map(|b| b.unwrap().indices).collect()
        };
        let mut sorted = order(1, 1);
        sorted.sort_unstable();
        assert_eq!(sorted, dataset.indices(Split::Train));
        assert_eq!(order(1, 1), order(1, 1));
        assert!(order(1, 1) != order(1, 2) && order(1, 1) != order(2, 1) && order(1, 1) != sorted);
        let sizes: Vec<_> = loader.epoch(size(5), &strong(), 1, 1).map(|b| b.unwrap().landmarks.len()).collect();
        assert_eq!(sizes, [5, 5, 5, 5, 3]);
    }

    #[test]
    fn images_are_the_same_whatever_the_batch_size() {
        let loader = Loader::new(&many(11), Split::Train, INPUT);
        let images = |n| -> Vec<_> {
            loader
                .epoch(size(n), &strong(), 4, 2)
                .flat_map(|b| {
                    let b = b.unwrap();
                    let images: Vec<_> = b.images.numbers().chunks(INPUT.area()).map(<[f32]>::to_vec).collect();
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
            let order = seed::shuffled(3, 0, Stream::Order, epoch);
            counts[order[0] * 2 + usize::from(order[1] > order[2])] += 1;
        }
        // 1000 ± 5 standard deviations.
        assert!(counts.iter().all(|n| (856..1144).contains(n)), "{counts:?}");
    }

    #[test]
    fn evaluation_is_in_order_and_unchanged() {
        let dataset = many(7);
        let loader = Loader::new(&dataset, Split::Train, INPUT);
        let batches: Vec<_> = loader.in_order(size(3)).map(std::result::Result::unwrap).collect();
        let indices: Vec<_> = batches.iter().flat_map(|b| b.indices.clone()).collect();
        assert_eq!(indices, dataset.indices(Split::Train));
        for (i, image) in batches.iter().flat_map(|b| b.images.numbers().chunks(INPUT.area())).enumerate() {
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

    #[test]
    fn batches_on_a_gpu_are_the_same() {
        for place in sweep_emulator::gpus() {
            let here = Loader::new(&many(11), Split::Train, INPUT);
            let there = here.on_gpu(Arc::clone(&place.gpu)).unwrap();
            let numbers = |batch: &Batch| match &batch.images {
                Images::Numbers(numbers) => numbers.clone(),
                Images::Tensor(tensor) => tensor.flatten_all().unwrap().to_vec1().unwrap(),
            };
            let compare = |a: Result<Batch>, b: Result<Batch>| {
                let (a, b) = (a.unwrap(), b.unwrap());
                assert!(a.indices == b.indices && a.landmarks == b.landmarks && matches!(b.images, Images::Tensor(_)));
                let worst = numbers(&a).iter().zip(numbers(&b)).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(worst < 1e-5, "{}: {worst}", place.name);
            };
            let all = AugmentSpec {
                gamma: [0.5, 2.0],
                elastic_mm: 1.0,
                elastic_grid_mm: 4.0,
                blur: 3.0,
                noise: 0.1,
                cutout: 0.4,
                ..strong()
            };
            for augment in [strong(), all] {
                let (epoch, on_gpu) = [&here, &there].map(|loader| loader.epoch(size(4), &augment, 4, 2)).into();
                epoch.zip(on_gpu).for_each(|(a, b)| compare(a, b));
            }
            here.in_order(size(4)).zip(there.in_order(size(4))).for_each(|(a, b)| compare(a, b));
            assert_eq!(there.epoch(size(4), &strong(), 4, 2).count(), 3);
        }
    }
}
