//! Agreement with PyTorch: output, loss, gradients, five steps of AdamW, and the same names in a state dict.
//!
//! `scripts/parity.py` writes the fixtures; the metadata of each names the version of torch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::{DType, Device, Tensor};
use landmark_sweep::device::{self, Choice};
use landmark_sweep::engine::reference::Reference;
use landmark_sweep::engine::{self, Engine, Mode, Precision};
use landmark_sweep::graph::Graph;
use landmark_sweep::networks::ModelSpec;
use landmark_sweep::optim::{Optimizer, OptimizerSpec};
use landmark_sweep::params::ParamStore;
use safetensors::SafeTensors;
use sweep_testing::{Need, torch};

const FIXTURES: [&str; 19] = [
    "unetpp",
    "unetpp-odd",
    "unetpp-deep",
    "unetpp-group",
    "unetpp-scn",
    "unet",
    "unet-odd",
    "unet-group",
    "unet-scn",
    "unet-transposed",
    "unet-resnet18",
    "unet-resnet18-odd",
    "unet-resnet34",
    "unet-efficientnet-lite0",
    "unet-efficientnet-b0",
    "hrnet-w18",
    "attention-unet",
    "attention-unet-group",
    "deeplabv3+",
];
/// Networks that differ from another in their default sizes alone.
const ALIKE: [(&str, &str); 5] = [
    ("unet-efficientnet-b1", "unet-efficientnet-b0"),
    ("unet-efficientnet-b2", "unet-efficientnet-b0"),
    ("unet-efficientnet-lite1", "unet-efficientnet-lite0"),
    ("unet-efficientnet-lite2", "unet-efficientnet-lite0"),
    ("hrnet-w32", "hrnet-w18"),
];
/// AdamW as the fixtures used it; PyTorch's other defaults.
const STEPS: i32 = 5;
const LEARNING_RATE: f64 = 1e-3;
const WEIGHT_DECAY: f64 = 0.01;
/// A gradient that is zero in exact arithmetic (a bias before a batch normalisation) is compared by its size relative
/// to the largest gradient of the network.
const ZERO: f64 = 1e-12;

/// Description of a network in a fixture.
#[derive(serde::Deserialize)]
struct Network {
    model: ModelSpec,
    channels: usize,
    landmarks: usize,
    torch: String,
}

/// Every network has a fixture, and a twin in plain PyTorch. A model of two stages is two of them.
#[test]
fn no_network_is_left_out() {
    let twins = std::fs::read_to_string(sweep_testing::repository().join("scripts/pytorch_networks.py")).unwrap();
    let fixtures: Vec<String> = FIXTURES.iter().map(|fixture| Fixture::read(fixture).model()).collect();
    for network in ModelSpec::examples() {
        let name = name(&network);
        if !["two-stage", "custom", "candle"].contains(&name.as_str()) {
            let one = ALIKE.iter().find(|(other, _)| *other == name).map_or(name.as_str(), |(_, one)| one);
            assert!(fixtures.iter().any(|fixture| fixture == one), "{name} has no fixture: see scripts/parity.py");
            assert!(twins.contains(&format!("\"{name}\":")), "{name} is not in scripts/pytorch_networks.py");
        }
    }
}

/// Name in a definition.
fn name(network: &ModelSpec) -> String {
    serde_json::to_value(network).unwrap()["name"].as_str().unwrap().to_owned()
}

/// PyTorch's results for a network.
struct Fixture {
    name: &'static str,
    metadata: HashMap<String, String>,
    torch: String,
    tensors: BTreeMap<String, Tensor>,
    graph: Graph,
}

impl Fixture {
    fn read(name: &'static str) -> Self {
        let file = format!("tests/fixtures/parity/{name}.safetensors");
        // The repository at run time may be elsewhere than at build time.
        let package = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
        let bytes = std::fs::read(Path::new(&package).join(file)).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        let network: Network = serde_json::from_str(&metadata["network"]).unwrap();
        let graph = network.model.graph(network.channels, network.landmarks).unwrap();
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap().into_iter().collect();
        Self { name, metadata, torch: network.torch, tensors, graph }
    }

    /// Name of the network.
    fn model(&self) -> String {
        let network: Network = serde_json::from_str(&self.metadata["network"]).unwrap();
        name(&network.model)
    }

    fn tensor(&self, name: &str, dtype: DType) -> Tensor {
        self.tensors[name].to_dtype(dtype).unwrap()
    }

