//! Tests an engine's guarantees besides its values: running statistics, modes, threads, errors.

use candle_core::{DType, Device, Tensor};

use super::{deviation, random, values};
use crate::reference::Reference;
use crate::tests::networks::{Style, knot, unet, unet_plus_plus};
use crate::{Engine, Mode};
use sweep_graph::params::ParamStore;
use sweep_graph::{Activation, Graph, Node, Norm, NormKind, Start};

fn network() -> (Graph, ParamStore) {
    let graph = unet_plus_plus(Style::BILINEAR_RELU, &[8, 12, 16], 1, 3, true);
    let parameters = ParamStore::initialise(&graph, 1, DType::F32, &Device::Cpu).unwrap();
    (graph, parameters)
}

fn images(shape: &[usize; 4]) -> Tensor {
    random(2, shape).to_dtype(DType::F32).unwrap()
}

fn train(graph: &Graph, parameters: &ParamStore, images: &Tensor) -> (Tensor, Tensor) {
    let heads = Reference::new(graph).forward(images, parameters, Mode::Train).unwrap();
    let gradients = heads[1].sqr().unwrap().mean_all().unwrap().backward().unwrap();
    (heads[1].detach(), gradients.get(parameters.trained()).unwrap().clone())
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    values(tensor).into_iter().map(f64::to_bits).collect()
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let images = images(&[2, 1, 75, 61]);
    let results: Vec<_> = [1, 2, 5]
        .into_iter()
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (graph, parameters) = network();
                let (output, gradient) = train(&graph, &parameters, &images);
                [bits(&output), bits(&gradient), bits(parameters.statistics())]
            })
        })
        .collect();
    assert!(results[0][1].iter().any(|bits| f64::from_bits(*bits) != 0.0));
    assert!(results[0] == results[1] && results[0] == results[2]);
}

#[test]
fn composed_operations_carry_a_whole_network() {
    // No kernel supports f16, so everything is composed, like on another device.
    for (graph, channels) in [
        (unet_plus_plus(Style::BILINEAR_RELU, &[4, 6, 8], 1, 3, true), 1),
        (unet_plus_plus(Style::GROUPED, &[4, 6, 8], 1, 3, false), 1),
        (unet(Style::BILINEAR_RELU, &[4, 6, 8], 1, 3), 1),
        (knot(Style::BILINEAR_RELU), 2),
    ] {
        let run = |dtype| {
            let parameters = ParamStore::initialise(&graph, 1, dtype, &Device::Cpu).unwrap();
            let images = images(&[2, channels, 17, 13]).to_dtype(dtype).unwrap();
            let heads = Reference::new(&graph).forward(&images, &parameters, Mode::Train).unwrap();
            let weights = random(3, heads[0].dims()).to_dtype(dtype).unwrap();
            let gradients = (&heads[0] * weights).unwrap().sum_all().unwrap().backward().unwrap();
            (
                heads[0].detach(),
                gradients.get(parameters.trained()).unwrap().clone(),
                parameters.statistics().copy().unwrap(),
            )
        };
        let (half, single) = (run(DType::F16), run(DType::F32));
        assert!(deviation(&half.0, &single.0) < 0.02);
        assert!(deviation(&half.1, &single.1) < 0.15, "three digits, and kinks that halves cross");
        assert!(deviation(&half.2, &single.2) < 0.01);
    }
}

/// A graph of one normalised 1×1 convolution of one channel, with weight 1 and bias 0: it normalises the images.
fn normaliser() -> (Graph, ParamStore) {
    let mut graph = Graph::new();
    let input = graph.push(Node::Input { channels: 1 });
    let head = graph.push(Node::Convolution {
        input,
        name: "conv".to_owned(),
        channels: 1,
        kernel: 1,
        stride: 1,
        dilation: 1,
        depthwise: false,
        bias: true,
        start: Start::Torch,
        norm: Some(Norm::new("norm".to_owned(), NormKind::Batch)),
        activation: Activation::Identity,
    });
    graph.push_head(head);
    let parameters = ParamStore::initialise(&graph, 1, DType::F64, &Device::Cpu).unwrap();
    parameters.trained().set(&Tensor::new(&[1.0, 0.0, 1.0, 0.0], &Device::Cpu).unwrap()).unwrap();
    (graph, parameters)
}

