//! Against SciPy and NumPy, and against truths known from simulation.

use rand::Rng;
use serde_json::Value;

use sweep_core::seed::{self, Stream};

use super::*;

fn reference() -> Value {
    serde_json::from_str(include_str!("../../../scripts/statistics_reference.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(ours: f64, theirs: f64, tolerance: f64, what: &str) {
    assert!((ours - theirs).abs() <= tolerance, "{what}: {ours} against {theirs}");
}

fn normal(rng: &mut impl Rng) -> f64 {
    normal_quantile(rng.random_range(1e-12..1.0 - 1e-12))
}

#[test]
fn tests_of_paired_differences_are_scipys() {
    for case in reference()["paired"].as_array().unwrap() {
        let d = numbers(&case["differences"]);
        let what = format!("{} differences", d.len());
        let number = |key: &str| case[key].as_f64().unwrap();
        close(wilcoxon(&d), number("wilcoxon"), 1e-10, &what);
        let tolerance = if case["sign_flip_exact"].as_bool().unwrap() { 1e-12 } else { 0.01 };
        close(sign_flip(&d, 0), number("sign_flip"), tolerance, &what);
        let t = student(&d);
        close(t.p_value(0.0), number("t_p"), 1e-9, &what);
        let interval = numbers(&case["t_interval"]);
        close(t.interval[0], interval[0], 1e-8, &what);
        close(t.interval[1], interval[1], 1e-8, &what);
    }
    assert!(sign_flip(&[1.0; 5], 0) > 0.05 && sign_flip(&[1.0; 6], 0) < 0.05);
    assert!(wilcoxon(&[]).is_nan() && close_to_one(wilcoxon(&[0.0, 0.0])) && sign_flip(&[f64::NAN], 0).is_nan());
}

fn close_to_one(v: f64) -> bool {
    (v - 1.0).abs() < 1e-12
}

#[test]
fn kendalls_tau_is_scipys() {
    for case in reference()["kendall"].as_array().unwrap() {
        let pairs: Vec<(f64, f64)> = numbers(&case["x"]).into_iter().zip(numbers(&case["y"])).collect();
        close(tau_b(&pairs), case["tau"].as_f64().unwrap(), 1e-12, "tau");
        let (epochs, trials) = (tau_over_epochs(&pairs), tau_over_trials(&pairs, 1));
        // Five epochs are too few for an interval.
        for estimate in [epochs, trials].iter().filter(|e| pairs.len() > 7 || e.interval[0].is_finite()) {
            assert!(estimate.interval[0] < estimate.point && estimate.point < estimate.interval[1], "{estimate:?}");
        }
    }
    assert!(tau_b(&[(1.0, 2.0), (1.0, 3.0)]).is_nan());
    assert!(tau_over_epochs(&[(1.0, 2.0), (2.0, 3.0)]).interval[0].is_nan());
}

#[test]
fn distributions_are_scipys() {
    let reference = reference();
    let rows = |key: &str| -> Vec<Vec<f64>> {
        reference["distributions"][key].as_array().unwrap().iter().map(numbers).collect()
    };
    for r in rows("student_cdf") {
        close(student_cdf(r[0], r[1]), r[2], 1e-10, "t");
    }
    for r in rows("student_quantile") {
        close(student_quantile(r[0], r[1]), r[2], 1e-6 * r[2].abs(), "t⁻¹");
    }
    for r in rows("normal_cdf") {
        close(normal_cdf(r[0]), r[1], 1e-10, "Φ");
    }
    for r in rows("normal_quantile") {
        close(normal_quantile(r[0]), r[1], 1e-8, "Φ⁻¹");
    }
}

#[test]
fn intervals_of_one_sample_are_scipys_within_the_noise_of_resampling() {
    for case in reference()["bca"].as_array().unwrap() {
        let data = numbers(&case["data"]);
        let error = case["standard_error"].as_f64().unwrap();
        let mean = |_: &[u32], drawn: &[u32]| {
            data.iter().zip(drawn).map(|(v, n)| v * f64::from(*n)).sum::<f64>() / data.len() as f64
        };
        let replicates = resample(1, data.len(), RESAMPLES, 0, mean);
        close(variance_of(&replicates).sqrt(), error, 0.05 * error, "standard error");
        let plain = percentiles(&replicates, LEVEL);
        for (ours, theirs) in plain.into_iter().zip(numbers(&case["percentile"])) {
            close(ours, theirs, 0.12 * error, "percentile");
        }
    }
}

#[test]
fn holm_and_quantiles_are_theirs() {
    let reference = reference();
    let p = numbers(&reference["holm"]["p"]);
    for (ours, theirs) in holm(&p).into_iter().zip(numbers(&reference["holm"]["adjusted"])) {
        close(ours, theirs, 1e-12, "Holm");
    }
    let adjusted = holm(&[0.02, f64::NAN, 0.03]);
    assert!(adjusted[1].is_nan() && (adjusted[0] - 0.04).abs() < 1e-12 && (adjusted[2] - 0.04).abs() < 1e-12);
    let values = numbers(&reference["quantiles"]["values"]);
    close(quantile(&values, 0.95), reference["quantiles"]["p95"].as_f64().unwrap(), 1e-12, "p95");
}

/// Seeds × images × landmarks with known spreads, around `truth`.
fn simulated(index: u64, [seeds, images, landmarks]: [usize; 3], spreads: [f64; 4], truth: f64) -> Vec<f64> {
    let mut rng = seed::derive(11, Stream::Bootstrap, 5, index);
    let [of_seed, of_image, of_landmark, rest] = spreads;
    let mut draw = |n: usize, spread: f64| -> Vec<f64> { (0..n).map(|_| spread * normal(&mut rng)).collect() };
    let (s, i, l) = (draw(seeds, of_seed), draw(images, of_image), draw(landmarks, of_landmark));
    let e = draw(seeds * images * landmarks, rest);
    let at = |n: usize| truth + s[n / (images * landmarks)] + i[n / landmarks % images] + l[n % landmarks] + e[n];
    (0..e.len()).map(at).collect()
}

fn crossed(errors: &[f64], seeds: usize, images: usize, landmarks: usize) -> Crossed {
    let cell = |c: &[f64]| (c.iter().sum(), c.len());
    let rows: Vec<Vec<(f64, usize)>> =
        errors.chunks_exact(images * landmarks).map(|row| row.chunks_exact(landmarks).map(cell).collect()).collect();
    assert_eq!(rows.len(), seeds);
    Crossed::new(&rows)
}

#[test]
fn intervals_hold_the_truth_with_few_seeds() {
    // The whole table is scripts/characteristics.sh's; this keeps its hardest corner from drifting.
    let inside = |index: u64| {
        let errors = simulated(index, [3, 24, 4], [0.15, 0.2, 0.0, 0.6], 1.0);
        let [low, high] = crossed(&errors, 3, 24, 4).estimate_with(index, 400).interval;
        low <= 1.0 && 1.0 <= high
    };
    let share = (0..400).filter(|i| inside(*i)).count();
    assert!((368..=396).contains(&share), "{share} of 400 intervals hold the truth");
}

#[test]
fn an_estimate_is_the_same_on_any_number_of_threads() {
    let table = crossed(&simulated(1, [3, 20, 5], [0.1, 0.3, 0.0, 0.5], 2.0), 3, 20, 5);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| table.estimate(7))
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn degenerate_tables_have_no_interval_and_never_panic() {
    assert!(Crossed::new(&[]).estimate(0).interval[0].is_nan());
    assert!(Crossed::new(&[vec![(1.0, 1)]]).estimate(0).interval[0].is_nan());
    assert!(Crossed::new(&[vec![(1.0, 0), (0.0, 0)]]).estimate(0).point.is_infinite());
    let same = Crossed::new(&[vec![(2.0, 1); 5], vec![(2.0, 1); 5]]).estimate(0);
    assert_eq!((same.interval, same.p_value(2.0) < 1.0, same.p_value(1.0) > 0.0), ([2.0, 2.0], false, true));
    assert!((same.p_value(1.0) - 0.5).abs() < 1e-12, "two seeds are no certainty");
    let holes = Crossed::new(&[vec![(2.0, 1), (0.0, 0), (3.0, 1)], vec![(1.0, 1), (2.0, 1), (3.0, 1)]]);
    assert!((holes.mean() - 2.2).abs() < 1e-12 && holes.estimate(0).interval[0].is_finite());
}

#[test]
fn variance_components_are_found_again() {
    let sizes = [12, 60, 20];
    let truth = [0.3, 0.5, 0.4, 0.8];
    let errors = simulated(3, sizes, truth, 2.0);
    let found = components(&errors, sizes[0], sizes[1], sizes[2]).unwrap();
    for (part, spread) in [found.seed, found.image, found.landmark, found.rest].into_iter().zip(truth) {
        close(part.sqrt(), spread, 0.35 * spread, "component");
    }
    assert!(found.seed_image < 0.01 && found.image_landmark < 0.01);
    assert!((found.shares().iter().map(|s| s.1).sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(components(&errors, 1, 60, 20).is_none());
}

#[test]
fn contrasts_and_shares_are_scipys() {
    let reference = reference();
    let table = |seeds: &[f64]| Crossed::new(&seeds.iter().map(|s| vec![(*s, 1); 4]).collect::<Vec<_>>());
    for case in reference["welch"].as_array().unwrap() {
        let [a, b] = ["a", "b"].map(|key| table(&numbers(&case[key])));
        let contrast = Contrast::of(&[(1.0, b), (-1.0, a)]).unwrap();
        close(contrast.p_value(0.0), case["p"].as_f64().unwrap(), 1e-9, "Welch");
        for (ours, theirs) in contrast.estimate(0.01).interval.into_iter().zip(numbers(&case["interval_99"])) {
            close(ours, theirs, 1e-7, "Welch's interval");
        }
    }
    for case in reference["interactions"].as_array().unwrap() {
        let sizes: Vec<usize> = numbers(&case["sizes"]).into_iter().map(|size| size as usize).collect();
        let found = noise_of_interactions(&numbers(&case["values"]), &sizes);
        let degrees = case["degrees"].as_f64().unwrap();
        assert_eq!(found.is_some(), degrees >= FEWEST_DEGREES);
        if let Some((variance, ours)) = found {
            close(variance, case["mean_square"].as_f64().unwrap(), 1e-12, "interactions");
            close(ours, degrees, 1e-12, "degrees of freedom");
        }
    }
    for case in reference["jeffreys"].as_array().unwrap() {
        let [k, n] = ["k", "n"].map(|key| case[key].as_u64().unwrap() as usize);
        let images = (0..n).map(|i| (if i < k { 100.0 } else { 0.0 }, 1)).collect();
        let [low, high] = Crossed::new(&[images]).share().interval;
        // The quantile of Student's t is accurate to six digits.
        for (ours, theirs) in [low, high].into_iter().zip(numbers(&case["interval"])) {
            close(ours, 100.0 * theirs, 1e-5, "share");
        }
    }
}

#[test]
fn sign_flips_and_their_interval_agree() {
    for case in reference()["paired"].as_array().unwrap() {
        let d: Vec<f64> = numbers(&case["differences"]).into_iter().take(12).collect();
        for alpha in [0.05, 0.2] {
            let [low, high] = sign_flip_interval(&d, alpha, 0);
            assert_eq!(sign_flip(&d, 0) < alpha, low > 0.0 || high < 0.0, "{d:?}");
            assert!(low <= mean(&d) && mean(&d) <= high);
        }
    }
    assert!(sign_flip_interval(&[1.0; 5], 0.05, 0)[0].is_infinite(), "five are too few");
    let [low, high] = sign_flip_interval(&[0.9, 1.1, 1.0, 1.2, 0.8, 1.05, 0.95], 0.05, 0);
    assert!(low > 0.8 && high < 1.2, "{low} {high}");
}

#[test]
fn tau_of_unrelated_series_is_seldom_told_from_zero() {
    let series = |rng: &mut rand_chacha::ChaCha8Rng| -> Vec<f64> {
        let mut state = normal(rng);
        (0..40)
            .map(|_| {
                state = 0.6 * state + 0.8 * normal(rng);
                state
            })
            .collect()
    };
    let told = (0..1000)
        .filter(|index| {
            let mut rng = seed::derive(12, Stream::Bootstrap, 5, *index);
            let pairs: Vec<(f64, f64)> = series(&mut rng).into_iter().zip(series(&mut rng)).collect();
            let [low, high] = tau_over_epochs(&pairs).interval;
            low > 0.0 || high < 0.0
        })
        .count();
    assert!(told <= 65, "{told} of 1000");
}
