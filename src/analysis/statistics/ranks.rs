//! Spearman's rank correlation: does one variable rise with another, whatever the shape?

/// ρ of pairs, ties sharing their mean rank (Spearman 1904): 1 same order, −1 opposite; `nan` if one is constant.
#[must_use]
pub fn spearman(pairs: &[(f64, f64)]) -> f64 {
    let (a, b) = (ranks(pairs.iter().map(|p| p.0)), ranks(pairs.iter().map(|p| p.1)));
    let middle = f64::midpoint(pairs.len() as f64, 1.0);
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
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
    fn correlations_are_scipys() {
        // scipy 1.17 spearmanr of these, with ties in both.
        let pairs = [(1.0, 2.0), (2.0, 1.0), (2.0, 4.0), (5.0, 4.0), (0.5, 0.0), (7.0, 9.0), (3.0, 4.0)];
        assert!((spearman(&pairs) - 0.878_850_170_607_949_8).abs() < 1e-14, "{}", spearman(&pairs));
        let opposite: Vec<(f64, f64)> = (0..9).map(|i| (f64::from(i), f64::from(-i).exp())).collect();
        assert!((spearman(&opposite) + 1.0).abs() < 1e-14);
        assert!(spearman(&[(1.0, 2.0), (1.0, 3.0)]).is_nan() && spearman(&[]).is_nan());
    }
}
