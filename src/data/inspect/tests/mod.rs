//! Defects planted by the hundred, in phantoms and, where they are, in radiographs: how many are found, and how many
//! findings there are where nothing was planted.

use super::image_summary::{Image, ImageSummary};
use super::{Finding, Inspection, Set, Severity, inspect};
use crate::folder::{self, SurveyedRow};
use crate::phantom::PhantomSpec;
use crate::{Dataset, Sample};
use sweep_core::measures::Measures;
use sweep_core::seed::{self, Stream};

mod pictures;
mod plants;
mod poses;
mod whole;

/// A data set that is not part of the repository.
fn radiographs() -> Option<Dataset> {
    sweep_testing::shared_data("ceph10").map(|path| folder::read(&path).unwrap())
}

/// Phantoms large enough to have the shapes of large ones, small enough to be drawn soon.
pub(super) fn phantoms(train: usize, val: usize) -> Dataset {
    PhantomSpec { train, val, test: 0, height: 100, width: 80, seed: 3 }.generate().unwrap()
}

/// A set as a survey of its folder would have it.
fn seen(dataset: &Dataset, summary: impl Fn(&Sample) -> ImageSummary) -> Set {
    let image = |(i, sample): (usize, &Sample)| Image {
        row: SurveyedRow {
            line: i as u64 + 2,
            image: sample.image.clone(),
            split: Some(sample.split),
            spacing: Some(sample.pixel_size()),
            patient: None,
            landmarks: sample.landmarks.clone(),
        },
        summary: Ok(summary(sample)),
    };
    Set {
        name: dataset.name.clone(),
        csv: "landmarks.csv".into(),
        landmarks: dataset.landmarks.clone(),
        unit: dataset.unit(),
        observer_mre: dataset.observer_mre,
        measures: Measures::default(),
        unknown_measures: Vec::new(),
        unwanted: Vec::new(),
        images: dataset.samples.iter().enumerate().map(image).collect(),
        defects: Vec::new(),
    }
}

/// Sizes without pictures, for what is about shapes alone.
pub(super) fn sizes(dataset: &Dataset) -> Set {
    seen(dataset, |sample| ImageSummary {
        size: sample.size,
        range: [0, 255],
        central: [10, 240],
        digest: [0; 32],
        fingerprint: None,
    })
}

fn rng(index: u64) -> impl rand::Rng {
    seed::derive(7, Stream::Bootstrap, 0, index)
}

/// Findings that are more than notes.
fn serious(inspection: &Inspection) -> Vec<&Finding> {
    inspection.findings.iter().filter(|f| f.severity != Severity::Note).collect()
}

fn of<'a>(findings: &[&'a Finding], check: &str) -> Vec<&'a Finding> {
    findings.iter().filter(|f| f.check == check).copied().collect()
}
