//! Against NumPy and SciPy (`scripts/folds_reference.py`), and what becomes of folds that are not all there.

use serde_json::Value;
use sweep_core::units::ErrorUnit;

use sweep_experiment::records::LandmarkRecord;

use super::*;
use crate::errors::{ErrorTable, MRE};
use crate::findings::{Finding, Statement, Topic, Verdict, findings};
use crate::gate::{self, METRIC_OF_FOLDS, Margins};
use crate::groups::{groups, loss_kind};
use crate::measured::Measured;

fn reference() -> Value {
    serde_json::from_str(include_str!("../../../scripts/folds_reference.json")).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn whole(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn close(ours: f64, theirs: f64, what: &str) {
    assert!((ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0), "{what}: {ours} against {theirs}");
}

/// A trial as the reference has it.
fn trial(of: &Value) -> TrialRecords {
    let (name, seed, fold) = (of["configuration"].as_str().unwrap(), of["seed"].as_u64().unwrap(), whole(&of["fold"]));
    let id = format!("{name}-{fold}-seed{seed}");
    let row = |(at, numbers): (usize, &Value)| EpochRecord {
        trial: id.clone(),
        seed,
        epoch: at as u32 + 1,
        train_loss: 1.0,
        val_loss: number(&numbers[0]),
        zero_loss: 40.0,
        train_mre_mm: 0.5,
        val_mre_mm: number(&numbers[0]),
        val_mre_px: number(&numbers[0]),
        val_sd_mm: number(&numbers[1]),
        val_median_mm: 1.0,
        val_p95_mm: 1.0,
        val_sdr_2mm: number(&numbers[2]),
        val_sdr_2_5mm: 1.0,
        val_sdr_3mm: 1.0,
        val_sdr_4mm: 1.0,
        lr: 1e-3,
        images_per_second: 1.0,
        seconds: 1.0,
        train_mre_px: f64::NAN,
        val_sd_px: f64::NAN,
        val_median_px: f64::NAN,
        val_p95_px: f64::NAN,
        val_sdr_2px: f64::NAN,
        val_sdr_4px: f64::NAN,
        val_sdr_8px: f64::NAN,
        val_sdr_16px: f64::NAN,
        val_nme: f64::NAN,
        val_pck_05: f64::NAN,
        val_pck_10: f64::NAN,
        val_pck_20: f64::NAN,
    };
    let epochs: Vec<EpochRecord> = of["epochs"].as_array().unwrap().iter().enumerate().map(row).collect();
    let mut landmarks = Vec::new();
    for (selected, key) in [(Selection::BestError, "best"), (Selection::BestLoss, "best"), (Selection::Last, "last")] {
        for (image, errors) in of["images"].as_array().unwrap().iter().zip(of[key].as_array().unwrap()) {
            for (k, error) in errors.as_array().unwrap().iter().enumerate().filter(|(_, error)| !error.is_null()) {
                landmarks.push(LandmarkRecord {
                    trial: id.clone(),
                    seed,
                    epoch: 1,
                    selected,
                    image: format!("{:02}.png", whole(image)),
                    landmark: format!("l{k}"),
                    x_true: 10.0 * number(image),
                    y_true: 5.0 * k as f64,
                    x_pred: 10.0 * number(image) + number(error),
                    y_pred: 5.0 * k as f64,
                    error_px: number(error),
                    error_mm: number(error),
                    confidence: f64::NAN,
                    reference_px: f64::NAN,
                    spacing_x_mm: f64::NAN,
                    spacing_y_mm: f64::NAN,
                });
            }
        }
    }
    let status = TrialStatus { state: State::Done, epoch: 6, epochs: 6, attempts: 1, ..TrialStatus::pending(&id) };
    let axes = [("loss.name", name.to_owned()), (AXIS, fold.to_string())].map(|(key, value)| (key.to_owned(), value));
    TrialRecords {
        loss_kind: loss_kind(&axes, false),
        configuration: format!("{axes:?}"),
        axes: axes.into(),
        dataset_hash: format!("fold {fold}"),
        fold: Some(Fold { fold, of: 3 }),
        epochs,
        landmarks,
        ..TrialRecords::new(id, seed, status)
    }
}

fn sweep() -> SweepRecords {
    let trials: Vec<TrialRecords> = reference()["trials"].as_array().unwrap().iter().map(trial).collect();
    SweepRecords {
        name: "folds".into(),
        question: None,
        claims: None,
        unit: ErrorUnit::Millimetres,
        mean_shape_mre: Some(8.0),
        observer_mre_mm: None,
        measures: sweep_core::measures::Measures::default(),
        untrained: Vec::new(),
        unmeasured: Vec::new(),
        definition: String::new(),
        provenance: Vec::new(),
        planned: trials.len(),
        left_out: Vec::new(),
        drawn: None,
        folds: Some(vec![0, 1, 2]),
        trials,
    }
}

fn of<'a>(found: &'a [Finding], id: &str) -> &'a Finding {
    found.iter().find(|f| f.id == id).unwrap_or_else(|| panic!("no finding {id}"))
}

