#!/usr/bin/env bash
# How often the analysis is right, on simulated records of known truth: the tables of results/examples/characteristics.
#
#   scripts/characteristics.sh [SIMULATIONS]     1000 of each by default: about ten minutes on two cores
set -euo pipefail
cd "$(dirname "$0")/.."
cargo bench --quiet --bench characteristics -- "${1:-1000}"
