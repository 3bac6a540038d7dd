//! Loss against landmark error: their agreement, and the cost of selecting by loss.

use sweep_experiment::records::EpochRecord;

use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, seed_caveat};
use crate::errors::MRE;
use crate::groups::{Group, kinds};
use crate::statistics::{Estimate, tau_over_epochs, tau_over_trials};
use crate::{TrialRecords, format};

fn pair(epoch: &EpochRecord) -> Option<(f64, f64)> {
    (epoch.val_loss.is_finite() && epoch.mre().is_finite()).then_some((epoch.val_loss, epoch.mre()))
}

/// The last half of a trial's evaluated epochs, where an epoch is selected. Over all epochs, τ would mostly reflect that
/// both fall at first.
fn late(trial: &TrialRecords) -> Vec<(f64, f64)> {
    let all: Vec<(f64, f64)> = trial.epochs.iter().filter_map(pair).collect();
    all[all.len() / 2..].to_vec()
}

/// Kendall's τ within trials over their later epochs, and across trials of one kind of loss.
pub(super) fn agreement(view: &SweepView<'_>) -> Option<Finding> {
    let mut parts = Vec::new();
    let (mut agree, mut judged) = (0, 0);
    let replicate = if view.sweep.is_pooled() { "training" } else { "seed" };
    for group in &view.groups {
        let trained = group.done().flat_map(TrialRecords::trainings);
        let taus: Vec<Estimate> = trained.map(|t| tau_over_epochs(&late(t), 0)).collect();
        let known: Vec<&Estimate> = taus.iter().filter(|t| t.interval[0].is_finite()).collect();
        judged += known.len();
        agree += known.iter().filter(|t| t.interval[0] > 0.0).count();
        // The trial in the middle stands for its seeds.
        let mut order: Vec<&&Estimate> = known.iter().collect();
        order.sort_by(|a, b| a.point.total_cmp(&b.point));
        if let Some(middle) = order.get(order.len().saturating_sub(1) / 2) {
            let above = known.iter().filter(|t| t.interval[0] > 0.0).count();
            parts.push(Part {
                label: format!("{}: later epochs", group.label),
                estimate: (**middle).clone(),
                unit: Unit::Tau,
                p_adjusted: None,
                note: format!("interval above 0 in {above} of {}", format::counted(known.len(), replicate)),
            });
        }
    }
    for kind in kinds(&view.groups) {
        let same = view.groups.iter().filter(|g| g.kind == kind).flat_map(Group::done);
        let pairs: Vec<(f64, f64)> = same.filter_map(TrialRecords::best_loss).filter_map(pair).collect();
        if pairs.len() >= 5 {
            let label = if kind.is_empty() { "across trials".to_owned() } else { format!("across trials of {kind}") };
            parts.push(Part {
                label,
                estimate: tau_over_trials(&pairs, 0),
                unit: Unit::Tau,
                p_adjusted: None,
                note: format!("{}, each at its least loss", format::counted(pairs.len(), "trial")),
            });
        }
    }
    if parts.is_empty() {
        return None;
    }
    let rows = SourceRecords { file: "epochs.csv", select: "val_loss, val_mre_mm".into(), trials: Vec::new() };
    let statement = Statement::Agreement { agree, trials: judged };
    let mut finding = Finding::new("agreement".into(), Topic::Agreement, statement, rows);
    finding.unit = Unit::Tau;
    finding.parts = parts;
    finding.picture = Some("loss_vs_error.png");
    finding.caveats = vec![
        "τ is 1 where loss and error order epochs alike, 0 where one says nothing of the other; of the later half of the \
         epochs, because in the first both fall."
            .into(),
    ];
    Some(finding)
}

/// The error at the epoch of least validation loss minus the least error, per configuration.
pub(super) fn regret(view: &SweepView<'_>) -> Option<Finding> {
    let count = view.groups.len();
    let mut parts = Vec::new();
    for (g, group) in view.groups.iter().enumerate() {
        if let Some(table) = view.errors.contrast(&[(view.at_least_loss(g), 1.0), (view.at_least_error(g), -1.0)], MRE)
        {
            parts.push(Part {
                label: group.label.clone(),
                estimate: table.estimate(0),
                unit: Unit::Millimetres,
                p_adjusted: None,
                note: String::new(),
            });
        }
    }
    let trained = view.groups.iter().flat_map(Group::done).flat_map(TrialRecords::trainings);
    let epochs: Vec<(&EpochRecord, &EpochRecord)> =
        trained.filter_map(|t| Some((t.best_loss()?, t.best_error()?))).collect();
    if parts.is_empty() || epochs.is_empty() {
        return None;
    }
    let statement = Statement::Regret {
        differ: epochs.iter().filter(|(loss, error)| loss.epoch != error.epoch).count(),
        trials: epochs.len(),
        best_at: match view.sweep.objective() {
            objective if objective.is_default() => "least landmark error".to_owned(),
            objective => format!("the best {}", objective.name()),
        },
        greatest_mm: epochs.iter().map(|(l, e)| l.mre() - e.mre()).fold(0.0, f64::max),
    };
    let rows = SourceRecords {
        file: "landmarks.csv",
        select: "selected = best-loss minus selected = best-error; error_mm".into(),
        trials: Vec::new(),
    };
    let mut finding = Finding::new("regret".into(), Topic::Regret, statement, rows);
    // Over all configurations at once, where they share seeds.
    let weight = 1.0 / count as f64;
    let all: Vec<(usize, f64)> =
        (0..count).flat_map(|g| [(view.at_least_loss(g), weight), (view.at_least_error(g), -weight)]).collect();
    finding.estimate = view.errors.contrast(&all, MRE).map(|table| table.estimate(0));
    finding.caveats.extend(finding.estimate.as_ref().and_then(|e| seed_caveat(e.n.seeds)));
    let objective = view.sweep.objective();
    finding.caveats.push(if objective.is_default() {
        "Not below zero by construction: the least error is the least of the same images. The interval takes the chosen \
         epochs as given."
            .into()
    } else {
        format!(
            "The best epoch is that of the best {}, the objective, so a mean radial error below it is possible. The interval \
             takes the chosen epochs as given.",
            objective.name()
        )
    });
    finding.parts = parts;
    finding.picture = Some("loss_vs_error.png");
    Some(finding)
}
