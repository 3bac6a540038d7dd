//! Claims of the study that motivated this program, each confirmed, refuted or undecided by a sweep.
//!
//! A claim is tested if the sweep has the axes for it. A difference is confirmed or refuted by a test, corrected for the
//! number of claims; "no difference" only by an interval that excludes a relevant one, never by the lack of significance.

use super::training::{factor, log_ratios, trial_onsets};
use super::{ALPHA, Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, Verdict, seed_caveat};
use crate::TrialRecords;
use crate::curves::TimeToError;
use crate::effects::{Difference, differences, factors};
use crate::errors::MRE;
use crate::format::{change, interval, mm, number, signed};
use crate::statistics::{Estimate, holm, mean, student, student_quantile};

/// A relevant difference (mm): about that between repeated readings of an observer.
const NOTABLE_MM: f64 = 0.3;
/// A relevant rise of the validation loss, per cent.
const NOTABLE_RISE: f64 = 5.0;
/// A loss this many times smaller is "far smaller".
const FAR: f64 = 10.0;

/// Findings on all claims that this sweep can test.
pub(super) fn claims(view: &SweepView<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        [loss(view), batch(view), overfits(view), converges(view)].into_iter().flatten().collect();
    let adjusted = holm(&found.iter().map(|f| f.p_value.unwrap_or(f64::NAN)).collect::<Vec<_>>());
    let tests = adjusted.iter().filter(|p| p.is_finite()).count();
    for (finding, p) in found.iter_mut().zip(adjusted) {
        finding.tests = tests;
        finding.p_adjusted = p.is_finite().then_some(p);
        finding.verdict = verdict(finding, view.unit().threshold(NOTABLE_MM));
    }
    found
}

/// Verdict from the corrected test and the interval.
fn verdict(finding: &Finding, notable: f64) -> Verdict {
    let (Some(estimate), Some(p)) = (&finding.estimate, finding.p_adjusted) else { return Verdict::Undecided };
    let certain = p < ALPHA;
    let [low, high] = estimate.interval;
    match finding.id.as_str() {
        "claim/loss" if certain => {
            if estimate.point > 0.0 {
                Verdict::Confirmed
            } else {
                Verdict::Refuted
            }
        }
        "claim/batch" if certain => Verdict::Refuted,
        "claim/batch" if low > -notable && high < notable => Verdict::Confirmed,
        "claim/overfitting" if certain && estimate.point > 0.0 => Verdict::Confirmed,
        "claim/overfitting" if high < NOTABLE_RISE => Verdict::Refuted,
        "claim/convergence" if certain => {
            if estimate.point < 1.0 {
                Verdict::Confirmed
            } else {
                Verdict::Refuted
            }
        }
        _ => Verdict::Undecided,
    }
}

/// The difference `to` minus `from` between two values of an axis, in whichever order the sweep has them.
fn difference(view: &SweepView<'_>, axes: [&str; 2], from: &str, to: &str) -> Option<Difference> {
    let names = |value: &str, wanted: &str| value == wanted || value.starts_with(&format!("{wanted} "));
    let all = factors(&view.groups);
    let of_axis = all.iter().filter(|f| f.axes.len() == 1 && axes.contains(&f.axes[0].as_str()));
    of_axis.flat_map(|f| differences(&view.groups, f)).find_map(|d| {
        if names(&d.from, from) && names(&d.to, to) {
            Some(d)
        } else if names(&d.from, to) && names(&d.to, from) {
            let terms = d.terms.iter().map(|(g, w)| (*g, -w)).collect();
            Some(Difference { from: d.to.clone(), to: d.from.clone(), terms, ..d })
        } else {
            None
        }
    })
}

/// Mean over contexts, per seed, of the logarithm of the ratio of the least validation losses.
fn loss_ratio(view: &SweepView<'_>, terms: &[(usize, f64)]) -> Estimate {
    let groups: Vec<usize> = terms.iter().map(|t| t.0).collect();
    let log = |seed: u64, g: usize| {
        let trial = view.groups[g].done().find(|t| t.seed == seed);
        trial.and_then(TrialRecords::best_loss).map(|e| e.val_loss.ln())
    };
    let of_seed = |seed: u64| terms.iter().map(|(g, w)| Some(w * log(seed, *g)?)).sum::<Option<f64>>();
    let logs: Vec<f64> = view.errors.shared_seeds(&groups).into_iter().filter_map(of_seed).collect();
    factor(&student(&logs))
}

