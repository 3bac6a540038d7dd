//! The second stage of a network. One graph reads crops of a larger image around the first stage's predictions, and of its
//! maps only that of the crop's landmark is used.
//!
//! In training, crops are cut at random offsets from the true landmarks, so that both stages learn in one step. In
//! evaluation, they are cut around the first stage's predictions. A landmark that is predicted further from its crop's
//! centre than any was in training is predicted once more, from a crop around the first prediction. The second prediction
//! is used whatever its confidence: if the second stage is unsure, so was the first.

use candle_core::{Device, Tensor};
use rand::Rng;
use rayon::prelude::*;
use sweep_graph::tensors::TensorOperation as _;

use super::heatmaps::CurrentHeatmaps;
use super::stage::{MapSelection, Maps, Stage};
use super::{Evaluated, Prediction, Step};
use sweep_core::error::{Error, Result};
use sweep_core::seed::{self, Stream};
use sweep_core::units::{Point, Size};
use sweep_data::View;
use sweep_data::decode::DecodeSpec;
use sweep_data::loader::Batch;
use sweep_graph::params::ParamStore;
use sweep_model::networks::TwoStageSpec;

/// The second stage.
pub(super) struct Fine {
    stage: Stage,
    spec: TwoStageSpec,
    seed: u64,
    device: Device,
}

