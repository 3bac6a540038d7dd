//! The points of a sweep, in the order in which they run: those of its axes, each combined with the points of its
//! search. Pure.

use std::collections::BTreeSet;

use toml::Table;

use sweep_core::error::{Error, Result};
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::search::{self, Ended, Point, SearchSpec};

/// Points by the round in which they become known. There is one round, unless a search learns from results. A point is
/// a table of the keys it sets; within a round every seed takes all of its points.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounds {
    /// The rounds known so far; a known round never changes.
    pub rounds: Vec<Vec<Table>>,
    /// Number of points in later rounds.
    pub open: usize,
}

/// Looks up the outcome of a trial by its point and seed; `None` if it has not ended.
pub type Lookup<'a> = dyn FnMut(&Table, u64) -> Result<Option<Ended>> + 'a;

/// All known points, given the outcomes of trials. A round is known when every trial of the rounds before it has ended.
/// So a definition gives the same points whatever order trials run in, and the same results give the same points again.
///
/// # Errors
/// When there is no point at all, an exclusion matches nothing, or `ended` fails.
pub fn rounds(definition: &SweepDefinition, ended: &mut Lookup) -> Result<Rounds> {
    let axes = axes(definition)?;
    let Some(search) = &definition.search else { return Ok(Rounds { rounds: vec![axes], open: 0 }) };
    // One search per point of the axes, so that each finds its own best; the first round is the same for all.
    let mut arms: Vec<Vec<Point>> = vec![Vec::new(); axes.len()];
    let mut ends: Vec<Vec<Vec<Ended>>> = vec![Vec::new(); axes.len()];
    let (mut rounds, mut seen) = (Vec::new(), BTreeSet::new());
    loop {
        // All arms are equally long: each has had every round in full.
        let (round, before) = (rounds.len(), arms[0].len());
        if search.known(round) == before {
            return Ok(Rounds { rounds, open: 0 });
        }
        // Only the last round's trials are new.
        for ((arm, axis), ends) in arms.iter().zip(&axes).zip(&mut ends) {
            for point in &arm[ends.len()..] {
                let Some(seeds) = outcomes(&joined(definition, axis, point), &definition.seeds, ended)? else {
                    let open = (search.budget - before) * axes.len();
                    return Ok(Rounds { rounds, open });
                };
                ends.push(seeds);
            }
        }
        let (mut known, wanted) = (Vec::new(), search.known(round));
        for ((arm, axis), ends) in arms.iter_mut().zip(&axes).zip(&ends) {
            let new = search::proposed(search, round, arm, &costs(ends));
            for point in new.iter().map(|point| joined(definition, axis, point)) {
                // Points that differ in keys that do not exist there are one.
                if definition.axes.when.is_empty() || seen.insert(point.to_string()) {
                    known.push(point);
                }
            }
            arm.extend(new);
        }
        let fewest = arms.iter().map(Vec::len).min().unwrap_or(0);
        if fewest < wanted && round == 0 {
            return Err(exhausted(definition, search, fewest));
        }
        rounds.push(known);
        // Near the end, few untried points are left: use them.
        if fewest < wanted {
            return Ok(Rounds { rounds, open: 0 });
        }
    }
}

/// Outcomes of a point's trials, one per seed; `None` if one has not ended.
fn outcomes(point: &Table, seeds: &[u64], ended: &mut Lookup) -> Result<Option<Vec<Ended>>> {
    let mut ends = Vec::with_capacity(seeds.len());
    for seed in seeds {
        let Some(end) = ended(point, *seed)? else { return Ok(None) };
        ends.push(end);
    }
    Ok(Some(ends))
}

