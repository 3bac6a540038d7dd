//! How often the analysis is right, on simulated records with known truth: false alarms and power of the overfitting
//! detector, collapse, the gate's verdicts, coverage of the intervals; and the time that an interval takes.
//!
//!     scripts/characteristics.sh            prints the tables of results/examples/characteristics
//!     scripts/characteristics.sh 200 null   one table, here that of whole reports without any effect; others are epochs,
//!                                           best, power, coverage, time, errors, overfitting, collapse and gate

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on fails")]

mod fabricated;
mod reports;

use std::collections::BTreeMap;
use std::time::Instant;

use rand::Rng;
use rayon::prelude::*;
use sweep_analysis::TrialRecords;
use sweep_analysis::curves::{collapse, onset};
use sweep_analysis::dependence::dependence;
use sweep_analysis::gate::{Baseline, Configuration, METRIC, Margins, TrialErrors, Verdict, check};
use sweep_analysis::statistics::{Crossed, normal_quantile, percentiles, resample, student_quantile};
use sweep_core::seed::{self, Stream};
use sweep_core::units::ErrorUnit;
use sweep_experiment::records::{EpochRecord, LandmarkRecord, Selection};

fn main() {
    // The test runner calls benches too and must not wait minutes for them.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let repeats = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1000);
    let only: Option<String> =
        std::env::args().skip(1).find(|argument| argument.parse::<u64>().is_err() && argument != "--bench");
    println!("Simulations per row: {repeats}.\n");
    let only = only.as_deref();
    reports::tables(repeats, only);
    let all: [reports::Table; 5] = [
        ("time", |_| speed()),
        ("errors", coverage),
        ("overfitting", overfitting),
        ("collapse", collapsed),
        ("gate", gate),
    ];
    all.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)).for_each(|(_, table)| table(repeats));
}

/// Random numbers of one simulation.
struct Draw(rand_chacha::ChaCha8Rng);

impl Draw {
    fn new(what: u64, index: u64) -> Self {
        Self(seed::derive(2026, Stream::Bootstrap, 100 + what, index))
    }

    fn normal(&mut self) -> f64 {
        normal_quantile(self.0.random_range(1e-12..1.0))
    }

    /// Student's t with four degrees of freedom, scaled to unit variance: with occasional outliers.
    fn heavy(&mut self) -> f64 {
        student_quantile(self.0.random_range(1e-9..1.0), 4.0) / std::f64::consts::SQRT_2
    }

    fn normals(&mut self, count: usize, spread: f64) -> Vec<f64> {
        (0..count).map(|_| spread * self.normal()).collect()
    }
}

/// Share of simulations for which a condition holds, in per cent.
fn share(repeats: u64, holds: impl Fn(u64) -> bool + Sync) -> f64 {
    100.0 * (0..repeats).into_par_iter().filter(|index| holds(*index)).count() as f64 / repeats as f64
}

/// Ten thousand resamples of six seeds × a hundred images × nineteen landmarks.
fn speed() {
    let mut draw = Draw::new(0, 0);
    let row = |draw: &mut Draw| (0..100).map(|_| (draw.normals(19, 1.0).iter().map(|e| e.abs()).sum(), 19)).collect();
    let rows: Vec<Vec<(f64, usize)>> = (0..6).map(|_| row(&mut draw)).collect();
    let table = Crossed::new(&rows);
    let started = Instant::now();
    let estimate = table.estimate(0);
    let seconds = started.elapsed().as_secs_f64();
    println!("## Time\n");
    println!(
        "10 000 resamples of 6 seeds × 100 images × 19 landmarks: {:.1} ms on {} threads (mean {:.3}).\n",
        1e3 * seconds,
        rayon::current_num_threads(),
        estimate.point
    );
}

/// Seeds × images of landmark errors (mm) with known mean: multiplicative effects, so that they are skewed like real
/// errors.
fn errors(
    draw: &mut Draw,
    [seeds, images, landmarks]: [usize; 3],
    [of_seed, of_image, of_cell]: [f64; 3],
) -> Vec<Vec<f64>> {
    let (s, i) = (draw.normals(seeds, of_seed), draw.normals(images, of_image));
    let centre = |spread: f64| spread * spread / 2.0;
    let log_mean = 1.5f64.ln() - centre(of_seed) - centre(of_image) - centre(of_cell);
    s.iter()
        .map(|s| {
            let of_image =
                |i: &f64| -> f64 { (0..landmarks).map(|_| (log_mean + s + i + of_cell * draw.normal()).exp()).sum() };
            i.iter().map(of_image).collect()
        })
        .collect()
}

