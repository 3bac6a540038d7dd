//! The trait of a network written with candle, and how a program registers one.

use std::marker::PhantomData;
use std::sync::Arc;

use candle_core::Tensor;
use candle_nn::VarBuilder;
use serde::de::DeserializeOwned;

use super::builder;
use super::pass::Pass;
use sweep_core::error::{Error, Result};
use sweep_core::registry::{Component, Registry};
use sweep_graph::{InitialValues, ParameterSpec, Role};

/// A network written with candle.
///
/// It is built anew for every pass: what it changes in itself is lost, except the running statistics of its
/// `candle_nn::BatchNorm`s. Everything it computes depends on its parameters, the images and the [`Pass`] alone.
///
/// ```
/// # mod landmark_sweep {
/// #     pub use sweep_engine::candle_ops;
/// #     pub use sweep_model::candle;
/// # }
/// use candle_core::{Result, Tensor};
/// use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, ModuleT, VarBuilder, batch_norm, conv2d};
/// use landmark_sweep::candle::{CandleNetwork, Pass};
/// use landmark_sweep::candle_ops::{max_pool2d, upsample_nearest2d};
/// use serde::Deserialize;
///
/// /// `model = { name = "candle", kind = "hourglass", options = { filters = 16 } }`
/// struct Hourglass {
///     fine: Conv2d,
///     norm: BatchNorm,
///     deep: Conv2d,
///     head: Conv2d,
/// }
///
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Options {
///     filters: usize,
/// }
///
/// impl CandleNetwork for Hourglass {
///     type Options = Options;
///     const VERSION: u32 = 1;
///
///     fn new(vb: VarBuilder<'_>, options: &Options, channels: usize, landmarks: usize) -> Result<Self> {
///         let (filters, same) = (options.filters, Conv2dConfig { padding: 1, ..Conv2dConfig::default() });
///         Ok(Self {
///             fine: conv2d(channels, filters, 3, same, vb.pp("fine"))?,
///             norm: batch_norm(filters, 1e-5, vb.pp("norm"))?,
///             deep: conv2d(filters, filters, 3, same, vb.pp("deep"))?,
///             head: conv2d(filters, landmarks, 1, Conv2dConfig::default(), vb.pp("head"))?,
///         })
///     }
///
///     fn forward(&self, images: &Tensor, pass: &Pass) -> Result<Tensor> {
///         let (_, _, height, width) = images.dims4()?;
///         let fine = self.norm.forward_t(&images.apply(&self.fine)?, pass.is_training())?.relu()?;
///         let deep = max_pool2d(&fine, 2)?.apply(&self.deep)?.relu()?;
///         let both = (upsample_nearest2d(&deep, height, width)? + fine)?;
///         both.apply(&self.head)
///     }
/// }
///
/// // A program registers it: Program::new().candle_network::<Hourglass>("hourglass").main()
/// # fn main() {
/// #     sweep_model::candle::add_candle_network::<Hourglass>("hourglass").unwrap();
/// # }
/// ```
pub trait CandleNetwork: Sized + 'static {
    /// Its options in a definition.
    type Options: DeserializeOwned + Send + Sync + 'static;

    /// Part of a trial's identity, beside names, shapes and initial values of the parameters. Raise it whenever a change of
    /// the code changes results.
    const VERSION: u32;

    /// Builds the network for images `[B, channels, H, W]`. Its parameters are what it asks of `vb`, in that order; they
    /// start as the hints of candle's layers say, drawn from the trial's seed. `running_mean` and `running_var` are
    /// statistics, which are not trained.
    ///
    /// # Errors
    /// When a parameter or an option is impossible.
    fn new(vb: VarBuilder<'_>, options: &Self::Options, channels: usize, landmarks: usize)
    -> candle_core::Result<Self>;

    /// `[B, channels, H, W]` → heatmaps `[B, landmarks, H, W]`.
    ///
    /// # Errors
    /// When a tensor operation fails.
    fn forward(&self, images: &Tensor, pass: &Pass) -> candle_core::Result<Tensor>;

    /// Checks what the types of the options cannot.
    ///
    /// # Errors
    /// When an option has an impossible value; its name is the error's location.
    fn check(_options: &Self::Options) -> Result<()> {
        Ok(())
    }

    /// Whether the optimizer trains a parameter, by its name. One that is not trained keeps its values (up to
    /// rounding, in averaged weights), and candle computes no gradient to it.
    fn is_trained(_options: &Self::Options, _parameter: &str) -> bool {
        true
    }
}

/// A [`CandleNetwork`] with its options, whatever its type.
pub trait AnyCandleNetwork: Send + Sync + 'static {
    /// Builds the network for these numbers of channels and landmarks; runs it if there are images.
    ///
    /// # Errors
    /// Same errors as [`CandleNetwork::new`] and [`CandleNetwork::forward`].
    fn run(
        &self,
        vb: VarBuilder<'_>,
        size: [usize; 2],
        pass: Option<(&Tensor, &Pass)>,
    ) -> candle_core::Result<Option<Tensor>>;

    /// [`CandleNetwork::check`].
    ///
    /// # Errors
    /// Same errors.
    fn check_options(&self) -> Result<()>;

    /// [`CandleNetwork::VERSION`].
    fn version_number(&self) -> u32;

    /// [`CandleNetwork::is_trained`].
    fn is_trained(&self, parameter: &str) -> bool;
}

