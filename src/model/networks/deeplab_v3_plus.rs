//! `DeepLabV3+` with a ResNet-34 as its encoder, like `DeepLabV3Plus("resnet34")` of `segmentation_models_pytorch`.
//!
//! Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", 2018. The encoder's
//! parameters have torchvision's names after `encoder.`, the rest those of `segmentation_models_pytorch`. In the last
//! stage of the encoder all convolutions of 3×3 pixels have a dilation of 2 and none has a stride, so that its maps have
//! a sixteenth of the image's size. Atrous spatial pyramid pooling (ASPP) reads them at several rates, by separable
//! convolutions, and as their mean over the image; the decoder joins its result, enlarged, with the encoder's maps at a
//! quarter of the image's size.
//!
//! Three things differ from `segmentation_models_pytorch`: the rates are the paper's, 6, 12 and 18, where that package
//! takes 12, 24 and 36 unless `decoder_atrous_rates` says otherwise; maps are enlarged to the size of those they meet, so
//! that images may have any size; and there is no dropout, which that package has after ASPP in training.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NormSpec;
use super::decoder::Bare;
use super::head::HeadSpec;
use super::spec::check_filters;
use super::unet_resnet::{self, Depth, LastStage};
use super::weights::WeightsSpec;
use sweep_core::error::{Error, Result};
use sweep_graph::{Activation, BLOCK, Graph, Interpolation, Node, NodeId, Start};

/// Sizes of a `DeepLabV3+` whose encoder is a residual network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeepLabV3PlusSpec {
    /// Channels of each stage of the encoder; its stem, at half the image's size, has those of the first stage.
    #[serde(default = "filters")]
    pub filters: Vec<usize>,
    /// Channels of every part of ASPP and of the decoder.
    #[serde(default = "decoder_channels")]
    pub decoder_channels: usize,
    /// Channels that the maps at a quarter of the image's size are reduced to.
    #[serde(default = "low_level_channels")]
    pub low_level_channels: usize,
    /// Dilation of each of ASPP's convolutions of 3×3 pixels.
    #[serde(default = "atrous_rates")]
    pub atrous_rates: Vec<usize>,
    /// Normalisation, over a batch or over groups of several channels; over a batch by default.
    #[serde(default = "NormSpec::batch", skip_serializing_if = "NormSpec::is_batch")]
    pub norm: NormSpec,
    /// The head.
    #[serde(default, skip_serializing_if = "HeadSpec::is_default")]
    pub head: HeadSpec,
    /// A file of initial weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsSpec>,
}

/// Most that sizes may be: more than any published network has.
const LARGEST: usize = 1 << 12;
/// Largest dilation: its taps are further apart than most images' maps are wide.
const LARGEST_RATE: usize = 64;

fn filters() -> Vec<usize> {
    vec![64, 128, 256, 512]
}

fn decoder_channels() -> usize {
    256
}

fn low_level_channels() -> usize {
    48
}

fn atrous_rates() -> Vec<usize> {
    vec![6, 12, 18]
}

