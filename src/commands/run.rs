//! `sweep run`: plans, has every trial that is not done trained in a process of its own, and keeps summary and report
//! up to date.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli;
use crate::definition::SweepDefinition;
use crate::device::{self, Choice};
use crate::error::{Error, Kind, Outcome, Result};
use crate::plan::{Trial, plan_with};
use crate::provenance::{self, Provenance};
use crate::records::{EpochRecord, State, TrialStatus};
use crate::schedule::{
    Action, Drive, Ending, Limits, Local, Place, Queue, Start, Steer, Task, Wanted, Watcher, Wish, action, places,
};
use crate::store::{self, Store};

use super::progress::Progress;
use super::signals::Wishes;
use super::{definition, results};

/// A trial that was asked to stop finishes its step and saves: a step of a large network takes a while.
const GRACE: Duration = Duration::from_secs(30);
/// Between two summaries while trials run; longer where a summary takes long.
const SUMMARY: Duration = Duration::from_secs(2);
/// Last lines of a failed trial that are printed.
const SHOWN: usize = 8;

pub(super) fn run(flags: &cli::Run) -> Result<Outcome> {
    let definition = definition(&flags.changes)?;
    let store = Store::new(&flags.results, &definition.name);
    let (trials, missing) = planned(&definition, &store)?;
    let devices = devices(flags)?;
    let wish = Wish { resume_only: flags.resume_only, retry_failed: flags.retry_failed, rerun: flags.rerun };
    let stands: Vec<(State, Action)> = trials.iter().map(|trial| stand(&store, trial, wish)).collect();
    let to_do = stands.iter().filter(|(_, action)| *action != Action::Leave).count();
    // Said before anything is written: a missing data set must not leave an empty sweep behind. Where nothing is left
    // to train, no data is needed.
    if let Some(missing) = missing.filter(|_| to_do > 0) {
        return Err(missing);
    }

    let (wishes, woken) = Wishes::watch()?;
    let lock = store.lock(&provenance::host())?;
    if let Some(dead) = &lock.dead {
        eprintln!("{dead} ran this sweep and ended without a word: taking over");
    }
    let places = seats(flags, &devices, to_do);
    write_definition(&store, &definition, &trials, &places)?;
    for trial in &trials {
        if store.trial(&trial.id).file("trial.toml").is_file() {
            store.trial(&trial.id).begin(trial)?;
        }
    }

    let limit = if flags.fail_fast { Some(1) } else { flags.max_fail };
    let mut queue = Queue::new(places, limit);
    for (trial, (state, action)) in trials.iter().zip(&stands) {
        match action {
            Action::Leave if state.is_failure() => queue.count_failure(),
            Action::Leave => {}
            Action::Continue | Action::StartAnew => queue.push(Task { trial: trial.id.clone(), memory_mib: None }),
        }
    }
    let mut local = Local::new(woken, flags.memory)?;
    let mut conductor = Conductor::new(&store, trials, &stands, &wishes, flags.quiet);
    let begun = Instant::now();
    let limits = Limits {
        trial: flags.trial_timeout,
        sweep: flags.timeout,
        stall: flags.stall_timeout,
        grace: GRACE,
    };
    let mut drive = Drive {
        store: &store,
        queue,
        executor: &mut local,
        watcher: &mut conductor,
        limits,
        clock: &|| begun.elapsed(),
    };
    wishes.heed(true);
    let ended = drive.run();
    wishes.heed(false);
    let queue = drive.queue;
    let ending = match ended {
        Ok(ending) => ending,
        Err(error) => {
            // What can be summed up is; the first error is the one to tell.
            let _ = results::refresh_summary(&store);
            return Err(error);
        }
    };
    finish(flags, &store, &ending, &queue, &wishes, conductor.interrupted)
}

/// What is left to say when nothing runs any more.
fn finish(
    flags: &cli::Run,
    store: &Store,
    ending: &Ending,
    queue: &Queue,
    wishes: &Wishes,
    interrupted: usize,
) -> Result<Outcome> {
    if *ending != Ending::Over {
        results::refresh_summary(store)?;
        let why = if *ending == Ending::TimedOut { "the sweep's time is over" } else { "interrupted" };
        eprintln!("{why}; what was done is saved. Run the same command again to go on.");
        return Ok(Outcome::Interrupted(wishes.signal()));
    }
    let failures = queue.failures();
    if queue.is_failed() {
        eprintln!("stopped: {failures} failed or diverged, as many as --fail-fast or --max-fail allows");
    }
    let sweep = results::refresh(store)?;
    if !flags.quiet {
        results::print(&sweep)?;
        eprintln!("report: {}", store.report().join("report.md").display());
    }
    if queue.waiting() > 0 {
        eprintln!("{} trials were not started", queue.waiting());
    }
    if failures > 0 {
        eprintln!("{failures} of {} trials failed or diverged; --retry-failed trains them again", sweep.planned);
        return Ok(Outcome::Failed);
    }
    if interrupted > 0 {
        eprintln!("{interrupted} trials were interrupted. Run the same command again to go on.");
        return Ok(Outcome::Interrupted(signal_hook::consts::SIGTERM));
    }
    Ok(Outcome::Done)
}

