//! Normalisation of a network's convolutions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};
use sweep_graph::{Norm, NormKind};

/// Normalisation after every convolution except those of heads. It is not written into a configuration that keeps its
/// network's default, so that older configurations keep their hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum NormSpec {
    /// None.
    None {},
    /// Over a batch, per channel ([`NormKind::Batch`]).
    Batch {},
    /// Over a group of channels, per image ([`NormKind::Group`]): independent of the batch size.
    Group {
        /// Groups of channels; divides the channels of every level.
        groups: usize,
    },
    /// Over every channel of an image by itself, with a scale and a shift: as many groups as channels (PyTorch's
    /// `InstanceNorm2d` with `affine = True`; Ulyanov et al. 2016).
    Instance {},
}

impl NormSpec {
    pub(super) fn none() -> Self {
        Self::None {}
    }

    pub(super) fn batch() -> Self {
        Self::Batch {}
    }

    pub(super) fn is_none(&self) -> bool {
        *self == Self::none()
    }

    pub(super) fn is_batch(&self) -> bool {
        *self == Self::batch()
    }

    /// Checks that it fits levels with so many channels.
    ///
    /// # Errors
    /// When groups do not divide the channels; the key is the error's location.
    pub(super) fn check(self, filters: &[usize]) -> Result<()> {
        let Self::Group { groups } = self else { return Ok(()) };
        let wrong = if groups == 0 {
            "0 groups normalise nothing".to_owned()
        } else if let Some(level) = filters.iter().position(|channels| channels % groups != 0) {
            format!("{groups} groups do not divide the {} filters of level {level}", filters[level])
        } else {
            return Ok(());
        };
        let most = filters.iter().copied().reduce(greatest_common_divisor).unwrap_or(1);
        Err(Error::definition(wrong).at("norm.groups").remedy(format!("use a divisor of all filters: {most} at most")))
    }

    /// [`Self::check`] for a residual network, which also needs a normalisation.
    ///
    /// # Errors
    /// Same errors as there, or when there is no normalisation.
    pub(super) fn check_residual(self, filters: &[usize]) -> Result<()> {
        if self.is_none() {
            let what = "a residual network without normalisation does not train";
            return Err(Error::definition(what).at("norm").remedy("use batch, group or instance"));
        }
        self.check(filters)
    }

    /// The normalisation of so many channels with parameter prefix `name`.
    pub(super) fn named(self, name: String, channels: usize) -> Option<Norm> {
        let kind = match self {
            Self::None {} => return None,
            Self::Batch {} => NormKind::Batch,
            Self::Group { groups } => NormKind::Group { groups },
            Self::Instance {} => NormKind::Group { groups: channels },
        };
        Some(Norm::new(name, kind))
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_do_not_divide_name_their_key_and_what_would() {
        let refused = |groups, filters: &[usize]| NormSpec::Group { groups }.check(filters).unwrap_err();
        let error = refused(8, &[16, 24, 36]);
        assert_eq!(error.location.as_deref(), Some("norm.groups"));
        assert!(error.message.contains("8 groups") && error.message.contains("36 filters of level 2"), "{error}");
        assert!(error.remedy.unwrap().contains(": 4 at most"));
        assert_eq!(refused(0, &[16]).location.as_deref(), Some("norm.groups"));
        assert!(NormSpec::Group { groups: 4 }.check(&[16, 24, 36]).is_ok());
    }
}
