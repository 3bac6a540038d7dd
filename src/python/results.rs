//! The results of a sweep as tables and findings.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use sweep_analysis::gate::{self, Baseline, Margins};
use sweep_analysis::tidy_table::{Column, Format, RowKind, Table, table};
use sweep_analysis::{findings, load};
use sweep_app::sweep;
use sweep_core::error::{Error, Result};
use sweep_experiment::store::Store;

use crate::errors::{detached, raised};
use crate::values;

/// The folder of a sweep.
#[pyclass(frozen, module = "landmark_sweep")]
pub(crate) struct NativeResults {
    store: Store,
}

impl NativeResults {
    pub(crate) fn of(store: Store) -> Self {
        Self { store }
    }

    fn table(&self, py: Python<'_>, rows: &str) -> PyResult<Table> {
        let kind = match rows {
            "trials" => RowKind::Summary,
            "epochs" => RowKind::Epochs,
            "landmarks" => RowKind::Landmarks,
            "errors" => RowKind::Errors,
            _ => {
                let what = Error::input(format!("there are no rows `{rows}`"));
                return Err(raised(py, &what.remedy("trials, epochs, landmarks or errors")));
            }
        };
        detached(py, || table(std::slice::from_ref(&self.store), kind))
    }
}

#[pymethods]
impl NativeResults {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let store = Store::at(&path);
        if store.is_sweep() {
            return Ok(Self { store });
        }
        let what = Error::results("there is no sweep here").at(path.display());
        Err(raised(py, &what.remedy(store.name_a_sweep())))
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.store.root().to_owned()
    }

    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || Ok(self.store.read_sweep_file()?.name))
    }

    #[getter]
    fn question(&self, py: Python<'_>) -> PyResult<Option<String>> {
        detached(py, || Ok(self.store.read_sweep_file()?.question))
    }

    /// The columns of a table, each a list.
    fn columns<'py>(&self, py: Python<'py>, rows: &str) -> PyResult<Bound<'py, PyDict>> {
        let table = self.table(py, rows)?;
        let columns = PyDict::new(py);
        for (name, column) in &table.columns {
            match column {
                Column::Text(texts) => columns.set_item(name, texts.iter().collect::<Vec<_>>())?,
                Column::Integer(values) => columns.set_item(name, values)?,
                Column::Number(values) => columns.set_item(name, values)?,
                Column::Boolean(values) => columns.set_item(name, values)?,
            }
        }
        Ok(columns)
    }

    /// A table as a file of Apache Parquet.
    fn parquet<'py>(&self, py: Python<'py>, rows: &str) -> PyResult<Bound<'py, PyBytes>> {
        let table = self.table(py, rows)?;
        let bytes = detached(py, || table.bytes(Format::Parquet))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The findings of a report, most important topics first.
    fn findings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let found = detached(py, || Ok(findings::findings(&load::load(&self.store)?)))?;
        values::python(py, &found)
    }

    /// Writes summary and report; returns the path of `index.html`.
    fn report(&self, py: Python<'_>) -> PyResult<PathBuf> {
        detached(py, || sweep::report(&self.store))?;
        Ok(self.store.report().join("index.html"))
    }

    /// Holds the landmark errors against a baseline.
    fn check<'py>(
        &self,
        py: Python<'py>,
        baseline: PathBuf,
        margin: Option<f64>,
        sdr_margin: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let check = || -> Result<_> {
            let before = Baseline::read(&baseline)?;
            let now = gate::collect_as(&load::load(&self.store)?, &before.metric);
            let margins = Margins {
                mre_mm: margin.unwrap_or(before.unit.margin()),
                sdr_points: sdr_margin,
                measures: std::collections::BTreeMap::new(),
            };
            gate::check(&before, &now, &margins)
        };
        values::python(py, &detached(py, check)?)
    }
}
