//! Runs the program as users do, in a temporary folder for each test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use landmark_sweep::data::cache;
use landmark_sweep::lr_schedule::Progress;
use landmark_sweep::train::Observer;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const SWEEP: &str = env!("CARGO_BIN_EXE_sweep");

/// The program that tests run: `SWEEP_PROGRAM`, or the build of the tests.
pub(crate) fn program() -> String {
    std::env::var("SWEEP_PROGRAM").unwrap_or_else(|_| SWEEP.to_owned())
}

/// A temporary folder in which a test runs the program.
pub(crate) struct Sandbox(TempDir);

impl Sandbox {
    /// A folder with this definition as `tiny.toml`.
    pub(crate) fn new(definition: &str) -> Self {
        let sandbox = Self(tempfile::tempdir().unwrap());
        sandbox.write("tiny.toml", definition);
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env(cache::VARIABLE, self.path("cache")).current_dir(self.0.path());
        command
    }

    pub(crate) fn sweep(&self, arguments: &[&str]) -> Output {
        self.command(&program()).args(arguments).output().unwrap()
    }

    /// Runs and expects this exit code; returns standard error.
    pub(crate) fn expect(&self, code: i32, arguments: &[&str]) -> String {
        ended(code, &self.sweep(arguments), arguments)
    }

    /// Runs and expects success; returns standard output.
    pub(crate) fn printed(&self, arguments: &[&str]) -> String {
        let output = self.sweep(arguments);
        ended(0, &output, arguments);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts the program without waiting.
    pub(crate) fn start(&self, arguments: &[&str]) -> Started {
        let mut command = self.command(&program());
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        Started {
            child: Some(command.spawn().unwrap()),
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
        }
    }

    /// Trials of a sweep from `sweep status --json`.
    pub(crate) fn status(&self, sweep: &str) -> Vec<Value> {
        let output = self.sweep(&["status", sweep, "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn states(&self, sweep: &str) -> Vec<String> {
        self.status(sweep).iter().map(|trial| trial["state"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) fn ended(code: i32, output: &Output, arguments: &[impl std::fmt::Debug]) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// A running program, killed when dropped.
pub(crate) struct Started {
    child: Option<Child>,
    arguments: Vec<String>,
}

impl Started {
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.child.as_ref().unwrap().id(), signal);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    pub(crate) fn output(mut self) -> Output {
        self.child.take().unwrap().wait_with_output().unwrap()
    }

    /// Waits for its end and expects this exit code; returns standard error.
    pub(crate) fn expect(mut self, code: i32) -> String {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        ended(code, &output, &self.arguments)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn send(pid: u32, signal: Signal) {
    // It may have ended just now.
    let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal);
}

/// Calls `poll` until it returns a value, for at most two minutes.
pub(crate) fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn trial_folders(sweep: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(sweep.join("trials")) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// `status.json` of a trial, if it exists and is complete.
pub(crate) fn status(folder: &Path) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(folder.join("status.json")).ok()?).ok()
}

/// The folder and process of a running trial that has finished this many epochs.
pub(crate) fn running(sweep: &Path, epochs: usize) -> (PathBuf, u32) {
    wait_for("a running trial", || {
        trial_folders(sweep).into_iter().find_map(|folder| {
            let status = status(&folder)?;
            let rows = fs::read_to_string(folder.join("epochs.csv")).unwrap_or_default().lines().count();
            let pid = u32::try_from(status["live"]["pid"].as_u64()?).ok()?;
            (status["state"] == "running" && rows > epochs).then_some((folder, pid))
        })
    })
}

/// `epochs.csv` without the columns that hold times.
pub(crate) fn measured(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("epochs.csv")).unwrap();
    let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let is_time = |name: &str| ["images_per_second", "seconds"].contains(&name);
    let cut = |line: &str| {
        let kept = header.iter().zip(line.split(',')).filter(|(name, _)| !is_time(name)).map(|(_, cell)| cell);
        kept.collect::<Vec<_>>().join(",")
    };
    text.lines().map(cut).collect::<Vec<_>>().join("\n")
}

/// Asserts that two sweeps hold the same trials with the same numbers and weights, bit for bit.
pub(crate) fn assert_same(one: &Path, other: &Path) {
    let [ours, theirs] = [one, other].map(trial_folders);
    let names = |folders: &[PathBuf]| -> Vec<String> {
        folders.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names(&ours), names(&theirs));
    for (one, other) in ours.iter().zip(&theirs) {
        assert_eq!(measured(one), measured(other));
        for file in ["landmarks.csv", "best.safetensors", "last.safetensors"] {
            let equal = fs::read(one.join(file)).unwrap() == fs::read(other.join(file)).unwrap();
            assert!(equal, "{file} of {}", one.display());
        }
    }
}

/// Requests a stop after this many steps.
pub(crate) struct StopAfter(pub(crate) u64);

impl Observer for StopAfter {
    fn step(&mut self, _: Progress) {
        self.0 = self.0.saturating_sub(1);
    }
    fn stop(&self) -> bool {
        self.0 == 0
    }
}
