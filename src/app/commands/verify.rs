//! `sweep verify-resume`: checks, on the user's definition and machine, that a killed trial resumes exactly.

use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rand::Rng;

use crate::cli;
use sweep_core::error::{Error, Kind, Outcome, Result};
use sweep_core::seed::{self, Stream};
use sweep_experiment::provenance;
use sweep_experiment::records::State;
use sweep_experiment::store::{self, Store, TrialStore, most};
use sweep_planning::plan::{Trial, plan};
use sweep_runner::scheduler::{Executor, Exit, Local, Slot, Start, Stop, TrialEvent};

use super::{definition, say};

/// Columns of `epochs.csv` that hold times.
const OF_THE_CLOCK: [&str; 2] = ["images_per_second", "seconds"];

pub(super) fn verify(flags: &cli::VerifyResume) -> Result<Outcome> {
    let definition = definition(&flags.changes)?;
    let trials = plan(&definition)?;
    let trial = trials.first().ok_or_else(|| Error::definition("the plan is empty"))?;
    let slot = Slot::new(&flags.device.device, flags.threads.unwrap_or_else(provenance::cores));
    let scratch = Scratch::new()?;
    say(&format!("{}: {} epochs, undisturbed and then killed {} times", trial.id, trial.config.epochs, flags.kills))?;

    let started = Instant::now();
    let whole = begin(&scratch, "undisturbed", trial)?;
    run(&whole, trial, &slot, None)?;
    let took = started.elapsed();
    say(&format!("undisturbed: {:.1} s", took.as_secs_f64()))?;

    let killed = begin(&scratch, "killed", trial)?;
    let mut random = seed::derive(flags.seed, Stream::Kills, 0, 0);
    for kill in 1..=flags.kills {
        // The kills are spread over the whole training.
        let after = took.mul_f64(2.0 * random.random_range(0.0..1.0) / f64::from(flags.kills + 1));
        let before = killed.readable_epochs()?.0.len();
        let ended = run(&killed, trial, &slot, Some(after))?;
        let epochs = killed.readable_epochs()?.0.len();
        let how = if ended { "had ended by itself" } else { "killed" };
        say(&format!("{kill}: {how} after {:.2} s, from epoch {before} to {epochs}", after.as_secs_f64()))?;
        if ended {
            break;
        }
    }
    run(&killed, trial, &slot, None)?;

    let mut equal = true;
    // A training without validation images has no landmarks, no errors and no best weights.
    let is_there = |name: &&str| [&whole, &killed].iter().any(|trial| trial.folder().has_file(name));
    let names = ["epochs.csv", "landmarks.csv", "errors.bin", "best.safetensors", "last.safetensors"];
    for name in names.into_iter().filter(is_there) {
        let same = content(&whole, name)? == content(&killed, name)?;
        say(&format!("{name}: {}", if same { "equal" } else { "DIFFERENT" }))?;
        equal &= same;
    }
    if equal {
        say("a killed training ends as an undisturbed one, bit for bit")?;
        return Ok(Outcome::Done);
    }
    // Kept for inspection.
    let kept = scratch.keep();
    say(&format!("resuming is not exact here; both trainings are kept in {}", kept.display()))?;
    Ok(Outcome::Failed)
}

fn begin(scratch: &Scratch, name: &str, trial: &Trial) -> Result<TrialStore> {
    let folder = Store::new(&scratch.root, name).trial(&trial.id);
    folder.begin(trial.file()?)?;
    Ok(folder)
}

/// Trains to the end, or kills the training after a time; returns whether it ended by itself.
fn run(folder: &TrialStore, trial: &Trial, slot: &Slot, kill: Option<Duration>) -> Result<bool> {
    let (_wake, woken) = sync_channel(1);
    let mut local = Local::new(woken, None)?;
    let start = Start { trial: trial.id.clone(), dir: folder.root().to_owned(), slot: slot.clone() };
    local.start(&start)?;
    let started = Instant::now();
    let mut killed = false;
    loop {
        let left = kill.map(|after| after.saturating_sub(started.elapsed()));
        if left.is_some_and(|left| left.is_zero()) && !killed {
            local.cancel(&trial.id, Stop::AtOnce)?;
            killed = true;
        }
        let wait = left.filter(|_| !killed).unwrap_or(Duration::from_millis(20)).min(Duration::from_millis(20));
        let events = local.poll(wait)?;
        let Some(TrialEvent { exit, tail, .. }) = events.first() else { continue };
        let status = folder.status()?;
        return match (exit, status.state) {
            (_, State::Done) => Ok(true),
            (Exit::Signal(_), _) if killed => Ok(false),
            (_, state) => {
                let why = status.message.unwrap_or_else(|| tail.join("\n"));
                Err(Error::new(Kind::Computation, format!("the trial ended as {}: {why}", state.name()))
                    .at(&trial.id)
                    .remedy("a trial that trains by itself is needed to see whether it resumes: set fewer epochs, or another"))
            }
        };
    }
}

/// A file's bytes without the timing columns.
fn content(folder: &TrialStore, name: &str) -> Result<Vec<u8>> {
    let bytes = folder.folder().read(name, most::TABLE)?;
    if name != "epochs.csv" {
        return Ok(bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    let header: Vec<&str> = text.lines().next().unwrap_or_default().split(',').collect();
    let cut = |line: &str| {
        let cells = header.iter().zip(line.split(','));
        cells.filter(|(name, _)| !OF_THE_CLOCK.contains(name)).map(|(_, cell)| cell).collect::<Vec<_>>().join(",")
    };
    Ok(text.lines().map(cut).collect::<Vec<_>>().join("\n").into_bytes())
}

/// A temporary folder for the two trainings, removed with its content.
struct Scratch {
    root: PathBuf,
    kept: bool,
}

impl Scratch {
    fn new() -> Result<Self> {
        let root = std::env::temp_dir().join(format!("sweep-verify-resume-{}", std::process::id()));
        store::write(&root.join("README"), b"made by sweep verify-resume\n")?;
        Ok(Self { root, kept: false })
    }

    fn keep(mut self) -> PathBuf {
        self.kept = true;
        self.root.clone()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            // A folder that cannot be removed is left to the system, which empties its temporary folder.
            let _ = store::remove_folder(Path::new(&self.root));
        }
    }
}
