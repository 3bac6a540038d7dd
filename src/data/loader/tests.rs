//! Batches are complete, ordered and the same on every device.

use super::*;
use crate::augment::AugmentSpec;
use crate::dataset::tests::tiny;

const INPUT: Size = Size { height: 6, width: 8 };

fn many(count: usize) -> Dataset {
    let mut dataset = tiny();
    let sample = dataset.samples[0].clone();
    dataset.samples.extend((0..count - 2).map(|i| {
        let mut sample = sample.clone();
        sample.image = format!("more-{i}.png");
        sample.pixels[0] = i as u8;
        sample
    }));
    dataset
}

fn spec() -> AugmentSpec {
    AugmentSpec { rotation_degrees: 10.0, translate: 0.1, brightness: 0.5, ..AugmentSpec::default() }
}

fn of(spec: &AugmentSpec) -> Augmentation {
    Augmentation::new(spec, &tiny().landmarks).unwrap()
}

fn strong() -> Augmentation {
    of(&spec())
}

/// The same images in colour.
fn coloured(mut dataset: Dataset) -> Dataset {
    for sample in &mut dataset.samples {
        let grey = sample.pixels.clone();
        sample.pixels.extend(grey.iter().map(|v| v / 2));
        sample.pixels.extend(grey.iter().map(|v| 255 - v));
    }
    dataset
}

