//! `cumulative_error.png`: the share of landmarks found within r mm.

use sweep_core::units::ErrorUnit;

use super::series::{Group, best_landmarks, epoch_phrase};
use super::{MAX_GROUPS, shown};
use sweep_experiment::records::LandmarkRecord;

use crate::drawing::colour::{GREY, group_style, tint};
use crate::drawing::figure::Figure;
use crate::drawing::geometry::Rect;
use crate::drawing::legend::LegendEntry;
use crate::drawing::panel::{Panel, PanelLabels};
use crate::drawing::scale::Scale;
use crate::drawing::shape::About;
use crate::drawing::stroke::Stroke;
use crate::drawing::text::{Anchor, SMALL_SIZE, TextStyle};
use crate::errors::ErrorTable;

/// The widest radius shown, mm.
const WIDEST: f64 = 10.0;

/// A line per group, all seeds together, at the best epoch; `None` without landmarks.
pub(super) fn draw(groups: &[Group<'_>], table: &ErrorTable, unit: ErrorUnit) -> Option<Figure> {
    let (drawn, note) = shown(groups, MAX_GROUPS);
    let errors: Vec<Vec<f64>> = drawn
        .iter()
        .map(|g| g.trials.iter().flat_map(|t| best_landmarks(t)).map(LandmarkRecord::error).collect())
        .collect();
    if errors.iter().all(Vec::is_empty) {
        return None;
    }
    let (least, widest) = (unit.radii()[0], unit.threshold(WIDEST));
    let legend: Vec<LegendEntry> = (drawn.iter().zip(&errors).enumerate())
        .filter(|(_, (_, errors))| !errors.is_empty())
        .map(|(i, (group, errors))| {
            let share = share_within(errors, least);
            LegendEntry::group(&format!("{}: {share:.1} % within {least} {unit}", group.label), i)
        })
        .collect();
    // The interval of two seeds would cover the figure.
    let is_banded = |group: &Group<'_>| group.trials.len() != 2;
    let shown_seeds = match [true, false].map(|banded| drawn.iter().any(|group| is_banded(group) == banded)) {
        [true, false] => "Band: 95 % interval for other images and seeds.",
        [true, true] => "Band: 95 % interval for other images and seeds; of two seeds: thin, each by itself.",
        _ => "Thin: single seeds.",
    };
    let subtitle = format!(
        "{}, validation images of all seeds together. {shown_seeds} Vertical lines: the usual radii ({unit}) of the success \
         detection rate.{note}",
        epoch_phrase(drawn.iter().flat_map(|g| g.trials.iter().copied()))
    );
    let mut figure = Figure::new("Share of landmarks found within a radius", &subtitle, &legend, 700.0);
    let (x, y) = (Scale::Linear { low: 0.0, high: widest }, Scale::Linear { low: 0.0, high: 100.0 });
    let x_name = format!("radius r ({unit})");
    let labels = PanelLabels { title: "", x: &x_name, y: "landmarks within r (%)" };
    let outer = Rect { top: figure.content.top + 22.0, ..figure.content };
    let panel = Panel::new(&mut figure.canvas, outer, labels, x, y);
    let canvas = &mut figure.canvas;
    for radius in unit.radii() {
        panel.vertical_line(canvas, radius, Stroke::dashed(GREY, 2.0));
        if let Some((x, top)) = panel.position((radius, 100.0)) {
            canvas.text(&format!("{radius}"), (x, top - 16.0), Anchor::Centre, TextStyle::grey(SMALL_SIZE));
        }
    }
    let curve = |errors: &[f64]| -> Vec<(f64, f64)> {
        (0..=200).map(|s| f64::from(s) * widest / 200.0).map(|r| (r, share_within(errors, r))).collect()
    };
    for (i, group) in drawn.iter().enumerate().filter(|(i, _)| !errors[*i].is_empty()) {
        let colour = group_style(i).0;
        if is_banded(group) {
            let within = |radius: f64| {
                let share = table.contrast(&[(i, 1.0)], &|error| if error <= radius { 100.0 } else { 0.0 })?;
                let [low, high] = share.share().interval;
                low.is_finite().then_some((radius, low.max(0.0), high.min(100.0)))
            };
            let band: Vec<_> = (0..=40).map(|s| f64::from(s) * widest / 40.0).filter_map(within).collect();
            canvas.about(About::group(&group.label, i), |canvas| panel.band(canvas, &band, colour));
            continue;
        }
        for trial in &group.trials {
            let errors: Vec<f64> = best_landmarks(trial).map(LandmarkRecord::error).collect();
            canvas.about(About::group(&format!("{}, seed {}", group.label, trial.seed), i), |canvas| {
                panel.line(canvas, &curve(&errors), Stroke::solid(tint(colour, 0.4), 1.5));
            });
        }
    }
    for (i, errors) in errors.iter().enumerate().filter(|(_, e)| !e.is_empty()) {
        let curve = curve(errors);
        let label = &drawn[i].label;
        panel.group_line(canvas, (label, i), &curve, |radius, share| {
            format!("{label}: {share:.1} % within {radius:.2} {unit}")
        });
    }
    Some(figure)
}

/// Per cent of the errors that are at most `radius`.
fn share_within(errors: &[f64], radius: f64) -> f64 {
    100.0 * errors.iter().filter(|e| **e <= radius).count() as f64 / errors.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_landmark_on_the_circle_is_within() {
        assert!((share_within(&[1.0, 2.0, 3.0, 9.0], 2.0) - 50.0).abs() < 1e-12);
        assert!(share_within(&[], 2.0).abs() < 1e-12);
    }
}
