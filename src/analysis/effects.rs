//! Effects of axes on the landmark error: paired differences with the same seeds and all other axes equal.
//! Axes of many values are judged along all of them instead.

use std::collections::BTreeSet;

use super::Drawn;
use super::groups::Group;

/// One or more axes that vary together: the effects of zipped axes cannot be separated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factor {
    /// Axis paths.
    pub axes: Vec<String>,
    /// Their values in order of appearance, joined.
    pub values: Vec<String>,
}

impl Factor {
    /// The paths, joined.
    #[must_use]
    pub fn name(&self) -> String {
        self.axes.join(" + ")
    }

    fn value(&self, group: &Group<'_>) -> String {
        let values: Vec<&str> = self.axes.iter().filter_map(|axis| group.value(axis)).collect();
        values.join(" · ")
    }

    fn context(&self, group: &Group<'_>) -> Vec<String> {
        context(group, &self.axes)
    }
}

/// Greatest number of values that a report compares pair by pair: of eight there are 28 pairs.
pub const MOST_VALUES: usize = 8;

/// The axes of a report, by how it judges them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Factors {
    /// Factors of few values: any two of these are compared.
    pub by_pairs: Vec<Factor>,
    /// Axes of many values, and those that a search drew together: judged along all values.
    pub along: Vec<Along>,
}

/// An axis that is judged along all its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Along {
    /// Its path.
    pub axis: String,
    /// Whether each setting of the other axes has values of it to itself, as in a grid.
    pub in_settings: bool,
    /// Why no test tells what it does, if none does.
    pub untested: Option<&'static str>,
}

