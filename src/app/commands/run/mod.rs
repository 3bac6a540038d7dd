//! `sweep run`: plans, has every trial that is not done trained in a process of its own, and keeps summary and report
//! up to date.

pub(super) mod cluster;
mod controller;
mod slots;
mod sweep_state;

use std::time::{Duration, Instant};

use crate::cli;
use crate::sweep;
use sweep_core::error::{Error, Kind, Outcome, Result};
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::provenance;
use sweep_experiment::store::Store;
use sweep_runner::scheduler::{
    Action, Dispatcher, Ending, Executor, Limits, Local, Queue, RetryPolicy, Slot, Task, expand,
};
use sweep_runner::trackers::{Trackers, Tracking};
use sweep_training::device::{self, Choice};

use super::signals::Wishes;
use super::{definition, results};
use controller::Controller;
use slots::{Estimates, slots};
use sweep_state::SweepState;

/// A trial that was asked to stop finishes its step and saves: a step of a large network takes a while.
const GRACE: Duration = Duration::from_secs(30);
/// On a cluster what is asked takes its time.
const CLUSTER_GRACE: Duration = Duration::from_secs(300);
/// Between two looks at what trials write here, and on a file system that many machines share.
const LOOK: Duration = Duration::from_millis(200);
const CLUSTER_LOOK: Duration = Duration::from_secs(10);

pub(super) fn run(flags: &cli::Run) -> Result<Outcome> {
    let mut definition = definition(&flags.changes)?;
    let on_cluster = cluster::check(flags, &mut definition)?;
    let store = Store::new(&flags.results, &definition.name);
    let trackers = Trackers::new(&flags.track, &store)?;
    let wish = RetryPolicy { resume_only: flags.resume_only, retry_failed: flags.retry_failed, rerun: flags.rerun };
    let mut book = SweepState::open(&definition, &store, wish)?;
    let devices = if on_cluster { Vec::new() } else { devices(flags)? };
    if devices.iter().any(|(name, _)| name != "cpu") || (on_cluster && cluster::device(flags, &definition)? != "cpu") {
        book.entries.iter().try_for_each(|entry| entry.trial.config.check_for_gpu())?;
    }
    let to_do = book.entries.iter().filter(|entry| entry.action != Action::Leave).count();
    // Said before anything is written: a missing data set must not leave an empty sweep behind. Where nothing is left
    // to train, no data is needed.
    if let Some(missing) = book.missing().filter(|_| to_do > 0) {
        return Err(missing);
    }

    let (wishes, woken) = Wishes::watch()?;
    let lock = store.lock(&provenance::host())?;
    // What was asked of another runner is not asked of this one.
    store.control().clear()?;
    // Until now another runner may have held it.
    book.look_again()?;
    if let Some(dead) = &lock.dead_holder {
        eprintln!("{dead} ran this sweep and ended without a word: taking over");
    }
    let estimates = Estimates::default();
    let first = book.entries.iter().find(|entry| entry.action != Action::Leave).map(|entry| &entry.trial.config);
    let mut executor: Box<dyn Executor> = if on_cluster {
        Box::new(cluster::open(flags, &definition, &store, woken)?)
    } else {
        cluster::refuse_twice(&store, &definition)?;
        Box::new(Local::new(woken, flags.memory)?)
    };
    let places = if on_cluster {
        cluster::slots(flags, &definition, &book)
    } else {
        say_what_is_missing(flags, &devices, &book);
        isolated(slots(flags, &devices, to_do, first, &estimates)?)
    };
    let write_plan = |book: &SweepState<'_>| write_definition(&store, &definition, book, &places);
    write_plan(&book)?;
    for entry in book.entries.iter().filter(|entry| entry.action != Action::StartAnew) {
        let folder = store.trial(&entry.trial.id);
        if folder.file("trial.toml").is_file() {
            folder.begin(entry.trial.file()?)?;
        }
    }

    let limit = if flags.fail_fast { Some(1) } else { flags.max_fail };
    let task = |book: &SweepState<'_>, place: usize| {
        let trial = &book.entries[place].trial;
        Task { trial: trial.id.clone(), memory_mib: estimates.memory_mib(&trial.config) }
    };
    let mut queue = Queue::new(places.clone(), limit);
    for (place, entry) in book.entries.iter().enumerate() {
        match entry.action {
            Action::Leave if entry.state.is_failure() => queue.count_failure(),
            Action::Leave => {}
            Action::Continue | Action::StartAnew => queue.push(task(&book, place)),
        }
    }
    let mut conductor =
        Controller::new(&store, cluster::job_name(&definition), book, &wishes, flags.quiet, &write_plan, &task);
    conductor.tracking = (!flags.track.is_empty()).then(|| Tracking::start(trackers, &store));
    let begun = Instant::now();
    let mut drive = Dispatcher {
        store: &store,
        queue,
        executor: executor.as_mut(),
        watcher: &mut conductor,
        limits: Limits {
            trial: flags.trial_timeout,
            sweep: flags.timeout,
            stall: flags.stall_timeout,
            grace: if on_cluster { CLUSTER_GRACE } else { GRACE },
            look: if on_cluster { CLUSTER_LOOK } else { LOOK },
        },
        detach: flags.detach,
        clock: &|| begun.elapsed(),
    };
    wishes.heed(true);
    let ended = drive.run();
    wishes.heed(false);
    let queue = drive.queue;
    let tracking = conductor.tracking.take();
    let outcome = match ended {
        Ok(Ending::Left) => {
            sweep::write_summary(&store)?;
            Ok(cluster::left(flags, &store, &conductor))
        }
        Ok(ending) => finish(flags, &ending, &queue, &conductor),
        Err(error) => {
            // What can be summed up is; the first error is the one to tell.
            let _ = sweep::write_summary(&store);
            Err(error)
        }
    };
    for line in tracking.into_iter().flat_map(Tracking::finish) {
        eprintln!("{line}");
    }
    outcome
}

