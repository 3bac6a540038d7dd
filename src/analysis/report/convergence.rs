//! `convergence.png`: epochs and seconds until a landmark error is reached.

use sweep_core::units::ErrorUnit;

use super::series::{Group, student};
use super::{MAX_GROUPS, shown};
use sweep_experiment::records::EpochRecord;

use crate::curves::{TimeToError, time_to_error};
use crate::drawing::colour::group_style;
use crate::drawing::figure::Figure;
use crate::drawing::legend::LegendEntry;
use crate::drawing::panel::{Panel, PanelLabels};
use crate::drawing::scale::Scale;
use crate::drawing::shape::About;
use crate::format::{mm, number};

/// Number of intervals on the horizontal axis.
const STEPS: i32 = 40;

/// Epochs or seconds until an error is reached.
type Duration = fn(&TimeToError) -> f64;
/// `(error, low, mean, high)` for the errors that every seed of a group reached.
type TimeCurve = Vec<(f64, f64, f64, f64)>;

/// A curve per group; `None` if nothing was evaluated.
pub(super) fn draw(groups: &[Group<'_>], unit: ErrorUnit) -> Option<Figure> {
    let (drawn, note) = shown(groups, MAX_GROUPS);
    let errors = |g: &Group<'_>| -> Vec<f64> {
        g.trials.iter().flat_map(|t| &t.epochs).map(EpochRecord::mre).filter(|e| e.is_finite() && *e > 0.0).collect()
    };
    let all: Vec<f64> = drawn.iter().flat_map(errors).collect();
    let (least, most) = all.iter().fold((f64::INFINITY, 0.0f64), |(a, b), e| (a.min(*e), b.max(*e)));
    if most <= least {
        return None;
    }
    let legend: Vec<LegendEntry> = drawn.iter().enumerate().map(|(i, g)| LegendEntry::group(&g.label, i)).collect();
    let subtitle = format!(
        "Until the validation error was first as small, where every seed got there; geometric mean of seeds, band: 95 % \
         interval. Seconds are those of the machine it ran on, other work included.{note}"
    );
    let mut figure = Figure::new("How soon is an error reached?", &subtitle, &legend, 600.0);
    let panels: [(&str, &str, Duration); 2] =
        [("Epochs", "epochs", |r| r.epochs), ("Seconds", "seconds", |r| r.seconds)];
    let step = (most / least).ln() / f64::from(STEPS);
    let targets: Vec<f64> = (0..=STEPS).map(|i| least * (f64::from(i) * step).exp()).collect();
    let x_name = format!("validation MRE to reach ({unit}), log scale");
    for (i, (title, what, duration)) in panels.into_iter().enumerate() {
        let curves: Vec<TimeCurve> = drawn.iter().map(|g| time_curve(g, &targets, duration)).collect();
        let y_name = format!("{what}, log scale");
        let labels = PanelLabels { title, x: &x_name, y: &y_name };
        let outer = figure.content.cell(i, 2, 1, 24.0);
        let x = Scale::log(targets.iter().copied());
        let y = Scale::log(curves.iter().flatten().map(|p| p.2));
        let panel = Panel::new(&mut figure.canvas, outer, labels, x, y);
        let canvas = &mut figure.canvas;
        for (j, curve) in curves.iter().enumerate() {
            let band: Vec<(f64, f64, f64)> =
                curve.iter().filter(|p| p.1.is_finite()).map(|p| (p.0, p.1, p.3)).collect();
            canvas.about(About::group(&drawn[j].label, j), |canvas| panel.band(canvas, &band, group_style(j).0));
        }
        for (j, curve) in curves.iter().enumerate() {
            let mean: Vec<(f64, f64)> = curve.iter().map(|p| (p.0, p.2)).collect();
            let label = &drawn[j].label;
            panel.group_line(canvas, (label, j), &mean, |error, time| {
                format!("{label}: {} {unit} after {} {what}", mm(error), number(time))
            });
        }
    }
    Some(figure)
}

fn time_curve(group: &Group<'_>, targets: &[f64], duration: Duration) -> TimeCurve {
    let at = |target: &f64| {
        let reached = group.done().map(|t| time_to_error(t, *target).filter(|r| r.reached));
        let logs: Vec<f64> = reached.map(|r| r.map(|r| duration(&r).ln())).collect::<Option<_>>()?;
        let estimate = student(&logs);
        // The interval of two seeds would be as wide as the figure.
        let [low, high] = if logs.len() > 2 { estimate.interval.map(f64::exp) } else { [f64::NAN; 2] };
        estimate.point.is_finite().then_some((*target, low, estimate.point.exp(), high))
    };
    targets.iter().filter_map(at).collect()
}
