//! `sweep run`: plans, has every trial that is not done trained in a process of its own, and keeps summary and report
//! up to date.

mod book;
mod conductor;
mod seats;

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli;
use crate::definition::SweepDefinition;
use crate::device::{self, Choice};
use crate::error::{Error, Kind, Outcome, Result};
use crate::provenance::{self, Provenance};
use crate::schedule::{Action, Drive, Ending, Limits, Local, Place, Queue, Task, Wish};
use crate::store::{self, Store};

use super::signals::Wishes;
use super::{definition, results};
use book::Book;
use conductor::Conductor;
use seats::{Estimates, seats};

/// A trial that was asked to stop finishes its step and saves: a step of a large network takes a while.
const GRACE: Duration = Duration::from_secs(30);

pub(super) fn run(flags: &cli::Run) -> Result<Outcome> {
    let definition = definition(&flags.changes)?;
    let store = Store::new(&flags.results, &definition.name);
    let wish = Wish { resume_only: flags.resume_only, retry_failed: flags.retry_failed, rerun: flags.rerun };
    let mut book = Book::open(&definition, &store, wish)?;
    let devices = devices(flags)?;
    let to_do = book.entries.iter().filter(|entry| entry.action != Action::Leave).count();
    // Said before anything is written: a missing data set must not leave an empty sweep behind. Where nothing is left
    // to train, no data is needed.
    if let Some(missing) = book.missing().filter(|_| to_do > 0) {
        return Err(missing);
    }

    let (wishes, woken) = Wishes::watch()?;
    let lock = store.lock(&provenance::host())?;
    // Until now another runner may have held it.
    book.look_again()?;
    if let Some(dead) = &lock.dead {
        eprintln!("{dead} ran this sweep and ended without a word: taking over");
    }
    let estimates = Estimates::default();
    let first = book.entries.iter().find(|entry| entry.action != Action::Leave).map(|entry| &entry.trial.config);
    say_what_is_missing(flags, &devices, &book);
    let places = seats(flags, &devices, to_do, first, &estimates)?;
    let write_plan = |book: &Book<'_>| write_definition(&store, &definition, book, &places);
    write_plan(&book)?;
    for entry in book.entries.iter().filter(|entry| entry.action != Action::StartAnew) {
        let folder = store.trial(&entry.trial.id);
        if folder.file("trial.toml").is_file() {
            folder.begin(&entry.trial)?;
        }
    }

    let limit = if flags.fail_fast { Some(1) } else { flags.max_fail };
    let task = |book: &Book<'_>, place: usize| {
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
    let mut local = Local::new(woken, flags.memory)?;
    let mut conductor = Conductor::new(&store, book, &wishes, flags.quiet, &write_plan, &task);
    let begun = Instant::now();
    let mut drive = Drive {
        store: &store,
        queue,
        executor: &mut local,
        watcher: &mut conductor,
        limits: Limits { trial: flags.trial_timeout, sweep: flags.timeout, stall: flags.stall_timeout, grace: GRACE },
        clock: &|| begun.elapsed(),
    };
    wishes.heed(true);
    let ended = drive.run();
    wishes.heed(false);
    let queue = drive.queue;
    match ended {
        Ok(ending) => finish(flags, &ending, &queue, &conductor),
        Err(error) => {
            // What can be summed up is; the first error is the one to tell.
            let _ = results::refresh_summary(&store);
            Err(error)
        }
    }
}

/// What is left to say when nothing runs any more.
fn finish(flags: &cli::Run, ending: &Ending, queue: &Queue, conductor: &Conductor<'_>) -> Result<Outcome> {
    let store = conductor.store;
    if *ending != Ending::Over {
        results::refresh_summary(store)?;
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
    if conductor.interrupted > 0 {
        eprintln!("{} trials were interrupted. Run the same command again to go on.", conductor.interrupted);
        return Ok(Outcome::Interrupted(signal_hook::consts::SIGTERM));
    }
    Ok(Outcome::Done)
}

/// The devices asked for, each of which is there, and their slots.
fn devices(flags: &cli::Run) -> Result<Vec<(String, Option<usize>)>> {
    let mut devices: Vec<(String, Option<usize>)> = Vec::new();
    for request in &flags.devices {
        let wrong = |what: String| Error::new(Kind::Device, what).at(format!("--device {}", request.device));
        let choice: Choice = request.device.parse().map_err(wrong)?;
        // Asked for by name from here on, so that whatever becomes of a GPU, no trial trains elsewhere in silence.
        let name = device::check(choice)?;
        if devices.iter().any(|(known, _)| *known == name) {
            return Err(wrong(format!("{name} is named twice")).remedy("write several slots of a device as cuda:0*2"));
        }
        devices.push((name, request.slots));
    }
    Ok(devices)
}

/// Says why no GPU trains where one could have, and where convolutions are less quick than a definition allows.
fn say_what_is_missing(flags: &cli::Run, devices: &[(String, Option<usize>)], book: &Book<'_>) {
    let on_cpu = devices.iter().any(|(name, _)| name == "cpu");
    if flags.quiet || !on_cpu {
        return;
    }
    let is_auto = flags.devices.iter().any(|request| request.device == "auto");
    if let Some(why) = device::why_no_gpu().filter(|_| is_auto && cfg!(feature = "cuda")) {
        eprintln!("no GPU is used: {why}");
    }
    let mut precisions = book.entries.iter().map(|entry| entry.trial.config.precision);
    if let Some(precision) = precisions.find(|precision| !device::is_quick_on_cpu(*precision)) {
        eprintln!("precision {}: cpu has no unit for it; convolutions run in fp32", precision.name());
    }
}

/// `sweep.toml`: the definition as run, with its provenance.
fn write_definition(store: &Store, definition: &SweepDefinition, book: &Book<'_>, places: &[Place]) -> Result<()> {
    #[derive(Serialize)]
    struct SweepFile<'a> {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        question: Option<&'a str>,
        seeds: &'a [u64],
        trials: Vec<&'a str>,
        provenance: Provenance,
        definition: String,
    }
    let mut names: Vec<&str> = places.iter().map(|place| place.device.as_str()).collect();
    names.dedup();
    let file = SweepFile {
        name: &definition.name,
        question: definition.question.as_deref(),
        seeds: &definition.seeds,
        trials: book.entries.iter().map(|entry| entry.trial.id.as_str()).collect(),
        provenance: Provenance::gather(&names.join(", "), places.iter().map(|place| place.threads).max().unwrap_or(1)),
        definition: definition.as_run(),
    };
    let text = toml::to_string_pretty(&file).map_err(|e| Error::results(format!("cannot write sweep.toml: {e}")))?;
    store::write(&store.definition(), text.as_bytes())
}
