//! Relation of confidence and error.

use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, seed_caveat};
use crate::calibration::calibration;
use crate::format::{counted, mm};

/// Calibration of all configurations whose records have confidences.
pub(super) fn calibrations(view: &SweepView<'_>) -> Option<Finding> {
    let found: Vec<_> = view.groups.iter().filter_map(calibration).collect();
    let best = found.iter().min_by(|a, b| a.rho.point.total_cmp(&b.rho.point))?;
    let rows =
        SourceRecords { file: "landmarks.csv", select: view.select("image, confidence, error_mm"), trials: Vec::new() };
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
    let estimate = Some(best.rho.clone());
    let statement = Statement::Calibration { clearest: best.group.clone(), configurations: found };
    let mut finding = Finding::new("calibration".into(), Topic::Calibration, statement, rows);
    finding.caveats.extend(estimate.as_ref().and_then(|e| seed_caveat(e.n.seeds)));
    finding.caveats.push(format!(
        "Confidence is the probability within two pixels of the peak where maps are logits, else the peak's height; neither \
         knows what {radius} {unit} are. ρ is Spearman's, −1 where the surest landmarks are the best. Images are drawn again, \
         trainings are not."
    ));
    finding.estimate = estimate;
    finding.unit = Unit::Rho;
    finding.parts = parts;
    finding.picture = Some("calibration.png");
    Some(finding)
}
