//! Exports a trained network as an ONNX model: every node of a [`Graph`] becomes operators that any runtime supports,
//! and weights keep their PyTorch names.
//!
//! All sizes of a graph are computed beforehand and written as constants, because runtimes that compile a network need
//! them; only the number of images may stay open. `format` writes the file; this module maps nodes to operators.

mod convolution;
mod format;

use candle_core::DType;
use sweep_graph::tensors::TensorOperation as _;

use format::{Dimension, Writer, float, int, list, word};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;
use sweep_graph::params::ParamStore;
use sweep_graph::tensors;
use sweep_graph::{Activation, Graph, Interpolation, Node, NodeId, Norm, NormKind, Operation, SmoothActivation};

/// Name of the input, `[B, C, H, W]`.
pub const INPUT: &str = "image";
/// Name of the output, `[B, K, H, W]`.
pub const OUTPUT: &str = "heatmaps";

/// Options of the export.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Number of images per pass; `None` for any number.
    pub batch: Option<usize>,
    /// Whether batch normalisations stay separate operators instead of being merged into their convolutions.
    pub keep_norms: bool,
    /// Mean and standard deviation of every channel, by which the file standardises its input.
    pub standardise: Option<[Vec<f64>; 2]>,
    /// Texts by name that the file contains as metadata.
    pub properties: Vec<(String, String)>,
}

/// A network for images of this size, as the bytes of an ONNX file called `name`. Heads that only supervise are left
/// out.
///
/// # Errors
/// When the images are too small for the graph, or a parameter is missing.
pub fn encode(name: &str, graph: &Graph, size: Size, parameters: &ParamStore, options: &Options) -> Result<Vec<u8>> {
    let sizes = graph.sizes(size)?;
    let head = *graph.heads().last().ok_or_else(|| Error::input("a network without a head"))?;
    let needed = needed(graph, head);
    let mut exporter = Exporter { graph, parameters, options, sizes, head, writer: Writer::default() };
    let mut channels = 0;
    for (index, node) in graph.nodes().iter().enumerate().filter(|(index, _)| needed[*index]) {
        if let Node::Input { channels: of_images } = node {
            channels = *of_images;
        }
        exporter.node(NodeId(index), node)?;
    }
    let batch = options.batch.map_or(Dimension::Batch, Dimension::Fixed);
    let shape =
        |channels| [batch, Dimension::Fixed(channels), Dimension::Fixed(size.height), Dimension::Fixed(size.width)];
    let (input, output) = (shape(channels), shape(graph.channels(head)));
    Ok(exporter.writer.finish(name, (INPUT, &input), (OUTPUT, &output), &options.properties))
}

/// The nodes that the prediction depends on.
fn needed(graph: &Graph, head: NodeId) -> Vec<bool> {
    let mut needed = vec![false; graph.nodes().len()];
    needed[head.0] = true;
    for index in (0..needed.len()).rev().filter(|index| *index <= head.0) {
        if needed[index] {
            for input in graph.nodes()[index].inputs() {
                needed[input.0] = true;
            }
        }
    }
    needed
}

struct Exporter<'a> {
    graph: &'a Graph,
    parameters: &'a ParamStore,
    options: &'a Options,
    sizes: Vec<Size>,
    head: NodeId,
    writer: Writer,
}

