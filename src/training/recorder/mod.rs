//! Records of a training by another program, so that reports, findings and the gate read it as one of `sweep`'s own.

use std::time::{Duration, Instant};

use toml::{Table, Value};

use sweep_core::error::{Error, Result};
use sweep_core::measures::Measures;
use sweep_core::units::{Point, Size, Spacing};
use sweep_data::{Dataset, Sample, Split};
use sweep_experiment::definition::{assign, is_folder_name};
use sweep_experiment::metric::Objective;
use sweep_experiment::provenance::{self, Provenance};
use sweep_experiment::records::{EpochRecord, Row, State, TrialStatus};
use sweep_experiment::store::{Lock, LockResult, Store, SweepFile, TrialFile, TrialStore};
use sweep_planning::plan::trial_id;

use crate::evaluate::{Evaluation, LandmarkError};
use crate::train::{History, epoch_record, of_epoch};

/// How long another process may write `sweep.toml`.
const PATIENCE: Duration = Duration::from_secs(20);

/// A training of one configuration with one seed.
#[derive(Debug, Clone)]
pub struct RecordedTrial {
    /// Name of the sweep and of its folder under the results.
    pub sweep: String,
    /// The question that the sweep answers.
    pub question: Option<String>,
    /// Its values on the axes, in order: `("loss.name", "l1")`. Trials of equal values and different seeds are repetitions.
    pub axes: Vec<(String, Value)>,
    /// Its seed.
    pub seed: u64,
    /// Number of epochs of the whole training, if it is known.
    pub epochs: Option<u32>,
    /// Device that trains it.
    pub device: String,
}

impl RecordedTrial {
    /// Whether it can be recorded; [`Recorder::begin`] asks too.
    ///
    /// # Errors
    /// When the sweep's name is no name of a folder.
    pub fn check(&self) -> Result<()> {
        if is_folder_name(&self.sweep) {
            return Ok(());
        }
        let what = Error::input(format!("`{}` is not a folder's name", self.sweep)).at("sweep");
        Err(what.remedy("use letters, digits, `-`, `_` and `.`: it names the folder under the results"))
    }
}

/// What the landmarks are measured on.
#[derive(Debug, Clone)]
pub struct ValidationImages {
    /// Names of the images.
    pub images: Vec<String>,
    /// Names of the landmarks.
    pub landmarks: Vec<String>,
    /// True positions `[images][landmarks]` in pixels of the images; `None` where a landmark is not marked.
    pub truth: Vec<Vec<Option<Point>>>,
    /// Millimetres per pixel of each image; `None` for errors in pixels.
    pub spacing: Option<Vec<Spacing>>,
    /// The patient of each image, where known.
    pub patients: Option<Vec<String>>,
}

/// One epoch of the training.
#[derive(Debug, Clone)]
pub struct RecordedEpoch {
    /// Mean loss over the training images.
    pub train_loss: f64,
    /// Mean loss over the validation images.
    pub val_loss: f64,
    /// Predicted positions `[images][landmarks]`, in pixels of the images.
    pub predicted: Vec<Vec<Point>>,
    /// Loss of an all-zero output on the validation images; `nan` if not known.
    pub zero_loss: f64,
    /// Mean radial error on the training images, in the unit of the errors; `nan` if not known.
    pub train_mre: f64,
    /// Learning rate; `nan` if not known.
    pub lr: f64,
}

/// Writes the records of one trial.
#[derive(Debug)]
pub struct Recorder {
    folder: TrialStore,
    status: TrialStatus,
    seed: u64,
    data: Dataset,
    history: History,
    began: Instant,
    last: Instant,
    /// Held while the trial is recorded.
    _lock: Lock,
}

impl Recorder {
    /// Begins a trial in `results/SWEEP`, beside those that are there.
    ///
    /// # Errors
    /// When names, shapes or numbers are impossible, the trial is done, or another process records or trains it.
    pub fn begin(store: &Store, trial: RecordedTrial, measured: ValidationImages) -> Result<Self> {
        trial.check()?;
        let data = dataset(measured)?;
        let planned = trial_file(&trial, &data)?;
        let id = planned.trial.clone();
        let folder = store.trial(&id);
        let host = provenance::host();
        // Held only while the trial begins: other processes record other trials at the same time.
        let sweep = store.lock_within(&host, PATIENCE)?;
        let lock = emptied(&folder, &host)?;
        write_sweep_file(store, &trial, &id)?;
        drop(sweep);
        folder.begin(planned)?;
        let status = TrialStatus {
            state: State::Running,
            epochs: trial.epochs.unwrap_or(0),
            attempts: 1,
            device: trial.device,
            host,
            ..TrialStatus::pending(&id)
        };
        folder.write_status(&status)?;
        let now = Instant::now();
        let history = History::default();
        Ok(Self { folder, status, seed: trial.seed, data, history, began: now, last: now, _lock: lock })
    }

