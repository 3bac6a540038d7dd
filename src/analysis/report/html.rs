//! `index.html`: the whole report in one file that needs no network, no script and no other file.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use sweep_core::error::{Error, Kind, Result};
use sweep_core::units::ErrorUnit;
use sweep_experiment::records::State;

use super::Drawn;
use super::answer::{self, Answer};
use super::figure::{FIGURES, Figure, FigureText, LOSS_VS_ERROR};
use super::folds;
use super::markdown::{error_at_best, has_test, references, row_of_group, sample};
use super::measures;
use super::pages;
use super::series::{Group, groups, kinds};
use crate::curves::{Onset, collapse};
use crate::findings::{Finding, Onsets, Topic, Verdict};
use crate::format::{mm, number};
use crate::summary::TrialSummary;
use crate::{SweepRecords, TrialRecords};

/// Input of the template.
#[derive(Serialize)]
struct Page {
    name: String,
    /// Whether this is `index.html`, and no further page of trials.
    first: bool,
    /// The pages of trials, each with the words of its link; the page itself has no file.
    pages: Vec<PageLink>,
    question: Option<String>,
    done: usize,
    planned: usize,
    references: Vec<String>,
    /// What went wrong: it comes before everything else.
    warnings: Vec<FindingCard>,
    answer: Option<PageAnswer>,
    cross_validation: Vec<FindingCard>,
    claims: Vec<FindingCard>,
    study: Option<StudyLink>,
    sections: Vec<Section>,
    configurations: PageTable,
    words: String,
    landmarks: Option<PageTable>,
    landmark_words: String,
    measures: Option<PageMeasures>,
    comparable: bool,
    /// Symbol of the unit of errors.
    unit: &'static str,
    trials: PageTable,
    provenance: PageTable,
    definition: String,
}

/// The errors of measures, and which configuration has the least.
#[derive(Serialize)]
struct PageMeasures {
    agreement: PageTable,
    caption: String,
    best: Option<PageTable>,
    best_caption: &'static str,
}

/// The answer to the question, with the leaderboard and a figure.
#[derive(Serialize)]
struct PageAnswer {
    class: String,
    strength: &'static str,
    sentence: String,
    effects: Option<String>,
    by_loss: Option<String>,
    leaderboard: PageTable,
    caption: String,
    figure: Option<Figure>,
}

/// The study whose claims are tested.
#[derive(Serialize)]
struct StudyLink {
    title: &'static str,
    address: &'static str,
}

/// A link to a page of trials.
#[derive(Clone, Serialize)]
struct PageLink {
    file: String,
    words: String,
}

/// A figure and the findings that it shows.
#[derive(Serialize)]
struct Section {
    id: String,
    title: &'static str,
    /// The title in a list of links.
    short: &'static str,
    findings: Vec<FindingCard>,
    /// Where the findings stand that the page leaves out.
    left_out: Option<String>,
    figure: Option<Figure>,
}

#[derive(Serialize)]
struct FindingCard {
    id: String,
    class: String,
    verdict: &'static str,
    topic: &'static str,
    sentence: Vec<TextSpan>,
    parts: Vec<String>,
    caveats: Vec<String>,
    method: Option<String>,
    file: &'static str,
    select: String,
    trials: String,
    /// Id of the section with its figure, if that is another section.
    see: Option<String>,
    see_title: &'static str,
}

/// A span of a sentence; names of keys are set as code.
#[derive(Serialize)]
struct TextSpan {
    text: String,
    code: bool,
}

/// Splits a sentence at its backticks.
fn pieces(sentence: &str) -> Vec<TextSpan> {
    sentence.split('`').enumerate().map(|(i, text)| TextSpan { text: text.to_owned(), code: i % 2 == 1 }).collect()
}

#[derive(Serialize)]
struct PageTable {
    columns: Vec<PageColumn>,
    rows: Vec<Vec<PageCell>>,
}

#[derive(Serialize)]
struct PageColumn {
    name: String,
    number: bool,
}

/// A cell, and its sort key if that is not its text.
#[derive(Serialize)]
struct PageCell {
    text: String,
    value: Option<String>,
}

