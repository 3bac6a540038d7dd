//! Claims of a published study, each confirmed, refuted or undecided by a sweep.
//!
//! A claim is tested if the sweep has the axes for it. A difference is confirmed or refuted by the test of the finding that
//! it rests on, corrected for all tests of the report; "no difference" only by an interval that excludes a relevant one, never by the lack of significance.

use super::training::exponential;
use super::{ALPHA, Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, Verdict, seed_caveat};
use crate::TrialRecords;
use crate::effects::{Difference, differences, factors};
use crate::format::{change, interval, mm, number, signed};
use crate::statistics::{Estimate, mean, student};
use sweep_experiment::definition::Study;

/// A relevant difference (mm): about that between repeated readings of an observer.
const NOTABLE_MM: f64 = 0.3;
/// A relevant rise of the validation loss, per cent.
const NOTABLE_RISE: f64 = 5.0;
/// A loss this many times smaller is "far smaller".
const FAR: f64 = 10.0;

/// Findings on all claims that this sweep can test. They take the tests of the effects and of the other findings, and are no
/// tests of their own.
pub(super) fn claims(
    study: Study,
    view: &SweepView<'_>,
    effects: &[(Finding, Difference)],
    found: &[Finding],
) -> Vec<Finding> {
    let all = match study {
        Study::Cephalometric2021 => {
            [loss(view, effects), batch(view, effects), overfits(view, found), converges(view, found)]
        }
    };
    let mut claims: Vec<Finding> = all.into_iter().flatten().collect();
    for finding in &mut claims {
        finding.verdict = verdict(finding, view.unit().threshold(NOTABLE_MM));
    }
    claims
}

/// Verdict from the corrected test and the interval.
fn verdict(finding: &Finding, notable: f64) -> Verdict {
    let (Some(estimate), Some(p)) = (&finding.estimate, finding.p_adjusted) else { return Verdict::Undecided };
    let certain = p < ALPHA;
    if estimate.n.seeds == 1 {
        return Verdict::Undecided;
    }
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

/// The effect of the step from one value of an axis to another, in whichever order the sweep has them.
fn step<'a>(
    effects: &'a [(Finding, Difference)],
    axes: [&str; 2],
    from: &str,
    to: &str,
) -> Option<(&'a Finding, Difference, Estimate)> {
    let names = |value: &str, wanted: &str| value == wanted || value.starts_with(&format!("{wanted} "));
    effects.iter().filter(|(_, d)| axes.contains(&d.factor.as_str())).find_map(|(finding, d)| {
        let estimate = finding.estimate.clone()?;
        if names(&d.from, from) && names(&d.to, to) {
            Some((finding, d.clone(), estimate))
        } else if names(&d.from, to) && names(&d.to, from) {
            let terms = d.terms.iter().map(|(g, w)| (*g, -w)).collect();
            let [low, high] = estimate.interval;
            let turned = Difference { from: d.to.clone(), to: d.from.clone(), terms, ..d.clone() };
            Some((finding, turned, Estimate { point: -estimate.point, interval: [-high, -low], ..estimate }))
        } else {
            None
        }
    })
}

/// The interval in brackets, after a space; nothing if there is none.
fn bracketed(estimate: &Estimate, show: impl Fn(f64) -> String, unit: &str) -> String {
    let ends = interval(estimate, show);
    if ends.is_empty() { ends } else { format!(" ({ends}{unit})") }
}

