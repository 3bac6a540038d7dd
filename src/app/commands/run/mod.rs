//! `sweep run`: plans the sweep, trains every unfinished trial in its own process, and keeps summary and report up to date.

mod ancestors;
mod closing;
pub(super) mod cluster;
mod controller;
mod rerun;
mod sharing;
mod slots;
mod sweep_state;

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::cli;
use crate::sweep;
use sweep_core::error::{Error, Kind, Outcome, Result};
use sweep_core::note;
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::provenance;
use sweep_experiment::store::{Lock, Store};
use sweep_runner::scheduler::{
    Action, Dispatcher, Executor, Limits, Local, Queue, RetryPolicy, Slot, SweepOutcome, expand,
};
use sweep_runner::trackers::{Trackers, Tracking};
use sweep_training::device::{self, Choice};

use super::signals::StopRequests;
use super::{definition, ignore_closed_output};
use controller::Controller;
use slots::Estimates;
use sweep_state::SweepState;

/// Time that a trial has to finish its step and save once it is asked to stop: a step of a large network takes a while.
const GRACE: Duration = Duration::from_secs(30);
/// The same on a cluster, where requests take longer to arrive.
const CLUSTER_GRACE: Duration = Duration::from_secs(300);
/// Time between two reads of the records of running trials.
const POLL: Duration = Duration::from_millis(200);
/// The same on a file system that many machines share.
const CLUSTER_POLL: Duration = Duration::from_secs(10);

pub(super) fn run(flags: &cli::Run) -> Result<Outcome> {
    let (definition, on_cluster) = read_definition(flags)?;
    let store = Store::new(&flags.results, &definition.name);
    let trackers = Trackers::new(&flags.track, &store, !flags.without_images)?;
    let mut state =
        SweepState::open(&definition, &store, retry_policy(flags)).map_err(|error| definition.source.explain(error))?;
    let devices = check_devices(flags, &definition, on_cluster, &state)?;
    state.check_datasets()?;

    let (stop_requests, wakeups) = StopRequests::watch()?;
    let _lock = take_over(&store, &mut state)?;
    let mut executor = open_executor(flags, &definition, &store, on_cluster, wakeups)?;
    let estimates = Estimates::default();
    state.find_ancestors()?;
    // A runner that leaves its trials to a cluster is not there to start those that wait for others.
    state.shares_trainings = !flags.detach;
    state.find_leaders(0)?;
    let slots = assign_slots(flags, &definition, on_cluster, &devices, &state, &estimates)?;
    let others = state.others()?;
    if others > 0 {
        note!(
            "{}: {others} other trials lie here that this definition does not have; they are kept, and report and summary are \
             now of this definition",
            store.root().display()
        );
    }
    state.begin_rerun()?;
    state.write_sweep_file(&slots)?;
    state.update_trial_files()?;

    let queue = fill_queue(flags, &state, &slots, &estimates);
    let tracking = (!flags.track.is_empty()).then(|| Tracking::start(trackers, &store));
    let mut controller = Controller::new(state, slots, &estimates, &stop_requests, tracking, flags.quiet);
    let (ending, queue) = dispatch(flags, on_cluster, queue, executor.as_mut(), &mut controller);
    if matches!(ending, Ok(SweepOutcome::Completed)) && queue.waiting() == 0 {
        controller.state.end_rerun()?;
    }
    let outcome = conclude(flags, ending, &queue, &controller);
    controller.finish_tracking();
    outcome
}

/// The definition with the changes of the command line, and whether its trials run on a cluster.
fn read_definition(flags: &cli::Run) -> Result<(SweepDefinition, bool)> {
    let mut definition = definition(&flags.changes)?;
    let on_cluster = cluster::check(flags, &mut definition)?;
    Ok((definition, on_cluster))
}

fn retry_policy(flags: &cli::Run) -> RetryPolicy {
    RetryPolicy { resume_only: flags.resume_only, retry_failed: flags.retry_failed, rerun: flags.rerun }
}