fn claim(id: &str, claim: &'static str, because: String, view: &SweepView<'_>, terms: &[(usize, f64)]) -> Finding {
    let mut groups: Vec<usize> = terms.iter().map(|t| t.0).collect();
    groups.sort_unstable();
    let rows = SourceRecords {
        file: "landmarks.csv",
        select: "with epochs.csv of the same trials".into(),
        trials: view.ids(&groups),
    };
    Finding::new(format!("claim/{id}"), Topic::Claims, Statement::Claim { claim, because }, rows)
}

fn part(label: &str, estimate: Estimate, unit: Unit, note: String) -> Part {
    Part { label: label.to_owned(), estimate, unit, p_adjusted: None, note }
}

fn loss(view: &SweepView<'_>) -> Option<Finding> {
    let difference = difference(view, ["loss.name", "loss"], "l1", "smooth-l1")?;
    let error = view.errors.contrast(&difference.terms, MRE)?.estimate(0);
    let ratio = loss_ratio(view, &difference.terms);
    let unit = view.unit();
    let smaller = if 1.0 / ratio.point >= FAR { "as claimed, far smaller" } else { "not far smaller" };
    let because = format!(
        "its least validation loss is {} times L1's ({}), {smaller}; its landmark error differs by {} {unit} ({} {unit})",
        number(ratio.point),
        interval(&ratio, number),
        change(error.point),
        interval(&error, change),
    );
    let what = "SmoothL1 has a far smaller loss than L1, and finds the landmarks significantly worse.";
    let mut finding = claim("loss", what, because, view, &difference.terms);
    finding.p_value = Some(error.p_value(0.0));
    finding.caveats.extend(seed_caveat(error.n.seeds));
    finding.caveats.push(
        "Below 1, SmoothL1 is half the squared error: its value says nothing beside L1's. Heatmap, learning rate and epochs \
         decide who finds landmarks sooner; the verdict is for this sweep's."
            .into(),
    );
    finding.parts.push(part("least validation loss, SmoothL1 : L1", ratio, Unit::Factor, String::new()));
    finding.picture = Some("loss_vs_error.png");
    finding.estimate = Some(error);
    Some(finding)
}

fn batch(view: &SweepView<'_>) -> Option<Finding> {
    let difference = difference(view, ["batch_size", "batch_size"], "1", "4")?;
    let error = view.errors.contrast(&difference.terms, MRE)?.estimate(0);
    let ratio = loss_ratio(view, &difference.terms);
    let (unit, notable) = (view.unit(), view.unit().threshold(NOTABLE_MM));
    let printed = Estimate { point: ratio.point / 4.0, interval: ratio.interval.map(|e| e / 4.0), ..ratio.clone() };
    let because = format!(
        "per image, batch 4's least validation loss is {} times batch 1's ({}); the study divided sums of batch means by \
         the number of images, which prints it as {} times; the landmark error differs by {} {unit} ({} {unit})",
        number(ratio.point),
        interval(&ratio, number),
        number(printed.point),
        change(error.point),
        interval(&error, change),
    );
    let what = "Batch sizes 1 and 4 do not differ significantly, though the loss of batch 4 is much lower.";
    let mut finding = claim("batch", what, because, view, &difference.terms);
    finding.p_value = Some(error.p_value(0.0));
    finding.caveats.extend(seed_caveat(error.n.seeds));
    finding.caveats.push(format!(
        "In as many epochs batch 4 takes a quarter of the steps. \"No difference\" is confirmed only by an interval within \
         ±{notable} {unit}."
    ));
    finding.parts.push(part("least validation loss per image, batch 4 : 1", ratio, Unit::Factor, String::new()));
    finding.parts.push(part("as the study would have printed it", printed, Unit::Factor, "a quarter of it".into()));
    finding.picture = Some("loss_curves.png");
    finding.estimate = Some(error);
    Some(finding)
}

