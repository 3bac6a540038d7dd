//! Heads: the layers between a network's last map and its prediction.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};
use sweep_data::decode::MapKind;
use sweep_graph::{Activation, Graph, Interpolation, Node, NodeId, Operation, Start};

/// Largest reduction: the next would leave 25 of 800 pixels.
const MOST_REDUCTION: usize = 16;
/// The published size; a GPU block's shared memory would not hold the weights of larger ones.
const WIDEST_KERNEL: usize = 11;
/// Activation between the convolutions of a spatial configuration.
const ACTIVATION: Activation = Activation::LeakyRelu { slope: 0.1 };

/// The end of a network. It is not written into a configuration that keeps the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum HeadSpec {
    /// One convolution to a map per landmark.
    Plain {},
    /// Spatial configuration (Payer et al. 2019, "Integrating spatial configuration into heatmap regression based CNNs
    /// for landmark localization"). A convolution makes maps of each landmark's local appearance. Wide convolutions of
    /// all these maps, reduced in size, make maps of where each landmark may lie, given the others. Both are combined.
    /// Unlike the paper, maps are reduced by the maximum instead of the mean, which keeps a candidate's height wherever
    /// it lies, and enlarged bilinearly instead of cubically.
    Scn {
        /// Reduction of the maps in the second part: a power of two.
        #[serde(default = "factor")]
        factor: usize,
        /// Number of convolutions before the last, `scn.conv1 …`.
        #[serde(default = "layers")]
        layers: usize,
        /// Channels of these convolutions.
        #[serde(default = "filters")]
        filters: usize,
        /// Odd side of their kernels and of the last one's, `scn.final`.
        #[serde(default = "kernel")]
        kernel: usize,
        /// Operation that combines both parts.
        #[serde(default)]
        combine: CombineSpec,
    },
}

/// Operation that combines local appearance and spatial configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CombineSpec {
    /// Product, as published: for maps that are heatmaps, high where both are high.
    #[default]
    Product,
    /// Sum: for maps that are logits (logarithms of probabilities up to a constant), this multiplies the probabilities.
    /// The product of two logits has no such meaning: two unlikely ones would make a likely one.
    Sum,
}

fn factor() -> usize {
    4
}
fn layers() -> usize {
    3
}
fn filters() -> usize {
    128
}
fn kernel() -> usize {
    11
}

impl Default for HeadSpec {
    fn default() -> Self {
        Self::Plain {}
    }
}

impl HeadSpec {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first key with an impossible value; the key is the error's location.
    pub(super) fn check(&self) -> Result<()> {
        let Self::Scn { factor, layers, filters, kernel, combine: _ } = *self else { return Ok(()) };
        let wrong =
            |key: &str, what: String, right: &str| Err(Error::definition(what).at(format!("head.{key}")).remedy(right));
        if !factor.is_power_of_two() || !(2..=MOST_REDUCTION).contains(&factor) {
            return wrong("factor", format!("maps cannot be reduced by a factor of {factor}"), "use 2, 4, 8 or 16");
        }
        if layers == 0 {
            return wrong(
                "layers",
                "a spatial configuration of 0 layers has no convolution".into(),
                "use 1 or more, for example 3",
            );
        }
        if filters == 0 {
            return wrong("filters", "0 filters".into(), "use a positive number, for example 128");
        }
        if kernel % 2 == 0 || kernel > WIDEST_KERNEL {
            return wrong("kernel", format!("a kernel of {kernel}"), "use an odd number up to 11, for example 7");
        }
        Ok(())
    }

    /// Checks that the head's output is meaningful as maps of this kind.
    ///
    /// # Errors
    /// When it is not; the key is the error's location.
    pub(super) fn check_maps(&self, kind: MapKind) -> Result<()> {
        match (self, kind) {
            (Self::Scn { combine: CombineSpec::Product, .. }, MapKind::Logits) => {
                let what = "this loss takes maps as logits, and a product of logits is not a logit";
                let remedy = "use head.combine = \"sum\", which multiplies the probabilities, or a loss on heatmaps";
                Err(Error::definition(what).at("head.combine").remedy(remedy))
            }
            _ => Ok(()),
        }
    }

    /// Ends a network: a convolution `name` to a map per landmark, then the rest of the head; declares the output.
    pub(super) fn push(
        &self,
        graph: &mut Graph,
        input: NodeId,
        name: &str,
        landmarks: usize,
        kernel: usize,
        start: Start,
    ) {
        let appearance = convolution(graph, input, name, [landmarks, kernel], start, Activation::Identity);
        self.end(graph, appearance, landmarks);
    }

    /// Ends a network that already has a map per landmark; declares the output.
    pub(super) fn end(&self, graph: &mut Graph, appearance: NodeId, landmarks: usize) {
        let head = self.combined(graph, appearance, landmarks);
        graph.push_head(head);
    }

