//! Modules against graphs, against central differences, and against their own promises.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, ModuleT as _, VarBuilder, batch_norm, conv2d, group_norm};
use serde::Deserialize;
use sweep_core::registry::Component as _;
use sweep_core::units::Size;
use sweep_engine::candle_ops::{self, max_pool2d, upsample_nearest2d};
use sweep_engine::{Engine, Mode, Precision};
use sweep_graph::params::ParamStore;

use super::*;
use crate::networks::{Architecture, ModelSpec};
use crate::optim::{Optimizer, OptimizerSpec};

const SAME: Conv2dConfig = Conv2dConfig { padding: 1, stride: 1, dilation: 1, groups: 1, cudnn_fwd_algo: None };

/// U-Net of these filters, as `networks::unet` builds it, with batch normalisation.
struct UNet {
    encoders: Vec<Block>,
    decoders: Vec<(Layer, Block)>,
    head: Conv2d,
}

struct Layer(Conv2d, BatchNorm);
struct Block(Layer, Layer);

#[derive(Deserialize)]
struct Filters {
    filters: Vec<usize>,
}

impl Layer {
    fn new(vb: &VarBuilder<'_>, index: &str, inputs: usize, outputs: usize) -> Result<Self> {
        let convolution = conv2d(inputs, outputs, 3, SAME, vb.pp(format!("conv{index}")))?;
        Ok(Self(convolution, batch_norm(outputs, 1e-5, vb.pp(format!("norm{index}")))?))
    }

    fn forward(&self, map: &Tensor, pass: &Pass) -> Result<Tensor> {
        let map = self.1.forward_t(&map.apply(&self.0)?, pass.is_training())?;
        map.maximum(&(&map * 0.01)?)
    }
}

impl Block {
    fn new(vb: &VarBuilder<'_>, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self(Layer::new(vb, "1", inputs, outputs)?, Layer::new(vb, "2", outputs, outputs)?))
    }

    fn forward(&self, map: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.1.forward(&self.0.forward(map, pass)?, pass)
    }
}

impl CandleNetwork for UNet {
    type Options = Filters;
    const VERSION: u32 = 1;

    fn new(vb: VarBuilder<'_>, Filters { filters }: &Filters, channels: usize, landmarks: usize) -> Result<Self> {
        let inputs = std::iter::once(&channels).chain(filters);
        let encoders = inputs
            .zip(filters)
            .enumerate()
            .map(|(level, (inputs, outputs))| Block::new(&vb.pp(format!("encoder{level}")), *inputs, *outputs));
        let encoders = encoders.collect::<Result<_>>()?;
        let decoders = (0..filters.len() - 1).rev().map(|level| {
            let (here, deeper) = (filters[level], filters[level + 1]);
            let up = Layer::new(&vb.pp(format!("up{level}")), "", deeper, here)?;
            Ok((up, Block::new(&vb.pp(format!("decoder{level}")), 2 * here, here)?))
        });
        let decoders = decoders.collect::<Result<_>>()?;
        Ok(Self {
            encoders,
            decoders,
            head: conv2d(filters[0], landmarks, 1, Conv2dConfig::default(), vb.pp("final"))?,
        })
    }

    fn forward(&self, images: &Tensor, pass: &Pass) -> Result<Tensor> {
        let mut skips: Vec<Tensor> = Vec::new();
        for encoder in &self.encoders {
            let input = skips.last().map_or_else(|| Ok(images.clone()), |above| max_pool2d(above, 2))?;
            skips.push(encoder.forward(&input, pass)?);
        }
        let mut map = skips.pop().unwrap();
        for (up, decoder) in &self.decoders {
            let skip = skips.pop().unwrap();
            let large = upsample_nearest2d(&map, skip.dim(2)?, skip.dim(3)?)?;
            map = decoder.forward(&Tensor::cat(&[skip, up.forward(&large, pass)?], 1)?, pass)?;
        }
        map.apply(&self.head)
    }
}

/// Two layers with an operation between them.
struct Between {
    first: Conv2d,
    second: Conv2d,
    norm: BatchNorm,
    groups: candle_nn::GroupNorm,
    operation: String,
}

#[derive(Deserialize)]
struct Options {
    operation: String,
}

