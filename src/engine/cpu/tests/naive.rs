//! A graph run forward and backward in double precision by the definitions, one loop per index.

use crate::engine::Mode;
use crate::graph::{Activation, Graph, Interpolation, Node, NodeId};
use crate::units::Size;

/// A map `[B, C, H, W]`.
#[derive(Debug, Clone)]
pub(super) struct Map {
    pub(super) images: usize,
    pub(super) channels: usize,
    pub(super) size: Size,
    pub(super) values: Vec<f64>,
}

impl Map {
    fn zeros(images: usize, channels: usize, size: Size) -> Self {
        Self { images, channels, size, values: vec![0.0; images * channels * size.area()] }
    }

    fn at(&self, b: usize, c: usize, y: usize, x: usize) -> usize {
        ((b * self.channels + c) * self.size.height + y) * self.size.width + x
    }

    /// All places, as (image, channel, row, column).
    fn places(&self) -> impl Iterator<Item = (usize, usize, usize, usize)> + use<> {
        let (images, channels, Size { height, width }) = (self.images, self.channels, self.size);
        (0..images * channels * height * width).map(move |i| {
            (i / (channels * height * width), i / (height * width) % channels, i / width % height, i % width)
        })
    }
}

/// A convolution's intermediate results.
struct Inner {
    weight: usize,
    statistic: usize,
    plain: Map,
    normalised: Map,
    inverse: Vec<f64>,
}

/// A forward pass with all it computed.
pub(super) struct Run<'a> {
    graph: &'a Graph,
    trained: &'a [f64],
    pub(super) maps: Vec<Map>,
    inner: Vec<Option<Inner>>,
    pub(super) statistics: Vec<f64>,
}

impl<'a> Run<'a> {
    pub(super) fn new(graph: &'a Graph, trained: &'a [f64], statistics: &[f64], images: &Map, mode: Mode) -> Self {
        let sizes = graph.sizes(images.size).unwrap();
        let mut run = Self { graph, trained, maps: Vec::new(), inner: Vec::new(), statistics: statistics.to_vec() };
        let (mut weight, mut statistic) = (0, 0);
        for (index, node) in graph.nodes().iter().enumerate() {
            let mut inner = None;
            let mut out = Map::zeros(images.images, graph.channels(NodeId(index)), sizes[index]);
            match node {
                Node::Input { .. } => out = images.clone(),
                Node::Convolution { input, channels, kernel, norm, activation, .. } => {
                    let (plain, result) =
                        run.convolve(*input, *channels, *kernel, weight, norm.as_ref().map(|_| statistic), mode);
                    out = result.normalised.clone();
                    for v in &mut out.values {
                        *v = if *v > 0.0 { *v } else { slope(*activation) * *v };
                    }
                    inner = Some(Inner { plain, ..result });
                    weight += channels * (graph.channels(*input) * kernel * kernel + 1);
                    if norm.is_some() {
                        weight += 2 * channels;
                        statistic += 2 * channels;
                    }
                }
                Node::MaxPool { input } => {
                    for (b, c, y, x) in out.places() {
                        let place = out.at(b, c, y, x);
                        out.values[place] = run.maps[input.0].values[run.maximum(*input, b, c, y, x)];
                    }
                }
                Node::Upsample { input, interpolation, .. } => {
                    let from = &run.maps[input.0];
                    for (b, c, y, x) in out.places() {
                        let place = out.at(b, c, y, x);
                        for (y, wy) in taps(*interpolation, y, from.size.height, out.size.height) {
                            for (x, wx) in taps(*interpolation, x, from.size.width, out.size.width) {
                                out.values[place] += wy * wx * from.values[from.at(b, c, y, x)];
                            }
                        }
                    }
                }
                Node::Concatenate { inputs } => {
                    for (input, first) in run.parts(inputs) {
                        for (b, c, y, x) in run.maps[input.0].places() {
                            let place = out.at(b, first + c, y, x);
                            out.values[place] = run.maps[input.0].values[run.maps[input.0].at(b, c, y, x)];
                        }
                    }
                }
            }
            run.maps.push(out);
            run.inner.push(inner);
        }
        run
    }

    fn parts(&self, inputs: &[NodeId]) -> Vec<(NodeId, usize)> {
        let mut first = 0;
        let part = |input: &NodeId| {
            first += self.maps[input.0].channels;
            (*input, first - self.maps[input.0].channels)
        };
        inputs.iter().map(part).collect()
    }

