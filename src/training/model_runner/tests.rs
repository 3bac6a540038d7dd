//! Heatmaps whose widths are trained, of one stage and of two.

use candle_core::Device;

use super::*;
use crate::train::Data;
use sweep_data::cache::Cache;

const ONE: &str = "{ name = 'unet', filters = [4, 8] }";
const TWO: &str = "{ name = 'two-stage', coarse = { name = 'unet', filters = [4, 8] },
    fine = { name = 'unet', filters = [4, 8] }, size = { height = 60, width = 48 }, crop = 16 }";

fn config(model: &str) -> TrialConfig {
    toml::from_str(&format!(
        "epochs = 1
        seed = 4
        dataset = {{ name = 'phantom', train = 3, val = 2, height = 40, width = 32 }}
        input = {{ height = 40, width = 32 }}
        model = {}
        loss = {{ name = 'sum-l2', scale = 10 }}
        heatmap = {{ name = 'learned-gaussian', sigma = 2 }}",
        model.replace('\n', " ")
    ))
    .unwrap()
}

/// Sets one number of a parameter.
fn set(parameters: &ParamStore, name: &str, place: usize, value: f32) {
    let mut all = parameters.named().unwrap();
    let mut values: Vec<f32> = all[name].to_vec1().unwrap();
    values[place] = value;
    let len = values.len();
    all.insert(name.into(), Tensor::from_vec(values, len, &Device::Cpu).unwrap());
    parameters.load(&all).unwrap();
}

#[test]
fn gradients_to_widths_are_the_central_differences() {
    for (model, names) in [(ONE, vec!["heatmap.sigma"]), (TWO, vec!["coarse.heatmap.sigma", "fine.heatmap.sigma"])] {
        let config = config(model);
        let data = Data::load_through(&Cache::none(), &config).unwrap();
        let mut network = Network::new(&config, data.dataset.landmarks.len(), &Device::Cpu).unwrap();
        assert!(network.trains_targets());
        let parameters = network.parameters(config.seed).unwrap();
        let batch = data.train.in_order(config.batch_size).next().unwrap().unwrap();
        let gradient = network.step(&parameters, &batch, 0).unwrap().gradient.copy().unwrap();
        for name in names {
            let found: Vec<f32> = parameters.part_of(name, &gradient).unwrap().to_vec1().unwrap();
            for (place, found) in found.into_iter().enumerate() {
                let mut at = |sigma: f32| {
                    set(&parameters, name, place, sigma);
                    network.step(&parameters, &batch, 0).unwrap().loss
                };
                let numeric = (at(2.02) - at(1.98)) / 0.04;
                set(&parameters, name, place, 2.0);
                assert!((f64::from(found) - numeric).abs() < 2e-3 * numeric.abs(), "{name} {place}: {found} {numeric}");
            }
        }
    }
}

#[test]
fn what_is_seen_and_the_loss_of_nothing_follow_the_widths() {
    for (model, names) in [(ONE, vec!["heatmap.sigma"]), (TWO, vec!["coarse.heatmap.sigma", "fine.heatmap.sigma"])] {
        let config = config(model);
        let data = Data::load_through(&Cache::none(), &config).unwrap();
        let mut network = Network::new(&config, data.dataset.landmarks.len(), &Device::Cpu).unwrap();
        let parameters = network.parameters(config.seed).unwrap();
        let batch = data.val.in_order(config.batch_size).next().unwrap().unwrap();
        let zero = network.zero_loss(&parameters, &data.val).unwrap();
        let before = network.evaluate(&parameters, &batch).unwrap();
        for name in names {
            set(&parameters, name, 1, 1.0);
        }
        assert!(network.zero_loss(&parameters, &data.val).unwrap() > zero, "narrower heatmaps are higher");
        let after = network.evaluate(&parameters, &batch).unwrap();
        let predicted = network.predict(&parameters, &batch).unwrap();
        for ((before, after), predicted) in before.iter().zip(&after).zip(&predicted) {
            assert_ne!(before.loss, after.loss);
            assert_eq!(&after.landmarks, predicted);
            for (k, (before, after)) in before.landmarks.iter().zip(&after.landmarks).enumerate() {
                // Half as wide is four times as high: the same map is a quarter as sure.
                let expected = before.confidence / if k == 1 { 4.0 } else { 1.0 };
                assert_eq!(before.at, after.at);
                assert!((after.confidence - expected).abs() < 1e-12, "{k}: {before:?} {after:?}");
            }
        }
    }
}
