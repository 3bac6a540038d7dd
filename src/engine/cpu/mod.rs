//! The engine for processors: a graph is planned once per shape and run with buffers that are kept, as a single
//! operation for candle. Single precision; results do not depend on the number of threads.
//!
//! - `choose`: the algorithm of a layer and its memory; `engine::plan` writes the program for a shape
//! - `layout`: blocks of sixteen channels; `simd`: instruction sets; `kernels`: the arithmetic; `kernels::tiles`: the
//!   same in bf16, on a matrix unit or by vectors (`simd::tiles`), if a [`Precision`] allows it
//! - `execute`, `maps`: run a plan's steps; `normalise`: normalisation per channel
//!
//! The environment variable `LANDMARK_SWEEP_SIMD` (`avx512`, `avx2`, `neon`, `portable`) selects an instruction set by name; if
//! the processor lacks it, the best available one is used.

mod choose;
mod execute;
mod kernels;
mod layout;
mod maps;
mod normalise;
mod profile;
mod simd;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use sweep_graph::tensors::TensorOperation as _;

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Shape, Tensor, TensorId, bail};

use super::plan::network::Network;
use super::{Engine, Mode, Precision, STALE, check_operands};
use choose::{Algorithm, Choices};
use execute::Executor;
use layout::{Arena, Extent};
use normalise::LayerState;
use profile::Profile;
pub use profile::StepTime;
use simd::{Instructions, with_instructions};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;
use sweep_graph::Graph;
use sweep_graph::params::ParamStore;
use sweep_graph::tensors::{change, cpu_numbers, numbers, read};

/// Programs for processors.
type Plan = super::plan::Plan<Algorithm>;
type Step = super::plan::Step<Algorithm>;

/// Runs one graph on the processor. Plans are kept per shape; all share one arena, so that after a forward pass the one
/// before can no longer be differentiated.
pub struct CpuEngine {
    graph: Graph,
    network: Arc<Network>,
    plans: BTreeMap<(usize, usize, usize, bool), Arc<Plan>>,
    instructions: Instructions,
    choices: Choices,
    state: Arc<Mutex<State>>,
    last: Option<Last>,
    /// The tensor that [`Engine::gradient`] returns, `[N]`.
    gradient: Option<Tensor>,
}

/// The last forward pass in [`Mode::Train`].
struct Last {
    pass: Pass,
    /// Start of the network's parameters.
    first: usize,
    images: Tensor,
    heads: Vec<TensorId>,
}

/// Name of the unit of this processor that multiplies faster in this precision than in single precision, if it has one:
/// `AMX` or `AVX-512-BF16`. Results depend on it: each rounds in its own order.
#[must_use]
pub fn unit_for(precision: Precision) -> Option<&'static str> {
    Choices::new(precision).unit()
}

/// State that is kept between passes.
#[derive(Default)]
struct State {
    arena: Arena,
    layers: Vec<LayerState>,
    statistics: Vec<f32>,
    /// Times of steps.
    profile: Profile,
    /// Number of forward passes.
    pass: u64,
    /// The pass whose maps are in the arena and may be differentiated once.
    differentiable: Option<u64>,
}

impl CpuEngine {
    /// An engine for this graph, with the best instruction set of this processor.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the instruction set to use")]
    pub fn new(graph: &Graph, precision: Precision) -> Self {
        let name = std::env::var("LANDMARK_SWEEP_SIMD").ok();
        let instructions = Instructions::choose(name.as_deref()).or_else(|| Instructions::choose(None));
        let instructions = instructions.unwrap_or(Instructions::Portable(simd::portable::Portable));
        Self::with_instructions(graph, Choices::new(precision), instructions)
    }

    fn with_instructions(graph: &Graph, choices: Choices, instructions: Instructions) -> Self {
        let (graph, network) = (graph.clone(), Arc::new(Network::new(graph)));
        Self {
            graph,
            network,
            plans: BTreeMap::new(),
            instructions,
            choices,
            state: Arc::default(),
            last: None,
            gradient: None,
        }
    }

    /// Memory for training and evaluating a graph on batches of this many images, in bytes: the arena of the larger of
    /// both programs. Parameters and results of passes are not included.
    ///
    /// # Errors
    /// When the images are too small for the graph, or a normalisation has a single value to measure.
    pub fn memory_bytes(graph: &Graph, precision: Precision, images: usize, size: Size) -> Result<usize> {
        let (network, extent) = (Network::new(graph), Extent { images, size });
        let choices = Choices::new(precision);
        let arena = |mode| Plan::new(graph, &network, extent, mode, &choices).map(|plan| plan.arena);
        Ok(arena(Mode::Train)?.max(arena(Mode::Evaluate)?) * size_of::<f32>())
    }

