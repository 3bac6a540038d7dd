//! What the runner itself costs: seconds a trial beside the trials' own, and memory as the plan grows.
//!
//! ```sh
//! cargo bench --bench runner               # 200 trials; plans of 10 to 10,000
//! ```
//!
//! The trials do almost nothing. They are run by `sweep run`, one after the other, and then once more by a bare loop that
//! starts `sweep trial` in the same folders; the difference, divided by their number, is the runner's.
#![expect(clippy::disallowed_methods, reason = "starts the program and reads what the system says of it")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SWEEP: &str = env!("CARGO_BIN_EXE_sweep");

fn definition(trials: usize) -> String {
    let seeds: Vec<String> = (0..trials).map(|seed| seed.to_string()).collect();
    format!(
        "name = \"small\"\nseeds = [{}]\n[trial]\nepochs = 1\nbatch_size = 1\n\
         dataset = {{ name = \"phantom\", train = 1, val = 1, height = 32, width = 32 }}\n\
         input = {{ height = 32, width = 32 }}\nmodel = {{ name = \"unet\", filters = [4, 8] }}\nloss = {{ name = \"l1\" }}\n",
        seeds.join(", ")
    )
}

fn sweep(folder: &Path) -> Command {
    let mut command = Command::new(SWEEP);
    command.current_dir(folder).env("LANDMARK_SWEEP_CACHE", folder.join("cache"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn main() {
    let trials = 200;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small.toml"), definition(trials)).unwrap();
    let run = ["run", "small.toml", "--jobs", "1", "--threads", "1"];

    // Once to fill the cache and to know what the report takes, which is made once for all trials.
    assert!(sweep(folder.path()).args(run).status().unwrap().success());
    let started = Instant::now();
    assert!(sweep(folder.path()).args(run).status().unwrap().success());
    let once = started.elapsed();

    let started = Instant::now();
    assert!(sweep(folder.path()).args(run).arg("--rerun").status().unwrap().success());
    let by_runner = started.elapsed();

    let folders: Vec<_> =
        fs::read_dir(folder.path().join("results/small/trials")).unwrap().map(|e| e.unwrap().path()).collect();
    for trial in &folders {
        for entry in fs::read_dir(trial).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_file() && entry.file_name().unwrap() != "trial.toml" {
                fs::remove_file(entry).unwrap();
            }
        }
    }
    let started = Instant::now();
    for trial in &folders {
        assert!(sweep(folder.path()).arg("trial").arg(trial).args(["--threads", "1"]).status().unwrap().success());
    }
    let bare = started.elapsed();

    let each = |time: Duration| 1e3 * time.as_secs_f64() / trials as f64;
    println!(
        "{trials} trials of almost no work: {:.1} ms each by sweep run, {:.1} ms by a bare loop",
        each(by_runner),
        each(bare)
    );
    println!(
        "the runner: {:.1} ms a trial, plan, summaries and report included; {:.1} ms without what it takes where nothing is to do",
        each(by_runner.saturating_sub(bare)),
        each(by_runner.saturating_sub(bare + once)),
    );

    for planned in [10, 100, 1000, 10_000] {
        fs::write(folder.path().join("small.toml"), definition(planned)).unwrap();
        let results = format!("planned-{planned}");
        let mut runner =
            sweep(folder.path()).args(run).args(["--results", &results, "--timeout", "20s"]).spawn().unwrap();
        let (mut peak, mut begun) = (0.0f64, None);
        let started = Instant::now();
        while runner.try_wait().unwrap().is_none() {
            let status = fs::read_to_string(format!("/proc/{}/status", runner.id())).unwrap_or_default();
            let resident = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = resident.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
            // The report at the end reads all records: it is not the runner's.
            if started.elapsed() < Duration::from_secs(15) {
                peak = peak.max(kib.unwrap_or(0.0) / 1024.0);
            }
            if begun.is_none() && folder.path().join(&results).join("small/trials").is_dir() {
                begun = Some(started.elapsed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        println!(
            "{planned:>6} trials planned: {peak:.1} MiB at most, the first starts after {:.2} s",
            begun.unwrap_or_default().as_secs_f64()
        );
    }
}
