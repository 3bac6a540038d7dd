//! Landmark errors of all groups on their shared images, and contrasts between groups, from which effects are computed.

use std::collections::BTreeMap;

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::LandmarkRecord;

use super::groups::Group;
use super::measured::Measured;
use super::statistics::Crossed;

/// A measure of one landmark's error in the sweep's unit, which is averaged and compared.
pub type Measure<'a> = &'a dyn Fn(f64) -> f64;

/// The error itself; its mean is the MRE.
pub const MRE: Measure<'static> = &|error| error;
/// Squared distance between Gaussian heatmaps (σ = 2 mm or 8 px) at the predicted and the true position, as a share of its
/// maximum: 0 for no error, 1 far away. This loss has the same meaning for every network, whatever loss, heatmap and decoder it
/// was trained with.
pub fn reference_loss(unit: ErrorUnit) -> impl Fn(f64) -> f64 {
    let one = unit.threshold(1.0);
    move |error| 1.0 - (-(error / one) * (error / one) / 16.0).exp()
}
/// 100 if the error is above [`ErrorUnit::gross`], else 0: the landmark was not found at all.
pub fn above_gross(unit: ErrorUnit) -> impl Fn(f64) -> f64 {
    move |error| if error > unit.gross() { 100.0 } else { 0.0 }
}
/// 100 if the error is at most this radius, else 0; its mean is the success detection rate.
pub fn within(radius: f64) -> impl Fn(f64) -> f64 {
    move |error| if error <= radius { 100.0 } else { 0.0 }
}

/// A landmark's error and its true position in pixels: errors are comparable only if the truth is the same.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    /// Radial error.
    pub error: f64,
    truth: (f64, f64),
}

/// The cells of a trial, `[images, landmarks]`.
#[derive(Debug, Clone)]
struct Cells {
    landmarks: usize,
    cells: Vec<Option<Cell>>,
}

impl Cells {
    fn new(images: usize, landmarks: usize) -> Self {
        Self { landmarks, cells: vec![None; images * landmarks] }
    }

    fn insert(&mut self, (image, landmark): (usize, usize), cell: Cell) {
        self.cells[image * self.landmarks + landmark] = Some(cell);
    }

    /// Those of known error, by image and landmark.
    fn iter(&self) -> impl Iterator<Item = ((usize, usize), &Cell)> {
        let key = |at: usize| (at / self.landmarks, at % self.landmarks);
        self.cells.iter().enumerate().filter_map(move |(at, cell)| Some((key(at), cell.as_ref()?)))
    }

    fn get(&self, (image, landmark): (usize, usize)) -> Option<&Cell> {
        self.cells[image * self.landmarks + landmark].as_ref()
    }
}

/// Errors by group, seed, image and landmark, of every finished trial.
#[derive(Debug, Clone)]
pub struct ErrorTable {
    /// Names of images, sorted.
    pub images: Vec<String>,
    /// Names of landmarks, in the order of the records.
    pub landmarks: Vec<String>,
    /// A map from seed to cells by (image, landmark), for every group.
    groups: Vec<BTreeMap<u64, Cells>>,
}

