//! `HRNet`: branches of several resolutions side by side, which exchange their maps again and again.
//!
//! Sun et al., "Deep High-Resolution Representation Learning for Human Pose Estimation", 2019. The parameters have the
//! names of the authors' code, which MMPose has after `backbone.` (and the head, `final_layer`, after `head.`). As
//! published, the last map has a quarter of the images' size; here the heatmaps are then enlarged to it, bilinearly.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NormSpec;
use super::head::HeadSpec;
use super::unet_resnet::ResidualBlocks;
use super::weights::WeightsSpec;
use sweep_core::error::{Error, Result};
use sweep_graph::{Activation, Graph, Interpolation, Node, NodeId, Operation};

/// Sizes of an `HRNet`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HrNetSpec {
    /// Channels of the branch of the highest resolution; each further one has twice as many. The network's own by
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Exchanges between two, three and four branches.
    #[serde(default = "modules")]
    pub modules: [usize; 3],
    /// Residual blocks of a branch between exchanges.
    #[serde(default = "blocks")]
    pub blocks: usize,
    /// Channels of the stem; the first stage has four times as many.
    #[serde(default = "stem")]
    pub stem: usize,
    /// Normalisation; over a batch by default.
    #[serde(default = "NormSpec::batch", skip_serializing_if = "NormSpec::is_batch")]
    pub norm: NormSpec,
    /// The head.
    #[serde(default, skip_serializing_if = "HeadSpec::is_default")]
    pub head: HeadSpec,
    /// A file of initial weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsSpec>,
}

fn modules() -> [usize; 3] {
    [1, 4, 3]
}
fn blocks() -> usize {
    4
}
fn stem() -> usize {
    64
}

/// Largest size of any kind: far more than anybody trains.
const LARGEST: usize = 512;

impl HrNetSpec {
    /// Checks what the types cannot; `width` is the published channels of the highest resolution.
    pub(super) fn check(&self, width: usize) -> Result<()> {
        let width = self.width.unwrap_or(width);
        let modules = self.modules.iter().copied();
        let sizes = [("width", width), ("blocks", self.blocks), ("stem", self.stem)];
        for (key, size) in sizes.into_iter().chain(modules.map(|count| ("modules", count))) {
            if !(1..=LARGEST).contains(&size) {
                let remedy = format!("use a number from 1 to {LARGEST}");
                return Err(Error::definition(format!("a size of {size}")).at(key).remedy(remedy));
            }
        }
        self.norm.check_residual(&[self.stem, width])
    }

    /// The network; `width` is the published channels of its highest resolution.
    pub(super) fn graph(&self, width: usize, channels: usize, landmarks: usize) -> Graph {
        let width = self.width.unwrap_or(width);
        let layers = ResidualBlocks { norm: self.norm, activation: Activation::Relu };
        let mut graph = Graph::new();
        let images = graph.push(Node::Input { channels });
        let mut map = images;
        for index in 1..=2 {
            let [conv, bn] = [format!("conv{index}"), format!("bn{index}")];
            map = layers.convolution([&conv, &bn], self.stem, [3, 2], Activation::Relu).push(&mut graph, map);
        }
        for block in 0..4 {
            map = layers.bottleneck(&mut graph, map, &format!("layer1.{block}"), self.stem);
        }
        let mut network = Branches { graph, layers, width, maps: vec![map] };
        for (index, modules) in self.modules.into_iter().enumerate() {
            network.split(index + 1);
            for module in 0..modules {
                let name = format!("stage{}.{module}", index + 2);
                // Of the very last exchange only the highest resolution is read.
                let is_last = index + 1 == self.modules.len() && module + 1 == modules;
                network.module(&name, self.blocks, if is_last { 1 } else { network.maps.len() });
            }
        }
        let Branches { mut graph, maps, .. } = network;
        let quarter = graph.push(Node::head(maps[0], "final_layer", landmarks));
        let up = Node::Upsample { input: quarter, like: images, interpolation: Interpolation::Bilinear };
        let appearance = graph.push(up);
        self.head.end(&mut graph, appearance, landmarks);
        graph
    }

    /// Small sizes, for tests.
    pub(super) fn example() -> Self {
        let (norm, head) = (NormSpec::batch(), HeadSpec::default());
        Self { width: Some(3), modules: [1, 1, 2], blocks: 1, stem: 3, norm, head, weights: None }
    }
}

/// A network under construction, and its branches' maps from the highest resolution down.
struct Branches {
    graph: Graph,
    layers: ResidualBlocks,
    width: usize,
    maps: Vec<NodeId>,
}

impl Branches {
    fn channels(&self, branch: usize) -> usize {
        self.width << branch
    }

