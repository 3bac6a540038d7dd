#!/usr/bin/env bash
# Compares `sweep run` with Hydra, joblib and PyTorch on this machine; prints tables (Markdown).
# Arguments go to scripts/bench_sweep.py, for example: scripts/bench-sweep.sh --pairs 1 --splits 2x1
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(torch hydra-core hydra-joblib-launcher numpy pillow safetensors)
# shellcheck source=scripts/peer/environment.sh
. scripts/peer/environment.sh
exec "$python" scripts/bench_sweep.py "$@"