    /// Memory for evaluating a graph on this many images, in bytes: the arena of the pass. Parameters and results are not
    /// included.
    ///
    /// # Errors
    /// When the images are too small for the graph.
    pub fn evaluation_bytes(graph: &Graph, precision: Precision, images: usize, size: Size) -> Result<usize> {
        let (network, extent) = (Network::new(graph), Extent { images, size });
        let plan = Plan::new(graph, &network, extent, Mode::Evaluate, &Choices::new(precision))?;
        Ok(plan.arena.saturating_mul(size_of::<f32>()))
    }

    /// Starts timing every step, for [`CpuEngine::take_profile`].
    pub fn start_profile(&mut self) {
        lock(&self.state).profile.steps = Some(Vec::new());
    }

    /// The steps timed since [`CpuEngine::start_profile`], in the order they ran; empty if timing was not started.
    pub fn take_profile(&mut self) -> Vec<StepTime> {
        lock(&self.state).profile.steps.take().unwrap_or_default()
    }

    /// Floating-point operations per second of fused multiply-adds, measured now, on all threads of the pool.
    #[must_use]
    pub fn fma_peak(&self) -> f64 {
        with_instructions!(self.instructions, s => profile::fma_peak(s))
    }

    /// Name of the instruction set in use.
    #[must_use]
    pub fn instructions(&self) -> &'static str {
        self.instructions.name()
    }

    /// The plan for a shape, made at its first use.
    fn plan(&mut self, images: Extent, mode: Mode) -> Result<Arc<Plan>> {
        let key = (images.images, images.size.height, images.size.width, mode == Mode::Train);
        if let Some(plan) = self.plans.get(&key) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(Plan::new(&self.graph, &self.network, images, mode, &self.choices)?);
        self.plans.insert(key, Arc::clone(&plan));
        Ok(plan)
    }
}

impl Engine for CpuEngine {
    fn forward(&mut self, images: &Tensor, parameters: &ParamStore, mode: Mode) -> Result<Vec<Tensor>> {
        let texts = ["processors", "single precision, on the processor"];
        let (extent, [first, first_statistic]) =
            check_operands(&self.network, images, parameters, Device::is_cpu, texts)?;
        let plan = self.plan(extent, mode)?;
        let images = images.detach().contiguous().computed()?;
        // For the whole range, `narrow` returns the tensor itself.
        let trained = parameters.trained().narrow(0, first, self.network.lens.0).computed()?;
        let statistics = parameters.statistics().narrow(0, first_statistic, self.network.lens.1).computed()?;
        let number = {
            let mut state = lock(&self.state);
            state.statistics.clear();
            read(&statistics, |values| {
                state.statistics.extend_from_slice(values);
                Ok(())
            })
            .computed()?;
            state.pass += 1;
            state.pass
        };
        let pass = Pass {
            network: Arc::clone(&self.network),
            plan: Arc::clone(&plan),
            instructions: self.instructions,
            state: Arc::clone(&self.state),
            number,
            mode,
        };
        self.last = None;
        let values = match mode {
            Mode::Train => trained.apply_op2(&images, pass.clone()).computed()?,
            Mode::Evaluate => trained.apply_op2_no_bwd(&images, &pass).computed()?,
        };
        if mode == Mode::Train && !self.network.is_without_statistics() {
            let moved = &lock(&self.state).statistics;
            change(&statistics, |values| {
                values.copy_from_slice(moved);
                Ok(())
            })
            .computed()?;
        }
        let mut start = 0;
        let mut heads = Vec::with_capacity(plan.heads.len());
        for (channels, size) in &plan.heads {
            let len = extent.images * channels * size.area();
            let head = if plan.heads.len() == 1 { values.clone() } else { values.narrow(0, start, len).computed()? };
            heads.push(head.reshape((extent.images, *channels, size.height, size.width)).computed()?);
            start += len;
        }
        if mode == Mode::Train {
            self.last = Some(Last { pass, first, images, heads: heads.iter().map(Tensor::id).collect() });
        }
        Ok(heads)
    }