fn size(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

#[test]
fn an_epoch_is_a_permutation_that_depends_on_seed_and_epoch() {
    let dataset = many(23);
    let loader = Loader::new(&dataset, Split::Train, INPUT);
    let order = |seed, epoch| -> Vec<usize> {
        loader.epoch(size(5), &strong(), seed, epoch).flat_map(|b| b.unwrap().indices).collect()
    };
    let mut sorted = order(1, 1);
    sorted.sort_unstable();
    assert_eq!(sorted, dataset.indices(Split::Train));
    assert_eq!(order(1, 1), order(1, 1));
    assert!(order(1, 1) != order(1, 2) && order(1, 1) != order(2, 1) && order(1, 1) != sorted);
    let sizes: Vec<_> = loader.epoch(size(5), &strong(), 1, 1).map(|b| b.unwrap().landmarks.len()).collect();
    assert_eq!(sizes, [5, 5, 5, 5, 3]);
}

#[test]
fn images_are_the_same_whatever_the_batch_size() {
    let loader = Loader::new(&many(11), Split::Train, INPUT);
    let images = |n| -> Vec<_> {
        loader
            .epoch(size(n), &strong(), 4, 2)
            .flat_map(|b| {
                let b = b.unwrap();
                let images: Vec<_> = b.images.numbers().chunks(INPUT.area()).map(<[f32]>::to_vec).collect();
                images.into_iter().zip(b.landmarks)
            })
            .collect()
    };
    assert_eq!(images(1), images(4));
}

#[test]
fn every_order_is_equally_likely() {
    let mut counts = [0; 6];
    for epoch in 0..6000 {
        let order = seed::shuffled(3, 0, Stream::Order, epoch);
        counts[order[0] * 2 + usize::from(order[1] > order[2])] += 1;
    }
    // 1000 ± 5 standard deviations.
    assert!(counts.iter().all(|n| (856..1144).contains(n)), "{counts:?}");
}

#[test]
fn evaluation_is_in_order_and_unchanged() {
    let dataset = many(7);
    let loader = Loader::new(&dataset, Split::Train, INPUT);
    let batches: Vec<_> = loader.in_order(size(3)).map(std::result::Result::unwrap).collect();
    let indices: Vec<_> = batches.iter().flat_map(|b| b.indices.clone()).collect();
    assert_eq!(indices, dataset.indices(Split::Train));
    for (i, image) in batches.iter().flat_map(|b| b.images.numbers().chunks(INPUT.area())).enumerate() {
        let original = &dataset.samples[indices[i]].pixels;
        assert!(image.iter().zip(original).all(|(v, &o)| (v * 255.0 - f32::from(o)).abs() < 1e-3));
    }
}

#[test]
fn stopping_early_does_not_hang() {
    let loader = Loader::new(&many(50), Split::Train, INPUT);
    drop(loader.epoch(size(1), &strong(), 0, 1));
    assert_eq!(loader.epoch(size(1), &strong(), 0, 1).take(2).count(), 2);
    let mut epoch = loader.epoch(size(60), &strong(), 0, 1);
    assert!(epoch.next().is_some() && epoch.next().is_none() && epoch.next().is_none());
}

#[test]
fn batches_on_a_gpu_are_the_same() {
    for place in sweep_emulator::gpus() {
        for dataset in [many(11), coloured(many(11))] {
            let here = Loader::new(&dataset, Split::Train, INPUT);
            let there = here.on_gpu(Arc::clone(&place.gpu)).unwrap();
            let numbers = |batch: &Batch| match &batch.images {
                Images::Numbers(numbers) => numbers.clone(),
                Images::Tensor(tensor) => tensor.flatten_all().unwrap().to_vec1().unwrap(),
            };
            let compare = |a: Result<Batch>, b: Result<Batch>| {
                let (a, b) = (a.unwrap(), b.unwrap());
                assert!(a.indices == b.indices && a.landmarks == b.landmarks && matches!(b.images, Images::Tensor(_)));
                let worst = numbers(&a).iter().zip(numbers(&b)).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(worst < 1e-5, "{}: {worst}", place.name);
            };
            let all = AugmentSpec {
                gamma: [0.5, 2.0],
                elastic_mm: 1.0,
                elastic_grid_mm: 4.0,
                blur: 3.0,
                noise: 0.1,
                cutout: 0.4,
                flip: 0.5,
                flip_pairs: Some(vec![["a".into(), "b".into()]]),
                ..spec()
            };
            for augment in [strong(), of(&all)] {
                let (epoch, on_gpu) = [&here, &there].map(|loader| loader.epoch(size(4), &augment, 4, 2)).into();
                epoch.zip(on_gpu).for_each(|(a, b)| compare(a, b));
            }
            here.in_order(size(4)).zip(there.in_order(size(4))).for_each(|(a, b)| compare(a, b));
            assert_eq!(there.epoch(size(4), &strong(), 4, 2).count(), 3);
        }
    }
}

#[test]
fn colours_reach_the_batch_plane_by_plane() {
    let dataset = coloured(many(4));
    let loader = Loader::new(&dataset, Split::Train, INPUT);
    let batch = loader.in_order(size(2)).next().unwrap().unwrap();
    assert_eq!(batch.tensor(&Device::Cpu).unwrap().dims(), [2, 3, INPUT.height, INPUT.width]);
    let original = &dataset.samples[batch.indices[1]].pixels;
    let second = &batch.images.numbers()[3 * INPUT.area()..];
    assert!(second.iter().zip(original).all(|(v, &o)| (v * 255.0 - f32::from(o)).abs() < 1e-3));
}

#[test]
fn a_mirrored_image_has_its_landmarks_change_places() {
    let dataset = many(4);
    let flip = AugmentSpec { flip: 1.0, flip_pairs: Some(vec![["a".into(), "b".into()]]), ..AugmentSpec::default() };
    let loader = Loader::new(&dataset, Split::Train, INPUT);
    for batch in loader.epoch(size(1), &of(&flip), 0, 0) {
        let batch = batch.unwrap();
        let sample = &dataset.samples[batch.indices[0]];
        let mirrored = |p: Option<Point>| p.map(|p| Point { x: 7.0 - p.x, y: p.y });
        assert_eq!(batch.landmarks[0], [mirrored(sample.landmarks[1]), mirrored(sample.landmarks[0])]);
        let rows = batch.images.numbers().chunks(8).zip(sample.pixels.chunks(8));
        for (found, original) in rows {
            let off = found.iter().zip(original.iter().rev()).map(|(f, o)| (f * 255.0 - f32::from(*o)).abs());
            assert!(off.fold(0.0, f32::max) < 1e-3);
        }
    }
}