    /// The trial's name: its folder under `trials`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.status.trial
    }

    /// Writes the records of the next epoch; returns the mean radial error on the validation images, in the unit of the errors.
    ///
    /// # Errors
    /// When a shape or a number is impossible, or a record cannot be written. Nothing is written then.
    pub fn epoch(&mut self, epoch: &RecordedEpoch) -> Result<f64> {
        let number = self.status.epoch + 1;
        let val = self.evaluation(epoch)?;
        let train = Evaluation { loss: epoch.train_loss, errors: Vec::new(), confidences: Vec::new() };
        let evaluated = (val, train);
        let is_mm = self.data.unit().is_millimetres();
        let of_unit = |wanted: bool| if wanted { epoch.train_mre } else { f64::NAN };
        let now = Instant::now();
        let record = EpochRecord {
            trial: self.status.trial.clone(),
            train_loss: epoch.train_loss,
            zero_loss: epoch.zero_loss,
            train_mre_mm: of_unit(is_mm),
            train_mre_px: of_unit(!is_mm),
            lr: epoch.lr,
            seconds: now.duration_since(self.last).as_secs_f64(),
            ..epoch_record(self.seed, number, Some(&evaluated))
        };
        record.check().map_err(|(column, what)| Error::input(what).at(format!("epoch {number}, {column}")))?;
        if !epoch.train_loss.is_finite() {
            return Err(Error::input(format!("the training loss is {}", epoch.train_loss))
                .at(format!("epoch {number}, train_loss"))
                .remedy("a training that diverged ends with `diverged`"));
        }
        let selected = self.history.add(Objective::default_in(self.data.unit()), &record);
        let id = self.status.trial.clone();
        self.history.select(&id, self.seed, number, &selected, &evaluated.0, &self.data);
        self.folder.write_landmarks(&self.history.landmarks)?;
        self.folder.append_errors(&of_epoch(number, &evaluated.0, &self.data))?;
        self.folder.append_epoch(&record)?;
        (self.status.epoch, self.status.epochs) = (number, self.status.epochs.max(number));
        (self.last, self.status.seconds) = (now, now.duration_since(self.began).as_secs_f64());
        self.folder.write_status(&self.status)?;
        Ok(record.mre())
    }

    /// Ends the trial in this state, with a message where it is no success.
    ///
    /// # Errors
    /// When the status cannot be written.
    pub fn end(mut self, state: State, message: Option<String>) -> Result<()> {
        (self.status.state, self.status.message) = (state, message);
        if state == State::Done {
            self.status.epochs = self.status.epoch;
        }
        self.folder.write_status(&self.status)
    }

    fn evaluation(&self, epoch: &RecordedEpoch) -> Result<Evaluation> {
        check_shape("predicted", &epoch.predicted, self.data.samples.len(), self.data.landmarks.len())?;
        let mut errors = Vec::new();
        for (index, (sample, points)) in self.data.samples.iter().zip(&epoch.predicted).enumerate() {
            for (landmark, (truth, predicted)) in sample.landmarks.iter().zip(points).enumerate() {
                let Some(truth) = *truth else { continue };
                if !(predicted.x.is_finite() && predicted.y.is_finite()) {
                    let (image, name) = (&sample.image, &self.data.landmarks[landmark]);
                    return Err(Error::input(format!("({}, {}) is no position", predicted.x, predicted.y))
                        .at(format!("predicted, image {image}, landmark {name}"))
                        .remedy("every landmark needs a position: the centre of the image where none is found"));
                }
                errors.push(LandmarkError::new([index, landmark], truth, *predicted, f64::NAN, sample.spacing, None));
            }
        }
        Ok(Evaluation { loss: epoch.val_loss, errors, confidences: Vec::new() })
    }
}

/// The trial's folder without what an earlier attempt left, and locked.
fn emptied(folder: &TrialStore, host: &str) -> Result<Lock> {
    let refused = |what: String, remedy: &str| Err(Error::results(what).at(folder.root().display()).remedy(remedy));
    if folder.has_begun() {
        if let Some(holder) = folder.trainer()? {
            return refused(format!("{holder} records this trial"), "wait for it, or give this trial another seed");
        }
        if folder.status()?.state == State::Done {
            return refused("this trial is done".to_owned(), "give it another seed, or delete it with `sweep rm`");
        }
        folder.clear()?;
    }
    folder.folder().create()?;
    match folder.lock(host, PATIENCE)? {
        LockResult::Held(lock) => Ok(lock),
        LockResult::Busy(_) => refused("another process records this trial".to_owned(), "give this trial another seed"),
    }
}

/// Whether a table of positions has a row for each image and an entry for each landmark.
fn check_shape<T>(what: &str, rows: &[Vec<T>], images: usize, landmarks: usize) -> Result<()> {
    let entries = rows.iter().map(Vec::len).find(|entries| *entries != landmarks);
    if rows.len() == images && entries.is_none() {
        return Ok(());
    }
    let found = entries.unwrap_or(landmarks);
    Err(Error::input(format!("{} images with {found} landmarks, not {images} with {landmarks}", rows.len()))
        .at(what)
        .remedy(format!("give positions of shape [{images}, {landmarks}, 2]")))
}

