//! Convolution by products of tiles of bf16, on every unit of the processor. Each unit that it lacks is skipped.

use super::*;
use crate::plan::{ConvolutionShape, Kernels};
use crate::reference::Reference;
use crate::tests::comparison::{doubled, error, random};
use sweep_graph::NodeId;

/// Each unit wherever it can be used.
fn forced() -> Vec<(Precision, Choices)> {
    let of = |precision| Choices::tested(precision).into_iter().map(move |choices| (precision, choices));
    [Precision::Tf32, Precision::Bf16].into_iter().flat_map(of).collect()
}

/// Every way to compute in less than single precision: [`forced`], and as chosen.
pub(super) fn ways() -> Vec<(Precision, Choices)> {
    let chosen = [Precision::Tf32, Precision::Bf16].map(|precision| (precision, Choices::new(precision)));
    forced().into_iter().chain(chosen.into_iter().filter(|(_, choices)| choices.unit().is_some())).collect()
}

fn engine(graph: &Graph, choices: Choices) -> CpuEngine {
    CpuEngine::with_instructions(graph, choices, Instructions::choose(None).unwrap())
}

/// Whole numbers from −`limit` to `limit`.
fn whole_numbers(seed: u64, len: usize, limit: f32) -> Vec<f32> {
    random(seed, len).into_iter().map(|v| (v * (limit + 0.49)).round()).collect()
}

#[test]
fn small_whole_numbers_are_multiplied_exactly() {
    // All factors fit into bf16's eight bits and all sums into single precision's 24: any deviation is a mistake.
    let shapes = [(1, 1, 1), (2, 3, 5), (3, 17, 12), (1, 20, 33), (4, 9, 64), (2, 40, 47), (1, 70, 90)];
    for (index, (images, height, width)) in shapes.into_iter().enumerate() {
        for (kernel, channels) in [(1, [8, 40, 20]), (3, [9, 20, 33]), (5, [8, 16, 5])] {
            let style = Style { norm: None, activation: Activation::Identity, ..Style::BILINEAR_RELU };
            let mut graph = Graph::new();
            let mut node = graph.push(Node::Input { channels: channels[0] });
            for (name, channels) in [("a", channels[1]), ("b", channels[2])] {
                node = style.conv(&mut graph, node, name, channels, kernel);
                graph.push_head(node);
            }
            let parameters = ParamStore::initialise(&graph, 0, DType::F32, &Device::Cpu).unwrap();
            let len = parameters.trained().elem_count();
            // One weight in eight is not zero, so that sums stay small.
            let sparse = whole_numbers(1, len, 1.0).into_iter().zip(random(2, len));
            let trained: Vec<f32> = sparse.map(|(w, keep)| if keep > 0.75 { w } else { 0.0 }).collect();
            let values = whole_numbers(3 + index as u64, images * channels[0] * height * width, 2.0);
            let upstream = whole_numbers(4, images * channels[2] * height * width, 1.0);
            parameters.trained().set(&Tensor::from_vec(trained, len, &Device::Cpu).unwrap()).unwrap();
            let shape = (images, channels[0], height, width);
            let images = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
            // Both layers' values, and the gradient.
            let run = |engine: &mut dyn Engine, parameters: &ParamStore| {
                let dtype = parameters.trained().dtype();
                let heads = engine.forward(&images.to_dtype(dtype).unwrap(), parameters, Mode::Train).unwrap();
                let upstream = Tensor::from_vec(upstream.clone(), heads[1].shape(), &Device::Cpu).unwrap();
                let loss = (&heads[1] * upstream.to_dtype(dtype).unwrap()).unwrap().sum_all().unwrap();
                let gradients = loss.backward().unwrap();
                [&heads[0], &heads[1], gradients.get(parameters.trained()).unwrap()].map(flat)
            };
            let expected = run(&mut Reference::new(&graph), &doubled(&graph, &parameters));
            let middle = expected[0].iter().fold(0.0f64, |m, v| m.max(v.abs()));
            assert!(middle <= 256.0, "{middle} needs more than eight bits");
            for (precision, choices) in forced() {
                let found = run(&mut engine(&graph, choices), &parameters);
                assert_eq!(found, expected, "{precision:?}, {choices:?}, kernel {kernel}, {shape:?}");
            }
        }
    }
}

