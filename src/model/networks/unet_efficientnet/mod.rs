//! U-Net with an `EfficientNet` (Tan and Le, "`EfficientNet`: Rethinking Model Scaling for Convolutional Neural Networks",
//! 2019) or an `EfficientNet-Lite` (Liu, 2020) as its encoder. The decoder's parameters have the names of
//! `segmentation_models_pytorch`, the encoder's those of the public networks: see [`standard`] and [`lite`].
//!
//! Convolutions of stride 2 pad both sides alike, as PyTorch does; TensorFlow pads one side more, which moves the grid of
//! a level by a pixel.

mod lite;
mod standard;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NormSpec;
use super::decoder;
use super::head::HeadSpec;
use super::weights::WeightsSpec;
use sweep_core::error::{Error, Result};
use sweep_graph::{Graph, Node, NodeId};

/// Sizes of a U-Net whose encoder is an `EfficientNet`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EfficientNetSpec {
    /// Factor of the published channels; each network's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// Factor of the published number of blocks; each network's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<f64>,
    /// Channels of each block of the decoder, from the deepest up.
    #[serde(default = "decoder::published")]
    pub decoder: Vec<usize>,
    /// Normalisation; over a batch by default.
    #[serde(default = "NormSpec::batch", skip_serializing_if = "NormSpec::is_batch")]
    pub norm: NormSpec,
    /// The head.
    #[serde(default, skip_serializing_if = "HeadSpec::is_default")]
    pub head: HeadSpec,
    /// A file of initial weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsSpec>,
}

/// A stage of inverted residual blocks.
#[derive(Debug, Clone, Copy)]
struct Stage {
    /// Blocks.
    blocks: usize,
    /// Side of their depthwise kernels.
    kernel: usize,
    /// Stride of the first block.
    stride: usize,
    /// Factor of the channels inside a block.
    expansion: usize,
    /// Channels of the result.
    channels: usize,
}

const fn stage([blocks, kernel, stride, expansion, channels]: [usize; 5]) -> Stage {
    Stage { blocks, kernel, stride, expansion, channels }
}

/// The published stages.
const STAGES: [Stage; 7] = [
    stage([1, 3, 1, 1, 16]),
    stage([2, 3, 2, 6, 24]),
    stage([2, 5, 2, 6, 40]),
    stage([3, 3, 2, 6, 80]),
    stage([3, 5, 1, 6, 112]),
    stage([4, 5, 2, 6, 192]),
    stage([1, 3, 1, 6, 320]),
];
/// Channels of the stem.
const STEM: usize = 32;
/// Halvings of the image.
const HALVINGS: usize = 5;
/// Most that a factor of the published sizes may be.
const LARGEST_FACTOR: f64 = 8.0;

/// The published networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    B0,
    B1,
    B2,
    Lite0,
    Lite1,
    Lite2,
}

impl Published {
    /// Factors of channels and of blocks.
    fn factors(self) -> [f64; 2] {
        match self {
            Self::B0 | Self::Lite0 => [1.0, 1.0],
            Self::B1 | Self::Lite1 => [1.0, 1.1],
            Self::B2 | Self::Lite2 => [1.1, 1.2],
        }
    }

    fn is_lite(self) -> bool {
        matches!(self, Self::Lite0 | Self::Lite1 | Self::Lite2)
    }
}

/// The multiple of eight next to a scaled number of channels, but not less than nine tenths of it.
fn scaled(channels: usize, factor: f64) -> usize {
    let wanted = channels as f64 * factor;
    let rounded = ((wanted + 4.0) as usize / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * wanted { rounded + 8 } else { rounded }
}

/// An encoder's maps: those before each halving, the images first, and the deepest.
struct Encoded {
    skips: Vec<NodeId>,
    deepest: NodeId,
}

impl EfficientNetSpec {
    /// Factors of channels and of blocks.
    fn factors(&self, network: Published) -> [f64; 2] {
        let [width, depth] = network.factors();
        [self.width.unwrap_or(width), self.depth.unwrap_or(depth)]
    }

    /// Checks what the types cannot.
    pub(super) fn check(&self, network: Published) -> Result<()> {
        for (key, factor) in [("width", self.width), ("depth", self.depth)] {
            if factor.is_some_and(|factor| !(factor > 0.0 && factor <= LARGEST_FACTOR)) {
                let what = format!("a factor of {}", factor.unwrap_or_default());
                return Err(Error::definition(what).at(key).remedy("use a number above 0 and up to 8, such as 1.0"));
            }
        }
        decoder::check(&self.decoder, HALVINGS)?;
        let [width, _] = self.factors(network);
        let stem = if network.is_lite() { STEM } else { scaled(STEM, width) };
        let stages = STAGES.into_iter().map(|stage| scaled(stage.channels, width));
        let filters: Vec<usize> = std::iter::once(stem).chain(stages).chain(self.decoder.iter().copied()).collect();
        self.norm.check_residual(&filters)
    }

    /// The network.
    pub(super) fn graph(&self, network: Published, channels: usize, landmarks: usize) -> Graph {
        let factors = self.factors(network);
        let mut graph = Graph::new();
        let images = graph.push(Node::Input { channels });
        let encode = if network.is_lite() { lite::push } else { standard::push };
        let Encoded { skips, deepest } = encode(&mut graph, images, factors, self.norm);
        decoder::push(&mut graph, deepest, skips, &self.decoder, self.norm, (&self.head, landmarks));
        graph
    }

    /// Small sizes, for tests.
    pub(super) fn example() -> Self {
        let (width, depth) = (Some(0.05), Some(0.3));
        let (norm, head) = (NormSpec::batch(), HeadSpec::default());
        Self { width, depth, decoder: vec![8, 6, 5, 4, 3], norm, head, weights: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_factors_name_their_key() {
        for (text, key) in [
            ("width = 0.0", "width"),
            ("depth = -1.0", "depth"),
            ("width = nan", "width"),
            ("decoder = [4, 2]", "decoder"),
            ("norm = { name = 'group', groups = 16 }", "norm.groups"),
        ] {
            let spec: EfficientNetSpec = toml::from_str(text).unwrap();
            for network in [Published::Lite0, Published::B0] {
                assert_eq!(spec.check(network).unwrap_err().location.as_deref(), Some(key));
            }
        }
    }

    #[test]
    fn channels_are_rounded_as_in_the_published_code() {
        // round_filters at a width of 1.1.
        assert_eq!([16, 24, 40, 80, 112, 192, 320].map(|c| scaled(c, 1.1)), [16, 24, 48, 88, 120, 208, 352]);
    }
}
