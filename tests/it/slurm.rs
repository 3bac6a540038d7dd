//! Sweeps through a real Slurm of one machine (`scripts/slurm-testbed`): skipped if Slurm is not installed; with
//! `SWEEP_SLURM=required` that is a failure.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sweep_testing::Need;

use crate::harness::{SWEEP, Sandbox, assert_same, ended, running, send, status, wait_for};

/// Trials of a few seconds each, also on a fast processor: long enough to be interfered with.
const DEFINITION: &str = r#"
name = "tiny"
seeds = [0, 1, 2]
[slurm]
max_concurrent = 2
poll_seconds = 1
patience_seconds = 2
[trial]
loss = { name = "l1" }
epochs = 200
batch_size = 2
dataset = { name = "phantom", train = 24, val = 3, height = 60, width = 48 }
input = { height = 40, width = 32 }
augment = { probability = 0.9, rotation_degrees = 10, translate = 0.05, scale = [0.9, 1.1], brightness = 0.5, contrast = 0.5 }
model = { name = "unet++", filters = [4, 8, 8] }
optimizer = { name = "adamw", lr = 3e-4, weight_decay = 0.01 }
"#;

/// A Slurm of its own, and a folder to run sweeps in.
struct Bed {
    sandbox: Sandbox,
    state: PathBuf,
}

fn testbed(state: &Path, verb: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/slurm-testbed");
    Command::new(script).arg(verb).arg(state).output().unwrap()
}

impl Bed {
    /// `None` if Slurm is not installed.
    fn start() -> Option<Self> {
        let sandbox = Sandbox::new(DEFINITION);
        let state = sandbox.path("bed");
        let started = testbed(&state, "start");
        let said = String::from_utf8_lossy(&started.stderr).into_owned();
        if started.status.code() == Some(3) {
            return Need::Slurm.met(Err(said));
        }
        assert!(started.status.success(), "Slurm is installed and does not start: {said}");
        Some(Self { sandbox, state })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.sandbox.command(program);
        command.env("SLURM_CONF", self.state.join("slurm.conf"));
        command
    }

