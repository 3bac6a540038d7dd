//! The fuzz target `SWEEP_FUZZ_TARGET` under libFuzzer. `SWEEP_FUZZ_RESULTS` names the results of a finished sweep, and
//! `SWEEP_FUZZ_SEEDS` a folder to write the target's whole files into, as the first corpus.

#![no_main]

#[path = "../it/fuzz/targets/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod targets;

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use tempfile::TempDir;

use targets::{Scene, Target, target};

struct Session {
    target: &'static Target,
    scene: Scene,
    _scratch: TempDir,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; scripts/fuzz.sh does"))
}

// libFuzzer runs targets in one thread.
static SESSION: LazyLock<Session> = LazyLock::new(|| {
    let scratch = tempfile::tempdir().unwrap();
    let scene = Scene::new(scratch.path(), &PathBuf::from(variable("SWEEP_FUZZ_RESULTS")));
    let target = target(&variable("SWEEP_FUZZ_TARGET"));
    if let Some(folder) = std::env::var_os("SWEEP_FUZZ_SEEDS") {
        for (number, seed) in (target.seeds)(&scene).iter().enumerate() {
            assert!((target.read)(&scene, seed), "whole file {number} is refused");
            std::fs::write(PathBuf::from(&folder).join(format!("seed-{number}")), seed).unwrap();
        }
    }
    Session { target, scene, _scratch: scratch }
});

fuzz_target!(init: { LazyLock::force(&SESSION); }, |bytes: &[u8]| -> Corpus {
    let Session { target, scene, .. } = &*SESSION;
    (target.read)(scene, bytes);
    Corpus::Keep
});