    /// See [`Engine::gradient`]; the tensor belongs to the engine and is overwritten by the next call.
    fn gradient(&mut self, heads: &[Tensor], to_heads: &[Tensor], parameters: &ParamStore) -> Result<Tensor> {
        let ids = heads.iter().map(Tensor::id);
        let Some(Last { pass, first, images, .. }) =
            self.last.as_ref().filter(|last| ids.eq(last.heads.iter().copied()))
        else {
            return Err(Error::input(STALE));
        };
        if !heads.iter().map(Tensor::dims).eq(to_heads.iter().map(Tensor::dims)) {
            return Err(Error::input("the heads' gradients are not of the heads' shapes"));
        }
        let of_part = |tensor: &Tensor| tensor.narrow(0, *first, self.network.lens.0);
        let out = match &self.gradient {
            Some(gradient) => gradient.clone(),
            // Gradients of parameters that no head depends on are never written and stay zero.
            None => self.gradient.insert(parameters.trained().zeros_like().computed()?.detach()).clone(),
        };
        let trained = of_part(parameters.trained()).computed()?;
        let to_heads = to_heads.iter().map(Tensor::contiguous).collect::<candle_core::Result<Vec<_>>>().computed()?;
        let storages: Vec<_> = to_heads.iter().map(Tensor::storage_and_layout).collect();
        let to_heads: Vec<&[f32]> =
            storages.iter().map(|(s, l)| numbers(s, l)).collect::<candle_core::Result<_>>().computed()?;
        change(&of_part(&out).computed()?, |out: &mut [f32]| pass.backward(&trained, images, &to_heads, out))
            .computed()?;
        Ok(out)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // The next pass overwrites the state that a panicking pass leaves.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One forward pass, and the backward pass that may follow, as candle's operation on the trained values `[N]` and
/// images `[B, C, H, W]`; the result is all heads' values, one after another.
#[derive(Clone)]
struct Pass {
    network: Arc<Network>,
    plan: Arc<Plan>,
    instructions: Instructions,
    state: Arc<Mutex<State>>,
    number: u64,
    mode: Mode,
}

impl Pass {
    /// Calls `run` with an executor for the instruction set in use, on a thread of the pool.
    fn run(&self, trained: &[f32], inputs: Inputs) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.arena.reserve(self.plan.arena);
        state.layers.resize(self.network.layers.len(), LayerState::default());
        rayon::scope(|_| with_instructions!(self.instructions, s => self.run_with(s, trained, state, inputs)));
    }

    /// The gradient to the trained values, from each head's gradient; `out` is zero, or this network's last gradient.
    fn backward(
        &self,
        trained: &Tensor,
        images: &Tensor,
        heads: &[&[f32]],
        out: &mut [f32],
    ) -> candle_core::Result<()> {
        if lock(&self.state).differentiable.take() != Some(self.number) {
            bail!("{STALE}");
        }
        read(trained, |trained| {
            read(images, |images| {
                self.run(trained, Inputs::Backward { images, heads, out });
                Ok(())
            })
        })
    }

    fn run_with<S: simd::Simd>(&self, simd: S, trained: &[f32], state: &mut State, inputs: Inputs) {
        let State { arena, layers, statistics, profile, .. } = state;
        let (plan, network) = (&*self.plan, &*self.network);
        let mut executor = Executor { simd, plan, network, memory: arena.start(), trained, layers, profile };
        match inputs {
            Inputs::Forward { images, out } => executor.forward(images, statistics, out, self.mode),
            Inputs::Backward { images, heads, out } => executor.backward(images, heads, out),
        }
    }
}

/// Inputs and outputs of one pass.
enum Inputs<'a> {
    Forward { images: &'a [f32], out: &'a mut [f32] },
    Backward { images: &'a [f32], heads: &'a [&'a [f32]], out: &'a mut [f32] },
}

impl CustomOp2 for Pass {
    fn name(&self) -> &'static str {
        "network"
    }

    fn cpu_fwd(
        &self,
        trained: &CpuStorage,
        trained_layout: &Layout,
        images: &CpuStorage,
        images_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (trained, images) = (cpu_numbers(trained, trained_layout)?, cpu_numbers(images, images_layout)?);
        let len = self.plan.heads.iter().map(|(channels, size)| self.plan.images.images * channels * size.area()).sum();
        let mut out = vec![0.0; len];
        lock(&self.state).differentiable = None;
        self.run(trained, Inputs::Forward { images, out: &mut out });
        if self.mode == Mode::Train {
            lock(&self.state).differentiable = Some(self.number);
        }
        Ok((CpuStorage::F32(out), Shape::from(len)))
    }

    fn bwd(
        &self,
        trained: &Tensor,
        images: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (storage, layout) = gradient.storage_and_layout();
        let mut rest = numbers(&storage, layout)?;
        let lens = self.plan.heads.iter().map(|(channels, size)| self.plan.images.images * channels * size.area());
        let heads: Vec<&[f32]> = lens.filter_map(|len| rest.split_off(..len)).collect();
        let mut out = vec![0.0; self.network.lens.0];
        self.backward(trained, images, &heads, &mut out)?;
        let len = out.len();
        Ok((Some(Tensor::from_vec(out, len, trained.device())?), None))
    }
}
