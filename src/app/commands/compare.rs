//! `sweep compare`: two trials, or two sweeps configuration by configuration, on the images that both were evaluated on.

use std::path::Path;

use sweep_analysis::SweepRecords;
use sweep_analysis::compare::{Comparison, ConfigurationChange, SweepComparison, compare_sweeps, compare_trials};
use sweep_analysis::format::{mm, p_value, signed};
use sweep_analysis::load::load;
use sweep_analysis::report::TextTable;
use sweep_core::error::{Error, Outcome, Result};
use sweep_core::units::ErrorUnit;
use sweep_experiment::store::{Store, TrialStore};

use super::{print_json_in, results, say, text_table};
use crate::cli;

pub(super) fn compare(flags: &cli::Compare) -> Result<Outcome> {
    match [&flags.a, &flags.b].map(|folder| Store::at(folder).is_sweep()) {
        [true, true] if flags.pooled => {
            Err(Error::input("--pooled is for trials: folds of whole sweeps are always pooled")
                .remedy("leave --pooled out, or name two trials' folders"))
        }
        [true, true] => sweeps(flags),
        [false, false] => trials(flags),
        [is_sweep, _] => {
            let named = |is_sweep: bool| if is_sweep { "a sweep" } else { "no sweep" };
            let what = format!("the first folder is that of {}, the second of {}", named(is_sweep), named(!is_sweep));
            Err(Error::input(what).at(flags.b.display()).remedy("name two sweeps' folders, or two trials' folders"))
        }
    }
}

fn trials(flags: &cli::Compare) -> Result<Outcome> {
    let [a, b] = [&flags.a, &flags.b].map(|folder| TrialStore::at(folder));
    let (comparison, fold) = compare_trials(&a, &b, flags.pooled)?;
    if flags.json {
        print_json_in(comparison.unit, &comparison)?;
    } else {
        if let Some(fold) = fold {
            say(&format!("fold {} of {} alone; --pooled takes all folds together", fold.fold, fold.of))?;
        }
        print_comparison(&comparison)?;
    }
    Ok(Outcome::Done)
}

fn sweeps(flags: &cli::Compare) -> Result<Outcome> {
    let read = |folder: &Path| -> Result<SweepRecords> {
        let records = load(&Store::at(folder))?;
        results::report_left_out(&records);
        Ok(records)
    };
    let (a, b) = (read(&flags.a)?, read(&flags.b)?);
    let comparison = compare_sweeps(&a, &b)?;
    if flags.json {
        print_json_in(comparison.unit, &comparison)?;
    } else {
        print_sweeps([&flags.a, &flags.b], &comparison)?;
    }
    Ok(Outcome::Done)
}

/// Ends of an interval.
fn ends(interval: [f64; 2], decimals: usize) -> String {
    interval.map(|end| signed(end, decimals)).join(" to ")
}

fn print_sweeps([a, b]: [&Path; 2], found: &SweepComparison) -> Result<()> {
    let SweepComparison { unit, best, configurations, unmatched, incomparable } = found;
    say(&format!(
        "{} minus {}: configurations of the same axis values, trials of the same seed on the images that both have",
        b.display(),
        a.display()
    ))?;
    if !configurations.is_empty() {
        text_table::say_table(&TextTable {
            columns: columns(*unit),
            rows: configurations.iter().map(|change| row(&change.a, change)).collect(),
        })?;
    }
    if let Some(best) = best {
        say(&format!(
            "the best of each: {}, {} {unit}, and {}, {} {unit}: {} {unit}, 95 % interval {} {unit}; both were picked by these \
             errors",
            best.a,
            mm(best.errors[0]),
            best.b,
            mm(best.errors[1]),
            signed(best.mre.point, 3),
            ends(best.mre.interval, 3)
        ))?;
    }
    for (folder, labels) in [a, b].iter().zip(unmatched).filter(|(_, labels)| !labels.is_empty()) {
        say(&format!("only in {}: {}", folder.display(), labels.join(", ")))?;
    }
    for (label, why) in incomparable {
        say(&format!("not compared: {label}: {why}"))?;
    }
    Ok(())
}

fn columns(unit: ErrorUnit) -> Vec<String> {
    let radius = unit.radii()[0];
    vec![
        "configuration".to_owned(),
        "seeds".to_owned(),
        "images".to_owned(),
        format!("first ({unit})"),
        format!("second ({unit})"),
        format!("change ({unit})"),
        "95 % interval".to_owned(),
        "corrected".to_owned(),
        format!("within {radius} {unit} (points)"),
        "95 % interval".to_owned(),
    ]
}

fn row(label: &str, change: &ConfigurationChange) -> Vec<String> {
    vec![
        label.to_owned(),
        change.mre.n.seeds.to_string(),
        change.mre.n.images.to_string(),
        mm(change.errors[0]),
        mm(change.errors[1]),
        signed(change.mre.point, 3),
        ends(change.mre.interval, 3),
        p_value(change.p_adjusted),
        signed(change.sdr.point, 1),
        ends(change.sdr.interval, 1),
    ]
}

fn print_comparison(comparison: &Comparison) -> Result<()> {
    let (n, unit) = (comparison.mre.n, comparison.unit);
    say(&format!(
        "{} minus {}, on {} images and {} landmarks that both have",
        comparison.b, comparison.a, n.images, n.landmarks
    ))?;
    say("about these two trained networks on such images: training either again may give another answer")?;
    let [low, high] = comparison.mre.interval.map(|end| signed(end, 3));
    say(&format!(
        "MRE {} {unit}, 95 % interval {low} to {high} {unit} (bootstrap of images)",
        signed(comparison.mre.point, 3)
    ))?;
    say(&format!(
        "signed-rank over images {}, sign-flip {}",
        p_value(comparison.wilcoxon),
        p_value(comparison.sign_flip)
    ))?;
    let [low, high] = comparison.sdr.interval.map(|end| signed(end, 1));
    let radius = unit.radii()[0];
    let change = signed(comparison.sdr.point, 1);
    say(&format!("within {radius} {unit} {change} percentage points, 95 % interval {low} to {high}"))?;
    let width = comparison.landmarks.iter().map(|l| l.name.chars().count()).max().unwrap_or(0);
    for landmark in &comparison.landmarks {
        let [low, high] = landmark.change.interval.map(|end| signed(end, 3));
        say(&format!(
            "  {:width$}  {:>7} {unit}  {low} to {high}  corrected {}",
            landmark.name,
            signed(landmark.change.point, 3),
            p_value(landmark.p_adjusted)
        ))?;
    }
    Ok(())
}
