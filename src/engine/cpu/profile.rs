//! Times of every step of a pass, for benchmarks: they show which step to improve, and whether the choice of algorithms
//! was right.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::choose::Algorithm;
use super::simd::{LANES, Simd};
use super::{Plan, Step};
use crate::plan::network::Network;
use sweep_core::units::Size;

/// One step of a pass.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTime {
    /// Kind of step.
    pub step: &'static str,
    /// Algorithm, if there is a choice.
    pub algorithm: &'static str,
    /// For a convolution: input channels, output channels, and side of the kernel.
    pub convolution: Option<[usize; 3]>,
    /// Height and width of the larger map.
    pub size: Size,
    /// Multiplications and additions by definition, whatever the algorithm saves.
    pub flops: u64,
    /// Duration.
    pub time: Duration,
}

/// Steps timed so far, if timing is on.
#[derive(Debug, Default)]
pub(super) struct Profile {
    /// `None` if timing is off.
    pub(super) steps: Option<Vec<StepTime>>,
}

impl Profile {
    /// Start time of a step.
    pub(super) fn begin(&self) -> Option<Instant> {
        self.steps.as_ref().map(|_| Instant::now())
    }

    /// Records a step that began then.
    pub(super) fn end(&mut self, plan: &Plan, network: &Network, step: &Step, began: Option<Instant>) {
        let (Some(began), Some(steps)) = (began, &mut self.steps) else { return };
        let time = began.elapsed();
        let (name, layer, algorithm, value) = match step {
            Step::Input { to } => ("input", None, None, *to),
            Step::Convolve { layer, algorithm, to, .. } => ("convolution", Some(*layer), Some(*algorithm), *to),
            Step::Narrow { from, .. } => ("narrow", None, None, *from),
            Step::Widen { to, .. } => ("widen", None, None, *to),
            Step::Pool { from, .. } => ("pool", None, None, from[0].value),
            Step::Upsample { to, .. } => ("upsample", None, None, *to),
            Step::Combine { to, .. } => ("combination", None, None, *to),
            Step::GlobalPool { from, .. } => ("global pool", None, None, from[0].value),
            Step::Smooth { to, .. } => ("smooth activation", None, None, *to),
            Step::Copy { to, .. } => ("copy", None, None, *to),
            Step::LayerNorm { to, .. } => ("layer normalisation", None, None, *to),
            Step::Gate { to, .. } => ("gate", None, None, *to),
            Step::Output { from, .. } => ("output", None, None, from[0].value),
            Step::OutputGradient { to, .. } => ("output gradient", None, None, to[0].operand.value),
            Step::NormGradient { gradient, .. } => ("norm gradient", None, None, *gradient),
            Step::WeightGradient { layer, algorithm, gradient, .. } => {
                ("weight gradient", Some(*layer), Some(*algorithm), *gradient)
            }
            Step::InputGradient { layer, algorithm, gradient, .. } => {
                ("input gradient", Some(*layer), Some(*algorithm), *gradient)
            }
            Step::PoolGradient { from, .. } => ("pool gradient", None, None, from[0].value),
            Step::UpsampleGradient { gradient, .. } => ("upsample gradient", None, None, gradient[0].value),
            Step::CombineGradient { gradient, .. } => ("combination gradient", None, None, gradient[0].value),
            Step::GlobalPoolGradient { to, .. } => ("global pool gradient", None, None, to[0].operand.value),
            Step::SmoothGradient { gradient, .. } => ("smooth activation gradient", None, None, gradient[0].value),
            Step::LayerNormGradient { gradient, .. } => ("layer normalisation gradient", None, None, gradient[0].value),
            Step::GateGradient { gradient, .. } => ("gate gradient", None, None, gradient[0].value),
            Step::GateSum { gradient, .. } => ("sum to a gate", None, None, gradient[0].value),
        };
        let extent = plan.values[value].extent;
        let layer = layer.map(|layer| &network.layers[layer]);
        let convolution = layer.map(|layer| [layer.inputs, layer.outputs, layer.kernel]);
        let flops = layer.map_or(0, |layer| {
            // A transposed convolution has a kernel's products for every pixel that it reads.
            let pixels = extent.size.area() / if layer.transposed { layer.stride * layer.stride } else { 1 };
            2 * (extent.images * pixels * layer.weights()) as u64
        });
        let algorithm = algorithm.map_or("", Algorithm::name);
        steps.push(StepTime { step: name, algorithm, convolution, size: extent.size, flops, time });
    }
}

/// Floating-point operations per second of fused multiply-adds on all threads of the pool: the upper limit of vector
/// kernels.
pub(super) fn fma_peak<S: Simd>(s: S) -> f64 {
    // Enough independent chains to hide a multiply-add's delay.
    if S::MANY_REGISTERS { fma_rate::<S, 12>(s) } else { fma_rate::<S, 6>(s) }
}

fn fma_rate<S: Simd, const CHAINS: usize>(s: S) -> f64 {
    const ROUNDS: usize = 1_000_000;
    let threads = rayon::current_num_threads();
    let once = || {
        let began = Instant::now();
        (0..threads).into_par_iter().with_max_len(1).for_each(|_| {
            s.vectorize(
                #[inline(always)]
                || {
                    let half = s.splat(std::hint::black_box(0.5));
                    let mut sums = [half; CHAINS];
                    for _ in 0..ROUNDS {
                        for sum in &mut sums {
                            *sum = s.mul_add(*sum, half, half);
                        }
                    }
                    std::hint::black_box(sums.map(|sum| s.max(sum, half)));
                },
            );
        });
        (2 * LANES * CHAINS * ROUNDS * threads) as f64 / began.elapsed().as_secs_f64()
    };
    (0..5).map(|_| once()).fold(0.0, f64::max)
}
