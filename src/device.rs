//! Which device trains: what was asked for, what is there, and what is missing.

use std::str::FromStr;

use candle_core::Device;

use crate::engine::Precision;
use crate::engine::cpu::has_unit_for;
use crate::error::{Error, Kind, Result};

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

/// The device for a choice, and its name for the records.
///
/// # Errors
/// When a GPU was asked for: this version has no engine for one, and never trains on the CPU in silence instead.
pub fn open(choice: Choice) -> Result<(Device, String)> {
    match choice {
        Choice::Auto | Choice::Cpu => Ok((Device::Cpu, "cpu".to_owned())),
        Choice::Cuda(number) => {
            Err(Error::new(Kind::Device, "this version trains on the CPU only: its CUDA engine is not written yet")
                .at(format!("--device cuda:{number}"))
                .remedy("leave --device out, or use --device cpu"))
        }
    }
}

/// A line per device: what was found, and why others are not used.
#[must_use]
pub fn describe() -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    vec![
        format!("cpu      {cores} cores · {}", instruction_sets()),
        "cuda     not used: this version has no CUDA engine yet".to_owned(),
    ]
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
