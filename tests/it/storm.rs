//! Storms of signals: runner and trials are killed, terminated and suspended at random moments of training, of evaluation and
//! of `--rerun`, again and again. The results equal those of an undisturbed run, byte for byte.
//!
//! `SWEEP_STORM_KILLS` sets the number of kills (`scripts/storm.sh`), `SWEEP_STORM_SEED` the seed of their
//! moments. The soak takes `SWEEP_SOAK_MINUTES` (`scripts/soak.sh`): 24 trials at a time, and beside the signals a disk that
//! takes no large files and clocks that jump. `SWEEP_PROGRAM` names another build of the program than that of the tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rustix::process::Signal;

use crate::harness::{Sandbox, Started, assert_same, program, send, status, trial_folders};

const DEFINITION: &str = r#"
name = "storm"
seeds = [0, 1]
[axes]
"loss.name" = ["l1", "nll"]
[trial]
epochs = 15
batch_size = 2
dataset = { name = "phantom", train = 8, val = 16, height = 32, width = 32 }
input = { height = 32, width = 32 }
augment = { probability = 0.9, rotation_degrees = 10, translate = 0.05, brightness = 0.3 }
model = { name = "unet++", filters = [4, 8] }
schedule = { name = "one-cycle" }
optimizer = { name = "adamw", lr = 1e-3 }
"#;
/// Steps of an epoch of [`DEFINITION`].
const STEPS: u64 = 4;
/// Memory that a process of a soak may take at most, MiB.
const MOST_MIB: u64 = 400;
/// Files that a process of a soak may have open at most.
const MOST_FILES: usize = 128;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// What the storm did, and to whom.
struct Storm<'a> {
    sandbox: &'a Sandbox,
    random: ChaCha8Rng,
    /// Signals by what they were, and what the trials did at that moment.
    signals: BTreeMap<(String, &'static str), u64>,
    /// Signals that end a process.
    kills: u64,
    /// Runs of the program.
    runs: u64,
    /// Most memory (MiB) and open files of a runner and of a trial.
    most: BTreeMap<&'static str, (u64, usize)>,
}

impl<'a> Storm<'a> {
    fn new(sandbox: &'a Sandbox) -> Self {
        let random = ChaCha8Rng::seed_from_u64(from_environment("SWEEP_STORM_SEED", 0));
        Self { sandbox, random, signals: BTreeMap::new(), kills: 0, runs: 0, most: BTreeMap::new() }
    }

    /// Runs the definition again and again until it is done, under signals while `is_on` says so.
    fn until_done(&mut self, more: &[&str], is_on: impl Fn(&Self) -> bool) {
        let arguments = ["run", "tiny.toml", "--quiet", "--retry-failed", "--jobs", "2", "--threads", "1"];
        let arguments = [&arguments[..], more].concat();
        let is_rerun = more.contains(&"--rerun");
        let sweep = self.sandbox.path("results/storm");
        // Attempts of the finished trials: their number must not change.
        let mut done = BTreeMap::new();
        loop {
            let mut runner = self.sandbox.start(&arguments);
            self.runs += 1;
            loop {
                std::thread::sleep(Duration::from_millis(self.random.random_range(20..500)));
                self.watch(&runner, &sweep);
                if !is_rerun {
                    same_attempts(&sweep, &mut done);
                }
                if runner.is_over() || !is_on(self) || self.strikes(&runner, &sweep, is_rerun) {
                    break;
                }
            }
            let output = runner.output();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let code = output.status.code();
            assert!(matches!(code, None | Some(0 | 1 | 130 | 143)) && !said.contains("panicked"), "{code:?}: {said}");
            if code == Some(0) {
                break;
            }
        }
        // None is lost, and no finished trial was trained again.
        let states = self.sandbox.states("results/storm");
        assert!(states.iter().all(|state| state == "done"), "{states:?}");
        for (folder, attempts) in done {
            assert_eq!(status(&folder).unwrap()["attempts"].as_u64().unwrap(), attempts, "{}", folder.display());
        }
        assert_same(&self.sandbox.path("whole/storm"), &sweep);
    }

    /// Sends a signal; returns whether the runner ends by it.
    fn strikes(&mut self, runner: &Started, sweep: &Path, is_rerun: bool) -> bool {
        let (trials, moment) = running(sweep);
        let moment = if is_rerun { format!("rerun, {moment}") } else { moment.to_owned() };
        let trial = (!trials.is_empty()).then(|| trials[self.random.random_range(0..trials.len())]);
        let mut note = |signal| *self.signals.entry((moment.clone(), signal)).or_default() += 1;
        match (self.random.random_range(0..10), trial) {
            (0..3, _) => {
                note("runner SIGKILL");
                runner.signal(Signal::KILL);
                self.kills += 1;
                return true;
            }
            (3, _) => {
                note("runner SIGTERM");
                runner.signal(Signal::TERM);
                self.kills += 1;
                return true;
            }
            (4..7, Some(trial)) => {
                note("trial SIGKILL");
                send(trial, Signal::KILL);
                self.kills += 1;
            }
            (7, Some(trial)) => {
                note("trial SIGTERM");
                send(trial, Signal::TERM);
                self.kills += 1;
            }
            (8, Some(trial)) => {
                note("trial SIGSTOP, SIGCONT");
                self.suspend(trial);
            }
            (9, _) => {
                note("runner SIGSTOP, SIGCONT");
                self.suspend(runner.pid());
            }
            // Between two trials, none runs.
            _ => {}
        }
        false
    }

    fn suspend(&mut self, process: u32) {
        send(process, Signal::STOP);
        std::thread::sleep(Duration::from_millis(self.random.random_range(10..400)));
        send(process, Signal::CONT);
    }

