//! Plain CSV: `landmarks.csv` with a row per image, and the image files as they are under `images`.

use std::path::Path;

use super::Exporter;
use crate::folder;
use crate::{Dataset, Sample};
use sweep_core::error::{Error, Result};
use sweep_core::plain;

pub(super) const EXPORTER: Exporter = Exporter {
    name: "csv",
    writes: "`landmarks.csv`: image, split, patient, spacing_x_mm, spacing_y_mm, NAME_x, NAME_y, …; image files as they are",
    loses: "name, observers' error, `normalise`, `grey` and `inspect`",
    check,
    image: |dir, _, sample, original| folder::copy(original, &dir.join("images").join(&sample.image)),
    annotations,
};

/// Spreadsheets calculate cells that begin like a formula, and a landmark with a mark before its name is another landmark.
fn check(dataset: &Dataset) -> Result<()> {
    match dataset.landmarks.iter().find(|name| *plain::cell(name) != **name) {
        Some(name) => Err(Error::input(format!("landmark `{name}` begins like a formula of a spreadsheet"))
            .remedy("rename it in the header of landmarks.csv")),
        None => Ok(()),
    }
}

fn annotations(dir: &Path, dataset: &Dataset) -> Result<()> {
    let mut header = ["image", "split", "patient", "spacing_x_mm", "spacing_y_mm"].map(str::to_owned).to_vec();
    header.extend(dataset.landmarks.iter().flat_map(|name| [format!("{name}_x"), format!("{name}_y")]));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |e: &dyn std::fmt::Display| Error::input(format!("the landmarks cannot be written: {e}"));
    writer.write_record(&header).map_err(|e| failed(&e))?;
    for sample in &dataset.samples {
        writer.write_record(row(sample)).map_err(|e| failed(&e))?;
    }
    let bytes = writer.into_inner().map_err(|e| failed(&e))?;
    folder::write_text(&dir.join("landmarks.csv"), &String::from_utf8_lossy(&bytes))
}

fn row(sample: &Sample) -> Vec<String> {
    let mut row = vec![
        format!("images/{}", sample.image.replace('\\', "/")),
        sample.split.name().to_owned(),
        sample.patient.as_deref().map(plain::cell).unwrap_or_default().into_owned(),
        sample.spacing.map_or_else(String::new, |spacing| spacing.x.to_string()),
        sample.spacing.map_or_else(String::new, |spacing| spacing.y.to_string()),
    ];
    // Rust prints the shortest decimal that reads back as the same number.
    let cells = |p: &Option<_>| {
        p.map_or([String::new(), String::new()], |p: sweep_core::units::Point| [p.x, p.y].map(|v| v.to_string()))
    };
    row.extend(sample.landmarks.iter().flat_map(cells));
    row
}
