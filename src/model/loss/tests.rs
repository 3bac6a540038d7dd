//! Tests of every loss: against central differences, itself in other precisions, and PyTorch.

use std::collections::HashSet;
use std::mem::discriminant;

use candle_core::Device;

use super::*;
use sweep_core::units::{Point, Size};
use sweep_data::decode::MapKind;
use sweep_data::heatmap::Widths;

pub(super) const LOSSES: [LossSpec; 15] = [
    LossSpec::L1 {},
    LossSpec::SmoothL1 { beta: 1.0 },
    LossSpec::SmoothL1 { beta: 0.1 },
    LossSpec::Mse {},
    LossSpec::Nll {},
    LossSpec::SumL2 { scale: 100.0 },
    LossSpec::WeightedL1 { weight: 10.0 },
    LossSpec::WeightedMse { weight: 10.0 },
    LossSpec::AdaptiveWing { omega: 14.0, theta: 0.5, epsilon: 1.0, alpha: 2.1, weight: 10.0 },
    LossSpec::AdaptiveWing { omega: 9.0, theta: 1.2, epsilon: 0.7, alpha: 2.3, weight: 0.0 },
    LossSpec::Focal { alpha: 2.0, beta: 4.0 },
    LossSpec::Dsnt { regularizer: 1.0 },
    LossSpec::Dsnt { regularizer: 0.0 },
    LossSpec::Wasserstein { regularizer: 1.0 },
    LossSpec::Wasserstein { regularizer: 0.0 },
];

/// Custom losses are tested in [`custom`].
#[test]
fn no_loss_is_left_out() {
    let tested: HashSet<_> = LOSSES.iter().map(discriminant).collect();
    for loss in LossSpec::examples().iter().filter(|loss| !matches!(loss, LossSpec::Custom(_))) {
        assert!(tested.contains(&discriminant(loss)), "{loss:?}");
    }
    assert!(LOSSES.iter().all(|loss| loss.check().is_ok()));
}

fn reference() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../tests/fixtures/losses/reference.json")).unwrap()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn trained_widths_have_pytorchs_gradients() {
    let reference = reference();
    let case = &reference["widths"];
    let number = |key: &str| case[key].as_f64().unwrap();
    let scale = number("scale");
    let widths = Widths::new(numbers(&case["sigmas"]), number("start"), number("penalty"), scale);
    let position = |at: &serde_json::Value| {
        let at = at.as_array().map(|_| numbers(at))?;
        Some(Point { x: at[0], y: at[1] })
    };
    let images = case["places"].as_array().unwrap();
    let positions: Vec<Vec<Option<Point>>> =
        images.iter().map(|image| image.as_array().unwrap().iter().map(position).collect()).collect();
    let size = Size { height: 4, width: 19 };
    let heatmap = |(k, at): (usize, &Option<Point>)| at.map(|at| widths.profiles(k, at, size));
    let targets: Targets = positions.iter().map(|image| image.iter().enumerate().map(heatmap).collect()).collect();
    let maps = Tensor::from_vec(numbers(&reference["maps"]), (2, 2, 4, 19), &Device::Cpu).unwrap();
    for (dtype, bound) in [(DType::F64, 1e-10), (DType::F32, 1e-6)] {
        let mut criterion = Criterion::new(LossSpec::SumL2 { scale });
        // Twice the same head is the same mean.
        for heads in [1, 2] {
            let heads = vec![maps.to_dtype(dtype).unwrap(); heads];
            let (value, to_heads) = criterion.with_gradients(&heads, &targets).unwrap();
            let value = value + width::penalty(&widths, &targets);
            assert!((value - number("value")).abs() < bound * value, "{value}");
            let out = Tensor::ones(2, dtype, &Device::Cpu).unwrap();
            width::write_gradient(&widths, to_heads, &targets, &positions, &out).unwrap();
            let out: Vec<f64> = out.to_dtype(DType::F64).unwrap().to_vec1().unwrap();
            for (found, expected) in out.iter().zip(numbers(&case["gradient"])) {
                assert!((found - expected).abs() < bound * expected.abs(), "{dtype:?}: {found} {expected}");
            }
        }
    }
}

#[test]
fn values_and_gradients_are_pytorchs() {
    let reference = reference();
    let narrow = |value: &serde_json::Value| numbers(value).into_iter().map(|v| v as f32).collect();
    let target = |value: &serde_json::Value| {
        (!value.is_null()).then(|| Profiles { rows: narrow(&value["rows"]), columns: narrow(&value["columns"]) })
    };
    let images = reference["targets"].as_array().unwrap();
    let targets: Targets = images.iter().map(|image| image.as_array().unwrap().iter().map(target).collect()).collect();
    let maps = Tensor::from_vec(numbers(&reference["maps"]), (2, 2, 4, 19), &Device::Cpu).unwrap();
    let losses = reference["losses"].as_array().unwrap();
    for case in losses {
        let loss: LossSpec = serde_json::from_value(case["loss"].clone()).unwrap();
        let mut criterion = Criterion::new(loss.clone());
        let (value, gradients) = criterion.with_gradients(std::slice::from_ref(&maps), &targets).unwrap();
        let expected = case["value"].as_f64().unwrap();
        assert!((value - expected).abs() <= 1e-10 * expected.abs(), "{loss:?}: {value} {expected}");
        let found: Vec<f64> = gradients[0].flatten_all().unwrap().to_vec1().unwrap();
        let expected = numbers(&case["gradient"]);
        let largest = expected.iter().fold(0.0f64, |m, g| m.max(g.abs()));
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!((found - expected).abs() <= 1e-10 * largest, "{loss:?} at {index}: {found} {expected}");
        }
    }
    assert_eq!(losses.len(), LOSSES.len());
}

