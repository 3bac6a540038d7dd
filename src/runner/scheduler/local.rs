//! Trials as processes of this machine. Each has a process group of its own, so that a kill affects one trial with all its
//! child processes and nothing else.

#![expect(clippy::disallowed_methods, reason = "starts processes")]

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{Executor, Exit, Start, Stop, TrialEvent};
use sweep_core::error::{Error, Kind, Result};
use sweep_experiment::provenance;
use sweep_experiment::store::TrialStore;

/// Bytes of standard error written to a trial's `log.txt` per attempt; beyond that only the last lines are written.
const LOG_CAP: usize = 1 << 20;
/// Last lines kept. The error message precedes its backtrace.
const TAIL: usize = 100;
/// Longer lines are split, so that an endless line does not fill the memory.
const LONGEST_LINE: usize = 4096;

/// Starts `sweep trial` for each trial.
#[derive(Debug)]
pub struct Local {
    program: PathBuf,
    /// Receives a message when a process ended or the user made a request.
    woken: Receiver<()>,
    running: BTreeMap<String, Running>,
    /// Memory (MiB) for all trials together, instead of what the system has.
    memory_mib: Option<f64>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// The trial stops when this end closes, as it does when the runner dies, however it dies.
    _attended: Option<ChildStdin>,
    log: Option<JoinHandle<VecDeque<String>>>,
}

impl Local {
    /// Checks for ended processes whenever `woken` receives a message.
    ///
    /// # Errors
    /// When the program's own file is not known.
    pub fn new(woken: Receiver<()>, memory_mib: Option<f64>) -> Result<Self> {
        Ok(Self::with(program()?, woken, memory_mib))
    }

    /// Same as [`Local::new`] for another program.
    fn with(program: PathBuf, woken: Receiver<()>, memory_mib: Option<f64>) -> Self {
        Self { program, woken, running: BTreeMap::new(), memory_mib }
    }
}

/// This program's file. On Linux it stays accessible after the file was replaced by another build, so that all trials of a
/// sweep run the same program.
fn program() -> Result<PathBuf> {
    let program = Path::new("/proc/self/exe");
    if program.exists() {
        return Ok(program.to_owned());
    }
    std::env::current_exe().map_err(|e| Error::new(Kind::Computation, format!("cannot find the program's file: {e}")))
}

