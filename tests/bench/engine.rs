//! Speed of the engine for processors on UNet++: `cargo bench --bench engine -- [BATCH [FILTERS [HEIGHT WIDTH [SECONDS]]]]`.
//! Prints the median time of a training step (forward, L1 loss, backward, AdamW) and of an evaluation.

use std::time::Instant;

use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Tensor, bail};
use landmark_sweep::engine::cpu::CpuEngine;
use landmark_sweep::engine::{Engine, Mode};
use landmark_sweep::graph::{Activation, Graph, Interpolation, Node, NodeId};
use landmark_sweep::params::ParamStore;

const LEVELS: usize = 5;
const LANDMARKS: usize = 10;

fn block(graph: &mut Graph, mut node: NodeId, name: &str, channels: usize) -> NodeId {
    for part in 1..=2 {
        node = graph.push(Node::Convolution {
            input: node,
            name: format!("{name}.{part}"),
            channels,
            kernel: 3,
            norm: Some(format!("{name}.norm{part}")),
            activation: Activation::Relu,
        });
    }
    node
}

fn unet_plus_plus(filters: usize) -> Graph {
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 1 });
    let mut nodes: Vec<Vec<NodeId>> = vec![Vec::new(); LEVELS];
    for diagonal in 0..LEVELS {
        for j in 0..=diagonal {
            let i = diagonal - j;
            let input = if j > 0 {
                let (input, like, interpolation) = (nodes[i + 1][j - 1], nodes[i][0], Interpolation::Bilinear);
                let up = graph.push(Node::Upsample { input, like, interpolation });
                let inputs = nodes[i].iter().copied().chain([up]).collect();
                graph.push(Node::Concatenate { inputs })
            } else if i > 0 {
                graph.push(Node::MaxPool { input: nodes[i - 1][0] })
            } else {
                image
            };
            let node = block(&mut graph, input, &format!("conv{i}_{j}"), filters << i);
            nodes[i].push(node);
        }
    }
    let head = graph.push(Node::Convolution {
        input: nodes[0][LEVELS - 1],
        name: "final".to_owned(),
        channels: LANDMARKS,
        kernel: 1,
        norm: None,
        activation: Activation::Identity,
    });
    graph.push_head(head);
    graph
}

/// AdamW (Loshchilov and Hutter 2019) in one pass over the trained values: `values -= …` from the gradient.
struct AdamW {
    moments: std::sync::Mutex<(i32, Vec<f32>, Vec<f32>)>,
}

impl InplaceOp2 for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        values: &mut CpuStorage,
        _: &Layout,
        gradient: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(values), CpuStorage::F32(gradient)) = (values, gradient) else {
            bail!("single precision")
        };
        let Ok(mut moments) = self.moments.lock() else { bail!("a step before panicked") };
        let (step, first, second) = &mut *moments;
        *step += 1;
        let (rate, root) = (3e-4 / (1.0 - 0.9f32.powi(*step)), (1.0 - 0.999f32.powi(*step)).sqrt());
        for (((value, g), m), v) in values.iter_mut().zip(gradient).zip(first).zip(second) {
            *m = 0.9 * *m + 0.1 * g;
            *v = 0.999 * *v + 0.001 * g * g;
            *value -= 3e-4 * 0.01 * *value + rate * *m / (v.sqrt() / root + 1e-8);
        }
        Ok(())
    }
}

/// Seconds of processor time this process has used, where the system tells.
fn processor_time() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
}

/// Median and least seconds of `step`, and mean processor time, after three calls to warm up.
fn time(seconds: f64, mut step: impl FnMut() -> candle_core::Result<()>) -> candle_core::Result<[f64; 3]> {
    for _ in 0..3 {
        step()?;
    }
    let (start, processor, mut times) = (Instant::now(), processor_time(), Vec::new());
    while times.len() < 5 || start.elapsed().as_secs_f64() < seconds {
        let step_start = Instant::now();
        step()?;
        times.push(step_start.elapsed().as_secs_f64());
    }
    let processor = processor_time().zip(processor).map_or(f64::NAN, |(end, start)| end - start);
    times.sort_by(f64::total_cmp);
    Ok([times[times.len() / 2], times[0], processor / times.len() as f64])
}

/// Peak memory of this process, in MiB, where the system tells.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

fn main() -> candle_core::Result<()> {
    let numbers: Vec<f64> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let number = |i: usize, default: f64| numbers.get(i).copied().unwrap_or(default);
    let (batch, filters) = (number(0, 1.0) as usize, number(1, 16.0) as usize);
    let (height, width, seconds) = (number(2, 200.0) as usize, number(3, 160.0) as usize, number(4, 8.0));
    let graph = unet_plus_plus(filters);
    let to_candle = |e: landmark_sweep::error::Error| candle_core::Error::Msg(e.to_string());
    let parameters = ParamStore::initialise(&graph, 0, DType::F32, &Device::Cpu).map_err(to_candle)?;
    let images = Tensor::rand(0f32, 1f32, (batch, 1, height, width), &Device::Cpu)?;
    let wanted = Tensor::rand(0f32, 1f32, (batch, LANDMARKS, height, width), &Device::Cpu)?;
    let mut engine = CpuEngine::new(&graph);
    let moments = vec![0.0; parameters.trained().elem_count()];
    let optimiser = AdamW { moments: std::sync::Mutex::new((0, moments.clone(), moments)) };
    let name = format!("{} batch {batch} filters {filters} {height}x{width}", engine.instructions());

    let (mut losses, mut parts) = (Vec::new(), [0.0; 3]);
    let [median, least, processor] = time(seconds, || {
        let start = Instant::now();
        let heads = engine.forward(&images, &parameters, Mode::Train).map_err(to_candle)?;
        let forward = start.elapsed().as_secs_f64();
        let loss = (&heads[0] - &wanted)?.abs()?.mean_all()?;
        let gradients = loss.backward()?;
        let backward = start.elapsed().as_secs_f64();
        if let Some(gradient) = gradients.get(parameters.trained()) {
            parameters.trained().inplace_op2(gradient, &optimiser)?;
        }
        parts[0] += forward;
        parts[1] += backward - forward;
        parts[2] += start.elapsed().as_secs_f64() - backward;
        losses.push(loss.to_scalar::<f32>()?);
        Ok(())
    })?;
    let per = |v: f64| 1e3 * v / losses.len() as f64;
    println!(
        "{name} step: median {:.1} ms, least {:.1} ms, processor {:.1} ms, {:.2} images/s, peak {:.0} MiB; mean forward {:.1}, loss and backward {:.1}, AdamW {:.1} ms; loss {:.4} to {:.4}",
        1e3 * median,
        1e3 * least,
        1e3 * processor,
        batch as f64 / median,
        peak_memory().unwrap_or(f64::NAN),
        per(parts[0]),
        per(parts[1]),
        per(parts[2]),
        losses.first().copied().unwrap_or(f32::NAN),
        losses.last().copied().unwrap_or(f32::NAN),
    );
    let [median, least, processor] = time(seconds, || {
        engine.forward(&images, &parameters, Mode::Evaluate).map_err(to_candle)?;
        Ok(())
    })?;
    let rate = batch as f64 / median;
    let [median, least, processor] = [median, least, processor].map(|v| 1e3 * v);
    println!(
        "{name} evaluation: median {median:.1} ms, least {least:.1} ms, processor {processor:.1} ms, {rate:.2} images/s"
    );
    Ok(())
}