/// The trials, under the names they already have where they were planned before, and the error of a data set that is
/// gone: what its trials held is known from their records.
fn planned(definition: &SweepDefinition, store: &Store) -> Result<(Vec<Trial>, Option<Error>)> {
    let there = store.trials()?;
    let mut missing = None;
    let mut trials = plan_with(definition, &mut |dataset| {
        dataset.content_hash().or_else(|error| {
            let files = there.iter().filter_map(|id| store.trial(id).trial_file().ok());
            let known = files.into_iter().find(|file| file.config.dataset == *dataset).map(|file| file.dataset_hash);
            match known {
                Some(content) => {
                    missing.get_or_insert(error);
                    Ok(content)
                }
                None => Err(error),
            }
        })
    })?;
    // A trial's readable name changes with the sweep around it; what it is does not.
    let mut by_hash: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for id in &there {
        by_hash.entry(id.rsplit('-').next().unwrap_or_default()).or_default().push(id);
    }
    for trial in &mut trials {
        let same = by_hash.get(trial.id.rsplit('-').next().unwrap_or_default()).map_or(&[][..], Vec::as_slice);
        let is_it = |id: &&&String| store.trial(id).trial_file().is_ok_and(|file| file.identity == trial.identity);
        if !same.contains(&&trial.id)
            && let Some(id) = same.iter().find(is_it)
        {
            trial.id = (*id).clone();
        }
    }
    Ok((trials, missing))
}

/// Where a trial stands and what is to be done with it.
fn stand(store: &Store, trial: &Trial, wish: Wish) -> (State, Action) {
    // A status that is torn was being written when its process died.
    let state = store.trial(&trial.id).status().map_or(State::Running, |status| status.state);
    (state, action(state, wish))
}

/// The devices asked for, each of which is there, and their slots.
fn devices(flags: &cli::Run) -> Result<Vec<(String, Option<usize>)>> {
    let mut devices: Vec<(String, Option<usize>)> = Vec::new();
    for request in &flags.devices {
        let wrong = |what: String| Error::new(Kind::Device, what).at(format!("--device {}", request.device));
        let choice: Choice = request.device.parse().map_err(wrong)?;
        let (_, name) = device::open(choice)?;
        if devices.iter().any(|(known, _)| *known == name) {
            return Err(wrong(format!("{name} is named twice")).remedy("write several slots of a device as cuda:0*2"));
        }
        devices.push((name, request.slots));
    }
    Ok(devices)
}

/// Where trials run: says so where it was not said on the command line.
fn seats(flags: &cli::Run, devices: &[(String, Option<usize>)], to_do: usize) -> Vec<Place> {
    let cores = provenance::cores();
    let slots: Vec<(String, usize)> =
        devices.iter().map(|(name, slots)| (name.clone(), slots.or(flags.jobs).unwrap_or(1))).collect();
    let jobs = flags.jobs.unwrap_or(usize::MAX).min(to_do.max(1));
    let places = places(&slots, Some(jobs), flags.threads, cores);
    if places.len() > 1 && !flags.quiet {
        let each: Vec<String> = places.iter().map(|place| format!("{} × {}", place.device, place.threads)).collect();
        eprintln!("{} trials at once (device × threads): {}", places.len(), each.join(", "));
    }
    places
}

/// `sweep.toml`: the definition as run, with its provenance.
fn write_definition(store: &Store, definition: &SweepDefinition, trials: &[Trial], places: &[Place]) -> Result<()> {
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
        trials: trials.iter().map(|trial| trial.id.as_str()).collect(),
        provenance: Provenance::gather(&names.join(", ")),
        definition: definition.as_run(),
    };
    let text = toml::to_string_pretty(&file).map_err(|e| Error::results(format!("cannot write sweep.toml: {e}")))?;
    store::write(&store.definition(), text.as_bytes())
}

