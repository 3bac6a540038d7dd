//! Every network on the engine of the CPU: shapes, a finite gradient on every parameter, and weights that survive a file.
//! Every loss, optimizer and schedule: one finite training step that lowers the loss, and finite learning rates.
//!
//! A new variant is tested through its example, which the compiler requires: see `ModelSpec::examples`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Once;

use candle_core::{DType, Device, Tensor, Var};
use landmark_sweep::data::heatmap::{HeatmapSpec, Profiles};
use landmark_sweep::engine::reference::Reference;
use landmark_sweep::engine::{self, Engine, Mode, Precision};
use landmark_sweep::error::Result;
use landmark_sweep::graph::{Graph, Node, Norm, NormKind};
use landmark_sweep::loss::{Criterion, LossSpec, MapLoss};
use landmark_sweep::lr_schedule::{Progress, ScheduleSpec};
use landmark_sweep::networks::{CustomNetwork, ModelSpec};
use landmark_sweep::optim::{Optimizer, OptimizerSpec};
use landmark_sweep::params::ParamStore;
use landmark_sweep::registry::EXAMPLE_KIND;
use landmark_sweep::units::{Point, Size};
use serde::Deserialize;

const LANDMARKS: usize = 3;

/// Example of a custom network.
#[derive(Deserialize)]
struct ExampleNetwork {}

impl CustomNetwork for ExampleNetwork {
    fn graph(&self, channels: usize, landmarks: usize) -> Result<Graph> {
        let mut graph = Graph::new();
        let image = graph.push(Node::Input { channels });
        let map = graph.push(Node::convolution(image, "body", 4).normalised("norm", NormKind::Batch));
        let head = graph.push(Node::head(map, "head", landmarks));
        graph.push_head(head);
        Ok(graph)
    }
}

/// Example of a custom loss: half the mean squared difference.
#[derive(Deserialize)]
struct ExampleLoss {}

impl MapLoss for ExampleLoss {
    fn version(&self) -> u32 {
        1
    }

    fn of_map(&self, map: &[f32], target: &Profiles, gradient: Option<&mut [f32]>) -> f64 {
        let expected = target.product();
        let pixels = map.len() as f32;
        let differences: Vec<f32> = map.iter().zip(&expected).map(|(value, expected)| value - expected).collect();
        if let Some(gradient) = gradient {
            gradient.iter_mut().zip(&differences).for_each(|(slope, difference)| *slope = difference / pixels);
        }
        differences.iter().map(|difference| f64::from(difference * difference / pixels / 2.0)).sum()
    }
}

fn register_examples() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        landmark_sweep::networks::custom::add_network::<ExampleNetwork>(EXAMPLE_KIND).unwrap();
        landmark_sweep::loss::custom::add_loss::<ExampleLoss>(EXAMPLE_KIND).unwrap();
    });
}