/// The images as a data set without pixels.
fn dataset(measured: ValidationImages) -> Result<Dataset> {
    let ValidationImages { images, landmarks, truth, spacing, patients } = measured;
    if images.is_empty() {
        return Err(Error::input("no validation images").remedy("landmarks are measured on at least one image"));
    }
    check_shape("truth", &truth, images.len(), landmarks.len())?;
    let count = images.len();
    let is_short = |what: &str, length: Option<usize>| match length {
        Some(length) if length != count => {
            Err(Error::input(format!("{length} values for {count} images")).at(what.to_owned()))
        }
        _ => Ok(()),
    };
    is_short("spacing", spacing.as_ref().map(Vec::len))?;
    is_short("patients", patients.as_ref().map(Vec::len))?;
    if let Some(spacing) = spacing.iter().flatten().find(|spacing| !spacing.is_valid()) {
        return Err(Error::input(format!("spacing {} × {} mm per pixel", spacing.x, spacing.y))
            .at("spacing")
            .remedy("both must be positive, e.g. 0.1; without spacing, errors are in pixels"));
    }
    let samples = images.into_iter().zip(truth).enumerate().map(|(index, (image, landmarks))| Sample {
        image,
        split: Split::Val,
        size: Size { height: 0, width: 0 },
        pixels: Vec::new(),
        landmarks,
        spacing: spacing.as_ref().map(|spacing| spacing[index]),
        patient: patients.as_ref().map(|patients| patients[index].clone()),
    });
    let name = "recorded".to_owned();
    let data = Dataset { name, landmarks, observer_mre: None, normalise: None, samples: samples.collect() };
    data.check_names()?;
    let is_bad = |point: &Point| !(point.x.is_finite() && point.y.is_finite());
    if let Some(sample) = data.samples.iter().find(|sample| sample.landmarks.iter().flatten().any(is_bad)) {
        return Err(Error::input("a true position is infinite").at(format!("truth, image {}", sample.image)));
    }
    Ok(data)
}

/// Hash (hexadecimal) of everything that the errors are measured against.
fn content(data: &Dataset) -> String {
    let mut hash = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    data.landmarks.iter().for_each(|name| part(name.as_bytes()));
    for sample in &data.samples {
        part(sample.image.as_bytes());
        let numbers = sample.spacing.map(|spacing| [spacing.x, spacing.y]).into_iter().flatten();
        let positions = sample.landmarks.iter().flat_map(|point| point.map_or([f64::NAN; 2], |p| [p.x, p.y]));
        numbers.chain(positions).for_each(|number| part(&number.to_le_bytes()));
    }
    hash.finalize().to_hex().to_string()
}

fn trial_file(trial: &RecordedTrial, data: &Dataset) -> Result<TrialFile> {
    let mut config = Table::new();
    for (path, value) in &trial.axes {
        let is_path = !path.is_empty() && path.split('.').all(|part| !part.is_empty());
        let assigned = if is_path { assign(&mut config, path, value.clone()) } else { Err("is no key".to_owned()) };
        assigned.map_err(|what| Error::input(format!("`{path}`: {what}")).at("axes"))?;
    }
    for (key, value) in [("seed", Some(trial.seed)), ("epochs", trial.epochs.map(u64::from))] {
        let Some(value) = value else { continue };
        let value = i64::try_from(value).map_err(|_| Error::input(format!("{key} {value} is too large")).at(key))?;
        if config.insert(key.to_owned(), Value::Integer(value)).is_some() {
            return Err(Error::input(format!("`{key}` is no axis of a recorded trial")).at("axes"));
        }
    }
    let content = content(data);
    let identity = blake3::hash(format!("recorded\n{config}\n{content}").as_bytes()).to_hex().to_string();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let axes: Vec<(String, String)> = trial.axes.iter().map(|(path, value)| (path.clone(), text(value))).collect();
    Ok(TrialFile {
        trial: trial_id(axes.iter().map(|(_, value)| value.as_str()), trial.seed, &identity),
        identity,
        dataset_hash: content,
        unit: data.unit(),
        mean_shape_mre_mm: None,
        mean_shape_mre_px: None,
        observer_mre_mm: None,
        measures: Measures::default(),
        untrained: Vec::new(),
        unmeasured: Vec::new(),
        images: std::collections::BTreeMap::new(),
        axes,
        weights: None,
        config,
    })
}

/// Adds a trial to `sweep.toml`, or makes the file.
fn write_sweep_file(store: &Store, trial: &RecordedTrial, id: &str) -> Result<()> {
    let mut file = if store.is_sweep() {
        store.read_sweep_file()?
    } else {
        let provenance =
            Table::try_from(Provenance::gather(&trial.device, 1)).map_err(|e| Error::results(e.to_string()))?;
        SweepFile {
            name: trial.sweep.clone(),
            question: trial.question.clone(),
            claims: None,
            seeds: Vec::new(),
            trials: Vec::new(),
            provenance,
            definition: "# Trained and recorded by another program.\n".to_owned(),
        }
    };
    if !file.trials.iter().any(|known| known == id) {
        file.trials.push(id.to_owned());
    }
    if !file.seeds.contains(&trial.seed) {
        file.seeds.push(trial.seed);
    }
    store.write_sweep_file(&file)
}

#[cfg(test)]
mod tests;
