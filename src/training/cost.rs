//! Cost of a trial before it runs: memory from the engine's plan, time from a few measured steps.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use candle_core::Device;

use crate::evaluate;
use crate::model_runner::Network;
use sweep_core::error::{Error, Kind, Result};
use sweep_core::units::{Point, Size};
use sweep_data::augment::{AugmentSpec, Augmentation};
use sweep_data::loader::Loader;
use sweep_data::resize::resize;
use sweep_data::{Dataset, DatasetSummary, Sample, Split};
use sweep_graph::ParameterSpec;
use sweep_model::networks::{Architecture, Stage};
use sweep_model::optim::Update;
use sweep_planning::config::TrialConfig;

/// Memory of the program, its libraries and the stacks of its threads, in bytes, measured on Linux (x86-64).
const PROGRAM: u64 = 12 << 20;
/// Number of batches that exist at once: in preparation, ready, and in use.
const BATCHES: usize = 6;

/// Peak resident memory of a process that trains this trial on a processor, in bytes: within 2 % or 2 MiB of the
/// measurements for eight networks and shapes of 12 to 390 MiB; for a module of candle an upper bound. Resized images are included, although
/// processes on the same data share them. Original images, which are decoded once per data set, are not.
///
/// # Errors
/// When the network cannot be built for its input.
pub fn memory_bytes(config: &TrialConfig, summary: DatasetSummary) -> Result<u64> {
    let stages = config.model.stages(config.channels(), summary.landmarks, config.input)?;
    let batch = config.batch_size.get();
    let float = size_of::<f32>();
    let (mut networks, mut values) = (0, 0);
    for Stage { architecture, size, per_image } in &stages {
        let pictures = batch * per_image;
        networks += architecture.memory_bytes(config.precision, pictures, *size)?;
        if matches!(architecture, Architecture::Graph(_)) {
            check_last_batch(summary.train, batch, |rest| {
                architecture.memory_bytes(config.precision, rest * per_image, *size)
            })?;
        }
        // Heads, their gradients, and their copies for decoding and the loss.
        networks += 3 * architecture.heads() * pictures * summary.landmarks * size.area() * float;
        values += architecture.parameters().iter().map(ParameterSpec::len).sum::<usize>();
    }
    // The tensors of a checkpoint, the gradient twice (the engine's and one in preparation), and the encoded checkpoint.
    let kept = config.update().kept();
    let summed = usize::from(config.accumulate.get() > 1);
    let parameters = values * float * (kept + 2 + summed + kept);
    let area = config.channels() * config.input.area();
    let fine = config.channels() * config.model.two_stage().map_or(0, |spec| spec.size.area());
    let pictures = (summary.train + summary.val) * (area + fine) * float;
    let batches = BATCHES * batch * area * float;
    Ok(PROGRAM + (networks + parameters + pictures + batches) as u64)
}

/// Checks, by a function of its number of images, that an epoch's last batch can be trained on: it may be so small that a
/// normalisation has a single value to measure.
fn check_last_batch(train: usize, batch: usize, plan: impl Fn(usize) -> Result<usize>) -> Result<()> {
    let rest = train % batch;
    if rest == 0 {
        return Ok(());
    }
    plan(rest).map(|_| ()).map_err(|error| {
        let what = format!("the last of {train} images' batches of {batch} has {rest}: {}", error.message);
        Error::definition(what).at("batch_size").remedy("use a batch size without this remainder, or `norm` groups")
    })
}

/// Memory of a GPU that training this trial takes, in bytes: what the engine, its heads, parameters and batches take there.
/// The driver's own is not included.
///
/// # Errors
/// When the network cannot be built for its input, or not for a GPU.
pub fn gpu_memory_bytes(config: &TrialConfig, summary: DatasetSummary) -> Result<u64> {
    let stages = config.model.stages(config.channels(), summary.landmarks, config.input)?;
    let batch = config.batch_size.get();
    let float = size_of::<f32>();
    let (mut networks, mut values, mut batches) = (0, 0, 0);
    for Stage { architecture, size, per_image } in &stages {
        let pictures = batch * per_image;
        networks += architecture.gpu_memory_bytes(config.precision, pictures, *size)?;
        // Heads and their gradients; images beside the engine's own copy.
        networks += 2 * architecture.heads() * pictures * summary.landmarks * size.area() * float;
        batches += pictures * config.channels() * size.area() * float;
        values += architecture.parameters().iter().map(ParameterSpec::len).sum::<usize>();
    }
    let summed = usize::from(config.accumulate.get() > 1);
    Ok((networks + batches + values * float * (config.update().kept() + 1 + summed)) as u64)
}