/// What is left to say when nothing runs any more.
fn finish(flags: &cli::Run, ending: &Ending, queue: &Queue, conductor: &Controller<'_>) -> Result<Outcome> {
    let store = conductor.store;
    if *ending != Ending::Over {
        sweep::write_summary(store)?;
        let why = if *ending == Ending::TimedOut { "the sweep's time is over" } else { "interrupted" };
        eprintln!("{why}; what was done is saved. Run the same command again to go on.");
        return Ok(Outcome::Interrupted(conductor.wishes.signal()));
    }
    let failures = queue.failures();
    if queue.is_failed() {
        eprintln!("stopped: {failures} failed or diverged, as many as --fail-fast or --max-fail allows");
    }
    let sweep = results::refresh(store)?;
    if !flags.quiet {
        results::print(&sweep)?;
        if let Some(words) = conductor.book.audit().and_then(|audit| audit.words()) {
            eprintln!("{words}");
        }
        eprintln!("report: {}", store.report().join("report.md").display());
    }
    if queue.waiting() > 0 {
        eprintln!("{} trials were not started", queue.waiting());
    }
    if failures > 0 {
        eprintln!("{failures} of {} trials failed or diverged; --retry-failed trains them again", sweep.planned);
        return Ok(Outcome::Failed);
    }
    let interrupted = conductor.book.interrupted();
    if interrupted > 0 {
        eprintln!("{interrupted} trials were interrupted. Run the same command again to go on.");
        return Ok(Outcome::Interrupted(signal_hook::consts::SIGTERM));
    }
    Ok(Outcome::Done)
}

/// The devices asked for, each of which is there, and their slots.
fn devices(flags: &cli::Run) -> Result<Vec<(String, Option<usize>)>> {
    let mut devices: Vec<(String, Option<usize>)> = Vec::new();
    let (usable, _) = device::gpus();
    for request in &flags.devices {
        let wrong = |what: String| Error::new(Kind::Device, what).at(format!("--device {}", request.device));
        for meant in expand(&request.device, &usable) {
            let choice: Choice = meant.parse().map_err(wrong)?;
            // Asked for by name from here on, so that whatever becomes of a GPU, no trial trains elsewhere in silence.
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

/// Has every trial's process see its own GPU alone.
fn isolated(places: Vec<Slot>) -> Vec<Slot> {
    let (_, memory_mib) = device::gpus();
    let visible = provenance::visible_gpus();
    let slots = |device: &str| places.iter().filter(|place| place.device == device).count();
    let slots: Vec<usize> = places.iter().map(|place| slots(&place.device)).collect();
    places.into_iter().zip(slots).map(|(place, slots)| place.isolated(visible.as_deref(), &memory_mib, slots)).collect()
}

/// Says why no GPU trains where one could have, and where convolutions are less quick than a definition allows.
fn say_what_is_missing(flags: &cli::Run, devices: &[(String, Option<usize>)], book: &SweepState<'_>) {
    let on_cpu = devices.iter().any(|(name, _)| name == "cpu");
    if flags.quiet || !on_cpu {
        return;
    }
    let is_auto = flags.devices.iter().any(|request| request.device == "auto");
    if let Some(why) = device::why_no_gpu().filter(|_| is_auto && sweep_graph::gpu::devices::is_built_in()) {
        eprintln!("no GPU is used: {why}");
    }
    let mut precisions = book.entries.iter().map(|entry| entry.trial.config.precision);
    if let Some(precision) = precisions.find(|precision| !device::is_quick_on_cpu(*precision)) {
        eprintln!("precision {}: cpu has no unit for it; convolutions run in fp32", precision.name());
    }
}

/// `sweep.toml`: the definition as run, with its provenance.
fn write_definition(store: &Store, definition: &SweepDefinition, book: &SweepState<'_>, places: &[Slot]) -> Result<()> {
    let mut names: Vec<&str> = places.iter().map(|place| place.device.as_str()).collect();
    names.dedup();
    let threads = places.iter().map(|place| place.threads).max().unwrap_or(1);
    let trials: Vec<&str> = book.entries.iter().map(|entry| entry.trial.id.as_str()).collect();
    sweep::write_definition(store, definition, &trials, &names.join(", "), threads)
}
