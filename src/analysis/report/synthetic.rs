//! Synthetic records for the tests of this module: deterministic, in every scenario that occurs.

use std::collections::BTreeSet;

use sweep_core::measures::Measures;
use sweep_core::units::ErrorUnit;
use sweep_experiment::records::{EpochRecord, LandmarkRecord, Selection, State, TrialStatus};

use crate::groups::loss_kind;
use crate::{SweepRecords, TrialRecords};

/// Course of a trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scenario {
    Realistic,
    OneEpoch,
    NoEpoch,
    NeverEvaluated,
    EverySecondEvaluated,
    Diverged,
    AllZero,
    Constant,
    NoLandmarks,
}

impl Scenario {
    pub(crate) const ALL: [Self; 9] = [
        Self::Realistic,
        Self::OneEpoch,
        Self::NoEpoch,
        Self::NeverEvaluated,
        Self::EverySecondEvaluated,
        Self::Diverged,
        Self::AllZero,
        Self::Constant,
        Self::NoLandmarks,
    ];
}

/// A number in −1..1 that looks random and is not.
fn noise(a: f64, b: f64) -> f64 {
    let v = ((a + 1.0) * 12.9898 + (b + 1.0) * 78.233).sin() * 43_758.545_3;
    2.0 * (v - v.floor()) - 1.0
}

/// A trial of a group: even groups learn slowly and well, odd ones have tiny losses and overfit.
#[expect(clippy::too_many_lines, reason = "a curve per column")]
pub(crate) fn trial(scenario: Scenario, group: usize, seed: u64) -> TrialRecords {
    let (g, s) = (group as f64, seed as f64);
    let tiny = group % 2 == 1;
    let id = format!("{}-g{group}-seed{seed}", if tiny { "smooth-l1" } else { "l1" });
    let count = match scenario {
        Scenario::NoEpoch => 0,
        Scenario::OneEpoch => 1,
        Scenario::Diverged => 2,
        _ => 60,
    };
    let epoch = |i: u32| {
        let t = f64::from(i - 1) / 60.0;
        let wobble = 1.0 + 0.05 * noise(g * 7.0 + s, f64::from(i));
        let wobble_mm = 1.0 + 0.04 * noise(g * 3.0 + s, f64::from(i) + 0.5);
        let fall = (-6.0 * t).exp();
        let floor = 1.0 + 0.08 * g + 0.05 * noise(s, g);
        let (train_loss, val_loss, zero_loss, train_mre, val_mre) = if tiny {
            let overfit = 1.0 + 2.5 * (t - 0.35).max(0.0);
            let train = 1e-5 + 5e-3 * (-14.0 * t).exp();
            (
                train,
                (3e-5 + 5e-3 * (-12.0 * t).exp()) * overfit,
                6e-3,
                1.2 + 8.0 * fall,
                (2.3 * floor + 6.7 * fall) * (1.0 + 0.5 * (t - 0.4).max(0.0)),
            )
        } else {
            (0.003 + 0.027 * fall, 0.004 + 0.028 * fall, 0.035, 0.9 + 8.0 * fall, 1.45 * floor + 8.0 * (-5.0 * t).exp())
        };
        let evaluated = match scenario {
            Scenario::NeverEvaluated => false,
            Scenario::EverySecondEvaluated => i.is_multiple_of(2),
            Scenario::Diverged => i == 1,
            _ => true,
        };
        let value = |v: f64| match scenario {
            Scenario::AllZero => 0.0,
            Scenario::Constant => 0.25,
            _ if evaluated => v * wobble,
            _ => f64::NAN,
        };
        let error = |v: f64| {
            if evaluated && !matches!(scenario, Scenario::AllZero | Scenario::Constant) {
                v * wobble_mm
            } else {
                value(v)
            }
        };
        let sdr = |r: f64| value(100.0 * (1.0 - (-r / val_mre).exp())).min(100.0);
        EpochRecord {
            trial: id.clone(),
            seed,
            epoch: i,
            train_loss: if scenario == Scenario::AllZero { 0.0 } else { train_loss },
            val_loss: value(val_loss),
            zero_loss: value(zero_loss) / wobble,
            train_mre_mm: error(train_mre),
            val_mre_mm: error(val_mre),
            val_mre_px: error(val_mre * 4.0),
            val_sd_mm: error(val_mre * 0.8),
            val_median_mm: error(val_mre * 0.8),
            val_p95_mm: error(val_mre * 2.6),
            val_sdr_2mm: sdr(2.0),
            val_sdr_2_5mm: sdr(2.5),
            val_sdr_3mm: sdr(3.0),
            val_sdr_4mm: sdr(4.0),
            lr: 3e-4,
            images_per_second: 10.0,
            seconds: 5.0,
            train_mre_px: error(train_mre * 4.0),
            val_sd_px: error(val_mre * 3.2),
            val_median_px: error(val_mre * 3.2),
            val_p95_px: error(val_mre * 10.4),
            val_sdr_2px: sdr(0.5),
            val_sdr_4px: sdr(1.0),
            val_sdr_8px: sdr(2.0),
            val_sdr_16px: sdr(4.0),
            val_nme: f64::NAN,
            val_pck_05: f64::NAN,
            val_pck_10: f64::NAN,
            val_pck_20: f64::NAN,
        }
    };
    let epochs: Vec<EpochRecord> = (1..=count).map(epoch).collect();
    let landmarks = if matches!(scenario, Scenario::NoLandmarks | Scenario::NoEpoch | Scenario::NeverEvaluated) {
        Vec::new()
    } else {
        landmarks(&id, group, seed)
    };
    let axes = axes(group);
    let state = if scenario == Scenario::Diverged { State::Diverged } else { State::Done };
    let status = TrialStatus {
        state,
        epoch: count,
        epochs: 60,
        attempts: 1,
        parameters: 1_000_000,
        device: "cpu".into(),
        seconds: 300.0,
        ..TrialStatus::pending(&id)
    };
    TrialRecords {
        loss_kind: loss_kind(&axes, false),
        configuration: format!("{axes:?}"),
        axes,
        epochs,
        images: landmarks.iter().map(|row| (row.image.clone(), row.image.clone())).collect(),
        landmarks,
        ..TrialRecords::new(id, seed, status)
    }
}

