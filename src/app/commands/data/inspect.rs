//! `sweep data inspect`: reads a data set leniently, reports all problems, and draws it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::{augmented, print_json_in, say};
use crate::cli::Inspect;
use crate::inspection_figures::{self, Thumbnail};
use sweep_core::error::{Error, Outcome, Result};
use sweep_data::folder::{Survey, survey};
use sweep_data::inspect::{Counts, DatasetFacts, Finding, Inspection, Set, Severity, inspect};
use sweep_experiment::store;

/// Number of printed findings of one check; `--json` prints all.
const MOST_LINES: usize = 20;

/// Output of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    spoilt: bool,
    #[serde(flatten)]
    facts: &'a DatasetFacts,
    findings: &'a [Finding],
    pictures: Vec<String>,
}

pub(super) fn run(flags: &Inspect) -> Result<Outcome> {
    let survey = survey(&flags.dir)?;
    let inspection = inspect(&Set::read(&survey));
    let pictures = match output(flags, &survey) {
        Some(folder) => {
            let folder = folder?;
            let mut pictures = draw(&survey, &inspection, &folder)?;
            if let Some(file) = &flags.augment {
                let path = folder.join("augmented.png");
                store::write(&path, &augmented::sheet(&flags.dir, file.as_deref())?)?;
                pictures.push(path);
            }
            pictures
        }
        None => Vec::new(),
    };
    if flags.json {
        let pictures = pictures.iter().map(|path| path.display().to_string()).collect();
        let (facts, findings) = (&inspection.facts, &inspection.findings);
        let json = Json { spoilt: inspection.is_spoilt(), facts, findings, pictures };
        print_json_in(facts.unit, &json)?;
    } else {
        print(&inspection)?;
        for path in &pictures {
            say(&path.display().to_string())?;
        }
    }
    Ok(if inspection.is_spoilt() { Outcome::Failed } else { Outcome::Done })
}

/// Folder of the figures: `--output`, or a folder of the working directory that is named after the data set; none with
/// `--no-pictures`. Never the folder of the images, where figures would be images without a row.
fn output(flags: &Inspect, survey: &Survey) -> Option<Result<PathBuf>> {
    if flags.no_pictures {
        return None;
    }
    let whole = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    let name = whole(&flags.dir).ok().and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()));
    let default = || PathBuf::from(format!("inspect-{}", name.unwrap_or_else(|| "data".to_owned())));
    let folder = flags.output.clone().unwrap_or_else(default);
    let inside = |of: &Path| whole(of).ok().zip(whole(&folder).ok()).is_some_and(|(of, folder)| folder.starts_with(of));
    let forbidden = if flags.output.is_some() { &survey.images } else { &flags.dir };
    Some(if inside(forbidden) {
        Err(Error::input("the pictures would lie in the data set itself")
            .at(folder.display())
            .remedy("name another folder with --output DIR, or use --no-pictures"))
    } else {
        Ok(folder)
    })
}

fn draw(survey: &Survey, inspection: &Inspection, folder: &Path) -> Result<Vec<PathBuf>> {
    let names: Vec<&str> = survey.rows.iter().map(|entry| entry.image.as_str()).collect();
    let thumbnails: Vec<Thumbnail> =
        survey.map_images_at(&inspection_figures::images_shown(inspection, &names), |entry, sample| {
            let sample = sample.ok();
            let size = sample.as_ref().map_or(sweep_core::units::Size { height: 5, width: 4 }, |s| s.size);
            let picture = sample.and_then(|s| inspection_figures::thumbnail(s.size, s.pixels));
            let split = entry.split.map_or("no split", sweep_data::Split::name);
            Thumbnail { image: entry.image.clone(), split, picture, size, landmarks: entry.landmarks.clone() }
        });
    let sheet = inspection_figures::contact_sheet(inspection, &thumbnails, survey.rows.len())?;
    let spread = inspection
        .spread
        .as_ref()
        .map(|spread| inspection_figures::landmark_spread(&inspection.facts, spread))
        .transpose()?;
    let mut written = Vec::new();
    for (name, png) in [("contact_sheet.png", sheet), ("landmark_spread.png", spread.flatten())] {
        if let Some(png) = png {
            let path = folder.join(name);
            store::write(&path, &png)?;
            written.push(path);
        }
    }
    Ok(written)
}

