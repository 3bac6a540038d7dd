//! Drawing primitives of every figure: a canvas, text, axes and legends. Knows nothing of trials.
//!
//! Lowest first: [`geometry`], [`marker`] and `resize`; [`colour`], [`stroke`] and [`text`]; `shape`; `raster` and `vector`, which
//! write shapes to files; the [`canvas`]; and `scale`, [`legend`], `panel` and [`figure`], the parts of a chart.

pub mod canvas;
pub mod colour;
pub mod figure;
pub mod geometry;
pub mod legend;
pub mod marker;
mod palette;
pub(crate) mod panel;
mod raster;
pub(crate) mod resize;
pub mod scale;
pub(crate) mod shape;
pub mod stroke;
pub mod text;
mod vector;
