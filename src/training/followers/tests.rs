//! Followers end with the records that they would have trained alone, bit for bit.

use candle_core::Device;

use super::*;
use crate::train::{Data, End, Observer, train};
use sweep_data::cache::Cache;
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::store::Store;
use sweep_model::lr_schedule::Progress;
use sweep_planning::plan::{Trial, plan};

/// Stops before a step, if one is named.
struct StopBefore(Option<u64>, u64);

impl Observer for StopBefore {
    fn step(&mut self, progress: Progress) {
        self.1 = progress.step;
    }
    fn stop(&self) -> bool {
        self.0 == Some(self.1)
    }
}

fn trials(model: &str) -> Vec<Trial> {
    let definition = format!(
        "name = 'd'
        [axes]
        'decode.name' = ['argmax', 'subpixel', 'centroid']
        [trial]
        epochs = 4
        evaluate_every = 2
        batch_size = 2
        dataset = {{ name = 'phantom', train = 4, val = 3, height = 40, width = 32 }}
        input = {{ height = 40, width = 32 }}
        heatmap = {{ name = 'gaussian', sigma = 1.5 }}
        optimizer = {{ name = 'adamw', lr = 2e-3 }}
        model = {model}
        loss = {{ name = 'l1' }}"
    );
    plan(&SweepDefinition::parse("d.toml", &definition).unwrap()).unwrap()
}

/// Trains a trial, until a step if one is named.
fn run(folder: &TrialStore, trial: &Trial, until: Option<u64>) -> End {
    let data = Data::load_through(&Cache::none(), &trial.config).unwrap();
    train(&trial.id, &trial.config, &data, folder, &Device::Cpu, &mut StopBefore(until, 0)).unwrap()
}

/// Files of a trial without the columns that hold times.
fn files(folder: &TrialStore) -> Vec<Vec<u8>> {
    let read = |name: &str| folder.folder().read(name, most::TABLE).unwrap();
    let epochs = String::from_utf8(read("epochs.csv")).unwrap();
    let header: Vec<&str> = epochs.lines().next().unwrap().split(',').collect();
    let cut = |line: &str| {
        let cells = header.iter().zip(line.split(','));
        cells
            .filter(|(name, _)| !["images_per_second", "seconds"].contains(name))
            .map(|(_, cell)| cell.to_owned() + ",")
            .collect::<String>()
    };
    let mut all = vec![epochs.lines().map(cut).collect::<Vec<_>>().join("\n").into_bytes()];
    all.extend(["landmarks.csv", "errors.bin", TrialStore::BEST, TrialStore::LAST].map(read));
    all
}

fn begun(store: &Store, trial: &Trial) -> TrialStore {
    let folder = store.trial(&trial.id);
    folder.begin(trial.file().unwrap()).unwrap();
    folder
}

fn compare(model: &str, stops: &[u64], leader_ends: bool) {
    let scratch = tempfile::tempdir().unwrap();
    let [alone, shared] = ["alone", "shared"].map(|name| Store::new(scratch.path(), name));
    let trials = trials(model);
    for trial in &trials {
        assert_eq!(run(&begun(&alone, trial), trial, None), End::Finished);
    }
    let leader = begun(&shared, &trials[0]);
    let followers: Vec<TrialFile> = trials[1..].iter().map(|trial| trial.file().unwrap()).collect();
    lead(&leader, &followers).unwrap();
    for step in stops {
        assert_eq!(run(&leader, &trials[0], Some(*step)), End::Stopped);
    }
    if leader_ends {
        assert_eq!(run(&leader, &trials[0], None), End::Finished);
    }
    for trial in &trials[1..] {
        let folder = begun(&shared, trial);
        assert!(take_over(&leader, &folder, &trial.file().unwrap(), &trial.config).unwrap());
        let left = if leader_ends { Some(8) } else { None };
        assert_eq!(run(&folder, trial, left), End::Finished, "nothing is left to train after a whole training");
    }
    assert!(
        leader.followers().unwrap().is_empty() && leader.folder().names().unwrap().iter().all(|n| n != "followers")
    );
    run(&leader, &trials[0], None);
    for trial in &trials {
        let [expected, found] = [&alone, &shared].map(|store| files(&store.trial(&trial.id)));
        for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
            assert!(expected == found, "file {index} of {} differs", trial.id);
        }
    }
}

const ONE: &str = "{ name = 'unet', filters = [4, 8] }";

#[test]
fn followers_have_the_records_that_they_would_have_trained() {
    compare(ONE, &[], true);
}

#[test]
fn followers_of_a_leader_that_was_stopped_twice_too() {
    // Within the first epoch, and within the third, after an evaluation.
    compare(ONE, &[1, 5], true);
}

#[test]
fn followers_go_on_from_a_leader_that_never_ended() {
    compare(ONE, &[5], false);
}

#[test]
fn followers_of_two_stages_have_crops_of_their_own() {
    let model = "{ name = 'two-stage', coarse = { name = 'unet', filters = [4, 8] }, fine = { name = 'unet', filters = [4, 8] },
        size = { height = 60, width = 48 }, crop = 16 }";
    compare(&model.replace('\n', " "), &[3], true);
}

#[test]
fn a_trial_that_shares_nothing_is_dismissed() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::new(scratch.path(), "d");
    let trials = trials(ONE);
    let leader = begun(&store, &trials[0]);
    let mut other = trials[1].file().unwrap();
    other.config.insert("seed".into(), 5.into());
    lead(&leader, &[other]).unwrap();
    assert_eq!(run(&leader, &trials[0], None), End::Finished);
    assert!(leader.followers().unwrap().is_empty());
    let folder = begun(&store, &trials[1]);
    assert!(!take_over(&leader, &folder, &trials[1].file().unwrap(), &trials[1].config).unwrap());
}

#[test]
fn trials_share_a_training_where_the_decoder_alone_differs() {
    let mut trial = trials(ONE).remove(0);
    let shared = |config: &TrialConfig| shared_training(config, "content").unwrap();
    let first = shared(&trial.config);
    trial.config.decode = DecodeSpec::default();
    assert_eq!(shared(&trial.config), first);
    trial.config.batch_size = trial.config.batch_size.saturating_add(1);
    assert_ne!(shared(&trial.config), first);
    trial.config.early_stop = Some(toml::from_str("patience = 2").unwrap());
    assert_eq!(shared(&trial.config), None, "its own errors end it");
}
