//! Writes a data-set folder: all or nothing.

#![expect(clippy::disallowed_methods, reason = "writes data sets")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use rayon::prelude::*;

use super::{HEADER, table};
use crate::dataset::{Dataset, Sample};
use crate::normalise::{BoxReference, Reference};
use crate::picture::{self, GreyRange};
use crate::relative_path::relative_path;
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

/// Writes images as 8-bit grey PNG (an image of another format gets the ending `.png`), landmarks and `dataset.toml`.
///
/// # Errors
/// When the data set is not fit for training ([`Dataset::check`]), and the errors of `write_all_or_nothing`.
pub fn write(dataset: &Dataset, dir: &Path) -> Result<()> {
    dataset.check()?;
    write_all_or_nothing(dir, |dir| {
        let images = dir.join("images");
        let mut names = BTreeMap::new();
        for sample in &dataset.samples {
            let path = relative_path(&sample.image)?.with_extension("png");
            if let Some(other) = names.insert(path, sample) {
                return Err(Error::input(format!("`{}` and `{}` would be one PNG file", other.image, sample.image))
                    .remedy("rename one of them"));
            }
        }
        names.par_iter().map(|(name, sample)| write_image(&images.join(name), sample)).collect::<Result<Vec<()>>>()?;
        write_table_with(dataset, None, dir)
    })
}

/// Writes a complete folder, or nothing: `fill` writes into a hidden folder beside `dir`, which gets its name only when
/// complete.
///
/// # Errors
/// When `dir` exists and is not an empty folder, `fill` fails, or the disk refuses.
pub(crate) fn write_all_or_nothing<T>(dir: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let io = |e: std::io::Error| Error::input(format!("cannot be written: {e}")).at(dir.display());
    let dir = std::path::absolute(dir).map_err(io)?;
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Err(Error::input("not the name of a folder").at(dir.display()).remedy("name a new folder"));
    };
    if dir.symlink_metadata().is_ok() && !fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_none()) {
        return Err(Error::input("there is something already")
            .at(dir.display())
            .remedy("name a new or an empty folder"));
    }
    let partial = parent.join(format!(".{}.partial-{}", name.to_string_lossy(), std::process::id()));
    fs::create_dir_all(&partial).map_err(io)?;
    let written = fill(&partial).and_then(|made| {
        if dir.exists() {
            fs::remove_dir(&dir).map_err(io)?;
        }
        fs::rename(&partial, &dir).map_err(io)?;
        Ok(made)
    });
    if written.is_err() {
        // The first error is the one to report; a folder that cannot be removed is hidden and harmless.
        drop(fs::remove_dir_all(&partial));
    }
    written
}

/// Writes `landmarks.csv` and `dataset.toml` beside images that lie in `images` already; the data set has no grey
/// values. `grey` is the range that deep images are shown by.
pub(crate) fn write_table_with(dataset: &Dataset, grey: Option<GreyRange>, dir: &Path) -> Result<()> {
    dataset.check_table()?;
    write_text(&dir.join("landmarks.csv"), &csv(dataset)?)?;
    let mut text = header(dataset);
    if let Some(GreyRange { low, high }) = grey {
        let _ = writeln!(text, "grey = {{ low = {low:?}, high = {high:?} }}");
    }
    write_text(&dir.join(HEADER), &text)
}

/// Writes a text file.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    make_parent(path)?;
    fs::write(path, text).map_err(|e| Error::input(format!("cannot be written: {e}")).at(path.display()))
}

/// Writes an image as PNG.
pub(crate) fn write_image(path: &Path, sample: &Sample) -> Result<()> {
    write_grey(path, sample.size, &sample.pixels)
}

/// Writes grey values as PNG.
pub(crate) fn write_grey(path: &Path, size: Size, pixels: &[u8]) -> Result<()> {
    make_parent(path)?;
    picture::write_png(path, size, pixels)
}

/// Copies a file.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    let copied = fs::copy(from, to).map(|_| ());
    copied.map_err(|e| Error::input(format!("{} cannot be copied: {e}", from.display())).at(to.display()))
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|e| Error::input(format!("cannot be written: {e}")).at(path.display()))
}

/// Whether all images share one spacing, which then stands in `dataset.toml`.
fn has_one_spacing(dataset: &Dataset) -> bool {
    dataset.samples.windows(2).all(|pair| pair[0].spacing == pair[1].spacing)
}

fn header(dataset: &Dataset) -> String {
    let name = toml::Value::String(dataset.name.clone());
    let mut text = format!("name = {name}\nimages = \"images\"\nlandmarks = \"landmarks.csv\"\n");
    let first = dataset.samples.first().filter(|_| has_one_spacing(dataset));
    if let Some(spacing) = first.and_then(|first| first.spacing) {
        let _ = writeln!(text, "spacing_mm = {{ x = {:?}, y = {:?} }}", spacing.x, spacing.y);
    }
    if let Some(error) = dataset.observer_mre {
        let _ = writeln!(text, "observer_mre_mm = {:?}", error.0);
    }
    match dataset.normalise.as_ref().map(|normalise| &normalise.by) {
        Some(Reference::Landmarks(both)) => {
            let [a, b] = both.clone().map(toml::Value::String);
            let _ = writeln!(text, "normalise = {{ by = [{a}, {b}] }}");
        }
        Some(Reference::Box(BoxReference::BoundingBox)) => text.push_str("normalise = { by = \"bounding-box\" }\n"),
        None => {}
    }
    text
}

fn csv(dataset: &Dataset) -> Result<String> {
    let own_spacing = !has_one_spacing(dataset);
    let patients = dataset.samples.iter().any(|sample| sample.patient.is_some());
    let mut header = vec!["image".to_owned(), "split".to_owned()];
    if patients {
        header.push(table::PATIENT.to_owned());
    }
    if own_spacing {
        header.extend(table::SPACING.map(str::to_owned));
    }
    header.extend(dataset.landmarks.iter().flat_map(|name| [format!("{name}_x"), format!("{name}_y")]));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |e: csv::Error| Error::input(format!("the landmarks cannot be written: {e}"));
    writer.write_record(&header).map_err(failed)?;
    for sample in &dataset.samples {
        let image = relative_path(&sample.image)?.with_extension("png");
        let mut row = vec![image.to_string_lossy().replace('\\', "/"), sample.split.name().to_owned()];
        if patients {
            row.push(sample.patient.clone().unwrap_or_default());
        }
        if own_spacing {
            let both = sample.spacing.map(|spacing| [spacing.x.to_string(), spacing.y.to_string()]);
            row.extend(both.unwrap_or_default());
        }
        row.extend(sample.landmarks.iter().flat_map(|p| match p {
            // Rust prints the shortest decimal that reads back as the same number.
            Some(p) => [p.x.to_string(), p.y.to_string()],
            None => [String::new(), String::new()],
        }));
        writer.write_record(&row).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|e| Error::input(format!("the landmarks cannot be written: {e}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
