//! Findings on records whose truth is known.

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::{Selection, State};

use super::curves::{collapse, time_to_error};
use super::dependence::dependence;
use super::effects::{differences, factors, interactions};
use super::findings::{Finding, Statement, Topic, Verdict, findings, onsets};
use super::groups::{groups, loss_kind};
use super::summary;
use super::*;

/// Findings on axes of many values and on searches.
mod trends;
/// Findings on failed trainings and misleading losses.
mod warnings;

/// A number in −1..1 that looks random and is not.
fn noise(seed: u64) -> f64 {
    let v = ((seed as f64 + 1.0) * 12.9898).sin() * 43_758.545_3;
    2.0 * (v - v.floor()) - 1.0
}

fn epoch(
    trial: &str,
    seed: u64,
    epoch: u32,
    [train_loss, val_loss, train_mre_mm, val_mre_mm]: [f64; 4],
) -> EpochRecord {
    EpochRecord {
        trial: trial.into(),
        seed,
        epoch,
        train_loss,
        val_loss,
        zero_loss: 0.035,
        train_mre_mm,
        val_mre_mm,
        val_mre_px: val_mre_mm,
        val_sd_mm: 1.0,
        val_median_mm: val_mre_mm,
        val_p95_mm: 2.0 * val_mre_mm,
        val_sdr_2mm: 50.0,
        val_sdr_2_5mm: 60.0,
        val_sdr_3mm: 70.0,
        val_sdr_4mm: 80.0,
        lr: 1e-3,
        images_per_second: 1.0,
        seconds: 2.0,
        train_mre_px: f64::NAN,
        val_sd_px: f64::NAN,
        val_median_px: f64::NAN,
        val_p95_px: f64::NAN,
        val_sdr_2px: f64::NAN,
        val_sdr_4px: f64::NAN,
        val_sdr_8px: f64::NAN,
        val_sdr_16px: f64::NAN,
        val_nme: f64::NAN,
        val_pck_05: f64::NAN,
        val_pck_10: f64::NAN,
        val_pck_20: f64::NAN,
    }
}

/// A trial that falls to `error` mm in 20 epochs, at 0.3 mm more where its loss is least; twelve images × five landmarks.
fn trial(axes: &[(&str, &str)], seed: u64, error: f64, loss: f64) -> TrialRecords {
    let id = format!("{}-seed{seed}", axes.iter().map(|(_, v)| *v).collect::<Vec<_>>().join("-"));
    let epochs = (1..=20u32)
        .map(|e| {
            let fall = 60.0 * (-0.6 * f64::from(e)).exp();
            let wobble = 1.0 + 0.01 * noise(u64::from(e) + 100 * seed);
            let numbers = [loss * (0.8 + fall), loss * (1.0 + fall), 0.8 * error + fall, error + fall];
            epoch(&id, seed, e, numbers.map(|v| v * wobble))
        })
        .collect();
    let mut landmarks = Vec::new();
    for (selected, more) in [(Selection::BestError, 0.0), (Selection::BestLoss, 0.3), (Selection::Last, 0.1)] {
        for i in 0..12u64 {
            for k in 0..5u64 {
                let own = 0.2 * noise(1000 * seed + 100 * i + k + error.to_bits() % 97) + 0.1 * noise(i);
                let error_mm = error + more + own;
                let (x, y) = (100.0 + 20.0 * noise(7 * i + k), 200.0 + 20.0 * noise(9 * i + 3 * k));
                landmarks.push(LandmarkRecord {
                    trial: id.clone(),
                    seed,
                    epoch: 20,
                    selected,
                    image: format!("{i:02}.png"),
                    landmark: format!("l{k}"),
                    x_true: x,
                    y_true: y,
                    x_pred: x + error_mm,
                    y_pred: y,
                    error_px: error_mm,
                    error_mm,
                    confidence: (1.0 - 0.1 * error_mm + 0.05 * noise(i * 31 + k)).clamp(0.0, 1.0),
                    reference_px: f64::NAN,
                    spacing_x_mm: f64::NAN,
                    spacing_y_mm: f64::NAN,
                });
            }
        }
    }
    let status = serde_json::json!({
        "trial": id, "state": "done", "epoch": 20, "epochs": 20, "attempts": 1, "parameters": 1, "device": "cpu",
        "seconds": 40.0, "peak_memory_mib": null, "message": null,
    });
    let status = serde_json::from_value(status).unwrap();
    let axes: Vec<(String, String)> = axes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    TrialRecords {
        loss_kind: loss_kind(&axes, false),
        configuration: format!("{axes:?}"),
        axes,
        dataset_hash: "abc".into(),
        epochs,
        landmarks,
        ..TrialRecords::new(id, seed, status)
    }
}

