use candle_core::{DType, Device};

use super::*;
use crate::networks::ModelSpec;
use sweep_graph::Graph;

fn network() -> Graph {
    toml::from_str::<ModelSpec>("name = 'unet'\nfilters = [2, 3]").unwrap().graph(1, 1).unwrap()
}

fn parameters() -> ParamStore {
    ParamStore::initialise(&network(), 3, DType::F64, &Device::Cpu).unwrap()
}

fn spec(accumulate: usize, gradient_clip: Option<f64>, ema: Option<f64>) -> UpdateSpec {
    UpdateSpec {
        optimizer: OptimizerSpec::Sgd { lr: 0.1, momentum: 0.0, weight_decay: 0.0, nesterov: false },
        accumulate: NonZeroUsize::new(accumulate).unwrap(),
        gradient_clip,
        ema: ema.map(|decay| Ema { decay }),
    }
}

fn gradient(parameters: &ParamStore, value: f64) -> Tensor {
    Tensor::full(value, parameters.trained().dims(), &Device::Cpu).unwrap()
}

fn values(parameters: &ParamStore) -> Vec<f64> {
    parameters.trained().to_vec1().unwrap()
}

fn moved(before: &[f64], parameters: &ParamStore) -> f64 {
    let steps: Vec<f64> = before.iter().zip(values(parameters)).map(|(b, a)| b - a).collect();
    assert!(steps.iter().all(|s| (s - steps[0]).abs() < 1e-12), "{steps:?}");
    steps[0]
}

#[test]
fn several_batches_step_along_the_mean_over_their_images() {
    let parameters = parameters();
    let before = values(&parameters);
    let mut update = Update::new(spec(3, None, None), &parameters).unwrap();
    // Twice, so that a rest of the first sum would show in the second.
    for (times, [a, b, c]) in [(1.0, [1.0, 5.0, 2.0]), (2.0, [1.0, 5.0, 2.0])] {
        for (value, images, complete) in [(a, 4, false), (b, 1, false), (c, 3, true)] {
            update.add(&parameters, &gradient(&parameters, value), images, complete, 0.1).unwrap();
        }
        let mean = (4.0 + 5.0 + 6.0) / 8.0;
        assert!((moved(&before, &parameters) - 0.1 * mean * times).abs() < 1e-12);
    }
    assert_eq!(update.steps(), 2);
}

#[test]
fn a_long_gradient_is_cut_as_pytorch_does() {
    let parameters = parameters();
    let count = values(&parameters).len() as f64;
    // torch.nn.utils.clip_grad_norm_: g · min(1, max_norm / (‖g‖ + 1e-6)).
    for (value, longest) in [(3.0, 0.5), (3.0, 1e6)] {
        let before = values(&parameters);
        let mut update = Update::new(spec(1, Some(longest), None), &parameters).unwrap();
        update.add(&parameters, &gradient(&parameters, value), 1, true, 0.1).unwrap();
        let norm = value * count.sqrt();
        let want = 0.1 * value * (longest / (norm + 1e-6)).min(1.0);
        assert!((moved(&before, &parameters) - want).abs() < 1e-12);
    }
}

#[test]
fn the_average_follows_the_weights() {
    let parameters = parameters();
    let mut update = Update::new(spec(1, None, Some(0.5)), &parameters).unwrap();
    let mut average = values(&parameters);
    for step in 1..=4 {
        update.add(&parameters, &gradient(&parameters, f64::from(step)), 1, true, 0.1).unwrap();
        let keep = 0.5f64.min(f64::from(1 + step) / f64::from(10 + step));
        for (a, w) in average.iter_mut().zip(values(&parameters)) {
            *a = keep * *a + (1.0 - keep) * w;
        }
    }
    let found = values(update.predicting(&parameters));
    assert!(average.iter().zip(&found).all(|(a, f)| (a - f).abs() < 1e-12));
    assert!(found != values(&parameters), "the weights themselves change further");
}

#[test]
fn goes_on_as_if_nothing_had_happened() {
    let parameters = parameters();
    let mut update = Update::new(spec(2, Some(1.0), Some(0.9)), &parameters).unwrap();
    let run = |update: &mut Update, parameters: &ParamStore, from: u32| {
        for k in from..from + 4 {
            let gradient = gradient(parameters, f64::from(k));
            update.add(parameters, &gradient, 2, k % 2 == 1, 0.1).unwrap();
        }
    };
    run(&mut update, &parameters, 0);
    let predicting = update.predicting(&parameters).named().unwrap();
    let copied = |map: BTreeMap<String, Tensor>| -> BTreeMap<String, Tensor> {
        map.into_iter().map(|(name, t)| (name, t.copy().unwrap())).collect()
    };
    let (steps, predicting, state) = (update.steps(), copied(predicting), copied(update.state(&parameters)));
    run(&mut update, &parameters, 4);

    let again = ParamStore::initialise(&network(), 8, DType::F64, &Device::Cpu).unwrap();
    let mut resumed = Update::new(spec(2, Some(1.0), Some(0.9)), &again).unwrap();
    resumed.restore(steps, &predicting, &state, &again).unwrap();
    run(&mut resumed, &again, 4);
    assert_eq!(values(&again), values(&parameters));
    assert_eq!(values(resumed.predicting(&again)), values(update.predicting(&parameters)));
    let mut other = Update::new(spec(2, Some(1.0), Some(0.9)), &again).unwrap();
    let without = state.into_iter().filter(|(name, _)| name != "trained").collect();
    assert!(other.restore(steps, &predicting, &without, &again).unwrap_err().message.contains("trained"));
}