impl Factors {
    /// The factors of groups, which a search may have drawn: two points of it differ on all its axes, so that a comparison
    /// tells nothing of any.
    #[must_use]
    pub fn of(groups: &[Group<'_>], drawn: Option<Drawn>) -> Self {
        // Two points of a search may agree on all axes but one by chance.
        let is_compared =
            |factor: &Factor| factor.values.len() <= MOST_VALUES && (drawn.is_none() || connects_all(groups, factor));
        let (by_pairs, others): (Vec<Factor>, Vec<Factor>) = factors(groups).into_iter().partition(is_compared);
        if let Some(drawn) = drawn {
            let is_compared = |axis: &String| by_pairs.iter().any(|factor| factor.axes.contains(axis));
            let untested = (drawn == Drawn::ByErrors)
                .then_some("Not tested: the search drew later points by the errors of earlier ones.");
            let others = varying(groups).into_iter().flat_map(|factor| factor.axes).filter(|axis| !is_compared(axis));
            let along = others.map(|axis| Along { axis, in_settings: false, untested }).collect();
            return Self { by_pairs, along };
        }
        let mut along: Vec<Along> = Vec::new();
        for factor in others {
            let is_single = factor.axes.len() == 1;
            let untested = (!is_single).then_some("Not tested: other axes change together with this one.");
            for axis in factor.axes {
                if along.iter().all(|of| of.axis != axis) {
                    along.push(Along { axis, in_settings: is_single, untested });
                }
            }
        }
        Self { by_pairs, along }
    }

    /// Differences between any two values of each factor that is compared so.
    pub fn differences(&self, groups: &[Group<'_>]) -> impl Iterator<Item = Difference> {
        self.by_pairs.iter().flat_map(|factor| differences(groups, factor))
    }
}

/// A difference between two values of a factor, as weights of groups: `to` minus `from`, averaged over all contexts in
/// which both were run.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The factor's name.
    pub factor: String,
    /// The value that is subtracted.
    pub from: String,
    /// The value that it is compared with.
    pub to: String,
    /// Number of settings of the other axes in which both were run.
    pub contexts: usize,
    /// Indices and weights of groups.
    pub terms: Vec<(usize, f64)>,
}

/// How a difference depends on another factor's value.
#[derive(Debug, Clone, PartialEq)]
pub struct Interaction {
    /// The difference of the first factor, its terms being those with the second factor at `with`, minus those at
    /// `without`.
    pub difference: Difference,
    /// The second factor's name.
    pub other: String,
    /// The second factor's value that the difference is first taken at.
    pub without: String,
    /// The second factor's value that it is compared at.
    pub with: String,
}

/// Whether a factor has a single axis and compares every group that ended with another.
fn connects_all(groups: &[Group<'_>], factor: &Factor) -> bool {
    let differences = differences(groups, factor);
    let compared: BTreeSet<usize> = differences.iter().flat_map(|of| of.terms.iter().map(|term| term.0)).collect();
    factor.axes.len() == 1 && compared.len() == ended(groups)
}

/// Number of groups with a trial that ran to its last epoch.
fn ended(groups: &[Group<'_>]) -> usize {
    groups.iter().filter(|group| group.done().next().is_some()).count()
}

/// The group's values on all axes but these.
pub(crate) fn context(group: &Group<'_>, axes: &[String]) -> Vec<String> {
    group.axes().iter().filter(|(key, _)| !axes.contains(key)).map(|(_, value)| value.clone()).collect()
}

/// These axes as one factor.
fn factor(groups: &[Group<'_>], axes: Vec<String>) -> Factor {
    let mut factor = Factor { axes, values: Vec::new() };
    for group in groups {
        let value = factor.value(group);
        if !factor.values.contains(&value) {
            factor.values.push(value);
        }
    }
    factor
}

/// Every axis of two values or more.
fn varying(groups: &[Group<'_>]) -> Vec<Factor> {
    let axes = groups.first().map_or(&[][..], |group| group.axes());
    axes.iter().map(|(axis, _)| factor(groups, vec![axis.clone()])).filter(|f| f.values.len() > 1).collect()
}

/// The sweep's factors: every axis of which two values were run with all else equal, and the other axes as one factor.
#[must_use]
pub fn factors(groups: &[Group<'_>]) -> Vec<Factor> {
    let (separable, zipped): (Vec<Factor>, Vec<Factor>) =
        varying(groups).into_iter().partition(|factor| !differences(groups, factor).is_empty());
    let mut factors = separable;
    if !zipped.is_empty() {
        let joint = factor(groups, zipped.into_iter().flat_map(|f| f.axes).collect());
        if !differences(groups, &joint).is_empty() {
            factors.push(joint);
        }
    }
    // Points that no single axis connects are compared by all axes at once, when they have ended.
    let ended = ended(groups);
    let connected: BTreeSet<usize> = factors
        .iter()
        .flat_map(|f| differences(groups, f))
        .flat_map(|difference| difference.terms.into_iter().map(|t| t.0))
        .collect();
    if ended > 1 && connected.len() < ended {
        let all_axes = factor(groups, groups[0].axes().iter().map(|(key, _)| key.clone()).collect());
        factors.retain(|f| f.axes.len() < all_axes.axes.len());
        factors.push(all_axes);
    }
    factors
}

/// The differences between any two values of a factor that share a context.
#[must_use]
pub fn differences(groups: &[Group<'_>], factor: &Factor) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (i, from) in factor.values.iter().enumerate() {
        for to in &factor.values[i + 1..] {
            let pairs = pairs(groups, factor, from, to);
            if !pairs.is_empty() {
                differences.push(difference(factor, from, to, &pairs));
            }
        }
    }
    differences
}

fn difference(factor: &Factor, from: &str, to: &str, pairs: &[(usize, usize)]) -> Difference {
    let weight = 1.0 / pairs.len() as f64;
    let terms = pairs.iter().flat_map(|(a, b)| [(*b, weight), (*a, -weight)]).collect();
    Difference { factor: factor.name(), from: from.to_owned(), to: to.to_owned(), contexts: pairs.len(), terms }
}

/// Groups `(from, to)` that agree on all other axes and have a finished trial.
fn pairs(groups: &[Group<'_>], factor: &Factor, from: &str, to: &str) -> Vec<(usize, usize)> {
    let of = |value: &str| -> Vec<usize> {
        (0..groups.len()).filter(|g| factor.value(&groups[*g]) == value && groups[*g].done().next().is_some()).collect()
    };
    let others = of(to);
    let matched = |a: usize| {
        let context = factor.context(&groups[a]);
        others.iter().find(|b| factor.context(&groups[**b]) == context).map(|b| (a, *b))
    };
    of(from).into_iter().filter_map(matched).collect()
}

/// Differences of differences between any two values of any two factors, on the settings of the other axes that have all four.
#[must_use]
pub fn interactions(groups: &[Group<'_>], factors: &[Factor]) -> Vec<Interaction> {
    let mut found = Vec::new();
    for (i, first) in factors.iter().enumerate() {
        for second in &factors[i + 1..] {
            for (at, from) in first.values.iter().enumerate() {
                for to in &first.values[at + 1..] {
                    let all = pairs(groups, first, from, to);
                    found.extend(of_second(groups, (first, from, to), second, &all));
                }
            }
        }
    }
    found
}

/// How one difference, given as pairs of groups, depends on any two values of another factor.
fn of_second(
    groups: &[Group<'_>],
    (first, from, to): (&Factor, &str, &str),
    second: &Factor,
    all: &[(usize, usize)],
) -> Vec<Interaction> {
    // The settings of the axes that neither factor has.
    let rest = |g: usize| -> Vec<String> {
        let other = groups[g].axes().iter().filter(|(key, _)| !first.axes.contains(key) && !second.axes.contains(key));
        other.map(|(_, value)| value.clone()).collect()
    };
    let at = |value: &str| -> Vec<(usize, usize)> {
        all.iter().copied().filter(|(a, _)| second.value(&groups[*a]) == value).collect()
    };
    let mut found = Vec::new();
    for (i, without) in second.values.iter().enumerate() {
        for with in &second.values[i + 1..] {
            let [mut before, mut after] = [at(without), at(with)];
            let [of_before, of_after] =
                [&before, &after].map(|of| of.iter().map(|(a, _)| rest(*a)).collect::<BTreeSet<_>>());
            before.retain(|(a, _)| of_after.contains(&rest(*a)));
            after.retain(|(a, _)| of_before.contains(&rest(*a)));
            if before.is_empty() || before.len() != after.len() {
                continue;
            }
            let [mut difference, subtracted] = [&after, &before].map(|pairs| self::difference(first, from, to, pairs));
            difference.terms.extend(subtracted.terms.into_iter().map(|(g, w)| (g, -w)));
            found.push(Interaction { difference, other: second.name(), without: without.clone(), with: with.clone() });
        }
    }
    found
}