fn coverage(repeats: u64) {
    println!("## Coverage of 95 % intervals\n");
    println!(
        "Share of intervals that hold the true mean error of 1.5 mm; errors are log-normal, ten landmarks an image."
    );
    println!(
        "With one seed the truth is that training's own. Plain: percentiles of the same bootstrap, not widened.\n"
    );
    println!(
        "| seeds | images | spread of seeds, images, cells (log) | coverage | plain percentiles |\n|---|---|---|---|---|"
    );
    for spreads in [[0.1, 0.25, 0.6], [0.02, 0.25, 0.6], [0.2, 0.1, 0.6]] {
        for (seeds, images) in [(1, 24), (1, 100), (2, 24), (3, 24), (3, 100), (6, 24), (6, 100)] {
            let spreads = if seeds == 1 { [0.0, spreads[1], spreads[2]] } else { spreads };
            let table = |index: u64| {
                let mut draw = Draw::new(1 + seeds as u64 * 1000 + images as u64, index);
                let cells = errors(&mut draw, [seeds, images, 10], spreads);
                let row = |row: Vec<f64>| row.into_iter().map(|sum| (sum, 10)).collect();
                Crossed::new(&cells.into_iter().map(row).collect::<Vec<Vec<(f64, usize)>>>())
            };
            let holds = |[low, high]: [f64; 2]| low <= 1.5 && 1.5 <= high;
            let ours = share(repeats, |index| holds(table(index).estimate_with(index, 1000).interval));
            let plain = share(repeats, |index| {
                let mut draw = Draw::new(1 + seeds as u64 * 1000 + images as u64, index);
                let cells = errors(&mut draw, [seeds, images, 10], spreads);
                let mean = |of_seeds: &[u32], of_images: &[u32]| {
                    let rows = cells.iter().zip(of_seeds);
                    let sum: f64 = rows
                        .map(|(row, n)| {
                            f64::from(*n) * row.iter().zip(of_images).map(|(e, m)| e * f64::from(*m)).sum::<f64>()
                        })
                        .sum();
                    sum / (seeds * images * 10) as f64
                };
                holds(percentiles(&resample(seeds, images, 1000, index, mean), 0.95))
            });
            let [a, b, c] = spreads;
            println!("| {seeds} | {images} | {a}, {b}, {c} | {ours:.1} % | {plain:.1} % |");
        }
    }
    println!();
}

/// Validation error (mm) of a training with known truth, at `t` from 0 to 1.
fn truth(shape: &str, t: f64) -> f64 {
    let learnt = 1.5 + 60.0 * (-25.0 * t).exp();
    match shape {
        "level after a fast fall" => learnt,
        "still improving" => 1.5 + 6.0 * (-4.0 * t).exp(),
        "improving slowly" => 1.5 * t.powf(-0.3),
        "worse by 0.3 mm from half-way to the end" => learnt + 0.3 * ((t - 0.5) / 0.5).max(0.0),
        "worse by 0.3 mm from 60 to 80 %, then level" => learnt + 0.3 * ((t - 0.6) / 0.2).clamp(0.0, 1.0),
        "worse by 0.3 mm from 30 % to the end" => learnt + 0.3 * ((t - 0.3) / 0.7).max(0.0),
        other => panic!("no shape {other}"),
    }
}

fn overfitting(repeats: u64) {
    const SHAPES: [&str; 6] = [
        "level after a fast fall",
        "still improving",
        "improving slowly",
        "worse by 0.3 mm from half-way to the end",
        "worse by 0.3 mm from 60 to 80 %, then level",
        "worse by 0.3 mm from 30 % to the end",
    ];
    println!("## Overfitting detector\n");
    println!(
        "Share of curves with an onset. Error about 1.5 mm at the end, training error falling; noise from epoch to epoch is"
    );
    println!(
        "autocorrelated, its standard deviation as a share of the error. Seeds: curves averaged, as for a configuration.\n"
    );
    println!("| truth | evaluated epochs | noise, correlation | one curve | three seeds |\n|---|---|---|---|---|");
    for shape in SHAPES {
        for epochs in [20, 40, 100] {
            for (noise, correlation, heavy) in
                [(0.02, 0.3, false), (0.03, 0.3, true), (0.05, 0.3, false), (0.03, 0.6, false)]
            {
                let curve = |draw: &mut Draw| -> Vec<f64> {
                    let mut state = 0.0;
                    let mut next = |draw: &mut Draw| {
                        let step = if heavy { draw.heavy() } else { draw.normal() };
                        state = correlation * state + f64::sqrt(1.0 - correlation * correlation) * step;
                        state
                    };
                    for _ in 0..8 {
                        next(draw);
                    }
                    (1..=epochs)
                        .map(|e| truth(shape, f64::from(e) / f64::from(epochs)) * (noise * next(draw)).exp())
                        .collect()
                };
                let found = |seeds: u64| {
                    share(repeats, |index| {
                        let mut draw = Draw::new(2, index);
                        let curves: Vec<Vec<f64>> = (0..seeds).map(|_| curve(&mut draw)).collect();
                        let mean = |e: usize| (curves.iter().map(|c| c[e].ln()).sum::<f64>() / seeds as f64).exp();
                        let points: Vec<(u32, f64, f64)> =
                            (0..epochs as usize).map(|e| (e as u32 + 1, mean(e), 2.0 - e as f64 / 200.0)).collect();
                        onset(&points, index).epoch.is_some()
                    })
                };
                let tails = if heavy { ", heavy tails" } else { "" };
                println!(
                    "| {shape} | {epochs} | {:.0} %, {correlation}{tails} | {:.1} % | {:.1} % |",
                    100.0 * noise,
                    found(1),
                    found(3)
                );
            }
        }
    }
    println!();
}