pub(super) fn profiles() -> Targets {
    let make = |shift: f32| Profiles {
        rows: (0..3).map(|y| (-(y as f32 - shift).abs()).exp()).collect(),
        columns: (0..4).map(|x| (-(x as f32 - 2.0 * shift).abs()).exp()).collect(),
    };
    vec![vec![Some(make(0.5)), None], vec![Some(make(1.25)), Some(make(0.0))], vec![None, None]]
}

pub(super) fn maps(nudge: Option<usize>, step: f64) -> Vec<f64> {
    let mut values: Vec<f64> = (0..72).map(|i| (f64::from(i) * 0.37).sin()).collect();
    if let Some(i) = nudge {
        values[i] += step;
    }
    values
}

pub(super) fn tensor(values: Vec<f64>) -> Tensor {
    Tensor::from_vec(values, (3, 2, 3, 4), &Device::Cpu).unwrap()
}

fn total(loss: &LossSpec, values: Vec<f64>) -> f64 {
    Criterion::new(loss.clone()).with_gradients(&[tensor(values)], &profiles()).unwrap().0
}

fn gradients(loss: &LossSpec, heads: &[Tensor]) -> Vec<Vec<f64>> {
    let mut criterion = Criterion::new(loss.clone());
    // Used buffers give the same results.
    let elsewhere = heads.iter().map(|head| head.affine(3.0, 1.0).unwrap()).collect::<Vec<_>>();
    criterion.with_gradients(&elsewhere, &profiles().into_iter().rev().collect()).unwrap();
    let (_, gradients) = criterion.with_gradients(heads, &profiles()).unwrap();
    let wide = |g: &Tensor| g.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
    gradients.iter().map(wide).collect()
}

#[test]
fn gradients_are_the_central_differences() {
    for loss in LOSSES {
        for (i, analytic) in gradients(&loss, &[tensor(maps(None, 0.0))])[0].iter().enumerate() {
            let h = 1e-5;
            let numeric = (total(&loss, maps(Some(i), h)) - total(&loss, maps(Some(i), -h))) / (2.0 * h);
            // Differences of large values have few correct digits.
            let bound = 1e-8 * total(&loss, maps(None, 0.0)).max(1.0);
            assert!((numeric - analytic).abs() < bound, "{loss:?} at {i}: {analytic} against {numeric}");
        }
    }
}

#[test]
fn heads_count_alike() {
    for loss in LOSSES {
        let heads = [maps(None, 0.0), maps(Some(0), 1.0)].map(tensor);
        let (value, _) = {
            let mut criterion = Criterion::new(loss.clone());
            let (value, gradients) = criterion.with_gradients(&heads, &profiles()).unwrap();
            (value, gradients.len())
        };
        let alone: Vec<f64> = [maps(None, 0.0), maps(Some(0), 1.0)].map(|m| total(&loss, m)).to_vec();
        assert!((value - f64::midpoint(alone[0], alone[1])).abs() < 1e-14 * value.max(1.0));
        let (both, one) = (gradients(&loss, &heads), gradients(&loss, &heads[1..]));
        assert!(both[1].iter().zip(&one[0]).all(|(b, o)| (2.0 * b - o).abs() < 1e-14 * o.abs().max(0.1)), "{loss:?}");
    }
}

#[test]
fn single_precision_is_as_good_as_it_can_be() {
    // Maps as wide as in training, with a rest beside the lanes; logits as far apart as trained ones.
    let (height, width) = (50, 43);
    let target = |x: f32, y: f32| Profiles {
        rows: (0..height).map(|i| (-0.3 * (i as f32 - y).abs()).exp()).collect(),
        columns: (0..width).map(|i| (-0.3 * (i as f32 - x).abs()).exp()).collect(),
    };
    let targets = vec![vec![Some(target(12.3, 40.1)), Some(target(0.0, 7.7))]];
    let values: Vec<f32> = (0..2 * height * width).map(|i| (i as f32 * 0.7).sin() * 20.0).collect();
    let maps = Tensor::from_vec(values, (1, 2, height, width), &Device::Cpu).unwrap();
    for loss in LOSSES {
        let run = |dtype| {
            let mut criterion = Criterion::new(loss.clone());
            let heads = [maps.to_dtype(dtype).unwrap()];
            let (value, gradients) = criterion.with_gradients(&heads, &targets).unwrap();
            let gradient = gradients[0].to_dtype(DType::F64).unwrap().flatten_all().unwrap();
            (value, gradient.to_vec1::<f64>().unwrap())
        };
        let ((narrow, found), (wide, exact)) = (run(DType::F32), run(DType::F64));
        assert!((narrow - wide).abs() < 5e-7 * wide, "{loss:?}: {narrow} against {wide}");
        let largest = exact.iter().fold(0.0f64, |m, g| m.max(g.abs()));
        let worst = found.iter().zip(&exact).fold(0.0f64, |m, (f, e)| m.max((f - e).abs()));
        assert!(worst < 5e-7 * largest, "{loss:?}: {worst:e} of {largest:e}");
    }
}

