//! `index.html`: the whole report in one file that needs no network, no script and no other file.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use super::folds;
use super::markdown::{PICTURES, part_in_words, references, row_of_group, sample};
use super::series::{Group, groups, kinds};
use crate::curves::{Onset, collapse};
use crate::findings::{Finding, Onsets, Topic};
use crate::format::{mm, number};
use crate::summary::TrialSummary;
use crate::{SweepRecords, TrialRecords};
use sweep_core::error::{Error, Kind, Result};
use sweep_experiment::records::State;

/// What the template is filled with.
#[derive(Serialize)]
struct Page {
    name: String,
    question: Option<String>,
    done: usize,
    planned: usize,
    references: Vec<String>,
    cross_validation: Vec<Card>,
    claims: Vec<Card>,
    sections: Vec<Section>,
    configurations: Grid,
    words: &'static str,
    landmarks: Option<Grid>,
    landmark_words: &'static str,
    comparable: bool,
    trials: Grid,
    provenance: Grid,
    definition: String,
}

/// A picture and the findings it shows.
#[derive(Serialize)]
struct Section {
    id: String,
    title: &'static str,
    findings: Vec<Card>,
    /// What is said where no finding is the picture's.
    words: &'static str,
    /// As a `data:` address.
    picture: Option<String>,
    /// Shows images, whose grey values must not be inverted on a dark page.
    photo: bool,
    file: &'static str,
    width: u32,
    height: u32,
}

#[derive(Serialize)]
struct Card {
    id: String,
    class: String,
    verdict: &'static str,
    topic: &'static str,
    sentence: Vec<Piece>,
    parts: Vec<String>,
    caveats: Vec<String>,
    method: Option<String>,
    file: &'static str,
    select: String,
    trials: String,
    /// The section with its picture, where that is elsewhere.
    see: Option<String>,
    see_title: &'static str,
}

/// A piece of a sentence; names of legend are set as code.
#[derive(Serialize)]
struct Piece {
    text: String,
    code: bool,
}

/// Parts a sentence at its backticks.
fn pieces(sentence: &str) -> Vec<Piece> {
    sentence.split('`').enumerate().map(|(i, text)| Piece { text: text.to_owned(), code: i % 2 == 1 }).collect()
}

#[derive(Serialize)]
struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Serialize)]
struct Column {
    name: String,
    number: bool,
}

/// A cell, and what it is sorted by where that is not its text.
#[derive(Serialize)]
struct Cell {
    text: String,
    value: Option<String>,
}

/// The page; `pictures` are PNGs by file name.
///
/// # Errors
/// Never in practice: the template is part of the program.
pub(super) fn html(
    sweep: &SweepRecords,
    findings: &[Finding],
    onsets: &Onsets,
    pictures: &BTreeMap<&'static str, Vec<u8>>,
) -> Result<String> {
    let sweep = &*sweep.pooled();
    let groups = groups(sweep);
    let folds = folds::configurations(&groups, findings);
    let page = Page {
        name: sweep.name.clone(),
        question: sweep.question.clone(),
        done: sweep.trainings().filter(|t| t.status.state == State::Done).count(),
        planned: sweep.planned,
        references: references(sweep),
        cross_validation: findings
            .iter()
            .filter(|f| f.topic == Topic::CrossValidation)
            .map(|f| card(f, true))
            .collect(),
        claims: findings.iter().filter(|f| f.topic == Topic::Claims).map(|f| card(f, true)).collect(),
        sections: sections(findings, pictures),
        words: if folds.is_some() { folds::WORDS } else { SINGLE },
        configurations: folds.map_or_else(|| configurations(&groups), of_texts),
        landmarks: folds::landmarks(findings).map(of_texts),
        landmark_words: folds::LANDMARK_WORDS,
        comparable: kinds(&groups).len() < 2,
        trials: trials(sweep, onsets),
        provenance: Grid {
            columns: ["fact", "value"].map(|name| Column { name: name.to_owned(), number: false }).into(),
            rows: sweep.provenance.iter().map(|(key, value)| vec![text(key), text(value)]).collect(),
        },
        definition: sweep.definition.clone(),
    };
    let failed = |e: minijinja::Error| Error::new(Kind::Computation, format!("cannot write index.html: {e:#}"));
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("page", include_str!("page.html")).map_err(failed)?;
    environment
        .get_template("page")
        .and_then(|template| template.render(minijinja::value::Serde(&page)))
        .map_err(failed)
}

fn anchor(file: &str) -> String {
    file.trim_end_matches(".png").replace('_', "-")
}

/// Matters that stand before the pictures.
fn is_first(topic: Topic) -> bool {
    matches!(topic, Topic::CrossValidation | Topic::Claims)
}

fn sections(findings: &[Finding], pictures: &BTreeMap<&'static str, Vec<u8>>) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for (file, title) in PICTURES {
        let cards = |f: &&Finding| f.picture == Some(file) && !is_first(f.topic) && !f.sentence.is_empty();
        let found: Vec<Card> = findings.iter().filter(cards).map(|f| card(f, false)).collect();
        let png = pictures.get(file);
        if png.is_none() && found.is_empty() {
            continue;
        }
        let (width, height) = png.and_then(|png| size(png)).unwrap_or((0, 0));
        sections.push(Section {
            id: anchor(file),
            title,
            findings: found,
            words: if file == "overlays.png" {
                "The first validation images with the true landmarks and the predictions of two configurations."
            } else {
                ""
            },
            picture: png.map(|png| format!("data:image/png;base64,{}", base64::encode(png))),
            photo: file == "overlays.png",
            file,
            width,
            height,
        });
    }
    sections
}

