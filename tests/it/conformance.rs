//! Every network, on the engine of the CPU: shapes, a finite gradient on every parameter, and weights that survive
//! a file. A new variant of `ModelSpec` is tested by being added to [`all`], which the compiler asks for.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use landmark_sweep::engine::reference::Reference;
use landmark_sweep::engine::{self, Engine, Mode, Precision};
use landmark_sweep::graph::{Graph, Node, Norm, NormKind};
use landmark_sweep::networks::ModelSpec;
use landmark_sweep::params::ParamStore;
use landmark_sweep::units::Size;

const LANDMARKS: usize = 3;

/// Small models of every kind: their graphs, with their number of heads.
fn all() -> Vec<(ModelSpec, Graph, usize)> {
    let specs = [
        "name = 'unet++'\nfilters = [3, 5, 6]",
        "name = 'unet++'\nfilters = [3, 4, 5, 6]\ndeep_supervision = true",
        "name = 'unet++'\nfilters = [18, 6, 9]\ndeep_supervision = true\nnorm = { name = 'group', groups = 3 }",
        "name = 'unet++'\nfilters = [3, 5]\nnorm = { name = 'instance' }\nhead = { name = 'scn', filters = 4, kernel = 3 }",
        "name = 'unet++'\nfilters = [3, 5, 4]\ndeep_supervision = true\n\
         head = { name = 'scn', factor = 2, layers = 1, filters = 18, kernel = 7, combine = 'sum' }",
        "name = 'unet'\nfilters = [3, 5, 6]",
        "name = 'unet'\nfilters = [4, 8, 18]\nnorm = { name = 'group', groups = 2 }",
        "name = 'unet'\nfilters = [4, 8]\nhead = { name = 'scn', factor = 4, layers = 2, filters = 6, kernel = 11 }",
        "name = 'unet-resnet18'\nfilters = [4, 6, 18]\ndecoder = [18, 6, 5, 4]",
        "name = 'unet-resnet18'\nfilters = [4, 6]\ndecoder = [8, 4, 2]\nnorm = { name = 'instance' }",
        "name = 'unet-resnet18'\nfilters = [4, 6]\ndecoder = [8, 4, 2]\nhead = { name = 'scn', factor = 2, kernel = 5 }",
        "name = 'two-stage'\ncrop = 12\nsize = { height = 34, width = 26 }\ncoarse = { name = 'unet', filters = [4, 8] }\n\
         fine = { name = 'unet', filters = [5, 6], norm = { name = 'batch' } }",
    ];
    let of = |text: &str| {
        let spec: ModelSpec = toml::from_str(text).unwrap();
        let heads = match &spec {
            ModelSpec::UNetPlusPlus { filters, deep_supervision: true, .. } => filters.len() - 1,
            ModelSpec::UNetPlusPlus { deep_supervision: false, .. }
            | ModelSpec::UNet { .. }
            | ModelSpec::UNetResNet18 { .. }
            | ModelSpec::TwoStage(_)
            | ModelSpec::Custom(_) => 1,
        };
        let stages = spec.stages(2, LANDMARKS, Size { height: 17, width: 13 }).unwrap();
        stages.into_iter().map(|stage| (spec.clone(), stage.graph, heads)).collect::<Vec<_>>()
    };
    specs.into_iter().flat_map(of).collect()
}

