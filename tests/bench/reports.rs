//! How often whole reports are right, on fabricated sweeps.

use rayon::prelude::*;
use sweep_analysis::findings::{Finding, Topic, Verdict, findings};
use sweep_analysis::statistics::Estimate;

use super::fabricated::{Design, TRUTH, sweep};

/// The name of a table, and what prints it from so many simulations a row.
pub(crate) type Table = (&'static str, fn(u64));

/// All tables, or the one of this name.
pub(crate) fn tables(repeats: u64, only: Option<&str>) {
    let all: [Table; 6] = [
        ("null", null),
        ("epochs", unequal_epochs),
        ("best", best_of_many),
        ("power", power),
        ("search", searches),
        ("coverage", coverage),
    ];
    for (_, table) in all.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        table(repeats);
        println!();
    }
}

/// The reports of a design.
fn reports<T: Send>(design: &Design, repeats: u64, of: impl Fn(&[Finding]) -> T + Sync) -> Vec<T> {
    (0..repeats).into_par_iter().map(|index| of(&findings(&sweep(design, index)))).collect()
}

/// Share for which a condition holds, in per cent.
fn share<T>(all: &[T], holds: impl Fn(&T) -> bool) -> f64 {
    100.0 * all.iter().filter(|of| holds(of)).count() as f64 / all.len().max(1) as f64
}

/// Topics with evidence.
fn evidence(found: &[Finding]) -> Vec<Topic> {
    found.iter().filter(|f| f.verdict == Verdict::Evidence).map(|f| f.topic).collect()
}

fn estimate<'a>(found: &'a [Finding], id: &str) -> Option<&'a Estimate> {
    found.iter().find(|f| f.id == id)?.estimate.as_ref()
}

/// Whole reports without any effect.
fn null(repeats: u64) {
    println!("## Whole reports without any effect\n");
    println!(
        "Share of reports with any false *evidence*: three axes of two values (or two of three), all configurations equal, \
         errors log-normal or heavy-tailed, clustered by image and landmark, 20 epochs. One seed never claims evidence; \
         *differ* is the share of reports that call trained networks different.\n"
    );
    println!("| axes | seeds | images | spread of trainings | tails | any evidence | by topic | networks differ |");
    println!("|---|---|---|---|---|---|---|---|");
    for (axes, seeds, images, of_seed, heavy) in [
        (vec![2, 2, 2], 1, 20, 0.1, false),
        (vec![2, 2, 2], 2, 10, 0.1, true),
        (vec![2, 2, 2], 2, 20, 0.1, false),
        (vec![2, 2, 2], 3, 20, 0.1, false),
        (vec![2, 2, 2], 6, 20, 0.1, true),
        (vec![3, 3], 2, 20, 0.1, false),
        (vec![2], 2, 20, 0.1, false),
        (vec![2], 3, 100, 0.02, false),
        (vec![2], 6, 20, 0.1, true),
        (vec![2, 2, 2, 2], 1, 20, 0.1, false),
    ] {
        let name = format!("{axes:?}").replace(['[', ']'], "").replace(", ", " × ");
        let design = Design { axes, of_seed, heavy, landmarks: 3, ..Design::null(seeds, images) };
        let all = reports(&design, repeats, |found| {
            (evidence(found), found.iter().any(|f| f.verdict == Verdict::NetworksDiffer))
        });
        let mut topics: Vec<(Topic, usize)> = Vec::new();
        for topic in all.iter().flat_map(|(topics, _)| topics) {
            match topics.iter_mut().find(|(of, _)| of == topic) {
                Some((_, count)) => *count += 1,
                None => topics.push((*topic, 1)),
            }
        }
        let listed: Vec<String> = topics.iter().map(|(topic, count)| format!("{topic:?} {count}")).collect();
        let tails = if heavy { "heavy" } else { "log-normal" };
        println!(
            "| {name} | {seeds} | {images} | {of_seed} | {tails} | {:.1} % | {} | {:.1} % |",
            share(&all, |(topics, _)| !topics.is_empty()),
            listed.join(", "),
            share(&all, |(_, differ)| *differ)
        );
    }
}

