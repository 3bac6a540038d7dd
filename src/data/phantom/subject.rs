//! One person in front of the film: how this head differs from the average, and how it is held.

use rand::Rng;

use super::curve::{Curve, Vector, centroid, extreme, farthest_left};
use super::template::{self, Points};

/// Landmark names, in the order of [`Subject::landmarks`].
pub(crate) const LANDMARKS: [&str; 10] =
    ["sella", "nasion", "orbitale", "porion", "subspinale", "supramentale", "pogonion", "menton", "gnathion", "gonion"];

/// The film, in millimetres.
pub(super) const FILM: Vector = Vector::new(192.0, 240.0);

/// No landmark comes nearer to the edge of the film than this, in millimetres.
pub(super) const MARGIN: f64 = 8.0;

/// Where sella lies on the film when the average head is placed in the average way.
const SELLA_ON_FILM: Vector = Vector::new(80.0, 104.0);

/// How far a key point's displacement reaches, in millimetres.
const REACH: f64 = 24.0;

/// A number with mean 0 and this standard deviation, never farther than three of them: the sum of three uniform
/// numbers on [−1, 1] has variance 1.
pub(super) fn spread(rng: &mut impl Rng, deviation: f64) -> f64 {
    let sum: f64 = (0..3).map(|_| 2.0 * rng.random::<f64>() - 1.0).sum();
    sum * deviation
}

fn spread_vector(rng: &mut impl Rng, x: f64, y: f64) -> Vector {
    Vector::new(spread(rng, x), spread(rng, y))
}

/// One person's head on the film.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subject {
    /// Points of the average head, and where this person's lie relative to them; between them it varies smoothly.
    warp: Vec<(Vector, Vector)>,
    /// Angles of the upper and lower incisors against the average, as tangents of half the angle.
    incisors: [f64; 2],
    growth: f64,
    /// Tangent of half the angle by which the head looks down.
    tilt: f64,
    /// Sella on the film.
    place: Vector,
}

impl Subject {
    /// Draws a person. The spread of every landmark is about that of published cephalometric samples.
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let warp = draw_warp(rng);
        let incisors = [spread(rng, 0.035), spread(rng, 0.035)];
        let growth = 1.0 + spread(rng, 0.045);
        let tilt = spread(rng, 0.038);
        let mut subject = Self { warp, incisors, growth, tilt, place: SELLA_ON_FILM + spread_vector(rng, 3.6, 3.6) };
        subject.stay_on_film();
        subject
    }

    /// Moves the head, as a radiographer would, until the film catches every landmark.
    fn stay_on_film(&mut self) {
        let landmarks = self.landmarks();
        let shift = |low: f64, high: f64, size: f64| (MARGIN - low).max(0.0) + (size - MARGIN - high).min(0.0);
        let (mut low, mut high) = (FILM, Vector::ZERO);
        for point in landmarks {
            low = Vector::new(low.x.min(point.x), low.y.min(point.y));
            high = Vector::new(high.x.max(point.x), high.y.max(point.y));
        }
        self.place = self.place + Vector::new(shift(low.x, high.x, FILM.x), shift(low.y, high.y, FILM.y));
    }

    /// From the average head to this one, still upright: the weighted mean of the key points' displacements.
    fn shape(&self, point: Vector) -> Vector {
        let (mut total, mut sum) = (0.0, Vector::ZERO);
        for &(key, displacement) in &self.warp {
            let offset = point - key;
            let fall = 1.0 / (1.0 + offset.dot(offset) / (REACH * REACH));
            let weight = fall * fall * fall;
            total += weight;
            sum = sum + displacement * weight;
        }
        point + sum * (1.0 / total)
    }

    /// From this head, upright, to the film, in millimetres.
    fn pose(&self, point: Vector) -> Vector {
        self.place + point.rotated(self.tilt) * self.growth
    }

    /// A curve of the average head as this person has it, upright.
    fn upright(&self, control: impl IntoIterator<Item = (f64, f64)>, closed: bool) -> Curve {
        let control: Vec<Vector> = control.into_iter().map(|(x, y)| self.shape(Vector::new(x, y))).collect();
        Curve::through(&control, closed)
    }

    /// An open curve of the average head, on the film.
    pub(super) fn line(&self, control: Points) -> Curve {
        self.upright(control.iter().copied(), false).map(|point| self.pose(point))
    }

    /// A closed curve of the average head, on the film.
    pub(super) fn outline(&self, control: impl IntoIterator<Item = (f64, f64)>) -> Curve {
        self.upright(control, true).map(|point| self.pose(point))
    }

    /// A part of a closed curve, on the film.
    pub(super) fn part(&self, control: Points, range: std::ops::RangeInclusive<usize>) -> Curve {
        let whole = self.outline(control.iter().copied());
        Curve { points: whole.between(*range.start(), *range.end()).to_vec(), closed: false }
    }

    /// A place of the average head, on the film.
    pub(super) fn point(&self, place: (f64, f64)) -> Vector {
        self.pose(self.shape(Vector::new(place.0, place.1)))
    }

    /// The outlines of the upper and the lower incisor: as the average, then turned about the root's end.
    pub(super) fn incisors(&self) -> [Curve; 2] {
        let teeth = [(template::UPPER_INCISOR, self.incisors[0]), (template::LOWER_INCISOR, -self.incisors[1])];
        teeth.map(|(control, angle)| {
            let outline = self.upright(control.iter().copied(), true);
            let apex = self.shape(Vector::new(control[4].0, control[4].1));
            outline.map(|point| self.pose(apex + (point - apex).rotated(angle)))
        })
    }

    /// The meatus on the side of the film, upright.
    fn meatus(&self) -> Curve {
        let (centre, radius) = template::MEATUS;
        Curve::ellipse(self.shape(Vector::new(centre.0, centre.1)), Vector::new(radius.0, radius.1))
    }

    /// The meatus on the side of the film, on the film.
    pub(super) fn meatus_outline(&self) -> Curve {
        self.meatus().map(|point| self.pose(point))
    }

    /// The landmarks on the film, in millimetres, in the order of [`LANDMARKS`]: points of the very curves that are
    /// drawn. "Top", "lowest" and "deepest" are those of the upright head, whatever its tilt; of paired structures
    /// they are the sharper contour's, which is the side of the film.
    pub(super) fn landmarks(&self) -> [Vector; 10] {
        let (up, down) = (Vector::new(0.0, -1.0), Vector::new(0.0, 1.0));
        let open = |control: Points| self.upright(control.iter().copied(), false);
        let range = |curve: &Curve, range: std::ops::RangeInclusive<usize>| {
            curve.between(*range.start(), *range.end()).to_vec()
        };
        // The deepest point of a front that is concave from its first (upper) to its last (lower) point.
        let concavity = |points: &[Vector]| farthest_left(points, points[points.len() - 1], points[0]);

        let sella = centroid(&range(&open(template::SELLA), template::SELLA_FOSSA));
        let nasion = concavity(&range(&open(template::NASAL), template::NASAL_CONCAVITY));
        let orbitale = extreme(&open(template::ORBIT).points, down);
        let porion = extreme(&self.meatus().points, up);
        let subspinale = concavity(&range(&open(template::MAXILLA_FRONT), template::MAXILLA_CONCAVITY));

        let mandible = self.upright(template::MANDIBLE.iter().copied(), true);
        let menton = extreme(&range(&mandible, template::CHIN_BELOW), down);
        // Where the facial line from nasion touches the chin.
        let pogonion = farthest_left(&range(&mandible, template::CHIN_FRONT), nasion, menton);
        let alveolus = range(&mandible, template::MANDIBLE_CONCAVITY);
        let above_chin: Vec<Vector> = alveolus.iter().copied().take_while(|&point| point != pogonion).collect();
        let supramentale = farthest_left(&above_chin, pogonion, alveolus[0]);
        let gnathion = farthest_left(&range(&mandible, template::CHIN), pogonion, menton);
        let angle = range(&mandible, template::MANDIBLE_ANGLE);
        let gonion = farthest_left(&angle, angle[0], angle[angle.len() - 1]);

        [sella, nasion, orbitale, porion, subspinale, supramentale, pogonion, menton, gnathion, gonion]
            .map(|point| self.pose(point))
    }
}

