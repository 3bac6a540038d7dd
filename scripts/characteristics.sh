#!/usr/bin/env bash
# How often the analysis is right, on simulated records of known truth: the tables of results/examples/characteristics.
#
#   scripts/characteristics.sh [SIMULATIONS] [TABLE]     1000 of each by default: about ten minutes on two cores
set -euo pipefail
cd "$(dirname "$0")/.."
cargo bench --quiet --package landmark-sweep-analysis --bench characteristics -- "${@:-1000}"
