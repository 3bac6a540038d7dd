//! Sentences are checked against their statistic, over reports of many kinds.

use super::*;
use crate::report::synthetic::{Scenario, sweep};

/// Words that a sentence may use only with a statistic behind them.
fn check(finding: &Finding, what: &str) {
    let sentence = &finding.sentence;
    let told = || format!("{what}, {}: {sentence}\n{:?}", finding.id, finding.estimate);
    assert!(!sentence.contains("NaN") && !sentence.contains("inf ") && !sentence.contains("()"), "{}", told());
    // One sign for minus: a hyphen before a digit would be another.
    let characters: Vec<char> = sentence.chars().collect();
    let is_minus = |w: &[char]| [' ', '('].contains(&w[0]) && w[1] == '-' && w[2].is_ascii_digit();
    assert!(!characters.windows(3).any(is_minus), "{}", told());
    for one in ["1 seeds", "1 images", "1 trials", "1 landmarks", "1 configurations", "1 others"] {
        let at = sentence.find(one);
        let is_whole = at.is_some_and(|at| !sentence[..at].ends_with(|c: char| c.is_ascii_digit() || c == '.'));
        assert!(!is_whole, "{}", told());
    }
    if finding.verdict == Verdict::Evidence && finding.topic != Topic::Overfitting {
        let estimate = finding.estimate.as_ref().unwrap();
        let null = if finding.unit == Unit::Factor { 1.0 } else { 0.0 };
        assert!(finding.p_adjusted.unwrap() < ALPHA, "{}", told());
        assert!(estimate.excludes(null), "{}", told());
        assert!(estimate.n.seeds != 1, "{}", told());
        assert!(!sentence.contains("no evidence") && !sentence.contains("not shown"), "{}", told());
    }
    if let (Verdict::NoEvidence, Some(p)) = (finding.verdict, finding.p_adjusted) {
        assert!(p >= ALPHA, "{}", told());
        let says = ["no evidence", "No evidence", "not shown", "none found"];
        assert!(says.iter().any(|say| sentence.contains(say)), "{}", told());
        let null = if finding.unit == Unit::Factor { 1.0 } else { 0.0 };
        let ends = finding.estimate.as_ref().filter(|_| finding.topic != Topic::Ranking);
        assert!(ends.is_none_or(|e| !e.excludes(null) || e.interval[0].is_nan()), "{}", told());
    }
    if finding.verdict == Verdict::NetworksDiffer {
        assert_eq!(finding.estimate.as_ref().unwrap().n.seeds, 1, "{}", told());
        assert!(sentence.contains("these trained networks") || sentence.contains("this trained network"), "{}", told());
    }
    for share in finding.parts.iter().filter(|part| matches!(part.unit, Unit::Percent) && finding.id == "tail") {
        let [low, high] = share.estimate.interval;
        assert!(!(low < 0.0 || high > 100.0), "{}", told());
    }
    for error in finding
        .parts
        .iter()
        .filter(|part| part.unit.is_of_errors() && ["ranking", "hard"].contains(&finding.id.as_str()))
    {
        assert!(error.estimate.interval[0].is_nan() || error.estimate.interval[0] >= 0.0, "{}: {error:?}", told());
    }
}

#[test]
fn no_sentence_says_more_than_its_statistic() {
    for scenario in Scenario::ALL {
        let sizes: &[(usize, u64)] =
            if scenario == Scenario::Realistic { &[(1, 1), (2, 1), (3, 6)] } else { &[(2, 2)] };
        for (groups, seeds) in sizes.iter().copied() {
            let records = sweep(groups, seeds, scenario);
            for finding in findings(&records) {
                check(&finding, &format!("{scenario:?}, {groups} groups, {seeds} seeds"));
            }
        }
    }
}

#[test]
fn deciding_findings_are_those_of_the_whole_report() {
    for (groups, seeds) in [(1, 1), (2, 2), (4, 3)] {
        let records = sweep(groups, seeds, Scenario::Realistic);
        let is_deciding = |f: &Finding| matches!(f.topic, Topic::Failures | Topic::Effects | Topic::Ranking);
        let all: Vec<Finding> = findings(&records).into_iter().filter(is_deciding).collect();
        assert!(!all.is_empty());
        // As text, because estimates without an interval are not equal to themselves.
        assert_eq!(format!("{:?}", deciding(&records)), format!("{all:?}"));
    }
}