    /// Place of the first maximum, in row order, of the 2×2 block of an output pixel.
    fn maximum(&self, input: NodeId, b: usize, c: usize, y: usize, x: usize) -> usize {
        let from = &self.maps[input.0];
        let places = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(dy, dx)| from.at(b, c, 2 * y + dy, 2 * x + dx));
        places.into_iter().reduce(|best, p| if from.values[p] > from.values[best] { p } else { best }).unwrap()
    }

    /// The result of the convolution alone, and after the normalisation.
    fn convolve(
        &mut self,
        input: NodeId,
        channels: usize,
        kernel: usize,
        weight: usize,
        statistic: Option<usize>,
        mode: Mode,
    ) -> (Map, Inner) {
        let from = &self.maps[input.0];
        let mut plain = Map::zeros(from.images, channels, from.size);
        let bias = weight + channels * from.channels * kernel * kernel;
        for (b, o, y, x) in plain.places() {
            let mut sum = self.trained[bias + o];
            for (w, p) in windows(from, kernel, b, o, y, x) {
                sum += self.trained[weight + w] * from.values[p];
            }
            let place = plain.at(b, o, y, x);
            plain.values[place] = sum;
        }
        let mut normalised = plain.clone();
        let mut inverse = vec![1.0; channels];
        if let Some(statistic) = statistic {
            let count = (plain.images * plain.size.area()) as f64;
            for (o, inverse) in inverse.iter_mut().enumerate() {
                let own: Vec<usize> =
                    plain.places().filter(|p| p.1 == o).map(|(b, c, y, x)| plain.at(b, c, y, x)).collect();
                let mean = own.iter().map(|p| plain.values[*p]).sum::<f64>() / count;
                let squares: f64 = own.iter().map(|p| (plain.values[*p] - mean).powi(2)).sum();
                let (running_mean, running_variance) = (statistic + o, statistic + channels + o);
                let (mean, variance) = match mode {
                    Mode::Evaluate => (self.statistics[running_mean], self.statistics[running_variance]),
                    Mode::Train => {
                        let statistics = &mut self.statistics;
                        statistics[running_mean] = 0.9 * statistics[running_mean] + 0.1 * mean;
                        statistics[running_variance] =
                            0.9 * statistics[running_variance] + 0.1 * squares / (count - 1.0);
                        (mean, squares / count)
                    }
                };
                *inverse = 1.0 / (variance + 1e-5).sqrt();
                let (scale, shift) = (self.trained[bias + channels + o], self.trained[bias + 2 * channels + o]);
                for p in own {
                    normalised.values[p] = (plain.values[p] - mean) * *inverse * scale + shift;
                }
            }
        }
        let statistic = statistic.unwrap_or(usize::MAX);
        (plain.clone(), Inner { weight, statistic, plain, normalised, inverse })
    }

    /// The gradient to the trained values, from those to the heads.
    pub(super) fn backward(&self, heads: &[Vec<f64>]) -> Vec<f64> {
        let mut out = vec![0.0; self.trained.len()];
        let mut gradients: Vec<Map> = self.maps.iter().map(|m| Map::zeros(m.images, m.channels, m.size)).collect();
        for (head, gradient) in self.graph.heads().iter().zip(heads) {
            for (to, from) in gradients[head.0].values.iter_mut().zip(gradient) {
                *to += from;
            }
        }
        for (index, node) in self.graph.nodes().iter().enumerate().rev() {
            let gradient = gradients[index].clone();
            match node {
                Node::Input { .. } => {}
                Node::Convolution { input, kernel, activation, .. } => {
                    self.convolve_back(
                        index,
                        *input,
                        *kernel,
                        *activation,
                        &gradient,
                        &mut gradients[input.0],
                        &mut out,
                    );
                }
                Node::MaxPool { input } => {
                    for (b, c, y, x) in gradient.places() {
                        gradients[input.0].values[self.maximum(*input, b, c, y, x)] +=
                            gradient.values[gradient.at(b, c, y, x)];
                    }
                }
                Node::Upsample { input, interpolation, .. } => {
                    let to = &mut gradients[input.0];
                    for (b, c, y, x) in gradient.places() {
                        let value = gradient.values[gradient.at(b, c, y, x)];
                        for (y, wy) in taps(*interpolation, y, to.size.height, gradient.size.height) {
                            for (x, wx) in taps(*interpolation, x, to.size.width, gradient.size.width) {
                                let place = to.at(b, c, y, x);
                                to.values[place] += wy * wx * value;
                            }
                        }
                    }
                }
                Node::Concatenate { inputs } => {
                    for (input, first) in self.parts(inputs) {
                        let to = &mut gradients[input.0];
                        for (b, c, y, x) in to.places() {
                            let place = to.at(b, c, y, x);
                            to.values[place] += gradient.values[gradient.at(b, first + c, y, x)];
                        }
                    }
                }
            }
        }
        out
    }

    #[expect(clippy::too_many_arguments, reason = "the operands of a gradient, one by one")]
    fn convolve_back(
        &self,
        index: usize,
        input: NodeId,
        kernel: usize,
        activation: Activation,
        gradient: &Map,
        to: &mut Map,
        out: &mut [f64],
    ) {
        let inner = self.inner[index].as_ref().unwrap();
        let channels = gradient.channels;
        let from = &self.maps[input.0];
        let bias = inner.weight + channels * from.channels * kernel * kernel;
        let mut gradient = gradient.clone();
        for (g, v) in gradient.values.iter_mut().zip(&inner.normalised.values) {
            *g *= if *v > 0.0 { 1.0 } else { slope(activation) };
        }
        if inner.statistic != usize::MAX {
            let count = (gradient.images * gradient.size.area()) as f64;
            for o in 0..channels {
                let own: Vec<usize> =
                    gradient.places().filter(|p| p.1 == o).map(|(b, c, y, x)| gradient.at(b, c, y, x)).collect();
                let mean = own.iter().map(|p| inner.plain.values[*p]).sum::<f64>() / count;
                let unit = |p: usize| (inner.plain.values[p] - mean) * inner.inverse[o];
                let sum: f64 = own.iter().map(|p| gradient.values[*p]).sum();
                let product: f64 = own.iter().map(|p| gradient.values[*p] * unit(*p)).sum();
                out[bias + channels + o] = product;
                out[bias + 2 * channels + o] = sum;
                let factor = self.trained[bias + channels + o] * inner.inverse[o];
                for p in own {
                    gradient.values[p] = factor * (gradient.values[p] - sum / count - unit(p) * product / count);
                }
            }
        }
        for (b, o, y, x) in gradient.places() {
            let g = gradient.values[gradient.at(b, o, y, x)];
            out[bias + o] += g;
            for (w, p) in windows(from, kernel, b, o, y, x) {
                out[inner.weight + w] += g * from.values[p];
                to.values[p] += g * self.trained[inner.weight + w];
            }
        }
    }
}