/// Gives a claim the test of the finding that it rests on.
fn rest_on(claim: &mut Finding, finding: &Finding) {
    (claim.p_value, claim.p_adjusted, claim.tests) = (finding.p_value, finding.p_adjusted, finding.tests);
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
    exponential(&student(&logs))
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

fn loss(view: &SweepView<'_>, effects: &[(Finding, Difference)]) -> Option<Finding> {
    let (effect, difference, error) = step(effects, ["loss.name", "loss"], "l1", "smooth-l1")?;
    let ratio = loss_ratio(view, &difference.terms);
    let unit = view.unit();
    let smaller = if 1.0 / ratio.point >= FAR { "as claimed, far smaller" } else { "not far smaller" };
    let because = format!(
        "its least validation loss is {} times L1's{}, {smaller}; its landmark error differs by {} {unit}{}",
        number(ratio.point),
        bracketed(&ratio, number, ""),
        change(error.point),
        bracketed(&error, change, &format!(" {unit}")),
    );
    let what = "SmoothL1 has a far smaller loss than L1, and finds the landmarks significantly worse.";
    let mut finding = claim("loss", what, because, view, &difference.terms);
    rest_on(&mut finding, effect);
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

fn batch(view: &SweepView<'_>, effects: &[(Finding, Difference)]) -> Option<Finding> {
    let (effect, difference, error) = step(effects, ["batch_size", "batch_size"], "1", "4")?;
    let ratio = loss_ratio(view, &difference.terms);
    let (unit, notable) = (view.unit(), view.unit().threshold(NOTABLE_MM));
    let printed = Estimate { point: ratio.point / 4.0, interval: ratio.interval.map(|e| e / 4.0), ..ratio.clone() };
    let because = format!(
        "per image, batch 4's least validation loss is {} times batch 1's{}; the study divided sums of batch means by \
         the number of images, which prints it as {} times; the landmark error differs by {} {unit}{}",
        number(ratio.point),
        bracketed(&ratio, number, ""),
        number(printed.point),
        change(error.point),
        bracketed(&error, change, &format!(" {unit}")),
    );
    let what = "Batch sizes 1 and 4 do not differ significantly, though the loss of batch 4 is much lower.";
    let mut finding = claim("batch", what, because, view, &difference.terms);
    rest_on(&mut finding, effect);
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

fn overfits(view: &SweepView<'_>, found: &[Finding]) -> Option<Finding> {
    let tested = found.iter().find(|finding| finding.id == "overfitting/loss")?;
    let all = factors(&view.groups);
    let of_axis = all.iter().filter(|f| f.axes == ["batch_size"]).flat_map(|f| differences(&view.groups, f));
    let difference =
        of_axis.into_iter().find(|d| [d.from.as_str(), d.to.as_str()].iter().all(|v| ["1", "4"].contains(v)))?;
    let with = |batch: &str| -> Vec<usize> {
        let groups = difference.terms.iter().map(|t| t.0);
        groups.filter(|g| view.groups[*g].value("batch_size") == Some(batch)).collect()
    };
    let (of_four, of_one) = (with("4"), with("1"));
    let p_of =
        |g: usize| tested.parts.iter().find(|part| part.label == view.groups[g].label).and_then(|part| part.p_adjusted);
    let judged: Vec<(usize, f64)> = of_four.iter().filter_map(|g| Some((*g, p_of(*g)?))).collect();
    let evident = judged.iter().filter(|(g, p)| *p < ALPHA && view.onsets[*g][0].epoch.is_some()).count();
    // Per seed, averaged over configurations: the seed is what is repeated.
    let excess = |groups: &[usize]| -> Vec<f64> {
        let of_seed = |seed: u64| {
            let trials = groups.iter().filter_map(|g| view.groups[*g].done().find(|t| t.seed == seed));
            mean(&trials.map(|t| 100.0 * view.trial_onsets[t.id.as_str()][0].excess).collect::<Vec<_>>())
        };
        view.errors.shared_seeds(groups).into_iter().map(of_seed).filter(|e| e.is_finite()).collect()
    };
    let (four, one) = (student(&excess(&of_four)), student(&excess(&of_one)));
    if judged.is_empty() {
        return None;
    }
    let because = format!(
        "with batch 4 the validation loss turns, while the training loss falls, in {evident} of {} configurations; at the \
         end it stands {} % from its best{}, with batch 1 {} %",
        judged.len(),
        signed(four.point, 0),
        bracketed(&four, |v| signed(v, 0), " %"),
        signed(one.point, 0),
    );
    let what = "With batch size 4 the training loss goes on falling while the validation loss rises: it overfits.";
    let mut finding = claim("overfitting", what, because, view, &difference.terms);
    // The least of the corrected p-values tests that none of the configurations overfits.
    finding.p_adjusted = judged.iter().map(|(_, p)| *p).reduce(f64::min);
    finding.tests = tested.tests;
    finding.unit = Unit::Percent;
    finding.caveats.push(format!(
        "Refuted only where a rise of {NOTABLE_RISE} % is excluded; the rise over the best stretch is above zero by chance alone."
    ));
    finding.parts.push(part("the same with batch 1", one, Unit::Percent, String::new()));
    finding.picture = Some("loss_curves.png");
    finding.estimate = Some(four);
    Some(finding)
}

fn converges(view: &SweepView<'_>, found: &[Finding]) -> Option<Finding> {
    let names = |value: &str, wanted: &str| value == wanted || value.starts_with(&format!("{wanted} "));
    let mut hits = found.iter().filter_map(|finding| match &finding.statement {
        Statement::Convergence { factor, from, to, target_mm, .. }
            if ["model", "model.name"].contains(&factor.as_str()) =>
        {
            let forward = names(from, "unet") && names(to, "unet++");
            let backward = names(from, "unet++") && names(to, "unet");
            (forward || backward).then_some((finding, backward, *target_mm))
        }
        _ => None,
    });
    let (tested, backward, target) = hits.next()?;
    view.sweep.mean_shape_mre?;
    let turn = |estimate: &Estimate| {
        let [low, high] = estimate.interval;
        if backward {
            Estimate { point: 1.0 / estimate.point, interval: [1.0 / high, 1.0 / low], ..estimate.clone() }
        } else {
            estimate.clone()
        }
    };
    let epochs = turn(tested.estimate.as_ref()?);
    let seconds = turn(&tested.parts.first()?.estimate);
    let ratio = |factor: &Estimate| format!("{}{}", number(factor.point), bracketed(factor, number, ""));
    let because = format!(
        "to reach {} {}, half of what guessing the mean shape scores, it takes {} times the U-Net's epochs and {} times \
         its seconds",
        mm(target),
        view.unit(),
        ratio(&epochs),
        ratio(&seconds),
    );
    let what = "UNet++ converges faster than the U-Net.";
    let mut finding = claim("convergence", what, because, view, &[]);
    finding.rows.trials.clone_from(&tested.rows.trials);
    rest_on(&mut finding, tested);
    finding.unit = Unit::Factor;
    finding.caveats.extend(seed_caveat(epochs.n.seeds));
    finding.caveats.push(
        "The verdict is on epochs; seconds are this machine's. Trials that never reached it count as later than their last \
         epoch. The two differ in normalisation, too."
            .into(),
    );
    finding.parts.push(part("seconds, UNet++ : U-Net", seconds, Unit::Factor, String::new()));
    finding.picture = Some("convergence.png");
    finding.estimate = Some(epochs);
    Some(finding)
}
