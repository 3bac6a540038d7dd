//! Networks that a definition can name, with their settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attention_unet::AttentionUNetSpec;
use super::candle::CandleModel;
use super::custom::CustomModel;
use super::deeplab_v3_plus::DeepLabV3PlusSpec;
use super::head::HeadSpec;
use super::hrnet::HrNetSpec;
use super::norm::NormSpec;
use super::two_stage::TwoStageSpec;
use super::unet::Upsampling;
use super::unet_efficientnet::{EfficientNetSpec, Published};
use super::unet_resnet::UNetResNetSpec;
use super::weights::WeightsSpec;
use sweep_core::error::{Error, Result};
use sweep_core::registry::Custom;
use sweep_data::decode::MapKind;

/// More levels than any image allows: 2¹⁵ pixels would be one pixel at the deepest.
const MAX_LEVELS: usize = 16;

/// A network and its size. `filters` are the channels of each level, from the image's own size down; each level halves
/// height and width.
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
        /// Normalisation; over a batch by default.
        #[serde(default = "NormSpec::batch", skip_serializing_if = "NormSpec::is_batch")]
        norm: NormSpec,
        /// The head.
        #[serde(default, skip_serializing_if = "HeadSpec::is_default")]
        head: HeadSpec,
        /// A file of initial weights.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weights: Option<WeightsSpec>,
    },
    /// U-Net (Ronneberger et al. 2015) with leaky ReLU.
    #[serde(rename = "unet")]
    UNet {
        /// Channels of each level.
        #[serde(default = "unet_filters")]
        filters: Vec<usize>,
        /// How the decoder enlarges maps.
        #[serde(default, skip_serializing_if = "Upsampling::is_nearest")]
        upsampling: Upsampling,
        /// Normalisation; none by default.
        #[serde(default = "NormSpec::none", skip_serializing_if = "NormSpec::is_none")]
        norm: NormSpec,
        /// The head.
        #[serde(default, skip_serializing_if = "HeadSpec::is_default")]
        head: HeadSpec,
        /// A file of initial weights.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weights: Option<WeightsSpec>,
    },
    /// U-Net with attention gates (Oktay et al. 2018) at its skip connections.
    #[serde(rename = "attention-unet")]
    AttentionUNet(AttentionUNetSpec),
    /// U-Net with a ResNet-18 (He et al. 2016) as its encoder, as in `segmentation_models_pytorch`. Here `filters` are
    /// the channels of the encoder's stages, from a quarter of the image's size down.
    #[serde(rename = "unet-resnet18")]
    UNetResNet18(UNetResNetSpec),
    /// The same with a ResNet-34.
    #[serde(rename = "unet-resnet34")]
    UNetResNet34(UNetResNetSpec),
    /// U-Net with an `EfficientNet-B0` (Tan and Le 2019) as its encoder, as `timm-efficientnet-b0` in
    /// `segmentation_models_pytorch`.
    #[serde(rename = "unet-efficientnet-b0")]
    UNetEfficientNetB0(EfficientNetSpec),
    /// The same with an `EfficientNet-B1`.
    #[serde(rename = "unet-efficientnet-b1")]
    UNetEfficientNetB1(EfficientNetSpec),
    /// The same with an `EfficientNet-B2`.
    #[serde(rename = "unet-efficientnet-b2")]
    UNetEfficientNetB2(EfficientNetSpec),
    /// U-Net with an `EfficientNet-Lite0` (Tan and Le 2019) as its encoder.
    #[serde(rename = "unet-efficientnet-lite0")]
    UNetEfficientNetLite0(EfficientNetSpec),
    /// The same with an `EfficientNet-Lite1`.
    #[serde(rename = "unet-efficientnet-lite1")]
    UNetEfficientNetLite1(EfficientNetSpec),
    /// The same with an `EfficientNet-Lite2`.
    #[serde(rename = "unet-efficientnet-lite2")]
    UNetEfficientNetLite2(EfficientNetSpec),
    /// `HRNet-W18` (Sun et al. 2019): 18 channels at the highest resolution.
    #[serde(rename = "hrnet-w18")]
    HrNetW18(HrNetSpec),
    /// `HRNet-W32`: 32 channels at the highest resolution.
    #[serde(rename = "hrnet-w32")]
    HrNetW32(HrNetSpec),
    /// `DeepLabV3+` (Chen et al. 2018) with a ResNet-34 as its encoder.
    #[serde(rename = "deeplabv3+")]
    DeepLabV3Plus(DeepLabV3PlusSpec),
    /// Two networks: a coarse one on the whole image, then a fine one on a crop around each landmark.
    #[serde(rename = "two-stage")]
    TwoStage(TwoStageSpec),
    /// A custom network, see `CustomNetwork`.
    #[serde(rename = "custom")]
    Custom(CustomModel),
    /// A network written with candle, see `CandleNetwork`.
    #[serde(rename = "candle")]
    Candle(CandleModel),
}

