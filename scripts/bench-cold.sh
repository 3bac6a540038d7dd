#!/usr/bin/env bash
# Measures how long `sweep` and other programs take to start, answer and end on this machine; prints a table (Markdown).
# Arguments go to scripts/bench_cold.py, for example: scripts/bench-cold.sh --runs 5
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(torch onnxruntime numpy hydra-core mlflow tensorboard wandb dvc)
# shellcheck source=scripts/peer/environment.sh
. scripts/peer/environment.sh
exec "$python" scripts/bench_cold.py "$@"