    /// A convolution of 3×3 pixels `NAME.0` with its normalisation `NAME.1`.
    fn convolution(
        &mut self,
        input: NodeId,
        name: &str,
        channels: usize,
        stride: usize,
        activation: Activation,
    ) -> NodeId {
        let [conv, bn] = [format!("{name}.0"), format!("{name}.1")];
        self.layers.convolution([&conv, &bn], channels, [3, stride], activation).push(&mut self.graph, input)
    }

    /// Adds a branch of half the lowest resolution; the first time, the branch that there is gets its channels, too.
    fn split(&mut self, transition: usize) {
        let (Some(lowest), next) = (self.maps.last().copied(), self.maps.len()) else { return };
        if next == 1 {
            let name = format!("transition{transition}.0");
            self.maps[0] = self.convolution(lowest, &name, self.channels(0), 1, Activation::Relu);
        }
        let name = format!("transition{transition}.{next}.0");
        let lower = self.convolution(lowest, &name, self.channels(next), 2, Activation::Relu);
        self.maps.push(lower);
    }

    /// Residual blocks on every branch, then an exchange that writes the first `written` branches.
    fn module(&mut self, name: &str, blocks: usize, written: usize) {
        for branch in 0..self.maps.len() {
            for block in 0..blocks {
                let (layers, channels) = (self.layers, self.channels(branch));
                let name = format!("{name}.branches.{branch}.{block}");
                self.maps[branch] = layers.basic(&mut self.graph, self.maps[branch], &name, channels, 1);
            }
        }
        self.maps = (0..written).map(|to| self.fused(name, to)).collect();
    }

    /// The sum of all branches at the resolution of one.
    fn fused(&mut self, name: &str, to: usize) -> NodeId {
        let parts: Vec<NodeId> = (0..self.maps.len()).map(|from| self.moved(name, from, to)).collect();
        let mut sum = parts[0];
        for (index, part) in parts.iter().enumerate().skip(1) {
            let activation = if index + 1 == parts.len() { Activation::Relu } else { Activation::Identity };
            sum = self.graph.push(Node::Combine { inputs: [sum, *part], operation: Operation::Sum, activation });
        }
        sum
    }

    /// A branch's map at the resolution and with the channels of another.
    fn moved(&mut self, name: &str, from: usize, to: usize) -> NodeId {
        let name = format!("{name}.fuse_layers.{to}.{from}");
        let map = self.maps[from];
        if from > to {
            let [conv, bn] = [format!("{name}.0"), format!("{name}.1")];
            let (layers, channels) = (self.layers, self.channels(to));
            let narrow = layers.convolution([&conv, &bn], channels, [1, 1], Activation::Identity);
            let input = narrow.push(&mut self.graph, map);
            let (like, interpolation) = (self.maps[to], Interpolation::Nearest);
            return self.graph.push(Node::Upsample { input, like, interpolation });
        }
        (from..to).fold(map, |map, step| {
            let is_last = step + 1 == to;
            let channels = if is_last { self.channels(to) } else { self.channels(from) };
            let activation = if is_last { Activation::Identity } else { Activation::Relu };
            self.convolution(map, &format!("{name}.{}", step - from), channels, 2, activation)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sweep_core::units::Size;

    #[test]
    fn has_the_published_names_and_number_of_parameters() {
        let spec: HrNetSpec = toml::from_str("").unwrap();
        let graph = spec.graph(32, 3, 17);
        // The number that Sun et al. and MMPose state for HRNet-W32 with 17 keypoints: 28.5 million.
        assert_eq!(graph.trained_values(), 28_536_113);
        let names: Vec<String> = graph.parameters().into_iter().map(|spec| spec.name).collect();
        for name in [
            "conv2.weight",
            "layer1.0.downsample.1.running_var",
            "transition1.0.0.weight",
            "transition1.1.0.0.weight",
            "transition3.3.0.1.bias",
            "stage4.2.branches.3.3.conv2.weight",
            "stage3.3.fuse_layers.2.0.1.0.weight",
            "stage3.3.fuse_layers.0.2.0.weight",
            "final_layer.bias",
        ] {
            assert!(names.iter().any(|n| n == name), "{name}");
        }
        assert!(!names.iter().any(|name| name.starts_with("stage4.2.fuse_layers.1")), "nothing would read it");
    }

    #[test]
    fn groups_are_held_against_the_networks_own_width() {
        let spec: HrNetSpec = toml::from_str("norm = { name = 'group', groups = 16 }").unwrap();
        assert!(spec.check(32).is_ok());
        let error = spec.check(18).unwrap_err();
        assert!(error.location.as_deref() == Some("norm.groups") && error.message.contains("18 filters"), "{error}");
    }

    #[test]
    fn images_may_have_any_size() {
        let graph = HrNetSpec::example().graph(18, 1, 4);
        for size in [Size { height: 200, width: 160 }, Size { height: 37, width: 53 }, Size { height: 3, width: 1 }] {
            assert_eq!(graph.sizes(size).unwrap()[graph.heads()[0].0], size);
        }
    }
}