impl CandleNetwork for Between {
    type Options = Options;
    const VERSION: u32 = 3;

    fn new(vb: VarBuilder<'_>, options: &Options, channels: usize, landmarks: usize) -> Result<Self> {
        Ok(Self {
            first: conv2d(channels, 4, 3, SAME, vb.pp("first"))?,
            norm: batch_norm(4, 1e-5, vb.pp("norm"))?,
            groups: group_norm(2, 4, 1e-5, vb.pp("groups"))?,
            second: conv2d(4, landmarks, 3, SAME, vb.pp("second"))?,
            operation: options.operation.clone(),
        })
    }

    fn forward(&self, images: &Tensor, pass: &Pass) -> Result<Tensor> {
        let map = images.apply(&self.first)?;
        let map = self.norm.forward_t(&map, pass.is_training())?.apply(&self.groups)?;
        let (_, _, height, width) = map.dims4()?;
        let small = |map: &Tensor| candle_ops::avg_pool2d(map, 2);
        let back = |map: &Tensor| upsample_nearest2d(map, height, width);
        let map = match self.operation.as_str() {
            "relu" => map.relu()?,
            "gelu" => map.gelu()?,
            "gelu-erf" => map.gelu_erf()?,
            "silu" => map.silu()?,
            "dropout" => pass.dropout(&map, 0.3)?,
            "candle dropout" => candle_nn::Dropout::new(0.3).forward(&map, pass.is_training())?,
            "softmax" => candle_nn::ops::softmax(&map, 1)?,
            "fast softmax" => candle_nn::ops::softmax_last_dim(&map.contiguous()?)?,
            "fast softmax beside" => (candle_nn::ops::softmax_last_dim(&map.contiguous()?)? + map)?,
            "max" => back(&max_pool2d(&map, 2)?)?,
            "max, nearest, then ours" => {
                let relu = map.relu()?;
                (back(&max_pool2d(&relu, 2)?)? + upsample_nearest2d(&relu, height, width)?)?
            }
            "candle max" => back(&map.max_pool2d(2)?)?,
            "candle max 3" => back(&map.max_pool2d_with_stride(3, 2)?)?,
            "candle bilinear" => small(&map)?.upsample_bilinear2d(height, width, false)?,
            "candle mean" => back(&map.avg_pool2d(2)?)?,
            "candle mean of thirds" => back(&map.avg_pool2d(3)?)?,
            "candle nearest once" => small(&map)?.upsample_nearest2d(height, width)?,
            "candle nearest" => {
                // The gradients of later uses come first, and that of the upsampling in their place.
                let small = small(&map)?;
                let large = small.upsample_nearest2d(height, width)?;
                (large + back(&(&small * 2.0)?)?)?
            }
            "both" => {
                let small = max_pool2d(&map, 2)?;
                let large = small.upsample_nearest2d(height, width)?;
                (large + back(&(&small * 2.0)?)?)?
            }
            "detached" => map.detach(),
            other => candle_core::bail!("no operation {other}"),
        };
        map.apply(&self.second)
    }

    fn is_trained(options: &Options, parameter: &str) -> bool {
        options.operation != "detached" || !parameter.starts_with("groups.")
    }
}

fn module<N: CandleNetwork>(options: N::Options) -> Module {
    Module::new(network::with_options::<N>(options), "own", 1, 3, true).unwrap()
}

fn between(operation: &str) -> Module {
    module::<Between>(Options { operation: operation.to_owned() })
}

