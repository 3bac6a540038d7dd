//! Networks written with candle, as users' programs have them: the example stands for one, and networks with mistakes run
//! in this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use candle_core::{Result, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, VarBuilder, conv2d};
use landmark_sweep::candle::{CandleNetwork, Pass};
use landmark_sweep::candle_ops::{avg_pool2d, upsample_nearest2d};
use landmark_sweep::definition::SweepDefinition;
use landmark_sweep::device::Choice;
use landmark_sweep::program::Program;
use landmark_sweep::records::State;
use landmark_sweep::sweep::{Quiet, Sweep};
use rustix::process::Signal;
use serde::Deserialize;

use crate::harness::{SWEEP, Sandbox, assert_same, ended, measured, running, trial_folders};

const DEFINITION: &str = include_str!("../examples/candle_network.toml");

/// The example as `cargo test` builds it.
fn program() -> PathBuf {
    let path = Path::new(SWEEP).with_file_name("examples").join("candle-network");
    assert!(path.is_file(), "{} is missing: `cargo build --release --example candle-network` makes it", path.display());
    path
}

impl Sandbox {
    /// Runs the example; returns what it writes to either output.
    fn candle(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.command(program().to_str().unwrap()).args(arguments).output().unwrap();
        let said = ended(code, &output, arguments);
        said + &String::from_utf8_lossy(&output.stdout)
    }
}

#[test]
fn a_candle_network_is_swept_resumed_and_used_like_any_other() {
    let sandbox = Sandbox::new(DEFINITION);
    let planned = sandbox.candle(0, &["plan", "tiny.toml"]);
    assert!(planned.contains("shallow") && planned.contains("deep"), "{planned}");
    sandbox.candle(0, &["run", "tiny.toml", "--quiet", "--results", "whole", "--threads", "1", "--set", "epochs=4"]);
    let trials = trial_folders(&sandbox.path("whole/candle-network"));
    assert_eq!(trials.len(), 2);
    let losses = |trial: &Path| -> Vec<f64> {
        let epochs = fs::read_to_string(trial.join("epochs.csv")).unwrap();
        epochs.lines().skip(1).map(|row| row.split(',').nth(3).unwrap().parse().unwrap()).collect()
    };
    for trial in &trials {
        let losses = losses(trial);
        assert!(losses.len() == 4 && losses[3] < losses[0], "{losses:?}");
    }
    let written = fs::read_to_string(trials[0].join("trial.toml")).unwrap();
    assert!(written.contains("name = \"candle\"\nkind = \"convnext\"\nversion = \"1-"), "{written}");

    // Killed after its second epoch and run again, with another number of threads: the same records and weights.
    let arguments =
        ["run", "tiny.toml", "--quiet", "--results", "killed", "--threads", "2", "--jobs", "1", "--set", "epochs=4"];
    let mut started = sandbox.command(program().to_str().unwrap()).args(arguments).spawn().unwrap();
    let (_, pid) = running(&sandbox.path("killed/candle-network"), 2);
    crate::harness::send(pid, Signal::KILL);
    started.wait().unwrap();
    sandbox.candle(0, &["run", "tiny.toml", "--quiet", "--results", "killed", "--retry-failed", "--set", "epochs=4"]);
    assert_same(&sandbox.path("whole/candle-network"), &sandbox.path("killed/candle-network"));
    for (one, other) in trials.iter().zip(trial_folders(&sandbox.path("killed/candle-network"))) {
        assert_eq!(measured(one), measured(&other));
        assert_eq!(fs::read(one.join("best.safetensors")).unwrap(), fs::read(other.join("best.safetensors")).unwrap());
    }

    let checkpoint = trials[0].join("best.safetensors");
    let checkpoint = checkpoint.to_str().unwrap();
    assert!(sandbox.candle(0, &["eval", "--checkpoint", checkpoint]).contains("MRE"));
    let picture = fs::read_dir(sandbox.path("whole/candle-network/images")).unwrap().next().unwrap().unwrap().path();
    let predicted = sandbox.candle(0, &["predict", "--checkpoint", checkpoint, picture.to_str().unwrap()]);
    assert!(predicted.lines().count() > 5, "{predicted}");
    let onnx = sandbox.candle(2, &["export", "onnx", checkpoint, "--output", "net.onnx"]);
    assert!(onnx.contains("`convnext` is a module of candle") && onnx.contains("CustomNetwork"), "{onnx}");
    assert!(!sandbox.path("net.onnx").exists());

    // The plain program reads the records, and needs the network for all else.
    sandbox.expect(0, &["status", "whole/candle-network"]);
    let wrong = sandbox.expect(2, &["predict", "--checkpoint", checkpoint, picture.to_str().unwrap()]);
    assert!(wrong.contains("no candle network of kind `convnext`"), "{wrong}");
}

