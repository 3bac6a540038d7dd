//! The networks by name: each is a function to a [`Graph`], and every engine runs every one of them.

pub mod custom;
mod head;
mod norm;
pub mod two_stage;
mod unet;
mod unet_plus_plus;
mod unet_resnet18;
pub mod weights;

pub use custom::{CustomModel, CustomNetwork};
pub use head::{CombineSpec, HeadSpec};
pub use norm::NormSpec;
pub use two_stage::TwoStageSpec;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};
use sweep_core::units::Size;
use sweep_data::decode::MapKind;
use sweep_graph::Graph;
use weights::WeightsSpec;

/// Levels above which no image is large enough: 2¹⁵ pixels would be one pixel at the deepest.
const MOST_LEVELS: usize = 16;

/// Which network, and how large. `filters` are the channels of each level, from the image's own size down; each
/// level halves height and width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", deny_unknown_fields)]
pub enum ModelSpec {
    /// UNet++ (Zhou et al. 2018) with VGG blocks and bilinear upsampling.
    #[serde(rename = "unet++")]
    UNetPlusPlus {
        /// Channels of each level.
        #[serde(default = "unet_plus_plus_filters")]
        filters: Vec<usize>,
        /// One head on every full-size map `x0_1 …` instead of one on the last.
        #[serde(default)]
        deep_supervision: bool,
        /// What normalises; over a batch by default.
        #[serde(default = "NormSpec::batch", skip_serializing_if = "NormSpec::is_batch")]
        norm: NormSpec,
        /// How it ends.
        #[serde(default, skip_serializing_if = "HeadSpec::is_default")]
        head: HeadSpec,
        /// A file to start from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weights: Option<WeightsSpec>,
    },
    /// U-Net (Ronneberger et al. 2015) with leaky ReLU and nearest upsampling.
    #[serde(rename = "unet")]
    UNet {
        /// Channels of each level.
        #[serde(default = "unet_filters")]
        filters: Vec<usize>,
        /// What normalises; nothing by default.
        #[serde(default = "NormSpec::none", skip_serializing_if = "NormSpec::is_none")]
        norm: NormSpec,
        /// How it ends.
        #[serde(default, skip_serializing_if = "HeadSpec::is_default")]
        head: HeadSpec,
        /// A file to start from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weights: Option<WeightsSpec>,
    },
    /// U-Net with a ResNet-18 (He et al. 2016) as its encoder, as in `segmentation_models_pytorch`. Here `filters` are
    /// the channels of the encoder's stages, from a quarter of the image's size down.
    #[serde(rename = "unet-resnet18")]
    UNetResNet18 {
        /// Channels of each stage of the encoder, and of its stem, at half the image's size, those of the first.
        #[serde(default = "resnet18_filters")]
        filters: Vec<usize>,
        /// Channels of each block of the decoder, from the deepest up: one more than stages.
        #[serde(default = "resnet18_decoder")]
        decoder: Vec<usize>,
        /// What normalises; over a batch by default.
        #[serde(default = "NormSpec::batch", skip_serializing_if = "NormSpec::is_batch")]
        norm: NormSpec,
        /// How it ends.
        #[serde(default, skip_serializing_if = "HeadSpec::is_default")]
        head: HeadSpec,
        /// A file to start from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weights: Option<WeightsSpec>,
    },
    /// Coarse on the whole picture, then fine on a crop around each landmark.
    #[serde(rename = "two-stage")]
    TwoStage(TwoStageSpec),
    /// One of the program's own, see [`CustomNetwork`].
    #[serde(rename = "custom")]
    Custom(CustomModel),
}

/// One graph of a model, and what it reads of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The graph.
    pub graph: Graph,
    /// Size of the pictures it reads.
    pub size: Size,
    /// How many of them it reads of an image.
    pub per_image: usize,
}

fn unet_plus_plus_filters() -> Vec<usize> {
    vec![16, 32, 64, 128, 256]
}

fn unet_filters() -> Vec<usize> {
    vec![64, 128, 256, 512]
}

fn resnet18_filters() -> Vec<usize> {
    vec![64, 128, 256, 512]
}

fn resnet18_decoder() -> Vec<usize> {
    vec![256, 128, 64, 32, 16]
}

