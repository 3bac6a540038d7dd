//! One error rate for the whole report.
//!
//! Under no effect at all, the chance of any finding with *evidence* in a report is at most [`ALPHA`]. Each topic gets a share
//! of it (Bonferroni), the effects of axes half, because a sweep is run for them. Within a topic the share is divided by the
//! number of tests (for contrasts, whose simultaneous intervals then agree with their verdicts) or by Holm's method.
//! Adjusted p-values are on the scale of the report: below [`ALPHA`] is evidence.

use super::{ALPHA, Finding, Topic, Verdict};
use crate::format::counted;
use crate::statistics::{self, Contrast, Estimate};

/// A topic's share of the error rate. Topics without tests have none; the shares sum to 1.
pub(super) fn share(topic: Topic) -> f64 {
    match topic {
        Topic::Effects => 0.5,
        Topic::Interactions | Topic::Ranking | Topic::Convergence | Topic::Overfitting => 0.1,
        Topic::Agreement | Topic::Calibration => 0.05,
        _ => 0.0,
    }
}

/// Level of one of so many tests on a topic.
pub(super) fn alpha(topic: Topic, tests: usize) -> f64 {
    ALPHA * share(topic) / tests.max(1) as f64
}

/// Level of one of so many comparisons of values of axes.
#[must_use]
pub fn effects_alpha(tests: usize) -> f64 {
    alpha(Topic::Effects, tests)
}

/// p-value of one of so many tests on a topic, on the scale of the report.
pub(super) fn adjusted(p: f64, topic: Topic, tests: usize) -> f64 {
    (p * tests.max(1) as f64 / share(topic)).min(1.0)
}

/// p-values of all tests on a topic, by Holm's method, on the scale of the report.
pub(super) fn holm(topic: Topic, p_values: &[f64]) -> Vec<f64> {
    statistics::holm(p_values).into_iter().map(|p| if p.is_nan() { p } else { (p / share(topic)).min(1.0) }).collect()
}

/// The verdict of an adjusted p-value. Without known training noise a difference is one of these networks.
pub(super) fn verdict(p_adjusted: f64, knows_training_noise: bool) -> Verdict {
    match p_adjusted {
        p if p.is_nan() => Verdict::TooFew,
        p if p >= ALPHA => Verdict::NoEvidence,
        _ if knows_training_noise => Verdict::Evidence,
        _ => Verdict::NetworksDiffer,
    }
}

/// Sets estimate, p-values and verdict of a finding from its contrast, one of so many tests on its topic.
pub(super) fn judge(finding: &mut Finding, contrast: &Contrast, tests: usize) {
    let p = contrast.p_value(0.0);
    let p_adjusted = adjusted(p, finding.topic, tests);
    finding.tests = tests;
    finding.p_value = p.is_finite().then_some(p);
    finding.p_adjusted = p.is_finite().then_some(p_adjusted);
    finding.verdict = verdict(p_adjusted, contrast.knows_training_noise());
    let (estimate, caveat) = estimate(contrast, alpha(finding.topic, tests));
    finding.estimate = Some(estimate);
    finding.caveats.extend(caveat);
}

/// The estimate of a contrast of errors at this level. An interval that reaches further than the errors themselves says nothing:
/// it is left out, and a sentence says so. The test at this level never rejects then.
pub(super) fn estimate(contrast: &Contrast, alpha: f64) -> (Estimate, Option<String>) {
    let estimate = contrast.estimate(alpha);
    let [low, high] = estimate.interval;
    if low.is_nan() || (high - low) / 2.0 <= contrast.extent() {
        return (estimate, None);
    }
    let caveat = format!(
        "No interval: with {}, and as many comparisons as this report has, it would reach further than the errors themselves.",
        counted(contrast.count().seeds, "seed")
    );
    (Estimate { interval: [f64::NAN; 2], ..estimate }, Some(caveat))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one() {
        let topics = [
            Topic::Effects,
            Topic::Interactions,
            Topic::Ranking,
            Topic::Convergence,
            Topic::Overfitting,
            Topic::Agreement,
            Topic::Calibration,
        ];
        assert!((topics.map(share).iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((adjusted(alpha(Topic::Effects, 3), Topic::Effects, 3) - ALPHA).abs() < 1e-12);
    }
}
