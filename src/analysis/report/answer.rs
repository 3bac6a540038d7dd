//! What a report says first: which configuration finds the landmarks best, how certain that is, and all configurations in the
//! order of their error.

use serde::Serialize;

use sweep_core::units::ErrorUnit;

use super::folds::TextTable;
use super::series::{Group, groups, mean};
use crate::findings::{ALPHA, Finding, Part, Statement, Verdict, within};
use crate::format::{change, interval, mm, number};
use crate::{SweepRecords, TrialRecords};

/// Greatest number of configurations in the leaderboard; the table of configurations shows more.
const MOST: usize = 12;

/// Greatest number of effects in the answer.
const EFFECTS: usize = 3;
/// Column that compares a configuration with the best.
pub(super) const AGAINST_THE_BEST: &str = "against the best";

/// The answer to a sweep's question.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// How certain it is.
    pub verdict: Verdict,
    /// Its certainty in a word or two.
    pub strength: &'static str,
    /// Which configuration is best, by how much, and what would decide.
    pub sentence: String,
    /// The greatest effects of axes that are beyond chance; none where the comparison of configurations says it already.
    pub effects: Option<String>,
    /// What choosing by the loss would have given; none with a single configuration.
    pub by_loss: Option<String>,
    /// Configurations by their error.
    pub leaderboard: TextTable,
    /// How many configurations the leaderboard leaves out.
    pub left_out: usize,
    /// Sentences that explain the leaderboard's errors.
    about_errors: Vec<String>,
}

impl Answer {
    /// The answer of a sweep with these findings; `None` while no configuration has been compared.
    #[must_use]
    pub fn of(sweep: &SweepRecords, findings: &[Finding]) -> Option<Self> {
        let sweep = &*sweep.pooled();
        answer(sweep, &groups(sweep), findings)
    }

    /// The words under the leaderboard.
    #[must_use]
    pub fn caption(&self) -> String {
        caption(self)
    }
}

/// The answer; `None` while no configuration has been compared.
pub(super) fn answer(sweep: &SweepRecords, groups: &[Group<'_>], findings: &[Finding]) -> Option<Answer> {
    let ranking = findings.iter().find(|finding| matches!(finding.statement, Statement::Ranking { .. }))?;
    let Statement::Ranking { best, measured_mm, runner_up, rival, least_loss, comparable, seeds_to_decide, .. } =
        &ranking.statement
    else {
        return None;
    };
    let unit = sweep.unit;
    let first = ranking.parts.first()?;
    let ends = within(&first.estimate, mm, &format!(" {unit}"));
    let error = format!("{} {unit}{ends}", mm(first.estimate.point));
    let (strength, sentence) = match (rival.as_ref().or(runner_up.as_ref()), &ranking.estimate) {
        (Some(next), Some(ahead)) => {
            let by = amount(ahead.point.abs(), unit);
            let others = if ranking.parts.len() > 2 { "every other configuration" } else { "the other" };
            match ranking.verdict {
                Verdict::Evidence => {
                    let sentence = format!(
                        "{best} finds the landmarks best, with an error of {error}; {others} is worse, {next} by {by}."
                    );
                    ("evidence", sentence)
                }
                Verdict::NetworksDiffer => {
                    let sentence = format!(
                        "Of these trained networks, that of {best} is the best, with an error of {error}. One seed does not tell \
                         whether the configuration is: run several."
                    );
                    ("one seed each", sentence)
                }
                _ => {
                    let decide = match (seeds_to_decide, ahead.n.seeds) {
                        (_, 0 | 1) => "One seed does not tell: run several.".to_owned(),
                        (Some(seeds), now) => format!(
                            "If the difference is as large as that, {seeds} seeds in place of {now} would show it four times in five."
                        ),
                        (None, _) => {
                            "No number of seeds would show so small a difference: that takes more images.".to_owned()
                        }
                    };
                    let sentence = format!(
                        "{best} has the least error, {error}, but is not shown to be better than {next} (by {by}). {decide}"
                    );
                    ("undecided", sentence)
                }
            }
        }
        (Some(next), None) => {
            let few = format!(
                "{best} has the least error, {error}, but too few images tell whether it is better than {next}."
            );
            ("too few images", few)
        }
        (None, _) => ("one configuration", format!("{best} has an error of {error}.")),
    };
    let measured = measured_mm.unwrap_or(first.estimate.point);
    let by_loss = runner_up.as_ref().map(|_| by_loss(ranking, [best, least_loss], measured, *comparable, unit));
    let mut about_errors = Vec::new();
    if groups.iter().any(|group| group.done().count() > 1) {
        about_errors.push("Errors are means over a configuration's seeds.".to_owned());
    }
    if measured_mm.is_some_and(|measured| mm(measured) != mm(first.estimate.point)) {
        about_errors.push(format!(
            "The best was picked on the images that measure it; without the correction for that it has {} {unit}.",
            mm(measured)
        ));
    }
    Some(Answer {
        verdict: ranking.verdict,
        strength,
        sentence,
        effects: effects(findings, unit),
        by_loss,
        leaderboard: leaderboard(sweep, groups, ranking, least_loss),
        left_out: ranking.parts.len().saturating_sub(MOST),
        about_errors,
    })
}

/// The greatest effects beyond chance, averaged over other axes.
fn effects(findings: &[Finding], unit: ErrorUnit) -> Option<String> {
    let mut evident: Vec<(f64, String)> = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Evidence)
        .filter_map(|finding| match (&finding.statement, &finding.estimate) {
            (Statement::Effect { factor, from, to, contexts, .. }, Some(e)) if *contexts > 1 => {
                let direction = if e.point < 0.0 { "less" } else { "more" };
                let size = e.point.abs();
                Some((size, format!("{to} has {} {unit} {direction} error than {from} ({factor})", mm(size))))
            }
            // Shares are no millimetres; axes of many values come last.
            (Statement::Trend { axis, best: Some((count, [from, to])), .. }, Some(e)) => {
                let share = 100.0 * e.point;
                Some((
                    0.0,
                    format!(
                        "{axis} explains {share:.0} % of the order of errors, and the best {count} have {from} to {to}"
                    ),
                ))
            }
            _ => None,
        })
        .collect();
    evident.sort_by(|a, b| b.0.total_cmp(&a.0));
    let left_out = evident.len().saturating_sub(EFFECTS);
    let more = if left_out > 0 { format!("; {left_out} more below") } else { String::new() };
    let words: Vec<String> = evident.into_iter().take(EFFECTS).map(|(_, words)| words).collect();
    (!words.is_empty())
        .then(|| format!("With evidence, over all settings of the other axes: {}{more}.", words.join("; ")))
}

