//! The engine for CUDA GPUs: a graph is planned once per shape, compiled to a list of launches with fixed addresses,
//! and run repeatedly with buffers that are kept. Results are reproducible: every sum has a fixed order.
//!
//! Maps are `[B, H, W, C]`, of bf16 or single precision depending on the [`Precision`]. Convolutions are matrix
//! products on the GPU's matrix units (in `fp32` on its ordinary units); they read concatenations map by map, apply
//! normalisation and activation as they read, and write statistics of their results. Parameters, sums, statistics and
//! heads are in single precision, moments of normalisations in double.
//!
//! - `blocks`: the kernel of each convolution and what its blocks cover
//! - `choose`: division of layers into blocks, and the memory they take, for `engine::plan`
//! - `layers`, `tables`, `filters`: data on the GPU besides maps; `parameters`: the kernels' parameters
//! - `program`: from a plan's steps to launches; `convolutions`, `depthwise`, `gates`: launches of some kinds of steps
//!
//! The kernels are in `gpu/kernels`.

mod blocks;
mod choose;
mod convolutions;
mod depthwise;
mod filters;
mod gates;
mod layers;
mod parameters;
mod program;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use sweep_graph::tensors::TensorOperation as _;

use candle_core::{Tensor, TensorId};

use super::plan::network::Network;
use super::plan::{self, Destination, Extent, Operand, Plan, Step};
use super::{Engine, Mode, Precision, check_operands};
use choose::Choices;
use filters::Filters;
use layers::Layers;
use program::{Compiler, Operands};
use sweep_core::error::{Error, Kind, Result};
use sweep_core::units::Size;
use sweep_graph::Graph;
use sweep_graph::gpu::{Address, Gpu, Launch, LaunchTime, Memory, Sequence};
use sweep_graph::params::ParamStore;
use tables::{Tables, TablesOn};

/// Runs one graph on a GPU. Programs are kept per shape; all share one arena, so that after a forward pass the one
/// before can no longer be differentiated.
pub struct CudaEngine {
    graph: Graph,
    network: Network,
    choices: Choices,
    gpu: Arc<dyn Gpu>,
    /// Most bytes of an arena with maps that are kept to save time.
    plenty: usize,
    programs: BTreeMap<(usize, usize, usize, bool), Program>,
    arena: Option<Arena>,
    tables: Tables,
    /// The tensor that [`Engine::gradient`] returns, `[N]`.
    gradient: Option<Tensor>,
    last: Option<Last>,
}

/// Maps that are kept to save time take this part of a GPU's memory at most, together with all others: several trials may
/// share the GPU.
const SHARE: usize = 16;

/// Memory for all maps and for the images.
struct Arena {
    memory: Box<dyn Memory>,
    bytes: usize,
}

/// A plan for one shape, its launches, and the addresses they were compiled for.
struct Program {
    plan: Plan<()>,
    layers: Layers,
    compiled: Option<Compiled>,
}

struct Compiled {
    operands: Operands,
    forward: Box<dyn Sequence>,
    backward: Box<dyn Sequence>,
    /// Packed weights, and the table of how they are packed.
    _memory: Vec<Box<dyn Memory>>,
}

/// The last forward pass in [`Mode::Train`].
struct Last {
    key: (usize, usize, usize, bool),
    heads: Vec<TensorId>,
}

impl CudaEngine {
    /// An engine for this graph on a GPU.
    ///
    /// # Errors
    /// When a convolution of the graph reads more maps or channels than kernels have tables for.
    pub fn new(graph: &Graph, precision: Precision, gpu: Arc<dyn Gpu>) -> Result<Self> {
        Choices::check(graph)?;
        let plenty = gpu.memory_info().map_or(0, |memory| memory.total / SHARE);
        Ok(Self {
            graph: graph.clone(),
            network: Network::new(graph),
            choices: Choices::new(graph, precision),
            gpu,
            plenty,
            programs: BTreeMap::new(),
            arena: None,
            tables: Tables::default(),
            gradient: None,
            last: None,
        })
    }

