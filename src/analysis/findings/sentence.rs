//! Sentences of findings.

use sweep_core::units::ErrorUnit;

use super::hard::above;
use super::training_sentence::{agreement, collapse, failures, overfitting};
use super::{CrossValidationScores, Finding, Statement, Unit, Verdict, trends};
use crate::calibration::Bin;
use crate::format::{change, counted, interval, mm, number, p_value, signed};
use crate::statistics::Estimate;

/// The statement of a finding as a sentence.
#[expect(clippy::too_many_lines, reason = "an arm per statement")]
pub(super) fn sentence(finding: &Finding, unit: ErrorUnit) -> String {
    match &finding.statement {
        Statement::Failures { diverged, failed, not_finite, worse_than_guessing, guess_mm, trials } => {
            failures([diverged, failed, not_finite], worse_than_guessing, *guess_mm, *trials, unit)
        }
        Statement::Errors { what, mean_mm, best_epoch_mm, test, table_missing } => {
            let missing = if *table_missing {
                " The errors of all epochs were not kept by these trainings, so that no epoch can be chosen on other images."
            } else {
                ""
            };
            let test = test.map_or_else(String::new, |(error, images)| {
                format!(
                    " On {}, which trained nothing and chose no epoch, the networks of the best epochs are {} {unit} off.",
                    counted(images, "test image"),
                    mm(error)
                )
            });
            format!(
                "The compared errors are {what}. Their mean is {} {unit}; at each trial's best epoch, chosen on the images that \
                 are measured, it would be {} {unit}.{test}{missing}",
                mm(*mean_mm),
                mm(*best_epoch_mm)
            )
        }
        Statement::CrossValidation { of, folds, configurations, incomplete } => {
            cross_validation([*of, *folds], configurations, incomplete, unit)
        }
        Statement::Effect { factor, from, to, contexts, detectable_mm, seeds_for_half } => {
            effect(finding, [factor, from, to], *contexts, *detectable_mm, *seeds_for_half, unit)
        }
        Statement::Trend { axis, configurations, shape, best } => {
            trends::sentence(finding, (axis, *configurations), *shape, best.as_ref(), unit)
        }
        Statement::Interaction { factor, values, other, at } => interaction(finding, [factor, other], values, at, unit),
        Statement::Ranking { best, runner_up, rival, least_loss, comparable, reference_tau, .. } => {
            let next = rival.as_deref().or(runner_up.as_deref());
            ranking(finding, [best, least_loss], next, *comparable, *reference_tau, unit)
        }
        Statement::Agreement { agree, reverse, trials, mean_tau, tested } => {
            agreement(finding, [*agree, *reverse, *trials, *tested], *mean_tau)
        }
        Statement::Regret { differ, best_at, trials, greatest_mm, upper_limit } => {
            let overall = finding.estimate.as_ref().map_or_else(String::new, |e| {
                let (most, ends) =
                    if *upper_limit { ("at most ", String::new()) } else { ("", within(e, change, &sign(unit))) };
                format!(
                    " On average choosing the epoch by its loss instead costs {most}{} {unit}{ends}.",
                    change(e.point)
                )
            });
            format!(
                "In {differ} of {} the epoch of least validation loss is not that of {best_at}; on these very images \
                 that is {} {unit} at most.{overall}",
                counted(*trials, "trial"),
                mm(*greatest_mm)
            )
        }
        Statement::Collapse { collapsed, above_zero, blind, blind_landmarks, trials } => {
            collapse([collapsed, above_zero, blind], blind_landmarks, *trials)
        }
        Statement::Overfitting { curve, onsets, judged } => overfitting(curve, onsets, *judged),
        Statement::Gap { greatest } => finding.estimate.as_ref().map_or_else(String::new, |e| {
            format!(
                "The validation error exceeds the training error by {} {unit}{} at most, with {greatest}.",
                change(e.point),
                within(e, change, &sign(unit))
            )
        }),
        Statement::Convergence { factor, from, to, target_mm, reached } => {
            let Some(e) = &finding.estimate else { return String::new() };
            let [(some_from, all_from), (some_to, all_to)] = reached;
            let told = match finding.verdict {
                Verdict::Evidence => "",
                Verdict::NetworksDiffer => "for these trained networks alone, ",
                _ => "no evidence of a difference; ",
            };
            format!(
                "{}: to an error of {} {unit}, {told}{to} takes {} epochs as {from}{}{}. It was reached by \
                 {some_from} of {} with {from} and {some_to} of {all_to} with {to}.",
                heading(factor),
                mm(*target_mm),
                match number(e.point).as_str() {
                    "1" => "as many".to_owned(),
                    times => format!("{times} times as many"),
                },
                within(e, number, ""),
                tested(finding),
                counted(*all_from, "trial"),
            )
        }
        Statement::Scatter { best, components } => match components.iter().find(|(group, _)| group == best) {
            None => "With one seed there is no telling what part of the errors' scatter is the seed's.".to_owned(),
            Some((_, parts)) => {
                let mut shares = parts.shares().to_vec();
                shares.sort_by(|a, b| b.1.total_cmp(&a.1));
                let largest: Vec<String> =
                    shares.iter().take(3).map(|(name, s)| format!("{name} {:.0} %", 100.0 * s)).collect();
                let seed = 100.0 * parts.shares()[0].1;
                format!(
                    "Of the scatter of single errors with {best}, most is {}; the seed's own share is {seed:.0} %.",
                    largest.join(", ")
                )
            }
        },
        Statement::Hard { images, landmarks, .. } if images.is_empty() && landmarks.is_empty() => tail(finding, unit),
        Statement::Hard { images, landmarks, .. } => {
            let list = |names: &[(String, f64)]| -> String {
                let listed: Vec<String> =
                    names.iter().map(|(name, error)| format!("{name} ({} {unit})", mm(*error))).collect();
                listed.join(", ")
            };
            format!("Hardest landmarks: {}. Hardest images: {}.", list(landmarks), list(images))
        }
        Statement::Calibration { clearest, configurations } => {
            let Some(of) = configurations.iter().find(|of| of.group == *clearest) else { return String::new() };
            let (least, most) = (of.bins.first(), of.bins.last());
            let radius = unit.radii()[0];
            let described = |bin: &Bin| {
                format!(
                    "{:.0} % confidence, {:.0} % within {radius} {unit}",
                    100.0 * bin.confidence,
                    100.0 * bin.within_2mm
                )
            };
            let ends = least.zip(most).map_or_else(String::new, |(least, most)| {
                format!(" Its least sure landmarks: {}; its surest: {}.", described(least), described(most))
            });
            let rho = finding.estimate.as_ref().unwrap_or(&of.rho);
            let verdict = match finding.verdict {
                Verdict::Evidence if rho.point < 0.0 => "Confidence tells where the errors are",
                Verdict::NetworksDiffer if rho.point < 0.0 => {
                    "In these trained networks, confidence tells where the errors are"
                }
                Verdict::Evidence | Verdict::NetworksDiffer => "Confidence is greatest where the errors are greatest",
                _ => "No evidence that confidence tells where the errors are",
            };
            format!(
                "{verdict}, most clearly with {clearest}: ρ = {}{}. The tenth it is least sure of is {} {unit} off, the others {} \
                 {unit}.{ends}",
                signed(rho.point, 2),
                within(rho, |v| signed(v, 2), ""),
                mm(of.least_sure_mm[0]),
                mm(of.least_sure_mm[1]),
            )
        }
        Statement::Claim { claim, because } => {
            let verdict = capitalised(finding.verdict.name());
            format!("“{claim}” {verdict} in this sweep: {because}{}.", tested(finding))
        }
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// ` mm`.
fn sign(unit: ErrorUnit) -> String {
    format!(" {unit}")
}

fn heading(factor: &str) -> String {
    format!("`{factor}`")
}

/// ` (95 % interval … to … unit)`, or nothing.
pub(crate) fn within(estimate: &Estimate, show: fn(f64) -> String, unit: &str) -> String {
    let ends = interval(estimate, show);
    // Data that do not scatter, as no landmark of hundreds, have no interval that would say something.
    if ends.is_empty() || (estimate.interval[1] - estimate.interval[0]).abs() < 1e-12 {
        String::new()
    } else {
        format!(" (95 % interval {ends}{unit})")
    }
}

/// `; p = … after correction for all tests of the report`, or nothing.
pub(super) fn tested(finding: &Finding) -> String {
    finding
        .p_adjusted
        .map_or_else(String::new, |p| format!("; {} after correction for all tests of the report", p_value(p)))
}

/// The start of a sentence on networks that were trained once each.
const THESE_NETWORKS: &str = "these trained networks differ on these images, which says nothing of training again: ";

fn effect(
    finding: &Finding,
    [factor, from, to]: [&str; 3],
    contexts: usize,
    detectable: f64,
    seeds_for_half: Option<usize>,
    unit: ErrorUnit,
) -> String {
    let Some(e) = &finding.estimate else { return String::new() };
    let over =
        if contexts > 1 { format!(", averaged over {contexts} settings of the other axes") } else { String::new() };
    let direction = if e.point < 0.0 { "less" } else { "more" };
    let found = format!("{to} has {} {unit} {direction} error than {from}", mm(e.point.abs()));
    let core = match finding.verdict {
        Verdict::Evidence => found,
        Verdict::NetworksDiffer => format!("{THESE_NETWORKS}{found}"),
        Verdict::TooFew => format!("too few images to tell whether {to} and {from} differ: {} {unit}", change(e.point)),
        _ => format!("no evidence that {to} and {from} differ: {} {unit}", change(e.point)),
    };
    let power = if detectable.is_finite() {
        let half = seeds_for_half.map_or_else(
            || "no number of seeds would find half of that on so many images".to_owned(),
            |n| format!("{n} seeds would find half of that"),
        );
        format!(" A true effect of {} {unit} is found four times in five by such a sweep; {half}.", mm(detectable))
    } else {
        String::new()
    };
    format!("{}: {core}{}{}{over}.{power}", heading(factor), within(e, change, &sign(unit)), tested(finding))
}

fn interaction(
    finding: &Finding,
    [factor, other]: [&str; 2],
    values: &[String; 2],
    at: &[String; 2],
    unit: ErrorUnit,
) -> String {
    let Some(e) = &finding.estimate else { return String::new() };
    let [from, to] = values;
    let found = format!(
        "the step from {from} to {to} depends on `{other}`: with {} it changes the error by {} {unit} compared with {}",
        at[1],
        change(e.point),
        at[0]
    );
    let core = match finding.verdict {
        Verdict::Evidence => found,
        Verdict::NetworksDiffer => format!("{THESE_NETWORKS}{found}"),
        _ => format!(
            "no evidence that the step from {from} to {to} depends on `{other}`: {} {unit} with {} compared with {}",
            change(e.point),
            at[1],
            at[0]
        ),
    };
    format!("{}: {core}{}{}.", heading(factor), within(e, change, &sign(unit)), tested(finding))
}

fn ranking(
    finding: &Finding,
    [best, least_loss]: [&str; 2],
    next: Option<&str>,
    comparable: bool,
    reference_tau: f64,
    unit: ErrorUnit,
) -> String {
    let error = finding.parts.first().map_or_else(String::new, |p| {
        format!(" at {} {unit}{}", mm(p.estimate.point), within(&p.estimate, mm, &sign(unit)))
    });
    let mut sentences = vec![format!("Least landmark error: {best}{error}.")];
    if let (Some(next), Some(e)) = (next, &finding.estimate) {
        let ends = within(e, change, &sign(unit));
        let others = if finding.parts.len() > 2 { "all others" } else { "the other" };
        sentences.push(match finding.verdict {
            Verdict::Evidence => format!("It is ahead of {others}: {next}, the next, has {} {unit} more{ends}{}.", mm(e.point), tested(finding)),
            Verdict::NetworksDiffer => format!(
                "On these images this trained network is ahead of {others}, which says nothing of training again: {next}, the \
                 next, has {} {unit} more{ends}{}.",
                mm(e.point),
                tested(finding)
            ),
            _ => format!("It is not shown to be ahead of {next}, which has {} {unit} more{ends}{}.", mm(e.point), tested(finding)),
        });
    }
    if finding.parts.len() > 1 {
        sentences.push(if least_loss == best {
            "It has the least validation loss too.".to_owned()
        } else {
            format!("The least validation loss is another's: {least_loss}.")
        });
    }
    if !comparable {
        sentences
            .push("Losses of these configurations are of different kinds, so their values rank nothing.".to_owned());
        if reference_tau.is_finite() {
            sentences.push(format!(
                "One reference loss that means the same for all orders them as the landmark error does with τ = {}.",
                signed(reference_tau, 2)
            ));
        }
    }
    sentences.join(" ")
}

/// Configurations with the heaviest and the lightest tail.
fn tail(finding: &Finding, unit: ErrorUnit) -> String {
    let above_gross = above(unit);
    let suffix = format!(": {above_gross}");
    let above = finding.parts.iter().filter(|p| p.unit == Unit::Percent);
    let most = above.clone().max_by(|a, b| a.estimate.point.total_cmp(&b.estimate.point));
    let least = above.min_by(|a, b| a.estimate.point.total_cmp(&b.estimate.point));
    let described = |p: &super::Part| {
        let label = p.label.trim_end_matches(&suffix);
        format!(
            "{:.1} % of landmarks{} with {label}",
            p.estimate.point,
            within(&p.estimate, |v| format!("{v:.1}"), " %")
        )
    };
    match (least, most) {
        (Some(a), Some(b)) if a.label != b.label => {
            format!(
                "{}, that is not found at all: from {} to {}.",
                capitalised(&above_gross),
                described(a),
                described(b)
            )
        }
        (Some(a), _) => format!("{}, that is not found at all: {}.", capitalised(&above_gross), described(a)),
        _ => String::new(),
    }
}

/// Design of the cross-validation, the best configuration, and the incomplete ones.
fn cross_validation(
    [of, folds]: [usize; 2],
    configurations: &[CrossValidationScores],
    incomplete: &[(String, String)],
    unit: ErrorUnit,
) -> String {
    let some = if folds < of { format!(", {folds} of them run") } else { String::new() };
    let left_out = if incomplete.is_empty() {
        String::new()
    } else {
        let each: Vec<String> = incomplete.iter().map(|(which, progress)| format!("{which} ({progress})")).collect();
        format!(" Left out of every comparison, because not all folds are there: {}.", each.join("; "))
    };
    let Some(best) = configurations.iter().min_by(|a, b| a.mre.point.total_cmp(&b.mre.point)) else {
        return format!("{of}-fold cross-validation{some}, and none is whole yet.{left_out}");
    };
    let (n, radius) = (best.mre.n, unit.radii()[0]);
    let first = if configurations.len() > 1 { format!("Least error, with {}", best.label) } else { "MRE".to_owned() };
    format!(
        "{of}-fold cross-validation{some}, {}, {}: every image is predicted by a network that was not trained on it, at the \
         last epoch, so that nothing was chosen on the images that are measured. {first}: {} {unit}{}, {:.1} % within {radius} {unit}{}.{left_out}",
        counted(n.images, "image"),
        counted(n.seeds, "seed"),
        mm(best.mre.point),
        within(&best.mre, mm, &sign(unit)),
        best.sdr[0].point,
        within(&best.sdr[0], |v| format!("{v:.1}"), " %"),
    )
}
