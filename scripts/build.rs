//! With the feature `cuda`, compiles the GPU's kernels to PTX, which the driver finishes for the GPU it finds.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/gpu/kernels");
    for name in ["NVCC", "CUDA_HOME", "CUDA_COMPUTE_CAP"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let of_toolkit = || std::env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("bin/nvcc"));
    let compiler = std::env::var_os("NVCC").map(PathBuf::from).or_else(of_toolkit).unwrap_or_else(|| "nvcc".into());
    let capability = std::env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "80".to_owned());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("kernels.ptx");
    let output = Command::new(&compiler)
        .args(["--ptx", "-O3", "-std=c++17", &format!("-arch=compute_{capability}"), "-o"])
        .arg(out)
        .arg("src/gpu/kernels/all.cu")
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
