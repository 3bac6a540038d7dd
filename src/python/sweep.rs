//! Plans and runs sweeps.

use std::path::PathBuf;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use sweep_app::sweep::{self, Sweep};
use sweep_core::error::{Error, Result};
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::records::EpochRecord;
use sweep_experiment::store;
use sweep_planning::plan::{Trial as Planned, plan as plan_of};
use sweep_training::train::Observer;

use crate::errors::{detached, raised};
use crate::results::NativeResults;
use crate::{settings, values};

/// A definition from its file, or from a dictionary of what would be in it.
fn definition(py: Python<'_>, from: &Bound<'_, PyAny>) -> PyResult<SweepDefinition> {
    if from.is_instance_of::<PyDict>() {
        let text = toml::to_string(&settings::value("definition", from)?)
            .map_err(|error| raised(py, &Error::definition(error.to_string())))?;
        return detached(py, || sweep::parse("definition", &text));
    }
    let path: PathBuf =
        from.extract().map_err(|_| PyTypeError::new_err("definition: a path of a TOML file, or a dictionary"))?;
    let remedy = "name a TOML file, as experiments/loss.toml, or give a dictionary of what would be in it";
    let text = || store::read_text(&path).map_err(|error| error.remedy(remedy));
    detached(py, || sweep::parse(&path.display().to_string(), &text()?))
}

/// A trial of a plan.
#[pyclass(frozen, get_all, module = "landmark_sweep")]
pub(crate) struct Trial {
    /// Its name: the folder of its records.
    id: String,
    /// Its seed.
    seed: u64,
    /// Its values on the axes.
    axes: Py<PyAny>,
    /// Its whole configuration.
    config: Py<PyAny>,
}

#[pymethods]
impl Trial {
    fn __repr__(&self) -> String {
        format!("Trial({:?})", self.id)
    }
}

#[pyfunction]
pub(crate) fn plan(py: Python<'_>, definition: &Bound<'_, PyAny>) -> PyResult<Vec<Trial>> {
    let definition = self::definition(py, definition)?;
    let trials = detached(py, || plan_of(&definition)?.iter().map(Planned::file).collect::<Result<Vec<_>>>())?;
    let trial = |file: store::TrialFile| {
        let axes = PyDict::new(py);
        for (path, value) in &file.axes {
            axes.set_item(path, value)?;
        }
        let config = values::python(py, &file.config)?.unbind();
        Ok(Trial { seed: file.seed(), id: file.trial, axes: axes.into_any().unbind(), config })
    };
    trials.into_iter().map(trial).collect()
}

/// Calls back into Python after epochs, and stops when it is interrupted.
struct Callback {
    on_epoch: Option<Py<PyAny>>,
    raised: Option<PyErr>,
}

impl Callback {
    fn check(&mut self, call: impl FnOnce(Python<'_>) -> PyResult<()>) {
        if self.raised.is_some() {
            return;
        }
        match Python::try_attach(|py| py.check_signals().and_then(|()| call(py))) {
            Some(called) => self.raised = called.err(),
            // The interpreter has ended, and the process ends with it: there is nobody to return to.
            None => loop {
                std::thread::park();
            },
        }
    }
}

impl Observer for Callback {
    fn step(&mut self, _: sweep_model::lr_schedule::Progress) {
        self.check(|_| Ok(()));
    }

    fn evaluating(&mut self) {
        self.check(|_| Ok(()));
    }

    fn epoch(&mut self, record: &EpochRecord) {
        let on_epoch = self.on_epoch.take();
        self.check(|py| match &on_epoch {
            Some(callable) => callable.call1(py, (epoch(py, record)?,)).map(|_| ()),
            None => Ok(()),
        });
        self.on_epoch = on_epoch;
    }

    fn stop(&self) -> bool {
        self.raised.is_some()
    }
}

/// An epoch as a dictionary: errors in the unit of the data set.
fn epoch<'py>(py: Python<'py>, record: &EpochRecord) -> PyResult<Bound<'py, PyDict>> {
    let known = |value: f64| (!value.is_nan()).then_some(value);
    let entries = PyDict::new(py);
    entries.set_item("trial", &record.trial)?;
    entries.set_item("seed", record.seed)?;
    entries.set_item("epoch", record.epoch)?;
    entries.set_item("train_loss", known(record.train_loss))?;
    entries.set_item("val_loss", known(record.val_loss))?;
    entries.set_item("val_mre", known(record.mre()))?;
    entries.set_item("train_mre", known(record.train_mre()))?;
    entries.set_item("unit", record.unit().map(|unit| unit.to_string()))?;
    entries.set_item("lr", known(record.lr))?;
    entries.set_item("seconds", known(record.seconds))?;
    Ok(entries)
}

#[pyfunction]
#[pyo3(signature = (definition, results, device, on_epoch))]
pub(crate) fn run(
    py: Python<'_>,
    definition: &Bound<'_, PyAny>,
    results: PathBuf,
    device: &str,
    on_epoch: Option<Py<PyAny>>,
) -> PyResult<NativeResults> {
    let device = values::device(py, device)?;
    if on_epoch.as_ref().is_some_and(|callable| !callable.bind(py).is_callable()) {
        return Err(PyTypeError::new_err("on_epoch: a function of one argument, the epoch as a dictionary"));
    }
    let sweep = Sweep::new(self::definition(py, definition)?, &results);
    let mut callback = Callback { on_epoch, raised: None };
    let ran = detached(py, || sweep.run(device, &mut callback).map(|_| ()));
    match callback.raised {
        Some(raised) => Err(raised),
        None => ran.map(|()| NativeResults::of(sweep.store().clone())),
    }
}
