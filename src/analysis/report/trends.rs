//! `trends.png`: the landmark error along axes of many values, and along those that a search drew.

use sweep_core::units::ErrorUnit;

use super::MAX_GROUPS;
use super::series::{Group, error};
use crate::drawing::colour::{GREY, group_style};
use crate::drawing::figure::Figure;
use crate::drawing::marker::{Marker, MarkerShape};
use crate::drawing::panel::{Panel, PanelLabels};
use crate::drawing::scale::Scale;
use crate::drawing::shape::About;
use crate::findings::{Finding, Statement};
use crate::format::mm;

/// Greatest number of panels.
const MOST: usize = 12;
const OTHER: Marker = Marker { shape: MarkerShape::Circle, filled: true };

/// A panel per axis whose values are numbers, a marker per configuration that ended; `None` without such an axis.
pub(super) fn draw(groups: &[Group<'_>], findings: &[Finding], unit: ErrorUnit) -> Option<Figure> {
    let axis = |finding: &Finding| match &finding.statement {
        Statement::Trend { axis, best: Some(_), .. } => Some(axis.clone()),
        _ => None,
    };
    let mut axes: Vec<String> = findings.iter().filter_map(axis).collect();
    let left_out = axes.len().saturating_sub(MOST);
    axes.truncate(MOST);
    let errors: Vec<(usize, f64)> =
        groups.iter().map(error).enumerate().filter(|(_, error)| error.is_finite()).collect();
    if axes.is_empty() || errors.is_empty() {
        return None;
    }
    let colours = if groups.len() > MAX_GROUPS { " Grey: configurations that no other chart shows." } else { "" };
    let note = if left_out > 0 { format!(" Not shown: {left_out} more axes.") } else { String::new() };
    let subtitle = format!("Mean radial error of each configuration that ended, at its best epoch.{colours}{note}");
    let columns = axes.len().min(2);
    let rows = axes.len().div_ceil(columns);
    let mut figure = Figure::new("Landmark error along each axis", &subtitle, &[], rows as f64 * 520.0);
    let y = Scale::auto(errors.iter().map(|of| of.1));
    let y_name = format!("validation MRE ({unit}){}", if y.is_log() { ", log scale" } else { "" });
    for (at, axis) in axes.iter().enumerate() {
        let value = |g: usize| groups[g].value(axis).and_then(|value| value.parse().ok()).unwrap_or(f64::NAN);
        let x = Scale::auto(errors.iter().map(|(g, _)| value(*g)));
        let x_name = format!("{axis}{}", if x.is_log() { ", log scale" } else { "" });
        let labels = PanelLabels { title: "", x: &x_name, y: &y_name };
        let outer = figure.content.cell(at, columns, rows, 24.0);
        let canvas = &mut figure.canvas;
        let panel = Panel::new(canvas, outer, labels, x, y);
        // Those with a colour of their own lie on top.
        for (g, error) in errors.iter().rev() {
            let (colour, marker) = if *g < MAX_GROUPS { group_style(*g) } else { (GREY, OTHER) };
            let about = About::value(format!("{}: {} {unit}", groups[*g].label, mm(*error)));
            canvas.about(about, |canvas| panel.marker(canvas, (value(*g), *error), 9.0, marker, colour));
        }
    }
    Some(figure)
}