fn print(inspection: &Inspection) -> Result<()> {
    for line in facts(&inspection.facts) {
        say(&line)?;
    }
    for severity in Severity::ALL {
        let mut told: Vec<(&str, usize)> = Vec::new();
        for finding in inspection.of(severity) {
            let at = told.iter().position(|(check, _)| *check == finding.check).unwrap_or_else(|| {
                told.push((finding.check, 0));
                told.len() - 1
            });
            told[at].1 += 1;
            if told[at].1 <= MOST_LINES {
                say(&format!("\n{}: {finding}\n  help: {}", severity.name(), finding.remedy))?;
            }
        }
        for (check, count) in told.into_iter().filter(|(_, count)| *count > MOST_LINES) {
            say(&format!("\n{}: {} more of {check}: --json prints all", severity.name(), count - MOST_LINES))?;
        }
    }
    let [errors, warnings, notes] = Severity::ALL.map(|severity| inspection.of(severity).count());
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    say(&format!(
        "\n{}, {}, {}: {}",
        count(errors, "error"),
        count(warnings, "warning"),
        count(notes, "note"),
        match (errors, warnings) {
            (0, 0) => "fit for a sweep",
            (0, _) => "fit for a sweep; look at the warnings",
            _ => "not fit for a sweep",
        }
    ))
}

/// Summary of the data set in a few lines.
fn facts(facts: &DatasetFacts) -> Vec<String> {
    let images = facts.images;
    let unknown = if images.none > 0 { format!(", {} in no split", images.none) } else { String::new() };
    let mut lines = vec![format!(
        "{}: {} images (train {}, val {}, test {}{unknown}), {} landmarks",
        facts.name,
        images.total(),
        images.train,
        images.val,
        images.test,
        facts.landmarks.len()
    )];
    let few = |values: Vec<String>| {
        let more = values.len().saturating_sub(4);
        let shown = values[..values.len() - more].join(", ");
        if more > 0 { format!("{shown} and {more} others") } else { shown }
    };
    let of = |text: String, count: usize| if count == images.total() { text } else { format!("{text} ({count})") };
    lines.push(format!(
        "size   {} pixels",
        few(facts.sizes.iter().map(|s| of(format!("{}×{}", s.value.width, s.value.height), s.images)).collect())
    ));
    let pixel = |x: f64, y: f64| format!("{}×{}", rounded(x), rounded(y));
    lines.push(if facts.unit.is_millimetres() {
        let sizes = few(facts.spacings_mm.iter().map(|s| of(pixel(s.value.x, s.value.y), s.images)).collect());
        format!("pixel  {sizes} mm")
    } else {
        "pixel  of unknown size: distances are in pixels".to_owned()
    });
    let width = facts.landmarks.iter().map(|l| l.name.chars().count()).max().unwrap_or(0).max(8);
    lines.push(format!(
        "\n{:width$}  {:>9}  {:>9}  {:>9}  {:>12}  {:>14}",
        "landmark",
        "train",
        "val",
        "test",
        format!("from mean {}", facts.unit),
        format!("from others {}", facts.unit)
    ));
    let mm = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |mm| format!("{mm:.2}"));
    for landmark in &facts.landmarks {
        let [train, val, test] = [|c: Counts| c.train, |c: Counts| c.val, |c: Counts| c.test]
            .map(|of| format!("{}/{}", of(landmark.marked), of(images)));
        lines.push(format!(
            "{:width$}  {train:>9}  {val:>9}  {test:>9}  {:>12}  {:>14}",
            landmark.name,
            mm(landmark.from_mean_mm),
            mm(landmark.from_others_mm)
        ));
    }
    lines.extend(measures(facts));
    lines.push(String::new());
    if let Some(error) = facts.mean_shape_mre_mm {
        lines.push(format!(
            "guessing the training set's mean shape: {error:.2} {}; a network must do better",
            facts.unit
        ));
    }
    lines.push(match facts.observer_mre_mm {
        Some(error) => format!("between two observers: {error:.2} mm; a network cannot be shown to do better"),
        None if !facts.unit.is_millimetres() => "between two observers: not known".to_owned(),
        None => "between two observers: not known (key observer_mre_mm of dataset.toml)".to_owned(),
    });
    lines
}

/// The measures of the marked landmarks.
fn measures(facts: &DatasetFacts) -> Vec<String> {
    let mut lines = Vec::new();
    let width = facts.measures.iter().map(|of| of.name.chars().count()).max().unwrap_or(0).max(8);
    if !facts.measures.is_empty() {
        lines.push(format!("\n{:width$}  {:>9}  {:>12}  {:>9}  classes", "measure", "images", "mean", "sd"));
    }
    for of in &facts.measures {
        let shown =
            |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |v| format!("{v:.*}", of.unit.decimals()));
        let symbol = of.unit.symbol(facts.unit);
        let mean = format!("{} {symbol}", shown(of.mean));
        let classes = of.classes.iter().map(|class| format!("{} {}", class.images, class.name));
        lines.push(format!(
            "{:width$}  {:>9}  {:>12}  {:>9}  {}",
            of.name,
            format!("{}/{}", of.images, facts.images.total()),
            mean.trim_end(),
            shown(of.sd),
            classes.collect::<Vec<_>>().join(", ")
        ));
    }
    if !facts.unknown_measures.is_empty() {
        lines.push(format!("not among the landmarks: those of {}", facts.unknown_measures.join(", ")));
    }
    lines
}

/// A pixel's size, rounded to hide the error of division.
fn rounded(mm: f64) -> String {
    let text = format!("{mm:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
