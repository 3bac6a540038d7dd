//! Values of Python as values of a definition.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyMapping, PyString};
use toml::{Table, Value};

use sweep_core::error::Error;

use crate::errors::raised;

/// A value of a definition from dictionaries, lists, texts, numbers, booleans, paths, and what NumPy has of these. `of` is what
/// the value is part of, for errors.
pub(crate) fn value(of: &str, given: &Bound<'_, PyAny>) -> PyResult<Value> {
    at_key(of, "", given)
}

fn at_key(of: &str, key: &str, given: &Bound<'_, PyAny>) -> PyResult<Value> {
    let refused = |what: String, remedy: &str| {
        let place = if key.is_empty() { of.to_owned() } else { format!("{of}, key `{key}`") };
        raised(given.py(), &Error::definition(what).at(place).remedy(remedy))
    };
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    if given.is_none() {
        return Err(refused("None is no value of a definition".to_owned(), "leave the key out"));
    }
    if let Ok(truth) = given.cast::<PyBool>() {
        return Ok(Value::Boolean(truth.is_true()));
    }
    if given.is_instance_of::<PyInt>() {
        let number = given.extract::<i64>();
        return number.map(Value::Integer).map_err(|_| refused(format!("{given} is too large"), "64 bits hold it"));
    }
    if given.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(given.extract()?));
    }
    if given.is_instance_of::<PyString>() {
        return Ok(Value::String(given.extract()?));
    }
    if let Ok(mapping) = given.cast::<PyMapping>() {
        let mut table = Table::new();
        for entry in mapping.items()? {
            let (name, inner) = entry.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            let Ok(name) = name.extract::<String>() else {
                return Err(refused(format!("the key {name} is no text"), "keys are texts, as \"loss.name\""));
            };
            table.insert(name.clone(), at_key(of, &below(&name), &inner)?);
        }
        return Ok(Value::Table(table));
    }
    // Arrays and numbers of NumPy, and tensors of PyTorch.
    if let Ok(plain) = given.call_method0("tolist") {
        return at_key(of, key, &plain);
    }
    if let Ok(path) = given.extract::<PathBuf>() {
        let text = path.into_os_string().into_string();
        return text.map(Value::String).map_err(|path| refused(format!("{} is no text", path.display()), "rename it"));
    }
    if let Ok(items) = given.try_iter().and_then(Iterator::collect::<PyResult<Vec<_>>>) {
        let item = |(index, item): (usize, &Bound<'_, PyAny>)| at_key(of, &format!("{key}[{index}]"), item);
        return items.iter().enumerate().map(item).collect::<PyResult<_>>().map(Value::Array);
    }
    let kind = given.get_type().name()?;
    Err(refused(format!("{kind} is no value of a definition"), "use texts, numbers, booleans, lists and dictionaries"))
}

/// The values of a dictionary, in its order.
pub(crate) fn values(of: &str, given: &Bound<'_, PyDict>) -> PyResult<Vec<(String, Value)>> {
    let entry = |(name, inner): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let name: String = name.extract()?;
        let value = at_key(of, &name, &inner)?;
        Ok((name, value))
    };
    given.iter().map(entry).collect()
}