    fn slurm(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let output = self.command(words.next().unwrap()).args(words).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Tasks of a sweep in this state.
    fn tasks(&self, sweep: &str, state: &str) -> Vec<String> {
        let answer = self.slurm(&format!("squeue -h -r -t {state} -n sweep-{sweep} -o %i"));
        answer.lines().map(str::to_owned).collect()
    }

    /// The dashboard's output to a terminal, whose words are separated by cursor movements.
    fn drawn(&self, sweep: &str) -> String {
        let shell = format!("stty cols 160 rows 40; exec {SWEEP} status {sweep} --watch");
        let mut command = self.command("script");
        command.args(["-qec", &shell, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut terminal = command.spawn().unwrap();
        std::thread::sleep(Duration::from_secs(3));
        terminal.stdin.take().unwrap().write_all(b"q").unwrap();
        String::from_utf8_lossy(&terminal.wait_with_output().unwrap().stdout).into_owned()
    }

    fn run<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
        [&["run", "tiny.toml", "--executor", "slurm"], arguments].concat()
    }

    /// Runs `sweep run --executor slurm` with these flags and expects this exit code.
    fn expect(&self, code: i32, arguments: &[&str]) -> String {
        let arguments = Self::run(arguments);
        ended(code, &self.command(SWEEP).args(&arguments).output().unwrap(), &arguments)
    }

    /// Starts the same without waiting for its end.
    fn watch(&self, arguments: &[&str]) -> Watched {
        let mut command = self.command(SWEEP);
        command.args(Self::run(arguments)).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Watched { child, lines, said: String::new() }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        testbed(&self.state, "stop");
    }
}

/// A runner that monitors jobs.
struct Watched {
    child: Child,
    lines: Receiver<String>,
    said: String,
}

impl Watched {
    /// Waits until it prints this.
    fn says(&mut self, words: &str) {
        let began = Instant::now();
        while !self.said.contains(words) {
            assert!(began.elapsed() < Duration::from_secs(120), "it does not say `{words}` but\n{}", self.said);
            if let Ok(line) = self.lines.recv_timeout(Duration::from_millis(100)) {
                self.said += &line;
                self.said.push('\n');
            }
        }
    }

    /// Waits for its end and expects this exit code.
    fn ends(mut self, code: i32) -> String {
        let status = self.child.wait().unwrap();
        for line in &self.lines {
            self.said += &line;
            self.said.push('\n');
        }
        assert_eq!(status.code(), Some(code), "{}", self.said);
        std::mem::take(&mut self.said)
    }
}

/// The task and the folder of a running trial that has finished this many epochs.
fn running_task(bed: &Bed, sweep: &str, epochs: usize) -> (String, PathBuf, u32) {
    let (folder, pid) = running(&bed.sandbox.path(&format!("results/{sweep}")), epochs);
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let variable = |name: &str| {
        let name = format!("{name}=");
        let found = environment.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(name.as_bytes()));
        String::from_utf8(found.unwrap().to_vec()).unwrap()
    };
    (format!("{}_{}", variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID")), folder, pid)
}

#[test]
fn a_sweep_goes_through_slurm_and_whatever_befalls_it_there() {
    let Some(bed) = Bed::start() else { return };
    requeued_and_taken_over(&bed);
    killed_cancelled_and_held(&bed);
    node_and_controller(&bed);
    refused(&bed);
}

/// An array with a limit, detached and taken over; a warning; the results equal those of this machine, bit for bit.
fn requeued_and_taken_over(bed: &Bed) {
    bed.sandbox.expect(0, &["run", "tiny.toml", "--results", "local"]);
    let said = bed.expect(0, &["--detach", "--jobs", "1", "--slurm", "time=10"]);
    assert!(said.contains("job 1: 3 trials submitted") && said.contains("left to Slurm"), "{said}");
    let script = fs::read_to_string(bed.sandbox.path("results/tiny/slurm/0001.sh")).unwrap();
    assert!(script.contains("#SBATCH --array=0-2%1\n") && script.contains("#SBATCH --time=10\n"), "{script}");

    let (_, folder, pid) = running_task(bed, "tiny", 3);
    assert_eq!((bed.tasks("tiny", "R").len(), bed.tasks("tiny", "PD").len()), (1, 2), "one at once");
    // Slurm sends this signal to the batch process; `scancel` repeats it if the job is between two states.
    send(pid, Signal::USR2);
    wait_for("its checkpoint", || (status(&folder)?["state"] == "interrupted").then_some(()));
    let shown = bed.command(SWEEP).args(["status", "results/tiny"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    // Slurm's reason is the array's limit, or for a moment that the other task has the node.
    assert!(shown.contains("in Slurm: ") && shown.contains("waits ("), "{shown}");
    let drawn = bed.drawn("results/tiny");
    assert!(drawn.contains("Slurm:") && drawn.contains("waiting"), "{drawn}");
    let refused = bed.command(SWEEP).args(["run", "tiny.toml"]).output().unwrap();
    assert!(ended(2, &refused, &["run"]).contains("jobs of this sweep are in Slurm"));

    let mut watched = bed.watch(&["--jobs", "1"]);
    watched.says("are taken over");
    let second = bed.expect(2, &["--jobs", "1"]);
    assert!(second.contains("is running this sweep"), "{second}");
    let said = watched.ends(0);
    let logs: String = fs::read_dir(bed.sandbox.path("results/tiny/slurm/logs"))
        .unwrap()
        .map(|log| fs::read_to_string(log.unwrap().path()).unwrap())
        .collect();
    assert!(!said.contains("submitted"), "nothing is submitted twice: {said}\nThe jobs say: {logs}");
    assert_same(&bed.sandbox.path("local/tiny"), &bed.sandbox.path("results/tiny"));
    assert_eq!(status(&folder).unwrap()["attempts"], 2);
    assert_eq!(logs.matches("is queued again").count(), 1, "{logs}");

    // Nothing is left to do: Slurm gets no request, and this machine agrees.
    bed.expect(0, &[]);
    bed.sandbox.expect(0, &["run", "tiny.toml"]);
}

/// A trial that is killed, one that fails by itself, one whose job is cancelled, one that is held: each is reported,
/// and the next run continues.
fn killed_cancelled_and_held(bed: &Bed) {
    let hard = DEFINITION
        .replace("\"tiny\"", "\"hard\"")
        .replace("[slurm]", "[axes]\n\"optimizer.lr\" = [3e-4, 1e38]\n[slurm]")
        .replace("\"l1\"", "\"mse\"");
    bed.sandbox.write("tiny.toml", &hard);
    let mut watched = bed.watch(&[]);
    watched.says("6 trials submitted");
    // First of all: two run at once, and on a fast machine soon none waits any more.
    let waiting = wait_for("a waiting job", || bed.tasks("hard", "PD").pop());
    bed.slurm(&format!("scontrol uhold {waiting}"));
    let (killed, folder, pid) = running_task(bed, "hard", 2);
    send(pid, Signal::KILL);
    watched.says(&format!("job {killed} on "));
    let name = |folder: &Path| folder.file_name().unwrap().to_string_lossy().into_owned();
    watched.says(&format!("{}: failed on cpu", name(&folder)));
    let (cancelled, folder, _) = running_task(bed, "hard", 2);
    assert_ne!(cancelled, killed);
    bed.slurm(&format!("scancel {cancelled}"));
    watched.says(&format!("{}: job {cancelled}: its job was cancelled", name(&folder)));
    watched.says(&format!("job {waiting} does not start: JobHeldUser"));
    bed.slurm(&format!("scontrol release {waiting}"));
    let said = watched.ends(1);
    assert!(said.contains("(signal 9)") && said.contains("diverged"), "{said}");
    let mut states = bed.sandbox.states("results/hard");
    states.sort();
    assert_eq!(states, ["diverged", "diverged", "diverged", "done", "failed", "interrupted"]);

    // The cancelled trial continues, and on request the killed one too, on another executor.
    bed.expect(1, &[]);
    bed.sandbox.expect(1, &["run", "tiny.toml", "--retry-failed"]);
    let states = bed.sandbox.states("results/hard");
    assert_eq!(states.iter().filter(|state| *state == "done").count(), 3, "{states:?}");
}

/// A node that fails, and a controller that is away for a while.
fn node_and_controller(bed: &Bed) {
    let longer = DEFINITION.replace("\"tiny\"", "\"node\"").replace("[0, 1, 2]", "[0]");
    bed.sandbox.write("tiny.toml", &longer);
    let mut watched = bed.watch(&[]);
    let (_, folder, _) = running_task(bed, "node", 2);
    let host = bed.slurm("sinfo -h -p debug -o %n");
    bed.slurm(&format!("scontrol update nodename={host} state=down reason=test"));
    wait_for("its end", || (status(&folder)?["state"] == "interrupted").then_some(()));
    // The node may have come back by itself.
    let _ = bed.command("scontrol").args(["update", &format!("nodename={host}"), "state=resume"]).output();
    running_task(bed, "node", 3);
    assert!(testbed(&bed.state, "away").status.success());
    watched.says("Slurm's controller does not answer");
    let back = testbed(&bed.state, "back");
    assert!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
    watched.says("answers again");
    watched.ends(0);
    assert_eq!(status(&folder).unwrap()["attempts"], 2);
}

/// A job that Slurm refuses leaves nothing behind.
fn refused(bed: &Bed) {
    bed.sandbox
        .write("tiny.toml", &DEFINITION.replace("\"tiny\"", "\"refused\"").replace("epochs = 200", "epochs = 1"));
    let said = bed.expect(2, &["--slurm", "partition=nowhere"]);
    assert!(said.contains("Slurm does not take the job") && said.contains("nvalid partition"), "{said}");
    assert!(said.contains("refused/slurm/0001.sh"), "{said}");
    let planned = bed.command(SWEEP).args(["plan", "tiny.toml", "--executor", "slurm"]).output().unwrap();
    let planned = String::from_utf8(planned.stdout).unwrap();
    assert!(planned.contains("exec ") && planned.contains("core-hours"), "{planned}");
    // Output of jobs on a node that cannot read the results.
    let said = bed.expect(0, &["--quiet"]);
    assert_eq!(said, "", "quiet is quiet");
    assert_eq!(bed.sandbox.states("results/refused"), ["done"; 3]);
}
