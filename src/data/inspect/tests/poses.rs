//! Subjects that stand in every direction, films, and checks that are off.

use rand::Rng;

use super::*;
use crate::Split;
use sweep_core::units::{Point, Size};

/// Turns an image's landmarks about the middle of the image, which grows so that they stay on it.
fn turn(image: &mut Image, degrees: f64) {
    let summary = image.summary.as_mut().unwrap();
    let side = (summary.size.width as f64).hypot(summary.size.height as f64).ceil();
    let (cx, cy) = (summary.size.width as f64 / 2.0, summary.size.height as f64 / 2.0);
    let (sin, cos) = degrees.to_radians().sin_cos();
    for p in image.row.landmarks.iter_mut().flatten() {
        let (x, y) = (p.x - cx, p.y - cy);
        *p = Point { x: side / 2.0 + cos * x - sin * y, y: side / 2.0 + sin * x + cos * y };
    }
    summary.size = Size { height: side as usize, width: side as usize };
}

#[test]
fn shapes_in_every_direction_are_no_defects_and_planted_ones_are_still_found() {
    let mut set = sizes(&phantoms(40, 20));
    for (i, image) in set.images.iter_mut().enumerate() {
        turn(image, rng(i as u64).random_range(-180.0..180.0));
    }
    let inspection = inspect(&set);
    assert_eq!(serious(&inspection), Vec::<&Finding>::new());
    assert!(inspection.of(Severity::Note).any(|f| f.check == "poses" && f.what.contains("every direction")));
    let spread = inspection.spread.unwrap();
    let reach = spread.mean.iter().flatten().map(|p| p.x.hypot(p.y)).fold(0.0, f64::max);
    assert!(reach > 20.0, "the mean shape has the size of the shapes: {reach}");
    set.images[7].row.landmarks.swap(0, 5);
    let inspection = inspect(&set);
    let found = serious(&inspection);
    assert_eq!(found.iter().map(|f| (f.check, f.line)).collect::<Vec<_>>(), [("swapped", Some(9))]);
}

#[test]
fn a_few_turned_images_among_upright_ones_are_defects() {
    for (degrees, check) in [(180.0, "turned"), (90.0, "turned")] {
        let mut set = sizes(&phantoms(16, 8));
        for i in [3, 8, 13, 21] {
            turn(&mut set.images[i], degrees);
        }
        let inspection = inspect(&set);
        let found = of(&serious(&inspection), check);
        assert_eq!(found.iter().map(|f| f.line.unwrap()).collect::<Vec<_>>(), [5, 10, 15, 23], "{degrees}");
        assert!(inspection.is_spoilt());
    }
}

#[test]
fn mirrored_shapes_are_no_defects_where_both_sides_occur() {
    let mut set = sizes(&phantoms(40, 20));
    for image in set.images.iter_mut().step_by(2) {
        let width = image.summary.as_ref().unwrap().size.width as f64;
        image.row.landmarks.iter_mut().flatten().for_each(|p| p.x = width - 1.0 - p.x);
    }
    let inspection = inspect(&set);
    assert!(!inspection.is_spoilt(), "{:?}", serious(&inspection));
    assert!(inspection.of(Severity::Note).any(|f| f.check == "poses" && f.what.contains("mirror")));
}

/// Frames of one scene: one picture with a bright patch that moves with the landmarks.
fn film(frames: usize) -> crate::Dataset {
    let mut dataset = phantoms(8, 4);
    let background = dataset.samples[0].clone();
    for i in 0..frames {
        let mut sample = background.clone();
        let step = 3 * i;
        sample.image = format!("frame{i:02}.png");
        sample.split = if i % 3 == 2 { Split::Val } else { Split::Train };
        let width = sample.size.width;
        for y in 0..30 {
            for x in 0..24 {
                sample.pixels[(20 + y + step) * width + 8 + x + step] = if (x / 3 + y / 3) % 2 == 0 { 250 } else { 10 };
            }
        }
        for (k, p) in sample.landmarks.iter_mut().enumerate() {
            let (x, y) = (8 + step + 5 * (k % 4), 20 + step + 7 * (k / 4));
            *p = Some(Point { x: x as f64, y: y as f64 });
        }
        dataset.samples.push(sample);
    }
    dataset
}

#[test]
fn frames_of_a_film_are_one_finding_and_none_where_they_are_a_group() {
    let dataset = film(8);
    let mut set = seen(&dataset, ImageSummary::of);
    let films = |set: &Set| -> Vec<Finding> {
        let found = super::super::duplicates::findings(set);
        assert!(found.iter().all(|f| f.severity != Severity::Error), "{found:?}");
        found.into_iter().filter(|f| f.check == "film").collect()
    };
    let found = films(&set);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].severity, Severity::Warning);
    assert!(found[0].others.len() >= 3, "{found:?}");
    for image in &mut set.images {
        image.row.patient = image.row.image.starts_with("frame").then(|| "film".to_owned());
    }
    assert_eq!(films(&set), []);
}

#[test]
fn a_check_that_is_off_is_said_to_be_off() {
    let mut set = sizes(&phantoms(20, 12));
    set.images[4].row.landmarks.swap(0, 5);
    assert!(inspect(&set).is_spoilt());
    set.unwanted = vec!["swapped".into()];
    let inspection = inspect(&set);
    assert!(!inspection.is_spoilt());
    let off: Vec<&str> = inspection.of(Severity::Note).filter(|f| f.check == "off").map(|f| f.what.as_str()).collect();
    assert_eq!(off, ["dataset.toml turns the check `swapped` off: 1 of its findings are not shown"]);
}
