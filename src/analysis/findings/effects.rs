//! Effects of axes, interactions, and the ranking of configurations.

use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, Verdict, judge, seed_caveat};
use crate::effects::{Difference, differences, factors, interactions as all_interactions};
use crate::errors::{MRE, reference_loss, within};
use crate::format::p_value;
use crate::statistics::{Crossed, sign_flip, tau_b, wilcoxon};

/// Greatest number of seeds considered for a larger study.
const MOST_SEEDS: usize = 500;

fn rows(view: &SweepView<'_>, terms: &[(usize, f64)]) -> SourceRecords {
    let mut groups: Vec<usize> = terms.iter().map(|t| t.0).collect();
    groups.sort_unstable();
    SourceRecords {
        file: "landmarks.csv",
        select: view.select("error_mm, paired by seed, image and landmark"),
        trials: view.ids(&groups),
    }
}

/// Paired differences between any two values of each axis.
pub(super) fn effects(view: &SweepView<'_>) -> Vec<Finding> {
    let factors = factors(&view.groups);
    let differences = factors.iter().flat_map(|factor| differences(&view.groups, factor));
    let mut findings: Vec<Finding> = differences.filter_map(|difference| effect(view, &difference)).collect();
    judge(&mut findings);
    findings
}

fn effect(view: &SweepView<'_>, difference: &Difference) -> Option<Finding> {
    let table = view.errors.contrast(&difference.terms, MRE)?;
    let estimate = table.estimate(0);
    let (now, detectable) = (table.count().seeds, estimate.detectable());
    let half = |seeds: &usize| table.detectable_with(*seeds) <= table.detectable_with(now) / 2.0;
    let statement = Statement::Effect {
        factor: difference.factor.clone(),
        from: difference.from.clone(),
        to: difference.to.clone(),
        contexts: difference.contexts,
        detectable_mm: detectable,
        seeds_for_half: (now..=MOST_SEEDS).find(half).filter(|_| now > 1),
    };
    let id = format!("effect/{}/{}/{}", difference.factor, difference.from, difference.to);
    let mut finding = Finding::new(id, Topic::Effects, statement, rows(view, &difference.terms));
    finding.p_value = Some(estimate.p_value(0.0));
    finding.picture = Some("effects.png");
    finding.caveats = caveats(&table);
    finding.estimate = Some(estimate);
    let (unit, radius) = (view.unit(), view.unit().radii()[0]);
    if let Some(sdr) = view.errors.contrast(&difference.terms, &within(radius)) {
        finding.parts.push(part(&format!("landmarks within {radius} {unit}"), &sdr, Unit::Points));
    }
    // With several contexts, each on its own: an average may hide opposite effects.
    if difference.contexts > 1 {
        for pair in difference.terms.chunks_exact(2) {
            let terms = [(pair[0].0, 1.0), (pair[1].0, -1.0)];
            let [to, from] = [pair[0].0, pair[1].0].map(|g| view.groups[g].label.clone());
            if let Some(table) = view.errors.contrast(&terms, MRE) {
                finding.parts.push(part(&format!("{to} minus {from}"), &table, Unit::Millimetres));
            }
        }
    }
    Some(finding)
}

fn part(label: &str, table: &Crossed, unit: Unit) -> Part {
    Part { label: label.to_owned(), estimate: table.estimate(0), unit, p_adjusted: None, note: String::new() }
}

/// Nonparametric tests beside the interval.
fn caveats(table: &Crossed) -> Vec<String> {
    let mut caveats: Vec<String> = seed_caveat(table.count().seeds).into_iter().collect();
    let images = p_value(wilcoxon(&table.by_image()));
    caveats.push(if table.count().seeds > 1 {
        let seeds = p_value(sign_flip(&table.by_seed(), 0));
        format!("Without assumptions: sign-flip over seeds {seeds}, signed-rank over images {images}.")
    } else {
        format!("Without assumptions: signed-rank over images {images}.")
    });
    caveats
}

