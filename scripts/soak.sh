#!/usr/bin/env bash
# Trains 24 trials at a time, for so many minutes, while signals strike runner and trials, the disk takes no large files and
# clocks jump; then compares the results with undisturbed ones, and says how much memory and how many files were in use.
#
#   scripts/soak.sh 60
set -euo pipefail
cd "$(dirname "$0")/.."

export SWEEP_SOAK_MINUTES=${1:-60} SWEEP_STORM_SEED=${2:-0}
cargo test --release --test it a_soak_stays_within_bounds -- --ignored --nocapture
