use super::*;
use sweep_core::error::Error;

fn spec(text: &str) -> Result<PruneSpec> {
    let wrong = |path: &[&str], what: &str, right: &str| Error::definition(what).at(path.join(".")).remedy(right);
    PruneSpec::parse(&text.parse().unwrap(), &wrong)
}

fn history(trial: &str, costs: &[f64], over: bool) -> History {
    History { trial: trial.into(), group: "phantom".into(), costs: costs.into(), over, finished: false }
}

fn epochs(decisions: &[Decision]) -> Vec<Option<u32>> {
    decisions.iter().map(Decision::epoch).collect()
}

fn asha() -> PruneSpec {
    spec("method = \"asha\"\nreduction = 2\nmin_epochs = 2\naudit = 0").unwrap()
}

#[test]
fn halving_keeps_the_best_of_those_before_at_every_rung() {
    // Rungs at epochs 2, 4, 8.
    let histories = [
        history("a", &[9.0, 5.0, 5.0, 5.0, 4.0, 4.0, 4.0, 4.0], true),
        history("b", &[9.0, 6.0], true), // second of 2 at epoch 2
        history("c", &[9.0, 4.0, 3.0, 6.0, 1.0, 1.0, 1.0, 3.0], true), // best so far counts, not the last
        history("d", &[9.0, 5.5], true), // 3rd of 4, 2 go on
        history("e", &[4.5, 5.0, 5.0, 5.0], true), // 2nd of 5, 2 go on; at epoch 4 3rd of a, c, e: 1 goes on
        history("f", &[f64::NAN, f64::NAN], true), // never evaluated
        history("g", &[f64::NAN, 4.0], false),
    ];
    let decisions = decide(&asha(), &histories);
    assert_eq!(epochs(&decisions), [None, Some(2), None, Some(2), Some(4), None, None]);
    let Decision::Prune { reason, .. } = &decisions[3] else { panic!("{decisions:?}") };
    assert_eq!(reason, "2 of 3 trials before it were ahead at epoch 2, and 2 of 4 go on");
}

#[test]
fn what_is_pruned_does_not_depend_on_who_is_how_far() {
    let whole: Vec<Vec<f64>> = (0..12)
        .map(|t: u32| {
            (0..9).map(|e| f64::from((t * 7 + 3) % 12) + 9.0 / f64::from(e + 1) + f64::from((t * e) % 5)).collect()
        })
        .collect();
    let names: Vec<String> = (0..12).map(|t| format!("trial-{t}")).collect();
    for spec in [asha(), spec("method = \"median\"\nwarm_up = 3\nmin_trials = 2\naudit = 0.3").unwrap()] {
        // One after another, each stopped as soon as its decision is made.
        let mut done: Vec<History> = names.iter().map(|name| history(name, &[], false)).collect();
        for t in 0..12 {
            for e in 1..=9 {
                done[t].costs = whole[t][..e].to_vec();
                if matches!(decide(&spec, &done)[t], Decision::Prune { .. }) {
                    break;
                }
            }
            done[t].over = true;
        }
        let expected = epochs(&decide(&spec, &done));
        assert!(expected.iter().flatten().count() >= 4 && expected.contains(&None), "{expected:?}");
        // All at once, each at its own pace, stopped late or never: a decision once made is the expected one.
        for pace in 1..6usize {
            let mut now: Vec<History> = names.iter().map(|name| history(name, &[], false)).collect();
            for step in 0..60usize {
                for t in 0..12 {
                    let length = (step * (1 + (t * pace) % 4) / 4).min(9);
                    now[t].costs = whole[t][..length.max(now[t].costs.len())].to_vec();
                    now[t].over = now[t].costs.len() == 9;
                }
                for (got, want) in epochs(&decide(&spec, &now)).iter().zip(&expected) {
                    assert!(got.is_none() || got == want, "{got:?} {want:?}");
                }
            }
            assert_eq!(epochs(&decide(&spec, &now)), expected);
        }
    }
}

#[test]
fn a_median_needs_enough_others_and_a_warm_up() {
    let spec = spec("method = \"median\"\nwarm_up = 2\nmin_trials = 2\naudit = 0").unwrap();
    let histories = [
        history("a", &[1.0, 1.0], true),
        history("b", &[9.0, 9.0, 2.0], true), // one other is no median
        history("c", &[8.0, 5.0], true),      // equal to the median of 1 and 9
        history("d", &[9.0, 5.1], true),
        History { group: "other data".into(), ..history("e", &[99.0, 99.0], true) },
        history("f", &[99.0], false),     // still warming up
        history("g", &[1.0, 99.0], true), // its best so far is ahead
    ];
    assert_eq!(epochs(&decide(&spec, &histories)), [None, None, None, Some(2), None, None, None]);
}

