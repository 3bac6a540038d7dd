//! Drawing primitives of every figure: a canvas, text, axes and legends. Knows nothing of trials.
//!
//! Lowest first: [`geometry`], [`marker`] and `resize`, then [`colour`], [`stroke`] and [`text`], then `shape`, which `raster` and
//! `vector` make files of, then the [`canvas`] they are drawn on, then `scale`, [`legend`], `panel` and [`figure`], of which a chart is made.

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
mod shape;
pub mod stroke;
pub mod text;
mod vector;
