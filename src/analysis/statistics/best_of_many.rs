//! The error of the best of several configurations, corrected for having been picked on the images it is measured on.

use super::{Crossed, mean, resample};

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
    fn a_clear_winner_is_hardly_corrected() {
        let tables = tables(1, &[1.0, 3.0, 3.0]);
        assert!((best_of_many(&tables, 0).unwrap() - tables[0].mean()).abs() < 0.02);
        assert!(best_of_many(&[], 0).is_none());
    }
}
