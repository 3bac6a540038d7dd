//! The same picture twice: in two splits a leak, in one a picture that counts double. And pictures that share coordinates.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::finding::{Finding, Severity};
use super::fingerprint::{CERTAIN, EXACT, Pair, alike};
use super::procrustes::Similarity;
use super::{Image, Set};
use crate::Split;
use sweep_core::units::Point;

/// Two people mark one picture this near, in radii of the shape: under two millimetres on a head.
const ONE_SHAPE: f64 = 0.03;
/// The largest share of pairs of images that have one shape by chance where one shape still tells one picture.
const CHANCE: f64 = 0.05;
/// Pairs that are looked at to know that share, at least and at most.
const FEWEST_PAIRS: usize = 20;
const LOOKED_AT: usize = 400;
/// Fewest marked landmarks whose being equal to the last digit is no accident.
const FEWEST_EQUAL: usize = 3;

/// Landmarks that are further apart than this on two images, in radii of the shape, have moved.
const MOVED: f64 = 0.25;
/// Fewest images of one scene that make a film of it.
const FEWEST_FRAMES: usize = 3;

/// Groups of images that show the same picture, and frames of films.
pub(super) fn findings(set: &Set) -> Vec<Finding> {
    let count = set.images.len();
    let (moved, still): (Vec<Pair>, Vec<Pair>) = similar(set).into_iter().partition(|pair| is_frame(set, pair));
    let films = groups(count, &moved).into_iter().any(|scene| scene.len() >= FEWEST_FRAMES);
    // Where there are films, a subject that keeps still between two frames is not a picture that is there twice.
    let (in_film, same): (Vec<Pair>, Vec<Pair>) = still.into_iter().partition(|pair| films && pair.correlation < EXACT);
    let groups_of_same = groups(count, &same);
    let mut found: Vec<Finding> = groups_of_same.iter().map(|group| same_picture(set, group, &same)).collect();
    let frames: Vec<Pair> = moved.into_iter().chain(in_film).collect();
    found.extend(film(set, &groups(count, &frames)));
    let group_of = |i: usize| groups_of_same.iter().position(|group| group.contains(&i));
    found.extend(same_coordinates(set, &|a, b| group_of(a).is_some() && group_of(a) == group_of(b)));
    found
}

/// Pairs of images whose pictures are alike, but for those of one known group.
fn similar(set: &Set) -> Vec<Pair> {
    let summaries: Vec<_> = set.images.iter().map(|image| image.summary.as_ref().ok()).collect();
    let mut pairs: Vec<Pair> = Vec::new();
    let mut first_of: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    let mut prints = Vec::new();
    for (i, summary) in summaries.iter().enumerate() {
        // Constant images equal each other without showing the same.
        let shown = summary.filter(|summary| summary.fingerprint.is_some());
        let equal = shown.map(|summary| *first_of.entry(summary.digest).or_insert(i)).filter(|first| *first < i);
        pairs.extend(equal.map(|first| Pair { images: [first, i], correlation: 1.0 }));
        prints.push(shown.filter(|_| equal.is_none()).and_then(|summary| summary.fingerprint.as_ref()));
    }
    let (certain, likely): (Vec<Pair>, Vec<Pair>) =
        alike(&prints).into_iter().partition(|pair| pair.correlation >= CERTAIN);
    pairs.extend(certain);
    if !likely.is_empty() && shapes_differ(set, &likely) {
        let have_one = |pair: &Pair| {
            let [a, b] = pair.images.map(|i| &set.images[i]);
            have_one_shape(a, b)
        };
        pairs.extend(likely.into_iter().filter(have_one));
    }
    pairs
}

/// Whether different images have different shapes, so that one shape tells one picture: wings of one species all have nearly the
/// same.
pub(super) fn shapes_differ(set: &Set, likely: &[Pair]) -> bool {
    let count = set.images.len();
    // Far from one another in the file, where neighbours may be frames of a film.
    let apart = [count / 2, count / 3, count / 5].into_iter().filter(|apart| *apart > 0);
    let pairs =
        apart.flat_map(|apart| (0..count).map(move |i| [i.min((i + apart) % count), i.max((i + apart) % count)]));
    let different = pairs.filter(|images| !likely.iter().any(|pair| pair.images == *images)).take(LOOKED_AT);
    let have_one: Vec<bool> = different.map(|[a, b]| have_one_shape(&set.images[a], &set.images[b])).collect();
    let alike = have_one.iter().filter(|one| **one).count();
    // A few pairs say nothing.
    have_one.len() < FEWEST_PAIRS || alike as f64 <= CHANCE * have_one.len() as f64
}

