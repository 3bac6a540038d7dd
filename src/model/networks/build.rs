//! The graphs of a specification: each network is a function to a [`Graph`].

use super::spec::ModelSpec;
use super::two_stage::{self, TwoStageSpec};
use super::unet_efficientnet_lite::Lite;
use super::unet_resnet::Depth;
use super::{unet, unet_plus_plus};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;
use sweep_graph::Graph;

/// One graph of a model, and its input for an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The graph.
    pub graph: Graph,
    /// Size of the images it reads: whole images, or crops.
    pub size: Size,
    /// Number of them per image.
    pub per_image: usize,
}

impl ModelSpec {
    /// All graphs of the model, in the order in which they run, for images of this size.
    ///
    /// # Errors
    /// Same errors as [`ModelSpec::graph`]; or when a graph's input is too small for it, with the location in a trial's
    /// configuration.
    pub fn stages(&self, channels: usize, landmarks: usize, input: Size) -> Result<Vec<Stage>> {
        let stage = |graph: Graph, size: Size, per_image: usize, location: &str| -> Result<Stage> {
            graph.sizes(size).map_err(|error| error.at(location))?;
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

    /// The graphs of all stages, in the order in which they run; parameter names are unique across them.
    ///
    /// # Errors
    /// Same errors as [`ModelSpec::graph`].
    pub fn graphs(&self, channels: usize, landmarks: usize) -> Result<Vec<Graph>> {
        let Self::TwoStage(spec) = self else { return Ok(vec![self.graph(channels, landmarks)?]) };
        let coarse = spec.coarse.graph(channels, landmarks)?.prefixed(two_stage::COARSE);
        Ok(vec![coarse, spec.fine.graph(channels, landmarks)?.prefixed(two_stage::FINE)])
    }

    /// Settings of the second stage's input, if there is a second stage.
    #[must_use]
    pub fn two_stage(&self) -> Option<&TwoStageSpec> {
        if let Self::TwoStage(spec) = self { Some(spec) } else { None }
    }

    /// The network of one stage for images `[B, channels, H, W]`; every head is `[B, landmarks, H, W]`, the last one is
    /// the prediction.
    ///
    /// # Errors
    /// Same errors as [`ModelSpec::check`]; or when there are no channels or no landmarks, or more than one stage.
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
            Self::UNetResNet18(spec) => spec.graph(Depth::ResNet18, channels, landmarks),
            Self::UNetResNet34(spec) => spec.graph(Depth::ResNet34, channels, landmarks),
            Self::UNetEfficientNetLite0(spec) => spec.graph(Lite::Zero, channels, landmarks),
            Self::UNetEfficientNetLite1(spec) => spec.graph(Lite::One, channels, landmarks),
            Self::UNetEfficientNetLite2(spec) => spec.graph(Lite::Two, channels, landmarks),
            Self::HrNetW18(spec) => spec.graph(18, channels, landmarks),
            Self::HrNetW32(spec) => spec.graph(32, channels, landmarks),
            Self::Custom(spec) => spec.graph(channels, landmarks)?,
            Self::TwoStage(_) => return Err(Error::definition("a model of two stages is two networks")),
        })
    }
}