/// The devices of this machine that trials run on, with the slots requested for each; none on a cluster. Trials that would
/// run on a GPU must be able to.
fn check_devices(
    flags: &cli::Run,
    definition: &SweepDefinition,
    on_cluster: bool,
    state: &SweepState<'_>,
) -> Result<Vec<(String, Option<usize>)>> {
    let devices = if on_cluster { Vec::new() } else { devices(flags)? };
    if devices.iter().any(|(name, _)| name != "cpu") || (on_cluster && cluster::device(flags, definition)? != "cpu") {
        state.entries.iter().try_for_each(|entry| entry.trial.config.check_for_gpu())?;
    }
    Ok(devices)
}

/// Locks the sweep and reads its state again, because another runner may have changed it until now. Requests to an earlier
/// runner are removed.
fn take_over(store: &Store, state: &mut SweepState<'_>) -> Result<Lock> {
    let lock = store.lock(&provenance::host())?;
    store.control().clear()?;
    state.refresh()?;
    if let Some(dead) = &lock.dead_holder {
        note!("{dead} ran this sweep and ended without a word: taking over");
    }
    Ok(lock)
}

/// The executor that starts trials: Slurm, or this machine if no cluster trains the sweep.
fn open_executor(
    flags: &cli::Run,
    definition: &SweepDefinition,
    store: &Store,
    on_cluster: bool,
    wakeups: Receiver<()>,
) -> Result<Box<dyn Executor>> {
    if on_cluster {
        return Ok(Box::new(cluster::open(flags, definition, store, wakeups)?));
    }
    cluster::refuse_twice(store, definition)?;
    Ok(Box::new(Local::new(wakeups, flags.memory)?))
}

/// The slots that trials run in.
fn assign_slots(
    flags: &cli::Run,
    definition: &SweepDefinition,
    on_cluster: bool,
    devices: &[(String, Option<usize>)],
    state: &SweepState<'_>,
    estimates: &Estimates,
) -> Result<Vec<Slot>> {
    if on_cluster {
        return Ok(cluster::slots(flags, definition, state));
    }
    report_unused_hardware(flags, devices, state);
    slots::local(flags, devices, state, estimates)
}

/// The trials to train, in the order of the plan. Failures of earlier runs count towards the limit.
fn fill_queue(flags: &cli::Run, state: &SweepState<'_>, slots: &[Slot], estimates: &Estimates) -> Queue {
    let limit = if flags.fail_fast { Some(1) } else { flags.max_fail };
    let mut queue = Queue::new(slots.to_vec(), limit);
    for (index, entry) in state.entries.iter().enumerate() {
        match entry.action {
            Action::Skip if entry.state.is_failure() => queue.count_failure(),
            Action::Skip => {}
            // It is queued when its leader has ended.
            _ if state.waits(index) => {}
            Action::Continue | Action::StartAnew | Action::Restore => queue.push(state.task(index, estimates)),
        }
    }
    queue
}

/// Runs trials until none is left, or a limit or the user ends the sweep; returns the queue with the trials left.
fn dispatch(
    flags: &cli::Run,
    on_cluster: bool,
    queue: Queue,
    executor: &mut dyn Executor,
    controller: &mut Controller<'_>,
) -> (Result<SweepOutcome>, Queue) {
    let (store, stop_requests) = (controller.store, controller.stop_requests);
    let begun = Instant::now();
    let mut dispatcher = Dispatcher {
        store,
        queue,
        executor,
        callbacks: controller,
        limits: Limits {
            trial: flags.trial_timeout,
            sweep: flags.timeout,
            stall: flags.stall_timeout,
            grace: if on_cluster { CLUSTER_GRACE } else { GRACE },
            poll_interval: if on_cluster { CLUSTER_POLL } else { POLL },
        },
        detach: flags.detach,
        clock: &|| begun.elapsed(),
    };
    stop_requests.handle_gracefully(true);
    let ending = dispatcher.run();
    stop_requests.handle_gracefully(false);
    (ending, dispatcher.queue)
}

