//! Two networks in sequence: a coarse one finds every landmark on the whole image at low resolution; a fine one, shared
//! by all landmarks, reads a crop of a high-resolution image around each of them. So full resolution is paid for only
//! near the landmarks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ModelSpec;
use super::unet::Upsampling;
use super::weights::WeightsSpec;
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;
use sweep_data::decode::MapKind;
use sweep_data::heatmap::HeatmapSpec;

/// Prefix of the coarse network's parameter names.
pub const COARSE: &str = "coarse.";
/// Prefix of the fine network's parameter names.
pub const FINE: &str = "fine.";

/// The two networks and the input of the second one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TwoStageSpec {
    /// Network that reads the whole image at the trial's `input` size.
    #[serde(default = "coarse")]
    pub coarse: Box<ModelSpec>,
    /// Network that reads crops; of its maps of a crop, only the map of the crop's own landmark counts.
    #[serde(default = "fine")]
    pub fine: Box<ModelSpec>,
    /// Size of the image that crops are cut from.
    #[serde(default = "size")]
    pub size: Size,
    /// Side of a crop, in pixels of that image.
    #[serde(default = "crop")]
    pub crop: usize,
    /// How far crops of training images are shifted from their landmark: uniform along each axis within ± this share of
    /// a crop's side. It should cover the errors of the coarse network.
    #[serde(default = "jitter")]
    pub jitter: f64,
    /// The fine network's targets, in pixels of the image that crops are cut from; the trial's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heatmap: Option<HeatmapSpec>,
    /// A file of initial weights for both networks; its names, or the prefixes, begin with `coarse.` and `fine.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsSpec>,
}

fn coarse() -> Box<ModelSpec> {
    Box::new(ModelSpec::unet_plus_plus())
}

fn fine() -> Box<ModelSpec> {
    let (norm, head) = (super::NormSpec::batch(), super::HeadSpec::default());
    Box::new(ModelSpec::UNet { filters: vec![16, 32, 64], upsampling: Upsampling::Nearest, norm, head, weights: None })
}
fn size() -> Size {
    Size { height: 800, width: 640 }
}
fn crop() -> usize {
    64
}
fn jitter() -> f64 {
    0.25
}

impl TwoStageSpec {
    /// A small model, see [`ModelSpec::examples`].
    pub(super) fn example() -> Self {
        let unet = |filters: Vec<usize>, norm| {
            let head = super::HeadSpec::default();
            Box::new(ModelSpec::UNet { filters, upsampling: Upsampling::Nearest, norm, head, weights: None })
        };
        Self {
            coarse: unet(vec![4, 8], super::NormSpec::none()),
            fine: unet(vec![5, 6], super::NormSpec::batch()),
            size: Size { height: 34, width: 26 },
            crop: 12,
            jitter: jitter(),
            heatmap: None,
            weights: None,
        }
    }

    /// # Errors
    /// Names the key whose value is impossible.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |key: &str, what: String, right: &str| Err(Error::definition(what).at(key).remedy(right));
        for (key, stage) in [("coarse", &self.coarse), ("fine", &self.fine)] {
            if matches!(**stage, ModelSpec::TwoStage(_)) {
                return wrong(key, format!("the {key} network has two stages itself"), "name a network of one stage");
            }
            if stage.weights().is_some() {
                let right = format!(
                    "put `weights` beside `{key}`, its prefix beginning with \"{key}.\" if the file's names do not; a list of \
                     prefixes serves both stages"
                );
                return wrong(&format!("{key}.weights"), "weights of one stage alone".into(), &right);
            }
            within(key, stage.check())?;
        }
        within("size", self.size.check())?;
        let Size { height, width } = self.size;
        if self.crop == 0 || self.crop > height.min(width) {
            let what = format!("a crop of {0} × {0} pixels of a picture of {height} × {width}", self.crop);
            return wrong("crop", what, "use a side above 0 that fits into `size`, for example 64");
        }
        // At ½ a landmark may lie on the crop's border.
        if !(0.0..0.5).contains(&self.jitter) {
            let what = format!("crops up to {} of their side beside their landmark", self.jitter);
            return wrong("jitter", what, "use a share from 0 to below 0.5, for example 0.25");
        }
        within("heatmap", self.heatmap.map_or(Ok(()), |heatmap| heatmap.check()))
    }
}

impl TwoStageSpec {
    /// [`ModelSpec::check_maps`] for both networks.
    pub(super) fn check_maps(&self, kind: MapKind) -> Result<()> {
        within("coarse", self.coarse.check_maps(kind))?;
        within("fine", self.fine.check_maps(kind))
    }
}

/// Puts a key before an error's location.
fn within(key: &str, checked: Result<()>) -> Result<()> {
    checked.map_err(|error| {
        let location = error.location.as_deref().map_or_else(|| key.to_owned(), |inner| format!("{key}.{inner}"));
        Error { location: Some(location), ..error }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ModelSpec, toml::de::Error> {
        toml::from_str(&format!("name = 'two-stage'\n{text}"))
    }

    #[test]
    fn a_name_alone_means_the_stated_defaults() {
        let written = "coarse = { name = 'unet++' }\nsize = { height = 800, width = 640 }\ncrop = 64\njitter = 0.25\n\
                       fine = { name = 'unet', filters = [16, 32, 64], norm = { name = 'batch' } }";
        assert_eq!(parse("").unwrap(), parse(written).unwrap());
        assert_eq!(parse("").unwrap().check(), Ok(()));
    }

    #[test]
    fn impossible_values_name_their_key() {
        for (text, location) in [
            ("crop = 0", "crop"),
            ("crop = 700", "crop"),
            ("jitter = 0.5", "jitter"),
            ("jitter = -0.1", "jitter"),
            ("coarse = { name = 'unet', filters = [4] }", "coarse.filters"),
            ("fine = { name = 'unet', filters = [4, 0] }", "fine.filters"),
            ("fine = { name = 'two-stage' }", "fine"),
            ("fine = { name = 'unet', weights = { path = 'a.pth' } }", "fine.weights"),
            ("heatmap = { name = 'gaussian', sigma = 0 }", "heatmap.sigma"),
        ] {
            let error = parse(text).unwrap().check().unwrap_err();
            assert_eq!(error.location.as_deref(), Some(location), "{text}: {error}");
            assert!(error.remedy.is_some());
        }
        for text in ["crops = 64", "fine = { name = 'unet', filter = [4, 8] }", "heatmap = { name = 'gaussian' }"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn its_stages_are_two_graphs_with_names_of_their_own() {
        let input = Size { height: 100, width: 80 };
        let stages = parse("").unwrap().stages(1, 5, input).unwrap();
        let of = |i: usize| (stages[i].size, stages[i].per_image);
        assert_eq!((stages.len(), of(0), of(1)), (2, (input, 1), (Size { height: 64, width: 64 }, 5)));
        for (stage, prefix) in stages.iter().zip([COARSE, FINE]) {
            assert!(stage.architecture.parameters().iter().all(|parameter| parameter.name.starts_with(prefix)));
        }
        let location = |text: &str, input| parse(text).unwrap().stages(1, 5, input).unwrap_err().location.unwrap();
        assert_eq!(location("", Size { height: 8, width: 80 }), "input");
        assert_eq!(location("crop = 3", input), "model.crop");
    }
}
