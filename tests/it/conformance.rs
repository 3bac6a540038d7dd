//! Every network, on the engine of the CPU: shapes, a finite gradient on every parameter, and weights that survive
//! a file. A new variant of `ModelSpec` is tested by being added to [`all`], which the compiler asks for.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use landmark_sweep::engine::{self, Mode, Precision};
use landmark_sweep::graph::Node;
use landmark_sweep::models::ModelSpec;
use landmark_sweep::params::ParamStore;

const LANDMARKS: usize = 3;

/// Small networks of every kind, with their number of heads.
fn all() -> Vec<(ModelSpec, usize)> {
    let specs = vec![
        ModelSpec::UNetPlusPlus { filters: vec![3, 5, 6], deep_supervision: false },
        ModelSpec::UNetPlusPlus { filters: vec![3, 4, 5, 6], deep_supervision: true },
        ModelSpec::UNet { filters: vec![3, 5, 6] },
    ];
    specs
        .into_iter()
        .map(|spec| {
            let heads = match &spec {
                ModelSpec::UNetPlusPlus { filters, deep_supervision: true } => filters.len() - 1,
                ModelSpec::UNetPlusPlus { deep_supervision: false, .. } | ModelSpec::UNet { .. } => 1,
            };
            (spec, heads)
        })
        .collect()
}

fn images(dtype: DType) -> Tensor {
    let values: Vec<f64> = (0..2 * 2 * 17 * 13).map(|i| f64::from(i * 37 % 101) / 101.0).collect();
    Tensor::from_vec(values, (2, 2, 17, 13), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

#[test]
fn every_head_has_the_images_size_and_a_map_for_each_landmark() {
    for (spec, heads) in all() {
        let graph = spec.graph(2, LANDMARKS).unwrap();
        let parameters = ParamStore::initialise(&graph, 1, DType::F32, &Device::Cpu).unwrap();
        let mut engine = engine::build(&graph, DType::F32, Precision::Fp32, &Device::Cpu).unwrap();
        for mode in [Mode::Train, Mode::Evaluate] {
            let outputs = engine.forward(&images(DType::F32), &parameters, mode).unwrap();
            assert_eq!(outputs.len(), heads, "{spec:?}");
            for output in outputs {
                assert_eq!(output.dims(), [2, LANDMARKS, 17, 13], "{spec:?} {mode:?}");
            }
        }
    }
}

#[test]
fn every_parameter_has_a_finite_gradient_that_is_not_all_zero() {
    for dtype in [DType::F32, DType::F64] {
        for (spec, _) in all() {
            let graph = spec.graph(2, LANDMARKS).unwrap();
            let parameters = ParamStore::initialise(&graph, 1, dtype, &Device::Cpu).unwrap();
            let mut engine = engine::build(&graph, dtype, Precision::Fp32, &Device::Cpu).unwrap();
            let outputs = engine.forward(&images(dtype), &parameters, Mode::Train).unwrap();
            let mut loss = outputs[0].sqr().unwrap().sum_all().unwrap();
            for output in &outputs[1..] {
                loss = (loss + output.sqr().unwrap().sum_all().unwrap()).unwrap();
            }
            // A normalisation takes away what the bias in front of it added: its gradient is zero but for rounding.
            let undone: BTreeSet<String> = graph
                .nodes()
                .iter()
                .filter_map(|node| match node {
                    Node::Convolution { name, norm: Some(_), .. } => Some(format!("{name}.bias")),
                    _ => None,
                })
                .collect();
            let gradients = loss.backward().unwrap();
            let flat = gradients.get(parameters.trained()).unwrap();
            assert_eq!(flat.dims(), parameters.trained().dims());
            for parameter in parameters.parameters().iter().filter(|p| p.spec.role.is_trained()) {
                let gradient = parameters.slice_like(parameter, flat).unwrap().to_dtype(DType::F64).unwrap();
                let values: Vec<f64> = gradient.flatten_all().unwrap().to_vec1().unwrap();
                let name = &parameter.spec.name;
                assert!(values.iter().all(|value| value.is_finite()), "{spec:?} {name}");
                assert!(undone.contains(name) || values.iter().any(|value| *value != 0.0), "{spec:?} {name}");
            }
        }
    }
}

#[test]
fn weights_saved_and_loaded_give_the_same_output() {
    let folder = tempfile::tempdir().unwrap();
    for (index, (spec, _)) in all().into_iter().enumerate() {
        let graph = spec.graph(2, LANDMARKS).unwrap();
        let output = |parameters: &ParamStore, mode| -> Vec<f32> {
            let mut engine = engine::build(&graph, DType::F32, Precision::Fp32, &Device::Cpu).unwrap();
            let heads = engine.forward(&images(DType::F32), parameters, mode).unwrap();
            heads.last().unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        let first = ParamStore::initialise(&graph, 1, DType::F32, &Device::Cpu).unwrap();
        let second = ParamStore::initialise(&graph, 2, DType::F32, &Device::Cpu).unwrap();
        output(&first, Mode::Train);
        let expected = output(&first, Mode::Evaluate);
        assert_ne!(expected, output(&second, Mode::Evaluate));
        let file = folder.path().join(format!("{index}.safetensors"));
        candle_core::safetensors::save(&first.named().unwrap().into_iter().collect(), &file).unwrap();
        let loaded: BTreeMap<String, Tensor> =
            candle_core::safetensors::load(&file, &Device::Cpu).unwrap().into_iter().collect();
        second.load(&loaded).unwrap();
        assert_eq!(expected, output(&second, Mode::Evaluate), "{spec:?}");
    }
}
