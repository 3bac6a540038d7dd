//! A sweep on a simulated cluster: every trial ends exactly once, whatever fails.

use std::collections::BTreeSet;

use landmark_sweep::scheduler::SweepOutcome;
use landmark_sweep::slurm::SlurmSpec;

#[path = "../bench/simulation.rs"]
mod simulation;

use simulation::{Size, simulate};

#[test]
fn every_trial_ends_once_on_a_cluster_where_much_goes_wrong() {
    for seed in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let size = Size { trials: 150, nodes: 6, slots: 4, bad_nodes: 1, seed };
        let spec = SlurmSpec { array: Some(40), max_concurrent: Some(20), ..SlurmSpec::default() };
        let outcome = simulate(size, spec, folder.path());
        assert_eq!(outcome.ending, SweepOutcome::Completed);
        assert_eq!(outcome.counts.doubled, 0, "{:#?}", outcome.said);
        let states: BTreeSet<&str> = outcome.states.keys().copied().collect();
        assert!(states.is_subset(&BTreeSet::from(["done", "failed"])), "{:?}", outcome.states);
        assert_eq!(outcome.states.values().sum::<usize>(), 150);
        // Failed trials were killed, or failed by themselves; trials of the bad node continued elsewhere.
        assert!(outcome.states["done"] >= 140, "{:?}", outcome.states);
        assert!(outcome.said.iter().any(|line| line.starts_with("n0 is out of service")), "{:#?}", outcome.said);
        assert!(outcome.counts.warned > 0 && outcome.counts.node_failures > 0 && outcome.counts.unanswered > 0);
        assert!(outcome.runner < 60.0 && outcome.ready <= outcome.runner);
        // Files are trial.toml and status.json, and three for each array: their number does not grow with time.
        let most = 2 * 150 + 3 * (outcome.counts.submissions + outcome.counts.unanswered);
        assert!(outcome.files <= most, "{} files", outcome.files);
        // At most one query in fifteen seconds.
        assert!((outcome.polls as f64) < outcome.hours * 240.0 + 20.0, "{} in {} h", outcome.polls, outcome.hours);
    }
}
