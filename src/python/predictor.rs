//! Landmarks of images by trained networks.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use sweep_app::overlay::{self, NamedLandmark};
use sweep_core::error::{Error, Kind};
use sweep_core::units::Spacing;
use sweep_data::pictures::Photograph;
use sweep_experiment::store;
use sweep_training::device;
use sweep_training::predict::radii::{CalibratedNetworks, Radii};
use sweep_training::predict::views::TtaViews;
use sweep_training::predict::{self, PictureReader};

use crate::errors::{detached, raised};
use crate::values;

/// Landmarks of an image, in its pixels; the centre of the first pixel is at 0, 0.
#[pyclass(frozen, module = "landmark_sweep")]
pub(crate) struct Landmarks {
    /// Their names.
    #[pyo3(get)]
    names: Vec<String>,
    /// Positions, to the right.
    #[pyo3(get)]
    x: Vec<f64>,
    /// Positions, downwards.
    #[pyo3(get)]
    y: Vec<f64>,
    /// How sure the network is, from 0 to 1.
    #[pyo3(get)]
    confidence: Vec<f64>,
    /// Whether the image is unlike those of the training; `None` where that cannot be judged.
    #[pyo3(get)]
    unlike: Option<bool>,
    /// Distances that hold the error nine times in ten, in `radius_unit`; `None` without radii, or where there is none.
    #[pyo3(get)]
    radius: Vec<Option<f64>>,
    /// `mm` or `px`; `None` without radii.
    #[pyo3(get)]
    radius_unit: Option<String>,
    /// Size of the image's pixels in the unit of the radii, if it is known.
    pixel: Option<Spacing>,
    /// The image as it was given: a path or an array.
    #[pyo3(get)]
    image: Py<PyAny>,
    reader: PictureReader,
}

#[pymethods]
impl Landmarks {
    fn __len__(&self) -> usize {
        self.names.len()
    }

    /// Position of a landmark by name.
    fn __getitem__(&self, py: Python<'_>, name: &str) -> PyResult<(f64, f64)> {
        if let Some(index) = self.names.iter().position(|own| own == name) {
            return Ok((self.x[index], self.y[index]));
        }
        let what = Error::input(format!("there is no landmark `{name}`"));
        Err(raised(py, &what.remedy(format!("the network finds {}", self.names.join(", ")))))
    }

    /// The image with its landmarks as a PNG, as `sweep predict --overlay` draws it.
    fn overlay<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let image = Source::of(self.image.bind(py))?;
        let mark = |index: usize| NamedLandmark {
            name: self.names[index].clone(),
            x: self.x[index],
            y: self.y[index],
            radii: self.radius[index].zip(self.pixel).map(|(radius, pixel)| [radius / pixel.x, radius / pixel.y]),
        };
        let marks: Vec<NamedLandmark> = (0..self.names.len()).map(mark).collect();
        let png = detached(py, || {
            let picture = match image {
                Source::File(path) => self.reader.open(&path)?.0,
                Source::Array(picture) => picture,
            };
            overlay::overlay(picture.size, &picture.pixels, &marks)
        })?;
        Ok(PyBytes::new(py, &png))
    }

    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("landmark_sweep.display")?.call_method1("prediction", (slf,))
    }

    fn __repr__(&self) -> String {
        let point = |index: usize| format!("{} ({:.1}, {:.1})", self.names[index], self.x[index], self.y[index]);
        format!("Landmarks({})", (0..self.names.len()).map(point).collect::<Vec<_>>().join(", "))
    }
}

/// Trained networks.
#[pyclass(frozen, module = "landmark_sweep")]
pub(crate) struct Predictor {
    networks: Mutex<predict::Predictor>,
    landmarks: Vec<String>,
    radii: Option<Radii>,
}

