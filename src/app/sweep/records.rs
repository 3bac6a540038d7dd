//! Files of a sweep beside its trials: definition, summary and report.

use sweep_analysis::findings::{self, Finding};
use sweep_analysis::report::{self, Content, Written};
use sweep_analysis::{SweepRecords, load, summary};
use sweep_core::error::Result;
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::provenance::Provenance;
use sweep_experiment::store::{Root, Store, SweepFile};

/// Writes `sweep.toml`: the definition as run, the plan's trials, and the provenance; `threads` is that of each trial.
pub(crate) fn write_definition(
    store: &Store,
    definition: &SweepDefinition,
    trials: Vec<String>,
    device: &str,
    threads: usize,
) -> Result<()> {
    store.write_sweep_file(&SweepFile::new(definition, trials, &Provenance::gather(device, threads))?)
}

/// Writes summary and report from the records as they are now.
pub(crate) fn write_report(
    store: &Store,
    images: Option<&Root>,
    directory: &Root,
) -> Result<(SweepRecords, Vec<Finding>, Written)> {
    let sweep = load::load(store)?;
    let onsets = findings::onsets(&sweep);
    let findings = findings::findings_from(&sweep, &onsets);
    let summary = summary::csv(&sweep, &onsets)?;
    // With another directory for the report, the results may be somebody else's, or read-only.
    if directory.path() == store.report().path() {
        store.write_summary(&summary)?;
    } else {
        directory.write("summary.csv", &summary)?;
    }
    let content = Content { findings: &findings, onsets: &onsets, images };
    let written = report::write(&sweep, content, directory)?;
    Ok((sweep, findings, written))
}

/// Writes the summary alone, which is cheap enough after every trial.
pub(crate) fn write_summary(store: &Store) -> Result<SweepRecords> {
    let sweep = load::load(store)?;
    store.write_summary(&summary::csv(&sweep, &findings::onsets(&sweep))?)?;
    Ok(sweep)
}
