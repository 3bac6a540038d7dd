//! `sweep plan`: the trials of a definition, their cost, and the differences that they can detect. Writes nothing.

mod cluster;
mod detects;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli;
use sweep_analysis::Drawn;
use sweep_analysis::folds;
use sweep_analysis::power::Comparisons;
use sweep_core::error::{Error, Outcome, Result};
use sweep_core::measures::Measures;
use sweep_core::units::ErrorUnit;
use sweep_data::flips::Sides;
use sweep_data::{DatasetContent, DatasetSpec, DatasetSummary};
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::search::Results;
use sweep_planning::config::TrialConfig;
use sweep_planning::looked_for;
use sweep_planning::plan::{Grown, Trial, grow};
use sweep_training::cost::{self, Rate};
use sweep_training::followers::{self, Member};

use super::run::cluster::set;
use super::{definition, print_json_in, say};
use crate::format::duration;
use cluster::OnCluster;
use detects::{Detects, Deviations};

/// Number of landmarks if a data set cannot be read: their share of a network's cost is below a thousandth.
const LANDMARKS: usize = 10;
/// Time for all calibrations together; a calibration that has begun is completed.
const CALIBRATION: Duration = Duration::from_secs(8);
/// Time for one calibration, just long enough for a stable result.
const LONGEST: Duration = Duration::from_millis(1500);

/// Output, also as JSON.
#[derive(Serialize)]
struct Plan<'a> {
    sweep: &'a str,
    question: Option<&'a str>,
    trials: Vec<Line<'a>>,
    /// Number of trials that a search draws later, when these have ended.
    later_trials: usize,
    /// Duration of all trials one after another, where later ones take as long as the others on average.
    seconds: Option<f64>,
    /// Number of threads for the durations.
    threads: usize,
    detects: Detects,
    /// Jobs on a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    slurm: Option<OnCluster>,
}

/// A trial.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    axes: &'a [(String, String)],
    seed: u64,
    parameters: usize,
    /// Floating-point operations of a forward pass on one image.
    gflop: Option<f64>,
    memory_mib: Option<f64>,
    epochs: u32,
    batch_size: usize,
    /// Duration of its training; 0 if it takes over another's.
    seconds: Option<f64>,
    /// The trial that trains for it; the two differ only in the decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    follows: Option<&'a str>,
}

pub(super) fn run(flags: &cli::Plan) -> Result<Outcome> {
    let mut definition = definition(&flags.changes)?;
    let on_cluster = set(flags.executor, &flags.slurm, &mut definition)?;
    // An unreadable data set is reported below, because the plan may be for another machine.
    let mut missing = None;
    let mut content = |dataset: &DatasetSpec| {
        dataset.content().or_else(|error| {
            missing.get_or_insert(looked_for(error, dataset, &definition));
            // Folds of it are different trials, whatever is in them.
            let spec = serde_json::to_string(dataset).map_err(|e| Error::definition(e.to_string()))?;
            Ok(DatasetContent {
                hash: format!("unknown {spec}"),
                unit: ErrorUnit::default(),
                is_normalised: true,
                sides: Sides::default(),
                measures: Measures::default(),
            })
        })
    };
    let grown = grow(&definition, &Results::new(), &mut content).map_err(|error| definition.source.explain(error))?;
    let Grown { trials, open } = grown;
    let deviations = Deviations::of(flags, trials.first().map_or(ErrorUnit::default(), |trial| trial.unit))?;
    let summaries = Summaries::read(&trials);
    let cpus = definition.slurm.cpus.unwrap_or(1);
    let here = || if on_cluster { cpus } else { rayon::current_num_threads() };
    let threads = flags.threads.map_or_else(here, std::num::NonZero::get);
    let rates = if flags.no_calibrate { BTreeMap::new() } else { calibrate(&trials, &summaries, threads)? };

    let leader_of = leaders(&definition, &trials)?;
    let line = |(index, trial)| {
        let follows = leader_of.get(&index).map(|leader| trials[*leader].id.as_str());
        let line = Line::of(trial, &summaries, &rates)?;
        Ok(Line { seconds: line.seconds.map(|seconds| if follows.is_some() { 0.0 } else { seconds }), follows, ..line })
    };
    let lines: Vec<Line> = trials.iter().enumerate().map(line).collect::<Result<_>>()?;
    let later_trials = open * definition.seeds.len();
    let known: Option<f64> = lines.iter().map(|line| line.seconds).sum();
    let seconds = known.map(|sum| sum * (1.0 + later_trials as f64 / lines.len() as f64));
    let images = images(&trials, &summaries);
    let drawn = definition.search.as_ref().map(Drawn::of);
    let comparisons = Comparisons::of(&points(&trials), drawn);
    let slurm = on_cluster.then(|| OnCluster::of(flags, &definition, &lines, seconds)).transpose()?;
    let planned = Plan {
        sweep: &definition.name,
        question: definition.question.as_deref(),
        trials: lines,
        later_trials,
        seconds,
        threads,
        detects: Detects::of(definition.seeds.len(), images, comparisons, deviations),
        slurm,
    };
    if flags.json {
        print_json_in(planned.detects.unit, &planned)?;
    } else {
        print(&planned, &definition)?;
    }
    let unknown = |error: Error| {
        let message = format!("{}; memory, time and the digits of names are not known", error.message);
        Err(Error { message, ..error })
    };
    missing.map_or(Ok(Outcome::Done), unknown)
}

