//! Which trials a table shows, in which order, and how they are grouped.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use sweep_analysis::statistics::mean;

use super::columns::{Cell, Column, columns};
use super::trial_address;
use crate::address::Address;
use crate::assets::COLOURS;
use crate::records::{Sweep, Trial};

/// Rows of a page of the table.
const PAGE: usize = 100;

/// A table as its template writes it.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    heads: Vec<Head>,
    rows: Vec<Row>,
    /// Number of rows on all pages.
    pub(super) total: usize,
    /// Other pages: words and address; the page itself has no address.
    pages: Vec<(String, Option<String>)>,
}

#[derive(Debug, Serialize)]
struct Head {
    title: String,
    number: bool,
    /// Address of the table in the order of this column.
    href: String,
    /// `ascending` or `descending`, if the table is in its order.
    order: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    href: Option<String>,
    colour: Option<usize>,
    state: Option<&'static str>,
    problem: Option<String>,
    cells: Vec<(String, bool)>,
}

/// The trials that an address asks for, in its order.
pub(super) fn selected<'a>(sweep: &'a Sweep, address: &Address) -> Vec<&'a Arc<Trial>> {
    let mut trials: Vec<&Arc<Trial>> =
        sweep.trials.iter().filter(|trial| matches(trial, address.get("q").unwrap_or_default())).collect();
    let columns = columns(sweep);
    if let Some(column) = Column::of(&columns, address.get("sort")) {
        let mut keyed: Vec<(Cell, &Arc<Trial>)> = trials.into_iter().map(|trial| (column.cell(trial), trial)).collect();
        keyed.sort_by(|a, b| compared(&a.0, &b.0, address.is_set("desc")));
        trials = keyed.into_iter().map(|(_, trial)| trial).collect();
    }
    trials
}

/// Whether a trial has all of some words, in its name, state or `axis=value`, whatever their case.
fn matches(trial: &Trial, words: &str) -> bool {
    if words.trim().is_empty() {
        return true;
    }
    let axes: Vec<String> = trial.records.axes.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
    let text = format!("{} {} seed={} {}", trial.id(), trial.state, trial.records.seed, axes.join(" ")).to_lowercase();
    words.to_lowercase().split_whitespace().all(|word| text.contains(word))
}