#[test]
fn pooled_curves_and_epochs_are_those_of_the_single_errors() {
    let records = sweep();
    let pooled = records.pooled();
    let reference = reference();
    let expected = reference["pooled"].as_array().unwrap();
    assert_eq!(pooled.trials.len(), expected.len());
    for one in expected {
        let name = one["configuration"].as_str().unwrap();
        let this = |t: &&TrialRecords| t.seed == one["seed"].as_u64().unwrap() && t.group() == name;
        let pool = pooled.trials.iter().find(this).unwrap();
        assert_eq!((pool.trainings().len(), pool.landmarks.len()), (3, 3 * 56));
        for (epoch, numbers) in pool.epochs.iter().zip(one["curve"].as_array().unwrap()) {
            close(epoch.val_mre_mm, number(&numbers[0]), "MRE");
            close(epoch.val_sd_mm, number(&numbers[1]), "SD");
            close(epoch.val_sdr_2mm, number(&numbers[2]), "SDR");
        }
        close(pool.selected().unwrap().val_mre_mm, number(&one["last"][0]), "last epoch");
        let [mre, sdr] = pool.error_at_other_folds_epoch().unwrap();
        close(mre, number(&one["others_epoch"][0]), "MRE at the others' epoch");
        close(sdr, number(&one["others_epoch"][2]), "SDR at the others' epoch");
    }
}

#[test]
fn configurations_are_scored_out_of_fold_on_every_image_once() {
    let found = findings(&sweep());
    let Statement::CrossValidation { of: parts, folds, configurations, incomplete } =
        &of(&found, "cross-validation").statement
    else {
        panic!("no cross-validation")
    };
    assert_eq!((*parts, *folds, incomplete.len()), (3, 3, 0));
    let reference = reference();
    for (ours, theirs) in configurations.iter().zip(reference["configurations"].as_array().unwrap()) {
        close(ours.mre.point, number(&theirs["mre"]), "MRE");
        assert_eq!((ours.mre.n.seeds, ours.mre.n.images, ours.mre.n.landmarks), (3, 20, 56));
        for (sdr, expected) in ours.sdr.iter().zip(theirs["sdr"].as_array().unwrap()) {
            close(sdr.point, number(expected), "SDR");
        }
        for ((_, error), expected) in ours.landmarks.iter().zip(theirs["landmarks"].as_array().unwrap()) {
            close(error.point, number(&expected[0]), "landmark");
            assert_eq!(error.n.images, whole(&expected[1]), "a landmark counts where it is marked");
        }
        let of_pools = |key: &str| {
            let pools = reference["pooled"].as_array().unwrap().iter();
            let these = pools.filter(|p| p["configuration"] == theirs["configuration"]).map(|p| number(&p[key][0]));
            these.sum::<f64>() / 3.0
        };
        close(ours.own_epoch_mm.unwrap(), of_pools("own_epoch"), "own epoch");
        close(ours.others_epoch_mm.unwrap(), of_pools("others_epoch"), "others' epoch");
        assert!(ours.own_epoch_mm < ours.others_epoch_mm, "what chose the epoch flatters it");
    }
}