    /// Notes how much memory and how many files the processes have.
    fn watch(&mut self, runner: &Started, sweep: &Path) {
        let trials = running(sweep).0.into_iter().map(|trial| ("trial", trial));
        for (who, process) in trials.chain([("runner", runner.pid())]) {
            // It may have ended just now.
            let Ok(about) = fs::read_to_string(format!("/proc/{process}/status")) else { continue };
            let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { continue };
            let peak = about.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(kib) = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok()) else {
                continue;
            };
            let most = self.most.entry(who).or_default();
            *most = (most.0.max(kib / 1024), most.1.max(files.count()));
        }
    }

    fn print(&self) {
        println!("{:<26} {:<26} {:>7}", "moment", "signal", "number");
        for ((moment, signal), number) in &self.signals {
            println!("{moment:<26} {signal:<26} {number:>7}");
        }
        for (who, (mib, files)) in &self.most {
            println!("a {who} had at most {mib} MiB and {files} open files");
        }
        println!("{} kills in {} runs", self.kills, self.runs);
    }
}

/// Checks that no finished trial was started again.
fn same_attempts(sweep: &Path, done: &mut BTreeMap<PathBuf, u64>) {
    for folder in trial_folders(sweep) {
        let Some(status) = status(&folder).filter(|status| status["state"] == "done") else { continue };
        let attempts = status["attempts"].as_u64().unwrap();
        assert_eq!(*done.entry(folder).or_insert(attempts), attempts, "a trial was done and trained again");
    }
}

/// Processes of the running trials, and what one of them does.
fn running(sweep: &Path) -> (Vec<u32>, &'static str) {
    let mut moment = "no trial";
    let mut processes = Vec::new();
    for folder in trial_folders(sweep) {
        let Some(status) = status(&folder).filter(|status| status["state"] == "running") else { continue };
        let Some(process) = status["live"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()) else { continue };
        processes.push(process);
        let rows = fs::read_to_string(folder.join("epochs.csv")).unwrap_or_default().lines().count() as u64;
        // The table has a header, and a row once an epoch is evaluated.
        let step = status["live"]["step"].as_u64().unwrap_or(0);
        moment = if step >= STEPS * rows.max(1) { "evaluation" } else { "training" };
    }
    (processes, moment)
}

#[test]
fn a_storm_of_signals_changes_no_number() {
    let kills = from_environment("SWEEP_STORM_KILLS", 20);
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--results", "whole"]);
    let mut storm = Storm::new(&sandbox);
    let mut compared = 0;
    while storm.kills < kills {
        let _ = fs::remove_dir_all(sandbox.path("results"));
        storm.until_done(&[], |storm| storm.kills < kills);
        storm.until_done(&["--rerun"], |storm| storm.kills < kills);
        compared += 2;
        if compared % 20 == 0 {
            println!("{} kills so far, {compared} sweeps compared", storm.kills);
        }
    }
    storm.print();
    println!("{compared} sweeps of 4 trials compared with the undisturbed one, 0 differences");
}

/// As if the clock had run a year ahead and back: times of files and heartbeats lie in the future.
fn clocks_jump(sweep: &Path) {
    let future = SystemTime::now() + Duration::from_secs(365 * 86400);
    for folder in trial_folders(sweep) {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if let Ok(file) = fs::File::options().append(true).open(entry.path()) {
                let _ = file.set_modified(future);
            }
        }
    }
}

#[test]
#[ignore = "takes the minutes that SWEEP_SOAK_MINUTES says (scripts/soak.sh)"]
fn a_soak_stays_within_bounds_and_changes_no_number() {
    let minutes = from_environment("SWEEP_SOAK_MINUTES", 1);
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    // 24 trials of 4 epochs.
    let definition = DEFINITION.replace("[0, 1]", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]").replace("= 15", "= 4");
    let sandbox = Sandbox::new(&definition);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--results", "whole", "--jobs", "2", "--threads", "1"]);
    let mut storm = Storm::new(&sandbox);
    let sweep = sandbox.path("results/storm");
    let [mut rounds, mut full, mut jumps] = [0; 3];
    while Instant::now() < until {
        rounds += 1;
        let _ = fs::remove_dir_all(sandbox.path("results"));
        // A disk that takes no checkpoint: the sweep stops and says why.
        let blocks = storm.random.random_range(1..16);
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec {} run tiny.toml --quiet --jobs 2", program());
        let output = sandbox.command("sh").env("LANDMARK_SWEEP_CACHE", "off").args(["-c", &script]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(1 | 2)) && !said.contains("panicked"), "{said}");
        full += 1;
        // Clocks jump in the middle of the sweep, between two storms.
        let before = storm.kills;
        let mut first = sandbox.start(&["run", "tiny.toml", "--quiet", "--retry-failed", "--jobs", "2"]);
        while !first.is_over() && storm.kills < before + 4 {
            std::thread::sleep(Duration::from_millis(storm.random.random_range(50..400)));
            storm.watch(&first, &sweep);
            if storm.strikes(&first, &sweep, false) {
                break;
            }
        }
        first.signal(Signal::KILL);
        drop(first.output());
        clocks_jump(&sweep);
        jumps += 1;
        let allowed = storm.kills + 12;
        storm.until_done(&[], |storm| storm.kills < allowed);
        for (who, (mib, files)) in &storm.most {
            assert!(*mib <= MOST_MIB && *files <= MOST_FILES, "a {who} had {mib} MiB and {files} open files");
        }
        println!(
            "round {rounds}: {} kills so far, as undisturbed; most memory and files {:?}",
            storm.kills, storm.most
        );
    }
    storm.print();
    println!("{rounds} sweeps of 24 trials, {full} full disks, {jumps} jumps of the clock, 0 differences");
}
