//! `sweep data import`, `export` and `formats`.

use std::path::Path;

use serde::Serialize;

use crate::cli::DataImport;
use sweep_core::error::{Outcome, Result};
use sweep_data::import::Options;
use sweep_data::{Channels, export, import};

use super::{describe, overlay, print_json, say};

pub(super) fn run(flags: &DataImport) -> Result<Outcome> {
    let options = options(flags)?;
    let format = flags.format.0.map_or_else(|| import::Format::detect_as(&flags.source, &options), Ok)?;
    let parsed = import::read(&flags.source, Some(format), &options)?;
    let import::Written { dataset, notes } = match flags.out.as_ref().filter(|_| !flags.dry_run) {
        Some(out) => import::write_saying(&parsed, out, &options)?,
        None => import::check(&parsed, &options)?,
    };
    say(&format!("read as {}", format.name()))?;
    for note in parsed.notes.iter().chain(&notes) {
        say(&format!("note: {note}"))?;
    }
    describe(&dataset)?;
    if let Some(folder) = &flags.overlay {
        overlay::draw(&parsed, &dataset, folder)?;
    }
    if flags.dry_run {
        say("nothing was written (--dry-run)")?;
    }
    Ok(Outcome::Done)
}

fn options(flags: &DataImport) -> Result<Options> {
    let rename = flags.rename.as_ref().map(|file| import::read_names(file)).transpose()?.unwrap_or_default();
    Ok(Options {
        name: flags.name.clone(),
        spacing: flags.spacing,
        truth: flags.truth,
        val_fraction: flags.val,
        seed: flags.seed,
        fold: flags.fold,
        category: flags.category.clone(),
        origin: flags.origin,
        columns: flags.columns.clone(),
        y_up: flags.y_up,
        missing: flags.missing.clone().unwrap_or_default(),
        unit: flags.unit,
        rename,
        group: flags.group.clone(),
        no_split: flags.no_split,
        skip_bad: flags.skip_bad,
        channels: if flags.colour { Channels::Colour } else { Channels::Grey },
        grey: flags.grey,
        sheet: flags.sheet.clone(),
        second: flags.second.clone(),
        observer: flags.observer.clone(),
    })
}

pub(super) fn export(format: export::Format, dir: &Path, out: &Path) -> Result<Outcome> {
    let dataset = export::export(dir, format, out)?;
    describe(&dataset)?;
    say(&format!("lost in {}: {}", format.name(), format.loses()))?;
    Ok(Outcome::Done)
}

/// A format, as `--json` prints it.
#[derive(Serialize)]
struct Format {
    name: &'static str,
    /// `import` or `export`.
    direction: &'static str,
    /// Path that is read or written.
    what: &'static str,
    loses: &'static str,
}

pub(super) fn formats(json: bool) -> Result<Outcome> {
    if json {
        let read = import::Format::ALL.map(|format| (format.name(), "import", format.reads(), format.loses()));
        let written = export::Format::ALL.map(|format| (format.name(), "export", format.writes(), format.loses()));
        let all = read.into_iter().chain(written);
        let all = all.map(|(name, direction, what, loses)| Format { name, direction, what, loses });
        print_json(&all.collect::<Vec<_>>())?;
        return Ok(Outcome::Done);
    }
    say(
        "read by every command: a folder with dataset.toml, a wide CSV and images (PNG, JPEG, BMP, TIFF, DICOM, MetaImage, NRRD, NIfTI)",
    )?;
    say("\nsweep data import --format …")?;
    for format in import::Format::ALL {
        entry(format.name(), "reads", format.reads(), format.loses())?;
    }
    say("\nsweep data export --format …")?;
    for format in export::Format::ALL {
        entry(format.name(), "writes", format.writes(), format.loses())?;
    }
    Ok(Outcome::Done)
}

fn entry(name: &str, does: &str, what: &str, loses: &str) -> Result<()> {
    say(&format!("  {name}\n    {does}: {what}\n    loses: {loses}"))
}
