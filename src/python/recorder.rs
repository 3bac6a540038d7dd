//! Records of a training in Python.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Spacing};
use sweep_experiment::records::State;
use sweep_experiment::store::Store;
use sweep_training::recorder::{RecordedEpoch, RecordedTrial, Recorder, ValidationImages};

use crate::errors::{detached, raised};
use crate::{settings, values};

/// Names of the images, and the true positions on them.
type Measured = (Vec<String>, Vec<Vec<Option<Point>>>);

/// Begins at its first epoch, which says what is measured.
#[pyclass(module = "landmark_sweep")]
pub(crate) struct NativeRecorder {
    store: Store,
    trial: RecordedTrial,
    recorder: Option<Recorder>,
    measured: Option<Measured>,
    has_ended: bool,
}

#[pymethods]
impl NativeRecorder {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn new(
        py: Python<'_>,
        results: PathBuf,
        sweep: String,
        axes: &Bound<'_, PyDict>,
        seed: u64,
        question: Option<String>,
        epochs: Option<u32>,
        device: String,
    ) -> PyResult<Self> {
        let axes = settings::values("axes", axes)?;
        let trial = RecordedTrial { sweep, question, axes, seed, epochs, device };
        trial.check().map_err(|error| raised(py, &error))?;
        Ok(Self { store: Store::new(&results, &trial.sweep), trial, recorder: None, measured: None, has_ended: false })
    }

    /// The trial's name, once it has begun.
    #[getter]
    fn trial(&self) -> Option<String> {
        self.recorder.as_ref().map(|recorder| recorder.id().to_owned())
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.store.root().to_owned()
    }

    /// Records an epoch; returns the mean radial error.
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn epoch(
        &mut self,
        py: Python<'_>,
        train_loss: f64,
        val_loss: f64,
        truth: &Bound<'_, PyAny>,
        predicted: &Bound<'_, PyAny>,
        images: Vec<String>,
        landmarks: Option<Vec<String>>,
        spacing: Option<Bound<'_, PyAny>>,
        patients: Option<Vec<String>>,
        zero_loss: Option<f64>,
        train_mre: Option<f64>,
        lr: Option<f64>,
    ) -> PyResult<f64> {
        let truth = values::positions(truth, "truth")?;
        let count = truth.first().map_or(0, Vec::len);
        let spacing = spacing.map(|spacing| spacings(&spacing, images.len())).transpose()?;
        let nowhere = Point { x: f64::NAN, y: f64::NAN };
        let predicted = values::positions(predicted, "predicted")?
            .into_iter()
            .map(|image| image.into_iter().map(|point| point.unwrap_or(nowhere)).collect())
            .collect();
        let unknown = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let epoch = RecordedEpoch {
            train_loss,
            val_loss,
            predicted,
            zero_loss: unknown(zero_loss),
            train_mre: unknown(train_mre),
            lr: unknown(lr),
        };
        detached(py, || self.record(images, truth, count, landmarks, spacing, patients, &epoch))
    }

    /// Ends the trial: `done`, `diverged`, `failed` or `interrupted`.
    fn end(&mut self, py: Python<'_>, state: &str, message: Option<String>) -> PyResult<()> {
        self.has_ended = true;
        let Some(recorder) = self.recorder.take() else { return Ok(()) };
        let state = match state {
            "done" => State::Done,
            "diverged" => State::Diverged,
            "failed" => State::Failed,
            "interrupted" => State::Interrupted,
            _ => return Err(raised(py, &Error::input(format!("there is no end `{state}`")))),
        };
        detached(py, || recorder.end(state, message))
    }
}

impl NativeRecorder {
    #[expect(clippy::too_many_arguments, reason = "passed on from Python")]
    fn record(
        &mut self,
        images: Vec<String>,
        truth: Vec<Vec<Option<Point>>>,
        count: usize,
        landmarks: Option<Vec<String>>,
        spacing: Option<Vec<Spacing>>,
        patients: Option<Vec<String>>,
        epoch: &RecordedEpoch,
    ) -> Result<f64> {
        if self.has_ended {
            return Err(Error::input("the trial has ended").remedy("a Recorder records one training"));
        }
        if let Some((before, marked)) = &self.measured
            && (*before != images || *marked != truth)
        {
            return Err(Error::input("other images or other true positions than in the first epoch")
                .remedy("measure every epoch on the same validation images, in the same order"));
        }
        let recorder = match &mut self.recorder {
            Some(recorder) => recorder,
            none => {
                let names = || (1..=count).map(|number| format!("landmark {number}")).collect();
                let landmarks = landmarks.unwrap_or_else(names);
                self.measured = Some((images.clone(), truth.clone()));
                let measured = ValidationImages { images, landmarks, truth, spacing, patients };
                none.insert(Recorder::begin(&self.store, self.trial.clone(), measured)?)
            }
        };
        recorder.epoch(epoch)
    }
}

/// Millimetres per pixel of each image, from a number, x and y, or an array `[images, 2]`.
fn spacings(value: &Bound<'_, PyAny>, images: usize) -> PyResult<Vec<Spacing>> {
    if value.extract::<f64>().is_ok() || value.extract::<(f64, f64)>().is_ok() {
        return Ok(vec![values::spacing(value)?; images]);
    }
    let (shape, numbers) = values::numbers(value, "spacing")?;
    if shape != [images, 2] {
        let what = Error::input(format!("spacing has the shape {shape:?}"));
        let remedy = format!("a number, (x, y), or an array of shape [{images}, 2]: millimetres per pixel");
        return Err(raised(value.py(), &what.remedy(remedy)));
    }
    Ok(numbers.chunks_exact(2).map(|xy| Spacing { x: xy[0], y: xy[1] }).collect())
}
