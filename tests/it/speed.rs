//! Training speed of the CPU's engine; a measurement, run by hand:
//! `cargo test --release --test it speed -- --ignored --nocapture`.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use landmark_sweep::engine::{self, Mode};
use landmark_sweep::models::ModelSpec;
use landmark_sweep::params::ParamStore;

/// Images of 200×160 in batches of this many, for so many steps after a first one that is not counted.
const BATCH: usize = 4;
const STEPS: usize = 5;

#[test]
#[ignore = "a measurement, not a check"]
fn training_steps() {
    let spec = ModelSpec::UNetPlusPlus { filters: vec![16, 32, 64, 128, 256], deep_supervision: false };
    let graph = spec.graph(1, 10).unwrap();
    let parameters = ParamStore::initialise(&graph, 0, DType::F32, &Device::Cpu).unwrap();
    let mut engine = engine::build(&graph, &Device::Cpu).unwrap();
    let values: Vec<f32> = (0..BATCH * 200 * 160).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    let images = Tensor::from_vec(values, (BATCH, 1, 200, 160), &Device::Cpu).unwrap();
    let mut seconds = Vec::new();
    for _ in 0..=STEPS {
        let start = Instant::now();
        let heads = engine.forward(&images, &parameters, Mode::Train).unwrap();
        let forward = start.elapsed().as_secs_f64();
        let gradients = heads[0].sqr().unwrap().mean_all().unwrap().backward().unwrap();
        let step = (gradients.get(parameters.trained()).unwrap() * 1e-3).unwrap();
        parameters.trained().set(&(parameters.trained().as_tensor() - step).unwrap()).unwrap();
        seconds.push((start.elapsed().as_secs_f64(), forward));
    }
    seconds.remove(0);
    seconds.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (step, forward) = seconds[STEPS / 2];
    let rate = BATCH as f64 / step;
    println!("{spec:?}: {rate:.2} images/s, {:.0} ms a step, {:.0} ms of it forward", step * 1e3, forward * 1e3);
}