impl ErrorTable {
    /// Errors of the trials that are done. With several kinds of errors, each group occurs once per kind: group `g` with
    /// errors of kind `k` has the index `k · groups + g`, so that epochs can be compared like groups.
    #[must_use]
    pub fn of(groups: &[Group<'_>], kinds: &[Measured]) -> Self {
        let rows = |kind: Measured, group: &Group<'_>| -> Vec<(u64, LandmarkRecord)> {
            group.done().flat_map(|trial| kind.rows(trial).into_iter().map(|row| (trial.seed, row))).collect()
        };
        let all: Vec<Vec<(u64, LandmarkRecord)>> =
            kinds.iter().flat_map(|kind| groups.iter().map(|group| rows(*kind, group))).collect();
        let (mut images, mut landmarks): (BTreeMap<&str, usize>, Vec<String>) = (BTreeMap::new(), Vec::new());
        let mut landmark_index: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, row) in all.iter().flatten() {
            images.insert(&row.image, 0);
            landmark_index.entry(&row.landmark).or_insert_with(|| {
                landmarks.push(row.landmark.clone());
                landmarks.len() - 1
            });
        }
        images.values_mut().enumerate().for_each(|(index, image)| *image = index);
        let table = |rows: &Vec<(u64, LandmarkRecord)>| {
            let mut seeds: BTreeMap<u64, Cells> = BTreeMap::new();
            for (seed, row) in rows {
                let key = (images[row.image.as_str()], landmark_index[row.landmark.as_str()]);
                let cell = Cell { error: row.error(), truth: (row.x_true, row.y_true) };
                seeds.entry(*seed).or_insert_with(|| Cells::new(images.len(), landmarks.len())).insert(key, cell);
            }
            seeds
        };
        let groups = all.iter().map(table).collect();
        let images = images.into_keys().map(str::to_owned).collect();
        Self { images, landmarks, groups }
    }

    /// Seeds that all of these groups have finished.
    #[must_use]
    pub fn shared_seeds(&self, groups: &[usize]) -> Vec<u64> {
        let Some((first, others)) = groups.split_first() else { return Vec::new() };
        let everywhere = |seed: &&u64| others.iter().all(|g| self.groups[*g].contains_key(*seed));
        self.groups[*first].keys().filter(everywhere).copied().collect()
    }

    /// A weighted sum over groups, on the seeds, images and landmarks that all of them share: a group's own error with one
    /// term of weight 1, a paired difference with 1 and −1, an interaction with four terms. `None` if nothing is shared.
    #[must_use]
    pub fn contrast(&self, terms: &[(usize, f64)], measure: Measure<'_>) -> Option<Crossed> {
        self.contrast_on(terms, measure, None)
    }

    /// [`Self::contrast`] on one landmark only.
    #[must_use]
    pub fn contrast_on(
        &self,
        terms: &[(usize, f64)],
        measure: Measure<'_>,
        landmark: Option<usize>,
    ) -> Option<Crossed> {
        self.shifted(terms, measure, landmark, &|_| 0.0)
    }

    /// [`Self::contrast`] with a value per seed subtracted from all errors of that seed.
    pub(super) fn shifted(
        &self,
        terms: &[(usize, f64)],
        measure: Measure<'_>,
        landmark: Option<usize>,
        shift: &dyn Fn(u64) -> f64,
    ) -> Option<Crossed> {
        let tables = self.by_term(terms, measure, landmark, shift)?;
        Crossed::weighted(&tables)
    }

    /// The tables of a contrast's terms, each with its weight, on the seeds, images and landmarks that all of them share.
    /// `None` if nothing is shared.
    #[must_use]
    pub fn terms(&self, terms: &[(usize, f64)], measure: Measure<'_>) -> Option<Vec<(f64, Crossed)>> {
        self.by_term(terms, measure, None, &|_| 0.0)
    }

    /// [`Self::terms`]; the shift is subtracted from the first term, in units of its weight.
    fn by_term(
        &self,
        terms: &[(usize, f64)],
        measure: Measure<'_>,
        landmark: Option<usize>,
        shift: &dyn Fn(u64) -> f64,
    ) -> Option<Vec<(f64, Crossed)>> {
        let groups: Vec<usize> = terms.iter().map(|t| t.0).collect();
        let seeds = self.shared_seeds(&groups);
        // Term → seed → image: sum and number of landmarks.
        let mut rows = vec![vec![vec![(0.0, 0); self.images.len()]; seeds.len()]; terms.len()];
        for (at, seed) in seeds.iter().enumerate() {
            let tables: Vec<&Cells> = groups.iter().map(|g| &self.groups[*g][seed]).collect();
            for (key, first) in tables[0].iter().filter(|(key, _)| landmark.is_none_or(|l| key.1 == l)) {
                let same = |cell: &&Cell| {
                    (cell.truth.0 - first.truth.0).abs() < 1e-6 && (cell.truth.1 - first.truth.1).abs() < 1e-6
                };
                if !tables.iter().all(|cells| cells.get(key).as_ref().is_some_and(same)) {
                    continue;
                }
                for (term, cell) in tables.iter().filter_map(|cells| cells.get(key)).enumerate() {
                    let less = if term == 0 { shift(*seed) / terms[0].1 } else { 0.0 };
                    let (sum, count) = &mut rows[term][at][key.0];
                    *sum += measure(cell.error) - less;
                    *count += 1;
                }
            }
        }
        // Images that some seed lacks carry no information and would inflate the image count.
        let shared: Vec<usize> = (0..self.images.len()).filter(|i| rows[0].iter().all(|row| row[*i].1 > 0)).collect();
        if shared.is_empty() || seeds.is_empty() {
            return None;
        }
        let table = |of_term: &Vec<Vec<(f64, usize)>>| {
            let of_seed = |row: &Vec<(f64, usize)>| shared.iter().map(|i| row[*i]).collect();
            Crossed::new(&of_term.iter().map(of_seed).collect::<Vec<Vec<(f64, usize)>>>())
        };
        Some(terms.iter().zip(&rows).map(|((_, weight), of_term)| (*weight, table(of_term))).collect())
    }

    /// All errors of a group: `(seed, image, landmark, error)`, in a fixed order.
    pub fn all(&self, group: usize) -> impl Iterator<Item = (u64, usize, usize, f64)> {
        let seeds = self.groups[group].iter();
        seeds.flat_map(|(seed, cells)| cells.iter().map(move |((i, l), cell)| (*seed, i, l, cell.error)))
    }
}