#[test]
fn weights_are_taken_by_name_and_kept_where_nothing_is_trained() {
    let sandbox = Sandbox::new(DEFINITION);
    let one = ["run", "tiny.toml", "--quiet", "--set", "epochs=1", "--set", "dataset.train=4"];
    sandbox.candle(0, &one);
    let trained = &trial_folders(&sandbox.path("results/candle-network"))[0];
    let file = trained.join("best.safetensors");
    let weights = format!("model.weights={{ path = {:?} }}", file.to_str().unwrap());
    let kept = "model.options.train_encoder=false";
    sandbox.candle(0, &[&one[..], &["--results", "from", "--set", &weights, "--set", kept]].concat());
    let tensors = |path: &Path| candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
    let from = trial_folders(&sandbox.path("from/candle-network"));
    let (before, after) = (tensors(&file), tensors(&from[0].join("last.safetensors")));
    let largest = |tensor: Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    let mut names: Vec<&String> = before.keys().collect();
    names.sort();
    assert!(names.iter().any(|name| *name == "encoder.stages.0.blocks.0.conv_dw.weight"), "{names:?}");
    for name in names {
        // The average of equal weights is rounded.
        let moved = largest((&before[name] - &after[name]).unwrap());
        assert_eq!(moved < 1e-6, name.starts_with("encoder."), "{name} moved by {moved}");
    }
}

#[test]
fn mistakes_in_options_are_told_with_line_and_key() {
    let sandbox = Sandbox::new(DEFINITION);
    for (from, to, at, what) in [
        ("kind = \"convnext\"", "kind = \"conv\"", "trial.model.kind`", "it has `convnext`"),
        ("decoder = 16", "decoder = 0", "model.options.filters`", "channels in each stage"),
        ("decoder = 16", "decoder = 'a'", "model.options.decoder`", "invalid type"),
        ("kind = \"convnext\"", "kind = \"convnext\", version = \"1\"", "model.version`", "expects 1"),
    ] {
        assert!(DEFINITION.contains(from));
        sandbox.write("wrong.toml", &DEFINITION.replace(from, to));
        let said = sandbox.candle(2, &["plan", "wrong.toml"]);
        assert!(said.contains(at) && said.contains(what), "{to}: {said}");
    }
}

/// A network that upsamples a map which it also uses elsewhere.
struct Reused {
    first: Conv2d,
    second: Conv2d,
    wrong: bool,
}

#[derive(Deserialize)]
struct Options {
    wrong: bool,
}

impl CandleNetwork for Reused {
    type Options = Options;
    const VERSION: u32 = 1;

    fn new(vb: VarBuilder<'_>, options: &Options, channels: usize, landmarks: usize) -> Result<Self> {
        let same = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        let first = conv2d(channels, 4, 3, same, vb.pp("first"))?;
        Ok(Self { first, second: conv2d(4, landmarks, 3, same, vb.pp("second"))?, wrong: options.wrong })
    }

    fn forward(&self, images: &Tensor, _pass: &Pass) -> Result<Tensor> {
        let (_, _, height, width) = images.dims4()?;
        let small = avg_pool2d(&images.apply(&self.first)?.relu()?, 2)?;
        let large = if self.wrong {
            small.upsample_nearest2d(height, width)?
        } else {
            upsample_nearest2d(&small, height, width)?
        };
        let context = upsample_nearest2d(&avg_pool2d(&small, 2)?, height, width)?;
        (large + context)?.apply(&self.second)
    }
}

#[test]
fn a_wrong_gradient_fails_the_trial_before_it_is_trained() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| Program::new().candle_network::<Reused>("reused").add().unwrap());
    let sandbox = Sandbox::new("");
    let run = |name: &str, model: &str| {
        let text = format!(
            "name = '{name}'\n[trial]\nepochs = 1\nbatch_size = 2\n\
             dataset = {{ name = 'phantom', train = 4, val = 2, height = 40, width = 32 }}\n\
             input = {{ height = 40, width = 32 }}\nloss = {{ name = 'l1' }}\nmodel = {{ name = 'candle', kind = 'reused', {model} }}"
        );
        let sweep = Sweep::new(SweepDefinition::parse("t.toml", &text).unwrap(), &sandbox.path("results"));
        let records = sweep.run(Choice::Cpu, &mut Quiet);
        (records, sandbox.path("results").join(name))
    };
    let (right, _) = run("right", "options = { wrong = false }");
    assert!(right.unwrap().trials.iter().all(|trial| trial.status.state == State::Done));
    let (unchecked, _) = run("unchecked", "options = { wrong = true }, check_gradients = false");
    assert!(unchecked.unwrap().trials.iter().all(|trial| trial.status.state == State::Done));
    let (wrong, folder) = run("wrong", "options = { wrong = true }");
    let said = match wrong {
        Err(error) => error.to_string(),
        Ok(records) => {
            assert!(records.trials.iter().all(|trial| trial.status.state == State::Failed));
            fs::read_to_string(trial_folders(&folder)[0].join("status.json")).unwrap()
        }
    };
    for word in ["first.weight", "candle's upsample_nearest2d", "landmark_sweep::candle_ops::upsample_nearest2d"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(!said.contains("second.weight"), "{said}");
}
