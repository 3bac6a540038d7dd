//! Tables for other libraries, which read them where they lie in memory: the Arrow `PyCapsule` interface.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, LargeStringArray, RecordBatch, RecordBatchIterator,
};
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList};

use sweep_analysis::tidy_table::{Column, Table};
use sweep_core::error::{Error, Kind, Result};

use crate::errors::raised;

/// A table of Arrow. Whoever reads it shares its columns, and keeps them alive.
#[pyclass(frozen, module = "landmark_sweep")]
pub(crate) struct NativeTable {
    batch: RecordBatch,
}

impl NativeTable {
    /// Takes over the columns: numbers stay where they are, texts and what has gaps are packed as Arrow has them.
    pub(crate) fn of(table: Table) -> Result<Self> {
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (name, column) in table.columns {
            let has_gaps = !matches!(column, Column::Number(_));
            let array: ArrayRef = match column {
                // Offsets of 64 bits: a table of all errors has more text than those of 32 bits reach.
                Column::Text(texts) => Arc::new(texts.iter().collect::<LargeStringArray>()),
                Column::Integer(values) => Arc::new(Int64Array::from(values)),
                Column::Number(values) => Arc::new(Float64Array::from(values)),
                Column::Boolean(values) => Arc::new(BooleanArray::from(values)),
            };
            fields.push(Field::new(name, array.data_type().clone(), has_gaps));
            columns.push(array);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| refused(&error))?;
        Ok(Self { batch })
    }
}

fn refused(error: &ArrowError) -> Error {
    Error::new(Kind::Computation, format!("the table cannot be handed over: {error}"))
}

#[pymethods]
impl NativeTable {
    fn __len__(&self) -> usize {
        self.batch.num_rows()
    }

    /// Names of the columns.
    fn names(&self) -> Vec<String> {
        self.batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// The columns, each a list: missing values are `None`, missing numbers `nan`.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let columns = PyDict::new(py);
        for (field, array) in self.batch.schema_ref().fields().iter().zip(self.batch.columns()) {
            let list = match array.data_type() {
                DataType::Int64 => PyList::new(py, array.as_primitive::<Int64Type>().iter().collect::<Vec<_>>())?,
                DataType::Float64 => PyList::new(py, array.as_primitive::<Float64Type>().values().iter().copied())?,
                DataType::Boolean => PyList::new(py, array.as_boolean().iter().collect::<Vec<_>>())?,
                _ => PyList::new(py, array.as_string::<i64>().iter().collect::<Vec<_>>())?,
            };
            columns.set_item(field.name(), list)?;
        }
        Ok(columns)
    }

    /// The types of the columns, as a capsule of Arrow.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema =
            FFI_ArrowSchema::try_from(&**self.batch.schema_ref()).map_err(|error| raised(py, &refused(&error)))?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    /// The table as a capsule of Arrow. The types are always its own: the interface lets a producer ignore those asked for.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let batches = RecordBatchIterator::new([Ok(self.batch.clone())], self.batch.schema());
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(batches)), c"arrow_array_stream")
    }
}
