//! Loss against landmark error: their agreement, and the cost of selecting by loss.

use sweep_experiment::records::EpochRecord;

use super::{Finding, Part, SourceRecords, Statement, SweepView, Topic, Unit, Verdict, family, seed_caveat};
use crate::errors::MRE;
use crate::groups::{Group, kinds};
use crate::measured::Measured;
use crate::statistics::{
    Count, Estimate, Method, mean, sign_flip, sign_flip_interval, tau_b, tau_over_epochs, tau_over_trials,
};
use crate::{TrialRecords, format};

/// Fewest later epochs of a trial whose τ counts.
const FEWEST_EPOCHS: usize = 5;

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
    let (mut agree, mut reverse, mut judged) = (0, 0, 0);
    let (mut all, mut seeds) = (Vec::new(), 0);
    let replicate = if view.sweep.is_pooled() { "training" } else { "seed" };
    for group in &view.groups {
        let trained = group.done().flat_map(TrialRecords::trainings);
        let series: Vec<Vec<(f64, f64)>> = trained.map(late).filter(|pairs| pairs.len() >= FEWEST_EPOCHS).collect();
        seeds = seeds.max(series.len());
        all.extend(series.iter().map(|pairs| tau_b(pairs)).filter(|tau| tau.is_finite()));
        let taus: Vec<Estimate> = series.iter().map(|pairs| tau_over_epochs(pairs)).collect();
        let known: Vec<&Estimate> = taus.iter().filter(|t| t.interval[0].is_finite()).collect();
        judged += known.len();
        agree += known.iter().filter(|t| t.interval[0] > 0.0).count();
        reverse += known.iter().filter(|t| t.interval[1] < 0.0).count();
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
    let statement = Statement::Agreement { agree, reverse, trials: judged, mean_tau: mean(&all), tested: all.len() };
    let mut finding = Finding::new("agreement".into(), Topic::Agreement, statement, rows);
    finding.unit = Unit::Tau;
    finding.parts = parts;
    finding.picture = Some("loss_vs_error.png");
    // Trainings are independent, however alike neighbouring epochs are: each counts once.
    if all.len() > 1 && seeds > 1 {
        let p = sign_flip(&all, 0);
        let p_adjusted = family::adjusted(p, Topic::Agreement, 1);
        let interval = sign_flip_interval(&all, family::alpha(Topic::Agreement, 1), 0);
        let interval = interval.map(|end| if end.is_finite() { end.clamp(-1.0, 1.0) } else { f64::NAN });
        let n = Count { seeds, ..Count::default() };
        finding.p_value = Some(p).filter(|p| p.is_finite());
        finding.p_adjusted = Some(p_adjusted).filter(|p| p.is_finite());
        finding.tests = 1;
        finding.verdict = family::verdict(p_adjusted, true);
        finding.estimate = Some(Estimate { interval, ..Estimate::bare(mean(&all), n, Method::SignFlips) });
    } else if all.is_empty() {
        finding.verdict = Verdict::TooFew;
    }
    finding.caveats = vec![
        "τ is 1 where loss and error order epochs alike, 0 where one says nothing of the other; of the later half of the \
         epochs, because in the first both fall."
            .into(),
    ];
    Some(finding)
}

/// The error at the epoch of least validation loss minus that of choosing the epoch by the error, per configuration.
///
/// The least error is too low on the images that chose it; the cross-fitted one is not. Without the errors of all epochs,
/// the difference is an upper limit and has no interval.
pub(super) fn regret(view: &SweepView<'_>) -> Option<Finding> {
    let count = view.groups.len();
    let is_fair = view.measured == Measured::CrossFitted;
    let by_error = |g: usize| if is_fair { g } else { view.at_least_error(g) };
    let estimate = |terms: &[(usize, f64)]| {
        let estimate = view.errors.contrast(terms, MRE)?.estimate(0);
        Some(if is_fair { estimate } else { Estimate { interval: [f64::NAN; 2], ..estimate } })
    };
    let parts: Vec<Part> = (0..count)
        .filter_map(|g| {
            Some(Part {
                label: view.groups[g].label.clone(),
                estimate: estimate(&[(view.at_least_loss(g), 1.0), (by_error(g), -1.0)])?,
                unit: Unit::Millimetres,
                p_adjusted: None,
                note: String::new(),
            })
        })
        .collect();
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
            objective => format!("the {}", objective.chosen_epoch()),
        },
        greatest_mm: epochs.iter().map(|(l, e)| l.mre() - e.mre()).fold(0.0, f64::max),
        upper_limit: !is_fair,
    };
    let rows = SourceRecords {
        file: "landmarks.csv",
        select: format!(
            "selected = best-loss minus {}; error_mm",
            if is_fair { view.measured.select() } else { "selected = best-error" }
        ),
        trials: Vec::new(),
    };
    let mut finding = Finding::new("regret".into(), Topic::Regret, statement, rows);
    // Over all configurations at once, where they share seeds.
    let weight = 1.0 / count as f64;
    let all: Vec<(usize, f64)> =
        (0..count).flat_map(|g| [(view.at_least_loss(g), weight), (by_error(g), -weight)]).collect();
    finding.estimate = estimate(&all);
    finding.caveats.extend(finding.estimate.as_ref().and_then(|e| seed_caveat(e.n.seeds)));
    let objective = view.sweep.objective();
    if !objective.is_default() {
        finding.caveats.push(format!(
            "The best epoch is the {}, by the objective, so a mean radial error below it is possible.",
            objective.chosen_epoch()
        ));
    }
    finding.caveats.push(
        match (is_fair, objective.is_default()) {
            (true, true) => {
                "Choosing by the error is measured on images that did not choose; below zero, the loss chose the better epochs."
            }
            (true, false) => {
                "Choosing by the objective is measured on images that did not choose; below zero, the loss chose the better \
                 epochs."
            }
            (false, true) => {
                "Not below zero by construction: the least error is the least of the same images. So it is an upper limit."
            }
            (false, false) => "The interval takes the chosen epochs as given.",
        }
        .into(),
    );
    finding.parts = parts;
    finding.picture = Some("loss_vs_error.png");
    Some(finding)
}
