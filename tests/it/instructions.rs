//! `LANDMARK_SWEEP_SIMD` forces an instruction set, and with each the networks compute what PyTorch computes.

use std::process::Command;

use landmark_sweep::engine::Precision;
use landmark_sweep::engine::cpu::CpuEngine;
use landmark_sweep::graph::Graph;

const VARIABLE: &str = "LANDMARK_SWEEP_SIMD";

/// Whether this processor has an instruction set.
fn has(name: &str) -> bool {
    #[cfg(target_arch = "x86_64")]
    match name {
        "avx512" => return is_x86_feature_detected!("avx512f"),
        "avx2" => return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        _ => {}
    }
    name == "portable"
}

#[test]
fn every_instruction_set_passes_where_it_is_asked_for() {
    if let Ok(name) = std::env::var(VARIABLE) {
        // One of the runs below, or a person's.
        let found = CpuEngine::new(&Graph::new(), Precision::Fp32).instructions();
        assert!(found == name || !has(&name), "{found} instead of {name}");
        return;
    }
    for name in ["avx512", "avx2", "portable"] {
        if !has(name) {
            println!("{name}: not on this processor");
            continue;
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["parity::", "conformance::", "instructions::"])
            .env(VARIABLE, name)
            .env_remove("LANDMARK_SWEEP_PYTHON")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said}");
        assert!(!said.contains("running 0 tests"), "{said}");
    }
}
