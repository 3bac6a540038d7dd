//! With the feature `cuda`, compiles the GPU's kernels: for current GPUs, and as PTX for future ones.

#![expect(clippy::disallowed_methods, reason = "a build script reads the environment and runs a compiler")]

use std::path::PathBuf;
use std::process::Command;

/// Compute capabilities to compile for: `80` is 8.0. The first is also target as PTX.
const CAPABILITIES: [&str; 4] = ["80", "86", "89", "90"];

fn main() {
    // Without the feature nothing here depends on the kernels: tests compile them when they run.
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    println!("cargo::rerun-if-changed=gpu/kernels");
    for name in ["NVCC", "CUDA_HOME"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let of_toolkit = || std::env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("bin/nvcc"));
    let compiler = std::env::var_os("NVCC").map(PathBuf::from).or_else(of_toolkit).unwrap_or_else(|| "nvcc".into());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("kernels.fatbin");
    let code = CAPABILITIES.iter().flat_map(|capability| {
        let target = if *capability == CAPABILITIES[0] {
            format!("[sm_{capability},compute_{capability}]")
        } else {
            format!("sm_{capability}")
        };
        ["-gencode".to_owned(), format!("arch=compute_{capability},code={target}")]
    });
    let output = Command::new(&compiler)
        .args(["-fatbin", "-O3", "-std=c++17", "--threads=0"])
        .args(code)
        .arg("-o")
        .arg(out)
        .arg("gpu/kernels/all.cu")
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("the GPU's kernels do not compile:\n{}", String::from_utf8_lossy(&output.stderr)),
        Err(e) => panic!(
            "no CUDA compiler `{}` ({e}): install one or name it in NVCC; scripts/build-cuda needs none",
            compiler.display()
        ),
    }
}