/// One axis whose values have the same true error, but epochs that scatter differently, or more of them.
fn unequal_epochs(repeats: u64) {
    println!("## Epochs that scatter differently, or more of them\n");
    println!(
        "Two configurations of the same true error; share of reports with evidence for a difference, and the mean difference \
         found. The epoch is chosen on the validation images; *kept* means that the errors of all epochs were.\n"
    );
    println!("| difference | errors | seeds | evidence | mean difference (mm) |\n|---|---|---|---|---|");
    let scatter: fn(&[usize]) -> f64 = |place| if place[0] == 0 { 0.1 } else { 0.8 };
    let count: fn(&[usize]) -> u32 = |place| if place[0] == 0 { 5 } else { 100 };
    for (what, of_epoch, epochs) in [
        ("scatter of 0.1 and 0.8", scatter, (|_| 30) as fn(&[usize]) -> u32),
        ("5 and 100 epochs", (|_| 0.6) as fn(&[usize]) -> f64, count),
    ] {
        for (kept, seeds) in [(true, 1), (true, 3), (true, 6), (false, 3)] {
            let design = Design {
                axes: vec![2],
                of_epoch,
                epochs,
                table: kept,
                of_seed: 0.02,
                landmarks: 3,
                ..Design::null(seeds, 20)
            };
            let all = reports(&design, repeats, |found| {
                let effect = found.iter().find(|f| f.topic == Topic::Effects);
                effect.map(|f| (f.verdict, f.estimate.as_ref().map_or(f64::NAN, |e| e.point)))
            });
            let points: Vec<f64> = all.iter().flatten().map(|(_, point)| *point).collect();
            println!(
                "| {what} | {} | {seeds} | {:.1} % | {:+.3} |",
                if kept { "kept" } else { "last epoch" },
                share(&all, |of| of.is_some_and(|(v, _)| matches!(v, Verdict::Evidence | Verdict::NetworksDiffer))),
                points.iter().sum::<f64>() / points.len() as f64
            );
        }
    }
}

/// The error of the best of equal configurations.
fn best_of_many(repeats: u64) {
    println!("## The best of equal configurations\n");
    println!(
        "True error {TRUTH} mm. Bias of the error that is reported for the best, share of its intervals that hold the truth, share \
         of reports that call any other worse, or the best ahead.\n"
    );
    println!("| configurations | images | bias (mm) | coverage | any other worse | ahead |\n|---|---|---|---|---|---|");
    for (count, images) in [(4, 20), (20, 20), (20, 100)] {
        let design = Design {
            axes: vec![count],
            of_seed: 0.0,
            of_image: 0.15,
            of_epoch: |_| 0.4,
            landmarks: 3,
            ..Design::null(1, images)
        };
        let all = reports(&design, repeats, |found| {
            let ranking = found.iter().find(|f| f.id == "ranking")?;
            let best = ranking.parts.first()?.estimate.clone();
            let worse = ranking.parts.iter().any(|part| part.p_adjusted.is_some_and(|p| p < 0.05));
            let ahead = matches!(ranking.verdict, Verdict::Evidence | Verdict::NetworksDiffer);
            Some((best.point - TRUTH, best.interval[0] <= TRUTH && TRUTH <= best.interval[1], worse, ahead))
        });
        let all: Vec<_> = all.into_iter().flatten().collect();
        println!(
            "| {count} | {images} | {:+.3} | {:.1} % | {:.1} % | {:.1} % |",
            all.iter().map(|of| of.0).sum::<f64>() / all.len() as f64,
            share(&all, |of| of.1),
            share(&all, |of| of.2),
            share(&all, |of| of.3)
        );
    }
}