/// The pages with their file names, `index.html` first; `figures` by file name. A sweep of many trials has several
/// pages of them.
///
/// # Errors
/// When the template cannot be rendered; never in practice, because it is part of the program.
pub(super) fn html(
    sweep: &SweepRecords,
    findings: &[Finding],
    onsets: &Onsets,
    figures: &BTreeMap<&'static str, Drawn>,
) -> Result<Vec<(String, String)>> {
    let sweep = &*sweep.pooled();
    let groups = groups(sweep);
    let folds = folds::configurations(&groups, findings, sweep.unit);
    let (all_configurations, left_out) = (configurations(&groups, sweep.unit), pages::configurations(&groups).1);
    let caption = if folds.is_some() { folds::CAPTION } else { SINGLE_SPLIT_CAPTION };
    let mut table = trials(sweep, onsets);
    let rest = table.rows.split_off(table.rows.len().min(pages::TRIALS));
    let links = links(table.rows.len(), rest.len());
    let cards = |topic| findings.iter().filter(|f| f.topic == topic).map(|f| card(f, true)).collect::<Vec<_>>();
    let answer = answer::answer(sweep, &groups, findings);
    let mut page = Page {
        first: true,
        pages: linked(&links, 0),
        name: sweep.name.clone(),
        question: sweep.question.clone(),
        done: sweep.trainings().filter(|t| t.status.state == State::Done).count(),
        planned: sweep.planned,
        references: references(sweep),
        warnings: cards(Topic::Failures),
        cross_validation: cards(Topic::CrossValidation),
        claims: cards(Topic::Claims),
        study: sweep.claims.map(|study| StudyLink { title: study.title(), address: study.address() }),
        sections: sections(findings, figures, answer.is_some()),
        answer: answer.map(|answer| page_answer(answer, figures)),
        words: [Some(caption), left_out.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" "),
        configurations: folds.map_or(all_configurations, page_table),
        landmarks: folds::landmarks(findings).map(page_table),
        landmark_words: folds::landmark_caption(sweep.unit),
        measures: measures::tables(sweep, &groups).map(page_measures),
        unit: sweep.unit.symbol(),
        comparable: kinds(&groups).len() < 2,
        trials: table,
        provenance: PageTable {
            columns: ["fact", "value"].map(|name| PageColumn { name: name.to_owned(), number: false }).into(),
            rows: sweep.provenance.iter().map(|(key, value)| vec![text_cell(key), text_cell(value)]).collect(),
        },
        definition: sweep.definition.clone(),
    };
    let failed = |e: minijinja::Error| Error::new(Kind::Computation, format!("cannot write index.html: {e:#}"));
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("page", include_str!("page.html")).map_err(failed)?;
    let template = environment.get_template("page").map_err(failed)?;
    let render = |page: &Page| template.render(minijinja::value::Serde(page)).map_err(failed);
    let mut written = vec![("index.html".to_owned(), render(&page)?)];
    page.first = false;
    let mut rest = rest.into_iter().peekable();
    while rest.peek().is_some() {
        page.trials.rows = rest.by_ref().take(pages::TRIALS).collect();
        page.pages = linked(&links, written.len());
        written.push((pages::file(written.len() + 1), render(&page)?));
    }
    Ok(written)
}

/// Links to all pages of trials; none if there is one page.
fn links(first: usize, rest: usize) -> Vec<PageLink> {
    let pages = if rest == 0 { 0 } else { 1 + rest.div_ceil(pages::TRIALS) };
    let link = |page: usize| PageLink {
        file: if page == 1 { "index.html#trials".to_owned() } else { pages::file(page) },
        words: format!("{}–{}", (page - 1) * pages::TRIALS + 1, (page * pages::TRIALS).min(first + rest)),
    };
    (1..=pages).map(link).collect()
}

/// The links on the page of this index, which does not link to itself.
fn linked(links: &[PageLink], here: usize) -> Vec<PageLink> {
    let own = |(at, link): (usize, &PageLink)| {
        if at == here { PageLink { file: String::new(), ..link.clone() } } else { link.clone() }
    };
    links.iter().enumerate().map(own).collect()
}

fn anchor(file: &str) -> String {
    file.trim_end_matches(".png").replace('_', "-")
}

/// Whether findings on a topic precede the figures.
fn precedes_figures(topic: Topic) -> bool {
    matches!(topic, Topic::Failures | Topic::CrossValidation | Topic::Claims)
}

