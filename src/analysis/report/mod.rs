//! The report of a sweep: figures as PNG, and Markdown and HTML that embed them.
//!
//! Every figure is a pure function from records to bytes; only this file reads images and writes files.

mod answer;
mod augmented;
mod calibration;
mod collapse;
mod convergence;
mod cumulative;
mod curves;
mod effects;
mod errors;
mod figure;
mod folds;
mod html;
mod loss_vs_error;
mod losses;
mod markdown;
mod measures;
mod overlays;
mod page_tables;
mod pages;
mod per_landmark;
mod predicted;
mod scatter;
mod series;
#[cfg(test)]
pub(crate) mod synthetic;
mod trends;
mod trial_pictures;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use image::RgbImage;

use sweep_core::error::{Error, Result};
use sweep_experiment::store::Root;

use self::markdown::markdown;
use self::measures::MeasureTables;
use self::series::{Group, drawn_groups, groups};
use crate::drawing::figure::Figure;
use crate::errors::ErrorTable;
use crate::findings::{Finding, Onsets, Statement};
use crate::keys::keys_in;
use crate::measured::Measured;
use crate::shown_images::{ShownImage, picture};
use crate::{SweepRecords, TrialRecords};
pub use answer::Answer;
pub use augmented::{Example, augmented};
pub use curves::curves;
pub use folds::TextTable;
pub use markdown::NOTHING_MEASURED;
pub use predicted::{NamedLandmark, predicted};
pub use trial_pictures::{write_trial, write_trials};

/// Greatest number of groups in one panel.
const MAX_GROUPS: usize = 12;
/// Greatest number of panels in a figure with a panel per group.
const MAX_PANELS: usize = 24;

/// The groups that fit, of [`series::drawn_groups`], and a note about the others.
fn shown<'a, 'b>(groups: &'b [Group<'a>], most: usize) -> (&'b [Group<'a>], String) {
    let drawn = &groups[..groups.len().min(most)];
    let left_out = groups.len() - drawn.len();
    let note = if left_out > 0 {
        format!(" Shown: {most} of {} configurations, those of least error and that of least loss.", groups.len())
    } else {
        String::new()
    };
    (drawn, note)
}

/// Onsets of overfitting on a curve (`loss` or `landmark error`) by group, from the findings.
fn onsets<'a>(findings: &'a [Finding], of: &str) -> BTreeMap<&'a str, u32> {
    let on_curve = findings.iter().filter_map(|finding| match &finding.statement {
        Statement::Overfitting { curve, onsets, .. } if *curve == of => Some(onsets),
        _ => None,
    });
    on_curve.flatten().map(|(group, epoch)| (group.as_str(), *epoch)).collect()
}

/// A figure as a file, and as it stands in the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// The file.
    pub png: Vec<u8>,
    /// The element of the page; `None` where the page shows the PNG.
    pub svg: Option<String>,
}

/// Figures of a sweep by file name, without empty ones.
///
/// `images` are the available validation images, by their names in the records.
///
/// # Errors
/// When a figure cannot be drawn or encoded.
pub fn figures(
    sweep: &SweepRecords,
    findings: &[Finding],
    images: &BTreeMap<ShownImage, RgbImage>,
) -> Result<BTreeMap<&'static str, Drawn>> {
    let sweep = &*sweep.pooled();
    let groups = drawn_groups(sweep);
    if groups.is_empty() {
        return Ok(BTreeMap::new());
    }
    let errors = ErrorTable::of(&groups, &[Measured::of(sweep)]);
    let drawn = [
        ("loss_curves.png", Some(losses::draw(&groups, findings))),
        ("landmark_error.png", Some(errors::draw(sweep, &groups, findings))),
        ("loss_vs_error.png", Some(loss_vs_error::draw(&groups, sweep.unit))),
        ("per_landmark.png", per_landmark::draw(&groups, &errors, sweep.unit)),
        ("cumulative_error.png", cumulative::draw(&groups, &errors, sweep.unit)),
        ("calibration.png", calibration::draw(&groups, Measured::of(sweep), sweep.unit)),
        ("bland_altman.png", measures::draw(sweep, &groups)),
        ("effects.png", effects::draw(findings, sweep.unit)),
        ("trends.png", trends::draw(&groups, findings, sweep.unit)),
        ("collapse.png", collapse::draw(&groups)),
        ("convergence.png", convergence::draw(&groups, sweep.unit)),
        ("scatter.png", scatter::draw(findings)),
        ("overlays.png", overlays::of_sweep(&groups, images)),
    ];
    let title = |name: &str| figure::FIGURES.into_iter().find(|of| of.file == name).map_or("", |of| of.title);
    let made = |(name, figure): (&'static str, Option<Figure>)| {
        let canvas = figure?.canvas;
        let files = canvas.png().and_then(|png| Ok(Drawn { png, svg: canvas.svg(title(name))? }));
        Some(files.map(|files| (name, files)))
    };
    let mut made: BTreeMap<&'static str, Drawn> = drawn.into_iter().filter_map(made).collect::<Result<_>>()?;
    if let (Some(of), Some(figure)) = (made.get_mut(figure::OVERLAYS), overlays::in_page(&groups, images)) {
        of.svg = figure.canvas.svg(title(figure::OVERLAYS))?;
    }
    Ok(made)
}

