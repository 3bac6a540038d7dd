//! How often held-back radiographs are called unlike the others, as they are and changed. The network's confidence is left out,
//! so that no network is needed; with it, more changes are seen.

use super::*;
use sweep_core::seed::{self, Stream};
use sweep_data::resize::{Window, view};
use sweep_data::{Dataset, Sample, Split, folder};

const INPUT: Size = Size { height: 200, width: 160 };
/// Ways to deal 100 images into 60 to train on, 20 to validate and 20 that are held back.
const DEALS: u64 = 10;

/// A part of a picture at another size.
fn resampled(sample: &Sample, window: Window, size: Size) -> Sample {
    let pixels = view(&sample.pixels, sample.size, window, size).into_iter().map(|v| (v * 255.0).round() as u8);
    Sample { size, pixels: pixels.collect(), ..sample.clone() }
}

/// Its middle, with so much of its width and height.
fn middle(sample: &Sample, share: f64) -> Sample {
    let (width, height) = (sample.size.width as f64, sample.size.height as f64);
    let edge = (1.0 - share) / 2.0;
    let window = Window { left: edge * width, top: edge * height, width: share * width, height: share * height };
    resampled(sample, window, sample.size)
}

fn smaller(sample: &Sample, by: usize) -> Sample {
    let size = Size { height: sample.size.height / by, width: sample.size.width / by };
    resampled(sample, Window::whole(sample.size), size)
}

fn graded(sample: &Sample, grade: impl Fn(f64) -> f64) -> Sample {
    let pixels = sample.pixels.iter().map(|v| (255.0 * grade(f64::from(*v) / 255.0)).clamp(0.0, 255.0).round() as u8);
    Sample { pixels: pixels.collect(), ..sample.clone() }
}

/// The picture whose pixel (x, y) is this one of the sample.
fn moved(sample: &Sample, size: Size, from: impl Fn(usize, usize) -> [usize; 2]) -> Sample {
    let pixel = |i: usize| {
        let [x, y] = from(i % size.width, i / size.width);
        sample.pixels[y * sample.size.width + x]
    };
    Sample { size, pixels: (0..size.area()).map(pixel).collect(), ..sample.clone() }
}

fn blurred(sample: &Sample) -> Sample {
    let small = smaller(sample, 16);
    resampled(&small, Window::whole(small.size), sample.size)
}

fn noisy(sample: &Sample) -> Sample {
    let mut noise = 0u64;
    let mut pixels = sample.pixels.clone();
    for pixel in &mut pixels {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *pixel =
            (f64::from(*pixel) + (noise >> 33) as f64 / f64::from(1u32 << 31) * 140.0 - 70.0).clamp(0.0, 255.0) as u8;
    }
    Sample { pixels, ..sample.clone() }
}

type Change = fn(&Sample) -> Sample;

/// Changes, and the share of images that must be called unlike at least.
const CHANGES: [(&str, f64, Change); 14] = [
    ("as it is", 0.0, Sample::clone),
    ("three times the pixels a side", 0.0, |s| {
        let size = Size { height: s.size.height * 3, width: s.size.width * 3 };
        resampled(s, Window::whole(s.size), size)
    }),
    ("grey values inverted", 0.95, |s| graded(s, |v| 1.0 - v)),
    ("turned by 90°", 0.95, |s| {
        let size = Size { height: s.size.width, width: s.size.height };
        moved(s, size, |x, y| [y, s.size.height - 1 - x])
    }),
    ("turned by 180°", 0.95, |s| moved(s, s.size, |x, y| [s.size.width - 1 - x, s.size.height - 1 - y])),
    ("mirrored", 0.95, |s| moved(s, s.size, |x, y| [s.size.width - 1 - x, y])),
    ("its middle, 60 % of width and height", 0.8, |s| middle(s, 0.6)),
    ("its middle, 80 %", 0.1, |s| middle(s, 0.8)),
    ("an eighth of the pixels a side", 0.7, |s| smaller(s, 8)),
    ("blurred to 40 × 50 pixels", 0.6, blurred),
    ("noise of up to 70 grey levels", 0.6, noisy),
    ("a third as bright", 0.6, |s| graded(s, |v| v / 3.0)),
    ("gamma of 2", 0.1, |s| graded(s, |v| v * v)),
    ("blank", 0.95, |s| graded(s, |_| 0.5)),
];

/// Numbers of unlike images by change, of all deals.
fn unlike(dataset: &Dataset) -> ([usize; CHANGES.len()], usize) {
    let (mut unlike, mut all) = ([0; CHANGES.len()], 0);
    for deal in 0..DEALS {
        let order = seed::shuffled(dataset.samples.len(), deal, Stream::Order, 0);
        let mut dealt = dataset.clone();
        for (place, index) in order.iter().enumerate() {
            dealt.samples[*index].split =
                [Split::Train, Split::Train, Split::Train, Split::Val, Split::Test][place * 5 / order.len()];
        }
        let [train, val] = [Split::Train, Split::Val].map(|split| Loader::new(&dealt, split, INPUT));
        let judge = TrainingImages::of(&train, &val, &dealt, INPUT).unwrap().unwrap().judge(INPUT).unwrap();
        for index in dealt.indices(Split::Test) {
            all += 1;
            for (count, (_, _, change)) in unlike.iter_mut().zip(CHANGES) {
                let Sample { size, pixels, .. } = change(&dealt.samples[index]);
                let planes = view(&pixels, size, Window::whole(size), INPUT);
                let seen = SeenImage { size, spacing: None, planes: &planes, input: INPUT, confidence: 1.0 };
                *count += usize::from(judge.judge(seen).unlike);
            }
        }
    }
    (unlike, all)
}

#[test]
fn held_back_radiographs_are_seldom_unlike_and_changed_ones_often() {
    let Some(path) = sweep_testing::shared_data("ceph10") else { return };
    let (unlike, all) = unlike(&folder::read(&path).unwrap());
    for ((name, least, _), count) in CHANGES.into_iter().zip(unlike) {
        let share = count as f64 / all as f64;
        println!("| {name} | {:.1} % |", 100.0 * share);
        assert!(share >= least, "{name}: {count} of {all}");
    }
    // One of 21 at most: 4.8 % of 200 images, with a margin for chance.
    assert!(unlike[0] as f64 <= 0.1 * all as f64, "{} of {all}", unlike[0]);
}
