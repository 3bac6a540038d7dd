use std::collections::BTreeMap;

use rand::Rng;

use sweep_core::seed::{self, Stream};
use sweep_core::units::ErrorUnit;

use super::*;
use crate::statistics::normal_quantile;

const MARGINS: Margins = Margins { mre_mm: 0.3, sdr_points: 5.0, measures: BTreeMap::new() };

/// A configuration of one or more seeds, its errors moved by `shift` and scattered by `scatter_mm`.
fn baseline(shift: f64, scatter_mm: f64, images: usize, seeds_of: u64) -> Baseline {
    let trial = |seed: u64| {
        let mut rng = seed::derive(7 + seed, Stream::Bootstrap, (scatter_mm * 1e3) as u64, 1);
        let error_mm = (0..images)
            .map(|i| {
                let marks = ["sella", "nasion"].map(|mark| {
                    let scatter = normal_quantile(rng.random_range(1e-9..1.0));
                    (mark.to_owned(), 3.5 + 0.1 * (i % 7) as f64 + shift + scatter_mm * scatter)
                });
                (format!("{i:03}.png"), BTreeMap::from(marks))
            })
            .collect();
        let (dataset_hash, split_hash) = ("abc".into(), "def".into());
        let errors =
            TrialErrors { dataset_hash, split_hash, resolution: None, errors: error_mm, measures: BTreeMap::new() };
        (seed, errors)
    };
    let seeds = (0..seeds_of).map(trial).collect();
    // One training each: its noise is known from elsewhere.
    let quiet = TrainingNoise {
        mre: 0.01,
        share: 0.1,
        landmarks: BTreeMap::from(["sella", "nasion"].map(|mark| (mark.to_owned(), 0.01))),
        measures: BTreeMap::new(),
        degrees: 5,
    };
    let noise = (seeds_of == 1).then_some(quiet);
    let configuration =
        Configuration { label: "l1".into(), configuration: None, seeds, noise, unfinished: BTreeMap::new() };
    Baseline {
        version: 2,
        sweep: "ci".into(),
        metric: METRIC.into(),
        unit: ErrorUnit::Millimetres,
        measures: BTreeMap::new(),
        configurations: vec![configuration],
    }
}

fn verdict(before: &Baseline, now: &Baseline) -> Verdict {
    check(before, now, &MARGINS).unwrap().verdict
}

#[test]
fn passes_fails_and_says_when_it_cannot_tell() {
    for seeds in [1, 3] {
        let before = baseline(0.0, 0.0, 40, seeds);
        assert_eq!(verdict(&before, &before), Verdict::Pass);
        assert_eq!(verdict(&before, &baseline(0.6, 0.2, 40, seeds)), Verdict::Fail);
        assert_eq!(verdict(&before, &baseline(0.3, 1.0, 40, seeds)), Verdict::Inconclusive);
        let checked = check(&before, &baseline(0.1, 0.0, 40, seeds), &MARGINS).unwrap();
        assert_eq!(checked.verdict, Verdict::Pass);
        assert!((checked.tests[0].change.point - 0.1).abs() < 1e-9 && checked.tests[0].change.n.images == 40);
    }
}

#[test]
fn one_seed_never_fails_unless_its_training_noise_is_known() {
    let unknown = |shift: f64, scatter: f64| {
        let mut one = baseline(shift, scatter, 40, 1);
        one.configurations[0].noise = None;
        one
    };
    let checked = check(&unknown(0.0, 0.0), &unknown(0.6, 0.2), &MARGINS).unwrap();
    assert_eq!(checked.verdict, Verdict::Inconclusive);
    assert!(checked.warnings.iter().any(|w| w.contains("one seed") && w.contains("--noise")), "{:?}", checked.warnings);
    // The same training again is the same training.
    assert_eq!(verdict(&unknown(0.0, 0.2), &unknown(0.0, 0.2)), Verdict::Pass);
    let mut noisy = unknown(0.0, 0.0);
    let other = baseline(0.0, 0.4, 40, 4);
    assert!(noisy.take_noise(&other).is_empty());
    assert_eq!(noisy.configurations[0].noise.as_ref().unwrap().degrees, 3);
    // A training that scatters by half a millimetre explains 0.6 mm.
    noisy.configurations[0].noise.as_mut().unwrap().mre = 0.5;
    let checked = check(&noisy, &unknown(0.6, 0.2), &MARGINS).unwrap();
    assert_eq!(checked.tests[0].verdict, Verdict::Inconclusive, "{:?}", checked.tests[0]);
    let text = noisy.to_json().unwrap();
    assert_eq!(Baseline::parse(&text).unwrap().configurations[0].noise.as_ref().unwrap().degrees, 3);
}

