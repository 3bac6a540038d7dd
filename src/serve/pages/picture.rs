//! Charts as SVG files, which need no page and no style sheet.

use axum::response::IntoResponse;
use minijinja::context;
use serde::Serialize;

use super::{Answer, App, Refusal, file_name, seen};
use crate::assets::PICTURE_STYLE;
use crate::chart::{Parallel, Picture};
use sweep_core::error::Error;

/// Width of a column of the legend and height of its rows, in units of the drawing.
const COLUMN: f64 = 250.0;
const ROW: f64 = 20.0;
/// Most letters of a name in the legend.
const LETTERS: usize = 32;

/// What is drawn.
pub(super) enum Chart {
    /// Curves, or points.
    Plot(Picture),
    /// Parallel coordinates.
    Parallel(Parallel),
}

/// An entry of the legend and its place.
#[derive(Serialize)]
struct Entry {
    name: String,
    colour: usize,
    x: f64,
    y: f64,
}

/// The file of a chart, with a legend of names and colours below.
pub(super) fn svg(app: &App, name: &str, chart: &Chart, legend: Vec<(String, usize)>) -> Answer {
    let (kind, picture, [width, height]) = match chart {
        Chart::Plot(picture) => ("lines", seen(picture), picture.size()),
        Chart::Parallel(parallel) => ("parallel", seen(parallel), parallel.size()),
    };
    let columns = ((width / COLUMN) as usize).max(1);
    let rows = legend.len().div_ceil(columns);
    let entry = |(at, (name, colour)): (usize, (String, usize))| Entry {
        name: if name.chars().count() > LETTERS {
            name.chars().take(LETTERS - 1).chain(['…']).collect()
        } else {
            name
        },
        colour,
        x: 16.0 + COLUMN * (at % columns) as f64,
        y: height + ROW * ((at / columns) as f64 + 0.7),
    };
    let entries: Vec<Entry> = legend.into_iter().enumerate().map(entry).collect();
    let context = context! {
        kind, picture,
        title => name,
        style => PICTURE_STYLE.as_str(),
        legend => seen(entries),
        height => height + ROW * rows as f64,
    };
    let failed = |e: minijinja::Error| Refusal::Failed(Error::results(format!("cannot write the picture: {e:#}")));
    let text = app.templates.get_template("picture.svg").and_then(|page| page.render(context)).map_err(failed)?;
    let place = format!("attachment; filename=\"{}.svg\"", file_name(name));
    Ok(([("content-type", "image/svg+xml".to_owned()), ("content-disposition", place)], text).into_response())
}
