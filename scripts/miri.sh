#!/usr/bin/env bash
# Runs the CPU engine's kernels with portable arithmetic under Miri, which stops at the first undefined behaviour: reads and
# writes outside an allocation, reads of uninitialized memory, races between threads. Takes some ten minutes; the first time
# it compiles everything for itself.
# Needs: rustup toolchain install nightly --component miri,rust-src
set -euo pipefail
cd "$(dirname "$0")/.."

# crossbeam, which rayon uses, turns integers into pointers and does not free what it allocated.
export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-tree-borrows -Zmiri-permissive-provenance -Zmiri-ignore-leaks"
export RAYON_NUM_THREADS=2
cargo +nightly miri test -p landmark-sweep-engine --lib cpu::tests::every_kernel
