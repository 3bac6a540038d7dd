//! The errors of measures: tables of every configuration, and `bland_altman.png` of the best one.

use sweep_core::measures::MeasureUnit;
use sweep_core::units::ErrorUnit;

use super::MAX_GROUPS;
use super::folds::TextTable;
use super::series::{Group, error};
use crate::SweepRecords;
use crate::drawing::colour::{GREY, group_style};
use crate::drawing::figure::Figure;
use crate::drawing::geometry::Rect;
use crate::drawing::legend::LegendEntry;
use crate::drawing::panel::{Panel, PanelLabels};
use crate::drawing::scale::Scale;
use crate::drawing::stroke::Stroke;
use crate::format::{fixed, interval, signed};
use crate::measured::Measured;
use crate::measures::{Agreement, Best, MeasureErrors, ReadingTable};

/// Greatest number of measures in the figure.
const MAX_MEASURES: usize = 12;
/// Panels beside each other, and their height in pixels.
const COLUMNS: usize = 3;
const HEIGHT: f64 = 400.0;

/// What a report says about measures.
#[derive(Debug, Clone)]
pub(super) struct MeasureTables {
    /// Every measure of every configuration.
    pub(super) agreement: TextTable,
    /// Explanation of its columns.
    pub(super) caption: String,
    /// The configuration of least error, measure by measure, with what the columns are; with several configurations.
    pub(super) best: Option<(TextTable, &'static str)>,
}

/// Caption of the table of the best.
const BEST_CAPTION: &str = "Which configuration reads each measure best: a description, no test among those of the report. The \
interval is that of one pair of configurations, at 95 %, and does not know that the pair was chosen for its errors.";

/// The tables; `None` where the data set defines no measure, or no finished trial has one on an image.
pub(super) fn tables(sweep: &SweepRecords, groups: &[Group<'_>]) -> Option<MeasureTables> {
    let (compared, left_out) = compared(groups);
    let measured = Measured::of(sweep);
    let MeasureErrors { agreements, best } = MeasureErrors::of(&compared, &sweep.measures, measured);
    if agreements.is_empty() {
        return None;
    }
    let columns = [
        "measure",
        "images",
        "configuration",
        "error",
        "95 % interval",
        "bias",
        "95 % interval",
        "limits of agreement",
        "ICC",
    ]
    .into_iter()
    .chain(["95 % interval", "same class (%)"]);
    let agreement = TextTable {
        columns: columns.map(str::to_owned).collect(),
        rows: agreements.iter().map(|of| agreement_row(of, sweep.unit)).collect(),
    };
    let columns = ["measure", "images", "least error", "next", "next behind by", "95 % interval"].map(str::to_owned);
    let rows = best.iter().map(|of| best_row(of, sweep)).collect::<Vec<_>>();
    let best = (!rows.is_empty()).then(|| (TextTable { columns: columns.to_vec(), rows }, BEST_CAPTION));
    let others =
        if left_out > 0 { format!(" {left_out} configurations of larger error are left out.") } else { String::new() };
    let caption = format!(
        "Measures of the predicted less those of the true landmarks, on validation images {}. Error: mean absolute error. Limits \
         of agreement: bias ∓ 1.96 standard deviations of single images and seeds (Bland and Altman). ICC: absolute agreement of \
         single values, ICC(A,1), over images; of several seeds, the mean of each one's own value and ends. Same class: \
         predictions in the class of the truth. An image counts where its landmarks are marked, and those of every seed's \
         prediction define the measure. An interval that reaches further than the largest error is left out.{others}",
        at(sweep, &compared)
    );
    Some(MeasureTables { agreement, caption, best })
}

/// The epoch whose positions are read, in words.
fn at(sweep: &SweepRecords, groups: &[&Group<'_>]) -> &'static str {
    use sweep_experiment::records::Selection;
    let first = groups.iter().flat_map(|group| group.done()).next();
    match first.map(|trial| Measured::of(sweep).predicted_at(trial)) {
        Some(Selection::BestError) => "at the epoch that the objective chose on them",
        Some(Selection::BestLoss) => "at the epoch of least loss",
        Some(Selection::Last) | None => "at the last epoch, which nothing chose",
    }
}

/// The configurations that are compared, in the plan's order: with many, those of least error; and how many are left out.
fn compared<'a, 'b>(groups: &'b [Group<'a>]) -> (Vec<&'b Group<'a>>, usize) {
    let mut order: Vec<usize> = (0..groups.len()).filter(|at| groups[*at].done().next().is_some()).collect();
    order.sort_by(|a, b| error(&groups[*a]).total_cmp(&error(&groups[*b])));
    let left_out = order.len().saturating_sub(MAX_GROUPS);
    order.truncate(MAX_GROUPS);
    order.sort_unstable();
    (order.into_iter().map(|at| &groups[at]).collect(), left_out)
}

fn show(value: f64, unit: MeasureUnit) -> String {
    if value.is_finite() { format!("{value:.*}", unit.decimals()) } else { "–".to_owned() }
}

/// A unit after a number: `°`, ` mm` or nothing.
fn symbol(unit: MeasureUnit, lengths: ErrorUnit) -> String {
    match unit {
        MeasureUnit::Degrees => "°".to_owned(),
        MeasureUnit::Length => format!(" {lengths}"),
        MeasureUnit::Ratio => String::new(),
    }
}

/// A correlation, with a sign if it is negative.
fn share(value: f64) -> String {
    fixed(value, 3)
}

fn dash(text: String) -> String {
    if text.is_empty() { "–".to_owned() } else { text }
}

fn agreement_row(of: &Agreement, lengths: ErrorUnit) -> Vec<String> {
    let (unit, decimals) = (of.unit, of.unit.decimals());
    let sign = symbol(unit, lengths);
    let [low, high] = of.limits.limits.map(|limit| signed(limit, decimals));
    vec![
        of.measure.clone(),
        of.error.n.images.to_string(),
        of.group.clone(),
        format!("{}{sign}", show(of.error.point, unit)),
        dash(interval(&of.error, |end| show(end, unit))),
        format!("{}{sign}", signed(of.bias.point, decimals)),
        dash(interval(&of.bias, |end| signed(end, decimals))),
        format!("{low} to {high}"),
        of.icc.map_or_else(|| "–".to_owned(), |icc| share(icc.point)),
        of.icc
            .map_or_else(|| "–".to_owned(), |icc| format!("{} to {}", share(icc.interval[0]), share(icc.interval[1]))),
        of.same_class.map_or_else(|| "–".to_owned(), |share| format!("{share:.1}")),
    ]
}

fn best_row(of: &Best, sweep: &SweepRecords) -> Vec<String> {
    let unit = sweep.measures.unit(&of.measure).unwrap_or(MeasureUnit::Ratio);
    let behind = |value: f64| format!("{}{}", show(value, unit), symbol(unit, sweep.unit));
    vec![
        of.measure.clone(),
        of.behind.as_ref().map_or_else(|| "–".to_owned(), |by| by.n.images.to_string()),
        of.group.clone(),
        of.next.clone(),
        of.behind.as_ref().map_or_else(|| "–".to_owned(), |by| behind(by.point)),
        of.behind.as_ref().map_or_else(|| "–".to_owned(), |by| dash(interval(by, |end| signed(end, unit.decimals())))),
    ]
}

/// A panel per measure: the error of every image over its size, for the configuration of least landmark error. `None` where
/// there is no measure.
pub(super) fn draw(sweep: &SweepRecords, groups: &[Group<'_>]) -> Option<Figure> {
    let measured = Measured::of(sweep);
    let best = compared(groups).0.into_iter().min_by(|a, b| error(a).total_cmp(&error(b)));
    let group = best?;
    let tables = ReadingTable::of(group, &sweep.measures, measured);
    if tables.is_empty() {
        return None;
    }
    let (colour, marker) = group_style(0);
    let (bias, limit) = (Stroke::solid(colour, 2.5), Stroke::dashed(colour, 2.0));
    let legend = [
        LegendEntry::group("an image, as predicted by a seed", 0),
        LegendEntry::line("bias", bias),
        LegendEntry::line("limits of agreement", limit),
    ];
    let left_out = tables.len().saturating_sub(MAX_MEASURES);
    let more = if left_out > 0 { format!(" {left_out} more measures stand in the table.") } else { String::new() };
    let subtitle = format!(
        "{}: each image's predicted less true measure, over the mean of both, {}.{more}",
        group.label,
        at(sweep, &[group])
    );
    let rows = tables.len().min(MAX_MEASURES).div_ceil(COLUMNS);
    let mut figure = Figure::new("Measures of predicted and true landmarks", &subtitle, &legend, HEIGHT * rows as f64);
    let content = figure.content;
    let width = (content.right - content.left) / COLUMNS as f64;
    for (at, (name, table)) in tables.iter().take(MAX_MEASURES).enumerate() {
        let (left, top) = (content.left + width * (at % COLUMNS) as f64, content.top + HEIGHT * (at / COLUMNS) as f64);
        let outer = Rect { left, top, right: left + width - 8.0, bottom: top + HEIGHT };
        let unit = sweep.measures.unit(name).unwrap_or(MeasureUnit::Ratio);
        let of = table.agreement(&group.label, name, unit, None).limits;
        let points: Vec<(f64, f64)> =
            table.pairs().map(|(truth, predicted)| (f64::midpoint(truth, predicted), predicted - truth)).collect();
        let (x, y) = (
            Scale::linear(points.iter().map(|point| point.0)),
            Scale::linear(points.iter().map(|point| point.1).chain(of.limits).chain([0.0])),
        );
        let labels = PanelLabels {
            title: name,
            x: &named("mean of truth and prediction", unit, sweep.unit),
            y: &named("error", unit, sweep.unit),
        };
        let panel = Panel::new(&mut figure.canvas, outer, labels, x, y);
        let canvas = &mut figure.canvas;
        panel.horizontal_line(canvas, 0.0, Stroke::solid(GREY, 2.0));
        for point in points {
            panel.marker(canvas, point, 5.0, marker, colour);
        }
        panel.horizontal_line(canvas, of.bias, bias);
        for end in of.limits {
            panel.horizontal_line(canvas, end, limit);
        }
    }
    Some(figure)
}

/// The name of an axis with its unit.
fn named(what: &str, unit: MeasureUnit, lengths: ErrorUnit) -> String {
    match unit.symbol(lengths) {
        "" => what.to_owned(),
        symbol => format!("{what} ({symbol})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::groups;
    use crate::report::synthetic::{Scenario, sweep};
    use sweep_core::measures::Measures;

    fn measured(text: &str) -> SweepRecords {
        SweepRecords { measures: toml::from_str::<Measures>(text).unwrap(), ..sweep(3, 2, Scenario::Realistic) }
    }

    #[test]
    fn every_configuration_has_a_row_of_every_measure() {
        let records = measured(
            "SNA = { angle = ['sella', 'nasion', 'subspinale'], classes = { cuts = [90], names = ['low', 'high'] } }\n\
             height = { distance = ['nasion', 'menton'] }\nnowhere = { distance = ['nasion', 'ANS'] }",
        );
        let groups = groups(&records);
        let of = tables(&records, &groups).unwrap();
        assert_eq!(of.agreement.rows.len(), 6, "no row of a measure without landmarks");
        let row = &of.agreement.rows[0];
        assert!(row[0] == "SNA" && row[1] == "8" && row[2] == groups[0].label && row[3].ends_with('°'), "{row:?}");
        assert!(row[10].parse::<f64>().is_ok(), "a share of images in the same class: {row:?}");
        let height = &of.agreement.rows[3];
        assert!(height[0] == "height" && height[3].ends_with(" mm") && height[10] == "–", "{height:?}");
        let (best, _) = of.best.unwrap();
        assert_eq!(best.rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ["SNA", "height"]);
        assert!(draw(&records, &groups).is_some());
    }

    #[test]
    fn without_measures_there_is_nothing_to_say() {
        let none = measured("");
        assert!(tables(&none, &groups(&none)).is_none() && draw(&none, &groups(&none)).is_none());
        let mut old = measured("SNA = { angle = ['sella', 'nasion', 'subspinale'] }");
        for row in old.trials.iter_mut().flat_map(|trial| &mut trial.landmarks) {
            (row.spacing_x_mm, row.spacing_y_mm) = (f64::NAN, f64::NAN);
        }
        assert!(tables(&old, &groups(&old)).is_none(), "records of before do not say the size of pixels");
    }
}
