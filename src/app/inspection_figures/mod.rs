//! Figures of an inspected data set: its images with their landmarks, and the spread of each landmark.

mod contact_sheet;
mod landmark_spread;

pub(crate) use contact_sheet::{Thumbnail, contact_sheet, images_shown, thumbnail};
pub(crate) use landmark_spread::landmark_spread;
