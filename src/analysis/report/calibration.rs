//! `calibration.png`: confidence against the share of found landmarks, and against the error.

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::Selection;

use super::series::epoch_phrase;
use super::{MAX_GROUPS, shown};
use crate::calibration::{Bin, calibration};
use crate::drawing::colour::{GREY, group_style};
use crate::drawing::figure::Figure;
use crate::drawing::geometry::Rect;
use crate::drawing::legend::LegendEntry;
use crate::drawing::panel::{Panel, PanelLabels};
use crate::drawing::scale::Scale;
use crate::drawing::shape::About;
use crate::drawing::stroke::Stroke;
use crate::format::mm;
use crate::groups::Group;
use crate::measured::Measured;

/// Value of a bin that a panel shows.
type Value = fn(&Bin) -> f64;

/// Words for a panel's value.
type InWords<'a> = &'a dyn Fn(f64) -> String;

/// A line per group over its bins, in two panels; `None` where no record has a confidence.
pub(super) fn draw(groups: &[Group<'_>], measured: Measured, unit: ErrorUnit) -> Option<Figure> {
    let (drawn, note) = shown(groups, MAX_GROUPS);
    let found: Vec<_> =
        drawn.iter().enumerate().filter_map(|(i, group)| Some((i, calibration(group, measured)?))).collect();
    if found.is_empty() {
        return None;
    }
    let key = |(i, of): &(usize, crate::calibration::Calibration)| {
        LegendEntry::group(&format!("{}: off by {:.0} percentage points", of.group, 100.0 * of.gap), *i)
    };
    let mut legend: Vec<LegendEntry> = found.iter().map(key).collect();
    legend.push(LegendEntry::line("as sure as it is right", Stroke::dashed(GREY, 2.0)));
    let subtitle = format!(
        "{}, validation landmarks of all seeds, in bins of about as many each, from the least sure \
         to the surest.{note}",
        match drawn.iter().flat_map(Group::done).next() {
            Some(trial) if trial.selection() != Selection::Last && measured.predicted_at(trial) == Selection::Last =>
                "At the last epoch, which nothing chose".to_owned(),
            _ => epoch_phrase(drawn.iter().flat_map(|g| g.trials.iter().copied())),
        }
    );
    let mut figure = Figure::new("Does a network know where it errs?", &subtitle, &legend, 620.0);
    let content = figure.content;
    let middle = f64::midpoint(content.left, content.right);
    let most = found.iter().flat_map(|(_, of)| &of.bins).map(|bin| bin.error_mm).fold(0.0, f64::max);
    let percent = Scale::Linear { low: 0.0, high: 100.0 };
    let [within, mean] = [format!("within {} {unit} (%)", unit.radii()[0]), format!("mean error ({unit})")];
    let [left, right] = [
        (Rect { right: middle - 12.0, ..content }, &within, percent),
        (Rect { left: middle + 12.0, ..content }, &mean, Scale::Linear { low: 0.0, high: 1.05 * most }),
    ]
    .map(|(outer, y, scale)| {
        let labels = PanelLabels { title: "", x: "mean confidence of a bin (%)", y };
        Panel::new(&mut figure.canvas, outer, labels, percent, scale)
    });
    let canvas = &mut figure.canvas;
    left.line(canvas, &[(0.0, 0.0), (100.0, 100.0)], Stroke::dashed(GREY, 2.0));
    let of_share = |found: f64| format!("{found:.1} % {}", within.trim_end_matches(" (%)"));
    let of_error = |found: f64| format!("{} {unit} off", mm(found));
    let panels: [(Panel, Value, InWords<'_>); 2] =
        [(left, |bin| 100.0 * bin.within_2mm, &of_share), (right, |bin| bin.error_mm, &of_error)];
    for (panel, value, in_words) in panels {
        for (i, of) in &found {
            let (colour, marker) = group_style(*i);
            let points: Vec<(f64, f64)> = of.bins.iter().map(|bin| (100.0 * bin.confidence, value(bin))).collect();
            canvas.about(About::group(&of.group, *i), |canvas| {
                panel.line(canvas, &points, Stroke::solid(colour, 3.0));
                for point in &points {
                    panel.marker(canvas, *point, 8.0, marker, colour);
                }
                panel.spots(canvas, &points, |confidence, found| {
                    format!("{}: confidence {confidence:.0} %, {}", of.group, in_words(found))
                });
            });
        }
    }
    Some(figure)
}