#[test]
fn running_statistics_move_by_a_tenth_and_judge_evaluation() {
    let (graph, parameters) = normaliser();
    // Mean 3, squared deviations 4 + 0 + 0 + 4 + 0: variance 8/5, unbiased 8/4.
    let images = Tensor::new(&[[[[1.0, 3.0, 3.0, 5.0, 3.0]]]], &Device::Cpu).unwrap();
    let mut engine = Reference::new(&graph);
    let trained = values(&engine.forward(&images, &parameters, Mode::Train).unwrap()[0]);
    assert!((trained[3] - 2.0 / (1.6f64 + 1e-5).sqrt()).abs() < 1e-12);
    let statistics = values(parameters.statistics());
    assert!((statistics[0] - 0.3).abs() < 1e-12 && (statistics[1] - (0.9 + 0.2)).abs() < 1e-12, "{statistics:?}");
    let evaluated = values(&engine.forward(&images, &parameters, Mode::Evaluate).unwrap()[0]);
    assert!((evaluated[0] - 0.7 / (1.1f64 + 1e-5).sqrt()).abs() < 1e-12);
    assert_eq!(values(parameters.statistics()), statistics, "evaluation moves nothing");
}

#[test]
fn evaluation_gives_every_head_and_cannot_be_differentiated() {
    let (graph, parameters) = network();
    let heads = Reference::new(&graph).forward(&images(&[1, 1, 13, 9]), &parameters, Mode::Evaluate).unwrap();
    assert_eq!(heads.len(), 2);
    assert!(heads.iter().all(|head| head.dims() == [1, 3, 13, 9] && !head.track_op()));
}

#[test]
fn a_gradient_is_the_one_at_the_parameters_of_its_forward_pass() {
    let (graph, parameters) = network();
    let images = images(&[1, 1, 12, 12]);
    let (_, expected) = train(&graph, &parameters, &images);
    let heads = Reference::new(&graph).forward(&images, &parameters, Mode::Train).unwrap();
    let loss = heads[1].sqr().unwrap().mean_all().unwrap();
    parameters.trained().set(&parameters.trained().zeros_like().unwrap()).unwrap();
    let gradients = loss.backward().unwrap();
    assert!(deviation(gradients.get(parameters.trained()).unwrap(), &expected) == 0.0);
}

#[test]
fn both_ways_to_a_gradient_give_the_same_bits() {
    let (graph, parameters) = network();
    let images = images(&[2, 1, 12, 12]);
    let mut engine = Reference::new(&graph);
    let heads = engine.forward(&images, &parameters, Mode::Train).unwrap();
    let to_heads: Vec<Tensor> = heads.iter().map(|head| head.cos().unwrap().detach()).collect();
    let found = engine.gradient(&heads, &to_heads, &parameters).unwrap();
    let product = |i: usize| (&heads[i] * &to_heads[i]).unwrap().sum_all().unwrap();
    let gradients = (product(0) + product(1)).unwrap().backward().unwrap();
    assert!(deviation(&found, gradients.get(parameters.trained()).unwrap()) == 0.0);
    assert!(engine.gradient(&heads, &to_heads[1..], &parameters).is_err(), "a gradient for every head");
}

#[test]
fn two_uses_of_the_same_parameters_add_up() {
    let (graph, parameters) = network();
    let images = images(&[2, 1, 12, 12]);
    let (_, once) = train(&graph, &parameters, &images);
    let mut engine = Reference::new(&graph);
    let mut loss = || {
        let heads = engine.forward(&images, &parameters, Mode::Train).unwrap();
        heads[1].sqr().unwrap().mean_all().unwrap()
    };
    let gradients = (loss() + loss()).unwrap().backward().unwrap();
    let twice = gradients.get(parameters.trained()).unwrap();
    assert!(deviation(twice, &(once * 2.0).unwrap()) < 1e-7);
}

#[test]
fn images_that_do_not_fit_are_errors() {
    let (graph, parameters) = network();
    let mut engine = Reference::new(&graph);
    let mut error = |images: &Tensor| engine.forward(images, &parameters, Mode::Train).unwrap_err().to_string();
    assert!(error(&images(&[1, 2, 12, 12])).contains("2 channels"));
    assert!(error(&images(&[1, 1, 3, 12])).contains("too small"));
    assert!(error(&images(&[1, 1, 4, 4])).contains("`conv2_0.1.norm`"), "one pixel cannot be normalised by itself");
    assert!(error(&random(2, &[1, 1, 12, 12])).contains("F64"));
    assert!(engine.forward(&images(&[2, 1, 4, 4]), &parameters, Mode::Train).is_ok());
}
