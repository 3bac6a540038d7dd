//! The second stage of a model: crops of finer pictures around where the first stage sees the landmarks, all read by one
//! network, of whose maps only that of the landmark counts that a crop is for.
//!
//! In training crops are cut beside the true landmarks, at random, so that the two stages learn in one step and neither
//! waits for the other. In evaluation they are cut where the first stage says. A landmark that is then seen further from
//! its crop's centre than any was in training is looked for once more, in a crop around where it was seen; whatever that
//! shows is what counts, sure or not: where the second stage is at a loss, so was the first.

use candle_core::{Device, Tensor};
use rand::Rng;
use rayon::prelude::*;
use sweep_graph::tensors::TensorOperation as _;

use super::heatmaps::Now;
use super::stage::{Chosen, Maps, Stage};
use super::{Evaluated, Prediction, Step};
use sweep_core::error::{Error, Result};
use sweep_core::seed::{self, Stream};
use sweep_core::units::{Point, Size};
use sweep_data::loader::Batch;
use sweep_graph::params::ParamStore;
use sweep_model::networks::TwoStageSpec;

/// The second stage at work.
pub(super) struct Fine {
    stage: Stage,
    spec: TwoStageSpec,
    seed: u64,
    device: Device,
}

/// A crop: for which landmark of which image of a batch, and its first pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Crop {
    image: usize,
    landmark: usize,
    start: [i64; 2],
}

impl Fine {
    pub(super) fn new(stage: Stage, spec: &TwoStageSpec, seed: u64, device: &Device) -> Self {
        Self { stage, spec: spec.clone(), seed, device: device.clone() }
    }

    pub(super) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Loss and gradient of crops beside the true landmarks.
    pub(super) fn step(&mut self, parameters: &ParamStore, batch: &Batch, epoch: u64) -> Result<Step> {
        let crops = self.beside(batch, epoch);
        let (images, maps) = self.images(batch, &crops, batch.landmarks.len())?;
        let places = self.places(batch, &crops);
        self.stage.step(parameters, &images, &maps, &places)
    }

    /// What crops around where the first stage sees the landmarks show; losses are the sums of both.
    pub(super) fn evaluate(
        &mut self,
        parameters: &ParamStore,
        batch: &Batch,
        coarse: &[Evaluated],
    ) -> Result<Vec<Evaluated>> {
        let crops = self.around(batch, coarse.iter().map(|seen| seen.landmarks.as_slice()));
        let (images, maps) = self.images(batch, &crops, coarse.len())?;
        let places = self.places(batch, &crops);
        let fine = self.stage.evaluate(parameters, &images, &maps, &places)?;
        let found = fine.iter().flat_map(|seen| seen.landmarks.iter().copied());
        let mut found: Vec<Prediction> = crops.iter().zip(found).map(|(crop, found)| crop.placed(found)).collect();
        for (place, prediction) in self.again(parameters, batch, &crops, &found)? {
            found[place] = prediction;
        }
        let now = self.stage.heatmaps().now(parameters)?;
        let rows = found.chunks((found.len() / coarse.len().max(1)).max(1));
        let seen = coarse.iter().zip(&fine).zip(rows).enumerate().map(|(image, ((coarse, fine), found))| Evaluated {
            loss: coarse
                .loss
                .map(|loss| loss + self.with_missed(&now, fine, &places[image], &batch.landmarks[image], batch.size)),
            landmarks: found.iter().map(|found| self.to_input(found, batch)).collect(),
        });
        Ok(seen.collect())
    }

    /// Landmarks as seen in crops around where the first stage sees them, and how sure the second one is.
    pub(super) fn predict(
        &mut self,
        parameters: &ParamStore,
        batch: &Batch,
        coarse: &[Vec<Prediction>],
    ) -> Result<Vec<Vec<Prediction>>> {
        let crops = self.around(batch, coarse.iter().map(Vec::as_slice));
        let mut found = self.read(parameters, batch, &crops, coarse.len())?;
        for (place, prediction) in self.again(parameters, batch, &crops, &found)? {
            found[place] = prediction;
        }
        let rows = found.chunks((found.len() / coarse.len().max(1)).max(1));
        Ok(rows.map(|row| row.iter().map(|found| self.to_input(found, batch)).collect()).collect())
    }