/// Small models of every kind and with every option worth a test: their graphs, with the number of heads.
fn all() -> Vec<(ModelSpec, Graph, usize)> {
    let specs = [
        "name = 'unet++'\nfilters = [3, 4, 5, 6]\ndeep_supervision = true",
        "name = 'unet++'\nfilters = [18, 6, 9]\ndeep_supervision = true\nnorm = { name = 'group', groups = 3 }",
        "name = 'unet++'\nfilters = [3, 5]\nnorm = { name = 'instance' }\nhead = { name = 'scn', filters = 4, kernel = 3 }",
        "name = 'unet++'\nfilters = [3, 5, 4]\ndeep_supervision = true\n\
         head = { name = 'scn', factor = 2, layers = 1, filters = 18, kernel = 7, combine = 'sum' }",
        "name = 'unet'\nfilters = [4, 8, 18]\nnorm = { name = 'group', groups = 2 }",
        "name = 'unet'\nfilters = [4, 8]\nhead = { name = 'scn', factor = 4, layers = 2, filters = 6, kernel = 11 }",
        "name = 'unet-resnet18'\nfilters = [4, 6]\ndecoder = [8, 4, 2]\nnorm = { name = 'instance' }",
        "name = 'unet-resnet18'\nfilters = [4, 6]\ndecoder = [8, 4, 2]\nhead = { name = 'scn', factor = 2, kernel = 5 }",
        "name = 'attention-unet'\nfilters = [4, 6]\nnorm = { name = 'group', groups = 2 }",
        "name = 'attention-unet'\nfilters = [5, 6]\nnorm = { name = 'none' }\nhead = { name = 'scn', filters = 4, kernel = 3 }",
        "name = 'deeplabv3+'\nfilters = [4, 6, 8]\ndecoder_channels = 16\nlow_level_channels = 2\natrous_rates = [1, 2, 9]\n\
         norm = { name = 'group', groups = 2 }\nhead = { name = 'scn', factor = 2, kernel = 5 }",
        "name = 'two-stage'\ncrop = 12\nsize = { height = 34, width = 26 }\ncoarse = { name = 'unet', filters = [4, 8] }\n\
         fine = { name = 'unet', filters = [5, 6], norm = { name = 'batch' } }",
    ];
    let graphs = |spec: ModelSpec| {
        let heads = match &spec {
            ModelSpec::UNetPlusPlus { filters, deep_supervision: true, .. } => filters.len() - 1,
            // A module of candle has no graph; `candle.rs` tests them.
            ModelSpec::Candle(_) => return Vec::new(),
            _ => 1,
        };
        let stages = spec.stages(2, LANDMARKS, Size { height: 17, width: 13 }).unwrap();
        stages
            .into_iter()
            .map(|stage| (spec.clone(), stage.architecture.graph().unwrap().clone(), heads))
            .collect::<Vec<_>>()
    };
    register_examples();
    let specs = specs.map(|text| toml::from_str(text).unwrap());
    specs.into_iter().chain(ModelSpec::examples()).flat_map(graphs).collect()
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
            // A channel's normalisation cancels the bias before it: its gradient is zero except for rounding errors.
            let undone: BTreeSet<String> = graph
                .nodes()
                .iter()
                .filter_map(|node| match node {
                    Node::Convolution { name, channels, norm: Some(Norm { kind, .. }), .. }
                    | Node::TransposedConvolution { name, channels, norm: Some(Norm { kind, .. }), .. } => match kind {
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
        // Deep networks normalise over a few values at their smallest maps, which makes rounding count for more.
        for (found, expected, bound) in [(&found[0], &expected[0], 1e-4), (&found[1], &expected[1], 1e-3)] {
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

#[test]
fn every_loss_falls_along_its_gradient() {
    register_examples();
    let size = Size { height: 12, width: 10 };
    let heatmap = HeatmapSpec::Gaussian { sigma: 1.5 };
    let targets = vec![vec![Some(heatmap.profiles(Point { x: 4.0, y: 7.0 }, size)), None]];
    let values: Vec<f64> = (0..2 * 12 * 10).map(|i| f64::from(i * 37 % 101) / 101.0 - 0.5).collect();
    for loss in LossSpec::examples() {
        loss.check().unwrap();
        let maps =
            Tensor::from_vec(values.clone(), (1, 2, 12, 10), &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        let evaluate = |maps: &Tensor| {
            let mut criterion = Criterion::new(loss.clone());
            let (value, gradients) = criterion.with_gradients(std::slice::from_ref(maps), &targets).unwrap();
            (value, gradients[0].copy().unwrap())
        };
        let (before, gradient) = evaluate(&maps);
        let square = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(before.is_finite() && square.is_finite() && square > 0.0, "{loss:?}: {before} {square}");
        let missing: f32 = gradient.narrow(1, 1, 1).unwrap().abs().unwrap().sum_all().unwrap().to_scalar().unwrap();
        assert!(missing.abs() <= 0.0, "{loss:?} moves the map of a missing landmark");
        // A step of this length changes every map slightly.
        let step = (gradient * (1e-2 / f64::from(square).sqrt())).unwrap();
        let (after, _) = evaluate(&(maps - step).unwrap());
        assert!(after < before, "{loss:?}: {before} to {after}");
    }
}

#[test]
fn every_optimizer_goes_down_a_bowl() {
    for spec in OptimizerSpec::examples() {
        spec.check().unwrap();
        let parameters = Var::from_vec(vec![1.0f64, -2.0, 0.5], 3, &Device::Cpu).unwrap();
        let loss = || parameters.as_tensor().sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        let mut optimizer = Optimizer::new(spec, &parameters).unwrap();
        assert_eq!(optimizer.state().len(), spec.moments());
        for _ in 0..10 {
            let before = loss();
            let gradient = (parameters.as_tensor() * 2.0).unwrap();
            optimizer.step(&parameters, &gradient, 1.0, spec.lr()).unwrap();
            assert!(loss() < before, "{spec:?}");
        }
    }
}

#[test]
fn every_schedule_stays_between_zero_and_its_base() {
    const BASE: f64 = 3e-4;
    let (epochs, steps_per_epoch) = (10u32, 4u64);
    let steps = u64::from(epochs) * steps_per_epoch;
    for schedule in ScheduleSpec::examples() {
        schedule.check().unwrap();
        let rates: Vec<f64> = (0..steps)
            .map(|step| {
                let epoch = (step / steps_per_epoch) as u32;
                schedule.lr(BASE, Progress { epoch, step, steps, steps_per_epoch })
            })
            .collect();
        assert!(rates.iter().all(|rate| (0.0..=BASE * (1.0 + 1e-12)).contains(rate)), "{schedule:?}: {rates:?}");
        assert!(rates.iter().any(|rate| *rate > 0.5 * BASE), "{schedule:?}: {rates:?}");
    }
}
