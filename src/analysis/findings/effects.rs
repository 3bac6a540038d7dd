//! Effects of axes, and interactions.

use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, Verdict, family, seed_caveat};
use crate::effects::{Difference, Interaction, factors, interactions as all_interactions};
use crate::errors::{MRE, within};
use crate::format::{number, p_value};
use crate::statistics::{Contrast, Crossed, Estimate, Method, noise_of_interactions, sign_flip, wilcoxon};

/// Greatest number of seeds considered for a larger study.
const MOST_SEEDS: usize = 500;
/// Greatest number of settings of the other axes that are listed one by one.
const MOST_CONTEXTS: usize = 12;

pub(super) fn rows(view: &SweepView<'_>, terms: &[(usize, f64)]) -> SourceRecords {
    let mut groups: Vec<usize> = terms.iter().map(|t| t.0).collect();
    groups.sort_unstable();
    SourceRecords {
        file: "landmarks.csv",
        select: view.select("error_mm, paired by seed, image and landmark"),
        trials: view.ids(&groups),
    }
}

/// Variance of a single training, and its degrees of freedom, where one training of each point of a grid tells it.
type Noise = Option<(f64, f64)>;

/// The training noise of a complete grid of one seed, from its interactions of three and more axes.
pub(super) fn noise(view: &SweepView<'_>) -> Noise {
    let factors = factors(&view.groups);
    let sizes: Vec<usize> = factors.iter().map(|factor| factor.values.len()).collect();
    let is_grid =
        factors.iter().all(|factor| factor.axes.len() == 1) && sizes.iter().product::<usize>() == view.groups.len();
    let terms: Vec<(usize, f64)> = (0..view.groups.len()).map(|g| (g, 1.0)).collect();
    let tables = if is_grid { view.errors.terms(&terms, MRE)? } else { return None };
    if tables.first()?.1.count().seeds != 1 {
        return None;
    }
    let mut values = vec![f64::NAN; view.groups.len()];
    for (group, (_, table)) in view.groups.iter().zip(&tables) {
        let place = factors.iter().try_fold(0, |at, factor| {
            let value = group.value(&factor.axes[0])?;
            Some(at * factor.values.len() + factor.values.iter().position(|of| of == value)?)
        });
        values[place?] = table.mean();
    }
    noise_of_interactions(&values, &sizes)
}

/// The contrast of these terms; `None` with a single image, or nothing in common.
pub(super) fn contrast(view: &SweepView<'_>, terms: &[(usize, f64)], noise: Noise) -> Option<Contrast> {
    let contrast = Contrast::of(&view.errors.terms(terms, MRE)?)?;
    Some(match noise {
        Some((variance, degrees)) => contrast.with_training_noise(variance, degrees),
        None => contrast,
    })
}

/// Paired differences between any two values of each axis of few values, each with its terms; `along` are the tests of the other
/// axes, which share the error rate.
pub(super) fn effects(view: &SweepView<'_>, along: usize) -> Vec<(Finding, Difference)> {
    let noise = noise(view);
    let differences = view.factors.differences(&view.groups);
    let contrasts: Vec<(Option<Contrast>, Difference)> =
        differences.map(|of| (contrast(view, &of.terms, noise), of)).collect();
    let tests = along + contrasts.iter().filter(|(contrast, _)| contrast.is_some()).count();
    let found = contrasts.into_iter().filter_map(|(contrast, of)| {
        let finding = effect(view, &of, contrast.as_ref(), noise, tests)?;
        Some((finding, of))
    });
    found.collect()
}

