//! `landmark_error.png`: mean radial error over epochs, the groups in one panel because errors compare.

use sweep_experiment::records::EpochRecord;

use super::series::{Group, Value, band, curve, last_epoch, mean_curve};
use super::{MAX_GROUPS, onsets, shown};
use crate::SweepRecords;
use crate::drawing::colour::{BLACK, GREY, group_style, tint};
use crate::drawing::figure::Figure;
use crate::drawing::legend::LegendEntry;
use crate::drawing::marker::{Marker, MarkerShape};
use crate::drawing::panel::{Panel, PanelLabels};
use crate::drawing::scale::Scale;
use crate::drawing::shape::About;
use crate::drawing::stroke::Stroke;
use crate::findings::Finding;
use crate::format::mm;

const ONSET: Marker = Marker { shape: MarkerShape::TriangleDown, filled: true };

/// Validation (left) and training (right) error; reference lines if the sweep has them.
pub(super) fn draw(sweep: &SweepRecords, groups: &[Group<'_>], findings: &[Finding]) -> Figure {
    let marks = onsets(findings, "landmark error");
    let (drawn, note) = shown(groups, MAX_GROUPS);
    let unit = sweep.unit;
    let [of_validation, of_training] = ["validation", "training"].map(|split| format!("{split} MRE ({unit})"));
    let panels: [(&str, &str, Value); 2] = [
        ("Validation images", &of_validation, EpochRecord::mre),
        ("Training images, without augmentation", &of_training, EpochRecord::train_mre),
    ];
    let mut legend: Vec<LegendEntry> = drawn.iter().enumerate().map(|(i, g)| LegendEntry::group(&g.label, i)).collect();
    let references: Vec<(f64, Stroke)> = [
        (sweep.mean_shape_mre, "guessing the training images' mean shape", Stroke::dashed(GREY, 2.5)),
        (sweep.observer_mre_mm, "between observers", Stroke::dotted(GREY, 2.5)),
    ]
    .into_iter()
    .filter_map(|(error, label, stroke)| {
        let error = error.filter(|e| e.is_finite())?;
        legend.push(LegendEntry::line(format!("{label}: {} {unit}", mm(error)), stroke));
        Some((error, stroke))
    })
    .collect();
    let trials = || drawn.iter().flat_map(|g| g.trials.iter().copied());
    if drawn.iter().any(|g| marks.contains_key(g.label.as_str())) {
        legend.push(LegendEntry::marker("overfitting onset", ONSET, BLACK));
    }
    let values = trials().flat_map(|t| panels.map(|(_, _, v)| curve(t, v))).flatten().map(|p| p.1);
    let y = Scale::auto(values.chain(references.iter().map(|r| r.0)));
    let x = Scale::epochs(last_epoch(trials()));
    let seeds = if drawn.iter().any(|g| !band(&g.trials, panels[0].2).is_empty()) {
        " Bold: geometric mean of seeds; band: its 95 % interval."
    } else if groups.iter().any(|g| g.trials.len() > 1) {
        " Bold: mean of seeds; thin: single seeds."
    } else {
        ""
    };
    let subtitle = format!("Mean radial error (MRE) over epochs.{seeds}{note}");
    let mut figure = Figure::new("Landmark error on validation and training images", &subtitle, &legend, 640.0);
    for (i, (title, name, value)) in panels.into_iter().enumerate() {
        let outer = figure.content.cell(i, 2, 1, 24.0);
        let name = if y.is_log() { format!("{name}, log scale") } else { name.to_owned() };
        let panel = Panel::new(&mut figure.canvas, outer, PanelLabels { title, x: "epoch", y: &name }, x, y);
        let canvas = &mut figure.canvas;
        for (error, stroke) in &references {
            panel.horizontal_line(canvas, *error, *stroke);
        }
        for (j, group) in drawn.iter().enumerate() {
            let band: Vec<(f64, f64, f64)> = band(&group.trials, value).iter().map(|p| (p.0, p.1, p.3)).collect();
            canvas.about(About::group(&group.label, j), |canvas| panel.band(canvas, &band, group_style(j).0));
            for trial in group.trials.iter().filter(|_| group.trials.len() > 1 && band.is_empty()) {
                canvas.about(About::group(&format!("{}, seed {}", group.label, trial.seed), j), |canvas| {
                    panel.line(canvas, &curve(trial, value), Stroke::solid(tint(group_style(j).0, 0.35), 1.5));
                });
            }
        }
        for (j, group) in drawn.iter().enumerate() {
            let mean: Vec<(f64, f64)> = band(&group.trials, value).iter().map(|p| (p.0, p.2)).collect();
            let mean = if mean.is_empty() { mean_curve(&group.trials, value) } else { mean };
            panel.group_line(canvas, (&group.label, j), &mean, |epoch, error| {
                format!("{}, epoch {epoch}: {} {unit}", group.label, mm(error))
            });
            let onset = marks.get(group.label.as_str()).filter(|_| i == 0);
            let at = onset.and_then(|o| mean.iter().find(|p| p.0 as u32 == *o)).and_then(|p| panel.position(*p));
            if let Some(position) = at {
                canvas.marker((position.0, position.1 - 14.0), 9.0, ONSET, BLACK);
            }
        }
        if trials().all(|t| curve(t, value).is_empty()) {
            panel.message(canvas, "no epoch was evaluated");
        }
    }
    figure
}
