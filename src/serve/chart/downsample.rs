//! Fewer points of curves that have more than a screen has pixels: the least and the greatest value of every stretch, so that no
//! peak is lost.

/// Most places on the horizontal axis.
pub(super) const PLACES: usize = 1000;

/// Curves at common places: places and, per curve, a value for each where it has one.
pub(super) type Aligned = (Vec<f64>, Vec<Vec<Option<f64>>>);

/// Puts curves, each of ascending places, on common places: those that they have, or if these are more than [`PLACES`], two for
/// each of [`PLACES`] / 2 stretches.
pub(super) fn aligned(curves: &[Vec<(f64, f64)>]) -> Aligned {
    let mut places: Vec<f64> = curves.iter().flatten().map(|point| point.0).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    if places.len() <= PLACES {
        let values = curves.iter().map(|curve| at_places(curve, &places)).collect();
        return (places, values);
    }
    let (first, last) = (places[0], places[places.len() - 1]);
    let stretches = PLACES / 2;
    let width = (last - first) / stretches as f64;
    let of = |place: f64| (((place - first) / width) as usize).min(stretches - 1);
    let places = (0..PLACES).map(|at| first + width * (0.25 + 0.5 * at as f64)).collect();
    (places, curves.iter().map(|curve| extremes(curve, stretches, of)).collect())
}

fn at_places(curve: &[(f64, f64)], places: &[f64]) -> Vec<Option<f64>> {
    let mut points = curve.iter().peekable();
    let mut at = |place: &f64| {
        while points.next_if(|point| point.0 < *place).is_some() {}
        points.peek().filter(|point| point.0.total_cmp(place).is_eq()).map(|point| point.1)
    };
    places.iter().map(&mut at).collect()
}

/// The least and the greatest value of each stretch, in the order in which they occur.
fn extremes(curve: &[(f64, f64)], stretches: usize, of: impl Fn(f64) -> usize) -> Vec<Option<f64>> {
    let mut found: Vec<Option<[(usize, f64); 2]>> = vec![None; stretches];
    for (order, (place, value)) in curve.iter().enumerate() {
        let here = (order, *value);
        let stretch = &mut found[of(*place)];
        *stretch = Some(match *stretch {
            None => [here, here],
            Some([least, greatest]) => {
                [if *value < least.1 { here } else { least }, if *value > greatest.1 { here } else { greatest }]
            }
        });
    }
    let pair = |stretch: Option<[(usize, f64); 2]>| match stretch {
        None => [None, None],
        Some([least, greatest]) if least.0 <= greatest.0 => [Some(least.1), Some(greatest.1)],
        Some([least, greatest]) => [Some(greatest.1), Some(least.1)],
    };
    found.into_iter().flat_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_points_stay_as_they_are() {
        let (places, values) = aligned(&[vec![(1.0, 5.0), (3.0, 6.0)], vec![(2.0, 7.0), (3.0, 8.0)]]);
        assert_eq!(places, [1.0, 2.0, 3.0]);
        assert_eq!(values, [[Some(5.0), None, Some(6.0)], [None, Some(7.0), Some(8.0)]]);
        assert_eq!(aligned(&[]), (vec![], vec![]));
    }

    #[test]
    fn no_peak_is_lost_among_many_points() {
        let mut curve: Vec<(f64, f64)> = (0..50_000).map(|x| (f64::from(x), 1.0)).collect();
        curve[31_234].1 = 9.0;
        curve[777].1 = -9.0;
        let (places, values) = aligned(&[curve.clone(), curve[..100].to_vec()]);
        assert_eq!((places.len(), values[0].len(), values[1].len()), (PLACES, PLACES, PLACES));
        assert!(places.is_sorted() && values[0].contains(&Some(9.0)) && values[0].contains(&Some(-9.0)));
        assert_eq!(values[1].iter().flatten().count(), 2, "a short curve has one stretch");
    }
}
