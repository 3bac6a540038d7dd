//! Trains a module by candle's autograd, as an [`Engine`].

use std::collections::BTreeMap;

use candle_core::{Tensor, TensorId, Var};

use super::module::Module;
use super::pass::{Draws, Pass};
use sweep_core::error::{Error, Result};
use sweep_engine::{Engine, Mode};
use sweep_graph::params::ParamStore;
use sweep_graph::tensors::TensorOperation as _;
use sweep_graph::{ParameterSpec, Role};

/// Runs a module on the device of its tensors.
///
/// In training, every trained parameter is copied to a variable of candle, because autograd knows a gradient by its variable;
/// otherwise the module reads the store's own memory.
pub struct CandleEngine {
    module: Module,
    draws: Option<Draws>,
    last: Option<Recorded>,
}

/// A forward pass that can be differentiated.
struct Recorded {
    maps: Tensor,
    /// The head that was returned for it.
    head: TensorId,
    variables: BTreeMap<String, Var>,
}

impl CandleEngine {
    /// An engine for this module.
    #[must_use]
    pub fn new(module: Module) -> Self {
        Self { module, draws: None, last: None }
    }

    /// Parameters by name: variables, or the store's own memory. Statistics are always variables, so that a batch
    /// normalisation changes them in place.
    fn tensors(
        &self,
        parameters: &ParamStore,
        mode: Mode,
    ) -> Result<(BTreeMap<String, Tensor>, BTreeMap<String, Var>)> {
        let (mut tensors, mut variables) = (BTreeMap::new(), BTreeMap::new());
        for spec in self.module.parameters() {
            let mut tensor = parameters.view(&spec.name)?;
            if mode == Mode::Train && (spec.role.is_trained() || is_statistic(spec)) {
                let variable = Var::from_tensor(&tensor).computed()?;
                tensor = variable.as_tensor().clone();
                variables.insert(spec.name.clone(), variable);
            }
            tensors.insert(spec.name.clone(), tensor);
        }
        Ok((tensors, variables))
    }
}

/// Whether a pass of training changes it.
fn is_statistic(spec: &ParameterSpec) -> bool {
    matches!(spec.role, Role::RunningMean | Role::RunningVariance)
}

/// Writes the running statistics of a pass to the store.
fn keep_statistics(parameters: &ParamStore, variables: &BTreeMap<String, Var>) -> Result<()> {
    let all = parameters.parameters().iter().filter(|parameter| !parameter.spec.role.is_trained());
    let mut changed = false;
    let mut parts = Vec::new();
    for parameter in all {
        let moved = variables.get(&parameter.spec.name).map(Var::as_detached_tensor);
        changed |= moved.is_some();
        parts.push(moved.map_or_else(|| parameters.view(&parameter.spec.name), Ok)?.flatten_all().computed()?);
    }
    if changed {
        parameters.statistics().set(&Tensor::cat(&parts, 0).computed()?).computed()?;
    }
    Ok(())
}

impl Engine for CandleEngine {
    fn draw_from(&mut self, seed: u64, epoch: u64, images: &[usize]) {
        self.draws = Some(Draws { seed, epoch, images: images.to_vec() });
    }

    fn forward(&mut self, images: &Tensor, parameters: &ParamStore, mode: Mode) -> Result<Vec<Tensor>> {
        self.last = None;
        let (count, channels, _, _) = images.dims4().computed()?;
        if channels != self.module.channels() || count == 0 {
            return Err(Error::input(format!("images of shape {:?} do not fit the network", images.dims())));
        }
        let (tensors, variables) = self.tensors(parameters, mode)?;
        let draws = self.draws.take().unwrap_or_else(|| Draws { images: (0..count).collect(), ..Draws::default() });
        let pass = if mode == Mode::Train { Pass::training(&draws) } else { Pass::evaluation() };
        let maps = self.module.run(tensors, images, &pass).map_err(|error| self.module.failed(&error))?;
        let head = maps.detach();
        if mode == Mode::Train {
            keep_statistics(parameters, &variables)?;
            self.last = Some(Recorded { maps, head: head.id(), variables });
        }
        Ok(vec![head])
    }

    fn gradient(&mut self, heads: &[Tensor], to_heads: &[Tensor], parameters: &ParamStore) -> Result<Tensor> {
        let ([head], [to_head]) = (heads, to_heads) else {
            return Err(Error::input(format!("{} gradients of {} heads, not one of one", to_heads.len(), heads.len())));
        };
        let Some(Recorded { maps, variables, .. }) = self.last.take().filter(|last| last.head == head.id()) else {
            return Err(Error::input(sweep_engine::STALE));
        };
        let gradients = (maps * to_head).and_then(|product| product.sum_all()?.backward());
        let gradients = gradients.map_err(|error| self.module.failed(&error))?;
        let flat = parameters.trained();
        let trained = parameters.parameters().iter().filter(|parameter| parameter.spec.role.is_trained());
        let part = |spec: &ParameterSpec| match variables.get(&spec.name).and_then(|variable| gradients.get(variable)) {
            Some(gradient) => gradient.flatten_all(),
            None => Tensor::zeros(spec.len(), flat.dtype(), flat.device()),
        };
        let parts = trained.map(|parameter| part(&parameter.spec)).collect::<candle_core::Result<Vec<_>>>();
        Tensor::cat(&parts.computed()?, 0).computed()
    }
}