    fn plan(&self, extent: Extent, mode: Mode) -> Result<Plan<()>> {
        let plan = |choices: &Choices| Plan::new(&self.graph, &self.network, extent, mode, choices);
        if mode == Mode::Train {
            let fast = plan(&self.choices.keeping_enlarged())?;
            if arena(&self.network, &fast, extent) <= self.plenty {
                return Ok(fast);
            }
        }
        plan(&self.choices)
    }

    /// Memory of a GPU for training and evaluating a graph on batches of this many images, in bytes: the arena, which both
    /// programs share, and what the layers of both need beside it. Parameters and results of passes are not included, nor
    /// are maps that are kept to save time where memory is plenty.
    ///
    /// # Errors
    /// When the images are too small for the graph, or a kernel has no table for one of its convolutions.
    pub fn memory_bytes(graph: &Graph, precision: Precision, images: usize, size: Size) -> Result<usize> {
        Choices::check(graph)?;
        let (network, extent) = (Network::new(graph), Extent { images, size });
        let choices = Choices::new(graph, precision);
        let arena =
            |mode| Plan::new(graph, &network, extent, mode, &choices).map(|plan| arena(&network, &plan, extent));
        let weights = |layer: &plan::network::Layer| choices.packed(layer);
        // Training reads weights in two orders, evaluation in one.
        let beside = 2 * Layers::bytes(&network, images) + 3 * network.layers.iter().map(weights).sum::<usize>();
        Ok(arena(Mode::Train)?.max(arena(Mode::Evaluate)?) + beside)
    }

    /// How long each launch of the last forward pass in [`Mode::Train`] and of its backward pass takes, in the order of the
    /// launches, without those that exchange heads and their gradients. Both passes run again, so that gradients and running
    /// statistics are no longer those of the caller.
    ///
    /// # Errors
    /// When no such pass came before, or the device does not time launches.
    pub fn profile(&mut self) -> Result<Vec<LaunchTime>> {
        let program = self.last.as_ref().and_then(|last| self.programs.get_mut(&last.key));
        let Some(Program { compiled: Some(compiled), .. }) = program else { return Err(Error::input(super::STALE)) };
        let mut times = compiled.forward.profile()?;
        times.extend(compiled.backward.profile()?);
        Ok(times)
    }

    /// If the GPU has too little memory, names the largest batch that fits.
    fn explain(&self, error: Error, extent: Extent, mode: Mode) -> Error {
        let Ok(memory) = self.gpu.memory_info() else { return error };
        let needs = |images: usize| {
            let extent = Extent { images, ..extent };
            self.plan(extent, mode).map_or(usize::MAX, |plan| arena(&self.network, &plan, extent))
        };
        if error.kind != Kind::Computation || needs(extent.images) <= memory.free {
            return error;
        }
        let mib = |bytes: usize| bytes.div_ceil(1 << 20);
        let what = format!(
            "the GPU has not enough memory for a batch of {}: it needs {} MiB, and {} MiB are free",
            extent.images,
            mib(needs(extent.images)),
            memory.free >> 20
        );
        let remedy = match (1..extent.images).rev().find(|images| needs(*images) <= memory.free) {
            Some(images) => format!("use a batch_size of {images} at most, a smaller input, or precision bf16"),
            None => "not even one image fits: use a smaller input or fewer filters, or precision bf16".to_owned(),
        };
        Error::new(Kind::Computation, what).at("batch_size").remedy(remedy)
    }

