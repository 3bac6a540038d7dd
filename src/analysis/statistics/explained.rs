//! How much of an order another variable explains: a regression on ranks, tested by permutation.

use rand::seq::SliceRandom;
use serde::Serialize;
use sweep_core::seed::{self, Stream};

use super::mean;
use super::ranks::ranks;

/// Number of permutations: the least p-value is its reciprocal.
const PERMUTATIONS: usize = 9_999;
/// The least degrees of freedom that a regression must leave.
const FEWEST_DEGREES: usize = 3;

/// The variable that explains.
#[derive(Debug, Clone, Copy)]
pub enum Explaining<'a> {
    /// A number: a parabola over its ranks, which may rise, fall or bend once.
    Numbers(&'a [f64]),
    /// Its kind, from 0.
    Kinds(&'a [usize]),
}

/// The direction of a parabola over the range of its variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// It falls from end to end.
    Falls,
    /// It rises from end to end.
    Rises,
    /// Its least value lies between the ends.
    LeastBetween,
    /// Its greatest value lies between the ends.
    GreatestBetween,
}

/// How much of the order of values another variable explains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Explained {
    /// The explained share of the variance of the ranks, less what chance would explain (adjusted R², Ezekiel 1930); at least 0.
    pub share: f64,
    /// p-value of the hypothesis that the values do not depend on the variable, by permutation (Phipson and Smyth 2010).
    pub p: f64,
    /// The parabola's direction; `None` for kinds.
    pub shape: Option<Shape>,
}

/// How much of the order of `values` the variable explains within strata, whose levels do not count: values are ranked, and
/// permuted, among those of their stratum. `None` with too few values.
///
/// The test holds whatever the values' distribution, if within a stratum every order of them is as likely where the variable does
/// nothing: it needs no second training at the same point.
#[must_use]
pub fn explained(values: &[f64], by: Explaining<'_>, strata: &[usize], key: u64) -> Option<Explained> {
    let members: Vec<Vec<usize>> = (0..=*strata.iter().max()?)
        .map(|stratum| (0..values.len()).filter(|i| strata[*i] == stratum).collect::<Vec<usize>>())
        .filter(|members| members.len() > 1)
        .collect();
    let used: usize = members.iter().map(Vec::len).sum();
    let order = centred_ranks(values, &members);
    let columns: Vec<Vec<f64>> = match by {
        Explaining::Numbers(numbers) => {
            let first = centred_ranks(numbers, &members);
            let squares = centred(&first.iter().map(|rank| rank * rank).collect::<Vec<f64>>(), &members);
            vec![first, squares]
        }
        Explaining::Kinds(kinds) => {
            let is = |kind: usize| kinds.iter().map(|of| f64::from(u8::from(*of == kind))).collect::<Vec<f64>>();
            (0..*kinds.iter().max()?).map(|kind| centred(&is(kind), &members)).collect()
        }
    };
    let basis = orthonormal(&columns);
    let total = product(&order, &order);
    let left = used.checked_sub(members.len() + basis.len()).filter(|left| *left >= FEWEST_DEGREES)?;
    if basis.is_empty() || total <= 0.0 {
        return None;
    }
    let explains = |order: &[f64]| basis.iter().map(|column| product(column, order).powi(2)).sum::<f64>() / total;
    let found = explains(&order);
    let rng = &mut seed::derive(key, Stream::Bootstrap, 9, 0);
    let (mut permuted, mut as_much) = (order.clone(), 0);
    for _ in 0..PERMUTATIONS {
        for places in &members {
            let mut of: Vec<f64> = places.iter().map(|place| order[*place]).collect();
            of.shuffle(rng);
            for (place, value) in places.iter().zip(of) {
                permuted[*place] = value;
            }
        }
        // Equal shares may differ in the last places.
        as_much += usize::from(explains(&permuted) >= found - 1e-12);
    }
    let freedom = (used - members.len()) as f64 / left as f64;
    let shape = match by {
        Explaining::Numbers(_) => Some(shape(&order, &columns)),
        Explaining::Kinds(_) => None,
    };
    Some(Explained {
        share: (1.0 - (1.0 - found) * freedom).max(0.0),
        p: (as_much + 1) as f64 / (PERMUTATIONS + 1) as f64,
        shape,
    })
}

/// Ranks within each stratum, from −1 to 1; 0 outside.
fn centred_ranks(values: &[f64], members: &[Vec<usize>]) -> Vec<f64> {
    let mut centred = vec![0.0; values.len()];
    for places in members {
        let count = places.len() as f64;
        let of = ranks(places.iter().map(|place| values[*place]));
        for (place, rank) in places.iter().zip(of) {
            centred[*place] = (2.0 * rank - count - 1.0) / (count - 1.0);
        }
    }
    centred
}