fn page_answer(answer: Answer, figures: &BTreeMap<&'static str, Drawn>) -> PageAnswer {
    PageAnswer {
        class: class(answer.verdict),
        strength: answer.strength,
        caption: answer::caption(&answer),
        figure: Figure::of(LOSS_VS_ERROR, figures),
        sentence: answer.sentence,
        effects: answer.effects,
        by_loss: answer.by_loss,
        leaderboard: leaderboard(answer.leaderboard),
    }
}

/// Findings beside the figures that show them; the figure beside the answer is not shown twice.
fn sections(findings: &[Finding], figures: &BTreeMap<&'static str, Drawn>, is_answered: bool) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for FigureText { file, title, short, .. } in FIGURES {
        let cards = |f: &&Finding| f.picture == Some(file) && !precedes_figures(f.topic) && !f.sentence.is_empty();
        let (shown, left_out) = pages::findings(findings.iter().filter(cards).collect());
        let found: Vec<FindingCard> = shown.into_iter().map(|f| card(f, false)).collect();
        let figure = Figure::of(file, figures).filter(|_| !(is_answered && file == LOSS_VS_ERROR));
        if figure.is_some() || !found.is_empty() {
            sections.push(Section { id: anchor(file), title, short, findings: found, left_out, figure });
        }
    }
    sections
}

/// The style of a verdict.
fn class(verdict: Verdict) -> String {
    verdict.name().replace(' ', "-").replace("too-few-data", "too-few")
}