fn unet_plus_plus_filters() -> Vec<usize> {
    vec![16, 32, 64, 128, 256]
}

fn unet_filters() -> Vec<usize> {
    vec![64, 128, 256, 512]
}

impl ModelSpec {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first key with an impossible value; the key is the error's location.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::UNetPlusPlus { filters, deep_supervision: _, norm, .. } | Self::UNet { filters, norm, .. } => {
                check_filters(filters)?;
                norm.check(filters)?;
            }
            Self::AttentionUNet(spec) => spec.check()?,
            Self::UNetResNet18(spec) | Self::UNetResNet34(spec) => spec.check()?,
            Self::UNetEfficientNetB0(spec) => spec.check(Published::B0)?,
            Self::UNetEfficientNetB1(spec) => spec.check(Published::B1)?,
            Self::UNetEfficientNetB2(spec) => spec.check(Published::B2)?,
            Self::UNetEfficientNetLite0(spec) => spec.check(Published::Lite0)?,
            Self::UNetEfficientNetLite1(spec) => spec.check(Published::Lite1)?,
            Self::UNetEfficientNetLite2(spec) => spec.check(Published::Lite2)?,
            Self::HrNetW18(spec) => spec.check(18)?,
            Self::HrNetW32(spec) => spec.check(32)?,
            Self::DeepLabV3Plus(spec) => spec.check()?,
            Self::TwoStage(spec) => spec.check()?,
            Self::Custom(spec) => spec.network.check()?,
            Self::Candle(spec) => spec.network.check()?,
        }
        self.head().map_or(Ok(()), HeadSpec::check)?;
        self.weights().map_or(Ok(()), WeightsSpec::check)
    }

    fn head(&self) -> Option<&HeadSpec> {
        match self {
            Self::UNetPlusPlus { head, .. } | Self::UNet { head, .. } => Some(head),
            Self::UNetResNet18(spec) | Self::UNetResNet34(spec) => Some(&spec.head),
            Self::UNetEfficientNetB0(spec)
            | Self::UNetEfficientNetB1(spec)
            | Self::UNetEfficientNetB2(spec)
            | Self::UNetEfficientNetLite0(spec)
            | Self::UNetEfficientNetLite1(spec)
            | Self::UNetEfficientNetLite2(spec) => Some(&spec.head),
            Self::HrNetW18(spec) | Self::HrNetW32(spec) => Some(&spec.head),
            Self::AttentionUNet(spec) => Some(&spec.head),
            Self::DeepLabV3Plus(spec) => Some(&spec.head),
            Self::TwoStage(_) | Self::Custom(_) | Self::Candle(_) => None,
        }
    }

    /// The file of initial weights, if there is one.
    #[must_use]
    pub fn weights(&self) -> Option<&WeightsSpec> {
        match self {
            Self::UNetPlusPlus { weights, .. } | Self::UNet { weights, .. } => weights.as_ref(),
            Self::UNetResNet18(spec) | Self::UNetResNet34(spec) => spec.weights.as_ref(),
            Self::UNetEfficientNetB0(spec)
            | Self::UNetEfficientNetB1(spec)
            | Self::UNetEfficientNetB2(spec)
            | Self::UNetEfficientNetLite0(spec)
            | Self::UNetEfficientNetLite1(spec)
            | Self::UNetEfficientNetLite2(spec) => spec.weights.as_ref(),
            Self::HrNetW18(spec) | Self::HrNetW32(spec) => spec.weights.as_ref(),
            Self::AttentionUNet(spec) => spec.weights.as_ref(),
            Self::DeepLabV3Plus(spec) => spec.weights.as_ref(),
            Self::TwoStage(spec) => spec.weights.as_ref(),
            Self::Custom(spec) => spec.weights.as_ref(),
            Self::Candle(spec) => spec.weights.as_ref(),
        }
    }

    /// The file of initial weights, to be changed.
    pub fn weights_mut(&mut self) -> Option<&mut WeightsSpec> {
        match self {
            Self::UNetPlusPlus { weights, .. } | Self::UNet { weights, .. } => weights.as_mut(),
            Self::UNetResNet18(spec) | Self::UNetResNet34(spec) => spec.weights.as_mut(),
            Self::UNetEfficientNetB0(spec)
            | Self::UNetEfficientNetB1(spec)
            | Self::UNetEfficientNetB2(spec)
            | Self::UNetEfficientNetLite0(spec)
            | Self::UNetEfficientNetLite1(spec)
            | Self::UNetEfficientNetLite2(spec) => spec.weights.as_mut(),
            Self::HrNetW18(spec) | Self::HrNetW32(spec) => spec.weights.as_mut(),
            Self::AttentionUNet(spec) => spec.weights.as_mut(),
            Self::DeepLabV3Plus(spec) => spec.weights.as_mut(),
            Self::TwoStage(spec) => spec.weights.as_mut(),
            Self::Custom(spec) => spec.weights.as_mut(),
            Self::Candle(spec) => spec.weights.as_mut(),
        }
    }

    /// Checks that the network's output is meaningful as maps of this kind.
    ///
    /// # Errors
    /// When it is not; the key is the error's location.
    pub fn check_maps(&self, kind: MapKind) -> Result<()> {
        match self {
            Self::TwoStage(spec) => spec.check_maps(kind),
            other => other.head().map_or(Ok(()), |head| head.check_maps(kind)),
        }
    }

    /// Fills in the versions of custom networks.
    ///
    /// # Errors
    /// When the program has not registered one of them.
    pub fn resolve_version(&mut self) -> Result<()> {
        match self {
            Self::TwoStage(spec) => spec.coarse.resolve_version().and_then(|()| spec.fine.resolve_version()),
            Self::Custom(spec) => spec.network.resolve_version(),
            Self::Candle(spec) => spec.network.resolve_version(),
            _ => Ok(()),
        }
    }

    /// UNet++ with its defaults.
    pub(super) fn unet_plus_plus() -> Self {
        Self::UNetPlusPlus {
            filters: unet_plus_plus_filters(),
            deep_supervision: false,
            norm: NormSpec::batch(),
            head: HeadSpec::default(),
            weights: None,
        }
    }
}

