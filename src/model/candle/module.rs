//! A registered network for given images and landmarks: its parameters, and how it runs on them.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device, Result, Storage, Tensor, Var, bail};

use super::builder;
use super::network::AnyCandleNetwork;
use super::pass::{Draws, Pass};
use sweep_core::error::{Error, Kind};
use sweep_core::units::Size;
use sweep_graph::ParameterSpec;

/// A network written with candle, for given numbers of channels and landmarks.
#[derive(Clone)]
pub struct Module {
    network: Arc<dyn AnyCandleNetwork>,
    kind: String,
    channels: usize,
    landmarks: usize,
    /// Put before the names of its parameters, for a network that is one of several.
    prefix: String,
    parameters: Vec<ParameterSpec>,
    check_gradients: bool,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, channels, landmarks, prefix, .. } = self;
        write!(f, "Module {{ kind: {kind:?}, channels: {channels}, landmarks: {landmarks}, prefix: {prefix:?} }}")
    }
}

impl Module {
    /// A network that a program registered as `kind`.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn new(
        network: Arc<dyn AnyCandleNetwork>,
        kind: &str,
        channels: usize,
        landmarks: usize,
        check_gradients: bool,
    ) -> sweep_core::error::Result<Self> {
        let parameters = builder::parameters(network.as_ref(), [channels, landmarks]).map_err(|error| {
            let what = format!("candle cannot build the network `{kind}` for {channels} channels: {error}");
            Error::definition(what).at("kind")
        })?;
        let (kind, prefix) = (kind.to_owned(), String::new());
        Ok(Self { network, kind, channels, landmarks, prefix, parameters, check_gradients })
    }

    /// The same network with a prefix before every parameter's name.
    #[must_use]
    pub(crate) fn prefixed(mut self, prefix: &str) -> Self {
        self.parameters.iter_mut().for_each(|parameter| parameter.name.insert_str(0, prefix));
        self.prefix.insert_str(0, prefix);
        self
    }

    /// Its name in the program.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Channels of the images it reads.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Number of maps of its output.
    #[must_use]
    pub fn landmarks(&self) -> usize {
        self.landmarks
    }

    /// Every parameter, in the order in which the network asks for them.
    #[must_use]
    pub fn parameters(&self) -> &[ParameterSpec] {
        &self.parameters
    }

    /// Whether its gradients are checked before it is trained.
    #[must_use]
    pub fn checks_gradients(&self) -> bool {
        self.check_gradients
    }

    /// Heatmaps `[B, landmarks, H, W]` of images `[B, channels, H, W]`, from parameters by their names in
    /// [`Self::parameters`].
    ///
    /// # Errors
    /// When a tensor operation fails, or the result is not of this shape.
    pub(super) fn run(&self, tensors: BTreeMap<String, Tensor>, images: &Tensor, pass: &Pass) -> Result<Tensor> {
        let own = |(name, tensor): (String, Tensor)| (name[self.prefix.len()..].to_owned(), tensor);
        let tensors = tensors.into_iter().map(own).collect();
        let vb = builder::serve(tensors, images.dtype(), images.device());
        let maps = self.network.run(vb, [self.channels, self.landmarks], Some((images, pass)))?;
        let Some(maps) = maps else { bail!("the network has no output") };
        let (batch, _, height, width) = images.dims4()?;
        let wanted = [batch, self.landmarks, height, width];
        if maps.dims() != wanted || maps.dtype() != images.dtype() {
            bail!(
                "its output is {:?} of {:?}, and a map per landmark of the images' size is {wanted:?} of {:?}",
                maps.dims(),
                maps.dtype(),
                images.dtype()
            );
        }
        maps.contiguous()
    }

    /// Bytes of all tensors that a training pass holds for one image of this size, without the parameters: measured by a
    /// pass over two images. The pass also shows whether the network runs.
    ///
    /// # Errors
    /// When the network fails on such images.
    pub fn bytes_per_image(&self, size: Size) -> sweep_core::error::Result<usize> {
        const IMAGES: usize = 2;
        let measured = || -> Result<usize> {
            let zeros = |spec: &ParameterSpec| {
                Ok((
                    spec.name.clone(),
                    Var::zeros(spec.shape.as_slice(), DType::F32, &Device::Cpu)?.as_tensor().clone(),
                ))
            };
            let tensors: BTreeMap<String, Tensor> = self.parameters.iter().map(zeros).collect::<Result<_>>()?;
            let parameters: HashSet<usize> = tensors.values().map(|tensor| address(tensor).0).collect();
            let shape = (IMAGES, self.channels, size.height, size.width);
            let images = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
            let draws = Draws { images: (0..IMAGES).collect(), ..Draws::default() };
            let maps = self.run(tensors, &images, &Pass::training(&draws))?;
            let mut seen = parameters;
            let sizes = maps.sorted_nodes().into_iter().map(address).filter(|(at, _)| seen.insert(*at));
            Ok(sizes.map(|(_, bytes)| bytes).sum::<usize>() / IMAGES)
        };
        measured().map_err(|error| self.failed(&error))
    }

    /// The error of a pass that failed.
    pub(super) fn failed(&self, error: &candle_core::Error) -> Error {
        let error = Error::new(Kind::Computation, format!("the candle network `{}` failed: {error}", self.kind));
        match super::suspects::remedy_for(&error.message) {
            Some(remedy) => error.remedy(remedy),
            None => error,
        }
    }
}

/// Where a tensor's storage lies, by which tensors that share it are known, and its bytes.
fn address(tensor: &Tensor) -> (usize, usize) {
    let (storage, _) = tensor.storage_and_layout();
    let storage: &Storage = &storage;
    (std::ptr::from_ref(storage) as usize, tensor.elem_count() * tensor.dtype().size_in_bytes())
}
