//! Draws points: at random, from Sobol's sequence, or with the Parzen estimator.

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
    /// Its coordinates in the search space: one per key, from 0 to 1.
    position: Vec<f64>,
    /// The keys and values that it sets.
    pub values: Table,
}

/// How many draws in a row may repeat known points before an independent draw is used instead.
const PATIENCE: u32 = 64;
/// Length to which Sobol's sequence is tabulated.
const SOBOL: u32 = 1 << 16;
/// Indices of random streams: independent draws, and Sobol's scramble. The draws of a round count from 0.
const RANDOM: u64 = u64::MAX;
const SCRAMBLE: u64 = u64::MAX - 1;

/// The new points after `points`, for as many in all as [`SearchSpec::known`] gives for `rounds`. `costs` are those of
/// the points so far; smaller is better, `None` is unknown. Without costs the Parzen estimator draws from its prior.
#[must_use]
pub fn proposed(search: &SearchSpec, rounds: usize, points: &[Point], costs: &[Option<f64>]) -> Vec<Point> {
    let mut new = New { search, wanted: search.known(rounds), seen: BTreeSet::new(), points: Vec::new() };
    new.seen.extend(points.iter().map(Point::text));
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
            let coordinate = |index: u32, key: u32| f64::from(sobol_burley::sample(index, key, scramble));
            for index in 0..SOBOL {
                if !new.is_wanting() {
                    break;
                }
                new.add((0..search.space.len() as u32).map(|key| coordinate(index, key)).collect());
            }
            // If few points are left, the sequence may never reach them.
            new.fill();
        }
    }
    new.points
}

/// Collects new points, each different from all known ones.
struct New<'a> {
    search: &'a SearchSpec,
    /// Wanted number of points, known ones included.
    wanted: usize,
    /// All points, known and new, as text.
    seen: BTreeSet<String>,
    points: Vec<Point>,
}

impl New<'_> {
    fn is_wanting(&self) -> bool {
        self.seen.len() < self.wanted
    }

    /// Adds the point at these coordinates if it is new; returns whether it was.
    fn add(&mut self, position: Vec<f64>) -> bool {
        let point = self.search.point(position);
        let is_new = self.seen.insert(point.text());
        if is_new {
            self.points.push(point);
        }
        is_new
    }

    /// Adds an independent draw; gives up if 100,000 draws find nothing new.
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
    fn point(&self, position: Vec<f64>) -> Point {
        let values = self.space.iter().zip(&position).map(|((key, range), at)| (key.clone(), range.at(*at))).collect();
        Point { position, values }
    }
}

impl Point {
    /// The keys and values as text.
    fn text(&self) -> String {
        self.values.to_string()
    }
}

/// One estimator per key: the method models keys independently of each other.
struct Estimators(Vec<(Option<usize>, TpeOptimizer)>);

impl Estimators {
    fn new(search: &SearchSpec, points: &[Point], costs: &[Option<f64>]) -> Self {
        let estimator = |(key, (_, range)): (usize, &(String, Range))| {
            let choices = if let Range::Choice(values) = range { Some(values.len()) } else { None };
            let (kind, range_of_values) = match choices {
                Some(count) => (tpe::histogram_estimator(), tpe::categorical_range(count)),
                None => (tpe::parzen_estimator(), tpe::range(0.0, 1.0)),
            };
            let mut optimizer = TpeOptimizer::new(kind, range_of_values.ok()?);
            for (point, cost) in points.iter().zip(costs) {
                if let Some(cost) = cost {
                    let value = range.choice(point.position[key]).map_or(point.position[key], |choice| choice as f64);
                    optimizer.tell(value, *cost).ok()?;
                }
            }
            Some((choices, optimizer))
        };
        // Nothing is filtered out: no range is empty, coordinates are inside, costs are numbers.
        Self(search.space.iter().enumerate().filter_map(estimator).collect())
    }

    fn ask(&mut self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let mut rng = Adapter(rng);
        let coordinate = |(choices, optimizer): &mut (Option<usize>, TpeOptimizer)| {
            let Ok(value) = optimizer.ask(&mut rng);
            choices.map_or(value, |count| (value.floor() + 0.5) / count as f64)
        };
        self.0.iter_mut().map(coordinate).collect()
    }
}

/// Adapts our generator to the version of the random-number traits that the estimator uses.
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
