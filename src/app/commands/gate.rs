//! `sweep baseline` and `sweep check`.

#![expect(clippy::disallowed_methods, reason = "asks whether GitHub is listening")]

use std::path::Path;

use crate::cli;
use sweep_analysis::gate::{self, Baseline, GateReport, Margins, Quantity, Verdict};
use sweep_analysis::load;
use sweep_core::error::{Error, Outcome, Result};
use sweep_core::note;
use sweep_experiment::store::{self, Store};

use super::{emit, ignore_closed_output, print_json_in, results, say};

pub(super) fn baseline(folder: &Path, output: &Path, noise: Option<&Path>) -> Result<Outcome> {
    let records = load::load(&Store::at(folder))?;
    results::report_left_out(&records);
    let mut baseline = gate::collect(&records);
    let unfinished: Vec<String> = baseline
        .configurations
        .iter()
        .flat_map(|c| c.unfinished.iter().map(|(seed, state)| format!("{} seed {seed} is {state}", c.label)))
        .collect();
    for left_out in &unfinished {
        note!("left out: {left_out}");
    }
    baseline.configurations.iter_mut().for_each(|c| c.unfinished.clear());
    baseline.configurations.retain(|c| !c.seeds.is_empty());
    let trials: usize = baseline.configurations.iter().map(|c| c.seeds.len()).sum();
    if trials == 0 {
        return Err(Error::results("no trial of this sweep is done").at(folder.display()).remedy("run it first"));
    }
    if records.measures_nothing() {
        return Err(Error::results("no trial of this sweep measured a landmark error")
            .at(folder.display())
            .remedy("a baseline needs validation images: leave dataset.refit out of the definition"));
    }
    if let Some(folder) = noise {
        let from = gate::collect(&load::load(&Store::at(folder))?);
        if from.unit != baseline.unit {
            let what = format!("the errors of the sweep with the training noise are in {}, others", from.unit.name());
            return Err(Error::input(what)
                .at(folder.display())
                .remedy("name a sweep of the same data set with --noise"));
        }
        if let Some(label) = baseline.take_noise(&from).first() {
            return Err(Error::results(format!("no configuration `{label}` with two finished seeds or more"))
                .at(folder.display())
                .remedy("name a sweep with several seeds of the same configurations with --noise"));
        }
    }
    let one_seed: Vec<&str> =
        baseline.configurations.iter().filter(|c| c.noise.is_none()).map(|c| c.label.as_str()).collect();
    if !one_seed.is_empty() {
        note!(
            "warning: one seed of {}: how much training again changes its error is not known, so that `sweep check` cannot fail; \
             give the definition several seeds, or name a sweep that has them with --noise",
            one_seed.join(", ")
        );
    }
    let json = baseline.to_json()?;
    store::write(output, format!("{json}\n").as_bytes())?;
    say(&format!("{}: {trials} trials", output.display()))?;
    Ok(Outcome::Done)
}

pub(super) fn check(flags: &cli::Check) -> Result<Outcome> {
    let outcome = held_against(flags);
    let on_github = std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true");
    // An impossible comparison is stated in every requested report, so that none reads as a pass.
    let (junit, markdown) = match &outcome {
        Ok(checked) => (gate::junit(checked)?, gate::markdown(checked)),
        Err(error) => (gate::junit_of_error(error)?, gate::markdown_of_error(error)),
    };
    if let Some(file) = &flags.junit {
        store::write(file, junit.as_bytes())?;
    }
    if let Some(file) = &flags.markdown {
        store::write(file, markdown.as_bytes())?;
    }
    if on_github {
        for line in gate::annotations(outcome.as_ref()) {
            ignore_closed_output(emit(&line))?;
        }
    }
    let checked = outcome?;
    ignore_closed_output(if flags.json { print_json_in(checked.unit, &checked) } else { print(&checked) })?;
    Ok(match checked.verdict {
        Verdict::Pass => Outcome::Done,
        Verdict::Fail => Outcome::Failed,
        Verdict::Inconclusive => Outcome::Inconclusive,
    })
}

fn held_against(flags: &cli::Check) -> Result<GateReport> {
    let before = Baseline::read(&flags.baseline)?;
    let records = load::load(&Store::at(&flags.results))?;
    results::report_left_out(&records);
    let now = gate::collect_as(&records, &before.metric);
    let margin = flags.margin.unwrap_or(before.unit.margin());
    let measures = flags.measure_margin.iter().cloned().collect();
    gate::check(&before, &now, &Margins { mre_mm: margin, sdr_points: flags.sdr_margin, measures })
}

/// Prints the MRE and the measures of every configuration, and all failures.
fn print(checked: &GateReport) -> Result<()> {
    let always = |quantity: &Quantity| matches!(quantity, Quantity::Mre | Quantity::Measure { .. });
    for test in checked.tests.iter().filter(|t| always(&t.quantity) || t.verdict == Verdict::Fail) {
        let mark = if test.verdict == Verdict::Pass { String::new() } else { format!(" — {}", test.verdict.name()) };
        say(&format!("{}{mark}", test.line()))?;
    }
    for warning in &checked.warnings {
        note!("warning: {warning}");
    }
    say(&format!("{}: margin {} {}", checked.verdict.name(), checked.margins.mre_mm, checked.unit))
}