/// A crop for a landmark of an image of a batch, with its first pixel.
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

    /// Loss and gradient of crops at random offsets from the true landmarks.
    pub(super) fn step(&mut self, parameters: &ParamStore, batch: &Batch, epoch: u64) -> Result<Step> {
        let crops = self.training_crops(batch, epoch);
        self.stage.draw_from(batch, epoch);
        let (images, maps) = self.images(batch, &crops, batch.landmarks.len())?;
        let positions = self.positions(batch, &crops);
        self.stage.step(parameters, &images, &maps, &positions)
    }

    /// Landmarks predicted in crops around the first stage's predictions; losses are the sums of both stages.
    pub(super) fn evaluate(
        &mut self,
        parameters: &ParamStore,
        batch: &Batch,
        coarse: &[Evaluated],
        decode: DecodeSpec,
    ) -> Result<Vec<Evaluated>> {
        let crops = self.around(batch, coarse.iter().map(|image| image.landmarks.as_slice()));
        let (images, maps) = self.images(batch, &crops, coarse.len())?;
        let positions = self.positions(batch, &crops);
        let by_decoder = self.stage.evaluate(parameters, &images, &maps, &positions, &[decode])?;
        let fine: Vec<Evaluated> = by_decoder.into_iter().flatten().collect();
        let in_crops = fine.iter().flat_map(|image| image.landmarks.iter().copied());
        let mut found: Vec<Prediction> = crops.iter().zip(in_crops).map(|(crop, found)| crop.to_image(found)).collect();
        for (index, prediction) in self.predict_again(parameters, batch, &crops, &found, decode)? {
            found[index] = prediction;
        }
        let current = self.stage.heatmaps().current(parameters)?;
        let rows = found.chunks((found.len() / coarse.len().max(1)).max(1));
        let evaluated =
            coarse.iter().zip(&fine).zip(rows).enumerate().map(|(image, ((coarse, fine), found))| Evaluated {
                loss: coarse.loss.map(|loss| {
                    loss + self.with_missed(&current, fine, &positions[image], &batch.landmarks[image], batch.size)
                }),
                landmarks: found.iter().map(|found| self.to_input(found, batch)).collect(),
            });
        Ok(evaluated.collect())
    }

    /// Landmarks predicted in crops around the first stage's predictions.
    pub(super) fn predict(
        &mut self,
        parameters: &ParamStore,
        batch: &Batch,
        coarse: &[Vec<Prediction>],
        decode: DecodeSpec,
    ) -> Result<Vec<Vec<Prediction>>> {
        let crops = self.around(batch, coarse.iter().map(Vec::as_slice));
        let mut found = self.read(parameters, batch, &crops, coarse.len(), decode)?;
        for (index, prediction) in self.predict_again(parameters, batch, &crops, &found, decode)? {
            found[index] = prediction;
        }
        let rows = found.chunks((found.len() / coarse.len().max(1)).max(1));
        Ok(rows.map(|row| row.iter().map(|found| self.to_input(found, batch)).collect()).collect())
    }

    /// The crops around the first stage's predictions, `[N, C, crop, crop]`, and all maps of each, `[N, K, crop, crop]`.
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

    /// Converts a position in pixels of the larger image to pixels of the input.
    fn to_input(&self, found: &Prediction, batch: &Batch) -> Prediction {
        Prediction { at: found.at.rescale(self.spec.size, batch.size), ..*found }
    }

    /// Mean loss of an image's landmarks: as evaluated for those on their crops (`on_crops`), and that of zero maps for all
    /// others.
    fn with_missed(
        &self,
        current: &CurrentHeatmaps<'_>,
        evaluated: &Evaluated,
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
        let of_missed = self.zero_loss(current, &missed, input);
        (evaluated.loss.unwrap_or(0.0) * count(false) + of_missed * count(true)) / (count(false) + count(true))
    }

    /// Mean loss of zero maps of crops around an image's landmarks, which are in pixels of an input of size `input`.
    pub(super) fn zero_loss(&self, current: &CurrentHeatmaps<'_>, landmarks: &[Option<Point>], input: Size) -> f64 {
        let on_crop = |at: Point| {
            let at = at.rescale(input, self.spec.size);
            Crop::around(0, 0, at, self.spec.crop).to_crop(at)
        };
        current.of_zeros(&landmarks.iter().map(|at| at.map(on_crop)).collect::<Vec<_>>(), self.size())
    }

    /// Size of a crop.
    fn size(&self) -> Size {
        Size { height: self.spec.crop, width: self.spec.crop }
    }

    /// True positions of landmarks in their crops, one row per image; none for landmarks that are missing or not on their
    /// crop.
    fn positions(&self, batch: &Batch, crops: &[Crop]) -> Vec<Vec<Option<Point>>> {
        let mut positions = vec![Vec::new(); batch.landmarks.len()];
        for crop in crops {
            let at = batch.landmarks[crop.image][crop.landmark];
            let at = at.map(|at| crop.to_crop(at.rescale(batch.size, self.spec.size)));
            positions[crop.image].push(at.filter(|at| at.is_inside(self.size())));
        }
        positions
    }

    /// Crops of training, at random offsets from the true landmarks. Crops of missing landmarks, which do not count, are in
    /// the middle.
    fn training_crops(&self, batch: &Batch, epoch: u64) -> Vec<Crop> {
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

    /// Crops around the predictions in every image.
    fn around<'a>(&self, batch: &Batch, images: impl Iterator<Item = &'a [Prediction]>) -> Vec<Crop> {
        let of_image = |(image, found): (usize, &[Prediction])| {
            let crop = |(landmark, found): (usize, &Prediction)| {
                Crop::around(image, landmark, found.at.rescale(batch.size, self.spec.size), self.spec.crop)
            };
            found.iter().enumerate().map(crop).collect::<Vec<_>>()
        };
        images.enumerate().flat_map(of_image).collect()
    }

    /// The crops of a batch's images, `[N, C, crop, crop]`, and the selection of their maps, in `rows` rows.
    fn images(&self, batch: &Batch, crops: &[Crop], rows: usize) -> Result<(Tensor, Maps)> {
        if batch.views.len() != batch.indices.len() {
            return Err(Error::input("a model of two stages needs the finer pictures of its images"));
        }
        let (side, size) = (self.spec.crop, self.size());
        let channels = batch.views.first().map_or(1, View::channels);
        let mut pixels = vec![0.0; crops.len() * channels * size.area()];
        let parts = crops.par_iter().zip(pixels.par_chunks_mut(channels * size.area()));
        parts.for_each(|(crop, pixels)| batch.views[crop.image].cut(crop.start, size, pixels));
        let images = Tensor::from_vec(pixels, (crops.len(), channels, side, side), &self.device).computed()?;
        let selected: Vec<usize> = crops.iter().map(|crop| crop.landmark).collect();
        let landmarks = batch.landmarks.first().map_or(0, Vec::len);
        Ok((images, Maps::Selected(MapSelection::new(selected, landmarks, crops.len() / rows.max(1), &self.device)?)))
    }

    /// Landmarks predicted in crops, in pixels of the larger image.
    fn read(
        &mut self,
        parameters: &ParamStore,
        batch: &Batch,
        crops: &[Crop],
        rows: usize,
        decode: DecodeSpec,
    ) -> Result<Vec<Prediction>> {
        let (images, maps) = self.images(batch, crops, rows)?;
        let found = self.stage.predict(parameters, &images, &maps, decode)?;
        Ok(crops.iter().zip(found.into_iter().flatten()).map(|(crop, found)| crop.to_image(found)).collect())
    }

    /// Predicts those landmarks once more, by their indices, that were predicted further from their crops' centres than
    /// training cuts them, from crops around the first predictions.
    fn predict_again(
        &mut self,
        parameters: &ParamStore,
        batch: &Batch,
        crops: &[Crop],
        found: &[Prediction],
        decode: DecodeSpec,
    ) -> Result<Vec<(usize, Prediction)>> {
        // Crops are cut at whole pixels, hence the 1.
        let (side, reach) = (self.spec.crop, self.spec.jitter * self.spec.crop as f64 + 1.0);
        let is_far = |index: &usize| {
            let at = crops[*index].to_crop(found[*index].at);
            [at.x, at.y].iter().any(|v| (v - (side as f64 - 1.0) / 2.0).abs() > reach)
        };
        let far: Vec<usize> = (0..crops.len()).filter(is_far).collect();
        let mut all = Vec::with_capacity(far.len());
        // Every pass has as many crops as an image, filled up with the last, because engines plan anew for every number.
        let landmarks = batch.landmarks.first().map_or(1, Vec::len).max(1);
        for indices in far.chunks(landmarks) {
            let around = |index: &usize| {
                let Crop { image, landmark, .. } = crops[*index];
                Crop::around(image, landmark, found[*index].at, side)
            };
            let mut crops: Vec<Crop> = indices.iter().map(around).collect();
            crops.resize(landmarks, crops[crops.len() - 1]);
            all.extend(indices.iter().copied().zip(self.read(parameters, batch, &crops, 1, decode)?));
        }
        Ok(all)
    }
}

impl Crop {
    /// The crop whose centre is nearest to a point of the larger image.
    fn around(image: usize, landmark: usize, at: Point, side: usize) -> Self {
        let start = |v: f64| (v - (side as f64 - 1.0) / 2.0).round() as i64;
        Self { image, landmark, start: [start(at.x), start(at.y)] }
    }

    /// Converts a position in the larger image to pixels of the crop.
    fn to_crop(self, at: Point) -> Point {
        Point { x: at.x - self.start[0] as f64, y: at.y - self.start[1] as f64 }
    }

    /// Converts a prediction in the crop to pixels of the larger image.
    fn to_image(self, found: Prediction) -> Prediction {
        let at = Point { x: found.at.x + self.start[0] as f64, y: found.at.y + self.start[1] as f64 };
        Prediction { at, ..found }
    }
}

#[cfg(test)]
mod tests;
