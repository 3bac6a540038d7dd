//! One run through a graph: every node's map, and the backward pass from the gradients of the heads.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::gating;
use super::normalisation::Normalisation;
use super::ops::{self, Window};
use super::sampling::{thin, thin_backward};
use super::transposed;
use crate::Mode;
use candle_core::{Error, Result};
use sweep_graph::{Activation, Graph, Node, NodeId, Norm, NormKind, Operation};

/// A network's parameters, or gradients to them, by name.
pub(super) type Named = BTreeMap<String, Tensor>;

/// Weight of the newest batch in a running statistic (PyTorch's default).
const MOMENTUM: f64 = 0.1;

/// Results of a forward pass.
pub(super) struct Pass {
    /// Every node's map; in [`Mode::Evaluate`] only the heads'.
    maps: Vec<Option<Tensor>>,
    /// In [`Mode::Train`], every convolution's result before its normalisation and activation.
    convolved: Vec<Option<(Tensor, Option<Normalisation>)>>,
    /// In [`Mode::Train`], the new running statistics by name.
    pub(super) statistics: Named,
}

/// Gradients of one backward pass.
pub(super) struct Gradients {
    /// Gradients to the parameters that heads depend on.
    pub(super) parameters: Named,
    /// Gradient to the images, if it was requested and heads depend on them.
    pub(super) images: Option<Tensor>,
}

fn get<'a>(named: &'a Named, prefix: &str, what: &str) -> Result<&'a Tensor> {
    let name = format!("{prefix}.{what}");
    named.get(&name).ok_or_else(|| Error::msg(format!("the network has no parameter `{name}`")))
}

/// Height and width of a map.
fn size(map: &Tensor) -> Result<[usize; 2]> {
    let (_, _, height, width) = map.dims4()?;
    Ok([height, width])
}

impl Pass {
    /// Runs the graph on images `[B, C, H, W]`.
    pub(super) fn forward(graph: &Graph, images: &Tensor, parameters: &Named, mode: Mode) -> Result<Self> {
        let count = graph.nodes().len();
        let last_reader = last_readers(graph);
        let mut pass = Self { maps: vec![None; count], convolved: vec![None; count], statistics: Named::new() };
        for (index, node) in graph.nodes().iter().enumerate() {
            let map = match node {
                Node::Input { .. } => images.clone(),
                Node::Convolution { input, name, stride, dilation, depthwise, bias, norm, activation, .. } => {
                    let window = Window { dilation: *dilation, depthwise: *depthwise };
                    let weight = get(parameters, name, "weight")?;
                    let bias = bias.then(|| get(parameters, name, "bias")).transpose()?;
                    let convolved = thin(&ops::convolution(pass.map(*input)?, weight, bias, window)?, *stride)?;
                    pass.activated(index, convolved, norm.as_ref(), *activation, parameters, mode)?
                }
                Node::TransposedConvolution { input, like, name, bias, norm, activation, .. } => {
                    let weight = get(parameters, name, "weight")?;
                    let bias = bias.then(|| get(parameters, name, "bias")).transpose()?;
                    let size = size(pass.map(*like)?)?;
                    let convolved = transposed::forward(pass.map(*input)?, weight, bias, size)?;
                    pass.activated(index, convolved, norm.as_ref(), *activation, parameters, mode)?
                }
                Node::MaxPool { input, side } => ops::max_pool(pass.map(*input)?, *side)?,
                Node::Upsample { input, like, interpolation } => {
                    ops::upsample(pass.map(*input)?, size(pass.map(*like)?)?, *interpolation)?
                }
                Node::Concatenate { inputs } => {
                    let maps = inputs.iter().map(|input| pass.map(*input)).collect::<Result<Vec<_>>>()?;
                    Tensor::cat(&maps, 1)?.contiguous()?
                }
                Node::Combine { inputs, operation, activation } => {
                    ops::activate(&pass.combined(*inputs, *operation)?, None, *activation)?
                }
                Node::GlobalAveragePool { input } => gating::global_average_pool(pass.map(*input)?)?,
                Node::Smooth { input, activation } => gating::smooth(pass.map(*input)?, *activation)?,
                Node::LayerNorm { input, epsilon } => {
                    let [normal, _] = gating::layer_norm(pass.map(*input)?, *epsilon)?;
                    normal
                }
                Node::Gate { inputs: [map, gate], .. } => gating::gate(pass.map(*map)?, pass.map(*gate)?)?,
            };
            pass.maps[index] = Some(map);
            if mode == Mode::Evaluate {
                for (map, last) in pass.maps.iter_mut().zip(&last_reader) {
                    if *last == Some(index) {
                        *map = None;
                    }
                }
            }
        }
        Ok(pass)
    }

    /// A node's map.
    pub(super) fn map(&self, node: NodeId) -> Result<&Tensor> {
        self.maps[node.0].as_ref().ok_or_else(|| Error::msg("a map is read that was not kept"))
    }

    /// Combination of two nodes' maps, before the activation.
    fn combined(&self, [a, b]: [NodeId; 2], operation: Operation) -> Result<Tensor> {
        ops::combine(self.map(a)?, self.map(b)?, operation)
    }

