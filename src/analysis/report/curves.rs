//! `curves.png` of a trial: losses and landmark errors over epochs.

use sweep_core::error::Result;
use sweep_experiment::records::EpochRecord;

use super::series::{Value, curve, last_epoch};
use crate::TrialRecords;
use crate::curves::Onset;
use crate::drawing::colour::{BLACK, GREY, group_style};
use crate::drawing::figure::Figure;
use crate::drawing::legend::LegendEntry;
use crate::drawing::marker::{Marker, MarkerShape};
use crate::drawing::panel::{Panel, PanelLabels, ring_best_loss};
use crate::drawing::scale::Scale;
use crate::drawing::stroke::Stroke;
use crate::format::{mm, number};

const STAR: Marker = Marker { shape: MarkerShape::Diamond, filled: true };

/// Loss (left) and mean radial error in mm (right) of a trial over its epochs, as a PNG 1600 pixels wide, each
/// with its own onset of overfitting.
///
/// # Errors
/// When the figure cannot be drawn or encoded.
pub fn curves(trial: &TrialRecords, onsets: [Onset; 2]) -> Result<Vec<u8>> {
    let [train, validation] = [group_style(1).0, group_style(0).0];
    let mut legend = vec![
        LegendEntry::line("training", Stroke::dashed(train, 3.0)),
        LegendEntry::line("validation", Stroke::solid(validation, 3.5)),
        LegendEntry::ring("epoch of least validation loss", BLACK),
        LegendEntry::marker(format!("epoch of {}", trial.best_at()), STAR, BLACK),
    ];
    if onsets.iter().any(|onset| onset.epoch.is_some()) {
        legend.push(LegendEntry::line("overfitting onset", Stroke::dotted(BLACK, 2.5)));
    }
    let mut figure = Figure::new(&title(trial), &subtitle(trial), &legend, 600.0);
    let x = Scale::epochs(last_epoch([trial]));
    let error_name = format!("MRE ({})", trial.unit);
    let panels: [(&str, &str, [Value; 2]); 2] = [
        ("Loss, mean per image", "loss", [|e| e.train_loss, |e| e.val_loss]),
        ("Landmark error, mean over landmarks", &error_name, [EpochRecord::train_mre, EpochRecord::mre]),
    ];
    for (i, (title, name, [of_train, of_validation])) in panels.into_iter().enumerate() {
        let zero = if i == 0 { zero_loss(trial) } else { None };
        let lines = [curve(trial, of_train), curve(trial, of_validation)];
        let y = Scale::auto(lines.iter().flatten().map(|p| p.1).chain(zero));
        let y_name = if y.is_log() { format!("{name}, log scale") } else { name.to_owned() };
        let outer = figure.content.cell(i, 2, 1, 24.0);
        let panel = Panel::new(&mut figure.canvas, outer, PanelLabels { title, x: "epoch", y: &y_name }, x, y);
        let canvas = &mut figure.canvas;
        if let Some(zero) = zero {
            panel.reference_line(canvas, zero, "all-zero output", Stroke::dashed(GREY, 2.0));
        }
        if let Some(onset) = onsets[i].epoch {
            panel.vertical_line(canvas, f64::from(onset), Stroke::dotted(BLACK, 2.5));
        }
        if lines.iter().all(Vec::is_empty) {
            panel.message(canvas, "no epoch was evaluated");
        }
        panel.line(canvas, &lines[0], Stroke::dashed(train, 3.0));
        panel.line(canvas, &lines[1], Stroke::solid(validation, 3.5));
        let point = |e: &EpochRecord| panel.position((f64::from(e.epoch), of_validation(e)));
        if let Some(position) = trial.best_loss().and_then(point) {
            ring_best_loss(canvas, position);
        }
        if let Some(position) = trial.best_error().and_then(point) {
            canvas.marker(position, 8.0, STAR, BLACK);
        }
    }
    figure.png()
}

fn zero_loss(trial: &TrialRecords) -> Option<f64> {
    trial.epochs.iter().map(|e| e.zero_loss).rfind(|v| v.is_finite())
}

fn title(trial: &TrialRecords) -> String {
    let name = if trial.axes.is_empty() { trial.id.clone() } else { trial.group() };
    format!("{name}, seed {}: loss and landmark error over epochs", trial.seed)
}

fn subtitle(trial: &TrialRecords) -> String {
    let (Some(error), Some(loss)) = (trial.best_error(), trial.best_loss()) else {
        return format!("{}: no evaluated epoch", trial.status.state.name());
    };
    let unit = trial.unit;
    let best = if trial.objective.is_default() {
        "Least error".to_owned()
    } else {
        format!("Error at the {}", trial.best_at())
    };
    format!(
        "{best} {} {unit} at epoch {}; least loss {} at epoch {}, where the error is {} {unit}. State: {}.",
        mm(error.mre()),
        error.epoch,
        number(loss.val_loss),
        loss.epoch,
        mm(loss.mre()),
        trial.status.state.name()
    )
}