impl Executor for Local {
    fn start(&mut self, start: &Start) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.arg0("sweep").arg("trial").arg(&start.dir);
        let slot = &start.slot;
        match &slot.visible {
            // The process numbers its only visible GPU 0.
            Some(gpu) => {
                command.env("CUDA_VISIBLE_DEVICES", gpu).args(["--device", "cuda:0", "--called", &slot.device]);
            }
            None => drop(command.args(["--device", &slot.device])),
        }
        command.args(["--threads", &slot.threads.to_string(), "--attended"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command
            .spawn()
            .map_err(|e| Error::new(Kind::Computation, format!("cannot start trial {}: {e}", start.trial)))?;
        // The last lines are kept even if the log file cannot be opened, for example if the folder is gone.
        let file = TrialStore::at(&start.dir).log_file().ok();
        let log = child.stderr.take().map(|stderr| std::thread::spawn(move || copy_log(stderr, file)));
        let attended = child.stdin.take();
        self.running.insert(start.trial.clone(), Running { child, _attended: attended, log });
        Ok(())
    }

    fn poll(&mut self, wait: Duration) -> Result<Vec<TrialEvent>> {
        let mut events = self.ended()?;
        if events.is_empty() {
            match self.woken.recv_timeout(wait) {
                Ok(()) => {
                    // Several messages count as one.
                    while self.woken.try_recv().is_ok() {}
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(wait),
            }
            events = self.ended()?;
        }
        Ok(events)
    }

    fn cancel(&mut self, trial: &str, stop: Stop) -> Result<()> {
        let Some(running) = self.running.get(trial) else { return Ok(()) };
        // The process was not waited for, so its id is not reused.
        let Some(group) = i32::try_from(running.child.id()).ok().and_then(Pid::from_raw) else { return Ok(()) };
        let signal = if stop == Stop::Gently { Signal::TERM } else { Signal::KILL };
        match kill_process_group(group, signal) {
            // It ended meanwhile.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(Error::new(Kind::Computation, format!("cannot stop trial {trial}: {e}"))),
        }
    }

    fn memory_mib(&self, trial: Option<&str>) -> Option<f64> {
        match trial {
            Some(trial) => provenance::resident_mib(self.running.get(trial)?.child.id()),
            None => match self.memory_mib {
                Some(all) => {
                    let held = self.running.values().filter_map(|r| provenance::resident_mib(r.child.id()));
                    Some(all - held.sum::<f64>())
                }
                None => provenance::available_memory_mib(),
            },
        }
    }

    fn total_memory_mib(&self) -> Option<f64> {
        self.memory_mib.or_else(provenance::total_memory_mib)
    }
}

impl Local {
    fn ended(&mut self) -> Result<Vec<TrialEvent>> {
        let mut events = Vec::new();
        for (trial, running) in &mut self.running {
            let unknown =
                |why: String| Error::new(Kind::Computation, format!("cannot tell how trial {trial} ended: {why}"));
            let Some(group) = i32::try_from(running.child.id()).ok().and_then(Pid::from_raw) else { continue };
            // `NOWAIT` keeps the process a zombie, so that its id, and its group's, are not reused before the kill below.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if waitid(WaitId::Pid(group), options).map_err(|e| unknown(e.to_string()))?.is_none() {
                continue;
            }
            // Kills its child processes, which closes the pipe of its log. The group may be empty.
            let _ = kill_process_group(group, Signal::KILL);
            let status = running.child.wait().map_err(|e| unknown(e.to_string()))?;
            let exit = status.signal().map_or_else(|| Exit::Code(status.code().unwrap_or(-1)), Exit::Signal);
            let tail = running.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
            events.push(TrialEvent { trial: trial.clone(), exit, tail: tail.into(), node: None });
        }
        self.running.retain(|trial, _| events.iter().all(|event| event.trial != *trial));
        Ok(events)
    }
}

/// Copies a trial's standard error to its log, up to the cap, and returns its last lines.
fn copy_log(stderr: impl Read, mut file: Option<File>) -> VecDeque<String> {
    let mut tail: VecDeque<String> = VecDeque::new();
    let (mut written, mut left_out) = (0, 0);
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while (&mut reader).take(LONGEST_LINE as u64).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        if written + line.len() <= LOG_CAP {
            written += line.len();
            // A log that cannot be written, for example on a full disk, does not stop the training.
            file = file.filter(|mut file| file.write_all(&line).is_ok());
        } else {
            left_out += line.len();
        }
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
    if let Some(file) = file.as_mut().filter(|_| left_out > 0) {
        let end = Vec::from(tail.clone()).join("\n");
        let _ = writeln!(file, "… {left_out} bytes more; the last lines:\n{end}");
    }
    tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::Slot;

    #[test]
    fn a_trials_process_sees_the_gpu_of_its_slot() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("fake");
        std::fs::write(&program, "#!/bin/sh\necho \"$* sees ${CUDA_VISIBLE_DEVICES-all}\" > \"$2/saw\"\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (_wake, woken) = std::sync::mpsc::sync_channel(1);
        let mut local = Local::with(program, woken, None);
        let saw = |local: &mut Local, trial: &str, slot: Slot| {
            let dir = folder.path().join(trial);
            std::fs::create_dir(&dir).unwrap();
            local.start(&Start { trial: trial.to_owned(), dir: dir.clone(), slot }).unwrap();
            while local.poll(Duration::from_millis(10)).unwrap().is_empty() {}
            let saw = std::fs::read_to_string(dir.join("saw")).unwrap();
            saw.trim().split_once("--device ").unwrap().1.to_owned()
        };
        let gpu = Slot::new("cuda:1", 2).isolated(Some("4,GPU-8932f937"), &[], 1);
        assert_eq!(saw(&mut local, "gpu", gpu), "cuda:0 --called cuda:1 --threads 2 --attended sees GPU-8932f937");
        let saw = saw(&mut local, "cpu", Slot::new("cpu", 3));
        assert!(saw.starts_with("cpu --threads 3 --attended sees "), "{saw}");
    }

    #[test]
    fn a_log_is_capped_and_its_end_kept() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let lines: Vec<String> = (0..100_000).map(|i| format!("line {i} says nothing new")).collect();
        let text = lines.join("\n");
        let tail = copy_log(text.as_bytes(), Some(file.reopen().unwrap()));
        assert_eq!(tail.len(), TAIL);
        assert_eq!(tail.back().unwrap(), "line 99999 says nothing new");
        let mut written = String::new();
        file.read_to_string(&mut written).unwrap();
        assert!(written.len() < LOG_CAP + 4000 && written.starts_with("line 0 "), "{}", written.len());
        assert!(written.contains("bytes more") && written.ends_with("line 99999 says nothing new\n"));
        // A line without an end is read too.
        assert_eq!(copy_log(vec![b'x'; 3 * LONGEST_LINE].as_slice(), None).len(), 3);
    }
}