fn sweep(trials: Vec<TrialRecords>) -> SweepRecords {
    SweepRecords {
        name: "test".into(),
        question: None,
        claims: None,
        unit: ErrorUnit::Millimetres,
        mean_shape_mre: Some(8.0),
        observer_mre_mm: None,
        measures: sweep_core::measures::Measures::default(),
        untrained: Vec::new(),
        unmeasured: Vec::new(),
        definition: String::new(),
        provenance: Vec::new(),
        planned: trials.len(),
        left_out: Vec::new(),
        drawn: None,
        folds: None,
        trials,
    }
}

/// Loss × batch size × seeds, the errors given by `error`; SmoothL1's loss is a hundredth.
fn grid(seeds: u64, error: impl Fn(&str, &str, u64) -> f64) -> SweepRecords {
    let mut trials = Vec::new();
    for seed in 0..seeds {
        for batch in ["1", "4"] {
            for loss in ["l1", "smooth-l1"] {
                let value = if loss == "l1" { 5e-3 } else { 5e-5 };
                trials.push(trial(
                    &[("batch_size", batch), ("loss.name", loss)],
                    seed,
                    error(loss, batch, seed),
                    value,
                ));
            }
        }
    }
    sweep(trials)
}

fn of<'a>(found: &'a [Finding], id: &str) -> &'a Finding {
    found.iter().find(|f| f.id == id).unwrap_or_else(|| panic!("no finding {id}"))
}

#[test]
fn an_effect_is_found_with_its_sign_and_its_absence_is_said() {
    let worse = |loss: &str, _: &str, seed: u64| if loss == "l1" { 1.5 } else { 2.0 } + 0.05 * noise(seed);
    let found = findings(&grid(6, worse));
    let effect = of(&found, "effect/loss.name/l1/smooth-l1");
    let estimate = effect.estimate.as_ref().unwrap();
    assert_eq!(effect.verdict, Verdict::Evidence, "{}", effect.sentence);
    assert!((estimate.point - 0.5).abs() < 0.1 && estimate.n.seeds == 6 && estimate.n.images == 12, "{estimate:?}");
    assert!(effect.sentence.contains("smooth-l1 has") && effect.sentence.contains("more error than l1"));
    let none = of(&found, "effect/batch_size/1/4");
    assert_eq!(none.verdict, Verdict::NoEvidence, "{}", none.sentence);
    assert!(none.sentence.contains("no evidence that 4 and 1 differ"), "{}", none.sentence);
    let together = of(&found, "interaction/batch_size/loss.name");
    assert_eq!(together.verdict, Verdict::NoEvidence, "{}", together.sentence);
    assert_eq!(effect.rows.trials.len(), 24);
}

