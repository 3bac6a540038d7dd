//! Trials as tasks of Slurm's arrays. No daemon of ours: what was submitted stands in the sweep's folder (`Ledger`), and any
//! runner that comes later finds the jobs again by it.
//!
//! Slurm is asked with one question for all jobs, less often the less happens; what it answers is a hint, and what a trial
//! left in its folder is the truth (`settle`).

mod controller;
mod judge;
mod ledger;
mod settle;
mod submit;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Executor, Exit, News, Start, Stop, TrialEvent};
use sweep_core::error::{Error, Result};
use sweep_experiment::records::TrialStatus;
use sweep_experiment::slurm::SlurmSpec;
use sweep_experiment::slurm::answers::{Job, JobState};
use sweep_experiment::slurm::script::{Array, script};
use sweep_experiment::store::Store;

pub use controller::{Cancel, Controller, Programs, Refusal, own_job, requeue};
use ledger::Ledger;
pub use ledger::Submission;

/// Slurm's own default for the most tasks of an array.
const LARGEST_ARRAY: usize = 1001;
/// So many times as long between two questions while nothing happens.
const QUIET: u32 = 4;
/// The most between two questions while the controller is away.
const AWAY: Duration = Duration::from_secs(300);
/// So many nodes failing one after another, with no trial done in between, are not the nodes' fault.
const MANY_NODES: usize = 3;

/// How trials are started by the jobs.
#[derive(Debug, Clone)]
pub struct Jobs {
    /// Name of all jobs of the sweep.
    pub name: String,
    /// What tells this runner's submissions from all others.
    pub token: String,
    /// Folder that jobs run in.
    pub from: PathBuf,
    /// The program.
    pub program: PathBuf,
    /// Device, as `--device` takes it.
    pub device: String,
    /// Threads of a trial, if said.
    pub threads: Option<usize>,
}

impl Jobs {
    /// What the jobs of a submission carry, and no other's do.
    fn comment(&self, place: usize) -> String {
        format!("sweep:{}:{place}", self.token)
    }

    /// The script of an array.
    fn script(&self, spec: &SlurmSpec, array: Array<'_>, ledger: &Ledger, place: usize, folder: &Path) -> String {
        let (manifest, logs) = (ledger.file(place, "txt"), ledger.logs());
        let array = Array {
            name: &self.name,
            manifest: &manifest,
            folder,
            logs: &logs,
            from: &self.from,
            program: &self.program,
            device: &self.device,
            threads: self.threads,
            ..array
        };
        script(spec, &array)
    }
}

/// The most tasks of an array, by what is asked for and what the cluster allows, if it says so.
fn largest(spec: &SlurmSpec, allowed: Option<usize>) -> usize {
    let allowed = allowed.unwrap_or(LARGEST_ARRAY);
    spec.array.map_or(allowed, |most| most.min(allowed)).max(1)
}

/// The script that would be submitted first for so many trials, and how many arrays there would be. Writes nothing.
///
/// # Errors
/// When what was submitted before cannot be read, or the folder's path not be found.
pub fn preview(spec: &SlurmSpec, jobs: &Jobs, store: &Store, trials: usize) -> Result<(String, usize)> {
    let root = std::path::absolute(store.root()).map_err(|e| Error::results(e.to_string()))?;
    let ledger = Ledger::open(&Store::at(&root).slurm())?;
    let largest = largest(spec, controller::largest_array());
    let arrays = trials.div_ceil(largest).max(1);
    let place = ledger.submissions.len();
    let array = Array {
        comment: &jobs.comment(place),
        trials: trials.min(largest),
        at_once: spec.max_concurrent.map(|most| most.div_ceil(arrays)),
        ..Array::default()
    };
    Ok((jobs.script(spec, array, &ledger, place, &root.join("trials")), arrays))
}

/// Submits arrays of `sweep trial` and watches them.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own")]
pub struct Slurm<C> {
    spec: SlurmSpec,
    jobs: Jobs,
    store: Store,
    controller: C,
    ledger: Ledger,
    /// Tasks that earlier runners submitted and that are not over, with their trials.
    under_way: BTreeMap<String, Job>,
    /// Whether Slurm has said what is under way: until then nothing is submitted.
    known: bool,
    tasks: BTreeMap<String, Task>,
    /// Trials by their tasks.
    trials: BTreeMap<(u64, u32), String>,
    /// Trials that wait to be submitted.
    queued: Vec<String>,
    /// Submissions of which it is not known whether Slurm has them, and since when.
    unsure: BTreeMap<usize, Duration>,
    /// Trials whose jobs are over and that are not settled.
    over: BTreeSet<String>,
    cancels: Vec<(String, Cancel)>,
    largest: usize,
    /// Slurm takes no more until some have ended.
    full: bool,
    next: Duration,
    pause: Duration,
    away: bool,
    accounts: bool,
    /// Reasons of waiting jobs that were told.
    told: BTreeSet<String>,
    avoided: Vec<String>,
    /// Trials in a row that did not begin on a node.
    lost: BTreeMap<String, BTreeSet<String>>,
    /// Nodes avoided since a trial was last done.
    in_a_row: usize,
    news: Vec<News>,
    events: Vec<TrialEvent>,
    /// How often Slurm's controller was asked for all jobs.
    pub polls: u64,
}

