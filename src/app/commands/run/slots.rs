//! What trials take and where they run: memory by the engine's plan, and on a processor as many at once as train most
//! images per second.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::cli;
use sweep_core::error::{Error, Result};
use sweep_data::{DatasetSpec, DatasetSummary};
use sweep_experiment::provenance;
use sweep_planning::config::TrialConfig;
use sweep_runner::scheduler::{self, Slot};
use sweep_training::cost;

/// For one look at how fast some trials at once are.
const LOOK: Duration = Duration::from_millis(300);
/// Where one look takes longer than this, a step is so long that more trials at once gain little.
const LONGEST: Duration = Duration::from_secs(3);
/// What more trials at once must gain: they need more memory, and end later.
const GAIN: f64 = 1.05;

/// What is known of data sets and networks, worked out once each.
#[derive(Default)]
pub(super) struct Estimates {
    outlines: RefCell<Vec<(DatasetSpec, Option<DatasetSummary>)>>,
    memory: RefCell<BTreeMap<String, Option<f64>>>,
}

impl Estimates {
    /// `None` for a data set that cannot be read: its trials say so.
    fn outline(&self, dataset: &DatasetSpec) -> Option<DatasetSummary> {
        let mut outlines = self.outlines.borrow_mut();
        if let Some((_, outline)) = outlines.iter().find(|(known, _)| known == dataset) {
            return *outline;
        }
        let outline = dataset.open().ok().map(|opened| opened.summary());
        outlines.push((dataset.clone(), outline));
        outline
    }

    /// Peak memory of a trial's process on a processor.
    pub(super) fn memory_mib(&self, config: &TrialConfig) -> Option<f64> {
        let TrialConfig { model, input, batch_size, precision, accumulate, dataset, .. } = config;
        let key =
            serde_json::to_string(&(model, input, batch_size, precision, accumulate, config.update().kept(), dataset))
                .ok()?;
        let work_out = || {
            let bytes = cost::memory_bytes(config, self.outline(dataset)?).ok()?;
            Some(bytes as f64 / f64::from(1 << 20))
        };
        *self.memory.borrow_mut().entry(key).or_insert_with(work_out)
    }
}

/// Where trials run; says so where the command line does not. `first` is a trial that is to be trained.
pub(super) fn slots(
    flags: &cli::Run,
    devices: &[(String, Option<usize>)],
    to_do: usize,
    first: Option<&TrialConfig>,
    estimates: &Estimates,
) -> Result<Vec<Slot>> {
    let cores = provenance::cores();
    let only_cpu = matches!(devices, [(name, None)] if name == "cpu");
    let mut said = "";
    let mut jobs = flags.jobs;
    if let (true, None, None, Some(config)) = (only_cpu && to_do > 1 && cores > 1, jobs, flags.threads, first) {
        jobs = Some(fastest(config, cores, to_do, flags.memory, estimates)?);
        said = ", which trains most images per second here";
    }
    let per_device: Vec<(String, usize)> =
        devices.iter().map(|(name, slots)| (name.clone(), slots.or(jobs).unwrap_or(1))).collect();
    let at_most = jobs.unwrap_or(usize::MAX).min(to_do.max(1));
    let slots = scheduler::slots(&per_device, Some(at_most), flags.threads, cores);
    if !flags.quiet && (slots.len() > 1 || !said.is_empty()) {
        let each: Vec<String> = slots.iter().map(|slot| format!("{} × {}", slot.device, slot.threads)).collect();
        let at_once = if slots.len() == 1 { "1 trial".to_owned() } else { format!("{} trials", slots.len()) };
        eprintln!("{at_once} at once (device × threads: {}){said}", each.join(", "));
    }
    Ok(slots)
}

/// How many trials at once train most images per second, the cores shared out between them: measured.
fn fastest(
    config: &TrialConfig,
    cores: usize,
    to_do: usize,
    memory: Option<f64>,
    estimates: &Estimates,
) -> Result<usize> {
    let landmarks = estimates.outline(&config.dataset).map_or(1, |outline| outline.landmarks);
    let room = memory.or_else(provenance::available_memory_mib).unwrap_or(f64::INFINITY);
    let each = estimates.memory_mib(config).unwrap_or(0.0);
    let halves = std::iter::successors(Some(2), |jobs| Some(jobs * 2)).take_while(|jobs| *jobs < cores);
    let fits = |jobs: &usize| *jobs <= to_do && *jobs as f64 * each <= room;
    let mut best = (1, 0.0);
    for jobs in [1].into_iter().chain(halves).chain([cores]).filter(|jobs| *jobs == 1 || fits(jobs)) {
        let began = Instant::now();
        let rate = cost::rate(config, landmarks, (cores / jobs).max(1), jobs, LOOK);
        let rate = rate.map_err(|e: Error| e.at("calibration"))?.training;
        if rate > best.1 * if jobs == 1 { 1.0 } else { GAIN } {
            best = (jobs, rate);
        }
        if began.elapsed() > LONGEST {
            break;
        }
    }
    Ok(best.0)
}
