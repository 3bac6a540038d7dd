//! `sweep run --executor slurm`: what is particular to trials that run on a cluster.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use crate::cli;
use sweep_core::error::{Error, Kind, Outcome, Result};
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::provenance;
use sweep_experiment::slurm::SlurmSpec;
use sweep_experiment::store::{self, Store};
use sweep_runner::scheduler::slurm::{Jobs, Programs, Slurm, under_way};
use sweep_runner::scheduler::{Action, Slot};

use super::controller::Controller;
use super::sweep_state::SweepState;

/// Puts `--slurm` into the definition, where trials are for Slurm; whether they are.
pub(in super::super) fn set(on: cli::Executor, settings: &[String], definition: &mut SweepDefinition) -> Result<bool> {
    match (on, settings.first()) {
        (cli::Executor::Slurm, _) => definition.set_slurm(settings).map(|()| true),
        (cli::Executor::Local, None) => Ok(false),
        (cli::Executor::Local, Some(setting)) => {
            let wrong = Error::definition("trials run on this machine").at(format!("--slurm {setting}"));
            Err(wrong.remedy("add --executor slurm"))
        }
    }
}

/// See [`set`]; and that the other flags go with the executor.
pub(super) fn check(flags: &cli::Run, definition: &mut SweepDefinition) -> Result<bool> {
    let wrong = |flag: &str, what: &str, right: &str| Err(Error::definition(what).at(flag).remedy(right));
    let on_cluster = set(flags.executor, &flags.slurm, definition)?;
    if flags.detach && !on_cluster {
        return wrong("--detach", "trials of this machine end with their runner", "add --executor slurm");
    }
    if flags.memory.is_some() && on_cluster {
        return wrong("--memory", "is for trials on this machine", "say what each job may take: --slurm memory=16G");
    }
    if on_cluster {
        definition.slurm.max_concurrent = flags.jobs.or(definition.slurm.max_concurrent);
    }
    Ok(on_cluster)
}

/// The device that trials are told to use: as asked for, else by whether their jobs ask for GPUs.
pub(super) fn device(flags: &cli::Run, definition: &SweepDefinition) -> Result<String> {
    let [request] = flags.devices.as_slice() else {
        let what = "a job has one device";
        return Err(Error::definition(what).at("--device").remedy("leave it out, or name one"));
    };
    if request.slots.is_some() {
        let what = Error::definition("a job trains one trial").at(format!("--device {}", request.device));
        return Err(what.remedy("leave *SLOTS out: --slurm max_concurrent=N limits how many run at once"));
    }
    Ok(device_of(&request.device, &definition.slurm).to_owned())
}

/// See [`device`].
pub(in super::super) fn device_of<'a>(asked: &'a str, spec: &SlurmSpec) -> &'a str {
    match asked {
        "auto" if spec.gpus > 0 => "cuda",
        "auto" => "cpu",
        other => other,
    }
}

/// Name of a sweep's jobs.
pub(in super::super) fn job_name(definition: &SweepDefinition) -> String {
    format!("sweep-{}", definition.name)
}

/// The executor.
pub(super) fn open(
    flags: &cli::Run,
    definition: &SweepDefinition,
    store: &Store,
    woken: Receiver<()>,
) -> Result<Slurm<Programs>> {
    let programs = Programs::new(woken)?;
    let store = Store::at(&absolute(store.root())?);
    let device = device(flags, definition)?;
    let jobs = Jobs { device, threads: flags.threads, ..jobs(definition, &store, Some(token()))? };
    if definition.slurm.program.is_none() {
        keep_program(&jobs.program)?;
    }
    let slurm = Slurm::open(definition.slurm.clone(), jobs, store, programs)?;
    if flags.rerun && slurm.under_way() > 0 {
        return Err(Error::results(format!("{} jobs of this sweep are still in Slurm", slurm.under_way()))
            .at("--rerun")
            .remedy(format!("cancel them first: scancel --name={}", job_name(definition))));
    }
    if !flags.quiet && slurm.under_way() > 0 {
        eprintln!("{} trials are in Slurm already and are taken over", slurm.under_way());
    }
    Ok(slurm)
}

/// Refuses to train here what a cluster may be training.
pub(super) fn refuse_twice(store: &Store, definition: &SweepDefinition) -> Result<()> {
    match under_way(store)? {
        Some(jobs) if jobs.is_empty() => Ok(()),
        Some(jobs) => Err(Error::results(format!("{} jobs of this sweep are in Slurm", jobs.len()))
            .at(store.root().display())
            .remedy(format!(
                "go on there with --executor slurm, or cancel them first: scancel --name={}",
                job_name(definition)
            ))),
        None => {
            eprintln!(
                "this sweep was submitted to Slurm, which cannot be asked here: a trial that a job trains is left to it"
            );
            Ok(())
        }
    }
}

/// A place for every trial there will ever be: Slurm has the queue.
pub(super) fn slots(flags: &cli::Run, definition: &SweepDefinition, book: &SweepState<'_>) -> Vec<Slot> {
    let all = book.entries.len() + book.open_points() * definition.seeds.len();
    let threads = flags.threads.or(definition.slurm.cpus).unwrap_or(1);
    vec![Slot::new("slurm", threads); all]
}

/// What is said when the runner goes and the jobs stay.
pub(super) fn left(flags: &cli::Run, store: &Store, conductor: &Controller<'_>) -> Outcome {
    let left = conductor.book.entries.iter().filter(|entry| entry.action != Action::Skip).count();
    if !flags.quiet {
        eprintln!(
            "{left} trials are left to Slurm. Run the same command again to watch them and for the report; `sweep status {}` \
             shows them, and `squeue --name={name}` and `scancel --name={name}` show and cancel their jobs",
            store.root().display(),
            name = conductor.name,
        );
        if conductor.book.open_points() > 0 {
            eprintln!("its search draws the next points when a runner watches");
        }
    }
    if flags.detach { Outcome::Done } else { Outcome::Interrupted(conductor.wishes.signal()) }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map(|path| path.components().collect())
        .map_err(|e| Error::results(e.to_string()).at(path.display()))
}

/// How jobs start trials; without a token, as far as it is known before there is one.
pub(in super::super) fn jobs(definition: &SweepDefinition, store: &Store, token: Option<String>) -> Result<Jobs> {
    let program = if let Some(program) = &definition.slurm.program {
        PathBuf::from(program)
    } else {
        let hash = blake3::hash(&store::read(&own_program()?)?).to_hex();
        absolute(&store.slurm())?.join(format!("sweep-{}", &hash[..12]))
    };
    Ok(Jobs {
        name: job_name(definition),
        token: token.unwrap_or_else(|| "UNIQUE".to_owned()),
        from: absolute(Path::new("."))?,
        program,
        device: device_of("auto", &definition.slurm).to_owned(),
        threads: None,
    })
}

fn own_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|e| Error::new(Kind::Computation, format!("cannot find the program's file: {e}")))
}

/// Keeps this program beside the results: all trials are trained by it, whatever is built meanwhile, on nodes that see no
/// other.
fn keep_program(kept: &Path) -> Result<()> {
    if kept.is_file() { Ok(()) } else { store::write_program(kept, &store::read(&own_program()?)?) }
}

/// What no other runner has, nor will have.
fn token() -> String {
    let who = format!("{}:{}:{}", provenance::host(), std::process::id(), provenance::unix_seconds());
    blake3::hash(who.as_bytes()).to_hex()[..12].to_owned()
}