    fn values(&self, name: &str) -> Vec<f64> {
        values(&self.tensors[name])
    }

    /// The tensors under `prefix/`, without it.
    fn named(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let under = |(name, tensor): (&String, &Tensor)| {
            Some((name.strip_prefix(prefix)?.strip_prefix('/')?.to_owned(), tensor.clone()))
        };
        self.tensors.iter().filter_map(under).collect()
    }

    /// Our network with PyTorch's initial weights.
    fn start(&self, dtype: DType) -> (ParamStore, Box<dyn Engine + Send>) {
        self.start_on(dtype, &Device::Cpu)
    }

    fn start_on(&self, dtype: DType, device: &Device) -> (ParamStore, Box<dyn Engine + Send>) {
        let parameters = ParamStore::initialise(&self.graph, 0, dtype, device).unwrap();
        parameters.load(&self.named("initial")).unwrap();
        (parameters, engine::build(&self.graph, dtype, Precision::Fp32, device).unwrap())
    }

    /// Heads `[N, B, K, H, W]`, loss and flat gradient of one training pass.
    fn step(&self, parameters: &ParamStore, engine: &mut dyn Engine) -> (Tensor, f64, Tensor) {
        let dtype = parameters.trained().dtype();
        let (images, target) = (self.tensor("images", dtype), self.tensor("target", dtype));
        let device = parameters.trained().device();
        let heads = engine.forward(&images.to_device(device).unwrap(), parameters, Mode::Train).unwrap();
        if device.is_cuda() {
            return Self::step_on_gpu(parameters, engine, &heads, &target);
        }
        let heads = Tensor::stack(&heads, 0).unwrap();
        let loss = heads.broadcast_sub(&target).unwrap().abs().unwrap().mean_all().unwrap();
        let gradients = loss.backward().unwrap();
        let value = values(&loss)[0];
        (heads.detach(), value, gradients.get(parameters.trained()).unwrap().clone())
    }

    /// The same loss without candle's autograd: its gradient is written by hand.
    fn step_on_gpu(
        parameters: &ParamStore,
        engine: &mut dyn Engine,
        heads: &[Tensor],
        target: &Tensor,
    ) -> (Tensor, f64, Tensor) {
        let here: Vec<Tensor> = heads.iter().map(|head| head.to_device(&Device::Cpu).unwrap()).collect();
        let stacked = Tensor::stack(&here, 0).unwrap();
        let values_of_all = stacked.elem_count() as f64;
        let loss = stacked.broadcast_sub(target).unwrap().abs().unwrap().mean_all().unwrap();
        let signs = |head: &Tensor| {
            let sign = head.broadcast_sub(target).unwrap().sign().unwrap();
            sign.affine(1.0 / values_of_all, 0.0).unwrap().to_device(parameters.trained().device()).unwrap()
        };
        let to_heads: Vec<Tensor> = here.iter().map(signs).collect();
        let gradient = engine.gradient(heads, &to_heads, parameters).unwrap();
        (stacked, values(&loss)[0], gradient.to_device(&Device::Cpu).unwrap())
    }
}

/// The GPU, if tests should use it (scripts/gpu-check.sh).
fn gpu() -> Option<Device> {
    let switch = std::env::var_os("LANDMARK_SWEEP_TEST_GPU");
    Need::Gpu.met(switch.ok_or_else(|| "LANDMARK_SWEEP_TEST_GPU is not set".to_owned()))?;
    Some(device::open(Choice::Cuda(0)).unwrap().0)
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Largest difference of two rows of values.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    assert!(differences.iter().all(|difference| difference.is_finite()));
    largest(&differences)
}

/// Largest difference, relative to the largest expected value.
fn deviation(found: &[f64], expected: &[f64]) -> f64 {
    distance(found, expected) / largest(expected)
}

/// Largest gradient of the whole network.
fn scale(gradients: &BTreeMap<String, Tensor>) -> f64 {
    gradients.values().map(|gradient| largest(&values(gradient))).fold(0.0, f64::max)
}

