use rand::Rng;

use super::*;
use sweep_core::seed::{self, Stream};
use sweep_experiment::records::Selection;

const NAMES: [&str; 4] = ["sella", "nasion", "menton", "gonion"];

fn networks(checkpoints: &[&str], held_out: bool) -> CalibratedNetworks {
    CalibratedNetworks {
        checkpoints: checkpoints.iter().map(|name| (*name).to_owned()).collect(),
        tta: 1,
        both_stages: false,
        held_out,
    }
}

fn record(image: usize, landmark: &str, error_mm: f64, confidence: f64) -> LandmarkRecord {
    LandmarkRecord {
        trial: "t".into(),
        seed: 0,
        epoch: 1,
        selected: Selection::Last,
        image: format!("{image}.png"),
        landmark: landmark.to_owned(),
        x_true: 0.0,
        y_true: 0.0,
        x_pred: error_mm,
        y_pred: 0.0,
        error_px: error_mm,
        error_mm,
        confidence,
        reference_px: f64::NAN,
        spacing_x_mm: 1.0,
        spacing_y_mm: 1.0,
    }
}

/// Images whose landmarks err together: a bad image is bad for all, each landmark has its own scale, and the network is less
/// confident where it errs, but not reliably so.
fn images(count: usize, repeat: u64) -> Vec<LandmarkRecord> {
    let mut rng = seed::derive(repeat, Stream::Bootstrap, 11, count as u64);
    let mut records = Vec::new();
    for image in 0..count {
        let bad: f64 = rng.random_range(0.2..1.0f64).powi(-1);
        for (k, name) in NAMES.iter().enumerate() {
            let error = bad * (1.0 + k as f64) * rng.random_range(0.0..1.0f64);
            let confidence = (1.0 - 0.15 * error + rng.random_range(-0.2..0.2)).clamp(0.0, 1.0);
            records.push(record(image, name, error, confidence));
        }
    }
    records
}

fn radii(records: &[LandmarkRecord]) -> Radii {
    Radii::of(records, networks(&["t after epoch 1"], false), "val".into(), None).unwrap()
}

#[test]
fn nine_in_ten_of_new_images_lie_within_their_radii() {
    for (count, repeats) in [(20, 200), (100, 60)] {
        let shares: Vec<f64> = (0..repeats)
            .map(|repeat| {
                let calibrated = radii(&images(count, 2 * repeat));
                Coverage::of(&calibrated, &images(200, 2 * repeat + 1)).unwrap().share
            })
            .collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        // ⌈(n + 1)·0.9⌉/(n + 1) is 0.905 of 20 images and 0.901 of 100.
        assert!((mean - COVERAGE).abs() < 0.015, "{count} images: {mean}");
    }
}

#[test]
fn the_rank_is_that_of_finite_samples() {
    let mut nine: Vec<f64> = (1..=9).rev().map(f64::from).collect();
    assert_eq!(conformal_quantile(&mut nine, 0.9), Some(9.0));
    assert_eq!(conformal_quantile(&mut nine[..8], 0.9), None, "eight images promise nothing");
    let mut many: Vec<f64> = (1..=99).map(f64::from).collect();
    assert_eq!(conformal_quantile(&mut many, 0.9), Some(90.0));
}

#[test]
fn a_radius_grows_with_doubt_and_says_when_it_may_be_too_small() {
    let records: Vec<LandmarkRecord> = (0..20).map(|i| record(i, "sella", 1.0 + 0.1 * i as f64, 0.5)).collect();
    let calibrated = radii(&records);
    let of = |confidence| calibrated.radius("sella", confidence, None);
    // The 19th of 20 errors, at a doubt of 1.
    assert!((of(0.5).radius.unwrap() - 2.8).abs() < 1e-12 && of(0.5).note.is_empty());
    assert!((of(1.0).radius.unwrap() - 1.4).abs() < 1e-12);
    assert!(of(0.2).radius.unwrap() > 3.0 && of(0.2).note.contains("less confident"));
    let unlike = Judgement { unlike: true, score: 2.0, p: 0.01, false_alarm_rate: 0.01, differs: Vec::new() };
    assert!(calibrated.radius("sella", 0.5, Some(&unlike)).note.contains("unlike"));
    assert!(calibrated.radius("nasion", 0.5, None).note.contains("no image"));
    let few = radii(&[records, vec![record(0, "nasion", 1.0, 0.5)]].concat());
    assert!(few.radius("nasion", 0.5, None).radius.is_none() && few.radius("nasion", 0.5, None).note.contains("nine"));
    assert!(Radii::of(&[record(0, "nasion", 1.0, 0.5)], networks(&["t"], false), "val".into(), None).is_err());
}

#[test]
fn radii_are_for_the_networks_they_were_calibrated_for() {
    let both = ["a after epoch 1", "b after epoch 1"];
    let together = Radii { networks: networks(&both, false), ..radii(&images(20, 0)) };
    let held_out = Radii { networks: networks(&both, true), ..together.clone() };
    let one = networks(&both[..1], false);
    assert!(together.check(&networks(&both, false)).is_ok() && held_out.check(&networks(&both, false)).is_ok());
    assert!(held_out.check(&one).is_ok() && together.check(&one).unwrap_err().message.contains("2 networks"));
    let views = CalibratedNetworks { tta: 5, ..networks(&both, false) };
    assert!(together.check(&views).unwrap_err().message.contains("--tta"));
    assert!(together.check(&networks(&["c after epoch 1"], false)).unwrap_err().message.contains("c after"));
}

#[test]
fn a_file_is_read_as_it_was_written_and_nothing_else_is_believed() {
    let picture = Some((Size { height: 80, width: 64 }, Spacing { x: 3.0, y: 3.0 }));
    let written = Radii { picture, ..radii(&images(20, 0)) };
    let text = serde_json::to_string(&written).unwrap();
    assert_eq!(Radii::parse(&text).unwrap(), written);
    let size = Size { height: 80, width: 64 };
    assert_eq!(written.spacing(size, None), Some(Spacing { x: 3.0, y: 3.0 }));
    assert_eq!(written.spacing(Size { height: 81, ..size }, None), None);
    for (from, to) in [("\"version\":1", "\"version\":2"), ("\"radius\":", "\"radius\":-"), ("{", "[")] {
        let error = Radii::parse(&text.replacen(from, to, 1)).unwrap_err();
        assert!(error.remedy.unwrap().contains("--calibrate"), "{from}");
    }
}