struct WithOptions<N: CandleNetwork> {
    options: N::Options,
    network: PhantomData<fn() -> N>,
}

impl<N: CandleNetwork> AnyCandleNetwork for WithOptions<N> {
    fn run(
        &self,
        vb: VarBuilder<'_>,
        [channels, landmarks]: [usize; 2],
        pass: Option<(&Tensor, &Pass)>,
    ) -> candle_core::Result<Option<Tensor>> {
        let network = N::new(vb, &self.options, channels, landmarks)?;
        pass.map(|(images, pass)| network.forward(images, pass)).transpose()
    }

    fn check_options(&self) -> Result<()> {
        N::check(&self.options)
    }

    fn version_number(&self) -> u32 {
        N::VERSION
    }

    fn is_trained(&self, parameter: &str) -> bool {
        N::is_trained(&self.options, parameter)
    }
}

/// Registers a network written with candle under a name.
///
/// # Errors
/// When the name is taken.
pub fn add_candle_network<N: CandleNetwork>(kind: &str) -> Result<()> {
    <dyn AnyCandleNetwork>::registry().register(kind, with_options::<N>)
}

/// A network with its options.
pub(super) fn with_options<N: CandleNetwork>(options: N::Options) -> Arc<dyn AnyCandleNetwork> {
    Arc::new(WithOptions::<N> { options, network: PhantomData })
}

impl Component for dyn AnyCandleNetwork {
    const NAME: &'static str = "candle network";

    fn registry() -> &'static Registry<Self> {
        static REGISTRY: Registry<dyn AnyCandleNetwork> = Registry::new();
        &REGISTRY
    }

    fn check(&self) -> Result<()> {
        self.check_options()?;
        any_parameters(self, 1).map(|_| ())
    }

    /// The network's own version, and the first digits of a hash of its parameters for a number of landmarks that no other
    /// number is likely to equal.
    fn version(&self) -> Result<Option<String>> {
        const LANDMARKS: usize = 7;
        let text: Vec<String> = any_parameters(self, LANDMARKS)?.iter().map(parameter_text).collect();
        let hash = blake3::hash(text.join("\n").as_bytes()).to_hex();
        Ok(Some(format!("{}-{}", self.version_number(), &hash[..16])))
    }
}

/// The parameters for grey images, or for images in colour if there is no such network for grey ones.
fn any_parameters(network: &dyn AnyCandleNetwork, landmarks: usize) -> Result<Vec<ParameterSpec>> {
    let grey = builder::parameters(network, [1, landmarks]);
    let found = grey.or_else(|error| builder::parameters(network, [3, landmarks]).map_err(|_| error));
    found.map_err(|error| Error::definition(format!("candle cannot build it: {error}")))
}

/// Text of everything in a parameter; it stays the same across versions of this crate.
fn parameter_text(ParameterSpec { name, shape, role }: &ParameterSpec) -> String {
    let role = match role {
        Role::OfModule { values, trained } => {
            let values = match values {
                InitialValues::Constant(value) => format!("constant {value}"),
                InitialValues::Normal { mean, deviation } => format!("normal {mean} {deviation}"),
                InitialValues::Uniform { low, high } => format!("uniform {low} {high}"),
            };
            format!("{values} {}", if *trained { "trained" } else { "kept" })
        }
        _ => "statistic".to_owned(),
    };
    format!("{name:?} {shape:?} {role}")
}
