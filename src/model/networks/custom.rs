//! Custom networks, which a program registers.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::weights::WeightsSpec;
use sweep_core::error::{Error, Result};
use sweep_core::registry::{Component, Custom, Registry};
use sweep_core::units::Size;
use sweep_graph::{Activation, Graph, Node, Norm, NormKind, SmoothActivation};

/// A custom network. The value holds its options. Its graph identifies it: a changed graph makes a different trial, so
/// no version number is needed.
pub trait CustomNetwork: Send + Sync + 'static {
    /// The network for images `[B, channels, H, W]`; every head is `[B, landmarks, H, W]`, the last one is the prediction.
    ///
    /// # Errors
    /// When an option is impossible; its name is the error's location.
    fn graph(&self, channels: usize, landmarks: usize) -> Result<Graph>;
}

/// Registers a network under a name; `N` is also the type of its options.
///
/// # Errors
/// When the name is taken.
pub fn add_network<N: CustomNetwork + DeserializeOwned>(kind: &str) -> Result<()> {
    <dyn CustomNetwork>::registry().register(kind, |network: N| Arc::new(network) as Arc<dyn CustomNetwork>)
}

impl Component for dyn CustomNetwork {
    const NAME: &'static str = "network";

    fn registry() -> &'static Registry<Self> {
        static REGISTRY: Registry<dyn CustomNetwork> = Registry::new();
        &REGISTRY
    }

    fn check(&self) -> Result<()> {
        checked_graph(self, 1, 1).map(|_| ())
    }

    /// The first digits of a hash of the graph, built for a number of landmarks that no other number in it is likely to
    /// equal.
    fn version(&self) -> Result<Option<String>> {
        const LANDMARKS: usize = 7;
        let graph = self.graph(1, LANDMARKS)?;
        Ok(Some(blake3::hash(graph_text(&graph).as_bytes()).to_hex()[..16].to_owned()))
    }
}

/// `model = { name = "custom", … }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Keys", into = "Keys")]
pub struct CustomModel {
    /// The network.
    pub network: Custom<dyn CustomNetwork>,
    /// A file of initial weights.
    pub weights: Option<WeightsSpec>,
}

/// Serialised form: all keys side by side.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// Name under which the program registered the network.
    kind: String,
    /// The expected graph; planning fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Options, which the network interprets.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    options: serde_json::Map<String, serde_json::Value>,
    /// A file of initial weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weights: Option<WeightsSpec>,
}

impl JsonSchema for CustomModel {
    fn schema_name() -> Cow<'static, str> {
        "CustomModel".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Keys::json_schema(generator)
    }
}

impl From<Keys> for CustomModel {
    fn from(Keys { kind, version, options, weights }: Keys) -> Self {
        let mut network = Custom::new(kind, options);
        network.version = version;
        Self { network, weights }
    }
}

impl From<CustomModel> for Keys {
    fn from(CustomModel { network, weights }: CustomModel) -> Self {
        Self { kind: network.kind, version: network.version, options: network.options, weights }
    }
}

impl CustomModel {
    /// The network's graph, checked.
    pub(super) fn graph(&self, channels: usize, landmarks: usize) -> Result<Graph> {
        checked_graph(self.network.get()?.as_ref(), channels, landmarks)
    }
}