impl ModelSpec {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// The first key with an impossible value; the key is the error's place.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::UNetPlusPlus { filters, deep_supervision: _, norm, .. } | Self::UNet { filters, norm, .. } => {
                check_filters(filters)?;
                norm.check(filters)?;
            }
            Self::UNetResNet18 { filters, decoder, norm, .. } => {
                check_filters(filters)?;
                check_decoder(filters, decoder)?;
                if norm.is_none() {
                    let what = "a residual network without normalisation does not train";
                    return Err(Error::definition(what).at("norm").remedy("use batch, group or instance"));
                }
                norm.check(&[filters.as_slice(), decoder].concat())?;
            }
            Self::TwoStage(spec) => spec.check()?,
            Self::Custom(spec) => spec.network.check()?,
        }
        self.head().map_or(Ok(()), HeadSpec::check)?;
        self.weights().map_or(Ok(()), WeightsSpec::check)
    }

    fn head(&self) -> Option<&HeadSpec> {
        match self {
            Self::UNetPlusPlus { head, .. } | Self::UNet { head, .. } | Self::UNetResNet18 { head, .. } => Some(head),
            Self::TwoStage(_) | Self::Custom(_) => None,
        }
    }

    /// The file that parameters start from, if there is one.
    #[must_use]
    pub fn weights(&self) -> Option<&WeightsSpec> {
        match self {
            Self::UNetPlusPlus { weights, .. } | Self::UNet { weights, .. } | Self::UNetResNet18 { weights, .. } => {
                weights.as_ref()
            }
            Self::TwoStage(spec) => spec.weights.as_ref(),
            Self::Custom(spec) => spec.weights.as_ref(),
        }
    }

    /// That what the network makes means something as maps of this kind.
    ///
    /// # Errors
    /// Where it does not; the key is the error's place.
    pub fn check_maps(&self, kind: MapKind) -> Result<()> {
        match self {
            Self::TwoStage(spec) => spec.check_maps(kind),
            _ => self.head().map_or(Ok(()), |head| head.check_maps(kind)),
        }
    }

    /// Fills in the versions of a program's own networks.
    ///
    /// # Errors
    /// When it has no such network.
    pub fn resolve_version(&mut self) -> Result<()> {
        match self {
            Self::UNetPlusPlus { .. } | Self::UNet { .. } | Self::UNetResNet18 { .. } => Ok(()),
            Self::TwoStage(spec) => spec.coarse.resolve_version().and_then(|()| spec.fine.resolve_version()),
            Self::Custom(spec) => spec.network.resolve_version(),
        }
    }

    /// UNet++ as it is by default.
    fn unet_plus_plus() -> Self {
        Self::UNetPlusPlus {
            filters: unet_plus_plus_filters(),
            deep_supervision: false,
            norm: NormSpec::batch(),
            head: HeadSpec::default(),
            weights: None,
        }
    }

    /// All graphs of the model, in the order they are run, for images of this size.
    ///
    /// # Errors
    /// As [`ModelSpec::graph`]; or when a graph's pictures are too small for it, with the place in a trial's
    /// configuration.
    pub fn stages(&self, channels: usize, landmarks: usize, input: Size) -> Result<Vec<Stage>> {
        let stage = |graph: Graph, size: Size, per_image: usize, place: &str| -> Result<Stage> {
            graph.sizes(size).map_err(|error| error.at(place))?;
            Ok(Stage { graph, size, per_image })
        };
        let mut graphs = self.graphs(channels, landmarks)?.into_iter();
        let first = graphs.next().map(|graph| stage(graph, input, 1, "input"));
        let second = self.two_stage().zip(graphs.next()).map(|(spec, graph)| {
            let crop = Size { height: spec.crop, width: spec.crop };
            stage(graph, crop, landmarks, "model.crop")
        });
        first.into_iter().chain(second).collect()
    }

    /// The graphs of all stages, in the order they are run; no two have parameters of one name.
    ///
    /// # Errors
    /// As [`ModelSpec::graph`].
    pub fn graphs(&self, channels: usize, landmarks: usize) -> Result<Vec<Graph>> {
        let Self::TwoStage(spec) = self else { return Ok(vec![self.graph(channels, landmarks)?]) };
        let coarse = spec.coarse.graph(channels, landmarks)?.prefixed(two_stage::COARSE);
        Ok(vec![coarse, spec.fine.graph(channels, landmarks)?.prefixed(two_stage::FINE)])
    }

    /// What a second stage reads, where there is one.
    #[must_use]
    pub fn two_stage(&self) -> Option<&TwoStageSpec> {
        if let Self::TwoStage(spec) = self { Some(spec) } else { None }
    }

    /// The network of one stage for images `[B, channels, H, W]`; every head is `[B, landmarks, H, W]`, the last one is
    /// the prediction.
    ///
    /// # Errors
    /// As [`ModelSpec::check`], or when there are no channels or no landmarks, or more than one stage.
    pub fn graph(&self, channels: usize, landmarks: usize) -> Result<Graph> {
        self.check()?;
        if channels == 0 {
            return Err(Error::definition("a network needs images of at least one channel"));
        }
        if landmarks == 0 {
            return Err(Error::definition("a network needs at least one landmark to find"));
        }
        Ok(match self {
            Self::UNetPlusPlus { filters, deep_supervision, norm, head, weights: _ } => {
                unet_plus_plus::graph(channels, landmarks, filters, *deep_supervision, *norm, head)
            }
            Self::UNet { filters, norm, head, weights: _ } => unet::graph(channels, landmarks, filters, *norm, head),
            Self::UNetResNet18 { filters, decoder, norm, head, weights: _ } => {
                unet_resnet18::graph(channels, landmarks, filters, decoder, *norm, head)
            }
            Self::Custom(spec) => spec.graph(channels, landmarks)?,
            Self::TwoStage(_) => return Err(Error::definition("a model of two stages is two networks")),
        })
    }
}