/// `loss_vs_error.png` alone; `None` without a trial that was measured.
///
/// # Errors
/// When the figure cannot be drawn or encoded.
pub fn loss_against_error(sweep: &SweepRecords) -> Result<Option<Vec<u8>>> {
    let sweep = &*sweep.pooled();
    let groups = drawn_groups(sweep);
    if groups.is_empty() { Ok(None) } else { loss_vs_error::draw(&groups, sweep.unit).png().map(Some) }
}

/// Truth and predictions of a trial on up to six of these images (by name), as a PNG; `None` if it has none on them.
///
/// # Errors
/// When the figure cannot be drawn or encoded.
pub fn overlay(trial: &TrialRecords, images: &BTreeMap<ShownImage, RgbImage>) -> Result<Option<Vec<u8>>> {
    overlays::of_trial(trial, images).map(|figure| figure.png()).transpose()
}

/// Input of a report beside the records.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// Findings of the sweep.
    pub findings: &'a [Finding],
    /// Onsets of overfitting by trial.
    pub onsets: &'a Onsets,
    /// Folder of validation images in their original size; missing images are left out.
    pub images: Option<&'a Root>,
}

/// What a report wrote.
#[derive(Debug)]
pub struct Written {
    /// The files.
    pub files: Vec<PathBuf>,
    /// The answer that they give; `None` while no configuration has been compared.
    pub answer: Option<Answer>,
}

/// What page and text both say, computed once.
#[derive(Debug, Default)]
struct Conclusions {
    answer: Option<Answer>,
    measures: Option<MeasureTables>,
}

impl Conclusions {
    fn of(sweep: &SweepRecords, findings: &[Finding]) -> Self {
        let sweep = &*sweep.pooled();
        let groups = groups(sweep);
        Self { answer: answer::answer(sweep, &groups, findings), measures: measures::tables(sweep, &groups) }
    }
}

/// Writes figures, `findings.json`, `report.md` and `index.html` of a sweep into `directory`.
///
/// # Errors
/// When a figure cannot be drawn or a file cannot be written.
pub fn write(sweep: &SweepRecords, content: Content<'_>, directory: &Root) -> Result<Written> {
    let images = content
        .images
        .map_or_else(BTreeMap::new, |folder| read_images(sweep.trainings().flat_map(overlays::images), folder));
    let figures = figures(sweep, content.findings, &images)?;
    let mut files = Vec::new();
    for (name, drawn) in &figures {
        files.push(save(directory, name, &drawn.png)?);
    }
    let unwritable = |e: serde_json::Error| Error::results(e.to_string());
    let json = if sweep.unit.is_millimetres() {
        serde_json::to_string_pretty(content.findings).map_err(unwritable)?
    } else {
        let value = serde_json::to_value(content.findings).map_err(unwritable)?;
        serde_json::to_string_pretty(&keys_in(value, sweep.unit)).map_err(unwritable)?
    };
    files.push(save(directory, "findings.json", format!("{json}\n").as_bytes())?);
    let names: Vec<&str> = figures.keys().copied().collect();
    let conclusions = Conclusions::of(sweep, content.findings);
    files.push(save(directory, "report.md", markdown(sweep, content.findings, &conclusions, &names).as_bytes())?);
    let written = html::html(sweep, content, &conclusions, &figures)?;
    for (name, page) in &written {
        files.push(save(directory, name, page.as_bytes())?);
    }
    // Pages of an earlier report of more trials.
    let mut page = written.len() + 1;
    while directory.version(pages::file(page)).is_some() {
        directory.remove(pages::file(page))?;
        page += 1;
    }
    Ok(Written { files, answer: conclusions.answer })
}