#[test]
fn an_effect_is_paired_by_image_across_folds_and_the_fold_is_none() {
    let records = sweep();
    let found = findings(&records);
    let effects: Vec<&str> = found.iter().filter(|f| f.topic == Topic::Effects).map(|f| f.id.as_str()).collect();
    assert_eq!(effects, ["effect/loss.name/a/b"]);
    assert!(!serde_json::to_string(&found).unwrap().contains(AXIS));
    let expected = &reference()["effect"];
    let effect = of(&found, "effect/loss.name/a/b").estimate.clone().unwrap();
    close(effect.point, number(&expected["mean"]), "effect");
    assert_eq!((effect.n.seeds, effect.n.images, effect.n.landmarks), (3, 20, 56));
    assert_eq!(of(&found, "effect/loss.name/a/b").rows.trials.len(), 18, "all trainings are behind it");
    // On the landmarks that every image has, the analysis of variance and the t-test are the textbook's.
    let mut complete = records.clone();
    complete.trials.iter_mut().for_each(|t| t.landmarks.retain(|row| row.landmark != "l2"));
    let contrast = |records: &SweepRecords| {
        let pooled = records.pooled();
        ErrorTable::of(&groups(&pooled), &[Measured::At(Selection::Last)])
            .contrast(&[(1, 1.0), (0, -1.0)], MRE)
            .unwrap()
            .estimate(0)
    };
    let estimate = contrast(&complete);
    close(estimate.point, number(&expected["whole_mean"]), "mean");
    close(estimate.standard_error, number(&expected["whole_se"]), "standard error");
    complete.trials.retain(|t| t.seed == 0);
    let estimate = contrast(&complete);
    close(estimate.point, number(&expected["one_seed_mean"]), "mean of one seed");
    close(estimate.standard_error, number(&expected["one_seed_se"]), "standard error of one seed");
    assert!((estimate.p_value(0.0) - number(&expected["one_seed_p"])).abs() < 1e-9);
    for (ours, theirs) in estimate.interval.iter().zip(expected["one_seed_interval"].as_array().unwrap()) {
        // A bootstrap's ends, as asymmetric as the data, at the scale of Student's t.
        assert!((ours - number(theirs)).abs() < 0.25 * estimate.standard_error, "{ours} against {theirs}");
    }
}

#[test]
fn folds_that_are_not_all_there_are_told_and_never_taken_for_the_whole() {
    let mut records = sweep();
    let running = records.trials.iter_mut().find(|t| t.id == "b-1-seed2").unwrap();
    running.status.state = State::Running;
    records.trials.retain(|t| t.id != "a-2-seed0");
    let pooled = records.pooled();
    let of_pool = |name: &str, seed: u64| pooled.trials.iter().find(|t| t.group() == name && t.seed == seed).unwrap();
    assert_eq!(of_pool("b", 2).progress(), "2 of 3 folds done, one running");
    assert_eq!(of_pool("a", 0).progress(), "2 of 3 folds done");
    assert!(of_pool("b", 2).landmarks.is_empty() && of_pool("b", 2).epochs.is_empty());
    assert!(of_pool("a", 0).error_at_other_folds_epoch().is_none());
    let found = findings(&records);
    let told = of(&found, "cross-validation");
    assert!(told.sentence.contains("b, seed 2 (2 of 3 folds done, one running)"), "{}", told.sentence);
    // Seed 1 alone is whole in both.
    let effect = of(&found, "effect/loss.name/a/b").estimate.clone().unwrap();
    assert_eq!((effect.n.seeds, effect.n.images), (1, 20));
    records.trials.retain(|t| t.fold.is_some_and(|fold| fold.fold == 0));
    let found = findings(&records);
    assert!(of(&found, "cross-validation").sentence.contains("none is whole yet"));
    assert!(found.iter().all(|f| f.topic != Topic::Effects));
    // Folds that nobody planned are not missing.
    records.folds = Some(vec![0]);
    let told = of(&findings(&records), "cross-validation").sentence.clone();
    assert!(told.starts_with("3-fold cross-validation, 1 of them run, 7 images, 3 seeds"), "{told}");
}

