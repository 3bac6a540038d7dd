//! `sweep data import`, `export` and `formats`.

use std::path::Path;

use serde::Serialize;

use sweep_core::error::{Outcome, Result};
use sweep_data::{export, import};

use super::{describe, print_json, say};

pub(super) fn run(
    format: Option<import::Format>,
    source: &Path,
    out: &Path,
    options: &import::Options,
) -> Result<Outcome> {
    let format = format.map_or_else(|| import::Format::detect(source), Ok)?;
    let draft = import::read(source, Some(format), options)?;
    let import::Written { dataset, notes } = import::write_saying(&draft, out)?;
    say(&format!("read as {}", format.name()))?;
    for note in draft.notes.iter().chain(&notes) {
        say(&format!("note: {note}"))?;
    }
    describe(&dataset)?;
    Ok(Outcome::Done)
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
    /// What is read or written.
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
