//! Parameters that are trained later or more slowly than the others.

use std::ops::Range;

use sweep_graph::params::ParamStore;

/// Ranges of the flat parameters, for example those of a pretrained encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Slowed {
    /// Ranges in ascending order, none next to another.
    pub(super) ranges: Vec<Range<usize>>,
    /// Factor of their learning rate.
    pub(super) lr_factor: f64,
    /// Steps at the start in which they are not trained at all. Their moments begin after these.
    pub(super) frozen_steps: u64,
}

/// A range of the flat parameters, with the learning rate and the number of steps that count for it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) range: Range<usize>,
    pub(super) lr: f64,
    pub(super) steps: u64,
}

impl Slowed {
    /// The trained parameters of these names; `None` if they are trained like all others.
    #[must_use]
    pub fn new(parameters: &ParamStore, names: &[String], lr_factor: f64, frozen_steps: u64) -> Option<Self> {
        if lr_factor.to_bits() == 1f64.to_bits() && frozen_steps == 0 {
            return None;
        }
        let named = |name: &String| names.contains(name);
        let trained = parameters.parameters().iter().filter(|p| p.spec.role.is_trained() && named(&p.spec.name));
        let mut all: Vec<Range<usize>> = trained.map(|p| p.offset..p.offset + p.spec.len()).collect();
        all.sort_by_key(|range| range.start);
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for range in all {
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        }
        Some(Self { ranges, lr_factor, frozen_steps })
    }

    /// The parts of `len` parameters that step number `steps` trains, counted from 1.
    pub(super) fn parts(&self, len: usize, lr: f64, steps: u64) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut add = |range: Range<usize>, lr: f64, steps: u64| {
            if !range.is_empty() && steps > 0 && lr > 0.0 {
                parts.push(Part { range, lr, steps });
            }
        };
        let mut end = 0;
        for range in &self.ranges {
            add(end..range.start, lr, steps);
            add(range.clone(), lr * self.lr_factor, steps.saturating_sub(self.frozen_steps));
            end = range.end;
        }
        add(end..len, lr, steps);
        parts
    }
}
