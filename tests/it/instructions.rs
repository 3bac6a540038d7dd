//! `LANDMARK_SWEEP_SIMD` selects an instruction set, and the networks agree with PyTorch for each.

use std::process::Command;

use landmark_sweep::engine::Precision;
use landmark_sweep::engine::cpu::CpuEngine;
use landmark_sweep::graph::Graph;
use sweep_testing::instructions;

const VARIABLE: &str = "LANDMARK_SWEEP_SIMD";

#[test]
fn every_instruction_set_passes_where_it_is_asked_for() {
    if let Ok(name) = std::env::var(VARIABLE) {
        // Set by one of the runs below, or by a person.
        let found = CpuEngine::new(&Graph::new(), Precision::Fp32).instructions();
        assert!(found == name || !instructions(&name), "{found} instead of {name}");
        return;
    }
    for name in ["avx512", "avx2", "portable"] {
        if !instructions(name) {
            continue;
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["parity::", "conformance::", "instructions::"])
            // These tests compare weights, for any instruction set.
            .args(["--skip", "pytorch_takes_our_weights_and_we_take_its"])
            .env(VARIABLE, name)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said}");
        assert!(!said.contains("running 0 tests"), "{said}");
    }
}