/// The points of the plan, each with its values on the axes; folds of one point are one.
fn points(trials: &[Trial]) -> Vec<Vec<(String, String)>> {
    let mut points: Vec<Vec<(String, String)>> = Vec::new();
    for trial in trials {
        let point: Vec<(String, String)> = trial.axes.iter().filter(|(key, _)| key != folds::AXIS).cloned().collect();
        if !points.contains(&point) {
            points.push(point);
        }
    }
    points
}

/// The leader of each trial that takes over another's training, by their indices.
fn leaders(definition: &SweepDefinition, trials: &[Trial]) -> Result<BTreeMap<usize, usize>> {
    if definition.prune.is_some() {
        return Ok(BTreeMap::new());
    }
    let member = |trial: &Trial| {
        let shared = followers::shared_training(&trial.config, &trial.content)?;
        Ok(Member { id: trial.id.clone(), shared, is_new: true, keeps: Vec::new() })
    };
    Ok(followers::leaders(&trials.iter().map(member).collect::<Result<Vec<_>>>()?))
}

/// Number of validation images of a configuration, including all its folds; the smallest of any.
fn images(trials: &[Trial], summaries: &Summaries) -> Option<usize> {
    let mut of: BTreeMap<(u64, Vec<&str>), usize> = BTreeMap::new();
    for trial in trials {
        let axes = trial.axes.iter().filter(|(key, _)| key != folds::AXIS).map(|(_, value)| value.as_str());
        *of.entry((trial.config.seed, axes.collect())).or_default() += summaries.of(&trial.config.dataset)?.val;
    }
    of.into_values().min()
}

impl<'a> Line<'a> {
    fn of(trial: &'a Trial, summaries: &Summaries, rates: &BTreeMap<String, Rate>) -> Result<Self> {
        let config = &trial.config;
        let summary = summaries.of(&config.dataset);
        let stages = config.model.stages(
            config.channels(),
            summary.map_or(LANDMARKS, |summary| summary.landmarks),
            config.input,
        )?;
        let memory = summary.map(|summary| cost::memory_bytes(config, summary)).transpose()?;
        let rate = rates.get(&key(config)?);
        Ok(Self {
            id: &trial.id,
            axes: &trial.axes,
            seed: config.seed,
            parameters: stages.iter().map(|stage| stage.architecture.trained_values()).sum(),
            gflop: cost::flops(&stages)?.map(|flops| flops as f64 / 1e9),
            memory_mib: memory.map(|bytes| (bytes as f64 / f64::from(1 << 20)).round()),
            epochs: config.epochs,
            batch_size: config.batch_size.get(),
            seconds: summary.zip(rate).map(|(summary, rate)| cost::seconds(config, summary, *rate)),
            follows: None,
        })
    }
}

/// Summaries of all data sets, read without decoding images.
struct Summaries<'a>(Vec<(&'a DatasetSpec, Option<DatasetSummary>)>);

impl<'a> Summaries<'a> {
    /// The columns of an unreadable data set stay empty, because the plan may be for another machine.
    fn read(trials: &'a [Trial]) -> Self {
        let mut summaries: Vec<(&DatasetSpec, Option<DatasetSummary>)> = Vec::new();
        for trial in trials {
            let spec = &trial.config.dataset;
            if summaries.iter().any(|(known, _)| *known == spec) {
                continue;
            }
            let summary = spec.open().map(|opened| opened.summary());
            summaries.push((spec, summary.ok()));
        }
        Self(summaries)
    }

