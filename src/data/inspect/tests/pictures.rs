//! Pictures that are there twice, in every disguise.

use std::io::Cursor;

use image::{GrayImage, ImageFormat, imageops};
use rand::Rng;

use super::super::duplicates;
use super::super::fingerprint::{Fingerprint, correlations};
use super::*;
use crate::Split;
use sweep_core::units::{Point, Size};

fn picture(sample: &Sample) -> GrayImage {
    GrayImage::from_raw(sample.size.width as u32, sample.size.height as u32, sample.pixels.clone()).unwrap()
}

fn sample(like: &Sample, picture: GrayImage) -> Sample {
    let size = Size { height: picture.height() as usize, width: picture.width() as usize };
    Sample { size, pixels: picture.into_raw(), ..like.clone() }
}

fn jpeg(picture: &GrayImage, quality: u8) -> GrayImage {
    let mut bytes = Cursor::new(Vec::new());
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
    picture.write_with_encoder(encoder).unwrap();
    image::load_from_memory_with_format(bytes.get_ref(), ImageFormat::Jpeg).unwrap().into_luma8()
}

fn graded(picture: &GrayImage, grade: impl Fn(f64) -> f64) -> GrayImage {
    let mut changed = picture.clone();
    changed.pixels_mut().for_each(|p| p.0[0] = grade(f64::from(p.0[0])).clamp(0.0, 255.0) as u8);
    changed
}

fn shifted(picture: &GrayImage, by: u32) -> GrayImage {
    GrayImage::from_fn(picture.width(), picture.height(), |x, y| {
        if x < by || y < by { image::Luma([0]) } else { *picture.get_pixel(x - by, y - by) }
    })
}

fn scaled(picture: &GrayImage, by: f64) -> GrayImage {
    let size = |pixels: u32| (f64::from(pixels) * by).round() as u32;
    imageops::resize(picture, size(picture.width()), size(picture.height()), imageops::FilterType::Triangle)
}

fn cropped(picture: &GrayImage, most: f64, rng: &mut impl Rng) -> GrayImage {
    let (w, h) = picture.dimensions();
    let mut part = |pixels: u32| (rng.random_range(0.0..most) * f64::from(pixels)) as u32;
    let (left, right, top, bottom) = (part(w), part(w), part(h), part(h));
    imageops::crop_imm(picture, left, top, w - left - right, h - top - bottom).to_image()
}

fn noisy(picture: &GrayImage, rng: &mut impl Rng) -> GrayImage {
    let mut changed = picture.clone();
    changed
        .pixels_mut()
        .for_each(|p| p.0[0] = (f64::from(p.0[0]) + rng.random_range(-20.0..20.0)).clamp(0.0, 255.0) as u8);
    changed
}

