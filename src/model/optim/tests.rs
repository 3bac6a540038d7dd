use super::*;
use candle_core::Device;

/// Four steps on `Σ (k+1)·w·p²` from fixed parameters, like the torch 2.15 program that made the expected values.
fn descend(spec: OptimizerSpec) -> Vec<f64> {
    let parameters = Var::from_vec(vec![1.0f64, -2.0, 0.5], 3, &Device::Cpu).unwrap();
    let weights = Tensor::from_vec(vec![1.0f64, 0.5, 3.0], 3, &Device::Cpu).unwrap();
    let mut optimizer = Optimizer::new(spec, &parameters).unwrap();
    for k in 1..=4 {
        let gradient = ((parameters.as_tensor() * &weights).unwrap() * (2.0 * f64::from(k))).unwrap();
        if k == 3 {
            // A restored optimizer continues as if nothing had happened.
            let (steps, state) = (optimizer.steps(), optimizer.state());
            optimizer = Optimizer::new(spec, &parameters).unwrap();
            optimizer.restore(steps, &state).unwrap();
        }
        // Half of twice the gradient.
        let twice = (gradient * 2.0).unwrap();
        optimizer.step(&parameters, &twice, 0.5, spec.lr()).unwrap();
    }
    parameters.to_vec1().unwrap()
}

fn close(ours: &[f64], theirs: [f64; 3]) {
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() < 1e-12, "{ours:?} against {theirs:?}");
    }
}

#[test]
fn adamw_is_pytorchs() {
    let spec = OptimizerSpec::Adamw { lr: 0.1, weight_decay: 0.02, betas: [0.8, 0.95], eps: 1e-6 };
    close(&descend(spec), [0.594_521_055_557_879, -1.588_385_412_385_9, 0.096_806_942_895_4]);
}

#[test]
fn sgd_is_pytorchs() {
    let sgd = |momentum, weight_decay, nesterov| OptimizerSpec::Sgd { lr: 0.1, momentum, weight_decay, nesterov };
    close(
        &descend(sgd(0.9, 0.02, true)),
        [-0.123_430_192_864_286_43, 0.587_962_495_002_172_9, -0.689_509_317_758_543_4],
    );
    close(&descend(sgd(0.9, 0.0, false)), [-0.633, 0.54, 0.3845]);
    close(&descend(sgd(0.0, 0.02, false)), [0.037_605_584_016, -0.598_226_752_032, -0.045_198_791_992]);
}

#[test]
fn slowed_parameters_are_trained_as_if_alone_and_later() {
    let spec = OptimizerSpec::Adamw { lr: 0.1, weight_decay: 0.02, betas: [0.8, 0.95], eps: 1e-6 };
    let gradient = Tensor::from_vec(vec![1.0f64, -0.5, 0.25, 2.0], 4, &Device::Cpu).unwrap();
    let run = |values: &[f64], gradient: &Tensor, slowed: Option<Slowed>, lr: f64, steps: usize| {
        let parameters = Var::from_vec(values.to_vec(), values.len(), &Device::Cpu).unwrap();
        let mut optimizer = Optimizer::new(spec, &parameters).unwrap();
        optimizer.slow(slowed);
        for _ in 0..steps {
            optimizer.step(&parameters, gradient, 1.0, lr).unwrap();
        }
        parameters.to_vec1::<f64>().unwrap()
    };
    let start = [1.0, -2.0, 0.5, 3.0];
    let slowed = Slowed { ranges: std::iter::once(1..3).collect(), lr_factor: 0.1, frozen_steps: 2 };
    let found = run(&start, &gradient, Some(slowed.clone()), 0.1, 5);
    // The others as ever; these like three steps of a tenth, their moments from zero.
    let others = run(&start, &gradient, None, 0.1, 5);
    let late = run(&start[1..3], &gradient.narrow(0, 1, 2).unwrap(), None, 0.1 * 0.1, 3);
    assert_eq!(found, [others[0], late[0], late[1], others[3]]);
    assert_eq!(run(&start, &gradient, Some(slowed), 0.1, 2)[1..3], start[1..3]);
    let never = Slowed { ranges: std::iter::once(0..4).collect(), lr_factor: 0.0, frozen_steps: 0 };
    assert_eq!(run(&start, &gradient, Some(never), 0.1, 3), start);
}

#[test]
fn impossible_values_name_their_key() {
    let spec = OptimizerSpec::Adamw { lr: 0.1, weight_decay: 0.0, betas: [0.9, 1.0], eps: 1e-8 };
    assert_eq!(spec.check().unwrap_err().location.as_deref(), Some("betas"));
    let spec = OptimizerSpec::Sgd { lr: -1.0, momentum: 0.0, weight_decay: 0.0, nesterov: false };
    assert_eq!(spec.check().unwrap_err().location.as_deref(), Some("lr"));
}
