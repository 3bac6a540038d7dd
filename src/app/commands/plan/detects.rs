//! What a planned sweep would find: the least differences that its report finds four times in five.

use std::collections::BTreeSet;

use serde::Serialize;
use sweep_analysis::load;
use sweep_analysis::paired_sd::{self, ArmTrial};
use sweep_analysis::power::{Comparisons, Study};
use sweep_core::error::{Error, Result};
use sweep_core::units::ErrorUnit;
use sweep_experiment::store::Store;

use crate::cli;
use crate::commands::say;

/// Default standard deviations, mm: of the size measured between losses on phantoms (see the README).
const SEED_SD: f64 = 0.3;
const IMAGE_SD: f64 = 0.8;

/// The least true difference between values of an axis that the report of such a sweep finds in four of five cases.
#[derive(Serialize)]
pub(super) struct Detects {
    /// The unit of errors; of millimetres it is not said.
    #[serde(skip_serializing_if = "ErrorUnit::is_millimetres")]
    pub(super) unit: ErrorUnit,
    seed_sd_mm: f64,
    image_sd_mm: f64,
    /// The sweep on which the deviations were measured, if any.
    measured_on: Option<String>,
    images: Option<usize>,
    /// Number of comparisons between values of axes, and of axes judged along all values, that share the report's error rate; 0
    /// where no two values are compared.
    comparisons: usize,
    /// Of these very networks, on other images.
    over_images_mm: Option<f64>,
    by_seeds: Vec<Row>,
}

/// Detectable differences with a number of seeds.
#[derive(Serialize)]
struct Row {
    seeds: usize,
    /// For other trainings and other images.
    over_both_mm: Option<f64>,
}

/// Standard deviations of paired differences, in the unit of errors.
pub(super) struct Deviations {
    unit: ErrorUnit,
    seed_sd_mm: f64,
    image_sd_mm: f64,
    measured_on: Option<String>,
}

impl Deviations {
    /// The requested deviations, else the measured ones, else the defaults.
    pub(super) fn of(flags: &cli::Plan, unit: ErrorUnit) -> Result<Self> {
        for (flag, sd) in [("--seed-sd", flags.seed_sd), ("--image-sd", flags.image_sd)] {
            if let Some(sd) = sd.filter(|sd| !(sd.is_finite() && *sd > 0.0)) {
                let wrong = Error::definition(format!("{sd} is no standard deviation"));
                return Err(wrong.at(flag).remedy(format!("a number of {unit} above 0")));
            }
        }
        let Some(folder) = &flags.like else {
            let seed_sd_mm = flags.seed_sd.unwrap_or(unit.threshold(SEED_SD));
            let image_sd_mm = flags.image_sd.unwrap_or(unit.threshold(IMAGE_SD));
            return Ok(Self { unit, seed_sd_mm, image_sd_mm, measured_on: None });
        };
        let sweep = load::load(&Store::at(folder))?;
        if sweep.unit != unit {
            let what = format!("its errors are in {}, those of this sweep in {}", sweep.unit.name(), unit.name());
            return Err(Error::input(what).at(folder.display()).remedy("name a sweep on data of the same unit"));
        }
        let sweep = sweep.pooled();
        let trials = sweep.trials.iter();
        let measured = trials.map(|t| ArmTrial { arm: t.group(), seed: t.seed, landmarks: &t.landmarks });
        let spread = paired_sd::paired_sd(&measured.collect::<Vec<_>>());
        let known = |requested: Option<f64>, measured: Option<f64>, what: &str, flag: &str| {
            requested.or(measured.filter(|sd| *sd > 0.0)).ok_or_else(|| {
                Error::results(format!("its trials do not tell how far differences between {what} are apart"))
                    .at(folder.display())
                    .remedy(format!("name a sweep with two arms and two seeds in common, or give {flag}"))
            })
        };
        Ok(Self {
            unit,
            seed_sd_mm: known(flags.seed_sd, spread.seeds_mm, "seeds", "--seed-sd")?,
            image_sd_mm: known(flags.image_sd, spread.images_mm, "images", "--image-sd")?,
            measured_on: Some(folder.display().to_string()),
        })
    }
}

impl Detects {
    pub(super) fn of(
        seeds: usize,
        images: Option<usize>,
        comparisons: Option<Comparisons>,
        deviations: Deviations,
    ) -> Self {
        let Deviations { unit, seed_sd_mm, image_sd_mm, measured_on } = deviations;
        let mut numbers = BTreeSet::from([3, 6, 10, 20]);
        numbers.insert(seeds);
        let study = |seeds| {
            let (images, comparisons) = (images?, comparisons?);
            Some(Study { seeds, images, seed_sd: seed_sd_mm, image_sd: image_sd_mm, comparisons })
        };
        let with = |seeds| Row { seeds, over_both_mm: study(seeds).and_then(|study| study.detectable()) };
        Self {
            unit,
            seed_sd_mm,
            image_sd_mm,
            measured_on,
            images,
            comparisons: comparisons.map_or(0, |of| of.count),
            over_images_mm: study(seeds).and_then(|study| study.detectable_of_networks()),
            by_seeds: if comparisons.is_some() { numbers.into_iter().map(with).collect() } else { Vec::new() },
        }
    }

    pub(super) fn print(&self, planned: usize) -> Result<()> {
        if self.images == Some(0) {
            return say("\nNo image validates (dataset.refit), so no landmark error will be measured.");
        }
        if self.comparisons == 0 {
            return say(
                "\nThe report compares no two values of an axis here: it tells how far the order of all errors follows each axis.",
            );
        }
        let unit = self.unit;
        let mm = |value: Option<f64>| value.map_or_else(|| "nothing".to_owned(), |mm| format!("{mm:.2} {unit}"));
        say("")?;
        let among = match self.comparisons {
            1 => String::new(),
            several => format!(", each of {several} comparisons"),
        };
        say(&format!(
            "The least true difference between two values of an axis that the report finds in 8 of 10 cases{among}:"
        ))?;
        say(&format!("{:>7}  {:>24}", "seeds", "other trainings, images"))?;
        for row in &self.by_seeds {
            let of_planned = if row.seeds == planned { "  as planned" } else { "" };
            say(&format!("{:>7}  {:>24}{of_planned}", row.seeds, mm(row.over_both_mm)))?;
        }
        if let Some(images) = self.images {
            say(&format!("of these very networks, by {images} validation images: {}", mm(self.over_images_mm)))?;
        }
        say(&format!(
            "Assumed: normal differences, paired by seed and by image, with standard deviations of {:.2} {unit} between seeds \
             (--seed-sd) and {:.2} {unit} between images (--image-sd), {}. The test and its level are those of the report. With one \
             seed nothing is known of other trainings.",
            self.seed_sd_mm,
            self.image_sd_mm,
            match &self.measured_on {
                Some(folder) => format!("as measured on {folder}"),
                None => "measured on no data of yours (--like RESULTS does)".to_owned(),
            },
        ))
    }
}
