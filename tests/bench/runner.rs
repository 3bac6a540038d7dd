//! The runner's own cost: seconds for each trial on top of the trial's own, and memory for plans of different sizes.
//!
//! ```sh
//! cargo bench --bench runner               # 200 trials; plans of 100 to 10,000
//! ```
//!
//! The trials do almost nothing and run one after the other. While no trial process lives, the runner works:
//! its cost is that time, divided by the number of trials. Needs Linux, which lists the children of a process.
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

/// Runs and returns the duration, and for how much of it no trial lived between the first and the last.
fn watched(mut command: Command) -> (Duration, Duration) {
    let started = Instant::now();
    let mut runner = command.spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", runner.id());
    let (mut alone, mut since) = (Duration::ZERO, None);
    while runner.try_wait().unwrap().is_none() {
        let now = Instant::now();
        let children = fs::read_to_string(&children).unwrap_or_default();
        let trial = |pid: &str| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("--attended"))
        };
        if children.split_whitespace().any(trial) {
            // The time after the last trial is not counted.
            alone += since.map_or(Duration::ZERO, |since| now.duration_since(since));
            since = Some(now);
            // A trial lives: the time until the next check is its own.
            std::thread::sleep(Duration::from_micros(300));
            since = since.map(|_| Instant::now());
        } else {
            std::thread::sleep(Duration::from_micros(300));
        }
    }
    (started.elapsed(), alone)
}

fn main() {
    let trials = 200;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small.toml"), definition(trials)).unwrap();
    let run = ["run", "small.toml", "--jobs", "1", "--threads", "1"];
    let mut command = sweep(folder.path());
    command.args(run);
    let (took, alone) = watched(command);
    let each = |time: Duration| 1e3 * time.as_secs_f64() / trials as f64;
    println!(
        "{trials} trials of almost no work: {:.1} ms each, of which {:.1} ms the runner's between them",
        each(took),
        each(alone)
    );
    let mut command = sweep(folder.path());
    command.args(run);
    println!(
        "plan, summary and report where nothing is left to do: {:.1} ms in all",
        1e3 * watched(command).0.as_secs_f64()
    );

    for planned in [100, 1000, 10_000] {
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
            // The report at the end reads all records: its time is not the runner's.
            if started.elapsed() < Duration::from_secs(8) {
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