#[test]
fn what_is_not_a_number_shows() {
    for loss in LOSSES {
        for index in [0, 11] {
            let mut values = maps(None, 0.0);
            values[index] = f64::NAN;
            let maps = tensor(values).to_dtype(DType::F32).unwrap();
            assert!(Criterion::new(loss.clone()).with_gradients(&[maps], &profiles()).unwrap().0.is_nan(), "{loss:?}");
        }
    }
}

#[test]
fn targets_of_another_shape_are_refused() {
    let mut criterion = Criterion::new(LossSpec::L1 {});
    let mut targets = profiles();
    targets.pop();
    assert!(criterion.with_gradients(&[tensor(maps(None, 0.0))], &targets).is_err());
}

#[test]
fn missing_landmarks_take_part_in_nothing() {
    for loss in LOSSES {
        let changed: Vec<f64> = maps(None, 0.0)
            .iter()
            .enumerate()
            .map(|(i, v)| if (12..24).contains(&i) || i >= 48 { 100.0 } else { *v })
            .collect();
        let before = total(&loss, maps(None, 0.0));
        assert!((total(&loss, changed) - before).abs() < 1e-15 * before.max(1.0), "{loss:?}");
    }
}

#[test]
fn batch_size_does_not_change_the_mean_per_image() {
    for loss in LOSSES {
        let all = maps(None, 0.0);
        let single: Vec<f64> = (0..3)
            .map(|image| {
                let planes: Vec<f32> = all[image * 24..(image + 1) * 24].iter().map(|v| *v as f32).collect();
                loss.of_image(&planes, &profiles()[image])
            })
            .collect();
        let all = total(&loss, all);
        assert!((all - single.iter().sum::<f64>() / 2.0).abs() < 1e-6 * all.max(1.0), "{loss:?}");
    }
}

#[test]
fn a_zero_output_scores_the_size_of_the_target() {
    let target = &profiles()[0];
    let heat = target[0].as_ref().unwrap();
    let sum = |power: i32| -> f64 {
        heat.rows.iter().flat_map(|r| heat.columns.iter().map(move |c| f64::from(r * c).powi(power))).sum::<f64>()
    };
    assert!((LossSpec::L1 {}.of_zeros(target) - sum(1) / 12.0).abs() < 1e-7);
    assert!((LossSpec::SmoothL1 { beta: 1.0 }.of_zeros(target) - sum(2) / 24.0).abs() < 1e-7);
    assert!((LossSpec::Nll {}.of_zeros(target) - 12f64.ln()).abs() < 1e-12);
    assert!((LossSpec::SumL2 { scale: 100.0 }.of_zeros(target) - 5e3 * sum(2)).abs() < 1e-3);
    assert!((LossSpec::WeightedL1 { weight: 10.0 }.of_zeros(target) - (sum(1) + 10.0 * sum(2)) / 12.0).abs() < 1e-6);
}

/// Collapse is a loss near that of an empty output: of a network whose maps show nothing, not of one that finds
/// landmarks.
#[test]
fn a_loss_near_that_of_nothing_is_a_map_of_nothing() {
    let target = &profiles()[0];
    let heat = target[0].as_ref().unwrap().product();
    for loss in LOSSES {
        let nothing = loss.of_zeros(target);
        let of = |values: Vec<f32>| loss.of_image(&[values, vec![0.0; 12]].concat(), target) / nothing;
        assert!(nothing > 0.0 && nothing.is_finite(), "{loss:?}");
        let constant = match loss.map_kind() {
            MapKind::Heatmap | MapKind::Scaled { .. } => vec![0.0],
            MapKind::Logits => vec![-5.0, 0.0, 5.0],
            // The least loss of all constants counts.
            MapKind::Sigmoid => (-800..400).map(|z| z as f32 / 100.0).collect(),
        };
        let least = constant.iter().map(|v| of(vec![*v; 12])).fold(f64::INFINITY, f64::min);
        assert!((least - 1.0).abs() < 1e-3, "{loss:?}: {least}");
        let shown = heat.iter().map(|v| match loss.map_kind() {
            MapKind::Heatmap => *v,
            MapKind::Scaled { peak } => peak * v,
            MapKind::Logits => v.ln(),
            MapKind::Sigmoid => {
                if *v > 0.5 {
                    3.0
                } else {
                    -3.0
                }
            }
        });
        assert!(of(shown.collect()) < 0.9, "{loss:?}");
    }
}

#[test]
fn unknown_keys_are_refused_even_for_losses_without_any() {
    assert!(toml::from_str::<LossSpec>("name = \"l1\"\nbeta = 2").is_err());
}