#[test]
fn f64_equals_pytorch() {
    for fixture in FIXTURES.map(Fixture::read) {
        let (parameters, mut engine) = fixture.start(DType::F64);
        let images = fixture.tensor("images", DType::F64);
        let evaluated = engine.forward(&images, &parameters, Mode::Evaluate).unwrap();
        let (output, loss, flat) = fixture.step(&parameters, engine.as_mut());
        let expected = fixture.named("f64/gradient");
        let scale = scale(&expected);
        let mut worst = 0.0f64;
        for parameter in parameters.parameters().iter().filter(|p| p.spec.role.is_trained()) {
            let name = &parameter.spec.name;
            let gradient = values(&parameters.slice_like(parameter, &flat).unwrap());
            let expected = values(&expected[name]);
            if largest(&expected) > ZERO * scale {
                let deviation = deviation(&gradient, &expected);
                assert!(deviation < 1e-8, "{} {name}: {deviation:e}", fixture.name);
                worst = worst.max(deviation);
            } else {
                assert!(largest(&gradient) < ZERO * scale, "{} {name}", fixture.name);
            }
        }
        let figures = [
            ("evaluated", deviation(&values(evaluated.last().unwrap()), &fixture.values("f64/evaluated"))),
            ("output", deviation(&values(&output), &fixture.values("f64/output"))),
            ("loss", deviation(&[loss], &fixture.values("f64/loss"))),
            ("gradients", worst),
        ];
        println!("{} (torch {}): {figures:?}", fixture.name, fixture.torch);
        for (what, deviation) in figures {
            assert!(deviation < 1e-8, "{} {what}: {deviation:e}", fixture.name);
        }
    }
}

#[test]
fn five_steps_of_adamw_in_f64_equal_pytorch() {
    let spec = OptimizerSpec::Adamw { lr: LEARNING_RATE, weight_decay: WEIGHT_DECAY, betas: [0.9, 0.999], eps: 1e-8 };
    for fixture in FIXTURES.map(Fixture::read) {
        let (parameters, mut engine) = fixture.start(DType::F64);
        let mut optimizer = Optimizer::new(spec, parameters.trained()).unwrap();
        for _ in 0..STEPS {
            let (_, _, gradient) = fixture.step(&parameters, engine.as_mut());
            optimizer.step(parameters.trained(), &gradient, 1.0, LEARNING_RATE).unwrap();
        }
        let initial = fixture.named("f64/gradient");
        let scale = scale(&initial);
        let mut worst = 0.0f64;
        for (name, expected) in fixture.named("stepped") {
            // Adam divides a gradient by its own size: a gradient that is only rounding error moves its weight
            // anywhere.
            let rounding = initial.get(&name).is_some_and(|gradient| largest(&values(gradient)) < ZERO * scale);
            if rounding {
                continue;
            }
            let deviation = deviation(&values(&parameters.view(&name).unwrap()), &values(&expected));
            assert!(deviation < 1e-8, "{} {name}: {deviation:e}", fixture.name);
            worst = worst.max(deviation);
        }
        println!("{}: parameters after {STEPS} steps {worst:e}", fixture.name);
    }
}

#[test]
fn f32_is_as_close_to_f64_as_pytorch_is() {
    // The oracle, and the engines that train: Winograd transforms multiply less and round slightly more.
    let engines = [(Some(Device::Cpu), true, 3.0), (Some(Device::Cpu), false, 5.0), (gpu(), false, 5.0)];
    let engines = engines.into_iter().filter_map(|(device, oracle, bound)| Some((device?, oracle, bound)));
    let fixtures = FIXTURES.map(Fixture::read);
    let all = engines.flat_map(|engine| fixtures.iter().map(move |fixture| (engine.clone(), fixture)));
    for ((device, oracle, bound), fixture) in all {
        let (parameters, mut engine) = fixture.start_on(DType::F32, &device);
        if oracle {
            engine = Box::new(Reference::new(&fixture.graph));
        }
        let images = fixture.tensor("images", DType::F32).to_device(&device).unwrap();
        let evaluated = engine.forward(&images, &parameters, Mode::Evaluate).unwrap();
        let (output, loss, flat) = fixture.step(&parameters, engine.as_mut());
        for precision in ["f64", "f32"] {
            for (what, found) in
                [("evaluated", values(evaluated.last().unwrap())), ("output", values(&output)), ("loss", vec![loss])]
            {
                let deviation = deviation(&found, &fixture.values(&format!("{precision}/{what}")));
                println!("{}: {what} from PyTorch's {precision} {deviation:e}", fixture.name);
                assert!(deviation < 1e-5, "{} {what}: {deviation:e} from {precision}", fixture.name);
            }
        }
        let (exact, pytorch) = (fixture.named("f64/gradient"), fixture.named("f32/error"));
        let scale = scale(&exact);
        let mut worst = 0.0f64;
        for parameter in parameters.parameters().iter().filter(|p| p.spec.role.is_trained()) {
            let name = &parameter.spec.name;
            let gradient = values(&parameters.slice_like(parameter, &flat).unwrap());
            let (exact, pytorch) = (values(&exact[name]), values(&pytorch[name])[0]);
            if largest(&exact) < ZERO * scale {
                assert!(largest(&gradient) < 1e-5 * scale, "{} {name}", fixture.name);
                continue;
            }
            // Storing a value in f32 rounds it, even if PyTorch happened to be closer.
            let allowed = pytorch.max(f64::from(f32::EPSILON) * largest(&exact));
            let ratio = distance(&gradient, &exact) / allowed;
            assert!(ratio < bound, "{} {name}: {ratio} times as far as PyTorch", fixture.name);
            worst = worst.max(ratio);
        }
        println!("{}: f32 gradients {worst} times as far from f64 as PyTorch's", fixture.name);
    }
}

