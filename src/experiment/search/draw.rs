//! Makes points: at random, by Sobol's sequence, or by the Parzen estimator.

use std::collections::BTreeSet;
use std::convert::Infallible;

use rand::{Rng, RngCore};
use rand_chacha::ChaCha8Rng;
use rand_core_of_tpe::TryRng;
use toml::Table;
use tpe::TpeOptimizer;

use super::{Method, Range, SearchSpec};
use sweep_core::seed::{self, Stream};

/// One point of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its place in the space: per key, from 0 to 1.
    place: Vec<f64>,
    /// What it sets.
    pub values: Table,
}

/// How often a draw that gives a point again is repeated before another way is tried.
const PATIENCE: u32 = 64;
/// As long as Sobol's sequence is tabulated.
const SOBOL: u32 = 1 << 16;
/// Streams' indices: of the independent draws, and of Sobol's scramble. A round's draws are counted from 0.
const RANDOM: u64 = u64::MAX;
const SCRAMBLE: u64 = u64::MAX - 1;

/// The points after `points`: as many as [`SearchSpec::known`] of `rounds`. `costs` are those of the points so far, smaller
/// is better, `None` where nothing is known; without them the Parzen estimator draws as if it knew nothing.
#[must_use]
pub fn proposed(search: &SearchSpec, rounds: usize, points: &[Point], costs: &[Option<f64>]) -> Vec<Point> {
    let mut new = New { search, wanted: search.known(rounds), seen: BTreeSet::new(), points: Vec::new() };
    new.seen.extend(points.iter().map(Point::spelt));
    match search.method {
        Method::Tpe { .. } if rounds > 0 => {
            let mut estimators = Estimators::new(search, points, costs);
            while new.is_wanting() {
                let mut rng = seed::derive(search.seed, Stream::Search, rounds as u64, new.seen.len() as u64);
                let found = (0..PATIENCE).any(|_| new.add(estimators.ask(&mut rng)));
                if !found && !new.add_random(&mut rng) {
                    break;
                }
            }
        }
        Method::Random => new.fill(),
        Method::Sobol | Method::Tpe { .. } => {
            let scramble = seed::derive(search.seed, Stream::Search, 0, SCRAMBLE).next_u32();
            let place = |index: u32, key: u32| f64::from(sobol_burley::sample(index, key, scramble));
            for index in 0..SOBOL {
                if !new.is_wanting() {
                    break;
                }
                new.add((0..search.space.len() as u32).map(|key| place(index, key)).collect());
            }
            // Where few points are left the sequence may never reach them.
            new.fill();
        }
    }
    new.points
}

/// Points in the making, none of them there before.
struct New<'a> {
    search: &'a SearchSpec,
    /// With those that are there already.
    wanted: usize,
    /// All, as text.
    seen: BTreeSet<String>,
    points: Vec<Point>,
}

impl New<'_> {
    fn is_wanting(&self) -> bool {
        self.seen.len() < self.wanted
    }

    /// Adds the point at a place, if it is new; says whether it was.
    fn add(&mut self, place: Vec<f64>) -> bool {
        let point = self.search.point(place);
        let is_new = self.seen.insert(point.spelt());
        if is_new {
            self.points.push(point);
        }
        is_new
    }

    /// Adds an independent draw; not if a hundred thousand find nothing new.
    fn add_random(&mut self, rng: &mut ChaCha8Rng) -> bool {
        let keys = self.search.space.len();
        (0..100_000).any(|_| self.add((0..keys).map(|_| rng.random_range(0.0..1.0)).collect()))
    }

    /// Adds independent draws until there are enough.
    fn fill(&mut self) {
        let mut rng = seed::derive(self.search.seed, Stream::Search, 0, RANDOM);
        while self.is_wanting() && self.add_random(&mut rng) {}
    }
}

impl SearchSpec {
    fn point(&self, place: Vec<f64>) -> Point {
        let values = self.space.iter().zip(&place).map(|((key, range), at)| (key.clone(), range.at(*at))).collect();
        Point { place, values }
    }
}

impl Point {
    /// What it sets, as text.
    fn spelt(&self) -> String {
        self.values.to_string()
    }
}

/// One estimator per key, as the method has it: keys are modelled independently of each other.
struct Estimators(Vec<(Option<usize>, TpeOptimizer)>);

impl Estimators {
    fn new(search: &SearchSpec, points: &[Point], costs: &[Option<f64>]) -> Self {
        let estimator = |(key, (_, range)): (usize, &(String, Range))| {
            let choices = if let Range::Choice(values) = range { Some(values.len()) } else { None };
            let (kind, places) = match choices {
                Some(count) => (tpe::histogram_estimator(), tpe::categorical_range(count)),
                None => (tpe::parzen_estimator(), tpe::range(0.0, 1.0)),
            };
            let mut optimizer = TpeOptimizer::new(kind, places.ok()?);
            for (point, cost) in points.iter().zip(costs) {
                if let Some(cost) = cost {
                    let place = range.choice(point.place[key]).map_or(point.place[key], |choice| choice as f64);
                    optimizer.tell(place, *cost).ok()?;
                }
            }
            Some((choices, optimizer))
        };
        // Both ranges are never empty, places are inside and costs are numbers: none is left out.
        Self(search.space.iter().enumerate().filter_map(estimator).collect())
    }

    fn ask(&mut self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let mut rng = Adapter(rng);
        let place = |(choices, optimizer): &mut (Option<usize>, TpeOptimizer)| {
            let Ok(place) = optimizer.ask(&mut rng);
            choices.map_or(place, |count| (place.floor() + 0.5) / count as f64)
        };
        self.0.iter_mut().map(place).collect()
    }
}

/// Our generator as the estimator's version of the random-number traits knows it.
struct Adapter<'a>(&'a mut ChaCha8Rng);

impl TryRng for Adapter<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}
