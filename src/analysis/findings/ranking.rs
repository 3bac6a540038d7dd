//! The ranking of configurations: which is best, which are not shown to be worse, and what its error is.

use super::effects::{contrast, noise, seeds_for};
use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, family, seed_caveat};
use crate::effects::Difference;
use crate::errors::{MRE, reference_loss};
use crate::format::{counted, mm, number};
use crate::statistics::{Contrast, Crossed, Estimate, best_of_many, reach_of_best, tau_b};

/// Configurations in order of their error, each compared with the best, and whether a loss would have selected it.
///
/// The best was picked by its error, so every pair counts as a test (multiple comparisons with the best, Hsu 1984, made
/// symmetric): if all configurations are equal, 95 % of reports call none of them worse. If the effects of a single axis already
/// test every pair, the ranking takes their results, so that the two never disagree.
pub(super) fn ranking(view: &SweepView<'_>, effects: &[(Finding, Difference)]) -> Option<Finding> {
    let count = view.groups.len();
    let tables = (0..count).filter_map(|g| Some((g, view.errors.contrast(&[(g, 1.0)], MRE)?)));
    let mut ranked: Vec<(usize, Crossed)> = tables.collect();
    ranked.sort_by(|a, b| a.1.mean().total_cmp(&b.1.mean()));
    let best = ranked.first()?.0;
    let loss = |g: usize| {
        let least = view.groups[g].done().filter_map(|t| t.best_loss()).map(|e| e.val_loss);
        least.fold(f64::INFINITY, f64::min)
    };
    let least_loss = ranked.iter().map(|(g, _)| *g).min_by(|a, b| loss(*a).total_cmp(&loss(*b)))?;
    let kinds: Vec<&str> = ranked.iter().map(|(g, _)| view.groups[*g].kind.as_str()).collect();
    let reference =
        |g: usize| view.errors.contrast(&[(g, 1.0)], &reference_loss(view.unit())).map_or(f64::NAN, |t| t.mean());
    let pairs: Vec<(f64, f64)> = ranked.iter().map(|(g, table)| (table.mean(), reference(*g))).collect();
    let against = against(view, &ranked, effects);
    let corrected = corrected(view, &ranked, &against);
    let rival = against.iter().position(|of| is_equal(of.as_ref()));
    let statement = Statement::Ranking {
        best: view.groups[best].label.clone(),
        measured_mm: corrected.map(|_| ranked[0].1.mean()),
        runner_up: ranked.get(1).map(|(g, _)| view.groups[*g].label.clone()),
        least_loss: view.groups[least_loss].label.clone(),
        comparable: kinds.iter().all(|kind| *kind == kinds[0]),
        reference_tau: tau_b(&pairs),
        rival: rival.map(|at| view.groups[ranked[at + 1].0].label.clone()),
        seeds_to_decide: rival.and_then(|at| seeds_to_decide(view, [best, ranked[at + 1].0], against[at].as_ref()?)),
    };
    let rows = SourceRecords { file: "landmarks.csv", select: view.select("error_mm"), trials: Vec::new() };
    let mut finding = Finding::new("ranking".into(), Topic::Ranking, statement, rows);
    finding.picture = Some("loss_vs_error.png");
    for (at, ((g, table), pair)) in ranked.iter().zip(&pairs).enumerate() {
        let mut note = format!("reference loss {:.3}, own loss {}", pair.1, number(loss(*g)));
        let mut estimate = table.positive(0);
        if let Some((error, reach)) = corrected.filter(|_| at == 0) {
            note = format!(
                "{} as measured, before the correction for being the best of {}; {note}",
                mm(estimate.point),
                ranked.len()
            );
            estimate = picked(&estimate, error, reach);
        }
        finding.parts.push(Part {
            label: view.groups[*g].label.clone(),
            estimate,
            unit: Unit::Millimetres,
            p_adjusted: if at == 0 { None } else { against[at - 1].as_ref().map(|of| of.p_adjusted) },
            note,
        });
    }
    // The rival decides whether it is ahead of all others; without one, so does the next.
    if let Some(Some(next)) = against.get(rival.unwrap_or(0)) {
        let worst = match rival {
            Some(_) => next.p_adjusted,
            None => against.iter().flatten().map(|of| of.p_adjusted).fold(0.0, f64::max),
        };
        finding.caveats.extend(seed_caveat(next.estimate.n.seeds));
        finding.p_value = Some(next.p);
        finding.p_adjusted = Some(worst);
        finding.tests = against.len();
        finding.verdict = family::verdict(worst, next.knows_training_noise);
        finding.estimate = Some(next.estimate.clone());
        let equals = against.iter().filter(|of| is_equal(of.as_ref())).count();
        finding.caveats.push(match equals {
            0 => "Every other configuration is shown to be worse.".to_owned(),
            n => format!(
                "{} not shown to be worse than it.",
                if n == 1 { "One other is".to_owned() } else { format!("{n} others are") }
            ),
        });
    }
    if corrected.is_some() {
        finding.caveats.push(format!(
            "Picked and measured on the same images, the best of {} would look too good: its error is that of bootstrap samples \
             on the images that were not drawn (Tsamardinos 2018), and its interval covers that the least of them was picked.",
            counted(ranked.len(), "configuration")
        ));
    }
    Some(finding)
}

