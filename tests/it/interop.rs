//! Trained networks in other programs: PyTorch and onnxruntime compute the same heatmaps, and weights can be read back.
//!
//! `LANDMARK_SWEEP_PYTHON` names a Python; if it lacks torch, or onnx and onnxruntime, the tests that need them are skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::{DType, Device, Tensor};
use landmark_sweep::engine::{self, Mode, Precision};
use landmark_sweep::graph::{Activation, Graph, Node, Norm, NormKind, SmoothActivation, Start};
use landmark_sweep::onnx;
use landmark_sweep::params::ParamStore;
use landmark_sweep::units::Size;
use sweep_testing::{python, torch};

use crate::harness::{Sandbox, trial_folders};

const DEFINITION: &str = r#"
name = "tiny"
[axes]
model = [
    { name = "unet++", filters = [3, 4, 5] },
    { name = "unet++", filters = [4, 6], deep_supervision = true, norm = { name = "group", groups = 2 }, head = { name = "scn", filters = 3, kernel = 5, layers = 1 } },
    { name = "unet", filters = [3, 4], norm = { name = "instance" } },
    { name = "unet", filters = [3, 4, 5], norm = { name = "batch" }, upsampling = "transposed" },
    { name = "unet-resnet18", filters = [3, 4], decoder = [4, 3, 3] },
    { name = "unet-efficientnet-b0", width = 0.05, depth = 0.3, decoder = [6, 5, 4, 3, 3] },
    { name = "attention-unet", filters = [3, 4] },
    { name = "deeplabv3+", filters = [3, 4], decoder_channels = 16, low_level_channels = 3, atrous_rates = [1, 2] },
    { name = "two-stage", coarse = { name = "unet", filters = [3, 4] }, fine = { name = "unet++", filters = [3, 4] }, crop = 16, size = { height = 60, width = 49 } },
]
[trial]
epochs = 2
batch_size = 2
dataset = { name = "phantom", train = 4, val = 2, height = 60, width = 50 }
input = { height = 37, width = 29 }
loss = { name = "mse" }
optimizer = { name = "adamw", lr = 1e-2 }
"#;

/// A Python that has these packages.
fn script(python: &Path, name: &str, arguments: &[&Path]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {}{said}", String::from_utf8_lossy(&output.stdout));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

/// Trained networks with images: each trial's folder and its maps of every image.
fn trained(sandbox: &Sandbox) -> Vec<(PathBuf, Vec<PathBuf>)> {
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    sandbox.expect(0, &["data", "synth", "new", "--train", "2", "--val", "1", "--height", "60", "--width", "50"]);
    let folders = trial_folders(&sandbox.path("results/tiny"));
    assert_eq!(folders.len(), 9);
    let mut trained = Vec::new();
    for (index, folder) in folders.into_iter().enumerate() {
        let (checkpoint, maps) = (folder.join("last.safetensors"), sandbox.path(&format!("maps{index}")));
        let flags = ["--heatmaps", maps.to_str().unwrap(), "--output", "landmarks.csv"];
        sandbox.expect(
            0,
            &[&["predict", "--checkpoint", checkpoint.to_str().unwrap(), "new/images"], &flags[..]].concat(),
        );
        let mut files: Vec<PathBuf> = fs::read_dir(&maps).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 3);
        trained.push((checkpoint, files));
    }
    trained
}

#[test]
fn onnxruntime_computes_the_same_heatmaps() {
    let Some(python) = python("onnx, onnxruntime, safetensors") else { return };
    let sandbox = Sandbox::new(DEFINITION);
    for (index, (checkpoint, maps)) in trained(&sandbox).iter().enumerate() {
        for (variant, flags) in [&[][..], &["--keep-norms"], &["--batch", "1"]].iter().enumerate() {
            let folder = sandbox.path(&format!("onnx{index}-{variant}"));
            let output = folder.join("net.onnx");
            let command = ["export", "onnx", checkpoint.to_str().unwrap(), "--output", output.to_str().unwrap()];
            sandbox.expect(0, &[&command[..], flags].concat());
            let files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            let is_two_stage = checkpoint.to_string_lossy().contains("two-stage");
            assert_eq!(files.len(), if is_two_stage { 2 } else { 1 });
            for file in &files {
                let arguments: Vec<&Path> = std::iter::once(file).chain(maps).map(PathBuf::as_path).collect();
                script(&python, "onnx_check.py", &arguments);
            }
        }
    }
}