#[test]
fn a_state_dict_has_exactly_pytorchs_names_and_shapes() {
    for fixture in FIXTURES.map(Fixture::read) {
        let (parameters, _) = fixture.start(DType::F64);
        let shapes = |tensors: BTreeMap<String, Tensor>| -> BTreeSet<(String, Vec<usize>)> {
            tensors.into_iter().map(|(name, tensor)| (name, tensor.dims().to_vec())).collect()
        };
        assert_eq!(shapes(parameters.named().unwrap()), shapes(fixture.named("initial")), "{}", fixture.name);
        let mut missing = fixture.named("initial");
        let of_head =
            |name: &&String| ["final", "segmentation_head", "Conv_1x1"].iter().any(|head| name.starts_with(head));
        let bias = missing.keys().find(of_head);
        let bias = bias.unwrap().clone();
        missing.remove(&bias).unwrap();
        assert!(parameters.load(&missing).unwrap_err().to_string().contains(".bias"));
        let mut strange = fixture.named("initial");
        strange.insert("fin.bias".to_owned(), strange.values().next().unwrap().clone());
        assert!(parameters.load(&strange).unwrap_err().to_string().contains("fin.bias"));
    }
}

/// The names and shapes of `segmentation_models_pytorch`'s own networks (scripts/parity.py --smp), at published sizes.
#[test]
fn networks_have_the_state_dicts_of_segmentation_models_pytorch() {
    for (name, text) in [
        ("unet-resnet18", include_str!("../fixtures/parity/resnet18.json")),
        ("deeplabv3+", include_str!("../fixtures/parity/deeplabv3+.json")),
        ("unet-efficientnet-b0", include_str!("../fixtures/parity/efficientnet-b0.json")),
        ("unet-efficientnet-b1", include_str!("../fixtures/parity/efficientnet-b1.json")),
        ("unet-efficientnet-b2", include_str!("../fixtures/parity/efficientnet-b2.json")),
    ] {
        let theirs: serde_json::Value = serde_json::from_str(text).unwrap();
        let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_value(theirs["shapes"].clone()).unwrap();
        let model: ModelSpec = toml::from_str(&format!("name = '{name}'")).unwrap();
        let ours = model.graph(1, 10).unwrap().parameters().into_iter().map(|spec| (spec.name, spec.shape));
        assert_eq!(ours.collect::<BTreeMap<_, _>>(), shapes);
    }
}

#[test]
fn pytorch_takes_our_weights_and_we_take_its() {
    let Some(python) = torch() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = |arguments: &[(&str, &PathBuf)]| {
        let mut command = Command::new(&python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/parity.py"));
        for (flag, file) in arguments {
            command.arg(flag).arg(file);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    for fixture in FIXTURES.map(Fixture::read) {
        let parameters = ParamStore::initialise(&fixture.graph, 5, DType::F32, &Device::Cpu).unwrap();
        let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
        safetensors::serialize_to_file(parameters.named().unwrap(), Some(fixture.metadata.clone()), &ours).unwrap();
        script(&[("--load", &ours)]);
        script(&[("--save", &theirs), ("--like", &ours)]);
        let theirs = candle_core::safetensors::load(&theirs, &Device::Cpu).unwrap().into_iter().collect();
        let before = values(parameters.trained());
        parameters.load(&theirs).unwrap();
        assert_ne!(before, values(parameters.trained()));
    }
}
