//! Charts: curves over epochs or seconds, and points, as numbers for the browser and as pictures that need no script.

mod curves;
mod downsample;
mod parallel;
mod picture;

pub(crate) use curves::{Curves, Over, Range, Request, curves, metric, points};
pub(crate) use parallel::{Parallel, parallel};
pub(crate) use picture::{Detail, Picture, Point, of_curves, of_points, scales};
