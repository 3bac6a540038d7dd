//! `collapse.png`: validation loss as a share of an all-zero output's, the one scale on which all losses start alike.

use super::series::{Group, Value, band, last_epoch, mean_curve};
use super::{MAX_GROUPS, shown};
use crate::curves::COLLAPSE;
use crate::drawing::colour::{GREY, group_style};
use crate::drawing::figure::Figure;
use crate::drawing::legend::LegendEntry;
use crate::drawing::panel::{Panel, PanelLabels};
use crate::drawing::scale::Scale;
use crate::drawing::shape::About;
use crate::drawing::stroke::Stroke;
use crate::format::number;

const RATIO: Value = |e| if e.zero_loss > 0.0 { e.val_loss / e.zero_loss } else { f64::NAN };

/// A line per group; `None` if no epoch was evaluated.
pub(super) fn draw(groups: &[Group<'_>]) -> Option<Figure> {
    let (drawn, note) = shown(groups, MAX_GROUPS);
    let lines: Vec<Vec<(f64, f64)>> = drawn
        .iter()
        .map(|g| {
            let mean: Vec<(f64, f64)> = band(&g.trials, RATIO).iter().map(|p| (p.0, p.2)).collect();
            if mean.is_empty() { mean_curve(&g.trials, RATIO) } else { mean }
        })
        .collect();
    if lines.iter().all(Vec::is_empty) {
        return None;
    }
    let legend: Vec<LegendEntry> = drawn.iter().enumerate().map(|(i, g)| LegendEntry::group(&g.label, i)).collect();
    let seeds = if drawn.iter().any(|group| !band(&group.trials, RATIO).is_empty()) {
        ", mean of seeds; band: 95 % interval over seeds"
    } else if drawn.iter().any(|group| group.trials.len() > 1) {
        ", mean of seeds"
    } else {
        ""
    };
    let subtitle = format!(
        "Validation loss divided by the loss of an output of zeros{seeds}. At or above the dashed line a network has \
         collapsed. Values rank groups of the same loss and heatmap only.{note}"
    );
    let mut figure = Figure::new("Has the network collapsed to zero?", &subtitle, &legend, 560.0);
    let x = Scale::epochs(last_epoch(drawn.iter().flat_map(|g| g.trials.iter().copied())));
    let y = Scale::log(lines.iter().flatten().map(|p| p.1).chain([1.0]));
    let labels = PanelLabels { title: "", x: "epoch", y: "loss / all-zero loss, log scale" };
    let panel = Panel::new(&mut figure.canvas, figure.content, labels, x, y);
    let canvas = &mut figure.canvas;
    panel.reference_line(canvas, COLLAPSE, "collapse: 0.9 of the all-zero loss", Stroke::dashed(GREY, 2.5));
    for (i, group) in drawn.iter().enumerate() {
        let band: Vec<(f64, f64, f64)> = band(&group.trials, RATIO).iter().map(|p| (p.0, p.1, p.3)).collect();
        canvas.about(About::group(&group.label, i), |canvas| panel.band(canvas, &band, group_style(i).0));
    }
    for (i, line) in lines.iter().enumerate() {
        let label = &drawn[i].label;
        panel.group_line(canvas, (label, i), line, |epoch, ratio| {
            format!("{label}, epoch {epoch}: loss : zero {}", number(ratio))
        });
    }
    Some(figure)
}
