//! The engine that the others are compared with: every operation on its own, with hand-written gradients, on any
//! device.
//!
//! A forward pass computes everything outside candle's autograd and presents the result as one operation on the flat
//! parameter vector; the gradient of this operation runs the pass backwards.

mod composed;
mod gating;
mod kernels;
mod normalisation;
pub(crate) mod ops;
mod pass;
pub(crate) mod sampling;
#[cfg(test)]
mod tests;
mod transposed;

use std::sync::Arc;
use sweep_graph::tensors::TensorOperation as _;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Shape, Storage, Tensor};

use super::{Engine, Mode, check_norms};
use pass::{Named, Pass};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;
use sweep_graph::params::{ParamStore, Parameter};
use sweep_graph::{Graph, Node};

/// Runs a graph node by node.
#[derive(Debug, Clone)]
pub struct Reference {
    graph: Arc<Graph>,
}

impl Reference {
    /// An engine for this graph.
    #[must_use]
    pub fn new(graph: &Graph) -> Self {
        Self { graph: Arc::new(graph.clone()) }
    }
}

impl Engine for Reference {
    fn forward(&mut self, images: &Tensor, parameters: &ParamStore, mode: Mode) -> Result<Vec<Tensor>> {
        check(&self.graph, images, parameters, mode)?;
        // The pass works on a copy: the optimizer may change the parameters before the backward pass.
        let flat = parameters.trained().as_detached_tensor().copy().computed()?;
        let named = named(parameters, &flat)?;
        let pass = Pass::forward(&self.graph, &images.detach().contiguous().computed()?, &named, mode).computed()?;
        let heads = self
            .graph
            .heads()
            .iter()
            .map(|head| pass.map(*head))
            .collect::<candle_core::Result<Vec<_>>>()
            .computed()?;
        if mode == Mode::Evaluate {
            return Ok(heads.into_iter().cloned().collect());
        }
        move_statistics(parameters, &pass)?;
        let shapes: Vec<Shape> = heads.iter().map(|head| head.shape().clone()).collect();
        let flattened =
            heads.iter().map(|head| head.flatten_all()).collect::<candle_core::Result<Vec<_>>>().computed()?;
        let result = Tensor::cat(&flattened, 0).computed()?;
        let layout = parameters.parameters().iter().filter(|p| p.spec.role.is_trained()).cloned().collect();
        let to_images = images.track_op();
        let network = Network {
            graph: self.graph.clone(),
            parameters: named,
            layout,
            pass,
            result,
            shapes: shapes.clone(),
            to_images,
        };
        split(&parameters.trained().apply_op2(images, network).computed()?, &shapes)
    }
}

/// Reports mismatches before anything is computed.
fn check(graph: &Graph, images: &Tensor, parameters: &ParamStore, mode: Mode) -> Result<()> {
    let (count, channels, height, width) = images.dims4().computed()?;
    for node in graph.nodes() {
        if let Node::Input { channels: expected } = node
            && channels != *expected
        {
            return Err(Error::input(format!("the images have {channels} channels, the network reads {expected}")));
        }
    }
    let (dtype, device) = (parameters.trained().dtype(), parameters.trained().device());
    if images.dtype() != dtype || !images.device().same_device(device) {
        return Err(Error::input(format!(
            "the images are {:?} on {:?}, the parameters {dtype:?} on {:?}",
            images.dtype(),
            images.device().location(),
            device.location(),
        )));
    }
    check_norms(graph, &graph.sizes(Size { height, width })?, count, mode)
}

/// Every parameter and running statistic by name, contiguous and detached.
fn named(parameters: &ParamStore, trained: &Tensor) -> Result<Named> {
    let of = |parameter: &Parameter| {
        let flat = if parameter.spec.role.is_trained() { trained } else { parameters.statistics().as_tensor() };
        Ok((parameter.spec.name.clone(), parameters.slice_like(parameter, flat)?))
    };
    parameters.parameters().iter().map(of).collect()
}

/// Replaces the running statistics by those of the pass.
fn move_statistics(parameters: &ParamStore, pass: &Pass) -> Result<()> {
    let all = parameters.parameters().iter().filter(|parameter| !parameter.spec.role.is_trained());
    let now = |parameter: &Parameter| match pass.statistics.get(&parameter.spec.name) {
        Some(moved) => Ok(moved.clone()),
        None => parameters.view(&parameter.spec.name),
    };
    let moved = all.map(now).collect::<Result<Vec<_>>>()?;
    if !moved.is_empty() {
        parameters.statistics().set(&Tensor::cat(&moved, 0).computed()?).computed()?;
    }
    Ok(())
}

/// Splits the concatenated values of the heads.
fn split(flat: &Tensor, shapes: &[Shape]) -> Result<Vec<Tensor>> {
    let mut start = 0;
    shapes
        .iter()
        .map(|shape| {
            let head = flat.narrow(0, start, shape.elem_count()).computed()?.reshape(shape).computed()?;
            start += shape.elem_count();
            Ok(head)
        })
        .collect()
}

/// A whole forward pass as one operation on the flat parameters `[N]` and the images `[B, C, H, W]`; its result is the
/// concatenated values of all heads.
struct Network {
    graph: Arc<Graph>,
    parameters: Named,
    /// The trained parameters in the order of the flat vector.
    layout: Vec<Parameter>,
    pass: Pass,
    result: Tensor,
    shapes: Vec<Shape>,
    /// Whether the gradient to the images is needed.
    to_images: bool,
}

impl Network {
    /// Gradients to the flat parameters and to the images, from the gradient to the result.
    fn gradients(&self, gradient: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        let heads = split(&gradient.contiguous().computed()?, &self.shapes)?;
        let gradients = self.pass.backward(&self.graph, &self.parameters, &heads, self.to_images).computed()?;
        let of = |parameter: &Parameter| match gradients.parameters.get(&parameter.spec.name) {
            Some(gradient) => gradient.flatten_all(),
            None => Tensor::zeros(parameter.spec.len(), gradient.dtype(), gradient.device()),
        };
        let flat = self.layout.iter().map(of).collect::<candle_core::Result<Vec<_>>>().computed()?;
        Ok((Tensor::cat(&flat, 0).computed()?, gradients.images))
    }
}

impl CustomOp2 for Network {
    fn name(&self) -> &'static str {
        "reference-engine"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        match &*self.result.storage_and_layout().0 {
            Storage::Cpu(storage) => Ok((storage.try_clone(self.result.layout())?, self.result.shape().clone())),
            Storage::Cuda(_) | Storage::Metal(_) => candle_core::bail!("the result is not on the CPU"),
        }
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        match &*self.result.storage_and_layout().0 {
            Storage::Cuda(storage) => Ok((storage.try_clone(self.result.layout())?, self.result.shape().clone())),
            Storage::Cpu(_) | Storage::Metal(_) => candle_core::bail!("the result is not on the GPU"),
        }
    }

    fn bwd(
        &self,
        _parameters: &Tensor,
        images: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (flat, to_images) = self.gradients(gradient).map_err(candle_core::Error::wrap)?;
        // A tracked argument needs a gradient, even if nothing depends on it.
        let to_images = if self.to_images { Some(to_images.map_or_else(|| images.zeros_like(), Ok)?) } else { None };
        Ok((Some(flat), to_images))
    }
}
