//! Precision of convolutions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The least precise arithmetic that convolutions may use. Everything else is single precision: parameters, sums,
/// normalisation, loss and optimizer. A device without a faster unit for it computes in single precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision.
    #[default]
    Fp32,
    /// Factors with at least the ten bits of TF32: on processors with AMX a sum of two bf16, 16 bits (what PyTorch calls
    /// `high`).
    Tf32,
    /// Factors rounded to bf16, 8 bits, as in PyTorch's autocast, and so are the results of normalised convolutions in a
    /// training, which wait for the backward pass at half the memory.
    Bf16,
}

impl Precision {
    /// Its name, as in a definition.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }
}
