//! Fabricated sweeps whose truth is known: log-normal or heavy-tailed errors, clustered by image and landmark, with training
//! noise, and epochs that scatter.

use rand::Rng;
use sweep_analysis::statistics::{normal_quantile, student_quantile};
use sweep_analysis::{Drawn, SweepRecords, TrialRecords};
use sweep_core::seed::{self, Stream};
use sweep_core::units::ErrorUnit;
use sweep_experiment::records::{EpochErrors, EpochRecord, LandmarkRecord, Selection};

/// A sweep to fabricate. Spreads are those of the logarithm of an error.
#[derive(Debug, Clone)]
pub(crate) struct Design {
    /// Number of values on each axis; of a search, the number of its points.
    pub(crate) axes: Vec<usize>,
    /// A search of two keys, and the true difference (mm) along the first, whose values are 0 to 1.
    pub(crate) search: Option<fn(f64) -> f64>,
    pub(crate) seeds: u64,
    pub(crate) images: usize,
    pub(crate) landmarks: usize,
    /// Number of evaluated epochs by configuration, from the values on its axes.
    pub(crate) epochs: fn(&[usize]) -> u32,
    /// Between trainings.
    pub(crate) of_seed: f64,
    /// Between images; a third of it is each training's own.
    pub(crate) of_image: f64,
    /// Between single landmarks on single images; half of it is each training's own.
    pub(crate) of_cell: f64,
    /// Between epochs, for each image and landmark on its own, by configuration.
    pub(crate) of_epoch: fn(&[usize]) -> f64,
    /// Whether single errors have Student's tails of three degrees of freedom.
    pub(crate) heavy: bool,
    /// True difference (mm) of a configuration.
    pub(crate) effect: fn(&[usize]) -> f64,
    /// Whether the errors of all epochs are kept.
    pub(crate) table: bool,
    /// Kendall's τ between loss and error over epochs: 0 for none, −1 for the reverse.
    pub(crate) reverse: bool,
}

impl Design {
    /// Three axes of two values and nothing that has an effect.
    pub(crate) fn null(seeds: u64, images: usize) -> Self {
        Self {
            axes: vec![2, 2, 2],
            search: None,
            seeds,
            images,
            landmarks: 5,
            epochs: |_| 20,
            of_seed: 0.05,
            of_image: 0.25,
            of_cell: 0.6,
            of_epoch: |_| 0.3,
            heavy: false,
            effect: |_| 0.0,
            table: true,
            reverse: false,
        }
    }
}

/// The true mean error of a configuration without effect, mm.
pub(crate) const TRUTH: f64 = 1.5;

struct Draw(rand_chacha::ChaCha8Rng);

impl Draw {
    fn normal(&mut self, spread: f64) -> f64 {
        spread * normal_quantile(self.0.random_range(1e-12..1.0))
    }

    fn heavy(&mut self, spread: f64) -> f64 {
        // Bounded, so that its exponential has a mean.
        spread * (student_quantile(self.0.random_range(1e-6..1.0 - 1e-6), 3.0) / 3f64.sqrt()).clamp(-4.0, 4.0)
    }
}

/// A logarithm whose exponential has the mean 1.
fn centred(log: f64, spread: f64) -> f64 {
    log - spread * spread / 2.0
}

/// The sweep of this design with this index.
pub(crate) fn sweep(design: &Design, index: u64) -> SweepRecords {
    let mut draw = Draw(seed::derive(index, Stream::Bootstrap, 200, 0));
    let images: Vec<f64> = (0..design.images).map(|_| draw.normal(design.of_image)).collect();
    let cells = design.images * design.landmarks;
    let of_cell = (0.75f64).sqrt() * design.of_cell;
    let spots: Vec<f64> =
        (0..cells).map(|_| if design.heavy { draw.heavy(of_cell) } else { draw.normal(of_cell) }).collect();
    let places: Vec<[f64; 2]> = (0..cells).map(|_| [100.0 + draw.normal(20.0), 200.0 + draw.normal(20.0)]).collect();
    let count: usize = design.axes.iter().product();
    let points = (0..count).map(|_| [draw.0.random_range(0.0..1.0), draw.0.random_range(0.0..1.0)]).collect();
    let shared = Shared { images, spots, places, points };
    let mut trials = Vec::new();
    for seed in 0..design.seeds {
        for point in 0..count {
            let mut rest = point;
            let place: Vec<usize> = design.axes.iter().map(|size| (rest % size, rest /= size).0).collect();
            trials.push(trial(design, &shared, &place, seed, &mut draw));
        }
    }
    SweepRecords {
        name: "fabricated".into(),
        question: None,
        claims: None,
        unit: ErrorUnit::Millimetres,
        mean_shape_mre: Some(6.0),
        observer_mre_mm: None,
        measures: sweep_core::measures::Measures::default(),
        untrained: Vec::new(),
        unmeasured: Vec::new(),
        definition: String::new(),
        provenance: Vec::new(),
        planned: trials.len(),
        left_out: Vec::new(),
        drawn: design.search.map(|_| Drawn::Independently),
        folds: None,
        trials,
    }
}

struct Shared {
    images: Vec<f64>,
    spots: Vec<f64>,
    places: Vec<[f64; 2]>,
    /// The points of a search.
    points: Vec<[f64; 2]>,
}