    /// The crops around what the first stage sees, `[N, 1, crop, crop]`, and all maps of each, `[N, K, crop, crop]`.
    pub(super) fn heatmaps(
        &mut self,
        parameters: &ParamStore,
        batch: &Batch,
        coarse: &[Vec<Prediction>],
    ) -> Result<[Tensor; 2]> {
        let crops = self.around(batch, coarse.iter().map(Vec::as_slice));
        let (images, _) = self.images(batch, &crops, coarse.len())?;
        let maps = self.stage.maps(parameters, &images, &Maps::All)?;
        Ok([images, maps])
    }

    /// From the finer picture's pixels to those of the input.
    fn to_input(&self, found: &Prediction, batch: &Batch) -> Prediction {
        Prediction { at: found.at.rescale(self.spec.size, batch.size), ..*found }
    }

    /// Mean loss of an image's landmarks: of those on their crops (`on_crops`) as seen, of all others as if nothing were
    /// seen.
    fn with_missed(
        &self,
        now: &Now<'_>,
        seen: &Evaluated,
        on_crops: &[Option<Point>],
        landmarks: &[Option<Point>],
        input: Size,
    ) -> f64 {
        let missed: Vec<Option<Point>> =
            landmarks.iter().zip(on_crops).map(|(at, on)| at.filter(|_| on.is_none())).collect();
        let count = |missed: bool| {
            let is_one = |(at, on): (&Option<Point>, &Option<Point>)| at.is_some() && on.is_none() == missed;
            landmarks.iter().zip(on_crops).filter(|pair| is_one(*pair)).count() as f64
        };
        let of_missed = self.zero_loss(now, &missed, input);
        (seen.loss.unwrap_or(0.0) * count(false) + of_missed * count(true)) / (count(false) + count(true))
    }

    /// Mean loss of an image's landmarks, in pixels of an input, if zero is the answer to crops around them.
    pub(super) fn zero_loss(&self, now: &Now<'_>, landmarks: &[Option<Point>], input: Size) -> f64 {
        let on_crop = |at: Point| {
            let at = at.rescale(input, self.spec.size);
            Crop::around(0, 0, at, self.spec.crop).inside(at)
        };
        now.of_zeros(&landmarks.iter().map(|at| at.map(on_crop)).collect::<Vec<_>>(), self.size())
    }

    /// Of a crop.
    fn size(&self) -> Size {
        Size { height: self.spec.crop, width: self.spec.crop }
    }

    /// Where crops should show their landmarks, an image's in a row; nowhere where a landmark is missing or not on its
    /// crop.
    fn places(&self, batch: &Batch, crops: &[Crop]) -> Vec<Vec<Option<Point>>> {
        let mut places = vec![Vec::new(); batch.landmarks.len()];
        for crop in crops {
            let at = batch.landmarks[crop.image][crop.landmark];
            let at = at.map(|at| crop.inside(at.rescale(batch.size, self.spec.size)));
            places[crop.image].push(at.filter(|at| at.is_inside(self.size())));
        }
        places
    }

    /// Crops of training: beside the true landmarks; those of missing ones, which count for nothing, in the middle.
    fn beside(&self, batch: &Batch, epoch: u64) -> Vec<Crop> {
        let reach = self.spec.jitter * self.spec.crop as f64;
        let middle = Point { x: self.spec.size.width as f64 / 2.0, y: self.spec.size.height as f64 / 2.0 };
        let mut crops = Vec::new();
        for (image, (landmarks, index)) in batch.landmarks.iter().zip(&batch.indices).enumerate() {
            let mut rng = seed::derive(self.seed, Stream::Crops, epoch, *index as u64);
            for (landmark, at) in landmarks.iter().enumerate() {
                let [x, y] = [(); 2].map(|()| reach * (2.0 * rng.random_range(0.0..1.0) - 1.0));
                let at = at.map_or(middle, |at| at.rescale(batch.size, self.spec.size));
                crops.push(Crop::around(image, landmark, Point { x: at.x + x, y: at.y + y }, self.spec.crop));
            }
        }
        crops
    }