type Disguise = (&'static str, f64, fn(&GrayImage, u64) -> GrayImage);

/// Each with the least share that must be recognised.
const DISGUISES: [Disguise; 12] = [
    ("JPEG of quality 50", 1.0, |p, _| jpeg(p, 50)),
    ("JPEG of quality 15", 1.0, |p, _| jpeg(p, 15)),
    ("30 % brighter, clipped", 0.95, |p, _| graded(p, |v| 1.3 * v + 20.0)),
    ("gamma 0.6", 1.0, |p, _| graded(p, |v| 255.0 * (v / 255.0).powf(0.6))),
    ("less contrast", 1.0, |p, _| graded(p, |v| 0.6 * v + 50.0)),
    ("shifted by 2 pixels", 1.0, |p, _| shifted(p, 2)),
    ("half the size", 1.0, |p, _| scaled(p, 0.5)),
    ("twice the size", 1.0, |p, _| scaled(p, 2.0)),
    ("cropped by up to 1 %", 1.0, |p, i| cropped(p, 0.01, &mut rng(i))),
    ("cropped by up to 3 %", 0.9, |p, i| cropped(p, 0.03, &mut rng(i))),
    ("noise", 1.0, |p, i| noisy(p, &mut rng(i))),
    ("smaller, shifted, brighter, JPEG", 0.7, |p, _| {
        jpeg(&graded(&scaled(&shifted(p, 2), 0.6), |v| 1.2 * v + 10.0), 40)
    }),
];

/// Findings of two images that are the same but for the disguise.
fn is_recognised(original: &Sample, hidden: GrayImage, landmarks: &[String]) -> bool {
    let mut copy = sample(original, hidden);
    let to = |p: Point| p.rescale(original.size, copy.size);
    copy.landmarks = original.landmarks.iter().map(|p| p.map(to)).collect();
    (copy.image, copy.split) = ("copy.png".into(), Split::Val);
    let original = Sample { split: Split::Train, ..original.clone() };
    let samples = vec![original, copy];
    let dataset =
        Dataset { name: "two".into(), landmarks: landmarks.to_vec(), observer_mre: None, normalise: None, samples };
    inspect(&seen(&dataset, ImageSummary::of)).findings.iter().any(|f| f.check == "leakage")
}

fn recognised(label: &str, dataset: &Dataset) {
    let found = inspect(&seen(dataset, ImageSummary::of));
    assert_eq!(serious(&found), Vec::<&Finding>::new(), "{label}");
    let prints: Vec<Fingerprint> = dataset.samples.iter().map(Fingerprint::of).collect();
    let all = correlations(&prints);
    let greatest = all.iter().copied().fold(0.0, f64::max);
    println!("{label}: {} pairs of different pictures, greatest correlation {greatest:.3}", all.len());
    for (name, least, disguise) in DISGUISES {
        let places: Vec<usize> = (0..dataset.samples.len()).step_by(5).collect();
        let (mut count, mut weakest) = (0, 1.0f64);
        for i in &places {
            let original = &dataset.samples[*i];
            let hidden = disguise(&picture(original), *i as u64);
            let print = Fingerprint::of(&sample(original, hidden.clone()));
            weakest = weakest.min(correlations(&[prints[*i].clone(), print])[0]);
            count += usize::from(is_recognised(original, hidden, &dataset.landmarks));
        }
        println!("{label}: {name}: {count} of {} recognised, least correlation {weakest:.3}", places.len());
        assert!(count as f64 >= least * places.len() as f64, "{label}: {name}: {count} of {}", places.len());
    }
}

#[test]
fn phantoms_are_recognised_in_every_disguise_and_not_confused() {
    let large = PhantomSpec { train: 100, val: 20, test: 0, height: 400, width: 320, seed: 0 }.generate().unwrap();
    recognised("phantoms of 320×400", &large);
    let small = phantoms(180, 60);
    let inspection = inspect(&seen(&small, ImageSummary::of));
    let found: Vec<&Finding> = serious(&inspection).into_iter().filter(|f| f.check != "displaced").collect();
    assert_eq!(found, Vec::<&Finding>::new(), "28 680 pairs of phantoms of 80×100");
}

#[test]
fn radiographs_are_recognised_in_every_disguise_and_not_confused() {
    let Some(dataset) = radiographs() else { return };
    recognised("radiographs", &dataset);
}

#[test]
fn one_shape_tells_one_picture_only_where_shapes_differ() {
    let set = sizes(&phantoms(40, 20));
    assert!(duplicates::shapes_differ(&set, &[]));
    let mut alike = sizes(&phantoms(40, 20));
    let shape = alike.images[0].row.landmarks.clone();
    for (i, image) in alike.images.iter_mut().enumerate() {
        let by = i as f64 * 0.3;
        image.row.landmarks = shape.iter().map(|p| p.map(|p| Point { x: p.x + by, y: p.y - by })).collect();
    }
    assert!(!duplicates::shapes_differ(&alike, &[]));
    // Of two images there is no pair that is known to be different.
    let two = sizes(&phantoms(1, 1));
    assert!(duplicates::shapes_differ(&two, &[]));
}
