//! `sweep` with a custom network, loss and data set:
//!
//! ```sh
//! cargo run --release --example own-parts -- run tests/examples/own_parts.toml
//! ```

use std::process::ExitCode;

use landmark_sweep::data::heatmap::Profiles;
use landmark_sweep::data::{CustomDataset, Image, Listing, Pixmap, Split};
use landmark_sweep::error::{Error, Result};
use landmark_sweep::graph::{Graph, Interpolation, Node, NormKind};
use landmark_sweep::loss::MapLoss;
use landmark_sweep::networks::CustomNetwork;
use landmark_sweep::program::Program;
use landmark_sweep::units::{Point, Size, Spacing};
use serde::Deserialize;

/// One level down per entry of `filters` after the first, then up again; skip connections are added.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ladder {
    /// Channels of each level.
    filters: Vec<usize>,
}

impl CustomNetwork for Ladder {
    fn graph(&self, channels: usize, landmarks: usize) -> Result<Graph> {
        if self.filters.len() < 2 || self.filters.contains(&0) {
            return Err(Error::definition("a ladder has two levels or more, and channels on each")
                .at("filters")
                .remedy("give positive numbers, as [8, 16, 32]"));
        }
        let mut graph = Graph::new();
        let mut map = graph.push(Node::Input { channels });
        let mut rungs = Vec::new();
        for (level, channels) in self.filters.iter().enumerate() {
            if level > 0 {
                map = graph.push(Node::MaxPool { input: map, side: 2 });
            }
            let convolution = Node::convolution(map, &format!("down{level}"), *channels);
            map = graph.push(convolution.normalised(&format!("norm{level}"), NormKind::Batch));
            rungs.push(map);
        }
        for (level, rung) in rungs.iter().enumerate().rev().skip(1) {
            let interpolation = Interpolation::Bilinear;
            let up = graph.push(Node::Upsample { input: map, like: *rung, interpolation });
            let both = graph.push(Node::Concatenate { inputs: vec![*rung, up] });
            map = graph.push(Node::convolution(both, &format!("up{level}"), self.filters[level]));
        }
        let maps = graph.push(Node::head(map, "head", landmarks));
        graph.push_head(maps);
        Ok(graph)
    }
}

/// The mean of `√(d² + ε²) − ε` over a map's pixels, with `d` the difference from the target: L1 without its kink
/// (Charbonnier et al. 1994).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Charbonnier {
    /// ε: the difference at which the loss turns from quadratic to linear.
    epsilon: f32,
}

impl MapLoss for Charbonnier {
    fn version(&self) -> u32 {
        1
    }

    fn check(&self) -> Result<()> {
        if self.epsilon > 0.0 && self.epsilon.is_finite() {
            return Ok(());
        }
        Err(Error::definition(format!("epsilon is {}", self.epsilon))
            .at("epsilon")
            .remedy("use a positive number, for example 0.01"))
    }

    fn of_map(&self, map: &[f32], target: &Profiles, mut gradient: Option<&mut [f32]>) -> f64 {
        let pixels = map.len() as f32;
        let mut sum = 0.0;
        for (index, (shown, wanted)) in map.iter().zip(target.product()).enumerate() {
            let difference = shown - wanted;
            let root = difference.hypot(self.epsilon);
            sum += f64::from(root - self.epsilon);
            if let Some(gradient) = gradient.as_deref_mut() {
                gradient[index] = difference / root / pixels;
            }
        }
        sum / f64::from(pixels)
    }
}

/// Bright boxes on a dark background; the landmarks are two of their corners.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Boxes {
    /// Number of training images; there are half as many validation images.
    train: usize,
}

const SIZE: Size = Size { height: 40, width: 48 };

impl CustomDataset for Boxes {
    fn check(&self) -> Result<()> {
        if self.train > 1 { Ok(()) } else { Err(Error::definition("too few to learn from").at("train")) }
    }

    fn list(&self) -> Result<Listing> {
        let images = (0..self.train + self.train / 2).map(|number| {
            // The position of a box depends on its number alone.
            let part = |of: usize, factor: usize| number * factor % of;
            let (left, top) = (4 + part(18, 7), 4 + part(14, 5));
            let (right, bottom) = (left + 8 + part(12, 11), top + 6 + part(10, 3));
            let grey = |index: usize| {
                let (x, y) = (index % SIZE.width, index / SIZE.width);
                let inside = (left..=right).contains(&x) && (top..=bottom).contains(&y);
                if inside { 200 } else { 40 + (x * 3 + y * 5 + number) as u8 % 16 }
            };
            let corner = |x: usize, y: usize| Some(Point { x: x as f64, y: y as f64 });
            Image {
                name: format!("box-{number:03}"),
                pixels: Pixmap::grey(SIZE, (0..SIZE.area()).map(grey).collect()),
                split: if number < self.train { Split::Train } else { Split::Val },
                landmarks: vec![corner(left, top), corner(right, bottom)],
                spacing: Some(Spacing { x: 0.5, y: 0.5 }),
                patient: None,
            }
        });
        Ok(Listing {
            name: "boxes".into(),
            landmarks: vec!["top left".into(), "bottom right".into()],
            observer_mre: None,
            images: images.collect(),
        })
    }
}

fn main() -> ExitCode {
    Program::new().network::<Ladder>("ladder").loss::<Charbonnier>("charbonnier").dataset::<Boxes>("boxes").main()
}

#[cfg(test)]
mod tests {
    use landmark_sweep::loss::custom::check_gradient;

    use super::*;

    #[test]
    fn its_gradient_is_right() {
        check_gradient(&Charbonnier { epsilon: 0.1 }).unwrap();
    }
}
