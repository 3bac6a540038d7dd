//! Where and with what a sweep was run. These facts go into `sweep.toml`; results never depend on them.

#![expect(clippy::disallowed_methods, reason = "asks the system about itself")]

use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// The program, machine and device that made the results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provenance {
    /// Version of `sweep`.
    pub version: String,
    /// Commit of the folder it was run in, if that is a git checkout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether that folder had uncommitted changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dirty: Option<bool>,
    /// Name of the machine.
    pub host: String,
    /// Device that trained.
    pub device: String,
    /// Threads of each trial.
    pub threads: usize,
}

impl Provenance {
    /// Asks the system; leaves out what the system does not provide.
    #[must_use]
    pub fn gather(device: &str, threads: usize) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: git(Path::new("."), &["rev-parse", "HEAD"]),
            dirty: git(Path::new("."), &["status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"])
                .map(|text| !text.is_empty()),
            host: host(),
            device: device.to_owned(),
            threads,
        }
    }
}

/// Name of this machine.
#[must_use]
pub fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| output("hostname", &[]))
        .map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}

/// Number of cores that this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The GPUs that `CUDA_VISIBLE_DEVICES` lets processes see, if it is set.
#[must_use]
pub fn visible_gpus() -> Option<String> {
    std::env::var("CUDA_VISIBLE_DEVICES").ok()
}

/// Seconds since 1970 by this machine's clock. It is for people to read; no decision depends on it.
#[must_use]
pub fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whether output to the terminal may have colours, according to `NO_COLOR` (<https://no-color.org>) and `TERM`.
#[must_use]
pub fn wants_colours() -> bool {
    let says = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    says("NO_COLOR").is_none() && says("TERM").is_some_and(|term| term != "dumb")
}

/// Time that this machine's processors were busy, and all time, since it was started; in the system's ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Busy {
    worked: f64,
    all: f64,
}

impl Busy {
    /// The share of the time since `before` in which they were busy, from 0 to 1; `None` if no time has passed.
    #[must_use]
    pub fn since(self, before: Self) -> Option<f64> {
        let (worked, all) = (self.worked - before.worked, self.all - before.all);
        (all > 0.0).then(|| (worked / all).clamp(0.0, 1.0))
    }

    /// Reads the first line of `/proc/stat`: user, nice, system, idle, iowait, … Idle and iowait count as not busy.
    fn read(text: &str) -> Option<Self> {
        let numbers = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        // The fields after the eighth are already part of the first two.
        let ticks: Vec<f64> = numbers.take(8).map(|ticks| ticks.parse().ok()).collect::<Option<_>>()?;
        let all = ticks.iter().sum::<f64>();
        Some(Self { worked: all - ticks.get(3)? - ticks.get(4)?, all })
    }
}

