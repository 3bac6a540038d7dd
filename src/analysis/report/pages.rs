//! How much of a large sweep one page shows, and what it says about the rest: all of it stands in `findings.json`,
//! `summary.csv` and the further pages of trials.

use crate::findings::Finding;
use crate::groups::Group;

/// Trials on a page.
pub(super) const TRIALS: usize = 200;
/// Configurations in the table of a page.
const CONFIGURATIONS: usize = 200;
/// Findings of one kind, and parts of one finding.
const FINDINGS: usize = 60;
const PARTS: usize = 60;

/// Name of a further page of trials, from 2.
pub(super) fn file(page: usize) -> String {
    format!("trials-{page}.html")
}

/// The findings that a page shows, in their order, and a sentence about the others. With many, those of least corrected
/// p-value are shown; what tests nothing is always.
pub(super) fn findings(all: Vec<&Finding>) -> (Vec<&Finding>, Option<String>) {
    if all.len() <= FINDINGS {
        return (all, None);
    }
    let p = |finding: &Finding| finding.p_adjusted.unwrap_or(if finding.tests > 0 { 1.0 } else { -1.0 });
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|a, b| p(all[*a]).total_cmp(&p(all[*b])));
    let left = order.split_off(FINDINGS);
    let evident = left.iter().filter(|at| p(all[**at]) < crate::findings::ALPHA).count();
    order.sort_unstable();
    let others = match evident {
        0 => "none of them with evidence".to_owned(),
        n => format!("{n} of them with evidence"),
    };
    let words = format!("{} more findings like these stand in findings.json, {others}.", left.len());
    (order.into_iter().map(|at| all[at]).collect(), Some(words))
}

/// The parts of a finding in words, as many as a page shows, and a sentence about the others.
pub(super) fn parts(finding: &Finding) -> Vec<String> {
    let mut shown: Vec<String> = finding.parts.iter().take(PARTS).map(super::markdown::part_in_words).collect();
    let left = finding.parts.len() - shown.len();
    if left > 0 {
        shown.push(format!("{left} more stand in findings.json, id {}", finding.id));
    }
    shown
}

/// The configurations that a page's table shows, and a sentence about the others. With many, those of least error come first.
pub(super) fn configurations<'a, 'b>(groups: &'b [Group<'a>]) -> (Vec<&'b Group<'a>>, Option<String>) {
    if groups.len() <= CONFIGURATIONS {
        return (groups.iter().collect(), None);
    }
    let error = |group: &Group<'_>| {
        let errors: Vec<f64> = group.trials.iter().filter_map(|trial| Some(trial.best_error()?.mre())).collect();
        if errors.is_empty() { f64::INFINITY } else { crate::statistics::mean(&errors) }
    };
    let mut order: Vec<&Group<'_>> = groups.iter().collect();
    order.sort_by_cached_key(|group| error(group).to_bits());
    order.truncate(CONFIGURATIONS);
    let words = format!(
        "Shown: the {CONFIGURATIONS} configurations of least error of {}; summary.csv holds the trials of all.",
        groups.len()
    );
    (order, Some(words))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::html::html;
    use super::super::markdown::markdown;
    use super::super::{Conclusions, Content};
    use super::*;
    use crate::findings::{Onsets, SourceRecords, Statement, Topic};
    use crate::report::series::groups;
    use crate::report::synthetic::{Scenario, sweep};

    fn nothing(onsets: &Onsets) -> Content<'_> {
        Content { findings: &[], onsets, images: None }
    }

    #[test]
    fn many_trials_are_on_pages_each_once_the_best_first() {
        let records = sweep(225, 2, Scenario::Realistic);
        let pages = html(&records, nothing(&Onsets::new()), &Conclusions::default(), &BTreeMap::new()).unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["index.html", "trials-2.html", "trials-3.html"]);
        let cell = |id: &str| format!("<td>{id}</td>");
        for trial in &records.trials {
            let on: usize = pages.iter().map(|(_, page)| page.matches(&cell(&trial.id)).count()).sum();
            assert_eq!(on, 1, "{}", trial.id);
        }
        let error = |at: usize| records.trials[at].best_error().unwrap().mre();
        let best = (0..records.trials.len()).min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap();
        assert!(pages[0].1.contains(&cell(&records.trials[best].id)));
        assert!(pages[0].1.contains(r#"<a href="trials-3.html">401–450</a>"#));
        assert!(pages[2].1.contains(r#"<a href="index.html#trials">1–200</a>"#));
        let text = markdown(&records, &[], &Conclusions::default(), &[]);
        assert!(text.contains("the 200 configurations of least error of 225"), "{text}");
        assert!(pages[0].1.contains("the 200 configurations of least error of 225"));
        assert_eq!(text.matches("\n| ").count(), 201);
    }

    #[test]
    fn few_trials_are_on_one_page_in_the_order_of_the_plan() {
        let records = sweep(3, 2, Scenario::Realistic);
        let pages = html(&records, nothing(&Onsets::new()), &Conclusions::default(), &BTreeMap::new()).unwrap();
        assert_eq!(pages.len(), 1);
        let at = |id: &str| pages[0].1.find(&format!("<td>{id}</td>")).unwrap();
        assert!(records.trials.windows(2).all(|pair| at(&pair[0].id) < at(&pair[1].id)));
        assert_eq!(configurations(&groups(&records)).0.len(), 3);
    }

    #[test]
    fn findings_that_a_page_leaves_out_are_counted() {
        let finding = |at: usize, p: f64| {
            let rows = SourceRecords { file: "landmarks.csv", select: String::new(), trials: Vec::new() };
            let statement = Statement::Overfitting { curve: "loss", onsets: Vec::new(), judged: at };
            let mut finding = Finding::new(format!("f{at}"), Topic::Effects, statement, rows);
            (finding.p_adjusted, finding.tests) = (Some(p), 100);
            finding
        };
        // The first ten have no evidence.
        let all: Vec<Finding> = (0..80).map(|at| finding(at, if at < 10 { 0.9 } else { 0.001 * at as f64 })).collect();
        let (shown, words) = findings(all.iter().collect());
        assert_eq!(shown.len(), FINDINGS);
        assert_eq!((shown[0].id.as_str(), shown[59].id.as_str()), ("f10", "f69"));
        assert_eq!(words.unwrap(), "20 more findings like these stand in findings.json, none of them with evidence.");
        assert!(findings(all[..60].iter().collect()).1.is_none());
    }
}
