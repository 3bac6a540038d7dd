//! Every parser of other people's files is given damaged and hostile files: it must return an error or a value soon, without a
//! panic, with little memory and without touching files outside its folder.
//!
//! proptest mutates valid files. Checksums and compressed containers are made anew after a change, so that it reaches the reader
//! behind them. A separate process with bounded memory and processor time reads the mutants.
//!
//! `LANDMARK_SWEEP_FUZZ_SECONDS=600 cargo test --release --test it fuzz -- --nocapture` runs for ten minutes;
//! `LANDMARK_SWEEP_FUZZ_SEED` sets the seed, `LANDMARK_SWEEP_FUZZ_ONLY` names the targets by a part of their names.
//! `scripts/fuzz.sh` tries the same targets under libFuzzer.

mod containers;
mod mutation;
mod own_files;
pub(crate) mod targets;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use landmark_sweep::data::picture;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::hostile::{MEMORY_KIB, trained};
use mutation::{change, mutated};
use own_files::{MUTATORS, Make};
use targets::{Scene, TARGETS, target};

/// The largest picture allowed: two of them fit into the memory.
const MEGAPIXELS: &str = "16";
/// Time limit of a mutant; reports draw a dozen figures.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time to spend, unless told otherwise.
const SECONDS: u64 = 20;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The part that runs in the separate process.
#[test]
#[ignore = "run by `damaged_and_hostile_files_are_refused_or_read`, with its memory bounded"]
fn worker() {
    let scratch = tempfile::tempdir().unwrap();
    let scene = Scene::new(scratch.path(), &PathBuf::from(std::env::var_os("SWEEP_HOSTILE_SOURCE").unwrap()));
    let bytes: Make = |whole, _, changes| containers::changed(whole, |content| mutated(content, changes));
    let plain = TARGETS.iter().map(|target| (target.name, target, bytes));
    let known = MUTATORS.iter().map(|mutator| (mutator.name, target(mutator.target), mutator.make));
    let only = std::env::var("LANDMARK_SWEEP_FUZZ_ONLY").unwrap_or_default();
    let all: Vec<_> = plain.chain(known).filter(|(name, ..)| name.contains(&only)).collect();
    let seeds: BTreeMap<&str, Vec<Vec<u8>>> =
        all.iter().map(|(_, target, _)| (target.name, (target.seeds)(&scene))).collect();
    for (_, target, _) in &all {
        let seeds = &seeds[target.name];
        assert!(!seeds.is_empty(), "{} has no whole file", target.name);
        for (number, seed) in seeds.iter().enumerate() {
            assert!((target.read)(&scene, seed), "{}, whole file {number} is refused", target.name);
        }
    }
    // Equal times, not equal numbers: drawing a report takes a thousand times as long as reading a definition.
    let share = Duration::from_secs(number("LANDMARK_SWEEP_FUZZ_SECONDS", SECONDS)) / all.len().max(1) as u32;
    let mut counts: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    let mut round = number("LANDMARK_SWEEP_FUZZ_SEED", 0);
    for (name, target, make) in &all {
        let until = Instant::now() + share;
        while !counts.contains_key(name) || Instant::now() < until {
            let mut seed = [0u8; 32];
            seed[..8].copy_from_slice(&round.to_le_bytes());
            let config = Config { cases: 4, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
            let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
            let count = std::cell::RefCell::new([0, 0]);
            let inputs = (any::<u16>(), vec(any::<(u16, u8)>(), 1..4), vec(change(), 1..4));
            let result = runner.run(&inputs, |(which, values, changes)| {
                let start = Instant::now();
                let whole = &seeds[target.name][usize::from(which) % seeds[target.name].len()];
                let (selector, content) = whole.split_at(target.selector());
                let changed = [selector, &make(content, &values, &changes)].concat();
                let accepted = (target.read)(&scene, &changed);
                prop_assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
                count.borrow_mut()[usize::from(accepted)] += 1;
                Ok(())
            });
            if let Err(error) = result {
                panic!("round {round}, {name}: {error}");
            }
            let [refused, accepted] = count.into_inner();
            let sum = counts.entry(name).or_default();
            *sum = [sum[0] + refused, sum[1] + accepted];
            round += 1;
        }
    }
    for (name, [refused, accepted]) in &counts {
        println!("{name}: {} inputs, {accepted} of them read", refused + accepted);
    }
}

#[test]
fn damaged_and_hostile_files_are_refused_or_read() {
    // Two threads, besides what starting takes.
    let processor = 2 * number("LANDMARK_SWEEP_FUZZ_SECONDS", SECONDS) + 180;
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -v {MEMORY_KIB} && ulimit -t {processor} && exec \"$@\""), "fuzz"])
        .arg(std::env::current_exe().unwrap())
        .args(["fuzz::worker", "--exact", "--ignored", "--nocapture"])
        .env("SWEEP_HOSTILE_SOURCE", trained())
        .env("RAYON_NUM_THREADS", "2")
        .env(picture::MEGAPIXELS_VARIABLE, MEGAPIXELS)
        .env("MALLOC_ARENA_MAX", "1")
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(number("LANDMARK_SWEEP_FUZZ_SECONDS", SECONDS)) + 10 * PATIENCE;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > until => {
                child.kill().unwrap();
                panic!("a mutant is read for ever");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert!(status.success(), "a mutant crashed its reader: {status}");
}
