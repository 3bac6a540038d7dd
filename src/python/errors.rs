//! Errors as Python exceptions.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use sweep_core::error::{Error, Kind, Result};

use crate::threads;

create_exception!(
    landmark_sweep,
    SweepError,
    PyException,
    "Something that `sweep` cannot do, and what would be right. Attributes: `kind`, `message`, `location`, `remedy`."
);

/// The exception of an error, with its parts as attributes.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let exception = SweepError::new_err(error.to_string());
    let value = exception.value(py);
    let kind = match error.kind {
        Kind::Definition => "definition",
        Kind::Input => "input",
        Kind::Results => "results",
        Kind::Device => "device",
        Kind::Interrupted => "interrupted",
        Kind::Computation | Kind::ClosedOutput => "computation",
    };
    let set = value
        .setattr("kind", kind)
        .and_then(|()| value.setattr("message", &error.message))
        .and_then(|()| value.setattr("location", error.location.as_deref()))
        .and_then(|()| value.setattr("remedy", error.remedy.as_deref()));
    set.err().unwrap_or(exception)
}

/// Does work without the interpreter's lock. Errors and panics become exceptions.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(|| threads::own(work)))) {
        Ok(result) => result.map_err(|error| raised(py, &error)),
        Err(_) => Err(raised(py, &Error::new(Kind::Computation, "a fault of the program; its words are above"))),
    }
}
