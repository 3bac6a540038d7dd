#!/usr/bin/env bash
# Kills runner and trials a hundred times at random moments and compares each sweep bit for bit with an undisturbed one; then
# runs the tests of every other fault, and verifies exact resume on a real definition. Takes some minutes.
#
#   scripts/storm.sh            # 100 kills
#   scripts/storm.sh 500 7      # 500, at other moments
set -euo pipefail
cd "$(dirname "$0")/.."

export SWEEP_STORM_KILLS=${1:-100} SWEEP_STORM_SEED=${2:-0}
cargo test --release --test it storm -- --nocapture
cargo test --release --test it faults
cargo build --release --quiet
"${CARGO_TARGET_DIR:-target}/release/sweep" verify-resume experiments/ci.toml --kills 10 --seed "$SWEEP_STORM_SEED"
