//! Shapes with planted defects.

use rand::Rng;

use super::*;
use sweep_core::units::Point;

/// Planted defects, and the findings that count.
#[derive(Debug, Clone, Copy)]
enum Plant {
    Displaced(f64),
    Swapped,
    MirroredLandmark,
    MirroredImage,
    TransposedImage,
    WrongPixelSize(f64),
}

/// Plants one; the image, and the landmarks that are to be named.
fn plant(set: &mut Set, what: Plant, rng: &mut impl Rng) -> (String, &'static str, Vec<String>) {
    let i = rng.random_range(0..set.images.len());
    let size = set.images[i].summary.as_ref().unwrap().size;
    let row = &mut set.images[i].row;
    let count = row.landmarks.len();
    let k = rng.random_range(0..count);
    let spacing = row.spacing.unwrap();
    let name = |k: usize| set.landmarks[k].clone();
    let flip = |p: Point| Point { x: size.width as f64 - 1.0 - p.x, y: p.y };
    let (check, named) = match what {
        Plant::Displaced(mm) => {
            let (sin, cos) = rng.random_range(0.0..std::f64::consts::TAU).sin_cos();
            let p = row.landmarks[k].unwrap();
            row.landmarks[k] = Some(Point { x: p.x + mm * cos / spacing.x, y: p.y + mm * sin / spacing.y });
            ("displaced", vec![name(k)])
        }
        Plant::Swapped => {
            let other = (k + rng.random_range(1..count)) % count;
            row.landmarks.swap(k, other);
            ("swapped", vec![name(k.min(other)), name(k.max(other))])
        }
        Plant::MirroredLandmark => {
            row.landmarks[k] = row.landmarks[k].map(flip);
            ("displaced", vec![name(k)])
        }
        Plant::MirroredImage => {
            row.landmarks.iter_mut().for_each(|p| *p = p.map(flip));
            ("mirrored", vec![])
        }
        Plant::TransposedImage => {
            row.landmarks.iter_mut().for_each(|p| *p = p.map(|p| Point { x: p.y, y: p.x }));
            ("transposed", vec![])
        }
        Plant::WrongPixelSize(factor) => {
            row.spacing = Some(sweep_core::units::Spacing { x: spacing.x * factor, y: spacing.y * factor });
            ("pixel-size", vec![])
        }
    };
    (row.image.clone(), check, named)
}

/// Of `times` plants, one at a time: exactly named, noticed at all on that image, and findings on other images.
fn rates(clean: &Set, what: Plant, times: u64) -> (u64, u64, usize) {
    let (mut named, mut noticed, mut elsewhere) = (0, 0, 0);
    for i in 0..times {
        let mut set = clean.clone();
        let (image, check, landmarks) = plant(&mut set, what, &mut rng(i));
        let inspection = inspect(&set);
        let found: Vec<&Finding> = serious(&inspection).into_iter().filter(|f| f.check != "outside").collect();
        let here: Vec<&Finding> = found.iter().filter(|f| f.image.as_deref() == Some(&image)).copied().collect();
        named += u64::from(here.iter().any(|f| f.check == check && f.landmarks == landmarks));
        noticed += u64::from(!here.is_empty());
        elsewhere += found.len() - here.len();
    }
    (named, noticed, elsewhere)
}

/// Least share of plants that must be named.
fn expect(label: &str, clean: &Set, what: Plant, times: u64, least: f64) {
    let before = serious(&inspect(clean)).len();
    let (named, noticed, elsewhere) = rates(clean, what, times);
    println!("{label}: {what:?}: {named} named, {noticed} noticed of {times}; {elsewhere} findings elsewhere");
    assert_eq!(before, 0, "{label}: findings before anything was planted");
    assert!(named as f64 >= least * times as f64, "{label}: {what:?}: {named} of {times}");
    assert!(elsewhere as u64 * 50 <= times, "{label}: {what:?}: {elsewhere} false alarms");
}

fn all(label: &str, clean: &Set, times: u64) {
    expect(label, clean, Plant::Displaced(30.0), times, 0.95);
    expect(label, clean, Plant::Displaced(20.0), times, 0.9);
    expect(label, clean, Plant::Displaced(10.0), times, 0.4);
    expect(label, clean, Plant::Swapped, times, 0.9);
    expect(label, clean, Plant::MirroredLandmark, times, 0.7);
    expect(label, clean, Plant::MirroredImage, times, 0.95);
    expect(label, clean, Plant::TransposedImage, times, 0.95);
    expect(label, clean, Plant::WrongPixelSize(2.0), times, 0.99);
    expect(label, clean, Plant::WrongPixelSize(0.6), times, 0.95);
}

#[test]
fn planted_defects_are_named_on_phantoms() {
    all("100 phantoms", &sizes(&phantoms(80, 20)), 50);
    all("24 phantoms", &sizes(&phantoms(16, 8)), 50);
}

#[test]
fn planted_defects_are_named_on_radiographs() {
    let Some(dataset) = radiographs() else { return };
    all("100 radiographs", &sizes(&dataset), 100);
}

#[test]
fn nothing_is_found_where_nothing_was_planted() {
    let (mut images, mut alarms) = (0, 0);
    for (seed, count) in
        [(10, 300), (11, 100), (12, 100), (13, 50), (14, 50), (15, 24), (16, 24), (17, 12), (18, 8), (19, 6)]
    {
        let spec = PhantomSpec { train: count - 2, val: 2, test: 0, height: 32, width: 32, seed };
        let inspection = inspect(&sizes(&spec.generate().unwrap()));
        let found = serious(&inspection);
        images += count;
        alarms += found.len();
        for f in &found {
            println!("{count} phantoms of seed {seed}: {f}");
        }
        assert!(found.iter().all(|f| f.severity == Severity::Warning), "{found:?}");
    }
    println!("{alarms} false alarms on {images} images");
    assert!(alarms * 100 <= images, "{alarms}");
}

#[test]
fn many_defects_at_once_do_not_hide_each_other() {
    let clean = sizes(&phantoms(80, 20));
    let (mut named, mut planted, mut elsewhere) = (0, 0, 0);
    for round in 0..10 {
        let (mut set, mut rng) = (clean.clone(), rng(1000 + round));
        let kinds =
            [Plant::Displaced(30.0), Plant::Swapped, Plant::MirroredImage, Plant::Displaced(30.0), Plant::Swapped];
        let plants: Vec<_> = kinds.into_iter().cycle().take(10).map(|kind| plant(&mut set, kind, &mut rng)).collect();
        let inspection = inspect(&set);
        let found = serious(&inspection);
        for (image, check, landmarks) in &plants {
            // Two plants in one image are another defect.
            if plants.iter().filter(|(other, ..)| other == image).count() == 1 {
                planted += 1;
                let is =
                    |f: &&&Finding| f.image.as_ref() == Some(image) && f.check == *check && f.landmarks == *landmarks;
                named += usize::from(found.iter().any(|f| is(&f)));
            }
        }
        let planted_in = |f: &&&Finding| plants.iter().any(|(image, ..)| f.image.as_ref() == Some(image));
        elsewhere += found.iter().filter(|f| !planted_in(f) && f.check != "outside").count();
    }
    println!("ten at once: {named} of {planted} named, {elsewhere} findings elsewhere");
    assert!(named * 10 >= planted * 9, "{named} of {planted}");
    assert!(elsewhere <= 2, "{elsewhere}");
}