/// A network's graph, once engines and checkpoints can rely on it.
fn checked_graph(network: &dyn CustomNetwork, channels: usize, landmarks: usize) -> Result<Graph> {
    let graph = network.graph(channels, landmarks)?;
    let wrong = |what: String, right: &str| Err(Error::definition(what).remedy(right));
    let inputs = graph.nodes().iter().filter(|node| matches!(node, Node::Input { .. })).count();
    if inputs != 1 || !matches!(graph.nodes()[0], Node::Input { channels: c } if c == channels) {
        let what = format!("{inputs} inputs, or not of the {channels} channels that images have");
        return wrong(what, "push one Node::Input of the channels given, first");
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = graph.parameters().into_iter().find(|spec| !names.insert(spec.name.clone())) {
        return wrong(format!("two parameters are called `{}`", twice.name), "give every layer a name of its own");
    }
    if graph.heads().is_empty() {
        return wrong("a network without a head".into(), "name its output by Graph::push_head");
    }
    // Large and odd, so that a map that is not brought back to the images' size shows.
    let images = Size { height: 200_003, width: 300_007 };
    let sizes = graph.sizes(images)?;
    for head in graph.heads() {
        let (maps, size) = (graph.channels(*head), sizes[head.0]);
        if maps != landmarks || size != images {
            let what = format!(
                "a head has {maps} maps of {} × {} pixels of images of {} × {}, with {landmarks} landmarks",
                size.height, size.width, images.height, images.width
            );
            return wrong(what, "a head has a map per landmark, of the images' own size");
        }
    }
    Ok(graph)
}

/// Text of everything in a graph; it stays the same across versions of this crate.
fn graph_text(graph: &Graph) -> String {
    let activation = |activation: &Activation| match activation {
        Activation::Identity => "identity".to_owned(),
        Activation::Relu => "relu".to_owned(),
        Activation::LeakyRelu { slope } => format!("leaky {slope}"),
        Activation::Relu6 => "relu6".to_owned(),
    };
    // What older graphs could not have is written where it is there, so that their texts stay the same.
    let norm = |norm: &Option<Norm>| {
        let Some(Norm { name, kind, epsilon }) = norm else { return "none".to_owned() };
        let kind = match kind {
            NormKind::Batch => format!("batch {name:?}"),
            NormKind::Group { groups } => format!("group {groups} {name:?}"),
        };
        if epsilon.to_bits() == Norm::EPSILON.to_bits() { kind } else { format!("{kind} {epsilon:e}") }
    };
    let node = |node: &Node| match node {
        Node::Input { channels } => format!("input {channels}"),
        Node::Convolution {
            input,
            name,
            channels,
            kernel,
            stride,
            dilation,
            depthwise,
            bias,
            start,
            norm: n,
            activation: a,
        } => format!(
            "convolution {} {name:?} {channels} {kernel} {stride} {bias} {start:?} {} {}{}{}",
            input.0,
            norm(n),
            activation(a),
            if *dilation > 1 { format!(" dilated {dilation}") } else { String::new() },
            if *depthwise { " depthwise" } else { "" },
        ),
        Node::TransposedConvolution { input, like, name, channels, kernel, bias, start, norm: n, activation: a } => {
            format!(
                "transposed {} {} {name:?} {channels} {kernel} {bias} {start:?} {} {}",
                input.0,
                like.0,
                norm(n),
                activation(a)
            )
        }
        Node::MaxPool { input, side } => format!("pool {} {side}", input.0),
        Node::Upsample { input, like, interpolation } => format!("upsample {} {} {interpolation:?}", input.0, like.0),
        Node::Concatenate { inputs } => format!("concatenate {:?}", inputs.iter().map(|i| i.0).collect::<Vec<_>>()),
        Node::Combine { inputs: [first, second], operation, activation: a } => {
            format!("combine {} {} {operation:?} {}", first.0, second.0, activation(a))
        }
        Node::GlobalAveragePool { input } => format!("mean {}", input.0),
        Node::Smooth { input, activation: SmoothActivation::Sigmoid } => format!("sigmoid {}", input.0),
        Node::Smooth { input, activation: SmoothActivation::Silu } => format!("silu {}", input.0),
        Node::Smooth { input, activation: SmoothActivation::Gelu } => format!("gelu {}", input.0),
        Node::LayerNorm { input, epsilon } => format!("layer norm {} {epsilon:e}", input.0),
        Node::Gate { inputs: [map, gate], gating } => format!("gate {} {} {gating:?}", map.0, gate.0),
    };
    let heads = graph.heads().iter().map(|head| format!("head {}", head.0));
    graph.nodes().iter().map(node).chain(heads).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::ModelSpec;
    use sweep_graph::NodeId;

    /// A correct network, or one with the given mistake.
    #[derive(Deserialize)]
    struct Mistaken {
        #[serde(default)]
        mistake: String,
        #[serde(default = "four")]
        filters: usize,
    }

    fn four() -> usize {
        4
    }

    impl CustomNetwork for Mistaken {
        fn graph(&self, channels: usize, landmarks: usize) -> Result<Graph> {
            let is = |mistake: &str| self.mistake == mistake;
            let mut graph = Graph::new();
            let image = graph.push(Node::Input { channels: if is("colours") { 3 } else { channels } });
            let map = graph.push(Node::convolution(image, "a", self.filters).normalised("n", NormKind::Batch));
            let map: NodeId = if is("small") { graph.push(Node::MaxPool { input: map, side: 2 }) } else { map };
            let name = if is("twice") { "a" } else { "head" };
            let head = graph.push(Node::head(map, name, if is("maps") { landmarks + 1 } else { landmarks }));
            if !is("headless") {
                graph.push_head(head);
            }
            Ok(graph)
        }
    }

    fn spec(options: &str) -> ModelSpec {
        toml::from_str(&format!("name = 'custom'\nkind = 'mistaken'\noptions = {{ {options} }}")).unwrap()
    }

    #[test]
    fn sound_networks_are_models_and_others_are_told_what_they_lack() {
        add_network::<Mistaken>("mistaken").unwrap();
        let input = Size { height: 9, width: 7 };
        let sound = spec("");
        let stages = sound.stages(1, 3, input).unwrap();
        assert_eq!(stages[0].architecture.parameters().len(), 2 + 4 + 2);
        let fine = "name = 'two-stage'\ncrop = 4\nsize = { height = 20, width = 20 }\n\
                    fine = { name = 'custom', kind = 'mistaken' }\ncoarse = { name = 'custom', kind = 'mistaken' }";
        let mut staged: ModelSpec = toml::from_str(fine).unwrap();
        assert_eq!(staged.stages(1, 3, input).unwrap().len(), 2);
        staged.resolve_version().unwrap();
        assert_eq!(toml::to_string(&staged).unwrap().matches("version").count(), 2);
        for (mistake, what) in [
            ("colours", "inputs"),
            ("small", "a head has"),
            ("twice", "two parameters are called `a.weight`"),
            ("maps", "a head has"),
            ("headless", "without a head"),
        ] {
            let error = spec(&format!("mistake = '{mistake}'")).check().unwrap_err();
            assert!(error.message.contains(what), "{error}");
        }

        let version = |options: &str| {
            let mut spec = spec(options);
            spec.resolve_version().unwrap();
            let ModelSpec::Custom(CustomModel { network, .. }) = spec else { unreachable!() };
            network.version.unwrap()
        };
        // Part of trials' names: the text of a graph must never change.
        assert_eq!(version(""), "c37d9937356912b0");
        assert_eq!(version("mistake = 'none that shows'"), version(""));
        assert_ne!(version("filters = 5"), version(""));
    }

    #[test]
    fn weights_stand_beside_the_options() {
        let text = "name = 'custom'\nkind = 'k'\n[options]\nfilters = 5\n[weights]\npath = 'w.pth'\n";
        let spec: ModelSpec = toml::from_str(text).unwrap();
        assert_eq!(spec.weights().unwrap().path.to_str(), Some("w.pth"));
        let again: ModelSpec = toml::from_str(&toml::to_string(&spec).unwrap()).unwrap();
        assert_eq!(again, spec);
        assert!(toml::from_str::<ModelSpec>("name = 'custom'\nkind = 'k'\nfilters = [1]").is_err());
    }
}