/// Multiplications and additions of one image's forward pass through the convolutions of all stages; `None` if one is a
/// module of candle.
///
/// # Errors
/// When the images of a stage are too small for it.
pub fn flops(stages: &[Stage]) -> Result<Option<u64>> {
    let flops = |stage: &Stage| Ok(stage.architecture.flops(stage.size)?.map(|flops| stage.per_image as u64 * flops));
    stages.iter().map(flops).sum()
}

/// Images per second, of all copies together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// In training: augmentation, forward, loss, backward, optimiser.
    pub training: f64,
    /// In evaluation: forward, loss, decoding.
    pub evaluation: f64,
}

/// Measures training and evaluation on synthetic images for about `budget`, and at least one step of each, with `copies` of
/// the network at once that have `threads` threads each.
///
/// # Errors
/// When the network cannot be built for its input, or threads cannot be started.
pub fn rate(config: &TrialConfig, landmarks: usize, threads: usize, copies: usize, budget: Duration) -> Result<Rate> {
    let barrier = Barrier::new(copies);
    let copy = || -> Result<Rate> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|e| {
            barrier.wait();
            Error::new(Kind::Computation, format!("cannot start {threads} threads: {e}"))
        })?;
        pool.install(|| measured(config, landmarks, budget, &barrier))
    };
    let rates: Vec<Result<Rate>> = std::thread::scope(|scope| {
        let copies: Vec<_> = (0..copies).map(|_| scope.spawn(copy)).collect();
        let died = || Err(Error::new(Kind::Computation, "a calibration died"));
        copies.into_iter().map(|copy| copy.join().unwrap_or_else(|_| died())).collect()
    });
    let mut all = Rate { training: 0.0, evaluation: 0.0 };
    for rate in rates {
        let rate = rate?;
        all.training += rate.training;
        all.evaluation += rate.evaluation;
    }
    Ok(all)
}

fn measured(config: &TrialConfig, landmarks: usize, budget: Duration, start: &Barrier) -> Result<Rate> {
    let dataset = synthetic(config.input, config.channels(), landmarks, config.batch_size.get());
    // Which landmarks change places in a mirror costs no time.
    let augment = AugmentSpec { flip_pairs: Some(Vec::new()), ..config.augment.clone() };
    let augment = Augmentation::new(&augment, &dataset.landmarks)?;
    let finer: Vec<_> = config
        .model
        .two_stage()
        .map_or_else(Vec::new, |fine| dataset.samples.iter().map(|sample| resize(sample, fine.size).into()).collect());
    let [train, val] = [Split::Train, Split::Val].map(|split| {
        let loader = Loader::new(&dataset, split, config.input);
        if finer.is_empty() { loader } else { loader.with_views(&finer) }
    });
    let prepared = Network::new(config, landmarks, &Device::Cpu).and_then(|network| {
        let parameters = network.parameters(config.seed)?;
        Ok((network, parameters))
    });
    // All copies pass the barrier, even if one of them failed.
    start.wait();
    let (mut network, parameters) = prepared?;
    let mut update = Update::new(config.update(), &parameters)?;

    let (mut images, mut taken, mut warm) = (0, Duration::ZERO, false);
    for epoch in 0.. {
        let mut batches = train.epoch(config.batch_size, &augment, config.seed, epoch);
        loop {
            let began = Instant::now();
            let Some(batch) = batches.next().transpose()? else { break };
            let gradient = network.step(&parameters, &batch, epoch)?.gradient;
            // The learning rate is zero, so that the loss cannot diverge.
            update.add(&parameters, &gradient, batch.indices.len(), true, 0.0)?;
            // The first step plans and allocates memory.
            if warm {
                images += batch.indices.len();
                taken += began.elapsed();
            }
            warm = true;
        }
        if taken > budget.mul_f64(0.7) {
            break;
        }
    }
    let training = images as f64 / taken.as_secs_f64();

    let mut evaluate =
        || evaluate::evaluate(&mut network, &parameters, &val, &dataset, config.batch_size, &mut || true);
    evaluate()?;
    let (began, mut evaluations) = (Instant::now(), 0);
    while evaluations == 0 || began.elapsed() < budget.mul_f64(0.2) {
        evaluate()?;
        evaluations += 1;
    }
    Ok(Rate { training, evaluation: (evaluations * val.len()) as f64 / began.elapsed().as_secs_f64() })
}

