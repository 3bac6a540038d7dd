//! `per_landmark.png`: error of each landmark, for every group.

use std::collections::BTreeMap;

use sweep_core::units::ErrorUnit;

use super::series::{Group, best_landmarks, epoch_phrase, mean, quantile};
use super::{MAX_GROUPS, shown};
use crate::drawing::colour::{LIGHT_GREY, group_style, tint};
use crate::drawing::figure::Figure;
use crate::drawing::geometry::Rect;
use crate::drawing::legend::LegendEntry;
use crate::drawing::panel::{Panel, PanelLabels};
use crate::drawing::scale::Scale;
use crate::drawing::shape::About;
use crate::drawing::stroke::Stroke;
use crate::drawing::text::{Anchor, SMALL_SIZE, TextStyle};
use crate::errors::{ErrorTable, MRE};
use crate::format::mm;

/// Number of resamples for intervals that are only drawn.
pub(super) const FIGURE_RESAMPLES: usize = 1000;

/// Errors (mm, ascending) of a landmark by group.
type ErrorsByLandmark<'a> = BTreeMap<&'a str, BTreeMap<usize, Vec<f64>>>;

/// Mean and 10th to 90th percentile of each landmark's error at the best epoch; `None` without landmarks.
pub(super) fn draw(groups: &[Group<'_>], table: &ErrorTable, unit: ErrorUnit) -> Option<Figure> {
    let (drawn, note) = shown(groups, MAX_GROUPS);
    let mut errors: ErrorsByLandmark<'_> = BTreeMap::new();
    for (i, group) in drawn.iter().enumerate() {
        for record in group.trials.iter().flat_map(|t| best_landmarks(t)) {
            errors.entry(&record.landmark).or_default().entry(i).or_default().push(record.error());
        }
    }
    if errors.is_empty() {
        return None;
    }
    errors.values_mut().flat_map(BTreeMap::values_mut).for_each(|e| e.sort_by(f64::total_cmp));
    let hardness = |groups: &BTreeMap<usize, Vec<f64>>| mean(&groups.values().map(|e| mean(e)).collect::<Vec<_>>());
    let mut order: Vec<(&str, f64)> = errors.iter().map(|(name, groups)| (*name, hardness(groups))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));

    let row = (drawn.len() as f64 * 14.0 + 16.0).max(38.0);
    let legend: Vec<LegendEntry> = drawn.iter().enumerate().map(|(i, g)| LegendEntry::group(&g.label, i)).collect();
    let subtitle = format!(
        "{}. Marker: mean over validation images and seeds; bold bar: its 95 % interval; \
         pale bar: 10th to 90th percentile of single errors. Hardest landmark first.{note}",
        epoch_phrase(drawn.iter().flat_map(|g| g.trials.iter().copied()))
    );
    let mut figure = Figure::new("Landmark error by landmark", &subtitle, &legend, order.len() as f64 * row + 90.0);
    let text_style = TextStyle::plain(SMALL_SIZE);
    let widest = order.iter().map(|(name, _)| text_style.width(name)).fold(0.0, f64::max).min(420.0);
    let outer = Rect { left: figure.content.left + widest, ..figure.content };
    let x = Scale::from_zero(errors.values().flat_map(BTreeMap::values).map(|e| quantile(e, 0.9).max(mean(e))));
    let y = Scale::Linear { low: 0.0, high: order.len() as f64 };
    let x_name = format!("radial error ({unit})");
    let labels = PanelLabels { title: "", x: &x_name, y: "" };
    let panel = Panel::without_y_ticks(&mut figure.canvas, outer, labels, x, y);
    let canvas = &mut figure.canvas;
    for (i, (name, _)) in order.iter().enumerate() {
        let top = order.len() as f64 - i as f64;
        let middle = panel.position((0.0, top - 0.5)).map_or(outer.top, |p| p.1);
        let (label, fitted) = text_style.fit(name, widest);
        canvas.text(&label, (panel.area.left - 12.0, middle), Anchor::Right, fitted);
        if i > 0 {
            panel.horizontal_line(canvas, top, Stroke::solid(LIGHT_GREY, 1.0));
        }
        for (group, values) in errors.get(name).into_iter().flatten() {
            let (colour, marker) = group_style(*group);
            let at = top - 0.5 - (*group as f64 - (drawn.len() - 1) as f64 / 2.0) * 14.0 / row;
            let ends = [(quantile(values, 0.1), at), (quantile(values, 0.9), at)];
            panel.line(canvas, &ends, Stroke::solid(tint(colour, 0.35), 5.0));
            let landmark = table.landmarks.iter().position(|l| l == name);
            if let Some(crossed) = table.contrast_on(&[(*group, 1.0)], MRE, landmark) {
                let [low, high] = crossed.positive_with(0, FIGURE_RESAMPLES).interval;
                panel.line(canvas, &[(low, at), (high, at)], Stroke::solid(colour, 3.0));
            }
            let words = format!("{name}, {}: {} {unit}", drawn[*group].label, mm(mean(values)));
            canvas.about(About::group(&words, *group), |canvas| {
                panel.marker(canvas, (mean(values), at), 7.0, marker, colour);
            });
        }
    }
    Some(figure)
}