fn card(finding: &Finding, elsewhere: bool) -> FindingCard {
    const LISTED: usize = 4;
    let trials = &finding.rows.trials;
    let picture = finding.picture.filter(|_| elsewhere);
    let title = FIGURES.into_iter().find(|of| Some(of.file) == picture).map_or("", |of| of.title);
    FindingCard {
        id: finding.id.replace(|c: char| !c.is_ascii_alphanumeric(), "-"),
        class: class(finding.verdict),
        verdict: finding.verdict.name(),
        topic: finding.topic.name(),
        sentence: pieces(&finding.sentence),
        parts: pages::parts(finding),
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

fn text_cell(text: &str) -> PageCell {
    PageCell { text: text.to_owned(), value: None }
}

/// A formatted number, sorted by its full value; missing numbers sort last.
fn number_cell(value: f64, show: fn(f64) -> String) -> PageCell {
    PageCell { text: show(value), value: Some(if value.is_finite() { value.to_string() } else { "1e308".to_owned() }) }
}

/// Caption of the table of configurations.
const SINGLE_SPLIT_CAPTION: &str =
    "Mean ± standard deviation over seeds, each trial at its own best epoch on the validation images.";

/// A table with text in its first and third column and numbers in the others.
fn page_table(table: folds::TextTable) -> PageTable {
    let columns = table.columns.into_iter().enumerate();
    let columns = columns.map(|(i, name)| PageColumn { number: i > 2 || i == 1, name });
    PageTable {
        columns: columns.collect(),
        rows: table.rows.iter().map(|row| row.iter().map(|c| text_cell(c)).collect()).collect(),
    }
}

fn page_measures(of: measures::MeasureTables) -> PageMeasures {
    let (best, best_caption) = of.best.map_or((None, ""), |(table, caption)| (Some(page_table(table)), caption));
    PageMeasures { agreement: page_table(of.agreement), caption: of.caption, best, best_caption }
}

/// A table whose first column and that of comparisons with the best are texts.
fn leaderboard(table: folds::TextTable) -> PageTable {
    let mut table = page_table(table);
    for (at, column) in table.columns.iter_mut().enumerate() {
        column.number = at > 0 && column.name != answer::AGAINST_THE_BEST;
    }
    table
}

fn configurations(groups: &[Group<'_>], unit: ErrorUnit) -> PageTable {
    let radius = unit.radii()[0];
    let with_test = has_test(groups);
    let mut names = vec![
        "configuration".to_owned(),
        "seeds".to_owned(),
        "state".to_owned(),
        if groups.first().is_none_or(|g| g.trials[0].objective.is_default()) {
            format!("least MRE ({unit})")
        } else {
            format!("{} ({unit})", error_at_best(groups).0)
        },
        format!("within {radius} {unit} (%)"),
        "least validation loss".to_owned(),
        format!("MRE at least loss ({unit})"),
        format!("selection regret ({unit})"),
    ];
    if with_test {
        names.push(format!("MRE on test images ({unit})"));
    }
    let columns = names.into_iter().enumerate().map(|(i, name)| PageColumn { name, number: i > 2 || i == 1 });
    let rows = pages::configurations(groups)
        .0
        .into_iter()
        .map(|group| row_of_group(group, with_test).iter().map(|cell| text_cell(cell)).collect());
    PageTable { columns: columns.collect(), rows: rows.collect() }
}

fn trials(sweep: &SweepRecords, onsets: &Onsets) -> PageTable {
    let axes: Vec<String> =
        sweep.trainings().next().map_or_else(Vec::new, |t| t.axes.iter().map(|(key, _)| key.clone()).collect());
    let mut columns: Vec<PageColumn> = Vec::new();
    let mut push = |name: &str, number: bool| columns.push(PageColumn { name: name.to_owned(), number });
    for axis in &axes {
        push(axis, false);
    }
    push("seed", true);
    push("state", false);
    let (unit, radius) = (sweep.unit, sweep.unit.radii()[0]);
    push("best epoch", true);
    let objective = sweep.objective();
    let at =
        if objective.is_default() { "least MRE".to_owned() } else { format!("MRE at {}", objective.chosen_epoch()) };
    push(&format!("{at} ({unit})"), true);
    push(&format!("within {radius} {unit} (%)"), true);
    push(&format!("MRE at least loss ({unit})"), true);
    push(&format!("regret ({unit})"), true);
    for name in ["least val. loss", "loss : zero", "onset, loss", "onset, error", "seconds"] {
        push(name, true);
    }
    push("trial", false);
    let mut all: Vec<&TrialRecords> = sweep.trainings().collect();
    if all.len() > pages::TRIALS {
        // The first page is that of the least errors.
        all.sort_by(|a, b| a.sort_error().total_cmp(&b.sort_error()));
    }
    PageTable { columns, rows: all.into_iter().map(|trial| trial_row(trial, &axes, onsets.get(&trial.id))).collect() }
}

fn trial_row(trial: &TrialRecords, axes: &[String], onsets: Option<&[Onset; 2]>) -> Vec<PageCell> {
    let summary = TrialSummary::of(trial);
    let onset = |which: usize| match onsets.map(|both| both[which]) {
        Some(Onset { epoch: Some(epoch), .. }) => number_cell(f64::from(epoch), |v| format!("{v:.0}")),
        Some(Onset { p_value, .. }) if p_value.is_finite() => {
            PageCell { text: "none".into(), value: Some("1e307".into()) }
        }
        _ => number_cell(f64::NAN, mm),
    };
    let ratio = collapse(trial).and_then(|c| c.ratios.last().map(|r| r.1)).unwrap_or(f64::NAN);
    let percent = |v: f64| if v.is_finite() { format!("{v:.1}") } else { "–".to_owned() };
    let on_axis = |axis: &String| trial.axes.iter().find(|(key, _)| key == axis).map_or("", |(_, value)| value);
    let mut cells: Vec<PageCell> = axes.iter().map(|axis| text_cell(on_axis(axis))).collect();
    cells.push(text_cell(&trial.seed.to_string()));
    cells.push(text_cell(trial.status.state.name()));
    cells.push(number_cell(summary.best_epoch.map_or(f64::NAN, f64::from), |v| {
        if v.is_finite() { format!("{v:.0}") } else { "–".into() }
    }));
    cells.push(number_cell(summary.best_val_mre, mm));
    cells.push(number_cell(summary.sdr[0], percent));
    cells.push(number_cell(summary.val_mre_at_best_loss, mm));
    cells.push(number_cell(summary.selection_regret, mm));
    cells.push(number_cell(summary.best_val_loss, number));
    cells.push(number_cell(ratio, number));
    cells.push(onset(0));
    cells.push(onset(1));
    cells.push(number_cell(trial.status.seconds, |v| format!("{v:.0}")));
    cells.push(text_cell(&trial.id));
    cells
}