    /// Appends the rest of the head after the maps of local appearance.
    fn combined(&self, graph: &mut Graph, appearance: NodeId, landmarks: usize) -> NodeId {
        let Self::Scn { factor, layers, filters, kernel, combine } = *self else { return appearance };
        let mut map = appearance;
        for _ in 0..factor.ilog2() {
            map = graph.push(Node::MaxPool { input: map, side: 2 });
        }
        for layer in 1..=layers {
            map = convolution(graph, map, &format!("scn.conv{layer}"), [filters, kernel], Start::He, ACTIVATION);
        }
        map = convolution(graph, map, "scn.final", [landmarks, kernel], Start::Torch, Activation::Identity);
        let up = Node::Upsample { input: map, like: appearance, interpolation: Interpolation::Bilinear };
        let inputs = [appearance, graph.push(up)];
        let operation = match combine {
            CombineSpec::Product => Operation::Product,
            CombineSpec::Sum => Operation::Sum,
        };
        graph.push(Node::Combine { inputs, operation, activation: Activation::Identity })
    }
}

fn convolution(
    graph: &mut Graph,
    input: NodeId,
    name: &str,
    [channels, kernel]: [usize; 2],
    start: Start,
    activation: Activation,
) -> NodeId {
    let name = name.to_owned();
    graph.push(Node::Convolution {
        input,
        name,
        channels,
        kernel,
        stride: 1,
        dilation: 1,
        depthwise: false,
        bias: true,
        start,
        norm: None,
        activation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::ModelSpec;
    use sweep_core::units::Size;

    fn model(head: &str) -> ModelSpec {
        toml::from_str(&format!("name = 'unet'\nfilters = [4, 8]\nhead = {head}")).unwrap()
    }

    #[test]
    fn a_spatial_configuration_reads_all_maps_small_and_writes_them_large() {
        let graph = model("{ name = 'scn', factor = 4, layers = 2, filters = 6, kernel = 7 }").graph(1, 3).unwrap();
        let weights: Vec<(String, Vec<usize>)> = graph
            .parameters()
            .into_iter()
            .filter(|spec| spec.name.starts_with("scn") && spec.name.ends_with("weight"))
            .map(|spec| (spec.name, spec.shape))
            .collect();
        let expected = [("conv1", [6, 3, 7, 7]), ("conv2", [6, 6, 7, 7]), ("final", [3, 6, 7, 7])];
        assert_eq!(weights, expected.map(|(name, shape)| (format!("scn.{name}.weight"), shape.to_vec())));
        let sizes = graph.sizes(Size { height: 21, width: 30 }).unwrap();
        let small =
            graph.nodes().iter().position(|n| matches!(n, Node::Convolution { name, .. } if name == "scn.conv1"));
        assert_eq!(sizes[small.unwrap()], Size { height: 5, width: 7 });
        let [head] = graph.heads() else { panic!("one head") };
        assert_eq!(sizes[head.0], Size { height: 21, width: 30 });
        assert!(matches!(graph.node(*head), Node::Combine { operation: Operation::Product, .. }));
    }

    #[test]
    fn impossible_values_name_their_key() {
        for (head, key) in [
            ("{ name = 'scn', factor = 3 }", "head.factor"),
            ("{ name = 'scn', factor = 32 }", "head.factor"),
            ("{ name = 'scn', layers = 0 }", "head.layers"),
            ("{ name = 'scn', filters = 0 }", "head.filters"),
            ("{ name = 'scn', kernel = 8 }", "head.kernel"),
        ] {
            let error = model(head).graph(1, 3).unwrap_err();
            assert_eq!(error.location.as_deref(), Some(key));
            assert!(error.remedy.is_some());
        }
    }

    #[test]
    fn logits_are_added_and_not_multiplied() {
        let (product, sum) = (model("{ name = 'scn' }"), model("{ name = 'scn', combine = 'sum' }"));
        let error = product.check_maps(MapKind::Logits).unwrap_err();
        assert_eq!(error.location.as_deref(), Some("head.combine"));
        assert!(product.check_maps(MapKind::Heatmap).is_ok() && sum.check_maps(MapKind::Logits).is_ok());
        let graph = sum.graph(1, 3).unwrap();
        let head = graph.node(graph.heads()[0]);
        assert!(matches!(head, Node::Combine { operation: Operation::Sum, activation: Activation::Identity, .. }));
    }

    #[test]
    fn a_default_is_not_written() {
        let written = |head: &str| serde_json::to_value(model(head)).unwrap();
        assert!(written("{ name = 'plain' }").get("head").is_none());
        assert_eq!(written("{ name = 'scn' }")["head"]["combine"], "product");
    }
}
