//! Spearman's rank correlation: does one variable rise with another, whatever the shape?

/// ρ of pairs, ties sharing their mean rank (Spearman 1904): 1 same order, −1 opposite; `nan` if one is constant.
#[must_use]
pub fn spearman(pairs: &[(f64, f64)]) -> f64 {
    let (a, b) = (ranks(pairs.iter().map(|p| p.0)), ranks(pairs.iter().map(|p| p.1)));
    let middle = f64::midpoint(pairs.len() as f64, 1.0);
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

/// Pairs in clusters, ordered once, so that ρ of clusters drawn again needs no sorting.
pub struct ClusteredPairs {
    /// The cluster of each pair.
    clusters: Vec<usize>,
    /// For each variable, the place of each pair among the different values.
    places: [Vec<usize>; 2],
}

impl ClusteredPairs {
    /// The pairs of each cluster.
    #[must_use]
    pub fn new(clusters: &[Vec<(f64, f64)>]) -> Self {
        let of = clusters.iter().enumerate().flat_map(|(at, pairs)| std::iter::repeat_n(at, pairs.len())).collect();
        let pairs = || clusters.iter().flatten();
        Self { clusters: of, places: [places(pairs().map(|p| p.0)), places(pairs().map(|p| p.1))] }
    }

    /// ρ of all pairs, each as often as its cluster was drawn: as [`spearman`] of them all.
    #[must_use]
    pub fn drawn(&self, times: &[u32]) -> f64 {
        let weights: Vec<f64> = self.clusters.iter().map(|cluster| f64::from(times[*cluster])).collect();
        let middle = f64::midpoint(weights.iter().sum::<f64>(), 1.0);
        let [a, b] = self.places.each_ref().map(|places| {
            let mut ranks = vec![0.0; places.iter().max().map_or(0, |last| last + 1)];
            places.iter().zip(&weights).for_each(|(place, weight)| ranks[*place] += weight);
            let mut before = 0.0;
            for rank in &mut ranks {
                let tied = *rank;
                *rank = before + f64::midpoint(tied, 1.0) - middle;
                before += tied;
            }
            ranks
        });
        let [mut product, mut of_a, mut of_b] = [0.0; 3];
        for ((place_a, place_b), weight) in self.places[0].iter().zip(&self.places[1]).zip(&weights) {
            let (a, b) = (a[*place_a], b[*place_b]);
            product += weight * a * b;
            of_a += weight * a * a;
            of_b += weight * b * b;
        }
        product / (of_a * of_b).sqrt()
    }
}

/// The place of each value among the different values, from 0.
fn places(values: impl Iterator<Item = f64>) -> Vec<usize> {
    let values: Vec<f64> = values.collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut places = vec![0; values.len()];
    for (place, tied) in order.chunk_by(|a, b| values[*a].total_cmp(&values[*b]).is_eq()).enumerate() {
        for index in tied {
            places[*index] = place;
        }
    }
    places
}

/// Ranks from 1.
pub(super) fn ranks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|a, b| values[*a].total_cmp(&values[*b]).is_eq()) {
        for index in tied {
            ranks[*index] = before as f64 + f64::midpoint(tied.len() as f64, 1.0);
        }
        before += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_drawn_again_are_their_pairs_repeated() {
        let clusters = [
            vec![(1.0, 2.0), (2.0, 1.0)],
            vec![(2.0, 4.0), (5.0, 4.0), (0.5, 0.0)],
            vec![(7.0, 9.0), (3.0, 4.0)],
            vec![(4.0, 1.0)],
        ];
        let ordered = ClusteredPairs::new(&clusters);
        for times in [[1, 1, 1, 1], [2, 0, 1, 1], [0, 3, 0, 1], [1, 0, 2, 1]] {
            let repeated: Vec<(f64, f64)> = clusters
                .iter()
                .zip(times)
                .flat_map(|(pairs, n)| std::iter::repeat_n(pairs, n as usize).flatten().copied())
                .collect();
            assert!((ordered.drawn(&times) - spearman(&repeated)).abs() < 1e-14, "{times:?}");
        }
        assert!(ordered.drawn(&[0, 0, 0, 2]).is_nan() && ClusteredPairs::new(&[]).drawn(&[]).is_nan());
    }

    #[test]
    fn correlations_are_scipys() {
        // scipy 1.17 spearmanr of these, with ties in both.
        let pairs = [(1.0, 2.0), (2.0, 1.0), (2.0, 4.0), (5.0, 4.0), (0.5, 0.0), (7.0, 9.0), (3.0, 4.0)];
        assert!((spearman(&pairs) - 0.878_850_170_607_949_8).abs() < 1e-14, "{}", spearman(&pairs));
        let opposite: Vec<(f64, f64)> = (0..9).map(|i| (f64::from(i), f64::from(-i).exp())).collect();
        assert!((spearman(&opposite) + 1.0).abs() < 1e-14);
        assert!(spearman(&[(1.0, 2.0), (1.0, 3.0)]).is_nan() && spearman(&[]).is_nan());
    }
}
