//! Measures of the marked landmarks: their spread and their classes.

use serde::Serialize;

use super::Set;
use sweep_core::measures::MeasureUnit;
use sweep_core::units::Spacing;

/// A measure's values on the images of a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasureFacts {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: MeasureUnit,
    /// Images on which it is known.
    pub images: usize,
    /// Mean; `None` where it is known on no image.
    pub mean: Option<f64>,
    /// Standard deviation (N − 1).
    pub sd: Option<f64>,
    /// Its classes and their images, in the order of the values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassCount>,
}

/// A class and its images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// Its name.
    pub name: String,
    /// Images of it.
    pub images: usize,
}

impl MeasureFacts {
    pub(super) fn of(set: &Set) -> Vec<Self> {
        let place = |name: &str| set.landmarks.iter().position(|landmark| landmark == name);
        let facts = set.measures.names().filter_map(|name| {
            let unit = set.measures.unit(name)?;
            let on_image = |image: &super::Image| {
                let row = &image.row;
                let at = |landmark: &str| row.landmarks.get(place(landmark)?).copied().flatten();
                set.measures.value(name, &at, row.spacing.unwrap_or(Spacing::ONE_PIXEL))
            };
            let values: Vec<f64> = set.images.iter().filter_map(on_image).collect();
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let classes = set.measures.classes(name).map_or_else(Vec::new, |classes| {
                let of = |at: usize| values.iter().filter(|value| classes.of(**value) == at).count();
                let named = classes.names.iter().enumerate();
                named.map(|(at, name)| ClassCount { name: name.clone(), images: of(at) }).collect()
            });
            Some(Self {
                name: name.to_owned(),
                unit,
                images: values.len(),
                mean: (!values.is_empty()).then_some(mean),
                sd: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
                classes,
            })
        });
        facts.collect()
    }
}