/// Writes summary and report, prints how the sweep ended, and decides the exit code.
fn conclude(
    flags: &cli::Run,
    ending: Result<SweepOutcome>,
    queue: &Queue,
    controller: &Controller<'_>,
) -> Result<Outcome> {
    match ending {
        Ok(SweepOutcome::Detached) => {
            sweep::write_summary(controller.store)?;
            Ok(cluster::detach(flags, controller))
        }
        Ok(SweepOutcome::Completed) => report(flags, queue, controller),
        Ok(ending @ (SweepOutcome::TimedOut | SweepOutcome::Stopped)) => {
            sweep::write_summary(controller.store)?;
            let why = if ending == SweepOutcome::TimedOut { "the sweep's time is over" } else { "interrupted" };
            note!("{why}; what was done is saved. Run the same command again to go on.");
            Ok(Outcome::Interrupted(controller.stop_requests.signal()))
        }
        Err(error) => {
            // A second error would hide the first, which is the one to report.
            let _ = sweep::write_summary(controller.store);
            Err(error)
        }
    }
}

/// Writes and prints the report of a sweep of which no trial runs any more.
fn report(flags: &cli::Run, queue: &Queue, controller: &Controller<'_>) -> Result<Outcome> {
    let store = controller.store;
    let failures = queue.failures();
    if queue.is_failed() {
        note!("stopped: {failures} failed or diverged, as many as --fail-fast or --max-fail allows");
    }
    let (sweep, findings, answer) = closing::refresh(store)?;
    if !flags.quiet {
        ignore_closed_output(closing::print(&sweep, &findings, answer.as_ref()))?;
        if let Some(words) = controller.state.audit().and_then(|audit| audit.words()) {
            note!("{words}");
        }
        note!("report: {}", store.report().join("index.html").display());
    }
    if queue.waiting() > 0 {
        note!("{} trials were not started", queue.waiting());
    }
    if failures > 0 {
        note!("{failures} of {} trials failed or diverged; --retry-failed trains them again", sweep.planned);
        return Ok(Outcome::Failed);
    }
    let interrupted = controller.state.interrupted();
    if interrupted > 0 {
        note!("{interrupted} trials were interrupted. Run the same command again to go on.");
        return Ok(Outcome::Interrupted(signal_hook::consts::SIGTERM));
    }
    Ok(Outcome::Done)
}

/// The requested devices, checked to exist, and the slots requested for each.
fn devices(flags: &cli::Run) -> Result<Vec<(String, Option<usize>)>> {
    let mut devices: Vec<(String, Option<usize>)> = Vec::new();
    let (usable, _) = device::gpus();
    for request in &flags.devices {
        let wrong = |what: String| Error::new(Kind::Device, what).at(format!("--device {}", request.device));
        for name in expand(&request.device, &usable) {
            let choice: Choice = name.parse().map_err(wrong)?;
            // Trials get the name of a device, so that none trains elsewhere in silence if a GPU is lost.
            let name = device::check(choice)?;
            if devices.iter().any(|(known, _)| *known == name) {
                let error = wrong(format!("{name} is named twice"));
                return Err(error.remedy("write several slots of a device as cuda:0*2"));
            }
            devices.push((name, request.slots));
        }
    }
    Ok(devices)
}

/// Prints why no GPU is used, and that the processor lacks the precision of a definition.
fn report_unused_hardware(flags: &cli::Run, devices: &[(String, Option<usize>)], state: &SweepState<'_>) {
    let on_cpu = devices.iter().any(|(name, _)| name == "cpu");
    if flags.quiet || !on_cpu {
        return;
    }
    let is_auto = flags.devices.iter().any(|request| request.device == "auto");
    if let Some(why) = device::why_no_gpu().filter(|_| is_auto && sweep_graph::gpu::devices::is_built_in()) {
        note!("no GPU is used: {why}");
    }
    let mut precisions = state.entries.iter().map(|entry| entry.trial.config.precision);
    if let Some(precision) = precisions.find(|precision| !device::is_quick_on_cpu(*precision)) {
        note!("precision {}: cpu has no unit for it; convolutions run in fp32", precision.name());
    }
}