#[test]
fn claims_are_confirmed_refuted_or_undecided_by_the_data() {
    let tested = |error: &dyn Fn(&str, &str, u64) -> f64| {
        findings(&SweepRecords { claims: Some(Study::Cephalometric2021), ..grid(6, error) })
    };
    let verdict = |error: &dyn Fn(&str, &str, u64) -> f64, id: &str| of(&tested(error), id).verdict;
    let loss = |smooth: f64| move |l: &str, _: &str, s: u64| if l == "l1" { 2.0 } else { smooth } + 0.02 * noise(s);
    assert_eq!(verdict(&loss(2.6), "claim/loss"), Verdict::Confirmed);
    assert_eq!(verdict(&loss(1.4), "claim/loss"), Verdict::Refuted);
    assert_eq!(verdict(&loss(2.0), "claim/loss"), Verdict::Undecided);
    let batch = |four: f64, scatter: f64| {
        move |_: &str, b: &str, s: u64| if b == "1" { 2.0 } else { four + scatter * noise(s + 3) }
    };
    assert_eq!(verdict(&batch(2.0, 0.02), "claim/batch"), Verdict::Confirmed);
    assert_eq!(verdict(&batch(3.0, 0.02), "claim/batch"), Verdict::Refuted);
    assert_eq!(verdict(&batch(2.0, 1.0), "claim/batch"), Verdict::Undecided);
    let found = tested(&loss(2.0));
    assert!(of(&found, "claim/loss").sentence.contains("far smaller"));
    assert!(found.iter().all(|f| f.id != "claim/convergence"), "there is no second network to compare");
    assert_eq!(found[0].topic, Topic::Claims);
    let unasked = findings(&grid(6, loss(2.0)));
    assert!(unasked.iter().all(|f| f.topic != Topic::Claims), "claims are tested where a definition asks");
}

#[test]
fn a_zip_is_one_factor_and_what_no_axis_connects_is_compared_whole() {
    let with = |a: &str, b: &str, seed| trial(&[("loss.name", a), ("heatmap", b)], seed, 2.0, 1e-3);
    let both = sweep((0..2).flat_map(|s| [with("l1", "laplace", s), with("nll", "gaussian", s)]).collect());
    let groups_of_both = groups(&both);
    let joint = factors(&groups_of_both);
    assert_eq!(joint.len(), 1);
    assert_eq!(joint[0].name(), "loss.name + heatmap");
    assert_eq!(differences(&groups_of_both, &joint[0])[0].to, "nll · gaussian");
    let three = sweep(vec![with("l1", "laplace", 0), with("mse", "laplace", 0), with("nll", "gaussian", 0)]);
    let groups_of_three = groups(&three);
    let all = factors(&groups_of_three);
    assert_eq!(all.iter().map(|f| differences(&groups_of_three, f).len()).sum::<usize>(), 4, "{all:?}");
    assert!(interactions(&groups_of_three, &all).is_empty());
}

#[test]
fn regret_gap_and_hard_ones_are_measured() {
    let found = findings(&grid(3, |_, _, _| 2.0));
    let regret = of(&found, "regret").estimate.clone().unwrap();
    assert!((regret.point - 0.3).abs() < 1e-9, "{regret:?}");
    let gap = of(&found, "gap").estimate.clone().unwrap();
    assert!((gap.point - 0.4).abs() < 0.1, "{gap:?}");
    let Statement::Hard { images, landmarks, .. } = &of(&found, "hard").statement else { panic!("not hard") };
    assert!(images[0].1 >= images[1].1 && landmarks.len() == 3);
    let Statement::Scatter { components, .. } = &of(&found, "scatter").statement else { panic!("no scatter") };
    assert_eq!(components.len(), 4);
}

#[test]
fn what_is_not_done_is_in_no_comparison_and_one_seed_is_said_to_be_one() {
    let mut records = grid(1, |loss, _, _| if loss == "l1" { 1.5 } else { 2.5 });
    let found = findings(&records);
    let effect = of(&found, "effect/loss.name/l1/smooth-l1");
    assert!(effect.caveats[0].starts_with("One seed"), "{:?}", effect.caveats);
    for trial in records.trials.iter_mut().filter(|t| t.axes[1].1 == "l1") {
        trial.status.state = State::Failed;
    }
    let found = findings(&records);
    assert!(found.iter().all(|f| !f.id.starts_with("effect/loss.name")), "a failed trial was compared");
    assert!(found.iter().all(|f| !f.sentence.contains("NaN")));
}