#[test]
fn one_landmark_that_worsens_fails_though_the_mean_does_not() {
    let before = baseline(0.0, 0.1, 40, 1);
    let mut now = before.clone();
    for marks in now.configurations[0].seeds.values_mut().flat_map(|t| t.errors.values_mut()) {
        *marks.get_mut("sella").unwrap() += 0.8;
        *marks.get_mut("nasion").unwrap() -= 0.8;
    }
    let checked = check(&before, &now, &MARGINS).unwrap();
    assert_eq!(checked.verdict, Verdict::Fail);
    let failed: Vec<String> =
        checked.tests.iter().filter(|t| t.verdict == Verdict::Fail).map(|t| t.quantity.name()).collect();
    assert_eq!(failed, ["sella"]);
}

#[test]
fn fewer_landmarks_within_two_millimetres_fail() {
    let before = baseline(-1.9, 0.0, 40, 1);
    let checked = check(&before, &baseline(-1.65, 0.0, 40, 1), &MARGINS).unwrap();
    let sdr = checked.tests.iter().find(|t| t.quantity == Quantity::Sdr2mm).unwrap();
    assert_eq!((sdr.verdict, checked.tests[0].verdict), (Verdict::Fail, Verdict::Pass), "{sdr:?}");
}

#[test]
fn what_cannot_be_compared_is_an_error_and_never_a_pass() {
    let before = baseline(0.0, 0.0, 4, 2);
    let changed = |change: &dyn Fn(&mut Configuration)| {
        let mut now = before.clone();
        change(&mut now.configurations[0]);
        now
    };
    let of_trials = |change: fn(&mut TrialErrors)| changed(&|c| c.seeds.values_mut().for_each(change));
    let cases: [(Baseline, &str); 7] = [
        (of_trials(|t| t.dataset_hash = "xyz".into()), "other data"),
        (of_trials(|t| t.split_hash = "xyz".into()), "another split"),
        (
            changed(&|c| {
                c.seeds.remove(&1);
            }),
            "missing",
        ),
        (
            changed(&|c| {
                c.seeds.remove(&1);
                c.unfinished.insert(1, "interrupted".into());
            }),
            "is interrupted, not done",
        ),
        (of_trials(|t| t.errors.values_mut().for_each(|m| m.values_mut().for_each(|e| *e = f64::NAN))), "no number"),
        (baseline(0.0, 0.0, 5, 2), "same images"),
        (changed(&|c| c.label = "mse".into()), "no such configuration"),
    ];
    for (now, says) in cases {
        let error = check(&before, &now, &MARGINS).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(junit_of_error(&error).unwrap().contains("<error"));
    }
    for mre_mm in [f64::NAN, -0.1] {
        assert!(check(&before, &before, &Margins { mre_mm, ..MARGINS }).is_err());
    }
    let mut other_metric = before.clone();
    other_metric.metric = "pixels".into();
    assert!(check(&before, &other_metric, &MARGINS).is_err());
    assert!(Baseline::parse("{\"version\":1}").unwrap_err().to_string().contains("version 1"));
    assert!(Baseline::parse("[]").unwrap_err().to_string().contains("sweep baseline"));
}

