//! A table as text: CSV and JSON.

use std::io::Write;

use sweep_core::error::{Error, Result};
use sweep_core::plain;

use super::{Column, Table};

pub(super) fn csv(table: &Table) -> Result<Vec<u8>> {
    let failed = |e: csv::Error| Error::results(format!("cannot write CSV: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(table.columns.iter().map(|(name, _)| name)).map_err(failed)?;
    let mut columns: Vec<_> = table.columns.iter().map(|(_, column)| cells(column, &Spelling::CSV)).collect();
    for _ in 0..table.rows() {
        for column in &mut columns {
            writer.write_field(column.next().unwrap_or_default()).map_err(failed)?;
        }
        writer.write_record(None::<&[u8]>).map_err(failed)?;
    }
    writer.into_inner().map_err(|e| Error::results(format!("cannot write CSV: {}", e.error())))
}

pub(super) fn json(table: &Table) -> Result<Vec<u8>> {
    let quoted = |text: &str| serde_json::to_string(text).map_err(|e| Error::results(e.to_string()));
    let names: Vec<String> = table.columns.iter().map(|(name, _)| quoted(name)).collect::<Result<_>>()?;
    let mut columns: Vec<_> = table.columns.iter().map(|(_, column)| cells(column, &Spelling::JSON)).collect();
    let mut bytes = b"[".to_vec();
    for row in 0..table.rows() {
        let fields: Vec<String> = names
            .iter()
            .zip(&mut columns)
            .map(|(name, column)| format!("{name}:{}", column.next().unwrap_or_default()))
            .collect();
        let separator = if row == 0 { "" } else { "," };
        // Writing to memory cannot fail.
        let _ = write!(bytes, "{separator}\n{{{}}}", fields.join(","));
    }
    bytes.extend(b"\n]\n");
    Ok(bytes)
}

/// Spelling of texts and of missing or infinite values in a format.
struct Spelling {
    text: fn(&str) -> String,
    no_text: &'static str,
    no_number: &'static str,
    infinite: fn(f64) -> String,
}

impl Spelling {
    const CSV: Self = Self {
        text: |text| plain::cell(text).into_owned(),
        no_text: "",
        no_number: "nan",
        infinite: |v| v.to_string(),
    };
    const JSON: Self = Self {
        text: |text| serde_json::Value::from(text).to_string(),
        no_text: "null",
        no_number: "null",
        // JSON has no infinity either.
        infinite: |_| "null".to_owned(),
    };
}

fn cells<'a>(column: &'a Column, spelling: &'a Spelling) -> Box<dyn Iterator<Item = String> + 'a> {
    let nothing = || spelling.no_number.to_owned();
    match column {
        Column::Text(texts) => {
            Box::new(texts.iter().map(|text| text.map_or_else(|| spelling.no_text.to_owned(), spelling.text)))
        }
        Column::Integer(values) => Box::new(values.iter().map(move |v| v.map_or_else(nothing, |v| v.to_string()))),
        Column::Boolean(values) => Box::new(values.iter().map(move |v| v.map_or_else(nothing, |v| v.to_string()))),
        Column::Number(values) => Box::new(values.iter().map(move |value| match value {
            v if v.is_nan() => nothing(),
            v if v.is_infinite() => (spelling.infinite)(*v),
            v => v.to_string(),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let column = |name: &str, column| (name.to_owned(), column);
        Table {
            left_out: Vec::new(),
            columns: vec![
                column("loss.name", Column::Text([Some("l1"), None, Some("a \"b\", c")].into_iter().collect())),
                column("epochs", Column::Integer(vec![Some(3), None, Some(5)])),
                column("mre_mm", Column::Number(vec![1.25, f64::NAN, f64::INFINITY])),
                column("collapsed", Column::Boolean(vec![Some(true), Some(false), None])),
            ],
        }
    }

    #[test]
    fn what_does_not_exist_is_said_in_each_format() {
        let csv = String::from_utf8(csv(&table()).unwrap()).unwrap();
        let rows =
            ["loss.name,epochs,mre_mm,collapsed", "l1,3,1.25,true", ",nan,nan,false", "\"a \"\"b\"\", c\",5,inf,nan"];
        assert_eq!(csv.lines().collect::<Vec<_>>(), rows);
        let json: serde_json::Value = serde_json::from_slice(&json(&table()).unwrap()).unwrap();
        let rows = serde_json::json!([
            { "loss.name": "l1", "epochs": 3, "mre_mm": 1.25, "collapsed": true },
            { "loss.name": null, "epochs": null, "mre_mm": null, "collapsed": false },
            { "loss.name": "a \"b\", c", "epochs": 5, "mre_mm": null, "collapsed": null },
        ]);
        assert_eq!(json, rows);
        assert_eq!(super::json(&Table::default()).unwrap(), b"[\n]\n");
    }
}
