//! `sweep run --executor slurm`: trials that run on a cluster.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use crate::cli;
use sweep_core::error::{Error, Kind, Outcome, Result};
use sweep_core::note;
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::provenance;
use sweep_experiment::slurm::SlurmSpec;
use sweep_experiment::store::{self, Store, most};
use sweep_runner::scheduler::Slot;
use sweep_runner::scheduler::slurm::{Jobs, Programs, Slurm, under_way};

use super::controller::Controller;
use super::sweep_state::SweepState;

/// Adds `--slurm` to the definition of a sweep that runs on Slurm; returns whether it does.
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

/// Same as [`set`], and checks that the other flags are compatible with the executor.
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

/// The device of trials: as requested, else a GPU if their jobs request GPUs.
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

/// Resolves `auto`: a GPU if jobs request GPUs.
pub(in super::super) fn device_of<'a>(requested: &'a str, spec: &SlurmSpec) -> &'a str {
    match requested {
        "auto" if spec.gpus > 0 => "cuda",
        "auto" => "cpu",
        other => other,
    }
}

/// Name of a sweep's jobs in Slurm.
pub(in super::super) fn job_name(definition: &SweepDefinition) -> String {
    format!("sweep-{}", definition.name)
}

/// Opens the executor.
pub(super) fn open(
    flags: &cli::Run,
    definition: &SweepDefinition,
    store: &Store,
    wakeups: Receiver<()>,
) -> Result<Slurm<Programs>> {
    let programs = Programs::new(wakeups)?;
    let store = Store::at(&absolute(store.root())?);
    let device = device(flags, definition)?;
    let jobs = Jobs { device, threads: flags.threads, ..jobs(definition, &store, Some(token()))? };
    if definition.slurm.program.is_none() {
        keep_program(&store, &jobs.program)?;
    }
    let slurm = Slurm::open(definition.slurm.clone(), jobs, store, programs)?;
    if flags.rerun && slurm.under_way() > 0 {
        return Err(Error::results(format!("{} jobs of this sweep are still in Slurm", slurm.under_way()))
            .at("--rerun")
            .remedy(format!("cancel them first: scancel --name={}", job_name(definition))));
    }
    if !flags.quiet && slurm.under_way() > 0 {
        note!("{} trials are in Slurm already and are taken over", slurm.under_way());
    }
    Ok(slurm)
}

/// Refuses to train a sweep on this machine that a cluster may be training.
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
            note!(
                "this sweep was submitted to Slurm, which cannot be asked here: a trial that a job trains is left to it"
            );
            Ok(())
        }
    }
}

/// A slot for every trial that there will ever be, because Slurm has the queue.
pub(super) fn slots(flags: &cli::Run, definition: &SweepDefinition, state: &SweepState<'_>) -> Vec<Slot> {
    let all = state.entries.len() + state.undrawn_points() * definition.seeds.len();
    let threads = flags.threads.or(definition.slurm.cpus).unwrap_or(1);
    vec![Slot::new("slurm", threads); all]
}

/// Prints how to go on when the runner ends and the jobs stay.
pub(super) fn detach(flags: &cli::Run, controller: &Controller<'_>) -> Outcome {
    let left = controller.state.unfinished().count();
    if !flags.quiet {
        note!(
            "{left} trials are left to Slurm. Run the same command again to watch them and for the report; `sweep status {}` \
             shows them, and `squeue --name={name}` and `scancel --name={name}` show and cancel their jobs",
            controller.store.root().display(),
            name = job_name(controller.state.definition),
        );
        if controller.state.undrawn_points() > 0 {
            note!("its search draws the next points when a runner watches");
        }
    }
    if flags.detach { Outcome::Done } else { Outcome::Interrupted(controller.stop_requests.signal()) }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map(|path| path.components().collect())
        .map_err(|e| Error::results(e.to_string()).at(path.display()))
}

/// How jobs start trials. A plan has no token yet.
pub(in super::super) fn jobs(definition: &SweepDefinition, store: &Store, token: Option<String>) -> Result<Jobs> {
    let program = if let Some(program) = &definition.slurm.program {
        PathBuf::from(program)
    } else {
        let hash = blake3::hash(&store::read(&own_program()?)?).to_hex();
        absolute(store.slurm().path())?.join(format!("sweep-{}", &hash[..12]))
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

/// Copies this program beside the results, so that all trials are trained by the same one, also on nodes that cannot see
/// the original.
///
/// A copy with another content is replaced: the folder may be somebody else's.
fn keep_program(store: &Store, copy: &Path) -> Result<()> {
    let (folder, name) = (store.slurm(), copy.file_name().unwrap_or_default());
    let own = store::read(&own_program()?)?;
    let is_kept = folder.has_file(name) && folder.read(name, most::TABLE)? == own;
    if is_kept { Ok(()) } else { folder.write_program(name, &own) }
}

/// A token that no other runner has or will have.
fn token() -> String {
    let who = format!("{}:{}:{}", provenance::host(), std::process::id(), provenance::unix_seconds());
    blake3::hash(who.as_bytes()).to_hex()[..12].to_owned()
}
