//! Clusters of images that look alike, to validate on images unlike those of the training.
//!
//! k-means (Lloyd 1982) with the starts of k-means++ (Arthur and Vassilvitskii 2007), on the features by which an image is
//! judged to be unlike others. Grey values, layout and sharpness count alike: each is put in units of its spread.

use rand::Rng;

use super::appearance::Appearance;
use sweep_core::error::{Error, Result};
use sweep_core::seed::{self, Stream};

/// Starts of which the one with the least distances counts.
const STARTS: u64 = 20;
/// Most rounds of a start; far fewer suffice.
const ROUNDS: usize = 200;

/// Divides images into this many clusters; returns each image's cluster. Clusters are numbered from 0, the largest first,
/// and none is empty.
///
/// # Errors
/// When there are fewer than two clusters, or fewer images of different looks than clusters.
pub fn clusters(images: &[Appearance], count: usize) -> Result<Vec<usize>> {
    let points = features(images);
    let mut different: Vec<&Vec<f64>> = points.iter().collect();
    different.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    different.dedup();
    if count < 2 || different.len() < count {
        let what = format!("{} images of different looks cannot make {count} clusters", different.len());
        return Err(Error::input(what).remedy("use 2 or more clusters, and more images than clusters"));
    }
    let of_starts = (0..STARTS).map(|start| from_start(&points, count, start));
    let best = of_starts.reduce(|best, next| if next.1 < best.1 { next } else { best });
    Ok(largest_first(&best.map(|(clusters, _)| clusters).unwrap_or_default(), count))
}

/// The images' features, each block of them divided by the root of its mean squared distance to the mean.
fn features(images: &[Appearance]) -> Vec<Vec<f64>> {
    let mut points = vec![Vec::new(); images.len()];
    for block in 0..3 {
        let mut values: Vec<Vec<f64>> = images.iter().map(|image| image.features(block)).collect();
        let middle = mean(values.iter());
        let spread = values.iter().map(|value| squared(value, &middle)).sum::<f64>() / values.len().max(1) as f64;
        let factor = if spread > 0.0 { spread.sqrt().recip() } else { 0.0 };
        values.iter_mut().flatten().for_each(|value| *value *= factor);
        for (point, value) in points.iter_mut().zip(values) {
            point.extend(value);
        }
    }
    points
}

/// Clusters and the sum of squared distances to their means.
fn from_start(points: &[Vec<f64>], count: usize, start: u64) -> (Vec<usize>, f64) {
    let mut centres = first_centres(points, count, start);
    let mut clusters = Vec::new();
    for _ in 0..ROUNDS {
        let now: Vec<usize> = points.iter().map(|point| nearest(point, &centres).0).collect();
        if now == clusters {
            break;
        }
        for (cluster, centre) in centres.iter_mut().enumerate() {
            // An empty cluster keeps its centre.
            let members = || points.iter().zip(&now).filter(|(_, of)| **of == cluster).map(|(point, _)| point);
            if members().next().is_some() {
                *centre = mean(members());
            }
        }
        clusters = now;
    }
    let is_empty = (0..count).any(|cluster| !clusters.contains(&cluster));
    let distance = points.iter().map(|point| nearest(point, &centres).1).sum();
    (clusters, if is_empty { f64::INFINITY } else { distance })
}

/// Points drawn one after another, with a probability that grows with the squared distance to those before.
fn first_centres(points: &[Vec<f64>], count: usize, start: u64) -> Vec<Vec<f64>> {
    let mut rng = seed::derive(0, Stream::Clusters, start, 0);
    let mut centres: Vec<Vec<f64>> = points.get(rng.random_range(0..points.len())).cloned().into_iter().collect();
    while centres.len() < count {
        let distances: Vec<f64> = points.iter().map(|point| nearest(point, &centres).1).collect();
        let mut left = rng.random_range(0.0..1.0) * distances.iter().sum::<f64>();
        let drawn = distances.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        // Rounding may leave a rest after the last; the farthest point has a distance.
        let farthest = || (0..points.len()).max_by(|a, b| distances[*a].total_cmp(&distances[*b]));
        let Some(index) = drawn.or_else(farthest) else { break };
        centres.push(points[index].clone());
    }
    centres
}

/// The nearest centre, the first of equals, and its squared distance.
fn nearest(point: &[f64], centres: &[Vec<f64>]) -> (usize, f64) {
    let distances = centres.iter().map(|centre| squared(point, centre)).enumerate();
    distances.reduce(|best, next| if next.1 < best.1 { next } else { best }).unwrap_or((0, 0.0))
}

fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

fn mean<'a>(points: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let (mut sum, mut count) = (Vec::new(), 0.0);
    for point in points {
        sum.resize(point.len(), 0.0);
        sum.iter_mut().zip(point).for_each(|(sum, value)| *sum += value);
        count += 1.0;
    }
    for sum in &mut sum {
        *sum /= count;
    }
    sum
}

/// The same clusters, numbered by their sizes; of equal ones that with the first image is first.
fn largest_first(clusters: &[usize], count: usize) -> Vec<usize> {
    let members = |cluster: usize| clusters.iter().filter(|of| **of == cluster).count();
    let first = |cluster: usize| clusters.iter().position(|of| *of == cluster);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|cluster| (std::cmp::Reverse(members(*cluster)), first(*cluster)));
    clusters.iter().map(|cluster| order.iter().position(|of| of == cluster).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sweep_core::units::Size;

    const SIZE: Size = Size { height: 32, width: 24 };

    /// An image of a kind, with some noise.
    fn image(kind: usize, index: usize) -> Appearance {
        let pixel = |at: usize| {
            let (y, x) = (at / SIZE.width, at % SIZE.width);
            let noise = ((at * 7919 + index * 104_729) % 101) as f32 / 101.0 * 0.05;
            let shape = [y as f32 / 32.0, x as f32 / 24.0, if (x + y) % 2 == 0 { 0.9 } else { 0.1 }][kind];
            0.9 * shape + noise
        };
        Appearance::of(&(0..SIZE.area()).map(pixel).collect::<Vec<_>>(), SIZE)
    }

    #[test]
    fn images_of_a_kind_are_a_cluster_and_the_largest_is_first() {
        let kinds: Vec<usize> = (0..24).map(|index| [0, 0, 0, 1, 1, 2][index % 6]).collect();
        let images: Vec<Appearance> = kinds.iter().enumerate().map(|(index, kind)| image(*kind, index)).collect();
        assert_eq!(clusters(&images, 3).unwrap(), kinds);
        // Two clusters hold two kinds together, and divide none.
        let two = clusters(&images, 2).unwrap();
        let of_kind =
            |kind: usize| two.iter().zip(&kinds).filter(move |(_, of)| **of == kind).map(|(cluster, _)| *cluster);
        for kind in 0..3 {
            let of: Vec<usize> = of_kind(kind).collect();
            assert!(of.iter().all(|cluster| *cluster == of[0]), "{two:?}");
        }
        assert_eq!(clusters(&images, 3).unwrap(), clusters(&images, 3).unwrap());
    }

    #[test]
    fn too_few_images_are_refused() {
        let images: Vec<Appearance> = (0..6).map(|_| image(0, 1)).collect();
        let error = clusters(&images, 2).unwrap_err();
        assert!(error.message.starts_with("1 images of different looks"), "{error}");
        assert!(clusters(&[], 2).is_err() && clusters(&images, 1).is_err());
    }
}
