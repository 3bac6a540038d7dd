use super::*;

/// The trial with other predictions, given the image, the landmark and the true place.
fn predicting(mut network: TrialRecords, place: impl Fn(u64, u64, [f64; 2]) -> [f64; 2]) -> TrialRecords {
    for row in &mut network.landmarks {
        let image = row.image.trim_end_matches(".png").parse().unwrap();
        let landmark = row.landmark.trim_start_matches('l').parse().unwrap();
        [row.x_pred, row.y_pred] = place(image, landmark, [row.x_true, row.y_true]);
        row.error_px = (row.x_pred - row.x_true).hypot(row.y_pred - row.y_true);
        row.error_mm = row.error_px;
    }
    network
}

fn network() -> TrialRecords {
    trial(&[("loss.name", "l1")], 0, 2.0, 0.005)
}

#[test]
fn a_network_that_is_right_on_half_its_landmarks_is_not_blind() {
    // Landmarks 0 and 1 are found; 2 and 4 are always at one place, 3 is anywhere.
    let half = predicting(network(), |image, landmark, [x, y]| match landmark {
        0 | 1 => [x + noise(image), y + noise(image + 50)],
        2 | 4 => [100.0, 200.0],
        _ => [100.0 + 20.0 * noise(400 + 11 * image + landmark), 200.0 + 20.0 * noise(900 + 17 * image + landmark)],
    });
    let found = dependence(&half, 0).unwrap();
    assert!(!found.blind, "{found:?}");
    assert_eq!(found.blind_landmarks, ["l2", "l3", "l4"], "{found:?}");
    let reported = findings(&sweep(vec![half]));
    let Statement::Collapse { blind, blind_landmarks, .. } = &of(&reported, "collapse").statement else { panic!() };
    assert!(blind.is_empty() && blind_landmarks[0].1 == ["l2", "l3", "l4"]);
    assert_eq!(of(&reported, "collapse").verdict, Verdict::Warning);

    let right = predicting(network(), |image, landmark, [x, y]| [x + noise(5 * image + landmark), y]);
    let found = dependence(&right, 0).unwrap();
    assert!(!found.blind && found.blind_landmarks.is_empty() && found.explained > 0.95, "{found:?}");
}

#[test]
fn one_same_map_is_found_on_images_of_varying_size() {
    // Widths from 60 to 180 %: the map alone follows the size, and so looks as if it followed the image.
    let size = |image: u64| 1.2 + 0.6 * noise(image + 3);
    let map = |landmark: u64| [60.0 + 35.0 * landmark as f64, 90.0 + 50.0 * noise(landmark + 7)];
    let mut sized = network();
    for row in &mut sized.landmarks {
        let image: u64 = row.image.trim_end_matches(".png").parse().unwrap();
        let landmark: u64 = row.landmark.trim_start_matches('l').parse().unwrap();
        let [x, y] = map(landmark).map(|at| size(image) * at);
        (row.x_true, row.y_true) = (x + 12.0 * noise(7 * image + landmark), y + 12.0 * noise(9 * image + 3 * landmark));
    }
    let same = predicting(sized.clone(), |image, landmark, _| map(landmark).map(|at| size(image) * at));
    let found = dependence(&same, 0).unwrap();
    assert!(found.blind && found.spread > 0.5 && found.p_value < 0.01, "{found:?}");

    let right = predicting(sized, |image, landmark, [x, y]| [x + noise(5 * image + landmark), y]);
    let found = dependence(&right, 0).unwrap();
    assert!(!found.blind && found.blind_landmarks.is_empty(), "{found:?}");
}

#[test]
fn a_loss_above_that_of_zeros_is_not_called_collapse_to_zero() {
    let mut above = network();
    above.epochs.iter_mut().for_each(|epoch| epoch.val_loss = 1.5 * epoch.zero_loss);
    let id = above.id.clone();
    let reported = findings(&sweep(vec![above]));
    let finding = of(&reported, "collapse");
    let Statement::Collapse { collapsed, above_zero, .. } = &finding.statement else { panic!() };
    assert!(collapsed.is_empty() && *above_zero == [id], "{}", finding.sentence);
    assert!(
        finding.sentence.contains("above") && !finding.sentence.contains("ended at the loss"),
        "{}",
        finding.sentence
    );
}

#[test]
fn a_loss_that_tells_the_reverse_is_a_finding() {
    // The loss falls wherever the error rises, in every trial: τ = −1.
    let mut records = grid(3, |_, _, _| 2.0);
    for epoch in records.trials.iter_mut().flat_map(|trial| &mut trial.epochs) {
        epoch.val_loss = 0.01 / epoch.val_mre_mm;
    }
    let reported = findings(&records);
    let finding = of(&reported, "agreement");
    let Statement::Agreement { agree, reverse, trials, mean_tau, tested } = &finding.statement else { panic!() };
    // All twelve trials are tested together; taken alone, only those whose τ has an interval are judged.
    assert_eq!((*agree, *reverse, *tested), (0, *trials, 12), "{}", finding.sentence);
    assert!(
        *trials >= 6 && (mean_tau + 1.0).abs() < 1e-12 && finding.verdict == Verdict::Evidence,
        "{}",
        finding.sentence
    );
    assert!(finding.sentence.contains("reverse") || finding.sentence.contains("opposite"), "{}", finding.sentence);
}

