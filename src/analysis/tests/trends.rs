//! Findings on axes of many values, and on axes that a search drew together.

use super::*;
use crate::Drawn;
use crate::power::Comparisons;
use crate::statistics::Shape;

/// Twelve points that a search drew: the error has its least value at a learning rate of 0.01, and nothing to do with σ.
fn searched(drawn: Drawn) -> SweepRecords {
    let points = (0..12u64).map(|i| {
        let lr = 10f64.powf(-4.0 + 3.0 * i as f64 / 11.0);
        let sigma = 2.0 + noise(40 + i);
        let error = 1.0 + (lr.log10() + 2.0).abs();
        let [lr, sigma] = [lr, sigma].map(|value| value.to_string());
        trial(&[("optimizer.lr", &lr), ("heatmap.sigma", &sigma)], 0, error, 1e-3)
    });
    SweepRecords { drawn: Some(drawn), ..sweep(points.collect()) }
}

#[test]
fn a_search_tells_what_each_axis_does_and_compares_no_two_points() {
    let found = findings(&searched(Drawn::Independently));
    let ids: Vec<&str> = found.iter().filter(|f| f.topic == Topic::Effects).map(|f| f.id.as_str()).collect();
    assert_eq!(ids, ["trend/optimizer.lr", "trend/heatmap.sigma"]);
    let lr = of(&found, "trend/optimizer.lr");
    assert_eq!((lr.verdict, lr.tests), (Verdict::Evidence, 2), "{}", lr.sentence);
    let Statement::Trend { shape, best: Some((count, [from, to])), .. } = &lr.statement else { panic!("no trend") };
    assert_eq!((*shape, *count), (Some(Shape::LeastBetween), 3));
    let [from, to] = [from, to].map(|value| value.parse::<f64>().unwrap());
    assert!(0.003 < from && from < 0.01 && 0.01 < to && to < 0.03, "{from} {to}");
    assert!(lr.sentence.starts_with("`optimizer.lr`: the error is least for values in between, which explains"));
    assert_eq!(of(&found, "trend/heatmap.sigma").verdict, Verdict::NoEvidence);
    assert!(found.iter().all(|f| f.topic != Topic::Convergence && f.topic != Topic::Interactions));
    assert!(matches!(of(&found, "ranking").statement, Statement::Ranking { .. }));
}

#[test]
fn what_chose_its_points_by_their_errors_is_described() {
    let found = findings(&searched(Drawn::ByErrors));
    let lr = of(&found, "trend/optimizer.lr");
    assert_eq!((lr.verdict, lr.p_value, lr.tests), (Verdict::Described, None, 0));
    assert!(lr.caveats.iter().any(|caveat| caveat.starts_with("Not tested")), "{:?}", lr.caveats);
    let mut few = searched(Drawn::Independently);
    few.trials.truncate(5);
    let few = findings(&few);
    let lr = of(&few, "trend/optimizer.lr");
    assert_eq!(lr.verdict, Verdict::TooFew);
    assert!(lr.sentence.contains("too few configurations"), "{}", lr.sentence);
}

#[test]
fn an_axis_of_many_values_is_judged_along_them_in_each_setting_of_the_others() {
    // Nine widths and two losses that differ by far more than the widths do.
    let error = |loss: &str, width: u64| if loss == "l1" { 9.0 } else { 1.0 } + 0.05 * width as f64;
    let trials = (1..=9u64).flat_map(|width| {
        ["l1", "nll"]
            .map(|loss| trial(&[("loss.name", loss), ("model.width", &width.to_string())], 0, error(loss, width), 1e-3))
    });
    let found = findings(&sweep(trials.collect()));
    let width = of(&found, "trend/model.width");
    assert_eq!(width.verdict, Verdict::Evidence, "{}", width.sentence);
    assert!(width.sentence.contains("the error rises as the value grows"), "{}", width.sentence);
    // The losses are compared as ever, and share the error rate with the widths.
    assert_eq!(of(&found, "effect/loss.name/l1/nll").tests, 2);
    assert!(found.iter().all(|f| !f.id.starts_with("effect/model.width")));
    let points: Vec<Vec<(String, String)>> = (0..9)
        .flat_map(|width| {
            ["l1", "nll"].map(|loss| vec![("loss.name".into(), loss.into()), ("w".into(), width.to_string())])
        })
        .collect();
    assert_eq!(Comparisons::of(&points, None), Some(Comparisons { count: 2, contexts: 9 }));
}

#[test]
fn kinds_are_compared_by_their_medians() {
    let points = (0..12u64).map(|i| {
        let (loss, lr) = (["l1", "nll"][i as usize % 2], (1.0 + i as f64).to_string());
        trial(
            &[("loss.name", loss), ("optimizer.lr", &lr)],
            0,
            if loss == "l1" { 3.0 } else { 1.0 } + 0.01 * noise(i),
            1e-3,
        )
    });
    let found = findings(&SweepRecords { drawn: Some(Drawn::Independently), ..sweep(points.collect()) });
    let loss = of(&found, "trend/loss.name");
    assert_eq!(loss.verdict, Verdict::Evidence, "{}", loss.sentence);
    assert!(loss.sentence.contains("Median errors: nll 1."), "{}", loss.sentence);
    assert_eq!((loss.parts.len(), loss.picture), (2, None));
}
