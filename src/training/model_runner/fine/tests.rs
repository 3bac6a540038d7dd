use std::collections::BTreeMap;

use super::*;
use crate::model_runner::Network;
use candle_core::DType;
use std::num::NonZeroUsize;
use sweep_core::units::Spacing;
use sweep_data::View;
use sweep_data::augment::Augmentation;
use sweep_data::cache::Cache;
use sweep_data::heatmap::Profiles;
use sweep_data::loader::{Images, Loader};
use sweep_data::resize::Picture;
use sweep_data::{Split, loader};
use sweep_engine::{self as engine, Mode};
use sweep_graph::params::Parameter;
use sweep_model::loss::{Criterion, Targets};
use sweep_planning::config::TrialConfig;

const INPUT: Size = Size { height: 32, width: 24 };
const SIZE: Size = Size { height: 96, width: 72 };
const STAGE: &str = "{ name = 'unet', filters = [3, 4] }";

fn config(model: &str) -> TrialConfig {
    let text = format!(
        "epochs = 1
        seed = 3
        batch_size = 3
        dataset = {{ name = 'phantom', train = 3, val = 1, height = 96, width = 72 }}
        input = {{ height = 32, width = 24 }}
        augment = {{ rotation_degrees = 5, translate = 0.02, brightness = 0.2 }}
        model = {model}
        loss = {{ name = 'mse' }}
        heatmap = {{ name = 'gaussian', sigma = 2 }}
        decode = {{ name = 'argmax' }}"
    );
    toml::from_str(&text).unwrap()
}

fn two_stages() -> TrialConfig {
    config(&format!(
        "{{ name = 'two-stage', coarse = {STAGE}, fine = {STAGE}, size = {{ height = 96, width = 72 }}, crop = 20 }}"
    ))
}

/// The first batch of the first epoch, with all landmarks on their pictures.
fn batch(config: &TrialConfig) -> Batch {
    let [coarse, fine] = [INPUT, SIZE].map(|size| Cache::none().load(&config.dataset, size).unwrap());
    let loader = Loader::of(&coarse, Split::Train, INPUT).with_views(&fine.pictures);
    let augment = Augmentation::new(&config.augment, &coarse.dataset.landmarks).unwrap();
    let mut batches: loader::Epoch = loader.epoch(config.batch_size, &augment, config.seed, 0);
    batches.next().unwrap().unwrap()
}

