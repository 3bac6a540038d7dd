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
        recipes: vec!["r".to_owned()],
        refit: false,
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

/// The judgement of an image at this distance.
fn judged(score: f64) -> Judgement {
    Judgement { unlike: score > 1.0, score, p: 0.01, false_alarm_rate: 0.01, differs: Vec::new() }
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
                Coverage::of(&calibrated, &images(200, 2 * repeat + 1), &BTreeMap::new()).unwrap().share
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
    let refused = calibrated.radius("sella", 0.5, Some(&judged(2.0)));
    assert!(refused.radius.is_none() && refused.note.contains("saw none like it"), "{refused:?}");
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
    let other = networks(&["c after epoch 1"], false);
    assert!(together.check(&other).unwrap_err().message.contains("c after"));
    // A refit by the recipe of the folds, and no other network.
    let refit = CalibratedNetworks { refit: true, ..other };
    assert!(held_out.check(&refit).is_ok());
    assert!(together.check(&refit).is_err(), "one of these networks' own images may have trained it");
    for recipes in [&["s"][..], &["r", "r"]] {
        let recipes = recipes.iter().map(|&recipe| recipe.to_owned()).collect();
        assert!(held_out.check(&CalibratedNetworks { recipes, ..refit.clone() }).is_err());
    }
    assert!(held_out.check(&CalibratedNetworks { refit: false, ..refit }).is_err());
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

/// Shifted images: the farther, the greater their errors.
fn shifted(count: usize, repeat: u64, times: f64) -> Vec<LandmarkRecord> {
    let widened = images(count, repeat).into_iter();
    widened.map(|row| LandmarkRecord { error_mm: times * row.error_mm, ..row }).collect()
}

fn at<'a>(records: &'a [LandmarkRecord], judgement: &'a Judgement) -> Vec<ShiftedPrediction<'a>> {
    records.iter().map(|record| ShiftedPrediction { record, judgement: Some(judgement) }).collect()
}

#[test]
fn images_unlike_the_training_get_the_radii_that_shifted_ones_needed() {
    let calibrated = radii(&images(100, 0));
    let (near, far, like) = (shifted(100, 2, 2.0), shifted(100, 3, 5.0), shifted(100, 4, 9.0));
    let [at_near, at_far, at_like] = [judged(1.5), judged(9.0), judged(0.5)];
    let all = [at(&near, &at_near), at(&far, &at_far), at(&like, &at_like)].concat();
    let widened = calibrated.clone().widened_by(&all);
    assert_eq!(widened.landmarks, calibrated.landmarks, "images like the training's keep their radii");
    let [one, other] = &widened.unlike[..] else { panic!("{:?}", widened.unlike) };
    assert!((one.factor - 2.0).abs() < 0.4 && (other.factor - 5.0).abs() < 1.0, "{one:?} {other:?}");
    assert_eq!((one.above, one.up_to, other.above, other.up_to, one.images), (1.0, 2.0, 8.0, 9.0, 100));
    // New images at these distances lie within, nine times in ten.
    for (times, judgement) in [(1.0, &at_like), (2.0, &at_near), (5.0, &at_far)] {
        let fresh = shifted(200, 7, times);
        let judgements = fresh.iter().map(|row| (row.image.as_str(), judgement)).collect();
        let coverage = Coverage::of(&widened, &fresh, &judgements).unwrap();
        assert!((coverage.share - COVERAGE).abs() < 0.05, "{times}: {coverage:?}");
        assert_eq!((coverage.images, coverage.refused), (200, 0));
        assert_eq!(coverage.widened, if times > 1.0 { 200 } else { 0 });
    }
    let note = widened.radius("sella", 0.5, Some(&at_near)).note;
    assert!(note.contains("widened by"), "{note}");
    // Between the classes, and beyond the farthest image that was seen, there is none.
    for score in [3.0, 9.5, f64::INFINITY] {
        let refused = widened.radius("sella", 0.5, Some(&judged(score)));
        assert!(refused.radius.is_none() && refused.note.contains("did not measure"), "{score}");
    }
    let fresh = images(20, 9);
    let far_off = judged(20.0);
    let judgements = fresh.iter().map(|row| (row.image.as_str(), &far_off)).collect();
    let coverage = Coverage::of(&widened, &fresh, &judgements).unwrap();
    assert!(coverage.share.is_nan() && (coverage.images, coverage.refused) == (0, 20), "{coverage:?}");
    // Eight images of a class promise nothing, and farther ones never have less than nearer ones.
    assert!(calibrated.clone().widened_by(&all[..8 * NAMES.len()]).unlike.is_empty());
    let (nearer, farther) = (judged(1.5), judged(3.0));
    let surer = calibrated.widened_by(&[at(&far, &nearer), at(&near, &farther)].concat());
    assert_eq!(surer.unlike[0].factor.to_bits(), surer.unlike[1].factor.to_bits());

    let text = serde_json::to_string(&widened).unwrap();
    assert_eq!(Radii::parse(&text).unwrap(), widened);
    for (from, to) in
        [("\"above\":1.0", "\"above\":2.5"), ("\"factor\":", "\"factor\":-"), ("\"up_to\":2.0", "\"up_to\":1e999")]
    {
        assert!(text.contains(from), "{text}");
        assert!(Radii::parse(&text.replacen(from, to, 1)).is_err(), "{from}");
    }
}
