//! Relation of confidence and error.

use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, family, seed_caveat};
use crate::calibration::calibration;
use crate::format::{counted, mm};
use crate::groups::Group;
use crate::measured::Measured;
use crate::statistics::{Estimate, normal_cdf, normal_quantile};

/// Calibration of all configurations whose records have confidences.
pub(super) fn calibrations(view: &SweepView<'_>) -> Option<Finding> {
    let found: Vec<_> = view.groups.iter().filter_map(|group| calibration(group, view.measured)).collect();
    let best = found.iter().min_by(|a, b| a.rho.point.total_cmp(&b.rho.point))?;
    let trial = view.groups.iter().flat_map(Group::done).next()?;
    let select = format!("{}; image, confidence, error_mm", Measured::At(view.measured.predicted_at(trial)).select());
    let rows = SourceRecords { file: "landmarks.csv", select, trials: Vec::new() };
    let (unit, radius) = (view.unit(), view.unit().radii()[0]);
    let parts = found.iter().map(|of| Part {
        label: of.group.clone(),
        estimate: of.rho.clone(),
        unit: Unit::Rho,
        p_adjusted: None,
        note: format!(
            "{}; confidence off by {:.0} percentage points; least sure tenth {} {unit}, others {} {unit}",
            counted(of.bins.iter().map(|bin| bin.landmarks).sum(), "landmark"),
            100.0 * of.gap,
            mm(of.least_sure_mm[0]),
            mm(of.least_sure_mm[1])
        ),
    });
    let parts = parts.collect();
    let (tests, rho) = (found.len(), best.rho.clone());
    let (p, estimate) = tested(&rho, family::alpha(Topic::Calibration, tests));
    let estimate = Some(estimate);
    let statement = Statement::Calibration { clearest: best.group.clone(), configurations: found };
    let mut finding = Finding::new("calibration".into(), Topic::Calibration, statement, rows);
    finding.caveats.extend(estimate.as_ref().and_then(|e| seed_caveat(e.n.seeds)));
    finding.caveats.push(format!(
        "Confidence is the probability within two pixels of the peak where maps are logits, else the peak's height; neither \
         knows what {radius} {unit} are. ρ is Spearman's, −1 where the surest landmarks are the best. Images are drawn again, \
         trainings are not."
    ));
    if p.is_finite() {
        let p_adjusted = family::adjusted(p, Topic::Calibration, tests);
        finding.tests = tests;
        finding.p_value = Some(p);
        finding.p_adjusted = Some(p_adjusted);
        finding.verdict = family::verdict(p_adjusted, rho.n.seeds > 1);
    }
    finding.estimate = estimate;
    finding.unit = Unit::Rho;
    finding.parts = parts;
    finding.picture = Some("calibration.png");
    Some(finding)
}

/// Two-sided p-value of no correlation, and the interval of level 1 − `alpha` that agrees with it, by Fisher's z with the
/// bootstrap's standard error.
fn tested(rho: &Estimate, alpha: f64) -> (f64, Estimate) {
    let z = rho.point.clamp(-0.9999, 0.9999).atanh();
    let standard_error = rho.standard_error / (1.0 - rho.point * rho.point).max(1e-4);
    if standard_error.is_nan() || standard_error <= 0.0 {
        return (f64::NAN, rho.clone());
    }
    let half = normal_quantile(1.0 - alpha / 2.0) * standard_error;
    let interval = [(z - half).tanh(), (z + half).tanh()];
    (2.0 * normal_cdf(-(z / standard_error).abs()), Estimate { interval, ..rho.clone() })
}
