//! Data sets.

use std::path::PathBuf;

use pyo3::prelude::*;
use serde_json::json;

use sweep_core::error::Error;
use sweep_core::units::Point;
use sweep_data::Split;
use sweep_data::folder::{self, survey};
use sweep_data::inspect::{Set, inspect as inspect_set};
use sweep_data::pictures::Photograph;

use crate::errors::{detached, raised};
use crate::values;

/// Everything that is wrong with a data set: `{"spoilt": …, "facts": …, "findings": […]}`.
#[pyfunction]
pub(crate) fn inspect(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyAny>> {
    let found = detached(py, || Ok(inspect_set(&Set::read(&survey(&path)?))))?;
    values::python(py, &json!({ "spoilt": found.is_spoilt(), "facts": found.facts, "findings": found.findings }))
}

/// An image of a data set.
#[pyclass(frozen, get_all, module = "landmark_sweep")]
pub(crate) struct Sample {
    /// Its name.
    image: String,
    /// `train`, `val` or `test`.
    split: &'static str,
    /// An array of 8 bits: `[height, width]`, or `[3, height, width]` in colour.
    pixels: Py<PyAny>,
    /// An array `[landmarks, 2]` of x and y in pixels; `nan` where a landmark is not marked.
    landmarks: Py<PyAny>,
    /// Millimetres per pixel in x and y, where known.
    spacing: Option<(f64, f64)>,
    /// The patient, where known.
    patient: Option<String>,
}

#[pymethods]
impl Sample {
    fn __repr__(&self) -> String {
        format!("Sample({:?}, {})", self.image, self.split)
    }
}

/// Names of the landmarks, and the images in the order of the file.
#[pyfunction]
pub(crate) fn read_dataset(py: Python<'_>, path: PathBuf) -> PyResult<(Vec<String>, Vec<Sample>)> {
    let data = detached(py, || folder::read(&path))?;
    let count = data.landmarks.len();
    let sample = |sample: sweep_data::Sample| {
        let (height, width) = (sample.size.height, sample.size.width);
        let is_grey = sample.pixels.len() == sample.size.area();
        let shape: &[usize] = if is_grey { &[height, width] } else { &[3, height, width] };
        let pixels = values::numpy(py, &sample.pixels, "uint8", shape)?;
        let points = sample.landmarks.iter().flat_map(|point| point.map_or([f64::NAN; 2], |point| [point.x, point.y]));
        let points: Vec<u8> = points.flat_map(f64::to_ne_bytes).collect();
        Ok(Sample {
            image: sample.image,
            split: sample.split.name(),
            pixels: pixels.unbind(),
            landmarks: values::numpy(py, &points, "float64", &[count, 2])?.unbind(),
            spacing: sample.spacing.map(|spacing| (spacing.x, spacing.y)),
            patient: sample.patient,
        })
    };
    let samples = data.samples.into_iter().map(sample).collect::<PyResult<_>>()?;
    Ok((data.landmarks, samples))
}

/// Images that become a data set: for each its name, its array, its split, and millimetres per pixel and patient where known.
type Given<'py> = (String, Bound<'py, PyAny>, String, Option<Bound<'py, PyAny>>, Option<String>);

/// Writes a data set's folder.
#[pyfunction]
pub(crate) fn write_dataset(
    py: Python<'_>,
    path: PathBuf,
    landmarks: Vec<String>,
    positions: &Bound<'_, PyAny>,
    images: Vec<Given<'_>>,
) -> PyResult<()> {
    let positions = values::positions(positions, "landmarks")?;
    if positions.len() != images.len() {
        let what = format!("{} images and landmarks of {}", images.len(), positions.len());
        return Err(raised(
            py,
            &Error::input(what).remedy("landmarks: [images, landmarks, 2], nan where one is not marked"),
        ));
    }
    let marked = positions.first().map_or(0, Vec::len);
    if landmarks.len() != marked {
        let what = format!("{} names of landmarks, and positions of {marked}", landmarks.len());
        return Err(raised(py, &Error::input(what).remedy("landmark_names: a name for each landmark")));
    }
    let sample = |((image, array, split, spacing, patient), landmarks): (Given<'_>, Vec<Option<Point>>)| {
        let Photograph { size, pixels } = values::photograph(&array, &image)?;
        let Some(split) = Split::ALL.into_iter().find(|of| of.name() == split) else {
            let what = Error::input(format!("there is no split `{split}`")).at(&image);
            return Err(raised(py, &what.remedy("train, val or test")));
        };
        let spacing = spacing.map(|spacing| values::spacing(&spacing)).transpose()?;
        Ok(sweep_data::Sample { image, split, size, pixels, landmarks, spacing, patient })
    };
    let samples = images.into_iter().zip(positions).map(sample).collect::<PyResult<Vec<_>>>()?;
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let dataset = sweep_data::Dataset { name, landmarks, observer_mre: None, normalise: None, samples };
    detached(py, || folder::write(&dataset, &path))
}