#[test]
fn an_earlier_trial_that_has_not_come_as_far_leaves_it_open() {
    let mut histories =
        [history("a", &[1.0, 1.0], true), history("b", &[3.0], false), history("c", &[9.0, 9.0, 9.0], false)];
    assert_eq!(epochs(&decide(&asha(), &histories)), [None; 3]);
    histories[1].costs.push(2.0);
    assert_eq!(epochs(&decide(&asha(), &histories)), [None, Some(2), Some(2)]);
    // A trial that failed before this epoch will never reach it.
    histories[1] = history("b", &[], true);
    assert_eq!(epochs(&decide(&asha(), &histories)), [None, None, Some(2)]);
}

#[test]
fn the_lot_falls_on_the_share_asked_for_and_changes_no_other_decision() {
    let histories: Vec<History> =
        (0..1000).map(|t| history(&format!("t{t}"), &[f64::from((t * 619) % 1000) / 100.0 + 1.0; 9], true)).collect();
    let none = decide(&asha(), &histories);
    let spared = decide(&PruneSpec { audit: 0.1, ..asha() }, &histories);
    assert_eq!(epochs(&none), epochs(&spared));
    let stopped = none.iter().filter(|d| matches!(d, Decision::Prune { .. })).count();
    let lot = spared.iter().filter(|d| matches!(d, Decision::Spare { .. })).count();
    // 10 % ± 4 standard deviations of some 900.
    assert!(stopped > 800 && (50..=130).contains(&lot), "{lot} of {stopped}");
    assert!(none.iter().all(|d| !matches!(d, Decision::Spare { .. })));
}

#[test]
fn an_audit_counts_what_pruning_would_have_lost() {
    let spec = PruneSpec { audit: 1.0, ..asha() };
    let histories = [
        history("kept", &[3.0, 3.0, 3.0, 3.0], true),
        history("late bloomer", &[9.0, 9.0, 9.0, 1.0], true),
        history("rightly", &[9.0, 9.5, 9.0, 8.0], true),
        history("kept too", &[2.5, 2.5, 2.5, 2.5], true),
        history("between", &[9.0, 9.0, 9.0, 2.6], true),
        history("not over", &[9.0, 9.0, 9.0], false),
    ];
    let audit = audit(&spec, &histories);
    assert_eq!(audit, Audit { pruned: 0, spared: 3, best: 1, better_half: 2 });
    let words = audit.words().unwrap();
    assert!(words.contains("3 more would have been stopped"), "{words}");
    assert!(words.contains("1 ended better than every trial that was kept (33 %, 95 % interval 6 to 79 %)"), "{words}");
    let stopped = super::audit(&asha(), &histories[..3]);
    assert_eq!(stopped, Audit { pruned: 2, ..Audit::default() });
    assert!(stopped.words().unwrap().contains("none was spared"));
    assert_eq!(Audit::default().words(), None);
    // One that reached its end before it could be stopped was not stopped, and shows what stopping it would have lost.
    let faster = [histories[0].clone(), History { finished: true, ..histories[1].clone() }, histories[2].clone()];
    assert_eq!(super::audit(&asha(), &faster), Audit { pruned: 1, spared: 1, best: 1, better_half: 1 });
}

#[test]
fn mistakes_name_their_key() {
    assert_eq!(
        spec("method = \"asha\"").unwrap(),
        PruneSpec { rule: Rule::Asha { reduction: 3, min_epochs: 1 }, audit: 0.1 }
    );
    for (text, location, says) in [
        ("audit = 0.1", "prune", "unknown or missing"),
        ("method = \"sha\"", "prune.method", "unknown or missing"),
        ("method = \"asha\"\nreduction = 1", "prune.reduction", "reduction = 1"),
        ("method = \"asha\"\nwarm_up = 3", "prune.warm_up", "unknown key"),
        ("method = \"median\"\nmin_trials = 0", "prune.min_trials", "min_trials = 0"),
        ("method = \"median\"\naudit = 1.5", "prune.audit", "audit = 1.5"),
    ] {
        let error = spec(text).unwrap_err();
        assert_eq!(error.location.as_deref(), Some(location), "{text}");
        assert!(error.message.contains(says) && error.remedy.is_some(), "{text}: {error}");
    }
}

#[test]
fn ten_thousand_trials_are_decided_in_no_time() {
    let histories: Vec<History> =
        (0..10_000).map(|t| history(&format!("t{t}"), &[f64::from((t * 619) % 1000) + 1.0; 30], true)).collect();
    let decisions = decide(&spec("method = \"median\"").unwrap(), &histories);
    assert_eq!(decisions.len(), 10_000);
}