/// How often a true effect is found, and one of the size that the report says it finds four times in five.
fn power(repeats: u64) {
    println!("## Effects that are there\n");
    println!(
        "Share of reports that find the effect of the first axis, and the effect that they say a such sweep finds four times in \
         five (median over reports).\n"
    );
    println!(
        "| axes | seeds | images | spread of trainings | true effect (mm) | found | said to be found in 80 % (mm) |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (axes, seeds, images, of_seed) in
        [(vec![2], 3, 100, 0.03), (vec![2], 6, 100, 0.03), (vec![2], 6, 100, 0.1), (vec![2, 2], 6, 100, 0.05)]
    {
        let name = format!("{axes:?}").replace(['[', ']'], "").replace(", ", " × ");
        let effect: fn(&[usize]) -> f64 = |place| 0.2 * place[0] as f64;
        let design = Design { axes, of_seed, effect, epochs: |_| 10, ..Design::null(seeds, images) };
        let all = reports(&design, repeats, |found| {
            let effect = found.iter().find(|f| f.id.starts_with("effect/axis0"))?;
            let said = serde_json::to_value(&effect.statement).ok()?["detectable_mm"].as_f64()?;
            Some((effect.verdict == Verdict::Evidence, said))
        });
        let all: Vec<(bool, f64)> = all.into_iter().flatten().collect();
        let mut said: Vec<f64> = all.iter().map(|of| of.1).collect();
        said.sort_by(f64::total_cmp);
        println!(
            "| {name} | {seeds} | {images} | {of_seed} | 0.2 | {:.1} % | {:.2} |",
            share(&all, |of| of.0),
            said.get(said.len() / 2).copied().unwrap_or(f64::NAN)
        );
    }
}

/// Searches: what each key does, judged along all points.
fn searches(repeats: u64) {
    println!("## Searches\n");
    println!(
        "Points drawn at random for two keys, one training each. Share of reports with any false *evidence*, and of those that find \
         what the first key does: the error falls by 0.5 mm along it, or by 0.5 mm to its middle and rises again. Its share is the \
         median of what the report says that it explains of the errors' order.\n"
    );
    println!(
        "| points | images | spread of trainings | tails | any false evidence | falls: found | share | bends: found | share |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (points, images, of_seed, heavy) in
        [(8, 20, 0.1, false), (20, 20, 0.1, false), (20, 20, 0.1, true), (20, 100, 0.02, false), (40, 20, 0.1, false)]
    {
        let design = |effect: fn(f64) -> f64| Design {
            axes: vec![points],
            search: Some(effect),
            of_seed,
            heavy,
            landmarks: 3,
            epochs: |_| 10,
            ..Design::null(1, images)
        };
        let of = |effect: fn(f64) -> f64| {
            let all = reports(&design(effect), repeats, |found| {
                let trend = found.iter().find(|f| f.id == "trend/axis0");
                let share = trend.and_then(|f| Some(f.estimate.as_ref()?.point)).unwrap_or(f64::NAN);
                let others = found.iter().any(|f| f.verdict == Verdict::Evidence && f.id != "trend/axis0");
                (trend.is_some_and(|f| f.verdict == Verdict::Evidence), others, share)
            });
            let mut shares: Vec<f64> = all.iter().map(|of| of.2).collect();
            shares.sort_by(f64::total_cmp);
            (all, 100.0 * shares[shares.len() / 2])
        };
        let (nothing, _) = of(|_| 0.0);
        let (falls, of_falls) = of(|at| -0.5 * at);
        let (bends, of_bends) = of(|at| (at - 0.5).abs() - 0.5);
        println!(
            "| {points} | {images} | {of_seed} | {} | {:.1} % | {:.1} % | {of_falls:.0} % | {:.1} % | {of_bends:.0} % |",
            if heavy { "heavy" } else { "log-normal" },
            share(&nothing, |of| of.0 || of.1),
            share(&falls, |of| of.0),
            share(&bends, |of| of.0)
        );
    }
}

/// Whether the intervals of effects and of errors hold the truth.
fn coverage(repeats: u64) {
    println!("## Intervals\n");
    println!(
        "Share of intervals that hold the truth: of the difference of two equal configurations (simultaneous with all tests of \
         the report, so above 95 % by design), and of the error of a single configuration.\n"
    );
    println!("| seeds | images | spread of trainings | tails | difference | error |\n|---|---|---|---|---|---|");
    for (seeds, images, of_seed, heavy) in
        [(1, 24, 0.0, false), (2, 24, 0.1, false), (3, 24, 0.1, true), (6, 24, 0.1, false), (6, 100, 0.05, false)]
    {
        let base = Design { of_seed, heavy, landmarks: 3, epochs: |_| 10, ..Design::null(seeds, images) };
        let two = reports(&Design { axes: vec![2], ..base.clone() }, repeats, |found| {
            estimate(found, "effect/axis0/v0/v1").map(|e| e.interval[0] <= 0.0 && 0.0 <= e.interval[1])
        });
        let one = reports(&Design { axes: vec![1], ..base }, repeats, |found| {
            let ranking = found.iter().find(|f| f.id == "ranking")?;
            let [low, high] = ranking.parts.first()?.estimate.interval;
            Some(low <= TRUTH && TRUTH <= high)
        });
        let tails = if heavy { "heavy" } else { "log-normal" };
        println!(
            "| {seeds} | {images} | {of_seed} | {tails} | {:.1} % | {:.1} % |",
            share(&two, |of| *of == Some(true)),
            share(&one, |of| *of == Some(true))
        );
    }
}
