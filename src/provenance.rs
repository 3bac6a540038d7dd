//! Where and with what a sweep was run: facts for `sweep.toml`, never for results.

#![expect(clippy::disallowed_methods, reason = "asks the system about itself")]

use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// What made these results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provenance {
    /// Version of `sweep`.
    pub version: String,
    /// Commit of the folder it was run in, where that is a git checkout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether that folder had uncommitted changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dirty: Option<bool>,
    /// Name of the machine.
    pub host: String,
    /// Device that trained.
    pub device: String,
    /// Threads it trained with.
    pub threads: usize,
}

impl Provenance {
    /// Asks the system; what it does not tell is left out.
    #[must_use]
    pub fn gather(device: &str) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .ok()
            .or_else(|| output("hostname", &[]))
            .map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned());
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: output("git", &["rev-parse", "HEAD"]),
            dirty: output("git", &["status", "--porcelain", "--untracked-files=no"]).map(|text| !text.is_empty()),
            host,
            device: device.to_owned(),
            threads: rayon::current_num_threads(),
        }
    }
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Peak resident memory of this process in MiB, where the system tells (Linux).
#[must_use]
pub fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib / 1024.0).round())
}
