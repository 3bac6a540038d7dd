//! `model = { name = "candle", … }`: a network written with candle, as a definition names it.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::weights::WeightsSpec;
use crate::candle::{AnyCandleNetwork, Module};
use sweep_core::error::Result;
use sweep_core::registry::Custom;

/// A network written with candle, see [`CandleNetwork`](crate::candle::CandleNetwork).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Keys", into = "Keys")]
pub struct CandleModel {
    /// The network.
    pub network: Custom<dyn AnyCandleNetwork>,
    /// Whether its gradients are compared with central differences before it is trained.
    pub check_gradients: bool,
    /// A file of initial weights.
    pub weights: Option<WeightsSpec>,
}

/// Serialised form: all keys side by side.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CandleKeys")]
struct Keys {
    /// Name under which the program registered the network.
    kind: String,
    /// The expected version and parameters; planning fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Options, which the network interprets.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    options: serde_json::Map<String, serde_json::Value>,
    /// Whether its gradients are compared with central differences before it is trained.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    check_gradients: bool,
    /// A file of initial weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weights: Option<WeightsSpec>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_yes(value: &bool) -> bool {
    *value
}

impl JsonSchema for CandleModel {
    fn schema_name() -> Cow<'static, str> {
        "CandleModel".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Keys::json_schema(generator)
    }
}

impl From<Keys> for CandleModel {
    fn from(Keys { kind, version, options, check_gradients, weights }: Keys) -> Self {
        let mut network = Custom::new(kind, options);
        network.version = version;
        Self { network, check_gradients, weights }
    }
}

impl From<CandleModel> for Keys {
    fn from(CandleModel { network, check_gradients, weights }: CandleModel) -> Self {
        Self { kind: network.kind, version: network.version, options: network.options, check_gradients, weights }
    }
}

impl CandleModel {
    /// The network for these numbers of channels and landmarks.
    pub(super) fn module(&self, channels: usize, landmarks: usize) -> Result<Module> {
        Module::new(Arc::clone(self.network.get()?), &self.network.kind, channels, landmarks, self.check_gradients)
    }
}