#[test]
fn nothing_makes_it_panic() {
    assert!(findings(&sweep(Vec::new())).is_empty());
    let mut bare = trial(&[], 0, 2.0, 1e-3);
    (bare.landmarks, bare.epochs) = (Vec::new(), Vec::new());
    let told = |records: &SweepRecords| findings(records).iter().all(|f| !f.sentence.contains("NaN"));
    assert!(told(&sweep(vec![bare.clone()])));
    bare.epochs = vec![epoch("t", 0, 1, [f64::NAN; 4])];
    assert!(told(&sweep(vec![bare])));
    let mut not_numbers = grid(2, |_, _, _| 2.0);
    for row in not_numbers.trials.iter_mut().flat_map(|t| &mut t.landmarks) {
        row.error_mm = f64::NAN;
    }
    assert!(told(&not_numbers));
    let json = serde_json::to_string(&findings(&grid(2, |_, _, _| 2.0))).unwrap();
    assert!(json.contains("\"method\":\"seeds-and-images\"") && json.contains("\"kind\":\"effect\""));
}

#[test]
fn onsets_reach_the_summary() {
    let mut overfits = trial(&[("loss.name", "l1")], 0, 2.0, 1e-3);
    for epoch in &mut overfits.epochs {
        let late = (f64::from(epoch.epoch) - 10.0).max(0.0);
        (epoch.val_loss, epoch.train_loss) =
            (epoch.val_loss * (1.0 + 0.1 * late), epoch.train_loss * (1.0 - 0.02 * late));
    }
    let records = sweep(vec![overfits]);
    let text = String::from_utf8(summary::csv(&records, &onsets(&records)).unwrap()).unwrap();
    let cell = |name: &str| {
        let at = text.lines().next().unwrap().split(',').position(|c| c == name).unwrap();
        text.lines().nth(1).unwrap().split(',').nth(at).unwrap().to_owned()
    };
    assert!((10..=16).contains(&cell("overfit_onset_loss").parse::<u32>().unwrap()), "{text}");
    assert_eq!(cell("overfit_onset_mre"), "none");
}

#[test]
fn collapse_and_blindness_are_named() {
    let mut network = trial(&[("loss.name", "l1")], 0, 2.0, 0.005);
    assert!(!collapse(&network).unwrap().collapsed && !dependence(&network, 0).unwrap().blind);
    for epoch in network.epochs.iter_mut().skip(12) {
        epoch.val_loss = 0.0349;
    }
    assert_eq!(collapse(&network).unwrap().since, Some(13));
    for row in &mut network.landmarks {
        (row.x_pred, row.y_pred) = (50.0, 60.0);
    }
    let still = dependence(&network, 0).unwrap();
    assert!(still.blind && still.spread < 1e-12, "{still:?}");
    let found = findings(&sweep(vec![network.clone()]));
    let sentence = &of(&found, "collapse").sentence;
    assert!(sentence.contains("ended at the loss of an all-zero output") && sentence.contains("do not depend"));
    network.landmarks.clear();
    assert!(dependence(&network, 0).is_none());
}

#[test]
fn an_error_is_reached_once_or_never() {
    let network = trial(&[], 0, 2.0, 1e-3);
    let soon = time_to_error(&network, 10.0).unwrap();
    assert!(soon.reached && soon.epochs < 5.0 && (soon.seconds - 2.0 * soon.epochs).abs() < 1e-9);
    let never = time_to_error(&network, 1.0).unwrap();
    assert!(!never.reached && (never.epochs - 20.0).abs() < 1e-9);
}
