//! Batches of a split, in a fixed order or shuffled and augmented ahead of the training that takes them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use sweep_core::error::Result;
use sweep_core::seed::{self, Stream};
use sweep_core::units::{Point, Size};
use sweep_graph::tensors::TensorOperation as _;

use crate::augment::{Augmentation, Change};
use crate::cache::{CachedPicture, Resized};
use crate::dataset::{Dataset, Split};
use crate::gpu::Resident;
use crate::resize::{Picture, resize};
use crate::view::View;

pub use epoch::{Epoch, Worker};

mod epoch;

/// Threads that make batches ahead, each up to two: the next, and the one after it.
const WORKERS: usize = 2;

/// Values in [0, 1], `[B, C, H, W]`: grey, or red, green and blue.
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
    /// Indices into [`Dataset::samples`], one per image.
    pub indices: Vec<usize>,
    /// Per image, one per landmark name, in pixels of the input; `None` where missing or moved off the picture.
    pub landmarks: Vec<Vec<Option<Point>>>,
    /// The same images from finer pictures, under the same changes; none where the model reads none.
    pub views: Vec<View>,
}

impl Batch {
    /// The images as a tensor `[B, C, H, W]`.
    ///
    /// # Errors
    /// When the device has not enough memory.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        let Size { height, width } = self.size;
        Ok(match &self.images {
            Images::Numbers(numbers) => {
                let channels = numbers.len() / (self.indices.len() * self.size.area()).max(1);
                let shape = (self.indices.len(), channels, height, width);
                Tensor::from_slice(numbers, shape, device).computed()?
            }
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
#[expect(clippy::struct_field_names, reason = "pictures are its content")]
struct Pictures {
    size: Size,
    /// Index in the data set, and the picture.
    pictures: Vec<(usize, CachedPicture)>,
    /// Finer pictures of the same images, or none.
    finer: Vec<CachedPicture>,
}

impl Loader {
    /// Resizes all images of a split, once, in parallel.
    #[must_use]
    pub fn new(dataset: &Dataset, split: Split, input: Size) -> Self {
        let indices = dataset.indices(split);
        let pictures = indices.into_par_iter().map(|i| (i, resize(&dataset.samples[i], input).into())).collect();
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
    pub fn with_views(&self, finer: &[CachedPicture]) -> Self {
        let Pictures { size, pictures, .. } = &*self.split;
        let finer = pictures.iter().map(|(index, _)| finer[*index].clone()).collect();
        Self::with(Pictures { size: *size, pictures: pictures.clone(), finer })
    }

    fn with(pictures: Pictures) -> Self {
        Self { split: Arc::new(pictures), resident: None }
    }

    /// The same with batches made on a device. A GPU without memory for all pictures gets batch after batch from the
    /// processor.
    ///
    /// # Errors
    /// When the GPU fails, or a picture is lost.
    pub fn on(&self, device: &Device) -> Result<Self> {
        if device.is_cuda() {
            return self.on_gpu(sweep_graph::gpu::of(device)?);
        }
        Ok(self.clone())
    }

    /// The same with batches made on this GPU.
    ///
    /// # Errors
    /// When the GPU fails, or a picture is lost.
    pub fn on_gpu(&self, gpu: Arc<dyn sweep_graph::gpu::Gpu>) -> Result<Self> {
        let pictures = self.split.pictures.iter().map(|(_, picture)| Ok(picture.read()?.pixels));
        let resident = Resident::new(gpu, self.split.size, self.split.channels(), pictures)?.map(Arc::new);
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
    /// When a GPU that makes batches fails, or a picture is lost.
    pub fn in_order(&self, batch_size: NonZeroUsize) -> impl Iterator<Item = Result<Batch>> + '_ {
        let order: Vec<usize> = (0..self.len()).collect();
        let batches: Vec<_> = order.chunks(batch_size.get()).map(<[usize]>::to_vec).collect();
        batches.into_iter().map(|positions| {
            if let Some(resident) = &self.resident {
                let mut batch = self.split.batch_on(resident, &positions, |_, _| None)?;
                batch.views = self.split.views(&positions, None)?;
                return Ok(batch);
            }
            self.split.batch(&positions, None)
        })
    }

    /// Index in the data set and picture of every image, in the data set's order.
    pub fn pictures(&self) -> impl ExactSizeIterator<Item = (usize, Result<Picture>)> {
        self.split.pictures.iter().map(|(index, picture)| (*index, picture.read()))
    }

    /// The landmarks of every image, in the data set's order.
    pub fn landmarks(&self) -> impl Iterator<Item = &[Option<Point>]> {
        self.split.pictures.iter().map(|(_, picture)| &picture.landmarks[..])
    }

    /// One epoch of training: every image once, in an order and with an augmentation that depend on `seed` and
    /// `epoch` alone. Batches are made ahead, in threads of their own or on the GPU; the last may be smaller.
    #[must_use]
    pub fn epoch(&self, batch_size: NonZeroUsize, augment: &Augmentation, seed: u64, epoch: u64) -> Epoch {
        let order = Arc::new(seed::shuffled(self.len(), seed, Stream::Order, epoch));
        if let Some(resident) = &self.resident {
            let (split, resident, augment) = (Arc::clone(&self.split), Arc::clone(resident), augment.clone());
            let batches: Vec<Vec<usize>> = order.chunks(batch_size.get()).map(<[usize]>::to_vec).collect();
            let make = move |positions: Vec<usize>| {
                let change = |index, picture: &CachedPicture| {
                    augment.change((picture.size, picture.spacing), seed, epoch, index as u64)
                };
                let mut batch = split.batch_on(&resident, &positions, change)?;
                batch.views = split.views(&positions, Some((&augment, seed, epoch)))?;
                Ok(batch)
            };
            return Epoch::OnGpu(Box::new(batches.into_iter().map(make)));
        }
        let worker = |first: usize| {
            let (split, order, augment) = (Arc::clone(&self.split), Arc::clone(&order), augment.clone());
            let (sender, receiver) = sync_channel(1);
            // Not in rayon's pool: a consumer that waits inside the pool would wait for ever for work queued there.
            let thread = std::thread::spawn(move || {
                for positions in order.chunks(batch_size.get()).skip(first).step_by(WORKERS) {
                    let batch = split.batch(positions, Some((&augment, seed, epoch)));
                    let is_lost = batch.is_err();
                    if sender.send(batch).is_err() || is_lost {
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
    /// Number of planes of every picture.
    fn channels(&self) -> usize {
        self.pictures.first().map_or(1, |(_, picture)| picture.channels())
    }

    /// Views of the finer pictures, if there are any, changed as in this epoch of training.
    fn views(&self, positions: &[usize], epoch: Option<(&Augmentation, u64, u64)>) -> Result<Vec<View>> {
        if self.finer.is_empty() {
            return Ok(Vec::new());
        }
        let view = |&position: &usize| {
            let ((index, picture), finer) = (&self.pictures[position], self.finer[position].read()?);
            Ok(match epoch {
                Some((augment, seed, epoch)) => {
                    View::augmented(augment, &picture.read()?, finer, seed, epoch, *index as u64)
                }
                None => View::plain(finer),
            })
        };
        positions.iter().map(view).collect()
    }

    /// Pictures as they are, or changed as in this epoch of training.
    fn batch(&self, positions: &[usize], epoch: Option<(&Augmentation, u64, u64)>) -> Result<Batch> {
        let values = self.channels() * self.size.area();
        let mut images = vec![0.0; positions.len() * values];
        let (mut indices, mut landmarks) = (Vec::new(), Vec::new());
        for (&position, pixels) in positions.iter().zip(images.chunks_exact_mut(values)) {
            let (index, picture) = &self.pictures[position];
            let picture = picture.read()?;
            indices.push(*index);
            landmarks.push(if let Some((augment, seed, epoch)) = epoch {
                augment.apply(&picture, seed, epoch, *index as u64, pixels)
            } else {
                pixels.copy_from_slice(&picture.pixels);
                picture.landmarks
            });
        }
        let views = self.views(positions, epoch)?;
        Ok(Batch { images: Images::Numbers(images), size: self.size, indices, landmarks, views })
    }

    /// The same on a GPU; `change` returns an image's change.
    fn batch_on(
        &self,
        resident: &Resident,
        positions: &[usize],
        change: impl Fn(usize, &CachedPicture) -> Option<Change>,
    ) -> Result<Batch> {
        let (mut changes, mut indices, mut landmarks) = (Vec::new(), Vec::new(), Vec::new());
        for &position in positions {
            let (index, picture) = &self.pictures[position];
            let change = change(*index, picture);
            indices.push(*index);
            landmarks.push(
                change
                    .as_ref()
                    .map_or_else(|| picture.landmarks.clone(), |c| c.landmarks(&picture.landmarks, picture.size)),
            );
            changes.push((position, change));
        }
        let images = Images::Tensor(resident.batch(&changes)?);
        Ok(Batch { images, size: self.size, indices, landmarks, views: Vec::new() })
    }
}

#[cfg(test)]
mod tests;