fn axes(group: usize) -> Vec<(String, String)> {
    let loss = if group % 2 == 1 { "smooth-l1" } else { "l1" };
    let mut axes = vec![("loss.name".to_owned(), loss.to_owned())];
    if group > 1 {
        axes.push(("batch_size".to_owned(), (group / 2).to_string()));
        axes.push(("model.name".to_owned(), "unet++".to_owned()));
    }
    axes
}

const NAMES: [&str; 10] =
    ["sella", "nasion", "orbitale", "porion", "subspinale", "supramentale", "pogonion", "menton", "gnathion", "gonion"];

fn landmarks(id: &str, group: usize, seed: u64) -> Vec<LandmarkRecord> {
    let mut records = Vec::new();
    for selected in [Selection::BestError, Selection::Last] {
        for i in 0..8 {
            for (k, name) in NAMES.iter().enumerate() {
                let (i, k) = (f64::from(i), k as f64);
                let (x, y) =
                    (60.0 + 48.0 * k + 6.0 * noise(i, k), 120.0 + 380.0 * noise(k, 3.0).abs() + 9.0 * noise(k, i));
                let scale = (1.0 + 0.25 * k) * if group % 2 == 1 { 9.0 } else { 5.0 };
                let (dx, dy) = (
                    scale * noise(i + 3.0 * seed as f64, k + 17.0 * group as f64),
                    scale * noise(k, i + 5.0 * seed as f64),
                );
                let error_px = f64::hypot(dx, dy);
                records.push(LandmarkRecord {
                    trial: id.to_owned(),
                    seed,
                    epoch: 50,
                    selected,
                    image: format!("{:03}.png", i as u32 + 1),
                    landmark: (*name).to_owned(),
                    x_true: x,
                    y_true: y,
                    x_pred: x + dx,
                    y_pred: y + dy,
                    error_px,
                    error_mm: 0.25 * error_px,
                    // Surer where it is right, and too sure on the whole.
                    confidence: (1.0 - 0.02 * error_px + 0.1 * noise(i + 7.0, k)).clamp(0.05, 1.0),
                    reference_px: f64::NAN,
                    spacing_x_mm: 0.25,
                    spacing_y_mm: 0.25,
                });
            }
        }
    }
    records
}

/// A sweep of groups × seeds.
pub(crate) fn sweep(groups: usize, seeds: u64, scenario: Scenario) -> SweepRecords {
    SweepRecords {
        name: "loss".into(),
        question: Some("Does the smaller loss find the landmarks better?".into()),
        claims: None,
        unit: ErrorUnit::Millimetres,
        mean_shape_mre: Some(8.4),
        observer_mre_mm: Some(1.04),
        measures: Measures::default(),
        untrained: Vec::new(),
        unmeasured: Vec::new(),
        definition: "name = \"loss\"\n".into(),
        provenance: vec![("version".into(), "0.1.0".into())],
        planned: groups * seeds as usize,
        left_out: Vec::new(),
        drawn: None,
        folds: None,
        trials: (0..groups).flat_map(|g| (0..seeds).map(move |s| trial(scenario, g, s))).collect(),
    }
}

/// A grey image with a bright oval, 600 × 720 pixels.
pub(super) fn radiograph(number: u32) -> image::RgbImage {
    image::RgbImage::from_fn(600, 720, |x, y| {
        let (u, v) = (f64::from(x) / 300.0 - 1.0, f64::from(y) / 360.0 - 1.0);
        let oval = 1.0 / (1.0 + (12.0 * (u.hypot(0.9 * v) - 0.75)).exp());
        let grey = (25.0 + 110.0 * oval + 40.0 * v + 6.0 * f64::from(number)).clamp(0.0, 255.0) as u8;
        image::Rgb([grey; 3])
    })
}

/// How many different colours a figure has.
pub(super) fn colours(figure: &image::RgbImage) -> usize {
    figure.pixels().map(|p| p.0).collect::<BTreeSet<_>>().len()
}