/// Key points of the average head and this person's displacements: jaw relation, vertical pattern, local variation.
fn draw_warp(rng: &mut impl Rng) -> Vec<(Vector, Vector)> {
    let maxilla = Vector::new(spread(rng, 2.4), spread(rng, 2.2));
    // Half of all people have a class I jaw relation, three in ten class II, two in ten class III.
    let class = match rng.random::<f64>() {
        u if u < 0.5 => 0.0,
        u if u < 0.8 => -4.0,
        _ => 4.5,
    };
    let mandible = Vector::new(class + spread(rng, 2.2), spread(rng, 2.6));
    let opening = spread(rng, 0.045);
    let ramus = Vector::new(spread(rng, 2.2), spread(rng, 3.2));
    let nasion = spread_vector(rng, 2.0, 2.4);

    let condyle = Vector::new(-11.0, 22.0);
    let swing = |x: f64, y: f64| (Vector::new(x, y) - condyle).turned() * opening;
    let key = |x: f64, y: f64, displacement: Vector| (Vector::new(x, y), displacement);
    let mut keys = vec![
        key(0.0, 0.0, Vector::ZERO),
        key(58.0, -8.0, nasion),
        key(54.0, -44.0, nasion * 0.8),
        key(26.0, -76.0, nasion * 0.4),
        key(-25.0, -94.0, Vector::ZERO),
        key(-98.0, -20.0, Vector::ZERO),
        key(-60.0, 40.0, Vector::ZERO),
        key(48.0, 18.0, (nasion + maxilla) * 0.4),
        key(-21.0, 20.0, Vector::ZERO),
        key(18.0, 34.0, maxilla * 0.4),
        key(60.0, 45.0, maxilla),
        key(61.0, 67.0, (maxilla + mandible + swing(61.0, 67.0)) * 0.5),
        key(32.0, 64.0, (maxilla + mandible + swing(32.0, 64.0)) * 0.5),
        key(-8.0, 70.0, ramus + swing(-8.0, 70.0)),
        key(25.0, 90.0, (mandible + ramus) * 0.5 + swing(25.0, 90.0)),
        key(-11.0, 20.0, Vector::ZERO),
        key(80.0, 34.0, (nasion + maxilla) * 0.5),
        key(-22.0, 60.0, Vector::ZERO),
        key(-24.0, 110.0, Vector::ZERO),
    ];
    for (_, displacement) in &mut keys {
        *displacement = *displacement + spread_vector(rng, 1.7, 1.7);
    }
    // Front teeth, B point and chin vary together, or the profile between them would be no longer a chin's.
    let front = spread_vector(rng, 1.4, 1.4);
    for (x, y, part) in [(57.0, 70.0, 0.75), (54.0, 81.0, 1.0), (53.0, 99.0, 1.0)] {
        let own = spread_vector(rng, 0.7, 0.7);
        keys.push(key(x, y, (mandible + swing(x, y)) * part + front + own));
    }
    keys
}
