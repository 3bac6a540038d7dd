//! Axes of many values, and axes that a search drew together: each finding measures how closely the order of the errors follows
//! the axis. It compares no two values.

use super::sentence::tested as after_correction;
use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, Verdict, family};
use crate::effects::{Along, Difference, context};
use crate::errors::MRE;
use crate::format::{counted, mm};
use crate::statistics::{Count, Estimate, Explained, Explaining, Method, Shape, explained, quantile_of};
use sweep_core::units::ErrorUnit;

/// The fewest configurations that are judged.
pub(super) const FEWEST: usize = 8;

/// An axis, and the errors of the configurations along it.
pub(super) struct Trend {
    axis: String,
    /// Groups and their mean errors.
    points: Vec<(usize, f64)>,
    /// The points' values on the axis, if all are numbers.
    numbers: Option<Vec<f64>>,
    explained: Option<Explained>,
    /// Why nothing is tested.
    untested: Option<&'static str>,
}

impl Trend {
    /// Those of all axes that are judged so.
    pub(super) fn all(view: &SweepView<'_>) -> Vec<Self> {
        let error = |g: usize| Some((g, view.errors.contrast(&[(g, 1.0)], MRE)?.mean()));
        let points: Vec<(usize, f64)> = (0..view.groups.len()).filter_map(error).collect();
        view.factors.along.iter().map(|along| Self::of(view, along, points.clone())).collect()
    }

    fn of(view: &SweepView<'_>, along: &Along, points: Vec<(usize, f64)>) -> Self {
        let axis = along.axis.as_str();
        let errors: Vec<f64> = points.iter().map(|point| point.1).collect();
        let setting = |g: usize| along.in_settings.then(|| context(&view.groups[g], std::slice::from_ref(&along.axis)));
        let strata = of_kind(&points, setting);
        let numbers = numbers(view, axis, &points);
        let kinds = of_kind(&points, |g| view.groups[g].value(axis).unwrap_or_default());
        let by = numbers.as_deref().map_or(Explaining::Kinds(&kinds), Explaining::Numbers);
        let enough = points.len() >= FEWEST;
        Self {
            axis: axis.to_owned(),
            explained: enough.then(|| explained(&errors, by, &strata, 0)).flatten(),
            points,
            numbers,
            untested: along.untested,
        }
    }

    fn is_tested(&self) -> bool {
        self.untested.is_none() && self.explained.is_some()
    }
}

/// Number of tests.
pub(super) fn tested(trends: &[Trend]) -> usize {
    trends.iter().filter(|trend| trend.is_tested()).count()
}

/// The findings, which share their error rate with the effects.
pub(super) fn findings(view: &SweepView<'_>, trends: &[Trend], effects: &[(Finding, Difference)]) -> Vec<Finding> {
    let tests = effects.iter().map(|(finding, _)| finding.tests).max().unwrap_or(0).max(tested(trends));
    trends.iter().map(|trend| finding(view, trend, tests)).collect()
}

fn finding(view: &SweepView<'_>, trend: &Trend, tests: usize) -> Finding {
    let Trend { axis, points, numbers, explained, untested } = trend;
    let statement = Statement::Trend {
        axis: axis.clone(),
        configurations: points.len(),
        shape: explained.and_then(|explained| explained.shape),
        best: numbers.as_ref().map(|numbers| best(view, axis, points, numbers)),
    };
    let rows = SourceRecords { file: "landmarks.csv", select: view.select("error_mm"), trials: Vec::new() };
    let mut finding = Finding::new(format!("trend/{axis}"), Topic::Effects, statement, rows);
    finding.unit = Unit::Share;
    finding.verdict = if explained.is_some() { Verdict::Described } else { Verdict::TooFew };
    if let Some(explained) = explained {
        finding.estimate = Some(Estimate::bare(explained.share, Count::default(), Method::Permutations));
        if trend.is_tested() {
            let p_adjusted = family::adjusted(explained.p, Topic::Effects, tests);
            (finding.p_value, finding.p_adjusted, finding.tests) = (Some(explained.p), Some(p_adjusted), tests);
            // Every point is a training of its own, so that the scatter between trainings is in the test.
            finding.verdict = family::verdict(p_adjusted, true);
        }
        finding.caveats.extend(untested.map(str::to_owned));
    }
    if numbers.is_some() {
        finding.picture = Some("trends.png");
    } else {
        finding.parts = medians(view, axis, points);
    }
    let left = view.groups.len() - points.len();
    if left > 0 {
        finding.caveats.push(format!(
            "{left} of {} configurations are left out, as none of their trainings ran to its end. Where errors decided that, \
             those that stay are the better ones.",
            view.groups.len()
        ));
    }
    finding
}

