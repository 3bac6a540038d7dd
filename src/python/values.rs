//! Values that go to Python, and arrays and numbers that come from it.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use serde::Serialize;

use sweep_core::error::{Error, Kind};
use sweep_core::units::{Point, Size, Spacing};
use sweep_data::pictures::Photograph;
use sweep_training::device::Choice;

use crate::errors::raised;

/// A device as `--device` names it.
pub(crate) fn device(py: Python<'_>, name: &str) -> PyResult<Choice> {
    name.parse().map_err(|what: String| raised(py, &Error::input(format!("device `{name}`: {what}"))))
}

/// Dictionaries and lists of a value; numbers that are none become `None`.
pub(crate) fn python<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let text =
        serde_json::to_string(value).map_err(|error| raised(py, &Error::new(Kind::Computation, error.to_string())))?;
    py.import("json")?.call_method1("loads", (text,))
}

/// Millimetres per pixel: a number, or one for x and one for y.
pub(crate) fn spacing(value: &Bound<'_, PyAny>) -> PyResult<Spacing> {
    let both = value.extract::<f64>().map(|both| (both, both));
    let found = both.or_else(|_| value.extract::<(f64, f64)>()).ok().map(|(x, y)| Spacing { x, y });
    found.filter(|spacing| spacing.is_valid()).ok_or_else(|| {
        let what = Error::input(format!("{value} is no size of a pixel")).at("spacing");
        raised(value.py(), &what.remedy("a number, or (x, y): millimetres per pixel, positive"))
    })
}

/// Shape and bytes of an array of NumPy of this type, copied in rows; every array and nested list of numbers will do.
pub(crate) fn array(value: &Bound<'_, PyAny>, what: &str, kind: &str) -> PyResult<(Vec<usize>, Vec<u8>)> {
    let numpy = value.py().import("numpy")?;
    // Tensors of PyTorch on a GPU, with gradients, or of 16 bits that NumPy does not know, say themselves how they become arrays.
    let value = match value.getattr("detach") {
        Ok(detach) if kind == "float64" => detach.call0()?.call_method0("cpu")?.call_method0("double")?,
        Ok(detach) => detach.call0()?.call_method0("cpu")?,
        Err(_) => value.clone(),
    };
    let array = numpy.call_method1("ascontiguousarray", (value, numpy.getattr(kind)?)).map_err(|error| {
        let wrong = Error::input(format!("{what} is no array of numbers: {}", error.value(numpy.py())));
        raised(numpy.py(), &wrong.remedy("an array of NumPy, a tensor of PyTorch, or nested lists of equal lengths"))
    })?;
    Ok((array.getattr("shape")?.extract()?, array.call_method0("tobytes")?.extract()?))
}

/// Shape and values of an array of numbers.
pub(crate) fn numbers(value: &Bound<'_, PyAny>, what: &str) -> PyResult<(Vec<usize>, Vec<f64>)> {
    let (shape, bytes) = array(value, what, "float64")?;
    Ok((shape, bytes.as_chunks::<8>().0.iter().map(|number| f64::from_ne_bytes(*number)).collect()))
}

/// An array of NumPy of these bytes.
pub(crate) fn numpy<'py>(py: Python<'py>, bytes: &[u8], kind: &str, shape: &[usize]) -> PyResult<Bound<'py, PyAny>> {
    let numpy = py.import("numpy")?;
    let flat = numpy.call_method1("frombuffer", (PyBytes::new(py, bytes), kind))?;
    // The bytes of Python cannot be written to, which an array can.
    flat.call_method0("copy")?.call_method1("reshape", (PyTuple::new(py, shape)?,))
}

/// Positions `[images, landmarks, 2]`, each x and y; `None` where either is `nan`.
pub(crate) fn positions(value: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<Vec<Option<Point>>>> {
    let (shape, numbers) = numbers(value, what)?;
    if shape.len() != 3 || shape[2] != 2 {
        let found = format!("{what} has the shape {shape:?}");
        let remedy = "its shape is [images, landmarks, 2]: x and y in pixels of each image";
        return Err(raised(value.py(), &Error::input(found).remedy(remedy)));
    }
    let point = |xy: &[f64]| (!xy[0].is_nan() && !xy[1].is_nan()).then(|| Point { x: xy[0], y: xy[1] });
    let row = |image: usize| {
        let of_image = &numbers[image * shape[1] * 2..(image + 1) * shape[1] * 2];
        of_image.chunks_exact(2).map(point).collect()
    };
    Ok((0..shape[0]).map(row).collect())
}

/// An image of 8 bits from an array; `at` says which, for errors.
pub(crate) fn photograph(array: &Bound<'_, PyAny>, at: &str) -> PyResult<Photograph> {
    let py = array.py();
    let wrong = |found: String| {
        let remedy = "an array of uint8 of shape [height, width] or [height, width, 3], or a path; several of them: \
                      predict_batch; values of more bits: say first which range is black to white";
        raised(py, &Error::input(found).at(at).remedy(remedy))
    };
    let kind = array.getattr("dtype").map_or_else(|_| array.get_type().to_string(), |kind| kind.to_string());
    if kind != "uint8" {
        return Err(wrong(format!("{kind} is no image of 8 bits")));
    }
    let (shape, values) = self::array(array, "image", "uint8")?;
    let (size, channels) = match shape[..] {
        [height, width] => (Size { height, width }, 1),
        [height, width, 3] => (Size { height, width }, 3),
        _ => return Err(wrong(format!("the shape {shape:?}"))),
    };
    if size.area() == 0 {
        return Err(wrong(format!("the shape {shape:?}")));
    }
    // Planes of red, green and blue follow one another.
    let pixels = (0..channels).flat_map(|channel| values.iter().skip(channel).step_by(channels).copied()).collect();
    Ok(Photograph { size, pixels })
}