/// What the configuration of least validation loss costs.
fn by_loss(
    ranking: &Finding,
    [best, least_loss]: [&str; 2],
    measured: f64,
    comparable: bool,
    unit: ErrorUnit,
) -> String {
    let kinds =
        if comparable { "" } else { " The losses are of different kinds, so their values tell nothing of each other." };
    if least_loss == best {
        return format!("The least validation loss chooses the same.{kinds}");
    }
    let error = |label: &str| ranking.parts.iter().find(|part| part.label == label).map(|part| part.estimate.point);
    let cost = error(least_loss).map_or_else(String::new, |of_loss| {
        format!(", whose error is {} larger", amount((of_loss - measured).max(0.0), unit))
    });
    format!("The least validation loss would have chosen {least_loss}{cost}.{kinds}")
}

fn leaderboard(sweep: &SweepRecords, groups: &[Group<'_>], ranking: &Finding, least_loss: &str) -> TextTable {
    let (unit, radius) = (sweep.unit, sweep.unit.radii()[0]);
    let guess = sweep.mean_shape_mre;
    let many = ranking.parts.len() > 1;
    let mut columns = vec![
        "configuration".to_owned(),
        "seeds".to_owned(),
        format!("MRE ({unit})"),
        "95 % interval".to_owned(),
        format!("within {radius} {unit} (%)"),
        "least validation loss".to_owned(),
    ];
    if many {
        columns.push(AGAINST_THE_BEST.to_owned());
    }
    if guess.is_some() {
        columns.push(format!("against guessing ({unit})"));
    }
    // Without the scatter of training again a difference is one of these networks.
    let is_of_networks = match ranking.verdict {
        Verdict::Evidence => false,
        Verdict::NetworksDiffer => true,
        _ => ranking.estimate.as_ref().is_none_or(|ahead| ahead.n.seeds < 2),
    };
    let row = |(place, part): (usize, &Part)| {
        let group = groups.iter().find(|group| group.label == part.label);
        let of = |value: &dyn Fn(&TrialRecords) -> Option<f64>| -> Vec<f64> {
            let trials = group.into_iter().flat_map(Group::done);
            trials.filter_map(value).filter(|value| value.is_finite()).collect()
        };
        let shares = of(&|trial| Some(trial.best_error()?.sdr()[0]));
        let losses = of(&|trial| Some(trial.best_loss()?.val_loss));
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        let loss = losses.into_iter().reduce(f64::min).map(number);
        let least = if many && part.label == least_loss { " (least)" } else { "" };
        let mut cells = vec![
            part.label.clone(),
            group.map_or(0, |group| group.done().count()).to_string(),
            mm(part.estimate.point),
            or_dash(Some(interval(&part.estimate, mm)).filter(|ends| !ends.is_empty())),
            or_dash((!shares.is_empty()).then(|| format!("{:.1}", mean(&shares)))),
            or_dash(loss) + least,
        ];
        if many {
            cells.push(match (place, part.p_adjusted) {
                (0, _) => "the best".to_owned(),
                (_, Some(p)) if p < ALPHA && is_of_networks => "this network is worse".to_owned(),
                (_, Some(p)) if p < ALPHA => "worse, with evidence".to_owned(),
                _ => "not shown to be worse".to_owned(),
            });
        }
        if let Some(guess) = guess {
            let than_guessing = change(part.estimate.point - guess);
            cells.push(if part.estimate.point < guess { than_guessing } else { format!("{than_guessing}, worse") });
        }
        cells
    };
    TextTable { columns, rows: ranking.parts.iter().take(MOST).enumerate().map(row).collect() }
}

/// A difference; what would be shown as zero is small and not nothing.
fn amount(difference: f64, unit: ErrorUnit) -> String {
    if difference < 0.005 { format!("less than 0.01 {unit}") } else { format!("{} {unit}", mm(difference)) }
}

/// The words under the leaderboard.
pub(super) fn caption(answer: &Answer) -> String {
    let left_out = match answer.left_out {
        0 => None,
        1 => Some("The table of configurations has 1 more.".to_owned()),
        n => Some(format!("The table of configurations has {n} more.")),
    };
    answer.about_errors.iter().cloned().chain(left_out).collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{Scenario, sweep};
    use super::*;
    use crate::findings::findings;

    fn answered(sweep: &SweepRecords) -> Answer {
        answer(sweep, &groups(sweep), &findings(sweep)).expect("configurations to compare")
    }

    #[test]
    fn the_answer_is_as_certain_as_the_ranking() {
        for (count, seeds) in [(1, 3), (2, 1), (8, 1), (2, 2), (4, 6), (30, 2)] {
            let sweep = sweep(count, seeds, Scenario::Realistic);
            let found = findings(&sweep);
            let ranking = found.iter().find(|f| f.id == "ranking").unwrap();
            let answer = answered(&sweep);
            assert_eq!(answer.verdict, ranking.verdict);
            let expected = match (count, ranking.verdict) {
                (1, _) => "one configuration",
                (_, Verdict::Evidence) => "evidence",
                (_, Verdict::NetworksDiffer) => "one seed each",
                _ => "undecided",
            };
            assert_eq!(answer.strength, expected, "{}", answer.sentence);
            assert_eq!(answer.by_loss.is_some(), count > 1);
            assert_eq!(answer.leaderboard.rows.len() + answer.left_out, count);
            let errors: Vec<f64> = answer.leaderboard.rows.iter().map(|row| row[2].parse().unwrap()).collect();
            assert!(errors[1..].is_sorted(), "{errors:?}");
            assert!(answer.leaderboard.rows.iter().all(|row| row.len() == answer.leaderboard.columns.len()));
            if seeds == 1 {
                assert!(answer.sentence.contains("run several"), "{}", answer.sentence);
                let cells = answer.leaderboard.rows.concat();
                assert!(cells.iter().all(|cell| !cell.contains("with evidence")), "{cells:?}");
            }
        }
    }

    #[test]
    fn one_image_tells_no_configuration_from_another() {
        let mut one = sweep(2, 3, Scenario::Realistic);
        for trial in &mut one.trials {
            trial.landmarks.retain(|row| row.image == "001.png");
        }
        let answer = answered(&one);
        assert_eq!(answer.strength, "too few images", "{}", answer.sentence);
        assert!(answer.leaderboard.rows[1].contains(&"not shown to be worse".to_owned()));
    }

    #[test]
    fn what_is_worse_than_guessing_says_so() {
        let all = SweepRecords { mean_shape_mre: Some(0.1), ..sweep(3, 3, Scenario::Realistic) };
        assert!(answered(&all).leaderboard.rows.iter().all(|row| row.last().unwrap().ends_with("worse")));
    }
}
