//! Shared grey values.

use std::ops::Deref;
use std::sync::Arc;

/// Grey values of a picture, row by row; clones share them.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels(Arc<Vec<f32>>);

impl Deref for Pixels {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl From<Vec<f32>> for Pixels {
    fn from(values: Vec<f32>) -> Self {
        Self(Arc::new(values))
    }
}