fn images(dtype: DType) -> Tensor {
    let values: Vec<f64> = (0..2 * 2 * 17 * 13).map(|i| f64::from(i * 37 % 101) / 101.0).collect();
    Tensor::from_vec(values, (2, 2, 17, 13), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

#[test]
fn every_head_has_the_images_size_and_a_map_for_each_landmark() {
    for (spec, graph, heads) in all() {
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
        for (spec, graph, _) in all() {
            let parameters = ParamStore::initialise(&graph, 1, dtype, &Device::Cpu).unwrap();
            let mut engine = engine::build(&graph, dtype, Precision::Fp32, &Device::Cpu).unwrap();
            let outputs = engine.forward(&images(dtype), &parameters, Mode::Train).unwrap();
            let mut loss = outputs[0].sqr().unwrap().sum_all().unwrap();
            for output in &outputs[1..] {
                loss = (loss + output.sqr().unwrap().sum_all().unwrap()).unwrap();
            }
            // A channel's normalisation takes away what the bias in front of it added: its gradient is zero but for rounding.
            let undone: BTreeSet<String> = graph
                .nodes()
                .iter()
                .filter_map(|node| match node {
                    Node::Convolution { name, channels, norm: Some(Norm { kind, .. }), .. } => match kind {
                        NormKind::Group { groups } if groups < channels => None,
                        NormKind::Batch | NormKind::Group { .. } => Some(format!("{name}.bias")),
                    },
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

/// The last head and the flat gradient of all heads' squares, in double precision.
fn train(engine: &mut dyn Engine, parameters: &ParamStore, images: &Tensor) -> [Vec<f64>; 2] {
    let heads = engine.forward(images, parameters, Mode::Train).unwrap();
    let squares = heads.iter().map(|head| head.sqr().unwrap().sum_all().unwrap());
    let gradients = squares.reduce(|a, b| (a + b).unwrap()).unwrap().backward().unwrap();
    [heads.last().unwrap(), gradients.get(parameters.trained()).unwrap()]
        .map(|tensor| tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap())
}

#[test]
fn the_engine_that_trains_agrees_with_the_reference_in_double_precision() {
    for (spec, graph, _) in all() {
        let single = ParamStore::initialise(&graph, 1, DType::F32, &Device::Cpu).unwrap();
        let double = ParamStore::initialise(&graph, 1, DType::F64, &Device::Cpu).unwrap();
        double.trained().set(&single.trained().to_dtype(DType::F64).unwrap()).unwrap();
        let mut engine = engine::build(&graph, DType::F32, Precision::Fp32, &Device::Cpu).unwrap();
        let found = train(engine.as_mut(), &single, &images(DType::F32));
        let images = images(DType::F32).to_dtype(DType::F64).unwrap();
        let expected = train(&mut Reference::new(&graph), &double, &images);
        // Rounding may turn a gradient around at a kink of an activation; values it moves by rounding alone.
        for (found, expected, bound) in [(&found[0], &expected[0], 1e-5), (&found[1], &expected[1], 1e-3)] {
            let largest = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            let error = found.iter().zip(expected).fold(0.0, |m: f64, (f, e)| m.max((f - e).abs())) / largest;
            println!("{spec:?}: {error:e}");
            assert!(found.len() == expected.len() && error < bound, "{spec:?}: {error}");
        }
    }
}

#[test]
fn weights_saved_and_loaded_give_the_same_output() {
    let folder = tempfile::tempdir().unwrap();
    for (index, (spec, graph, _)) in all().into_iter().enumerate() {
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

#[test]
fn a_graph_whose_parameters_are_some_of_a_stores_runs_as_by_itself() {
    let graphs: Vec<Graph> = all().into_iter().map(|(_, graph, _)| graph).collect();
    for (before, graph) in graphs.iter().zip(&graphs[1..]) {
        let graph = graph.clone().prefixed("second.");
        let specs = [before.parameters(), graph.parameters()].concat();
        for dtype in [DType::F32, DType::F64] {
            let both = ParamStore::of(specs.clone(), 1, dtype, &Device::Cpu).unwrap();
            let alone = ParamStore::initialise(&graph, 2, dtype, &Device::Cpu).unwrap();
            let named = both.named().unwrap().into_iter().filter(|(name, _)| name.starts_with("second."));
            alone.load(&named.collect()).unwrap();
            let results = |parameters: &ParamStore| {
                let mut engine = engine::build(&graph, dtype, Precision::Fp32, &Device::Cpu).unwrap();
                let heads = engine.forward(&images(dtype), parameters, Mode::Train).unwrap();
                let gradient = engine.gradient(&heads, &heads, parameters).unwrap().copy().unwrap();
                let head = engine.forward(&images(dtype), parameters, Mode::Evaluate).unwrap().pop().unwrap();
                let of_graph = parameters.parameters().iter().filter(|p| p.spec.name.starts_with("second."));
                let flat = |tensor: &Tensor| -> Vec<f64> {
                    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
                };
                let (mut gradients, mut values) = (Vec::new(), Vec::new());
                for parameter in of_graph {
                    if parameter.spec.role.is_trained() {
                        gradients.extend(flat(&parameters.slice_like(parameter, &gradient).unwrap()));
                    }
                    values.extend(flat(&parameters.view(&parameter.spec.name).unwrap()));
                }
                let rest: f64 = flat(&gradient).iter().map(|v| v.abs()).sum();
                (flat(&head), gradients, values, rest)
            };
            let (together, by_itself) = (results(&both), results(&alone));
            assert!((together.3 - by_itself.3).abs() < 1e-9 * by_itself.3, "a gradient to another graph's parameters");
            assert_eq!((together.0, together.1, together.2), (by_itself.0, by_itself.1, by_itself.2));
            let others = both.part(&before.parameters());
            assert!(others == Some([0, 0]) && both.part(&graphs[0].clone().prefixed("third.").parameters()).is_none());
        }
    }
}
