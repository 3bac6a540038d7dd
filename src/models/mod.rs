//! The networks by name: each is a function to a [`Graph`], and every engine runs every one of them.

mod norm;
mod unet;
mod unet_plus_plus;

pub use norm::NormSpec;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::{Activation, Graph, Node, NodeId};

/// Levels above which no image is large enough: 2¹⁵ pixels would be one pixel at the deepest.
const MOST_LEVELS: usize = 16;

/// Which network, and how large. `filters` are the channels of each level, from the image's own size down; each
/// level halves height and width.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    },
}

fn unet_plus_plus_filters() -> Vec<usize> {
    vec![16, 32, 64, 128, 256]
}

fn unet_filters() -> Vec<usize> {
    vec![64, 128, 256, 512]
}

impl ModelSpec {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// The first key with an impossible value; the key is the error's place.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::UNetPlusPlus { filters, deep_supervision: _, norm } | Self::UNet { filters, norm } => {
                check_filters(filters)?;
                norm.check(filters)
            }
        }
    }

    /// The network for images `[B, channels, H, W]`; every head is `[B, landmarks, H, W]`, the last one is the
    /// prediction.
    ///
    /// # Errors
    /// As [`ModelSpec::check`], or when there are no channels or no landmarks.
    pub fn graph(&self, channels: usize, landmarks: usize) -> Result<Graph> {
        self.check()?;
        if channels == 0 {
            return Err(Error::definition("a network needs images of at least one channel"));
        }
        if landmarks == 0 {
            return Err(Error::definition("a network needs at least one landmark to find"));
        }
        Ok(match self {
            Self::UNetPlusPlus { filters, deep_supervision, norm } => {
                unet_plus_plus::graph(channels, landmarks, filters, *deep_supervision, *norm)
            }
            Self::UNet { filters, norm } => unet::graph(channels, landmarks, filters, *norm),
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

/// A 1×1 convolution to one map per landmark, as a head.
fn push_head(graph: &mut Graph, input: NodeId, name: String, landmarks: usize) {
    let head = graph.push(Node::Convolution {
        input,
        name,
        channels: landmarks,
        kernel: 1,
        stride: 1,
        norm: None,
        activation: Activation::Identity,
    });
    graph.push_head(head);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Size;

    fn parse(text: &str) -> Result<ModelSpec, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_name_alone_means_the_published_sizes() {
        let filters = vec![16, 32, 64, 128, 256];
        let unetpp = ModelSpec::UNetPlusPlus { filters, deep_supervision: false, norm: NormSpec::batch() };
        assert_eq!(parse("name = 'unet++'").unwrap(), unetpp);
        let unet = ModelSpec::UNet { filters: vec![64, 128, 256, 512], norm: NormSpec::none() };
        assert_eq!(parse("name = 'unet'").unwrap(), unet);
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
        use crate::graph::{Node, NormKind};
        for (norm, kind) in [
            (NormSpec::none(), None),
            (NormSpec::batch(), Some(NormKind::Batch)),
            (NormSpec::Group { groups: 2 }, Some(NormKind::Group { groups: 2 })),
        ] {
            for spec in [
                ModelSpec::UNetPlusPlus { filters: vec![4, 8, 6], deep_supervision: true, norm },
                ModelSpec::UNet { filters: vec![4, 8, 6], norm },
            ] {
                for node in spec.graph(1, 3).unwrap().nodes() {
                    if let Node::Convolution { kernel, norm, .. } = node {
                        let expected = if *kernel == 3 { kind } else { None };
                        assert_eq!(norm.as_ref().map(|norm| norm.kind), expected, "{spec:?} {node:?}");
                    }
                }
            }
        }
        let spec = ModelSpec::UNet { filters: vec![4, 7], norm: NormSpec::Group { groups: 2 } };
        assert_eq!(spec.graph(1, 3).unwrap_err().place.as_deref(), Some("norm.groups"));
    }

    #[test]
    fn unknown_keys_and_names_are_errors() {
        assert!(parse("name = 'unet'\nnorm = { name = 'batch', groups = 8 }").is_err());
        assert!(parse("name = 'unet'\nnorm = { name = 'group' }").is_err());
        assert!(parse("name = 'unet'\nfilter = [1, 2]").is_err());
        assert!(parse("name = 'unet'\ndeep_supervision = true").is_err());
        assert!(parse("name = 'vnet'").is_err());
    }

    #[test]
    fn impossible_filters_name_their_key() {
        for filters in [vec![], vec![16], vec![16, 0, 64], vec![1; 17]] {
            for spec in [
                ModelSpec::UNet { filters: filters.clone(), norm: NormSpec::none() },
                ModelSpec::UNetPlusPlus { filters: filters.clone(), deep_supervision: true, norm: NormSpec::batch() },
            ] {
                let error = spec.graph(1, 10).unwrap_err();
                assert_eq!(error.place.as_deref(), Some("filters"), "{filters:?}");
                assert!(error.remedy.is_some());
            }
        }
        assert!(ModelSpec::UNet { filters: vec![1; 16], norm: NormSpec::none() }.check().is_ok());
    }

    #[test]
    fn a_network_needs_channels_and_landmarks() {
        let spec = ModelSpec::UNet { filters: vec![4, 8], norm: NormSpec::none() };
        assert!(spec.graph(0, 10).is_err());
        assert!(spec.graph(1, 0).is_err());
        assert!(spec.graph(1, 1).is_ok());
    }

    #[test]
    fn heads_have_the_size_of_the_image_whatever_it_is() {
        for (spec, heads) in [
            (ModelSpec::UNetPlusPlus { filters: vec![4, 8, 16], deep_supervision: false, norm: NormSpec::batch() }, 1),
            (ModelSpec::UNetPlusPlus { filters: vec![4, 8, 16], deep_supervision: true, norm: NormSpec::batch() }, 2),
            (ModelSpec::UNet { filters: vec![4, 8, 16, 32], norm: NormSpec::none() }, 1),
        ] {
            let graph = spec.graph(3, 7).unwrap();
            let sizes = graph.sizes(Size { height: 21, width: 19 }).unwrap();
            assert_eq!(graph.heads().len(), heads);
            for head in graph.heads() {
                assert_eq!(sizes[head.0], Size { height: 21, width: 19 });
                assert_eq!(graph.channels(*head), 7);
            }
        }
    }
}
