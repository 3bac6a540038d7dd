use candle_core::DType;

use super::super::tests::{LOSSES, maps, profiles, tensor};
use super::*;
use crate::loss::Criterion;
use sweep_emulator::{Emulator, assert_layout, gpus};

#[test]
fn parameters_are_laid_out_as_the_kernels_have_them() {
    let Some(emulator) = Emulator::new(false) else { return };
    assert_layout!(
        emulator,
        "difference_loss",
        Loss {
            maps,
            gradient,
            rows,
            columns,
            factors,
            partials,
            losses,
            logarithms,
            tops,
            row_sums,
            column_sums,
            row_slopes,
            column_slopes,
            divisor,
            settings,
            kind,
            planes,
            height,
            width,
            chunks,
            rows_of_chunk,
            unused
        }
    );
}

#[test]
fn values_and_gradients_are_the_processors() {
    for (loss, test_gpu) in
        LOSSES.into_iter().flat_map(|loss| gpus().into_iter().map(move |test_gpu| (loss.clone(), test_gpu)))
    {
        for nudge in [0.0, 30.0] {
            let head = tensor(maps(Some(5), nudge)).to_dtype(DType::F32).unwrap();
            let mut on_gpu = Criterion::with_gpu(loss.clone(), Arc::clone(&test_gpu.gpu));
            let moved = head.to_device(&test_gpu.device).unwrap();
            let (value, gradients) = on_gpu.with_gradients(&[moved], &profiles()).unwrap();
            let found: Vec<f32> = gradients[0].flatten_all().unwrap().to_vec1().unwrap();
            let mut here = Criterion::new(loss.clone());
            let (expected, gradients) = here.with_gradients(&[head], &profiles()).unwrap();
            assert!((value - expected).abs() < 1e-6 * expected.abs(), "{loss:?}: {value} {expected}");
            let gradient: Vec<f32> = gradients[0].flatten_all().unwrap().to_vec1().unwrap();
            let largest = gradient.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            for (index, (f, e)) in found.iter().zip(&gradient).enumerate() {
                assert!((f - e).abs() < 1e-6 * largest, "{loss:?} at {index}: {f} {e}");
            }
        }
    }
}

/// A loss that a program brings: half the squares of the differences.
#[derive(serde::Deserialize)]
struct HalfSquares {}

impl crate::loss::custom::MapLoss for HalfSquares {
    fn version(&self) -> u32 {
        1
    }

    fn of_map(&self, map: &[f32], target: &sweep_data::heatmap::Profiles, mut gradient: Option<&mut [f32]>) -> f64 {
        let width = target.columns.len();
        let mut sum = 0.0;
        for (i, value) in map.iter().enumerate() {
            let off = value - target.rows[i / width] * target.columns[i % width];
            sum += 0.5 * f64::from(off * off);
            if let Some(gradient) = &mut gradient {
                gradient[i] = off;
            }
        }
        sum
    }
}

#[test]
fn a_custom_loss_goes_through_the_processor() {
    crate::loss::custom::add_loss::<HalfSquares>("half-squares").unwrap();
    let loss: LossSpec = toml::from_str("name = 'custom'\nkind = 'half-squares'").unwrap();
    for test_gpu in gpus() {
        let head = tensor(maps(Some(5), 0.0)).to_dtype(DType::F32).unwrap();
        let moved = head.to_device(&test_gpu.device).unwrap();
        let mut on_gpu = Criterion::with_gpu(loss.clone(), Arc::clone(&test_gpu.gpu));
        let (value, gradients) = on_gpu.with_gradients(&[moved], &profiles()).unwrap();
        let found: Vec<f32> = gradients[0].flatten_all().unwrap().to_vec1().unwrap();
        let mut here = Criterion::new(loss.clone());
        let (expected, gradients) = here.with_gradients(&[head], &profiles()).unwrap();
        assert!(expected > 0.0);
        assert_eq!(value.to_bits(), expected.to_bits());
        assert_eq!(found, gradients[0].flatten_all().unwrap().to_vec1::<f32>().unwrap());
    }
}

#[test]
fn large_planes_are_cut_into_chunks() {
    let target = |x: f32, y: f32| sweep_data::heatmap::Profiles {
        rows: (0..150).map(|i| (-0.3 * (i as f32 - y).abs()).exp()).collect(),
        columns: (0..43).map(|i| (-0.3 * (i as f32 - x).abs()).exp()).collect(),
    };
    let targets = vec![vec![Some(target(12.3, 140.1)), None, Some(target(0.0, 7.7))]];
    let values: Vec<f32> = (0..3 * 150 * 43).map(|i| (i as f32 * 0.7).sin() * 20.0).collect();
    let maps = Tensor::from_vec(values, (1, 3, 150, 43), &Device::Cpu).unwrap();
    for (loss, test_gpu) in
        LOSSES.into_iter().flat_map(|loss| gpus().into_iter().map(move |test_gpu| (loss.clone(), test_gpu)))
    {
        let moved = maps.to_device(&test_gpu.device).unwrap();
        let found = PlaneLosses::new(Arc::clone(&test_gpu.gpu)).of(&loss, &moved, &targets, None).unwrap();
        let planes: Vec<f32> = maps.flatten_all().unwrap().to_vec1().unwrap();
        let expected = loss.of_image(&planes, &targets[0]);
        assert!((found.iter().sum::<f64>() / 2.0 - expected).abs() < 1e-6 * expected, "{loss:?}");
    }
}

#[test]
fn what_is_not_a_number_shows() {
    let Some(gpu) = Emulator::gpu(false) else { return };
    for loss in LOSSES {
        for index in [0, 11] {
            let mut values = maps(None, 0.0);
            values[index] = f64::NAN;
            let head = tensor(values).to_dtype(DType::F32).unwrap();
            let mut criterion = Criterion::with_gpu(loss.clone(), Arc::clone(&gpu));
            assert!(criterion.with_gradients(&[head], &profiles()).unwrap().0.is_nan(), "{loss:?}");
        }
    }
}
