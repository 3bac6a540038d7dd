//! Power analysis: what a sweep that is only planned would find. Its effects are those that its report would compare, by the
//! very test of the report, at the level that the report leaves to each of them.

use sweep_experiment::records::{State, TrialStatus};

use super::effects::Factors;
use super::findings::effects_alpha;
use super::groups::Group;
use super::statistics::{AssumedPart, detectable_if};
use super::{Drawn, TrialRecords};

/// Comparisons between values of axes that the report of a planned sweep will make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparisons {
    /// Number of comparisons, and of axes judged along all values; they share one error rate.
    pub count: usize,
    /// Settings of the other axes that a comparison averages over: the fewest of any.
    pub contexts: usize,
}

impl Comparisons {
    /// The comparisons of a sweep with these points, each a list of axes and values, which a search may have drawn. One
    /// comparison of any two points where there is nothing to compare; `None` where all axes are judged along their values.
    #[must_use]
    pub fn of(points: &[Vec<(String, String)>], drawn: Option<Drawn>) -> Option<Self> {
        let trials: Vec<TrialRecords> = points.iter().map(|axes| planned(axes)).collect();
        let groups: Vec<Group<'_>> = trials
            .iter()
            .map(|trial| Group { label: trial.group(), kind: String::new(), trials: vec![trial] })
            .collect();
        let factors = Factors::of(&groups, drawn);
        let contexts: Vec<usize> = factors.differences(&groups).map(|difference| difference.contexts).collect();
        let along = factors.along.iter().filter(|along| along.untested.is_none()).count();
        let is_compared = !contexts.is_empty() || factors.along.is_empty();
        is_compared
            .then(|| Self { count: (along + contexts.len()).max(1), contexts: contexts.into_iter().min().unwrap_or(1) })
    }
}

/// A trial that has these values, as if it were done.
fn planned(axes: &[(String, String)]) -> TrialRecords {
    TrialRecords {
        axes: axes.to_vec(),
        ..TrialRecords::new(String::new(), 0, TrialStatus { state: State::Done, ..TrialStatus::pending("") })
    }
}

/// Sizes of a planned sweep, and how far its errors will scatter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Study {
    /// Trainings of each configuration.
    pub seeds: usize,
    /// Validation images.
    pub images: usize,
    /// Standard deviation between seeds of the difference of two configurations, each seed trained with both.
    pub seed_sd: f64,
    /// Standard deviation between images of that difference.
    pub image_sd: f64,
    /// The comparisons of its report.
    pub comparisons: Comparisons,
}

impl Study {
    /// The least true difference between values of an axis that four in five such sweeps find, in the unit of the standard
    /// deviations. `None` with one seed, which tells nothing of other trainings, and with one image.
    #[must_use]
    pub fn detectable(&self) -> Option<f64> {
        let (contexts, seeds) = (self.comparisons.contexts, self.seeds as f64);
        let variance = self.seed_sd.powi(2) / (contexts as f64 * seeds);
        let training = AssumedPart { variance, terms: 2 * contexts, degrees: seeds - 1.0 };
        (self.seeds > 1).then(|| Some(self.found(&[training, self.between_images()?])))?
    }

    /// The same of these very networks: the images are others, the trainings are not.
    #[must_use]
    pub fn detectable_of_networks(&self) -> Option<f64> {
        Some(self.found(&[self.between_images()?]))
    }

    fn between_images(&self) -> Option<AssumedPart> {
        let images = self.images as f64;
        let variance = self.image_sd.powi(2) / images;
        (self.images > 1).then_some(AssumedPart { variance, terms: 1, degrees: images - 1.0 })
    }

    fn found(&self, parts: &[AssumedPart]) -> f64 {
        detectable_if(parts, effects_alpha(self.comparisons.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[usize]) -> Vec<Vec<(String, String)>> {
        let mut points = vec![Vec::new()];
        for (axis, count) in values.iter().enumerate() {
            let with = |point: &Vec<(String, String)>, value: usize| {
                point.iter().cloned().chain([(format!("axis{axis}"), value.to_string())]).collect()
            };
            points = points.iter().flat_map(|point| (0..*count).map(|value| with(point, value))).collect();
        }
        points
    }

    #[test]
    fn comparisons_are_those_of_the_report() {
        let of = |values: &[usize]| {
            Comparisons::of(&points(values), None).map(|Comparisons { count, contexts }| (count, contexts))
        };
        assert_eq!(
            [of(&[2]), of(&[3]), of(&[2, 2]), of(&[2, 3])],
            [Some((1, 1)), Some((3, 1)), Some((2, 2)), Some((4, 2))]
        );
        assert_eq!([of(&[]), of(&[1])], [Some((1, 1)); 2]);
        // Nine values are judged along all of them, which is one test.
        assert_eq!([of(&[8]), of(&[9]), of(&[9, 2])], [Some((28, 1)), None, Some((2, 9))]);
        // Zipped axes are one factor.
        let zipped: Vec<Vec<(String, String)>> =
            (0..2).map(|i: usize| vec![("a".into(), i.to_string()), ("b".into(), i.to_string())]).collect();
        assert_eq!(Comparisons::of(&zipped, None), Some(Comparisons { count: 1, contexts: 1 }));
        // Of a search's points, no two are compared.
        assert_eq!(Comparisons::of(&zipped, Some(Drawn::ByErrors)), None);
    }

    #[test]
    fn detectable_differences_are_those_of_an_independent_simulation() {
        for (seeds, images, count, contexts, expected) in DETECTABLE {
            let comparisons = Comparisons { count, contexts };
            let study = Study { seeds, images, seed_sd: 0.3, image_sd: 0.8, comparisons };
            let got = study.detectable().unwrap();
            assert!((got / expected - 1.0).abs() < 0.05, "{seeds} seeds, {images} images, {count}: {got} {expected}");
        }
        let study = |seeds, images| {
            let comparisons = Comparisons { count: 1, contexts: 1 };
            Study { seeds, images, seed_sd: 0.3, image_sd: 0.8, comparisons }
        };
        assert_eq!((study(1, 24).detectable(), study(3, 1).detectable()), (None, None));
        let of_networks = study(1, 24).detectable_of_networks().unwrap();
        assert!((of_networks / OF_NETWORKS - 1.0).abs() < 0.05, "{of_networks}");
    }

    /// `scripts/power.py` with numpy 2.4.6, scipy 1.17.1: 20,000 simulated sweeps with standard deviations of 0.3 mm between seeds
    /// and 0.8 mm between images. Seeds, images, comparisons, contexts, mm.
    const DETECTABLE: [(usize, usize, usize, usize, f64); 7] = [
        (2, 24, 1, 1, 4.0030),
        (3, 24, 1, 1, 1.0800),
        (3, 100, 3, 1, 1.4472),
        (6, 24, 1, 1, 0.6891),
        (6, 100, 4, 2, 0.4565),
        (10, 150, 1, 1, 0.3745),
        (20, 20, 45, 1, 0.9599),
    ];
    /// The same of networks alone, 24 images.
    const OF_NETWORKS: f64 = 0.5335;
}