    /// A convolution's map after its normalisation and activation; in training what was before them is kept.
    fn activated(
        &mut self,
        index: usize,
        convolved: Tensor,
        norm: Option<&Norm>,
        activation: Activation,
        parameters: &Named,
        mode: Mode,
    ) -> Result<Tensor> {
        let norm = norm.map(|norm| self.normalise(&convolved, norm, parameters, mode)).transpose()?;
        let map = ops::activate(&convolved, norm.as_ref(), activation)?;
        if mode == Mode::Train {
            self.convolved[index] = Some((convolved, norm));
        }
        Ok(map)
    }

    /// The normalisation of this map: by its own statistics, or in evaluation by the running ones of a batch.
    fn normalise(&mut self, map: &Tensor, norm: &Norm, parameters: &Named, mode: Mode) -> Result<Normalisation> {
        let Norm { name, kind, epsilon } = norm;
        let (kind, epsilon) = (*kind, *epsilon);
        let (scale, shift) = (get(parameters, name, "weight")?.clone(), get(parameters, name, "bias")?.clone());
        if kind != NormKind::Batch {
            let (mean, variance) = ops::statistics(map, kind)?;
            return Ok(Normalisation { kind, epsilon, mean, variance, scale, shift });
        }
        let running_mean = get(parameters, name, "running_mean")?;
        let running_variance = get(parameters, name, "running_var")?;
        if mode == Mode::Evaluate {
            let (mean, variance) = (running_mean.clone(), running_variance.clone());
            return Ok(Normalisation { kind, epsilon, mean, variance, scale, shift });
        }
        let count = (map.elem_count() / map.dim(1)?) as f64;
        let (mean, variance) = ops::statistics(map, kind)?;
        let unbiased = count / (count - 1.0);
        let moved = |old: &Tensor, new: &Tensor, factor: f64| -> Result<Tensor> {
            (old * (1.0 - MOMENTUM))? + (new * (MOMENTUM * factor))?
        };
        self.statistics.insert(format!("{name}.running_mean"), moved(running_mean, &mean, 1.0)?);
        self.statistics.insert(format!("{name}.running_var"), moved(running_variance, &variance, unbiased)?);
        Ok(Normalisation { kind, epsilon, mean, variance, scale, shift })
    }

    /// The gradient to a convolution's map before its normalisation and activation; that to the normalisation's parameters
    /// joins the others.
    fn activated_backward(
        &self,
        index: usize,
        gradient: &Tensor,
        named: Option<&Norm>,
        activation: Activation,
        to_parameters: &mut Named,
    ) -> Result<Tensor> {
        let Some((convolved, norm)) = &self.convolved[index] else {
            return Err(Error::msg("an evaluation pass cannot be differentiated"));
        };
        let (gradient, to_norm) = ops::activate_backward(convolved, gradient, norm.as_ref(), activation)?;
        if let (Some(Norm { name, .. }), Some([scale, shift])) = (named, to_norm) {
            insert(to_parameters, name, [Some(scale), Some(shift)]);
        }
        Ok(gradient)
    }

