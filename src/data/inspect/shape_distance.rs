//! How far shapes lie from the mean of all.

use super::procrustes::{Similarity, mean_shape};
use sweep_core::units::Point;

/// Root mean square distance of each shape's landmarks from the mean of all shapes, over which it is laid by a turn, a shift and
/// a magnification (Procrustes), in the unit of the positions; `None` of shapes with fewer than four landmarks, or where the
/// shapes have no mean.
#[must_use]
pub fn distances_from_mean_shape(shapes: &[Vec<Option<Point>>]) -> Vec<Option<f64>> {
    let Some(mean) = mean_shape(shapes) else { return vec![None; shapes.len()] };
    let distance = |shape: &Vec<Option<Point>>| {
        let transform = Similarity::robust(shape, &mean.shape, mean.sigma)?;
        let pairs = shape.iter().zip(&mean.shape).filter_map(|(of, onto)| (*of).zip(*onto));
        let squares: Vec<f64> = pairs.map(|(of, onto)| transform.apply(of).distance(onto).0.powi(2)).collect();
        Some((squares.iter().sum::<f64>() / squares.len() as f64).sqrt())
    };
    shapes.iter().map(distance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bent_shape_is_far_and_a_turned_one_is_not() {
        let head = [(0.0, 0.0), (60.0, -10.0), (50.0, 25.0), (-20.0, 30.0), (45.0, 90.0), (-5.0, 80.0)];
        let shape = |change: &dyn Fn(usize, Point) -> Point| -> Vec<Option<Point>> {
            head.iter().enumerate().map(|(i, (x, y))| Some(change(i, Point { x: *x, y: *y }))).collect()
        };
        // Everyone differs a little, each in another landmark.
        let own =
            |person: usize| move |i: usize, p: Point| if i == person % 6 { Point { x: p.x + 1.0, ..p } } else { p };
        let mut shapes: Vec<_> = (0..8).map(|person| shape(&own(person))).collect();
        shapes[1] = shape(&|i, p| {
            let Point { x, y } = own(1)(i, p);
            Point { x: -2.0 * y + 7.0, y: 2.0 * x - 3.0 }
        });
        shapes[2] = shape(&|i, p| if i == 5 { Point { x: p.x - 15.0, ..p } } else { p });
        shapes[3] = vec![None; 6];
        let distances = distances_from_mean_shape(&shapes);
        let far = distances[2].unwrap();
        assert!(distances.iter().enumerate().all(|(i, d)| i == 2 || d.is_none_or(|d| d < far / 4.0)), "{distances:?}");
        assert!(distances[3].is_none() && distances[1].is_some());
        assert_eq!(distances_from_mean_shape(&shapes[3..4]), [None]);
    }
}
