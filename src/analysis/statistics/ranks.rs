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
    /// In ascending order of the first value: the cluster, and the rank of the second among the different values.
    pairs: Vec<(u32, u32)>,
    /// Lengths of the runs of equal first values.
    tied: Vec<usize>,
    /// Number of different second values.
    seconds: usize,
}

impl ClusteredPairs {
    /// The pairs of each cluster.
    #[must_use]
    pub fn new(clusters: &[Vec<(f64, f64)>]) -> Self {
        let all = || clusters.iter().flatten();
        let [first, second] = [dense_ranks(all().map(|pair| pair.0)), dense_ranks(all().map(|pair| pair.1))];
        let of = clusters.iter().zip(0..).flat_map(|(pairs, at)| std::iter::repeat_n(at, pairs.len()));
        let mut ordered: Vec<(u32, (u32, u32))> = first.into_iter().zip(of.zip(second.iter().copied())).collect();
        ordered.sort_by_key(|(first, _)| *first);
        Self {
            tied: ordered.chunk_by(|a, b| a.0 == b.0).map(<[_]>::len).collect(),
            pairs: ordered.into_iter().map(|(_, pair)| pair).collect(),
            seconds: second.into_iter().max().map_or(0, |last| last as usize + 1),
        }
    }

    /// ρ of all pairs, each as often as its cluster was drawn: as [`spearman`] of them all.
    ///
    /// Twice a rank less the mean rank is a whole number, so all sums are exact.
    #[must_use]
    pub fn drawn(&self, times: &[u32]) -> f64 {
        // The weight of each second value, then its rank.
        let mut second = vec![0; self.seconds];
        self.pairs.iter().for_each(|(cluster, at)| second[*at as usize] += i64::from(times[*cluster as usize]));
        let total: i64 = second.iter().sum();
        let (mut before, mut of_second) = (-total, 0);
        for of in &mut second {
            let (weight, rank) = (*of, before + *of);
            (*of, before, of_second) = (rank, before + 2 * weight, of_second + weight * rank * rank);
        }
        let (mut before, mut of_first, mut product) = (-total, 0, 0);
        let mut rest = &self.pairs[..];
        for length in &self.tied {
            let (run, after) = rest.split_at(*length);
            rest = after;
            let (mut weight, mut sum) = (0, 0);
            for (cluster, at) in run {
                let times = i64::from(times[*cluster as usize]);
                weight += times;
                sum += times * second[*at as usize];
            }
            let rank = before + weight;
            (before, of_first, product) = (before + 2 * weight, of_first + weight * rank * rank, product + rank * sum);
        }
        product as f64 / (of_first as f64 * of_second as f64).sqrt()
    }
}

/// The rank of each value among the different values, from 0.
fn dense_ranks(values: impl Iterator<Item = f64>) -> Vec<u32> {
    let values: Vec<f64> = values.collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0; values.len()];
    for (tied, rank) in order.chunk_by(|a, b| values[*a].total_cmp(&values[*b]).is_eq()).zip(0..) {
        for index in tied {
            ranks[*index] = rank;
        }
    }
    ranks
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
