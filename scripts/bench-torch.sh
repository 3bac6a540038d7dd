#!/usr/bin/env bash
# Compares speed and memory of training and evaluation with PyTorch on this machine; prints a table (Markdown).
# Arguments go to scripts/bench_torch.py, for example: scripts/bench-torch.sh --networks 'UNet++ 16-256' --sizes 200x160
# Everything takes about two hours on 2 cores; one network at one size some ten minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${LANDMARK_SWEEP_PYTHON:-}
if [ -z "$python" ]; then
    venv=${CARGO_TARGET_DIR:-target}/bench-venv
    python=$venv/bin/python
    [ -x "$python" ] || python3 -m venv "$venv"
    "$python" -c 'import torch, numpy, safetensors' 2>/dev/null || "$venv/bin/pip" install --quiet torch numpy safetensors
fi
program=$(cargo bench --bench step --no-run --message-format=json 2>/dev/null |
    "$python" -c 'import json,sys
print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable") and m["target"]["name"] == "step"][-1])')
exec "$python" scripts/bench_torch.py --ours "$program" "$@"