impl DeepLabV3PlusSpec {
    /// Checks what the types cannot.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |key: &str, what: String, right: String| Err(Error::definition(what).at(key).remedy(right));
        check_filters(&self.filters)?;
        for (key, size) in
            [("decoder_channels", self.decoder_channels), ("low_level_channels", self.low_level_channels)]
        {
            if !(1..=LARGEST).contains(&size) {
                return wrong(key, format!("{size} channels"), format!("use a number from 1 to {LARGEST}"));
            }
        }
        // They are read in front of others by a convolution of every channel by itself.
        if !self.decoder_channels.is_multiple_of(BLOCK) {
            let what = format!("{} channels", self.decoder_channels);
            return wrong("decoder_channels", what, format!("use a multiple of {BLOCK}, such as 256"));
        }
        let is_possible = |rate: &usize| (1..=LARGEST_RATE).contains(rate);
        if self.atrous_rates.is_empty() || !self.atrous_rates.iter().all(is_possible) {
            let what = format!("rates of {:?}", self.atrous_rates);
            return wrong("atrous_rates", what, format!("give numbers from 1 to {LARGEST_RATE}, such as [6, 12, 18]"));
        }
        let all = [self.filters.as_slice(), &[self.decoder_channels, self.low_level_channels]].concat();
        self.norm.check_residual(&all)?;
        // The mean of an image is a single value per channel.
        let alone = match self.norm {
            NormSpec::Instance {} => "norm",
            NormSpec::Group { groups } if groups == self.decoder_channels => "norm.groups",
            _ => return Ok(()),
        };
        let what = "ASPP has one value per channel of an image's mean, which cannot be normalised by itself";
        wrong(alone, what.to_owned(), "use batch, or groups of several channels".to_owned())
    }

    /// The network.
    pub(super) fn graph(&self, channels: usize, landmarks: usize) -> Graph {
        let mut graph = Graph::new();
        let images = graph.push(Node::Input { channels });
        let maps =
            unet_resnet::encoder(&mut graph, images, Depth::ResNet34, &self.filters, self.norm, LastStage::Dilated);
        let (low, deepest) = (maps[1], maps[maps.len() - 1]);
        let mut layers = Layers { graph, norm: self.norm };
        let pyramid = self.pyramid(&mut layers, deepest);
        let pyramid = layers.separable(pyramid, ["decoder.aspp.1", "decoder.aspp.2"], self.decoder_channels, 1);
        let (input, interpolation) = (pyramid, Interpolation::Bilinear);
        let up = layers.graph.push(Node::Upsample { input, like: low, interpolation });
        let detail = layers.pointwise(low, ["decoder.block1.0", "decoder.block1.1"], self.low_level_channels);
        let both = layers.graph.push(Node::Concatenate { inputs: vec![up, detail] });
        let map = layers.separable(both, ["decoder.block2.0", "decoder.block2.1"], self.decoder_channels, 1);
        let mut graph = layers.graph;
        let mut head = Node::head(map, "segmentation_head.0", landmarks);
        if let Node::Convolution { start, .. } = &mut head {
            *start = Start::Glorot;
        }
        let quarter = graph.push(head);
        let appearance = graph.push(Node::Upsample { input: quarter, like: images, interpolation });
        self.head.end(&mut graph, appearance, landmarks);
        graph
    }

    /// Atrous spatial pyramid pooling.
    fn pyramid(&self, layers: &mut Layers, map: NodeId) -> NodeId {
        const NAME: &str = "decoder.aspp.0";
        let part = |index: usize, layer: usize| format!("{NAME}.convs.{index}.{layer}");
        let channels = self.decoder_channels;
        let mut parts = vec![layers.pointwise(map, [&part(0, 0), &part(0, 1)], channels)];
        for (index, rate) in (1..).zip(&self.atrous_rates) {
            parts.push(layers.separable(map, [&part(index, 0), &part(index, 1)], channels, *rate));
        }
        let mean = layers.graph.push(Node::GlobalAveragePool { input: map });
        let last = parts.len();
        let input = layers.pointwise(mean, [&part(last, 1), &part(last, 2)], channels);
        // Of a single pixel every interpolation is the same.
        let interpolation = Interpolation::Nearest;
        parts.push(layers.graph.push(Node::Upsample { input, like: map, interpolation }));
        let all = layers.graph.push(Node::Concatenate { inputs: parts });
        layers.pointwise(all, [&format!("{NAME}.project.0"), &format!("{NAME}.project.1")], channels)
    }

    /// Small sizes, for tests.
    pub(super) fn example() -> Self {
        Self {
            filters: vec![4, 6],
            decoder_channels: 16,
            low_level_channels: 3,
            atrous_rates: vec![1, 2],
            norm: NormSpec::batch(),
            head: HeadSpec::default(),
            weights: None,
        }
    }
}