fn network(config: &TrialConfig, landmarks: usize) -> (Network, ParamStore) {
    let network = Network::new(config, landmarks, &Device::Cpu).unwrap();
    let parameters = network.parameters(config.seed).unwrap();
    (network, parameters)
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// A flat vector's part of the trained parameters whose names begin so.
fn part(parameters: &ParamStore, flat: &Tensor, prefix: &str) -> Vec<f64> {
    let of_part = |p: &&Parameter| p.spec.role.is_trained() && p.spec.name.starts_with(prefix);
    let found = parameters.parameters().iter().filter(of_part);
    found.flat_map(|p| values(&parameters.slice_like(p, flat).unwrap())).collect()
}

#[test]
fn the_coarse_stage_is_the_model_of_one_stage() {
    let (one, two) = (config(STAGE), two_stages());
    let batch = batch(&two);
    let ((mut one, its), (mut two, theirs)) = (network(&one, 10), network(&two, 10));
    assert_eq!(part(&its, its.trained(), ""), part(&theirs, theirs.trained(), "coarse."));
    let (alone, both) = (one.step(&its, &batch, 0).unwrap(), two.step(&theirs, &batch, 0).unwrap());
    assert_eq!(part(&its, &alone.gradient, ""), part(&theirs, &both.gradient, "coarse."));
    assert!(both.loss > alone.loss && both.images == alone.images);
}

#[test]
fn of_a_crop_only_the_map_of_its_landmark_counts() {
    let config = two_stages();
    let batch = batch(&config);
    assert!(batch.landmarks.iter().flatten().all(Option::is_some), "one is off its picture");
    let (mut network, parameters) = network(&config, 10);
    let gradient = part(&parameters, &network.step(&parameters, &batch, 0).unwrap().gradient, "fine.");
    let fine = network.fine.as_mut().unwrap();
    let step = fine.step(&parameters, &batch, 0).unwrap();
    assert_eq!(part(&parameters, &step.gradient, "fine."), gradient);
    assert_eq!((part(&parameters, &step.gradient, "coarse.").iter().all(|v| *v == 0.0), step.images), (true, 3));

    // By itself, with every crop an image of which one landmark is known.
    let graph = fine.stage.architecture().graph().unwrap().clone();
    let alone = ParamStore::initialise(&graph, 0, DType::F32, &Device::Cpu).unwrap();
    let named = parameters.named().unwrap().into_iter().filter(|(name, _)| name.starts_with("fine."));
    alone.load(&named.collect::<BTreeMap<_, _>>()).unwrap();
    let mut engine = engine::build(&graph, DType::F32, config.precision, &Device::Cpu).unwrap();
    let crops = fine.training_crops(&batch, 0);
    let (images, _) = fine.images(&batch, &crops, 3).unwrap();
    let heads = engine.forward(&images, &alone, Mode::Train).unwrap();
    let current = fine.stage.heatmaps().current(&parameters).unwrap();
    let rows = current.targets(&fine.positions(&batch, &crops), fine.size());
    let of_crop = |(crop, target): (&Crop, Option<Profiles>)| {
        (0..10).map(|landmark| target.clone().filter(|_| landmark == crop.landmark)).collect::<Vec<_>>()
    };
    let targets: Targets = crops.iter().zip(rows.into_iter().flatten()).map(of_crop).collect();
    let mut criterion = Criterion::new(config.loss.clone());
    let (loss, to_heads) = criterion.with_gradients(&heads, &targets).unwrap();
    let expected = values(&engine.gradient(&heads, to_heads, &alone).unwrap());
    assert!((loss - step.loss).abs() < 1e-6 * loss, "{loss} {}", step.loss);
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let worst = expected.iter().zip(&gradient).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    assert!(worst < 1e-5 * largest, "{worst} of {largest}");
}

#[test]
fn training_crops_are_offset_from_their_landmarks_by_up_to_the_jitter() {
    let config = two_stages();
    let batch = batch(&config);
    let (network, _) = network(&config, 10);
    let fine = network.fine.as_ref().unwrap();
    let mut furthest = 0.0f64;
    for epoch in 0..20 {
        let crops = fine.training_crops(&batch, epoch);
        assert_eq!(crops, fine.training_crops(&batch, epoch));
        assert_ne!(crops, fine.training_crops(&batch, epoch + 1));
        for crop in &crops {
            let truth = batch.landmarks[crop.image][crop.landmark].unwrap().rescale(INPUT, SIZE);
            let Point { x, y } = crop.to_crop(truth);
            furthest = furthest.max((x - 9.5).abs()).max((y - 9.5).abs());
        }
        // Whatever other images are in the batch.
        let mut last = batch.clone();
        last.indices.drain(..2);
        last.landmarks.drain(..2);
        let starts = |crops: &[Crop]| crops.iter().map(|crop| crop.start).collect::<Vec<_>>();
        assert_eq!(starts(&fine.training_crops(&last, epoch)), starts(&crops[20..]));
    }
    // A quarter of the side, and half a pixel for whole pixels.
    assert!((4.9..=5.5).contains(&furthest), "{furthest}");
}

/// Weights with which either stage shows the picture itself as the first landmark's map, and its negative as the
/// second's: they are its brightest and its darkest pixel.
fn mirrors(parameters: &ParamStore) {
    let mut named = parameters.named().unwrap();
    for (name, tensor) in &mut named {
        let mut weights = vec![0.0f32; tensor.elem_count()];
        let stage = name.split_once('.').unwrap().1;
        let middle = 4;
        match stage {
            "encoder0.conv1.weight" | "encoder0.conv2.weight" | "decoder0.conv1.weight" | "decoder0.conv2.weight" => {
                weights[middle] = 1.0;
            }
            "final.weight" => (weights[0], weights[3]) = (1.0, -1.0),
            _ => {}
        }
        *tensor = Tensor::from_vec(weights, tensor.shape(), &Device::Cpu).unwrap();
    }
    parameters.load(&named).unwrap();
}

/// Grey, with single pixels of other values.
fn picture(size: Size, dots: &[([usize; 2], f32)]) -> Picture {
    let mut pixels = vec![0.5; size.area()];
    for ([x, y], value) in dots {
        pixels[y * size.width + x] = *value;
    }
    Picture { size, pixels: pixels.into(), landmarks: Vec::new(), spacing: Spacing { x: 1.0, y: 1.0 } }
}

/// A picture at the input's size and a finer one, with what is true of it in the finer one's pixels.
fn made(coarse: &[([usize; 2], f32)], fine: &[([usize; 2], f32)], truth: [Option<Point>; 2]) -> Batch {
    Batch {
        images: Images::Numbers(picture(INPUT, coarse).pixels.to_vec()),
        size: INPUT,
        indices: vec![0],
        landmarks: vec![truth.iter().map(|at| at.map(|at| at.rescale(SIZE, INPUT))).collect()],
        views: vec![View::plain(picture(SIZE, fine))],
    }
}

#[test]
fn a_landmark_is_where_the_fine_stage_sees_it() {
    let (mut network, parameters) = network(&two_stages(), 2);
    mirrors(&parameters);
    let at = |x: usize, y: usize| Point { x: x as f64, y: y as f64 };
    // Three fine pixels make a coarse one. The bright one is a little off; the dark one further than crops of training
    // are: its crop ends with a decoy, and what is darkest is seen only in the one around that.
    let coarse = [([6, 10], 1.0), ([16, 20], 0.0)];
    let fine = [([21, 33], 1.0), ([49 + 8, 61], 0.3), ([49 + 15, 61], 0.0)];
    let batch = made(&coarse, &fine, [Some(at(21, 33)), Some(at(64, 61))]);
    let seen = network.evaluate(&parameters, &batch).unwrap().remove(0);
    let predicted = network.predict(&parameters, &batch).unwrap().remove(0);
    for ((seen, predicted), truth) in seen.landmarks.iter().zip(&predicted).zip([at(21, 33), at(64, 61)]) {
        assert!(seen.at.rescale(INPUT, SIZE).distance(truth).0 < 1e-9, "{seen:?}");
        assert_eq!(seen, predicted);
    }
    // Without the decoy nothing leads there: what is darkest is then the first of equals, in a corner of the crop, and
    // a second crop around that shows no more.
    let fine = [([21, 33], 1.0), ([49 + 15, 61], 0.0)];
    let batch = made(&coarse, &fine, [Some(at(21, 33)), Some(at(64, 61))]);
    let seen = network.evaluate(&parameters, &batch).unwrap().remove(0);
    assert!(seen.landmarks[1].at.rescale(INPUT, SIZE).distance(at(64, 61)).0 > 10.0, "{:?}", seen.landmarks);
}

#[test]
fn a_landmark_off_its_crop_costs_what_seeing_nothing_costs() {
    let config = two_stages();
    let (mut network, parameters) = network(&config, 2);
    mirrors(&parameters);
    let (coarse, fine) = ([([6, 10], 1.0), ([16, 20], 0.0)], [([19, 31], 1.0), ([49, 61], 0.0)]);
    let [near, far] = [(19.0, 31.0), (60.0, 80.0)].map(|(x, y)| Some(Point { x, y }));
    let loss = |network: &mut Network, truth| {
        network.evaluate(&parameters, &made(&coarse, &fine, truth)).unwrap().remove(0).loss
    };
    let stage = |network: &mut Network, truth| {
        let batch = made(&coarse, &fine, truth);
        let images = batch.tensor(&Device::Cpu).unwrap();
        let seen = network.stage.evaluate(&parameters, &images, &Maps::All, &batch.landmarks, &[config.decode]);
        seen.unwrap().remove(0).remove(0).loss.unwrap()
    };
    let fine_of = |network: &mut Network, truth| loss(network, truth).unwrap() - stage(network, truth);
    let nothing = {
        let fine = network.fine.as_ref().unwrap();
        let current = fine.stage.heatmaps().current(&parameters).unwrap();
        fine.zero_loss(&current, &[far.map(|at| at.rescale(SIZE, INPUT))], INPUT)
    };
    assert!(nothing > 0.0);
    let only_far = fine_of(&mut network, [far, None]);
    assert!((only_far - nothing).abs() < 1e-9, "{only_far}");
    // Beside one that is on its crop, it is half of the mean.
    let seen = fine_of(&mut network, [near, None]);
    let both = fine_of(&mut network, [near, far]);
    assert!((both - f64::midpoint(seen, nothing)).abs() < 1e-6, "{both}: {seen} and {nothing}");
    assert_eq!(loss(&mut network, [None, None]), None);
}

#[test]
fn a_batch_without_finer_pictures_is_an_error() {
    let config = two_stages();
    let (mut network, parameters) = network(&config, 10);
    let whole = batch(&config);
    let without = Batch { views: Vec::new(), ..whole };
    assert!(network.step(&parameters, &without, 0).unwrap_err().message.contains("finer pictures"));
    assert!(network.evaluate(&parameters, &without).is_err() && network.predict(&parameters, &without).is_err());
}

#[test]
fn zero_is_the_loss_of_both_stages_answering_zero() {
    let config = two_stages();
    let [coarse, fine] = [INPUT, SIZE].map(|size| Cache::none().load(&config.dataset, size).unwrap());
    let loader = Loader::of(&coarse, Split::Train, INPUT).with_views(&fine.pictures);
    let zero = |config: &TrialConfig| {
        let (network, parameters) = network(config, 10);
        network.zero_loss(&parameters, &loader).unwrap()
    };
    let (zero, alone) = (zero(&config), zero(&self::config(STAGE)));
    // Of a map of zeros the mean square is that of the heatmap: of a Gaussian π·σ² over the area.
    let expected = std::f64::consts::PI * 4.0 / 400.0;
    assert!((zero - alone - expected).abs() < 0.02 * expected, "{} {expected}", zero - alone);
    let batches: Vec<_> = loader.in_order(NonZeroUsize::MIN).collect();
    assert!(batches.into_iter().all(|batch| batch.unwrap().views.len() == 1));
}