#[test]
fn a_margin_below_the_metrics_resolution_is_warned_of() {
    let mut before = baseline(0.0, 0.1, 40, 1);
    before.configurations[0].seeds.values_mut().for_each(|t| t.resolution = Some(0.9));
    let checked = check(&before, &before, &MARGINS).unwrap();
    assert!(checked.warnings[0].contains("0.90 mm"), "{:?}", checked.warnings);
}

#[test]
fn reports_name_what_failed_and_escape_what_they_must() {
    let (before, mut now) = (baseline(0.0, 0.0, 40, 1), baseline(0.6, 0.1, 40, 1));
    let mut renamed = before.clone();
    for sweep in [&mut renamed, &mut now] {
        sweep.configurations[0].label = "50 %, l1: <a|b>".into();
    }
    let checked = check(&renamed, &now, &MARGINS).unwrap();
    let xml = junit(&checked).unwrap();
    assert!(xml.contains("failures=\"3\"") && xml.contains("&lt;a|b"), "{xml}");
    let text = markdown(&checked);
    assert!(text.contains("FAIL") && text.contains("50 %, l1: &lt;a\\|b>"), "{text}");
    let lines = annotations(Ok(&checked));
    assert!(lines[0].starts_with("::error title=Landmark error%3A 50 %25%2C l1%3A <a|b>::MRE +0.5"), "{}", lines[0]);
    assert!(lines.len() <= 20);
    let failed = annotations(Err(&Error::input("two\nlines")));
    assert_eq!(failed, ["::error title=Landmark error%3A no comparison::two%0Alines"]);
}

#[test]
fn errors_in_pixels_are_checked_in_pixels_and_never_against_millimetres() {
    let mut px = baseline(0.0, 0.2, 40, 2);
    (px.unit, px.metric) = (ErrorUnit::Pixels, METRIC_IN_PIXELS.into());
    px.configurations[0].seeds.values_mut().for_each(|t| t.resolution = Some(0.9));
    let text = px.to_json().unwrap();
    assert!(text.contains("\"error_px\":{\"000.png\"") && text.contains("\"resolution_px\":0.9"), "{text}");
    assert!(text.contains("\"unit\":\"px\"") && !text.contains("mm"), "{text}");
    let back = Baseline::parse(&text).unwrap();
    // JSON keeps all but the last digit of what is not rounded.
    assert_eq!((back.unit, &back.metric), (px.unit, &px.metric));
    let checked = check(&back, &px, &MARGINS).unwrap();
    assert_eq!(checked.verdict, Verdict::Pass);
    let said = format!("{}{}{}", checked.tests[0].line(), checked.warnings.join(" "), markdown(&checked));
    assert!(said.contains(" px ") && said.contains("within 2 px") && !said.contains("mm"), "{said}");
    let error = check(&baseline(0.0, 0.2, 40, 2), &px, &MARGINS).unwrap_err().to_string();
    assert!(error.contains("millimetres") && error.contains("pixels"), "{error}");
    assert!(!baseline(0.0, 0.2, 40, 2).to_json().unwrap().contains("px"));
}

#[test]
fn a_configuration_is_found_by_its_settings_then_by_its_name() {
    let named = |label: &str, settings: Option<&str>| Configuration {
        label: label.into(),
        configuration: settings.map(str::to_owned),
        seeds: BTreeMap::new(),
        noise: None,
        unfinished: BTreeMap::new(),
    };
    let now = Baseline {
        configurations: vec![named("l1 · 2", Some("a")), named("smooth-l1 beta=1.0 · 2", Some("b"))],
        ..baseline(0.0, 0.0, 1, 1)
    };
    let found = |label: &str, settings: Option<&str>| named(label, settings).found_in(&now).map(|c| c.label.clone());
    assert_eq!(found("l1", Some("a")).as_deref(), Some("l1 · 2"), "an axis was added");
    assert_eq!(found("l1 · 2", Some("of fewer epochs")).as_deref(), Some("l1 · 2"), "what all share has changed");
    assert_eq!(found("smooth-l1 · 2", None).as_deref(), Some("smooth-l1 beta=1.0 · 2"), "a name of earlier versions");
    assert_eq!(found("nll", Some("c")), None);
}