fn trial(design: &Design, shared: &Shared, place: &[usize], seed: u64, draw: &mut Draw) -> TrialRecords {
    let point = design.search.map(|_| shared.points[place[0]]);
    let values: Vec<String> = match point {
        Some(point) => point.iter().map(|value| format!("{value:.6}")).collect(),
        None => place.iter().map(|value| format!("v{value}")).collect(),
    };
    let axes: Vec<(String, String)> =
        values.into_iter().enumerate().map(|(axis, value)| (format!("axis{axis}"), value)).collect();
    let id = format!("{}-seed{seed}", axes.iter().map(|(_, v)| v.as_str()).collect::<Vec<_>>().join("-"));
    let level = centred(draw.normal(design.of_seed), design.of_seed);
    let (own_image, own_cell) = (design.of_image / 3.0, design.of_cell / 2.0);
    let base: Vec<f64> = (0..shared.spots.len())
        .map(|cell| {
            let image = shared.images[cell / design.landmarks];
            let of_cell = 0.75f64.sqrt() * design.of_cell;
            let shared = centred(image, design.of_image) + centred(shared.spots[cell], of_cell);
            TRUTH * (level + shared + centred(draw.normal(own_cell), own_cell)).exp()
        })
        .collect();
    let own: Vec<f64> = (0..design.images).map(|_| centred(draw.normal(own_image), own_image).exp()).collect();
    let epochs = (design.epochs)(place);
    let along = design.search.zip(point).map_or(0.0, |(effect, point)| effect(point[0]));
    let (scatter, effect) = ((design.of_epoch)(place), (design.effect)(place) + along);
    let names: Vec<String> = (0..design.images).map(|i| format!("{i:03}.png")).collect();
    let marks: Vec<String> = (0..design.landmarks).map(|l| format!("l{l}")).collect();
    let mut table = EpochErrors::new(ErrorUnit::Millimetres, names, Vec::new(), marks);
    let (mut records, mut all) = (Vec::new(), Vec::new());
    for epoch in 1..=epochs {
        let t = f64::from(epoch) / f64::from(epochs);
        let fall = 12.0 * (-12.0 * t).exp();
        let errors: Vec<f64> = base
            .iter()
            .enumerate()
            .map(|(cell, error)| {
                let noise = centred(draw.normal(scatter), scatter).exp();
                error * own[cell / design.landmarks] * noise + effect.max(-error / 2.0) + fall
            })
            .collect();
        let mre = errors.iter().sum::<f64>() / errors.len() as f64;
        let loss = if design.reverse { 0.01 / mre } else { 0.004 * (1.0 + 0.05 * draw.normal(1.0) + fall) };
        let train = 0.003 * (1.0 + 0.03 * draw.normal(1.0) + fall - 0.2 * t);
        records.push(record(&id, seed, epoch, [train, loss, 0.8 * mre, mre]));
        table.push(epoch, &errors);
        all.push(errors);
    }
    let least = |value: fn(&EpochRecord) -> f64| {
        let best = records.iter().enumerate().min_by(|a, b| value(a.1).total_cmp(&value(b.1)));
        best.map_or(0, |(at, _)| at)
    };
    let mut landmarks = Vec::new();
    for (selected, at) in [
        (Selection::BestError, least(|e| e.val_mre_mm)),
        (Selection::BestLoss, least(|e| e.val_loss)),
        (Selection::Last, all.len() - 1),
    ] {
        for (cell, error) in all[at].iter().enumerate() {
            let [x, y] = shared.places[cell];
            let turn = draw.0.random_range(0.0..std::f64::consts::TAU);
            landmarks.push(LandmarkRecord {
                trial: id.clone(),
                seed,
                epoch: records[at].epoch,
                selected,
                image: format!("{:03}.png", cell / design.landmarks),
                landmark: format!("l{}", cell % design.landmarks),
                x_true: x,
                y_true: y,
                x_pred: x + error * turn.cos(),
                y_pred: y + error * turn.sin(),
                error_px: *error,
                error_mm: *error,
                confidence: draw.0.random_range(0.0..1.0),
                reference_px: f64::NAN,
                spacing_x_mm: f64::NAN,
                spacing_y_mm: f64::NAN,
            });
        }
    }
    let status = serde_json::json!({
        "trial": id, "state": "done", "epoch": epochs, "epochs": epochs, "attempts": 1, "parameters": 1, "device": "cpu",
        "seconds": 1.0, "peak_memory_mib": null, "message": null,
    });
    TrialRecords {
        id,
        seed,
        configuration: format!("{axes:?}"),
        objective: sweep_experiment::metric::Objective::default(),
        images: std::collections::BTreeMap::new(),
        axes,
        loss_kind: String::new(),
        unit: ErrorUnit::Millimetres,
        dataset_hash: String::new(),
        fold: None,
        status: serde_json::from_value(status).unwrap(),
        epochs: records,
        landmarks,
        errors: design.table.then_some(table),
        test: Vec::new(),
        folds: Vec::new(),
    }
}

fn record(trial: &str, seed: u64, epoch: u32, [train_loss, val_loss, train_mre, val_mre]: [f64; 4]) -> EpochRecord {
    let row = serde_json::json!({
        "trial": trial, "seed": seed, "epoch": epoch, "train_loss": train_loss, "val_loss": val_loss, "zero_loss": 0.1,
        "train_mre_mm": train_mre, "val_mre_mm": val_mre, "val_mre_px": val_mre, "val_sd_mm": 1.0, "val_median_mm": 1.0,
        "val_p95_mm": 1.0, "val_sdr_2mm": 50.0, "val_sdr_2_5mm": 50.0, "val_sdr_3mm": 50.0, "val_sdr_4mm": 50.0, "lr": 1.0,
        "images_per_second": 1.0, "seconds": 1.0,
    });
    serde_json::from_value(row).unwrap()
}