/// Busy time of the processors, if the system provides it (Linux).
#[must_use]
pub fn busy() -> Option<Busy> {
    Busy::read(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// Load and memory of each GPU, in words, if `nvidia-smi` provides them.
#[must_use]
pub fn gpu_loads() -> Vec<String> {
    let query = ["--query-gpu=index,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits"];
    let text = output("nvidia-smi", &query).unwrap_or_default();
    let line = |line: &str| -> Option<String> {
        let [index, busy, used, all] = line.split(", ").collect::<Vec<_>>().try_into().ok()?;
        let gib = |mib: &str| mib.trim().parse::<f64>().ok().map(|mib| mib / 1024.0);
        Some(format!("cuda:{index} {busy} %, {:.1} of {:.0} GiB", gib(used)?, gib(all)?))
    };
    text.lines().filter_map(line).collect()
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Asks git about a folder. The folder may be somebody else's, and a repository's own configuration can name programs that
/// git runs: none of them is.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let safe = || {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder).args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]);
        git.args(["-c", "core.sshCommand=false", "-c", "core.gitProxy=false"]);
        // Nothing is written, nothing is fetched, nobody is asked.
        git.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1");
        git.env("GIT_ALLOW_PROTOCOL", "none").env("GIT_TERMINAL_PROMPT", "0").stdin(std::process::Stdio::null());
        git
    };
    let run = |mut git: Command| git.output().ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let mut listing = safe();
    listing.args(["config", "--list", "--includes", "--show-scope", "-z"]);
    let listed = run(listing)?;
    let listed = String::from_utf8_lossy(&listed);
    let mut asked = safe();
    // A filter turns files into what is committed; only those of the user's own configuration may.
    for name in filters(&listed) {
        for (key, value) in [("clean", ""), ("smudge", ""), ("process", ""), ("required", "false")] {
            asked.arg("-c").arg(format!("filter.{name}.{key}={value}"));
        }
    }
    asked.args(arguments);
    Some(String::from_utf8_lossy(&run(asked)?).trim().to_owned())
}

/// Names of the filters that the repository itself configures, from `git config --list --show-scope -z`: a scope, then a key,
/// a line break and a value, each pair ended by zeros.
fn filters(listed: &str) -> Vec<String> {
    let mut words = listed.split('\0');
    let mut names = Vec::new();
    while let (Some(scope), Some(entry)) = (words.next(), words.next()) {
        let key = entry.split('\n').next().unwrap_or_default();
        let name = key.strip_prefix("filter.").and_then(|key| key.rsplit_once('.')).map(|(name, _)| name.to_owned());
        if !matches!(scope, "system" | "global" | "command") {
            names.extend(name);
        }
    }
    names.sort();
    names.dedup();
    names
}

/// Peak resident memory of this process in MiB, if the system provides it (Linux).
#[must_use]
pub fn peak_memory_mib() -> Option<f64> {
    Some(kib("/proc/self/status", "VmHWM:")?.round())
}

/// Resident memory of a process in MiB, if the system provides it (Linux).
#[must_use]
pub fn resident_mib(pid: u32) -> Option<f64> {
    kib(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Memory (MiB) that is still free, for the machine and for the control group of this process, if the system provides
/// it (Linux).
#[must_use]
pub fn available_memory_mib() -> Option<f64> {
    let machine = kib("/proc/meminfo", "MemAvailable:")?;
    let group = of_group("memory.max").zip(of_group("memory.current")).map(|(most, now)| most - now);
    Some(group.map_or(machine, |group| group.min(machine)))
}

/// Memory (MiB) that this process may still take: [`available_memory_mib`], and what `ulimit -v` leaves it.
#[must_use]
pub fn own_memory_mib() -> Option<f64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
    let own = limit.zip(kib("/proc/self/status", "VmSize:")).map(|(most, now)| most as f64 / MIB - now);
    [available_memory_mib(), own].into_iter().flatten().reduce(f64::min)
}

/// Memory (MiB) of the machine, or of the control group of this process where that may have less, if the system provides it
/// (Linux).
#[must_use]
pub fn total_memory_mib() -> Option<f64> {
    let machine = kib("/proc/meminfo", "MemTotal:")?;
    Some(of_group("memory.max").map_or(machine, |group| group.min(machine)))
}

const MIB: f64 = 1_048_576.0;

/// A number of bytes that the control group of this process states, in MiB; `None` without a group or a limit.
fn of_group(name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(name)).ok()?;
    text.trim().parse::<f64>().ok().map(|bytes| bytes / MIB)
}

/// The number of KiB on the line with this start in a file under `/proc`, in MiB.
fn kib(file: &str, start: &str) -> Option<f64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(start))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// A repository whose configuration names a program for everything that `git status` may run.
    #[test]
    fn asking_git_runs_nothing_that_a_repository_names() {
        let folder = tempfile::tempdir().unwrap();
        let (root, trap) = (folder.path().join("received"), folder.path().join("ran"));
        std::fs::create_dir(&root).unwrap();
        let plain = |arguments: &[&str]| {
            let output = Command::new("git").arg("-C").arg(&root).args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        plain(&["init", "--quiet"]);
        std::fs::write(root.join("file"), "one").unwrap();
        std::fs::write(root.join(".gitattributes"), "* filter=evil\n").unwrap();
        plain(&["add", "."]);
        plain(&["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first"]);
        let touch = format!("touch {}", trap.display());
        let clean = format!("{touch}; cat");
        for (key, value) in [
            ("core.fsmonitor", touch.as_str()),
            ("filter.evil.clean", &clean),
            ("filter.evil.process", &touch),
            ("filter.evil.required", "true"),
            ("core.sshCommand", &touch),
        ] {
            plain(&["config", key, value]);
        }
        let hook = root.join(".git/hooks/post-index-change");
        std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
        std::fs::write(&hook, format!("#!/bin/sh\n{touch}\n")).unwrap();
        std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(root.join("file"), "two").unwrap();
        let status = ["status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"];
        assert_eq!(git(&root, &status).unwrap(), "M file");
        assert_eq!(git(&root, &["rev-parse", "HEAD"]).unwrap().len(), 40);
        assert!(!trap.exists(), "a program of the repository was run");
        // The trap works: git by itself falls into it.
        let _ = Command::new("git").arg("-C").arg(&root).args(status).output().unwrap();
        assert!(trap.exists());
    }

    #[test]
    fn filters_of_the_repository_are_told_from_the_users() {
        let listed = "global\0filter.lfs.clean\ngit-lfs\0local\0filter.a.b.process\nx\0local\0core.bare\nfalse\0worktree\0filter.c.clean\ny\0";
        assert_eq!(filters(listed), ["a.b", "c"]);
    }

    #[test]
    fn what_is_neither_idle_nor_waiting_is_work() {
        let [before, now] = ["cpu  100 0 50 800 50 0 0 0 9 0\ncpu0 1", "cpu  130 0 60 840 60 5 5 0 9 0"]
            .map(|t| Busy::read(t).unwrap());
        assert!((now.since(before).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(now.since(now), None);
        assert_eq!(Busy::read("intr 5"), None);
        assert!(busy().is_some());
    }

    #[test]
    fn the_system_tells_of_its_memory() {
        let ours = resident_mib(std::process::id()).unwrap();
        assert!(ours > 1.0 && peak_memory_mib().unwrap() + 1.0 > ours);
        assert!(available_memory_mib().unwrap() > ours);
        assert!(total_memory_mib().unwrap() >= available_memory_mib().unwrap());
        assert_eq!(resident_mib(u32::MAX), None);
    }
}