fn overfits(view: &SweepView<'_>) -> Option<Finding> {
    let difference = difference(view, ["batch_size", "batch_size"], "1", "4")?;
    let [of_four, of_one] = [1.0, -1.0]
        .map(|sign| -> Vec<usize> { difference.terms.iter().filter(|t| t.1 * sign > 0.0).map(|t| t.0).collect() });
    let judged: Vec<usize> = of_four.iter().copied().filter(|g| view.onsets[*g][0].p_value.is_finite()).collect();
    let adjusted = holm(&judged.iter().map(|g| view.onsets[*g][0].p_value).collect::<Vec<_>>());
    let evident =
        judged.iter().zip(&adjusted).filter(|(g, p)| **p < ALPHA && view.onsets[**g][0].epoch.is_some()).count();
    // Per seed, averaged over configurations: the seed is what is repeated.
    let excess = |groups: &[usize]| -> Vec<f64> {
        let of_seed = |seed: u64| {
            let trials = groups.iter().filter_map(|g| view.groups[*g].done().find(|t| t.seed == seed));
            mean(&trials.map(|t| 100.0 * trial_onsets(t)[0].excess).collect::<Vec<_>>())
        };
        view.errors.shared_seeds(groups).into_iter().map(of_seed).filter(|e| e.is_finite()).collect()
    };
    let (four, one) = (student(&excess(&of_four)), student(&excess(&of_one)));
    if judged.is_empty() {
        return None;
    }
    let because = format!(
        "with batch 4 the validation loss turns, while the training loss falls, in {evident} of {} configurations; at the \
         end it stands {} % from its best ({}), with batch 1 {} %",
        judged.len(),
        signed(four.point, 0),
        interval(&four, |v| format!("{} %", signed(v, 0))),
        signed(one.point, 0),
    );
    let what = "With batch size 4 the training loss goes on falling while the validation loss rises: it overfits.";
    let mut finding = claim("overfitting", what, because, view, &difference.terms);
    // The least of the corrected p-values tests that none of the configurations overfits.
    let falls = |g: &usize| view.onsets[*g][0].training_fell;
    let least = judged.iter().zip(&adjusted).filter(|(g, _)| falls(g)).map(|(_, p)| *p).fold(1.0, f64::min);
    finding.p_value = Some(least);
    finding.unit = Unit::Percent;
    finding.caveats.push(format!(
        "Refuted only where a rise of {NOTABLE_RISE} % is excluded; the rise over the best stretch is above zero by chance alone."
    ));
    finding.parts.push(part("the same with batch 1", one, Unit::Percent, String::new()));
    finding.picture = Some("loss_curves.png");
    finding.estimate = Some(four);
    Some(finding)
}

fn converges(view: &SweepView<'_>) -> Option<Finding> {
    let difference = difference(view, ["model", "model.name"], "unet", "unet++")?;
    let target = view.sweep.mean_shape_mre? / 2.0;
    let of = |what: fn(&TimeToError) -> f64| student(&log_ratios(view, &difference.terms, target, what));
    let (epochs, seconds) = (of(|r| r.epochs), of(|r| r.seconds));
    if !epochs.point.is_finite() {
        return None;
    }
    let ratio = |log: &Estimate| format!("{} ({})", number(factor(log).point), interval(&factor(log), number));
    let because = format!(
        "to reach {} {}, half of what guessing the mean shape scores, it takes {} times the U-Net's epochs and {} times \
         its seconds",
        mm(target),
        view.unit(),
        ratio(&epochs),
        ratio(&seconds),
    );
    let what = "UNet++ converges faster than the U-Net.";
    let mut finding = claim("convergence", what, because, view, &difference.terms);
    finding.p_value = Some(epochs.p_value(0.0));
    finding.unit = Unit::Factor;
    finding.caveats.extend(seed_caveat(epochs.n.seeds));
    finding.caveats.push(format!(
        "The verdict is on epochs; seconds are this machine's. Trials that never reached it count with all their epochs. The \
         two differ in normalisation too{}.",
        if student_quantile(0.975, epochs.degrees).is_finite() { "" } else { ", and there is one seed" }
    ));
    finding.parts.push(part("seconds, UNet++ : U-Net", factor(&seconds), Unit::Factor, String::new()));
    finding.picture = Some("convergence.png");
    finding.estimate = Some(factor(&epochs));
    Some(finding)
}