fn effect(
    view: &SweepView<'_>,
    difference: &Difference,
    contrast: Option<&Contrast>,
    noise: Noise,
    tests: usize,
) -> Option<Finding> {
    let table = view.errors.contrast(&difference.terms, MRE)?;
    let seeds = table.count().seeds;
    let level = family::alpha(Topic::Effects, tests);
    let detectable = |seeds: usize| contrast.map_or(f64::NAN, |c| c.detectable(level, seeds, 0));
    // What no two errors of this size can differ by is not detected but impossible.
    let is_possible = |effect: &f64| contrast.is_some_and(|contrast| *effect <= contrast.extent());
    let now = Some(detectable(seeds)).filter(is_possible).unwrap_or(f64::NAN);
    let statement = Statement::Effect {
        factor: difference.factor.clone(),
        from: difference.from.clone(),
        to: difference.to.clone(),
        contexts: difference.contexts,
        detectable_mm: now,
        seeds_for_half: if seeds > 1 && now.is_finite() { seeds_for(now / 2.0, seeds, detectable) } else { None },
    };
    let id = format!("effect/{}/{}/{}", difference.factor, difference.from, difference.to);
    let mut finding = Finding::new(id, Topic::Effects, statement, rows(view, &difference.terms));
    finding.picture = Some("effects.png");
    finding.caveats = caveats(&table, noise);
    if seeds > 1 && now.is_nan() && contrast.is_some() {
        finding.caveats.push("Such a sweep finds no effect that errors of this size can have: run more seeds.".into());
    }
    if let Some(contrast) = contrast {
        family::judge(&mut finding, contrast, tests);
    } else {
        finding.estimate = Some(Estimate::bare(table.mean(), table.count(), Method::Contrast));
        finding.verdict = Verdict::TooFew;
    }
    let (unit, radius) = (view.unit(), view.unit().radii()[0]);
    if let Some(sdr) = view.errors.contrast(&difference.terms, &within(radius)) {
        finding.parts.push(part(&format!("landmarks within {radius} {unit}"), &sdr, Unit::Points));
    }
    // With several contexts, each on its own: an average may hide opposite effects. Nobody reads fifty of them.
    if difference.contexts > MOST_CONTEXTS {
        finding.caveats.push(format!(
            "The mean of {} settings of the other axes, too many to list one by one.",
            difference.contexts
        ));
    } else if difference.contexts > 1 {
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

/// The least number of seeds that finds a difference; `None` if images alone prevent it.
pub(super) fn seeds_for(difference: f64, now: usize, detectable: impl Fn(usize) -> f64) -> Option<usize> {
    let (mut few, mut enough) = (now, MOST_SEEDS.max(now));
    if detectable(enough) > difference {
        return None;
    }
    while enough > few + 1 {
        let middle = usize::midpoint(few, enough);
        if detectable(middle) > difference { few = middle } else { enough = middle }
    }
    Some(enough)
}

fn part(label: &str, table: &Crossed, unit: Unit) -> Part {
    Part { label: label.to_owned(), estimate: table.estimate(0), unit, p_adjusted: None, note: String::new() }
}

/// The limits of a contrast, and nonparametric tests beside it.
fn caveats(table: &Crossed, noise: Noise) -> Vec<String> {
    let mut caveats: Vec<String> = noise_caveat(table.count().seeds, noise).into_iter().collect();
    let images = p_value(wilcoxon(&table.by_image()));
    caveats.push(if table.count().seeds > 1 {
        let seeds = p_value(sign_flip(&table.by_seed(), 0));
        format!("Without assumptions, uncorrected: sign-flip over seeds {seeds}, signed-rank over images {images}.")
    } else {
        format!("Without assumptions, uncorrected, for these networks: signed-rank over images {images}.")
    });
    caveats
}

fn noise_caveat(seeds: usize, noise: Noise) -> Option<String> {
    match noise {
        Some((variance, degrees)) if seeds == 1 => Some(format!(
            "One seed: trainings are taken to scatter by {} as the interactions of three and more axes do ({degrees} degrees of \
             freedom), which no axis is expected to have.",
            number(variance.sqrt())
        )),
        _ => seed_caveat(seeds),
    }
}

/// Dependence of effects on other axes: for every two axes, the greatest of all differences of differences between two of
/// their values, corrected for their number.
pub(super) fn interactions(view: &SweepView<'_>) -> Vec<Finding> {
    let noise = noise(view);
    let all = all_interactions(&view.groups, &view.factors.by_pairs);
    let mut tested: Vec<(&Interaction, f64, Contrast)> = Vec::new();
    for interaction in &all {
        let Some(contrast) = contrast(view, &interaction.difference.terms, noise) else { continue };
        tested.push((interaction, contrast.p_value(0.0), contrast));
    }
    let of_axes = |of: &Interaction| (of.difference.factor.clone(), of.other.clone());
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (interaction, ..) in &tested {
        if !pairs.contains(&of_axes(interaction)) {
            pairs.push(of_axes(interaction));
        }
    }
    let one = |pair: &(String, String)| {
        let own = || tested.iter().filter(|(interaction, ..)| of_axes(interaction) == *pair);
        let (interaction, _, contrast) = own().min_by(|a, b| a.1.total_cmp(&b.1))?;
        let difference = &interaction.difference;
        let statement = Statement::Interaction {
            factor: difference.factor.clone(),
            values: [difference.from.clone(), difference.to.clone()],
            other: interaction.other.clone(),
            at: [interaction.without.clone(), interaction.with.clone()],
        };
        let id = format!("interaction/{}/{}", difference.factor, interaction.other);
        let mut finding = Finding::new(id, Topic::Interactions, statement, rows(view, &difference.terms));
        finding.picture = Some("effects.png");
        finding.caveats = noise_caveat(contrast.count().seeds, noise).into_iter().collect();
        let combinations = own().count();
        if combinations > 1 {
            finding
                .caveats
                .push(format!("The clearest of {combinations} combinations of values, all of which are tested."));
        }
        family::judge(&mut finding, contrast, tested.len());
        Some(finding)
    };
    pairs.iter().filter_map(one).collect()
}
