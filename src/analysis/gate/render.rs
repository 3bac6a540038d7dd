//! The gate's result for machines and reviewers: JUnit, Markdown, GitHub annotations.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use sweep_core::error::{Error, Kind, Result};
use sweep_core::plain;

use super::{GateReport, Quantity, Test, Verdict};
use crate::escape;
use crate::format::{p_value, signed};

/// Number of annotations of each kind that GitHub shows.
const MOST_ANNOTATIONS: usize = 10;
/// Rows of a job summary, which may be 1 MiB; further rows are only counted.
const MOST_ROWS: usize = 2000;

fn decimals(quantity: &Quantity) -> usize {
    if quantity.is_share() { 1 } else { 3 }
}

/// `MRE +0.012 mm (95 % interval −0.010 to +0.034 mm), margin 0.1 mm`.
pub(super) fn in_words(test: &Test) -> String {
    let figures = decimals(&test.quantity);
    let show = |value: f64| signed(value, figures);
    let unit = test.quantity.unit(test.unit);
    let [low, high] = test.change.interval.map(show);
    format!(
        "{} {} {unit} against the baseline (95 % interval {low} to {high}), margin {} {unit}",
        test.quantity.name(),
        show(test.change.point),
        test.margin
    )
}

impl Test {
    /// One line for a terminal.
    #[must_use]
    pub fn line(&self) -> String {
        let n = self.change.n;
        format!(
            "{}: {}; {} images, {} seed{}",
            self.configuration,
            in_words(self),
            n.images,
            n.seeds,
            if n.seeds == 1 { "" } else { "s" }
        )
    }
}

/// JUnit XML with a test case per comparison; an inconclusive one is an error, because it is no pass.
///
/// # Errors
/// Never in practice: it is written to memory.
pub fn junit(checked: &GateReport) -> Result<String> {
    let mut suite = TestSuite::new("sweep check");
    for test in &checked.tests {
        let status = match test.verdict {
            Verdict::Pass => TestCaseStatus::success(),
            Verdict::Fail => non_success(NonSuccessKind::Failure, "regression", &in_words(test)),
            Verdict::Inconclusive => non_success(NonSuccessKind::Error, "inconclusive", &in_words(test)),
        };
        let mut case = TestCase::new(test.quantity.name(), status);
        case.set_classname(test.configuration.clone());
        case.set_system_out(format!("{}; corrected {}", in_words(test), p_value(test.p_worse)));
        suite.add_test_case(case);
    }
    serialise(suite)
}

/// JUnit XML of a comparison that could not be made: an error, never an empty and so passing report.
///
/// # Errors
/// Never in practice.
pub fn junit_of_error(error: &Error) -> Result<String> {
    let mut suite = TestSuite::new("sweep check");
    let status = non_success(NonSuccessKind::Error, "no comparison", &error.to_string());
    suite.add_test_case(TestCase::new("comparison", status));
    serialise(suite)
}

fn non_success(kind: NonSuccessKind, what: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(what).set_message(message);
    status
}

fn serialise(suite: TestSuite) -> Result<String> {
    let mut report = Report::new("sweep");
    report.add_test_suite(suite);
    report.to_string().map_err(|e| Error::new(Kind::Computation, format!("cannot write JUnit XML: {e}")))
}

/// Markdown for a job summary or a pull request, failed tests first.
#[must_use]
pub fn markdown(checked: &GateReport) -> String {
    let mut lines = vec![
        format!("## Landmark error against the baseline: {}", checked.verdict.name()),
        String::new(),
        "| configuration | quantity | change | 95 % interval | margin | verdict |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    let mut order: Vec<&Test> = checked.tests.iter().collect();
    order.sort_by_key(|test| (std::cmp::Reverse(test.verdict), matches!(test.quantity, Quantity::Landmark(_))));
    lines.extend(order.iter().take(MOST_ROWS).map(|test| row(test)));
    if order.len() > MOST_ROWS {
        lines.push(format!("\n{} more comparisons are not shown.", order.len() - MOST_ROWS));
    }
    lines.extend(checked.warnings.iter().map(|warning| format!("\n> {}", escape::text(warning))));
    lines.push(format!(
        "\nPaired by seed and image; landmarks of an image stay together. The MRE decides: *pass* is an interval below the \
         margin, *FAIL* one above it (corrected for the number of configurations), anything else is inconclusive. Single \
         landmarks, the share within {} {} and measures can only fail.\n",
        checked.unit.radii()[0],
        checked.unit
    ));
    lines.join("\n")
}

fn row(test: &Test) -> String {
    let figures = decimals(&test.quantity);
    let [low, high] = test.change.interval.map(|end| signed(end, figures));
    format!(
        "| {} | {} | {} {} | {low} to {high} | {} | {} |",
        escape::text(&test.configuration),
        escape::text(&test.quantity.name()),
        signed(test.change.point, figures),
        test.quantity.unit(test.unit),
        test.margin,
        test.verdict.name()
    )
}

/// Markdown of a comparison that could not be made.
#[must_use]
pub fn markdown_of_error(error: &Error) -> String {
    format!("## Landmark error against the baseline: no comparison\n\n{}", escape::block(&error.to_string()))
}

/// Workflow commands that GitHub shows on a run: errors for what failed, warnings for the rest, at most ten of a kind.
#[must_use]
pub fn annotations(outcome: Result<&GateReport, &Error>) -> Vec<String> {
    let command =
        |kind: &str, title: &str, message: &str| format!("::{kind} title={}::{}", property(title), data(message));
    match outcome {
        Err(error) => vec![command("error", "Landmark error: no comparison", &error.to_string())],
        Ok(checked) => {
            let of = |verdict: Verdict, kind: &'static str| {
                let tests = checked.tests.iter().filter(move |t| t.verdict == verdict);
                tests.map(move |t| command(kind, &format!("Landmark error: {}", t.configuration), &in_words(t)))
            };
            let warnings = checked.warnings.iter().map(|w| command("warning", "Landmark error", w));
            let errors = of(Verdict::Fail, "error").take(MOST_ANNOTATIONS);
            errors.chain(of(Verdict::Inconclusive, "warning").chain(warnings).take(MOST_ANNOTATIONS)).collect()
        }
    }
}

/// Escapes the text of a workflow command.
fn data(text: &str) -> String {
    plain::text(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