fn trial(epochs: Vec<EpochRecord>, landmarks: Vec<LandmarkRecord>) -> TrialRecords {
    let status = serde_json::json!({
        "trial": "t", "state": "done", "epoch": 1, "epochs": 1, "attempts": 1, "parameters": 1, "device": "cpu",
        "seconds": 1.0, "peak_memory_mib": null, "message": null,
    });
    let status = serde_json::from_value(status).unwrap();
    TrialRecords {
        id: "t".into(),
        seed: 0,
        configuration: String::new(),
        objective: sweep_experiment::metric::Objective::default(),
        images: BTreeMap::new(),
        axes: Vec::new(),
        loss_kind: String::new(),
        unit: ErrorUnit::Millimetres,
        dataset_hash: String::new(),
        fold: None,
        status,
        epochs,
        landmarks,
        errors: None,
        test: Vec::new(),
        folds: Vec::new(),
    }
}

/// A network's prediction of a landmark, given its position.
type Predict<'a> = &'a (dyn Fn(f64, &mut Draw) -> f64 + Sync);

/// Predictions on images whose landmarks scatter by 8 mm (1 px = 1 mm), half of it shared by the image.
fn predictions(index: u64, images: usize, predict: Predict<'_>) -> TrialRecords {
    let mut draw = Draw::new(3, index);
    let mut rows = Vec::new();
    for image in 0..images {
        let shared = [5.6 * draw.normal(), 5.6 * draw.normal()];
        for landmark in 0..10 {
            let [x_true, y_true] = shared.map(|s| s + 5.6 * draw.normal());
            let (x_pred, y_pred) = (predict(x_true, &mut draw), predict(y_true, &mut draw));
            let error = (x_pred - x_true).hypot(y_pred - y_true);
            rows.push(LandmarkRecord {
                trial: "t".into(),
                seed: 0,
                epoch: 1,
                selected: Selection::Last,
                image: format!("{image:03}"),
                landmark: format!("{landmark}"),
                x_true,
                y_true,
                confidence: f64::NAN,
                reference_px: f64::NAN,
                spacing_x_mm: f64::NAN,
                spacing_y_mm: f64::NAN,
                x_pred,
                y_pred,
                error_px: error,
                error_mm: error,
            });
        }
    }
    trial(Vec::new(), rows)
}

