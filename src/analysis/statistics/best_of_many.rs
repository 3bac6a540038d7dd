//! The error of the best of several configurations, corrected for having been picked on the images it is measured on.

use super::{Crossed, mean, percentiles, resample};

/// Number of bootstrap samples.
const RESAMPLES: usize = 2000;

/// Bootstrap bias corrected estimate (Tsamardinos, Greasidou and Borboudakis 2018): in each bootstrap sample the
/// configuration of least error is picked, and measured on the images (and seeds, if there are several) that were not drawn.
/// The mean over samples is the error to expect of what is picked so. `None` unless all tables are on the same seeds and
/// images.
#[must_use]
pub fn best_of_many(tables: &[Crossed], key: u64) -> Option<f64> {
    let count = tables.first()?.count();
    let is_same = |table: &Crossed| (table.count().seeds, table.count().images) == (count.seeds, count.images);
    if count.images < 2 || !tables.iter().all(is_same) {
        return None;
    }
    let picked = |seeds: &[u32], images: &[u32]| {
        let errors = tables.iter().map(|table| table.drawn(seeds, images));
        let best = errors.enumerate().fold((0, f64::INFINITY), |best, of| if of.1 < best.1 { of } else { best }).0;
        let left = |drawn: &[u32]| drawn.iter().map(|times| u32::from(*times == 0)).collect::<Vec<u32>>();
        let seeds = if seeds.len() > 1 { left(seeds) } else { seeds.to_vec() };
        tables[best].drawn(&seeds, &left(images))
    };
    let replicates = resample(count.seeds, count.images, RESAMPLES, key, picked);
    let finite: Vec<f64> = replicates.into_iter().filter(|error| error.is_finite()).collect();
    (!finite.is_empty()).then(|| mean(&finite))
}

/// The factor by which the upper part of the best's interval grows because the best was picked: the least of several means falls
/// too low more often than any one mean, and further. It compares two distances that 2.5 % of bootstrap samples exceed: the
/// greatest fall of the logarithm among all tables, and the fall of the first, which is the best. It is at least 1, and 1 where
/// the samples do not tell it.
#[must_use]
pub fn reach_of_best(tables: &[Crossed], key: u64) -> f64 {
    let Some((best, others)) = tables.split_first() else { return 1.0 };
    let count = best.count();
    if others.is_empty() || count.images < 2 {
        return 1.0;
    }
    let fall = |table: &Crossed, seeds: &[u32], images: &[u32]| (table.mean() / table.drawn(seeds, images)).ln();
    let exceeded = |statistic: &(dyn Fn(&[u32], &[u32]) -> f64 + Sync)| {
        percentiles(&resample(count.seeds, count.images, RESAMPLES, key, statistic), 0.95)[1]
    };
    let own = exceeded(&|seeds, images| fall(best, seeds, images));
    let greatest = exceeded(&|seeds, images| {
        tables.iter().map(|table| fall(table, seeds, images)).fold(f64::NEG_INFINITY, f64::max)
    });
    let ratio = greatest / own;
    if own > 0.0 && ratio.is_finite() { ratio.max(1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::statistics::normal_quantile;
    use sweep_core::seed::{self, Stream};

    fn tables(repeat: u64, errors: &[f64]) -> Vec<Crossed> {
        let mut rng = seed::derive(repeat, Stream::Bootstrap, 0, 0);
        let mut cell = |error: f64| (error + 0.5 * normal_quantile(rng.random_range(1e-9..1.0)), 1);
        errors.iter().map(|error| Crossed::new(&[(0..20).map(|_| cell(*error)).collect::<Vec<_>>()])).collect()
    }

    #[test]
    fn the_best_of_equals_is_as_good_as_any() {
        let (mut least, mut corrected) = (Vec::new(), Vec::new());
        for repeat in 0..60 {
            let tables = tables(repeat, &[2.0; 20]);
            least.push(tables.iter().map(Crossed::mean).fold(f64::INFINITY, f64::min));
            corrected.push(best_of_many(&tables, repeat).unwrap());
        }
        assert!(mean(&least) < 1.83, "{}", mean(&least));
        assert!((mean(&corrected) - 2.0).abs() < 0.04, "{}", mean(&corrected));
    }

    #[test]
    fn the_best_of_equals_is_less_sure_than_any() {
        let (one, four, twenty) = (tables(1, &[2.0]), tables(1, &[2.0; 4]), tables(1, &[2.0; 20]));
        assert!((reach_of_best(&one, 0) - 1.0).abs() < 1e-12 && (reach_of_best(&[], 0) - 1.0).abs() < 1e-12);
        let [few, many] = [&four, &twenty].map(|tables| reach_of_best(tables, 0));
        // Of independent normal errors that scatter alike it would be 1.27 and 1.54; the best has little scatter by chance.
        assert!(1.2 < few && few < many && many < 3.0, "{few} {many}");
    }

    #[test]
    fn a_clear_winner_is_hardly_corrected() {
        let tables = tables(1, &[1.0, 3.0, 3.0]);
        assert!((best_of_many(&tables, 0).unwrap() - tables[0].mean()).abs() < 0.02);
        assert!(best_of_many(&[], 0).is_none());
    }
}