/// Whether two pictures show one scene at different moments: they are alike, and the landmarks have moved.
fn is_frame(set: &Set, pair: &Pair) -> bool {
    let [a, b] = pair.images.map(|i| &set.images[i]);
    let (Ok(summary), Ok(other)) = (&a.summary, &b.summary) else { return false };
    let both = a.row.landmarks.iter().zip(&b.row.landmarks);
    let both = both.filter_map(|(a, b)| Some(((*a)?, (*b)?.rescale(other.size, summary.size))));
    let both: Vec<(Point, Point)> = both.collect();
    let first: Vec<Point> = both.iter().map(|(p, _)| *p).collect();
    let apart = both.iter().map(|(p, q)| p.distance(*q).0).sum::<f64>() / both.len() as f64;
    pair.correlation < EXACT && apart > MOVED * radius(&first)
}

/// Mean distance of points from their centre.
fn radius(points: &[Point]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = (points.iter().map(|p| p.x).sum::<f64>() / n, points.iter().map(|p| p.y).sum::<f64>() / n);
    points.iter().map(|p| (p.x - x).hypot(p.y - y)).sum::<f64>() / n
}

/// Scenes that several images show. In several splits, the network is measured on scenes that it has been trained on.
fn film(set: &Set, scenes: &[Vec<usize>]) -> Option<Finding> {
    let differ = |scene: &[usize], of: &dyn Fn(&Image) -> bool| scene.iter().any(|i| !of(&set.images[*i]));
    let scenes: Vec<&Vec<usize>> = scenes
        .iter()
        .filter(|scene| {
            let group = &set.images[scene[0]].row.patient;
            group.is_none() || differ(scene, &|image| image.row.patient == *group)
        })
        .collect();
    let images: Vec<&Image> = scenes.iter().flat_map(|scene| scene.iter().map(|i| &set.images[*i])).collect();
    let first = images.first()?;
    let divided = scenes.iter().filter(|s| differ(s, &|image| image.row.split == set.images[s[0]].row.split)).count();
    let mut what = format!(
        "{} images look like frames of films: {} {} shown with the landmarks in other positions",
        images.len(),
        scenes.len(),
        if scenes.len() == 1 { "scene is" } else { "scenes are" }
    );
    if divided > 0 {
        let _ = write!(what, "; {divided} in several splits, so errors are measured on scenes seen in training");
    }
    let remedy = "name the film of each image in a column `group`, for example by `sweep data import --group PATTERN`: folds and drawn \
                  splits keep a group together";
    let severity = if divided > 0 { Severity::Warning } else { Severity::Note };
    let mut finding = Finding::new(severity, "film", &set.csv, what).remedy(remedy);
    finding = finding.at(first.row.line, &first.row.image);
    finding.others = images[1..].iter().map(|image| image.row.image.clone()).collect();
    Some(finding)
}

/// Whether the landmarks of two images, one laid over the other, are as near as those of one picture marked twice.
fn have_one_shape(a: &Image, b: &Image) -> bool {
    let (Ok(summary), Ok(other)) = (&a.summary, &b.summary) else { return false };
    // In the first one's pixels; what is left of a resizing that kept no proportions is small.
    let resized = b.row.landmarks.iter().map(|p| p.map(|p| p.rescale(other.size, summary.size)));
    let resized: Vec<Option<Point>> = resized.collect();
    let marked: Vec<Point> = a.row.landmarks.iter().flatten().copied().collect();
    let radius = radius(&marked);
    let Some(onto) = Similarity::robust(&resized, &a.row.landmarks, ONE_SHAPE * radius) else { return false };
    let both = resized.iter().zip(&a.row.landmarks).filter_map(|(b, a)| Some(onto.apply((*b)?).distance((*a)?).0));
    let distances: Vec<f64> = both.collect();
    distances.iter().sum::<f64>() < ONE_SHAPE * radius * distances.len() as f64
}