/// The baseline with a measure whose error is moved by `shift` degrees, on every image.
fn with_sna(mut of: Baseline, shift: f64) -> Baseline {
    of.measures.insert("SNA".into(), sweep_core::measures::MeasureUnit::Degrees);
    for (seed, trial) in &mut of.configurations[0].seeds {
        let mut rng = seed::derive(*seed, Stream::Bootstrap, 3, (shift * 1e3) as u64);
        let read = |(i, image): (usize, &String)| {
            let truth = 80.0 + (i % 5) as f64;
            (image.clone(), [truth, truth + 1.0 + shift + 0.2 * rng.random_range(-1.0..1.0)])
        };
        let images = trial.errors.keys().enumerate().map(read).collect();
        trial.measures.insert("SNA".into(), images);
    }
    of
}

#[test]
fn a_measure_fails_by_more_than_its_margin_though_the_landmarks_do_not() {
    let margins = Margins { measures: BTreeMap::from([("SNA".to_owned(), 0.5)]), ..MARGINS };
    let of = |shift| with_sna(baseline(0.0, 0.1, 40, 3), shift);
    let verdict = |now: &Baseline| check(&of(0.0), now, &margins).unwrap();
    assert_eq!(verdict(&of(0.0)).verdict, Verdict::Pass);
    assert_eq!(verdict(&of(0.3)).verdict, Verdict::Pass, "within the margin");
    let failed = verdict(&of(1.0));
    let sna = failed.tests.iter().find(|test| test.quantity.name() == "SNA").unwrap();
    assert_eq!((failed.verdict, sna.verdict), (Verdict::Fail, Verdict::Fail));
    assert!((sna.change.point - 1.0).abs() < 0.1 && sna.line().contains(" ° against"), "{}", sna.line());
    assert!(failed.tests.iter().filter(|test| test.quantity.name() != "SNA").all(|test| test.verdict == Verdict::Pass));
    // Nobody asked about it.
    assert_eq!(check(&of(0.0), &of(1.0), &MARGINS).unwrap().verdict, Verdict::Pass);
    let read = Baseline::parse(&of(0.0).to_json().unwrap()).unwrap();
    assert_eq!(read.configurations[0].seeds[&2].measures["SNA"].len(), 40, "a file keeps them");
}

#[test]
fn measures_that_do_not_compare_are_an_error() {
    let margins = |name: &str| Margins { measures: BTreeMap::from([(name.to_owned(), 0.5)]), ..MARGINS };
    let of = || with_sna(baseline(0.0, 0.1, 40, 3), 0.0);
    let error = |now: &Baseline, name: &str| check(&of(), now, &margins(name)).unwrap_err().to_string();
    assert!(error(&of(), "SNB").contains("it has SNA"));
    assert!(error(&baseline(0.0, 0.1, 40, 3), "SNA").contains("no image has"));
    let mut other = of();
    for both in
        other.configurations[0].seeds.values_mut().flat_map(|trial| trial.measures.get_mut("SNA").unwrap().values_mut())
    {
        both[0] += 1.0;
    }
    assert!(error(&other, "SNA").contains("defined otherwise"));
}

#[test]
fn a_training_without_a_measure_leaves_a_baseline_that_is_read() {
    let mut of = with_sna(baseline(0.0, 0.1, 40, 3), 0.0);
    of.configurations[0].seeds.get_mut(&1).unwrap().measures.clear();
    of.configurations[0].noise = TrainingNoise::of(&of.configurations[0].seeds, ErrorUnit::Millimetres);
    let read = Baseline::parse(&of.to_json().unwrap()).unwrap();
    assert!(read.configurations[0].noise.as_ref().unwrap().measures.is_empty());
    let margins = Margins { measures: BTreeMap::from([("SNA".to_owned(), 0.5)]), ..MARGINS };
    assert!(check(&read, &of, &margins).unwrap_err().to_string().contains("no image has the measure"));
}
