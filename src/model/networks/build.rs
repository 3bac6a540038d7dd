//! The networks of a specification: each but candle's is a function to a [`Graph`].

use super::architecture::Architecture;
use super::spec::ModelSpec;
use super::two_stage::{self, TwoStageSpec};
use super::unet_efficientnet::Published;
use super::unet_resnet::Depth;
use super::{unet, unet_plus_plus};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;
use sweep_graph::Graph;

/// One network of a model, and its input for an image.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The network.
    pub architecture: Architecture,
    /// Size of the images it reads: whole images, or crops.
    pub size: Size,
    /// Number of them per image.
    pub per_image: usize,
}

impl ModelSpec {
    /// All networks of the model, in the order in which they run, for images of this size.
    ///
    /// # Errors
    /// Same errors as [`ModelSpec::graph`]; or when a network's input is too small for it, with the location in a trial's
    /// configuration.
    pub fn stages(&self, channels: usize, landmarks: usize, input: Size) -> Result<Vec<Stage>> {
        let stage = |architecture: Architecture, size: Size, per_image: usize, location: &str| -> Result<Stage> {
            architecture.check_size(size).map_err(|error| error.at(location))?;
            Ok(Stage { architecture, size, per_image })
        };
        let mut networks = self.architectures(channels, landmarks)?.into_iter();
        let first = networks.next().map(|network| stage(network, input, 1, "input"));
        let second = self.two_stage().zip(networks.next()).map(|(spec, network)| {
            let crop = Size { height: spec.crop, width: spec.crop };
            stage(network, crop, landmarks, "model.crop")
        });
        first.into_iter().chain(second).collect()
    }

    /// The networks of all stages, in the order in which they run; parameter names are unique across them.
    ///
    /// # Errors
    /// Same errors as [`ModelSpec::graph`].
    pub fn architectures(&self, channels: usize, landmarks: usize) -> Result<Vec<Architecture>> {
        let Self::TwoStage(spec) = self else { return Ok(vec![self.architecture(channels, landmarks)?]) };
        let coarse = spec.coarse.architecture(channels, landmarks)?.prefixed(two_stage::COARSE);
        Ok(vec![coarse, spec.fine.architecture(channels, landmarks)?.prefixed(two_stage::FINE)])
    }

    fn architecture(&self, channels: usize, landmarks: usize) -> Result<Architecture> {
        let Self::Candle(spec) = self else { return self.graph(channels, landmarks).map(Architecture::Graph) };
        self.check()?;
        spec.module(channels, landmarks).map(Architecture::Module)
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
    /// Same errors as [`ModelSpec::check`]; or when there are no channels or no landmarks, more than one stage, or no graph.
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
            Self::UNet { filters, upsampling, norm, head, weights: _ } => {
                unet::graph(channels, landmarks, filters, *upsampling, *norm, head)
            }
            Self::AttentionUNet(spec) => spec.graph(channels, landmarks),
            Self::UNetResNet18(spec) => spec.graph(Depth::ResNet18, channels, landmarks),
            Self::UNetResNet34(spec) => spec.graph(Depth::ResNet34, channels, landmarks),
            Self::UNetEfficientNetB0(spec) => spec.graph(Published::B0, channels, landmarks),
            Self::UNetEfficientNetB1(spec) => spec.graph(Published::B1, channels, landmarks),
            Self::UNetEfficientNetB2(spec) => spec.graph(Published::B2, channels, landmarks),
            Self::UNetEfficientNetLite0(spec) => spec.graph(Published::Lite0, channels, landmarks),
            Self::UNetEfficientNetLite1(spec) => spec.graph(Published::Lite1, channels, landmarks),
            Self::UNetEfficientNetLite2(spec) => spec.graph(Published::Lite2, channels, landmarks),
            Self::HrNetW18(spec) => spec.graph(18, channels, landmarks),
            Self::HrNetW32(spec) => spec.graph(32, channels, landmarks),
            Self::DeepLabV3Plus(spec) => spec.graph(channels, landmarks),
            Self::Custom(spec) => spec.graph(channels, landmarks)?,
            Self::TwoStage(_) => return Err(Error::definition("a model of two stages is two networks")),
            Self::Candle(_) => return Err(Error::definition("a module of candle is no graph")),
        })
    }
}