#[test]
fn a_collapsed_fold_is_not_hidden_by_the_others() {
    let mut records = sweep();
    let fold = records.trials.iter_mut().find(|t| t.id == "b-1-seed2").unwrap();
    fold.epochs.iter_mut().for_each(|epoch| epoch.val_loss = 39.9);
    let found = findings(&records);
    let Statement::Collapse { collapsed, trials, .. } = &of(&found, "collapse").statement else { panic!() };
    assert_eq!((collapsed.as_slice(), *trials), (&["b-1-seed2".to_owned()][..], 18));
}

#[test]
fn the_gate_holds_whole_cross_validations_against_one_another() {
    let records = sweep();
    let baseline = gate::collect(&records);
    assert_eq!(baseline.metric, METRIC_OF_FOLDS);
    assert_eq!(baseline.configurations.iter().map(|c| c.label.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(baseline.configurations.iter().flat_map(|c| c.seeds.values()).all(|trial| trial.errors.len() == 20));
    let margins = Margins { mre_mm: 0.2, sdr_points: 5.0, measures: std::collections::BTreeMap::new() };
    assert_eq!(gate::check(&baseline, &baseline, &margins).unwrap().verdict, gate::Verdict::Pass);
    let mut worse = records.clone();
    let rows = worse.trials.iter_mut().flat_map(|t| &mut t.landmarks);
    rows.filter(|row| row.selected == Selection::Last).for_each(|row| row.error_mm += 1.0);
    assert_eq!(gate::check(&baseline, &gate::collect(&worse), &margins).unwrap().verdict, gate::Verdict::Fail);
    let mut part = records.clone();
    part.trials[0].status.state = State::Failed;
    let error = gate::check(&baseline, &gate::collect(&part), &margins).unwrap_err();
    assert!(error.message.contains("2 of 3 folds done, one failed"), "{error}");
    // One split's numbers at the best epoch are other numbers.
    let mut single = records;
    single.folds = None;
    assert!(
        gate::check(&baseline, &gate::collect(&single), &margins).unwrap_err().message.contains("different metrics")
    );
}

#[test]
fn a_definition_says_which_folds_it_plans() {
    let definition = |axes: &str| format!("name = \"t\"\n[axes]\n{axes}\n[trial]\nepochs = 1\n");
    assert_eq!(planned(&definition("\"dataset.fold\" = [2, 0, 1]")), Some(vec![0, 1, 2]));
    assert_eq!(planned(&definition("dataset.fold = [3]")), Some(vec![3]));
    assert_eq!(
        planned(&definition("zip = [{ \"dataset.fold\" = 1, epochs = 2 }, { \"dataset.fold\" = 0, epochs = 3 }]")),
        Some(vec![0, 1])
    );
    assert_eq!(planned(&definition("\"loss.name\" = [\"l1\"]")), None);
    assert_eq!(planned("nonsense ="), None);
}

#[test]
fn without_folds_nothing_is_pooled() {
    let mut records = sweep();
    records.folds = None;
    assert!(matches!(records.pooled(), Cow::Borrowed(_)) && !records.is_pooled());
    let pooled = sweep().pooled().into_owned();
    assert!(matches!(pooled.pooled(), Cow::Borrowed(_)), "pooled once");
    assert!(findings(&pooled).iter().all(|f| f.verdict != Verdict::TooFew || f.topic != Topic::Effects));
}
