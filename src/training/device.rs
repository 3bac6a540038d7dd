//! Devices for training: the requested one, the available ones, and the reasons why others are not used.

use std::str::FromStr;

use candle_core::Device;
use serde::Serialize;

use sweep_core::error::Result;
use sweep_engine::cpu::unit_for;
use sweep_experiment::provenance;
use sweep_graph::Precision;
use sweep_graph::gpu::devices::{self, DeviceInfo};

/// A device as requested on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The fastest device.
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
/// When the requested GPU cannot be used; the CPU never replaces it silently.
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

/// Checks that a device can be used, without opening it; returns its name for `--device`, `cpu` or `cuda:0`.
///
/// # Errors
/// Same errors as [`open`].
pub fn check(choice: Choice) -> Result<String> {
    match choice {
        Choice::Cpu => Ok("cpu".to_owned()),
        Choice::Cuda(number) => devices::check(number)
            .map(|_| format!("cuda:{number}"))
            .map_err(|e| e.at(format!("--device cuda:{number}"))),
        Choice::Auto => check(if why_no_gpu().is_none() { Choice::Cuda(0) } else { Choice::Cpu }),
    }
}

/// Whether this processor computes convolutions in this precision instead of single precision.
#[must_use]
pub fn is_quick_on_cpu(precision: Precision) -> bool {
    sweep_engine::precision_on(&Device::Cpu, precision) == precision
}

/// Precision of convolutions on a device, and the processor's unit for it: `fp32`, `bf16 by AVX-512-BF16`.
#[must_use]
pub fn precision_in_words(device: &Device, requested: Precision) -> String {
    let precision = sweep_engine::precision_on(device, requested);
    match unit_for(precision) {
        Some(unit) if device.is_cpu() => format!("{} by {unit}", precision.name()),
        _ => precision.name().to_owned(),
    }
}

/// Why [`Choice::Auto`] uses no GPU; `None` if it uses one.
#[must_use]
pub fn why_no_gpu() -> Option<String> {
    match devices::list() {
        Ok(found) if found.is_empty() => Some("this machine has no GPU".to_owned()),
        Ok(_) => devices::check(0).err().map(|error| error.message),
        Err(error) => Some(error.message),
    }
}

/// Numbers of the usable GPUs, and the memory of every GPU, in MiB.
#[must_use]
pub fn gpus() -> (Vec<usize>, Vec<u64>) {
    let found = devices::list().unwrap_or_default();
    let memory = found.iter().map(|gpu| (gpu.memory >> 20) as u64).collect();
    ((0..found.len()).filter(|number| devices::check(*number).is_ok()).collect(), memory)
}

/// Peak memory of this process on a device, in MiB: its resident memory on the CPU, its allocations on a GPU. `None` if the
/// system does not report it.
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

/// A detected device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DetectedDevice {
    /// Name for `--device`; `cuda` if no GPU was found.
    pub device: String,
    /// Description of the hardware.
    pub about: Option<String>,
    /// Why it cannot be used, if it cannot.
    pub not_used: Option<String>,
}

/// All devices, with the reasons why some are not used.
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
            not_used: devices::check(number).err().map(|error| error.message),
        })),
        Err(error) => {
            let remedy = error.remedy.map_or_else(String::new, |remedy| format!(" ({remedy})"));
            all.push(none(format!("{}{remedy}", error.message)));
        }
    }
    all
}

/// One line per device, with the reason if it is not used.
#[must_use]
pub fn describe() -> Vec<String> {
    let line = |device: DetectedDevice| {
        let not_used = device.not_used.map(|why| format!("not used: {why}"));
        let about: Vec<String> = device.about.into_iter().chain(not_used).collect();
        format!("{:<6}   {}", device.device, about.join(" · "))
    };
    detected().into_iter().map(line).collect()
}

/// A GPU in words.
fn line(gpu: &DeviceInfo) -> String {
    let (major, minor) = gpu.capability;
    format!("{} · {} MiB · compute capability {major}.{minor}", gpu.name, gpu.memory >> 20)
}

/// Supported instruction sets, and the unit for convolutions in each lower precision.
fn instruction_sets() -> String {
    let units = [Precision::Tf32, Precision::Bf16].map(|precision| {
        unit_for(precision).map_or_else(String::new, |unit| format!(", {unit} for precision {}", precision.name()))
    });
    format!("{}{}", vectors(), units.concat())
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
    if cfg!(target_arch = "aarch64") { "NEON" } else { std::env::consts::ARCH }
}
