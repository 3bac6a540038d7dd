use super::*;

fn point(x: f64, y: f64) -> Point {
    Point { x, y }
}

fn trial(loss: &str, seed: u64) -> RecordedTrial {
    RecordedTrial {
        sweep: "mine".to_owned(),
        question: Some("Which loss?".to_owned()),
        axes: vec![("loss.name".to_owned(), Value::String(loss.to_owned()))],
        seed,
        epochs: Some(3),
        device: "cpu".to_owned(),
    }
}

fn measured() -> ValidationImages {
    ValidationImages {
        images: vec!["a.png".to_owned(), "b.png".to_owned()],
        landmarks: vec!["sella".to_owned(), "nasion".to_owned()],
        truth: vec![vec![Some(point(10.0, 10.0)), Some(point(20.0, 5.0))], vec![Some(point(11.0, 9.0)), None]],
        spacing: Some(vec![Spacing { x: 0.5, y: 0.5 }; 2]),
        patients: None,
    }
}

/// Every point is `by` pixels to the right of the truth.
fn epoch(by: f64) -> RecordedEpoch {
    let shifted = |x: f64, y: f64| point(x + by, y);
    RecordedEpoch {
        train_loss: by / 10.0,
        val_loss: by / 8.0,
        predicted: vec![vec![shifted(10.0, 10.0), shifted(20.0, 5.0)], vec![shifted(11.0, 9.0), shifted(0.0, 0.0)]],
        zero_loss: f64::NAN,
        train_mre: f64::NAN,
        lr: 1e-3,
    }
}

#[test]
fn the_records_of_another_program_are_those_of_a_trial() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::new(scratch.path(), "mine");
    for (loss, seed) in [("l1", 0), ("l1", 1), ("mse", 0)] {
        let mut recorder = Recorder::begin(&store, trial(loss, seed), measured()).unwrap();
        for (by, error) in [(8.0, 4.0), (2.0, 1.0), (4.0, 2.0)] {
            assert!((recorder.epoch(&epoch(by)).unwrap() - error).abs() < 1e-12);
        }
        recorder.end(State::Done, None).unwrap();
    }
    let file = store.read_sweep_file().unwrap();
    assert_eq!((file.trials.len(), file.seeds, file.name.as_str()), (3, vec![0, 1], "mine"));
    let folder = store.trial(&file.trials[0]);
    let (epochs, rows) = folder.records(&folder.status().unwrap()).unwrap();
    assert_eq!(epochs.iter().map(|record| record.val_mre_mm).collect::<Vec<_>>(), [4.0, 1.0, 2.0]);
    assert!((epochs[1].val_sdr_2mm - 100.0).abs() < 1e-12 && epochs[0].val_sdr_2mm.abs() < 1e-12);
    let best: Vec<_> =
        rows.iter().filter(|row| row.selected == sweep_experiment::records::Selection::BestError).collect();
    assert_eq!(best.len(), 3, "a landmark is not marked");
    assert!(best.iter().all(|row| row.epoch == 2 && (row.error_mm - 1.0).abs() < 1e-12));
    assert_eq!(folder.epoch_errors().unwrap().unwrap().epochs, [1, 2, 3]);
    let again = Recorder::begin(&store, trial("l1", 0), measured()).unwrap_err();
    assert!(again.message.contains("done"), "{again}");
}

#[test]
fn an_attempt_that_ended_is_begun_again_and_one_that_runs_is_not() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::new(scratch.path(), "mine");
    let mut first = Recorder::begin(&store, trial("l1", 0), measured()).unwrap();
    first.epoch(&epoch(3.0)).unwrap();
    let busy = Recorder::begin(&store, trial("l1", 0), measured()).unwrap_err();
    assert!(busy.message.contains("records this trial"), "{busy}");
    drop(first);
    let mut second = Recorder::begin(&store, trial("l1", 0), measured()).unwrap();
    second.epoch(&epoch(1.0)).unwrap();
    second.end(State::Diverged, Some("loss is nan".to_owned())).unwrap();
    let folder = store.trial(&store.read_sweep_file().unwrap().trials[0]);
    assert_eq!(folder.epochs().unwrap().len(), 1);
    assert_eq!(folder.status().unwrap().state, State::Diverged);
}

#[test]
fn impossible_input_is_named_and_nothing_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::new(scratch.path(), "mine");
    let begun = |change: &dyn Fn(&mut RecordedTrial, &mut ValidationImages)| {
        let (mut trial, mut images) = (trial("l1", 0), measured());
        change(&mut trial, &mut images);
        Recorder::begin(&store, trial, images).unwrap_err().to_string()
    };
    assert!(begun(&|_, images| images.images[1] = "a.png".into()).contains("two images are called"));
    assert!(begun(&|_, images| images.landmarks.clear()).contains("truth"));
    assert!(begun(&|_, images| images.truth[0][0] = Some(point(f64::NAN, 0.0))).contains("a.png"));
    assert!(begun(&|_, images| images.spacing = Some(vec![Spacing { x: 0.0, y: 1.0 }; 2])).contains("positive"));
    assert!(begun(&|trial, _| trial.axes[0].0 = "seed".into()).contains("no axis"));
    assert!(begun(&|trial, _| trial.axes[0].0 = "a..b".into()).contains("a..b"));
    assert!(!store.is_sweep());
    let mut recorder = Recorder::begin(&store, trial("l1", 0), measured()).unwrap();
    let short = RecordedEpoch { predicted: vec![vec![point(0.0, 0.0); 2]], ..epoch(1.0) };
    assert!(recorder.epoch(&short).unwrap_err().to_string().contains("[2, 2, 2]"));
    let lost = RecordedEpoch { train_loss: f64::INFINITY, ..epoch(1.0) };
    assert!(recorder.epoch(&lost).unwrap_err().to_string().contains("train_loss"));
    assert_eq!(recorder.folder.epochs().unwrap().len(), 0);
}