/// Two batches for training and one for evaluation: stripes with landmarks in a row.
fn synthetic(size: Size, channels: usize, landmarks: usize, batch: usize) -> Dataset {
    let sample = |index: usize| Sample {
        image: format!("{index}.png"),
        split: if index < 2 * batch { Split::Train } else { Split::Val },
        size,
        pixels: (0..channels * size.area()).map(|i| ((i + index) * 37 % 251) as u8).collect(),
        landmarks: (0..landmarks)
            .map(|k| {
                let share = (k as f64 + 0.5) / landmarks as f64;
                Some(Point { x: share * size.width as f64 - 0.5, y: 0.5 * size.height as f64 - 0.5 })
            })
            .collect(),
        spacing: None,
        patient: None,
    };
    Dataset {
        name: "calibration".to_owned(),
        landmarks: (0..landmarks).map(|k| format!("landmark {k}")).collect(),
        observer_mre: None,
        normalise: None,
        samples: (0..3 * batch).map(sample).collect(),
    }
}

/// Duration of a whole trial at this rate, in seconds.
#[must_use]
pub fn seconds(config: &TrialConfig, summary: DatasetSummary, rate: Rate) -> f64 {
    let evaluations = config.epochs.div_ceil(config.evaluate_every);
    let [train, val] = [summary.train, summary.val].map(|images| images as f64);
    f64::from(config.epochs) * train / rate.training + f64::from(evaluations) * (train + val) / rate.evaluation
}

#[cfg(test)]
mod tests {
    use super::*;
    use sweep_experiment::definition::SweepDefinition;
    use sweep_planning::plan::plan;

    fn config(model: &str) -> TrialConfig {
        let text = format!(
            "name = 't'\n[trial]\nepochs = 5\nevaluate_every = 2\nbatch_size = 2\ninput = {{ height = 40, width = 32 }}\n\
             model = {model}\nloss = {{ name = 'l1' }}"
        );
        plan(&SweepDefinition::parse("t.toml", &text).unwrap()).unwrap().remove(0).config
    }

    #[test]
    fn more_costs_more() {
        let small = config("{ name = 'unet', filters = [4, 8] }");
        let summary = DatasetSummary { landmarks: 3, train: 10, val: 5 };
        let bytes = |config: &TrialConfig, summary| memory_bytes(config, summary).unwrap();
        let plain = bytes(&small, summary);
        assert!(plain > PROGRAM);
        assert!(bytes(&config("{ name = 'unet', filters = [8, 16] }"), summary) > plain);
        let area = small.input.area() as u64 * 4;
        assert_eq!(bytes(&small, DatasetSummary { train: 20, ..summary }), plain + 10 * area);
        let larger = TrialConfig { input: Size { height: 80, width: 64 }, ..small.clone() };
        assert!(bytes(&larger, summary) > plain);
        assert!(bytes(&small, DatasetSummary { landmarks: 30, ..summary }) > plain);
    }

    #[test]
    fn a_last_batch_that_cannot_be_normalised_is_told_before_it_comes() {
        let small = "filters = [4, 6], decoder_channels = 16, low_level_channels = 3, atrous_rates = [1]";
        let config = config(&format!("{{ name = 'deeplabv3+', {small} }}"));
        let with = |train| memory_bytes(&config, DatasetSummary { landmarks: 3, train, val: 5 });
        assert!(with(10).is_ok());
        let error = with(11).unwrap_err();
        assert_eq!(error.location.as_deref(), Some("batch_size"));
        assert!(
            error.message.contains("the last of 11 images' batches of 2 has 1: `decoder.aspp.0.convs.2.2`"),
            "{error}"
        );
    }

    #[test]
    fn a_rate_is_measured_and_makes_a_time() {
        let config = config("{ name = 'unet', filters = [4, 8] }");
        for copies in [1, 2] {
            let rate = rate(&config, 3, 1, copies, Duration::from_millis(30)).unwrap();
            assert!(rate.training.is_finite() && rate.training > 1.0, "{rate:?}");
            assert!(rate.evaluation.is_finite() && rate.evaluation > 1.0, "{rate:?}");
        }
        // Five epochs of 8 images at 4 a second, and three evaluations (2, 4, 5) of 8 + 4 at 12 a second.
        let summary = DatasetSummary { landmarks: 3, train: 8, val: 4 };
        let seconds = seconds(&config, summary, Rate { training: 4.0, evaluation: 12.0 });
        assert!((seconds - 13.0).abs() < 1e-12, "{seconds}");
    }
}
