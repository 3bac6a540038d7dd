//! `loss_vs_error.png`: whether a smaller loss is a smaller landmark error, over epochs and across trials.

use std::collections::BTreeMap;

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::{EpochRecord, Selection};

use super::per_landmark::FIGURE_RESAMPLES;
use super::series::{Group, Value, kinds};
use super::{MAX_GROUPS, shown};
use crate::TrialRecords;
use crate::drawing::canvas::Canvas;
use crate::drawing::colour::{BLACK, GREY, WHITE, group_style, tint};
use crate::drawing::figure::Figure;
use crate::drawing::geometry::PixelPoint;
use crate::drawing::legend::LegendEntry;
use crate::drawing::panel::{Panel, PanelLabels, ring_best_loss};
use crate::drawing::scale::Scale;
use crate::drawing::shape::About;
use crate::drawing::stroke::Stroke;
use crate::drawing::text::{Anchor, SMALL_SIZE, TextStyle};
use crate::format::{mm, number};
use crate::statistics::Crossed;

/// A difference of errors (mm) worth a headline; smaller ones are within the spread between seeds.
const NOTEWORTHY_MM: f64 = 0.1;

/// A trial's epoch of least validation loss.
struct LeastLoss<'a> {
    group: usize,
    trial: &'a TrialRecords,
    epoch: &'a EpochRecord,
}

