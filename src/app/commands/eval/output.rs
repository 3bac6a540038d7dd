//! What `sweep eval` prints: the usual metrics, of all landmarks and of each.

use serde_json::{Value, json};

use super::task::Task;
use crate::cli;
use crate::commands::say;
use sweep_analysis::format::{self, counted};
use sweep_analysis::scores::{Score, Scores};
use sweep_core::error::Result;
use sweep_core::units::ErrorUnit;
use sweep_training::checkpoint::Description;
use sweep_training::evaluate::Normalised;
use sweep_training::predict::Predictor;

/// A score in one unit: keys end with its name.
fn in_keys(json: &mut Value, score: &Score, unit: ErrorUnit, is_known: bool) {
    let known = |value: Value| if is_known { value } else { Value::Null };
    json[format!("mre_{unit}")] = known(score.mre.point.into());
    json[format!("mre_interval_{unit}")] = known(score.mre.interval.to_vec().into());
    json[format!("sd_{unit}")] = known(score.sd.into());
    json[format!("median_{unit}")] = known(score.median.into());
    json[format!("p95_{unit}")] = known(score.p95.into());
    for (radius, rate) in unit.radii().iter().zip(&score.sdr) {
        let key = format!("sdr_{}{unit}", radius.to_string().replace('.', "_"));
        json[format!("{key}_interval")] = known(rate.interval.to_vec().into());
        json[key] = known(rate.point.into());
    }
}

pub(super) fn json(
    flags: &cli::Eval,
    predictor: &Predictor,
    task: &Task,
    [scores, in_pixels]: [&Scores; 2],
    normalised: Normalised,
    confidence_tau: f64,
) -> Value {
    let is_mm = scores.unit.is_millimetres();
    let of = |score: &Score, in_pixels: &Score| {
        let mut json = json!({ "images": score.mre.n.images, "landmarks": score.mre.n.landmarks });
        in_keys(&mut json, score, ErrorUnit::Millimetres, is_mm);
        in_keys(&mut json, in_pixels, ErrorUnit::Pixels, true);
        json
    };
    let mut json = of(&scores.all, &in_pixels.all);
    json["unit"] = scores.unit.symbol().into();
    json["nme"] = normalised.nme.into();
    for (key, rate) in ["pck_05", "pck_10", "pck_20"].into_iter().zip(normalised.pck) {
        json[key] = rate.into();
    }
    json["dataset"] = task.opened.name().into();
    json["part"] = task.part.into();
    json["trained_on"] = task.trained_images().into();
    json["observer_mre_mm"] = task.opened.observer_mre().map(|e| e.0).into();
    json["confidence_tau"] = confidence_tau.into();
    json["tta"] = flags.inference.tta.into();
    json["both_stages"] = flags.inference.both_stages.into();
    json["checkpoints"] =
        predictor.descriptions().map(|d| json!({ "trial": d.trial, "epoch": d.epoch })).collect::<Vec<_>>().into();
    let named = |(score, in_pixels): (&Score, &Score)| {
        let mut json = of(score, in_pixels);
        json["landmark"] = score.name.clone().into();
        json
    };
    json["per_landmark"] = scores.landmarks.iter().zip(&in_pixels.landmarks).map(named).collect::<Vec<_>>().into();
    json
}

pub(super) fn print(
    flags: &cli::Eval,
    predictor: &Predictor,
    task: &Task,
    scores: &Scores,
    normalised: Normalised,
    confidence_tau: f64,
) -> Result<()> {
    let (all, unit) = (&scores.all, scores.unit);
    let networks: Vec<String> = predictor.descriptions().map(Description::at_epoch).collect();
    let mut views =
        if flags.inference.tta > 1 { format!(", {} views each", flags.inference.tta) } else { String::new() };
    if flags.inference.both_stages {
        views.push_str(", both stages");
    }
    let trained = match task.trained_images() {
        Some(0) => String::new(),
        Some(images) => format!(" ({images} of them trained on)"),
        None => " (how many of them were trained on is not known)".to_owned(),
    };
    say(&format!(
        "{}: {} {}{trained}, {}{views}, by",
        task.opened.name(),
        counted(all.mre.n.images, "image"),
        task.part,
        counted(all.mre.n.landmarks, "landmark")
    ))?;
    for network in networks {
        say(&format!("  {network}"))?;
    }
    say("")?;
    let width = scores.landmarks.iter().map(|l| l.name.chars().count()).max().unwrap_or(0).max("landmark".len());
    let radii = unit.radii().map(|radius| format!("{:>8}", format!("≤{radius} {unit}"))).join(" ");
    say(&format!("{:width$}  MRE {unit}  {:14}  SD {unit}  median  {radii}", "landmark", "95 % interval"))?;
    for score in std::iter::once(all).chain(&scores.landmarks) {
        let sdr = score.sdr.each_ref().map(|rate| format!("{:>8}", format!("{:.1} %", rate.point))).join(" ");
        say(&format!(
            "{:width$}  {:>6}  {:14}  {:>5}  {:>6}  {sdr}",
            score.name,
            format::mm(score.mre.point),
            format::interval(&score.mre, format::mm),
            format::mm(score.sd),
            format::mm(score.median),
        ))?;
    }
    say("")?;
    let rate = format::interval(&all.sdr[0], |rate| format!("{rate:.1}"));
    if !rate.is_empty() {
        let radius = unit.radii()[0];
        say(&format!("within {radius} {unit}: {:.1} %, 95 % interval {rate} %", all.sdr[0].point))?;
    }
    if normalised.nme.is_finite() {
        let [pck_05, pck_10, pck_20] = normalised.pck.map(|rate| format!("{rate:.1} %"));
        say(&format!(
            "in reference lengths: NME {:.2} %, PCK@0.05 {pck_05}, PCK@0.1 {pck_10}, PCK@0.2 {pck_20}",
            normalised.nme
        ))?;
    }
    if let Some(floor) = task.opened.observer_mre() {
        say(&format!("observers differ by {} mm from one another", format::mm(floor.0)))?;
    }
    if confidence_tau.is_finite() {
        say(&format!(
            "confidence and error: Kendall's τ {} (−1: the surer, the nearer)",
            format::signed(confidence_tau, 2)
        ))?;
    }
    say("intervals: bootstrap of images; they say nothing about training again")
}