examples!(ModelSpec {
    Self::UNetPlusPlus { .. } => Self::UNetPlusPlus {
        filters: vec![3, 5, 6],
        deep_supervision: false,
        norm: NormSpec::batch(),
        head: HeadSpec::default(),
        weights: None,
    },
    Self::UNet { .. } => Self::UNet {
        filters: vec![3, 5, 6],
        upsampling: Upsampling::Nearest,
        norm: NormSpec::none(),
        head: HeadSpec::default(),
        weights: None,
    },
    Self::AttentionUNet(_) => Self::AttentionUNet(AttentionUNetSpec::example()),
    Self::UNetResNet18(_) => Self::UNetResNet18(UNetResNetSpec::example()),
    Self::UNetResNet34(_) => Self::UNetResNet34(UNetResNetSpec::example()),
    Self::UNetEfficientNetB0(_) => Self::UNetEfficientNetB0(EfficientNetSpec::example()),
    Self::UNetEfficientNetB1(_) => Self::UNetEfficientNetB1(EfficientNetSpec::example()),
    Self::UNetEfficientNetB2(_) => Self::UNetEfficientNetB2(EfficientNetSpec::example()),
    Self::UNetEfficientNetLite0(_) => Self::UNetEfficientNetLite0(EfficientNetSpec::example()),
    Self::UNetEfficientNetLite1(_) => Self::UNetEfficientNetLite1(EfficientNetSpec::example()),
    Self::UNetEfficientNetLite2(_) => Self::UNetEfficientNetLite2(EfficientNetSpec::example()),
    Self::HrNetW18(_) => Self::HrNetW18(HrNetSpec::example()),
    Self::HrNetW32(_) => Self::HrNetW32(HrNetSpec::example()),
    Self::DeepLabV3Plus(_) => Self::DeepLabV3Plus(DeepLabV3PlusSpec::example()),
    Self::TwoStage(_) => Self::TwoStage(TwoStageSpec::example()),
    Self::Custom(_) => Self::Custom(CustomModel { network: Custom::example(), weights: None }),
    Self::Candle(_) => Self::Candle(CandleModel { network: Custom::example(), check_gradients: true, weights: None }),
});

pub(super) fn check_filters(filters: &[usize]) -> Result<()> {
    let levels = filters.len();
    let wrong = if levels < 2 {
        format!("{levels} level(s) of filters make no network that looks at more than one scale")
    } else if levels > MAX_LEVELS {
        format!("{levels} levels of filters need an image of at least 2^{} pixels a side", levels - 1)
    } else if let Some(level) = filters.iter().position(|channels| *channels == 0) {
        format!("level {level} has no filters")
    } else {
        return Ok(());
    };
    Err(Error::definition(wrong)
        .at("filters")
        .remedy(format!("give 2 to {MAX_LEVELS} positive numbers, such as [16, 32, 64, 128, 256]")))
}
