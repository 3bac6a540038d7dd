//! Landmarks of images by trained networks.

use std::num::NonZeroUsize;
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
use sweep_training::predict::{self, Found, PictureReader, Prediction};

use crate::errors::{detached, raised};
use crate::{threads, values};

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
        let image = Source::of(self.image.bind(py), "image")?;
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
    threads: Option<NonZeroUsize>,
}

#[pymethods]
impl Predictor {
    #[new]
    #[pyo3(signature = (checkpoints, *, views = 1, device = "cpu", radii = None, threads = None))]
    fn new(
        py: Python<'_>,
        checkpoints: &Bound<'_, PyAny>,
        views: usize,
        device: &str,
        radii: Option<PathBuf>,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let one = checkpoints.extract::<PathBuf>().map(|path| vec![path]);
        let checkpoints: Vec<PathBuf> = one.or_else(|_| {
            let wrong = |_| PyTypeError::new_err("checkpoints: a path, or a list of paths");
            checkpoints.extract().map_err(wrong)
        })?;
        if checkpoints.is_empty() {
            return Err(raised(py, &Error::input("no checkpoint is named").remedy("a path, or a list of paths")));
        }
        let number = |threads| {
            let none = Error::input("threads is 0").remedy("1 and more, or None for all cores");
            NonZeroUsize::new(threads).ok_or_else(|| raised(py, &none))
        };
        let threads = threads.map(number).transpose()?;
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
        Ok(Self { networks: Mutex::new(networks), landmarks, radii, threads })
    }

    /// Names of the landmarks.
    #[getter]
    fn landmarks(&self) -> Vec<String> {
        self.landmarks.clone()
    }

    /// Landmarks of an image: a path, or an array of grey values `[height, width]` or of colours `[height, width, 3]`, 8 bits.
    #[pyo3(signature = (image, *, spacing = None))]
    fn predict(&self, image: &Bound<'_, PyAny>, spacing: Option<Bound<'_, PyAny>>) -> PyResult<Landmarks> {
        let spacing = spacing.map(|spacing| values::spacing(&spacing)).transpose()?;
        let source = Source::of(image, "image")?;
        let found = self.found(image.py(), vec![(image.clone().unbind(), source)], spacing)?;
        let none = || raised(image.py(), &Error::new(Kind::Computation, "no landmarks"));
        found.into_iter().next().ok_or_else(none)
    }

    /// Landmarks of several images, in their order; `batch_size` of them go through the networks together.
    #[pyo3(signature = (images, *, spacing = None, batch_size = 8))]
    fn predict_batch(
        &self,
        images: &Bound<'_, PyAny>,
        spacing: Option<Bound<'_, PyAny>>,
        batch_size: usize,
    ) -> PyResult<Vec<Landmarks>> {
        let py = images.py();
        if images.extract::<PathBuf>().is_ok() {
            return Err(PyTypeError::new_err("images: a list of paths or arrays; predict takes one image"));
        }
        if batch_size == 0 {
            let none = Error::input("batch_size is 0");
            return Err(raised(py, &none.remedy("1 and more: how many images are in memory together")));
        }
        let spacing = spacing.map(|spacing| values::spacing(&spacing)).transpose()?;
        let (mut all, mut batch) = (Vec::new(), Vec::new());
        for (index, image) in images.try_iter()?.enumerate() {
            let image = image?;
            let source = Source::of(&image, &format!("images[{index}]"))?;
            batch.push((image.unbind(), source));
            if batch.len() == batch_size {
                all.extend(self.found(py, std::mem::take(&mut batch), spacing)?);
                py.check_signals()?;
            }
        }
        if !batch.is_empty() {
            all.extend(self.found(py, batch, spacing)?);
        }
        Ok(all)
    }

    fn __repr__(&self) -> String {
        format!("Predictor({} landmarks)", self.landmarks.len())
    }
}

impl Predictor {
    /// Landmarks of images that go through the networks together.
    fn found(
        &self,
        py: Python<'_>,
        images: Vec<(Py<PyAny>, Source)>,
        given: Option<Spacing>,
    ) -> PyResult<Vec<Landmarks>> {
        let (given_as, sources): (Vec<Py<PyAny>>, Vec<Source>) = images.into_iter().unzip();
        let (found, pixels, reader) = detached(py, || threads::limited(self.threads, || self.compute(sources, given)))?;
        let landmarks = |((image, found), pixel): ((Py<PyAny>, Found), Option<Spacing>)| {
            let radius = |(name, of): (&String, &Prediction)| {
                self.radii.as_ref()?.radius(name, of.confidence, found.judgement.as_ref()).radius
            };
            Landmarks {
                names: self.landmarks.clone(),
                x: found.landmarks.iter().map(|landmark| landmark.at.x).collect(),
                y: found.landmarks.iter().map(|landmark| landmark.at.y).collect(),
                confidence: found.landmarks.iter().map(|landmark| landmark.confidence).collect(),
                unlike: found.judgement.as_ref().map(|judgement| judgement.unlike),
                radius: self.landmarks.iter().zip(&found.landmarks).map(radius).collect(),
                radius_unit: self.radii.as_ref().map(|radii| radii.unit.to_string()),
                pixel,
                image,
                reader: reader.clone(),
            }
        };
        Ok(given_as.into_iter().zip(found).zip(pixels).map(landmarks).collect())
    }

    /// What the networks find on images, and the size of each one's pixels in the unit of the radii.
    fn compute(&self, sources: Vec<Source>, given: Option<Spacing>) -> Result<Computed, Error> {
        let mut networks = self
            .networks
            .lock()
            .map_err(|_| Error::new(Kind::Computation, "an earlier prediction failed").remedy("load it again"))?;
        let reader = networks.reader()?;
        let (mut pictures, mut spacings) = (Vec::new(), Vec::new());
        for source in sources {
            let (picture, spacing) = match source {
                Source::File(path) => {
                    let (picture, shown) = reader.open(&path)?;
                    (picture, given.or(shown.spacing))
                }
                Source::Array(picture) => (picture, given),
            };
            pictures.push(picture);
            spacings.push(spacing);
        }
        let pixel = |(picture, spacing): (&Photograph, &Option<Spacing>)| {
            self.radii.as_ref().and_then(|radii| radii.spacing(picture.size, *spacing))
        };
        let pixels = pictures.iter().zip(&spacings).map(pixel).collect();
        let all: Vec<usize> = (0..networks.descriptions().len()).collect();
        Ok((networks.predict_and_judge(&all, &pictures, &spacings)?, pixels, reader))
    }
}

/// What the networks found, pixels in the unit of the radii, and how images are read.
type Computed = (Vec<Found>, Vec<Option<Spacing>>, PictureReader);

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
    fn of(image: &Bound<'_, PyAny>, at: &str) -> PyResult<Self> {
        image
            .extract::<PathBuf>()
            .map_or_else(|_| values::photograph(image, at).map(Self::Array), |path| Ok(Self::File(path)))
    }
}