/// Width and height of a PNG, as its header says.
fn size(png: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
    Some((number(16)?, number(20)?))
}

fn card(finding: &Finding, elsewhere: bool) -> Card {
    const LISTED: usize = 4;
    let trials = &finding.rows.trials;
    let picture = finding.picture.filter(|_| elsewhere);
    let title = PICTURES.iter().find(|(file, _)| Some(*file) == picture).map_or("", |(_, title)| title);
    Card {
        id: finding.id.replace(|c: char| !c.is_ascii_alphanumeric(), "-"),
        class: finding.verdict.name().replace(' ', "-").replace("too-few-data", "too-few"),
        verdict: finding.verdict.name(),
        topic: finding.topic.name(),
        sentence: pieces(&finding.sentence),
        parts: finding.parts.iter().map(part_in_words).collect(),
        caveats: finding.caveats.clone(),
        method: finding.estimate.as_ref().map(|e| format!("{}; {}", e.method.describe(), sample(finding))),
        file: finding.rows.file,
        select: finding.rows.select.clone(),
        trials: match trials.len() {
            0 => String::new(),
            n if n <= LISTED => trials.join(", "),
            n => format!("{} and {} more trials", trials[..LISTED].join(", "), n - LISTED),
        },
        see: picture.map(anchor),
        see_title: title,
    }
}

fn text(text: &str) -> Cell {
    Cell { text: text.to_owned(), value: None }
}

/// A number as shown, sorted by its full value; what is missing sorts last.
fn figure(value: f64, show: fn(f64) -> String) -> Cell {
    Cell { text: show(value), value: Some(if value.is_finite() { value.to_string() } else { "1e308".to_owned() }) }
}

/// Under the table of configurations.
const SINGLE: &str = "Mean ± standard deviation over seeds, each trial at its own best epoch on the validation images.";

/// A table whose columns from the third on are numbers, as the second.
fn of_texts(table: folds::Table) -> Grid {
    let columns = table.columns.into_iter().enumerate();
    let columns = columns.map(|(i, name)| Column { number: i > 2 || i == 1, name });
    Grid {
        columns: columns.collect(),
        rows: table.rows.iter().map(|row| row.iter().map(|c| text(c)).collect()).collect(),
    }
}

fn configurations(groups: &[Group<'_>]) -> Grid {
    let names = [
        "configuration",
        "seeds",
        "state",
        "least MRE (mm)",
        "within 2 mm (%)",
        "least validation loss",
        "MRE at least loss (mm)",
        "selection regret (mm)",
    ];
    let columns =
        names.iter().enumerate().map(|(i, name)| Column { name: (*name).to_owned(), number: i > 2 || i == 1 });
    let rows = groups.iter().map(|group| row_of_group(group).iter().map(|cell| text(cell)).collect());
    Grid { columns: columns.collect(), rows: rows.collect() }
}

fn trials(sweep: &SweepRecords, onsets: &Onsets) -> Grid {
    let axes: Vec<String> =
        sweep.trainings().next().map_or_else(Vec::new, |t| t.axes.iter().map(|(key, _)| key.clone()).collect());
    let mut columns: Vec<Column> = Vec::new();
    let mut push = |name: &str, number: bool| columns.push(Column { name: name.to_owned(), number });
    for axis in &axes {
        push(axis, false);
    }
    push("seed", true);
    push("state", false);
    for name in ["best epoch", "least MRE (mm)", "within 2 mm (%)", "MRE at least loss (mm)", "regret (mm)"] {
        push(name, true);
    }
    for name in ["least val. loss", "loss : zero", "onset, loss", "onset, error", "seconds"] {
        push(name, true);
    }
    push("trial", false);
    Grid { columns, rows: sweep.trainings().map(|trial| row(trial, &axes, onsets.get(&trial.id))).collect() }
}

fn row(trial: &TrialRecords, axes: &[String], onsets: Option<&[Onset; 2]>) -> Vec<Cell> {
    let summary = TrialSummary::of(trial);
    let onset = |which: usize| match onsets.map(|both| both[which]) {
        Some(Onset { epoch: Some(epoch), .. }) => figure(f64::from(epoch), |v| format!("{v:.0}")),
        Some(Onset { p_value, .. }) if p_value.is_finite() => Cell { text: "none".into(), value: Some("1e307".into()) },
        _ => figure(f64::NAN, mm),
    };
    let ratio = collapse(trial).and_then(|c| c.ratios.last().map(|r| r.1)).unwrap_or(f64::NAN);
    let percent = |v: f64| if v.is_finite() { format!("{v:.1}") } else { "–".to_owned() };
    let on_axis = |axis: &String| trial.axes.iter().find(|(key, _)| key == axis).map_or("", |(_, value)| value);
    let mut cells: Vec<Cell> = axes.iter().map(|axis| text(on_axis(axis))).collect();
    cells.push(text(&trial.seed.to_string()));
    cells.push(text(trial.status.state.name()));
    cells.push(figure(summary.best_epoch.map_or(f64::NAN, f64::from), |v| {
        if v.is_finite() { format!("{v:.0}") } else { "–".into() }
    }));
    cells.push(figure(summary.best_val_mre_mm, mm));
    cells.push(figure(summary.sdr[0], percent));
    cells.push(figure(summary.val_mre_at_best_loss_mm, mm));
    cells.push(figure(summary.selection_regret_mm, mm));
    cells.push(figure(summary.best_val_loss, number));
    cells.push(figure(ratio, number));
    cells.push(onset(0));
    cells.push(onset(1));
    cells.push(figure(trial.status.seconds, |v| format!("{v:.0}")));
    cells.push(text(&trial.id));
    cells
}
