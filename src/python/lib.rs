//! The Python module `landmark_sweep._native`: sweeps, their results, predictions and the recorder. `landmark_sweep/__init__.py`
//! documents it for users; the types are in `landmark_sweep/_native.pyi`.
//!
//! The interpreter's lock is released while anything is trained, read or computed, and no panic crosses into Python.

#![expect(clippy::needless_pass_by_value, reason = "arguments come from Python as values")]

use pyo3::prelude::*;

mod data;
mod errors;
mod predictor;
mod recorder;
mod results;
mod settings;
mod sweep;
mod table;
mod threads;
mod values;

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::data::{Sample, inspect, read_dataset, write_dataset};
    #[pymodule_export]
    use super::errors::SweepError;
    #[pymodule_export]
    use super::predictor::{Landmarks, Predictor};
    #[pymodule_export]
    use super::recorder::NativeRecorder;
    #[pymodule_export]
    use super::results::NativeResults;
    #[pymodule_export]
    use super::sweep::{Trial, plan, run};
    #[pymodule_export]
    use super::table::NativeTable;
}
