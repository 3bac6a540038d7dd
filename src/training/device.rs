//! Which device trains: what was asked for, what is there, and what is missing.

use std::str::FromStr;

use candle_core::Device;
use serde::Serialize;

use sweep_core::error::Result;
use sweep_engine::cpu::has_unit_for;
use sweep_experiment::provenance;
use sweep_graph::Precision;
use sweep_graph::gpu::devices::{self, DeviceInfo};

/// A device as asked for on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The fastest there is.
    Auto,
    /// The processor.
    Cpu,
    /// A CUDA GPU by number.
    Cuda(usize),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "use auto, cpu, cuda or cuda:N".to_owned()),
        }
    }
}

/// The device for a choice, and its name for the records: `cpu`, or `cuda:0 NVIDIA H100 80GB HBM3`.
///
/// # Errors
/// When a GPU was asked for and cannot be used; it never trains on the CPU in silence instead.
pub fn open(choice: Choice) -> Result<(Device, String)> {
    match choice {
        Choice::Cpu => Ok((Device::Cpu, "cpu".to_owned())),
        Choice::Cuda(number) => open_gpu(number).map_err(|error| error.at(format!("--device cuda:{number}"))),
        Choice::Auto => match why_no_gpu() {
            None => open(Choice::Cuda(0)),
            Some(_) => open(Choice::Cpu),
        },
    }
}

fn open_gpu(number: usize) -> Result<(Device, String)> {
    let name = devices::check(number)?.name;
    Ok((devices::open(number)?, format!("cuda:{number} {name}")))
}

/// What `--device` calls the device of a choice, `cpu` or `cuda:0`, once it is known that it can be used. Opens nothing.
///
/// # Errors
/// As [`open`].
pub fn check(choice: Choice) -> Result<String> {
    match choice {
        Choice::Cpu => Ok("cpu".to_owned()),
        Choice::Cuda(number) => devices::check(number)
            .map(|_| format!("cuda:{number}"))
            .map_err(|e| e.at(format!("--device cuda:{number}"))),
        Choice::Auto => check(if why_no_gpu().is_none() { Choice::Cuda(0) } else { Choice::Cpu }),
    }
}

/// Whether this processor computes convolutions in this precision, and not in single precision instead.
#[must_use]
pub fn is_quick_on_cpu(precision: Precision) -> bool {
    sweep_engine::precision_on(&Device::Cpu, precision) == precision
}

/// Why [`Choice::Auto`] takes no GPU; `None` where it does.
#[must_use]
pub fn why_no_gpu() -> Option<String> {
    match devices::list() {
        Ok(found) if found.is_empty() => Some("this machine has no GPU".to_owned()),
        Ok(_) => devices::check(0).err().map(|error| error.what),
        Err(error) => Some(error.what),
    }
}

/// GPUs that can be used, by number, and the memory (MiB) of every one that is there.
#[must_use]
pub fn gpus() -> (Vec<usize>, Vec<u64>) {
    let found = devices::list().unwrap_or_default();
    let memory = found.iter().map(|gpu| (gpu.memory >> 20) as u64).collect();
    ((0..found.len()).filter(|number| devices::check(*number).is_ok()).collect(), memory)
}

/// The most memory that this process had in use at once on a device, in MiB: on the CPU its own, on a GPU what it
/// allocated there. `None` where the system does not tell.
#[must_use]
pub fn peak_memory_mib(device: &Device) -> Option<f64> {
    match device {
        Device::Cpu | Device::Metal(_) => provenance::peak_memory_mib(),
        Device::Cuda(_) => sweep_graph::gpu::of(device)
            .and_then(|gpu| gpu.memory_info())
            .ok()
            .map(|room| room.peak as f64 / f64::from(1 << 20)),
    }
}

/// A device as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DetectedDevice {
    /// As `--device` takes it; `cuda` where no GPU was found.
    pub device: String,
    /// What it is.
    pub about: Option<String>,
    /// Why it is not used; nothing where it can be.
    pub not_used: Option<String>,
}

/// Every device, and why others are not used.
#[must_use]
pub fn detected() -> Vec<DetectedDevice> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let about = Some(format!("{cores} cores · {}", instruction_sets()));
    let mut all = vec![DetectedDevice { device: "cpu".to_owned(), about, not_used: None }];
    let none = |not_used: String| DetectedDevice { device: "cuda".to_owned(), about: None, not_used: Some(not_used) };
    match devices::list() {
        Ok(found) if found.is_empty() => all.push(none("the driver finds no GPU".to_owned())),
        Ok(found) => all.extend(found.into_iter().enumerate().map(|(number, gpu)| DetectedDevice {
            device: format!("cuda:{number}"),
            about: Some(line(&gpu)),
            not_used: devices::check(number).err().map(|error| error.what),
        })),
        Err(error) => {
            let remedy = error.remedy.map_or_else(String::new, |remedy| format!(" ({remedy})"));
            all.push(none(format!("{}{remedy}", error.what)));
        }
    }
    all
}

/// A line per device: what was found, and why others are not used.
#[must_use]
pub fn describe() -> Vec<String> {
    let line = |seen: DetectedDevice| {
        let not_used = seen.not_used.map(|why| format!("not used: {why}"));
        let about: Vec<String> = seen.about.into_iter().chain(not_used).collect();
        format!("{:<6}   {}", seen.device, about.join(" · "))
    };
    detected().into_iter().map(line).collect()
}

/// A GPU in words.
fn line(gpu: &DeviceInfo) -> String {
    let (major, minor) = gpu.capability;
    format!("{} · {} MiB · compute capability {major}.{minor}", gpu.name, gpu.memory >> 20)
}

/// Instruction sets that kernels are written for, and what convolves faster in less precision.
fn instruction_sets() -> String {
    let unit = if has_unit_for(Precision::Bf16) { ", AMX for precision tf32 and bf16" } else { "" };
    format!("{}{unit}", vectors())
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> &'static str {
    if is_x86_feature_detected!("avx512f") {
        "AVX-512"
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        "AVX2 + FMA"
    } else {
        "no AVX2: slow"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> &'static str {
    std::env::consts::ARCH
}