#[derive(Debug)]
struct Task {
    job: Option<(u64, u32)>,
    state: Option<JobState>,
    node: String,
    reason: String,
    /// Attempts before this job.
    attempts: u32,
    /// When its job was first seen to be over.
    ended: Duration,
    /// Whether Slurm has forgotten its job.
    forgotten: bool,
    asked: bool,
    /// How often it was submitted again, and how often in a row without a step since.
    again: u32,
    vain: u32,
    step: u64,
}

impl<C: Controller> Slurm<C> {
    /// Finds out what is under way already.
    ///
    /// # Errors
    /// When what earlier runners submitted cannot be read.
    pub fn open(spec: SlurmSpec, jobs: Jobs, store: Store, mut controller: C) -> Result<Self> {
        let ledger = Ledger::open(&store.slurm())?;
        let largest = largest(&spec, controller.largest_array());
        let pause = Duration::from_secs(spec.poll_seconds);
        let mut slurm = Self {
            largest,
            known: ledger.submissions.iter().all(|submission| submission.void),
            spec,
            jobs,
            store,
            controller,
            ledger,
            under_way: BTreeMap::new(),
            tasks: BTreeMap::new(),
            trials: BTreeMap::new(),
            queued: Vec::new(),
            unsure: BTreeMap::new(),
            over: BTreeSet::new(),
            cancels: Vec::new(),
            full: false,
            next: Duration::ZERO,
            pause,
            away: false,
            accounts: true,
            told: BTreeSet::new(),
            avoided: Vec::new(),
            lost: BTreeMap::new(),
            in_a_row: 0,
            news: Vec::new(),
            events: Vec::new(),
            polls: 0,
        };
        if !slurm.known {
            slurm.ask()?;
        }
        Ok(slurm)
    }

    /// Trials with a job that is not over, as far as Slurm has said.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Whoever has the jobs, when this runner goes.
    #[must_use]
    pub fn into_controller(self) -> C {
        self.controller
    }

    /// Numbers of the arrays that tasks still run in or wait for.
    #[must_use]
    pub fn arrays(&self) -> Vec<u64> {
        let live = self.tasks.values().filter_map(|task| Some(task.job?.0));
        live.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn attempts(&self, trial: &str) -> (u32, u64) {
        let status = self.store.trial(trial).status().unwrap_or_else(|_| TrialStatus::pending(trial));
        (status.attempts, status.live.step)
    }

    /// Takes over a task that is under way.
    fn adopt(&mut self, trial: &str, job: &Job) {
        let (attempts, step) = self.attempts(trial);
        // A running attempt has counted itself already.
        let begun = u32::from(job.state == JobState::Running).min(attempts);
        self.trials.insert((job.array, job.task), trial.to_owned());
        let task = Task::new(Some((job.array, job.task)), attempts - begun, step);
        self.tasks.insert(trial.to_owned(), Task { state: Some(job.state), node: job.node.clone(), ..task });
    }

    fn progress(&mut self, line: String) {
        self.news.push(News::Progress(line));
    }

    fn trouble(&mut self, line: String) {
        self.news.push(News::Trouble(line));
    }

    fn is_away(&mut self, why: &str) {
        if !self.away {
            self.away = true;
            self.pause = Duration::from_secs(self.spec.poll_seconds);
            self.trouble(format!("Slurm's controller does not answer ({why}): trials go on, it is asked again"));
        }
        self.next = self.controller.now() + self.pause;
        self.pause = (self.pause * 2).min(AWAY);
    }

    fn cancel_all(&mut self, trials: Vec<String>) {
        for trial in trials {
            // It cannot fail: what is asked is passed on later.
            let _ = self.cancel(&trial, Stop::AtOnce);
        }
    }

    /// Passes on what is to be stopped.
    fn stop(&mut self) {
        for how in [Cancel::Gently, Cancel::AtOnce] {
            let jobs: Vec<String> =
                self.cancels.iter().filter(|(_, asked)| *asked == how).map(|(job, _)| job.clone()).collect();
            if jobs.is_empty() {
                continue;
            }
            match self.controller.cancel(&jobs, how) {
                Ok(()) => self.cancels.retain(|(_, asked)| *asked != how),
                Err(Refusal::Away(why)) => self.is_away(&why),
                Err(Refusal::Refused(why)) => {
                    self.trouble(format!("Slurm does not stop {}: {why}", jobs.join(" ")));
                    self.cancels.retain(|(_, asked)| *asked != how);
                }
            }
            // What was asked shows soon.
            self.next = self.next.min(self.controller.now() + Duration::from_secs(self.spec.poll_seconds.min(2)));
        }
    }
}

impl Task {
    fn new(job: Option<(u64, u32)>, attempts: u32, step: u64) -> Self {
        Self {
            job,
            state: None,
            node: String::new(),
            reason: String::new(),
            attempts,
            ended: Duration::ZERO,
            forgotten: false,
            asked: false,
            again: 0,
            vain: 0,
            step,
        }
    }
}

impl<C: Controller> Executor for Slurm<C> {
    fn start(&mut self, start: &Start) -> Result<()> {
        if let Some(job) = self.under_way.get(&start.trial).cloned() {
            self.adopt(&start.trial, &job);
            return Ok(());
        }
        let (attempts, step) = self.attempts(&start.trial);
        self.tasks.insert(start.trial.clone(), Task::new(None, attempts, step));
        self.queued.push(start.trial.clone());
        // What fills an array need not wait for the others to be made ready.
        if self.queued.len() >= self.largest && self.spec.max_concurrent.is_none() { self.submit() } else { Ok(()) }
    }