/// A graph under construction.
struct Layers {
    graph: Graph,
    norm: NormSpec,
}

impl Layers {
    /// A convolution of single pixels and nothing else.
    fn bare(name: &str, channels: usize) -> Bare {
        Bare {
            name: name.to_owned(),
            channels,
            kernel: 1,
            stride: 1,
            dilation: 1,
            depthwise: false,
            start: Start::He,
            norm: None,
            activation: Activation::Identity,
        }
    }

    /// A convolution of single pixels, its normalisation, `ReLU`.
    fn pointwise(&mut self, input: NodeId, [name, norm]: [&str; 2], channels: usize) -> NodeId {
        let norm = self.norm.named(norm.to_owned(), channels);
        let activation = Activation::Relu;
        Bare { norm, activation, ..Self::bare(name, channels) }.push(&mut self.graph, input)
    }

    /// A convolution of every channel by itself, then one of single pixels, its normalisation, `ReLU`.
    fn separable(&mut self, input: NodeId, [name, norm]: [&str; 2], channels: usize, dilation: usize) -> NodeId {
        let (name, point) = (format!("{name}.0"), format!("{name}.1"));
        let wide = self.graph.channels(input);
        let bare = Bare { kernel: 3, dilation, depthwise: true, ..Self::bare(&name, wide) };
        let apart = bare.push(&mut self.graph, input);
        self.pointwise(apart, [&point, norm], channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sweep_core::units::Size;

    #[test]
    fn has_the_published_number_of_parameters_and_names() {
        let spec: DeepLabV3PlusSpec = toml::from_str("").unwrap();
        let graph = spec.graph(1, 10);
        // Number of segmentation_models_pytorch 0.6.0: scripts/parity.py --smp.
        assert_eq!(graph.trained_values(), 22_433_498);
        let size = Size { height: 200, width: 160 };
        let sizes = graph.sizes(size).unwrap();
        assert_eq!(sizes[graph.heads()[0].0], size);
        let smallest = sizes.iter().filter(|size| size.area() > 1).map(|size| size.area()).min().unwrap();
        assert_eq!(smallest, 13 * 10, "a sixteenth, rounded up");
        let dilated = graph.nodes().iter().filter_map(|node| match node {
            Node::Convolution { name, dilation, .. } if *dilation > 1 => Some((name.as_str(), *dilation)),
            _ => None,
        });
        let dilated: Vec<_> = dilated.collect();
        assert_eq!(dilated.len(), 2 * 3 + 3, "both convolutions of three blocks, and the rates");
        assert!(dilated.contains(&("encoder.layer4.0.conv1", 2)));
        assert!(dilated.contains(&("decoder.aspp.0.convs.3.0.0", 18)));
    }

    #[test]
    fn impossible_sizes_name_their_key() {
        for (text, key) in [
            ("decoder_channels = 0", "decoder_channels"),
            ("decoder_channels = 40", "decoder_channels"),
            ("low_level_channels = 5000", "low_level_channels"),
            ("atrous_rates = []", "atrous_rates"),
            ("atrous_rates = [6, 0]", "atrous_rates"),
            ("atrous_rates = [65]", "atrous_rates"),
            ("filters = [4]", "filters"),
            ("norm = { name = 'none' }", "norm"),
            ("norm = { name = 'instance' }", "norm"),
            ("norm = { name = 'group', groups = 32 }", "norm.groups"),
            (
                "filters = [16, 16]\ndecoder_channels = 16\nlow_level_channels = 16\n\
              norm = { name = 'group', groups = 16 }",
                "norm.groups",
            ),
        ] {
            let spec: DeepLabV3PlusSpec = toml::from_str(text).unwrap();
            assert_eq!(spec.check().unwrap_err().location.as_deref(), Some(key), "{text}");
        }
    }
}