fn collapsed(repeats: u64) {
    println!("## Collapse\n");
    println!(
        "Share of trials named as such. Loss: ratio to an all-zero output's, with 2 % noise; predictions: landmarks scatter by"
    );
    println!("8 mm per axis.\n\n| truth | named collapsed |\n|---|---|");
    for (what, ratio) in
        [("output of zeros", 1.0), ("ratio of 0.95", 0.95), ("ratio of 0.8", 0.8), ("ratio of 0.3", 0.3)]
    {
        let named = share(repeats, |index| {
            let mut draw = Draw::new(4, index);
            let nothing = f64::NAN;
            let epoch = EpochRecord {
                trial: "t".into(),
                seed: 0,
                epoch: 1,
                train_loss: 1.0,
                val_loss: ratio * (1.0 + 0.02 * draw.normal()),
                zero_loss: 1.0,
                train_mre_mm: nothing,
                val_mre_mm: 5.0,
                val_mre_px: nothing,
                val_sd_mm: nothing,
                val_median_mm: nothing,
                val_p95_mm: nothing,
                val_sdr_2mm: nothing,
                val_sdr_2_5mm: nothing,
                val_sdr_3mm: nothing,
                val_sdr_4mm: nothing,
                lr: nothing,
                images_per_second: nothing,
                seconds: nothing,
                train_mre_px: nothing,
                val_sd_px: nothing,
                val_median_px: nothing,
                val_p95_px: nothing,
                val_sdr_2px: nothing,
                val_sdr_4px: nothing,
                val_sdr_8px: nothing,
                val_sdr_16px: nothing,
                val_nme: nothing,
                val_pck_05: nothing,
                val_pck_10: nothing,
                val_pck_20: nothing,
            };
            collapse(&trial(vec![epoch], Vec::new())).unwrap().collapsed
        });
        println!("| {what} | {named:.1} % |");
    }
    println!("\n| truth | images | named independent of the image |\n|---|---|---|");
    let cases: [(&str, Predict<'_>); 5] = [
        ("the same place for every image", &|_, _| 0.0),
        ("random places", &|_, draw| 8.0 * draw.normal()),
        ("a quarter of the way, 6 mm of noise", &|t, draw| 0.25 * t + 6.0 * draw.normal()),
        ("found with 3 mm of noise", &|t, draw| t + 3.0 * draw.normal()),
        ("found with 1 mm of noise", &|t, draw| t + draw.normal()),
    ];
    for (what, predict) in cases {
        for images in [10, 24, 100] {
            let blind = |index: u64| dependence(&predictions(index, images, predict), index).unwrap().blind;
            println!("| {what} | {images} | {:.1} % |", share(repeats.min(500), blind));
        }
    }
    println!();
}

/// Two runs of a configuration: the difficulty of images and of single landmarks is shared, the rest is drawn anew; the
/// second run is worse.
fn runs(index: u64, [seeds, images, landmarks]: [usize; 3], of_seed: f64, worse: f64) -> [Baseline; 2] {
    let mut draw = Draw::new(5, index);
    let image = draw.normals(images, 0.22);
    let spot = draw.normals(images * landmarks, 0.35);
    let mut run = |shift: f64| {
        let trial = |draw: &mut Draw| {
            let level = of_seed * draw.normal() + shift;
            let error_mm = (0..images).map(|i| {
                let mark = |l: usize| {
                    let difficulty: f64 = image[i] + spot[i * landmarks + l] + 0.45 * draw.normal();
                    (format!("l{l:02}"), (1.3 * difficulty.exp() + level).max(0.0))
                };
                (format!("{i:03}"), (0..landmarks).map(mark).collect())
            });
            let error_mm: BTreeMap<String, BTreeMap<String, f64>> = error_mm.collect();
            TrialErrors {
                dataset_hash: "d".into(),
                split_hash: "s".into(),
                resolution: None,
                errors: error_mm,
                measures: BTreeMap::new(),
            }
        };
        let seeds = (0..seeds as u64).map(|seed| (seed, trial(&mut draw))).collect();
        let configuration =
            Configuration { label: "c".into(), configuration: None, seeds, noise: None, unfinished: BTreeMap::new() };
        Baseline {
            version: 2,
            sweep: "s".into(),
            metric: METRIC.into(),
            unit: ErrorUnit::Millimetres,
            measures: BTreeMap::new(),
            configurations: vec![configuration],
        }
    };
    [run(0.0), run(worse)]
}

fn gate(repeats: u64) {
    println!("## Gate\n");
    println!(
        "Verdicts on a pair of runs, 19 landmarks, MRE 1.5 mm, margins 0.1 mm and 5 percentage points (the defaults). Spread of"
    );
    println!("seeds: how much the whole error of one training differs from another's of the same definition.\n");
    println!(
        "| true change | seeds | spread of seeds (mm) | images | fail | inconclusive | pass |\n|---|---|---|---|---|---|---|"
    );
    let margins = Margins { mre_mm: 0.1, sdr_points: 5.0, measures: BTreeMap::new() };
    let repeats = repeats.min(400);
    for worse in [0.0, 0.1, 0.2, 0.3] {
        for (seeds, of_seed) in [(1, 0.0), (3, 0.0), (3, 0.03), (6, 0.05)] {
            for images in [20, 100] {
                let verdicts: Vec<Verdict> = (0..repeats)
                    .into_par_iter()
                    .map(|index| {
                        let [before, now] = runs(index, [seeds, images, 19], of_seed, worse);
                        check(&before, &now, &margins).unwrap().verdict
                    })
                    .collect();
                let of = |verdict: Verdict| {
                    100.0 * verdicts.iter().filter(|v| **v == verdict).count() as f64 / repeats as f64
                };
                println!(
                    "| +{worse} mm | {seeds} | {of_seed} | {images} | {:.1} % | {:.1} % | {:.1} % |",
                    of(Verdict::Fail),
                    of(Verdict::Inconclusive),
                    of(Verdict::Pass)
                );
            }
        }
    }
}