    fn poll(&mut self, wait: Duration) -> Result<Vec<TrialEvent>> {
        if !self.cancels.is_empty() && (!self.away || self.controller.now() >= self.next) {
            self.stop();
        }
        if !self.away {
            self.submit()?;
        }
        if self.controller.now() >= self.next && !self.tasks.is_empty() {
            self.ask()?;
            self.judge();
        }
        if self.events.is_empty() {
            let next = self.next.saturating_sub(self.controller.now());
            self.controller.wait(if self.tasks.is_empty() { wait } else { wait.min(next) });
        }
        Ok(std::mem::take(&mut self.events))
    }

    fn cancel(&mut self, trial: &str, stop: Stop) -> Result<()> {
        let Some(task) = self.tasks.get_mut(trial) else { return Ok(()) };
        task.asked = true;
        let (running, job) = (task.state == Some(JobState::Running), task.job);
        let Some((array, index)) = job else {
            if let Some(place) = self.queued.iter().position(|queued| queued == trial) {
                self.queued.remove(place);
                self.end(trial, Exit::Code(143));
            }
            return Ok(());
        };
        let how = if running && stop == Stop::Gently { Cancel::Gently } else { Cancel::AtOnce };
        self.cancels.push((format!("{array}_{index}"), how));
        Ok(())
    }

    fn memory_mib(&self, _trial: Option<&str>) -> Option<f64> {
        None
    }

    fn is_running(&self, trial: &str) -> bool {
        self.tasks.get(trial).is_some_and(|task| task.state == Some(JobState::Running))
    }

    fn is_under_way(&self, trial: &str) -> bool {
        !self.known || self.under_way.contains_key(trial)
    }

    fn outlives(&self) -> bool {
        true
    }

    fn is_handed_over(&self) -> bool {
        self.known && self.queued.is_empty() && self.unsure.is_empty() && self.cancels.is_empty()
    }

    fn avoid(&mut self, node: &str) {
        self.avoided.push(node.to_owned());
        self.in_a_row += 1;
        if self.in_a_row >= MANY_NODES {
            self.trouble(format!(
                "{MANY_NODES} nodes failed one after another, and no trial was done in between: what waits is cancelled"
            ));
            let waiting = self.tasks.iter().filter(|(_, task)| task.state != Some(JobState::Running));
            let waiting: Vec<String> = waiting.map(|(trial, _)| trial.clone()).collect();
            self.cancel_all(waiting);
            return;
        }
        for array in self.arrays() {
            // What is over cannot start there.
            if let Err(Refusal::Away(why) | Refusal::Refused(why)) = self.controller.exclude(array, &self.avoided)
                && !why.contains("already finished")
            {
                self.trouble(format!("job {array} may still start on {node}: {why}"));
            }
        }
    }

    fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }
}

/// Jobs of a sweep's trials that are not over, by trial, for whoever does not run it; none were ever submitted: no question
/// is asked. `None` where Slurm cannot be asked.
///
/// # Errors
/// When what was submitted cannot be read.
pub fn under_way(store: &Store) -> Result<Option<BTreeMap<String, Job>>> {
    let ledger = Ledger::open(&store.slurm())?;
    let Some(first) = ledger.submissions.iter().find(|submission| !submission.void) else {
        return Ok(Some(BTreeMap::new()));
    };
    let Ok(jobs) = controller::jobs(&first.name) else { return Ok(None) };
    let trial = |job: Job| Some((ledger.trial_of(&job)?.to_owned(), job));
    Ok(Some(jobs.into_iter().filter(|job| !job.state.is_over()).filter_map(trial).collect()))
}
