//! The loop's parts on a GPU beside those on the processor.

use std::sync::Arc;

use super::*;
use crate::data::cache::Cache;
use crate::engine::Precision;
use crate::engine::cuda::CudaEngine;
use crate::evaluate::Reader;
use crate::evaluate::gpu::GpuReader;
use crate::gpu::places::places;

/// The loop's parts, wherever they are.
struct Parts {
    engine: Box<dyn Engine + Send>,
    parameters: ParamStore,
    optimizer: Optimizer,
    criterion: Criterion,
    reader: Reader,
    loaders: [Loader; 2],
}

impl Parts {
    /// Losses of all steps, and what evaluations after every epoch see.
    fn run(mut self, config: &TrialConfig, dataset: &Dataset) -> (Vec<f64>, Vec<Evaluation>) {
        let device = self.parameters.trained().device().clone();
        let (mut losses, mut seen) = (Vec::new(), Vec::new());
        for epoch in 0..u64::from(config.epochs) {
            for batch in self.loaders[0].epoch(config.batch_size, &config.augment, config.seed, epoch) {
                let batch = batch.unwrap();
                let images = evaluate::images(&batch, &device).unwrap();
                let heads = self.engine.forward(&images, &self.parameters, Mode::Train).unwrap();
                let targets = evaluate::targets(&batch, config);
                let (loss, to_heads) = self.criterion.with_gradients(&heads, &targets).unwrap();
                let gradient = self.engine.gradient(&heads, to_heads, &self.parameters).unwrap();
                self.optimizer.step(self.parameters.trained(), &gradient, config.optimizer.lr()).unwrap();
                losses.push(loss);
            }
            let Self { reader, engine, parameters, loaders, .. } = &mut self;
            let evaluation =
                evaluate::evaluate_with(reader, engine.as_mut(), parameters, &loaders[1], dataset, config, &device);
            seen.push(evaluation.unwrap());
        }
        (losses, seen)
    }
}

#[test]
fn a_training_on_a_gpu_goes_the_processors_way() {
    let config: TrialConfig = toml::from_str(
        "epochs = 3
        seed = 4
        batch_size = 4
        dataset = { name = 'phantom', train = 6, val = 3, height = 40, width = 32 }
        input = { height = 40, width = 32 }
        augment = { rotation_degrees = 8, translate = 0.05, brightness = 0.3, contrast = 0.3 }
        model = { name = 'unet++', filters = [4, 8, 16] }
        loss = { name = 'nll' }
        heatmap = { name = 'gaussian', sigma = 2 }
        decode = { name = 'subpixel' }",
    )
    .unwrap();
    let data = Data::load_through(&Cache::none(), &config).unwrap();
    let graph = config.model.graph(1, data.dataset.landmarks.len()).unwrap();
    let parts = |device: &Device, engine, gpu: Option<Arc<dyn crate::gpu::Gpu>>| {
        let parameters = ParamStore::initialise(&graph, config.seed, DType::F32, device).unwrap();
        let optimizer = Optimizer::new(config.optimizer, parameters.trained()).unwrap();
        let here = [data.train.clone(), data.val.clone()];
        let (optimizer, criterion, reader, loaders) = match gpu {
            None => (optimizer, Criterion::new(config.loss), Reader::OnProcessor, here),
            Some(gpu) => (
                optimizer.on_gpu(Arc::clone(&gpu)),
                Criterion::with_gpu(config.loss, Arc::clone(&gpu)),
                Reader::OnGpu(GpuReader::new(&gpu)),
                here.map(|loader| loader.on_gpu(Arc::clone(&gpu)).unwrap()),
            ),
        };
        Parts { engine, parameters, optimizer, criterion, reader, loaders }
    };
    let engine = engine::build(&graph, DType::F32, Precision::Fp32, &Device::Cpu).unwrap();
    let (losses, seen) = parts(&Device::Cpu, engine, None).run(&config, &data.dataset);
    for place in places() {
        let engine = CudaEngine::new(&graph, Precision::Fp32, Arc::clone(&place.gpu)).unwrap();
        let there = parts(&place.device, Box::new(engine), Some(place.gpu)).run(&config, &data.dataset);
        for (found, expected) in there.0.iter().zip(&losses) {
            assert!((found - expected).abs() < 1e-3 * expected, "{}: {:?} {losses:?}", place.name, there.0);
        }
        for (found, expected) in there.1.iter().zip(&seen) {
            assert!((found.loss - expected.loss).abs() < 1e-2 * expected.loss, "{}", place.name);
            let mre = |evaluation: &Evaluation| Metrics::of(&evaluation.errors).mre_mm;
            assert!((mre(found) - mre(expected)).abs() < 0.2 * mre(expected), "{}", place.name);
            assert_eq!(found.errors.len(), expected.errors.len());
        }
    }
}
