//! The loop's parts on a GPU beside those on the processor.

use std::sync::Arc;

use super::*;
use crate::evaluate::Metrics;
use sweep_core::units::ErrorUnit;
use sweep_data::Dataset;
use sweep_data::augment::Augmentation;
use sweep_data::cache::Cache;
use sweep_emulator::gpus;
use sweep_graph::gpu::Gpu;
use sweep_model::optim::Optimizer;

/// The loop's parts, wherever they are.
struct Parts {
    network: Network,
    parameters: ParamStore,
    optimizer: Optimizer,
    loaders: [Loader; 2],
}

impl Parts {
    /// Losses of all steps, and what evaluations after every epoch see.
    fn run(mut self, config: &TrialConfig, dataset: &Dataset) -> (Vec<f64>, Vec<Evaluation>) {
        let (mut losses, mut seen) = (Vec::new(), Vec::new());
        let augment = Augmentation::new(&config.augment, &dataset.landmarks).unwrap();
        for epoch in 0..u64::from(config.epochs) {
            for batch in self.loaders[0].epoch(config.batch_size, &augment, config.seed, epoch) {
                let step = self.network.step(&self.parameters, &batch.unwrap(), epoch).unwrap();
                self.optimizer.step(self.parameters.trained(), &step.gradient, 1.0, config.optimizer.lr()).unwrap();
                losses.push(step.loss);
            }
            let Self { network, parameters, loaders, .. } = &mut self;
            seen.push(
                evaluate::evaluate(network, parameters, &loaders[1], dataset, config.batch_size, &mut || true)
                    .unwrap()
                    .unwrap(),
            );
        }
        (losses, seen)
    }
}

#[test]
fn a_training_on_a_gpu_goes_the_processors_way() {
    compare("{ name = 'unet++', filters = [4, 8, 16] }");
}

#[test]
fn a_training_of_two_stages_on_a_gpu_goes_the_processors_way() {
    compare(
        "{ name = 'two-stage', coarse = { name = 'unet++', filters = [4, 8] }, fine = { name = 'unet', filters = [4, 8] },
        size = { height = 60, width = 48 }, crop = 16 }",
    );
}

fn compare(model: &str) {
    let config: TrialConfig = toml::from_str(&format!(
        "epochs = 3
        seed = 4
        batch_size = 4
        dataset = {{ name = 'phantom', train = 6, val = 3, height = 40, width = 32 }}
        input = {{ height = 40, width = 32 }}
        augment = {{ rotation_degrees = 8, translate = 0.05, brightness = 0.3, contrast = 0.3 }}
        model = {model}
        loss = {{ name = 'nll' }}
        heatmap = {{ name = 'gaussian', sigma = 2 }}
        decode = {{ name = 'subpixel' }}",
    ))
    .unwrap();
    let data = Data::load_through(&Cache::none(), &config).unwrap();
    let landmarks = data.dataset.landmarks.len();
    let parts = |device: &Device, gpu: Option<&Arc<dyn Gpu>>| {
        let network = match gpu {
            None => Network::new(&config, landmarks, device),
            Some(gpu) => Network::on_gpu(&config, landmarks, gpu, device),
        };
        let network = network.unwrap();
        let parameters = network.parameters(config.seed).unwrap();
        let optimizer = Optimizer::new(config.optimizer, parameters.trained()).unwrap();
        let here = [data.train.clone(), data.val.clone()];
        let (optimizer, loaders) = match gpu {
            None => (optimizer, here),
            Some(gpu) => {
                (optimizer.on_gpu(Arc::clone(gpu)), here.map(|loader| loader.on_gpu(Arc::clone(gpu)).unwrap()))
            }
        };
        Parts { network, parameters, optimizer, loaders }
    };
    let (losses, seen) = parts(&Device::Cpu, None).run(&config, &data.dataset);
    for place in gpus() {
        let there = parts(&place.device, Some(&place.gpu)).run(&config, &data.dataset);
        for (found, expected) in there.0.iter().zip(&losses) {
            assert!((found - expected).abs() < 1e-3 * expected, "{}: {:?} {losses:?}", place.name, there.0);
        }
        for (found, expected) in there.1.iter().zip(&seen) {
            assert!((found.loss - expected.loss).abs() < 1e-2 * expected.loss, "{}", place.name);
            let mre = |evaluation: &Evaluation| Metrics::of(&evaluation.errors, ErrorUnit::Millimetres).mre;
            assert!((mre(found) - mre(expected)).abs() < 0.2 * mre(expected), "{}", place.name);
            assert_eq!(found.errors.len(), expected.errors.len());
        }
    }
}
