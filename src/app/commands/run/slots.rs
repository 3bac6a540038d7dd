//! Slots of this machine, and the memory that trials need by the engine's plan. On a processor as many trials run at once as
//! train most images per second.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::cli;
use sweep_core::error::{Error, Result};
use sweep_core::note;
use sweep_data::{DatasetSpec, DatasetSummary};
use sweep_experiment::provenance;
use sweep_planning::config::TrialConfig;
use sweep_runner::scheduler::{self, Slot};
use sweep_training::{cost, device};

use super::sweep_state::SweepState;

/// Time to measure the speed of one number of simultaneous trials.
const MEASURE: Duration = Duration::from_millis(300);
/// If a measurement takes longer than this, steps are so long that more simultaneous trials gain little.
const LONGEST_MEASUREMENT: Duration = Duration::from_secs(3);
/// Least gain in speed of more simultaneous trials, which need more memory and end later.
const MIN_GAIN: f64 = 1.05;

/// Sizes of data sets and memory needs of trials, computed once each.
#[derive(Default)]
pub(super) struct Estimates {
    summaries: RefCell<Vec<(DatasetSpec, Option<DatasetSummary>)>>,
    memory: RefCell<BTreeMap<String, [Option<f64>; 2]>>,
}

impl Estimates {
    /// `None` for a data set that cannot be read; its trials report the error.
    fn dataset(&self, dataset: &DatasetSpec) -> Option<DatasetSummary> {
        let mut summaries = self.summaries.borrow_mut();
        if let Some((_, summary)) = summaries.iter().find(|(known, _)| known == dataset) {
            return *summary;
        }
        let summary = dataset.open().ok().map(|opened| opened.summary());
        summaries.push((dataset.clone(), summary));
        summary
    }

    /// Peak memory of a trial's process on a processor, and of its GPU where it runs on one, MiB.
    pub(super) fn memory_mib(&self, config: &TrialConfig) -> [Option<f64>; 2] {
        let TrialConfig { model, input, batch_size, precision, accumulate, dataset, .. } = config;
        let key =
            serde_json::to_string(&(model, input, batch_size, precision, accumulate, config.update().kept(), dataset));
        let Ok(key) = key else { return [None; 2] };
        let compute = || {
            let Some(summary) = self.dataset(dataset) else { return [None; 2] };
            let both = [cost::memory_bytes(config, summary), cost::gpu_memory_bytes(config, summary)];
            both.map(|bytes| Some(bytes.ok()? as f64 / f64::from(1 << 20)))
        };
        *self.memory.borrow_mut().entry(key).or_insert_with(compute)
    }
}

/// The slots on these devices of this machine; prints them if the command line does not determine them.
pub(super) fn local(
    flags: &cli::Run,
    devices: &[(String, Option<usize>)],
    state: &SweepState<'_>,
    estimates: &Estimates,
) -> Result<Vec<Slot>> {
    let cores = provenance::cores();
    let only_cpu = matches!(devices, [(name, None)] if name == "cpu");
    let unfinished = state.trainings();
    let mut reason = "";
    let mut jobs = flags.jobs;
    if let (true, None, None, Some(entry)) =
        (only_cpu && unfinished > 1 && cores > 1, jobs, flags.threads, state.unfinished().next())
    {
        jobs = Some(fastest(&entry.trial.config, cores, unfinished, flags.memory, estimates)?);
        reason = ", which trains most images per second here";
    }
    let per_device: Vec<(String, usize)> =
        devices.iter().map(|(name, slots)| (name.clone(), slots.or(jobs).unwrap_or(1))).collect();
    let at_most = jobs.unwrap_or(usize::MAX).min(unfinished.max(1));
    let slots = scheduler::slots(&per_device, Some(at_most), flags.threads, cores);
    if !flags.quiet && (slots.len() > 1 || !reason.is_empty()) {
        let each: Vec<String> = slots.iter().map(|slot| format!("{} × {}", slot.device, slot.threads)).collect();
        let at_once = if slots.len() == 1 { "1 trial".to_owned() } else { format!("{} trials", slots.len()) };
        note!("{at_once} at once (device × threads: {}){reason}", each.join(", "));
    }
    Ok(isolated(slots))
}

/// Restricts every trial's process to its own GPU.
fn isolated(slots: Vec<Slot>) -> Vec<Slot> {
    let (_, memory_mib) = device::gpus();
    let visible = provenance::visible_gpus();
    let on_device = |device: &str| slots.iter().filter(|slot| slot.device == device).count();
    let shares: Vec<usize> = slots.iter().map(|slot| on_device(&slot.device)).collect();
    slots.into_iter().zip(shares).map(|(slot, share)| slot.isolated(visible.as_deref(), &memory_mib, share)).collect()
}

/// Measures how many simultaneous trials, which share the cores, train most images per second.
fn fastest(
    config: &TrialConfig,
    cores: usize,
    unfinished: usize,
    memory: Option<f64>,
    estimates: &Estimates,
) -> Result<usize> {
    let landmarks = estimates.dataset(&config.dataset).map_or(1, |summary| summary.landmarks);
    let available = memory.or_else(provenance::available_memory_mib).unwrap_or(f64::INFINITY);
    let each = estimates.memory_mib(config)[0].unwrap_or(0.0);
    let powers_of_two = std::iter::successors(Some(2), |jobs| Some(jobs * 2)).take_while(|jobs| *jobs < cores);
    let fits = |jobs: &usize| *jobs <= unfinished && *jobs as f64 * each <= available;
    let mut best = (1, 0.0);
    for jobs in [1].into_iter().chain(powers_of_two).chain([cores]).filter(|jobs| *jobs == 1 || fits(jobs)) {
        let began = Instant::now();
        let rate = cost::rate(config, landmarks, (cores / jobs).max(1), jobs, MEASURE);
        let rate = rate.map_err(|e: Error| e.at("calibration"))?.training;
        if rate > best.1 * if jobs == 1 { 1.0 } else { MIN_GAIN } {
            best = (jobs, rate);
        }
        if began.elapsed() > LONGEST_MEASUREMENT {
            break;
        }
    }
    Ok(best.0)
}