/// The values of the axis as numbers, if all are.
fn numbers(view: &SweepView<'_>, axis: &str, points: &[(usize, f64)]) -> Option<Vec<f64>> {
    let number =
        |(g, _): &(usize, f64)| view.groups[*g].value(axis)?.parse().ok().filter(|value: &f64| value.is_finite());
    points.iter().map(number).collect()
}

/// The number of each point's kind, from 0.
fn of_kind<K: PartialEq>(points: &[(usize, f64)], kind: impl Fn(usize) -> K) -> Vec<usize> {
    let mut known: Vec<K> = Vec::new();
    let mut place = |kind: K| {
        known.iter().position(|of| *of == kind).unwrap_or_else(|| {
            known.push(kind);
            known.len() - 1
        })
    };
    points.iter().map(|(g, _)| place(kind(*g))).collect()
}

/// The size of the best quarter of the configurations, and the least and greatest of their values.
fn best(view: &SweepView<'_>, axis: &str, points: &[(usize, f64)], numbers: &[f64]) -> (usize, [String; 2]) {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| points[*a].1.total_cmp(&points[*b].1));
    order.truncate(points.len().div_ceil(4));
    let count = order.len();
    order.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b]));
    let value =
        |at: Option<&usize>| at.and_then(|at| view.groups[points[*at].0].value(axis)).unwrap_or_default().to_owned();
    (count, [value(order.first()), value(order.last())])
}

/// The median error of each kind, the least first.
fn medians(view: &SweepView<'_>, axis: &str, points: &[(usize, f64)]) -> Vec<Part> {
    let kinds = of_kind(points, |g| view.groups[g].value(axis).unwrap_or_default());
    let mut parts: Vec<Part> = Vec::new();
    for kind in 0..kinds.iter().max().map_or(0, |last| last + 1) {
        let of = || points.iter().zip(&kinds).filter(|(_, of)| **of == kind).map(|(point, _)| *point);
        let mut errors: Vec<f64> = of().map(|point| point.1).collect();
        let label = of().next().and_then(|(g, _)| view.groups[g].value(axis)).unwrap_or_default().to_owned();
        let note = format!("median of {}", counted(errors.len(), "configuration"));
        let estimate = Estimate::bare(quantile_of(&mut errors, 0.5), Count::default(), Method::Permutations);
        parts.push(Part { label, estimate, unit: Unit::Millimetres, p_adjusted: None, note });
    }
    parts.sort_by(|a, b| a.estimate.point.total_cmp(&b.estimate.point));
    parts
}

/// The statement in words.
pub(super) fn sentence(
    finding: &Finding,
    (axis, configurations): (&str, usize),
    shape: Option<Shape>,
    best: Option<&(usize, [String; 2])>,
    unit: ErrorUnit,
) -> String {
    let over = counted(configurations, "configuration");
    let Some(estimate) = &finding.estimate else {
        return format!(
            "`{axis}`: too few configurations tell what it does to the error: {configurations}, and it takes {FEWEST}."
        );
    };
    let share = format!("which explains {:.0} % of the order of their errors over {over}", 100.0 * estimate.point);
    let goes = match shape {
        Some(Shape::Falls) => "the error falls as the value grows",
        Some(Shape::Rises) => "the error rises as the value grows",
        Some(Shape::LeastBetween) => "the error is least for values in between",
        Some(Shape::GreatestBetween) => "the error is greatest for values in between",
        None => "the error depends on it",
    };
    let core = match finding.verdict {
        Verdict::NoEvidence => format!("no evidence that the error depends on it, over {over}"),
        _ => format!("{goes}, {share}"),
    };
    let where_best = match best {
        Some((count, [from, to])) if from == to => format!(" The best {count} have {from}."),
        Some((count, [from, to])) => format!(" The best {count} have {from} to {to}."),
        None => {
            let medians: Vec<String> =
                finding.parts.iter().map(|part| format!("{} {} {unit}", part.label, mm(part.estimate.point))).collect();
            format!(" Median errors: {}.", medians.join(", "))
        }
    };
    format!("`{axis}`: {core}{}.{where_best}", after_correction(finding))
}