/// Knows the plan, and shows how it goes.
struct Conductor<'a> {
    store: &'a Store,
    trials: Vec<Trial>,
    /// Place in `trials`, and whether to begin anew.
    plan: BTreeMap<String, (usize, bool)>,
    wishes: &'a Wishes,
    progress: Progress,
    interrupted: usize,
    asked: Wanted,
    summed_up: Instant,
    /// Whether a trial ended since.
    dirty: bool,
    pause: Duration,
}

impl<'a> Conductor<'a> {
    fn new(store: &'a Store, trials: Vec<Trial>, stands: &[(State, Action)], wishes: &'a Wishes, quiet: bool) -> Self {
        let anew = stands.iter().map(|(_, action)| *action == Action::StartAnew);
        let plan = trials.iter().zip(anew).enumerate().map(|(i, (trial, anew))| (trial.id.clone(), (i, anew))).collect();
        Self {
            store,
            trials,
            plan,
            wishes,
            progress: Progress::new(quiet),
            interrupted: 0,
            asked: Wanted::Nothing,
            summed_up: Instant::now(),
            dirty: false,
            pause: SUMMARY,
        }
    }

    fn trial(&self, id: &str) -> Result<&Trial> {
        let place = self.plan.get(id).map(|(place, _)| *place);
        place
            .and_then(|place| self.trials.get(place))
            .ok_or_else(|| Error::new(Kind::Computation, format!("trial {id} is not in the plan")))
    }

    /// What went wrong with a trial, with all one needs to see why.
    fn tell(&self, status: &TrialStatus, tail: &[String]) {
        let message = status.message.as_deref().unwrap_or("it says nothing");
        let on = if status.device.is_empty() { String::new() } else { format!(" on {}", status.device) };
        self.progress.say(&format!("{}: {}{on}: {message}", status.trial, status.state.name()));
        if status.state == State::Diverged || status.state == State::Pruned {
            return;
        }
        let config = self.trial(&status.trial).ok().and_then(|trial| toml::to_string(&trial.config).ok());
        self.progress.say("  its configuration:");
        for line in config.unwrap_or_default().lines().filter(|line| !line.is_empty()) {
            self.progress.say(&format!("    {line}"));
        }
        if !tail.is_empty() {
            self.progress.say("  its last lines:");
            for line in tail.iter().skip(tail.len().saturating_sub(SHOWN)) {
                self.progress.say(&format!("    {line}"));
            }
        }
        self.progress.say(&format!("  all of them: {}", self.store.trial(&status.trial).file("log.txt").display()));
    }
}

impl Watcher for Conductor<'_> {
    fn wanted(&self) -> Wanted {
        self.wishes.wanted()
    }

    fn prepare(&mut self, trial: &str) -> Result<()> {
        let folder = self.store.trial(trial);
        if self.plan.get(trial).is_some_and(|(_, anew)| *anew) {
            folder.clear()?;
        }
        folder.begin(self.trial(trial)?)
    }

    fn started(&mut self, start: &Start) {
        let place = self.plan.get(&start.trial).map_or(0, |(place, _)| place + 1);
        self.progress.started(start, &format!("{place}/{}", self.trials.len()));
    }

    fn alive(&mut self, status: &TrialStatus) {
        self.progress.alive(status);
    }

    fn epoch(&mut self, trial: &str, record: &EpochRecord) -> Vec<(String, Steer)> {
        let epochs = self.trial(trial).map_or(0, |trial| trial.config.epochs);
        self.progress.epoch(trial, epochs, record);
        Vec::new()
    }

    fn ended(&mut self, status: &TrialStatus, tail: &[String]) -> Result<Vec<Task>> {
        self.dirty = true;
        self.progress.ended(status);
        if status.state.is_failure() || status.state == State::Pruned {
            self.tell(status, tail);
        }
        if status.state == State::Interrupted {
            self.interrupted += 1;
        }
        Ok(Vec::new())
    }

    fn say(&mut self, line: &str) {
        self.progress.say(line);
    }

    fn tick(&mut self) -> Result<()> {
        let wanted = self.wishes.wanted();
        if wanted == Wanted::Stop && self.asked == Wanted::Nothing {
            self.asked = wanted;
            self.progress.say("stopping: trials finish their step and save; once more to stop at once");
        }
        if self.dirty && self.summed_up.elapsed() >= self.pause {
            let started = Instant::now();
            results::refresh_summary(self.store)?;
            // A twentieth of the time at most, however many trials there are.
            self.pause = SUMMARY.max(20 * started.elapsed());
            (self.summed_up, self.dirty) = (Instant::now(), false);
        }
        Ok(())
    }
}