    /// Makes the program for a shape ready, with all addresses at their current values.
    fn prepare(
        &mut self,
        (extent, [first, first_statistic]): (Extent, [usize; 2]),
        mode: Mode,
        parameters: &ParamStore,
    ) -> Result<(usize, usize, usize, bool)> {
        let key = (extent.images, extent.size.height, extent.size.width, mode == Mode::Train);
        if !self.programs.contains_key(&key) {
            let plan = self.plan(extent, mode)?;
            let layers = Layers::new(self.gpu.as_ref(), &self.network, extent.images)?;
            self.programs.insert(key, Program { plan, layers, compiled: None });
        }
        let bytes = self.programs.get(&key).map_or(0, |program| arena(&self.network, &program.plan, extent));
        if self.arena.as_ref().is_none_or(|arena| arena.bytes < bytes) {
            // Free the old memory first: both need not fit at once.
            self.arena = None;
            match self.gpu.allocate(bytes) {
                Ok(memory) => self.arena = Some(Arena { memory, bytes }),
                // Other programs have the memory that seemed to be plenty.
                Err(_) if self.plenty > 0 => {
                    self.plenty = 0;
                    self.programs.clear();
                    return self.prepare((extent, [first, first_statistic]), mode, parameters);
                }
                Err(error) => return Err(self.explain(error, extent, mode)),
            }
        }
        let start = self.arena.as_ref().map_or(0, |arena| arena.memory.address());
        let trained = parameters.trained().as_tensor();
        let gradient = match &self.gradient {
            Some(gradient) => gradient,
            // Gradients of parameters that no head depends on are never written and stay zero.
            None => self.gradient.insert(trained.zeros_like().computed()?.detach()),
        };
        let Some(program) = self.programs.get_mut(&key) else { return Err(Error::input("no program")) };
        let operands = Operands {
            trained: self.gpu.address(trained)? + 4 * first as Address,
            statistics: self.gpu.address(parameters.statistics())? + 4 * first_statistic as Address,
            gradient: self.gpu.address(gradient)? + 4 * first as Address,
            images: start + program.plan.arena as Address,
            arena: start,
        };
        if program.compiled.as_ref().is_none_or(|compiled| compiled.operands != operands) {
            // The old weights are freed first: both need not fit at once.
            program.compiled = None;
            let Program { plan, layers, .. } = program;
            let mut compile = |weights: Address| -> Result<([Vec<Launch>; 3], Filters)> {
                let tables = TablesOn { gpu: self.gpu.as_ref(), tables: &mut self.tables };
                let (network, choices, filters, first) =
                    (&self.network, &self.choices, Filters::at(weights), Vec::new());
                let mut compiler = Compiler { plan, network, choices, layers, tables, operands, mode, filters, first };
                let mut launches = |steps: &[Step<()>]| -> Result<Vec<Launch>> {
                    let mut launches = Vec::new();
                    steps.iter().try_for_each(|step| compiler.step(step, &mut launches))?;
                    Ok(launches)
                };
                let (forward, backward) = (launches(&plan.forward)?, launches(&plan.backward)?);
                Ok(([compiler.first, forward, backward], compiler.filters))
            };
            // Compiled twice: the first time tells how much memory the packed weights take.
            let (_, filters) = compile(0)?;
            let weights = self.gpu.allocate(filters.bytes)?;
            let ([mut first, forward, backward], filters) = compile(weights.address())?;
            let mut memory = vec![weights];
            if let Some((pack, table)) = filters.pack(self.gpu.as_ref())? {
                first.push(pack);
                memory.push(table);
            }
            first.extend(forward);
            let (forward, backward) = (self.gpu.sequence(first), self.gpu.sequence(backward));
            program.compiled = Some(Compiled { operands, forward, backward, _memory: memory });
        }
        Ok(key)
    }

    /// The launches that write heads to tensors, or read heads' gradients from tensors, at the tensors' addresses.
    fn exchange(
        &mut self,
        key: (usize, usize, usize, bool),
        heads: &[Tensor],
        launches: impl Fn(&Compiler, usize, Address) -> Vec<Launch>,
    ) -> Result<()> {
        let Some(Program { plan, layers, compiled: Some(compiled) }) = self.programs.get(&key) else { return Ok(()) };
        let mode = if key.3 { Mode::Train } else { Mode::Evaluate };
        let tables = TablesOn { gpu: self.gpu.as_ref(), tables: &mut self.tables };
        let (network, choices, operands) = (&self.network, &self.choices, compiled.operands);
        let (filters, first) = (Filters::default(), Vec::new());
        let compiler = Compiler { plan, network, choices, layers, tables, operands, mode, filters, first };
        for (index, head) in heads.iter().enumerate() {
            for launch in launches(&compiler, index, self.gpu.address(head)?) {
                self.gpu.launch(&launch)?;
            }
        }
        Ok(())
    }
}

