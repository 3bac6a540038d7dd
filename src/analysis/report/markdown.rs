//! `report.md`, for a pull request: question, findings, groups and figures.

use std::fmt::Write as _;

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::State;

use super::Conclusions;
use super::figure::FIGURES;
use super::folds;
use super::pages;
use super::series::{Group, groups, kinds, mean, sd};
use crate::escape;
use crate::findings::{Finding, Part, Unit};
use crate::format::{counted, fixed, interval, mm, number, p_value, signed};
use crate::{SweepRecords, TrialRecords};

/// The report's text; `figures` are the names of those that exist.
pub(super) fn markdown(
    sweep: &SweepRecords,
    findings: &[Finding],
    conclusions: &Conclusions,
    figures: &[&str],
) -> String {
    let sweep = &*sweep.pooled();
    let groups = groups(sweep);
    let mut text = format!("# Sweep {}\n\n", escape::text(&sweep.name));
    if let Some(question) = &sweep.question {
        text.push_str(&escape::text(question));
        text.push_str("\n\n");
    }
    for (key, noted) in sweep.noted() {
        text += &["- ", &escape::text(key), ": ", &escape::text(noted), "\n"].concat();
    }
    if sweep.noted().next().is_some() {
        text.push('\n');
    }
    if groups.is_empty() {
        text += "No trial has left records yet.\n";
        return text;
    }
    if let Some(answer) = &conclusions.answer {
        let words: Vec<&str> = [Some(&answer.sentence), answer.effects.as_ref(), answer.by_loss.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let _ = writeln!(text, "**{}**: {}\n", answer.strength, escape::text(&words.join(" ")));
    }
    let mut left: Vec<&str> = FIGURES.iter().map(|of| of.file).filter(|file| figures.contains(file)).collect();
    text += &findings_by_topic(findings, &mut left);
    text += &table(sweep, &groups, findings, conclusions);
    for file in left {
        let _ = write!(text, "\n{}", picture(file));
    }
    text
}

/// A figure in the text.
fn picture(file: &str) -> String {
    let title = FIGURES.into_iter().find(|of| of.file == file).map_or("", |of| of.title);
    format!("![{title}]({file})\n")
}

/// Findings by topic, each with its verdict, beside the pictures that show them; details are folded. Takes the shown pictures from
/// those that are left.
fn findings_by_topic(findings: &[Finding], left: &mut Vec<&str>) -> String {
    let mut lines: Vec<String> = Vec::new();
    let said: Vec<&Finding> = findings.iter().filter(|f| !f.sentence.is_empty()).collect();
    for of_topic in said.chunk_by(|a, b| a.topic == b.topic) {
        let (shown, left_out) = pages::findings(of_topic.to_vec());
        lines.push(format!("## {}\n", of_topic[0].topic.name()));
        for finding in shown {
            lines.push(format!("- **{}**: {}", finding.badge(), escape::sentence(&finding.sentence)));
            lines.extend(details(finding));
        }
        lines.extend(left_out.map(|words| words + "\n"));
        for finding in of_topic {
            if let Some(at) = left.iter().position(|file| finding.picture == Some(*file)) {
                lines.push(picture(left.remove(at)));
            }
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Parts, caveats and records of a finding, folded.
fn details(finding: &Finding) -> Vec<String> {
    let mut lines = vec!["  <details><summary>numbers, caveats, records</summary>\n".to_owned()];
    lines.extend(pages::parts(finding).iter().map(|part| format!("  - {}", escape::sentence(part))));
    lines.extend(finding.caveats.iter().map(|caveat| format!("  - *{}*", escape::sentence(caveat))));
    if let Some(estimate) = &finding.estimate {
        lines.push(format!("  - Method: {}; {}.", estimate.method.describe(), sample(finding)));
    }
    let picture = finding.picture.map_or_else(String::new, |picture| format!(" Picture: `{picture}`."));
    lines.push(format!("  - Records: `{}`, {}.{picture}", finding.rows.file, escape::sentence(&finding.rows.select)));
    lines.push("\n  </details>\n".to_owned());
    lines
}

/// Sample size of a finding's estimate.
pub(super) fn sample(finding: &Finding) -> String {
    let Some(n) = finding.estimate.as_ref().map(|e| e.n) else { return String::new() };
    let counts = [(n.seeds, "seed"), (n.images, "image"), (n.landmarks, "image × landmark pair")];
    counts.iter().filter(|c| c.0 > 0).map(|(count, what)| counted(*count, what)).collect::<Vec<_>>().join(", ")
}

/// `smooth-l1: 1.52 mm (1.40 to 1.66), p = 0.02, note`.
pub(super) fn part_in_words(part: &Part) -> String {
    let show = |value: f64| in_unit(value, part.unit);
    let ends = interval(&part.estimate, show);
    let ends = if ends.is_empty() { ends } else { format!(" ({ends})") };
    let mut parts = vec![format!("{}: {}{}{ends}", part.label, show(part.estimate.point), unit_sign(part.unit))];
    parts.extend(part.p_adjusted.map(|p| format!("corrected {}", p_value(p))));
    parts.extend(Some(part.note.clone()).filter(|note| !note.is_empty()));
    parts.join("; ")
}

/// A number with the usual precision of its unit.
pub(super) fn in_unit(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Millimetres | Unit::Pixels => mm(value),
        Unit::Points => signed(value, 1),
        Unit::Percent => fixed(value, 1),
        Unit::Factor | Unit::Share => number(value),
        Unit::Tau | Unit::Rho => signed(value, 2),
    }
}

pub(super) fn unit_sign(unit: Unit) -> &'static str {
    match unit {
        Unit::Millimetres => " mm",
        Unit::Pixels => " px",
        Unit::Points => " percentage points",
        Unit::Percent => " %",
        Unit::Factor => " times",
        Unit::Share | Unit::Tau | Unit::Rho => "",
    }
}

/// A table in Markdown.
fn lines(table: &folds::TextTable) -> String {
    let line =
        |cells: &[String]| format!("| {} |\n", cells.iter().map(|c| escape::text(c)).collect::<Vec<_>>().join(" | "));
    let rows: String = table.rows.iter().map(|row| line(row)).collect();
    format!("{}{}|\n{rows}", line(&table.columns), "|---".repeat(table.columns.len()))
}

fn table(sweep: &SweepRecords, groups: &[Group<'_>], findings: &[Finding], conclusions: &Conclusions) -> String {
    let mut text = match folds::configurations(groups, findings, sweep.unit) {
        Some(table) => format!("## Configurations\n\n{}\n{}\n", lines(&table), folds::CAPTION),
        None => single_split_table(groups, sweep.unit),
    };
    let absent =
        sweep.trainings().filter(|t| t.status.state != State::Done).count() + sweep.planned - sweep.trainings().count();
    if absent > 0 {
        let of = counted(sweep.planned, "trial");
        let where_they_are = if sweep.is_pooled() {
            "a cross-validation that misses one is in no picture, no number and no finding that compares"
        } else {
            "they are in this table as far as they went, and in no finding that compares"
        };
        text += &[&absent.to_string(), " of ", &of, " are not done: ", where_they_are, ".\n"].concat();
    }
    if kinds(groups).len() > 1 {
        let unit = sweep.unit.name();
        let _ =
            writeln!(text, "The groups differ in what their loss measures: loss values do not rank them, {unit} do.");
    }
    text += &escape::text(&references(sweep).join(" "));
    text = text.trim_end().to_owned() + "\n";
    if let Some(table) = folds::landmarks(findings) {
        text += &["\n## Landmarks\n\n", &lines(&table), "\n", &folds::landmark_caption(sweep.unit), "\n"].concat();
    }
    if let Some(of) = &conclusions.measures {
        text += &["\n## Measures\n\n", &lines(&of.agreement), "\n", &of.caption, "\n"].concat();
        if let Some((best, caption)) = &of.best {
            text += &["\n", &lines(best), "\n", caption, "\n"].concat();
        }
    }
    text
}

/// Table of groups of trials that were all evaluated on the same images.
fn single_split_table(groups: &[Group<'_>], unit: ErrorUnit) -> String {
    let radius = unit.radii()[0];
    let (column, chosen) = error_at_best(groups);
    let (test_column, test_caption) = if has_test(groups) {
        (format!(" MRE on test images ({unit}) |"), " Test images trained nothing and chose no epoch.")
    } else {
        (String::new(), "")
    };
    let mut text = format!(
        "## Configurations\n\n| group | seeds | state | {column} ({unit}) | within {radius} {unit} (%) \
         | least validation loss | MRE at least loss ({unit}) | selection regret ({unit}) |{test_column}\n\
         |---|---|---|---|---|---|---|---|{}\n",
        if test_column.is_empty() { "" } else { "---|" }
    );
    let (shown, left_out) = pages::configurations(groups);
    for group in shown {
        text += &row(group, has_test(groups));
    }
    text += &left_out.map_or_else(String::new, |words| format!("\n{words}\n"));
    let _ = write!(
        text,
        "\nMean ± standard deviation over seeds, each trial at its own best epoch on the validation images; \
         within {radius} {unit}: at that epoch, {chosen}. MRE: mean radial error. Selection regret: how much larger the \
         error is at the epoch of least validation loss than at the best epoch.{test_caption}\n"
    );
    text
}

/// Said of a sweep whose finished trials have no validation image.
pub const NOTHING_MEASURED: &str = "No image validated these trainings, so no landmark error was measured: the error to \
                                    expect is that of the cross-validation that tried how they are trained.";

/// Reference errors, and landmarks without any error.
pub(super) fn references(sweep: &SweepRecords) -> Vec<String> {
    let known = [
        (sweep.mean_shape_mre, "Guessing the training images' mean shape for every image"),
        (sweep.observer_mre_mm, "Observers among themselves"),
    ];
    let errors = known.iter().filter_map(|(error, what)| Some(format!("{what}: {} {}.", mm((*error)?), sweep.unit)));
    let some = if sweep.trainings().any(|trial| trial.fold.is_some()) { " of some folds" } else { "" };
    let landmarks = [
        (&sweep.untrained, format!("Landmarks marked in no training image{some}, there neither trained nor measured")),
        (&sweep.unmeasured, "Landmarks marked in no validation image, not measured".to_owned()),
    ];
    let missing = landmarks.into_iter().filter(|(names, _)| !names.is_empty());
    let damaged =
        sweep.left_out.iter().map(|(id, why)| format!("Left out, because its records are damaged: {id} ({why})."));
    let nothing = sweep.measures_nothing().then(|| NOTHING_MEASURED.to_owned());
    let errors = nothing.into_iter().chain(errors).chain(damaged);
    errors.chain(missing.map(|(names, what)| format!("{what}: {}.", names.join(", ")))).collect()
}

/// The column of errors at the best epoch, and how that epoch is chosen.
pub(super) fn error_at_best(groups: &[Group<'_>]) -> (String, String) {
    match groups.iter().flat_map(|group| &group.trials).next().filter(|trial| !trial.objective.is_default()) {
        None => ("least validation MRE".to_owned(), "that of least MRE".to_owned()),
        Some(trial) => {
            let chosen = format!("the {}, by the objective, so another may have a smaller MRE", trial.best_at());
            (format!("validation MRE at the {}", trial.best_at()), chosen)
        }
    }
}

/// Whether a trial of these groups was scored on test images.
pub(super) fn has_test(groups: &[Group<'_>]) -> bool {
    groups.iter().flat_map(|group| &group.trials).any(|trial| !trial.test.is_empty())
}

fn row(group: &Group<'_>, with_test: bool) -> String {
    let cells: Vec<String> = row_of_group(group, with_test).iter().map(|cell| escape::text(cell)).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A group's cells in the table of configurations, the last one for test images.
pub(super) fn row_of_group(group: &Group<'_>, with_test: bool) -> Vec<String> {
    let of = |value: &dyn Fn(&TrialRecords) -> Option<f64>| -> Vec<f64> {
        group.trials.iter().filter_map(|t| value(t)).filter(|v| v.is_finite()).collect()
    };
    let error = of(&|t| Some(t.best_error()?.mre()));
    let within = of(&|t| Some(t.best_error()?.sdr()[0]));
    let loss = of(&|t| Some(t.best_loss()?.val_loss));
    let at_loss = of(&|t| Some(t.best_loss()?.mre()));
    let regret = of(&|t| Some(t.best_loss()?.mre() - t.best_error()?.mre()));
    let loss = if loss.is_empty() { "–".to_owned() } else { number(mean(&loss)) };
    let mut cells = vec![
        group.label.clone(),
        group.trials.len().to_string(),
        states(group),
        spread(&error, 2),
        spread(&within, 1),
        loss,
        spread(&at_loss, 2),
        spread(&regret, 2),
    ];
    if with_test {
        cells.push(spread(&of(&TrialRecords::test_mre), 2));
    }
    cells
}

/// The states of a group's trials, in order of appearance.
fn states(group: &Group<'_>) -> String {
    let mut present: Vec<(State, usize)> = Vec::new();
    for state in group.trials.iter().map(|t| t.status.state) {
        match present.iter_mut().find(|(s, _)| *s == state) {
            Some((_, count)) => *count += 1,
            None => present.push((state, 1)),
        }
    }
    match present.as_slice() {
        [(one, _)] => one.name().to_owned(),
        several => several.iter().map(|(s, n)| format!("{n} {}", s.name())).collect::<Vec<_>>().join(", "),
    }
}

fn spread(values: &[f64], decimals: usize) -> String {
    match (values, sd(values)) {
        ([], _) => "–".to_owned(),
        (_, None) => format!("{:.decimals$}", mean(values)),
        (_, Some(sd)) => format!("{:.decimals$} ± {sd:.decimals$}", mean(values)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::findings;
    use crate::report::synthetic::{Scenario, sweep, trial};

    #[test]
    fn the_table_tells_groups_and_embeds_what_exists() {
        let mut records = sweep(2, 2, Scenario::Constant);
        records.trials.push(trial(Scenario::Diverged, 1, 2));
        let found = findings(&records);
        let conclusions = Conclusions::of(&records, &found);
        let text = markdown(&records, &found, &conclusions, &["effects.png", "per_landmark.png"]);
        // The picture stands with the findings that it shows.
        let (effects, topic) = (text.find("](effects.png)").unwrap(), text.find("## What each axis does").unwrap());
        let next = topic + 3 + text[topic + 3..].find("\n## ").unwrap();
        assert!(topic < effects && effects < next && text.matches("](effects.png)").count() == 1, "{text}");
        assert!(text.starts_with("# Sweep loss\n\nDoes the smaller loss") && text.contains("## What each axis does"));
        assert!(
            text.contains("| l1 | 2 | done | 0.25 ± 0.00 | 0.2 ± 0.0 | 0.25 | 0.25 ± 0.00 | 0.00 ± 0.00 |"),
            "{text}"
        );
        assert!(text.contains("| smooth-l1 | 3 | 2 done, 1 diverged |"), "{text}");
        assert!(text.contains("do not rank"));
        assert!(text.contains("(per_landmark.png)") && !text.contains("overlays.png"));
    }

    #[test]
    fn nothing_evaluated_is_a_dash() {
        let text = markdown(&sweep(1, 1, Scenario::NeverEvaluated), &[], &Conclusions::default(), &[]);
        assert!(text.contains("| l1 | 1 | done | – | – | – | – | – |"), "{text}");
        let nothing = markdown(&sweep(0, 0, Scenario::Realistic), &[], &Conclusions::default(), &[]);
        assert!(nothing.contains("No trial"));
    }

    #[test]
    fn names_neither_format_nor_embed() {
        let mut records = sweep(2, 2, Scenario::Constant);
        records.name = "x\n\n<img src=//e>".into();
        records.question = Some("Which?\n\n![a](http://e/b.png) @me".into());
        records.untrained = vec!["sella](http://e)\n# title".into()];
        for trial in &mut records.trials {
            trial.axes = vec![("loss.name".into(), format!("{}\n| <b>", trial.axes[0].1))];
        }
        let found = findings(&records);
        let text = markdown(&records, &found, &Conclusions::of(&records, &found), &[]);
        assert!(!text.contains("<img") && !text.contains("<b>") && !text.contains("![a]("), "{text}");
        assert!(!text.contains("http://") && !text.contains("@me") && !text.contains("\n# title"), "{text}");
        let rows = text.lines().filter(|line| line.starts_with("| ")).count();
        assert_eq!(rows, 3, "{text}");
    }
}