/// The first readable images, as many as a figure shows. An unreadable image does not make the report fail, and neither does a
/// name that leads out of the folder.
fn read_images(shown: impl IntoIterator<Item = ShownImage>, folder: &Root) -> BTreeMap<ShownImage, RgbImage> {
    let mut images = BTreeMap::new();
    let mut tried = BTreeSet::new();
    for shown in shown {
        if images.len() < overlays::MAX_IMAGES
            && tried.insert(shown.clone())
            && let Some(image) = picture(folder, &shown.file)
        {
            images.insert(shown, image);
        }
    }
    images
}

fn save(directory: &Root, name: &str, content: &[u8]) -> Result<PathBuf> {
    directory.write(name, content)?;
    Ok(directory.join(name))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests look at files as users do")]
mod tests {
    use super::*;
    use crate::findings::{findings, onsets, trial_onsets};
    use crate::report::synthetic::{Scenario, colours, radiograph, sweep, trial};

    fn decoded(png: &[u8]) -> RgbImage {
        image::load_from_memory(png).unwrap().to_rgb8()
    }

    fn image(name: &str) -> ShownImage {
        ShownImage { name: name.to_owned(), file: name.to_owned() }
    }

    fn images(count: u32) -> BTreeMap<ShownImage, RgbImage> {
        (1..=count).map(|i| (image(&format!("{i:03}.png")), radiograph(i))).collect()
    }

    #[test]
    fn curves_survive_every_scenario() {
        for scenario in Scenario::ALL {
            let figure = decoded(&curves(&trial(scenario, 0, 0), trial_onsets(&trial(scenario, 0, 0))).unwrap());
            assert_eq!(figure.width(), 1600, "{scenario:?}");
            assert!(colours(&figure) > 50, "{scenario:?} is blank");
        }
    }

    #[test]
    fn pictures_survive_every_sweep() {
        for scenario in Scenario::ALL {
            let sizes: &[(usize, u64)] = if scenario == Scenario::Diverged { &[(1, 1), (24, 1)] } else { &[(2, 2)] };
            for (groups, seeds) in sizes.iter().copied() {
                let records = sweep(groups, seeds, scenario);
                let figures = figures(&records, &findings(&records), &images(1)).unwrap();
                // Nothing is drawn of trials without an epoch.
                assert!((figures.len() >= 3) ^ (scenario == Scenario::NoEpoch), "{scenario:?}");
                for (name, drawn) in figures {
                    let figure = decoded(&drawn.png);
                    let svg = drawn.svg.is_none_or(|svg| svg.contains("</text>") && !svg.contains("NaN"));
                    assert!(svg, "{name} {scenario:?}");
                    assert_eq!(figure.width(), 1600, "{name} {scenario:?}");
                    assert!(colours(&figure) > 50, "{name} {scenario:?} is blank");
                }
            }
        }
    }

    #[test]
    fn pictures_are_the_same_every_time() {
        let records = sweep(2, 2, Scenario::Realistic);
        let draw = || figures(&records, &findings(&records), &images(2)).unwrap();
        assert_eq!(draw(), draw());
    }

    #[test]
    fn without_landmarks_there_is_nothing_to_draw_them_with() {
        let records = sweep(2, 1, Scenario::NoLandmarks);
        let figures = figures(&records, &findings(&records), &images(2)).unwrap();
        let names: Vec<&str> = figures.into_keys().collect();
        let of_epochs =
            ["collapse.png", "convergence.png", "landmark_error.png", "loss_curves.png", "loss_vs_error.png"];
        assert_eq!(names, of_epochs);
    }

    #[test]
    fn overlays_show_truth_and_both_groups_in_their_colours() {
        let figure = |groups| figures(&sweep(groups, 1, Scenario::Realistic), &[], &images(3)).unwrap();
        let has = |png: &[u8], near: [i16; 3]| {
            decoded(png).pixels().any(|p| p.0.iter().zip(near).all(|(a, b)| (i16::from(*a) - b).abs() < 25))
        };
        let (green, first, second) = ([0, 205, 90], [0, 114, 178], [213, 94, 0]);
        let both = figure(2);
        assert!([green, first, second].into_iter().all(|c| has(&both["overlays.png"].png, c)));
        let one = figure(1);
        assert!([green, first].into_iter().all(|c| has(&one["overlays.png"].png, c)));
        assert!(!has(&one["overlays.png"].png, second));
    }

    #[test]
    fn predictions_are_never_drawn_over_another_image_of_their_image_name() {
        let mut records = sweep(2, 1, Scenario::Realistic);
        let other = ShownImage { file: "other".into(), ..image("001.png") };
        let pixels = radiograph(1);
        let of_second = |png: &[u8]| {
            decoded(png).pixels().any(|p| p.0.iter().zip([213, 94, 0]).all(|(a, b)| (i16::from(*a) - b).abs() < 25))
        };
        // Both trials have an image 001.png; it is drawn for the trial whose image it is.
        records.trials[1].images.insert("001.png".into(), "other".into());
        let of = |records: &SweepRecords, shown: ShownImage| {
            figures(records, &[], &BTreeMap::from([(shown, pixels.clone())]))
                .unwrap()
                .remove("overlays.png")
                .map(|drawn| drawn.png)
        };
        let first = decoded(&of(&records, image("001.png")).unwrap());
        records.trials[1].images.insert("001.png".into(), "001.png".into());
        assert_ne!(
            first,
            decoded(&of(&records, image("001.png")).unwrap()),
            "the second trial's landmarks are drawn too"
        );
        assert!(of_second(&of(&records, image("001.png")).unwrap()));
        assert!(of(&records, other).is_none(), "an image of neither trial");
    }

    /// Set `LANDMARK_SWEEP_PICTURES` to a folder to look at what is drawn.
    #[test]
    fn files_are_written_and_unreadable_images_left_out() {
        let scratch = tempfile::tempdir().unwrap();
        let target = std::env::var_os("LANDMARK_SWEEP_PICTURES").map_or(scratch.path().join("out"), PathBuf::from);
        let (folder, target) = (Root::at(&scratch.path().join("images")), Root::at(&target));
        std::fs::create_dir(folder.path()).unwrap();
        for (shown, image) in images(4) {
            image.save(folder.join(shown.file)).unwrap();
        }
        folder.write("005.png", b"not an image").unwrap();
        for (name, groups, seeds) in [("loss", 2, 3), ("wide", 12, 3), ("one", 1, 1), ("four", 4, 2)] {
            let records = sweep(groups, seeds, Scenario::Realistic);
            let content = Content { findings: &findings(&records), onsets: &onsets(&records), images: Some(&folder) };
            let Written { files, answer } = write(&records, content, &target.folder(name)).unwrap();
            assert!(answer.is_some());
            assert_eq!(files.len(), if groups == 1 { 12 } else { 13 } + usize::from(seeds > 1), "{name}: {files:?}");
            let trial = &records.trials[0];
            let of_trial = write_trial(trial, &folder, &target.folder(name).folder(&trial.id)).unwrap();
            assert_eq!(of_trial.len(), 2);
            assert!(files.iter().chain(&of_trial).all(|f| f.metadata().unwrap().len() > 0));
        }
        assert_eq!(read_images(["001.png", "005.png", "nowhere.png"].map(image), &folder).len(), 1);
        let nothing = write_trial(&trial(Scenario::NoLandmarks, 0, 0), &folder, &target.folder("none")).unwrap();
        assert_eq!(nothing.len(), 1);
    }
}
