#!/usr/bin/env bash
# Compares `sweep predict` with onnxruntime, OpenVINO and PyTorch on this machine; prints a table (Markdown).
# Arguments go to scripts/bench_predict.py, for example: scripts/bench-predict.sh --networks UNet++ --threads 2
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(torch onnxruntime openvino numpy pillow opencv-python-headless safetensors)
# shellcheck source=scripts/peer/environment.sh
. scripts/peer/environment.sh
exec "$python" scripts/bench_predict.py "$@"