fn check_filters(filters: &[usize]) -> Result<()> {
    let levels = filters.len();
    let wrong = if levels < 2 {
        format!("{levels} level(s) of filters make no network that looks at more than one scale")
    } else if levels > MOST_LEVELS {
        format!("{levels} levels of filters need an image of at least 2^{} pixels a side", levels - 1)
    } else if let Some(level) = filters.iter().position(|channels| *channels == 0) {
        format!("level {level} has no filters")
    } else {
        return Ok(());
    };
    Err(Error::definition(wrong)
        .at("filters")
        .remedy(format!("give 2 to {MOST_LEVELS} positive numbers, such as [16, 32, 64, 128, 256]")))
}

fn check_decoder(filters: &[usize], decoder: &[usize]) -> Result<()> {
    let blocks = filters.len() + 1;
    let wrong = if decoder.len() != blocks {
        format!("{} decoder blocks do not undo {blocks} halvings", decoder.len())
    } else if let Some(block) = decoder.iter().position(|channels| *channels == 0) {
        format!("decoder block {block} has no filters")
    } else {
        return Ok(());
    };
    Err(Error::definition(wrong)
        .at("decoder")
        .remedy(format!("give {blocks} positive numbers, one more than filters, such as [256, 128, 64, 32, 16]")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sweep_core::units::Size;

    fn parse(text: &str) -> Result<ModelSpec, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_name_alone_means_the_published_sizes() {
        let filters = vec![16, 32, 64, 128, 256];
        let (head, weights) = (HeadSpec::default(), None);
        let unetpp =
            ModelSpec::UNetPlusPlus { filters, deep_supervision: false, norm: NormSpec::batch(), head, weights };
        assert_eq!(parse("name = 'unet++'").unwrap(), unetpp);
        let (filters, norm, head) = (vec![64, 128, 256, 512], NormSpec::none(), HeadSpec::default());
        let unet = ModelSpec::UNet { filters, norm, head, weights: None };
        assert_eq!(parse("name = 'unet'").unwrap(), unet);
        let sizes = "name = 'unet-resnet18'\nfilters = [64, 128, 256, 512]\ndecoder = [256, 128, 64, 32, 16]";
        assert_eq!(parse("name = 'unet-resnet18'").unwrap(), parse(sizes).unwrap());
    }

    #[test]
    fn a_default_normalisation_is_not_written_and_another_is() {
        let written = |text: &str| serde_json::to_value(parse(text).unwrap()).unwrap();
        for name in ["unet++", "unet"] {
            assert!(written(&format!("name = '{name}'")).get("norm").is_none(), "{name}");
            let grouped = written(&format!("name = '{name}'\nnorm = {{ name = 'group', groups = 8 }}"));
            assert_eq!(grouped["norm"], serde_json::json!({ "name": "group", "groups": 8 }));
        }
        assert_eq!(written("name = 'unet++'\nnorm = { name = 'batch' }"), written("name = 'unet++'"));
        assert_eq!(written("name = 'unet'\nnorm = { name = 'none' }"), written("name = 'unet'"));
        assert_eq!(written("name = 'unet'\nnorm = { name = 'batch' }")["norm"]["name"], "batch");
    }

    #[test]
    fn every_convolution_but_the_heads_is_normalised_as_said() {
        use sweep_graph::{Node, NormKind};
        for (norm, kind) in [
            (NormSpec::none(), None),
            (NormSpec::batch(), Some(NormKind::Batch)),
            (NormSpec::Group { groups: 2 }, Some(NormKind::Group { groups: 2 })),
            // A group per channel, as many as each convolution has.
            (NormSpec::Instance {}, Some(NormKind::Group { groups: 0 })),
        ] {
            let norm = toml::to_string(&norm).unwrap().replace('\n', ", ");
            let rest = format!("filters = [4, 8, 6]\nnorm = {{ {} }}", norm.trim_end_matches(", "));
            for name in ["unet++", "unet", "unet-resnet18"] {
                if name == "unet-resnet18" && kind.is_none() {
                    continue;
                }
                let decoder = if name == "unet-resnet18" { "\ndecoder = [8, 6, 4, 2]" } else { "" };
                let spec = parse(&format!("name = '{name}'\n{rest}{decoder}")).unwrap();
                for node in spec.graph(1, 3).unwrap().nodes() {
                    let Node::Convolution { name, channels, norm, .. } = node else { continue };
                    let kind = match kind {
                        Some(NormKind::Group { groups: 0 }) => Some(NormKind::Group { groups: *channels }),
                        kind => kind,
                    };
                    let is_head = name.starts_with("final") || name.starts_with("segmentation_head");
                    let expected = if is_head { None } else { kind };
                    assert_eq!(norm.as_ref().map(|norm| norm.kind), expected, "{spec:?} {node:?}");
                }
            }
        }
        let spec = parse("name = 'unet'\nfilters = [4, 7]\nnorm = { name = 'group', groups = 2 }").unwrap();
        assert_eq!(spec.graph(1, 3).unwrap_err().place.as_deref(), Some("norm.groups"));
    }

    #[test]
    fn unknown_keys_and_names_are_errors() {
        assert!(parse("name = 'unet'\nnorm = { name = 'batch', groups = 8 }").is_err());
        assert!(parse("name = 'unet'\nnorm = { name = 'group' }").is_err());
        assert!(parse("name = 'unet'\nfilter = [1, 2]").is_err());
        assert!(parse("name = 'unet'\ndeep_supervision = true").is_err());
        assert!(parse("name = 'vnet'").is_err());
        assert!(parse("name = 'unet'\nnorm = { name = 'instance', groups = 8 }").is_err());
        assert!(parse("name = 'unet'\nhead = { name = 'scn', kernels = 8 }").is_err());
        assert!(parse("name = 'unet'\ndecoder = [4, 2]").is_err());
        assert!(parse("name = 'unet'\nweights = { path = 'a.pth', prefx = 'encoder.' }").is_err());
    }

    #[test]
    fn a_residual_network_needs_a_block_more_than_stages_and_a_normalisation() {
        for (rest, key) in [
            ("filters = [4, 8]\ndecoder = [4, 2]", "decoder"),
            ("filters = [4, 8]\ndecoder = [4, 0, 2]", "decoder"),
            ("filters = [4]\ndecoder = [4, 2]", "filters"),
            ("norm = { name = 'none' }", "norm"),
            ("norm = { name = 'group', groups = 32 }", "norm.groups"),
        ] {
            let error = parse(&format!("name = 'unet-resnet18'\n{rest}")).unwrap().check().unwrap_err();
            assert_eq!(error.place.as_deref(), Some(key));
            assert!(error.remedy.is_some());
        }
    }

    #[test]
    fn impossible_filters_name_their_key() {
        for filters in [vec![], vec![16], vec![16, 0, 64], vec![1; 17]] {
            for name in ["unet", "unet++", "unet-resnet18"] {
                let spec = parse(&format!("name = '{name}'\nfilters = {filters:?}")).unwrap();
                let error = spec.graph(1, 10).unwrap_err();
                assert_eq!(error.place.as_deref(), Some("filters"), "{filters:?}");
                assert!(error.remedy.is_some());
            }
        }
        assert!(parse(&format!("name = 'unet'\nfilters = {:?}", [1; 16])).unwrap().check().is_ok());
    }

    #[test]
    fn a_network_needs_channels_and_landmarks() {
        let spec = parse("name = 'unet'\nfilters = [4, 8]").unwrap();
        assert!(spec.graph(0, 10).is_err());
        assert!(spec.graph(1, 0).is_err());
        assert!(spec.graph(1, 1).is_ok());
    }

    #[test]
    fn heads_have_the_size_of_the_image_whatever_it_is() {
        for (spec, heads) in [
            ("name = 'unet++'\nfilters = [4, 8, 16]", 1),
            ("name = 'unet++'\nfilters = [4, 8, 16]\ndeep_supervision = true", 2),
            ("name = 'unet++'\nfilters = [4, 8]\nhead = { name = 'scn', filters = 3 }", 1),
            ("name = 'unet'\nfilters = [4, 8, 16, 32]", 1),
            ("name = 'unet-resnet18'", 1),
        ] {
            let graph = parse(spec).unwrap().graph(3, 7).unwrap();
            let sizes = graph.sizes(Size { height: 21, width: 19 }).unwrap();
            assert_eq!(graph.heads().len(), heads);
            for head in graph.heads() {
                assert_eq!(sizes[head.0], Size { height: 21, width: 19 });
                assert_eq!(graph.channels(*head), 7);
            }
        }
    }
}
