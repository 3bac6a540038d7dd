//! The runner's cost of a sweep on a cluster: seconds, files, requests to Slurm.
//!
//! ```sh
//! cargo bench --bench cluster              # up to 10,000 trials on 100 nodes
//! ```
//!
//! The cluster and the trials are simulated (`simulation.rs`): jobs wait, end, are warned and requeued, are killed or
//! lose their node; on one node every job dies at once; the controller is away three times; other machines see files up
//! to half a minute late; Slurm forgets jobs. The runner is the real one, with its real files; a second runner takes
//! over halfway.
#![expect(clippy::disallowed_methods, reason = "counts files")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

mod simulation;

use landmark_sweep::scheduler::SweepOutcome;
use landmark_sweep::slurm::SlurmSpec;
use simulation::{Size, simulate};

fn main() {
    println!(
        "trials  nodes  slots  hours  runner s  of it submitting  files  polls  arrays  jobs started  warned  nodes failed  killed  twice  states"
    );
    for (trials, nodes) in [(100, 4), (1000, 20), (10_000, 100)] {
        let folder = tempfile::tempdir().unwrap();
        let size = Size { trials, nodes, slots: 4, bad_nodes: 1, seed: 1 };
        let spec = SlurmSpec { max_concurrent: Some(4 * nodes), ..SlurmSpec::default() };
        let outcome = simulate(size, spec, folder.path());
        let counts = &outcome.counts;
        assert_eq!(outcome.ending, SweepOutcome::Completed);
        println!(
            "{trials:>6}  {nodes:>5}  {:>5}  {:>5.1}  {:>8.2}  {:>16.2}  {:>5}  {:>5}  {:>6}  {:>12}  {:>6}  {:>12}  {:>6}  {:>5}  {:?}",
            size.slots * nodes,
            outcome.hours,
            outcome.runner,
            outcome.ready,
            outcome.files,
            outcome.polls,
            counts.submissions,
            counts.starts,
            counts.warned,
            counts.node_failures,
            counts.killed,
            counts.doubled,
            outcome.states,
        );
        let stopped = outcome.said.iter().filter(|line| line.contains("out of service") || line.contains("cancelled"));
        stopped.for_each(|line| println!("        {line}"));
    }
}