fn images(seed: u64, channels: usize) -> Tensor {
    let values: Vec<f32> = (0..2 * channels * 20 * 12).map(|i| (i as u64 * (37 + seed) % 101) as f32 / 101.0).collect();
    Tensor::from_vec(values, (2, channels, 20, 12), &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn deviation(a: &Tensor, b: &Tensor) -> f32 {
    numbers(a).iter().zip(numbers(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// One step towards maps that are a copy of the image; the loss before it.
fn step(engine: &mut dyn Engine, parameters: &ParamStore, optimizer: &mut Optimizer, step: u64) -> f64 {
    let images = images(step, 1);
    let heads = engine.forward(&images, parameters, Mode::Train).unwrap();
    let difference = heads[0].broadcast_sub(&images).unwrap();
    let count = difference.elem_count() as f64;
    let gradient = engine.gradient(&heads, &[(&difference * (2.0 / count)).unwrap()], parameters).unwrap();
    optimizer.step(parameters.trained(), &gradient, 1.0, 0.003).unwrap();
    f64::from(difference.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap())
}

#[test]
fn a_module_is_the_graph_of_the_same_network() {
    let spec: ModelSpec = toml::from_str("name = 'unet'\nfilters = [4, 6, 8]\nnorm = { name = 'batch' }").unwrap();
    let graph = Architecture::Graph(spec.graph(1, 3).unwrap());
    let of_graph = ParamStore::of(graph.parameters(), 5, DType::F32, &Device::Cpu).unwrap();
    let module = Architecture::Module(module::<UNet>(Filters { filters: vec![4, 6, 8] }));
    let of_module = ParamStore::zeros(module.parameters(), DType::F32, &Device::Cpu).unwrap();
    of_module.load(&of_graph.named().unwrap()).unwrap();
    let adamw: OptimizerSpec = toml::from_str("name = 'adamw'\nlr = 0.003").unwrap();
    let mut sides = [(graph, of_graph), (module, of_module)].map(|(network, parameters)| {
        let optimizer = Optimizer::new(adamw, parameters.trained()).unwrap();
        (network.engine(Precision::Fp32, &Device::Cpu).unwrap(), parameters, optimizer)
    });
    for epoch in 0..30 {
        let maps = sides.each_mut().map(|(engine, parameters, _)| {
            engine.forward(&images(7, 1), parameters, Mode::Evaluate).unwrap().remove(0)
        });
        let [graph, module] =
            sides.each_mut().map(|(engine, parameters, optimizer)| step(engine.as_mut(), parameters, optimizer, epoch));
        // Later, rounding in another order is amplified by the optimizer, which divides by small moments.
        let deviation = deviation(&maps[0], &maps[1]);
        assert!(epoch > 0 || deviation < 1e-5, "{deviation}");
        assert!((graph - module).abs() < 1e-4 * (1.0 + graph), "step {epoch}: {graph} and {module}");
    }
    // The running statistics moved, too, and alike.
    let [a, b] = [&sides[0].1, &sides[1].1].map(|p| p.view("encoder0.norm1.running_var").unwrap());
    assert!(deviation(&a, &b) < 1e-3 && deviation(&a, &a.ones_like().unwrap()) > 1e-2, "{a} {b}");
}

#[test]
fn right_gradients_pass() {
    let of = |module: &Module, seed| {
        let parameters = ParamStore::of(module.parameters().to_vec(), seed, DType::F32, &Device::Cpu).unwrap();
        check_gradients(module, &parameters, Size { height: 20, width: 12 }, seed)
    };
    for operation in [
        "relu",
        "gelu",
        "gelu-erf",
        "silu",
        "dropout",
        "softmax",
        "max",
        "max, nearest, then ours",
        "candle nearest once",
        "candle mean",
    ] {
        for seed in 0..2 {
            of(&between(operation), seed).unwrap_or_else(|error| panic!("{operation}: {error}"));
        }
    }
    for seed in 0..2 {
        of(&module::<UNet>(Filters { filters: vec![3, 4, 6, 8] }), seed).unwrap();
    }
}

#[test]
fn wrong_gradients_are_found_and_named() {
    for (operation, cause, remedy) in [
        ("candle max", "candle's max_pool2d of [2, 4, 64, 64] to [2, 4, 32, 32]", "candle_ops::max_pool2d"),
        ("candle mean of thirds", "candle's avg_pool2d of [2, 4, 64, 64] to [2, 4, 21, 21]", "candle_ops::avg_pool2d"),
        ("candle nearest", "candle's upsample_nearest2d of [2, 4, 32, 32]", "candle_ops::upsample_nearest2d"),
        ("both", "candle's upsample_nearest2d of [2, 4, 32, 32] to [2, 4, 64, 64]", "candle_ops::upsample_nearest2d"),
        ("candle max 3", "backward not supported for maxpool2d", "candle_ops::max_pool2d_with_stride"),
        ("candle bilinear", "backward not supported for upsample_bilinear2d", "candle_ops::upsample_bilinear2d"),
        ("fast softmax", "passes no gradient on; `second.bias` has the right one", "candle_nn::ops::softmax, "),
        ("fast softmax beside", "has the right one", "not softmax_last_dim"),
        ("detached", "passes no gradient on; `second.bias` has the right one", "CandleNetwork::is_trained"),
        ("candle dropout", "two runs of the candle network `own` on the same images differ", "Pass::dropout"),
    ] {
        let module = between(operation);
        let parameters = ParamStore::of(module.parameters().to_vec(), 4, DType::F32, &Device::Cpu).unwrap();
        let error = check_gradients(&module, &parameters, Size { height: 20, width: 12 }, 4).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(cause) && text.contains(remedy), "{operation}: {text}");
        if text.contains("the cause is") {
            assert!(text.contains("`first.weight`") && !text.contains("`second.weight`"), "{operation}: {text}");
            assert_eq!(text.matches("candle's ").count(), 2, "one operation, of several: {text}");
        }
    }
}

#[test]
fn dropout_depends_on_seed_epoch_and_image_alone() {
    let module = between("dropout");
    let parameters = ParamStore::of(module.parameters().to_vec(), 4, DType::F32, &Device::Cpu).unwrap();
    let mut engine = CandleEngine::new(module);
    let mut maps = |seed, epoch, indices: &[usize]| {
        engine.draw_from(seed, epoch, indices);
        numbers(&engine.forward(&images(1, 1), &parameters, Mode::Train).unwrap()[0])
    };
    let first = maps(1, 2, &[5, 9]);
    assert_eq!(first, maps(1, 2, &[5, 9]));
    for other in [maps(0, 2, &[5, 9]), maps(1, 3, &[5, 9]), maps(1, 2, &[6, 9])] {
        assert_ne!(first, other);
    }
    let ones = Tensor::ones((2, 1000), DType::F32, &Device::Cpu).unwrap();
    let pass = Pass::training(&Draws { images: vec![0, 1], ..Draws::default() });
    let dropped = numbers(&pass.dropout(&ones, 0.25).unwrap());
    let zeros = dropped.iter().filter(|value| **value <= 0.0).count();
    assert!((400..600).contains(&zeros) && dropped.iter().all(|v| *v <= 0.0 || (*v - 4.0 / 3.0).abs() < 1e-6));
    assert_eq!(numbers(&Pass::evaluation().dropout(&ones, 0.25).unwrap()), numbers(&ones));
    assert!(pass.dropout(&ones, 1.0).is_err());
}

#[test]
fn what_changes_a_network_changes_its_version() {
    let version =
        |filters: &[usize]| network::with_options::<UNet>(Filters { filters: filters.to_vec() }).version().unwrap();
    // Part of trials' names: the text of a parameter must never change.
    assert_eq!(version(&[4, 6]).as_deref(), Some("1-694b41cab7fe966a"));
    assert_eq!(version(&[4, 6]), version(&[4, 6]));
    assert_ne!(version(&[4, 6]), version(&[4, 7]));
    assert_ne!(version(&[4, 6]), version(&[4, 6, 8]));
    let [all, some] = ["relu", "detached"].map(|operation| {
        network::with_options::<Between>(Options { operation: operation.to_owned() }).version().unwrap().unwrap()
    });
    assert!(all.starts_with("3-") && all != some, "what is trained counts");
}

#[test]
fn a_pass_is_measured_and_foreign_outputs_are_refused() {
    let size = Size { height: 20, width: 12 };
    let bytes =
        |filters: &[usize]| module::<UNet>(Filters { filters: filters.to_vec() }).bytes_per_image(size).unwrap();
    let (small, large) = (bytes(&[4, 6]), bytes(&[8, 12]));
    // At the least the results of seven layers: a convolution, its normalisation and its activation.
    assert!(small > 3 * 4 * 4 * 5 * 20 * 12 && large > 3 * small / 2 && large < 3 * small, "{small} {large}");
    let error = between("none").bytes_per_image(size).unwrap_err();
    assert!(error.message.contains("`own` failed: no operation none"), "{error}");
}