/// Dependence of effects on other axes.
pub(super) fn interactions(view: &SweepView<'_>) -> Vec<Finding> {
    let factors = factors(&view.groups);
    let one = |interaction: &crate::effects::Interaction| {
        let difference = &interaction.difference;
        let table = view.errors.contrast(&difference.terms, MRE)?;
        let estimate = table.estimate(0);
        let statement = Statement::Interaction {
            factor: difference.factor.clone(),
            values: [difference.from.clone(), difference.to.clone()],
            other: interaction.other.clone(),
            at: [interaction.without.clone(), interaction.with.clone()],
        };
        let id = format!("interaction/{}/{}", difference.factor, interaction.other);
        let mut finding = Finding::new(id, Topic::Interactions, statement, rows(view, &difference.terms));
        finding.p_value = Some(estimate.p_value(0.0));
        finding.picture = Some("effects.png");
        finding.caveats = seed_caveat(table.count().seeds).into_iter().collect();
        finding.estimate = Some(estimate);
        Some(finding)
    };
    let mut findings: Vec<Finding> = all_interactions(&view.groups, &factors).iter().filter_map(one).collect();
    judge(&mut findings);
    findings
}

/// Configurations in order of their error, each compared with the best, and whether a loss would have selected it.
pub(super) fn ranking(view: &SweepView<'_>) -> Option<Finding> {
    let count = view.groups.len();
    let tables = (0..count).filter_map(|g| Some((g, view.errors.contrast(&[(g, 1.0)], MRE)?)));
    let mut ranked: Vec<(usize, Crossed)> = tables.collect();
    ranked.sort_by(|a, b| a.1.mean().total_cmp(&b.1.mean()));
    let (best, _) = ranked.first()?;
    let loss = |g: usize| {
        let least = view.groups[g].done().filter_map(|t| t.best_loss()).map(|e| e.val_loss);
        least.fold(f64::INFINITY, f64::min)
    };
    let least_loss = ranked.iter().map(|(g, _)| *g).min_by(|a, b| loss(*a).total_cmp(&loss(*b)))?;
    let kinds: Vec<&str> = ranked.iter().map(|(g, _)| view.groups[*g].kind.as_str()).collect();
    let reference =
        |g: usize| view.errors.contrast(&[(g, 1.0)], &reference_loss(view.unit())).map_or(f64::NAN, |t| t.mean());
    let pairs: Vec<(f64, f64)> = ranked.iter().map(|(g, table)| (table.mean(), reference(*g))).collect();
    let statement = Statement::Ranking {
        best: view.groups[*best].label.clone(),
        runner_up: ranked.get(1).map(|(g, _)| view.groups[*g].label.clone()),
        least_loss: view.groups[least_loss].label.clone(),
        comparable: kinds.iter().all(|kind| *kind == kinds[0]),
        reference_tau: tau_b(&pairs),
    };
    let rows = SourceRecords { file: "landmarks.csv", select: view.select("error_mm"), trials: Vec::new() };
    let mut finding = Finding::new("ranking".into(), Topic::Ranking, statement, rows);
    finding.picture = Some("loss_vs_error.png");
    // Every other configuration against the best.
    let against: Vec<Option<Crossed>> =
        ranked.iter().map(|(g, _)| view.errors.contrast(&[(*g, 1.0), (*best, -1.0)], MRE)).collect();
    let p: Vec<f64> = against
        .iter()
        .enumerate()
        .map(|(at, t)| t.as_ref().filter(|_| at > 0).map_or(f64::NAN, |t| t.estimate(0).p_value(0.0)))
        .collect();
    let adjusted = crate::statistics::holm(&p);
    for (((g, table), p), pair) in ranked.iter().zip(&adjusted).zip(&pairs) {
        let group = &view.groups[*g];
        finding.parts.push(Part {
            label: group.label.clone(),
            estimate: table.estimate(0),
            unit: Unit::Millimetres,
            p_adjusted: p.is_finite().then_some(*p),
            note: format!("reference loss {:.3}, own loss {}", pair.1, crate::format::number(loss(*g))),
        });
    }
    if let Some(Some(table)) = against.get(1) {
        let estimate = table.estimate(0);
        finding.caveats.extend(seed_caveat(table.count().seeds));
        finding.p_value = Some(p[1]);
        finding.p_adjusted = adjusted[1].is_finite().then_some(adjusted[1]);
        finding.tests = p.iter().filter(|p| p.is_finite()).count();
        finding.verdict = match adjusted[1] {
            p if p.is_nan() => Verdict::TooFew,
            p if p < super::ALPHA => Verdict::Evidence,
            _ => Verdict::NoEvidence,
        };
        finding.estimate = Some(estimate);
    }
    finding.caveats.push(
        "The best of several is chosen by the same images it is measured on: its own error is a little optimistic."
            .into(),
    );
    Some(finding)
}
