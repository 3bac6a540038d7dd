//! Looks for requirements that several tests share.
#![expect(clippy::disallowed_methods, reason = "looks for programs and data that tests require")]

use std::path::PathBuf;
use std::process::Command;

use crate::{Need, repository};

/// The Python that `LANDMARK_SWEEP_PYTHON` names, if it can import these packages (separated by commas).
///
/// # Panics
///
/// If the packages are missing and [required](Need::variable).
#[track_caller]
pub fn python(packages: &str) -> Option<PathBuf> {
    Need::Python.met(import(packages))
}

/// Same as [`python`] for PyTorch and safetensors, which are a requirement of their own: PyTorch is large.
///
/// # Panics
///
/// If one is missing and [required](Need::variable).
#[track_caller]
pub fn torch() -> Option<PathBuf> {
    Need::Torch.met(import("torch, safetensors"))
}

/// The script of axe-core, which finds what keeps people from using a page, from the package axe-playwright-python.
///
/// # Panics
///
/// If it is missing and [required](Need::variable).
#[track_caller]
pub fn axe_core() -> Option<String> {
    // The package is found, not imported: its driver of browsers is not needed.
    let find = "import importlib.util as u, pathlib; \
                print(pathlib.Path(u.find_spec('axe_playwright_python').origin).with_name('axe.min.js').read_text('utf-8'))";
    let found = import("importlib.util").and_then(|python| {
        let output = Command::new(python).args(["-X", "utf8", "-c", find]).output().map_err(|e| e.to_string())?;
        let script = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(script) } else { Err("axe-playwright-python is not installed".to_owned()) }
    });
    Need::Python.met(found)
}

fn import(packages: &str) -> Result<PathBuf, String> {
    let Some(python) = std::env::var_os("LANDMARK_SWEEP_PYTHON").map(PathBuf::from) else {
        return Err(format!("LANDMARK_SWEEP_PYTHON names no Python with {packages}"));
    };
    let imported = Command::new(&python).args(["-c", &format!("import {packages}")]).output();
    let output = imported.map_err(|error| format!("{} does not start: {error}", python.display()))?;
    if output.status.success() {
        return Ok(python);
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{} lacks one of {packages}: {}", python.display(), why.lines().last().unwrap_or_default()))
}

/// A folder of `../shared/data`, or of the folder that `LANDMARK_SWEEP_SHARED_DATA` names.
///
/// # Panics
///
/// If it is missing and [required](Need::variable).
#[track_caller]
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LANDMARK_SWEEP_SHARED_DATA")
        .map_or_else(|| repository().join("../shared/data"), PathBuf::from);
    let path = root.join(name);
    Need::SharedData.met(if path.is_dir() { Ok(path) } else { Err(format!("{} is missing", path.display())) })
}

/// The folder of a CUDA compiler and a disassembler: `CUDA_HOME`, or the one that `scripts/build-cuda` installs.
///
/// # Panics
///
/// If there is none and it is [required](Need::variable).
#[track_caller]
pub fn cuda_toolkit() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let versions = std::fs::read_dir(target.join("cuda/venv/lib")).into_iter().flatten().flatten();
    let installed = versions.map(|version| version.path().join("site-packages/nvidia/cu13"));
    let named = std::env::var_os("CUDA_HOME").map(PathBuf::from);
    let mut folders = named.into_iter().chain(installed);
    let is_complete =
        |folder: &PathBuf| ["nvcc", "nvdisasm"].iter().all(|name| folder.join("bin").join(name).is_file());
    let found = folders.find(is_complete).ok_or_else(|| "no nvcc with nvdisasm: scripts/build-cuda toolkit".to_owned());
    Need::CudaCompiler.met(found)
}

/// Whether the user may mount file systems in a name space of their own.
///
/// # Panics
///
/// If not, and it is [required](Need::variable).
#[track_caller]
pub fn unshare() -> bool {
    let mounted = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    let possible = match mounted {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("`unshare` does not start: {error}")),
    };
    Need::Unshare.met(possible).is_some()
}

/// The browser Chromium, if it is on the path.
///
/// # Panics
///
/// If it is missing and [required](Need::variable).
#[track_caller]
pub fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let mut files = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    Need::Chromium.met(files.find(|file| file.is_file()).ok_or_else(|| "no Chromium on the path".to_owned()))
}

/// Whether this processor has the instruction set: `avx512`, `avx2` or `portable`. Records a missing one.
///
/// # Panics
///
/// If the set is missing and [required](Need::variable), and for other names.
#[track_caller]
pub fn instructions(name: &str) -> bool {
    let (need, has) = match name {
        #[cfg(target_arch = "x86_64")]
        "avx512" => (Need::Avx512, is_x86_feature_detected!("avx512f")),
        #[cfg(target_arch = "x86_64")]
        "avx2" => (Need::Avx2, is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")),
        #[cfg(not(target_arch = "x86_64"))]
        "avx512" => (Need::Avx512, false),
        #[cfg(not(target_arch = "x86_64"))]
        "avx2" => (Need::Avx2, false),
        "portable" => return true,
        _ => panic!("`{name}` is not an instruction set"),
    };
    if !has {
        need.missing("this processor does not have it");
    }
    has
}
