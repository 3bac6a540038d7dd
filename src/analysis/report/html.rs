//! `index.html`: the whole report in one file that needs no network, no script and no other file.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use sweep_core::error::{Error, Kind, Result};
use sweep_experiment::records::State;

use super::answer::{self, Answer};
use super::figure::{FIGURES, Figure, FigureText, LOSS_VS_ERROR, anchor};
use super::folds;
use super::markdown::{references, sample};
use super::measures;
use super::page_tables::{PageGroup, PageTable, configurations, facts, leaderboard, page_groups, page_table, trials};
use super::pages;
use super::series::{Group, drawn_groups, groups, kinds};
use super::{Conclusions, Content, Drawn};
use crate::SweepRecords;
use crate::findings::{Finding, Topic, Verdict};

/// Caption of the table of configurations.
const SINGLE_SPLIT_CAPTION: &str =
    "Mean ± standard deviation over seeds, each trial at its own best epoch on the validation images.";

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
    /// The configurations that charts show, by their index.
    groups: Vec<PageGroup>,
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

/// The pages with their file names, `index.html` first; `figures` by file name. A sweep of many trials has several
/// pages of them.
///
/// # Errors
/// When the template cannot be rendered; never in practice, because it is part of the program.
pub(super) fn html(
    sweep: &SweepRecords,
    Content { findings, onsets, .. }: Content<'_>,
    conclusions: &Conclusions,
    figures: &BTreeMap<&'static str, Drawn>,
) -> Result<Vec<(String, String)>> {
    let sweep = &*sweep.pooled();
    let (groups, drawn) = (groups(sweep), drawn_groups(sweep));
    let folds = folds::configurations(&groups, findings, sweep.unit);
    let (all_configurations, left_out) = (configurations(&groups, sweep.unit), pages::configurations(&groups).1);
    let caption = if folds.is_some() { folds::CAPTION } else { SINGLE_SPLIT_CAPTION };
    let mut table = trials(sweep, &drawn, onsets);
    let rest = table.rows.split_off(table.rows.len().min(pages::TRIALS));
    let links = links(table.rows.len(), rest.len());
    let cards = |topic| findings.iter().filter(|f| f.topic == topic).map(|f| card(f, true)).collect::<Vec<_>>();
    let answer = conclusions.answer.clone();
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
        answer: answer.map(|answer| page_answer(answer, &drawn, figures)),
        words: [Some(caption), left_out.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" "),
        configurations: folds.map_or(all_configurations, page_table).about(&drawn).linked_to(),
        groups: page_groups(&drawn, figures)?,
        landmarks: folds::landmarks(findings).map(page_table),
        landmark_words: folds::landmark_caption(sweep.unit),
        measures: conclusions.measures.clone().map(page_measures),
        unit: sweep.unit.symbol(),
        comparable: kinds(&groups).len() < 2,
        trials: table,
        provenance: facts(&sweep.provenance),
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

/// Whether findings on a topic precede the figures.
fn precedes_figures(topic: Topic) -> bool {
    matches!(topic, Topic::Failures | Topic::CrossValidation | Topic::Claims)
}

fn page_answer(answer: Answer, groups: &[Group<'_>], figures: &BTreeMap<&'static str, Drawn>) -> PageAnswer {
    PageAnswer {
        class: class(answer.verdict),
        strength: answer.strength,
        caption: answer::caption(&answer),
        figure: Figure::of(LOSS_VS_ERROR, figures).map(|figure| figure.beside("answer")),
        sentence: answer.sentence,
        effects: answer.effects,
        by_loss: answer.by_loss,
        leaderboard: leaderboard(answer.leaderboard).about(groups),
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
        verdict: finding.badge(),
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

fn page_measures(of: measures::MeasureTables) -> PageMeasures {
    let (best, best_caption) = of.best.map_or((None, ""), |(table, caption)| (Some(page_table(table)), caption));
    PageMeasures { agreement: page_table(of.agreement), caption: of.caption, best, best_caption }
}
