//! `loss_curves.png`: training and validation loss over epochs, a panel per group.

use std::collections::BTreeMap;

use super::series::{Group, Value, band, curve, kinds, last_epoch, mean_curve};
use super::{MAX_PANELS, onsets, shown};
use crate::drawing::colour::{BLACK, GREY, group_style, tint};
use crate::drawing::figure::Figure;
use crate::drawing::geometry::Rect;
use crate::drawing::legend::LegendEntry;
use crate::drawing::marker::{Marker, MarkerShape};
use crate::drawing::panel::{Panel, PanelLabels};
use crate::drawing::scale::Scale;
use crate::drawing::shape::About;
use crate::drawing::stroke::Stroke;
use crate::findings::Finding;
use crate::format::number;

const ONSET: Marker = Marker { shape: MarkerShape::TriangleDown, filled: true };
const SERIES: [Value; 2] = [|e| e.train_loss, |e| e.val_loss];

/// Groups side by side; those with the same kind of loss share the vertical axis, others have their own.
pub(super) fn draw(groups: &[Group<'_>], findings: &[Finding]) -> Figure {
    let marks = onsets(findings, "loss");
    let (drawn, note) = shown(groups, MAX_PANELS);
    let kinds = kinds(drawn);
    let scales: BTreeMap<&str, Scale> = kinds.iter().map(|kind| (*kind, scale(drawn, kind))).collect();
    let onset = drawn.iter().any(|g| marks.contains_key(g.label.as_str()));
    let banded = drawn.iter().any(|g| !band(&g.trials, SERIES[1]).is_empty());
    let mut legend = vec![
        LegendEntry::line("validation, mean of seeds", Stroke::solid(BLACK, 4.0)),
        LegendEntry::line("training, mean of seeds", Stroke::dashed(BLACK, 3.0)),
        LegendEntry::line("single seeds", Stroke::solid(tint(BLACK, 0.4), 1.5)),
        LegendEntry::line("all-zero output", Stroke::dotted(GREY, 2.0)),
    ];
    if banded {
        legend[2] = LegendEntry::line("95 % interval over seeds", Stroke::solid(tint(BLACK, 0.2), 14.0));
    }
    if drawn.iter().all(|g| g.trials.len() == 1) {
        legend[0].label = "validation".into();
        legend[1].label = "training".into();
        legend.remove(2);
    }
    if onset {
        legend.push(LegendEntry::marker("overfitting onset", ONSET, BLACK));
    }
    let axes = match kinds.len() {
        _ if drawn.len() == 1 => "",
        1 => "All panels share the vertical axis.",
        _ => {
            "Each kind of loss has an axis of its own: their values measure different things and do not rank the groups."
        }
    };
    let columns = if drawn.len() == 4 { 2 } else { drawn.len().clamp(1, 3) };
    let rows = drawn.len().div_ceil(columns).max(1);
    let height = rows as f64 * if columns == 3 { 430.0 } else { 520.0 };
    let subtitle = format!("Mean loss per image over epochs. {axes}{note}");
    let mut figure = Figure::new("Training and validation loss", &subtitle, &legend, height);
    for (i, group) in drawn.iter().enumerate() {
        let outer = figure.content.cell(i, columns, rows, 16.0);
        let y = scales.get(group.kind.as_str()).copied().unwrap_or(Scale::linear([]));
        draw_group(&mut figure, outer, group, i, y, marks.get(group.label.as_str()).copied());
    }
    figure
}

fn zero_loss(group: &Group<'_>) -> Option<f64> {
    group.trials.iter().flat_map(|t| &t.epochs).map(|e| e.zero_loss).find(|v| v.is_finite())
}

fn scale(groups: &[Group<'_>], kind: &str) -> Scale {
    let same: Vec<&Group<'_>> = groups.iter().filter(|g| g.kind == kind).collect();
    let losses = same.iter().flat_map(|g| &g.trials).flat_map(|t| SERIES.map(|s| curve(t, s))).flatten().map(|p| p.1);
    Scale::auto(losses.chain(same.iter().filter_map(|g| zero_loss(g))))
}

fn draw_group(figure: &mut Figure, outer: Rect, group: &Group<'_>, index: usize, y: Scale, onset: Option<u32>) {
    let (colour, _) = group_style(index);
    let x = Scale::epochs(last_epoch(group.trials.iter().copied()));
    let name = if y.is_log() { "loss, log scale" } else { "loss" };
    let canvas = &mut figure.canvas;
    let panel = Panel::new(canvas, outer, PanelLabels { title: &group.label, x: "epoch", y: name }, x, y);
    if let Some(zero) = zero_loss(group) {
        panel.horizontal_line(canvas, zero, Stroke::dotted(GREY, 2.0));
    }
    let bands = SERIES.map(|series| band(&group.trials, series));
    let single = group.trials.iter().filter(|_| group.trials.len() > 1 && bands[1].is_empty());
    for trial in single {
        canvas.about(About::group(&format!("{}, seed {}", group.label, trial.seed), index), |canvas| {
            panel.line(canvas, &curve(trial, SERIES[0]), Stroke::dashed(tint(colour, 0.4), 1.5));
            panel.line(canvas, &curve(trial, SERIES[1]), Stroke::solid(tint(colour, 0.4), 1.5));
        });
    }
    for (which, (series, band)) in SERIES.into_iter().zip(&bands).enumerate() {
        let mean =
            if band.is_empty() { mean_curve(&group.trials, series) } else { band.iter().map(|p| (p.0, p.2)).collect() };
        let stroke = if which == 0 { Stroke::dashed(colour, 3.0) } else { Stroke::solid(colour, 4.0) };
        let which_images = if which == 0 { "training" } else { "validation" };
        canvas.about(About::group(&format!("{}, {which_images}", group.label), index), |canvas| {
            panel.band(canvas, &band.iter().map(|p| (p.0, p.1, p.3)).collect::<Vec<_>>(), colour);
            panel.line(canvas, &mean, stroke);
            panel.spots(canvas, &mean, |epoch, loss| {
                format!("{}, epoch {epoch}: {which_images} loss {}", group.label, number(loss))
            });
        });
        if which == 1 {
            let at = onset.and_then(|o| mean.iter().find(|p| p.0 as u32 == o));
            if let Some(position) = at.and_then(|p| panel.position(*p)) {
                canvas.marker((position.0, position.1 - 12.0), 8.0, ONSET, BLACK);
            }
        }
    }
    if SERIES.iter().all(|s| group.trials.iter().all(|t| curve(t, *s).is_empty())) {
        panel.message(canvas, "no finite loss");
    }
}
