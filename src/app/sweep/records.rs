//! What a sweep leaves beside its trials: its definition, summary and report.

use std::path::{Path, PathBuf};

use serde::Serialize;

use sweep_analysis::findings::{self, Finding};
use sweep_analysis::report::{self, Content};
use sweep_analysis::{SweepRecords, load, summary};
use sweep_core::error::{Error, Result};
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::provenance::Provenance;
use sweep_experiment::store::{self, Store};

/// `sweep.toml`: the definition as run, with its provenance; every trial has so many threads.
pub(crate) fn write_definition(
    store: &Store,
    definition: &SweepDefinition,
    trials: &[&str],
    device: &str,
    threads: usize,
) -> Result<()> {
    #[derive(Serialize)]
    struct SweepFile<'a> {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        question: Option<&'a str>,
        seeds: &'a [u64],
        trials: &'a [&'a str],
        provenance: Provenance,
        definition: String,
    }
    let file = SweepFile {
        name: &definition.name,
        question: definition.question.as_deref(),
        seeds: &definition.seeds,
        trials,
        provenance: Provenance::gather(device, threads),
        definition: definition.as_run(),
    };
    let text = toml::to_string_pretty(&file).map_err(|e| Error::results(format!("cannot write sweep.toml: {e}")))?;
    store::write(&store.definition(), text.as_bytes())
}

/// Summary and report from the records as they are now.
pub(crate) fn write_report(
    store: &Store,
    images: Option<&Path>,
    directory: &Path,
) -> Result<(SweepRecords, Vec<Finding>, Vec<PathBuf>)> {
    let sweep = load::load(store)?;
    let (findings, onsets) = (findings::findings(&sweep), findings::onsets(&sweep));
    store::write(&store.summary(), &summary::csv(&sweep, &onsets)?)?;
    let content = Content { findings: &findings, onsets: &onsets, images };
    let files = report::write(&sweep, content, directory)?;
    Ok((sweep, findings, files))
}

/// The summary alone: cheap enough after every trial.
pub(crate) fn write_summary(store: &Store) -> Result<SweepRecords> {
    let sweep = load::load(store)?;
    store::write(&store.summary(), &summary::csv(&sweep, &findings::onsets(&sweep))?)?;
    Ok(sweep)
}