    fn of(&self, spec: &DatasetSpec) -> Option<DatasetSummary> {
        self.0.iter().find(|(known, _)| *known == spec).and_then(|(_, summary)| *summary)
    }
}

/// The settings that determine the time per image.
fn key(config: &TrialConfig) -> Result<String> {
    let TrialConfig { model, loss, input, batch_size, precision, decode, .. } = config;
    let parts = (model, loss, input, batch_size, precision, config.update().kept(), decode, config.channels());
    serde_json::to_string(&parts).map_err(|e| Error::definition(e.to_string()))
}

/// Images per second by [`key`]: measured, cheap ones first, until the time is over; then by floating-point operations.
fn calibrate(trials: &[Trial], summaries: &Summaries, threads: usize) -> Result<BTreeMap<String, Rate>> {
    let mut networks: Vec<(Option<u64>, String, &TrialConfig, usize)> = Vec::new();
    let mut keys = BTreeSet::new();
    for Trial { config, .. } in trials {
        let (Some(summary), key) = (summaries.of(&config.dataset), key(config)?) else { continue };
        if keys.insert(key.clone()) {
            let flops = cost::flops(&config.model.stages(config.channels(), summary.landmarks, config.input)?)?;
            networks.push((flops, key, config, summary.landmarks));
        }
    }
    networks.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let budget = LONGEST.min(CALIBRATION / u32::try_from(networks.len().max(1)).unwrap_or(u32::MAX));
    let (began, mut rates) = (Instant::now(), BTreeMap::new());
    let mut last: Option<(u64, Rate)> = None;
    for (flops, key, config, landmarks) in networks {
        let rate = match last.zip(flops) {
            Some(((measured, rate), flops)) if began.elapsed() > CALIBRATION => {
                let share = measured as f64 / flops as f64;
                Rate { training: rate.training * share, evaluation: rate.evaluation * share }
            }
            _ => {
                let rate = cost::rate(config, landmarks, threads, 1, budget)?;
                last = flops.map(|flops| (flops, rate)).or(last);
                rate
            }
        };
        rates.insert(key, rate);
    }
    Ok(rates)
}

fn print(plan: &Plan, definition: &SweepDefinition) -> Result<()> {
    if let Some(question) = plan.question {
        say(question)?;
    }
    let later = match plan.later_trials {
        0 => String::new(),
        later => format!(", and {later} more that its search draws as these end"),
    };
    let followers = plan.trials.iter().filter(|line| line.follows.is_some()).count();
    let trainings = match plan.trials.len() - followers {
        _ if followers == 0 => String::new(),
        1 => ", served by 1 training: they differ in their decoder alone".to_owned(),
        trainings => format!(", served by {trainings} trainings: trials that differ in their decoder alone share one"),
    };
    say(&format!("{} trials of sweep `{}`{later}{trainings}", plan.trials.len(), plan.sweep))?;
    let width = plan.trials.iter().map(|t| t.id.len()).max().unwrap_or(0).max(5);
    say(&format!(
        "{:width$}  {:>10}  {:>11}  {:>10}  {:>6}  {:>5}  {:>8}",
        "trial", "parameters", "GFLOP/image", "memory MiB", "epochs", "batch", "time"
    ))?;
    for line in &plan.trials {
        say(&format!(
            "{:width$}  {:>10}  {:>11}  {:>10}  {:>6}  {:>5}  {:>8}",
            line.id,
            line.parameters,
            line.gflop.map_or_else(|| "-".to_owned(), |gflop| format!("{gflop:.2}")),
            line.memory_mib.map_or_else(|| "-".to_owned(), |mib| format!("{mib:.0}")),
            line.epochs,
            line.batch_size,
            match line.follows {
                Some(_) => "shared".to_owned(),
                None => line.seconds.map_or_else(|| "-".to_owned(), duration),
            },
        ))?;
    }
    if let Some(seconds) = plan.seconds {
        let early = definition.prune.is_some() || definition.trial.contains_key("early_stop");
        let most = if early { "at most " } else { "" };
        say(&format!(
            "{most}{} in all, one after another on {} threads, by a few steps of each",
            duration(seconds),
            plan.threads
        ))?;
    }
    plan.detects.print(definition.seeds.len())?;
    plan.slurm.as_ref().map_or(Ok(()), OnCluster::print)
}
