//! The results of a sweep as tables and findings.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::Value;

use sweep_analysis::gate::{self, Baseline, Margins};
use sweep_analysis::keys::keys_in;
use sweep_analysis::tidy_table::{Column, RowKind, Table, table};
use sweep_analysis::{findings, load, report};
use sweep_app::sweep;
use sweep_core::error::{Error, Result};
use sweep_experiment::store::Store;

use crate::errors::{detached, raised};
use crate::table::NativeTable;
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

    /// A table of these rows.
    fn table(&self, py: Python<'_>, rows: &str) -> PyResult<NativeTable> {
        let kind = match rows {
            "trials" => RowKind::Trials,
            "summary" => RowKind::Summary,
            "epochs" => RowKind::Epochs,
            "landmarks" => RowKind::Landmarks,
            "errors" => RowKind::Errors,
            "measures" => RowKind::Measures,
            _ => {
                let what = Error::input(format!("there are no rows `{rows}`"));
                return Err(raised(py, &what.remedy("trials, summary, epochs, landmarks, errors or measures")));
            }
        };
        detached(py, || NativeTable::of(table(std::slice::from_ref(&self.store), kind)?))
    }

    /// The findings of a report, most important topics first: dictionaries as in `findings.json`, and a table of them.
    fn findings<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, NativeTable)> {
        let (found, table) = detached(py, || {
            let records = load::load(&self.store)?;
            let found = serde_json::to_value(findings::findings(&records));
            let found = keys_in(found.map_err(|error| Error::results(error.to_string()))?, records.unit);
            let table = NativeTable::of(findings_table(&found))?;
            Ok((found, table))
        })?;
        Ok((values::python(py, &found)?, table))
    }

    /// The figure of loss against landmark error as a PNG; `None` while no epoch was measured.
    fn loss_against_error<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let png = detached(py, || report::loss_against_error(&load::load(&self.store)?))?;
        Ok(png.map(|png| PyBytes::new(py, &png)))
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

/// A row per finding, with the words of `findings.json`. The estimate is that of the verdict, in `unit`, with its 95 % interval.
fn findings_table(findings: &Value) -> Table {
    let findings = findings.as_array().map_or(&[][..], Vec::as_slice);
    let text = |at: &str| Column::Text(findings.iter().map(|finding| finding.pointer(at)?.as_str()).collect());
    let integer = |at: &str| Column::Integer(findings.iter().map(|finding| finding.pointer(at)?.as_i64()).collect());
    let number = |at: &str| {
        let of = |finding: &Value| finding.pointer(at).and_then(Value::as_f64).unwrap_or(f64::NAN);
        Column::Number(findings.iter().map(of).collect())
    };
    let columns = [
        ("id", text("/id")),
        ("topic", text("/topic")),
        ("verdict", text("/verdict")),
        ("sentence", text("/sentence")),
        ("estimate", number("/estimate/point")),
        ("interval_low", number("/estimate/interval/0")),
        ("interval_high", number("/estimate/interval/1")),
        ("unit", text("/unit")),
        ("p_value", number("/p_value")),
        ("p_adjusted", number("/p_adjusted")),
        ("tests", integer("/tests")),
        ("picture", text("/picture")),
    ];
    Table { columns: columns.map(|(name, column)| (name.to_owned(), column)).into(), left_out: Vec::new() }
}