/// Cost of each point: the mean over its seeds, where a diverged trial costs as much as the worst that did not diverge.
fn costs(ends: &[Vec<Ended>]) -> Vec<Option<f64>> {
    let cost = |end: &Ended| if let Ended::Cost(cost) = end { Some(*cost).filter(|c| c.is_finite()) } else { None };
    let worst = ends.iter().flatten().filter_map(cost).max_by(f64::total_cmp);
    let mean = |ends: &Vec<Ended>| {
        let known: Vec<f64> =
            ends.iter().filter_map(|end| if *end == Ended::Diverged { worst } else { cost(end) }).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    ends.iter().map(mean).collect()
}

/// Points at the ends of a search's ranges, one key at a time: if these are possible, points between them are.
///
/// # Errors
/// Same errors as [`rounds`].
pub fn extremes(definition: &SweepDefinition) -> Result<Vec<Table>> {
    let Some(search) = &definition.search else { return Ok(Vec::new()) };
    let points: Vec<Table> = rounds(definition, &mut |_, _| Ok(None))?.rounds.into_iter().flatten().collect();
    let ends = search.space.iter().flat_map(|(key, range)| range.extremes().into_iter().map(move |end| (key, end)));
    let at = |(key, end): (&String, _)| {
        // A key may exist at some points alone.
        let mut point = points.iter().find(|point| point.contains_key(key))?.clone();
        point.insert(key.clone(), end);
        Some(definition.where_they_exist(&point))
    };
    Ok(ends.filter_map(at).collect())
}

/// Most trials of a sweep: ten times what a report takes, and few enough to be held in memory.
const MOST_TRIALS: usize = 100_000;

/// Checks the number of trials before any is made.
fn check_number(definition: &SweepDefinition) -> Result<()> {
    let axes = &definition.axes;
    let lengths = axes.grid.iter().map(|(_, values)| values.len()).chain([axes.zip.len().max(1)]);
    let points = lengths.fold(1, usize::saturating_mul).saturating_add(axes.include.len());
    let searched = definition.search.as_ref().map_or(1, |search| search.budget.max(1));
    let trials = points.saturating_mul(searched).saturating_mul(definition.seeds.len());
    if trials <= MOST_TRIALS {
        return Ok(());
    }
    let what = format!(
        "{points} points of the axes, {searched} of the search and {} seeds are more than {MOST_TRIALS} trials",
        definition.seeds.len()
    );
    Err(Error::definition(what)
        .at(definition.source.locate(&["axes"]))
        .remedy("list fewer values, or draw points of a [search] in place of every combination"))
}

/// Every point of the axes, as the keys it sets.
fn axes(definition: &SweepDefinition) -> Result<Vec<Table>> {
    check_number(definition)?;
    let axes = &definition.axes;
    let mut points = vec![Table::new()];
    for (key, values) in &axes.grid {
        points = cross(&points, &values.iter().map(|v| Table::from_iter([(key.clone(), v.clone())])));
    }
    if !axes.zip.is_empty() {
        points = cross(&points, &axes.zip.iter().cloned());
    }
    if !axes.when.is_empty() {
        let mut seen = BTreeSet::new();
        points = points.iter().map(|point| definition.where_they_exist(point)).collect();
        points.retain(|point| seen.insert(point.to_string()));
    }
    let agrees = |point: &Table, with: &Table| with.iter().all(|(key, value)| point.get(key) == Some(value));
    for excluded in &axes.exclude {
        let before = points.len();
        points.retain(|point| !agrees(point, excluded));
        if points.len() == before {
            return Err(Error::definition(format!("exclude {excluded} leaves nothing out"))
                .at(definition.source.locate(&["axes", "exclude"]))
                .remedy("name keys and values as the axes have them"));
        }
    }
    if axes.grid.is_empty() && axes.zip.is_empty() && !axes.include.is_empty() {
        points.clear();
    }
    points.extend(axes.include.iter().cloned());
    if points.is_empty() {
        return Err(Error::definition("the plan is empty: every point is excluded")
            .at(definition.source.locate(&["axes"]))
            .remedy("exclude less"));
    }
    Ok(points)
}

fn cross(points: &[Table], values: &(impl Iterator<Item = Table> + Clone)) -> Vec<Table> {
    let join = |point: &Table, value: Table| point.clone().into_iter().chain(value).collect();
    points.iter().flat_map(|point| values.clone().map(move |value| join(point, value))).collect()
}

fn joined(definition: &SweepDefinition, axis: &Table, point: &Point) -> Table {
    definition.where_they_exist(&axis.clone().into_iter().chain(point.values.clone()).collect())
}

fn exhausted(definition: &SweepDefinition, search: &SearchSpec, found: usize) -> Error {
    Error::definition(format!("a budget of {} points, but only about {found} different ones are found", search.budget))
        .at(definition.source.locate(&["search", "budget"]))
        .remedy("ask for fewer, or widen the ranges")
}