    /// Crops around what is found in every image.
    fn around<'a>(&self, batch: &Batch, images: impl Iterator<Item = &'a [Prediction]>) -> Vec<Crop> {
        let of_image = |(image, found): (usize, &[Prediction])| {
            let crop = |(landmark, found): (usize, &Prediction)| {
                Crop::around(image, landmark, found.at.rescale(batch.size, self.spec.size), self.spec.crop)
            };
            found.iter().enumerate().map(crop).collect::<Vec<_>>()
        };
        images.enumerate().flat_map(of_image).collect()
    }

    /// The crops of a batch's images, `[N, 1, crop, crop]`, and which of their maps count, in so many rows.
    fn images(&self, batch: &Batch, crops: &[Crop], rows: usize) -> Result<(Tensor, Maps)> {
        if batch.views.len() != batch.indices.len() {
            return Err(Error::input("a model of two stages needs the finer pictures of its images"));
        }
        let (side, size) = (self.spec.crop, self.size());
        let mut pixels = vec![0.0; crops.len() * size.area()];
        let parts = crops.par_iter().zip(pixels.par_chunks_mut(size.area()));
        parts.for_each(|(crop, pixels)| batch.views[crop.image].cut(crop.start, size, pixels));
        let images = Tensor::from_vec(pixels, (crops.len(), 1, side, side), &self.device).computed()?;
        let of: Vec<usize> = crops.iter().map(|crop| crop.landmark).collect();
        let landmarks = batch.landmarks.first().map_or(0, Vec::len);
        Ok((images, Maps::Of(Chosen::new(of, landmarks, crops.len() / rows.max(1), &self.device)?)))
    }

    /// What crops show, in pixels of the finer picture.
    fn read(&mut self, parameters: &ParamStore, batch: &Batch, crops: &[Crop], rows: usize) -> Result<Vec<Prediction>> {
        let (images, maps) = self.images(batch, crops, rows)?;
        let found = self.stage.predict(parameters, &images, &maps)?;
        Ok(crops.iter().zip(found.into_iter().flatten()).map(|(crop, found)| crop.placed(found)).collect())
    }

    /// Those of the landmarks, by their places, that were found further from their crops' centres than training cuts
    /// them, read once more from crops around where they were found.
    fn again(
        &mut self,
        parameters: &ParamStore,
        batch: &Batch,
        crops: &[Crop],
        found: &[Prediction],
    ) -> Result<Vec<(usize, Prediction)>> {
        // A crop is cut at whole pixels.
        let (side, reach) = (self.spec.crop, self.spec.jitter * self.spec.crop as f64 + 1.0);
        let is_far = |place: &usize| {
            let at = crops[*place].inside(found[*place].at);
            [at.x, at.y].iter().any(|v| (v - (side as f64 - 1.0) / 2.0).abs() > reach)
        };
        let far: Vec<usize> = (0..crops.len()).filter(is_far).collect();
        let mut all = Vec::with_capacity(far.len());
        // As many crops a pass as an image has, the last repeated: engines plan for every number anew.
        let landmarks = batch.landmarks.first().map_or(1, Vec::len).max(1);
        for places in far.chunks(landmarks) {
            let around = |place: &usize| {
                let Crop { image, landmark, .. } = crops[*place];
                Crop::around(image, landmark, found[*place].at, side)
            };
            let mut crops: Vec<Crop> = places.iter().map(around).collect();
            crops.resize(landmarks, crops[crops.len() - 1]);
            all.extend(places.iter().copied().zip(self.read(parameters, batch, &crops, 1)?));
        }
        Ok(all)
    }
}

impl Crop {
    /// The one whose middle is nearest to a point of the finer picture.
    fn around(image: usize, landmark: usize, at: Point, side: usize) -> Self {
        let start = |v: f64| (v - (side as f64 - 1.0) / 2.0).round() as i64;
        Self { image, landmark, start: [start(at.x), start(at.y)] }
    }

    /// A place of the finer picture in the crop's pixels.
    fn inside(&self, at: Point) -> Point {
        Point { x: at.x - self.start[0] as f64, y: at.y - self.start[1] as f64 }
    }

    /// What is found in the crop, in the finer picture's pixels.
    fn placed(&self, found: Prediction) -> Prediction {
        let at = Point { x: found.at.x + self.start[0] as f64, y: found.at.y + self.start[1] as f64 };
        Prediction { at, ..found }
    }
}

#[cfg(test)]
mod tests;