#[pymethods]
impl Predictor {
    #[new]
    #[pyo3(signature = (checkpoints, *, views = 1, device = "cpu", radii = None))]
    fn new(
        py: Python<'_>,
        checkpoints: &Bound<'_, PyAny>,
        views: usize,
        device: &str,
        radii: Option<PathBuf>,
    ) -> PyResult<Self> {
        let one = checkpoints.extract::<PathBuf>().map(|path| vec![path]);
        let checkpoints: Vec<PathBuf> = one.or_else(|_| {
            let wrong = |_| PyTypeError::new_err("checkpoints: a path, or a list of paths");
            checkpoints.extract().map_err(wrong)
        })?;
        let choice = values::device(py, device)?;
        if views == 0 {
            return Err(raised(py, &Error::input("views is 0").remedy("1 looks at the image as it is")));
        }
        let (networks, radii) = detached(py, || {
            let (device, _) = device::open(choice)?;
            let networks = predict::Predictor::load(&checkpoints, TtaViews::new(views), &device)?;
            let radii = radii.map(|file| radii_of(&file, &networks, views)).transpose()?;
            Ok((networks, radii))
        })?;
        let landmarks = networks.landmarks().to_vec();
        Ok(Self { networks: Mutex::new(networks), landmarks, radii })
    }

    /// Names of the landmarks.
    #[getter]
    fn landmarks(&self) -> Vec<String> {
        self.landmarks.clone()
    }

    /// Landmarks of an image: a path, or an array of grey values `[height, width]` or of colours `[height, width, 3]`, 8 bits.
    #[pyo3(signature = (image, *, spacing = None))]
    fn predict(&self, py: Python<'_>, image: &Bound<'_, PyAny>, spacing: Option<(f64, f64)>) -> PyResult<Landmarks> {
        let given = spacing.map(|(x, y)| Spacing { x, y });
        if let Some(spacing) = given.filter(|spacing| !spacing.is_valid()) {
            let what = Error::input(format!("spacing ({}, {})", spacing.x, spacing.y));
            return Err(raised(py, &what.remedy("millimetres per pixel in x and y, both positive")));
        }
        let source = Source::of(image)?;
        let (found, pixel, reader) = detached(py, || {
            let mut networks = self
                .networks
                .lock()
                .map_err(|_| Error::new(Kind::Computation, "an earlier prediction failed").remedy("load it again"))?;
            let reader = networks.reader()?;
            let (picture, spacing) = match source {
                Source::File(path) => {
                    let (picture, shown) = reader.open(&path)?;
                    (picture, given.or(shown.spacing))
                }
                Source::Array(picture) => (picture, given),
            };
            let all: Vec<usize> = (0..networks.descriptions().len()).collect();
            let pixel = self.radii.as_ref().and_then(|radii| radii.spacing(picture.size, spacing));
            let found = networks.predict_and_judge(&all, &[picture], &[spacing])?;
            let found = found.into_iter().next().ok_or_else(|| Error::new(Kind::Computation, "no landmarks"))?;
            Ok((found, pixel, reader))
        })?;
        let radius = |name: &String, confidence: f64| {
            let radii = self.radii.as_ref()?;
            radii.radius(name, confidence, found.judgement.as_ref()).radius
        };
        let radius =
            self.landmarks.iter().zip(&found.landmarks).map(|(name, of)| radius(name, of.confidence)).collect();
        Ok(Landmarks {
            names: self.landmarks.clone(),
            x: found.landmarks.iter().map(|landmark| landmark.at.x).collect(),
            y: found.landmarks.iter().map(|landmark| landmark.at.y).collect(),
            confidence: found.landmarks.iter().map(|landmark| landmark.confidence).collect(),
            unlike: found.judgement.map(|judgement| judgement.unlike),
            radius,
            radius_unit: self.radii.as_ref().map(|radii| radii.unit.to_string()),
            pixel,
            image: image.clone().unbind(),
            reader,
        })
    }

    fn __repr__(&self) -> String {
        format!("Predictor({} landmarks)", self.landmarks.len())
    }
}

/// Radii from a file, if they were calibrated for these networks.
fn radii_of(file: &Path, networks: &predict::Predictor, views: usize) -> Result<Radii, Error> {
    let radii = Radii::parse(&store::read_text(file)?).map_err(|e| e.at(file.display()))?;
    radii.check(&CalibratedNetworks::of(networks, views, false, false))?;
    Ok(radii)
}

enum Source {
    File(PathBuf),
    Array(Photograph),
}

impl Source {
    fn of(image: &Bound<'_, PyAny>) -> PyResult<Self> {
        image
            .extract::<PathBuf>()
            .map_or_else(|_| values::photograph(image).map(Self::Array), |path| Ok(Self::File(path)))
    }
}