/// A configuration against the best.
struct Comparison {
    p: f64,
    p_adjusted: f64,
    estimate: Estimate,
    knows_training_noise: bool,
    /// Level of its test.
    level: f64,
}

/// Whether it is not shown to be worse.
fn is_equal(of: Option<&Comparison>) -> bool {
    of.is_none_or(|of| of.p_adjusted >= super::ALPHA)
}

/// See [`Statement::Ranking`].
fn seeds_to_decide(view: &SweepView<'_>, [best, next]: [usize; 2], of: &Comparison) -> Option<usize> {
    let seeds = of.estimate.n.seeds;
    if seeds < 2 {
        return None;
    }
    let contrast = contrast(view, &[(next, 1.0), (best, -1.0)], None)?;
    seeds_for(of.estimate.point.abs(), seeds, |seeds| contrast.detectable(of.level, seeds, 0))
}

/// Every configuration but the best against it, in their order.
fn against(
    view: &SweepView<'_>,
    ranked: &[(usize, Crossed)],
    effects: &[(Finding, Difference)],
) -> Vec<Option<Comparison>> {
    let best = ranked[0].0;
    let of_effect = |g: usize| {
        let is_pair = |d: &Difference| d.contexts == 1 && d.terms.iter().all(|(of, _)| *of == g || *of == best);
        let (finding, difference) = effects.iter().find(|(_, difference)| is_pair(difference))?;
        let estimate = finding.estimate.clone()?;
        // The effect may be that of the best against the other.
        let turned = difference.terms.iter().any(|(of, weight)| *of == best && *weight > 0.0);
        let [low, high] = estimate.interval;
        let estimate =
            if turned { Estimate { point: -estimate.point, interval: [-high, -low], ..estimate } } else { estimate };
        let knows_training_noise = finding.verdict != super::Verdict::NetworksDiffer;
        let level = family::alpha(Topic::Effects, finding.tests);
        Some(Comparison { p: finding.p_value?, p_adjusted: finding.p_adjusted?, estimate, knows_training_noise, level })
    };
    let others = || ranked[1..].iter().map(|(g, _)| *g);
    if others().all(|g| of_effect(g).is_some()) {
        return others().map(of_effect).collect();
    }
    let noise = noise(view);
    let tests = ranked.len() * (ranked.len() - 1) / 2;
    let of_contrast = |g: usize| {
        let contrast: Contrast = contrast(view, &[(g, 1.0), (best, -1.0)], noise)?;
        let p = contrast.p_value(0.0);
        Some(Comparison {
            p,
            p_adjusted: family::adjusted(p, Topic::Ranking, tests),
            estimate: family::estimate(&contrast, family::alpha(Topic::Ranking, tests)).0,
            knows_training_noise: contrast.knows_training_noise(),
            level: family::alpha(Topic::Ranking, tests),
        })
    };
    others().map(of_contrast).collect()
}

/// The error of the best, corrected for having been picked, and how much further up its interval reaches for having been picked
/// among those that are not shown to be worse. `None` if nothing was picked, or the correction is none.
fn corrected(view: &SweepView<'_>, ranked: &[(usize, Crossed)], against: &[Option<Comparison>]) -> Option<(f64, f64)> {
    if ranked.len() < 2 {
        return None;
    }
    let terms: Vec<(usize, f64)> = ranked.iter().map(|(g, _)| (*g, 1.0)).collect();
    let tables: Vec<Crossed> = view.errors.terms(&terms, MRE)?.into_iter().map(|(_, table)| table).collect();
    let error = best_of_many(&tables, 0).filter(|error| *error > ranked[0].1.mean())?;
    let equal = against.iter().map(|of| is_equal(of.as_ref()));
    let candidates: Vec<Crossed> =
        [true].into_iter().chain(equal).zip(tables).filter_map(|(is_equal, table)| is_equal.then_some(table)).collect();
    Some((error, reach_of_best(&candidates, 0)))
}

/// The estimate at another point, its interval further up: downwards it was too wide already.
fn picked(estimate: &Estimate, point: f64, reach: f64) -> Estimate {
    let [low, high] = estimate.interval;
    let high = estimate.point * (high / estimate.point).powf(reach);
    Estimate { point, interval: [low, if high < point { point } else { high }], ..estimate.clone() }
}