/// Paths of the trials over their epochs (left) and the trials at their least loss (right); loss on a log axis.
pub(super) fn draw(groups: &[Group<'_>], unit: ErrorUnit) -> Figure {
    let (drawn, note) = shown(groups, MAX_GROUPS);
    let trials = || drawn.iter().enumerate().flat_map(|(i, g)| g.trials.iter().map(move |t| (i, *t)));
    let choices: Vec<LeastLoss<'_>> = trials()
        .filter_map(|(group, trial)| trial.best_loss().map(|epoch| LeastLoss { group, trial, epoch }))
        .collect();
    let has_points = |group: &Group<'_>| group.trials.iter().any(|trial| !path(trial).is_empty());
    let mut legend: Vec<LegendEntry> = drawn
        .iter()
        .enumerate()
        .filter(|(_, group)| has_points(group))
        .map(|(i, group)| LegendEntry::group(&group.label, i))
        .collect();
    legend.push(LegendEntry::ring("epoch of least validation loss", BLACK));
    legend.push(LegendEntry::dot("first epoch", GREY));
    let kinds = match kinds(drawn).len() {
        1 => "",
        _ => " Losses of different kinds measure different things; only the vertical axis compares groups.",
    };
    let subtitle = format!("{}{kinds}{note}", subtitle(drawn, &choices, unit));
    let mut figure = Figure::new(&title(&choices, unit), &subtitle, &legend, 680.0);

    let points: Vec<(f64, f64)> = trials().flat_map(|(_, t)| path(t)).collect();
    let x = Scale::log(points.iter().map(|p| p.0));
    let y = Scale::auto(points.iter().map(|p| p.1));
    let log = if y.is_log() { ", log scale" } else { "" };
    let columns = if choices.len() > 1 { 2 } else { 1 };
    let outer = figure.content.cell(0, columns, 1, 24.0);
    let y_name = format!("validation MRE ({unit}){log}");
    let labels = PanelLabels {
        title: if trials().all(|(_, t)| t.objective.is_default()) {
            "Over epochs; the marker is at the least error"
        } else {
            "Over epochs; the marker is at the best epoch"
        },
        x: "validation loss, log scale",
        y: &y_name,
    };
    let panel = Panel::new(&mut figure.canvas, outer, labels, x, y);
    draw_paths(&mut figure.canvas, panel, drawn, unit);
    if columns == 1 {
        return figure;
    }

    let x = Scale::log(choices.iter().map(|c| c.epoch.val_loss));
    let intervals: Vec<Option<[f64; 2]>> = choices.iter().map(interval_over_images).collect();
    let ends = intervals.iter().flatten().flatten().copied();
    let y = Scale::auto(choices.iter().map(|c| c.epoch.mre()).chain(ends));
    let outer = figure.content.cell(1, 2, 1, 24.0);
    let log = if y.is_log() { ", log scale" } else { "" };
    let y_name = format!("validation MRE at that epoch ({unit}){log}");
    let pooled = choices.iter().any(|choice| !choice.trial.folds.is_empty());
    let labels = PanelLabels {
        title: if pooled {
            "Across cross-validations, all folds at the epoch of least loss"
        } else {
            "Across trials at their least loss; bar: 95 % interval over images"
        },
        x: "least validation loss, log scale",
        y: &y_name,
    };
    let panel = Panel::new(&mut figure.canvas, outer, labels, x, y);
    draw_choices(&mut figure.canvas, panel, drawn, (&choices, &intervals), unit);
    figure
}

fn path(trial: &TrialRecords) -> Vec<(f64, f64)> {
    let points = trial.epochs.iter().map(|e| (e.val_loss, e.mre()));
    points.filter(|(loss, error)| loss.is_finite() && error.is_finite()).collect()
}

fn draw_paths(canvas: &mut Canvas, panel: Panel, groups: &[Group<'_>], unit: ErrorUnit) {
    let trials = || groups.iter().enumerate().flat_map(|(i, g)| g.trials.iter().map(move |t| (i, *t)));
    let named = |group: usize, trial: &TrialRecords| format!("{}, seed {}", groups[group].label, trial.seed);
    for (group, trial) in trials() {
        let words = named(group, trial);
        canvas.about(About::group(&words, group), |canvas| {
            panel.line(canvas, &path(trial), Stroke::solid(tint(group_style(group).0, 0.55), 2.0));
            panel.spots(canvas, &path(trial), |loss, error| {
                format!("{words}: {} {unit} at loss {}", mm(error), number(loss))
            });
        });
    }
    for (group, trial) in trials() {
        let (colour, _) = group_style(group);
        if let Some(position) = path(trial).first().and_then(|p| panel.position(*p)) {
            canvas.disc(position, 5.0, WHITE);
            canvas.disc(position, 4.0, colour);
        }
        if let Some(position) = trial.best_loss().and_then(|e| panel.position((e.val_loss, e.mre()))) {
            ring_best_loss(canvas, position);
        }
    }
    for (group, trial) in trials() {
        let (colour, marker) = group_style(group);
        if let Some(best) = trial.best_error() {
            let (loss, error) = (best.val_loss, best.mre());
            let words =
                format!("{}, epoch {}: {} {unit} at loss {}", named(group, trial), best.epoch, mm(error), number(loss));
            canvas.about(About::group(&words, group), |canvas| {
                panel.marker(canvas, (loss, error), 8.0, marker, colour);
            });
        }
    }
    if trials().all(|(_, t)| path(t).is_empty()) {
        panel.message(canvas, "no epoch was evaluated");
    }
}

fn draw_choices(
    canvas: &mut Canvas,
    panel: Panel,
    groups: &[Group<'_>],
    (choices, intervals): (&[LeastLoss<'_>], &[Option<[f64; 2]>]),
    unit: ErrorUnit,
) {
    let position = |c: &LeastLoss<'_>| panel.position((c.epoch.val_loss, c.epoch.mre()));
    let labels = match extremes(choices) {
        Some((loss, error)) if !std::ptr::eq(loss, error) => vec![
            (position(error), format!("least error: {} {unit}", mm(error.epoch.mre()))),
            (position(loss), format!("least loss: {} {unit}", mm(loss.epoch.mre()))),
        ],
        Some((both, _)) => vec![(position(both), format!("both least: {} {unit}", mm(both.epoch.mre())))],
        None => Vec::new(),
    };
    // The least error is the lowest point, so the other label can move up.
    let mut lowest = f64::INFINITY;
    let markers: Vec<PixelPoint> = choices.iter().filter_map(position).collect();
    for (at, label) in labels {
        if let Some(at) = at {
            let height = free_height(at, at.1.min(lowest), &label, &markers, panel);
            call_out(canvas, panel, at, height, &label);
            lowest = height - LABEL_HEIGHT;
        }
    }
    for (choice, interval) in choices.iter().zip(intervals) {
        if let Some(interval) = interval {
            let stroke = Stroke::solid(tint(group_style(choice.group).0, 0.5), 2.5);
            panel.whisker(canvas, choice.epoch.val_loss, *interval, stroke);
        }
    }
    for choice in choices {
        let (colour, marker) = group_style(choice.group);
        let (loss, error) = (choice.epoch.val_loss, choice.epoch.mre());
        let (label, seed) = (&groups[choice.group].label, choice.trial.seed);
        let words = format!(
            "{label}, seed {seed}, epoch {}: {} {unit} at loss {}",
            choice.epoch.epoch,
            mm(error),
            number(loss)
        );
        canvas.about(About::group(&words, choice.group), |canvas| {
            panel.marker(canvas, (loss, error), 10.0, marker, colour);
        });
    }
}

/// 95 % interval of the trial's MRE at its epoch of least loss, for other images. `None` for pooled folds: they are shown
/// at one common epoch, but their predictions were recorded at each fold's own.
fn interval_over_images(choice: &LeastLoss<'_>) -> Option<[f64; 2]> {
    if !choice.trial.folds.is_empty() {
        return None;
    }
    let mut images: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for row in choice.trial.landmarks.iter().filter(|r| r.selected == Selection::BestLoss && r.error().is_finite()) {
        let cell = images.entry(&row.image).or_default();
        *cell = (cell.0 + row.error(), cell.1 + 1);
    }
    let interval = Crossed::new(&[images.into_values().collect()]).positive_with(0, FIGURE_RESAMPLES).interval;
    interval[0].is_finite().then_some(interval)
}

/// Pixels from one label to the next above it.
const LABEL_HEIGHT: f64 = 36.0;

/// Pixels around a label in which no marker should lie.
const CLEARANCE: f64 = 14.0;

/// The first height from `start` upwards at which a label beside a point covers no marker; `start` if there is none.
fn free_height(at: PixelPoint, start: f64, label: &str, markers: &[PixelPoint], panel: Panel) -> f64 {
    let near = 48.0 - CLEARANCE;
    let far = 48.0 + TextStyle::bold(SMALL_SIZE).width(label) + CLEARANCE;
    let side = if is_left(at.0, panel) { 1.0 } else { -1.0 };
    let covered = |height: f64| {
        let beside = |m: &&PixelPoint| (near..far).contains(&(side * (m.0 - at.0)));
        markers.iter().filter(beside).any(|m| (m.1 - height).abs() < LABEL_HEIGHT / 2.0 + CLEARANCE)
    };
    let heights = (0..24).map(|step| start - f64::from(step) * LABEL_HEIGHT / 4.0);
    heights.take_while(|height| *height > panel.area.top).find(|height| !covered(*height)).unwrap_or(start)
}

/// Whether a point lies in the left half of the panel.
fn is_left(x: f64, panel: Panel) -> bool {
    x < f64::midpoint(panel.area.left, panel.area.right)
}

/// A bold label beside a point, on the side with more space, at this height.
fn call_out(canvas: &mut Canvas, panel: Panel, (x, y): PixelPoint, height: f64, label: &str) {
    let (side, anchor) = if is_left(x, panel) { (1.0, Anchor::Left) } else { (-1.0, Anchor::Right) };
    canvas.line(&[(x, y), (x + side * 40.0, height)], Stroke::solid(BLACK, 2.0));
    canvas.label(label, (x + side * 48.0, height), anchor, TextStyle::bold(SMALL_SIZE));
}

/// The trial of least loss and the trial of least error, each at its epoch of least loss.
fn extremes<'a, 'b>(choices: &'b [LeastLoss<'a>]) -> Option<(&'b LeastLoss<'a>, &'b LeastLoss<'a>)> {
    let least =
        |value: Value| choices.iter().reduce(|best, c| if value(c.epoch) < value(best.epoch) { c } else { best });
    Some((least(|e| e.val_loss)?, least(EpochRecord::mre)?))
}

/// Main result of the figure, in a sentence.
fn title(choices: &[LeastLoss<'_>], unit: ErrorUnit) -> String {
    let Some((loss, error)) = extremes(choices) else {
        return "Loss against landmark error: nothing was evaluated yet".to_owned();
    };
    let noteworthy = unit.threshold(NOTEWORTHY_MM);
    let [at_loss, at_error] = [loss, error].map(|c| mm(c.epoch.mre()));
    if loss.epoch.mre() - error.epoch.mre() >= noteworthy {
        let [loss, error] = [loss, error].map(|c| number(c.epoch.val_loss));
        format!(
            "The smallest loss is not the smallest error: {at_loss} {unit} at loss {loss}, {at_error} {unit} at loss {error}"
        )
    } else if worst_regret(choices) >= noteworthy {
        format!("Choosing the epoch by its loss costs up to {} {unit} of landmark error", mm(worst_regret(choices)))
    } else {
        "Here the smallest loss is as good a choice as the smallest landmark error".to_owned()
    }
}

/// The trials that the title refers to, and the cost of selecting the epoch by its loss.
fn subtitle(groups: &[Group<'_>], choices: &[LeastLoss<'_>], unit: ErrorUnit) -> String {
    let Some((loss, error)) = extremes(choices) else { return String::new() };
    let named = |c: &LeastLoss<'_>| format!("{} (seed {})", groups[c.group].label, c.trial.seed);
    let trials = if std::ptr::eq(loss, error) {
        String::new()
    } else {
        format!("Least loss: {}; least error: {}. ", named(loss), named(error))
    };
    let worst = mm(worst_regret(choices));
    format!("{trials}At its epoch of least loss a trial is up to {worst} {unit} worse than at its best epoch.")
}

/// The most that a trial's error at its least loss exceeds its least error.
fn worst_regret(choices: &[LeastLoss<'_>]) -> f64 {
    let regrets = choices.iter().filter_map(|c| Some(c.epoch.mre() - c.trial.best_error()?.mre()));
    regrets.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::series::groups;
    use crate::report::synthetic::{Scenario, sweep};

    fn title_of(count: usize, change: impl Fn(&mut EpochRecord)) -> String {
        let mut sweep = sweep(count, 1, Scenario::OneEpoch);
        sweep.trials.iter_mut().flat_map(|t| &mut t.epochs).for_each(change);
        let groups = groups(&sweep);
        let choices: Vec<LeastLoss<'_>> = groups
            .iter()
            .enumerate()
            .filter_map(|(group, g)| {
                g.trials[0].best_loss().map(|epoch| LeastLoss { group, trial: g.trials[0], epoch })
            })
            .collect();
        title(&choices, ErrorUnit::Millimetres)
    }

    #[test]
    fn the_title_says_what_the_data_show() {
        let tiny_is_worse = title_of(2, |e| e.val_mre_mm = if e.val_loss < 0.01 { 3.0 } else { 1.5 });
        assert!(tiny_is_worse.starts_with("The smallest loss is not the smallest error: 3.00 mm"), "{tiny_is_worse}");
        let nearly_equal = title_of(2, |e| e.val_mre_mm = if e.val_loss < 0.01 { 1.52 } else { 1.5 });
        assert!(nearly_equal.starts_with("Here"), "{nearly_equal}");
        assert!(title(&[], ErrorUnit::Pixels).contains("nothing was evaluated"));
    }

    #[test]
    fn a_trial_that_overfits_is_told() {
        let mut sweep = sweep(1, 1, Scenario::Realistic);
        sweep.trials[0].epochs[9].val_loss = 0.0;
        let groups = groups(&sweep);
        let trial = groups[0].trials[0];
        let choice = LeastLoss { group: 0, trial, epoch: trial.best_loss().unwrap() };
        let costs = title(&[choice], ErrorUnit::Pixels);
        assert!(costs.starts_with("Choosing the epoch by its loss costs up to") && costs.contains(" px of"), "{costs}");
    }
}