/// Places in the weight `[O, I, k, k]` and in the map that meet at one output pixel.
fn windows(from: &Map, kernel: usize, b: usize, o: usize, y: usize, x: usize) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for i in 0..from.channels {
        for ky in 0..kernel {
            for kx in 0..kernel {
                let (row, column) = (y + ky, x + kx);
                let border = kernel / 2;
                let inside = row >= border
                    && column >= border
                    && row - border < from.size.height
                    && column - border < from.size.width;
                if inside {
                    let w = ((o * from.channels + i) * kernel + ky) * kernel + kx;
                    pairs.push((w, from.at(b, i, row - border, column - border)));
                }
            }
        }
    }
    pairs
}

fn slope(activation: Activation) -> f64 {
    match activation {
        Activation::Identity => 1.0,
        Activation::Relu => 0.0,
        Activation::LeakyRelu { slope } => slope,
    }
}

/// The inputs an output of an enlarged axis is mixed from.
fn taps(interpolation: Interpolation, place: usize, input: usize, output: usize) -> Vec<(usize, f64)> {
    match interpolation {
        Interpolation::Nearest => vec![(place * input / output, 1.0)],
        Interpolation::Bilinear if output == 1 => vec![(0, 1.0)],
        Interpolation::Bilinear => {
            let (numerator, denominator) = (place * (input - 1), output - 1);
            let (low, rest) = (numerator / denominator, numerator % denominator);
            let fraction = rest as f64 / denominator as f64;
            vec![(low, 1.0 - fraction), ((low + 1).min(input - 1), fraction)]
        }
    }
}