/// Cells in order: numbers by size, before words; what is not known comes last, in both directions.
fn compared(a: &Cell, b: &Cell, descending: bool) -> Ordering {
    let directed = |order: Ordering| if descending { order.reverse() } else { order };
    let is_unknown = |cell: &Cell| cell.value.is_none() && matches!(cell.text.as_str(), "" | "–");
    match (a.value, b.value) {
        (Some(x), Some(y)) => directed(x.total_cmp(&y)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => is_unknown(a).cmp(&is_unknown(b)).then(directed(a.text.cmp(&b.text))),
    }
}

/// The table that an address asks for: a row per trial, or per group.
pub(super) fn table(sweep: &Sweep, trials: &[&Arc<Trial>], address: &Address) -> Table {
    let all = columns(sweep);
    let (mut heads, rows) = match group(sweep, address) {
        Some(key) => grouped(sweep, trials, &all, &key, address),
        None => (all.iter().map(|column| head(column, sweep, address)).collect(), each(sweep, trials, &all)),
    };
    let is_trial = group(sweep, address).is_none();
    // The trial's name is the row's own head.
    heads.retain(|head: &Head| !is_trial || head.title != "trial");
    let total = rows.len();
    let page = address.number::<usize>("page").unwrap_or(1).clamp(1, total.div_ceil(PAGE).max(1));
    let pages = (1..=total.div_ceil(PAGE)).map(|at| {
        let words = format!("{}–{}", (at - 1) * PAGE + 1, (at * PAGE).min(total));
        let number = at.to_string();
        (words, (at != page).then(|| address.with(&[("page", if at == 1 { "" } else { &number })])))
    });
    let pages = if total > PAGE { pages.collect() } else { Vec::new() };
    Table { heads, rows: rows.into_iter().skip((page - 1) * PAGE).take(PAGE).collect(), total, pages }
}

fn head(column: &Column, sweep: &Sweep, address: &Address) -> Head {
    let key = column.key();
    let is_sorted = address.get("sort") == Some(&key);
    let descends = address.is_set("desc");
    let next = if is_sorted && !descends { "1" } else { "" };
    Head {
        title: column.title(sweep.unit()),
        number: column.is_number(),
        href: address.with(&[("sort", &key), ("desc", next), ("page", "")]),
        order: is_sorted.then_some(if descends { "descending" } else { "ascending" }),
    }
}

fn each(sweep: &Sweep, trials: &[&Arc<Trial>], columns: &[Column]) -> Vec<Row> {
    let shown: Vec<&Column> = columns.iter().filter(|column| column.key() != "trial").collect();
    let row = |trial: &&Arc<Trial>| Row {
        name: trial.id().to_owned(),
        href: Some(trial_address(&sweep.folder, trial.id())),
        colour: colour(sweep, trial),
        state: Some(trial.state),
        problem: trial.problem.clone(),
        cells: shown.iter().map(|column| (column.cell(trial).text, column.is_number())).collect(),
    };
    trials.iter().map(row).collect()
}

/// The colour of a trial's configuration; none before it has begun.
pub(super) fn colour(sweep: &Sweep, trial: &Trial) -> Option<usize> {
    (!trial.records.configuration.is_empty()).then(|| sweep.colour(&trial.configuration()) % COLOURS)
}

/// What an address groups by: the configuration, or an axis.
pub(super) enum Group {
    Configuration,
    Axis(String),
}

impl Group {
    /// The group that a trial belongs to.
    pub(super) fn of(&self, trial: &Trial) -> String {
        match self {
            Self::Configuration => trial.configuration(),
            Self::Axis(axis) => trial.on(axis).to_owned(),
        }
    }
}

/// What an address groups by, if it does.
pub(super) fn group(sweep: &Sweep, address: &Address) -> Option<Group> {
    match address.get("group")? {
        "configuration" => Some(Group::Configuration),
        axis => sweep.axes.iter().find(|known| *known == axis).cloned().map(Group::Axis),
    }
}

/// Groups with the index of their colours, in the order of the plan.
pub(super) fn colours(sweep: &Sweep, group: &Group) -> BTreeMap<String, usize> {
    let mut colours = BTreeMap::new();
    for trial in sweep.begun() {
        let next = colours.len();
        colours.entry(group.of(trial)).or_insert(next % COLOURS);
    }
    colours
}

/// Columns that a group has a mean of.
const AVERAGED: [&str; 7] = ["mre", "sdr", "test", "at-least-loss", "regret", "loss", "seconds"];

fn grouped(
    sweep: &Sweep,
    trials: &[&Arc<Trial>],
    columns: &[Column],
    group: &Group,
    address: &Address,
) -> (Vec<Head>, Vec<Row>) {
    let shown: Vec<&Column> = columns.iter().filter(|column| AVERAGED.contains(&column.key().as_str())).collect();
    let colours = colours(sweep, group);
    let mut members: Vec<(String, Vec<&Arc<Trial>>)> = Vec::new();
    for trial in trials.iter().filter(|trial| !trial.records.configuration.is_empty()) {
        let name = group.of(trial);
        match members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, members)) => members.push(trial),
            None => members.push((name, vec![trial])),
        }
    }
    let mut rows: Vec<(Vec<Cell>, Row)> = members
        .into_iter()
        .map(|(name, members)| {
            let counted = Cell { text: members.len().to_string(), value: Some(members.len() as f64) };
            let cells: Vec<Cell> =
                std::iter::once(counted).chain(shown.iter().map(|column| averaged(column, &members))).collect();
            let row = Row {
                colour: colours.get(&name).copied(),
                href: None,
                state: None,
                problem: None,
                cells: cells.iter().map(|cell| (cell.text.clone(), true)).collect(),
                name,
            };
            (cells, row)
        })
        .collect();
    if let Some(at) = shown.iter().position(|column| address.get("sort") == Some(&column.key())) {
        rows.sort_by(|a, b| compared(&a.0[at + 1], &b.0[at + 1], address.is_set("desc")));
    }
    let count = Head {
        title: "trials".to_owned(),
        number: true,
        href: address.with(&[("sort", ""), ("desc", "")]),
        order: None,
    };
    let heads = std::iter::once(count).chain(shown.iter().map(|column| head(column, sweep, address))).collect();
    (heads, rows.into_iter().map(|(_, row)| row).collect())
}

/// Mean and standard deviation over the trials of a group that have the value.
fn averaged(column: &Column, trials: &[&Arc<Trial>]) -> Cell {
    let cells: Vec<f64> = trials.iter().filter_map(|trial| column.cell(trial).value).collect();
    if cells.is_empty() {
        return Cell { text: "–".to_owned(), value: None };
    }
    let (centre, decimals) = (mean(&cells), if column.key() == "loss" { 5 } else { 2 });
    let squares: f64 = cells.iter().map(|value| (value - centre).powi(2)).sum();
    let spread = if cells.len() > 1 {
        format!(" ± {:.decimals$}", (squares / (cells.len() - 1) as f64).sqrt())
    } else {
        String::new()
    };
    Cell { text: format!("{centre:.decimals$}{spread}"), value: Some(centre) }
}
