//! Convolutions and transposed convolutions as operators, with the normalisation after them.

use super::Exporter;
use super::format::{int, list};
use sweep_core::error::Result;
use sweep_graph::{Node, NodeId, Norm, NormKind};

/// Weight and bias of a convolution.
struct Filter {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    /// Output channels.
    outputs: usize,
    /// Neighbouring weights of one output channel.
    at_once: usize,
}

impl Exporter<'_> {
    /// A convolution and its normalisation, without the activation.
    pub(super) fn convolution(&mut self, map: &str, output: &str, node: &Node) -> Result<()> {
        let (Node::Convolution { input, name, channels, kernel, bias, norm, .. }
        | Node::TransposedConvolution { input, name, channels, kernel, bias, norm, .. }) = node
        else {
            return Ok(());
        };
        let (taps, read) = (kernel * kernel, self.graph.channels(*input));
        let (operator, shape, at_once, groups) = match node {
            Node::TransposedConvolution { .. } => ("ConvTranspose", [read, *channels], taps, 1),
            Node::Convolution { depthwise: true, .. } => ("Conv", [*channels, 1], taps, *channels),
            _ => ("Conv", [*channels, read], read * taps, 1),
        };
        let bias = bias.then(|| self.values(&format!("{name}.bias"))).transpose()?;
        let weight = self.values(&format!("{name}.weight"))?;
        let mut filter = Filter { weight, bias, outputs: *channels, at_once };
        let separate = match norm {
            Some(norm) if norm.kind == NormKind::Batch && !self.options.keep_norms => {
                self.fold(&mut filter, norm)?;
                None
            }
            other => other.as_ref(),
        };
        let inner = if separate.is_some() { format!("{output}.conv") } else { output.to_owned() };
        let weight = format!("{name}.weight");
        self.writer.floats(&weight, &[shape[0], shape[1], *kernel, *kernel], &filter.weight);
        let mut inputs = vec![map, &weight];
        let bias = format!("{name}.bias");
        if let Some(values) = &filter.bias {
            self.writer.floats(&bias, &[*channels], values);
            inputs.push(&bias);
        }
        let mut settings = vec![list("kernel_shape", &[*kernel; 2]), int("group", groups as i64)];
        settings.extend(match node {
            Node::TransposedConvolution { like, .. } => {
                let (pads, added) = self.enlarged(*input, *like, *kernel);
                vec![list("strides", &[2; 2]), list("pads", &pads), list("output_padding", &added)]
            }
            Node::Convolution { stride, dilation, .. } => vec![
                list("strides", &[*stride; 2]),
                list("dilations", &[*dilation; 2]),
                list("pads", &[kernel / 2 * dilation; 4]),
            ],
            _ => Vec::new(),
        });
        self.writer.operator(operator, &inputs, &inner, &settings);
        match separate {
            Some(norm) => self.norm(norm, *channels, &inner, output),
            None => Ok(()),
        }
    }

    /// Rows and columns that a transposed convolution leaves out, first and last ones, and those that it adds at the ends.
    fn enlarged(&self, input: NodeId, like: NodeId, kernel: usize) -> ([usize; 4], [usize; 2]) {
        let before = (kernel - 1) / 2;
        let (from, to) = (self.sizes[input.0], self.sizes[like.0]);
        let axes = [(from.height, to.height), (from.width, to.width)];
        let axes = axes.map(|(from, to)| (2 * (from - 1) + kernel - before, to));
        let [down, across] = axes.map(|(whole, to)| whole.saturating_sub(to));
        ([before, before, down, across], axes.map(|(whole, to)| to.saturating_sub(whole)))
    }

    /// Merges a batch normalisation into the convolution before it, which then has a bias.
    fn fold(&self, filter: &mut Filter, norm: &Norm) -> Result<()> {
        let of = |what: &str| self.values(&format!("{}.{what}", norm.name));
        let (scale, shift, mean, variance) = (of("weight")?, of("bias")?, of("running_mean")?, of("running_var")?);
        let factor = |c: usize| f64::from(scale[c]) / (f64::from(variance[c]) + norm.epsilon).sqrt();
        for (index, weight) in filter.weight.iter_mut().enumerate() {
            *weight = (f64::from(*weight) * factor(index / filter.at_once % filter.outputs)) as f32;
        }
        let bias = |c: usize| {
            let before = filter.bias.as_ref().map_or(0.0, |bias| f64::from(bias[c]));
            ((before - f64::from(mean[c])) * factor(c) + f64::from(shift[c])) as f32
        };
        filter.bias = Some((0..scale.len()).map(bias).collect());
        Ok(())
    }
}