#[test]
fn rounding_is_what_the_precision_says() {
    // No kink at zero, where rounding would decide the direction of a gradient.
    let style = Style { activation: Activation::Identity, ..Style::BILINEAR_RELU };
    let graph = unet_plus_plus(style, &[16, 24, 40], 1, 10, true);
    for shape in [[1, 1, 61, 52], [2, 1, 41, 36], [4, 1, 24, 17]] {
        for mode in [Mode::Train, Mode::Evaluate] {
            let expected = expected(&graph, &parameters(&graph, 3), shape, mode);
            let errors = |choices: Choices| {
                let found = run(&mut engine(&graph, choices), &parameters(&graph, 3), shape, mode);
                let heads = found.heads.iter().zip(&expected.heads).map(|(f, e)| error(f, e)).fold(0.0, f64::max);
                (heads, error(&found.gradient, &expected.gradient))
            };
            assert!(errors(Choices::new(Precision::Fp32)).0 < 1e-5);
            for (precision, choices) in ways() {
                let (heads, gradient) = errors(choices);
                println!(
                    "{precision:?} {choices:?} {shape:?} {mode:?}: values off by {heads:.1e}, gradient by {gradient:.1e}"
                );
                // The least error shows that the unit was used.
                let bounds = if precision == Precision::Bf16 { 1e-4..3e-2 } else { 1e-6..1e-4 };
                let is_right = bounds.contains(&heads) && gradient < 5.0 * bounds.end;
                assert!(is_right, "{precision:?} {choices:?}: {heads} {gradient}");
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let graph = unet_plus_plus(Style::BILINEAR_RELU, &[16, 64, 80], 1, 10, false);
    for ((precision, choices), images) in ways().into_iter().flat_map(|way| [(way, 1), (way, 4)]) {
        let with_threads = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let shape = [images, 1, 60, 44];
            pool.install(|| run(&mut engine(&graph, choices), &parameters(&graph, 1), shape, Mode::Train))
        };
        let one = with_threads(1);
        for threads in [2, 5] {
            assert!(with_threads(threads) == one, "{precision:?} {choices:?}: {threads} threads differ");
        }
    }
}

#[test]
fn what_is_no_ordinary_number_stays_where_it_belongs() {
    let style = Style { norm: None, activation: Activation::Identity, ..Style::BILINEAR_RELU };
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 20 });
    let node = style.conv(&mut graph, image, "a", 24, 3);
    graph.push_head(node);
    let (height, width, [y, x]) = (11, 37, [4, 36]);
    let parameters = parameters(&graph, 1);
    let ordinary = random(5, 20 * height * width);
    for (precision, choices) in forced() {
        let run = |strange: Option<f32>| {
            let mut values = ordinary.clone();
            if let Some(strange) = strange {
                values[(19 * height + y) * width + x] = strange;
            }
            let images = Tensor::from_vec(values, (1, 20, height, width), &Device::Cpu).unwrap();
            let heads = engine(&graph, choices).forward(&images, &parameters, Mode::Evaluate).unwrap();
            flat(&heads[0])
        };
        // A denormal counts as zero, as the units define it.
        assert!(run(Some(1e-40)) == run(Some(0.0)), "{precision:?} {choices:?}");
        let without = run(None);
        for strange in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (index, (found, expected)) in run(Some(strange)).into_iter().zip(&without).enumerate() {
                let (row, column) = (index / width % height, index % width);
                let near = row.abs_diff(y) <= 1 && column.abs_diff(x) <= 1;
                let right = if near { !found.is_finite() } else { found.to_bits() == expected.to_bits() };
                assert!(right, "{precision:?} {choices:?}, {strange} at {row}, {column}: {found}");
            }
        }
    }
}

/// The same algorithms, for which saved maps are always widened.
struct Widening(Choices);

impl Kernels for Widening {
    type Algorithm = Algorithm;

    fn map(&self, node: NodeId, extent: Extent, blocks: usize) -> usize {
        self.0.map(node, extent, blocks)
    }

    fn forward(&self, shape: ConvolutionShape) -> (Algorithm, usize) {
        self.0.forward(shape)
    }

    fn weight_gradient(&self, shape: ConvolutionShape) -> (Algorithm, usize) {
        self.0.weight_gradient(shape)
    }

    fn input_gradient(&self, shape: ConvolutionShape) -> (Algorithm, usize) {
        self.0.input_gradient(shape)
    }

    fn norm_gradient(&self, extent: Extent, blocks: usize) -> usize {
        self.0.norm_gradient(extent, blocks)
    }

    fn saves_bf16(&self) -> bool {
        self.0.saves_bf16()
    }
}

#[test]
fn saved_maps_are_read_like_widened_ones() {
    let [images, height, width] = [2, 41, 36];
    for style in [Style::BILINEAR_RELU, Style::GROUPED] {
        let graph = unet_plus_plus(style, &[16, 24, 40], 1, 10, true);
        for (_, choices) in ways().into_iter().filter(|(precision, _)| *precision == Precision::Bf16) {
            let [mut reads, mut widens] = [(); 2].map(|()| engine(&graph, choices));
            let extent = Extent { images, size: Size { height, width } };
            let plan = Plan::new(&graph, &widens.network, extent, Mode::Train, &Widening(choices)).unwrap();
            let widened = |plan: &Plan| plan.backward.iter().filter(|step| matches!(step, Step::Widen { .. })).count();
            assert!(widened(&plan) > widened(&reads.plan(extent, Mode::Train).unwrap()), "{choices:?}");
            widens.plans.insert((images, height, width, true), Arc::new(plan));
            let found = [&mut reads, &mut widens]
                .map(|engine| run(engine, &parameters(&graph, 3), [images, 1, height, width], Mode::Train));
            assert!(found[0] == found[1], "{choices:?}");
        }
    }
}
