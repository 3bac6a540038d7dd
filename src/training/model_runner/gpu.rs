//! Losses and landmarks of maps on a GPU, from which only the results are copied.

use std::sync::Arc;

use candle_core::Tensor;

use super::Evaluated;
use super::reader::on_processor;
use sweep_core::error::Result;
use sweep_data::decode::DecodeSpec;
use sweep_data::decode::gpu::MapReader;
use sweep_graph::gpu::Gpu;
use sweep_model::loss::gpu::PlaneLosses;
use sweep_model::loss::{LossSpec, Targets};

/// Reads losses and landmarks off maps on a GPU.
pub(crate) struct GpuReader {
    losses: PlaneLosses,
    landmarks: MapReader,
}

impl GpuReader {
    pub(crate) fn new(gpu: &Arc<dyn Gpu>) -> Self {
        Self { losses: PlaneLosses::new(Arc::clone(gpu)), landmarks: MapReader::new(Arc::clone(gpu)) }
    }

    /// Losses and landmarks, one entry per image.
    pub(super) fn read(
        &mut self,
        maps: &Tensor,
        targets: &Targets,
        loss: &LossSpec,
        decode: DecodeSpec,
    ) -> Result<Vec<Evaluated>> {
        if matches!(loss, LossSpec::Custom(_)) {
            return on_processor(maps, targets, loss, decode);
        }
        let losses = self.losses.of(loss, maps, targets, None)?;
        let readings = self.landmarks.read(decode, maps, loss.map_kind())?;
        let mut planes = losses.into_iter().zip(readings);
        let images = targets.iter().map(|targets| {
            let present = targets.iter().flatten().count();
            let (mut sum, mut landmarks) = (0.0, Vec::with_capacity(targets.len()));
            for (_, (loss, reading)) in targets.iter().zip(&mut planes) {
                sum += loss;
                landmarks.push(reading.into());
            }
            Evaluated { loss: (present > 0).then(|| sum / present as f64), landmarks }
        });
        Ok(images.collect())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use sweep_core::units::{Point, Size};
    use sweep_emulator::gpus;
    use sweep_planning::config::TrialConfig;

    #[test]
    fn a_gpu_reads_the_same_as_the_processor() {
        let definition = "
            epochs = 1
            seed = 0
            input = { height = 40, width = 32 }
            model = { name = 'unet', filters = [4, 8] }
            loss = { name = 'nll' }
            heatmap = { name = 'gaussian', sigma = 2 }";
        let mut config: TrialConfig = toml::from_str(definition).unwrap();
        let size = Size { height: 40, width: 32 };
        let target = |x, y| Some(config.heatmap.profiles(Point { x, y }, size));
        let targets =
            vec![vec![target(3.0, 30.5), None], vec![None, None], vec![target(10.1, 11.2), target(31.0, 0.0)]];
        let values: Vec<f32> =
            (0..6 * size.area()).map(|i| (i as f32 * 0.37).sin() * (i as f32 * 0.011).cos()).collect();
        let maps = Tensor::from_vec(values, (3, 2, size.height, size.width), &Device::Cpu).unwrap();
        let decoders = ["centroid", "argmax", "subpixel", "soft-argmax", "dark"];
        for (decode, gpu) in decoders.into_iter().flat_map(|name| gpus().into_iter().map(move |gpu| (name, gpu))) {
            config.decode = toml::from_str(&format!("name = '{decode}'")).unwrap();
            let expected = on_processor(&maps, &targets, &config.loss, config.decode).unwrap();
            let on_gpu = maps.to_device(&gpu.device).unwrap();
            let found = GpuReader::new(&gpu.gpu).read(&on_gpu, &targets, &config.loss, config.decode).unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                for (found, expected) in found.landmarks.iter().zip(&expected.landmarks) {
                    assert_eq!(found.at, expected.at);
                    assert!((found.confidence - expected.confidence).abs() < 1e-6);
                }
                let close = match (found.loss, expected.loss) {
                    (Some(found), Some(expected)) => (found - expected).abs() < 1e-6 * expected,
                    (found, expected) => found == expected,
                };
                assert!(close, "{:?} {:?}", found.loss, expected.loss);
            }
        }
    }
}