    /// Computes the gradients to the parameters and, if requested, the images, from the gradients to the heads, in
    /// order.
    pub(super) fn backward(
        &self,
        graph: &Graph,
        parameters: &Named,
        heads: &[Tensor],
        to_images: bool,
    ) -> Result<Gradients> {
        let mut gradients: Vec<Option<Tensor>> = vec![None; graph.nodes().len()];
        let mut to_parameters = Named::new();
        for (head, gradient) in graph.heads().iter().zip(heads) {
            accumulate(&mut gradients[head.0], gradient.contiguous()?)?;
        }
        for (index, node) in graph.nodes().iter().enumerate().rev() {
            if matches!(node, Node::Input { .. }) {
                continue;
            }
            let Some(gradient) = gradients[index].take() else { continue };
            match node {
                Node::Input { .. } => {}
                Node::Convolution {
                    input,
                    name,
                    kernel,
                    stride,
                    dilation,
                    depthwise,
                    bias,
                    norm: named,
                    activation,
                    ..
                } => {
                    let window = Window { dilation: *dilation, depthwise: *depthwise };
                    let gradient =
                        self.activated_backward(index, &gradient, named.as_ref(), *activation, &mut to_parameters)?;
                    let gradient = thin_backward(&gradient, size(self.map(*input)?)?, *stride)?;
                    let [to_weight, to_bias] =
                        ops::convolution_to_parameters(self.map(*input)?, &gradient, *kernel, window)?;
                    insert(&mut to_parameters, name, [Some(to_weight), bias.then_some(to_bias)]);
                    if to_images || !matches!(graph.node(*input), Node::Input { .. }) {
                        let weight = get(parameters, name, "weight")?;
                        accumulate(&mut gradients[input.0], ops::convolution_to_input(&gradient, weight, window)?)?;
                    }
                }
                Node::TransposedConvolution { input, name, kernel, bias, norm, activation, .. } => {
                    let gradient =
                        self.activated_backward(index, &gradient, norm.as_ref(), *activation, &mut to_parameters)?;
                    let [to_weight, to_bias] = transposed::to_parameters(self.map(*input)?, &gradient, *kernel)?;
                    insert(&mut to_parameters, name, [Some(to_weight), bias.then_some(to_bias)]);
                    let weight = get(parameters, name, "weight")?;
                    let share = transposed::to_input(&gradient, weight, size(self.map(*input)?)?)?;
                    accumulate(&mut gradients[input.0], share)?;
                }
                Node::MaxPool { input, side } => {
                    let share = ops::max_pool_backward(self.map(*input)?, &gradient, *side)?;
                    accumulate(&mut gradients[input.0], share)?;
                }
                Node::Upsample { input, interpolation, .. } => {
                    let share = ops::upsample_backward(&gradient, size(self.map(*input)?)?, *interpolation)?;
                    accumulate(&mut gradients[input.0], share)?;
                }
                Node::Concatenate { inputs } => {
                    let mut first = 0;
                    for input in inputs {
                        let channels = graph.channels(*input);
                        let share = gradient.narrow(1, first, channels)?.contiguous()?;
                        accumulate(&mut gradients[input.0], share)?;
                        first += channels;
                    }
                }
                Node::Combine { inputs, operation, activation } => {
                    let combined = self.combined(*inputs, *operation)?;
                    let (gradient, _) = ops::activate_backward(&combined, &gradient, None, *activation)?;
                    let [a, b] = *inputs;
                    for (input, other) in [(a, b), (b, a)] {
                        let share = match operation {
                            Operation::Sum => gradient.clone(),
                            Operation::Product => ops::combine(&gradient, self.map(other)?, Operation::Product)?,
                        };
                        accumulate(&mut gradients[input.0], share)?;
                    }
                }
                Node::GlobalAveragePool { input } => {
                    let share = gating::global_average_pool_backward(&gradient, size(self.map(*input)?)?)?;
                    accumulate(&mut gradients[input.0], share)?;
                }
                Node::Smooth { input, activation } => {
                    let share = gating::smooth_backward(self.map(*input)?, &gradient, *activation)?;
                    accumulate(&mut gradients[input.0], share)?;
                }
                Node::LayerNorm { input, epsilon } => {
                    let share = gating::layer_norm_backward(self.map(*input)?, &gradient, *epsilon)?;
                    accumulate(&mut gradients[input.0], share)?;
                }
                Node::Gate { inputs: [map, gate], gating } => {
                    let read = [self.map(*map)?, self.map(*gate)?];
                    let [to_map, to_gate] = gating::gate_backward(read, &gradient, *gating)?;
                    accumulate(&mut gradients[map.0], to_map)?;
                    accumulate(&mut gradients[gate.0], to_gate)?;
                }
            }
        }
        let images = graph.nodes().iter().position(|node| matches!(node, Node::Input { .. }));
        let images = images.filter(|_| to_images).and_then(|index| gradients[index].take());
        Ok(Gradients { parameters: to_parameters, images })
    }
}

/// Adds the gradients to the weight and the bias of this name.
fn insert(to_parameters: &mut Named, name: &str, gradients: [Option<Tensor>; 2]) {
    for (what, gradient) in ["weight", "bias"].into_iter().zip(gradients) {
        if let Some(gradient) = gradient {
            to_parameters.insert(format!("{name}.{what}"), gradient);
        }
    }
}

/// The last node that reads each node; `None` for a head, which is read from outside.
fn last_readers(graph: &Graph) -> Vec<Option<usize>> {
    let mut last = vec![None; graph.nodes().len()];
    for (index, node) in graph.nodes().iter().enumerate() {
        for input in node.inputs() {
            last[input.0] = Some(index);
        }
        if let Some(like) = node.like() {
            last[like.0] = Some(index);
        }
    }
    for head in graph.heads() {
        last[head.0] = None;
    }
    last
}

fn accumulate(sum: &mut Option<Tensor>, share: Tensor) -> Result<()> {
    *sum = Some(match sum.take() {
        Some(sum) => ops::combine(&sum, &share, Operation::Sum)?,
        None => share,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::networks::{Style, unet_plus_plus};
    use candle_core::{DType, Device};
    use sweep_graph::params::ParamStore;

    #[test]
    fn evaluation_keeps_the_heads_and_nothing_else() {
        let graph = unet_plus_plus(Style::BILINEAR_RELU, &[2, 3, 4], 1, 2, true);
        let parameters = ParamStore::initialise(&graph, 1, DType::F32, &Device::Cpu).unwrap();
        let named = parameters.named().unwrap();
        let images = Tensor::ones((2, 1, 9, 9), DType::F32, &Device::Cpu).unwrap();
        let kept = |mode| {
            let pass = Pass::forward(&graph, &images, &named, mode).unwrap();
            let maps = pass.maps.iter().flatten().count();
            (maps, pass.convolved.iter().flatten().count(), pass.statistics.len())
        };
        assert_eq!(kept(Mode::Evaluate), (graph.heads().len(), 0, 0));
        assert_eq!(kept(Mode::Train).0, graph.nodes().len());
    }
}
