//! `sweep plan --executor slurm`: the jobs that would be submitted, and their cost.

use serde::Serialize;

use super::super::run::cluster;
use super::super::say;
use super::Line;
use crate::cli;
use crate::format::duration;
use sweep_core::error::Result;
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::store::Store;
use sweep_runner::scheduler::slurm;

/// The jobs that would be submitted, and their cost.
#[derive(Serialize)]
pub(super) struct OnCluster {
    /// Number of job arrays that the trials are split into.
    arrays: usize,
    /// Script of the first array.
    script: String,
    /// Processors and GPUs of a trial.
    cpus: usize,
    gpus: usize,
    core_hours: Option<f64>,
    gpu_hours: Option<f64>,
    /// Limits that the trials exceed.
    warnings: Vec<String>,
}

impl OnCluster {
    pub(super) fn of(
        flags: &cli::Plan,
        definition: &SweepDefinition,
        lines: &[Line<'_>],
        seconds: Option<f64>,
    ) -> Result<Self> {
        let spec = &definition.slurm;
        let store = Store::new(&flags.results, &definition.name);
        let arrays = slurm::preview(spec, &cluster::jobs(definition, &store, None)?, &store, lines.len())?;
        let cpus = flags.threads.map(std::num::NonZero::get).or(spec.cpus).unwrap_or(1);
        let hours = seconds.map(|seconds| seconds / 3600.0);
        let mut warnings = Vec::new();
        let longest = lines.iter().filter_map(|line| line.seconds).reduce(f64::max).map(|seconds| seconds / 3600.0);
        if let Some((longest, limit)) = longest.zip(spec.hours()).filter(|(longest, limit)| longest > limit) {
            let times = (longest / limit).floor();
            warnings.push(format!(
                "the longest trial takes about {} and its job has {}: it will save and be queued again about {times:.0} times",
                duration(3600.0 * longest),
                duration(3600.0 * limit)
            ));
        }
        let largest = lines.iter().filter_map(|line| line.memory_mib).reduce(f64::max);
        let allowed = spec.option("mem").and_then(mebibytes);
        if let Some((need, allowed)) = largest.zip(allowed).filter(|(need, allowed)| spec.gpus == 0 && need > allowed) {
            warnings.push(format!(
                "the largest trial takes about {need:.0} MiB and its job may take {allowed:.0}: raise memory"
            ));
        }
        Ok(Self {
            arrays: arrays.1,
            script: arrays.0,
            cpus,
            gpus: spec.gpus,
            core_hours: hours.map(|hours| hours * cpus as f64),
            gpu_hours: hours.filter(|_| spec.gpus > 0).map(|hours| hours * spec.gpus as f64),
            warnings,
        })
    }

    pub(super) fn print(&self) -> Result<()> {
        say("")?;
        say(&match self.arrays {
            1 => "One array would be submitted, with this script:".to_owned(),
            arrays => format!("{arrays} arrays would be submitted, the first with this script:"),
        })?;
        say("")?;
        say(self.script.trim_end())?;
        say("")?;
        if let Some(hours) = self.core_hours {
            let gpus = self.gpu_hours.map_or_else(String::new, |hours| format!(", {hours:.2} GPU-hours"));
            say(&format!(
                "{hours:.2} core-hours{gpus}, with {} cores and {} GPUs a trial, by the time that a few steps take on this \
                 machine's processor",
                self.cpus, self.gpus
            ))?;
        }
        self.warnings.iter().try_for_each(|warning| say(warning))
    }
}

/// Slurm's notation, `16G` or `500`, in MiB.
fn mebibytes(memory: &str) -> Option<f64> {
    let digits = memory.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match memory[digits.len()..].chars().next().map(|c| c.to_ascii_uppercase()) {
        Some('K') => 1.0 / 1024.0,
        None | Some('M') => 1.0,
        Some('G') => 1024.0,
        Some('T') => 1_048_576.0,
        Some(_) => return None,
    };
    // 0 requests all memory of the node.
    digits.parse::<f64>().ok().map(|number| number * unit).filter(|memory| *memory > 0.0)
}