/// Less the mean of each stratum; 0 outside.
fn centred(values: &[f64], members: &[Vec<usize>]) -> Vec<f64> {
    let mut centred = vec![0.0; values.len()];
    for places in members {
        let level = mean(&places.iter().map(|place| values[*place]).collect::<Vec<f64>>());
        for place in places {
            centred[*place] = values[*place] - level;
        }
    }
    centred
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// An orthonormal basis of the columns (modified Gram–Schmidt), without those that the others give.
fn orthonormal(columns: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for column in columns {
        let mut rest = column.clone();
        for of in &basis {
            let along = product(of, &rest);
            rest.iter_mut().zip(of).for_each(|(value, of)| *value -= along * of);
        }
        let length = product(&rest, &rest).sqrt();
        if length > 1e-9 * product(column, column).sqrt().max(1e-9) {
            basis.push(rest.into_iter().map(|value| value / length).collect());
        }
    }
    basis
}

/// The direction of the parabola that fits the order best; the columns are centred ranks and their squares.
fn shape(order: &[f64], columns: &[Vec<f64>]) -> Shape {
    let [ranks, squares] = columns else { return Shape::Rises };
    let (aa, ab, bb) = (product(ranks, ranks), product(ranks, squares), product(squares, squares));
    let (ay, by) = (product(ranks, order), product(squares, order));
    let determinant = aa * bb - ab * ab;
    let (slope, bend) = if determinant > 1e-9 * aa * bb {
        ((ay * bb - by * ab) / determinant, (by * aa - ay * ab) / determinant)
    } else {
        (ay, 0.0)
    };
    match (slope - 2.0 * bend, slope + 2.0 * bend) {
        (start, end) if start <= 0.0 && end <= 0.0 => Shape::Falls,
        (start, end) if start >= 0.0 && end >= 0.0 => Shape::Rises,
        (start, _) if start < 0.0 => Shape::LeastBetween,
        _ => Shape::GreatestBetween,
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    fn noise(key: u64, count: usize) -> Vec<f64> {
        let mut rng = seed::derive(key, Stream::Power, 0, 0);
        // Heavy tails: ranks do not mind.
        (0..count).map(|_| (1.0 / rng.random_range(1e-6f64..1.0)).powi(2)).collect()
    }

    #[test]
    fn without_an_effect_one_in_twenty_is_below_one_in_twenty() {
        let (mut numbers, mut kinds, mut strata) = (0, 0, 0);
        let repeats = 300;
        for key in 0..repeats {
            let values = noise(key, 18);
            let x = noise(1000 + key, 18);
            let thirds: Vec<usize> = (0..18).map(|i| i % 3).collect();
            // The levels of strata differ by far more than anything in them.
            let shifted: Vec<f64> = values.iter().zip(&thirds).map(|(v, level)| v + 1e12 * *level as f64).collect();
            let p = |values: &[f64], by, strata: &[usize]| explained(values, by, strata, key).unwrap().p;
            numbers += usize::from(p(&values, Explaining::Numbers(&x), &[0; 18]) < 0.05);
            kinds += usize::from(p(&values, Explaining::Kinds(&thirds), &[0; 18]) < 0.05);
            strata += usize::from(p(&shifted, Explaining::Numbers(&x), &thirds) < 0.05);
        }
        // 15 expected of 300; 26 are exceeded once in 300.
        for (of, name) in [(numbers, "numbers"), (kinds, "kinds"), (strata, "strata")] {
            assert!((4..=26).contains(&of), "{name}: {of}");
        }
    }

    #[test]
    fn what_bends_is_found_and_named() {
        let x: Vec<f64> = (0..16).map(f64::from).collect();
        let of = |f: &dyn Fn(f64) -> f64| {
            let values: Vec<f64> = x.iter().map(|x| f(*x)).collect();
            explained(&values, Explaining::Numbers(&x), &[0; 16], 0).unwrap()
        };
        let falls = of(&|x| (-x).exp());
        assert!(falls.share > 0.999 && falls.p < 1e-3 && falls.shape == Some(Shape::Falls), "{falls:?}");
        assert_eq!(of(&|x| x).shape, Some(Shape::Rises));
        let valley = of(&|x| (x - 7.2).abs());
        assert!(valley.share > 0.9 && valley.p < 1e-3 && valley.shape == Some(Shape::LeastBetween), "{valley:?}");
        assert_eq!(of(&|x| -(x - 7.2).abs()).shape, Some(Shape::GreatestBetween));
    }

    #[test]
    fn shares_are_those_of_least_squares_on_ranks() {
        // numpy 2.4: lstsq of [1, u, u²] on scaled ranks, adjusted R²; and of indicators.
        let x = [0.3, 2.0, 1.1, 5.0, 4.0, 0.1, 7.0, 3.0];
        let y = [1.0, 0.4, 2.0, 3.0, 0.9, 5.0, 8.0, 0.7];
        let numbers = explained(&y, Explaining::Numbers(&x), &[0; 8], 0).unwrap();
        assert!((numbers.share - NUMBERS).abs() < 1e-12, "{}", numbers.share);
        let kinds = explained(&y, Explaining::Kinds(&[0, 1, 0, 2, 1, 0, 2, 1]), &[0; 8], 0).unwrap();
        assert!((kinds.share - KINDS).abs() < 1e-12, "{}", kinds.share);
    }

    const NUMBERS: f64 = 0.774_603_174_603_174_5;
    const KINDS: f64 = 0.711_111_111_111_111;

    #[test]
    fn too_few_values_tell_nothing() {
        let few = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert!(explained(&few, Explaining::Numbers(&few), &[0; 5], 0).is_none());
        assert!(explained(&[], Explaining::Numbers(&[]), &[], 0).is_none());
        let same = explained(&[1.0; 9], Explaining::Numbers(&[1.0; 9]), &[0; 9], 0);
        assert!(same.is_none());
        // A variable of its own for each value explains everything, and nothing.
        assert!(explained(&few, Explaining::Kinds(&[0, 1, 2, 3, 4]), &[0; 5], 0).is_none());
    }
}
