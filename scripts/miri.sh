#!/usr/bin/env bash
# The CPU engine's kernels with portable arithmetic under Miri, which ends at the first undefined behaviour: reads and
# writes outside an allocation, memory never written, races between threads. Takes some ten minutes, and compiles everything
# for itself the first time.
# Needs: rustup toolchain install nightly --component miri,rust-src
set -euo pipefail
cd "$(dirname "$0")/.."

# crossbeam, under rayon, makes pointers of integers and keeps what it allocated.
export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-tree-borrows -Zmiri-permissive-provenance -Zmiri-ignore-leaks"
export RAYON_NUM_THREADS=2
cargo +nightly miri test --lib engine::cpu::tests::every_kernel
