//! Kills runner and trials at random moments, again and again: the results equal those of an undisturbed run.
//!
//! `SWEEP_STORM_KILLS` sets the number of kills (`scripts/storm.sh`: a hundred), `SWEEP_STORM_SEED` the seed of their moments.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rustix::process::Signal;

use crate::harness::{Sandbox, assert_same, send, status, trial_folders};

const DEFINITION: &str = r#"
name = "storm"
seeds = [0, 1]
[axes]
"loss.name" = ["l1", "nll"]
[trial]
epochs = 15
batch_size = 2
dataset = { name = "phantom", train = 8, val = 4, height = 32, width = 32 }
input = { height = 32, width = 32 }
augment = { probability = 0.9, rotation_degrees = 10, translate = 0.05, brightness = 0.3 }
model = { name = "unet++", filters = [4, 8] }
schedule = { name = "one-cycle" }
optimizer = { name = "adamw", lr = 1e-3 }
"#;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn a_storm_of_kills_changes_no_number() {
    let kills = from_environment("SWEEP_STORM_KILLS", 20);
    let mut random = ChaCha8Rng::seed_from_u64(from_environment("SWEEP_STORM_SEED", 0));
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--results", "whole"]);
    let sweep = sandbox.path("results/storm");

    let (mut killed_runners, mut killed_trials, mut rounds) = (0, 0, 0);
    while killed_runners + killed_trials < kills {
        rounds += 1;
        let _ = fs::remove_dir_all(sandbox.path("results"));
        // Attempts of the finished trials: their number must not change.
        let mut done = BTreeMap::new();
        loop {
            let mut runner =
                sandbox.start(&["run", "tiny.toml", "--quiet", "--retry-failed", "--jobs", "2", "--threads", "1"]);
            let mut over = false;
            while !over {
                std::thread::sleep(Duration::from_millis(random.random_range(20..500)));
                over = runner.is_over();
                for folder in trial_folders(&sweep) {
                    let Some(status) = status(&folder).filter(|status| status["state"] == "done") else { continue };
                    let attempts = status["attempts"].as_u64().unwrap();
                    assert_eq!(*done.entry(folder).or_insert(attempts), attempts, "a trial was done and trained again");
                }
                if over || killed_runners + killed_trials >= kills {
                    break;
                }
                let running = || -> Vec<u32> {
                    trial_folders(&sweep)
                        .iter()
                        .filter_map(|folder| status(folder))
                        .filter(|status| status["state"] == "running")
                        .filter_map(|status| u32::try_from(status["live"]["pid"].as_u64()?).ok())
                        .collect()
                };
                if random.random_bool(0.4) {
                    runner.signal(Signal::KILL);
                    killed_runners += 1;
                    break;
                }
                // Between two trials, none runs.
                let running = (0..200)
                    .map(|_| running())
                    .inspect(|running| std::thread::sleep(Duration::from_millis(u64::from(running.is_empty()))))
                    .find(|running| !running.is_empty());
                let Some(running) = running else { continue };
                send(running[random.random_range(0..running.len())], Signal::KILL);
                killed_trials += 1;
            }
            let code = runner.output().status.code();
            assert!(matches!(code, None | Some(0 | 1)), "{code:?}");
            if code == Some(0) {
                break;
            }
        }
        // None is lost, and no finished trial was trained again.
        assert_eq!(sandbox.states("results/storm"), ["done"; 4]);
        for (folder, attempts) in done {
            assert_eq!(status(&folder).unwrap()["attempts"].as_u64().unwrap(), attempts, "{}", folder.display());
        }
        assert_same(&sandbox.path("whole/storm"), &sweep);
    }
    println!("{killed_runners} runners and {killed_trials} trials killed, {rounds} sweeps, every one as undisturbed");
}