/// Images that are connected by pairs, in the order of the file.
fn groups(images: usize, pairs: &[Pair]) -> Vec<Vec<usize>> {
    let mut root: Vec<usize> = (0..images).collect();
    let top = |root: &[usize], mut i: usize| {
        while root[i] != i {
            i = root[i];
        }
        i
    };
    for pair in pairs {
        let [a, b] = pair.images.map(|i| top(&root, i));
        root[a.max(b)] = a.min(b);
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for i in 0..images {
        groups.entry(top(&root, i)).or_default().push(i);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

fn named(image: &Image) -> String {
    format!("{} ({})", image.row.image, image.row.split.map_or("no split", Split::name))
}

fn same_picture(set: &Set, group: &[usize], pairs: &[Pair]) -> Finding {
    let images: Vec<&Image> = group.iter().map(|i| &set.images[*i]).collect();
    let inside = |pair: &&Pair| group.contains(&pair.images[0]);
    let least = pairs.iter().filter(inside).map(|pair| pair.correlation).fold(1.0, f64::min);
    let exact = pairs.iter().filter(inside).all(|pair| pair.correlation >= 1.0);
    let leak = images.iter().any(|image| image.row.split != images[0].row.split);
    let how = if exact { "pixel for pixel".to_owned() } else { format!("correlation {least:.2}") };
    let others: Vec<String> = images[1..].iter().map(|image| named(image)).collect();
    let split = images[0].row.split.map_or("no split", Split::name);
    let mut what = format!("shows the same picture ({split}) as {}: {how}", others.join(", "));
    if let Some(apart) = apart(images[0], images[1]) {
        let _ = write!(what, "; the first two are marked {apart:.2} {} apart", set.unit);
    }
    let (severity, check, remedy) = if leak {
        let remedy = "keep it in one split: a network that has seen a picture is not measured on it";
        (Severity::Error, "leakage", remedy)
    } else {
        (Severity::Warning, "duplicate", "keep one of them: the same picture twice counts double and adds nothing")
    };
    let mut finding = Finding::new(severity, check, &set.csv, what).remedy(remedy);
    finding = finding.at(images[0].row.line, &images[0].row.image);
    finding.others = images[1..].iter().map(|image| image.row.image.clone()).collect();
    finding
}

/// Mean distance of two images' landmarks, as if the second had the first's size.
fn apart(a: &Image, b: &Image) -> Option<f64> {
    let (from, to) = (b.summary.as_ref().ok()?.size, a.summary.as_ref().ok()?.size);
    let spacing = a.row.spacing?;
    let both = a.row.landmarks.iter().zip(&b.row.landmarks).filter_map(|(a, b)| Some(((*a)?, (*b)?)));
    let distances: Vec<f64> = both.map(|(a, b)| spacing.distance(a, b.rescale(from, to)).0).collect();
    (!distances.is_empty()).then(|| distances.iter().sum::<f64>() / distances.len() as f64)
}

/// Different pictures whose landmarks are equal to the last digit.
fn same_coordinates(set: &Set, same_picture: &dyn Fn(usize, usize) -> bool) -> Vec<Finding> {
    let mut first_of: BTreeMap<Vec<Option<[u64; 2]>>, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (i, image) in set.images.iter().enumerate() {
        let landmarks = &image.row.landmarks;
        if landmarks.iter().flatten().count() < FEWEST_EQUAL.min(landmarks.len()) || landmarks.len() < 2 {
            continue;
        }
        let bits = landmarks.iter().map(|p| p.map(|p| [p.x.to_bits(), p.y.to_bits()])).collect();
        let first = *first_of.entry(bits).or_insert(i);
        if first < i && !same_picture(first, i) {
            let other = &set.images[first].row.image;
            let what = format!("all landmarks have the coordinates of {other}, which shows another picture");
            let mut finding = Finding::new(Severity::Error, "same-coordinates", &set.csv, what)
                .at(image.row.line, &image.row.image)
                .remedy("mark the one that took the other's coordinates again");
            finding.others = vec![other.clone()];
            found.push(finding);
        }
    }
    found
}