impl Exporter<'_> {
    /// Name of a node's map.
    fn name(&self, id: NodeId) -> String {
        match self.graph.node(id) {
            Node::Input { .. } if self.options.standardise.is_some() => "standardised".to_owned(),
            Node::Input { .. } => INPUT.to_owned(),
            _ if id == self.head => OUTPUT.to_owned(),
            _ => format!("map{}", id.0),
        }
    }

    fn values(&self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.parameters.view(name)?.to_dtype(DType::F32).computed()?.flatten_all().computed()?;
        tensors::read(&tensor, |values: &[f32]| Ok(values.to_vec())).computed()
    }

    fn node(&mut self, id: NodeId, node: &Node) -> Result<()> {
        let output = self.name(id);
        match node {
            Node::Input { .. } => {
                if let Some([mean, deviation]) = &self.options.standardise {
                    self.standardised(&output, mean, deviation);
                }
            }
            Node::Convolution { input, activation, .. } | Node::TransposedConvolution { input, activation, .. } => {
                let map = self.name(*input);
                self.activated(&output, *activation, |this, output| this.convolution(&map, output, node))?;
            }
            Node::MaxPool { input, side } => {
                let pad = (side - 1) / 2;
                let settings = [list("kernel_shape", &[*side; 2]), list("strides", &[2; 2]), list("pads", &[pad; 4])];
                self.writer.operator("MaxPool", &[&self.name(*input)], &output, &settings);
            }
            Node::Upsample { input, like, interpolation } => {
                self.upsampling(*input, self.sizes[like.0], *interpolation, &output);
            }
            Node::Concatenate { inputs } => {
                let maps: Vec<String> = inputs.iter().map(|input| self.name(*input)).collect();
                let maps: Vec<&str> = maps.iter().map(String::as_str).collect();
                self.writer.operator("Concat", &maps, &output, &[int("axis", 1)]);
            }
            Node::Combine { inputs: [a, b], operation, activation } => {
                let (a, b) = (self.name(*a), self.name(*b));
                let kind = match operation {
                    Operation::Sum => "Add",
                    Operation::Product => "Mul",
                };
                self.activated(&output, *activation, |this, output| {
                    this.writer.operator(kind, &[&a, &b], output, &[]);
                    Ok(())
                })?;
            }
            Node::GlobalAveragePool { input } => {
                self.writer.operator("GlobalAveragePool", &[&self.name(*input)], &output, &[]);
            }
            Node::Smooth { input, activation } => self.smooth(&self.name(*input), &output, *activation),
            Node::LayerNorm { input, epsilon } => self.layer_norm(&self.name(*input), &output, *epsilon),
            Node::Gate { inputs: [map, gate], gating: _ } => {
                self.writer.operator("Mul", &[&self.name(*map), &self.name(*gate)], &output, &[]);
            }
        }
        Ok(())
    }

    /// A smooth activation. `SiLU` has no operator of its own before version 24.
    fn smooth(&mut self, map: &str, output: &str, activation: SmoothActivation) {
        match activation {
            SmoothActivation::Sigmoid => self.writer.operator("Sigmoid", &[map], output, &[]),
            SmoothActivation::Silu => {
                let sigmoid = format!("{output}.sigmoid");
                self.writer.operator("Sigmoid", &[map], &sigmoid, &[]);
                self.writer.operator("Mul", &[map, &sigmoid], output, &[]);
            }
            // Its operator exists from version 20 on.
            SmoothActivation::Gelu => {
                let part = |what: &str| format!("{output}.{what}");
                let [root, scaled, erf, one, above, half, halved] =
                    ["root", "scaled", "erf", "one", "above", "half", "halved"].map(part);
                for (name, value) in [(&root, std::f32::consts::FRAC_1_SQRT_2), (&one, 1.0), (&half, 0.5)] {
                    self.writer.floats(name, &[], &[value]);
                }
                self.writer.operator("Mul", &[map, &root], &scaled, &[]);
                self.writer.operator("Erf", &[&scaled], &erf, &[]);
                self.writer.operator("Add", &[&erf, &one], &above, &[]);
                self.writer.operator("Mul", &[map, &half], &halved, &[]);
                self.writer.operator("Mul", &[&halved, &above], output, &[]);
            }
        }
    }

    /// Layer normalisation over channels, by operators that read maps as they lie.
    fn layer_norm(&mut self, map: &str, output: &str, epsilon: f64) {
        let part = |what: &str| format!("{output}.{what}");
        let [mean, centred, squares, variance, epsilons, above, deviation] =
            ["mean", "centred", "squares", "variance", "epsilon", "above", "deviation"].map(part);
        let over_channels = [list("axes", &[1]), int("keepdims", 1)];
        self.writer.floats(&epsilons, &[], &[epsilon as f32]);
        self.writer.operator("ReduceMean", &[map], &mean, &over_channels);
        self.writer.operator("Sub", &[map, &mean], &centred, &[]);
        self.writer.operator("Mul", &[&centred, &centred], &squares, &[]);
        self.writer.operator("ReduceMean", &[&squares], &variance, &over_channels);
        self.writer.operator("Add", &[&variance, &epsilons], &above, &[]);
        self.writer.operator("Sqrt", &[&above], &deviation, &[]);
        self.writer.operator("Div", &[&centred, &deviation], output, &[]);
    }

    /// The input less every channel's mean, divided by its standard deviation.
    fn standardised(&mut self, output: &str, mean: &[f64], deviation: &[f64]) {
        let single = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<f32>>();
        self.writer.floats("mean", &[1, mean.len(), 1, 1], &single(mean));
        self.writer.floats("deviation", &[1, deviation.len(), 1, 1], &single(deviation));
        self.writer.operator("Sub", &[INPUT, "mean"], "centred", &[]);
        self.writer.operator("Div", &["centred", "deviation"], output, &[]);
    }

    /// Calls `before` to write the output without activation, then appends the activation.
    fn activated(
        &mut self,
        output: &str,
        activation: Activation,
        before: impl FnOnce(&mut Self, &str) -> Result<()>,
    ) -> Result<()> {
        let inner = format!("{output}.before");
        match activation {
            Activation::Identity => before(self, output)?,
            Activation::Relu => {
                before(self, &inner)?;
                self.writer.operator("Relu", &[&inner], output, &[]);
            }
            Activation::LeakyRelu { slope } => {
                before(self, &inner)?;
                self.writer.operator("LeakyRelu", &[&inner], output, &[float("alpha", slope as f32)]);
            }
            Activation::Relu6 => {
                before(self, &inner)?;
                let limits = ["least", "most"].map(|limit| format!("{output}.{limit}"));
                for (name, value) in limits.iter().zip([0.0, activation.ceiling() as f32]) {
                    self.writer.floats(name, &[], &[value]);
                }
                self.writer.operator("Clip", &[&inner, &limits[0], &limits[1]], output, &[]);
            }
        }
        Ok(())
    }

    fn norm(&mut self, norm: &Norm, channels: usize, map: &str, output: &str) -> Result<()> {
        let parameter = |what: &str| format!("{}.{what}", norm.name);
        let vectors: &[&str] = match norm.kind {
            NormKind::Batch => &["weight", "bias", "running_mean", "running_var"],
            NormKind::Group { .. } => &["weight", "bias"],
        };
        for what in vectors {
            // The values of a group normalisation are multiplied with a map `[B, C, H, W]`.
            let shape: &[usize] = match norm.kind {
                NormKind::Group { groups } if groups != channels => &[1, channels, 1, 1],
                _ => &[channels],
            };
            let values = self.values(&parameter(what))?;
            self.writer.floats(&parameter(what), shape, &values);
        }
        let names: Vec<String> = vectors.iter().map(|what| parameter(what)).collect();
        let mut inputs = vec![map];
        inputs.extend(names.iter().map(String::as_str));
        let settings = [float("epsilon", norm.epsilon as f32)];
        match norm.kind {
            NormKind::Batch => self.writer.operator("BatchNormalization", &inputs, output, &settings),
            NormKind::Group { groups } if groups == channels => {
                self.writer.operator("InstanceNormalization", &inputs, output, &settings);
            }
            NormKind::Group { groups } => self.group_norm(groups, norm.epsilon, &inputs, output),
        }
        Ok(())
    }

    /// Normalises every group as one channel by an instance normalisation, then scales and shifts each channel.
    /// PyTorch's export does the same: before version 21 there is no operator for it.
    fn group_norm(&mut self, groups: usize, epsilon: f64, inputs: &[&str], output: &str) {
        let [map, scale, shift] = inputs else { return };
        let part = |what: &str| format!("{output}.{what}");
        let [ones, zeros, in_groups, shape] = ["ones", "zeros", "in_groups", "shape"].map(part);
        self.writer.floats(&ones, &[groups], &vec![1.0; groups]);
        self.writer.floats(&zeros, &[groups], &vec![0.0; groups]);
        // 0 keeps the number of images; −1 is the remaining size.
        self.writer.ints(&in_groups, &[0, groups as i64, -1]);
        self.writer.operator("Shape", &[map], &shape, &[]);
        let [grouped, normal, back, scaled] = ["grouped", "normal", "back", "scaled"].map(part);
        self.writer.operator("Reshape", &[map, &in_groups], &grouped, &[]);
        let settings = [float("epsilon", epsilon as f32)];
        self.writer.operator("InstanceNormalization", &[&grouped, &ones, &zeros], &normal, &settings);
        self.writer.operator("Reshape", &[&normal, &shape], &back, &[]);
        self.writer.operator("Mul", &[&back, scale], &scaled, &[]);
        self.writer.operator("Add", &[&scaled, shift], output, &[]);
    }

    fn upsampling(&mut self, input: NodeId, size: Size, interpolation: Interpolation, output: &str) {
        let (map, sizes) = (self.name(input), format!("{output}.sizes"));
        let to = [size.height as i64, size.width as i64];
        let channels = self.graph.channels(input) as i64;
        if let Some(batch) = self.options.batch {
            self.writer.ints(&sizes, &[batch as i64, channels, to[0], to[1]]);
        } else {
            let (batch, rest) = (format!("{output}.batch"), format!("{output}.rest"));
            self.writer.operator("Shape", &[&map], &batch, &[int("start", 0), int("end", 1)]);
            self.writer.ints(&rest, &[channels, to[0], to[1]]);
            self.writer.operator("Concat", &[&batch, &rest], &sizes, &[int("axis", 0)]);
        }
        let settings = match interpolation {
            Interpolation::Bilinear => {
                vec![word("mode", "linear"), word("coordinate_transformation_mode", "align_corners")]
            }
            Interpolation::Nearest => vec![
                word("mode", "nearest"),
                word("coordinate_transformation_mode", "asymmetric"),
                word("nearest_mode", "floor"),
            ],
        };
        // Two inputs are left out: the region to read, and scale factors, which sizes replace.
        self.writer.operator("Resize", &[&map, "", "", &sizes], output, &settings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::ModelSpec;
    use candle_core::Device;

    fn exported(model: &str, options: &Options) -> Vec<u8> {
        let model: ModelSpec = toml::from_str(model).unwrap();
        let graph = model.graph(1, 3).unwrap();
        let parameters = ParamStore::initialise(&graph, 1, DType::F32, &Device::Cpu).unwrap();
        encode("net", &graph, Size { height: 21, width: 18 }, &parameters, options).unwrap()
    }

    fn has(bytes: &[u8], what: &str) -> bool {
        bytes.windows(what.len()).any(|window| window == what.as_bytes())
    }

    #[test]
    fn norms_are_folded_unless_they_are_kept_and_what_only_supervises_is_left_out() {
        let model = "name = 'unet++'\nfilters = [2, 3, 4]\ndeep_supervision = true";
        let (folded, kept) = (Options::default(), Options { keep_norms: true, ..Options::default() });
        let of = |options| {
            let bytes = exported(model, options);
            ["BatchNormalization", "conv0_0.bn1.weight", "final2.weight", "final1.weight"].map(|what| has(&bytes, what))
        };
        assert_eq!(of(&folded), [false, false, true, false]);
        assert_eq!(of(&kept), [true, true, true, false]);
    }

    #[test]
    fn the_number_of_images_is_open_or_stated() {
        let (open, stated) = (Options::default(), Options { batch: Some(2), ..Options::default() });
        let shape = |options| has(&exported("name = 'unet'\nfilters = [2, 3]", options), "Shape");
        assert!(shape(&open) && !shape(&stated), "a fixed number of images is computed beforehand");
    }
}
