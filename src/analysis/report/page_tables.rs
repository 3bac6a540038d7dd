//! Tables of the page: rows of configurations and trials, which lead to the charts that show them.

use std::collections::BTreeMap;

use serde::Serialize;

use sweep_core::error::Result;
use sweep_core::units::ErrorUnit;

use super::answer;
use super::folds;
use super::markdown::{error_at_best, has_test, row_of_group};
use super::overlays;
use super::pages;
use super::series::Group;
use super::{Drawn, MAX_GROUPS, MAX_PANELS};
use crate::curves::{Onset, collapse};
use crate::drawing::canvas::Canvas;
use crate::drawing::colour::group_style;
use crate::findings::Onsets;
use crate::format::{mm, number};
use crate::summary::TrialSummary;
use crate::{SweepRecords, TrialRecords};

/// A configuration in the page: its rows, curves and predictions are shown together.
#[derive(Serialize)]
pub(super) struct PageGroup {
    label: String,
    /// Its marker in the charts, as an element.
    symbol: String,
    /// Whether it has a curve of its error.
    has_curve: bool,
    /// Whether its predictions are a layer on the images.
    has_overlay: bool,
}

/// The configurations that charts show, by their index.
///
/// # Errors
/// When a marker cannot be drawn.
pub(super) fn page_groups(groups: &[Group<'_>], figures: &BTreeMap<&'static str, Drawn>) -> Result<Vec<PageGroup>> {
    let on_images = if figures.contains_key("overlays.png") { overlays::groups_in_page(groups) } else { Vec::new() };
    let page_group = |(index, group): (usize, &Group<'_>)| {
        let mut canvas = Canvas::new(24, 24);
        let (colour, marker) = group_style(index);
        canvas.marker((12.0, 12.0), 8.0, marker, colour);
        Ok(PageGroup {
            label: group.label.clone(),
            symbol: canvas.svg("")?.unwrap_or_default(),
            has_curve: index < MAX_GROUPS && figures.contains_key("landmark_error.png"),
            has_overlay: on_images.contains(&index),
        })
    };
    groups.iter().take(MAX_PANELS).enumerate().map(page_group).collect()
}

/// A table.
#[derive(Serialize)]
pub(super) struct PageTable {
    columns: Vec<PageColumn>,
    pub(super) rows: Vec<PageRow>,
    /// Whether its rows are those that charts lead to.
    is_place: bool,
}

#[derive(Serialize)]
struct PageColumn {
    name: String,
    number: bool,
}

/// A row.
#[derive(Serialize)]
pub(super) struct PageRow {
    cells: Vec<PageCell>,
    /// The configuration that it is about, by its index.
    group: Option<usize>,
}

impl PageRow {
    /// A row about no configuration.
    fn plain(cells: Vec<PageCell>) -> Self {
        Self { cells, group: None }
    }
}

/// A cell, and its sort key if that is not its text.
#[derive(Serialize)]
struct PageCell {
    text: String,
    value: Option<String>,
}

impl PageTable {
    /// The table with its rows about the configurations that their first cells name.
    pub(super) fn about(mut self, groups: &[Group<'_>]) -> Self {
        let index: BTreeMap<&str, usize> =
            groups.iter().enumerate().map(|(at, group)| (group.label.as_str(), at)).collect();
        for row in &mut self.rows {
            row.group = row.cells.first().and_then(|cell| index.get(cell.text.as_str()).copied());
        }
        self
    }

    /// The table whose rows charts lead to.
    pub(super) fn linked_to(self) -> Self {
        Self { is_place: true, ..self }
    }
}

/// Facts by their names.
pub(super) fn facts(facts: &[(String, String)]) -> PageTable {
    let rows = facts.iter().map(|(key, value)| vec![key.clone(), value.clone()]).collect();
    let columns = ["fact", "value"].map(str::to_owned).to_vec();
    let mut table = page_table(folds::TextTable { columns, rows });
    table.columns.iter_mut().for_each(|column| column.number = false);
    table
}

fn text_cell(text: &str) -> PageCell {
    PageCell { text: text.to_owned(), value: None }
}

/// A formatted number, sorted by its full value; missing numbers sort last.
fn number_cell(value: f64, show: fn(f64) -> String) -> PageCell {
    PageCell { text: show(value), value: Some(if value.is_finite() { value.to_string() } else { "1e308".to_owned() }) }
}

/// A table with text in its first and third column and numbers in the others.
pub(super) fn page_table(table: folds::TextTable) -> PageTable {
    let columns = table.columns.into_iter().enumerate();
    let columns = columns.map(|(i, name)| PageColumn { number: i > 2 || i == 1, name });
    PageTable {
        columns: columns.collect(),
        rows: table.rows.iter().map(|row| PageRow::plain(row.iter().map(|c| text_cell(c)).collect())).collect(),
        is_place: false,
    }
}

/// A table whose first column and that of comparisons with the best are texts.
pub(super) fn leaderboard(table: folds::TextTable) -> PageTable {
    let mut table = page_table(table);
    for (at, column) in table.columns.iter_mut().enumerate() {
        column.number = at > 0 && column.name != answer::AGAINST_THE_BEST;
    }
    table
}

/// Every configuration, or those of least error.
pub(super) fn configurations(groups: &[Group<'_>], unit: ErrorUnit) -> PageTable {
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
        .map(|group| PageRow::plain(row_of_group(group, with_test).iter().map(|cell| text_cell(cell)).collect()));
    PageTable { columns: columns.collect(), rows: rows.collect(), is_place: false }
}

/// Every trial.
pub(super) fn trials(sweep: &SweepRecords, groups: &[Group<'_>], onsets: &Onsets) -> PageTable {
    let ids = |group: &Group<'_>| {
        group.trials.iter().flat_map(|trial| trial.trainings()).map(|trial| trial.id.clone()).collect::<Vec<_>>()
    };
    let group_of: BTreeMap<String, usize> =
        groups.iter().enumerate().flat_map(|(at, group)| ids(group).into_iter().map(move |id| (id, at))).collect();
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
    let row = |trial: &TrialRecords| PageRow {
        cells: trial_row(trial, &axes, onsets.get(&trial.id)),
        group: group_of.get(&trial.id).copied(),
    };
    PageTable { columns, rows: all.into_iter().map(row).collect(), is_place: false }
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
