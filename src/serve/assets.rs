//! Scripts and styles, which are part of the program: no page needs another host.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use sweep_analysis::drawing::colour::{Colour, group_style};

/// Number of colours of configurations; they repeat after.
pub(crate) const COLOURS: usize = 7;

/// The colours of the report's figures, as variables of style sheets. On a dark page, dark ones are mixed with white.
static PALETTE: LazyLock<String> = LazyLock::new(|| {
    let of = |mix: fn(Colour) -> Colour| {
        (0..COLOURS).fold(String::new(), |mut text, at| {
            let Colour { 0: r, 1: g, 2: b, .. } = mix(group_style(at).0);
            // Writing to a string never fails.
            let _ = write!(text, "--c{at}: #{r:02x}{g:02x}{b:02x}; ");
            text
        })
    };
    let classes = (0..COLOURS).fold(String::new(), |mut text, at| {
        let _ = writeln!(text, ".c{at} {{ --c: var(--c{at}); }}");
        text
    });
    format!(
        ":root {{ {} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {} }} }}\n{classes}",
        of(|colour| colour),
        of(lighter)
    )
});

/// The style of charts in files of their own, on white. Programs that draw SVG without a browser know no variables.
pub(crate) static PICTURE_STYLE: LazyLock<String> = LazyLock::new(|| {
    let ink = "text { fill: #555; font: 12px sans-serif } .title { font-size: 13px } .ground { fill: #fff } polyline { fill: none; \
               stroke-width: 1.6 } circle { stroke: #fff } .frame { fill: none; stroke: #ccc } .grid { stroke: #ccc; \
               stroke-width: .6 } .axis { stroke: #555 } .least { stroke: #222 } \
               .parallel polyline { stroke: #555; stroke-opacity: .3; stroke-width: 1 } \
               .parallel polyline.best { stroke: #0072b2; stroke-opacity: .9; stroke-width: 1.8 }\n";
    (0..COLOURS).fold(ink.to_owned(), |mut text, at| {
        let Colour { 0: r, 1: g, 2: b, .. } = group_style(at).0;
        let colour = format!("#{r:02x}{g:02x}{b:02x}");
        let _ = writeln!(text, "polyline.c{at} {{ stroke: {colour} }} circle.c{at} {{ fill: {colour} }}");
        text
    })
});

/// A colour that stands out from a dark ground.
fn lighter(colour: Colour) -> Colour {
    let share = match (0.3 * f64::from(colour.0) + 0.59 * f64::from(colour.1) + 0.11 * f64::from(colour.2)) / 255.0 {
        dark if dark < 0.3 => 0.6,
        middle if middle < 0.45 => 0.25,
        _ => 0.0,
    };
    let mix = |c: u8| (f64::from(c) + share * (255.0 - f64::from(c))).round() as u8;
    Colour { 0: mix(colour.0), 1: mix(colour.1), 2: mix(colour.2), ..colour }
}

/// A file of the program.
pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text): (&str, &str) = match name.as_str() {
        "htmx.js" => ("text/javascript", include_str!("assets/htmx-2.0.7.min.js")),
        "uplot.js" => ("text/javascript", include_str!("assets/uplot-1.6.32.min.js")),
        "uplot.css" => ("text/css", include_str!("assets/uplot-1.6.32.min.css")),
        "live.js" => ("text/javascript", include_str!("assets/live.js")),
        "curves.js" => ("text/javascript", include_str!("assets/curves.js")),
        "pictures.js" => ("text/javascript", include_str!("assets/pictures.js")),
        "landmarks.js" => ("text/javascript", include_str!("assets/landmarks.js")),
        "sweep.css" => ("text/css", include_str!("assets/sweep.css")),
        "icon.svg" => ("image/svg+xml", include_str!("assets/icon.svg")),
        "palette.css" => ("text/css", PALETTE.as_str()),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    // Another version of the program may answer tomorrow.
    let headers = [("content-type", format!("{kind}; charset=utf-8")), ("cache-control", "max-age=600".to_owned())];
    (headers, text.to_owned()).into_response()
}