/// Bytes of a plan's maps and workspaces, and of its images.
fn arena(network: &Network, plan: &Plan<()>, extent: Extent) -> usize {
    plan.arena + 4 * extent.images * network.channels * extent.size.area()
}

/// The blocks that a head is read from.
fn read(plan: &Plan<()>, wanted: usize) -> &[Operand] {
    let mut outputs = plan.forward.iter().filter_map(|step| match step {
        Step::Output { head, from } if *head == wanted => Some(from.as_slice()),
        _ => None,
    });
    outputs.next().unwrap_or_default()
}

/// The destinations of a head's gradient, in passes.
fn written(plan: &Plan<()>, wanted: usize) -> impl Iterator<Item = &[Destination]> {
    plan.backward.iter().filter_map(move |step| match step {
        Step::OutputGradient { head, to } if *head == wanted => Some(to.as_slice()),
        _ => None,
    })
}

impl Engine for CudaEngine {
    fn forward(&mut self, images: &Tensor, parameters: &ParamStore, mode: Mode) -> Result<Vec<Tensor>> {
        // The GPU checks the tensors' device when it gives their addresses.
        let texts = ["GPUs", "single precision"];
        let operands = check_operands(&self.network, images, parameters, |_| true, texts)?;
        self.last = None;
        let key = self.prepare(operands, mode, parameters)?;
        let (extent, _) = operands;
        let images = images.detach().contiguous().computed()?;
        let from = self.gpu.address(&images)?;
        let Some(Program { plan, compiled: Some(compiled), .. }) = self.programs.get_mut(&key) else {
            return Err(Error::input("no program"));
        };
        self.gpu.copy(from, compiled.operands.images, 4 * images.elem_count())?;
        compiled.forward.run()?;
        let shape = |(channels, size): &(usize, Size)| [extent.images, *channels, size.height, size.width];
        let heads = plan.heads.iter().map(|head| self.gpu.tensor(&shape(head))).collect::<Result<Vec<_>>>()?;
        self.exchange(key, &heads, |compiler, head, planes| compiler.output(head, read(compiler.plan, head), planes))?;
        if mode == Mode::Train {
            self.last = Some(Last { key, heads: heads.iter().map(Tensor::id).collect() });
        }
        Ok(heads)
    }

    /// See [`Engine::gradient`]; the tensor belongs to the engine and is overwritten by the next call.
    fn gradient(&mut self, heads: &[Tensor], to_heads: &[Tensor], _: &ParamStore) -> Result<Tensor> {
        let ids = heads.iter().map(Tensor::id);
        let Some(Last { key, .. }) = self.last.take().filter(|last| ids.eq(last.heads.iter().copied())) else {
            return Err(Error::input(super::STALE));
        };
        if !heads.iter().map(Tensor::dims).eq(to_heads.iter().map(Tensor::dims)) {
            return Err(Error::input("the heads' gradients are not of the heads' shapes"));
        }
        let to_heads = to_heads.iter().map(Tensor::contiguous).collect::<candle_core::Result<Vec<_>>>().computed()?;
        self.exchange(key, &to_heads, |compiler, head, planes| {
            written(compiler.plan, head).flat_map(|to| compiler.output_gradient(head, to, planes)).collect()
        })?;
        if let Some(Program { compiled: Some(compiled), .. }) = self.programs.get_mut(&key) {
            compiled.backward.run()?;
        }
        self.gradient.clone().ok_or_else(|| Error::input("no gradient"))
    }
}
