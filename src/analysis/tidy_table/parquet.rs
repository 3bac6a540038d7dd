//! A table as Apache Parquet.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use sweep_core::error::{Error, Result};

use super::{Column, Table};

/// Rows of a row group: readers load one group at a time.
const ROW_GROUP_SIZE: usize = 1 << 17;

pub(super) fn parquet(table: &Table) -> Result<Vec<u8>> {
    written(table).map_err(|e| Error::results(format!("cannot write Parquet: {e}")))
}

fn written(table: &Table) -> Result<Vec<u8>, ParquetError> {
    let fields = table.columns.iter().map(|(name, column)| Ok(Arc::new(field(name, column)?)));
    let fields = fields.collect::<Result<_, ParquetError>>()?;
    let schema = Arc::new(Type::group_type_builder("sweep").with_fields(fields).build()?);
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, properties)?;
    for first in (0..table.rows()).step_by(ROW_GROUP_SIZE) {
        let rows = first..(first + ROW_GROUP_SIZE).min(table.rows());
        let mut group = file.next_row_group()?;
        for (_, column) in &table.columns {
            if let Some(mut writer) = group.next_column()? {
                write(&mut writer, column, rows.clone())?;
                writer.close()?;
            }
        }
        group.close()?;
    }
    file.close()?;
    Ok(bytes)
}

fn field(name: &str, column: &Column) -> Result<Type, ParquetError> {
    let (physical, logical, repetition) = match column {
        Column::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String), Repetition::OPTIONAL),
        Column::Integer(_) => (Physical::INT64, None, Repetition::OPTIONAL),
        Column::Number(_) => (Physical::DOUBLE, None, Repetition::REQUIRED),
        Column::Boolean(_) => (Physical::BOOLEAN, None, Repetition::OPTIONAL),
    };
    Type::primitive_type_builder(name, physical).with_logical_type(logical).with_repetition(repetition).build()
}

fn write(
    writer: &mut SerializedColumnWriter<'_>,
    column: &Column,
    rows: std::ops::Range<usize>,
) -> Result<(), ParquetError> {
    /// The present values, and for every row whether its value is present.
    fn split<T>(values: impl Iterator<Item = Option<T>>) -> (Vec<T>, Vec<i16>) {
        let (mut present, mut levels) = (Vec::new(), Vec::new());
        for value in values {
            levels.push(i16::from(value.is_some()));
            present.extend(value);
        }
        (present, levels)
    }
    match column {
        Column::Text(texts) => {
            let (values, levels) =
                split(texts.iter().skip(rows.start).take(rows.len()).map(|t| t.map(ByteArray::from)));
            writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
        Column::Integer(values) => {
            let (values, levels) = split(values[rows].iter().copied());
            writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        Column::Number(values) => {
            writer.typed::<DoubleType>().write_batch(&values[rows], None, None)?;
        }
        Column::Boolean(values) => {
            let (values, levels) = split(values[rows].iter().copied());
            writer.typed::<BoolType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    Ok(())
}