/// Operators that no network of the registry has: a graph of a program's own, with them all.
#[test]
fn onnxruntime_computes_the_same_values_of_every_operator() {
    let Some(python) = python("onnx, onnxruntime, safetensors") else { return };
    let sandbox = Sandbox::new("");
    let mut graph = Graph::new();
    let image = graph.push(Node::Input { channels: 2 });
    let mut map = graph.push(Node::convolution(image, "first", 16).normalised("norm", NormKind::Batch));
    for (kernel, norm) in [(3, None), (4, Some(NormKind::Batch)), (5, Some(NormKind::Group { groups: 1 }))] {
        let name = format!("up{kernel}");
        let half = graph.push(Node::MaxPool { input: map, side: 2 });
        let normal = graph.push_layer_norm(half, &format!("layer_norm{kernel}"), 1e-5);
        let bell = graph.push(Node::Smooth { input: normal, activation: SmoothActivation::Gelu });
        map = graph.push(Node::TransposedConvolution {
            input: bell,
            like: image,
            channels: 16,
            kernel,
            bias: kernel > 3,
            start: Start::Torch,
            norm: norm.map(|kind| Norm::new(format!("{name}.norm"), kind)),
            name,
            activation: Activation::Relu,
        });
    }
    let head = graph.push(Node::head(map, "head", 3));
    graph.push_head(head);
    let cpu = &Device::Cpu;
    let parameters = ParamStore::initialise(&graph, 1, DType::F32, cpu).unwrap();
    let mut engine = engine::build(&graph, DType::F32, Precision::Fp32, cpu).unwrap();
    let pixels: Vec<f32> = (0..2 * 2 * 13 * 10).map(|index| (index as f32 * 0.7).sin()).collect();
    let image = Tensor::from_vec(pixels, (2, 2, 13, 10), cpu).unwrap();
    // Statistics that are not those of a new network.
    engine.forward(&image, &parameters, Mode::Train).unwrap();
    let heads = engine.forward(&image, &parameters, Mode::Evaluate).unwrap();
    let maps = sandbox.path("maps.safetensors");
    let tensors = std::collections::HashMap::from([("image", image), ("heatmaps", heads[0].clone())]);
    candle_core::safetensors::save(&tensors, &maps).unwrap();
    for keep_norms in [false, true] {
        let options = onnx::Options { keep_norms, ..onnx::Options::default() };
        let file = sandbox.path("net.onnx");
        fs::write(&file, onnx::encode("net", &graph, Size { height: 13, width: 10 }, &parameters, &options).unwrap())
            .unwrap();
        script(&python, "onnx_check.py", &[&file, &maps]);
    }
}

#[test]
fn pytorch_computes_the_same_heatmaps_and_its_state_dict_comes_back() {
    let Some(python) = torch() else { return };
    let sandbox = Sandbox::new(DEFINITION);
    for (checkpoint, maps) in trained(&sandbox) {
        let state = sandbox.path("state.pth");
        let save = [&checkpoint, Path::new("--save"), &state, Path::new("--check")];
        let arguments: Vec<&Path> = save.into_iter().chain(maps.iter().map(PathBuf::as_path)).collect();
        script(&python, "pytorch_networks.py", &arguments);
        let [checkpoint, state] = [&checkpoint, &state].map(|path| path.to_str().unwrap());
        sandbox.expect(0, &["import", state, "--like", checkpoint, "--output", "back.safetensors"]);
        let landmarks = |checkpoint: &str| {
            sandbox.expect(0, &["predict", "--checkpoint", checkpoint, "new/images", "--output", "landmarks.csv"]);
            fs::read_to_string(sandbox.path("landmarks.csv")).unwrap()
        };
        assert_eq!(landmarks("back.safetensors"), landmarks(checkpoint));
        sandbox.expect(0, &["eval", "--checkpoint", "back.safetensors", "--dataset", "new"]);
    }
}

#[test]
fn a_state_dict_becomes_a_checkpoint_of_the_network_that_is_named() {
    let sandbox = Sandbox::new(DEFINITION);
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let file = Path::new(&package).join("tests/fixtures/weights/encoder.pth");
    let file = file.to_str().unwrap();
    let refused = |what: &[&str], flags: &[&str]| {
        let said = sandbox.expect(2, &[&["import", file, "--output", "net.safetensors"], flags].concat());
        assert!(what.iter().all(|what| said.contains(what)), "{what:?}: {said}");
        assert!(!sandbox.path("net.safetensors").exists());
    };
    refused(&["tiny.toml", "differ in network"], &["--like", "tiny.toml"]);
    let one = "name = \"one\"\n[trial]\nepochs = 1\nloss = { name = \"l1\" }\nmodel = { name = \"unet-resnet18\", filters = [4, 6], decoder = [6, 5, 4] }";
    sandbox.write("one.toml", one);
    refused(&["not one tensor has the name", "--prefix"], &["--like", "one.toml"]);
    // An encoder alone is not a network.
    refused(
        &["parameters are not in the file", "`decoder.blocks.0.conv1.0.weight`"],
        &["--like", "one.toml", "--prefix", "encoder."],
    );
    refused(&["not a readable checkpoint"], &["--like", file]);
    refused(&["--set", "leave it out"], &["--like", file, "--set", "epochs=2"]);
}