#[test]
fn failures_come_before_everything_else() {
    let mut records = grid(2, |loss, _, _| if loss == "l1" { 2.0 } else { 12.0 });
    records.trials[0].status.state = State::Diverged;
    records.trials[2].status.state = State::Failed;
    let reported = findings(&records);
    assert_eq!(reported[0].topic, Topic::Failures);
    let Statement::Failures { diverged, failed, worse_than_guessing, guess_mm, .. } = &reported[0].statement else {
        panic!("{:?}", reported[0])
    };
    assert_eq!((diverged, failed), (&vec!["1-l1-seed0".to_owned()], &vec!["4-l1-seed0".to_owned()]));
    assert!((guess_mm - 8.0).abs() < 1e-12);
    assert_eq!(worse_than_guessing.len(), 2, "{worse_than_guessing:?}");
    assert!(worse_than_guessing.iter().all(|label| label.contains("smooth-l1")), "{worse_than_guessing:?}");
    assert!(findings(&grid(2, |_, _, _| 2.0)).iter().all(|finding| finding.topic != Topic::Failures));
}

#[test]
fn a_trial_that_goes_on_without_a_finite_loss_is_named() {
    let named = |change: fn(&mut SweepRecords)| -> Vec<String> {
        let mut records = grid(2, |_, _, _| 2.0);
        change(&mut records);
        let reported = findings(&records);
        let Statement::Failures { not_finite, .. } = &reported[0].statement else { return Vec::new() };
        assert!(reported[0].sentence.contains("not a finite number"), "{}", reported[0].sentence);
        not_finite.clone()
    };
    assert_eq!(named(|records| records.trials[0].epochs[1].val_loss = f64::NAN), ["1-l1-seed0"]);
    assert_eq!(named(|records| records.trials[0].epochs[1].train_loss = f64::INFINITY), ["1-l1-seed0"]);
    // An epoch without an evaluation has no loss to lose, nor has a training that never recorded one.
    assert!(
        named(|records| {
            let epoch = &mut records.trials[0].epochs[1];
            (epoch.val_loss, epoch.val_mre_mm, epoch.val_mre_px) = (f64::NAN, f64::NAN, f64::NAN);
            records.trials[1].epochs.iter_mut().for_each(|epoch| epoch.val_loss = f64::NAN);
        })
        .is_empty()
    );
}

#[test]
fn errors_are_called_missing_only_where_they_are() {
    use sweep_experiment::records::EpochErrors;
    let mut records = grid(2, |_, _, _| 2.0);
    let missing = |records: &SweepRecords| match &of(&findings(records), "errors").statement {
        Statement::Errors { table_missing, .. } => *table_missing,
        other => panic!("{other:?}"),
    };
    assert!(missing(&records));
    for trial in &mut records.trials {
        // With an objective other than the error, its epoch is compared though all errors were kept.
        trial.objective = Objective::from_name("sdr_2mm").unwrap();
        let images = (0..12).map(|i| format!("{i:02}.png")).collect();
        let mut table = EpochErrors::new(trial.unit, images, Vec::new(), (0..5).map(|k| format!("l{k}")).collect());
        (1..=20).for_each(|epoch| table.push(epoch, &[2.0; 60]));
        trial.errors = Some(table);
    }
    assert!(!missing(&records));
}

#[test]
fn the_answer_names_the_configuration_that_may_be_as_good() {
    // The next is worse beyond chance; one further away scatters so much that nobody knows.
    let errors = |seed: u64| {
        [
            ("nll", 1.0 + 0.02 * noise(seed)),
            ("huber", 2.0 + 0.02 * noise(seed + 9)),
            ("l1", [1.5, 6.0, 3.0][seed as usize]),
        ]
    };
    let trials =
        (0..3).flat_map(|seed| errors(seed).map(|(loss, error)| trial(&[("loss.name", loss)], seed, error, 1e-3)));
    let records = sweep(trials.collect());
    let found = findings(&records);
    let ranking = of(&found, "ranking");
    let Statement::Ranking { runner_up, rival, .. } = &ranking.statement else { panic!("no ranking") };
    assert_eq!((runner_up.as_deref(), rival.as_deref()), (Some("huber"), Some("l1")));
    assert_eq!(ranking.verdict, Verdict::NoEvidence, "{}", ranking.sentence);
    assert!(ranking.parts[1].p_adjusted.unwrap() < 0.05 && ranking.parts[2].p_adjusted.unwrap() >= 0.05);
    assert!(ranking.sentence.contains("not shown to be ahead of l1, which has"), "{}", ranking.sentence);
    let answer = crate::report::Answer::of(&records, &found).unwrap();
    assert!(answer.sentence.contains("not shown to be better than l1 (by"), "{}", answer.sentence);
}

#[test]
fn what_has_not_ended_makes_no_comparison_twice() {
    let mut records = grid(2, |loss, _, seed| if loss == "l1" { 2.0 } else { 1.0 } + 0.1 * noise(seed));
    for trial in records.trials.iter_mut().filter(|trial| trial.id.starts_with('4')) {
        trial.status.state = State::Running;
    }
    let found = findings(&records);
    let effects: Vec<&str> = found.iter().filter(|f| f.topic == Topic::Effects).map(|f| f.id.as_str()).collect();
    assert_eq!(effects, ["effect/loss.name/l1/smooth-l1"]);
}

#[test]
fn a_trial_that_still_trains_has_not_ended_at_any_loss() {
    let mut records =
        sweep(vec![trial(&[("loss.name", "l1")], 0, 2.0, 10.0), trial(&[("loss.name", "mse")], 0, 2.0, 10.0)]);
    let above = |records: &SweepRecords| match &of(&findings(records), "collapse").statement {
        Statement::Collapse { above_zero, trials, .. } => (above_zero.len(), *trials),
        _ => panic!("no collapse"),
    };
    assert_eq!(above(&records), (2, 2));
    records.trials[1].status.state = State::Running;
    assert_eq!(above(&records), (1, 1));
}
